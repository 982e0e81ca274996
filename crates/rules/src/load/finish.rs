//! After the last file: lists are put together, macros and conditions are parsed and checked, outputs are read.

use std::collections::HashMap;
use std::sync::Arc;

use crate::ast::{Expression, Literal, Span};
use crate::check::{CheckError, Checker, List, Macro, State};
use crate::graph::{Class, Edge};
use crate::output::Template;
use crate::parse::{MAXIMUM_LENGTH, ParseError, parse_source};
use crate::problem::{Problem, Severity};
use crate::types::{EventType, TypeSet};

use super::entry::SYSCALL;
use super::exception;
use super::source::{Place, Text};
use super::{Loaded, Loader, Rule, RuleDefinition};

/// Lists within lists.
const MAXIMUM_LIST_DEPTH: usize = 100;
/// Elements of a list, those of lists within it included.
const MAXIMUM_ELEMENTS: usize = 100_000;
/// A rule for more types than this is slow; Falco warns at the same number.
const MANY_TYPES: usize = 100;

impl Loader {
    pub fn finish(mut self) -> Loaded {
        let mut checker = Checker::new();
        self.finish_lists(&mut checker);
        self.finish_macros(&mut checker);
        let (rules, classes) = self.finish_rules(&mut checker);
        self.unused(&checker);
        Loaded {
            rules,
            problems: self.sorted_problems(),
            lists: self.lists.items.len(),
            macros: self.macros.items.len(),
            graph: Arc::new(checker.graph),
            classes,
        }
    }

    /// In the order of files and lines, each once.
    fn sorted_problems(&mut self) -> Vec<Problem> {
        let mut problems = std::mem::take(&mut self.problems);
        let order = |problem: &Problem| self.paths.iter().position(|path| *path == problem.path);
        problems.sort_by_cached_key(|p| (order(p), p.line, p.column, p.message.clone()));
        problems.dedup();
        if self.suppressed > 0
            && let Some(last) = problems.last().cloned()
        {
            let message = format!("{} more problems are not shown", self.suppressed);
            problems.push(Problem { message, line: 0, severity: Severity::Error, ..last });
        }
        problems
    }

    fn finish_lists(&mut self, checker: &mut Checker) {
        let mut literals: HashMap<String, Vec<Literal>> = HashMap::new();
        let mut used = Vec::new();
        for index in 0..self.lists.items.len() {
            let Some((name, items)) =
                self.lists.items.get(index).map(|(name, l)| (name.clone(), l.items.clone()))
            else {
                continue;
            };
            let mut read = Vec::with_capacity(items.len());
            for item in &items {
                match exception::literals(item, &mut self.sources) {
                    Ok(found) => read.extend(found),
                    Err((place, message)) => self.error(&place, message),
                }
            }
            literals.insert(name, read);
        }
        let mut flat: HashMap<String, Vec<Vec<u8>>> = HashMap::new();
        for index in 0..self.lists.items.len() {
            let Some((name, place)) =
                self.lists.items.get(index).map(|(name, l)| (name.clone(), l.place.clone()))
            else {
                continue;
            };
            let mut path = Vec::new();
            let mut elements = Vec::new();
            if let Err(message) = flatten(&name, &literals, &mut flat, &mut path, &mut elements, &mut used) {
                self.error(&place, message);
            }
            flat.insert(name, elements);
        }
        for (name, values) in flat {
            let used = used.contains(&name);
            checker.lists.insert(name, List { values, used });
        }
    }

    fn finish_macros(&mut self, checker: &mut Checker) {
        for index in 0..self.macros.items.len() {
            let Some((name, text, place, first, visibility)) =
                self.macros.items.get(index).map(|(name, m)| {
                    (name.clone(), m.condition.clone(), m.place.clone(), m.index, m.visibility)
                })
            else {
                continue;
            };
            let (expression, state) = match self.parse(&text) {
                Ok(expression) => (Some(expression), State::Unchecked),
                Err(error) => {
                    let error = CheckError::from(error);
                    self.complain(&error, &place);
                    (None, State::Broken(error))
                }
            };
            let definition = Macro { expression, index: first, visibility, state, used: false };
            checker.macros.insert(name, definition);
        }
        for (name, _) in &self.macros.items {
            checker.prepare(name);
        }
    }

    fn finish_rules(&mut self, checker: &mut Checker) -> (Vec<Rule>, Vec<Class>) {
        let definitions = std::mem::take(&mut self.rules.items);
        let mut rules = Vec::with_capacity(definitions.len());
        let mut conditions = Vec::with_capacity(definitions.len());
        let mut places = Vec::with_capacity(definitions.len());
        for (name, definition) in &definitions {
            if definition.source != SYSCALL {
                continue;
            }
            let outcome = self.finish_rule(checker, name, definition);
            for (span, message) in std::mem::take(&mut checker.deprecated) {
                let problem = self.sources.problem(span, &definition.place, Severity::Warning, message);
                self.problem(problem);
            }
            match outcome {
                Ok((rule, condition)) => {
                    rules.push(rule);
                    conditions.push(condition);
                    places.push(definition);
                }
                Err(error) if error.unknown && definition.skip_if_unknown => {
                    let message = format!("{}; the rule is left out, as it asks", error.message);
                    let problem =
                        self.sources.problem(error.span, &definition.place, Severity::Warning, message);
                    self.problem(problem);
                }
                Err(error) => self.complain(&error, &definition.place),
            }
        }
        let classes = checker.graph.classes(&conditions);
        for class in &classes {
            for (rule, condition) in rules.iter_mut().zip(&class.conditions) {
                if *condition != Edge::FALSE {
                    rule.types = rule.types.union(&class.types);
                }
            }
        }
        for (rule, definition) in rules.iter().zip(places) {
            self.warn_about_types(&rule.types, definition);
        }
        self.rules.items = definitions;
        (rules, classes)
    }

    fn finish_rule(
        &mut self,
        checker: &mut Checker,
        name: &str,
        definition: &RuleDefinition,
    ) -> Result<(Rule, Edge), CheckError> {
        let expression = self.parse(&definition.condition)?;
        let mut condition = checker.rule(&expression)?;
        for exception in &definition.exceptions {
            let excepted = exception.expression(&mut self.sources).map_err(|(place, message)| {
                let source = self.sources.add(Text::of(place));
                CheckError { span: Span { source, start: 0, end: 0 }, message, unknown: false }
            })?;
            if let Some(excepted) = excepted {
                let excepted = checker.rule(&excepted)?;
                condition = checker.graph.and([condition, excepted.not()]);
            }
        }
        let output_text = self.output_text(name, definition);
        let source = self.sources.add(definition.output.clone());
        let mut unknown = false;
        let output = Template::parse(&output_text, source, &mut |operand| {
            checker.operand(operand).map_err(|error| {
                unknown = error.unknown;
                ParseError::from(error)
            })
        });
        let output = output.map_err(|error| CheckError { unknown, ..CheckError::from(error) })?;
        let rule = Rule {
            name: name.to_owned(),
            description: definition.description.clone(),
            priority: definition.priority,
            tags: definition.tags.clone(),
            source: definition.source.clone(),
            enabled: definition.enabled,
            condition: definition.condition.joined(),
            output,
            output_text,
            capture: definition.capture,
            types: TypeSet::none(),
            path: definition.place.file.path.clone(),
            line: definition.place.line(),
        };
        Ok((rule, condition))
    }

    fn output_text(&self, name: &str, definition: &RuleDefinition) -> String {
        let mut text = definition.output.joined().trim().to_owned();
        for appended in &self.options.append_output {
            let fits = appended.rule.as_deref().is_none_or(|rule| rule == name)
                && appended.tags.is_subset(&definition.tags)
                && appended.source.as_deref().is_none_or(|source| source == definition.source);
            if fits {
                text.push(' ');
                text.push_str(&appended.text);
            }
        }
        text
    }

    fn warn_about_types(&mut self, types: &TypeSet, definition: &RuleDefinition) {
        if !definition.warn_evttypes {
            return;
        }
        let message = match types.len() {
            0 => "no event can match this condition".to_owned(),
            1..=MANY_TYPES => return,
            EventType::COUNT => "every event is looked at: name its types (`evt.type in (…)`)".to_owned(),
            many => format!("events of {many} types are looked at: name fewer (`evt.type in (…)`)"),
        };
        if let Some(place) = definition.condition.parts.first().cloned() {
            self.warning(&place, message);
        }
    }

    fn parse(&mut self, text: &Text) -> Result<Expression, ParseError> {
        let source = self.sources.add(text.clone());
        // Appending makes long texts of short ones; they are not put together beyond the limit.
        if text.parts.iter().map(|part| part.text().len() + 1).sum::<usize>() > MAXIMUM_LENGTH {
            let message = format!("the condition is longer than {MAXIMUM_LENGTH} bytes");
            return Err(ParseError { span: Span { source, start: 0, end: 0 }, message });
        }
        parse_source(&text.joined(), source)
    }

    fn complain(&mut self, error: &CheckError, place: &Place) {
        let problem = self.sources.problem(error.span, place, Severity::Error, error.message.clone());
        let own = problem.path == place.file.path && place_holds(place, problem.line);
        let at = format!("{}:{}", problem.path, problem.line);
        if !self.problems.contains(&problem) {
            self.problem(problem);
        }
        if !own {
            self.error(place, format!("not loaded because of the error at {at}"));
        }
    }

    fn unused(&mut self, checker: &Checker) {
        let unused_macros = self.macros.items.iter().filter(|(name, _)| {
            checker.macros.get(name).is_some_and(|m| !m.used && !matches!(m.state, State::Broken(_)))
        });
        let unused_lists =
            self.lists.items.iter().filter(|(name, _)| checker.lists.get(name).is_some_and(|l| !l.used));
        let mut warnings: Vec<(Place, String)> = Vec::new();
        warnings.extend(
            unused_macros.map(|(name, m)| (m.place.clone(), format!("nothing uses the macro `{name}`"))),
        );
        warnings.extend(
            unused_lists.map(|(name, l)| (l.place.clone(), format!("nothing uses the list `{name}`"))),
        );
        for (place, message) in warnings {
            self.warning(&place, message);
        }
    }
}

/// Whether a line belongs to an entry.
fn place_holds(place: &Place, line: usize) -> bool {
    let first = place.line();
    let last = place.file.line_and_column(place.node.end.max(place.node.start)).0;
    (first..=last).contains(&line)
}

/// The elements of a list with those of the lists it names in their places.
fn flatten(
    name: &str,
    literals: &HashMap<String, Vec<Literal>>,
    flat: &mut HashMap<String, Vec<Vec<u8>>>,
    path: &mut Vec<String>,
    elements: &mut Vec<Vec<u8>>,
    used: &mut Vec<String>,
) -> Result<(), String> {
    if path.len() >= MAXIMUM_LIST_DEPTH {
        return Err(format!("lists within lists, deeper than {MAXIMUM_LIST_DEPTH} levels"));
    }
    path.push(name.to_owned());
    for literal in literals.get(name).map(Vec::as_slice).unwrap_or_default() {
        let inner = match std::str::from_utf8(&literal.bytes) {
            // A list may hold its own name as a text, as Falco has it.
            Ok(inner) if !literal.quoted && inner != name && literals.contains_key(inner) => inner,
            _ => {
                elements.push(literal.bytes.clone());
                continue;
            }
        };
        if !used.iter().any(|known| known == inner) {
            used.push(inner.to_owned());
        }
        if path.iter().any(|above| above == inner) {
            return Err(format!("the list `{inner}` leads back to itself"));
        }
        match flat.get(inner) {
            Some(known) => elements.extend_from_slice(known),
            None => flatten(inner, literals, flat, path, elements, used)?,
        }
        if elements.len() > MAXIMUM_ELEMENTS {
            elements.truncate(MAXIMUM_ELEMENTS);
            return Err(format!("more than {MAXIMUM_ELEMENTS} elements"));
        }
    }
    path.pop();
    Ok(())
}

//! Techniques in CEL: the catalogue's formula, with what each condition comes to put in its place.

use std::collections::HashMap;

use confinement::Truth;
use sources::Context;
use techniques::technique::{Catalogue, ConditionId, Technique};

use super::condition::{Compiled, Conditions, YES};
use super::cube::{Cube, Formula};
use super::field::{Field, Kind};
use super::mount;
use super::object::Named;
use super::report::Said;
use super::shape::named;
use super::text::{all, any, not};

/// Which answers count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Polarity {
    /// What is so, or may be.
    Possible,
    /// What is so for certain.
    Certain,
}

impl Polarity {
    pub(super) fn counts(self) -> fn(Truth) -> bool {
        match self {
            Polarity::Possible => |truth| !truth.is_false(),
            Polarity::Certain => Truth::is_true,
        }
    }
}

/// What a technique comes to.
pub(super) struct Outcome {
    /// `None` where it is not said.
    pub(super) formula: Option<Formula>,
    pub(super) said: Said,
    pub(super) why: String,
}

pub(super) struct Verdicts<'c> {
    context: &'c Context,
    conditions: Conditions<'c>,
    /// What conditions were found to come to.
    known: HashMap<(ConditionId, Polarity), Part>,
}

/// A condition as part of a formula.
#[derive(Clone)]
enum Part {
    Said(Formula),
    Wider(Formula, &'static str),
    NotSaid(&'static str),
}

impl<'c> Verdicts<'c> {
    pub(super) fn new(context: &'c Context) -> Verdicts<'c> {
        Verdicts { context, conditions: Conditions::new(context), known: HashMap::new() }
    }

    fn condition(&mut self, id: ConditionId, polarity: Polarity) -> Part {
        if let Some(known) = self.known.get(&(id, polarity)) {
            return known.clone();
        }
        let part = match Catalogue::get().conditions.get(usize::from(id)) {
            None => Part::NotSaid("no such condition"),
            Some(condition) => match self.conditions.compile(condition, polarity) {
                Compiled::Formula(formula) => Part::Said(formula),
                Compiled::Wider(formula, why) => Part::Wider(formula, why),
                Compiled::NotSaid(why) => Part::NotSaid(why),
            },
        };
        self.known.insert((id, polarity), part.clone());
        part
    }

    pub(super) fn technique(&mut self, technique: &Technique, polarity: Polarity) -> Outcome {
        let not = |why: &str| Outcome { formula: None, said: Said::Not, why: why.to_owned() };
        if technique.relation.is_some() {
            return not("it hangs on which other containers there are");
        }
        let mut wider = None;
        let mut formula = Formula::always();
        for id in &technique.premise {
            // Where nothing says that the premise holds, the technique is not judged by the webhook either.
            match self.condition(*id, Polarity::Certain) {
                Part::NotSaid(why) => return not(why),
                Part::Said(part) | Part::Wider(part, _) if part.is_never() => {
                    let why = match self.premise(*id) {
                        Truth::Unknown => "its premise is not known",
                        _ => "its premise does not hold",
                    };
                    return Outcome {
                        formula: Some(Formula::never()),
                        said: Said::NotJudged,
                        why: why.to_owned(),
                    };
                }
                Part::Said(part) => formula = formula.and(&part).unwrap_or_else(Formula::always),
                Part::Wider(part, why) => {
                    wider = Some(why);
                    formula = formula.and(&part).unwrap_or_else(Formula::always);
                }
            }
        }
        let mut terms = Formula::never();
        for term in &technique.terms {
            match self.term(term, polarity, &mut wider) {
                Ok(term) => terms = terms.or(&term),
                Err(why) => return not(why),
            }
        }
        let Some(formula) = formula.and(&terms) else { return not("the formula is too long for CEL") };
        match wider {
            Some(why) if !formula.is_never() => {
                Outcome { formula: Some(formula), said: Said::Stricter, why: why.to_owned() }
            }
            _ => {
                let why = if formula.is_never() { "no pod completes it on these nodes" } else { "" };
                Outcome { formula: Some(formula), said: Said::Exactly, why: why.to_owned() }
            }
        }
    }

    fn premise(&self, id: ConditionId) -> Truth {
        let condition = Catalogue::get().conditions.get(usize::from(id));
        condition.map_or(Truth::Unknown, |condition| self.conditions.constant(condition))
    }

    fn term(
        &mut self,
        term: &[ConditionId],
        polarity: Polarity,
        wider: &mut Option<&'static str>,
    ) -> Result<Formula, &'static str> {
        let mut product = Formula::always();
        let mut not_said = None;
        for id in term {
            let part = match self.condition(*id, polarity) {
                Part::Said(part) => part,
                Part::Wider(part, why) => {
                    *wider = Some(why);
                    part
                }
                Part::NotSaid(why) => {
                    not_said = Some(why);
                    continue;
                }
            };
            product = product.and(&part).ok_or("the formula is too long for CEL")?;
        }
        match not_said {
            // What can never be completed without it cannot be with it.
            Some(why) if !product.is_never() => Err(why),
            _ => Ok(product),
        }
    }

    /// Adds the variables that a formula needs and that are not there yet.
    pub(super) fn variables(&self, formula: &Formula, variables: &mut Vec<Named>) {
        let mut add = |name: &str, expression: String| {
            if !variables.iter().any(|v| v.name == name) {
                variables.push(named(name, expression));
            }
        };
        for (field, values) in formula.0.iter().flat_map(|cube| &cube.0) {
            if matches!(field, Field::Mount(_)) {
                for (name, expression) in mount::variables() {
                    add(name, expression);
                }
            }
            let (name, _, expression) = field.variable(positive(field, *values), &self.context.kubernetes);
            add(&name, expression);
        }
    }

    /// A formula over a container `c`.
    pub(super) fn expression(&self, formula: &Formula) -> String {
        any(formula.0.iter().map(|cube| self.cube(cube)).collect())
    }

    fn cube(&self, cube: &Cube) -> String {
        let part = |(field, values): (&Field, &u8)| {
            let (name, kind, _) = field.variable(positive(field, *values), &self.context.kubernetes);
            let truth = match kind {
                Kind::Pod => format!("variables.{name}"),
                Kind::Names => format!("c.name in variables.{name}"),
            };
            if field.count() == 2 && *values != YES { not(&truth) } else { truth }
        };
        all(cube.0.iter().map(part).collect())
    }
}

/// Of a field of two values the variable says the second.
fn positive(field: &Field, values: u8) -> u8 {
    if field.count() == 2 { YES } else { values }
}

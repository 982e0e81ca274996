//! Conditions in CEL (<https://github.com/google/cel-spec>) over the published confinement.
//!
//! The interpreter has no limit of its own on time, so the work is bounded before it is begun: the size of the expression
//! and how deeply its loops nest when it is read, and what they multiply to with the longest list of the input when it is
//! evaluated. An expression beyond a bound is an error, and an error denies.

use std::sync::{Arc, LazyLock};

use cel::common::ast::{EntryExpr, Expr};
use cel::{Context, Env, IdedExpr, Program, Value};
use confinement::{Place, Problem};

use crate::published::MEMBERS;

/// Bytes of an expression.
const MAX_BYTES: usize = 4096;
/// Nodes of its tree.
const MAX_NODES: usize = 1000;
/// Loops within loops (`all`, `exists`, `map`, `filter`).
const MAX_LOOPS: u32 = 3;
/// Nodes that are evaluated at most, together.
const MAX_STEPS: f64 = 2_000_000.0;

/// The standard library of CEL, which is dear to put together, once for all evaluations.
static ENVIRONMENT: LazyLock<Arc<Env>> = LazyLock::new(|| Arc::new(Env::stdlib()));

/// A condition, compiled.
#[derive(Debug)]
pub struct Condition {
    program: Program,
    pub source: Arc<str>,
    pub place: Place,
    cost: Cost,
}

/// Why a condition could not be evaluated.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConditionError {
    #[error("the condition could not be evaluated: {0}")]
    Execution(String),
    #[error("the condition is {0}, not true or false")]
    NotBoolean(&'static str),
    #[error(
        "the condition would take too long on this subject: lists of up to {longest} items, {loops} loops deep"
    )]
    TooLong { longest: usize, loops: u32 },
}

/// What bounds the work of an expression.
#[derive(Clone, Copy, Debug, Default)]
struct Cost {
    nodes: usize,
    loops: u32,
    /// Each `+` may make a list or text as long as both its sides.
    sums: u32,
}

impl Cost {
    fn steps(self, longest: usize) -> f64 {
        let length = (longest.max(1) as f64) * 2f64.powi(self.sums.min(1000) as i32);
        (self.nodes as f64) * length.powi(self.loops as i32)
    }
}

impl Condition {
    /// Compiles an expression that stands at a place.
    pub fn compile(source: &str, place: &Place) -> Result<Condition, Problem> {
        let fail = |message: String| Err(Problem::at(place, message));
        if source.len() > MAX_BYTES {
            return fail(format!(
                "the condition is longer than {MAX_BYTES} bytes; split it into several rules"
            ));
        }
        if depth_of(source) > 64 {
            return fail("the condition is nested deeper than 64 levels; split it into several rules".into());
        }
        let program = match Program::compile(source) {
            Ok(program) => program,
            Err(errors) => {
                let told = errors.errors.first().map(|e| {
                    let (line, column) = e.pos;
                    let message = e.msg.lines().next().unwrap_or_default();
                    format!("{message} (line {line}, column {column} of the condition)")
                });
                let told = told.unwrap_or_default();
                return fail(format!("the condition is not CEL: {told}"));
            }
        };
        let mut cost = Cost::default();
        weigh(program.expression(), 0, &mut cost);
        if cost.nodes > MAX_NODES {
            return fail(format!(
                "the condition has more than {MAX_NODES} parts; split it into several rules"
            ));
        }
        if cost.loops > MAX_LOOPS || cost.steps(1) > MAX_STEPS {
            return fail(format!(
                "the condition has loops more than {MAX_LOOPS} deep, or sums that grow too long"
            ));
        }
        let mut unknown: Vec<&str> =
            free_variables(program.expression()).into_iter().filter(|name| !MEMBERS.contains(name)).collect();
        unknown.sort_unstable();
        unknown.dedup();
        if let Some(name) = unknown.first() {
            return fail(format!("`{name}` is not known in a condition; known are {}", MEMBERS.join(", ")));
        }
        let functions: Vec<String> = {
            let references = program.references();
            references.functions().iter().map(|f| (*f).to_owned()).collect()
        };
        if let Some(name) = functions.iter().find(|f| !is_function(f)) {
            return fail(format!("`{name}` is not a function of CEL that is known here"));
        }
        let condition = Condition { program, source: source.into(), place: place.clone(), cost };
        Ok(condition)
    }

    /// Whether it looks at the subject at all.
    pub(crate) fn is_constant(&self) -> bool {
        free_variables(self.program.expression()).is_empty()
    }

    /// Whether it holds for a document of `stockade.confinement/1`.
    pub fn holds(&self, input: &Input) -> Result<bool, ConditionError> {
        if self.cost.steps(input.longest) > MAX_STEPS {
            return Err(ConditionError::TooLong { longest: input.longest, loops: self.cost.loops });
        }
        let mut context = Context::with_env(ENVIRONMENT.clone());
        for (name, value) in &input.members {
            context.add_variable_from_value(name.as_str(), value.clone());
        }
        match self.program.execute(&context) {
            Ok(Value::Bool(holds)) => Ok(holds),
            Ok(other) => Err(ConditionError::NotBoolean(kind_of(&other))),
            Err(error) => {
                let mut text = error.to_string();
                // Errors may quote a whole value.
                if let Some((at, _)) = text.char_indices().nth(300) {
                    text.truncate(at);
                    text.push('…');
                }
                Err(ConditionError::Execution(text))
            }
        }
    }
}

/// A document made ready for conditions, once for all of them.
pub struct Input {
    members: Vec<(String, Value)>,
    /// Of its lists and objects.
    longest: usize,
}

impl Input {
    pub fn of(document: &serde_json::Value) -> Input {
        let mut longest = 0;
        let members = document.as_object().into_iter().flatten();
        let members = members.map(|(name, value)| (name.clone(), to_cel(value, &mut longest))).collect();
        Input { members, longest }
    }
}

fn to_cel(value: &serde_json::Value, longest: &mut usize) -> Value {
    match value {
        serde_json::Value::Null => Value::Null,
        serde_json::Value::Bool(b) => Value::Bool(*b),
        serde_json::Value::Number(n) => match n.as_i64() {
            Some(integer) => Value::Int(integer),
            None => Value::Float(n.as_f64().unwrap_or(f64::NAN)),
        },
        serde_json::Value::String(s) => Value::String(Arc::new(s.clone())),
        serde_json::Value::Array(items) => {
            *longest = (*longest).max(items.len());
            Value::List(Arc::new(items.iter().map(|item| to_cel(item, longest)).collect()))
        }
        serde_json::Value::Object(members) => {
            *longest = (*longest).max(members.len());
            let map: std::collections::HashMap<String, Value> =
                members.iter().map(|(k, v)| (k.clone(), to_cel(v, longest))).collect();
            Value::from(map)
        }
    }
}

fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::List(_) => "a list",
        Value::Map(_) | Value::Struct(_) => "an object",
        Value::Int(_) | Value::UInt(_) | Value::Float(_) => "a number",
        Value::String(_) => "a text",
        Value::Null => "null",
        _ => "another value",
    }
}

/// How deeply brackets nest, and how many operators stand in a row that each make a level; the parser recurses.
fn depth_of(source: &str) -> usize {
    let (mut depth, mut most, mut run) = (0usize, 0usize, 0usize);
    for c in source.chars() {
        match c {
            '(' | '[' | '{' => depth += 1,
            ')' | ']' | '}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        run = if matches!(c, '!' | '-' | ' ') { run + usize::from(c != ' ') } else { 0 };
        most = most.max(depth + run);
    }
    most
}

fn children<'e>(expression: &'e IdedExpr, each: &mut dyn FnMut(&'e IdedExpr)) {
    let entry = |entry: &'e EntryExpr, each: &mut dyn FnMut(&'e IdedExpr)| match entry {
        EntryExpr::StructField(field) => each(&field.value),
        EntryExpr::MapEntry(pair) => {
            each(&pair.key);
            each(&pair.value);
        }
    };
    match &expression.expr {
        Expr::Call(call) => {
            call.target.iter().for_each(|t| each(t));
            call.args.iter().for_each(each);
        }
        Expr::List(list) => list.elements.iter().for_each(each),
        Expr::Map(map) => map.entries.iter().for_each(|e| entry(&e.expr, each)),
        Expr::Struct(s) => s.entries.iter().for_each(|e| entry(&e.expr, each)),
        Expr::Select(select) => each(&select.operand),
        // Walked by whoever cares which part is within the loop.
        Expr::Comprehension(_) | Expr::Ident(_) | Expr::Literal(_) | Expr::Unspecified => {}
    }
}

fn weigh(expression: &IdedExpr, loops: u32, cost: &mut Cost) {
    cost.nodes += 1;
    if let Expr::Call(call) = &expression.expr
        && call.func_name == cel::common::ast::operators::ADD
    {
        cost.sums += 1;
    }
    if let Expr::Comprehension(c) = &expression.expr {
        cost.loops = cost.loops.max(loops + 1);
        let before = cost.sums;
        weigh(&c.iter_range, loops, cost);
        weigh(&c.accu_init, loops, cost);
        let own = cost.sums;
        weigh(&c.loop_cond, loops + 1, cost);
        weigh(&c.loop_step, loops + 1, cost);
        weigh(&c.result, loops, cost);
        // `map` and `filter` add one item to their result by a `+` of the macro's own.
        if cost.sums > own && is_append(&c.loop_step, &c.accu_var) {
            cost.sums -= 1;
        }
        debug_assert!(cost.sums >= before);
        return;
    }
    children(expression, &mut |child| weigh(child, loops, cost));
}

/// Whether a step is the macro's `result + [item]`, bare or as a branch of `condition ? result + [item] : result`.
fn is_append(step: &IdedExpr, accumulator: &str) -> bool {
    let Expr::Call(call) = &step.expr else { return false };
    if call.func_name == cel::common::ast::operators::CONDITIONAL {
        return call.args.get(1).is_some_and(|then| is_append(then, accumulator));
    }
    call.func_name == cel::common::ast::operators::ADD
        && call.args.first().is_some_and(|a| matches!(&a.expr, Expr::Ident(name) if name == accumulator))
}

/// Names that no loop around them binds.
fn free_variables(expression: &IdedExpr) -> Vec<&str> {
    fn walk<'e>(expression: &'e IdedExpr, bound: &mut Vec<&'e str>, free: &mut Vec<&'e str>) {
        match &expression.expr {
            Expr::Ident(name) => {
                let name = name.strip_prefix('.').unwrap_or(name);
                if !bound.contains(&name) && !TYPES.contains(&name) {
                    free.push(name);
                }
            }
            Expr::Comprehension(c) => {
                walk(&c.iter_range, bound, free);
                walk(&c.accu_init, bound, free);
                let before = bound.len();
                bound.push(&c.iter_var);
                bound.extend(c.iter_var2.as_deref());
                bound.push(&c.accu_var);
                walk(&c.loop_cond, bound, free);
                walk(&c.loop_step, bound, free);
                walk(&c.result, bound, free);
                bound.truncate(before);
            }
            _ => children(expression, &mut |child| walk(child, bound, free)),
        }
    }
    let mut free = Vec::new();
    walk(expression, &mut Vec::new(), &mut free);
    free
}

/// Names of types, which are values in CEL.
const TYPES: &[&str] =
    &["bool", "bytes", "double", "int", "list", "map", "null_type", "string", "type", "uint"];

/// Operators, and the functions of CEL's standard library that the crate has without dates.
fn is_function(name: &str) -> bool {
    const FUNCTIONS: &[&str] = &[
        "bool",
        "bytes",
        "contains",
        "double",
        "dyn",
        "endsWith",
        "has",
        "int",
        "matches",
        "max",
        "min",
        "size",
        "startsWith",
        "string",
        "type",
        "uint",
    ];
    FUNCTIONS.contains(&name) || !name.starts_with(|c: char| c.is_ascii_alphabetic())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn place() -> Place {
        Place::new(&"p.yaml".into(), 7, 3, 0)
    }
    fn holds(source: &str, document: serde_json::Value) -> Result<bool, String> {
        let condition = Condition::compile(source, &place()).map_err(|p| p.to_string())?;
        condition.holds(&Input::of(&document)).map_err(|e| e.to_string())
    }
    fn document() -> serde_json::Value {
        json!({
            "verdict": "held",
            "subject": { "labels": { "team": "web" }, "namespace": null },
            "confinement": {
                "privileged": null,
                "limits": { "memory": "unlimited", "pids": 100 },
                "mounts": [
                    { "target": "/a", "source": { "kind": "host", "path": "/data/a" } },
                    { "target": "/b", "source": null },
                ],
            },
        })
    }

    #[test]
    fn a_condition_is_true_or_false() {
        for (source, expected) in [
            ("verdict == 'held'", true),
            ("confinement.limits.pids <= 50", false),
            ("subject.labels.team in ['web', 'api']", true),
            ("has(subject.labels.owner)", false),
            ("confinement.mounts.all(m, m.source == null || m.source.path.startsWith('/data/'))", true),
            ("confinement.mounts.exists(m, m.target == '/c')", false),
            ("confinement.mounts.filter(m, m.source != null).map(m, m.target) == ['/a']", true),
            ("subject.labels.team.matches('^w.b$')", true),
            ("confinement.privileged != true", true),
        ] {
            assert_eq!(holds(source, document()), Ok(expected), "{source}");
        }
    }

    #[test]
    fn what_is_not_known_or_of_another_type_is_an_error_and_not_false() {
        for source in [
            "confinement.privileged",
            "!confinement.privileged",
            "confinement.limits.memory < 100",
            "confinement.nothing == 1",
            "verdict",
            "confinement.mounts.all(m, m.source.path == '/data/a')",
            "1 / 0 == 1",
        ] {
            let told = holds(source, document()).expect_err(source);
            assert!(told.starts_with("the condition"), "{source}: {told}");
        }
    }

    #[test]
    fn what_is_wrong_is_told_with_its_place_before_it_is_used() {
        for (source, expected) in [
            ("verdict ==", "p.yaml:7:3: the condition is not CEL"),
            ("verdicts == 'held'", "`verdicts` is not known in a condition; known are"),
            ("frob(verdict)", "`frob` is not a function"),
            ("'x'.frob()", "`frob` is not a function"),
            ("[1].all(i, [1].all(j, [1].all(k, [1].all(l, true))))", "loops more than 3 deep"),
        ] {
            let told = Condition::compile(source, &place()).expect_err(source).to_string();
            assert!(told.contains(expected), "{source}: {told}");
        }
        let long = format!("verdict == '{}'", "x".repeat(5000));
        assert!(Condition::compile(&long, &place()).is_err());
        for deep in ["(".repeat(3000), "!".repeat(3000) + "true", "[".repeat(3000), "-".repeat(4000) + "1"] {
            assert!(Condition::compile(&deep, &place()).is_err(), "{deep:.20}");
        }
    }

    #[test]
    fn sums_that_double_at_each_step_are_refused() {
        let mut source = "[verdict]".to_owned();
        for _ in 0..40 {
            source.push_str(".map(x, x + x)");
        }
        assert!(Condition::compile(&format!("{source} == []"), &place()).is_err());
    }

    #[test]
    fn work_beyond_the_bound_is_an_error_before_it_is_begun() {
        let mounts: Vec<u32> = (0..3000).collect();
        let document = json!({ "confinement": { "mounts": mounts } });
        let started = std::time::Instant::now();
        let source =
            "confinement.mounts.all(a, confinement.mounts.all(b, confinement.mounts.all(c, a + b + c >= 0)))";
        let told = holds(source, document.clone()).expect_err("too long");
        assert!(told.contains("too long"), "{told}");
        assert!(started.elapsed().as_millis() < 1000);
        assert_eq!(holds("confinement.mounts.all(a, a >= 0)", document), Ok(true));
    }

    #[test]
    fn a_compiled_condition_is_shared_between_threads() {
        fn shared<T: Send + Sync>() {}
        shared::<Condition>();
    }
}

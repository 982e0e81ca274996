//! Fields as the API server decodes them. A value of the wrong type is a problem with its place, and the fact is unknown:
//! never as if the key were absent.

use std::sync::Arc;

use confinement::{Fact, Problem};

use crate::document::{Node, Value};

const NOT_RENDERED: &str = "a value that a template tool has not rendered; give the rendered file \
     (for example the output of `helm template` or `envsubst`)";

/// What one container costs beside an item of a list.
pub(super) const CONTAINER_COST: usize = 20;

/// Reads the fields of one document and keeps what was wrong with them.
pub(super) struct Reader {
    path: Arc<str>,
    problems: Vec<Problem>,
    /// Braces are a text's own: what an API server holds went through no template tool any more.
    is_rendered: bool,
    not_rendered: bool,
    /// How many items may still be taken from lists. Aliases let a short text stand for any number of containers, and each
    /// takes memory.
    budget: usize,
    exhausted: bool,
}

impl Reader {
    pub(super) fn new(path: &Arc<str>, root: &Node) -> Reader {
        // What is written out in full never comes near this: a container takes some hundred bytes.
        let budget = 200_000.max(root.bytes().len() / 2);
        Reader {
            path: path.clone(),
            problems: Vec::new(),
            is_rendered: false,
            not_rendered: false,
            budget,
            exhausted: false,
        }
    }

    pub(super) fn rendered(self) -> Reader {
        Reader { is_rendered: true, ..self }
    }

    fn is_unrendered(&self, text: &str) -> bool {
        !self.is_rendered && is_unrendered(text)
    }

    /// Takes from the budget; false, and a problem once, where it does not suffice.
    pub(super) fn spend(&mut self, cost: usize, node: &Node) -> bool {
        match self.budget.checked_sub(cost) {
            Some(rest) if !self.exhausted => {
                self.budget = rest;
                true
            }
            _ => {
                if !self.exhausted {
                    self.exhausted = true;
                    self.problem(
                        node,
                        "aliases make this document stand for too much; what is from here on is not judged",
                    );
                }
                false
            }
        }
    }

    pub(super) fn path(&self) -> &Arc<str> {
        &self.path
    }

    pub(super) fn into_problems(self) -> Vec<Problem> {
        self.problems
    }

    /// A text. Kubernetes refuses a bare number or boolean for one, but reads no other meaning into it, so it is taken as
    /// written.
    pub(super) fn string(&mut self, parent: &Node, key: &str) -> Option<Fact<Arc<str>>> {
        let node = present(parent, key)?;
        Some(self.text(&node, key))
    }

    /// The text of a node that is there.
    pub(super) fn text(&mut self, node: &Node, key: &str) -> Fact<Arc<str>> {
        match node.as_str() {
            Some(text) if self.is_unrendered(text) => self.not_rendered(node),
            Some(text) => Fact::known(text.into(), node.origin()),
            None => self.wrong(node, key, "a text"),
        }
    }

    /// A text whose braces and dollars are its own business, such as an environment variable's value.
    pub(super) fn raw_text(&mut self, node: &Node, key: &str) -> Fact<Arc<str>> {
        match node.as_str() {
            Some(text) => Fact::known(text.into(), node.origin()),
            None => self.wrong(node, key, "a text"),
        }
    }

    /// A boolean as the Kubernetes tools read one: YAML 1.1's words unquoted, never a quoted text.
    pub(super) fn boolean(&mut self, parent: &Node, key: &str) -> Option<Fact<bool>> {
        let node = present(parent, key)?;
        Some(match node.as_bool_yaml11() {
            Some(value) => Fact::known(value, node.origin()),
            None => self.wrong(&node, key, "true or false"),
        })
    }

    pub(super) fn integer(&mut self, parent: &Node, key: &str) -> Option<Fact<i64>> {
        let node = present(parent, key)?;
        Some(self.number(&node, key))
    }

    pub(super) fn number(&mut self, node: &Node, key: &str) -> Fact<i64> {
        match node.value() {
            Value::Integer(value) => Fact::known(value, node.origin()),
            // `1000.0` and `1e3` are integers to JSON decoders of other languages and are refused by Go's.
            _ => self.wrong(node, key, "a whole number"),
        }
    }

    pub(super) fn mapping(&mut self, parent: &Node, key: &str) -> Option<Node> {
        let node = present(parent, key)?;
        if node.is_mapping() {
            return Some(node);
        }
        let _: Fact<()> = self.wrong(&node, key, "a mapping");
        None
    }

    /// The items of the sequence at a key; none where it is absent.
    pub(super) fn items(&mut self, parent: &Node, key: &str) -> Vec<Node> {
        match present(parent, key) {
            Some(node) => self.sequence(&node, key),
            None => Vec::new(),
        }
    }

    /// The items of a sequence that is there.
    pub(super) fn sequence(&mut self, node: &Node, key: &str) -> Vec<Node> {
        if node.is_sequence() || node.is_null() {
            return if self.spend(node.len(), node) { node.items().collect() } else { Vec::new() };
        }
        let _: Fact<()> = self.wrong(node, key, "a list");
        Vec::new()
    }

    /// The items of a sequence of mappings; another item is a problem.
    pub(super) fn mappings(&mut self, parent: &Node, key: &str) -> Vec<Node> {
        let mut items = self.items(parent, key);
        items.retain(|item| {
            if !item.is_mapping() && !item.is_null() {
                let _: Fact<()> = self.wrong(item, key, "a list of mappings");
            }
            item.is_mapping()
        });
        items
    }

    pub(super) fn strings(&mut self, parent: &Node, key: &str) -> Vec<Fact<Arc<str>>> {
        self.items(parent, key).iter().map(|item| self.text(item, key)).collect()
    }

    /// The known texts of a list, for objects that are only looked up.
    pub(super) fn names(&mut self, parent: &Node, key: &str) -> Vec<Arc<str>> {
        self.strings(parent, key).into_iter().filter_map(|fact| fact.value).collect()
    }

    pub(super) fn problem(&mut self, node: &Node, message: impl Into<String>) {
        self.problems.push(Problem::at(&node.place(), message));
    }

    fn wrong<T>(&mut self, node: &Node, key: &str, want: &str) -> Fact<T> {
        if self.is_unrendered(node.source()) && node.value() != Value::Null {
            return self.not_rendered(node);
        }
        let got = match node.value() {
            Value::Null => "nothing",
            Value::Bool(_) => "a boolean",
            Value::Integer(_) => "a number",
            Value::Float(_) => "a number with a fraction or beyond 64 bits",
            Value::String => "a text",
            Value::Sequence => "a list",
            Value::Mapping => "a mapping",
        };
        self.problem(node, format!("`{key}` must be {want}, and here is {got}"));
        Fact::unknown(node.origin())
    }

    /// One problem a document: the first place is enough to find the file that was meant.
    fn not_rendered<T>(&mut self, node: &Node) -> Fact<T> {
        if !self.not_rendered {
            self.not_rendered = true;
            self.problem(node, NOT_RENDERED);
        }
        Fact::unknown(node.origin())
    }
}

/// The value at a key, where there is one: `key:` with nothing behind it is decoded as if it were absent.
pub(super) fn present(parent: &Node, key: &str) -> Option<Node> {
    parent.get(key).filter(|node| !node.is_null())
}

/// Markers of Go templates and Jinja, of shells and envsubst, and what Go's text/template leaves for a missing value.
fn is_unrendered(text: &str) -> bool {
    // Most texts hold none of these bytes.
    if !text.bytes().any(|b| matches!(b, b'{' | b'<')) {
        return false;
    }
    let pair = |open: &str, close: &str| {
        text.find(open).and_then(|at| text.get(at..)).is_some_and(|rest| rest.contains(close))
    };
    pair("{{", "}}") || pair("{%", "%}") || pair("${", "}") || text.contains("<no value>")
}

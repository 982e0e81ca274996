//! Typed access to the fields of a document: what is absent is absent, what has the wrong type is a problem at its
//! place and an unknown fact, never an absent one.

use std::sync::Arc;

use confinement::{Fact, Problem};

use crate::document::Node;

/// Collects the problems of one document.
#[derive(Debug, Default)]
pub(crate) struct Fields {
    pub(crate) problems: Vec<Problem>,
}

impl Fields {
    pub(crate) fn wrong(&mut self, node: &Node, wanted: &str) {
        let route = node.route().iter().map(step).collect::<Vec<_>>().join(".");
        self.problems.push(Problem::at(&node.place(), format!("`{route}` must be {wanted}")));
    }

    fn read<T>(
        &mut self,
        parent: &Node,
        key: &str,
        wanted: &str,
        read: impl FnOnce(&Node) -> Option<T>,
    ) -> Option<Fact<T>> {
        let node = parent.get(key).filter(|node| !node.is_null())?;
        let value = read(&node);
        if value.is_none() {
            self.wrong(&node, wanted);
        }
        Some(Fact { value, origin: node.origin() })
    }

    pub(crate) fn text(&mut self, parent: &Node, key: &str) -> Option<Fact<Arc<str>>> {
        self.read(parent, key, "text", |node| node.as_string_strict().map(Arc::from))
    }

    pub(crate) fn boolean(&mut self, parent: &Node, key: &str) -> Option<Fact<bool>> {
        self.read(parent, key, "true or false", Node::as_bool)
    }

    pub(crate) fn integer(&mut self, parent: &Node, key: &str) -> Option<Fact<i64>> {
        self.read(parent, key, "a whole number", Node::as_i64)
    }

    /// A number that ids, device numbers and modes are.
    pub(crate) fn number(&mut self, parent: &Node, key: &str) -> Option<Fact<u32>> {
        self.read(parent, key, "a whole number from 0 to 4294967295", |node| {
            u32::try_from(node.as_i64()?).ok()
        })
    }

    /// The node of an object; nothing where it is absent or no object.
    pub(crate) fn object(&mut self, parent: &Node, key: &str) -> Option<Node> {
        let node = parent.get(key).filter(|node| !node.is_null())?;
        if !node.is_mapping() {
            self.wrong(&node, "an object");
            return None;
        }
        Some(node)
    }

    /// The items of a list; nothing where it is absent or no list.
    pub(crate) fn list(&mut self, parent: &Node, key: &str) -> Option<Vec<Node>> {
        let node = parent.get(key).filter(|node| !node.is_null())?;
        if !node.is_sequence() {
            self.wrong(&node, "a list");
            return None;
        }
        Some(node.items().collect())
    }

    /// A list of texts, unknown where an item is none.
    pub(crate) fn texts(&mut self, parent: &Node, key: &str) -> Option<Fact<Vec<Arc<str>>>> {
        let node = parent.get(key).filter(|node| !node.is_null())?;
        let unknown = Some(Fact::unknown(node.origin()));
        let Some(items) = self.list(parent, key) else { return unknown };
        let mut texts = Vec::new();
        for item in items {
            match item.as_string_strict() {
                Some(text) => texts.push(Arc::from(text)),
                None => {
                    self.wrong(&item, "text");
                    return unknown;
                }
            }
        }
        Some(Fact::known(texts, node.origin()))
    }
}

fn step(step: &crate::document::Step) -> String {
    match step {
        crate::document::Step::Key(key) => key.to_string(),
        crate::document::Step::Index(index) => index.to_string(),
    }
}

//! Conditions as one graph that all rules share: the same comparison, and the same combination of comparisons, is one
//! node however often rules and macros write it. Negation stands on the edges; `or` is a negated `and`.

use std::hash::{Hash, Hasher};

use rustc_hash::FxHashMap;

use crate::ast::Operator;
use crate::event::{Event, Value};
use crate::fields::{Field, Takes};
use crate::output::plain;
use crate::test::{Number, Order, Test};
use crate::transform::Computed;
use crate::types::{EventType, TypeSet};

/// A node, perhaps negated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Edge(u32);

impl Edge {
    pub(crate) const TRUE: Edge = Edge(0);
    pub(crate) const FALSE: Edge = Edge(1);

    pub(crate) fn new(node: u32, negated: bool) -> Edge {
        Edge(node << 1 | u32::from(negated))
    }

    fn to(node: usize) -> Edge {
        Edge((node as u32) << 1)
    }

    pub(crate) fn node(self) -> usize {
        (self.0 >> 1) as usize
    }

    pub(crate) fn negated(self) -> bool {
        self.0 & 1 == 1
    }

    #[must_use]
    pub(crate) fn not(self) -> Edge {
        Edge(self.0 ^ 1)
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Node {
    True,
    /// The event is of one of these types.
    Types(TypeSet),
    /// A comparison, by its number.
    Predicate(u32),
    And(Box<[Edge]>),
    /// Exactly one holds.
    One(Box<[Edge]>),
}

/// One comparison.
#[derive(Debug)]
pub(crate) struct Predicate {
    pub(crate) subject: Computed,
    pub(crate) operator: Operator,
    /// Sorted, without repeats.
    pub(crate) values: Vec<Vec<u8>>,
    pub(crate) ask: Ask,
}

#[derive(Debug)]
pub(crate) enum Ask {
    Test(Test),
    /// Compared with another value of the same event.
    Against(Computed),
}

/// What makes two comparisons the same.
#[derive(PartialEq, Eq)]
struct Key {
    subject: Computed,
    operator: Operator,
    values: Vec<Vec<u8>>,
    against: Option<Computed>,
}

impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.subject.hash(state);
        self.operator.hash(state);
        self.values.hash(state);
    }
}

/// Types of events that no condition tells apart, and what is left of each condition for them.
pub(crate) struct Class {
    pub(crate) types: TypeSet,
    pub(crate) conditions: Vec<Edge>,
}

/// An `and` of more parts stays as it is within another; else a long chain of macros would be copied over and over.
const FLATTENED: usize = 32;

#[derive(Default)]
pub(crate) struct Graph {
    pub(crate) nodes: Vec<Node>,
    pub(crate) predicates: Vec<Predicate>,
    /// How many nodes stand below each other, node by node.
    depths: Vec<u32>,
    node_index: FxHashMap<Node, u32>,
    predicate_index: FxHashMap<Key, u32>,
}

impl Graph {
    pub(crate) fn new() -> Graph {
        let mut graph = Graph::default();
        graph.node(Node::True);
        graph
    }

    fn node(&mut self, node: Node) -> Edge {
        if let Some(known) = self.node_index.get(&node) {
            return Edge::to(*known as usize);
        }
        let index = self.nodes.len();
        let below = match &node {
            Node::And(children) | Node::One(children) => {
                children.iter().map(|c| self.depth(*c)).max().unwrap_or(0)
            }
            _ => 0,
        };
        self.depths.push(below + 1);
        self.node_index.insert(node.clone(), index as u32);
        self.nodes.push(node);
        Edge::to(index)
    }

    /// How deep the recursion goes that decides it.
    pub(crate) fn depth(&self, edge: Edge) -> u32 {
        self.depths.get(edge.node()).copied().unwrap_or(0)
    }

    pub(crate) fn types(&mut self, set: TypeSet) -> Edge {
        match () {
            () if set.is_empty() => Edge::FALSE,
            () if set.len() == EventType::COUNT => Edge::TRUE,
            () => self.node(Node::Types(set)),
        }
    }

    /// A comparison with constants.
    pub(crate) fn test(
        &mut self,
        subject: Computed,
        operator: Operator,
        values: Vec<Vec<u8>>,
        test: Test,
    ) -> Edge {
        self.predicate(Key { subject, operator, values, against: None }, Ask::Test(test))
    }

    pub(crate) fn against(&mut self, subject: Computed, operator: Operator, right: Computed) -> Edge {
        let key = Key { subject, operator, values: Vec::new(), against: Some(right.clone()) };
        self.predicate(key, Ask::Against(right))
    }

    fn predicate(&mut self, mut key: Key, ask: Ask) -> Edge {
        key.values.sort_unstable();
        key.values.dedup();
        let number = match self.predicate_index.get(&key) {
            Some(known) => *known,
            None => {
                let number = self.predicates.len() as u32;
                let Key { subject, operator, values, .. } = &key;
                self.predicates.push(Predicate {
                    subject: subject.clone(),
                    operator: *operator,
                    values: values.clone(),
                    ask,
                });
                self.predicate_index.insert(key, number);
                number
            }
        };
        self.node(Node::Predicate(number))
    }

    pub(crate) fn and(&mut self, children: impl IntoIterator<Item = Edge>) -> Edge {
        let mut flat = Vec::new();
        for child in children {
            match self.nodes.get(child.node()) {
                _ if child == Edge::FALSE => return Edge::FALSE,
                _ if child == Edge::TRUE => {}
                Some(Node::And(inner)) if !child.negated() && inner.len() <= FLATTENED => {
                    flat.extend_from_slice(inner)
                }
                _ => flat.push(child),
            }
        }
        flat.sort_unstable();
        flat.dedup();
        match flat.as_slice() {
            [] => Edge::TRUE,
            [only] => *only,
            _ => self.node(Node::And(flat.into())),
        }
    }

    pub(crate) fn or(&mut self, children: impl IntoIterator<Item = Edge>) -> Edge {
        let negated: Vec<Edge> = children.into_iter().map(Edge::not).collect();
        self.and(negated).not()
    }

    /// Exactly one holds; two that are the same can never be that one.
    pub(crate) fn one(&mut self, children: Vec<Edge>) -> Edge {
        match children.as_slice() {
            [] => Edge::FALSE,
            [only] => *only,
            _ => self.node(Node::One(children.into())),
        }
    }

    /// What is left of the conditions, type by type; types for which the same is left are one class.
    pub(crate) fn classes(&mut self, conditions: &[Edge]) -> Vec<Class> {
        let sets: Vec<&TypeSet> =
            self.nodes.iter().filter_map(|n| if let Node::Types(s) = n { Some(s) } else { None }).collect();
        let mut by_membership: FxHashMap<Vec<bool>, TypeSet> = FxHashMap::default();
        for event_type in EventType::all() {
            let membership = sets.iter().map(|set| set.contains(event_type)).collect();
            by_membership.entry(membership).or_insert_with(TypeSet::none).insert(event_type);
        }
        let mut classes = Vec::new();
        for types in by_membership.into_values() {
            let Some(any) = types.iter().next() else { continue };
            let mut known = FxHashMap::default();
            let conditions = conditions.iter().map(|c| self.restrict(*c, any, &mut known)).collect();
            classes.push(Class { types, conditions });
        }
        classes
    }

    /// What is left of a condition for one type of event. `known` keeps what was found for that type.
    fn restrict(&mut self, edge: Edge, event_type: EventType, known: &mut FxHashMap<u32, Edge>) -> Edge {
        let turned = |result: Edge| if edge.negated() { result.not() } else { result };
        if let Some(result) = known.get(&(edge.node() as u32)) {
            return turned(*result);
        }
        let result = match self.nodes.get(edge.node()).cloned() {
            None | Some(Node::True) => Edge::TRUE,
            Some(Node::Types(set)) => {
                if set.contains(event_type) {
                    Edge::TRUE
                } else {
                    Edge::FALSE
                }
            }
            Some(Node::Predicate(_)) => Edge::to(edge.node()),
            Some(Node::And(children)) => {
                let children: Vec<_> =
                    children.iter().map(|c| self.restrict(*c, event_type, known)).collect();
                self.and(children)
            }
            Some(Node::One(children)) => {
                let children: Vec<_> =
                    children.iter().map(|c| self.restrict(*c, event_type, known)).collect();
                self.one_of_known(children)
            }
        };
        known.insert(edge.node() as u32, result);
        turned(result)
    }

    fn one_of_known(&mut self, children: Vec<Edge>) -> Edge {
        let certain = children.iter().filter(|c| **c == Edge::TRUE).count();
        let open: Vec<Edge> =
            children.into_iter().filter(|c| *c != Edge::TRUE && *c != Edge::FALSE).collect();
        match certain {
            0 => self.one(open),
            1 => self.and(open.into_iter().map(Edge::not).collect::<Vec<_>>()),
            _ => Edge::FALSE,
        }
    }
}

impl Predicate {
    /// Whether it holds; None where what it asks about is absent, which for `exists` is an answer.
    pub(crate) fn holds<E: Event + ?Sized>(&self, event: &E) -> Option<bool> {
        let negated = self.operator == Operator::NotEqual;
        match &self.ask {
            Ask::Test(Test::Exists) => Some(match &self.subject {
                Computed::Field(field) if field.is_any() => event.any(field, &mut |_| true),
                subject => subject.value(event).is_some(),
            }),
            Ask::Test(test) => match &self.subject {
                Computed::Field(field) if field.is_any() => any(field, test, negated, event),
                subject => subject.value(event).map(|value| test.accepts(&value) != negated),
            },
            Ask::Against(right) => {
                let left = self.subject.value(event)?;
                let right = right.value(event)?;
                Some(compare(self.operator, &left, &right))
            }
        }
    }
}

/// Of ancestors, one must pass; of the ends of a socket, one must be equal, or both differ.
fn any<E: Event + ?Sized>(field: &Field, test: &Test, negated: bool, event: &E) -> Option<bool> {
    let both_must_differ = negated && field.id.row().takes == Takes::EitherEnd;
    let mut some = false;
    let passed = event.any(field, &mut |value| {
        some = true;
        test.accepts(value) != (negated && !both_must_differ)
    });
    some.then_some(passed != both_must_differ)
}

/// Compares two values of an event.
fn compare(operator: Operator, left: &Value<'_>, right: &Value<'_>) -> bool {
    if let (Value::List(_), _) | (_, Value::List(_)) = (left, right) {
        return compare_lists(operator, left, right);
    }
    if let (Some(a), Some(b)) = (Number::of(left), Number::of(right)) {
        let Some(ordering) = a.compare(b) else { return operator == Operator::NotEqual };
        return match operator {
            Operator::Equal | Operator::In | Operator::Intersects => ordering.is_eq(),
            Operator::NotEqual => ordering.is_ne(),
            other => Order::of(other).is_some_and(|order| order.accepts(ordering)),
        };
    }
    let (left, right) = (plain(left), plain(right));
    match operator {
        Operator::Equal | Operator::In | Operator::Intersects => left == right,
        Operator::NotEqual => left != right,
        other => crate::test::Test::new(crate::fields::Kind::Text, other, &[right])
            .is_ok_and(|test| test.accepts(&Value::bytes(&left))),
    }
}

fn compare_lists(operator: Operator, left: &Value<'_>, right: &Value<'_>) -> bool {
    let elements = |value: &Value<'_>| match value {
        Value::List(items) => items.iter().map(plain).collect::<Vec<_>>(),
        single => vec![plain(single)],
    };
    let (left, right) = (elements(left), elements(right));
    match operator {
        Operator::In => !left.is_empty() && left.iter().all(|l| right.contains(l)),
        Operator::Intersects => left.iter().any(|l| right.contains(l)),
        _ => false,
    }
}

//! Rules made ready to be asked about many events.
//!
//! * For each type of event there is a list of the rules that can match it, each with what is left of its condition for
//!   that type; comparisons of `evt.type` are gone.
//! * Every comparison and every combination is a node that is decided at most once per event.
//! * Comparisons of one field with constants are decided together, all at the first question: equalities and sets by one
//!   look-up in a hash table, prefixes and suffixes by one walk along a trie, substrings by one pass of Aho-Corasick.
//! * Among the parts of an `and` the cheap ones are asked first. No part has an effect, so the order changes nothing.

use std::sync::Arc;

use aho_corasick::AhoCorasick;
use rustc_hash::FxHashMap;

use crate::ast::Operator;
use crate::event::{Event, Value};
use crate::fields::{Field, FieldId, Kind};
use crate::graph::{Ask, Edge, Graph, Node, Predicate};
use crate::load::{Loaded, Rule};
use crate::pattern::{ByteTrie, Glob};
use crate::transform::Computed;
use crate::types::{EventType, TypeSet};

/// Whether an event may match more than one rule.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Matching {
    /// Only the first rule, in the order of the files, as Falco does unless told otherwise.
    #[default]
    First,
    All,
}

/// Which rules are asked.
#[derive(Clone, Debug, Default)]
pub struct Selection {
    pub matching: Matching,
    /// Applied in order on what the files say.
    pub switches: Vec<Switch>,
}

#[derive(Clone, Debug)]
pub struct Switch {
    pub enable: bool,
    pub which: Which,
}

#[derive(Clone, Debug)]
pub enum Which {
    /// By name; `*` and `?` stand for any text and any character.
    Name(String),
    Tag(String),
}

impl Selection {
    pub fn enables(&self, rule: &Rule) -> bool {
        self.switches.iter().fold(rule.enabled, |enabled, switch| {
            let concerned = match &switch.which {
                Which::Name(pattern) => Glob::new(pattern.as_bytes(), false).matches(rule.name.as_bytes()),
                Which::Tag(tag) => rule.tags.contains(tag),
            };
            if concerned { switch.enable } else { enabled }
        })
    }
}

pub struct Matcher {
    graph: Arc<Graph>,
    rules: Vec<Rule>,
    nodes: Vec<Code>,
    children: Vec<Edge>,
    groups: Vec<Group>,
    /// By type of event: rules with what is left of their conditions.
    by_type: Vec<Arc<[(u32, Edge)]>>,
    matching: Matching,
}

/// A node ready to be decided.
#[derive(Clone, Copy, Debug)]
enum Code {
    True,
    /// A comparison that is asked alone.
    Alone(u32),
    /// A comparison that its group decides; of `predicate`, by its number within the group.
    Grouped {
        predicate: u32,
        group: u16,
        member: u16,
        negated: bool,
    },
    And {
        first: u32,
        count: u32,
    },
    One {
        first: u32,
        count: u32,
    },
}

/// Comparisons of one field that are decided together.
struct Group {
    field: Field,
    table: Table,
    /// Sets of members, as bits.
    sets: Vec<Box<[u64]>>,
    /// Where in the scratch's bits the members of a substring group stand, and how many words they take.
    bits: usize,
    words: usize,
}

enum Table {
    Exact(FxHashMap<Box<[u8]>, u32>),
    /// The set of each node of the trie.
    Prefixes(ByteTrie, Vec<u32>),
    Suffixes(ByteTrie, Vec<u32>),
    /// Pattern by pattern, the members that it stands for.
    Substrings(AhoCorasick, Vec<Vec<u16>>),
}

/// What is remembered within one event. Kept by the caller, so that nothing is allocated for an event.
pub struct Scratch {
    generation: u32,
    /// Generation and answer of each node.
    nodes: Vec<u32>,
    groups: Vec<GroupState>,
    bits: Vec<u64>,
    found: Vec<u32>,
}

#[derive(Clone, Copy, Default)]
struct GroupState {
    generation: u32,
    /// The field has no value.
    absent: bool,
    set: u32,
}

/// How a rule stands to an event when absent fields are not taken for false.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Judgement<'m> {
    Matches,
    /// It would depend on these fields, which the event does not have.
    Unknown(Vec<&'m Field>),
}

impl Matcher {
    pub fn new(loaded: &Loaded, selection: &Selection) -> Matcher {
        let enabled: Vec<usize> =
            (0..loaded.rules.len()).filter(|rule| selection.enables(&loaded.rules[*rule])).collect();
        let mut builder = Builder::new(&loaded.graph);
        let none: Arc<[(u32, Edge)]> = Arc::new([]);
        let mut by_type = vec![none; EventType::COUNT];
        for class in &loaded.classes {
            let mut asked = Vec::new();
            for (number, rule) in enabled.iter().enumerate() {
                match class.conditions.get(*rule) {
                    None | Some(&Edge::FALSE) => {}
                    Some(condition) => asked.push((number as u32, builder.edge(*condition))),
                }
            }
            let asked: Arc<[(u32, Edge)]> = asked.into();
            for event_type in class.types.iter() {
                by_type[event_type as usize] = asked.clone();
            }
        }
        let (nodes, children, groups) = builder.finish();
        Matcher {
            graph: loaded.graph.clone(),
            rules: enabled.into_iter().map(|rule| loaded.rules[rule].clone()).collect(),
            nodes,
            children,
            groups,
            by_type,
            matching: selection.matching,
        }
    }

    /// The rules that are asked, in order.
    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }

    pub fn scratch(&self) -> Scratch {
        Scratch {
            generation: 0,
            nodes: vec![0; self.nodes.len()],
            groups: vec![GroupState::default(); self.groups.len()],
            bits: vec![0; self.groups.iter().map(|g| g.bits + g.words).max().unwrap_or(0)],
            found: Vec::new(),
        }
    }

    /// The types of events that some rule can match. Others need not be sent.
    pub fn required_event_types(&self) -> TypeSet {
        EventType::all().filter(|t| !self.by_type[*t as usize].is_empty()).collect()
    }

    /// The fields that conditions ask for, and outputs, each once.
    pub fn required_fields(&self) -> Vec<Field> {
        let mut fields: Vec<Field> = Vec::new();
        let mut note = |field: &Field| fields.push(field.clone());
        for code in &self.nodes {
            if let Code::Alone(predicate) | Code::Grouped { predicate, .. } = code {
                let predicate = &self.graph.predicates[*predicate as usize];
                predicate.subject.fields(&mut note);
                if let Ask::Against(right) = &predicate.ask {
                    right.fields(&mut note);
                }
            }
        }
        for rule in &self.rules {
            rule.output.fields(&mut note);
        }
        fields.sort_by_cached_key(|field| (field.id, field.to_string()));
        fields.dedup();
        fields
    }

    /// The rules that match, in order; at most one where only the first is wanted.
    pub fn matches<'m, E: Event + ?Sized>(
        &'m self,
        event: &E,
        scratch: &'m mut Scratch,
    ) -> impl Iterator<Item = &'m Rule> + use<'m, E> {
        scratch.found.clear();
        let asked = &self.by_type[event.event_type() as usize];
        if !asked.is_empty() {
            scratch.next();
            for (rule, condition) in asked.iter() {
                if self.holds(*condition, event, scratch) {
                    scratch.found.push(*rule);
                    if self.matching == Matching::First {
                        break;
                    }
                }
            }
        }
        scratch.found.iter().map(|rule| &self.rules[*rule as usize])
    }

    fn holds<E: Event + ?Sized>(&self, edge: Edge, event: &E, scratch: &mut Scratch) -> bool {
        let node = edge.node();
        let known = scratch.nodes[node];
        if known >> 1 == scratch.generation {
            return (known & 1 == 1) != edge.negated();
        }
        let value = match self.nodes[node] {
            Code::True => true,
            Code::Alone(predicate) => self.graph.predicates[predicate as usize].holds(event).unwrap_or(false),
            Code::Grouped { group, member, negated, .. } => {
                self.grouped(group, member, event, scratch).is_some_and(|held| held != negated)
            }
            Code::And { first, count } => {
                self.children[first as usize..(first + count) as usize].iter().all(|child| {
                    // What is known is not worth a call.
                    let known = scratch.nodes[child.node()];
                    match known >> 1 == scratch.generation {
                        true => (known & 1 == 1) != child.negated(),
                        false => self.holds(*child, event, scratch),
                    }
                })
            }
            Code::One { first, count } => {
                let mut held = 0;
                for child in first..first + count {
                    held += usize::from(self.holds(self.children[child as usize], event, scratch));
                    if held > 1 {
                        break;
                    }
                }
                held == 1
            }
        };
        scratch.nodes[node] = scratch.generation << 1 | u32::from(value);
        value != edge.negated()
    }

    /// None where the field has no value.
    fn grouped<E: Event + ?Sized>(
        &self,
        number: u16,
        member: u16,
        event: &E,
        scratch: &mut Scratch,
    ) -> Option<bool> {
        let group = &self.groups[usize::from(number)];
        let state = &mut scratch.groups[usize::from(number)];
        if state.generation != scratch.generation {
            *state = GroupState { generation: scratch.generation, absent: false, set: 0 };
            match event.field(&group.field) {
                Some(Value::Text(text)) => {
                    state.set = group.ask(&text, &mut scratch.bits);
                }
                Some(other) => state.set = group.ask(&crate::output::compared(&other), &mut scratch.bits),
                None => state.absent = true,
            }
        }
        if state.absent {
            return None;
        }
        let (word, bit) = (usize::from(member) / 64, u32::from(member) % 64);
        let words: &[u64] = match group.table {
            Table::Substrings(..) => &scratch.bits[group.bits..group.bits + group.words],
            _ => &group.sets[state.set as usize],
        };
        Some(words.get(word).is_some_and(|w| w >> bit & 1 == 1))
    }

    /// Every rule that matches, or that may: absent fields are not known rather than false. Slower; all rules are asked
    /// whatever the selection says of the first.
    pub fn judge<E: Event + ?Sized>(&self, event: &E) -> Vec<(&Rule, Judgement<'_>)> {
        let mut judged = Vec::new();
        let mut known = FxHashMap::default();
        for (rule, condition) in self.by_type[event.event_type() as usize].iter() {
            let rule = &self.rules[*rule as usize];
            match self.decide(*condition, event, &mut known) {
                Some(false) => {}
                Some(true) => judged.push((rule, Judgement::Matches)),
                None => {
                    let mut absent = Vec::new();
                    self.absent(*condition, event, &mut known, &mut absent);
                    absent.sort_by_cached_key(|field| (field.id, field.to_string()));
                    absent.dedup();
                    judged.push((rule, Judgement::Unknown(absent)));
                }
            }
        }
        judged
    }

    /// Kleene's logic: what does not depend on the unknown is decided.
    fn decide<E: Event + ?Sized>(
        &self,
        edge: Edge,
        event: &E,
        known: &mut FxHashMap<usize, Option<bool>>,
    ) -> Option<bool> {
        let node = edge.node();
        let value = match known.get(&node) {
            Some(value) => *value,
            None => {
                let value = match self.nodes[node] {
                    Code::True => Some(true),
                    Code::Alone(predicate) | Code::Grouped { predicate, .. } => {
                        self.graph.predicates[predicate as usize].holds(event)
                    }
                    Code::And { first, count } => {
                        let mut value = Some(true);
                        for child in first..first + count {
                            match self.decide(self.children[child as usize], event, known) {
                                Some(true) => {}
                                Some(false) => {
                                    value = Some(false);
                                    break;
                                }
                                None => value = None,
                            }
                        }
                        value
                    }
                    Code::One { first, count } => {
                        let children: Vec<_> = (first..first + count)
                            .map(|child| self.decide(self.children[child as usize], event, known))
                            .collect();
                        match children.iter().filter(|c| **c == Some(true)).count() {
                            2.. => Some(false),
                            _ if children.contains(&None) => None,
                            held => Some(held == 1),
                        }
                    }
                };
                known.insert(node, value);
                value
            }
        };
        value.map(|value| value != edge.negated())
    }

    /// The fields that an undecided node lacks.
    fn absent<'m, E: Event + ?Sized>(
        &'m self,
        edge: Edge,
        event: &E,
        known: &mut FxHashMap<usize, Option<bool>>,
        absent: &mut Vec<&'m Field>,
    ) {
        if self.decide(edge, event, known).is_some() {
            return;
        }
        match self.nodes[edge.node()] {
            Code::True => {}
            Code::Alone(predicate) | Code::Grouped { predicate, .. } => {
                let predicate = &self.graph.predicates[predicate as usize];
                let mut note = |field: &'m Field| {
                    if event.field(field).is_none() {
                        absent.push(field);
                    }
                };
                predicate.subject.fields(&mut note);
                if let Ask::Against(right) = &predicate.ask {
                    right.fields(&mut note);
                }
            }
            Code::And { first, count } | Code::One { first, count } => {
                for child in first..first + count {
                    self.absent(self.children[child as usize], event, known, absent);
                }
            }
        }
    }
}

impl Scratch {
    /// Forgets the event before.
    fn next(&mut self) {
        self.generation += 1;
        if self.generation >= u32::MAX >> 1 {
            self.generation = 1;
            self.nodes.fill(0);
            self.groups.fill(GroupState::default());
        }
    }
}

impl Group {
    /// The set of members that a text satisfies; for substrings, left in the bits.
    fn ask(&self, text: &[u8], bits: &mut [u64]) -> u32 {
        match &self.table {
            Table::Exact(table) => table.get(text).copied().unwrap_or(0),
            Table::Prefixes(trie, sets) => sets[trie.walk(text.iter().copied())],
            Table::Suffixes(trie, sets) => sets[trie.walk(text.iter().rev().copied())],
            Table::Substrings(searcher, members) => {
                let words = &mut bits[self.bits..self.bits + self.words];
                words.fill(0);
                for found in searcher.find_overlapping_iter(text) {
                    for member in &members[found.pattern().as_usize()] {
                        words[usize::from(*member) / 64] |= 1 << (member % 64);
                    }
                }
                0
            }
        }
    }
}

/// Bytes of the texts that one trie or automaton is made of.
const LARGEST_TABLE: usize = 1 << 20;

/// How a group decides its comparisons.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum How {
    Exact,
    Prefixes,
    Suffixes,
    Substrings,
}

/// Fewer are asked one by one.
const SMALLEST_GROUP: usize = 2;
/// Members of one group; of more, the rest is asked one by one.
const LARGEST_GROUP: usize = 4096;

impl Predicate {
    /// The field and the kind of group that can decide it.
    fn group(&self) -> Option<(&Field, How)> {
        let Computed::Field(field) = &self.subject else { return None };
        let single = matches!(field.kind(), Kind::Text | Kind::Bytes) && !field.is_any();
        if !single || matches!(self.ask, Ask::Against(_)) {
            return None;
        }
        let how = match self.operator {
            Operator::Equal | Operator::NotEqual | Operator::In | Operator::Intersects => How::Exact,
            Operator::StartsWith => How::Prefixes,
            Operator::EndsWith => How::Suffixes,
            // Everything contains nothing; Aho-Corasick would find it at every byte.
            Operator::Contains if self.values.iter().all(|v| !v.is_empty()) => How::Substrings,
            _ => return None,
        };
        Some((field, how))
    }

    fn cost(&self) -> u32 {
        let subject = match &self.subject {
            Computed::Field(field) if field.is_any() => 30,
            Computed::Field(field) => field_cost(field),
            _ => 20,
        };
        match &self.ask {
            Ask::Against(_) => subject + 10,
            Ask::Test(test) => subject + test.cost(),
        }
    }
}

/// Fields that an event carries come before those that are put together.
fn field_cost(field: &Field) -> u32 {
    match field.id {
        FieldId::EvtArgs | FieldId::EvtInfo | FieldId::ProcEnv | FieldId::ContainerMounts => 12,
        FieldId::ProcCmdline | FieldId::ProcPcmdline | FieldId::ProcExeline | FieldId::FdName => 4,
        _ => match field.kind() {
            Kind::Bool | Kind::Unsigned | Kind::Signed | Kind::Port => 1,
            _ => 3,
        },
    }
}

/// Takes over the nodes that are reached, numbers them anew and sorts children by cost.
struct Builder<'g> {
    graph: &'g Graph,
    numbers: FxHashMap<usize, u32>,
    nodes: Vec<Code>,
    costs: Vec<u32>,
    children: Vec<Edge>,
}

impl<'g> Builder<'g> {
    fn new(graph: &'g Graph) -> Builder<'g> {
        let mut builder = Builder {
            graph,
            numbers: FxHashMap::default(),
            nodes: Vec::new(),
            costs: Vec::new(),
            children: Vec::new(),
        };
        builder.edge(Edge::TRUE);
        builder
    }

    fn edge(&mut self, edge: Edge) -> Edge {
        let number = match self.numbers.get(&edge.node()) {
            Some(number) => *number,
            None => self.node(edge.node()),
        };
        Edge::new(number, edge.negated())
    }

    fn node(&mut self, node: usize) -> u32 {
        let (code, cost) = match &self.graph.nodes[node] {
            // No type is left in a condition for one type.
            Node::True | Node::Types(_) => (Code::True, 0),
            Node::Predicate(predicate) => {
                (Code::Alone(*predicate), self.graph.predicates[*predicate as usize].cost())
            }
            Node::And(children) => {
                let (first, count, cost) = self.sorted(children);
                // The first part often decides.
                (Code::And { first, count }, cost)
            }
            Node::One(children) => {
                let (first, count, cost) = self.sorted(children);
                (Code::One { first, count }, cost * 2)
            }
        };
        let number = self.nodes.len() as u32;
        self.nodes.push(code);
        self.costs.push(cost);
        self.numbers.insert(node, number);
        number
    }

    fn sorted(&mut self, children: &[Edge]) -> (u32, u32, u32) {
        let mut edges: Vec<Edge> = children.iter().map(|child| self.edge(*child)).collect();
        edges.sort_by_key(|edge| self.costs[edge.node()]);
        let cost = edges.iter().take(3).map(|edge| self.costs[edge.node()]).sum::<u32>().saturating_add(1);
        let first = self.children.len() as u32;
        self.children.extend_from_slice(&edges);
        (first, edges.len() as u32, cost)
    }

    fn finish(mut self) -> (Vec<Code>, Vec<Edge>, Vec<Group>) {
        let mut members: FxHashMap<(&Field, How), Vec<(usize, u32)>> = FxHashMap::default();
        let mut order = Vec::new();
        for (node, code) in self.nodes.iter().enumerate() {
            let Code::Alone(predicate) = code else { continue };
            if let Some(key) = self.graph.predicates[*predicate as usize].group() {
                let known = members.entry(key).or_default();
                if known.is_empty() {
                    order.push(key);
                }
                if known.len() < LARGEST_GROUP {
                    known.push((node, *predicate));
                }
            }
        }
        let mut groups = Vec::new();
        let mut bits = 0;
        for key in order {
            let Some(members) = members.get(&key).filter(|m| m.len() >= SMALLEST_GROUP) else { continue };
            let predicates: Vec<&Predicate> =
                members.iter().map(|(_, predicate)| &self.graph.predicates[*predicate as usize]).collect();
            let Ok(number) = u16::try_from(groups.len()) else { break };
            let Some(group) = Group::new(key.0, key.1, &predicates, bits) else { continue };
            bits += group.words;
            groups.push(group);
            for (member, ((node, predicate), asked)) in members.iter().zip(&predicates).enumerate() {
                let negated = asked.operator == Operator::NotEqual;
                self.nodes[*node] =
                    Code::Grouped { predicate: *predicate, group: number, member: member as u16, negated };
            }
        }
        (self.nodes, self.children, groups)
    }
}

impl Group {
    fn new(field: &Field, how: How, members: &[&Predicate], bits: usize) -> Option<Group> {
        let bytes: usize = members.iter().flat_map(|member| &member.values).map(Vec::len).sum();
        if how != How::Exact && bytes > LARGEST_TABLE {
            return None;
        }
        let words = members.len().div_ceil(64);
        let mut sets = Sets { words, sets: vec![vec![0; words].into()], numbers: FxHashMap::default() };
        sets.numbers.insert(sets.sets[0].clone(), 0);
        let numbered =
            || members.iter().enumerate().flat_map(|(m, p)| p.values.iter().map(move |v| (m as u32, v)));
        let mut substrings = 0;
        let table = match how {
            How::Exact => {
                let mut table: FxHashMap<Box<[u8]>, Vec<u32>> = FxHashMap::default();
                for (member, value) in numbered() {
                    table.entry(value.clone().into()).or_default().push(member);
                }
                Table::Exact(
                    table.into_iter().map(|(value, members)| (value, sets.number(&members))).collect(),
                )
            }
            How::Prefixes => {
                let trie = ByteTrie::new(numbered().map(|(member, value)| (value.iter().copied(), member)));
                let ends = trie.ends().map(|members| sets.number(members)).collect();
                Table::Prefixes(trie, ends)
            }
            How::Suffixes => {
                let trie =
                    ByteTrie::new(numbered().map(|(member, value)| (value.iter().rev().copied(), member)));
                let ends = trie.ends().map(|members| sets.number(members)).collect();
                Table::Suffixes(trie, ends)
            }
            How::Substrings => {
                let mut patterns: FxHashMap<&[u8], Vec<u16>> = FxHashMap::default();
                for (member, value) in numbered() {
                    patterns.entry(value).or_default().push(member as u16);
                }
                substrings = words;
                let (patterns, members): (Vec<_>, Vec<_>) = patterns.into_iter().unzip();
                Table::Substrings(AhoCorasick::new(patterns).ok()?, members)
            }
        };
        Some(Group { field: field.clone(), table, sets: sets.sets, bits, words: substrings })
    }
}

/// Sets of members, each kept once; the first is empty.
struct Sets {
    words: usize,
    sets: Vec<Box<[u64]>>,
    numbers: FxHashMap<Box<[u64]>, u32>,
}

impl Sets {
    fn number(&mut self, members: &[u32]) -> u32 {
        let mut set: Box<[u64]> = vec![0; self.words].into();
        for member in members {
            set[*member as usize / 64] |= 1 << (member % 64);
        }
        if let Some(known) = self.numbers.get(&set) {
            return *known;
        }
        let number = self.sets.len() as u32;
        self.numbers.insert(set.clone(), number);
        self.sets.push(set);
        number
    }
}

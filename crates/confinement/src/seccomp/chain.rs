//! The rules of one system call on one architecture, put together as libseccomp puts them together.
//!
//! A filter is not the list of its rules: libseccomp splits every comparison into comparisons of 32-bit
//! words, sorts those into a tree, merges what is equal, drops what an earlier rule already covers, and
//! refuses some contradictions. Which of two overlapping rules wins follows from that order, not from the
//! profile's. This module follows `db_rule_add` and its helpers in libseccomp's `src/db.c` (2.5.4, the same
//! in 2.6.0). It takes [`Comparison`]s from `resolve` and gives a [`Chain`] that `program` compiles.

use super::{Action, Comparison, Operator};

pub(super) type NodeId = usize;
pub(super) type LevelId = usize;

/// A 32-bit half of an argument. The order is libseccomp's: later arguments are greater, and of one argument
/// the high half is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Word {
    pub argument: u8,
    pub high: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Test {
    Equal,
    /// Tells `argument & mask == datum` apart from plain equality, as libseccomp does when it merges.
    MaskedEqual,
    Greater,
    GreaterOrEqual,
}

/// Where a comparison leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Edge {
    /// To the next node of the same level.
    Next,
    Act(Action),
    /// Into another level; when that ends without an action, on to the next node of this one.
    Down(LevelId),
}

/// `word & mask` compared with `datum`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Node {
    pub word: Word,
    pub test: Test,
    pub mask: u32,
    pub datum: u32,
    pub on_true: Edge,
    pub on_false: Edge,
    /// The comparison this node is a part of, which decides its place in the level.
    written: Operator,
    full: u64,
}

/// libseccomp refuses a rule with `EEXIST`; a runtime then does not start the container.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Contradiction;

/// The tree of one system call. Levels are shared where libseccomp shares them: a "greater" has two ways to
/// be true, and both lead to the same next argument.
#[derive(Clone, Debug, Default)]
pub(super) struct Chain {
    nodes: Vec<Node>,
    levels: Vec<Vec<NodeId>>,
    state: State,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum State {
    /// No rule: the default action.
    #[default]
    Empty,
    /// A rule without conditions.
    Always(Action),
    Tree(LevelId),
}

impl Chain {
    pub(super) fn state(&self) -> State {
        self.state
    }
    pub(super) fn level(&self, level: LevelId) -> &[NodeId] {
        &self.levels[level]
    }
    pub(super) fn node(&self, node: NodeId) -> &Node {
        &self.nodes[node]
    }

    /// Adds a rule whose comparisons must all hold; at most one for each argument.
    pub(super) fn add(
        &mut self,
        comparisons: &[Comparison],
        action: Action,
        wide: bool,
    ) -> Result<(), Contradiction> {
        // Once a rule without conditions is there, it covers every later one.
        if matches!(self.state, State::Always(_)) {
            return Ok(());
        }
        let Some(new) = self.grow(comparisons, action, wide) else {
            self.state = State::Always(action);
            return Ok(());
        };
        match self.state {
            State::Tree(root) => {
                let (pruned, found) = self.prune(root, new, Found::default(), action);
                if self.levels[root].is_empty() {
                    self.levels[root].push(new);
                    return Ok(());
                }
                // A rule that asks for less is there already.
                if !pruned && found.matching && found.old_ended && found.new_ahead {
                    return Ok(());
                }
                self.merge(root, new, None)
            }
            State::Empty | State::Always(_) => {
                let root = self.level_of(new);
                self.state = State::Tree(root);
                Ok(())
            }
        }
    }

    /// Makes the nodes of one rule; `None` when nothing has to be compared.
    fn grow(&mut self, comparisons: &[Comparison], action: Action, wide: bool) -> Option<NodeId> {
        let mut ordered: Vec<Comparison> = comparisons.to_vec();
        ordered.sort_unstable_by_key(|c| c.index);
        self.nodes.reserve(16);
        self.levels.reserve(16);
        let mut first = None;
        // The edges, of nodes made so far, that mean "the comparison holds".
        let mut open: Vec<(NodeId, bool)> = Vec::new();
        for comparison in &ordered {
            let Some((node, holds)) =
                (if wide { self.grow_wide(comparison) } else { self.grow_narrow(comparison) })
            else {
                continue;
            };
            let level = self.level_of(node);
            self.connect(&open, Edge::Down(level));
            first.get_or_insert(node);
            open = holds;
        }
        self.connect(&open, Edge::Act(action));
        first
    }

    fn connect(&mut self, edges: &[(NodeId, bool)], target: Edge) {
        for (node, side) in edges {
            let node = &mut self.nodes[*node];
            *(if *side { &mut node.on_true } else { &mut node.on_false }) = target;
        }
    }

    fn grow_narrow(&mut self, c: &Comparison) -> Option<(NodeId, Vec<(NodeId, bool)>)> {
        let (mask, datum) = mask_and_datum(c);
        if mask as u32 == 0 {
            return None;
        }
        let (test, side) = match c.operator {
            Operator::Equal => (Test::Equal, true),
            Operator::MaskedEqual => (Test::MaskedEqual, true),
            Operator::NotEqual => (Test::Equal, false),
            Operator::Greater => (Test::Greater, true),
            Operator::LessOrEqual => (Test::Greater, false),
            Operator::GreaterOrEqual => (Test::GreaterOrEqual, true),
            Operator::Less => (Test::GreaterOrEqual, false),
        };
        let node = self.push(c, test, false, mask, datum);
        Some((node, vec![(node, side)]))
    }

    /// 64 bits from two words: high first, and low where the high words are equal.
    fn grow_wide(&mut self, c: &Comparison) -> Option<(NodeId, Vec<(NodeId, bool)>)> {
        let (mask, datum) = mask_and_datum(c);
        if mask == 0 {
            return None;
        }
        let low_test = match c.operator {
            Operator::Equal | Operator::NotEqual => Test::Equal,
            Operator::MaskedEqual => Test::MaskedEqual,
            Operator::Greater | Operator::LessOrEqual => Test::Greater,
            Operator::GreaterOrEqual | Operator::Less => Test::GreaterOrEqual,
        };
        let ordering = matches!(low_test, Test::Greater | Test::GreaterOrEqual);
        let above = ordering.then(|| self.push(c, Test::Greater, true, mask, datum));
        let high_test = if ordering { Test::Equal } else { low_test };
        let high = self.push(c, high_test, true, mask, datum);
        let low = self.push(c, low_test, false, mask, datum);
        self.nodes[high].on_true = Edge::Down(self.levels.len());
        self.levels.push(vec![low]);
        if let Some(above) = above {
            self.nodes[above].on_false = Edge::Down(self.levels.len());
            self.levels.push(vec![high]);
        }
        let holds = match (c.operator, above) {
            (Operator::Greater | Operator::GreaterOrEqual, Some(above)) => vec![(above, true), (low, true)],
            (Operator::Equal | Operator::MaskedEqual, _) => vec![(low, true)],
            _ => vec![(high, false), (low, false)],
        };
        Some((above.unwrap_or(high), holds))
    }

    fn push(&mut self, c: &Comparison, test: Test, high: bool, mask: u64, datum: u64) -> NodeId {
        let half = |value: u64| if high { (value >> 32) as u32 } else { value as u32 };
        self.nodes.push(Node {
            word: Word { argument: c.index, high },
            test,
            mask: half(mask),
            datum: half(datum) & half(mask),
            on_true: Edge::Next,
            on_false: Edge::Next,
            written: c.operator,
            full: datum,
        });
        self.nodes.len() - 1
    }

    fn level_of(&mut self, node: NodeId) -> LevelId {
        self.levels.push(vec![node]);
        self.levels.len() - 1
    }

    /// Looks for what the new rule makes superfluous, and removes it; what was found also says whether the
    /// new rule is superfluous itself (`_db_tree_prune`). Compares shapes more than outcomes: a new rule can
    /// be dropped as covered by one that acts on the other side of the same comparison.
    fn prune(&mut self, level: LevelId, new: NodeId, before: Found, action: Action) -> (bool, Found) {
        let mut now = before;
        let mut pruned = false;
        if before.matched_once && !before.matching {
            return (pruned, before.returned(now));
        }
        for there in self.levels[level].clone() {
            // It may have gone with what was removed below another node.
            if !self.levels[level].contains(&there) {
                continue;
            }
            let (x, n) = (self.nodes[there], self.nodes[new]);
            if same(&x, &n) {
                (now.matching, now.matched_once) = (true, true);
                now.new_ended |= is_leaf(&n);
                now.old_ended |= is_leaf(&x);
                let more = |x: Edge, n: Edge| x != Edge::Next && n == Edge::Next;
                if more(x.on_true, n.on_true) || more(x.on_false, n.on_false) {
                    return (pruned, before.returned(now));
                }
                let ended = now.new_ended && now.old_ended;
                if ended && (!same_action(x.on_true, n.on_true) || !same_action(x.on_false, n.on_false)) {
                    return (pruned, before.returned(now));
                }
                for side in [true, false] {
                    let (Edge::Down(old), Edge::Down(below)) = (self.edge(there, side), self.edge(new, side))
                    else {
                        continue;
                    };
                    let entered = Found { matching: true, matched_once: true, ..before };
                    let (removed, found) = self.prune(old, self.levels[below][0], entered, action);
                    pruned |= removed;
                    if found.matching {
                        now = now.and_also(found);
                    }
                }
                if !self.levels[level].contains(&there) {
                    continue;
                }
                if self.acts_only(level, action) && now.matching {
                    if now.new_ended && now.old_ahead {
                        if let State::Tree(root) = self.state {
                            pruned |= self.remove(root, there);
                            if self.levels[root].is_empty() {
                                return (pruned, before.returned(now));
                            }
                        }
                    } else if now.old_ended && now.new_ahead {
                        return (pruned, before.returned(now));
                    }
                }
                continue;
            }
            let old_first = sorts_before(&x, &n);
            if if old_first { before.new_ahead } else { before.old_ahead } {
                return (pruned, before.returned(now));
            }
            // One of the two asks about a word that the other does not ask about here: go on behind it.
            for side in [true, false] {
                let Edge::Down(below) = self.edge(if old_first { there } else { new }, side) else {
                    continue;
                };
                let entered = Found { matching: false, ..before };
                let (removed, found) = if old_first {
                    self.prune(below, new, Found { old_ahead: true, ..entered }, action)
                } else {
                    self.prune(level, self.levels[below][0], Found { new_ahead: true, ..entered }, action)
                };
                pruned |= removed;
                if found.matching {
                    now = now.and_also(found);
                    return (pruned, before.returned(now));
                }
                if !self.levels[level].contains(&there) {
                    break;
                }
            }
        }
        now.matching = false;
        (pruned, before.returned(now))
    }

    /// Removes a node, with every node that has neither an action nor a level below it any more.
    fn remove(&mut self, level: LevelId, node: NodeId) -> bool {
        for (place, there) in self.levels[level].clone().into_iter().enumerate() {
            let mut removed = false;
            if there != node {
                for side in [true, false] {
                    if let Edge::Down(below) = self.edge(there, side)
                        && !removed
                        && self.remove(below, node)
                    {
                        removed = true;
                        if self.levels[below].is_empty() {
                            self.connect(&[(there, side)], Edge::Next);
                        }
                    }
                }
            }
            let idle = self.edge(there, true) == Edge::Next && self.edge(there, false) == Edge::Next;
            if there == node || idle {
                self.levels[level].remove(place);
                return true;
            }
            if removed {
                return true;
            }
        }
        false
    }

    /// Puts a rule's node into an existing level: into its equal where there is one, else in order, greatest
    /// first (`_db_tree_add`).
    fn merge(&mut self, level: LevelId, new: NodeId, from: Option<LevelId>) -> Result<(), Contradiction> {
        for place in 0..self.levels[level].len() {
            let there = self.levels[level][place];
            if there == new {
                return Ok(());
            }
            if same(&self.nodes[there], &self.nodes[new]) {
                return self.merge_node(there, new);
            }
            if sorts_before(&self.nodes[there], &self.nodes[new]) {
                self.settle(level, place, new, from);
                return Ok(());
            }
        }
        self.settle(level, self.levels[level].len(), new, from);
        Ok(())
    }

    /// A node is in one level only: what led to its old one leads to the new one, with all that is there.
    fn settle(&mut self, level: LevelId, place: usize, new: NodeId, from: Option<LevelId>) {
        self.levels[level].insert(place, new);
        let Some(old) = from else { return };
        for node in &mut self.nodes {
            for edge in [&mut node.on_true, &mut node.on_false] {
                if *edge == Edge::Down(old) {
                    *edge = Edge::Down(level);
                }
            }
        }
    }

    fn merge_node(&mut self, there: NodeId, new: NodeId) -> Result<(), Contradiction> {
        for side in [true, false] {
            self.merge_action(there, new, side)?;
        }
        for side in [true, false] {
            let Edge::Down(below) = self.edge(new, side) else { continue };
            match self.edge(there, side) {
                Edge::Down(level) => {
                    for node in self.levels[below].clone() {
                        self.merge(level, node, Some(below))?;
                    }
                }
                Edge::Next => self.connect(&[(there, side)], Edge::Down(below)),
                // The rule that is there asks for less, so it covers the new one.
                Edge::Act(_) => return Ok(()),
            }
        }
        Ok(())
    }

    fn merge_action(&mut self, there: NodeId, new: NodeId, side: bool) -> Result<(), Contradiction> {
        let Edge::Act(action) = self.edge(new, side) else { return Ok(()) };
        match self.edge(there, side) {
            Edge::Act(old) if old == action => Ok(()),
            Edge::Act(_) => {
                let (x, n) = (self.nodes[there], self.nodes[new]);
                // libseccomp lets the greater bound of two "greater" comparisons decide for the high word.
                if side && n.word.high && n.full > x.full {
                    self.nodes[there].on_true = Edge::Act(action);
                }
                if is_leaf(&x) || is_leaf(&n) { Err(Contradiction) } else { Ok(()) }
            }
            old => {
                if let Edge::Down(level) = old
                    && !self.acts_only(level, action)
                {
                    return Err(Contradiction);
                }
                self.connect(&[(there, side)], Edge::Act(action));
                Ok(())
            }
        }
    }

    fn edge(&self, node: NodeId, side: bool) -> Edge {
        if side { self.nodes[node].on_true } else { self.nodes[node].on_false }
    }

    /// Whether every action in a level and below is this one (`_db_tree_act_check`).
    fn acts_only(&self, level: LevelId, action: Action) -> bool {
        self.levels[level].iter().all(|node| {
            [true, false].iter().all(|side| match self.edge(*node, *side) {
                Edge::Next => true,
                Edge::Act(a) => a == action,
                Edge::Down(below) => self.acts_only(below, action),
            })
        })
    }
}

/// What a search for superfluous rules has found (`struct db_iter_state`).
#[derive(Clone, Copy, Default)]
struct Found {
    /// The old and the new rule have asked the same so far.
    matching: bool,
    matched_once: bool,
    old_ended: bool,
    new_ended: bool,
    /// The old rule asks something before the new one begins; or the new before the old.
    old_ahead: bool,
    new_ahead: bool,
}

impl Found {
    fn and_also(self, other: Found) -> Found {
        Found {
            matching: self.matching | other.matching,
            matched_once: self.matched_once | other.matched_once,
            old_ended: self.old_ended | other.old_ended,
            new_ended: self.new_ended | other.new_ended,
            old_ahead: self.old_ahead | other.old_ahead,
            new_ahead: self.new_ahead | other.new_ahead,
        }
    }
    /// What a level reports to the one above: nothing, unless it matches.
    fn returned(self, now: Found) -> Found {
        if now.matching { self.and_also(now) } else { Found { matching: false, ..self } }
    }
}

fn same_action(a: Edge, b: Edge) -> bool {
    match (a, b) {
        (Edge::Act(a), Edge::Act(b)) => a == b,
        (Edge::Act(_), _) | (_, Edge::Act(_)) => false,
        _ => true,
    }
}

/// libseccomp keeps a mask for every comparison; only a masked one has fewer than all bits.
fn mask_and_datum(c: &Comparison) -> (u64, u64) {
    match c.operator {
        Operator::MaskedEqual => (c.value, c.value_two),
        _ => (u64::MAX, c.value),
    }
}

fn is_leaf(node: &Node) -> bool {
    !matches!(node.on_true, Edge::Down(_)) && !matches!(node.on_false, Edge::Down(_))
}

fn same(a: &Node, b: &Node) -> bool {
    a.word == b.word && a.test == b.test && a.datum == b.datum && a.mask == b.mask
}

/// `_db_chain_lt`: by word, then by the kind of comparison as written, then by value.
fn sorts_before(a: &Node, b: &Node) -> bool {
    let kind = |operator| match operator {
        Operator::MaskedEqual | Operator::Equal | Operator::NotEqual => 3,
        Operator::LessOrEqual | Operator::Less => 2,
        Operator::GreaterOrEqual | Operator::Greater => 1,
    };
    match (a.word, kind(a.written)).cmp(&(b.word, kind(b.written))) {
        std::cmp::Ordering::Less => true,
        std::cmp::Ordering::Greater => false,
        // Smaller bounds come first among "less", so that the narrower one is tried first.
        std::cmp::Ordering::Equal if kind(a.written) == 2 => a.datum > b.datum,
        std::cmp::Ordering::Equal => a.datum < b.datum,
    }
}

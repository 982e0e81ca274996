//! Which `--cap-add` and `--cap-drop` give exactly the capabilities that are wanted, by each engine's own rules.

use confinement::{Capability, CapabilitySet, EngineKind};

/// One name that an option gives; `None` is `ALL`.
#[derive(Clone, Debug)]
pub(super) struct Named {
    /// The number of the option.
    pub(super) option: usize,
    /// `--cap-add`; otherwise `--cap-drop`.
    pub(super) adds: bool,
    pub(super) capability: Option<Capability>,
}

pub(super) struct Start {
    pub(super) engine: EngineKind,
    /// What the engine gives where nothing is said.
    pub(super) default: CapabilitySet,
    /// What `ALL` adds.
    pub(super) all: CapabilitySet,
    /// A name that is added is usable at once, without being root, so that none is added.
    pub(super) hands_out: bool,
}

/// Names to take away, by number, and names to write besides.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    pub(super) remove: Vec<usize>,
    pub(super) drop_all: bool,
    pub(super) drop: CapabilitySet,
    pub(super) add: CapabilitySet,
}

/// The fewest changes of the names there are; `keep` asks for `ALL` dropped and the wanted ones added.
pub(super) fn plan(start: &Start, named: &[Named], wanted: CapabilitySet, keep: bool) -> Option<Plan> {
    let gives = |plan: &Plan| plan.gives(start, named) == wanted;
    let unchanged =
        Plan { remove: vec![], drop_all: false, drop: CapabilitySet::EMPTY, add: CapabilitySet::EMPTY };
    if gives(&unchanged) {
        return Some(unchanged);
    }
    let only = only_these(named, wanted);
    // Adding back would hand out to another user than root what it does not have now.
    let may = |plan: &Plan| gives(plan) && (!start.hands_out || plan.add.is_empty());
    if keep && may(&only) {
        return Some(only);
    }
    let plans = [single(start, named, wanted, true), single(start, named, wanted, false), only];
    plans.into_iter().filter(may).min_by_key(Plan::new_words)
}

/// Names taken away from what is added, and single ones dropped; `ALL` stays where `keeps_all` and is taken away
/// otherwise.
fn single(start: &Start, named: &[Named], wanted: CapabilitySet, keeps_all: bool) -> Plan {
    let goes = |named: &Named| match (named.adds, named.capability) {
        (true, Some(capability)) => !wanted.has(capability),
        (true, None) => !keeps_all,
        (false, None) => !keeps_all,
        (false, Some(capability)) => wanted.has(capability),
    };
    let remove = (0..named.len()).filter(|at| named.get(*at).is_some_and(goes)).collect();
    let plan = Plan { remove, drop_all: false, drop: CapabilitySet::EMPTY, add: CapabilitySet::EMPTY };
    Plan { drop: plan.gives(start, named).minus(wanted), ..plan }
}

/// `ALL` dropped, and the wanted ones added.
fn only_these(named: &[Named], wanted: CapabilitySet) -> Plan {
    let mut plan = Plan { remove: vec![], drop_all: true, drop: CapabilitySet::EMPTY, add: wanted };
    for (at, named) in named.iter().enumerate() {
        match (named.adds, named.capability) {
            (true, Some(capability)) if plan.add.has(capability) => plan.add = plan.add.without(capability),
            (false, None) if plan.drop_all => plan.drop_all = false,
            _ => plan.remove.push(at),
        }
    }
    plan
}

impl Plan {
    fn new_words(&self) -> usize {
        usize::from(self.drop_all) + self.drop.iter().count() + self.add.iter().count()
    }

    /// What the engine makes of the names that are left and the new ones (the rules are those of
    /// `confinement::confine`).
    fn gives(&self, start: &Start, named: &[Named]) -> CapabilitySet {
        let left = || named.iter().enumerate().filter(|(at, _)| !self.remove.contains(at)).map(|(_, n)| n);
        let of = |adds: bool| {
            CapabilitySet::of(
                &left().filter(|n| n.adds == adds).filter_map(|n| n.capability).collect::<Vec<_>>(),
            )
        };
        let all = |adds: bool| left().any(|n| n.adds == adds && n.capability.is_none());
        let (adds, drops) = (of(true).union(self.add), of(false).union(self.drop));
        let (add_all, drop_all) = (all(true), all(false) || self.drop_all);
        match start.engine {
            EngineKind::Docker if add_all => start.all.minus(drops),
            EngineKind::Docker if drop_all => adds,
            EngineKind::Docker => start.default.minus(drops).union(adds),
            _ if drop_all => adds,
            _ if add_all => start.all.minus(drops),
            _ => start.default.union(adds).minus(drops),
        }
    }
}

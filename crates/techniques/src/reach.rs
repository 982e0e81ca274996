//! Across subjects: where they meet (a volume, a namespace, a host), and the least depth at which each reaches the
//! host through others. `judge` shows these chains as paths; `plan` cuts them.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, HashSet};
use std::sync::Arc;

use confinement::{Confinement, MountSource, Namespace, NamespaceKind, Subject, SubjectKind, World};

use crate::judge::Solved;
use crate::solver::Depth;
use crate::technique::{Catalogue, Relation};

/// Where subjects meet: a volume, a namespace, a host.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Meeting {
    Volume(Arc<str>, Arc<str>),
    Namespace(NamespaceKind, Arc<str>, Arc<str>),
    /// Everything of one realm.
    Realm(Arc<str>),
    /// Every pod of a namespace, or of the cluster.
    Exec(Arc<str>, Option<Arc<str>>),
}

/// A way from one subject to the host through others.
#[derive(Clone, Debug)]
pub(crate) struct Chain {
    pub(crate) depth: Depth,
    /// Subject and technique, in order; `None` for the last, which is the one nearest to the host.
    pub(crate) hops: Vec<(usize, Option<u16>)>,
    /// The volume of the first hop, where it goes by one.
    pub(crate) volume: Option<Arc<str>>,
}

/// Who reaches whom, and at what depth the host is reached through them.
pub(crate) struct Reach {
    /// Meeting → subjects that are reached there.
    pub(crate) members: HashMap<Meeting, Vec<usize>>,
    /// Subject → ways into meetings: technique, its depth, the meeting.
    pub(crate) ways: Vec<Vec<(u16, Depth, Meeting)>>,
    /// Least depth to the host, and the step that leads there, reckoning unknowns as open and as walls.
    pub(crate) by_min: Vec<Best>,
    pub(crate) by_max: Vec<Best>,
}

#[derive(Clone, Debug)]
pub(crate) struct Best {
    pub(crate) depth: u8,
    /// `None`: by a technique of its own.
    pub(crate) via: Option<(u16, Meeting, usize)>,
}

pub(crate) fn volume_name(m: &confinement::Mount) -> Option<Arc<str>> {
    match m.source.get()? {
        MountSource::Volume(name) => Some(name.clone()),
        MountSource::Host(path) if !path.is_root() => Some(path.as_str().into()),
        _ => None,
    }
}

/// Whether the subject is a container that others may meet, and not the measure of an engine or an image.
pub(crate) fn is_container(subject: &Subject) -> bool {
    matches!(subject.kind, SubjectKind::Container | SubjectKind::Workload)
}

/// The meetings that a relation leads a subject to when it is confined so.
pub(crate) fn meetings_of(subject: &Subject, c: &Confinement, relation: Relation) -> Vec<Meeting> {
    let realm = &subject.realm;
    let namespace = |kind| match c.namespaces.get(kind).get() {
        Some(Namespace::Host) => vec![Meeting::Realm(realm.clone())],
        Some(Namespace::Container(id)) => vec![Meeting::Namespace(kind, realm.clone(), id.clone())],
        _ => vec![Meeting::Namespace(kind, realm.clone(), subject.id.clone())],
    };
    match relation {
        Relation::WritesVolumeOf => c
            .mounts
            .iter()
            .filter(|m| m.read_only.value == Some(false))
            .filter_map(volume_name)
            .map(|name| Meeting::Volume(realm.clone(), name))
            .collect(),
        Relation::SharesPidNamespaceWith => namespace(NamespaceKind::Pid),
        Relation::SharesIpcNamespaceWith => namespace(NamespaceKind::Ipc),
        Relation::SharesNetworkWith => namespace(NamespaceKind::Net),
        Relation::AnyOnHost => vec![Meeting::Realm(realm.clone())],
        Relation::MayExecInto => {
            let grants = c.service_account.as_ref().and_then(|a| a.grants.get());
            grants
                .into_iter()
                .flat_map(|g| g.iter())
                .filter_map(|g| g.get())
                .filter(|g| g.allows("create", "pods/exec") || g.allows("get", "pods/exec"))
                .map(|g| Meeting::Exec(realm.clone(), g.namespace.clone()))
                .collect()
        }
    }
}

impl Reach {
    pub(crate) fn find(catalogue: &'static Catalogue, world: &World, solved: &[Arc<Solved>]) -> Reach {
        let relations: Vec<(u16, Relation)> =
            (0..).zip(&catalogue.techniques).filter_map(|(i, t)| t.relation.map(|r| (i, r))).collect();
        let mut reach = Reach {
            members: HashMap::new(),
            ways: vec![Vec::new(); world.subjects.len()],
            by_min: Vec::new(),
            by_max: Vec::new(),
        };
        if world.subjects.len() > 1 {
            for (i, subject) in world.subjects.iter().enumerate() {
                reach.join(i, subject);
            }
            for (i, subject) in world.subjects.iter().enumerate().filter(|(_, s)| is_container(s)) {
                for (technique, relation) in &relations {
                    let outcome = solved[i].solution.outcomes.iter().find(|o| o.technique == *technique);
                    let Some(outcome) = outcome else { continue };
                    for meeting in reach.meetings(subject, *relation) {
                        reach.ways[i].push((*technique, outcome.depth, meeting));
                    }
                }
            }
        }
        reach.by_min = reach.shortest(solved, |d| d.min);
        reach.by_max = reach.shortest(solved, |d| d.max);
        reach
    }

    /// Enters a subject where others may reach it.
    fn join(&mut self, i: usize, subject: &Subject) {
        if !is_container(subject) {
            return;
        }
        let mut enter = |meeting: Meeting| self.members.entry(meeting).or_default().push(i);
        let realm = &subject.realm;
        let mut seen: HashSet<Arc<str>> = HashSet::new();
        for mount in &subject.confinement.mounts {
            let Some(name) = volume_name(mount) else { continue };
            let is_host = mount.host_path().is_some();
            if seen.insert(name.clone()) {
                enter(Meeting::Volume(realm.clone(), name.clone()));
            }
            // Whoever writes a folder above reaches this one too.
            let mut path = &*name;
            while let Some((above, _)) =
                path.rsplit_once('/').filter(|(above, _)| is_host && !above.is_empty())
            {
                if seen.insert(above.into()) {
                    enter(Meeting::Volume(realm.clone(), above.into()));
                }
                path = above;
            }
        }
        for kind in [NamespaceKind::Pid, NamespaceKind::Net, NamespaceKind::Ipc] {
            let holder = match subject.confinement.namespaces.get(kind).get() {
                Some(Namespace::Container(id)) => id.clone(),
                _ => subject.id.clone(),
            };
            enter(Meeting::Namespace(kind, realm.clone(), holder));
        }
        enter(Meeting::Realm(realm.clone()));
        if subject.kind == SubjectKind::Workload {
            enter(Meeting::Exec(realm.clone(), None));
            enter(Meeting::Exec(realm.clone(), subject.namespace.clone()));
        }
    }

    /// The meetings that a relation leads a subject to, if anyone else is there.
    pub(crate) fn meetings(&self, subject: &Subject, relation: Relation) -> Vec<Meeting> {
        let mut meetings = meetings_of(subject, &subject.confinement, relation);
        meetings.retain(|m| self.members.get(m).is_some_and(|list| list.len() > 1));
        meetings
    }
    /// Dijkstra from the host backwards: through every meeting the nearest member leads.
    fn shortest(&self, solved: &[Arc<Solved>], size: impl Fn(&Depth) -> u8) -> Vec<Best> {
        let mut best: Vec<Best> = solved.iter().map(|s| Best { depth: size(&s.depth), via: None }).collect();
        if self.ways.iter().all(Vec::is_empty) {
            return best;
        }
        // Meeting → subjects that have a way into it.
        let mut into: HashMap<&Meeting, Vec<(usize, u16, u8)>> = HashMap::new();
        let mut at: HashMap<usize, Vec<&Meeting>> = HashMap::new();
        for (i, ways) in self.ways.iter().enumerate() {
            for (technique, depth, meeting) in ways {
                into.entry(meeting).or_default().push((i, *technique, size(depth)));
            }
        }
        for meeting in into.keys() {
            for member in self.members.get(*meeting).into_iter().flatten() {
                at.entry(*member).or_default().push(meeting);
            }
        }
        let mut queue: BinaryHeap<Reverse<(u8, usize)>> =
            at.keys().map(|i| Reverse((best[*i].depth, *i))).collect();
        let mut done: HashSet<&Meeting> = HashSet::new();
        while let Some(Reverse((depth, member))) = queue.pop() {
            if depth > best[member].depth || depth == u8::MAX {
                continue;
            }
            for meeting in at.get(&member).into_iter().flatten() {
                // The first member to come is the nearest, so a meeting is left once.
                if !done.insert(meeting) {
                    continue;
                }
                for (from, technique, cost) in into.get(*meeting).into_iter().flatten() {
                    let total = depth.saturating_add(*cost);
                    if *from != member && total < best[*from].depth {
                        best[*from] =
                            Best { depth: total, via: Some((*technique, (*meeting).clone(), member)) };
                        queue.push(Reverse((total, *from)));
                    }
                }
            }
        }
        best
    }

    /// The way through others, where it is shorter than the subject's own.
    pub(crate) fn chain(&self, i: usize, own: Depth) -> Option<Chain> {
        let (min, max) = (self.by_min.get(i)?, self.by_max.get(i)?);
        let depth = Depth { min: min.depth.min(own.min), max: max.depth.min(own.max) };
        if depth == own {
            return None;
        }
        let by = if max.depth < own.max { &self.by_max } else { &self.by_min };
        let mut hops = Vec::new();
        let mut volume = None;
        let mut at = i;
        while let Some((technique, meeting, next)) = &by.get(at)?.via {
            if let (Meeting::Volume(_, name), true) = (meeting, hops.is_empty()) {
                volume = Some(name.clone());
            }
            hops.push((at, Some(*technique)));
            at = *next;
            if hops.len() > by.len() {
                return None;
            }
        }
        hops.push((at, None));
        Some(Chain { depth, hops, volume })
    }

    /// The others that a relation reaches. For a shared volume only those that stand nearer to the host count:
    /// sharing data with an equal is what the volume is for.
    pub(crate) fn others(
        &self,
        i: usize,
        relation: Relation,
        world: &World,
        solved: &[Arc<Solved>],
    ) -> Vec<usize> {
        let Some(subject) = world.subjects.get(i) else { return Vec::new() };
        let mut others: Vec<usize> = Vec::new();
        for meeting in self.meetings(subject, relation) {
            for other in self.members.get(&meeting).into_iter().flatten() {
                let weaker = || solved[*other].depth.min < solved[i].depth.min;
                if *other != i
                    && (relation != Relation::WritesVolumeOf || weaker())
                    && !others.contains(other)
                {
                    others.push(*other);
                    if others.len() >= 16 {
                        return others;
                    }
                }
            }
        }
        others
    }
}

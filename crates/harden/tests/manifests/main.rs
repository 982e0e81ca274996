//! Remedies written into manifests and JSON configurations, and what is read again afterwards.

mod corpus;
mod documents;
mod runtime;

use std::path::Path;
use std::sync::Arc;

use confinement::{CapabilitySet, MountSource, Namespace, NamespaceKind, Subject, World};
use harden::draft::{Drafts, Refusal, Task};
use harden::editor;
use harden::kubernetes::is_of_pod;
use harden::verify::{differences, undone, unplanned};
use sources::Context;
use techniques::remedy::{LimitKind, Remedy};

fn read(name: &str, text: &str) -> World {
    sources::gather::text(text.as_bytes(), Path::new(name), &Context::assumed())
}

/// The text with these remedies in it, and what could not be written.
fn write(text: &str, all: &[(&Subject, &[Remedy])]) -> (String, Vec<Refusal>) {
    let shared: Arc<str> = text.into();
    let texts = |_: &str| Ok::<Arc<str>, String>(shared.clone());
    let mut drafts = Drafts::new(&texts);
    let mut refusals = Vec::new();
    for (subject, remedies) in all {
        let mark = drafts.mark();
        if let Err(refusal) = editor::edit(&Task { subject, remedies, all }, &mut drafts) {
            drafts.roll_back(&mark);
            refusals.push(refusal);
        }
    }
    let edited = drafts.finish().unwrap_or_else(|refusal| panic!("{refusal}\n{text}"));
    (edited.first().map_or(text.to_owned(), |edited| edited.after.to_string()), refusals)
}

/// Everything that would change the subject.
fn all_remedies(subject: &Subject) -> Vec<Remedy> {
    let c = &subject.confinement;
    let mut list = vec![
        Remedy::DropPrivileged,
        Remedy::KeepCapabilities(CapabilitySet::EMPTY),
        Remedy::RunAsNonRoot,
        Remedy::NoNewPrivileges,
        Remedy::SeccompDefault,
        Remedy::LsmDefault,
        Remedy::DefaultPaths,
        Remedy::UserNamespace,
        Remedy::NoServiceAccountToken,
        Remedy::Limit(LimitKind::Memory),
        Remedy::Limit(LimitKind::Cpu),
        Remedy::ReadOnlyRootfs,
        Remedy::RemoveControlApi,
    ];
    for kind in [NamespaceKind::Pid, NamespaceKind::Net, NamespaceKind::Ipc] {
        if matches!(c.namespaces.get(kind).get(), Some(Namespace::Host)) {
            list.push(Remedy::PrivateNamespace(kind));
        }
    }
    list.extend(c.sysctls.iter().map(|(name, _)| Remedy::RemoveSysctl(name.clone())));
    let of_host = c.mounts.iter().filter(|m| matches!(m.source.get(), Some(MountSource::Host(_))));
    list.extend(of_host.map(|m| Remedy::RemoveMount(m.target.clone())));
    effective(subject, list)
}

/// The least that is needed against one another's defaults: single capabilities, mounts made read-only.
fn some_remedies(subject: &Subject) -> Vec<Remedy> {
    let c = &subject.confinement;
    let mut list = vec![Remedy::DropPrivileged, Remedy::SeccompDefault, Remedy::NoServiceAccountToken];
    let plain =
        effective(subject, vec![Remedy::DropPrivileged]).first().map_or((**c).clone(), |r| r.apply(c));
    list.extend(plain.capabilities.bounding.value.into_iter().flat_map(|set| {
        set.iter()
            .filter(|cap| !(*cap as u8).is_multiple_of(3))
            .map(Remedy::DropCapability)
            .collect::<Vec<_>>()
    }));
    let of_host = c.mounts.iter().filter(|m| m.host_path().is_some());
    list.extend(of_host.clone().map(|m| Remedy::ReadOnlyMount(m.target.clone())));
    list.extend(of_host.map(|m| Remedy::PrivatePropagation(m.target.clone())));
    effective(subject, list)
}

fn effective(subject: &Subject, list: Vec<Remedy>) -> Vec<Remedy> {
    // A privileged container has what it has whatever else is asked for.
    let privileged = subject.confinement.privileged.value == Some(true);
    let c = &match privileged && list.contains(&Remedy::DropPrivileged) {
        true => Remedy::DropPrivileged.apply(&subject.confinement),
        false => (*subject.confinement).clone(),
    };
    let changes = |remedy: &Remedy| match remedy {
        Remedy::DropPrivileged => privileged,
        // The order of paths means nothing.
        Remedy::DefaultPaths => {
            let (after, now) = (remedy.apply(c), c.masked_paths.value.clone().unwrap_or_default());
            after.masked_paths.value.is_some_and(|paths| paths.iter().any(|path| !now.contains(path)))
        }
        Remedy::RunAsNonRoot => c.identity.root.value != Some(false),
        Remedy::Limit(LimitKind::Memory) => c.limits.memory.get() == Some(&None),
        Remedy::Limit(_) => c.limits.cpu.get() == Some(&None),
        Remedy::UserNamespace => c.user_namespace.initial.value != Some(false),
        _ => !differences(c, &remedy.apply(c)).is_empty(),
    };
    // Beside the host's namespaces a user namespace is no choice, but these go with it here.
    let can = |remedy: &Remedy| *remedy == Remedy::UserNamespace || editor::can(subject, remedy);
    list.into_iter().filter(|remedy| can(remedy) && changes(remedy)).collect()
}

struct Checked {
    after: String,
    refusals: Vec<Refusal>,
}

/// Writes the remedies, reads the text again with both parsers, and compares every confinement.
fn check(name: &str, text: &str, choose: &dyn Fn(&Subject) -> Vec<Remedy>) -> Checked {
    let world = read(name, text);
    let chosen: Vec<Vec<Remedy>> = world.subjects.iter().map(choose).collect();
    let mut all: Vec<(&Subject, &[Remedy])> =
        world.subjects.iter().zip(&chosen).map(|(s, list)| (s, list.as_slice())).collect();
    // Who cannot be edited is left out, as a run does it, and the others are written without.
    let (mut after, mut refusals) = write(text, &all);
    while refusals.len() < all.len() {
        let refused = |s: &Subject| {
            refusals.iter().any(|r| {
                let place = s.place.as_ref().unwrap();
                (r.problem.line, r.problem.column) == (Some(place.line), Some(place.column))
            })
        };
        let before = all.len();
        all.retain(|(s, _)| !refused(s));
        if all.len() == before {
            break;
        }
        let again = write(text, &all);
        after = again.0;
        refusals.extend(again.1);
    }
    if parses(text).is_ok() {
        parses(&after).unwrap_or_else(|error| panic!("{name}: {error}\n{after}"));
    }
    let now = read(name, &after);
    assert_eq!(world.problems, now.problems, "{name}\n{after}");
    assert_eq!(world.subjects.len(), now.subjects.len(), "{name}\n{after}");
    let of_pod = |s: &Subject| {
        let members = all.iter().filter(|(other, _)| match (&s.pod, &other.pod) {
            (Some(a), Some(b)) => Arc::ptr_eq(a, b),
            _ => false,
        });
        members.flat_map(|(_, list)| list.iter().cloned()).collect::<Vec<_>>()
    };
    for (subject, again) in world.subjects.iter().zip(&now.subjects) {
        let asked = all.iter().find(|(s, _)| s.id == subject.id).map_or(&[][..], |(_, list)| *list);
        let (a, b) = (&subject.confinement, &again.confinement);
        assert_eq!(subject.id, again.id);
        // What the pod says for all of its containers changes with any of them.
        let mut planned = asked.to_vec();
        planned.extend(of_pod(subject).into_iter().filter(is_of_pod));
        let more: Vec<_> = unplanned(a, b, &planned).into_iter().collect();
        assert!(more.is_empty(), "{name}: {} changed unplanned: {more:?}\n{after}", subject.id);
        if refusals.is_empty() {
            let less = undone(a, b, asked);
            assert!(less.is_empty(), "{name}: {} not done: {less:?} of {asked:?}\n{after}", subject.id);
        }
    }
    for line in text.lines().filter(|line| line.contains('#')) {
        let Some(at) = line.rfind(" #").or(line.starts_with('#').then_some(0)) else { continue };
        assert!(after.contains(line[at..].trim()), "{name}: `{line}` is lost\n{after}");
    }
    Checked { after, refusals }
}

/// Whether another parser takes every document.
fn parses(text: &str) -> Result<(), yaml_serde::Error> {
    yaml_serde::Deserializer::from_str(text)
        .try_for_each(|d| <yaml_serde::Value as serde::Deserialize>::deserialize(d).map(drop))
}

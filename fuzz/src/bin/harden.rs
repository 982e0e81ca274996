//! Whatever text is hardened with whatever remedies, the editors do not panic, and an edit they make is read again as what the
//! remedies make of the confinement: nothing that is not planned, and all that is. The last four bytes choose remedies.
#![no_main]

use std::path::Path;
use std::sync::Arc;

use confinement::{Capability, CapabilitySet, Confinement, Form, NamespaceKind, Subject, World};
use harden::draft::{Drafts, Edited, Task};
use harden::verify::Part;
use harden::{editor, verify};
use libfuzzer_sys::fuzz_target;
use sources::{Context, gather};
use techniques::remedy::{LimitKind, Remedy, apply_all, rule_text};

/// All that could be asked of a container, as far as it would change something.
fn remedies(subject: &Subject) -> Vec<Remedy> {
    let c = &*subject.confinement;
    let mut all = vec![
        Remedy::DropPrivileged,
        Remedy::RemoveAllCapabilities,
        Remedy::DropCapability(Capability::SYS_ADMIN),
        Remedy::DropCapability(Capability::NET_RAW),
        Remedy::KeepCapabilities(CapabilitySet::of(&[Capability::CHOWN, Capability::SETUID])),
        Remedy::RunAsNonRoot,
        Remedy::NoNewPrivileges,
        Remedy::SeccompDefault,
        Remedy::LsmDefault,
        Remedy::DefaultPaths,
        Remedy::RemoveControlApi,
        Remedy::Limit(LimitKind::Memory),
        Remedy::Limit(LimitKind::Cpu),
        Remedy::Limit(LimitKind::Pids),
        Remedy::ReadOnlyRootfs,
        Remedy::NoServiceAccountToken,
        Remedy::UserNamespace,
    ];
    all.extend(NamespaceKind::ALL.into_iter().map(Remedy::PrivateNamespace));
    for mount in c.mounts.iter().filter(|m| m.host_path().is_some()) {
        all.push(Remedy::RemoveMount(mount.target.clone()));
        all.push(Remedy::ReadOnlyMount(mount.target.clone()));
        all.push(Remedy::PrivatePropagation(mount.target.clone()));
    }
    all.extend(c.devices.asked.iter().filter_map(|r| Some(Remedy::RemoveDeviceRule(rule_text(r.get()?).into()))));
    // What the planner asks of nobody else.
    all.retain(|r| *r != Remedy::DropPrivileged || c.privileged.value == Some(true));
    all.retain(|remedy| remedy.apply(c) != *c && editor::can(subject, remedy));
    all
}

/// Some of them, that make sense together.
fn chosen(all: Vec<Remedy>, bits: u32, privileged: bool) -> Vec<Remedy> {
    let mut list: Vec<Remedy> =
        all.into_iter().enumerate().filter(|(i, _)| bits >> (i % 32) & 1 == 1).map(|(_, r)| r).collect();
    let keeps = list.iter().any(|r| matches!(r, Remedy::KeepCapabilities(_)));
    list.retain(|r| !(keeps && matches!(r, Remedy::DropCapability(_) | Remedy::RemoveAllCapabilities)));
    let gone: Vec<Arc<str>> = list
        .iter()
        .filter_map(|r| match r {
            Remedy::RemoveMount(target) => Some(target.clone()),
            _ => None,
        })
        .collect();
    list.retain(|r| match r {
        Remedy::ReadOnlyMount(target) | Remedy::PrivatePropagation(target) => !gone.contains(target),
        // The editor of manifests refuses what an API server would.
        _ => true,
    });
    if privileged && !list.contains(&Remedy::DropPrivileged) {
        list.retain(|r| *r != Remedy::ReadOnlyRootfs);
    }
    list
}

fn read(text: &str, name: &str, context: &Context) -> World {
    gather::text(text.as_bytes(), Path::new(name), context)
}

fn edited(text: &Arc<str>, task: &Task<'_>) -> Option<Edited> {
    let texts = |_: &str| Ok::<Arc<str>, String>(text.clone());
    let mut drafts = Drafts::new(&texts);
    editor::edit(task, &mut drafts).ok()?;
    drafts.finish().ok()?.into_iter().next()
}

fuzz_target!(|bytes: &[u8]| {
    let Some((bytes, bits)) = bytes.split_last_chunk::<4>() else { return };
    let bits = u32::from_le_bytes(*bits);
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    // As a file without a byte order mark is edited.
    let text: Arc<str> = text.trim_start_matches('\u{feff}').into();
    let name = if text.starts_with('{') { "/nowhere/config.json" } else { "/nowhere/fuzz" };
    let context = Context::assumed();
    let world = read(&text, name, &context);
    // Behind a fault that was told nothing need be as it is meant, and the program checks it again.
    let is_sound = world.problems.is_empty();
    for (i, subject) in world.subjects.iter().enumerate().take(4) {
        if subject.form == Form::Dockerfile || subject.form == Form::Daemon {
            continue;
        }
        let privileged = subject.confinement.privileged.value == Some(true);
        let list = chosen(remedies(subject), bits.rotate_left(i as u32), privileged);
        if list.is_empty() {
            continue;
        }
        let Some(done) = edited(&text, &Task::alone(subject, &list)) else { continue };
        let after = read(&done.after, name, &context);
        if !is_sound {
            continue;
        }
        let Some(now) = after.subjects.iter().find(|s| s.id == subject.id) else {
            panic!("{} is gone after {list:?}:\n{}", subject.id, done.after);
        };
        let context = || format!("{list:?}\n--- before\n{text}\n--- after\n{}", done.after);
        assert!(after.problems.is_empty(), "{:?} {}", after.problems, context());
        check(&subject.confinement, &now.confinement, &list, &context);
    }
});

fn check(was: &Confinement, is: &Confinement, list: &[Remedy], context: &dyn Fn() -> String) {
    let mut more = verify::unplanned(was, is, list);
    more.retain(|part| *part != Part::Network);
    assert!(more.is_empty(), "not planned: {more:?} {}", context());
    let undone = verify::undone(was, is, list);
    assert!(undone.is_empty(), "not done: {undone:?} {}", context());
    let meant = apply_all(list, was);
    if let (Some(is), Some(meant)) = (is.capabilities.bounding.get(), meant.capabilities.bounding.get()) {
        assert!(is.minus(*meant).is_empty(), "capabilities {is:?} are left, {meant:?} were meant {}", context());
    }
}

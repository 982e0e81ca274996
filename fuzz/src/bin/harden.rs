//! Whatever text is hardened with whatever remedies, nothing panics or goes on for ever, and what comes out is read again as
//! what the remedies make of each confinement, or refused with a reason. The last four bytes choose remedies.
#![no_main]

use std::path::Path;
use std::sync::Arc;

use confinement::{Capability, CapabilitySet, Confinement, Form, NamespaceKind, Subject, World};
use harden::editor;
use harden::hardening::harden;
use libfuzzer_sys::fuzz_target;
use sources::gather::Overlay;
use sources::{Context, gather};
use techniques::plan::{Plan, Planned, Remedies};
use techniques::remedy::{LimitKind, Remedy, rule_text};
use techniques::solver::Depth;

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
    all.extend(
        c.devices.asked.iter().filter_map(|r| Some(Remedy::RemoveDeviceRule(rule_text(r.get()?).into()))),
    );
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

/// A plan that asks of a subject what the bits choose.
fn planned(i: usize, subject: &Subject, bits: u32) -> Planned {
    let privileged = subject.confinement.privileged.value == Some(true);
    let chosen = chosen(remedies(subject), bits.rotate_left(i as u32), privileged);
    let advice = chosen.iter().map(|remedy| remedy.advice(&subject.confinement, subject.form));
    Planned {
        subject: i,
        before: Depth::NONE,
        after: Depth::NONE,
        plan: Remedies { remedies: advice.collect(), cost: 0 },
        recommended: Vec::new(),
        alternatives: Vec::new(),
        left: Vec::new(),
        proven: true,
    }
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
    if world.subjects.len() > 12 {
        return;
    }
    let subjects: Vec<Planned> =
        world.subjects.iter().enumerate().map(|(i, subject)| planned(i, subject, bits)).collect();
    let plan = Plan { subjects, engine: Vec::new(), after: world.clone(), assumptions: Default::default() };
    let texts = |_: &str| Ok::<Arc<str>, String>(text.clone());
    let reread = |overlay: Overlay| read(overlay.values().next().unwrap_or(&text), name, &context);
    let hardening = harden(&world, &plan, &texts, &reread, false);
    let Some(file) = hardening.files.first() else { return };
    let after = read(&file.after, name, &context);
    for ((subject, planned), written) in world.subjects.iter().zip(&plan.subjects).zip(&hardening.subjects) {
        let list = planned.remedies();
        if written.refusal.is_some() || list.is_empty() || subject.form == Form::Dockerfile {
            continue;
        }
        let Some(now) = after.subjects.iter().find(|s| s.id == subject.id) else {
            panic!("{} is gone after {list:?}:\n{}", subject.id, file.after);
        };
        let said = || format!("{list:?}\n--- before\n{text}\n--- after\n{}", file.after);
        check(&now.confinement, &list, &said);
    }
});

/// What a remedy takes away is gone, whatever else the text says.
fn check(is: &Confinement, list: &[Remedy], said: &dyn Fn() -> String) {
    if list.contains(&Remedy::DropPrivileged) {
        assert_ne!(is.privileged.value, Some(true), "{}", said());
    }
    if list.contains(&Remedy::RunAsNonRoot) {
        assert_ne!(is.identity.root.value, Some(true), "{}", said());
    }
    for remedy in list {
        if let Remedy::RemoveMount(target) = remedy {
            assert!(!is.mounts.iter().any(|m| m.target == *target && m.host_path().is_some()), "{}", said());
        }
    }
}

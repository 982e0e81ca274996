//! Good practice beyond paths, for those who ask for it (`--level recommended`): what a sound container has even where
//! no path is open. Each recommendation is a remedy with its reason; those that are met already are left out, so that
//! making them all leaves nothing to recommend.
//!
//! It wants the confinement as it is once the plan's remedies are made: whether something that was asked for opens a
//! path is for the plan. What somebody added by name therefore stays (a capability beyond the engine's own), and what
//! is pinned stays.
//!
//! For a known image the advice is what that image takes ([`crate::needs`]). For others it is a guess, marked as one:
//! most entrypoints that start as root own their data and step down, so a container that runs as root keeps what that
//! takes and drops the rest; a trial confirms it.

use std::borrow::Cow;

use confinement::{Capability, CapabilitySet, Confinement, Engine, EngineKind, Fact, Seccomp};

use crate::keep::Keep;
use crate::needs::{self, UserKind, names};
use crate::remedy::{LimitKind, Remedy};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recommendation {
    pub remedy: Remedy,
    /// Why, in a sentence.
    pub why: String,
    /// Nothing is known of this image that says it will work.
    pub guess: bool,
}

/// What is recommended for a container. `digest` is that of its image, where it is known.
pub fn recommended(c: &Confinement, pins: &[Keep], digest: Option<&str>) -> Vec<Recommendation> {
    let forbidden = |remedy: &Remedy| pins.iter().any(|pin| pin.forbids(remedy, c));
    let user = run_as_non_root(c).filter(|r| !forbidden(&r.remedy));
    // What follows is for the container as the new user has it, and no_new_privs for what is left of capabilities.
    let started = made(c, user.as_ref());
    let capabilities = keep_capabilities(&started, pins).filter(|r| !forbidden(&r.remedy));
    let started = made(&started, capabilities.as_ref());
    let rest = [
        no_new_privileges(&started),
        seccomp_default(c),
        read_only_rootfs(c),
        limit(LimitKind::Memory, c),
        limit(LimitKind::Pids, c),
        no_service_account_token(c),
        pin_image(c, digest),
    ];
    let rest = rest
        .into_iter()
        .flatten()
        .filter(|r| !forbidden(&r.remedy) && !pins.iter().any(|pin| pin.forbids(&r.remedy, &started)));
    user.into_iter().chain(capabilities).chain(rest).collect()
}

fn made<'a>(c: &'a Confinement, recommendation: Option<&Recommendation>) -> Cow<'a, Confinement> {
    match recommendation {
        Some(r) => Cow::Owned(r.remedy.apply(c)),
        None => Cow::Borrowed(c),
    }
}

fn known(remedy: Remedy, why: String) -> Option<Recommendation> {
    Some(Recommendation { remedy, why, guess: false })
}

/// The note of the image, or else the reason that holds for all.
fn because(remedy: Remedy, c: &Confinement, otherwise: &str) -> Option<Recommendation> {
    let why = needs::advice_note(&remedy, c).unwrap_or_else(|| otherwise.to_owned());
    known(remedy, why)
}

/// Where the image is documented to take it, and nothing that was given to root alone is lost by it.
fn run_as_non_root(c: &Confinement) -> Option<Recommendation> {
    let image = needs::of_image(c)?;
    let takes = matches!(image.user.kind, UserKind::Named | UserKind::Takes);
    let met = c.identity.root.value == Some(false);
    let (Some(effective), Some(ambient)) = (c.capabilities.effective.value, c.capabilities.ambient.value)
    else {
        return None;
    };
    // Engines hand a capability that was added to root, and to no one else.
    let lost = added(c).minus(ambient);
    let uses_lost = !CapabilitySet(effective.0 & lost.0).is_empty();
    if met || !takes || needs::wants_low_port(image, c) || uses_lost {
        return None;
    }
    because(Remedy::RunAsNonRoot, c, "")
}

/// Capabilities beyond those that the engine gives everyone. Where `ALL` was added nobody named them.
fn added(c: &Confinement) -> CapabilitySet {
    let Some(bounding) = c.capabilities.bounding.value else { return CapabilitySet::EMPTY };
    // Without an engine (an OCI runtime's own file) what Docker gives counts as given.
    let given = match &c.engine {
        Some(engine) => engine.default_capabilities(),
        None => Engine::of_version(EngineKind::Docker, (29, 0), None, "docker").default_capabilities(),
    };
    let nobody_named_them = bounding.iter().count() > 30;
    if nobody_named_them { CapabilitySet::EMPTY } else { bounding.minus(given) }
}

/// Drop `ALL`, and add back what the image needs, what somebody added, and what is pinned.
fn keep_capabilities(c: &Confinement, pins: &[Keep]) -> Option<Recommendation> {
    // Of an unknown set it is not known what was added to it; a privileged container has them all anyway.
    let bounding = c.capabilities.bounding.value.filter(|_| c.privileged.value == Some(false))?;
    let within = |set: CapabilitySet| CapabilitySet(bounding.0 & set.0);
    let needed = within(needs::capabilities(c));
    let (added, pinned) = (added(c), within(pinned(pins)));
    let keep = needed.union(added).union(pinned);
    if bounding.minus(keep).is_empty() {
        return None;
    }
    let root = c.identity.root.value != Some(false);
    let image = needs::of_image(c);
    let name = name(c);
    let guess = root && image.is_none_or(|image| image.programs);
    let mut why = match image {
        Some(_) if guess => format!("a guess, to be confirmed by a trial: {name} itself needs none of them"),
        Some(_) if needed.is_empty() => format!("{name} needs none of them"),
        Some(_) => format!("{name} needs {}", names(needed)),
        None if root => format!(
            "a guess, to be confirmed by a trial: {} is what entrypoints use that start as root and step down",
            names(needed)
        ),
        None => "a user other than root has no use for them".into(),
    };
    if !added.minus(needed).is_empty() {
        why.push_str(&format!("; {} was added", names(added.minus(needed))));
    }
    if !pinned.minus(needed.union(added)).is_empty() {
        why.push_str(&format!("; {} is pinned", names(pinned.minus(needed.union(added)))));
    }
    Some(Recommendation { remedy: Remedy::KeepCapabilities(keep), why, guess })
}

/// The image's name, for sentences.
fn name(c: &Confinement) -> String {
    let reference = c.image.reference.get();
    reference.map_or_else(|| "it".to_owned(), |text| needs::Reference::parse(text).name().to_owned())
}

fn pinned(pins: &[Keep]) -> CapabilitySet {
    pins.iter().fold(CapabilitySet::EMPTY, |set, pin| match pin {
        Keep::Capability(cap) => set.with(*cap),
        _ => set,
    })
}

fn no_new_privileges(c: &Confinement) -> Option<Recommendation> {
    if c.identity.no_new_privileges.value == Some(true) || needs::no_new_privileges_breaks(c) {
        return None;
    }
    // The API refuses it beside these (pkg/apis/core/validation).
    let has_sys_admin = c.capabilities.bounding.is(|set| set.has(Capability::SYS_ADMIN)).is_true();
    let in_pod = c.engine.as_ref().is_some_and(|engine| engine.kind.is_cri());
    if in_pod && (c.privileged.value != Some(false) || has_sys_admin) {
        return None;
    }
    // Added for a user other than root who does not have it outright, it is for a program's file capabilities.
    let by_file = added(c).minus(c.capabilities.ambient.value.unwrap_or_default());
    if c.identity.root.value == Some(false) && !by_file.is_empty() {
        return None;
    }
    because(Remedy::NoNewPrivileges, c, "no program of the image then gains what its starter has not")
}

/// Where nothing filters, or it is not known that something does. A privileged container has no filter.
fn seccomp_default(c: &Confinement) -> Option<Recommendation> {
    let off = matches!(c.seccomp.get(), None | Some(Seccomp::Disabled));
    if !off || c.engine.is_none() || c.privileged.value != Some(false) {
        return None;
    }
    let in_pod = c.engine.as_ref().is_some_and(|engine| engine.kind.is_cri());
    let why = if in_pod && c.seccomp.origin.place().is_none() {
        "a pod has no filter unless it asks for one or the kubelet is told to (`seccompDefault`)"
    } else {
        "the engine's filter leaves what ordinary programs call"
    };
    known(Remedy::SeccompDefault, why.into())
}

fn read_only_rootfs(c: &Confinement) -> Option<Recommendation> {
    // Its files would be lost or hidden: it wants a volume first.
    if c.read_only_rootfs.value == Some(true) || !needs::wants_volumes(c).is_empty() {
        return None;
    }
    if needs::of_image(c).is_some_and(|image| !image.programs) {
        return because(Remedy::ReadOnlyRootfs, c, "");
    }
    let why = format!(
        "a guess, to be confirmed by a trial: most programs write to {} and their volumes alone",
        needs::list(&needs::writable_paths(c))
    );
    Some(Recommendation { remedy: Remedy::ReadOnlyRootfs, why, guess: true })
}

fn limit(kind: LimitKind, c: &Confinement) -> Option<Recommendation> {
    let (fact, why): (&Fact<Option<u64>>, &str) = match kind {
        LimitKind::Memory => (&c.limits.memory, "the memory"),
        LimitKind::Pids => (&c.limits.pids, "every process number"),
        LimitKind::Cpu => (&c.limits.cpu, "the processors"),
    };
    let in_pod = c.engine.as_ref().is_some_and(|engine| engine.kind.is_cri());
    // A pod cannot say how many processes; the kubelet does (`podPidsLimit`).
    if matches!(fact.value, Some(Some(_))) || in_pod && kind == LimitKind::Pids {
        return None;
    }
    let remedy = Remedy::Limit(kind);
    let why = format!("without a limit it can take {why} of the whole host");
    let documented = needs::advice_note(&remedy, c);
    let guess = documented.is_none();
    let how_much = documented
        .unwrap_or_else(|| "how much it needs is a guess, to be set by what it is seen to use".to_owned());
    Some(Recommendation { remedy, why: format!("{why}; {how_much}"), guess })
}

/// Where nothing says that the workload uses the API: its account is granted nothing, or what it is granted is not
/// known and it is the one that every pod has.
fn no_service_account_token(c: &Confinement) -> Option<Recommendation> {
    let account = c.service_account.as_ref().filter(|a| a.token_mounted.value != Some(false))?;
    let why = match account.grants.get() {
        Some(grants) if grants.is_empty() => "its service account is granted nothing",
        None if &*account.name == "default" => "it runs under the account that every pod has",
        Some(_) | None => return None,
    };
    known(Remedy::NoServiceAccountToken, why.into())
}

fn pin_image(c: &Confinement, digest: Option<&str>) -> Option<Recommendation> {
    let digest = digest.filter(|_| c.image.pinned.value != Some(true))?;
    known(Remedy::PinImage, format!("a tag can be moved to another image; this one is {digest}"))
}

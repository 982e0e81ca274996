//! Known flaws of what is installed here, and what closes the way to one until it is updated.

use confinement::Fact;
use confinement::host::Installed;
use techniques::flaw::{self, Flaw, Presence};

use super::disk::Disk;
use super::{Command, Known, Proposal, Update};

/// A flaw that is here, or is not known not to be.
pub(super) struct Found {
    pub(super) flaw: &'static Flaw,
    pub(super) presence: Presence,
}

/// Flaws of the kernel and of the components that are installed, those known to be fixed left out.
pub(super) fn present(known: &Known<'_>) -> Vec<Found> {
    let kernel = known.host.kernel.get().map(|installed| ("linux", installed));
    let components = known.host.components.iter().filter_map(|(name, fact)| Some((&**name, fact.get()?)));
    let mut found = Vec::new();
    for (component, installed) in kernel.into_iter().chain(components) {
        for (flaw, presence) in flaw::affecting(component, installed) {
            // What has no version range is known of no host.
            let judged = flaw.affected.is_some() && flaw.undecidable.is_none();
            if judged && !matches!(presence, Presence::Fixed { .. }) {
                found.push(Found { flaw, presence });
            }
        }
    }
    found
}

/// Whether a condition is part of what a flaw needs.
pub(super) fn needs(flaw: &Flaw, condition: &str) -> bool {
    let spaceless = |text: &str| text.replace(' ', "");
    let wanted = spaceless(condition);
    flaw.needs.iter().flat_map(flaw::Needs::conditions).any(|named| spaceless(named) == wanted)
}

pub(super) fn propose(known: &Known<'_>, flaws: &[Found], disk: &Disk<'_>, proposal: &mut Proposal) {
    let meanwhile = |flaw: &Flaw| -> Vec<String> {
        let reasons = proposal.files.iter().flat_map(|file| &file.reasons);
        reasons
            .filter(|reason| reason.answers.contains(&flaw.id))
            .map(|reason| reason.setting.clone())
            .collect()
    };
    let mut updates: Vec<Update> = Vec::new();
    let mut packages: Vec<String> = Vec::new();
    for found in flaws {
        let Presence::Present { why } = &found.presence else { continue };
        let flaw = found.flaw;
        updates.push(Update {
            flaw: flaw.id.clone(),
            title: flaw.title.clone(),
            component: flaw.component.to_owned(),
            why: why.clone(),
            fixed: fixed(known, flaw),
            meanwhile: meanwhile(flaw),
        });
        if distribution_fix(known, flaw).is_some() {
            packages.extend(package(known, flaw.component));
        }
    }
    packages.sort();
    packages.dedup();
    let unknown = flaws.iter().filter(|found| matches!(found.presence, Presence::Unknown { .. })).count();
    if unknown > 0 {
        proposal.notes.push(format!(
            "of {unknown} further flaws it is not known whether they are here: a build may have their fixes without \
             its version telling (`stockade facts`, `stockade audit host:`)"
        ));
    }
    proposal.updates = updates;
    if !packages.is_empty() && disk.exists("/usr/bin/apt-get") {
        let mut argv = vec!["apt-get".to_owned(), "install".into(), "--only-upgrade".into()];
        argv.extend(packages);
        proposal
            .commands
            .push(Command::new(argv, "only newer packages mend the flaws; a kernel needs a reboot"));
    }
}

fn installed<'a>(known: &Known<'a>, component: &str) -> Option<&'a Installed> {
    match component {
        "linux" => known.host.kernel.get(),
        component => known.host.components.get(component).and_then(Fact::get),
    }
}

/// The distribution's own package version with the fix.
fn distribution_fix(known: &Known<'_>, flaw: &Flaw) -> Option<String> {
    let package = installed(known, flaw.component)?.package.as_ref()?;
    flaw.distributions.iter().find_map(|fix| {
        let release = fix.release == *package.release
            || package.release.strip_prefix(fix.release.as_str()).is_some_and(|rest| rest.starts_with('.'));
        let named = fix.package.as_deref().is_none_or(|name| name == &*package.name);
        let is_ours = fix.distribution == *package.distribution && release && named;
        fix.fixed.clone().filter(|_| is_ours)
    })
}

/// Where to find the fix: the distribution's, else that of the component's own newest stream.
fn fixed(known: &Known<'_>, flaw: &Flaw) -> Option<String> {
    let upstream = || {
        let affected = flaw.affected.as_ref()?;
        (!affected.fixed.is_empty()).then(|| format!("{} {}", flaw.component, affected.fixed.join(", ")))
    };
    let package = installed(known, flaw.component).and_then(|installed| installed.package.as_ref());
    distribution_fix(known, flaw)
        .zip(package)
        .map(|(version, package)| format!("{} {version}", package.distribution))
        .or_else(upstream)
}

/// The distribution's package of a component; the kernel's is named for its version, so that its successor has
/// another name.
fn package(known: &Known<'_>, component: &str) -> Option<String> {
    let package = installed(known, component)?.package.as_ref()?;
    let debian = matches!(&*package.distribution, "debian" | "ubuntu");
    let name = if component == "linux" { kernel_package(&package.name)? } else { package.name.to_string() };
    debian.then_some(name)
}

/// `linux-image-6.1.0-28-cloud-amd64` is one of what `linux-image-cloud-amd64` brings.
fn kernel_package(name: &str) -> Option<String> {
    let rest = name.strip_prefix("linux-image-")?;
    let rest = rest.strip_prefix("unsigned-").unwrap_or(rest);
    let flavour: Vec<&str> =
        rest.split('-').skip_while(|part| part.starts_with(|c: char| c.is_ascii_digit())).collect();
    let flavour: Vec<&str> = flavour.into_iter().filter(|part| !part.contains('+')).collect();
    (!flavour.is_empty()).then(|| format!("linux-image-{}", flavour.join("-")))
}

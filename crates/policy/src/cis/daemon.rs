//! Section 2: the daemon's settings, of a daemon.json or of a live engine. What neither its API tells nor its command
//! line and file could be read for is unknown.

use std::sync::Arc;

use confinement::engine::{SeccompDefault, Settings};
use confinement::{Fact, Origin};

use super::{Ruling, Told};

const UNREAD: &str = "the daemon's command line and file could not be read";

/// A default says nothing where what replaces it could not be read.
fn settled<T: Clone>(settings: &Settings, fact: &Fact<T>) -> Fact<T> {
    match fact.origin {
        Origin::EngineDefault { .. } | Origin::Nowhere if unread(settings) => {
            Fact::unknown(Origin::measured(UNREAD))
        }
        _ => fact.clone(),
    }
}

fn unread(settings: &Settings) -> bool {
    settings.own_configuration == Some(false)
}

fn not_known(what: &str) -> Ruling {
    Ruling::unknown(format!("{what} is not known: {UNREAD}"), &Origin::Nowhere)
}

/// 2.1
pub(super) fn rootless(settings: &Settings) -> Ruling {
    match settings.rootless.value {
        Some(true) => Ruling::PASS,
        Some(false) => Ruling::manual("the daemon runs as root; whether it need not is to be decided"),
        None => Ruling::unknown("as whom the daemon runs is not known", &settings.rootless.origin),
    }
}

/// 2.2
pub(super) fn inter_container(settings: &Settings) -> Ruling {
    Ruling::by(
        &settled(settings, &settings.inter_container),
        "icc",
        |on| !on,
        || "containers on the default bridge may speak to each other (icc)".to_owned(),
    )
}

/// 2.3
pub(super) fn log_level(settings: &Settings) -> Ruling {
    match &settings.log_level {
        None if unread(settings) => not_known("the log level"),
        None => Ruling::PASS,
        Some(level) => {
            let told = || format!("the log level is {}", level.get().map_or("not known", |l| &**l));
            Ruling::by(level, "the log level", |level| &**level == "info", told)
        }
    }
}

/// 2.4
pub(super) fn packet_filter(settings: &Settings) -> Ruling {
    let told = || "the daemon must not set up packet filters (iptables: false)".to_owned();
    Ruling::by(&settled(settings, &settings.packet_filter), "iptables", |on| *on, told)
}

/// 2.5
pub(super) fn insecure_registries(settings: &Settings) -> Ruling {
    let each = settings.insecure_registries.iter().map(|registry| {
        let name = registry.get().map_or("one that cannot be read", |name| &**name);
        Told::new(format!("{name} is used without TLS that is checked"), &registry.origin)
    });
    Ruling::all(each.collect())
}

/// 2.6
pub(super) fn storage_driver(settings: &Settings) -> Ruling {
    match &settings.storage_driver {
        // No release chooses aufs where another driver works; since 24 there is none.
        None => Ruling::PASS,
        Some(driver) => Ruling::by(
            driver,
            "the storage driver",
            |driver| &**driver != "aufs",
            || "the storage driver is aufs, which no kernel supports any more".to_owned(),
        ),
    }
}

/// 2.7
pub(super) fn tls(settings: &Settings) -> Ruling {
    if settings.tcp.is_empty() {
        return if unread(settings) {
            not_known("whether the API listens on TCP")
        } else {
            Ruling::not_applicable("the API does not listen on TCP")
        };
    }
    let mut against = Vec::new();
    for api in &settings.tcp {
        match api.get() {
            Some(api) if api.verifies_clients => {}
            Some(open) => {
                let message = format!("{} asks no client for a certificate", open.address);
                against.push(Told::new(message, &api.origin));
            }
            None => return Ruling::unknown("an address of the API cannot be read", &api.origin),
        }
    }
    Ruling::all(against)
}

/// 2.8
pub(super) fn ulimits(settings: &Settings) -> Ruling {
    match settings.default_ulimits {
        true => Ruling::PASS,
        false if unread(settings) => not_known("whether limits are set for all containers"),
        false => Ruling::manual("no limits are set for all containers (default-ulimits)"),
    }
}

/// 2.9
pub(super) fn user_namespaces(settings: &Settings) -> Ruling {
    // A rootless engine is in a user namespace with all its containers.
    if settings.rootless.value == Some(true) {
        return Ruling::PASS;
    }
    let told = || "containers are in the host's user namespace (userns-remap is not set)".to_owned();
    Ruling::by(&settled(settings, &settings.userns_remap), "userns-remap", |on| *on, told)
}

/// 2.10
pub(super) fn cgroup_parent(settings: &Settings) -> Ruling {
    match &settings.cgroup_parent {
        None if unread(settings) => not_known("cgroup-parent"),
        None => Ruling::PASS,
        Some(parent) => {
            let name = parent.get().map_or("something that cannot be read", |p| &**p);
            Ruling::fail(format!("containers are put into the cgroup {name}"), &parent.origin)
        }
    }
}

/// 2.11
pub(super) fn base_size(settings: &Settings) -> Ruling {
    let named = |option: &&Fact<Arc<str>>| option.get().is_none_or(|text| text.starts_with("dm.basesize"));
    match settings.storage_options.iter().find(named) {
        Some(option) => {
            let text = option.get().map_or("a storage option that cannot be read", |text| &**text);
            Ruling::fail(format!("{text} changes the size of every container's file system"), &option.origin)
        }
        None if unread(settings) => not_known("storage-opts"),
        None => Ruling::PASS,
    }
}

/// 2.12
pub(super) fn authorization(settings: &Settings) -> Ruling {
    let plugins = settled(settings, &settings.authorization_plugins);
    let told = || "whoever reaches the API may do everything (no authorization plugin)".to_owned();
    Ruling::by(&plugins, "authorization-plugins", |plugins| !plugins.is_empty(), told)
}

/// 2.13
pub(super) fn logging(settings: &Settings) -> Ruling {
    let kept = |driver: &str| format!("logs stay on the host ({driver})");
    let Some(driver) = &settings.log_driver else {
        return match unread(settings) {
            true => not_known("the log driver"),
            false => Ruling::of(crate::Verdict::Fail, kept("json-file, the default")),
        };
    };
    match driver.get().map(|name| &**name) {
        None => Ruling::unknown("the log driver is not known", &driver.origin),
        Some(name @ ("json-file" | "local" | "none")) => Ruling::fail(kept(name), &driver.origin),
        // Journald keeps them here too, unless it hands them on.
        Some("journald") => {
            Ruling::manual("logs go to journald; whether that hands them on is not seen here")
        }
        Some(_) => Ruling::PASS,
    }
}

/// 2.14
pub(super) fn no_new_privileges(settings: &Settings) -> Ruling {
    let told = || "no-new-privileges is not the default of containers".to_owned();
    Ruling::by(&settled(settings, &settings.no_new_privileges), "no-new-privileges", |on| *on, told)
}

/// 2.15
pub(super) fn live_restore(settings: &Settings) -> Ruling {
    let told = || "containers end with the daemon (live-restore)".to_owned();
    Ruling::by(&settled(settings, &settings.live_restore), "live-restore", |on| *on, told)
}

/// 2.16
pub(super) fn userland_proxy(settings: &Settings) -> Ruling {
    let told = || "published ports go through the userland proxy".to_owned();
    Ruling::by(&settled(settings, &settings.userland_proxy), "userland-proxy", |on| !on, told)
}

/// 2.17
pub(super) fn seccomp(settings: &Settings) -> Ruling {
    match &settings.seccomp_profile {
        None => Ruling::PASS,
        Some(profile) => match profile.get() {
            Some(SeccompDefault::Unconfined) => {
                Ruling::fail("containers have no seccomp filter by default", &profile.origin)
            }
            Some(SeccompDefault::Profile { name, .. } | SeccompDefault::Unread(name)) => Ruling::manual(
                format!("whether the profile {name} is as good as the engine's is to be checked"),
            ),
            None => Ruling::unknown("the default seccomp profile is not known", &profile.origin),
        },
    }
}

/// 2.18
pub(super) fn experimental(settings: &Settings) -> Ruling {
    let told = || "experimental features are on".to_owned();
    Ruling::by(&settled(settings, &settings.experimental), "experimental", |on| !on, told)
}

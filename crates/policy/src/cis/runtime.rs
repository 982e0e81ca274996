//! Section 5: containers, whoever asks for them: Compose, a command line, an engine that runs them, a gate.

use confinement::{
    AppArmor, Fact, HostPath, Mount, Namespace, NamespaceKind, Origin, Propagation, SeLinux, Seccomp, Subject,
};

use super::{Ruling, Told, declared};

/// 5.2
pub(super) fn apparmor(subject: &Subject) -> Ruling {
    let fact = &subject.confinement.apparmor;
    // Where the kernel has none, what an engine says of profiles means nothing.
    if subject.confinement.host.lsms.is(|lsms| lsms.iter().any(|name| &**name == "apparmor")).is_false() {
        return Ruling::not_applicable("the host does not run AppArmor");
    }
    match fact.get() {
        Some(AppArmor::Profile { enforcing: true, .. }) => Ruling::PASS,
        Some(AppArmor::Profile { name, .. }) => {
            Ruling::fail(format!("the AppArmor profile {name} only complains"), &fact.origin)
        }
        Some(AppArmor::Unconfined) => Ruling::fail("no AppArmor profile confines it", &fact.origin),
        Some(AppArmor::Absent) => Ruling::not_applicable("the host does not run AppArmor"),
        None => Ruling::unknown("whether the host runs AppArmor is not known", &fact.origin),
    }
}

/// 5.3
pub(super) fn selinux(subject: &Subject) -> Ruling {
    let fact = &subject.confinement.selinux;
    let host = subject.confinement.host.lsms.get().map(|lsms| lsms.iter().any(|name| &**name == "selinux"));
    match (fact.get(), host) {
        (Some(SeLinux::Confined { .. } | SeLinux::Custom { .. }), _) => Ruling::PASS,
        (_, Some(false)) => Ruling::not_applicable("the host does not run SELinux"),
        (Some(SeLinux::Absent), Some(true)) => {
            Ruling::fail("the engine labels no containers (selinux-enabled)", &fact.origin)
        }
        (Some(SeLinux::Permissive), _) => Ruling::fail("SELinux only complains", &fact.origin),
        (Some(SeLinux::Unconfined), _) => Ruling::fail("no SELinux domain confines it", &fact.origin),
        _ => Ruling::unknown("whether the host runs SELinux is not known", &Origin::Nowhere),
    }
}

/// 5.4: nothing beyond what the engine gives to all.
pub(super) fn capabilities(subject: &Subject) -> Ruling {
    let confinement = &subject.confinement;
    let bounding = &confinement.capabilities.bounding;
    let Some(engine) = &confinement.engine else {
        return Ruling::unknown("the engine is not known", &Origin::Nowhere);
    };
    let Some(set) = bounding.get() else {
        return Ruling::unknown("its capabilities are not known", &bounding.origin);
    };
    let more = set.minus(engine.default_capabilities());
    if more.is_empty() {
        return Ruling::PASS;
    }
    let asked = confinement.operation.capabilities.first().map(|fact| &fact.origin);
    let message = match confinement.privileged.value {
        Some(true) => "it is privileged and has every capability".to_owned(),
        _ => format!("beyond the engine's default it has {more}"),
    };
    Ruling::fail(message, asked.unwrap_or(&bounding.origin))
}

/// 5.5
pub(super) fn privileged(subject: &Subject) -> Ruling {
    Ruling::by(
        &subject.confinement.privileged,
        "whether it is privileged",
        |on| !on,
        || "it is privileged".to_owned(),
    )
}

/// Folders of the benchmark's list.
const SENSITIVE: &[&str] = &["/boot", "/dev", "/etc", "/usr/lib", "/proc", "/sys", "/usr"];

/// 5.6: a folder of the list or one that holds it, writable or not; what lies below one, where it is writable: a
/// clock's file that is only read harms nobody.
pub(super) fn host_folders(subject: &Subject) -> Ruling {
    let mut against = Vec::new();
    for mount in &subject.confinement.mounts {
        match mount.host_path() {
            Some(path) if SENSITIVE.iter().any(|folder| is_sensitive(mount, path, folder)) => {
                let how = if is_read_only(mount) { ", read-only" } else { "" };
                against.push(Told::new(format!("the host's {path} is mounted{how}"), mount.origin()));
            }
            None if !mount.source.is_known() => {
                let message = format!("what is mounted at {} is not known", shown(mount));
                return Ruling::unknown(message, mount.origin());
            }
            _ => {}
        }
    }
    Ruling::all(against)
}

fn is_sensitive(mount: &Mount, path: &HostPath, folder: &str) -> bool {
    path.shows(folder) || path.is_at_or_below(folder) && !is_read_only(mount)
}

fn is_read_only(mount: &Mount) -> bool {
    mount.read_only.value == Some(true)
}

fn shown(mount: &Mount) -> &str {
    if mount.target.is_empty() { "a place that cannot be read" } else { &mount.target }
}

/// 5.7
pub(super) fn ssh_server(subject: &Subject) -> Ruling {
    match &subject.confinement.operation.ssh_server {
        Some(runs) => Ruling::by(runs, "what runs in it", |runs| !runs, || "sshd runs in it".to_owned()),
        None => Ruling::unknown("what will run in it is not known", &Origin::Nowhere),
    }
}

/// A published port: where it is open on the host. `docker run --publish` and Compose's short form:
/// `[ADDRESS:][PORT[-PORT]:]INSIDE[-INSIDE][/PROTOCOL]`.
struct Published<'p> {
    address: &'p str,
    /// The lowest; `None` where the engine chooses a high one.
    port: Option<u16>,
}

fn published(text: &str) -> Option<Published<'_>> {
    let mut parts = text.rsplitn(3, ':');
    let inside = parts.next()?;
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit() || b == b'-');
    if !digits(inside.split('/').next()?) {
        return None;
    }
    let port = match parts.next() {
        None | Some("") => None,
        Some(port) => Some(port.split('-').next()?.parse().ok()?),
    };
    let address = parts.next().unwrap_or("").trim_matches(['[', ']']);
    Some(Published { address, port })
}

fn ports(subject: &Subject, against: impl Fn(&Published<'_>, &str) -> Option<String>) -> Ruling {
    let mut found = Vec::new();
    for fact in &subject.confinement.network.published {
        let Some((text, port)) = fact.get().and_then(|text| Some((text, published(text)?))) else {
            return Ruling::unknown("a published port cannot be read", &fact.origin);
        };
        found.extend(against(&port, text).map(|message| Told::new(message, &fact.origin)));
    }
    Ruling::all(found)
}

/// 5.8
pub(super) fn privileged_ports(subject: &Subject) -> Ruling {
    ports(subject, |published, _| {
        let port = published.port.filter(|port| *port < 1024)?;
        Some(format!("the host's port {port} leads into it"))
    })
}

/// 5.9
pub(super) fn needed_ports(subject: &Subject) -> Ruling {
    let published = &subject.confinement.network.published;
    if published.is_empty() {
        return Ruling::PASS;
    }
    let list: Vec<&str> = published.iter().map(|fact| fact.get().map_or("?", |text| &**text)).collect();
    let message = format!("whether these ports are needed is for you to say: {}", list.join(", "));
    let first = published.first().map_or(Origin::Nowhere, |fact| fact.origin.clone());
    Ruling::with(crate::Verdict::Manual, message, &first)
}

/// 5.14
pub(super) fn bound_ports(subject: &Subject) -> Ruling {
    ports(subject, |published, text| {
        let everywhere = matches!(published.address, "" | "0.0.0.0" | "::" | "*");
        everywhere.then(|| format!("{text} is open on every address of the host"))
    })
}

fn shared(subject: &Subject, kind: NamespaceKind) -> Ruling {
    let fact = subject.confinement.namespaces.get(kind);
    let name = kind.name();
    let told = || format!("it shares the host's {name} namespace");
    Ruling::by(fact, &format!("its {name} namespace"), |namespace| *namespace != Namespace::Host, told)
}

/// 5.10, 5.16, 5.17, 5.21
pub(super) fn net(subject: &Subject) -> Ruling {
    shared(subject, NamespaceKind::Net)
}
pub(super) fn pid(subject: &Subject) -> Ruling {
    shared(subject, NamespaceKind::Pid)
}
pub(super) fn ipc(subject: &Subject) -> Ruling {
    shared(subject, NamespaceKind::Ipc)
}
pub(super) fn uts(subject: &Subject) -> Ruling {
    shared(subject, NamespaceKind::Uts)
}

fn limited(fact: &Fact<Option<u64>>, what: &str, subject: &Subject) -> Ruling {
    // A default stands nowhere: what one would change is the container.
    let fact = match fact.origin {
        Origin::File(_) | Origin::Measurement { .. } => fact.clone(),
        _ => Fact { value: fact.value, origin: declared(subject) },
    };
    Ruling::by(&fact, &format!("the limit of its {what}"), Option::is_some, || {
        format!("its {what} has no limit")
    })
}

/// 5.11
pub(super) fn memory(subject: &Subject) -> Ruling {
    limited(&subject.confinement.limits.memory, "memory", subject)
}

/// 5.29
pub(super) fn processes(subject: &Subject) -> Ruling {
    limited(&subject.confinement.limits.pids, "number of processes", subject)
}

/// The weight that the kernel gives where none is set (cgroups(7)); the same as none.
const DEFAULT_SHARES: u64 = 1024;

/// 5.12: a weight, or a limit.
pub(super) fn processor(subject: &Subject) -> Ruling {
    let confinement = &subject.confinement;
    let shares = confinement.operation.cpu_shares.as_ref();
    let weighed = shares.and_then(|fact| fact.value.flatten()).is_some_and(|shares| shares != DEFAULT_SHARES);
    if weighed || matches!(confinement.limits.cpu.value, Some(Some(_))) {
        return Ruling::PASS;
    }
    if let Some(fact) = shares.filter(|fact| !fact.is_known()) {
        return Ruling::unknown("its share of processor time is not known", &fact.origin);
    }
    let origin = shares.map_or_else(|| declared(subject), |fact| fact.origin.clone());
    match confinement.limits.cpu.is_known() {
        true => Ruling::fail("its processor time has neither a weight nor a limit", &origin),
        false => {
            Ruling::unknown("the limit of its processor time is not known", &confinement.limits.cpu.origin)
        }
    }
}

/// 5.13
pub(super) fn read_only(subject: &Subject) -> Ruling {
    Ruling::by(
        &at(subject, &subject.confinement.read_only_rootfs),
        "its root file system",
        |on| *on,
        || "its root file system is writable".to_owned(),
    )
}

/// A default of the engine, told where the container stands.
fn at<T: Clone>(subject: &Subject, fact: &Fact<T>) -> Fact<T> {
    match (&fact.origin, &subject.place) {
        (Origin::EngineDefault { .. } | Origin::Nowhere, Some(place)) => {
            Fact { value: fact.value.clone(), origin: Origin::File(place.clone()) }
        }
        _ => fact.clone(),
    }
}

/// 5.15: `no`, or `on-failure` up to five times.
pub(super) fn restart(subject: &Subject) -> Ruling {
    let Some(fact) = &subject.confinement.operation.restart else { return Ruling::PASS };
    let Some(restart) = fact.get() else {
        return Ruling::unknown("its restart policy is not known", &fact.origin);
    };
    match (&*restart.policy, restart.retries) {
        ("no", _) | ("on-failure", Some(..=5)) => Ruling::PASS,
        ("on-failure", Some(times)) => {
            Ruling::fail(format!("it is started again up to {times} times, and not 5"), &fact.origin)
        }
        (policy, _) => Ruling::fail(format!("it is started again without end ({policy})"), &fact.origin),
    }
}

/// 5.18
pub(super) fn devices(subject: &Subject) -> Ruling {
    let devices = &subject.confinement.devices;
    let mut against = Vec::new();
    if devices.all_host_nodes.value == Some(true) {
        against.push(Told::new("it has every device of the host", &devices.all_host_nodes.origin));
    }
    for node in &devices.nodes {
        match node.get() {
            Some(device) => {
                against.push(Told::new(format!("it has the host's {}", device.host), &node.origin))
            }
            None => return Ruling::unknown("a device of it cannot be read", &node.origin),
        }
    }
    Ruling::all(against)
}

/// 5.19
pub(super) fn ulimits(subject: &Subject) -> Ruling {
    match &subject.confinement.operation.ulimits {
        Some(own) if own.value == Some(true) => Ruling::with(
            crate::Verdict::Manual,
            "whether it needs limits of its own is for you to say",
            &own.origin,
        ),
        _ => Ruling::PASS,
    }
}

/// 5.20
pub(super) fn propagation(subject: &Subject) -> Ruling {
    let mut against = Vec::new();
    for mount in &subject.confinement.mounts {
        match mount.propagation.get() {
            Some(Propagation::Shared) => {
                against
                    .push(Told::new(format!("mounts below {} reach the host", shown(mount)), mount.origin()));
            }
            None => {
                let message = format!("the propagation of {} is not known", shown(mount));
                return Ruling::unknown(message, mount.origin());
            }
            Some(Propagation::Private | Propagation::Slave) => {}
        }
    }
    Ruling::all(against)
}

/// 5.22
pub(super) fn seccomp(subject: &Subject) -> Ruling {
    Ruling::by(
        &subject.confinement.seccomp,
        "its seccomp filter",
        |filter| *filter != Seccomp::Disabled,
        || "no seccomp filter confines it".to_owned(),
    )
}

/// 5.25
pub(super) fn cgroup_parent(subject: &Subject) -> Ruling {
    match &subject.confinement.cgroup.parent {
        None => Ruling::PASS,
        Some(parent) if parent.get().is_some_and(|name| name.is_empty()) => Ruling::PASS,
        Some(parent) => {
            let name = parent.get().map_or("one that cannot be read", |name| &**name);
            Ruling::fail(format!("it is put into the cgroup {name}"), &parent.origin)
        }
    }
}

/// 5.26
pub(super) fn no_new_privileges(subject: &Subject) -> Ruling {
    Ruling::by(
        &at(subject, &subject.confinement.identity.no_new_privileges),
        "no-new-privileges",
        |on| *on,
        || "its programs may gain privileges (no-new-privileges is off)".to_owned(),
    )
}

/// 5.27
pub(super) fn health_check(subject: &Subject) -> Ruling {
    match &subject.confinement.operation.health_check {
        Some(check) => {
            Ruling::by(check, "its health check", |set| *set, || "its health is not checked".to_owned())
        }
        None => Ruling::unknown("it sets no health check, and the image's is not known", &declared(subject)),
    }
}

/// 5.30
pub(super) fn default_bridge(subject: &Subject) -> Ruling {
    let told = || "it is on the default bridge, with every other container that names no network".to_owned();
    let net = &subject.confinement.namespaces.net;
    match &subject.confinement.operation.default_bridge {
        Some(_) if net.get() == Some(&Namespace::Host) => Ruling::PASS,
        Some(on) => Ruling::by(on, "its network", |on| !on, told),
        None => match net.get() {
            Some(Namespace::Own) => Ruling::fail(told(), &declared(subject)),
            Some(_) => Ruling::PASS,
            None => Ruling::unknown("its network is not known", &net.origin),
        },
    }
}

/// 5.31
pub(super) fn host_users(subject: &Subject) -> Ruling {
    match &subject.confinement.operation.host_users {
        Some(asked) => Ruling::by(
            asked,
            "its user namespace",
            |host| !host,
            || "it asks for the host's user namespace".to_owned(),
        ),
        None => Ruling::PASS,
    }
}

const SOCKET: &str = "/run/docker.sock";

/// 5.32: the socket itself, by whatever path, or a folder with it.
pub(super) fn docker_socket(subject: &Subject) -> Ruling {
    let confinement = &subject.confinement;
    let shows = |path: &HostPath| path.shows(SOCKET) || path.as_str().ends_with("/docker.sock");
    let mut against = Vec::new();
    for mount in &confinement.mounts {
        match mount.host_path() {
            Some(path) if shows(path) => {
                against.push(Told::new(format!("the host's {path} is mounted"), mount.origin()));
            }
            None if !mount.source.is_known() => {
                let message = format!("what is mounted at {} is not known", shown(mount));
                return Ruling::unknown(message, mount.origin());
            }
            _ => {}
        }
    }
    for api in &confinement.control_apis {
        if api.get() == Some(&confinement::ControlApi::ApiSocket) {
            against.push(Told::new("the engine hands its socket in", &api.origin));
        }
    }
    Ruling::all(against)
}

macro_rules! by_hand {
    ($($name:ident: $message:literal;)*) => {
        $(pub(super) fn $name(_: &Subject) -> Ruling { Ruling::manual($message) })*
    };
}

by_hand! {
    exec_privileged: "how `docker exec` is used stands in the engine's events and audit records";
    exec_root: "how `docker exec` is used stands in the engine's events and audit records";
    latest: "whether the image is the latest of its name is not asked of a registry";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn published_ports_are_read_in_every_form() {
        let read = |text: &str| published(text).map(|p| (p.address.to_owned(), p.port));
        let some = |address: &str, port| Some((address.to_owned(), port));
        assert_eq!(read("80:8080"), some("", Some(80)));
        assert_eq!(read("127.0.0.1:80:8080/tcp"), some("127.0.0.1", Some(80)));
        assert_eq!(read("[::1]:443:443"), some("::1", Some(443)));
        assert_eq!(read(":::80:80/tcp"), some("::", Some(80)));
        assert_eq!(read(":8080:80/tcp"), some("", Some(8080)));
        assert_eq!(read("127.0.0.1::80"), some("127.0.0.1", None));
        assert_eq!(read("8080"), some("", None));
        assert_eq!(read("1000-1010:80-90"), some("", Some(1000)));
        assert_eq!(read("${PORT}:80"), None);
        assert_eq!(read(""), None);
    }
}

//! Sections 1 and 3: what of the host's files keeps the engine out of other hands, and whether changes to them are
//! recorded. Decided by the host's inventory.

use sources::inventory::{FileState, HostInventory, watched};

use super::{Ruling, Told, read};

/// 1.1.1
pub(super) fn partition(host: &HostInventory) -> Ruling {
    let root = host.data_root.as_deref().unwrap_or("/var/lib/docker");
    match host.data_root_mounted {
        Some(true) => Ruling::PASS,
        Some(false) => Ruling::fail(
            format!("{root} is on the file system of another folder"),
            &read("/proc/self/mountinfo"),
        ),
        None => Ruling::unknown(format!("what is mounted at {root} is not known"), &read(root)),
    }
}

/// 1.1.2
pub(super) fn members(host: &HostInventory) -> Ruling {
    match host.docker_members.as_deref() {
        Some([]) => Ruling::PASS,
        Some(names) => {
            let list = names.join(", ");
            Ruling::manual(format!("in the group docker, which is as good as root: {list}"))
        }
        None => Ruling::unknown("the members of the group docker are not known", &read("/etc/group")),
    }
}

fn of<'h>(host: &'h HostInventory, role: &str) -> Option<&'h FileState> {
    host.files.get(role).filter(|file| file.there != Some(false))
}

/// 1.1.3 to 1.1.18
fn audited(host: &HostInventory, role: &str) -> Ruling {
    let Some(file) = of(host, role) else {
        return Ruling::not_applicable(format!("{role} is not there"));
    };
    match &host.audit {
        Some(rules) if watched(rules, &file.path).is_some() => Ruling::PASS,
        Some(_) => {
            Ruling::fail(format!("no audit rule watches {}", file.path), &read("/etc/audit/audit.rules"))
        }
        None => Ruling::unknown("the audit rules cannot be read (run as root)", &read("/etc/audit")),
    }
}

macro_rules! audited {
    ($($name:ident: $role:literal,)*) => {
        $(pub(super) fn $name(host: &HostInventory) -> Ruling { audited(host, $role) })*
    };
}

audited! {
    audit_dockerd: "dockerd",
    audit_run_containerd: "/run/containerd",
    audit_data_root: "data root",
    audit_etc_docker: "/etc/docker",
    audit_service: "docker.service",
    audit_containerd_socket: "/run/containerd/containerd.sock",
    audit_socket_unit: "docker.socket",
    audit_default: "/etc/default/docker",
    audit_daemon_json: "/etc/docker/daemon.json",
    audit_containerd_config: "/etc/containerd/config.toml",
    audit_sysconfig: "/etc/sysconfig/docker",
    audit_containerd: "containerd",
    audit_shim: "containerd-shim",
    audit_shim_v1: "containerd-shim-runc-v1",
    audit_shim_v2: "containerd-shim-runc-v2",
    audit_runc: "runc",
}

/// 4.5
pub(super) fn content_trust(host: &HostInventory) -> Ruling {
    let file = read("/etc/environment");
    match host.content_trust {
        Some(true) => Ruling::PASS,
        Some(false) => Ruling::fail("DOCKER_CONTENT_TRUST=1 is not set for every login", &file),
        None => Ruling::unknown("what is set for every login is not known", &file),
    }
}

/// What is against a file's owner.
fn owner(file: &FileState, group: Option<u32>) -> Result<Option<Told>, String> {
    let (Some(uid), Some(gid)) = (file.uid, file.gid) else {
        return Err(format!("who owns {} is not known", file.path));
    };
    if uid == 0 && (Some(gid) == group) {
        return Ok(None);
    }
    let wanted = group.map_or_else(|| "root:docker".to_owned(), |group| format!("0:{group}"));
    let message = format!("{} belongs to {uid}:{gid} and not to {wanted}", file.path);
    Ok(Some(Told::new(message, &read(&file.path))))
}

/// What is against a file's mode: each bit that is more than `most`.
fn mode(file: &FileState, most: u32) -> Result<Option<Told>, String> {
    let Some(mode) = file.mode else { return Err(format!("the mode of {} is not known", file.path)) };
    if mode & !most == 0 {
        return Ok(None);
    }
    let message = format!("{} has mode {mode:o}, which is more than {most:o}", file.path);
    Ok(Some(Told::new(message, &read(&file.path))))
}

fn each<'f>(
    files: impl Iterator<Item = &'f FileState>,
    judge: impl Fn(&FileState) -> Result<Option<Told>, String>,
) -> Ruling {
    let mut against = Vec::new();
    let mut unknown = None;
    for file in files {
        match judge(file) {
            Ok(told) => against.extend(told),
            Err(message) => unknown = unknown.or(Some(Ruling::unknown(message, &read(&file.path)))),
        }
    }
    match unknown {
        Some(unknown) if against.is_empty() => unknown,
        _ => Ruling::all(against),
    }
}

fn one(
    host: &HostInventory,
    role: &str,
    judge: impl Fn(&FileState) -> Result<Option<Told>, String>,
) -> Ruling {
    match of(host, role) {
        Some(file) => each(std::iter::once(file), judge),
        None => Ruling::not_applicable(format!("{role} is not there")),
    }
}

macro_rules! owned_by_root {
    ($($name:ident: $role:literal,)*) => {
        $(pub(super) fn $name(host: &HostInventory) -> Ruling { one(host, $role, |file| owner(file, Some(0))) })*
    };
}

owned_by_root! {
    owner_service: "docker.service",
    owner_socket_unit: "docker.socket",
    owner_etc_docker: "/etc/docker",
    owner_authority: "tlscacert",
    owner_certificate: "tlscert",
    owner_key: "tlskey",
    owner_daemon_json: "/etc/docker/daemon.json",
    owner_default: "/etc/default/docker",
    owner_sysconfig: "/etc/sysconfig/docker",
    owner_containerd_socket: "/run/containerd/containerd.sock",
}

macro_rules! mode_at_most {
    ($($name:ident: $role:literal, $most:literal;)*) => {
        $(pub(super) fn $name(host: &HostInventory) -> Ruling { one(host, $role, |file| mode(file, $most)) })*
    };
}

mode_at_most! {
    mode_service: "docker.service", 0o644;
    mode_socket_unit: "docker.socket", 0o644;
    mode_etc_docker: "/etc/docker", 0o755;
    mode_authority: "tlscacert", 0o444;
    mode_certificate: "tlscert", 0o444;
    mode_key: "tlskey", 0o400;
    mode_socket: "/run/docker.sock", 0o660;
    mode_daemon_json: "/etc/docker/daemon.json", 0o644;
    mode_default: "/etc/default/docker", 0o644;
    mode_sysconfig: "/etc/sysconfig/docker", 0o644;
    mode_containerd_socket: "/run/containerd/containerd.sock", 0o660;
}

/// 3.15. Where there is no group docker, root:root is stricter and is let pass.
pub(super) fn owner_socket(host: &HostInventory) -> Ruling {
    one(host, "/run/docker.sock", |file| match file.gid {
        Some(0) if file.uid == Some(0) => Ok(None),
        _ => owner(file, host.docker_group),
    })
}

/// 3.7 and 3.8
pub(super) fn owner_registries(host: &HostInventory) -> Ruling {
    registries(host, |file| owner(file, Some(0)))
}
pub(super) fn mode_registries(host: &HostInventory) -> Ruling {
    registries(host, |file| mode(file, 0o444))
}

fn registries(host: &HostInventory, judge: impl Fn(&FileState) -> Result<Option<Told>, String>) -> Ruling {
    match host.certificates.as_deref() {
        None | Some([]) => Ruling::not_applicable("there are no certificates of registries"),
        Some(files) => each(files.iter(), judge),
    }
}

/// 1.2.1
pub(super) fn hardened(_: &HostInventory) -> Ruling {
    Ruling::manual("whether the host is hardened is for its own benchmark to say")
}

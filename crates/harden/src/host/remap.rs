//! What `userns-remap` changes for what is on this host: which containers do not start, which files belong to the
//! wrong ids, what has to be made or pulled again. Each rule was tried on a daemon (docs/host.md).

use confinement::Host;
use serde_json::Value as Json;

use super::Running;
use super::daemon::name_of;
use super::disk::{Disk, Owned};

/// The ids that dockerd gives containers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Range {
    pub(super) start: u32,
    pub(super) source: String,
}

pub(super) struct Effects {
    pub(super) range: Range,
    pub(super) breaks: Vec<String>,
    pub(super) notes: Vec<String>,
}

pub(super) fn effects(docker: Running<'_>, host: &Host, disk: &Disk<'_>) -> Effects {
    let range = range(disk);
    let mut effects = Effects { breaks: Vec::new(), notes: Vec::new(), range };
    data_root(docker, disk, &mut effects);
    containers(docker, disk, &mut effects);
    volumes(docker, disk, &mut effects);
    if host.sysctl("user.max_user_namespaces").value == Some(0) {
        effects.breaks.push("user.max_user_namespaces is 0, so that no user namespace can be made".into());
    }
    let images = docker.raw.info.get("Images").and_then(Json::as_u64).unwrap_or(0);
    if images > 0 {
        effects.notes.push(format!(
            "{images} images are pulled or built again under the new root; the old ones keep their space on disk until \
             they are removed from the old root"
        ));
    }
    effects.notes.push(
        "every container gets the same range of ids: the wall is towards the host, not between containers"
            .into(),
    );
    effects.notes.push(
        "cgroups are mounted writable in remapped containers (moby daemon/oci_linux.go), so that root in one may lift \
         its own limits; a cgroup namespace hides those of others"
            .into(),
    );
    effects
}

/// subuid(5): `dockremap`'s range, or the first that is free from 100000 on, which dockerd then takes (moby
/// pkg/idtools/usergroupadd_linux.go).
fn range(disk: &Disk<'_>) -> Range {
    let text = disk.read("/etc/subuid").unwrap_or_default();
    let mut taken: Vec<(u32, u32)> = Vec::new();
    for line in text.lines() {
        let mut fields = line.trim().split(':');
        let (name, start, count) = (fields.next(), fields.next(), fields.next());
        let number = |text: Option<&str>| text.and_then(|text| text.parse::<u32>().ok());
        if let (Some(start), Some(count)) = (number(start), number(count)) {
            if name == Some("dockremap") {
                return Range { start, source: format!("dockremap's {count} in /etc/subuid") };
            }
            taken.push((start, count));
        }
    }
    taken.sort_unstable();
    let mut start: u32 = 100_000;
    for (other, count) in taken {
        if other < start.saturating_add(65_536) && start < other.saturating_add(count) {
            start = other.saturating_add(count);
        }
    }
    Range { start, source: "the first free range, which dockerd enters for its user dockremap".into() }
}

/// Everything of the daemon's lies in a folder of its own for the range, which starts empty.
fn data_root(docker: Running<'_>, disk: &Disk<'_>, effects: &mut Effects) {
    let root = docker.raw.info.get("DockerRootDir").and_then(Json::as_str).unwrap_or("/var/lib/docker");
    let mut folder = String::new();
    for part in root.split('/').filter(|part| !part.is_empty()) {
        folder = format!("{folder}/{part}");
        // dockerd makes the last folder itself, with the mode that it needs.
        if folder != root && disk.owner(&folder).is_some_and(|owner| owner.mode & 0o001 == 0) {
            effects.breaks.push(format!(
                "dockerd does not start: {folder}, on the way to its data, lets others not pass (`chmod o+x {folder}`)"
            ));
        }
    }
}

fn containers(docker: Running<'_>, disk: &Disk<'_>, effects: &mut Effects) {
    let containers: Vec<&Json> = docker.raw.containers.iter().map(|c| &c.container).collect();
    if !containers.is_empty() {
        let mut names: Vec<String> = containers.iter().map(|container| name_of(container)).collect();
        names.sort();
        effects.breaks.push(format!(
            "the daemon does not see its containers any more; to be made again (`stockade harden docker:NAME` prints \
             how), with the files of their own layers gone: {}",
            names.join(", ")
        ));
    }
    for container in containers {
        let name = name_of(container);
        let host = &container["HostConfig"];
        let mode = |key: &str| host[key].as_str().unwrap_or("");
        if mode("UsernsMode") == "host" {
            effects.notes.push(format!("{name} asks for the host's user namespace and stays in it"));
            continue;
        }
        let privileged = host["Privileged"].as_bool() == Some(true);
        let shares: Vec<&str> = [
            ("a privileged container", privileged),
            ("the host's network", mode("NetworkMode") == "host"),
            ("the host's processes", mode("PidMode") == "host"),
            ("the host's IPC", mode("IpcMode") == "host"),
        ]
        .iter()
        .filter(|(_, is)| *is)
        .map(|(what, _)| *what)
        .collect();
        if !shares.is_empty() {
            effects.breaks.push(format!(
                "{name} does not start ({}); `--userns=host` starts it as now, without the wall",
                shares.join(", ")
            ));
            continue;
        }
        devices(&name, host, disk, effects);
        binds(&name, container, disk, effects);
    }
}

/// A node keeps its owner, who is nobody in the container; what others may do with it stays.
fn devices(name: &str, host: &Json, disk: &Disk<'_>, effects: &mut Effects) {
    for device in host["Devices"].as_array().into_iter().flatten() {
        let Some(path) = device["PathOnHost"].as_str() else { continue };
        let closed = disk.owner(path).is_some_and(|owner| owner.mode & 0o006 == 0);
        if closed {
            effects
                .breaks
                .push(format!("{name} cannot open {path}, which lets others neither read nor write"));
        }
    }
}

/// Who owns a file on the host is nobody (65534) in the container, whose root is one of the others.
fn binds(name: &str, container: &Json, disk: &Disk<'_>, effects: &mut Effects) {
    for mount in container["Mounts"].as_array().into_iter().flatten() {
        let (Some("bind"), Some(source)) = (mount["Type"].as_str(), mount["Source"].as_str()) else {
            continue;
        };
        let Some(owner) = disk.owner(source) else { continue };
        let writes = mount["RW"].as_bool() != Some(false);
        let permitted = owner.mode & 0o007;
        if owner.is_socket {
            if permitted & 0o002 == 0 {
                effects
                    .breaks
                    .push(format!("{name} cannot connect to {source} any more (it is {})", shown(owner)));
            }
            continue;
        }
        let needed = if writes { 0o002 } else { 0o004 };
        if permitted & needed == 0 {
            let what = if writes { "write to" } else { "read" };
            effects.breaks.push(format!(
                "{name} cannot {what} {source}, which is {}: its root is then {} on the host",
                shown(owner),
                effects.range.start
            ));
        }
    }
}

fn shown(owner: super::disk::Owner) -> String {
    format!("{}:{} {:04o}", owner.uid, owner.gid, owner.mode & 0o7777)
}

/// Volumes of the old root are not taken over; copied, their files belong to nobody until their ids are moved.
fn volumes(docker: Running<'_>, disk: &Disk<'_>, effects: &mut Effects) {
    let start = effects.range.start;
    let mut volumes: Vec<(&str, &str)> = docker
        .raw
        .volumes
        .iter()
        .filter(|volume| {
            volume["Driver"].as_str() == Some("local") && !volume["Options"]["device"].is_string()
        })
        .filter_map(|volume| Some((volume["Name"].as_str()?, volume["Mountpoint"].as_str()?)))
        .collect();
    volumes.sort_unstable();
    for (name, folder) in volumes {
        let short: String = name.chars().take(if name.len() == 64 { 12 } else { name.len() }).collect();
        let text = match disk.owned(folder) {
            Some(owned) => format!(
                "volume {short} ({}) is empty under the new root; {}",
                counted(&owned),
                moved(&owned, start)
            ),
            None => format!("volume {short} is empty under the new root"),
        };
        effects.breaks.push(text);
    }
}

fn counted(owned: &Owned) -> String {
    let parts: Vec<String> =
        owned.by.iter().map(|((uid, gid), count)| format!("{count} of {uid}:{gid}")).collect();
    let more = if owned.cut_off { "at least " } else { "" };
    format!("{more}{}", parts.join(", "))
}

fn moved(owned: &Owned, start: u32) -> String {
    let parts: Vec<String> = owned
        .by
        .keys()
        .map(|(uid, gid)| {
            format!("{uid}:{gid} to {}:{}", start.saturating_add(*uid), start.saturating_add(*gid))
        })
        .collect();
    format!("copied there, its owners have to become {}", parts.join(", "))
}

/// The other way to the same wall, and what here speaks against it (docs.docker.com, "Rootless mode", known
/// limitations).
pub(super) fn rootless(docker: Running<'_>) -> Vec<String> {
    let mut notes = vec![
        "rootless Docker is the other way: the daemon itself runs as an ordinary user, whose containers are no way to \
         root. It has images, containers and volumes of its own; limits need cgroup version 2 with systemd; there is \
         no AppArmor, no overlay network, no checkpoint; ports below net.ipv4.ip_unprivileged_port_start need that \
         setting lowered"
            .to_owned(),
    ];
    let mut privileged = Vec::new();
    let mut low = Vec::new();
    for container in docker.raw.containers.iter().map(|c| &c.container) {
        let host = &container["HostConfig"];
        let devices = host["Devices"].as_array().is_some_and(|devices| !devices.is_empty());
        let shares =
            ["NetworkMode", "PidMode", "IpcMode"].iter().any(|key| host[*key].as_str() == Some("host"));
        if host["Privileged"].as_bool() == Some(true) || devices || shares {
            privileged.push(name_of(container));
        }
        let ports = host["PortBindings"].as_object();
        let bound = ports.into_iter().flat_map(|ports| ports.values()).filter_map(Json::as_array).flatten();
        let mut numbers = bound.filter_map(|port| port["HostPort"].as_str()?.parse::<u32>().ok());
        if numbers.any(|port| (1..1024).contains(&port)) {
            low.push(name_of(container));
        }
    }
    if !privileged.is_empty() {
        notes.push(format!(
            "  host's namespaces, devices or privileges, of which a rootless daemon has only its user's, are used by {}",
            privileged.join(", ")
        ));
    }
    if !low.is_empty() {
        notes.push(format!("  ports below 1024 are published by {}", low.join(", ")));
    }
    notes
}

//! Files of a host on which its engine stands: who owns them and who may change them.

use std::collections::BTreeMap;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::{HostInventory, audit};
use crate::process::files::read_text;
use crate::process::mountinfo::MountTable;

/// What is asked that the engine's settings say.
#[derive(Clone, Debug, Default)]
pub struct Asked {
    pub data_root: Option<String>,
    /// The engine keeps its files in a folder of the data root for each map of user ids.
    pub userns_remap: bool,
    pub tls_authority: Option<String>,
    pub tls_certificate: Option<String>,
    pub tls_key: Option<String>,
}

/// A file as stat(2) shows it, links followed.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct FileState {
    /// Where it was found, or looked for.
    pub path: String,
    /// `None`: not known whether it is there.
    pub there: Option<bool>,
    /// `file`, `folder`, `socket` or `other`.
    pub kind: Option<String>,
    /// Permission bits, with set-user-ID, set-group-ID and sticky.
    pub mode: Option<u32>,
    pub uid: Option<u32>,
    pub gid: Option<u32>,
}

impl FileState {
    fn of(path: &Path) -> FileState {
        let mut state = FileState { path: path.to_string_lossy().into_owned(), ..FileState::default() };
        match std::fs::metadata(path) {
            Ok(found) => {
                let kind = found.file_type();
                let name = if kind.is_file() {
                    "file"
                } else if kind.is_dir() {
                    "folder"
                } else if kind.is_socket() {
                    "socket"
                } else {
                    "other"
                };
                state.there = Some(true);
                state.kind = Some(name.to_owned());
                state.mode = Some(found.mode() & 0o7777);
                (state.uid, state.gid) = (Some(found.uid()), Some(found.gid()));
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => state.there = Some(false),
            Err(_) => {}
        }
        state
    }
}

/// Where systemd looks for a unit, first found (systemd.unit(5)).
const UNIT_FOLDERS: &[&str] = &[
    "/etc/systemd/system",
    "/run/systemd/system",
    "/usr/local/lib/systemd/system",
    "/usr/lib/systemd/system",
    "/lib/systemd/system",
];
const PROGRAM_FOLDERS: &[&str] = &["/usr/bin", "/usr/sbin", "/usr/local/bin", "/usr/local/sbin"];

/// A file by the role it plays, and where to look for it: the first that is there.
const ROLES: &[(&str, &[&str], &str)] = &[
    ("docker.service", UNIT_FOLDERS, "docker.service"),
    ("docker.socket", UNIT_FOLDERS, "docker.socket"),
    ("dockerd", PROGRAM_FOLDERS, "dockerd"),
    ("containerd", PROGRAM_FOLDERS, "containerd"),
    ("containerd-shim", PROGRAM_FOLDERS, "containerd-shim"),
    ("containerd-shim-runc-v1", PROGRAM_FOLDERS, "containerd-shim-runc-v1"),
    ("containerd-shim-runc-v2", PROGRAM_FOLDERS, "containerd-shim-runc-v2"),
    ("runc", PROGRAM_FOLDERS, "runc"),
    ("/etc/docker", &["/etc"], "docker"),
    ("/etc/docker/daemon.json", &["/etc/docker"], "daemon.json"),
    ("/etc/default/docker", &["/etc/default"], "docker"),
    ("/etc/sysconfig/docker", &["/etc/sysconfig"], "docker"),
    ("/etc/containerd/config.toml", &["/etc/containerd"], "config.toml"),
    ("/run/containerd", &["/run"], "containerd"),
    ("/run/containerd/containerd.sock", &["/run/containerd"], "containerd.sock"),
    ("/run/docker.sock", &["/run"], "docker.sock"),
];

const CERTIFICATES: &str = "/etc/docker/certs.d";
/// A host has a handful of registries.
const MOST_CERTIFICATES: usize = 1000;

pub(super) fn read(asked: &Asked) -> HostInventory {
    let mut files: BTreeMap<String, FileState> = BTreeMap::new();
    for (role, folders, name) in ROLES {
        let states: Vec<FileState> =
            folders.iter().map(|folder| FileState::of(&Path::new(folder).join(name))).collect();
        let found = states.iter().find(|s| s.there != Some(false)).or(states.first()).cloned();
        files.insert((*role).to_owned(), found.unwrap_or_default());
    }
    for (role, path) in
        [("tlscacert", &asked.tls_authority), ("tlscert", &asked.tls_certificate), ("tlskey", &asked.tls_key)]
    {
        if let Some(path) = path {
            files.insert(role.to_owned(), FileState::of(Path::new(path)));
        }
    }
    let data_root = asked.data_root.clone().unwrap_or_else(|| "/var/lib/docker".to_owned());
    files.insert("data root".to_owned(), FileState::of(Path::new(&data_root)));
    // /var/lib/docker/100000.100000 (moby daemon/daemon_unix.go, setupDaemonRoot).
    let mount_point = match Path::new(&data_root).parent() {
        Some(parent) if asked.userns_remap => parent.to_path_buf(),
        _ => PathBuf::from(&data_root),
    };
    let (docker_group, docker_members) = match (read_text(Path::new("/etc/group")), passwd()) {
        (Ok(groups), Ok(accounts)) => members(&groups, &accounts),
        _ => (None, None),
    };
    HostInventory {
        files,
        certificates: certificates(Path::new(CERTIFICATES)),
        audit: audit::read(Path::new("/etc/audit")),
        docker_members,
        docker_group,
        data_root_mounted: mounted(&mount_point),
        data_root: Some(mount_point.to_string_lossy().into_owned()),
        content_trust: content_trust(),
    }
}

fn passwd() -> std::io::Result<String> {
    read_text(Path::new("/etc/passwd"))
}

/// The number of the group `docker`, and its members by group(5) and by passwd(5); no group has no members.
fn members(groups: &str, accounts: &str) -> (Option<u32>, Option<Vec<String>>) {
    let Some(line) = groups.lines().find(|line| line.starts_with("docker:")) else {
        return (None, Some(Vec::new()));
    };
    let fields: Vec<&str> = line.split(':').collect();
    let number = fields.get(2).and_then(|gid| gid.parse::<u32>().ok());
    let listed = fields.get(3).into_iter().flat_map(|list| list.split(',')).filter(|name| !name.is_empty());
    let mut names: Vec<String> = listed.map(str::to_owned).collect();
    for line in accounts.lines() {
        let fields: Vec<&str> = line.split(':').collect();
        let primary = fields.get(3).and_then(|gid| gid.parse::<u32>().ok());
        if let (Some(name), true) = (fields.first(), primary.is_some() && primary == number) {
            names.push((*name).to_owned());
        }
    }
    names.sort();
    names.dedup();
    (number, Some(names))
}

/// Whether another file system begins at the path. A mount alone does not say so: dockerd binds its folder to itself
/// where the mount above does not propagate (moby daemon/daemon_unix.go, setupDaemonRootPropagation).
fn mounted(path: &Path) -> Option<bool> {
    let table = crate::process::mount_table(Path::new("/proc/self/mountinfo")).ok()?;
    is_own_file_system(&table, path.to_str()?)
}

fn is_own_file_system(table: &MountTable, path: &str) -> Option<bool> {
    // Of several mounts on one folder the last is seen.
    let at = |target: &str| table.entries.iter().rfind(|mount| mount.target == target);
    let Some(own) = at(path) else { return Some(false) };
    let above = Path::new(path).ancestors().skip(1).find_map(|folder| at(folder.to_str()?))?;
    Some(own.device != above.device)
}

/// environment(5), the variables of every login.
fn content_trust() -> Option<bool> {
    let text = match read_text(Path::new("/etc/environment")) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Some(false),
        Err(_) => return None,
    };
    let mut set = text.lines().filter_map(|line| {
        let line = line.trim();
        line.strip_prefix("export ").unwrap_or(line).strip_prefix("DOCKER_CONTENT_TRUST=")
    });
    Some(set.next_back().is_some_and(|value| value.trim_matches(['"', '\'']) == "1"))
}

/// Files below the folder, two levels deep (`REGISTRY/ca.crt`); `None` where it is not there.
fn certificates(folder: &Path) -> Option<Vec<FileState>> {
    let mut found = Vec::new();
    for registry in std::fs::read_dir(folder).ok()?.flatten() {
        let Ok(entries) = std::fs::read_dir(registry.path()) else { continue };
        for entry in entries.flatten() {
            let path = entry.path();
            let name = path.extension().and_then(|end| end.to_str());
            if matches!(name, Some("crt" | "cert")) && found.len() < MOST_CERTIFICATES {
                found.push(FileState::of(&path));
            }
        }
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    Some(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_of_the_group_are_those_it_lists_and_those_whose_own_it_is() {
        let groups = "root:x:0:\ndocker:x:998:ann,bob\ndocker2:x:5:eve\n";
        let accounts = "ann:x:1000:1000::/:/bin/sh\nci:x:1001:998::/:/bin/sh\n";
        let (gid, names) = members(groups, accounts);
        assert_eq!((gid, names.unwrap()), (Some(998), vec!["ann".into(), "bob".into(), "ci".into()]));
        assert_eq!(members("root:x:0:\n", accounts), (None, Some(Vec::new())));
    }

    #[test]
    fn a_folder_bound_to_itself_is_no_file_system_of_its_own() {
        let line =
            |id, device, root, target| format!("{id} 1 {device} {root} {target} rw - ext4 /dev/x rw\n");
        let root = line(2, "8:1", "/", "/");
        let own =
            |text: String| is_own_file_system(&MountTable::parse(&text).unwrap(), "/var/lib/docker").unwrap();
        assert!(!own(root.clone()));
        assert!(!own(root.clone() + &line(3, "8:1", "/var/lib/docker", "/var/lib/docker")));
        assert!(own(root.clone() + &line(3, "8:2", "/", "/var/lib/docker")));
        assert!(!own(root + &line(3, "8:2", "/", "/var")));
    }

    #[test]
    fn a_file_that_is_not_there_is_known_not_to_be() {
        let state = FileState::of(Path::new("/proc/no/such/file"));
        assert_eq!((state.there, state.mode), (Some(false), None));
        let root = FileState::of(Path::new("/"));
        assert_eq!((root.there, root.kind.as_deref()), (Some(true), Some("folder")));
    }
}

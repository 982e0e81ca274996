//! Control sockets: where they are known to be, and the same under every mount that may show the host's
//! directories elsewhere. A socket is looked at; with `active` it is connected to and closed.

use std::collections::HashSet;
use std::fs::Metadata;
use std::os::unix::fs::{FileTypeExt, MetadataExt};

use crate::files;
use crate::measurement::{Answer, Mount, Process, Reading, Socket};
use crate::paths::Access;
use crate::sys::{Answers, Batch, CallId};

/// Paths under `/run` are also looked for under `/var/run`, and under mounts that show `/run` elsewhere.
const KNOWN: &[(&str, &str)] = &[
    ("/run/docker.sock", "docker"),
    ("/run/docker/containerd/containerd.sock", "containerd"),
    ("/run/docker/metrics.sock", "docker"),
    ("/run/docker/plugins/docker.sock", "docker"),
    ("/run/containerd/containerd.sock", "containerd"),
    ("/run/containerd/containerd.sock.ttrpc", "containerd"),
    ("/run/k3s/containerd/containerd.sock", "containerd"),
    ("/run/k0s/containerd.sock", "containerd"),
    ("/run/dockershim.sock", "docker"),
    ("/run/cri-dockerd.sock", "cri-dockerd"),
    ("/run/crio/crio.sock", "crio"),
    ("/run/podman/podman.sock", "podman"),
    ("/run/buildkit/buildkitd.sock", "buildkit"),
    ("/run/nri/nri.sock", "nri"),
    ("/run/systemd/private", "systemd"),
    ("/run/systemd/notify", "systemd-notify"),
    ("/run/systemd/io.system.ManagedOOM", "systemd"),
    ("/run/dbus/system_bus_socket", "dbus"),
    ("/run/snapd.socket", "snapd"),
    ("/run/snapd-snap.socket", "snapd"),
    ("/run/libvirt/libvirt-sock", "libvirt"),
    ("/run/libvirt/virtqemud-sock", "libvirt"),
    ("/run/lxd.socket", "lxd"),
    ("/run/incus/unix.socket", "incus"),
    ("/run/udev/control", "udev"),
    ("/run/spire/agent-sockets/spire-agent.sock", "spire"),
    ("/var/lib/lxd/unix.socket", "lxd"),
    ("/var/snap/lxd/common/lxd/unix.socket", "lxd"),
    ("/var/lib/incus/unix.socket", "incus"),
    ("/var/lib/kubelet/device-plugins/kubelet.sock", "kubelet-device-plugins"),
    ("/var/lib/kubelet/pod-resources/kubelet.sock", "kubelet-pod-resources"),
];

/// Directories whose sockets are named by container, plug-in or user.
const DIRECTORIES: &[(&str, &str)] = &[
    ("/run/containerd/s", "containerd-shim"),
    ("/run/docker/plugins", "docker-plugin"),
    ("/var/lib/kubelet/device-plugins", "device-plugin"),
    ("/var/lib/kubelet/plugins_registry", "kubelet-plugin"),
    ("/tmp/.X11-unix", "x11"),
];
/// Below `/run/user/UID`.
const OF_USERS: &[(&str, &str)] = &[
    ("docker.sock", "docker-rootless"),
    ("podman/podman.sock", "podman-rootless"),
    ("buildkit/buildkitd.sock", "buildkit-rootless"),
    ("containerd/containerd.sock", "containerd-rootless"),
    ("systemd/private", "systemd-user"),
    ("bus", "dbus-user"),
];

const MOST_USERS: usize = 16;
const MOST_IN_DIRECTORY: usize = 32;
/// Mounts under which the host's directories are looked for; a container rarely has more binds.
const MOST_MOUNTS: usize = 64;
const MOST_SOCKETS: usize = 128;

pub(crate) struct Plan {
    found: Vec<Found>,
}

struct Found {
    path: String,
    serves: Option<&'static str>,
    metadata: Metadata,
    access: Access,
    connect: Option<Option<CallId>>,
}

impl Plan {
    pub(crate) fn new(batch: &mut Batch, mounts: &[Mount], active: bool) -> Plan {
        let mut seen = HashSet::new();
        let mut found = Vec::new();
        for (path, serves) in candidates(mounts) {
            if found.len() == MOST_SOCKETS {
                break;
            }
            let Ok(metadata) = files::look(&path, mounts) else { continue };
            if !metadata.file_type().is_socket() || !seen.insert((metadata.dev(), metadata.ino())) {
                continue;
            }
            let access = Access::new(batch, &path);
            let connect = active.then(|| batch.connect(&path));
            found.push(Found { path, serves, metadata, access, connect });
        }
        Plan { found }
    }

    pub(crate) fn read(self, answers: &Answers, process: &Process, confined: bool) -> Vec<Socket> {
        self.found
            .into_iter()
            .map(|found| {
                let write_access = found.access.read(answers, process);
                let connect = found.connect.map(|call| match call {
                    Some(call) => answers.of(call),
                    None => Answer::skipped("the path is longer than a socket address"),
                });
                let (reads_as, why) = reading(&write_access, connect.as_ref(), confined);
                Socket {
                    path: found.path,
                    serves: found.serves.map(str::to_owned),
                    mode: found.metadata.mode() & 0o7777,
                    uid: found.metadata.uid(),
                    gid: found.metadata.gid(),
                    write_access,
                    connect,
                    reads_as,
                    why,
                }
            })
            .collect()
    }
}

/// unix_find_bsd() in net/unix/af_unix.c asks the inode for write permission and never the mount; so does
/// access(2) of a socket (do_faccessat() in fs/open.c leaves special files out of its read-only check).
fn reading(access: &Answer, connect: Option<&Answer>, confined: bool) -> (Reading, String) {
    match connect.and_then(|c| c.error.as_deref().or(c.value.map(|_| "connected"))) {
        Some("connected" | "EAGAIN" | "EINPROGRESS") => return (Reading::Permitted, "connected".to_owned()),
        // Permission was checked before the listener and its type are.
        Some(error @ ("ECONNREFUSED" | "EPROTOTYPE")) => {
            return (Reading::Permitted, format!("{error}: permitted, but nothing listens for streams"));
        }
        Some("EACCES") => return (Reading::Blocked, "connect: EACCES: mode, owner or an LSM".to_owned()),
        Some(error) => return (Reading::Ambiguous, format!("connect: {error}")),
        None => {}
    }
    match (access.value, access.error.as_deref()) {
        (Some(0), _) if confined => (Reading::Ambiguous, "mode allows it; the LSM was not asked".to_owned()),
        (Some(0), _) => (Reading::Permitted, "mode and owner allow it".to_owned()),
        // Of another kernel or a sandbox that answers for it.
        (_, Some("EROFS")) => (
            Reading::Ambiguous,
            "the mount is read-only, which stops no connect; see mode and owner".to_owned(),
        ),
        (_, Some("EACCES")) => (Reading::Blocked, "mode, owner or an LSM".to_owned()),
        (_, Some(error)) => (Reading::Ambiguous, error.to_owned()),
        _ => (Reading::Unmeasured, String::new()),
    }
}

fn candidates(mounts: &[Mount]) -> Vec<(String, Option<&'static str>)> {
    let mut paths: Vec<(String, Option<&'static str>)> = Vec::new();
    for &(path, serves) in KNOWN {
        paths.push((path.to_owned(), Some(serves)));
        if files::is_within(path, "/run") {
            paths.push((format!("/var{path}"), Some(serves)));
        }
    }
    for &(directory, serves) in DIRECTORIES {
        if !files::would_automount(directory, mounts) {
            let (names, _) = files::names(directory, MOST_IN_DIRECTORY);
            paths.extend(names.iter().map(|name| (format!("{directory}/{name}"), Some(serves))));
        }
    }
    for user in files::names("/run/user", MOST_USERS).0 {
        paths.extend(
            OF_USERS.iter().map(|(name, serves)| (format!("/run/user/{user}/{name}"), Some(*serves))),
        );
    }
    let shown: Vec<&Mount> = mounts.iter().filter(|m| may_show_the_host(m)).take(MOST_MOUNTS).collect();
    for mount in shown {
        let point = mount.mount_point.trim_end_matches('/');
        paths.push((mount.mount_point.clone(), known_name(&mount.mount_point, &mount.root)));
        for &(path, serves) in KNOWN {
            paths.push((format!("{point}{path}"), Some(serves)));
            if let Some(below_run) = path.strip_prefix("/run") {
                paths.push((format!("{point}{below_run}"), Some(serves)));
            }
        }
    }
    paths
}

/// Not the root, which is looked at already, nor a kernel's own file system.
fn may_show_the_host(mount: &Mount) -> bool {
    const KERNELS: &[&str] = &[
        "proc",
        "sysfs",
        "cgroup",
        "cgroup2",
        "devpts",
        "mqueue",
        "autofs",
        "debugfs",
        "tracefs",
        "securityfs",
        "bpf",
        "binfmt_misc",
        "fusectl",
        "configfs",
        "hugetlbfs",
        "nsfs",
        "pstore",
        "efivarfs",
        "rpc_pipefs",
        "devtmpfs",
    ];
    mount.mount_point != "/" && !KERNELS.contains(&mount.file_system.as_str())
}

/// What a mounted socket serves, by its own name or by that of the file it is a mount of.
fn known_name(mount_point: &str, root: &str) -> Option<&'static str> {
    let last = |path: &str| path.rsplit('/').next().unwrap_or_default().to_owned();
    KNOWN
        .iter()
        .find(|(path, _)| last(path) == last(mount_point) || last(path) == last(root))
        .map(|(_, serves)| *serves)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mounted_host_directory_is_searched_for_sockets() {
        let mount = |point: &str| Mount {
            mount_point: point.into(),
            file_system: "tmpfs".into(),
            ..Mount::default()
        };
        let paths: Vec<String> =
            candidates(&[mount("/host"), mount("/hostrun")]).into_iter().map(|(p, _)| p).collect();
        for path in
            ["/run/docker.sock", "/var/run/docker.sock", "/host/run/docker.sock", "/hostrun/docker.sock"]
        {
            assert!(paths.iter().any(|p| p == path), "{path}");
        }
    }

    #[test]
    fn a_read_only_mount_does_not_read_as_a_barrier_to_connect() {
        let answer = |error: &str| Answer { error: Some(error.into()), ..Answer::default() };
        assert_eq!(reading(&answer("EROFS"), None, false).0, Reading::Ambiguous);
        assert_eq!(reading(&answer("EROFS"), Some(&answer("ECONNREFUSED")), false).0, Reading::Permitted);
        assert_eq!(reading(&answer("EACCES"), None, false).0, Reading::Blocked);
    }

    #[test]
    fn a_mounted_socket_is_known_by_either_name() {
        assert_eq!(known_name("/x/docker.sock", "/"), Some("docker"));
        assert_eq!(known_name("/x/y", "/crio/crio.sock"), Some("crio"));
        assert_eq!(known_name("/x/y", "/z"), None);
    }
}

//! The host that the containers are started on: a tree made for it, in a mount namespace of its own.
//!
//! A container of the sample may bind any path of its host, writable too. So that this is never a file of the
//! machine's, the whole run has another root: a tmpfs with a `/usr` that is the machine's and read-only, the kernel's
//! own `/proc`, `/sys` and `/dev`, which runtimes need, and empty files and folders under the names that the
//! techniques know. Nothing writes to any of it. It goes when the last process of the run ends.

use std::fs;
use std::io;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::Command;

/// What a bind may show.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Folder,
    File,
    Socket,
}

/// Paths of the tree that containers bind, as a configuration may spell them. Those of `/proc` and `/sys` are the
/// kernel's; the rest is made by [`furnish`].
pub(crate) const SOURCES: &[(&str, Kind)] = &[
    ("/", Kind::Folder),
    ("/etc", Kind::Folder),
    ("/etc/cron.d", Kind::Folder),
    ("/etc/shadow", Kind::File),
    ("/etc/kubernetes", Kind::Folder),
    ("/root/.ssh", Kind::Folder),
    ("/home/alice/.ssh", Kind::Folder),
    ("/home", Kind::Folder),
    ("/boot", Kind::Folder),
    ("/run", Kind::Folder),
    ("/var/run/", Kind::Folder),
    ("/run/docker.sock", Kind::Socket),
    ("//var/run/docker.sock", Kind::Socket),
    ("/run/containerd/containerd.sock", Kind::Socket),
    ("/run/dbus/system_bus_socket", Kind::Socket),
    ("/run/systemd/private", Kind::Socket),
    ("/var/lib/kubelet", Kind::Folder),
    ("/var/lib/kubelet/pods", Kind::Folder),
    ("/var/lib/docker", Kind::Folder),
    ("/var/lib/docker/volumes/data/_data", Kind::Folder),
    ("/var/log", Kind::Folder),
    ("/opt/cni/bin", Kind::Folder),
    ("/opt/cni/../cni/bin", Kind::Folder),
    ("/data/app", Kind::Folder),
    ("/srv/files/report.txt", Kind::File),
    ("/tmp/.X11-unix", Kind::Folder),
    ("/proc", Kind::Folder),
    ("/proc/sys", Kind::Folder),
    ("/proc/sys/kernel", Kind::Folder),
    ("/proc/sysrq-trigger", Kind::File),
    ("/sys", Kind::Folder),
    ("/sys/kernel", Kind::Folder),
    ("/sys/fs/cgroup", Kind::Folder),
    ("/dev", Kind::Folder),
];

/// Devices of the machine that a container may be given a node of. They are named and numbered, never opened.
pub(crate) const DEVICES: &[(&str, char, u32, u32)] = &[
    ("/dev/fuse", 'c', 10, 229),
    ("/dev/net/tun", 'c', 10, 200),
    ("/dev/kmsg", 'c', 1, 11),
    ("/dev/kvm", 'c', 10, 232),
    ("/dev/loop0", 'b', 7, 0),
    ("/dev/loop-control", 'c', 10, 237),
    ("/dev/tty1", 'c', 4, 1),
    ("/dev/sda", 'b', 8, 0),
    ("/dev/nvidia0", 'c', 195, 0),
    ("/dev/mem", 'c', 1, 1),
    ("/dev/rtc0", 'c', 253, 0),
    ("/dev/vfio/7", 'c', 243, 1),
];

/// Run by sh as `sh -ec ENTER sh TREE OUT PROGRAM PAYLOAD ARGUMENT…` in a new mount namespace with private
/// propagation. A hybrid cgroup layout loses its version 2 half, which crun refuses.
pub(crate) const ENTER: &str = r#"
tree=$1 out=$2 program=$3 payload=$4
shift 4
mount -t tmpfs -o mode=755 stockade-truth "$tree"
cd "$tree"
mkdir usr proc sys dev out old
for link in bin sbin lib lib64; do ln -s "usr/$link" "$link"; done
mount --rbind /usr usr
mount -o remount,bind,ro usr
mount --rbind /proc proc
mount --rbind /sys sys
mount --rbind /dev dev
mount --bind "$out" out
if mountpoint -q sys/fs/cgroup/unified && mountpoint -q sys/fs/cgroup/devices; then
    umount -l sys/fs/cgroup/unified
fi
# What a host of today has mounted there; each is a file system that exists once, not a new one.
for pair in debugfs:kernel/debug tracefs:kernel/tracing securityfs:kernel/security bpf:fs/bpf; do
    mountpoint -q "sys/${pair#*:}" || mount -t "${pair%%:*}" "${pair%%:*}" "sys/${pair#*:}" 2>/dev/null || true
done
cp "$program" truth
cp "$payload" payload
pivot_root . old
umount -l /old
rmdir /old
exec /truth --inside "$@"
"#;

/// Makes the files and folders of [`SOURCES`], from inside.
pub(crate) fn furnish() -> io::Result<()> {
    fs::create_dir_all("/run")?;
    fs::create_dir_all("/var")?;
    if fs::symlink_metadata("/var/run").is_err() {
        std::os::unix::fs::symlink("../run", "/var/run")?;
    }
    for (path, kind) in SOURCES {
        if ["/proc", "/sys", "/dev"].iter().any(|kernel| Path::new(path).starts_with(kernel)) {
            continue;
        }
        match kind {
            Kind::Folder => fs::create_dir_all(path)?,
            Kind::File | Kind::Socket => {
                if let Some(folder) = Path::new(path).parent() {
                    fs::create_dir_all(folder)?;
                }
                if fs::symlink_metadata(path).is_ok() {
                    continue;
                }
                match kind {
                    // The listener is dropped at once: the name stays, and nobody answers.
                    Kind::Socket => drop(UnixListener::bind(path)?),
                    _ => fs::write(path, "")?,
                }
            }
        }
    }
    Ok(())
}

/// The folder that the cgroups of a run lie in, as `cgroupsPath` names it.
pub(crate) fn cgroup_parent() -> String {
    format!("/stockade-truth-{}", std::process::id())
}

/// Removes what the runtimes leave of [`cgroup_parent`] in every hierarchy.
pub(crate) fn remove_cgroups() {
    let parent = cgroup_parent();
    let Ok(hierarchies) = fs::read_dir("/sys/fs/cgroup") else { return };
    for path in hierarchies.flatten().map(|e| e.path()).chain([Path::new("/sys/fs/cgroup").to_owned()]) {
        let own = path.join(parent.trim_start_matches('/'));
        for inner in fs::read_dir(&own).into_iter().flatten().flatten() {
            // rmdir of what is no empty cgroup fails, and so touches nothing.
            let _ = fs::remove_dir(inner.path());
        }
        let _ = fs::remove_dir(own);
    }
}

/// A command that runs this program again, inside the tree.
pub(crate) fn enter(tree: &Path, out: &Path, program: &Path, payload: &Path) -> Command {
    let mut command = Command::new("unshare");
    command
        .args(["--mount", "--propagation", "private", "sh", "-ec", ENTER, "sh"])
        .args([tree, out, program, payload]);
    command
}

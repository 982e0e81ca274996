//! The paths of procfs, sysfs and `/dev` that engines mask or make read-only, and the kernel interfaces
//! through which a host is changed: are they there, are they the kernel's own, can this process write them.

use std::fs::Metadata;
use std::os::unix::fs::{FileTypeExt, MetadataExt};

use crate::files;
use crate::measurement::{Answer, KernelInterface, MaskedPath, Mount, Process, Reading, Visibility};
use crate::mounts::Asked;
use crate::sys::{Answers, Arg, Batch, CallId};

/// The union of what the engines mask: moby `daemon/pkg/oci/defaults.go`, containerd `pkg/oci/spec.go`,
/// container-libs `common/pkg/config/default.go`, CRI-O `server/masked_paths.go`, Kubernetes
/// `pkg/securitycontext/util.go`. `/sys/devices/system/cpu/cpuN/thermal_throttle` is added for each CPU.
const MASKED: &[&str] = &[
    "/proc/acpi",
    "/proc/asound",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/sys/devices/virtual/powercap",
    "/sys/firmware",
    "/sys/fs/selinux",
];
/// More CPUs than any machine that runs containers has.
const MOST_CPUS: usize = 1024;
/// Enough to tell an empty directory.
const ONE: usize = 1;

pub(crate) fn masked(mounts: &[Mount]) -> Vec<MaskedPath> {
    let thermal = (0..MOST_CPUS)
        .map(|cpu| format!("/sys/devices/system/cpu/cpu{cpu}"))
        .take_while(|directory| files::look(directory, mounts).is_ok())
        .map(|directory| format!("{directory}/thermal_throttle"));
    let device = |path| files::look(path, mounts).ok().map(|m| m.dev());
    let (proc, sys) = (device("/proc"), device("/sys"));
    MASKED
        .iter()
        .map(|path| (*path).to_owned())
        .chain(thermal)
        .map(|path| {
            let own_device = if files::is_within(&path, "/proc") { proc } else { sys };
            let (state, why) = visibility(&path, files::look(&path, mounts), own_device);
            MaskedPath { path, state, why }
        })
        .filter(|masked| !(masked.state == Visibility::Absent && masked.path.ends_with("thermal_throttle")))
        .collect()
}

/// Engines bind `/dev/null` over a file, and an empty read-only tmpfs (runc, crun) over a directory.
fn visibility(path: &str, look: Result<Metadata, String>, own_device: Option<u64>) -> (Visibility, String) {
    let metadata = match look {
        Ok(metadata) => metadata,
        Err(error) if error == "ENOENT" => return (Visibility::Absent, error),
        Err(error) => return (Visibility::Unmeasured, error),
    };
    if is_null_device(&metadata) {
        return (Visibility::Masked, "/dev/null lies over it".to_owned());
    }
    let (names, _) = files::names(path, ONE);
    if metadata.is_dir() && Some(metadata.dev()) != own_device && names.is_empty() {
        return (Visibility::Masked, "an empty directory of another file system lies over it".to_owned());
    }
    (Visibility::Visible, format!("a {}", kind_of(&metadata)))
}

fn is_null_device(metadata: &Metadata) -> bool {
    metadata.file_type().is_char_device() && device_numbers(metadata.rdev()) == (1, 3)
}

/// Major and minor number (makedev(3)).
pub(crate) fn device_numbers(device: u64) -> (u32, u32) {
    (libc::major(device), libc::minor(device))
}

pub(crate) fn kind_of(metadata: &Metadata) -> &'static str {
    let kind = metadata.file_type();
    match () {
        () if kind.is_file() => "file",
        () if kind.is_dir() => "directory",
        () if kind.is_symlink() => "symbolic link",
        () if kind.is_char_device() => "character device",
        () if kind.is_block_device() => "block device",
        () if kind.is_fifo() => "FIFO",
        () if kind.is_socket() => "socket",
        () => "other",
    }
}

/// Whether `active` may open the file for write.
#[derive(Clone, Copy, PartialEq)]
enum Opening {
    /// A sysctl: proc_sys_open() in fs/proc/proc_sysctl.c only takes a reference; nothing is written, and no
    /// `O_TRUNC` is given, so proc_sys_write() is never called.
    Harmless,
    /// Opening it means something, or may; the access check has to do.
    Never,
}

/// What an engine's read-only paths protect, and what KIF techniques write to.
const INTERFACES: &[(&str, Opening)] = &[
    ("/proc/bus", Opening::Never),
    ("/proc/fs", Opening::Never),
    ("/proc/irq", Opening::Never),
    ("/proc/sys", Opening::Never),
    ("/proc/sysrq-trigger", Opening::Never),
    ("/proc/asound", Opening::Never),
    ("/proc/kcore", Opening::Never),
    ("/proc/kmsg", Opening::Never),
    ("/proc/sys/kernel/core_pattern", Opening::Harmless),
    ("/proc/sys/kernel/modprobe", Opening::Harmless),
    ("/proc/sys/kernel/hotplug", Opening::Harmless),
    ("/proc/sys/kernel/ns_last_pid", Opening::Harmless),
    ("/proc/sys/kernel/panic", Opening::Harmless),
    ("/proc/sys/kernel/hostname", Opening::Harmless),
    ("/proc/sys/kernel/shmmax", Opening::Harmless),
    ("/proc/sys/kernel/usermodehelper/bset", Opening::Harmless),
    ("/proc/sys/kernel/yama/ptrace_scope", Opening::Harmless),
    ("/proc/sys/vm/panic_on_oom", Opening::Harmless),
    ("/proc/sys/vm/overcommit_memory", Opening::Harmless),
    ("/proc/sys/fs/file-max", Opening::Harmless),
    ("/proc/sys/fs/suid_dumpable", Opening::Harmless),
    ("/proc/sys/net/ipv4/ip_forward", Opening::Harmless),
    // Not a sysctl but a file of binfmt_misc.
    ("/proc/sys/fs/binfmt_misc/register", Opening::Never),
    ("/sys", Opening::Never),
    ("/sys/kernel/uevent_helper", Opening::Never),
    ("/sys/kernel/vmcoreinfo", Opening::Never),
    ("/sys/kernel/mm/transparent_hugepage/enabled", Opening::Never),
    ("/sys/kernel/debug", Opening::Never),
    ("/sys/kernel/tracing", Opening::Never),
    ("/sys/kernel/security", Opening::Never),
    ("/sys/kernel/security/apparmor/.load", Opening::Never),
    ("/sys/fs/bpf", Opening::Never),
    ("/sys/fs/cgroup", Opening::Never),
    ("/sys/fs/selinux/load", Opening::Never),
    ("/sys/firmware/efi/efivars", Opening::Never),
    ("/sys/power/state", Opening::Never),
    ("/sys/bus/pci/rescan", Opening::Never),
    ("/dev/kmsg", Opening::Never),
    ("/dev/mem", Opening::Never),
    ("/dev/port", Opening::Never),
    ("/dev/shm", Opening::Never),
];

pub(crate) struct InterfacePlan {
    asked: Vec<AskedInterface>,
}

struct AskedInterface {
    path: &'static str,
    look: Result<Metadata, String>,
    statfs: Option<Asked>,
    access: Option<Access>,
    open: Option<CallId>,
}

impl InterfacePlan {
    pub(crate) fn new(batch: &mut Batch, mounts: &[Mount], active: bool) -> InterfacePlan {
        let asked = INTERFACES
            .iter()
            .map(|&(path, opening)| {
                let look = files::look(path, mounts);
                let regular = look.as_ref().is_ok_and(Metadata::is_file);
                let found = look.is_ok();
                AskedInterface {
                    path,
                    look,
                    statfs: found.then(|| Asked::new(batch, path, mounts)),
                    access: found.then(|| Access::new(batch, path)),
                    open: (active && regular && opening == Opening::Harmless && is_sysctl_path(path))
                        .then(|| batch.open_write(path)),
                }
            })
            .collect();
        InterfacePlan { asked }
    }

    pub(crate) fn read(self, answers: &Answers, process: &Process, confined: bool) -> Vec<KernelInterface> {
        self.asked.into_iter().map(|asked| read_interface(asked, answers, process, confined)).collect()
    }
}

fn is_sysctl_path(path: &str) -> bool {
    files::is_within(path, "/proc/sys") && !files::is_within(path, "/proc/sys/fs/binfmt_misc")
}

fn read_interface(
    asked: AskedInterface,
    answers: &Answers,
    process: &Process,
    confined: bool,
) -> KernelInterface {
    let mut interface = KernelInterface { path: asked.path.to_owned(), ..KernelInterface::default() };
    let metadata = match asked.look {
        Ok(metadata) => metadata,
        Err(error) => {
            let absent = error == "ENOENT" || error == "ENOTDIR";
            interface.exists = absent.then_some(false);
            interface.reads_as = if absent { Reading::Absent } else { Reading::Unmeasured };
            interface.why = error;
            return interface;
        }
    };
    interface.exists = Some(true);
    interface.kind = Some(kind_of(&metadata).to_owned());
    interface.mode = Some(metadata.mode() & 0o7777);
    interface.uid = Some(metadata.uid());
    interface.gid = Some(metadata.gid());
    interface.read_only = asked.statfs.and_then(|s| s.read(answers).read_only);
    interface.write_access = asked.access.map(|a| a.read(answers, process)).unwrap_or_default();
    interface.write_open = asked.open.map(|call| answers.of(call));
    if is_null_device(&metadata) && asked.path.starts_with("/proc") {
        interface.reads_as = Reading::Absent;
        interface.why = "masked: /dev/null lies over it".to_owned();
        return interface;
    }
    (interface.reads_as, interface.why) =
        writable(&interface.write_access, interface.write_open.as_ref(), confined);
    interface
}

/// Reads the access check, and the open where one was made. `confined`: a path-based LSM may refuse what the
/// access check lets through, as access(2) asks no LSM hook of AppArmor's.
fn writable(access: &Answer, open: Option<&Answer>, confined: bool) -> (Reading, String) {
    if let Some(open) = open {
        if open.value.is_some() {
            return (Reading::Permitted, "opened for write".to_owned());
        }
        match open.error.as_deref() {
            Some("EACCES" | "EPERM") if access.value == Some(0) => {
                return (Reading::Blocked, "the access check passes and open is refused: an LSM".to_owned());
            }
            Some(error @ ("EACCES" | "EPERM" | "EROFS")) => {
                return (Reading::Blocked, format!("open for write: {error}"));
            }
            _ => {}
        }
    }
    match (access.value, access.error.as_deref()) {
        (Some(0), _) if confined => {
            (Reading::Ambiguous, "mode and mount allow it; the LSM was not asked".to_owned())
        }
        (Some(0), _) => (Reading::Permitted, "the access check passes".to_owned()),
        (_, Some("EROFS")) => (Reading::Blocked, "the mount is read-only".to_owned()),
        (_, Some("EACCES")) => (Reading::Blocked, "mode, owner or an LSM".to_owned()),
        (_, Some("ENOENT")) => (Reading::Absent, "ENOENT".to_owned()),
        (_, Some("EPERM")) => (Reading::Ambiguous, "EPERM: a filter on the call, or immutable".to_owned()),
        (_, Some(error)) => (Reading::Ambiguous, error.to_owned()),
        _ if access.killed.is_some() => (Reading::Unmeasured, "a filter kills the access check".to_owned()),
        _ => (Reading::Unmeasured, access.skipped.clone().unwrap_or_default()),
    }
}

/// faccessat2(2) with effective ids, and faccessat(2) for kernels before 5.8 and filters that do not know the
/// newer call (Docker 20.10 answers EPERM). The older one judges by real ids.
pub(crate) struct Access {
    effective: CallId,
    real: CallId,
}

/// `__NR_faccessat2`, the same on every architecture.
const FACCESSAT2: i64 = 439;

impl Access {
    pub(crate) fn new(batch: &mut Batch, path: &str) -> Access {
        Access::mode(batch, path, libc::W_OK)
    }
    pub(crate) fn mode(batch: &mut Batch, path: &str, mode: i32) -> Access {
        let at = Arg::Int(libc::AT_FDCWD.into());
        let text = Arg::Text(batch.text(path));
        let (mode, flags) = (Arg::Int(mode.into()), Arg::Int(libc::AT_EACCESS.into()));
        Access {
            effective: batch.call(FACCESSAT2 as libc::c_long, &[at, text, mode, flags]),
            real: batch.call(libc::SYS_faccessat, &[at, text, mode]),
        }
    }

    pub(crate) fn read(&self, answers: &Answers, process: &Process) -> Answer {
        let effective = answers.of(self.effective);
        let unanswered = effective.is_error("ENOSYS")
            || effective.is_error("EPERM")
            || effective.killed.is_some()
            || effective.skipped.is_some();
        let same_ids = |ids: &[u32]| ids.first() == ids.get(1);
        if unanswered && same_ids(&process.uids) && same_ids(&process.gids) {
            return answers.of(self.real);
        }
        effective
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(error: &str) -> Answer {
        Answer { error: Some(error.to_owned()), ..Answer::default() }
    }

    #[test]
    fn only_sysctl_files_are_ever_opened_for_write() {
        for (path, opening) in INTERFACES {
            assert!(*opening == Opening::Never || is_sysctl_path(path), "{path}");
        }
        assert!(!is_sysctl_path("/proc/sys/fs/binfmt_misc/register"));
    }

    #[test]
    fn an_lsm_that_was_not_asked_leaves_writability_ambiguous() {
        let passes = Answer { value: Some(0), ..Answer::default() };
        assert_eq!(writable(&passes, None, false).0, Reading::Permitted);
        assert_eq!(writable(&passes, None, true).0, Reading::Ambiguous);
        assert_eq!(writable(&passes, Some(&passes), true).0, Reading::Permitted);
        assert_eq!(writable(&passes, Some(&answer("EACCES")), true).0, Reading::Blocked);
        assert_eq!(writable(&answer("EROFS"), None, false).0, Reading::Blocked);
    }
}

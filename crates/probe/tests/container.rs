//! The measurement inside a container started by a real runtime, against what its config.json says.

mod common;

use std::fs;
use std::process::Command;

use common::{Room, is_root, measure, skipped};
use confinement::{Capability, CapabilitySet};
use probe::measurement::Visibility;
use probe::{Measurement, Reading};
use serde_json::{Value, json};

const CAPABILITIES: &[&str] = &["CAP_CHOWN", "CAP_SETUID", "CAP_MKNOD", "CAP_SYS_CHROOT"];

/// Root file system: the host's `/usr` read-only and the program; everything else is the runtime's.
fn bundle(room: &Room, change: impl FnOnce(&mut Value)) {
    let root = room.path.join("rootfs");
    for directory in ["proc", "sys", "dev", "tmp", "usr", "etc", "run"] {
        fs::create_dir_all(root.join(directory)).unwrap();
    }
    for link in ["bin", "lib", "lib64"] {
        let _ = std::os::unix::fs::symlink(format!("usr/{link}"), root.join(link));
    }
    fs::hard_link(room.program(), root.join("measure")).unwrap();
    let deny =
        |names: &[&str], errno: u32| json!({"names": names, "action": "SCMP_ACT_ERRNO", "errnoRet": errno});
    let mut config = json!({
        "ociVersion": "1.0.2",
        "root": {"path": "rootfs", "readonly": true},
        "hostname": "measured",
        "process": {
            "terminal": false, "cwd": "/", "args": ["/measure", "--active"], "env": ["PATH=/bin"],
            "user": {"uid": 0, "gid": 0},
            "noNewPrivileges": true,
            "capabilities": {"bounding": CAPABILITIES, "effective": CAPABILITIES, "permitted": CAPABILITIES},
        },
        "mounts": [
            {"destination": "/proc", "type": "proc", "source": "proc", "options": ["nosuid", "noexec", "nodev"]},
            {"destination": "/sys", "type": "sysfs", "source": "sysfs",
             "options": ["nosuid", "noexec", "nodev", "ro"]},
            {"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "mode=755"]},
            {"destination": "/usr", "type": "bind", "source": "/usr", "options": ["rbind", "ro"]},
        ],
        "linux": {
            "namespaces": [{"type": "pid"}, {"type": "mount"}, {"type": "uts"}, {"type": "ipc"}, {"type": "network"}],
            "maskedPaths": ["/proc/acpi", "/proc/keys", "/proc/timer_list"],
            "readonlyPaths": ["/proc/bus", "/proc/irq", "/proc/sys"],
            "seccomp": {
                "defaultAction": "SCMP_ACT_ALLOW",
                "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_AARCH64"],
                "syscalls": [
                    deny(&["mount", "umount2", "unshare", "setns", "keyctl"], 1),
                    deny(&["clone3"], 38),
                    {"names": ["ptrace"], "action": "SCMP_ACT_KILL_PROCESS"},
                ],
            },
        },
    });
    change(&mut config);
    fs::write(room.path.join("config.json"), serde_json::to_vec(&config).unwrap()).unwrap();
}

/// Starts the bundle; `None`, with the reason printed, where the runtime is not installed.
fn run(runtime: &str, room: &Room) -> Option<Measurement> {
    if !is_root() {
        skipped("needs root");
        return None;
    }
    let installed = Command::new(runtime).arg("--version").output().is_ok_and(|o| o.status.success());
    if !installed {
        skipped(&format!("{runtime} is not installed"));
        return None;
    }
    let name = room.path.file_name().unwrap().to_string_lossy().into_owned();
    // crun refuses a hybrid cgroup layout; it gets a mount namespace without the version 2 tree.
    let script = format!(
        "if mountpoint -q /sys/fs/cgroup/unified; then umount -l /sys/fs/cgroup/unified; fi
         exec {runtime} --root {root}/state run --bundle {root} {name}",
        root = room.path.display()
    );
    let mut command = match runtime {
        "crun" => {
            let mut command = Command::new("unshare");
            command.args(["-m", "--propagation", "private", "sh", "-ec", &script]);
            command
        }
        _ => {
            let mut command = Command::new("sh");
            command.args(["-ec", &script.replace("umount -l /sys/fs/cgroup/unified", "true")]);
            command
        }
    };
    Some(measure(&mut command))
}

fn reading(m: &Measurement, call: &str) -> Reading {
    m.system_calls[call].reads_as
}

fn agrees_with_its_configuration(runtime: &str) {
    let room = Room::new(runtime);
    bundle(&room, |_| {});
    let Some(measured) = run(runtime, &room) else { return };
    let named: Vec<Capability> = CAPABILITIES.iter().filter_map(|name| Capability::parse(name)).collect();
    let sets = &measured.process.capabilities;
    assert_eq!(sets.effective, Some(CapabilitySet::of(&named)));
    assert_eq!(sets.bounding, sets.effective);
    assert_eq!(measured.process.no_new_privs, Some(true));
    assert_eq!(measured.process.seccomp_mode, Some(2));
    for kind in ["pid", "uts", "ipc"] {
        assert_eq!(measured.namespaces[kind].initial, Some(false), "{kind}");
    }
    assert_eq!(measured.namespaces["user"].initial, Some(true));
    for call in ["mount", "umount2", "unshare", "setns", "keyctl", "clone3", "ptrace"] {
        assert_eq!(reading(&measured, call), Reading::Blocked, "{call}: {:?}", measured.system_calls[call]);
    }
    for call in ["chroot", "open_tree", "socket(AF_ALG)", "bpf", "clone(CLONE_NEWUSER)", "add_key"] {
        assert_eq!(reading(&measured, call), Reading::Permitted, "{call}: {:?}", measured.system_calls[call]);
    }
    for path in ["/proc/acpi", "/proc/keys", "/proc/timer_list"] {
        let masked = measured.masked_paths.iter().find(|m| m.path == path).unwrap();
        assert_eq!(masked.state, Visibility::Masked, "{masked:?}");
    }
    let interface = |path: &str| measured.kernel_interfaces.iter().find(|i| i.path == path).unwrap();
    for path in ["/proc/sys/kernel/core_pattern", "/proc/bus", "/sys"] {
        assert_eq!(interface(path).reads_as, Reading::Blocked, "{:?}", interface(path));
    }
    let devices: Vec<&str> = measured.devices.iter().map(|d| d.path.as_str()).collect();
    assert!(devices.contains(&"/dev/null") && devices.contains(&"/dev/urandom"), "{devices:?}");
    assert_eq!(measured.processes.kernel_threads_visible, Some(false));
}

#[test]
fn what_is_measured_in_a_container_of_runc_agrees_with_its_configuration() {
    agrees_with_its_configuration("runc");
}

#[test]
fn what_is_measured_in_a_container_of_crun_agrees_with_its_configuration() {
    agrees_with_its_configuration("crun");
}

#[test]
fn an_unconfined_container_of_runc_measures_open() {
    let room = Room::new("open");
    bundle(&room, |config| {
        config["linux"]["maskedPaths"] = json!([]);
        config["linux"]["readonlyPaths"] = json!([]);
        config["linux"]["seccomp"] = Value::Null;
        config["linux"]["namespaces"] = json!([{"type": "mount"}]);
        config["hostname"] = Value::Null;
        config["process"]["noNewPrivileges"] = json!(false);
    });
    let Some(measured) = run("runc", &room) else { return };
    assert_eq!(measured.process.seccomp_mode, Some(0));
    assert_eq!(measured.namespaces["pid"].initial, Some(true));
    assert_eq!(measured.processes.kernel_threads_visible, Some(true));
    assert_eq!(reading(&measured, "mount"), Reading::Permitted);
    let core_pattern =
        measured.kernel_interfaces.iter().find(|i| i.path == "/proc/sys/kernel/core_pattern").unwrap();
    assert_eq!(core_pattern.reads_as, Reading::Permitted, "{core_pattern:?}");
    for masked in &measured.masked_paths {
        assert_ne!(masked.state, Visibility::Masked, "{masked:?}");
    }
}

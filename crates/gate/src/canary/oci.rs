//! The door before an OCI runtime, tried by bundles to create containers from. Their root file system is empty and `start` is
//! never said, so that nothing can run even where there is no door.
//!
//! A door refuses with words of its own (`crate::oci::complaint`); a failure in other words is the runtime's, to which the request
//! came.

use std::fs::{self, DirBuilder};
use std::io::Read as _;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::{Became, Expected, Trial, short};

const PATIENCE: Duration = Duration::from_secs(30);
const SAYS: &str = "stockade: ";
/// Longer complaints are cut.
const OUTPUT_LIMIT: u64 = 1 << 20;

type Change = fn(&mut Value);

/// What is asked for beside what a sound container is.
const DANGERS: [(&str, Change); 4] = [
    ("capabilities over the host, as root", |config| {
        as_root(config);
        let all = json!([
            "CAP_SYS_ADMIN",
            "CAP_SYS_MODULE",
            "CAP_SYS_PTRACE",
            "CAP_SYS_RAWIO",
            "CAP_DAC_READ_SEARCH",
            "CAP_MKNOD"
        ]);
        config["process"]["capabilities"] = json!({"bounding": all, "effective": all, "permitted": all});
        config["linux"]["resources"]["devices"] = json!([{"allow": true, "access": "rwm"}]);
        config["linux"]["maskedPaths"] = json!([]);
        config["linux"]["readonlyPaths"] = json!([]);
    }),
    ("the daemon's socket as a mount", |config| {
        as_root(config);
        bind(config, "/run/docker.sock", "/docker.sock");
    }),
    ("the host's root as a mount", |config| {
        as_root(config);
        bind(config, "/", "/host");
    }),
    ("the host's /etc as a mount", |config| {
        as_root(config);
        bind(config, "/etc", "/host");
    }),
];

/// Where dangers are mounted, below the empty root.
const TARGETS: [&str; 4] = ["host", "docker.sock", "proc", "dev"];

fn as_root(config: &mut Value) {
    config["process"]["user"] = json!({"uid": 0, "gid": 0});
}

fn bind(config: &mut Value, source: &str, destination: &str) {
    if let Some(mounts) = config["mounts"].as_array_mut() {
        mounts.push(json!({
            "destination": destination, "type": "bind", "source": source, "options": ["rbind", "rprivate", "rw"],
        }));
    }
}

/// A container that nobody has anything against. It always has a mount namespace of its own.
fn sound() -> Value {
    json!({
        "ociVersion": "1.0.2",
        "process": {
            "terminal": false,
            "user": {"uid": 65534, "gid": 65534},
            "args": ["/stockade-gate-test-is-never-started"],
            "env": ["PATH=/bin"],
            "cwd": "/",
            "capabilities": {"bounding": [], "effective": [], "permitted": []},
            "noNewPrivileges": true,
        },
        "root": {"path": "rootfs", "readonly": true},
        "hostname": "stockade-gate-test",
        "mounts": [
            {"destination": "/proc", "type": "proc", "source": "proc", "options": ["nosuid", "noexec", "nodev"]},
            {"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "strictatime", "mode=755"]},
        ],
        "annotations": {super::docker::LABEL: "true"},
        "linux": {
            "namespaces": [
                {"type": "pid"}, {"type": "network"}, {"type": "ipc"}, {"type": "uts"}, {"type": "mount"}, {"type": "cgroup"},
            ],
            "resources": {"devices": [{"allow": false, "access": "rwm"}]},
            "maskedPaths": [
                "/proc/acpi", "/proc/asound", "/proc/kcore", "/proc/keys", "/proc/latency_stats", "/proc/sched_debug",
                "/proc/scsi", "/proc/timer_list", "/proc/timer_stats", "/sys/firmware",
            ],
            "readonlyPaths": ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"],
        },
    })
}

#[derive(Debug, thiserror::Error)]
#[error("{}: cannot make a bundle: {error}", path.display())]
pub struct BundleError {
    path: PathBuf,
    error: std::io::Error,
}

/// Asks a runtime, by its path or name, for every trial. `folder` is where bundles and state are kept meanwhile.
pub fn run(runtime: &Path, folder: &Path) -> Result<Vec<Trial>, BundleError> {
    let mut trials = Vec::new();
    for (asked, change) in DANGERS {
        let mut config = sound();
        change(&mut config);
        let became = create(runtime, folder, &config)?;
        trials.push(Trial { asked: asked.to_owned(), expected: Expected::Refused, became });
    }
    let became = create(runtime, folder, &sound())?;
    trials.push(Trial { asked: "a sound container".to_owned(), expected: Expected::LetIn, became });
    Ok(trials)
}

fn create(runtime: &Path, folder: &Path, config: &Value) -> Result<Became, BundleError> {
    let bundle = Bundle::make(folder, config)?;
    let id = format!("stockade-gate-test-{}", std::process::id());
    let state = bundle.0.join("state");
    let path = bundle.0.to_string_lossy();
    let create = ["create", "--bundle", &path, &id];
    Ok(match call(runtime, &state, &create) {
        Err(why) => Became::NotKnown { why },
        Ok((false, said)) if said.contains(SAYS) => Became::Refused { message: short(&words(&said)) },
        Ok((made, _)) => {
            // What failed may have left something too.
            let removed = call(runtime, &state, &["delete", "--force", &id]);
            let left = match removed {
                Ok((true, _)) => None,
                Ok((false, said)) if made => Some(short(&format!("{id}: {said}"))),
                Err(why) if made => Some(format!("{id}: {why}")),
                _ => None,
            };
            Became::LetIn { left }
        }
    })
}

/// The words of a complaint, of what may be a line of JSON.
fn words(said: &str) -> String {
    let line = said.lines().find(|line| line.contains(SAYS)).unwrap_or(said);
    let parsed: Option<Value> = serde_json::from_str(line).ok();
    parsed.and_then(|v| Some(v.get("msg")?.as_str()?.to_owned())).unwrap_or_else(|| line.to_owned())
}

/// Whether a runtime did what it was asked, and what it said.
fn call(runtime: &Path, state: &Path, arguments: &[&str]) -> Result<(bool, String), String> {
    let named = |error: std::io::Error| format!("{}: {error}", runtime.display());
    let said = state.with_extension("said");
    let output = fs::File::create(&said).map_err(named)?;
    // The first process of a container keeps what it inherits: a file is not waited for.
    let mut child = Command::new(runtime)
        .arg("--root")
        .arg(state)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(output)
        .spawn()
        .map_err(named)?;
    let until = Instant::now() + PATIENCE;
    let status = loop {
        match child.try_wait().map_err(named)? {
            Some(status) => break status,
            None if Instant::now() > until => {
                let _ = child.kill();
                let _ = child.wait();
                return Err(format!("{} has not ended within {} s", runtime.display(), PATIENCE.as_secs()));
            }
            None => std::thread::sleep(Duration::from_millis(5)),
        }
    };
    let mut bytes = Vec::new();
    let read = fs::File::open(&said).and_then(|file| file.take(OUTPUT_LIMIT).read_to_end(&mut bytes));
    let _ = fs::remove_file(&said);
    read.map_err(named)?;
    Ok((status.success(), String::from_utf8_lossy(&bytes).into_owned()))
}

/// A folder with a configuration and an empty root file system.
struct Bundle(PathBuf);

impl Bundle {
    fn make(folder: &Path, config: &Value) -> Result<Bundle, BundleError> {
        let path = folder.join(format!("stockade-gate-test-{}", std::process::id()));
        let failed = |error| BundleError { path: path.clone(), error };
        DirBuilder::new().mode(0o700).create(&path).map_err(failed)?;
        let bundle = Bundle(path.clone());
        fs::create_dir(path.join("rootfs")).map_err(failed)?;
        fs::create_dir(path.join("state")).map_err(failed)?;
        fs::write(path.join("config.json"), config.to_string()).map_err(failed)?;
        Ok(bundle)
    }
}

impl Drop for Bundle {
    fn drop(&mut self) {
        // By name and never by walking: were the host's root mounted below, a walk would empty it.
        let root = self.0.join("rootfs");
        for target in TARGETS {
            let _ = fs::remove_dir(root.join(target));
            let _ = fs::remove_file(root.join(target));
        }
        for file in ["config.json", "state.said"] {
            let _ = fs::remove_file(self.0.join(file));
        }
        for folder in [&root, &self.0.join("state"), &self.0] {
            let _ = fs::remove_dir(folder);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;
    use crate::canary::{Verdict, verdict};

    /// A program that stands for a runtime, and what it does.
    fn trials(script: &str) -> Vec<Trial> {
        let folder = tempfile::tempdir().unwrap();
        let program = folder.path().join("runtime");
        fs::write(&program, format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
        let work = folder.path().join("work");
        fs::create_dir(&work).unwrap();
        let trials = run(&program, &work).unwrap();
        assert_eq!(fs::read_dir(&work).unwrap().count(), 0, "nothing is left");
        trials
    }

    #[test]
    fn a_door_that_refuses_by_what_it_reads_is_live_and_one_that_refuses_or_lets_in_all_is_not() {
        // `$3 $4 $5` is `create --bundle BUNDLE`.
        let live = r#"[ "$3" = create ] || exit 0
            grep -q '"uid":0' "$5/config.json" && { echo '{"msg":"stockade: denied"}' >&2; exit 1; }
            exit 0"#;
        assert_eq!(verdict(&trials(live)), Verdict::Live);
        assert_eq!(verdict(&trials("exit 0")), Verdict::Open);
        assert_eq!(verdict(&trials("echo 'runc create failed: no such file' >&2; exit 1")), Verdict::Open);
        assert_eq!(verdict(&trials("echo 'stockade: broken' >&2; exit 1")), Verdict::RefusesAll);
    }

    #[test]
    fn a_runtime_that_is_not_there_proves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let trials = run(&folder.path().join("none"), folder.path()).unwrap();
        assert_eq!(verdict(&trials), Verdict::NotKnown);
    }
}

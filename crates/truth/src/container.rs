//! Starts one container of the sample and takes what the payload in it measures.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use probe::Measurement;
use sources::process::mountinfo::MountTable;

use crate::configuration::{Runtime, Sample, TARGETS};

/// A container starts and measures within some tens of milliseconds.
const SECONDS: &str = "30";

/// A copy of the tree for one container, so that a mount which a container shares with its host reaches no other.
/// The copy is shared as a host's root is under systemd.
/// The root file system is a mount, as engines make it: runc makes the mount that it lies on private.
const HOST: &str = r#"mount --bind "$2" "$2"
mount --make-rshared /
cat /proc/self/mountinfo >"$1"
shift 2
exec "$@""#;

/// What came out of a container, and the mounts of the host that it was started on.
pub(crate) struct Found {
    pub(crate) measured: Measurement,
    pub(crate) host_mounts: MountTable,
}

/// A bundle's folder; the root file system in it serves every container of one worker in turn.
pub(crate) struct Bundle {
    folder: PathBuf,
    states: PathBuf,
}

impl Bundle {
    pub(crate) fn new(worker: usize) -> io::Result<Bundle> {
        let folder = PathBuf::from(format!("/bundles/{worker}"));
        let root = folder.join("rootfs");
        // Runtimes make mount points that are missing, but not as an id that owns nothing.
        for path in ["proc", "sys", "dev", "tmp", "etc", "host"] {
            fs::create_dir_all(root.join(path))?;
        }
        for number in 0..TARGETS {
            fs::create_dir_all(root.join(format!("host/folder{number}")))?;
            fs::write(root.join(format!("host/file{number}")), "")?;
        }
        fs::copy("/payload", root.join("payload"))?;
        let states = PathBuf::from("/run/states");
        fs::create_dir_all(&states)?;
        Ok(Bundle { folder, states })
    }

    /// Runs the container to its end. An error says what the runtime said.
    pub(crate) fn run(&self, sample: &Sample) -> Result<Found, String> {
        let config = serde_json::to_vec_pretty(&sample.config).map_err(|e| e.to_string())?;
        fs::write(self.folder.join("config.json"), config).map_err(|e| e.to_string())?;
        let name = format!("truth-{}", sample.number);
        let states = self.states.join(sample.runtime.name());
        let mounts = self.folder.join("mountinfo");
        let output = Command::new("unshare")
            .args(["--mount", "--propagation", "private", "sh", "-ec", HOST, "sh"])
            .args([&mounts, &self.folder.join("rootfs")])
            .args(["timeout", "--kill-after=5", SECONDS, sample.runtime.name(), "--root"])
            .arg(&states)
            .args(["run", "--bundle"])
            .arg(&self.folder)
            .arg(&name)
            .stdin(Stdio::null())
            .output()
            .map_err(|e| e.to_string())?;
        let measured = serde_json::from_slice(&output.stdout);
        if let (true, Ok(measured)) = (output.status.success(), measured) {
            let mounts = fs::read_to_string(mounts).map_err(|e| e.to_string())?;
            return Ok(Found { measured, host_mounts: MountTable::parse(&mounts)? });
        }
        remove(sample.runtime, &states, &name);
        let said = String::from_utf8_lossy(&output.stderr);
        let said = said.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("nothing");
        Err(format!("{}: {said}", output.status))
    }
}

/// A container that did not end by itself is ended and forgotten.
fn remove(runtime: Runtime, states: &Path, name: &str) {
    let _ = Command::new(runtime.name())
        .arg("--root")
        .arg(states)
        .args(["delete", "--force", name])
        .stdin(Stdio::null())
        .output();
}

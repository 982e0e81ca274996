//! The door before the runtime: a container started by runc alone and through the door, in turns, so that both meet the
//! same machine. The root file system is busybox alone, and the program ends at once.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

/// Starts of each kind.
const STARTS: usize = 60;
const CALLS: usize = 200;

/// Medians.
pub struct Measured {
    pub alone: Duration,
    /// Through the door: by its own policy, with a policy of one CEL rule, and with one of Rego.
    pub door: Duration,
    pub with_cel: Duration,
    pub with_rego: Duration,
    /// The same door, where the program behind it ends at once: what is added without runc's own variation.
    pub nothing: Duration,
    pub door_to_nothing: Duration,
    /// `state` of a container that is not there.
    pub state_alone: Duration,
    pub state_door: Duration,
}

/// `None` where there is no runc or busybox.
pub fn measure(stockade: &OsString, folder: &Path) -> io::Result<Option<Measured>> {
    let (runc, busybox) = (Path::new("/usr/sbin/runc"), Path::new("/bin/busybox"));
    if !runc.exists() || !busybox.exists() {
        return Ok(None);
    }
    let folder = folder.join("gate-oci");
    let _ = fs::remove_dir_all(&folder);
    let bundle = bundle(&folder, busybox)?;
    let door = folder.join("stockade-runc");
    symlink(fs::canonicalize(stockade)?, &door)?;
    let settings = policies(&folder)?;

    let run = |before: Vec<OsString>| {
        let mut line = before;
        line.extend(["run".into(), "--bundle".into(), bundle.clone().into(), "stockade-bench".into()]);
        line
    };
    let through = |settings: &Path, behind: &str| -> Vec<OsString> {
        let mut line = vec![stockade.clone()];
        line.extend(["gate", "oci", "--settings"].map(OsString::from));
        line.extend([settings.into(), "--runtime".into(), behind.into(), "--".into()]);
        line
    };
    let [cel, rego] = &settings;
    let starts = in_turns(
        STARTS,
        &[
            run(vec![runc.into()]),
            run(vec![door.clone().into()]),
            run(through(cel, "/usr/sbin/runc")),
            run(through(rego, "/usr/sbin/runc")),
        ],
        true,
    )?;
    // A program that ends at once, by the name of the runtime that it stands for.
    let nothing = folder.join("runc");
    fs::copy("/bin/true", &nothing)?;
    let empty = folder.join("empty.toml");
    fs::write(&empty, "")?;
    let calls = in_turns(
        CALLS,
        &[run(vec![nothing.clone().into()]), run(through(&empty, &nothing.to_string_lossy()))],
        true,
    )?;
    let state = |program: PathBuf| vec![program.into(), "state".into(), "stockade-bench".into()];
    let states = in_turns(CALLS, &[state(runc.into()), state(door)], false)?;
    let at = |all: &[Duration], i: usize| all.get(i).copied().unwrap_or_default();
    Ok(Some(Measured {
        alone: at(&starts, 0),
        door: at(&starts, 1),
        with_cel: at(&starts, 2),
        with_rego: at(&starts, 3),
        nothing: at(&calls, 0),
        door_to_nothing: at(&calls, 1),
        state_alone: at(&states, 0),
        state_door: at(&states, 1),
    }))
}

/// The median of each command's time from its start to its end.
fn in_turns(runs: usize, commands: &[Vec<OsString>], succeeds: bool) -> io::Result<Vec<Duration>> {
    let mut times = vec![Vec::with_capacity(runs); commands.len()];
    for _ in 0..runs {
        for (command, times) in commands.iter().zip(&mut times) {
            let (program, arguments) = command.split_first().ok_or_else(|| io::Error::other("no command"))?;
            let started = Instant::now();
            let output = Command::new(program).args(arguments).stdin(Stdio::null()).output()?;
            times.push(started.elapsed());
            if output.status.success() != succeeds {
                let said = String::from_utf8_lossy(&output.stderr).into_owned();
                return Err(io::Error::other(format!("{command:?} ended with {}: {said}", output.status)));
            }
        }
    }
    Ok(times
        .into_iter()
        .map(|mut times| {
            times.sort();
            times.get(times.len() / 2).copied().unwrap_or_default()
        })
        .collect())
}

/// A policy with a rule in CEL, and one with a rule in Rego, each with settings that name it.
fn policies(folder: &Path) -> io::Result<[PathBuf; 2]> {
    let rego = "package main\n\ndeny contains msg if {\n\tinput.confinement.privileged == true\n\tmsg := \"privileged\"\n}\n";
    fs::write(folder.join("rules.rego"), rego)?;
    let cel = "version: 1\nrules:\n  - name: not-privileged\n    condition: confinement.privileged != true\n";
    let rego = "version: 1\nrego: rules.rego\n";
    let mut made = [PathBuf::new(), PathBuf::new()];
    for (made, (name, text)) in made.iter_mut().zip([("cel", cel), ("rego", rego)]) {
        let policy = folder.join(format!("{name}.yaml"));
        fs::write(&policy, text)?;
        *made = folder.join(format!("{name}.toml"));
        fs::write(&made, format!("policy = {:?}\n", policy.display().to_string()))?;
    }
    Ok(made)
}

/// A bundle as Docker's defaults make one, without a network.
fn bundle(folder: &Path, busybox: &Path) -> io::Result<PathBuf> {
    let bundle = folder.join("bundle");
    fs::create_dir_all(bundle.join("rootfs/bin"))?;
    for place in ["proc", "sys", "dev"] {
        fs::create_dir_all(bundle.join("rootfs").join(place))?;
    }
    fs::copy(busybox, bundle.join("rootfs/bin/busybox"))?;
    symlink("busybox", bundle.join("rootfs/bin/true"))?;
    // runc's own example, as an engine would have it.
    let output = Command::new("/usr/sbin/runc").arg("spec").arg("--bundle").arg(&bundle).output()?;
    if !output.status.success() {
        return Err(io::Error::other(String::from_utf8_lossy(&output.stderr).into_owned()));
    }
    let path = bundle.join("config.json");
    let mut config: Value = serde_json::from_slice(&fs::read(&path)?)?;
    config["process"]["terminal"] = json!(false);
    config["process"]["args"] = json!(["true"]);
    fs::write(&path, config.to_string())?;
    fs::canonicalize(bundle)
}

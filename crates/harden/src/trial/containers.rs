//! Runs on a real engine: one container for each, made, started, checked and removed.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use confinement::EngineKind;
use serde_json::Value;

use super::check::{self, Answer, Check, Place};
use super::engine::{Engine, last_words};
use super::evidence::{denials, printable};
use super::grant::{Folder, Grant, User, tmpfs_value};
use super::journal::{Attempt, Observed, Outcome, Run, Written};
use super::observe::{self, look, parent};
use super::scratch::{Scratch, create_unstarted};
use super::search::Runner;
use super::workload::Workload;
use super::{Interrupt, TrialError};

/// Lines of a log that are kept.
const LOG_LINES: usize = 40;
/// A check that passed must pass again after half the time that it took to pass, and at least and at most after this,
/// with the container still running: some services answer while they set themselves up, and end when that fails.
const SETTLE: (Duration, Duration) = (Duration::from_millis(300), Duration::from_secs(2));

pub(super) struct Containers<'a> {
    pub(super) engine: &'a Engine,
    pub(super) workload: &'a Workload,
    pub(super) scratch: &'a Scratch,
    pub(super) scratch_file: PathBuf,
    pub(super) id: &'a str,
    pub(super) labels: &'a [String],
    /// The trial's own, `none`, or that of the line.
    pub(super) network: String,
    pub(super) check: &'a Check,
    pub(super) health: Option<Vec<String>>,
    pub(super) own: User,
    /// Where the image mounts volumes of its own.
    pub(super) image_volumes: Vec<String>,
    pub(super) interrupt: &'a AtomicBool,
    pub(super) folders: Mutex<BTreeMap<String, Folder>>,
    /// Of the container that ran last.
    pub(super) last_address: Mutex<String>,
}

/// A container that is removed with its value.
struct Started<'a> {
    containers: &'a Containers<'a>,
    number: u32,
    id: String,
    /// The container of its volumes, where it has copies.
    volumes: Option<String>,
}

impl Drop for Started<'_> {
    fn drop(&mut self) {
        // What fails here is found again by its label when the trial ends.
        for container in [&self.id].into_iter().chain(&self.volumes) {
            let _ = self.containers.engine.remove_container(container);
        }
        self.containers.scratch.end_run(self.number);
    }
}

/// How a container's run went, before it is told.
struct Ended {
    outcome: Outcome,
    exit_code: Option<i64>,
    said: String,
    passed_after: Option<u64>,
}

impl Ended {
    fn new(outcome: Outcome, said: String) -> Ended {
        Ended { outcome, exit_code: None, said, passed_after: None }
    }
}

fn milliseconds(since: Instant) -> u64 {
    u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX)
}

impl Containers<'_> {
    fn name(&self, number: u32) -> String {
        format!("stockade-trial-{}-{number}", self.id)
    }

    fn options(&self, number: u32, attempt: &Attempt) -> Result<Vec<String>, TrialError> {
        let mut words =
            vec!["create".to_owned(), "--pull=never".to_owned(), format!("--name={}", self.name(number))];
        words.extend(self.labels.iter().cloned());
        let of_line = attempt.grants.iter().find_map(|grant| match grant {
            Grant::Option(name, value) if name == "network" => Some(value.as_str()),
            _ => None,
        });
        words.push(format!("--network={}", of_line.unwrap_or(&self.network)));
        words.push("--no-healthcheck".to_owned());
        words.extend(self.workload.kept.iter().cloned());
        words.extend(self.confinement(attempt));
        words.extend(self.scratch.options(number, self.engine, |grant| attempt.grants.contains(grant))?);
        Ok(words)
    }

    /// The options that confine, for this user and these grants.
    fn confinement(&self, attempt: &Attempt) -> Vec<String> {
        let folders = self.folders.lock().map(|folders| folders.clone()).unwrap_or_default();
        confining_options(attempt, &folders, self.engine.kind)
    }

    fn create(&self, number: u32, attempt: &Attempt) -> Result<Result<Started<'_>, String>, TrialError> {
        let mut words = self.options(number, attempt)?;
        let volumes = self.scratch.fill(self.engine, &self.workload.image, self.labels)?;
        words.extend(volumes.iter().map(|container| format!("--volumes-from={container}")));
        if attempt.without_workload {
            let check = self.check_words().unwrap_or_default();
            let (program, rest) = check
                .split_first()
                .map_or((String::new(), Vec::new()), |(program, rest)| (program.clone(), rest.to_vec()));
            words.push(format!("--entrypoint={program}"));
            words.push(self.workload.image.clone());
            words.extend(rest);
        } else {
            words.push(self.workload.image.clone());
            words.extend(self.workload.command.iter().cloned());
        }
        let output = self.engine.call(&words)?;
        let id = output.stdout.lines().last().unwrap_or_default().trim().to_owned();
        // By its name until it has an id, so that what is left of one that failed is removed too.
        let known = if id.is_empty() { self.name(number) } else { id.clone() };
        let started = Started { containers: self, number, id: known, volumes };
        if !output.success() || id.is_empty() {
            let said = last_words(&output.stderr);
            if said.to_lowercase().contains("cannot connect to") {
                return Err(TrialError::Engine {
                    call: format!("{} create", self.engine.kind.name()),
                    message: said,
                });
            }
            return Ok(Err(said));
        }
        Ok(Ok(started))
    }

    /// The check as a command inside the container.
    fn check_words(&self) -> Option<Vec<String>> {
        match self.check {
            Check::Inside(words) => Some(words.clone()),
            Check::Health => self.health.clone(),
            _ => None,
        }
    }

    /// A check from this machine, at an address where a container was and is no more.
    fn nobody_there(&self, number: u32, attempt: &Attempt) -> Result<Run, TrialError> {
        let begun = Instant::now();
        let address = self.last_address.lock().map(|address| address.clone()).unwrap_or_default();
        let place = Place { engine: self.engine, id: "", address: &address };
        let answer = check::attempt(self.check, None, &place, self.interrupt)?;
        self.interrupt.ended()?;
        Ok(Run {
            number,
            attempt: attempt.clone(),
            outcome: if answer.passed { Outcome::Passed } else { Outcome::Failed },
            exit_code: None,
            said: answer.said,
            log: Vec::new(),
            denials: Vec::new(),
            passed_after: None,
            milliseconds: milliseconds(begun),
        })
    }

    /// Starts a container and waits for its check. `see` is shown it while it runs, once the check has passed.
    fn one(
        &self,
        number: u32,
        attempt: &Attempt,
        limit: Duration,
        see: &mut dyn FnMut(&str) -> Result<(), TrialError>,
    ) -> Result<Run, TrialError> {
        if attempt.without_workload && self.check_words().is_none() {
            return self.nobody_there(number, attempt);
        }
        let begun = Instant::now();
        let mut log = Vec::new();
        let ended = match self.create(number, attempt)? {
            Err(said) => Ended::new(Outcome::NotStarted, said),
            Ok(started) => {
                let ended = self.start(&started.id, attempt, limit)?;
                if ended.outcome == Outcome::Passed && !attempt.without_workload {
                    see(&started.id)?;
                }
                log = self.log(&started.id)?;
                ended
            }
        };
        let denials = denials(log.iter().map(String::as_str).chain([ended.said.as_str()]));
        Ok(Run {
            number,
            attempt: attempt.clone(),
            outcome: ended.outcome,
            exit_code: ended.exit_code,
            said: ended.said,
            log,
            denials,
            passed_after: ended.passed_after,
            milliseconds: milliseconds(begun),
        })
    }

    fn start(&self, id: &str, attempt: &Attempt, limit: Duration) -> Result<Ended, TrialError> {
        let output = self.engine.call(&["start", id])?;
        if !output.success() {
            return Ok(Ended::new(Outcome::NotStarted, last_words(&output.stderr)));
        }
        match attempt.without_workload || *self.check == Check::Exit {
            true => self.wait_for_end(id, limit),
            false => self.wait_for_check(id, limit),
        }
    }

    /// Until it ends by itself.
    fn wait_for_end(&self, id: &str, limit: Duration) -> Result<Ended, TrialError> {
        let begun = Instant::now();
        loop {
            self.interrupt.ended()?;
            let state = self.engine.inspect(id)?.unwrap_or_default();
            if let Some(mut ended) = ended(&state) {
                let passed = ended.exit_code == Some(0);
                ended.outcome = if passed { Outcome::Passed } else { Outcome::Failed };
                ended.passed_after = passed.then(|| milliseconds(begun));
                return Ok(ended);
            }
            if begun.elapsed() >= limit {
                return Ok(Ended::new(Outcome::Timeout, "it has not ended".to_owned()));
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Until the check passes, and passes again.
    fn wait_for_check(&self, id: &str, limit: Duration) -> Result<Ended, TrialError> {
        let begun = Instant::now();
        let mut pause = Duration::from_millis(50);
        let mut address = String::new();
        let mut refused_for_good = 0;
        loop {
            self.interrupt.ended()?;
            if address.is_empty() {
                let state = self.engine.inspect(id)?.unwrap_or_default();
                address = address_of(&state);
                if let Ok(mut last) = self.last_address.lock() {
                    last.clone_from(&address);
                }
                if let Some(ended) = ended(&state) {
                    return Ok(ended);
                }
            }
            let place = Place { engine: self.engine, id, address: &address };
            let mut answer = check::attempt(self.check, self.health.as_deref(), &place, self.interrupt)?;
            self.interrupt.ended()?;
            if answer.passed {
                std::thread::sleep((begun.elapsed() / 2).clamp(SETTLE.0, SETTLE.1));
                answer = check::attempt(self.check, self.health.as_deref(), &place, self.interrupt)?;
                self.interrupt.ended()?;
            }
            let state = self.engine.inspect(id)?.unwrap_or_default();
            if let Some(mut ended) = ended(&state) {
                ended.said = answer.said;
                return Ok(ended);
            }
            refused_for_good = if answer.is_for_good { refused_for_good + 1 } else { 0 };
            let Answer { passed, said, .. } = answer;
            let outcome = match passed {
                true => Some(Outcome::Passed),
                // The program of the check cannot be run at all; twice, since a container that ends says the same.
                false if refused_for_good >= 2 => Some(Outcome::Failed),
                false if begun.elapsed() >= limit => Some(Outcome::Timeout),
                false => None,
            };
            if let Some(outcome) = outcome {
                let passed_after = passed.then(|| milliseconds(begun));
                return Ok(Ended { passed_after, ..Ended::new(outcome, said) });
            }
            std::thread::sleep(pause);
            pause = (pause * 3 / 2).min(Duration::from_millis(500));
        }
    }

    fn log(&self, id: &str) -> Result<Vec<String>, TrialError> {
        let output = self.engine.call(&["logs", "--tail", &LOG_LINES.to_string(), id])?;
        let lines: Vec<String> = output
            .stdout
            .lines()
            .chain(output.stderr.lines())
            .map(printable)
            .filter(|line| !line.is_empty())
            .collect();
        Ok(lines.get(lines.len().saturating_sub(LOG_LINES)..).unwrap_or_default().to_vec())
    }

    fn see(&self, id: &str) -> Result<Observed, TrialError> {
        let mut users = Vec::new();
        let state = self.engine.inspect(id)?.unwrap_or_default();
        let init =
            state.pointer("/State/Pid").and_then(Value::as_u64).and_then(|pid| u32::try_from(pid).ok());
        if let Some(init) = init.filter(|pid| self.engine.local && *pid > 0) {
            users = observe::users_of_processes(init);
        }
        let changes = self.engine.ask(&["diff", id])?;
        let given = self.given();
        let given: Vec<&str> = given.iter().map(String::as_str).collect();
        let paths = observe::folders(&changes, &given, |path| {
            Ok(look(self.engine, id, path, &self.scratch_file)?.is_some_and(|seen| seen.is_folder))
        })?;
        let written = self.writable(&paths)?;
        Ok(Observed { written, users, own: Some(self.own.clone()) })
    }

    /// Targets of mounts that are there in every run.
    fn given(&self) -> Vec<String> {
        let mounts = self.workload.mounts.iter().map(|mount| mount.target.to_string());
        mounts.chain(self.workload.tmpfs.iter().cloned()).chain(self.image_volumes.iter().cloned()).collect()
    }
}

impl Runner for Containers<'_> {
    fn run(&self, number: u32, attempt: &Attempt, limit: Duration) -> Result<Run, TrialError> {
        self.one(number, attempt, limit, &mut |_| Ok(()))
    }

    fn observe(
        &self,
        number: u32,
        attempt: &Attempt,
        limit: Duration,
    ) -> Result<(Run, Observed), TrialError> {
        let mut observed = Observed { own: Some(self.own.clone()), ..Observed::default() };
        let run = self.one(number, attempt, limit, &mut |id| {
            observed = self.see(id)?;
            Ok(())
        })?;
        Ok((run, observed))
    }

    fn knows_without_workload(&self) -> bool {
        *self.check != Check::Exit
    }

    fn writable(&self, paths: &[String]) -> Result<Vec<Written>, TrialError> {
        if paths.is_empty() {
            return Ok(Vec::new());
        }
        let container = create_unstarted(self.engine, &self.workload.image, self.labels, &[])?;
        let written = paths
            .iter()
            .map(|path| Ok(observe::written(path, look(self.engine, &container, path, &self.scratch_file)?)))
            .collect::<Result<Vec<Written>, TrialError>>();
        self.engine.remove_container(&container)?;
        written
    }

    /// A path that a message names is a file that could not be made, mostly: its folder is what is wanted.
    fn folder_of(&self, path: &str) -> Option<String> {
        let path = if path.starts_with("/var/run/") { path.trim_start_matches("/var") } else { path };
        let folder = parent(path);
        let given = self.given();
        let within = |root: &str| {
            folder == root || folder.strip_prefix(root).is_some_and(|rest| rest.starts_with('/'))
        };
        let excluded = folder == "/" || ["/proc", "/sys", "/dev"].iter().any(|root| within(root));
        (!excluded && !given.iter().any(|root| within(root))).then(|| folder.to_owned())
    }

    fn learn(&self, written: &[Written]) {
        if let Ok(mut folders) = self.folders.lock() {
            for place in written {
                if let (Some(path), Some(folder)) = (place.grant.path(), place.folder) {
                    folders.insert(path.to_owned(), folder);
                }
            }
        }
    }

    fn interrupted(&self) -> bool {
        self.interrupt.load(Ordering::Relaxed)
    }

    fn options_for(&self, attempt: &Attempt) -> Vec<String> {
        self.confinement(attempt)
    }
}

/// The options of `docker run` that confine as the recommended level does, with these grants made.
pub(super) fn confining_options(
    attempt: &Attempt,
    folders: &BTreeMap<String, Folder>,
    engine: EngineKind,
) -> Vec<String> {
    let has = |grant: &Grant| attempt.grants.contains(grant);
    let mut words = Vec::new();
    words.extend(attempt.user.option.iter().map(|user| format!("--user={user}")));
    if has(&Grant::Privileged) {
        words.push("--privileged".to_owned());
    } else {
        words.push("--cap-drop=ALL".to_owned());
    }
    let capabilities = attempt.grants.iter().filter_map(|grant| match grant {
        Grant::Capability(capability) => Some(format!("--cap-add={}", capability.name())),
        _ => None,
    });
    words.extend(capabilities.filter(|_| !has(&Grant::Privileged)));
    if !has(&Grant::NewPrivileges) {
        words.push("--security-opt=no-new-privileges".to_owned());
    }
    if !has(&Grant::WritableRoot) {
        words.push("--read-only".to_owned());
        if engine == EngineKind::Podman {
            // podman-run(1): /tmp, /run and /var/tmp would be writable with --read-only alone.
            words.push("--read-only-tmpfs=false".to_owned());
        }
    }
    for grant in &attempt.grants {
        match grant {
            Grant::Tmpfs(path) => {
                let value = tmpfs_value(path, &attempt.user, folders.get(path).copied(), engine);
                words.push(format!("--tmpfs={value}"));
            }
            Grant::Volume(path) => words.push(format!("--volume={path}")),
            Grant::Option(name, value) if value.is_empty() => words.push(format!("--{name}")),
            Grant::Option(name, value) if name != "network" => words.push(format!("--{name}={value}")),
            _ => {}
        }
    }
    words
}

/// `None` while the container runs.
fn ended(state: &Value) -> Option<Ended> {
    let status = state.pointer("/State/Status").and_then(Value::as_str).unwrap_or_default();
    let running = state.pointer("/State/Running").and_then(Value::as_bool).unwrap_or(false);
    // Podman calls it so between its start and its first step.
    if running || matches!(status, "created" | "configured" | "initialized") {
        return None;
    }
    let exit_code = state.pointer("/State/ExitCode").and_then(Value::as_i64);
    let error = state.pointer("/State/Error").and_then(Value::as_str).unwrap_or_default();
    Some(Ended { exit_code, ..Ended::new(Outcome::Died, last_words(error)) })
}

/// Its address on the network it is on; this machine's for one in the host's network namespace.
fn address_of(state: &Value) -> String {
    let settings = state.get("NetworkSettings");
    let networks = settings.and_then(|settings| settings.get("Networks")).and_then(Value::as_object);
    let networks = networks.into_iter().flat_map(|networks| networks.iter());
    let addresses = networks.map(|(name, network)| {
        let text = |key: &str| network.get(key).and_then(Value::as_str).unwrap_or_default();
        match name.as_str() {
            "host" => "127.0.0.1",
            _ if !text("IPAddress").is_empty() => text("IPAddress"),
            _ => text("GlobalIPv6Address"),
        }
    });
    let own = settings.and_then(|settings| settings.get("IPAddress")).and_then(Value::as_str);
    addresses.chain(own).find(|address| !address.is_empty()).unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn options(user: User, grants: &[&str], engine: EngineKind) -> Vec<String> {
        let grants: BTreeSet<Grant> = grants.iter().map(|grant| grant.parse().unwrap()).collect();
        let folders = BTreeMap::from([("/run".to_owned(), Folder { uid: 0, gid: 0, mode: 0o755 })]);
        confining_options(&Attempt { user, grants, without_workload: false }, &folders, engine)
    }

    #[test]
    fn without_grants_everything_that_the_recommended_level_removes_is_removed() {
        let user = User::of_ids(101, 101);
        let expected =
            ["--user=101:101", "--cap-drop=ALL", "--security-opt=no-new-privileges", "--read-only"];
        assert_eq!(options(user.clone(), &[], EngineKind::Docker), expected);
        assert!(options(user, &[], EngineKind::Podman).contains(&"--read-only-tmpfs=false".to_owned()));
    }

    #[test]
    fn each_grant_is_one_option() {
        let root = User { option: None, ids: Some((0, 0)) };
        let grants =
            ["cap:CHOWN", "tmpfs:/run", "volume:/etc/x", "new-privileges", "option:--device=/dev/fuse"];
        let expected = [
            "--cap-drop=ALL",
            "--cap-add=CHOWN",
            "--read-only",
            "--device=/dev/fuse",
            "--volume=/etc/x",
            "--tmpfs=/run:mode=755",
        ];
        assert_eq!(options(root.clone(), &grants, EngineKind::Docker), expected);
        let privileged = options(root, &["privileged", "cap:CHOWN", "writable-root"], EngineKind::Docker);
        assert_eq!(privileged, ["--privileged", "--security-opt=no-new-privileges"]);
    }

    #[test]
    fn addresses_are_found_where_each_engine_puts_them() {
        let of = |json: &str| address_of(&serde_json::from_str(json).unwrap());
        assert_eq!(of(r#"{"NetworkSettings":{"Networks":{"n":{"IPAddress":"10.0.0.2"}}}}"#), "10.0.0.2");
        assert_eq!(of(r#"{"NetworkSettings":{"Networks":{"host":{"IPAddress":""}}}}"#), "127.0.0.1");
        assert_eq!(of(r#"{"NetworkSettings":{"IPAddress":"10.88.0.2","Networks":{}}}"#), "10.88.0.2");
        assert_eq!(of("{}"), "");
    }
}

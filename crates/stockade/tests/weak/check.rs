//! One case hardened in one way, and everything that must hold of it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use confinement::{Confinement, MountSource, Subject, World};
use harden::verify::{self, Part};
use harden::{editor, kubernetes};
use serde_json::Value;
use sources::{Context, compose, gather};
use techniques::keep::Keep;
use techniques::plan::{Asked, Costs, Plan, plan};
use techniques::remedy::{Remedy, apply_all};

use crate::outcome::{Said, said};
use crate::{Folder, files_in, stockade, text, values};

/// How a case is hardened.
#[derive(Clone, Debug)]
pub(crate) struct Way {
    pub(crate) depth: u8,
    pub(crate) recommended: bool,
    pub(crate) keep: &'static [&'static str],
}

impl Way {
    pub(crate) fn all(with_daemon: bool) -> Vec<Way> {
        let way = |depth, recommended, keep| Way { depth, recommended, keep };
        let mut ways = vec![
            way(1, false, &[][..]),
            way(2, false, &[]),
            way(1, true, &[]),
            // Where a user other than root is no way out, everything else must be taken back.
            way(1, false, &["root"]),
            way(2, true, &["root"]),
        ];
        if with_daemon {
            ways.push(way(3, false, &[]));
        }
        ways
    }

    fn arguments(&self) -> Vec<String> {
        let mut arguments = vec!["--depth".to_owned(), self.depth.to_string()];
        if self.recommended {
            arguments.extend(["--level".to_owned(), "recommended".to_owned()]);
        }
        for keep in self.keep {
            arguments.extend(["--keep".to_owned(), (*keep).to_owned()]);
        }
        arguments
    }
}

/// A weak file, or several that belong together.
pub(crate) struct Case {
    from: PathBuf,
    pub(crate) name: String,
    /// What is named on the command line.
    targets: Vec<String>,
}

/// What a run came to.
pub(crate) struct Ran {
    pub(crate) subjects: Vec<Said>,
    pub(crate) faults: Vec<String>,
}

impl Case {
    pub(crate) fn new(from: &Path) -> Case {
        let name = from.file_name().unwrap().to_string_lossy().into_owned();
        let arguments = fs::read_to_string(from.join("arguments")).ok();
        let targets = match arguments {
            Some(text) => text.split_whitespace().map(str::to_owned).collect(),
            None if from.is_dir() => vec![".".to_owned()],
            None => vec![name.clone()],
        };
        Case { from: from.to_owned(), name, targets }
    }

    pub(crate) fn has_daemon(&self) -> bool {
        self.from.join("daemon.json").is_file()
    }

    fn command(&self, verb: &str, way: &Way, more: &[&str]) -> Vec<String> {
        let mut arguments = vec![verb.to_owned()];
        if verb == "harden" {
            arguments.extend(way.arguments());
        } else {
            arguments.extend(["--depth".to_owned(), way.depth.to_string()]);
        }
        arguments.extend(more.iter().map(|a| (*a).to_owned()));
        arguments.extend(self.targets.clone());
        arguments
    }

    /// The faults of a weak file of this project's own: those of any file, and that it was open.
    pub(crate) fn check(&self, way: &Way) -> Vec<String> {
        let ran = self.run(way);
        let mut faults = ran.faults;
        let is_weak = ran.subjects.iter().any(|s| s.state != "sound");
        if way.depth == 1 && !is_weak {
            faults.push("nothing is weak in it".to_owned());
        }
        faults.into_iter().map(|fault| format!("{} {way:?}: {fault}", self.name)).collect()
    }

    /// Hardens a copy, and checks all that must hold.
    pub(crate) fn run(&self, way: &Way) -> Ran {
        let folder = Folder::copy_of(&self.from);
        let call = |verb: &str, more: &[&str]| {
            let arguments = self.command(verb, way, more);
            stockade(folder.path(), &arguments.iter().map(String::as_str).collect::<Vec<_>>())
        };
        let mut faults = Vec::new();
        let before = files_in(folder.path());
        let world = self.read(folder.path());
        let planned = call("harden", &["--format", "json"]);
        let (subjects, json) = match said(&planned.stdout) {
            Ok(said) => said,
            Err(why) => {
                let fault = format!("{why}: {}", text(&planned.stderr));
                return Ran { subjects: Vec::new(), faults: vec![fault] };
            }
        };
        let due = json["files"].as_array().is_some_and(|files| !files.is_empty());
        let code = expected_code(&subjects, &json, false);
        let mut code_is = |what: &str, output: &std::process::Output, expected: i32| {
            if output.status.code() != Some(expected) {
                let code = output.status.code();
                faults.push(format!("{what} exits {code:?} and not {expected}: {}", text(&output.stderr)));
            }
        };
        code_is("showing", &planned, code);
        let shown = call("harden", &[]);
        code_is("showing as text", &shown, code);
        code_is("--check", &call("harden", &["--check"]), expected_code(&subjects, &json, due));
        if files_in(folder.path()) != before {
            faults.push("showing changed a file".to_owned());
        }
        let applied = due.then(|| self.applied(&shown.stdout));
        let mut code_is = |what: &str, output: &std::process::Output, expected: i32| {
            if output.status.code() != Some(expected) {
                let code = output.status.code();
                faults.push(format!("{what} exits {code:?} and not {expected}: {}", text(&output.stderr)));
            }
        };
        code_is("--write", &call("harden", &["--write"]), code);
        let after = files_in(folder.path());
        let again = call("harden", &["--format", "json", "--check"]);
        code_is("--check behind --write", &again, code);
        match said(&again.stdout) {
            Ok((_, json)) if json["files"] == Value::Array(Vec::new()) => {}
            Ok((_, json)) => faults.push(format!("a second run changes more: {}", json["files"])),
            Err(why) => faults.push(why),
        }
        let audit = call("audit", &["--format", "json"]);
        match applied {
            Some(Ok(files)) if files == after => {}
            Some(Ok(_)) => faults.push("git apply makes another text than --write".to_owned()),
            Some(Err(why)) => faults.push(format!("git does not take the diff: {why}")),
            None if after == before => {}
            None => faults.push("a file is written, and none was to be".to_owned()),
        }
        faults.extend(depths(&subjects, &audit.stdout, way.depth));
        faults.extend(text_stays(&before, &after, &subjects));
        faults.extend(confinements(&world, &self.read(folder.path()), &subjects, way));
        Ran { subjects, faults }
    }

    /// The files after `git apply` of what was shown.
    fn applied(&self, shown: &[u8]) -> Result<Vec<(String, Vec<u8>)>, String> {
        let folder = Folder::copy_of(&self.from);
        let mut child = Command::new("git")
            .args(["apply", "--whitespace=nowarn", "-"])
            .current_dir(folder.path())
            .stdin(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|e| e.to_string())?;
        child.stdin.take().ok_or("no input")?.write_all(shown).map_err(|e| e.to_string())?;
        let output = child.wait_with_output().map_err(|e| e.to_string())?;
        if !output.status.success() {
            return Err(text(&output.stderr));
        }
        Ok(files_in(folder.path()))
    }

    /// The case read in this process.
    fn read(&self, folder: &Path) -> World {
        let context = Context::assumed();
        let disk = gather::Disk::new();
        let names: Vec<String> = self
            .targets
            .iter()
            .filter(|t| *t != "-f")
            .map(|t| folder.join(t).to_string_lossy().into_owned())
            .collect();
        let mut world = World::default();
        if self.targets.first().is_some_and(|t| t == "-f") {
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            world.extend(compose::read(&names, &disk, &context));
        } else {
            let paths: Vec<PathBuf> = names.iter().map(PathBuf::from).collect();
            world.extend(gather::paths_on(&disk, &paths, &context));
        }
        world.follow_namespaces();
        world
    }
}

fn expected_code(subjects: &[Said], json: &Value, due: bool) -> i32 {
    let errors = json["errors"].as_array().is_some_and(|e| !e.is_empty());
    if errors || subjects.iter().any(|s| s.state == "refused") {
        return 2;
    }
    i32::from(due || subjects.iter().any(|s| s.state == "left"))
}

/// Every subject has the depth, or it was said why not.
fn depths(subjects: &[Said], audit: &[u8], depth: u8) -> Vec<String> {
    let Ok(json) = serde_json::from_slice::<Value>(audit) else { return vec!["no audit came out".into()] };
    let mut faults = Vec::new();
    for judged in json["subjects"].as_array().into_iter().flatten() {
        let id = judged["id"].as_str().unwrap_or_default();
        // No number: no path at all.
        let has = judged["depth"]["min"].as_u64().unwrap_or(u64::MAX);
        // Of an engine the file can settle only a part.
        if id.ends_with("#engine") {
            continue;
        }
        let said = subjects.iter().find(|s| s.id == id);
        let Some(said) = said else {
            faults.push(format!("{id} was not there before"));
            continue;
        };
        let excused = matches!(&*said.state, "refused" | "left")
            && said.reason.as_ref().is_some_and(|reason| reason.len() > 10);
        if has < u64::from(depth) && !excused {
            faults.push(format!("{id} has depth {has} ({})", said.state));
        }
    }
    faults
}

/// Comments, line ends and all that no remedy names are as they were, and other parsers still read it.
fn text_stays(before: &[(String, Vec<u8>)], after: &[(String, Vec<u8>)], subjects: &[Said]) -> Vec<String> {
    let mut faults = Vec::new();
    let names = |files: &[(String, Vec<u8>)]| files.iter().map(|(n, _)| n.clone()).collect::<Vec<_>>();
    if names(before) != names(after) {
        faults.push(format!("there are other files now: {:?}", names(after)));
    }
    for ((path, was), (_, is)) in before.iter().zip(after) {
        if was == is {
            continue;
        }
        let mut fault = |what: String| faults.push(format!("{path}: {what}"));
        let (was_text, is_text) = (text(was), text(is));
        let mut left = counted(&is_text);
        for (comment, count) in counted(&was_text) {
            if left.remove(&comment).unwrap_or(0) < count {
                fault(format!("the comment `{comment}` is gone"));
            }
        }
        let crlf = |text: &str| text.matches("\r\n").count() == text.matches('\n').count();
        let lf = |text: &str| !text.contains("\r\n");
        if crlf(&was_text) != crlf(&is_text) || lf(&was_text) != lf(&is_text) {
            fault("line ends changed".to_owned());
        }
        if was_text.ends_with('\n') != is_text.ends_with('\n') {
            fault("the last line break changed".to_owned());
        }
        if was_text.starts_with('\u{feff}') != is_text.starts_with('\u{feff}') {
            fault("the byte order mark changed".to_owned());
        }
        match (values::parse(path, was), values::parse(path, is)) {
            (Some(Ok(was)), Some(Ok(is))) => {
                let (was, is) = (Value::Array(was), Value::Array(is));
                for route in values::differences(&was, &is) {
                    if !is_planned(&route, subjects) {
                        fault(format!("{} differs, which is not planned", route.join(".")));
                    }
                }
            }
            (_, Some(Err(why))) => fault(format!("another parser does not read it: {why}\n{is_text}")),
            _ => {}
        }
    }
    faults
}

/// Comments by their text, with how often they stand there: from a `#` at a line's start or behind a blank, where no
/// quote is open.
fn counted(text: &str) -> BTreeMap<String, usize> {
    let mut found = BTreeMap::new();
    for line in text.lines() {
        let (mut quote, mut last) = (None, ' ');
        for (at, character) in line.char_indices() {
            match (quote, character) {
                (None, '#') if last.is_whitespace() => {
                    *found.entry(line.get(at..).unwrap_or_default().trim_end().to_owned()).or_insert(0) += 1;
                    break;
                }
                (None, '"' | '\'') if !last.is_alphanumeric() => quote = Some(character),
                (Some(open), _) if open == character => quote = None,
                _ => {}
            }
            last = character;
        }
    }
    found
}

/// The keys that a remedy is said with, in any of the forms; those of Compose first.
fn keys_of(remedy: &str) -> &'static [&'static str] {
    match remedy {
        "drop-privileged" => &["privileged"],
        "drop-capability" | "remove-added-capability" | "keep-capabilities" => {
            &["cap_add", "cap_drop", "capabilities"]
        }
        "run-as-non-root" => &["user", "runAsUser", "runAsNonRoot", "runAsGroup"],
        "no-new-privileges" => {
            &["security_opt", "allowPrivilegeEscalation", "noNewPrivileges", "no-new-privileges"]
        }
        "seccomp-default" => &["security_opt", "seccompProfile", "seccomp"],
        "lsm-default" => &["security_opt", "appArmorProfile", "seLinuxOptions", "annotations"],
        "default-paths" => &["security_opt", "procMount", "maskedPaths", "readonlyPaths"],
        "remove-mount" | "read-only-mount" | "private-propagation" => {
            &["volumes", "volumeMounts", "mounts", "initContainers", "containers"]
        }
        "private-namespace" => &[
            "pid",
            "network_mode",
            "ipc",
            "uts",
            "cgroup",
            "hostPID",
            "hostIPC",
            "hostNetwork",
            "namespaces",
        ],
        "user-namespace" => &["userns_mode", "hostUsers", "userns-remap", "namespaces", "uidMappings"],
        "remove-device" => &["devices", "volumes", "volumeMounts"],
        "remove-device-rule" => &["device_cgroup_rules", "devices"],
        "remove-control-api" => &["environment", "use_api_socket", "env"],
        "no-service-account-token" => &["automountServiceAccountToken"],
        "limit" => &["mem_limit", "cpus", "pids_limit", "resources"],
        "remove-sysctl" => &["sysctls", "sysctl"],
        "read-only-rootfs" => {
            &["read_only", "tmpfs", "readOnlyRootFilesystem", "readonly", "volumes", "volumeMounts", "mounts"]
        }
        "read-only-cgroup" => &["mounts"],
        "own-network" => &["networks"],
        "engine-client-certificates" => &["tlsverify", "hosts"],
        _ => &[],
    }
}

/// Whether some remedy is said at the route. A security context may come or go with what is in it.
fn is_planned(route: &[String], subjects: &[Said]) -> bool {
    let planned: BTreeSet<&str> =
        subjects.iter().flat_map(|s| &s.remedies).flat_map(|remedy| keys_of(remedy)).copied().collect();
    route.iter().any(|key| planned.contains(&**key) || key == "securityContext")
}

/// Confinements after are those before with the plan made, and nothing else.
fn confinements(before: &World, after: &World, said: &[Said], way: &Way) -> Vec<String> {
    let keep: Vec<Keep> = way.keep.iter().map(|k| Keep::parse(k).unwrap()).collect();
    let pinned = |remedy: &Remedy, c: &Confinement| {
        keep.iter().filter(|k| k.forbids(remedy, c)).map(|k| k.to_string().into()).collect()
    };
    let costs = Costs::new();
    let asked = Asked {
        depth: way.depth,
        alternatives: 0,
        recommended: way.recommended.then_some(keep.as_slice()),
        costs: &costs,
        pinned: &pinned,
        can: &editor::can,
    };
    let plan = plan(before, &asked);
    let mut faults = Vec::new();
    if before.subjects.len() != after.subjects.len() {
        faults.push("there are other subjects now".to_owned());
    }
    if after.problems.len() > before.problems.len() {
        faults.push(format!("there are new problems: {:?}", after.problems));
    }
    // The program reads in the same order as this.
    let states: Vec<&Said> = said.iter().collect();
    let lists: Vec<Vec<Remedy>> = plan
        .subjects
        .iter()
        .zip(&states)
        .map(|(p, said)| if said.state == "refused" { Vec::new() } else { p.remedies() })
        .collect();
    let pairs = before.subjects.iter().zip(&after.subjects);
    for ((was, is), list) in pairs.zip(&lists) {
        for part in unmeant(before, &plan, &lists, was, is, list) {
            faults.push(format!("{}: {part} is not as planned ({list:?})", was.id));
        }
    }
    faults
}

/// Parts that differ from what the remedies make of a confinement.
fn unmeant(
    world: &World,
    plan: &Plan,
    lists: &[Vec<Remedy>],
    was: &Subject,
    is: &Subject,
    list: &[Remedy],
) -> Vec<Part> {
    let is_engine = was.form == confinement::Form::Daemon;
    let engine_is_refused = world
        .subjects
        .iter()
        .zip(lists)
        .any(|(s, list)| s.form == confinement::Form::Daemon && list.is_empty());
    let mut of_engine = if engine_is_refused {
        Vec::new()
    } else {
        plan.engine_settings(world)
            .into_iter()
            .filter(|(e, r)| techniques::plan::is_reached(was, e, r))
            .map(|(_, r)| r.clone())
            .collect()
    };
    if is_engine {
        of_engine.clear();
    }
    // What a whole pod is given, each of its containers has.
    let beside = world.subjects.iter().zip(lists).filter(
        |(other, _)| matches!((&other.pod, &was.pod), (Some(a), Some(b)) if std::sync::Arc::ptr_eq(a, b)),
    );
    let mut all = list.to_vec();
    // A service that is given a user gives it to those that extend it.
    if was.confinement.identity.root.value != is.confinement.identity.root.value {
        let below = techniques::plan::extended(was, world).filter_map(|i| lists.get(i)).flatten();
        all.extend(below.filter(|r| **r == Remedy::RunAsNonRoot).cloned());
    }
    all.extend(beside.flat_map(|(_, list)| list.clone()).filter(kubernetes::is_of_pod));
    // The engine's settings first: what is then asked for is asked of that engine.
    let meant = apply_all(&all, &apply_all(&of_engine, &was.confinement));
    let has = |wanted: fn(&Remedy) -> bool| all.iter().any(wanted);
    let may_label = has(|r| {
        matches!(
            r,
            Remedy::PrivateNamespace(confinement::NamespaceKind::Pid | confinement::NamespaceKind::Ipc)
        )
    });
    let network = Remedy::PrivateNamespace(confinement::NamespaceKind::Net);
    let leaves_network = lists.iter().any(|list| list.contains(&network));
    let of_podman = has(|r| *r == Remedy::DefaultPaths)
        && was.confinement.engine.as_ref().is_some_and(|e| e.kind == confinement::EngineKind::Podman);
    verify::differences(&meant, &is.confinement)
        .into_iter()
        .filter(|part| match part {
            // A remedy sets values of its own here; that they are set is what counts.
            Part::Limits => {
                let set = |c: &Confinement| {
                    [&c.limits.memory, &c.limits.cpu, &c.limits.pids].map(|l| l.value.map(|v| v.is_some()))
                };
                set(&meant) != set(&is.confinement)
            }
            Part::Identity => meant.identity.root != is.confinement.identity.root,
            Part::Mount(target) => {
                let private = |c: &Confinement| {
                    let mut at = c.mounts.iter().filter(|m| *m.target == **target);
                    at.all(|m| matches!(m.source.get(), Some(MountSource::Private)))
                };
                !(private(&meant) && private(&is.confinement))
            }
            Part::SeLinux => !may_label,
            // Without the added ALL, a dropped ALL counts: fewer than meant, and never more.
            Part::Capabilities => {
                let (meant, is) = (&meant.capabilities.bounding, &is.confinement.capabilities.bounding);
                meant.get().zip(is.get()).is_none_or(|(meant, is)| !is.minus(*meant).is_empty())
            }
            // In the order they were written in, and the missing ones behind.
            Part::MaskedPaths => {
                let set = |c: &Confinement| {
                    c.masked_paths.get().map(|p| p.iter().cloned().collect::<BTreeSet<_>>())
                };
                set(&meant) != set(&is.confinement)
            }
            // Without a rule of its own, a runtime configuration permits runc's.
            Part::Devices if was.form == confinement::Form::Oci => {
                let rules = |c: &Confinement| c.devices.asked.len();
                rules(&meant) < rules(&is.confinement)
            }
            // Who leaves the host's network joins that of its neighbours.
            Part::Network => !leaves_network,
            Part::Engine => of_engine.is_empty() && !is_engine,
            // The engine's mounts follow the user namespace, and Podman's `unmask=ALL` is of the cgroup as well.
            Part::KernelMount | Part::Cgroup => of_engine.is_empty() && !is_engine && !of_podman,
            _ => true,
        })
        .collect()
}

//! The options of one command line, read into what they ask for.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use confinement::{ControlApi, EngineKind, Fact, Origin, Problem, Request, Restart};

use super::flags::{Flag, GLOBAL, Has, RUN, Takes};
use super::shell::Word;
use crate::options::{self, Surroundings, comma_separated, part_origin};

/// What options ask for, as far as they are no part of a [`Request`] themselves.
#[derive(Debug, Default)]
pub(crate) struct Asked {
    pub(crate) request: Request,
    pub(crate) name: Option<Word>,
    pub(crate) pod: Option<(String, Origin)>,
    pub(crate) volumes_from: Vec<(String, Origin)>,
    pub(crate) rootfs: bool,
    pub(crate) help: bool,
    pub(crate) problems: Vec<Problem>,
    /// Those whose text is known.
    pub(crate) labels: BTreeMap<Arc<str>, Arc<str>>,
    environment: Vec<(String, Option<String>, Origin)>,
    uid_maps: Vec<(String, Origin)>,
    gid_maps: Vec<(String, Origin)>,
    volume_driver: Option<String>,
    cpu_quota: Option<(u64, Origin)>,
    cpu_period: Option<u64>,
    /// Where options stand that cannot be seen.
    hidden_options: Option<Origin>,
}

/// Options before the verb that matter.
#[derive(Debug, Default)]
pub(crate) struct Global {
    /// Another engine than the local one.
    pub(crate) endpoint: Option<String>,
    pub(crate) runtime: Option<Fact<Arc<str>>>,
}

/// One option with its value. `value` is `None` for one that takes nothing and was given nothing.
pub(super) struct Given<'w> {
    pub(super) flag: &'static Flag,
    /// The word that holds the value; the option's own where it has none.
    word: &'w Word,
    pub(super) value: Option<&'w str>,
    origin: Origin,
}

pub(super) enum Next<'w> {
    Options(Vec<Given<'w>>, usize),
    /// A word that is no option, or the end: options end here.
    Stop,
    /// `--`
    End,
    UnknownOption(&'w str, usize),
    NoValue(&'static Flag),
}

/// What stands at a word, by names and values alone.
pub(crate) enum Taken {
    Options(Vec<(&'static str, Option<String>)>, usize),
    /// Options end here, this many words on.
    End(usize),
    Unknown(String),
    NoValue(&'static str),
}

/// The option at a word of the run and create verbs.
pub(crate) fn take(words: &[Word], at: usize, engine: EngineKind) -> Taken {
    match next(words, at, engine, &[RUN]) {
        Next::Options(given, used) => {
            Taken::Options(given.iter().map(|g| (g.flag.long, g.value.map(str::to_owned))).collect(), used)
        }
        Next::Stop => Taken::End(0),
        Next::End => Taken::End(1),
        Next::UnknownOption(..) => Taken::Unknown(words.get(at).map_or(String::new(), |w| w.value.clone())),
        Next::NoValue(flag) => Taken::NoValue(flag.long),
    }
}

fn lookup(
    tables: &[&'static [Flag]],
    engine: EngineKind,
    test: impl Fn(&Flag) -> bool,
) -> Option<&'static Flag> {
    let has = |flag: &Flag| match flag.has {
        Has::Both => true,
        Has::Docker => engine == EngineKind::Docker,
        Has::Podman => engine == EngineKind::Podman,
    };
    tables.iter().flat_map(|table| table.iter()).find(|flag| has(flag) && test(flag))
}

/// Reads the option at a word as spf13/pflag does: `--name value`, `--name=value`, `-n value`, `-nvalue`,
/// `-n=value`, and short ones together.
fn next<'w>(words: &'w [Word], at: usize, engine: EngineKind, tables: &[&'static [Flag]]) -> Next<'w> {
    let Some(word) = words.get(at) else { return Next::Stop };
    let text = word.value.as_str();
    if text == "--" {
        return Next::End;
    }
    if let Some(long) = text.strip_prefix("--") {
        let (name, value) = match long.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (long, None),
        };
        let Some(flag) = lookup(tables, engine, |flag| flag.long == name) else {
            // With the value in the same word there is no doubt how far it goes.
            return Next::UnknownOption(name, if value.is_some() { 1 } else { 0 });
        };
        return match (flag.takes, value) {
            (_, Some(value)) => {
                let origin = part_origin(&word.origin(), text, value);
                Next::Options(vec![Given { flag, word, value: Some(value), origin }], 1)
            }
            (Takes::Nothing, None) => {
                Next::Options(vec![Given { flag, word, value: None, origin: word.origin() }], 1)
            }
            (_, None) => match words.get(at + 1) {
                Some(next) => {
                    let value = Some(next.value.as_str());
                    Next::Options(vec![Given { flag, word: next, value, origin: next.origin() }], 2)
                }
                None => Next::NoValue(flag),
            },
        };
    }
    let Some(shorts) = text.strip_prefix('-').filter(|shorts| !shorts.is_empty()) else { return Next::Stop };
    let mut given = Vec::new();
    let mut rest = shorts;
    while let Some(letter) = rest.chars().next() {
        let after = rest.get(letter.len_utf8()..).unwrap_or("");
        let Some(flag) = lookup(tables, engine, |flag| flag.short == Some(letter)) else {
            return Next::UnknownOption(rest, 1);
        };
        if let Some(value) = after.strip_prefix('=') {
            let origin = part_origin(&word.origin(), text, value);
            given.push(Given { flag, word, value: Some(value), origin });
            return Next::Options(given, 1);
        }
        if flag.takes == Takes::Nothing {
            given.push(Given { flag, word, value: None, origin: word.origin() });
            rest = after;
            continue;
        }
        if !after.is_empty() {
            let origin = part_origin(&word.origin(), text, after);
            given.push(Given { flag, word, value: Some(after), origin });
            return Next::Options(given, 1);
        }
        return match words.get(at + 1) {
            Some(next) => {
                let value = Some(next.value.as_str());
                given.push(Given { flag, word: next, value, origin: next.origin() });
                Next::Options(given, 2)
            }
            None => Next::NoValue(flag),
        };
    }
    Next::Options(given, 1)
}

/// Options before the verb; gives how many words they are.
pub(crate) fn read_global(words: &[Word], engine: EngineKind) -> (Global, usize) {
    let mut global = Global::default();
    let mut at = 0;
    loop {
        match next(words, at, engine, &[GLOBAL]) {
            Next::Options(given, used) => {
                for option in given {
                    match (option.flag.long, option.value) {
                        ("host" | "context" | "url" | "connection", Some(value)) => {
                            global.endpoint = Some(value.to_owned());
                        }
                        ("runtime", Some(value)) => {
                            global.runtime = Some(options::text(value, option.origin));
                        }
                        _ => {}
                    }
                }
                at += used;
            }
            // An unknown option here is most likely a switch.
            Next::UnknownOption(..) => at += 1,
            // A variable where options may stand, as in `docker $TLS run`.
            Next::Stop if words.get(at).is_some_and(|word| word.is_wholly_unknown() && word.splits) => {
                at += 1
            }
            _ => return (global, at),
        }
    }
}

/// Goes through options up to the first word that is none, and hands each step with the number of its first word
/// and how many it takes to `take`; gives how many words they are together.
pub(super) fn walk<'w>(
    words: &'w [Word],
    engine: EngineKind,
    more: &'static [Flag],
    take: &mut dyn FnMut(Next<'w>, usize, usize),
) -> usize {
    let tables: &[&'static [Flag]] = &[RUN, more];
    let mut at = 0;
    loop {
        let step = next(words, at, engine, tables);
        let used = match &step {
            Next::Options(_, used) => *used,
            Next::End => {
                take(step, at, 1);
                return at + 1;
            }
            // A variable in the image's place that is more likely to hold options.
            Next::Stop if words.get(at).is_some_and(|word| holds_options(word, words.get(at + 1))) => 1,
            Next::Stop => return at,
            // Where the value would be a word of its own: taken for one if an image can still follow it.
            Next::UnknownOption(_, 0)
                if words.get(at + 1).is_some_and(|next| !next.value.starts_with('-'))
                    && words.get(at + 2).is_some() =>
            {
                2
            }
            Next::UnknownOption(..) => 1,
            Next::NoValue(_) => {
                take(step, at, words.len().saturating_sub(at));
                return words.len();
            }
        };
        take(step, at, used);
        at += used;
    }
}

/// Reads options up to the first word that is none; gives how many words they are.
pub(crate) fn read_options(
    words: &[Word],
    around: &Surroundings<'_>,
    more: &'static [Flag],
    asked: &mut Asked,
) -> usize {
    let mut hidden: Option<Origin> = None;
    let used = walk(words, around.engine, more, &mut |step, at, _| {
        let Some(word) = words.get(at) else { return };
        match step {
            Next::Options(given, _) => given.into_iter().for_each(|option| asked.option(option, around)),
            Next::Stop => {
                hidden.get_or_insert_with(|| word.origin());
            }
            Next::UnknownOption(name, used) => {
                let dashes = if used == 1 && !word.value.starts_with("--") { "-" } else { "--" };
                let engine = around.engine.name();
                let message =
                    format!("`{dashes}{name}` is not an option of `{engine} run` that is known here");
                asked.problems.push(Problem::at(&word.place, message));
                hidden.get_or_insert_with(|| word.origin());
            }
            Next::NoValue(flag) => {
                let message = format!("`--{}` has no value", flag.long);
                asked.problems.push(Problem::at(&word.place, message));
            }
            Next::End => {}
        }
    });
    if let Some(origin) = hidden {
        asked.hidden_options.get_or_insert(origin);
    }
    used
}

/// Options up to the first word that is none, as they are written, and how many words they are. `None` where one is
/// not known.
pub(super) fn written(
    words: &[Word],
    engine: EngineKind,
    table: &'static [Flag],
) -> Option<(Vec<super::Written>, usize)> {
    let mut found = Vec::new();
    let mut at = 0;
    loop {
        match next(words, at, engine, &[table]) {
            Next::Options(given, used) => {
                for option in given {
                    let long = option.flag.long;
                    match option.value {
                        Some(value) if option.flag.takes == Takes::List && engine == EngineKind::Podman => {
                            let fields = comma_separated(value).ok()?;
                            let one = |field: &Cow<'_, str>| super::Written {
                                long,
                                value: Some(field.clone().into_owned()),
                            };
                            found.extend(fields.iter().map(one));
                        }
                        // A switch that is on is written without a value.
                        Some(value) if option.flag.takes == Takes::Nothing => match options::boolean(value) {
                            Ok(true) => found.push(super::Written { long, value: None }),
                            Ok(false) => {
                                found.push(super::Written { long, value: Some("false".to_owned()) });
                            }
                            Err(_) => return None,
                        },
                        value => found.push(super::Written { long, value: value.map(str::to_owned) }),
                    }
                }
                at += used;
            }
            Next::End => return Some((found, at + 1)),
            Next::Stop => return Some((found, at)),
            Next::UnknownOption(..) | Next::NoValue(_) => return None,
        }
    }
}

/// Whether a variable whose content is not known, where options or the image may stand, is taken for options: what
/// follows it is an option, or its name says so. Inside quotes it is one word, and then rather the image.
fn holds_options(word: &Word, next: Option<&Word>) -> bool {
    if !word.is_wholly_unknown() {
        return false;
    }
    let named = word.unknown.iter().any(|name| {
        let name = name.to_ascii_uppercase();
        matches!(name.as_str(), "@" | "*")
            || ["OPT", "ARG", "FLAG", "PARAM", "EXTRA", "VOL", "ENV", "PORT", "MOUNT", "DEVICE"]
                .iter()
                .any(|part| name.contains(part))
    });
    match next {
        None => false,
        Some(next) if next.value.starts_with('-') => word.splits || named,
        Some(_) => named,
    }
}

impl Asked {
    /// Takes one option by its long name, for readers of files that name options in words of their own. Nothing
    /// happens for a name that `podman run` and `docker run` do not have.
    pub(crate) fn take(&mut self, long: &str, word: &Word, around: &Surroundings<'_>) {
        if let Some(flag) = lookup(&[RUN], around.engine, |flag| flag.long == long) {
            let value = Some(word.value.as_str());
            self.option(Given { flag, word, value, origin: word.origin() }, around);
        }
    }

    fn problem(&mut self, given: &Given<'_>, message: String) {
        let place = given.origin.place().unwrap_or(&given.word.place);
        self.problems.push(Problem::at(place, format!("--{}: {message}", given.flag.long)));
    }

    fn option(&mut self, given: Given<'_>, around: &Surroundings<'_>) {
        match given.flag.takes {
            Takes::Nothing => self.switch(&given),
            Takes::List if around.engine == EngineKind::Podman => {
                let text = given.value.unwrap_or("");
                let fields = match comma_separated(text) {
                    Ok(fields) => fields,
                    Err(message) => return self.problem(&given, message),
                };
                for field in fields {
                    let origin = match &field {
                        Cow::Borrowed(part) => part_origin(&given.origin, text, part),
                        Cow::Owned(_) => given.origin.clone(),
                    };
                    let one = Given { value: None, origin, ..given };
                    self.value(&one, &field, around);
                }
            }
            Takes::List | Takes::Value => self.value(&given, given.value.unwrap_or(""), around),
        }
    }

    fn switch(&mut self, given: &Given<'_>) {
        let fact = match given.value {
            None => Fact::known(true, given.origin.clone()),
            Some(value) => match options::known(value, given.origin.clone(), options::boolean) {
                Ok(fact) => fact,
                Err(message) => {
                    self.problem(given, message);
                    Fact::unknown(given.origin.clone())
                }
            },
        };
        let request = &mut self.request;
        match given.flag.long {
            "privileged" => request.privileged = Some(fact),
            "read-only" => request.read_only_rootfs = Some(fact),
            "no-healthcheck" => request.operation.health_check = Some(fact.map(|off| !off)),
            "rootfs" => self.rootfs = fact.value == Some(true),
            "help" => self.help = true,
            "use-api-socket" if fact.value != Some(false) => {
                request.control_apis.push(fact.map(|_| ControlApi::ApiSocket));
            }
            _ => {}
        }
    }

    fn value(&mut self, given: &Given<'_>, value: &str, around: &Surroundings<'_>) {
        let origin = &given.origin;
        let text = || options::text(value, origin.clone());
        let request = &mut self.request;
        // Where a value cannot be read, the fact it would have set is unknown, and the error is told.
        let result: Result<(), String> = match given.flag.long {
            "cap-add" => or_unknown(&mut request.cap_add, origin, options::capability(value, origin)),
            "cap-drop" => or_unknown(&mut request.cap_drop, origin, options::capability(value, origin)),
            "security-opt" => {
                let read = options::security_option(value, origin, around, request);
                if read.is_err() && request.seccomp.is_none() && value.starts_with("seccomp") {
                    request.seccomp = Some(Fact::unknown(origin.clone()));
                }
                read
            }
            "volume" => self.mount(options::volume(value, origin, around), origin),
            "mount" => self.mount(options::mount(value, origin, around), origin),
            "tmpfs" => self.mount(options::tmpfs(value, origin, around), origin),
            "label" => {
                if !value.contains(options::UNKNOWN) {
                    let (key, value) = value.split_once('=').unwrap_or((value, ""));
                    self.labels.insert(key.into(), value.into());
                }
                Ok(())
            }
            "volumes-from" => {
                self.volumes_from.push((value.to_owned(), origin.clone()));
                Ok(())
            }
            "volume-driver" => {
                self.volume_driver = Some(value.to_owned());
                Ok(())
            }
            "device" => {
                let read = options::device(value, origin, request);
                if read.is_err() {
                    request.devices.push(Fact::unknown(origin.clone()));
                }
                read
            }
            "device-cgroup-rule" => {
                or_unknown(&mut request.device_rules, origin, options::device_rule(value, origin))
            }
            "gpus" => {
                request.gpus = Some(options::gpus(value, origin));
                Ok(())
            }
            "pid" => set(&mut request.pid, origin, options::pid_namespace(value, origin, around)),
            "ipc" => set(&mut request.ipc, origin, options::ipc_namespace(value, origin, around)),
            "uts" => set(&mut request.uts, origin, options::uts_namespace(value, origin, around)),
            "cgroupns" => set(&mut request.cgroup, origin, options::cgroup_namespace(value, origin, around)),
            "userns" => set(&mut request.user_namespace, origin, options::user_namespace(value, origin)),
            "restart" => {
                request.operation.restart = Some(text().map(|policy| Restart::parse(policy)));
                Ok(())
            }
            "health-cmd" => {
                request.operation.health_check = Some(text().map(|command| &**command != "none"));
                Ok(())
            }
            "cpu-shares" => set_known(&mut request.operation.cpu_shares, origin, value, |value| {
                let number = value.parse::<u64>().map_err(|_| format!("`{value}` is not a number"))?;
                Ok(Some(number).filter(|number| *number > 0))
            }),
            "ulimit" => {
                request.operation.ulimits = Some(Fact::known(true, origin.clone()));
                Ok(())
            }
            "network" | "net" => {
                request.operation.default_bridge =
                    Some(text().map(|name| matches!(&**name, "bridge" | "default")));
                let read = options::network(value, origin, around, request);
                if read.is_err() {
                    request.net = Some(Fact::unknown(origin.clone()));
                }
                read
            }
            "uidmap" => {
                self.uid_maps.push((value.to_owned(), origin.clone()));
                Ok(())
            }
            "gidmap" => {
                self.gid_maps.push((value.to_owned(), origin.clone()));
                Ok(())
            }
            // podman-run(1): a range of /etc/subuid, a user namespace with it.
            "subuidname" | "subgidname" => {
                let private = confinement::confine::UserNamespaceRequest::Private;
                request.user_namespace = Some(Fact::known(private, origin.clone()));
                Ok(())
            }
            "user" => {
                request.user = Some(text());
                Ok(())
            }
            "group-add" => {
                // The groups of whoever calls podman.
                let group = if value == "keep-groups" { Fact::unknown(origin.clone()) } else { text() };
                request.groups.push(group);
                Ok(())
            }
            "memory" => set_known(&mut request.memory, origin, value, options::bytes),
            "cpus" => set_known(&mut request.cpu, origin, value, options::cpus),
            "pids-limit" => set_known(&mut request.pids, origin, value, options::pids),
            "cpu-quota" => {
                self.cpu_quota = value.parse::<u64>().ok().map(|quota| (quota, origin.clone()));
                Ok(())
            }
            "cpu-period" => {
                self.cpu_period = value.parse().ok();
                Ok(())
            }
            "runtime" => {
                request.runtime = Some(text());
                Ok(())
            }
            "sysctl" => options::sysctl(value, origin).map(|sysctl| request.sysctls.push(sysctl)),
            "cgroup-parent" => {
                request.cgroup_parent = Some(text());
                Ok(())
            }
            "systemd" => {
                // podman-run(1), --systemd: with `always` the cgroup file system is writable.
                if value == "always" {
                    request.cgroup_writable = Some(Fact::known(true, origin.clone()));
                }
                Ok(())
            }
            "seccomp-policy" => {
                if value != "default" {
                    request.seccomp = Some(Fact::unknown(origin.clone()));
                }
                Ok(())
            }
            "env" => {
                let (name, setting) = match value.split_once('=') {
                    Some((name, setting)) => (name, Some(setting.to_owned())),
                    None => (value, None),
                };
                self.environment.push((name.to_owned(), setting, origin.clone()));
                Ok(())
            }
            "publish" => {
                request.published.push(text());
                Ok(())
            }
            "pod" => {
                self.pod = Some((value.to_owned(), origin.clone()));
                Ok(())
            }
            // The file's content is the name; which namespaces the pod has is not known then.
            "pod-id-file" => {
                self.pod = Some((format!("@{value}"), origin.clone()));
                Ok(())
            }
            "name" => {
                let mut word = given.word.clone();
                word.value = value.to_owned();
                self.name = Some(word);
                Ok(())
            }
            _ => Ok(()),
        };
        if let Err(message) = result {
            self.problem(given, message);
        }
    }

    fn mount(&mut self, read: Result<confinement::Mount, String>, origin: &Origin) -> Result<(), String> {
        let (mount, result) = match read {
            Ok(mount) => (mount, Ok(())),
            Err(message) => (options::unread_mount(origin), Err(message)),
        };
        self.request.mounts.push(mount);
        result
    }

    /// What depends on several options together; called when all have been taken.
    pub(crate) fn finish(&mut self) {
        let request = &mut self.request;
        let (uid, gid) = (borrowed(&self.uid_maps), borrowed(&self.gid_maps));
        match options::id_maps(&uid, &gid) {
            Ok(Some(maps)) => request.user_namespace = Some(maps),
            Ok(None) => {}
            Err(message) => {
                if let Some((_, origin)) = uid.first().or(gid.first()) {
                    request.user_namespace = Some(Fact::unknown(origin.clone()));
                    if let Some(place) = origin.place() {
                        self.problems.push(Problem::at(place, format!("--uidmap, --gidmap: {message}")));
                    }
                }
            }
        }
        let request = &mut self.request;
        if let (None, Some((quota, origin))) = (&request.cpu, &self.cpu_quota)
            && *quota > 0
        {
            // The kernel's default period is 100 ms.
            let period = self.cpu_period.filter(|period| *period > 0).unwrap_or(100_000);
            request.cpu = Some(Fact::known(Some(quota.saturating_mul(1000) / period), origin.clone()));
        }
        if let Some(driver) = self.volume_driver.as_deref().filter(|driver| *driver != "local") {
            for mount in &mut request.mounts {
                if matches!(mount.source.get(), Some(confinement::MountSource::Volume(_)))
                    && let Some(content) = options::volume_content(Some(driver), [], &mount.source.origin)
                {
                    mount.source = content;
                }
            }
        }
        let environment = self
            .environment
            .iter()
            .map(|(name, setting, origin)| (name.as_str(), setting.as_deref(), origin.clone()));
        request.control_apis.extend(options::control_apis(environment));
        // Options that cannot be seen may hold anything: `--privileged`, and any mount.
        if let Some(origin) = self.hidden_options.take() {
            request.mounts.push(options::unread_mount(&origin));
            request.privileged.get_or_insert(Fact::unknown(origin));
        }
    }
}

fn borrowed(texts: &[(String, Origin)]) -> Vec<(&str, Origin)> {
    texts.iter().map(|(text, origin)| (text.as_str(), origin.clone())).collect()
}

fn or_unknown<T>(
    list: &mut Vec<Fact<T>>,
    origin: &Origin,
    read: Result<Fact<T>, String>,
) -> Result<(), String> {
    match read {
        Ok(fact) => {
            list.push(fact);
            Ok(())
        }
        Err(message) => {
            list.push(Fact::unknown(origin.clone()));
            Err(message)
        }
    }
}

fn set<T>(
    slot: &mut Option<Fact<T>>,
    origin: &Origin,
    read: Result<Option<Fact<T>>, String>,
) -> Result<(), String> {
    match read {
        Ok(fact) => {
            *slot = fact.or(slot.take());
            Ok(())
        }
        Err(message) => {
            *slot = Some(Fact::unknown(origin.clone()));
            Err(message)
        }
    }
}

fn set_known<T>(
    slot: &mut Option<Fact<T>>,
    origin: &Origin,
    value: &str,
    read: impl FnOnce(&str) -> Result<T, String>,
) -> Result<(), String> {
    let read = options::known(value, origin.clone(), read);
    set(slot, origin, read.map(Some))
}

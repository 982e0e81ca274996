//! How an engine calls an OCI runtime: `[GLOBAL OPTIONS] VERB [OPTIONS] CONTAINER`, as runc and crun take it.
//!
//! Engines agree on these words because containerd's shim, conmon and CRI-O write them for runc and crun alike
//! (opencontainers/runc main.go, create.go, run.go, exec.go, restore.go; containers/crun src/crun.c, create.c, exec.c).
//! What cannot be told apart is an error, so that the door stays shut: an option that is not known may or may not take
//! the next word, and the verb would be guessed.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt as _;
use std::path::PathBuf;

use thiserror::Error;

/// What the runtime is to do.
#[derive(Debug, PartialEq, Eq)]
pub enum Invocation {
    /// `create`, `run`, `restore`: a container is made from a bundle.
    Make {
        verb: Verb,
        /// The folder with the configuration; the working directory where none is named.
        bundle: PathBuf,
        /// `--config` of crun: the configuration's name in the bundle, `config.json` where none is named.
        config: Option<PathBuf>,
        container: OsString,
    },
    /// `exec`: a process is added to a container.
    Exec { root: Option<PathBuf>, process: Process, container: OsString },
    /// Everything that starts nothing (`state`, `kill`, `delete`, `--version`, …).
    Other,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    Create,
    Run,
    Restore,
}

impl Verb {
    pub fn name(self) -> &'static str {
        match self {
            Verb::Create => "create",
            Verb::Run => "run",
            Verb::Restore => "restore",
        }
    }
}

impl Invocation {
    /// For the record: `create web`.
    pub fn in_words(&self) -> String {
        match self {
            Invocation::Make { verb, container, .. } => {
                format!("{} {}", verb.name(), container.to_string_lossy())
            }
            Invocation::Exec { container, .. } => format!("exec {}", container.to_string_lossy()),
            Invocation::Other => String::new(),
        }
    }
}

/// What an added process is given.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Process {
    /// `--process`: a file with the `process` object of the specification. It goes before the other options.
    pub file: Option<PathBuf>,
    pub user: Option<OsString>,
    pub capabilities: Vec<OsString>,
    pub apparmor: Option<OsString>,
    pub selinux: Option<OsString>,
    pub no_new_privileges: bool,
}

impl Process {
    /// Whether the file alone says what is added.
    pub fn is_file_alone(&self) -> bool {
        *self == Process { file: self.file.clone(), ..Process::default() }
    }
}

#[derive(Debug, Error, PartialEq, Eq)]
pub enum InvocationError {
    #[error("`{option}` is no option of {after} that is known here, so what is to be started cannot be told")]
    UnknownOption { option: String, after: String },
    #[error("`{option}` wants a value")]
    NoValue { option: String },
    #[error("`{verb}` names no container")]
    NoContainer { verb: String },
}

/// Options and whether each takes a value.
type Options = &'static [(&'static str, bool)];

const GLOBAL: Options = &[
    ("--cgroup-manager", true),
    ("--criu", true),
    ("--debug", false),
    ("--help", false),
    ("-h", false),
    ("--log", true),
    ("--log-format", true),
    ("--log-level", true),
    ("--root", true),
    ("--rootless", true),
    ("--systemd-cgroup", false),
    ("--version", false),
    ("-v", false),
];

const MAKE: Options = &[
    ("--bundle", true),
    ("-b", true),
    ("--config", true),
    ("-f", true),
    ("--console-socket", true),
    ("--detach", false),
    ("-d", false),
    ("--keep", false),
    ("--no-new-keyring", false),
    ("--no-pivot", false),
    ("--no-subreaper", false),
    ("--pid-file", true),
    ("--pidfd-socket", true),
    ("--preserve-fds", true),
    // Of `restore`.
    ("--auto-dedup", false),
    ("--empty-ns", true),
    ("--ext-unix-sk", false),
    ("--file-locks", false),
    ("--image-path", true),
    ("--lazy-pages", false),
    ("--lsm-mount-context", true),
    ("--lsm-profile", true),
    ("--manage-cgroups-mode", true),
    ("--shell-job", false),
    ("--tcp-close", false),
    ("--tcp-established", false),
    ("--work-path", true),
];

const EXEC: Options = &[
    ("--additional-gids", true),
    ("-g", true),
    ("--apparmor", true),
    ("--cap", true),
    ("-c", true),
    ("--cgroup", true),
    ("--console-socket", true),
    ("--cwd", true),
    ("--detach", false),
    ("-d", false),
    ("--env", true),
    ("-e", true),
    ("--ignore-paused", false),
    ("--no-new-privs", false),
    ("--no-subreaper", false),
    ("--pid-file", true),
    ("--pidfd-socket", true),
    ("--preserve-fds", true),
    ("--process", true),
    ("-p", true),
    ("--process-label", true),
    ("--tty", false),
    ("-t", false),
    ("--user", true),
    ("-u", true),
];

/// Reads the words after the program's name.
pub fn read(arguments: &[OsString]) -> Result<Invocation, InvocationError> {
    let mut words = Words { rest: arguments };
    let mut root = None;
    while let Some((option, value)) = words.option(GLOBAL, "the runtime")? {
        if option == "--root" {
            root = value.map(PathBuf::from);
        }
        if matches!(option, "--version" | "-v" | "--help" | "-h") {
            return Ok(Invocation::Other);
        }
    }
    let Some(verb) = words.next() else { return Ok(Invocation::Other) };
    match verb.to_str() {
        Some("create") => make(Verb::Create, words),
        Some("run") => make(Verb::Run, words),
        Some("restore") => make(Verb::Restore, words),
        Some("exec") => exec(root, words),
        _ => Ok(Invocation::Other),
    }
}

/// Where the runtime is to write what goes wrong, and whether as JSON. Engines show what stands there.
pub fn log(arguments: &[OsString]) -> Option<(PathBuf, bool)> {
    let mut words = Words { rest: arguments };
    let (mut path, mut is_json) = (None, false);
    while let Ok(Some((option, value))) = words.option(GLOBAL, "the runtime") {
        match (option, value) {
            ("--log", Some(value)) => path = Some(value),
            ("--log-format", Some(value)) => is_json = value == "json",
            _ => {}
        }
    }
    // crun takes `file:PATH`, and the names of other logs, which are not written to here (src/libcrun/error.c, init_logging).
    let path = path?.as_bytes();
    let other = [&b"journald:"[..], b"syslog:"].iter().any(|scheme| path.starts_with(scheme));
    let path = path.strip_prefix(b"file:").unwrap_or(path);
    (!other && !path.is_empty()).then(|| (PathBuf::from(OsStr::from_bytes(path)), is_json))
}

fn make(verb: Verb, mut words: Words<'_>) -> Result<Invocation, InvocationError> {
    let name = verb.name();
    let mut bundle = PathBuf::from(".");
    let mut config = None;
    while let Some((option, value)) = words.option(MAKE, name)? {
        match option {
            "--bundle" | "-b" => bundle = value.map(PathBuf::from).unwrap_or(bundle),
            "--config" | "-f" => config = value.map(PathBuf::from),
            _ => {}
        }
    }
    let container = words.next().ok_or_else(|| InvocationError::NoContainer { verb: name.into() })?.clone();
    Ok(Invocation::Make { verb, bundle, config, container })
}

fn exec(root: Option<PathBuf>, mut words: Words<'_>) -> Result<Invocation, InvocationError> {
    let mut process = Process::default();
    while let Some((option, value)) = words.option(EXEC, "exec")? {
        match option {
            "--process" | "-p" => process.file = value.map(PathBuf::from),
            "--user" | "-u" => process.user = value.map(OsStr::to_owned),
            "--cap" | "-c" => process.capabilities.extend(value.map(OsStr::to_owned)),
            "--apparmor" => process.apparmor = value.map(OsStr::to_owned),
            "--process-label" => process.selinux = value.map(OsStr::to_owned),
            "--no-new-privs" => process.no_new_privileges = true,
            _ => {}
        }
    }
    let container = words.next().ok_or_else(|| InvocationError::NoContainer { verb: "exec".into() })?.clone();
    Ok(Invocation::Exec { root, process, container })
}

struct Words<'a> {
    rest: &'a [OsString],
}

impl<'a> Words<'a> {
    fn next(&mut self) -> Option<&'a OsString> {
        let (first, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(first)
    }

    /// The next option with its value; none where a word begins that is no option.
    fn option(
        &mut self,
        known: Options,
        after: &str,
    ) -> Result<Option<(&'static str, Option<&'a OsStr>)>, InvocationError> {
        let Some(word) = self.rest.first() else { return Ok(None) };
        if word == "--" {
            self.rest = &self.rest[1..];
            return Ok(None);
        }
        let bytes = word.as_bytes();
        if !bytes.starts_with(b"-") || bytes == b"-" {
            return Ok(None);
        }
        self.rest = &self.rest[1..];
        let (name, attached) = match bytes.iter().position(|b| *b == b'=') {
            Some(at) => (&bytes[..at], Some(OsStr::from_bytes(&bytes[at + 1..]))),
            None => (bytes, None),
        };
        // Go's flag packages take one dash for two where the name is a word.
        let doubled = [b"-", name].concat();
        let found = known.iter().find(|(option, _)| {
            option.as_bytes() == name || (name.len() > 2 && option.as_bytes() == doubled)
        });
        let Some((option, takes_value)) = found else {
            let option = String::from_utf8_lossy(bytes).into_owned();
            return Err(InvocationError::UnknownOption { option, after: after.into() });
        };
        if !takes_value {
            // `--version=false` would be no `--version`.
            if attached.is_some_and(|value| value != "true") {
                let option = String::from_utf8_lossy(bytes).into_owned();
                return Err(InvocationError::UnknownOption { option, after: after.into() });
            }
            return Ok(Some((option, None)));
        }
        let value = match attached {
            Some(value) => value,
            None => self.next().ok_or_else(|| InvocationError::NoValue { option: (*option).into() })?,
        };
        Ok(Some((option, Some(value))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<OsString> {
        line.split(' ').map(OsString::from).collect()
    }
    fn made(line: &str) -> (PathBuf, OsString) {
        match read(&words(line)) {
            Ok(Invocation::Make { bundle, container, .. }) => (bundle, container),
            other => panic!("{line}: {other:?}"),
        }
    }

    #[test]
    fn what_containerd_conmon_and_cri_o_write_is_understood() {
        let containerd = "--root /run/runc/moby --log /b/log.json --log-format json --systemd-cgroup create --bundle /b --pid-file /b/init.pid --console-socket /tmp/s abc";
        assert_eq!(made(containerd), ("/b".into(), "abc".into()));
        let conmon = "--log-format=json --log=/l create --bundle /b --pid-file /p --no-new-keyring abc";
        assert_eq!(made(conmon), ("/b".into(), "abc".into()));
        assert_eq!(made("--cgroup-manager cgroupfs run -b /b -d abc"), ("/b".into(), "abc".into()));
        assert_eq!(made("run abc"), (".".into(), "abc".into()));
    }

    #[test]
    fn an_added_process_is_told_with_what_it_is_given() {
        let line = "--root /r exec --process /p.json --detach --pid-file /pid abc";
        let Ok(Invocation::Exec { root, process, container }) = read(&words(line)) else { panic!("{line}") };
        assert_eq!((root, container), (Some("/r".into()), OsString::from("abc")));
        assert_eq!(process.file, Some("/p.json".into()));
        let line = "exec -u 0 --cap CAP_SYS_ADMIN --cap=CAP_NET_ADMIN abc sh --cap X";
        let Ok(Invocation::Exec { process, .. }) = read(&words(line)) else { panic!("{line}") };
        assert_eq!(process.user, Some("0".into()));
        assert_eq!(process.capabilities, ["CAP_SYS_ADMIN", "CAP_NET_ADMIN"]);
    }

    #[test]
    fn what_starts_nothing_passes() {
        for line in
            ["--version", "--root /r state abc", "kill abc 9", "delete --force abc", "--log create features"]
        {
            assert_eq!(read(&words(line)), Ok(Invocation::Other), "{line}");
        }
    }

    #[test]
    fn an_unknown_option_before_what_is_started_is_refused() {
        for line in
            ["--new-option x create --bundle /b abc", "create --new-option /b abc", "exec --as-root abc sh"]
        {
            assert!(matches!(read(&words(line)), Err(InvocationError::UnknownOption { .. })), "{line}");
        }
        assert!(matches!(read(&words("create --bundle")), Err(InvocationError::NoValue { .. })));
        assert!(matches!(read(&words("create --bundle /b")), Err(InvocationError::NoContainer { .. })));
    }

    #[test]
    fn a_switch_that_is_turned_off_is_not_taken_for_one_that_is_on() {
        for line in ["--version=false create --bundle /b abc", "exec --no-new-privs=false abc sh"] {
            assert!(matches!(read(&words(line)), Err(InvocationError::UnknownOption { .. })), "{line}");
        }
        assert_eq!(made("--debug=true create --bundle /b abc").1, "abc");
    }

    #[test]
    fn the_log_is_found_whatever_is_asked_and_even_where_that_is_not_understood() {
        let json = Some((PathBuf::from("/l"), true));
        assert_eq!(log(&words("--log-format=json --log /l create --bundle /b abc")), json);
        assert_eq!(log(&words("--log file:/l --log-format json --what create")), json);
        assert_eq!(log(&words("--log /l exec abc")), Some(("/l".into(), false)));
        for line in ["--log syslog:x create", "--log= create", "create --log /l"] {
            assert_eq!(log(&words(line)), None, "{line}");
        }
    }

    #[test]
    fn one_dash_is_as_good_as_two_for_a_word() {
        assert_eq!(made("-root /r create -bundle /b abc"), ("/b".into(), "abc".into()));
    }
}

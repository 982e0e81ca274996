//! What a program's own words say of the kernel's refusals: lines with EPERM, EACCES or EROFS in them, and the paths
//! they name. Error texts are those of strerror(3) in glibc and musl, of Go and of Java; programs that print the number
//! (nginx: `(13: Permission denied)`) print the text too.

use confinement::{Capability, CapabilitySet};
use serde::{Deserialize, Serialize};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Errno {
    #[serde(rename = "EPERM")]
    NotPermitted,
    #[serde(rename = "EACCES")]
    Denied,
    #[serde(rename = "EROFS")]
    ReadOnly,
}

/// Lower case, as lines are compared.
const TEXTS: &[(&str, Errno)] = &[
    ("operation not permitted", Errno::NotPermitted),
    ("eperm", Errno::NotPermitted),
    ("permission denied", Errno::Denied),
    ("eacces", Errno::Denied),
    ("accessdeniedexception", Errno::Denied),
    ("read-only file system", Errno::ReadOnly),
    ("read-only filesystem", Errno::ReadOnly),
    ("readonlyfilesystemexception", Errno::ReadOnly),
    ("erofs", Errno::ReadOnly),
];

impl Errno {
    pub fn name(self) -> &'static str {
        match self {
            Errno::NotPermitted => "EPERM",
            Errno::Denied => "EACCES",
            Errno::ReadOnly => "EROFS",
        }
    }
}

/// A line that tells of a refusal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Denial {
    pub errno: Errno,
    /// The first absolute path of the line, where it names one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    pub line: String,
}

/// Lines are kept at most this long, in characters.
const LONGEST_LINE: usize = 300;

/// The refusals among lines of a log, each text once.
pub fn denials<'a>(lines: impl IntoIterator<Item = &'a str>) -> Vec<Denial> {
    let mut found: Vec<Denial> = Vec::new();
    for line in lines {
        let lower = line.to_lowercase();
        let Some((_, errno)) = TEXTS.iter().find(|(text, _)| lower.contains(text)) else { continue };
        let denial = Denial { errno: *errno, path: path_in(line), line: printable(line) };
        if !found.iter().any(|known| known.errno == denial.errno && known.line == denial.line) {
            found.push(denial);
        }
    }
    found
}

/// What a refused action is called in messages, and the capability that permits it (capabilities(7)). Hints of what to
/// try first: runs decide.
const ACTIONS: &[(&[&str], &[Capability])] = &[
    (&["chown", "ownership"], &[Capability::CHOWN]),
    (&["setgid", "setgroups", "initgroups", "setregid", "setresgid"], &[Capability::SETGID]),
    (&["setuid", "seteuid", "setreuid", "setresuid"], &[Capability::SETUID]),
    // gosu and su-exec name the user alone.
    (
        &["switching to", "switch user", "change user", "drop privileges"],
        &[Capability::SETGID, Capability::SETUID],
    ),
    (&["bind"], &[Capability::NET_BIND_SERVICE]),
    (&["chmod", "permissions of", "utime", "timestamps"], &[Capability::FOWNER]),
    (&["kill"], &[Capability::KILL]),
    (&["chroot"], &[Capability::SYS_CHROOT]),
    (&["mknod"], &[Capability::MKNOD]),
    (&["setcap"], &[Capability::SETFCAP]),
    (&["setpcap", "bounding", "capset", "capabilities"], &[Capability::SETPCAP]),
    (&["nice", "setpriority", "setscheduler"], &[Capability::SYS_NICE]),
    (&["mlock"], &[Capability::IPC_LOCK]),
    (&["rlimit"], &[Capability::SYS_RESOURCE]),
    (&["raw socket", "icmp"], &[Capability::NET_RAW]),
    (&["iptables", "nftables", "netlink"], &[Capability::NET_ADMIN]),
    (&["mount"], &[Capability::SYS_ADMIN]),
];

/// Capabilities that refusals point to. A file that root may not open points to those that override its mode.
pub fn hints(denials: &[Denial]) -> CapabilitySet {
    let mut set = CapabilitySet::EMPTY;
    for denial in denials.iter().filter(|denial| denial.errno != Errno::ReadOnly) {
        let line = denial.line.to_lowercase();
        let named = ACTIONS.iter().filter(|(words, _)| words.iter().any(|word| line.contains(word)));
        for capability in named.flat_map(|(_, capabilities)| capabilities.iter()) {
            set = set.with(*capability);
        }
        if denial.errno == Errno::Denied {
            set = set.with(Capability::DAC_OVERRIDE);
        }
    }
    set
}

/// The first absolute path in a line: between quotes, or up to a blank or a mark that ends a clause.
fn path_in(line: &str) -> Option<String> {
    let mut before = ' ';
    for (at, character) in line.char_indices() {
        if character == '/' && (before.is_whitespace() || "\"'`‘“(=:[<".contains(before)) {
            let rest = line.get(at..).unwrap_or("");
            let quote = match before {
                '"' | '\'' | '`' => Some(before),
                '‘' => Some('’'),
                '“' => Some('”'),
                _ => None,
            };
            let end = rest.find(|c: char| match quote {
                Some(quote) => c == quote,
                None => c.is_whitespace() || "\"'’,;:()[]<>".contains(c),
            });
            let path = rest.get(..end.unwrap_or(rest.len())).unwrap_or(rest).trim_end_matches('.');
            if path.len() > 1 && !path.starts_with("//") {
                return Some(path.to_owned());
            }
        }
        before = character;
    }
    None
}

/// A line as it may be shown on a terminal, bounded.
pub fn printable(line: &str) -> String {
    line.chars().filter(|c| !c.is_control() || *c == '\t').take(LONGEST_LINE).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_are_found_with_the_paths_they_name() {
        let lines = [
            r#"nginx: [emerg] open() "/run/nginx.pid" failed (30: Read-only file system)"#,
            "chown: changing ownership of '/data': Operation not permitted",
            "mkdir: cannot create directory ‘/var/lib/x’: Permission denied",
            "open /var/log/app.log: read-only file system",
            "FATAL:  could not create lock file \"/var/run/postgresql/.s.PGSQL.5432.lock\": Read-only file system",
            "failed switching to \"redis\": operation not permitted",
            "all is well at /run",
        ];
        let found = denials(lines);
        let short: Vec<_> = found.iter().map(|d| (d.errno.name(), d.path.as_deref())).collect();
        let expected = [
            ("EROFS", Some("/run/nginx.pid")),
            ("EPERM", Some("/data")),
            ("EACCES", Some("/var/lib/x")),
            ("EROFS", Some("/var/log/app.log")),
            ("EROFS", Some("/var/run/postgresql/.s.PGSQL.5432.lock")),
            ("EPERM", None),
        ];
        assert_eq!(short, expected);
    }

    #[test]
    fn refusals_point_to_capabilities() {
        let set = |line: &str| hints(&denials([line])).iter().map(Capability::name).collect::<Vec<_>>();
        assert_eq!(set("chown: changing ownership of '/d': Operation not permitted"), ["CHOWN"]);
        assert_eq!(set("error: failed switching to \"x\": operation not permitted"), ["SETGID", "SETUID"]);
        assert_eq!(set("setgid(101) failed (1: Operation not permitted)"), ["SETGID"]);
        assert_eq!(set("open /d/x: permission denied"), ["DAC_OVERRIDE"]);
        assert!(set("chown: Read-only file system").is_empty());
    }

    #[test]
    fn what_a_container_prints_does_not_reach_a_terminal_raw() {
        let found = denials(["\u{1b}[31mpermission denied\u{7}"]);
        assert_eq!(found[0].line, "[31mpermission denied");
    }
}

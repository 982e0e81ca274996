//! Rules of the kernel's audit subsystem as they stand in `/etc/audit` (audit.rules(7), auditctl(8)). What somebody
//! loaded by hand and wrote nowhere is gone after a restart, and is not seen here.

use std::path::Path;

use confinement::HostPath;
use serde::{Deserialize, Serialize};

use crate::process::files::read_text;

/// A rule that watches a path.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct AuditRule {
    pub path: String,
    /// Whether it holds for all below the path too.
    pub below: bool,
    pub file: String,
    pub line: u32,
}

/// As augenrules(8) and auditctl -R read them; `None` where a file is there that cannot be read.
pub(super) fn read(folder: &Path) -> Option<Vec<AuditRule>> {
    let mut files = vec![folder.join("audit.rules")];
    match std::fs::read_dir(folder.join("rules.d")) {
        Ok(entries) => {
            let mut more: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
            more.retain(|path| path.extension().is_some_and(|end| end == "rules"));
            more.sort();
            files.extend(more);
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(_) => return None,
    }
    let mut rules = Vec::new();
    for file in files {
        match read_text(&file) {
            Ok(text) => rules.extend(parse(&text, &file.to_string_lossy())),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(_) => return None,
        }
    }
    Some(rules)
}

fn parse(text: &str, file: &str) -> Vec<AuditRule> {
    let mut rules: Vec<AuditRule> = Vec::new();
    for (at, line) in text.lines().enumerate() {
        let words: Vec<&str> = line.split_whitespace().collect();
        let number = u32::try_from(at + 1).unwrap_or(u32::MAX);
        let mut rule = |path: &str, below| {
            let path = path.trim_matches(['"', '\'']).to_owned();
            rules.push(AuditRule { path, below, file: file.to_owned(), line: number });
        };
        match words.first().copied() {
            // `-w` watches a folder with all below it (auditctl(8)).
            Some("-w") => {
                if let Some(path) = words.get(1) {
                    rule(path, true);
                }
            }
            Some("-a" | "-A") if words.get(1).is_some_and(|w| w.split(',').any(|part| part == "always")) => {
                for field in words.iter().filter_map(|word| word.split_once('=')) {
                    match field {
                        ("path", path) => rule(path, false),
                        ("dir", path) => rule(path, true),
                        _ => {}
                    }
                }
            }
            // What stands before is deleted.
            Some("-D") => rules.clear(),
            Some("-W") => {
                if let Some(path) = words.get(1) {
                    rules.retain(|rule| rule.path != **path);
                }
            }
            _ => {}
        }
    }
    rules
}

/// The rule that watches a path, if one does. A rule on a folder itself sees what happens to the folder's entries.
pub fn watched<'r>(rules: &'r [AuditRule], path: &str) -> Option<&'r AuditRule> {
    let path = HostPath::new(path);
    rules.iter().find(|rule| {
        let watched = HostPath::new(&rule.path);
        watched == path || rule.below && watched.shows(path.as_str())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_is_read_in_both_forms_and_a_comment_is_none() {
        let text = "# -w /etc/docker -k docker\n-D\n-b 8192\n-w /usr/bin/dockerd -p rwxa -k docker\n\
                    -a always,exit -F path=/run/containerd -F perm=war -k docker\n\
                    -a always,exit -F dir=/var/lib/docker -F perm=war\n-a never,exit -F path=/etc/docker\n";
        let rules = parse(text, "audit.rules");
        assert_eq!(watched(&rules, "/usr/bin/dockerd").map(|r| r.line), Some(4));
        assert_eq!(watched(&rules, "/var/run/containerd").map(|r| r.line), Some(5));
        assert!(watched(&rules, "/run/containerd/containerd.sock").is_none(), "path= is the one file");
        assert!(watched(&rules, "/var/lib/docker/volumes").is_some());
        assert!(watched(&rules, "/etc/docker").is_none());
    }

    #[test]
    fn a_watch_on_a_folder_holds_for_what_is_in_it_and_one_on_a_longer_name_does_not() {
        let rules = parse("-w /etc/docker/ -k docker\n-w /usr/bin/containerd-shim\n", "x");
        assert!(watched(&rules, "/etc/docker/daemon.json").is_some());
        assert!(watched(&rules, "/usr/bin/containerd").is_none());
        assert!(parse("-w /etc/docker\n-W /etc/docker\n", "x").is_empty());
        assert!(parse("-w\n-a\n-a always,exit\n", "x").is_empty());
    }
}

//! Keys that runc reads and a reader by exact names does not. Go's `encoding/json` finds a field by its name with letters
//! folded where none has it exactly (`fold.go`: ASCII case, U+017F as s, U+212A as k), crun by exact names alone; a
//! client of containerd may hand in any bytes as the configuration. So a key that is a known one but for its letters'
//! case is refused instead of being read one way here and another way there.

use sources::document::Node;

/// Every key of the runtime specification's config.json on Linux (opencontainers/runtime-spec, specs-go/config.go).
const KEYS: &[&str] = &[
    "access",
    "additionalGids",
    "allow",
    "ambient",
    "annotations",
    "apparmorProfile",
    "architectures",
    "args",
    "blockIO",
    "bounding",
    "burst",
    "cgroupsPath",
    "capabilities",
    "checkBeforeUpdate",
    "class",
    "classID",
    "closID",
    "commandLine",
    "consoleSize",
    "containerEdits",
    "containerID",
    "cpu",
    "cpus",
    "createContainer",
    "createRuntime",
    "cwd",
    "defaultAction",
    "defaultErrnoRet",
    "destination",
    "devices",
    "disableOOMKiller",
    "domain",
    "domainname",
    "effective",
    "enableCMT",
    "enableMBM",
    "enableMonitoring",
    "env",
    "errnoRet",
    "execCPUAffinity",
    "fileMode",
    "final",
    "flags",
    "gid",
    "gidMappings",
    "hard",
    "height",
    "hooks",
    "hostID",
    "hostname",
    "hugepageLimits",
    "idle",
    "index",
    "inheritable",
    "initial",
    "intelRdt",
    "ioPriority",
    "kernel",
    "kernelTCP",
    "l3CacheSchema",
    "leafWeight",
    "limit",
    "limitInBytes",
    "linux",
    "listenerMetadata",
    "listenerPath",
    "major",
    "maskedPaths",
    "memBwSchema",
    "memory",
    "memoryPolicy",
    "mems",
    "minor",
    "mode",
    "mountLabel",
    "mounts",
    "name",
    "names",
    "namespaces",
    "netDevices",
    "network",
    "nice",
    "noNewPrivileges",
    "nodes",
    "ociVersion",
    "oomScoreAdj",
    "op",
    "options",
    "pageSize",
    "path",
    "period",
    "permitted",
    "personality",
    "pids",
    "poststart",
    "poststop",
    "prestart",
    "priorities",
    "priority",
    "process",
    "quota",
    "rate",
    "rdma",
    "readonly",
    "readonlyPaths",
    "realtimePeriod",
    "realtimeRuntime",
    "reservation",
    "resources",
    "rlimits",
    "root",
    "rootfsPropagation",
    "runtime",
    "schemata",
    "scheduler",
    "seccomp",
    "selinuxLabel",
    "shares",
    "size",
    "soft",
    "source",
    "startContainer",
    "swap",
    "swappiness",
    "syscalls",
    "sysctl",
    "terminal",
    "throttleReadBpsDevice",
    "throttleReadIOPSDevice",
    "throttleWriteBpsDevice",
    "throttleWriteIOPSDevice",
    "timeOffsets",
    "timeout",
    "type",
    "uid",
    "uidMappings",
    "umask",
    "unified",
    "useHierarchy",
    "user",
    "username",
    "value",
    "valueTwo",
    "weight",
    "weightDevice",
    "width",
];

/// Members of these are named by whoever writes them; their names are never folded (maps in Go).
const MAPS: &[&str] = &["annotations", "sysctl", "unified", "rdma", "netDevices", "timeOffsets"];

/// The first key that is read differently, as a place and what to do.
pub(super) fn first(root: &Node) -> Option<(Node, String)> {
    let mut open = vec![(root.clone(), false)];
    while let Some((node, is_map)) = open.pop() {
        for (key, value) in node.entries() {
            let Some(name) = key.as_str() else { continue };
            if !is_map
                && !KEYS.contains(&name)
                && let Some(known) = KEYS.iter().find(|known| folds_to(name, known))
            {
                let message =
                    format!("the key `{name}` is `{known}` to runc and nothing to crun; write `{known}`");
                return Some((key.clone(), message));
            }
            let is_map = MAPS.contains(&name);
            open.push((value, is_map));
        }
        open.extend(node.items().map(|item| (item, false)));
    }
    None
}

fn folds_to(name: &str, known: &str) -> bool {
    let fold = |c: char| match c {
        '\u{17F}' => 's',
        '\u{212A}' => 'k',
        c => c.to_ascii_lowercase(),
    };
    name.chars().map(fold).eq(known.chars().map(fold))
}

#[cfg(test)]
mod tests {
    use sources::document::{Limits, parse_json};

    use super::*;

    fn ask(text: &str) -> Option<String> {
        let document = parse_json(text, &"config.json".into(), &Limits::default()).unwrap();
        first(&document.root).map(|(_, message)| message)
    }

    #[test]
    fn a_key_that_only_gos_folding_makes_a_known_one_is_told() {
        for text in [
            r#"{"Process": {}}"#,
            r#"{"process": {"noNewPrivilege\u017f": true}}"#,
            r#"{"hoo\u212as": {}}"#,
            r#"{"mounts": [{"Source": "/"}]}"#,
            r#"{"linux": {"resources": {"unified": {"Memory.max": "1"}, "Devices": []}}}"#,
        ] {
            assert!(ask(text).is_some(), "{text}");
        }
    }

    #[test]
    fn exact_keys_unknown_ones_and_names_that_are_the_writers_own_pass() {
        for text in [
            r#"{"process": {"args": ["Process"]}, "x-own": {"y": 1}}"#,
            r#"{"annotations": {"Process": "x"}, "linux": {"sysctl": {"Memory": "1"}}}"#,
        ] {
            assert_eq!(ask(text), None, "{text}");
        }
    }
}

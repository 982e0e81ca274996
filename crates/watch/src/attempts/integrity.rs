//! Periodic checks of what no event tells: a change of the kernel by somebody who is already in it. Each compares two
//! places where the kernel says the same thing, or a value with what it was when the watch began.
//!
//! Data comes from /proc and /sys of the host; what is found goes through the table of detectors like an event.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::{Path, PathBuf};

use sensor::event::{Actor, Entry, Event, Lane, What};
use serde::Deserialize;

/// No file read here is longer: kallsyms of a large kernel has 20 MB.
const LONGEST: u64 = 64 << 20;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Check {
    /// A module that one list of the kernel has and `/proc/modules` has not.
    HiddenModule,
    /// A program that the kernel runs by itself was changed, whoever did it and however.
    HelperChanged,
    /// The kernel calls itself tainted by a module that is forced, unsigned or from outside its tree, since the start.
    Taint,
}

impl Check {
    pub const ALL: [Check; 3] = [Check::HiddenModule, Check::HelperChanged, Check::Taint];

    pub fn name(self) -> &'static str {
        match self {
            Check::HiddenModule => "check of modules",
            Check::HelperChanged => "check of helper programs",
            Check::Taint => "check of the taint flags",
        }
    }
}

/// What a check found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Observation {
    pub check: Check,
    pub object: String,
}

impl Observation {
    /// As an event of the kernel's own, found by comparing.
    pub(super) fn event(&self, time: u64) -> Event {
        Event {
            time,
            lane: Lane::Rare,
            cpu: 0,
            actor: Actor::default(),
            count: 1,
            entry: Entry::Kernel,
            result: 0,
            what: What::RareCall { call: self.check.name().to_owned(), arguments: [0; 3] },
        }
    }
}

/// The checks with what they remember.
#[derive(Debug)]
pub struct Integrity {
    root: PathBuf,
    helpers: BTreeMap<&'static str, String>,
    taint: Option<u64>,
    /// Modules that were missing from `/proc/modules` once: told when they are missing twice, as loading and unloading
    /// pass through states in which the lists differ.
    suspects: BTreeSet<String>,
}

/// Programs that the kernel runs as root, by the file that names them (core(5), `kernel/module/kmod.c`,
/// `lib/kobject_uevent.c`).
const HELPERS: [&str; 4] = [
    "proc/sys/kernel/core_pattern",
    "proc/sys/kernel/modprobe",
    "proc/sys/kernel/hotplug",
    "sys/kernel/uevent_helper",
];

/// Flags of `/proc/sys/kernel/tainted` that a module sets: forced, from outside the tree, unsigned
/// (`Documentation/admin-guide/tainted-kernels.rst`).
const MODULE_TAINTS: [(u64, &str); 3] = [
    (1 << 1, "a module was forced"),
    (1 << 12, "a module from outside the kernel's tree"),
    (1 << 13, "an unsigned module"),
];

impl Integrity {
    /// Remembers what is so now. `root` is where the host's /proc and /sys are: `/`, or a folder in tests.
    pub fn new(root: &Path) -> Integrity {
        let mut integrity = Integrity {
            root: root.to_owned(),
            helpers: BTreeMap::new(),
            taint: None,
            suspects: BTreeSet::new(),
        };
        integrity.taint = integrity.read_taint();
        for name in HELPERS {
            if let Some(value) = integrity.read(name) {
                integrity.helpers.insert(name, value);
            }
        }
        integrity
    }

    /// Everything that differs now. What cannot be read is not judged.
    pub fn run(&mut self) -> Vec<Observation> {
        let mut found = Vec::new();
        self.hidden_modules(&mut found);
        self.changed_helpers(&mut found);
        self.new_taints(&mut found);
        found
    }

    fn hidden_modules(&mut self, found: &mut Vec<Observation>) {
        let Some(listed) = self.read("proc/modules") else { return };
        // Read before the other lists: a module that comes in between is missing once at most.
        let listed: BTreeSet<&str> = listed.lines().filter_map(|line| line.split(' ').next()).collect();
        let mut missing: BTreeSet<String> =
            self.loaded().into_iter().filter(|m| !listed.contains(m.as_str())).collect();
        missing.extend(self.in_symbols().into_iter().filter(|m| !listed.contains(m.as_str())));
        for module in &missing {
            if self.suspects.contains(module) {
                let object = format!("module {module}, which /proc/modules does not list");
                found.push(Observation { check: Check::HiddenModule, object });
            }
        }
        self.suspects = missing;
    }

    /// Modules with a state in /sys/module; those built into the kernel have none (`kernel/module/sysfs.c`).
    fn loaded(&self) -> Vec<String> {
        let Ok(entries) = fs::read_dir(self.root.join("sys/module")) else { return Vec::new() };
        let live = |entry: &fs::DirEntry| {
            fs::read_to_string(entry.path().join("initstate")).is_ok_and(|state| state.trim() == "live")
        };
        entries.flatten().filter(live).map(|e| e.file_name().to_string_lossy().into_owned()).collect()
    }

    /// Modules that own a symbol: `ffffffffc0000000 t name [module]`. Programs of BPF stand there as `[bpf]`, and
    /// what ftrace and kprobes made under names that begin with two underscores.
    fn in_symbols(&self) -> BTreeSet<String> {
        let mut modules: BTreeSet<String> = BTreeSet::new();
        let Ok(file) = fs::File::open(self.root.join("proc/kallsyms")) else { return modules };
        for line in BufReader::new(file.take(LONGEST)).lines().map_while(Result::ok) {
            let Some(module) = line.rsplit_once('[').and_then(|(_, end)| end.strip_suffix(']')) else {
                continue;
            };
            if module != "bpf" && !module.starts_with("__") && !modules.contains(module) {
                modules.insert(module.to_owned());
            }
        }
        modules
    }

    fn changed_helpers(&mut self, found: &mut Vec<Observation>) {
        for name in HELPERS {
            let Some(value) = self.read(name) else { continue };
            let before = self.helpers.insert(name, value.clone());
            if let Some(before) = before.filter(|before| *before != value) {
                let object = format!("/{name}: `{}`, before `{}`", value.trim(), before.trim());
                found.push(Observation { check: Check::HelperChanged, object });
            }
        }
    }

    fn new_taints(&mut self, found: &mut Vec<Observation>) {
        let Some(now) = self.read_taint() else { return };
        let before = self.taint.replace(now).unwrap_or(now);
        for (flag, says) in MODULE_TAINTS {
            if now & !before & flag != 0 {
                found.push(Observation { check: Check::Taint, object: says.to_owned() });
            }
        }
    }

    fn read_taint(&self) -> Option<u64> {
        self.read("proc/sys/kernel/tainted")?.trim().parse().ok()
    }

    fn read(&self, name: &str) -> Option<String> {
        let mut text = String::new();
        fs::File::open(self.root.join(name)).ok()?.take(LONGEST).read_to_string(&mut text).ok()?;
        Some(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Host(tempfile::TempDir);

    impl Host {
        fn new() -> Host {
            let host = Host(tempfile::tempdir().expect("a folder"));
            host.set("proc/modules", "overlay 151552 0 - Live 0x0\n");
            host.set(
                "proc/kallsyms",
                "0 T start\n0 t ovl_init\t[overlay]\n0 t bpf_prog_1\t[bpf]\n0 t x\t[__builtin__ftrace]\n",
            );
            host.set("sys/module/overlay/initstate", "live\n");
            host.set("sys/module/kernel/parameters/x", "1\n");
            host.set("proc/sys/kernel/core_pattern", "core\n");
            host.set("proc/sys/kernel/tainted", "0\n");
            host
        }
        fn set(&self, name: &str, text: &str) {
            let path = self.0.path().join(name);
            fs::create_dir_all(path.parent().expect("below")).expect("a folder");
            fs::write(path, text).expect("written");
        }
    }

    #[test]
    fn a_sound_kernel_is_quiet() {
        let host = Host::new();
        let mut integrity = Integrity::new(host.0.path());
        assert!(integrity.run().is_empty() && integrity.run().is_empty());
    }

    #[test]
    fn a_module_that_hides_from_the_list_is_found_in_the_symbols_or_in_sysfs_the_second_time() {
        for (file, text) in [("proc/kallsyms", "0 t hook\t[shy]\n"), ("sys/module/shy/initstate", "live\n")] {
            let host = Host::new();
            host.set(file, text);
            let mut integrity = Integrity::new(host.0.path());
            assert!(integrity.run().is_empty(), "loading looks the same once");
            let found = integrity.run();
            assert_eq!(found.len(), 1, "{found:?}");
            assert!(found[0].object.contains("shy") && found[0].check == Check::HiddenModule);
        }
    }

    #[test]
    fn a_module_that_is_being_loaded_or_is_built_in_is_not_hidden() {
        let host = Host::new();
        host.set("sys/module/slow/initstate", "coming\n");
        let mut integrity = Integrity::new(host.0.path());
        assert!(integrity.run().is_empty() && integrity.run().is_empty());
    }

    #[test]
    fn another_core_pattern_is_told_once_with_both_values() {
        let host = Host::new();
        let mut integrity = Integrity::new(host.0.path());
        host.set("proc/sys/kernel/core_pattern", "|/tmp/x\n");
        let found = integrity.run();
        assert_eq!(found.len(), 1);
        assert!(
            found[0].object.contains("|/tmp/x") && found[0].object.contains("`core`"),
            "{}",
            found[0].object
        );
        assert!(integrity.run().is_empty());
    }

    #[test]
    fn a_taint_by_a_module_is_told_and_one_of_another_kind_is_not() {
        let host = Host::new();
        let mut integrity = Integrity::new(host.0.path());
        host.set("proc/sys/kernel/tainted", "512\n");
        assert!(integrity.run().is_empty(), "a warning of the kernel");
        host.set("proc/sys/kernel/tainted", "8704\n");
        assert_eq!(integrity.run().len(), 1);
    }

    #[test]
    fn what_cannot_be_read_is_not_judged() {
        let empty = tempfile::tempdir().expect("a folder");
        assert!(Integrity::new(empty.path()).run().is_empty());
    }

    #[test]
    fn this_machine_hides_nothing() {
        let mut integrity = Integrity::new(Path::new("/"));
        integrity.run();
        let found: Vec<_> = integrity.run().into_iter().filter(|o| o.check == Check::HiddenModule).collect();
        assert!(found.is_empty(), "{found:?}");
    }
}

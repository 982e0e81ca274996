//! Rule files in, rules out. Entries are taken in the order of the files: a later one replaces, appends to or overrides
//! an earlier one of the same name, as Falco's loader has it (falcosecurity/falco, `userspace/engine/rule_loader_*`).
//! Unlike it, the loader does not stop at the first error: what is broken is told with its place, the rest is loaded.

mod entry;
mod exception;
mod finish;
mod source;
mod version;

use std::collections::{BTreeSet, HashMap};
use std::path::Path;
use std::sync::Arc;

use crate::document::{self, File, Value};
use crate::graph::{Class, Graph};
use crate::output::Template;
use crate::problem::{Problem, Severity};
use crate::types::TypeSet;

use exception::Exception;
use source::{Place, Sources, Text};
pub use version::Version;

/// The engine whose language this is: what `required_engine_version` is compared with. 0.63 matches the bytes of fields
/// and knows `\xHH`.
pub const ENGINE_VERSION: Version = Version { major: 0, minor: 63, patch: 0 };

/// What counts as there, for `required_plugin_versions`: the fields of this plugin are the language's own here.
pub const BUILT_IN_PLUGINS: &[(&str, Version)] = &[("container", Version { major: 0, minor: 7, patch: 1 })];

/// Problems that are told; of more, only the number.
const MAXIMUM_PROBLEMS: usize = 1000;
/// Rules, macros and lists of one load.
const MAXIMUM_ENTRIES: usize = 100_000;

#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Text added to outputs, with a blank between.
    pub append_output: Vec<AppendOutput>,
}

/// Falco's `append_output`: which rules, and what.
#[derive(Clone, Debug, Default)]
pub struct AppendOutput {
    pub text: String,
    /// Only the rule of this name.
    pub rule: Option<String>,
    /// Only rules that have all these tags.
    pub tags: BTreeSet<String>,
    /// Only rules of this source.
    pub source: Option<String>,
}

/// In falling order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Priority {
    Emergency,
    Alert,
    Critical,
    Error,
    Warning,
    Notice,
    Informational,
    Debug,
}

impl Priority {
    pub const ALL: &[(&str, Priority)] = &[
        ("emergency", Priority::Emergency),
        ("alert", Priority::Alert),
        ("critical", Priority::Critical),
        ("error", Priority::Error),
        ("warning", Priority::Warning),
        ("notice", Priority::Notice),
        ("informational", Priority::Informational),
        ("info", Priority::Informational),
        ("debug", Priority::Debug),
    ];

    pub fn name(self) -> &'static str {
        Priority::ALL.iter().find(|(_, p)| *p == self).map_or("", |(name, _)| name)
    }

    /// By its name or alias, in capitals or not.
    pub fn by_name(name: &str) -> Option<Priority> {
        Priority::ALL.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, p)| *p)
    }
}

/// What to record around a match.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Capture {
    pub wanted: bool,
    /// Milliseconds.
    pub duration: Option<u64>,
    pub events: Option<u64>,
    /// Kilobytes.
    pub file_size: Option<u64>,
}

/// A rule that can be matched.
#[derive(Clone, Debug)]
pub struct Rule {
    pub name: String,
    pub description: String,
    pub priority: Priority,
    pub tags: BTreeSet<String>,
    pub source: String,
    /// As the files say; a selection may say otherwise.
    pub enabled: bool,
    /// As it is written, appended parts included, exceptions not.
    pub condition: String,
    pub output: Template,
    /// As it is written.
    pub output_text: String,
    pub capture: Capture,
    /// The types of events that can match.
    pub types: TypeSet,
    /// Where it was defined.
    pub path: Arc<str>,
    pub line: usize,
}

/// What was loaded, and what is wrong.
pub struct Loaded {
    pub rules: Vec<Rule>,
    /// In the order of the files and lines.
    pub problems: Vec<Problem>,
    pub lists: usize,
    pub macros: usize,
    pub(crate) graph: Arc<Graph>,
    pub(crate) classes: Vec<Class>,
}

impl Loaded {
    pub fn errors(&self) -> usize {
        self.problems.iter().filter(|p| p.severity == Severity::Error).count()
    }

    pub fn warnings(&self) -> usize {
        self.problems.len() - self.errors()
    }
}

/// Reads files and makes rules of them, with the default options.
pub fn load(files: &[(&str, &str)]) -> Loaded {
    let mut loader = Loader::new(Options::default());
    for (path, text) in files {
        loader.text(path, text);
    }
    loader.finish()
}

#[derive(Default)]
pub struct Loader {
    options: Options,
    sources: Sources,
    problems: Vec<Problem>,
    suppressed: usize,
    paths: Vec<Arc<str>>,
    /// Counts entries: the order that decides which macro sees which.
    next: usize,
    lists: Definitions<ListDefinition>,
    macros: Definitions<MacroDefinition>,
    rules: Definitions<RuleDefinition>,
}

/// In the order of their first definition.
struct Definitions<T> {
    items: Vec<(String, T)>,
    by_name: HashMap<String, usize>,
}

impl<T> Default for Definitions<T> {
    fn default() -> Definitions<T> {
        Definitions { items: Vec::new(), by_name: HashMap::new() }
    }
}

impl<T> Definitions<T> {
    fn get_mut(&mut self, name: &str) -> Option<&mut T> {
        let index = *self.by_name.get(name)?;
        self.items.get_mut(index).map(|(_, item)| item)
    }

    fn insert(&mut self, name: String, item: T) {
        self.by_name.insert(name.clone(), self.items.len());
        self.items.push((name, item));
    }
}

struct ListDefinition {
    items: Vec<Place>,
    place: Place,
}

struct MacroDefinition {
    condition: Text,
    place: Place,
    index: usize,
    visibility: usize,
}

struct RuleDefinition {
    condition: Text,
    output: Text,
    description: String,
    priority: Priority,
    tags: BTreeSet<String>,
    source: String,
    enabled: bool,
    warn_evttypes: bool,
    skip_if_unknown: bool,
    exceptions: Vec<Exception>,
    capture: Capture,
    place: Place,
}

impl Loader {
    pub fn new(options: Options) -> Loader {
        Loader { options, ..Loader::default() }
    }

    /// A file, read from the disk. One that cannot be read is a problem like any other.
    pub fn file(&mut self, path: &Path) {
        let name = path.display().to_string();
        // One byte beyond the limit is enough to know.
        let limit = document::MAXIMUM_BYTES as u64 + 1;
        let mut bytes = Vec::new();
        let read = std::fs::File::open(path)
            .and_then(|file| std::io::Read::read_to_end(&mut std::io::Read::take(file, limit), &mut bytes));
        match read {
            Ok(_) => self.bytes(&name, &bytes),
            Err(error) => self.whole_file(&name, error.to_string()),
        }
    }

    pub fn bytes(&mut self, path: &str, bytes: &[u8]) {
        match std::str::from_utf8(bytes) {
            Ok(text) => self.text(path, text),
            Err(error) => {
                let before = bytes.get(..error.valid_up_to()).unwrap_or_default();
                let line = before.iter().filter(|b| **b == b'\n').count() + 1;
                self.whole_file(path, format!("line {line} is not UTF-8"));
            }
        }
    }

    pub fn text(&mut self, path: &str, text: &str) {
        let file = Arc::new(File::new(path.into(), text));
        self.paths.push(file.path.clone());
        let (roots, faults) = document::read(&file);
        for fault in faults {
            self.at_byte(&file, fault.byte, fault.message);
        }
        for root in roots {
            match &root.value {
                Value::Sequence(entries) => {
                    for entry in entries.iter().filter(|entry| !entry.is_null()) {
                        self.entry(&Place { file: file.clone(), node: entry.clone() });
                    }
                }
                _ if root.is_null() => {}
                _ => {
                    let place = Place { file: file.clone(), node: root.clone() };
                    self.error(
                        &place,
                        "a rule file is a list of entries: `- rule: …`, `- macro: …`, `- list: …`",
                    );
                }
            }
        }
    }

    fn error(&mut self, place: &Place, message: impl Into<String>) {
        let problem = place.problem(Severity::Error, message.into());
        self.problem(problem);
    }

    fn warning(&mut self, place: &Place, message: impl Into<String>) {
        let problem = place.problem(Severity::Warning, message.into());
        self.problem(problem);
    }

    fn whole_file(&mut self, path: &str, message: String) {
        let (severity, path): (_, Arc<str>) = (Severity::Error, path.into());
        self.paths.push(path.clone());
        self.problem(Problem { severity, path, line: 0, column: 0, length: 0, message, text: String::new() });
    }

    fn at_byte(&mut self, file: &Arc<File>, byte: usize, message: String) {
        let problem = source::problem_at(file, byte..byte + 1, Severity::Error, message);
        self.problem(problem);
    }

    fn problem(&mut self, problem: Problem) {
        if self.problems.len() < MAXIMUM_PROBLEMS {
            self.problems.push(problem);
        } else {
            self.suppressed += 1;
        }
    }

    fn number(&mut self) -> usize {
        self.next += 1;
        self.next
    }
}

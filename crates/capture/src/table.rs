//! The table of event types: what each code is called, which parameters it has, what their values are called. One
//! table for reading, writing, fields and documents; the data lies in `tables/`.
//!
//! A call has had several codes: `execve` alone has seven pairs, as parameters were added. They keep their names,
//! so that whoever asks for a parameter by its name is right for every version.

use std::collections::HashMap;
use std::sync::LazyLock;

/// One code.
#[derive(Debug)]
pub struct EventType {
    pub code: u16,
    /// `open`, `execve`, …; `syscall` for a call that has no code of its own; `NA` where the code has no meaning.
    pub name: &'static str,
    /// The call begins (true), or has returned.
    pub enter: bool,
    pub category: &'static str,
    /// `call`, `tracepoint`, `plugin`, `meta`, `other`.
    pub source: &'static str,
    pub marks: Marks,
    pub parameters: Vec<Parameter>,
}

/// What is said of a code beside its parameters.
#[derive(Clone, Copy, Debug, Default)]
pub struct Marks {
    pub creates_descriptor: bool,
    pub destroys_descriptor: bool,
    pub uses_descriptor: bool,
    pub reads: bool,
    pub writes: bool,
    pub waits: bool,
    /// Not made any more by a sensor of today.
    pub old: bool,
    /// No event, only the other half of a pair.
    pub unused: bool,
    /// An enter event that has no exit event: it must not count as the one before the next exit.
    pub no_pair: bool,
}

#[derive(Debug)]
pub struct Parameter {
    pub name: &'static str,
    pub kind: Kind,
    /// Bytes of a number; 0 where the length differs from event to event.
    pub size: u8,
    pub format: Format,
    /// For flags and enumerations: the table of their names.
    pub names: Option<&'static [Name]>,
    /// For [`Kind::RelativePath`]: the parameter that holds the directory's descriptor.
    pub directory: Option<usize>,
}

/// A name of a value, or of a bit.
#[derive(Debug)]
pub struct Name {
    pub name: &'static str,
    pub value: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    Decimal,
    Hexadecimal,
    Octal,
}

/// How the bytes of a parameter are read. Numbers are in the order of the section.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Signed,
    Unsigned,
    Bool,
    /// A negative errno, or what the call returned.
    Errno,
    Descriptor,
    Pid,
    Uid,
    Gid,
    /// Number of a system call in [`call_name`].
    Call,
    Signal,
    SignalSet,
    /// Nanoseconds.
    Duration,
    /// Nanoseconds since 1970.
    Time,
    Mode,
    Flags,
    Enumeration,
    /// Ends with a zero byte.
    Text,
    /// The same; relative to the working directory where it does not begin with `/`.
    Path,
    /// The same; relative to a directory that another parameter names.
    RelativePath,
    Bytes,
    Texts,
    Pairs,
    /// A family (1 byte) and an address of that family.
    Address,
    /// A family (1 byte) and two addresses.
    Tuple,
    /// A count (16 bits) and so many of: descriptor (64 bits), flags (16 bits).
    Descriptors,
    /// A byte that says which of a list of kinds, then the value.
    Dynamic,
}

impl EventType {
    /// The place of the parameter with this name.
    pub fn parameter(&self, name: &str) -> Option<usize> {
        self.parameters.iter().position(|parameter| parameter.name == name)
    }
}

struct Table {
    types: Vec<EventType>,
    calls: HashMap<u16, &'static str>,
    numbers: HashMap<&'static str, u16>,
    newest: HashMap<&'static str, u16>,
    names: HashMap<&'static str, &'static [Name]>,
}

static TABLE: LazyLock<Table> = LazyLock::new(|| {
    let names = flag_names(include_str!("../tables/flags.tsv"));
    let types: Vec<EventType> =
        rows(include_str!("../tables/events.tsv")).filter_map(|row| event_type(&row, &names)).collect();
    let calls: HashMap<u16, &'static str> = rows(include_str!("../tables/calls.tsv"))
        .filter_map(|row| Some((row.first()?.parse().ok()?, *row.get(1)?)))
        .collect();
    let numbers = calls.iter().map(|(number, name)| (*name, *number)).collect();
    // Of both halves the second, which comes later.
    let newest = types
        .iter()
        .filter(|event| !event.marks.old && !event.marks.unused && event.code > 1)
        .map(|event| (event.name, event.code))
        .collect();
    Table { types, calls, numbers, newest, names }
});

/// All event types; the place of each is its code.
pub fn event_types() -> &'static [EventType] {
    &TABLE.types
}

/// The type of this code; `None` for codes of later sensors.
#[inline]
pub fn event_type_of(code: u16) -> Option<&'static EventType> {
    TABLE.types.get(usize::from(code))
}

/// What a sensor of today writes when a call of this name returns, or when something happens that has no return.
pub fn newest(name: &str) -> Option<&'static EventType> {
    TABLE.newest.get(name).and_then(|code| event_type_of(*code))
}

/// The number that generic events carry for a system call.
pub fn call_number(name: &str) -> Option<u16> {
    TABLE.numbers.get(name).copied()
}

/// The name of a system call by the number that generic events carry.
pub fn call_name(number: u16) -> Option<&'static str> {
    TABLE.calls.get(&number).copied()
}

/// All names that generic events can have.
pub fn call_names() -> impl Iterator<Item = &'static str> {
    TABLE.calls.values().copied()
}

/// A table of names of values, such as `file_flags`.
pub fn names(table: &str) -> Option<&'static [Name]> {
    TABLE.names.get(table).copied()
}

fn rows(text: &'static str) -> impl Iterator<Item = Vec<&'static str>> {
    text.lines().filter(|line| !line.starts_with('#')).map(|line| line.split('\t').collect())
}

fn flag_names(text: &'static str) -> HashMap<&'static str, &'static [Name]> {
    let mut tables: HashMap<&'static str, Vec<Name>> = HashMap::new();
    for row in rows(text) {
        if let [table, name, value] = row[..]
            && let Ok(value) = value.parse()
        {
            tables.entry(table).or_default().push(Name { name, value });
        }
    }
    // Read once, and kept as long as the program runs.
    tables.into_iter().map(|(table, names)| (table, &*names.leak())).collect()
}

fn event_type(row: &[&'static str], names: &HashMap<&'static str, &'static [Name]>) -> Option<EventType> {
    let [code, name, direction, category, source, marks, parameters @ ..] = row else { return None };
    let marked = |mark: &str| marks.split(',').any(|m| m == mark);
    let marks = Marks {
        creates_descriptor: marked("creates-descriptor"),
        destroys_descriptor: marked("destroys-descriptor"),
        uses_descriptor: marked("uses-descriptor"),
        reads: marked("reads"),
        writes: marked("writes"),
        waits: marked("waits"),
        old: marked("old"),
        unused: marked("unused"),
        no_pair: marked("no-pair"),
    };
    let parameters = parameters
        .first()
        .map(|all| all.split_whitespace().filter_map(|one| parameter(one, names)).collect())
        .unwrap_or_default();
    Some(EventType {
        code: code.parse().ok()?,
        name,
        enter: *direction == ">",
        category,
        source,
        marks,
        parameters,
    })
}

fn parameter(text: &'static str, names: &HashMap<&'static str, &'static [Name]>) -> Option<Parameter> {
    let mut parts = text.split(':');
    let name = parts.next()?;
    let kind_name = parts.next()?;
    let kind = kind(kind_name)?;
    let format = match parts.next() {
        Some("x") => Format::Hexadecimal,
        Some("o") => Format::Octal,
        _ => Format::Decimal,
    };
    let more = parts.next().unwrap_or_default();
    let directory = more.strip_prefix('@').and_then(|number| number.parse().ok());
    Some(Parameter { name, kind, size: size(kind_name), format, names: names.get(more).copied(), directory })
}

fn size(kind: &str) -> u8 {
    match kind {
        "int8" | "uint8" | "flags8" | "enum8" | "signal" => 1,
        "int16" | "uint16" | "flags16" | "enum16" | "call" => 2,
        "int32" | "uint32" | "flags32" | "enum32" | "bool" | "uid" | "gid" | "sigset" | "mode" => 4,
        "int64" | "uint64" | "errno" | "descriptor" | "pid" | "duration" | "time" => 8,
        _ => 0,
    }
}

fn kind(name: &str) -> Option<Kind> {
    Some(match name {
        "int8" | "int16" | "int32" | "int64" => Kind::Signed,
        "uint8" | "uint16" | "uint32" | "uint64" => Kind::Unsigned,
        "bool" => Kind::Bool,
        "errno" => Kind::Errno,
        "descriptor" => Kind::Descriptor,
        "pid" => Kind::Pid,
        "uid" => Kind::Uid,
        "gid" => Kind::Gid,
        "call" => Kind::Call,
        "signal" => Kind::Signal,
        "sigset" => Kind::SignalSet,
        "duration" => Kind::Duration,
        "time" => Kind::Time,
        "mode" => Kind::Mode,
        "flags8" | "flags16" | "flags32" => Kind::Flags,
        "enum8" | "enum16" | "enum32" => Kind::Enumeration,
        "text" => Kind::Text,
        "path" => Kind::Path,
        "relative-path" => Kind::RelativePath,
        "bytes" => Kind::Bytes,
        "texts" => Kind::Texts,
        "pairs" => Kind::Pairs,
        "address" => Kind::Address,
        "tuple" => Kind::Tuple,
        "descriptors" => Kind::Descriptors,
        "dynamic" => Kind::Dynamic,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_is_understood_and_stands_at_its_code() {
        let rows = rows(include_str!("../tables/events.tsv")).count();
        assert_eq!(event_types().len(), rows);
        for (place, event) in event_types().iter().enumerate() {
            assert_eq!(usize::from(event.code), place);
            assert_eq!(event.enter, place % 2 == 0, "{event:?}");
        }
        let parameters: usize = event_types().iter().map(|event| event.parameters.len()).sum();
        let written = include_str!("../tables/events.tsv")
            .lines()
            .filter(|line| !line.starts_with('#'))
            .filter_map(|line| line.split('\t').nth(6))
            .map(|all| all.split_whitespace().count())
            .sum::<usize>();
        assert_eq!(parameters, written);
    }

    #[test]
    fn every_table_of_names_that_a_row_refers_to_is_there() {
        for row in rows(include_str!("../tables/events.tsv")) {
            for parameter in row.get(6).unwrap_or(&"").split_whitespace() {
                let parts: Vec<&str> = parameter.split(':').collect();
                if let (Some(kind), Some(table)) = (parts.get(1), parts.get(3))
                    && (kind.starts_with("flags") || kind.starts_with("enum") || *kind == "mode")
                {
                    assert!(names(table).is_some(), "{parameter}");
                }
            }
        }
    }

    #[test]
    fn the_directory_of_a_relative_path_is_a_descriptor() {
        for event in event_types() {
            for parameter in &event.parameters {
                if let Some(directory) = parameter.directory {
                    assert_eq!(
                        event.parameters[directory].kind,
                        Kind::Descriptor,
                        "{} {}",
                        event.name,
                        event.code
                    );
                }
            }
        }
    }

    #[test]
    fn all_versions_of_execve_have_its_result_first_and_its_arguments_by_name() {
        let versions: Vec<_> = event_types().iter().filter(|e| e.name == "execve" && !e.enter).collect();
        assert_eq!(versions.len(), 8, "{:?}", versions.iter().map(|e| e.code).collect::<Vec<_>>());
        for version in versions {
            assert_eq!(version.parameter("res"), Some(0));
            assert_eq!(version.parameter("args"), Some(2));
        }
    }

    #[test]
    fn generic_events_know_the_names_of_calls() {
        assert_eq!(call_name(17), Some("mount"));
        assert_eq!(call_name(341), Some("mount_setattr"));
        assert_eq!(call_name(u16::MAX), None);
    }
}

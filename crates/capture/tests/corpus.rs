//! Real captures, of several versions of the format: read whole, their events counted as sysdig 0.29 counts them, and
//! written again so that sysdig prints the same.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use capture::list::{Account, Group, Interface, User};
use capture::{Error, Item, Reader, Writer};

fn captures() -> Vec<PathBuf> {
    let corpora = std::env::var("STOCKADE_CORPORA")
        .unwrap_or_else(|_| concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/corpora").into());
    let folder = Path::new(&corpora).join("captures");
    let Ok(entries) = std::fs::read_dir(&folder) else {
        eprintln!("skipped: there is no {}", folder.display());
        return Vec::new();
    };
    let mut files: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    files.sort();
    files
}

/// What sysdig prints for a format; `None` where it is not installed.
fn sysdig(file: &Path, format: &str) -> Option<Vec<String>> {
    let output = Command::new("sysdig")
        .args(["-r".as_ref(), file.as_os_str(), "-p".as_ref(), format.as_ref()])
        .env("TZ", "UTC")
        .stderr(Stdio::null())
        .output();
    let Ok(output) = output else {
        eprintln!("skipped: sysdig is not installed");
        return None;
    };
    assert!(output.status.success(), "sysdig cannot read {}", file.display());
    Some(String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect())
}

/// Events by name as sysdig counts them: not those of the libraries' own making (`procinfo`), nor containers that
/// are told before anything happens.
fn counts(file: &Path) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    let mut reader = Reader::open(file).unwrap();
    let mut begun = false;
    while let Some(item) = reader.next().unwrap() {
        if let Item::Event(event) = item {
            begun |= event.kind.name != "container";
            if event.kind.category != "internal" && begun {
                let name = match event.name() {
                    "unknown" => "<unknown>",
                    name => name,
                };
                *counts.entry(name.to_owned()).or_default() += 1;
            }
        }
    }
    assert_eq!(reader.skipped(), Default::default(), "{}", file.display());
    counts
}

#[test]
fn events_by_type_are_as_many_as_sysdig_prints() {
    for file in captures() {
        let Some(lines) = sysdig(&file, "%evt.type") else { return };
        let mut expected: BTreeMap<String, usize> = BTreeMap::new();
        for line in lines {
            *expected.entry(line).or_default() += 1;
        }
        assert_eq!(counts(&file), expected, "{}", file.display());
    }
}

#[test]
fn every_capture_names_its_machine_and_its_processes() {
    for file in captures() {
        let mut reader = Reader::open(&file).unwrap();
        let (mut processes, mut descriptors, mut users, mut machine) = (0, 0, 0, String::new());
        while let Some(item) = reader.next().unwrap() {
            match item {
                Item::Machine(found) => machine = String::from_utf8_lossy(found.host_name).into_owned(),
                Item::Process(process) => {
                    processes += 1;
                    assert!(process.thread > 0 && !process.name.is_empty(), "{process:?}");
                    // Kernel threads have neither.
                    assert!(
                        process.directory.is_empty() || process.directory.starts_with(b"/"),
                        "{process:?}"
                    );
                }
                Item::Descriptor(thread, descriptor) => {
                    descriptors += 1;
                    assert!(thread > 0 && (0..1 << 20).contains(&descriptor.number), "{descriptor:?}");
                }
                Item::Account(_) => users += 1,
                _ => {}
            }
        }
        assert!(
            !machine.is_empty() && processes > 50 && descriptors > 100 && users > 20,
            "{}",
            file.display()
        );
    }
}

fn kept(bytes: &[u8]) -> &'static [u8] {
    bytes.to_vec().leak()
}

/// Reads all of a capture and writes it again. Users and interfaces go into one block each: a reader keeps the last.
fn copy(file: &Path, compress: bool) -> Vec<u8> {
    let mut writer = Writer::new(Vec::new(), compress).unwrap();
    let (mut interfaces, mut accounts) = (Vec::new(), Vec::new());
    let mut reader = Reader::open(file).unwrap();
    while let Some(item) = reader.next().unwrap() {
        match item {
            Item::Interface(found) => interfaces.push(Interface { name: kept(found.name), ..found }),
            Item::Account(Account::User(found)) => accounts.push(Account::User(User {
                name: kept(found.name),
                home: kept(found.home),
                shell: kept(found.shell),
                ..found
            })),
            Item::Account(Account::Group(found)) => {
                accounts.push(Account::Group(Group { name: kept(found.name), ..found }));
            }
            _ => {}
        }
    }
    let mut reader = Reader::open(file).unwrap();
    while let Some(item) = reader.next().unwrap() {
        match item {
            Item::Section { .. } | Item::Account(_) | Item::Interface(_) => {}
            Item::Machine(machine) => {
                writer.machine(&machine).unwrap();
                writer.interfaces(interfaces.drain(..)).unwrap();
                writer.accounts(accounts.drain(..)).unwrap();
            }
            Item::Process(process) => writer.processes([*process]).unwrap(),
            Item::Descriptor(thread, descriptor) => writer.descriptors(thread, [descriptor]).unwrap(),
            Item::Event(event) => writer.event(&event).unwrap(),
        }
    }
    writer.finish().unwrap()
}

/// Everything a capture says, as text, in order.
fn told(mut reader: Reader) -> Vec<String> {
    let mut told = Vec::new();
    while let Some(item) = reader.next().unwrap() {
        told.push(match item {
            Item::Section { .. } => continue,
            Item::Event(event) => {
                let values: Vec<_> = (0..event.parameters()).map(|place| event.raw(place)).collect();
                format!("{} {} {} {} {values:?}", event.time, event.thread, event.code, event.cpu)
            }
            Item::Process(mut process) => {
                // What version 9 cannot leave out.
                process.session = process.session.or(Some(-1));
                process.group_inside = process.group_inside.or(Some(-1));
                process.executable_path = process.executable_path.or(Some(b""));
                process.login_uid = process.login_uid.or(Some(u32::MAX));
                process.executable_writable = process.executable_writable.or(Some(false));
                process.capabilities = process.capabilities.or(Some(Default::default()));
                format!("{process:?}")
            }
            other => format!("{other:?}"),
        });
    }
    // Processes and interfaces may come in either order.
    told.sort();
    told
}

#[test]
fn what_is_written_again_says_the_same() {
    for file in captures() {
        for compress in [true, false] {
            let copied = copy(&file, compress);
            let again = Reader::new(std::io::Cursor::new(copied)).unwrap();
            assert_eq!(told(again), told(Reader::open(&file).unwrap()), "{}", file.display());
        }
    }
}

#[test]
fn sysdig_prints_the_same_for_what_is_written_again() {
    let folder = std::env::temp_dir().join(format!("stockade-capture-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let format = "*%evt.num %evt.rawtime %evt.dir %evt.type %evt.info %proc.name %proc.exe %proc.args %proc.cwd \
                  %thread.tid %proc.ppid %user.name %fd.name %container.id";
    for file in captures() {
        let copied = folder.join(file.file_name().unwrap());
        std::fs::write(&copied, copy(&file, true)).unwrap();
        let (Some(expected), Some(found)) = (sysdig(&file, format), sysdig(&copied, format)) else { return };
        // Event numbers count the blocks before, so they may differ by a constant: only the text behind counts.
        let text = |lines: Vec<String>| -> Vec<String> {
            lines
                .iter()
                .map(|line| line.split_once(' ').map_or(line.clone(), |(_, rest)| rest.to_owned()))
                .collect()
        };
        let (found, expected) = (text(found), text(expected));
        assert_eq!(found.len(), expected.len(), "{}", file.display());
        for (found, expected) in found.iter().zip(&expected) {
            assert_eq!(found, expected, "{}", file.display());
        }
    }
    std::fs::remove_dir_all(&folder).unwrap();
}

#[test]
fn a_capture_that_was_cut_off_gives_what_was_there_and_says_where_it_ends() {
    let Some(file) = captures().into_iter().next() else { return };
    let whole = copy(&file, false);
    let items = told(Reader::new(std::io::Cursor::new(whole.clone())).unwrap()).len();
    let mut before = 0;
    for length in (0..whole.len()).step_by(whole.len() / 400) {
        let mut reader = Reader::new(std::io::Cursor::new(whole[..length].to_vec())).unwrap();
        let mut read = 0;
        let error = loop {
            match reader.next() {
                Ok(Some(Item::Section { .. })) => {}
                Ok(Some(_)) => read += 1,
                Ok(None) => break None,
                Err(error) => break Some(error),
            }
        };
        assert!(read >= before && read < items);
        before = read;
        // Unless the cut is between two blocks.
        if let Some(error) = error {
            assert!(
                matches!(error, Error::Truncated { end, .. } if end == length as u64),
                "{length}: {error}"
            );
            assert!(reader.next().unwrap().is_none(), "a final error comes once");
        }
    }
}

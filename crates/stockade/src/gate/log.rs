//! `stockade gate log`: shows the log of decisions, and verifies its chain.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom, Write};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use clap::{Args, ValueEnum};
use gate::log::entry::Entry;
use gate::log::verify::{Anchor, Verified, Verifier, Wrong};
use gate::log::{Link, files};
use jiff::Timestamp;
use serde_json::json;

use crate::COULD_NOT_JUDGE;

/// How often `--follow` looks for what is new.
const LOOK: Duration = Duration::from_millis(250);
/// The schema of what `--verify --format json` writes.
const SCHEMA: &str = "stockade.chain/1";

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The log, with the files FILE.1, FILE.2… that were rotated away; or the files of one log, oldest first
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,

    /// Only verify, and say what is wrong
    #[arg(long, conflicts_with_all = ["denied", "door", "since", "follow"])]
    verify: bool,

    /// A link of the chain that was kept elsewhere, as --head printed it: it must be there
    #[arg(long, value_name = "SEQUENCE:HASH", requires = "verify")]
    anchor: Vec<Anchor>,

    /// Print SEQUENCE:HASH of the last record, to be kept where no writer of the log can write; with --verify only if
    /// the chain is whole
    #[arg(long, conflicts_with_all = ["denied", "door", "since", "follow"])]
    head: bool,

    /// Only what was denied
    #[arg(long)]
    denied: bool,

    /// Only what this door decided
    #[arg(long, value_name = "DOOR")]
    door: Option<LogDoor>,

    /// Only at or after: how long ago (`2h`, `7d`), or a time (`2026-11-23T03:00:00Z`, without a zone in UTC)
    #[arg(long, value_name = "WHEN")]
    since: Option<String>,

    /// Go on and show what is new
    #[arg(long, short)]
    follow: bool,

    /// `json` is the lines as they are
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    format: LogFormat,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum LogFormat {
    Text,
    Json,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum LogDoor {
    DockerPlugin,
    DockerProxy,
    Kubernetes,
    OciRuntime,
    OciHook,
}

impl LogDoor {
    fn door(self) -> gate::Door {
        match self {
            LogDoor::DockerPlugin => gate::Door::DockerPlugin,
            LogDoor::DockerProxy => gate::Door::DockerProxy,
            LogDoor::Kubernetes => gate::Door::Kubernetes,
            LogDoor::OciRuntime => gate::Door::OciRuntime,
            LogDoor::OciHook => gate::Door::OciHook,
        }
    }
}

/// Which entries are shown, and how.
struct Show {
    denied: bool,
    door: Option<gate::Door>,
    since: Option<Timestamp>,
    format: LogFormat,
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<u8> {
    let files = match arguments.files.as_slice() {
        [file] => files(file),
        several => several.to_vec(),
    };
    let Some(last) = files.last() else { bail!("no file was given") };
    if arguments.head && !arguments.verify {
        return head(last);
    }
    let show = Show {
        denied: arguments.denied,
        door: arguments.door.map(LogDoor::door),
        since: arguments.since.as_deref().map(since).transpose()?,
        format: arguments.format,
    };
    let mut out = io::BufWriter::new(io::stdout().lock());
    let mut verifier = Verifier::new(arguments.anchor.iter().copied());
    // Taken before, so that nothing falls between what is shown and what follows.
    let mut tail = if arguments.follow { Some(Tail::at(last)?) } else { None };
    for file in &files {
        let mut failed = None;
        let is_followed = tail.is_some() && file == last;
        let mut each = |line: &[u8]| {
            if !arguments.verify && failed.is_none() {
                failed = show.write(line, &mut out).err();
            }
        };
        match &mut tail {
            Some(tail) if is_followed => tail.read(&mut verifier, &mut each),
            _ => verifier.file(file, &mut each),
        }
        .with_context(|| file.display().to_string())?;
        if let Some(error) = failed {
            return Err(error.into());
        }
    }
    if let Some(tail) = tail {
        return follow(tail, verifier, &show, &mut out);
    }
    let verified = verifier.finish(last);
    if arguments.verify {
        tell(arguments, &verified, &mut out)?;
    }
    out.flush()?;
    if !arguments.verify && !verified.is_whole() {
        warn(&verified);
    }
    Ok(match verified.last {
        None if verified.is_whole() => {
            eprintln!("error: {}: there is no record in it", last.display());
            COULD_NOT_JUDGE
        }
        _ => u8::from(!verified.is_whole()),
    })
}

/// The last link, as it is written in the file.
fn head(file: &Path) -> anyhow::Result<u8> {
    match gate::log::head_of(file)? {
        Some(link) => println!("{}", anchor(link)),
        None => bail!("{}: there is no record in it", file.display()),
    }
    Ok(0)
}

fn anchor(link: Link) -> String {
    format!("{}:{}", link.sequence, link.hash)
}

fn since(text: &str) -> anyhow::Result<Timestamp> {
    if let Ok(ago) = watch::outputs::parse_duration(text) {
        return Timestamp::now().checked_sub(ago).with_context(|| format!("--since {text}"));
    }
    let nanoseconds = watch::store::parse_time(text).with_context(|| {
        format!("--since {text}: this is neither how long ago, such as 2h or 7d, nor a time, such as 2026-11-23T03:00:00Z")
    })?;
    Timestamp::from_nanosecond(nanoseconds.into()).with_context(|| format!("--since {text}"))
}

impl Show {
    fn write(&self, line: &[u8], out: &mut impl Write) -> io::Result<()> {
        let Some(entry) = Entry::parse(line) else { return Ok(()) };
        let asked = (!self.denied || entry.is_denied())
            && self.door.is_none_or(|door| entry.door() == door.name())
            && self.since.is_none_or(|since| entry.time().is_none_or(|time| time >= since));
        match self.format {
            _ if !asked => Ok(()),
            LogFormat::Json => out.write_all(line).and_then(|()| out.write_all(b"\n")),
            LogFormat::Text => {
                entry.lines().iter().try_for_each(|line| writeln!(out, "{}", report::printable(line)))
            }
        }
    }
}

fn tell(arguments: &Arguments, verified: &Verified, out: &mut impl Write) -> io::Result<()> {
    let head = verified.last.map(anchor);
    if arguments.format == LogFormat::Json {
        let wrong = verified.wrong.iter().map(|Wrong { file, line, fault }| {
            json!({ "file": file, "line": line, "kind": fault.name(), "message": fault.to_string() })
        });
        let json = json!({
            "schema": SCHEMA,
            "whole": verified.is_whole(),
            "lines": verified.lines,
            "first": verified.first.map(anchor),
            "last": head,
            "faults": verified.faults,
            "wrong": wrong.collect::<Vec<_>>(),
        });
        return writeln!(out, "{json:#}");
    }
    for wrong in &verified.wrong {
        writeln!(out, "{}", place(wrong))?;
    }
    let told = verified.wrong.len() as u64;
    if verified.faults > told {
        writeln!(out, "and {} more", verified.faults - told)?;
    }
    match (verified.is_whole(), verified.first, &head) {
        (true, _, Some(head)) if arguments.head => writeln!(out, "{head}"),
        (true, Some(first), Some(head)) => {
            let begin = if first.sequence > 1 {
                format!("; records before {} are not in these files", first.sequence)
            } else {
                String::new()
            };
            writeln!(out, "whole: {} records, the last is {head}{begin}", verified.lines)
        }
        (true, _, _) => Ok(()),
        (false, _, _) => writeln!(out, "not whole: {} faults in {} lines", verified.faults, verified.lines),
    }
}

fn place(wrong: &Wrong) -> String {
    format!("{}:{}: {}", report::printable(&wrong.file.to_string_lossy()), wrong.line, wrong.fault)
}

/// What is shown does not hide that some of it is not as it was written.
fn warn(verified: &Verified) {
    if let Some(first) = verified.wrong.first() {
        eprintln!(
            "warning: the chain is not whole: {} ({} faults; see --verify)",
            place(first),
            verified.faults
        );
    }
}

/// The log as it grows.
struct Tail {
    path: Arc<Path>,
    file: File,
    read: u64,
}

impl Tail {
    fn at(path: &Path) -> anyhow::Result<Tail> {
        let file = File::open(path).with_context(|| path.display().to_string())?;
        Ok(Tail { path: path.into(), file, read: 0 })
    }

    /// Whole lines that are new.
    fn read(&mut self, verifier: &mut Verifier, each: &mut dyn FnMut(&[u8])) -> io::Result<()> {
        self.file.seek(SeekFrom::Start(self.read))?;
        loop {
            let mut bytes = Vec::new();
            (&self.file).take(8 * gate::log::LONGEST as u64).read_to_end(&mut bytes)?;
            let Some(end) = bytes.iter().rposition(|byte| *byte == b'\n') else { return Ok(()) };
            bytes.truncate(end + 1);
            verifier.read(&self.path, bytes.as_slice(), each)?;
            self.read = self.file.seek(SeekFrom::Start(self.read + bytes.len() as u64))?;
        }
    }

    /// The file that has the name now, where it is another; or the same one, which was emptied.
    fn replaced(&self) -> io::Result<Option<File>> {
        let file = match File::open(&self.path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let (new, old) = (file.metadata()?, self.file.metadata()?);
        let same = (new.dev(), new.ino()) == (old.dev(), old.ino());
        Ok((!same || new.len() < self.read).then_some(file))
    }
}

/// Shows what is new until it is interrupted.
fn follow(mut tail: Tail, mut verifier: Verifier, show: &Show, out: &mut impl Write) -> anyhow::Result<u8> {
    let mut told = 0;
    loop {
        out.flush()?;
        let wrong = &verifier.found().wrong;
        for wrong in wrong.get(told..).unwrap_or_default() {
            eprintln!("warning: {}", place(wrong));
        }
        told = wrong.len();
        std::thread::sleep(LOOK);
        // Looked for before the last is read of the old one, to which nobody writes once it is replaced.
        let new = tail.replaced()?;
        let mut failed = None;
        tail.read(&mut verifier, &mut |line| {
            if failed.is_none() {
                failed = show.write(line, out).err();
            }
        })?;
        if let Some(error) = failed {
            return Err(error.into());
        }
        if let Some(file) = new {
            tail = Tail { file, read: 0, ..tail };
        }
    }
}

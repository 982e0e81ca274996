//! `stockade events`: asks the event store that `stockade watch` writes.

use std::fs;
use std::io::{self, IsTerminal as _, Write};
use std::ops::ControlFlow;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::bail;
use clap::{Args, ValueEnum};
use watch::alert::Severity;
use watch::outputs::text;
use watch::store::{Filter, Found, Kind, Reader, Record};

use crate::arguments::Colour;
use crate::settings::Settings;
use crate::{COULD_NOT_JUDGE, audit};

/// How often `--follow` looks for what is new.
const LOOK: Duration = Duration::from_millis(250);

#[derive(Debug, Args)]
pub(crate) struct Events {
    /// At or after: how long ago (`2h`, `7d`), or a time (`2026-11-23T03:00:00Z`, without a zone in UTC)
    #[arg(long, value_name = "WHEN")]
    since: Option<String>,

    /// Before: how long ago, or a time
    #[arg(long, value_name = "WHEN")]
    until: Option<String>,

    /// The name of a container, or the beginning of its identifier
    #[arg(long, value_name = "CONTAINER")]
    container: Option<String>,

    /// Alerts about this technique
    #[arg(long, value_name = "TECHNIQUE")]
    technique: Option<String>,

    /// Alerts of this rule
    #[arg(long, value_name = "NAME")]
    rule: Option<String>,

    /// Alerts of at least this severity
    #[arg(long, value_name = "SEVERITY")]
    severity: Option<Level>,

    /// The alert with this number
    #[arg(long, value_name = "NUMBER")]
    id: Option<u64>,

    /// What to show; alerts, blind windows and losses unless said otherwise
    #[arg(long, value_name = "KIND", value_delimiter = ',')]
    kind: Vec<RecordKind>,

    /// Only the last so many
    #[arg(long, value_name = "N")]
    limit: Option<u64>,

    /// Go on and show what is new
    #[arg(long, conflicts_with = "until")]
    follow: bool,

    /// Show each alert in full
    #[arg(long)]
    details: bool,

    /// Exit with 1 only for alerts of at least this severity
    #[arg(long, value_name = "SEVERITY", default_value = "medium")]
    threshold: Level,

    /// The event store [default: /var/lib/stockade/events.db]
    #[arg(long, value_name = "FILE")]
    store: Option<PathBuf>,

    /// Settings, as a file; ./stockade.toml where there is one
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,

    /// `json` is one object a line
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    format: EventsFormat,

    #[arg(long, value_name = "WHEN", default_value = "auto")]
    color: Colour,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum EventsFormat {
    Text,
    Json,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Level {
    Info,
    Low,
    Medium,
    High,
    Critical,
}

impl Level {
    fn severity(self) -> Severity {
        match self {
            Level::Info => Severity::Info,
            Level::Low => Severity::Low,
            Level::Medium => Severity::Medium,
            Level::High => Severity::High,
            Level::Critical => Severity::Critical,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum RecordKind {
    /// Attempts and rule matches
    Alert,
    /// Windows in which the sensor lost something
    Blind,
    /// What the store could not keep
    Loss,
    /// Containers that were seen
    Container,
    /// How the sensor fares
    Heartbeat,
    /// Who did what to which container
    Trail,
}

impl RecordKind {
    fn kind(self) -> Kind {
        match self {
            RecordKind::Alert => Kind::Alert,
            RecordKind::Blind => Kind::Blind,
            RecordKind::Loss => Kind::Loss,
            RecordKind::Container => Kind::Container,
            RecordKind::Heartbeat => Kind::Heartbeat,
            RecordKind::Trail => Kind::Trail,
        }
    }
}

/// What was met on the way.
#[derive(Default)]
struct Met {
    unreadable: Vec<String>,
    last: u64,
}

pub(crate) fn run(arguments: &Events) -> anyhow::Result<u8> {
    let path = match &arguments.store {
        Some(path) => path.clone(),
        None => Settings::read(arguments.config.as_ref())?.watch.store.path,
    };
    let now = watch::store::Now::read().time;
    let filter = arguments.filter(now)?;
    let reader = Reader::open(&path)?;
    let mut out = io::BufWriter::new(io::stdout().lock());
    let colour = audit::colour(arguments.color, io::stdout().is_terminal());
    // Taken before, so that nothing falls between what is shown and what follows.
    let last = reader.last()?;
    let mut met = Met { last, ..Met::default() };
    show(arguments, &reader, &filter, colour, &mut out, &mut met)?;
    if arguments.follow {
        return follow(arguments, &path, reader, filter, colour, &mut out, &mut met);
    }
    out.flush()?;
    judge(arguments, &reader, &filter, &met)
}

impl Events {
    fn filter(&self, now: i64) -> anyhow::Result<Filter> {
        let when = |name: &str, text: &Option<String>| match text {
            Some(text) => moment(text, now).map(Some).map_err(|why| anyhow::anyhow!("{name} {text}: {why}")),
            None => Ok(None),
        };
        let mut kinds: Vec<Kind> = self.kind.iter().map(|kind| kind.kind()).collect();
        if kinds.is_empty() {
            kinds = vec![Kind::Alert, Kind::Blind, Kind::Loss];
        }
        let filter = Filter {
            kinds,
            since: when("--since", &self.since)?,
            until: when("--until", &self.until)?,
            container: self.container.clone(),
            technique: self.technique.clone(),
            rule: self.rule.clone(),
            severity: self.severity.map(Level::severity),
            alert: self.id,
            after: None,
            limit: self.limit,
        };
        if let (Some(since), Some(until)) = (filter.since, filter.until)
            && since >= until
        {
            bail!("--since is not before --until: nothing lies between");
        }
        Ok(filter)
    }
}

/// How long ago, or a time.
fn moment(text: &str, now: i64) -> Result<i64, String> {
    if let Ok(duration) = watch::outputs::parse_duration(text) {
        return Ok(now.saturating_sub(i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX)));
    }
    watch::store::parse_time(text).ok_or_else(|| {
        "this is neither how long ago, such as 90s, 2h or 7d, nor a time, such as 2026-11-23T03:00:00Z".into()
    })
}

fn show(
    arguments: &Events,
    reader: &Reader,
    filter: &Filter,
    colour: bool,
    out: &mut impl Write,
    met: &mut Met,
) -> anyhow::Result<()> {
    let mut failed = None;
    reader.each(filter, &mut |found| {
        met.last = met.last.max(found.seq);
        match write(arguments, &found, colour, out) {
            Ok(None) => ControlFlow::Continue(()),
            Ok(Some(unreadable)) => {
                met.unreadable.push(unreadable);
                ControlFlow::Continue(())
            }
            Err(error) => {
                failed = Some(error);
                ControlFlow::Break(())
            }
        }
    })?;
    failed.map_or(Ok(()), |error| Err(error.into()))
}

/// Writes a record; or says why it cannot be read.
fn write(
    arguments: &Events,
    found: &Found,
    colour: bool,
    out: &mut impl Write,
) -> io::Result<Option<String>> {
    let record = match &found.record {
        Ok(record) => record,
        Err(why) => return Ok(Some(format!("record {}: {why}", found.seq))),
    };
    match (arguments.format, record) {
        (EventsFormat::Json, _) => {
            let mut json = record.to_json();
            if let Some(object) = json.as_object_mut() {
                object.insert("boot".into(), found.boot.clone().into());
            }
            writeln!(out, "{json}")?;
        }
        (EventsFormat::Text, Record::Alert(alert)) if arguments.details || arguments.id.is_some() => {
            write!(out, "{}", text::block(alert, text::Options { colour }))?;
        }
        (EventsFormat::Text, _) => writeln!(out, "{}", text::record_line(record))?,
    }
    Ok(None)
}

/// The exit code, by all that the filter lets through, whatever was shown of it. A view that is known to be partial does
/// not pass.
fn judge(arguments: &Events, reader: &Reader, filter: &Filter, met: &Met) -> anyhow::Result<u8> {
    for unreadable in &met.unreadable {
        eprintln!("error: {}", report::printable(unreadable));
    }
    let threshold = arguments.threshold.severity();
    let severe = Filter {
        severity: Some(filter.severity.map_or(threshold, |asked| asked.max(threshold))),
        limit: Some(1),
        ..filter.clone()
    };
    let findings = !reader.all(&severe)?.is_empty();
    let missing = missing(reader, filter)?;
    if let Some(missing) = &missing {
        eprintln!("note: {missing}");
    }
    Ok(match (met.unreadable.is_empty(), findings, missing.is_some()) {
        (false, _, _) => COULD_NOT_JUDGE,
        (true, true, _) => 1,
        (true, false, true) => COULD_NOT_JUDGE,
        (true, false, false) => 0,
    })
}

/// What was not seen or not kept within the time that was asked for.
fn missing(reader: &Reader, filter: &Filter) -> anyhow::Result<Option<String>> {
    let all = Filter {
        kinds: vec![Kind::Blind, Kind::Loss],
        since: filter.since,
        until: filter.until,
        ..Filter::default()
    };
    let (mut events, mut windows, mut records, mut uncertain) = (0, 0, 0, false);
    reader.each(&all, &mut |found| {
        match found.record {
            Ok(Record::Blind(blind)) => {
                windows += 1;
                events += blind.lost;
            }
            Ok(Record::Loss(loss)) => {
                records += loss.lost.iter().map(|lost| lost.count).sum::<u64>();
                uncertain |= !loss.exact;
            }
            _ => {}
        }
        ControlFlow::Continue(())
    })?;
    let mut parts = Vec::new();
    if windows > 0 {
        parts.push(format!("the sensor lost {events} events in {windows} blind windows"));
    }
    if records > 0 || uncertain {
        let least = if uncertain { "at least " } else { "" };
        parts.push(format!("the store lost {least}{records} records"));
    }
    Ok((!parts.is_empty()).then(|| format!("not all is here: {}", parts.join("; "))))
}

/// Shows what is new until it is interrupted. A store that is replaced is followed.
fn follow(
    arguments: &Events,
    path: &Path,
    mut reader: Reader,
    filter: Filter,
    colour: bool,
    out: &mut impl Write,
    met: &mut Met,
) -> anyhow::Result<u8> {
    let mut file = identity(path);
    let mut version = None;
    let filter = Filter { limit: None, ..filter };
    loop {
        out.flush()?;
        for unreadable in met.unreadable.drain(..) {
            eprintln!("error: {}", report::printable(&unreadable));
        }
        std::thread::sleep(LOOK);
        let now = identity(path);
        if now != file && now.is_some() {
            match Reader::open(path) {
                Ok(new) => {
                    reader = new;
                    file = now;
                    version = None;
                    met.last = 0;
                }
                // A new one is being made; it is looked at again in a moment.
                Err(_) => continue,
            }
        }
        let seen = reader.version()?;
        if version == Some(seen) {
            continue;
        }
        version = Some(seen);
        let new = Filter { after: Some(met.last), ..filter.clone() };
        show(arguments, &reader, &new, colour, out, met)?;
    }
}

fn identity(path: &Path) -> Option<(u64, u64)> {
    fs::metadata(path).ok().map(|m| (m.dev(), m.ino()))
}

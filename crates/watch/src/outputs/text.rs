//! An alert for a person: one line, or a short block in the style of `stockade audit`.

use std::fmt::Write as _;

use crate::alert::{Alert, Cause, Exposure, Outcome, Severity};
use crate::store::{LossCause, Record, rfc3339};
use crate::trail;

/// Processes of a chain that are named before "and N more".
const PROCESSES: usize = 6;
const ADVICE: usize = 3;

#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    pub colour: bool,
}

/// One line without its end: severity, what, container and exposure, cause.
pub fn line(alert: &Alert) -> String {
    let mut line = format!("{}: {}", alert.severity.name(), report::printable(&alert.summary));
    if let Some(container) = container_name(alert) {
        let _ = write!(line, "; container {container}");
    }
    let exposure = exposure(alert);
    if !exposure.is_empty() {
        let _ = write!(line, "; {exposure}");
    }
    let _ = write!(line, "; {}", outcome(alert));
    if alert.count > 1 {
        let _ = write!(line, "; {} times", alert.count);
    }
    let _ = write!(line, " [{}]", report::printable(alert.cause_name()));
    line
}

/// A block of a few lines, with an empty line after it.
pub fn block(alert: &Alert, options: Options) -> String {
    let mut out = String::new();
    let paint = Paint(options.colour);
    let severity = paint.severity(alert.severity);
    let times = if alert.count > 1 { format!(" ({} times)", alert.count) } else { String::new() };
    let cause = report::printable(alert.cause_name());
    let summary = report::printable(&alert.summary);
    // Writing to a String does not fail.
    let _ = writeln!(out, "{severity}{} [{cause}]", paint.bold(&format!(": {summary}{times}")));
    let _ = writeln!(out, "  {} {}", paint.dim("-->"), place(alert));
    let mut notes: Vec<(&str, String)> = Vec::new();
    let exposure = exposure(alert);
    if !exposure.is_empty() {
        notes.push(("exposure", exposure));
    }
    notes.push(("outcome", outcome(alert)));
    if let Cause::Rule { output, priority, .. } = &alert.cause {
        notes.push(("rule", format!("{}: {}", report::printable(priority), report::printable(output))));
    }
    if let Some(chain) = chain(alert) {
        notes.push(("by", chain));
    }
    if let Some(arguments) = alert.processes.first().filter(|p| !p.arguments.is_empty()) {
        notes.push(("command", report::printable(&arguments.arguments.join(" ")).into_owned()));
    }
    if let Cause::Attempt { attack, .. } = &alert.cause
        && !attack.is_empty()
    {
        notes.push(("attack", report::printable(&attack.join(", ")).into_owned()));
    }
    let advice: Vec<_> =
        alert.advice.iter().take(ADVICE).map(|a| report::printable(a).into_owned()).collect();
    if !advice.is_empty() {
        notes.push(("do", advice.join(", or ")));
    }
    for (name, text) in notes {
        let _ = writeln!(out, "   {} {:9} {text}", paint.dim("="), format!("{name}:"));
    }
    out.push('\n');
    out
}

/// Any record as one line, with its time.
pub fn record_line(record: &Record) -> String {
    let time = rfc3339(record.time());
    let printable = |text: &str| report::printable(text).into_owned();
    let text = match record {
        Record::Alert(alert) => line(alert),
        Record::Blind(blind) => format!(
            "blind: {} {} events of the {} lane were lost within {:.3} s",
            blind.lost,
            printable(&blind.kind),
            match blind.lane {
                sensor::event::Lane::Rare => "rare",
                sensor::event::Lane::Bulk => "bulk",
            },
            blind.since_boot.saturating_sub(blind.from) as f64 / 1e9
        ),
        Record::Loss(loss) => {
            let counts: Vec<String> =
                loss.lost.iter().map(|l| format!("{} of kind {}", l.count, l.kind.name())).collect();
            let counts = match (counts.is_empty(), loss.exact) {
                (true, true) => "no records".to_owned(),
                (true, false) => "an unknown number of records".to_owned(),
                (false, true) => counts.join(", "),
                (false, false) => format!("at least {}", counts.join(", ")),
            };
            let why = match &loss.cause {
                LossCause::QueueFull => "more came than could be written".to_owned(),
                LossCause::CouldNotWrite { why } => format!("the store could not write: {}", printable(why)),
                LossCause::Killed => "the process ended before they were written".to_owned(),
                LossCause::Corrupt { moved_to, .. } => {
                    format!("the database was corrupt and is kept at {}", printable(moved_to))
                }
            };
            format!("loss: {counts} since {}: {why}", rfc3339(loss.from))
        }
        Record::Container(seen) => {
            let name = seen.container.name.as_deref().or(seen.container.id.as_deref()).unwrap_or("not known");
            let verdict = seen.container.verdict.as_deref().unwrap_or("not judged");
            let state = if seen.ended.is_some() { "ended" } else { "runs" };
            format!("container: {} {state}, {}", printable(name), printable(verdict))
        }
        Record::Heartbeat(beat) => {
            let problems = if beat.problems.is_empty() {
                String::new()
            } else {
                format!("; {}", printable(&beat.problems.join("; ")))
            };
            format!(
                "heartbeat: {} containers, {} rare and {} bulk events, {} and {} lost{problems}",
                beat.containers, beat.rare, beat.bulk, beat.rare_lost, beat.bulk_lost
            )
        }
        Record::Trail(trail) => format!("trail: {}", step(&trail.step)),
    };
    format!("{time} {text}")
}

/// What was done to which container, with which command; where a process got more than its container, that.
fn step(step: &trail::Record) -> String {
    if let Some(notice) = step.notice() {
        return report::printable(&notice).into_owned();
    }
    let action = match &step.action {
        trail::Action::Other(word) => word.clone(),
        known => {
            serde_json::to_value(known).ok().and_then(|v| v.as_str().map(str::to_owned)).unwrap_or_default()
        }
    };
    let name = step.name.as_deref().or(step.id.as_deref()).unwrap_or("a container that is not known");
    let command = step.exec.as_ref().map_or(String::new(), |exec| format!(": {}", exec.command.join(" ")));
    report::printable(&format!("{action} {name}{command}")).into_owned()
}

/// When and where: the container by name, identifier, engine and image; or the host.
fn place(alert: &Alert) -> String {
    let time = rfc3339(alert.time);
    let Some(container) = &alert.container else { return format!("host, {time}") };
    let mut about: Vec<String> = Vec::new();
    if let Some(engine) = &container.engine {
        about.push(engine.clone());
    }
    if let (Some(id), Some(_)) = (&container.id, &container.name) {
        about.push(id.chars().take(12).collect());
    }
    if let Some(image) = &container.image {
        about.push(image.clone());
    }
    let name = container_name(alert).unwrap_or_default();
    let about = if about.is_empty() { String::new() } else { format!(" ({})", about.join(", ")) };
    format!("container {name}{}, {time}", report::printable(&about))
}

fn container_name(alert: &Alert) -> Option<String> {
    let container = alert.container.as_ref()?;
    let name =
        container.name.clone().or_else(|| container.id.as_ref().map(|id| id.chars().take(12).collect()));
    Some(name.map_or_else(
        || format!("not known (key {})", container.key.0),
        |name| report::printable(&name).into_owned(),
    ))
}

/// The exposure in words; empty where it does not apply.
pub fn exposure(alert: &Alert) -> String {
    match &alert.exposure {
        Exposure::Open => "this path is open for this container".into(),
        Exposure::Held { barriers, depth } => {
            let walls = if *depth == 1 { "wall" } else { "walls" };
            format!("held by {depth} {walls} ({})", report::printable(&barriers.join(", ")))
        }
        Exposure::NotKnown { missing } if missing.is_empty() => {
            "whether this path is open is not known".into()
        }
        Exposure::NotKnown { missing } => {
            format!(
                "whether this path is open is not known (hangs on: {})",
                report::printable(&missing.join("; "))
            )
        }
        Exposure::DoesNotApply => String::new(),
    }
}

fn outcome(alert: &Alert) -> String {
    match &alert.outcome {
        Outcome::Done => "the kernel let it happen".into(),
        Outcome::Refused { name, .. } => format!("the kernel refused it ({})", report::printable(name)),
        Outcome::NotKnown => "whether it succeeded is not known".into(),
    }
}

/// `nginx(4100) -> sh(4242)`: the first process of the container to the one that did it.
fn chain(alert: &Alert) -> Option<String> {
    let first = alert.processes.first()?;
    let mut names: Vec<String> = alert
        .processes
        .iter()
        .take(PROCESSES)
        .map(|p| format!("{}({})", report::printable(&p.name), p.task.process))
        .collect();
    names.reverse();
    let more = alert.processes.len().saturating_sub(PROCESSES);
    let more = if more > 0 { format!("{more} more -> ") } else { String::new() };
    let user = first.user.as_ref().map_or_else(
        || format!("user {}", first.credentials.euid),
        |user| format!("user {}", report::printable(user)),
    );
    Some(format!("{more}{}, {user}", names.join(" -> ")))
}

/// ANSI colours, or none.
struct Paint(bool);

impl Paint {
    fn with(&self, code: &str, text: &str) -> String {
        if self.0 { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }

    fn severity(&self, severity: Severity) -> String {
        let code = match severity {
            Severity::Critical | Severity::High => "1;31",
            Severity::Medium => "1;33",
            Severity::Low => "1;36",
            Severity::Info => "1;32",
        };
        self.with(code, severity.name())
    }

    fn bold(&self, text: &str) -> String {
        self.with("1", text)
    }

    fn dim(&self, text: &str) -> String {
        self.with("34", text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::samples;

    #[test]
    fn an_open_attempt_reads_so() {
        let expected = "\
critical: sh opened the release_agent of a cgroup for writing [cgroup-release-agent]
  --> container web (docker, 4ba7c0ffee00, nginx:1.29), 2026-11-23T03:09:26.535Z
   = exposure: this path is open for this container
   = outcome:  the kernel let it happen
   = by:       nginx(4100) -> sh(4242), user root
   = command:  sh -c echo > /sys/fs/cgroup/release_agent
   = attack:   T1611
   = do:       stop the container: docker stop web, or drop CAP_SYS_ADMIN

";
        assert_eq!(block(&samples::attempt(), Options::default()), expected);
    }

    #[test]
    fn a_held_attempt_and_a_rule_on_the_host_read_so() {
        let expected = "\
low: sh opened the release_agent of a cgroup for writing [cgroup-release-agent]
  --> container db (docker, 4ba7c0ffee00, nginx:1.29), 2026-11-23T03:09:26.535Z
   = exposure: held by 2 walls (capabilities, seccomp)
   = outcome:  the kernel refused it (EPERM)
";
        assert!(block(&samples::held(), Options::default()).starts_with(expected));
        let expected = "\
medium: cat read /etc/shadow (3 times) [Read sensitive file untrusted]
  --> host, 2026-11-23T03:09:26.536Z
   = outcome:  the kernel refused it (EACCES)
   = rule:     warning: Sensitive file opened

";
        assert_eq!(block(&samples::rule_match(), Options::default()), expected);
    }

    #[test]
    fn every_kind_of_record_has_a_line() {
        let lines = [
            (Record::Trail(samples::trail(5).into()), "trail: exec-start web: sh"),
            (
                Record::Blind(samples::blind()),
                "blind: 12 open events of the bulk lane were lost within 0.000 s",
            ),
            (
                Record::Heartbeat(samples::heartbeat()),
                "heartbeat: 2 containers, 10 rare and 0 bulk events, 0 and 0 lost; x",
            ),
            (Record::Container(samples::seen(7).into()), "container: web runs, open"),
            (
                Record::Loss(samples::loss()),
                "loss: at least 3 of kind trail since 2026-11-23T03:09:26.535Z: the store could not write: full",
            ),
        ];
        for (record, expected) in lines {
            assert_eq!(record_line(&record), format!("2026-11-23T03:09:26.535Z {expected}"));
        }
    }

    #[test]
    fn a_line_says_the_same_in_short() {
        assert_eq!(
            line(&samples::not_known()),
            "high: sh opened the release_agent of a cgroup for writing; container web; whether this path is open is \
             not known (hangs on: kernel version); whether it succeeded is not known [cgroup-release-agent]"
        );
    }

    #[test]
    fn what_others_wrote_cannot_steer_the_terminal_or_add_lines() {
        let mut alert = samples::attempt();
        let bad = "x\u{1b}[2J\n\u{202e}y";
        alert.summary = bad.into();
        alert.advice = vec![bad.into()];
        alert.exposure = Exposure::Held { barriers: vec![bad.into()], depth: 1 };
        if let Some(container) = &mut alert.container {
            container.name = Some(bad.into());
            container.image = Some(bad.into());
            container.engine = Some(bad.into());
        }
        for process in &mut alert.processes {
            process.name = bad.into();
            process.user = Some(bad.into());
            process.arguments = vec![bad.into()];
        }
        let lines = block(&alert, Options::default()).lines().count();
        for text in [block(&alert, Options::default()), line(&alert), record_line(&alert.clone().into())] {
            assert!(!text.contains(['\u{1b}', '\u{202e}']), "{text}");
        }
        assert_eq!(lines, block(&samples::attempt(), Options::default()).lines().count());
        assert!(block(&samples::attempt(), Options { colour: true }).contains("\u{1b}[1;31mcritical"));
    }
}

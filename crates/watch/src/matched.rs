//! A rule's match in the words of alerts: shared by live events and captures.

use rules::load::Priority;
use rules::{Event, Rule};

use crate::alert::{Alert, Cause, Container, Exposure, Outcome, Process, Severity};
use crate::fields::View;
use crate::pipeline::RuleMatch;

/// What a priority weighs among alerts. A rule does not know the container's exposure, so that only those who wrote it say
/// how grave it is.
pub fn severity(priority: Priority) -> Severity {
    match priority {
        Priority::Emergency | Priority::Alert | Priority::Critical => Severity::Critical,
        Priority::Error => Severity::High,
        Priority::Warning => Severity::Medium,
        Priority::Notice => Severity::Low,
        Priority::Informational | Priority::Debug => Severity::Info,
    }
}

/// The match, worded by the rule's template.
pub fn rule_match<E: Event + ?Sized>(rule: &Rule, event: &E) -> RuleMatch {
    RuleMatch {
        rule: rule.name.clone(),
        priority: rule.priority.name().to_owned(),
        severity: severity(rule.priority),
        tags: rule.tags.iter().cloned().collect(),
        output: rule.output.format(event),
        source_file: rule.path.to_string(),
    }
}

impl RuleMatch {
    pub fn cause(self) -> Cause {
        Cause::Rule {
            name: self.rule,
            priority: self.priority,
            tags: self.tags,
            output: self.output,
            source_file: self.source_file,
        }
    }
}

/// The alert about an event of a capture. What a capture does not hold (credentials beyond the user, hashes, exposure) is
/// absent.
pub fn captured(rule: &Rule, view: &View<'_>) -> Alert {
    let matched = rule_match(rule, view);
    let time = view.event().time;
    Alert {
        id: 0,
        time: i64::try_from(time).unwrap_or(i64::MAX),
        since_boot: 0,
        severity: matched.severity,
        summary: matched.output.clone(),
        cause: matched.cause(),
        outcome: outcome(view),
        exposure: Exposure::DoesNotApply,
        container: container(view),
        processes: processes(view),
        advice: Vec::new(),
        count: 1,
        event: None,
    }
}

fn outcome(view: &View<'_>) -> Outcome {
    match view.named("evt.rawres") {
        Some(rules::Value::Signed(result)) if result < 0 => match i32::try_from(-result) {
            Ok(errno) => {
                let name = crate::attempts::outcome::errno_name(errno);
                Outcome::Refused { errno, name }
            }
            Err(_) => Outcome::NotKnown,
        },
        Some(rules::Value::Signed(_)) => Outcome::Done,
        _ => Outcome::NotKnown,
    }
}

fn container(view: &View<'_>) -> Option<Container> {
    let id = view.container_id()?;
    let mut container = crate::containers::nothing_known(sensor::event::ContainerKey(0));
    container.id = Some(id.into_owned());
    if let Some(known) = view.container() {
        container.id = known.full_id.clone().or(container.id);
        container.name.clone_from(&known.name);
        container.image.clone_from(&known.image);
        container.image_digest.clone_from(&known.digest);
        container.engine.clone_from(&known.engine);
        container.privileged = known.privileged;
        container.labels.clone_from(&known.labels);
    }
    Some(container)
}

fn processes(view: &View<'_>) -> Vec<Process> {
    let Some(thread) = view.thread() else { return Vec::new() };
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let number = |number: i64| u32::try_from(number).unwrap_or(0);
    std::iter::once(thread)
        .chain(view.state().ancestors(thread))
        .map(|thread| Process {
            task: sensor::event::Task {
                process: number(thread.process),
                thread: number(thread.thread),
                start: 0,
            },
            process_inside: number(thread.process_inside),
            name: text(&thread.name),
            executable: thread.image.path.as_deref().map(text),
            executable_id: sensor::event::FileId {
                device: (0, 0),
                inode: thread.image.file.inode.unwrap_or(0),
            },
            sha256: None,
            arguments: thread
                .image
                .arguments
                .split(|byte| *byte == 0)
                .filter(|argument| !argument.is_empty())
                .map(text)
                .collect(),
            credentials: sensor::event::Credentials {
                uid: thread.uid,
                euid: thread.uid,
                gid: thread.gid,
                egid: thread.gid,
                ..Default::default()
            },
            user: None,
            from_before: false,
        })
        .collect()
}

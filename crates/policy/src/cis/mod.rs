//! The CIS Docker Benchmark 1.6, by the numbers that docker-bench-security gives its checks.
//!
//! Facts come in: of containers and engines as confinements, of the host and its engine beyond these as an
//! [`Inventory`](sources::inventory::Inventory); one result a check and subject goes out. [`table`] says what each
//! check is, in words of this project: the benchmark's text is CIS's own. What a subject is asked follows from its
//! kind: containers section 5, build files section 4, an engine or its daemon.json section 2 and what its API tells, a
//! host sections 1 and 3.

mod daemon;
mod host;
mod image;
mod operations;
pub mod page;
mod runtime;
mod table;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;

use confinement::engine::Settings;
use confinement::{EngineKind, Fact, Form, Origin, Place, Subject, SubjectKind};
use serde::Serialize;
use sources::inventory::{EngineInventory, HostInventory, Inventory};
use techniques::technique::Catalogue;

use crate::pod_security::{ControlResult, StandardResult, Verdict, Violation};

pub use table::CHECKS;

/// The name of the standard, and the one version there is.
pub const NAME: &str = "cis-docker";
pub const VERSION: &str = "1.6";

/// One check of the benchmark.
pub struct Check {
    pub id: &'static str,
    /// What is wanted, as a statement.
    pub title: &'static str,
    /// The profile: 1 is for everyone, 2 for where more security is worth some trouble.
    pub level: u8,
    /// Whether CIS calls the assessment automated. Others are decided here too wherever facts decide them.
    pub automated: bool,
    pub remedy: &'static str,
    /// Sections of NIST SP 800-190 (the risks, 3.x).
    pub nist: &'static [&'static str],
    /// MITRE ATT&CK, where no technique of the catalogue says it already.
    attack: &'static [&'static str],
    /// What it is decided by, and when it is not.
    pub reads: &'static str,
    pub unknown: &'static str,
    judges: Judges,
}

/// Who is asked, and how. Several may be.
struct Judges {
    host: Option<fn(&HostInventory) -> Ruling>,
    daemon: Option<fn(&Settings) -> Ruling>,
    engine: Option<fn(&EngineInventory) -> Ruling>,
    image: Option<fn(&Subject) -> Ruling>,
    container: Option<fn(&Subject) -> Ruling>,
}

const NOBODY: Judges = Judges { host: None, daemon: None, engine: None, image: None, container: None };

impl Check {
    /// `5` of `5.4`.
    pub fn section(&self) -> &'static str {
        self.id.split('.').next().unwrap_or(self.id)
    }

    /// Techniques of the catalogue that the check stands against.
    pub fn techniques(&self) -> impl Iterator<Item = &'static str> + use<> {
        let id = self.id;
        let all = Catalogue::get().techniques.iter();
        all.filter(move |t| t.references.cis_docker.iter().any(|number| number == id)).map(|t| t.id)
    }

    /// Its own and its techniques' numbers of MITRE ATT&CK, sorted.
    pub fn attack(&self) -> Vec<&'static str> {
        let all = Catalogue::get().techniques.iter();
        let of = all.filter(|t| t.references.cis_docker.iter().any(|number| number == self.id));
        let mut found: Vec<&str> = of.flat_map(|t| t.references.attack.iter().map(String::as_str)).collect();
        found.extend(self.attack);
        found.sort_unstable();
        found.dedup();
        found
    }

    /// Whether what runs on a machine must be looked at (`host:`, `docker:`): no file decides it.
    pub fn needs_live(&self) -> bool {
        let Judges { daemon, image, container, .. } = &self.judges;
        daemon.is_none() && image.is_none() && container.is_none()
    }
}

impl fmt::Debug for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Check({})", self.id)
    }
}

/// The titles of the sections.
pub const SECTIONS: &[(&str, &str)] = &[
    ("1", "Host"),
    ("2", "Daemon"),
    ("3", "Files of the daemon"),
    ("4", "Images and build files"),
    ("5", "Containers"),
    ("6", "Operations"),
    ("7", "Swarm mode"),
];

/// A check by its number.
pub fn check(id: &str) -> Option<&'static Check> {
    CHECKS.iter().find(|check| check.id == id)
}

/// What a check says of one subject.
struct Ruling {
    result: Verdict,
    violations: Vec<Told>,
}

/// A sentence, with where it was learnt.
struct Told {
    message: String,
    origin: Option<Origin>,
}

impl Ruling {
    const PASS: Ruling = Ruling { result: Verdict::Pass, violations: Vec::new() };

    fn of(result: Verdict, message: impl Into<String>) -> Ruling {
        Ruling { result, violations: vec![Told { message: message.into(), origin: None }] }
    }
    fn fail(message: impl Into<String>, origin: &Origin) -> Ruling {
        Ruling::with(Verdict::Fail, message, origin)
    }
    fn unknown(message: impl Into<String>, origin: &Origin) -> Ruling {
        Ruling::with(Verdict::Unknown, message, origin)
    }
    fn manual(message: impl Into<String>) -> Ruling {
        Ruling::of(Verdict::Manual, message)
    }
    fn not_applicable(message: impl Into<String>) -> Ruling {
        Ruling::of(Verdict::NotApplicable, message)
    }
    fn with(result: Verdict, message: impl Into<String>, origin: &Origin) -> Ruling {
        let origin = Some(origin.clone()).filter(|origin| *origin != Origin::Nowhere);
        Ruling { result, violations: vec![Told { message: message.into(), origin }] }
    }

    /// Fails with all that is told against it, each once; passes where that is nothing.
    fn all(mut violations: Vec<Told>) -> Ruling {
        violations.dedup_by(|a, b| a.message == b.message && a.origin == b.origin);
        if violations.is_empty() { Ruling::PASS } else { Ruling { result: Verdict::Fail, violations } }
    }

    /// Passes if the fact is as it should be; fails with the message, or says that it is not known.
    fn by<T>(
        fact: &Fact<T>,
        what: &str,
        holds: impl FnOnce(&T) -> bool,
        against: impl FnOnce() -> String,
    ) -> Ruling {
        match fact.get() {
            Some(value) if holds(value) => Ruling::PASS,
            Some(_) => Ruling::fail(against(), &fact.origin),
            None => Ruling::unknown(format!("{what} is not known"), &fact.origin),
        }
    }

    fn into_control(self, check: &'static Check) -> ControlResult {
        let place = |told: &Told| told.origin.as_ref().and_then(Origin::place).cloned();
        let location = self.violations.iter().find_map(place);
        let origin = self.violations.iter().find_map(|told| told.origin.clone());
        let messages: Vec<&str> = self.violations.iter().map(|told| told.message.as_str()).collect();
        ControlResult {
            id: check.id,
            result: self.result,
            message: messages.join("; "),
            location,
            // A place in a file is said already.
            origin: origin.filter(|origin| origin.place().is_none()),
            violations: match self.violations.len() {
                0 | 1 => Vec::new(),
                _ => {
                    let each = self.violations.into_iter();
                    each.map(|told| Violation { location: place(&told), message: told.message }).collect()
                }
            },
        }
    }
}

impl Told {
    fn new(message: impl Into<String>, origin: &Origin) -> Told {
        Told { message: message.into(), origin: Some(origin.clone()) }
    }
}

/// Judges one subject by every check that is about subjects of its kind; `None` where none is: the benchmark is about
/// Docker. The inventory is that of the machine whose host and engine are among the subjects.
pub fn evaluate(subject: &Subject, inventory: &Inventory) -> Option<StandardResult> {
    let controls = controls(subject, inventory);
    if controls.is_empty() {
        return None;
    }
    let has = |verdict| controls.iter().any(|control| control.result == verdict);
    let result = match (has(Verdict::Fail), has(Verdict::Unknown)) {
        (true, _) => Verdict::Fail,
        (false, true) => Verdict::Unknown,
        (false, false) => Verdict::Pass,
    };
    Some(StandardResult { standard: NAME.to_owned(), version: VERSION.to_owned(), result, controls })
}

fn controls(subject: &Subject, inventory: &Inventory) -> Vec<ControlResult> {
    let of_docker = subject.confinement.engine.as_ref().filter(|engine| engine.kind == EngineKind::Docker);
    let judged: Box<dyn Fn(&Judges) -> Option<Ruling>> = match (subject.kind, subject.form, of_docker) {
        (SubjectKind::Host, ..) => {
            let Some(host) = &inventory.host else { return Vec::new() };
            Box::new(|judges| Some(judges.host?(host)))
        }
        (SubjectKind::Container, Form::Compose | Form::DockerRun | Form::DockerLive, Some(_)) => {
            Box::new(|judges| Some(judges.container?(subject)))
        }
        (SubjectKind::Image, Form::Dockerfile, _) => Box::new(|judges| Some(judges.image?(subject))),
        (SubjectKind::Engine, Form::Daemon, Some(engine)) => {
            Box::new(|judges| Some(judges.daemon?(&engine.settings)))
        }
        (SubjectKind::Engine, Form::DockerLive, Some(engine)) => Box::new(|judges| {
            let live = || Some(judges.engine?(inventory.engine.as_ref()?));
            judges.daemon.map(|judge| judge(&engine.settings)).or_else(live)
        }),
        _ => return Vec::new(),
    };
    let mut found = Vec::with_capacity(if subject.kind == SubjectKind::Container { 32 } else { 0 });
    for check in CHECKS {
        found.extend(judged(&check.judges).map(|ruling| ruling.into_control(check)));
    }
    // The daemon's settings say nothing of swarm mode, with which live restore does not go together.
    if let Some(swarm) = inventory.engine.as_ref().and_then(|engine| engine.swarm.as_ref())
        && swarm.active
        && let Some(control) = found.iter_mut().find(|control| control.id == "2.15")
        && control.result == Verdict::Fail
        && let Some(check) = self::check("2.15")
    {
        *control =
            Ruling::not_applicable("swarm mode and live restore exclude each other").into_control(check);
    }
    found
}

/// What the whole run says by one check.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Counts {
    pub pass: usize,
    pub fail: usize,
    pub unknown: usize,
    pub manual: usize,
    pub not_applicable: usize,
}

impl Counts {
    pub fn add(&mut self, verdict: Verdict) {
        *match verdict {
            Verdict::Pass => &mut self.pass,
            Verdict::Fail => &mut self.fail,
            Verdict::Unknown => &mut self.unknown,
            Verdict::Manual => &mut self.manual,
            Verdict::NotApplicable => &mut self.not_applicable,
        } += 1;
    }

    /// The check as a whole: what fails somewhere fails.
    pub fn verdict(&self) -> Option<Verdict> {
        let order = [
            (self.fail, Verdict::Fail),
            (self.unknown, Verdict::Unknown),
            (self.manual, Verdict::Manual),
            (self.pass, Verdict::Pass),
            (self.not_applicable, Verdict::NotApplicable),
        ];
        order.into_iter().find(|(count, _)| *count > 0).map(|(_, verdict)| verdict)
    }
}

/// For every check how many subjects there are of each result, in the order of the table; a check that nobody was asked
/// has none.
pub fn summary<'r>(results: impl Iterator<Item = &'r StandardResult>) -> Vec<(&'static Check, Counts)> {
    let mut counts: BTreeMap<&str, Counts> = BTreeMap::new();
    for control in results.filter(|result| result.standard == NAME).flat_map(|result| &result.controls) {
        counts.entry(control.id).or_default().add(control.result);
    }
    CHECKS.iter().map(|check| (check, counts.get(check.id).copied().unwrap_or_default())).collect()
}

/// Where a fact stands, for a file's or a setting's path.
fn read(what: &str) -> Origin {
    Origin::measured(what)
}

/// Where a container is declared.
fn declared(subject: &Subject) -> Origin {
    match &subject.place {
        Some(place) => Origin::File(Place::clone(place)),
        None => Origin::Nowhere,
    }
}

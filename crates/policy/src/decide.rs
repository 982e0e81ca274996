//! The decision: one subject as it was judged goes in, and whether it may be comes out, with every reason. The same
//! function decides for the audit, for CI and for every gate.
//!
//! A [`Policy`] is never changed once it is read, so any number of threads may decide by it at once. Nothing here reads a
//! file, a clock or a setting.

use std::sync::Arc;

use confinement::{Place, Subject, World};
use jiff::civil::Date;
use serde::Serialize;
use sources::inventory::Inventory;
use techniques::judge::{Finding, Judged, Options, Verdict};

use crate::doors::Doors;
use crate::pod_security::Verdict as ControlVerdict;
use crate::published::{self, Class, Reference, every_finding, place_of};
use crate::reading::ReadError;
use crate::rule::read::{self, RegoFiles};
use crate::rule::{Images, Mode, RegoPolicy, Rule, Selector};
use crate::standard::Standard;
use crate::waiver::{Item, State, WARN_DAYS, Waiver, WaiverEntry, Waivers};
use crate::{cis, condition_input};

/// What may be done with a subject.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    Allow,
    Warn,
    Deny,
}

impl Outcome {
    pub fn name(self) -> &'static str {
        match self {
            Outcome::Allow => "allow",
            Outcome::Warn => "warn",
            Outcome::Deny => "deny",
        }
    }

    fn mode(self) -> Option<Mode> {
        match self {
            Outcome::Allow => None,
            Outcome::Warn => Some(Mode::Warn),
            Outcome::Deny => Some(Mode::Enforce),
        }
    }
}

/// Who honours waivers that stand beside what they waive. Whoever writes a file can write one, so a gate that honours
/// them refuses only those who did not read this sentence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InPlace {
    Never,
    /// Audits and CI, where somebody reads the change.
    Audit,
    Everywhere,
}

/// The rules in force.
#[derive(Debug)]
pub struct Policy {
    /// The file it was read from; `None` for the policy that is there without a file.
    pub path: Option<Arc<str>>,
    /// What is done with a complete path to the host.
    pub open: Outcome,
    /// What is done where an unknown fact decides.
    pub undetermined: Outcome,
    pub in_place: InPlace,
    pub rules: Vec<Rule>,
    pub rego: Vec<RegoPolicy>,
    /// What gates do with requests that make no container.
    pub doors: Doors,
}

impl Default for Policy {
    /// What holds without a file: what is open is denied, what may be open too, the rest is allowed.
    fn default() -> Policy {
        Policy {
            path: None,
            open: Outcome::Deny,
            undetermined: Outcome::Deny,
            in_place: InPlace::Audit,
            rules: Vec::new(),
            rego: Vec::new(),
            doors: Doors::default(),
        }
    }
}

/// One thing a rule has against a subject.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Reason {
    /// The rule's name; `open` and `undetermined` are the policy's own.
    pub rule: Arc<str>,
    pub mode: Mode,
    /// The technique, or `pss-baseline/hostPathVolumes`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub technique: Option<Arc<str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fingerprint: Option<Arc<str>>,
    pub message: String,
    /// What to do, where the judgement knows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remedy: Option<String>,
    #[serde(rename = "location", skip_serializing_if = "Option::is_none")]
    pub place: Option<Place>,
}

/// A reason that a waiver takes back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WaivedReason {
    pub reason: Reason,
    pub waiver: Waiver,
    /// Days left, where they are few.
    pub ends_in: Option<i32>,
}

impl Serialize for WaivedReason {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Entry<'a> {
            reason: &'a Reason,
            waiver: WaiverEntry<'a>,
        }
        Entry { reason: &self.reason, waiver: (&self.waiver).into() }.serialize(serializer)
    }
}

/// A part of the policy that could not be evaluated. What enforces fails closed: its outcome is [`Outcome::Deny`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct EvaluationError {
    pub rule: Arc<str>,
    pub mode: Mode,
    pub message: String,
}

/// What is decided about one subject.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Decision {
    pub outcome: Outcome,
    /// Worst first.
    pub reasons: Vec<Reason>,
    pub waived: Vec<WaivedReason>,
    pub errors: Vec<EvaluationError>,
}

impl Decision {
    /// In one sentence, for whoever asked: a daemon prints it as it is.
    pub fn message(&self, subject: &str) -> String {
        let mut told: Vec<String> = Vec::new();
        let weight = match self.outcome {
            Outcome::Deny => Mode::Enforce,
            Outcome::Warn => Mode::Warn,
            Outcome::Allow => return format!("{subject}: allowed"),
        };
        // Many techniques may come to the same, and have the same remedy: that is said once.
        let mut alike: Vec<(&Reason, Vec<&str>)> = Vec::new();
        for reason in self.reasons.iter().filter(|r| r.mode == weight) {
            let same = |(r, _): &&mut (&Reason, Vec<&str>)| {
                (&r.rule, &r.message, &r.remedy) == (&reason.rule, &reason.message, &reason.remedy)
            };
            let technique = reason.technique.as_deref();
            match alike.iter_mut().find(same) {
                Some((_, techniques)) => techniques.extend(technique),
                None => alike.push((reason, technique.into_iter().collect())),
            }
        }
        for (reason, techniques) in alike {
            let mut text = format!("{} (rule {}", reason.message, reason.rule);
            for technique in techniques.iter().take(3) {
                text.push_str(&format!(", {technique}"));
            }
            if let Some(more) = techniques.len().checked_sub(3).filter(|more| *more > 0) {
                text.push_str(&format!(" and {more} more"));
            }
            text.push(')');
            if let Some(remedy) = &reason.remedy {
                text.push_str(&format!("; {remedy}"));
            }
            told.push(text);
        }
        for error in self.errors.iter().filter(|e| e.mode == weight) {
            told.push(format!("rule {} could not be evaluated: {}", error.rule, error.message));
        }
        let more = told.len().saturating_sub(3);
        told.truncate(3);
        if more > 0 {
            told.push(format!("and {more} more"));
        }
        let word = if self.outcome == Outcome::Deny { "denied" } else { "warned of" };
        format!("{subject}: {word}: {}", told.join(". "))
    }
}

impl Policy {
    pub(crate) fn of_file(path: Arc<str>) -> Policy {
        Policy { path: Some(path), ..Policy::default() }
    }

    /// Reads a policy from a file's text.
    pub fn parse(text: &str, path: &Arc<str>, files: &dyn RegoFiles) -> Result<Policy, ReadError> {
        read::policy(text, path, files)
    }

    /// What to judge with, so that findings are there for all that the rules ask.
    pub fn options(&self) -> Options {
        let depth = self.rules.iter().filter_map(|r| r.require.depth).max();
        Options { depth: depth.unwrap_or(1).max(1) }
    }

    /// Decides about an image by its name alone, before any container is made of it: by rules about every container of the
    /// image. What a rule leaves out, or asks only of some, is decided when the container is made.
    pub fn image(&self, image: &str) -> (Outcome, String) {
        let mut told = Vec::new();
        for rule in &self.rules {
            let Some(images) = &rule.require.images else { continue };
            let is_meant = rule.subjects.as_ref().is_none_or(|s| s.is_of_image(image).is_true())
                && rule.except.iter().all(|s| s.is_of_image(image).is_false());
            if is_meant {
                let against = against_reference(images, image);
                told.extend(
                    against.into_iter().map(|text| (rule.mode, format!("{text} (rule {})", rule.name))),
                );
            }
        }
        let outcome = match told.iter().map(|(mode, _)| *mode).max() {
            Some(Mode::Enforce) => Outcome::Deny,
            Some(Mode::Warn) => Outcome::Warn,
            Some(Mode::Record) | None => return (Outcome::Allow, String::new()),
        };
        let word = if outcome == Outcome::Deny { "denied" } else { "warned of" };
        let texts: Vec<String> = told
            .into_iter()
            .filter(|(mode, _)| outcome.mode() == Some(*mode))
            .map(|(_, text)| text)
            .collect();
        (outcome, format!("{word}: {}", texts.join(". ")))
    }

    /// Decides about one subject of a world that was judged with [`Policy::options`]. `today` ends waivers.
    pub fn decide(
        &self,
        world: &World,
        subject: &Subject,
        judged: &Judged,
        waivers: &Waivers,
        today: Date,
    ) -> Decision {
        let mut deciding = Deciding {
            world,
            subject,
            judged,
            waivers,
            today,
            decision: Decision {
                outcome: Outcome::Allow,
                reasons: Vec::new(),
                waived: Vec::new(),
                errors: Vec::new(),
            },
            input: None,
        };
        deciding.own(self);
        for rule in &self.rules {
            if applies(rule.subjects.as_ref(), &rule.except, subject) {
                deciding.rule(rule, self.undetermined);
            }
        }
        for rego in &self.rego {
            if applies(rego.subjects.as_ref(), &rego.except, subject) {
                deciding.rego(rego);
            }
        }
        deciding.finish()
    }
}

/// A rule that may be meant applies; an exception must be meant for certain.
fn applies(subjects: Option<&Selector>, except: &[Selector], subject: &Subject) -> bool {
    subjects.is_none_or(|s| !s.matches(subject).is_false())
        && !except.iter().any(|s| s.matches(subject).is_true())
}

struct Deciding<'a> {
    world: &'a World,
    subject: &'a Subject,
    judged: &'a Judged,
    waivers: &'a Waivers,
    today: Date,
    decision: Decision,
    /// The published document, made where a rule asks for it.
    input: Option<condition_input::Inputs>,
}

impl<'a> Deciding<'a> {
    fn finish(mut self) -> Decision {
        let decision = &mut self.decision;
        decision.reasons.sort_by_key(|r| std::cmp::Reverse(r.mode));
        let modes = decision.reasons.iter().map(|r| r.mode).chain(decision.errors.iter().map(|e| e.mode));
        decision.outcome = match modes.max() {
            Some(Mode::Enforce) => Outcome::Deny,
            Some(Mode::Warn) => Outcome::Warn,
            Some(Mode::Record) | None => Outcome::Allow,
        };
        self.decision
    }

    /// Keeps a reason, unless a waiver that holds takes it back.
    fn add(&mut self, reason: Reason, finding: Option<&Finding>) {
        if self.waivers.is_empty() {
            self.decision.reasons.push(reason);
            return;
        }
        let item = Item {
            subject: self.subject,
            id: reason.technique.as_deref(),
            rule: Some(&reason.rule),
            fingerprint: reason.fingerprint.as_deref(),
            finding,
            place: reason.place.as_ref(),
        };
        let waiver = self.waivers.of(&item).cloned();
        match waiver.map(|w| (w.state(self.today), w)) {
            Some((State::Holds { days }, waiver)) => {
                let ends_in = (days <= WARN_DAYS).then_some(days);
                self.decision.waived.push(WaivedReason { reason, waiver, ends_in });
            }
            Some((State::Expired { .. }, waiver)) => {
                let tail = format!("; its waiver ({}) ended on {}", waiver.place.path, waiver.until);
                let message = reason.message + &tail;
                self.decision.reasons.push(Reason { message, ..reason });
            }
            None => self.decision.reasons.push(reason),
        }
    }

    fn finding(
        &mut self,
        rule: &Arc<str>,
        mode: Mode,
        class: Class,
        finding: &'a Finding,
        say: Option<&str>,
    ) {
        let technique = finding.technique();
        let possible = finding.depth.min == 0 && finding.depth.max > 0;
        let says = finding.gain.says();
        let name = &self.subject.name;
        let told = match (class, finding.depth.min) {
            (Class::Weakness, _) => format!("{name} {says}"),
            (_, 0) if possible => format!("whether {name} {says} is not known"),
            (_, 0) => format!("{name} {says}"),
            (_, 1) => format!("1 wall stands between {name} and {}", finding.gain.name()),
            (_, n) => format!("{n} walls stand between {name} and {}", finding.gain.name()),
        };
        let message = say.map_or_else(|| told.clone(), |say| format!("{say}: {told}"));
        let reason = Reason {
            rule: rule.clone(),
            mode,
            technique: Some(technique.id.into()),
            fingerprint: Some(finding.fingerprint.as_str().into()),
            message,
            remedy: finding.remedies.first().map(|r| r.summary.clone()),
            place: place_of(self.subject, finding).cloned(),
        };
        self.add(reason, Some(finding));
    }

    fn plain(&mut self, rule: &Arc<str>, mode: Mode, message: String, place: Option<&Place>) {
        let place = place.or(self.subject.place.as_ref()).cloned();
        let reason = Reason {
            rule: rule.clone(),
            mode,
            technique: None,
            fingerprint: None,
            message,
            remedy: None,
            place,
        };
        self.add(reason, None);
    }

    /// The policy's own decision about what is open, and about what may be.
    fn own(&mut self, policy: &Policy) {
        let judged = self.judged;
        if let Some(mode) = policy.open.mode() {
            let open = Arc::from("open");
            for finding in judged.paths.iter().filter(|f| f.depth.max == 0) {
                self.finding(&open, mode, Class::Path, finding, None);
            }
            if judged.verdict == Verdict::Open && !judged.paths.iter().any(|f| f.depth.max == 0) {
                let message = format!("{} is open", self.subject.name);
                self.plain(&open, mode, message, None);
            }
        }
        // Beside what is open for certain, what may be open says nothing new.
        if !self.decision.reasons.is_empty() {
            return;
        }
        if let Some(mode) = policy.undetermined.mode() {
            let undetermined = Arc::from("undetermined");
            for finding in judged.paths.iter().filter(|f| f.depth.min == 0 && f.depth.max > 0) {
                self.finding(&undetermined, mode, Class::Path, finding, None);
            }
            if judged.verdict == Verdict::Undetermined && !judged.paths.iter().any(|f| f.depth.min == 0) {
                let message = format!("{} is undetermined", self.subject.name);
                self.plain(&undetermined, mode, message, None);
            }
        }
    }

    fn rule(&mut self, rule: &Rule, undetermined: Outcome) {
        let say = rule.message.as_deref();
        self.verdict(rule, say);
        self.depth(rule, say);
        for standard in &rule.require.standards {
            self.standard(rule, standard, undetermined, say);
        }
        if let Some(images) = &rule.require.images {
            for told in against_image(images, self.subject) {
                let message = say.map_or_else(|| told.clone(), |say| format!("{say}: {told}"));
                let place = self.subject.confinement.image.reference.origin.place().cloned();
                self.plain(&rule.name, rule.mode, message, place.as_ref());
            }
        }
        let forbid = &rule.forbid;
        if !forbid.techniques.is_empty() || !forbid.gains.is_empty() {
            for (class, finding) in every_finding(self.judged) {
                let named =
                    forbid.techniques.iter().any(|p| finding.steps.iter().any(|s| p.matches(s.technique.id)))
                        || forbid.gains.contains(&finding.gain);
                // What may be is as the policy says of what is not known.
                let counts =
                    finding.depth.max == 0 || finding.depth.min == 0 && undetermined == Outcome::Deny;
                if named && counts {
                    self.finding(&rule.name, rule.mode, class, finding, say);
                }
            }
        }
        if let Some(condition) = &rule.condition {
            match condition.holds(self.inputs().cel()) {
                Ok(true) => {}
                Ok(false) => {
                    let told = format!(
                        "{} does not meet the condition `{}`",
                        self.subject.name,
                        condition.source.trim()
                    );
                    let message = say.map_or(told, str::to_owned);
                    self.plain(&rule.name, rule.mode, message, None);
                }
                Err(error) => self.error(&rule.name, rule.mode, error.to_string()),
            }
        }
    }

    fn error(&mut self, rule: &Arc<str>, mode: Mode, message: String) {
        self.decision.errors.push(EvaluationError { rule: rule.clone(), mode, message });
    }

    fn verdict(&mut self, rule: &Rule, say: Option<&str>) {
        let allowed = &rule.require.verdict;
        let judged = self.judged;
        if allowed.is_empty() {
            return;
        }
        // By findings and not by the verdict as a whole, so that each can be waived.
        let against = |f: &&Finding| match (f.depth.min, f.depth.max) {
            (_, 0) => !allowed.contains(&Verdict::Open),
            (0, _) => !allowed.contains(&Verdict::Undetermined),
            _ => false,
        };
        let findings: Vec<&'a Finding> = judged.paths.iter().filter(against).collect();
        if findings.is_empty() && !allowed.contains(&judged.verdict) {
            let told = format!("{} is {}", self.subject.name, judged.verdict.name());
            let message = say.map_or(told, str::to_owned);
            self.plain(&rule.name, rule.mode, message, None);
        }
        for finding in findings {
            self.finding(&rule.name, rule.mode, Class::Path, finding, say);
        }
    }

    fn depth(&mut self, rule: &Rule, say: Option<&str>) {
        let Some(depth) = rule.require.depth else { return };
        let judged = self.judged;
        let findings: Vec<&'a Finding> = judged.paths.iter().filter(|f| f.depth.min < depth).collect();
        if findings.is_empty() && judged.depth.min < depth {
            // Judged with less depth than the policy asks for.
            let told = format!("fewer than {depth} walls stand between {} and the host", self.subject.name);
            let message = say.map_or(told, str::to_owned);
            self.plain(&rule.name, rule.mode, message, None);
        }
        for finding in findings {
            self.finding(&rule.name, rule.mode, Class::Path, finding, say);
        }
    }

    /// A rule knows the subject and no inventory: of the CIS Docker Benchmark it asks what is about containers, build
    /// files and settings of engines.
    fn standard(&mut self, rule: &Rule, standard: &Standard, undetermined: Outcome, say: Option<&str>) {
        let Some(result) = standard.evaluate(self.subject, &Inventory::default()) else { return };
        let against = |verdict: ControlVerdict| match verdict {
            ControlVerdict::Fail => true,
            // As the policy says of what is not known.
            ControlVerdict::Unknown => undetermined == Outcome::Deny,
            ControlVerdict::Pass | ControlVerdict::NotApplicable | ControlVerdict::Manual => false,
        };
        for control in result.controls.iter().filter(|c| against(c.result)) {
            let told =
                format!("{} does not meet {}: {}", self.subject.name, result.standard, control.message);
            let id = format!("{}/{}", result.standard, control.id);
            let reason = Reason {
                rule: rule.name.clone(),
                mode: rule.mode,
                fingerprint: Some(format!("{id}#{}", self.subject.id).into()),
                technique: Some(id.into()),
                message: say.map_or_else(|| told.clone(), |say| format!("{say}: {told}")),
                remedy: match standard {
                    Standard::CisDocker => cis::check(control.id).map(|check| check.remedy.to_owned()),
                    Standard::PodSecurity(_) => None,
                },
                place: control.location.as_ref().or(self.subject.place.as_ref()).cloned(),
            };
            self.add(reason, None);
        }
    }

    fn rego(&mut self, rego: &RegoPolicy) {
        match rego.evaluate(self.inputs().rego()) {
            Ok(said) => {
                for said in said {
                    let mode = if said.warns { rego.mode.min(Mode::Warn) } else { rego.mode };
                    let rule = format!("{}:{}", rego.name, said.rule).into();
                    self.plain(&rule, mode, said.message, None);
                }
            }
            Err(error) => self.error(&rego.name, rego.mode, error.to_string()),
        }
    }

    fn inputs(&mut self) -> &mut condition_input::Inputs {
        let (world, subject, judged) = (self.world, self.subject, self.judged);
        self.input
            .get_or_insert_with(|| condition_input::Inputs::of(published::document(world, subject, judged)))
    }
}

/// What is against an image. One whose name is not known meets nothing that is asked of it.
fn against_image(images: &Images, subject: &Subject) -> Vec<String> {
    // An engine or a host has no image.
    let has_image =
        matches!(subject.kind, confinement::SubjectKind::Container | confinement::SubjectKind::Workload);
    if !has_image {
        return Vec::new();
    }
    let Some(text) = subject.confinement.image.reference.get() else {
        return vec![format!("the image of {} is not known", subject.name)];
    };
    against_reference(images, text)
}

fn against_reference(images: &Images, text: &str) -> Vec<String> {
    let reference = Reference::parse(text);
    let mut told = Vec::new();
    let from = |p: &crate::pattern::Pattern| {
        p.matches(reference.registry)
            || p.matches(&format!("{}/{}", reference.registry, reference.repository))
    };
    if !images.registries.is_empty() && !images.registries.iter().any(from) {
        told.push(format!("the image {text} comes from {}", reference.registry));
    }
    if images.digest && reference.digest.is_none() {
        told.push(format!("the image {text} is not named by digest"));
    }
    if images.no_latest && reference.digest.is_none() && reference.tag == Some("latest") {
        told.push(format!("the image {text} has the tag latest, which moves"));
    }
    told
}

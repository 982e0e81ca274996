//! The search: from everything granted to a set of grants of which each one is needed.
//!
//! 1. The check must pass with everything granted, and fail where the workload is not there.
//! 2. Users are tried in the order of what they may do: those that are not root first.
//! 3. For each, a set of grants that passes is looked for, the cheap kinds before the dear ones, and minimised
//!    ([`minimise`]).
//! 4. What is found is run twice more, and each failure without one of its grants once more. An answer is that of the
//!    majority; where runs of one set disagree the result says so.
//!
//! What runs a container is behind [`Runner`], what has been run is in the journal, and a search that goes on from a
//! journal takes the same way through it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use confinement::CapabilitySet;

use super::TrialError;
use super::evidence::hints;
use super::grant::{Grant, ROOT_WEIGHT, User};
use super::journal::{Attempt, Event, Journal, Observed, Outcome, Run, Written};
use super::minimise::minimise;
use super::outcome::{Kept, Solution, Tried};

/// Refusals of a passing run that are told.
const MOST_REFUSED: usize = 5;

/// What runs containers.
pub(super) trait Runner: Sync {
    fn run(&self, number: u32, attempt: &Attempt, limit: Duration) -> Result<Run, TrialError>;
    /// As `run`, and what the container showed of what it needs.
    fn observe(&self, number: u32, attempt: &Attempt, limit: Duration)
    -> Result<(Run, Observed), TrialError>;
    /// Whether the check can be asked where the workload is not there.
    fn knows_without_workload(&self) -> bool;
    /// What the image has at these folders.
    fn writable(&self, paths: &[String]) -> Result<Vec<Written>, TrialError>;
    /// The folder to grant for a path that a message names; none where it is given already.
    fn folder_of(&self, path: &str) -> Option<String>;
    /// Remembers what the image has, for the options of a tmpfs.
    fn learn(&self, written: &[Written]);
    fn interrupted(&self) -> bool;
    /// The options that confine an attempt.
    fn options_for(&self, attempt: &Attempt) -> Vec<String>;
}

/// What the line gives, as grants.
#[derive(Clone, Debug)]
pub(super) struct Universe {
    /// Of the user's line, mounts of sockets included.
    pub(super) asked: Vec<Grant>,
    pub(super) capabilities: CapabilitySet,
    pub(super) privileged: bool,
    /// The line itself sets them; then they are never given back.
    pub(super) read_only: bool,
    pub(super) no_new_privileges: bool,
    pub(super) own: User,
    /// Other users than those that are observed.
    pub(super) more_users: Vec<User>,
}

#[derive(Clone, Debug)]
pub(super) struct Budget {
    pub(super) runs: u32,
    pub(super) time: Duration,
    pub(super) start_timeout: Duration,
    /// Containers at the same time.
    pub(super) jobs: usize,
    pub(super) also_own_user: bool,
    pub(super) allow_vacuous: bool,
}

/// Why the search ended before it was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cut {
    Runs,
    Time,
    Interrupted,
}

enum Stop {
    Error(TrialError),
    Cut(Cut),
}

impl From<TrialError> for Stop {
    fn from(error: TrialError) -> Stop {
        match error {
            TrialError::Interrupted => Stop::Cut(Cut::Interrupted),
            error => Stop::Error(error),
        }
    }
}

/// What came of it.
#[derive(Debug)]
pub(super) struct Found {
    /// Lightest first.
    pub(super) solutions: Vec<Solution>,
    /// Users under which nothing passes.
    pub(super) failed_users: Vec<Tried>,
    pub(super) cut: Option<Cut>,
    pub(super) runs: u32,
    pub(super) notes: Vec<String>,
}

/// Told before each run.
pub(super) type Progress<'a> = dyn Fn(u32, &str) + Sync + 'a;

pub(super) struct Search<'a> {
    runner: &'a dyn Runner,
    universe: &'a Universe,
    budget: &'a Budget,
    journal: Mutex<&'a mut Journal>,
    progress: &'a Progress<'a>,
    begun: Instant,
    runs: Vec<Run>,
    by_attempt: BTreeMap<Attempt, Vec<usize>>,
    observed: Option<Observed>,
    /// Of the runs that passed, in milliseconds.
    slowest: Option<u64>,
    /// The best so far of the user whose turn it is, for when the search is cut short.
    best: Option<Attempt>,
    found: Found,
}

impl<'a> Search<'a> {
    /// `past` is what the journal holds already.
    pub(super) fn new(
        runner: &'a dyn Runner,
        universe: &'a Universe,
        budget: &'a Budget,
        journal: &'a mut Journal,
        past: Vec<Event>,
        progress: &'a Progress<'a>,
    ) -> Search<'a> {
        let mut search = Search {
            runner,
            universe,
            budget,
            journal: Mutex::new(journal),
            progress,
            begun: Instant::now(),
            runs: Vec::new(),
            by_attempt: BTreeMap::new(),
            observed: None,
            slowest: None,
            best: None,
            found: Found {
                solutions: Vec::new(),
                failed_users: Vec::new(),
                cut: None,
                runs: 0,
                notes: Vec::new(),
            },
        };
        for event in past {
            match event {
                Event::Run(run) => search.keep(run),
                Event::Observed(observed) => search.observed = Some(observed),
                Event::Trial(_) | Event::End { .. } => {}
            }
        }
        search
    }

    /// Searches to the end, or as far as the budget goes.
    pub(super) fn run(mut self) -> Result<Found, TrialError> {
        match self.search() {
            Ok(()) => {}
            Err(Stop::Error(error)) => return Err(error),
            Err(Stop::Cut(cut)) => {
                self.found.cut = Some(cut);
                if let Some(attempt) = self.best.take() {
                    let partial = self.solution(&attempt, Vec::new(), false);
                    self.found.solutions.push(partial);
                }
            }
        }
        self.found.solutions.sort_by_key(|solution| (!solution.minimal, solution.weight));
        self.found.runs = u32::try_from(self.runs.len()).unwrap_or(u32::MAX);
        Ok(self.found)
    }

    fn search(&mut self) -> Result<(), Stop> {
        let everything = self.everything()?;
        self.without_workload(&everything)?;
        let observed = self.observed.clone().unwrap_or_default();
        self.runner.learn(&observed.written);
        let mut paths: Vec<Grant> = observed.written.iter().map(|written| written.grant.clone()).collect();
        let parts = self.parts(&everything);
        for user in self.users(&observed) {
            let is_own = user == self.universe.own;
            if is_own && self.is_settled() && !self.budget.also_own_user {
                break;
            }
            if !is_own && self.is_settled() {
                continue;
            }
            self.best = None;
            match self.first_passing_set(&user, &mut paths, &parts)? {
                Some(grants) => self.settle(&user, grants)?,
                None => {
                    let last = self.runs.iter().rev().find(|run| run.attempt.user == user);
                    let run = last.map_or(0, |run| run.number);
                    let reason = last.map(Run::reason).unwrap_or_default();
                    self.found.failed_users.push(Tried { user, run, reason });
                }
            }
        }
        self.best = None;
        Ok(())
    }

    /// Whether a user that is not root does with places to write to and nothing else.
    fn is_settled(&self) -> bool {
        self.found.solutions.iter().any(|solution| {
            !solution.user.is_root() && solution.grants.iter().all(|kept| kept.grant.path().is_some())
        })
    }

    /// Runs the line as it is, as far as a trial may, and keeps what it shows.
    fn everything(&mut self) -> Result<Attempt, Stop> {
        let universe = self.universe;
        let mut grants: BTreeSet<Grant> = universe.asked.iter().cloned().collect();
        grants.extend(universe.capabilities.iter().map(Grant::Capability));
        if !universe.read_only {
            grants.insert(Grant::WritableRoot);
        }
        if !universe.no_new_privileges {
            grants.insert(Grant::NewPrivileges);
        }
        if universe.privileged {
            grants.insert(Grant::Privileged);
        }
        let mut attempt = Attempt { user: universe.own.clone(), grants, without_workload: false };
        loop {
            let passed = self.first_run(&attempt).map(Run::passed);
            if passed.is_none() || (passed == Some(true) && self.observed.is_none()) {
                let number = self.next("everything granted")?;
                let (run, observed) = self.runner.observe(number, &attempt, self.budget.start_timeout)?;
                self.write(&run)?;
                if run.passed() {
                    self.tell(Event::Observed(observed.clone()))?;
                    self.observed = Some(observed);
                }
                self.keep(run);
            }
            let Some(run) = self.first_run(&attempt).cloned() else { continue };
            if run.passed() {
                return Ok(attempt);
            }
            // An engine that may not itself do what is asked (a capability outside its bounding set, or one whose name
            // it does not know) is asked for less: the parts of `--privileged`, then without what its message names.
            let Some(fewer) = fewer(&attempt.grants, &run) else {
                return Err(Stop::Error(TrialError::CheckFails { run: Box::new(run) }));
            };
            let left: Vec<String> = attempt.grants.difference(&fewer).map(Grant::to_string).collect();
            self.found.notes.push(format!("the engine does not give {}: {}", left.join(", "), run.said));
            attempt.grants = fewer;
        }
    }

    /// A check that passes where the workload does not run says nothing.
    fn without_workload(&mut self, everything: &Attempt) -> Result<(), Stop> {
        if !self.runner.knows_without_workload() || self.budget.allow_vacuous {
            return Ok(());
        }
        let attempt = Attempt { without_workload: true, ..everything.clone() };
        self.ensure(&attempt, 1, "the check without the workload")?;
        match self.first_run(&attempt) {
            Some(run) if run.passed() => {
                Err(Stop::Error(TrialError::Vacuous { run: run.number, said: run.said.clone() }))
            }
            _ => Ok(()),
        }
    }

    /// What of the line can be taken back, apart from places to write to.
    fn parts(&self, everything: &Attempt) -> Vec<Grant> {
        let whole = everything.grants.iter().filter(|grant| !matches!(grant, Grant::WritableRoot));
        whole.cloned().collect()
    }

    /// Users in the order in which they are tried: the line's own alone where it is not root.
    fn users(&self, observed: &Observed) -> Vec<User> {
        let own = &self.universe.own;
        let mut users: Vec<User> = Vec::new();
        if own.is_root() {
            for user in observed.users.iter().chain(&self.universe.more_users) {
                if !user.is_root() && !users.iter().any(|known| known.ids == user.ids) {
                    users.push(user.clone());
                }
            }
        }
        users.push(own.clone());
        users
    }

    /// The cheapest kinds of grants with which the check passes, all of each kind. Paths that messages name join
    /// `paths`.
    fn first_passing_set(
        &mut self,
        user: &User,
        paths: &mut Vec<Grant>,
        parts: &[Grant],
    ) -> Result<Option<Vec<Grant>>, Stop> {
        let is = |wanted: fn(&Grant) -> bool| parts.iter().filter(|g| wanted(g)).cloned().collect::<Vec<_>>();
        let options = is(|g| matches!(g, Grant::Option(..) | Grant::Mount(_)));
        let capabilities = is(|g| matches!(g, Grant::Capability(_)));
        let privileges = is(|g| matches!(g, Grant::NewPrivileges));
        let mut tiers: Vec<Vec<Grant>> = vec![Vec::new()];
        let mut add = |more: &[&Vec<Grant>]| {
            let tier: Vec<Grant> = more.iter().flat_map(|list| list.iter().cloned()).collect();
            if !tiers.contains(&tier) {
                tiers.push(tier);
            }
        };
        if !user.is_root() {
            add(&[&privileges]);
        }
        add(&[&capabilities]);
        add(&[&options]);
        add(&[&capabilities, &privileges, &options]);
        for (number, tier) in tiers.iter().enumerate() {
            if let Some(grants) = self.passing_tier(user, paths, tier)? {
                return Ok(Some(grants));
            }
            if number == 0
                && user.is_root()
                && let Some(grants) = self.passing_hints(user, paths, &capabilities)?
            {
                return Ok(Some(grants));
            }
        }
        let all = tiers.pop().unwrap_or_default();
        let mut last_resorts: Vec<Vec<Grant>> = Vec::new();
        if !self.universe.read_only {
            last_resorts.push(all.iter().cloned().chain([Grant::WritableRoot]).collect());
        }
        if parts.contains(&Grant::Privileged) {
            last_resorts.push(paths.iter().cloned().chain([Grant::Privileged]).collect());
            last_resorts.push(all.iter().cloned().chain([Grant::Privileged, Grant::WritableRoot]).collect());
        }
        for grants in last_resorts {
            if self.passes(user, &grants)? {
                return Ok(Some(grants));
            }
        }
        Ok(None)
    }

    /// A tier with all paths, and with those that its failures name.
    fn passing_tier(
        &mut self,
        user: &User,
        paths: &mut Vec<Grant>,
        tier: &[Grant],
    ) -> Result<Option<Vec<Grant>>, Stop> {
        const ROUNDS: usize = 3;
        for _ in 0..ROUNDS {
            let grants: Vec<Grant> = paths.iter().chain(tier).cloned().collect();
            if self.passes(user, &grants)? {
                return Ok(Some(grants));
            }
            let attempt = attempt(user, &grants);
            // A slow moment of the machine must not decide on a user.
            if self.first_run(&attempt).is_some_and(|run| run.outcome == Outcome::Timeout) {
                self.ensure(&attempt, 2, &describe(&attempt))?;
                if self.verdict(&attempt) == Some(true) {
                    return Ok(Some(grants));
                }
            }
            if self.universe.read_only || !self.add_paths(&attempt, paths)? {
                break;
            }
        }
        Ok(None)
    }

    /// Grows a set by the capabilities that each failure's messages point to. Far fewer of them are left to minimise
    /// than an engine gives by default.
    fn passing_hints(
        &mut self,
        user: &User,
        paths: &[Grant],
        capabilities: &[Grant],
    ) -> Result<Option<Vec<Grant>>, Stop> {
        let mut grants: Vec<Grant> = paths.to_vec();
        loop {
            let run = self.first_run(&attempt(user, &grants));
            let hinted = run.map_or(CapabilitySet::EMPTY, |run| hints(&run.denials));
            let new = hinted.iter().map(Grant::Capability);
            let new: Vec<Grant> = new.filter(|g| capabilities.contains(g) && !grants.contains(g)).collect();
            if new.is_empty() {
                return Ok(None);
            }
            grants.extend(new);
            if self.passes(user, &grants)? {
                return Ok(Some(grants));
            }
        }
    }

    /// Folders of paths that the last run's messages name as refused. Whether there are new ones.
    fn add_paths(&mut self, attempt: &Attempt, paths: &mut Vec<Grant>) -> Result<bool, Stop> {
        let Some(run) = self.first_run(attempt) else { return Ok(false) };
        let named = run.denials.iter().filter_map(|denial| denial.path.as_deref());
        let mut folders: Vec<String> = named.filter_map(|path| self.runner.folder_of(path)).collect();
        folders.sort();
        folders.dedup();
        folders.retain(|folder| !paths.iter().any(|known| known.path() == Some(folder)));
        if folders.is_empty() {
            return Ok(false);
        }
        let written = self.runner.writable(&folders)?;
        self.runner.learn(&written);
        paths.extend(written.into_iter().map(|written| written.grant));
        Ok(true)
    }

    /// Minimises, confirms, and keeps the solution.
    fn settle(&mut self, user: &User, mut grants: Vec<Grant>) -> Result<(), Stop> {
        // A set that later runs contradict is minimised again; a check that answers as it likes ends it.
        const ROUNDS: usize = 4;
        for _ in 0..ROUNDS {
            grants.sort_by(|a, b| b.weight().cmp(&a.weight()).then_with(|| a.cmp(b)));
            let kept = self.minimise(user, &grants)?;
            let minimal = attempt(user, &kept);
            // Found once and confirmed twice.
            self.ensure(&minimal, 3, "the result again")?;
            let mut unneeded = None;
            if self.verdict(&minimal) == Some(true) {
                for grant in &kept {
                    let without = attempt(user, kept.iter().filter(|other| *other != grant));
                    self.ensure(&without, 2, &format!("again without {grant}"))?;
                    if self.verdict(&without) == Some(true) {
                        unneeded = Some(without.grants.iter().cloned().collect());
                        break;
                    }
                }
                match unneeded {
                    None => {
                        let confirmed = self.passing_runs(&minimal);
                        let solution = self.solution(&minimal, confirmed, true);
                        self.best = None;
                        self.found.solutions.push(solution);
                        return Ok(());
                    }
                    Some(fewer) => grants = fewer,
                }
            }
            // The set does not pass after all: from the larger one again, with what is known now.
        }
        Err(Stop::Error(TrialError::Flaky { runs: self.contradicting_runs(user) }))
    }

    fn minimise(&mut self, user: &User, grants: &[Grant]) -> Result<Vec<Grant>, Stop> {
        let pick =
            |set: &[usize]| set.iter().filter_map(|at| grants.get(*at)).cloned().collect::<Vec<Grant>>();
        self.best = Some(attempt(user, grants));
        let best = std::cell::RefCell::new(self.best.clone());
        let result = minimise(
            (0..grants.len()).collect(),
            |sets: &[Vec<usize>]| {
                let attempts: Vec<Attempt> = sets.iter().map(|set| attempt(user, &pick(set))).collect();
                self.first_passing(&attempts)
            },
            |set| *best.borrow_mut() = Some(attempt(user, &pick(set))),
        );
        self.best = best.into_inner();
        result.map(|set| pick(&set))
    }

    fn passes(&mut self, user: &User, grants: &[Grant]) -> Result<bool, Stop> {
        Ok(self.first_passing(&[attempt(user, grants)])?.is_some())
    }

    /// The first attempt that passes. As many are run at the same time as there are jobs.
    fn first_passing(&mut self, attempts: &[Attempt]) -> Result<Option<usize>, Stop> {
        for (chunk, from) in
            attempts.chunks(self.budget.jobs.max(1)).zip((0..).step_by(self.budget.jobs.max(1)))
        {
            let mut new: Vec<&Attempt> = Vec::new();
            for attempt in chunk {
                if self.verdict(attempt) == Some(true) {
                    break;
                }
                if self.verdict(attempt).is_none() && !new.contains(&attempt) {
                    new.push(attempt);
                }
            }
            self.run_all(&new)?;
            if let Some(at) = chunk.iter().position(|attempt| self.verdict(attempt) == Some(true)) {
                return Ok(Some(from + at));
            }
        }
        Ok(None)
    }

    fn run_all(&mut self, attempts: &[&Attempt]) -> Result<(), Stop> {
        let mut numbered = Vec::new();
        for attempt in attempts {
            let ahead = u32::try_from(numbered.len()).unwrap_or(u32::MAX);
            match self.next_after(ahead, &describe(attempt)) {
                Ok(number) => numbered.push((number, *attempt)),
                Err(stop) if numbered.is_empty() => return Err(stop),
                // What fits the budget is still run.
                Err(_) => break,
            }
        }
        let (runner, limit) = (self.runner, self.limit());
        let results: Vec<Result<Run, TrialError>> = match numbered.as_slice() {
            [(number, attempt)] => vec![runner.run(*number, attempt, limit)],
            numbered => std::thread::scope(|scope| {
                let threads: Vec<_> = numbered
                    .iter()
                    .map(|(number, attempt)| scope.spawn(move || runner.run(*number, attempt, limit)))
                    .collect();
                threads
                    .into_iter()
                    .map(|thread| thread.join().unwrap_or(Err(TrialError::Interrupted)))
                    .collect()
            }),
        };
        let mut failed = Ok(());
        for result in results {
            match result {
                Ok(run) => {
                    self.write(&run)?;
                    self.keep(run);
                }
                Err(error) => failed = failed.and(Err(error)),
            }
        }
        failed?;
        if numbered.len() < attempts.len() {
            return Err(Stop::Cut(Cut::Runs));
        }
        Ok(())
    }

    /// Runs an attempt until it has run so often, and once more where its runs disagree evenly.
    fn ensure(&mut self, attempt: &Attempt, times: usize, doing: &str) -> Result<(), Stop> {
        loop {
            let runs = self.by_attempt.get(attempt).map_or(0, Vec::len);
            let even = runs.is_multiple_of(2) && runs > 0 && self.passing_runs(attempt).len() * 2 == runs;
            if runs >= times && !even {
                return Ok(());
            }
            let number = self.next(doing)?;
            let run = self.runner.run(number, attempt, self.limit())?;
            self.write(&run)?;
            self.keep(run);
        }
    }

    /// How long a run may take to pass: what the slowest that passed took, several times over.
    fn limit(&self) -> Duration {
        let usual = self.slowest.map(|slowest| Duration::from_millis(slowest) * 3 + Duration::from_secs(2));
        usual.map_or(self.budget.start_timeout, |usual| usual.min(self.budget.start_timeout))
    }

    /// The majority of an attempt's runs.
    fn verdict(&self, attempt: &Attempt) -> Option<bool> {
        let runs = self.by_attempt.get(attempt)?.len();
        (runs > 0).then(|| self.passing_runs(attempt).len() * 2 > runs)
    }

    fn runs_of(&self, attempt: &Attempt) -> impl Iterator<Item = &Run> {
        self.by_attempt.get(attempt).into_iter().flatten().filter_map(|at| self.runs.get(*at))
    }

    fn first_run(&self, attempt: &Attempt) -> Option<&Run> {
        self.runs_of(attempt).next()
    }

    fn passing_runs(&self, attempt: &Attempt) -> Vec<u32> {
        self.runs_of(attempt).filter(|run| run.passed()).map(|run| run.number).collect()
    }

    fn disagrees(&self, attempt: &Attempt) -> bool {
        let passing = self.passing_runs(attempt).len();
        passing > 0 && passing < self.by_attempt.get(attempt).map_or(0, Vec::len)
    }

    fn contradicting_runs(&self, user: &User) -> Vec<u32> {
        let of_user = self.by_attempt.keys().filter(|attempt| attempt.user == *user);
        let contradicting = of_user.filter(|attempt| self.disagrees(attempt));
        contradicting.flat_map(|attempt| self.runs_of(attempt).map(|run| run.number)).collect()
    }

    fn solution(&self, found: &Attempt, confirmed: Vec<u32>, minimal: bool) -> Solution {
        let mut flaky = self.disagrees(found);
        let kept = found.grants.iter().map(|grant| {
            let without = attempt(&found.user, found.grants.iter().filter(|other| *other != grant));
            flaky |= self.disagrees(&without);
            let failures: Vec<&Run> = self.runs_of(&without).filter(|run| !run.passed()).collect();
            Kept {
                grant: grant.clone(),
                runs: failures.iter().map(|run| run.number).collect(),
                reason: failures.first().map(|run| run.reason()).unwrap_or_default(),
            }
        });
        let grants: Vec<Kept> = kept.collect();
        let passed = self.runs_of(found).find(|run| run.passed());
        let denials = passed.into_iter().flat_map(|run| &run.denials);
        let root = if found.user.is_root() { ROOT_WEIGHT } else { 0 };
        Solution {
            user: found.user.clone(),
            weight: root + grants.iter().map(|kept| kept.grant.weight()).sum::<u32>(),
            options: self.runner.options_for(found),
            grants,
            refused: denials.take(MOST_REFUSED).map(|denial| denial.line.clone()).collect(),
            confirmed,
            minimal,
            flaky,
        }
    }

    /// The number of the next run, where the budget has one.
    fn next(&self, doing: &str) -> Result<u32, Stop> {
        self.next_after(0, doing)
    }

    fn next_after(&self, ahead: u32, doing: &str) -> Result<u32, Stop> {
        if self.runner.interrupted() {
            return Err(Stop::Cut(Cut::Interrupted));
        }
        let last = self.runs.iter().map(|run| run.number).max().unwrap_or(0);
        let number = last + 1 + ahead;
        let done = u32::try_from(self.runs.len()).unwrap_or(u32::MAX);
        if done.saturating_add(ahead) >= self.budget.runs {
            return Err(Stop::Cut(Cut::Runs));
        }
        if self.begun.elapsed() >= self.budget.time {
            return Err(Stop::Cut(Cut::Time));
        }
        (self.progress)(number, doing);
        Ok(number)
    }

    fn keep(&mut self, run: Run) {
        self.slowest = self.slowest.max(run.passed_after);
        self.by_attempt.entry(run.attempt.clone()).or_default().push(self.runs.len());
        self.runs.push(run);
    }

    fn write(&self, run: &Run) -> Result<(), TrialError> {
        self.tell(Event::Run(run.clone()))
    }

    fn tell(&self, event: Event) -> Result<(), TrialError> {
        self.journal.lock().map_or(Ok(()), |mut journal| journal.write(event))
    }
}

fn attempt<'g>(user: &User, grants: impl IntoIterator<Item = &'g Grant>) -> Attempt {
    Attempt { user: user.clone(), grants: grants.into_iter().cloned().collect(), without_workload: false }
}

fn describe(attempt: &Attempt) -> String {
    let capabilities = attempt.grants.iter().filter(|grant| matches!(grant, Grant::Capability(_))).count();
    let others = attempt.grants.len() - capabilities;
    format!("{}, {capabilities} capabilities, {others} other grants", attempt.user)
}

/// What to ask of an engine that could not start a container with everything: without `--privileged`, without the
/// capabilities that its message names, or, where it may not set them and does not say which, without those that this
/// process does not have either.
fn fewer(grants: &BTreeSet<Grant>, run: &Run) -> Option<BTreeSet<Grant>> {
    if run.outcome != Outcome::NotStarted {
        return None;
    }
    let mut left = grants.clone();
    if left.remove(&Grant::Privileged) {
        return Some(left);
    }
    let said = run.said.to_uppercase();
    left.retain(|grant| match grant {
        Grant::Capability(capability) => !said.contains(&format!("CAP_{}", capability.name())),
        _ => true,
    });
    if left.len() == grants.len() && (said.contains("CAPS") || said.contains("CAPABILIT")) {
        let own = own_bounding_set()?;
        left.retain(|grant| match grant {
            Grant::Capability(capability) => own.has(*capability),
            _ => true,
        });
    }
    (left.len() < grants.len()).then_some(left)
}

/// proc(5), /proc/PID/status: CapBnd.
fn own_bounding_set() -> Option<CapabilitySet> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("CapBnd:"))?;
    u64::from_str_radix(line.trim(), 16).ok().map(CapabilitySet)
}

#[cfg(test)]
#[path = "search_tests.rs"]
mod tests;

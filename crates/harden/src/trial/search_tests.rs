//! The search against a workload that is a function: what it needs is known, so what is found can be compared.

use std::sync::atomic::{AtomicU32, Ordering};

use confinement::Capability;

use super::*;

type Answer<'a> = dyn Fn(&Attempt, u32) -> Outcome + Sync + 'a;

/// Answers by a function of the attempt and of how many runs there were before.
struct Fake<'a> {
    answer: &'a Answer<'a>,
    runs: AtomicU32,
    interrupt_after: u32,
    written: Vec<Grant>,
    users: Vec<User>,
    says: &'a (dyn Fn(&Attempt) -> String + Sync),
}

fn quiet(_: &Attempt) -> String {
    String::new()
}

impl<'a> Fake<'a> {
    fn new(answer: &'a Answer<'a>) -> Fake<'a> {
        Fake {
            answer,
            runs: AtomicU32::new(0),
            interrupt_after: u32::MAX,
            written: ["/run", "/var/cache/app", "/var/tmp"].map(|path| Grant::Tmpfs(path.into())).to_vec(),
            users: vec![User::of_ids(101, 101)],
            says: &quiet,
        }
    }
    fn count(&self) -> u32 {
        self.runs.load(Ordering::Relaxed)
    }
}

impl Runner for Fake<'_> {
    fn run(&self, number: u32, attempt: &Attempt, _: Duration) -> Result<Run, TrialError> {
        let before = self.runs.fetch_add(1, Ordering::Relaxed);
        let said = (self.says)(attempt);
        let denials = crate::trial::evidence::denials([said.as_str()]);
        Ok(Run {
            number,
            attempt: attempt.clone(),
            outcome: if attempt.without_workload { Outcome::Failed } else { (self.answer)(attempt, before) },
            exit_code: None,
            said,
            log: Vec::new(),
            denials,
            passed_after: None,
            milliseconds: 1,
        })
    }
    fn observe(
        &self,
        number: u32,
        attempt: &Attempt,
        limit: Duration,
    ) -> Result<(Run, Observed), TrialError> {
        let written =
            self.written.iter().map(|grant| Written { grant: grant.clone(), folder: None }).collect();
        let observed = Observed { written, users: self.users.clone(), own: None };
        Ok((self.run(number, attempt, limit)?, observed))
    }
    fn knows_without_workload(&self) -> bool {
        true
    }
    fn writable(&self, paths: &[String]) -> Result<Vec<Written>, TrialError> {
        Ok(paths.iter().map(|path| Written { grant: Grant::Tmpfs(path.clone()), folder: None }).collect())
    }
    fn folder_of(&self, path: &str) -> Option<String> {
        Some(crate::trial::observe::parent(path).to_owned())
    }
    fn learn(&self, _: &[Written]) {}
    fn interrupted(&self) -> bool {
        self.count() >= self.interrupt_after
    }
    fn options_for(&self, _: &Attempt) -> Vec<String> {
        Vec::new()
    }
}

fn grants(list: &[&str]) -> BTreeSet<Grant> {
    list.iter().map(|grant| grant.parse().unwrap()).collect()
}

fn root() -> User {
    User { option: None, ids: Some((0, 0)) }
}

fn universe() -> Universe {
    use Capability as C;
    let capabilities =
        [C::CHOWN, C::DAC_OVERRIDE, C::FOWNER, C::SETGID, C::SETUID, C::KILL, C::NET_RAW, C::MKNOD];
    Universe {
        asked: vec![Grant::Option("device".into(), "/dev/fuse".into())],
        capabilities: CapabilitySet::of(&capabilities),
        privileged: false,
        read_only: false,
        no_new_privileges: false,
        own: root(),
        more_users: vec![User::of_ids(65532, 65532)],
    }
}

fn budget() -> Budget {
    Budget {
        runs: 500,
        time: Duration::from_secs(600),
        start_timeout: Duration::from_secs(1),
        jobs: 3,
        also_own_user: false,
        allow_vacuous: false,
    }
}

fn search_with(
    fake: &Fake<'_>,
    budget: &Budget,
    journal: &mut Journal,
    past: Vec<Event>,
) -> Result<Found, TrialError> {
    Search::new(fake, &universe(), budget, journal, past, &|_, _| {}).run()
}

fn search(fake: &Fake<'_>, budget: &Budget) -> Result<Found, TrialError> {
    search_with(fake, budget, &mut Journal::none(), Vec::new())
}

fn found(solution: &Solution) -> BTreeSet<Grant> {
    solution.grants.iter().map(|kept| kept.grant.clone()).collect()
}

fn outcome(passes: bool) -> Outcome {
    if passes { Outcome::Passed } else { Outcome::Died }
}

/// A writable root file system is writable everywhere.
fn has_all(attempt: &Attempt, needs: &BTreeSet<Grant>) -> bool {
    let root = attempt.grants.contains(&Grant::WritableRoot);
    needs.iter().all(|need| attempt.grants.contains(need) || (root && need.path().is_some()))
}

/// As an image does that starts as root, gives its folders away and steps down.
fn steps_down(attempt: &Attempt, _: u32) -> Outcome {
    let needs: &[&str] = match attempt.user.ids {
        Some((101, _)) => &["tmpfs:/run"],
        Some((0, _)) => &["tmpfs:/run", "cap:CHOWN", "cap:SETUID", "cap:SETGID"],
        _ => &["tmpfs:/none", "cap:SYS_ADMIN"],
    };
    outcome(has_all(attempt, &grants(needs)))
}

#[test]
fn a_user_that_is_not_root_comes_before_root_with_capabilities() {
    let fake = Fake::new(&steps_down);
    let result = search(&fake, &budget()).unwrap();
    assert_eq!(result.solutions.len(), 1);
    let solution = &result.solutions[0];
    assert_eq!(solution.user, User::of_ids(101, 101));
    assert_eq!(found(solution), grants(&["tmpfs:/run"]));
    assert_eq!(solution.confirmed.len(), 3);
    assert_eq!(solution.grants[0].runs.len(), 2, "a failure without it, and once more");
    assert!(fake.count() < 20, "{}", fake.count());
}

#[test]
fn what_its_own_user_needs_is_found_too_where_it_is_asked_for() {
    let fake = Fake::new(&steps_down);
    let result = search(&fake, &Budget { also_own_user: true, ..budget() }).unwrap();
    assert_eq!(result.solutions.len(), 2);
    let solution = &result.solutions[1];
    assert!(solution.user.is_root() && solution.minimal);
    assert_eq!(found(solution), grants(&["tmpfs:/run", "cap:CHOWN", "cap:SETUID", "cap:SETGID"]));
    assert!(solution.grants.iter().all(|kept| kept.runs.len() == 2));
}

#[test]
fn messages_shorten_the_way() {
    let says = |attempt: &Attempt| {
        let has = |grant: &str| attempt.grants.contains(&grant.parse().unwrap());
        match () {
            () if !has("cap:CHOWN") => "chown: /x: Operation not permitted",
            () if !has("cap:SETUID") => "failed switching to \"app\": operation not permitted",
            () => "",
        }
        .to_owned()
    };
    let count = |says: &(dyn Fn(&Attempt) -> String + Sync)| {
        let fake = Fake { says, users: Vec::new(), ..Fake::new(&steps_down) };
        let result = search(&fake, &budget()).unwrap();
        assert_eq!(
            found(&result.solutions[0]),
            grants(&["tmpfs:/run", "cap:CHOWN", "cap:SETUID", "cap:SETGID"])
        );
        fake.count()
    };
    assert!(count(&says) < count(&quiet), "{} {}", count(&says), count(&quiet));
}

#[test]
fn a_path_that_only_a_message_names_is_found() {
    let needs = grants(&["tmpfs:/srv/late"]);
    let answer = |attempt: &Attempt, _: u32| outcome(has_all(attempt, &needs));
    let says = |_: &Attempt| "open /srv/late/file: read-only file system".to_owned();
    let fake = Fake { says: &says, ..Fake::new(&answer) };
    let result = search(&fake, &budget()).unwrap();
    assert_eq!(found(&result.solutions[0]), needs);
}

#[test]
fn a_writable_root_is_the_last_resort_for_places_that_nothing_names() {
    let needs = grants(&["writable-root"]);
    let answer = |attempt: &Attempt, _: u32| outcome(attempt.grants.is_superset(&needs));
    let result = search(&Fake::new(&answer), &budget()).unwrap();
    assert_eq!(found(&result.solutions[0]), needs);
}

#[test]
fn what_the_line_asks_for_is_kept_only_where_it_is_needed() {
    let needs = grants(&["option:--device=/dev/fuse"]);
    let answer = |attempt: &Attempt, _: u32| outcome(attempt.grants.is_superset(&needs));
    let result = search(&Fake::new(&answer), &budget()).unwrap();
    assert_eq!(found(&result.solutions[0]), needs);
}

#[test]
fn a_check_that_fails_with_everything_granted_is_an_error_with_its_run() {
    let answer = |_: &Attempt, _: u32| Outcome::Died;
    match search(&Fake::new(&answer), &budget()) {
        Err(TrialError::CheckFails { run }) => assert_eq!(run.number, 1),
        other => panic!("{other:?}"),
    }
}

/// Passes also where the workload is not there.
struct Vacuous<'a>(Fake<'a>);

impl Runner for Vacuous<'_> {
    fn run(&self, number: u32, attempt: &Attempt, limit: Duration) -> Result<Run, TrialError> {
        Ok(Run { outcome: Outcome::Passed, ..self.0.run(number, attempt, limit)? })
    }
    fn observe(
        &self,
        number: u32,
        attempt: &Attempt,
        limit: Duration,
    ) -> Result<(Run, Observed), TrialError> {
        self.0.observe(number, attempt, limit)
    }
    fn knows_without_workload(&self) -> bool {
        true
    }
    fn writable(&self, paths: &[String]) -> Result<Vec<Written>, TrialError> {
        self.0.writable(paths)
    }
    fn folder_of(&self, path: &str) -> Option<String> {
        self.0.folder_of(path)
    }
    fn learn(&self, _: &[Written]) {}
    fn interrupted(&self) -> bool {
        false
    }
    fn options_for(&self, _: &Attempt) -> Vec<String> {
        Vec::new()
    }
}

#[test]
fn a_check_that_passes_without_the_workload_is_refused() {
    let answer = |_: &Attempt, _: u32| Outcome::Passed;
    let fake = Vacuous(Fake::new(&answer));
    let result =
        Search::new(&fake, &universe(), &budget(), &mut Journal::none(), Vec::new(), &|_, _| {}).run();
    assert!(matches!(result, Err(TrialError::Vacuous { run: 2, .. })), "{result:?}");
    let budget = Budget { allow_vacuous: true, ..budget() };
    let result = Search::new(&fake, &universe(), &budget, &mut Journal::none(), Vec::new(), &|_, _| {}).run();
    assert!(result.unwrap().solutions[0].grants.is_empty());
}

#[test]
fn an_interrupted_search_goes_on_from_its_journal_without_running_anything_again() {
    let folder = tempfile::tempdir().unwrap();
    let all = Fake { users: Vec::new(), ..Fake::new(&steps_down) };
    let whole = search(&all, &budget()).unwrap();
    for stop in [1, 2, 5, 9, 17] {
        let path = folder.path().join(format!("{stop}.jsonl"));
        let first = Fake { users: Vec::new(), interrupt_after: stop, ..Fake::new(&steps_down) };
        let cut = search_with(&first, &budget(), &mut Journal::create(&path).unwrap(), Vec::new()).unwrap();
        assert_eq!(cut.cut, Some(Cut::Interrupted));
        assert!(cut.solutions.iter().all(|solution| !solution.minimal));
        let (mut journal, past) = Journal::open(&path).unwrap();
        let second = Fake { users: Vec::new(), ..Fake::new(&steps_down) };
        let rest = search_with(&second, &budget(), &mut journal, past).unwrap();
        assert_eq!(found(&rest.solutions[0]), found(&whole.solutions[0]));
        assert_eq!(first.count() + second.count(), all.count(), "interrupted after {stop}");
    }
}

#[test]
fn the_budget_ends_a_search_with_what_passed_so_far() {
    let fake = Fake { users: Vec::new(), ..Fake::new(&steps_down) };
    let whole = search(&fake, &budget()).unwrap();
    let cut = search(
        &Fake { users: Vec::new(), ..Fake::new(&steps_down) },
        &Budget { runs: whole.runs - 6, ..budget() },
    );
    let cut = cut.unwrap();
    assert_eq!(cut.cut, Some(Cut::Runs));
    assert!(cut.runs <= whole.runs - 6);
    let partial = &cut.solutions[0];
    assert!(!partial.minimal && found(partial).is_superset(&found(&whole.solutions[0])));
    let none = search(&Fake::new(&steps_down), &Budget { time: Duration::ZERO, ..budget() }).unwrap();
    assert_eq!((none.cut, none.runs), (Some(Cut::Time), 0));
}

#[test]
fn one_wrong_answer_does_not_change_what_is_found_and_is_said() {
    let needs = grants(&["tmpfs:/run", "tmpfs:/var/cache/app"]);
    let mut flaky = 0;
    for wrong in 2..24 {
        let answer = |attempt: &Attempt, before: u32| outcome(has_all(attempt, &needs) != (before == wrong));
        let fake = Fake { users: Vec::new(), ..Fake::new(&answer) };
        let result = search(&fake, &Budget { jobs: 1, ..budget() }).unwrap();
        let solution = &result.solutions[0];
        assert_eq!(found(solution), needs, "the answer of run {} was wrong", wrong + 1);
        flaky += u32::from(solution.flaky);
    }
    assert!(flaky > 0);
}

#[test]
fn a_check_that_answers_as_it_likes_is_said_to() {
    let answer = |_: &Attempt, before: u32| outcome(before == 0 || (before / 2).is_multiple_of(2));
    match search(&Fake::new(&answer), &Budget { jobs: 1, ..budget() }) {
        Err(TrialError::Flaky { runs }) => assert!(runs.len() > 2),
        Ok(result) => {
            assert!(result.solutions.iter().all(|s| s.flaky) || result.cut.is_some(), "{result:#?}")
        }
        Err(other) => panic!("{other}"),
    }
}

#[test]
fn an_engine_that_may_not_do_all_is_asked_for_less() {
    let answer = |attempt: &Attempt, _: u32| {
        let refused = attempt.grants.contains(&Grant::Privileged)
            || attempt.grants.contains(&Grant::Capability(Capability::MKNOD));
        if refused { Outcome::NotStarted } else { outcome(true) }
    };
    let says = |attempt: &Attempt| match attempt.grants.contains(&Grant::Privileged) {
        true => "unable to apply caps: operation not permitted".to_owned(),
        false => "invalid capability: \"CAP_MKNOD\"".to_owned(),
    };
    let fake = Fake { says: &says, ..Fake::new(&answer) };
    let universe = Universe { privileged: true, ..universe() };
    let result =
        Search::new(&fake, &universe, &budget(), &mut Journal::none(), Vec::new(), &|_, _| {}).run().unwrap();
    assert!(result.solutions[0].grants.is_empty());
    assert_eq!(result.notes.len(), 2, "{:?}", result.notes);
}

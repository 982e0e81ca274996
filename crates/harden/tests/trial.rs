//! Trials on the real engines of `scripts/engines`, of the images that `scripts/workloads` makes. Where they are not
//! there the tests say so and pass, unless STOCKADE_ENGINES is set, as `make test` does.

mod support;

use std::collections::BTreeSet;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::time::Duration;

use confinement::EngineKind;
use harden::trial::{JournalAt, Options, Report, Solution, State, Target, TrialError, User, clean_up};
use support::{BUSYBOX, Child, DOCKER, PODMAN, engine_line, labelled, options, present, run, try_run};
use techniques::remedy::Remedy;

/// A trial of one of the images of `scripts/workloads`, and of what it needs under its own user.
fn workload(name: &str, check: &str) -> Option<Report> {
    let image = format!("stockade-workload-{name}");
    let _turn = present(DOCKER, &image)?;
    // As people write it.
    let line = engine_line(DOCKER, &["run", "-d", "--restart=always", "--name=web", "-p", "8080:80", &image]);
    let options = Options { also_own_user: true, ..options(line, check) };
    let report = run(&options);
    assert_eq!(report.state, State::Complete);
    assert_eq!(labelled(DOCKER, Some(&report.id)), Vec::<String>::new(), "nothing stays behind");
    for solution in &report.solutions {
        assert!(solution.minimal && !solution.flaky, "{solution:#?}");
        assert!(solution.confirmed.len() >= 3, "found once and confirmed twice");
        for kept in &solution.grants {
            assert!(kept.runs.len() >= 2 && !kept.reason.is_empty(), "{kept:#?}");
        }
    }
    Some(report)
}

/// What a trial finds must be among what is documented of the official image: capabilities of a start as root, and
/// places that it writes to.
fn is_among_the_documented(report: &Report, image: &str) {
    let needs = techniques::needs::of(image).unwrap_or_else(|| panic!("{image} is not in the table"));
    let places: Vec<&String> =
        [&needs.scratch, &needs.volumes, &needs.data, &needs.edited].into_iter().flatten().collect();
    for solution in &report.solutions {
        let found = solution.capabilities();
        assert!(found.minus(needs.capabilities).is_empty(), "{image}: {}", solution.summary());
        for path in solution.writable_paths() {
            let known = places.iter().any(|place| path == **place || path.starts_with(&format!("{place}/")));
            assert!(known, "{image}: {path} is not among {places:?}");
        }
        if !solution.user.is_root() {
            assert_eq!(found.0, 0, "{image}: {}", solution.summary());
        }
    }
}

/// A solution in short: user, and grants in their text form.
fn short(solution: &Solution) -> (String, BTreeSet<String>) {
    (solution.user.to_string(), solution.grants.iter().map(|kept| kept.grant.to_string()).collect())
}

fn expected(user: &str, grants: &[&str]) -> (String, BTreeSet<String>) {
    (user.to_owned(), grants.iter().map(|grant| (*grant).to_owned()).collect())
}

fn all(report: &Report) -> Vec<(String, BTreeSet<String>)> {
    report.solutions.iter().map(short).collect()
}

#[test]
fn nginx_needs_two_tmpfs_as_its_own_user_and_three_capabilities_as_root() {
    let Some(report) = workload("nginx", "http://:80/") else { return };
    is_among_the_documented(&report, "nginx");
    let as_user = expected("user 101:101", &["tmpfs:/run", "tmpfs:/var/cache/nginx"]);
    let as_root =
        expected("root", &["cap:CHOWN", "cap:SETGID", "cap:SETUID", "tmpfs:/run", "tmpfs:/var/cache/nginx"]);
    assert_eq!(all(&report), [as_user, as_root]);
    let remedies = report.solutions[0].remedies(&report.confinement);
    for remedy in [Remedy::RunAsNonRoot, Remedy::NoNewPrivileges, Remedy::ReadOnlyRootfs] {
        assert!(remedies.contains(&remedy), "{remedies:?}");
    }
}

#[test]
fn redis_needs_nothing_as_its_own_user_and_two_capabilities_as_root() {
    let Some(report) = workload("redis", "redis-cli set key value") else { return };
    is_among_the_documented(&report, "redis:7.4");
    let as_root = expected("root", &["cap:SETGID", "cap:SETUID"]);
    assert_eq!(all(&report), [expected("user 999:999", &[]), as_root]);
}

#[test]
fn postgresql_needs_one_tmpfs_as_its_own_user_and_two_capabilities_as_root() {
    // Over TCP: the server that the entrypoint starts to set itself up listens on its socket alone.
    let check = "psql -h 127.0.0.1 -U postgres -c 'create table if not exists t (i int)' app";
    let Some(report) = workload("postgresql", check) else { return };
    is_among_the_documented(&report, "postgres:15");
    let as_user = expected("user 998:998", &["tmpfs:/run/postgresql"]);
    let as_root = expected("root", &["cap:SETGID", "cap:SETUID", "tmpfs:/run/postgresql"]);
    assert_eq!(all(&report), [as_user, as_root]);
}

#[test]
fn memcached_needs_nothing() {
    let check = "host:bash -c 'exec 3<>/dev/tcp/$STOCKADE_TRIAL_ADDRESS/11211; echo version >&3; read -t 2 -u 3 v; \
                 [[ $v == VERSION* ]]'";
    let Some(report) = workload("memcached", check) else { return };
    is_among_the_documented(&report, "memcached");
    assert_eq!(all(&report), [expected("user 11211:11211", &[])]);
    assert_eq!(report.runs, 5, "everything, without it, with nothing, and twice more");
}

#[test]
fn haproxy_needs_the_folder_of_its_socket() {
    let Some(report) = workload("haproxy", "http://:80/alive") else { return };
    is_among_the_documented(&report, "haproxy");
    assert_eq!(all(&report), [expected("user 99:99", &["tmpfs:/var/lib/haproxy"])]);
}

#[test]
fn apache2_needs_one_tmpfs_and_tells_what_it_goes_on_without_as_root() {
    let Some(report) = workload("apache2", "http://:80/") else { return };
    is_among_the_documented(&report, "php:8.4-apache");
    let as_user = expected("user 33:33", &["tmpfs:/run/apache2"]);
    // Its workers stay root where they may not step down, and serve all the same.
    let as_root = expected("root", &["tmpfs:/run/apache2"]);
    assert_eq!(all(&report), [as_user, as_root]);
    let refused = &report.solutions[1].refused;
    assert!(refused.iter().any(|line| line.contains("setgid")), "{refused:?}");
}

#[test]
fn redis_needs_all_that_is_documented_where_its_folder_is_anothers() {
    let Some(_turn) = present(DOCKER, "stockade-workload-redis") else { return };
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    std::fs::create_dir(&data).unwrap();
    std::fs::write(data.join("old"), "x").unwrap();
    for path in [&data.join("old"), &data] {
        std::os::unix::fs::chown(path, Some(4242), Some(4242)).unwrap();
    }
    std::fs::set_permissions(&data, std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
    let volume = format!("{}:/data", data.display());
    let line = engine_line(DOCKER, &["run", "-d", "-v", &volume, "stockade-workload-redis"]);
    let report = run(&options(line, "redis-cli save"));
    is_among_the_documented(&report, "redis:7.4");
    let grants = ["cap:CHOWN", "cap:DAC_OVERRIDE", "cap:SETGID", "cap:SETUID"];
    assert_eq!(all(&report), [expected("root", &grants)]);
    assert!(std::fs::read_dir(&data).unwrap().count() == 1, "the user's folder is as it was");
}

/// Fewer capabilities than an engine gives, so that there are fewer to try.
const FEW: &[&str] = &["--cap-drop=ALL", "--cap-add=CHOWN", "--cap-add=DAC_OVERRIDE", "--cap-add=KILL"];

/// A busybox container that runs a script.
fn script(engine: &[&str], more: &[&str], text: &str, check: &str) -> Options {
    let line = [&["run", "-d"], more, &[BUSYBOX, "sh", "-c", text]].concat();
    Options { jobs: 1, ..options(engine_line(engine, &line), check) }
}

#[test]
fn the_users_volumes_are_copied_and_never_written_and_sockets_are_not_handed_in() {
    for engine in [DOCKER, PODMAN] {
        let Some(_turn) = present(engine, BUSYBOX) else { continue };
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        std::fs::create_dir_all(at("data/sub")).unwrap();
        std::fs::write(at("data/sub/old"), "old").unwrap();
        std::os::unix::fs::chown(at("data/sub"), Some(4242), Some(4243)).unwrap();
        std::os::unix::fs::chown(at("data"), Some(4244), Some(4245)).unwrap();
        std::fs::create_dir(at("shared")).unwrap();
        std::fs::write(at("shared/value"), "shared").unwrap();
        std::fs::write(at("file"), "file").unwrap();
        let _listener = UnixListener::bind(at("api.sock")).unwrap();
        let bind = |name: &str, target: &str| format!("--volume={}:{target}", at(name).display());
        let mounts = [
            bind("data", "/data"),
            bind("shared", "/shared:ro"),
            bind("file", "/app.conf"),
            bind("api.sock", "/run/api.sock"),
        ];
        let mounts: Vec<&str> = mounts.iter().map(String::as_str).chain(FEW.iter().copied()).collect();
        let text = "set -e; test ! -e /run/api.sock; grep -q shared /shared/value; grep -q old /data/sub/old; \
                    test \"$(stat -c %u:%g /data/sub)\" = 4242:4243; \
                    test \"$(stat -c %u:%g /data)\" = 4244:4245; test ! -e /data/new; echo new >/data/new; \
                    grep -qx file /app.conf; echo changed >/app.conf; touch /tmp/ready; exec sleep 600";
        let report = run(&script(engine, &mounts, text, "test -e /tmp/ready"));
        assert_eq!(report.state, State::Complete);
        // The folder is another's, and its owner was copied with it.
        let as_root = expected("root", &["cap:DAC_OVERRIDE", "tmpfs:/tmp"]);
        assert_eq!(report.solutions.last().map(short), Some(as_root), "{engine:?}");
        assert!(report.notes.iter().any(|note| note.contains("api.sock")), "{:?}", report.notes);
        assert!(!at("data/new").exists());
        assert_eq!(std::fs::read_to_string(at("file")).unwrap(), "file");
        assert_eq!(labelled(engine, Some(&report.id)), Vec::<String>::new());
    }
}

#[test]
fn a_named_volume_is_copied_and_one_that_is_not_there_is_not_made() {
    let Some(_turn) = present(DOCKER, BUSYBOX) else { return };
    let name = format!("stockade-test-trial-{}", std::process::id());
    let docker = |arguments: &[&str]| support::output(DOCKER, arguments).unwrap();
    let mount = format!("{name}:/v");
    let made =
        docker(&["run", "--rm", "--network=none", "-v", &mount, BUSYBOX, "sh", "-c", "echo old >/v/old"]);
    assert!(made.status.success());
    let missing = format!("{name}-missing");
    let mounts = ["-v".to_owned(), mount.clone(), "-v".to_owned(), format!("{missing}:/m")];
    let mounts: Vec<&str> = mounts.iter().map(String::as_str).collect();
    let text = "set -e; grep -q old /v/old; echo new >/v/old; echo x >/m/x; exec sleep 600";
    let report = try_run(&script(DOCKER, &mounts, text, "test -s /m/x"));
    let kept = docker(&["run", "--rm", "--network=none", "-v", &mount, BUSYBOX, "cat", "/v/old"]);
    docker(&["volume", "rm", &name]);
    assert_eq!(String::from_utf8_lossy(&kept.stdout), "old\n");
    assert!(!docker(&["volume", "inspect", &missing]).status.success());
    assert!(report.unwrap().best().is_some_and(|solution| solution.user.is_root()));
}

#[test]
fn what_the_line_gives_too_much_is_taken_back_and_the_rest_is_kept() {
    let Some(_turn) = present(DOCKER, BUSYBOX) else { return };
    let more =
        ["--cap-add=SYS_ADMIN", "--cap-add=NET_ADMIN", "--pid=host", "--security-opt=seccomp=unconfined"];
    let text = "set -e; ip link set lo down; ip link set lo up; touch /var-run; exec sleep 600";
    let mut options = script(DOCKER, &more, text, "test -e /var-run");
    let folder = tempfile::tempdir().unwrap();
    let journal = folder.path().join("trial.jsonl");
    options.journal = JournalAt::New(journal.clone());
    let report = run(&options);
    let solution = report.best().unwrap();
    // A file straight below the root has no folder to put a tmpfs on.
    assert_eq!(short(solution), expected("root", &["cap:NET_ADMIN", "writable-root"]));
    let remedies = solution.remedies(&report.confinement);
    assert!(remedies.contains(&Remedy::SeccompDefault), "{remedies:?}");
    assert!(remedies.contains(&Remedy::PrivateNamespace(confinement::NamespaceKind::Pid)), "{remedies:?}");
    assert!(!remedies.contains(&Remedy::ReadOnlyRootfs) && !remedies.contains(&Remedy::RunAsNonRoot));
    support::matches_schema(&std::fs::read_to_string(&journal).unwrap());
    support::matches_schema(&report.json().unwrap().replace('\n', " "));
    // Taken up again, the journal answers everything.
    options.journal = JournalAt::Resume(journal);
    options.max_runs = report.runs;
    let again = run(&options);
    assert_eq!((again.runs, all(&again)), (report.runs, all(&report)));
}

#[test]
fn podman_and_docker_find_the_same_but_for_what_they_give_to_users() {
    let text = "set -e; mkdir -p /srv/app; echo 1 >/srv/app/pid; chown 10001 /srv/app/pid; exec sleep 600";
    for engine in [DOCKER, PODMAN] {
        let Some(_turn) = present(engine, BUSYBOX) else { continue };
        let report = run(&script(engine, &[&["--user=0:0"], FEW].concat(), text, "test -s /srv/app/pid"));
        let as_root = expected("root", &["cap:CHOWN", "tmpfs:/srv/app"]);
        assert_eq!(report.solutions.last().map(short), Some(as_root), "{engine:?}");
        if engine == PODMAN {
            // Podman makes the capabilities of a user that is not root ambient, and Docker does not.
            let as_user = expected("user 65532:65532", &["cap:CHOWN", "tmpfs:/srv/app"]);
            assert_eq!(report.best().map(short), Some(as_user));
        } else {
            assert!(report.failed_users.iter().any(|tried| tried.user == User::of_ids(65532, 65532)));
        }
        assert_eq!(labelled(engine, Some(&report.id)), Vec::<String>::new());
    }
}

#[test]
fn a_compose_service_is_tried_with_its_own_settings() {
    let Some(_turn) = present(DOCKER, BUSYBOX) else { return };
    // The engine of the tests is where Docker looks by itself.
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("compose.yaml");
    let text = format!(
        "services:
  web:
    image: {BUSYBOX}
    entrypoint: [sh, -c]
    command: ['mkdir -p $$PLACE && echo ok >$$PLACE/f && exec sleep 600']
    environment: {{PLACE: /srv/app}}
    volumes: ['./data:/data']
    healthcheck: {{test: [CMD, grep, ok, /srv/app/f]}}
    privileged: false
"
    );
    std::fs::write(&file, text).unwrap();
    let target = Target::Service { files: vec![file], service: "web".into(), engine: EngineKind::Docker };
    let report = run(&Options { jobs: 1, ..Options::new(target, "health").unwrap() });
    assert_eq!(all(&report), [expected("user 65532:65532", &["tmpfs:/srv"])]);
    assert_eq!(&*report.subject, "web");
    assert!(!folder.path().join("data").exists(), "a folder that is not there is not made");
}

#[test]
fn a_check_that_says_nothing_is_refused_and_leaves_nothing() {
    let Some(_turn) = present(DOCKER, BUSYBOX) else { return };
    let folder = tempfile::tempdir().unwrap();
    let journal = folder.path().join("trial.jsonl");
    let vacuous =
        Options { journal: JournalAt::New(journal.clone()), ..script(DOCKER, &[], "exec sleep 600", "true") };
    match try_run(&vacuous) {
        Err(TrialError::Vacuous { run: 2, .. }) => {}
        other => panic!("{other:?}"),
    }
    assert_eq!(labelled(DOCKER, Some(&support::id_in(&journal))), Vec::<String>::new());
    let mut failing = script(DOCKER, &[], "echo it is broken >&2; exit 3", "test -e /never");
    failing.start_timeout = Duration::from_secs(5);
    match try_run(&failing) {
        Err(error @ TrialError::CheckFails { .. }) => {
            let text = error.to_string();
            assert!(text.contains("exit code 3") && text.contains("it is broken"), "{text}");
        }
        other => panic!("{other:?}"),
    }
    let line = engine_line(DOCKER, &["run", "stockade-no-such-image:1"]);
    match try_run(&options(line, "true")) {
        Err(TrialError::NoImage { image, .. }) => assert_eq!(image, "stockade-no-such-image:1"),
        other => panic!("{other:?}"),
    }
}

/// Runs a trial when `Child` starts this program for it; otherwise there is nothing to do.
#[test]
fn a_trial_when_asked() {
    support::trial_when_asked();
}

fn long_trial(journal: &Path) -> Child {
    Child::start(
        journal,
        "mkdir -p /srv/a /srv/b; echo >/srv/a/x; echo >/srv/b/y; exec sleep 600",
        "test -e /srv/b/y",
    )
}

#[test]
fn a_killed_trial_is_cleaned_up_by_the_next_and_a_running_one_is_left_alone() {
    let Some(_turn) = present(DOCKER, BUSYBOX) else { return };
    let folder = tempfile::tempdir().unwrap();
    let killed_journal = folder.path().join("killed.jsonl");
    let mut killed = long_trial(&killed_journal);
    let mut running = long_trial(&folder.path().join("running.jsonl"));
    // Both have containers or networks by now.
    let killed_id = killed.wait_for_run(2);
    let running_id = running.wait_for_run(1);
    killed.kill();
    assert!(!labelled(DOCKER, Some(&killed_id)).is_empty(), "the network at least stays");
    assert!(support::scratch_folder(&killed_id).is_some());
    let program = engine_line(DOCKER, &[]);
    assert!(clean_up(EngineKind::Docker, program).unwrap() >= 2);
    assert_eq!(labelled(DOCKER, Some(&killed_id)), Vec::<String>::new());
    assert!(support::scratch_folder(&killed_id).is_none());
    assert!(!labelled(DOCKER, Some(&running_id)).is_empty(), "a running trial keeps what is its");
    assert!(running.finish(), "and comes to its end");
    assert_eq!(labelled(DOCKER, Some(&running_id)), Vec::<String>::new());
    // The killed one goes on from its journal.
    let runs = support::runs_in(&killed_journal);
    let mut options = support::child_options(&killed_journal);
    options.journal = JournalAt::Resume(killed_journal.clone());
    let report = run(&options);
    assert_eq!(report.state, State::Complete);
    assert!(support::runs_in(&killed_journal) > runs);
}

#[test]
fn an_interrupted_trial_ends_soon_and_leaves_nothing() {
    let Some(_turn) = present(DOCKER, BUSYBOX) else { return };
    let folder = tempfile::tempdir().unwrap();
    for signal in [rustix::process::Signal::INT, rustix::process::Signal::TERM] {
        let journal = folder.path().join(format!("{}.jsonl", signal.as_raw()));
        let mut child = long_trial(&journal);
        let id = child.wait_for_run(2);
        child.signal(signal);
        assert!(child.finish());
        assert_eq!(labelled(DOCKER, Some(&id)), Vec::<String>::new());
        assert!(support::scratch_folder(&id).is_none());
        assert!(std::fs::read_to_string(&journal).unwrap().contains("interrupted"));
    }
}

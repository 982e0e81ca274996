//! The sensor on this kernel and the engines of this machine together: containers that live for a moment, and who put
//! what into them. `scripts/engines` sets the engines up; where they are not there the tests say so and pass, unless
//! STOCKADE_ENGINES is set, as `make test` does.

mod support;

use std::process::Command;
use std::time::{Duration, Instant};

use confinement::EngineKind;
use sensor::Sensor;
use sources::engine_api::Endpoint;
use support::Watching;
use watch::containers::{Live, News};
use watch::trail::{Action, Raised, Record, Source};

const IMAGE: &str = "stockade-test-busybox";
const DOCKER: &[&str] = &["/usr/bin/docker", "-H", "unix:///run/docker.sock"];

fn docker(arguments: &[&str]) -> String {
    let output = Command::new(DOCKER[0]).args(&DOCKER[1..]).args(arguments).output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

/// The sensor, and the containers that it tells of.
struct Both {
    sensor: Sensor,
    watching: Watching,
}

impl Both {
    /// None, with the reason printed, where this machine cannot.
    fn start() -> Option<Both> {
        let image = Command::new(DOCKER[0]).args(&DOCKER[1..]).args(["image", "inspect", IMAGE]).output();
        if !image.is_ok_and(|o| o.status.success()) {
            assert!(std::env::var_os("STOCKADE_ENGINES").is_none(), "docker is not set up: scripts/engines");
            eprintln!("skipped: docker has no image {IMAGE}; run scripts/engines");
            return None;
        }
        let sensor = match Sensor::start(sensor::Options::default()) {
            Ok(sensor) => sensor,
            Err(error) if !rustix::process::geteuid().is_root() => {
                eprintln!("skipped: the sensor needs root: {error}");
                return None;
            }
            Err(error) => panic!("the sensor does not start: {error}"),
        };
        let place = (EngineKind::Docker, Endpoint::Unix("/run/docker.sock".into()));
        let mut watching = Watching::start(vec![place]);
        watching.until_back();
        Some(Both { sensor, watching })
    }

    /// Takes in events while the work is done, and until something is found.
    #[track_caller]
    fn until<T>(&mut self, what: &str, found: impl Fn(&[News], &[Live]) -> Option<T>) -> T {
        let started = Instant::now();
        loop {
            let containers = &self.watching.containers;
            self.sensor.poll(Duration::from_millis(10), &mut |event| containers.see(&event)).unwrap();
            self.watching.news.extend(containers.take_news());
            let all = containers.all();
            if let Some(found) = found(&self.watching.news, &all) {
                return found;
            }
            assert!(
                started.elapsed() < Duration::from_secs(20),
                "{what}: {:#?}\n{all:#?}",
                self.watching.news
            );
        }
    }
}

#[test]
fn containers_that_live_for_a_moment_are_named_and_judged() {
    let Some(mut both) = Both::start() else { return };
    const MANY: usize = 12;
    let work = std::thread::spawn(|| {
        for number in 0..MANY {
            let name = format!("stockade-brief-{}-{number}", std::process::id());
            docker(&["run", "--rm", "--name", &name, IMAGE, "true"]);
        }
    });
    let prefix = format!("stockade-brief-{}-", std::process::id());
    let of_it = |live: &&Live| live.container.name.as_deref().is_some_and(|name| name.starts_with(&prefix));
    both.until("that they have run", |_, _| work.is_finished().then_some(()));
    work.join().unwrap();
    both.until("names of all", |_, all| (all.iter().filter(of_it).count() == MANY).then_some(()));
    both.until("verdicts of all", |_, all| {
        let judged = all.iter().filter(of_it).filter(|live| live.container.verdict.is_some());
        (judged.count() == MANY).then_some(())
    });
    for live in both.watching.containers.all().iter().filter(of_it) {
        let container = &live.container;
        assert_eq!(container.engine.as_deref(), Some("docker"));
        assert_eq!(container.id.as_deref().map(str::len), Some(64), "{live:?}");
        println!("{:?} {:?} ended {:?}", live.joined, container.verdict, live.ended.is_some());
    }
}

#[test]
fn an_exec_as_root_is_told_with_the_process_that_the_kernel_saw() {
    let Some(mut both) = Both::start() else { return };
    let name = format!("stockade-sensed-{}", std::process::id());
    let id = docker(&["run", "--detach", "--rm", "--name", &name, "--user", "10001", IMAGE, "sleep", "60"]);
    both.until("the container", |_, all| {
        all.iter().any(|live| live.container.id.as_deref() == Some(&id) && live.ready).then_some(())
    });
    docker(&["exec", "--user", "0", &name, "id"]);
    let told = both.until("the exec", |news, _| {
        let put_in = |r: &&Record| r.action == Action::ExecStart && r.id.as_deref() == Some(&id);
        let records =
            news.iter().filter_map(|n| if let News::Trail(record) = n { Some(&**record) } else { None });
        records.filter(put_in).find(|r| r.exec.as_ref().is_some_and(|e| e.task.is_some())).cloned()
    });
    let _ = Command::new(DOCKER[0]).args(&DOCKER[1..]).args(["kill", &name]).output();
    assert_eq!(told.source, Source::EngineAndKernel, "{told:#?}");
    assert!(told.raised.contains(&Raised::Root) && told.raised.len() >= 3, "{told:#?}");
    assert_eq!(told.exec.unwrap().command, ["id"]);
    assert!(told.privileges.is_none());
}

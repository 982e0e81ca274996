//! Trials on the real engines of `scripts/engines`, of the images that `scripts/workloads` makes. Where they are not
//! there the tests say so and pass, unless STOCKADE_ENGINES is set, as `make test` does.

use std::process::Command;
use std::sync::atomic::AtomicBool;

use harden::trial::{self, Options, Report, State, Target};
use sources::Context;
use sources::gather::Disk;

const DOCKER: &[&str] = &["/usr/bin/docker", "-H", "unix:///run/docker.sock"];

fn output(words: &[&str], more: &[&str]) -> std::io::Result<std::process::Output> {
    Command::new(words[0]).args(&words[1..]).args(more).output()
}

/// Whether an image is there to be tried.
fn present(engine: &[&str], image: &str) -> bool {
    let there = output(engine, &["image", "inspect", image]).is_ok_and(|output| output.status.success());
    if !there {
        assert!(
            std::env::var_os("STOCKADE_ENGINES").is_none(),
            "{engine:?} has no {image}: scripts/workloads"
        );
        eprintln!("skipped: {engine:?} has no image {image}; run scripts/engines and scripts/workloads");
    }
    there
}

fn options(line: &[&str], check: &str) -> Options {
    let words = line.iter().map(|word| (*word).to_owned()).collect();
    Options::new(Target::Line(words), check).unwrap()
}

fn run(options: &Options) -> Report {
    let interrupt = AtomicBool::new(false);
    let tell = |number: u32, what: &str| eprintln!("run {number}: {what}");
    let report = trial::run(options, &Disk::new(), &Context::assumed(), &interrupt, &tell);
    let report = report.unwrap_or_else(|error| panic!("{error}"));
    println!("{}", report.text());
    report
}

fn workload(name: &str, check: &str) -> Option<Report> {
    let image = format!("stockade-workload-{name}");
    if !present(DOCKER, &image) {
        return None;
    }
    let line = [DOCKER, &["run", "-d", "--restart=always", &image]].concat();
    let mut options = options(&line, check);
    options.also_own_user = true;
    let report = run(&options);
    assert_eq!(report.state, State::Complete);
    Some(report)
}

#[test]
fn nginx() {
    let Some(report) = workload("nginx", "http://:80/") else { return };
}

#[test]
fn redis() {
    let Some(report) = workload("redis", "redis-cli set a b") else { return };
}

#[test]
fn postgresql() {
    let Some(report) =
        workload("postgresql", "psql -h 127.0.0.1 -U postgres -c 'create temp table t (i int)' app")
    else {
        return;
    };
}

#[test]
fn memcached() {
    let Some(report) = workload(
        "memcached",
        "host:bash -c 'exec 3<>/dev/tcp/$STOCKADE_TRIAL_ADDRESS/11211 && echo version >&3 && head -n 1 <&3 | grep VERSION'",
    ) else {
        return;
    };
}

#[test]
fn haproxy() {
    let Some(report) = workload("haproxy", "http://:80/alive") else { return };
}

#[test]
fn apache2() {
    let Some(report) = workload("apache2", "http://:80/") else { return };
}

//! The systemd unit: systemd reads it without a complaint, and it keeps to our own advice.

use std::fs;
use std::path::Path;
use std::process::Command;

const UNIT: &str = include_str!("../../../packaging/systemd/stockade-watch.service");

fn values(key: &str) -> Vec<&str> {
    let of_key = |line: &'static str| line.strip_prefix(key)?.strip_prefix('=');
    UNIT.lines().filter_map(of_key).collect()
}

#[test]
fn systemd_accepts_the_unit() {
    let folder = std::env::temp_dir().join(format!("stockade-unit-{}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    let unit = folder.join("stockade-watch.service");
    // What is to be executed must be there, so that it is the one that was built.
    let built = Path::new(env!("CARGO_BIN_EXE_stockade")).display().to_string();
    fs::write(&unit, UNIT.replace("/usr/local/bin/stockade", &built)).unwrap();
    let verify = Command::new("systemd-analyze").args(["verify", "--man=no"]).arg(&unit).output();
    let security = Command::new("systemd-analyze")
        .args(["security", "--offline=yes", "--threshold=40"])
        .arg(&unit)
        .env("SYSTEMD_PAGER", "cat")
        .output();
    fs::remove_dir_all(&folder).unwrap();
    let (Ok(verify), Ok(security)) = (verify, security) else {
        println!("skipped: systemd-analyze is not here");
        return;
    };
    let said = String::from_utf8_lossy(&verify.stderr);
    let about_it: Vec<&str> = said.lines().filter(|line| line.contains("stockade")).collect();
    assert!(verify.status.success() && about_it.is_empty(), "{said}");
    let report = String::from_utf8_lossy(&security.stdout);
    if report.is_empty() {
        println!("skipped: this systemd-analyze cannot judge a file: {security:?}");
        return;
    }
    assert!(security.status.success(), "the exposure that systemd sees is above 4.0: {report}");
}

#[test]
fn the_unit_gives_the_service_what_the_sensor_needs_and_nothing_that_reaches_the_host() {
    let capabilities: Vec<&str> = values("CapabilityBoundingSet")[0].split(' ').collect();
    assert_eq!(capabilities, ["CAP_BPF", "CAP_PERFMON", "CAP_SYS_PTRACE", "CAP_DAC_READ_SEARCH"]);
    assert_eq!(values("NoNewPrivileges"), ["yes"]);
    assert_eq!(values("ProtectSystem"), ["strict"]);
    assert_eq!(values("RestrictNamespaces"), ["yes"]);
    // The last list stands: what it names is permitted although a group before takes it away.
    let calls = values("SystemCallFilter");
    assert!(!calls[0].starts_with('~') && calls.last().unwrap().contains("bpf perf_event_open"), "{calls:?}");
    // The store's place is the service's own.
    assert_eq!(values("StateDirectory"), ["stockade"]);
    assert!(watch::store::DEFAULT_PATH.starts_with("/var/lib/stockade/"));
    assert_eq!((values("Type"), values("WatchdogSec")), (vec!["notify"], vec!["30"]));
}

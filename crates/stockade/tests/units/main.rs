//! The systemd units: systemd reads them without a complaint, and they keep to our own advice.

mod gate;
mod watch;

use std::fs;
use std::path::Path;
use std::process::Command;

/// The values of a key, in order.
fn values<'a>(unit: &'a str, key: &str) -> Vec<&'a str> {
    unit.lines().filter_map(|line| line.strip_prefix(key)?.strip_prefix('=')).collect()
}

/// Asks systemd about units by name and text. The last is a service, whose exposure is at most `most` (10 is the worst).
fn systemd_accepts(units: &[(&str, &str)], most: f64) {
    let folder = tempfile::tempdir().unwrap();
    let paths: Vec<_> = units.iter().map(|(name, _)| folder.path().join(name)).collect();
    // What is to be executed must be there, so that it is the one that was built.
    let built = Path::new(env!("CARGO_BIN_EXE_stockade")).display().to_string();
    for ((_, text), path) in units.iter().zip(&paths) {
        fs::write(path, text.replace("/usr/local/bin/stockade", &built)).unwrap();
    }
    let verify = Command::new("systemd-analyze").args(["verify", "--man=no"]).args(&paths).output();
    let security = Command::new("systemd-analyze")
        .args(["security", "--offline=yes", &format!("--threshold={}", most * 10.0)])
        .args(paths.last())
        .env("SYSTEMD_PAGER", "cat")
        .output();
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
    assert!(security.status.success(), "the exposure that systemd sees is above {most}: {report}");
}

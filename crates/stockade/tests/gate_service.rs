//! The systemd units of the gates: systemd reads them without a complaint, and they keep to our own advice.

use std::fs;
use std::path::Path;
use std::process::Command;

const SERVICE: &str = include_str!("../../../packaging/systemd/stockade-gate-docker.service");
const SOCKET: &str = include_str!("../../../packaging/systemd/stockade-gate-docker.socket");

fn values<'a>(unit: &'a str, key: &str) -> Vec<&'a str> {
    unit.lines().filter_map(|line| line.strip_prefix(key)?.strip_prefix('=')).collect()
}

#[test]
fn systemd_accepts_the_units_of_the_docker_gate() {
    let folder = std::env::temp_dir().join(format!("stockade-gate-unit-{}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    // What is to be executed must be there, so that it is the one that was built.
    let built = Path::new(env!("CARGO_BIN_EXE_stockade")).display().to_string();
    let service = folder.join("stockade-gate-docker.service");
    fs::write(&service, SERVICE.replace("/usr/local/bin/stockade", &built)).unwrap();
    fs::write(folder.join("stockade-gate-docker.socket"), SOCKET).unwrap();
    let verify = Command::new("systemd-analyze")
        .args(["verify", "--man=no"])
        .arg(folder.join("stockade-gate-docker.socket"))
        .arg(&service)
        .output();
    let security = Command::new("systemd-analyze")
        .args(["security", "--offline=yes", "--threshold=35"])
        .arg(&service)
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
    assert!(security.status.success(), "the exposure that systemd sees is above 3.5: {report}");
}

#[test]
fn the_docker_gate_is_there_before_the_daemon_and_only_root_reaches_it() {
    assert_eq!(values(SOCKET, "ListenStream"), ["/run/docker/plugins/stockade.sock"]);
    assert_eq!(values(SOCKET, "SocketMode"), ["0600"]);
    assert_eq!(values(SOCKET, "Before"), ["docker.service"]);
    assert_eq!(values(SERVICE, "Before"), ["docker.service"]);
    assert_eq!(values(SERVICE, "CapabilityBoundingSet"), ["CAP_DAC_READ_SEARCH CAP_SYS_PTRACE"]);
    assert_eq!(values(SERVICE, "NoNewPrivileges"), ["yes"]);
    assert_eq!(values(SERVICE, "Restart"), ["always"]);
    assert_eq!((values(SERVICE, "Type"), values(SERVICE, "WatchdogSec")), (vec!["notify"], vec!["30"]));
    // Paths are looked at where the daemon sees them.
    assert!(values(SERVICE, "PrivateTmp").is_empty() && values(SERVICE, "PrivateDevices").is_empty());
}

//! `stockade gate test` before a daemon that asks no plugin, and before the same daemon once it asks the gate.

use std::process::Command;

use crate::harness::{Daemon, both};

fn proof(daemon: &Daemon) -> (Option<i32>, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_stockade"))
        .args(["gate", "test", "--docker"])
        .arg(format!("unix://{}", daemon.socket().display()))
        .output()
        .expect("it runs");
    (output.status.code(), both(&output))
}

#[test]
fn the_proof_says_open_before_a_daemon_without_the_gate_and_live_before_one_with_it() {
    let Some(mut daemon) = Daemon::start() else { return };
    let (code, said) = proof(&daemon);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("OPEN") && said.contains("ALERT"), "{said}");

    daemon.start_gate(&[]);
    daemon.heed_gate();
    let (code, said) = proof(&daemon);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains(": live: what must be refused is refused"), "{said}");
    assert_eq!(daemon.sh("docker ps -aq").trim(), "", "nothing is left behind");
}

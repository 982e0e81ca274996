//! The units of the gates.

use crate::{systemd_accepts, values};

const SERVICE: &str = include_str!("../../../../packaging/systemd/stockade-gate-docker.service");
const SOCKET: &str = include_str!("../../../../packaging/systemd/stockade-gate-docker.socket");
const PROXY: &str = include_str!("../../../../packaging/systemd/stockade-docker-proxy.service");
const TIMER: &str = include_str!("../../../../packaging/systemd/stockade-gate-test.timer");
const PROOF: &str = include_str!("../../../../packaging/systemd/stockade-gate-test.service");

#[test]
fn systemd_accepts_the_units_of_the_docker_gate() {
    systemd_accepts(
        &[("stockade-gate-docker.socket", SOCKET), ("stockade-gate-docker.service", SERVICE)],
        3.5,
    );
}

#[test]
fn systemd_accepts_the_units_of_the_filtered_socket_and_of_the_proof() {
    systemd_accepts(&[("stockade-docker-proxy.service", PROXY)], 3.5);
    // It runs for a moment, with what root may do: it asks doors and is no door.
    systemd_accepts(&[("stockade-gate-test.timer", TIMER), ("stockade-gate-test.service", PROOF)], 9.0);
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

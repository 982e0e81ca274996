//! The sensor's service.

const UNIT: &str = include_str!("../../../../packaging/systemd/stockade-watch.service");

fn values(key: &str) -> Vec<&'static str> {
    crate::values(UNIT, key)
}

#[test]
fn systemd_accepts_the_unit() {
    crate::systemd_accepts(&[("stockade-watch.service", UNIT)], 4.0);
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

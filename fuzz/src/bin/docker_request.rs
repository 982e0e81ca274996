//! A request to the Docker API is read without a panic: its route, and its body as Go would decode it. What was read of a
//! body says the same when it is read again, and an inspection made of it has its mounts.
#![no_main]

use gate::docker::create::{self, Daemon, Volume};
use gate::docker::{go_json, route};
use libfuzzer_sys::fuzz_target;
use serde_json::{Value, json};

/// Knows one volume that binds the root of the host, one container that has it, and one network.
struct Known;

impl Daemon for Known {
    fn volume(&self, name: &str) -> Result<Option<Volume>, String> {
        let bind = [("type", "none"), ("o", "bind"), ("device", "/")];
        let options = bind.map(|(key, value)| (key.to_owned(), value.to_owned())).to_vec();
        match name {
            "rootfs" => Ok(Some(Volume { driver: "local".into(), options })),
            "broken" => Err("no answer".into()),
            _ => Ok(None),
        }
    }
    fn container(&self, reference: &str) -> Result<Option<Value>, String> {
        let mounts = json!([{"Type": "volume", "Name": "rootfs", "Destination": "/h", "RW": true}]);
        Ok((reference == "other").then(|| json!({"Mounts": mounts, "HostConfig": {"PidMode": "host"}})))
    }
    fn image(&self, _: &str) -> Result<Option<Value>, String> {
        Ok(None)
    }
    fn network(&self, _: &str) -> Result<Option<Value>, String> {
        Ok(None)
    }
}

fuzz_target!(|bytes: &[u8]| {
    // The first line is method and target, the rest the body.
    let end = bytes.iter().position(|byte| *byte == b'\n').unwrap_or(bytes.len());
    let (line, body) = (&bytes[..end], bytes.get(end + 1..).unwrap_or_default());
    if let Ok(line) = std::str::from_utf8(line) {
        let (method, target) = line.split_once(' ').unwrap_or(("POST", line));
        if let Ok(route) = route::read(method, target) {
            assert!(route.pattern.starts_with(method), "{route:?}");
            assert!(route.parameters.iter().all(|parameter| !parameter.is_empty()), "{route:?}");
        }
    }
    let Ok(read) = go_json::decode(body, &create::CREATE) else { return };
    let written = serde_json::to_vec(&read).expect("JSON");
    let again = go_json::decode(&written, &create::CREATE).expect("what was read reads again");
    assert_eq!(read, again);
    if let Ok(inspected) = create::as_inspected(body, &Known) {
        assert!(inspected["Mounts"].is_array() && inspected["HostConfig"]["Privileged"].is_boolean());
        let host = inspected["HostConfig"].as_object().expect("an object");
        assert!(host.values().all(|value| !value.is_null()));
    }
});

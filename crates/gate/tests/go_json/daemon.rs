//! What a real daemon makes of a create body is what the door reads in it. Containers are made, never started, and removed.

use std::path::Path;

use gate::docker::create::{self, Daemon, Volume};
use serde_json::{Map, Value};

use crate::choices::Choices;
use crate::{bytes, check, generator, http, printable};

const SOCKET: &str = "/run/docker.sock";
const IMAGE: &str = "stockade-test-busybox";

/// Asks the daemon of the test itself.
struct Asked;

impl Daemon for Asked {
    fn volume(&self, name: &str) -> Result<Option<Volume>, String> {
        let Some(found) = get(&format!("/volumes/{name}"))? else { return Ok(None) };
        let options = found["Options"].as_object().cloned().unwrap_or_default();
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        Ok(Some(Volume {
            driver: text(&found["Driver"]),
            options: options.iter().map(|(key, value)| (key.clone(), text(value))).collect(),
        }))
    }
    fn container(&self, reference: &str) -> Result<Option<Value>, String> {
        get(&format!("/containers/{reference}/json"))
    }
    fn image(&self, reference: &str) -> Result<Option<Value>, String> {
        get(&format!("/images/{reference}/json"))
    }
    fn network(&self, reference: &str) -> Result<Option<Value>, String> {
        get(&format!("/networks/{reference}"))
    }
}

fn get(target: &str) -> Result<Option<Value>, String> {
    let answer = http::ask(Path::new(SOCKET), "GET", target, None).map_err(|error| error.to_string())?;
    match answer.status {
        200 => serde_json::from_slice(&answer.body).map(Some).map_err(|error| error.to_string()),
        404 => Ok(None),
        status => Err(format!("{status}: {}", answer.text())),
    }
}

/// What the daemon makes of a body: the inspection of the container, which is removed again.
fn made(body: &[u8]) -> Result<Value, String> {
    let socket = Path::new(SOCKET);
    let answer = http::ask(socket, "POST", "/containers/create", Some(body)).map_err(|e| e.to_string())?;
    if answer.status != 201 {
        return Err(format!("{}: {}", answer.status, answer.text()));
    }
    let id: Value = serde_json::from_slice(&answer.body).map_err(|error| error.to_string())?;
    let target = format!("/containers/{}", id["Id"].as_str().unwrap_or_default());
    let inspection = get(&format!("{target}/json"));
    let removed = http::ask(socket, "DELETE", &format!("{target}?v=1&force=1"), None);
    assert_eq!(removed.map(|answer| answer.status).ok(), Some(204));
    Ok(inspection?.unwrap_or_default())
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(b) => !b,
        Value::Number(n) => n.as_f64() == Some(0.0),
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(members) => members.values().all(is_empty),
    }
}

/// What was asked for is there as it was asked for; what was not, as in a container of which nothing was asked.
fn difference(asked: &Value, made: &Value, plain: &Value) -> Option<String> {
    let members = |value: &Value| value["HostConfig"].as_object().cloned().unwrap_or_default();
    let (asked_of, made_of, plain_of) = (members(asked), members(made), members(plain));
    let held = |of: &Map<String, Value>, key: &str| of.get(key).cloned().unwrap_or_default();
    for key in made_of.keys().chain(asked_of.keys()) {
        // The id of the container's own network is in none of them; the daemon doubles memory where no swap is asked for.
        if key == "MemorySwap" {
            continue;
        }
        let (asked, made, plain) = (held(&asked_of, key), held(&made_of, key), held(&plain_of, key));
        // Some of what the daemon fills in it leaves out where there is no HostConfig at all.
        let by_itself = is_empty(&asked) && (is_empty(&made) || same(key, &plain, &made));
        if !by_itself && !same(key, &asked, &made) {
            return Some(format!(
                "{key}: read as {asked}, made as {made}, and {plain} where nothing is asked"
            ));
        }
    }
    let sources = |value: &Value| {
        let mut all: Vec<String> = value["Mounts"]
            .as_array()
            .into_iter()
            .flatten()
            .filter(|mount| mount["Type"] == "bind")
            .map(|mount| format!("{} {} {}", mount["Source"], mount["Destination"], mount["RW"]))
            .collect();
        all.sort();
        all
    };
    let (asked_mounts, made_mounts) = (sources(asked), sources(made));
    if asked_mounts != made_mounts {
        return Some(format!("mounts: read as {asked_mounts:?}, made as {made_mounts:?}"));
    }
    (asked["Config"]["User"].as_str().unwrap_or_default() != made["Config"]["User"]).then(|| "user".into())
}

fn same(key: &str, ours: &Value, theirs: &Value) -> bool {
    match key {
        // Written again by the daemon in the names that the kernel uses.
        "CapAdd" | "CapDrop" => {
            let names = |value: &Value| {
                let mut names: Vec<String> = value
                    .as_array()
                    .into_iter()
                    .flatten()
                    .filter_map(Value::as_str)
                    .map(|name| name.to_uppercase().trim_start_matches("CAP_").to_owned())
                    .collect();
                names.sort();
                names
            };
            names(ours) == names(theirs)
        }
        // -1 is no limit, which the daemon writes as nothing.
        "PidsLimit" => covers(ours, theirs) || (ours.as_i64() == Some(-1) && is_empty(theirs)),
        // A privileged container gets `label=disable` beside what was asked.
        "SecurityOpt" => {
            let texts = |value: &Value| value.as_array().cloned().unwrap_or_default();
            let ours = texts(ours);
            texts(theirs).iter().all(|text| ours.contains(text) || text == "label=disable")
                && ours.iter().all(|text| texts(theirs).contains(text))
        }
        // What is masked of /proc is laid out by the daemon where it is not said, and lifted where a container is privileged.
        "MaskedPaths" | "ReadonlyPaths" => is_empty(ours) || ours == theirs || is_empty(theirs),
        _ => covers(ours, theirs),
    }
}

/// The same, where fields that are not written are as good as empty ones.
fn covers(ours: &Value, theirs: &Value) -> bool {
    match (ours, theirs) {
        (Value::Object(a), Value::Object(b)) => {
            let keys = a.keys().chain(b.keys());
            let held = |of: &Map<String, Value>, key: &String| of.get(key).cloned().unwrap_or_default();
            keys.into_iter().all(|key| covers(&held(a, key), &held(b, key)))
        }
        (Value::Array(a), Value::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| covers(a, b))
        }
        (Value::Number(a), Value::Number(b)) => a.as_f64() == b.as_f64(),
        _ => ours == theirs || (is_empty(ours) && is_empty(theirs)),
    }
}

#[test]
fn what_the_daemon_makes_of_a_body_is_what_the_door_reads_in_it() {
    let image = get(&format!("/images/{IMAGE}/json"));
    if !matches!(image, Ok(Some(_))) {
        assert!(std::env::var_os("STOCKADE_ENGINES").is_none(), "docker is not set up: scripts/engines");
        eprintln!("skipped: no Docker with the image {IMAGE} on {SOCKET}");
        return;
    }
    let plain = made(format!("{{\"Image\":\"{IMAGE}\",\"HostConfig\":{{}}}}").as_bytes())
        .expect("a plain container is made");
    let taken = std::cell::Cell::new(0);
    check(250, &bytes(400), |bytes| {
        let body = generator::sound_body(&mut Choices::new(&bytes), IMAGE);
        let made = made(&body);
        let asked = create::as_inspected(&body, &Asked);
        let wrong = match (&asked, &made) {
            (Ok(asked), Ok(made)) => {
                taken.set(taken.get() + 1);
                difference(asked, made, &plain)
            }
            (Err(error), Ok(_)) => Some(format!("refused here: {error}")),
            // What the daemon does not make is of no harm.
            (_, Err(_)) => None,
        };
        proptest::prop_assert!(wrong.is_none(), "{}\n{}", wrong.unwrap_or_default(), printable(&body));
        Ok(())
    });
    assert!(taken.get() > 100, "only {} of 250 were made", taken.get());
}

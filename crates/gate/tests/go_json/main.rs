//! Go's own `encoding/json` as the judge of `gate::docker::go_json`: thousands of bodies are decoded by both, into random
//! types and into the type of a create body. And the daemon itself: what it makes of a body is what the door read in it.
//!
//! `scripts/test` installs Go and sets Docker up; where they are not there the tests say so and pass, unless
//! STOCKADE_ENGINES is set, as `make test` does.

mod choices;
mod daemon;
mod generator;
#[path = "../support/http.rs"]
mod http;
mod oracle;

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;

use choices::Choices;
use gate::docker::create::CREATE;
use gate::docker::go_json::{self, GoJsonError, Shape};
use oracle::{Answer, Oracle};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestError, TestRunner};
use serde_json::Value;

/// What Rust has where Go has something else; `go` stands as it was encoded again.
fn difference(path: &str, rust: &Value, go: &Value, shape: &Shape) -> Option<String> {
    let differs = || Some(format!("{path}: {rust} here, {go} in Go"));
    match (shape, rust, go) {
        (Shape::Struct(fields), Value::Null | Value::Object(_), Value::Object(theirs)) => {
            fields.iter().find_map(|(name, inner)| {
                let ours = rust.get(*name).unwrap_or(&Value::Null);
                // Members of a pointer that is nil are not there at all.
                let theirs = theirs.get(*name).unwrap_or(&Value::Null);
                difference(&format!("{path}.{name}"), ours, theirs, inner)
            })
        }
        (
            Shape::Pointer(_) | Shape::Slice(_) | Shape::Map(_) | Shape::TextOrList | Shape::Any,
            Value::Null,
            _,
        ) => (!go.is_null()).then(differs)?,
        // Absent here, and there left out or the zero value.
        (Shape::Struct(_), _, Value::Null) => {
            (!rust.is_null() && rust.as_object().is_none_or(|o| !o.is_empty())).then(differs)?
        }
        (Shape::Text, Value::Null, _) => (!go.is_null() && go != "").then(differs)?,
        (Shape::Number, Value::Null, _) => (!go.is_null() && go != 0).then(differs)?,
        (Shape::Bool, Value::Null, _) => (!go.is_null() && go != false).then(differs)?,
        (Shape::Pointer(inner), ..) => difference(path, rust, go, inner),
        (Shape::Slice(inner), Value::Array(ours), Value::Array(theirs)) => {
            if ours.len() != theirs.len() {
                return differs();
            }
            ours.iter()
                .zip(theirs)
                .find_map(|(ours, theirs)| difference(&format!("{path}[]"), ours, theirs, inner))
        }
        (Shape::Map(inner), Value::Object(ours), Value::Object(theirs)) => {
            if !ours.keys().eq(theirs.keys()) {
                return differs();
            }
            theirs
                .iter()
                .find_map(|(key, theirs)| difference(&format!("{path}.{key}"), &ours[key], theirs, inner))
        }
        (Shape::Number, Value::Number(ours), Value::Number(theirs)) => {
            (ours.as_i64() != theirs.as_i64()).then(differs)?
        }
        (Shape::Any, ..) => (!alike(rust, go)).then(differs)?,
        _ => (rust != go).then(differs)?,
    }
}

/// Equal, with numbers as Go holds them in an interface: floating-point.
fn alike(ours: &Value, theirs: &Value) -> bool {
    match (ours, theirs) {
        (Value::Number(ours), Value::Number(theirs)) => ours.as_f64() == theirs.as_f64(),
        (Value::Array(ours), Value::Array(theirs)) => {
            ours.len() == theirs.len() && ours.iter().zip(theirs).all(|(ours, theirs)| alike(ours, theirs))
        }
        (Value::Object(ours), Value::Object(theirs)) => {
            ours.len() == theirs.len()
                && ours.iter().all(|(key, ours)| theirs.get(key).is_some_and(|theirs| alike(ours, theirs)))
        }
        _ => ours == theirs,
    }
}

/// What is wrong with how a body was decoded here, beside what Go says of it.
fn disagreement(oracle: &mut Oracle, body: &[u8], shape: &Shape) -> Option<String> {
    let ours = go_json::decode(body, shape);
    match (oracle.decode(body), ours) {
        (Answer::Decoded(theirs), Ok(ours)) => difference("", &ours, &theirs, shape),
        (Answer::Decoded(theirs), Err(error)) => Some(format!("refused here ({error}); Go: {theirs}")),
        (Answer::Syntax(why), Ok(ours)) => Some(format!("read here as {ours}; Go: {why}")),
        (Answer::Syntax(why), Err(error @ GoJsonError::Type { .. })) => {
            Some(format!("{error} here; Go: {why}"))
        }
        (Answer::Type(why), Err(error @ (GoJsonError::Syntax { .. } | GoJsonError::Empty))) => {
            Some(format!("{error} here; Go: {why}"))
        }
        // Numbers that are too large for the type, and types that are of no interest here, are left to the daemon.
        (Answer::Syntax(_) | Answer::Type(_), _) => None,
    }
}

fn printable(body: &[u8]) -> String {
    body.escape_ascii().to_string().replace("\\\"", "\"")
}

/// Runs so many cases, and says of the plainest that fails what is wrong with it, without the bytes that it was made of.
fn check<S: Strategy>(cases: u32, strategy: &S, test: impl Fn(S::Value) -> Result<(), TestCaseError>) {
    let config = Config { cases, failure_persistence: None, ..Config::default() };
    match TestRunner::new(config).run(strategy, test) {
        Err(TestError::Fail(why, _)) => panic!("{why}"),
        Err(why) => panic!("{why}"),
        Ok(()) => {}
    }
}

fn bytes(most: usize) -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(any::<u8>(), 0..most)
}

/// A type, made of choices. It lives as long as the test, as types do.
fn random_shape(choices: &mut Choices<'_>, depth: usize) -> Shape {
    const NAMES: [&str; 10] = ["Name", "Binds", "Key", "Mask", "sK", "x-y", "id", "ID", "Id2", "kS_s"];
    let leaf = [Shape::Text, Shape::Number, Shape::Bool, Shape::Any, Shape::TextOrList];
    let inner = |choices: &mut Choices<'_>| &*Box::leak(Box::new(random_shape(choices, depth + 1)));
    match choices.below(if depth > 3 { 1 } else { 5 }) {
        0 => choices.of(&leaf),
        1 => Shape::Slice(inner(choices)),
        2 => Shape::Map(inner(choices)),
        3 => Shape::Pointer(inner(choices)),
        _ => structure(choices, &NAMES, depth),
    }
}

fn structure(choices: &mut Choices<'_>, names: &[&'static str], depth: usize) -> Shape {
    let mut fields: Vec<(&'static str, Shape)> = Vec::new();
    for _ in 0..=choices.below(4) {
        let name = choices.of(names);
        if fields.iter().all(|(n, _)| *n != name) {
            fields.push((name, random_shape(choices, depth + 1)));
        }
    }
    Shape::Struct(fields.leak())
}

#[test]
fn a_body_means_what_it_means_to_go_whatever_type_it_is_decoded_into() {
    let Some(oracle) = Oracle::start() else { return };
    let oracle = RefCell::new(oracle);
    check(6000, &(bytes(40), bytes(200)), |(of_shape, of_body)| {
        let shape = structure(&mut Choices::new(&of_shape), &["Name", "Keys", "kS", "id", "ID"], 0);
        let body = generator::body(&mut Choices::new(&of_body), &shape);
        let oracle = &mut *oracle.borrow_mut();
        oracle.shape(&shape);
        let disagreement = disagreement(oracle, &body, &shape);
        prop_assert!(
            disagreement.is_none(),
            "{}\n{shape:?}\n{}",
            disagreement.unwrap_or_default(),
            printable(&body)
        );
        Ok(())
    });
}

#[test]
fn a_create_body_means_what_it_means_to_the_type_that_the_daemon_decodes_it_into() {
    let Some(oracle) = Oracle::start() else { return };
    let oracle = RefCell::new(oracle);
    // How many mean something: a test of errors alone would prove little.
    let decoded = Cell::new(0);
    let interesting = without_any(&CREATE);
    check(6000, &bytes(600), |bytes| {
        let body = generator::body(&mut Choices::new(&bytes), &CREATE);
        let ours = go_json::decode(&body, &CREATE);
        let wrong = match (oracle.borrow_mut().decode(&body), ours) {
            (Answer::Decoded(theirs), Ok(ours)) => {
                decoded.set(decoded.get() + 1);
                difference("", &ours, &theirs, &interesting)
            }
            (Answer::Decoded(theirs), Err(error)) => Some(format!("refused here ({error}); Go: {theirs}")),
            (Answer::Syntax(why), Ok(ours)) => Some(format!("read here as {ours}; Go: {why}")),
            _ => None,
        };
        prop_assert!(wrong.is_none(), "{}\n{}", wrong.unwrap_or_default(), printable(&body));
        Ok(())
    });
    assert!(decoded.get() > 1500, "only {} of 6000 were decoded", decoded.get());
}

/// Fields that are kept as they stand have a type of their own in Go, with defaults and order; they are of no interest.
fn without_any(shape: &Shape) -> Shape {
    let inner = |inner: &Shape| &*Box::leak(Box::new(without_any(inner)));
    match shape {
        Shape::Struct(fields) => {
            let kept: Vec<_> = fields
                .iter()
                .filter(|(_, shape)| !matches!(shape, Shape::Any | Shape::Map(Shape::Any)))
                .map(|(name, shape)| (*name, without_any(shape)))
                .collect();
            Shape::Struct(kept.leak())
        }
        Shape::Pointer(shape) => Shape::Pointer(inner(shape)),
        Shape::Slice(shape) => Shape::Slice(inner(shape)),
        Shape::Map(shape) => Shape::Map(inner(shape)),
        other => *other,
    }
}

/// Keys of the daemon's type that say nothing about what a container can reach: limits of what it takes, health checks,
/// names, consoles, other systems.
const OF_NO_INTEREST: [&str; 32] = [
    "ArgsEscaped",
    "AttachStderr",
    "AttachStdin",
    "AttachStdout",
    "Cpuset",
    "Healthcheck",
    "MacAddress",
    "OnBuild",
    "OpenStdin",
    "Shell",
    "StdinOnce",
    "StopSignal",
    "StopTimeout",
    "BlkioDeviceReadBps",
    "BlkioDeviceReadIOps",
    "BlkioDeviceWriteBps",
    "BlkioDeviceWriteIOps",
    "BlkioWeight",
    "BlkioWeightDevice",
    "ConsoleSize",
    "ContainerIDFile",
    "CpuCount",
    "CpuPercent",
    "Dns",
    "DnsOptions",
    "DnsSearch",
    "IOMaximumBandwidth",
    "IOMaximumIOps",
    "Init",
    "KernelMemory",
    "KernelMemoryTCP",
    "MemorySwappiness",
];

fn known(shape: &Shape, path: &str) -> bool {
    let (first, rest) = path.split_once('.').map_or((path, None), |(first, rest)| (first, Some(rest)));
    match shape {
        Shape::Struct(fields) => fields
            .iter()
            .find(|(name, _)| *name == first)
            .is_some_and(|(_, inner)| rest.is_none_or(|rest| known(inner, rest))),
        Shape::Pointer(inner) | Shape::Slice(inner) => known(inner, path),
        // Kept as it stands, whatever is in it.
        Shape::Any => true,
        Shape::Map(inner) => matches!(**inner, Shape::Any),
        _ => false,
    }
}

#[test]
fn every_key_of_a_create_body_is_read_or_named_here_as_of_no_interest() {
    let Some(mut oracle) = Oracle::start() else { return };
    let unread: BTreeSet<String> = oracle
        .create_keys()
        .into_iter()
        .filter(|key| !known(&CREATE, key))
        .filter(|key| {
            let key = key.strip_prefix("HostConfig.").unwrap_or(key);
            let first = key.split('.').next().unwrap_or_default();
            !OF_NO_INTEREST.contains(&first)
        })
        .collect();
    assert!(unread.is_empty(), "{unread:?}");
}

//! Bytes that no API server would send: refused with a reason, and never a panic, a hang or a way in.

#[path = "kubernetes/wrap.rs"]
mod wrap;

use std::time::{Duration, Instant};

use gate::InForce;
use gate::kubernetes::review::{Decided, MAX_BYTES, decide};
use policy::Date;
use proptest::prelude::*;
use serde_json::{Value, json};
use sources::Context;
use wrap::Review;

type Change<'a> = &'a dyn Fn(&mut Value);

fn today() -> Date {
    "2027-01-10".parse().unwrap()
}

fn decided(bytes: &[u8]) -> Result<Decided, String> {
    decide(bytes, &Context::assumed(), &InForce::default(), today()).map_err(|e| e.to_string())
}

fn pod() -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": { "name": "web", "namespace": "shop", "labels": { "app": "web" } },
        "spec": {
            "hostPID": true,
            "containers": [{ "name": "web", "image": "nginx", "securityContext": { "privileged": true } }],
        },
    })
}

fn review() -> Value {
    Review::create(pod()).to_json()
}

#[test]
fn what_is_no_review_has_no_answer() {
    let cases: [(&str, Change<'_>, &str); 8] = [
        ("another version", &|r| r["apiVersion"] = "admission.k8s.io/v1beta1".into(), "apiVersion"),
        ("another kind", &|r| r["kind"] = "Pod".into(), "`kind`"),
        ("no kind", &|r| r["kind"] = Value::Null, "`kind`"),
        ("no request", &|r| r["request"] = Value::Null, "no `request`"),
        ("a list of requests", &|r| r["request"] = json!([r["request"].clone(), 1]), "no `request`"),
        ("no uid", &|r| r["request"]["uid"] = Value::Null, "no `uid`"),
        ("a number for a uid", &|r| r["request"]["uid"] = 5.into(), "no `uid`"),
        ("a list", &|r| *r = json!([r.clone()]), "`kind`"),
    ];
    for (name, change, said) in cases {
        let mut review = review();
        change(&mut review);
        let error = decided(&serde_json::to_vec(&review).unwrap()).unwrap_err();
        assert!(error.contains(said), "{name}: {error}");
    }
    for bytes in
        [&b""[..], b"\0", b"\xff\xfe{\0}\0", b"{", b"apiVersion: admission.k8s.io/v1", b"{}}", b"{} {}"]
    {
        assert!(decided(bytes).is_err(), "{}", String::from_utf8_lossy(bytes));
    }
}

#[test]
fn a_request_that_cannot_be_read_is_denied_with_the_reason() {
    let cases: [(&str, Change<'_>, &str); 14] = [
        ("operation", &|r| r["operation"] = "PATCH".into(), "`operation` is `PATCH`"),
        ("no operation", &|r| r["operation"] = Value::Null, "`operation` is missing"),
        ("kind", &|r| r["kind"] = "Pod".into(), "`kind.kind` is missing"),
        ("another kind", &|r| r["kind"]["kind"] = "ConfigMap".into(), "the request says ConfigMap"),
        ("another group", &|r| r["kind"]["group"] = "apps".into(), "the API group"),
        ("another namespace", &|r| r["namespace"] = "kube-system".into(), "in the namespace `shop`"),
        ("resource", &|r| r["resource"] = json!({}), "`resource.resource` is missing"),
        ("subresource", &|r| r["subResource"] = 1.into(), "`subResource` is no text"),
        ("an object of text", &|r| r["object"] = "{}".into(), "`object` is no object"),
        ("a list for an object", &|r| r["object"] = json!([pod()]), "`object` is no object"),
        ("no object", &|r| r["object"] = Value::Null, "it has no `object`"),
        ("groups", &|r| r["userInfo"]["groups"] = json!([1]), "userInfo.groups"),
        ("user", &|r| r["userInfo"]["username"] = json!({}), "userInfo.username"),
        ("dry run", &|r| r["dryRun"] = "true".into(), "dryRun"),
    ];
    for (name, change, said) in cases {
        let mut review = review();
        change(&mut review["request"]);
        let decided = decided(&serde_json::to_vec(&review).unwrap()).unwrap();
        assert!(decided.ruling.is_denied(), "{name}");
        assert!(decided.ruling.message.contains(said), "{name}: {}", decided.ruling.message);
        assert_eq!(decided.answer()["response"]["uid"], Review::UID);
    }
}

#[test]
fn fields_of_another_type_are_no_way_in() {
    let cases: [(&str, Value); 9] = [
        ("/spec/containers", json!({ "0": { "name": "web", "image": "nginx" } })),
        ("/spec/containers", "web".into()),
        ("/spec", json!([])),
        ("/spec", Value::Null),
        ("/spec/containers/0", "web".into()),
        ("/spec/containers/0/securityContext", json!([{ "privileged": true }])),
        ("/spec/containers/0/securityContext/privileged", "true".into()),
        ("/spec/hostPID", 1.into()),
        ("/metadata", "web".into()),
    ];
    for (route, value) in cases {
        let mut review = review();
        *review["request"]["object"].pointer_mut(route).unwrap() = value;
        let decided = decided(&serde_json::to_vec(&review).unwrap()).unwrap();
        assert!(decided.ruling.is_denied(), "{route}: {}", review["request"]["object"]);
    }
}

#[test]
fn a_key_that_stands_twice_is_refused_wherever_it_stands() {
    let text = serde_json::to_string(&review()).unwrap();
    for (key, twice) in [
        ("\"privileged\":true", "\"privileged\":true,\"privileged\":false"),
        ("\"hostPID\":true", "\"hostPID\":false,\"hostPID\":true"),
        ("\"operation\":\"CREATE\"", "\"operation\":\"CREATE\",\"operation\":\"DELETE\""),
        ("\"hostPID\":true", "\"hostPID\":true,\"host\\u0050ID\":false"),
    ] {
        let changed = text.replacen(key, twice, 1);
        assert_ne!(changed, text, "{key}");
        assert!(decided(changed.as_bytes()).unwrap_err().contains("duplicate key"), "{twice}");
    }
}

#[test]
fn keys_are_compared_by_case_as_the_api_server_does() {
    // The API server's decoder keeps no field of another case (strict decoding of apimachinery since 1.23), so such a
    // field says nothing: what it holds beside is what counts.
    let mut review = review();
    review["request"]["object"]["spec"]["containers"][0]["securityContext"]["Privileged"] = false.into();
    let decided = decided(&serde_json::to_vec(&review).unwrap()).unwrap();
    assert!(decided.ruling.is_denied());
}

#[test]
fn what_is_deep_wide_or_long_is_refused_soon() {
    let deep = format!("{}1{}", "{\"a\":".repeat(100_000), "}".repeat(100_000));
    let text = serde_json::to_string(&review()).unwrap();
    let nested = text.replacen("\"hostPID\":true", &format!("\"hostPID\":true,\"x\":{deep}"), 1);
    let wide = format!("[{}1]", "[],".repeat(4_000_000));
    let long = vec![b' '; MAX_BYTES + 1];
    let mut containers = review();
    let container = |n: usize| json!({ "name": format!("c{n}"), "image": "nginx", "securityContext": { "privileged": true } });
    containers["request"]["object"]["spec"]["containers"] = (0..500).map(container).collect();
    let begun = Instant::now();
    for bytes in [deep.as_bytes(), nested.as_bytes(), wide.as_bytes(), &long] {
        assert!(decided(bytes).is_err());
    }
    let many = decided(&serde_json::to_vec(&containers).unwrap()).unwrap();
    let answer = many.answer();
    assert_eq!(answer["response"]["allowed"], false);
    assert!(answer.to_string().len() < 16_000, "an answer stays short");
    // In a build without optimisation, on a machine with other work.
    assert!(begun.elapsed() < Duration::from_secs(60), "{:?}", begun.elapsed());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn whatever_is_changed_in_its_bytes_it_is_answered_or_refused(
        at in 0_usize..2000, remove in 0_usize..40, insert in "[\\[\\]{}\",:0-9a-z\\\\]{0,6}"
    ) {
        let mut text = serde_json::to_string(&review()).unwrap();
        let at = at % text.len();
        let end = (at + remove).min(text.len());
        text.replace_range(at..end, &insert);
        if let Ok(decided) = decided(text.as_bytes()) {
            let answer = decided.answer();
            prop_assert_eq!(answer["response"]["allowed"].as_bool(), Some(!decided.ruling.is_denied()));
            // What is still a privileged pod is still refused.
            let review: Value = serde_json::from_str(&text).unwrap();
            let container = &review["request"]["object"]["spec"]["containers"][0];
            let creates = review["request"]["operation"] == "CREATE" && review["request"]["subResource"].is_null();
            let is_pod = review["request"]["object"]["kind"] == "Pod";
            if creates && is_pod && container["securityContext"]["privileged"] == true {
                prop_assert!(decided.ruling.is_denied(), "{}", text);
            }
        }
    }
}

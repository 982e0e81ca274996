//! A benchmark over what is really read: each format says which check fails where, by its number.

use policy::{Standard, StandardResult};
use sources::inventory::{HostInventory, Inventory};

use crate::fixture::written;
use crate::judged::with_report;
use crate::{json, sarif};

fn with_results<T>(take: impl FnOnce(&report::Report<'_>) -> T) -> T {
    with_report(1, |plain| {
        let standard = Standard::parse("cis-docker@1.6").unwrap();
        let inventory = Inventory::default();
        let subjects = plain.world.subjects.iter().enumerate();
        let results: Vec<(usize, StandardResult)> =
            subjects.filter_map(|(i, s)| Some((i, standard.evaluate(s, &inventory)?))).collect();
        assert_eq!(results.len(), 4);
        take(&report::Report { standards: &results, ..*plain })
    })
}

#[test]
fn json_has_each_check_once_with_its_mapping_and_each_result_with_its_place() {
    let report = with_results(|report| written(report, report::json::write));
    let value: serde_json::Value = serde_json::from_str(&report).unwrap();
    json::assert_valid(&value);
    let standard = &value["standards"][0];
    assert_eq!((&standard["standard"], &standard["result"]), (&"cis-docker".into(), &"fail".into()));
    let controls = standard["controls"].as_array().unwrap();
    assert_eq!(controls.len(), 117);
    let of = |id: &str| controls.iter().find(|control| control["id"] == id).unwrap();
    let socket = of("5.32");
    assert_eq!((&socket["result"], &socket["subjects"]["fail"]), (&"fail".into(), &1.into()));
    assert!(socket["techniques"].as_array().unwrap().contains(&"engine-api".into()), "{socket}");
    assert!(socket["attack"].as_array().unwrap().contains(&"T1610".into()), "{socket}");
    assert_eq!(of("2.2")["result"], serde_json::Value::Null);
    let bot = value["subjects"].as_array().unwrap().iter().find(|s| s["name"] == "bot").unwrap();
    let told = bot["standards"][0]["controls"].as_array().unwrap();
    let told = told.iter().find(|control| control["id"] == "5.32").unwrap();
    assert_eq!((&told["location"]["line"], &told["result"]), (&6.into(), &"fail".into()));
    let path = &bot["paths"][0]["references"];
    assert!(path["cisDocker"].as_array().unwrap().contains(&"5.32".into()), "{path}");
}

#[test]
fn sarif_names_rules_by_the_benchmarks_numbers() {
    let report = with_results(|report| written(report, report::sarif::write));
    let value: serde_json::Value = serde_json::from_str(&report).unwrap();
    sarif::assert_valid(&value);
    let run = &value["runs"][0];
    let rules = run["tool"]["driver"]["rules"].as_array().unwrap();
    let rule = rules.iter().find(|rule| rule["id"] == "cis-docker-5.32").unwrap();
    assert!(rule["properties"]["tags"].as_array().unwrap().contains(&"nist-800-190/3.4.3".into()), "{rule}");
    let results = run["results"].as_array().unwrap();
    let result = results.iter().find(|result| result["ruleId"] == "cis-docker-5.32").unwrap();
    let index = usize::try_from(result["ruleIndex"].as_u64().unwrap()).unwrap();
    assert_eq!(rules[index]["id"], "cis-docker-5.32");
    assert_eq!(result["locations"][0]["physicalLocation"]["region"]["startLine"], 6);
    // What is unknown or for people is no result.
    assert!(!results.iter().any(|result| result["ruleId"] == "cis-docker-5.23"));
}

#[test]
fn every_other_format_says_what_fails() {
    with_results(|report| {
        let junit = written(report, report::junit::write);
        assert!(junit.contains("cis-docker/5.32: the host"), "the check is not told");
        let github = written(report, report::github::write);
        assert!(github.contains("cis-docker@1.6 5.5"), "the check is not told");
        let html = written(report, report::html::write);
        assert!(html.contains("cis-docker@1.6") && html.contains("5.32"), "no benchmark in the page");
    });
}

#[test]
fn the_text_is_by_section_and_counts_what_was_not_looked_at() {
    let excerpt = |_: &str| None;
    let text = |all: bool| {
        with_results(|report| {
            let options = report::text::Options { all, colour: false, width: 120, excerpt: &excerpt };
            let mut out = Vec::new();
            report::text::write(&report::Report { all, ..*report }, &options, &mut out).unwrap();
            String::from_utf8(out).unwrap()
        })
    };
    let failing = text(false);
    assert!(failing.contains("\n 5 Containers\n") && !failing.contains("\n 2 Daemon\n"), "{failing}");
    assert!(failing.contains("compose.yaml:6:9: bot: the host's /run/docker.sock is mounted"), "{failing}");
    assert!(failing.contains("cis-docker@1.6: 32 of 117 checks: "), "{failing}");
    assert!(failing.contains("unknown: ") && !failing.contains("  unknown "), "{failing}");
    assert!(text(true).contains("  unknown        5.7 "), "all of it is asked for");
}

#[test]
fn a_host_is_called_by_its_own_name() {
    with_report(1, |plain| {
        let mut world = plain.world.clone();
        let subject = &mut world.subjects[0];
        (subject.kind, subject.id) = (confinement::SubjectKind::Host, "host:box".into());
        let inventory = Inventory { host: Some(HostInventory::default()), engine: None };
        let result = policy::cis::evaluate(subject, &inventory).unwrap();
        let results = [(0, result)];
        let excerpt = |_: &str| None;
        let options = report::text::Options { all: true, colour: false, width: 120, excerpt: &excerpt };
        let mut out = Vec::new();
        let report = report::Report { world: &world, standards: &results, ..*plain };
        report::text::write(&report, &options, &mut out).unwrap();
        let text = String::from_utf8(out).unwrap();
        assert!(
            text.contains("/etc/group: host:box: the members of the group docker are not known"),
            "{text}"
        );
    });
}

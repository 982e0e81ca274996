//! What hardening says, against its published schemas, over a file that has one service of every state.

use std::sync::Arc;

use harden::editor;
use harden::hardening::harden;
use report::harden::{HardenReport, IsTyped};
use serde_json::Value;
use sources::Context;
use sources::gather;
use techniques::plan::{Asked, Costs, plan};
use techniques::remedy::Remedy;

use crate::sarif;

const SCHEMA: &str = include_str!("../../../../schemas/stockade.harden-1.schema.json");

const FILE: &str = "\
services:
  bot:
    image: docker:cli
    volumes: [/var/run/docker.sock:/s]
  pinned:
    image: alpine
    cap_add: [SYS_ADMIN]
    volumes: [/:/host]
  variable:
    image: postgres:17
    user: ${DEPLOY_USER:-root}
    privileged: ${PRIVILEGED:-true}
  sound:
    image: alpine
";

#[derive(Debug)]
struct File;

impl IsTyped for File {
    fn is_typed(&self, _: &str) -> bool {
        false
    }
}

fn with_report<T>(recommended: bool, take: impl FnOnce(&HardenReport<'_>) -> T) -> T {
    let path = std::path::Path::new("compose.yaml");
    let read = |text: &str| gather::text(text.as_bytes(), path, &Context::assumed());
    let world = read(FILE);
    assert_eq!(world.problems, []);
    let pinned = |remedy: &Remedy, c: &confinement::Confinement| -> Vec<Arc<str>> {
        let keeps = c.mounts.iter().any(|m| &*m.target == "/host");
        if keeps && matches!(remedy, Remedy::RemoveMount(_) | Remedy::RunAsNonRoot) {
            vec!["mount:/".into()]
        } else {
            Vec::new()
        }
    };
    let asked = Asked {
        depth: 1,
        alternatives: 2,
        costs: &Costs::new(),
        pinned: &pinned,
        recommended: recommended.then_some(&[]),
        can: &editor::can,
    };
    let plan = plan(&world, &asked);
    let texts = |_: &str| Ok::<Arc<str>, String>(FILE.into());
    let reread = |overlay: gather::Overlay| read(overlay.get("compose.yaml").map_or(FILE, |text| text));
    let hardening = harden(&world, &plan, &texts, &reread, recommended);
    take(&HardenReport {
        world: &world,
        plan: &plan,
        hardening: &hardening,
        targets: &["compose.yaml".to_owned()],
        version: "0.0.0-test",
        depth: 1,
        wrote: false,
        typed: &File,
    })
}

fn written(
    report: &HardenReport<'_>,
    write: impl FnOnce(&HardenReport<'_>, &mut dyn std::io::Write) -> std::io::Result<()>,
) -> Value {
    let mut out = Vec::new();
    write(report, &mut out).expect("it can be written");
    serde_json::from_slice(&out).expect("it is JSON")
}

#[test]
fn json_follows_the_published_schema_and_has_every_state() {
    let schema: Value = serde_json::from_str(SCHEMA).expect("the schema is JSON");
    jsonschema::draft202012::meta::validate(&schema).expect("the schema is a schema");
    let validator = jsonschema::draft202012::new(&schema).expect("the schema can be used");
    for recommended in [false, true] {
        let value = with_report(recommended, |report| written(report, report::harden::json::write));
        let errors: Vec<String> = validator.iter_errors(&value).map(|e| e.to_string()).collect();
        assert!(errors.is_empty(), "{errors:#?}\n{value:#}");
        let states: Vec<&str> =
            value["subjects"].as_array().unwrap().iter().map(|s| s["state"].as_str().unwrap()).collect();
        let sound = if recommended { "changed" } else { "sound" };
        assert_eq!(states, ["changed", "left", "refused", sound]);
    }
}

#[test]
fn sarif_has_a_fix_for_what_is_changed_and_none_for_what_is_not() {
    let value = with_report(false, |report| written(report, report::harden::sarif::write));
    sarif::assert_valid(&value);
    let results = value["runs"][0]["results"].as_array().unwrap();
    assert!(results[0].get("fixes").is_some(), "{results:#?}");
    let change = &results[0]["fixes"][0]["artifactChanges"][0];
    assert_eq!(change["artifactLocation"]["uri"], "compose.yaml");
    assert!(change["replacements"][0]["deletedRegion"]["startLine"].as_u64() > Some(1));
    let by_hand = |r: &&Value| r["message"]["text"].as_str().unwrap().contains("by hand");
    assert!(results.iter().find(by_hand).unwrap().get("fixes").is_none());
}

//! The JSON report against its published schema, and against what is kept of it.

use std::time::Instant;

use crate::fixture::{Case, case, golden, many, written};
use serde_json::{Value, json};

const SCHEMA: &str = include_str!("../../../../schemas/stockade.audit-1.schema.json");

fn validator() -> jsonschema::Validator {
    let schema: Value = serde_json::from_str(SCHEMA).expect("the schema is JSON");
    jsonschema::draft202012::meta::validate(&schema).expect("the schema is a schema");
    jsonschema::draft202012::new(&schema).expect("the schema can be used")
}

fn audit(case: &Case) -> Value {
    serde_json::from_str(&written(&case.report(), report::json::write)).expect("the report is JSON")
}

pub(crate) fn assert_valid(value: &Value) {
    let errors: Vec<String> =
        validator().iter_errors(value).map(|e| format!("{}: {e}", e.instance_path())).collect();
    assert!(errors.is_empty(), "{errors:#?}");
}

#[test]
fn a_report_follows_the_published_schema() {
    assert_valid(&audit(&case()));
    assert_valid(&audit(&many(50, 3)));
    let empty = Case {
        world: Default::default(),
        judgement: techniques::judge::Judgement {
            subjects: Vec::new(),
            not_judged: Vec::new(),
            assumptions: Vec::new(),
        },
        standards: Vec::new(),
        waived: Default::default(),
        targets: Vec::new(),
    };
    assert_valid(&audit(&empty));
}

#[test]
fn the_schema_refuses_what_it_does_not_describe() {
    let refuses = |change: fn(&mut Value)| {
        let mut value = audit(&case());
        change(&mut value);
        assert!(!validator().is_valid(&value));
    };
    refuses(|v| v["surprise"] = json!(1));
    refuses(|v| v["subjects"][0]["verdict"] = json!("safe"));
    refuses(|v| v["subjects"][0]["paths"][0]["techniques"] = json!([]));
    refuses(|v| v["subjects"][0]["paths"][0]["evidence"][0]["origin"]["line"] = json!(0));
    refuses(|v| v["subjects"][0]["depth"]["min"] = json!(-1));
    refuses(|v| {
        v["subjects"][0].as_object_mut().map(|o| o.remove("location"));
    });
}

#[test]
fn the_json_report_stays_as_it_is() {
    let value = audit(&case());
    golden("report.json", &(serde_json::to_string_pretty(&value).expect("JSON") + "\n"));
}

#[test]
fn no_path_at_all_is_a_depth_of_null() {
    let value = audit(&case());
    assert_eq!(value["subjects"][4]["depth"], json!({"min": null, "max": null}));
    assert_eq!(value["subjects"][4]["location"], Value::Null);
    assert_eq!(value["subjects"][1]["depth"], json!({"min": 2, "max": 2}));
}

#[test]
fn what_standards_say_stands_at_the_subject_they_judged() {
    let value = audit(&case());
    let with: Vec<usize> = (0..5).filter(|i| value["subjects"][i]["standards"] != json!([])).collect();
    assert_eq!(with, [3]);
    assert_eq!(value["subjects"][3]["standards"][0]["controls"][0]["result"], "fail");
}

#[test]
#[ignore = "a measurement: cargo test --release -- --ignored --nocapture"]
fn measure_ten_thousand_subjects() {
    let case = many(10_000, 10);
    type Write = fn(&report::Report<'_>, &mut dyn std::io::Write) -> std::io::Result<()>;
    let formats: [(&str, Write); 5] = [
        ("json", report::json::write),
        ("sarif", report::sarif::write),
        ("junit", report::junit::write),
        ("html", report::html::write),
        ("dot", report::graph::dot),
    ];
    for (name, write) in formats {
        let start = Instant::now();
        let mut out = Vec::new();
        write(&case.report(), &mut out).expect("memory can be written");
        println!("{name}: 10,000 subjects, {} bytes, {:?}", out.len(), start.elapsed());
    }
}

//! JUnit's XML, read back by a parser that refuses what is not well-formed.

use crate::fixture::{HOSTILE, case, golden, many, written};

fn text(all: bool) -> String {
    let case = case();
    written(&report::Report { all, ..case.report() }, report::junit::write)
}

#[test]
fn the_junit_report_stays_as_it_is() {
    golden("report.junit.xml", &text(true));
}

#[test]
fn the_counts_are_those_of_the_elements() {
    for text in [text(false), text(true), written(&many(40, 7).report(), report::junit::write)] {
        let document = roxmltree::Document::parse(&text).expect("well-formed");
        let all = |name: &str| document.descendants().filter(|n| n.has_tag_name(name)).count().to_string();
        let root = document.root_element();
        assert_eq!(root.attribute("tests"), Some(all("testcase").as_str()));
        assert_eq!(root.attribute("failures"), Some(all("failure").as_str()));
        assert_eq!(root.attribute("errors"), Some(all("error").as_str()));
        for suite in root.children().filter(|n| n.is_element()) {
            let cases = suite.children().filter(|n| n.has_tag_name("testcase"));
            assert_eq!(suite.attribute("tests"), Some(cases.count().to_string().as_str()));
        }
    }
}

#[test]
fn held_passes_open_fails_and_what_is_not_known_is_an_error() {
    let text = text(false);
    let document = roxmltree::Document::parse(&text).expect("well-formed");
    let outcome = |name: &str| {
        let case = document
            .descendants()
            .find(|n| n.has_tag_name("testcase") && n.attribute("name") == Some(name))
            .expect(name);
        case.children()
            .find(|n| matches!(n.tag_name().name(), "failure" | "error"))
            .map(|n| n.tag_name().name())
    };
    assert_eq!(outcome("web"), None);
    assert_eq!(outcome("deploy-bot"), Some("failure"));
    assert_eq!(outcome("builder"), Some("failure"));
    // It fails a standard for certain, whatever else is not known.
    assert_eq!(outcome("kube-system/agent/agent"), Some("failure"));
    assert_eq!(outcome("is read"), Some("error"));
    let mut case = case();
    case.standards.clear();
    let text = written(&case.report(), report::junit::write);
    assert!(text.contains(
        r#"<error message="whether kube-system/agent/agent can write files of the host is not known""#
    ));
}

#[test]
fn hostile_names_stay_text() {
    let text = text(false);
    let document = roxmltree::Document::parse(&text).expect("well-formed");
    let shown = HOSTILE.replace('\u{1b}', "\\u{1b}").replace('\u{202e}', "\\u{202e}");
    assert!(document.descendants().any(|n| n.attribute("name") == Some(shown.as_str())));
    assert!(!document.descendants().any(|n| n.has_tag_name("img")));
}

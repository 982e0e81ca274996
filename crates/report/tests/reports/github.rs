//! Workflow commands, and that nothing in them starts another.

use crate::fixture::{case, golden, written};

#[test]
fn the_github_report_stays_as_it_is() {
    let case = case();
    golden(
        "report.github.txt",
        &written(&report::Report { all: true, ..case.report() }, report::github::write),
    );
}

#[test]
fn every_line_is_one_command_and_the_last_one_the_summary() {
    let mut case = case();
    case.world.subjects[0].name = "a\n::set-env name=PATH::/tmp\r,title=x:y%0A::error::".into();
    let text = written(&case.report(), report::github::write);
    let (commands, summary) = text.trim_end().rsplit_once('\n').expect("lines");
    assert_eq!(summary, "2 open, 2 held, 1 undetermined");
    for line in commands.lines() {
        let rest = line.strip_prefix("::").expect(line);
        let (properties, _) = rest.split_once("::").expect(line);
        let level = properties.split(' ').next();
        assert!(matches!(level, Some("error" | "warning" | "notice")), "{line}");
    }
    assert!(
        text.contains("title=a %3A%3Aset-env name=PATH%3A%3A/tmp%5Cu{d}")
            || text.contains("title=a %3A%3Aset-env")
    );
}

#[test]
fn the_worst_comes_first() {
    let text = written(&case().report(), report::github::write);
    let levels: Vec<&str> = text.lines().filter_map(|l| l.strip_prefix("::")?.split(' ').next()).collect();
    assert_eq!(levels, ["error", "error", "error", "error", "warning", "warning", "warning"]);
}

//! Rule files that want too much: bounded, an error with a place, never a panic, never a hang.

mod support;

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use rules::{Loaded, Loader, Matcher, Selection, load};
use support::TestEvent;

const RULE: &str = "  desc: d\n  output: o\n  priority: INFO\n";

fn messages(loaded: &Loaded) -> Vec<String> {
    loaded.problems.iter().map(ToString::to_string).collect()
}

#[track_caller]
fn says(file: &str, message: &str) -> Loaded {
    let started = Instant::now();
    let loaded = load(&[("hostile.yaml", file)]);
    assert!(started.elapsed() < Duration::from_secs(120), "took {:?}", started.elapsed());
    let said = messages(&loaded);
    assert!(said.iter().any(|m| m.contains(message)), "{:?}", said.iter().take(3).collect::<Vec<_>>());
    loaded
}

#[test]
fn parentheses_without_end_are_an_error() {
    says(&support::rule(&"(".repeat(100_000)), "nested deeper than 200 levels");
    let not =
        load(&[("hostile.yaml", &support::rule(&format!("{}proc.name exists", "not ".repeat(100_001))))]);
    assert_eq!(messages(&not), Vec::<String>::new());
    says(
        &support::rule(&format!("{}proc.name) = a", "tolower(".repeat(1000))),
        "nested deeper than 200 levels",
    );
}

/// Each macro names the one before as `step` says.
fn chain(length: usize, step: impl Fn(usize) -> String) -> String {
    let mut file = String::from("- macro: m0\n  condition: evt.type = open and proc.name = a\n");
    for n in 1..length {
        let _ = write!(file, "- macro: m{n}\n  condition: {}\n", step(n));
    }
    let _ = write!(file, "- rule: r\n  condition: m{}\n{RULE}", length - 1);
    file
}

#[test]
fn a_long_chain_of_macros_is_fine_and_one_that_doubles_too() {
    let doubles = |n: usize| format!("m{0} or (m{0} and fd.num = {n})", n - 1);
    for file in [chain(5000, |n| format!("m{} or fd.num = {n}", n - 1)), chain(150, doubles)] {
        let loaded = load(&[("hostile.yaml", &file)]);
        assert!(loaded.errors() == 0, "{:?}", messages(&loaded).first());
        let matcher = Matcher::new(&loaded, &Selection::default());
        let event = TestEvent::new("open").with("proc.name", rules::Value::text("a"));
        assert_eq!(matcher.matches(&event, &mut matcher.scratch()).count(), 1);
        assert_eq!(matcher.judge(&event).len(), 1);
    }
    says(&chain(5000, doubles), "nested deeper than 400 levels, macros included");
}

#[test]
fn macros_that_refer_forward_without_end_are_an_error() {
    let mut file = String::new();
    for n in 0..2000 {
        let _ = write!(file, "- macro: m{n}\n  condition: evt.type = open\n");
    }
    for n in 0..1999 {
        let _ = write!(file, "- macro: m{n}\n  condition: not m{}\n", n + 1);
    }
    let _ = write!(file, "- rule: r\n  condition: m0\n{RULE}");
    says(&file, "nested deeper than 400 levels, macros included");
}

#[test]
fn lists_that_double_are_an_error() {
    let mut file = String::from("- list: l0\n  items: [a, b]\n");
    for n in 1..64 {
        let _ = write!(file, "- list: l{n}\n  items: [l{}, l{}]\n", n - 1, n - 1);
    }
    let _ = write!(file, "- rule: r\n  condition: evt.type = open and proc.name in (l63)\n{RULE}");
    says(&file, "more than 100000 elements");
}

#[test]
fn a_large_list_that_every_rule_names_is_an_error_in_the_end() {
    let items: Vec<String> = (0..90_000).map(|n| format!("i{n}")).collect();
    let mut file = format!("- list: l\n  items: [{}]\n", items.join(", "));
    for n in 0..20 {
        let _ = write!(file, "- rule: r{n}\n  condition: evt.type = open and proc.aname[{n}] in (l)\n{RULE}");
    }
    let loaded = says(&file, "name more than 1000000 elements");
    assert!(loaded.rules.len() > 8);
}

#[test]
fn aliases_share_what_they_name() {
    let mut file = String::from("- list: a\n  items: &x [a, b, c]\n");
    for n in 0..500 {
        let _ = write!(file, "- list: l{n}\n  items: *x\n");
    }
    assert!(messages(&load(&[("hostile.yaml", &file)])).iter().all(|m| m.contains("nothing uses the list")));
    says("- list: a\n  items: &x [*x]\n", "a");
}

#[test]
fn a_regular_expression_that_grows_is_an_error() {
    says(&support::rule("proc.name regex '(a{1000}){1000}'"), "no regular expression");
    let mut file = String::new();
    for n in 0..1100 {
        let _ = write!(file, "- rule: r{n}\n  condition: evt.type = open and proc.name regex a{n}\n{RULE}");
    }
    says(&file, "more than 1000 regular expressions");
}

#[test]
fn problems_without_end_are_counted() {
    let file = "- rule: r\n".repeat(5000);
    let loaded = says(&file, "4000 more problems are not shown");
    assert_eq!(loaded.problems.len(), 1001);
}

#[test]
fn what_cannot_be_read_is_an_error_about_that_file() {
    let mut loader = Loader::new(Default::default());
    loader.file("/no/such/file.yaml".as_ref());
    loader.bytes("binary.yaml", b"- list: a\n  items: [\xff]\n");
    loader.bytes("large.yaml", &vec![b'#'; 9 << 20]);
    loader.text("scalar.yaml", "just words");
    loader.text("sound.yaml", &format!("- rule: r\n  condition: evt.type = open\n{RULE}"));
    let loaded = loader.finish();
    assert_eq!((loaded.rules.len(), loaded.errors()), (1, 4), "{:?}", messages(&loaded));
}

#[test]
fn no_control_character_of_a_file_is_shown_raw() {
    let loaded = says("- rule: \"r\\e[31m\"\n  condition: \"\x1b[31m\"\n", "");
    for problem in &loaded.problems {
        assert!(!problem.excerpt().unwrap_or_default().contains('\x1b'));
    }
}

//! Graphs against what is kept of them, and DOT against Graphviz where it is installed.

use std::io::Write as _;
use std::process::{Command, Stdio};

use confinement::{Origin, Truth};
use report::graph::{self, FaultTree, Language};
use techniques::condition::Condition;
use techniques::judge::{Finding, State, Step};
use techniques::solver::Depth;
use techniques::technique::{Catalogue, Gain, Technique};

use crate::fixture::{HOSTILE, KNOWN, case, golden, many, written};

fn state(condition: &str, truth: Truth, fact: &str) -> State {
    let condition = Condition::parse(condition).expect(condition);
    let id = KNOWN.condition_id(&condition).expect("a condition of the catalogue");
    State { condition: id, truth, facts: vec![(fact.into(), Origin::engine("docker-29"))] }
}

fn states() -> Vec<State> {
    vec![
        state("mounts(engine-socket)", Truth::True, HOSTILE),
        state("host-ids", Truth::Unknown, "user namespaces are not known"),
        state("uid(0)", Truth::False, "runs as 1000"),
        state("in-group(engine-socket)", Truth::True, "is in the group 999"),
    ]
}

fn fault_tree(states: &[State], language: Language) -> String {
    let technique = KNOWN.technique("engine-api").expect("a technique");
    let subject = (!states.is_empty()).then_some(HOSTILE);
    let tree = FaultTree { technique, catalogue: &KNOWN, subject, states };
    let mut out = Vec::new();
    graph::fault_tree(&tree, language, &mut out).expect("memory can be written");
    String::from_utf8(out).expect("graphs are UTF-8")
}

/// The boxes and arrows that Graphviz reads in a graph, or nothing where it is not installed.
fn drawn(dot: &str) -> Option<String> {
    let started = Command::new("dot")
        .arg("-Tplain")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let Ok(mut child) = started else {
        eprintln!("skipped: Graphviz (dot) is not installed");
        return None;
    };
    child.stdin.take().expect("a pipe").write_all(dot.as_bytes()).expect("dot reads");
    let output = child.wait_with_output().expect("dot ends");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
    Some(String::from_utf8(output.stdout).expect("dot writes UTF-8"))
}

#[test]
fn the_graphs_stay_as_they_are() {
    let case = case();
    golden("paths.dot", &written(&case.report(), graph::dot));
    golden("paths.mmd", &written(&case.report(), graph::mermaid));
    golden("fault-tree.dot", &fault_tree(&states(), Language::Dot));
    golden("fault-tree.mmd", &fault_tree(&states(), Language::Mermaid));
}

#[test]
fn a_gate_has_the_state_that_follows_from_what_stands_below() {
    let text = fault_tree(&states(), Language::Dot);
    assert!(text.contains("\"any of: true\""), "{text}");
    assert!(text.contains("\"all of: unknown\""), "{text}");
    let closed = [state("uid(0)", Truth::False, "x"), state("in-group(engine-socket)", Truth::False, "x")];
    let text = fault_tree(&closed, Language::Dot);
    assert!(text.contains("\"any of: false\"") && text.contains("\"all of: false\""), "{text}");
}

#[test]
fn a_tree_without_states_says_none() {
    for language in [Language::Dot, Language::Mermaid] {
        let text = fault_tree(&[], language);
        assert!(!text.contains("true") && !text.contains("unknown:") && !text.contains("held by"), "{text}");
    }
}

#[test]
fn graphviz_reads_every_graph() {
    let mut hostile = case();
    hostile.world.subjects[0].name = format!("\\N\" ]; evil [label=\"{HOSTILE}").as_str().into();
    for case in [&hostile, &many(300, 2), &many(3, 1)] {
        let Some(plain) = drawn(&written(&case.report(), graph::dot)) else { return };
        let nodes = plain.lines().filter(|l| l.starts_with("node ")).count();
        assert!((3..60).contains(&nodes), "{nodes} nodes");
        assert!(!plain.lines().any(|l| l.starts_with("node evil")), "{plain}");
    }
    drawn(&fault_tree(&states(), Language::Dot));
}

#[test]
fn a_path_through_another_subject_is_drawn_through_it() {
    let text = written(&case().report(), graph::dot);
    let node = |label: &str| {
        let line = text.lines().find(|l| l.contains(&format!("label=\"{label}"))).expect(label);
        line.trim().split(' ').next().expect("a name").to_owned()
    };
    let arrow = |from: &str, to: &str| text.contains(&format!("{} -> {} ", node(from), node(to)));
    assert!(arrow("builder", "Another container's volume is writable"));
    assert!(arrow("Another container's volume is writable", "deploy-bot"));
    assert!(arrow("deploy-bot", "The API of a container engine is in reach"));
    assert!(arrow("The API of a container engine is in reach", "host-root"));
    assert!(text.contains("style=dashed"), "what is not certain is dashed");
}

#[test]
fn many_alike_subjects_share_a_node_and_what_is_left_out_is_said() {
    let text = written(&many(300, 2).report(), graph::dot);
    assert!(text.contains("app-00000, app-00002 and 148 more"), "{text}");
    assert!(text.contains("// not drawn: 150 subjects have none of these paths"), "{text}");
}

/// Techniques of the known flaws that yield root on the host, for pictures that want many.
fn flaws() -> Vec<&'static Technique> {
    let known: &'static Catalogue = &KNOWN;
    let is_flaw = |t: &&Technique| t.id.starts_with("CVE-") && t.gain == Gain::HostRoot;
    known.techniques.iter().filter(is_flaw).collect()
}

#[test]
fn techniques_between_the_same_ends_are_gathered_and_named() {
    let mut case = case();
    let path = case.judgement.subjects[0].paths[0].clone();
    for technique in flaws().into_iter().take(6) {
        let steps = vec![Step { technique, subject: 0 }];
        case.judgement.subjects[0].paths.push(Finding { steps, ..path.clone() });
    }
    let text = written(&case.report(), graph::dot);
    assert!(text.contains("label=\"5 more techniques\\nCVE-"), "{text}");
    assert_eq!(text.matches("shape=ellipse").count(), 2 + 1 + 2, "{text}");
}

#[test]
fn what_walls_hold_is_left_out_of_a_crowded_picture_and_counted() {
    let mut case = many(60, 60);
    let path = case.judgement.subjects[0].paths[0].clone();
    let flaws = flaws();
    for i in 1..60 {
        for offset in 0..3 {
            let technique = flaws[(i + offset * 7) % flaws.len()];
            let steps = vec![Step { technique, subject: i }];
            let depth = Depth { min: 1, max: 1 };
            case.judgement.subjects[i].paths.push(Finding { steps, depth, ..path.clone() });
        }
    }
    let report = report::Report { threshold: 2, ..case.report() };
    let text = written(&report, graph::dot);
    assert!(text.contains("// not drawn: 177 paths in whose way a wall stands"), "{text}");
    assert!(text.contains("// not drawn: 59 subjects have none of these paths"), "{text}");
    assert_eq!(text.matches("shape=ellipse").count(), 1, "{text}");
    // Where nothing is open, what the walls hold is all there is to see.
    case.judgement.subjects[0].paths.clear();
    let report = report::Report { threshold: 2, ..case.report() };
    let text = written(&report, graph::dot);
    assert!(text.matches("shape=ellipse").count() > 3, "{text}");
}

#[test]
fn mermaid_labels_hold_nothing_that_mermaid_reads() {
    let text = written(&case().report(), graph::mermaid) + &fault_tree(&states(), Language::Mermaid);
    for line in text.lines().filter(|l| l.trim_start().starts_with('n') && l.contains(":::")) {
        let (_, rest) = line.split_once('"').expect(line);
        let (label, _) = rest.rsplit_once('"').expect(line);
        let label = label.replace("<br/>", "");
        assert!(!label.contains(['"', '<', '>', '`', '[', ']', '(', ')', '{', '}', '|', '&']), "{line}");
    }
}

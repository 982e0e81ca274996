//! The page docs/detectors.md, from the tables alone.

use std::fmt::Write as _;

use super::detector::{self, By, Detector};
use super::rows;

fn cell(text: &str) -> String {
    text.replace('|', "\\|").split_whitespace().collect::<Vec<_>>().join(" ")
}

const HEAD: &str = "\
What `stockade watch` looks for in containers, and which techniques that is an attempt at. How grave one is follows from
what its techniques yield, whether that path is open for the container, and what the kernel answered
(docs/alerts.md). *At most* marks what ordinary software does too.

A file is known by its file system and its path within it, a device by its numbers, a namespace by its inode, a
socket by the name that its listener bound, a call by what it does; never by a process's name. Where a call failed, so
that the kernel has no object, the path that was asked for has to do, and the alert says so.

Each detector has recorded events that it sees, and neighbours of those that it does not, in
`crates/watch/data/detectors.yaml`; `cargo test -p watch` runs them. *Triggered by* names what `provoke` does harmlessly
in a container of the test's own.

*File read* and *file written* are open, openat2 and open_by_handle_at, what io_uring opens, the first write, truncate,
splice, and a descriptor that came over a socket; *file named* is what makes, links, renames or removes it; all of
them by the 32-bit calls too.

";

/// The page without its head line and mark of generated pages.
pub fn detectors() -> String {
    let mut page = String::from(HEAD);
    page.push_str("## Detectors\n\n| detector | sees somebody | events | techniques | at most | triggered by | recorded |\n|---|---|---|---|---|---|---|\n");
    for d in detector::all() {
        let _ = writeln!(
            page,
            "| {} | {} | {} | {} | {} | {} | {} |",
            d.id,
            cell(&sentence(d)),
            d.reads().join(", "),
            d.techniques.join(", "),
            grave(d),
            d.provoke.as_deref().unwrap_or(""),
            d.cases.len(),
        );
    }
    page.push_str("\n## Known kinds of attempts\n\n");
    page.push_str(
        "*Others*: tools that ship a rule, detector or policy for it, of Falco's rules, Tracee, Tetragon's examples,\nvArmor, KubeArmor's templates, Pulsar, Kunai, bombini, lockc, bpfcontain and Inspektor Gadget as read in November\n2026; a user of theirs may write more.\n\n| what | detectors | others |\n|---|---|---|\n",
    );
    for (id, row) in rows::rows() {
        let by: Vec<&str> = detector::all()
            .iter()
            .filter(|d| d.rows.iter().any(|r| r == id))
            .map(|d| d.id.as_str())
            .collect();
        let by = match &row.left_out {
            Some(why) => format!("left out: {why}"),
            None => by.join(", "),
        };
        let peers = if row.peers.is_empty() { "none".to_owned() } else { row.peers.join(", ") };
        let _ = writeln!(page, "| {} | {} | {} |", cell(&row.says), cell(&by), cell(&peers));
    }
    page.push_str("\n## Techniques without a detector\n\n| technique | why |\n|---|---|\n");
    for (technique, why) in rows::not_watched() {
        let _ = writeln!(page, "| {technique} | {} |", cell(why));
    }
    page
}

fn sentence(d: &Detector) -> String {
    let whose = match d.by {
        By::Container => "",
        By::Host => " (a process of the host)",
        By::Anyone => " (or the kernel)",
    };
    let note = d.note.as_deref().map(|note| format!("; {note}")).unwrap_or_default();
    format!("{}{whose}{note}", d.tries)
}

fn grave(d: &Detector) -> String {
    match (d.at_most, d.severity) {
        (Some(most), _) => most.name().to_owned(),
        (None, Some(fixed)) if d.techniques.is_empty() => format!("{}, always", fixed.name()),
        (None, Some(fixed)) => format!("{} at least", fixed.name()),
        (None, None) => String::new(),
    }
}

//! A proposal as a person reads it.

use std::fmt::Write;

use super::Proposal;
use crate::diff;
use crate::draft::Edited;

/// The whole proposal: each file as its reasons and a difference, then commands, what breaks, flaws that only an
/// update mends, and notes. Ends in a newline; empty where there is nothing to say.
pub fn text(proposal: &Proposal) -> String {
    let mut out = String::new();
    for file in &proposal.files {
        let state = if file.before.is_some() { "changed" } else { "new" };
        line(&mut out, &format!("{} ({state})", file.path));
        for reason in &file.reasons {
            line(&mut out, &format!("  {}: {} [{}]", reason.setting, reason.why, reason.answers.join(", ")));
        }
        out.push('\n');
        out.push_str(&diff::unified(&Edited {
            path: file.path.as_str().into(),
            before: file.before.as_deref().unwrap_or("").into(),
            after: file.after.as_str().into(),
        }));
        out.push('\n');
    }
    section(&mut out, "Commands, for you to run:", !proposal.commands.is_empty());
    for command in &proposal.commands {
        let words: Vec<String> = command.argv.iter().map(|word| crate::live::quote(word)).collect();
        line(&mut out, &format!("  {}", words.join(" ")));
        line(&mut out, &format!("      {}", command.why));
        if let Some(undoes) = &command.undoes {
            line(&mut out, &format!("      taken back by: {undoes}"));
        }
    }
    section(&mut out, "What breaks:", !proposal.breaks.is_empty());
    for text in &proposal.breaks {
        line(&mut out, &format!("  {text}"));
    }
    section(&mut out, "Flaws that are here, and that only an update mends:", !proposal.updates.is_empty());
    for update in &proposal.updates {
        line(
            &mut out,
            &format!("  {} ({}): {}; {}", update.flaw, update.component, update.title, update.why),
        );
        match &update.fixed {
            // The reason names the version already where it is the distribution's.
            Some(fixed) if fixed.rsplit(' ').next().is_some_and(|version| update.why.contains(version)) => {}
            Some(fixed) => line(&mut out, &format!("      fixed in: {fixed}")),
            None => line(&mut out, "      no fix is known"),
        }
        if !update.meanwhile.is_empty() {
            line(&mut out, &format!("      until then: {}", update.meanwhile.join(", ")));
        }
    }
    section(&mut out, "Notes:", !proposal.notes.is_empty());
    for note in &proposal.notes {
        line(&mut out, &format!("  {note}"));
    }
    out
}

fn section(out: &mut String, title: &str, has: bool) {
    if has {
        if !out.is_empty() && !out.ends_with("\n\n") {
            out.push('\n');
        }
        line(out, title);
    }
}

/// Names of containers and files are other people's: nothing of theirs commands a terminal.
fn line(out: &mut String, text: &str) {
    let clean: String = text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect();
    let _ = writeln!(out, "{clean}");
}

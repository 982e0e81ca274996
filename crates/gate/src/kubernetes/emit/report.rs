//! What of a policy the emitted objects say, and what they cannot.

use serde::Serialize;

/// How far something is said.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Said {
    /// Decided as the webhook decides it.
    Exactly,
    /// What the webhook refuses is refused, and more.
    Stricter,
    /// Not at all: the webhook refuses what these objects let in.
    Not,
    /// The webhook does not judge it either, with what is known of the nodes.
    NotJudged,
}

impl Said {
    pub fn words(self) -> &'static str {
        match self {
            Said::Exactly => "exactly",
            Said::Stricter => "stricter",
            Said::Not => "not said",
            Said::NotJudged => "not judged",
        }
    }
}

/// One line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Line {
    /// The rule; `open`, `undetermined` and `waivers` are the policy's own.
    pub rule: String,
    /// A technique, a standard, or a part of the rule.
    pub what: String,
    pub said: Said,
    /// Empty where it is said exactly and nothing is to be added.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub why: String,
}

/// The report, in the order of the policy.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    pub lines: Vec<Line>,
}

impl Report {
    pub(super) fn add(&mut self, rule: &str, what: impl Into<String>, said: Said, why: impl Into<String>) {
        self.lines.push(Line { rule: rule.to_owned(), what: what.into(), said, why: why.into() });
    }

    pub fn count(&self, said: Said) -> usize {
        self.lines.iter().filter(|line| line.said == said).count()
    }

    /// In one line.
    pub fn summary(&self) -> String {
        let counts: Vec<String> = [Said::Exactly, Said::Stricter, Said::Not, Said::NotJudged]
            .into_iter()
            .map(|said| format!("{} {}", self.count(said), said.words()))
            .collect();
        counts.join(", ")
    }

    /// For people: rule by rule, what is said alike and for the same reason in one paragraph.
    pub fn text(&self) -> String {
        let mut text = String::new();
        let mut groups: Vec<(&str, Said, &str, Vec<&str>)> = Vec::new();
        for line in &self.lines {
            let group = groups.iter_mut().find(|g| g.0 == line.rule && g.1 == line.said && g.2 == line.why);
            match group {
                Some(group) => group.3.push(&line.what),
                None => groups.push((&line.rule, line.said, &line.why, vec![&line.what])),
            }
        }
        let mut rules: Vec<&str> = Vec::new();
        for (rule, ..) in &groups {
            if !rules.contains(rule) {
                rules.push(rule);
            }
        }
        for rule in rules {
            text.push_str(&format!("{rule}\n"));
            let mut of_rule: Vec<_> = groups.iter().filter(|g| g.0 == rule).collect();
            of_rule.sort_by_key(|g| g.1);
            for (_, said, why, whats) in of_rule {
                let why = if why.is_empty() { String::new() } else { format!(" ({why})") };
                let line = format!("{}{why}: {}", said.words(), whats.join(", "));
                text.push_str(&wrapped(&line));
            }
        }
        text
    }
}

/// Indented, and in lines that can be read.
fn wrapped(text: &str) -> String {
    const WIDTH: usize = 110;
    let (mut lines, mut line) = (String::new(), "  ".to_owned());
    for word in text.split(' ') {
        if line.len() + word.len() > WIDTH {
            lines.push_str(line.trim_end());
            lines.push('\n');
            line = "    ".to_owned();
        }
        line.push_str(word);
        line.push(' ');
    }
    lines + line.trim_end() + "\n"
}

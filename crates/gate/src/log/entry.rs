//! One line of the log, read to be shown. What a line of a newer version says beyond this is passed over.

use std::borrow::Cow;

use jiff::Timestamp;
use serde_json::Value;

/// A record or a note.
#[derive(Clone, Debug)]
pub struct Entry {
    json: Value,
}

impl Entry {
    /// From a line that is sound in itself.
    pub fn parse(line: &[u8]) -> Option<Entry> {
        let json: Value = serde_json::from_slice(line).ok()?;
        json.is_object().then_some(Entry { json })
    }

    pub fn time(&self) -> Option<Timestamp> {
        self.text("time").parse().ok()
    }

    pub fn door(&self) -> &str {
        self.text("door")
    }

    pub fn is_denied(&self) -> bool {
        self.text("outcome") == "deny"
    }

    pub fn is_note(&self) -> bool {
        self.json.get("note").is_some()
    }

    fn text(&self, member: &str) -> &str {
        self.json[member].as_str().unwrap_or_default()
    }

    /// For a person: what was decided in the first line, and why in those after it. Nothing is escaped.
    pub fn lines(&self) -> Vec<String> {
        let time = self.text("time");
        if let Some(note) = self.json.get("note") {
            return vec![format!("{time} note: {}", about(note))];
        }
        let outcome = match self.text("outcome") {
            "deny" => "denied",
            "allow" => "allowed",
            "warn" => "warned",
            other => other,
        };
        let mut lines =
            vec![format!("{time} {outcome} {} {}: {}", self.door(), self.who(), self.text("asked"))];
        let subjects = self.json["subjects"].as_array().map_or(&[][..], Vec::as_slice);
        for subject in subjects {
            lines.extend(decided(&subject["decision"], &subject["judged"]));
        }
        // The message repeats what the subjects say.
        if subjects.is_empty() && !self.text("message").is_empty() {
            lines.push(format!("  {}", self.text("message")));
        }
        if let Some(left_out) = self.json.get("leftOut") {
            let (what, bytes) = (word(&left_out["what"]), &left_out["bytes"]);
            lines.push(format!("  left out: {what}, of a record of {bytes} bytes"));
        }
        lines
    }

    fn who(&self) -> String {
        let who = &self.json["who"];
        let mut parts = Vec::new();
        parts.extend(who["user"].as_str().map(str::to_owned));
        parts.extend(who["uid"].as_u64().map(|uid| format!("uid {uid}")));
        parts.extend(who["pid"].as_u64().map(|pid| format!("pid {pid}")));
        if parts.is_empty() { "(not known who)".to_owned() } else { format!("({})", parts.join(", ")) }
    }
}

/// A note in words.
fn about(note: &Value) -> String {
    match word(&note["kind"]).as_ref() {
        "began" => "the log begins".to_owned(),
        "continued" => {
            let mut text = format!(
                "a new file; the one before it ended with {}:{}",
                note["sequence"],
                word(&note["previous"])
            );
            if let Some(removed) = note.get("removedTo") {
                text += &format!("; rotation removed records up to {removed}");
            }
            text
        }
        "torn" => format!(
            "a writer was cut off: {} bytes that are no whole record are kept in {}",
            note["bytes"],
            word(&note["kept"])
        ),
        "missing" => {
            format!("records {} to {} were written and were not there any more", note["from"], note["to"])
        }
        _ => note.to_string(),
    }
}

/// What was decided about a subject, with the path that each reason rests on.
fn decided(decision: &Value, judged: &Value) -> Vec<String> {
    let mut lines = Vec::new();
    let name = judged["subject"]["name"].as_str().unwrap_or("a subject");
    let verdict = judged["verdict"].as_str().map(|verdict| format!(", {verdict}")).unwrap_or_default();
    lines.push(format!("  {name}: {}{verdict}", word(&decision["outcome"])));
    for reason in items(&decision["reasons"]) {
        lines.extend(because(reason, judged));
    }
    for waived in items(&decision["waived"]) {
        let (message, waiver) = (word(&waived["reason"]["message"]), &waived["waiver"]);
        lines.push(format!(
            "    waived: {message} ({}, until {})",
            word(&waiver["owner"]),
            word(&waiver["until"])
        ));
    }
    for error in items(&decision["errors"]) {
        lines.push(format!(
            "    rule {} could not be evaluated: {}",
            word(&error["rule"]),
            word(&error["message"])
        ));
    }
    lines
}

fn because(reason: &Value, judged: &Value) -> Vec<String> {
    let mut rule = format!("rule {}", word(&reason["rule"]));
    if let Some(technique) = reason["technique"].as_str() {
        rule += &format!(", {technique}");
    }
    let place = match (reason["location"]["path"].as_str(), reason["location"]["line"].as_u64()) {
        (Some(path), Some(line)) => format!(", {path}:{line}"),
        (Some(path), None) => format!(", {path}"),
        _ => String::new(),
    };
    let mut lines = vec![format!("    {} ({rule}{place})", word(&reason["message"]))];
    let fingerprint = reason["fingerprint"].as_str();
    let finding = items(&judged["findings"])
        .iter()
        .find(|finding| fingerprint.is_some() && finding["fingerprint"].as_str() == fingerprint);
    if let Some(finding) = finding {
        let steps = items(&finding["techniques"]).iter().map(word);
        let path: Vec<_> = steps.chain([word(&finding["gain"])]).collect();
        let facts: Vec<_> =
            items(&finding["evidence"]).iter().map(|evidence| word(&evidence["fact"])).collect();
        lines.push(format!("      path: {}", path.join(" -> ")));
        lines.push(format!("      because: {}", facts.join("; ")));
    }
    if let Some(remedy) = reason["remedy"].as_str() {
        lines.push(format!("      fix: {remedy}"));
    }
    lines
}

fn items(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn word(value: &Value) -> Cow<'_, str> {
    match value {
        Value::String(text) => text.as_str().into(),
        Value::Null => "".into(),
        other => other.to_string().into(),
    }
}

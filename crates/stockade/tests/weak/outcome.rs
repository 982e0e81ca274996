//! What one run of `stockade harden --format json` said, for each subject.

use serde_json::Value;

#[derive(Clone, Debug)]
pub(crate) struct Said {
    pub(crate) id: String,
    /// `sound`, `changed`, `refused` or `left`.
    pub(crate) state: String,
    /// Open before, as the text format would say it.
    pub(crate) is_open: bool,
    /// The identifiers of all remedies that are to be made.
    pub(crate) remedies: Vec<String>,
    pub(crate) reason: Option<String>,
}

pub(crate) fn said(stdout: &[u8]) -> Result<(Vec<Said>, Value), String> {
    let json: Value = serde_json::from_slice(stdout).map_err(|e| format!("no JSON came out: {e}"))?;
    let word = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let of = |subject: &Value| {
        let plan = list(&subject["plan"]["remedies"]);
        let all = plan.into_iter().chain(list(&subject["recommended"]));
        let left = list(&subject["left"]).into_iter().map(|left| {
            let elsewhere = list(&left["elsewhere"]).iter().map(|a| word(&a["summary"])).collect::<Vec<_>>();
            let pins = list(&left["pins"]).iter().map(word).collect::<Vec<_>>();
            format!("{} ({}; pinned by {})", word(&left["technique"]), elsewhere.join("; "), pins.join(", "))
        });
        let left = left.collect::<Vec<_>>().join("\n");
        let reason = subject["refusal"]["message"].as_str().map(str::to_owned);
        let reason = reason.or(subject["why"].as_str().map(str::to_owned));
        Said {
            id: word(&subject["id"]),
            state: word(&subject["state"]),
            is_open: subject["before"]["max"] == 0,
            remedies: all.map(|remedy| word(&remedy["id"])).collect(),
            reason: reason.or((!left.is_empty()).then_some(left)),
        }
    };
    let subjects = list(&json["subjects"]).iter().map(of).collect();
    Ok((subjects, json))
}

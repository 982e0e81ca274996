//! AdmissionReview, version 1 (kubernetes.io, reference/access-authn-authz/extensible-admission-controllers): the bytes that
//! an API server sends go in, the decision and the answer that it expects come out.
//!
//! The API server writes what it sends, so reading is strict: a key that stands twice, a value of another type or an
//! object of another kind than the request says is no request of an API server, and is refused.

use std::fmt;
use std::sync::Arc;

use policy::{Date, Outcome};
use serde_json::{Map, Value, json};
use sources::Context;
use sources::document::{Limits, parse_json};

use super::object;
use crate::record::Who;
use crate::rules::InForce;
use crate::ruling::Ruling;

/// What a review may cost. The API server takes requests of 3 MiB (apiserver, `MaxRequestBodyBytes`); an update has the old
/// object beside the new one, and JSON is longer than what etcd keeps.
pub const MAX_BYTES: usize = 16 << 20;
/// Custom resources may nest deeper than pods.
const LIMITS: Limits =
    Limits { bytes: MAX_BYTES, depth: 100, nodes: 1_000_000, documents: 1, reachable: 1_000_000 };

/// The API server cuts a warning after 256 characters, and each to 256 where all together are more than 4096 (apiserver
/// pkg/endpoints/filters/warning.go, `truncateItemRunes`, `truncateAtTotalRunes`); what is cut here is cut on purpose.
const LONGEST_WARNING: usize = 256;
const MOST_WARNINGS: usize = 15;
/// A message that is longer helps nobody.
const LONGEST_MESSAGE: usize = 4096;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Operation {
    Create,
    Update,
    Delete,
    Connect,
}

impl Operation {
    pub fn name(self) -> &'static str {
        match self {
            Operation::Create => "CREATE",
            Operation::Update => "UPDATE",
            Operation::Delete => "DELETE",
            Operation::Connect => "CONNECT",
        }
    }
}

/// What an API server asks about.
#[derive(Clone, Debug, Default)]
pub(super) struct Request {
    pub(super) operation: Option<Operation>,
    pub(super) group: String,
    pub(super) kind: String,
    pub(super) resource: String,
    pub(super) subresource: String,
    pub(super) name: String,
    /// Empty for what is in no namespace.
    pub(super) namespace: String,
    pub(super) who: Who,
    pub(super) object: Option<Value>,
    pub(super) old_object: Option<Value>,
    pub(super) dry_run: bool,
}

/// Bytes that are no AdmissionReview: there is nothing that an answer could be addressed to.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an AdmissionReview of admission.k8s.io/v1: {0}")]
pub struct NotAReview(String);

impl NotAReview {
    pub(super) fn unanswerable() -> NotAReview {
        NotAReview("it could not be looked at".into())
    }
}

/// A review that was decided about.
#[derive(Clone, Debug)]
pub struct Decided {
    pub uid: Arc<str>,
    pub who: Who,
    /// `CREATE pods shop/web`.
    pub asked: String,
    pub operation: Option<Operation>,
    pub kind: Arc<str>,
    pub ruling: Ruling,
    /// Why something was let in that a reason to refuse is against.
    because: Option<&'static str>,
}

/// Decides about one review, by the rules in force. `context` says what pods run under; `today` ends waivers.
pub fn decide(bytes: &[u8], context: &Context, rules: &InForce, today: Date) -> Result<Decided, NotAReview> {
    let (uid, request) = read(bytes)?;
    let mut decided = Decided {
        uid,
        who: Who::default(),
        asked: String::new(),
        operation: None,
        kind: Arc::from(""),
        ruling: Ruling::allow(),
        because: None,
    };
    match Request::read(request) {
        Ok(request) => {
            let answer = object::answer(&request, context, rules, today);
            decided.ruling = answer.ruling;
            decided.because = answer.because;
            decided.asked = request.to_string();
            decided.operation = request.operation;
            decided.kind = request.kind.into();
            decided.who = request.who;
        }
        Err(why) => {
            decided.asked = "a review that cannot be read".into();
            decided.ruling = Ruling::deny(format!("denied: the review cannot be read: {why}"));
        }
    }
    Ok(decided)
}

/// Takes the request out of its envelope. What has no `uid` cannot be answered.
fn read(bytes: &[u8]) -> Result<(Arc<str>, Value), NotAReview> {
    let wrong = |why: &str| NotAReview(why.to_owned());
    let text = std::str::from_utf8(bytes).map_err(|e| NotAReview(e.to_string()))?;
    // Of a key that stands twice one JSON decoder takes the first and another the last.
    parse_json(text, &Arc::from("review"), &LIMITS).map_err(|e| NotAReview(e.to_string()))?;
    let mut review: Value = serde_json::from_str(text).map_err(|e| NotAReview(e.to_string()))?;
    if review.get("kind").and_then(Value::as_str) != Some("AdmissionReview") {
        return Err(wrong("its `kind` is another"));
    }
    if review.get("apiVersion").and_then(Value::as_str) != Some("admission.k8s.io/v1") {
        return Err(wrong("its `apiVersion` is another; list v1 in the webhook's admissionReviewVersions"));
    }
    let request = review.get_mut("request").map(Value::take).filter(Value::is_object);
    let request = request.ok_or_else(|| wrong("it has no `request`"))?;
    let uid = request.get("uid").and_then(Value::as_str).filter(|uid| !uid.is_empty());
    let uid = uid.ok_or_else(|| wrong("its request has no `uid`"))?.into();
    Ok((uid, request))
}

impl Request {
    fn read(mut request: Value) -> Result<Request, String> {
        let mut take = |key: &str| request.get_mut(key).map(Value::take).filter(|value| !value.is_null());
        let (kind, resource) = (take("kind"), take("resource"));
        let user = take("userInfo").unwrap_or_default();
        let operation = match text(take("operation"), "operation")?.as_str() {
            "CREATE" => Operation::Create,
            "UPDATE" => Operation::Update,
            "DELETE" => Operation::Delete,
            "CONNECT" => Operation::Connect,
            other => return Err(format!("`operation` is `{other}`")),
        };
        let object = |value: Option<Value>, key: &str| match value {
            None | Some(Value::Object(_)) => Ok(value),
            Some(_) => Err(format!("`{key}` is no object")),
        };
        let of = |value: &Option<Value>, key: &str| value.as_ref().and_then(|v| v.get(key)).cloned();
        let request = Request {
            operation: Some(operation),
            group: optional_text(of(&kind, "group"), "kind.group")?,
            kind: text(of(&kind, "kind"), "kind.kind")?,
            resource: text(of(&resource, "resource"), "resource.resource")?,
            subresource: optional_text(take("subResource"), "subResource")?,
            name: optional_text(take("name"), "name")?,
            namespace: optional_text(take("namespace"), "namespace")?,
            who: who(&user)?,
            object: object(take("object"), "object")?,
            old_object: object(take("oldObject"), "oldObject")?,
            dry_run: match take("dryRun") {
                None => false,
                Some(Value::Bool(dry)) => dry,
                Some(_) => return Err("`dryRun` is neither true nor false".into()),
            },
        };
        request.agrees()?;
        Ok(request)
    }

    /// Whether the object is what the request says it is.
    fn agrees(&self) -> Result<(), String> {
        for (object, key) in [(&self.object, "object"), (&self.old_object, "oldObject")] {
            let Some(object) = object else { continue };
            let kind = object.get("kind").and_then(Value::as_str).unwrap_or_default();
            if kind != self.kind {
                return Err(format!("`{key}` is of the kind `{kind}`, and the request says {}", self.kind));
            }
            let group = object.get("apiVersion").and_then(Value::as_str).unwrap_or_default();
            let group = group.split_once('/').map_or("", |(group, _)| group);
            if group != self.group {
                return Err(format!(
                    "`{key}` is of the API group `{group}`, and the request says `{}`",
                    self.group
                ));
            }
            let namespace = object.pointer("/metadata/namespace").and_then(Value::as_str).unwrap_or_default();
            if !namespace.is_empty() && namespace != self.namespace {
                let said = &self.namespace;
                return Err(format!(
                    "`{key}` is in the namespace `{namespace}`, and the request says `{said}`"
                ));
            }
        }
        Ok(())
    }

    /// The name that the object has, or begins with.
    pub(super) fn name(&self) -> &str {
        let metadata = self.object.as_ref().or(self.old_object.as_ref()).and_then(|o| o.get("metadata"));
        let field = |key: &str| metadata.and_then(|m| m.get(key)).and_then(Value::as_str);
        let written = field("name").filter(|name| !name.is_empty()).or_else(|| field("generateName"));
        if self.name.is_empty() { written.unwrap_or_default() } else { &self.name }
    }
}

impl fmt::Display for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.operation.map_or("", Operation::name), self.resource)?;
        if !self.subresource.is_empty() {
            write!(f, "/{}", self.subresource)?;
        }
        f.write_str(" ")?;
        if !self.namespace.is_empty() {
            write!(f, "{}/", self.namespace)?;
        }
        f.write_str(self.name())?;
        if self.dry_run {
            f.write_str(" (dry run)")?;
        }
        Ok(())
    }
}

fn text(value: Option<Value>, key: &str) -> Result<String, String> {
    match optional_text(value, key)? {
        text if text.is_empty() => Err(format!("`{key}` is missing")),
        text => Ok(text),
    }
}

fn optional_text(value: Option<Value>, key: &str) -> Result<String, String> {
    match value {
        None | Some(Value::Null) => Ok(String::new()),
        Some(Value::String(text)) => Ok(text),
        Some(_) => Err(format!("`{key}` is no text")),
    }
}

fn who(user: &Value) -> Result<Who, String> {
    let name = optional_text(user.get("username").cloned(), "userInfo.username")?;
    let groups = match user.get("groups") {
        None | Some(Value::Null) => Vec::new(),
        Some(Value::Array(groups)) => groups
            .iter()
            .map(|group| group.as_str().map(Arc::from).ok_or("`userInfo.groups` holds what is no text"))
            .collect::<Result<_, _>>()?,
        Some(_) => return Err("`userInfo.groups` is no list".into()),
    };
    Ok(Who { user: (!name.is_empty()).then(|| name.into()), groups, ..Who::default() })
}

impl Decided {
    /// A refusal of what was not looked at further than for whom to answer.
    pub(super) fn refused(bytes: &[u8], message: &str) -> Result<Decided, NotAReview> {
        #[derive(serde::Deserialize)]
        struct Envelope {
            request: Addressed,
        }
        #[derive(serde::Deserialize)]
        struct Addressed {
            uid: Arc<str>,
        }
        let envelope: Envelope = serde_json::from_slice(bytes).map_err(|e| NotAReview(e.to_string()))?;
        Ok(Decided {
            uid: envelope.request.uid,
            who: Who::default(),
            asked: "a review that was not decided about".into(),
            operation: None,
            kind: Arc::from(""),
            ruling: Ruling::deny(message),
            because: None,
        })
    }

    /// The answer, an AdmissionReview too.
    pub fn answer(&self) -> Value {
        let mut response = Map::new();
        response.insert("uid".into(), (&*self.uid).into());
        response.insert("allowed".into(), (!self.ruling.is_denied()).into());
        match self.ruling.outcome {
            Outcome::Deny => {
                let message = cut(&self.ruling.message, LONGEST_MESSAGE);
                let status = json!({
                    "status": "Failure", "message": message, "reason": "Forbidden", "code": 403,
                });
                response.insert("status".into(), status);
            }
            Outcome::Warn => {
                response.insert("warnings".into(), self.warnings().into());
            }
            Outcome::Allow => {}
        }
        response.insert("auditAnnotations".into(), self.audit_annotations());
        json!({ "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": response })
    }

    /// One line each, in printable characters: they become HTTP headers.
    fn warnings(&self) -> Vec<String> {
        let mut told: Vec<String> = self.because.map(str::to_owned).into_iter().collect();
        for subject in &self.ruling.subjects {
            let name = subject.judged.pointer("/subject/name").and_then(Value::as_str).unwrap_or_default();
            if subject.decision.outcome != Outcome::Allow {
                told.push(subject.decision.message(name));
            }
        }
        if told.is_empty() {
            told.push(self.ruling.message.clone());
        }
        let more = told.len().saturating_sub(MOST_WARNINGS);
        told.truncate(MOST_WARNINGS);
        let mut warnings: Vec<String> =
            told.iter().map(|text| cut(&printable(text), LONGEST_WARNING)).collect();
        if more > 0 {
            warnings.push(format!("and {more} more"));
        }
        warnings
    }

    /// What the API server's audit log keeps of the decision; it puts the webhook's name before each key.
    fn audit_annotations(&self) -> Value {
        let mut against: Vec<String> = Vec::new();
        for reason in self.ruling.subjects.iter().flat_map(|s| &s.decision.reasons) {
            let text = match &reason.technique {
                Some(technique) => format!("{}: {technique}", reason.rule),
                None => reason.rule.to_string(),
            };
            if !against.contains(&text) {
                against.push(text);
            }
        }
        let mut annotations = Map::new();
        annotations.insert("outcome".into(), self.ruling.outcome.name().into());
        if !against.is_empty() {
            annotations.insert("reasons".into(), cut(&printable(&against.join(", ")), 1024).into());
        }
        Value::Object(annotations)
    }
}

fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// At most so many bytes, cut between characters.
fn cut(text: &str, most: usize) -> String {
    if text.len() <= most {
        return text.to_owned();
    }
    const TAIL: &str = "…";
    let mut end = most.saturating_sub(TAIL.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}{TAIL}", text.get(..end).unwrap_or_default())
}

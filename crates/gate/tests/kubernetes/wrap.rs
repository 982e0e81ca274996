//! Puts an object into an AdmissionReview as an API server writes one.

use serde_json::{Value, json};

#[allow(dead_code)]
pub(crate) struct Review {
    pub(crate) operation: &'static str,
    pub(crate) subresource: Option<&'static str>,
    pub(crate) object: Option<Value>,
    pub(crate) old_object: Option<Value>,
    pub(crate) namespace: Option<String>,
    pub(crate) name: Option<String>,
    pub(crate) user: &'static str,
    pub(crate) groups: Vec<&'static str>,
    pub(crate) dry_run: bool,
    /// The resource and its group, version and kind, where they do not follow from the object.
    pub(crate) resource: Option<(&'static str, &'static str)>,
}

#[allow(dead_code)]
impl Review {
    pub(crate) const UID: &'static str = "705ab4f5-6393-11e8-b7cc-42010a800002";

    fn of(operation: &'static str, object: Option<Value>, old_object: Option<Value>) -> Review {
        let shown = object.as_ref().or(old_object.as_ref());
        let text =
            |path: &str| shown.and_then(|o| o.pointer(path)).and_then(Value::as_str).map(str::to_owned);
        let (name, namespace) = (text("/metadata/name"), text("/metadata/namespace"));
        Review {
            operation,
            subresource: None,
            namespace,
            name,
            object,
            old_object,
            user: "ada",
            groups: vec!["system:authenticated"],
            dry_run: false,
            resource: None,
        }
    }

    pub(crate) fn create(object: Value) -> Review {
        Review::of("CREATE", Some(object), None)
    }

    pub(crate) fn update(old: Value, new: Value) -> Review {
        Review::of("UPDATE", Some(new), Some(old))
    }

    pub(crate) fn delete(old: Value) -> Review {
        Review::of("DELETE", None, Some(old))
    }

    pub(crate) fn to_json(&self) -> Value {
        let shown = self.object.as_ref().or(self.old_object.as_ref());
        let text = |key: &str| shown.and_then(|o| o.get(key)).and_then(Value::as_str).unwrap_or_default();
        let (group, version) = text("apiVersion").split_once('/').unwrap_or(("", text("apiVersion")));
        let kind = text("kind");
        let plural = format!("{}s", kind.to_lowercase());
        let kind = json!({ "group": group, "version": version, "kind": kind });
        let (group, resource) = self.resource.unwrap_or((group, &plural));
        let resource = json!({ "group": group, "version": version, "resource": resource });
        let mut request = json!({
            "uid": Review::UID,
            "kind": kind,
            "resource": resource,
            "requestKind": kind,
            "requestResource": resource,
            "operation": self.operation,
            "userInfo": { "username": self.user, "uid": "1", "groups": self.groups },
            "object": self.object,
            "oldObject": self.old_object,
            "dryRun": self.dry_run,
            "options": { "apiVersion": "meta.k8s.io/v1", "kind": "CreateOptions" },
        });
        for (key, value) in [
            ("name", self.name.as_deref()),
            ("namespace", self.namespace.as_deref()),
            ("subResource", self.subresource),
            ("requestSubResource", self.subresource),
        ] {
            if let Some(value) = value {
                request[key] = value.into();
            }
        }
        json!({ "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": request })
    }
}

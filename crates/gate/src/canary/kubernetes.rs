//! The webhook of admission to Kubernetes, tried by reviews as an API server sends them. Nothing is asked of a cluster: a
//! webhook answers, and what it answers is all. Whether the API server asks it is not shown by this.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use hyper::{StatusCode, Uri};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::{Became, Expected, Trial, http, short};

/// An API server waits 30 s at most (admissionregistration.k8s.io/v1, `timeoutSeconds`).
const PATIENCE: Duration = Duration::from_secs(30);
const UID: &str = "0c0ffee0-0000-4000-8000-57cade057e57";

type Change = fn(&mut Value);

/// What is asked for beside what a sound pod is.
const DANGERS: [(&str, Change); 5] = [
    ("a privileged pod", |pod| {
        as_root(pod);
        pod["spec"]["containers"][0]["securityContext"] = json!({"privileged": true});
    }),
    ("an engine's socket as a volume", |pod| {
        as_root(pod);
        host_path(pod, "/run/containerd/containerd.sock");
    }),
    ("the node's root as a volume", |pod| {
        as_root(pod);
        host_path(pod, "/");
    }),
    ("the node's processes and the right to trace them", |pod| {
        as_root(pod);
        pod["spec"]["hostPID"] = json!(true);
        pod["spec"]["containers"][0]["securityContext"] = json!({
            "capabilities": {"add": ["SYS_PTRACE", "SYS_ADMIN"]},
            "seccompProfile": {"type": "Unconfined"}, "appArmorProfile": {"type": "Unconfined"},
        });
    }),
    ("a privileged init container", |pod| {
        as_root(pod);
        pod["spec"]["initContainers"] = json!([{
            "name": "init", "image": "registry.k8s.io/pause:3.10", "securityContext": {"privileged": true},
        }]);
    }),
];

fn as_root(pod: &mut Value) {
    pod["spec"]["securityContext"] = json!({"runAsUser": 0, "runAsNonRoot": false});
    pod["spec"]["containers"][0]["securityContext"] = json!({});
}

fn host_path(pod: &mut Value, path: &str) {
    pod["spec"]["volumes"] = json!([{"name": "host", "hostPath": {"path": path}}]);
    pod["spec"]["containers"][0]["volumeMounts"] = json!([{"name": "host", "mountPath": "/host"}]);
}

/// A pod that the restricted standard allows.
fn sound(namespace: &str) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": "stockade-gate-test", "namespace": namespace, "labels": {super::docker::LABEL: "true"},
        },
        "spec": {
            "automountServiceAccountToken": false,
            "securityContext": {
                "runAsUser": 65534, "runAsNonRoot": true, "seccompProfile": {"type": "RuntimeDefault"},
            },
            "containers": [{
                "name": "web",
                "image": "registry.k8s.io/pause:3.10",
                "resources": {"limits": {"memory": "16Mi", "cpu": "10m"}},
                "securityContext": {
                    "allowPrivilegeEscalation": false,
                    "readOnlyRootFilesystem": true,
                    "capabilities": {"drop": ["ALL"]},
                },
            }],
        },
    })
}

fn review(pod: &Value, namespace: &str) -> Value {
    let kind = json!({"group": "", "version": "v1", "kind": "Pod"});
    let resource = json!({"group": "", "version": "v1", "resource": "pods"});
    json!({
        "apiVersion": "admission.k8s.io/v1",
        "kind": "AdmissionReview",
        "request": {
            "uid": UID,
            "kind": kind,
            "resource": resource,
            "requestKind": kind,
            "requestResource": resource,
            "name": "stockade-gate-test",
            "namespace": namespace,
            "operation": "CREATE",
            "userInfo": {"username": "stockade-gate-test", "groups": ["system:authenticated"]},
            "object": pod,
            "oldObject": null,
            "dryRun": true,
            "options": {"apiVersion": "meta.k8s.io/v1", "kind": "CreateOptions"},
        },
    })
}

#[derive(Debug, thiserror::Error)]
pub enum CanaryError {
    #[error("{0} is no address of a webhook: https://HOST:PORT/review")]
    Address(String),
    #[error("{path}: no certificates can be read from it: {why}")]
    Authority { path: String, why: String },
    #[error("cannot begin: {0}")]
    Begin(String),
}

/// A webhook, and how it is known.
pub struct Webhook {
    address: Uri,
    host: String,
    port: u16,
    name: ServerName<'static>,
    tls: TlsConnector,
}

impl Webhook {
    /// `name` is what its certificate says, where that is not the host of the address.
    pub fn new(address: &str, authority: &Path, name: Option<&str>) -> Result<Webhook, CanaryError> {
        let wrong = || CanaryError::Address(address.to_owned());
        let read: Uri = address.parse().map_err(|_| wrong())?;
        if read.scheme_str() != Some("https") {
            return Err(wrong());
        }
        let host = read.host().ok_or_else(wrong)?.trim_matches(['[', ']']).to_owned();
        let port = read.port_u16().unwrap_or(443);
        let name = ServerName::try_from(name.unwrap_or(&host).to_owned()).map_err(|_| wrong())?;
        let unread = |why: String| CanaryError::Authority { path: authority.display().to_string(), why };
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_file_iter(authority).map_err(|e| unread(e.to_string()))? {
            let certificate = certificate.map_err(|e| unread(e.to_string()))?;
            roots.add(certificate).map_err(|e| unread(e.to_string()))?;
        }
        if roots.is_empty() {
            return Err(unread("there is none".into()));
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| CanaryError::Begin(error.to_string()))?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Webhook { address: read, host, port, name, tls: TlsConnector::from(Arc::new(config)) })
    }

    /// Sends every trial, one after another.
    pub fn run(&self, namespace: &str) -> Result<Vec<Trial>, CanaryError> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| CanaryError::Begin(error.to_string()))?;
        Ok(runtime.block_on(self.trials(namespace)))
    }

    async fn trials(&self, namespace: &str) -> Vec<Trial> {
        let mut trials = Vec::new();
        for (asked, change) in DANGERS {
            let mut pod = sound(namespace);
            change(&mut pod);
            let became = self.ask(&review(&pod, namespace)).await;
            trials.push(Trial { asked: asked.to_owned(), expected: Expected::Refused, became });
        }
        let became = self.ask(&review(&sound(namespace), namespace)).await;
        trials.push(Trial { asked: "a sound pod".to_owned(), expected: Expected::LetIn, became });
        trials
    }

    async fn ask(&self, review: &Value) -> Became {
        let answered = timeout(PATIENCE, async {
            let stream = match TcpStream::connect((self.host.as_str(), self.port)).await {
                Ok(stream) => self.tls.connect(self.name.clone(), stream).await,
                Err(error) => Err(error),
            };
            let target = self.address.path_and_query().map_or("/", |path| path.as_str());
            let host = self.address.authority().map_or("", |authority| authority.as_str());
            let body = Some(review.to_string());
            http::exchange(stream, http::Ask { method: "POST", target, host, body, chunked: false }).await
        });
        match answered.await {
            Ok(Ok((StatusCode::OK, body))) => became(&body),
            Ok(Ok((status, body))) => {
                Became::NotKnown { why: short(&format!("{status}: {}", String::from_utf8_lossy(&body))) }
            }
            Ok(Err(why)) => Became::NotKnown { why },
            Err(_) => Became::NotKnown { why: format!("no answer within {} s", PATIENCE.as_secs()) },
        }
    }
}

/// What a webhook's answer says; one that is about another request says nothing.
fn became(body: &[u8]) -> Became {
    let answer: Value = serde_json::from_slice(body).unwrap_or_default();
    let response = &answer["response"];
    match (response["uid"] == UID, response["allowed"].as_bool()) {
        (true, Some(true)) => Became::LetIn { left: None },
        (true, Some(false)) => {
            let message = response["status"]["message"].as_str().unwrap_or("without a word");
            Became::Refused { message: short(message) }
        }
        _ => Became::NotKnown { why: short(&format!("no review: {}", String::from_utf8_lossy(body))) },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_about_another_request_proves_nothing() {
        let answer = |uid: &str| json!({"response": {"uid": uid, "allowed": false}}).to_string();
        assert!(matches!(became(answer(UID).as_bytes()), Became::Refused { .. }));
        assert!(matches!(became(answer("x").as_bytes()), Became::NotKnown { .. }));
        assert!(matches!(became(b"{}"), Became::NotKnown { .. }));
        assert!(matches!(became(b"<html>"), Became::NotKnown { .. }));
    }
}

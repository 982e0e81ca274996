//! A real API server asks the webhook, by the configuration that is shipped: what it lets in is what the audit lets in.
//! `scripts/kubernetes-api-server` starts one; where none runs, these tests say so and are skipped.

#[path = "kubernetes/objects.rs"]
mod objects;
#[path = "kubernetes/served.rs"]
#[allow(dead_code)] // other test binaries use the rest
mod served;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use objects::{audited, corpora, standards};
use policy::{NoFiles, Outcome, Policy};
use serde_json::{Value, json};
use served::{Served, With};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

const CONFIGURATIONS: &str = "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations";
/// The namespace that the webhook sees, and one that it does not: what the server makes of an object is found out there.
const SEEN: &str = "seen";
const UNSEEN: &str = "unseen";

/// An administrator's view of the server.
struct Api {
    address: SocketAddr,
    token: String,
    client: TlsConnector,
}

impl Api {
    fn find() -> Option<Api> {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../target/kubernetes-api-server");
        let folder = std::env::var_os("STOCKADE_KUBERNETES")
            .map_or_else(|| Path::new(folder).to_owned(), PathBuf::from);
        let read =
            |name: &str| std::fs::read_to_string(folder.join(name)).ok().map(|text| text.trim().to_owned());
        let Some(address) = read("address") else {
            println!("skipped: no API server runs here; scripts/kubernetes-api-server builds and starts one");
            return None;
        };
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(folder.join("ca.crt")).unwrap()).unwrap();
        let provider = Arc::new(tokio_rustls::rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let (address, token) = (address.parse().unwrap(), read("token").unwrap());
        Some(Api { address, token, client: TlsConnector::from(Arc::new(config)) })
    }

    async fn call(&self, method: &str, path: &str, body: Option<&Value>) -> (u16, Value) {
        let stream = TcpStream::connect(self.address).await.unwrap();
        let name = ServerName::try_from("localhost").unwrap();
        let mut stream = self.client.connect(name, stream).await.unwrap();
        let body = body.map(|body| serde_json::to_vec(body).unwrap()).unwrap_or_default();
        // HTTP/1.0: the answer comes in one piece, and its end is the connection's.
        let head = format!(
            "{method} {path} HTTP/1.0\r\nHost: localhost\r\nAuthorization: Bearer {}\r\n\
             Content-Type: application/json\r\nAccept: application/json\r\nContent-Length: {}\r\n\r\n",
            self.token,
            body.len()
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        stream.write_all(&body).await.unwrap();
        let mut answer = Vec::new();
        // A server that does not say goodbye in TLS has said all by then.
        let read = timeout(served::LIMIT, stream.read_to_end(&mut answer)).await.expect("an answer in time");
        let end = answer.windows(4).position(|w| w == b"\r\n\r\n").unwrap_or_else(|| {
            panic!("{method} {path}: no answer but {:?}, {read:?}", String::from_utf8_lossy(&answer))
        });
        let head = String::from_utf8_lossy(&answer[..end]).into_owned();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        (status, serde_json::from_slice(&answer[end + 4..]).unwrap_or(Value::Null))
    }

    async fn create(&self, object: &Value, namespace: &str, dry_run: bool) -> (u16, Value) {
        let mut object = object.clone();
        object["metadata"]["namespace"] = namespace.into();
        let dry_run = if dry_run { "?dryRun=All" } else { "" };
        self.call("POST", &format!("{}{dry_run}", collection(&object, namespace)), Some(&object)).await
    }

    /// Namespaces, and the shipped configuration with the webhook's address.
    async fn register(&self, served: &Served) {
        for name in [SEEN, UNSEEN] {
            let labels =
                json!({ "kubernetes.io/metadata.name": if name == SEEN { SEEN } else { "kube-system" } });
            let namespace = json!({
                "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": name, "labels": labels },
            });
            let (status, answer) = self.call("POST", "/api/v1/namespaces", Some(&namespace)).await;
            assert!([201, 409].contains(&status), "{answer}");
        }
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../packaging/kubernetes/webhook.yaml");
        let mut configuration = objects::objects(&std::fs::read(path).unwrap(), Path::new(path)).remove(0);
        let url = format!("https://localhost:{}/review", served.address.port());
        for webhook in configuration["webhooks"].as_array_mut().unwrap() {
            webhook["clientConfig"] =
                json!({ "url": url, "caBundle": base64(served.authority.pem().as_bytes()) });
            // Not known to a server before 1.27, which would leave it out.
            webhook.as_object_mut().unwrap().remove("matchConditions");
        }
        self.unregister().await;
        let (status, answer) = self.call("POST", CONFIGURATIONS, Some(&configuration)).await;
        assert_eq!(status, 201, "{answer}");
    }

    async fn unregister(&self) {
        self.call("DELETE", CONFIGURATIONS, None).await;
    }

    /// Waits until the policy in force is the one that refuses this object.
    async fn until_refused(&self, object: &Value) {
        let begin = Instant::now();
        loop {
            let answer = self.create(object, SEEN, true).await;
            if refused_by_the_gate(&answer) {
                return;
            }
            assert!(begin.elapsed() < served::LIMIT, "{answer:?}");
            sleep(Duration::from_millis(50)).await;
        }
    }
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let digit = |bits: u32| char::from(DIGITS[(bits & 63) as usize]);
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let bits = chunk.iter().fold(0, |bits, byte| bits << 8 | u32::from(*byte)) << (8 * (3 - chunk.len()));
        let digits = [bits >> 18, bits >> 12, bits >> 6, bits].map(digit);
        text.extend(digits.iter().take(chunk.len() + 1));
        text.extend(std::iter::repeat_n('=', 3 - chunk.len()));
    }
    text
}

/// Where objects of this kind are made.
fn collection(object: &Value, namespace: &str) -> String {
    let (version, kind) = (object["apiVersion"].as_str().unwrap(), object["kind"].as_str().unwrap());
    let root = if version.contains('/') { format!("/apis/{version}") } else { format!("/api/{version}") };
    let plural = format!("{}s", kind.to_lowercase());
    match kind {
        "PersistentVolume" | "ClusterRole" | "ClusterRoleBinding" => format!("{root}/{plural}"),
        _ => format!("{root}/namespaces/{namespace}/{plural}"),
    }
}

fn refused_by_the_gate((status, answer): &(u16, Value)) -> bool {
    *status >= 400 && message(answer).contains(".stockade.dev\" denied the request")
}

fn message(answer: &Value) -> &str {
    answer["message"].as_str().unwrap_or_default()
}

fn pod(name: &str, privileged: bool) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": { "name": name },
        "spec": { "containers": [{
            "name": "web", "image": "registry.example/web:1", "securityContext": { "privileged": privileged },
        }] },
    })
}

fn standard(level: &str) -> String {
    format!(
        "version: 1\nopen: allow\nundetermined: allow\nrules:\n\
         - {{name: pss, require: {{standards: pss-{level}@latest}}}}\n"
    )
}

/// Controllers of a pod, one of each kind.
fn controllers(name: &str, pod: &Value) -> Vec<(String, Value)> {
    let template = json!({ "metadata": { "labels": { "app": "web" } }, "spec": pod["spec"] });
    let selector = json!({ "matchLabels": { "app": "web" } });
    let made = |version: &str, kind: &str, spec: Value| {
        let object =
            json!({ "apiVersion": version, "kind": kind, "metadata": { "name": "web" }, "spec": spec });
        (format!("{kind} {name}"), object)
    };
    let mut job = template.clone();
    job["spec"]["restartPolicy"] = "Never".into();
    vec![
        made("apps/v1", "Deployment", json!({ "selector": selector, "template": template })),
        made("apps/v1", "ReplicaSet", json!({ "selector": selector, "template": template })),
        made("apps/v1", "DaemonSet", json!({ "selector": selector, "template": template })),
        made(
            "apps/v1",
            "StatefulSet",
            json!({ "selector": selector, "template": template, "serviceName": "web" }),
        ),
        made("v1", "ReplicationController", json!({ "selector": { "app": "web" }, "template": template })),
        made("batch/v1", "Job", json!({ "template": job })),
    ]
}

/// All of it in one test: the server has one configuration.
#[tokio::test(flavor = "multi_thread")]
async fn a_real_api_server_lets_in_what_the_audit_lets_in() {
    let Some(api) = Api::find() else { return };
    let served = Served::with(With::default()).await;
    api.register(&served).await;

    api.until_refused(&pod("web", true)).await;
    as_the_audit_says(&api, "version: 1\n").await;
    what_is_made_later(&api, &served).await;
    rights_and_volumes(&api).await;

    let own_port = json!([{ "containerPort": 80, "hostPort": 80 }]);
    for (level, refused) in [("baseline", "/spec/containers/0/ports"), ("restricted", "")] {
        served.write_policy(&standard(level));
        let mut refused_pod = pod("web", false);
        if let Some(field) = refused.strip_prefix("/spec/containers/0/") {
            refused_pod["spec"]["containers"][0][field] = own_port.clone();
        }
        api.until_refused(&refused_pod).await;
        as_the_audit_says(&api, &standard(level)).await;
    }

    served.ended().await;
    let (status, answer) = api.create(&pod("web", false), SEEN, false).await;
    assert!(status == 500 && message(&answer).contains("failed calling webhook"), "{answer}");
    api.unregister().await;
}

/// Pods of the standards, controllers of them, and the corpora: the server and the audit decide alike.
async fn as_the_audit_says(api: &Api, text: &str) {
    let policy = Policy::parse(text, &"p.yaml".into(), &NoFiles).unwrap();
    let mut cases: Vec<(String, Value)> = Vec::new();
    for (name, pod) in standards() {
        cases.extend(controllers(name, &pod));
        cases.push((format!("Pod {name}"), pod));
    }
    if let Some(folder) = corpora() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let objects = objects::objects(&std::fs::read(&path).unwrap(), &path);
            let made = |object: Value| (format!("{} {}", path.display(), object["kind"]), object);
            cases.extend(objects.into_iter().filter(makes_pods).map(made));
        }
    }
    let (mut allowed, mut denied, mut not_taken) = (0, 0, 0);
    for (name, object) in cases {
        // What the server makes of it: fields it does not know are gone, defaults are there.
        let (status, taken) = api.create(&object, UNSEEN, true).await;
        if status != 201 {
            not_taken += 1;
            continue;
        }
        let (outcome, subjects) = audited(&taken, &policy);
        assert!(subjects > 0, "{name}");
        let answer = api.create(&object, SEEN, true).await;
        let told = format!(
            "{name}: the audit says {}, the server {}: {}",
            outcome.name(),
            answer.0,
            answer.1["message"]
        );
        if outcome == Outcome::Deny {
            assert!(refused_by_the_gate(&answer), "{told}");
            denied += 1;
        } else {
            assert_eq!(answer.0, 201, "{told}");
            allowed += 1;
        }
    }
    println!(
        "{allowed} let in, {denied} refused, as the audit says; {not_taken} the server itself does not take"
    );
    assert!(allowed > 0 && denied >= 5, "{allowed} {denied} {not_taken}");
}

/// Kinds that this server has and the webhook is asked about.
fn makes_pods(object: &Value) -> bool {
    let named = object.pointer("/metadata/name").is_some_and(Value::is_string);
    let (version, kind) =
        (object["apiVersion"].as_str().unwrap_or(""), object["kind"].as_str().unwrap_or(""));
    let known = [
        ("v1", "Pod"),
        ("v1", "ReplicationController"),
        ("apps/v1", "Deployment"),
        ("apps/v1", "ReplicaSet"),
        ("apps/v1", "DaemonSet"),
        ("apps/v1", "StatefulSet"),
        ("batch/v1", "Job"),
    ];
    named && known.contains(&(version, kind))
}

/// A pod that is really made; what is asked of it afterwards.
async fn what_is_made_later(api: &Api, served: &Served) {
    let name = format!("web-{}", std::process::id());
    let (status, answer) = api.create(&pod(&name, false), SEEN, false).await;
    assert_eq!(status, 201, "{answer}");
    assert!(refused_by_the_gate(&api.create(&pod("other", true), SEEN, false).await));
    let path = format!("/api/v1/namespaces/{SEEN}/pods/{name}");
    assert_eq!(api.call("GET", &format!("/api/v1/namespaces/{SEEN}/pods/other"), None).await.0, 404);

    // A change of what may change.
    let (_, mut made) = api.call("GET", &path, None).await;
    made["metadata"]["labels"] = json!({ "changed": "yes" });
    let (status, answer) = api.call("PUT", &path, Some(&made)).await;
    assert_eq!(status, 200, "{answer}");

    // Ephemeral containers, in the form of this version (a kind of their own until 1.22).
    let ephemeral = |privileged: bool| {
        json!({
            "apiVersion": "v1", "kind": "EphemeralContainers", "metadata": { "name": name },
            "ephemeralContainers": [{
                "name": "debug", "image": "registry.example/debug:1", "terminationMessagePolicy": "File",
                "imagePullPolicy": "IfNotPresent", "securityContext": { "privileged": privileged },
            }],
        })
    };
    let change = api.call("PUT", &format!("{path}/ephemeralcontainers"), Some(&ephemeral(true))).await;
    // This version itself takes none with a security context.
    assert!(change.0 >= 400, "{change:?}");

    // Admission comes before the kubelet, which is not there: only the gate's refusal is told from its absence.
    let exec = format!("{path}/exec?command=id&container=web&stdout=true");
    let (status, answer) = api.call("POST", &exec, None).await;
    assert!(status >= 400 && message(&answer).contains("host"), "let through to the kubelet: {answer}");
    served.write_policy("version: 1\ndoors:\n  kubernetes:\n    connect: [{to: [exec, attach, portforward, pods/proxy], outcome: deny}]\n");
    let refused = async {
        while !refused_by_the_gate(&api.call("POST", &exec, None).await) {
            sleep(Duration::from_millis(50)).await;
        }
    };
    timeout(served::LIMIT, refused).await.expect("exec is refused");
    for way in ["attach?container=web", "portforward?ports=80", "proxy/"] {
        let answer = api.call("POST", &format!("{path}/{way}"), None).await;
        assert!(refused_by_the_gate(&answer), "{way}: {answer:?}");
    }
    assert_eq!(api.call("DELETE", &format!("{path}?gracePeriodSeconds=0"), None).await.0, 200);
    served.write_policy("version: 1\n");
    api.until_refused(&pod("web", true)).await;
}

async fn rights_and_volumes(api: &Api) {
    let volume = |source: Value| {
        let mut spec = json!({ "capacity": { "storage": "1Gi" }, "accessModes": ["ReadWriteOnce"] });
        spec.as_object_mut().unwrap().extend(source.as_object().unwrap().clone());
        json!({ "apiVersion": "v1", "kind": "PersistentVolume", "metadata": { "name": "v" }, "spec": spec })
    };
    let make = async |object: Value| {
        let path = format!("{}?dryRun=All", collection(&object, SEEN));
        api.call("POST", &path, Some(&object)).await
    };
    let answer = make(volume(json!({ "hostPath": { "path": "/" } }))).await;
    assert!(refused_by_the_gate(&answer), "{answer:?}");
    let answer = make(volume(json!({ "nfs": { "server": "nfs.example", "path": "/" } }))).await;
    assert_eq!(answer.0, 201, "{answer:?}");

    let binding = |role: &str, subject: Value| {
        json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding", "metadata": { "name": "b" },
            "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role },
            "subjects": [subject],
        })
    };
    let account = json!({ "kind": "ServiceAccount", "name": "default", "namespace": SEEN });
    let answer = make(binding("cluster-admin", account.clone())).await;
    assert!(refused_by_the_gate(&answer), "{answer:?}");
    let role = |resources: &str, verb: &str| {
        json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": { "name": "r" },
            "rules": [{ "apiGroups": [""], "resources": [resources], "verbs": [verb] }],
        })
    };
    let answer = make(role("configmaps", "get")).await;
    assert_eq!(answer.0, 201, "{answer:?}");
}

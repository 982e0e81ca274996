//! The webhook under load: reviews at a steady rate over TLS connections that stay, as API servers keep them. The time of
//! an answer counts from when it was due to be asked, so that one slow answer is not hidden by those that wait behind it.

use std::ffi::OsString;
use std::fs;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use serde_json::{Value, json};

/// What was measured.
pub struct Load {
    pub asked: usize,
    pub median: Duration,
    /// 99 of 100 answers took no longer.
    pub slow: Duration,
    pub slowest: Duration,
}

/// Reviews a second, over so many connections (client-go keeps up to 25 idle ones to a host).
pub const RATE: u32 = 500;
pub const CONNECTIONS: u32 = 8;
const SECONDS: u32 = 5;
const LIMIT: Duration = Duration::from_secs(20);

/// Starts the program with a certificate made for it in `folder`, and asks it.
pub fn measure(stockade: &OsString, folder: &Path, record: bool) -> io::Result<Load> {
    fs::create_dir_all(folder)?;
    let authority = certificate(folder).map_err(io::Error::other)?;
    let mut command = Command::new(stockade);
    command.args(["gate", "kubernetes", "--listen=127.0.0.1:0", "--drain=0"]);
    for (flag, file) in [("--certificate", "tls.crt"), ("--key", "tls.key")] {
        command.arg(flag).arg(folder.join(file));
    }
    if record {
        command.arg("--record").arg(folder.join("decisions.log"));
    }
    let mut gate = Gate(command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn()?);
    let port = gate.port()?;
    let client = client(authority).map_err(io::Error::other)?;
    let begin = Instant::now() + Duration::from_millis(300);
    let threads: Vec<_> = (0..CONNECTIONS)
        .map(|n| {
            let client = client.clone();
            thread::spawn(move || ask(&client, port, n, begin))
        })
        .collect();
    let mut times = Vec::new();
    for thread in threads {
        times.extend(thread.join().map_err(|_| io::Error::other("a client broke down"))??);
    }
    times.sort_unstable();
    let at = |share: usize| times.get((times.len() * share / 1000).min(times.len() - 1)).copied();
    let found = (at(500), at(990), at(1000));
    let (Some(median), Some(slow), Some(slowest)) = found else { return Err(io::Error::other("no answer")) };
    Ok(Load { asked: times.len(), median, slow, slowest })
}

/// The gate, ended with its measurement.
struct Gate(Child);

impl Gate {
    /// From its first line: `answering at https://127.0.0.1:PORT/review`.
    fn port(&mut self) -> io::Result<u16> {
        let stderr = self.0.stderr.take().ok_or_else(|| io::Error::other("no output"))?;
        let mut line = String::new();
        let mut lines = BufReader::new(stderr);
        lines.read_line(&mut line)?;
        // What it says later must go somewhere.
        thread::spawn(move || io::copy(&mut lines, &mut io::sink()));
        let port = line.trim().strip_suffix("/review").and_then(|l| l.rsplit(':').next()?.parse().ok());
        port.ok_or_else(|| io::Error::other(format!("the gate did not start: {line}")))
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn certificate(folder: &Path) -> Result<CertificateDer<'static>, Box<dyn std::error::Error + Send + Sync>> {
    let mut params = CertificateParams::new(Vec::new())?;
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(params, KeyPair::generate()?)?;
    let key = KeyPair::generate()?;
    let own = CertificateParams::new(vec!["localhost".into()])?.signed_by(&key, &authority)?;
    fs::write(folder.join("tls.crt"), own.pem())?;
    fs::write(folder.join("tls.key"), key.serialize_pem())?;
    Ok(authority.der().clone())
}

fn client(authority: CertificateDer<'static>) -> Result<Arc<ClientConfig>, rustls::Error> {
    let mut roots = RootCertStore::empty();
    roots.add(authority)?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    Ok(Arc::new(config.with_root_certificates(roots).with_no_client_auth()))
}

/// One connection's share of the load.
fn ask(client: &Arc<ClientConfig>, port: u16, number: u32, begin: Instant) -> io::Result<Vec<Duration>> {
    let stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(LIMIT))?;
    let name = ServerName::try_from("localhost").map_err(io::Error::other)?;
    let tls = ClientConnection::new(client.clone(), name).map_err(io::Error::other)?;
    let mut stream = BufReader::new(StreamOwned::new(tls, stream));
    let every = Duration::from_secs(1) / RATE;
    let count = RATE * SECONDS / CONNECTIONS;
    let mut times = Vec::with_capacity(count as usize);
    // Connected and warm before the clock starts.
    for n in 0..4 {
        one(&mut stream, n)?;
    }
    for n in 0..count {
        let due = begin + every * (n * CONNECTIONS + number);
        thread::sleep(due.saturating_duration_since(Instant::now()));
        one(&mut stream, n)?;
        times.push(due.elapsed());
    }
    Ok(times)
}

type Tls = BufReader<StreamOwned<ClientConnection, TcpStream>>;

/// Asks about an object, and looks whether the answer is the right one.
fn one(stream: &mut Tls, number: u32) -> io::Result<()> {
    let denied = number % 10 == 9;
    let body = review(number, denied).to_string();
    let head = format!(
        "POST /review?timeout=10s HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\n\r\n",
        body.len()
    );
    let tls = stream.get_mut();
    tls.write_all(&[head.as_bytes(), body.as_bytes()].concat())?;
    tls.flush()?;
    let mut length = 0;
    loop {
        let mut line = String::new();
        stream.read_line(&mut line)?;
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().map_err(io::Error::other)?;
        }
        if line.trim().is_empty() {
            break;
        }
    }
    let mut answer = vec![0; length];
    stream.read_exact(&mut answer)?;
    let answer: Value = serde_json::from_slice(&answer)?;
    if answer["response"]["allowed"] != !denied {
        return Err(io::Error::other(format!("answered wrongly: {answer}")));
    }
    Ok(())
}

/// A review of about the size that API servers send: a Deployment of two containers with its managed fields. None is as
/// another, so that nothing is answered from memory.
fn review(number: u32, denied: bool) -> Value {
    let container = |name: &str| {
        json!({
            "name": name, "image": format!("registry.example.com/shop/{name}:{number}"),
            "env": (0..10).map(|n| json!({ "name": format!("VARIABLE_{n}"), "value": "some value" })).collect::<Vec<_>>(),
            "ports": [{ "containerPort": 8080, "protocol": "TCP" }],
            "resources": { "limits": { "cpu": format!("{}m", 100 + number), "memory": "128Mi" } },
            "securityContext": {
                "privileged": denied, "allowPrivilegeEscalation": denied, "runAsUser": 1000 + number,
                "capabilities": { "drop": ["ALL"] },
            },
            "volumeMounts": [{ "name": "config", "mountPath": "/etc/config", "readOnly": true }],
        })
    };
    let managed: Vec<Value> =
        (0..40).map(|n| json!({ "fieldsV1": { format!("f:field-{n}"): {} } })).collect();
    let object = json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {
            "name": format!("web-{number}"), "namespace": "shop", "uid": "7d1c", "managedFields": managed,
            "labels": { "app": "web" },
        },
        "spec": {
            "replicas": 2, "selector": { "matchLabels": { "app": "web" } },
            "template": {
                "metadata": { "labels": { "app": "web" } },
                "spec": {
                    "containers": [container("web"), container("sidecar")],
                    "volumes": [{ "name": "config", "configMap": { "name": "web" } }],
                },
            },
        },
    });
    let kind = json!({ "group": "apps", "version": "v1", "kind": "Deployment" });
    let resource = json!({ "group": "apps", "version": "v1", "resource": "deployments" });
    json!({
        "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview",
        "request": {
            "uid": format!("uid-{number}"), "kind": kind, "resource": resource, "name": format!("web-{number}"),
            "namespace": "shop", "operation": "CREATE", "userInfo": { "username": "ada", "groups": [] },
            "object": object, "oldObject": null, "dryRun": false,
        },
    })
}

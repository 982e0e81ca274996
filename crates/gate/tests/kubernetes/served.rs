//! A webhook on a free port of the loopback, its authority, and a client that speaks TLS to it.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use gate::kubernetes::webhook::{CertificateFiles, Recorder, Settings, Webhook};
use gate::{InForce, Rules};
use jiff::Timestamp;
use policy::{NoFiles, Policy, ReadError, Waivers};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use sources::Context;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

/// Longer than anything takes on a busy machine.
pub(crate) const LIMIT: Duration = Duration::from_secs(120);

pub(crate) struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    pub(crate) fn new() -> Authority {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Authority(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    pub(crate) fn certificate(&self) -> CertificateDer<'static> {
        self.0.der().clone()
    }

    pub(crate) fn pem(&self) -> String {
        self.0.pem()
    }

    /// A certificate and its key.
    pub(crate) fn issue(&self, serial: u64) -> (rcgen::Certificate, KeyPair) {
        let mut params = CertificateParams::new(vec!["localhost".into()]).unwrap();
        params.serial_number = Some(serial.into());
        let key = KeyPair::generate().unwrap();
        (params.signed_by(&key, &self.0).unwrap(), key)
    }

    pub(crate) fn write(&self, folder: &Path, serial: u64) {
        let (certificate, key) = self.issue(serial);
        std::fs::write(folder.join("tls.crt"), certificate.pem()).unwrap();
        std::fs::write(folder.join("tls.key"), key.serialize_pem()).unwrap();
    }

    /// A client that trusts it, and shows a certificate of it where `known`.
    pub(crate) fn client(&self, known: bool) -> TlsConnector {
        let mut roots = RootCertStore::empty();
        roots.add(self.certificate()).unwrap();
        let provider = Arc::new(tokio_rustls::rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots);
        let config = if known {
            let (certificate, key) = self.issue(77);
            let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
            builder.with_client_auth_cert(vec![certificate.der().clone()], key).unwrap()
        } else {
            builder.with_no_client_auth()
        };
        TlsConnector::from(Arc::new(config))
    }
}

pub(crate) struct Served {
    pub(crate) address: SocketAddr,
    pub(crate) observe: SocketAddr,
    pub(crate) authority: Authority,
    pub(crate) folder: TempDir,
    end: Option<oneshot::Sender<()>>,
    serving: JoinHandle<()>,
}

/// What differs from test to test.
pub(crate) struct With {
    pub(crate) answer_within: Duration,
    pub(crate) drain: Duration,
    pub(crate) mutual: bool,
    pub(crate) recorder: Recorder,
}

impl Default for With {
    fn default() -> With {
        let zero = Duration::ZERO;
        With { answer_within: LIMIT, drain: zero, mutual: false, recorder: Recorder::Nowhere }
    }
}

fn rules(path: &Path) -> Result<InForce, ReadError> {
    let text = std::fs::read_to_string(path).unwrap();
    let policy = Policy::parse(&text, &path.to_string_lossy().into(), &NoFiles)?;
    Ok(InForce { policy, waivers: Waivers::default() })
}

impl Served {
    pub(crate) async fn new() -> Served {
        Served::with(With::default()).await
    }

    pub(crate) async fn with(with: With) -> Served {
        let folder = tempfile::tempdir().unwrap();
        let authority = Authority::new();
        authority.write(folder.path(), 1);
        std::fs::write(folder.path().join("ca.crt"), authority.pem()).unwrap();
        let policy = folder.path().join("policy.yaml");
        std::fs::write(&policy, "version: 1\n").unwrap();
        let read: PathBuf = policy.clone();
        let settings = Settings {
            listen: "127.0.0.1:0".parse().unwrap(),
            observe: Some("127.0.0.1:0".parse().unwrap()),
            certificate: CertificateFiles {
                chain: folder.path().join("tls.crt"),
                key: folder.path().join("tls.key"),
                client_authorities: with.mutual.then(|| folder.path().join("ca.crt")),
            },
            answer_within: with.answer_within,
            poll: Duration::from_millis(20),
            drain: with.drain,
            context: Context::assumed(),
            rules: Arc::new(Rules::load(move || rules(&read)).unwrap()),
            rule_files: vec![policy],
            recorder: with.recorder,
            clock: Timestamp::now,
            say: |_| {},
        };
        let webhook = Webhook::bind(settings).await.unwrap();
        let (address, observe) = (webhook.address().unwrap(), webhook.observe_address().unwrap());
        let (end, ended) = oneshot::channel::<()>();
        let serving = tokio::spawn(webhook.serve(async {
            let _ = ended.await;
        }));
        Served { address, observe, authority, folder, end: Some(end), serving }
    }

    pub(crate) fn write_policy(&self, text: &str) {
        std::fs::write(self.folder.path().join("policy.yaml"), text).unwrap();
    }

    pub(crate) async fn connect(&self) -> TlsStream<TcpStream> {
        connect(self.address, self.authority.client(false)).await.unwrap()
    }

    /// One review on a connection of its own.
    pub(crate) async fn review(&self, body: &[u8]) -> Answer {
        let mut stream = self.connect().await;
        ask(&mut stream, body).await
    }

    /// What an observer is told.
    pub(crate) async fn observed(&self, path: &str) -> Answer {
        let mut stream = TcpStream::connect(self.observe).await.unwrap();
        let head = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        stream.write_all(head.as_bytes()).await.unwrap();
        timeout(LIMIT, answer(&mut stream)).await.expect("an answer in time").expect("an answer")
    }

    /// Asks an observer's page again and again until it is as wanted.
    pub(crate) async fn until(&self, path: &str, wanted: impl Fn(&Answer) -> bool) {
        let waiting = async {
            while !wanted(&self.observed(path).await) {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        timeout(LIMIT, waiting).await.expect("it comes to be as wanted");
    }

    pub(crate) fn ask_to_end(&mut self) {
        if let Some(end) = self.end.take() {
            let _ = end.send(());
        }
    }

    pub(crate) async fn ended(mut self) {
        self.ask_to_end();
        timeout(LIMIT, self.serving).await.expect("it ends").unwrap();
    }
}

pub(crate) async fn connect(
    address: SocketAddr,
    client: TlsConnector,
) -> std::io::Result<TlsStream<TcpStream>> {
    let stream = TcpStream::connect(address).await?;
    timeout(LIMIT, client.connect(ServerName::try_from("localhost").unwrap(), stream)).await.unwrap()
}

pub(crate) fn head(length: usize) -> String {
    format!(
        "POST /review?timeout=300s HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
         Content-Length: {length}\r\n\r\n"
    )
}

pub(crate) async fn ask(stream: &mut TlsStream<TcpStream>, body: &[u8]) -> Answer {
    let mut request = head(body.len()).into_bytes();
    request.extend_from_slice(body);
    stream.write_all(&request).await.unwrap();
    timeout(LIMIT, answer(stream)).await.expect("an answer in time").expect("an answer")
}

#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) text: String,
}

impl Answer {
    pub(crate) fn response(&self) -> serde_json::Value {
        let review: serde_json::Value = serde_json::from_str(&self.text).expect("an AdmissionReview");
        review["response"].clone()
    }
}

/// One answer with a `Content-Length`, as the webhook gives.
pub(crate) async fn answer<S: AsyncReadExt + Unpin>(stream: &mut S) -> Option<Answer> {
    let mut bytes = Vec::new();
    loop {
        if let Some(end) = bytes.windows(4).position(|w| w == b"\r\n\r\n") {
            let head = String::from_utf8(bytes[..end].to_vec()).ok()?.to_ascii_lowercase();
            let length: usize =
                head.lines().find_map(|line| line.strip_prefix("content-length: "))?.parse().ok()?;
            let status = head.split(' ').nth(1)?.parse().ok()?;
            if bytes.len() >= end + 4 + length {
                let text = String::from_utf8(bytes[end + 4..end + 4 + length].to_vec()).ok()?;
                return Some(Answer { status, text });
            }
        }
        let mut more = [0; 4096];
        match stream.read(&mut more).await {
            Ok(n) if n > 0 => bytes.extend_from_slice(&more[..n]),
            _ => return None,
        }
    }
}

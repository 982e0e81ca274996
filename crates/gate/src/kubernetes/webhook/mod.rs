//! The webhook that API servers ask: HTTPS in, [`crate::kubernetes::review`] decides, HTTPS out.
//!
//! A request has a deadline, and what is not decided by then is denied. What waits is bounded in number and in bytes. The
//! policy, the waivers and the certificate are read again when their files change; what cannot be read leaves what was
//! there. Beside it, on a plain address of its own: `/livez`, `/readyz` and `/metrics`.

mod certificate;
mod changes;
mod deciding;
mod metrics;
mod serve;

use std::future::Future;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use sources::Context;
use tokio::net::TcpListener;

use crate::Rules;
use crate::log::{Log, LogError};

pub use certificate::{CertificateError, CertificateFiles};

/// Where decisions are recorded.
pub enum Recorder {
    Nowhere,
    /// The hash-chained log.
    Log(Box<Log>),
    /// A JSON line each, on standard output: for a cluster's own collector of logs.
    Lines,
}

pub struct Settings {
    /// For API servers.
    pub listen: SocketAddr,
    /// For kubelets and Prometheus, in plain HTTP.
    pub observe: Option<SocketAddr>,
    pub certificate: CertificateFiles,
    /// How long a request may take. An API server that waits less says so (`?timeout=`), and is heard.
    pub answer_within: Duration,
    /// How often files are looked at.
    pub poll: Duration,
    /// How long requests are still taken after the end was asked for: endpoints are withdrawn meanwhile.
    pub drain: Duration,
    pub context: Context,
    pub rules: Arc<Rules>,
    /// The files that the rules are read from.
    pub rule_files: Vec<PathBuf>,
    pub recorder: Recorder,
    pub clock: fn() -> Timestamp,
    /// What is said to whoever runs it: one line each.
    pub say: fn(&str),
}

#[derive(Debug, thiserror::Error)]
pub enum WebhookError {
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    #[error("{address}: cannot be listened on: {source}")]
    Listen { address: SocketAddr, source: io::Error },
    #[error(transparent)]
    Log(#[from] LogError),
}

/// A webhook whose addresses are taken; it answers once it is served.
pub struct Webhook {
    listener: TcpListener,
    observer: Option<TcpListener>,
    service: Arc<serve::Service>,
}

impl Webhook {
    /// Reads the certificate and takes the addresses.
    pub async fn bind(settings: Settings) -> Result<Webhook, WebhookError> {
        let certificates = certificate::Certificates::load(&settings.certificate)?;
        let listener = bind(settings.listen).await?;
        let observer = match settings.observe {
            Some(address) => Some(bind(address).await?),
            None => None,
        };
        let service = Arc::new(serve::Service::new(settings, certificates));
        Ok(Webhook { listener, observer, service })
    }

    /// Where API servers are answered.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Where it can be observed.
    pub fn observe_address(&self) -> Option<SocketAddr> {
        self.observer.as_ref()?.local_addr().ok()
    }

    /// Answers until `end`, and then those who have asked.
    pub async fn serve(self, end: impl Future<Output = ()>) {
        serve::serve(self.service, self.listener, self.observer, end).await;
    }
}

async fn bind(address: SocketAddr) -> Result<TcpListener, WebhookError> {
    let bound = match TcpListener::bind(address).await {
        // `[::]` means every address; a kernel without IPv6 has those of IPv4.
        Err(_) if address.ip() == Ipv6Addr::UNSPECIFIED => {
            TcpListener::bind((Ipv4Addr::UNSPECIFIED, address.port())).await
        }
        bound => bound,
    };
    bound.map_err(|source| WebhookError::Listen { address, source })
}

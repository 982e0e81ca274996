//! The webhook's certificate, read again while it serves: cert-manager and others renew it in place. Connections that are
//! there keep theirs; new ones get the new one.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use tokio_rustls::TlsAcceptor;
use x509_parser::prelude::{FromDer, X509Certificate};

/// A chain of certificates, a key, a bundle of authorities.
const MAX_BYTES: u64 = 1 << 20;

/// Files in PEM.
#[derive(Clone, Debug)]
pub struct CertificateFiles {
    /// The webhook's own certificate first, then those that lead to its authority.
    pub chain: PathBuf,
    pub key: PathBuf,
    /// Authorities of clients. Where it is given, who shows no certificate of theirs is not heard.
    pub client_authorities: Option<PathBuf>,
}

#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    #[error("{path}: {why}", path = path.display())]
    File { path: PathBuf, why: String },
    #[error("{chain} and {key} do not make a TLS server: {why}", chain = chain.display(), key = key.display())]
    Pair { chain: PathBuf, key: PathBuf, why: String },
}

/// What is in force.
#[derive(Clone)]
struct Current {
    config: Arc<ServerConfig>,
    /// When the first certificate ends, in seconds since 1970.
    ends: i64,
}

pub(super) struct Certificates {
    files: CertificateFiles,
    current: RwLock<Current>,
}

impl Certificates {
    pub(super) fn load(files: &CertificateFiles) -> Result<Certificates, CertificateError> {
        let current = RwLock::new(read(files)?);
        Ok(Certificates { files: files.clone(), current })
    }

    /// Reads the files again. Where that fails, what was there stays.
    pub(super) fn reload(&self) -> Result<(), CertificateError> {
        let fresh = read(&self.files)?;
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = fresh;
        Ok(())
    }

    pub(super) fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(self.now().config)
    }

    /// In seconds since 1970.
    pub(super) fn ends(&self) -> i64 {
        self.now().ends
    }

    pub(super) fn files(&self) -> Vec<PathBuf> {
        let CertificateFiles { chain, key, client_authorities } = &self.files;
        [chain, key].into_iter().chain(client_authorities).cloned().collect()
    }

    fn now(&self) -> Current {
        self.current.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

fn read(files: &CertificateFiles) -> Result<Current, CertificateError> {
    let chain = certificates(&files.chain)?;
    let ends = chain.first().map(|first| end_of(first, &files.chain)).transpose()?.unwrap_or_default();
    let key = PrivateKeyDer::from_pem_slice(&bytes(&files.key)?)
        .map_err(|e| wrong(&files.key, format!("no private key in PEM: {e}")))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let pair = |why: rustls::Error| CertificateError::Pair {
        chain: files.chain.clone(),
        key: files.key.clone(),
        why: why.to_string(),
    };
    let builder = ServerConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(pair)?;
    let builder = match &files.client_authorities {
        None => builder.with_no_client_auth(),
        Some(path) => {
            let mut roots = RootCertStore::empty();
            for authority in certificates(path)? {
                roots.add(authority).map_err(|e| wrong(path, e.to_string()))?;
            }
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
            builder.with_client_cert_verifier(verifier.build().map_err(|e| wrong(path, e.to_string()))?)
        }
    };
    let mut config = builder.with_single_cert(chain, key).map_err(pair)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Current { config: Arc::new(config), ends })
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, CertificateError> {
    let bytes = bytes(path)?;
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&bytes).collect();
    let found = found.map_err(|e| wrong(path, format!("no certificates in PEM: {e}")))?;
    if found.is_empty() {
        return Err(wrong(path, "holds no certificate in PEM"));
    }
    Ok(found)
}

fn end_of(certificate: &CertificateDer<'_>, path: &Path) -> Result<i64, CertificateError> {
    let (_, parsed) = X509Certificate::from_der(certificate)
        .map_err(|e| wrong(path, format!("the first certificate cannot be read: {e}")))?;
    Ok(parsed.validity().not_after.timestamp())
}

fn bytes(path: &Path) -> Result<Vec<u8>, CertificateError> {
    let mut bytes = Vec::new();
    let file = fs::File::open(path).map_err(|e| wrong(path, e.to_string()))?;
    file.take(MAX_BYTES + 1).read_to_end(&mut bytes).map_err(|e| wrong(path, e.to_string()))?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(wrong(path, format!("larger than {MAX_BYTES} bytes")));
    }
    Ok(bytes)
}

fn wrong(path: &Path, why: impl Into<String>) -> CertificateError {
    CertificateError::File { path: path.to_owned(), why: why.into() }
}

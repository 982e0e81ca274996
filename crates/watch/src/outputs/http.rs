//! HTTP POST with a deadline, over TLS where the address says so. What an answer means for a retry is said here once.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig, TlsProvider, parse_pem};

use super::{Failure, OutputError};

/// What is read of an answer: enough for what collectors say of a part that they refuse.
const ANSWER_LIMIT: u64 = 64 << 10;

/// Where to, and how.
pub(super) struct Client {
    agent: ureq::Agent,
    url: String,
    headers: BTreeMap<String, String>,
    token_file: Option<PathBuf>,
}

/// An answer, of whatever status.
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) body: Vec<u8>,
    /// Of `Retry-After`, in seconds.
    retry_after: Option<Duration>,
}

pub(super) struct Options<'a> {
    pub(super) output: &'a str,
    pub(super) url: &'a str,
    /// Added to the path of the address, unless it ends so already.
    pub(super) path: &'a str,
    pub(super) headers: &'a BTreeMap<String, String>,
    pub(super) token_file: Option<&'a PathBuf>,
    pub(super) ca_file: Option<&'a PathBuf>,
    pub(super) timeout: Duration,
}

impl Client {
    pub(super) fn new(options: &Options<'_>) -> Result<Client, OutputError> {
        let wrong = |why: String| OutputError::Setting { output: options.output.into(), why };
        let url = match options.url.trim_end_matches('/') {
            url if url.ends_with(options.path) => options.url.to_owned(),
            url => format!("{url}{}", options.path),
        };
        let uri = url.parse::<ureq::http::Uri>().ok();
        let secure = match uri.as_ref().and_then(|uri| uri.scheme_str()) {
            Some("https") => true,
            Some("http") => false,
            _ => {
                return Err(wrong(format!(
                    "`{}` is not an address such as http://127.0.0.1:9093",
                    options.url
                )));
            }
        };
        for (name, value) in options.headers {
            let fits = ureq::http::HeaderName::try_from(name.as_str()).is_ok()
                && ureq::http::HeaderValue::try_from(value.as_str()).is_ok();
            if !fits {
                return Err(wrong(format!("`{name}` is not a header that HTTP can carry")));
            }
        }
        let mut config = ureq::Agent::config_builder()
            .timeout_global(Some(options.timeout))
            .http_status_as_error(false)
            // A redirect would send alerts to somewhere nobody named.
            .max_redirects(0)
            // No connection that the settings do not name.
            .proxy(None)
            .user_agent(concat!("stockade/", env!("CARGO_PKG_VERSION")));
        if secure {
            let roots = roots(options.output, options.ca_file.map(PathBuf::as_path))?;
            config = config.tls_config(
                TlsConfig::builder()
                    .provider(TlsProvider::Rustls)
                    .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::ring::default_provider()))
                    .root_certs(RootCerts::Specific(Arc::new(roots)))
                    .build(),
            );
        }
        Ok(Client {
            agent: config.build().into(),
            url,
            headers: options.headers.clone(),
            token_file: options.token_file.cloned(),
        })
    }

    /// Sends JSON. A connection that fails, or is not answered in time, is to be tried later.
    pub(super) fn post(&self, body: &[u8]) -> Result<Answer, Failure> {
        let mut request = self.agent.post(&self.url).header("Content-Type", "application/json");
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        if let Some(path) = &self.token_file {
            let token = fs::read_to_string(path)
                .map_err(|error| Failure::later(format!("{}: {error}", path.display())))?;
            let token = token.lines().next().unwrap_or("").trim();
            request = request.header("Authorization", format!("Bearer {token}"));
        }
        let mut response = request.send(body).map_err(Failure::later)?;
        let retry_after = response
            .headers()
            .get("Retry-After")
            .and_then(|value| value.to_str().ok()?.trim().parse().ok())
            .map(Duration::from_secs);
        let status = response.status().as_u16();
        // What was said is known by the status; a body that breaks off changes nothing.
        let body = response.body_mut().with_config().limit(ANSWER_LIMIT).read_to_vec().unwrap_or_default();
        Ok(Answer { status, body, retry_after })
    }
}

impl Answer {
    /// RFC 9110, section 15: what was taken; what is wrong with this message, and will be the next time; and all else,
    /// which is about the other side or how it is reached, and may be put right.
    pub(super) fn judge(&self) -> Result<(), Failure> {
        match self.status {
            200..=299 => Ok(()),
            400 | 413 | 415 | 422 => Err(Failure::Refused { why: self.why() }),
            _ => Err(Failure::Later { why: self.why(), after: self.retry_after }),
        }
    }

    /// The OTLP specification ("Failures"): only 429, 502, 503 and 504 are tried again.
    pub(super) fn judge_otlp(&self) -> Result<(), Failure> {
        match self.status {
            200..=299 => Ok(()),
            429 | 502 | 503 | 504 => Err(Failure::Later { why: self.why(), after: self.retry_after }),
            _ => Err(Failure::Refused { why: self.why() }),
        }
    }

    fn why(&self) -> String {
        let text = String::from_utf8_lossy(self.body.get(..200).unwrap_or(&self.body)).into_owned();
        let text = report::printable(text.trim()).to_string();
        if text.is_empty() {
            format!("status {}", self.status)
        } else {
            format!("status {}: {text}", self.status)
        }
    }
}

/// The address as it is shown: scheme, host and port. What comes after, or before an `@`, may be a secret.
pub(super) fn shown(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else { return url.to_owned() };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or(rest);
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    format!("{scheme}://{host}")
}

fn roots(output: &str, file: Option<&Path>) -> Result<Vec<Certificate<'static>>, OutputError> {
    let Some(file) = file else {
        let found: Vec<_> = rustls_native_certs::load_native_certs()
            .certs
            .iter()
            .map(|der| Certificate::from_der(der).to_owned())
            .collect();
        if found.is_empty() {
            let why = "this system has no certificates to trust; install ca-certificates, or set `ca-file`";
            return Err(OutputError::Setting { output: output.into(), why: why.into() });
        }
        return Ok(found);
    };
    let pem = fs::read(file).map_err(|error| OutputError::File {
        output: output.into(),
        path: file.into(),
        error,
    })?;
    let found: Vec<_> = parse_pem(&pem)
        .filter_map(|item| match item {
            Ok(PemItem::Certificate(certificate)) => Some(certificate),
            _ => None,
        })
        .collect();
    if found.is_empty() {
        let why = format!("{}: there is no certificate (PEM) in it", file.display());
        return Err(OutputError::Setting { output: output.into(), why });
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_shown_without_its_secrets() {
        assert_eq!(shown("https://me:secret@hooks.example/T1/x?token=y#z"), "https://hooks.example");
        assert_eq!(shown("http://127.0.0.1:9093"), "http://127.0.0.1:9093");
    }

    #[test]
    fn addresses_and_headers_that_cannot_work_are_told_at_once() {
        let none = BTreeMap::new();
        let bad = BTreeMap::from([("a b".to_owned(), "x".to_owned())]);
        let make = |url, headers, ca_file: Option<&PathBuf>| {
            let timeout = Duration::from_secs(1);
            let options =
                Options { output: "o", url, path: "/p", headers, token_file: None, ca_file, timeout };
            Client::new(&options).err().map(|e| e.to_string())
        };
        assert_eq!(make("http://127.0.0.1:1", &none, None), None);
        assert!(make("127.0.0.1:1", &none, None).unwrap().contains("http://"));
        assert!(make("ftp://x", &none, None).unwrap().contains("http://"));
        assert!(make("http://127.0.0.1", &bad, None).unwrap().contains("header"));
        let here = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml"));
        assert!(make("https://x", &none, Some(&here)).is_some());
    }
}

//! A webhook: one HTTP POST for each alert, the alert as JSON.

use std::sync::Arc;

use super::http::{self, Client};
use super::{Failure, Filter, Output, OutputError, Webhook, alerts_from};
use crate::store::Record;

pub(super) struct WebhookOutput {
    settings: Webhook,
    client: Client,
}

impl WebhookOutput {
    pub(super) fn new(settings: &Webhook) -> Result<WebhookOutput, OutputError> {
        let client = Client::new(&http::Options {
            output: "webhook",
            url: &settings.url,
            path: "",
            headers: &settings.headers,
            token_file: settings.token_file.as_ref(),
            ca_file: settings.ca_file.as_ref(),
            timeout: settings.timeout,
        })?;
        Ok(WebhookOutput { settings: settings.clone(), client })
    }
}

impl Output for WebhookOutput {
    fn name(&self) -> String {
        format!("webhook {}", http::shown(&self.settings.url))
    }

    fn filter(&self) -> Filter {
        alerts_from(self.settings.severity)
    }

    fn send(&mut self, records: &[Arc<Record>]) -> Result<u64, Failure> {
        for record in records {
            self.client.post(record.to_json().to_string().as_bytes())?.judge()?;
        }
        Ok(0)
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;
    use crate::outputs::testing::{Server, answer};
    use crate::outputs::worker::Worker;
    use crate::store::samples;

    fn alert() -> Arc<Record> {
        Arc::new(samples::attempt().into())
    }

    #[test]
    fn an_alert_is_posted_as_json_with_the_headers_and_the_token() {
        let server = Server::start();
        let folder = tempfile::tempdir().unwrap();
        let token = folder.path().join("token");
        std::fs::write(&token, "s3cret\n").unwrap();
        let mut settings = Webhook::to(format!("{}/hook?x=1", server.url()));
        settings.headers.insert("X-Team".into(), "blue".into());
        settings.token_file = Some(token.clone());
        let mut output = WebhookOutput::new(&settings).unwrap();
        output.send(&[alert()]).unwrap();
        std::fs::write(&token, "an0ther").unwrap();
        output.send(&[alert()]).unwrap();
        let requests = server.wait_for(2);
        assert_eq!(requests[0].line, "POST /hook?x=1 HTTP/1.1");
        assert_eq!(requests[0].headers["content-type"], "application/json");
        assert_eq!(requests[0].headers["x-team"], "blue");
        assert_eq!(requests[0].headers["authorization"], "Bearer s3cret");
        assert_eq!(requests[1].headers["authorization"], "Bearer an0ther");
        assert_eq!(requests[0].json(), alert().to_json());
        assert!(!output.name().contains("hook?"), "an address may hold a secret");
    }

    #[test]
    fn what_is_refused_for_good_is_told_apart_from_what_may_go_later() {
        let server = Server::start();
        let mut output = WebhookOutput::new(&Webhook::to(server.url())).unwrap();
        for (status, refused) in
            [(400, true), (413, true), (422, true), (401, false), (404, false), (302, false)]
        {
            server.then(answer(status, "Location: http://127.0.0.1:1/\r\n", "why\u{1b}[2J"));
            match output.send(&[alert()]).unwrap_err() {
                Failure::Refused { why } => {
                    assert!(refused && why.contains(&status.to_string()), "{status} {why}")
                }
                Failure::Later { why, .. } => assert!(!refused && !why.contains('\u{1b}'), "{status} {why}"),
            }
        }
        server.then(answer(503, "Retry-After: 7\r\n", ""));
        let later = Failure::Later { why: "status 503".into(), after: Some(Duration::from_secs(7)) };
        assert_eq!(output.send(&[alert()]), Err(later));
        server.then("");
        assert!(
            matches!(output.send(&[alert()]), Err(Failure::Later { .. })),
            "a connection that breaks off"
        );
        output.send(&[alert()]).unwrap();
    }

    #[test]
    fn a_server_that_never_answers_is_given_up_after_the_timeout() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let mut settings = Webhook::to(format!("http://{}", listener.local_addr().unwrap()));
        settings.timeout = Duration::from_millis(300);
        let began = Instant::now();
        let result = WebhookOutput::new(&settings).unwrap().send(&[alert()]);
        assert!(matches!(result, Err(Failure::Later { .. })));
        assert!(began.elapsed() < Duration::from_secs(5));
    }

    #[test]
    fn every_alert_arrives_once_at_a_server_that_fails_now_and_then() {
        let server = Server::start();
        for status in [500, 200, 429, 503, 200] {
            server.then(answer(status, "Retry-After: 0\r\n", ""));
        }
        let output = WebhookOutput::new(&Webhook::to(server.url())).unwrap();
        let worker = Worker::start(output, 100, "webhook".into()).unwrap();
        for id in 1..=10 {
            worker.offer(&Arc::new(crate::alert::Alert { id, ..samples::attempt() }.into()));
        }
        let until = Instant::now() + Duration::from_secs(20);
        worker.close(until);
        let status = worker.wait(until);
        assert_eq!((status.sent, status.retries, status.dropped, status.refused), (10, 3, 0, 0));
        let ids: Vec<u64> = server.requests().iter().map(|r| r.json()["id"].as_u64().unwrap()).collect();
        assert_eq!(ids, [1, 1, 2, 2, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
    }

    #[test]
    fn over_tls_only_a_server_with_a_trusted_certificate_is_sent_to() {
        let made = rcgen::generate_simple_self_signed(["localhost".into()]).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let ca_file = folder.path().join("ca.pem");
        std::fs::write(&ca_file, made.cert.pem()).unwrap();
        let key = rustls::pki_types::PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![made.cert.der().clone()], key)
            .unwrap();
        let config = Arc::new(config);
        let server = Server::with(move |stream| {
            let connection = rustls::ServerConnection::new(config.clone()).unwrap();
            Box::new(rustls::StreamOwned::new(connection, stream))
        });
        let mut settings = Webhook::to(format!("https://localhost:{}/x", server.port));
        settings.ca_file = Some(ca_file.clone());
        WebhookOutput::new(&settings).unwrap().send(&[alert()]).unwrap();
        assert_eq!(server.wait_for(1)[0].json()["schema"], "stockade.alert/1");

        let other = rcgen::generate_simple_self_signed(["localhost".into()]).unwrap();
        std::fs::write(&ca_file, other.cert.pem()).unwrap();
        let result = WebhookOutput::new(&settings).unwrap().send(&[alert()]);
        assert!(matches!(result, Err(Failure::Later { .. })), "{result:?}");
        assert_eq!(server.requests().len(), 1);
    }
}

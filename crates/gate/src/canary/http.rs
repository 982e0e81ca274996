//! One request over a connection of its own.

use bytes::Bytes;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::{Body, Frame, SizeHint};
use hyper::header::{CONTENT_TYPE, HOST};
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;

const ANSWER_LIMIT: usize = 16 << 20;

pub(super) struct Ask<'a> {
    pub(super) method: &'a str,
    pub(super) target: &'a str,
    pub(super) host: &'a str,
    /// JSON.
    pub(super) body: Option<String>,
    pub(super) chunked: bool,
}

pub(super) async fn exchange<S>(
    stream: std::io::Result<S>,
    ask: Ask<'_>,
) -> Result<(StatusCode, Bytes), String>
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Send + Unpin + 'static,
{
    let told = |error: &dyn std::fmt::Display| format!("no answer: {error}");
    let stream = stream.map_err(|error| told(&error))?;
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(|error| told(&error))?;
    tokio::spawn(connection);
    let has_body = ask.body.is_some();
    let full = Full::new(Bytes::from(ask.body.unwrap_or_default()));
    let body: BoxBody<Bytes, std::convert::Infallible> =
        if ask.chunked { OfNoLength(full).boxed() } else { full.boxed() };
    let mut request = Request::builder().method(ask.method).uri(ask.target).header(HOST, ask.host);
    if has_body {
        request = request.header(CONTENT_TYPE, "application/json");
    }
    let request = request.body(body).map_err(|error| error.to_string())?;
    let response = sender.send_request(request).await.map_err(|error| told(&error))?;
    let status = response.status();
    let body = Limited::new(response.into_body(), ANSWER_LIMIT).collect().await;
    Ok((status, body.map_err(|error| told(&error))?.to_bytes()))
}

/// A body that does not tell its length, which is then sent in chunks.
struct OfNoLength(Full<Bytes>);

impl Body for OfNoLength {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: std::pin::Pin<&mut Self>,
        context: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        std::pin::Pin::new(&mut self.0).poll_frame(context)
    }
    fn size_hint(&self) -> SizeHint {
        SizeHint::default()
    }
}

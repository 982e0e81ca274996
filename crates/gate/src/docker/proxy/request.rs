//! The request that the daemon gets: written anew from the route that was decided, never from the bytes that came.

use hyper::header::{self, HeaderMap, HeaderName, HeaderValue};

use crate::docker::route::{Effect, Route};

/// Headers that are about a connection and not about the request (RFC 9110, section 7.6.1), and those that are set anew.
const OF_THE_CONNECTION: [&str; 11] = [
    "connection",
    "content-length",
    "expect",
    "host",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
];

/// Bodies that are archives and streams: decided by their route, sent on as they come. All others are read whole.
const STREAMS: [&str; 6] = [
    "POST /build",
    "POST /images/load",
    "POST /images/create",
    "POST /plugins/create",
    "PUT /containers/{}/archive",
    "POST /containers/{}/attach",
];

pub(super) fn is_stream(route: &Route) -> bool {
    STREAMS.contains(&route.pattern.as_str()) || route.effect == Effect::BuildStream
}

/// Whether the daemon may turn the connection into a plain stream.
pub(super) fn may_upgrade(route: &Route) -> bool {
    matches!(route.effect, Effect::Attaches | Effect::StartsExec | Effect::BuildStream)
}

/// Path and query of a route, each part escaped so that it is read as what was decided.
pub(super) fn target(route: &Route) -> String {
    let mut target = String::new();
    if let Some((major, minor)) = route.version {
        target.push_str(&format!("/v{major}.{minor}"));
    }
    let path = route.pattern.split_once(' ').map_or("", |(_, path)| path);
    let mut parameters = route.parameters.iter();
    for part in path.split('/').skip(1) {
        target.push('/');
        match part {
            "{}" | "{*}" => escape(parameters.next().map_or("", String::as_str), b"/:@", &mut target),
            word => target.push_str(word),
        }
    }
    for (at, (key, value)) in route.query.iter().enumerate() {
        target.push(if at == 0 { '?' } else { '&' });
        escape(key, b"", &mut target);
        target.push('=');
        escape(value, b"", &mut target);
    }
    target
}

/// Percent-encodes all but the unreserved characters (RFC 3986, section 2.3) and those that are named.
fn escape(text: &str, plain: &[u8], to: &mut String) {
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => to.push(byte.into()),
            byte if plain.contains(&byte) => to.push(byte.into()),
            byte => to.push_str(&format!("%{byte:02X}")),
        }
    }
}

/// The protocol that a client wants to go on in (RFC 9110, section 7.8).
pub(super) fn upgrade(headers: &HeaderMap) -> Option<HeaderValue> {
    let asked = named_by_connection(headers).any(|name| name.eq_ignore_ascii_case("upgrade"));
    let protocol =
        headers.get(header::UPGRADE).filter(|_| headers.get_all(header::UPGRADE).iter().count() == 1);
    protocol.filter(|_| asked).cloned()
}

/// Takes away what is about the connection that a message came over.
pub(super) fn take_off_connection(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> =
        named_by_connection(headers).filter_map(|name| name.parse::<HeaderName>().ok()).collect();
    for name in named {
        headers.remove(name);
    }
    for name in OF_THE_CONNECTION {
        // The length of an answer stays: to a HEAD it is the answer.
        if name != "content-length" {
            headers.remove(name);
        }
    }
    headers.remove(header::UPGRADE);
}

fn named_by_connection(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    let lists = headers.get_all(header::CONNECTION).iter().filter_map(|value| value.to_str().ok());
    lists.flat_map(|list| list.split(',')).map(str::trim)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::docker::route;

    #[test]
    fn what_is_sent_reads_back_as_what_was_decided() {
        for (method, uri, sent) in [
            (
                "POST",
                "http://x/v1.41/%63ontainers/create?name=a%20b+c&x",
                "/v1.41/containers/create?name=a%20b%20c&x=",
            ),
            ("GET", "/containers/a%3Fb%23c%25%2e/json", "/containers/a%3Fb%23c%25./json"),
            ("GET", "/v1.4.1/images/r:5000/a@sha256:b/json", "/v1.0/images/r:5000/a@sha256:b/json"),
            ("GET", "/networks/", "/networks/"),
            (
                "GET",
                "/containers/json?filters=%7B%22a%22%3A1%7D&all=1",
                "/containers/json?filters=%7B%22a%22%3A1%7D&all=1",
            ),
            ("GET", "/events?since=1&since=2&%26=%3D", "/events?since=1&since=2&%26=%3D"),
        ] {
            let read = route::read(method, uri).expect(uri);
            let target = target(&read);
            assert_eq!(target, sent);
            assert_eq!(route::read(method, &target).as_ref(), Ok(&read), "{uri}");
        }
    }

    #[test]
    fn headers_of_the_connection_stay_on_it() {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("connection", "X-Secret, upgrade"),
            ("x-secret", "1"),
            ("upgrade", "tcp"),
            ("te", "trailers"),
            ("x-registry-auth", "e30="),
        ] {
            headers.append(name, HeaderValue::from_static(value));
        }
        assert_eq!(upgrade(&headers), Some(HeaderValue::from_static("tcp")));
        take_off_connection(&mut headers);
        assert_eq!(headers.keys().map(HeaderName::as_str).collect::<Vec<_>>(), ["x-registry-auth"]);
    }

    #[test]
    fn an_upgrade_that_the_connection_does_not_name_is_none() {
        let mut headers = HeaderMap::new();
        headers.append("upgrade", HeaderValue::from_static("tcp"));
        assert_eq!(upgrade(&headers), None);
        headers.append("connection", HeaderValue::from_static("keep-alive, Upgrade"));
        headers.append("upgrade", HeaderValue::from_static("h2c"));
        assert_eq!(upgrade(&headers), None);
    }
}

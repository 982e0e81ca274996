//! Which routes are let through at all, and for whom. What is let through is then decided like any other request: that a
//! route is named here makes no dangerous container sound.
//!
//! A pattern stands for the name of an effect (`reads`, `creates-container`) or for a row of the table of routes (`GET
//! /containers/{}/logs`); `*` in it stands for any characters.

use policy::pattern::Pattern;

use crate::docker::route::{self, Route};

/// A client asks these before anything else, to find the version of the API; they tell nothing of any container.
const ALWAYS: [&str; 3] = ["GET /_ping", "HEAD /_ping", "GET /version"];

pub(super) fn is_let_through<'a>(route: &Route, patterns: impl IntoIterator<Item = &'a Pattern>) -> bool {
    ALWAYS.contains(&route.pattern.as_str()) || patterns.into_iter().any(|p| p.matches(&route.pattern))
}

/// Whether a pattern stands for any route at all.
pub fn stands_for_a_route(pattern: &Pattern) -> bool {
    route::rows().any(|row| pattern.matches(&row))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn let_through(patterns: &[&str], method: &str, uri: &str) -> bool {
        let patterns: Vec<Pattern> = patterns.iter().map(|p| Pattern::new(*p)).collect();
        is_let_through(&route::read(method, uri).expect(uri), &patterns)
    }

    #[test]
    fn what_is_not_named_is_not_let_through() {
        assert!(let_through(&[], "GET", "/_ping"));
        assert!(let_through(&[], "HEAD", "/_ping"));
        assert!(let_through(&[], "GET", "/v1.41/version"));
        for (method, uri) in [("GET", "/containers/json"), ("GET", "/events"), ("POST", "/containers/create")]
        {
            assert!(!let_through(&[], method, uri), "{method} {uri}");
        }
    }

    #[test]
    fn effects_and_rows_are_named() {
        let traefik = ["GET /containers/json", "GET /containers/{}/json", "GET /events"];
        assert!(let_through(&traefik, "GET", "/v1.41/containers/json?all=1"));
        assert!(let_through(&traefik, "GET", "/v1.41/containers/abc/json"));
        assert!(!let_through(&traefik, "GET", "/v1.41/containers/abc/logs"));
        assert!(!let_through(&traefik, "POST", "/v1.41/containers/json"));
        assert!(let_through(&["reads"], "GET", "/containers/abc/json"));
        assert!(!let_through(&["reads"], "GET", "/containers/abc/logs"), "which is reads-content");
        assert!(let_through(&["GET /containers/*"], "GET", "/containers/abc/logs"));
        assert!(!let_through(&["GET /containers/*"], "GET", "/images/json"));
    }

    #[test]
    fn a_name_with_a_slash_does_not_make_another_row() {
        assert!(!let_through(&["GET /images/{*}/json"], "GET", "/images/a/get"));
        assert!(!let_through(&["GET /containers/json"], "GET", "/containers/json/json"));
    }

    #[test]
    fn a_pattern_that_stands_for_nothing_is_told_apart() {
        assert!(stands_for_a_route(&Pattern::new("reads")));
        assert!(stands_for_a_route(&Pattern::new("GET /containers/*/logs")));
        assert!(!stands_for_a_route(&Pattern::new("get /containers/json")));
        assert!(!stands_for_a_route(&Pattern::new("read")));
    }
}

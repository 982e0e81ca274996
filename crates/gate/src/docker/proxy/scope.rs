//! Which routes are let through at all, and for whom. What is let through is then decided like any other request: that a
//! route is named here makes no dangerous container sound.

use policy::doors::Routes;

use crate::docker::gate::kind;
use crate::docker::route::{self, Route};

/// A client asks these before anything else, to find the version of the API; they tell nothing of any container.
const ALWAYS: [&str; 3] = ["GET /_ping", "HEAD /_ping", "GET /version"];

pub(super) fn is_let_through<'a>(route: &Route, allowed: impl IntoIterator<Item = &'a Routes>) -> bool {
    let kind = kind(route).row().key;
    ALWAYS.contains(&route.pattern.as_str()) || allowed.into_iter().any(|r| r.hold(kind, &route.pattern))
}

/// Whether there is any route that is meant.
pub fn stand_for_a_route(routes: &Routes) -> bool {
    policy::doors::docker::ROWS.iter().any(|row| row.key == routes.as_str())
        || route::rows().any(|row| routes.hold("", &row))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn let_through(routes: &[&str], method: &str, uri: &str) -> bool {
        let routes: Vec<Routes> = routes.iter().map(|r| Routes::parse(r).expect(r)).collect();
        is_let_through(&route::read(method, uri).expect(uri), &routes)
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
    fn kinds_and_rows_are_named() {
        let traefik = ["GET /containers/json", "GET /containers/{}/json", "GET /events"];
        assert!(let_through(&traefik, "GET", "/v1.41/containers/json?all=1"));
        assert!(let_through(&traefik, "GET", "/v1.41/containers/abc/json"));
        assert!(!let_through(&traefik, "GET", "/v1.41/containers/abc/logs"));
        assert!(!let_through(&traefik, "POST", "/v1.41/containers/create"));
        assert!(let_through(&["read"], "GET", "/containers/abc/json"));
        assert!(!let_through(&["read"], "GET", "/containers/abc/logs"), "which is read-content");
        assert!(let_through(&["GET /containers/*"], "GET", "/containers/abc/logs"));
        assert!(!let_through(&["GET /containers/*"], "GET", "/images/json"));
        assert!(!let_through(&["build"], "POST", "/build?version=2"), "which is build-stream");
    }

    #[test]
    fn a_name_with_a_slash_does_not_make_another_row() {
        assert!(!let_through(&["GET /images/{*}/json"], "GET", "/images/a/json/get"));
    }

    #[test]
    fn routes_that_there_are_none_of_are_told_apart() {
        let stand = |text| stand_for_a_route(&Routes::parse(text).expect(text));
        assert!(stand("read") && stand("GET /containers/*/logs") && stand("* /volumes*"));
        assert!(!stand("GET /containers/logs") && !stand("PUT /containers/json"));
    }
}

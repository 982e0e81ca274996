//! Known images: the table is sound, references find the right row, and remedies cost and say what the row says.

mod support;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use confinement::{Capability, CapabilitySet, Confinement, HostPath};
use serde_json::{Value, json};
use techniques::needs::{
    self, Confidence, NON_ROOT, NoNewPrivileges, UserKind, advice_note, extra_cost, is_free_port, looks_like,
    of,
};
use techniques::remedy::{LimitKind, Remedy};

fn confinement(given: &str) -> Arc<Confinement> {
    under(None, given)
}

fn under(assume: Option<&str>, given: &str) -> Arc<Confinement> {
    on(assume, given, json!({}))
}

fn on(assume: Option<&str>, given: &str, host: Value) -> Arc<Confinement> {
    let facts: HashMap<String, Value> = host.as_object().unwrap().clone().into_iter().collect();
    support::world(given, assume, &facts).subjects[0].confinement.clone()
}

fn pod(image: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Pod\nmetadata: {{name: p}}\nspec: {{containers: [{{name: c, image: '{image}'}}]}}"
    )
}

// ---- the table ----------------------------------------------------------------------------------------------

#[test]
fn every_row_names_its_source_and_the_paths_of_its_images() {
    assert!(needs::all().count() >= 35);
    for row in needs::all() {
        let name = &row.image;
        assert!(row.source.len() > 15, "{name}: {:?} is no source", row.source);
        assert!(!row.paths.is_empty(), "{name}");
        for path in &row.paths {
            assert!(
                path.split_once('/').is_some_and(|(a, b)| !a.is_empty() && !b.is_empty()),
                "{name}: {path}"
            );
            assert!(!path.contains(['.', ':', '@']), "{name}: {path} names a registry, a tag or a digest");
        }
        if row.confidence == Confidence::Recalled {
            assert!(row.recalled.is_empty(), "{name}: all of it is recalled");
        }
        const MEMBERS: [&str; 9] =
            ["user", "capabilities", "optional", "bounding", "scratch", "volumes", "data", "memory", "pids"];
        for member in &row.recalled {
            assert!(MEMBERS.contains(&&**member), "{name}: {member} is no member");
        }
    }
}

#[test]
fn every_row_agrees_with_itself() {
    for row in needs::all() {
        let name = &row.image;
        let user = &row.user;
        assert_eq!(user.kind == UserKind::Changes, user.changes.is_some(), "{name}");
        assert!(user.kind != UserKind::Named || user.ids.is_some(), "{name}: whom does it name?");
        assert!(user.alpine.is_none() || user.ids.is_some(), "{name}");
        for (uid, _) in user.ids.iter().chain(&user.alpine) {
            assert_ne!(*uid, 0, "{name}");
        }
        if user.kind == UserKind::Named {
            assert!(row.capabilities.is_empty(), "{name} is not started as root");
        }
        assert!(row.low_port.is_none_or(|port| port < 1024), "{name}");
        if let Some(instead) = &user.instead {
            assert!(of(instead).is_some_and(|i| matches!(i.user.kind, UserKind::Named)), "{name}: {instead}");
        }
        let both = |a: CapabilitySet, b: CapabilitySet| a.0 & b.0;
        assert_eq!(both(row.capabilities, row.optional), 0, "{name}");
        let mut seen = HashSet::new();
        for path in row.scratch.iter().chain(&row.volumes).chain(&row.data).chain(&row.edited) {
            assert_eq!(HostPath::new(path).as_str(), path, "{name}: {path} is not normalised");
            assert!(seen.insert(path), "{name}: {path} twice");
        }
    }
}

#[test]
fn rows_of_one_image_and_variant_divide_its_versions_between_them() {
    let mut groups: HashMap<(&str, Option<&str>), Vec<&needs::ImageNeeds>> = HashMap::new();
    for row in needs::all() {
        for path in &row.paths {
            groups.entry((path, row.variant.as_deref())).or_default().push(row);
        }
    }
    for ((path, variant), rows) in groups {
        let since: HashSet<_> = rows.iter().filter_map(|r| r.since.as_ref()).collect();
        let before: HashSet<_> = rows.iter().filter_map(|r| r.before.as_ref()).collect();
        assert!(rows.len() == 1 || since == before, "{path} {variant:?}: {since:?} and {before:?}");
    }
}

// ---- references ---------------------------------------------------------------------------------------------

#[test]
fn a_reference_finds_the_image_it_names_and_no_other() {
    const DIGEST: &str = "@sha256:0123456789012345678901234567890123456789012345678901234567890123";
    let table: &[(&str, Option<&str>)] = &[
        // Every spelling of an official image.
        ("nginx", Some("nginx")),
        ("nginx:1.27-alpine", Some("nginx")),
        ("library/nginx", Some("nginx")),
        ("docker.io/nginx", Some("nginx")),
        ("docker.io/library/nginx:latest", Some("nginx")),
        ("index.docker.io/library/nginx", Some("nginx")),
        ("docker://docker.io/library/nginx:1", Some("nginx")),
        (" nginx ", Some("nginx")),
        // Mirrors keep the path.
        ("registry.example/library/nginx:1.27", Some("nginx")),
        ("registry.example:5000/library/nginx", Some("nginx")),
        ("localhost/library/nginx", Some("nginx")),
        ("localhost:5000/library/nginx:1", Some("nginx")),
        ("harbor.example/hub/library/nginx", Some("nginx")),
        ("registry.example/docker/library/postgres:17", Some("postgres-before-18")),
        ("registry.example/grafana/grafana:11.2.0", Some("grafana")),
        // The same name by others.
        ("acme/nginx", None),
        ("docker.io/acme/nginx", None),
        ("registry.example/nginx", None),
        ("registry.example/acme/nginx", None),
        ("localhost:5000/nginx", None),
        ("bitnami/postgresql", None),
        ("bitnami/redis:7.4", None),
        ("acme/library/nginx", None),
        ("registry.example/mylibrary/nginx", None),
        ("nginx-proxy", None),
        ("mynginx", None),
        ("jwilder/nginx-proxy", None),
        ("grafana", None),
        ("", None),
        (":", None),
        ("@", None),
        ("/", None),
        // Publishers.
        ("nginxinc/nginx-unprivileged:1.27", Some("nginx-unprivileged")),
        ("registry.example/nginxinc/nginx-unprivileged", Some("nginx-unprivileged")),
        ("prom/prometheus:v3.1.0", Some("prometheus")),
        ("registry.example/prometheus/prometheus", Some("prometheus")),
        ("docker.elastic.example/elasticsearch/elasticsearch:9.0.1", Some("elasticsearch")),
        // Versions.
        ("postgres", Some("postgres")),
        ("postgres:latest", Some("postgres")),
        ("postgres:alpine", Some("postgres")),
        ("postgres:18", Some("postgres")),
        ("postgres:18beta1", Some("postgres")),
        ("postgres:18.1-alpine3.22", Some("postgres")),
        ("postgres:17.6-bookworm", Some("postgres-before-18")),
        ("postgres:9", Some("postgres-before-18")),
        ("redis:8", Some("redis")),
        ("redis:8.0", Some("redis")),
        ("redis:8.0.2-bookworm", Some("redis")),
        ("redis:8.0.1", Some("redis-before-8.0.2")),
        ("redis:7.4-alpine", Some("redis-before-8.0.2")),
        ("haproxy:3.2", Some("haproxy")),
        ("haproxy:2.4-alpine", Some("haproxy")),
        ("haproxy:2", Some("haproxy")),
        ("haproxy:2.3.99", Some("haproxy-before-2.4")),
        ("haproxy:99999999999999999999", Some("haproxy")),
        ("influxdb:2.7", Some("influxdb")),
        ("influxdb:1.8", None),
        // Variants.
        ("php:8.4-apache-bookworm", Some("php-apache")),
        ("php:8.4-fpm-alpine3.22", Some("php-fpm")),
        ("php:8.4-cli", None),
        ("wordpress", Some("wordpress")),
        ("wordpress:6-php8.3-apache", Some("wordpress")),
        ("wordpress:6.8-php8.3-fpm-alpine", Some("wordpress-fpm")),
    ];
    for (reference, row) in table {
        assert_eq!(of(reference).map(|n| n.image.as_str()), *row, "{reference}");
        if !reference.trim().is_empty() && !reference.contains(['@']) {
            let pinned = format!("{}{DIGEST}", reference.trim());
            assert_eq!(of(&pinned).map(|n| n.image.as_str()), *row, "{pinned}");
        }
    }
    // A digest alone says nothing of the version.
    assert_eq!(of(&format!("postgres{DIGEST}")).map(|n| n.image.as_str()), Some("postgres"));
}

#[test]
fn the_same_name_by_another_publisher_only_looks_like_the_image() {
    for (reference, row) in [
        ("acme/nginx:1", Some("nginx")),
        ("registry.example/redis:7", Some("redis-before-8.0.2")),
        ("nginx", None),
        ("acme/webshop", None),
    ] {
        assert_eq!(looks_like(reference).map(|n| n.image.as_str()), row, "{reference}");
    }
    let c = confinement("docker run -v data:/data acme/postgres:17");
    assert_eq!(needs::user(&c), NON_ROOT);
    assert_eq!(needs::writable_paths(&c), ["/tmp", "/run"]);
    assert_eq!(extra_cost(&Remedy::RunAsNonRoot, &c), 2);
    let note = advice_note(&Remedy::RunAsNonRoot, &c).unwrap();
    assert!(
        note.starts_with("acme/postgres looks like postgres, and is not known to be; postgres takes"),
        "{note}"
    );
    assert_eq!(advice_note(&Remedy::ReadOnlyRootfs, &c), None);
}

// ---- values -------------------------------------------------------------------------------------------------

#[test]
fn the_user_is_the_images_own_under_its_variant() {
    for (image, ids) in [
        ("postgres:17", (999, 999)),
        ("postgres:17-alpine", (70, 70)),
        ("postgres:18-alpine3.22", (70, 70)),
        ("redis:8-alpine", (999, 1000)),
        ("memcached", (11211, 11211)),
        ("grafana/grafana", (472, 0)),
        ("golang", NON_ROOT),
        ("acme/app", NON_ROOT),
    ] {
        assert_eq!(needs::user(&confinement(&format!("docker run {image}"))), ids, "{image}");
    }
}

#[test]
fn paths_are_writable_where_no_mount_lies_already() {
    let paths = |given: &str| needs::writable_paths(&confinement(given));
    assert_eq!(paths("docker run nginx"), ["/var/cache/nginx", "/run", "/tmp"]);
    assert_eq!(paths("docker run --tmpfs /tmp nginx"), ["/var/cache/nginx", "/run"]);
    assert_eq!(
        paths("docker run -v /srv/run:/var/run -v c:/var/cache nginx"),
        ["/tmp"],
        "links, and folders above"
    );
    assert_eq!(paths("docker run -v /srv/x:/run/x nginx"), ["/var/cache/nginx", "/run", "/tmp"]);
    assert_eq!(paths("docker run acme/app"), ["/tmp", "/run"]);
    assert!(paths("docker run memcached").is_empty());
    // Docker makes the image's volumes by itself; a pod may keep what lies there in an emptyDir.
    assert_eq!(paths("docker run postgres:17"), ["/run/postgresql", "/tmp"]);
    let in_pod = confinement(&pod("postgres:17"));
    assert_eq!(needs::writable_paths(&in_pod), ["/run/postgresql", "/tmp", "/var/lib/postgresql/data"]);
}

#[test]
fn data_that_a_tmpfs_would_lose_or_hide_wants_a_volume() {
    let wants = |given: &str| needs::wants_volumes(&confinement(given));
    assert_eq!(wants("docker run grafana/grafana"), ["/var/lib/grafana"]);
    assert!(wants("docker run -v g:/var/lib/grafana grafana/grafana").is_empty());
    assert!(wants(&pod("grafana/grafana")).is_empty());
    assert_eq!(wants(&pod("cassandra")), ["/etc/cassandra"], "an emptyDir would hide the image's files");
    assert!(wants("docker run postgres").is_empty(), "the image declares it");
    assert!(wants("docker run acme/app").is_empty());
}

#[test]
fn limits_are_no_lower_than_the_image_is_documented_to_need() {
    let limit = |kind, image: &str| needs::limit(kind, &confinement(&format!("docker run {image}")));
    assert_eq!(limit(LimitKind::Pids, "sonarqube"), 8192);
    assert_eq!(limit(LimitKind::Memory, "cassandra"), 8 << 30);
    assert_eq!(limit(LimitKind::Pids, "nginx"), 512);
    assert_eq!(limit(LimitKind::Memory, "nginx"), 1 << 30);
    assert_eq!(limit(LimitKind::Cpu, "acme/app"), 2000);
}

#[test]
fn low_ports_are_free_where_the_engine_or_the_container_says_so() {
    let free = |assume: Option<&str>, given: &str| is_free_port(80, &under(assume, given));
    assert!(free(None, "docker run nginx"));
    assert!(free(Some("docker-20.10"), "docker run nginx"));
    assert!(!free(None, "podman run nginx"));
    assert!(free(None, "podman run --sysctl net.ipv4.ip_unprivileged_port_start=0 nginx"));
    assert!(free(None, "podman run --sysctl net/ipv4/ip_unprivileged_port_start=80 nginx"));
    assert!(!free(None, "docker run --sysctl net.ipv4.ip_unprivileged_port_start=1024 nginx"));
    assert!(free(Some("containerd-2"), &pod("nginx")));
    assert!(!free(Some("containerd-1.7"), &pod("nginx")));
    assert!(!free(Some("crio-1.36"), &pod("nginx")));
    assert!(!free(None, "docker run --network host nginx"));
    assert!(!free(None, "docker run --network container:other nginx"));
    let host = json!({"sysctl": {"net.ipv4.ip_unprivileged_port_start": "0"}});
    assert!(is_free_port(80, &on(None, "docker run --network host nginx", host)));
    assert!(is_free_port(8080, &confinement("podman run nginx")));
}

// ---- costs --------------------------------------------------------------------------------------------------

#[test]
fn going_against_what_an_image_needs_is_dear() {
    use Capability::{CHOWN, NET_BIND_SERVICE, NET_RAW, SETUID, SYS_NICE};
    let drop = Remedy::DropCapability;
    let keep = |list: &[Capability]| Remedy::KeepCapabilities(CapabilitySet::of(list));
    let cost = |remedy: Remedy, given: &str| extra_cost(&remedy, &confinement(given));
    // A user.
    assert_eq!(cost(Remedy::RunAsNonRoot, "docker run memcached"), 0);
    assert_eq!(cost(Remedy::RunAsNonRoot, "docker run postgres"), 0);
    assert_eq!(cost(Remedy::RunAsNonRoot, "docker run -v data:/var/lib/postgresql postgres"), 1);
    assert_eq!(cost(Remedy::RunAsNonRoot, "docker run --tmpfs /tmp -v /etc/x:/x:ro postgres"), 0);
    assert_eq!(cost(Remedy::RunAsNonRoot, "docker run acme/app"), 2);
    assert_eq!(cost(Remedy::RunAsNonRoot, "docker run nginx"), 3);
    assert_eq!(cost(Remedy::RunAsNonRoot, "docker run httpd"), 5);
    assert_eq!(cost(Remedy::RunAsNonRoot, "docker run php:apache"), 0);
    assert_eq!(cost(Remedy::RunAsNonRoot, "podman run php:apache"), 3, "port 80 is not free there");
    // Capabilities.
    assert_eq!(cost(drop(SETUID), "docker run postgres"), 5);
    assert_eq!(cost(drop(SETUID), "docker run --user 999 postgres"), 0);
    assert_eq!(cost(drop(SETUID), "docker run acme/app"), 1);
    assert_eq!(cost(drop(NET_RAW), "docker run acme/app"), 0);
    assert_eq!(cost(drop(NET_RAW), "docker run postgres"), 0);
    assert_eq!(cost(drop(SYS_NICE), "docker run --cap-add SYS_NICE mysql"), 1);
    assert_eq!(cost(drop(NET_BIND_SERVICE), "docker run nginx"), 0);
    assert_eq!(cost(drop(NET_BIND_SERVICE), "podman run nginx"), 5);
    assert_eq!(cost(drop(NET_BIND_SERVICE), "docker run caddy"), 6);
    assert_eq!(cost(drop(NET_BIND_SERVICE), "docker run --user 1000 caddy"), 6);
    assert_eq!(cost(keep(&[CHOWN]), "docker run nginx"), 5);
    assert_eq!(cost(keep(&[CHOWN, SETUID, Capability::SETGID]), "docker run nginx"), 0);
    assert_eq!(cost(keep(&[]), "docker run memcached"), 0);
    assert_eq!(cost(Remedy::RemoveAllCapabilities, "docker run --cap-add ALL mysql"), 1, "SYS_NICE");
    // The root file system.
    assert_eq!(cost(Remedy::ReadOnlyRootfs, "docker run nginx"), 0);
    assert_eq!(cost(Remedy::ReadOnlyRootfs, "docker run acme/app"), 2);
    assert_eq!(cost(Remedy::ReadOnlyRootfs, "docker run python:3"), 2, "its program is not known");
    assert_eq!(cost(Remedy::ReadOnlyRootfs, "docker run grafana/grafana"), 4);
    // no_new_privs.
    assert_eq!(cost(Remedy::NoNewPrivileges, "docker run postgres"), 0);
    assert_eq!(cost(Remedy::NoNewPrivileges, "docker run --user 1000 caddy"), 0, "port 80 is free");
    assert_eq!(cost(Remedy::NoNewPrivileges, "podman run --user 1000 caddy"), 6);
    // What has nothing to do with the image.
    assert_eq!(
        cost(Remedy::PrivateNamespace(confinement::NamespaceKind::Pid), "docker run --pid host nginx"),
        0
    );
}

#[test]
fn an_unknown_bounding_set_may_have_what_the_image_needs() {
    let given = "services: {a: {image: postgres, cap_add: ['${NEEDED:?}']}}";
    let context = support::context(None, &HashMap::new());
    let world =
        sources::gather::text(given.as_bytes(), std::path::Path::new("/srv/case/case.yaml"), &context);
    let c = &world.subjects[0].confinement;
    assert_eq!(extra_cost(&Remedy::KeepCapabilities(CapabilitySet::EMPTY), c), 5);
}

#[test]
fn notes_say_what_the_image_takes() {
    let note = |remedy: Remedy, given: &str| advice_note(&remedy, &confinement(given)).unwrap_or_default();
    assert_eq!(
        note(Remedy::RunAsNonRoot, "docker run -v data:/var/lib/postgresql postgres"),
        "postgres takes the user 999:999; the files in its volumes must belong to that user"
    );
    assert_eq!(
        note(Remedy::RunAsNonRoot, "docker run memcached"),
        "memcached runs as 11211:11211 of itself; saying so holds it to that"
    );
    let nginx = note(Remedy::RunAsNonRoot, "docker run nginx");
    assert!(
        nginx.contains("101:101 with its `pid`")
            && nginx.ends_with("nginxinc/nginx-unprivileged takes it as it is"),
        "{nginx}"
    );
    assert!(note(Remedy::RunAsNonRoot, "podman run php:apache").contains("port 80 is not free"));
    assert_eq!(
        note(Remedy::DropCapability(Capability::SETUID), "docker run postgres"),
        "postgres needs SETUID when it is started as root, and none under a user of its own"
    );
    assert!(
        note(Remedy::DropCapability(Capability::NET_BIND_SERVICE), "docker run caddy")
            .contains("does not start")
    );
    assert_eq!(note(Remedy::DropCapability(Capability::NET_RAW), "docker run postgres"), "");
    assert_eq!(
        note(Remedy::ReadOnlyRootfs, "docker run nginx"),
        "nginx writes to /var/cache/nginx, /run and /tmp"
    );
    assert!(note(Remedy::ReadOnlyRootfs, "docker run grafana/grafana").contains("want a volume"));
    assert!(note(Remedy::NoNewPrivileges, "docker run redis").contains("setuid(2)"));
    assert_eq!(note(Remedy::RunAsNonRoot, "docker run acme/app"), "");
    let in_pod = "apiVersion: v1\nkind: Pod\nmetadata: {name: p}\nspec:\n  volumes: [{name: d, hostPath: {path: /srv/d}}]\n  \
                  containers: [{name: c, image: 'postgres:17', volumeMounts: [{name: d, mountPath: /var/lib/postgresql/data}]}]";
    assert_eq!(
        note(Remedy::RunAsNonRoot, in_pod),
        "postgres takes the user 999:999; it must be able to write to its volumes (`fsGroup`)"
    );
}

#[test]
fn no_image_of_the_table_is_said_to_break_under_no_new_privileges_without_a_word_why() {
    for row in needs::all().filter(|row| row.no_new_privileges == NoNewPrivileges::Breaks) {
        assert!(row.notes.is_some(), "{}", row.image);
    }
}

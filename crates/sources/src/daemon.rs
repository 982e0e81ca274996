//! dockerd's configuration file, `daemon.json`: what it changes for every container of its engine. It is a subject
//! of its own, judged as a container that asks for nothing; given beside Compose files and command lines it changes
//! the engine that they are judged under ([`apply`]).
//!
//! Source: dockerd(8) and moby daemon/config (config.go, config_linux.go), which refuses a file with a key that it
//! does not know.

use std::sync::Arc;

use confinement::confine::SeccompRequest;
use confinement::engine::{SeccompDefault, TcpApi};
use confinement::{
    Engine, EngineKind, Fact, Form, Origin, Problem, Request, Subject, SubjectKind, World, confine,
};

use crate::Context;
use crate::document::{Document, Node};
use crate::fields::Fields;
use crate::{options, run};

/// The keys of daemon.json on Linux, moby 20.10 to 29.
const KEYS: &[&str] = &[
    "allow-direct-routing",
    "allow-nondistributable-artifacts",
    "api-cors-header",
    "authorization-plugins",
    "bip",
    "bip6",
    "bridge",
    "bridge-accept-fwmark",
    "builder",
    "cdi-spec-dirs",
    "cgroup-parent",
    "cluster-advertise",
    "cluster-store",
    "cluster-store-opts",
    "config-file",
    "containerd",
    "containerd-namespace",
    "containerd-plugin-namespace",
    "cpu-rt-period",
    "cpu-rt-runtime",
    "cri-containerd",
    "data-root",
    "debug",
    "default-address-pools",
    "default-cgroupns-mode",
    "default-gateway",
    "default-gateway-v6",
    "default-ipc-mode",
    "default-network-opts",
    "default-runtime",
    "default-shm-size",
    "default-ulimits",
    "deprecated-key-path",
    "dns",
    "dns-opts",
    "dns-search",
    "exec-opts",
    "exec-root",
    "experimental",
    "features",
    "firewall-backend",
    "fixed-cidr",
    "fixed-cidr-v6",
    "graph",
    "group",
    "host-gateway-ip",
    "host-gateway-ips",
    "hosts",
    "http-proxy",
    "https-proxy",
    "icc",
    "init",
    "init-path",
    "insecure-registries",
    "ip",
    "ip-forward",
    "ip-forward-no-drop",
    "ip-masq",
    "ip6tables",
    "iptables",
    "ipv6",
    "labels",
    "live-restore",
    "log-driver",
    "log-format",
    "log-level",
    "log-opts",
    "max-concurrent-downloads",
    "max-concurrent-uploads",
    "max-download-attempts",
    "metrics-addr",
    "mtu",
    "network-control-plane-mtu",
    "network-diagnostic-port",
    "no-new-privileges",
    "no-proxy",
    "node-generic-resources",
    "oom-score-adjust",
    "pidfile",
    "proxies",
    "raw-logs",
    "registry-mirrors",
    "rootless",
    "runtimes",
    "seccomp-profile",
    "selinux-enabled",
    "shutdown-timeout",
    "storage-driver",
    "storage-opts",
    "swarm-default-advertise-addr",
    "tls",
    "tlscacert",
    "tlscert",
    "tlskey",
    "tlsverify",
    "userland-proxy",
    "userland-proxy-path",
    "userns-remap",
    "validate",
];

/// Keys that no other kind of file has.
const OWN_KEYS: &[&str] = &[
    "authorization-plugins",
    "data-root",
    "default-address-pools",
    "default-cgroupns-mode",
    "default-ipc-mode",
    "default-runtime",
    "default-shm-size",
    "default-ulimits",
    "exec-opts",
    "icc",
    "insecure-registries",
    "live-restore",
    "log-driver",
    "log-opts",
    "no-new-privileges",
    "registry-mirrors",
    "seccomp-profile",
    "selinux-enabled",
    "storage-driver",
    "tlsverify",
    "userland-proxy",
    "userns-remap",
];

/// Whether a document is dockerd's configuration: it holds a key that only that has, or is called daemon.json and
/// holds one of its keys; and nearly all of its keys are dockerd's.
pub fn recognise(root: &Node, path: &str) -> bool {
    let keys: Vec<String> = root.entries().filter_map(|(key, _)| Some(key.as_str()?.to_owned())).collect();
    let known = keys.iter().filter(|key| KEYS.contains(&key.as_str())).count();
    let own = keys.iter().any(|key| OWN_KEYS.contains(&key.as_str()));
    let named = path.rsplit('/').next() == Some("daemon.json");
    // A misspelt key must not make the file one of no kind.
    known * 2 > keys.len() && (own || named)
}

/// The engine as the file sets it up.
pub fn read(document: &Document, context: &Context) -> World {
    let mut engine = (*context.docker).clone();
    let problems = apply(document, &mut engine);
    let request = Request::default();
    let confinement = confine(&request, &Arc::new(engine), &context.host);
    let subject = Subject {
        id: format!("{}#engine", document.path).into(),
        name: document.path.clone(),
        kind: SubjectKind::Engine,
        form: Form::Daemon,
        place: Some(document.root.place()),
        declared: Vec::new(),
        realm: options::local_realm(EngineKind::Docker),
        namespace: None,
        confinement: Arc::new(confinement),
        pod: None,
        labels: Default::default(),
        made: None,
    };
    World { subjects: vec![subject], problems, notes: Vec::new() }
}

/// Changes an engine to what the file says. An engine other than Docker's has no such file and stays as it is.
pub fn apply(document: &Document, engine: &mut Engine) -> Vec<Problem> {
    let mut fields = Fields::default();
    let root = &document.root;
    if engine.kind != EngineKind::Docker {
        return fields.problems;
    }
    if !root.is_mapping() {
        fields.wrong(root, "an object");
        return fields.problems;
    }
    for (key, _) in root.entries() {
        let name = key.as_str().unwrap_or("");
        if !KEYS.contains(&name) {
            let message = format!("`{name}` is no key of daemon.json; dockerd does not start with it");
            fields.problems.push(Problem::at(&key.place(), message));
        }
    }
    let settings = &mut engine.settings;
    for (key, setting) in [
        ("no-new-privileges", &mut settings.no_new_privileges),
        ("icc", &mut settings.inter_container),
        ("selinux-enabled", &mut settings.selinux_enabled),
        ("live-restore", &mut settings.live_restore),
        ("userland-proxy", &mut settings.userland_proxy),
        ("experimental", &mut settings.experimental),
        ("rootless", &mut settings.rootless),
        ("iptables", &mut settings.packet_filter),
    ] {
        if let Some(stated) = fields.boolean(root, key) {
            *setting = stated;
        }
    }
    for (key, setting) in [
        ("default-ipc-mode", &mut settings.default_ipc),
        ("log-driver", &mut settings.log_driver),
        ("cgroup-parent", &mut settings.cgroup_parent),
        ("log-level", &mut settings.log_level),
        ("storage-driver", &mut settings.storage_driver),
        ("tlscacert", &mut settings.tls.authority),
        ("tlscert", &mut settings.tls.certificate),
        ("tlskey", &mut settings.tls.key),
    ] {
        if let Some(stated) = filled(fields.text(root, key)) {
            *setting = Some(stated);
        }
    }
    if let Some(stated) = fields.text(root, "userns-remap") {
        settings.userns_remap = stated.map(|user| !user.is_empty());
    }
    if let Some(mode) = filled(fields.text(root, "default-cgroupns-mode")) {
        settings.default_cgroup_namespace_host = Some(match mode.get().map(|mode| &**mode) {
            Some("host") => Fact::known(true, mode.origin),
            Some("private") => Fact::known(false, mode.origin),
            _ => {
                let wrong =
                    mode.origin.place().map(|p| Problem::at(p, "`default-cgroupns-mode` is host or private"));
                fields.problems.extend(wrong.filter(|_| mode.is_known()));
                Fact::unknown(mode.origin)
            }
        });
    }
    if let Some(stated) = filled(fields.text(root, "seccomp-profile")) {
        settings.seccomp_profile = seccomp(stated, &document.path, &mut fields.problems);
    }
    settings.default_ulimits |= root.get("default-ulimits").is_some_and(|node| !node.is_empty());
    if let Some(list) = fields.texts(root, "authorization-plugins") {
        settings.authorization_plugins = list.map(|list| Arc::from(list.as_slice()));
    }
    if let Some(list) = fields.list(root, "insecure-registries") {
        settings.insecure_registries = list
            .iter()
            .map(|node| Fact { value: node.as_string_strict().map(Arc::from), origin: node.origin() })
            .collect();
    }
    if let Some(list) = fields.list(root, "storage-opts") {
        settings.storage_options = list
            .iter()
            .map(|node| Fact { value: node.as_string_strict().map(Arc::from), origin: node.origin() })
            .collect();
    }
    default_runtime(root, engine, &mut fields);
    hosts(root, engine, &mut fields);
    fields.problems
}

/// What is there and not an empty text, which is as good as absent to dockerd.
fn filled(stated: Option<Fact<Arc<str>>>) -> Option<Fact<Arc<str>>> {
    stated.filter(|fact| fact.get().is_none_or(|text| !text.is_empty()))
}

/// `builtin` is what holds without the key.
fn seccomp(stated: Fact<Arc<str>>, path: &str, problems: &mut Vec<Problem>) -> Option<Fact<SeccompDefault>> {
    let Some(name) = stated.value else { return Some(Fact::unknown(stated.origin)) };
    let default = match &*name {
        "builtin" => return None,
        "unconfined" => SeccompDefault::Unconfined,
        file => match run::read_file(&run::folder_of(path), file) {
            Err(_) => SeccompDefault::Unread(file.into()),
            Ok(json) => match options::seccomp_profile(file, &json) {
                Ok(SeccompRequest::Profile { name, profile }) => SeccompDefault::Profile { name, profile },
                Ok(_) => SeccompDefault::Unread(file.into()),
                Err(message) => {
                    problems.extend(stated.origin.place().map(|place| Problem::at(place, message)));
                    return Some(Fact::unknown(stated.origin));
                }
            },
        },
    };
    Some(Fact::known(default, stated.origin))
}

/// The runtime that containers get: the name, or the program that `runtimes` says it stands for.
fn default_runtime(root: &Node, engine: &mut Engine, fields: &mut Fields) {
    let runtimes = fields.object(root, "runtimes");
    let Some(stated) = filled(fields.text(root, "default-runtime")) else { return };
    let entry = stated.get().and_then(|name| runtimes?.get(name)).filter(Node::is_mapping);
    let program = entry.and_then(|entry| {
        let path = filled(fields.text(&entry, "path"));
        path.or_else(|| filled(fields.text(&entry, "runtimeType")))
    });
    engine.settings.default_runtime = Some(match program {
        // A program whose name says nothing (`/opt/x/run`) may still be called by a name that does.
        Some(program) if !says_nothing(&program) => Fact { value: program.value, origin: stated.origin },
        _ => stated,
    });
}

fn says_nothing(program: &Fact<Arc<str>>) -> bool {
    let runtime = program.get().map(|name| confinement::Runtime::parse(name));
    matches!(runtime, Some(confinement::Runtime::Other(_)))
}

/// TCP addresses that the API listens on. Without `tlsverify` nobody is asked for a certificate (`tls` alone only
/// encrypts).
fn hosts(root: &Node, engine: &mut Engine, fields: &mut Fields) {
    let verifies = match fields.boolean(root, "tlsverify") {
        Some(stated) => stated,
        None => Fact::known(false, Origin::Nowhere),
    };
    let node = root.get("hosts").filter(|node| !node.is_null());
    let Some(items) = fields.list(root, "hosts") else {
        engine.settings.tcp.extend(node.map(|node| Fact::unknown(node.origin())));
        return;
    };
    for item in items {
        let Some(address) = item.as_string_strict() else {
            fields.wrong(&item, "text");
            engine.settings.tcp.push(Fact::unknown(item.origin()));
            continue;
        };
        if !address.starts_with("tcp://") && address.contains("://") {
            continue;
        }
        engine.settings.tcp.push(Fact {
            value: verifies
                .value
                .map(|verifies_clients| TcpApi { address: address.into(), verifies_clients }),
            origin: item.origin(),
        });
    }
}

#[cfg(test)]
mod tests;

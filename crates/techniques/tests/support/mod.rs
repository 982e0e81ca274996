//! What cases say in short form, made into a world: a command line or a document, an engine, and a host.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

use confinement::host::{Installed, Listener};
use confinement::{Engine, EngineKind, Fact, Host, Origin, World};
use serde_json::Value;
use sources::{Context, gather, run};
use techniques::technique::Case;

fn said<T>(value: T) -> Fact<T> {
    Fact::known(value, Origin::assumed("the case says so"))
}

/// A host that is not in view, but for what the case says of it.
pub(crate) fn host(facts: &HashMap<String, Value>) -> Host {
    let mut host = Host::unseen();
    let mut lsms: Vec<Arc<str>> = Vec::new();
    let mut lsms_known = false;
    for (key, value) in facts {
        let flag = value.as_bool();
        match key.as_str() {
            "apparmor" | "selinux" => {
                lsms_known = true;
                if flag == Some(true) {
                    lsms.push(key.as_str().into());
                }
                if key == "selinux" {
                    host.selinux_enforcing = said(flag == Some(true));
                }
            }
            "cgroup" => host.cgroup_version = said(value.as_u64().unwrap_or(2) as u8),
            "kernel" => {
                let release: Arc<str> = value.as_str().expect("a kernel release is text").into();
                // Only the release, for what hangs on the version; its flaws are judged where `linux` names one.
                host.kernel_release = said(release);
            }
            "linux" => {
                let release: Arc<str> = value.as_str().expect("a kernel release is text").into();
                host.kernel_release = said(release.clone());
                host.kernel = said(Installed { version: Some(release), ..Installed::default() });
            }
            "sysctl" => {
                for (key, value) in value.as_object().expect("sysctls are a mapping") {
                    host.sysctls
                        .insert(key.as_str().into(), said(value.to_string().trim_matches('"').into()));
                }
            }
            "lockdown" => host.lockdown = said(value.as_str().expect("text").into()),
            "modules" => host.modules_loadable = said(flag == Some(true)),
            "cloud" => host.cloud = said(value.as_str().map(Arc::from)),
            "local-users" => host.local_users = said(flag == Some(true)),
            "listeners" => {
                let listeners = value.as_array().expect("listeners are a list").iter().map(|l| Listener {
                    daemon: l["daemon"].as_str().expect("daemon").into(),
                    address: l["address"].as_str().expect("address").into(),
                    local_only: l["local-only"] == Value::Bool(true),
                    authenticated: l.get("authenticated").and_then(Value::as_bool),
                });
                host.listeners = said(listeners.collect());
            }
            "kernel-options" => {
                for (key, value) in value.as_object().expect("options are a mapping") {
                    host.kernel_options.insert(key.as_str().into(), said(value == &Value::Bool(true)));
                }
            }
            "process-uids" => {
                let ids = value.as_array().expect("ids are a list").iter().filter_map(Value::as_u64);
                host.process_uids = said(ids.map(|id| id as u32).collect());
            }
            "components" => {
                for (key, value) in value.as_object().expect("components are a mapping") {
                    let version = value.as_str().expect("a version is text");
                    let installed = Installed { version: Some(version.into()), ..Installed::default() };
                    host.components.insert(key.as_str().into(), said(installed));
                }
            }
            other => panic!("a case says nothing by `{other}`"),
        }
    }
    if lsms_known {
        host.lsms = said(lsms.into());
    }
    host
}

pub(crate) fn context(assume: Option<&str>, facts: &HashMap<String, Value>) -> Context {
    let mut context = Context::assumed();
    if let Some(name) = assume {
        let engine = Arc::new(Engine::assumed(name).unwrap_or_else(|| panic!("no engine is named {name}")));
        match engine.kind {
            EngineKind::Docker => context.docker = engine,
            EngineKind::Podman => context.podman = engine,
            EngineKind::Containerd | EngineKind::Crio => context.kubernetes = engine,
        }
    }
    context.host = Arc::new(host(facts));
    context
}

/// The world of a case.
pub(crate) fn world(given: &str, assume: Option<&str>, facts: &HashMap<String, Value>) -> World {
    let context = context(assume, facts);
    let is_line = ["docker ", "podman "].iter().any(|c| given.trim_start().starts_with(c));
    let world = if is_line {
        run::read_line(given, &"case".into(), 1, &context)
    } else {
        // Relative names in a document start from a folder that is nothing special.
        let name = if given.trim_start().starts_with("FROM ") { "Dockerfile" } else { "case.yaml" };
        gather::text(given.as_bytes(), &PathBuf::from("/srv/case").join(name), &context)
    };
    assert!(world.problems.is_empty(), "{given}: {:?}", world.problems);
    assert!(!world.subjects.is_empty(), "{given}: nothing to judge");
    world
}

#[allow(dead_code, reason = "not every test file reads cases")]
pub(crate) fn case_world(case: &Case) -> World {
    world(&case.given, case.assume.as_deref(), &case.host)
}

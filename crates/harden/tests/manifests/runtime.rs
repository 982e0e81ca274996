//! Runtime configurations and daemon.json.

use confinement::{Capability, CapabilitySet, NamespaceKind, Subject};
use harden::daemon;
use harden::draft::Drafts;
use harden::tree::Value;
use std::sync::Arc;
use techniques::remedy::{LimitKind, Remedy};

use super::{check, effective, read, write};

const CONFIG: &str = include_str!("config.json");

fn every_remedy(subject: &Subject) -> Vec<Remedy> {
    let c = &subject.confinement;
    let mut list = vec![
        Remedy::KeepCapabilities(CapabilitySet::of(&[Capability::CHOWN])),
        Remedy::RunAsNonRoot,
        Remedy::NoNewPrivileges,
        Remedy::DefaultPaths,
        Remedy::RemoveControlApi,
        Remedy::ReadOnlyRootfs,
        Remedy::ReadOnlyCgroup,
        Remedy::RemoveDevice("/dev/sda".into()),
        Remedy::RemoveDeviceRule("b 8:* rwm".into()),
        Remedy::RemoveMount("/run/docker.sock".into()),
        Remedy::ReadOnlyMount("/etc/host".into()),
        Remedy::PrivatePropagation("/etc/host".into()),
    ];
    list.extend([LimitKind::Memory, LimitKind::Pids, LimitKind::Cpu].map(Remedy::Limit));
    list.extend([NamespaceKind::Net, NamespaceKind::Ipc, NamespaceKind::Uts].map(Remedy::PrivateNamespace));
    list.extend(c.sysctls.iter().map(|(name, _)| Remedy::RemoveSysctl(name.clone())));
    list.retain(|remedy| match remedy {
        Remedy::Limit(LimitKind::Pids) => c.limits.pids.get() == Some(&None),
        _ => true,
    });
    effective(subject, list)
}

#[test]
fn a_runtime_configuration_is_changed_in_its_own_style() {
    let done = check("config.json", CONFIG, &every_remedy);
    assert!(done.refusals.is_empty(), "{:?}", done.refusals);
    assert_eq!(done.after, include_str!("config.hardened.json"));
    let again = check("config.json", &done.after, &every_remedy);
    assert_eq!(again.after, done.after);
}

#[test]
fn a_runtime_configuration_on_one_line_stays_on_one_line() {
    let value: serde_json::Value = serde_json::from_str(CONFIG).unwrap();
    let line = serde_json::to_string(&value).unwrap();
    let done = check("config.json", &line, &every_remedy);
    assert!(done.refusals.is_empty(), "{:?}", done.refusals);
    assert!(!done.after.contains('\n'));
    let pretty: serde_json::Value = serde_json::from_str(include_str!("config.hardened.json")).unwrap();
    let after: serde_json::Value = serde_json::from_str(&done.after).unwrap();
    assert_eq!(after, pretty);
}

#[test]
fn the_engine_is_hardened_in_its_own_file() {
    let text = "{\n    \"hosts\": [\"unix:///var/run/docker.sock\"],\n    \"seccomp-profile\": \"unconfined\",\n    \
                \"default-cgroupns-mode\": \"host\",\n    \"log-driver\": \"journald\"\n}\n";
    let remedies = [
        Remedy::UserNamespace,
        Remedy::NoNewPrivileges,
        Remedy::SeccompDefault,
        Remedy::PrivateNamespace(NamespaceKind::Cgroup),
    ];
    let world = read("daemon.json", text);
    let all: Vec<(&Subject, &[Remedy])> = vec![(&world.subjects[0], &remedies)];
    let (after, refusals) = write(text, &all);
    assert!(refusals.is_empty(), "{refusals:?}");
    let wanted = "{\n    \"hosts\": [\"unix:///var/run/docker.sock\"],\n    \
                  \"default-cgroupns-mode\": \"private\",\n    \"log-driver\": \"journald\",\n    \
                  \"userns-remap\": \"default\",\n    \"no-new-privileges\": true\n}\n";
    assert_eq!(after, wanted);
    let now = read("daemon.json", &after);
    let c = &now.subjects[0].confinement;
    assert_eq!(c.user_namespace.initial.value, Some(false));
    assert_eq!(c.identity.no_new_privileges.value, Some(true));
    let all: Vec<(&Subject, &[Remedy])> = vec![(&now.subjects[0], &remedies)];
    assert_eq!(write(&after, &all).0, after);
}

#[test]
fn certificates_are_asked_for_only_where_there_are_some() {
    let open = "{\"hosts\": [\"tcp://0.0.0.0:2375\"]}\n";
    let remedies = [Remedy::EngineClientCertificates];
    let world = read("daemon.json", open);
    let (after, refusals) = write(open, &[(&world.subjects[0], &remedies)]);
    assert_eq!(after, open);
    assert!(refusals[0].problem.message.contains("`tlscacert`"), "{refusals:?}");
    let text = "{\n\t\"hosts\": [\"tcp://0.0.0.0:2376\"],\n\t\"tls\": true,\n\t\"tlscacert\": \"/a\",\n\t\
                \"tlscert\": \"/b\",\n\t\"tlskey\": \"/c\"\n}";
    let world = read("daemon.json", text);
    let (after, refusals) = write(text, &[(&world.subjects[0], &remedies)]);
    assert!(refusals.is_empty(), "{refusals:?}");
    assert_eq!(after, text.replace("\"/c\"\n}", "\"/c\",\n\t\"tlsverify\": true\n}"));
}

#[test]
fn keys_of_the_engine_are_set_one_after_the_other() {
    let read = |_: &str| Ok::<Arc<str>, String>("{}\n".into());
    let mut drafts = Drafts::new(&read);
    for (key, value) in [
        ("icc", Value::bool(false)),
        ("live-restore", Value::bool(true)),
        ("icc", Value::bool(false)),
        ("default-ulimits", Value::map([("nofile", Value::map([("Name", Value::text("nofile"))]))])),
    ] {
        daemon::set(&mut drafts, "daemon.json", key, &value).unwrap();
    }
    let wanted = "{\n  \"icc\": false,\n  \"live-restore\": true,\n  \"default-ulimits\": {\n    \"nofile\": {\n      \
                  \"Name\": \"nofile\"\n    }\n  }\n}\n";
    assert_eq!(&*drafts.finish().unwrap()[0].after, wanted);
}

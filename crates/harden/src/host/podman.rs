//! Podman's defaults for containers, as a file beside containers.conf(5).

use serde_json::Value as Json;

use super::daemon::name_of;
use super::disk::Disk;
use super::{FileProposal, Known, Proposal, Reason};

const FILE: &str = "/etc/containers/containers.conf.d/80-stockade.conf";
const HEADER: &str =
    "# Defaults that keep containers from the host and from each other, proposed by stockade.\n";

pub(super) fn propose(known: &Known<'_>, disk: &Disk<'_>, proposal: &mut Proposal) {
    let Some(running) = known.podman else { return };
    let containers: Vec<&Json> = running.raw.containers.iter().map(|c| &c.container).collect();
    let mut wanted: Vec<(Reason, Option<String>)> = Vec::new();
    let ipc = running.engine.settings.default_ipc.as_ref().and_then(|mode| mode.value.as_deref());
    if ipc != Some("private") {
        let joins = |container: &&&Json| {
            container["HostConfig"]["IpcMode"].as_str().is_some_and(|mode| mode.starts_with("container:"))
        };
        let joined: Vec<String> =
            containers.iter().filter(joins).map(|container| name_of(container)).collect();
        let reason = Reason::new(
            "ipcns = \"private\"",
            "no container joins the IPC of another that was not started for it; `shareable` is Podman's own default",
            &["shared-ipc-namespace"],
        );
        let breaks = (!joined.is_empty()).then(|| {
            format!("ipcns: those that {} join have to be started with `--ipc shareable`", joined.join(", "))
        });
        wanted.push((reason, breaks));
    }
    user_namespaces(known, disk, &containers, &mut wanted, proposal);
    let before = disk.read(FILE);
    let mut after = before.clone().unwrap_or_default();
    let mut reasons = Vec::new();
    for (reason, breaks) in wanted {
        if !is_set_elsewhere(disk, &reason) && put(&mut after, &reason) {
            proposal.breaks.extend(breaks);
            reasons.push(reason);
        }
    }
    if !reasons.is_empty() {
        proposal.files.push(FileProposal { path: FILE.into(), before, after, reasons });
    }
}

/// `userns = "auto"`: a range of its own for each container, from those of the user `containers`.
fn user_namespaces(
    known: &Known<'_>,
    disk: &Disk<'_>,
    containers: &[&Json],
    wanted: &mut Vec<(Reason, Option<String>)>,
    proposal: &mut Proposal,
) {
    let rootless = known.podman.is_some_and(|running| running.engine.settings.rootless.value == Some(true));
    if rootless || known.host.sysctl("user.max_user_namespaces").value == Some(0) {
        return;
    }
    let has_range = |path: &str| {
        let text = disk.read(path).unwrap_or_default();
        text.lines().any(|line| line.starts_with("containers:"))
    };
    if !has_range("/etc/subuid") || !has_range("/etc/subgid") {
        proposal.notes.push(
            "userns = \"auto\" in containers.conf gives each of Podman's containers ids of its own; it needs a range for \
             the user `containers` in /etc/subuid and /etc/subgid (`containers:2147483647:2147483648`, podman-run(1))"
                .into(),
        );
        return;
    }
    let mut held: Vec<String> = containers
        .iter()
        .filter(|container| {
            let mounts = container["Mounts"].as_array();
            let keeps = mounts.is_some_and(|mounts| {
                mounts.iter().any(|mount| matches!(mount["Type"].as_str(), Some("bind" | "volume")))
            });
            let host = &container["HostConfig"];
            let mapped = !host["IDMappings"].is_null();
            !mapped && (keeps || host["Privileged"].as_bool() == Some(true))
        })
        .map(|container| name_of(container))
        .collect();
    held.sort();
    if !held.is_empty() {
        proposal.notes.push(format!(
            "userns = \"auto\" would give each of Podman's containers ids of its own, and is left out: the files that {} \
             mount would belong to nobody there, unless mounted with `:U` or `:idmap`",
            held.join(", ")
        ));
        return;
    }
    let why = "root in a container is nobody on the host, and not the same nobody as in the next one";
    let answers = &["set-user-id-plant", "core-pattern-handler", "engine-api"];
    wanted.push((Reason::new("userns = \"auto\"", why, answers), None));
}

fn key(reason: &Reason) -> &str {
    reason.setting.split('=').next().unwrap_or("").trim()
}

fn has_key(text: &str, key: &str) -> bool {
    text.lines().any(|line| line.split_once('=').is_some_and(|(name, _)| name.trim() == key))
}

/// An administrator's own word in another of the files counts, whichever is read last.
fn is_set_elsewhere(disk: &Disk<'_>, reason: &Reason) -> bool {
    const FOLDER: &str = "/etc/containers/containers.conf.d";
    let beside = disk.names(FOLDER).into_iter().map(|name| format!("{FOLDER}/{name}"));
    let files = beside.filter(|path| path != FILE && path.ends_with(".conf"));
    let mut files = files.chain(["/etc/containers/containers.conf".to_owned()]);
    files.any(|path| disk.read(&path).is_some_and(|text| has_key(&text, key(reason))))
}

/// Adds a key below `[containers]`; whether the text was changed. A key that is there stays as it is.
fn put(text: &mut String, reason: &Reason) -> bool {
    let key = reason.setting.split('=').next().unwrap_or("").trim();
    let has =
        |line: &str| line.split('=').next().is_some_and(|name| name.trim() == key) && line.contains('=');
    if text.lines().any(has) {
        return false;
    }
    let entry = format!("# {}\n# {}\n{}\n", reason.why, reason.answers.join(", "), reason.setting);
    match text.find("[containers]\n") {
        Some(at) => text.insert_str(at + "[containers]\n".len(), &entry),
        None => {
            if text.is_empty() {
                text.push_str(HEADER);
            } else if !text.ends_with('\n') {
                text.push('\n');
            }
            text.push_str(&format!("[containers]\n{entry}"));
        }
    }
    true
}

//! dockerd's configuration file. A setting is proposed where the daemon does not have it yet, and never where its
//! command line has it: dockerd does not start with an option in both places (moby daemon/config, conflict check).

use std::sync::Arc;

use confinement::{Engine, EngineKind, Fact};
use serde_json::Value as Json;
use sources::document::{Limits, Node, parse_bytes};

use super::disk::{Disk, Process};
use super::{Command, FileProposal, Known, Options, Proposal, Reason, Remap, Running, remap};
use crate::draft::Drafts;
use crate::tree::{self, Value};

const FILE: &str = "/etc/docker/daemon.json";
const TLS: &str = "/etc/docker/tls";
const SYSTEMD: &str = "systemctl";

/// One key with the value it should have; `None`: the key goes.
struct Setting {
    key: &'static str,
    value: Option<Value>,
    why: String,
    answers: &'static [&'static str],
}

/// The daemon and what its settings are.
struct Dockerd<'a> {
    engine: Engine,
    running: Option<Running<'a>>,
    /// Its command line, where it runs.
    flags: Vec<String>,
    path: String,
    text: Option<String>,
}

pub(super) fn propose(known: &Known<'_>, options: Options, disk: &Disk<'_>, proposal: &mut Proposal) {
    let Some(dockerd) = find(known, disk, proposal) else { return };
    let root = match dockerd.text.as_deref().filter(|text| !text.trim().is_empty()) {
        None => None,
        Some(text) => match parse(text, &dockerd.path) {
            Ok(root) => Some(root),
            Err(why) => {
                proposal.notes.push(format!("{why}; nothing is proposed for {}", dockerd.path));
                return;
            }
        },
    };
    let wanted = wanted(known, options, &dockerd, disk, proposal);
    let mut settings = Vec::new();
    for setting in wanted {
        let written = root.as_ref().and_then(|root| root.get(setting.key));
        let is_so = match (&written, &setting.value) {
            (None, None) => true,
            (Some(node), Some(value)) => is_value(node, value),
            _ => false,
        };
        if is_so {
            continue;
        }
        if dockerd.has_flag(setting.key) {
            proposal.notes.push(format!(
                "--{0} stands on dockerd's command line, where {1} may not have it too; change it there: {2}",
                setting.key, dockerd.path, setting.why
            ));
            continue;
        }
        settings.push(setting);
    }
    restart_where_due(&dockerd, &settings, root.as_ref(), proposal);
    if settings.is_empty() {
        return;
    }
    match edited(&dockerd, root.as_ref(), &settings) {
        Ok(after) => {
            let reasons =
                settings.iter().map(|setting| Reason::new(shown(setting), &setting.why, setting.answers));
            proposal.files.push(FileProposal {
                path: dockerd.path.clone(),
                before: dockerd.text.clone(),
                after,
                reasons: reasons.collect(),
            });
        }
        Err(why) => {
            proposal.notes.push(format!("{} cannot be edited ({why}); set by hand:", dockerd.path));
            proposal
                .notes
                .extend(settings.iter().map(|setting| format!("  {}: {}", shown(setting), setting.why)));
        }
    }
}

/// The daemon that answers, or the one whose file or program is here.
fn find<'a>(known: &Known<'a>, disk: &Disk<'_>, proposal: &mut Proposal) -> Option<Dockerd<'a>> {
    let processes = disk.processes("dockerd");
    let process = chosen(&processes, known.docker);
    let flags: Vec<String> = process.map(|process| process.words.clone()).unwrap_or_default();
    let path = flag_value(&flags, "config-file").unwrap_or_else(|| FILE.to_owned());
    let text = disk.read(&path);
    let engine = match known.docker {
        Some(running) => running.engine.clone(),
        None => {
            let installed = ["/usr/bin/dockerd", "/usr/sbin/dockerd", "/usr/local/bin/dockerd"];
            if text.is_none() && !installed.iter().any(|program| disk.exists(program)) {
                return None;
            }
            proposal.notes.push(
                "dockerd does not answer: its settings are taken from its file alone, and what its containers need \
                 is not known"
                    .to_owned(),
            );
            let mut engine = Engine::of_version(EngineKind::Docker, (29, 0), None, "docker");
            let limits = Limits::default();
            let documents =
                parse_bytes(text.as_deref().unwrap_or("").as_bytes(), &path.as_str().into(), &limits);
            for document in documents.into_iter().flatten() {
                let _ = sources::daemon::apply(&document, &mut engine);
            }
            engine
        }
    };
    Some(Dockerd { engine, running: known.docker, flags, path, text })
}

/// Of several daemons the one whose data root is the one that answered.
fn chosen<'p>(processes: &'p [Process], docker: Option<Running<'_>>) -> Option<&'p Process> {
    if processes.len() < 2 {
        return processes.first();
    }
    let root = docker.and_then(|running| running.raw.info.get("DockerRootDir")?.as_str());
    let root = root.unwrap_or("/var/lib/docker");
    let of = |process: &&Process| {
        let folder = flag_value(&process.words, "data-root").unwrap_or_else(|| "/var/lib/docker".to_owned());
        root == folder || root.starts_with(&format!("{folder}/"))
    };
    processes.iter().find(of)
}

fn flag_value(words: &[String], name: &str) -> Option<String> {
    let long = format!("--{name}");
    words.iter().enumerate().rev().find_map(|(at, word)| match word.strip_prefix(&long)? {
        "" => words.get(at + 1).cloned(),
        rest => rest.strip_prefix('=').map(str::to_owned),
    })
}

impl Dockerd<'_> {
    fn has_flag(&self, name: &str) -> bool {
        let long = format!("--{name}");
        self.flags
            .iter()
            .any(|word| word.strip_prefix(&long).is_some_and(|rest| rest.is_empty() || rest.starts_with('=')))
    }

    fn is_iptables_off(&self) -> bool {
        let root = self.text.as_deref().and_then(|text| parse(text, &self.path).ok());
        let of_file =
            root.and_then(|root| root.get("iptables")).is_some_and(|node| node.as_str() == Some("false"));
        of_file || self.flags.iter().any(|word| word == "--iptables=false")
    }

    fn is_swarm(&self) -> bool {
        let state =
            self.running.and_then(|running| running.raw.info.get("Swarm")?.get("LocalNodeState")?.as_str());
        matches!(state, Some("active" | "pending"))
    }

    /// Containers as their inspections show them.
    fn containers(&self) -> impl Iterator<Item = &Json> {
        self.running.into_iter().flat_map(|running| running.raw.containers.iter().map(|c| &c.container))
    }
}

pub(super) fn name_of(container: &Json) -> String {
    let name = container.get("Name").and_then(Json::as_str).unwrap_or("a container without a name");
    name.trim_start_matches('/').to_owned()
}

fn is_not(fact: &Fact<bool>, wanted: bool) -> bool {
    fact.value != Some(wanted)
}

/// Every setting that the daemon should have and does not, in the order they are written.
fn wanted(
    known: &Known<'_>,
    options: Options,
    dockerd: &Dockerd<'_>,
    disk: &Disk<'_>,
    proposal: &mut Proposal,
) -> Vec<Setting> {
    let settings = &dockerd.engine.settings;
    let mut wanted = Vec::new();
    let rootless = settings.rootless.value == Some(true);
    if is_not(&settings.userns_remap, true) && !rootless {
        remapping(known, options, dockerd, disk, proposal, &mut wanted);
    }
    if is_not(&settings.no_new_privileges, true) {
        wanted.push(Setting {
            key: "no-new-privileges",
            value: Some(Value::bool(true)),
            why: "set-user-ID programs and file capabilities give nothing to who runs them".into(),
            answers: &["regain-privileges", "CIS Docker 2.14"],
        });
        no_new_privileges_breaks(dockerd, proposal);
    }
    // moby daemon/daemon_unix.go: dockerd does not start with icc=false and iptables=false, and without iptables the
    // proxy is all that publishes ports.
    let has_firewall = !dockerd.is_iptables_off();
    if !has_firewall && (is_not(&settings.inter_container, false) || is_not(&settings.userland_proxy, false))
    {
        proposal.notes.push(
            "icc and userland-proxy are left out: they need dockerd's firewall rules, which are off".into(),
        );
    }
    if is_not(&settings.inter_container, false) && has_firewall {
        wanted.push(Setting {
            key: "icc",
            value: Some(Value::bool(false)),
            why: "containers on the default bridge do not reach each other but by published ports".into(),
            answers: &["reach-other-containers", "CIS Docker 2.2"],
        });
        default_bridge_breaks(dockerd, proposal);
    }
    if is_not(&settings.live_restore, true) {
        if dockerd.is_swarm() {
            proposal.notes.push("live-restore is left out: Swarm mode does not permit it".into());
        } else {
            wanted.push(Setting {
                key: "live-restore",
                value: Some(Value::bool(true)),
                why: "containers run on while dockerd is updated and restarted, so that updates are not put off".into(),
                answers: &["CIS Docker 2.15"],
            });
        }
    }
    if is_not(&settings.userland_proxy, false) && has_firewall {
        wanted.push(Setting {
            key: "userland-proxy",
            value: Some(Value::bool(false)),
            why: "no process of root on the host listens for each published port".into(),
            answers: &["CIS Docker 2.16"],
        });
        userland_proxy_breaks(dockerd, proposal);
    }
    if settings.seccomp_profile.as_ref().and_then(Fact::get)
        == Some(&confinement::engine::SeccompDefault::Unconfined)
        && dockerd.text.as_deref().is_some_and(|text| text.contains("seccomp-profile"))
    {
        wanted.push(Setting {
            key: "seccomp-profile",
            value: None,
            why: "without the key every container gets the built-in filter of system calls again".into(),
            answers: &["seccomp-off", "CIS Docker 2.17"],
        });
    }
    if known.host.selinux_enforcing.value == Some(true) && is_not(&settings.selinux_enabled, true) {
        wanted.push(Setting {
            key: "selinux-enabled",
            value: Some(Value::bool(true)),
            why: "this host enforces SELinux, and containers run outside of its policy".into(),
            answers: &["lsm-off", "CIS Docker 5.3"],
        });
        proposal.breaks.push(
            "selinux-enabled: bind mounts without `:z` or `:Z` are not readable to containers any more"
                .into(),
        );
    }
    tls(dockerd, disk, proposal, &mut wanted);
    for registry in settings.insecure_registries.iter().filter_map(Fact::get) {
        proposal.notes.push(format!(
            "images from {registry} come without TLS, so that who stands between may change them; give the registry a \
             certificate and take it out of insecure-registries [CIS Docker 2.5]"
        ));
    }
    wanted
}

fn remapping(
    known: &Known<'_>,
    options: Options,
    dockerd: &Dockerd<'_>,
    disk: &Disk<'_>,
    proposal: &mut Proposal,
    wanted: &mut Vec<Setting>,
) {
    let Some(running) = dockerd.running else {
        if options.remap != Remap::Never {
            proposal.notes.push(
                "userns-remap is not proposed: what it breaks is read from the containers and volumes of a running \
                 daemon"
                    .into(),
            );
        }
        return;
    };
    let effects = remap::effects(running, known.host, disk);
    let take = match options.remap {
        Remap::Always => true,
        Remap::Never => return,
        Remap::WhereNothingBreaks => effects.breaks.is_empty(),
    };
    if take {
        wanted.push(Setting {
            key: "userns-remap",
            value: Some(Value::text("default")),
            why: format!(
                "root in a container is {} on the host, which owns nothing there (ids from {})",
                effects.range.start, effects.range.source
            ),
            answers: &["set-user-id-plant", "core-pattern-handler", "engine-api", "CIS Docker 2.9"],
        });
        proposal.notes.extend(effects.notes);
        proposal.breaks.extend(effects.breaks.into_iter().map(|text| format!("userns-remap: {text}")));
    } else {
        proposal.notes.push(
            "userns-remap would make root in every container a user of the host that owns nothing there [CIS Docker \
             2.9]. It is not in the file, because of what it breaks here:"
                .into(),
        );
        proposal.notes.extend(effects.breaks.into_iter().map(|text| format!("  {text}")));
        proposal.notes.extend(effects.notes.into_iter().map(|text| format!("  {text}")));
        proposal.notes.extend(remap::rootless(running));
    }
}

/// A container of root's gets nothing from set-user-ID programs that it has not already.
fn no_new_privileges_breaks(dockerd: &Dockerd<'_>, proposal: &mut Proposal) {
    let names: Vec<String> = dockerd
        .containers()
        .filter(|container| {
            let user = container["Config"]["User"].as_str().unwrap_or("");
            let options = container["HostConfig"]["SecurityOpt"].as_array();
            let has = options.is_some_and(|options| {
                options.iter().filter_map(Json::as_str).any(|option| option.starts_with("no-new-privileges"))
            });
            !matches!(user.split(':').next(), Some("" | "0" | "root")) && !has
        })
        .map(name_of)
        .collect();
    if !names.is_empty() {
        proposal.breaks.push(format!(
            "no-new-privileges: sudo, su and ping do nothing for the users of {} from their next start on; \
             `--security-opt no-new-privileges=false` excepts one",
            names.join(", ")
        ));
    }
}

fn default_bridge_breaks(dockerd: &Dockerd<'_>, proposal: &mut Proposal) {
    let on_bridge: Vec<&Json> = dockerd
        .containers()
        .filter(|container| {
            let mode = container["HostConfig"]["NetworkMode"].as_str().unwrap_or("");
            matches!(mode, "default" | "bridge" | "")
        })
        .collect();
    if on_bridge.len() < 2 {
        return;
    }
    let linked = |container: &&&Json| {
        container["HostConfig"]["Links"].as_array().is_some_and(|links| !links.is_empty())
    };
    let links: Vec<String> = on_bridge.iter().filter(linked).map(|container| name_of(container)).collect();
    let mut names: Vec<String> = on_bridge.iter().map(|container| name_of(container)).collect();
    names.sort();
    let linked = if links.is_empty() {
        String::new()
    } else {
        format!("; the links of {} still work, for the ports that their targets expose", links.join(", "))
    };
    proposal.breaks.push(format!(
        "icc: {} are on the default bridge and do not reach each other by address any more; put those that talk into \
         a network of their own{linked}",
        names.join(", ")
    ));
}

fn userland_proxy_breaks(dockerd: &Dockerd<'_>, proposal: &mut Proposal) {
    let mut names: Vec<String> = dockerd
        .containers()
        .filter(|container| {
            let ports = container["HostConfig"]["PortBindings"].as_object();
            ports.is_some_and(|ports| ports.values().any(|bound| !bound.is_null()))
        })
        .map(name_of)
        .collect();
    names.sort();
    if !names.is_empty() {
        proposal.breaks.push(format!(
            "userland-proxy: published ports of {} are reached at 127.0.0.1 by a firewall rule (route_localnet), and \
             no longer at ::1",
            names.join(", ")
        ));
    }
}

/// Clients of a TCP socket must show a certificate. The keys come first: with the settings and without the files
/// dockerd does not start.
fn tls(dockerd: &Dockerd<'_>, disk: &Disk<'_>, proposal: &mut Proposal, wanted: &mut Vec<Setting>) {
    let open: Vec<Arc<str>> = dockerd
        .engine
        .settings
        .tcp
        .iter()
        .filter_map(Fact::get)
        .filter(|api| !api.verifies_clients)
        .map(|api| api.address.clone())
        .collect();
    if open.is_empty() {
        return;
    }
    let why = format!(
        "whoever reaches {} is root on this host; with TLS it is who has a certificate of this authority",
        open.join(", ")
    );
    const ANSWERS: &[&str] = &["engine-api-tcp", "engine-api-loopback", "CIS Docker 2.7"];
    let files = ["ca.pem", "server-cert.pem", "server-key.pem"].map(|name| format!("{TLS}/{name}"));
    if files.iter().all(|file| disk.exists(file)) {
        wanted.push(Setting {
            key: "tlsverify",
            value: Some(Value::bool(true)),
            why: why.clone(),
            answers: ANSWERS,
        });
        for (key, file) in ["tlscacert", "tlscert", "tlskey"].into_iter().zip(files) {
            wanted.push(Setting { key, value: Some(Value::text(file)), why: why.clone(), answers: ANSWERS });
        }
        proposal.breaks.push(format!(
            "tlsverify: clients of {} need a certificate: `docker --tlsverify --tlscacert ca.pem --tlscert cert.pem \
             --tlskey key.pem`",
            open.join(", ")
        ));
        return;
    }
    proposal.notes.push(format!(
        "{why}. Where nothing but this machine uses it, take the address away instead; else make the keys with the \
         commands below and run this again, which then puts them into {}",
        dockerd.path
    ));
    proposal.commands.extend(key_commands(&open));
}

/// An authority, a certificate for the daemon at its addresses, and one for a client (docs.docker.com, "Protect the
/// Docker daemon socket"; openssl-req(1), openssl-x509(1), from 3.0 on).
fn key_commands(open: &[Arc<str>]) -> Vec<Command> {
    let mut names = vec!["DNS:localhost".to_owned(), "IP:127.0.0.1".to_owned()];
    for address in open {
        let address = address.trim_start_matches("tcp://");
        let host = address.rsplit_once(':').map_or(address, |(host, _)| host).trim_matches(['[', ']']);
        let name = match host.parse::<std::net::IpAddr>() {
            Ok(ip) if ip.is_unspecified() => continue,
            Ok(ip) => format!("IP:{ip}"),
            Err(_) if host.is_empty() => continue,
            Err(_) => format!("DNS:{host}"),
        };
        if !names.contains(&name) {
            names.push(name);
        }
    }
    let undoes = format!("rm -r {TLS}");
    let command = |line: &str, why: &str| {
        let argv: Vec<String> = line.split(' ').map(|word| word.replace("@", TLS)).collect();
        Command::new(argv, why).undone_by(undoes.clone())
    };
    let new_key = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -noenc";
    let signed = |name: &str, usage: &str, subject: &str, more: &str| {
        format!(
            "{new_key} -days 825 -CA @/ca.pem -CAkey @/ca-key.pem -keyout @/{name}-key.pem -out @/{name}-cert.pem \
             -subj /CN={subject} -addext extendedKeyUsage={usage} -addext basicConstraints=critical,CA:FALSE{more}"
        )
    };
    let alternatives = format!(" -addext subjectAltName={}", names.join(","));
    vec![
        command("install -d -m 0700 @", "a folder for the keys, for root alone"),
        command(
            &format!("{new_key} -days 3650 -keyout @/ca-key.pem -out @/ca.pem -subj /CN=docker-authority"),
            "an authority of this host's own; keep its key elsewhere once the certificates are made",
        ),
        command(
            &signed("server", "serverAuth", "dockerd", &alternatives),
            "the daemon's certificate; add the names that clients know this host by",
        ),
        command(
            &signed("client", "clientAuth", "docker-client", ""),
            "a client's certificate: who has it is root on this host",
        ),
    ]
}

/// A daemon that was not restarted since its file was written has none of it.
fn restart_where_due(
    dockerd: &Dockerd<'_>,
    settings: &[Setting],
    root: Option<&Node>,
    proposal: &mut Proposal,
) {
    let live = &dockerd.engine.settings;
    let on =
        |key: &str| root.and_then(|root| root.get(key)).and_then(|node| node.as_str().map(str::to_owned));
    let is_set = |key: &str, fact: &Fact<bool>, value: &str, wanted: bool| {
        on(key).as_deref() == Some(value) && fact.value == Some(!wanted)
    };
    let pending = dockerd.running.is_some()
        && (is_set("no-new-privileges", &live.no_new_privileges, "true", true)
            || is_set("icc", &live.inter_container, "false", false)
            || is_set("live-restore", &live.live_restore, "true", true)
            || is_set("userland-proxy", &live.userland_proxy, "false", false)
            || is_set("userns-remap", &live.userns_remap, "default", true));
    if settings.is_empty() && !pending {
        return;
    }
    if dockerd.engine.version >= (23, 0) {
        let argv = ["dockerd", "--validate", "--config-file", &dockerd.path];
        proposal
            .commands
            .push(Command::new(argv, "dockerd reads the file and says whether it would start with it"));
    }
    let stops = if live.live_restore.value == Some(true) {
        "containers run on, as live-restore is on"
    } else {
        "containers stop, and start again where their restart policy says so"
    };
    proposal.commands.push(
        Command::new(
            [SYSTEMD, "restart", "docker"],
            format!("dockerd reads its file when it starts; {stops}"),
        )
        .undone_by(format!("the former {} and a restart", dockerd.path)),
    );
}

fn parse(text: &str, path: &str) -> Result<Node, String> {
    let mut documents = parse_bytes(text.as_bytes(), &path.into(), &Limits::default()).into_iter();
    match documents.next() {
        Some(Ok(document)) if document.root.is_mapping() => Ok(document.root.clone()),
        Some(Ok(_)) => Err(format!("{path} is not a JSON object")),
        Some(Err(error)) => Err(error.problem().to_string()),
        None => Err(format!("{path} is empty")),
    }
}

fn is_value(node: &Node, value: &Value) -> bool {
    match value {
        Value::Literal(text) => !node.is_quoted() && node.as_str() == Some(text),
        Value::Text(text) => node.as_str() == Some(text),
        Value::List(_) | Value::Map(_) => false,
    }
}

fn shown(setting: &Setting) -> String {
    match &setting.value {
        None => format!("no \"{}\"", setting.key),
        Some(Value::Text(text)) => format!("\"{}\": {}", setting.key, Json::from(text.as_str())),
        Some(Value::Literal(text)) => format!("\"{}\": {text}", setting.key),
        Some(Value::List(_) | Value::Map(_)) => format!("\"{}\"", setting.key),
    }
}

/// The file with the settings in it; its own formatting stays.
fn edited(dockerd: &Dockerd<'_>, root: Option<&Node>, settings: &[Setting]) -> Result<String, String> {
    let Some(root) = root else {
        let lines: Vec<String> = settings.iter().map(|setting| format!("  {}", shown(setting))).collect();
        return Ok(format!("{{\n{}\n}}\n", lines.join(",\n")));
    };
    let text: Arc<str> = dockerd.text.as_deref().unwrap_or("").into();
    let texts = move |_: &str| Ok::<Arc<str>, String>(text.clone());
    let mut drafts = Drafts::new(&texts);
    let failed = |refusal: crate::draft::Refusal| refusal.to_string();
    let (mut remove, mut insert) = (Vec::new(), Vec::new());
    for setting in settings {
        match &setting.value {
            None => remove.push(setting.key),
            Some(value) if root.get(setting.key).is_some() => {
                tree::set_entry(&mut drafts, root, setting.key, value).map_err(failed)?;
            }
            Some(value) => insert.push((setting.key, value.clone())),
        }
    }
    if !remove.is_empty() || !insert.is_empty() {
        tree::change_entries(&mut drafts, root, &remove, &insert).map_err(failed)?;
    }
    let done = drafts.finish().map_err(failed)?;
    match done.into_iter().next() {
        Some(edited) => Ok(edited.after.to_string()),
        None => Err("no change could be made".into()),
    }
}

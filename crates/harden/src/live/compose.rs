//! The options of a command line as one service of a Compose file (compose-spec 05 to 08, and docker/compose's own
//! reading of it). An option that Compose has no word for is a note.

use super::line;
use super::made::{Attachment, Made};
use super::yaml::{self, Node};

/// What an option becomes.
enum Key {
    Text(&'static str),
    Number(&'static str),
    Switch(&'static str),
    List(&'static str),
    /// `KEY=VALUE`.
    Pairs(&'static str),
    /// Written by a function of its own.
    Own,
    /// Of the call, or without effect here.
    Nothing,
}

/// The options that Compose has a key for.
const KEYS: &[(&str, Key)] = &[
    ("add-host", Key::List("extra_hosts")),
    ("annotation", Key::Pairs("annotations")),
    ("blkio-weight", Key::Own),
    ("blkio-weight-device", Key::Own),
    ("cap-add", Key::List("cap_add")),
    ("cap-drop", Key::List("cap_drop")),
    ("cgroup-parent", Key::Text("cgroup_parent")),
    ("cgroupns", Key::Text("cgroup")),
    ("cpu-count", Key::Number("cpu_count")),
    ("cpu-percent", Key::Number("cpu_percent")),
    ("cpu-period", Key::Number("cpu_period")),
    ("cpu-quota", Key::Number("cpu_quota")),
    ("cpu-rt-period", Key::Number("cpu_rt_period")),
    ("cpu-rt-runtime", Key::Number("cpu_rt_runtime")),
    ("cpu-shares", Key::Number("cpu_shares")),
    ("cpus", Key::Number("cpus")),
    ("cpuset-cpus", Key::Text("cpuset")),
    ("device", Key::List("devices")),
    ("device-cgroup-rule", Key::List("device_cgroup_rules")),
    ("device-read-bps", Key::Own),
    ("device-read-iops", Key::Own),
    ("device-write-bps", Key::Own),
    ("device-write-iops", Key::Own),
    ("dns", Key::List("dns")),
    ("dns-opt", Key::List("dns_opt")),
    ("dns-option", Key::List("dns_opt")),
    ("dns-search", Key::List("dns_search")),
    ("domainname", Key::Text("domainname")),
    ("env", Key::Pairs("environment")),
    ("expose", Key::List("expose")),
    ("gpus", Key::Own),
    ("group-add", Key::List("group_add")),
    ("health-cmd", Key::Own),
    ("health-interval", Key::Own),
    ("health-retries", Key::Own),
    ("health-start-interval", Key::Own),
    ("health-start-period", Key::Own),
    ("health-timeout", Key::Own),
    ("hostname", Key::Text("hostname")),
    ("init", Key::Switch("init")),
    ("interactive", Key::Switch("stdin_open")),
    ("ip", Key::Own),
    ("ip6", Key::Own),
    ("ipc", Key::Text("ipc")),
    ("isolation", Key::Text("isolation")),
    ("label", Key::Pairs("labels")),
    ("link", Key::List("external_links")),
    ("link-local-ip", Key::Own),
    ("log-driver", Key::Own),
    ("log-opt", Key::Own),
    ("mac-address", Key::Text("mac_address")),
    ("memory", Key::Text("mem_limit")),
    ("memory-reservation", Key::Text("mem_reservation")),
    ("memory-swap", Key::Text("memswap_limit")),
    ("memory-swappiness", Key::Number("mem_swappiness")),
    ("mount", Key::Own),
    ("net", Key::Own),
    ("network", Key::Own),
    ("network-alias", Key::Own),
    ("no-healthcheck", Key::Own),
    ("oom-kill-disable", Key::Switch("oom_kill_disable")),
    ("oom-score-adj", Key::Number("oom_score_adj")),
    ("pid", Key::Text("pid")),
    ("pids-limit", Key::Number("pids_limit")),
    ("platform", Key::Text("platform")),
    ("privileged", Key::Switch("privileged")),
    ("publish", Key::List("ports")),
    ("publish-all", Key::Own),
    ("read-only", Key::Switch("read_only")),
    ("restart", Key::Text("restart")),
    ("rm", Key::Own),
    ("runtime", Key::Text("runtime")),
    ("security-opt", Key::List("security_opt")),
    ("shm-size", Key::Text("shm_size")),
    ("stop-signal", Key::Text("stop_signal")),
    ("stop-timeout", Key::Own),
    ("storage-opt", Key::Pairs("storage_opt")),
    ("sysctl", Key::Pairs("sysctls")),
    ("tmpfs", Key::List("tmpfs")),
    ("tty", Key::Switch("tty")),
    ("ulimit", Key::Own),
    ("use-api-socket", Key::Switch("use_api_socket")),
    ("user", Key::Text("user")),
    ("userns", Key::Text("userns_mode")),
    ("uts", Key::Text("uts")),
    ("volume", Key::Own),
    ("volumes-from", Key::Own),
    ("workdir", Key::Text("working_dir")),
    // Podman's default, and what it does to no confinement.
    ("http-proxy", Key::Nothing),
];

/// A Compose file with the container as its one service. Adds notes about what it cannot say.
pub(super) fn write(made: &mut Made) -> String {
    let mut service = Service { entries: Vec::new() };
    service.put("image", Node::text(&made.image));
    service.put("container_name", Node::text(&made.name));
    if let Some(entrypoint) = &made.entrypoint {
        service.put("entrypoint", Node::texts(entrypoint.clone()));
    }
    if let Some(command) = made.command.as_ref().filter(|command| !command.is_empty()) {
        service.put("command", Node::texts(command.clone()));
    }
    let mut notes = Vec::new();
    for (long, value) in made.options.clone() {
        let key = KEYS.iter().find(|(name, _)| *name == long).map(|(_, key)| key);
        match (key, value) {
            (Some(Key::Text(key)), Some(value)) => service.put(key, Node::text(value)),
            (Some(Key::Number(key)), Some(value)) => service.put(key, Node::number(&value)),
            (Some(Key::Switch(key)), value) => {
                service.put(key, Node::Bare(value.unwrap_or_else(|| "true".to_owned())));
            }
            (Some(Key::List(key)), Some(value)) => service.push(key, Node::text(value)),
            (Some(Key::Pairs(key)), Some(value)) => match value.split_once('=') {
                Some((name, value)) => service.pair(key, name, Node::text(value)),
                // The variable of whoever starts it; an empty label.
                None if long == "env" => service.pair(key, &value, Node::Null),
                None => service.pair(key, &value, Node::text("")),
            },
            (Some(Key::Own | Key::Nothing), _) => {}
            (_, value) => {
                let value = value.map(|value| format!(" {}", line::quote(&value))).unwrap_or_default();
                notes.push(format!("Compose has no word for --{long}{value}"));
            }
        }
    }
    // A port without one of the host's gets any that is free.
    for port in &made.all_ports {
        service.push("ports", Node::text(port.as_str()));
    }
    if made.has("publish-all") && made.all_ports.is_empty() {
        notes.push("Compose has no word for --publish-all: name the ports that are exposed".to_owned());
    }
    if made.has("rm") {
        notes.push("Compose keeps a container that has ended, which --rm does not".to_owned());
    }
    if let Some(seconds) = made.last("stop-timeout") {
        service.put("stop_grace_period", Node::text(format!("{seconds}s")));
    }
    limits(made, &mut service);
    health(made, &mut service);
    logging(made, &mut service);
    gpus(made, &mut service);
    let mut volumes = Vec::new();
    mounts(made, &mut service, &mut volumes, &mut notes);
    let networks = networks(made, &mut service, &mut notes);

    let mut root = vec![("services".to_owned(), map([(made.service.as_str(), Node::Map(service.entries))]))];
    let external = |names: Vec<String>| {
        Node::Map(
            names.into_iter().map(|name| (name, map([("external", Node::Bare("true".into()))]))).collect(),
        )
    };
    if !networks.is_empty() {
        root.push(("networks".to_owned(), external(networks)));
    }
    if !volumes.is_empty() {
        root.push(("volumes".to_owned(), external(volumes)));
    }
    made.notes.append(&mut notes);
    yaml::write(&Node::Map(root))
}

struct Service {
    entries: Vec<(String, Node)>,
}

impl Service {
    fn slot(&mut self, key: &str, empty: Node) -> &mut Node {
        let at = self.entries.iter().position(|(name, _)| name == key).unwrap_or_else(|| {
            self.entries.push((key.to_owned(), empty));
            self.entries.len() - 1
        });
        &mut self.entries[at].1
    }
    /// A later one counts.
    fn put(&mut self, key: &str, node: Node) {
        *self.slot(key, Node::Null) = node;
    }
    fn push(&mut self, key: &str, node: Node) {
        if let Node::List(items) = self.slot(key, Node::List(Vec::new()))
            && !items.contains(&node)
        {
            items.push(node);
        }
    }
    fn pair(&mut self, key: &str, name: &str, node: Node) {
        if let Node::Map(entries) = self.slot(key, Node::Map(Vec::new())) {
            entries.retain(|(given, _)| given != name);
            entries.push((name.to_owned(), node));
        }
    }
}

fn map<'a>(entries: impl IntoIterator<Item = (&'a str, Node)>) -> Node {
    Node::Map(entries.into_iter().map(|(key, node)| (key.to_owned(), node)).collect())
}

fn values<'a>(made: &'a Made, long: &'a str) -> impl Iterator<Item = &'a str> {
    made.options.iter().filter(move |(name, _)| *name == long).filter_map(|(_, value)| value.as_deref())
}

fn limits(made: &Made, service: &mut Service) {
    for limit in values(made, "ulimit") {
        let (name, values) = limit.split_once('=').unwrap_or((limit, ""));
        let node = match values.split_once(':') {
            Some((soft, hard)) => map([("soft", Node::number(soft)), ("hard", Node::number(hard))]),
            None => Node::number(values),
        };
        service.pair("ulimits", name, node);
    }
    if let Some(weight) = made.last("blkio-weight") {
        service.pair("blkio_config", "weight", Node::number(weight));
    }
    for (option, key, field) in [
        ("blkio-weight-device", "weight_device", "weight"),
        ("device-read-bps", "device_read_bps", "rate"),
        ("device-write-bps", "device_write_bps", "rate"),
        ("device-read-iops", "device_read_iops", "rate"),
        ("device-write-iops", "device_write_iops", "rate"),
    ] {
        let list: Vec<Node> = values(made, option)
            .filter_map(|value| value.rsplit_once(':'))
            .map(|(path, rate)| map([("path", Node::text(path)), (field, Node::number(rate))]))
            .collect();
        if !list.is_empty() {
            service.pair("blkio_config", key, Node::List(list));
        }
    }
}

fn health(made: &Made, service: &mut Service) {
    if made.has("no-healthcheck") {
        service.put("healthcheck", map([("disable", Node::Bare("true".into()))]));
        return;
    }
    if let Some(words) = &made.health_words {
        let words = std::iter::once("CMD".to_owned()).chain(words.iter().cloned());
        service.pair("healthcheck", "test", Node::texts(words));
    } else if let Some(command) = made.last("health-cmd") {
        let test = if command == "none" { vec!["NONE"] } else { vec!["CMD-SHELL", command] };
        service.pair("healthcheck", "test", Node::texts(test));
    }
    for (option, key) in [
        ("health-interval", "interval"),
        ("health-timeout", "timeout"),
        ("health-start-period", "start_period"),
        ("health-start-interval", "start_interval"),
    ] {
        if let Some(duration) = made.last(option) {
            service.pair("healthcheck", key, Node::text(duration));
        }
    }
    if let Some(retries) = made.last("health-retries") {
        service.pair("healthcheck", "retries", Node::number(retries));
    }
}

fn logging(made: &Made, service: &mut Service) {
    if let Some(driver) = made.last("log-driver") {
        service.pair("logging", "driver", Node::text(driver));
    }
    let options: Vec<(&str, Node)> = values(made, "log-opt")
        .map(|option| option.split_once('=').unwrap_or((option, "")))
        .map(|(name, value)| (name, Node::text(value)))
        .collect();
    if !options.is_empty() {
        service.pair("logging", "options", map(options));
    }
}

/// The form that every release of docker compose reads; `gpus:` is newer than 2.30.
fn gpus(made: &Made, service: &mut Service) {
    let Some(text) = made.last("gpus") else { return };
    let fields = fields(text);
    let field = |key: &str| fields.iter().find(|(name, _)| name == key).map(|(_, value)| value.as_str());
    let mut capabilities = vec!["gpu".to_owned()];
    capabilities.extend(field("capabilities").into_iter().flat_map(|c| c.split(',')).map(str::to_owned));
    let mut device = vec![("capabilities", Node::texts(capabilities))];
    if let Some(driver) = field("driver") {
        device.push(("driver", Node::text(driver)));
    }
    match (field("device"), field("count")) {
        (Some(ids), _) => device.push(("device_ids", Node::texts(ids.split(',')))),
        (None, Some("all")) => device.push(("count", Node::text("all"))),
        (None, Some(count)) => device.push(("count", Node::number(count))),
        (None, None) if text == "all" => device.push(("count", Node::text("all"))),
        (None, None) => device.push(("count", Node::number(text))),
    }
    let devices = map([("devices", Node::List(vec![map(device)]))]);
    service.put("deploy", map([("resources", map([("reservations", devices)]))]));
}

/// `key=value` fields of a line of CSV.
fn fields(text: &str) -> Vec<(String, String)> {
    let mut fields = Vec::new();
    let mut field = String::new();
    let mut quoted = false;
    let mut letters = text.chars().peekable();
    while let Some(letter) = letters.next() {
        match letter {
            '"' if quoted && letters.peek() == Some(&'"') => {
                letters.next();
                field.push('"');
            }
            '"' => quoted = !quoted,
            ',' if !quoted => fields.push(std::mem::take(&mut field)),
            letter => field.push(letter),
        }
    }
    fields.push(field);
    fields
        .into_iter()
        .map(|field| match field.split_once('=') {
            Some((key, value)) => (key.to_owned(), value.to_owned()),
            None => (field, "true".to_owned()),
        })
        .collect()
}

fn mounts(made: &Made, service: &mut Service, named: &mut Vec<String>, notes: &mut Vec<String>) {
    let mut declare = |name: &str| {
        let path = name.starts_with(['/', '.', '~']);
        if !path && !name.is_empty() && !named.iter().any(|given| given == name) {
            named.push(name.to_owned());
        }
    };
    for volume in values(made, "volume") {
        if let Some((source, rest)) = volume.split_once(':') {
            declare(source);
            let unknown: Vec<&str> = rest
                .split_once(':')
                .map_or("", |(_, options)| options)
                .split(',')
                .filter(|option| {
                    matches!(*option, "O" | "U" | "nosuid" | "nodev" | "noexec" | "bind")
                        || option.contains("idmap")
                })
                .collect();
            if !unknown.is_empty() {
                notes.push(format!("Compose leaves `{}` of the volume `{volume}` out", unknown.join(",")));
            }
        }
        service.push("volumes", Node::text(volume));
    }
    for mount in values(made, "mount") {
        let (node, source) = long_mount(&fields(mount), notes);
        if let Some(source) = source {
            declare(&source);
        }
        service.push("volumes", node);
    }
    for other in values(made, "volumes-from") {
        service.push("volumes_from", Node::text(format!("container:{other}")));
    }
}

/// The long form of a mount, and the name of the volume it takes.
fn long_mount(fields: &[(String, String)], notes: &mut Vec<String>) -> (Node, Option<String>) {
    let mut kind = "volume";
    let (mut entries, mut bind, mut volume, mut tmpfs, mut image) =
        (Vec::new(), Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let mut source = None;
    let mut options = Vec::new();
    let truth =
        |value: &str| Node::Bare(if matches!(value, "false" | "0") { "false" } else { "true" }.to_owned());
    for (key, value) in fields {
        match key.as_str() {
            "type" => kind = value,
            "source" | "src" => source = Some(value.clone()),
            "target" | "destination" | "dst" => entries.push(("target", Node::text(value))),
            "readonly" | "ro" => entries.push(("read_only", truth(value))),
            "consistency" => entries.push(("consistency", Node::text(value))),
            "bind-propagation" => bind.push(("propagation", Node::text(value))),
            "bind-nonrecursive" => bind.push(("recursive", Node::text("disabled"))),
            "bind-recursive" => bind.push(("recursive", Node::text(value))),
            "relabel" => bind.push(("selinux", Node::text(if value == "private" { "Z" } else { "z" }))),
            "volume-nocopy" => volume.push(("nocopy", truth(value))),
            "volume-subpath" => volume.push(("subpath", Node::text(value))),
            "tmpfs-size" => tmpfs.push(("size", Node::number(value))),
            "tmpfs-mode" => {
                let mode =
                    u32::from_str_radix(value, 8).map_or_else(|_| value.clone(), |mode| mode.to_string());
                tmpfs.push(("mode", Node::number(&mode)));
            }
            "image-subpath" => image.push(("subpath", Node::text(value))),
            // A volume is declared outside of the service, with its driver and labels.
            "volume-driver" | "volume-opt" | "volume-label" => options.push(format!("{key}={value}")),
            _ => options.push(if value == "true" { key.clone() } else { format!("{key}={value}") }),
        }
    }
    if !options.is_empty() {
        let target = entries.iter().find(|(key, _)| *key == "target").map(|(_, node)| node);
        let target = match target {
            Some(Node::Text(text)) => text.as_str(),
            _ => "",
        };
        notes.push(format!("Compose has no word here for `{}` of the mount at {target}", options.join(",")));
    }
    let name = source.clone().filter(|_| kind == "volume");
    let mut all = vec![("type", Node::text(kind))];
    all.extend(source.map(|source| ("source", Node::text(source))));
    all.extend(entries);
    for (key, part) in [("bind", bind), ("volume", volume), ("tmpfs", tmpfs), ("image", image)] {
        if !part.is_empty() {
            all.push((key, map(part)));
        }
    }
    (map(all), name)
}

/// The networks that the file must declare. Without a word of ours Compose makes a network for the project.
fn networks(made: &Made, service: &mut Service, notes: &mut Vec<String>) -> Vec<String> {
    let asked: Vec<&str> = made
        .options
        .iter()
        .filter(|(long, _)| matches!(*long, "network" | "net"))
        .filter_map(|(_, value)| value.as_deref())
        .collect();
    let modes = |name: &str| {
        matches!(name, "host" | "none" | "private" | "slirp4netns" | "pasta")
            || name.starts_with("container:")
            || name.starts_with("ns:")
            || name.starts_with("slirp4netns:")
            || name.starts_with("pasta:")
    };
    let mode = asked.last().copied().filter(|name| modes(name));
    let bridge = asked.is_empty() || asked.iter().all(|name| matches!(*name, "bridge" | "default"));
    if let Some(mode) = mode.or(bridge.then_some("bridge")) {
        service.put("network_mode", Node::text(mode));
        if mode != "bridge" && service.entries.iter().any(|(key, _)| key == "ports") {
            service.entries.retain(|(key, _)| key != "ports");
            notes.push(format!(
                "ports have no effect with network mode {mode}, and Compose refuses them there"
            ));
        }
        for network in &made.more_networks {
            notes.push(format!(
                "Compose cannot attach a service to {} beside network mode {mode}: `docker network connect {}`",
                network.network,
                line::quote(&network.network)
            ));
        }
        return Vec::new();
    }
    let mut attachments: Vec<Attachment> = asked.iter().map(|text| parsed(text)).collect();
    if let Some(first) = attachments.first_mut() {
        let one = |long: &str| made.last(long).map(str::to_owned);
        first.ip = first.ip.take().or(one("ip"));
        first.ip6 = first.ip6.take().or(one("ip6"));
        first.link_local.extend(values(made, "link-local-ip").map(str::to_owned));
        first.aliases.extend(values(made, "network-alias").map(str::to_owned));
    }
    attachments.extend(made.more_networks.iter().cloned());
    for attachment in &attachments {
        if !attachment.links.is_empty() {
            notes.push(format!("links on network {} are left out", attachment.network));
        }
        let mut entries = Vec::new();
        // Compose adds the service's name by itself.
        let aliases: Vec<String> =
            attachment.aliases.iter().filter(|alias| **alias != made.service).cloned().collect();
        if !aliases.is_empty() {
            entries.push(("aliases", Node::texts(aliases)));
        }
        for (key, address) in [("ipv4_address", &attachment.ip), ("ipv6_address", &attachment.ip6)] {
            entries.extend(address.as_ref().map(|address| (key, Node::text(address))));
        }
        if !attachment.link_local.is_empty() {
            entries.push(("link_local_ips", Node::texts(attachment.link_local.clone())));
        }
        entries.extend(attachment.mac.as_ref().map(|mac| ("mac_address", Node::text(mac))));
        let node = if entries.is_empty() { Node::Null } else { map(entries) };
        service.pair("networks", &attachment.network, node);
    }
    attachments.into_iter().map(|attachment| attachment.network).collect()
}

/// `name`, Docker's `name=…,alias=…,ip=…` or Podman's `name:ip=…,alias=…`.
fn parsed(text: &str) -> Attachment {
    let (name, options) = match text.split_once(':') {
        Some((name, options)) => (name.to_owned(), fields(options)),
        None if text.contains('=') => {
            let options = fields(text);
            let name = options.iter().find(|(key, _)| key == "name").map(|(_, value)| value.clone());
            (name.unwrap_or_default(), options)
        }
        None => (text.to_owned(), Vec::new()),
    };
    let mut attachment = Attachment { network: name, ..Attachment::default() };
    for (key, value) in options {
        match key.as_str() {
            "ip" if value.contains(':') => attachment.ip6 = Some(value),
            "ip" => attachment.ip = Some(value),
            "ip6" => attachment.ip6 = Some(value),
            "alias" => attachment.aliases.push(value),
            "link-local-ip" => attachment.link_local.push(value),
            "mac" | "mac-address" => attachment.mac = Some(value),
            _ => {}
        }
    }
    attachment
}

//! An inspection in Docker's form, read into options. Podman's form descends from it; where the two differ, a
//! function asks which it is.
//!
//! Sources: moby api/types/container (`Config`, `HostConfig`), docker/cli cli/command/container/opts.go (what each
//! option sets), moby daemon/commit.go `merge` (what an image lends its containers).

use confinement::{Engine, EngineKind, Host};
use serde_json::Value;
use sources::dockerfile::credentials;
use sources::engine_api::answer::Field;

use super::made::{Attachment, Made, service_name};
use super::{SideFile, Unreproducible, line};

/// moby daemon/config: `DefaultShmSize`; containers/common pkg/config: the same.
const DEFAULT_SHM: i64 = 64 << 20;
/// moby container/container.go, `DefaultStopSignal`.
const DEFAULT_STOP_SIGNAL: &str = "SIGTERM";
/// containers/common pkg/config/default.go, `DefaultPidsLimit`.
pub(super) const PODMAN_PIDS: i64 = 2048;

/// One inspection and what it is read against.
pub(super) struct Reading<'a> {
    pub(super) root: Field<'a>,
    pub(super) image: Option<Field<'a>>,
    pub(super) engine: &'a Engine,
    pub(super) host: &'a Host,
}

pub(super) fn made(read: &Reading<'_>) -> Result<Made, Unreproducible> {
    let mut made = read.start()?;
    read.all(&mut made)?;
    Ok(made)
}

impl<'a> Reading<'a> {
    pub(super) fn config(&self) -> Field<'a> {
        self.root.get("Config")
    }
    pub(super) fn host_config(&self) -> Field<'a> {
        self.root.get("HostConfig")
    }
    /// A setting of the image. Absent without an image.
    fn image_config(&self, name: &str) -> Option<Field<'a>> {
        Some(self.image.as_ref()?.get("Config").get(name))
    }
    pub(super) fn is_podman(&self) -> bool {
        self.engine.kind == EngineKind::Podman
    }

    /// Name and service, and what is to be said whatever the options are.
    pub(super) fn start(&self) -> Result<Made, Unreproducible> {
        let name = plain(&self.root.get("Name"));
        let name = name.strip_prefix('/').unwrap_or(&name).to_owned();
        let name =
            if name.is_empty() { plain(&self.root.get("Id")).chars().take(12).collect() } else { name };
        if name.is_empty() {
            return Err(Unreproducible::Missing("Name"));
        }
        let mut made = Made::new(self.engine.kind, name);
        self.say_who_made_it(&mut made);
        if self.image.is_none() {
            made.note(
                "the image's own settings are not known, so that all of the container's are written out, also \
                 those that the image brings",
            );
        }
        Ok(made)
    }

    fn say_who_made_it(&self, made: &mut Made) {
        let labels = self.config().get("Labels");
        let label = |name: &str| Some(plain(&labels.get(name))).filter(|text| !text.is_empty());
        if let Some(service) = label("com.docker.compose.service") {
            let files = label("com.docker.compose.project.config_files");
            made.service = service_name(&service);
            made.note(match files {
                Some(files) => format!(
                    "it is service {service} of the Compose file {files}: change that file rather than start the \
                     container by hand"
                ),
                None => format!("it is service {service} of a Compose project: change the project's file"),
            });
        }
        if let Some(service) = label("com.docker.swarm.service.name") {
            made.note(format!(
                "it is a task of the Swarm service {service}, which starts it anew as the service says: change the \
                 service"
            ));
        }
        if let Some(pod) = label("io.kubernetes.pod.name") {
            made.note(format!("it belongs to the Kubernetes pod {pod}: change the pod's manifest"));
        }
        if let Some(unit) = label("PODMAN_SYSTEMD_UNIT") {
            made.note(format!("systemd starts it by {unit}: change the unit, or its Quadlet file"));
        }
    }

    /// All options, from the inspection alone.
    fn all(&self, made: &mut Made) -> Result<(), Unreproducible> {
        self.image_and_command(made)?;
        self.identity(made);
        self.environment(made);
        self.labels(made);
        self.networks(made);
        self.ports(made);
        self.mounts(made);
        self.devices(made);
        self.privileges(made);
        self.namespaces(made);
        self.limits(made);
        self.health(made);
        self.logging(made);
        self.lifetime(made);
        self.own_layer(made);
        Ok(())
    }

    // ---- image, command -------------------------------------------------------------------------------------

    pub(super) fn image_and_command(&self, made: &mut Made) -> Result<(), Unreproducible> {
        let config = self.config();
        made.image = plain(&config.get("Image"));
        if self.is_podman() {
            let rootfs = plain(&self.root.get("Rootfs"));
            if !rootfs.is_empty() {
                made.switch("rootfs");
                made.image = rootfs;
            }
        }
        if made.image.is_empty() {
            return Err(Unreproducible::Missing("Config.Image"));
        }
        self.image_tag(made);
        let command = strings(&config.get("Cmd"));
        let entrypoint = self.entrypoint(&command);
        let image_command = self.image_config("Cmd").map(|field| strings(&field));
        let image_entrypoint = self.image_config("Entrypoint").map(|field| strings(&field));
        let same =
            image_entrypoint.as_ref().map_or(entrypoint.is_empty(), |of_image| *of_image == entrypoint);
        if !same {
            made.entrypoint = Some(entrypoint);
            made.command = Some(command);
        } else if image_command.as_ref() != Some(&command) {
            if command.is_empty() && image_command.is_some_and(|of_image| !of_image.is_empty()) {
                // No command can be given in place of the image's but by giving the entrypoint too.
                made.entrypoint = Some(entrypoint);
            }
            made.command = Some(command);
        }
        Ok(())
    }

    /// Podman before 5.0 joins the words with spaces; what was started has them apart.
    fn entrypoint(&self, command: &[String]) -> Vec<String> {
        let field = self.config().get("Entrypoint");
        let Some(joined) = field.json().as_str() else { return strings(&field) };
        if joined.is_empty() {
            return Vec::new();
        }
        let mut started = vec![plain(&self.root.get("Path"))];
        started.extend(strings(&self.root.get("Args")));
        let own = started.len().saturating_sub(command.len());
        match started.split_at_checked(own) {
            Some((entrypoint, rest)) if rest == command && entrypoint.join(" ") == joined => {
                entrypoint.to_vec()
            }
            _ => joined.split(' ').map(str::to_owned).collect(),
        }
    }

    /// A tag that was moved names another image by now.
    fn image_tag(&self, made: &mut Made) {
        let Some(image) = &self.image else { return };
        let (id, reference) = (plain(&image.get("Id")), made.image.clone());
        let is_id = |text: &str| !text.is_empty() && id.trim_start_matches("sha256:").starts_with(text);
        if is_id(reference.trim_start_matches("sha256:")) {
            return;
        }
        let tags = strings(&image.get("RepoTags"));
        let digests = strings(&image.get("RepoDigests"));
        let last = reference.rsplit('/').next().unwrap_or("");
        let full = if last.contains([':', '@']) { reference.clone() } else { format!("{reference}:latest") };
        let names_it = |tag: &String| *tag == full || tag.ends_with(&format!("/{full}"));
        if !tags.iter().chain(&digests).any(names_it) && !reference.contains('@') {
            made.note(format!(
                "{reference} does not name the image any more that this container runs; that one is {id}"
            ));
        }
    }

    // ---- what the image lends -------------------------------------------------------------------------------

    fn differs(&self, name: &str, value: &str) -> bool {
        !value.is_empty() && self.image_config(name).is_none_or(|field| plain(&field) != value)
    }

    fn identity(&self, made: &mut Made) {
        let (config, host) = (self.config(), self.host_config());
        let user = plain(&config.get("User"));
        if self.differs("User", &user) {
            made.set("user", user);
        } else if user.is_empty() && self.image_config("User").is_some_and(|of| !plain(&of).is_empty()) {
            made.set("user", "0");
        }
        made.set_all("group-add", strings(&host.get("GroupAdd")));
        let folder = plain(&config.get("WorkingDir"));
        // Podman shows the root folder where none is set.
        let unset = folder == "/" && self.image_config("WorkingDir").is_none_or(|of| plain(&of).is_empty());
        if self.differs("WorkingDir", &folder) && !unset {
            made.set("workdir", folder);
        }
        self.hostname(made);
        let domain = plain(&config.get("Domainname"));
        if !domain.is_empty() {
            made.set("domainname", domain);
        }
    }

    fn hostname(&self, made: &mut Made) {
        let (config, host) = (self.config(), self.host_config());
        let name = plain(&config.get("Hostname"));
        let network = plain(&host.get("NetworkMode"));
        let of_host = self.host.name.as_deref() == Some(&name);
        // Who joins another container's network or the host's UTS namespace has its name and may not give one.
        let taken = network.starts_with("container:") || plain(&host.get("UTSMode")) == "host";
        let own = plain(&self.root.get("Id")).starts_with(&name) && name.len() == 12;
        let goes_without_saying = own || taken || (network == "host" && of_host);
        if !name.is_empty() && !goes_without_saying {
            made.set("hostname", name);
        }
    }

    /// What Podman sets in every container (pkg/specgen/generate/container.go; libpod, `addHostname`, `HOME`).
    pub(super) fn is_implicit(&self, name: &str, value: &str) -> bool {
        self.is_podman()
            && match name {
                "PATH" => value == "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
                "TERM" => value == "xterm",
                "container" => matches!(value, "podman" | "oci"),
                "HOME" | "HOSTNAME" => true,
                _ => false,
            }
    }

    pub(super) fn environment(&self, made: &mut Made) {
        let own = strings(&self.config().get("Env"));
        let of_image = self.image_config("Env").map(|field| strings(&field)).unwrap_or_default();
        let name = |pair: &str| pair.split_once('=').map_or(pair, |(name, _)| name).to_owned();
        for pair in own.iter().filter(|pair| !of_image.contains(pair)) {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            if !self.is_implicit(key, value) {
                made.set("env", pair.clone());
            }
        }
        for pair in &of_image {
            if !own.iter().any(|given| name(given) == name(pair)) {
                made.note(format!(
                    "{0} of the image is taken away; {0} must not be set where the line runs",
                    name(pair)
                ));
                made.set("env", name(pair));
            }
        }
        self.say_secrets(made);
    }

    pub(super) fn say_secrets(&self, made: &mut Made) {
        let found: Vec<String> = strings(&self.config().get("Env"))
            .iter()
            .filter_map(|pair| {
                let (name, value) = pair.split_once('=')?;
                credentials::variable(name, value).map(|what| format!("{name} ({what})"))
            })
            .collect();
        if !found.is_empty() {
            made.note(format!(
                "these variables hold what looks like secrets, and the texts have them as they are: {}",
                found.join(", ")
            ));
        }
    }

    fn labels(&self, made: &mut Made) {
        let of_image = self.image_config("Labels");
        for (name, value) in self.config().get("Labels").members() {
            let value = plain(&value);
            let lent = of_image.as_ref().is_some_and(|labels| {
                labels.members().iter().any(|(key, of)| *key == name && plain(of) == value)
            });
            // Compose and Swarm write their own anew (docker/compose pkg/api/labels.go).
            let kept_by = ["com.docker.compose.", "com.docker.swarm.", "desktop.docker.io/"];
            if !lent && !kept_by.iter().any(|start| name.starts_with(start)) {
                made.set("label", format!("{name}={value}"));
            }
        }
        for (name, value) in self.config().get("Annotations").members() {
            let of_podman =
                ["io.podman.", "io.container.", "io.kubernetes.cri-o.", "org.opencontainers.image."];
            if self.is_podman() && !of_podman.iter().any(|start| name.starts_with(start)) {
                made.set("annotation", format!("{name}={}", plain(&value)));
            }
        }
        for (name, value) in self.host_config().get("Annotations").members() {
            made.set("annotation", format!("{name}={}", plain(&value)));
        }
    }

    // ---- network --------------------------------------------------------------------------------------------

    pub(super) fn networks(&self, made: &mut Made) {
        let host = self.host_config();
        let mode = plain(&host.get("NetworkMode"));
        let attached = self.root.get("NetworkSettings").get("Networks").members();
        let is_mode = |name: &str, network: &Field<'_>| {
            name == mode || (!mode.is_empty() && plain(&network.get("NetworkID")) == mode)
        };
        let plain_bridge = matches!(mode.as_str(), "" | "default" | "bridge");
        for (name, network) in &attached {
            // Podman's bridge is a network with a name of its own.
            let first = is_mode(name, network)
                || (plain_bridge && *name == "bridge")
                || (self.is_podman() && plain_bridge && attached.len() == 1 && *name == "podman");
            let attachment = self.attachment(name, network);
            let special = matches!(*name, "host" | "none");
            if !first && !special {
                made.more_networks.push(attachment);
            } else if !plain_bridge && !special {
                self.first_network(made, attachment);
            }
        }
        let named = attached.iter().any(|(name, network)| is_mode(name, network) && !plain_bridge);
        let rootless_default = self.is_podman() && matches!(mode.as_str(), "slirp4netns" | "pasta");
        let is_default = plain_bridge || (rootless_default && self.is_rootless());
        if !is_default && !made.has("network") {
            if !named && !mode.contains(':') && !matches!(mode.as_str(), "host" | "none") {
                made.note(format!(
                    "the container is not attached to its network {mode}; the line attaches it"
                ));
            }
            made.options.insert(0, ("network", Some(mode.clone())));
        }
        if let Some(id) = mode.strip_prefix("container:").filter(|id| id.len() >= 12) {
            made.note(format!(
                "it joins the network namespace of container {}, named by its id: after that container is made anew, \
                 give its name",
                id.chars().take(12).collect::<String>()
            ));
        }
        let mac = plain(&self.config().get("MacAddress"));
        if !mac.is_empty() {
            made.set("mac-address", mac);
        }
        if !mode.starts_with("container:") {
            made.set_all("dns", strings(&host.get("Dns")));
            made.set_all("dns-search", strings(&host.get("DnsSearch")));
            let option = if self.is_podman() { "dns-option" } else { "dns-opt" };
            made.set_all(option, strings(&host.get("DnsOptions")));
            made.set_all("add-host", strings(&host.get("ExtraHosts")));
        }
        // `/db:/web/database`: what it links to, and under which name.
        for link in strings(&host.get("Links")) {
            let (target, alias) = link.split_once(':').unwrap_or((&link, ""));
            let alias = alias.rsplit('/').next().unwrap_or("");
            made.set("link", format!("{}:{alias}", target.trim_start_matches('/')));
        }
        if made.has("link") {
            made.note("links are a legacy of Docker's; a network of one's own gives the same names");
        }
    }

    fn is_rootless(&self) -> bool {
        self.engine.settings.rootless.value == Some(true)
    }

    fn attachment(&self, name: &str, network: &Field<'_>) -> Attachment {
        let address = |key: &str| Some(plain(&network.get("IPAMConfig").get(key))).filter(|a| !a.is_empty());
        let (id, hostname) = (plain(&self.root.get("Id")), plain(&self.config().get("Hostname")));
        let own = plain(&self.root.get("Name"));
        // Docker adds the short id and the host name by itself (moby daemon/container_operations.go).
        let given = |alias: &String| {
            !(alias.len() == 12 && id.starts_with(alias.as_str()))
                && *alias != hostname
                && *alias != own.trim_start_matches('/')
        };
        Attachment {
            network: name.to_owned(),
            ip: address("IPv4Address"),
            ip6: address("IPv6Address"),
            link_local: strings(&network.get("IPAMConfig").get("LinkLocalIPs")),
            aliases: strings(&network.get("Aliases")).into_iter().filter(given).collect(),
            links: strings(&network.get("Links")),
            mac: None,
        }
    }

    fn first_network(&self, made: &mut Made, network: Attachment) {
        made.set("network", network.network);
        made.set_all("ip", network.ip);
        made.set_all("ip6", network.ip6);
        made.set_all("link-local-ip", network.link_local);
        made.set_all("network-alias", network.aliases);
        made.set_all("link", network.links);
    }

    fn ports(&self, made: &mut Made) {
        let (config, host) = (self.config(), self.host_config());
        let bindings = host.get("PortBindings").members();
        let mut published = Vec::new();
        for (inside, bound) in &bindings {
            let (port, protocol) = inside.split_once('/').unwrap_or((inside, "tcp"));
            for binding in bound.list() {
                published.push(Port {
                    address: plain(&binding.get("HostIp")),
                    outside: plain(&binding.get("HostPort")),
                    inside: port.to_owned(),
                    protocol: protocol.to_owned(),
                });
            }
        }
        made.set_all("publish", joined(published));
        if boolean(&host.get("PublishAllPorts")) {
            made.switch("publish-all");
            let exposed = config.get("ExposedPorts").members().into_iter().map(|(port, _)| port.to_owned());
            made.all_ports =
                exposed.filter(|port| host.get("PortBindings").get(port).list().is_empty()).collect();
        }
        let of_image = self.image_config("ExposedPorts");
        let is_bound =
            |port: &str| bindings.iter().any(|(inside, bound)| *inside == port && !bound.list().is_empty());
        let lent = |port: &str| {
            of_image.as_ref().is_some_and(|ports| ports.members().iter().any(|(key, _)| *key == port))
        };
        // Podman shows exposed ports among the bindings, with nothing bound.
        let exposed = config.get("ExposedPorts").members().into_iter().map(|(port, _)| port);
        let unbound = bindings.iter().filter(|(_, bound)| bound.list().is_empty()).map(|(port, _)| *port);
        let mut exposed: Vec<&str> = exposed.chain(unbound).filter(|p| !is_bound(p) && !lent(p)).collect();
        exposed.sort_unstable();
        exposed.dedup();
        made.set_all("expose", exposed.into_iter().map(str::to_owned));
    }

    // ---- files ----------------------------------------------------------------------------------------------

    fn mounts(&self, made: &mut Made) {
        let host = self.host_config();
        let binds = strings(&host.get("Binds"));
        made.set_all("volume", binds.iter().cloned());
        for mount in host.get("Mounts").list() {
            if let Some(text) = self.long_mount(&mount, made) {
                made.set("mount", text);
            }
        }
        self.anonymous_volumes(made);
        let driver = plain(&host.get("VolumeDriver"));
        if !driver.is_empty() && driver != "local" {
            made.set("volume-driver", driver);
        }
        made.set_all("volumes-from", strings(&host.get("VolumesFrom")));
        for (target, options) in host.get("Tmpfs").members() {
            let options = plain(&options);
            made.set(
                "tmpfs",
                if options.is_empty() { target.to_owned() } else { format!("{target}:{options}") },
            );
        }
        if boolean(&host.get("ReadonlyRootfs")) {
            made.switch("read-only");
        }
        for (name, value) in host.get("StorageOpt").members() {
            made.set("storage-opt", format!("{name}={}", plain(&value)));
        }
    }

    /// docker/cli opts/mount.go.
    fn long_mount(&self, mount: &Field<'_>, made: &mut Made) -> Option<String> {
        let kind = plain(&mount.get("Type"));
        let mut fields = vec![format!("type={kind}")];
        let mut add = |key: &str, value: &str| {
            if !value.is_empty() {
                fields.push(format!("{key}={value}"));
            }
        };
        add("source", &plain(&mount.get("Source")));
        add("target", &plain(&mount.get("Target")));
        if boolean(&mount.get("ReadOnly")) {
            add("readonly", "true");
        }
        add("consistency", &plain(&mount.get("Consistency")));
        let bind = mount.get("BindOptions");
        add("bind-propagation", &plain(&bind.get("Propagation")));
        // The older word is refused by no release yet, the newer is known since 25.0.
        if boolean(&bind.get("NonRecursive")) {
            match self.engine.version.0 {
                0..25 => add("bind-nonrecursive", "true"),
                _ => add("bind-recursive", "disabled"),
            }
        } else if boolean(&bind.get("ReadOnlyNonRecursive")) {
            add("bind-recursive", "writable");
        } else if boolean(&bind.get("ReadOnlyForceRecursive")) {
            add("bind-recursive", "readonly");
        }
        let volume = mount.get("VolumeOptions");
        if boolean(&volume.get("NoCopy")) {
            add("volume-nocopy", "true");
        }
        add("volume-subpath", &plain(&volume.get("Subpath")));
        for (name, value) in volume.get("Labels").members() {
            add("volume-label", &format!("{name}={}", plain(&value)));
        }
        add("volume-driver", &plain(&volume.get("DriverConfig").get("Name")));
        for (name, value) in volume.get("DriverConfig").get("Options").members() {
            add("volume-opt", &format!("{name}={}", plain(&value)));
        }
        let tmpfs = mount.get("TmpfsOptions");
        if let Some(size) = number(&tmpfs.get("SizeBytes")).filter(|size| *size > 0) {
            add("tmpfs-size", &size.to_string());
        }
        if let Some(mode) = number(&tmpfs.get("Mode")).filter(|mode| *mode > 0) {
            add("tmpfs-mode", &format!("{mode:o}"));
        }
        add("image-subpath", &plain(&mount.get("ImageOptions").get("Subpath")));
        if boolean(&bind.get("CreateMountpoint")) {
            made.note(format!(
                "the folder {} is not made by `--mount` where it is missing, as the engine's interface did",
                plain(&mount.get("Source"))
            ));
        }
        if kind == "cluster" || kind == "npipe" {
            made.note(format!(
                "the mount of type {kind} at {} cannot be written",
                plain(&mount.get("Target"))
            ));
            return None;
        }
        Some(line::comma_separated(&fields))
    }

    /// Volumes without a name: what is in them stays with the old container.
    fn anonymous_volumes(&self, made: &mut Made) {
        let host = self.host_config();
        let binds = strings(&host.get("Binds"));
        let of_image: Vec<String> = self
            .image_config("Volumes")
            .map(|volumes| volumes.members().iter().map(|(path, _)| (*path).to_owned()).collect())
            .unwrap_or_default();
        for (path, _) in self.config().get("Volumes").members() {
            let bound = binds.iter().any(|bind| bind.split(':').nth(1) == Some(path));
            if !of_image.iter().any(|lent| lent == path) && !bound {
                made.set("volume", path);
            }
        }
        self.say_anonymous_volumes(made);
    }

    pub(super) fn say_anonymous_volumes(&self, made: &mut Made) {
        let binds = strings(&self.host_config().get("Binds"));
        for mount in self.root.get("Mounts").list() {
            let (name, target) = (plain(&mount.get("Name")), plain(&mount.get("Destination")));
            let anonymous = name.len() == 64 && name.chars().all(|c| c.is_ascii_hexdigit());
            let named = binds.iter().any(|bind| bind.starts_with(&name));
            if plain(&mount.get("Type")) != "volume" || !anonymous {
                continue;
            }
            if named {
                made.note(format!(
                    "the volume at {target} has no name of its own and goes with `docker rm --volumes`"
                ));
            } else {
                made.note(format!(
                    "the volume at {target} has no name, and the new container gets an empty one; to keep what is in \
                     it, add `--volume {name}:{target}`"
                ));
            }
        }
    }

    pub(super) fn own_layer(&self, made: &mut Made) {
        if !boolean(&self.host_config().get("ReadonlyRootfs")) {
            made.note(format!(
                "files that were changed inside the container's own layer do not come along: `{} diff {}` lists them",
                self.engine.kind.name(),
                line::quote(&made.name)
            ));
        }
    }

    fn devices(&self, made: &mut Made) {
        let host = self.host_config();
        for device in host.get("Devices").list() {
            let (outside, inside) = (plain(&device.get("PathOnHost")), plain(&device.get("PathInContainer")));
            let access = plain(&device.get("CgroupPermissions"));
            let all = access.is_empty() || access == "rwm";
            made.set(
                "device",
                match (inside == outside || inside.is_empty(), all) {
                    (true, true) => outside,
                    (false, true) => format!("{outside}:{inside}"),
                    (_, false) => {
                        format!("{outside}:{}:{access}", if inside.is_empty() { &outside } else { &inside })
                    }
                },
            );
        }
        made.set_all("device-cgroup-rule", strings(&host.get("DeviceCgroupRules")));
        for request in host.get("DeviceRequests").list() {
            self.device_request(&request, made);
        }
    }

    /// `--gpus` (docker/cli opts/gpus.go), and `--device` with a CDI name (opts/…, since 25.0).
    fn device_request(&self, request: &Field<'_>, made: &mut Made) {
        let driver = plain(&request.get("Driver"));
        let ids = strings(&request.get("DeviceIDs"));
        if driver == "cdi" {
            made.set_all("device", ids);
            return;
        }
        let count = number(&request.get("Count")).unwrap_or(0);
        let capabilities: Vec<String> =
            request.get("Capabilities").list().first().map(strings).unwrap_or_default();
        let mut fields = Vec::new();
        if !driver.is_empty() {
            fields.push(format!("driver={driver}"));
        }
        if !ids.is_empty() {
            fields.push(format!("device={}", ids.join(",")));
        } else {
            fields.push(format!("count={}", if count < 0 { "all".to_owned() } else { count.to_string() }));
        }
        let more: Vec<String> = capabilities.into_iter().filter(|capability| capability != "gpu").collect();
        if !more.is_empty() {
            fields.push(format!("capabilities={}", more.join(",")));
        }
        let options: Vec<String> = request
            .get("Options")
            .members()
            .iter()
            .map(|(key, value)| format!("{key}={}", plain(value)))
            .collect();
        if !options.is_empty() {
            fields.push(format!("options={}", options.join(",")));
        }
        let text = line::comma_separated(&fields);
        made.set("gpus", if text == "count=all" { "all".to_owned() } else { text });
    }

    // ---- privileges and namespaces --------------------------------------------------------------------------

    fn privileges(&self, made: &mut Made) {
        let host = self.host_config();
        let privileged = boolean(&host.get("Privileged"));
        if privileged {
            made.switch("privileged");
        }
        made.set_all("cap-add", strings(&host.get("CapAdd")));
        made.set_all("cap-drop", strings(&host.get("CapDrop")));
        let shares = ["IpcMode", "PidMode"].iter().any(|mode| plain(&host.get(mode)) == "host");
        for option in strings(&host.get("SecurityOpt")) {
            // The daemon adds it by itself there (moby daemon/daemon_unix.go, generateSecurityOpt); written out, it
            // would stay when the reason for it goes.
            if matches!(option.as_str(), "label=disable" | "label:disable") && (privileged || shares) {
                continue;
            }
            match option.strip_prefix("seccomp=").or(option.strip_prefix("seccomp:")) {
                Some(profile) if profile.trim_start().starts_with('{') => self.seccomp_file(profile, made),
                _ => made.set("security-opt", option),
            }
        }
        if !self.is_podman() && !privileged {
            self.system_paths(made);
        }
        for (name, value) in host.get("Sysctls").members() {
            made.set("sysctl", format!("{name}={}", plain(&value)));
        }
    }

    /// Docker keeps the profile's content and forgets its file's name.
    fn seccomp_file(&self, profile: &str, made: &mut Made) {
        let path = format!("{}-seccomp.json", service_name(&made.name));
        let parsed: Option<Value> = serde_json::from_str(profile).ok();
        let pretty = parsed.and_then(|json| serde_json::to_string_pretty(&json).ok());
        let text = pretty.unwrap_or_else(|| profile.to_owned()) + "\n";
        made.set("security-opt", format!("seccomp={path}"));
        made.note(format!("the seccomp profile is needed as the file {path}"));
        made.files.push(SideFile { path, text });
    }

    /// `systempaths=unconfined` empties both lists; others can be had over the engine's interface only.
    fn system_paths(&self, made: &mut Made) {
        let host = self.host_config();
        let lists = [host.get("MaskedPaths"), host.get("ReadonlyPaths")];
        let empty = |field: &Field<'_>| !field.is_absent() && field.list().is_empty();
        if lists.iter().all(empty) {
            made.set("security-opt", "systempaths=unconfined");
        } else if lists.iter().any(empty) {
            made.note(
                "one of MaskedPaths and ReadonlyPaths is empty and the other is not, which neither form can say: the \
                 new container has the engine's own lists",
            );
        }
    }

    fn namespaces(&self, made: &mut Made) {
        let host = self.host_config();
        let settings = &self.engine.settings;
        for (option, key) in [("pid", "PidMode"), ("uts", "UTSMode"), ("userns", "UsernsMode")] {
            let mode = plain(&host.get(key));
            let private = self.is_podman() && mode == "private";
            if !mode.is_empty() && !private {
                made.set(option, mode);
            }
        }
        let default_ipc = settings.default_ipc.as_ref().and_then(|mode| mode.value.as_deref());
        let usual = default_ipc.unwrap_or(if self.is_podman() { "shareable" } else { "private" });
        let ipc = plain(&host.get("IpcMode"));
        if !ipc.is_empty() && ipc != usual {
            made.set("ipc", ipc);
        }
        let cgroup = [plain(&host.get("CgroupnsMode")), plain(&host.get("CgroupMode"))];
        if let Some(mode) = cgroup.into_iter().find(|mode| !mode.is_empty())
            && self.default_cgroup_namespace().as_deref() != Some(&mode)
        {
            made.set("cgroupns", mode);
        }
        let maps = host.get("IDMappings");
        made.set_all("uidmap", strings(&maps.get("UidMap")));
        made.set_all("gidmap", strings(&maps.get("GidMap")));
        let runtime = plain(&host.get("Runtime"));
        let default = settings.default_runtime.as_ref().and_then(|runtime| runtime.value.as_deref());
        let usual = default.map_or("runc", |path| path.rsplit('/').next().unwrap_or(path));
        if !self.is_podman() && !runtime.is_empty() && runtime != usual {
            made.set("runtime", runtime);
        }
        let isolation = plain(&host.get("Isolation"));
        if !isolation.is_empty() && isolation != "default" {
            made.set("isolation", isolation);
        }
    }

    /// moby daemon/config, `DefaultCgroupNamespaceMode`; podman-run(1), --cgroupns: private on version 2 only.
    fn default_cgroup_namespace(&self) -> Option<String> {
        let set = self.engine.settings.default_cgroup_namespace_host.as_ref().and_then(|fact| fact.value);
        let host = set.or(self.host.cgroup_version.value.map(|version| version == 1))?;
        Some(if host { "host" } else { "private" }.to_owned())
    }

    // ---- limits ---------------------------------------------------------------------------------------------

    fn limits(&self, made: &mut Made) {
        let host = self.host_config();
        let positive = |key: &str| number(&host.get(key)).filter(|value| *value > 0);
        let memory = positive("Memory");
        if let Some(bytes) = memory {
            made.set("memory", amount(bytes));
        }
        // Twice the memory where nothing is said (moby daemon/daemon_unix.go, adaptContainerSettings).
        if let Some(swap) = number(&host.get("MemorySwap")).filter(|swap| *swap != 0)
            && memory.is_none_or(|memory| swap != memory.saturating_mul(2))
        {
            made.set("memory-swap", if swap < 0 { "-1".to_owned() } else { amount(swap) });
        }
        if let Some(bytes) = positive("MemoryReservation") {
            made.set("memory-reservation", amount(bytes));
        }
        if let Some(bytes) = positive("KernelMemory") {
            made.set("kernel-memory", amount(bytes));
        }
        if let Some(swappiness) = number(&host.get("MemorySwappiness")).filter(|value| *value >= 0) {
            made.set("memory-swappiness", swappiness.to_string());
        }
        match positive("NanoCpus") {
            Some(nano) => made.set("cpus", decimal(nano)),
            None => {
                made.set_all("cpu-quota", positive("CpuQuota").map(|value| value.to_string()));
                made.set_all("cpu-period", positive("CpuPeriod").map(|value| value.to_string()));
            }
        }
        for (option, key) in [
            ("cpu-shares", "CpuShares"),
            ("cpu-rt-period", "CpuRealtimePeriod"),
            ("cpu-rt-runtime", "CpuRealtimeRuntime"),
            ("cpu-count", "CpuCount"),
            ("cpu-percent", "CpuPercent"),
            ("blkio-weight", "BlkioWeight"),
            ("io-maxiops", "IOMaximumIOps"),
            ("io-maxbandwidth", "IOMaximumBandwidth"),
        ] {
            made.set_all(option, positive(key).map(|value| value.to_string()));
        }
        for (option, key) in [("cpuset-cpus", "CpusetCpus"), ("cpuset-mems", "CpusetMems")] {
            let set = plain(&host.get(key));
            if !set.is_empty() {
                made.set(option, set);
            }
        }
        self.block_devices(made);
        self.processes(made);
        if let Some(bytes) = positive("ShmSize").filter(|bytes| *bytes != DEFAULT_SHM) {
            made.set("shm-size", amount(bytes));
        }
        let parent = plain(&host.get("CgroupParent"));
        if !parent.is_empty() {
            made.set("cgroup-parent", parent);
        }
    }

    fn block_devices(&self, made: &mut Made) {
        let host = self.host_config();
        for (option, key, value) in [
            ("blkio-weight-device", "BlkioWeightDevice", "Weight"),
            ("device-read-bps", "BlkioDeviceReadBps", "Rate"),
            ("device-write-bps", "BlkioDeviceWriteBps", "Rate"),
            ("device-read-iops", "BlkioDeviceReadIOps", "Rate"),
            ("device-write-iops", "BlkioDeviceWriteIOps", "Rate"),
        ] {
            for device in host.get(key).list() {
                let rate = number(&device.get(value)).unwrap_or(0);
                made.set(option, format!("{}:{rate}", plain(&device.get("Path"))));
            }
        }
    }

    fn processes(&self, made: &mut Made) {
        let host = self.host_config();
        let pids = number(&host.get("PidsLimit"));
        let usual = if self.is_podman() { PODMAN_PIDS } else { 0 };
        if let Some(pids) = pids.filter(|pids| (*pids > 0 || self.is_podman()) && *pids != usual) {
            made.set("pids-limit", if pids <= 0 { "-1".to_owned() } else { pids.to_string() });
        }
        for limit in host.get("Ulimits").list() {
            let name = plain(&limit.get("Name"));
            let name = name.strip_prefix("RLIMIT_").map(str::to_ascii_lowercase).unwrap_or(name);
            let (soft, hard) = (number(&limit.get("Soft")), number(&limit.get("Hard")));
            if let (Some(soft), Some(hard)) = (soft, hard) {
                let values = if soft == hard { soft.to_string() } else { format!("{soft}:{hard}") };
                made.set("ulimit", format!("{name}={values}"));
            }
        }
        if boolean(&host.get("OomKillDisable")) {
            made.switch("oom-kill-disable");
        }
        if let Some(score) = number(&host.get("OomScoreAdj")).filter(|score| *score != 0) {
            made.set("oom-score-adj", score.to_string());
        }
    }

    // ---- life -----------------------------------------------------------------------------------------------

    fn health(&self, made: &mut Made) {
        let check = self.config().get("Healthcheck");
        let of_image = self
            .image_config("Healthcheck")
            .filter(|field| !field.is_absent())
            .or_else(|| self.image.as_ref().map(|image| image.get("Healthcheck")));
        let test = strings(&check.get("Test"));
        let lent = of_image.as_ref().map(|of| strings(&of.get("Test")));
        let words: Vec<&str> = test.iter().map(String::as_str).collect();
        if !test.is_empty() && lent.as_ref() != Some(&test) {
            match words.as_slice() {
                ["NONE"] => return made.switch("no-healthcheck"),
                ["CMD-SHELL", command] => made.set("health-cmd", *command),
                [kind, rest @ ..] => {
                    let rest = if *kind == "CMD" { rest } else { words.as_slice() };
                    let command: Vec<String> = rest.iter().map(|word| line::quote(word)).collect();
                    made.set("health-cmd", command.join(" "));
                    made.health_words = Some(rest.iter().map(|word| (*word).to_owned()).collect());
                    made.note(
                        "the health check runs without a shell, which a command line cannot say: there it needs a \
                         /bin/sh in the image",
                    );
                }
                [] => {}
            }
        }
        for (option, key) in [
            ("health-interval", "Interval"),
            ("health-timeout", "Timeout"),
            ("health-start-period", "StartPeriod"),
            ("health-start-interval", "StartInterval"),
        ] {
            let same = of_image.as_ref().is_some_and(|of| number(&of.get(key)) == number(&check.get(key)));
            if let Some(nanoseconds) = number(&check.get(key)).filter(|value| *value > 0 && !same) {
                made.set(option, duration(nanoseconds));
            }
        }
        let same = of_image.is_some_and(|of| number(&of.get("Retries")) == number(&check.get("Retries")));
        if let Some(retries) = number(&check.get("Retries")).filter(|value| *value > 0 && !same) {
            made.set("health-retries", retries.to_string());
        }
    }

    fn logging(&self, made: &mut Made) {
        let log = self.host_config().get("LogConfig");
        let driver = plain(&log.get("Type"));
        let default = self.engine.settings.log_driver.as_ref().and_then(|driver| driver.value.as_deref());
        let usual = default.unwrap_or("json-file");
        let options = log.get("Config").members();
        if !driver.is_empty() && (driver != usual || !options.is_empty()) {
            made.set("log-driver", driver);
        }
        for (name, value) in options {
            made.set("log-opt", format!("{name}={}", plain(&value)));
        }
        if self.is_podman() {
            for (option, key) in [("tag", "Tag"), ("max-size", "Size")] {
                let value = plain(&log.get(key));
                if !value.is_empty() && value != "0B" {
                    made.set("log-opt", format!("{option}={value}"));
                }
            }
        }
    }

    fn lifetime(&self, made: &mut Made) {
        let (config, host) = (self.config(), self.host_config());
        let policy = host.get("RestartPolicy");
        let name = plain(&policy.get("Name"));
        let tries = number(&policy.get("MaximumRetryCount")).unwrap_or(0);
        match name.as_str() {
            "" | "no" => {}
            "on-failure" if tries > 0 => made.set("restart", format!("on-failure:{tries}")),
            name => made.set("restart", name),
        }
        if boolean(&host.get("AutoRemove")) {
            made.switch("rm");
        }
        match host.get("Init").boolean().and_then(|init| init.value) {
            Some(true) => made.switch("init"),
            Some(false) => made.set("init", "false"),
            None => {}
        }
        let signal = match config.get("StopSignal").json() {
            Value::Number(number) => number.to_string(),
            _ => plain(&config.get("StopSignal")),
        };
        let usual = matches!(signal.as_str(), DEFAULT_STOP_SIGNAL | "15");
        let lent = self.image_config("StopSignal").map(|field| plain(&field)).filter(|text| !text.is_empty());
        if !signal.is_empty() && lent.as_ref() != Some(&signal) && !(usual && lent.is_none()) {
            made.set("stop-signal", signal);
        }
        let timeout = number(&config.get("StopTimeout"));
        let usual = if self.is_podman() { Some(10) } else { None };
        if let Some(seconds) = timeout.filter(|_| timeout != usual) {
            made.set("stop-timeout", seconds.to_string());
        }
        if boolean(&config.get("Tty")) {
            made.switch("tty");
        }
        if boolean(&config.get("OpenStdin")) {
            made.switch("interactive");
        }
    }
}

// ---- values -------------------------------------------------------------------------------------------------

pub(super) fn plain(field: &Field<'_>) -> String {
    field.plain().map(|text| text.to_string()).unwrap_or_default()
}

pub(super) fn strings(field: &Field<'_>) -> Vec<String> {
    field.texts().into_iter().filter_map(|text| text.value.map(|value| value.to_string())).collect()
}

pub(super) fn boolean(field: &Field<'_>) -> bool {
    field.boolean().is_some_and(|fact| fact.value == Some(true))
}

pub(super) fn number(field: &Field<'_>) -> Option<i64> {
    field.integer().and_then(|fact| fact.value)
}

/// Bytes in the largest unit that leaves no rest.
fn amount(bytes: i64) -> String {
    for (unit, letter) in [(1 << 30, "g"), (1 << 20, "m"), (1 << 10, "k")] {
        if bytes >= unit && bytes % unit == 0 {
            return format!("{}{letter}", bytes / unit);
        }
    }
    format!("{bytes}b")
}

/// Billionths as a decimal number.
fn decimal(billionths: i64) -> String {
    let (whole, rest) = (billionths / 1_000_000_000, billionths % 1_000_000_000);
    let text = format!("{whole}.{rest:09}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// Nanoseconds as Go writes a duration, in the largest unit that leaves no rest.
fn duration(nanoseconds: i64) -> String {
    for (unit, letter) in [
        (3_600_000_000_000, "h"),
        (60_000_000_000, "m"),
        (1_000_000_000, "s"),
        (1_000_000, "ms"),
        (1_000, "us"),
    ] {
        if nanoseconds >= unit && nanoseconds % unit == 0 {
            return format!("{}{letter}", nanoseconds / unit);
        }
    }
    format!("{nanoseconds}ns")
}

/// A port that is published.
struct Port {
    address: String,
    outside: String,
    inside: String,
    protocol: String,
}

impl Port {
    fn numbers(&self) -> Option<(u16, u16)> {
        Some((self.outside.parse().ok()?, self.inside.parse().ok()?))
    }
    fn text(&self, last: Option<(u16, u16)>) -> String {
        let range = |first: &str, last: Option<u16>| match last {
            Some(last) if last.to_string() != first => format!("{first}-{last}"),
            _ => first.to_owned(),
        };
        let outside = range(&self.outside, last.map(|(outside, _)| outside));
        let inside = range(&self.inside, last.map(|(_, inside)| inside));
        let address =
            if self.address.contains(':') { format!("[{}]", self.address) } else { self.address.clone() };
        let protocol = if self.protocol == "tcp" { String::new() } else { format!("/{}", self.protocol) };
        match (address.as_str(), outside.as_str()) {
            ("", "" | "0") => format!("{inside}{protocol}"),
            ("", outside) => format!("{outside}:{inside}{protocol}"),
            (address, "0") => format!("{address}::{inside}{protocol}"),
            (address, outside) => format!("{address}:{outside}:{inside}{protocol}"),
        }
    }
}

/// One text for each run of ports that follow one another inside and outside.
fn joined(mut ports: Vec<Port>) -> Vec<String> {
    ports.sort_by(|a, b| {
        let key = |port: &Port| (port.protocol.clone(), port.address.clone(), port.numbers());
        key(a).cmp(&key(b))
    });
    let mut texts = Vec::new();
    let mut at = 0;
    while let Some(first) = ports.get(at) {
        let mut last = first.numbers();
        let mut end = at + 1;
        while let (Some((outside, inside)), Some(next)) = (last, ports.get(end)) {
            let follows = next.protocol == first.protocol && next.address == first.address;
            let following = outside.checked_add(1).zip(inside.checked_add(1));
            if !follows || next.numbers() != following || outside == 0 {
                break;
            }
            last = next.numbers();
            end += 1;
        }
        texts.push(first.text(last));
        at = end;
    }
    texts
}

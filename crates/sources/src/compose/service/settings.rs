//! One service as the options of `docker run`, for those who start its container without Compose: a trial. Mounts are
//! not among them, which the confinement of the service has with their sources; nor is anything that concerns other
//! services. Specification: compose-spec 05-services.

use confinement::Problem;

use super::{Layer, Service};
use crate::compose::parse_env;
use crate::document::Node;

/// A command as it is written: a text that is still to be split into words, or the words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Words {
    Text(String),
    List(Vec<String>),
}

/// What a service asks of an engine.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    pub image: Option<String>,
    pub entrypoint: Option<Words>,
    pub command: Option<Words>,
    /// `test` of `healthcheck`.
    pub health: Option<Words>,
    /// Long names of `docker run` options with their values, in the order of the tables here.
    pub options: Vec<(&'static str, Option<String>)>,
}

/// Keys with one value, and the option that says the same.
const SCALARS: &[(&str, &str)] = &[
    ("cgroup", "cgroupns"),
    ("cgroup_parent", "cgroup-parent"),
    ("cpus", "cpus"),
    ("cpuset", "cpuset-cpus"),
    ("domainname", "domainname"),
    ("hostname", "hostname"),
    ("ipc", "ipc"),
    ("mem_limit", "memory"),
    ("memswap_limit", "memory-swap"),
    ("network_mode", "network"),
    ("oom_score_adj", "oom-score-adj"),
    ("pid", "pid"),
    ("pids_limit", "pids-limit"),
    ("platform", "platform"),
    ("runtime", "runtime"),
    ("shm_size", "shm-size"),
    ("stop_signal", "stop-signal"),
    ("user", "user"),
    ("userns_mode", "userns"),
    ("uts", "uts"),
    ("working_dir", "workdir"),
];

const SWITCHES: &[(&str, &str)] = &[
    ("init", "init"),
    ("privileged", "privileged"),
    ("read_only", "read-only"),
    ("stdin_open", "interactive"),
    ("tty", "tty"),
];

const LISTS: &[(&str, &str)] = &[
    ("cap_add", "cap-add"),
    ("cap_drop", "cap-drop"),
    ("device_cgroup_rules", "device-cgroup-rule"),
    ("group_add", "group-add"),
    ("security_opt", "security-opt"),
];

impl Service<'_> {
    /// The settings, and what of them could not be read.
    pub(in crate::compose) fn settings(mut self) -> (Settings, Vec<Problem>) {
        let mut settings = Settings {
            image: self.scalar("image").map(|text| text.value),
            entrypoint: self.words("entrypoint"),
            command: self.words("command"),
            health: self
                .last("healthcheck")
                .and_then(|(node, layer)| self.words_of(&node.get("test")?, &layer)),
            options: Vec::new(),
        };
        let options = &mut settings.options;
        for (key, option) in SCALARS {
            options.extend(self.scalar(key).map(|text| (*option, Some(text.value))));
        }
        for (key, option) in SWITCHES {
            let fact = self.boolean(key);
            options.extend(fact.filter(|fact| fact.value == Some(true)).map(|_| (*option, None)));
        }
        for (key, option) in LISTS {
            options.extend(self.list(key).into_iter().map(|text| (*option, Some(text.value))));
        }
        for (name, value) in self.variables() {
            options.push(("env", Some(format!("{name}={value}"))));
        }
        for (name, value) in self.pairs("sysctls") {
            options.extend(value.map(|text| ("sysctl", Some(format!("{name}={}", text.value)))));
        }
        for (name, value) in self.pairs("extra_hosts") {
            let pair = match value {
                Some(text) => format!("{name}:{}", text.value),
                None => name,
            };
            options.push(("add-host", Some(pair)));
        }
        self.ulimits(options);
        self.device_options(options);
        (settings, self.problems)
    }

    fn words(&mut self, key: &str) -> Option<Words> {
        let (node, layer) = self.last(key)?;
        self.words_of(&node, &layer)
    }

    fn words_of(&mut self, node: &Node, layer: &Layer) -> Option<Words> {
        if node.is_sequence() {
            let words = node.items().filter_map(|item| self.text(&item, layer).map(|text| text.value));
            return Some(Words::List(words.collect()));
        }
        self.text(node, layer).map(|text| Words::Text(text.value))
    }

    /// Files of variables first, which `environment` wins over.
    fn variables(&mut self) -> Vec<(String, String)> {
        let mut variables: Vec<(String, String)> = Vec::new();
        let mut set = |name: String, value: String| {
            variables.retain(|(known, _)| *known != name);
            variables.push((name, value));
        };
        let files: Vec<(Node, Layer)> = self
            .sources("env_file")
            .into_iter()
            .flat_map(|(node, layer)| {
                let items: Vec<Node> = if node.is_sequence() { node.items().collect() } else { vec![node] };
                items.into_iter().map(move |item| (item, layer.clone()))
            })
            .collect();
        for (item, layer) in files {
            let path = if item.is_mapping() { item.get("path") } else { Some(item.clone()) };
            let required = item.get("required").and_then(|node| node.as_bool()) != Some(false);
            let Some(path) = path.and_then(|node| self.text(&node, &layer)) else { continue };
            match self.project.files.read(&super::super::join(&layer.folder, &path.value)) {
                Ok(bytes) => parse_env(&String::from_utf8_lossy(&bytes))
                    .into_iter()
                    .for_each(|(name, value)| set(name, value)),
                Err(why) if required => {
                    self.problem(&item.place(), format!("`env_file`: `{}`: {why}", path.value));
                }
                Err(_) => {}
            }
        }
        for (name, value) in self.pairs("environment") {
            // A name alone is taken from where Compose runs, and left out where nothing has it.
            let environment = self.layers.last().map(|layer| layer.environment.clone());
            let value = value
                .map(|text| text.value)
                .or_else(|| environment.and_then(|environment| environment.get(&name).cloned()));
            if let Some(value) = value {
                set(name, value);
            }
        }
        variables
    }

    /// `nofile: 1024`, or `nofile: {soft: 1024, hard: 2048}`.
    fn ulimits(&mut self, options: &mut Vec<(&'static str, Option<String>)>) {
        for (node, layer) in self.sources("ulimits") {
            for (name, value) in node.entries() {
                let Some(name) = name.as_str().map(str::to_owned) else { continue };
                let mut part = |node: Option<Node>| node.and_then(|n| self.text(&n, &layer)).map(|t| t.value);
                let limit = if value.is_mapping() {
                    part(value.get("soft"))
                        .zip(part(value.get("hard")))
                        .map(|(soft, hard)| format!("{soft}:{hard}"))
                } else {
                    part(Some(value))
                };
                options.extend(limit.map(|limit| ("ulimit", Some(format!("{name}={limit}")))));
            }
        }
    }

    /// `HOST[:CONTAINER[:ACCESS]]`, or the same as a mapping.
    fn device_options(&mut self, options: &mut Vec<(&'static str, Option<String>)>) {
        for (node, layer) in self.sources("devices") {
            for item in node.items() {
                let mut part = |key: &str| item.get(key).and_then(|n| self.text(&n, &layer)).map(|t| t.value);
                let text = if item.is_mapping() {
                    part("source").map(|source| {
                        let target = part("target").unwrap_or_else(|| source.clone());
                        format!("{source}:{target}:{}", part("permissions").unwrap_or_else(|| "rwm".into()))
                    })
                } else {
                    self.text(&item, &layer).map(|text| text.value)
                };
                options.extend(text.map(|text| ("device", Some(text))));
            }
        }
        if let Some(gpus) = self.scalar("gpus") {
            options.push(("gpus", Some(gpus.value)));
        }
    }
}

impl Settings {
    /// Whether the project switches the image's health check off.
    pub fn has_no_health_check(&self) -> bool {
        match &self.health {
            Some(Words::List(words)) => words.first().is_some_and(|word| word == "NONE"),
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Context;
    use crate::compose::{self, Environment, Files};

    struct Memory {
        compose: &'static str,
        environment: Environment,
    }

    impl Files for Memory {
        fn read(&self, path: &str) -> Result<Vec<u8>, String> {
            match path {
                "/p/compose.yaml" => Ok(self.compose.into()),
                "/p/web.env" => Ok("A=file\nB=file\n".into()),
                _ => Err("no such file".into()),
            }
        }
        fn environment(&self) -> &Environment {
            &self.environment
        }
        fn home(&self) -> &str {
            "/home/user"
        }
    }

    fn settings(compose: &'static str) -> Result<Settings, Vec<Problem>> {
        let environment = Environment::from([("TAG".to_owned(), "1.2".to_owned())]);
        let files = Memory { compose, environment };
        compose::settings(&["/p/compose.yaml"], &files, "web", &Context::assumed())
    }

    #[test]
    fn a_service_is_said_in_options_of_docker_run() {
        let text = "
services:
  base: {image: none, cap_add: [NET_ADMIN], hostname: h}
  web:
    extends: base
    image: web:${TAG}
    entrypoint: [/start, a b]
    command: run --fast
    env_file: web.env
    environment: {B: own, TAG: }
    ulimits: {nofile: {soft: 1, hard: 2}, nproc: 7}
    devices: [/dev/fuse, {source: /dev/a, target: /dev/b}]
    extra_hosts: [db:10.0.0.1]
    read_only: false
    tty: true
    healthcheck: {test: [CMD, /check]}
";
        let settings = settings(text).unwrap();
        assert_eq!(settings.image.as_deref(), Some("web:1.2"));
        assert_eq!(settings.entrypoint, Some(Words::List(vec!["/start".into(), "a b".into()])));
        assert_eq!(settings.command, Some(Words::Text("run --fast".into())));
        assert_eq!(settings.health, Some(Words::List(vec!["CMD".into(), "/check".into()])));
        let options: Vec<String> = settings
            .options
            .iter()
            .map(|(name, value)| value.as_ref().map_or((*name).to_owned(), |value| format!("{name} {value}")))
            .collect();
        let expected = [
            "hostname h",
            "tty",
            "cap-add NET_ADMIN",
            "env A=file",
            "env B=own",
            "env TAG=1.2",
            "add-host db:10.0.0.1",
            "ulimit nofile=1:2",
            "ulimit nproc=7",
            "device /dev/fuse",
            "device /dev/a:/dev/b:rwm",
        ];
        assert_eq!(options, expected);
    }

    #[test]
    fn a_service_or_file_that_is_not_there_is_a_problem() {
        let message = |text| settings(text).unwrap_err()[0].message.clone();
        assert!(message("services: {db: {image: x}}").contains("there are: db"));
        assert!(message("services: {web: {image: x, env_file: other.env}}").contains("other.env"));
    }
}

//! A container as the options of the command line that makes it: what both readers of inspections yield, and both
//! writers write.

use confinement::EngineKind;

use super::SideFile;

pub(super) struct Made {
    pub(super) engine: EngineKind,
    /// Options before the verb: Podman's `--runtime`.
    pub(super) global: Vec<(&'static str, Option<String>)>,
    pub(super) name: String,
    /// What a Compose file calls it.
    pub(super) service: String,
    pub(super) image: String,
    /// `None`: the image's own.
    pub(super) entrypoint: Option<Vec<String>>,
    /// `None`: the image's own, which goes with the image's entrypoint only.
    pub(super) command: Option<Vec<String>>,
    /// By long name, in the order they are written. `None` for a switch without a value.
    pub(super) options: Vec<(&'static str, Option<String>)>,
    /// The words of a health check that runs without a shell, which the command line cannot say.
    pub(super) health_words: Option<Vec<String>>,
    /// The ports that `--publish-all` publishes, `80/tcp`.
    pub(super) all_ports: Vec<String>,
    /// Networks beyond the one that the options name.
    pub(super) more_networks: Vec<Attachment>,
    pub(super) files: Vec<SideFile>,
    pub(super) notes: Vec<String>,
}

/// A network, and what the container is there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Attachment {
    pub(super) network: String,
    pub(super) ip: Option<String>,
    pub(super) ip6: Option<String>,
    pub(super) link_local: Vec<String>,
    pub(super) aliases: Vec<String>,
    pub(super) links: Vec<String>,
    pub(super) mac: Option<String>,
}

impl Made {
    pub(super) fn new(engine: EngineKind, name: String) -> Made {
        Made {
            engine,
            global: Vec::new(),
            service: service_name(&name),
            name,
            image: String::new(),
            entrypoint: None,
            command: None,
            options: Vec::new(),
            health_words: None,
            all_ports: Vec::new(),
            more_networks: Vec::new(),
            files: Vec::new(),
            notes: Vec::new(),
        }
    }
    pub(super) fn set(&mut self, long: &'static str, value: impl Into<String>) {
        self.options.push((long, Some(value.into())));
    }
    pub(super) fn set_all(&mut self, long: &'static str, values: impl IntoIterator<Item = String>) {
        self.options.extend(values.into_iter().map(|value| (long, Some(value))));
    }
    pub(super) fn switch(&mut self, long: &'static str) {
        self.options.push((long, None));
    }
    pub(super) fn note(&mut self, text: impl Into<String>) {
        self.notes.push(text.into());
    }
    /// The last value of an option, as the engines' parsers take it.
    pub(super) fn last(&self, long: &str) -> Option<&str> {
        self.options.iter().rev().find(|(name, _)| *name == long).and_then(|(_, value)| value.as_deref())
    }
    pub(super) fn has(&self, long: &str) -> bool {
        self.options.iter().any(|(name, _)| *name == long)
    }
}

/// compose-spec, schema: service names are `^[a-zA-Z0-9._-]+$`.
pub(super) fn service_name(name: &str) -> String {
    name.chars().map(|c| if c.is_ascii_alphanumeric() || "._-".contains(c) { c } else { '-' }).collect()
}

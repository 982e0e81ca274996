//! Remedies written into Compose files.
//!
//! A service is made of layers: what it extends, then itself, in each file of the project. A setting is changed where
//! it is written, if that is a layer of this service and nobody else uses it, or all who use it want the same. Where
//! it comes from a fragment that others share, the service's own words take precedence: a key of its own stands
//! above a merged one (YAML's `<<`), and `!override` above an extended one (compose-spec, 13-merge).

use std::collections::BTreeMap;
use std::ops::Range;

use confinement::{CapabilitySet, Fact, NamespaceKind, Origin, Place, Subject};
use sources::document::Node;
use techniques::needs;
use techniques::remedy::{LimitKind, Remedy, rule_text};

use crate::draft::{Drafts, Refusal, Task};
use crate::tree::{self, Items, Value};

/// Whether a Compose file can say the remedy.
pub fn can(subject: &Subject, remedy: &Remedy) -> bool {
    match remedy {
        Remedy::DropPrivileged
        | Remedy::DropCapability(_)
        | Remedy::RemoveAllCapabilities
        | Remedy::KeepCapabilities(_)
        | Remedy::RunAsNonRoot
        | Remedy::NoNewPrivileges
        | Remedy::RemoveMount(_)
        | Remedy::ReadOnlyMount(_)
        | Remedy::PrivatePropagation(_)
        | Remedy::SeccompDefault
        | Remedy::LsmDefault
        | Remedy::DefaultPaths
        | Remedy::RemoveDevice(_)
        | Remedy::RemoveDeviceRule(_)
        | Remedy::RemoveControlApi
        | Remedy::Limit(_)
        | Remedy::RemoveSysctl(_)
        | Remedy::ReadOnlyRootfs => true,
        Remedy::PrivateNamespace(_) => !key_of(remedy).is_empty(),
        // A user namespace is the engine's to give; a service can only refuse it.
        Remedy::UserNamespace => {
            let engine = subject.confinement.engine.as_ref();
            engine.is_some_and(|e| e.settings.userns_remap.value == Some(true))
        }
        Remedy::EngineClientCertificates
        | Remedy::NoServiceAccountToken
        | Remedy::NarrowGrants { .. }
        | Remedy::RemoveSecret
        | Remedy::PinImage
        | Remedy::OwnNetwork
        | Remedy::ReadOnlyCgroup => false,
    }
}

/// Writes a task's remedies into the drafts.
pub fn edit(task: &Task<'_>, drafts: &mut Drafts<'_>) -> Result<(), Refusal> {
    let service = Service::find(task.subject, drafts)?;
    let mut change = Change { service: &service, scalars: BTreeMap::new(), lists: BTreeMap::new() };
    for remedy in task.remedies {
        change.want(task, remedy)?;
    }
    let Change { scalars, lists, .. } = change;
    let mut keys = Keys::default();
    for (key, value) in &scalars {
        service.set(task, drafts, &mut keys, key, value.as_ref())?;
    }
    for (key, list) in &lists {
        service.change_list(task, drafts, &mut keys, key, list)?;
    }
    let remove: Vec<&str> = keys.remove.iter().map(String::as_str).collect();
    let insert: Vec<(&str, Value)> = keys.insert.iter().map(|(k, v)| (k.as_str(), v.clone())).collect();
    tree::change_entries(drafts, &service.own().node, &remove, &insert)
}

/// Keys that come and go in the service's own mapping, written together: it may lose all it has.
#[derive(Default)]
struct Keys {
    remove: Vec<String>,
    insert: Vec<(String, Value)>,
}

/// The key of a service that a remedy is said with.
fn key_of(remedy: &Remedy) -> &'static [&'static str] {
    match remedy {
        Remedy::DropPrivileged => &["privileged"],
        Remedy::DropCapability(_) | Remedy::RemoveAllCapabilities | Remedy::KeepCapabilities(_) => {
            &["cap_add", "cap_drop"]
        }
        Remedy::RunAsNonRoot => &["user"],
        Remedy::NoNewPrivileges | Remedy::SeccompDefault | Remedy::LsmDefault | Remedy::DefaultPaths => {
            &["security_opt"]
        }
        Remedy::RemoveMount(_) | Remedy::ReadOnlyMount(_) | Remedy::PrivatePropagation(_) => &["volumes"],
        Remedy::PrivateNamespace(kind) => match kind {
            NamespaceKind::Pid => &["pid"],
            NamespaceKind::Net => &["network_mode"],
            NamespaceKind::Ipc => &["ipc"],
            NamespaceKind::Uts => &["uts"],
            NamespaceKind::Cgroup => &["cgroup"],
            _ => &[],
        },
        Remedy::UserNamespace => &["userns_mode"],
        Remedy::RemoveDevice(_) => &["devices"],
        Remedy::RemoveDeviceRule(_) => &["device_cgroup_rules"],
        Remedy::RemoveControlApi => &["environment", "use_api_socket"],
        Remedy::Limit(LimitKind::Memory) => &["mem_limit"],
        Remedy::Limit(LimitKind::Cpu) => &["cpus"],
        Remedy::Limit(LimitKind::Pids) => &["pids_limit"],
        Remedy::RemoveSysctl(_) => &["sysctls"],
        Remedy::ReadOnlyRootfs => &["read_only", "tmpfs"],
        _ => &[],
    }
}

/// One mapping that a service is made of.
struct Layer {
    node: Node,
    /// The layer belongs to another service, which this one extends.
    foreign: bool,
}

struct Service {
    name: String,
    layers: Vec<Layer>,
}

/// What a list key says in one place.
struct Said {
    layer: usize,
    node: Node,
    /// The entry stands in the layer's own text, and not in what it merges.
    own: bool,
}

/// What becomes of a list: positions count over all that is said of it, lowest first.
#[derive(Default)]
struct ListChange {
    remove: Vec<usize>,
    replace: Vec<(usize, Value)>,
    /// Entries to set in an item that is a mapping, by their keys from outside in.
    inside: Vec<(usize, &'static [&'static str], Value)>,
    append: Vec<Value>,
}

struct Change<'a> {
    service: &'a Service,
    /// `None` takes the key away.
    scalars: BTreeMap<&'static str, Option<Value>>,
    lists: BTreeMap<&'static str, ListChange>,
}

impl Service {
    fn find(subject: &Subject, drafts: &mut Drafts<'_>) -> Result<Service, Refusal> {
        let name = subject.name.to_string();
        let places: Vec<&Place> = match (subject.declared.as_slice(), &subject.place) {
            ([], Some(place)) => vec![place],
            (declared, _) => declared.iter().collect(),
        };
        let mut layers: Vec<Layer> = Vec::new();
        for place in places {
            let node = declared_at(drafts, place)?;
            // Each is above what it extends.
            if node.get("extends").is_some_and(|e| !e.is_null())
                && let Some(below) = layers.last_mut()
            {
                below.foreign = true;
            }
            layers.push(Layer { node, foreign: false });
        }
        if layers.is_empty() {
            return Err(Refusal::file(subject.id.clone(), "nothing says where this service is written"));
        }
        Ok(Service { name, layers })
    }

    /// The service's own mapping in the last file: where new keys go.
    fn own(&self) -> &Layer {
        // `find` refuses a service without layers.
        self.layers.last().expect("a service has a layer")
    }

    /// All that is said of a key, lowest first, from the last `!override` or `!reset` on.
    fn said(&self, key: &str) -> Vec<Said> {
        let mut said = Vec::new();
        for (layer, at) in self.layers.iter().enumerate() {
            let Some(node) = at.node.get(key) else { continue };
            if matches!(node.tag(), Some("!reset" | "!override")) {
                said.clear();
            }
            if node.tag() != Some("!reset") && !node.is_null() {
                said.push(Said { layer, own: tree::own_entry(&at.node, key).is_some(), node });
            }
        }
        said
    }

    /// Whether what is said may be changed where it stands.
    fn may_change(&self, task: &Task<'_>, key: &str, said: &Said) -> bool {
        let Some(layer) = self.layers.get(said.layer) else { return false };
        if layer.foreign {
            return false;
        }
        let in_place = said.own && tree::in_own_text(&said.node, &layer.node);
        if in_place && tree::is_shared(&said.node, &layer.node).is_none() {
            return true;
        }
        // Others use it too: it may change if all of them want the same of this key.
        in_place && self.all_want_the_same(task, key, &said.node)
    }

    fn all_want_the_same(&self, task: &Task<'_>, key: &str, node: &Node) -> bool {
        let wanted = |remedies: &[Remedy]| -> Vec<Remedy> {
            remedies.iter().filter(|r| key_of(r).contains(&key)).cloned().collect()
        };
        let here = wanted(task.remedies);
        let Some(services) = node.document_root().get("services") else { return false };
        services.entries().all(|(name, service)| {
            let uses = service.get(key).is_some_and(|other| other.is_same(node));
            let name = name.as_str().unwrap_or_default();
            !uses
                || name == self.name
                || task.all.iter().any(|(subject, remedies)| {
                    *subject.name == *name
                        && subject.place.as_ref().map(|p| &p.path) == Some(&node.place().path)
                        && wanted(remedies) == here
                })
        })
    }

    /// Sets a key that holds one value, or takes it away.
    fn set(
        &self,
        task: &Task<'_>,
        drafts: &mut Drafts<'_>,
        keys: &mut Keys,
        key: &str,
        value: Option<&Value>,
    ) -> Result<(), Refusal> {
        let Some(said) = self.said(key).pop() else {
            return match value {
                Some(value) => self.set_own(drafts, keys, key, value),
                None => Ok(()),
            };
        };
        refuse_variable(&said.node, key)?;
        if self.may_change(task, key, &said)
            && let Some(layer) = self.layers.get(said.layer)
        {
            return match value {
                Some(value) => tree::set_entry(drafts, &layer.node, key, value),
                None => self.remove_key(drafts, keys, &layer.node, key),
            };
        }
        self.refuse_own_anchor(&said, key)?;
        let value = value.cloned().unwrap_or_else(|| Value::Literal("!reset null".into()));
        self.set_own(drafts, keys, key, &value)
    }

    /// Sets a key in the service's own mapping, where it may be new.
    fn set_own(
        &self,
        drafts: &mut Drafts<'_>,
        keys: &mut Keys,
        key: &str,
        value: &Value,
    ) -> Result<(), Refusal> {
        let own = &self.own().node;
        if tree::own_entry(own, key).is_some() {
            return tree::set_entry(drafts, own, key, value);
        }
        keys.insert.push((key.to_owned(), value.clone()));
        Ok(())
    }

    fn remove_key(
        &self,
        drafts: &mut Drafts<'_>,
        keys: &mut Keys,
        layer: &Node,
        key: &str,
    ) -> Result<(), Refusal> {
        if !layer.is_same(&self.own().node) {
            return tree::remove_entry(drafts, layer, key);
        }
        keys.remove.push(key.to_owned());
        Ok(())
    }

    /// An anchor in the service's own text that others use cannot be left to them and changed here.
    fn refuse_own_anchor(&self, said: &Said, key: &str) -> Result<(), Refusal> {
        let Some(layer) = self.layers.get(said.layer) else { return Ok(()) };
        match tree::is_shared(&said.node, &layer.node) {
            Some(other) if said.own && tree::in_own_text(&said.node, &layer.node) && !layer.foreign => {
                let message = format!(
                    "`{key}` is used at line {} too, which is not to be changed: give each its own text first",
                    other.line
                );
                Err(Refusal::at(&said.node.place(), message))
            }
            _ => Ok(()),
        }
    }

    fn change_list(
        &self,
        task: &Task<'_>,
        drafts: &mut Drafts<'_>,
        keys: &mut Keys,
        key: &str,
        list: &ListChange,
    ) -> Result<(), Refusal> {
        let said = self.said(key);
        if let Some(odd) = said.iter().find(|s| !s.node.is_sequence() && !s.node.is_mapping()) {
            // `tmpfs: /run` is a list of one.
            return match (&*list.remove, &*list.replace, odd.node.as_str()) {
                ([], [], Some(text)) if odd.own => {
                    let mut all = vec![Value::text(text)];
                    all.extend(list.append.iter().cloned());
                    tree::set_entry(drafts, &self.own().node, key, &Value::List(all))
                }
                _ => Err(Refusal::at(&odd.node.place(), format!("`{key}` is not a list"))),
            };
        }
        let mut first = 0;
        let mut appended = list.append.is_empty();
        // What cannot be changed where it stands is said anew, whole, in the service's own text.
        let mut anew = false;
        let last_own = said.iter().rposition(|s| self.may_change(task, key, s));
        for (i, at) in said.iter().enumerate() {
            let range = first..first + at.node.len();
            first = range.end;
            let touched = list.remove.iter().any(|p| range.contains(p))
                || list.replace.iter().any(|(p, _)| range.contains(p))
                || list.inside.iter().any(|(p, ..)| range.contains(p));
            let append_here = !list.append.is_empty() && last_own == Some(i);
            if self.may_change(task, key, at) {
                if !touched && !append_here {
                    continue;
                }
                let Some(layer) = self.layers.get(at.layer) else { continue };
                let append: &[Value] = if append_here { &list.append } else { &[] };
                for (position, inside, value) in list.inside.iter().filter(|(p, ..)| range.contains(p)) {
                    if let Some(item) = at.node.item(position - range.start) {
                        set_inside(drafts, &item, inside, value)?;
                    }
                }
                let items = within(list, &range);
                if !items.remove.is_empty() || !items.replace.is_empty() || !append.is_empty() {
                    let all_go =
                        items.remove.len() == at.node.len() && append.is_empty() && !at.node.is_empty();
                    if all_go {
                        self.remove_key(drafts, keys, &layer.node, key)?;
                    } else {
                        change_node(drafts, &at.node, &items, append)?;
                    }
                }
                appended |= append_here;
            } else if touched {
                self.refuse_own_anchor(at, key)?;
                anew = true;
            }
        }
        if anew {
            return self.say_anew(drafts, keys, key, &said, list);
        }
        if appended {
            return Ok(());
        }
        // A key of the service's own hides what is merged in beside it: that is said again.
        let merged: Vec<&Said> = said
            .iter()
            .filter(|s| s.layer + 1 == self.layers.len() && !self.may_change(task, key, s))
            .collect();
        let mut values: Vec<Value> =
            merged.iter().flat_map(|s| s.node.items().map(|n| value_of(&n))).collect();
        values.extend(list.append.iter().cloned());
        self.set_own(drafts, keys, key, &Value::List(values))
    }

    /// The whole list as it is to be, in the service's own text.
    fn say_anew(
        &self,
        drafts: &mut Drafts<'_>,
        keys: &mut Keys,
        key: &str,
        said: &[Said],
        list: &ListChange,
    ) -> Result<(), Refusal> {
        let mut values = Vec::new();
        let mut extends = false;
        let mut first = 0;
        for at in said {
            extends |= at.layer + 1 < self.layers.len();
            if !at.node.is_sequence() {
                let message = format!("`{key}` stands in text that others share; change it there by hand");
                return Err(Refusal::at(&at.node.place(), message));
            }
            for (i, item) in (first..).zip(at.node.items()) {
                if list.remove.contains(&i) {
                    continue;
                }
                let replaced = list.replace.iter().find(|(p, _)| *p == i).map(|(_, value)| value.clone());
                let mut value = replaced.unwrap_or_else(|| value_of(&item));
                for (_, route, inside) in list.inside.iter().filter(|(p, ..)| *p == i) {
                    with_entry(&mut value, route, inside);
                }
                values.push(value);
            }
            first += at.node.len();
        }
        values.extend(list.append.iter().cloned());
        let own = &self.own().node;
        if !extends {
            return self.set_own(drafts, keys, key, &Value::List(values));
        }
        let texts: Option<Vec<String>> = values.iter().map(flow_text).collect();
        let Some(texts) = texts else {
            let message =
                format!("`{key}` stands in a service that this one extends; change it there by hand");
            return Err(Refusal::at(&own.place(), message));
        };
        let text = if texts.is_empty() {
            "!reset []".to_owned()
        } else {
            format!("!override [{}]", texts.join(", "))
        };
        self.set_own(drafts, keys, key, &Value::Literal(text))
    }
}

/// The part of a change that falls into one node, counted from its first item.
fn within(list: &ListChange, range: &Range<usize>) -> Items {
    let inside = |p: &usize| range.contains(p);
    Items {
        remove: list.remove.iter().copied().filter(inside).map(|p| p - range.start).collect(),
        replace: list
            .replace
            .iter()
            .filter(|(p, _)| inside(p))
            .map(|(p, value)| (p - range.start, value.clone()))
            .collect(),
        append: Vec::new(),
    }
}

/// Changes a list, or a mapping that stands for one (`environment`, `sysctls`), where it is written.
fn change_node(drafts: &mut Drafts<'_>, node: &Node, items: &Items, append: &[Value]) -> Result<(), Refusal> {
    if node.is_mapping() {
        let keys: Vec<Node> = node.own_entries().map(|(key, _)| key).collect();
        let names: Vec<&str> =
            items.remove.iter().filter_map(|i| keys.get(*i)).filter_map(|key| key.as_str()).collect();
        return tree::change_entries(drafts, node, &names, &[]);
    }
    let mut items = Items { append: append.to_vec(), ..items.clone() };
    // In the quotes it has.
    for (position, value) in std::mem::take(&mut items.replace) {
        match (node.item(position), value) {
            (Some(item), Value::Text(text)) if item.is_scalar() => tree::set_scalar(drafts, &item, &text)?,
            (_, value) => items.replace.push((position, value)),
        }
    }
    if items == Items::default() {
        return Ok(());
    }
    tree::change_items(drafts, node, &items)
}

/// The mapping of the service whose key stands at a place.
fn declared_at(drafts: &mut Drafts<'_>, place: &Place) -> Result<Node, Refusal> {
    for document in drafts.documents(&place.path)? {
        let Some(services) = document.root.get("services") else { continue };
        for (key, service) in services.own_entries() {
            let at = key.place();
            if (at.line, at.column) == (place.line, place.column) {
                if service.alias_place().is_some() {
                    return Err(Refusal::at(
                        place,
                        "the service is an alias of another; give it its own text first",
                    ));
                }
                return Ok(service);
            }
        }
    }
    Err(Refusal::at(place, "no service begins here: the file is not as it was read"))
}

/// A value that a variable makes is changed where the variable is set, and not here.
fn refuse_variable(node: &Node, key: &str) -> Result<(), Refusal> {
    let has_variable = node.as_str().is_some_and(|text| text.replace("$$", "").contains('$'));
    if !has_variable {
        return Ok(());
    }
    let message = format!("`{key}` is set by a variable; change it where that is set");
    Err(Refusal::at(&node.place(), message))
}

fn value_of(node: &Node) -> Value {
    if node.is_sequence() {
        return Value::List(node.items().map(|item| value_of(&item)).collect());
    }
    if node.is_mapping() {
        let entries = node.entries();
        return Value::Map(
            entries
                .map(|(key, value)| (key.as_str().unwrap_or_default().to_owned(), value_of(&value)))
                .collect(),
        );
    }
    match node.as_string_strict() {
        Some(text) => Value::text(text),
        None => Value::Literal(node.source().to_owned()),
    }
}

/// A scalar as an item of `[…]`.
fn flow_text(value: &Value) -> Option<String> {
    match value {
        Value::Literal(text) => Some(text.clone()),
        // JSON's strings are YAML's.
        Value::Text(text) => serde_json::to_string(text).ok(),
        _ => None,
    }
}

impl Change<'_> {
    /// Every item that is said of a list, with its number.
    fn items(&self, key: &str) -> Vec<(usize, Node)> {
        let said = self.service.said(key);
        let items = said.iter().flat_map(|s| match s.node.is_mapping() {
            true => s.node.own_entries().map(|(_, value)| value).collect::<Vec<_>>(),
            false => s.node.items().collect(),
        });
        items.enumerate().collect()
    }

    fn remove(&mut self, key: &'static str, positions: impl IntoIterator<Item = usize>) {
        let list = self.lists.entry(key).or_default();
        for position in positions {
            if !list.remove.contains(&position) {
                list.remove.push(position);
            }
        }
    }

    /// What an item says that a variable makes is not known here.
    fn refuse_variables(&self, key: &'static str) -> Result<(), Refusal> {
        self.items(key).iter().try_for_each(|(_, node)| refuse_variable(node, key))
    }

    fn remove_where(&mut self, key: &'static str, goes: impl Fn(&str) -> bool) -> usize {
        let items = self.items(key);
        let gone: Vec<usize> = items
            .iter()
            .filter(|(_, node)| node.as_str().is_some_and(&goes))
            .map(|(position, _)| *position)
            .collect();
        let count = gone.len();
        if count > 0 {
            self.remove(key, gone);
        }
        count
    }

    fn append(&mut self, key: &'static str, value: Value) {
        let list = self.lists.entry(key).or_default();
        if !list.append.contains(&value) {
            list.append.push(value);
        }
    }

    fn has(&self, key: &str, is_it: impl Fn(&str) -> bool) -> bool {
        let removed = self.lists.get(key).map(|l| l.remove.clone()).unwrap_or_default();
        let appended = self.lists.get(key).map(|l| l.append.clone()).unwrap_or_default();
        self.items(key).iter().any(|(i, node)| !removed.contains(i) && node.as_str().is_some_and(&is_it))
            || appended.iter().any(|value| matches!(value, Value::Text(text) if is_it(text)))
    }

    fn want(&mut self, task: &Task<'_>, remedy: &Remedy) -> Result<(), Refusal> {
        let c = &*task.subject.confinement;
        match remedy {
            Remedy::DropPrivileged => {
                self.scalars.insert("privileged", Some(Value::bool(false)));
            }
            Remedy::DropCapability(cap) => {
                let is_it = |text: &str| is_capability(text, cap.name());
                self.remove_where("cap_add", is_it);
                self.refuse_variables("cap_add")?;
                let default = c.engine.as_ref().is_some_and(|e| e.default_capabilities().has(*cap));
                let drops_all = self.has("cap_drop", |text| is_capability(text, "ALL"));
                let adds_all = self.has("cap_add", |text| is_capability(text, "ALL"));
                if adds_all || (default && !drops_all) {
                    self.append("cap_drop", Value::text(cap.name()));
                }
            }
            Remedy::RemoveAllCapabilities => {
                self.refuse_variables("cap_add")?;
                let default =
                    c.engine.as_ref().map_or(CapabilitySet::default(), |e| e.default_capabilities());
                self.remove_where("cap_add", |text| {
                    is_capability(text, "ALL") || !default.iter().any(|cap| is_capability(text, cap.name()))
                });
            }
            Remedy::KeepCapabilities(keep) => {
                let held = c.capabilities.bounding.value.unwrap_or(CapabilitySet::ALL);
                let keep: Vec<&str> =
                    keep.iter().filter(|cap| held.has(*cap)).map(|cap| cap.name()).collect();
                self.remove_where("cap_add", |text| !keep.iter().any(|cap| is_capability(text, cap)));
                for cap in keep {
                    if !self.has("cap_add", |text| is_capability(text, cap)) {
                        self.append("cap_add", Value::text(cap));
                    }
                }
                if !self.has("cap_drop", |text| is_capability(text, "ALL")) {
                    self.remove_where("cap_drop", |_| true);
                    self.append("cap_drop", Value::text("ALL"));
                } else {
                    self.remove_where("cap_drop", |text| !is_capability(text, "ALL"));
                }
            }
            Remedy::RunAsNonRoot => {
                let (user, group) = needs::user(c);
                self.scalars.insert("user", Some(Value::text(format!("{user}:{group}"))));
            }
            Remedy::NoNewPrivileges => {
                self.remove_where("security_opt", |text| option(text).0 == "no-new-privileges");
                self.append("security_opt", Value::text("no-new-privileges:true"));
            }
            Remedy::SeccompDefault => {
                self.refuse_variables("security_opt")?;
                self.remove_where("security_opt", |text| option(text).0 == "seccomp");
            }
            Remedy::LsmDefault => {
                self.refuse_variables("security_opt")?;
                self.remove_where("security_opt", |text| {
                    let (name, value) = option(text);
                    (name == "apparmor" && value == "unconfined") || name == "label"
                });
            }
            Remedy::DefaultPaths => {
                self.refuse_variables("security_opt")?;
                self.remove_where("security_opt", |text| option(text).0 == "systempaths");
            }
            Remedy::PrivateNamespace(kind) => {
                let value = match kind {
                    NamespaceKind::Ipc | NamespaceKind::Cgroup => Some(Value::text("private")),
                    _ => None,
                };
                let Some(key) = key_of(remedy).first() else {
                    return Err(self.refuse(task, remedy));
                };
                self.scalars.insert(key, value);
            }
            Remedy::UserNamespace => {
                self.scalars.insert("userns_mode", None);
            }
            Remedy::RemoveMount(target) => {
                let found = self.mounts(task, target);
                if found.is_empty() {
                    return Err(self.refuse(task, remedy));
                }
                self.remove("volumes", found.into_iter().map(|(position, _)| position));
            }
            Remedy::ReadOnlyMount(target) => {
                let found = self.mounts(task, target);
                if found.is_empty() {
                    return Err(self.refuse(task, remedy));
                }
                for (position, node) in found {
                    let read_only = |text: &str| with_mode(text, |mode| mode != "rw" && mode != "ro", "ro");
                    if !self.change_mount(position, &node, read_only, &["read_only"], Value::bool(true)) {
                        return Err(self.refuse(task, remedy));
                    }
                }
            }
            Remedy::PrivatePropagation(target) => {
                const MODES: [&str; 6] = ["shared", "rshared", "slave", "rslave", "private", "rprivate"];
                for (position, node) in self.mounts(task, target) {
                    let private = |text: &str| with_mode(text, |mode| !MODES.contains(&mode), "rprivate");
                    let keys = &["bind", "propagation"];
                    if !self.change_mount(position, &node, private, keys, Value::text("rprivate")) {
                        return Err(self.refuse(task, remedy));
                    }
                }
            }
            Remedy::RemoveDevice(path) => {
                let gone: Vec<usize> = self
                    .items("devices")
                    .into_iter()
                    .filter(|(_, node)| {
                        let source = node.get("source");
                        let text = source.as_ref().and_then(|s| s.as_str()).or_else(|| node.as_str());
                        text.is_some_and(|text| text.split(':').next() == Some(&**path))
                    })
                    .map(|(position, _)| position)
                    .collect();
                if gone.is_empty() {
                    return Err(self.refuse(task, remedy));
                }
                self.remove("devices", gone);
            }
            Remedy::RemoveDeviceRule(rule) => {
                let facts: Vec<&Fact<_>> = c
                    .devices
                    .asked
                    .iter()
                    .filter(|r| r.get().is_some_and(|r| rule_text(r) == **rule))
                    .collect();
                let gone: Vec<usize> = self
                    .items("device_cgroup_rules")
                    .into_iter()
                    .filter(|(_, node)| facts.iter().any(|fact| stands_in(&fact.origin, node)))
                    .map(|(position, _)| position)
                    .collect();
                if gone.is_empty() {
                    return Err(self.refuse(task, remedy));
                }
                self.remove("device_cgroup_rules", gone);
            }
            Remedy::RemoveControlApi => {
                let mut found = false;
                if self.service.said("use_api_socket").last().is_some_and(|s| s.node.as_bool() == Some(true))
                {
                    self.scalars.insert("use_api_socket", Some(Value::bool(false)));
                    found = true;
                }
                let gone: Vec<usize> = self
                    .items("environment")
                    .into_iter()
                    .filter(|(_, node)| c.control_apis.iter().any(|fact| stands_in(&fact.origin, node)))
                    .map(|(position, _)| position)
                    .collect();
                if gone.is_empty() && !found {
                    return Err(self.refuse(task, remedy));
                }
                if !gone.is_empty() {
                    self.remove("environment", gone);
                }
            }
            Remedy::Limit(kind) => {
                let amount = needs::limit(*kind, c);
                let (key, value) = match kind {
                    LimitKind::Memory => ("mem_limit", Value::text(format!("{}m", amount >> 20))),
                    LimitKind::Cpu => ("cpus", Value::number(amount as f64 / 1000.0)),
                    LimitKind::Pids => ("pids_limit", Value::number(amount)),
                };
                self.scalars.insert(key, Some(value));
            }
            Remedy::RemoveSysctl(name) => {
                let said = self.service.said("sysctls");
                let mut gone = Vec::new();
                let mut position = 0;
                for at in &said {
                    for (key, _) in at.node.own_entries() {
                        if key.as_str() == Some(&**name) {
                            gone.push(position);
                        }
                        position += 1;
                    }
                    for item in at.node.items() {
                        if item.as_str().and_then(|t| t.split('=').next()) == Some(&**name) {
                            gone.push(position);
                        }
                        position += 1;
                    }
                }
                if gone.is_empty() {
                    return Err(self.refuse(task, remedy));
                }
                self.remove("sysctls", gone);
            }
            Remedy::ReadOnlyRootfs => {
                self.scalars.insert("read_only", Some(Value::bool(true)));
                let under = |path: &str| {
                    let inside = |root: &str| path == root || path.starts_with(&format!("{root}/"));
                    c.mounts.iter().any(|m| inside(&m.target))
                };
                for path in needs::writable_paths(c) {
                    let written = |text: &str| text.split(':').next() == Some(path);
                    if !under(path) && !self.has("tmpfs", written) {
                        self.append("tmpfs", Value::text(path));
                    }
                }
            }
            // As `can` says.
            _ => return Err(self.refuse(task, remedy)),
        }
        Ok(())
    }

    /// Changes a volume in the syntax it has; false where its text cannot be taken apart.
    fn change_mount(
        &mut self,
        position: usize,
        node: &Node,
        short: impl Fn(&str) -> Option<String>,
        keys: &'static [&'static str],
        value: Value,
    ) -> bool {
        let list = self.lists.entry("volumes").or_default();
        if node.is_mapping() {
            list.inside.push((position, keys, value));
            return true;
        }
        if let Some((_, Value::Text(text))) = list.replace.iter_mut().find(|(p, _)| *p == position) {
            return short(text).map(|new| *text = new).is_some();
        }
        let new = node.as_str().and_then(short);
        new.map(|new| list.replace.push((position, Value::text(new)))).is_some()
    }

    /// The items of `volumes` that make a mount.
    fn mounts(&self, task: &Task<'_>, target: &str) -> Vec<(usize, Node)> {
        let mounts = task.subject.confinement.mounts.iter().filter(|m| *m.target == *target);
        let origins: Vec<&Origin> = mounts.map(|m| m.origin()).collect();
        let is_it = |node: &Node| {
            let literal = match node.as_str() {
                Some(text) => split_volume(text).and_then(|parts| parts.get(1).copied()),
                None => {
                    return node.get("target").is_some_and(|t| same_path(t.as_str().unwrap_or(""), target));
                }
            };
            literal.is_some_and(|t| same_path(t, target))
        };
        let by_place = |node: &Node| origins.iter().any(|origin| stands_in(origin, node));
        self.items("volumes").into_iter().filter(|(_, node)| is_it(node) || by_place(node)).collect()
    }

    fn refuse(&self, task: &Task<'_>, remedy: &Remedy) -> Refusal {
        let advice = remedy.advice(&task.subject.confinement, task.subject.form);
        let message = format!(
            "{}: what says it is not in the service's own text, so it cannot be changed here; do it by hand",
            advice.summary
        );
        Refusal::at(&self.service.own().node.place(), message)
    }
}

/// `cap_sys_admin`, `SYS_ADMIN` and `CAP_SYS_ADMIN` are one name.
fn is_capability(text: &str, name: &str) -> bool {
    let upper = text.trim().to_ascii_uppercase();
    upper.strip_prefix("CAP_").unwrap_or(&upper) == name
}

/// `NAME:VALUE`, `NAME=VALUE` or `NAME`.
fn option(text: &str) -> (&str, &str) {
    text.split_once(['=', ':']).unwrap_or((text, ""))
}

fn same_path(a: &str, b: &str) -> bool {
    let trimmed = |path: &str| -> String { path.trim_end_matches('/').to_owned() };
    trimmed(a) == trimmed(b)
}

/// Whether the place of a fact is in a node, or on a line of it.
fn stands_in(origin: &Origin, node: &Node) -> bool {
    let Some(place) = origin.place() else { return false };
    let at = node.place();
    let lines = node.source().trim_end().lines().count().max(1) as u32;
    place.path == at.path
        && (at.line..at.line + lines).contains(&place.line)
        && (node.is_mapping() || (place.line, place.column) == (at.line, at.column))
}

/// The parts of a short volume, colons inside of `${…}` left alone.
fn split_volume(text: &str) -> Option<Vec<&str>> {
    let mut parts = Vec::new();
    let (mut depth, mut start) = (0u32, 0);
    for (i, character) in text.char_indices() {
        match character {
            '{' => depth += 1,
            '}' => depth = depth.checked_sub(1)?,
            ':' if depth == 0 => {
                parts.push(text.get(start..i)?);
                start = i + 1;
            }
            _ => {}
        }
    }
    parts.push(text.get(start..)?);
    (depth == 0).then_some(parts)
}

/// A short volume with one mode put in, in place of those that do not stay.
fn with_mode(text: &str, stays: impl Fn(&str) -> bool, mode: &str) -> Option<String> {
    let parts = split_volume(text)?;
    let (source, target, modes) = match parts.as_slice() {
        [source, target] => (source, target, ""),
        [source, target, modes] if !modes.contains('$') => (source, target, *modes),
        _ => return None,
    };
    let mut kept: Vec<&str> = modes.split(',').filter(|m| !m.is_empty() && stays(m)).collect();
    kept.push(mode);
    Some(format!("{source}:{target}:{}", kept.join(",")))
}

/// Sets an entry of a value, by its keys from outside in.
fn with_entry(value: &mut Value, keys: &[&str], inside: &Value) {
    let Value::Map(entries) = value else { return };
    let Some((key, rest)) = keys.split_first() else { return };
    let at = match entries.iter().position(|(k, _)| k == key) {
        Some(at) => at,
        None => {
            entries.push(((*key).to_owned(), Value::Map(Vec::new())));
            entries.len() - 1
        }
    };
    if let Some((_, entry)) = entries.get_mut(at) {
        if rest.is_empty() {
            *entry = inside.clone();
        } else {
            with_entry(entry, rest, inside);
        }
    }
}

/// Sets an entry of an item where it is written.
fn set_inside(drafts: &mut Drafts<'_>, item: &Node, keys: &[&str], value: &Value) -> Result<(), Refusal> {
    match keys {
        [key] => tree::set_entry(drafts, item, key, value),
        [key, rest @ ..] => match tree::own_entry(item, key) {
            Some((_, node)) if node.is_mapping() => set_inside(drafts, &node, rest, value),
            _ => {
                let mut made = Value::Map(Vec::new());
                with_entry(&mut made, rest, value);
                tree::set_entry(drafts, item, key, &made)
            }
        },
        [] => Ok(()),
    }
}

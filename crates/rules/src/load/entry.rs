//! One entry of a file: a rule, a macro, a list, or what the file requires.

use std::collections::BTreeSet;

use crate::ast::{is_bare, is_identifier};
use crate::document::Value;

use super::exception::{Entry, Exception};
use super::source::{Place, Text};
use super::version::Version;
use super::{
    BUILT_IN_PLUGINS, Capture, ENGINE_VERSION, ListDefinition, Loader, MAXIMUM_ENTRIES, MacroDefinition,
    Priority, RuleDefinition,
};

const RULE_KEYS: &[&str] = &[
    "rule",
    "desc",
    "condition",
    "output",
    "priority",
    "source",
    "enabled",
    "tags",
    "exceptions",
    "append",
    "override",
    "warn_evttypes",
    "skip-if-unknown-filter",
    "capture",
    "capture_duration",
    "capture_events",
    "capture_filesize",
];
const APPENDABLE: &[&str] = &["condition", "output", "desc", "tags", "exceptions"];
const REPLACEABLE: &[&str] = &[
    "condition",
    "output",
    "desc",
    "priority",
    "tags",
    "exceptions",
    "enabled",
    "warn_evttypes",
    "skip-if-unknown-filter",
    "capture",
    "capture_duration",
    "capture_events",
    "capture_filesize",
];

/// What is wrong, and where.
type Complaint = (Place, String);
type Result<T> = std::result::Result<T, Complaint>;

fn complain<T>(place: &Place, message: impl Into<String>) -> Result<T> {
    Err((place.clone(), message.into()))
}

/// The only event source there is.
pub(super) const SYSCALL: &str = "syscall";

impl Loader {
    pub(super) fn entry(&mut self, entry: &Place) {
        if !matches!(entry.node.value, Value::Mapping(_)) {
            return self
                .error(entry, "an entry is a mapping: `rule: …`, `macro: …` or `list: …` with its keys");
        }
        self.repeated_keys(entry);
        let known = |key: &str| entry.node.get(key).is_some();
        let outcome = if known("required_engine_version") {
            self.keys(entry, &["required_engine_version"]);
            required_engine_version(entry)
        } else if known("required_plugin_versions") {
            self.keys(entry, &["required_plugin_versions"]);
            self.required_plugin_versions(entry)
        } else if known("list") {
            self.keys(entry, &["list", "items", "append", "override"]);
            self.list(entry)
        } else if known("macro") {
            self.keys(entry, &["macro", "condition", "append", "override"]);
            self.macro_(entry)
        } else if known("rule") {
            self.keys(entry, RULE_KEYS);
            self.rule(entry)
        } else {
            self.warning(entry, "no rule, no macro and no list: this entry is not read");
            Ok(())
        };
        if let Err((place, message)) = outcome {
            self.error(&place, message);
        }
    }

    fn repeated_keys(&mut self, mapping: &Place) {
        let Value::Mapping(entries) = &mapping.node.value else { return };
        for (index, (key, _)) in entries.iter().enumerate() {
            let name = key.text();
            if name.is_some() && entries.iter().take(index).any(|(before, _)| before.text() == name) {
                let message =
                    format!("the key `{}` stands twice; the first counts", name.unwrap_or_default());
                self.warning(&mapping.of(key), message);
            }
        }
    }

    /// Warns about keys that are not read.
    fn keys(&mut self, mapping: &Place, known: &[&str]) {
        let Value::Mapping(entries) = &mapping.node.value else { return };
        for (key, _) in entries {
            let name = key.text().unwrap_or("");
            let name = name.get(..64).unwrap_or(name);
            if !known.contains(&name) {
                let near =
                    known.iter().map(|k| (crate::fields::distance(name, k), *k)).min().filter(|n| n.0 <= 2);
                let hint = match near {
                    Some((_, near)) => format!("did you mean `{near}`?"),
                    None => format!("known are {}", known.join(", ")),
                };
                let message = format!("the key `{name}` is not known here; {hint}");
                self.warning(&mapping.of(key), message);
            }
        }
    }

    fn required_plugin_versions(&mut self, entry: &Place) -> Result<()> {
        let Some(list) = entry.get("required_plugin_versions") else { return Ok(()) };
        let Value::Sequence(plugins) = &list.node.value else {
            return complain(&list, "a list of plugins is expected, each with name and version");
        };
        for plugin in plugins {
            let plugin = list.of(plugin);
            self.keys(&plugin, &["name", "version", "alternatives"]);
            let mut alternatives = vec![requirement(&plugin)?];
            if let Some(others) = plugin.get("alternatives") {
                let Value::Sequence(items) = &others.node.value else {
                    return complain(&others, "a list of plugins is expected, each with name and version");
                };
                for item in items {
                    self.keys(&others.of(item), &["name", "version"]);
                    alternatives.push(requirement(&others.of(item))?);
                }
            }
            let mut names = BTreeSet::new();
            if let Some((twice, _)) = alternatives.iter().find(|(name, _)| !names.insert(name.clone())) {
                return complain(
                    &plugin,
                    format!("the plugin `{twice}` stands twice among the alternatives"),
                );
            }
            let met = |(name, wanted): &(String, Version)| {
                BUILT_IN_PLUGINS.iter().any(|(known, version)| known == name && version.satisfies(wanted))
            };
            if !alternatives.iter().any(met) {
                let wanted: Vec<_> =
                    alternatives.iter().map(|(name, version)| format!("{name} {version}")).collect();
                let known: Vec<_> =
                    BUILT_IN_PLUGINS.iter().map(|(name, version)| format!("{name} {version}")).collect();
                let message = format!(
                    "the plugin {} is required; built in is {}",
                    wanted.join(" or "),
                    known.join(", ")
                );
                self.error(&plugin, message);
            }
        }
        Ok(())
    }

    fn list(&mut self, entry: &Place) -> Result<()> {
        let name = required_text(entry, "list")?;
        if !name.bytes().all(is_bare) {
            return complain(
                entry,
                format!("`{name}` cannot be a list's name: no blanks, quotes, ( ) , or ="),
            );
        }
        let items = match entry.get("items") {
            None => return complain(entry, format!("the list `{name}` has no items")),
            Some(items) => sequence(&items)?,
        };
        let append = self.appends(entry, &["items"])?;
        self.number();
        if append {
            return match self.lists.get_mut(&name) {
                None => complain(entry, format!("no list `{name}` is there to append to")),
                Some(list) => {
                    list.items.extend(items);
                    Ok(())
                }
            };
        }
        self.room(entry)?;
        let definition = ListDefinition { items, place: entry.clone() };
        match self.lists.get_mut(&name) {
            Some(list) => *list = definition,
            None => self.lists.insert(name, definition),
        }
        Ok(())
    }

    fn macro_(&mut self, entry: &Place) -> Result<()> {
        let name = required_text(entry, "macro")?;
        if !is_identifier(&name) {
            let message = format!("`{name}` cannot be a macro's name: a letter, then letters, digits and _");
            return complain(entry, message);
        }
        let condition = text_place(entry, "condition")?;
        let append = self.appends(entry, &["condition"])?;
        let number = self.number();
        if append {
            return match self.macros.get_mut(&name) {
                None => complain(entry, format!("no macro `{name}` is there to append to")),
                Some(found) => {
                    found.condition.parts.push(condition);
                    found.visibility = number;
                    Ok(())
                }
            };
        }
        self.room(entry)?;
        let (condition, place) = (Text::of(condition), entry.clone());
        match self.macros.get_mut(&name) {
            Some(found) => {
                *found = MacroDefinition { condition, place, index: found.index, visibility: number }
            }
            None => {
                let definition = MacroDefinition { condition, place, index: number, visibility: number };
                self.macros.insert(name, definition);
            }
        }
        Ok(())
    }

    fn room(&self, entry: &Place) -> Result<()> {
        match self.lists.items.len() + self.macros.items.len() + self.rules.items.len() < MAXIMUM_ENTRIES {
            true => Ok(()),
            false => complain(entry, format!("more than {MAXIMUM_ENTRIES} entries")),
        }
    }

    /// Whether a list or macro is appended to, by either way of saying so.
    fn appends(&mut self, entry: &Place, keys: &[&str]) -> Result<bool> {
        let flag = boolean(entry, "append")?.unwrap_or(false);
        let overrides = self.overrides(entry, keys, keys)?;
        self.append_is_old(entry, flag, &overrides)?;
        Ok(flag || overrides.iter().any(|(_, append, _)| *append))
    }

    fn append_is_old(
        &mut self,
        entry: &Place,
        flag: bool,
        overrides: &[(String, bool, Place)],
    ) -> Result<()> {
        let Some(append) = entry.get("append").filter(|_| flag) else { return Ok(()) };
        if !overrides.is_empty() {
            return complain(&append, "`append` and `override` do not go together");
        }
        self.warning(&append, "`append` is deprecated; use `override`");
        Ok(())
    }

    /// The keys of `override`, each with whether it appends.
    fn overrides(
        &mut self,
        entry: &Place,
        appendable: &[&str],
        replaceable: &[&str],
    ) -> Result<Vec<(String, bool, Place)>> {
        let Some(overrides) = entry.get("override") else { return Ok(Vec::new()) };
        let Value::Mapping(pairs) = &overrides.node.value else {
            return complain(&overrides, "`override` holds keys, each with `append` or `replace`");
        };
        self.repeated_keys(&overrides);
        let mut read: Vec<(String, bool, Place)> = Vec::new();
        for (key, operation) in pairs {
            let (place, name) = (overrides.of(key), key.text().unwrap_or("").to_owned());
            let append = match operation.text() {
                Some("append") if appendable.contains(&name.as_str()) => true,
                Some("replace") if replaceable.contains(&name.as_str()) => false,
                Some("append") if replaceable.contains(&name.as_str()) => {
                    return complain(&place, format!("`{name}` cannot be appended to; use `replace`"));
                }
                Some("append" | "replace") => {
                    return complain(&place, format!("`{name}` cannot be overridden"));
                }
                other => {
                    let found = other.unwrap_or("this");
                    return complain(
                        &overrides.of(operation),
                        format!("`{found}` is neither `append` nor `replace`"),
                    );
                }
            };
            if !read.iter().any(|(known, ..)| *known == name) {
                read.push((name, append, place));
            }
        }
        Ok(read)
    }

    fn rule(&mut self, entry: &Place) -> Result<()> {
        let name = required_text(entry, "rule")?;
        let flag = boolean(entry, "append")?.unwrap_or(false);
        let overrides = self.overrides(entry, APPENDABLE, REPLACEABLE)?;
        self.append_is_old(entry, flag, &overrides)?;
        self.number();
        if !overrides.is_empty() {
            return self.override_rule(entry, &name, &overrides);
        }
        if flag {
            return self.append_rule(entry, &name);
        }
        let defines =
            ["condition", "output", "desc", "priority"].iter().any(|key| entry.node.get(key).is_some());
        if !defines {
            return self.enable_rule(entry, &name);
        }
        self.define_rule(entry, name)
    }

    fn define_rule(&mut self, entry: &Place, name: String) -> Result<()> {
        let exceptions = self.exceptions(entry, false)?;
        for exception in &exceptions {
            exception.validate()?;
        }
        let definition = RuleDefinition {
            condition: Text::of(text_place(entry, "condition")?),
            output: Text::of(text_place(entry, "output")?),
            description: required_text(entry, "desc")?,
            priority: priority(entry)?,
            tags: tags(entry)?,
            source: optional_text(entry, "source")?.unwrap_or_else(|| SYSCALL.to_owned()),
            enabled: boolean(entry, "enabled")?.unwrap_or(true),
            warn_evttypes: boolean(entry, "warn_evttypes")?.unwrap_or(true),
            skip_if_unknown: boolean(entry, "skip-if-unknown-filter")?.unwrap_or(false),
            exceptions,
            capture: Capture {
                wanted: boolean(entry, "capture")?.unwrap_or(false),
                duration: whole_number(entry, "capture_duration")?,
                events: whole_number(entry, "capture_events")?,
                file_size: whole_number(entry, "capture_filesize")?,
            },
            place: entry.clone(),
        };
        if definition.source != SYSCALL {
            let message =
                format!("no source `{}` is here, only `{SYSCALL}`: the rule is left out", definition.source);
            self.warning(entry, message);
        }
        self.room(entry)?;
        match self.rules.get_mut(&name) {
            Some(found) if found.source != definition.source => {
                let message = format!("the rule is there already, with the source `{}`", found.source);
                complain(entry, message)
            }
            Some(found) => {
                *found = definition;
                Ok(())
            }
            None => {
                self.rules.insert(name, definition);
                Ok(())
            }
        }
    }

    fn enable_rule(&mut self, entry: &Place, name: &str) -> Result<()> {
        let Some(enabled) = boolean(entry, "enabled")? else {
            return complain(
                entry,
                "the rule has no condition, output, desc and priority, and no `enabled` either",
            );
        };
        self.warning(entry, "`enabled` alone is deprecated; use `override: {enabled: replace}`");
        match self.rules.get_mut(name) {
            None => complain(entry, format!("no rule `{name}` is there to switch on or off")),
            Some(rule) => {
                rule.enabled = enabled;
                Ok(())
            }
        }
    }

    fn append_rule(&mut self, entry: &Place, name: &str) -> Result<()> {
        let exceptions = self.exceptions(entry, true)?;
        let condition = match entry.get("condition") {
            None => None,
            Some(_) => Some(text_place(entry, "condition")?),
        };
        if condition.is_none() && exceptions.is_empty() {
            return complain(entry, "a condition or exceptions are expected to append");
        }
        let Some(rule) = self.rules.get_mut(name) else {
            return complain(entry, format!("no rule `{name}` is there to append to"));
        };
        append_exceptions(rule, exceptions)?;
        rule.condition.parts.extend(condition);
        Ok(())
    }

    fn override_rule(
        &mut self,
        entry: &Place,
        name: &str,
        overrides: &[(String, bool, Place)],
    ) -> Result<()> {
        for (key, append, place) in overrides {
            if entry.node.get(key).is_none() {
                let how = if *append { "appended to" } else { "replaced" };
                return complain(place, format!("`{key}` is to be {how}, and is not given"));
            }
        }
        if let Value::Mapping(pairs) = &entry.node.value {
            for (key, _) in pairs {
                let name = key.text().unwrap_or("");
                let overridable = REPLACEABLE.contains(&name) || APPENDABLE.contains(&name);
                if overridable && !overrides.iter().any(|(known, ..)| known == name) {
                    return complain(
                        &entry.of(key),
                        format!("`{name}` is given, and `override` does not name it"),
                    );
                }
            }
        }
        // All is read before anything is changed.
        let exceptions = match overrides.iter().any(|(key, ..)| key == "exceptions") {
            true => self.exceptions(entry, true)?,
            false => Vec::new(),
        };
        if !self.rules.by_name.contains_key(name) {
            return complain(entry, format!("no rule `{name}` is there to override"));
        }
        let Some(rule) = self.rules.get_mut(name) else { return Ok(()) };
        let mut changed = RuleDefinition {
            condition: rule.condition.clone(),
            output: rule.output.clone(),
            description: rule.description.clone(),
            tags: rule.tags.clone(),
            source: rule.source.clone(),
            exceptions: rule.exceptions.clone(),
            place: rule.place.clone(),
            ..*rule
        };
        for (key, append, _) in overrides {
            match (key.as_str(), append) {
                ("condition", true) => changed.condition.parts.push(text_place(entry, key)?),
                ("condition", false) => changed.condition = Text::of(text_place(entry, key)?),
                ("output", true) => changed.output.parts.push(text_place(entry, key)?),
                ("output", false) => changed.output = Text::of(text_place(entry, key)?),
                ("desc", true) => {
                    changed.description.push(' ');
                    changed.description.push_str(&required_text(entry, key)?);
                }
                ("desc", false) => changed.description = required_text(entry, key)?,
                ("tags", true) => changed.tags.extend(tags(entry)?),
                ("tags", false) => changed.tags = tags(entry)?,
                ("exceptions", true) => append_exceptions(&mut changed, exceptions.clone())?,
                ("exceptions", false) => {
                    exceptions.iter().try_for_each(Exception::validate)?;
                    changed.exceptions.clone_from(&exceptions);
                }
                ("priority", _) => changed.priority = priority(entry)?,
                ("enabled", _) => changed.enabled = boolean(entry, key)?.unwrap_or(true),
                ("warn_evttypes", _) => changed.warn_evttypes = boolean(entry, key)?.unwrap_or(true),
                ("skip-if-unknown-filter", _) => {
                    changed.skip_if_unknown = boolean(entry, key)?.unwrap_or(false)
                }
                ("capture", _) => changed.capture.wanted = boolean(entry, key)?.unwrap_or(false),
                ("capture_duration", _) => changed.capture.duration = whole_number(entry, key)?,
                ("capture_events", _) => changed.capture.events = whole_number(entry, key)?,
                ("capture_filesize", _) => changed.capture.file_size = whole_number(entry, key)?,
                _ => {}
            }
        }
        *rule = changed;
        Ok(())
    }

    fn exceptions(&mut self, entry: &Place, append: bool) -> Result<Vec<Exception>> {
        let Some(list) = entry.get("exceptions").filter(|list| !list.node.is_null()) else {
            return Ok(Vec::new());
        };
        let Value::Sequence(items) = &list.node.value else {
            return complain(&list, "exceptions are a list, each with name, fields, comps and values");
        };
        let mut exceptions: Vec<Exception> = Vec::new();
        for item in items {
            let place = list.of(item);
            if !matches!(item.value, Value::Mapping(_)) {
                return complain(&place, "an exception has the keys name, fields, comps and values");
            }
            self.repeated_keys(&place);
            self.keys(&place, &["name", "fields", "comps", "values"]);
            let name = required_text(&place, "name")?;
            if exceptions.iter().any(|known| known.name == name) {
                return complain(&place, format!("the exception `{name}` stands twice"));
            }
            let part = |key: &str| place.get(key).map(|part| Entry::read(&part, 0)).transpose();
            let (fields, comparisons) = (part("fields")?, part("comps")?);
            if fields.is_none() && !append {
                return complain(&place, format!("the exception `{name}` has no fields"));
            }
            let values = match place.get("values") {
                None => {
                    if append {
                        self.warning(&place, format!("the exception `{name}` is appended to without values"));
                    }
                    Vec::new()
                }
                Some(values) => match Entry::read(&values, 0)? {
                    Entry::Many(values, _) => values,
                    Entry::Single(place) => return complain(&place, "values are a list"),
                },
            };
            exceptions.push(Exception { name, fields, comparisons, values, place });
        }
        Ok(exceptions)
    }
}

fn append_exceptions(rule: &mut RuleDefinition, exceptions: Vec<Exception>) -> Result<()> {
    for exception in exceptions {
        match rule.exceptions.iter_mut().find(|known| known.name == exception.name) {
            None => {
                exception.validate()?;
                if exception.values.is_empty() {
                    return complain(
                        &exception.place,
                        format!("the exception `{}` has no values", exception.name),
                    );
                }
                rule.exceptions.push(exception);
            }
            Some(_) if exception.fields.is_some() || exception.comparisons.is_some() => {
                let message =
                    format!("the exception `{}` is there; only values can be appended", exception.name);
                return complain(&exception.place, message);
            }
            Some(known) => known.values.extend(exception.values),
        }
    }
    Ok(())
}

fn required_engine_version(entry: &Place) -> Result<()> {
    let text = required_text(entry, "required_engine_version")?;
    let place = entry.get("required_engine_version").unwrap_or_else(|| entry.clone());
    let wanted = match text.parse() {
        Ok(minor) => Version { major: ENGINE_VERSION.major, minor, patch: 0 },
        Err(_) => match Version::parse(&text) {
            Some(version) => version,
            None => return complain(&place, format!("`{text}` is no version, such as 0.57.0 or 57")),
        },
    };
    match ENGINE_VERSION.satisfies(&wanted) {
        true => Ok(()),
        false => complain(
            &place,
            format!("rules for version {wanted} of the engine are wanted; this is {ENGINE_VERSION}"),
        ),
    }
}

fn requirement(plugin: &Place) -> Result<(String, Version)> {
    if !matches!(plugin.node.value, Value::Mapping(_)) {
        return complain(plugin, "a plugin has the keys name and version");
    }
    let (name, text) = (required_text(plugin, "name")?, required_text(plugin, "version")?);
    match Version::parse(&text) {
        Some(version) => Ok((name, version)),
        None => complain(
            &plugin.get("version").unwrap_or_else(|| plugin.clone()),
            format!("`{text}` is no version"),
        ),
    }
}

fn text_place(entry: &Place, key: &str) -> Result<Place> {
    let Some(place) = entry.get(key) else { return complain(entry, format!("the key `{key}` is missing")) };
    match place.node.text() {
        None => complain(&place, format!("`{key}` is a text")),
        Some(_) if place.node.is_null() => complain(entry, format!("the key `{key}` is empty")),
        Some(text) if text.trim().is_empty() => complain(entry, format!("the key `{key}` is empty")),
        Some(_) => Ok(place),
    }
}

fn required_text(entry: &Place, key: &str) -> Result<String> {
    text_place(entry, key).map(|place| place.text().trim().to_owned())
}

fn optional_text(entry: &Place, key: &str) -> Result<Option<String>> {
    match entry.get(key) {
        None => Ok(None),
        Some(_) => required_text(entry, key).map(Some),
    }
}

fn boolean(entry: &Place, key: &str) -> Result<Option<bool>> {
    let Some(text) = optional_text(entry, key)? else { return Ok(None) };
    match text.to_ascii_lowercase().as_str() {
        "true" | "yes" | "on" | "y" => Ok(Some(true)),
        "false" | "no" | "off" | "n" => Ok(Some(false)),
        _ => complain(&entry.get(key).unwrap_or_else(|| entry.clone()), format!("`{key}` is true or false")),
    }
}

fn whole_number(entry: &Place, key: &str) -> Result<Option<u64>> {
    let Some(text) = optional_text(entry, key)? else { return Ok(None) };
    match text.parse() {
        Ok(number) => Ok(Some(number)),
        Err(_) => {
            complain(&entry.get(key).unwrap_or_else(|| entry.clone()), format!("`{key}` is a whole number"))
        }
    }
}

fn priority(entry: &Place) -> Result<Priority> {
    let text = required_text(entry, "priority")?;
    match Priority::by_name(&text) {
        Some(priority) => Ok(priority),
        None => {
            let known: Vec<_> = Priority::ALL.iter().map(|(name, _)| *name).collect();
            let message = format!("`{text}` is no priority; use {}", known.join(", "));
            complain(&entry.get("priority").unwrap_or_else(|| entry.clone()), message)
        }
    }
}

fn tags(entry: &Place) -> Result<BTreeSet<String>> {
    match entry.get("tags") {
        None => Ok(BTreeSet::new()),
        Some(tags) => Ok(sequence(&tags)?.iter().map(|tag| tag.text().to_owned()).collect()),
    }
}

/// The scalars of a list.
fn sequence(place: &Place) -> Result<Vec<Place>> {
    let Value::Sequence(items) = &place.node.value else { return complain(place, "a list is expected") };
    let mut scalars = Vec::with_capacity(items.len());
    for item in items {
        let item = place.of(item);
        match &item.node.value {
            Value::Scalar(_) if !item.node.is_null() => scalars.push(item),
            _ => return complain(&item, "a text is expected; `null` and the like are quoted"),
        }
    }
    Ok(scalars)
}

//! The values of options that Compose, `docker run`, `podman run` and Quadlet have in common: a volume, a
//! `--mount`, a security option, a namespace mode, a device, a limit. Text with its origin goes in, pieces of a
//! [`Request`](confinement::Request) come out; the readers of those formats know where the text stands and put
//! the pieces together.
//!
//! Nothing here reads a file or decides a default: what a value refers to beyond itself is asked of
//! [`Surroundings`]. A value that no engine would accept is an error message, without its place, which the
//! reader adds.

mod amount;
mod device;
mod mount;
mod namespace;
mod security;

use std::sync::Arc;

use confinement::{ControlApi, EngineKind, Fact, MountSource, Origin, Place};

pub use amount::{boolean, bytes, cpus, pids, sysctl};
pub use device::{device, device_rule, gpus};
pub use mount::{
    MountKind, MountParts, mount, path_source, propagation, tmpfs, unread_mount, volume, volume_content,
};
pub use namespace::{
    cgroup_namespace, id_maps, ipc_namespace, network, pid_namespace, user_namespace, uts_namespace,
};
pub use security::{capability, seccomp_profile, security_option};

/// Stands in a value for text that cannot be known from here, such as a shell variable that nothing sets
/// (U+FFFC, object replacement character). The facts that depend on it become unknown; the others are read.
pub const UNKNOWN: char = '\u{FFFC}';

/// What a value names beyond itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reference<'a> {
    Container(&'a str),
    /// A service of the same Compose project.
    Service(&'a str),
}

/// What a value may depend on that does not stand in it. The reader supplies the answers.
pub struct Surroundings<'a> {
    pub engine: EngineKind,
    /// The absolute folder that relative paths start from.
    pub folder: &'a str,
    /// The absolute folder that `~` stands for.
    pub home: &'a str,
    /// What a volume of this name shows. Use [`volume_content`] for one that is declared with driver options.
    pub volume: &'a dyn Fn(&str, &Origin) -> Fact<MountSource>,
    /// The id of the subject that holds a namespace.
    pub subject: &'a dyn Fn(Reference<'_>) -> Arc<str>,
    /// The text of a file named by a value (a seccomp profile), or why it cannot be had.
    pub read_file: &'a dyn Fn(&str) -> Result<String, String>,
}

/// The origin of a part of a value. `part` must be a slice of `text`; where it is not, or where the text in the
/// file is not the value letter by letter (escapes, folded lines), the whole value is the origin.
pub fn part_origin(origin: &Origin, text: &str, part: &str) -> Origin {
    let Origin::File(place) = origin else { return origin.clone() };
    let start = (part.as_ptr() as usize).wrapping_sub(text.as_ptr() as usize);
    let Some(before) = text.get(..start) else { return origin.clone() };
    if text.get(start..start + part.len()) != Some(part) || part.is_empty() {
        return origin.clone();
    }
    let characters = text.chars().count();
    let quote = match (place.length as usize).checked_sub(characters) {
        Some(0) => 0,
        // Two quotes around it.
        Some(2) => 1,
        _ => return origin.clone(),
    };
    let clamp = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    let column = place.column.saturating_add(clamp(before.chars().count() + quote));
    Origin::File(Place::new(&place.path, place.line, column, clamp(part.chars().count())))
}

/// A text as a fact: unknown where a part of it cannot be known.
pub fn text(value: &str, origin: Origin) -> Fact<Arc<str>> {
    Fact { value: (!value.contains(UNKNOWN)).then(|| value.into()), origin }
}

/// Reads `value` with `read`, unless a part of it cannot be known: then the fact is unknown.
pub fn known<T>(
    value: &str,
    origin: Origin,
    read: impl FnOnce(&str) -> Result<T, String>,
) -> Result<Fact<T>, String> {
    if value.contains(UNKNOWN) {
        return Ok(Fact::unknown(origin));
    }
    Ok(Fact::known(read(value)?, origin))
}

/// The engine APIs that a container's environment points it to: `DOCKER_HOST` and `CONTAINER_HOST` with a TCP
/// address, the address with the origin of its variable. A Unix socket counts only where it is mounted, and
/// `ssh://` asks for a key that is not in the variable.
pub fn control_apis<'a>(
    environment: impl IntoIterator<Item = (&'a str, Option<&'a str>, Origin)>,
) -> Vec<Fact<ControlApi>> {
    let mut found = Vec::new();
    let mut verified = false;
    for (name, value, origin) in environment {
        match (name, value) {
            // docker(1): any value that is not empty asks the daemon for its certificate and shows one's own.
            ("DOCKER_TLS_VERIFY", Some(value)) => verified = !value.is_empty(),
            ("DOCKER_HOST" | "CONTAINER_HOST", Some(value)) => found.push((value, origin)),
            _ => {}
        }
    }
    found
        .into_iter()
        .filter_map(|(value, origin)| {
            let address = value.trim();
            let tcp = ["tcp://", "http://", "https://"].iter().any(|scheme| address.starts_with(scheme));
            if address.starts_with(UNKNOWN) {
                return Some(Fact::unknown(origin));
            }
            let tls = if verified || address.starts_with("https://") {
                Some(true)
            } else if address.trim_end_matches('/').ends_with(":2376") {
                // The port registered for the API with TLS.
                None
            } else {
                Some(false)
            };
            tcp.then(|| Fact::known(ControlApi::EngineTcp { address: address.into(), tls }, origin))
        })
        .collect()
}

/// Splits one comma-separated line of values as Go's encoding/csv does for `--mount` and `--device` lists: a
/// field in double quotes may hold commas, and `""` in it is a quote.
fn comma_separated(text: &str) -> Result<Vec<std::borrow::Cow<'_, str>>, String> {
    use std::borrow::Cow;
    let mut fields = Vec::new();
    let mut rest = text;
    loop {
        if let Some(quoted) = rest.strip_prefix('"') {
            let mut field = String::new();
            let mut open = quoted;
            loop {
                let (inside, after) = open.split_once('"').ok_or("a quoted field is not closed")?;
                field.push_str(inside);
                match after.strip_prefix('"') {
                    Some(more) => {
                        field.push('"');
                        open = more;
                    }
                    None => {
                        rest = after;
                        break;
                    }
                }
            }
            fields.push(Cow::Owned(field));
            match rest.strip_prefix(',') {
                Some(more) => rest = more,
                None if rest.is_empty() => return Ok(fields),
                None => return Err("text stands behind a quoted field".into()),
            }
        } else {
            match rest.split_once(',') {
                Some((field, more)) => {
                    fields.push(Cow::Borrowed(field));
                    rest = more;
                }
                None => {
                    fields.push(Cow::Borrowed(rest));
                    return Ok(fields);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;

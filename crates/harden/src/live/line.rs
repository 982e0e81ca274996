//! Words of a container as a command line for a POSIX shell, one option a line.

use confinement::EngineKind;

use super::made::{Attachment, Made};

pub(super) fn write(made: &Made) -> String {
    let engine = made.engine.name();
    let mut head = engine.to_owned();
    for (long, value) in &made.global {
        head.push(' ');
        head.push_str(&option(long, value.as_deref()));
    }
    head.push_str(" run --detach");
    let mut lines = vec![head, format!("  --name {}", quote(&made.name))];
    lines.extend(made.options.iter().map(|(long, value)| format!("  {}", option(long, value.as_deref()))));
    let mut operands = Vec::new();
    if let Some(entrypoint) = &made.entrypoint {
        match (made.engine, serde_json::to_string(entrypoint)) {
            // podman-run(1), --entrypoint: a JSON list is all of it.
            (EngineKind::Podman, Ok(list)) if entrypoint.len() > 1 => {
                lines.push(format!("  {}", option("entrypoint", Some(&list))));
            }
            _ => {
                let first = entrypoint.first().map_or("", String::as_str);
                lines.push(format!("  {}", option("entrypoint", Some(first))));
                operands.extend(entrypoint.iter().skip(1));
            }
        }
    }
    operands.extend(made.command.iter().flatten());
    let image =
        if made.image.starts_with('-') { format!("-- {}", quote(&made.image)) } else { quote(&made.image) };
    let words: Vec<String> = std::iter::once(image).chain(operands.into_iter().map(|w| quote(w))).collect();
    lines.push(format!("  {}", words.join(" ")));
    let mut text = lines.join(" \\\n");
    text.push('\n');
    for network in &made.more_networks {
        text.push_str(&connect(made, network));
    }
    text
}

fn option(long: &str, value: Option<&str>) -> String {
    match value {
        None => format!("--{long}"),
        // A switch takes its value in the same word only.
        Some(value @ ("true" | "false")) => format!("--{long}={value}"),
        Some(value) => format!("--{long} {}", quote(value)),
    }
}

/// `docker network connect`: one `--network` is all that `docker run` took before API 1.44.
fn connect(made: &Made, network: &Attachment) -> String {
    let mut words = vec![format!("{} network connect", made.engine.name())];
    let mut add = |long: &str, value: &str| words.push(option(long, Some(value)));
    if let Some(ip) = &network.ip {
        add("ip", ip);
    }
    if let Some(ip) = &network.ip6 {
        add("ip6", ip);
    }
    for address in &network.link_local {
        add("link-local-ip", address);
    }
    for alias in &network.aliases {
        add("alias", alias);
    }
    for link in &network.links {
        add("link", link);
    }
    if let (Some(mac), EngineKind::Podman) = (&network.mac, made.engine) {
        add("mac-address", mac);
    }
    words.push(quote(&network.network));
    words.push(quote(&made.name));
    words.join(" ") + "\n"
}

/// A word as a POSIX shell takes it for itself.
pub(crate) fn quote(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_@%+=:,./-".contains(c);
    if !word.is_empty() && word.chars().all(plain) { word.to_owned() } else { single_quoted(word) }
}

/// A word that a shell takes for itself whatever is in it, and whatever its place.
pub(crate) fn single_quoted(word: &str) -> String {
    format!("'{}'", word.replace('\'', r"'\''"))
}

/// A list of `key=value` for `--mount` and `--gpus`, which read it as a line of CSV (Go encoding/csv).
pub(super) fn comma_separated(fields: &[String]) -> String {
    let field = |text: &String| {
        let plain = !text.contains([',', '"', '\r', '\n']) && !text.starts_with([' ', '\t']);
        if plain { text.clone() } else { format!("\"{}\"", text.replace('"', "\"\"")) }
    };
    fields.iter().map(field).collect::<Vec<_>>().join(",")
}

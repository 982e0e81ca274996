//! Podman keeps the command that made a container (`Config.CreateCommand`), and its inspection leaves settings out
//! (sysctls, device rules, mask and unmask): so the command is what is written anew, with what it took from its
//! surroundings (variables, files, relative paths) filled in from the inspection. A container that was made over the
//! API has no such command and is read as Docker's are.

use sources::run::{TakenApart, Written, take_apart};

use super::Unreproducible;
use super::docker::{Reading, boolean, plain, strings};
use super::made::{Attachment, Made};

/// What concerns the call and not the container.
const OF_THE_CALL: &[&str] = &[
    "attach",
    "authfile",
    "cert-dir",
    "cidfile",
    "conmon-pidfile",
    "creds",
    "decryption-key",
    "detach",
    "detach-keys",
    "help",
    "name",
    "pidfile",
    "pull",
    "quiet",
    "replace",
    "retry",
    "retry-delay",
    "rmi",
    "sig-proxy",
    "tls-verify",
];
const OF_THE_CALL_GLOBAL: &[&str] =
    &["debug", "log-level", "noout", "out", "syslog", "trace", "help", "version"];

pub(super) fn made(read: &Reading<'_>) -> Result<Made, Unreproducible> {
    let mut made = read.start()?;
    if boolean(&read.root.get("IsInfra")) {
        return Err(Unreproducible::Infrastructure(plain(&read.root.get("Pod"))));
    }
    let command = strings(&read.config().get("CreateCommand"));
    match take_apart(&command).filter(|taken| !taken.operands.is_empty()) {
        Some(taken) => from_command(read, taken, &mut made),
        None => {
            made = super::docker::made(read)?;
            from_api(read, &mut made);
        }
    }
    let pod = plain(&read.root.get("Pod"));
    if !pod.is_empty() {
        made.options.retain(|(long, _)| *long != "pod");
        made.set("pod", pod);
        made.note("it belongs to a pod, which holds its networks and ports, and which Compose does not have");
    }
    Ok(made)
}

fn from_command(read: &Reading<'_>, taken: TakenApart, made: &mut Made) {
    let written = |option: Written| (option.long, option.value);
    made.global = taken
        .global
        .into_iter()
        .filter(|option| !OF_THE_CALL_GLOBAL.contains(&option.long))
        .map(written)
        .collect();
    let environment = strings(&read.config().get("Env"));
    let (mut all_variables, mut all_labels) = (false, false);
    for option in taken.options {
        match (option.long, option.value.as_deref()) {
            (long, _) if OF_THE_CALL.contains(&long) => {}
            ("entrypoint", Some(value)) => made.entrypoint = Some(entrypoint(value)),
            ("env-file", _) | ("env-host", None) => all_variables = true,
            ("label-file", _) => all_labels = true,
            ("env", Some(name)) if !name.contains('=') => {
                // podman-run(1), --env: a name stands for the caller's variable, `name*` for all that start so.
                let is_it = |variable: &str| match name.strip_suffix('*') {
                    Some(start) => variable.starts_with(start),
                    None => variable == name,
                };
                let values = environment.iter().filter(|p| p.split_once('=').is_some_and(|(n, _)| is_it(n)));
                made.set_all("env", values.cloned());
            }
            ("volume", Some(value)) => made.set("volume", absolute(read, value)),
            ("mount" | "security-opt", Some(value)) => {
                if value.split([',', '=']).any(|part| part.starts_with("./") || part.starts_with("../")) {
                    made.note(format!(
                        "`--{} {value}` names a path relative to the folder that the container was made in",
                        option.long
                    ));
                }
                made.set(option.long, value);
            }
            ("preserve-fd" | "preserve-fds", _) => {
                made.note(format!("--{} hands on open files of the caller; left out", option.long));
            }
            ("rootfs", None) => made.switch("rootfs"),
            _ => made.options.push((option.long, option.value)),
        }
    }
    if all_variables {
        add_variables(read, &environment, made);
    }
    if all_labels {
        add_labels(read, made);
    }
    let mut operands = taken.operands.into_iter();
    let image = operands.next().unwrap_or_default();
    let full = plain(&read.config().get("Image"));
    made.image = if full.is_empty() || made.has("rootfs") { image } else { full };
    let command: Vec<String> = operands.collect();
    if !command.is_empty() || made.entrypoint.is_some() {
        made.command = Some(command);
    }
    later_networks(read, made);
    read.say_secrets(made);
    read.say_anonymous_volumes(made);
    read.own_layer(made);
}

/// podman-run(1), --entrypoint: a word, or a JSON list of words.
fn entrypoint(value: &str) -> Vec<String> {
    if value.is_empty() {
        return Vec::new();
    }
    serde_json::from_str(value).unwrap_or_else(|_| vec![value.to_owned()])
}

fn add_variables(read: &Reading<'_>, environment: &[String], made: &mut Made) {
    let lent = read.image.as_ref().map(|image| strings(&image.get("Config").get("Env"))).unwrap_or_default();
    for pair in environment.iter().filter(|pair| !lent.contains(pair)) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let given = made.options.iter().any(|(long, text)| *long == "env" && text.as_ref() == Some(pair));
        if !given && !read.is_implicit(name, value) {
            made.set("env", pair.clone());
        }
    }
}

fn add_labels(read: &Reading<'_>, made: &mut Made) {
    let lent = read.image.as_ref().map(|image| image.get("Config").get("Labels"));
    for (name, value) in read.config().get("Labels").members() {
        let value = plain(&value);
        let of_image = lent.as_ref().is_some_and(|labels| {
            labels.members().iter().any(|(key, text)| *key == name && plain(text) == value)
        });
        let text = format!("{name}={value}");
        let given =
            made.options.iter().any(|(long, written)| *long == "label" && written.as_ref() == Some(&text));
        if !of_image && !given {
            made.set("label", text);
        }
    }
}

/// A relative source, as the engine resolved it.
fn absolute(read: &Reading<'_>, volume: &str) -> String {
    let Some((source, rest)) = volume.split_once(':').filter(|(source, _)| source.starts_with('.')) else {
        return volume.to_owned();
    };
    let target = rest.split(':').next().unwrap_or(rest).trim_end_matches('/');
    let mounts = read.root.get("Mounts").list();
    let found = mounts.iter().find(|mount| plain(&mount.get("Destination")).trim_end_matches('/') == target);
    let path = found.map(|mount| plain(&mount.get("Source"))).filter(|path| !path.is_empty());
    format!("{}:{rest}", path.unwrap_or_else(|| source.to_owned()))
}

/// Networks that it was attached to after it was made.
fn later_networks(read: &Reading<'_>, made: &mut Made) {
    let asked: Vec<String> = made
        .options
        .iter()
        .filter(|(long, _)| matches!(*long, "network" | "net"))
        .filter_map(|(_, value)| Some(value.as_ref()?.split(':').next()?.to_owned()))
        .collect();
    if !plain(&read.root.get("Pod")).is_empty() {
        return;
    }
    for (name, _) in read.root.get("NetworkSettings").get("Networks").members() {
        let first = asked.iter().all(|asked| asked == "bridge") && name == "podman";
        if !first && !asked.iter().any(|asked| asked == name) {
            made.more_networks.push(Attachment { network: name.to_owned(), ..Attachment::default() });
        }
    }
}

fn from_api(read: &Reading<'_>, made: &mut Made) {
    let config = read.config();
    let runtime = plain(&read.root.get("OCIRuntime"));
    let usual = read.engine.settings.default_runtime.as_ref().and_then(|runtime| runtime.value.clone());
    if !runtime.is_empty() && usual.is_some_and(|usual| *usual != *runtime) {
        made.global.push(("runtime", Some(runtime)));
    }
    let umask = plain(&config.get("Umask"));
    if !umask.is_empty() && umask != "0022" {
        made.set("umask", umask);
    }
    for secret in config.get("Secrets").list() {
        made.set("secret", plain(&secret.get("Name")));
    }
    let groups = plain(&read.host_config().get("Cgroups"));
    if !groups.is_empty() && groups != "default" {
        made.set("cgroups", groups);
    }
    made.note(
        "Podman kept no command for it, and its inspection leaves out sysctls, rules for devices and `mask` and \
         `unmask`: compare the new container's confinement with this one's",
    );
}

//! The inspection of a container, there or asked for, becomes a world that can be judged. What the inspection only names
//! is looked up first: the user of the image, whose namespaces are joined, where a link on the host leads.

use std::collections::{BTreeMap, VecDeque};
use std::ffi::OsString;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use confinement::{Form, Subject, SubjectKind, World};
use serde_json::{Map, Value, json};
use sources::engine_api::Session;

use super::create::{self, Daemon, Volume};
use super::go_json::{self, Shape};
use super::{chosen, own};

/// No container can be called so, thus no rule's exception can be taken by leaving the name out.
pub(super) const UNNAMED: &str = "a new container";

/// Why a world could not be made.
pub(super) type Why = String;

/// The world of one container.
pub(super) fn world(session: &Session, mut inspected: Value, name: &str) -> Result<World, Why> {
    annotated(&inspected)?;
    known_runtime(&inspected, session)?;
    canonical_profiles(&mut inspected)?;
    chosen::users(&mut inspected);
    join(&mut inspected, session)?;
    let new_volumes = show_volumes(&mut inspected, session)?;
    if session.is_local() {
        follow_links(&mut inspected)?;
        own::show(&mut inspected, &own::Own::of(session), session)?;
    }
    let labels = labels(&inspected);
    let confinement = session.confinement_with(inspected, &new_volumes);
    let (mut confinement, problems) = confinement.map_err(|error| error.to_string())?;
    chosen::programs(&mut confinement.identity);
    let realm: Arc<str> = session.endpoint().to_string().into();
    let subject = Subject {
        id: format!("docker:{name}").into(),
        name: name.into(),
        kind: SubjectKind::Container,
        form: Form::DockerLive,
        place: None,
        declared: Vec::new(),
        realm,
        namespace: None,
        confinement: Arc::new(confinement),
        pod: None,
        labels: Arc::new(labels),
        made: None,
    };
    Ok(World { subjects: vec![subject], problems, notes: Vec::new() })
}

/// The name of a container that is there.
pub(super) fn name_of(inspected: &Value) -> String {
    let name = inspected.get("Name").and_then(Value::as_str).unwrap_or_default();
    let name = name.trim_start_matches('/');
    if name.is_empty() { UNNAMED.to_owned() } else { name.to_owned() }
}

fn labels(inspected: &Value) -> BTreeMap<Arc<str>, Arc<str>> {
    let labels = inspected.pointer("/Config/Labels").and_then(Value::as_object);
    let pair = |(key, value): (&String, &Value)| Some((key.as_str().into(), value.as_str()?.into()));
    labels.into_iter().flatten().filter_map(pair).collect()
}

/// What the daemon takes from the image when it makes a container: the user and the variables that the request leaves out,
/// and labels (moby daemon/commit.go, `merge`).
pub(super) fn merge_image(inspected: &mut Value, daemon: &dyn Daemon) -> Result<(), Why> {
    let image = text(inspected, "/Config/Image").to_owned();
    if image.is_empty() {
        return Ok(());
    }
    let found =
        daemon.image(&image).map_err(|why| format!("the image {image:?} could not be asked for: {why}"))?;
    // The daemon will answer that there is none.
    let Some(of_image) = found.as_ref().and_then(|image| image.get("Config")) else { return Ok(()) };
    let Some(config) = inspected.get_mut("Config").and_then(Value::as_object_mut) else { return Ok(()) };
    let is_set = config.get("User").and_then(Value::as_str).is_some_and(|user| !user.is_empty());
    if !is_set {
        let user = of_image.get("User").and_then(Value::as_str).unwrap_or_default();
        config.insert("User".into(), user.into());
    }
    let mut labels = of_image.get("Labels").and_then(Value::as_object).cloned().unwrap_or_default();
    labels.extend(config.get("Labels").and_then(Value::as_object).cloned().unwrap_or_default());
    config.insert("Labels".into(), Value::Object(labels));
    let mut variables = list(config.get("Env"));
    let named: Vec<String> = variables.iter().filter_map(|v| Some(variable(v)?.to_owned())).collect();
    let more = list(of_image.get("Env"));
    variables.extend(
        more.into_iter().filter(|v| variable(v).is_some_and(|name| !named.iter().any(|n| n == name))),
    );
    config.insert("Env".into(), Value::Array(variables));
    Ok(())
}

fn list(value: Option<&Value>) -> Vec<Value> {
    value.and_then(Value::as_array).cloned().unwrap_or_default()
}

fn variable(value: &Value) -> Option<&str> {
    value.as_str().map(|text| text.split_once('=').map_or(text, |(name, _)| name))
}

fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

/// Containers that join each other in a ring cannot be started.
const MOST_STEPS: usize = 16;

/// Whoever joins a namespace of a container that itself has the host's is in the host's.
fn join(inspected: &mut Value, daemon: &dyn Daemon) -> Result<(), Why> {
    for mode in ["NetworkMode", "PidMode", "IpcMode"] {
        let pointer = format!("/HostConfig/{mode}");
        let mut held = text(inspected, &pointer).to_owned();
        for _ in 0..MOST_STEPS {
            let Some(reference) = held.strip_prefix("container:") else { break };
            let asked = daemon.container(reference);
            let found =
                asked.map_err(|why| format!("the container {reference:?} could not be asked for: {why}"))?;
            // The daemon will answer that there is none.
            let Some(found) = found else { break };
            text(&found, &pointer).clone_into(&mut held);
        }
        if held == "host"
            && let Some(value) = inspected.pointer_mut(&pointer)
        {
            *value = json!("host");
        }
    }
    Ok(())
}

fn mounts(inspected: &mut Value) -> impl Iterator<Item = &mut Map<String, Value>> {
    let mounts = inspected.get_mut("Mounts").and_then(Value::as_array_mut);
    mounts.into_iter().flatten().filter_map(Value::as_object_mut)
}

/// A volume whose driver binds a path of the host is a mount of that path. Returns those that are not there yet.
fn show_volumes(inspected: &mut Value, daemon: &dyn Daemon) -> Result<Vec<String>, Why> {
    let mut new = Vec::new();
    for mount in mounts(inspected) {
        let name = mount.get("Name").and_then(Value::as_str).unwrap_or_default().to_owned();
        if mount.get("Type").and_then(Value::as_str) != Some("volume") || name.is_empty() {
            continue;
        }
        let asked = daemon.volume(&name);
        let found: Option<Volume> =
            asked.map_err(|why| format!("the volume {name:?} could not be asked for: {why}"))?;
        let Some(found) = found else {
            new.push(name);
            continue;
        };
        let shown = create::shown(&found).map_err(|error| error.to_string())?;
        if shown.get("Type").and_then(Value::as_str) != Some("tmpfs") {
            mount.extend(shown);
        }
    }
    Ok(new)
}

/// The kernel follows links in the source of a mount and in the path of a device; so does the judgement.
fn follow_links(inspected: &mut Value) -> Result<(), Why> {
    for mount in mounts(inspected).filter(|m| m.get("Type").is_none_or(|t| t == "bind" || t == "")) {
        follow_member(mount, "Source")?;
    }
    let devices = inspected.pointer_mut("/HostConfig/Devices").and_then(Value::as_array_mut);
    for device in devices.into_iter().flatten().filter_map(Value::as_object_mut) {
        follow_member(device, "PathOnHost")?;
    }
    Ok(())
}

fn follow_member(members: &mut Map<String, Value>, key: &str) -> Result<(), Why> {
    if let Some(path) = members.get(key).and_then(Value::as_str).filter(|path| path.starts_with('/')) {
        let followed = followed(Path::new(path))?;
        members.insert(key.to_owned(), followed.into());
    }
    Ok(())
}

/// As many as the kernel follows (path_resolution(7)).
const MOST_LINKS: usize = 40;

/// Where a path leads now. What is not there yet is made by the daemon below the part that is. Links below /proc show each
/// process another thing, so that none is followed.
pub(super) fn followed(path: &Path) -> Result<String, Why> {
    let refuse = |why: &str| Err(format!("{} {why}", path.display()));
    let mut real = PathBuf::from("/");
    let mut left: VecDeque<OsString> = parts(path).collect();
    let mut links = 0;
    while let Some(part) = left.pop_front() {
        if part == ".." {
            real.pop();
            continue;
        }
        let next = real.join(part);
        match next.symlink_metadata() {
            Ok(found) if !found.is_symlink() => real = next,
            Ok(_) if next.starts_with("/proc") => {
                return refuse("leads through a link in /proc, which shows each process another thing");
            }
            Ok(_) => {
                links += 1;
                if links > MOST_LINKS {
                    return refuse("leads through too many links");
                }
                let target = next.read_link().or_else(|error| refuse_with(path, &error))?;
                if target.is_absolute() {
                    real = PathBuf::from("/");
                }
                for part in parts(&target).collect::<Vec<_>>().into_iter().rev() {
                    left.push_front(part);
                }
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => real = next,
            Err(error) => return refuse_with(path, &error),
        }
    }
    real.into_os_string().into_string().or_else(|_| refuse("leads to a path that is no UTF-8"))
}

fn refuse_with<T>(path: &Path, error: &std::io::Error) -> Result<T, Why> {
    Err(format!("{} cannot be followed: {error}", path.display()))
}

fn parts(path: &Path) -> impl Iterator<Item = OsString> {
    path.components().filter_map(|part| match part {
        Component::Normal(name) => Some(name.to_owned()),
        Component::ParentDir => Some("..".into()),
        _ => None,
    })
}

/// Annotations that runtimes take for settings, beside all that the API has for them: crun's crun(1), "OCI
/// EXTENSIONS"; runc's docs/systemd.md; gVisor's and Kata's own.
const TAKEN_FOR_SETTINGS: [&str; 6] =
    ["run.oci.", "io.crun.", "org.criu.", "org.systemd.property.", "dev.gvisor.", "io.katacontainers."];

fn annotated(inspected: &Value) -> Result<(), Why> {
    let annotations = inspected.pointer("/HostConfig/Annotations").and_then(Value::as_object);
    let taken = |key: &&String| TAKEN_FOR_SETTINGS.iter().any(|prefix| key.starts_with(prefix));
    match annotations.and_then(|all| all.keys().find(taken)) {
        Some(key) => {
            Err(format!("the annotation {key:?} changes what the runtime does; it is not judged here"))
        }
        None => Ok(()),
    }
}

/// A runtime that the daemon does not list is refused by old daemons, and found by its name by newer ones: a shim of
/// containerd that nobody has looked at (moby daemon/runtime_unix.go).
fn known_runtime(inspected: &Value, session: &Session) -> Result<(), Why> {
    let asked = text(inspected, "/HostConfig/Runtime");
    let mut listed = session.runtimes().peekable();
    if asked.is_empty() || listed.peek().is_none() || listed.any(|name| name == asked) {
        return Ok(());
    }
    Err(format!("the runtime {asked:?} is none that the daemon lists"))
}

/// moby profiles/seccomp/seccomp.go and runtime-spec specs-go `LinuxSeccomp`.
const PROFILE: Shape = Shape::Struct(&[
    ("defaultAction", Shape::Text),
    ("defaultErrnoRet", Shape::Any),
    ("architectures", Shape::Slice(&Shape::Text)),
    (
        "archMap",
        Shape::Slice(&Shape::Struct(&[
            ("architecture", Shape::Text),
            ("subArchitectures", Shape::Slice(&Shape::Text)),
        ])),
    ),
    ("flags", Shape::Any),
    ("listenerPath", Shape::Text),
    ("listenerMetadata", Shape::Text),
    ("syscalls", Shape::Slice(&Shape::Pointer(&SYSTEM_CALL))),
]);
const SYSTEM_CALL: Shape = Shape::Struct(&[
    ("name", Shape::Text),
    ("names", Shape::Slice(&Shape::Text)),
    ("action", Shape::Text),
    ("errnoRet", Shape::Any),
    (
        "args",
        Shape::Slice(&Shape::Pointer(&Shape::Struct(&[
            ("index", Shape::Number),
            ("value", Shape::Number),
            ("valueTwo", Shape::Number),
            ("op", Shape::Text),
        ]))),
    ),
    ("includes", Shape::Pointer(&FILTER)),
    ("excludes", Shape::Pointer(&FILTER)),
]);
const FILTER: Shape = Shape::Struct(&[
    ("caps", Shape::Slice(&Shape::Text)),
    ("arches", Shape::Slice(&Shape::Text)),
    ("minKernel", Shape::Text),
]);

/// A seccomp profile is given in full as JSON; as the daemon decodes it, it is judged.
fn canonical_profiles(inspected: &mut Value) -> Result<(), Why> {
    let options = inspected.pointer_mut("/HostConfig/SecurityOpt").and_then(Value::as_array_mut);
    for option in options.into_iter().flatten() {
        let Some(text) = option.as_str() else { continue };
        let Some(profile) = text.strip_prefix("seccomp").and_then(|rest| rest.strip_prefix(['=', ':']))
        else {
            continue;
        };
        if matches!(profile, "unconfined" | "builtin") {
            continue;
        }
        let read = go_json::decode(profile.as_bytes(), &PROFILE);
        let read = read.map_err(|error| format!("the seccomp profile cannot be read: {error}"))?;
        *option = format!("seccomp={}", create::without_nulls(read)).into();
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Known;

    impl Daemon for Known {
        fn volume(&self, name: &str) -> Result<Option<Volume>, String> {
            let options = [("type", "none"), ("o", "bind"), ("device", "/")];
            let options = options.map(|(k, v)| (k.to_owned(), v.to_owned())).to_vec();
            Ok((name == "rootfs").then(|| Volume { driver: "local".into(), options }))
        }
        fn container(&self, reference: &str) -> Result<Option<Value>, String> {
            let mode = |mode: &str| json!({"HostConfig": {"NetworkMode": mode, "PidMode": "", "IpcMode": "shareable"}});
            match reference {
                "a" => Ok(Some(mode("container:b"))),
                "b" => Ok(Some(mode("host"))),
                "ring" => Ok(Some(mode("container:ring"))),
                "plain" => Ok(Some(mode("bridge"))),
                "broken" => Err("no answer".into()),
                _ => Ok(None),
            }
        }
        fn network(&self, _: &str) -> Result<Option<Value>, String> {
            Ok(None)
        }
        fn image(&self, reference: &str) -> Result<Option<Value>, String> {
            Ok((reference == "app").then(|| {
                json!({"Config": {"User": "1000", "Env": ["A=image", "B=image"], "Labels": {"a": "image", "b": "image"}}})
            }))
        }
    }

    #[test]
    fn who_joins_a_container_in_the_hosts_network_is_in_the_hosts_network() {
        let joined = |mode: &str| {
            let mut inspected = json!({"HostConfig": {"NetworkMode": mode}});
            join(&mut inspected, &Known).map(|()| text(&inspected, "/HostConfig/NetworkMode").to_owned())
        };
        assert_eq!(joined("container:a"), Ok("host".into()));
        assert_eq!(joined("container:plain"), Ok("container:plain".into()));
        assert_eq!(joined("container:ring"), Ok("container:ring".into()));
        assert_eq!(joined("container:gone"), Ok("container:gone".into()));
        assert_eq!(joined("bridge"), Ok("bridge".into()));
        assert!(joined("container:broken").is_err());
    }

    #[test]
    fn a_volume_that_is_there_shows_what_it_binds() {
        let mut inspected = json!({"Mounts": [
            {"Type": "volume", "Name": "rootfs", "Source": "/var/lib/docker/volumes/rootfs/_data", "Destination": "/h"},
            {"Type": "volume", "Name": "plain", "Source": "/v", "Destination": "/p"},
        ]});
        assert_eq!(show_volumes(&mut inspected, &Known), Ok(vec!["plain".to_owned()]));
        assert_eq!(inspected["Mounts"][0]["Source"], "/");
        assert_eq!(inspected["Mounts"][0]["Type"], "bind");
        assert_eq!(inspected["Mounts"][1]["Type"], "volume");
    }

    #[test]
    fn the_image_gives_what_the_request_leaves_out() {
        let mut inspected = json!({"Config": {"Image": "app", "Env": ["A=own"], "Labels": {"a": "own"}}});
        merge_image(&mut inspected, &Known).expect("known");
        assert_eq!(
            inspected["Config"],
            json!({"Image": "app", "User": "1000", "Env": ["A=own", "B=image"], "Labels": {"a": "own", "b": "image"}})
        );
        let mut own = json!({"Config": {"Image": "app", "User": "0"}});
        merge_image(&mut own, &Known).expect("known");
        assert_eq!(own["Config"]["User"], "0");
    }

    #[test]
    fn links_of_the_host_are_followed_also_above_what_is_not_there() {
        let folder = tempfile::tempdir().expect("a folder");
        let base = folder.path().canonicalize().expect("a folder");
        std::os::unix::fs::symlink("/", base.join("root")).expect("a link");
        std::os::unix::fs::symlink("/nowhere/at/all", base.join("dangling")).expect("a link");
        let led = |path: &str| followed(&base.join(path));
        assert_eq!(led("root").as_deref(), Ok("/"));
        assert_eq!(led("root/etc").as_deref(), Ok("/etc"));
        assert_eq!(led("root/not-there/x").as_deref(), Ok("/not-there/x"));
        assert_eq!(led("new/x").ok(), base.join("new/x").to_str().map(str::to_owned));
        assert_eq!(led("dangling/x").as_deref(), Ok("/nowhere/at/all/x"));
        std::os::unix::fs::symlink("/proc/self/root", base.join("magic")).expect("a link");
        std::os::unix::fs::symlink("ring", base.join("ring")).expect("a link");
        assert!(led("magic").is_err());
        assert!(led("ring").is_err());
        assert!(followed(Path::new("/dev/fd/3")).is_err());
        assert!(followed(Path::new("/proc/1/root/etc")).is_err());
        assert_eq!(followed(Path::new("/proc/sys/kernel")).as_deref(), Ok("/proc/sys/kernel"));
    }

    #[test]
    fn a_seccomp_profile_is_read_with_the_keys_that_count_for_the_daemon() {
        let canonical = |option: &str| {
            let mut inspected = json!({"HostConfig": {"SecurityOpt": [option]}});
            canonical_profiles(&mut inspected).map(|()| inspected["HostConfig"]["SecurityOpt"][0].clone())
        };
        let twice = r#"seccomp={"defaultAction": "SCMP_ACT_ERRNO", "DefaultAction": "SCMP_ACT_ALLOW"}"#;
        assert_eq!(canonical(twice), Ok(json!(r#"seccomp={"defaultAction":"SCMP_ACT_ALLOW"}"#)));
        assert_eq!(canonical("seccomp:unconfined"), Ok(json!("seccomp:unconfined")));
        assert_eq!(canonical("no-new-privileges"), Ok(json!("no-new-privileges")));
        assert!(canonical("seccomp=/etc/profile.json").is_err());
    }

    #[test]
    fn annotations_that_a_runtime_takes_for_settings_are_refused() {
        let with = |key: &str| annotated(&json!({"HostConfig": {"Annotations": {key: "1"}}}));
        assert!(with("run.oci.keep_original_groups").is_err());
        assert!(with("org.example.team").is_ok());
    }
}

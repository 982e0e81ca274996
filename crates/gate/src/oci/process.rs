//! `exec`: the configuration of a container that is there, with the process that is added in the place of its own.
//!
//! Where the container's configuration is, the runtime's state says: runc keeps the bundle among the labels of
//! `ROOT/ID/state.json` (libcontainer/factory_linux.go; utils_linux.go, getProcess, reads the configuration from there as
//! well), crun in `ROOT/ID/status` (src/libcrun/status.c). What the added process does not say is the container's
//! (libcontainer/container_linux.go, newInitConfig; crun src/libcrun/container.c, libcrun_container_exec).

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use confinement::Runtime;
use serde::Deserialize;
use serde_json::{Value, json};
use thiserror::Error;

use super::CONFIGURATION_LIMIT;
use super::invocation::Process;
use super::trusted::{Owners, TrustError};

#[derive(Debug, Error)]
pub enum ExecError {
    #[error("`{0}` is no name of a container")]
    Name(String),
    #[error("there is no state of container {container} in {}", roots.iter().map(|r| r.display().to_string()).collect::<Vec<_>>().join(", "))]
    NoState { container: String, roots: Vec<PathBuf> },
    #[error("{}: it names no bundle, so what the container is given cannot be told", path.display())]
    NoBundle { path: PathBuf },
    #[error("{}: {error}", path.display())]
    Json { path: PathBuf, error: serde_json::Error },
    #[error("a process is given by a file and by options as well, and which holds depends on the runtime")]
    Twice,
    #[error("`--user {0}` is no number, and whose it is only the container's own files say")]
    User(String),
    #[error(transparent)]
    Trust(#[from] TrustError),
}

#[derive(Deserialize)]
struct RuncState {
    config: RuncConfig,
}

#[derive(Deserialize)]
struct RuncConfig {
    #[serde(default)]
    labels: Option<Vec<String>>,
}

#[derive(Deserialize)]
struct CrunStatus {
    #[serde(default)]
    bundle: Option<PathBuf>,
}

/// Where a running container's configuration is. `roots` are the folders that may hold its state, the first that does
/// counts.
pub(super) fn configuration(
    container: &OsStr,
    runtime: &Runtime,
    roots: &[PathBuf],
    owners: &Owners,
) -> Result<PathBuf, ExecError> {
    let name = container.to_string_lossy();
    if name.is_empty() || name.contains('/') || name == "." || name == ".." {
        return Err(ExecError::Name(name.into_owned()));
    }
    let file = if *runtime == Runtime::Crun { "status" } else { "state.json" };
    let path = roots.iter().map(|root| root.join(container).join(file)).find(|path| path.exists());
    let Some(path) = path else {
        return Err(ExecError::NoState { container: name.into_owned(), roots: roots.to_vec() });
    };
    let bytes = owners.read(&path, CONFIGURATION_LIMIT)?;
    let bundle = bundle_of(&bytes, runtime).map_err(|error| ExecError::Json { path: path.clone(), error })?;
    match bundle {
        Some(bundle) => Ok(bundle.join("config.json")),
        None => Err(ExecError::NoBundle { path }),
    }
}

fn bundle_of(state: &[u8], runtime: &Runtime) -> Result<Option<PathBuf>, serde_json::Error> {
    if *runtime == Runtime::Crun {
        return Ok(serde_json::from_slice::<CrunStatus>(state)?.bundle);
    }
    // runc puts its own label after those that are made of annotations (specconv, CreateLibcontainerConfig).
    let labels = serde_json::from_slice::<RuncState>(state)?.config.labels.unwrap_or_default();
    Ok(labels.iter().rev().find_map(|label| label.strip_prefix("bundle=").map(PathBuf::from)))
}

/// The configuration's text with the added process in it.
pub(super) fn with_process(
    configuration: &[u8],
    path: &Path,
    process: &Process,
    owners: &Owners,
) -> Result<String, ExecError> {
    let read = |bytes: &[u8], path: &Path| {
        serde_json::from_slice::<Value>(bytes).map_err(|error| ExecError::Json { path: path.into(), error })
    };
    let mut whole = read(configuration, path)?;
    let own = whole.get("process").cloned().unwrap_or_else(|| json!({}));
    let added = match &process.file {
        Some(_) if !process.is_file_alone() => return Err(ExecError::Twice),
        Some(file) => inheriting(read(&owners.read(file, CONFIGURATION_LIMIT)?, file)?, &own),
        None => with_options(own, process)?,
    };
    if let Some(whole) = whole.as_object_mut() {
        whole.insert("process".into(), added);
    }
    Ok(whole.to_string())
}

/// What a process file leaves out is the container's own.
fn inheriting(mut process: Value, own: &Value) -> Value {
    if let (Some(process), Some(own)) = (process.as_object_mut(), own.as_object()) {
        for key in ["capabilities", "apparmorProfile", "selinuxLabel"] {
            let is_absent = process.get(key).is_none_or(|value| value.is_null() || value == "");
            if let (true, Some(value)) = (is_absent, own.get(key)) {
                process.insert(key.into(), value.clone());
            }
        }
    }
    process
}

/// The container's process with options of the command line over it (runc exec.go, getProcess; crun src/exec.c).
fn with_options(mut process: Value, options: &Process) -> Result<Value, ExecError> {
    let Some(members) = process.as_object_mut() else { return Ok(process) };
    let text = |value: &OsStr| Value::from(value.to_string_lossy().into_owned());
    if let Some(user) = &options.user {
        members.insert("user".into(), ids(&user.to_string_lossy())?);
    }
    if let Some(profile) = &options.apparmor {
        members.insert("apparmorProfile".into(), text(profile));
    }
    if let Some(label) = &options.selinux {
        members.insert("selinuxLabel".into(), text(label));
    }
    if options.no_new_privileges {
        members.insert("noNewPrivileges".into(), true.into());
    }
    if !options.capabilities.is_empty() {
        let sets = members.entry("capabilities").or_insert_with(|| json!({}));
        if sets.is_null() {
            *sets = json!({});
        }
        for set in ["bounding", "effective", "inheritable", "permitted", "ambient"] {
            let Some(sets) = sets.as_object_mut() else { break };
            let names = sets.entry(set).or_insert_with(|| json!([]));
            if names.is_null() {
                *names = json!([]);
            }
            if let Some(names) = names.as_array_mut() {
                names.extend(options.capabilities.iter().map(|name| text(name)));
            }
        }
    }
    Ok(process)
}

/// `UID[:GID]`.
fn ids(text: &str) -> Result<Value, ExecError> {
    let wrong = || ExecError::User(text.to_owned());
    let number = |text: &str| text.parse::<u32>().map_err(|_| wrong());
    let (uid, gid) = text.split_once(':').map_or((text, None), |(uid, gid)| (uid, Some(gid)));
    let gid = gid.map(number).transpose()?.unwrap_or(0);
    Ok(json!({ "uid": number(uid)?, "gid": gid }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runcs_own_label_counts_and_not_one_that_an_annotation_made() {
        let state =
            br#"{"id":"a","config":{"labels":["bundle=/tmp/false","x=y","bundle=/run/b"],"rootfs":"/r"}}"#;
        assert_eq!(bundle_of(state, &Runtime::Runc).unwrap(), Some("/run/b".into()));
        assert_eq!(bundle_of(br#"{"config":{}}"#, &Runtime::Runc).unwrap(), None);
        assert!(bundle_of(b"{}", &Runtime::Runc).is_err());
        let status = br#"{"pid":1,"bundle":"/var/b","rootfs":"/r"}"#;
        assert_eq!(bundle_of(status, &Runtime::Crun).unwrap(), Some("/var/b".into()));
    }

    #[test]
    fn a_name_that_leads_elsewhere_is_refused() {
        let owners = Owners::of_this_process();
        for name in ["", "..", "../x", "a/b"] {
            let found = configuration(OsStr::new(name), &Runtime::Runc, &["/run/runc".into()], &owners);
            assert!(matches!(found, Err(ExecError::Name(_))), "{name}");
        }
        let found = configuration(OsStr::new("none"), &Runtime::Runc, &["/nowhere".into()], &owners);
        assert!(matches!(found, Err(ExecError::NoState { .. })));
    }

    const OWN: &str = r#"{"process":{"user":{"uid":5,"gid":5},"apparmorProfile":"p","capabilities":{"bounding":["CAP_CHOWN"],"effective":null}},"root":{"path":"r"}}"#;

    fn process_of(options: &Process) -> Result<Value, ExecError> {
        let text =
            with_process(OWN.as_bytes(), Path::new("config.json"), options, &Owners::of_this_process())?;
        let whole: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(whole["root"]["path"], "r");
        Ok(whole["process"].clone())
    }

    #[test]
    fn options_are_put_over_the_containers_own_process() {
        let options = Process {
            user: Some("0:7".into()),
            capabilities: vec!["CAP_SYS_ADMIN".into()],
            apparmor: Some("unconfined".into()),
            ..Process::default()
        };
        let process = process_of(&options).unwrap();
        assert_eq!(process["user"], json!({"uid": 0, "gid": 7}));
        assert_eq!(process["apparmorProfile"], "unconfined");
        assert_eq!(process["capabilities"]["bounding"], json!(["CAP_CHOWN", "CAP_SYS_ADMIN"]));
        assert_eq!(process["capabilities"]["effective"], json!(["CAP_SYS_ADMIN"]));
        assert_eq!(process_of(&Process::default()).unwrap()["user"]["uid"], 5);
        let named = Process { user: Some("root".into()), ..Process::default() };
        assert!(matches!(process_of(&named), Err(ExecError::User(_))));
    }

    #[test]
    fn a_process_file_stands_alone_and_inherits_what_it_leaves_out() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("process.json");
        std::fs::write(&file, r#"{"user":{"uid":0},"apparmorProfile":""}"#).unwrap();
        let process = process_of(&Process { file: Some(file.clone()), ..Process::default() }).unwrap();
        assert_eq!(process["user"]["uid"], 0);
        assert_eq!(process["apparmorProfile"], "p");
        assert_eq!(process["capabilities"]["bounding"], json!(["CAP_CHOWN"]));
        let both = Process { file: Some(file), user: Some("0".into()), ..Process::default() };
        assert!(matches!(process_of(&both), Err(ExecError::Twice)));
    }
}

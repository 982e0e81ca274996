//! The process that holds a container for its engine, conmon or a containerd shim, and what it and its bundle tell
//! where no engine is asked: it is the parent of the container's first process, so that what it says of the container
//! is bound to a process and not to a name.
//!
//! conmon(8); containerd runtime/v2 (README, "Start"; `-namespace`, `-id`); annotations of the CRI plugin
//! (containerd pkg/cri/annotations) and of CRI-O (pkg/annotations); containers/storage, `containers.json`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use sensor::event::Task;
use serde_json::Value;
use sources::measured::is_container_id;
use sources::process::files::read_bytes;

use super::metadata::kept;
use super::process;
use crate::alert;

const COMMAND_LINE_LIMIT: u64 = 1 << 20;
const FILE_LIMIT: u64 = 8 << 20;

/// What a monitor is told on its command line.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Monitor {
    /// Whose process it is; an engine of a user's has none but of that user.
    pub(super) uid: Option<u32>,
    /// docker, podman, containerd, cri-o.
    pub(super) engine: &'static str,
    pub(super) id: Option<String>,
    pub(super) name: Option<String>,
    pub(super) bundle: Option<PathBuf>,
    /// Of an exec: its id, and the file that says what was asked for.
    pub(super) exec: Option<(String, Option<PathBuf>)>,
}

/// What the monitor `parent` of a container's process says; `None` where it is none. A process of a container that
/// calls itself a monitor is not believed: monitors are in the host's pid namespace.
pub(super) fn of(parent: Task, host_pid_namespace: u32) -> Option<Monitor> {
    if parent.process == 0 || !process::is(parent) {
        return None;
    }
    let namespace = sources::process::read_namespace(parent.process, "pid").ok()?;
    if namespace != u64::from(host_pid_namespace) {
        return None;
    }
    let bytes =
        read_bytes(Path::new(&format!("/proc/{}/cmdline", parent.process)), COMMAND_LINE_LIMIT).ok()?;
    let words: Vec<String> =
        bytes.split(|b| *b == 0).map(|word| String::from_utf8_lossy(word).into_owned()).collect();
    let folder = std::fs::read_link(format!("/proc/{}/cwd", parent.process)).ok();
    let mut found = parse(&words, folder.as_deref())?;
    found.uid = process::uid(parent.process);
    // Read and then seen to be the same process still.
    process::is(parent).then_some(found)
}

pub(super) fn parse(words: &[String], folder: Option<&Path>) -> Option<Monitor> {
    let program = words.first()?.rsplit('/').next()?;
    let option = |names: &[&str]| {
        let at = words.iter().position(|w| names.contains(&w.as_str()))?;
        words.get(at + 1).filter(|w| !w.is_empty()).cloned()
    };
    let id = |names: &[&str]| option(names).filter(|id| is_container_id(id));
    if program == "conmon" {
        let of_crio = words.iter().any(|w| w.contains("/crio/") || w.contains("crio-"));
        let exec = words.iter().any(|w| w == "-e" || w == "--exec-attach");
        let session = exec.then(|| option(&["-u", "--cuuid"])).flatten();
        return Some(Monitor {
            engine: if of_crio { "cri-o" } else { "podman" },
            id: id(&["-c", "--cid"]),
            name: option(&["-n", "--name"]).map(|name| kept(&name)),
            bundle: option(&["-b", "--bundle"]).map(PathBuf::from).filter(|_| session.is_none()),
            exec: session.map(|id| (id, option(&["--exec-process-spec"]).map(PathBuf::from))),
            uid: None,
        });
    }
    if program.starts_with("containerd-shim") {
        let namespace = option(&["-namespace", "--namespace"]);
        // containerd takes any identifier of up to 76 such characters (pkg/identifiers).
        let form = |id: &String| {
            id.len() <= 76 && id.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-'))
        };
        let id = option(&["-id", "--id"]).filter(form);
        return Some(Monitor {
            engine: if namespace.as_deref() == Some("moby") { "docker" } else { "containerd" },
            // Docker starts one shim a container; of a pod's shim the id is the pod's.
            bundle: folder.filter(|f| f.join("config.json").is_file()).map(Path::to_path_buf),
            id,
            ..Monitor::default()
        });
    }
    None
}

impl Monitor {
    /// The container's id, where the monitor has one container only. `in_cgroup` is what the path of the process's
    /// cgroup says: a pod's shim holds several, whose bundles lie beside its own.
    pub(super) fn container(&self, in_cgroup: Option<&str>) -> (Option<String>, Option<PathBuf>) {
        let beside = match (&self.bundle, in_cgroup) {
            (Some(own), Some(id)) if self.engine == "containerd" && self.id.as_deref() != Some(id) => own
                .parent()
                .map(|folder| folder.join(id))
                .filter(|folder| folder.join("config.json").is_file()),
            _ => None,
        };
        match (beside, in_cgroup) {
            (Some(bundle), Some(id)) => (Some(id.to_owned()), Some(bundle)),
            _ => (self.id.clone(), self.bundle.clone()),
        }
    }

    /// Fills in what the monitor and the files of its engine say, where no engine has said more.
    pub(super) fn describe(&self, container: &mut alert::Container, in_cgroup: Option<&str>) {
        let (id, bundle) = self.container(in_cgroup);
        fill(&mut container.engine, Some(self.engine.to_owned()));
        fill(&mut container.id, id);
        fill(&mut container.name, self.name.clone());
        let Some(bundle) = bundle else { return };
        if let Some(config) = json(&bundle.join("config.json")) {
            annotations(&config, container);
        }
        // `…/overlay-containers/ID/userdata`.
        if let (Some(store), Some(id)) = (bundle.ancestors().nth(2), &container.id.clone())
            && self.engine != "docker"
            && let Some(list) = json(&store.join("containers.json"))
        {
            stored(&list, id, container);
        }
    }
}

fn fill(field: &mut Option<String>, value: Option<String>) {
    if field.is_none() {
        *field = value.filter(|v| !v.is_empty());
    }
}

fn json(path: &Path) -> Option<Value> {
    serde_json::from_slice(&read_bytes(path, FILE_LIMIT).ok()?).ok()
}

/// What the annotations of a `config.json` say of a pod's container.
fn annotations(config: &Value, container: &mut alert::Container) {
    let annotations = config.get("annotations");
    let first = |keys: &[&str]| {
        keys.iter().find_map(|key| annotations?.get(key)?.as_str().filter(|v| !v.is_empty()).map(kept))
    };
    fill(
        &mut container.name,
        first(&["io.kubernetes.cri.container-name", "io.kubernetes.container.name", "nerdctl/name"]),
    );
    fill(&mut container.pod, first(&["io.kubernetes.cri.sandbox-name", "io.kubernetes.pod.name"]));
    fill(
        &mut container.namespace,
        first(&["io.kubernetes.cri.sandbox-namespace", "io.kubernetes.pod.namespace"]),
    );
    fill(&mut container.image, first(&["io.kubernetes.cri.image-name", "io.kubernetes.cri-o.ImageName"]));
    let written = first(&["io.kubernetes.cri-o.Labels"]).and_then(|text| serde_json::from_str(&text).ok());
    if let (true, Some(labels)) = (container.labels.is_empty(), written) {
        let labels: BTreeMap<String, String> = labels;
        container.labels = labels;
    }
}

/// What containers/storage keeps of a container of Podman's or CRI-O's.
fn stored(list: &Value, id: &str, container: &mut alert::Container) {
    let of_it = |c: &&Value| c.get("id").and_then(Value::as_str) == Some(id);
    let Some(found) = list.as_array().and_then(|list| list.iter().find(of_it)) else { return };
    let text = |value: Option<&Value>| value.and_then(Value::as_str).map(kept);
    fill(&mut container.name, text(found.pointer("/names/0")));
    let metadata = found.get("metadata").and_then(Value::as_str);
    let metadata: Option<Value> = metadata.and_then(|text| serde_json::from_str(text).ok());
    fill(&mut container.image, metadata.as_ref().and_then(|m| text(m.get("image-name"))));
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "ab76b16c934339dcce67b48682cfcb292a0b229803ca60ee87b97e71b7570843";
    const EXEC: &str = "8fff0211bd3372143d8c89c245a2271c723b85e8844b8ed3252860d9aeacc31e";

    fn words(line: &str) -> Vec<String> {
        line.replace("ID", ID).replace("EXEC", EXEC).split(' ').map(str::to_owned).collect()
    }
    fn blank() -> alert::Container {
        super::super::nothing_known(sensor::event::ContainerKey(1))
    }

    #[test]
    fn podmans_monitor_names_the_container_and_its_bundle() {
        let line = "/usr/bin/conmon --api-version 1 -c ID -u ID -r /usr/bin/runc -b /s/overlay-containers/ID/userdata \
                    -p /run/pidfile -n web --exit-dir /run/libpod/exits --full-attach";
        let found = parse(&words(line), None).unwrap();
        assert_eq!(
            (found.engine, found.id.as_deref(), found.name.as_deref()),
            ("podman", Some(ID), Some("web"))
        );
        assert!(found.bundle.unwrap().ends_with("userdata") && found.exec.is_none());
    }

    #[test]
    fn the_monitor_of_an_exec_names_the_exec_and_the_file_that_says_what_was_asked() {
        let line = "/usr/bin/conmon --api-version 1 -c ID -u EXEC -r /usr/bin/runc -b /s/userdata/EXEC -n web -e \
                    --exec-attach --exec-process-spec /s/userdata/EXEC/exec-process-845305770";
        let found = parse(&words(line), None).unwrap();
        let (id, spec) = found.exec.unwrap();
        assert_eq!((found.id.as_deref(), id.as_str()), (Some(ID), EXEC));
        assert!(spec.unwrap().ends_with("exec-process-845305770"));
    }

    #[test]
    fn a_shim_of_dockers_names_its_container_and_one_of_containerds_its_pod() {
        let folder = tempfile::tempdir().unwrap();
        let pod = "cd".repeat(32);
        for id in [ID, &pod] {
            std::fs::create_dir(folder.path().join(id)).unwrap();
            std::fs::write(folder.path().join(id).join("config.json"), "{}").unwrap();
        }
        let docker =
            parse(&words("/usr/bin/containerd-shim-runc-v2 -namespace moby -id ID -address /x"), None)
                .unwrap();
        assert_eq!((docker.engine, docker.container(None).0.as_deref()), ("docker", Some(ID)));
        let line = format!("/usr/bin/containerd-shim-runc-v2 -namespace k8s.io -id {pod} -address /x");
        let own = folder.path().join(&pod);
        let shim = parse(&words(&line), Some(&own)).unwrap();
        let (id, bundle) = shim.container(Some(ID));
        assert_eq!((shim.engine, id.as_deref()), ("containerd", Some(ID)));
        assert!(bundle.unwrap().ends_with(ID));
        assert_eq!(
            shim.container(Some(&"ef".repeat(32))).0.as_deref(),
            Some(pod.as_str()),
            "no bundle of that name"
        );
    }

    #[test]
    fn another_program_is_no_monitor() {
        for line in ["", "/bin/sh -c ID", "/usr/bin/conmonx -c ID"] {
            assert_eq!(parse(&words(line), None), None, "{line}");
        }
        assert_eq!(parse(&words("conmon -c ../../etc"), None).unwrap().id, None);
    }

    #[test]
    fn annotations_of_both_cri_runtimes_are_read() {
        let mut found = blank();
        annotations(
            &serde_json::json!({"annotations": {"io.kubernetes.cri.container-name": "app",
                "io.kubernetes.cri.sandbox-name": "app-1", "io.kubernetes.cri.sandbox-namespace": "prod",
                "io.kubernetes.cri.image-name": "docker.io/library/nginx:1"}}),
            &mut found,
        );
        assert_eq!((found.name.as_deref(), found.pod.as_deref()), (Some("app"), Some("app-1")));
        assert_eq!(
            (found.namespace.as_deref(), found.image.as_deref()),
            (Some("prod"), Some("docker.io/library/nginx:1"))
        );
        let mut found = blank();
        annotations(
            &serde_json::json!({"annotations": {"io.kubernetes.container.name": "app", "io.kubernetes.pod.name": "p",
                "io.kubernetes.pod.namespace": "n", "io.kubernetes.cri-o.ImageName": "i",
                "io.kubernetes.cri-o.Labels": "{\"a\":\"b\"}"}}),
            &mut found,
        );
        assert_eq!(
            (found.name.as_deref(), found.pod.as_deref(), found.image.as_deref()),
            (Some("app"), Some("p"), Some("i"))
        );
        assert_eq!(found.labels.get("a").map(String::as_str), Some("b"));
        annotations(&serde_json::json!({"annotations": [1]}), &mut blank());
    }

    #[test]
    fn the_image_of_a_podman_container_is_read_from_its_store() {
        let mut found = blank();
        let list = serde_json::json!([{"id": "other"}, {"id": ID, "names": ["web"],
            "metadata": "{\"image-name\":\"localhost/x:latest\",\"image-id\":\"b0\"}"}]);
        stored(&list, ID, &mut found);
        assert_eq!(
            (found.name.as_deref(), found.image.as_deref()),
            (Some("web"), Some("localhost/x:latest"))
        );
        stored(&serde_json::json!({"id": 1}), ID, &mut found);
    }
}

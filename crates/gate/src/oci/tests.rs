use std::os::unix::fs::symlink;

use serde_json::{Value, json};

use super::*;

/// A bundle as an engine makes one, in a folder of its own.
struct Bundle {
    folder: tempfile::TempDir,
    config: Value,
}

impl Bundle {
    fn new() -> Bundle {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("rootfs")).unwrap();
        let own = |kind: &str| json!({ "type": kind });
        let capabilities = json!(["CAP_CHOWN", "CAP_KILL"]);
        let config = json!({
            "ociVersion": "1.0.2",
            "process": {
                "user": {"uid": 0, "gid": 0},
                "args": ["true"],
                "env": ["PATH=/bin"],
                "capabilities": {
                    "bounding": capabilities, "effective": capabilities, "permitted": capabilities
                },
            },
            "root": {"path": "rootfs"},
            "mounts": [
                {"destination": "/proc", "type": "proc", "source": "proc"},
                {"destination": "/sys", "type": "sysfs", "source": "sysfs", "options": ["ro"]},
            ],
            "linux": {
                "namespaces": [own("pid"), own("network"), own("ipc"), own("uts"), own("mount")],
                "maskedPaths": ["/proc/kcore", "/proc/keys", "/proc/timer_list", "/proc/scsi", "/sys/firmware"],
                "readonlyPaths": ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"],
                "resources": {"devices": [{"allow": false, "access": "rwm"}]},
                "seccomp": {
                    "defaultAction": "SCMP_ACT_ERRNO",
                    "syscalls": [{"names": ["read", "write"], "action": "SCMP_ACT_ALLOW"}],
                },
            },
        });
        Bundle { folder, config }
    }

    /// With one more bind of something of the host.
    fn binding(source: &Path) -> Bundle {
        let mut bundle = Bundle::new();
        bundle.bind(source, &["rbind", "rw"]);
        bundle
    }

    fn bind(&mut self, source: &Path, options: &[&str]) {
        let mount = json!({ "destination": "/bound", "type": "bind", "source": source, "options": options });
        self.config["mounts"].as_array_mut().unwrap().push(mount);
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn write(&self) {
        std::fs::write(self.path().join("config.json"), self.config.to_string()).unwrap();
    }

    fn rule(&self) -> Ruling {
        self.write();
        ask(&make(self.path()), Runtime::Runc, &[], None)
    }
}

fn make(bundle: &Path) -> Invocation {
    Invocation::Make {
        verb: invocation::Verb::Create,
        bundle: bundle.into(),
        config: None,
        container: "web".into(),
    }
}

fn ask(invocation: &Invocation, runtime: Runtime, allow: &[String], hooks: Option<&[PathBuf]>) -> Ruling {
    let rules = InForce::default();
    let gate = Gate {
        rules: &rules,
        today: policy::parse_date("2026-11-23").unwrap(),
        runtime,
        host: Arc::new(sources::host::read_settings()),
        state: Vec::new(),
        allow_annotations: allow,
        hooks,
    };
    gate.rule(invocation)
}

fn denied(ruling: &Ruling, because: &str) {
    assert!(ruling.is_denied(), "not denied: {}", ruling.message);
    assert!(ruling.message.contains(because), "{}", ruling.message);
}

#[test]
fn a_sound_bundle_passes_and_is_named_by_its_container() {
    let ruling = Bundle::new().rule();
    assert!(!ruling.is_denied(), "{}", ruling.message);
    assert_eq!(ruling.subjects[0].judged["subject"]["name"], "web");
}

#[test]
fn what_is_open_is_denied() {
    let mut bundle = Bundle::binding(Path::new("/"));
    denied(&bundle.rule(), "host-root-mount");
    bundle = Bundle::new();
    for set in ["bounding", "effective", "permitted"] {
        bundle.config["process"]["capabilities"][set] = json!(["CAP_SYS_MODULE", "CAP_SYS_ADMIN"]);
    }
    bundle.config["linux"]["seccomp"] = Value::Null;
    denied(&bundle.rule(), "can become root on the host");
}

#[test]
fn links_that_lead_to_the_host_are_followed() {
    let links = tempfile::tempdir().unwrap();
    let link = links.path().join("data");
    symlink("/", &link).unwrap();
    let second = links.path().join("more");
    symlink("data/etc/..", &second).unwrap();
    for source in [&link, &second] {
        denied(&Bundle::binding(source).rule(), "host-root-mount");
    }
    let harmless = links.path().join("harmless");
    std::fs::create_dir(&harmless).unwrap();
    let ruling = Bundle::binding(&harmless).rule();
    assert!(!ruling.is_denied(), "{}", ruling.message);
}

#[test]
fn a_root_file_system_that_is_the_hosts_is_judged_as_a_mount_of_it() {
    for path in ["/", "/etc", "link"] {
        let mut bundle = Bundle::new();
        symlink("/", bundle.path().join("link")).unwrap();
        bundle.config["root"]["path"] = json!(path);
        assert!(bundle.rule().is_denied(), "{path}");
    }
}

#[test]
fn a_namespace_that_is_the_hosts_by_whatever_path_is_the_hosts() {
    let own = std::process::id();
    for path in ["/proc/1/ns/pid".to_owned(), format!("/proc/{own}/ns/pid"), "/proc/self/ns/pid".to_owned()] {
        let mut bundle = Bundle::new();
        bundle.config["linux"]["namespaces"][0] = json!({ "type": "pid", "path": path });
        let ruling = bundle.rule();
        let confinement = &ruling.subjects[0].judged["confinement"];
        assert_eq!(confinement["namespaces"]["pid"], "host", "{path}: {confinement}");
    }
}

#[test]
fn what_cannot_be_read_or_is_read_in_two_ways_is_denied() {
    let bundle = Bundle::new();
    let path = bundle.path().join("config.json");
    let text = bundle.config.to_string();
    for (content, because) in [
        (String::new(), "cannot be read"),
        ("[]".to_owned(), "no runtime configuration"),
        (format!("{text} {text}"), "cannot be read"),
        (text.replacen("\"process\"", "\"Process\"", 1), "write `process`"),
        (text.replacen("\"root\":{", "\"root\":{\"path\":\"/\",", 1), "duplicate key"),
        (
            text.replacen("{\"type\":\"mount\"}", "{\"type\":\"mount\",\"path\":\"/proc/1/ns/mnt\"}", 1),
            "mount namespace",
        ),
    ] {
        std::fs::write(&path, content).unwrap();
        denied(&ask(&make(bundle.path()), Runtime::Runc, &[], None), because);
    }
    std::fs::remove_file(&path).unwrap();
    denied(&ask(&make(bundle.path()), Runtime::Runc, &[], None), "No such file");
}

#[test]
fn a_bundle_that_others_can_write_to_is_denied() {
    use std::os::unix::fs::PermissionsExt as _;
    let bundle = Bundle::new();
    bundle.write();
    std::fs::set_permissions(bundle.path(), std::fs::Permissions::from_mode(0o777)).unwrap();
    denied(&ask(&make(bundle.path()), Runtime::Runc, &[], None), "chmod go-w");
}

#[test]
fn an_annotation_that_replaces_the_filter_is_denied_for_crun_unless_the_settings_name_it() {
    let mut bundle = Bundle::new();
    bundle.config["annotations"] = json!({ "run.oci.seccomp_bpf_data": "BgAAAAAA/38=" });
    bundle.write();
    let asked = make(bundle.path());
    denied(&ask(&asked, Runtime::Crun, &[], None), "seccomp filter");
    assert!(!ask(&asked, Runtime::Runc, &[], None).is_denied());
    let allowed = ["run.oci.seccomp_bpf_data".to_owned()];
    assert!(!ask(&asked, Runtime::Crun, &allowed, None).message.contains("annotation"));
}

#[test]
fn a_hook_is_denied_that_somebody_else_than_root_or_the_container_can_change() {
    let programs = tempfile::tempdir().unwrap();
    let own = programs.path().join("hook");
    std::fs::write(&own, "#!/bin/true\n").unwrap();
    let hook = |kind: &str, path: &Path, change: &dyn Fn(&mut Bundle)| {
        let mut bundle = Bundle::new();
        bundle.config["hooks"] = json!({ kind: [{ "path": path }] });
        change(&mut bundle);
        bundle.rule()
    };
    let nothing = |_: &mut Bundle| {};
    let passes = hook("createRuntime", Path::new("/bin/true"), &nothing);
    assert!(!passes.message.contains("hook"), "{}", passes.message);
    let running = format!("/proc/{}/exe", std::process::id());
    let passes = hook("prestart", Path::new(&running), &nothing);
    assert!(!passes.message.contains("hook"), "{}", passes.message);
    denied(&hook("prestart", Path::new("bin/true"), &nothing), "not absolute");
    denied(&hook("poststop", &programs.path().join("none"), &nothing), "poststop hook");
    // The container binds the folder that the hook lies in.
    let bound = |bundle: &mut Bundle| bundle.bind(programs.path(), &["rbind", "rw"]);
    denied(&hook("createRuntime", &own, &bound), "can write to it");
    let read_only = |bundle: &mut Bundle| bundle.bind(programs.path(), &["rbind", "ro"]);
    assert!(!hook("createRuntime", &own, &read_only).message.contains("can write"));
    let inside = |bundle: &mut Bundle| {
        let path = bundle.path().join("rootfs/hook");
        std::fs::write(&path, "").unwrap();
        bundle.config["hooks"] = json!({ "createRuntime": [{ "path": path }] });
    };
    denied(&hook("createRuntime", &own, &inside), "own root file system");
    // One inside the container runs as confined as the container does.
    assert!(!hook("startContainer", Path::new("/hook"), &nothing).is_denied());
    std::fs::set_permissions(&own, std::os::unix::fs::PermissionsExt::from_mode(0o777)).unwrap();
    denied(&hook("createRuntime", &own, &nothing), "createRuntime hook");
}

#[test]
fn a_hook_that_takes_its_libraries_from_the_containers_environment_is_denied() {
    let mut bundle = Bundle::new();
    bundle.config["process"]["env"] = json!(["LD_PRELOAD=./libc.so"]);
    bundle.config["hooks"] = json!({ "createContainer": [{ "path": "/bin/true" }] });
    denied(&bundle.rule(), "CVE-2025-23266");
    bundle.config["hooks"] = json!({ "createContainer": [{ "path": "/bin/true", "env": ["PATH=/bin"] }] });
    assert!(!bundle.rule().message.contains("CVE"));
}

#[test]
fn only_hooks_that_the_settings_name_run_where_they_name_any() {
    let mut bundle = Bundle::new();
    bundle.config["hooks"] = json!({ "createRuntime": [{ "path": "/bin/true" }] });
    bundle.write();
    let named = [PathBuf::from("/bin/true")];
    let ruling = ask(&make(bundle.path()), Runtime::Runc, &[], Some(&named));
    assert!(!ruling.message.contains("hook"), "{}", ruling.message);
    denied(&ask(&make(bundle.path()), Runtime::Runc, &[], Some(&[])), "do not name it");
}

/// A container of runc's as its state tells of it.
fn running(bundle: &Bundle) -> tempfile::TempDir {
    let root = tempfile::tempdir().unwrap();
    std::fs::create_dir(root.path().join("web")).unwrap();
    let labels = [format!("bundle={}", bundle.path().display())];
    let state = json!({ "id": "web", "config": { "labels": labels } });
    std::fs::write(root.path().join("web/state.json"), state.to_string()).unwrap();
    root
}

#[test]
fn exec_is_judged_as_the_container_and_what_it_adds() {
    let mut bundle = Bundle::new();
    bundle.config["linux"]["seccomp"] = Value::Null;
    bundle.write();
    let root = running(&bundle);
    let exec = |process: invocation::Process| Invocation::Exec {
        root: Some(root.path().into()),
        process,
        container: "web".into(),
    };
    let plain = ask(&exec(invocation::Process::default()), Runtime::Runc, &[], None);
    assert!(!plain.is_denied(), "{}", plain.message);
    let every: Vec<String> =
        confinement::Capability::ALL.iter().map(|capability| format!("CAP_{}", capability.name())).collect();
    let file = bundle.path().join("process.json");
    let sets = json!({ "bounding": every, "effective": every, "permitted": every });
    std::fs::write(
        &file,
        json!({ "user": { "uid": 0 }, "args": ["true"], "capabilities": sets }).to_string(),
    )
    .unwrap();
    let privileged = invocation::Process { file: Some(file), ..Default::default() };
    denied(&ask(&exec(privileged), Runtime::Runc, &[], None), "web");
    let gone = Invocation::Exec {
        root: Some(root.path().into()),
        process: Default::default(),
        container: "gone".into(),
    };
    denied(&ask(&gone, Runtime::Runc, &[], None), "no state of container gone");
}

#[test]
fn what_makes_nothing_is_allowed_without_being_read() {
    assert_eq!(ask(&Invocation::Other, Runtime::Runc, &[], None), Ruling::allow());
}

#[test]
fn names_of_the_orchestrator_select_rules_and_make_fingerprints_that_last() {
    let mut bundle = Bundle::new();
    bundle.config["annotations"] = json!({
        "io.kubernetes.cri.container-name": "web",
        "io.kubernetes.cri.sandbox-namespace": "shop",
        "io.kubernetes.cri.image-name": "registry.example/web:1",
    });
    let subject = bundle.rule().subjects[0].judged["subject"].clone();
    assert_eq!(subject["name"], "web");
    assert_eq!(subject["namespace"], "shop");
    assert_eq!(subject["id"], "oci:shop/web");
}

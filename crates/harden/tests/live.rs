//! Containers of the real engines on this machine, written anew, started from what was written, and inspected again:
//! field by field they must be the same. `scripts/engines` sets the engines up; where they are not there the tests
//! say so and pass, unless STOCKADE_ENGINES is set, as `make test` does.

use std::collections::BTreeMap;
use std::process::Command;
use std::sync::Arc;

use confinement::{Confinement, EngineKind, Host, World};
use harden::live::{Reproduced, reproduce};
use serde_json::{Value, json};
use sources::compose::{Environment, Files};
use sources::engine_api::{self, Wanted};
use sources::{Context, compose, run};

const IMAGE: &str = "stockade-test-busybox";
const DOCKER: &[&str] = &["/usr/bin/docker", "-H", "unix:///run/docker.sock"];
const PODMAN: &[&str] = &["podman", "--runtime", "runc"];
/// This kernel's root may not raise limits, which Podman does unless told otherwise.
const PODMAN_RUN: &[&str] = &["--ulimit", "nofile=20000:20000", "--ulimit", "nproc=10000:10000"];

fn try_run(engine: &[&str], arguments: &[&str]) -> Result<String, String> {
    let output = Command::new(engine[0]).args(&engine[1..]).args(arguments).output().unwrap();
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned());
    }
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

fn run_engine(engine: &[&str], arguments: &[&str]) -> String {
    try_run(engine, arguments).unwrap_or_else(|errors| panic!("{engine:?} {arguments:?}: {errors}"))
}

/// The same lock as the tests of `sources` take: containers that bind the host's root see the others' mounts.
struct Turn(#[allow(dead_code, reason = "the lock lasts as long as the file is open")] std::fs::File);

fn present(engine: &[&str]) -> Option<Turn> {
    let there = try_run(engine, &["image", "inspect", IMAGE]).is_ok();
    if !there {
        assert!(std::env::var_os("STOCKADE_ENGINES").is_none(), "{engine:?} is not set up: scripts/engines");
        eprintln!("skipped: {engine:?} has no image {IMAGE}; run scripts/engines");
        return None;
    }
    let path = std::env::temp_dir().join("stockade-engine-tests.lock");
    let file = std::fs::File::options().create(true).append(true).open(path).unwrap();
    file.lock_shared().unwrap();
    Some(Turn(file))
}

/// Waits until no other run of these tests uses the addresses and ports that this test names.
fn alone() -> Turn {
    let path = std::env::temp_dir().join("stockade-live-tests.lock");
    let file = std::fs::File::options().create(true).append(true).open(path).unwrap();
    file.lock().unwrap();
    Turn(file)
}

/// Removes what a test made, when it ends however it ends.
struct Cleanup<'a> {
    engine: &'a [&'a str],
    names: Vec<String>,
    objects: Vec<[String; 2]>,
    folder: tempfile::TempDir,
}

impl<'a> Cleanup<'a> {
    fn new(engine: &'a [&'a str]) -> Cleanup<'a> {
        let folder = tempfile::Builder::new().prefix("stockade-test-").tempdir().unwrap();
        Cleanup { engine, names: Vec::new(), objects: Vec::new(), folder }
    }
    fn name(&mut self, what: &str) -> String {
        let name = format!("stockade-live-{}-{what}", std::process::id());
        self.names.push(name.clone());
        name
    }
    fn object(&mut self, kind: &str, what: &str, options: &[&str]) -> String {
        let name = format!("stockade-live-{}-{what}", std::process::id());
        run_engine(self.engine, &[&[kind, "create"], options, &[&name]].concat());
        self.objects.push([kind.to_owned(), name.clone()]);
        name
    }
    fn remove(&self, name: &str) {
        let _ = try_run(self.engine, &["kill", name]);
        let _ = try_run(self.engine, &["rm", "--force", "--volumes", name]);
        // One started with --rm is removed by its engine, which takes its time.
        for _ in 0..100 {
            if try_run(self.engine, &["container", "inspect", name]).is_err() {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(100));
        }
    }
}

impl Drop for Cleanup<'_> {
    fn drop(&mut self) {
        for name in &self.names {
            self.remove(name);
        }
        for [kind, name] in &self.objects {
            let _ = try_run(self.engine, &[kind, "rm", name]);
        }
    }
}

fn kind(engine: &[&str]) -> EngineKind {
    if engine == DOCKER { EngineKind::Docker } else { EngineKind::Podman }
}

/// The container as it is written anew, and what was read of it.
fn read(engine: &[&str], name: &str) -> (Reproduced, Value, Confinement) {
    let wanted = Wanted { name: Some(name), stopped: true };
    let raw = engine_api::raw(kind(engine), wanted).unwrap();
    let inspected = raw.containers.into_iter().next().unwrap();
    let host = Arc::new(sources::host::read_host().0);
    let told = match kind(engine) {
        EngineKind::Docker => engine_api::docker(wanted, &host),
        _ => engine_api::podman(wanted, &host),
    };
    let confinement = (*told.world.subjects[0].confinement).clone();
    let settings = confinement.engine.clone().unwrap();
    let reproduced = reproduce(&inspected.container, inspected.image.as_ref(), &settings, &confinement.host);
    (reproduced.unwrap(), inspected.container, confinement)
}

/// Runs the written line with a real shell, against the engine under test.
fn start(engine: &[&str], line: &str, folder: &std::path::Path) -> Result<(), String> {
    let words = match kind(engine) {
        EngineKind::Docker => "docker() { /usr/bin/docker -H unix:///run/docker.sock \"$@\"; }\n",
        _ => "",
    };
    let script = format!("{words}set -eu\n{line}");
    let output = Command::new("sh").args(["-c", &script]).current_dir(folder).output().unwrap();
    if !output.status.success() {
        return Err(format!("{line}\n{}", String::from_utf8_lossy(&output.stderr)));
    }
    Ok(())
}

/// What differs between two inspections, without what differs by nature.
fn differences(path: &str, before: &Value, after: &Value, found: &mut Vec<String>) {
    match (before, after) {
        (Value::Object(a), Value::Object(b)) => {
            let keys: std::collections::BTreeSet<&String> = a.keys().chain(b.keys()).collect();
            for key in keys {
                let (left, right) = (a.get(key).unwrap_or(&Value::Null), b.get(key).unwrap_or(&Value::Null));
                differences(&format!("{path}.{key}"), left, right, found);
            }
        }
        (a, b) if a != b => found.push(format!("{path}: {a} is {b}")),
        _ => {}
    }
}

/// The command line's own parser keeps variables and binds in maps, so that their order is chance.
fn sorted_lines(text: &str) -> Vec<&str> {
    let mut lines: Vec<&str> = text.lines().collect();
    lines.sort_unstable();
    lines
}

/// What a container was asked for, as its engine shows it.
fn settings(inspect: &Value) -> Value {
    let id = inspect["Id"].as_str().unwrap();
    let (mut config, mut host) = (inspect["Config"].clone(), inspect["HostConfig"].clone());
    if config["Hostname"].as_str().is_some_and(|name| name.len() == 12 && id.starts_with(name)) {
        config["Hostname"] = "own".into();
    }
    for key in ["CreateCommand", "AttachStdout", "AttachStderr"] {
        config.as_object_mut().unwrap().remove(key);
    }
    if let Some(annotations) = config["Annotations"].as_object_mut() {
        annotations.remove("io.kubernetes.cri-o.Created");
    }
    if let Some(variables) = config["Env"].as_array_mut() {
        variables.retain(|pair| !pair.as_str().unwrap().starts_with("HOSTNAME="));
        // An option each: their order is that of the options.
        variables.sort_by_key(Value::to_string);
    }
    if let Some(binds) = host["Binds"].as_array_mut() {
        binds.sort_by_key(Value::to_string);
    }
    if let Some(log) = host["LogConfig"].as_object_mut() {
        log.remove("Path");
    }
    let networks = inspect["NetworkSettings"]["Networks"].as_object().cloned().unwrap_or_default();
    let networks: BTreeMap<String, Value> = networks
        .into_iter()
        .map(|(name, network)| {
            let aliases = network["Aliases"].as_array().cloned().unwrap_or_default();
            let given = |alias: &&Value| !id.starts_with(alias.as_str().unwrap());
            let mut aliases: Vec<Value> = aliases.iter().filter(given).cloned().collect();
            aliases.sort_by_key(Value::to_string);
            (name, json!([network["IPAMConfig"], aliases, network["Links"]]))
        })
        .collect();
    let mounts = inspect["Mounts"].as_array().cloned().unwrap_or_default();
    let mut mounts: Vec<Value> = mounts
        .into_iter()
        .map(|mut mount| {
            if mount["Name"].as_str().is_some_and(|name| name.len() == 64) {
                mount["Name"] = "anonymous".into();
                mount["Source"] = "anonymous".into();
            }
            mount
        })
        .collect();
    mounts.sort_by_key(Value::to_string);
    json!({"Config": config, "HostConfig": host, "Networks": networks, "Mounts": mounts,
        "Path": inspect["Path"], "Args": inspect["Args"], "Name": inspect["Name"]})
}

/// What both the readers of texts and the reader of the live engine can know.
fn facts(c: &Confinement) -> Vec<String> {
    let mut lines = vec![
        format!("privileged {:?}", c.privileged.value),
        format!("uid {:?}", c.identity.uid.value),
        format!("root {:?}", c.identity.root.value),
        format!("no_new_privs {:?}", c.identity.no_new_privileges.value),
        format!("bounding {:?}", c.capabilities.bounding.value),
        format!("effective {:?}", c.capabilities.effective.value),
        format!("user namespace {:?}", c.user_namespace.initial.value),
        format!("root file system read-only {:?}", c.read_only_rootfs.value),
        format!(
            "seccomp is off {:?}",
            c.seccomp.value.as_ref().map(|s| *s == confinement::Seccomp::Disabled)
        ),
        format!("apparmor {:?}", c.apparmor.value),
        format!("masked {:?}", c.masked_paths.value),
        format!("read-only {:?}", c.readonly_paths.value),
        format!("memory {:?}", c.limits.memory.value),
        format!("cpu {:?}", c.limits.cpu.value),
        format!("pids {:?}", c.limits.pids.value),
        format!("attached {:?}", c.network.attached.value),
        format!("shared segment {:?}", c.network.shared_segment.value),
        format!("published {}", c.network.published.len()),
        format!("asked rules {:?}", c.devices.asked.iter().map(|r| r.value.clone()).collect::<Vec<_>>()),
        format!("sysctls {:?}", c.sysctls.iter().map(|(k, v)| (k, &v.value)).collect::<BTreeMap<_, _>>()),
    ];
    for kind in confinement::NamespaceKind::ALL {
        lines.push(format!("{} namespace {:?}", kind.name(), c.namespaces.get(kind).value));
    }
    lines.extend(c.control_apis.iter().map(|api| format!("control api {:?}", api.value)));
    for mount in &c.mounts {
        // Volumes have the names that each reader knows them by; what is private may be anonymous.
        let source = match &mount.source.value {
            Some(confinement::MountSource::Volume(_)) => "a volume".to_owned(),
            Some(confinement::MountSource::Private) => "a volume".to_owned(),
            other => format!("{other:?}"),
        };
        let flags = (mount.nosuid, mount.nodev, mount.recursive);
        lines.push(format!(
            "mount {} {source} ro {:?} {:?} {flags:?}",
            mount.target, mount.read_only.value, mount.propagation.value
        ));
    }
    lines.sort();
    lines
}

fn only_in(a: &[String], b: &[String]) -> Vec<String> {
    a.iter().filter(|fact| !b.contains(fact)).cloned().collect()
}

/// What a reader of the texts is told, of which the user of the image is a part.
fn context(live: &Confinement) -> Context {
    let engine = live.engine.clone().unwrap();
    let mut users = BTreeMap::new();
    let user = if live.identity.root.value == Some(false) { "10001" } else { "" };
    if let Some(image) = live.image.reference.value.clone() {
        users.insert(image, confinement::Fact::known(user.into(), confinement::Origin::Nowhere));
    }
    Context {
        docker: engine.clone(),
        podman: engine,
        host: live.host.clone(),
        image_users: Arc::new(users),
        ..Context::assumed()
    }
}

fn run_line(reproduced: &Reproduced, live: &Confinement, folder: &std::path::Path) -> Confinement {
    let path = folder.join("run.sh").display().to_string();
    let world = run::read_line(&reproduced.run_line, &path.into(), 1, &context(live));
    one(&world, &reproduced.run_line)
}

struct Disk(Environment);

impl Files for Disk {
    fn read(&self, path: &str) -> Result<Vec<u8>, String> {
        std::fs::read(path).map_err(|error| error.to_string())
    }
    fn environment(&self) -> &Environment {
        &self.0
    }
    fn home(&self) -> &str {
        "/root"
    }
}

fn composed(reproduced: &Reproduced, live: &Confinement, folder: &std::path::Path) -> Confinement {
    let path = folder.join("compose.yaml");
    std::fs::write(&path, &reproduced.compose).unwrap();
    let world = compose::read(&[path.to_str().unwrap()], &Disk(Environment::default()), &context(live));
    one(&world, &reproduced.compose)
}

fn one(world: &World, text: &str) -> Confinement {
    assert!(world.problems.is_empty(), "{text}\n{:#?}", world.problems);
    assert_eq!(world.subjects.len(), 1, "{text}");
    (*world.subjects[0].confinement).clone()
}

/// Starts a container, writes it anew, starts what was written in its place, and compares.
fn check(
    engine: &'static [&'static str],
    cleanup: &mut Cleanup<'_>,
    what: &str,
    words: &[&str],
) -> Reproduced {
    let name = cleanup.name(what);
    let mut arguments = vec!["run", "--detach", "--name", &name];
    if engine == PODMAN {
        arguments.extend(PODMAN_RUN);
    }
    arguments.extend(words);
    run_engine(engine, &arguments);
    check_started(engine, cleanup, &name)
}

fn check_started(engine: &'static [&'static str], cleanup: &mut Cleanup<'_>, name: &str) -> Reproduced {
    let folder = cleanup.folder.path().to_owned();
    let (written, before, live) = read(engine, name);
    for file in &written.files {
        std::fs::write(folder.join(&file.path), &file.text).unwrap();
    }
    // The texts say what the engine says.
    // What `--publish-all` publishes stands in the image; Compose is given the ports themselves.
    let all_ports = written.run_line.contains("--publish-all");
    let told = |c: &Confinement| {
        facts(c).into_iter().filter(|fact| !all_ports || !fact.starts_with("published ")).collect::<Vec<_>>()
    };
    let of_line = told(&run_line(&written, &live, &folder));
    let of_compose = told(&composed(&written, &live, &folder));
    assert_eq!(only_in(&of_line, &of_compose), only_in(&of_compose, &of_line), "{written:#?}");

    cleanup.remove(name);
    start(engine, &written.run_line, &folder).unwrap();
    let (again, after, live_again) = read(engine, name);
    let mut found = Vec::new();
    differences("", &settings(&before), &settings(&after), &mut found);
    assert_eq!(found, Vec::<String>::new(), "{}", written.run_line);
    assert_eq!(sorted_lines(&written.run_line), sorted_lines(&again.run_line));
    assert_eq!(sorted_lines(&written.compose), sorted_lines(&again.compose));
    // Mounts of other containers, which come and go under the host's root.
    let own = |c: &Confinement| {
        facts(c).into_iter().filter(|fact| !fact.starts_with("mount /host/")).collect::<Vec<_>>()
    };
    assert_eq!(only_in(&own(&live), &own(&live_again)), only_in(&own(&live_again), &own(&live)));
    if engine == DOCKER {
        check_composed(cleanup, name, &written, &before);
    }
    let masked = |list: &[String]| {
        // What the measurement of the running container adds: mounts and paths of the engine's own, and the ports
        // that `--publish-all` found.
        let by_nature = ["mount ", "masked ", "read-only ", "published "];
        list.iter()
            .filter(|fact| !by_nature.iter().any(|start| fact.starts_with(start)))
            .cloned()
            .collect::<Vec<_>>()
    };
    let (line, live) = (masked(&of_line), masked(&facts(&live)));
    assert_eq!(only_in(&line, &live), only_in(&live, &line), "{}", written.run_line);
    written
}

/// Starts the Compose file with an implementation that is not ours, where there is one, and compares too.
fn check_composed(cleanup: &Cleanup<'_>, name: &str, written: &Reproduced, before: &Value) {
    let program = "docker-compose";
    if Command::new(program).arg("version").output().is_err() {
        eprintln!("not started with Compose: there is no {program}");
        return;
    }
    // Words that docker-compose 1.29 does not know yet.
    let newer = ["\n    uts:", "\n    cgroup:", "systempaths="];
    if newer.iter().any(|word| written.compose.contains(word)) {
        return;
    }
    cleanup.remove(name);
    let folder = cleanup.folder.path();
    std::fs::write(folder.join("compose.yaml"), &written.compose).unwrap();
    let project = format!("stockade{}", std::process::id());
    let output = Command::new(program)
        .args(["--project-name", &project, "--file", "compose.yaml", "up", "--detach"])
        .env("DOCKER_HOST", "unix:///run/docker.sock")
        .current_dir(folder)
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{}\n{errors}", written.compose);
    let (_, after, _) = read(DOCKER, name);
    let mut found = Vec::new();
    differences("", &essential(before), &essential(&after), &mut found);
    assert_eq!(found, Vec::<String>::new(), "{}", written.compose);
}

/// Settings without what is empty one way or another, and without what Compose adds to every container.
fn essential(inspect: &Value) -> Value {
    let mut all = settings(inspect);
    if all["HostConfig"]["RestartPolicy"]["Name"] == "no" {
        all["HostConfig"]["RestartPolicy"]["Name"] = "".into();
    }
    if all["HostConfig"]["NetworkMode"] == "default" {
        all["HostConfig"]["NetworkMode"] = "bridge".into();
    }
    // Compose has no word for these; it publishes each exposed port by itself.
    let all_ports = inspect["HostConfig"]["PublishAllPorts"] == true;
    if let Some(host) = all["HostConfig"].as_object_mut() {
        host.remove("AutoRemove");
        host.remove("PublishAllPorts");
        if all_ports {
            let exposed =
                inspect["Config"]["ExposedPorts"].as_object().into_iter().flat_map(|ports| ports.keys());
            let bindings =
                exposed.map(|port| (port.clone(), json!([{"HostIp": "", "HostPort": ""}]))).collect();
            host.insert("PortBindings".into(), Value::Object(bindings));
        }
    }
    for option in all["HostConfig"]["SecurityOpt"].as_array_mut().into_iter().flatten() {
        if let Some(profile) = option.as_str().and_then(|text| text.strip_prefix("seccomp={")) {
            let profile: Value = serde_json::from_str(&format!("{{{profile}")).unwrap();
            *option = format!("seccomp={profile}").into();
        }
    }
    // It says `rw` where nothing is said.
    for bind in all["HostConfig"]["Binds"].as_array_mut().into_iter().flatten() {
        *bind = bind.as_str().unwrap_or("").trim_end_matches(":rw").into();
    }
    for mount in all["Mounts"].as_array_mut().into_iter().flatten().filter(|mount| mount["Mode"] == "rw") {
        mount["Mode"] = "".into();
    }
    if let Some(mounts) = all["HostConfig"]["Mounts"].as_array_mut() {
        mounts.sort_by_key(Value::to_string);
    }
    // The service's name, which is the container's, is a name of it in every network.
    let name = all["Name"].as_str().unwrap_or("").trim_start_matches('/').to_owned();
    for network in all["Networks"].as_object_mut().into_iter().flat_map(|networks| networks.values_mut()) {
        if let Some(aliases) = network[1].as_array_mut() {
            aliases.retain(|alias| *alias != *name);
        }
    }
    if let Some(labels) = all["Config"]["Labels"].as_object_mut() {
        labels.retain(|name, _| !name.starts_with("com.docker.compose."));
    }
    stripped(all).unwrap_or_default()
}

fn stripped(value: Value) -> Option<Value> {
    match value {
        Value::Object(members) => {
            let kept: serde_json::Map<String, Value> =
                members.into_iter().filter_map(|(key, member)| Some((key, stripped(member)?))).collect();
            (!kept.is_empty()).then_some(Value::Object(kept))
        }
        Value::Array(items) => {
            let kept: Vec<Value> = items.into_iter().filter_map(stripped).collect();
            (!kept.is_empty()).then_some(Value::Array(kept))
        }
        Value::Null | Value::Bool(false) => None,
        Value::String(text) if text.is_empty() => None,
        Value::Number(number) if number.as_f64() == Some(0.0) => None,
        other => Some(other),
    }
}

#[test]
fn a_docker_container_with_no_options_is_a_short_line() {
    let Some(_turn) = present(DOCKER) else { return };
    let mut cleanup = Cleanup::new(DOCKER);
    let written = check(DOCKER, &mut cleanup, "plain", &[IMAGE]);
    let name = &cleanup.names[0];
    assert_eq!(written.run_line, format!("docker run --detach \\\n  --name {name} \\\n  {IMAGE}\n"));
    let service = format!(
        "services:\n  {name}:\n    image: {IMAGE}\n    container_name: {name}\n    network_mode: bridge\n"
    );
    assert_eq!(written.compose, service);
}

#[test]
fn a_docker_container_with_every_option_is_made_again() {
    let Some(_turn) = present(DOCKER) else { return };
    let _alone = alone();
    let mut cleanup = Cleanup::new(DOCKER);
    let network = cleanup.object("network", "net", &["--subnet", "172.31.77.0/24"]);
    let volume = cleanup.object("volume", "vol", &[]);
    let named = format!("{volume}:/v:ro,nocopy");
    let profile = cleanup.folder.path().join("profile.json");
    std::fs::write(&profile, r#"{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": []}"#).unwrap();
    let profile = format!("seccomp={}", profile.display());
    let words = [
        "--network",
        &network,
        "--ip",
        "172.31.77.9",
        "--network-alias",
        "web1",
        "--env",
        "A=b",
        "--env",
        "Q=it's \"x\" $HOME `id`\nline",
        "--env",
        "EMPTY=",
        "--env",
        "DB_PASSWORD=hunter22",
        "--publish",
        "127.0.0.1:18080:80",
        "--publish",
        "19000-19002:9000-9002/udp",
        "--expose",
        "77",
        "--volume",
        &named,
        "--volume",
        "/etc/hostname:/h:ro",
        "--volume",
        "/anonymous",
        "--mount",
        "type=bind,src=/etc,dst=/t,bind-propagation=rprivate,readonly",
        "--mount",
        "type=volume,dst=/anon,volume-nocopy",
        "--tmpfs",
        "/scratch:size=10m,mode=1777",
        "--mount",
        "type=tmpfs,dst=/tt,tmpfs-size=1000000",
        "--cap-add",
        "NET_ADMIN",
        "--cap-drop",
        "MKNOD",
        "--security-opt",
        "no-new-privileges",
        "--security-opt",
        &profile,
        "--pids-limit",
        "100",
        "--memory",
        "100m",
        "--memory-swap",
        "200m",
        "--memory-reservation",
        "50m",
        "--cpus",
        "1.5",
        "--cpuset-cpus",
        "0-1",
        "--cpu-shares",
        "512",
        "--ulimit",
        "nofile=100:200",
        "--ulimit",
        "core=0",
        "--restart",
        "on-failure:5",
        "--health-cmd",
        "true $A",
        "--health-interval",
        "90s",
        "--health-retries",
        "4",
        "--log-driver",
        "json-file",
        "--log-opt",
        "max-size=1m",
        "--log-opt",
        "tag={{.Name}}",
        "--user",
        "10001:10001",
        "--group-add",
        "977",
        "--workdir",
        "/tmp",
        "--hostname",
        "hosty",
        "--domainname",
        "dom.test",
        "--dns",
        "10.0.0.53",
        "--dns-search",
        "x.test",
        "--dns-opt",
        "ndots:3",
        "--add-host",
        "a.b:127.0.0.1",
        "--stop-signal",
        "SIGINT",
        "--stop-timeout",
        "5",
        "--shm-size",
        "32m",
        "--sysctl",
        "net.ipv4.ip_forward=1",
        "--device",
        "/dev/null:/dev/n:rw",
        "--device",
        "/dev/zero",
        "--device-cgroup-rule",
        "c 188:* rwm",
        "--label",
        "k=v w",
        "--label",
        "com.docker.compose.project=p",
        "--tty",
        "--interactive",
        "--oom-score-adj",
        "500",
        "--mac-address",
        "02:42:ac:1f:4d:09",
        "--read-only",
        "--entrypoint",
        "sh",
        IMAGE,
        "-c",
        "sleep 300; echo \"$A\"",
    ];
    let written = check_labelled(&mut cleanup, &words);
    for expected in
        ["--publish 19000-19002:9000-9002/udp", "--cpus 1.5", "--health-interval 90s", "--memory 100m"]
    {
        assert!(written.run_line.contains(expected), "{expected}: {}", written.run_line);
    }
    assert!(!written.run_line.contains("com.docker.compose"), "{}", written.run_line);
    let notes = written.notes.join("\n");
    assert!(notes.contains("DB_PASSWORD (a credential by its name)"), "{notes}");
    assert!(notes.contains("the volume at /anon has no name"), "{notes}");
    assert!(written.compose.contains("A: b"), "{}", written.compose);
    assert!(written.compose.contains("$$HOME"), "{}", written.compose);
}

/// With labels of Compose's, which are left out on purpose: the second container is compared without them.
fn check_labelled(cleanup: &mut Cleanup<'_>, words: &[&str]) -> Reproduced {
    let without: Vec<&str> = words.iter().copied().filter(|word| !word.starts_with("com.docker")).collect();
    let name = cleanup.name("labelled");
    run_engine(DOCKER, &[&["run", "--detach", "--name", &name], words].concat());
    let (labelled, ..) = read(DOCKER, &name);
    cleanup.remove(&name);
    let mut plain: Vec<&str> = Vec::new();
    for word in without {
        if plain.last() == Some(&"--label") && word == "--tty" {
            plain.pop();
        }
        plain.push(word);
    }
    run_engine(DOCKER, &[&["run", "--detach", "--name", &name], plain.as_slice()].concat());
    let written = check_started(DOCKER, cleanup, &name);
    assert_eq!(sorted_lines(&labelled.run_line), sorted_lines(&written.run_line));
    written
}

/// Groups of options that can stand together in any choice.
const DOCKER_GROUPS: &[&[&str]] = &[
    &["--cap-add=SYS_ADMIN", "--cap-add=CAP_NET_ADMIN"],
    &["--cap-drop=ALL", "--cap-add=CHOWN"],
    &["--security-opt=seccomp=unconfined"],
    &["--security-opt=systempaths=unconfined"],
    &["--security-opt=no-new-privileges:true"],
    &["--pid=host"],
    &["--ipc=host"],
    &["--uts=host"],
    &["--cgroupns=private"],
    &["--user=10001"],
    &["--user=0:0", "--group-add=10", "--group-add=app"],
    &["--read-only", "--tmpfs=/run"],
    &["--memory=67112960", "--memory-swap=-1", "--memory-swappiness=10"],
    &["--cpu-quota=50000", "--cpu-period=100000"],
    &["--device=/dev/kmsg", "--device=/dev/zero:/dev/z"],
    &["--device-cgroup-rule=a *:* rwm"],
    &["--volume=/:/host:ro"],
    &["--volume=/etc:/e:ro,rprivate", "--volume=/var/run:/r"],
    &["--mount=type=bind,source=/usr,target=/u,readonly"],
    &["--mount=type=tmpfs,target=/m"],
    &["--env=DOCKER_HOST=tcp://10.0.0.1:2375", "--env=B=c d"],
    &["--init"],
    &["--restart=unless-stopped"],
    &["--no-healthcheck"],
    &["--shm-size=1g"],
    &["--ulimit=nofile=1000"],
    &["--log-driver=none"],
    &["--label=a=b", "--label=c"],
    &["--workdir=/x y"],
    &["--rm"],
    &["--oom-score-adj=500"],
    &["--blkio-weight=0"],
];
const DOCKER_NETWORKS: &[&[&str]] = &[
    &[],
    &["--network=none"],
    &["--network=host"],
    &["--publish=18090:80", "--publish=127.0.0.1::81", "--publish=18091-18093:82-84"],
    &["--publish-all", "--expose=90-91/udp", "--hostname=h1"],
];
const COMMANDS: &[&[&str]] = &[&[], &["sleep", "301"], &["sh", "-c", "while :; do sleep '1'; done"]];

/// A small generator (Knuth's constants), so that a failure is seen again.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (self.0 >> 33) as usize % sides
    }
}

#[test]
fn docker_containers_with_random_options_are_made_again() {
    let Some(_turn) = present(DOCKER) else { return };
    let rounds = std::env::var("STOCKADE_LIVE_ROUNDS").ok().and_then(|n| n.parse().ok()).unwrap_or(6);
    let seed = std::env::var("STOCKADE_LIVE_SEED").ok().and_then(|n| n.parse().ok()).unwrap_or(1);
    let mut dice = Dice(seed);
    let mut done = 0;
    for round in 0..rounds {
        let mut cleanup = Cleanup::new(DOCKER);
        let mut words: Vec<&str> = DOCKER_NETWORKS[dice.roll(DOCKER_NETWORKS.len())].to_vec();
        for _ in 0..4 + dice.roll(6) {
            let group = DOCKER_GROUPS[dice.roll(DOCKER_GROUPS.len())];
            if !words.contains(&group[0]) {
                words.extend(group);
            }
        }
        // Options that refuse each other.
        if words.contains(&"--hostname=h1") {
            words.retain(|word| *word != "--uts=host");
        }
        if words.contains(&"--rm") {
            words.retain(|word| !word.starts_with("--restart"));
        }
        let user = words.iter().position(|word| word.starts_with("--user"));
        words = words
            .iter()
            .enumerate()
            .filter(|(at, word)| !word.starts_with("--user") || Some(*at) == user)
            .map(|(_, word)| *word)
            .collect();
        words.push(IMAGE);
        words.extend(COMMANDS[dice.roll(COMMANDS.len())]);
        println!("{round}: {words:?}");
        // Ports of this run's own.
        let ports = (2000 + std::process::id() % 1200).to_string();
        let words: Vec<String> = words.iter().map(|word| word.replace("1809", &ports)).collect();
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        check(DOCKER, &mut cleanup, &format!("random-{round}"), &words);
        done += 1;
    }
    assert_eq!(done, rounds);
}

#[test]
fn entrypoints_and_commands_of_the_image_are_taken_or_left_as_they_were() {
    let Some(_turn) = present(DOCKER) else { return };
    let mut cleanup = Cleanup::new(DOCKER);
    let image = format!("stockade-live-{}-image", std::process::id());
    let name = cleanup.name("base");
    run_engine(DOCKER, &["create", "--name", &name, IMAGE]);
    let changes = [
        "ENTRYPOINT [\"sh\", \"-c\"]",
        "CMD [\"sleep 300\"]",
        "ENV A=image",
        "ENV B=image",
        "USER 10001",
        "WORKDIR /tmp",
        "LABEL l=image",
        "VOLUME /data",
        "EXPOSE 80",
    ];
    let options: Vec<&str> = changes.iter().flat_map(|change| ["--change", *change]).collect();
    run_engine(DOCKER, &[&["commit"], options.as_slice(), &[&name, &image]].concat());
    cleanup.objects.push(["image".to_owned(), image.clone()]);
    let sets: &[&[&str]] = &[
        &[&image],
        &[&image, "sleep 301"],
        &["--entrypoint", "sleep", &image, "302"],
        &["--entrypoint", "", &image, "sleep", "303"],
        &[
            "--env",
            "A=own",
            "--user",
            "0",
            "--workdir",
            "/",
            "--label",
            "l=own",
            "--stop-signal",
            "TERM",
            &image,
        ],
        &["--env", "B", "--volume", "/other", "--expose", "81", "--publish-all", &image],
    ];
    for (number, words) in sets.iter().enumerate() {
        let written = check(DOCKER, &mut cleanup, &format!("image-{number}"), words);
        if number == 0 {
            let lines = written.run_line.lines().count();
            assert_eq!(lines, 3, "nothing of the image's is written: {}", written.run_line);
        }
    }
    for name in &cleanup.names {
        cleanup.remove(name);
    }
}

#[test]
fn a_docker_container_in_several_networks_and_beside_others_is_made_again() {
    let Some(_turn) = present(DOCKER) else { return };
    let _alone = alone();
    let mut cleanup = Cleanup::new(DOCKER);
    let first = cleanup.object("network", "first", &[]);
    let second = cleanup.object("network", "second", &["--subnet", "172.31.78.0/24"]);
    let neighbour = cleanup.name("neighbour");
    run_engine(DOCKER, &["run", "--detach", "--name", &neighbour, "--volume", "/shared", IMAGE]);
    let name = cleanup.name("several");
    let words = ["run", "--detach", "--name", &name, "--network", &first, "--network-alias", "web", IMAGE];
    run_engine(DOCKER, &words);
    run_engine(DOCKER, &["network", "connect", "--ip", "172.31.78.7", "--alias", "x", &second, &name]);
    let written = check_started(DOCKER, &mut cleanup, &name);
    assert!(
        written.run_line.contains("docker network connect --ip 172.31.78.7 --alias x"),
        "{}",
        written.run_line
    );
    assert!(written.compose.contains("ipv4_address: '172.31.78.7'"), "{}", written.compose);

    let joined = format!("container:{neighbour}");
    let from = format!("{neighbour}:ro");
    let words = ["--network", &joined, "--pid", &joined, "--volumes-from", &from, IMAGE];
    let name = cleanup.name("joined");
    run_engine(DOCKER, &[&["run", "--detach", "--name", &name], words.as_slice()].concat());
    let (written, before, _) = read(DOCKER, &name);
    cleanup.remove(&name);
    start(DOCKER, &written.run_line, cleanup.folder.path()).unwrap();
    let (again, after, _) = read(DOCKER, &name);
    let mut found = Vec::new();
    differences("", &settings(&before), &settings(&after), &mut found);
    assert_eq!(found, Vec::<String>::new(), "{}", written.run_line);
    assert_eq!(sorted_lines(&again.run_line), sorted_lines(&written.run_line));
}

#[test]
fn podman_containers_are_made_again() {
    let Some(_turn) = present(PODMAN) else { return };
    let mut cleanup = Cleanup::new(PODMAN);
    let volume = cleanup.object("volume", "vol", &[]);
    let named = format!("{volume}:/v:ro");
    let sets: &[&[&str]] = &[
        &["--network=none", IMAGE],
        &[
            "--network=none",
            "--cap-add",
            "NET_ADMIN,SYS_ADMIN",
            "--cap-drop=MKNOD",
            "-eA=b",
            "-e",
            "Q=it's \"x\" $HOME",
            "--security-opt",
            "no-new-privileges",
            "--security-opt",
            "unmask=/proc/acpi",
            "--volume",
            &named,
            "-v/etc/hostname:/h:ro",
            "--mount",
            "type=bind,src=/usr,dst=/u,ro",
            "--tmpfs",
            "/scratch:size=10m",
            "--user",
            "10001:10001",
            "--group-add",
            "977",
            "--workdir",
            "/tmp",
            "--hostname",
            "hosty",
            "--sysctl",
            "net.ipv4.ip_forward=1",
            "--device",
            "/dev/null:/dev/n:rw",
            "--label",
            "k=v",
            "-it",
            "--memory",
            "100m",
            "--cpus=1.5",
            "--pids-limit",
            "100",
            "--umask",
            "0027",
            "--annotation",
            "foo=bar",
            "--restart",
            "on-failure:5",
            "--stop-signal",
            "SIGINT",
            "--stop-timeout",
            "5",
            "--shm-size",
            "32m",
            "--entrypoint",
            "sh",
            IMAGE,
            "-c",
            "sleep 300",
        ],
        &[
            "--network=host",
            "--pid=host",
            "--ipc=host",
            "--privileged=false",
            "--read-only",
            IMAGE,
            "sleep",
            "301",
        ],
        &["--network=none", "--userns", "auto:size=70000", "--replace", "--init=false", IMAGE],
        &["--network=none", "--entrypoint", "[\"sh\", \"-c\"]", IMAGE, "sleep 302"],
    ];
    for (number, words) in sets.iter().enumerate() {
        if words.contains(&"auto:size=70000")
            && !std::fs::read_to_string("/etc/subuid").is_ok_and(|t| t.contains("containers:"))
        {
            continue;
        }
        let written = check(PODMAN, &mut cleanup, &format!("podman-{number}"), words);
        assert!(written.run_line.starts_with("podman --runtime runc run --detach"), "{}", written.run_line);
    }
}

#[test]
fn podman_containers_without_the_command_that_made_them_are_written_from_their_inspection() {
    let Some(_turn) = present(PODMAN) else { return };
    let mut cleanup = Cleanup::new(PODMAN);
    let name = cleanup.name("api");
    let words = [
        "--network=none",
        "--cap-add=NET_ADMIN",
        "--volume=/etc/hostname:/h:ro",
        "--user=10001",
        "--memory=100m",
        "--env=A=b c",
        "--hostname=hosty",
        "--label=k=v",
        "--tmpfs=/scratch",
        "--umask=0027",
        "--read-only",
        "--entrypoint=sh",
    ];
    let head = [&["run", "--detach", "--name", &name], PODMAN_RUN].concat();
    run_engine(PODMAN, &[head.as_slice(), &words, &[IMAGE, "-c", "sleep 300"]].concat());
    let raw = engine_api::raw(EngineKind::Podman, Wanted { name: Some(&name), stopped: true }).unwrap();
    let mut inspected = raw.containers.into_iter().next().unwrap();
    inspected.container["Config"].as_object_mut().unwrap().remove("CreateCommand");
    let (_, before, live) = read(PODMAN, &name);
    let engine = live.engine.clone().unwrap();
    let written =
        reproduce(&inspected.container, inspected.image.as_ref(), &engine, &Host::clone(&live.host)).unwrap();
    assert!(written.notes.iter().any(|note| note.contains("kept no command")), "{:?}", written.notes);
    cleanup.remove(&name);
    start(PODMAN, &written.run_line, cleanup.folder.path()).unwrap();
    let (_, after, live_again) = read(PODMAN, &name);
    let mut found = Vec::new();
    differences("", &settings(&before), &settings(&after), &mut found);
    assert_eq!(found, Vec::<String>::new(), "{}", written.run_line);
    assert_eq!(only_in(&facts(&live), &facts(&live_again)), Vec::<String>::new());
}

#[test]
fn a_weak_container_is_written_with_its_remedies_and_not_open_when_it_is_started_so() {
    let Some(_turn) = present(DOCKER) else { return };
    let mut cleanup = Cleanup::new(DOCKER);
    let name = cleanup.name("weak");
    let words = [
        "--cap-add=SYS_ADMIN",
        "--cap-add=NET_ADMIN",
        "--pid=host",
        "--security-opt=seccomp=unconfined",
        "--volume=/var/run/docker.sock:/docker.sock",
        "--volume=/etc:/e",
        "--device=/dev/kmsg",
        "--env=KEEP=me",
        IMAGE,
        "sleep",
        "301",
    ];
    run_engine(DOCKER, &[&["run", "--detach", "--name", &name], words.as_slice()].concat());
    let (written, _, live) = read(DOCKER, &name);
    let (costs, pinned) = (Default::default(), |_: &_, _: &_| Vec::new());
    let asked = techniques::plan::Asked {
        depth: 1,
        alternatives: 0,
        costs: &costs,
        pinned: &pinned,
        recommended: None,
        can: &harden::editor::can,
    };
    let line = written.remedied_line(&context(&live), &asked);
    let file = written.remedied_compose(&context(&live), &asked);
    for remedied in [&line, &file] {
        let refusals: Vec<_> =
            remedied.hardening.subjects.iter().filter_map(|s| s.refusal.as_ref()).collect();
        assert!(refusals.is_empty(), "{refusals:?}");
        let before = techniques::judge::judge(&remedied.world, techniques::judge::Options { depth: 1 });
        assert_eq!(before.subjects[0].verdict, techniques::judge::Verdict::Open);
        assert_eq!(remedied.plan.subjects[0].before.min, 0);
        assert!(remedied.plan.subjects[0].after.min >= 1, "{:?}", remedied.plan.subjects[0].left);
        assert!(remedied.text.contains("KEEP"), "{}", remedied.text);
    }
    assert_ne!(*line.text, *written.run_line);
    assert_ne!(*file.text, *written.compose);
    let of_line = facts(&line.hardening.after.subjects[0].confinement);
    let of_file = facts(&file.hardening.after.subjects[0].confinement);
    assert_eq!(only_in(&of_line, &of_file), only_in(&of_file, &of_line), "{}\n{}", line.text, file.text);

    cleanup.remove(&name);
    start(DOCKER, &line.text, cleanup.folder.path()).unwrap();
    let (_, _, held) = read(DOCKER, &name);
    let subject = line.hardening.after.subjects[0].clone();
    let subject = confinement::Subject { confinement: Arc::new(held), ..subject };
    let world = World { subjects: vec![subject], ..World::default() };
    let judgement = techniques::judge::judge(&world, techniques::judge::Options { depth: 1 });
    // Flaws of this host's kernel may be undetermined.
    assert_ne!(judgement.subjects[0].verdict, techniques::judge::Verdict::Open, "{}", line.text);
}

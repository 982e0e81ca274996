//! Containers of the real engines on this machine, as `docker:`, `podman:` and `proc:` read them. `scripts/engines`
//! sets the engines up; where they are not there the tests say so and pass, unless STOCKADE_ENGINES is set, as
//! `make test` does.

use std::collections::BTreeSet;
use std::process::Command;
use std::sync::Arc;

use confinement::{
    Capability, CapabilitySet, Confinement, DeviceKind, Fact, Host, HostPath, MountSource, Namespace,
    Propagation, Seccomp, Subject, SubjectKind, World,
};
use sources::engine_api::{self, Told, Wanted};
use sources::node::Facts;
use sources::process;

const IMAGE: &str = "stockade-test-busybox";
/// The newer docker client that may stand elsewhere in PATH refuses nothing, but Debian's belongs to the daemon.
const DOCKER: &[&str] = &["/usr/bin/docker", "-H", "unix:///run/docker.sock"];
const PODMAN: &[&str] = &["podman", "--runtime", "runc"];
/// This kernel's root may not raise limits, which Podman does unless told otherwise.
const PODMAN_RUN: &[&str] = &["--ulimit", "nofile=20000:20000", "--ulimit", "nproc=10000:10000"];

fn run(engine: &[&str], arguments: &[&str]) -> String {
    let output = Command::new(engine[0]).args(&engine[1..]).args(arguments).output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{engine:?} {arguments:?}: {errors}");
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

/// A test's turn. A container that binds the host's root sees the mounts of every other container come and go, so
/// such a test runs alone.
struct Turn(#[allow(dead_code, reason = "the lock lasts as long as the file is open")] std::fs::File);

impl Turn {
    fn wait(operation: rustix::fs::FlockOperation) -> Turn {
        let path = std::env::temp_dir().join("stockade-engine-tests.lock");
        let file = std::fs::File::options().create(true).append(true).open(path).unwrap();
        rustix::fs::flock(&file, operation).unwrap();
        Turn(file)
    }
}

/// Waits for a turn beside others, where the engine can be tested.
fn present(engine: &[&str]) -> Option<Turn> {
    is_present(engine).then(|| Turn::wait(rustix::fs::FlockOperation::LockShared))
}

/// Waits until no other test here runs, where the engine can be tested.
fn present_alone(engine: &[&str]) -> Option<Turn> {
    is_present(engine).then(|| Turn::wait(rustix::fs::FlockOperation::LockExclusive))
}

fn is_present(engine: &[&str]) -> bool {
    let output = Command::new(engine[0]).args(&engine[1..]).args(["image", "inspect", IMAGE]).output();
    let there = output.is_ok_and(|o| o.status.success());
    if !there {
        assert!(std::env::var_os("STOCKADE_ENGINES").is_none(), "{engine:?} is not set up: scripts/engines");
        eprintln!("skipped: {engine:?} has no image {IMAGE}; run scripts/engines");
    }
    there
}

/// A container that is removed with the test.
struct Started {
    engine: &'static [&'static str],
    name: String,
    id: String,
}

impl Started {
    fn new(engine: &'static [&'static str], name: &str, options: &[&str], command: &[&str]) -> Started {
        let name = format!("stockade-test-{}-{name}", std::process::id());
        let mut arguments = vec!["run", "--detach", "--name", &name];
        if engine == PODMAN {
            arguments.extend(PODMAN_RUN);
        }
        arguments.extend(options);
        arguments.push(IMAGE);
        arguments.extend(command);
        // Made first, so that what is left of a start that failed is removed too.
        let mut started = Started { engine, name: name.clone(), id: String::new() };
        started.id = run(engine, &arguments);
        started
    }
    fn docker(name: &str, options: &[&str]) -> Started {
        Started::new(DOCKER, name, options, &["sleep", "300"])
    }
    fn podman(name: &str, options: &[&str]) -> Started {
        Started::new(PODMAN, name, options, &["sleep", "300"])
    }
    /// As its engine and the kernel tell it.
    fn read(&self) -> (Subject, World) {
        let host = Arc::new(Host::default());
        let wanted = Wanted { name: Some(&self.name), stopped: false };
        let told = if self.engine == DOCKER {
            engine_api::docker(wanted, &host)
        } else {
            engine_api::podman(wanted, &host)
        };
        (one(&told.world), told.world)
    }
    /// As `/proc` alone tells it.
    fn read_proc(&self) -> (Subject, World) {
        let world = process::read(Some(&self.id), &Arc::new(Host::default()), &BTreeSet::new());
        (one(&world), world)
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        // Killed first: Podman's rm waits ten seconds for a program that heeds no signal.
        for arguments in [&["kill", &self.name][..], &["rm", "--force", "--volumes", &self.name]] {
            let _ = Command::new(self.engine[0]).args(&self.engine[1..]).args(arguments).output();
        }
    }
}

fn one(world: &World) -> Subject {
    assert_eq!(world.subjects.len(), 1, "{world:#?}");
    assert!(world.problems.is_empty(), "{:#?}", world.problems);
    world.subjects[0].clone()
}

/// Everything both ways can know, written one fact a line.
fn facts(c: &Confinement) -> Vec<String> {
    let mut lines = vec![
        format!("privileged {:?}", c.privileged.value),
        format!("identity {:?}", values(&c.identity)),
        format!("effective {:?}", c.capabilities.effective.value),
        format!("permitted {:?}", c.capabilities.permitted.value),
        format!("inheritable {:?}", c.capabilities.inheritable.value),
        format!("bounding {:?}", c.capabilities.bounding.value),
        format!("ambient {:?}", c.capabilities.ambient.value),
        format!("user namespace initial {:?}", c.user_namespace.initial.value),
        format!("uid map {:?}", c.user_namespace.uid_map.value),
        format!("gid map {:?}", c.user_namespace.gid_map.value),
        format!("root is host root {:?}", c.user_namespace.root_is_host_root.value),
        format!("masked {:?}", c.masked_paths.value),
        format!("read-only {:?}", c.readonly_paths.value),
        format!("read-only root {:?}", c.read_only_rootfs.value),
        format!("apparmor {:?}", c.apparmor.value),
        format!("selinux {:?}", c.selinux.value),
        format!("all host nodes {:?}", c.devices.all_host_nodes.value),
        format!("device rules {:?}", c.devices.rules.value),
        format!("cgroup writable {:?}", c.cgroup.writable.value),
        format!("memory {:?}", c.limits.memory.value),
        format!("cpu {:?}", c.limits.cpu.value),
        format!("pids {:?}", c.limits.pids.value),
        format!("attached {:?}", c.network.attached.value),
        format!("shared segment {:?}", c.network.shared_segment.value),
        format!("control apis {:?}", c.control_apis.iter().map(|f| f.value.clone()).collect::<Vec<_>>()),
        format!("seccomp {}", c.seccomp.value == Some(Seccomp::Disabled)),
        format!("runtime {:?}", c.runtime.value),
    ];
    for kind in confinement::NamespaceKind::ALL {
        lines.push(format!("{} namespace {:?}", kind.name(), c.namespaces.get(kind).value));
    }
    for node in &c.devices.nodes {
        lines.push(format!("device {:?}", node.value));
    }
    for m in &c.mounts {
        lines.push(format!(
            "mount {} {:?} ro {:?} {:?} {:?} {}{}{}",
            m.target,
            m.source.value,
            m.read_only.value,
            m.recursive_read_only.value,
            m.propagation.value,
            m.nosuid,
            m.nodev,
            m.noexec
        ));
    }
    lines
}

fn values(i: &confinement::Identity) -> impl std::fmt::Debug {
    (i.uid.value, i.root.value, i.gid.value, i.groups.value.clone(), i.no_new_privileges.value)
}

/// Shows only what differs.
fn assert_same(engine: &Confinement, proc: &Confinement) {
    let (left, right) = (facts(engine), facts(proc));
    let only = |a: &[String], b: &[String]| a.iter().filter(|f| !b.contains(f)).cloned().collect::<Vec<_>>();
    assert_eq!(only(&left, &right), only(&right, &left));
    assert!(engine.seccomp == proc.seccomp, "{:?} {:?}", engine.seccomp.origin, proc.seccomp.origin);
    assert!(!matches!(proc.seccomp.value, None | Some(Seccomp::Opaque)), "the filter's content is found");
}

fn assert_same_facts(container: &Started) -> (Confinement, Confinement) {
    let (engine, _) = container.read();
    let (proc, _) = container.read_proc();
    assert_same(&engine.confinement, &proc.confinement);
    ((*engine.confinement).clone(), (*proc.confinement).clone())
}

fn mount<'a>(confinement: &'a Confinement, target: &str) -> &'a confinement::Mount {
    confinement
        .mounts
        .iter()
        .find(|m| &*m.target == target)
        .unwrap_or_else(|| panic!("{target}: {confinement:#?}"))
}

#[test]
fn a_default_docker_container_has_the_same_facts_through_docker_and_proc() {
    let Some(_turn) = present(DOCKER) else { return };
    let container = Started::docker("default", &[]);
    let (engine, _) = assert_same_facts(&container);
    assert_eq!(engine.identity.root.value, Some(true));
    assert_eq!(engine.capabilities.bounding.value, Some(CapabilitySet(0xa80425fb)));
    assert_eq!(engine.user_namespace.initial.value, Some(true));
    assert_eq!(engine.namespaces.pid.value, Some(Namespace::Own));
    assert!(matches!(engine.seccomp.value, Some(Seccomp::Profile { .. })));
    let masked = engine.masked_paths.get().unwrap();
    for path in ["/proc/keys", "/proc/timer_list", "/proc/acpi", "/proc/kcore"] {
        assert!(masked.iter().any(|p| &**p == path), "{path}: {masked:?}");
    }
    let targets: Vec<&str> = engine.mounts.iter().map(|m| &*m.target).collect();
    assert_eq!(targets, ["/proc", "/sys", "/sys/fs/cgroup"]);
}

#[test]
fn every_option_is_the_same_through_docker_and_proc() {
    let Some(_turn) = present_alone(DOCKER) else { return };
    let folder = tempfile();
    let bind = format!("{folder}:/data:ro");
    let options = [
        "--cap-add=SYS_ADMIN",
        "--cap-add=SYS_PTRACE",
        "--cap-drop=MKNOD",
        "--security-opt=no-new-privileges",
        "--security-opt=systempaths=unconfined",
        "--user=10001:10001",
        "--group-add=977",
        "--pid=host",
        "--ipc=host",
        "--uts=host",
        "--network=none",
        "--read-only",
        "--memory=64m",
        "--cpus=0.5",
        "--pids-limit=77",
        "--device=/dev/kmsg",
        "--device-cgroup-rule=c 188:* rwm",
        "--env=DOCKER_HOST=tcp://10.0.0.1:2375",
        "--tmpfs=/scratch",
        "--volume=/etc:/hostetc:ro",
        "--volume=/var/run/docker.sock:/s/docker.sock",
        "--volume=/:/host",
        "--volume=/proc:/hostproc",
        "--volume=stockade-test-volume:/vol",
        "-v",
        &bind,
    ];
    let container = Started::docker("options", &options);
    let (engine, proc) = assert_same_facts(&container);
    assert_eq!(engine.identity.uid.value, Some(10001));
    assert_eq!(engine.identity.no_new_privileges.value, Some(true));
    assert_eq!(engine.identity.groups.value.as_deref(), Some([977, 10001].as_slice()));
    assert_eq!(engine.capabilities.effective.value, Some(CapabilitySet::EMPTY));
    let bounding = engine.capabilities.bounding.value.unwrap();
    assert!(bounding.has(Capability::SYS_ADMIN) && !bounding.has(Capability::MKNOD));
    for namespace in [&engine.namespaces.pid, &engine.namespaces.ipc, &engine.namespaces.uts] {
        assert_eq!(namespace.value, Some(Namespace::Host));
    }
    assert_eq!(engine.network.attached.value, Some(false));
    assert_eq!(engine.limits.memory.value, Some(Some(64 << 20)));
    assert_eq!(engine.limits.cpu.value, Some(Some(500)));
    assert_eq!(engine.limits.pids.value, Some(Some(77)));
    assert!(!engine.masked_paths.get().unwrap().iter().any(|p| &**p == "/proc/keys"));
    assert_eq!(engine.control_apis.len(), 1);
    let host = |path: &str| Some(MountSource::Host(HostPath::new(path)));
    assert_eq!(mount(&engine, "/hostetc").source.value, host("/etc"));
    assert_eq!(mount(&engine, "/hostetc").read_only.value, Some(true));
    assert_eq!(mount(&engine, "/s/docker.sock").source.value, host("/run/docker.sock"));
    assert_eq!(mount(&engine, "/host").source.value, host("/"));
    assert!(mount(&engine, "/host").recursive);
    // What came along with the host's root is not repeated, but where its rights differ.
    // The network namespaces of other tests' engines come and go.
    let of_an_engine = |m: &&confinement::Mount| m.target.contains("/netns/");
    let below: Vec<_> =
        engine.mounts.iter().filter(|m| m.target.starts_with("/host/") && !of_an_engine(m)).collect();
    assert!(below.iter().all(|m| m.read_only.value == Some(true)), "{below:#?}");
    assert_eq!(mount(&engine, "/hostproc").source.value, host("/proc"));
    assert_eq!(mount(&engine, "/data").source.value, host(&folder));
    assert_eq!(mount(&engine, "/scratch").source.value, Some(MountSource::Private));
    assert!(matches!(mount(&engine, "/vol").source.value, Some(MountSource::Volume(_))));
    assert!(matches!(mount(&proc, "/vol").source.value, Some(MountSource::Volume(_))));
    let kmsg =
        engine.devices.nodes.iter().find_map(|n| n.get().filter(|n| n.host == HostPath::new("/dev/kmsg")));
    let kmsg = kmsg.unwrap();
    assert_eq!((kmsg.kind, kmsg.major, kmsg.minor), (Some(DeviceKind::Char), Some(1), Some(11)));
    let rules = engine.devices.rules.get().unwrap();
    assert!(rules.iter().any(|r| r.allow && r.major == Some(188) && r.minor.is_none()), "{rules:?}");
    drop(container);
    run(DOCKER, &["volume", "rm", "stockade-test-volume"]);
    std::fs::remove_dir(folder).unwrap();
}

fn tempfile() -> String {
    let folder = std::env::temp_dir().join(format!("stockade-test-{} with space", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    folder.to_str().unwrap().to_owned()
}

#[test]
fn a_volume_that_binds_the_socket_and_a_link_to_it_are_the_socket() {
    let Some(_turn) = present_alone(DOCKER) else { return };
    let volume = format!("stockade-test-{}-socket", std::process::id());
    let device = ["--opt", "type=none", "--opt", "o=bind", "--opt", "device=/run"];
    run(DOCKER, &[&["volume", "create"], device.as_slice(), &[&volume]].concat());
    let link = std::env::temp_dir().join(format!("stockade-test-link-{}", std::process::id()));
    std::os::unix::fs::symlink("/run", &link).unwrap();
    let container = Started::docker(
        "socket",
        &["-v", &format!("{volume}:/x"), "-v", &format!("{}:/y", link.display()), "-v", "//var/run/:/z"],
    );
    let (engine, _) = assert_same_facts(&container);
    for target in ["/x", "/y", "/z"] {
        let expected = Some(MountSource::Host(HostPath::new("/run")));
        assert_eq!(mount(&engine, target).source.value, expected, "{target}");
    }
    drop(container);
    run(DOCKER, &["volume", "rm", &volume]);
    std::fs::remove_file(link).unwrap();
}

#[test]
fn containers_that_share_namespaces_name_the_one_that_holds_them() {
    let Some(_turn) = present(DOCKER) else { return };
    let holder = Started::docker("holder", &[]);
    let shared = format!("container:{}", holder.name);
    let guest = Started::docker("guest", &["--pid", &shared, "--network", &shared]);
    let (engine, _) = guest.read();
    let expected = Some(Namespace::Container(format!("docker:{}", holder.name).into()));
    assert_eq!(engine.confinement.namespaces.pid.value, expected);
    assert_eq!(engine.confinement.namespaces.net.value, expected);
    assert_eq!(engine.confinement.namespaces.uts.value, Some(Namespace::Own));
    let (proc, _) = guest.read_proc();
    let expected = Some(Namespace::Container(format!("proc:{}", holder.id).into()));
    assert_eq!(proc.confinement.namespaces.pid.value, expected);
    assert_eq!(proc.confinement.namespaces.net.value, expected);
    assert_eq!(holder.read_proc().0.confinement.namespaces.pid.value, Some(Namespace::Own));
}

#[test]
fn the_kernel_shows_what_a_program_gave_up_after_its_start() {
    let Some(_turn) = present(DOCKER) else { return };
    let container = Started::new(DOCKER, "dropped", &[], &["su", "app", "-c", "sleep 300"]);
    // The first process stays root where su waits for its child; busybox's su execs it.
    std::thread::sleep(std::time::Duration::from_millis(300));
    let (engine, world) = container.read();
    assert_eq!(engine.confinement.identity.uid.value, Some(10001), "{:#?}", world.notes);
    assert_eq!(engine.confinement.capabilities.effective.value, Some(CapabilitySet::EMPTY));
    assert_eq!(engine.confinement.capabilities.bounding.value, Some(CapabilitySet(0xa80425fb)));
}

#[test]
fn what_an_operator_runs_inside_is_not_taken_for_the_container() {
    let Some(_turn) = present(DOCKER) else { return };
    let container = Started::docker("exec", &["--user=10001"]);
    run(DOCKER, &["exec", "--detach", "--user=0", &container.name, "sleep", "200"]);
    let (engine, _) = assert_same_facts(&container);
    assert_eq!(engine.identity.uid.value, Some(10001));
}

#[test]
fn a_stopped_container_is_read_by_name_from_what_the_engine_says() {
    let Some(_turn) = present(DOCKER) else { return };
    let container = Started::docker("stopped", &["--cap-add=SYS_ADMIN", "--security-opt=seccomp=unconfined"]);
    run(DOCKER, &["kill", &container.name]);
    let (engine, _) = container.read();
    assert_eq!(engine.confinement.seccomp.value, Some(Seccomp::Disabled));
    assert!(engine.confinement.capabilities.effective.get().unwrap().has(Capability::SYS_ADMIN));
}

#[test]
fn the_daemon_is_a_subject_with_its_version_and_settings() {
    let Some(_turn) = present(DOCKER) else { return };
    let container = Started::docker("listed", &[]);
    let told = engine_api::docker(Wanted::default(), &Arc::new(Host::default()));
    assert!(told.world.problems.is_empty(), "{:#?}", told.world.problems);
    assert!(told.container_ids.contains(container.id.as_str()));
    let engine = told.world.subjects.iter().find(|s| s.kind == SubjectKind::Engine).unwrap();
    let engine = engine.confinement.engine.as_ref().unwrap();
    let version = run(DOCKER, &["version", "--format", "{{.Server.Version}}"]);
    assert_eq!(&*engine.label, format!("docker-{version}"));
    assert!(version.starts_with(&format!("{}.{}.", engine.version.0, engine.version.1)));
    assert_eq!(engine.settings.inter_container.value, Some(true));
    assert_eq!(engine.settings.userns_remap.value, Some(false));
    assert_eq!(engine.settings.authorization_plugins.value.as_deref(), Some([].as_slice()));
    assert!(engine.settings.tcp.is_empty());
    let known = told.container_ids.clone();
    let rest = process::read(None, &Arc::new(Host::default()), &known);
    assert!(!rest.subjects.iter().any(|s| s.id.contains(&container.id)));
}

#[test]
fn a_name_that_no_container_has_is_a_problem() {
    let Some(_turn) = present(DOCKER) else { return };
    let wanted = Wanted { name: Some("../no such?name"), stopped: false };
    let Told { world, .. } = engine_api::docker(wanted, &Arc::new(Host::default()));
    assert!(world.subjects.is_empty());
    assert_eq!(world.problems.len(), 1, "{:#?}", world.problems);
    assert!(world.problems[0].message.contains("../no such?name"));
}

#[test]
fn a_default_podman_container_has_the_same_facts_through_podman_and_proc() {
    let Some(_turn) = present(PODMAN) else { return };
    let container = Started::podman("default", &["--network=none"]);
    let (engine, _) = assert_same_facts(&container);
    assert_eq!(engine.capabilities.bounding.value, Some(CapabilitySet(0x800405fb)));
    assert_eq!(engine.limits.pids.value, Some(Some(2048)));
    assert_eq!(engine.engine.as_ref().unwrap().kind, confinement::EngineKind::Podman);
}

#[test]
fn every_option_is_the_same_through_podman_and_proc() {
    let Some(_turn) = present(PODMAN) else { return };
    let options = [
        "--network=none",
        "--cap-add=SYS_ADMIN",
        "--security-opt=unmask=all",
        "--security-opt=no-new-privileges",
        "--security-opt=seccomp=unconfined",
        "--uidmap=0:100000:65536",
        "--user=app",
        "--pid=host",
        "--volume=/etc:/hostetc:ro",
        "--volume=stockade-test-podman-volume:/vol",
        "--tmpfs=/scratch",
        "--device=/dev/kmsg",
    ];
    let container = Started::podman("options", &options);
    let (engine, _) = assert_same_facts(&container);
    assert_eq!(engine.identity.uid.value, Some(10001));
    assert_eq!(engine.user_namespace.initial.value, Some(false));
    assert_eq!(engine.user_namespace.root_is_host_root.value, Some(false));
    assert_eq!(engine.seccomp.value, Some(Seccomp::Disabled));
    assert!(engine.capabilities.effective.get().unwrap().has(Capability::SYS_ADMIN));
    assert_eq!(mount(&engine, "/hostetc").source.value, Some(MountSource::Host(HostPath::new("/etc"))));
    assert!(!engine.masked_paths.get().unwrap().iter().any(|p| &**p == "/proc/keys"));
    drop(container);
    run(PODMAN, &["volume", "rm", "stockade-test-podman-volume"]);
}

#[test]
fn a_privileged_podman_container_is_privileged_through_podman_and_proc() {
    let Some(_turn) = present(PODMAN) else { return };
    let container = Started::podman("privileged", &["--network=none", "--privileged"]);
    let (engine, _) = container.read();
    let (proc, _) = container.read_proc();
    assert_eq!(proc.confinement.privileged.value, Some(true));
    assert_eq!(proc.confinement.devices.all_host_nodes.value, Some(true));
    assert_same(&engine.confinement, &proc.confinement);
}

#[test]
fn a_stopped_podman_container_is_read_by_name_from_what_the_engine_says() {
    let Some(_turn) = present(PODMAN) else { return };
    let container = Started::podman("stopped", &["--network=none", "--security-opt=unmask=all"]);
    run(PODMAN, &["kill", &container.name]);
    run(PODMAN, &["wait", &container.name]);
    let (engine, _) = container.read();
    assert_eq!(engine.confinement.masked_paths.value.as_deref(), Some([].as_slice()));
    assert_eq!(engine.confinement.capabilities.bounding.value, Some(CapabilitySet(0x800405fb)));
}

#[test]
fn sharing_with_the_host_shows_as_shared_propagation() {
    let Some(_turn) = present(PODMAN) else { return };
    let folder = std::env::temp_dir().join(format!("stockade-test-shared-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let text = folder.to_str().unwrap();
    let mounted = Mounted::shared(text);
    let container = Started::podman("shared", &["--network=none", "-v", &format!("{text}:/s:rshared")]);
    let (engine, _) = assert_same_facts(&container);
    assert_eq!(
        mount(&engine, "/s").propagation,
        Fact::known(Propagation::Shared, confinement::Origin::Nowhere)
    );
    drop(container);
    drop(mounted);
    std::fs::remove_dir(folder).unwrap();
}

/// A shared tmpfs on a folder of the test's own.
struct Mounted(String);

impl Mounted {
    fn shared(folder: &str) -> Mounted {
        run(&["mount"], &["-t", "tmpfs", "stockade-test", folder]);
        run(&["mount"], &["--make-rshared", folder]);
        Mounted(folder.to_owned())
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(&self.0).output();
    }
}

/// Prints facts when it is started inside a container by `from_inside`; otherwise there is nothing to do.
#[test]
fn measure_when_asked() {
    if std::env::var_os("STOCKADE_MEASURE").is_some() {
        let facts = Facts::measure(&probe::Options::default());
        println!("\n{}", serde_json::to_string(&facts).unwrap());
    }
}

/// What this very program needs to run in an image that has no C library.
fn own_program() -> Vec<String> {
    let program = std::env::current_exe().unwrap();
    let mut options =
        vec![format!("--volume={}:/measure:ro", program.display()), "--volume=/usr/lib:/lib:ro".to_owned()];
    if std::path::Path::new("/lib64").exists() {
        options.push("--volume=/lib64:/lib64:ro".to_owned());
    }
    options
}

impl Started {
    /// As a process inside measures it.
    fn read_inside(&self) -> Subject {
        let measure = ["/measure", "--exact", "measure_when_asked", "--nocapture"];
        let arguments = [&["exec", "--env", "STOCKADE_MEASURE=1", &self.name][..], &measure].concat();
        let output = run(self.engine, &arguments);
        let json = output.lines().find(|line| line.starts_with('{')).unwrap_or_else(|| panic!("{output}"));
        assert!(sources::node::recognise(json));
        let path = Arc::from("-");
        let (subject, _) = Facts::parse(json, &path).unwrap().subject(&path).unwrap();
        subject
    }
}

/// The facts that a process inside can know, without those that differ by nature.
fn inside_facts(c: &Confinement) -> Vec<String> {
    let by_nature =
        ["runtime", "control apis", "seccomp", "all host nodes", "masked", "read-only", "shared segment"];
    facts(c).into_iter().filter(|f| !by_nature.iter().any(|start| f.starts_with(start))).collect()
}

#[test]
fn a_container_measured_from_inside_has_the_facts_that_docker_tells() {
    let Some(_turn) = present_alone(DOCKER) else { return };
    let own = own_program();
    let own: Vec<&str> = own.iter().map(String::as_str).collect();
    let sets: [&[&str]; 3] = [
        &[],
        &[
            "--cap-add=SYS_ADMIN",
            "--security-opt=seccomp=unconfined",
            "--pid=host",
            "--volume=/:/host",
            "--volume=/etc:/e:ro",
        ],
        &[
            "--user=10001:10001",
            "--cap-drop=ALL",
            "--security-opt=no-new-privileges",
            "--memory=64m",
            "--pids-limit=50",
            "--device=/dev/kmsg",
            "--tmpfs=/scratch",
            "--volume=/run/docker.sock:/d.sock",
            "--network=none",
        ],
    ];
    for (number, set) in sets.iter().enumerate() {
        let container = Started::docker(&format!("inside-{number}"), &[&own, *set].concat());
        let (engine, _) = container.read();
        let inside = container.read_inside();
        let (left, right) = (inside_facts(&engine.confinement), inside_facts(&inside.confinement));
        let only =
            |a: &[String], b: &[String]| a.iter().filter(|f| !b.contains(f)).cloned().collect::<Vec<_>>();
        assert_eq!(only(&left, &right), only(&right, &left), "{set:?}");
        let permits_mount = match inside.confinement.seccomp.get().unwrap() {
            Seccomp::Disabled => true,
            Seccomp::Measured(answers) => answers["mount"],
            other => panic!("{other:?}"),
        };
        assert_eq!(permits_mount, set.contains(&"--cap-add=SYS_ADMIN"));
        let masked = inside.confinement.masked_paths.get().unwrap();
        assert!(masked.iter().any(|p| &**p == "/proc/keys"), "{masked:?}");
    }
}

/// A second daemon with settings of its own, ended with the test.
struct Daemon {
    child: std::process::Child,
    folder: tempfile::TempDir,
    bridge: String,
}

impl Daemon {
    fn start(configuration: &str, options: &[&str]) -> Option<Daemon> {
        let folder = tempfile::Builder::new().prefix("stockade-test-").tempdir().unwrap();
        let path = |name: &str| folder.path().join(name).display().to_string();
        // A bridge of its own: without one the daemon takes down that of the first.
        let bridge = format!("stockade{}", std::process::id() % 100_000);
        let made = Command::new("ip").args(["link", "add", &bridge, "type", "bridge"]).output();
        if !made.is_ok_and(|o| o.status.success()) {
            eprintln!("skipped: no bridge can be made here");
            return None;
        }
        run(&["ip"], &["address", "add", "172.31.251.1/24", "dev", &bridge]);
        std::fs::write(path("daemon.json"), configuration).unwrap();
        let child = Command::new("dockerd")
            .args(["--host", &format!("unix://{}", path("d.sock")), "--data-root", &path("data")])
            .args([
                "--exec-root",
                &path("exec"),
                "--pidfile",
                &path("pid"),
                "--config-file",
                &path("daemon.json"),
            ])
            .args(["--bridge", &bridge, "--iptables=false"])
            .args(options)
            .stdout(std::process::Stdio::null())
            .stderr(std::fs::File::create(path("log")).unwrap())
            .spawn()
            .unwrap();
        let mut daemon = Daemon { child, folder, bridge };
        for _ in 0..100 {
            let host = format!("unix://{}", daemon.socket().display());
            if Command::new(DOCKER[0]).args(["-H", &host, "version"]).output().unwrap().status.success() {
                return Some(daemon);
            }
            if daemon.child.try_wait().unwrap().is_some() {
                break;
            }
            std::thread::sleep(std::time::Duration::from_millis(100));
        }
        panic!(
            "dockerd did not start: {}",
            std::fs::read_to_string(daemon.folder.path().join("log")).unwrap()
        );
    }
    fn socket(&self) -> std::path::PathBuf {
        self.folder.path().join("d.sock")
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = Command::new("kill").arg(self.child.id().to_string()).output();
        let _ = self.child.wait();
        let _ = Command::new("ip").args(["link", "delete", &self.bridge]).output();
        // A daemon that failed leaves its data folder mounted on itself.
        let _ = Command::new("umount").arg(self.folder.path().join("data")).output();
    }
}

#[test]
fn settings_of_a_daemon_come_from_its_file_its_flags_and_itself() {
    let Some(_turn) = present(DOCKER) else { return };
    let configuration = r#"{"no-new-privileges": true, "live-restore": true,
        "insecure-registries": ["registry.example:5000"]}"#;
    let options =
        ["--host", "tcp://127.0.0.1:0", "--userland-proxy=false", "--default-ipc-mode", "shareable"];
    let Some(daemon) = Daemon::start(configuration, &options) else { return };
    let endpoint = engine_api::Endpoint::Unix(daemon.socket());
    let told = engine_api::docker_at(&endpoint, Wanted::default(), &Arc::new(Host::default()));
    assert!(told.world.problems.is_empty(), "{:#?}", told.world.problems);
    let subject = &told.world.subjects[0];
    let engine = subject.confinement.engine.as_ref().unwrap();
    let settings = &engine.settings;
    assert_eq!(settings.inter_container.value, Some(true));
    assert_eq!(settings.no_new_privileges.value, Some(true));
    assert_eq!(settings.live_restore.value, Some(true));
    assert_eq!(settings.userland_proxy.value, Some(false));
    assert_eq!(settings.default_ipc.as_ref().and_then(|f| f.value.as_deref()), Some("shareable"));
    let registries: Vec<_> = settings.insecure_registries.iter().filter_map(|f| f.value.as_deref()).collect();
    assert!(registries.contains(&"registry.example:5000"), "{registries:?}");
    let tcp: Vec<_> = settings.tcp.iter().filter_map(Fact::get).collect();
    assert_eq!(tcp.len(), 1, "{tcp:?}");
    assert!(tcp[0].address.starts_with("tcp://127.0.0.1") && !tcp[0].verifies_clients);
    assert_eq!(subject.confinement.identity.no_new_privileges.value, Some(true));
}

#[test]
fn what_a_container_calls_itself_does_not_reach_a_terminal_raw() {
    let Some(_turn) = present(DOCKER) else { return };
    let command = r"printf '\033[31mevil\n)' > /proc/self/comm; while :; do sleep 1; done";
    let container =
        Started::new(DOCKER, "name", &["--volume=/etc:/a\\b\u{1b}[1m:ro"], &["sh", "-c", command]);
    std::thread::sleep(std::time::Duration::from_millis(300));
    let (proc, world) = container.read_proc();
    assert!(proc.name.contains("evil"), "{}", proc.name);
    assert!(!proc.name.contains(char::is_control), "{:?}", proc.name);
    let bind = proc.confinement.mounts.iter().find(|m| m.target.starts_with("/a\\b")).unwrap();
    assert_eq!(bind.source.value, Some(MountSource::Host(HostPath::new("/etc"))));
    let confinement::Origin::Measurement { what } = &bind.source.origin else {
        panic!("{:?}", bind.source.origin)
    };
    assert!(what.contains("\\033[1m") && !what.contains(char::is_control), "{what:?}");
    assert!(world.problems.is_empty());
}

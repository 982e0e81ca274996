//! Random pods, technique by technique: what the webhook finds and what the emitted policies refuse.

use std::collections::BTreeSet;
use std::sync::Arc;

use confinement::{Engine, Fact, Origin};
use gate::kubernetes::emit::report::Said;
use policy::{NoFiles, Policy};
use serde_json::{Value, json};
use sources::Context;

use crate::agreement::{Deciders, NAMESPACE, SHAPES, in_shape, request};

/// Marsaglia's xorshift: the same pods in every run.
struct Random(u64);

impl Random {
    fn next(&mut self, below: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as usize % below
    }
    fn one_in(&mut self, n: usize) -> bool {
        self.next(n) == 0
    }
    fn pick<'a, T>(&mut self, items: &'a [T]) -> &'a T {
        &items[self.next(items.len())]
    }
}

const CAPABILITIES: &[&str] = &[
    "SYS_ADMIN",
    "CAP_SYS_ADMIN",
    "sys_ptrace",
    "SYS_MODULE",
    "DAC_READ_SEARCH",
    "NET_ADMIN",
    "SYS_RAWIO",
    "MKNOD",
    "SYS_BOOT",
    "NET_RAW",
    "CHOWN",
    "SYS_CHROOT",
    "DAC_OVERRIDE",
    "BPF",
    "ALL",
    "all",
    "NET_BIND_SERVICE",
    "bogus",
];
const PATHS: &[&str] = &[
    "/",
    "//",
    "/./",
    "/etc",
    "/etc/",
    "/etc/cron.d",
    "/etc/cron.d/job",
    "/etc/myapp",
    "/etc/shadow",
    "/root",
    "/root/.ssh",
    "/root/.kube/config",
    "/home",
    "/home/ada",
    "/home/ada/.ssh",
    "/home/ada/.ssh/authorized_keys",
    "/home/ada/work",
    "/run",
    "/var/run",
    "/var/run/",
    "//var//run/docker.sock",
    "/run/docker.sock",
    "/var/run/docker.sock",
    "/run/docker.sock.d",
    "/runner",
    "/run/containerd",
    "/run/containerd/containerd.sock",
    "/run/containerd/s",
    "/run/containerd/s/abc",
    "/run/containerd/io.containerd.runtime.v2.task",
    "/run/user",
    "/run/user/1000",
    "/run/user/1000/docker.sock",
    "/run/user/2000/gnupg/S.gpg-agent",
    "/run/user/ada",
    "/tmp",
    "/tmp/ssh-abc",
    "/tmp/ssh-abc/agent.1",
    "/tmp/.X11-unix",
    "/var",
    "/var/lib",
    "/var/lib/docker",
    "/var/lib/docker/volumes",
    "/var/lib/docker/volumes/db/_data",
    "/var/lib/docker/volumes/db",
    "/var/lib/kubelet",
    "/var/lib/kubelet/pods",
    "/var/lib/kubelet/pods/x",
    "/var/lib/kubelet/pki",
    "/var/lib/etcd",
    "/var/log",
    "/var/log/pods",
    "/proc",
    "/proc/sys",
    "/proc/sys/kernel",
    "/proc/sys/kernel/core_pattern",
    "/proc/1/root",
    "/proc/1/root/etc",
    "/proc/self/root/var/run",
    "/proc/1/cwd",
    "/proc/kcore",
    "/proc/net",
    "/sys",
    "/sys/fs",
    "/sys/fs/cgroup",
    "/sys/fs/cgroup/memory",
    "/sys/kernel",
    "/sys/kernel/debug",
    "/sys/kernel/security",
    "/sys/kernel/uevent_helper",
    "/dev",
    "/dev/sda",
    "/dev/sdb1",
    "/dev/mapper",
    "/dev/mapper/control",
    "/dev/mapper/vg-root",
    "/dev/disk",
    "/dev/disk/by-id",
    "/dev/disk/by-id/ata-x",
    "/dev/mem",
    "/dev/kmsg",
    "/dev/null",
    "/dev/shm",
    "/dev/fuse",
    "/bin",
    "/usr/bin",
    "/usr",
    "/sbin/x",
    "/lib/x/y",
    "/lib64",
    "/usr/local",
    "/usr/local/bin",
    "/opt",
    "/opt/cni",
    "/opt/cni/bin/bridge",
    "/opt/app",
    "/boot",
    "/data",
    "/srv/x",
    "/run/crio/crio.sock",
    "/run/systemd",
    "/run/systemd/private",
    "/run/dbus/system_bus_socket",
    "/run/libvirt",
    "/var/lib/lxd",
    "/var/lib/rancher/k3s/server",
    "/var/spool/cron/crontabs",
];
const TARGETS: &[&str] = &[
    "/host",
    "/host/",
    "/proc",
    "/sys",
    "/host/proc",
    "/mnt",
    "/proc/sys",
    "/dev",
    "/data",
    "/sys/fs/cgroup",
    "/proc/host",
];
const USERS: &[i64] = &[0, 1, 500, 1000, 2000, 60001];
const CLASSES: &[&str] = &["gvisor", "kata-qemu", "runc", "Custom", "wasmtime", "nvidia"];
const DOMAINS: &[&str] = &["spc_t", "container_t", "custom_t", ""];
const PROFILES: &[&str] = &["Unconfined", "RuntimeDefault", "Localhost"];
const NOTES: &[&str] = &["unconfined", "runtime/default", "docker/default", "localhost/x", ""];

fn profile(random: &mut Random) -> Value {
    match *random.pick(PROFILES) {
        "Localhost" => json!({ "type": "Localhost", "localhostProfile": "x" }),
        kind => json!({ "type": kind }),
    }
}

fn capabilities(random: &mut Random) -> Value {
    let list = |random: &mut Random| -> Vec<&str> {
        (0..random.next(3)).map(|_| *random.pick(CAPABILITIES)).collect()
    };
    let (add, mut drop) = (list(random), list(random));
    if random.one_in(3) {
        drop.push("ALL");
    }
    json!({ "add": add, "drop": drop })
}

fn container(name: &str, volumes: usize, random: &mut Random) -> Value {
    let mut context = json!({});
    let mut set = |key: &str, value: Value| context[key] = value;
    if random.one_in(8) {
        set("privileged", random.one_in(2).into());
    }
    if random.one_in(2) {
        set("capabilities", capabilities(random));
    }
    if random.one_in(4) {
        set("runAsUser", (*random.pick(USERS)).into());
    }
    if random.one_in(6) {
        set("runAsGroup", (*random.pick(USERS)).into());
    }
    if random.one_in(4) {
        set("runAsNonRoot", random.one_in(2).into());
    }
    if random.one_in(3) {
        set("seccompProfile", profile(random));
    }
    if random.one_in(5) {
        set("appArmorProfile", profile(random));
    }
    if random.one_in(6) {
        set("seLinuxOptions", json!({ "type": random.pick(DOMAINS) }));
    }
    if random.one_in(8) {
        set("procMount", (*random.pick(&["Default", "Unmasked"])).into());
    }
    if random.one_in(4) {
        set("readOnlyRootFilesystem", random.one_in(2).into());
    }
    if random.one_in(4) {
        set("allowPrivilegeEscalation", random.one_in(2).into());
    }
    let mounts: Vec<Value> = (0..random.next(3).min(volumes))
        .map(|_| {
            let mut mount =
                json!({ "name": format!("v{}", random.next(volumes)), "mountPath": random.pick(TARGETS) });
            if random.one_in(2) {
                mount["readOnly"] = true.into();
                if random.one_in(3) {
                    mount["recursiveReadOnly"] =
                        (*random.pick(&["Enabled", "IfPossible", "Disabled"])).into();
                }
            }
            if random.one_in(4) {
                mount["subPath"] =
                    (*random.pick(&["etc", "docker.sock", "run/docker.sock", "a/b", "./x"])).into();
            }
            if random.one_in(6) {
                mount["mountPropagation"] =
                    (*random.pick(&["Bidirectional", "HostToContainer", "None"])).into();
            }
            mount
        })
        .collect();
    let mut container = json!({ "name": name, "image": "registry.example.com/app:1", "securityContext": context, "volumeMounts": mounts });
    if random.one_in(12) {
        let address = *random.pick(&[
            "tcp://engine:2375",
            "tcp://localhost:2375",
            "unix:///x",
            "https://10.0.0.1:2376",
        ]);
        let mut env = vec![json!({ "name": "DOCKER_HOST", "value": address })];
        if random.one_in(3) {
            env.push(json!({ "name": "DOCKER_TLS_VERIFY", "value": "1" }));
        }
        container["env"] = env.into();
    }
    container
}

fn volume(n: usize, random: &mut Random) -> Value {
    let name = format!("v{n}");
    match random.next(8) {
        0 => json!({ "name": name, "emptyDir": {} }),
        1 => {
            json!({ "name": name, "persistentVolumeClaim": { "claimName": "c", "readOnly": random.one_in(2) } })
        }
        2 => json!({ "name": name, "configMap": { "name": "c" } }),
        3 => json!({ "name": name, "ephemeral": { "volumeClaimTemplate": { "spec": {} } } }),
        _ => json!({ "name": name, "hostPath": { "path": random.pick(PATHS) } }),
    }
}

fn pod(random: &mut Random) -> Value {
    let volumes = random.next(4);
    let mut context = json!({});
    let mut spec = json!({ "volumes": (0..volumes).map(|n| volume(n, random)).collect::<Vec<_>>() });
    for (field, often) in [("hostPID", 5), ("hostIPC", 8), ("hostNetwork", 6), ("hostUsers", 5)] {
        if random.one_in(often) {
            spec[field] = random.one_in(2).into();
        }
    }
    if random.one_in(4) {
        context["runAsUser"] = (*random.pick(USERS)).into();
    }
    if random.one_in(8) {
        context["runAsGroup"] = (*random.pick(USERS)).into();
    }
    if random.one_in(8) {
        context["supplementalGroups"] = json!([random.pick(USERS)]);
    }
    if random.one_in(8) {
        context["fsGroup"] = (*random.pick(USERS)).into();
    }
    if random.one_in(4) {
        context["runAsNonRoot"] = random.one_in(2).into();
    }
    if random.one_in(4) {
        context["seccompProfile"] = profile(random);
    }
    if random.one_in(6) {
        context["appArmorProfile"] = profile(random);
    }
    if random.one_in(8) {
        context["seLinuxOptions"] = json!({ "type": random.pick(DOMAINS) });
    }
    if random.one_in(8) {
        spec["runtimeClassName"] = (*random.pick(CLASSES)).into();
    }
    spec["securityContext"] = context;
    spec["containers"] = json!([container("main", volumes, random)]);
    if random.one_in(3) {
        spec["initContainers"] = json!([container("init", volumes, random)]);
    }
    if random.one_in(6) {
        spec["ephemeralContainers"] = json!([container("debug", volumes, random)]);
    }
    let mut annotations = json!({});
    for prefix in [
        "container.seccomp.security.alpha.kubernetes.io/main",
        "seccomp.security.alpha.kubernetes.io/pod",
        "container.apparmor.security.beta.kubernetes.io/main",
    ] {
        if random.one_in(15) {
            annotations[prefix] = (*random.pick(NOTES)).into();
        }
    }
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": { "name": "p", "namespace": NAMESPACE, "annotations": annotations }, "spec": spec,
    })
}

const HELD: &str =
    "version: 1\nopen: allow\nundetermined: allow\nrules:\n- {name: held, require: {verdict: held}}\n";
const NOT_OPEN: &str = "version: 1\nopen: allow\nundetermined: allow\nrules:\n- {name: not-open, require: {verdict: [held, undetermined]}}\n";

/// Every technique, weaknesses among them.
const NOTHING: &str =
    "version: 1\nopen: allow\nundetermined: allow\nrules:\n- {name: nothing, forbid: {techniques: '*'}}\n";

/// Nodes that pods may come to.
fn nodes() -> Vec<(&'static str, Context)> {
    fn known<T>(value: T) -> Fact<T> {
        Fact::known(value, Origin::Nowhere)
    }
    let assumed = Context::assumed();
    let engine = |name: &str| Arc::new(Engine::assumed(name).expect("an engine"));
    let with = |lsms: &[&str], cgroup: u8, kernel: &str, engine: Arc<Engine>| {
        let mut host = (*assumed.host).clone();
        host.lsms = known(lsms.iter().map(|l| Arc::from(*l)).collect());
        host.selinux_enforcing = known(true);
        host.cgroup_version = known(cgroup);
        host.kernel_release = known(kernel.into());
        Context { kubernetes: engine, host: Arc::new(host), ..assumed.clone() }
    };
    vec![
        ("containerd-2, host not in view", assumed.clone()),
        ("containerd-1.7 with AppArmor", with(&["apparmor"], 2, "6.1.0", engine("containerd-1.7"))),
        ("containerd-2 on cgroup version 1", with(&[], 1, "6.8.0", engine("containerd-2"))),
        ("CRI-O with SELinux", with(&["selinux"], 2, "6.12.0", engine("crio-1.36"))),
    ]
}

/// Techniques in the reasons of the webhook, and in the objections of the emitted policies.
fn techniques(deciders: &Deciders, object: &Value) -> [BTreeSet<String>; 2] {
    let request = request(object, None);
    let webhook = deciders
        .webhook(&request)
        .subjects
        .iter()
        .flat_map(|s| &s.decision.reasons)
        .filter_map(|r| r.technique.as_ref().map(ToString::to_string))
        .collect();
    let emitted = deciders
        .emitted(&request)
        .objections
        .iter()
        .map(|o| {
            assert!(!o.is_error, "{}\n{object}", o.message);
            let (_, by) = o.message.rsplit_once('(').expect("(technique, rule …)");
            by.split_once(',').map_or(by, |(technique, _)| technique).to_owned()
        })
        .collect();
    [webhook, emitted]
}

fn compare(text: &str, pods: usize, seed: u64) {
    for (node, context) in nodes() {
        let policy = Policy::parse(text, &"p.yaml".into(), &NoFiles).expect("a policy");
        let deciders = Deciders::by(policy, context);
        let mut random = Random(seed);
        let (mut refused, mut seen) = (0, BTreeSet::new());
        for n in 0..pods {
            let pod = pod(&mut random);
            let object = in_shape(&pod, &SHAPES[n % SHAPES.len()]);
            let [webhook, emitted] = techniques(&deciders, &object);
            let not_said = deciders.said(Said::Not);
            let missed: Vec<&String> =
                webhook.difference(&emitted).filter(|t| !not_said.contains(*t)).collect();
            let more: Vec<&String> = emitted.difference(&webhook).filter(|t| *t != "windows").collect();
            let stricter = deciders.said(Said::Stricter);
            assert!(
                missed.is_empty() && more.iter().all(|t| stricter.contains(*t)),
                "{node}: pod {n}: the webhook alone: {missed:?}; the policies alone: {more:?}\n{object}"
            );
            refused += usize::from(!webhook.is_empty());
            seen.extend(webhook);
        }
        println!("{node}: {pods} pods, {refused} refused, by {} techniques, alike", seen.len());
        assert!(refused > 0);
    }
}

/// `STOCKADE_PODS` asks for more.
fn pods_of_a_node() -> usize {
    std::env::var("STOCKADE_PODS").ok().and_then(|n| n.parse().ok()).unwrap_or(12)
}

#[test]
fn random_pods_are_refused_for_the_same_techniques_by_webhook_and_policies() {
    compare(HELD, pods_of_a_node(), 0x5eed);
}

#[test]
fn random_pods_that_are_open_for_certain_are_refused_for_the_same_techniques() {
    compare(NOT_OPEN, pods_of_a_node(), 0xbeef);
}

#[test]
fn random_pods_are_refused_for_the_same_weaknesses() {
    compare(NOTHING, pods_of_a_node(), 0xcafe);
}

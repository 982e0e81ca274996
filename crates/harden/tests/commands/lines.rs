use std::io::Write;
use std::process::{Command, Stdio};
use std::sync::Arc;

use confinement::{Engine, Fact, Origin, Subject, World};
use harden::draft::{Drafts, Task};
use harden::run::{can, edit};
use sources::{Context, run};
use techniques::remedy::Remedy;

use crate::support::{checked, edited, remedies};

fn read(text: &str, context: &Context) -> World {
    run::read_line(text, &"--run".into(), 1, context)
}

fn result(text: &str, told: &str) -> Result<String, String> {
    checked(text, 0, told, &read, &Context::assumed(), edit).map_err(|refusal| refusal.to_string())
}

/// The shell takes the text as it did before.
fn parses(shell: &str, text: &str) -> bool {
    let spawned = Command::new(shell).arg("-n").stdin(Stdio::piped()).stderr(Stdio::null()).spawn();
    let Ok(mut child) = spawned else {
        eprintln!("skipped: {shell} is not installed");
        return true;
    };
    child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    child.wait().unwrap().success()
}

#[rustfmt::skip]
const LINES: &[(&str, &str, &str)] = &[
    // One switch, in every place.
    ("docker run --privileged x", "unprivileged", "docker run x"),
    ("docker run --rm --privileged x", "unprivileged", "docker run --rm x"),
    ("docker run --privileged=true --rm x", "unprivileged", "docker run --rm x"),
    ("docker run   --privileged   x", "unprivileged", "docker run   x"),
    ("sudo -E docker container run \"--privileged\" -d x sh -c 'a b'", "unprivileged", "sudo -E docker container run -d x sh -c 'a b'"),
    ("docker run --privileged=$P x", "unprivileged", "docker run x"),
    ("O=--privileged; docker run $O --rm x", "unprivileged", "O=--privileged; docker run --rm x"),
    ("docker run --privileged >/tmp/log x", "unprivileged", "docker run >/tmp/log x"),
    ("docker run >/tmp/log --privileged x", "unprivileged", "docker run >/tmp/log x"),
    ("bash -c 'docker run --privileged -v /a:/b x'", "unprivileged; read-only /b", "bash -c 'docker run -v /a:/b:ro x'"),
    ("bash -c \"docker run --privileged x\"", "unprivileged; nnp", "bash -c \"docker run --security-opt no-new-privileges x\""),
    ("CID=$(docker run --privileged x)", "unprivileged", "CID=$(docker run x)"),
    ("docker run --privileged x --privileged", "unprivileged", "docker run x --privileged"),
    ("podman create --privileged -- x", "unprivileged", "podman create -- x"),
    ("docker run --privileged --security-opt seccomp=unconfined x", "unprivileged; seccomp", "docker run x"),
    ("docker run --privileged --pid host --cap-drop NET_RAW x", "unprivileged; drop MKNOD; own pid", "docker run --cap-drop MKNOD --cap-drop NET_RAW x"),
    // Capabilities.
    ("docker run --cap-add SYS_ADMIN x", "drop SYS_ADMIN", "docker run x"),
    ("docker run --cap-add=SYS_ADMIN --cap-add=NET_ADMIN x", "drop SYS_ADMIN", "docker run --cap-add=NET_ADMIN x"),
    ("docker run --cap-add cap_sys_admin --rm x", "drop SYS_ADMIN; drop NET_RAW", "docker run --cap-drop NET_RAW --rm x"),
    ("docker run --name=a x", "drop NET_RAW", "docker run --cap-drop=NET_RAW --name=a x"),
    ("docker run --name a x", "drop NET_RAW", "docker run --cap-drop NET_RAW --name a x"),
    ("docker run --cap-add ALL x", "remove-all", "docker run x"),
    ("docker run --cap-add ALL --cap-add SYS_ADMIN --cap-drop NET_RAW x", "remove-all", "docker run --cap-drop NET_RAW x"),
    ("docker run --cap-add ALL --cap-drop ALL x", "remove-all", "docker run x"),
    ("docker run --cap-add ALL x", "drop CHOWN", "docker run --cap-drop CHOWN --cap-add ALL x"),
    ("docker run --cap-add ALL --cap-add CHOWN x", "remove-all; drop CHOWN", "docker run --cap-drop CHOWN x"),
    ("docker run --cap-drop ALL --cap-add CHOWN --cap-add SYS_PTRACE x", "drop SYS_PTRACE", "docker run --cap-drop ALL --cap-add CHOWN x"),
    ("docker run x", "keep CHOWN NET_BIND_SERVICE", "docker run --cap-drop ALL --cap-add CHOWN --cap-add NET_BIND_SERVICE x"),
    ("docker run x", "keep", "docker run --cap-drop ALL x"),
    ("docker run --cap-add=NET_ADMIN --cap-add=CHOWN --cap-drop=MKNOD x", "keep CHOWN", "docker run --cap-drop=ALL --cap-add=CHOWN x"),
    ("docker run --cap-add=SYS_ADMIN --cap-drop all x", "keep CHOWN", "docker run --cap-drop all x"),
    ("docker run --cap-drop ALL --cap-add CHOWN x", "keep CHOWN SETUID", "docker run --cap-drop ALL --cap-add CHOWN x"),
    ("podman run --cap-add SYS_ADMIN,NET_ADMIN x", "drop SYS_ADMIN", "podman run --cap-add NET_ADMIN x"),
    ("podman run --cap-add='NET_ADMIN,SYS_ADMIN,SYS_PTRACE' x", "drop SYS_ADMIN", "podman run --cap-add='NET_ADMIN,SYS_PTRACE' x"),
    ("podman run --cap-add SYS_ADMIN,SYS_PTRACE x", "drop SYS_ADMIN; drop SYS_PTRACE", "podman run x"),
    ("podman run --user 5 x", "keep", "podman run --cap-drop ALL --user 5 x"),
    ("podman run --user 5 x", "drop CHOWN; drop SETUID", "podman run --cap-drop CHOWN --cap-drop SETUID --user 5 x"),
    ("podman run --privileged --cap-drop NET_RAW x", "unprivileged; keep CHOWN", "podman run --cap-drop ALL --cap-add CHOWN x"),
    // The user.
    ("docker run x", "non-root", "docker run --user 65532:65532 x"),
    ("docker run -u 0 x", "non-root", "docker run -u 65532:65532 x"),
    ("docker run --user=root:root x", "non-root", "docker run --user=65532:65532 x"),
    ("docker run --user \"0:0\" x", "non-root", "docker run --user \"65532:65532\" x"),
    ("docker run -itu0 x", "non-root", "docker run -itu65532:65532 x"),
    ("docker run -itu 0 x", "non-root", "docker run -itu 65532:65532 x"),
    ("docker run -u=0 x", "non-root", "docker run -u=65532:65532 x"),
    ("docker run --user=\"$(id -u):$(id -g)\" x", "non-root", "docker run --user=65532:65532 x"),
    ("docker run -u $UID -it x", "non-root", "docker run -u 65532:65532 -it x"),
    ("docker run -u 1000 x", "non-root", "docker run -u 1000 x"),
    // no_new_privs.
    ("docker run x", "nnp", "docker run --security-opt no-new-privileges x"),
    ("docker run --security-opt no-new-privileges=false x", "nnp", "docker run --security-opt no-new-privileges x"),
    ("docker run --security-opt=no-new-privileges:true x", "nnp", "docker run --security-opt=no-new-privileges:true x"),
    // Mounts, in every spelling.
    ("docker run -v /var/run/docker.sock:/s x", "remove /s", "docker run x"),
    ("docker run -v=/:/h -d x", "remove /h", "docker run -d x"),
    ("docker run --volume /:/h:ro -v a:/b x", "remove /h", "docker run -v a:/b x"),
    ("docker run -itv /:/h x", "remove /h", "docker run -it x"),
    ("docker run -itv/:/h x", "remove /h", "docker run -it x"),
    ("docker run -v \"$SOCK:/s\" --rm x", "remove /s", "docker run --rm x"),
    ("docker run -v \"${SOCK:-/run/docker.sock}\":/s --rm x", "remove /s", "docker run --rm x"),
    ("docker run --mount type=bind,src=/,dst=/h x", "remove /h", "docker run x"),
    ("docker run --mount 'type=bind,\"src=/a,b\",dst=/h' x", "read-only /h", "docker run --mount 'type=bind,\"src=/a,b\",dst=/h,readonly' x"),
    ("docker run --mount=type=bind,src=/,dst=/h,readonly=false x", "read-only /h", "docker run --mount=type=bind,src=/,dst=/h,readonly x"),
    ("podman run --mount type=bind,src=/,dst=/h,rw x", "read-only /h", "podman run --mount type=bind,src=/,dst=/h,readonly x"),
    ("docker run -v /etc:/e x", "read-only /e", "docker run -v /etc:/e:ro x"),
    ("docker run -v /etc:/e:rw x", "read-only /e", "docker run -v /etc:/e:ro x"),
    ("docker run -v /etc:/e:z,rw x", "read-only /e", "docker run -v /etc:/e:z,ro x"),
    ("docker run -v '/etc':\"/e\" x", "read-only /e", "docker run -v '/etc':\"/e:ro\" x"),
    ("docker run -v '/a b:/e:Z' x", "read-only /e", "docker run -v '/a b:/e:Z,ro' x"),
    ("docker run -v \"$D/x:/e\" x", "read-only /e", "docker run -v \"$D/x:/e:ro\" x"),
    ("M=/etc:/e; docker run -v $M x", "read-only /e", "M=/etc:/e; docker run -v $M:ro x"),
    ("docker run -v /etc:/e -v /etc:/e x", "remove /e", "docker run x"),
    ("docker run -v /a:/a:ro -v /a:/a/a x", "read-only /a/a", "docker run -v /a:/a:ro -v /a:/a/a:ro x"),
    ("docker run -v /a:/b:rshared x", "private /b", "docker run -v /a:/b:rprivate x"),
    ("docker run -v /a:/b:ro,shared x", "private /b", "docker run -v /a:/b:ro,private x"),
    ("docker run -v /a:/b:shared x", "private /b; read-only /b", "docker run -v /a:/b:private,ro x"),
    ("docker run --mount type=bind,src=/a,dst=/b,bind-propagation=rshared x", "private /b", "docker run --mount type=bind,src=/a,dst=/b,bind-propagation=rprivate x"),
    // Security options.
    ("docker run --security-opt seccomp=unconfined x", "seccomp", "docker run x"),
    ("docker run --security-opt seccomp:unconfined --security-opt apparmor=unconfined x", "seccomp", "docker run --security-opt apparmor=unconfined x"),
    ("docker run --security-opt=\"apparmor=unconfined\" x", "lsm", "docker run x"),
    ("docker run --security-opt label:disable --rm x", "lsm", "docker run --rm x"),
    ("podman run --security-opt label=type:spc_t --rm x", "lsm", "podman run --rm x"),
    ("docker run --security-opt systempaths=unconfined --rm x", "paths", "docker run --rm x"),
    ("podman run --security-opt unmask=/proc/kcore:/proc/keys --rm x", "paths", "podman run --rm x"),
    ("podman run --security-opt unmask=ALL --rm x", "paths", "podman run --rm x"),
    ("podman run --security-opt unmask=/sys/fs/cgroup:/proc/x --rm x", "cgroup", "podman run --security-opt unmask=/proc/x --rm x"),
    ("podman run --systemd=always x", "cgroup", "podman run x"),
    ("docker run --security-opt writable-cgroups=true x", "cgroup", "docker run x"),
    // Namespaces.
    ("docker run --pid host x", "own pid", "docker run x"),
    ("docker run --pid=host --ipc=host --uts=host x", "own pid; own uts", "docker run --ipc=host x"),
    ("docker run --net=host x", "own net", "docker run x"),
    ("docker run --network \"host\" -d x", "own net", "docker run -d x"),
    ("docker run --network $NET -d x", "own net", "docker run -d x"),
    ("docker run --cgroupns host x", "own cgroup", "docker run --cgroupns private x"),
    ("docker run --cgroupns=host x", "own cgroup", "docker run --cgroupns=private x"),
    ("docker run -d x", "own cgroup", "docker run --cgroupns private -d x"),
    ("podman run -d x", "userns", "podman run --userns auto -d x"),
    ("podman run --userns=host -d x", "userns", "podman run --userns=auto -d x"),
    ("podman run --uidmap 0:0:65536 --gidmap=0:0:65536 -d x", "userns", "podman run --userns auto -d x"),
    // Devices, sysctls, the API, limits.
    ("docker run --device /dev/sda x", "device /dev/sda", "docker run x"),
    ("docker run --device=/dev/sda:/dev/xda:r --device /dev/kvm x", "device /dev/sda", "docker run --device /dev/kvm x"),
    ("podman run --device /dev/fuse,/dev/kvm x", "device /dev/fuse", "podman run --device /dev/kvm x"),
    ("docker run --device-cgroup-rule 'a *:* rwm' --device-cgroup-rule='c 1:3 r' x", "rule a *:* rwm", "docker run --device-cgroup-rule='c 1:3 r' x"),
    ("docker run --device /dev/kvm --device-cgroup-rule 'c 1:3 r' --device-cgroup-rule 'a *:* rwm' x", "rule c 1:3 r; rule a *:* rwm", "docker run --device /dev/kvm x"),
    ("docker run -e DOCKER_HOST=tcp://h:2375 -e A=b x", "api", "docker run -e A=b x"),
    ("docker run -e A=b -eDOCKER_HOST=\"$H\" --use-api-socket x", "api", "docker run -e A=b x"),
    ("docker run x", "memory; cpu; pids", "docker run --memory 1g --cpus 2 --pids-limit 512 x"),
    ("docker run --memory 0 --pids-limit=-1 x", "memory; pids", "docker run --memory 1g --pids-limit=512 x"),
    ("docker run -m 2g x", "memory", "docker run -m 2g x"),
    ("docker run --memory-reservation 3g x", "memory", "docker run --memory 3g --memory-reservation 3g x"),
    ("docker run --cpu-period 50000 x", "cpu", "docker run --cpu-quota 100000 --cpu-period 50000 x"),
    ("docker run --cpu-quota=-1 x", "cpu", "docker run --cpus=2 x"),
    ("docker run --sysctl net.ipv4.ip_forward=1 --sysctl=kernel.shmmax=1 x", "sysctl kernel.shmmax", "docker run --sysctl net.ipv4.ip_forward=1 x"),
    ("podman run --sysctl net.ipv4.ip_forward=1,kernel.shmmax=1 x", "sysctl kernel.shmmax", "podman run --sysctl net.ipv4.ip_forward=1 x"),
    ("docker run x", "rootfs", "docker run --read-only --tmpfs /tmp --tmpfs /run x"),
    ("docker run -v t:/tmp --tmpfs /run x", "rootfs", "docker run --read-only -v t:/tmp --tmpfs /run x"),
    ("docker run --read-only=false -v t:/tmp --tmpfs /run x", "rootfs", "docker run --read-only=true -v t:/tmp --tmpfs /run x"),
    ("podman run x", "rootfs", "podman run --read-only x"),
    // Several lines.
    (
        "docker run -d \\\n  --name web \\\n  --privileged \\\n  -v /var/run/docker.sock:/s \\\n  nginx:1 \\\n  nginx -g x\n",
        "unprivileged; remove /s; nnp",
        "docker run -d \\\n  --name web \\\n  --security-opt no-new-privileges \\\n  nginx:1 \\\n  nginx -g x\n",
    ),
    (
        "docker run -d \\\r\n\t--privileged \\\r\n\tnginx:1\r\n",
        "unprivileged; drop NET_RAW; memory",
        "docker run -d \\\r\n\t--cap-drop NET_RAW \\\r\n\t--memory 1g \\\r\n\tnginx:1\r\n",
    ),
    (
        "docker run \\\n    --name web --privileged \\\n    --pid host nginx",
        "unprivileged; own pid; nnp",
        "docker run \\\n    --name web \\\n    --security-opt no-new-privileges \\\n    nginx",
    ),
    (
        "docker run --rm \\\n  -v \\\n  /etc:/e \\\n  x",
        "remove /e",
        "docker run --rm \\\n  x",
    ),
    (
        "docker run --rm \\\n  -v \\\n  /etc:/e x",
        "read-only /e; pids",
        "docker run --pids-limit 512 --rm \\\n  -v \\\n  /etc:/e:ro x",
    ),
    (
        "docker run --privileged \\\n  -it \\\n  --pid=host -v /:/h --rm \\\n  x # why --privileged\n",
        "unprivileged; own pid; remove /h",
        "docker run \\\n  -it \\\n  --rm \\\n  x # why --privileged\n",
    ),
];

#[test]
fn each_remedy_is_written_as_a_person_would_write_it() {
    assert!(LINES.len() > 100);
    for (text, told, wanted) in LINES {
        let result = result(text, told).unwrap_or_else(|refusal| panic!("{told}: {text}: {refusal}"));
        assert_eq!(result, *wanted, "{told}: {text}");
        assert!(parses("bash", &result) && parses("sh", &result), "{result}");
    }
}

const SCRIPT: &str = r#"#!/usr/bin/env bash
# Starts everything. docker run --privileged is not needed any more.
set -euo pipefail
SOCK=/var/run/docker.sock   # the API
IMAGE=${IMAGE:-nginx:1.25}

start() {
  local name=web
  docker run -d \
    --name "$name" \
    --privileged \
    -v "$SOCK:/s" \
    "$IMAGE"   # no command
}

cat <<TEXT
docker run --privileged in-a-document
TEXT
for n in 1 2 3; do
  sudo docker run -d --name "w$n" --pid host -v "/srv/$n:/data" worker && echo "started $n"
done
case "$1" in
  up) exec podman run --rm -itv /etc:/etc:rw --net=host tool "$@" ;;
esac
( cd /tmp && docker run --name sub -u root -v "$PWD:/t" x ) &
start
"#;

const HARDENED: &str = r#"#!/usr/bin/env bash
# Starts everything. docker run --privileged is not needed any more.
set -euo pipefail
SOCK=/var/run/docker.sock   # the API
IMAGE=${IMAGE:-nginx:1.25}

start() {
  local name=web
  docker run -d \
    --name "$name" \
    --cap-drop ALL \
    "$IMAGE"   # no command
}

cat <<TEXT
docker run --privileged in-a-document
TEXT
for n in 1 2 3; do
  sudo docker run --memory 1g -d --name "w$n" -v "/srv/$n:/data:ro" worker && echo "started $n"
done
case "$1" in
  up) exec podman run --rm -itv /etc:/etc:ro tool "$@" ;;
esac
( cd /tmp && docker run --name sub -u 65532:65532 -v "$PWD:/t" x ) &
start
"#;

#[test]
fn a_script_keeps_everything_but_the_words_that_change() {
    let context = Context::assumed();
    let mut text = SCRIPT.to_owned();
    let told = [
        "unprivileged; remove /s; keep",
        "own pid; read-only /data; memory",
        "read-only /etc; own net",
        "non-root",
    ];
    for (at, told) in told.iter().enumerate() {
        text = checked(&text, at, told, &read, &context, edit).unwrap();
        assert!(parses("bash", &text), "{text}");
    }
    assert_eq!(text, HARDENED);
    let crlf = |text: &str| text.replace('\n', "\r\n");
    let mut text = crlf(SCRIPT);
    for (at, told) in told.iter().enumerate() {
        text = checked(&text, at, told, &read, &context, edit).unwrap();
    }
    assert_eq!(text, crlf(HARDENED));
}

#[test]
fn what_cannot_be_written_safely_is_refused_with_its_place() {
    for (text, told, place, message) in [
        ("docker run $OPTS x", "unprivileged", "--run:1:12", "cannot be seen"),
        ("docker run \"${ARGS[@]}\" --rm x", "unprivileged", "--run:1:12", "cannot be seen"),
        ("O='--privileged --rm'; docker run $O x", "unprivileged", "--run:1:35", "holds other options"),
        ("docker run -v /a:/b:$MODE x", "read-only /b", "--run:1:15", "write the mount out"),
        ("M=/a:/b:rw; docker run -v $M x", "read-only /b", "--run:1:27", "not written out"),
        ("docker run -it'v'=/:/h x", "remove /h", "--run:1:12", "not written out"),
        ("docker run -v /data x", "read-only /data", "--run:1:15", "write the mount out"),
        ("docker run --privileged x", "drop NET_RAW", "--run:1:12", "every capability"),
        ("docker run --cap-add $CAP x", "drop NET_RAW", "--run:1:22", "not known"),
        ("docker run --userns host x", "userns; network", "--run:1:1", "no option"),
        ("docker run x", "userns", "--run:1:1", "userns-remap"),
        (
            "docker run --name a -v /etc:/e x\ndocker run --name b --volumes-from a x",
            "remove /e",
            "--run:2:36",
            "not an option of this container's own",
        ),
        (
            "podman pod create --name p --network host\npodman run --pod p --name b x",
            "own net",
            "--run:1:38",
            "not an option of this container's own",
        ),
        ("podman run --pod p x", "userns", "--run:1:18", "pod"),
    ] {
        let context = Context::assumed();
        let world = read(text, &context);
        let subject = world.subjects.last().unwrap();
        let refusal = edited(text, subject, &remedies(told), edit).expect_err(text).to_string();
        assert!(refusal.starts_with(&format!("{place}: ")) && refusal.contains(message), "{text}: {refusal}");
    }
}

#[test]
fn a_mount_that_comes_from_another_container_goes_with_it() {
    let text = "docker run --name a -v /etc:/e x\ndocker run --name b --volumes-from a:z y\n";
    let world = read(text, &Context::assumed());
    let remedies = remedies("remove /e");
    let all: Vec<(&Subject, &[Remedy])> = world.subjects.iter().map(|s| (s, remedies.as_slice())).collect();
    let texts = |_: &str| Ok::<Arc<str>, String>(text.into());
    let mut drafts = Drafts::new(&texts);
    for (subject, remedies) in &all {
        edit(&Task { subject, remedies, all: &all }, &mut drafts).unwrap();
    }
    let after = drafts.finish().unwrap().remove(0).after;
    assert_eq!(&*after, "docker run --name a x\ndocker run --name b --volumes-from a:z y\n");
    assert!(
        read(&after, &Context::assumed()).subjects[1].confinement.mounts.iter().all(|m| &*m.target != "/e")
    );
}

#[test]
fn what_no_option_says_is_known_before_anything_is_planned() {
    let can = |text: &str, told: &str| can(&read(text, &Context::assumed()).subjects[0], &remedies(told)[0]);
    assert!(can("docker run --privileged x", "unprivileged") && !can("docker run x", "unprivileged"));
    assert!(
        !can("docker run x", "network") && !can("docker run x", "userns") && can("podman run x", "userns")
    );
    assert!(!can("docker run --userns host x", "userns") && !can("podman run --pod p x", "userns"));
    assert!(can("docker run -v /a:/b x", "remove /b") && !can("docker run x", "remove /proc"));
    assert!(!can("podman run --rootfs / sh", "remove /"));
    assert!(
        can("docker run --security-opt seccomp=unconfined x", "seccomp") && !can("docker run x", "seccomp")
    );
    assert!(can("docker run --privileged --security-opt apparmor=unconfined x", "lsm"));
    assert!(!can("docker run --privileged x", "lsm") && !can("docker run x", "paths"));
    assert!(can("docker run --security-opt systempaths=unconfined x", "paths"));
    assert!(!can("docker run --privileged x", "cgroup") && can("podman run --systemd always x", "cgroup"));
}

#[test]
fn a_daemon_that_remaps_users_or_sets_a_profile_changes_what_is_written() {
    let mut context = Context::assumed();
    let mut engine = Engine::clone(&context.docker);
    engine.settings.userns_remap = Fact::known(true, Origin::measured("a test"));
    let profile = confinement::engine::SeccompDefault::Unconfined;
    engine.settings.seccomp_profile = Some(Fact::known(profile, Origin::measured("a test")));
    context.docker = Arc::new(engine);
    for (text, told, wanted) in [
        ("docker run --userns=host --rm x", "userns", "docker run --rm x"),
        (
            "docker run --security-opt seccomp=unconfined x",
            "seccomp",
            "docker run --security-opt seccomp=builtin x",
        ),
        ("docker run --rm x", "seccomp", "docker run --security-opt seccomp=builtin --rm x"),
    ] {
        let subject = &read(text, &context).subjects[0];
        assert!(can(subject, &remedies(told)[0]), "{text}");
        assert_eq!(checked(text, 0, told, &read, &context, edit).unwrap(), wanted);
    }
}

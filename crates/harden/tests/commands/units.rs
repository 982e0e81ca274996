use confinement::World;
use harden::quadlet::{can, edit};
use sources::{Context, quadlet};

use crate::support::{checked, edited, remedies};

fn read(text: &str, context: &Context) -> World {
    let volume = "[Volume]\nDevice=/var/run/podman\nType=none\nOptions=bind\n";
    let beside = |name: &str| (name == "bound.volume").then(|| volume.to_owned());
    quadlet::read_with(text.as_bytes(), &"/etc/containers/systemd/web.container".into(), &beside, context)
}

/// Keys of `[Container]` before and after; the sections around them stay.
#[rustfmt::skip]
const UNITS: &[(&str, &str, &str)] = &[
    ("", "keep", "DropCapability=ALL\n"),
    ("", "drop CHOWN; drop SETUID", "DropCapability=CHOWN SETUID\n"),
    ("AddCapability=SYS_ADMIN\n", "drop SYS_ADMIN", ""),
    ("AddCapability=SYS_ADMIN NET_ADMIN\n", "drop SYS_ADMIN", "AddCapability=NET_ADMIN\n"),
    ("AddCapability=NET_ADMIN   'SYS_ADMIN'\n", "drop SYS_ADMIN", "AddCapability=NET_ADMIN\n"),
    ("AddCapability=NET_ADMIN,SYS_ADMIN\n", "drop SYS_ADMIN", "AddCapability=NET_ADMIN\n"),
    ("AddCapability=SYS_ADMIN \\\n# for the filter\n  NET_ADMIN\n", "drop SYS_ADMIN", "AddCapability=\\\n# for the filter\n  NET_ADMIN\n"),
    ("AddCapability=NET_RAW \\\n  SYS_ADMIN \\\n  NET_ADMIN\n", "drop SYS_ADMIN", "AddCapability=NET_RAW \\\n  NET_ADMIN\n"),
    ("AddCapability=NET_RAW \\\n  SYS_ADMIN\nExec=x\n", "drop SYS_ADMIN", "AddCapability=NET_RAW\nExec=x\n"),
    ("AddCapability=SYS_ADMIN \\\n# gone\n  SYS_PTRACE\nExec=x\n", "drop SYS_ADMIN; drop SYS_PTRACE", "# gone\nExec=x\n"),
    ("DropCapability=NET_RAW\n# c\nExec=x\n", "drop CHOWN", "DropCapability=NET_RAW\nDropCapability=CHOWN\n# c\nExec=x\n"),
    ("DropCapability=all\nAddCapability=CHOWN SETUID\n", "keep CHOWN", "DropCapability=all\nAddCapability=CHOWN\n"),
    ("PodmanArgs=--cap-add SYS_ADMIN --log-driver none\n", "drop SYS_ADMIN", "PodmanArgs=--log-driver none\n"),
    ("PodmanArgs=--privileged\n", "unprivileged", ""),
    ("PodmanArgs=--privileged --pid=host\n", "unprivileged", "PodmanArgs=--pid=host\n"),
    ("PodmanArgs=\\\n  --privileged \\\n  --pid host\nExec=x\n", "own pid; unprivileged", "Exec=x\n"),
    ("PodmanArgs=--rm \\\n  --privileged \\\n  --pid host\nExec=x\n", "own pid; unprivileged", "PodmanArgs=--rm\nExec=x\n"),
    ("PodmanArgs=-itv /:/h\n", "remove /h", "PodmanArgs=-it\n"),
    ("PodmanArgs=-u 0\n", "non-root", "PodmanArgs=-u 65532:65532\n"),
    ("", "non-root", "User=65532\nGroup=65532\n"),
    ("User=root\n# c\n", "non-root", "User=65532\nGroup=65532\n# c\n"),
    ("User=0\nGroup=0\n", "non-root", "User=65532\nGroup=65532\n"),
    ("User = 0\nExec=x\n", "non-root; nnp", "User = 65532\nGroup=65532\nExec=x\nNoNewPrivileges=true\n"),
    ("NoNewPrivileges=no\nExec=x\n", "nnp", "NoNewPrivileges=true\nExec=x\n"),
    ("SecurityLabelDisable=true\n", "lsm", "SecurityLabelDisable=false\n"),
    ("SecurityLabelType=spc_t\n", "lsm", ""),
    ("SeccompProfile=/a.json\n; c\nSeccompProfile=unconfined\n", "seccomp", "; c\n"),
    ("PodmanArgs=--security-opt seccomp=unconfined --rm\n", "seccomp", "PodmanArgs=--rm\n"),
    ("Unmask=ALL\n", "paths; cgroup", ""),
    ("Unmask=/sys/fs/cgroup:/proc/x\n", "cgroup", "Unmask=/proc/x\n"),
    ("Volume=/etc:/e\nVolume=data:/d\n", "remove /e", "Volume=data:/d\n"),
    ("Volume=/etc:/e\n", "read-only /e", "Volume=/etc:/e:ro\n"),
    ("  Volume =  %h/x:/e:rw,z\n", "read-only /e", "  Volume =  %h/x:/e:ro,z\n"),
    ("Volume=%t/podman/podman.sock:/s\n", "read-only /s", "Volume=%t/podman/podman.sock:/s:ro\n"),
    ("Volume=/a:/b:rshared\n", "private /b", "Volume=/a:/b:rprivate\n"),
    ("Volume=bound.volume:/p\n", "remove /p", ""),
    ("Volume=bound.volume:/p\n", "read-only /p", "Volume=bound.volume:/p:ro\n"),
    ("Mount=type=bind,source=/etc,destination=/e\n", "read-only /e", "Mount=type=bind,source=/etc,destination=/e,readonly\n"),
    ("Mount=type=bind,source=/etc,destination=/e,ro=false\nMount=type=bind,src=/,dst=/h\n", "read-only /e; remove /h", "Mount=type=bind,source=/etc,destination=/e,ro\n"),
    ("Network=host\n", "own net", ""),
    ("Network=a.network\nNetwork=host\n", "own net", "Network=a.network\n"),
    ("AddDevice=-/dev/sda\nAddDevice=/dev/kvm\n", "device /dev/sda", "AddDevice=/dev/kvm\n"),
    ("AddDevice=/dev/kvm /dev/sda:/dev/x:r\n", "device /dev/sda", "AddDevice=/dev/kvm\n"),
    ("PodmanArgs=--device-cgroup-rule 'a *:* rwm'\n", "rule a *:* rwm", ""),
    ("UserNS=host\n", "userns", "UserNS=auto\n"),
    ("", "userns", "UserNS=auto\n"),
    ("RemapUsers=manual\nUIDMap=0:0:9 9:10:9\n", "userns", "RemapUsers=auto\n"),
    ("Sysctl=net.ipv4.ip_forward=1 kernel.shmmax=1\n", "sysctl kernel.shmmax", "Sysctl=net.ipv4.ip_forward=1\n"),
    ("Environment=A=b CONTAINER_HOST=tcp://h:1 \"C=d e\"\n", "api", "Environment=A=b \"C=d e\"\n"),
    ("", "rootfs; memory; cpu; pids", "ReadOnly=true\nPodmanArgs=--memory=1g\nPodmanArgs=--cpus=2\n"),
    ("ReadOnly=false\nMemory=0\nPidsLimit=-1\n", "rootfs; memory; pids", "ReadOnly=true\nMemory=1g\nPidsLimit=512\n"),
    ("", "own cgroup", "PodmanArgs=--cgroupns=private\n"),
];

const HEAD: &str = "# web, as it runs\n[Unit]\nDescription=web\n\n[Container]\nImage=img:1\n";
const TAIL: &str = "\n; the service\n[Service]\nUser=nobody\nRestart=always\n";

#[test]
fn each_remedy_is_written_as_keys_of_the_container() {
    let context = Context::assumed();
    for (keys, told, wanted) in UNITS {
        let around = |keys: &str| format!("{HEAD}{keys}{TAIL}");
        let (text, wanted) = (around(keys), around(wanted));
        let result = checked(&text, 0, told, &read, &context, edit)
            .unwrap_or_else(|refusal| panic!("{told}: {keys}: {refusal}"));
        assert_eq!(result, wanted, "{told}: {keys}");
        let crlf = |text: &str| text.replace('\n', "\r\n");
        let result = checked(&crlf(&text), 0, told, &read, &context, edit).unwrap();
        assert_eq!(result, crlf(&wanted), "{told}: {keys}");
    }
}

#[test]
fn a_unit_without_a_last_line_end_keeps_it_so() {
    let result = checked("[Container]\nImage=x", 0, "nnp", &read, &Context::assumed(), edit).unwrap();
    assert_eq!(result, "[Container]\nImage=x\nNoNewPrivileges=true");
    let result = checked("[Container]\nImage = x", 0, "nnp; keep", &read, &Context::assumed(), edit).unwrap();
    assert_eq!(result, "[Container]\nImage = x\nDropCapability = ALL\nNoNewPrivileges = true");
}

#[test]
fn what_a_unit_cannot_say_is_refused_with_its_place() {
    for (keys, told, place, message) in [
        ("Pod=p.pod", "userns", "7:5", "pod"),
        ("AddCapability=NET_RAW \\\n# why\n  SYS_ADMIN", "drop SYS_ADMIN", "7:15", "comment"),
        ("Volume=%h/x:/y:%i", "read-only /y", "7:8", "not be"),
        ("", "network", "6:7", "no option"),
    ] {
        let text = format!("{HEAD}{keys}\n");
        let world = read(&text, &Context::assumed());
        let refusal = edited(&text, &world.subjects[0], &remedies(told), edit);
        match refusal {
            Err(refusal) => {
                let said = refusal.to_string();
                assert!(
                    said.contains(&format!("web.container:{place}: ")) && said.contains(message),
                    "{said}"
                );
            }
            Ok(text) => panic!("{text}"),
        }
    }
    let subject = &read(&format!("{HEAD}Network=host\n"), &Context::assumed()).subjects[0];
    assert!(can(subject, &remedies("own net")[0]) && !can(subject, &remedies("network")[0]));
}

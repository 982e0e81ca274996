use confinement::{Capability, Confinement, HostPath, Mount, Namespace, Seccomp};

use super::*;

fn world_at(path: &str, text: &str, beside: &[(&str, &str)]) -> World {
    let find = |name: &str| beside.iter().find(|(n, _)| *n == name).map(|(_, text)| (*text).to_owned());
    read_with(text.as_bytes(), &path.into(), &find, &Context::assumed())
}

fn world(keys: &str) -> World {
    world_at(
        "/etc/containers/systemd/web.container",
        &format!("[Unit]\n[Container]\nImage=img:1\n{keys}\n"),
        &[],
    )
}

fn judged(keys: &str) -> Confinement {
    let mut world = world(keys);
    assert_eq!(world.problems, [], "{keys}");
    (*world.subjects.remove(0).confinement).clone()
}

fn mounts(confinement: &Confinement) -> Vec<Mount> {
    let asked = |mount: &&Mount| !matches!(mount.source.get(), Some(MountSource::Kernel(_)));
    confinement.mounts.iter().filter(asked).cloned().collect()
}

/// The confinement of `podman run OPTIONS img:1`.
fn podman(options: &str) -> Confinement {
    let line = format!("podman run {options} img:1");
    let mut world = run::read_line(&line, &"/etc/containers/systemd/x".into(), 1, &Context::assumed());
    assert_eq!(world.problems, [], "{line}");
    (*world.subjects.remove(0).confinement).clone()
}

#[test]
fn each_key_is_its_option_of_podman_run() {
    for (keys, options) in [
        ("", ""),
        ("AddCapability=SYS_ADMIN NET_ADMIN", "--cap-add SYS_ADMIN --cap-add NET_ADMIN"),
        ("AddCapability=SYS_ADMIN\nAddCapability=NET_ADMIN", "--cap-add SYS_ADMIN,NET_ADMIN"),
        ("AddCapability=SYS_ADMIN\nAddCapability=\nAddCapability=NET_ADMIN", "--cap-add NET_ADMIN"),
        ("DropCapability=all", "--cap-drop all"),
        ("AddDevice=/dev/sda:/dev/xda:r", "--device /dev/sda:/dev/xda:r"),
        ("AddDevice=-/dev/sda", "--device /dev/sda"),
        ("Volume=/etc:/etc:ro", "-v /etc:/etc:ro"),
        ("Volume=data:/data", "-v data:/data"),
        ("Volume=./conf:/conf", "-v ./conf:/conf"),
        ("Volume=%h/x:/x", "-v /root/x:/x"),
        ("Volume=%t/podman/podman.sock:/s", "-v /run/podman/podman.sock:/s"),
        (
            "Mount=type=bind,source=/etc,destination=/e,ro=true",
            "--mount type=bind,source=/etc,destination=/e,ro=true",
        ),
        ("Tmpfs=/run:exec", "--tmpfs /run:exec"),
        ("SecurityLabelDisable=true", "--security-opt label=disable"),
        ("SecurityLabelDisable=no", ""),
        ("SecurityLabelType=spc_t", "--security-opt label=type:spc_t"),
        ("SecurityLabelLevel=s0:c1,c2\nSecurityLabelFileType=usr_t\nSecurityLabelNested=true", ""),
        ("SeccompProfile=unconfined", "--security-opt seccomp=unconfined"),
        ("NoNewPrivileges=true", "--security-opt no-new-privileges"),
        ("NoNewPrivileges=false", ""),
        ("Unmask=ALL", "--security-opt unmask=ALL"),
        ("Mask=/proc/x:/proc/y", "--security-opt mask=/proc/x:/proc/y"),
        ("ReadOnly=true\nReadOnlyTmpfs=false", "--read-only --read-only-tmpfs=false"),
        ("UserNS=auto", "--userns auto"),
        ("RemapUsers=keep-id", "--userns keep-id"),
        (
            "UIDMap=0:10000:10 10:20000:10\nGIDMap=0:10000:10",
            "--uidmap 0:10000:10 --uidmap 10:20000:10 --gidmap 0:10000:10",
        ),
        ("SubUIDMap=x\nSubGIDMap=x", "--subuidname x --subgidname x"),
        ("User=1000", "--user 1000"),
        ("User=1000\nGroup=10", "--user 1000:10"),
        ("GroupAdd=999", "--group-add 999"),
        ("Network=host", "--network host"),
        ("Network=none", "--network none"),
        ("PidsLimit=100\nMemory=1g", "--pids-limit 100 --memory 1g"),
        ("Sysctl=a=1 b=2", "--sysctl a=1 --sysctl b=2"),
        ("PublishPort=80:80", "-p 80:80"),
        ("Environment=\"A=b c\" CONTAINER_HOST=tcp://h:1", "-e CONTAINER_HOST=tcp://h:1"),
        ("PodmanArgs=--privileged --pid=host", "--privileged --pid host"),
        ("PodmanArgs=--privileged\nPodmanArgs=\"--pid\" 'host'", "--privileged --pid host"),
        ("PodmanArgs=\\\n  --privileged \\\n# comment\n  --pid host", "--privileged --pid host"),
        ("[Service]\nUser=nobody\n[Container]", ""),
    ] {
        assert!(judged(keys) == podman(options), "{keys} | {options}");
    }
}

#[test]
fn each_setting_shows_in_the_confinement() {
    let plain = judged("");
    for keys in [
        "AddCapability=SYS_ADMIN",
        "DropCapability=all",
        "AddDevice=/dev/sda",
        "Volume=/:/h",
        "Tmpfs=/x",
        "SecurityLabelDisable=true",
        "SeccompProfile=unconfined",
        "NoNewPrivileges=true",
        "Unmask=ALL",
        "ReadOnly=true",
        "UserNS=auto",
        "User=1",
        "GroupAdd=9",
        "Network=host",
        "PidsLimit=5",
        "PodmanArgs=--privileged",
        "Pod=x.pod",
        "AppArmor=unconfined",
    ] {
        assert!(judged(keys) != plain, "{keys}");
    }
    assert_eq!(judged("SeccompProfile=unconfined").seccomp.value, Some(Seccomp::Disabled));
    assert!(
        judged("AddCapability=SYS_ADMIN").capabilities.bounding.get().unwrap().has(Capability::SYS_ADMIN)
    );
}

#[test]
fn facts_stand_where_the_unit_says_them() {
    let world = world("AddCapability=NET_ADMIN SYS_ADMIN\n  Volume =  /etc:/e");
    let subject = &world.subjects[0];
    assert_eq!(
        (&*subject.id, &*subject.name),
        ("/etc/containers/systemd/web.container#container", "systemd-web")
    );
    let place = mounts(&subject.confinement)[0].origin().place().cloned().unwrap();
    assert_eq!((place.line, place.column, place.length), (5, 13, 4));
    let place = subject.confinement.capabilities.bounding.origin.place().cloned().unwrap();
    assert_eq!((place.line, place.column, place.length), (4, 15, 9));
    assert_eq!(&*super::tests::world("ContainerName=a").subjects[0].name, "a");
}

#[test]
fn units_beside_it_are_followed() {
    let read = |keys: &str, beside: &[(&str, &str)]| {
        let text = format!("[Container]\nImage=img\n{keys}\n");
        let mut world = world_at("units/web.container", &text, beside);
        assert_eq!(world.problems, [], "{keys}");
        (*world.subjects.remove(0).confinement).clone()
    };
    let bound = ("data.volume", "[Volume]\nDevice=/var/run/podman\nType=none\nOptions=bind\n");
    for keys in ["Volume=data.volume:/d", "Mount=type=volume,source=data.volume,destination=/d"] {
        let mount = mounts(&read(keys, &[bound])).remove(0);
        assert_eq!(mount.host_path(), Some(&HostPath::new("/run/podman")), "{keys}");
        assert_eq!(mount.origin().place().map(|p| (&*p.path, p.line)), Some(("units/data.volume", 2)));
    }
    let named =
        |text: &str| mounts(&read("Volume=data.volume:/d", &[("data.volume", text)])).remove(0).source.value;
    let volume = |name: &str| Some(MountSource::Volume(format!("podman:local/{name}").into()));
    assert_eq!(named("[Volume]\n"), volume("systemd-data"));
    assert_eq!(named("[Volume]\nVolumeName=x\n"), volume("x"));
    assert_eq!(mounts(&read("Volume=data.volume:/d", &[])).remove(0).source.value, None);

    let pod = ("p.pod", "[Pod]\nNetwork=host\nVolume=/etc:/e\nPodmanArgs=--pid host\n");
    let in_pod = read("Pod=p.pod", &[pod]);
    assert_eq!(in_pod.namespaces.net.value, Some(Namespace::Host));
    assert_eq!(in_pod.namespaces.pid.value, Some(Namespace::Host));
    assert_eq!(in_pod.namespaces.ipc.value, Some(Namespace::Container("units/p.pod#pod".into())));
    assert_eq!(mounts(&in_pod).len(), 1);
    let own = read("Pod=p.pod", &[("p.pod", "[Pod]\n")]);
    assert_eq!(own.namespaces.net.value, Some(Namespace::Container("units/p.pod#pod".into())));
    assert_eq!(read("Pod=p.pod", &[]).namespaces.net.value, None);

    let joined = read("Network=db.container", &[]);
    assert_eq!(
        joined.namespaces.net.value,
        Some(Namespace::Container("units/db.container#container".into()))
    );
    let image = ("i.image", "[Image]\nImage=reg/x:1\n");
    let world = world_at("web.container", "[Container]\nImage=i.image\n", &[image]);
    let reference = world.subjects[0].confinement.image.reference.value.clone();
    assert_eq!(reference.as_deref(), Some("reg/x:1"));
}

#[test]
fn a_users_unit_runs_without_root() {
    let world = world_at(
        "/home/ann/.config/containers/systemd/web.container",
        "[Container]\nImage=x\nVolume=%t/x:/x\n",
        &[],
    );
    let confinement = &world.subjects[0].confinement;
    assert_eq!(confinement.user_namespace.initial.value, Some(false));
    assert_eq!(judged("").user_namespace.initial.value, Some(true));
}

#[test]
fn faults_are_problems_with_their_place() {
    for (keys, line) in [
        ("AddCapability=WAT", 4),
        ("Volume=/a:/b:wat", 4),
        ("\nNonsense=1", 5),
        ("NoNewPrivileges=perhaps", 4),
        ("Group=10", 4),
        ("PodmanArgs=--frobnicate", 4),
        ("PodmanArgs=ubuntu", 4),
        ("no assignment", 4),
        ("[Broken", 4),
        ("RemapUsers=wat", 4),
    ] {
        let world = world(keys);
        assert_eq!(world.problems.len(), 1, "{keys}: {:?}", world.problems);
        assert_eq!(world.problems[0].line, Some(line), "{keys}");
        assert_eq!(world.subjects.len(), 1, "{keys}");
    }
    assert_eq!(world_at("x.container", "[Container]\nUser=1\n", &[]).problems.len(), 1);
    assert_eq!(world_at("x.container", "", &[]).problems.len(), 1);
    let bytes =
        read_with(b"[Container]\nImage=\xff\n", &"x.container".into(), &|_| None, &Context::assumed());
    assert_eq!(bytes.problems[0].line, Some(2));
    // What a template's instance decides is unknown.
    let instance = judged("Volume=/srv/%i:/x");
    assert_eq!(mounts(&instance)[0].source.value, None);
    let root = world_at("x.container", "[Container]\nRootfs=/\n", &[]);
    assert!(mounts(&root.subjects[0].confinement)[0].host_path().is_some_and(HostPath::is_root));
}

#[test]
fn a_unit_is_recognised_by_its_section() {
    assert!(
        recognise(b"# x\n[Container]\nImage=x\n", "a/web.container") && recognise(b"[Container]\r\n", "-")
    );
    assert!(!recognise(b"[Service]\n", "x.container") && !recognise(b"[Container]\n", "notes.md"));
}

#[test]
fn units_of_other_types_and_drop_ins_are_no_containers() {
    for (path, text) in [
        ("data.volume", "[Volume]\n"),
        ("p.pod", "[Pod]\nNetwork=host\n"),
        ("web.container.d/10.conf", "[Container]\nMemory=1g\n"),
    ] {
        let world = read(text.as_bytes(), &path.into(), &Context::assumed());
        assert!(world.subjects.is_empty() && world.problems.is_empty(), "{path}");
    }
}

#[test]
fn every_key_is_listed_once() {
    let mut names: Vec<&str> = KEYS.iter().map(|(key, ..)| *key).chain(OTHER_KEYS.iter().copied()).collect();
    let count = names.len();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), count);
}

#[test]
fn no_text_panics() {
    let pieces = [
        "[Container]\n",
        "[Pod]\n",
        "Image=",
        "x",
        "\n",
        "=",
        "Volume=",
        ":",
        "/",
        "\\",
        "\\\n",
        "\"",
        "'",
        "%",
        "%h",
        "%i",
        "PodmanArgs=",
        "--",
        "-v",
        " ",
        "#",
        ";",
        "[",
        "]",
        "\\x",
        "\\x2",
        "\u{e9}",
        "Pod=a.pod",
        "Network=",
        ".container",
        ".volume",
        "UIDMap=",
        "AddCapability=",
        "\r\n",
        "\t",
    ];
    let mut state: u64 = 5;
    for _ in 0..30_000 {
        let mut text = if state & 1 == 0 { "[Container]\n".to_owned() } else { String::new() };
        for _ in 0..(state >> 33) % 20 {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            text.push_str(pieces[(state >> 33) as usize % pieces.len()]);
        }
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        world_at("x.container", &text, &[("a.pod", &text)]);
    }
}

use confinement::{
    AppArmor, Capability, CapabilitySet, Confinement, ControlApi, HostPath, Namespace, Propagation, Runtime,
    Seccomp,
};

use super::*;

fn world(text: &str) -> World {
    read_line(text, &"--run".into(), 1, &Context::assumed())
}

fn one(text: &str) -> Subject {
    let mut world = world(text);
    assert_eq!(world.problems, [], "{text}");
    assert_eq!(world.subjects.len(), 1, "{text}");
    world.subjects.remove(0)
}

fn judged(text: &str) -> Confinement {
    (*one(text).confinement).clone()
}

/// The mounts that were asked for.
fn mounts(confinement: &Confinement) -> Vec<Mount> {
    let asked = |mount: &&Mount| !matches!(mount.source.get(), Some(MountSource::Kernel(_)));
    confinement.mounts.iter().filter(asked).cloned().collect()
}

#[test]
fn spellings_of_one_command_line_are_equal() {
    for (a, b) in [
        ("docker run -v /a:/b x", "docker run --volume=/a:/b x"),
        ("docker run -v /a:/b x", "docker run -v/a:/b x"),
        ("docker run -v /a:/b x", "docker run -v=/a:/b x"),
        ("docker run -v /a:/b x", "docker run --volume /a:/b x"),
        ("docker run -v '/a':\"/b\" x", "docker run --mount type=bind,src=/a,dst=/b x"),
        ("docker run -itd x", "docker run -i -t -d x"),
        ("docker run -itdv /a:/b x", "docker run -i -t -d -v /a:/b x"),
        ("docker run -itdv/a:/b x", "docker run -v /a:/b x"),
        ("docker run --privileged x", "docker run --privileged=true x"),
        ("docker run --privileged=false x", "docker run x"),
        ("docker run --cap-add ALL --cap-add=NET_ADMIN x", "docker run --cap-add=all x"),
        ("docker run --cap-add CAP_NET_ADMIN x", "docker run --cap-add net_admin x"),
        ("docker run --net host x", "docker run --network=host x"),
        ("docker run -u 1000 x", "docker run --user=1000 x"),
        ("docker run -u1000:1000 x", "docker container run --user 1000:1000 x"),
        ("docker create -m 512m x", "docker run --memory 536870912 x"),
        ("docker run --cpus 1.5 x", "docker run --cpu-quota 150000 --cpu-period=100000 x"),
        ("sudo docker run x", "docker run x"),
        ("sudo -E -u root /usr/bin/docker run x", "docker run x"),
        ("FOO=1 BAR='a b' docker run x", "docker run x"),
        ("docker --log-level debug -D run x", "docker run x"),
        ("docker run \\\n  --rm \\\n  x", "docker run --rm x"),
        ("docker run --rm -- x", "docker run --rm x"),
        (
            "podman run --cap-add=SYS_ADMIN,NET_ADMIN x",
            "podman run --cap-add SYS_ADMIN --cap-add NET_ADMIN x",
        ),
        ("podman run --group-add 1,2 x", "podman run --group-add 1 --group-add=2 x"),
        ("podman run --security-opt systempaths=unconfined x", "podman run --security-opt unmask=ALL x"),
        ("podman run --device /dev/fuse,/dev/kvm x", "podman run --device /dev/fuse --device /dev/kvm x"),
        ("time env A=b nice -n 5 docker run x", "docker run x"),
        ("docker run -e A=b --env-file ./e x", "docker run x"),
    ] {
        assert!(judged(a) == judged(b), "{a} | {b}");
    }
}

#[test]
fn one_option_changes_the_confinement() {
    let plain = judged("docker run x");
    for options in [
        "--privileged",
        "--cap-add SYS_ADMIN",
        "--cap-drop ALL",
        "--security-opt seccomp=unconfined",
        "--security-opt apparmor=unconfined",
        "--security-opt label=disable",
        "--security-opt no-new-privileges",
        "--security-opt systempaths=unconfined",
        "--pid host",
        "--ipc=host",
        "--uts host",
        "--cgroupns host",
        "--network none",
        "--network host",
        "--user 1",
        "--group-add 999",
        "-v /:/host",
        "--mount type=bind,src=/,dst=/host",
        "--tmpfs /x",
        "--device /dev/sda",
        "--device-cgroup-rule 'a *:* rwm'",
        "--read-only",
        "--memory 1g",
        "--cpus 2",
        "--pids-limit 100",
        "--runtime runsc",
        "--sysctl net.ipv4.ip_forward=1",
        "--cgroup-parent /x",
        "-e DOCKER_HOST=tcp://h:2375",
        "--use-api-socket",
        "-p 80:80",
        "--volumes-from other",
    ] {
        assert!(judged(&format!("docker run {options} x")) != plain, "{options}");
    }
}

#[test]
fn the_image_is_the_first_word_that_is_no_option_or_value() {
    for (line, image) in [
        ("docker run --rm -it --name n -p 80:80 -w /x nginx:1 --privileged", "nginx:1"),
        ("docker run -d --restart unless-stopped --log-opt max-size=1m reg:5000/a/b", "reg:5000/a/b"),
        ("docker run --health-cmd 'curl x || exit 1' --init a", "a"),
        ("docker run -h host -l a=b -c 5 -a stdin img", "img"),
        ("podman run --rootfs=false --systemd always --sdnotify conmon img cmd", "img"),
        ("podman run --passwd --tls-verify=false --tz local img", "img"),
    ] {
        let subject = one(line);
        assert_eq!(subject.confinement.image.reference.get().map(|t| &**t), Some(image), "{line}");
        assert_eq!(subject.confinement.privileged.value, Some(false), "{line}");
    }
}

#[test]
fn facts_stand_at_the_words_that_say_them() {
    let subject = one("docker run --rm -v /var/run/docker.sock:/s:ro --name bot --cap-add=SYS_ADMIN img");
    assert_eq!(&*subject.id, "--run#run/bot");
    let place = subject.place.clone().unwrap();
    assert_eq!((place.line, place.column, place.length), (1, 1, 6));
    let mount = mounts(&subject.confinement).remove(0);
    assert_eq!(mount.host_path(), Some(&HostPath::new("/run/docker.sock")));
    let place = mount.origin().place().unwrap();
    assert_eq!((place.column, place.length), (20, 20));
    let place = subject.confinement.capabilities.bounding.origin.place().unwrap();
    assert_eq!((place.column, place.length), (20 + 26 + 11 + 11, 9));
}

#[test]
fn variables_are_substituted_defaults_used_and_the_rest_is_unknown() {
    let source = |text: &str| {
        let confinement = (*world(text).subjects.remove(0).confinement).clone();
        mounts(&confinement).remove(0).source.value
    };
    let host = |path: &str| Some(MountSource::Host(HostPath::new(path)));
    assert_eq!(source("D=/etc; docker run -v $D:/b x"), host("/etc"));
    assert_eq!(source("D=/etc\ndocker run -v \"${D}/cron.d:/b\" x"), host("/etc/cron.d"));
    assert_eq!(source("docker run -v ${D:-/srv}:/b x"), host("/srv"));
    assert_eq!(source("docker run -v ${D:-${E:-/srv}}:/b x"), host("/srv"));
    assert_eq!(source("docker run -v $D:/b x"), None);
    assert_eq!(source("docker run -v $(mktemp -d):/b x"), None);
    assert_eq!(source("docker run -v '$D':/b x; D=/x"), None);
    assert_eq!(source("if x; then D=/a; else D=/b; fi; docker run -v $D:/b x"), None);
    assert_eq!(source("if [ -z \"$D\" ]; then D=/a; fi; docker run -v $D:/b x"), host("/a"));
    assert_eq!(source("[ -z \"$D\" ] && D=/a; docker run -v $D:/b x"), host("/a"));
    assert_eq!(source("for D in /a /b; do docker run -v $D:/b x; done"), None);
    assert_eq!(source("read D; docker run -v $D:/b x"), None);
    assert_eq!(source("docker run -v ~/x:/b x"), host("/home/user/x"));
    assert_eq!(source("cd /opt; docker run -v $PWD/x:/b x"), host("/opt/x"));
    assert_eq!(source("cd /opt; docker run -v `pwd`:/b x"), host("/opt"));
    assert_eq!(source("cd /opt && docker run -v .:/b x"), host("/opt"));
    assert_eq!(source("cd $X; docker run -v .:/b x"), None);
    assert_eq!(source("OPTS=\"--rm -v /etc:/b\"; docker run $OPTS x"), host("/etc"));
    assert_eq!(source("OPTS=(--rm -v /etc:/b); docker run \"${OPTS[@]}\" x"), host("/etc"));
    assert_eq!(source("OPTS=(--rm); OPTS+=(-v /etc:/b); docker run \"${OPTS[@]}\" x"), host("/etc"));
    let subject = world("docker run --user $(id -u) x").subjects.remove(0);
    assert_eq!(subject.confinement.identity.root.value, None);
    let subject = world("docker run --privileged=$P x").subjects.remove(0);
    assert_eq!(subject.confinement.privileged.value, None);
}

#[test]
fn options_hidden_in_a_variable_leave_privileged_and_mounts_unknown() {
    for line in ["docker run $OPTS x", "docker run --rm $A --name y x", "docker run \"$@\" x"] {
        let confinement = judged(line);
        assert_eq!(confinement.privileged.value, None, "{line}");
        assert!(mounts(&confinement).iter().any(|m| !m.source.is_known()), "{line}");
    }
    for line in ["docker run $IMAGE", "docker run --rm \"$IMAGE\" --flag", "docker run $IMAGE sh"] {
        assert_eq!(judged(line).privileged.value, Some(false), "{line}");
    }
}

#[test]
fn an_option_that_is_not_known_is_a_problem_at_its_place_and_the_container_is_not_taken_for_safe() {
    let world = world("docker run --rm --frobnicate x");
    assert_eq!(world.problems.len(), 1);
    assert_eq!((world.problems[0].line, world.problems[0].column), (Some(1), Some(17)));
    assert_eq!(world.subjects[0].confinement.privileged.value, None);
    for bad in [
        "docker run -v /a:/b:wat x",
        "docker run --cap-add WAT x",
        "docker run --pid wat x",
        "docker run --memory lots x",
        "docker run --privileged=maybe x",
        "docker run --rm",
        "docker run --name",
        "docker run --systemd always x",
        "podman run --uidmap a:b x",
        "docker run --security-opt wat=1 x",
    ] {
        assert!(!super::tests::world(bad).problems.is_empty(), "{bad}");
    }
    // What could not be read is unknown, not absent.
    let world = super::tests::world("docker run -v /a:/b:wat --cap-add WAT --pid wat x");
    let confinement = &world.subjects[0].confinement;
    assert_eq!(world.problems.len(), 3);
    assert!(!confinement.capabilities.bounding.is_known() && !confinement.namespaces.pid.is_known());
}

#[test]
fn text_without_such_a_command_says_so() {
    for text in ["", "echo docker run x", "docker ps", "docker build .", "docker exec -it x sh", "\0\u{FFFC}"]
    {
        let world = world(text);
        assert!(world.subjects.is_empty(), "{text}");
        assert_eq!(world.problems.len(), 1, "{text}");
    }
    assert!(world("docker run --help").subjects.is_empty());
}

#[test]
fn engines_have_their_own_defaults_and_options() {
    let docker = judged("docker run x");
    let podman = judged("podman run x");
    assert!(docker.capabilities.bounding.get().unwrap().has(Capability::NET_RAW));
    assert!(!podman.capabilities.bounding.get().unwrap().has(Capability::NET_RAW));
    assert_eq!(judged("podman --runtime runsc run x").runtime.value, Some(Runtime::Gvisor));
    assert_eq!(judged("docker run --runtime=kata-runtime x").runtime.value, Some(Runtime::Kata));
    assert_eq!(&*one("docker run x").realm, "docker:local");
    assert_eq!(&*one("docker -H tcp://far:2375 run x").realm, "docker:tcp://far:2375");
    assert_eq!(&*one("DOCKER_HOST=tcp://far:2375 docker run x").realm, "docker:tcp://far:2375");
    assert_eq!(&*one("docker --context far run x").realm, "docker:far");
    assert_eq!(&*one("docker -H unix:///run/docker.sock run x").realm, "docker:local");
    let rootfs = judged("podman run --rootfs / sh");
    assert_eq!(mounts(&rootfs)[0].host_path(), Some(&HostPath::new("/")));
    assert_eq!(judged("podman run --userns auto x").user_namespace.initial.value, Some(false));
    assert_eq!(judged("podman run --uidmap 0:0:65536 x").user_namespace.root_is_host_root.value, Some(true));
    assert_eq!(judged("podman run --systemd=always x").cgroup.writable.value, Some(true));
}

#[test]
fn containers_and_pods_of_one_text_are_joined() {
    let world = world(
        "docker run -d --name db -v /etc:/e -v data:/d pg\n\
         docker run --name web --pid container:db --volumes-from db:ro nginx\n\
         docker run nginx\n",
    );
    assert_eq!(world.problems, []);
    let ids: Vec<&str> = world.subjects.iter().map(|s| &*s.id).collect();
    assert_eq!(ids, ["--run#run/db", "--run#run/web", "--run#run/nginx"]);
    let web = &world.subjects[1].confinement;
    assert_eq!(web.namespaces.pid.value, Some(Namespace::Container("--run#run/db".into())));
    let mounts = mounts(web);
    assert_eq!(mounts[0].host_path(), Some(&HostPath::new("/etc")));
    assert_eq!(mounts[0].read_only.value, Some(true));
    assert_eq!(mounts[1].source.value, Some(MountSource::Volume("docker:local/data".into())));

    let world = super::tests::world(
        "podman pod create --name p --network host -v /etc:/e\npodman run --pod p --name a x\npodman run --pod q y\n",
    );
    let pod = &world.subjects[0].confinement;
    assert_eq!(pod.namespaces.net.value, Some(Namespace::Host));
    assert_eq!(pod.namespaces.ipc.value, Some(Namespace::Container("--run#pod/p".into())));
    assert!(super::tests::mounts(pod)[0].host_path().is_some());
    let other = &world.subjects[1].confinement;
    assert_eq!(other.namespaces.net.value, Some(Namespace::Container("--run#pod/q".into())));
}

#[test]
fn control_apis_and_the_named_parts_of_a_confinement() {
    let confinement = judged("docker run -e DOCKER_HOST=tcp://dind:2375 --use-api-socket x");
    assert!(matches!(confinement.control_apis[0].get(), Some(ControlApi::ApiSocket)));
    assert!(matches!(confinement.control_apis[1].get(), Some(ControlApi::EngineTcp { .. })));
    let confinement =
        judged("docker run --privileged --security-opt apparmor=x --cap-drop ALL -v /a:/b:rshared x");
    assert_eq!(confinement.capabilities.bounding.value, Some(CapabilitySet::ALL));
    assert_eq!(mounts(&confinement)[0].propagation.value, Some(Propagation::Shared));
    assert_eq!(judged("docker run --privileged x").apparmor.value, Some(AppArmor::Unconfined));
    let off = judged("docker run --security-opt seccomp=unconfined x");
    assert_eq!(off.seccomp.value, Some(Seccomp::Disabled));
    assert_eq!(judged("docker run -p 127.0.0.1:80:80 x").network.published.len(), 1);
}

#[test]
fn lines_on_standard_input_are_recognised_by_their_first_command() {
    for text in ["docker run x", "# web\nsudo docker run x\n", "D=1 podman --log-level x container create y"]
    {
        assert!(recognise(text.as_bytes()), "{text}");
    }
    for text in
        ["", "services:\n  a:\n    command: docker run x\n", "docker ps", "{}", "FROM docker\nRUN x", "\0"]
    {
        assert!(!recognise(text.as_bytes()), "{text}");
    }
}

#[test]
fn a_profile_that_is_no_ordinary_file_is_not_read() {
    // A read of the kernel's log would wait for the next message.
    for file in ["/proc/kmsg", "/dev/zero", "/proc/self/environ", "/", "/absent"] {
        assert!(read_file("/", file).is_err(), "{file}");
        let confinement = judged(&format!("docker run --security-opt seccomp={file} x"));
        assert_eq!(confinement.seccomp.value, Some(Seccomp::Opaque), "{file}");
    }
}

#[test]
fn the_image_user_that_is_known_from_elsewhere_is_used() {
    let mut context = Context::assumed();
    let mut users = BTreeMap::new();
    users.insert(Arc::from("img:1"), Fact::known("1000".into(), Origin::measured("a test")));
    context.image_users = Arc::new(users);
    let world = read_line("docker run img:1", &"--run".into(), 1, &context);
    assert_eq!(world.subjects[0].confinement.identity.uid.value, Some(1000));
}

#[test]
fn every_option_of_the_tables_is_there_once_for_each_engine() {
    for table in [flags::RUN, flags::GLOBAL, flags::POD] {
        for engine in [flags::Has::Docker, flags::Has::Podman] {
            let of = |f: &&flags::Flag| f.has == engine || f.has == flags::Has::Both;
            let mut names: Vec<String> = table.iter().filter(of).map(|f| f.long.to_owned()).collect();
            names.extend(table.iter().filter(of).filter_map(|f| f.short.map(|c| c.to_string())));
            let count = names.len();
            names.sort();
            names.dedup();
            assert_eq!(names.len(), count);
        }
    }
}

/// The tables against the programs themselves, where they are installed.
#[test]
fn every_option_that_the_installed_programs_print_is_in_the_tables_with_its_arity() {
    for (program, engine) in [("docker", flags::Has::Docker), ("podman", flags::Has::Podman)] {
        for (arguments, table) in [(["run", "--help"], flags::RUN), (["create", "--help"], flags::RUN)] {
            let Ok(output) = std::process::Command::new(program).args(arguments).output() else {
                eprintln!("skipped: {program} is not installed");
                continue;
            };
            for line in String::from_utf8_lossy(&output.stdout).lines() {
                // `  -v, --volume list   Bind mount a volume`
                let line = line.strip_prefix("      ").or(line.strip_prefix("  ")).unwrap_or("");
                let option = line.split("  ").next().unwrap_or("").trim();
                let Some(start) = option.find("--") else { continue };
                if !option.starts_with('-') {
                    continue;
                }
                let mut words = option[start + 2..].split(' ');
                let (name, takes) = (words.next().unwrap_or(""), words.next().is_some());
                let flag = table
                    .iter()
                    .find(|f| f.long == name && (f.has == engine || f.has == flags::Has::Both))
                    .unwrap_or_else(|| panic!("{program} --{name}"));
                assert_eq!(flag.takes != flags::Takes::Nothing, takes, "{program} --{name}");
                let short = option[..start].trim_matches(['-', ',', ' ']).chars().next();
                assert_eq!(flag.short, short, "{program} --{name}");
            }
        }
    }
}

#[test]
fn no_text_panics_or_hangs() {
    let pieces = [
        "docker",
        "podman",
        " ",
        "run",
        "\n",
        "'",
        "\"",
        "$",
        "{",
        "}",
        "(",
        ")",
        "`",
        "\\",
        "-v",
        "--",
        "=",
        ":",
        "/",
        "${X:-",
        "$(",
        "x",
        "<<EOF",
        "EOF",
        "if",
        "fi",
        ";",
        "&&",
        "|",
        "--mount",
        ",",
        "\u{FFFC}",
        "é",
        "\0",
        "case",
        "esac",
        "~",
        "#",
        "OPTS=(",
        "sh -c",
        "--uidmap",
        "--privileged",
        "-itd",
    ];
    // A fixed linear congruential sequence: the same texts on every run.
    let mut state: u64 = 7;
    for _ in 0..20_000 {
        let mut text = String::new();
        for _ in 0..(state >> 33) % 24 {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            text.push_str(pieces[(state >> 33) as usize % pieces.len()]);
            if state & (1 << 20) != 0 {
                text.push(' ');
            }
        }
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        let world = world(&text);
        for problem in &world.problems {
            assert!(problem.line.is_some(), "{text:?}");
        }
    }
}

#[test]
fn deep_nesting_and_doubling_variables_are_bounded() {
    let deep = format!("docker run {}x", "$(".repeat(50_000));
    world(&deep);
    world(&format!("docker run {}x", "${a:-".repeat(50_000)));
    world(&format!("docker run \"{}x", "\"$(".repeat(50_000)));
    let mut doubling = "A=aaaaaaaaaa\n".to_owned();
    for _ in 0..200 {
        doubling.push_str("A=$A$A\n");
    }
    doubling.push_str("docker run -v /$A:/b x");
    let world = world(&doubling);
    assert!(!mounts(&world.subjects[0].confinement)[0].source.is_known());
    let line = "docker run -v /a:/b x; ".repeat(20_000);
    assert_eq!(super::tests::world(&line).subjects.len(), 20_000);
}

#[test]
fn a_command_line_is_taken_apart_into_options_by_their_long_names() {
    let words = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
    let taken = super::take_apart(&words(
        "/usr/bin/podman --runtime runc container run -itd --cap-add A,B -eC=d --init=false -- image sh -c x",
    ))
    .unwrap();
    let texts: Vec<(&str, Option<&str>)> =
        taken.options.iter().map(|option| (option.long, option.value.as_deref())).collect();
    assert_eq!(taken.global, [super::Written { long: "runtime", value: Some("runc".into()) }]);
    assert_eq!(
        texts,
        [
            ("interactive", None),
            ("tty", None),
            ("detach", None),
            ("cap-add", Some("A")),
            ("cap-add", Some("B")),
            ("env", Some("C=d")),
            ("init", Some("false")),
        ]
    );
    assert_eq!(taken.operands, ["image", "sh", "-c", "x"]);
    for text in ["podman run --no-such-option x", "podman play kube x", "ls -l", "podman run --name"] {
        assert_eq!(super::take_apart(&words(text)), None, "{text}");
    }
}

use confinement::confine::{
    AppArmorRequest, NamespaceRequest, SeLinuxRequest, SeccompRequest, SystemPaths, UserNamespaceRequest,
};
use confinement::{DeviceKind, HostPath, IdRange, Mount, Propagation, Request};

use super::*;

fn at(text: &str) -> Origin {
    Origin::File(Place::new(&"f".into(), 3, 5, text.chars().count() as u32))
}

fn with<T>(engine: EngineKind, f: impl FnOnce(&Surroundings<'_>) -> T) -> T {
    f(&Surroundings {
        engine,
        folder: "/srv/app",
        home: "/home/ann",
        volume: &|name, origin| Fact::known(MountSource::Volume(name.into()), origin.clone()),
        subject: &|reference| match reference {
            Reference::Container(name) => format!("container/{name}").into(),
            Reference::Service(name) => format!("service/{name}").into(),
        },
        read_file: &|name| Err(format!("no {name}")),
    })
}

fn docker<T>(f: impl FnOnce(&Surroundings<'_>) -> T) -> T {
    with(EngineKind::Docker, f)
}

fn bind(text: &str) -> Mount {
    docker(|around| volume(text, &at(text), around)).unwrap()
}

fn long(text: &str) -> Mount {
    docker(|around| mount(text, &at(text), around)).unwrap()
}

fn host(path: &str) -> Option<MountSource> {
    Some(MountSource::Host(HostPath::new(path)))
}

#[test]
fn short_and_long_forms_of_a_mount_are_equal() {
    for (short, full) in [
        ("/a:/b", "type=bind,source=/a,target=/b"),
        ("/a:/b:ro", "type=bind,src=/a,dst=/b,readonly"),
        ("/a:/b:ro", "type=bind,src=/a,destination=/b,ro=true"),
        ("/a:/b:rw", "type=bind,src=/a,dst=/b,readonly=false"),
        ("/a:/b:ro,rslave", "readonly,type=bind,src=/a,dst=/b,bind-propagation=rslave"),
        ("/a:/b:rshared", "type=bind,src=/a,dst=/b,bind-propagation=rshared"),
        ("/a:/b:bind", "type=bind,src=/a,dst=/b,bind-nonrecursive"),
        ("/a:/b:bind", "type=bind,src=/a,dst=/b,bind-recursive=disabled"),
        ("/a:/b:rro", "type=bind,src=/a,dst=/b,readonly,bind-recursive=readonly"),
        ("/a:/b:z", "type=bind,src=/a,dst=/b,relabel=shared"),
        ("data:/b", "type=volume,source=data,target=/b"),
        ("data:/b:ro,nocopy", "source=data,target=/b,readonly,volume-nocopy"),
        ("/b", "type=volume,target=/b"),
        ("./a:/b", "type=bind,source=/srv/app/a,target=/b"),
        ("../a:/b", "type=bind,source=/srv/a,target=/b"),
        (".:/b", "type=bind,source=/srv/app,target=/b"),
        ("~/a:/b", "type=bind,source=/home/ann/a,target=/b"),
        ("~:/b", "type=bind,source=/home/ann,target=/b"),
        ("/:/b:nosuid,nodev,noexec", "type=bind,src=/,dst=/b,nosuid,nodev,noexec"),
    ] {
        assert_eq!(bind(short), long(full), "{short} {full}");
    }
}

#[test]
fn a_volume_with_driver_options_that_bind_a_folder_shows_that_folder() {
    let mount = long(concat!(
        "type=volume,src=v,dst=/b,volume-driver=local,volume-opt=type=none,volume-opt=o=bind,",
        "volume-opt=device=/var/run/docker.sock"
    ));
    assert_eq!(mount.source.value, host("/run/docker.sock"));
    let quoted =
        long("type=volume,src=v,dst=/b,volume-opt=device=/etc,\"volume-opt=o=bind,ro\",volume-opt=type=none");
    assert_eq!(quoted.source.value, host("/etc"));
    let nfs = volume_content(None, [("type", "nfs"), ("o", "addr=1.2.3.4,rw"), ("device", ":/x")], &at(""));
    assert_eq!(nfs.unwrap().value, Some(MountSource::Other("nfs on :/x".into())));
    assert!(volume_content(Some("local"), [("type", "tmpfs"), ("device", "tmpfs")], &at("")).is_none());
    assert!(volume_content(None, [], &at("")).is_none());
}

#[test]
fn a_source_and_an_option_keep_their_own_places() {
    let mount = bind("/var/run/docker.sock:/s:ro");
    let source = mount.source.origin.place().unwrap();
    assert_eq!((source.column, source.length), (5, 20));
    let read_only = mount.read_only.origin.place().unwrap();
    assert_eq!((read_only.column, read_only.length), (5 + 24, 2));
    // In quotes the text begins one further.
    let text = "/a:/b:ro";
    let quoted = Origin::File(Place::new(&"f".into(), 1, 10, 10));
    let mount = docker(|around| volume(text, &quoted, around)).unwrap();
    assert_eq!(mount.source.origin.place().unwrap().column, 11);
    // Where the source text is not the value, the whole value is the place.
    let escaped = Origin::File(Place::new(&"f".into(), 1, 10, 17));
    let mount = docker(|around| volume(text, &escaped, around)).unwrap();
    assert_eq!(mount.source.origin.place().unwrap().length, 17);
}

#[test]
fn paths_of_windows_are_no_paths_of_the_host() {
    for text in [
        "C:\\data:/data",
        "C:/data:/data:ro",
        "c:\\a:c:\\b",
        "\\\\.\\pipe\\docker_engine:\\\\.\\pipe\\docker_engine",
    ] {
        let mount = bind(text);
        assert!(matches!(mount.source.value, Some(MountSource::Other(_))), "{text}: {mount:?}");
    }
    assert_eq!(bind("c:/data").source.value, Some(MountSource::Volume("c".into())));
    assert_eq!(bind("C:/data:/data:ro").read_only.value, Some(true));
}

#[test]
fn what_no_engine_accepts_is_an_error_with_words() {
    for text in ["", ":", "a:", ":/b", "/a:/b:ro:rw", "/a:/b:wat", "foo/bar:/x", "-x:/y"] {
        assert!(docker(|around| volume(text, &at(text), around)).is_err(), "{text}");
    }
    for text in ["", "type=bind,dst=/b", "type=wat,dst=/b", "type=bind,src=/a", "type=bind,src", "\"a"] {
        assert!(docker(|around| mount(text, &at(text), around)).is_err(), "{text}");
    }
}

#[test]
fn an_overlay_of_podman_keeps_writes_to_itself() {
    let text = "/etc:/etc:O";
    let mount = with(EngineKind::Podman, |around| volume(text, &at(text), around)).unwrap();
    assert_eq!((mount.read_only.value, mount.recursive), (Some(true), false));
    assert!(docker(|around| volume(text, &at(text), around)).is_err());
}

#[test]
fn an_unknown_part_makes_the_facts_on_it_unknown_and_no_others() {
    let mount = bind("\u{FFFC}/x:/b:ro");
    assert_eq!((mount.source.value, mount.read_only.value, &*mount.target), (None, Some(true), "/b"));
    let mount = bind("/a:/b:\u{FFFC}");
    assert_eq!((mount.source.value, mount.read_only.value), (host("/a"), None));
    let mut request = Request::default();
    docker(|around| security_option("seccomp=\u{FFFC}", &at(""), around, &mut request)).unwrap();
    assert_eq!(request.seccomp.unwrap().value, None);
    assert_eq!(device_rule("c \u{FFFC}:* rwm", &at("")).unwrap().value, None);
}

#[test]
fn a_tmpfs_is_not_executable_unless_it_says_so() {
    let mount = docker(|around| tmpfs("/run:rw,size=64k", &at(""), around)).unwrap();
    assert!(mount.noexec && mount.nosuid && mount.nodev);
    assert_eq!(mount.source.value, Some(MountSource::Private));
    assert!(!docker(|around| tmpfs("/run:exec", &at(""), around)).unwrap().noexec);
}

fn option(engine: EngineKind, values: &[&str]) -> Request {
    let mut request = Request::default();
    with(engine, |around| {
        for value in values {
            security_option(value, &at(value), around, &mut request).unwrap();
        }
    });
    request
}

#[test]
fn every_spelling_of_a_security_option_means_the_same() {
    use EngineKind::{Docker, Podman};
    for engine in [Docker, Podman] {
        for value in ["no-new-privileges", "no-new-privileges:true", "no-new-privileges=true"] {
            assert_eq!(option(engine, &[value]).no_new_privileges.unwrap().value, Some(true), "{value}");
        }
        for value in ["no-new-privileges:false", "no-new-privileges=false"] {
            assert_eq!(option(engine, &[value]).no_new_privileges.unwrap().value, Some(false), "{value}");
        }
        for value in ["seccomp=unconfined", "seccomp:unconfined"] {
            let asked = option(engine, &[value]).seccomp.unwrap().value;
            assert_eq!(asked, Some(SeccompRequest::Unconfined), "{value}");
        }
        for value in ["apparmor=unconfined", "apparmor:unconfined"] {
            let asked = option(engine, &[value]).apparmor.unwrap().value;
            assert_eq!(asked, Some(AppArmorRequest::Unconfined), "{value}");
        }
        for value in ["label=disable", "label:disable"] {
            assert_eq!(
                option(engine, &[value]).selinux.unwrap().value,
                Some(SeLinuxRequest::Disable),
                "{value}"
            );
        }
        for value in ["label=type:spc_t", "label:type:spc_t"] {
            let asked = option(engine, &[value]).selinux.unwrap().value;
            assert_eq!(asked, Some(SeLinuxRequest::Domain("spc_t".into())), "{value}");
        }
    }
    let asked = option(Docker, &["systempaths=unconfined"]).system_paths.unwrap().value;
    assert_eq!(asked, Some(SystemPaths::Unconfined));
    let asked = option(Podman, &["unmask=ALL"]).system_paths.unwrap().value;
    assert_eq!(asked, Some(SystemPaths::Unconfined));
    assert!(option(Docker, &["label=level:s0:c1,c2"]).selinux.is_none());
    assert_eq!(
        option(Docker, &["seccomp=builtin"]).seccomp.unwrap().value,
        Some(SeccompRequest::EngineDefault)
    );
    // A file that cannot be read is still a filter.
    let asked = option(Docker, &["seccomp=./profile.json"]).seccomp.unwrap().value;
    assert_eq!(asked, Some(SeccompRequest::Unread("./profile.json".into())));
}

#[test]
fn masks_and_unmasks_of_podman_add_up() {
    let request = option(EngineKind::Podman, &["unmask=/proc/acpi:/sys/firmware", "unmask=/proc/kcore"]);
    let Some(SystemPaths::Unmask(list)) = request.system_paths.unwrap().value else { panic!() };
    assert_eq!(list.len(), 3);
    let request = option(EngineKind::Podman, &["mask=/a", "unmask=/proc/kcore", "mask=/b"]);
    assert!(matches!(request.system_paths.unwrap().value, Some(SystemPaths::Unmask(_))));
    let mut request = Request::default();
    let refused = docker(|around| security_option("unmask=ALL", &at(""), around, &mut request));
    assert!(refused.is_err());
}

#[test]
fn bad_security_options_are_errors() {
    for value in ["", "seccomp", "apparmor", "label=wat", "systempaths=x", "no-new-privileges=maybe", "wat=1"]
    {
        let mut request = Request::default();
        assert!(docker(|around| security_option(value, &at(""), around, &mut request)).is_err(), "{value}");
    }
}

#[test]
fn namespace_modes_name_whose_it_is() {
    let pid = |value: &str| docker(|around| pid_namespace(value, &at(value), around));
    let container = |id: &str| Some(NamespaceRequest::Container(id.into()));
    assert_eq!(pid("host").unwrap().unwrap().value, Some(NamespaceRequest::Host));
    assert_eq!(pid("container:db").unwrap().unwrap().value, container("container/db"));
    assert_eq!(pid("service:db").unwrap().unwrap().value, container("service/db"));
    assert_eq!(pid("ns:/proc/1/ns/pid").unwrap().unwrap().value, Some(NamespaceRequest::Host));
    assert_eq!(pid("ns:/proc/812/ns/pid").unwrap().unwrap().value, None);
    assert_eq!(pid("\u{FFFC}").unwrap().unwrap().value, None);
    assert!(pid("").unwrap().is_none());
    assert!(pid("hosts").is_err() && pid("shareable").is_err() && pid("container:").is_err());
    let ipc = docker(|around| ipc_namespace("shareable", &at(""), around)).unwrap().unwrap();
    assert_eq!(ipc.value, Some(NamespaceRequest::Private));
}

#[test]
fn user_namespace_modes_and_maps() {
    let mode = |value: &str| user_namespace(value, &at(value)).unwrap().unwrap().value;
    assert_eq!(mode("host"), Some(UserNamespaceRequest::Host));
    assert_eq!(mode("auto:size=4096"), Some(UserNamespaceRequest::Private));
    assert_eq!(mode("keep-id:uid=200,gid=210"), Some(UserNamespaceRequest::KeepId));
    assert_eq!(mode("container:x"), None);
    assert!(user_namespace("wat", &at("")).is_err());
    let maps = id_maps(&[("0:100000:65536", at(""))], &[]).unwrap().unwrap().value;
    let range = IdRange { inside: 0, outside: 100000, count: 65536 };
    let both = UserNamespaceRequest::Maps { uid: [range].into(), gid: [range].into() };
    assert_eq!(maps, Some(both));
    let extended = id_maps(&[("+1000:@2000:1", at(""))], &[]).unwrap().unwrap().value;
    assert_eq!(extended, Some(UserNamespaceRequest::Private));
    assert!(id_maps(&[("a:b", at(""))], &[]).is_err() && id_maps(&[], &[]).unwrap().is_none());
}

#[test]
fn networks() {
    let net = |value: &str| {
        let mut request = Request::default();
        docker(|around| network(value, &at(value), around, &mut request)).unwrap();
        let fact = |f: Option<Fact<bool>>| f.and_then(|f| f.value);
        (request.net.and_then(|n| n.value), fact(request.attached), fact(request.shared_segment))
    };
    let own = Some(NamespaceRequest::Private);
    assert_eq!(net("host"), (Some(NamespaceRequest::Host), None, None));
    assert_eq!(net("none"), (own.clone(), Some(false), Some(false)));
    assert_eq!(net("bridge"), (own.clone(), Some(true), Some(true)));
    assert_eq!(net("mynet:ip=10.0.0.1"), (own.clone(), Some(true), Some(true)));
    assert_eq!(net("pasta:--map-gw"), (own, Some(true), Some(false)));
    assert_eq!(net("container:x").0, Some(NamespaceRequest::Container("container/x".into())));
}

#[test]
fn devices_in_every_form() {
    let ask = |value: &str| {
        let mut request = Request::default();
        device(value, &at(value), &mut request).map(|()| request)
    };
    let whole = ask("/dev/sda").unwrap().devices.remove(0);
    for same in ["/dev/sda:/dev/sda", "/dev/sda:/dev/xvda:rwm", "/dev/sda:rwm"] {
        assert_eq!(ask(same).unwrap().devices.remove(0), whole, "{same}");
    }
    let read = ask("/dev/sda:r").unwrap().devices.remove(0).value.unwrap();
    assert!(read.access.read && !read.access.write);
    let cdi = ask("nvidia.com/gpu=all").unwrap();
    assert!(cdi.devices.is_empty() && cdi.gpus.unwrap().value == Some(true));
    assert!(
        ask("").is_err() && ask("sda").is_err() && ask("/dev/a:/b:x").is_err() && ask("a:b:c:d").is_err()
    );
    assert_eq!(ask("\u{FFFC}").unwrap().devices[0].value, None);
    let rule = device_rule("a *:* rwm", &at("")).unwrap().value.unwrap();
    assert_eq!((rule.kind, rule.major, rule.minor), (DeviceKind::All, None, None));
    assert!(device_rule("x 1:2 r", &at("")).is_err() && device_rule("c 1 r", &at("")).is_err());
}

#[test]
fn sizes_are_powers_of_1024_and_zero_is_no_limit() {
    assert_eq!(bytes("512m"), Ok(Some(512 << 20)));
    assert_eq!(bytes("1.5GiB"), Ok(Some(3 << 29)));
    assert_eq!(bytes("1024"), Ok(Some(1024)));
    assert_eq!(bytes("2 GB"), Ok(Some(2 << 30)));
    assert_eq!((bytes("0"), bytes("-1")), (Ok(None), Ok(None)));
    assert!(bytes("lots").is_err() && bytes("").is_err() && bytes("1x").is_err());
    assert_eq!(
        (cpus("1.5"), cpus("0"), pids("-1"), pids("100")),
        (Ok(Some(1500)), Ok(None), Ok(None), Ok(Some(100)))
    );
    assert!(cpus("inf").is_err() && pids("many").is_err());
}

#[test]
fn an_environment_that_names_a_tcp_engine_is_an_engine_api() {
    let one = |name: &'static str, value: &'static str| control_apis([(name, Some(value), at(""))]);
    assert!(matches!(
        one("DOCKER_HOST", "tcp://dind:2375")[0].get(),
        Some(ControlApi::EngineTcp { tls: Some(false), .. })
    ));
    assert!(matches!(
        one("CONTAINER_HOST", "tcp://dind:2376")[0].get(),
        Some(ControlApi::EngineTcp { tls: None, .. })
    ));
    assert!(one("DOCKER_HOST", "unix:///var/run/docker.sock").is_empty());
    assert!(one("DOCKER_HOST", "ssh://root@host").is_empty() && one("OTHER", "tcp://x").is_empty());
    let verified = control_apis([
        ("DOCKER_HOST", Some("tcp://d:2376"), at("")),
        ("DOCKER_TLS_VERIFY", Some("1"), at("")),
    ]);
    assert!(matches!(verified[0].get(), Some(ControlApi::EngineTcp { tls: Some(true), .. })));
}

#[test]
fn propagation_words() {
    assert_eq!(propagation("rshared"), Ok(Propagation::Shared));
    assert_eq!(propagation("unbindable"), Ok(Propagation::Private));
    assert!(propagation("rsharing").is_err());
}

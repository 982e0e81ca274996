//! Hosts made of a few files, and what is proposed for them.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;

use confinement::engine::TcpApi;
use confinement::host::{Installed, Package};
use confinement::{Engine, EngineKind, Fact, Host, Origin};
use serde_json::{Value, json};
use sources::engine_api::{Inspected, Raw};

use super::{Known, Options, Proposal, Remap, Running, propose, text, write};
use crate::write::WriteError;

struct Root(tempfile::TempDir);

impl Root {
    fn new(files: &[(&str, &str)]) -> Root {
        let root = Root(tempfile::tempdir().unwrap());
        for (path, content) in files {
            root.put(path, content);
        }
        root
    }
    fn path(&self) -> &Path {
        self.0.path()
    }
    fn put(&self, path: &str, content: &str) {
        let path = self.path().join(path.trim_start_matches('/'));
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }
    fn get(&self, path: &str) -> String {
        fs::read_to_string(self.path().join(path.trim_start_matches('/'))).unwrap()
    }
    fn mode(&self, path: &str, mode: u32) {
        fs::set_permissions(self.path().join(path.trim_start_matches('/')), fs::Permissions::from_mode(mode))
            .unwrap();
    }
}

fn known<T>(value: T) -> Fact<T> {
    Fact::known(value, Origin::Nowhere)
}

/// As a daemon of this version sets itself up.
fn docker() -> Engine {
    let mut engine = Engine::of_version(EngineKind::Docker, (29, 0), None, "docker-29.0");
    let settings = &mut engine.settings;
    for fact in [&mut settings.userns_remap, &mut settings.rootless, &mut settings.no_new_privileges] {
        *fact = known(false);
    }
    settings.inter_container = known(true);
    settings.live_restore = known(false);
    settings.userland_proxy = known(true);
    engine
}

fn container(name: &str, config: Value, host: Value, mounts: Value) -> Inspected {
    let container =
        json!({"Name": format!("/{name}"), "Config": config, "HostConfig": host, "Mounts": mounts});
    Inspected { container, image: None }
}

fn kernel(version: &str, package: Option<(&str, &str)>) -> Host {
    let package = package.map(|(name, version)| Package {
        name: name.into(),
        version: version.into(),
        distribution: "debian".into(),
        release: "12".into(),
    });
    let installed = Installed { version: Some(version.into()), package, ..Installed::default() };
    Host {
        kernel_release: known(version.into()),
        kernel: known(installed),
        modules_loadable: known(true),
        ..Host::default()
    }
}

fn running<'a>(engine: &'a Engine, raw: &'a Raw) -> Option<Running<'a>> {
    Some(Running { engine, raw })
}

fn proposed(host: &Host, docker: Option<Running<'_>>, options: Options, root: &Root) -> Proposal {
    propose(&Known { host, docker, podman: None }, options, root.path())
}

/// A host with something of everything.
fn weak() -> (Root, Host, Engine, Raw) {
    let root = Root::new(&[
        ("/etc/docker/daemon.json", "{\n    \"log-driver\": \"journald\",\n    \"icc\": true\n}\n"),
        ("/etc/subuid", "alice:100000:65536\n"),
        ("/etc/group", "root:x:0:\ndocker:x:999:alice,bob\n"),
        (
            "/etc/passwd",
            "root:x:0:0::/root:/bin/sh\nalice:x:1000:1000::/home/alice:/bin/sh\ncarol:x:1002:999:::\n",
        ),
        ("/usr/bin/apt-get", ""),
        ("/proc/modules", "rxrpc 1 0 - Live 0x0\nesp4 1 1 xfrm4, Live 0x0\n"),
        (
            "/lib/modules/6.1.100/modules.dep",
            "kernel/crypto/algif_aead.ko: x\nkernel/net/rxrpc/rxrpc.ko:\n\
            kernel/net/rds/rds.ko.xz:\nkernel/net/ipv4/esp4.ko:\n",
        ),
        ("/lib/modules/6.1.100/modules.builtin", "kernel/net/ipv6/esp6.ko\n"),
        ("/proc/sys/kernel/unprivileged_bpf_disabled", "0\n"),
        ("/proc/sys/kernel/dmesg_restrict", "0\n"),
        ("/proc/sys/kernel/kptr_restrict", "2\n"),
        ("/proc/sys/kernel/modules_disabled", "0\n"),
        ("/proc/sys/kernel/unprivileged_userns_clone", "1\n"),
        ("/proc/sys/kernel/kexec_load_disabled", "0\n"),
        ("/etc/default/kdump-tools", "USE_KDUMP=1\n"),
        ("/proc/sys/fs/suid_dumpable", "1\n"),
        ("/var/lib/docker/volumes/db/_data/file", ""),
        ("/srv/data/x", ""),
        ("/dev/kmsg", ""),
    ]);
    root.mode("/srv/data", 0o750);
    root.mode("/dev/kmsg", 0o600);
    let raw = Raw {
        engine: None,
        info: json!({"DockerRootDir": "/var/lib/docker", "Images": 3, "Swarm": {"LocalNodeState": "inactive"}}),
        containers: vec![
            container(
                "web",
                json!({"User": "10001"}),
                json!({"NetworkMode": "default", "PortBindings": {"80/tcp": [{"HostIp": "", "HostPort": "80"}]}}),
                json!([{"Type": "bind", "Source": "/srv/data", "RW": true}]),
            ),
            container(
                "db",
                json!({}),
                json!({"NetworkMode": "bridge", "Devices": [{"PathOnHost": "/dev/kmsg"}]}),
                json!([]),
            ),
            container("agent", json!({}), json!({"NetworkMode": "host", "PidMode": "host"}), json!([])),
        ],
        volumes: vec![
            json!({"Name": "db", "Driver": "local", "Mountpoint": "/var/lib/docker/volumes/db/_data"}),
        ],
        networks: Vec::new(),
    };
    (root, kernel("6.1.100", Some(("linux-image-6.1.0-25-cloud-amd64", "6.1.100-1"))), docker(), raw)
}

/// Ids of whoever runs the test stand in the text.
fn without_ids(text: &str, root: &Root) -> String {
    use std::os::unix::fs::MetadataExt;
    let owner = fs::metadata(root.path()).unwrap();
    let (uid, gid) = (owner.uid(), owner.gid());
    let moved = |id: u32| id + 165_536;
    text.replace(&format!("{uid}:{gid} to {}:{}", moved(uid), moved(gid)), "OWNER to MOVED")
        .replace(&format!(" of {uid}:{gid}"), " of OWNER")
        .replace(&format!("is {uid}:{gid} "), "is OWNER ")
}

#[test]
fn a_weak_hosts_proposal_reads_so() {
    let (root, host, engine, raw) = weak();
    let proposal = proposed(&host, running(&engine, &raw), Options::default(), &root);
    let shown = without_ids(&text(&proposal), &root);
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/host/golden.txt");
    if std::env::var_os("STOCKADE_BLESS").is_some() {
        fs::write(&golden, &shown).unwrap();
    }
    assert_eq!(shown, fs::read_to_string(golden).unwrap(), "STOCKADE_BLESS=1 takes the new text");
}

#[test]
fn what_is_written_is_not_proposed_again_and_the_same_input_gives_the_same_proposal() {
    let (root, host, engine, raw) = weak();
    for remap in [Remap::WhereNothingBreaks, Remap::Always] {
        let options = Options { remap };
        let proposal = proposed(&host, running(&engine, &raw), options, &root);
        assert_eq!(proposal, proposed(&host, running(&engine, &raw), options, &root));
        assert!(!proposal.files.is_empty());
        write(&proposal, root.path()).unwrap();
        let again = proposed(&host, running(&engine, &raw), options, &root);
        assert_eq!(again.files, []);
        // Neither the daemon nor the kernel has read them.
        assert!(again.commands.iter().any(|command| command.argv == ["systemctl", "restart", "docker"]));
        assert!(again.commands.iter().any(|command| command.argv[0] == "sysctl"));
    }
    let file = root.get("/etc/docker/daemon.json");
    assert!(file.starts_with("{\n    \"log-driver\": \"journald\",\n    \"icc\": false,\n"), "{file}");
    assert!(file.contains("    \"userns-remap\": \"default\"") && file.ends_with("}\n"), "{file}");
    serde_json::from_str::<Value>(&file).unwrap();
    let mut engine = docker();
    let document = sources::document::parse_bytes(
        file.as_bytes(),
        &"daemon.json".into(),
        &sources::document::Limits::default(),
    );
    assert_eq!(sources::daemon::apply(document[0].as_ref().unwrap(), &mut engine), []);
    assert_eq!(engine.settings.userns_remap.value, Some(true));
    assert_eq!(engine.settings.inter_container.value, Some(false));
    // With the daemon restarted and the settings loaded nothing is left but what only a person decides.
    for (key, value) in
        [("unprivileged_bpf_disabled", "2"), ("dmesg_restrict", "1"), ("unprivileged_userns_clone", "0")]
    {
        root.put(&format!("/proc/sys/kernel/{key}"), value);
    }
    root.put("/proc/sys/fs/suid_dumpable", "0");
    let done = proposed(&host, running(&engine, &raw), Options::default(), &root);
    assert_eq!(done.files, []);
    let programs: Vec<&str> = done.commands.iter().map(|command| command.argv[0].as_str()).collect();
    assert_eq!(programs, ["apt-get"]);
}

#[test]
fn a_file_that_changed_since_is_not_written_over() {
    let (root, host, engine, raw) = weak();
    let proposal = proposed(&host, running(&engine, &raw), Options::default(), &root);
    root.put("/etc/docker/daemon.json", "{}");
    assert!(matches!(write(&proposal, root.path()), Err(WriteError::Changed { .. })));
    assert_eq!(root.get("/etc/docker/daemon.json"), "{}");
}

#[test]
fn a_host_with_nothing_of_ours_gets_new_files() {
    let root = Root::new(&[]);
    let (engine, raw) = (docker(), Raw::default());
    let proposal = proposed(&Host::default(), running(&engine, &raw), Options::default(), &root);
    assert_eq!(proposal.files.len(), 1, "{proposal:#?}");
    let file = &proposal.files[0];
    assert_eq!((file.path.as_str(), &file.before), ("/etc/docker/daemon.json", &None));
    let json: Value = serde_json::from_str(&file.after).unwrap();
    let expected = json!({"userns-remap": "default", "no-new-privileges": true, "icc": false, "live-restore": true,
        "userland-proxy": false});
    assert_eq!(json, expected);
    write(&proposal, root.path()).unwrap();
    assert_eq!(root.get("/etc/docker/daemon.json"), file.after);
}

#[test]
fn an_option_on_the_command_line_is_not_written_into_the_file_too() {
    let root = Root::new(&[
        ("/proc/77/comm", "dockerd\n"),
        ("/proc/77/cmdline", "dockerd\0--icc=true\0--config-file\0/srv/d.json\0-H\0fd://\0"),
    ]);
    let (engine, raw) = (docker(), Raw::default());
    let proposal = proposed(&Host::default(), running(&engine, &raw), Options::default(), &root);
    assert_eq!(proposal.files[0].path, "/srv/d.json");
    assert!(!proposal.files[0].after.contains("icc"));
    assert!(proposal.notes.iter().any(|note| note.starts_with("--icc stands on dockerd's command line")));
}

#[test]
fn what_needs_the_firewall_is_left_out_where_dockerd_has_none() {
    let (engine, raw) = (docker(), Raw::default());
    for files in [
        [("/etc/docker/daemon.json", "{\"iptables\": false}"), ("/x", "")],
        [("/proc/77/comm", "dockerd\n"), ("/proc/77/cmdline", "dockerd\0--iptables=false\0")],
    ] {
        let root = Root::new(&files);
        let proposal = proposed(&Host::default(), running(&engine, &raw), Options::default(), &root);
        let after = &proposal.files[0].after;
        assert!(!after.contains("icc") && !after.contains("userland-proxy"), "{after}");
        assert!(after.contains("live-restore"), "{after}");
    }
}

#[test]
fn a_file_that_cannot_be_read_as_json_is_left_and_said() {
    for broken in ["{", "[]", "{\"icc\": true,,}", "\"x\""] {
        let root = Root::new(&[("/etc/docker/daemon.json", broken)]);
        let (engine, raw) = (docker(), Raw::default());
        let proposal = proposed(&Host::default(), running(&engine, &raw), Options::default(), &root);
        assert_eq!(proposal.files, [], "{broken}");
        assert!(
            proposal.notes.iter().any(|note| note.contains("daemon.json")),
            "{broken}: {:?}",
            proposal.notes
        );
    }
}

#[test]
fn keys_are_made_before_the_daemon_is_told_of_them() {
    let mut engine = docker();
    let api = TcpApi { address: "tcp://10.0.0.5:2375".into(), verifies_clients: false };
    engine.settings.tcp = vec![known(api)];
    let raw = Raw::default();
    let root = Root::new(&[]);
    let proposal = proposed(&Host::default(), running(&engine, &raw), Options::default(), &root);
    assert!(!proposal.files[0].after.contains("tls"), "{}", proposal.files[0].after);
    let keys: Vec<String> = proposal.commands.iter().map(|command| command.argv.join(" ")).collect();
    assert!(
        keys.iter().any(|line| line.contains("subjectAltName=DNS:localhost,IP:127.0.0.1,IP:10.0.0.5")),
        "{keys:#?}"
    );
    for name in ["ca.pem", "server-cert.pem", "server-key.pem"] {
        root.put(&format!("/etc/docker/tls/{name}"), "");
    }
    let proposal = proposed(&Host::default(), running(&engine, &raw), Options::default(), &root);
    let json: Value = serde_json::from_str(&proposal.files[0].after).unwrap();
    assert_eq!(json["tlsverify"], json!(true));
    assert_eq!(json["tlskey"], json!("/etc/docker/tls/server-key.pem"));
}

/// openssl makes what the commands say, and a chain of it holds.
#[test]
fn the_commands_for_keys_make_certificates_that_verify() {
    if std::process::Command::new("openssl").arg("version").output().is_err() {
        eprintln!("skipped: there is no openssl");
        return;
    }
    let mut engine = docker();
    let api = TcpApi { address: "tcp://10.0.0.5:2375".into(), verifies_clients: false };
    engine.settings.tcp = vec![known(api)];
    let raw = Raw::default();
    let root = Root::new(&[("/etc/docker/x", "")]);
    let proposal = proposed(&Host::default(), running(&engine, &raw), Options::default(), &root);
    let folder = root.path().join("etc/docker/tls").display().to_string();
    let here = |word: &String| word.replace("/etc/docker/tls", &folder);
    let run = |words: Vec<String>| {
        let output = std::process::Command::new(&words[0]).args(&words[1..]).output().unwrap();
        assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    for command in proposal.commands.iter().filter(|c| matches!(c.argv[0].as_str(), "openssl" | "install")) {
        run(command.argv.iter().map(here).collect());
    }
    let verify = |purpose: &str, name: &str| {
        let words =
            format!("openssl verify -purpose {purpose} -CAfile {folder}/ca.pem {folder}/{name}-cert.pem");
        run(words.split(' ').map(str::to_owned).collect())
    };
    assert!(verify("sslserver", "server").ends_with("OK\n"));
    assert!(verify("sslclient", "client").ends_with("OK\n"));
    let mode = fs::metadata(format!("{folder}/server-key.pem")).unwrap().permissions().mode();
    assert_eq!(mode & 0o077, 0);
}

#[test]
fn podmans_defaults_are_proposed_where_nothing_here_speaks_against_them() {
    let engine = Engine::of_version(EngineKind::Podman, (5, 0), None, "podman-5");
    let root = Root::new(&[
        ("/etc/subuid", "containers:2147483647:2147483648\n"),
        ("/etc/subgid", "containers:1:65536\n"),
    ]);
    let free = Raw { containers: vec![container("a", json!({}), json!({}), json!([]))], ..Raw::default() };
    let bound = json!([{"Type": "bind", "Source": "/srv", "RW": true}]);
    let held = Raw { containers: vec![container("b", json!({}), json!({}), bound)], ..Raw::default() };
    let host = Host::default();
    let with = |raw| {
        propose(
            &Known { host: &host, docker: None, podman: running(&engine, raw) },
            Options::default(),
            root.path(),
        )
    };
    let proposal = with(&free);
    assert!(proposal.files[0].after.contains("\n[containers]\n"), "{}", proposal.files[0].after);
    assert!(proposal.files[0].after.contains("\nuserns = \"auto\"\n"), "{}", proposal.files[0].after);
    let proposal = with(&held);
    assert!(!proposal.files[0].after.contains("userns"), "{}", proposal.files[0].after);
    assert!(proposal.notes.iter().any(|note| note.contains("that b mount")), "{:?}", proposal.notes);
    write(&proposal, root.path()).unwrap();
    assert_eq!(with(&held).files, []);
    let own = Root::new(&[("/etc/containers/containers.conf", "[containers]\nipcns = \"shareable\"\n")]);
    let known = Known { host: &host, docker: None, podman: running(&engine, &held) };
    assert_eq!(propose(&known, Options::default(), own.path()).files, []);
}

#[test]
fn user_namespaces_stay_where_something_here_makes_them() {
    let host = kernel("6.1.50", None);
    let files = [("/proc/sys/user/max_user_namespaces", "15000\n"), ("/proc/modules", "")];
    let setting = |root: &Root, docker: Option<Running<'_>>| {
        let proposal = proposed(&host, docker, Options::default(), root);
        proposal.files.iter().any(|file| file.after.contains("user.max_user_namespaces = 0"))
    };
    assert!(setting(&Root::new(&files), None));
    let (mut engine, raw) = (docker(), Raw::default());
    engine.settings.userns_remap = known(true);
    assert!(!setting(&Root::new(&files), running(&engine, &raw)));
    let rootless = Root::new(&files);
    rootless.put("/etc/subuid", "alice:100000:65536\n");
    assert!(setting(&rootless, None));
    rootless.put("/home/alice/.local/share/containers/storage/x", "");
    assert!(!setting(&rootless, None));
    // A kernel without a flaw that needs them is left as it is.
    let fixed = kernel("99.0.1", None);
    let proposal = proposed(&fixed, None, Options::default(), &Root::new(&files));
    assert_eq!(proposal.files, []);
}

#[test]
fn a_weaker_line_of_our_own_file_is_mended_in_place_and_others_stay() {
    let root = Root::new(&[
        ("/proc/sys/kernel/dmesg_restrict", "0\n"),
        ("/etc/sysctl.d/80-stockade.conf", "# mine\nvm.swappiness = 10\nkernel.dmesg_restrict=0\n# end"),
    ]);
    let proposal = proposed(&Host::default(), None, Options::default(), &root);
    assert_eq!(proposal.files[0].after, "# mine\nvm.swappiness = 10\nkernel.dmesg_restrict = 1\n# end\n");
    write(&proposal, root.path()).unwrap();
    assert_eq!(proposed(&Host::default(), None, Options::default(), &root).files, []);
}

#[test]
fn every_reason_names_a_technique_a_flaw_or_a_number_of_the_benchmark() {
    let (root, host, mut engine, raw) = weak();
    engine.settings.seccomp_profile = Some(known(confinement::engine::SeccompDefault::Unconfined));
    let proposal = proposed(&host, running(&engine, &raw), Options { remap: Remap::Always }, &root);
    let of_files =
        proposal.files.iter().flat_map(|file| &file.reasons).flat_map(|reason| reason.answers.clone());
    let answers: Vec<String> = of_files.chain(super::sysctl::answers().map(str::to_owned)).collect();
    let techniques: BTreeMap<String, ()> =
        techniques::technique::Catalogue::get().techniques.iter().map(|t| (t.id.to_string(), ())).collect();
    for answer in answers {
        let flaw = techniques::flaw::load().iter().any(|flaw| flaw.id == answer);
        let known = answer.starts_with("CIS Docker ") || flaw || techniques.contains_key(&answer);
        assert!(known, "{answer}");
    }
}

#[test]
fn no_answer_of_an_engine_makes_it_stop() {
    let odd =
        [json!(null), json!([]), json!("x"), json!({"HostConfig": 3, "Mounts": {"a": 1}, "Config": []})];
    let engine = docker();
    for answer in &odd {
        let raw = Raw {
            engine: None,
            info: answer.clone(),
            containers: vec![Inspected { container: answer.clone(), image: None }],
            volumes: vec![answer.clone()],
            networks: vec![answer.clone()],
        };
        let proposal = proposed(
            &Host::default(),
            running(&engine, &raw),
            Options { remap: Remap::Always },
            &Root::new(&[]),
        );
        assert_eq!(proposal.files.len(), 1);
    }
    let _: Arc<str> = text(&Proposal::default()).into();
}

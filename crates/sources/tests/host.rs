//! This machine as `host:` reads it, compared with what its own tools say.

use std::io::BufRead;
use std::process::{Child, Command, Stdio};

use confinement::{Fact, Host};
use sources::host::{HostFacts, read_host};

/// The first line of a program's output, where the program is here and ends well.
fn first_line(program: &str, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program).args(arguments).output().ok().filter(|o| o.status.success())?;
    Some(String::from_utf8_lossy(&output.stdout).lines().next()?.to_owned())
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

#[test]
fn components_have_the_versions_and_packages_that_the_systems_tools_name() {
    let (host, problems) = read_host();
    assert!(problems.is_empty(), "{problems:?}");
    let mut compared = 0;
    for (component, package, program) in [
        ("runc", "runc", "runc"),
        ("crun", "crun", "crun"),
        ("podman", "podman", "podman"),
        ("docker", "docker.io", "dockerd"),
    ] {
        let Some(version) = first_line("dpkg-query", &["-W", "-f", "${Version}", package]) else { continue };
        let installed =
            host.components.get(component).and_then(Fact::get).unwrap_or_else(|| panic!("{component}"));
        let found = installed.package.as_ref().unwrap();
        assert_eq!(
            (&*found.name, &*found.version, &*found.distribution),
            (package, version.as_str(), "debian")
        );
        let printed = Command::new(program).arg("--version").output().unwrap();
        let printed = String::from_utf8_lossy(&printed.stdout).into_owned();
        let told = installed.version.as_deref().unwrap();
        assert!(printed.contains(told), "{told} is not in {printed}");
        compared += 1;
    }
    if compared == 0 {
        eprintln!("skipped: no component of Debian's is installed; run scripts/engines");
    }
}

#[test]
fn settings_are_those_that_proc_shows() {
    let (host, _) = read_host();
    let read = |path: &str| std::fs::read_to_string(path).ok().map(|t| t.trim_end().to_owned());
    for (key, path) in [
        ("user.max_user_namespaces", "/proc/sys/user/max_user_namespaces"),
        ("kernel.dmesg_restrict", "/proc/sys/kernel/dmesg_restrict"),
        ("kernel.core_pattern", "/proc/sys/kernel/core_pattern"),
    ] {
        let value = host.sysctls.get(key).and_then(|f| f.value.clone());
        assert_eq!(value.as_deref().map(str::trim_end), read(path).as_deref(), "{key}");
    }
    assert_eq!(host.name.as_deref(), read("/proc/sys/kernel/hostname").as_deref());
    assert_eq!(host.kernel.get().unwrap().version, host.kernel_release.value);
    if let Some(list) = read("/sys/kernel/security/lsm") {
        assert_eq!(host.lsms.get().unwrap().join(","), list);
    }
}

/// A process named like dockerd that listens on a port of the loopback; ended with the test.
struct Listener(Child);

impl Drop for Listener {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_daemon_that_listens_on_the_loopback_is_seen_with_its_address() {
    if !is_root() {
        eprintln!("skipped: the sockets of other processes are root's to see");
        return;
    }
    // perl names its process by $0, in /proc too.
    let script = r#"use Socket; socket(S, PF_INET, SOCK_STREAM, 0); bind(S, sockaddr_in(0, INADDR_LOOPBACK)); listen(S, 1);
        $0 = "dockerd"; $| = 1; print((sockaddr_in(getsockname(S)))[0], "\n"); sleep 60"#;
    let child = Command::new("perl").args(["-e", script]).stdout(Stdio::piped()).spawn();
    let Ok(child) = child else {
        eprintln!("skipped: no perl here");
        return;
    };
    let mut listener = Listener(child);
    let mut port = String::new();
    std::io::BufReader::new(listener.0.stdout.take().unwrap()).read_line(&mut port).unwrap();
    let (host, _) = read_host();
    let address = format!("127.0.0.1:{}", port.trim());
    let seen = |host: &Host| host.listeners.get().unwrap().iter().find(|l| *l.address == *address).cloned();
    let found = seen(&host).unwrap_or_else(|| panic!("{address}: {:?}", host.listeners));
    assert_eq!((&*found.daemon, found.local_only, found.authenticated), ("docker", true, None));
    drop(listener);
    assert_eq!(seen(&read_host().0), None);
}

#[test]
fn facts_written_are_facts_read() {
    let measurement = probe::measure(&probe::Options::default());
    let facts = HostFacts::read(&measurement).expect("the tests run on a host");
    let text = serde_json::to_string(&facts).unwrap();
    assert_eq!(serde_json::from_str::<HostFacts>(&text).unwrap(), facts);
    // A newer version's file.
    assert_eq!(serde_json::from_str::<HostFacts>(r#"{"unheard-of": 1}"#).unwrap(), HostFacts::default());
}

//! Ordinary programs in a sound container: nothing that the detectors see of them is graver than info.

use std::process::{Command, Stdio};
use std::time::Duration;

use sensor::event::Event;
use sensor::{Options, Sensor};
use watch::alert::{Exposure, Severity};
use watch::attempts::Detectors;
use watch::surroundings::Surroundings;

/// Shells, ps, package managers, interpreters and network tools of this machine, with its /usr bound read-only.
const WORK: &str = "
    PATH=/usr/sbin:/usr/bin:/bin; export PATH
    ps aux; ls -laR /proc/self /etc /dev >/dev/null; df; mount; id; uname -a; hostname; cat /proc/meminfo /proc/1/environ
    bash -c 'echo a | tee /tmp/a; for i in 1 2 3; do cat /tmp/a; done; kill -0 $$; ulimit -a; exec true'
    perl -e 'print qx(id)'; python3 -c 'import json, socket, ssl, subprocess, os; socket.getaddrinfo(\"localhost\", 80)'
    dpkg --version; apt-get --version; apt-cache policy; openssl version; git --version; tar cf /tmp/b.tar /etc; gzip /tmp/b.tar
    adduser -D somebody; touch /var/x; chmod 4755 /tmp/a; chown 1:1 /tmp/a; ln -s /etc/hosts /tmp/l; ln /tmp/a /tmp/h
    ping -c 1 -W 1 127.0.0.1; ip addr; ip route; getent hosts localhost; dmesg; sysctl -a; nproc; free; top -bn1; vmstat
    su nobody -s /bin/sh -c id; setpriv --reuid 1000 id; nice true; timeout 1 sleep 0.1; mkfifo /tmp/f; sync
    cat /sys/fs/cgroup/memory.max /proc/self/cgroup /proc/self/mountinfo /sys/kernel/mm/transparent_hugepage/enabled
    echo 1 > /proc/self/oom_score_adj; date; find / -xdev -name nothing
";

#[test]
fn what_ordinary_programs_do_in_a_sound_container_is_info_at_most() {
    let docker = |arguments: &[&str]| {
        let mut command = Command::new("docker");
        command.args(["-H", "unix:///run/docker.sock"]).args(arguments);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command
    };
    if !docker(&["image", "inspect", "stockade-test-busybox"]).status().is_ok_and(|s| s.success()) {
        eprintln!("skipped: no Docker daemon with the image stockade-test-busybox");
        return;
    }
    let mut surroundings = Surroundings::read();
    let mut detectors = Detectors::new();
    let bulk = detectors.wants().to_vec();
    let mut sensor = match Sensor::start(Options { bulk, environment: true, ..Options::default() }) {
        Ok(sensor) => sensor,
        Err(error) if !rustix::process::geteuid().is_root() => {
            eprintln!("skipped: the sensor needs root: {error}");
            return;
        }
        Err(error) => panic!("the sensor does not start: {error}"),
    };
    let mut work =
        docker(&["run", "--rm", "-v", "/usr:/usr:ro", "-v", "/lib64:/lib64:ro", "-v", "/lib:/lib:ro"]);
    let mut child = work.args(["stockade-test-busybox", "/bin/sh", "-c", WORK]).spawn().expect("docker runs");
    let mut events = 0;
    let mut seen = Vec::new();
    let mut grave = Vec::new();
    let mut take = |event: Event| {
        surroundings.see(&event);
        events += 1;
        for attempt in detectors.see(&event, &surroundings) {
            let barriers = vec!["mount namespace".to_owned()];
            let joined = attempt.join(|_| Exposure::Held { barriers: barriers.clone(), depth: 1 });
            let line = format!("{:?} {}: {}", joined.severity, attempt.detector.id, attempt.summary());
            if joined.severity > Severity::Info {
                grave.push(line.clone());
            }
            seen.push(line);
        }
    };
    let mut after = 0;
    while after < 10 {
        sensor.poll(Duration::from_millis(50), &mut take).expect("the sensor is polled");
        if child.try_wait().expect("docker is waited for").is_some() {
            after += 1;
        }
    }
    child.wait().expect("docker is waited for");
    assert!(events > 1000, "{events} events");
    assert!(grave.is_empty(), "of {} attempts:\n{}", seen.len(), grave.join("\n"));
    // And little is said at all.
    assert!(seen.len() < 40, "{} attempts:\n{}", seen.len(), seen.join("\n"));
}

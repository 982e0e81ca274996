//! The sensor on this machine's kernel: containers are made with unshare(1), acts are harmless, and what the kernel
//! says of itself is what they are compared with. Skipped, with the reason, where BPF is not permitted.

use std::process::{Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use sensor::event::{Address, Entry, Event, Lane, Source, What};
use sensor::{Error, Kind, Options, Sensor, Stats, Variant};

/// Two sensors at once would each see the other's calls of bpf(2).
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

fn alone() -> MutexGuard<'static, ()> {
    ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The running sensor, or None where it may not run here.
fn start(options: Options) -> Option<Sensor> {
    match Sensor::start(options) {
        Ok(sensor) => Some(sensor),
        Err(error @ (Error::NotPermitted(_) | Error::NoBtf(_) | Error::Machine)) => {
            eprintln!("skipped: {error}");
            None
        }
        Err(error) => panic!("{error}"),
    }
}

/// A shell in mount and pid namespaces of its own: a container, as the sensor has it.
fn container(script: &str) -> Command {
    let mut command = Command::new("unshare");
    command
        .args(["-m", "-p", "--fork", "--mount-proc", "sh", "-c", script])
        .stderr(Stdio::null())
        .stdout(Stdio::null());
    command
}

/// Events that come while `act` runs, and the accounts at the end.
fn events_of(options: Options, act: impl FnOnce() + Send) -> Option<(Vec<Event>, Stats)> {
    let _alone = alone();
    let mut sensor = start(options)?;
    let mut events = Vec::new();
    let mut keep = |event| events.push(event);
    std::thread::scope(|scope| {
        let acting = scope.spawn(act);
        while !acting.is_finished() {
            sensor.poll(Duration::from_millis(20), &mut keep).expect("the rings can be read");
        }
    });
    let until = Instant::now() + Duration::from_millis(300);
    while Instant::now() < until {
        sensor.poll(Duration::from_millis(50), &mut keep).expect("the rings can be read");
    }
    let stats = sensor.stop(&mut keep);
    assert_eq!(stats.broken, 0, "every record can be read");
    Some((events, stats))
}

fn events_in(script: &str, options: Options) -> Option<Vec<Event>> {
    let found = events_of(options, || {
        container(script).status().expect("unshare is there");
    })?;
    assert_eq!(found.1.lost_events(), 0);
    // Other tests and tools on the machine may make containers too: those of this shell are told by their marker.
    let key = found.0.iter().find_map(|event| match &event.what {
        What::Execve { arguments, .. } if arguments.iter().any(|text| text == script) => {
            event.actor.container
        }
        _ => None,
    });
    assert!(key.is_some(), "the container's first exec is told");
    Some(found.0.into_iter().filter(|event| event.actor.container == key).collect())
}

fn bulk(kinds: &[Kind]) -> Options {
    Options { bulk: kinds.to_vec(), ..Options::default() }
}

#[test]
fn a_container_begins_with_its_first_exec_and_ends_with_its_last_process() {
    let Some(events) = events_in("true; /bin/true", Options::default()) else { return };
    assert!(matches!(events[0].what, What::ContainerStarted { .. }), "{:?}", events[0].what);
    assert!(matches!(events.last().unwrap().what, What::ContainerEnded { .. }));
    let executed: Vec<_> = events
        .iter()
        .filter_map(|event| match &event.what {
            What::Execve { file, asked, .. } => Some((file.path.clone(), asked.clone(), event.actor.clone())),
            _ => None,
        })
        .collect();
    assert_eq!(executed.len(), 2);
    let (file, asked, actor) = &executed[1];
    assert!(file.text.ends_with("/true") && file.source == Source::Kernel, "{file:?}");
    assert_eq!(asked.text, "/bin/true");
    assert_eq!(actor.process_inside, 2);
    assert_ne!(actor.task.process, 2);
    assert_eq!(actor.credentials.uid, 0);
    assert!(events.iter().any(|event| matches!(&event.what, What::Fork { child_inside: 2, .. })));
    assert!(events.iter().any(|event| matches!(&event.what, What::Exit { status: 0, signal: 0 })));
    assert!(events.iter().all(|event| event.lane == Lane::Rare));
}

#[test]
fn a_process_that_enters_a_container_is_told_as_entered_and_one_that_leaves_stays_its_member() {
    let found = events_of(Options::default(), || {
        let mut inside = container("sleep 1.5 # entered").spawn().expect("unshare is there");
        std::thread::sleep(Duration::from_millis(500));
        let children = format!("/proc/{0}/task/{0}/children", inside.id());
        let child = std::fs::read_to_string(children).unwrap_or_default().trim().to_owned();
        Command::new("nsenter").args(["-t", &child, "-m", "-p", "true"]).status().expect("nsenter is there");
        // From inside back into the host's mount namespace: still the container's process.
        let leave = "mount -t proc proc /proc; true";
        Command::new("nsenter")
            .args(["-t", &child, "-m", "sh", "-c", leave])
            .status()
            .expect("nsenter is there");
        inside.wait().expect("it ends");
    });
    let Some((events, _)) = found else { return };
    let entered: Vec<_> = events
        .iter()
        .filter(|event| matches!(&event.what, What::Execve { entered: true, .. }))
        .filter_map(|event| event.actor.container)
        .collect();
    let own = events.iter().find_map(|event| match &event.what {
        What::Execve { arguments, .. } if arguments.iter().any(|text| text.contains("# entered")) => {
            event.actor.container
        }
        _ => None,
    });
    assert!(own.is_some() && entered.iter().any(|key| Some(*key) == own), "{entered:?}");
}

#[test]
fn mounts_of_both_kinds_are_told_with_what_was_asked_and_what_came_of_it() {
    let script = "mount -t tmpfs -o size=64k marked /mnt && mount -o remount,ro /mnt; umount /mnt; mount -t tmpfs a /there/is/nothing";
    let Some(events) = events_in(script, Options::default()) else { return };
    let mounts: Vec<_> = events
        .iter()
        .filter_map(|event| match &event.what {
            What::Mount { source, target, file_system, data, .. } => Some((
                source.text.as_str(),
                target.text.as_str(),
                file_system.text.as_str(),
                data.text.as_str(),
                event.result,
            )),
            _ => None,
        })
        .collect();
    assert!(mounts.contains(&("marked", "/mnt", "tmpfs", "size=64k", 0)), "{mounts:?}");
    assert!(mounts.iter().any(|mount| mount.1 == "/there/is/nothing" && mount.4 == -2), "{mounts:?}");
    assert!(
        events
            .iter()
            .any(|event| matches!(&event.what, What::Umount { target, .. } if target.text == "/mnt"))
    );
}

#[test]
fn an_open_of_a_kernel_interface_or_a_device_is_rare_by_any_name_and_a_plain_one_is_told_only_on_request() {
    let script = "ln -s /proc/self/environ /tmp/sensor-link-$$; cat /tmp/sensor-link-$$; rm /tmp/sensor-link-$$; \
                  cd /proc/sys/kernel; exec 3<>core_pattern; exec 4</dev/kmsg; cat /etc/hostname; cat /dev/zero | head -c 1";
    let paths = |events: &[Event]| -> Vec<(String, Lane)> {
        events
            .iter()
            .filter_map(|event| match &event.what {
                What::Open { file, .. } => Some((file.path.text.clone(), event.lane)),
                _ => None,
            })
            .collect()
    };
    let Some(events) = events_in(script, Options::default()) else { return };
    let rare = paths(&events);
    assert!(
        rare.iter().any(|(path, _)| path.starts_with("/proc/") && path.ends_with("/environ")),
        "{rare:?}"
    );
    assert!(rare.iter().any(|(path, _)| path == "/proc/sys/kernel/core_pattern"), "{rare:?}");
    assert!(rare.iter().any(|(path, _)| path == "/dev/kmsg"), "{rare:?}");
    assert!(
        rare.iter().all(|(path, lane)| *lane == Lane::Rare && path != "/etc/hostname" && path != "/dev/zero")
    );

    let Some(events) = events_in(&format!("{script} # again"), bulk(&[Kind::Open])) else { return };
    let all = paths(&events);
    assert!(all.contains(&("/etc/hostname".to_owned(), Lane::Bulk)), "{all:?}");
    assert!(all.contains(&("/proc/sys/kernel/core_pattern".to_owned(), Lane::Rare)), "{all:?}");
}

#[test]
fn a_file_reached_through_another_mount_namespace_is_rare_whatever_it_is() {
    // Process 1 of the shell's own namespace is the shell; a sleeper outside is reached by a second proc mount.
    let found = events_of(Options::default(), || {
        let mut outside = Command::new("sleep").arg("2").spawn().expect("sleep is there");
        let script = format!("cat /proc/{}/root/etc/hostname # foreign", outside.id());
        // Without a pid namespace of its own, so that the host's processes are in its /proc.
        Command::new("unshare")
            .args(["-m", "-U", "-r", "sh", "-c", &script])
            .stdout(Stdio::null())
            .status()
            .expect("unshare is there");
        Command::new("unshare").args(["-m", "--ipc", "sh", "-c", "true"]).status().expect("unshare is there");
        let _ = outside.kill();
        let _ = outside.wait();
    });
    let Some((events, _)) = found else { return };
    let opened = events.iter().find_map(|event| match &event.what {
        What::Open { file, asked, .. } if asked.text.ends_with("/root/etc/hostname") => {
            Some((event.actor.namespaces.mount, file.clone(), event.lane))
        }
        _ => None,
    });
    // With a user namespace the kernel may refuse the way through /proc; then the refusal itself is told.
    let (mount, file, lane) = opened.expect("the open, or its refusal, is told");
    assert_eq!(lane, Lane::Rare);
    if file.id.inode != 0 {
        assert_ne!(file.mount_namespace, mount);
        assert_eq!(file.path.text, "/etc/hostname");
    }
}

#[test]
fn namespaces_and_credentials_are_told_with_what_they_were_before() {
    let script = "unshare -n true; unshare -U true; setpriv --reuid 1000 --clear-groups true; chroot / true";
    let Some(events) = events_in(script, Options::default()) else { return };
    let has = |test: &dyn Fn(&What) -> bool| events.iter().any(|event| test(&event.what));
    assert!(has(&|what| matches!(what, What::Unshare { flags: 0x4000_0000, .. })));
    assert!(has(&|what| matches!(what, What::Unshare { flags: 0x1000_0000, .. })));
    assert!(has(&|what| matches!(what, What::Setuid { call, ids } if call == "setresuid" && ids[0] == 1000)));
    assert!(has(&|what| matches!(what, What::Chroot { path, .. } if path.text == "/")));
    assert!(!has(&|what| matches!(what, What::UnexplainedGain { .. })));
    let lowered = events.iter().find(|event| {
        matches!(&event.what, What::Execve { before, .. } if before.uid == 1000)
            && event.actor.credentials.uid == 1000
    });
    assert!(lowered.is_some(), "the exec after setpriv knows the credentials before it");
}

#[test]
fn ten_thousand_changes_of_credentials_by_calls_are_no_unexplained_gain() {
    // Perl makes the calls itself: lowered, then raised again by the saved identity, and namespaces unshared.
    let script =
        "perl -e 'for (1..5000) { $> = 1000; $> = 0; } for (1..200) { system(\"setpriv --reuid 5 true\") }'";
    let Some(events) = events_in(script, Options { budget: 100_000, ..Options::default() }) else { return };
    let changes: u32 = events
        .iter()
        .filter(|event| matches!(event.what, What::Setuid { .. }))
        .map(|event| event.count)
        .sum();
    assert!(changes >= 10_000, "{changes}");
    assert!(!events.iter().any(|event| matches!(event.what, What::UnexplainedGain { .. })));
}

#[test]
fn privileges_that_no_call_explains_are_an_event_of_their_own() {
    let _alone = alone();
    let Some(mut sensor) = start(Options::default()) else { return };
    let mut inside = container("sleep 0.8; chroot / true; true # gain").spawn().expect("unshare is there");
    std::thread::sleep(Duration::from_millis(400));
    let children = format!("/proc/{0}/task/{0}/children", inside.id());
    let child: u32 =
        std::fs::read_to_string(children).unwrap_or_default().trim().parse().expect("it has a child");
    assert!(sensor.forget_privileges(child).expect("the map can be written"), "the shell is a member");
    inside.wait().expect("it ends");
    let mut events = Vec::new();
    while sensor
        .poll(Duration::from_millis(200), &mut |event| events.push(event))
        .expect("the rings can be read")
        > 0
    {}
    sensor.stop(&mut |event| events.push(event));
    let gains: Vec<_> =
        events.iter().filter(|event| matches!(event.what, What::UnexplainedGain { .. })).collect();
    assert_eq!(gains.len(), 1, "told once: {gains:?}");
    let What::UnexplainedGain { before, after, .. } = &gains[0].what else { unreachable!() };
    assert_ne!(before.uid, 0);
    assert_eq!(before.effective, 0);
    assert_eq!(after.uid, 0);
    assert_eq!(gains[0].entry, Entry::Kernel);
}

#[test]
fn repeats_are_counted_and_told_and_nothing_is_missing() {
    let script = "perl -e 'for (1..20000) { open(F, \"<\", \"/etc/hostname\"); close(F) }'";
    let Some(events) = events_in(script, bulk(&[Kind::Open])) else { return };
    let opens: Vec<_> = events
        .iter()
        .filter(|event| matches!(&event.what, What::Open { file, .. } if file.path.text == "/etc/hostname"))
        .collect();
    let told: u64 = opens.iter().map(|event| u64::from(event.count)).sum();
    assert_eq!(told, 20_000);
    assert!(opens.len() < 200, "folded into {} events", opens.len());
}

#[test]
fn what_finds_no_room_is_counted_exactly_and_told_as_blindness() {
    let _alone = alone();
    let options = Options { bulk_buffer: 65_536, fold: Duration::ZERO, ..bulk(&[Kind::Open]) };
    let Some(mut sensor) = start(options) else { return };
    // Nobody reads while this runs.
    container("perl -e 'for (1..20000) { open(F, \"<\", \"/etc/hostname\"); close(F) }'")
        .status()
        .expect("unshare is there");
    let mut events = Vec::new();
    let mut keep = |event| events.push(event);
    while sensor.poll(Duration::from_millis(300), &mut keep).expect("the rings can be read") > 0 {}
    let stats = sensor.stop(&mut keep);
    let opens = |event: &&Event| matches!(&event.what, What::Open { .. });
    let told: u64 = events.iter().filter(opens).map(|event| u64::from(event.count)).sum();
    // There may be other containers on the machine.
    let container = events.iter().filter(|event| event.actor.name == "perl").find_map(|e| e.actor.container);
    let mut lost = 0;
    for event in &events {
        if let What::Blind { from, until, lane, kind, container: whose, lost: count } = &event.what {
            assert_eq!((*lane, kind.as_str()), (Lane::Bulk, "open"));
            assert!(from <= until && *whose == container);
            lost += count;
        }
    }
    assert!(lost > 10_000, "{lost}");
    assert_eq!(lost, stats.lost_events());
    let sent: u64 =
        stats.sent.iter().filter(|row| row.1 == "open" && row.0 == Lane::Bulk).map(|row| row.2).sum();
    let bulk_told = events.iter().filter(|event| opens(event) && event.lane == Lane::Bulk).count() as u64;
    assert_eq!(sent, bulk_told);
    assert!(told + lost >= 20_000);
    // The rare lane was not touched by it.
    assert!(events.iter().any(|event| matches!(event.what, What::ContainerEnded { .. })));
}

#[test]
fn a_container_over_its_budget_goes_to_the_bulk_lane_and_leaves_the_others_the_rare_one() {
    let found = events_of(Options { budget: 50, ..Options::default() }, || {
        let mut flood = container("i=0; while [ $i -lt 300 ]; do /bin/true; i=$((i+1)); done # flood")
            .spawn()
            .expect("unshare");
        container("chroot / true; chroot / true # quiet").status().expect("unshare is there");
        flood.wait().expect("it ends");
    });
    let Some((events, stats)) = found else { return };
    assert_eq!(stats.lost_events(), 0);
    let of = |marker: &str| {
        let key = events.iter().find_map(|event| match &event.what {
            What::Execve { arguments, .. } if arguments.iter().any(|text| text.ends_with(marker)) => {
                event.actor.container
            }
            _ => None,
        });
        events.iter().filter(move |event| event.actor.container == key)
    };
    let executed = of("# flood").filter(|event| matches!(event.what, What::Execve { .. })).count();
    assert!(executed >= 300, "{executed}");
    assert!(of("# flood").any(|event| event.lane == Lane::Bulk));
    assert!(of("# quiet").all(|event| event.lane == Lane::Rare));
}

#[test]
fn sockets_are_told_from_the_kernels_own() {
    let script = "perl -MSocket -e 'socket(A, 38, 5, 0); socket(B, 17, 3, 0); socket(S, AF_UNIX, SOCK_STREAM, 0); \
                  bind(S, sockaddr_un(\"/tmp/sensor-test-socket\")); listen(S, 1); socket(C, AF_UNIX, SOCK_STREAM, 0); \
                  connect(C, sockaddr_un(\"/tmp/../tmp/sensor-test-socket\")); unlink \"/tmp/sensor-test-socket\"; \
                  socket(D, AF_INET, SOCK_DGRAM, 0); connect(D, sockaddr_in(80, inet_aton(\"169.254.169.254\")))'";
    let Some(events) = events_in(script, Options::default()) else { return };
    let has = |test: &dyn Fn(&Event) -> bool| events.iter().any(test);
    assert!(has(&|event| matches!(event.what, What::Socket { family: 38, .. })));
    assert!(has(&|event| matches!(event.what, What::Socket { family: 17, .. })));
    assert!(!has(&|event| matches!(event.what, What::Socket { family: 1 | 2, .. })));
    assert!(has(
        &|event| matches!(&event.what, What::Connect { address: Address::Unix { .. }, peer: Some(_), bound: Some(bound), peer_file, .. }
        if bound.text == "/tmp/sensor-test-socket" && bound.source == Source::Kernel && peer_file.inode != 0)
    ));
    assert!(has(
        &|event| matches!(&event.what, What::Connect { address: Address::Internet { address, port: 80 }, .. }
        if address.to_string() == "169.254.169.254")
    ));
}

#[test]
fn a_32_bit_call_is_seen_as_one() {
    let directory = std::env::temp_dir().join(format!("sensor-compat-{}", std::process::id()));
    std::fs::create_dir_all(&directory).expect("a directory");
    let source = directory.join("compat.c");
    let program = directory.join("compat");
    // The kernel's 32-bit table is entered by int 0x80 from 64-bit code too.
    std::fs::write(
        &source,
        "void _start(void) { __asm__(\"xor %ebx,%ebx; xor %ecx,%ecx; xor %edx,%edx; xor %esi,%esi; xor %edi,%edi;\"\
         \"mov $21,%eax; int $0x80; mov $60,%eax; xor %edi,%edi; syscall\"); }",
    )
    .expect("the source is written");
    let built = Command::new("cc").args(["-nostdlib", "-static", "-o"]).arg(&program).arg(&source).status();
    if !built.is_ok_and(|status| status.success()) {
        eprintln!("skipped: no C compiler");
        return;
    }
    let events = events_in(&format!("{}; true", program.display()), Options::default());
    let _ = std::fs::remove_dir_all(&directory);
    let Some(events) = events else { return };
    let mount = events.iter().find(|event| matches!(event.what, What::Mount { .. }));
    if mount.is_none() && !std::path::Path::new("/proc/sys/abi/ldt16").exists() {
        eprintln!("skipped: this kernel has no 32-bit calls");
        return;
    }
    let mount = mount.expect("the 32-bit mount is told");
    assert_eq!(mount.entry, Entry::Compat(21));
    assert!(mount.result < 0);
}

#[test]
fn what_runs_before_the_sensor_is_told_as_from_before_and_its_exit_ends_the_container() {
    let _alone = alone();
    // It ends when its input does.
    let mut inside =
        container("read line; true # before").stdin(Stdio::piped()).spawn().expect("unshare is there");
    std::thread::sleep(Duration::from_millis(300));
    let sensor = start(Options::default());
    drop(inside.stdin.take());
    inside.wait().expect("it ends");
    let Some(mut sensor) = sensor else { return };
    let mut events = Vec::new();
    while sensor
        .poll(Duration::from_millis(200), &mut |event| events.push(event))
        .expect("the rings can be read")
        > 0
    {}
    let shell = events.iter().find(|event| {
        matches!(&event.what, What::Execve { arguments, .. } if arguments.iter().any(|text| text.ends_with("# before")))
    });
    let shell = shell.expect("the shell is told");
    assert_eq!(shell.entry, Entry::Before);
    let key = shell.actor.container;
    assert!(key.is_some());
    let of_container: Vec<_> = events.iter().filter(|event| event.actor.container == key).collect();
    assert!(of_container.iter().any(|event| matches!(event.what, What::ContainerStarted { .. })));
    assert!(of_container.iter().any(|event| matches!(event.what, What::ContainerEnded { .. })));
}

#[test]
fn a_signal_or_ptrace_at_the_sensor_is_tampering() {
    let own = std::process::id();
    let found = events_of(Options::default(), || {
        // Window-changed: ignored by whoever does not ask for it.
        Command::new("kill").args(["-WINCH", &own.to_string()]).status().expect("kill is there");
    });
    let Some((events, _)) = found else { return };
    let told =
        events.iter().find(|event| matches!(&event.what, What::Tampering { how, .. } if how == "signal 28"));
    assert_eq!(told.map(|event| event.actor.name.as_str()), Some("kill"));
}

#[test]
fn every_variant_of_the_programs_tells_the_same() {
    for variant in [Variant::Cast, Variant::Direct, Variant::Plain] {
        let options = Options { variant: Some(variant), ..bulk(&[Kind::Open]) };
        let _guard;
        {
            _guard = alone();
        }
        let sensor = Sensor::start(options.clone());
        match sensor {
            Err(Error::Refused(reason)) if variant == Variant::Cast => {
                eprintln!("skipped: {variant:?}: {reason}");
                continue;
            }
            Err(error @ (Error::NotPermitted(_) | Error::NoBtf(_))) => {
                eprintln!("skipped: {error}");
                return;
            }
            other => drop(other.expect("the programs load")),
        }
        drop(_guard);
        let script = format!("cd /etc; cat hostname; mount -t tmpfs a /mnt; chroot / true # {variant:?}");
        let Some(events) = events_in(&script, options) else { return };
        let names: Vec<String> = events.iter().map(|event| event.what.name()).collect();
        for name in
            ["container-started", "execve", "fork", "mount", "chroot", "open", "exit", "container-ended"]
        {
            assert!(names.iter().any(|found| found == name), "{variant:?}: {name} is missing in {names:?}");
        }
        let open = events.iter().find_map(|event| match &event.what {
            What::Open { file, asked, .. } if asked.text == "hostname" => Some(file.clone()),
            _ => None,
        });
        let open = open.expect("the open is told");
        assert_eq!(open.path.text, "/etc/hostname", "{variant:?}");
        assert!(open.id.inode > 0 && open.mode & 0o170_000 == 0o100_000);
        let executed = events.iter().find_map(|event| match &event.what {
            What::Execve { file, directory, .. } if file.path.text.ends_with("/cat") => {
                Some(directory.text.clone())
            }
            _ => None,
        });
        assert_eq!(executed.as_deref(), Some("/etc"), "{variant:?}");
    }
}

//! Compose projects whose verdict hangs on how settings combine.

use super::expect;

const SOCKET: &str = "engine-api";

#[test]
fn a_namespace_joined_from_a_service_that_has_the_hosts_is_the_hosts() {
    let project = "services:\n  a: {image: x, pid: 'service:b', cap_add: [SYS_PTRACE], security_opt: [apparmor=unconfined, label=disable]}\n  b: {image: x, pid: 'container:third'}\n  c: {image: x, container_name: third, pid: PID}\n";
    let files = |pid| project.replace("PID", pid);
    expect(&[("compose.yaml", &files("host"))], "a", "open", "ptrace-host-process");
    expect(&[("compose.yaml", &files("private"))], "a", "held", "");
}

#[test]
fn volumes_taken_from_a_service_are_those_it_takes_from_others_too() {
    let project = "services:\n  a: {image: x, volumes_from: [b]}\n  b: {image: x, volumes_from: ['c:ro']}\n  c: {image: x, volumes: ['/run/docker.sock:/s']}\n";
    expect(&[("compose.yaml", project)], "a", "open", SOCKET);
    let ring = "services:\n  a: {image: x, volumes_from: [b]}\n  b: {image: x, volumes_from: [a]}\n";
    expect(&[("compose.yaml", ring)], "a", "held", "");
}

#[test]
fn a_secret_or_configuration_that_is_a_file_of_the_host_is_a_mount_of_it() {
    for key in ["secrets", "configs"] {
        let short = format!(
            "services:\n  a: {{image: x, {key}: [s]}}\n{key}: {{s: {{file: /var/run/docker.sock}}}}\n"
        );
        expect(&[("compose.yaml", &short)], "a", "open", SOCKET);
        let long = format!(
            "services:\n  a: {{image: x, {key}: [{{source: s, target: /t}}]}}\n{key}: {{s: {{file: ./own}}}}\n"
        );
        expect(&[("compose.yaml", &long)], "a", "held", "");
    }
}

#[test]
fn variables_of_an_extended_file_are_the_projects() {
    let files = [
        ("compose.yaml", "services:\n  a: {extends: {file: sub/base.yaml, service: b}}\n"),
        ("sub/base.yaml", "services:\n  b: {image: x, volumes: ['${SOCKET}:/s']}\n"),
        ("sub/.env", "SOCKET=/data\n"),
        (".env", "SOCKET=/run/docker.sock\n"),
    ];
    expect(&files, "a", "open", SOCKET);
}

#[test]
fn a_volume_declared_again_keeps_what_it_was_bound_to() {
    let files = [
        (
            "compose.yaml",
            "services:\n  a: {image: x, volumes: ['v:/v']}\nvolumes: {v: {driver_opts: {type: none, o: bind, device: /run/docker.sock}}}\n",
        ),
        ("compose.override.yaml", "volumes:\n  v: {labels: {a: b}}\n"),
    ];
    let folder = super::Folder::new("declared-again", &files);
    let output = folder.audit(&["--format", "json", "."]);
    assert_eq!(super::verdicts(&output).0[0].1, "open");
}

#[test]
fn two_included_files_may_include_a_third() {
    let files = [
        ("compose.yaml", "include: [b.yaml, c.yaml]\nservices: {a: {image: x}}\n"),
        ("b.yaml", "include: [d.yaml]\n"),
        ("c.yaml", "include: [d.yaml]\n"),
        ("d.yaml", "services: {d: {image: x, privileged: true}}\n"),
    ];
    let folder = super::Folder::new("diamond", &files);
    let output = folder.audit(&["--format", "json", "compose.yaml"]);
    assert_eq!(super::verdicts(&output).1, 0, "{}", super::text(&output.stderr));
    expect(&files, "d", "open", "");
}

#[test]
fn what_is_written_and_cannot_be_read_is_not_as_if_it_were_absent() {
    for setting in [
        "cap_add: SYS_MODULE",
        "cap_add: [[SYS_MODULE]]",
        "devices: /dev/sda",
        "devices: [{target: /dev/x}]",
        "device_cgroup_rules: x",
        "volumes: {a: b}",
        "volumes_from: x",
    ] {
        let file = format!("services:\n  a:\n    image: x\n    {setting}\n");
        let folder = super::Folder::new("unread", &[("compose.yaml", &file)]);
        let output = folder.audit(&["--format", "json", "compose.yaml"]);
        let (subjects, errors) = super::verdicts(&output);
        assert_eq!((subjects[0].1.as_str(), output.status.code()), ("undetermined", Some(2)), "{setting}");
        assert!(errors > 0 || setting.starts_with("volumes_from"), "{setting}");
    }
}

#[test]
fn compose_reads_the_words_that_yaml_once_had_for_true_and_false() {
    for (word, verdict) in [("yes", "open"), ("On", "open"), ("y", "open"), ("no", "held"), ("OFF", "held")] {
        let file = format!("services:\n  a: {{image: x, privileged: {word}}}\n");
        expect(&[("compose.yaml", &file)], "a", verdict, "");
    }
}

#[test]
fn a_primary_group_that_may_be_the_sockets_leaves_the_verdict_open() {
    let with = |user: &str| {
        format!("services:\n  a: {{image: x, user: '{user}', volumes: ['/run/docker.sock:/s']}}\n")
    };
    for (user, verdict) in
        [("1000:998", "undetermined"), ("1000:docker", "open"), ("1000:1000", "held"), ("1000", "held")]
    {
        expect(&[("compose.yaml", &with(user))], "a", verdict, "");
    }
}

#[test]
fn a_volume_of_a_disk_or_over_other_folders_may_show_anything() {
    for options in [
        "{type: ext4, device: /dev/sda1}",
        "{type: overlay, device: overlay, o: 'lowerdir=/,upperdir=/u,workdir=/w'}",
    ] {
        let file = format!(
            "services:\n  a: {{image: x, volumes: ['v:/v']}}\nvolumes: {{v: {{driver_opts: {options}}}}}\n"
        );
        expect(&[("compose.yaml", &file)], "a", "undetermined", "");
    }
}

#[test]
fn a_socket_below_run_is_nobodys_own_where_no_person_is_named() {
    for (user, mount) in [("1000", "/var/run/"), ("65534", "/"), ("65534", "/run"), ("0", "/tmp")] {
        let file = format!("services:\n  a: {{image: x, user: '{user}', volumes: ['{mount}:/m:ro']}}\n");
        expect(&[("compose.yaml", &file)], "a", "held", "");
    }
}

#[test]
fn a_remedy_of_a_path_through_others_is_told_once() {
    let file = "services:\n  a: {image: x, volumes: ['v:/v']}\n  b: {image: x, privileged: true, volumes: ['v:/v']}\n";
    let folder = super::Folder::new("told-once", &[("compose.yaml", file)]);
    let output = folder.audit(&["--format", "json", "compose.yaml"]);
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let remedies = json["subjects"][0]["paths"][0]["remedies"].as_array().unwrap();
    let read_only = remedies.iter().filter(|r| r["id"] == "read-only-mount").count();
    assert_eq!(read_only, 1, "{remedies:?}");
}

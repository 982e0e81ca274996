use confinement::{HostPath, Subject};

use super::*;

fn script(text: &str) -> World {
    read(text.as_bytes(), &"/srv/tools/start.sh".into(), &Context::assumed())
}

fn names(world: &World) -> Vec<&str> {
    world.subjects.iter().map(|subject| &*subject.name).collect()
}

fn place(subject: &Subject) -> (u32, u32) {
    subject.place.as_ref().map(|place| (place.line, place.column)).unwrap_or_default()
}

const SCRIPT: &str = r#"#!/usr/bin/env bash
# docker run --privileged commented
set -euo pipefail
HERE="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
IMAGE=${IMAGE:-nginx:1.25}

start() {
  local name=web
  docker run -d \
    --name "$name" \
    -v "$HERE/conf:/etc/nginx" \
    "$IMAGE"
}

cat <<TEXT
docker run --name in-here x
TEXT
cat <<-'TEXT' > file
	docker run --name in-another x
	TEXT
if ! docker ps | grep -q db; then
  sudo docker run --name db postgres && echo started
fi
CID=$(docker run --name substituted busybox)
echo "$(docker run --name quoted busybox)" > /dev/null 2>&1
bash -c 'docker run --name nested --privileged busybox'
echo docker run --name echoed x
case "$1" in
  up) docker run --name cased x ;;
  *) exit 1 ;;
esac
( cd /tmp && docker run --name sub -v "$PWD:/t" x ) &
docker run --name last x | tee log # docker run --name comment x
start
"#;

#[test]
fn every_command_line_of_a_script_is_found_and_nothing_that_is_not_run() {
    let world = script(SCRIPT);
    assert_eq!(world.problems, []);
    assert_eq!(names(&world), ["web", "db", "substituted", "quoted", "nested", "cased", "sub", "last"]);
}

#[test]
fn each_subject_stands_at_its_line_and_column() {
    let world = script(SCRIPT);
    let places: Vec<(u32, u32)> = world.subjects.iter().map(place).collect();
    assert_eq!(places, [(9, 3), (22, 8), (24, 7), (25, 9), (26, 10), (29, 7), (32, 14), (33, 1)]);
    assert_eq!(&*world.subjects[0].id, "/srv/tools/start.sh#run/web");
}

#[test]
fn the_scripts_own_folder_and_literal_variables_are_known() {
    let world = script(SCRIPT);
    let confinement = &world.subjects[0].confinement;
    assert_eq!(confinement.image.reference.get().map(|t| &**t), Some("nginx:1.25"));
    let paths: Vec<&HostPath> = confinement.mounts.iter().filter_map(|mount| mount.host_path()).collect();
    assert_eq!(paths, [&HostPath::new("/srv/tools/conf")]);
    let sub = &world.subjects[6].confinement;
    assert_eq!(sub.mounts.iter().find_map(|m| m.host_path()), Some(&HostPath::new("/tmp")));
    assert_eq!(world.subjects[4].confinement.privileged.value, Some(true));
}

#[test]
fn a_script_is_recognised_by_its_first_line_or_its_name() {
    for head in ["#!/bin/sh\n", "#!/usr/bin/env bash\n", "#!/usr/bin/env -S bash -e\n", "#! /bin/dash -e"] {
        assert!(recognise(head.as_bytes(), "start"), "{head}");
    }
    assert!(recognise(b"docker run x", "a/b.sh"));
    assert!(!recognise(b"#!/usr/bin/python3\n", "x") && !recognise(b"#!/usr/bin/python3\n", "x.sh"));
    assert!(!recognise(b"services:\n", "compose.yaml") && !recognise(b"", "sh"));
    assert!(!recognise(b"\x7fELF\0\0", "x.sh") && !recognise(b"#!", "x"));
}

#[test]
fn a_script_that_is_not_text_or_too_large_is_an_error_with_its_line() {
    let world = read(b"#!/bin/sh\n\xff\n", &"x.sh".into(), &Context::assumed());
    assert_eq!(world.problems[0].line, Some(2));
    let world = read(&vec![b' '; LARGEST + 1], &"x.sh".into(), &Context::assumed());
    assert_eq!(world.problems.len(), 1);
    assert!(script("").problems.is_empty() && script("\r\n\r\n").subjects.is_empty());
}

#[test]
fn a_script_with_windows_line_ends_reads_the_same() {
    let unix = "#!/bin/sh\nX=/etc\ndocker run \\\n  -v $X:/b \\\n  nginx\n";
    let (left, right) = (script(unix), script(&unix.replace('\n', "\r\n")));
    assert_eq!(names(&left), names(&right));
    assert_eq!(left.subjects[0].confinement, right.subjects[0].confinement);
}

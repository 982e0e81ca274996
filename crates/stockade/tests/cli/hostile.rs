//! Names and values that were written to deceive whoever reads the report.

use super::{Folder, text};

/// Moves the cursor, colours, sets the window's title, and turns the direction of text.
const EVIL: &str = r"\e[31mEVIL\e]0;t\a\n::error::x\u202e\x9b";

#[test]
fn terminal_controls_of_names_values_and_files_reach_no_terminal() {
    let compose = format!(
        "services:\n  \"{EVIL}\":\n    image: x\n    privileged: true\n    volumes: [\"/etc/{EVIL}\"]\n    cap_add: [\"{EVIL}\"]\n"
    );
    let oci = "{\"ociVersion\": \"1.0.2\", \"process\": {\"args\": [\"\u{9b}31m\u{202e}\"], \"user\": {\"uid\": 0, \"gid\": 0}}, \"root\": {\"path\": \"r\"}, \"mounts\": [{\"destination\": \"/\u{9b}x\", \"source\": \"/etc\", \"options\": [\"rbind\"]}], \"linux\": {}}";
    let folder = Folder::new("controls", &[("compose.yaml", &compose), ("b\u{1b}[31m/config.json", oci)]);
    for arguments in [&["."][..], &["--all", "."], &["no\u{1b}[31m"], &["--assume", "\u{1b}[31m"]] {
        let output = folder.audit(arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        for shown in [text(&output.stdout), text(&output.stderr)] {
            let raw = |c: char| (c.is_control() && c != '\n') || c == '\u{202e}';
            assert!(!shown.contains(raw), "{arguments:?}: {shown:?}");
            assert!(!shown.lines().any(|line| line.starts_with("::")), "{arguments:?}: {shown}");
        }
    }
}

#[test]
fn a_container_that_joins_a_mount_namespace_is_told_to_be_not_judged() {
    let oci = r#"{"ociVersion": "1.0.2", "process": {"args": ["sh"], "user": {"uid": 0, "gid": 0}}, "root": {"path": "r"}, "linux": {"namespaces": [{"type": "mount", "path": "/proc/1/ns/mnt"}]}}"#;
    let folder = Folder::new("joined", &[("config.json", oci)]);
    let output = folder.audit(&["config.json"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("joins a mount namespace"), "{}", text(&output.stderr));
}

#[test]
fn findings_count_when_whoever_reads_has_gone() {
    use std::process::{Command, Stdio};
    let folder = Folder::new("gone", &[("compose.yaml", "services: {a: {image: x, privileged: true}}\n")]);
    let mut child = Command::new(env!("CARGO_BIN_EXE_stockade"))
        .args(["audit", "compose.yaml"])
        .current_dir(&folder.0)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    assert_eq!(child.wait().unwrap().code(), Some(1));
}

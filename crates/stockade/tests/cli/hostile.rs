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

//! A refusal in the form of the runtime's own errors, so that engines show it: one line on standard error, and one in the
//! file that `--log` names, which containerd's shim (go-runc, getLastRuntimeError) and Podman (oci_conmon_linux.go,
//! readConmonPipeData) read back. Podman takes the whole file for one object, so nothing else may stand in it.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::Path;

use jiff::Timestamp;
use serde_json::json;

/// Engines pass these on in places where a page of text is of no use.
const LONGEST: usize = 2000;

/// One line that is safe to print.
pub fn line(message: &str) -> String {
    let mut text: String = message.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    if text.len() > LONGEST {
        let end = (0..=LONGEST).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
        text.truncate(end);
        text.push('…');
    }
    text
}

/// Writes it as logrus does (runc), or crun's own writer, which is alike.
pub fn log(path: &Path, is_json: bool, message: &str, now: Timestamp) -> std::io::Result<()> {
    let message = line(message);
    let time = now.strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    let text = if is_json {
        json!({ "level": "error", "msg": message, "time": time }).to_string()
    } else {
        format!("time=\"{time}\" level=error msg={}", json!(message))
    };
    let mut file = OpenOptions::new().append(true).create(true).open(path)?;
    writeln!(file, "{text}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_one_object_with_the_members_that_engines_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log.json");
        log(&path, true, "denied: \"x\"\nand\u{1b}[31m y", Timestamp::UNIX_EPOCH).unwrap();
        let read: serde_json::Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        assert_eq!(read["level"], "error");
        assert_eq!(read["msg"], "denied: \"x\" and [31m y");
        assert_eq!(read["time"], "1970-01-01T00:00:00Z");
        let path = folder.path().join("log");
        log(&path, false, "denied", Timestamp::UNIX_EPOCH).unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        assert_eq!(text, "time=\"1970-01-01T00:00:00Z\" level=error msg=\"denied\"\n");
    }

    #[test]
    fn a_long_message_is_cut_at_a_character() {
        let cut = line(&"ä".repeat(LONGEST));
        assert!(cut.len() <= LONGEST + '…'.len_utf8() && cut.ends_with('…'));
    }
}

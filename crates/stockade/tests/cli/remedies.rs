//! What a report proposes, taken at its word.

use super::{Folder, audit};

/// The remedies of a `docker run` line's worst path.
fn remedies(line: &str) -> Vec<String> {
    let output = audit(&std::env::temp_dir(), &["--format", "json", "--run", line]);
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let list = json["subjects"][0]["paths"][0]["remedies"].as_array().unwrap();
    list.iter().map(|r| r["summary"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn taking_privileged_back_leaves_what_else_was_asked_for() {
    assert_eq!(remedies("docker run --privileged x")[0], "remove `--privileged`");
    for also in ["--cap-add ALL", "--device /dev/sda", "--device-cgroup-rule 'a *:* rwm'"] {
        let proposed = remedies(&format!("docker run --privileged {also} x"));
        assert!(!proposed.contains(&"remove `--privileged`".to_owned()), "{also}: {proposed:?}");
    }
}

#[test]
fn a_capability_that_came_with_all_is_taken_back_with_all() {
    let proposed = remedies("docker run --cap-add ALL x");
    assert_eq!(proposed[0], "remove `--cap-add ALL`", "{proposed:?}");
    assert!(!proposed.iter().any(|r| r.contains("SYS_")), "{proposed:?}");
    assert_eq!(remedies("docker run --cap-add SYS_MODULE x")[0], "remove `--cap-add SYS_MODULE`");
}

#[test]
fn what_settles_the_verdict_comes_before_what_closes_one_path_of_several() {
    let proposed = remedies("docker run -v /etc:/e x");
    assert_eq!(proposed[0], "remove the mount of /etc");
    assert_eq!(proposed.last().unwrap(), "mount /etc read-only (`:ro`) (leaves other paths)");
    assert_eq!(remedies("docker run -v /opt/cni/bin:/b x")[0], "mount /opt/cni/bin read-only (`:ro`)");
}

#[test]
fn a_quadlet_unit_is_not_told_of_flags() {
    let unit = "[Container]\nImage=x\nSecurityLabelDisable=true\nVolume=/run/podman/podman.sock:/s\n";
    let folder = Folder::new("quadlet", &[("a.container", unit)]);
    let report = super::text(&folder.audit(&["a.container"]).stdout);
    assert!(report.contains("fix:") && !report.contains("`--"), "{report}");
}

#[test]
fn a_mount_labelled_for_containers_is_open_with_selinux_and_without() {
    let verdict = |line: &str| {
        let output = audit(&std::env::temp_dir(), &["--format", "json", "--run", line]);
        super::verdicts(&output).0[0].1.clone()
    };
    assert_eq!(verdict("podman run -v /etc:/e:z x"), "open");
    assert_eq!(verdict("podman run -v /etc:/e x"), "undetermined");
}

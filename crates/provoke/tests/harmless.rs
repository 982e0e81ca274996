//! All attempts, in namespaces of their own: what can be looked at is the same afterwards.

use std::process::{Command, Stdio};

/// What the attempts aim at, as far as it can be read: mounts, settings of the kernel, accounts, names, modules, swap,
/// interfaces, and what is left in folders.
const STATE: &str = "
    # Mounts of engines go from every namespace when their container ends.
    grep -v -e /containers/ -e /docker -e netns -e provoked /proc/self/mountinfo
    cat /proc/swaps /proc/modules /proc/net/route 2>/dev/null
    for file in /proc/sys/kernel/* /proc/sys/vm/* /proc/sys/fs/binfmt_misc/*; do
        case $file in
        # Counters that change by themselves, and the lists of processes.
        */ns_last_pid|*/random|*/*_remaining|*/stat_refresh|*/compact_memory|*/drop_caches) continue ;;
        esac
        [ ! -f $file ] || echo $file $(cat $file 2>/dev/null)
    done
    hostname
    cksum /etc/passwd /etc/group /etc/shadow /etc/crontab 2>/dev/null
    ls -A /etc /root /mnt /dev/shm | grep -e provoke -e nginx -e release_agent
    true
";

#[test]
fn nothing_that_can_be_read_changes_and_nothing_is_left() {
    if !std::fs::read_to_string("/proc/self/status").unwrap().contains("Uid:\t0\t0\t0\t0") {
        eprintln!("skipped: needs root, for namespaces");
        return;
    }
    let provoke = env!("CARGO_BIN_EXE_provoke");
    for way in ["plain", "renamed", "symlink", "compat"] {
        let script = format!(
            "set -u
             state() {{ {STATE} }}
             state >/before.provoked
             TMPDIR=/mnt {provoke} --by {way} all >/made.provoked || exit 1
             state >/after.provoked
             diff /before.provoked /after.provoked && wc -l </made.provoked"
        );
        // The three files stand in a tmpfs over a folder of its own.
        let script =
            script.replace("/before.provoked", "/mnt/before").replace("/after.provoked", "/mnt/after");
        let script = script.replace("/made.provoked", "/mnt/made");
        let output = Command::new("unshare")
            .args([
                "--mount",
                "--propagation",
                "private",
                "--pid",
                "--fork",
                "--mount-proc",
                "--net",
                "--ipc",
                "--uts",
            ])
            .args(["sh", "-c", &format!("mount -t tmpfs tmpfs /mnt && {script}")])
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let (told, complaints) =
            (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "{way}: {}\n{told}{complaints}", output.status);
        let made: usize = told.trim().parse().unwrap_or(0);
        assert!(made > 50, "{way}: {made} calls were made\n{told}{complaints}");
    }
}

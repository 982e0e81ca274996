//! Files that hold secrets, or that a host or an engine executes or obeys.

use libc::*;

use super::{
    Argument, Attempt, HERE, NONE, NOT_WRITTEN, NULL, READ_AND_CLOSED, ZERO, call, own, read, write,
};
use crate::perform::steps;

const NO_SUCH_FOLDER: &str = "the path is looked up first, and its folder does not exist";

pub(super) static ROWS: &[Attempt] = &[
    Attempt {
        name: "shadow",
        techniques: &["read-system-files"],
        harmless: READ_AND_CLOSED,
        steps: &[read("/etc/shadow")],
    },
    Attempt {
        name: "shadow-of-host",
        techniques: &["read-system-files", "host-root-mount"],
        harmless: READ_AND_CLOSED,
        steps: &[read("/host/etc/shadow"), read("/rootfs/etc/shadow"), read("/hostfs/etc/shadow")],
    },
    Attempt {
        name: "accounts",
        techniques: &["host-root-mount"],
        harmless: NOT_WRITTEN,
        steps: &[write("/etc/passwd"), write("/etc/shadow"), write("/etc/group")],
    },
    Attempt {
        name: "sudoers",
        techniques: &["host-execution-path"],
        harmless: NOT_WRITTEN,
        steps: &[write("/etc/sudoers"), write("/etc/sudoers.d/provoke")],
    },
    Attempt {
        name: "cron",
        techniques: &["host-execution-path"],
        harmless: NOT_WRITTEN,
        steps: &[write("/etc/crontab"), write("/etc/cron.d/provoke"), write("/var/spool/cron/crontabs/root")],
    },
    Attempt {
        name: "start-up-files",
        techniques: &["host-execution-path", "person-home"],
        harmless: NOT_WRITTEN,
        steps: &[
            write("/etc/rc.local"),
            write("/etc/profile"),
            write("/root/.bashrc"),
            write("/root/.profile"),
            write("/etc/systemd/system/provoke.service"),
        ],
    },
    Attempt {
        name: "authorised-keys",
        techniques: &["person-home"],
        harmless: NOT_WRITTEN,
        steps: &[write("/root/.ssh/authorized_keys")],
    },
    Attempt {
        name: "private-keys",
        techniques: &["host-credentials"],
        harmless: READ_AND_CLOSED,
        steps: &[read("/root/.ssh/id_rsa"), read("/root/.ssh/id_ed25519")],
    },
    Attempt {
        name: "cloud-credentials",
        techniques: &["host-credentials"],
        harmless: READ_AND_CLOSED,
        steps: &[
            read("/root/.aws/credentials"),
            read("/root/.kube/config"),
            read("/root/.docker/config.json"),
            read("/root/.config/gcloud/credentials.db"),
            read("/root/.azure/accessTokens.json"),
        ],
    },
    Attempt {
        name: "cluster-certificates",
        techniques: &["host-credentials"],
        harmless: READ_AND_CLOSED,
        steps: &[
            read("/etc/kubernetes/admin.conf"),
            read("/etc/kubernetes/pki/ca.key"),
            read("/var/lib/kubelet/pki/kubelet-client-current.pem"),
        ],
    },
    Attempt {
        name: "service-account-token",
        techniques: &["read-secrets", "create-pods", "exec-into-pods"],
        harmless: READ_AND_CLOSED,
        steps: &[read("/var/run/secrets/kubernetes.io/serviceaccount/token")],
    },
    Attempt {
        name: "kubelet-pods",
        techniques: &["kubelet-pod-credentials"],
        harmless: READ_AND_CLOSED,
        steps: &[read("/var/lib/kubelet/pods"), read("/var/lib/kubelet/pods/provoke/token")],
    },
    Attempt {
        name: "runtime-state",
        techniques: &["read-runtime-state"],
        harmless: READ_AND_CLOSED,
        steps: &[
            read("/var/lib/docker/containers"),
            read("/var/lib/containerd/io.containerd.metadata.v1.bolt/meta.db"),
            read("/var/lib/containers/storage/overlay"),
            read("/run/containerd/io.containerd.runtime.v2.task"),
        ],
    },
    Attempt {
        name: "runtime-state-write",
        techniques: &["write-runtime-state"],
        harmless: NOT_WRITTEN,
        steps: &[
            write("/var/lib/docker/overlay2/provoke/link"),
            write("/run/containerd/io.containerd.runtime.v2.task/provoke/config.json"),
            write("/var/lib/kubelet/config.yaml"),
        ],
    },
    Attempt {
        name: "runtime-hooks",
        techniques: &["host-execution-path"],
        harmless: NOT_WRITTEN,
        steps: &[
            write("/usr/share/containers/oci/hooks.d/provoke.json"),
            write("/etc/containers/oci/hooks.d/provoke.json"),
            write("/etc/cdi/provoke.json"),
            write("/etc/nvidia-container-runtime/config.toml"),
        ],
    },
    Attempt {
        name: "network-plugins",
        techniques: &["host-execution-path"],
        harmless: NOT_WRITTEN,
        steps: &[write("/etc/cni/net.d/provoke.conf"), write("/opt/cni/bin/bridge")],
    },
    Attempt {
        name: "static-pods",
        techniques: &["host-execution-path"],
        harmless: NOT_WRITTEN,
        steps: &[write("/etc/kubernetes/manifests/provoke.yaml")],
    },
    Attempt {
        name: "loader-preload",
        techniques: &["host-execution-path"],
        harmless: NOT_WRITTEN,
        steps: &[write("/etc/ld.so.preload"), write("/etc/ld.so.conf"), write("/lib64/ld-linux-x86-64.so.2")],
    },
    Attempt {
        name: "runtime-binary",
        techniques: &["write-runtime-state"],
        harmless: NOT_WRITTEN,
        steps: &[write("/usr/bin/runc"), write("/usr/sbin/runc"), write("/usr/local/sbin/runc")],
    },
    Attempt {
        name: "symlink-over-sensitive-file",
        techniques: &["host-root-mount"],
        harmless: "a link in a folder of its own, which is removed; the file that it names stays as it is",
        steps: &[own("symlink(\"/etc/shadow\", own path)", steps::symlink_to_shadow)],
    },
    Attempt {
        name: "hard-link-over-sensitive-file",
        techniques: &["host-root-mount"],
        harmless: "a second name in a folder of its own, which is removed; the file stays as it is",
        steps: &[own("link(\"/etc/passwd\", own path)", steps::link_to_passwd)],
    },
    Attempt {
        name: "pod-log-link",
        techniques: &["pod-log-links"],
        harmless: NO_SUCH_FOLDER,
        steps: &[call(
            "symlink(\"/\", \"/var/log/pods/provoke-none/0.log\")",
            SYS_symlinkat,
            &[Argument::Text(c"/"), HERE, Argument::Text(c"/var/log/pods/provoke-none/0.log")],
        )],
    },
    Attempt {
        name: "block-device-node",
        techniques: &["block-device", "device-node-for-accomplice", "widen-device-cgroup"],
        harmless: NO_SUCH_FOLDER,
        steps: &[call(
            "mknod(\"/provoke-no-such-folder/disk\", S_IFBLK|0600, 8:0)",
            SYS_mknodat,
            &[
                HERE,
                Argument::Text(c"/provoke-no-such-folder/disk"),
                Argument::Int((S_IFBLK | 0o600) as i64),
                Argument::Int(8 << 8),
            ],
        )],
    },
    Attempt {
        name: "set-user-id-mode",
        techniques: &["set-user-id-plant"],
        harmless: "the mode of an empty file of its own, which is removed",
        steps: &[call(
            "fchmodat(own file, 04755)",
            SYS_fchmodat,
            &[HERE, Argument::OwnFile, Argument::Int(0o4755)],
        )],
    },
    Attempt {
        name: "file-capability",
        techniques: &["set-user-id-plant"],
        harmless: "setxattr(): flags are refused first",
        steps: &[call(
            "setxattr(own file, \"security.capability\", NULL, 0, ~0)",
            SYS_setxattr,
            &[Argument::OwnFile, Argument::Text(c"security.capability"), NULL, ZERO, NONE],
        )],
    },
    Attempt {
        name: "open-by-handle",
        techniques: &["open-by-handle", "open-by-handle-write"],
        harmless: "handle_to_path(): neither the descriptor nor the handle can be read",
        steps: &[
            call("open_by_handle_at(-1, NULL, O_RDONLY)", SYS_open_by_handle_at, &[NONE, NULL, ZERO]),
            call(
                "open_by_handle_at(-1, NULL, O_RDWR)",
                SYS_open_by_handle_at,
                &[NONE, NULL, Argument::Int(O_RDWR as i64)],
            ),
        ],
    },
    Attempt {
        name: "name-to-handle",
        techniques: &["open-by-handle"],
        harmless: "sys_name_to_handle_at(): flags are refused first",
        steps: &[call(
            "name_to_handle_at(AT_FDCWD, \"/etc/hosts\", NULL, NULL, ~0)",
            SYS_name_to_handle_at,
            &[HERE, Argument::Text(c"/etc/hosts"), NULL, NULL, NONE],
        )],
    },
    Attempt {
        name: "splice",
        techniques: &[],
        harmless: "one byte of an own file goes into an own pipe; both are closed",
        steps: &[own("splice(own file, own pipe, 1)", steps::splice_a_byte)],
    },
    Attempt {
        name: "file-flags",
        techniques: &["resource-capabilities"],
        harmless: "ioctl_setflags(): the flags cannot be read",
        steps: &[own("ioctl(own file, FS_IOC_SETFLAGS, NULL)", steps::set_no_flags)],
    },
    Attempt {
        name: "delete-log",
        techniques: &[],
        harmless: "the path is looked up first, and there is none",
        steps: &[call(
            "unlink(\"/var/log/provoke-none.log\")",
            SYS_unlinkat,
            &[HERE, Argument::Text(c"/var/log/provoke-none.log"), ZERO],
        )],
    },
];

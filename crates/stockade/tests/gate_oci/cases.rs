//! What is asked of every engine, and what must come of it.

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Expected {
    Runs,
    Refused,
    /// Refused for what only the host knows: where a link leads, what a volume was mounted from. The configuration's
    /// text alone does not show it.
    RefusedByTheHostsWord,
}

pub(crate) struct Case {
    pub(crate) name: &'static str,
    /// `FOLDER` stands for a folder of the test's own.
    pub(crate) options: &'static [&'static str],
    pub(crate) expected: Expected,
}

const fn refused(name: &'static str, options: &'static [&'static str]) -> Case {
    Case { name, options, expected: Expected::Refused }
}
const fn hidden(name: &'static str, options: &'static [&'static str]) -> Case {
    Case { name, options, expected: Expected::RefusedByTheHostsWord }
}
const fn runs(name: &'static str, options: &'static [&'static str]) -> Case {
    Case { name, options, expected: Expected::Runs }
}

/// For Docker and Podman, which take the same words.
pub(crate) const CASES: &[Case] = &[
    refused("privileged", &["--privileged"]),
    refused("the host's root", &["-v", "/:/host"]),
    refused("the host's root, read-only", &["-v", "/:/host:ro"]),
    refused("the host's root by --mount", &["--mount", "type=bind,source=/,target=/host"]),
    refused("Docker's socket", &["-v", "/run/docker.sock:/socket"]),
    refused("Docker's socket by its old name, read-only", &["-v", "/var/run/docker.sock:/socket:ro"]),
    refused("Docker's socket by a winding path", &["-v", "/var/run/../../run/./docker.sock:/socket"]),
    refused("the folder of the socket", &["-v", "/run:/host-run"]),
    hidden("Docker's socket through a link", &["-v", "FOLDER/link-to-socket:/socket"]),
    hidden("the host's root through a link", &["-v", "FOLDER/link-to-root:/host"]),
    hidden("a volume that is the host's root", &["-v", "stockade-oci-root:/data"]),
    refused("the host's settings", &["-v", "/etc:/host-etc"]),
    refused("the home of root", &["-v", "/root:/host-root"]),
    refused("the host's processes as files", &["-v", "/proc:/host-proc"]),
    refused("every capability", &["--cap-add", "ALL"]),
    refused(
        "CAP_SYS_ADMIN without a filter",
        &["--cap-add", "SYS_ADMIN", "--security-opt", "seccomp=unconfined"],
    ),
    refused("CAP_SYS_ADMIN", &["--cap-add", "SYS_ADMIN"]),
    refused("CAP_DAC_READ_SEARCH", &["--cap-add", "DAC_READ_SEARCH"]),
    refused("the host's processes with CAP_SYS_PTRACE", &["--pid", "host", "--cap-add", "SYS_PTRACE"]),
    refused("a disk", &["--device", "/dev/vda:/dev/disk"]),
    runs("as it comes", &[]),
    runs("as a user of its own", &["--user", "10001:10001"]),
    runs("without capabilities, read-only", &["--cap-drop", "ALL", "--read-only"]),
    runs("with no new privileges", &["--security-opt", "no-new-privileges"]),
    runs("with limits", &["--memory", "64m", "--pids-limit", "64"]),
    runs("a folder of its own", &["-v", "FOLDER/data:/data"]),
    runs("a temporary file system", &["--tmpfs", "/scratch"]),
    runs("without a network", &["--network", "none"]),
    runs("one capability more", &["--cap-add", "NET_ADMIN"]),
];

/// For `ctr`, whose words are others.
pub(crate) const CTR_CASES: &[Case] = &[
    refused("privileged", &["--privileged"]),
    refused("the host's root", &["--mount", "type=bind,src=/,dst=/host,options=rbind:ro"]),
    refused("Docker's socket", &["--mount", "type=bind,src=/var/run/docker.sock,dst=/socket,options=rbind"]),
    refused("CAP_SYS_ADMIN", &["--cap-add", "CAP_SYS_ADMIN"]),
    refused(
        "the host's processes with CAP_SYS_PTRACE",
        &["--with-ns", "pid:/proc/1/ns/pid", "--cap-add", "CAP_SYS_PTRACE"],
    ),
    runs("as it comes", &[]),
    runs("with a limit", &["--memory-limit", "67108864"]),
    runs("read-only", &["--read-only"]),
];

//! What the kernel, its settings, the file system's distribution and the environment say: plain reads.

use std::collections::BTreeMap;

use crate::files;
use crate::measurement::{AccessiblePath, Environment, Kernel, Mount, OsRelease, Process, Processes, Value};
use crate::paths::Access;
use crate::sys::{self, Answers, Batch};

pub(crate) fn kernel() -> Kernel {
    let (release, version, machine) = sys::uname();
    Kernel { release, version, machine }
}

/// os-release(5): shell-like assignments.
pub(crate) fn os_release() -> OsRelease {
    let text = ["/etc/os-release", "/usr/lib/os-release"]
        .iter()
        .find_map(|path| files::read(path, 64 * 1024).ok())
        .map(|(text, _)| text)
        .unwrap_or_default();
    let field = |name: &str| {
        text.lines().find_map(|line| {
            let value = line.trim().strip_prefix(name)?.strip_prefix('=')?;
            Some(value.trim_matches(['"', '\'']).to_owned())
        })
    };
    OsRelease { id: field("ID"), id_like: field("ID_LIKE"), version_id: field("VERSION_ID") }
}

/// Settings of the kernel that open or close a technique or a probe.
const SYSCTLS: &[&str] = &[
    "dev.tty.legacy_tiocsti",
    "fs.protected_hardlinks",
    "fs.protected_symlinks",
    "fs.suid_dumpable",
    "kernel.apparmor_restrict_unprivileged_io_uring",
    "kernel.apparmor_restrict_unprivileged_unconfined",
    "kernel.apparmor_restrict_unprivileged_userns",
    "kernel.core_pattern",
    "kernel.dmesg_restrict",
    "kernel.io_uring_disabled",
    "kernel.kexec_load_disabled",
    "kernel.kptr_restrict",
    "kernel.modprobe",
    "kernel.modules_disabled",
    "kernel.perf_event_paranoid",
    "kernel.randomize_va_space",
    "kernel.sysrq",
    "kernel.unprivileged_bpf_disabled",
    "kernel.unprivileged_userns_apparmor_policy",
    "kernel.unprivileged_userns_clone",
    "kernel.yama.ptrace_scope",
    "net.core.bpf_jit_harden",
    "net.ipv4.ip_unprivileged_port_start",
    "net.ipv4.ping_group_range",
    "user.max_cgroup_namespaces",
    "user.max_mnt_namespaces",
    "user.max_net_namespaces",
    "user.max_user_namespaces",
    "vm.mmap_min_addr",
    "vm.overcommit_memory",
    "vm.unprivileged_userfaultfd",
];

pub(crate) fn sysctls() -> BTreeMap<String, Value> {
    SYSCTLS
        .iter()
        .map(|name| ((*name).to_owned(), files::value(&format!("/proc/sys/{}", name.replace('.', "/")))))
        .collect()
}

/// Enough to tell a host from a container; more would make a measurement slow on a large host.
const MOST_PROCESSES: usize = 4096;

pub(crate) fn processes() -> Processes {
    let (names, _) = files::names("/proc", MOST_PROCESSES);
    let visible = names.iter().filter(|n| n.bytes().all(|b| b.is_ascii_digit())).count();
    let comm = |pid: u32| files::value(&format!("/proc/{pid}/comm")).value;
    Processes {
        // Process 2 of the initial pid namespace is kthreadd; it can have no other name (rest_init()), and a
        // process that calls itself so has a parent, which kthreadd has not.
        kernel_threads_visible: (visible > 0)
            .then(|| comm(2).as_deref() == Some("kthreadd") && parent_of(2) == Some(0)),
        visible: (visible > 0).then(|| u32::try_from(visible).unwrap_or(u32::MAX)),
        first_name: comm(1),
        first_root: link("/proc/1/root"),
        first_pid_namespace: link("/proc/1/ns/pid"),
    }
}

fn parent_of(pid: u32) -> Option<u32> {
    let (text, _) = files::read(&format!("/proc/{pid}/status"), 64 * 1024).ok()?;
    text.lines().find_map(|line| line.strip_prefix("PPid:"))?.trim().parse().ok()
}

fn link(path: &str) -> Value {
    match std::fs::read_link(path) {
        Ok(target) => Value { value: Some(target.to_string_lossy().into_owned()), error: None },
        Err(error) => Value { value: None, error: Some(files::error_name(&error)) },
    }
}

const TOKEN: &str = "/var/run/secrets/kubernetes.io/serviceaccount/token";

/// Whether the service account's token is there and readable; it is never opened.
pub(crate) struct TokenPlan {
    exists: Option<bool>,
    access: Option<Access>,
}

impl TokenPlan {
    pub(crate) fn new(batch: &mut Batch, mounts: &[Mount]) -> TokenPlan {
        match files::look(TOKEN, mounts) {
            Ok(_) => TokenPlan { exists: Some(true), access: Some(Access::mode(batch, TOKEN, libc::R_OK)) },
            Err(error) => {
                TokenPlan { exists: (error == "ENOENT" || error == "ENOTDIR").then_some(false), access: None }
            }
        }
    }
    pub(crate) fn read(&self, answers: &Answers, process: &Process) -> AccessiblePath {
        let answer = self.access.as_ref().map(|a| a.read(answers, process)).unwrap_or_default();
        AccessiblePath {
            path: TOKEN.to_owned(),
            exists: self.exists,
            readable: (answer.value.is_some() || answer.error.is_some()).then_some(answer.value == Some(0)),
        }
    }
}

/// Variables that lead to a control API. Only `DOCKER_HOST`, an address, is told with its value.
const VARIABLES: &[&str] = &[
    "BUILDKIT_HOST",
    "CONTAINERD_ADDRESS",
    "CONTAINER_HOST",
    "CONTAINER_RUNTIME_ENDPOINT",
    "CRI_CONFIG_FILE",
    "DBUS_SYSTEM_BUS_ADDRESS",
    "DOCKER_CERT_PATH",
    "DOCKER_CONFIG",
    "DOCKER_CONTEXT",
    "DOCKER_HOST",
    "IMAGE_SERVICE_ENDPOINT",
    "KUBECONFIG",
    "KUBERNETES_SERVICE_HOST",
    "LIBVIRT_DEFAULT_URI",
    "LXD_SOCKET",
    "NOMAD_ADDR",
    "PODMAN_HOST",
    "SSH_AUTH_SOCK",
];

pub(crate) fn environment() -> Environment {
    Environment {
        names: VARIABLES
            .iter()
            .filter(|name| std::env::var_os(name).is_some())
            .map(|name| (*name).to_owned())
            .collect(),
        docker_host: std::env::var_os("DOCKER_HOST").map(|value| value.to_string_lossy().into_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_sysctl_asked_for_is_answered_with_a_value_or_an_error() {
        let sysctls = sysctls();
        assert_eq!(sysctls.len(), SYSCTLS.len());
        assert!(sysctls.values().all(|v| v.value.is_some() != v.error.is_some()));
    }
}

//! What one event of the kernel says of a container before anything is read of it: credentials and namespaces of its
//! first process. Everything else is unknown; a confinement cannot say that of its mounts, so the conditions that hang
//! on what was not told are set to unknown after they were asked.

use std::sync::Arc;

use confinement::{
    AppArmor, CapabilitySet, Confinement, Fact, Host, Namespace, NamespaceKind, Origin, Runtime, SeLinux,
    Seccomp, Truth,
};
use sensor::event::{Actor, Namespaces};
use techniques::barrier::Barrier;
use techniques::solver::Vector;
use techniques::technique::Catalogue;

/// `PROC_USER_INIT_INO` (include/linux/proc_ns.h).
pub(super) const INITIAL_USER_NAMESPACE: u32 = 0xEFFF_FFFD;

/// Barriers whose conditions credentials, namespaces and the host decide.
const TOLD: &[Barrier] = &[
    Barrier::UserNamespace,
    Barrier::Identity,
    Barrier::Capabilities,
    Barrier::Seccomp,
    Barrier::PidNamespace,
    Barrier::NetworkNamespace,
    Barrier::IpcNamespace,
    Barrier::UtsNamespace,
    Barrier::CgroupNamespace,
    Barrier::KernelSettings,
    Barrier::SandboxKernel,
    Barrier::HostAccounts,
    Barrier::ImageTrust,
];

pub(super) fn forget_what_was_not_told(catalogue: &Catalogue, vector: &mut Vector) {
    for (id, barrier) in (0..).zip(&catalogue.barriers) {
        let of_host = catalogue.conditions.get(usize::from(id)).is_some_and(|c| c.is_flaw());
        if !TOLD.contains(barrier) && !of_host {
            vector.set(id, Truth::Unknown);
        }
    }
}

pub(super) fn confinement(actor: &Actor, host_namespaces: &Namespaces, host: &Arc<Host>) -> Confinement {
    let origin = || Origin::measured("the kernel, as the container started");
    let mut c = sources::process::blank(host);
    let credentials = &actor.credentials;
    let initial = credentials.user_namespace == INITIAL_USER_NAMESPACE;
    c.user_namespace.initial = Fact::known(initial, origin());
    if initial {
        c.user_namespace.root_is_host_root = Fact::known(true, origin());
        c.identity.uid = Fact::known(credentials.euid, origin());
        c.identity.gid = Fact::known(credentials.egid, origin());
        c.identity.root = Fact::known(credentials.euid == 0, origin());
    }
    c.identity.no_new_privileges = Fact::known(credentials.no_new_privileges, origin());
    let set = |bits: u64| Fact::known(CapabilitySet(bits), origin());
    c.capabilities.effective = set(credentials.effective);
    c.capabilities.permitted = set(credentials.permitted);
    c.capabilities.inheritable = set(credentials.inheritable);
    c.capabilities.bounding = set(credentials.bounding);
    c.capabilities.ambient = set(credentials.ambient);
    let seccomp = if credentials.seccomp == 0 { Seccomp::Disabled } else { Seccomp::Opaque };
    c.seccomp = Fact::known(seccomp, origin());
    for (kind, own, of_host) in [
        (NamespaceKind::Pid, actor.namespaces.pid, host_namespaces.pid),
        (NamespaceKind::Net, actor.namespaces.network, host_namespaces.network),
        (NamespaceKind::Ipc, actor.namespaces.ipc, host_namespaces.ipc),
        (NamespaceKind::Uts, actor.namespaces.uts, host_namespaces.uts),
        (NamespaceKind::Cgroup, actor.namespaces.cgroup, host_namespaces.cgroup),
    ] {
        // 0: the event did not have it, or the host's is not known.
        if own != 0 && of_host != 0 {
            let whose = if own == of_host { Namespace::Host } else { Namespace::Own };
            *c.namespaces.get_mut(kind) = Fact::known(whose, origin());
        }
    }
    // A process that this kernel tells of runs on it.
    c.runtime = Fact::known(Runtime::Runc, origin());
    let lsm = |name: &str| host.lsms.get().map(|list| list.iter().any(|l| &**l == name));
    if lsm("apparmor") == Some(false) {
        c.apparmor = Fact::known(AppArmor::Absent, host.lsms.origin.clone());
    }
    if lsm("selinux") == Some(false) {
        c.selinux = Fact::known(SeLinux::Absent, host.lsms.origin.clone());
    }
    c
}

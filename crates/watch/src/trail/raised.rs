//! In which ways a process has more than its container: by the engine's words, and by what the kernel gave it. The
//! kernel has the last word; the engine's is there before the process is.

use std::fmt;

use confinement::{Capability, CapabilitySet};
use sensor::event::{Credentials, Namespaces};
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "kind")]
pub enum Raised {
    /// `docker exec --privileged`: the engine was asked for every capability, no seccomp, no AppArmor.
    AskedPrivileged,
    /// `docker exec -u 0` into a container whose own user is another.
    AskedUser {
        user: String,
    },
    /// Capabilities in its permitted or effective set that the container's first process has not.
    Capabilities {
        names: Vec<String>,
    },
    /// Capabilities in its bounding set that the container's has not, so that it came from outside.
    BoundingSet {
        names: Vec<String>,
    },
    /// Root, where the container's first process is not.
    Root,
    /// The container's first process may not gain privileges; this one may.
    PrivilegesMayRise,
    NoSeccomp,
    /// In another user namespace than the container.
    UserNamespace,
    /// In namespaces of the host that the container has its own of.
    HostNamespaces {
        names: Vec<String>,
    },
}

impl fmt::Display for Raised {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Raised::AskedPrivileged => f.write_str("asked for privileged"),
            Raised::AskedUser { user } => write!(f, "asked for user {user}"),
            Raised::Capabilities { names } => write!(f, "capabilities {}", names.join(" ")),
            Raised::BoundingSet { names } => write!(f, "{} in the bounding set", names.join(" ")),
            Raised::Root => f.write_str("root"),
            Raised::PrivilegesMayRise => f.write_str("no_new_privs is off"),
            Raised::NoSeccomp => f.write_str("no seccomp filter"),
            Raised::UserNamespace => f.write_str("another user namespace"),
            Raised::HostNamespaces { names } => write!(f, "the host's {} namespace", names.join(" and ")),
        }
    }
}

/// What the engine was asked for, beside the user of the container itself.
pub fn raised_by_words(privileged: bool, user: &str, containers_user: &str) -> Vec<Raised> {
    let mut found = Vec::new();
    if privileged {
        found.push(Raised::AskedPrivileged);
    }
    let is_root = |user: &str| matches!(user.split(':').next().unwrap_or(user), "" | "0" | "root");
    // Empty means: the container's own.
    if !user.is_empty() && is_root(user) && !is_root(containers_user) {
        found.push(Raised::AskedUser { user: user.to_owned() });
    }
    found
}

/// What the kernel gave a process, beside the container's first process.
pub fn raised_in_kernel(
    first: &Credentials,
    first_namespaces: &Namespaces,
    process: &Credentials,
    namespaces: &Namespaces,
    host: &Namespaces,
) -> Vec<Raised> {
    let mut found = Vec::new();
    let same = process.user_namespace == first.user_namespace;
    if same {
        let more = (process.permitted | process.effective) & !(first.permitted | first.effective);
        if more != 0 {
            found.push(Raised::Capabilities { names: names(more) });
        }
        let beyond = process.bounding & !first.bounding;
        if beyond != 0 {
            found.push(Raised::BoundingSet { names: names(beyond) });
        }
    } else if process.user_namespace == host.user {
        found.push(Raised::UserNamespace);
    }
    if process.euid != first.euid && is_root(process, host) && !is_root(first, host) {
        found.push(Raised::Root);
    }
    if first.no_new_privileges && !process.no_new_privileges {
        found.push(Raised::PrivilegesMayRise);
    }
    if first.seccomp != 0 && process.seccomp == 0 {
        found.push(Raised::NoSeccomp);
    }
    let of_host = |name: &str, own: u32, theirs: u32, of_host: u32| {
        (own != 0 && of_host != 0 && own == of_host && theirs != of_host).then(|| name.to_owned())
    };
    let shared: Vec<String> = [
        of_host("pid", namespaces.pid, first_namespaces.pid, host.pid),
        of_host("network", namespaces.network, first_namespaces.network, host.network),
        of_host("ipc", namespaces.ipc, first_namespaces.ipc, host.ipc),
        of_host("uts", namespaces.uts, first_namespaces.uts, host.uts),
        of_host("cgroup", namespaces.cgroup, first_namespaces.cgroup, host.cgroup),
    ]
    .into_iter()
    .flatten()
    .collect();
    if !shared.is_empty() {
        found.push(Raised::HostNamespaces { names: shared });
    }
    found
}

/// Root as the initial user namespace numbers it; in a namespace of its own, whoever holds capabilities is.
fn is_root(credentials: &Credentials, host: &Namespaces) -> bool {
    credentials.euid == 0 || (credentials.user_namespace != host.user && credentials.effective != 0)
}

fn names(bits: u64) -> Vec<String> {
    CapabilitySet(bits).iter().map(Capability::name).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOST: Namespaces = Namespaces { user: 1, mount: 2, pid: 3, network: 4, ipc: 5, uts: 6, cgroup: 7 };
    const OWN: Namespaces =
        Namespaces { user: 1, mount: 20, pid: 30, network: 40, ipc: 50, uts: 60, cgroup: 7 };

    fn service() -> Credentials {
        Credentials {
            uid: 10001,
            euid: 10001,
            bounding: 0xa804_25fb,
            seccomp: 2,
            user_namespace: 1,
            ..Credentials::default()
        }
    }

    #[test]
    fn the_first_process_has_no_more_than_itself() {
        assert_eq!(raised_in_kernel(&service(), &OWN, &service(), &OWN, &HOST), []);
    }

    #[test]
    fn root_in_the_container_of_another_user_is_told_with_the_capabilities_it_got() {
        let root =
            Credentials { uid: 0, euid: 0, effective: 0xa804_25fb, permitted: 0xa804_25fb, ..service() };
        let found = raised_in_kernel(&service(), &OWN, &root, &OWN, &HOST);
        assert!(found.contains(&Raised::Root), "{found:?}");
        let Some(Raised::Capabilities { names }) = found.first() else { panic!("{found:?}") };
        assert_eq!(names.len(), 14, "Docker's default set");
        assert!(!found.iter().any(|r| matches!(r, Raised::BoundingSet { .. })));
    }

    #[test]
    fn a_privileged_exec_shows_by_its_bounding_set_and_its_missing_filter() {
        let all = (1 << 41) - 1;
        let privileged =
            Credentials { effective: all, permitted: all, bounding: all, seccomp: 0, ..service() };
        let found = raised_in_kernel(&service(), &OWN, &privileged, &OWN, &HOST);
        let Some(Raised::BoundingSet { names }) = found.get(1) else { panic!("{found:?}") };
        assert!(
            names.contains(&"SYS_ADMIN".to_owned()) && !names.contains(&"NET_RAW".to_owned()),
            "{names:?}"
        );
        assert!(found.contains(&Raised::NoSeccomp));
    }

    #[test]
    fn a_process_that_kept_namespaces_of_the_host_is_told() {
        let entered = Namespaces { pid: HOST.pid, network: HOST.network, ..OWN };
        let found = raised_in_kernel(&service(), &OWN, &service(), &entered, &HOST);
        assert_eq!(found, [Raised::HostNamespaces { names: vec!["pid".into(), "network".into()] }]);
        // The cgroup namespace is the host's for the container too.
        assert_eq!(raised_in_kernel(&service(), &OWN, &service(), &OWN, &HOST), []);
    }

    #[test]
    fn the_engines_words_raise_only_what_the_container_is_not() {
        assert_eq!(raised_by_words(false, "", "10001"), []);
        assert_eq!(raised_by_words(false, "0", ""), []);
        assert_eq!(raised_by_words(false, "10002", "10001"), []);
        assert_eq!(raised_by_words(true, "root:root", "app").len(), 2);
    }
}

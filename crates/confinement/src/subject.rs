//! Subjects and the world they are judged in.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::engine::Engine;
use crate::fact::{Fact, Place};
use crate::host::Host;
use crate::mount::Mount;
use crate::parts::{
    AppArmor, Capabilities, Cgroup, ControlApi, Devices, Identity, Image, Limits, Namespace, NamespaceKind,
    Namespaces, Network, Operation, Runtime, SeLinux, Seccomp, ServiceAccount, UserNamespace,
};
use crate::pod::PodDeclaration;

/// Everything that confines one container, whatever said so. Equal confinements are judged once, so equality
/// and hash leave origins out (see [`Fact`]).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Confinement {
    pub privileged: Fact<bool>,
    pub identity: Identity,
    pub capabilities: Capabilities,
    pub user_namespace: UserNamespace,
    pub namespaces: Namespaces,
    /// Mounts that were asked for, and the engine's pseudo file systems (`/proc`, `/sys`, `/sys/fs/cgroup`).
    pub mounts: Vec<Mount>,
    /// Paths covered so that they cannot be read; `cpu*` stands for every processor's folder.
    pub masked_paths: Fact<Arc<[Arc<str>]>>,
    /// Paths re-mounted read-only.
    pub readonly_paths: Fact<Arc<[Arc<str>]>>,
    pub read_only_rootfs: Fact<bool>,
    pub seccomp: Fact<Seccomp>,
    pub apparmor: Fact<AppArmor>,
    pub selinux: Fact<SeLinux>,
    pub devices: Devices,
    pub cgroup: Cgroup,
    /// Sysctls set for the container, as written.
    pub sysctls: Vec<(Arc<str>, Fact<Arc<str>>)>,
    pub limits: Limits,
    pub network: Network,
    pub control_apis: Vec<Fact<ControlApi>>,
    pub service_account: Option<ServiceAccount>,
    pub image: Image,
    pub operation: Arc<Operation>,
    pub runtime: Fact<Runtime>,
    /// What was measured directly and needs no model: path → writable, for kernel interfaces and sockets.
    pub measured_writable: Arc<std::collections::BTreeMap<Arc<str>, Fact<bool>>>,
    pub engine: Option<Arc<Engine>>,
    pub host: Arc<Host>,
    /// The same container without `privileged`, where it is privileged and what else was asked for is known.
    pub unprivileged: Option<Arc<Confinement>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SubjectKind {
    Container,
    /// A container of a Kubernetes workload.
    Workload,
    /// An engine's configuration, judged by what it gives any container it starts.
    Engine,
    /// An image or the file that builds it, judged as a container with nothing else asked for.
    Image,
    Host,
}

/// The way a subject is written: what wording reports use, and which editor can change it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Form {
    /// A service of a Compose file.
    Compose,
    /// A `docker run` or `docker create` line, alone or in a script.
    DockerRun,
    /// A `podman run` or `podman create` line, alone or in a script.
    PodmanRun,
    /// A Quadlet `.container` unit.
    Quadlet,
    /// A container of a Kubernetes object.
    Kubernetes,
    /// An OCI runtime's `config.json`.
    Oci,
    Dockerfile,
    /// An engine's own configuration (`daemon.json`).
    Daemon,
    /// A container that Docker tells of through its API.
    DockerLive,
    /// A container that Podman tells of through its API.
    PodmanLive,
    /// A process, a node's facts, a host: what is measured and not written anywhere.
    Measured,
}

/// What is judged.
#[derive(Clone, Debug)]
pub struct Subject {
    /// Unique within one run and stable between runs: the source and the name, never a line number. It is
    /// what `Namespace::Container` and volumes refer to.
    pub id: Arc<str>,
    /// For people: `web`, `kube-system/agent/init`.
    pub name: Arc<str>,
    pub kind: SubjectKind,
    pub form: Form,
    pub place: Option<Place>,
    /// Where it is declared, if that is in more than one place (a Compose service in several files, or one that
    /// extends another): lowest first, `place` last.
    pub declared: Vec<Place>,
    /// Which engine instance or cluster it belongs to; volumes and namespaces are only shared within one.
    pub realm: Arc<str>,
    /// The Kubernetes namespace, where there is one.
    pub namespace: Option<Arc<str>>,
    pub confinement: Arc<Confinement>,
    /// The pod as written, for standards that judge the words and not their effect.
    pub pod: Option<Arc<PodDeclaration>>,
    /// Labels as written, or an OCI configuration's annotations. They confine nothing: policies select by them, and
    /// they name what manages a live container.
    pub labels: Labels,
    /// When an engine made and started it, in the engine's words.
    pub made: Option<Arc<str>>,
}

/// Labels by their key.
pub type Labels = Arc<BTreeMap<Arc<str>, Arc<str>>>;

/// Something that could not be read or judged.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Problem {
    pub path: Arc<str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub column: Option<u32>,
    pub message: String,
}

impl Problem {
    pub fn new(path: impl Into<Arc<str>>, message: impl Into<String>) -> Problem {
        Problem { path: path.into(), line: None, column: None, message: message.into() }
    }
    pub fn at(place: &Place, message: impl Into<String>) -> Problem {
        Problem {
            path: place.path.clone(),
            line: Some(place.line),
            column: Some(place.column),
            message: message.into(),
        }
    }
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.path)?;
        if let Some(line) = self.line {
            write!(f, ":{line}")?;
            if let Some(column) = self.column {
                write!(f, ":{column}")?;
            }
        }
        write!(f, ": {}", self.message)
    }
}

/// All that one run judges together.
#[derive(Clone, Debug, Default)]
pub struct World {
    pub subjects: Vec<Subject>,
    pub problems: Vec<Problem>,
    /// What a reader wants the user to know, which is not an error: a file skipped, a variable unset.
    pub notes: Vec<Problem>,
}

impl World {
    pub fn extend(&mut self, other: World) {
        self.subjects.extend(other.subjects);
        self.problems.extend(other.problems);
        self.notes.extend(other.notes);
    }

    /// Whoever joins a namespace of a container that itself has the host's is in the host's: `pid: service:b`
    /// beside a `b` with `pid: host`. The joiner's own words stay the origin.
    pub fn follow_namespaces(&mut self) {
        const KINDS: [NamespaceKind; 3] = [NamespaceKind::Pid, NamespaceKind::Net, NamespaceKind::Ipc];
        let joined = |subject: &Subject, kind| match subject.confinement.namespaces.get(kind).get() {
            Some(Namespace::Container(id)) => Some(id.clone()),
            _ => None,
        };
        let mut followed: Vec<(usize, NamespaceKind, Option<Namespace>)> = Vec::new();
        if self.subjects.iter().any(|s| KINDS.into_iter().any(|kind| joined(s, kind).is_some())) {
            let by_id: HashMap<&str, &Subject> = self.subjects.iter().map(|s| (&*s.id, s)).collect();
            for (i, subject) in self.subjects.iter().enumerate() {
                for kind in KINDS {
                    let (mut holder, mut steps) = (subject, 0);
                    while let Some(next) = joined(holder, kind).and_then(|id| by_id.get(&*id).copied()) {
                        // Containers that join each other in a ring cannot be started.
                        steps += 1;
                        if steps > 16 {
                            break;
                        }
                        holder = next;
                    }
                    let held = holder.confinement.namespaces.get(kind);
                    if steps > 0 && matches!(held.get(), Some(Namespace::Host) | None) {
                        followed.push((i, kind, held.value.clone()));
                    }
                }
            }
        }
        for (i, kind, value) in followed {
            if let Some(subject) = self.subjects.get_mut(i) {
                Arc::make_mut(&mut subject.confinement).namespaces.get_mut(kind).value = value;
            }
        }
    }
}

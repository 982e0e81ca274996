//! A pod as it was written: the fields that the Pod Security Standards look at, each with its place. Standards
//! judge the words; what the words do is in the confinement.

use std::sync::Arc;

use crate::fact::{Fact, Place};

/// A field as written: `None` where it is absent. A value of the wrong type is a reader's error, not a field.
pub type Field<T> = Option<Fact<T>>;

#[derive(Clone, Debug, Default, PartialEq)]
pub struct PodDeclaration {
    /// `Deployment`, `Pod`, ….
    pub kind: Arc<str>,
    pub name: Arc<str>,
    pub namespace: Arc<str>,
    pub place: Option<Place>,
    pub annotations: Vec<(Arc<str>, Fact<Arc<str>>)>,
    /// `spec.os.name`.
    pub os: Field<Arc<str>>,
    pub host_network: Field<bool>,
    pub host_pid: Field<bool>,
    pub host_ipc: Field<bool>,
    pub host_users: Field<bool>,
    pub security: SecurityContext,
    pub sysctls: Vec<Fact<Arc<str>>>,
    pub volumes: Vec<VolumeDeclaration>,
    /// Init, ordinary and ephemeral containers, in that order.
    pub containers: Vec<ContainerDeclaration>,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct VolumeDeclaration {
    pub name: Arc<str>,
    /// The key that says what it is: `hostPath`, `emptyDir`, …; known `None` where there is none.
    pub source: Fact<Option<Arc<str>>>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ContainerRole {
    Init,
    #[default]
    Main,
    Ephemeral,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct ContainerDeclaration {
    pub role: ContainerRole,
    pub name: Arc<str>,
    pub place: Option<Place>,
    /// `spec.containers[0]`, `spec.template.spec.initContainers[1]`, ….
    pub route: Arc<str>,
    pub security: SecurityContext,
    /// `ports[*].hostPort`.
    pub host_ports: Vec<Fact<i64>>,
    /// `.httpGet.host` and `.tcpSocket.host` of probes and life-cycle hooks, each with its route below the container.
    pub probe_hosts: Vec<(Arc<str>, Fact<Arc<str>>)>,
}

/// `securityContext` of a pod or of a container; fields that only one of them has are absent in the other.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SecurityContext {
    pub place: Option<Place>,
    pub privileged: Field<bool>,
    pub allow_privilege_escalation: Field<bool>,
    pub capabilities_add: Vec<Fact<Arc<str>>>,
    pub capabilities_drop: Vec<Fact<Arc<str>>>,
    pub proc_mount: Field<Arc<str>>,
    pub run_as_non_root: Field<bool>,
    pub run_as_user: Field<i64>,
    pub seccomp_type: Field<Arc<str>>,
    pub apparmor_type: Field<Arc<str>>,
    pub selinux: Field<SeLinuxDeclaration>,
    pub windows_host_process: Field<bool>,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct SeLinuxDeclaration {
    pub user: Field<Arc<str>>,
    pub role: Field<Arc<str>>,
    pub kind: Field<Arc<str>>,
}

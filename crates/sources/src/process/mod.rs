//! Containers found through `/proc` alone, without asking any engine, and what the kernel shows of each.
//!
//! A container here is a group of processes with a mount namespace that is not the host's and a root file system
//! of its own, or a cgroup that bears a container's id. [`read`] makes subjects of them; `engine_api` takes
//! [`Table`] and [`Host`] to set the kernel's word beside the engine's.

mod cgroup;
mod devices;
pub mod files;
pub mod mountinfo;
mod status;
mod table;
mod view;

use std::collections::BTreeSet;
use std::sync::Arc;

use confinement::{
    Capabilities, Confinement, Fact, Form, Identity, Namespace, NamespaceKind, Network, Origin, Problem,
    Runtime, ServiceAccount, Subject, SubjectKind, World,
};

use crate::measured::{self, Observed, printable};

pub use files::read_text;
pub(crate) use table::is_interface_of_use;
pub use table::{Container, Lost, Table};
pub use view::View;
pub(crate) use view::mount_table;
pub use view::namespace as read_namespace;

/// Every container of this machine, or the one that `name` names: a container's id or the start of it, or the
/// number of one of its processes. Containers whose id is in `known` are left out, as an engine has told them.
pub fn read(name: Option<&str>, host: &Arc<confinement::Host>, known: &BTreeSet<Arc<str>>) -> World {
    let mut world = World::default();
    let view = match View::read() {
        Ok(view) => view,
        Err(problem) => {
            world.problems.push(problem);
            return world;
        }
    };
    world.notes.extend(view.notes.iter().cloned());
    let table = Table::scan(&view);
    if table.unreadable > 0 {
        let message = format!(
            "the namespaces of {} processes cannot be read; containers among them are not seen (run as root)",
            table.unreadable
        );
        world.problems.push(Problem::new("/proc", message));
    }
    let containers: Vec<&Container> = table.containers.iter().filter(|c| is_asked(c, name, known)).collect();
    if let (Some(name), true) = (name, containers.is_empty()) {
        world.problems.push(Problem::new("proc:", format!("no container here is `{}`", printable(name))));
    }
    for container in containers {
        match table.observe(container, &view) {
            Ok(observed) => {
                let (subject, notes) = subject(container, &table, &view, &observed, host);
                world.notes.extend(notes.into_iter().map(|note| Problem::new(subject.id.clone(), note)));
                world.subjects.push(subject);
            }
            Err(table::Lost::Ended) => {
                let note = format!("process {} ended while it was looked at; left out", container.init);
                world.notes.push(Problem::new(container.subject_id(), note));
            }
            Err(table::Lost::Unreadable(why)) => {
                world.problems.push(Problem::new(container.subject_id(), why));
            }
        }
    }
    world
}

fn is_asked(container: &Container, name: Option<&str>, known: &BTreeSet<Arc<str>>) -> bool {
    let Some(name) = name else {
        return container.id.as_ref().is_none_or(|id| !known.contains(id));
    };
    let by_id = container.id.as_ref().is_some_and(|id| name.len() >= 4 && id.starts_with(name));
    by_id || name.parse().is_ok_and(|pid| container.members.contains(&pid))
}

fn subject(
    container: &Container,
    table: &Table,
    view: &View,
    observed: &Observed,
    host: &Arc<confinement::Host>,
) -> (Subject, Vec<String>) {
    let (mut confinement, mut notes) = confinement_of(container, view, observed, host);
    for kind in NamespaceKind::ALL {
        let fact = confinement.namespaces.get_mut(kind);
        if fact.get() == Some(&Namespace::Own)
            && let Some(holder) = table.holder(container, kind)
        {
            fact.value = Some(Namespace::Container(holder));
        }
    }
    notes.extend(container.notes.iter().cloned());
    let subject = Subject {
        id: container.subject_id(),
        name: container.name(),
        kind: SubjectKind::Container,
        form: Form::Measured,
        place: None,
        declared: Vec::new(),
        realm: "proc".into(),
        namespace: None,
        confinement: Arc::new(confinement),
        pod: None,
        labels: Default::default(),
        made: None,
    };
    (subject, notes)
}

/// What `/proc` alone says of a container, and where that is odd. Which other container it shares a namespace with is
/// for the caller to say.
pub fn confinement_of(
    container: &Container,
    view: &View,
    observed: &Observed,
    host: &Arc<confinement::Host>,
) -> (Confinement, Vec<String>) {
    let mut confinement = blank(host);
    let notes = measured::overlay(&mut confinement, observed, &view.host());
    finish(&mut confinement, container, observed, view);
    (confinement, notes)
}

/// A confinement of which nothing is known but the host.
pub fn blank(host: &Arc<confinement::Host>) -> Confinement {
    Confinement {
        privileged: Fact::default(),
        identity: Identity {
            setuid_programs: Fact::known(
                false,
                Origin::assumed("the set-user-ID programs of the image are taken to hand out nothing"),
            ),
            ..Identity::default()
        },
        capabilities: Capabilities::default(),
        user_namespace: Default::default(),
        namespaces: Default::default(),
        mounts: Vec::new(),
        masked_paths: Fact::default(),
        readonly_paths: Fact::default(),
        read_only_rootfs: Fact::default(),
        seccomp: Fact::default(),
        apparmor: Fact::default(),
        selinux: Fact::default(),
        devices: Default::default(),
        cgroup: confinement::Cgroup { version: host.cgroup_version.clone(), ..Default::default() },
        sysctls: Vec::new(),
        limits: Default::default(),
        network: Network::default(),
        control_apis: Vec::new(),
        service_account: None,
        image: Default::default(),
        operation: Arc::default(),
        runtime: Fact::default(),
        measured_writable: Arc::default(),
        unprivileged: None,
        engine: None,
        host: host.clone(),
    }
}

/// What follows from the rest.
fn finish(confinement: &mut Confinement, container: &Container, observed: &Observed, view: &View) {
    let from = &observed.container_from;
    let no_mask = confinement
        .masked_paths
        .get()
        .is_some_and(|paths| paths.iter().all(|p| view.absent.masked.contains(p)));
    let all_capabilities =
        confinement.capabilities.bounding.get().is_some_and(|set| set.0 & view.bounding.0 == view.bounding.0);
    let all_devices = confinement.devices.all_host_nodes.value == Some(true);
    // There is no such flag in the kernel; this is what an engine's flag leads to.
    let why = Origin::measured(format!("capabilities, masked paths and devices of {from}"));
    confinement.privileged = Fact::known(no_mask && all_capabilities && all_devices, why);

    let net = &confinement.namespaces.net;
    if net.get() == Some(&Namespace::Host) {
        confinement.network.attached = Fact::known(true, net.origin.clone());
        confinement.network.shared_segment = Fact::known(true, net.origin.clone());
    } else if confinement.network.attached.value == Some(true) {
        let why = Origin::assumed("a container with a network is taken to sit on a bridge with others");
        confinement.network.shared_segment = Fact::known(true, why);
    }
    confinement.control_apis = container.control_apis.clone();
    confinement.runtime = match &container.runtime {
        Some(name) => Fact::known(Runtime::parse(name), Origin::measured(container.runtime_from.clone())),
        None => Fact::known(
            Runtime::Runc,
            Origin::assumed("a container whose processes this kernel lists is taken to be started by runc"),
        ),
    };
    // kubelet: pkg/kubelet/kubelet_pods.go mounts the token there, and nothing else.
    let token = "/var/run/secrets/kubernetes.io/serviceaccount";
    let token_mount = confinement
        .mounts
        .iter()
        .find(|m| confinement::HostPath::new(&m.target) == confinement::HostPath::new(token));
    if let Some(mount) = token_mount {
        let origin = mount.origin().clone();
        confinement.service_account = Some(ServiceAccount {
            namespace: "".into(),
            name: "".into(),
            token_mounted: Fact::known(true, origin.clone()),
            grants: Fact::unknown(origin),
        });
    }
}

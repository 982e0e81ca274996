//! What images need: the values that remedies set, what a remedy costs an image that needs what it takes, and the
//! sentence that says so. Known images are data (`data/image-needs.yaml`); for others the values are those that most
//! programs take.
//!
//! An image is known by its repository, publisher and all: `nginx`, `docker.io/library/nginx:1.27` and
//! `mirror.example/hub/library/nginx@sha256:…` are the official one; `acme/nginx` and `mirror.example/nginx` are not,
//! and only a note says what they look like.

pub mod reference;
mod table;

use confinement::{Capability, CapabilitySet, Confinement, HostPath, Namespace};

use crate::remedy::{LimitKind, Remedy};

pub use reference::Reference;
pub use table::{
    Confidence, ImageNeeds, NoNewPrivileges, UserKind, UserNeed, all, looks_like, of, scratch, stepping_down,
};

/// The user that `run-as-non-root` sets where the image names none that is known: distroless images' `nonroot`, an
/// id that owns nothing on a stock host.
pub const NON_ROOT: (u32, u32) = (65532, 65532);

/// The row of the container's image.
pub fn of_image(c: &Confinement) -> Option<&'static ImageNeeds> {
    of(c.image.reference.get()?)
}

/// User and group to run as.
pub fn user(c: &Confinement) -> (u32, u32) {
    let Some(reference) = c.image.reference.get() else { return NON_ROOT };
    of(reference).and_then(|needs| needs.user.ids_of(reference)).unwrap_or(NON_ROOT)
}

/// Where a container with a read-only root file system gets a tmpfs, or an `emptyDir`: not where it has a mount already.
/// A pod's `emptyDir` outlives the container as its root file system does not, so that in a pod the image's volumes
/// and data may lie there too; under the other engines the image's volumes are made without being asked for.
pub fn writable_paths(c: &Confinement) -> Vec<&'static str> {
    let Some(needs) = of_image(c) else { return uncovered(scratch(), c).collect() };
    let mut paths: Vec<&str> = uncovered(&needs.scratch, c).collect();
    if in_pod(c) {
        paths.extend(uncovered(&needs.volumes, c).chain(uncovered(&needs.data, c)));
    }
    paths
}

/// Where the image keeps what a tmpfs would lose or hide, and no volume is mounted: with a read-only root file system
/// it wants one there.
pub fn wants_volumes(c: &Confinement) -> Vec<&'static str> {
    let Some(needs) = of_image(c) else { return Vec::new() };
    let mut paths: Vec<&str> = uncovered(&needs.edited, c).collect();
    if !in_pod(c) {
        paths.extend(uncovered(&needs.data, c));
    }
    paths
}

fn in_pod(c: &Confinement) -> bool {
    c.engine.as_ref().is_some_and(|engine| engine.kind.is_cri())
}

/// Paths that no mount covers. Images ship the links of hier(7) as hosts do.
fn uncovered<'a>(paths: &'a [String], c: &Confinement) -> impl Iterator<Item = &'a str> {
    let targets: Vec<HostPath> = c.mounts.iter().map(|m| HostPath::new(&m.target)).collect();
    paths
        .iter()
        .filter(move |path| !targets.iter().any(|target| target.shows(HostPath::new(path).as_str())))
        .map(String::as_str)
}

/// The limit that is set where there is none: bytes, thousandths of a processor, or processes. Never below what the
/// image is documented to need.
pub fn limit(kind: LimitKind, c: &Confinement) -> u64 {
    let needs = of_image(c);
    match kind {
        LimitKind::Memory => needs.and_then(|n| n.memory).unwrap_or(0).max(1 << 30),
        LimitKind::Cpu => 2000,
        LimitKind::Pids => needs.and_then(|n| n.pids).unwrap_or(0).max(512),
    }
}

const PORT_START: &str = "net.ipv4.ip_unprivileged_port_start";

/// Whether every user may listen on `port` (ip(7), ip_unprivileged_port_start), so that no one needs
/// CAP_NET_BIND_SERVICE for it. In a network namespace of the container's own Docker sets the sysctl to 0 since 20.10
/// (moby#41030), containerd since 2.0 (containerd#9348); CRI-O does not (cri-o#10050), nor do Podman's own defaults
/// (containers.conf(5), default_sysctls). Not known counts as no.
pub fn is_free_port(port: u16, c: &Confinement) -> bool {
    use confinement::EngineKind::{Containerd, Crio, Docker, Podman};
    let first_free = |text: &str| text.trim().parse::<u16>().is_ok_and(|first| first <= port);
    if port >= 1024 {
        return true;
    }
    if let Some((_, value)) = c.sysctls.iter().find(|(key, _)| key.replace('/', ".") == PORT_START) {
        return value.get().is_some_and(|text| first_free(text));
    }
    match c.namespaces.net.get() {
        Some(Namespace::Own) => c.engine.as_ref().is_some_and(|engine| match engine.kind {
            Docker => engine.at_least(20, 10),
            Containerd => engine.at_least(2, 0),
            Podman | Crio => false,
        }),
        Some(Namespace::Host) => {
            c.host.sysctls.get(PORT_START).and_then(|value| value.get()).is_some_and(|text| first_free(text))
        }
        Some(Namespace::Container(_)) | None => false,
    }
}

/// What the container's program needs of its capabilities, as it is started now. For an image that is not known, what
/// most entrypoints use.
pub fn capabilities(c: &Confinement) -> CapabilitySet {
    let root = c.identity.root.value != Some(false);
    match of_image(c) {
        Some(needs) if root => {
            let low = needs.low_port.is_some_and(|port| !is_free_port(port, c));
            with_low_port(needs.capabilities.union(needs.bounding), low)
        }
        Some(needs) => needs.bounding,
        None if root => with_low_port(stepping_down(), !is_free_port(1, c)),
        None => CapabilitySet::EMPTY,
    }
}

fn with_low_port(set: CapabilitySet, low_port: bool) -> CapabilitySet {
    if low_port { set.with(Capability::NET_BIND_SERVICE) } else { set }
}

/// What is added to a remedy's cost by what is known of the image: the numbers stand in `data/image-needs.yaml`.
pub fn extra_cost(remedy: &Remedy, c: &Confinement) -> u8 {
    let needs = of_image(c);
    match remedy {
        Remedy::RunAsNonRoot => user_cost(needs, c),
        Remedy::DropCapability(_) | Remedy::KeepCapabilities(_) | Remedy::RemoveAllCapabilities => {
            taken(remedy, c).iter().map(|cap| capability_cost(cap, needs, c)).max().unwrap_or(0)
        }
        Remedy::ReadOnlyRootfs => {
            let costs = &table::costs().read_only_rootfs;
            match needs {
                Some(_) if !wants_volumes(c).is_empty() => costs.data,
                Some(needs) if !needs.programs => costs.known,
                Some(_) | None => costs.unknown,
            }
        }
        Remedy::NoNewPrivileges => {
            let costs = &table::costs().no_new_privileges;
            if no_new_privileges_breaks(c) { costs.breaks } else { costs.safe }
        }
        _ => 0,
    }
}

fn user_cost(needs: Option<&ImageNeeds>, c: &Confinement) -> u8 {
    let costs = &table::costs().run_as_non_root;
    let Some(needs) = needs else { return costs.unknown };
    match needs.user.kind {
        // A program that may not have its port has to be given another.
        UserKind::Named | UserKind::Takes if wants_low_port(needs, c) => costs.changes,
        UserKind::Named => costs.named,
        UserKind::Takes if keeps_files(c) => costs.takes_with_volumes,
        UserKind::Takes => costs.takes,
        UserKind::Changes => costs.changes,
        UserKind::Root => costs.root,
        UserKind::Undocumented => costs.undocumented,
    }
}

/// Whether it listens on a port that only CAP_NET_BIND_SERVICE opens, which its file capabilities do not give it.
pub(crate) fn wants_low_port(needs: &ImageNeeds, c: &Confinement) -> bool {
    needs.low_port.is_some_and(|port| !is_free_port(port, c))
        && !needs.bounding.has(Capability::NET_BIND_SERVICE)
}

/// Whether it writes files that outlive it, whose owner is the user it has run as.
fn keeps_files(c: &Confinement) -> bool {
    use confinement::MountSource::{Host, Other, Volume};
    c.mounts.iter().any(|m| {
        m.read_only.value != Some(true) && matches!(m.source.get(), Some(Host(_) | Volume(_) | Other(_)))
    })
}

/// The capabilities of the bounding set that a remedy takes; all that it can take where the set is not known.
fn taken(remedy: &Remedy, c: &Confinement) -> CapabilitySet {
    let had = c.capabilities.bounding.value.unwrap_or(CapabilitySet::ALL);
    let kept = match remedy {
        Remedy::DropCapability(cap) => had.without(*cap),
        Remedy::KeepCapabilities(kept) => *kept,
        Remedy::RemoveAllCapabilities => {
            c.engine.as_ref().map_or(had, |engine| engine.default_capabilities())
        }
        _ => had,
    };
    had.minus(kept)
}

fn capability_cost(cap: Capability, needs: Option<&ImageNeeds>, c: &Confinement) -> u8 {
    let costs = &table::costs().capability;
    let needed = capabilities(c).has(cap);
    match needs {
        Some(needs) if needs.bounding.has(cap) => costs.bounding,
        Some(_) if needed => costs.needed,
        Some(needs) if needs.optional.has(cap) => costs.optional,
        None if needed => costs.stepping_down,
        _ => 0,
    }
}

/// Stepping down by setuid(2), as gosu, su-exec and setpriv do, is not what no_new_privs stops; file capabilities are,
/// where the program is not root and its port is not free.
pub(crate) fn no_new_privileges_breaks(c: &Confinement) -> bool {
    let Some(needs) = of_image(c) else { return false };
    let by_file = needs.bounding.has(Capability::NET_BIND_SERVICE)
        && c.identity.root.value == Some(false)
        && needs.low_port.is_some_and(|port| !is_free_port(port, c));
    needs.no_new_privileges == NoNewPrivileges::Breaks || by_file
}

/// What is known of the image that bears on a remedy, as a sentence for reports. Of an image that only looks like a
/// known one, it says so.
pub fn advice_note(remedy: &Remedy, c: &Confinement) -> Option<String> {
    let reference = c.image.reference.get()?;
    if let Some(needs) = of(reference) {
        return note(remedy, needs, reference, c);
    }
    let needs = looks_like(reference)?;
    let parsed = Reference::parse(reference);
    let name = &parsed.path;
    match remedy {
        Remedy::RunAsNonRoot => Some(format!(
            "{name} looks like {}, and is not known to be; {}",
            parsed.name(),
            user_note(needs, reference, c)
        )),
        _ => None,
    }
}

fn note(remedy: &Remedy, needs: &ImageNeeds, reference: &str, c: &Confinement) -> Option<String> {
    let name = Reference::parse(reference).name().to_owned();
    match remedy {
        Remedy::RunAsNonRoot => Some(user_note(needs, reference, c)),
        Remedy::DropCapability(_) | Remedy::KeepCapabilities(_) | Remedy::RemoveAllCapabilities => {
            capability_note(taken(remedy, c), needs, &name, c)
        }
        Remedy::ReadOnlyRootfs => {
            let wants = wants_volumes(c);
            if !wants.is_empty() {
                return Some(format!("{name} keeps files in {}, which want a volume", list(&wants)));
            }
            let paths = writable_paths(c);
            Some(match paths.as_slice() {
                [] => format!("{name} writes nowhere else than in its volumes"),
                paths => format!("{name} writes to {}", list(paths)),
            })
        }
        Remedy::NoNewPrivileges if no_new_privileges_breaks(c) => {
            Some(format!("{name} gains privileges when it starts, which no_new_privs stops"))
        }
        Remedy::NoNewPrivileges if !needs.capabilities.is_empty() => {
            Some(format!("{name} steps down from root by setuid(2), which no_new_privs leaves alone"))
        }
        Remedy::Limit(LimitKind::Pids) => {
            needs.pids.map(|pids| format!("{name} is documented to need {pids} processes and threads"))
        }
        Remedy::Limit(LimitKind::Memory) => {
            needs.memory.map(|bytes| format!("{name} is documented to need {} MiB", bytes >> 20))
        }
        _ => None,
    }
}

fn user_note(needs: &ImageNeeds, reference: &str, c: &Confinement) -> String {
    let parsed = Reference::parse(reference);
    let name = parsed.name();
    let (uid, gid) = needs.user.ids_of(reference).unwrap_or(NON_ROOT);
    let files = match keeps_files(c) {
        true if in_pod(c) => "; it must be able to write to its volumes (`fsGroup`)",
        true => "; the files in its volumes must belong to that user",
        false => "",
    };
    let port = match needs.low_port {
        Some(port) if wants_low_port(needs, c) => format!(
            "; port {port} is not free to it here: give it one of 1024 or more, or set {PORT_START} to {port}"
        ),
        _ => String::new(),
    };
    match needs.user.kind {
        UserKind::Named => {
            format!("{name} runs as {uid}:{gid} of itself; saying so holds it to that{port}")
        }
        UserKind::Takes => format!("{name} takes the user {uid}:{gid}{files}{port}"),
        UserKind::Changes => {
            let changes = needs.user.changes.as_deref().unwrap_or("changes to its configuration");
            let instead = needs.user.instead.as_deref().map(|i| format!("; {i} takes it as it is"));
            let instead = instead.unwrap_or_default();
            format!("{name} takes the user {uid}:{gid} with {changes}{files}{port}{instead}")
        }
        UserKind::Root => format!("{name} is made to be started as root, and steps down by itself"),
        UserKind::Undocumented => {
            format!("{name} starts as root; that it takes another user is not documented{files}{port}")
        }
    }
}

fn capability_note(taken: CapabilitySet, needs: &ImageNeeds, name: &str, c: &Confinement) -> Option<String> {
    let both = |set: CapabilitySet| CapabilitySet(taken.0 & set.0);
    let started = both(needs.bounding);
    if !started.is_empty() {
        return Some(format!(
            "{name} does not start without {} in the bounding set: its program has file capabilities",
            names(started)
        ));
    }
    let needed = both(capabilities(c));
    if !needed.is_empty() {
        let instead = match needs.user.kind {
            UserKind::Named | UserKind::Takes => ", and none under a user of its own",
            UserKind::Changes | UserKind::Root | UserKind::Undocumented => "",
        };
        return Some(format!("{name} needs {} when it is started as root{instead}", names(needed)));
    }
    let optional = both(needs.optional);
    (!optional.is_empty()).then(|| format!("{name} works without {}, with less", names(optional)))
}

/// `CHOWN, SETGID and SETUID`.
pub(crate) fn names(set: CapabilitySet) -> String {
    list(&set.iter().map(Capability::name).collect::<Vec<_>>())
}

pub(crate) fn list(items: &[&str]) -> String {
    match items {
        [] => "none".into(),
        [one] => (*one).into(),
        [before @ .., last] => format!("{} and {last}", before.join(", ")),
    }
}

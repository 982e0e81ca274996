//! Namespace modes, id maps and networks.

use confinement::confine::{NamespaceRequest, UserNamespaceRequest};
use confinement::{Fact, IdRange, Origin, Request};

use super::{Reference, Surroundings, UNKNOWN};

type Asked = Result<Option<Fact<NamespaceRequest>>, String>;

/// `pid:`/`--pid`. `None` where the value is empty, which is as if nothing had been said.
pub fn pid_namespace(value: &str, origin: &Origin, around: &Surroundings<'_>) -> Asked {
    mode("pid", value, &["private"], origin, around)
}

/// `ipc:`/`--ipc`. A shareable namespace is the container's own; that others join it is said by them.
pub fn ipc_namespace(value: &str, origin: &Origin, around: &Surroundings<'_>) -> Asked {
    mode("ipc", value, &["private", "shareable", "none"], origin, around)
}

/// `uts:`/`--uts`.
pub fn uts_namespace(value: &str, origin: &Origin, around: &Surroundings<'_>) -> Asked {
    mode("uts", value, &["private"], origin, around)
}

/// `cgroup:`/`--cgroupns`.
pub fn cgroup_namespace(value: &str, origin: &Origin, around: &Surroundings<'_>) -> Asked {
    mode("cgroup", value, &["private"], origin, around)
}

fn mode(kind: &str, value: &str, own: &[&str], origin: &Origin, around: &Surroundings<'_>) -> Asked {
    if value.is_empty() {
        return Ok(None);
    }
    if let Some(shared) = shared(value, origin, around)? {
        return Ok(Some(shared));
    }
    if own.contains(&value) {
        return Ok(Some(Fact::known(NamespaceRequest::Private, origin.clone())));
    }
    Err(format!("`{value}` is not a mode of the {kind} namespace"))
}

/// The modes that every kind of namespace has: the host's, another container's, a path to one.
fn shared(
    value: &str,
    origin: &Origin,
    around: &Surroundings<'_>,
) -> Result<Option<Fact<NamespaceRequest>>, String> {
    let request = match value.split_once(':') {
        _ if value == "host" => NamespaceRequest::Host,
        Some((kind @ ("container" | "service"), name)) => {
            if name.is_empty() {
                return Err(format!("`{value}` names no {kind}"));
            }
            if name.contains(UNKNOWN) {
                return Ok(Some(Fact::unknown(origin.clone())));
            }
            let reference =
                if kind == "service" { Reference::Service(name) } else { Reference::Container(name) };
            NamespaceRequest::Container((around.subject)(reference))
        }
        // A path under the first process is the host's; whose another is, only the host can tell.
        Some(("ns", path)) if path.starts_with("/proc/1/ns/") => NamespaceRequest::Host,
        Some(("ns", _)) => return Ok(Some(Fact::unknown(origin.clone()))),
        _ if value.contains(UNKNOWN) => return Ok(Some(Fact::unknown(origin.clone()))),
        _ => return Ok(None),
    };
    Ok(Some(Fact::known(request, origin.clone())))
}

/// `userns_mode:`/`--userns`: Docker knows `host` only, the rest is podman-run(1). `None` where the value is empty.
pub fn user_namespace(value: &str, origin: &Origin) -> Result<Option<Fact<UserNamespaceRequest>>, String> {
    if value.contains(UNKNOWN) {
        return Ok(Some(Fact::unknown(origin.clone())));
    }
    let request = match value.split(':').next().unwrap_or(value) {
        "" => return Ok(None),
        "host" => UserNamespaceRequest::Host,
        "private" | "auto" | "nomap" => UserNamespaceRequest::Private,
        "keep-id" => UserNamespaceRequest::KeepId,
        // Whether the one that is joined is the host's is not said here.
        "container" | "ns" => return Ok(Some(Fact::unknown(origin.clone()))),
        _ => return Err(format!("`{value}` is not a mode of the user namespace")),
    };
    Ok(Some(Fact::known(request, origin.clone())))
}

/// `--uidmap` and `--gidmap`, `CONTAINER:HOST[:AMOUNT]` each, as podman-run(1) reads them; where only one kind is
/// given it stands for both. Maps that extend or cut the engine's own (`+`, `@`, `u` and `g` flags) make a user
/// namespace whose ranges are the engine's to work out.
pub fn id_maps(
    uid: &[(&str, Origin)],
    gid: &[(&str, Origin)],
) -> Result<Option<Fact<UserNamespaceRequest>>, String> {
    let Some((_, origin)) = uid.first().or(gid.first()) else { return Ok(None) };
    if uid.iter().chain(gid).any(|(text, _)| text.contains(UNKNOWN)) {
        return Ok(Some(Fact::unknown(origin.clone())));
    }
    let read = |maps: &[(&str, Origin)]| -> Result<Option<Vec<IdRange>>, String> {
        let mut ranges = Vec::new();
        for (text, _) in maps {
            match id_range(text)? {
                Some(range) => ranges.push(range),
                None => return Ok(None),
            }
        }
        Ok(Some(ranges))
    };
    let (uid, gid) = (if uid.is_empty() { gid } else { uid }, if gid.is_empty() { uid } else { gid });
    let request = match (read(uid)?, read(gid)?) {
        (Some(uid), Some(gid)) => UserNamespaceRequest::Maps { uid: uid.into(), gid: gid.into() },
        _ => UserNamespaceRequest::Private,
    };
    Ok(Some(Fact::known(request, origin.clone())))
}

fn id_range(text: &str) -> Result<Option<IdRange>, String> {
    let wrong = || format!("`{text}` is not CONTAINER:HOST[:AMOUNT]");
    if text.starts_with(['+', 'u', 'g']) || text.contains('@') {
        return Ok(None);
    }
    let numbers = text.split(':').map(|n| n.parse::<u32>().map_err(|_| wrong()));
    match numbers.collect::<Result<Vec<u32>, String>>()?.as_slice() {
        [inside, outside] => Ok(Some(IdRange { inside: *inside, outside: *outside, count: 1 })),
        [inside, outside, count] => Ok(Some(IdRange { inside: *inside, outside: *outside, count: *count })),
        _ => Err(wrong()),
    }
}

/// `network_mode:`/`--network`: a namespace to share, none, or a network of the container's own. A network of
/// any name is one that other containers may be on.
pub fn network(
    value: &str,
    origin: &Origin,
    around: &Surroundings<'_>,
    request: &mut Request,
) -> Result<(), String> {
    if value.is_empty() {
        return Ok(());
    }
    if let Some(net) = shared(value, origin, around)? {
        request.net = Some(net);
        return Ok(());
    }
    let known = |value: bool| Some(Fact::known(value, origin.clone()));
    let name = value.split(':').next().unwrap_or(value);
    request.net = Some(Fact::known(NamespaceRequest::Private, origin.clone()));
    match name {
        "none" => {
            request.attached = known(false);
            request.shared_segment = known(false);
        }
        // podman-run(1): user-mode networking, a link of the container's own; `private` lets the engine choose.
        "slirp4netns" | "pasta" => {
            request.attached = known(true);
            request.shared_segment = known(false);
        }
        "private" => {}
        _ => {
            request.attached = known(true);
            request.shared_segment = known(true);
        }
    }
    Ok(())
}

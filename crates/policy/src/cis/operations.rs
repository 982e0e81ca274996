//! Section 6, section 7 and 5.1: what a live engine tells of itself.

use confinement::Origin;
use sources::inventory::{EngineInventory, Swarm};

use super::{Ruling, Told, read};

/// 6.1
pub(super) fn images(engine: &EngineInventory) -> Ruling {
    let Some(images) = &engine.images else {
        return Ruling::unknown("the images could not be listed", &Origin::Nowhere);
    };
    Ruling::manual(format!("{} images, {} in use", images.len(), engine.images_used.unwrap_or(0)))
}

/// 6.2
pub(super) fn containers(engine: &EngineInventory) -> Ruling {
    match (engine.containers, engine.running) {
        (Some(all), Some(running)) => Ruling::manual(format!("{all} containers, {running} running")),
        _ => Ruling::unknown("the containers could not be counted", &Origin::Nowhere),
    }
}

/// 1.2.2
pub(super) fn version(engine: &EngineInventory) -> Ruling {
    match &engine.version {
        Some(version) => {
            Ruling::manual(format!("Docker {version}; known flaws of it are among the findings"))
        }
        None => Ruling::unknown("the version is not known", &Origin::Nowhere),
    }
}

/// 5.1
pub(super) fn swarm_off(engine: &EngineInventory) -> Ruling {
    match &engine.swarm {
        Some(swarm) if !swarm.active => Ruling::PASS,
        Some(_) => Ruling::fail("swarm mode is on", &read("docker info: Swarm.LocalNodeState")),
        None => Ruling::unknown("whether swarm mode is on is not known", &Origin::Nowhere),
    }
}

/// Asks a manager; where swarm mode is off nothing applies.
fn swarm(engine: &EngineInventory, judge: impl FnOnce(&Swarm) -> Ruling) -> Ruling {
    match &engine.swarm {
        Some(swarm) if !swarm.active => Ruling::not_applicable("swarm mode is off"),
        Some(swarm) if swarm.manager => judge(swarm),
        Some(_) => Ruling::unknown("only a manager of the swarm is told", &read("docker info: Swarm")),
        None => Ruling::unknown("whether swarm mode is on is not known", &Origin::Nowhere),
    }
}

/// 7.1: managers agree by majority, so that an even number adds one that may be taken over and no tolerance.
pub(super) fn managers(engine: &EngineInventory) -> Ruling {
    let origin = read("docker info: Swarm.Managers");
    swarm(engine, |swarm| match swarm.managers {
        Some(n) if n % 2 == 1 && n <= 7 => Ruling::PASS,
        Some(n) => {
            Ruling::fail(format!("the swarm has {n} managers; an odd number up to 7 is enough"), &origin)
        }
        None => Ruling::unknown("the number of managers is not known", &origin),
    })
}

/// 7.3
pub(super) fn overlays(engine: &EngineInventory) -> Ruling {
    if engine.swarm.as_ref().is_some_and(|swarm| !swarm.active) {
        return Ruling::not_applicable("swarm mode is off");
    }
    let Some(overlays) = &engine.overlays else {
        return Ruling::unknown("the networks could not be listed", &Origin::Nowhere);
    };
    let plain = overlays.iter().filter(|network| !network.encrypted);
    let told = plain.map(|network| {
        Told::new(
            format!("the overlay network {} is not encrypted", network.name),
            &read("docker network ls"),
        )
    });
    Ruling::all(told.collect())
}

/// 7.4
pub(super) fn secrets(engine: &EngineInventory) -> Ruling {
    swarm(engine, |swarm| match swarm.secrets {
        Some(0) => {
            Ruling::manual("the swarm keeps no secrets; whether it has some elsewhere is not seen here")
        }
        Some(_) => Ruling::PASS,
        None => Ruling::unknown("the secrets could not be listed", &Origin::Nowhere),
    })
}

/// 7.5
pub(super) fn auto_lock(engine: &EngineInventory) -> Ruling {
    let origin = read("docker swarm inspect: Spec.EncryptionConfig.AutoLockManagers");
    swarm(engine, |swarm| match swarm.auto_lock {
        Some(true) => Ruling::PASS,
        Some(false) => Ruling::fail("managers start without being unlocked", &origin),
        None => Ruling::unknown("whether managers are locked is not known", &origin),
    })
}

/// 7.7
pub(super) fn certificates(engine: &EngineInventory) -> Ruling {
    swarm(engine, |swarm| match swarm.certificate_seconds {
        Some(seconds) if seconds <= 48 * 3600 => Ruling::PASS,
        Some(seconds) => Ruling::manual(format!("certificates of nodes hold for {} days", seconds / 86_400)),
        None => Ruling::unknown("how long certificates hold is not known", &Origin::Nowhere),
    })
}

/// 7.2, by the listeners of the host that the engine runs on.
pub(super) fn bound(engine: &EngineInventory) -> Ruling {
    swarm(engine, |swarm| match swarm.listens_everywhere {
        Some(false) => Ruling::PASS,
        Some(true) => Ruling::fail("the swarm's port 2377 is open on every address", &read("/proc/net/tcp")),
        None => Ruling::unknown("on which addresses the swarm listens is not known", &Origin::Nowhere),
    })
}

macro_rules! by_hand {
    ($($name:ident: $message:literal;)*) => {
        $(pub(super) fn $name(engine: &EngineInventory) -> Ruling {
            swarm(engine, |_| Ruling::manual($message))
        })*
    };
}

by_hand! {
    lock_rotated: "when the key was changed is not kept";
    authority_rotated: "when the authority was changed is not judged";
    planes: "which addresses carry data is not told by a running swarm";
}

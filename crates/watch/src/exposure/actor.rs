//! What one process has beyond its container: `docker exec --privileged`, `-u 0`, nsenter, a set-user-ID program, a
//! kernel that was made to give it. Only more counts: a path that is open to any process of a container is open.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use confinement::{AppArmor, CapabilitySet, Confinement, Fact, IdRange, Origin, SeLinux, Seccomp};
use sensor::event::Credentials;

use super::at_start::INITIAL_USER_NAMESPACE;

/// A confinement, and what a process has that it does not give.
#[derive(Clone)]
pub(super) struct Raised {
    base: Arc<Confinement>,
    /// In the initial user namespace, which the container is not.
    on_host: bool,
    /// Every set of capabilities as this process's are with the container's.
    sets: [u64; 5],
    /// Root inside, or on the host where it is there.
    root: bool,
    privileges_rise: bool,
    no_seccomp: bool,
    /// The bounding set only ever shrinks from within: who has more in it was put in from outside, where a security
    /// module may have been told to let it be (`docker exec --privileged`, moby daemon/exec_linux.go).
    put_in: bool,
}

impl PartialEq for Raised {
    fn eq(&self, other: &Raised) -> bool {
        Arc::ptr_eq(&self.base, &other.base) && self.rest() == other.rest()
    }
}
impl Eq for Raised {}
impl Hash for Raised {
    fn hash<H: Hasher>(&self, state: &mut H) {
        // The base is kept, so that its address stays its own.
        (Arc::as_ptr(&self.base) as usize, self.rest()).hash(state);
    }
}

impl Raised {
    fn rest(&self) -> (bool, [u64; 5], bool, bool, bool, bool) {
        (self.on_host, self.sets, self.root, self.privileges_rise, self.no_seccomp, self.put_in)
    }

    /// `None` where the process has nothing that its container does not give.
    pub(super) fn of(base: &Arc<Confinement>, own: u32, actor: &Credentials) -> Option<Raised> {
        let on_host = actor.user_namespace == INITIAL_USER_NAMESPACE
            && base.user_namespace.initial.value == Some(false)
            && own != INITIAL_USER_NAMESPACE;
        let given = &base.capabilities;
        let theirs = [actor.effective, actor.permitted, actor.inheritable, actor.bounding, actor.ambient];
        let ours = [&given.effective, &given.permitted, &given.inheritable, &given.bounding, &given.ambient]
            .map(|fact| fact.get().map_or(0, |set| set.0));
        // Capabilities of a namespace that the process made for itself reach no further than that.
        let same = actor.user_namespace == own;
        let mut sets = ours;
        if on_host {
            sets = theirs;
        } else if same {
            for (set, more) in sets.iter_mut().zip(theirs) {
                *set |= more;
            }
        }
        let inside = if on_host { Some(actor.euid) } else { inside(base, actor.euid) };
        let raised = Raised {
            base: base.clone(),
            on_host,
            sets,
            root: inside == Some(0) && base.identity.root.value != Some(true),
            privileges_rise: !actor.no_new_privileges && base.identity.no_new_privileges.value == Some(true),
            no_seccomp: actor.seccomp == 0 && base.seccomp.get().is_some_and(|s| *s != Seccomp::Disabled),
            put_in: on_host || (same && given.bounding.is_known() && sets[3] & !ours[3] != 0),
        };
        let more = on_host || sets != ours || raised.root || raised.privileges_rise || raised.no_seccomp;
        more.then_some(raised)
    }

    /// The confinement of that process.
    pub(super) fn apply(&self) -> Confinement {
        let origin = || Origin::measured("the credentials of the process that did it");
        let mut c = (*self.base).clone();
        let sets = &mut c.capabilities;
        let fields = [
            &mut sets.effective,
            &mut sets.permitted,
            &mut sets.inheritable,
            &mut sets.bounding,
            &mut sets.ambient,
        ];
        for (fact, bits) in fields.into_iter().zip(self.sets) {
            if fact.get().map(|set| set.0) != Some(bits) {
                *fact = Fact::known(CapabilitySet(bits), origin());
            }
        }
        if self.on_host {
            c.user_namespace.initial = Fact::known(true, origin());
            c.user_namespace.root_is_host_root = Fact::known(true, origin());
            c.user_namespace.uid_map = Fact::known([IdRange::IDENTITY].into(), origin());
            c.user_namespace.gid_map = Fact::known([IdRange::IDENTITY].into(), origin());
        }
        if self.root {
            c.identity.root = Fact::known(true, origin());
            c.identity.uid = Fact::known(0, origin());
        }
        if self.privileges_rise {
            c.identity.no_new_privileges = Fact::known(false, origin());
        }
        if self.no_seccomp {
            c.seccomp = Fact::known(Seccomp::Disabled, origin());
        }
        if self.put_in {
            if matches!(c.apparmor.get(), Some(AppArmor::Profile { .. })) {
                c.apparmor = Fact::unknown(origin());
            }
            if matches!(c.selinux.get(), Some(SeLinux::Confined { .. } | SeLinux::Custom { .. })) {
                c.selinux = Fact::unknown(origin());
            }
        }
        c
    }
}

/// An id of the initial user namespace as the container has it; `None` where that is not known, or has no such id.
fn inside(base: &Confinement, outside: u32) -> Option<u32> {
    if base.user_namespace.initial.value == Some(true) {
        return Some(outside);
    }
    let map = base.user_namespace.uid_map.get()?;
    map.iter()
        .find(|r| outside >= r.outside && outside - r.outside < r.count)
        .and_then(|r| r.inside.checked_add(outside - r.outside))
}

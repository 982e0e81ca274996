//! Who a container, network or scratch folder of a trial belongs to, written in labels and names, so that what a
//! killed trial left behind can be told from what a running one uses.
//!
//! A process is the same one where machine, boot, process namespace, number and start time are the same (proc(5),
//! /proc/PID/stat, field 22). An owner on another machine or in another process namespace cannot be seen from here;
//! what is its is left behind only when its deadline has passed.

use std::fmt;
use std::str::FromStr;
use std::time::{SystemTime, UNIX_EPOCH};

/// The labels of everything that a trial makes.
pub(super) const LABEL: &str = "dev.stockade.trial";
pub(super) const OWNER_LABEL: &str = "dev.stockade.trial.owner";
/// In seconds since 1970.
pub(super) const DEADLINE_LABEL: &str = "dev.stockade.trial.deadline";

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Owner {
    machine: String,
    boot: String,
    namespace: String,
    pid: u32,
    started: u64,
}

impl Owner {
    /// This process.
    pub(super) fn current() -> Owner {
        let read = |path: &str| std::fs::read_to_string(path).map(|text| tidy(&text)).unwrap_or_default();
        let namespace = std::fs::read_link("/proc/self/ns/pid").map(|link| tidy(&link.to_string_lossy()));
        let pid = std::process::id();
        Owner {
            machine: read("/etc/machine-id"),
            boot: read("/proc/sys/kernel/random/boot_id"),
            namespace: namespace.unwrap_or_default(),
            pid,
            started: start_time(pid).unwrap_or(0),
        }
    }

    /// Whether the process is known to have ended, as seen from another one.
    pub(super) fn has_ended(&self, seen_from: &Owner) -> bool {
        if self.machine != seen_from.machine {
            return false;
        }
        if self.boot != seen_from.boot {
            return true;
        }
        self.namespace == seen_from.namespace && start_time(self.pid) != Some(self.started)
    }
}

/// Letters, digits and hyphens: what stands in a label without quoting.
fn tidy(text: &str) -> String {
    text.chars().filter(|c| c.is_ascii_alphanumeric() || *c == '-').take(64).collect()
}

/// In clock ticks since boot.
fn start_time(pid: u32) -> Option<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name before the last parenthesis may hold anything; field 3 follows it.
    let mut fields = stat.rsplit_once(')')?.1.split_ascii_whitespace();
    if fields.next()? == "Z" {
        return None;
    }
    fields.nth(18)?.parse().ok()
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}.{}.{}", self.machine, self.boot, self.namespace, self.pid, self.started)
    }
}

impl FromStr for Owner {
    type Err = ();
    fn from_str(text: &str) -> Result<Owner, ()> {
        let parts: Vec<&str> = text.split('.').collect();
        let [machine, boot, namespace, pid, started] = parts.as_slice() else { return Err(()) };
        Ok(Owner {
            machine: (*machine).into(),
            boot: (*boot).into(),
            namespace: (*namespace).into(),
            pid: pid.parse().map_err(|_| ())?,
            started: started.parse().map_err(|_| ())?,
        })
    }
}

/// Seconds since 1970.
pub(super) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// Whether what carries these labels was left behind. A label that cannot be read leaves the deadline to decide.
pub(super) fn is_left_behind(owner: &str, deadline: &str, seen_from: &Owner) -> bool {
    let ended = owner.parse::<Owner>().is_ok_and(|owner| owner.has_ended(seen_from));
    ended || deadline.trim().parse::<u64>().is_ok_and(|deadline| deadline < now())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_running_owner_is_not_taken_for_an_ended_one() {
        let own = Owner::current();
        assert_eq!(own.to_string().parse(), Ok(own.clone()));
        let later = (now() + 100).to_string();
        assert!(!is_left_behind(&own.to_string(), &later, &own));
        assert!(is_left_behind(&own.to_string(), "1000", &own), "its deadline has passed");
    }

    #[test]
    fn another_process_boot_or_machine_is_told_apart() {
        let own = Owner::current();
        let later = (now() + 100).to_string();
        let judge = |owner: Owner| is_left_behind(&owner.to_string(), &later, &own);
        assert!(judge(Owner { started: own.started + 1, ..own.clone() }), "the number was taken by another");
        assert!(judge(Owner { boot: "other".into(), ..own.clone() }));
        assert!(!judge(Owner { machine: "other".into(), boot: "other".into(), ..own.clone() }));
        assert!(!judge(Owner { namespace: "other".into(), started: 1, ..own.clone() }));
        let mut child = std::process::Command::new("true").spawn().unwrap();
        let ended = Owner { pid: child.id(), started: start_time(child.id()).unwrap_or(1), ..own.clone() };
        child.wait().unwrap();
        assert!(judge(ended));
    }

    #[test]
    fn labels_that_cannot_be_read_are_judged_by_the_deadline_alone() {
        let own = Owner::current();
        assert!(!is_left_behind("nonsense", "nonsense", &own));
        assert!(is_left_behind("nonsense", "12", &own));
    }
}

//! `/proc/PID/status` (proc_pid_status(5)) and the id maps.

use confinement::{CapabilitySet, IdRange};

use crate::measured::Credentials;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Status {
    pub name: String,
    pub parent: u32,
    /// With ids as the reader's user namespace has them.
    pub credentials: Credentials,
}

impl Status {
    /// `None` where a line that proc_pid_status(5) documents is missing or has another form.
    pub(super) fn parse(text: &str) -> Option<Status> {
        let line = |name: &str| {
            text.lines().find_map(|l| l.strip_prefix(name)?.strip_prefix(':').map(|value| value.trim()))
        };
        let second = |name: &str| line(name)?.split_ascii_whitespace().nth(1)?.parse().ok();
        let set = |name: &str| u64::from_str_radix(line(name)?, 16).ok().map(CapabilitySet);
        let groups = line("Groups")?.split_ascii_whitespace().map(|g| g.parse().ok());
        Some(Status {
            name: line("Name")?.to_owned(),
            parent: line("PPid")?.parse().ok()?,
            credentials: Credentials {
                // Real, effective, saved, file system.
                uid: second("Uid")?,
                gid: second("Gid")?,
                groups: groups.collect::<Option<_>>()?,
                inheritable: set("CapInh")?,
                permitted: set("CapPrm")?,
                effective: set("CapEff")?,
                bounding: set("CapBnd")?,
                // Since Linux 4.3.
                ambient: set("CapAmb").unwrap_or_default(),
                no_new_privileges: line("NoNewPrivs")? != "0",
                // Absent where the kernel is built without seccomp.
                seccomp_mode: line("Seccomp").and_then(|mode| mode.parse().ok()).unwrap_or(0),
            },
        })
    }
}

/// `/proc/PID/uid_map` and `gid_map` (user_namespaces(7)).
pub(super) fn id_map(text: &str) -> Option<Vec<IdRange>> {
    text.lines()
        .map(|line| {
            let mut numbers = line.split_ascii_whitespace().map(|n| n.parse::<u32>().ok());
            let (inside, outside, count) = (numbers.next()??, numbers.next()??, numbers.next()??);
            Some(IdRange { inside, outside, count })
        })
        .collect()
}

/// The id inside a namespace that is `outside` for its parent; the kernel shows ids without one as 65534
/// (overflowuid, proc_sys_kernel(5)).
pub(super) fn to_inside(map: &[IdRange], outside: u32) -> u32 {
    map.iter()
        .find(|r| outside >= r.outside && outside - r.outside < r.count)
        .and_then(|r| r.inside.checked_add(outside - r.outside))
        .unwrap_or(65534)
}

/// The credentials as the process itself has them.
pub(super) fn inside(mut credentials: Credentials, uid_map: &[IdRange], gid_map: &[IdRange]) -> Credentials {
    credentials.uid = to_inside(uid_map, credentials.uid);
    credentials.gid = to_inside(gid_map, credentials.gid);
    for group in &mut credentials.groups {
        *group = to_inside(gid_map, *group);
    }
    credentials
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "Name:\tx\\ny: z\nUmask:\t0022\nPPid:\t7\nUid:\t1\t2\t3\t4\nGid:\t5\t6\t7\t8\nGroups:\t9 10 \n\
        CapInh:\t0\nCapPrm:\t00000000a80425fb\nCapEff:\t1\nCapBnd:\t1ffffffffff\nCapAmb:\t0\nNoNewPrivs:\t1\nSeccomp:\t2\n";

    #[test]
    fn the_effective_ids_and_every_set_are_read() {
        let status = Status::parse(TEXT).unwrap();
        let found = status.credentials;
        assert_eq!((status.name.as_str(), status.parent), ("x\\ny: z", 7));
        assert_eq!((found.uid, found.gid, found.groups), (2, 6, vec![9, 10]));
        assert_eq!(found.bounding, CapabilitySet::ALL);
        assert!(found.no_new_privileges && found.seccomp_mode == 2);
        assert_eq!(Status::parse(&TEXT.replace("CapBnd", "Cap")), None);
        assert_eq!(Status::parse(&TEXT.replace("\t2\t", "\t-2\t")), None);
    }

    #[test]
    fn ids_are_turned_into_those_of_the_container() {
        let map = id_map("         0     100000      65536\n     70000          5          1\n").unwrap();
        assert_eq!(to_inside(&map, 100_000), 0);
        assert_eq!(to_inside(&map, 5), 70_000);
        assert_eq!(to_inside(&map, 0), 65_534);
        assert_eq!(id_map("0 0 4294967295\n").unwrap(), [IdRange::IDENTITY]);
        assert_eq!(id_map("0 x 1\n"), None);
        assert_eq!(id_map("").unwrap(), []);
    }
}

//! Who may use Docker's API, and so is root on the host: the socket's owner and mode, and the group's members.

use super::disk::Disk;
use super::{Command, Known, Proposal};

const SOCKET: &str = "/run/docker.sock";
const FILE: &str = "/etc/docker/daemon.json";

pub(super) fn propose(known: &Known<'_>, disk: &Disk<'_>, proposal: &mut Proposal) {
    let rootless = known.docker.is_some_and(|running| running.engine.settings.rootless.value == Some(true));
    if rootless {
        return;
    }
    let mut groups = vec!["docker".to_owned()];
    if let Some(owner) = disk.owner(SOCKET).filter(|owner| owner.is_socket) {
        let mode = owner.mode & 0o777;
        if mode & 0o007 != 0 {
            proposal.commands.push(
                Command::new(
                    ["chmod", "0660", SOCKET],
                    format!(
                        "every process of this host may use the engine, and so be root ({mode:04o}) [engine-api, CIS \
                         Docker 3.16]; the unit docker.socket sets the mode at the next start"
                    ),
                )
                .undone_by(format!("chmod {mode:04o} {SOCKET}")),
            );
        }
        if owner.uid != 0 {
            proposal.commands.push(
                Command::new(
                    ["chown", "root", SOCKET],
                    format!("the socket belongs to user {} [engine-api, CIS Docker 3.15]", owner.uid),
                )
                .undone_by(format!("chown {} {SOCKET}", owner.uid)),
            );
        }
        groups = group_of(disk, owner.gid).into_iter().collect();
    }
    members(&groups, disk, proposal);
    if let Some(owner) = disk.owner(FILE) {
        if owner.mode & 0o022 != 0 {
            let mode = owner.mode & 0o777;
            let why = format!("others than root change what dockerd does ({mode:04o}) [CIS Docker 3.18]");
            proposal.commands.push(
                Command::new(["chmod", "0644", FILE], why).undone_by(format!("chmod {mode:04o} {FILE}")),
            );
        }
        if owner.uid != 0 {
            let why = format!("the file belongs to user {} [CIS Docker 3.17]", owner.uid);
            proposal.commands.push(
                Command::new(["chown", "root:root", FILE], why)
                    .undone_by(format!("chown {}:{} {FILE}", owner.uid, owner.gid)),
            );
        }
    }
}

fn group_of(disk: &Disk<'_>, gid: u32) -> Option<String> {
    let text = disk.read("/etc/group")?;
    text.lines().find_map(|line| {
        let fields: Vec<&str> = line.split(':').collect();
        (fields.get(2)?.parse() == Ok(gid)).then(|| fields.first().map(|name| (*name).to_owned()))?
    })
}

/// group(5), and who has it as the first group in passwd(5).
fn members(groups: &[String], disk: &Disk<'_>, proposal: &mut Proposal) {
    let text = disk.read("/etc/group").unwrap_or_default();
    let accounts = disk.read("/etc/passwd").unwrap_or_default();
    for line in text.lines() {
        let fields: Vec<&str> = line.split(':').collect();
        let [name, _, gid, listed, ..] = fields.as_slice() else { continue };
        if !groups.iter().any(|group| group == name) || *name == "root" {
            continue;
        }
        let mut people: Vec<&str> = listed.split(',').filter(|member| !member.is_empty()).collect();
        people.extend(accounts.lines().filter_map(|line| {
            let fields: Vec<&str> = line.split(':').collect();
            let (account, first) = (fields.first()?, fields.get(3)?);
            (first == gid && *account != "root").then_some(*account)
        }));
        people.sort_unstable();
        people.dedup();
        if !people.is_empty() {
            proposal.notes.push(format!(
                "members of group {name} use the engine, and so are root without a password: {} [engine-api, CIS Docker \
                 1.1.2]; `gpasswd --delete NAME {name}` takes one out",
                people.join(", ")
            ));
        }
    }
}

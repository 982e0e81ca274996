//! What a container with everything granted shows of what it needs: the places it wrote to, by the engine's own list of
//! changes, and the users its processes ran as. Both are candidates only; runs decide.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::TrialError;
use super::engine::Engine;
use super::grant::{Folder, Grant, User};
use super::journal::Written;
use super::scratch::save_from;

/// How much of a folder's archive is looked at.
const LOOK: u64 = 4 << 20;
/// Candidates are bounded; a workload that writes to more places than this needs a writable root.
const MOST_PATHS: usize = 40;

/// Folders too broad to put a tmpfs on: what is in them is the image's.
const BROAD: &[&str] = &[
    "/",
    "/bin",
    "/boot",
    "/etc",
    "/home",
    "/lib",
    "/lib64",
    "/media",
    "/mnt",
    "/opt",
    "/root",
    "/sbin",
    "/srv",
    "/usr",
    "/usr/bin",
    "/usr/lib",
    "/usr/local",
    "/usr/sbin",
    "/usr/share",
    "/var",
    "/var/cache",
    "/var/lib",
];

/// Mounts of the engine's own.
const ENGINE_OWN: &[&str] = &[
    "/dev",
    "/proc",
    "/sys",
    "/etc/hosts",
    "/etc/hostname",
    "/etc/resolv.conf",
    "/run/.containerenv",
    "/.dockerenv",
];

/// What a path is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) is_folder: bool,
    pub(super) folder: Folder,
    /// Something in it is no folder.
    pub(super) has_files: bool,
}

/// The folders that changes of the form `A /path`, `C /path`, `D /path` were made in. `is_folder` says what a path is
/// now; `given` are the targets of mounts, below which nothing is asked for.
pub(super) fn folders(
    changes: &str,
    given: &[&str],
    mut is_folder: impl FnMut(&str) -> Result<bool, TrialError>,
) -> Result<Vec<String>, TrialError> {
    let lines =
        changes.lines().filter_map(|line| line.split_once(' ')).filter(|(_, path)| path.starts_with('/'));
    let all: BTreeMap<&str, &str> = lines.map(|(kind, path)| (path, kind)).collect();
    let within =
        |path: &str, root: &str| path == root || path.strip_prefix(root).is_some_and(|r| r.starts_with('/'));
    let has_children = |path: &str| {
        let below = format!("{path}/");
        all.range(below.as_str()..).next().is_some_and(|(next, _)| next.starts_with(&below))
    };
    let mut found = BTreeSet::new();
    for (path, kind) in &all {
        if ENGINE_OWN.iter().chain(given).any(|own| within(path, own)) || found.len() >= MOST_PATHS {
            continue;
        }
        let parent = parent(path);
        let new = *kind == "A";
        // What lies in a new folder is in that folder; a folder that changed because of what is in it says nothing.
        let in_new = all.get(parent) == Some(&"A");
        if in_new || (!new && *kind == "C" && has_children(path)) {
            continue;
        }
        let place = match new {
            true if !BROAD.contains(&parent) => parent,
            _ if *kind == "D" => parent,
            _ if has_children(path) || is_folder(path)? => path,
            _ => parent,
        };
        if place != "/" {
            found.insert(place.to_owned());
        }
    }
    Ok(found.into_iter().collect())
}

pub(super) fn parent(path: &str) -> &str {
    match path.rsplit_once('/') {
        Some(("", _)) | None => "/",
        Some((parent, _)) => parent,
    }
}

/// The first entry of the archive that `cp` gives of a path, and whether files follow. `None` where nothing is there.
pub(super) fn look(
    engine: &Engine,
    container: &str,
    path: &str,
    scratch: &Path,
) -> Result<Option<Seen>, TrialError> {
    let _ = std::fs::remove_file(scratch);
    save_from(engine, container, path, scratch, LOOK)?;
    let file = std::fs::File::open(scratch).map_err(|error| TrialError::file(scratch, &error))?;
    let seen = read_archive(file);
    let _ = std::fs::remove_file(scratch);
    Ok(seen)
}

/// An archive may be cut short; what stands before the cut counts.
fn read_archive(archive: impl std::io::Read) -> Option<Seen> {
    let mut archive = tar::Archive::new(archive);
    let mut seen: Option<Seen> = None;
    for entry in archive.entries().ok()? {
        let Ok(entry) = entry else { break };
        let header = entry.header();
        let is_folder = header.entry_type().is_dir();
        match &mut seen {
            None => {
                let id = |id: std::io::Result<u64>| id.ok().and_then(|id| u32::try_from(id).ok());
                let folder = Folder {
                    uid: id(header.uid())?,
                    gid: id(header.gid())?,
                    mode: header.mode().ok()? & 0o7777,
                };
                seen = Some(Seen { is_folder, folder, has_files: false });
                if !is_folder {
                    break;
                }
            }
            Some(seen) if !is_folder => {
                seen.has_files = true;
                break;
            }
            Some(_) => {}
        }
    }
    seen
}

/// A tmpfs where the image has no files, a volume with the image's files where it has some.
pub(super) fn written(path: &str, in_image: Option<Seen>) -> Written {
    let in_image = in_image.filter(|seen| seen.is_folder);
    let grant = match in_image {
        Some(seen) if seen.has_files => Grant::Volume(path.to_owned()),
        _ => Grant::Tmpfs(path.to_owned()),
    };
    Written { grant, folder: in_image.map(|seen| seen.folder) }
}

/// A file of a container, bounded; empty where it is not there.
pub(super) fn file(
    engine: &Engine,
    container: &str,
    path: &str,
    scratch: &Path,
) -> Result<String, TrialError> {
    let _ = std::fs::remove_file(scratch);
    save_from(engine, container, path, scratch, LOOK)?;
    let archive = std::fs::File::open(scratch).map_err(|error| TrialError::file(scratch, &error))?;
    let mut text = String::new();
    if let Ok(mut entries) = tar::Archive::new(archive).entries()
        && let Some(Ok(entry)) = entries.next()
    {
        let _ = std::io::Read::read_to_string(&mut std::io::Read::take(entry, LOOK), &mut text);
    }
    let _ = std::fs::remove_file(scratch);
    Ok(text)
}

/// What `user`, `user:group` or nothing comes to, by the image's passwd(5) and group(5) (moby/sys user, `GetExecUser`).
pub(super) fn resolve(user: &str, passwd: &str, group: &str) -> Option<(u32, u32)> {
    let (name, of_group) = user.split_once(':').unwrap_or((user, ""));
    let entries = || passwd.lines().map(|line| line.split(':').collect::<Vec<_>>());
    let number = |text: Option<&&str>| text.and_then(|text| text.parse::<u32>().ok());
    let by_name = entries().find(|fields| fields.first() == Some(&name) && !name.is_empty());
    let (uid, gid) = match (name.parse::<u32>(), by_name) {
        (_, Some(fields)) => (number(fields.get(2))?, number(fields.get(3))?),
        (Ok(uid), None) => {
            let entry = entries().find(|fields| number(fields.get(2)) == Some(uid));
            (uid, entry.and_then(|fields| number(fields.get(3))).unwrap_or(0))
        }
        (Err(_), None) if name.is_empty() => (0, 0),
        (Err(_), None) => return None,
    };
    if of_group.is_empty() {
        return Some((uid, gid));
    }
    let named = group.lines().map(|line| line.split(':').collect::<Vec<_>>());
    let named =
        named.filter(|fields| fields.first() == Some(&of_group)).find_map(|fields| number(fields.get(2)));
    Some((uid, of_group.parse().ok().or(named)?))
}

/// Users other than root that processes of the container's pid namespace run as, those with most processes first, in
/// the ids of the container.
pub(super) fn users_of_processes(init: u32) -> Vec<User> {
    let namespace = |pid: &str| std::fs::read_link(format!("/proc/{pid}/ns/pid")).ok();
    let of_container = namespace(&init.to_string());
    // A container in the host's pid namespace cannot be told from the host by it.
    if of_container.is_none() || of_container == namespace("self") {
        return ids_of(&init.to_string()).into_iter().map(|(uid, gid)| User::of_ids(uid, gid)).collect();
    }
    let mut counts: BTreeMap<(u32, u32), usize> = BTreeMap::new();
    for entry in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
        let pid = entry.file_name().to_string_lossy().into_owned();
        let is_process = pid.starts_with(|c: char| c.is_ascii_digit());
        if is_process
            && namespace(&pid) == of_container
            && let Some(ids) = ids_of(&pid)
        {
            *counts.entry(ids).or_default() += 1;
        }
    }
    let mut counts: Vec<_> = counts.into_iter().collect();
    counts.sort_by_key(|(ids, count)| (std::cmp::Reverse(*count), *ids));
    counts.into_iter().map(|((uid, gid), _)| User::of_ids(uid, gid)).collect()
}

/// Effective user and group of a process, as its user namespace numbers them; none for root.
fn ids_of(pid: &str) -> Option<(u32, u32)> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let field = |name: &str| -> Option<u32> {
        let line = status.lines().find_map(|line| line.strip_prefix(name))?;
        line.split_ascii_whitespace().nth(1)?.parse().ok()
    };
    let inside = |id: u32, map: &str| -> Option<u32> {
        let map = std::fs::read_to_string(format!("/proc/{pid}/{map}")).ok()?;
        map.lines().find_map(|line| {
            let mut fields = line.split_ascii_whitespace().map(str::parse::<u32>);
            let (inside, outside, count) = (fields.next()?.ok()?, fields.next()?.ok()?, fields.next()?.ok()?);
            let offset = id.checked_sub(outside)?;
            (offset < count).then(|| inside + offset)
        })
    };
    let uid = inside(field("Uid:")?, "uid_map")?;
    let gid = inside(field("Gid:")?, "gid_map")?;
    (uid != 0).then_some((uid, gid))
}

/// The mounts that images ask for, by their targets.
pub(super) fn image_volumes(image: &serde_json::Value) -> Vec<String> {
    let volumes = image.pointer("/Config/Volumes").and_then(serde_json::Value::as_object);
    volumes.into_iter().flat_map(|volumes| volumes.keys().cloned()).collect()
}

/// The health check of an image, as words to run inside.
pub(super) fn image_health(image: &serde_json::Value) -> Option<Vec<String>> {
    let test = ["/Config/Healthcheck/Test", "/Healthcheck/Test", "/HealthCheck/Test"]
        .iter()
        .find_map(|pointer| image.pointer(pointer).and_then(serde_json::Value::as_array))?;
    let words: Vec<String> = test.iter().filter_map(|word| word.as_str().map(str::to_owned)).collect();
    match words.split_first()? {
        (kind, [text]) if kind == "CMD-SHELL" => Some(vec!["/bin/sh".into(), "-c".into(), text.clone()]),
        (kind, rest) if kind == "CMD" && !rest.is_empty() => Some(rest.to_vec()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folders_of(changes: &str, given: &[&str], folders_now: &[&str]) -> Vec<String> {
        folders(changes, given, |path| Ok(folders_now.contains(&path))).unwrap()
    }

    #[test]
    fn changes_become_the_folders_they_were_made_in() {
        let nginx = "C /etc\nC /etc/nginx\nC /etc/nginx/conf.d\nC /etc/nginx/conf.d/default.conf\nC /var\n\
                     C /var/cache\nC /var/cache/nginx\nA /var/cache/nginx/client_temp\nC /run\nA /run/nginx.pid";
        assert_eq!(folders_of(nginx, &[], &[]), ["/etc/nginx/conf.d", "/run", "/var/cache/nginx"]);
        let postgres = "C /run\nC /run/postgresql\nA /run/postgresql/.s.PGSQL.5432";
        assert_eq!(folders_of(postgres, &[], &[]), ["/run/postgresql"]);
    }

    #[test]
    fn a_new_folder_in_a_broad_one_stands_for_itself() {
        let changes = "C /var\nC /var/lib\nA /var/lib/app\nA /var/lib/app/a\nA /var/lib/app/a/b\nA /pgdata\nC /srv\nA /srv/f";
        assert_eq!(folders_of(changes, &[], &["/pgdata"]), ["/pgdata", "/srv", "/var/lib/app"]);
    }

    #[test]
    fn what_mounts_and_the_engine_hold_is_not_asked_for() {
        let changes = "A /dev/x\nC /etc\nC /etc/hosts\nA /data/x\nC /data\nA /tmp/y\nC /tmp\nD /opt/app/lock\nC /opt/app";
        assert_eq!(folders_of(changes, &["/data"], &["/etc"]), ["/opt/app", "/tmp"]);
        assert_eq!(
            folders_of("C /data\nC /d", &[], &["/data", "/d"]),
            ["/d", "/data"],
            "touched folders count"
        );
    }

    #[test]
    fn users_are_resolved_as_engines_do() {
        let passwd = "root:x:0:0::/:/bin/sh\npostgres:x:998:997::/:/bin/sh\nodd\n";
        let group = "staff:x:50:\n";
        assert_eq!(resolve("", passwd, group), Some((0, 0)));
        assert_eq!(resolve("postgres", passwd, group), Some((998, 997)));
        assert_eq!(resolve("998", passwd, group), Some((998, 997)));
        assert_eq!(resolve("1234", passwd, group), Some((1234, 0)));
        assert_eq!(resolve("postgres:staff", passwd, group), Some((998, 50)));
        assert_eq!(resolve("1:2", passwd, group), Some((1, 2)));
        assert_eq!(resolve("nobody", passwd, group), None);
    }

    #[test]
    fn an_archive_says_whose_a_folder_is_and_whether_files_are_in_it() {
        let mut builder = tar::Builder::new(Vec::new());
        let mut add = |path: &str, kind: tar::EntryType| {
            let mut header = tar::Header::new_gnu();
            header.set_entry_type(kind);
            header.set_uid(101);
            header.set_gid(102);
            header.set_mode(0o40775);
            header.set_size(0);
            builder.append_data(&mut header, path, std::io::empty()).unwrap();
        };
        add("run/", tar::EntryType::Directory);
        add("run/lock/", tar::EntryType::Directory);
        let folders = builder.get_ref().clone();
        let seen = read_archive(folders.as_slice()).unwrap();
        assert_eq!(seen.folder, Folder { uid: 101, gid: 102, mode: 0o775 });
        assert!(seen.is_folder && !seen.has_files);
        let mut add = |path: &str| {
            let mut header = tar::Header::new_gnu();
            header.set_size(1);
            builder.append_data(&mut header, path, &b"x"[..]).unwrap();
        };
        add("run/f");
        let all = builder.into_inner().unwrap();
        assert!(read_archive(all.as_slice()).unwrap().has_files);
        assert!(read_archive(all.get(..700).unwrap()).is_some(), "cut short");
        assert_eq!(read_archive(&b""[..]), None);
    }
}

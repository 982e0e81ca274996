//! What a container may be given beyond the recommended level, each as one element that delta debugging can take away,
//! and the options by which an engine is told.

use std::fmt;
use std::str::FromStr;

use confinement::{Capability, EngineKind};
use serde::{Deserialize, Serialize};

/// One thing given. Its text form is that of the journal: `cap:CHOWN`, `tmpfs:/run`, `option:--device=/dev/fuse`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Grant {
    /// `--privileged` as a whole, where its parts do not do.
    Privileged,
    /// An option of the user's line that takes protection away: a device, a namespace of the host, seccomp off.
    Option(String, String),
    /// A socket that the user's line hands in, by its target.
    Mount(String),
    /// A root file system that can be written everywhere.
    WritableRoot,
    Capability(Capability),
    /// Programs may gain privileges: no_new_privs is not set.
    NewPrivileges,
    /// A new volume that starts with what the image has there.
    Volume(String),
    Tmpfs(String),
}

/// Capabilities that come close to root on the host; they go before the others where there is a choice. The rest of
/// those that engines do not give by default stand between them and the default ones.
const STRONG: &[Capability] = &[
    Capability::SYS_ADMIN,
    Capability::SYS_MODULE,
    Capability::SYS_RAWIO,
    Capability::SYS_PTRACE,
    Capability::DAC_READ_SEARCH,
    Capability::BPF,
    Capability::MAC_ADMIN,
    Capability::MAC_OVERRIDE,
];

impl Grant {
    /// How much the grant gives away, from 1 up. It decides between minimal sets, and the order of what is tried; it
    /// is no severity.
    pub fn weight(&self) -> u32 {
        match self {
            Grant::Privileged => 60,
            Grant::Option(..) | Grant::Mount(_) => 12,
            Grant::WritableRoot => 8,
            Grant::Capability(capability) if STRONG.contains(capability) => 20,
            Grant::Capability(Capability::NET_BIND_SERVICE) => 3,
            Grant::Capability(Capability::DAC_OVERRIDE | Capability::SETFCAP | Capability::MKNOD) => 6,
            Grant::Capability(
                Capability::CHOWN | Capability::SETUID | Capability::SETGID | Capability::KILL,
            ) => 4,
            Grant::Capability(_) => 5,
            Grant::NewPrivileges => 5,
            Grant::Volume(_) => 2,
            Grant::Tmpfs(_) => 1,
        }
    }

    pub fn path(&self) -> Option<&str> {
        match self {
            Grant::Tmpfs(path) | Grant::Volume(path) => Some(path),
            _ => None,
        }
    }
}

/// The weight of running as root, beside those of grants.
pub const ROOT_WEIGHT: u32 = 30;

impl fmt::Display for Grant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Grant::Privileged => f.write_str("privileged"),
            Grant::Option(name, value) if value.is_empty() => write!(f, "option:--{name}"),
            Grant::Option(name, value) => write!(f, "option:--{name}={value}"),
            Grant::Mount(target) => write!(f, "mount:{target}"),
            Grant::WritableRoot => f.write_str("writable-root"),
            Grant::Capability(capability) => write!(f, "cap:{}", capability.name()),
            Grant::NewPrivileges => f.write_str("new-privileges"),
            Grant::Volume(path) => write!(f, "volume:{path}"),
            Grant::Tmpfs(path) => write!(f, "tmpfs:{path}"),
        }
    }
}

impl From<Grant> for String {
    fn from(grant: Grant) -> String {
        grant.to_string()
    }
}

impl TryFrom<String> for Grant {
    type Error = String;
    fn try_from(text: String) -> Result<Grant, String> {
        text.parse()
    }
}

impl FromStr for Grant {
    type Err = String;
    fn from_str(text: &str) -> Result<Grant, String> {
        let unknown = || format!("`{text}` is no grant");
        match text {
            "privileged" => return Ok(Grant::Privileged),
            "writable-root" => return Ok(Grant::WritableRoot),
            "new-privileges" => return Ok(Grant::NewPrivileges),
            _ => {}
        }
        let (kind, rest) = text.split_once(':').ok_or_else(unknown)?;
        Ok(match kind {
            "cap" => Grant::Capability(Capability::parse(rest).ok_or_else(unknown)?),
            "tmpfs" => Grant::Tmpfs(rest.into()),
            "volume" => Grant::Volume(rest.into()),
            "mount" => Grant::Mount(rest.into()),
            "option" => {
                let rest = rest.strip_prefix("--").ok_or_else(unknown)?;
                let (name, value) = rest.split_once('=').unwrap_or((rest, ""));
                Grant::Option(name.into(), value.into())
            }
            _ => return Err(unknown()),
        })
    }
}

/// A user to run as.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct User {
    /// As `--user` takes it; `None` leaves what the image says.
    pub option: Option<String>,
    /// User and group, where they are known.
    pub ids: Option<(u32, u32)>,
}

impl User {
    pub fn of_ids(uid: u32, gid: u32) -> User {
        User { option: Some(format!("{uid}:{gid}")), ids: Some((uid, gid)) }
    }
    pub fn is_root(&self) -> bool {
        self.ids.is_none_or(|(uid, _)| uid == 0)
    }
}

impl fmt::Display for User {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.ids, &self.option) {
            (Some((0, _)), _) => f.write_str("root"),
            (Some((uid, gid)), _) => write!(f, "user {uid}:{gid}"),
            (None, Some(option)) => write!(f, "user {option}"),
            (None, None) => f.write_str("the image's user"),
        }
    }
}

/// What a folder of the image is like, so that a tmpfs in its place has the same owner and mode.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Folder {
    pub uid: u32,
    pub gid: u32,
    pub mode: u32,
}

/// The value of `--tmpfs`. A new tmpfs is root's: a user that is not root gets it as its own, and for root it belongs
/// to whom the image's folder belongs to, as the image's author meant it.
pub fn tmpfs_value(path: &str, user: &User, folder: Option<Folder>, engine: EngineKind) -> String {
    let mode = folder.map_or(0o755, |folder| folder.mode & 0o7777);
    let owner = match user.ids {
        Some((uid, gid)) if uid != 0 => Some((uid, gid)),
        _ => folder.map(|folder| (folder.uid, folder.gid)).filter(|owner| *owner != (0, 0)),
    };
    match (engine, owner) {
        (_, None) => format!("{path}:mode={mode:o}"),
        // podman-run(1), --tmpfs: `U` gives it to the container's user; ids cannot be named.
        (EngineKind::Podman, Some(_)) if !user.is_root() => format!("{path}:mode={mode:o},U"),
        (EngineKind::Podman, Some(_)) => format!("{path}:mode={mode:o}"),
        (_, Some((uid, gid))) => format!("{path}:mode={mode:o},uid={uid},gid={gid}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grants_survive_their_text_form() {
        let grants = [
            Grant::Privileged,
            Grant::Option("device".into(), "/dev/fuse:/dev/fuse:rwm".into()),
            Grant::Option("security-opt".into(), "seccomp=unconfined".into()),
            Grant::Mount("/run/docker.sock".into()),
            Grant::WritableRoot,
            Grant::Capability(Capability::NET_BIND_SERVICE),
            Grant::NewPrivileges,
            Grant::Volume("/etc/a:b".into()),
            Grant::Tmpfs("/run".into()),
        ];
        for grant in grants {
            assert_eq!(grant.to_string().parse::<Grant>(), Ok(grant.clone()));
        }
        assert!("cap:NONSENSE".parse::<Grant>().is_err());
        assert!("".parse::<Grant>().is_err());
    }

    #[test]
    fn a_tmpfs_belongs_to_who_runs_or_to_whom_the_image_gave_the_folder() {
        let folder = Some(Folder { uid: 999, gid: 998, mode: 0o2775 });
        let value = |user: &User, folder| tmpfs_value("/run/x", user, folder, EngineKind::Docker);
        let root = User { option: None, ids: Some((0, 0)) };
        assert_eq!(value(&User::of_ids(101, 102), folder), "/run/x:mode=2775,uid=101,gid=102");
        assert_eq!(value(&root, folder), "/run/x:mode=2775,uid=999,gid=998");
        assert_eq!(value(&root, None), "/run/x:mode=755");
        let podman = tmpfs_value("/run/x", &User::of_ids(101, 102), None, EngineKind::Podman);
        assert_eq!(podman, "/run/x:mode=755,U");
    }
}

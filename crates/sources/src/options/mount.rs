//! Volumes, binds and tmpfs mounts, in the short form (`SOURCE:TARGET:OPTIONS`), the long form (`--mount`) and as
//! parts for a reader that has them apart already.
//!
//! Sources: moby volume/mounts/linux_parser.go, docker/cli opts/mount.go, podman-run(1) and containers/common
//! pkg/parse (`ValidateVolumeOpts`).

use confinement::{EngineKind, Fact, HostPath, Mount, MountSource, Origin, Propagation};

use super::{Surroundings, UNKNOWN, boolean, comma_separated, part_origin};

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MountKind {
    Bind,
    #[default]
    Volume,
    Tmpfs,
    /// A folder of another image.
    Image,
    /// A named pipe of Windows.
    NamedPipe,
    /// A Swarm cluster volume, or a pseudo file system of Podman's (`devpts`): nothing of the host's files.
    Other,
}

impl MountKind {
    pub fn parse(name: &str) -> Option<MountKind> {
        Some(match name {
            "bind" | "glob" => MountKind::Bind,
            "volume" => MountKind::Volume,
            "tmpfs" | "ramfs" => MountKind::Tmpfs,
            "image" => MountKind::Image,
            "npipe" => MountKind::NamedPipe,
            "cluster" | "devpts" | "artifact" => MountKind::Other,
            _ => return None,
        })
    }
}

/// A mount taken apart. What is `None` was not said.
#[derive(Clone, Debug, Default)]
pub struct MountParts<'a> {
    pub kind: MountKind,
    pub source: Option<(&'a str, Origin)>,
    pub target: &'a str,
    pub read_only: Option<Fact<bool>>,
    /// Known false where mounts below the source stay writable (`bind-recursive=writable`), known true where all
    /// are read-only (`rro`, `bind-recursive=readonly`).
    pub recursive_read_only: Option<Fact<bool>>,
    /// `bind-nonrecursive`, `bind-recursive=disabled`, Podman's `bind`: known false.
    pub recursive: Option<bool>,
    pub propagation: Option<Fact<Propagation>>,
    pub nosuid: Option<bool>,
    pub nodev: Option<bool>,
    pub noexec: Option<bool>,
    pub relabelled: bool,
    /// Podman's `:O`: the source is seen through an overlay, and writes stay in it.
    pub overlay: bool,
    /// `volume-opt=…` with the volume's driver, which say what a volume made for this mount shows.
    pub volume_driver: Option<&'a str>,
    pub volume_options: Vec<(&'a str, &'a str)>,
}

impl MountParts<'_> {
    pub fn build(self, origin: &Origin, around: &Surroundings<'_>) -> Result<Mount, String> {
        let source = self.source(origin, around)?;
        if self.target.is_empty() {
            return Err("the mount names no path inside the container".into());
        }
        let stated = self.read_only.unwrap_or_else(|| Fact::known(false, origin.clone()));
        let read_only = if self.overlay { Fact::known(true, origin.clone()) } else { stated };
        // A tmpfs is mounted noexec,nosuid,nodev unless the options say otherwise (moby
        // daemon/oci_linux.go, `withMounts`; podman-run(1), --tmpfs).
        let tmpfs = self.kind == MountKind::Tmpfs;
        // A volume of either kind is bound recursively; an overlay and an image show one file system.
        let one_file_system = self.overlay || matches!(self.kind, MountKind::Tmpfs | MountKind::Image);
        Ok(Mount {
            target: self.target.into(),
            source,
            read_only,
            recursive_read_only: self.recursive_read_only.unwrap_or_default(),
            recursive: self.recursive.unwrap_or(!one_file_system),
            propagation: self
                .propagation
                .unwrap_or_else(|| Fact::known(Propagation::Private, origin.clone())),
            nosuid: self.nosuid.unwrap_or(tmpfs),
            nodev: self.nodev.unwrap_or(tmpfs),
            noexec: self.noexec.unwrap_or(tmpfs),
            relabelled: self.relabelled,
        })
    }

    fn source(&self, origin: &Origin, around: &Surroundings<'_>) -> Result<Fact<MountSource>, String> {
        let named = self.source.as_ref().filter(|(text, _)| !text.is_empty());
        match (self.kind, named) {
            (MountKind::Bind, None) => Err("a bind mount needs a source".into()),
            (MountKind::Bind, Some((text, origin))) => path_source(text, origin, around),
            (MountKind::Volume, named) => {
                let content = volume_content(self.volume_driver, self.volume_options.iter().copied(), origin);
                match (content, named) {
                    (Some(content), _) => Ok(content),
                    // A volume without a name is this container's alone.
                    (None, None) => Ok(Fact::known(MountSource::Private, origin.clone())),
                    (None, Some((name, origin))) if name.contains(UNKNOWN) => {
                        Ok(Fact::unknown(origin.clone()))
                    }
                    (None, Some((name, origin))) => {
                        check_volume_name(name)?;
                        Ok((around.volume)(name, origin))
                    }
                }
            }
            (MountKind::Tmpfs, _) => Ok(Fact::known(MountSource::Private, origin.clone())),
            (kind, named) => {
                let name = named.map_or("", |(text, _)| text);
                let what = match kind {
                    MountKind::Image => format!("image {name}"),
                    MountKind::NamedPipe => format!("named pipe {name}"),
                    _ => format!("volume {name}"),
                };
                Ok(Fact::known(MountSource::Other(what.trim_end().into()), origin.clone()))
            }
        }
    }
}

/// Stands for a mount that was asked for and could not be read, so that the container is not judged as if it had
/// not been.
pub fn unread_mount(origin: &Origin) -> Mount {
    let mut mount = Mount::from_source(MountSource::Private, "", false, origin.clone());
    mount.source = Fact::unknown(origin.clone());
    mount.read_only = Fact::unknown(origin.clone());
    mount.propagation = Fact::unknown(origin.clone());
    mount
}

/// The path of the host that a bind's source names: absolute, relative to the folder (`./x`, `../x`), or below the
/// home folder (`~/x`). A path of a Windows host is nothing of the machine that the containers run on.
pub fn path_source(
    text: &str,
    origin: &Origin,
    around: &Surroundings<'_>,
) -> Result<Fact<MountSource>, String> {
    if text.is_empty() {
        return Err("the source of the mount is empty".into());
    }
    if text.contains(UNKNOWN) {
        return Ok(Fact::unknown(origin.clone()));
    }
    if is_windows_path(text) {
        let what = format!("folder {text} of a Windows host");
        return Ok(Fact::known(MountSource::Other(what.into()), origin.clone()));
    }
    let path = if text.starts_with('/') {
        text.to_owned()
    } else if text == "~" {
        around.home.to_owned()
    } else if let Some(below) = text.strip_prefix("~/") {
        format!("{}/{below}", around.home)
    } else {
        format!("{}/{text}", around.folder)
    };
    // The folder itself may not be known.
    super::known(&path, origin.clone(), |path| Ok(MountSource::Host(HostPath::new(path))))
}

/// What a volume declared with a driver and options shows, where they say so: a folder of the host bound by the
/// `local` driver (`type: none`, `o: bind`, `device: /path`), or another file system. `None`: a volume like any
/// other, known by its name. The options are those of mount(8) (moby volume/local/local_unix.go).
pub fn volume_content<'a>(
    driver: Option<&str>,
    options: impl IntoIterator<Item = (&'a str, &'a str)>,
    origin: &Origin,
) -> Option<Fact<MountSource>> {
    if let Some(driver) = driver.filter(|driver| !matches!(*driver, "" | "local")) {
        if driver.contains(UNKNOWN) {
            return Some(Fact::unknown(origin.clone()));
        }
        return Some(Fact::known(MountSource::Other(format!("driver {driver}").into()), origin.clone()));
    }
    let (mut kind, mut flags, mut device) = ("", "", None);
    for (key, value) in options {
        match key {
            "type" => kind = value,
            "o" => flags = value,
            "device" => device = Some(value),
            _ => {}
        }
    }
    let device = device?;
    let binds = flags.split(',').any(|flag| matches!(flag.trim(), "bind" | "rbind"));
    let unknown = [kind, flags, device].iter().any(|text| text.contains(UNKNOWN));
    Some(match kind {
        _ if unknown => Fact::unknown(origin.clone()),
        _ if binds => Fact::known(MountSource::Host(HostPath::new(device)), origin.clone()),
        // Every container that mounts a tmpfs volume sees the same one, so it is known by its name.
        "tmpfs" | "ramfs" => return None,
        // A disk or file system of this host, the one the host runs from as well as any other: what is on it, and
        // what an overlay lies over, is not in the options.
        "overlay" => Fact::unknown(origin.clone()),
        _ if device.starts_with("/dev/") => Fact::unknown(origin.clone()),
        "" => Fact::known(MountSource::Other(format!("file system on {device}").into()), origin.clone()),
        kind => Fact::known(MountSource::Other(format!("{kind} on {device}").into()), origin.clone()),
    })
}

/// moby volume/local: `^[a-zA-Z0-9][a-zA-Z0-9_.-]*$`; Podman's names are the same (libpod/define, `NameRegex`).
fn check_volume_name(name: &str) -> Result<(), String> {
    let first = name.starts_with(|c: char| c.is_ascii_alphanumeric());
    if first && name.chars().all(|c| c.is_ascii_alphanumeric() || "_.-".contains(c)) {
        return Ok(());
    }
    Err(format!("`{name}` is neither a path nor the name of a volume (a path starts with / or .)"))
}

/// `C:\data`, `C:/data`, `\\server\share` or `\\.\pipe\name`.
fn is_windows_path(text: &str) -> bool {
    let bytes = text.as_bytes();
    let drive = bytes.first().is_some_and(u8::is_ascii_alphabetic)
        && bytes.get(1) == Some(&b':')
        && matches!(bytes.get(2), Some(b'\\' | b'/'));
    drive || text.starts_with("\\\\")
}

fn is_path(source: &str) -> bool {
    source.starts_with(['/', '.', '~']) || is_windows_path(source) || source.starts_with(UNKNOWN)
}

/// The short form, `[SOURCE:]TARGET[:OPTIONS]`.
pub fn volume(value: &str, origin: &Origin, around: &Surroundings<'_>) -> Result<Mount, String> {
    let (source, target, options) = split_short(value)?;
    let mut parts = MountParts { target, ..MountParts::default() };
    if let Some(source) = source {
        parts.kind = if is_path(source) { MountKind::Bind } else { MountKind::Volume };
        parts.source = Some((source, part_origin(origin, value, source)));
    }
    for option in options.unwrap_or("").split(',').filter(|option| !option.is_empty()) {
        apply(option, &part_origin(origin, value, option), around, &mut parts)?;
    }
    parts.build(origin, around)
}

type Short<'a> = (Option<&'a str>, &'a str, Option<&'a str>);

fn split_short(value: &str) -> Result<Short<'_>, String> {
    let wrong = || format!("`{value}` is not [SOURCE:]TARGET[:OPTIONS]");
    // A drive letter's colon parts nothing. `c:/data` alone is the volume `c`, as Linux engines read it.
    let drive = is_windows_path(value) && value.get(2..).is_some_and(|rest| rest.contains(':'));
    let start = if drive && !value.starts_with("\\\\") { 2 } else { 0 };
    let (prefix, rest) = value.split_at(start);
    let (first, mut rest) = match rest.split_once(':') {
        None if value.is_empty() => return Err("the volume is empty".into()),
        None => return Ok((None, value, None)),
        Some((first, rest)) => (value.get(..prefix.len() + first.len()).unwrap_or(first), rest),
    };
    let target_drive = is_windows_path(rest) && drive;
    let skip = if target_drive && !rest.starts_with("\\\\") { 2 } else { 0 };
    let end = rest.get(skip..).and_then(|text| text.find(':')).map(|at| at + skip);
    let target = end.and_then(|end| rest.get(..end)).unwrap_or(rest);
    rest = end.and_then(|end| rest.get(end + 1..)).unwrap_or("");
    if first.is_empty() || target.is_empty() || (rest.contains(':') && !rest.contains("idmap")) {
        return Err(wrong());
    }
    Ok((Some(first), target, end.map(|_| rest)))
}

/// One option of the short form.
fn apply(
    option: &str,
    origin: &Origin,
    around: &Surroundings<'_>,
    parts: &mut MountParts<'_>,
) -> Result<(), String> {
    if option.contains(UNKNOWN) {
        parts.read_only = Some(Fact::unknown(origin.clone()));
        parts.propagation = Some(Fact::unknown(origin.clone()));
        return Ok(());
    }
    let known = |value: bool| Some(Fact::known(value, origin.clone()));
    let key = option.split_once('=').map_or(option, |(key, _)| key);
    match key {
        "ro" | "readonly" => parts.read_only = known(true),
        "rw" => parts.read_only = known(false),
        "rro" => {
            parts.read_only = known(true);
            parts.recursive_read_only = known(true);
        }
        "z" | "Z" => parts.relabelled = true,
        "noexec" | "exec" => parts.noexec = Some(key == "noexec"),
        "nosuid" | "suid" => parts.nosuid = Some(key == "nosuid"),
        "nodev" | "dev" => parts.nodev = Some(key == "nodev"),
        "bind" => parts.recursive = Some(false),
        "rbind" => parts.recursive = Some(true),
        "O" if around.engine == EngineKind::Podman => parts.overlay = true,
        // Ownership and copying of what is there, Docker Desktop's consistency, Podman's overlay folders and id
        // maps: nothing about what is shown.
        "U" | "nocopy" | "copy" | "cached" | "delegated" | "consistent" | "default" | "idmap"
        | "upperdir" | "workdir" | "no-dereference" => {}
        other => {
            parts.propagation = Some(Fact::known(propagation(other)?, origin.clone()));
        }
    }
    Ok(())
}

/// `rprivate`, `private`, `rshared`, …; an unbindable mount is private.
pub fn propagation(value: &str) -> Result<Propagation, String> {
    Ok(match value {
        "private" | "rprivate" | "unbindable" | "runbindable" => Propagation::Private,
        "slave" | "rslave" => Propagation::Slave,
        "shared" | "rshared" => Propagation::Shared,
        _ => return Err(format!("`{value}` is not an option of a mount")),
    })
}

/// `--tmpfs PATH[:OPTIONS]`.
pub fn tmpfs(value: &str, origin: &Origin, around: &Surroundings<'_>) -> Result<Mount, String> {
    let (target, options) = match value.split_once(':') {
        Some((target, options)) => (target, options),
        None => (value, ""),
    };
    let mut parts = MountParts { kind: MountKind::Tmpfs, target, ..MountParts::default() };
    for option in options.split(',').filter(|option| !option.is_empty()) {
        // Sizes, modes and owners say nothing about confinement; unlike a bind, any option of tmpfs(5) may stand here.
        if matches!(option, "ro" | "rw" | "noexec" | "exec" | "nosuid" | "suid" | "nodev" | "dev") {
            apply(option, &part_origin(origin, value, option), around, &mut parts)?;
        }
    }
    parts.build(origin, around)
}

/// The long form, `type=bind,source=/a,target=/b,readonly`.
pub fn mount(value: &str, origin: &Origin, around: &Surroundings<'_>) -> Result<Mount, String> {
    let fields = comma_separated(value)?;
    let mut parts = MountParts::default();
    for field in &fields {
        let (key, setting) = match field.split_once('=') {
            Some((key, setting)) => (key, Some(setting)),
            None => (&**field, None),
        };
        let field_origin = part_origin(origin, value, field);
        let required = || setting.ok_or_else(|| format!("`{key}` of the mount has no value"));
        let flag = || match setting {
            None => Ok(Fact::known(true, field_origin.clone())),
            Some(setting) => super::known(setting, field_origin.clone(), boolean),
        };
        match key.to_ascii_lowercase().as_str() {
            "type" => {
                let kind = required()?;
                parts.kind =
                    MountKind::parse(kind).ok_or_else(|| format!("`{kind}` is not a type of mount"))?;
            }
            "source" | "src" => {
                let source = required()?;
                parts.source = Some((source, part_origin(origin, value, source)));
            }
            "target" | "destination" | "dst" | "dest" => parts.target = required()?,
            "readonly" | "ro" => parts.read_only = Some(flag()?),
            "rw" | "readwrite" => parts.read_only = Some(flag()?.map(|rw| !rw)),
            "bind-propagation" => {
                parts.propagation = Some(super::known(required()?, field_origin.clone(), propagation)?);
            }
            "bind-nonrecursive" => {
                let nonrecursive = flag()?;
                parts.recursive = Some(nonrecursive.value == Some(false));
            }
            "bind-recursive" => bind_recursive(required()?, &field_origin, &mut parts)?,
            "relabel" => parts.relabelled = true,
            "volume-driver" => parts.volume_driver = Some(required()?),
            "volume-opt" => {
                let option = required()?;
                parts.volume_options.push(option.split_once('=').unwrap_or((option, "")));
            }
            "volume-nocopy" | "volume-label" | "volume-subpath" | "image-subpath" | "subpath"
            | "consistency" | "bind-create-src" | "tmpfs-size" | "tmpfs-mode" | "tmpfs-options"
            | "tmpcopyup" | "notmpcopyup" | "size" | "mode" | "u" | "chown" | "uid" | "gid" | "max"
            | "digest" | "title" => {}
            other => apply(other, &field_origin, around, &mut parts)?,
        }
    }
    parts.build(origin, around)
}

/// docker/cli opts/mount.go, since 25.0.
fn bind_recursive(setting: &str, origin: &Origin, parts: &mut MountParts<'_>) -> Result<(), String> {
    match setting {
        "enabled" | "true" | "1" => {}
        "disabled" | "false" | "0" => parts.recursive = Some(false),
        "writable" => parts.recursive_read_only = Some(Fact::known(false, origin.clone())),
        "readonly" => parts.recursive_read_only = Some(Fact::known(true, origin.clone())),
        _ if setting.contains(UNKNOWN) => {}
        _ => return Err(format!("`{setting}` is not a value of bind-recursive")),
    }
    Ok(())
}

//! Security options and capability names.

use std::sync::Arc;

use confinement::confine::{AppArmorRequest, SeLinuxRequest, SeccompRequest, SystemPaths};
use confinement::{Capability, EngineKind, Fact, Origin, Request};

use super::{Surroundings, UNKNOWN, boolean, part_origin, text};

/// A name for `cap_add` or `cap_drop`: `ALL`, or a capability in any of the spellings engines accept.
pub fn capability(value: &str, origin: &Origin) -> Result<Fact<Arc<str>>, String> {
    let all = ["all", "cap_all"].iter().any(|name| value.trim().eq_ignore_ascii_case(name));
    if all || value.contains(UNKNOWN) || Capability::parse(value).is_some() {
        return Ok(text(value, origin.clone()));
    }
    Err(format!("`{value}` is not a capability"))
}

/// One value of `security_opt:`/`--security-opt`. Docker splits it at the first `=`, or at the first `:` where it
/// holds no `=` (moby daemon/daemon_unix.go, parseSecurityOpt); Podman reads the same forms and more
/// (pkg/specgenutil/specgen.go).
pub fn security_option(
    value: &str,
    origin: &Origin,
    around: &Surroundings<'_>,
    request: &mut Request,
) -> Result<(), String> {
    let (key, setting) = match value.split_once('=').or_else(|| value.split_once(':')) {
        Some((key, setting)) => (key, Some(setting)),
        None => (value, None),
    };
    // `label:type=x` does not exist, `label:disable` does: with a `:` before the `=`, the `:` is the one meant.
    let (key, setting) = match key.split_once(':') {
        Some(("label" | "seccomp" | "apparmor", _)) => {
            value.split_once(':').map_or((key, setting), |(key, setting)| (key, Some(setting)))
        }
        _ => (key, setting),
    };
    if key.contains(UNKNOWN) {
        return Err("the name of this security option is not known".into());
    }
    let required = || setting.ok_or_else(|| format!("`{value}` has no value"));
    match key {
        "no-new-privileges" => {
            request.no_new_privileges = Some(match setting {
                None => Fact::known(true, origin.clone()),
                Some(setting) => super::known(setting, origin.clone(), boolean)?,
            });
        }
        "seccomp" => request.seccomp = Some(seccomp(required()?, value, origin, around)?),
        "apparmor" => {
            let profile = required()?;
            request.apparmor = Some(super::known(profile, part_origin(origin, value, profile), |profile| {
                Ok(match profile {
                    "unconfined" => AppArmorRequest::Unconfined,
                    "" => AppArmorRequest::EngineDefault,
                    name => AppArmorRequest::Named(name.into()),
                })
            })?);
        }
        "label" => label(required()?, value, origin, request)?,
        "systempaths" => {
            let setting = required()?;
            request.system_paths = match super::known(setting, origin.clone(), |s| match s {
                "unconfined" => Ok(true),
                _ => Err(format!("`{s}` is not a value of systempaths; it takes unconfined")),
            })? {
                Fact { value: Some(_), origin } => Some(Fact::known(SystemPaths::Unconfined, origin)),
                unknown => Some(Fact::unknown(unknown.origin)),
            };
        }
        "writable-cgroups" => {
            request.cgroup_writable = Some(match setting {
                None => Fact::known(true, origin.clone()),
                Some(setting) => super::known(setting, origin.clone(), boolean)?,
            });
        }
        "unmask" if around.engine == EngineKind::Podman => unmask(required()?, origin, request),
        "mask" if around.engine == EngineKind::Podman => mask(required()?, origin, request),
        // Options of the proc mount (`hidepid=2`): they hide processes of the same namespace.
        "proc-opts" if around.engine == EngineKind::Podman => {}
        "credentialspec" => {}
        _ => return Err(format!("`{key}` is not a security option that is known here")),
    }
    Ok(())
}

fn seccomp(
    setting: &str,
    value: &str,
    origin: &Origin,
    around: &Surroundings<'_>,
) -> Result<Fact<SeccompRequest>, String> {
    let origin = part_origin(origin, value, setting);
    super::known(setting, origin, |setting| match setting {
        "" => Err("the seccomp option names no profile".into()),
        "unconfined" => Ok(SeccompRequest::Unconfined),
        "builtin" => Ok(SeccompRequest::EngineDefault),
        // The API is given the profile itself, not its file.
        json if json.trim_start().starts_with('{') => seccomp_profile("given in full", json),
        file => match (around.read_file)(file) {
            Ok(json) => seccomp_profile(file, &json),
            // A filter is loaded or the container does not start; which, cannot be said without the file.
            Err(_) => Ok(SeccompRequest::Unread(file.into())),
        },
    })
}

/// A seccomp profile from its JSON text.
pub fn seccomp_profile(name: &str, _json: &str) -> Result<SeccompRequest, String> {
    Ok(SeccompRequest::Unread(name.into()))
}

fn label(setting: &str, value: &str, origin: &Origin, request: &mut Request) -> Result<(), String> {
    let origin = part_origin(origin, value, setting);
    if setting.contains(UNKNOWN) {
        request.selinux = Some(Fact::unknown(origin));
        return Ok(());
    }
    match setting.split_once(':') {
        _ if setting == "disable" => {
            request.selinux = Some(Fact::known(SeLinuxRequest::Disable, origin));
        }
        _ if setting == "nested" => {}
        Some(("type", domain)) if !domain.is_empty() => {
            request.selinux = Some(Fact::known(SeLinuxRequest::Domain(domain.into()), origin));
        }
        Some(("user" | "role" | "level" | "filetype", _)) => {}
        _ => {
            return Err(format!(
                "`label={setting}` is not a label option: disable, type:, user:, role:, level:"
            ));
        }
    }
    Ok(())
}

/// podman-run(1), `unmask=ALL` or `unmask=PATH:PATH`. Repeated options add up. It also lifts the read-only cgroup
/// mount where that is named (pkg/specgen/generate/oci_linux.go).
fn unmask(setting: &str, origin: &Origin, request: &mut Request) {
    if setting.contains(UNKNOWN) {
        request.system_paths = Some(Fact::unknown(origin.clone()));
        return;
    }
    let mut paths = colon_separated(setting);
    let all = paths.iter().any(|p| p.eq_ignore_ascii_case("all"));
    if all || paths.iter().any(|p| &**p == "/sys/fs/cgroup") {
        request.cgroup_writable = Some(Fact::known(true, origin.clone()));
    }
    let earlier = request.system_paths.as_ref().and_then(|asked| asked.get());
    let asked = match earlier {
        _ if all => SystemPaths::Unconfined,
        Some(SystemPaths::Unconfined) => SystemPaths::Unconfined,
        Some(SystemPaths::Unmask(list)) => {
            paths.extend(list.iter().cloned());
            SystemPaths::Unmask(paths.into())
        }
        _ => SystemPaths::Unmask(paths.into()),
    };
    request.system_paths = Some(Fact::known(asked, origin.clone()));
}

/// podman-run(1), `mask=PATH:PATH`. Beside an `unmask` only the `unmask` is kept: what is open decides.
fn mask(setting: &str, origin: &Origin, request: &mut Request) {
    if setting.contains(UNKNOWN) {
        return;
    }
    let mut paths = colon_separated(setting);
    match request.system_paths.as_ref().map(|asked| asked.get()) {
        Some(Some(SystemPaths::Mask(list))) => paths.extend(list.iter().cloned()),
        Some(_) => return,
        None => {}
    }
    request.system_paths = Some(Fact::known(SystemPaths::Mask(paths.into()), origin.clone()));
}

fn colon_separated(text: &str) -> Vec<Arc<str>> {
    text.split(':').filter(|path| !path.is_empty()).map(Arc::from).collect()
}

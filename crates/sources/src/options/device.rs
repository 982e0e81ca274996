//! Devices: nodes of the host, names of the Container Device Interface, and rules of the device cgroup.

use confinement::confine::DeviceRequest;
use confinement::{DeviceAccess, DeviceKind, DeviceRule, Fact, Origin, Request};

use super::{UNKNOWN, part_origin};

/// `HOST[:CONTAINER[:rwm]]`, or a name of the Container Device Interface such as `nvidia.com/gpu=all`, which
/// counts among the devices that a vendor's hook adds.
pub fn device(value: &str, origin: &Origin, request: &mut Request) -> Result<(), String> {
    if is_cdi_name(value) {
        request.gpus = Some(Fact::known(true, origin.clone()));
        return Ok(());
    }
    let parts: Vec<&str> = value.split(':').collect();
    // docker/cli opts: the second part is access where it is made of r, w and m only, otherwise the path inside.
    let (host, access) = match parts.as_slice() {
        [host] => (*host, None),
        [host, second] if is_access(second) => (*host, Some(*second)),
        [host, _inside] => (*host, None),
        [host, _inside, access] => (*host, Some(*access)),
        _ => return Err(format!("`{value}` is not HOST[:CONTAINER[:ACCESS]]")),
    };
    if host.is_empty() {
        return Err(format!("`{value}` names no device"));
    }
    let unknown = host.contains(UNKNOWN) || access.is_some_and(|a| a.contains(UNKNOWN));
    if unknown {
        request.devices.push(Fact::unknown(origin.clone()));
        return Ok(());
    }
    if !host.starts_with('/') {
        return Err(format!("`{host}` is neither an absolute path nor a device name VENDOR/CLASS=NAME"));
    }
    let mut device = DeviceRequest::path(host);
    if let Some(access) = access {
        device.access = match DeviceAccess::parse(access) {
            Some(access) if access != DeviceAccess::default() => access,
            _ => return Err(format!("`{access}` is not made of r, w and m")),
        };
    }
    request.devices.push(Fact::known(device, part_origin(origin, value, host)));
    Ok(())
}

fn is_access(text: &str) -> bool {
    !text.is_empty() && DeviceAccess::parse(text).is_some()
}

/// `VENDOR/CLASS=NAME`: tags.cncf.io/container-device-interface/pkg/parser, `IsQualifiedName`.
fn is_cdi_name(value: &str) -> bool {
    let Some((kind, name)) = value.split_once('=') else { return false };
    let Some((vendor, class)) = kind.split_once('/') else { return false };
    let word = |text: &str, more: &str| {
        text.starts_with(|c: char| c.is_ascii_alphanumeric())
            && text.chars().all(|c| c.is_ascii_alphanumeric() || more.contains(c))
    };
    word(vendor, "_-.") && word(class, "_-.") && word(name, "_-.:")
}

/// `c 188:* rwm`, a rule of the device cgroup.
pub fn device_rule(value: &str, origin: &Origin) -> Result<Fact<DeviceRule>, String> {
    super::known(value, origin.clone(), |value| {
        let wrong = || format!("`{value}` is not a rule such as `c 188:* rwm`");
        let mut words = value.split_ascii_whitespace();
        let (Some(kind), Some(numbers), Some(access), None) =
            (words.next(), words.next(), words.next(), words.next())
        else {
            return Err(wrong());
        };
        let kind = match kind {
            "a" => DeviceKind::All,
            "b" => DeviceKind::Block,
            "c" => DeviceKind::Char,
            _ => return Err(wrong()),
        };
        let number = |text: &str| match text {
            "*" => Ok(None),
            digits => digits.parse::<u32>().map(Some).map_err(|_| wrong()),
        };
        let (major, minor) = numbers.split_once(':').ok_or_else(wrong)?;
        Ok(DeviceRule {
            allow: true,
            kind,
            major: number(major)?,
            minor: number(minor)?,
            access: DeviceAccess::parse(access).ok_or_else(wrong)?,
            node: None,
        })
    })
}

/// `--gpus all`, a number of them, or `device=…`; a count of 0 asks for none.
pub fn gpus(value: &str, origin: &Origin) -> Fact<bool> {
    if value.contains(UNKNOWN) {
        return Fact::unknown(origin.clone());
    }
    Fact::known(!matches!(value.trim(), "" | "0"), origin.clone())
}

//! Truth values, sizes, processors, counts and sysctls.

use std::sync::Arc;

use confinement::{Fact, Origin};

use super::{part_origin, text};

/// Go's `strconv.ParseBool`, which the engines read flags with.
pub fn boolean(value: &str) -> Result<bool, String> {
    match value {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
        _ => Err(format!("`{value}` is neither true nor false")),
    }
}

/// A number of bytes, `512m` or `1.5GiB`, as docker/go-units `RAMInBytes` reads it (every unit a power of 1024);
/// `None`, no limit, for 0 and for `-1`.
pub fn bytes(value: &str) -> Result<Option<u64>, String> {
    let wrong = || format!("`{value}` is not a size such as 512m or 2g");
    let trimmed = value.trim();
    if trimmed == "-1" {
        return Ok(None);
    }
    let digits = trimmed.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(trimmed.len());
    let (number, unit) = trimmed.split_at(digits);
    let number: f64 = number.parse().map_err(|_| wrong())?;
    let unit = unit.trim().to_ascii_lowercase();
    let letter = unit.strip_suffix("ib").or(unit.strip_suffix('b')).unwrap_or(&unit);
    let power = match letter {
        "" => 0,
        "k" => 1,
        "m" => 2,
        "g" => 3,
        "t" => 4,
        "p" => 5,
        _ => return Err(wrong()),
    };
    let bytes = number * 1024f64.powi(power);
    Ok((bytes >= 1.0).then_some(bytes as u64))
}

/// A number of processors, `1.5`, in thousandths of one; `None`, no limit, for 0.
pub fn cpus(value: &str) -> Result<Option<u64>, String> {
    match value.trim().parse::<f64>() {
        Ok(number) if number >= 0.0 && number.is_finite() => {
            let thousandths = (number * 1000.0) as u64;
            Ok((thousandths > 0).then_some(thousandths))
        }
        _ => Err(format!("`{value}` is not a number of processors")),
    }
}

/// A limit on processes; `None`, no limit, for 0 and below.
pub fn pids(value: &str) -> Result<Option<u64>, String> {
    let number: i64 = value.trim().parse().map_err(|_| format!("`{value}` is not a number of processes"))?;
    Ok(u64::try_from(number).ok().filter(|n| *n > 0))
}

/// `kernel.shmmax=68719476736`.
pub fn sysctl(value: &str, origin: &Origin) -> Result<(Arc<str>, Fact<Arc<str>>), String> {
    let (key, setting) = value.split_once('=').ok_or_else(|| format!("`{value}` is not KEY=VALUE"))?;
    if key.trim().is_empty() {
        return Err(format!("`{value}` names no sysctl"));
    }
    // sysctl(8) takes slashes for dots.
    let key = if key.contains('/') && !key.contains('.') { key.replace('/', ".") } else { key.to_owned() };
    Ok((key.trim().into(), text(setting, part_origin(origin, value, value))))
}

//! Which distribution package a program came in, from the databases of dpkg, apk and rpm.

use std::collections::BTreeSet;
use std::fs::File;
use std::path::Path;

use confinement::HostPath;
use confinement::changelog::cves_in_changelog;

use super::{PackageName, gunzip};
use crate::process::files::read_bytes;

/// Debian's status file with every package of the archive has some 100 MB; an installed system's has 5.
const DATABASE_LIMIT: u64 = 64 << 20;
const LIST_LIMIT: u64 = 16 << 20;

/// `ID` and `VERSION_ID` of os-release(5).
pub(super) struct Distribution {
    pub(super) id: String,
    pub(super) release: String,
}

/// A database, loaded once.
pub(super) enum Database {
    /// `/var/lib/dpkg/status`.
    Dpkg(String),
    /// `/lib/apk/db/installed`.
    Apk(String),
    /// Only rpm itself reads its database.
    Rpm,
    None,
}

impl Database {
    pub(super) fn open() -> Database {
        let text = |path: &str| {
            let bytes = read_bytes(Path::new(path), DATABASE_LIMIT).ok()?;
            Some(String::from_utf8_lossy(&bytes).into_owned())
        };
        if let Some(status) = text("/var/lib/dpkg/status") {
            return Database::Dpkg(status);
        }
        if let Some(installed) = text("/lib/apk/db/installed").or_else(|| text("/usr/lib/apk/db/installed")) {
            return Database::Apk(installed);
        }
        let rpm = ["/var/lib/rpm", "/usr/lib/sysimage/rpm"].iter().any(|path| Path::new(path).is_dir());
        if rpm { Database::Rpm } else { Database::None }
    }

    /// The package among `candidates` that holds `file`, by its path with and without the merged `/usr`.
    pub(super) fn owner(&self, file: &str, candidates: &[&str], of: &Distribution) -> Option<PackageName> {
        let (name, version) = match self {
            Database::Dpkg(status) => candidates.iter().find_map(|name| {
                let version = dpkg_version(status, name)?;
                dpkg_holds(name, file).then(|| ((*name).to_owned(), version))
            })?,
            Database::Apk(installed) => apk_owner(installed, file)?,
            Database::Rpm => rpm_owner(file)?,
            Database::None => return None,
        };
        Some(PackageName { name, version, distribution: of.id.clone(), release: of.release.clone() })
    }

    /// A package by its name alone.
    pub(super) fn package(&self, name: &str, of: &Distribution) -> Option<PackageName> {
        let Database::Dpkg(status) = self else { return None };
        let version = dpkg_version(status, name)?;
        Some(PackageName {
            name: name.into(),
            version,
            distribution: of.id.clone(),
            release: of.release.clone(),
        })
    }

    /// What the package's changelog names as fixed.
    pub(super) fn fixed_cves(&self, package: &str) -> Vec<String> {
        let text = match self {
            Database::Dpkg(_) => {
                let file = |name: &str| File::open(format!("/usr/share/doc/{package}/{name}")).ok();
                file("changelog.Debian.gz").or_else(|| file("changelog.gz")).and_then(gunzip)
            }
            Database::Rpm => super::components::output("/usr/bin/rpm", &["-q", "--changelog", "--", package]),
            Database::Apk(_) | Database::None => None,
        };
        let text = text.unwrap_or_default();
        let found: BTreeSet<String> = cves_in_changelog(&String::from_utf8_lossy(&text));
        found.into_iter().collect()
    }
}

/// The version of an installed package: dpkg(1), deb822(5) stanzas.
fn dpkg_version(status: &str, name: &str) -> Option<String> {
    let stanza = status.split("\n\n").find(|stanza| {
        stanza.lines().any(|line| line.strip_prefix("Package: ") == Some(name))
            && stanza.lines().any(|line| line.starts_with("Status: ") && line.ends_with(" installed"))
    })?;
    stanza.lines().find_map(|line| line.strip_prefix("Version: ")).map(str::to_owned)
}

fn dpkg_holds(package: &str, file: &str) -> bool {
    // Multi-Arch: same packages carry the architecture in the name of the list.
    let lists = [String::new(), ":amd64".into(), ":arm64".into(), ":armhf".into(), ":riscv64".into()];
    let file = HostPath::new(file);
    lists.iter().any(|suffix| {
        let path = format!("/var/lib/dpkg/info/{package}{suffix}.list");
        let Ok(bytes) = read_bytes(Path::new(&path), LIST_LIMIT) else { return false };
        String::from_utf8_lossy(&bytes).lines().any(|line| HostPath::new(line) == file)
    })
}

/// apk's stanzas: `P:` name, `V:` version, `F:` folder, `R:` file in that folder.
fn apk_owner(installed: &str, file: &str) -> Option<(String, String)> {
    let file = HostPath::new(file);
    installed.split("\n\n").find_map(|stanza| {
        let (mut name, mut version, mut folder, mut holds) = ("", "", "", false);
        for line in stanza.lines() {
            match line.split_once(':') {
                Some(("P", value)) => name = value,
                Some(("V", value)) => version = value,
                Some(("F", value)) => folder = value,
                Some(("R", value)) => holds |= HostPath::new(&format!("/{folder}/{value}")) == file,
                _ => {}
            }
        }
        holds.then(|| (name.to_owned(), version.to_owned()))
    })
}

fn rpm_owner(file: &str) -> Option<(String, String)> {
    let format = "%{NAME}\\t%|EPOCH?{%{EPOCH}:}|%{VERSION}-%{RELEASE}\\n";
    let text = super::components::output("/usr/bin/rpm", &["-q", "--queryformat", format, "--file", file])?;
    let text = String::from_utf8_lossy(&text).into_owned();
    let (name, version) = text.lines().next()?.split_once('\t')?;
    Some((name.to_owned(), version.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_installed_package_has_a_version() {
        let status = "Package: runc\nStatus: deinstall ok config-files\nVersion: 1.0\n\n\
            Package: runc-extra\nStatus: install ok installed\nVersion: 2.0\n\n\
            Package: crun\nStatus: install ok installed\nDescription: x\n Version: no\nVersion: 1.8.1-1+deb12u1\n";
        assert_eq!(dpkg_version(status, "runc"), None);
        assert_eq!(dpkg_version(status, "crun").as_deref(), Some("1.8.1-1+deb12u1"));
        assert_eq!(dpkg_version(status, "absent"), None);
    }

    #[test]
    fn apk_names_the_package_of_a_file() {
        let installed =
            "P:musl\nV:1.2.5-r0\nF:lib\nR:libc.so\n\nP:runc\nV:1.1.12-r3\nF:usr\nF:usr/bin\nR:runc\n\n";
        assert_eq!(apk_owner(installed, "/usr/bin/runc"), Some(("runc".into(), "1.1.12-r3".into())));
        assert_eq!(apk_owner(installed, "/usr/bin/crun"), None);
    }
}

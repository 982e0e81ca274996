//! The programs that run containers, and the kernel: which are installed, in which version, from which package.

use std::collections::BTreeMap;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::packages::{Database, Distribution};
use super::{Component, PackageName};

/// By the flaw tables' names: programs that may be it, and packages they may come in.
const COMPONENTS: &[(&str, &[&str], &[&str])] = &[
    ("runc", &["runc"], &["runc", "runc-app", "runc-stable", "containerd.io", "moby-runc"]),
    ("crun", &["crun"], &["crun"]),
    ("youki", &["youki"], &["youki"]),
    (
        "containerd",
        &["containerd"],
        &["containerd", "containerd-app", "containerd-stable", "containerd.io", "moby-containerd"],
    ),
    ("docker", &["dockerd"], &["docker.io", "docker-ce", "moby-engine", "docker"]),
    ("podman", &["podman"], &["podman"]),
    ("buildah", &["buildah"], &["buildah"]),
    ("buildkit", &["buildkitd"], &["buildkit", "buildkit-cli"]),
    ("cri-o", &["crio"], &["cri-o"]),
    ("kubernetes", &["kubelet"], &["kubelet", "kubernetes-kubelet", "kubernetes-node"]),
    (
        "nvidia-container-toolkit",
        &["nvidia-ctk", "nvidia-container-cli"],
        &["nvidia-container-toolkit", "nvidia-container-toolkit-base", "libnvidia-container-tools"],
    ),
    ("kata-containers", &["kata-runtime"], &["kata-containers"]),
    ("incus", &["incusd"], &["incus", "incus-base"]),
];

/// Where programs of root's are, whatever PATH the caller has.
const FOLDERS: &[&str] =
    &["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin", "/opt/kata/bin"];

/// A large Go program takes some 50 ms to say its version.
const TIMEOUT: Duration = Duration::from_secs(2);
const OUTPUT_LIMIT: u64 = 32 << 20;

pub(super) fn read(
    distribution: &Distribution,
    release: &str,
    notes: &mut Vec<String>,
) -> (Component, BTreeMap<String, Component>) {
    let database = Database::open();
    let kernel = kernel(&database, distribution, release);
    let database = &database;
    let found: Vec<(String, Component, Option<String>)> = std::thread::scope(|scope| {
        let jobs: Vec<_> = COMPONENTS
            .iter()
            .filter_map(|(name, programs, packages)| {
                let program = programs.iter().find_map(|program| find(program))?;
                Some(scope.spawn(move || {
                    let (component, note) = component(&program, packages, database, distribution);
                    ((*name).to_owned(), component, note)
                }))
            })
            .collect();
        jobs.into_iter().filter_map(|job| job.join().ok()).collect()
    });
    notes.extend(found.iter().filter_map(|(_, _, note)| note.clone()));
    (kernel, found.into_iter().map(|(name, component, _)| (name, component)).collect())
}

fn find(program: &str) -> Option<String> {
    FOLDERS.iter().map(|folder| format!("{folder}/{program}")).find(|path| Path::new(path).is_file())
}

fn component(
    program: &str,
    packages: &[&str],
    database: &Database,
    distribution: &Distribution,
) -> (Component, Option<String>) {
    let package: Option<PackageName> = database.owner(program, packages, distribution);
    let changelog_cves = package.as_ref().map(|p| database.fixed_cves(&p.name)).unwrap_or_default();
    let (version, note) = if is_roots(program) {
        let text = output(program, &["--version"]);
        (text.and_then(|text| version_in(&String::from_utf8_lossy(&text))), None)
    } else {
        (
            None,
            Some(format!("{program} may be written by others than root, and was not asked for its version")),
        )
    };
    (Component { version, program: Some(program.to_owned()), package, changelog_cves }, note)
}

/// Whether nobody but root can have put something else there.
fn is_roots(program: &str) -> bool {
    let Ok(real) = std::fs::canonicalize(program) else { return false };
    real.ancestors().all(|path| {
        path.metadata().is_ok_and(|meta| {
            // Group or others may write: only a sticky folder keeps others' files.
            meta.uid() == 0 && (meta.mode() & 0o022 == 0 || (meta.is_dir() && meta.mode() & 0o1000 != 0))
        })
    })
}

/// The first word that is a version: programs print `NAME version 1.2.3, build …` in many ways.
fn version_in(text: &str) -> Option<String> {
    let words = text.split_whitespace().map(|word| word.trim_matches([',', ':', '(', ')', '"']));
    words
        .map(|word| word.strip_prefix('v').unwrap_or(word))
        .find(|word| word.starts_with(|c: char| c.is_ascii_digit()) && word.contains('.'))
        .map(crate::measured::printable)
}

/// What a program prints; `None` where it fails, or is not done in time and is ended.
pub(super) fn output(program: &str, arguments: &[&str]) -> Option<Vec<u8>> {
    let mut child = Command::new(program)
        .args(arguments)
        .env_clear()
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .env("LC_ALL", "C")
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .ok()?;
    let pipe = child.stdout.take()?;
    let reader = std::thread::spawn(move || {
        let mut bytes = Vec::new();
        let _ = pipe.take(OUTPUT_LIMIT).read_to_end(&mut bytes);
        bytes
    });
    let started = Instant::now();
    loop {
        match child.try_wait() {
            Ok(Some(status)) => return reader.join().ok().filter(|_| status.success()),
            Ok(None) if started.elapsed() < TIMEOUT => std::thread::sleep(Duration::from_millis(2)),
            _ => {
                let _ = child.kill();
                let _ = child.wait();
                return None;
            }
        }
    }
}

/// The package that the running kernel came in.
fn kernel(database: &Database, distribution: &Distribution, release: &str) -> Component {
    let package = match database {
        // Debian and Ubuntu name the package by the release; Ubuntu's unsigned builds apart.
        Database::Dpkg(_) => ["linux-image-", "linux-image-unsigned-"]
            .iter()
            .find_map(|start| database.package(&format!("{start}{release}"), distribution)),
        // Alpine: `6.6.31-0-lts` boots /boot/vmlinuz-lts.
        Database::Apk(_) => {
            let flavour = release.rsplit('-').next().unwrap_or_default();
            database.owner(&format!("/boot/vmlinuz-{flavour}"), &[], distribution)
        }
        Database::Rpm => [format!("/lib/modules/{release}/vmlinuz"), format!("/boot/vmlinuz-{release}")]
            .iter()
            .find_map(|file| database.owner(file, &[], distribution)),
        Database::None => None,
    };
    let changelog_cves = package.as_ref().map(|p| database.fixed_cves(&p.name)).unwrap_or_default();
    Component { version: Some(release.to_owned()), program: None, package, changelog_cves }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_found_in_what_each_program_prints() {
        for (text, version) in [
            (
                "runc version 1.1.5+ds1\ncommit: 1.1.5+ds1-1+deb12u1\nspec: 1.0.2-dev\ngo: go1.19.8",
                "1.1.5+ds1",
            ),
            ("crun version 1.8.1\ncommit: f8a096be\nrundir: /run/crun", "1.8.1"),
            ("containerd github.com/containerd/containerd 1.6.20~ds1 1.6.20~ds1-1+deb12u3", "1.6.20~ds1"),
            ("containerd github.com/containerd/containerd/v2 v2.1.4 75cb2b7", "2.1.4"),
            ("Docker version 20.10.24+dfsg1, build 5d6db84", "20.10.24+dfsg1"),
            ("podman version 4.3.1", "4.3.1"),
            ("Kubernetes v1.29.0", "1.29.0"),
            ("NVIDIA Container Toolkit CLI version 1.14.3\ncommit: 53b24618", "1.14.3"),
            ("kata-runtime  : 3.2.0\n   commit   : abc", "3.2.0"),
        ] {
            assert_eq!(version_in(text).as_deref(), Some(version));
        }
        assert_eq!(version_in("usage: nothing"), None);
    }

    #[test]
    fn a_program_that_does_not_end_is_ended() {
        let started = Instant::now();
        assert_eq!(output("/bin/sleep", &["60"]), None);
        assert!(started.elapsed() < TIMEOUT + Duration::from_secs(2));
        assert_eq!(output("/bin/echo", &["a b"]).as_deref(), Some(b"a b\n".as_slice()));
        assert_eq!(output("/bin/false", &[]), None);
        assert_eq!(output("/nonexistent", &[]), None);
    }

    #[test]
    fn a_program_in_a_folder_of_anyones_is_not_asked() {
        let folder = tempfile::tempdir().unwrap();
        let program = folder.path().join("runc");
        std::fs::write(&program, "").unwrap();
        let mode = |bits| {
            use std::os::unix::fs::PermissionsExt;
            std::fs::set_permissions(&program, std::fs::Permissions::from_mode(bits)).unwrap();
        };
        mode(0o777);
        assert!(!is_roots(program.to_str().unwrap()));
        assert!(is_roots("/bin/sleep"));
    }
}

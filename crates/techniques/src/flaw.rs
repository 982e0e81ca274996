//! Known flaws (CVEs) of kernels, runtimes and engines: where each is present, and what it needs to be
//! reached.
//!
//! The data stands in `flaws/*.yaml` (its shape in `flaws/README.md`) and is embedded as JSON. What is
//! installed comes from a live host or a facts file; the answer goes to the solver, which reports a flaw only
//! where it is present *and* its conditions hold. A flaw that is fixed is no wall, so it simply is not there.
//!
//! # How presence is decided
//!
//! The first rule that has an answer decides, and says why:
//!
//! 1. **The distribution's package.** Distributions carry fixes back without moving the upstream version, so
//!    their own package version, by their own order, comes first: at or after the fixed one is fixed, before
//!    it present. `unfixed` in the data names the newest package known to lack the fix; a later one is not
//!    judged by it.
//! 2. **The package's changelog.** It names the CVE: fixed. That it does not proves nothing: fixes are
//!    uploaded before their number is public (Debian's linux 6.1.170-2 fixed CVE-2026-43284 without naming
//!    it), and old entries are cut off.
//! 3. **The upstream version.** Not yet affected, or at or after the fix of its stream: not present, whoever
//!    built it. Affected: present where the project itself built it (a static binary, Docker's own packages,
//!    a kernel from kernel.org); unknown where a distribution did, because a backport cannot be excluded.

use std::sync::OnceLock;

pub use confinement::changelog::cves_in_changelog;
use confinement::host::{Installed, Package};
use confinement::version::{KernelBuilder, KernelRelease, Release, Scheme};
use serde::Deserialize;

/// One flaw of one component, as its file states it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Flaw {
    /// `CVE-…`.
    pub id: String,
    /// What it is a flaw of: `runc`, `containerd`, `linux`, …; from the head of its file.
    #[serde(skip)]
    pub component: &'static str,
    pub title: String,
    /// Which upstream releases have it; absent where [`Flaw::undecidable`] says why that is not known.
    pub affected: Option<Affected>,
    /// Why this flaw cannot be judged: no usable version range, or nothing published on what it needs.
    pub undecidable: Option<String>,
    /// What distributions did about it.
    #[serde(default)]
    pub distributions: Vec<DistributionFix>,
    /// A gain, by its name in the catalogue: `host-root`, `host-read`, …
    pub gain: String,
    /// When it can be reached, in a sentence.
    pub when: String,
    /// The same as conditions, all of which must hold; none: wherever the flaw is present.
    #[serde(default)]
    pub needs: Vec<Needs>,
    #[serde(default)]
    pub references: Vec<String>,
    pub confidence: Confidence,
    pub note: Option<String>,
    #[serde(skip)]
    packages: &'static Packages,
}

/// How well the version range is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Confidence {
    /// An advisory, a vulnerability database or the distribution's changelog says so.
    Advisory,
    /// An issue or a pull request says so.
    Issue,
    /// General knowledge; not read in a source.
    Recalled,
}

/// The conditions of a flaw, in the words of the techniques.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub enum Needs {
    Condition(String),
    All { all: Vec<Needs> },
    Any { any: Vec<Needs> },
}

impl Needs {
    /// Every condition named in the formula.
    pub fn conditions(&self) -> Vec<&str> {
        match self {
            Needs::Condition(condition) => vec![condition],
            Needs::All { all: parts } | Needs::Any { any: parts } => {
                parts.iter().flat_map(Needs::conditions).collect()
            }
        }
    }
}

/// The upstream releases that have a flaw. A stream is a major and a minor number, and gets its own fixes:
/// * a release at or after the fix of its stream is fixed, one before it is affected;
/// * a stream newer than every named one began after the fix;
/// * any other stream never got one, so all of it from `introduced` on is affected.
///
/// Where the first affected release is not known, a release before the fix of its stream still counts as
/// affected.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Affected {
    /// The first release that has the flaw; `0` for the first ever. Absent: not known, and then streams
    /// without a named fix are not judged.
    pub introduced: Option<String>,
    /// The first affected release of each older stream that the flaw was carried back to.
    #[serde(default)]
    pub introduced_in_streams: Vec<String>,
    /// The first fixed release of each stream that got one.
    #[serde(default)]
    pub fixed: Vec<String>,
    /// Streams (`5.15`) that got the fix in a release not known here.
    #[serde(default)]
    pub fixed_in_unknown_release_of: Vec<String>,
    /// Where no fix exists: the newest release known to have the flaw.
    pub last_affected: Option<String>,
}

/// What one distribution's package has.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct DistributionFix {
    /// The `ID` of its os-release(5).
    pub distribution: String,
    /// The `VERSION_ID`, or its major part.
    pub release: String,
    /// The package, where it is not one of the component's own names.
    pub package: Option<String>,
    /// The first package version with the fix.
    pub fixed: Option<String>,
    /// The newest package version known to lack it.
    pub unfixed: Option<String>,
}

impl DistributionFix {
    /// Whether it speaks of this package, and of its stream: a newer stream that the same release offers
    /// beside (Debian's backports, Ubuntu's hardware enablement kernels) sorts after every version here and
    /// has other fixes.
    fn is_about(&self, package: &Package, packages: &Packages) -> bool {
        let stream = |version: &str| Release::parse(version).map(|release| release.stream());
        let named = match &self.package {
            Some(name) => **name == *package.name,
            None => names(&packages.names, &package.name),
        };
        let known = self.fixed.as_deref().or(self.unfixed.as_deref());
        named && known.is_some_and(|known| stream(known) == stream(&package.version))
    }
}

/// Whether a flaw is in what is installed, with the reason in words that name the versions compared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Presence {
    Present { why: String },
    Fixed { why: String },
    Unknown { why: String },
}

impl Presence {
    pub fn why(&self) -> &str {
        match self {
            Presence::Present { why } | Presence::Fixed { why } | Presence::Unknown { why } => why,
        }
    }
    pub fn is_present(&self) -> bool {
        matches!(self, Presence::Present { .. })
    }
}

/// Package names by which a component is installed, from the head of its file; `*` at the end matches any
/// rest.
#[derive(Debug, Default, Deserialize)]
struct Packages {
    /// Packages whose version is the component's.
    #[serde(default)]
    names: Vec<String>,
    /// Packages that the project builds itself, which hold what the upstream version says.
    #[serde(default)]
    upstream: Vec<String>,
}

impl Default for &'static Packages {
    fn default() -> &'static Packages {
        static NONE: Packages = Packages { names: Vec::new(), upstream: Vec::new() };
        &NONE
    }
}

fn names(list: &[String], package: &str) -> bool {
    list.iter().any(|name| match name.strip_suffix('*') {
        Some(front) => package.starts_with(front),
        None => name == package,
    })
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct FlawFile {
    #[serde(rename = "file")]
    _file: String,
    component: String,
    #[serde(default)]
    packages: Packages,
    flaws: Vec<Flaw>,
}

/// Every known flaw, by file and in the file's order.
pub fn load() -> &'static [Flaw] {
    static FLAWS: OnceLock<Vec<Flaw>> = OnceLock::new();
    FLAWS.get_or_init(|| {
        // Built in and loaded by a test: an error here is a defect of this crate, never of what it is given.
        let files: Vec<FlawFile> =
            serde_json::from_str(include_str!(concat!(env!("OUT_DIR"), "/flaws.json")))
                .expect("the embedded flaws have the shape of this module");
        let mut all = Vec::new();
        for file in files {
            // Kept for the life of the process: a dozen files, read once.
            let component: &'static str = Box::leak(file.component.into_boxed_str());
            let packages: &'static Packages = Box::leak(Box::new(file.packages));
            all.extend(file.flaws.into_iter().map(|flaw| Flaw { component, packages, ..flaw }));
        }
        all
    })
}

/// Every known flaw of a component, each with its presence in what is installed.
pub fn affecting(component: &str, installed: &Installed) -> Vec<(&'static Flaw, Presence)> {
    load()
        .iter()
        .filter(|flaw| flaw.component == component)
        .map(|flaw| (flaw, flaw.presence(installed)))
        .collect()
}

impl Flaw {
    /// Whether the flaw is in what is installed; the rules are at the head of this module.
    pub fn presence(&self, installed: &Installed) -> Presence {
        let (Some(affected), None) = (&self.affected, &self.undecidable) else {
            let why = self.undecidable.as_deref().unwrap_or("no version range is known");
            return Presence::Unknown { why: format!("{}: {why}", self.id) };
        };
        self.by_distribution(affected, installed)
            .or_else(|| self.by_changelog(installed))
            .unwrap_or_else(|| self.by_upstream_version(affected, installed))
    }

    fn by_distribution(&self, affected: &Affected, installed: &Installed) -> Option<Presence> {
        let package = self.distribution_package(installed)?;
        let scheme = Scheme::of_distribution(&package.distribution)?;
        let release = Some(&*package.release).filter(|release| !release.is_empty())?;
        // A cloud's Ubuntu kernel has its own numbers, which these must not be compared with.
        if self.component == "linux" && &*package.distribution == "ubuntu" {
            KernelRelease::parse(installed.version.as_deref()?)?.ubuntu_abi()?;
        }
        let known = self.distributions.iter().find(|known| {
            *known.distribution == *package.distribution
                && release.strip_prefix(&known.release).is_some_and(|r| r.is_empty() || r.starts_with('.'))
                && known.is_about(package, self.packages)
        })?;
        let Package { name, version, distribution, .. } = package;
        if let Some(fixed) = known.fixed.as_deref().filter(|fixed| scheme.compare(version, fixed).is_ge()) {
            let why = format!("{name} {version}: fixed in {distribution} {release} since {fixed}");
            return Some(Presence::Fixed { why });
        }
        if self.is_newer_than(affected, installed) {
            return None;
        }
        if let Some(fixed) = &known.fixed {
            let why =
                format!("{name} {version} is before {fixed}, which has the fix in {distribution} {release}");
            return Some(Presence::Present { why });
        }
        let unfixed = known.unfixed.as_deref()?;
        let why = format!("{name} {version}: {distribution} {release} has no fix up to {unfixed}");
        // A changelog that names the CVE after all wins over what was known when the data was written.
        let named = self.is_named(installed);
        let known_to_lack = scheme.compare(source_version(scheme, version), unfixed).is_le();
        (known_to_lack && !named).then_some(Presence::Present { why })
    }

    /// Whether the flaw came into the upstream source after what is installed was taken from it.
    fn is_newer_than(&self, affected: &Affected, installed: &Installed) -> bool {
        self.build(installed).is_some_and(|build| {
            let verdict = affected.verdict(&build.release, build.names_release);
            matches!(verdict, Verdict::NotYet(_)) && !build.carries_features_back
        })
    }

    fn by_changelog(&self, installed: &Installed) -> Option<Presence> {
        let package = installed.package.as_ref()?;
        let why = format!("the changelog of {} {} names {}", package.name, package.version, self.id);
        self.is_named(installed).then_some(Presence::Fixed { why })
    }

    fn is_named(&self, installed: &Installed) -> bool {
        installed.changelog_cves.iter().any(|cve| **cve == *self.id)
    }

    fn by_upstream_version(&self, affected: &Affected, installed: &Installed) -> Presence {
        let Some(build) = self.build(installed) else {
            return Presence::Unknown { why: format!("the version of {} is not known", self.component) };
        };
        let subject = format!("{} {}", self.component, build.shown);
        let verdict = affected.verdict(&build.release, build.names_release);
        match verdict {
            Verdict::NotYet(introduced) if build.carries_features_back => Presence::Unknown {
                why: format!(
                    "{subject}: the flaw came with {introduced}, but its builder carries later features back"
                ),
            },
            Verdict::NotYet(introduced) => Presence::Fixed {
                why: format!("{subject} is older than the flaw, which came with {introduced}"),
            },
            Verdict::Fixed(fixed) => Presence::Fixed { why: format!("{subject}: fixed since {fixed}") },
            Verdict::Unknown(reason) => Presence::Unknown { why: format!("{subject}: {reason}") },
            Verdict::Affected(range) => match build.distribution {
                None => Presence::Present { why: format!("{subject} is affected ({range})") },
                Some(distribution) => Presence::Unknown {
                    why: format!(
                        "{subject} is affected upstream ({range}), but {distribution} built it and may have \
                         carried the fix back; {}",
                        if installed.changelog_cves.is_empty() {
                            "nothing is known of its package"
                        } else {
                            "its changelog does not name the flaw"
                        }
                    ),
                },
            },
        }
    }

    /// The package, where a distribution and not the project built it.
    fn distribution_package<'a>(&self, installed: &'a Installed) -> Option<&'a Package> {
        installed.package.as_ref().filter(|package| !names(&self.packages.upstream, &package.name))
    }

    fn build(&self, installed: &Installed) -> Option<Build> {
        if self.component == "linux" { self.kernel_build(installed) } else { self.program_build(installed) }
    }

    fn program_build(&self, installed: &Installed) -> Option<Build> {
        let package_version = installed
            .package
            .as_ref()
            .filter(|package| names(&self.packages.names, &package.name))
            .map(|package| &*package.version);
        let shown =
            installed.version.as_deref().filter(|v| Release::parse(v).is_some()).or(package_version)?;
        let distribution = match &installed.package {
            Some(_) => self.distribution_package(installed).map(|package| package.distribution.to_string()),
            // An engine asked over its socket tells no package, but a distribution's build often marks its
            // version.
            None => has_distribution_mark(shown).then(|| "a distribution".to_string()),
        };
        Some(Build {
            release: Release::parse(shown)?,
            shown: shown.to_string(),
            names_release: true,
            carries_features_back: false,
            distribution,
        })
    }

    fn kernel_build(&self, installed: &Installed) -> Option<Build> {
        let package = self.distribution_package(installed);
        let kernel = installed.version.as_deref().and_then(KernelRelease::parse);
        // Debian's package version begins with the stable release, which its release name hides
        // (6.1.0-44-amd64).
        let debian = package
            .filter(|package| {
                &*package.distribution == "debian" && names(&self.packages.names, &package.name)
            })
            .and_then(|package| Release::parse(&package.version).map(|release| (release, &package.version)));
        let builder = kernel.as_ref().map(|kernel| kernel.builder);
        let distribution = builder
            .and_then(|builder| builder.name().map(str::to_string))
            .or_else(|| package.map(|package| package.distribution.to_string()));
        if let Some((release, version)) = debian {
            let shown = version.to_string();
            return Some(Build {
                release,
                shown,
                names_release: true,
                carries_features_back: false,
                distribution,
            });
        }
        let kernel = kernel?;
        Some(Build {
            shown: installed.version.as_deref()?.trim().to_string(),
            names_release: kernel.names_stable_release,
            carries_features_back: matches!(kernel.builder, KernelBuilder::LongTerm(_)),
            release: kernel.release,
            distribution,
        })
    }
}

/// What is known of how the installed thing was built.
struct Build {
    release: Release,
    /// The version as it is shown.
    shown: String,
    /// Whether the release is exact, or only its stream is.
    names_release: bool,
    carries_features_back: bool,
    /// Who built it, where that is not the project.
    distribution: Option<String>,
}

/// A Debian version without the mark of a rebuild from the same source, `+b6` (Debian policy 5.6.12.3 and
/// dpkg-buildpackage's `--binary-only`), which sorts later and fixes nothing.
fn source_version(scheme: Scheme, version: &str) -> &str {
    match version.rsplit_once("+b") {
        Some((source, rebuild))
            if scheme == Scheme::Dpkg
                && !rebuild.is_empty()
                && rebuild.bytes().all(|b| b.is_ascii_digit()) =>
        {
            source
        }
        _ => version,
    }
}

/// Marks that distributions and providers put into a program's own version: `20.10.24+dfsg1`, `1.6.20~ds1`,
/// `1.1.12-0ubuntu3`, `4.9.4-rhel`, `v1.29.3-eks-ae9a62a`.
fn has_distribution_mark(version: &str) -> bool {
    const MARKS: [&str; 16] = [
        "+ds", "~ds", "+dfsg", "~dfsg", "ubuntu", "+deb", "~deb", ".el", ".fc", ".amzn", ".azl", ".cm2",
        "rhel", "azure", "-eks", "-gke",
    ];
    MARKS.iter().any(|mark| version.contains(mark))
}

enum Verdict {
    /// Before the flaw came, with the release it came with.
    NotYet(String),
    /// With the release that fixed it.
    Fixed(String),
    /// With the range, in words.
    Affected(String),
    Unknown(String),
}

impl Affected {
    /// Judges a release; where only its stream is known (`exact` is false), what all its releases share.
    fn verdict(&self, release: &Release, exact: bool) -> Verdict {
        let introduced = self.first_affected(release);
        if let Some(introduced) = &introduced {
            let before = if exact { release < introduced } else { release.stream() < introduced.stream() };
            if before {
                return Verdict::NotYet(introduced.to_string());
            }
        }
        let fixes: Vec<Release> = self.fixed.iter().filter_map(|fixed| Release::parse(fixed)).collect();
        let elsewhere: Vec<Release> =
            self.fixed_in_unknown_release_of.iter().filter_map(|stream| Release::parse(stream)).collect();
        if let Some(fix) = fixes.iter().find(|fix| fix.stream() == release.stream()) {
            let first_of_its_stream = fix.number(2) == 0;
            return match (exact, release >= fix) {
                (true, true) => Verdict::Fixed(fix.to_string()),
                (true, false) => Verdict::Affected(self.range(Some(fix))),
                (false, _) if first_of_its_stream => Verdict::Fixed(fix.to_string()),
                (false, _) => Verdict::Unknown(format!(
                    "fixed in {fix}, but this name does not tell which release it was built from"
                )),
            };
        }
        if elsewhere.iter().any(|stream| stream.stream() == release.stream()) {
            return Verdict::Unknown("its stream was fixed, in which release is not known".to_string());
        }
        let newest = fixes.iter().chain(&elsewhere).max_by_key(|fix| fix.stream());
        match newest {
            Some(newest) if release.stream() > newest.stream() => Verdict::Fixed(newest.to_string()),
            Some(_) if introduced.is_some() => {
                let next = fixes.iter().filter(|fix| *fix > release).min();
                Verdict::Affected(self.range(next))
            }
            Some(_) => {
                Verdict::Unknown("when the flaw came, and so whether this stream has it, is not known".into())
            }
            None => self.without_fix(release),
        }
    }

    /// The first affected release of a release's stream, or else of all.
    fn first_affected(&self, release: &Release) -> Option<Release> {
        let mut streams = self.introduced_in_streams.iter().filter_map(|first| Release::parse(first));
        streams
            .find(|first| first.stream() == release.stream())
            .or_else(|| self.introduced.as_deref().and_then(Release::parse))
    }

    fn without_fix(&self, release: &Release) -> Verdict {
        match self.last_affected.as_deref().and_then(Release::parse) {
            Some(last) if *release <= last => Verdict::Affected(format!("no fix known up to {last}")),
            Some(last) => Verdict::Unknown(format!("nothing is known of releases after {last}")),
            None => Verdict::Unknown("no fixed release is known".to_string()),
        }
    }

    fn range(&self, fix: Option<&Release>) -> String {
        let from = match self.introduced.as_deref() {
            None => "since when is not known, ".to_string(),
            Some("0") => String::new(),
            Some(introduced) => format!("from {introduced}, "),
        };
        match fix {
            Some(fix) => format!("{from}fixed in {fix}"),
            None => format!("{from}never fixed in its stream"),
        }
    }
}

//! Versions, compared by the rules of whoever issued them.
//!
//! Whether a flaw is present hangs on the order of two versions, and every distribution orders them in its
//! own way: `1.1.5~rc1` is older than `1.1.5` for dpkg and rpm, and no version at all for apk. The strings
//! come from package databases, engines (`docker version`) and the kernel (`uname -r`); the answers go to the
//! flaw matcher. A comparison is total and never fails: what no rule covers is ordered as text.

use std::cmp::Ordering;
use std::fmt;

/// Whose rules order a version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scheme {
    /// Debian, Ubuntu and their derivatives: `[epoch:]upstream[-revision]`, deb-version(7).
    Dpkg,
    /// Fedora, Red Hat, SUSE, Amazon: `[epoch:]version[-release]`, rpm-version(7).
    Rpm,
    /// Alpine and Wolfi: `1.2.3a_rc1-r0`, apk-package(5).
    Apk,
    /// What a project itself calls a release: `1.0.0-rc93`, `29.4.2`.
    Upstream,
}

impl Scheme {
    /// The rules of a distribution, by the `ID` of its os-release(5); `None` where it is not known.
    pub fn of_distribution(id: &str) -> Option<Scheme> {
        match id {
            "debian" | "ubuntu" | "raspbian" | "linuxmint" | "pop" | "kali" | "devuan" => Some(Scheme::Dpkg),
            "fedora"
            | "rhel"
            | "centos"
            | "rocky"
            | "almalinux"
            | "ol"
            | "amzn"
            | "azurelinux"
            | "mariner"
            | "photon"
            | "openEuler"
            | "sles"
            | "sled"
            | "opensuse-leap"
            | "opensuse-tumbleweed"
            | "opensuse" => Some(Scheme::Rpm),
            "alpine" | "wolfi" | "chainguard" | "postmarketos" => Some(Scheme::Apk),
            _ => None,
        }
    }

    pub fn compare(self, a: &str, b: &str) -> Ordering {
        match self {
            Scheme::Dpkg => compare_dpkg(a, b),
            Scheme::Rpm => compare_rpm(a, b),
            Scheme::Apk => compare_apk(a, b),
            Scheme::Upstream => compare_upstream(a, b),
        }
    }
}

/// Splits a leading `epoch:` off; no epoch is epoch 0 (deb-version(7), rpm-version(7)).
fn epoch(version: &str) -> (&str, &str) {
    match version.split_once(':') {
        Some((epoch, rest)) if !epoch.is_empty() && epoch.bytes().all(|b| b.is_ascii_digit()) => {
            (epoch, rest)
        }
        _ => ("0", version),
    }
}

/// Compares two runs of decimal digits of any length as numbers.
fn compare_digits(a: &str, b: &str) -> Ordering {
    let a = a.trim_start_matches('0');
    let b = b.trim_start_matches('0');
    a.len().cmp(&b.len()).then_with(|| a.cmp(b))
}

/// The leading part of `text` whose bytes satisfy `wanted`, and the rest. Both ends are character boundaries,
/// because a byte of a multi-byte character is either taken with all its siblings or stops the run at its
/// first.
fn take(text: &str, wanted: impl Fn(char) -> bool) -> (&str, &str) {
    let end = text.find(|c| !wanted(c)).unwrap_or(text.len());
    text.split_at(end)
}

// ---------------------------------------------------------------------------------------------------------
// dpkg
// ---------------------------------------------------------------------------------------------------------

/// Orders two Debian versions: epoch as a number, then the upstream version, then the revision after the last
/// hyphen; deb-version(7), "Sorting algorithm".
pub fn compare_dpkg(a: &str, b: &str) -> Ordering {
    let (epoch_a, a) = epoch(a.trim());
    let (epoch_b, b) = epoch(b.trim());
    let (upstream_a, revision_a) = a.rsplit_once('-').unwrap_or((a, ""));
    let (upstream_b, revision_b) = b.rsplit_once('-').unwrap_or((b, ""));
    compare_digits(epoch_a, epoch_b)
        .then_with(|| compare_dpkg_part(upstream_a, upstream_b))
        .then_with(|| compare_dpkg_part(revision_a, revision_b))
}

/// Alternates between a run of non-digits, where `~` sorts before the end and letters before everything else,
/// and a run of digits.
fn compare_dpkg_part(mut a: &str, mut b: &str) -> Ordering {
    while !a.is_empty() || !b.is_empty() {
        let (text_a, rest_a) = take(a, |c| !c.is_ascii_digit());
        let (text_b, rest_b) = take(b, |c| !c.is_ascii_digit());
        let (digits_a, rest_a) = take(rest_a, |c| c.is_ascii_digit());
        let (digits_b, rest_b) = take(rest_b, |c| c.is_ascii_digit());
        let order = compare_dpkg_text(text_a, text_b).then_with(|| compare_digits(digits_a, digits_b));
        if order != Ordering::Equal {
            return order;
        }
        (a, b) = (rest_a, rest_b);
    }
    Ordering::Equal
}

fn compare_dpkg_text(a: &str, b: &str) -> Ordering {
    fn weight(c: Option<char>) -> u32 {
        match c {
            Some('~') => 0,
            None => 1,
            Some(c) if c.is_ascii_alphabetic() => 2 + u32::from(c),
            Some(c) => 1000 + u32::from(c),
        }
    }
    let (mut a, mut b) = (a.chars(), b.chars());
    loop {
        let (x, y) = (a.next(), b.next());
        match weight(x).cmp(&weight(y)) {
            Ordering::Equal if x.is_none() => return Ordering::Equal,
            Ordering::Equal => {}
            order => return order,
        }
    }
}

// ---------------------------------------------------------------------------------------------------------
// rpm
// ---------------------------------------------------------------------------------------------------------

/// Orders two `[epoch:]version[-release]`. Where one of them has no release, releases are not compared: that
/// is how rpm matches a dependency, and how an advisory names "any build of 1.2.8".
pub fn compare_rpm(a: &str, b: &str) -> Ordering {
    let (epoch_a, a) = epoch(a.trim());
    let (epoch_b, b) = epoch(b.trim());
    let (version_a, release_a) = a.rsplit_once('-').unwrap_or((a, ""));
    let (version_b, release_b) = b.rsplit_once('-').unwrap_or((b, ""));
    compare_digits(epoch_a, epoch_b).then_with(|| compare_rpm_part(version_a, version_b)).then_with(|| {
        if release_a.is_empty() || release_b.is_empty() {
            Ordering::Equal
        } else {
            compare_rpm_part(release_a, release_b)
        }
    })
}

/// The order of rpmvercmp(): segments of digits and of letters, separators are only separators, digits are
/// newer than letters, `~` is older than the end, `^` newer than the end and older than anything else.
/// Source: rpm-version(7) and rpmio/rpmvercmp.c.
fn compare_rpm_part(mut a: &str, mut b: &str) -> Ordering {
    loop {
        let separator = |c: char| !c.is_ascii_alphanumeric() && c != '~' && c != '^';
        a = take(a, separator).1;
        b = take(b, separator).1;

        match (a.strip_prefix('~'), b.strip_prefix('~')) {
            (Some(rest_a), Some(rest_b)) => {
                (a, b) = (rest_a, rest_b);
                continue;
            }
            (Some(_), None) => return Ordering::Less,
            (None, Some(_)) => return Ordering::Greater,
            (None, None) => {}
        }
        match (a.strip_prefix('^'), b.strip_prefix('^')) {
            (Some(rest_a), Some(rest_b)) => {
                (a, b) = (rest_a, rest_b);
                continue;
            }
            (Some(_), None) => return if b.is_empty() { Ordering::Greater } else { Ordering::Less },
            (None, Some(_)) => return if a.is_empty() { Ordering::Less } else { Ordering::Greater },
            (None, None) => {}
        }
        if a.is_empty() || b.is_empty() {
            // The one that goes on is newer.
            return (!a.is_empty()).cmp(&!b.is_empty());
        }

        let digits = a.starts_with(|c: char| c.is_ascii_digit());
        let same_kind = |c: char| if digits { c.is_ascii_digit() } else { c.is_ascii_alphabetic() };
        let (segment_a, rest_a) = take(a, same_kind);
        let (segment_b, rest_b) = take(b, same_kind);
        if segment_b.is_empty() {
            return if digits { Ordering::Greater } else { Ordering::Less };
        }
        let order = if digits { compare_digits(segment_a, segment_b) } else { segment_a.cmp(segment_b) };
        if order != Ordering::Equal {
            return order;
        }
        (a, b) = (rest_a, rest_b);
    }
}

// ---------------------------------------------------------------------------------------------------------
// apk
// ---------------------------------------------------------------------------------------------------------

/// One piece of an apk version. The order of the kinds is apk's: where two versions are equal so far, the one
/// that goes on with the earlier kind is the newer one (`1.0.1` over `1.0a` over `1.0_p1` over `1.0-r1` over
/// `1.0`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum ApkKind {
    Number,
    /// A number after the first that starts with a zero: compared digit by digit, as after a decimal point.
    Fraction,
    Letter,
    Suffix,
    SuffixNumber,
    Revision,
    End,
    Invalid,
}

#[derive(Clone, Copy, Debug)]
struct ApkToken<'a> {
    kind: ApkKind,
    text: &'a str,
}

/// Suffixes before a release in their order, then those after it; apk-package(5).
const APK_BEFORE: [&str; 4] = ["alpha", "beta", "pre", "rc"];
const APK_AFTER: [&str; 5] = ["cvs", "svn", "git", "hg", "p"];

/// Below zero for a suffix that comes before the release, above zero for one after it.
fn apk_suffix(text: &str) -> Option<i32> {
    let place = |list: &[&str]| list.iter().position(|s| *s == text).and_then(|i| i32::try_from(i).ok());
    place(&APK_BEFORE).map(|i| i - 4).or_else(|| place(&APK_AFTER).map(|i| i + 1))
}

struct ApkTokens<'a> {
    rest: &'a str,
    previous: Option<ApkKind>,
}

impl<'a> ApkTokens<'a> {
    fn new(version: &'a str) -> ApkTokens<'a> {
        ApkTokens { rest: version, previous: None }
    }

    fn next(&mut self) -> ApkToken<'a> {
        let token = self.scan();
        self.previous = Some(token.kind);
        token
    }

    fn scan(&mut self) -> ApkToken<'a> {
        use ApkKind::*;
        let all = self.rest;
        let mut invalid = || {
            self.rest = "";
            ApkToken { kind: Invalid, text: all }
        };
        let Some(first) = all.chars().next() else {
            return ApkToken { kind: End, text: "" };
        };
        let (kind, text, rest) = match (self.previous, first) {
            (None, '0'..='9') => {
                let (text, rest) = take(all, |c| c.is_ascii_digit());
                (Number, text, rest)
            }
            (Some(Number | Fraction), '.') => {
                let (text, rest) = take(&all[1..], |c| c.is_ascii_digit());
                if text.is_empty() {
                    return invalid();
                }
                let kind = if text.len() > 1 && text.starts_with('0') { Fraction } else { Number };
                (kind, text, rest)
            }
            (Some(Number | Fraction), 'a'..='z') => (Letter, &all[..1], &all[1..]),
            (Some(Number | Fraction | Letter | Suffix | SuffixNumber), '_') => {
                let (text, rest) = take(&all[1..], |c| c.is_ascii_lowercase());
                if apk_suffix(text).is_none() {
                    return invalid();
                }
                (Suffix, text, rest)
            }
            (Some(Suffix), '0'..='9') => {
                let (text, rest) = take(all, |c| c.is_ascii_digit());
                (SuffixNumber, text, rest)
            }
            (Some(Number | Fraction | Letter | Suffix | SuffixNumber), '-') => {
                let (text, rest) =
                    all.strip_prefix("-r").map_or(("", all), |rest| take(rest, |c| c.is_ascii_digit()));
                if text.is_empty() {
                    return invalid();
                }
                (Revision, text, rest)
            }
            _ => return invalid(),
        };
        self.rest = rest;
        ApkToken { kind, text }
    }
}

/// Orders two apk versions; apk-package(5), checked against the vectors of apk-tools (test/version.data).
pub fn compare_apk(a: &str, b: &str) -> Ordering {
    use ApkKind::*;
    let (mut tokens_a, mut tokens_b) = (ApkTokens::new(a.trim()), ApkTokens::new(b.trim()));
    loop {
        let (x, y) = (tokens_a.next(), tokens_b.next());
        let numeric = |t: ApkToken| matches!(t.kind, Number | Fraction);
        let order = if numeric(x) && numeric(y) {
            if x.kind == Fraction || y.kind == Fraction {
                x.text.cmp(y.text)
            } else {
                compare_digits(x.text, y.text)
            }
        } else if x.kind == y.kind {
            match x.kind {
                End => return Ordering::Equal,
                Invalid => return x.text.cmp(y.text),
                Suffix => apk_suffix(x.text).cmp(&apk_suffix(y.text)),
                SuffixNumber | Revision => compare_digits(x.text, y.text),
                Number | Fraction | Letter => x.text.cmp(y.text),
            }
        } else {
            // Equal so far; a suffix that announces a release is older than the release, all else is newer.
            let before = |t: ApkToken| t.kind == Suffix && apk_suffix(t.text).is_some_and(|n| n < 0);
            return match (before(x), before(y)) {
                (true, false) => Ordering::Less,
                (false, true) => Ordering::Greater,
                _ if x.kind == Invalid => Ordering::Greater,
                _ if y.kind == Invalid => Ordering::Less,
                _ => y.kind.cmp(&x.kind),
            };
        };
        if order != Ordering::Equal {
            return order;
        }
    }
}

// ---------------------------------------------------------------------------------------------------------
// Upstream releases
// ---------------------------------------------------------------------------------------------------------

/// How far a release was before it was one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Stage {
    Development,
    Alpha,
    Beta,
    Preview,
    Candidate,
    Release,
}

const STAGES: [(&str, Stage); 6] = [
    ("dev", Stage::Development),
    ("alpha", Stage::Alpha),
    ("beta", Stage::Beta),
    ("preview", Stage::Preview),
    ("pre", Stage::Preview),
    ("rc", Stage::Candidate),
];

/// A project's own release number, as its advisories use it: dotted numbers, perhaps a stage before the
/// release. Semantic versioning is not enough: runc had `1.0.0-rc93`, Docker `18.09.7-ce`, and distributions
/// add `+ds1`. What follows the stage (build metadata, a distribution's revision) does not order.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Release {
    numbers: Vec<u64>,
    stage: Stage,
    stage_number: u64,
}

impl Release {
    /// Reads `v1.2.3`, `1.0.0-rc93`, `1.4.0-rc.3`, `20.10.24+dfsg1`, `5:29.4.2`. `None` where the text does
    /// not begin with a number.
    pub fn parse(text: &str) -> Option<Release> {
        let text = epoch(text.trim()).1;
        let mut rest = text.strip_prefix(['v', 'V']).unwrap_or(text);
        let mut numbers = Vec::new();
        loop {
            let (digits, after) = take(rest, |c| c.is_ascii_digit());
            if digits.is_empty() {
                break;
            }
            numbers.push(digits.parse().unwrap_or(u64::MAX));
            rest = after;
            match after.strip_prefix('.') {
                Some(next) if next.starts_with(|c: char| c.is_ascii_digit()) => rest = next,
                _ => break,
            }
        }
        if numbers.is_empty() {
            return None;
        }
        let (stage, stage_number) = stage(rest);
        Some(Release { numbers, stage, stage_number })
    }

    /// The series that gets its own fixes: the first two numbers.
    pub fn stream(&self) -> (u64, u64) {
        (self.number(0), self.number(1))
    }

    /// The number at a place; missing ones are 0, so that `1.2` is `1.2.0`.
    pub fn number(&self, place: usize) -> u64 {
        self.numbers.get(place).copied().unwrap_or(0)
    }

    /// How many numbers were written.
    pub fn length(&self) -> usize {
        self.numbers.len()
    }
}

/// The stage that follows the numbers: `-rc93`, `-rc.3`, `~rc1`, `_rc1`, `rc1`. A Debian repack mark such as
/// `~ds1` is no stage.
fn stage(rest: &str) -> (Stage, u64) {
    let word = rest.trim_start_matches(['-', '~', '_', '.']);
    let lower = word.get(..word.len().min(16)).unwrap_or(word).to_ascii_lowercase();
    for (name, stage) in STAGES {
        let Some(after) = lower.strip_prefix(name) else { continue };
        if after.starts_with(|c: char| c.is_ascii_alphabetic()) {
            continue;
        }
        let digits = take(after.trim_start_matches(['.', '-']), |c| c.is_ascii_digit()).0;
        return (stage, digits.parse().unwrap_or(0));
    }
    (Stage::Release, 0)
}

impl Ord for Release {
    fn cmp(&self, other: &Release) -> Ordering {
        let length = self.numbers.len().max(other.numbers.len());
        (0..length)
            .map(|i| self.number(i).cmp(&other.number(i)))
            .find(|order| *order != Ordering::Equal)
            .unwrap_or(Ordering::Equal)
            .then(self.stage.cmp(&other.stage))
            .then(self.stage_number.cmp(&other.stage_number))
    }
}

impl PartialOrd for Release {
    fn partial_cmp(&self, other: &Release) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Display for Release {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, number) in self.numbers.iter().enumerate() {
            write!(f, "{}{number}", if i == 0 { "" } else { "." })?;
        }
        match STAGES.iter().find(|(_, stage)| *stage == self.stage) {
            Some((name, _)) => write!(f, "-{name}.{}", self.stage_number),
            None => Ok(()),
        }
    }
}

/// Orders two upstream releases; what is none is ordered as text, before every release.
pub fn compare_upstream(a: &str, b: &str) -> Ordering {
    match (Release::parse(a), Release::parse(b)) {
        (Some(x), Some(y)) => x.cmp(&y),
        (None, None) => a.cmp(b),
        (x, y) => x.is_some().cmp(&y.is_some()),
    }
}

// ---------------------------------------------------------------------------------------------------------
// Kernel releases
// ---------------------------------------------------------------------------------------------------------

/// Who built a kernel, as far as its release name (`uname -r`) shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum KernelBuilder {
    Debian,
    Ubuntu,
    /// Another distribution, by its name.
    Distribution(&'static str),
    /// A distribution that keeps one version number for years and carries features and fixes of later kernels
    /// back into it, by its name: Red Hat and its rebuilds, SUSE, openEuler.
    LongTerm(&'static str),
    /// No distribution known by name: a kernel from kernel.org, perhaps with a local suffix.
    Other,
}

impl KernelBuilder {
    /// The distribution's name; `None` for [`KernelBuilder::Other`].
    pub fn name(self) -> Option<&'static str> {
        match self {
            KernelBuilder::Debian => Some("Debian"),
            KernelBuilder::Ubuntu => Some("Ubuntu"),
            KernelBuilder::Distribution(name) | KernelBuilder::LongTerm(name) => Some(name),
            KernelBuilder::Other => None,
        }
    }
}

/// A kernel's release name, `uname -r`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KernelRelease {
    pub builder: KernelBuilder,
    /// The numbers at its front.
    pub release: Release,
    /// Whether those numbers name the stable release the kernel was built from. Debian 12 (`6.1.0-28-amd64`),
    /// Ubuntu (`5.15.0-179-generic`), Red Hat (`5.14.0-427.el9`) and SUSE (`6.4.0-150600.23-default`) write a
    /// 0 as third number instead.
    pub names_stable_release: bool,
    /// What follows the numbers, without the separator: `28-amd64`, `179-generic`, `fc-v657`.
    pub suffix: String,
}

impl KernelRelease {
    /// Reads `6.1.0-28-amd64`, `6.12.85+deb13-amd64`, `5.15.0-179-generic`, `5.14.0-427.13.1.el9_4.x86_64`,
    /// `6.18.44-fc-v657`. `None` where the text does not begin with two numbers.
    pub fn parse(text: &str) -> Option<KernelRelease> {
        let text = text.trim();
        let release = Release::parse(text)?;
        if release.length() < 2 {
            return None;
        }
        let suffix = take(text, |c| c.is_ascii_digit() || c == '.').1;
        let suffix = suffix.trim_start_matches(['-', '+', '.', '_']);
        let builder = builder(text, suffix);
        let fixed_third_number = match builder {
            KernelBuilder::Debian | KernelBuilder::Ubuntu | KernelBuilder::LongTerm(_) => {
                release.number(2) == 0 && release.length() > 2
            }
            KernelBuilder::Distribution(_) | KernelBuilder::Other => false,
        };
        let suffix = suffix.to_string();
        Some(KernelRelease { builder, names_stable_release: !fixed_third_number, release, suffix })
    }

    /// Ubuntu's ABI number, the 179 of `5.15.0-179-generic`, with which its packages `5.15.0-179.189` begin.
    /// Only the generic flavours count together; clouds (`-aws`, `-azure`) number on their own.
    pub fn ubuntu_abi(&self) -> Option<u64> {
        let (abi, flavour) = self.suffix.split_once('-')?;
        let generic = matches!(flavour, "generic" | "lowlatency" | "generic-lpae" | "generic-64k");
        (self.builder == KernelBuilder::Ubuntu && generic).then(|| abi.parse().ok()).flatten()
    }
}

const UBUNTU_FLAVOURS: [&str; 16] = [
    "generic",
    "lowlatency",
    "aws",
    "azure",
    "gcp",
    "gke",
    "gkeop",
    "oracle",
    "kvm",
    "raspi",
    "ibm",
    "oem",
    "hwe",
    "nvidia",
    "realtime",
    "fips",
];
const DEBIAN_FLAVOURS: [&str; 12] = [
    "amd64",
    "arm64",
    "armmp",
    "686",
    "686-pae",
    "i386",
    "ppc64el",
    "powerpc64le",
    "riscv64",
    "s390x",
    "mips64el",
    "loong64",
];

/// Marks of distributions in a release name: a part that begins with the mark, and goes on with a digit where
/// the second member says so (`fc40`, but not Firecracker's `fc-v657`).
const MARKS: [(&str, bool, KernelBuilder); 21] = [
    ("fc", true, KernelBuilder::Distribution("Fedora")),
    ("el", true, KernelBuilder::LongTerm("Red Hat")),
    ("oe", true, KernelBuilder::LongTerm("openEuler")),
    ("an", true, KernelBuilder::LongTerm("OpenAnolis")),
    ("tl", true, KernelBuilder::LongTerm("TencentOS")),
    ("default", false, KernelBuilder::LongTerm("SUSE")),
    ("amzn", true, KernelBuilder::Distribution("Amazon")),
    ("azl", true, KernelBuilder::Distribution("Azure Linux")),
    ("cm", true, KernelBuilder::Distribution("Azure Linux")),
    ("ph", true, KernelBuilder::Distribution("Photon")),
    ("pve", false, KernelBuilder::Distribution("Proxmox")),
    ("lts", false, KernelBuilder::Distribution("Alpine or Arch")),
    ("virt", false, KernelBuilder::Distribution("Alpine")),
    ("arch", true, KernelBuilder::Distribution("Arch")),
    ("rpt", false, KernelBuilder::Distribution("Raspberry Pi")),
    ("rpi", false, KernelBuilder::Distribution("Raspberry Pi")),
    ("flatcar", false, KernelBuilder::Distribution("Flatcar")),
    ("talos", false, KernelBuilder::Distribution("Talos")),
    ("gardenlinux", false, KernelBuilder::Distribution("Garden Linux")),
    ("deb", true, KernelBuilder::Debian),
    ("bpo", false, KernelBuilder::Debian),
];

fn builder(text: &str, suffix: &str) -> KernelBuilder {
    let marked = |mark: &str, digit: bool| {
        text.split(['.', '-', '_', '+'])
            .filter_map(|part| part.strip_prefix(mark))
            .any(|rest| if digit { rest.starts_with(|c: char| c.is_ascii_digit()) } else { true })
    };
    if let Some((_, _, builder)) = MARKS.iter().find(|(mark, digit, _)| marked(mark, *digit)) {
        return *builder;
    }
    let Some((abi, flavour)) = suffix.split_once('-') else { return KernelBuilder::Other };
    if abi.is_empty() || !abi.bytes().all(|b| b.is_ascii_digit()) {
        return KernelBuilder::Other;
    }
    let flavour = flavour.trim_start_matches("cloud-").trim_start_matches("rt-");
    if UBUNTU_FLAVOURS.iter().any(|f| flavour.split('-').next() == Some(f)) {
        return KernelBuilder::Ubuntu;
    }
    if DEBIAN_FLAVOURS
        .iter()
        .any(|f| flavour == *f || flavour.strip_prefix(f).is_some_and(|r| r.starts_with('-')))
    {
        return KernelBuilder::Debian;
    }
    KernelBuilder::Other
}

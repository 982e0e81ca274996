//! What a trial found, as people and programs read it, and as remedies.

use std::fmt::Write;
use std::path::PathBuf;
use std::sync::Arc;

use confinement::{CapabilitySet, Confinement, NamespaceKind};
use serde::Serialize;
use techniques::remedy::Remedy;

use super::grant::{Grant, User};

/// A grant that is needed, and the runs that failed without it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Kept {
    pub grant: Grant,
    pub runs: Vec<u32>,
    pub reason: String,
}

/// A user under which the check does not pass, whatever is granted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Tried {
    pub user: User,
    pub run: u32,
    pub reason: String,
}

/// A set of grants under which the check passes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Solution {
    pub user: User,
    pub grants: Vec<Kept>,
    /// Options of `docker run` or `podman run` that confine so.
    pub options: Vec<String>,
    /// Runs that passed with exactly this.
    pub confirmed: Vec<u32>,
    /// What the kernel refused in a run that passed, as the workload told it: it goes on without.
    pub refused: Vec<String>,
    /// Each grant is known to be needed; false where the budget ended first.
    pub minimal: bool,
    /// Runs of the same set disagreed.
    pub flaky: bool,
    pub weight: u32,
}

impl Solution {
    pub fn capabilities(&self) -> CapabilitySet {
        self.grants.iter().fold(CapabilitySet::EMPTY, |set, kept| match kept.grant {
            Grant::Capability(capability) => set.with(capability),
            _ => set,
        })
    }

    pub fn has(&self, grant: &Grant) -> bool {
        self.grants.iter().any(|kept| kept.grant == *grant)
    }

    /// `user 101:101, no capabilities, tmpfs /run /var/cache/nginx`
    pub fn summary(&self) -> String {
        let capabilities: Vec<&str> =
            self.capabilities().iter().map(|capability| capability.name()).collect();
        let mut parts = vec![self.user.to_string()];
        parts.push(match capabilities.as_slice() {
            [] => "no capabilities".to_owned(),
            list => list.join(" "),
        });
        let paths = |is: fn(&Grant) -> bool| {
            let paths =
                self.grants.iter().filter(|kept| is(&kept.grant)).filter_map(|kept| kept.grant.path());
            paths.collect::<Vec<_>>().join(" ")
        };
        for (name, paths) in [
            ("tmpfs", paths(|grant| matches!(grant, Grant::Tmpfs(_)))),
            ("volume", paths(|grant| matches!(grant, Grant::Volume(_)))),
        ] {
            if !paths.is_empty() {
                parts.push(format!("{name} {paths}"));
            }
        }
        let others = self
            .grants
            .iter()
            .filter(|kept| !matches!(kept.grant, Grant::Capability(_) | Grant::Tmpfs(_) | Grant::Volume(_)));
        parts.extend(others.map(|kept| kept.grant.to_string()));
        parts.join(", ")
    }

    /// Places that must be writable.
    pub fn writable_paths(&self) -> Vec<&str> {
        self.grants.iter().filter_map(|kept| kept.grant.path()).collect()
    }

    /// The remedies of the recommended level that the workload bears, for a subject with this confinement.
    pub fn remedies(&self, c: &Confinement) -> Vec<Remedy> {
        let mut remedies = Vec::new();
        let privileged = c.privileged.value == Some(true);
        if self.has(&Grant::Privileged) {
            return self.identity_remedies(c);
        }
        if privileged {
            remedies.push(Remedy::DropPrivileged);
        }
        remedies.push(Remedy::KeepCapabilities(self.capabilities()));
        remedies.extend(self.identity_remedies(c));
        if !self.has(&Grant::WritableRoot) && c.read_only_rootfs.value != Some(true) {
            remedies.push(Remedy::ReadOnlyRootfs);
        }
        let keeps = |name: &str, start: &str| {
            self.grants.iter().any(|kept| {
                matches!(&kept.grant, Grant::Option(n, value) if n == name && value.starts_with(start))
            })
        };
        let security = "security-opt";
        if c.seccomp.get() == Some(&confinement::Seccomp::Disabled) && !keeps(security, "seccomp") {
            remedies.push(Remedy::SeccompDefault);
        }
        let lsm_off = c.apparmor.get() == Some(&confinement::AppArmor::Unconfined)
            || c.selinux.get() == Some(&confinement::SeLinux::Unconfined);
        if lsm_off && !keeps(security, "apparmor") && !keeps(security, "label") {
            remedies.push(Remedy::LsmDefault);
        }
        if c.masked_paths.get().is_some_and(|paths| paths.is_empty())
            && !privileged
            && !keeps(security, "systempaths")
            && !keeps(security, "unmask")
        {
            remedies.push(Remedy::DefaultPaths);
        }
        for (kind, option) in [
            (NamespaceKind::Pid, "pid"),
            (NamespaceKind::Ipc, "ipc"),
            (NamespaceKind::Uts, "uts"),
            (NamespaceKind::Cgroup, "cgroupns"),
        ] {
            let shares = c.namespaces.get(kind).get() == Some(&confinement::Namespace::Host);
            if shares && kind != NamespaceKind::Cgroup && !keeps(option, "host") {
                remedies.push(Remedy::PrivateNamespace(kind));
            }
        }
        for node in c.devices.nodes.iter().filter_map(|node| node.get()) {
            if !privileged && !keeps("device", node.host.as_str()) {
                remedies.push(Remedy::RemoveDevice(node.host.as_str().into()));
            }
        }
        remedies
    }

    fn identity_remedies(&self, c: &Confinement) -> Vec<Remedy> {
        let mut remedies = Vec::new();
        if !self.user.is_root() && c.identity.root.value != Some(false) {
            remedies.push(Remedy::RunAsNonRoot);
        }
        if !self.has(&Grant::NewPrivileges) && c.identity.no_new_privileges.value != Some(true) {
            remedies.push(Remedy::NoNewPrivileges);
        }
        remedies
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// Every answer is there.
    Complete,
    /// The runs of the budget were used up.
    OutOfRuns,
    OutOfTime,
    Interrupted,
}

impl State {
    pub fn words(self) -> &'static str {
        match self {
            State::Complete => "complete",
            State::OutOfRuns => "ended by --max-runs",
            State::OutOfTime => "ended by --max-time",
            State::Interrupted => "interrupted",
        }
    }
}

#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    pub schema: &'static str,
    /// `report`: one of the kinds that `stockade.trial/1` has.
    pub event: &'static str,
    pub id: String,
    pub subject: Arc<str>,
    pub image: String,
    pub check: String,
    pub state: State,
    pub runs: u32,
    pub seconds: u64,
    /// Lightest first.
    pub solutions: Vec<Solution>,
    pub failed_users: Vec<Tried>,
    pub notes: Vec<String>,
    pub journal: Option<PathBuf>,
    /// What the subject's line or file says, for [`Solution::remedies`].
    #[serde(skip)]
    pub confinement: Arc<Confinement>,
}

impl Report {
    /// The solution to take.
    pub fn best(&self) -> Option<&Solution> {
        self.solutions.first()
    }

    /// As it is printed, without colours.
    pub fn text(&self) -> String {
        let mut out = String::new();
        let _ = self.write(&mut out);
        out
    }

    fn write(&self, out: &mut String) -> std::fmt::Result {
        writeln!(
            out,
            "trial of {} ({}): {} in {} s, {}",
            self.subject,
            self.image,
            count(self.runs, "run"),
            self.seconds,
            self.state.words()
        )?;
        for (number, solution) in self.solutions.iter().enumerate() {
            let title = match (number, solution.minimal) {
                (_, false) => "enough so far, perhaps more than is needed",
                (0, true) => "needs",
                _ => "or",
            };
            writeln!(out, "\n{title}: {}", solution.summary())?;
            let width =
                solution.grants.iter().map(|kept| kept.grant.to_string().chars().count()).max().unwrap_or(0);
            for kept in solution.grants.iter().filter(|kept| !kept.runs.is_empty()) {
                let grant = kept.grant.to_string();
                writeln!(out, "  {grant:width$}  without it, {} {}", runs(&kept.runs), kept.reason)?;
            }
            if !solution.confirmed.is_empty() {
                writeln!(out, "  the check passed with exactly this in {}", runs(&solution.confirmed))?;
            }
            for line in &solution.refused {
                writeln!(out, "  it goes on without: {line}")?;
            }
            if solution.flaky {
                writeln!(out, "  runs of the same set disagreed; the majority counts")?;
            }
            writeln!(out, "  options: {}", solution.options.join(" "))?;
        }
        if self.solutions.is_empty() {
            writeln!(out, "\nno set of grants was found")?;
        }
        for tried in &self.failed_users {
            writeln!(out, "\nnot as {}: run {} {}", tried.user, tried.run, tried.reason)?;
        }
        for note in &self.notes {
            writeln!(out, "note: {note}")?;
        }
        if let Some(journal) = &self.journal {
            writeln!(out, "journal: {}", journal.display())?;
        }
        Ok(())
    }

    pub fn json(&self) -> serde_json::Result<String> {
        serde_json::to_string_pretty(self)
    }
}

fn count(number: u32, what: &str) -> String {
    if number == 1 { format!("1 {what}") } else { format!("{number} {what}s") }
}

fn runs(numbers: &[u32]) -> String {
    let list: Vec<String> = numbers.iter().map(u32::to_string).collect();
    format!("{} {}", if numbers.len() == 1 { "run" } else { "runs" }, list.join(", "))
}

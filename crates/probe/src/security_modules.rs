//! The Linux security modules: which are active, and what they say of this process.

use crate::files;
use crate::measurement::SecurityModules;
use crate::sys::{Answers, Arg, Batch, CallId, OutputId};

pub(crate) struct Plan {
    landlock: CallId,
    list: CallId,
    ids: OutputId,
}

/// `__NR_landlock_create_ruleset` and `__NR_lsm_list_modules`, the same on every architecture.
const LANDLOCK_CREATE_RULESET: libc::c_long = 444;
const LSM_LIST_MODULES: libc::c_long = 461;
const LANDLOCK_CREATE_RULESET_VERSION: i64 = 1;

/// `LSM_ID_*` of include/uapi/linux/lsm.h.
const LSM_IDS: &[(u64, &str)] = &[
    (100, "capability"),
    (101, "selinux"),
    (102, "smack"),
    (103, "tomoyo"),
    (104, "apparmor"),
    (105, "yama"),
    (106, "loadpin"),
    (107, "safesetid"),
    (108, "lockdown"),
    (109, "bpf"),
    (110, "landlock"),
    (111, "ima"),
    (112, "evm"),
    (113, "ipe"),
];
const MOST_MODULES: usize = 32;

impl Plan {
    pub(crate) fn new(batch: &mut Batch) -> Plan {
        let version = [Arg::Int(0), Arg::Int(0), Arg::Int(LANDLOCK_CREATE_RULESET_VERSION)];
        let ids = batch.output(MOST_MODULES * 8);
        let size = batch.input(&((MOST_MODULES * 8) as u32).to_ne_bytes());
        Plan {
            // sys_landlock_create_ruleset(): with this flag the version is returned and nothing is created.
            landlock: batch.call(LANDLOCK_CREATE_RULESET, &version),
            // sys_lsm_list_modules(), since 6.8: copies the list out.
            list: batch.call(LSM_LIST_MODULES, &[Arg::Output(ids), Arg::Output(size), Arg::Int(0)]),
            ids,
        }
    }

    pub(crate) fn read(&self, answers: &Answers) -> SecurityModules {
        let mut modules = from_files();
        modules.active = modules.active.or_else(|| self.listed(answers));
        modules.landlock_abi = answers.of(self.landlock);
        modules
    }

    fn listed(&self, answers: &Answers) -> Option<Vec<String>> {
        let count = usize::try_from(answers.of(self.list).value?).ok()?;
        let words = answers.words(self.ids);
        Some(words.iter().take(count).map(|id| module_name(*id)).collect())
    }
}

/// What files alone say, without a system call that a filter may forbid.
pub(crate) fn from_files() -> SecurityModules {
    let text = |path| files::value(path).value.filter(|v| !v.is_empty());
    let label = files::value("/proc/self/attr/current");
    // security_getprocattr(): EINVAL where no module answers.
    let labels = match label.error.as_deref() {
        None => Some(true),
        Some("EINVAL") => Some(false),
        Some(_) => None,
    };
    let attr_current = label.value.filter(|v| !v.is_empty());
    let active = text("/sys/kernel/security/lsm").map(|list| list.split(',').map(str::to_owned).collect());
    let selinux_enforcing = text("/sys/fs/selinux/enforce").map(|v| v == "1");
    let apparmor_enabled = text("/sys/module/apparmor/parameters/enabled").map(|v| v == "Y");
    let own = text("/proc/self/attr/apparmor/current");
    let shared = attr_current.clone().filter(|label| looks_like_apparmor(label));
    let (apparmor_profile, apparmor_mode) =
        own.or(shared).map(|label| split_label(&label)).map_or((None, None), |(p, m)| (Some(p), m));
    let selinux_context = attr_current
        .clone()
        .filter(|label| label.split(':').count() >= 3 && !looks_like_apparmor(label))
        .or_else(|| text("/proc/self/attr/selinux/current"));
    SecurityModules {
        active,
        attr_current,
        labels,
        apparmor_profile,
        apparmor_mode,
        apparmor_enabled,
        selinux_context,
        selinux_enforcing,
        landlock_abi: Default::default(),
        lockdown: text("/sys/kernel/security/lockdown").and_then(|v| bracketed(&v)),
    }
}

fn module_name(id: u64) -> String {
    LSM_IDS.iter().find(|(number, _)| *number == id).map_or_else(|| id.to_string(), |(_, n)| (*n).to_owned())
}

/// `unconfined`, or `name (mode)` (apparmorfs's label form).
fn looks_like_apparmor(label: &str) -> bool {
    label == "unconfined" || (label.ends_with(')') && label.contains(" ("))
}

/// `docker-default (enforce)` gives the profile and its mode.
fn split_label(label: &str) -> (String, Option<String>) {
    match label.strip_suffix(')').and_then(|l| l.rsplit_once(" (")) {
        Some((profile, mode)) => (profile.to_owned(), Some(mode.to_owned())),
        None => (label.to_owned(), (label == "unconfined").then(|| "unconfined".to_owned())),
    }
}

/// `none [integrity] confidentiality` gives `integrity`.
fn bracketed(text: &str) -> Option<String> {
    let (_, rest) = text.split_once('[')?;
    let (inside, _) = rest.split_once(']')?;
    Some(inside.to_owned())
}

/// Whether a module confines this process so that more than capabilities and modes decides.
pub(crate) fn confines(modules: &SecurityModules) -> bool {
    let apparmor =
        modules.apparmor_mode.as_deref().is_some_and(|mode| mode != "unconfined" && mode != "complain");
    let selinux = modules.selinux_context.is_some() && modules.selinux_enforcing != Some(false);
    apparmor || selinux
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_apparmor_label_gives_profile_and_mode() {
        assert_eq!(
            split_label("docker-default (enforce)"),
            ("docker-default".into(), Some("enforce".into()))
        );
        assert_eq!(split_label("a (b) (complain)"), ("a (b)".into(), Some("complain".into())));
        assert_eq!(split_label("unconfined"), ("unconfined".into(), Some("unconfined".into())));
        assert!(!looks_like_apparmor("system_u:system_r:container_t:s0:c1,c2"));
    }

    #[test]
    fn lockdowns_mode_is_the_one_in_brackets() {
        assert_eq!(bracketed("none [integrity] confidentiality"), Some("integrity".into()));
        assert_eq!(bracketed("none"), None);
    }
}

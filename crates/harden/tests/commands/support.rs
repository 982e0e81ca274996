//! One way to say remedies in a table, and the comparison of what was edited with what was meant.

use std::sync::Arc;

use confinement::{Capability, CapabilitySet, Confinement, MountSource, NamespaceKind, Subject, World};
use harden::draft::{Drafts, Refusal, Task};
use sources::Context;
use techniques::remedy::{LimitKind, Remedy, apply_all};

pub(crate) type Edit = fn(&Task<'_>, &mut Drafts<'_>) -> Result<(), Refusal>;

/// `drop SYS_ADMIN; remove /s; non-root`: remedies in short words.
pub(crate) fn remedies(text: &str) -> Vec<Remedy> {
    let one = |text: &str| {
        let (word, of) = text.trim().split_once(' ').unwrap_or((text.trim(), ""));
        let capability = |name: &str| Capability::parse(name).unwrap();
        match word {
            "unprivileged" => Remedy::DropPrivileged,
            "drop" => Remedy::DropCapability(capability(of)),
            "remove-all" => Remedy::RemoveAllCapabilities,
            "keep" => {
                let list: Vec<Capability> = of.split_ascii_whitespace().map(capability).collect();
                Remedy::KeepCapabilities(CapabilitySet::of(&list))
            }
            "non-root" => Remedy::RunAsNonRoot,
            "userns" => Remedy::UserNamespace,
            "nnp" => Remedy::NoNewPrivileges,
            "remove" => Remedy::RemoveMount(of.into()),
            "read-only" => Remedy::ReadOnlyMount(of.into()),
            "private" => Remedy::PrivatePropagation(of.into()),
            "seccomp" => Remedy::SeccompDefault,
            "lsm" => Remedy::LsmDefault,
            "paths" => Remedy::DefaultPaths,
            "own" => {
                Remedy::PrivateNamespace(NamespaceKind::ALL.into_iter().find(|k| k.name() == of).unwrap())
            }
            "device" => Remedy::RemoveDevice(of.into()),
            "rule" => Remedy::RemoveDeviceRule(of.into()),
            "api" => Remedy::RemoveControlApi,
            "memory" => Remedy::Limit(LimitKind::Memory),
            "cpu" => Remedy::Limit(LimitKind::Cpu),
            "pids" => Remedy::Limit(LimitKind::Pids),
            "sysctl" => Remedy::RemoveSysctl(of.into()),
            "rootfs" => Remedy::ReadOnlyRootfs,
            "cgroup" => Remedy::ReadOnlyCgroup,
            "network" => Remedy::OwnNetwork,
            other => panic!("{other}"),
        }
    };
    text.split(';').filter(|part| !part.trim().is_empty()).map(one).collect()
}

/// The text with the remedies of one subject written in.
pub(crate) fn edited(
    text: &str,
    subject: &Subject,
    remedies: &[Remedy],
    edit: Edit,
) -> Result<String, Refusal> {
    let source: Arc<str> = text.into();
    let read = |_: &str| Ok::<Arc<str>, String>(source.clone());
    let mut drafts = Drafts::new(&read);
    edit(&Task::alone(subject, remedies), &mut drafts)?;
    Ok(drafts.finish()?.first().map_or(text.to_owned(), |edited| edited.after.to_string()))
}

/// The facts that a remedy sets to a value of its own are compared by what they are compared for: that there is a
/// limit, that the user is not root.
pub(crate) fn differences(after: &Confinement, meant: &Confinement) -> Vec<String> {
    let mut found = Vec::new();
    let mut same = |name: &str, equal: bool, a: String, b: String| {
        if !equal {
            found.push(format!("{name}: {a} instead of {b}"));
        }
    };
    // What was unknown may be known once it is written out.
    macro_rules! compare_fact {
        ($($field:ident).+) => {
            same(
                stringify!($($field).+),
                after.$($field).+ == meant.$($field).+ || meant.$($field).+.value.is_none(),
                format!("{:?}", after.$($field).+),
                format!("{:?}", meant.$($field).+),
            )
        };
    }
    macro_rules! compare {
        ($($field:ident).+) => {
            same(
                stringify!($($field).+),
                after.$($field).+ == meant.$($field).+,
                format!("{:?}", after.$($field).+),
                format!("{:?}", meant.$($field).+),
            )
        };
    }
    compare_fact!(privileged);
    compare_fact!(identity.root);
    compare_fact!(identity.no_new_privileges);
    compare_fact!(identity.groups);
    compare_fact!(capabilities.bounding);
    compare_fact!(capabilities.effective);
    compare_fact!(capabilities.permitted);
    compare_fact!(capabilities.inheritable);
    compare_fact!(capabilities.ambient);
    compare_fact!(user_namespace.initial);
    compare_fact!(user_namespace.root_is_host_root);
    compare!(namespaces);
    compare_fact!(masked_paths);
    compare_fact!(readonly_paths);
    compare_fact!(read_only_rootfs);
    compare_fact!(seccomp);
    compare_fact!(apparmor);
    compare_fact!(selinux);
    compare!(devices.nodes);
    compare_fact!(devices.rules);
    compare_fact!(devices.all_host_nodes);
    compare!(cgroup);
    compare!(sysctls);
    compare!(network);
    compare!(control_apis);
    compare_fact!(image.reference);
    compare_fact!(runtime);
    let mounts = |c: &Confinement| {
        // That the cgroup file system is writable is a fact of its own, compared above.
        let shown = |m: &&confinement::Mount| match m.source.get() {
            Some(MountSource::Private) => false,
            Some(MountSource::Kernel(kind)) => &**kind != "cgroup",
            _ => true,
        };
        let mut mounts: Vec<confinement::Mount> = c.mounts.iter().filter(shown).cloned().collect();
        mounts.sort_by(|a, b| a.target.cmp(&b.target));
        mounts
    };
    let (a, b) = (mounts(after), mounts(meant));
    same("mounts", a == b, format!("{a:?}"), format!("{b:?}"));
    let limits = |c: &Confinement| {
        [&c.limits.memory, &c.limits.cpu, &c.limits.pids].map(|limit| limit.value.map(|set| set.is_some()))
    };
    same(
        "limits",
        limits(after) == limits(meant),
        format!("{:?}", limits(after)),
        format!("{:?}", limits(meant)),
    );
    found
}

/// What an engine does besides, always to the container's confinement: a PID or IPC namespace of its own brings the
/// SELinux label back, and Podman's `unmask=ALL` lets the cgroup file system be written to as well.
fn is_side_effect(difference: &str, remedies: &[Remedy]) -> bool {
    let has = |remedy: &Remedy| remedies.contains(remedy);
    let label = has(&Remedy::PrivateNamespace(NamespaceKind::Pid))
        || has(&Remedy::PrivateNamespace(NamespaceKind::Ipc));
    (label && difference.starts_with("selinux"))
        || (has(&Remedy::DefaultPaths) && difference.starts_with("cgroup"))
}

/// Edits one subject of a text, and checks what must hold for every edit: the text that is read again has the
/// confinement that was meant, the other subjects are as they were, and a second edit changes nothing.
pub(crate) fn checked(
    text: &str,
    at: usize,
    told: &str,
    read: &dyn Fn(&str, &Context) -> World,
    context: &Context,
    edit: Edit,
) -> Result<String, Refusal> {
    let remedies = remedies(told);
    let before = read(text, context);
    assert_eq!(before.problems, [], "{text}");
    let result = edited(text, &before.subjects[at], &remedies, edit)?;
    let after = read(&result, context);
    assert_eq!(after.problems, [], "{text}\n{result}");
    assert_eq!(after.subjects.len(), before.subjects.len(), "{text}\n{result}");
    for (number, (was, is)) in before.subjects.iter().zip(&after.subjects).enumerate() {
        assert_eq!(was.name, is.name);
        if number == at {
            let meant = apply_all(&remedies, &was.confinement);
            let mut differences = differences(&is.confinement, &meant);
            differences.retain(|difference| !is_side_effect(difference, &remedies));
            assert_eq!(differences, Vec::<String>::new(), "{told}\n{text}\n{result}");
            let unplanned = harden::verify::unplanned(&was.confinement, &is.confinement, &remedies);
            assert_eq!(unplanned, [], "{told}\n{text}\n{result}");
        } else {
            assert!(was.confinement == is.confinement, "{}\n{text}\n{result}", was.name);
        }
    }
    assert_eq!(
        edited(&result, &after.subjects[at], &remedies, edit)?,
        result,
        "a second time: {told}\n{text}"
    );
    Ok(result)
}

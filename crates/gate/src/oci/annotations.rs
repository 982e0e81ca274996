//! Annotations that change what a runtime does, beside the configuration that is judged. Whoever asks an engine for a
//! container may often set annotations (`podman run --annotation`, `docker run --annotation` since 24), so those that
//! open something, or make what was judged not be what is run, are refused unless the settings name them.
//!
//! Sources: runc `features` (`potentiallyUnsafeConfigAnnotations`: `bundle`, `org.systemd.property.`, `org.criu.config`),
//! libcontainer/specconv/spec_linux.go (initSystemdProps); crun(1), "Extensions to OCI"; crun src/crun.c, features
//! (`module.wasm.image/variant`, `io.kubernetes.cri.container-type`, `run.oci.`).

use confinement::{Labels, Runtime};

/// What is known of annotations by their start or their whole name.
struct Known {
    /// A name; everything that begins so where it ends with a dot.
    name: &'static str,
    /// What it opens; none for what is harmless though others with the same start are not.
    opens: Option<&'static str>,
    /// Only this runtime heeds it; none where several do.
    of: Option<Runtime>,
}

const fn harmless(name: &'static str, of: Option<Runtime>) -> Known {
    Known { name, opens: None, of }
}

const fn opens(name: &'static str, of: Option<Runtime>, what: &'static str) -> Known {
    Known { name, opens: Some(what), of }
}

const CRUN: Option<Runtime> = Some(Runtime::Crun);

/// The first that fits decides.
const KNOWN: &[Known] = &[
    opens("bundle", None, "it makes the runtime look for the container's configuration elsewhere"),
    opens(
        "org.criu.config",
        None,
        "it names a configuration of CRIU, which may run programs as root on the host",
    ),
    // Podman and CRI-O set these three for every container (libpod, container_internal_linux.go; CRI-O,
    // server/container_create_linux.go).
    harmless("org.systemd.property.CollectMode", None),
    harmless("org.systemd.property.KillSignal", None),
    harmless("org.systemd.property.TimeoutStopUSec", None),
    harmless("org.systemd.property.DefaultDependencies", None),
    harmless("org.systemd.property.After", None),
    opens(
        "org.systemd.property.",
        None,
        "it sets a property of the container's systemd unit, such as its device policy",
    ),
    harmless("run.oci.seccomp_fail_unknown_syscall", CRUN),
    harmless("run.oci.timens_offset", CRUN),
    harmless("run.oci.systemd.subgroup", CRUN),
    harmless("run.oci.delegate-cgroup", CRUN),
    opens(
        "run.oci.seccomp_bpf_data",
        CRUN,
        "crun then takes it for the seccomp filter instead of the one judged",
    ),
    opens(
        "run.oci.seccomp.",
        CRUN,
        "it hands the container's system calls to a program or library that it names",
    ),
    opens("run.oci.hooks.", CRUN, "crun then writes to a file of the host that it names, as root"),
    opens("run.oci.keep_original_groups", CRUN, "the container then keeps the groups of the engine"),
    opens("run.oci.pidfd_receiver", CRUN, "it hands the container's process to a socket that it names"),
    opens("run.oci.handler", CRUN, "something else than the configuration then runs the container"),
    opens("run.oci.", CRUN, "crun heeds it, and what it does is not known here"),
    opens("module.wasm.image/variant", CRUN, "something else than the configuration then runs the container"),
];

/// The first annotation that may not be, and what is to be said of it. `allowed` are names of the settings, with `*` at
/// their end for all that begin so.
pub(super) fn refused(annotations: &Labels, runtime: Option<&Runtime>, allowed: &[String]) -> Option<String> {
    annotations.keys().find_map(|name| {
        let known = KNOWN.iter().find(|known| match known.name.strip_suffix('.') {
            Some(_) => name.starts_with(known.name),
            None => &**name == known.name,
        })?;
        let what = known.opens?;
        // A runtime that is not known may heed it as well.
        let heeded = match (&known.of, runtime) {
            (Some(of), Some(runtime @ (Runtime::Runc | Runtime::Crun | Runtime::Youki))) => of == runtime,
            _ => true,
        };
        let excepted = allowed.iter().any(|pattern| match pattern.strip_suffix('*') {
            Some(start) => name.starts_with(start),
            None => **pattern == **name,
        });
        (heeded && !excepted).then(|| {
            format!("annotation `{name}`: {what}; leave it out, or name it under allow-annotations in the settings")
        })
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Arc;

    use super::*;

    fn ask(name: &str, runtime: Option<Runtime>, allowed: &[&str]) -> Option<String> {
        let annotations = BTreeMap::from([(Arc::from(name), Arc::from("x"))]);
        let allowed: Vec<String> = allowed.iter().map(|text| (*text).to_owned()).collect();
        refused(&Arc::new(annotations), runtime.as_ref(), &allowed)
    }

    #[test]
    fn what_changes_the_runtimes_work_is_refused_where_the_runtime_heeds_it() {
        for name in ["run.oci.seccomp_bpf_data", "run.oci.hooks.stdout", "run.oci.new-in-a-later-version"] {
            assert!(ask(name, Some(Runtime::Crun), &[]).is_some(), "{name}");
            assert!(ask(name, Some(Runtime::Runc), &[]).is_none(), "{name}");
            assert!(ask(name, Some(Runtime::Other("own".into())), &[]).is_some(), "{name}");
            assert!(ask(name, None, &[]).is_some(), "{name}");
        }
        for name in ["bundle", "org.criu.config", "org.systemd.property.DeviceAllow"] {
            assert!(ask(name, Some(Runtime::Runc), &[]).is_some(), "{name}");
            assert!(ask(name, Some(Runtime::Crun), &[]).is_some(), "{name}");
        }
    }

    #[test]
    fn what_engines_set_and_what_means_nothing_to_a_runtime_passes() {
        for name in [
            "org.systemd.property.TimeoutStopUSec",
            "io.container.manager",
            "io.kubernetes.cri.container-type",
            "org.opencontainers.image.stopSignal",
            "run.oci.systemd.subgroup",
            "bundles",
        ] {
            assert_eq!(ask(name, Some(Runtime::Crun), &[]), None, "{name}");
        }
    }

    #[test]
    fn the_settings_may_allow_one_or_all_with_a_start() {
        let crun = || Some(Runtime::Crun);
        assert!(ask("run.oci.handler", crun(), &["run.oci.handler"]).is_none());
        assert!(ask("run.oci.handler", crun(), &["run.oci.*"]).is_none());
        assert!(ask("run.oci.handler", crun(), &["run.oci.handlers"]).is_some());
    }
}

//! Measures the process it runs in: what confines it, and what the kernel under it is set to.
//!
//! Called by `stockade facts`, inside a container or on a host. It reads procfs, sysfs and `/etc/os-release`,
//! looks at paths, and makes system calls that the kernel answers without any effect; nothing has to be
//! undone. The result is a [`Measurement`], which is written as a facts file and read back by the sources. It
//! judges nothing: a condition is decided from it elsewhere.
//!
//! What it does leave is what any process leaves: a line in an audit log where a filter kills a child or an
//! LSM refuses a capability, and access times.

mod cgroup;
mod devices;
mod errno;
mod files;
mod host;
pub mod measurement;
mod mounts;
mod namespaces;
mod network;
mod paths;
mod process;
mod security_modules;
mod sockets;
mod sys;
mod system_calls;

pub use measurement::{Measurement, Reading};

use crate::system_calls::Known;

/// How to measure.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// Also make the probes that have no effect but trip sensors: open sysctl files for write and close them,
    /// connect to control sockets and close.
    pub active: bool,
}

/// Measures the calling process. Takes a few milliseconds. Where something cannot be measured the member
/// stays empty or says why; there is no error.
pub fn measure(options: &Options) -> Measurement {
    let mut notes = Vec::new();
    let active = options.active;
    let kernel = host::kernel();
    let release = namespaces::release_numbers(&kernel.release);
    let procfs = process::from_procfs();
    let no_filter = procfs.as_ref().and_then(|p| p.seccomp_mode) == Some(0);
    let mounts = mounts::measure(&mut notes);
    let sysctls = host::sysctls();

    // Everything that a filter might answer with a signal is planned here, done by `run` and read after it.
    let mut batch = sys::Batch::new();
    let process = process::Plan::new(&mut batch);
    let namespaces = namespaces::Plan::new(&mut batch, release);
    let system_calls = system_calls::Plan::new(&mut batch, procfs.as_ref());
    let file_systems = mounts::ask_places(&mut batch, &mounts);
    let kernel_interfaces = paths::InterfacePlan::new(&mut batch, &mounts, active);
    let security_modules = security_modules::Plan::new(&mut batch);
    let cgroup = cgroup::Plan::new(&mut batch, &mounts);
    let sockets = sockets::Plan::new(&mut batch, &mounts, active);
    let token = host::TokenPlan::new(&mut batch, &mounts);
    let answers = batch.run(no_filter);

    let process = process.read(procfs, &answers, &mut notes);
    let namespaces = namespaces.read(&answers);
    let security_modules = security_modules.read(&answers);
    let confined = security_modules::confines(&security_modules);
    let known = Known { process: &process, namespaces: &namespaces, sysctls: &sysctls, release, confined };
    let calls = system_calls.read(&answers, &known);

    Measurement {
        schema: measurement::SCHEMA.to_owned(),
        active,
        kernel,
        os_release: host::os_release(),
        id_maps: namespaces::id_maps(),
        file_systems: file_systems.iter().map(|asked| asked.read(&answers)).collect(),
        masked_paths: paths::masked(&mounts),
        kernel_interfaces: kernel_interfaces.read(&answers, &process, confined),
        probes: calls.probes,
        system_calls: calls.system_calls,
        capabilities: calls.capabilities,
        cgroup: cgroup.read(&answers, &process),
        devices: devices::measure(&mounts, &mut notes),
        sockets: sockets.read(&answers, &process, confined),
        network: network::measure(),
        processes: host::processes(),
        service_account_token: token.read(&answers, &process),
        environment: host::environment(),
        security_modules,
        process,
        namespaces,
        mounts,
        sysctls,
        notes,
    }
}

/// Measures the kernel's release, settings and security modules, and which versions of control groups there are: some 50
/// plain reads, for whoever cannot wait for the rest. All other members stay empty.
pub fn settings() -> Measurement {
    Measurement {
        schema: measurement::SCHEMA.to_owned(),
        kernel: host::kernel(),
        sysctls: host::sysctls(),
        security_modules: security_modules::from_files(),
        cgroup: cgroup::versions(),
        ..Measurement::default()
    }
}

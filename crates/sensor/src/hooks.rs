//! The layer of security hooks (BPF LSM) and function entries (fentry): tried hook by hook at the start, used where the
//! kernel takes them. Each hook that does not work is reported with the reason.

use std::collections::HashSet;
use std::os::fd::AsFd;

use libbpf_rs::{Link, MapCore, MapHandle, Object, ObjectBuilder};

use crate::capabilities::Capability;

const OBJECT: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/hooks.bpf.o"));

/// Program, layer, hook.
const HOOKS: &[(&str, &str, &str)] = &[
    ("hook_sb_mount", "lsm", "sb_mount"),
    ("hook_sb_umount", "lsm", "sb_umount"),
    ("hook_move_mount", "lsm", "move_mount"),
    ("hook_sb_pivotroot", "lsm", "sb_pivotroot"),
    ("hook_path_rename", "lsm", "path_rename"),
    ("hook_path_mknod", "lsm", "path_mknod"),
    ("hook_path_chroot", "lsm", "path_chroot"),
    ("hook_socket_connect", "lsm", "socket_connect"),
    ("hook_file_open", "lsm", "file_open"),
    ("hook_commit_creds", "fentry", "commit_creds"),
];

/// The hooks that are attached, and the object that holds their programs; dropping it detaches them.
pub(crate) struct Hooks {
    _links: Vec<Link>,
    _object: Object,
}

/// Tries each hook by itself, then attaches all that work; None where none does. `base` is the object whose maps and
/// variables the hooks share.
pub(crate) fn start(base: &Object, capabilities: &mut Vec<Capability>) -> Option<Hooks> {
    let mut working = HashSet::new();
    for (program, layer, hook) in HOOKS {
        match attach(base, &HashSet::from([*program])) {
            Ok(_) => {
                working.insert(*program);
            }
            Err(error) => capabilities.push(Capability::fails(layer, hook, error, advice(layer))),
        }
    }
    if working.is_empty() {
        return None;
    }
    let attached = attach(base, &working);
    for (_, layer, hook) in HOOKS.iter().filter(|(program, ..)| working.contains(program)) {
        capabilities.push(match &attached {
            Ok(_) => Capability::works(layer, hook),
            Err(error) => Capability::fails(layer, hook, error.clone(), advice(layer)),
        });
    }
    attached.ok()
}

fn attach(base: &Object, wanted: &HashSet<&str>) -> Result<Hooks, String> {
    let reason = |error: libbpf_rs::Error| format!("{error:#}");
    let mut open = ObjectBuilder::default()
        .name("stockade")
        .and_then(|builder| builder.open_memory(OBJECT))
        .map_err(reason)?;
    for mut map in open.maps_mut() {
        let name = map.name().to_string_lossy().into_owned();
        // Sections are named after the object: `stockade.bss`.
        let shared = base.maps().find(|shared| shared.name() == map.name());
        let Some(shared) = shared.filter(|_| name != "taken") else { continue };
        let handle = MapHandle::try_from(&shared).map_err(reason)?;
        map.reuse_fd(handle.as_fd()).map_err(reason)?;
    }
    for mut program in open.progs_mut() {
        let asked = program.name().to_str().is_some_and(|name| wanted.contains(name));
        program.set_autoload(asked);
    }
    crate::loader::said();
    let object = open.load().map_err(|error| {
        let said = crate::loader::said();
        // The line in which the verifier says what it does not take, without what libbpf wraps around it.
        let around = ["libbpf:", "--", "processed "];
        let why = said.lines().rev().find(|line| !around.iter().any(|text| line.starts_with(text)));
        why.map_or_else(|| format!("{error:#}"), |why| format!("{error:#}: {why}"))
    })?;
    let mut links = Vec::new();
    for program in
        object.progs_mut().filter(|program| program.name().to_str().is_some_and(|n| wanted.contains(n)))
    {
        links.push(program.attach().map_err(reason)?);
    }
    Ok(Hooks { _links: links, _object: object })
}

fn advice(layer: &str) -> &'static str {
    if layer == "fentry" {
        return "needs a kernel with CONFIG_FUNCTION_TRACER and CONFIG_DYNAMIC_FTRACE_WITH_DIRECT_CALLS, from 5.5";
    }
    let active = std::fs::read_to_string("/sys/kernel/security/lsm").unwrap_or_default();
    if active.is_empty() {
        "needs CONFIG_BPF_LSM and `bpf` among the security modules: mount securityfs at /sys/kernel/security to see them"
    } else if active.split(',').any(|name| name.trim() == "bpf") {
        "`bpf` is an active security module; the kernel lacks trampolines, or this hook"
    } else {
        "`bpf` is not an active security module: add it to lsm= on the kernel's command line"
    }
}

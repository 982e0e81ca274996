//! Loads the BPF programs, attaches them, reads what they send and gives it out as events.
//!
//! Programs come from the objects that `build.rs` compiled; which of them are loaded depends on what the kernel has
//! (its BTF) and on what was asked for. Records go through [`crate::record`] and [`crate::families`].

use std::collections::{HashMap, HashSet};
use std::io::Read;
use std::os::fd::{AsFd, AsRawFd};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use libbpf_rs::btf::{Btf, BtfType};
use libbpf_rs::{Iter, Link, MapCore, MapFlags, MapHandle, Object, ObjectBuilder, OpenObject};

use crate::accounts::{self, Accounts, Stats};
use crate::capabilities::Capability;
use crate::event::{Actor, Entry, Event, FileId, Lane, What};
use crate::families::{self, Call, Calls, Family, Program};
use crate::folding::{Folding, Key};
use crate::hooks::Hooks;
use crate::kinds::Kind;
use crate::record::Record;
use crate::ring::{self, Ring};

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("the kernel has no BTF ({0}); it needs CONFIG_DEBUG_INFO_BTF and version 5.8 or later")]
    NoBtf(String),
    #[error("BPF is not permitted: {0}; run as root, or with CAP_BPF, CAP_PERFMON and CAP_SYS_RESOURCE")]
    NotPermitted(String),
    #[error("the kernel refused the sensor's programs: {0}")]
    Refused(String),
    #[error("the sensor's map `{0}` is missing: this build is broken")]
    NoMap(String),
    #[error("cannot {what}: {error}")]
    Kernel { what: String, error: String },
    #[error("the sensor's programs read the registers of x86-64 only")]
    Machine,
}

fn kernel(what: &str) -> impl Fn(libbpf_rs::Error) -> Error + '_ {
    move |error| Error::Kernel { what: what.to_owned(), error: format!("{error:#}") }
}

/// What to watch, and how much room to give it.
#[derive(Clone, Debug)]
pub struct Options {
    pub families: Vec<Family>,
    /// Kinds to tell of every time, and not only where they are rare.
    pub bulk: Vec<Kind>,
    /// Bytes of each lane's buffer: rounded up to a power of two.
    pub rare_buffer: usize,
    pub bulk_buffer: usize,
    /// Bulk events of the same process, kind and object within this time are told once, with their count. Zero: never.
    pub fold: Duration,
    /// Events of processes outside containers as well.
    pub host: bool,
    /// The environment of executed programs, its first 4 KiB.
    pub environment: bool,
    /// Rare events that one container may send in a second; what is above goes through the bulk lane.
    pub budget: u32,
    /// Threads of containers that are followed, and containers.
    pub threads: u32,
    pub containers: u32,
    /// Try the layer of security hooks.
    pub hooks: bool,
    /// Load this variant of the programs, and not the fastest that loads.
    pub variant: Option<Variant>,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            families: Family::ALL.to_vec(),
            bulk: Vec::new(),
            rare_buffer: 8 << 20,
            bulk_buffer: 8 << 20,
            fold: Duration::from_millis(100),
            host: false,
            environment: false,
            budget: 5_000,
            threads: 32_768,
            containers: 8_192,
            hooks: true,
            variant: None,
        }
    }
}

/// Programs that are attached for themselves, what they hang on, and whose they are.
const PROGRAMS: &[(&str, &str, Option<Family>)] = &[
    ("process_exec", "sched_process_exec", None),
    ("process_fork", "sched_process_fork", None),
    ("process_exit", "sched_process_exit", None),
    ("call_exit", "sys_exit", None),
    ("modules_loaded", "module_load", Some(Family::Modules)),
    ("modules_cgroup_made", "cgroup_mkdir", Some(Family::Modules)),
    ("modules_cgroup_removed", "cgroup_rmdir", Some(Family::Modules)),
    ("modules_signal", "signal_generate", Some(Family::Modules)),
    ("io_uring_request", "io_uring_submit_req", Some(Family::IoUring)),
    ("io_uring_request_sqe", "io_uring_submit_sqe", Some(Family::IoUring)),
    ("io_uring_completed", "io_uring_complete", Some(Family::IoUring)),
];

/// Without one of these the sensor does not know containers, or sees no call.
const NEEDED: usize = 4;

/// The same programs by how they read the kernel's memory, the fastest first.
const VARIANTS: [(Variant, &[u8]); 3] = [
    (Variant::Cast, include_bytes!(concat!(env!("OUT_DIR"), "/cast.bpf.o"))),
    (Variant::Direct, include_bytes!(concat!(env!("OUT_DIR"), "/direct.bpf.o"))),
    (Variant::Plain, include_bytes!(concat!(env!("OUT_DIR"), "/plain.bpf.o"))),
];

/// How the programs read the kernel's memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Variant {
    /// Any pointer directly: from 6.2.
    Cast,
    /// Pointers that the verifier knows directly: from 5.11.
    Direct,
    /// By calls of a helper: from 5.8.
    Plain,
}

/// How long loss and repeats may go untold.
const TICK: Duration = Duration::from_millis(100);
/// Records read from the bulk lane before the rare one is looked at again.
const TURN: usize = 256;

/// The running sensor. Dropping it detaches everything.
pub struct Sensor {
    rare: Ring,
    bulk: Ring,
    links: Vec<Link>,
    hooks: Option<Hooks>,
    object: Object,
    reading: Reading,
    accounts: Accounts,
    sent: MapHandle,
    host: MapHandle,
    capabilities: Vec<Capability>,
    /// Events found when it started, to be told first.
    before: Vec<Event>,
    ticked: Instant,
    bulk_wanted: bool,
    variant: Variant,
}

/// What turns records into events.
struct Reading {
    calls: Calls,
    host_mount: u32,
    host_events: bool,
    folding: Option<Folding>,
    folded: HashMap<u16, u64>,
    delivered: u64,
    bytes: u64,
    broken: u64,
    own: Own,
}

/// The sensor's own objects, which others are not to touch.
struct Own {
    process: u32,
    programs: HashSet<u32>,
    maps: HashSet<u32>,
    links: HashSet<u32>,
}

impl Sensor {
    /// Loads and attaches. What is found running in containers is told by the first [`Sensor::poll`].
    pub fn start(options: Options) -> Result<Sensor, Error> {
        if !cfg!(target_arch = "x86_64") {
            return Err(Error::Machine);
        }
        libbpf_rs::set_print(Some((libbpf_rs::PrintLevel::Warn, note)));
        let btf = Btf::from_vmlinux().map_err(|error| Error::NoBtf(format!("{error:#}")))?;
        let mut capabilities = Vec::new();
        let absent = absent_hooks(&btf, &options, &mut capabilities);
        let (variant, object) = load(&options, &absent)?;
        let calls = Calls::of(&options.families);
        fill_tables(&object, &calls, &options)?;
        let host = variables(&object, ".bss")?;
        for kind in &options.bulk {
            want(&host, *kind)?;
        }
        run_iterator(&object)?;
        let host_mount = host_mount(&host)?;
        set_variable(&host, FOUND)?;
        let hooks = if options.hooks { crate::hooks::start(&object, &mut capabilities) } else { None };
        if hooks.is_some() {
            set_variable(&host, HOOKS)?;
        }
        let (links, own) = attach(&object, &absent, &mut capabilities)?;
        let mut reading = Reading {
            calls,
            host_mount,
            host_events: options.host,
            folding: start_folding(&object, &options)?,
            folded: HashMap::new(),
            delivered: 0,
            bytes: 0,
            broken: 0,
            own,
        };
        let before = before(&object, &mut reading)?;
        let rare = map(&object, "rare")?;
        let bulk = map(&object, "bulk")?;
        let ring = |map: &MapHandle| {
            Ring::new(map.as_fd(), map.max_entries() as usize).map_err(|error| Error::Kernel {
                what: "map a ring buffer".to_owned(),
                error: error.to_string(),
            })
        };
        Ok(Sensor {
            rare: ring(&rare)?,
            bulk: ring(&bulk)?,
            links,
            hooks,
            accounts: Accounts::new(map(&object, "losses")?),
            sent: map(&object, "sent")?,
            host,
            object,
            reading,
            capabilities,
            before,
            ticked: Instant::now(),
            bulk_wanted: !options.bulk.is_empty(),
            variant,
        })
    }

    /// Gives out what came, waiting up to `timeout` for something; the number of events. The rare lane goes first, and
    /// is looked at again between turns of the bulk lane.
    pub fn poll(&mut self, timeout: Duration, handle: &mut dyn FnMut(Event)) -> Result<usize, Error> {
        let before = self.reading.delivered;
        for event in std::mem::take(&mut self.before) {
            self.reading.give(event, handle);
        }
        let until = Instant::now() + timeout;
        loop {
            self.drain(handle);
            if self.ticked.elapsed() >= TICK {
                self.tick(handle);
            }
            let left = until.saturating_duration_since(Instant::now());
            if self.reading.delivered != before || left.is_zero() {
                return Ok((self.reading.delivered - before) as usize);
            }
            // The bulk lane wakes nobody before it has filled up some way.
            let step = if self.bulk_wanted { TICK / 10 } else { TICK };
            ring::wait([&self.rare, &self.bulk], left.min(step)).map_err(|error| Error::Kernel {
                what: "wait for the ring buffers".to_owned(),
                error: error.to_string(),
            })?;
        }
    }

    fn drain(&mut self, handle: &mut dyn FnMut(Event)) {
        let reading = &mut self.reading;
        // As much as waited when it began: a flood must not keep the caller from its other work.
        let mut left = self.bulk.waiting();
        loop {
            self.rare.read(usize::MAX, &mut |bytes| reading.record(bytes, handle));
            if left == 0 {
                return;
            }
            let waiting = self.bulk.waiting();
            if self.bulk.read(TURN, &mut |bytes| reading.record(bytes, handle)) == 0 {
                return;
            }
            left = left.saturating_sub(waiting.saturating_sub(self.bulk.waiting()).max(1));
        }
    }

    /// Tells what was lost, and the repeats.
    fn tick(&mut self, handle: &mut dyn FnMut(Event)) {
        self.ticked = Instant::now();
        let now = boot_time();
        for (key, from, until, lost) in self.accounts.blind(now) {
            let what = accounts::blind(key, from, until, lost);
            self.reading.give(own_event(now, accounts::lane(key.lane), what), handle);
        }
        let batches = self.reading.folding.as_mut().map(Folding::take).unwrap_or_default();
        if batches.is_empty() {
            return;
        }
        // The first record of each key was sent before its repeats were read.
        self.drain_all(handle);
        for batch in batches {
            for (key, count) in batch.counts {
                self.reading.repeats(key, count, batch.until, handle);
            }
        }
        if let Some(folding) = &mut self.reading.folding {
            folding.told();
        }
    }

    fn drain_all(&mut self, handle: &mut dyn FnMut(Event)) {
        self.drain(handle);
    }

    /// Tells of every opening of this file on the rare lane.
    pub fn watch_file(&mut self, file: FileId) -> Result<(), Error> {
        let mut key = Vec::with_capacity(16);
        key.extend(file.inode.to_le_bytes());
        key.extend((file.device.0 << 20 | file.device.1 & 0xf_ffff).to_le_bytes());
        key.extend(0u32.to_le_bytes());
        map(&self.object, "watched")?
            .update(&key, &1u32.to_le_bytes(), MapFlags::ANY)
            .map_err(kernel("watch a file"))
    }

    /// The variant of the programs that was loaded.
    pub fn variant(&self) -> Variant {
        self.variant
    }

    pub fn capabilities(&self) -> &[Capability] {
        &self.capabilities
    }

    pub fn stats(&self) -> Stats {
        let bss = self.host.lookup(&0u32.to_ne_bytes(), MapFlags::ANY).ok().flatten().unwrap_or_default();
        let number =
            |at: usize| bss.get(at..at + 8).and_then(|b| b.try_into().ok()).map_or(0, u64::from_le_bytes);
        let mut folded: Vec<_> = self
            .reading
            .folded
            .iter()
            .map(|(kind, count)| (crate::kinds::name_of_number(*kind), *count))
            .collect();
        folded.sort();
        Stats {
            sent: accounts::sent(&self.sent),
            folded,
            lost: self.accounts.lost(),
            delivered: self.reading.delivered,
            bytes: self.reading.bytes,
            broken: self.reading.broken,
            maps: ["threads", "containers", "mount_namespaces", "budgets", "watched", "losses"]
                .into_iter()
                .filter_map(|name| {
                    let (used, room) = accounts::used(&map(&self.object, name).ok()?);
                    Some((name.to_owned(), used, room))
                })
                .collect(),
            map_full: [number(16), number(24), number(32)],
        }
    }

    /// Detaches, then gives out what is left: events in the buffers, repeats, losses.
    pub fn stop(mut self, handle: &mut dyn FnMut(Event)) -> Stats {
        self.links.clear();
        self.hooks = None;
        self.drain_all(handle);
        if let Some(folding) = &mut self.reading.folding {
            folding.stop();
        }
        self.tick(handle);
        self.stats()
    }

    /// Makes the programs believe that a thread was last seen without any privilege, so that a test can show what they
    /// say of a gain.
    #[doc(hidden)]
    pub fn forget_privileges(&self, thread: u32) -> Result<bool, Error> {
        let threads = map(&self.object, "threads")?;
        let key = thread.to_ne_bytes();
        let Some(mut value) = threads.lookup(&key, MapFlags::ANY).map_err(kernel("read a thread's entry"))?
        else {
            return Ok(false);
        };
        // struct thread: the container, then eight identities and five capability sets.
        for byte in value.iter_mut().skip(8).take(32) {
            *byte = 1;
        }
        for byte in value.iter_mut().skip(40).take(40) {
            *byte = 0;
        }
        threads.update(&key, &value, MapFlags::ANY).map_err(kernel("write a thread's entry"))?;
        Ok(true)
    }
}

impl Reading {
    fn give(&mut self, event: Event, handle: &mut dyn FnMut(Event)) {
        self.delivered += 1;
        handle(event);
    }

    fn record(&mut self, bytes: &[u8], handle: &mut dyn FnMut(Event)) {
        self.bytes += bytes.len() as u64;
        let Some((record, _)) = Record::read(bytes, self.host_mount) else {
            self.broken += 1;
            return;
        };
        if let Some(folding) = &mut self.folding
            && let Some(key) = Key::of(&record.head)
        {
            folding.keep(key, bytes);
        }
        match self.event(&record) {
            Made::Event(event) => self.give(*event, handle),
            Made::NotWatched => {}
            Made::Broken => self.broken += 1,
        }
    }

    fn event(&self, record: &Record<'_>) -> Made {
        let head = &record.head;
        let what = match self.tampering(record) {
            Some(what) => what,
            // Calls that are told of everybody, for the sake of the sensor itself.
            None if head.actor.container.is_none() && !self.host_events && only_for_tampering(head.kind) => {
                return Made::NotWatched;
            }
            None => match families::decode(&self.calls, record) {
                Some(what) => what,
                None => return Made::Broken,
            },
        };
        Made::Event(Box::new(Event {
            time: head.time,
            lane: head.lane,
            actor: head.actor.clone(),
            cpu: head.cpu,
            count: 1,
            entry: head.entry,
            result: head.result,
            what,
        }))
    }

    /// Repeats of an event, told as one.
    fn repeats(&mut self, key: Key, count: crate::folding::Count, until: u64, handle: &mut dyn FnMut(Event)) {
        let first = self.folding.as_ref().and_then(|folding| folding.first(&key));
        let event = first
            .and_then(|bytes| Record::read(bytes, self.host_mount))
            .map(|(record, _)| self.event(&record));
        let Some(Made::Event(mut event)) = event else {
            // The first one was lost, and with it what these were repeats of.
            let lost = accounts::LossKey { container: count.container, kind: key.kind, lane: 1 };
            let what = accounts::blind(lost, until, until, count.count);
            self.give(own_event(until, Lane::Bulk, what), handle);
            return;
        };
        *self.folded.entry(key.kind).or_default() += count.count;
        event.time = until;
        let mut left = count.count;
        while left > 0 {
            let part = u32::try_from(left).unwrap_or(u32::MAX);
            left -= u64::from(part);
            self.give(Event { count: part, ..(*event).clone() }, handle);
        }
    }

    /// What somebody else did to the sensor's programs, maps, links or process.
    fn tampering(&self, record: &Record<'_>) -> Option<What> {
        let actor = &record.head.actor;
        if actor.task.process == self.own.process {
            return None;
        }
        let own_target = |target: Option<u32>| target == Some(self.own.process);
        match Kind::from_number(record.head.kind)? {
            Kind::Tampering => Some(What::Tampering {
                how: format!("signal {}", record.argument(0)),
                target: "process".to_owned(),
            }),
            Kind::Ptrace if own_target(record.task().map(|task| task.0.process)) => {
                Some(What::Tampering { how: "ptrace".to_owned(), target: "process".to_owned() })
            }
            Kind::Bpf => {
                let identifier = record.block_u32(0);
                let (how, own, target) = match record.word(0) {
                    13 => ("BPF_PROG_GET_FD_BY_ID", &self.own.programs, "program"),
                    14 => ("BPF_MAP_GET_FD_BY_ID", &self.own.maps, "map"),
                    30 => ("BPF_LINK_GET_FD_BY_ID", &self.own.links, "link"),
                    _ => return None,
                };
                own.contains(&identifier).then(|| What::Tampering {
                    how: how.to_owned(),
                    target: format!("{target} {identifier}"),
                })
            }
            _ => None,
        }
    }
}

enum Made {
    Event(Box<Event>),
    NotWatched,
    Broken,
}

fn only_for_tampering(kind: u16) -> bool {
    matches!(Kind::from_number(kind), Some(Kind::Bpf | Kind::Ptrace))
}

/// An event of the sensor about itself.
fn own_event(time: u64, lane: Lane, what: What) -> Event {
    Event { time, lane, cpu: 0, actor: Actor::default(), count: 1, entry: Entry::Kernel, result: 0, what }
}

/// Nanoseconds since boot, as the programs count them.
pub(crate) fn boot_time() -> u64 {
    std::fs::read_to_string("/proc/uptime")
        .ok()
        .and_then(|text| text.split_whitespace().next().and_then(|first| first.parse::<f64>().ok()))
        .map_or(0, |seconds| (seconds * 1e9) as u64)
}

fn map(object: &Object, name: &str) -> Result<MapHandle, Error> {
    let found = object.maps().find(|map| map.name() == name).ok_or_else(|| Error::NoMap(name.to_owned()))?;
    MapHandle::try_from(&found).map_err(kernel("duplicate a map's descriptor"))
}

/// The programs' variables of a section.
fn variables(object: &Object, section: &str) -> Result<MapHandle, Error> {
    let found = object
        .maps()
        .find(|map| map.name().to_string_lossy().ends_with(section))
        .ok_or_else(|| Error::NoMap(section.to_owned()))?;
    MapHandle::try_from(&found).map_err(kernel("duplicate a map's descriptor"))
}

/// Offsets in `struct host`.
const HOOKS: usize = 16 + 3 * 8;
const FOUND: usize = HOOKS + 8;
const WANTED: usize = FOUND + 8;

/// Called before anything is attached: the programs count in the same variables.
fn want(host: &MapHandle, kind: Kind) -> Result<(), Error> {
    set_variable(host, WANTED + kind as usize)
}

fn set_variable(host: &MapHandle, offset: usize) -> Result<(), Error> {
    let key = 0u32.to_ne_bytes();
    let mut value =
        host.lookup(&key, MapFlags::ANY).map_err(kernel("read the programs' variables"))?.unwrap_or_default();
    if let Some(byte) = value.get_mut(offset) {
        *byte = 1;
    }
    host.update(&key, &value, MapFlags::ANY).map_err(kernel("write the programs' variables"))
}

fn host_mount(host: &MapHandle) -> Result<u32, Error> {
    let value = host
        .lookup(&0u32.to_ne_bytes(), MapFlags::ANY)
        .map_err(kernel("read the programs' variables"))?
        .unwrap_or_default();
    let number = value.get(..4).and_then(|b| b.try_into().ok()).map_or(0, u32::from_le_bytes);
    if number == 0 {
        return Err(Error::Kernel {
            what: "find the host's namespaces".to_owned(),
            error: "no kernel thread is to be seen; run in the host's pid namespace (--pid host)".to_owned(),
        });
    }
    Ok(number)
}

/// Programs whose hook this kernel does not have, or that nobody asked for.
fn absent_hooks(
    btf: &Btf<'_>,
    options: &Options,
    capabilities: &mut Vec<Capability>,
) -> HashSet<&'static str> {
    let mut absent = HashSet::new();
    for (program, hook, family) in PROGRAMS {
        if family.is_some_and(|family| !options.families.contains(&family)) {
            absent.insert(*program);
        } else if btf.type_by_name::<BtfType<'_>>(&format!("btf_trace_{hook}")).is_none() {
            absent.insert(*program);
            capabilities.push(Capability::fails(
                "base",
                hook,
                "this kernel has no such tracepoint".to_owned(),
                match *hook {
                    "module_load" => "a kernel without modules has none to load",
                    "io_uring_submit_req" | "io_uring_submit_sqe" => {
                        "needed from 5.19 (submit_sqe) or 6.3 (submit_req)"
                    }
                    _ => "",
                },
            ));
        }
    }
    // One of the two names of the same tracepoint is enough.
    if !absent.contains("io_uring_request") {
        capabilities.retain(|capability| capability.hook != "io_uring_submit_sqe");
    }
    absent
}

fn load(options: &Options, absent: &HashSet<&str>) -> Result<(Variant, Object), Error> {
    let mut refused = Vec::new();
    for (variant, bytes) in VARIANTS {
        if options.variant.is_some_and(|asked| asked != variant) {
            continue;
        }
        match load_one(bytes, options, absent) {
            Ok(object) => return Ok((variant, object)),
            Err(error @ Error::NotPermitted(_)) => return Err(error),
            Err(Error::Refused(why)) => refused.push(format!("{variant:?}: {why}")),
            Err(error) => return Err(error),
        }
    }
    Err(Error::Refused(refused.join("\n")))
}

fn load_one(bytes: &[u8], options: &Options, absent: &HashSet<&str>) -> Result<Object, Error> {
    let mut open = ObjectBuilder::default()
        .name("stockade")
        .and_then(|builder| builder.open_memory(bytes))
        .map_err(kernel("open the BPF object"))?;
    configure(&mut open, options)?;
    for mut program in open.progs_mut() {
        if program.name().to_str().is_some_and(|name| absent.contains(name)) {
            program.set_autoload(false);
        }
    }
    said();
    open.load().map_err(|error| match error.kind() {
        libbpf_rs::ErrorKind::PermissionDenied if !may_use_bpf() => Error::NotPermitted(format!("{error:#}")),
        _ => Error::Refused(format!("{error:#}\n{}", said())),
    })
}

/// What libbpf and the kernel's verifier said since the last [`said`]: the end of it is why a program was refused.
static SAID: Mutex<String> = Mutex::new(String::new());

/// With STOCKADE_SENSOR_LOG set it goes to standard error as well, whole.
fn note(_: libbpf_rs::PrintLevel, text: String) {
    const MOST: usize = 1 << 20;
    if std::env::var_os("STOCKADE_SENSOR_LOG").is_some() {
        eprint!("{text}");
    }
    let mut said = SAID.lock().unwrap_or_else(PoisonError::into_inner);
    if said.len() < MOST {
        said.push_str(&text);
    }
}

/// The last lines that were said.
pub(crate) fn said() -> String {
    const LINES: usize = 12;
    let said = std::mem::take(&mut *SAID.lock().unwrap_or_else(PoisonError::into_inner));
    let lines: Vec<&str> = said.lines().filter(|line| !line.trim().is_empty()).collect();
    lines.get(lines.len().saturating_sub(LINES)..).unwrap_or_default().join("\n")
}

/// Whether the process holds CAP_SYS_ADMIN, or CAP_BPF and CAP_PERFMON.
fn may_use_bpf() -> bool {
    const SYS_ADMIN: u64 = 1 << 21;
    const BPF_AND_PERFMON: u64 = 1 << 39 | 1 << 38;
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let effective = status
        .lines()
        .find_map(|line| line.strip_prefix("CapEff:"))
        .and_then(|hex| u64::from_str_radix(hex.trim(), 16).ok())
        .unwrap_or(0);
    effective & SYS_ADMIN != 0 || effective & BPF_AND_PERFMON == BPF_AND_PERFMON
}

fn configure(open: &mut OpenObject, options: &Options) -> Result<(), Error> {
    let round = |bytes: usize| u32::try_from(bytes.max(65_536).next_power_of_two()).unwrap_or(1 << 30);
    for mut map in open.maps_mut() {
        let name = map.name().to_string_lossy().into_owned();
        let entries = match name.as_str() {
            "rare" => round(options.rare_buffer),
            "bulk" => round(options.bulk_buffer),
            "threads" => options.threads,
            "containers" | "mount_namespaces" | "budgets" => options.containers,
            _ if name.ends_with(".rodata") => {
                let settings = [
                    u32::from(options.host),
                    u32::from(options.environment),
                    options.budget,
                    std::process::id(),
                    round(options.bulk_buffer) / 8,
                    u32::from(!options.fold.is_zero()),
                ];
                let bytes: Vec<u8> = settings.iter().flat_map(|number| number.to_ne_bytes()).collect();
                if let Some(to) = map.initial_value_mut().and_then(|value| value.get_mut(..bytes.len())) {
                    to.copy_from_slice(&bytes);
                }
                continue;
            }
            _ => continue,
        };
        map.set_max_entries(entries).map_err(kernel("size a map"))?;
    }
    Ok(())
}

/// Writes the programs that calls are handed to, and the table of the calls that are to be seen.
fn fill_tables(object: &Object, calls: &Calls, options: &Options) -> Result<(), Error> {
    let programs = map(object, "programs")?;
    for program in Program::ALL {
        let found = object.progs().find(|loaded| loaded.name() == program.name());
        let fd = found.ok_or_else(|| Error::NoMap(program.name().to_owned()))?.as_fd().as_raw_fd();
        programs
            .update(&u32::from(program.number()).to_ne_bytes(), &fd.to_ne_bytes(), MapFlags::ANY)
            .map_err(kernel("write the table of programs"))?;
    }
    let table = map(object, "calls")?;
    for (slot, call) in calls.slots().filter(|(_, call)| seen(call, options)) {
        table
            .update(&slot.to_ne_bytes(), &call.to_bytes(), MapFlags::ANY)
            .map_err(kernel("write the table of calls"))?;
    }
    Ok(())
}

/// Whether a call has to be looked at: it may be rare, or somebody asked for its kind.
fn seen(call: &Call, options: &Options) -> bool {
    let by_address = call.program != Program::Socket || call.kind == Kind::Connect;
    call.may_be_rare() && by_address || options.bulk.contains(&call.kind)
}

fn run_iterator(object: &Object) -> Result<Vec<u8>, Error> {
    let program = object
        .progs_mut()
        .find(|program| program.name() == "process_before")
        .ok_or_else(|| Error::NoMap("process_before".to_owned()))?;
    let link = program.attach().map_err(kernel("attach the task iterator"))?;
    let mut bytes = Vec::new();
    Iter::new(&link).map_err(kernel("start the task iterator"))?.read_to_end(&mut bytes).map_err(
        |error| Error::Kernel { what: "read the task iterator".to_owned(), error: error.to_string() },
    )?;
    Ok(bytes)
}

fn attach(
    object: &Object,
    absent: &HashSet<&str>,
    capabilities: &mut Vec<Capability>,
) -> Result<(Vec<Link>, Own), Error> {
    let mut links = Vec::new();
    let mut own = Own {
        process: std::process::id(),
        programs: HashSet::new(),
        maps: object.maps().filter_map(|map| map.info().ok().map(|info| info.info.id)).collect(),
        links: HashSet::new(),
    };
    for program in object.progs() {
        if let Ok(identifier) = libbpf_rs::Program::id_from_fd(program.as_fd()) {
            own.programs.insert(identifier);
        }
    }
    for (index, (name, hook, _)) in PROGRAMS.iter().enumerate() {
        if absent.contains(name) {
            continue;
        }
        let Some(program) = object.progs_mut().find(|program| program.name() == *name) else { continue };
        match program.attach() {
            Ok(link) => {
                if let Ok(info) = link.info() {
                    own.links.insert(info.id);
                }
                links.push(link);
                capabilities.push(Capability::works("base", hook));
            }
            Err(error) if index < NEEDED => {
                return Err(Error::Kernel { what: format!("attach to {hook}"), error: format!("{error:#}") });
            }
            Err(error) => capabilities.push(Capability::fails("base", hook, format!("{error:#}"), "")),
        }
    }
    Ok((links, own))
}

fn start_folding(object: &Object, options: &Options) -> Result<Option<Folding>, Error> {
    if options.fold.is_zero() {
        return Ok(None);
    }
    let turns = [map(object, "fold_first")?, map(object, "fold_second")?];
    Folding::start(variables(object, ".data.turn")?, map(object, "fold_wait")?, turns, options.fold)
        .map(Some)
        .map_err(|error| Error::Kernel { what: "start a thread".to_owned(), error: error.to_string() })
}

/// What runs in containers already, from the task iterator; arguments from /proc, which the iterator cannot read.
fn before(object: &Object, reading: &mut Reading) -> Result<Vec<Event>, Error> {
    let bytes = run_iterator(object)?;
    let mut events = Vec::new();
    let mut rest = bytes.as_slice();
    while !rest.is_empty() {
        let Some((record, size)) = Record::read(rest, reading.host_mount) else {
            reading.broken += 1;
            break;
        };
        if let Made::Event(mut event) = reading.event(&record) {
            if let What::Execve { arguments, asked, file, .. } = &mut event.what {
                *arguments = command_line(event.actor.task.process);
                asked.clone_from(&file.path);
            }
            events.push(*event);
        }
        rest = rest.get(size..).unwrap_or_default();
    }
    Ok(events)
}

fn command_line(process: u32) -> Vec<String> {
    let bytes = std::fs::read(format!("/proc/{process}/cmdline")).unwrap_or_default();
    let bytes = bytes.strip_suffix(&[0]).unwrap_or(&bytes);
    if bytes.is_empty() {
        return Vec::new();
    }
    bytes.split(|byte| *byte == 0).map(crate::record::string).collect()
}

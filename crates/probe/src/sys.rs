//! The system calls that may be answered by a signal, made in a child process.
//!
//! A seccomp filter may kill the caller (`SECCOMP_RET_KILL_PROCESS`, `_KILL_THREAD`, `_TRAP`). Everything
//! beyond open, read, stat, readlink and list is therefore put into a [`Batch`], which a forked child makes
//! one by one; the answers come back through shared memory. A child that dies is followed by another that
//! goes on behind the call that killed it. Nothing a child does outlives it.
//!
//! This is the only module of the workspace's judging side with `unsafe`: the calls take arguments that no
//! safe wrapper would let through, which is what they are made for.
#![allow(unsafe_code)]

use std::ffi::{CStr, CString};
use std::sync::atomic::{AtomicI64, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use libc::{c_int, c_long, c_void};

use crate::errno;
use crate::measurement::Answer;

/// Calls in one batch, and bytes for what they read and write. A host asks for about 300 calls.
const MOST_CALLS: usize = 2048;
const OUTPUT_BYTES: usize = 64 * 1024;
/// A call that takes longer waits for a supervisor (`SECCOMP_RET_USER_NOTIF`) or for a dead file server.
const CALL_TIME: Duration = Duration::from_millis(250);
const BATCH_TIME: Duration = Duration::from_secs(2);
/// A filter that kills at every call costs one child a call.
const MOST_CHILDREN: usize = 256;

/// An argument of a call.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Arg {
    Int(i64),
    /// A string kept by the batch until the calls are made.
    Text(TextId),
    /// Memory the call writes to.
    Output(OutputId),
    /// A `struct file_handle` of 8 bytes whose handle lies on a page that cannot be read.
    TornHandle,
    /// A page that cannot be read.
    Unreadable,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct TextId(usize);
#[derive(Clone, Copy, Debug)]
pub(crate) struct OutputId {
    offset: usize,
    length: usize,
}
/// The place of a call in its batch, to ask for its answer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CallId(usize);

#[derive(Clone, Copy)]
enum Action {
    Call {
        number: c_long,
        args: [usize; 6],
    },
    /// `clone` with flags that the kernel refuses; should one not, the second process ends at once.
    Clone {
        flags: usize,
    },
    /// `openat` for writing, and close.
    OpenWrite {
        path: usize,
    },
    /// `socket`, `connect` and close.
    Connect {
        address: usize,
        length: usize,
    },
    /// `ioctl(NS_GET_USERNS)` on an open namespace; the value is the inode of the owner.
    NamespaceOwner {
        fd: c_int,
        stat: usize,
    },
}

/// One answer in shared memory. `state` is written last.
#[repr(C)]
struct Slot {
    value: AtomicI64,
    errno: AtomicU32,
    state: AtomicU32,
}
/// A slot starts as 0.
const ANSWERED: u32 = 1;

/// Shared with the children: the index of the call under way, then the answers, then what calls write.
struct Shared {
    base: *mut c_void,
    length: usize,
}

#[repr(C)]
struct Header {
    /// The index of the call under way.
    current: AtomicU32,
    /// The step of the preparation under way; 0 once the calls have begun.
    step: AtomicU32,
    refused: AtomicU32,
}

const SLOTS_AT: usize = 64;
const OUTPUT_AT: usize = SLOTS_AT + MOST_CALLS * size_of::<Slot>();
const HANDLE_HEADER: usize = 8;

impl Shared {
    fn new() -> Result<Shared, c_int> {
        let page = page_size();
        let used = (OUTPUT_AT + OUTPUT_BYTES + HANDLE_HEADER).next_multiple_of(page);
        let length = used + page;
        // SAFETY: an anonymous mapping at an address of the kernel's choice touches no existing memory.
        let base = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                length,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_SHARED | libc::MAP_ANONYMOUS,
                -1,
                0,
            )
        };
        if base == libc::MAP_FAILED {
            return Err(last_errno());
        }
        let shared = Shared { base, length };
        // SAFETY: the last page lies within the mapping, and nothing of ours is on it.
        if unsafe { libc::mprotect(base.byte_add(used), page, libc::PROT_NONE) } != 0 {
            return Err(last_errno());
        }
        // SAFETY: the eight bytes before the guard page are reserved for the handle's header and aligned.
        unsafe {
            let handle = base.byte_add(used - HANDLE_HEADER).cast::<u32>();
            handle.write(8); // handle_bytes
            handle.add(1).write(0); // handle_type
        }
        Ok(shared)
    }
    fn torn_handle(&self) -> usize {
        self.base as usize + self.length - page_size() - HANDLE_HEADER
    }
    fn header(&self) -> &Header {
        // SAFETY: the mapping is page-aligned, zeroed, longer than the header, and lives as long as `self`;
        // the fields are atomics, so the child's writes are not data races.
        unsafe { &*self.base.cast::<Header>() }
    }
    fn slots(&self) -> &[Slot] {
        // SAFETY: as for `header`; `SLOTS_AT` is aligned for `Slot` and the room for `MOST_CALLS` is
        // reserved.
        unsafe { std::slice::from_raw_parts(self.base.byte_add(SLOTS_AT).cast::<Slot>(), MOST_CALLS) }
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        // SAFETY: the mapping is ours and no reference into it outlives `self`.
        unsafe { libc::munmap(self.base, self.length) };
    }
}

/// Calls to be made, in order.
pub(crate) struct Batch {
    shared: Result<Shared, c_int>,
    calls: Vec<Action>,
    texts: Vec<CString>,
    output_used: usize,
    overflow: bool,
}

impl Batch {
    pub(crate) fn new() -> Batch {
        Batch { shared: Shared::new(), calls: Vec::new(), texts: Vec::new(), output_used: 0, overflow: false }
    }

    /// Keeps a string for a call. A string with a NUL byte in it names no file: it is cut there.
    pub(crate) fn text(&mut self, text: &str) -> TextId {
        let bytes = text.bytes().take_while(|b| *b != 0).collect::<Vec<u8>>();
        self.texts.push(CString::new(bytes).unwrap_or_default());
        TextId(self.texts.len() - 1)
    }

    /// Room for what a call writes, zeroed, aligned to 8.
    pub(crate) fn output(&mut self, length: usize) -> OutputId {
        let length = length.next_multiple_of(8);
        let offset = self.output_used;
        if offset + length > OUTPUT_BYTES {
            self.overflow = true;
            return OutputId { offset: 0, length: 0 };
        }
        self.output_used += length;
        OutputId { offset, length }
    }

    /// Memory the call reads and may write, filled with these bytes.
    pub(crate) fn input(&mut self, bytes: &[u8]) -> OutputId {
        let output = self.output(bytes.len());
        if let Ok(shared) = &self.shared
            && output.length >= bytes.len()
        {
            // SAFETY: the range was reserved within the mapping, and no child runs yet.
            unsafe {
                let to = shared.base.byte_add(OUTPUT_AT + output.offset).cast::<u8>();
                to.copy_from_nonoverlapping(bytes.as_ptr(), bytes.len());
            }
        }
        output
    }

    fn address_of(&self, arg: Arg) -> usize {
        match arg {
            Arg::Int(number) => number as usize,
            Arg::Text(TextId(index)) => self.texts.get(index).map_or(0, |t| t.as_ptr() as usize),
            Arg::Output(OutputId { offset, .. }) => {
                self.shared.as_ref().map_or(0, |s| s.base as usize + OUTPUT_AT + offset)
            }
            Arg::TornHandle => self.shared.as_ref().map_or(0, Shared::torn_handle),
            Arg::Unreadable => self.shared.as_ref().map_or(0, |s| s.torn_handle() + HANDLE_HEADER),
        }
    }

    pub(crate) fn call(&mut self, number: c_long, args: &[Arg]) -> CallId {
        let mut raw = [0; 6];
        for (place, arg) in raw.iter_mut().zip(args) {
            *place = self.address_of(*arg);
        }
        self.push(Action::Call { number, args: raw })
    }
    pub(crate) fn clone_call(&mut self, flags: c_int) -> CallId {
        self.push(Action::Clone { flags: flags as usize })
    }
    pub(crate) fn open_write(&mut self, path: &str) -> CallId {
        let text = self.text(path);
        let path = self.address_of(Arg::Text(text));
        self.push(Action::OpenWrite { path })
    }
    /// `None` where the path is too long for a socket address.
    pub(crate) fn connect(&mut self, path: &str) -> Option<CallId> {
        // struct sockaddr_un: the family, then a path that ends with a NUL.
        let mut address = (libc::AF_UNIX as libc::sa_family_t).to_ne_bytes().to_vec();
        address.extend(path.bytes());
        address.push(0);
        let length = address.len();
        if length > size_of::<libc::sockaddr_un>() {
            return None;
        }
        let address = self.input(&address);
        let address = self.address_of(Arg::Output(address));
        Some(self.push(Action::Connect { address, length }))
    }
    /// The caller keeps `fd` open until the batch has run.
    pub(crate) fn namespace_owner(&mut self, fd: c_int) -> CallId {
        let stat = self.output(size_of::<libc::stat>());
        let stat = self.address_of(Arg::Output(stat));
        self.push(Action::NamespaceOwner { fd, stat })
    }

    fn push(&mut self, action: Action) -> CallId {
        if self.overflow || self.calls.len() >= MOST_CALLS {
            return CallId(usize::MAX);
        }
        self.calls.push(action);
        CallId(self.calls.len() - 1)
    }

    /// Makes the calls. `no_filter`: it is known that no seccomp filter is in force, so that the calls may be
    /// made in this process where no child can be had.
    pub(crate) fn run(self, no_filter: bool) -> Answers {
        let shared = match self.shared {
            Ok(shared) => shared,
            Err(error) => {
                let why = format!("no memory to share with a child: mmap: {}", errno::name(error));
                return Answers { shared: None, answers: vec![Answer::skipped(why); self.calls.len()] };
            }
        };
        let answers = run_calls(&shared, &self.calls, no_filter);
        Answers { shared: Some(shared), answers }
    }
}

/// The answers of a batch.
pub(crate) struct Answers {
    shared: Option<Shared>,
    answers: Vec<Answer>,
}

impl Answers {
    pub(crate) fn of(&self, call: CallId) -> Answer {
        self.answers
            .get(call.0)
            .cloned()
            .unwrap_or_else(|| Answer::skipped("too many calls in one measurement"))
    }
    /// What a call wrote.
    pub(crate) fn bytes(&self, output: OutputId) -> &[u8] {
        match &self.shared {
            // SAFETY: the range was reserved by `Batch::output` within the mapping; no child is left to
            // write.
            Some(shared) => unsafe {
                std::slice::from_raw_parts(
                    shared.base.byte_add(OUTPUT_AT + output.offset).cast::<u8>(),
                    output.length,
                )
            },
            None => &[],
        }
    }
    /// The words of 8 bytes that a call wrote.
    pub(crate) fn words(&self, output: OutputId) -> Vec<u64> {
        self.bytes(output)
            .chunks_exact(8)
            .map(|c| u64::from_ne_bytes(c.try_into().unwrap_or_default()))
            .collect()
    }
    /// The words of 4 bytes that a call wrote.
    pub(crate) fn half_words(&self, output: OutputId) -> Vec<u32> {
        self.bytes(output)
            .chunks_exact(4)
            .map(|c| u32::from_ne_bytes(c.try_into().unwrap_or_default()))
            .collect()
    }
}

fn run_calls(shared: &Shared, calls: &[Action], no_filter: bool) -> Vec<Answer> {
    let mut answers: Vec<Answer> = Vec::with_capacity(calls.len());
    let deadline = Instant::now() + BATCH_TIME;
    let mut children = 0;
    let mut left_out = 0;
    while answers.len() < calls.len() {
        let first = answers.len();
        let rest = |why: &str| vec![Answer::skipped(why); calls.len() - first];
        if children == MOST_CHILDREN {
            answers.extend(rest("too many children were killed"));
            break;
        }
        if Instant::now() >= deadline {
            answers.extend(rest("the time for probes was used up"));
            break;
        }
        children += 1;
        shared.header().current.store(first as u32, Ordering::SeqCst);
        let end = match run_child(shared, calls, first, left_out, deadline) {
            Ok(end) => end,
            Err(error) if no_filter => {
                // Without a filter no call is answered by a signal.
                make_calls(shared, calls, first);
                let _ = error;
                ChildEnd::Done
            }
            Err(error) => {
                let name = errno::name(error);
                answers
                    .extend(rest(&format!("no child could be made for it ({name}), and a filter may kill")));
                break;
            }
        };
        let slots = shared.slots();
        while let Some(slot) = slots.get(answers.len()).filter(|_| answers.len() < calls.len()) {
            if slot.state.load(Ordering::SeqCst) != ANSWERED {
                break;
            }
            answers.push(slot.answer());
        }
        if answers.len() == calls.len() {
            break;
        }
        match end {
            ChildEnd::Refused => {
                let why = "a core dump of a killed child could not be ruled out";
                answers.extend(vec![Answer::skipped(why); calls.len() - answers.len()]);
            }
            // A filter that kills for a step of the preparation kills every child there: go on without it.
            ChildEnd::Unprepared(step) => left_out |= step,
            ChildEnd::Signal(signal) => {
                answers.push(Answer { killed: Some(signal_name(signal)), ..Answer::default() })
            }
            ChildEnd::Late => answers.push(Answer::skipped("no answer within 250 ms")),
            ChildEnd::Done => answers.push(Answer::skipped("the child ended without an answer")),
        }
    }
    answers
}

impl Slot {
    fn answer(&self) -> Answer {
        let value = self.value.load(Ordering::SeqCst);
        match self.errno.load(Ordering::SeqCst) {
            0 => Answer { value: Some(value), ..Answer::default() },
            error => Answer { error: Some(errno::name(error as c_int)), ..Answer::default() },
        }
    }
}

enum ChildEnd {
    Done,
    Signal(c_int),
    /// Ended in this step of its preparation.
    Unprepared(u32),
    Late,
    /// The child would not make calls that may kill it, because its death might start a core dump handler.
    Refused,
}

/// Forks a child that makes the calls from `first` on, and waits for its end.
fn run_child(
    shared: &Shared,
    calls: &[Action],
    first: usize,
    left_out: u32,
    deadline: Instant,
) -> Result<ChildEnd, c_int> {
    shared.header().refused.store(0, Ordering::SeqCst);
    shared.header().step.store(0, Ordering::SeqCst);
    let mut ends = [-1; 2];
    // SAFETY: `ends` has room for the two descriptors.
    if unsafe { libc::pipe2(ends.as_mut_ptr(), libc::O_CLOEXEC) } != 0 {
        return Err(last_errno());
    }
    // No signal at the child's end: neither a handler of this program nor its `wait` for others is disturbed.
    // SAFETY: a fork (no CLONE_VM). The child runs `child_main` only, which allocates nothing, takes no lock
    // and leaves by exit_group(2), as is required of a child of a program that may have other threads.
    let pid = unsafe { libc::syscall(libc::SYS_clone, 0usize, 0usize, 0usize, 0usize, 0usize) };
    if pid == 0 {
        child_main(shared, calls, first, left_out);
    }
    let result = if pid < 0 {
        Err(last_errno())
    } else {
        close(ends[1]);
        Ok(wait_for(shared, pid as libc::pid_t, ends[0], deadline))
    };
    close(ends[0]);
    if pid < 0 {
        close(ends[1]);
    }
    result
}

fn close(fd: c_int) {
    // SAFETY: every caller owns the descriptor and uses it no more.
    unsafe { libc::close(fd) };
}

fn child_main(shared: &Shared, calls: &[Action], first: usize, left_out: u32) -> ! {
    if prepare(&shared.header().step, left_out) {
        make_calls(shared, calls, first);
    } else {
        shared.header().refused.store(1, Ordering::SeqCst);
    }
    exit_now()
}

fn exit_now() -> ! {
    loop {
        // SAFETY: exit_group(2) ends the process without running destructors or atexit handlers.
        unsafe { libc::syscall(libc::SYS_exit_group, 0usize) };
    }
}

const LIMIT_CORE: u32 = 1;
const DEFAULT_SIGSYS: u32 = 2;
const UNDUMPABLE: u32 = 4;

/// Sees to it that a death by SIGSYS has no effect, and tells whether it could. Such a death dumps core, and
/// `core_pattern` may start a program of the host with it. A process that is not dumpable, or whose limit is
/// 1 byte, starts none (do_coredump() in fs/coredump.c): one of the two is enough. Steps `left_out` are not
/// made; the one under way is written to `step`, so that a death in it is not taken for an answer.
fn prepare(step: &AtomicU32, left_out: u32) -> bool {
    let make = |this: u32, made: &dyn Fn() -> bool| {
        if left_out & this != 0 {
            return false;
        }
        step.store(this, Ordering::SeqCst);
        let made = made();
        step.store(0, Ordering::SeqCst);
        made
    };
    let limit = libc::rlimit { rlim_cur: 1, rlim_max: 1 };
    // SAFETY: the calls change this child only, which is about to end, and `limit` outlives its call.
    let limited = make(LIMIT_CORE, &|| unsafe { libc::setrlimit(libc::RLIMIT_CORE, &limit) } == 0);
    // A handler of this program must not take the signal of a trap: the child would go on in its code.
    // SAFETY: as above.
    make(DEFAULT_SIGSYS, &|| unsafe { libc::signal(libc::SIGSYS, libc::SIG_DFL) } != libc::SIG_ERR);
    // SAFETY: as above.
    let undumpable = make(UNDUMPABLE, &|| unsafe { libc::prctl(libc::PR_SET_DUMPABLE, 0, 0, 0, 0) } == 0);
    limited || undumpable
}

fn make_calls(shared: &Shared, calls: &[Action], first: usize) {
    let slots = shared.slots();
    for (index, action) in calls.iter().enumerate().skip(first) {
        let Some(slot) = slots.get(index) else { return };
        shared.header().current.store(index as u32, Ordering::SeqCst);
        let (value, error) = make_call(action);
        slot.value.store(value, Ordering::SeqCst);
        slot.errno.store(error as u32, Ordering::SeqCst);
        slot.state.store(ANSWERED, Ordering::SeqCst);
    }
}

/// The value and 0, or -1 and the errno.
fn make_call(action: &Action) -> (i64, c_int) {
    // SAFETY: the arguments are numbers, NULL, or addresses of strings and shared memory that outlive the
    // batch and are as long as the call may write; each probe's `harmless` says why it has no effect.
    unsafe {
        match *action {
            Action::Call { number, args: [a, b, c, d, e, f] } => raw(libc::syscall(number, a, b, c, d, e, f)),
            Action::Clone { flags } => {
                let result = libc::syscall(libc::SYS_clone, flags, 0usize, 0usize, 0usize, 0usize);
                if result == 0 {
                    exit_now();
                }
                raw(result)
            }
            Action::OpenWrite { path } => {
                let flags = libc::O_WRONLY | libc::O_NOFOLLOW | libc::O_CLOEXEC | libc::O_NONBLOCK;
                let answer =
                    raw(libc::syscall(libc::SYS_openat, libc::AT_FDCWD, path, flags as usize, 0usize));
                if answer.1 != 0 {
                    return answer;
                }
                close(answer.0 as c_int);
                (0, 0)
            }
            Action::Connect { address, length } => {
                let kind = libc::SOCK_STREAM | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
                let socket =
                    raw(libc::syscall(libc::SYS_socket, libc::AF_UNIX as usize, kind as usize, 0usize));
                if socket.1 != 0 {
                    return socket;
                }
                let answer = raw(libc::syscall(libc::SYS_connect, socket.0 as usize, address, length));
                close(socket.0 as c_int);
                answer
            }
            Action::NamespaceOwner { fd, stat } => {
                let owner = raw(libc::syscall(libc::SYS_ioctl, fd as usize, NS_GET_USERNS, 0usize));
                if owner.1 != 0 {
                    return owner;
                }
                let answer = raw(libc::fstat(owner.0 as c_int, stat as *mut libc::stat).into());
                close(owner.0 as c_int);
                if answer.1 != 0 {
                    return answer;
                }
                ((*(stat as *const libc::stat)).st_ino as i64, 0)
            }
        }
    }
}

/// `_IO(0xb7, 1)` of linux/nsfs.h.
const NS_GET_USERNS: usize = 0xb701;

fn raw(result: c_long) -> (i64, c_int) {
    if result == -1 { (-1, last_errno()) } else { (result, 0) }
}

fn last_errno() -> c_int {
    // SAFETY: the location of errno is valid in every thread.
    unsafe { *libc::__errno_location() }
}

/// Waits for the child's end, and ends it when one call, or the batch, takes too long.
fn wait_for(shared: &Shared, pid: libc::pid_t, pipe: c_int, deadline: Instant) -> ChildEnd {
    let mut late = false;
    let mut current = shared.header().current.load(Ordering::SeqCst);
    let mut since = Instant::now();
    loop {
        let mut poll = libc::pollfd { fd: pipe, events: libc::POLLIN, revents: 0 };
        // SAFETY: one `pollfd`, valid for the call. The child's end of the pipe closes with the child.
        unsafe { libc::poll(&mut poll, 1, 20) };
        let mut status = 0;
        // SAFETY: `pid` is our child, not yet waited for; `__WALL` is needed as it has no exit signal.
        let ended = unsafe { libc::waitpid(pid, &mut status, libc::__WALL | libc::WNOHANG) };
        if ended == pid || (ended < 0 && last_errno() != libc::EINTR) {
            return match () {
                () if ended != pid => ChildEnd::Done,
                () if shared.header().step.load(Ordering::SeqCst) != 0 => {
                    ChildEnd::Unprepared(shared.header().step.load(Ordering::SeqCst))
                }
                () if late => ChildEnd::Late,
                () if libc::WIFSIGNALED(status) => ChildEnd::Signal(libc::WTERMSIG(status)),
                () if shared.header().refused.load(Ordering::SeqCst) != 0 => ChildEnd::Refused,
                () => ChildEnd::Done,
            };
        }
        let now = shared.header().current.load(Ordering::SeqCst);
        if now != current {
            current = now;
            since = Instant::now();
        }
        if !late && (since.elapsed() > CALL_TIME || Instant::now() > deadline) {
            late = true;
            // SAFETY: `pid` is our child and has not been waited for, so the number is still its.
            unsafe { libc::kill(pid, libc::SIGKILL) };
        }
    }
}

fn signal_name(signal: c_int) -> String {
    match signal {
        libc::SIGSYS => "SIGSYS".to_owned(),
        libc::SIGKILL => "SIGKILL".to_owned(),
        libc::SIGSEGV => "SIGSEGV".to_owned(),
        other => format!("signal {other}"),
    }
}

fn page_size() -> usize {
    // SAFETY: sysconf(3) has no preconditions.
    usize::try_from(unsafe { libc::sysconf(libc::_SC_PAGESIZE) }).unwrap_or(4096)
}

/// Real, effective and saved ids: users, then groups.
pub(crate) fn ids() -> ([u32; 3], [u32; 3]) {
    let (mut users, mut groups) = ([0; 3], [0; 3]);
    let [r, e, s] = &mut users;
    let [rg, eg, sg] = &mut groups;
    // SAFETY: six valid places to write to; the calls do nothing else.
    unsafe {
        libc::getresuid(r, e, s);
        libc::getresgid(rg, eg, sg);
    }
    (users, groups)
}

/// Supplementary groups.
pub(crate) fn supplementary_groups() -> Vec<u32> {
    // SAFETY: with a size of 0 nothing is written.
    let count = unsafe { libc::getgroups(0, std::ptr::null_mut()) };
    let mut groups = vec![0; usize::try_from(count).unwrap_or(0)];
    // SAFETY: `groups` has room for `count`.
    let count = unsafe { libc::getgroups(count, groups.as_mut_ptr()) };
    groups.truncate(usize::try_from(count).unwrap_or(0));
    groups
}

/// Release, version and machine of uname(2).
pub(crate) fn uname() -> (String, String, String) {
    // SAFETY: all zeroes is a valid `utsname`, and the call fills it with NUL-terminated strings.
    let name = unsafe {
        let mut name: libc::utsname = std::mem::zeroed();
        libc::uname(&mut name);
        name
    };
    let text = |field: &[libc::c_char]| {
        let bytes: Vec<u8> = field.iter().flat_map(|c| c.to_ne_bytes()).collect();
        CStr::from_bytes_until_nul(&bytes)
            .map_or_else(|_| String::new(), |c| c.to_string_lossy().into_owned())
    };
    (text(&name.release), text(&name.version), text(&name.machine))
}

//! What an event of each code does to the state, worked out once from the table of event types: by name, so that all
//! versions of a call are treated alike.

use std::sync::LazyLock;

use capture::list::descriptor_kind as kind;
use capture::table::{self, Kind};
use rules::EventType;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    Nothing,
    Open,
    Close,
    Execute,
    Clone,
    Exit,
    Socket,
    SocketPair,
    Bind,
    Connect,
    Accept,
    /// Reads and writes, of which some tell both ends of a socket.
    Transfer,
    Duplicate,
    Pipe,
    /// A descriptor of this kind, without more.
    Make(u8),
    ChangeDirectory,
    ChangeDirectoryTo,
    ChangeRoot,
    SetUid,
    SetGid,
    SetCapabilities,
    SetSession,
    SetGroup,
    Container,
    UserAdded,
    UserDeleted,
    GroupAdded,
    GroupDeleted,
}

/// What an event of a code means.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    pub(crate) action: Action,
    /// The type that rules know it by; of generic events, that of the call they name.
    pub(crate) event_type: EventType,
    /// Whether it is made by the sensor's libraries, not by a process.
    pub(crate) internal: bool,
    /// The parameter that holds the descriptor it uses; −1: none.
    pub(crate) descriptor: i8,
    /// The parameter that tells both ends of a socket; −1: none.
    pub(crate) tuple: i8,
    /// Rules are asked about it: calls that returned, and what has no return (libs gave up enter events in 2025).
    pub(crate) matched: bool,
}

static PLANS: LazyLock<Vec<Plan>> = LazyLock::new(|| table::event_types().iter().map(plan).collect());

static GENERIC: LazyLock<Vec<EventType>> = LazyLock::new(|| {
    let most = (0..1024).filter(|number| table::call_name(*number).is_some()).max().unwrap_or(0);
    (0..=most)
        .map(|number| table::call_name(number).and_then(EventType::by_name).unwrap_or(EventType::Syscall))
        .collect()
});

#[inline]
pub(crate) fn plans() -> &'static [Plan] {
    &PLANS
}

/// The type of a generic event by the number of its call.
pub(crate) fn generic(number: u16) -> EventType {
    GENERIC.get(usize::from(number)).copied().unwrap_or(EventType::Syscall)
}

fn plan(event: &table::EventType) -> Plan {
    let place = |found: Option<usize>| found.and_then(|place| i8::try_from(place).ok()).unwrap_or(-1);
    let descriptor = match event.marks.uses_descriptor || event.marks.destroys_descriptor {
        true => event.parameters.iter().position(|p| p.kind == Kind::Descriptor && p.name != "res"),
        false => None,
    };
    let action = if event.enter { on_enter(event.name) } else { on_exit(event.name) };
    Plan {
        action,
        event_type: EventType::by_name(event.name).unwrap_or(EventType::Syscall),
        internal: event.category == "internal",
        descriptor: place(descriptor),
        tuple: place(event.parameters.iter().position(|p| p.kind == Kind::Tuple)),
        matched: event.category != "internal" && !event.marks.unused && (!event.enter || alone(event)),
    }
}

/// An enter event without an exit event.
fn alone(event: &table::EventType) -> bool {
    table::event_type_of(event.code + 1).is_none_or(|exit| exit.marks.unused || exit.name == "NA")
}

fn on_enter(name: &str) -> Action {
    match name {
        "procexit" => Action::Exit,
        "container" => Action::Container,
        "useradded" => Action::UserAdded,
        "userdeleted" => Action::UserDeleted,
        "groupadded" => Action::GroupAdded,
        "groupdeleted" => Action::GroupDeleted,
        _ => Action::Nothing,
    }
}

fn on_exit(name: &str) -> Action {
    match name {
        "open" | "openat" | "openat2" | "creat" | "open_by_handle_at" => Action::Open,
        "close" => Action::Close,
        "execve" | "execveat" => Action::Execute,
        "clone" | "clone3" | "fork" | "vfork" => Action::Clone,
        "socket" => Action::Socket,
        "socketpair" => Action::SocketPair,
        "bind" => Action::Bind,
        "connect" => Action::Connect,
        "accept" | "accept4" => Action::Accept,
        "sendto" | "sendmsg" | "recvfrom" | "recvmsg" | "sendmmsg" | "recvmmsg" => Action::Transfer,
        "dup" | "dup2" | "dup3" | "fcntl" => Action::Duplicate,
        "pipe" | "pipe2" => Action::Pipe,
        "eventfd" | "eventfd2" => Action::Make(kind::EVENT),
        "signalfd" | "signalfd4" => Action::Make(kind::SIGNAL),
        "epoll_create" | "epoll_create1" => Action::Make(kind::EVENT_POLL),
        "timerfd_create" => Action::Make(kind::TIMER),
        "inotify_init" | "inotify_init1" => Action::Make(kind::INOTIFY),
        "userfaultfd" => Action::Make(kind::USERFAULT),
        "io_uring_setup" => Action::Make(kind::IO_URING),
        "bpf" => Action::Make(kind::BPF),
        "memfd_create" => Action::Make(kind::MEMFD),
        "pidfd_open" => Action::Make(kind::PIDFD),
        "chdir" => Action::ChangeDirectory,
        "fchdir" => Action::ChangeDirectoryTo,
        "chroot" => Action::ChangeRoot,
        "setuid" | "setresuid" | "setreuid" => Action::SetUid,
        "setgid" | "setresgid" | "setregid" => Action::SetGid,
        "capset" => Action::SetCapabilities,
        "setsid" => Action::SetSession,
        "setpgid" => Action::SetGroup,
        _ => Action::Nothing,
    }
}

//! What the sensor must tell of each call that `provoke` makes: the kind of event, by the call's name as `provoke`
//! writes it.

use sensor::event::{Event, Kind, What};

use crate::containers::Made;

/// How a call begins, and the kinds of events of which one must come for it.
const KINDS: &[(&str, &[Kind])] = &[
    ("memfd_create", &[Kind::MemfdCreate]),
    ("mount(", &[Kind::Mount]),
    ("umount2(", &[Kind::Umount]),
    ("fsopen", &[Kind::Fsopen]),
    ("fspick(", &[Kind::Fsopen]),
    ("fsconfig(", &[Kind::Fsconfig]),
    ("fsmount(", &[Kind::Fsmount]),
    ("open_tree(", &[Kind::OpenTree]),
    ("move_mount(", &[Kind::MoveMount]),
    ("mount_setattr(", &[Kind::MountSetattr]),
    ("pivot_root(", &[Kind::PivotRoot]),
    ("chroot(", &[Kind::Chroot]),
    ("setns(", &[Kind::Setns]),
    ("unshare(", &[Kind::Unshare]),
    ("clone(", &[Kind::CloneNamespaces]),
    ("clone3(", &[Kind::CloneNamespaces]),
    ("ptrace(", &[Kind::Ptrace]),
    ("process_vm_readv(", &[Kind::OtherProcess]),
    ("process_vm_writev(", &[Kind::OtherProcess]),
    ("pidfd_getfd(", &[Kind::OtherProcess]),
    ("process_madvise(", &[Kind::OtherProcess]),
    ("kcmp(", &[Kind::OtherProcess]),
    ("prctl(", &[Kind::Prctl]),
    ("kill(", &[Kind::Kill]),
    ("execve", &[Kind::Execve]),
    ("mprotect(", &[Kind::MakeExecutable]),
    ("setuid(", &[Kind::Setuid]),
    ("setresuid(", &[Kind::Setuid]),
    ("setgid(", &[Kind::Setuid]),
    ("capset(", &[Kind::Capset]),
    ("chdir(", &[Kind::Chdir]),
    ("recvmsg(", &[Kind::ReceivedFile]),
    ("sendmsg and recvmsg", &[Kind::ReceivedFile]),
    ("personality(", &[Kind::Personality]),
    ("rename(", &[Kind::Rename]),
    ("symlink(", &[Kind::Symlink]),
    ("link(", &[Kind::Link]),
    ("unlink(", &[Kind::Unlink]),
    ("mknod(", &[Kind::Mknod]),
    ("fchmodat(", &[Kind::Chmod]),
    ("setxattr(", &[Kind::Setxattr]),
    ("open_by_handle_at(", &[Kind::OpenByHandle]),
    ("name_to_handle_at(", &[Kind::NameToHandle]),
    ("splice(", &[Kind::Splice]),
    ("ioctl(", &[Kind::Ioctl]),
    ("iopl(", &[Kind::Iopl]),
    ("ioperm(", &[Kind::Iopl]),
    ("connect(", &[Kind::Connect]),
    ("int 0x80 connect(", &[Kind::Connect]),
    ("IORING_OP_CONNECT(", &[Kind::Connect, Kind::IoUringRequest]),
    ("socket(", &[Kind::Socket]),
    ("sendto(NETLINK", &[Kind::Netlink]),
    ("finit_module(", &[Kind::Module]),
    ("delete_module(", &[Kind::Module]),
    ("bpf(", &[Kind::Bpf]),
    ("perf_event_open(", &[Kind::PerfEventOpen]),
    ("kexec", &[Kind::Kexec]),
    ("reboot(", &[Kind::Reboot]),
    ("keyctl(", &[Kind::Keyctl]),
    ("add_key(", &[Kind::Keyctl]),
    ("request_key(", &[Kind::Keyctl]),
    ("syslog(", &[Kind::Syslog]),
    ("sethostname(", &[Kind::SetName]),
    ("setdomainname(", &[Kind::SetName]),
    ("clock_settime(", &[Kind::SetTime]),
    ("clock_adjtime(", &[Kind::SetTime]),
    ("bind to the loopback address", &[Kind::Bind]),
    ("io_uring_setup(", &[Kind::IoUringSetup]),
    ("userfaultfd(", &[Kind::Userfaultfd]),
    ("sched_setscheduler(", &[Kind::RareCall]),
    ("acct(", &[Kind::RareCall]),
    ("swapon(", &[Kind::RareCall]),
    ("quotactl(", &[Kind::RareCall]),
    ("fanotify_init(", &[Kind::RareCall]),
    ("move_pages(", &[Kind::RareCall]),
    ("shmat(", &[Kind::RareCall]),
    ("shmget(", &[Kind::RareCall]),
    ("int 0x80: socketcall", &[Kind::RareCall, Kind::Socket]),
    ("open(", &[Kind::Open]),
    ("openat2(", &[Kind::Open]),
    ("openat of a passed folder(", &[Kind::Open]),
    ("int 0x80 openat(", &[Kind::Open]),
    ("IORING_OP_OPENAT(", &[Kind::Open, Kind::IoUringRequest]),
];

/// The kinds that may tell a call; None where the table does not say.
pub(crate) fn kinds(call: &str) -> Option<&'static [Kind]> {
    KINDS.iter().find(|(begin, _)| call.starts_with(begin)).map(|(_, kinds)| *kinds)
}

/// Whether `provoke` made one call and says what the kernel answered, so that the event must say the same.
fn says_the_answer(call: &str) -> bool {
    let several = ["memfd_create", "execve", "fsopen, ", "recvmsg(", "sendmsg ", "int 0x80: ", "IORING_OP_"];
    !several.iter().any(|begin| call.starts_with(begin))
}

/// The path between quotation marks of a call that opens or connects.
fn path(made: &Made) -> Option<&str> {
    let opens = made.call.contains("open") && !made.call.contains("open_");
    if !(opens && !made.call.starts_with("fsopen") || made.call.contains("connect(\"")) {
        return None;
    }
    made.call.split('"').nth(1)
}

/// Whether this event tells this call.
pub(crate) fn tells(event: &Event, made: &Made) -> bool {
    let Some(kinds) = kinds(&made.call) else { return false };
    if !kinds.contains(&event.what.kind()) {
        return false;
    }
    if says_the_answer(&made.call) {
        let same = if made.result < 0 { event.result == made.result } else { event.result >= 0 };
        if !same {
            return false;
        }
    }
    let Some(path) = path(made) else { return true };
    let name = path.rsplit('/').next().unwrap_or(path);
    match &event.what {
        // A link is followed: the file that was reached has another name than what was asked for.
        What::Open { file, asked, .. } => {
            asked.text == path || file.path.text.ends_with(name) || asked.text == name
        }
        What::Connect { address: sensor::event::Address::Unix { path: address }, .. } => {
            address.text.ends_with(name) || address.text == path
        }
        What::IoUringRequest { path: Some(asked), .. } => asked.text == path,
        _ => true,
    }
}

#[test]
fn every_attempt_that_can_be_provoked_has_an_expected_event() {
    // What is made is known only when it is made; what is said here is that no name of the table is without a row.
    for attempt in provoke::ATTEMPTS.iter().flat_map(|family| family.iter()) {
        for call in attempt.calls() {
            assert!(kinds(&call).is_some(), "{}: {call}", attempt.name);
        }
    }
}

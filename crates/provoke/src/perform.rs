//! Makes the calls of a row, in one of the ways, and hands on what the kernel answered.

pub(crate) mod steps;

use std::ffi::{CStr, CString};
use std::io;
use std::net::IpAddr;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::UnixStream;
use std::path::Path;

use libc::c_long;

use crate::folder::Folder;
use crate::sys::ring::Ring;
use crate::sys::{self, Word, call, compat_call, own};
use crate::table::{Argument, Attempt, Step, access};
use crate::way::Way;

/// One call that was made.
pub struct Answer {
    /// As a person writes it.
    pub call: String,
    /// A value of zero or above, or a negative errno.
    pub result: i64,
}

/// Makes the calls of an attempt to which this way applies; what each answered is handed on as soon as it is known.
/// An error says that the preparation failed, and not the call.
pub fn perform(attempt: &Attempt, way: Way, mut tell: impl FnMut(Answer)) -> io::Result<()> {
    let folder = Folder::new()?;
    for step in attempt.steps {
        if let Some(answer) = make(step, way, &folder)? {
            tell(answer);
        }
    }
    Ok(())
}

/// None where the way does not apply to the step.
fn make(step: &Step, way: Way, folder: &Folder) -> io::Result<Option<Answer>> {
    match step {
        Step::Call { text, number, arguments } => {
            let result = match way {
                Way::Plain | Way::Renamed => with_arguments(arguments, folder, |w| call(*number, w))?,
                Way::Compat => {
                    let Some(number) = compat_number(*number) else { return Ok(None) };
                    with_arguments(arguments, folder, |w| compat_call(number, w))?
                }
                _ => return Ok(None),
            };
            Ok(Some(Answer { call: (*text).to_owned(), result }))
        }
        Step::Open { path, flags } => open(path, *flags, way, folder),
        Step::ConnectUnix { path } => connect_unix(path, way, folder),
        Step::ConnectInternet { address, port } => connect_internet(address, *port, way),
        Step::Prepare { run } => run().map(|()| None),
        Step::Own { text, run } => match way {
            Way::Plain | Way::Renamed => {
                let result = run(folder).unwrap_or_else(|error| errno_of(&error));
                Ok(Some(Answer { call: (*text).to_owned(), result }))
            }
            _ => Ok(None),
        },
    }
}

/// The negative errno of an error of the standard library.
pub(crate) fn errno_of(error: &io::Error) -> i64 {
    -i64::from(error.raw_os_error().unwrap_or(libc::EIO))
}

pub(crate) fn text_of(path: &Path) -> io::Result<CString> {
    CString::new(path.as_os_str().as_bytes()).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))
}

fn with_arguments(
    arguments: &[Argument],
    folder: &Folder,
    make: impl FnOnce(&mut [Word<'_>]) -> i64,
) -> io::Result<i64> {
    let file = match arguments.iter().any(|a| matches!(a, Argument::OwnFile)) {
        true => text_of(&folder.file("own")?)?,
        false => CString::default(),
    };
    let mut words: Vec<Word<'_>> = arguments
        .iter()
        .map(|argument| match argument {
            Argument::Int(number) => Word::Number(*number),
            Argument::Null => Word::Null,
            Argument::Text(text) => Word::Text(text),
            Argument::OwnFile => Word::Text(&file),
            Argument::Parent => Word::Number(std::os::unix::process::parent_id().into()),
        })
        .collect();
    Ok(make(&mut words))
}

/// Never a controlling terminal, never waiting, not inherited; and never O_CREAT or O_TRUNC.
const ALWAYS: i32 = libc::O_CLOEXEC | libc::O_NONBLOCK | libc::O_NOCTTY;

fn open(path: &str, flags: i32, way: Way, folder: &Folder) -> io::Result<Option<Answer>> {
    let flags = (flags & !(libc::O_CREAT | libc::O_TRUNC)) | ALWAYS;
    let Some(by) = path_by(path, way, folder)? else { return Ok(None) };
    let text = CString::new(by.as_str())?;
    let (how, result) = match way {
        Way::Openat2 => ("openat2", openat2(&text, flags)),
        Way::IoUring => ("IORING_OP_OPENAT", Ring::new()?.open(&text, flags)),
        Way::Compat => ("int 0x80 openat", compat_call(COMPAT_OPENAT, &mut open_words(&text, flags))),
        Way::PassedDescriptor => match open_below_passed(path, flags)? {
            Some(result) => ("openat of a passed folder", result),
            None => return Ok(None),
        },
        _ => ("open", call(libc::SYS_openat, &mut open_words(&text, flags))),
    };
    drop(own(result));
    Ok(Some(Answer { call: format!("{how}(\"{by}\", {})", access(flags)), result }))
}

const COMPAT_OPENAT: u32 = 295;

fn open_words(path: &CStr, flags: i32) -> [Word<'_>; 4] {
    [Word::Number(libc::AT_FDCWD.into()), Word::Text(path), Word::Number(flags.into()), Word::Number(0)]
}

/// `struct open_how`: flags, mode, resolve.
fn openat2(path: &CStr, flags: i32) -> i64 {
    let mut how = [0u8; 24];
    for (place, byte) in how.iter_mut().zip((flags as u64).to_ne_bytes()) {
        *place = byte;
    }
    call(
        libc::SYS_openat2,
        &mut [
            Word::Number(libc::AT_FDCWD.into()),
            Word::Text(path),
            Word::Memory(&mut how),
            Word::Number(24),
        ],
    )
}

/// Opens the name below its folder, whose descriptor went over a Unix socket. None where there is no such folder.
fn open_below_passed(path: &str, flags: i32) -> io::Result<Option<i64>> {
    let path = Path::new(path);
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else { return Ok(None) };
    let parent = text_of(parent)?;
    let folder = call(libc::SYS_openat, &mut open_words(&parent, libc::O_PATH | libc::O_DIRECTORY));
    let Ok(folder) = own(folder) else { return Ok(None) };
    let (one, other) = UnixStream::pair()?;
    sys::send_descriptor(&one, folder.as_raw_fd())?;
    let received = sys::receive_descriptor(&other)?;
    let name = CString::new(name.as_bytes())?;
    let words = &mut [
        Word::Number(received.as_raw_fd().into()),
        Word::Text(&name),
        Word::Number(flags.into()),
        Word::Number(0),
    ];
    Ok(Some(call(libc::SYS_openat, words)))
}

/// The path as it is named in this way; None where the way is none of paths, or the file is on another file system.
fn path_by(path: &str, way: Way, folder: &Folder) -> io::Result<Option<String>> {
    let own = |name: &str| folder.name(name).to_string_lossy().into_owned();
    Ok(Some(match way {
        Way::Symlink => {
            let link = own("link");
            let _ = std::fs::remove_file(&link);
            std::os::unix::fs::symlink(path, &link)?;
            link
        }
        Way::HardLink => {
            let link = own("hard-link");
            let _ = std::fs::remove_file(&link);
            match std::fs::hard_link(path, &link) {
                Ok(()) => link,
                Err(_) => return Ok(None),
            }
        }
        Way::SelfRoot => format!("/proc/self/root{path}"),
        Way::Parent => format!("/tmp/../proc/..{path}"),
        Way::BindMount => match path.rsplit_once('/') {
            Some((_, name)) => format!("{}/{name}", Way::BOUND),
            None => return Ok(None),
        },
        _ => path.to_owned(),
    }))
}

fn connect_unix(path: &str, way: Way, folder: &Folder) -> io::Result<Option<Answer>> {
    let by = match (path.starts_with('@'), way) {
        (_, Way::HardLink | Way::PassedDescriptor | Way::Openat2) => return Ok(None),
        (true, Way::Plain | Way::Renamed | Way::IoUring | Way::Compat) => path.to_owned(),
        (true, _) => return Ok(None),
        (false, _) => match path_by(path, way, folder)? {
            Some(by) => by,
            None => return Ok(None),
        },
    };
    let mut address = libc::AF_UNIX.to_ne_bytes().get(..2).unwrap_or_default().to_vec();
    match by.strip_prefix('@') {
        Some(name) => {
            address.push(0);
            address.extend_from_slice(name.as_bytes());
        }
        None => {
            address.extend_from_slice(by.as_bytes());
            address.push(0);
        }
    }
    let socket = socket(libc::AF_UNIX)?;
    let (how, result) = connect(&socket, &mut address, way)?;
    Ok(Some(Answer { call: format!("{how}(\"{by}\")"), result }))
}

fn connect_internet(address: &str, port: u16, way: Way) -> io::Result<Option<Answer>> {
    if !matches!(way, Way::Plain | Way::Renamed | Way::IoUring | Way::Compat) {
        return Ok(None);
    }
    let address: IpAddr = address.parse().map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?;
    let family = if address.is_ipv4() { libc::AF_INET } else { libc::AF_INET6 };
    let loopback = if address.is_ipv4() { "127.0.0.1" } else { "::1" };
    let loopback: IpAddr = loopback.parse().map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?;
    let socket = socket(family)?;
    let call_text = |how: &str| format!("{how}({address} port {port})");
    // Where the socket cannot be held to the loopback device and address, nothing is connected.
    let mut held = bind_to_loopback_device(&socket);
    if held >= 0 {
        held = with_address(&socket, libc::SYS_bind, &mut socket_address(loopback, 0));
    }
    if held < 0 {
        return Ok(Some(Answer {
            call: call_text("bind to the loopback address, for connect"),
            result: held,
        }));
    }
    let (how, result) = connect(&socket, &mut socket_address(address, port), way)?;
    Ok(Some(Answer { call: call_text(how), result }))
}

fn bind_to_loopback_device(socket: &OwnedFd) -> i64 {
    call(
        libc::SYS_setsockopt,
        &mut [
            Word::Number(socket.as_raw_fd().into()),
            Word::Number(libc::SOL_SOCKET.into()),
            Word::Number(libc::SO_BINDTODEVICE.into()),
            Word::Memory(&mut b"lo\0".to_owned()),
            Word::Number(3),
        ],
    )
}

/// `struct sockaddr_in` or `sockaddr_in6`.
fn socket_address(address: IpAddr, port: u16) -> Vec<u8> {
    let family = if address.is_ipv4() { libc::AF_INET } else { libc::AF_INET6 } as u16;
    let mut bytes = family.to_ne_bytes().to_vec();
    bytes.extend(port.to_be_bytes());
    match address {
        IpAddr::V4(address) => {
            bytes.extend(address.octets());
            bytes.extend([0; 8]);
        }
        IpAddr::V6(address) => {
            bytes.extend([0; 4]);
            bytes.extend(address.octets());
            bytes.extend([0; 4]);
        }
    }
    bytes
}

fn socket(family: i32) -> io::Result<OwnedFd> {
    let kind = libc::SOCK_STREAM | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
    own(call(
        libc::SYS_socket,
        &mut [Word::Number(family.into()), Word::Number(kind.into()), Word::Number(0)],
    ))
}

fn with_address(socket: &OwnedFd, number: c_long, address: &mut [u8]) -> i64 {
    let length = address.len() as i64;
    call(number, &mut [Word::Number(socket.as_raw_fd().into()), Word::Memory(address), Word::Number(length)])
}

const COMPAT_CONNECT: u32 = 362;

fn connect(socket: &OwnedFd, address: &mut [u8], way: Way) -> io::Result<(&'static str, i64)> {
    Ok(match way {
        Way::IoUring => ("IORING_OP_CONNECT", Ring::new()?.connect(socket, address)),
        Way::Compat => {
            let length = address.len() as i64;
            let words =
                &mut [Word::Number(socket.as_raw_fd().into()), Word::Memory(address), Word::Number(length)];
            ("int 0x80 connect", compat_call(COMPAT_CONNECT, words))
        }
        _ => ("connect", with_address(socket, libc::SYS_connect, address)),
    })
}

/// The number of a call in the 32-bit table (`arch/x86/entry/syscalls/syscall_32.tbl`), for those with at most five
/// arguments that mean the same there.
fn compat_number(number: c_long) -> Option<u32> {
    const TABLE: &[(c_long, u32)] = &[
        (libc::SYS_mount, 21),
        (libc::SYS_ptrace, 26),
        (libc::SYS_kill, 37),
        (libc::SYS_umount2, 52),
        (libc::SYS_chroot, 61),
        (libc::SYS_reboot, 88),
        (libc::SYS_iopl, 110),
        (libc::SYS_swapon, 87),
        (libc::SYS_clone, 120),
        (libc::SYS_delete_module, 129),
        (libc::SYS_personality, 136),
        (libc::SYS_capset, 185),
        (libc::SYS_setresuid, 208),
        (libc::SYS_setuid, 213),
        (libc::SYS_pivot_root, 217),
        (libc::SYS_setxattr, 226),
        (libc::SYS_kexec_load, 283),
        (libc::SYS_add_key, 286),
        (libc::SYS_request_key, 287),
        (libc::SYS_keyctl, 288),
        (libc::SYS_mknodat, 297),
        (libc::SYS_symlinkat, 304),
        (libc::SYS_fchmodat, 306),
        (libc::SYS_unshare, 310),
        (libc::SYS_perf_event_open, 336),
        (libc::SYS_name_to_handle_at, 341),
        (libc::SYS_open_by_handle_at, 342),
        (libc::SYS_setns, 346),
        (libc::SYS_finit_module, 350),
        (libc::SYS_bpf, 357),
        (libc::SYS_socket, 359),
        (libc::SYS_userfaultfd, 374),
    ];
    // From 424 on the numbers are the same in every table.
    if number >= 424 {
        return u32::try_from(number).ok();
    }
    TABLE.iter().find(|(wide, _)| *wide == number).map(|(_, narrow)| *narrow)
}

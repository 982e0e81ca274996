//! The attempts that need more than one call. Each returns what the call in question answered.

use std::ffi::CStr;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Command, Stdio};

use super::text_of;
use crate::folder::Folder;
use crate::sys::{self, Word, call, compat_call, own};

/// What a copy of this program is asked to do: end.
pub(crate) const NOTHING: &str = "nothing";

fn file_systems() -> String {
    fs::read_to_string("/proc/filesystems").unwrap_or_default()
}

/// A file system that is not there is not asked for: the kernel would look for a module.
fn is_known(file_system: &str) -> bool {
    file_systems().lines().any(|line| line.split_whitespace().last() == Some(file_system))
}

fn mount(source: &CStr, target: &CStr, file_system: &CStr, flags: u64, data: &CStr) -> i64 {
    call(
        libc::SYS_mount,
        &mut [
            Word::Text(source),
            Word::Text(target),
            Word::Text(file_system),
            Word::Number(flags as i64),
            Word::Text(data),
        ],
    )
}

/// Onto a regular file, with an option that no file system knows; onto no path where the file system is not known.
pub(crate) fn mount_refused(folder: &Folder, file_system: &CStr) -> io::Result<i64> {
    let target = match is_known(&file_system.to_string_lossy()) {
        true => text_of(&folder.file("target")?)?,
        false => Default::default(),
    };
    Ok(mount(file_system, &target, file_system, 0, c"provoke_unknown_option=1"))
}

/// The first file system of block devices that the kernel already has.
fn block_file_system() -> Option<String> {
    file_systems().lines().find(|l| !l.starts_with("nodev")).map(|l| l.trim().to_owned())
}

const NO_DISK: &CStr = c"/dev/provoke-no-such-disk";

pub(crate) fn mount_of_no_disk(folder: &Folder) -> io::Result<i64> {
    let Some(file_system) = block_file_system() else { return Ok(-i64::from(libc::ENODEV)) };
    let file_system = text_of(Path::new(&file_system))?;
    Ok(mount(NO_DISK, &text_of(folder.path())?, &file_system, libc::MS_RDONLY, c""))
}

const FSOPEN: libc::c_long = 430;
const FSCONFIG: libc::c_long = 431;
const FSMOUNT: libc::c_long = 432;
const FSCONFIG_SET_STRING: i64 = 1;
const FSCONFIG_CMD_CREATE: i64 = 6;

/// What fsconfig(CREATE) answers; fsmount(2) of the context that was not created follows.
pub(crate) fn new_mount_of_no_disk(_folder: &Folder) -> io::Result<i64> {
    let file_system = block_file_system().unwrap_or_else(|| "ext4".to_owned());
    let flags = if is_known(&file_system) { 0 } else { -1 };
    let name = text_of(Path::new(&file_system))?;
    let context = call(FSOPEN, &mut [Word::Text(&name), Word::Number(flags)]);
    let descriptor = own(context).map_or(-1, |fd| i64::from(std::os::fd::IntoRawFd::into_raw_fd(fd)));
    let set = call(
        FSCONFIG,
        &mut [
            Word::Number(descriptor),
            Word::Number(FSCONFIG_SET_STRING),
            Word::Text(c"source"),
            Word::Text(NO_DISK),
            Word::Number(0),
        ],
    );
    let create = call(
        FSCONFIG,
        &mut [
            Word::Number(descriptor),
            Word::Number(FSCONFIG_CMD_CREATE),
            Word::Null,
            Word::Null,
            Word::Number(0),
        ],
    );
    call(FSMOUNT, &mut [Word::Number(descriptor), Word::Number(0), Word::Number(0)]);
    drop(own(descriptor));
    Ok([context, set, create].into_iter().find(|result| *result < 0).unwrap_or(create))
}

/// setns(2) with the mount namespace of the first process, asked for as a network namespace.
pub(crate) fn setns_of_another_kind(_folder: &Folder) -> io::Result<i64> {
    let namespace = File::open("/proc/1/ns/mnt").or_else(|_| File::open("/proc/self/ns/mnt"))?;
    let flags = Word::Number(libc::CLONE_NEWNET.into());
    Ok(call(libc::SYS_setns, &mut [Word::Number(namespace.as_raw_fd().into()), flags]))
}

const CLONE3: libc::c_long = 435;

/// `struct clone_args` begins with the flags.
pub(crate) fn clone3_refused(_folder: &Folder) -> io::Result<i64> {
    let mut arguments = [0u8; 64];
    let flags = (libc::CLONE_NEWUSER | libc::CLONE_FS) as u64;
    for (place, byte) in arguments.iter_mut().zip(flags.to_ne_bytes()) {
        *place = byte;
    }
    Ok(call(CLONE3, &mut [Word::Memory(&mut arguments), Word::Number(64)]))
}

/// Runs a program that ends at once: 0, or the negative errno with which it could not be executed.
fn run(command: &mut Command) -> io::Result<i64> {
    let status = command.stdin(Stdio::null()).stdout(Stdio::null()).status()?;
    Ok(i64::from(status.code().unwrap_or(0)))
}

/// This program in memory that has no name in any folder.
fn program_in_memory() -> io::Result<OwnedFd> {
    let descriptor = own(call(libc::SYS_memfd_create, &mut [Word::Text(c"provoke"), Word::Number(0)]))?;
    let mut program = Vec::new();
    File::open("/proc/self/exe")?.read_to_end(&mut program)?;
    let mut memory = File::from(descriptor);
    memory.write_all(&program)?;
    Ok(memory.into())
}

pub(crate) fn run_from_memory(_folder: &Folder) -> io::Result<i64> {
    let memory = program_in_memory()?;
    sys::run_descriptor(memory.as_raw_fd(), &[c"provoke".to_owned(), c"nothing".to_owned()])
}

pub(crate) fn run_from_memory_by_path(_folder: &Folder) -> io::Result<i64> {
    let memory = program_in_memory()?;
    run(Command::new(format!("/proc/self/fd/{}", memory.as_raw_fd())).arg(NOTHING))
}

pub(crate) fn run_copy(folder: &Folder, name: &str, mode: u32) -> io::Result<i64> {
    run(Command::new(folder.copy_of_this_program(name, mode)?).arg(NOTHING))
}

pub(crate) fn run_in_shared_memory() -> io::Result<i64> {
    let path = format!("/dev/shm/provoke-{}", std::process::id());
    fs::copy("/proc/self/exe", &path)?;
    let result = run(Command::new(&path).arg(NOTHING));
    fs::remove_file(&path)?;
    result
}

pub(crate) fn run_shell() -> io::Result<i64> {
    run(Command::new("/bin/sh").args(["-c", ":"]))
}

pub(crate) fn run_with_preload() -> io::Result<i64> {
    run(Command::new("/proc/self/exe").arg(NOTHING).env("LD_PRELOAD", "/provoke-none.so"))
}

/// Standard input and output are a TCP connection to a listener of its own on the loopback address.
pub(crate) fn run_over_socket() -> io::Result<i64> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let stream = TcpStream::connect(listener.local_addr()?)?;
    let descriptor = || -> io::Result<Stdio> { Ok(OwnedFd::from(stream.try_clone()?).into()) };
    let mut command = Command::new("/proc/self/exe");
    command.arg(NOTHING).stdin(descriptor()?).stdout(descriptor()?).stderr(descriptor()?);
    Ok(i64::from(command.status()?.code().unwrap_or(0)))
}

fn change_directory(folder: &OwnedFd) -> i64 {
    call(libc::SYS_fchdir, &mut [Word::Number(folder.as_raw_fd().into())])
}

/// The way in which CVE-2024-21626 left a container: the working folder named by a descriptor.
pub(crate) fn change_to_descriptor() -> io::Result<i64> {
    let root = File::open("/")?;
    let path = text_of(Path::new(&format!("/proc/self/fd/{}", root.as_raw_fd())))?;
    Ok(call(libc::SYS_chdir, &mut [Word::Text(&path)]))
}

/// Where a test that wants it hands over the descriptor of a folder of its own outside the container.
const HANDOVER: &str = "/provoked/handover.sock";

pub(crate) fn enter_received_folder() -> io::Result<i64> {
    let folder = sys::receive_descriptor(&UnixStream::connect(HANDOVER)?)?;
    let result = change_directory(&folder);
    std::env::set_current_dir("/")?;
    Ok(result)
}

pub(crate) fn rename_to_release_agent(folder: &Folder) -> io::Result<i64> {
    fs::rename(folder.file("agent")?, folder.name("release_agent"))?;
    Ok(0)
}

pub(crate) fn symlink_to_shadow(folder: &Folder) -> io::Result<i64> {
    std::os::unix::fs::symlink("/etc/shadow", folder.name("link"))?;
    Ok(0)
}

pub(crate) fn link_to_passwd(folder: &Folder) -> io::Result<i64> {
    fs::hard_link("/etc/passwd", folder.name("hard-link"))?;
    Ok(0)
}

pub(crate) fn splice_a_byte(folder: &Folder) -> io::Result<i64> {
    let path = folder.name("spliced");
    fs::write(&path, b"x")?;
    let file = File::open(&path)?;
    let (reader, writer) = io::pipe()?;
    let result = call(
        libc::SYS_splice,
        &mut [
            Word::Number(file.as_raw_fd().into()),
            Word::Null,
            Word::Number(writer.as_raw_fd().into()),
            Word::Null,
            Word::Number(1),
            Word::Number(0),
        ],
    );
    drop(reader);
    Ok(result)
}

const FS_IOC_SETFLAGS: i64 = 0x4008_6602;
const SIOCSIFFLAGS: i64 = 0x8914;

fn ioctl_of_null(descriptor: i32, command: i64) -> i64 {
    call(libc::SYS_ioctl, &mut [Word::Number(descriptor.into()), Word::Number(command), Word::Null])
}

pub(crate) fn set_no_flags(folder: &Folder) -> io::Result<i64> {
    let file = File::open(folder.file("flags")?)?;
    Ok(ioctl_of_null(file.as_raw_fd(), FS_IOC_SETFLAGS))
}

pub(crate) fn inject_into_no_terminal(folder: &Folder) -> io::Result<i64> {
    let file = File::open(folder.file("no-terminal")?)?;
    Ok(ioctl_of_null(file.as_raw_fd(), libc::TIOCSTI as i64))
}

fn socket_of(family: i32, kind: i32) -> io::Result<OwnedFd> {
    let kind = kind | libc::SOCK_CLOEXEC;
    own(call(
        libc::SYS_socket,
        &mut [Word::Number(family.into()), Word::Number(kind.into()), Word::Number(0)],
    ))
}

pub(crate) fn set_no_interface() -> io::Result<i64> {
    let socket = socket_of(libc::AF_INET, libc::SOCK_DGRAM)?;
    Ok(ioctl_of_null(socket.as_raw_fd(), SIOCSIFFLAGS))
}

/// A header of RTM_NEWROUTE that says it is longer than what is sent.
pub(crate) fn torn_route_message() -> io::Result<i64> {
    let socket = socket_of(libc::AF_NETLINK, libc::SOCK_RAW)?;
    let mut header = Vec::new();
    header.extend(4096u32.to_ne_bytes());
    header.extend(libc::RTM_NEWROUTE.to_ne_bytes());
    header.extend((libc::NLM_F_REQUEST as u16).to_ne_bytes());
    header.extend([0u8; 8]);
    let length = header.len() as i64;
    Ok(call(
        libc::SYS_sendto,
        &mut [
            Word::Number(socket.as_raw_fd().into()),
            Word::Memory(&mut header),
            Word::Number(length),
            Word::Number(0),
            Word::Null,
            Word::Number(0),
        ],
    ))
}

pub(crate) fn pass_a_descriptor(folder: &Folder) -> io::Result<i64> {
    let file = File::open(folder.file("passed")?)?;
    let (one, other) = UnixStream::pair()?;
    sys::send_descriptor(&one, file.as_raw_fd())?;
    Ok(i64::from(sys::receive_descriptor(&other)?.as_raw_fd()))
}

const CAP_SYS_BOOT: u32 = 22;

/// Takes CAP_SYS_BOOT out of this process's effective and permitted capabilities.
pub(crate) fn give_up_boot() -> io::Result<()> {
    // Version 3 of `struct __user_cap_header_struct`, and the process itself.
    let header = || {
        let mut bytes = 0x2008_0522u32.to_ne_bytes().to_vec();
        bytes.extend(0u32.to_ne_bytes());
        bytes
    };
    let mut sets = [0u8; 24];
    let read = call(libc::SYS_capget, &mut [Word::Memory(&mut header()), Word::Memory(&mut sets)]);
    // Effective, permitted and inheritable, each the lower 32 capabilities, then the same of the upper.
    for set in sets.chunks_exact_mut(4).take(2) {
        let bits = u32::from_ne_bytes((&*set).try_into().unwrap_or_default()) & !(1 << CAP_SYS_BOOT);
        set.copy_from_slice(&bits.to_ne_bytes());
    }
    let written = call(libc::SYS_capset, &mut [Word::Memory(&mut header()), Word::Memory(&mut sets)]);
    match read.min(written) {
        0 => Ok(()),
        failed => Err(io::Error::from_raw_os_error(i32::try_from(-failed).unwrap_or(libc::EIO))),
    }
}

/// `struct timex` begins with the modes; a clock that does not exist is not set.
pub(crate) fn adjust_no_clock() -> i64 {
    let mut change = [0u8; 208];
    let [modes, ..] = &mut change;
    *modes = 1;
    call(libc::SYS_clock_adjtime, &mut [Word::Number(63), Word::Memory(&mut change)])
}

const COMPAT_SOCKETCALL: u32 = 102;

pub(crate) fn compat_socketcall() -> i64 {
    compat_call(COMPAT_SOCKETCALL, &mut [Word::Number(0), Word::Null])
}

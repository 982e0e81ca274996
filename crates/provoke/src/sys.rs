//! The few wrappers of system calls that need `unsafe`: a call with the arguments of the table, the 32-bit entry, a
//! descriptor that is sent to oneself, a file executed by its descriptor. Nothing else in the crate is unsafe.
#![allow(
    unsafe_code,
    reason = "system calls that no safe library makes with arguments that are meant to be refused"
)]

pub(crate) mod ring;

use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;

use libc::{c_int, c_long, c_void};

/// An argument of a system call, whose memory lives as long as the call.
pub(crate) enum Word<'a> {
    Number(i64),
    Null,
    Text(&'a CStr),
    /// Memory that the kernel reads, and may write up to its length.
    Memory(&'a mut [u8]),
}

/// What the kernel answers: a value of zero or above, or a negative errno.
pub(crate) fn call(number: c_long, words: &mut [Word<'_>]) -> i64 {
    let mut raw = [0usize; 6];
    for (place, word) in raw.iter_mut().zip(words) {
        *place = match word {
            Word::Number(number) => *number as usize,
            Word::Null => 0,
            Word::Text(text) => text.as_ptr() as usize,
            Word::Memory(bytes) => bytes.as_mut_ptr() as usize,
        };
    }
    let [a, b, c, d, e, f] = raw;
    // SAFETY: the arguments are numbers, NULL, or addresses of strings and buffers borrowed for the call. The callers
    // are the rows of the table, each of which says why the call changes nothing, and the steps in `perform`, which
    // pass buffers as long as the call may write.
    answer(unsafe { libc::syscall(number, a, b, c, d, e, f) })
}

fn answer(result: c_long) -> i64 {
    if result == -1 { -i64::from(last_errno()) } else { result }
}

fn last_errno() -> c_int {
    io::Error::last_os_error().raw_os_error().unwrap_or(libc::EIO)
}

/// Memory below 4 GiB, where pointers of 32-bit calls can point.
struct LowMemory {
    base: *mut u8,
    used: usize,
}

const LOW_MEMORY: usize = 1 << 16;

impl LowMemory {
    #[cfg(target_arch = "x86_64")]
    fn new() -> io::Result<LowMemory> {
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_32BIT;
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        // SAFETY: an anonymous mapping at an address of the kernel's choice touches no existing memory.
        let base = unsafe { libc::mmap(std::ptr::null_mut(), LOW_MEMORY, protection, flags, -1, 0) };
        if base == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        Ok(LowMemory { base: base.cast(), used: 0 })
    }

    /// Copies bytes there; their address, or None where there is no room.
    fn place(&mut self, bytes: &[u8]) -> Option<u32> {
        let start = self.used;
        let end = start.checked_add(bytes.len())?.next_multiple_of(8);
        if end > LOW_MEMORY {
            return None;
        }
        self.used = end;
        // SAFETY: the range was just reserved within the mapping, and nothing else points into it.
        unsafe { self.base.add(start).copy_from_nonoverlapping(bytes.as_ptr(), bytes.len()) };
        u32::try_from(self.base as usize + start).ok()
    }
}

impl Drop for LowMemory {
    fn drop(&mut self) {
        // SAFETY: the mapping is ours and no reference into it is left.
        unsafe { libc::munmap(self.base.cast::<c_void>(), LOW_MEMORY) };
    }
}

/// A call by the 32-bit entry, with at most five arguments. A kernel without that entry ends the process by SIGSEGV.
#[cfg(target_arch = "x86_64")]
pub(crate) fn compat_call(number: u32, words: &mut [Word<'_>]) -> i64 {
    let Ok(mut memory) = LowMemory::new() else { return -i64::from(last_errno()) };
    let mut raw = [0u32; 5];
    for (place, word) in raw.iter_mut().zip(words) {
        let placed = match word {
            Word::Number(number) => Some(*number as u32),
            Word::Null => Some(0),
            Word::Text(text) => memory.place(text.to_bytes_with_nul()),
            Word::Memory(bytes) => memory.place(bytes),
        };
        let Some(placed) = placed else { return -i64::from(libc::E2BIG) };
        *place = placed;
    }
    let [a, b, c, d, e] = raw;
    let result: i32;
    // SAFETY: as for `call`; the strings and buffers were copied below 4 GiB and live until the end of this function.
    // LLVM keeps rbx for itself, so it is exchanged around the entry, which keeps all registers but r8 to r11.
    unsafe {
        std::arch::asm!(
            "xchg {first:r}, rbx",
            "int 0x80",
            "xchg {first:r}, rbx",
            first = inout(reg) u64::from(a) => _,
            inout("eax") number as i32 => result,
            in("ecx") b,
            in("edx") c,
            in("esi") d,
            in("edi") e,
            lateout("r8") _,
            lateout("r9") _,
            lateout("r10") _,
            lateout("r11") _,
        );
    }
    i64::from(result)
}

/// Only x86_64 has that entry.
#[cfg(not(target_arch = "x86_64"))]
pub(crate) fn compat_call(_number: u32, _words: &mut [Word<'_>]) -> i64 {
    -i64::from(libc::ENOSYS)
}

/// Takes a descriptor that a call returned.
pub(crate) fn own(descriptor: i64) -> io::Result<OwnedFd> {
    match RawFd::try_from(descriptor) {
        // SAFETY: the caller has it from the kernel just now, and nobody else has it.
        Ok(number) if number >= 0 => Ok(unsafe { OwnedFd::from_raw_fd(number) }),
        _ => Err(io::Error::from_raw_os_error(i32::try_from(-descriptor).unwrap_or(libc::EBADF))),
    }
}

/// Room for one descriptor in a control message, aligned as `cmsghdr` asks.
#[repr(C, align(8))]
struct Control([u8; 32]);

/// Sends a descriptor over a Unix socket (SCM_RIGHTS).
pub(crate) fn send_descriptor(over: &UnixStream, descriptor: RawFd) -> io::Result<()> {
    let mut byte = [0u8];
    let mut control = Control([0; 32]);
    let mut part = libc::iovec { iov_base: byte.as_mut_ptr().cast(), iov_len: 1 };
    // SAFETY: all zeroes is a valid `msghdr`; its pointers are to locals that outlive the call; the control buffer has
    // room for one descriptor, so CMSG_FIRSTHDR is not NULL.
    let sent = unsafe {
        let mut message: libc::msghdr = std::mem::zeroed();
        message.msg_iov = &raw mut part;
        message.msg_iovlen = 1;
        message.msg_control = control.0.as_mut_ptr().cast();
        message.msg_controllen = libc::CMSG_SPACE(size_of::<RawFd>() as u32) as _;
        let header = libc::CMSG_FIRSTHDR(&message);
        (*header).cmsg_level = libc::SOL_SOCKET;
        (*header).cmsg_type = libc::SCM_RIGHTS;
        (*header).cmsg_len = libc::CMSG_LEN(size_of::<RawFd>() as u32) as _;
        libc::CMSG_DATA(header).cast::<RawFd>().write_unaligned(descriptor);
        libc::sendmsg(over.as_raw_fd(), &message, 0)
    };
    if sent < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Receives a descriptor from a Unix socket.
pub(crate) fn receive_descriptor(from: &UnixStream) -> io::Result<OwnedFd> {
    let mut byte = [0u8];
    let mut control = Control([0; 32]);
    let mut part = libc::iovec { iov_base: byte.as_mut_ptr().cast(), iov_len: 1 };
    // SAFETY: as in `send_descriptor`; a header is read only where the kernel says that it wrote one of that type, and
    // the descriptor in it is ours from then on.
    unsafe {
        let mut message: libc::msghdr = std::mem::zeroed();
        message.msg_iov = &raw mut part;
        message.msg_iovlen = 1;
        message.msg_control = control.0.as_mut_ptr().cast();
        message.msg_controllen = size_of::<Control>() as _;
        if libc::recvmsg(from.as_raw_fd(), &mut message, libc::MSG_CMSG_CLOEXEC) < 0 {
            return Err(io::Error::last_os_error());
        }
        let header = libc::CMSG_FIRSTHDR(&message);
        if header.is_null() || (*header).cmsg_type != libc::SCM_RIGHTS {
            return Err(io::Error::from_raw_os_error(libc::EBADMSG));
        }
        Ok(OwnedFd::from_raw_fd(libc::CMSG_DATA(header).cast::<RawFd>().read_unaligned()))
    }
}

/// Executes the file of a descriptor in a child and waits for its end: execveat(2) with an empty path. What the call
/// answered where it failed, or 0.
pub(crate) fn run_descriptor(file: RawFd, arguments: &[CString]) -> io::Result<i64> {
    let mut pointers: Vec<*const libc::c_char> = arguments.iter().map(|a| a.as_ptr()).collect();
    pointers.push(std::ptr::null());
    let environment = [std::ptr::null::<libc::c_char>()];
    // SAFETY: this program has one thread. The child makes two system calls and leaves without running destructors;
    // the vectors end with NULL and outlive the call.
    let child = unsafe { libc::fork() };
    if child == 0 {
        // SAFETY: as above.
        unsafe {
            let flags = libc::AT_EMPTY_PATH;
            let name = c"".as_ptr();
            libc::syscall(libc::SYS_execveat, file, name, pointers.as_ptr(), environment.as_ptr(), flags);
            libc::_exit(last_errno().clamp(1, 125));
        }
    }
    if child < 0 {
        return Err(io::Error::last_os_error());
    }
    let mut status = 0;
    // SAFETY: the child is ours and not yet waited for.
    if unsafe { libc::waitpid(child, &mut status, 0) } < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(if libc::WIFEXITED(status) { -i64::from(libc::WEXITSTATUS(status)) } else { -i64::from(libc::EINTR) })
}

/// A page of this process's own memory, written and then made executable, and unmapped; nothing in it is run.
pub(crate) fn make_a_page_executable() -> i64 {
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
    // SAFETY: an anonymous mapping of this function's own; nobody else has its address, and it is unmapped here.
    unsafe {
        let page = libc::mmap(std::ptr::null_mut(), 4096, libc::PROT_READ | libc::PROT_WRITE, flags, -1, 0);
        if page == libc::MAP_FAILED {
            return -i64::from(last_errno());
        }
        page.cast::<u8>().write(0xc3);
        let result = answer(libc::mprotect(page, 4096, libc::PROT_READ | libc::PROT_EXEC).into());
        libc::munmap(page, 4096);
        result
    }
}

//! One request at a time through io_uring, by raw system calls (io_uring(7), `include/uapi/linux/io_uring.h`).

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::atomic::{AtomicU32, Ordering};

use super::{Word, call, own};

/// `IORING_OP_CONNECT`, `IORING_OP_OPENAT`.
const CONNECT: u8 = 16;
const OPENAT: u8 = 18;

const OFFSET_OF_COMPLETIONS: i64 = 0x800_0000;
const OFFSET_OF_ENTRIES: i64 = 0x1000_0000;
const ENTER_GET_EVENTS: i64 = 1;

/// The numbers of `struct io_uring_params` that are needed, as words of 32 bits.
struct Parameters([u32; 30]);

impl Parameters {
    fn word(&self, index: usize) -> usize {
        self.0.get(index).copied().unwrap_or(0) as usize
    }
    fn submission(&self, index: usize) -> usize {
        self.word(10 + index)
    }
    fn completion(&self, index: usize) -> usize {
        self.word(20 + index)
    }
}

struct Mapping {
    base: *mut u8,
    length: usize,
}

impl Mapping {
    fn new(ring: &OwnedFd, offset: i64, length: usize) -> io::Result<Mapping> {
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        let flags = libc::MAP_SHARED | libc::MAP_POPULATE;
        // SAFETY: a mapping at an address of the kernel's choice touches no existing memory.
        let base =
            unsafe { libc::mmap(std::ptr::null_mut(), length, protection, flags, ring.as_raw_fd(), offset) };
        if base == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        Ok(Mapping { base: base.cast(), length })
    }

    fn counter(&self, offset: usize) -> &AtomicU32 {
        assert!(offset + 4 <= self.length, "the kernel gave an offset outside its ring");
        // SAFETY: within the mapping, aligned by the kernel, and shared with the kernel as an atomic word.
        unsafe { &*self.base.add(offset).cast::<AtomicU32>() }
    }

    fn write(&self, bytes: &[u8]) {
        assert!(bytes.len() <= self.length);
        // SAFETY: within the mapping; the kernel reads it only after the tail has moved.
        unsafe { self.base.copy_from_nonoverlapping(bytes.as_ptr(), bytes.len()) };
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: the mapping is ours and no reference into it is left.
        unsafe { libc::munmap(self.base.cast(), self.length) };
    }
}

/// A ring of one entry.
pub(crate) struct Ring {
    descriptor: OwnedFd,
    parameters: Parameters,
    submissions: Mapping,
    completions: Mapping,
    entries: Mapping,
}

impl Ring {
    pub(crate) fn new() -> io::Result<Ring> {
        let mut bytes = [0u8; 120];
        let descriptor =
            own(call(libc::SYS_io_uring_setup, &mut [Word::Number(1), Word::Memory(&mut bytes)]))?;
        let mut words = [0; 30];
        for (word, four) in words.iter_mut().zip(bytes.chunks_exact(4)) {
            *word = u32::from_ne_bytes(four.try_into().unwrap_or_default());
        }
        let parameters = Parameters(words);
        let submissions =
            Mapping::new(&descriptor, 0, parameters.submission(6) + parameters.word(0) * size_of::<u32>())?;
        let completions = Mapping::new(
            &descriptor,
            OFFSET_OF_COMPLETIONS,
            parameters.completion(5) + parameters.word(1) * COMPLETION,
        )?;
        let entries = Mapping::new(&descriptor, OFFSET_OF_ENTRIES, parameters.word(0) * ENTRY)?;
        Ok(Ring { descriptor, parameters, submissions, completions, entries })
    }

    /// Opens a path as openat(2) does with AT_FDCWD.
    pub(crate) fn open(&self, path: &std::ffi::CStr, flags: i32) -> i64 {
        self.request(OPENAT, libc::AT_FDCWD, 0, path.as_ptr() as u64, 0, flags as u32, true)
    }

    /// Connects a socket to an address, or begins to: EINPROGRESS, and the request ends with the ring.
    pub(crate) fn connect(&self, socket: &OwnedFd, address: &[u8]) -> i64 {
        self.request(CONNECT, socket.as_raw_fd(), address.len() as u64, address.as_ptr() as u64, 0, 0, false)
    }

    #[expect(clippy::too_many_arguments, reason = "the fields of `struct io_uring_sqe`")]
    fn request(
        &self,
        code: u8,
        descriptor: i32,
        offset: u64,
        address: u64,
        length: u32,
        flags: u32,
        wait: bool,
    ) -> i64 {
        let mut entry = [0u8; ENTRY];
        let mut put = |at: usize, bytes: &[u8]| {
            for (place, byte) in entry.iter_mut().skip(at).zip(bytes) {
                *place = *byte;
            }
        };
        put(0, &[code]);
        put(4, &descriptor.to_ne_bytes());
        put(8, &offset.to_ne_bytes());
        put(16, &address.to_ne_bytes());
        put(24, &length.to_ne_bytes());
        put(28, &flags.to_ne_bytes());
        self.entries.write(&entry);
        // The array of indices holds one zero: the only entry.
        self.submissions.counter(self.parameters.submission(1)).fetch_add(1, Ordering::Release);
        let entered = call(
            libc::SYS_io_uring_enter,
            &mut [
                Word::Number(self.descriptor.as_raw_fd().into()),
                Word::Number(1),
                Word::Number(wait.into()),
                Word::Number(ENTER_GET_EVENTS),
                Word::Null,
                Word::Number(8),
            ],
        );
        if entered < 0 {
            return entered;
        }
        let head = self.completions.counter(self.parameters.completion(0));
        if self.completions.counter(self.parameters.completion(1)).load(Ordering::Acquire)
            == head.load(Ordering::Acquire)
        {
            return -i64::from(libc::EINPROGRESS);
        }
        let mask = self.completions.counter(self.parameters.completion(2)).load(Ordering::Relaxed);
        let index = (head.load(Ordering::Acquire) & mask) as usize;
        let result = self.completions.counter(self.parameters.completion(5) + index * COMPLETION + 8);
        let answer = i64::from(result.load(Ordering::Acquire) as i32);
        head.fetch_add(1, Ordering::Release);
        answer
    }
}

/// Bytes of `struct io_uring_sqe` and `struct io_uring_cqe`.
const ENTRY: usize = 64;
const COMPLETION: usize = 16;

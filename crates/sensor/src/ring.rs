//! Reads a BPF ring buffer (`kernel/bpf/ringbuf.c`) where it lies: two mapped pages of positions and the data, mapped
//! twice in a row by the kernel so that no record wraps. Own code instead of libbpf's reader, because that one keeps its
//! callback for its lifetime, and because the lanes are to be read in turn, the rare one first.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicU64, Ordering};

/// Bytes before each record: its length with two flags, and its page.
const HEADER: u64 = 8;
const BUSY: u32 = 1 << 31;
const DISCARDED: u32 = 1 << 30;

pub(crate) struct Ring {
    fd: OwnedFd,
    /// The page that holds how far was read: ours to write.
    consumer: Mapping,
    /// The page that holds how far was written, then the data twice.
    producer: Mapping,
    page: usize,
    size: usize,
}

struct Mapping {
    address: *mut libc::c_void,
    length: usize,
}

impl Mapping {
    fn new(fd: BorrowedFd<'_>, length: usize, offset: usize, writable: bool) -> io::Result<Mapping> {
        let protection = if writable { libc::PROT_READ | libc::PROT_WRITE } else { libc::PROT_READ };
        // SAFETY: a fresh shared mapping at an address of the kernel's choice; nothing else is touched.
        let address = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                length,
                protection,
                libc::MAP_SHARED,
                fd.as_raw_fd(),
                libc::off_t::try_from(offset).map_err(io::Error::other)?,
            )
        };
        if address == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        Ok(Mapping { address, length })
    }

    fn position(&self) -> &AtomicU64 {
        // SAFETY: the mapping is at least a page, page aligned, lives as long as `self`, and the kernel and this process
        // both access the number atomically.
        unsafe { &*self.address.cast::<AtomicU64>() }
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: address and length are those of the mapping made in `new`, and no reference outlives `self`.
        unsafe {
            libc::munmap(self.address, self.length);
        }
    }
}

// SAFETY: the addresses are of shared mappings that belong to this value alone; nothing in it is tied to a thread.
unsafe impl Send for Ring {}

impl Ring {
    /// `size` is the map's, in bytes: a power of two and a multiple of a page.
    pub(crate) fn new(fd: BorrowedFd<'_>, size: usize) -> io::Result<Ring> {
        // SAFETY: asks for a constant of the machine.
        let page = usize::try_from(unsafe { libc::sysconf(libc::_SC_PAGESIZE) }).map_err(io::Error::other)?;
        let consumer = Mapping::new(fd, page, 0, true)?;
        let producer = Mapping::new(fd, page + 2 * size, page, false)?;
        Ok(Ring { fd: fd.try_clone_to_owned()?, consumer, producer, page, size })
    }

    /// Bytes that wait.
    pub(crate) fn waiting(&self) -> u64 {
        let read = self.consumer.position().load(Ordering::Relaxed);
        self.producer.position().load(Ordering::Acquire).saturating_sub(read)
    }

    /// Gives up to `most` records to `handle`; how many there were.
    pub(crate) fn read(&mut self, most: usize, handle: &mut dyn FnMut(&[u8])) -> usize {
        let mut at = self.consumer.position().load(Ordering::Relaxed);
        let mut count = 0;
        while count < most {
            if at >= self.producer.position().load(Ordering::Acquire) {
                break;
            }
            let offset = self.page + (at as usize & (self.size - 1));
            // SAFETY: `offset` is below page + size, multiples of 8 apart, and the mapping reaches to page + 2 * size;
            // the kernel writes this word before it moves the producer's position, and clears BUSY with release.
            let word = unsafe {
                let pointer =
                    self.producer.address.cast::<u8>().add(offset).cast::<std::sync::atomic::AtomicU32>();
                (*pointer).load(Ordering::Acquire)
            };
            if word & BUSY != 0 {
                break;
            }
            let length = (word & !DISCARDED) as usize;
            if length > self.size {
                break;
            }
            if word & DISCARDED == 0 {
                // SAFETY: `length` bytes follow the header inside the doubled mapping, and the kernel does not write
                // there again before the consumer's position has passed them, which happens below.
                let bytes = unsafe {
                    let pointer = self.producer.address.cast::<u8>().add(offset + HEADER as usize);
                    std::slice::from_raw_parts(pointer, length)
                };
                handle(bytes);
                count += 1;
            }
            at += (length as u64 + HEADER).next_multiple_of(8);
            self.consumer.position().store(at, Ordering::Release);
        }
        count
    }
}

impl AsFd for Ring {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// Waits until one of the rings has something, or the time is over.
pub(crate) fn wait(rings: [&Ring; 2], timeout: std::time::Duration) -> io::Result<()> {
    let mut polled =
        rings.map(|ring| libc::pollfd { fd: ring.as_fd().as_raw_fd(), events: libc::POLLIN, revents: 0 });
    let milliseconds = libc::c_int::try_from(timeout.as_millis()).unwrap_or(libc::c_int::MAX);
    // SAFETY: the array outlives the call, and its length is given.
    let done = unsafe { libc::poll(polled.as_mut_ptr(), 2, milliseconds) };
    if done < 0 {
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
    Ok(())
}

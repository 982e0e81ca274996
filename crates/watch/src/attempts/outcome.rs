//! Whether the kernel did what was asked, from what the call returned.

use sensor::event::{Entry, Event, What};

use crate::alert::Outcome;

const NOT_FOUND: i32 = 2;
const IN_PROGRESS: i32 = 115;

/// Names of errno(3) on Linux (`include/uapi/asm-generic/errno.h`, the numbers of x86 and arm64).
const NAMES: &[(i32, &str)] = &[
    (1, "EPERM"),
    (NOT_FOUND, "ENOENT"),
    (3, "ESRCH"),
    (4, "EINTR"),
    (5, "EIO"),
    (6, "ENXIO"),
    (7, "E2BIG"),
    (8, "ENOEXEC"),
    (9, "EBADF"),
    (11, "EAGAIN"),
    (12, "ENOMEM"),
    (13, "EACCES"),
    (14, "EFAULT"),
    (15, "ENOTBLK"),
    (16, "EBUSY"),
    (17, "EEXIST"),
    (18, "EXDEV"),
    (19, "ENODEV"),
    (20, "ENOTDIR"),
    (21, "EISDIR"),
    (22, "EINVAL"),
    (23, "ENFILE"),
    (24, "EMFILE"),
    (25, "ENOTTY"),
    (26, "ETXTBSY"),
    (27, "EFBIG"),
    (28, "ENOSPC"),
    (29, "ESPIPE"),
    (30, "EROFS"),
    (31, "EMLINK"),
    (32, "EPIPE"),
    (36, "ENAMETOOLONG"),
    (38, "ENOSYS"),
    (40, "ELOOP"),
    (74, "EBADMSG"),
    (88, "ENOTSOCK"),
    (91, "EPROTOTYPE"),
    (93, "EPROTONOSUPPORT"),
    (94, "ESOCKTNOSUPPORT"),
    (95, "EOPNOTSUPP"),
    (97, "EAFNOSUPPORT"),
    (98, "EADDRINUSE"),
    (101, "ENETUNREACH"),
    (104, "ECONNRESET"),
    (110, "ETIMEDOUT"),
    (111, "ECONNREFUSED"),
    (113, "EHOSTUNREACH"),
    (IN_PROGRESS, "EINPROGRESS"),
    (126, "ENOKEY"),
];

/// What was asked for is not there: a wall has not been tried.
const ABSENT: &[i32] = &[NOT_FOUND, 6, 19, 20, 38, 97, 101, 110, 111, 113];

pub fn errno_name(number: i32) -> String {
    NAMES
        .iter()
        .find(|(n, _)| *n == number)
        .map_or_else(|| format!("errno {number}"), |(_, name)| (*name).to_owned())
}

pub fn of(event: &Event) -> Outcome {
    // A request is seen when io_uring takes it, before it is carried out (`io_uring_submit_req`).
    if matches!(event.what, What::IoUringRequest { .. }) && event.result == 0 {
        return Outcome::NotKnown;
    }
    let Ok(errno) = i32::try_from(-event.result) else { return Outcome::Done };
    match (errno, event.entry) {
        (IN_PROGRESS, _) => Outcome::NotKnown,
        (..=0, Entry::Before) => Outcome::NotKnown,
        (..=0, _) => Outcome::Done,
        (errno, _) => Outcome::Refused { errno, name: errno_name(errno) },
    }
}

/// Refused because there is nothing there, rather than by a wall.
pub fn is_absent(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Refused { errno, .. } if ABSENT.contains(errno))
}

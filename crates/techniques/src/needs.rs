//! What known images need, so that advice for an image is what that image takes, and the values that remedies set
//! where the image is not known.

use confinement::Confinement;

use crate::remedy::LimitKind;

/// The user that `run-as-non-root` sets where the image names none that is known: distroless images' `nonroot`, an
/// id that owns nothing on a stock host.
pub const NON_ROOT: (u32, u32) = (65532, 65532);

/// User and group to run as.
pub fn user(_c: &Confinement) -> (u32, u32) {
    NON_ROOT
}

/// Where a container with a read-only root file system gets a tmpfs.
pub fn writable_paths(_c: &Confinement) -> Vec<&'static str> {
    vec!["/tmp", "/run"]
}

/// The limit that is set where there is none: bytes, thousandths of a processor, or processes.
pub fn limit(kind: LimitKind, _c: &Confinement) -> u64 {
    match kind {
        LimitKind::Memory => 1 << 30,
        LimitKind::Cpu => 2000,
        LimitKind::Pids => 512,
    }
}

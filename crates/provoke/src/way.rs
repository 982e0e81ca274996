//! The ways in which one and the same attempt is made.

/// How an attempt is made, so that a sensor that matches text or the numbers of one table misses it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// As the table says it.
    Plain,
    /// By a copy of this program under another name.
    Renamed,
    /// By a symbolic link to the path.
    Symlink,
    /// By a hard link to the file.
    HardLink,
    /// Below `/proc/self/root`.
    SelfRoot,
    /// With `..` in the path.
    Parent,
    /// Relative to the folder, whose descriptor came over a Unix socket.
    PassedDescriptor,
    /// By openat2(2).
    Openat2,
    /// As a request of io_uring.
    IoUring,
    /// By the 32-bit system call, `int $0x80`.
    Compat,
    /// Through the folder that whoever started the container bound to [`Way::BOUND`].
    BindMount,
}

impl Way {
    /// Where a folder of the host, or of the container, is bound for [`Way::BindMount`].
    pub const BOUND: &str = "/provoked/bound";

    pub const ALL: [Way; 11] = [
        Way::Plain,
        Way::Renamed,
        Way::Symlink,
        Way::HardLink,
        Way::SelfRoot,
        Way::Parent,
        Way::PassedDescriptor,
        Way::Openat2,
        Way::IoUring,
        Way::Compat,
        Way::BindMount,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Way::Plain => "plain",
            Way::Renamed => "renamed",
            Way::Symlink => "symlink",
            Way::HardLink => "hard-link",
            Way::SelfRoot => "self-root",
            Way::Parent => "parent",
            Way::PassedDescriptor => "passed-descriptor",
            Way::Openat2 => "openat2",
            Way::IoUring => "io-uring",
            Way::Compat => "compat",
            Way::BindMount => "bind-mount",
        }
    }

    pub fn parse(name: &str) -> Option<Way> {
        Way::ALL.into_iter().find(|w| w.name() == name)
    }
}

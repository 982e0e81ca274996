//! What a detector must know beside the event: whose a process, a namespace, an address or a file is. Answered by the
//! pipeline from process state and container metadata, and by the table's cases for the tests.

use std::borrow::Cow;
use std::net::IpAddr;

use sensor::event::{ContainerKey, File, Namespaces, Task};

/// Whose something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner {
    Host,
    Container(ContainerKey),
    NotKnown,
}

/// A file of the host that a container sees.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostFile<'a> {
    /// Where the host has it, links resolved.
    pub path: Cow<'a, str>,
    /// The host's path of the mount that shows it to the container: what was bound. None where not known.
    pub mount: Option<Cow<'a, str>>,
}

/// Every answer may be "not known"; no detector takes that for a yes.
pub trait Context {
    /// The host's namespaces; 0 where not known.
    fn host(&self) -> &Namespaces;

    /// Whose a process is.
    fn owner(&self, _task: &Task) -> Owner {
        Owner::NotKnown
    }

    /// Whose a mount namespace is, by its inode number.
    fn mount_namespace(&self, inode: u32) -> Owner {
        if inode != 0 && inode == self.host().mount { Owner::Host } else { Owner::NotKnown }
    }

    /// Whose root file system lies on a device of its own, an overlay for one.
    fn device(&self, _device: (u32, u32)) -> Owner {
        Owner::NotKnown
    }

    /// Whose an address is: that of another container, or one that reaches the host.
    fn address(&self, _address: IpAddr) -> Owner {
        Owner::NotKnown
    }

    /// What a process executes.
    fn executable(&self, _task: &Task) -> Option<&File> {
        None
    }

    /// The host's path of a file that a container reached. None where not known, and for what is the container's own:
    /// its root file system, wherever the engine keeps it, and its tmpfs mounts.
    fn host_file(&self, _container: ContainerKey, _file: &File) -> Option<HostFile<'_>> {
        None
    }

    /// The container's cgroup, from the root of the hierarchy.
    fn cgroup(&self, _container: ContainerKey) -> Option<&str> {
        None
    }

    /// Where the container finds its cluster's API server.
    fn api_server(&self, _container: ContainerKey) -> Option<(IpAddr, u16)> {
        None
    }
}

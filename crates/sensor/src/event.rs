//! What the sensor tells: one event, typed, as the kernel's own objects had it. Written by the loader from the records
//! of the BPF programs; read by `watch`. Nothing here knows what an event means.
//!
//! Numbers of flags and modes are the kernel's (`include/uapi/linux`). A path or string says where it was read:
//! from a kernel object, or from the memory of the process, which could change it between check and use.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

pub use crate::kinds::Kind;

/// One thing that happened, or `count` of the same kind folded into one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// Nanoseconds since boot, suspended time included (`CLOCK_BOOTTIME`); of the last one where folded.
    pub time: u64,
    pub lane: Lane,
    pub cpu: u32,
    pub actor: Actor,
    /// How many times it happened since it was last told: 1, or more where repeats were folded in the kernel.
    pub count: u32,
    pub entry: Entry,
    /// What the call returned: a value of zero or above, or a negative errno.
    pub result: i64,
    pub what: What,
}

/// The buffer an event came through. Rare security events never share one with bulk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Lane {
    Rare,
    Bulk,
}

/// How it entered the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Entry {
    /// A system call of the machine's own architecture, by its number.
    SystemCall(u32),
    /// A 32-bit system call, by its number in that table.
    Compat(u32),
    /// An io_uring request, by its opcode.
    IoUring(u8),
    /// No call of the task explains it: the kernel's own doing, or a change found by comparing.
    Kernel,
    /// Found by a task iterator or in /proc when the sensor started: from before.
    Before,
}

/// A process or thread, for as long as the machine runs: numbers come round, start times do not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(default)]
pub struct Task {
    /// The process (`tgid`) as the initial pid namespace numbers it.
    pub process: u32,
    /// The thread (`tid`) as the initial pid namespace numbers it.
    pub thread: u32,
    /// When the process's leader started, nanoseconds since boot.
    pub start: u64,
}

/// A container for as long as the sensor runs: given when its first process executes in a mount namespace of its own,
/// inherited by fork, kept when a task enters other namespaces.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ContainerKey(pub u64);

/// A file by what the kernel knows it by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default)]
pub struct FileId {
    /// Device of the file system: major and minor.
    pub device: (u32, u32),
    pub inode: u64,
}

/// Inode numbers of the namespaces a task is in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Namespaces {
    pub user: u32,
    pub mount: u32,
    pub pid: u32,
    pub network: u32,
    pub ipc: u32,
    pub uts: u32,
    pub cgroup: u32,
}

/// What a task may do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Credentials {
    /// As the initial user namespace numbers them: real, effective, saved, of the file system.
    pub uid: u32,
    pub euid: u32,
    pub suid: u32,
    pub fsuid: u32,
    pub gid: u32,
    pub egid: u32,
    /// Capability sets, bit N for capability N.
    pub effective: u64,
    pub permitted: u64,
    pub inheritable: u64,
    pub bounding: u64,
    pub ambient: u64,
    pub no_new_privileges: bool,
    /// 0 off, 1 strict, 2 filter.
    pub seccomp: u8,
    /// The user namespace these capabilities count in.
    pub user_namespace: u32,
}

/// Who did it, read from the task at that moment.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Actor {
    pub task: Task,
    pub parent: Task,
    /// As its innermost pid namespace numbers them.
    pub process_inside: u32,
    pub thread_inside: u32,
    /// `comm`: 15 bytes at most, and the task's to choose.
    pub name: String,
    pub credentials: Credentials,
    /// `4294967295` where nobody logged in.
    pub login_uid: u32,
    pub namespaces: Namespaces,
    /// Of the version 2 hierarchy.
    pub cgroup: u64,
    /// None on the host, and while a runtime still prepares the container.
    pub container: Option<ContainerKey>,
    pub executable: FileId,
    pub kernel_thread: bool,
    /// A worker of io_uring, which acts for its process.
    pub io_worker: bool,
}

/// A string with its source. In JSON a plain string is one from the kernel.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(from = "WrittenText")]
pub struct Text {
    /// Bytes that are no UTF-8 are replaced.
    pub text: String,
    pub source: Source,
    /// The kernel's buffer was too small; only the beginning (of a path: the end) is here.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub cut: bool,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum WrittenText {
    Plain(String),
    Whole {
        text: String,
        #[serde(default)]
        source: Source,
        #[serde(default)]
        cut: bool,
    },
}

impl From<WrittenText> for Text {
    fn from(written: WrittenText) -> Text {
        match written {
            WrittenText::Plain(text) => Text { text, ..Text::default() },
            WrittenText::Whole { text, source, cut } => Text { text, source, cut },
        }
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Source {
    /// A kernel object: dentry, mount, `struct filename` that the kernel already copied.
    #[default]
    Kernel,
    /// The memory of the process, read again after the kernel read it: the process may have changed it.
    User,
}

/// A file as it was opened or named.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct File {
    /// From the root of the mount namespace of the task; for a call that failed, what the task asked for.
    pub path: Text,
    /// From the root of its own file system (the dentry up to the superblock's root), which no mount, link or
    /// descriptor changes: `/sys/kernel/core_pattern` of proc. Empty where not known.
    pub path_in_file_system: Text,
    pub id: FileId,
    /// `statfs(2)` magic of the file system; 0 where not known (the call failed).
    pub file_system: u64,
    /// The mount it was reached through, as `/proc/PID/mountinfo` numbers it; 0 where not known.
    pub mount: u32,
    /// The mount namespace that mount is in; 0 where it is in none (a pipe, a detached mount) or not known.
    pub mount_namespace: u32,
    /// Of a file below `/proc/PID`: that process.
    pub process: Option<Task>,
    /// Type and permission bits, `st_mode`.
    pub mode: u32,
    /// Of a device node: major and minor.
    pub device: (u32, u32),
    pub links: u32,
    /// On overlay: made or changed in the container (the upper layer).
    pub upper_layer: bool,
    /// Made by memfd_create(2), or a file without a name.
    pub nameless: bool,
}

/// An address of a socket.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Address {
    Internet {
        address: IpAddr,
        port: u16,
    },
    /// A path; abstract names begin with `@`.
    Unix {
        path: Text,
    },
    Vsock {
        cid: u32,
        port: u32,
    },
    Netlink {
        port: u32,
        groups: u32,
    },
    Packet {
        protocol: u16,
        interface: i32,
    },
    Algorithm {
        kind: String,
        name: String,
    },
    /// Any other family, by its number.
    Other(u16),
}

/// What was done. One variant a kind of event; the names are the system calls' where there is one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "event")]
#[non_exhaustive]
pub enum What {
    // process
    Fork {
        child: Task,
        child_inside: u32,
        flags: u64,
    },
    Execve {
        file: File,
        /// What the task asked for, before links and scripts were followed.
        asked: Text,
        arguments: Vec<String>,
        /// `NAME=value`, the first ones; empty unless asked for.
        environment: Vec<String>,
        directory: Text,
        /// The mount namespace that the working directory's mount is in; 0 where not known.
        #[serde(default)]
        directory_mount_namespace: u32,
        terminal: Option<(u32, u32)>,
        session: u32,
        group: u32,
        before: Credentials,
        /// Entered the container from outside (`docker exec`, nsenter), rather than forked in it.
        entered: bool,
    },
    Exit {
        status: i32,
        signal: i32,
    },
    Kill {
        target: Task,
        target_container: Option<ContainerKey>,
        signal: i32,
    },
    MemfdCreate {
        name: Text,
    },
    /// A mapping of a file, or memory, made executable.
    MakeExecutable {
        file: Option<File>,
        protection: u32,
    },

    // namespaces and credentials
    Setns {
        kind: u32,
        namespace: u32,
        target_is_host: bool,
    },
    Unshare {
        flags: u64,
        after: Namespaces,
    },
    /// clone(2) or clone3(2) with flags that make namespaces, made or refused.
    CloneNamespaces {
        flags: u64,
    },
    Chroot {
        path: Text,
        /// The directory as the kernel found it; its fields are empty where no hook has the object.
        #[serde(default)]
        file: File,
    },
    PivotRoot {
        new_root: Text,
        put_old: Text,
        /// What `new_root` named as the kernel found it; its fields are empty where no hook has the object.
        #[serde(default)]
        file: File,
    },
    Setuid {
        call: String,
        ids: [u32; 3],
    },
    Capset {
        before: Credentials,
        after: Credentials,
    },
    /// Credentials or namespaces differ from what was last seen, and no call between explains it.
    UnexplainedGain {
        before: Credentials,
        after: Credentials,
        namespaces_before: Namespaces,
    },
    Prctl {
        option: u32,
        argument: u64,
    },
    Keyctl {
        call: String,
        operation: u32,
        argument: u64,
    },
    Ptrace {
        request: u64,
        target: Task,
        target_container: Option<ContainerKey>,
    },
    /// process_vm_readv(2), process_vm_writev(2), process_madvise(2), pidfd_getfd(2), kcmp(2).
    OtherProcess {
        call: String,
        target: Task,
        target_container: Option<ContainerKey>,
    },

    // mounts
    Mount {
        source: Text,
        target: Text,
        file_system: Text,
        flags: u64,
        data: Text,
        source_device: (u32, u32),
        /// What `target` named as the kernel found it, before the call; its fields are empty where no hook has the object.
        #[serde(default)]
        file: File,
    },
    Umount {
        target: Text,
        flags: u64,
        /// The root of the mount as the kernel found it; its fields are empty where no hook has the object.
        #[serde(default)]
        file: File,
    },
    /// fsopen(2), fspick(2): what is to be made.
    Fsopen {
        file_system: Text,
        flags: u64,
    },
    /// fsconfig(2): `key` and `value` as given; the file system's name where the fd tells it.
    Fsconfig {
        command: u32,
        key: Text,
        value: Text,
        file_system: Text,
    },
    Fsmount {
        file_system: Text,
        attributes: u64,
    },
    OpenTree {
        path: Text,
        flags: u64,
        /// What `path` named as the kernel found it; its fields are empty where no hook has the object.
        #[serde(default)]
        file: File,
    },
    MoveMount {
        from: Text,
        to: Text,
        flags: u64,
        /// What is moved, and what it is moved onto, as the kernel found them; empty where no hook has the objects.
        #[serde(default)]
        file: File,
        #[serde(default)]
        onto: File,
    },
    MountSetattr {
        path: Text,
        flags: u64,
        set: u64,
        clear: u64,
        propagation: u64,
        /// What `path` named as the kernel found it; its fields are empty where no hook has the object.
        #[serde(default)]
        file: File,
    },

    // files
    Open {
        file: File,
        asked: Text,
        flags: u64,
        resolve: u64,
        created: bool,
    },
    OpenByHandle {
        file: File,
        flags: u64,
    },
    Close {
        descriptor: i32,
    },
    /// The first write through this open file.
    Write {
        file: File,
    },
    Truncate {
        file: File,
    },
    Rename {
        from: Text,
        to: Text,
        flags: u64,
        /// What was renamed, where it is now; its fields are empty where no hook has the object.
        #[serde(default)]
        file: File,
    },
    Link {
        from: Text,
        to: Text,
        /// What the new name stands for; its fields are empty where no hook has the object.
        #[serde(default)]
        file: File,
    },
    Symlink {
        target: Text,
        path: Text,
        /// The link; its fields are empty where no hook has the object.
        #[serde(default)]
        file: File,
    },
    Unlink {
        path: Text,
        directory: bool,
        /// What was removed; its fields are empty where no hook has the object.
        #[serde(default)]
        file: File,
    },
    Mkdir {
        path: Text,
        mode: u32,
        /// What was made; its fields are empty where no hook has the object.
        #[serde(default)]
        file: File,
    },
    Mknod {
        path: Text,
        mode: u32,
        device: (u32, u32),
        /// What was made; its fields are empty where no hook has the object.
        #[serde(default)]
        file: File,
    },
    Chmod {
        file: File,
        mode: u32,
    },
    Chown {
        file: File,
        uid: u32,
        gid: u32,
    },
    Setxattr {
        file: File,
        name: Text,
    },
    Ioctl {
        file: File,
        command: u32,
    },
    Chdir {
        path: Text,
        /// The directory as the kernel found it; its fields are empty where no hook has the object.
        #[serde(default)]
        file: File,
    },
    /// dup(2) family, for what a descriptor stands for afterwards.
    Dup {
        from: i32,
        to: i32,
    },
    /// A descriptor that came over a Unix socket (SCM_RIGHTS).
    ReceivedFile {
        file: File,
        descriptor: i32,
    },
    NameToHandle {
        path: Text,
    },
    Splice {
        call: String,
        from: Option<File>,
        to: Option<File>,
    },

    // sockets
    Socket {
        family: u32,
        kind: u32,
        protocol: u32,
    },
    Connect {
        address: Address,
        family: u32,
        kind: u32,
        peer: Option<Task>,
        /// The name that the listener bound, whatever the caller calls it: a path of the listener's namespace.
        #[serde(default)]
        bound: Option<Text>,
        /// The socket's file, of a Unix socket bound to a path; zeros elsewhere.
        #[serde(default)]
        peer_file: FileId,
    },
    Bind {
        address: Address,
        family: u32,
        kind: u32,
    },
    Listen {
        address: Option<Address>,
    },
    Accept {
        address: Option<Address>,
        local: Option<Address>,
    },
    Send {
        call: String,
        address: Option<Address>,
        length: u64,
    },
    Receive {
        call: String,
        address: Option<Address>,
        length: u64,
    },
    /// A message on a netlink socket: protocol, type of the first message.
    Netlink {
        protocol: u32,
        message: u16,
    },

    // the kernel itself
    Module {
        call: String,
        name: Text,
        file: Option<File>,
    },
    Bpf {
        command: u32,
        program_type: u32,
        attach_type: u32,
        name: String,
    },
    Kexec {
        call: String,
        flags: u64,
    },
    Reboot {
        command: u32,
    },
    PerfEventOpen {
        kind: u32,
        config: u64,
        target: i32,
    },
    Userfaultfd {
        flags: u64,
    },
    Syslog {
        action: i32,
    },
    SetTime {
        call: String,
    },
    SetName {
        call: String,
        name: Text,
    },
    Iopl {
        call: String,
    },
    Personality {
        value: u64,
    },
    /// swapon(2), swapoff(2), quotactl(2), acct(2), fanotify_init(2), lookup_dcookie(2), move_pages(2) and the like.
    RareCall {
        call: String,
        arguments: [u64; 3],
    },
    IoUringSetup {
        entries: u32,
        flags: u32,
    },
    /// A request as the kernel took it, with the name it opens or reaches where it has one.
    IoUringRequest {
        opcode: u8,
        path: Option<Text>,
        address: Option<Address>,
        flags: u64,
    },
    /// A program that the kernel started by itself (`call_usermodehelper`): core_pattern, modprobe, release_agent.
    UsermodeHelper {
        file: File,
        arguments: Vec<String>,
    },
    /// A capability that the kernel asked for: its number, the user namespace it counts in.
    CapabilityUsed {
        capability: u8,
        user_namespace: u32,
        granted: bool,
    },

    // containers, as namespaces and cgroups show them
    ContainerStarted {
        key: ContainerKey,
        cgroup_path: String,
        root: FileId,
    },
    ContainerEnded {
        key: ContainerKey,
    },
    CgroupMade {
        id: u64,
        path: String,
    },
    CgroupRemoved {
        id: u64,
        path: String,
    },

    // the sensor about itself
    /// Something was lost between two times, in nanoseconds since boot.
    Blind {
        from: u64,
        until: u64,
        lane: Lane,
        kind: String,
        container: Option<ContainerKey>,
        lost: u64,
    },
    /// Somebody reached for the sensor: its programs, maps or process.
    Tampering {
        how: String,
        target: String,
    },
}

impl What {
    /// The event's name: its variant, in kebab-case, as in JSON.
    pub fn name(&self) -> String {
        self.kind().name().to_owned()
    }
}

impl Event {
    /// Whether the kernel did what was asked.
    pub fn succeeded(&self) -> bool {
        self.result >= 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_a_kind_is_the_one_in_json() {
        let all = [
            What::Fork { child: Task::default(), child_inside: 1, flags: 0 },
            What::OpenByHandle { file: File::default(), flags: 0 },
            What::IoUringSetup { entries: 1, flags: 0 },
            What::CgroupMade { id: 1, path: "/".into() },
        ];
        for what in all {
            let json = serde_json::to_value(&what).unwrap();
            assert_eq!(json["event"], what.kind().name());
        }
    }

    #[test]
    fn a_text_reads_from_a_plain_string_and_from_its_own_json() {
        let plain: Text = serde_json::from_str("\"/etc\"").unwrap();
        assert_eq!(plain, Text { text: "/etc".into(), source: Source::Kernel, cut: false });
        let cut = Text { text: "/etc".into(), source: Source::User, cut: true };
        assert_eq!(serde_json::from_str::<Text>(&serde_json::to_string(&cut).unwrap()).unwrap(), cut);
    }
}

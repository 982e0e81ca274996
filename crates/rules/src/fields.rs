//! The fields of the rule language: one table, from which the identifiers, the names' parser and the document are
//! made. Names and types follow falcosecurity/libs (`filtercheck_*.cpp`, `sinsp_filtercheck_*.cpp`); fields of
//! Mesos, of tracers and of chisels, which it dropped or which only list things, are not here.

use std::collections::HashMap;
use std::sync::LazyLock;

/// What a field's value is. Decides which operators fit it and how values written beside it are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    Text,
    /// Any bytes: data read or written.
    Bytes,
    Unsigned,
    Signed,
    Float,
    Bool,
    /// Nanoseconds since 1970.
    Time,
    /// Nanoseconds.
    Duration,
    Address,
    /// An address that is compared with networks.
    Network,
    Port,
    /// Several texts.
    TextList,
    /// What the event's argument is; known only with the event.
    Dynamic,
}

/// What may stand in a field's brackets (or, for a key, after a dot).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Takes {
    None,
    /// No argument; the value is that of either end of a socket, and a comparison holds if it holds for one.
    EitherEnd,
    Key,
    OptionalKey,
    OptionalIndex,
    IndexOrKey,
    /// How many generations up: 0 the process, 1 its parent. Without one, a comparison holds if it holds for any
    /// ancestor, the process itself not counted.
    Ancestor,
    /// As `Ancestor`, or a key.
    AncestorOrKey,
}

/// One row of the table.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    pub id: FieldId,
    pub name: &'static str,
    pub kind: Kind,
    pub takes: Takes,
    /// What it means, in a few words.
    pub meaning: &'static str,
}

macro_rules! fields {
    ($($variant:ident $name:literal $kind:ident $takes:ident $meaning:literal;)*) => {
        /// A field without its argument.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(u16)]
        pub enum FieldId { $($variant,)* }

        pub static TABLE: &[Row] = &[$(Row {
            id: FieldId::$variant, name: $name, kind: Kind::$kind, takes: Takes::$takes, meaning: $meaning,
        },)*];
    };
}

fields! {
    // evt, every source
    EvtNum "evt.num" Unsigned None "number of the event, counted from 1";
    EvtTime "evt.time" Text None "time of day with nanoseconds, local";
    EvtTimeS "evt.time.s" Text None "time of day without fractions, local";
    EvtTimeIso8601 "evt.time.iso8601" Text None "ISO 8601 with nanoseconds, UTC";
    EvtDatetime "evt.datetime" Text None "date and time with nanoseconds, local";
    EvtDatetimeS "evt.datetime.s" Text None "date and time without fractions, local";
    EvtRawtime "evt.rawtime" Time None "nanoseconds since 1970";
    EvtRawtimeS "evt.rawtime.s" Time None "whole seconds since 1970";
    EvtRawtimeNs "evt.rawtime.ns" Time None "nanoseconds within the second";
    EvtReltime "evt.reltime" Duration None "nanoseconds since the first event";
    EvtReltimeS "evt.reltime.s" Duration None "whole seconds since the first event";
    EvtReltimeNs "evt.reltime.ns" Duration None "nanoseconds within that second";
    EvtPluginname "evt.pluginname" Text None "plugin that made the event";
    EvtPlugininfo "evt.plugininfo" Text None "summary by the plugin that made the event";
    EvtSource "evt.source" Text None "source of the event: `syscall`";
    EvtIsAsync "evt.is_async" Bool None "whether the event came outside the order of events";
    EvtAsynctype "evt.asynctype" Text None "kind of an event that came outside the order";
    EvtHostname "evt.hostname" Text None "name of the machine";
    // evt, system calls
    EvtLatency "evt.latency" Duration None "nanoseconds between entering and leaving the call";
    EvtLatencyS "evt.latency.s" Duration None "whole seconds of that";
    EvtLatencyNs "evt.latency.ns" Duration None "nanoseconds within that second";
    EvtLatencyHuman "evt.latency.human" Text None "that time, for people: `10.3ms`";
    EvtDeltatime "evt.deltatime" Duration None "nanoseconds since the event before";
    EvtDeltatimeS "evt.deltatime.s" Duration None "whole seconds of that";
    EvtDeltatimeNs "evt.deltatime.ns" Duration None "nanoseconds within that second";
    EvtDir "evt.dir" Text None "`>` on entering a call, `<` on leaving it";
    EvtType "evt.type" Text None "name of the event: `openat`";
    EvtTypeIs "evt.type.is" Unsigned Key "1 for events of the named type, else 0";
    SyscallType "syscall.type" Text None "name of the system call; absent for events that are none";
    EvtCategory "evt.category" Text None "category of the event: `file`, `net`, `process`";
    EvtCpu "evt.cpu" Signed None "processor it happened on";
    EvtArgs "evt.args" Text None "all arguments, `name=value` with spaces between";
    EvtArg "evt.arg" Text IndexOrKey "one argument, as text, by name or position";
    EvtRawarg "evt.rawarg" Dynamic Key "one argument by name, as the value it is";
    EvtInfo "evt.info" Text None "as evt.args; for writes to the system log, what was logged";
    EvtBuffer "evt.buffer" Bytes None "data read or written";
    EvtBuflen "evt.buflen" Unsigned None "length of that data";
    EvtRes "evt.res" Text None "`SUCCESS`, or the name of the error";
    EvtRawres "evt.rawres" Signed None "what the call returned";
    EvtFailed "evt.failed" Bool None "whether the call returned an error";
    EvtIsIo "evt.is_io" Bool None "whether it reads or writes a descriptor";
    EvtIsIoRead "evt.is_io_read" Bool None "whether it reads a descriptor";
    EvtIsIoWrite "evt.is_io_write" Bool None "whether it writes a descriptor";
    EvtIoDir "evt.io_dir" Text None "`r` for reads, `w` for writes";
    EvtIsWait "evt.is_wait" Bool None "whether the call makes the thread wait";
    EvtWaitLatency "evt.wait_latency" Duration None "nanoseconds the thread waited";
    EvtIsSyslog "evt.is_syslog" Bool None "whether it writes to /dev/log";
    EvtCount "evt.count" Unsigned None "1";
    EvtCountError "evt.count.error" Unsigned None "1 where the call failed";
    EvtCountErrorFile "evt.count.error.file" Unsigned None "1 where a call on files failed";
    EvtCountErrorNet "evt.count.error.net" Unsigned None "1 where a call on sockets failed";
    EvtCountErrorMemory "evt.count.error.memory" Unsigned None "1 where a call on memory failed";
    EvtCountErrorOther "evt.count.error.other" Unsigned None "1 where another call failed";
    EvtCountExit "evt.count.exit" Unsigned None "1 on leaving a call";
    EvtAround "evt.around" Unsigned Key "milliseconds around the given nanoseconds since 1970";
    EvtAbspath "evt.abspath" Text OptionalKey "absolute path argument of the call; `src`, `dst` where it has two";
    EvtIsOpenRead "evt.is_open_read" Bool None "opened for reading";
    EvtIsOpenWrite "evt.is_open_write" Bool None "opened for writing";
    EvtIsOpenExec "evt.is_open_exec" Bool None "made with execute permission";
    EvtIsOpenCreate "evt.is_open_create" Bool None "made by this open";
    // process
    ProcExe "proc.exe" Text None "argv[0]";
    ProcPexe "proc.pexe" Text None "argv[0] of the parent";
    ProcAexe "proc.aexe" Text Ancestor "argv[0] of an ancestor; without index, of any";
    ProcExepath "proc.exepath" Text None "path of the executable";
    ProcPexepath "proc.pexepath" Text None "path of the parent's executable";
    ProcAexepath "proc.aexepath" Text Ancestor "path of an ancestor's executable; without index, of any";
    ProcName "proc.name" Text None "name of the process (comm), 15 bytes";
    ProcPname "proc.pname" Text None "name of the parent";
    ProcAname "proc.aname" Text Ancestor "name of an ancestor; without index, of any";
    ProcArgs "proc.args" Text OptionalIndex "arguments without argv[0]; with index, one of them";
    ProcAargs "proc.aargs" Text Ancestor "proc.args of an ancestor; without index, of any";
    ProcCmdline "proc.cmdline" Text None "proc.name and proc.args";
    ProcPcmdline "proc.pcmdline" Text None "proc.cmdline of the parent";
    ProcAcmdline "proc.acmdline" Text Ancestor "proc.cmdline of an ancestor; without index, of any";
    ProcCmdnargs "proc.cmdnargs" Unsigned None "how many arguments";
    ProcCmdlenargs "proc.cmdlenargs" Unsigned None "length of all arguments, without the spaces between";
    ProcExeline "proc.exeline" Text None "proc.exe and proc.args";
    ProcEnv "proc.env" Text OptionalKey "environment; with a name, the value of one variable";
    ProcAenv "proc.aenv" Text AncestorOrKey "environment of an ancestor, or a variable of the nearest that has it";
    ProcCwd "proc.cwd" Text None "current directory, ending in `/`";
    ProcLoginshellid "proc.loginshellid" Signed None "process id of the oldest shell among the ancestors";
    ProcTty "proc.tty" Unsigned None "controlling terminal; 0 without one";
    ProcPid "proc.pid" Signed None "process id, host's";
    ProcPpid "proc.ppid" Signed None "process id of the parent, host's";
    ProcApid "proc.apid" Signed Ancestor "process id of an ancestor; without index, of any";
    ProcVpid "proc.vpid" Signed None "process id within its pid namespace";
    ProcPvpid "proc.pvpid" Signed None "process id of the parent within its pid namespace";
    ProcSid "proc.sid" Signed None "session id";
    ProcSname "proc.sname" Text None "name of the session leader";
    ProcSidExe "proc.sid.exe" Text None "argv[0] of the session leader";
    ProcSidExepath "proc.sid.exepath" Text None "path of the session leader's executable";
    ProcVpgid "proc.vpgid" Signed None "process group id within its pid namespace";
    ProcVpgidName "proc.vpgid.name" Text None "name of the group leader";
    ProcVpgidExe "proc.vpgid.exe" Text None "argv[0] of the group leader";
    ProcVpgidExepath "proc.vpgid.exepath" Text None "path of the group leader's executable";
    ProcDuration "proc.duration" Duration None "nanoseconds since the process started";
    ProcPpidDuration "proc.ppid.duration" Duration None "nanoseconds since the parent started";
    ProcPidTs "proc.pid.ts" Duration None "start of the process, nanoseconds since 1970";
    ProcPpidTs "proc.ppid.ts" Duration None "start of the parent, nanoseconds since 1970";
    ProcIsExeWritable "proc.is_exe_writable" Bool None "whether the executable can be written by the user that runs it";
    ProcIsExeUpperLayer "proc.is_exe_upper_layer" Bool None "whether the executable lies in an overlay's upper layer";
    ProcIsExeLowerLayer "proc.is_exe_lower_layer" Bool None "whether the executable lies in an overlay's lower layer";
    ProcIsExeFromMemfd "proc.is_exe_from_memfd" Bool None "whether the executable is memory without a file";
    ProcIsSidLeader "proc.is_sid_leader" Bool None "whether the process leads its session";
    ProcIsVpgidLeader "proc.is_vpgid_leader" Bool None "whether the process leads its process group";
    ProcExeIno "proc.exe_ino" Signed None "inode of the executable";
    ProcExeInoCtime "proc.exe_ino.ctime" Time None "status change of the executable, nanoseconds since 1970";
    ProcExeInoMtime "proc.exe_ino.mtime" Time None "last write of the executable, nanoseconds since 1970";
    ProcExeInoCtimeDurationProcStart "proc.exe_ino.ctime_duration_proc_start" Time None "nanoseconds from the executable's status change to the process's start";
    ProcExeInoCtimeDurationPidnsStart "proc.exe_ino.ctime_duration_pidns_start" Time None "nanoseconds from the pid namespace's start to the executable's status change";
    ProcPidnsInitStartTs "proc.pidns_init_start_ts" Unsigned None "start of the pid namespace, nanoseconds since 1970";
    ProcPgid "proc.pgid" Signed None "process group id, host's";
    ProcPgidName "proc.pgid.name" Text None "name of the group leader, by the host's id";
    ProcPgidExe "proc.pgid.exe" Text None "argv[0] of the group leader, by the host's id";
    ProcPgidExepath "proc.pgid.exepath" Text None "path of the group leader's executable, by the host's id";
    ProcIsPgidLeader "proc.is_pgid_leader" Bool None "whether the process leads its process group, by the host's id";
    ProcStdinType "proc.stdin.type" Text None "type of descriptor 0";
    ProcStdoutType "proc.stdout.type" Text None "type of descriptor 1";
    ProcStderrType "proc.stderr.type" Text None "type of descriptor 2";
    ProcStdinName "proc.stdin.name" Text None "name of descriptor 0";
    ProcStdoutName "proc.stdout.name" Text None "name of descriptor 1";
    ProcStderrName "proc.stderr.name" Text None "name of descriptor 2";
    ProcIsContainerHealthcheck "proc.is_container_healthcheck" Bool None "runs as a health check of the container";
    ProcIsContainerLivenessProbe "proc.is_container_liveness_probe" Bool None "runs as a liveness probe of the container";
    ProcIsContainerReadinessProbe "proc.is_container_readiness_probe" Bool None "runs as a readiness probe of the container";
    ProcFdopencount "proc.fdopencount" Unsigned None "how many descriptors are open";
    ProcFdlimit "proc.fdlimit" Signed None "how many descriptors may be open";
    ProcFdusage "proc.fdusage" Float None "ratio of these two";
    ProcVmsize "proc.vmsize" Unsigned None "virtual memory, kB";
    ProcVmrss "proc.vmrss" Unsigned None "resident memory, kB";
    ProcVmswap "proc.vmswap" Unsigned None "swapped memory, kB";
    ProcNthreads "proc.nthreads" Unsigned None "how many threads, the main one included";
    ProcNchilds "proc.nchilds" Unsigned None "how many threads, the main one excluded";
    ThreadCapPermitted "thread.cap_permitted" Text None "permitted capabilities, `CAP_…` with spaces between";
    ThreadCapInheritable "thread.cap_inheritable" Text None "inheritable capabilities";
    ThreadCapEffective "thread.cap_effective" Text None "effective capabilities";
    ThreadPfmajor "thread.pfmajor" Unsigned None "major page faults since the thread started";
    ThreadPfminor "thread.pfminor" Unsigned None "minor page faults since the thread started";
    ThreadTid "thread.tid" Signed None "thread id, host's";
    ThreadIsmain "thread.ismain" Bool None "whether it is the process's main thread";
    ThreadVtid "thread.vtid" Signed None "thread id within its pid namespace";
    ThreadExectime "thread.exectime" Duration None "processor time of the last run, nanoseconds";
    ThreadTotexectime "thread.totexectime" Duration None "processor time since the first event, nanoseconds";
    ThreadCgroups "thread.cgroups" Text None "all cgroups of the thread, `subsystem=path` with spaces between";
    ThreadCgroup "thread.cgroup" Text Key "cgroup of one subsystem";
    ThreadCpu "thread.cpu" Float None "processor share in the last second";
    ThreadCpuUser "thread.cpu.user" Float None "of that, in the program";
    ThreadCpuSystem "thread.cpu.system" Float None "of that, in the kernel";
    ThreadVmsize "thread.vmsize" Unsigned None "virtual memory of a main thread, kB";
    ThreadVmrss "thread.vmrss" Unsigned None "resident memory of a main thread, kB";
    // user and group
    UserUid "user.uid" Unsigned None "user id";
    UserName "user.name" Text None "user name";
    UserHomedir "user.homedir" Text None "home directory";
    UserShell "user.shell" Text None "login shell";
    UserLoginuid "user.loginuid" Signed None "user id at login; -1 where nobody logged in";
    UserLoginname "user.loginname" Text None "user name at login";
    GroupGid "group.gid" Unsigned None "group id";
    GroupName "group.name" Text None "group name";
    // container
    ContainerId "container.id" Text None "first 12 digits of the container's identifier; `host` outside";
    ContainerFullId "container.full_id" Text None "whole identifier; `host` outside";
    ContainerName "container.name" Text None "name; `host` outside";
    ContainerImage "container.image" Text None "image as it was named";
    ContainerImageId "container.image.id" Text None "identifier of the image";
    ContainerType "container.type" Text None "engine: docker, podman, containerd, cri-o";
    ContainerPrivileged "container.privileged" Bool None "started as privileged";
    ContainerMounts "container.mounts" Text None "all mounts, `source:dest:mode:rdrw:propagation` with spaces between";
    ContainerMount "container.mount" Text IndexOrKey "one mount by number or source (a pattern)";
    ContainerMountSource "container.mount.source" Text IndexOrKey "source of a mount by number or destination";
    ContainerMountDest "container.mount.dest" Text IndexOrKey "destination of a mount by number or source";
    ContainerMountMode "container.mount.mode" Text IndexOrKey "mode of a mount by number or source";
    ContainerMountRdwr "container.mount.rdwr" Text IndexOrKey "`true` for a writable mount, by number or source";
    ContainerMountPropagation "container.mount.propagation" Text IndexOrKey "propagation of a mount by number or source";
    ContainerImageRepository "container.image.repository" Text None "image without tag and digest";
    ContainerImageTag "container.image.tag" Text None "tag of the image";
    ContainerImageDigest "container.image.digest" Text None "digest of the image in its registry";
    ContainerHealthcheck "container.healthcheck" Text None "health check command; `NONE` where switched off";
    ContainerLivenessProbe "container.liveness_probe" Text None "liveness probe command";
    ContainerReadinessProbe "container.readiness_probe" Text None "readiness probe command";
    ContainerStartTs "container.start_ts" Unsigned None "start of the container, nanoseconds since 1970";
    ContainerDuration "container.duration" Duration None "nanoseconds since it started";
    ContainerIp "container.ip" Text None "first IPv4 address";
    ContainerCniJson "container.cni.json" Text None "answer of the network plugin";
    ContainerHostPid "container.host_pid" Bool None "shares the host's pid namespace";
    ContainerHostNetwork "container.host_network" Bool None "shares the host's network namespace";
    ContainerHostIpc "container.host_ipc" Bool None "shares the host's ipc namespace";
    ContainerLabel "container.label" Text Key "one label";
    ContainerLabels "container.labels" Text None "all labels, `key:value` with commas between";
    // fd
    FdNum "fd.num" Signed None "descriptor";
    FdType "fd.type" Text None "`file`, `directory`, `ipv4`, `ipv6`, `unix`, `pipe`, …";
    FdTypechar "fd.typechar" Text None "`f` file, `4` IPv4, `6` IPv6, `u` unix, `p` pipe, …";
    FdName "fd.name" Text None "absolute path, or both ends of a socket";
    FdNameraw "fd.nameraw" Text None "path as it was given";
    FdDirectory "fd.directory" Text None "directory of the path";
    FdFilename "fd.filename" Text None "last part of the path";
    FdIp "fd.ip" Address EitherEnd "address of either end";
    FdCip "fd.cip" Address None "address of the client";
    FdSip "fd.sip" Address None "address of the server";
    FdLip "fd.lip" Address None "local address";
    FdRip "fd.rip" Address None "remote address";
    FdPort "fd.port" Port EitherEnd "port of either end";
    FdCport "fd.cport" Port None "port of the client";
    FdSport "fd.sport" Port None "port of the server";
    FdLport "fd.lport" Port None "local port";
    FdRport "fd.rport" Port None "remote port";
    FdL4proto "fd.l4proto" Text None "`tcp`, `udp`, `icmp`, `raw`";
    FdSockfamily "fd.sockfamily" Text None "`ip` or `unix`";
    FdIsServer "fd.is_server" Bool None "whether the process is the server's end";
    FdUid "fd.uid" Text None "thread id and descriptor, one after the other";
    FdContainername "fd.containername" Text None "container.id, `:`, fd.name";
    FdContainerdirectory "fd.containerdirectory" Text None "container.id, `:`, fd.directory";
    FdProto "fd.proto" Text EitherEnd "service of either end";
    FdCproto "fd.cproto" Text None "service of the client's port";
    FdSproto "fd.sproto" Text None "service of the server's port";
    FdLproto "fd.lproto" Text None "service of the local port";
    FdRproto "fd.rproto" Text None "service of the remote port";
    FdNet "fd.net" Network EitherEnd "address of either end, for comparing with networks";
    FdCnet "fd.cnet" Network None "address of the client";
    FdSnet "fd.snet" Network None "address of the server";
    FdLnet "fd.lnet" Network None "local address";
    FdRnet "fd.rnet" Network None "remote address";
    FdConnected "fd.connected" Bool None "whether a TCP or UDP socket is connected";
    FdNameChanged "fd.name_changed" Bool None "whether this event changed the name of the descriptor";
    FdCipName "fd.cip.name" Text None "domain name of the client's address";
    FdSipName "fd.sip.name" Text None "domain name of the server's address";
    FdLipName "fd.lip.name" Text None "domain name of the local address";
    FdRipName "fd.rip.name" Text None "domain name of the remote address";
    FdDev "fd.dev" Unsigned None "device the file lies on";
    FdDevMajor "fd.dev.major" Unsigned None "its major number";
    FdDevMinor "fd.dev.minor" Unsigned None "its minor number";
    FdIno "fd.ino" Signed None "inode of the file";
    FdTypes "fd.types" TextList OptionalIndex "types of all open descriptors; with index, of one";
    FdIsUpperLayer "fd.is_upper_layer" Bool None "whether the file lies in an overlay's upper layer";
    FdIsLowerLayer "fd.is_lower_layer" Bool None "whether the file lies in an overlay's lower layer";
    // fs.path
    FsPathName "fs.path.name" Text None "absolute path of the call's path argument";
    FsPathNameraw "fs.path.nameraw" Text None "that path as it was given";
    FsPathSource "fs.path.source" Text None "absolute source path of calls with two";
    FsPathSourceraw "fs.path.sourceraw" Text None "that path as it was given";
    FsPathTarget "fs.path.target" Text None "absolute target path of calls with two";
    FsPathTargetraw "fs.path.targetraw" Text None "that path as it was given";
    // fdlist
    FdlistNums "fdlist.nums" Text None "descriptors of a poll, with commas between";
    FdlistNames "fdlist.names" Text None "their names";
    FdlistCips "fdlist.cips" Text None "their client addresses";
    FdlistSips "fdlist.sips" Text None "their server addresses";
    FdlistCports "fdlist.cports" Text None "their client ports";
    FdlistSports "fdlist.sports" Text None "their server ports";
    // util
    UtilCnt "util.cnt" Unsigned None "counts up with every question for it";
    // syslog
    SyslogFacilityStr "syslog.facility.str" Text None "facility of a log message";
    SyslogFacility "syslog.facility" Unsigned None "its number";
    SyslogSeverityStr "syslog.severity.str" Text None "severity of a log message";
    SyslogSeverity "syslog.severity" Unsigned None "its number";
    SyslogMessage "syslog.message" Text None "the message";
    // k8s
    K8sPodName "k8s.pod.name" Text None "name of the pod";
    K8sPodId "k8s.pod.id" Text None "identifier of the pod";
    K8sPodUid "k8s.pod.uid" Text None "identifier of the pod";
    K8sPodSandboxId "k8s.pod.sandbox_id" Text None "identifier of the pod's sandbox, 12 digits";
    K8sPodFullSandboxId "k8s.pod.full_sandbox_id" Text None "identifier of the pod's sandbox";
    K8sPodLabel "k8s.pod.label" Text Key "one label of the pod";
    K8sPodLabels "k8s.pod.labels" Text None "all labels of the pod";
    K8sPodIp "k8s.pod.ip" Text None "first IPv4 address of the pod";
    K8sPodCniJson "k8s.pod.cni.json" Text None "answer of the network plugin";
    K8sNsName "k8s.ns.name" Text None "namespace of the pod";
    K8sNsId "k8s.ns.id" Text None "identifier of the namespace";
    K8sNsLabel "k8s.ns.label" Text Key "one label of the namespace";
    K8sNsLabels "k8s.ns.labels" Text None "all labels of the namespace";
    K8sRcName "k8s.rc.name" Text None "replication controller";
    K8sRcId "k8s.rc.id" Text None "its identifier";
    K8sRcLabel "k8s.rc.label" Text Key "one of its labels";
    K8sRcLabels "k8s.rc.labels" Text None "all its labels";
    K8sSvcName "k8s.svc.name" Text None "service";
    K8sSvcId "k8s.svc.id" Text None "its identifier";
    K8sSvcLabel "k8s.svc.label" Text Key "one of its labels";
    K8sSvcLabels "k8s.svc.labels" Text None "all its labels";
    K8sRsName "k8s.rs.name" Text None "replica set";
    K8sRsId "k8s.rs.id" Text None "its identifier";
    K8sRsLabel "k8s.rs.label" Text Key "one of its labels";
    K8sRsLabels "k8s.rs.labels" Text None "all its labels";
    K8sDeploymentName "k8s.deployment.name" Text None "deployment";
    K8sDeploymentId "k8s.deployment.id" Text None "its identifier";
    K8sDeploymentLabel "k8s.deployment.label" Text Key "one of its labels";
    K8sDeploymentLabels "k8s.deployment.labels" Text None "all its labels";
}

impl FieldId {
    pub const COUNT: usize = TABLE.len();

    pub fn row(self) -> &'static Row {
        &TABLE[self as usize]
    }

    pub fn name(self) -> &'static str {
        self.row().name
    }

    pub fn kind(self) -> Kind {
        self.row().kind
    }
}

/// A field with its argument: `proc.aname[2]`, `evt.arg.flags`, `container.mount.dest[/host]`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Field {
    pub id: FieldId,
    pub argument: Argument,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Argument {
    None,
    Index(u32),
    Key(Box<str>),
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FieldError {
    #[error("there is no field `{name}`{}", did_you_mean(.near))]
    Unknown { name: String, near: Option<&'static str> },
    #[error("`{name}` needs an argument: `{name}[…]`")]
    ArgumentMissing { name: &'static str },
    #[error("`{name}` takes no argument")]
    ArgumentNotTaken { name: &'static str },
    #[error("`{argument}` is no number, which `{name}` needs between its brackets")]
    NotANumber { name: &'static str, argument: String },
    #[error("the bracket after `{name}` is not closed")]
    NotClosed { name: String },
}

fn did_you_mean(near: &Option<&'static str>) -> String {
    near.map(|name| format!("; did you mean `{name}`?")).unwrap_or_default()
}

static BY_NAME: LazyLock<HashMap<&'static str, FieldId>> =
    LazyLock::new(|| TABLE.iter().map(|row| (row.name, row.id)).collect());

impl Field {
    /// A field without an argument.
    pub fn plain(id: FieldId) -> Field {
        Field { id, argument: Argument::None }
    }

    /// Reads a name with its argument, in brackets (quotes around it are dropped) or, for a key, after a dot.
    pub fn parse(text: &str) -> Result<Field, FieldError> {
        let (name, bracketed) = match text.split_once('[') {
            None => (text, None),
            Some((name, rest)) => {
                let inner =
                    rest.strip_suffix(']').ok_or_else(|| FieldError::NotClosed { name: name.into() })?;
                (name, Some(unquoted(inner)))
            }
        };
        Field::from_parts(name, bracketed)
    }

    /// From a name and what stood between its brackets.
    pub fn from_parts(name: &str, bracketed: Option<&str>) -> Result<Field, FieldError> {
        if let Some(id) = BY_NAME.get(name) {
            return Field::with_argument(*id, bracketed);
        }
        if bracketed.is_none()
            && let Some((id, key)) = dotted_key(name)
        {
            return Field::with_argument(id, Some(key));
        }
        Err(FieldError::Unknown { name: name.into(), near: nearest(name) })
    }

    fn with_argument(id: FieldId, argument: Option<&str>) -> Result<Field, FieldError> {
        let name = id.name();
        let index = |text: &str| text.parse::<u32>().ok().map(Argument::Index);
        let key = |text: &str| Argument::Key(text.into());
        let not_a_number = |text: &str| FieldError::NotANumber { name, argument: text.into() };
        let argument = match (id.row().takes, argument) {
            (Takes::None | Takes::EitherEnd, Some(_)) => return Err(FieldError::ArgumentNotTaken { name }),
            (Takes::Key | Takes::IndexOrKey, None) => return Err(FieldError::ArgumentMissing { name }),
            (_, None) => Argument::None,
            (Takes::Key | Takes::OptionalKey, Some(text)) => key(text),
            (Takes::OptionalIndex | Takes::Ancestor, Some(text)) => {
                index(text).ok_or_else(|| not_a_number(text))?
            }
            (Takes::IndexOrKey | Takes::AncestorOrKey, Some(text)) => {
                index(text).unwrap_or_else(|| key(text))
            }
        };
        Ok(Field { id, argument })
    }

    pub fn kind(&self) -> Kind {
        self.id.kind()
    }

    /// The argument's text where it is a key, else nothing.
    pub fn key(&self) -> Option<&str> {
        match &self.argument {
            Argument::Key(key) => Some(key),
            _ => None,
        }
    }

    pub fn index(&self) -> Option<u32> {
        match self.argument {
            Argument::Index(index) => Some(index),
            _ => None,
        }
    }

    /// Whether it stands for several values of which one must satisfy a comparison: all ancestors, both ends.
    pub fn is_any(&self) -> bool {
        match self.id.row().takes {
            Takes::EitherEnd => true,
            Takes::Ancestor | Takes::AncestorOrKey => self.argument == Argument::None,
            _ => false,
        }
    }
}

impl std::fmt::Display for Field {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.id.name())?;
        match &self.argument {
            Argument::None => Ok(()),
            Argument::Index(index) => write!(f, "[{index}]"),
            Argument::Key(key) => write!(f, "[{key}]"),
        }
    }
}

/// `evt.arg.flags`: the longest name of a field that takes a key, and the rest as the key.
fn dotted_key(name: &str) -> Option<(FieldId, &str)> {
    name.rmatch_indices('.').find_map(|(dot, _)| {
        let id = *BY_NAME.get(&name[..dot])?;
        let takes_key = matches!(id.row().takes, Takes::Key | Takes::OptionalKey | Takes::IndexOrKey);
        (takes_key && dot + 1 < name.len()).then(|| (id, &name[dot + 1..]))
    })
}

fn unquoted(text: &str) -> &str {
    for quote in ['"', '\''] {
        if let Some(inner) = text.strip_prefix(quote).and_then(|t| t.strip_suffix(quote)) {
            return inner;
        }
    }
    text
}

/// The field's name that differs least, if by no more than a slip or two.
fn nearest(name: &str) -> Option<&'static str> {
    if name.len() > 64 {
        return None;
    }
    let nearest = TABLE.iter().map(|row| (distance(name, row.name), row.name)).min()?;
    (nearest.0 <= 2).then_some(nearest.1)
}

/// Levenshtein's distance.
pub(crate) fn distance(a: &str, b: &str) -> usize {
    let b = b.as_bytes();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.bytes().enumerate() {
        let mut before = i;
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let substituted = before + usize::from(x != *y);
            before = row[j + 1];
            row[j + 1] = substituted.min(before + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_field_is_found_by_its_name() {
        for (index, row) in TABLE.iter().enumerate() {
            assert_eq!(row.id as usize, index);
            assert_eq!(BY_NAME[row.name], row.id);
        }
        assert_eq!(BY_NAME.len(), TABLE.len(), "a name stands twice");
    }

    #[test]
    fn arguments_stand_in_brackets_or_after_a_dot() {
        let key = |id, key: &str| Field { id, argument: Argument::Key(key.into()) };
        for (text, field) in [
            ("proc.aname[2]", Field { id: FieldId::ProcAname, argument: Argument::Index(2) }),
            ("proc.aname", Field::plain(FieldId::ProcAname)),
            ("evt.arg.flags", key(FieldId::EvtArg, "flags")),
            ("evt.arg[flags]", key(FieldId::EvtArg, "flags")),
            ("evt.arg[0]", Field { id: FieldId::EvtArg, argument: Argument::Index(0) }),
            ("evt.type.is.open", key(FieldId::EvtTypeIs, "open")),
            ("k8s.pod.label.app.kubernetes.io/name", key(FieldId::K8sPodLabel, "app.kubernetes.io/name")),
            ("container.mount.dest[/host*]", key(FieldId::ContainerMountDest, "/host*")),
            ("proc.env['HOME']", key(FieldId::ProcEnv, "HOME")),
            ("fd.sip.name", Field::plain(FieldId::FdSipName)),
        ] {
            assert_eq!(Field::parse(text), Ok(field), "{text}");
        }
    }

    #[test]
    fn a_wrong_name_or_argument_is_an_error_that_says_what_would_be_right() {
        for (text, message) in [
            ("proc.nmae", "there is no field `proc.nmae`; did you mean `proc.name`?"),
            ("fd.name[0]", "`fd.name` takes no argument"),
            ("evt.arg", "`evt.arg` needs an argument: `evt.arg[…]`"),
            ("proc.aname[x]", "`x` is no number, which `proc.aname` needs between its brackets"),
            ("proc.aname[2", "the bracket after `proc.aname` is not closed"),
            ("evt.arg.", "there is no field `evt.arg.`; did you mean `evt.arg`?"),
        ] {
            assert_eq!(Field::parse(text).unwrap_err().to_string(), message, "{text}");
        }
    }
}

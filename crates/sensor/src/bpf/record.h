/* The shape of what the BPF programs tell user space: one head of fixed size, then attachments, each with its type and
 * length, each beginning at a multiple of 8. Read by `record.rs`, which has the same numbers; a test compares them. */
#pragma once

#define RECORD_MAX 8192
#define TEXT_MAX 1024
#define BLOCK_MAX 4096
#define PATH_PARTS 48
#define KINDS 128
#define CALL_SLOTS 1024
#define COMPAT_SLOT 512

/* Kinds that the programs themselves name. The others are numbered in `kinds.rs` and come to the programs in the table
 * of calls. */
enum kind {
	KIND_NONE = 0,
	KIND_FORK = 1,
	KIND_EXECVE = 2,
	KIND_EXIT = 3,
	KIND_CONTAINER_STARTED = 4,
	KIND_CONTAINER_ENDED = 5,
	KIND_UNEXPLAINED_GAIN = 6,
	KIND_OPEN = 7,
	KIND_USERMODE_HELPER = 8,
	KIND_MODULE_LOADED = 9,
	KIND_CGROUP_MADE = 10,
	KIND_CGROUP_REMOVED = 11,
	KIND_IO_URING_REQUEST = 12,
	KIND_TAMPERING = 13,
	KIND_CAPABILITY_USED = 14,
	KIND_CONNECT = 15,
	KIND_RENAME = 50,
	KIND_RECEIVED_FILE = 62,
};

enum lane { LANE_RARE = 0, LANE_BULK = 1 };

enum entry { ENTRY_CALL = 0, ENTRY_COMPAT = 1, ENTRY_IO_URING = 2, ENTRY_KERNEL = 3, ENTRY_BEFORE = 4 };

enum head_flag {
	HEAD_KERNEL_THREAD = 1,
	HEAD_IO_WORKER = 2,
	HEAD_ENTERED = 4,   /* an exec that came into the container from outside */
	HEAD_FULL = 8,      /* no room was left for an attachment */
	HEAD_NOT_BEFORE = 16, /* credentials before are not known */
};

enum attachment_type {
	ATTACH_TEXT_USER = 1,   /* bytes from the memory of the process */
	ATTACH_TEXT_KERNEL = 2, /* bytes from a kernel object */
	ATTACH_PATH = 3,        /* names, the deepest first, each ended by 0 */
	ATTACH_FILE = 4,        /* struct file_part, then names as in a path */
	ATTACH_TASK = 5,        /* struct task_part */
	ATTACH_CREDENTIALS = 6, /* struct identity */
	ATTACH_BLOCK = 7,       /* bytes from the memory of the process, not a text */
	ATTACH_SOCKET = 8,      /* struct socket_part, then the peer's path */
	ATTACH_EXEC = 9,        /* struct exec_part */
	ATTACH_NAMESPACE = 10,  /* struct namespace_part */
	ATTACH_CGROUP = 11,     /* names, the deepest first */
};

enum attachment_flag {
	FLAG_CUT = 1,   /* more than there was room for */
	FLAG_FAULT = 2, /* could not be read */
};

struct attachment {
	u16 type;
	u8 index;
	u8 flags;
	u32 length;
};

/* Attachments from a security hook stand at the index of the argument that they are about, plus this. */
#define INDEX_NOTED 16

struct credentials {
	u32 uid, gid, suid, sgid, euid, egid, fsuid, fsgid;
	u64 inheritable, permitted, effective, bounding, ambient;
	u32 user_namespace;
	u8 no_new_privileges;
	u8 seccomp;
	u16 unused;
};

/* What a thread was last seen to be. */
struct identity {
	struct credentials credentials;
	u32 user, mount, pid, network, ipc, uts, cgroup, unused;
};

struct head {
	u32 size;
	u16 kind;
	u8 lane;
	u8 entry;
	u32 number;
	u32 cpu;
	u64 time;
	s64 result;
	u64 fold; /* with the next one and the last argument: what repeats of this are counted by */
	u64 fold_way;
	u32 count;
	u32 flags;
	u64 container;
	u64 cgroup;
	u32 process, thread;
	u64 start;
	u32 parent_process, parent_thread;
	u64 parent_start;
	u32 process_inside, thread_inside;
	u32 login, executable_device;
	u64 executable_inode;
	struct identity identity;
	char name[16];
	u64 arguments[8];
};

struct file_part {
	u64 inode;
	u64 magic;
	u32 device;
	u32 mode;
	u32 device_node;
	u32 links;
	u32 mount_namespace;
	u32 flags;
	u32 open_flags;
	u32 mount;  /* its number in mountinfo */
	u32 within; /* bytes of the names that are within the mount */
	u32 unused;
};

/* Of a file, at its index and this: names from the root of its mount to that of its file system, where they differ;
 * and the process whose file below /proc it is. */
#define INDEX_ABOVE_MOUNT 16
/* Files that a hook found, as against those of descriptors. */
#define INDEX_OBJECT 4
#define INDEX_PROCESS 8

enum file_flag {
	FILE_UPPER = 1,    /* on overlay: in the upper layer */
	FILE_NAMELESS = 2, /* memfd, or no name */
	FILE_FOREIGN = 4,  /* through a mount of another mount namespace */
};

struct task_part {
	u32 process, thread;
	u64 start;
	u64 container;
	u32 inside;
	u32 flags;
};

struct exec_part {
	u32 terminal_major, terminal_minor;
	u32 session, group;
	u32 directory_mount_namespace;
	u32 unused;
};

struct namespace_part {
	u32 number;
	u32 type;
};

struct socket_part {
	u32 family, type, protocol, peer_process;
	u64 peer_start;
	u8 remote[16];
	u8 local[16];
	u16 remote_port, local_port; /* host byte order */
	u32 unused;
	u64 peer_inode;
	u32 peer_device;
	u32 peer_length; /* bytes of the peer's address that follow */
};

/* How a system call is told: positions are 1 to 6, 0 for none, 7 for what the call returned. */
struct call {
	u16 kind;
	u8 lane;
	u8 flags;
	u8 text[4];
	u8 directory[2]; /* of the first and second text: the position of a descriptor, or POSITION_WORKING_DIRECTORY */
	u8 file[2];
	u8 process;      /* a process number, or a pidfd with CALL_PIDFD */
	u8 block;
	u8 block_size;
	u8 test;         /* enum call_test */
	u8 test_position;
	u8 after;        /* enum call_after */
	u8 address;      /* of a socket address, its length at the next position */
	u8 socket;       /* of a socket's descriptor */
	u8 program;      /* enum call_program */
	u8 unused[3];
	u64 mask;        /* of the test */
};

#define POSITION_WORKING_DIRECTORY 8

enum call_flag {
	CALL_EXPLAINS = 1, /* may change credentials or namespaces */
	CALL_PIDFD = 2,    /* `process` is a pidfd */
	CALL_ONLY = 4,     /* where the test fails nothing is told, not even in bulk */
	CALL_NOT_ZERO = 8, /* not where it returned 0: the child's side of clone */
	CALL_HOST = 16,    /* told of processes outside containers too */
	CALL_CONTEXT = 32, /* the first argument is a file system context, whose type is told as the third text */
	CALL_NOTED = 64,   /* a security hook may have noted what the kernel resolved */
};

enum call_program {
	PROGRAM_NONE = 0, /* nobody watches this call */
	PROGRAM_ANY = 1,
	PROGRAM_OPEN = 2,
	PROGRAM_SOCKET = 3,
	PROGRAM_RECEIVED = 4,
	PROGRAMS,
};

/* Where the test holds the call is rare, elsewhere it is bulk. */
enum call_test {
	TEST_NONE = 0,
	TEST_BITS = 1,        /* the argument has one of the bits of the mask */
	TEST_NUMBER = 2,      /* the argument is the number of a bit of the mask, or above 63 */
	TEST_BITS_AT = 3,     /* as TEST_BITS of the 8 bytes that the argument points to */
};

enum call_after {
	AFTER_NOTHING = 0,
	AFTER_WORKING_DIRECTORY = 1, /* attach where the task is now */
	AFTER_ROOT = 2,
};

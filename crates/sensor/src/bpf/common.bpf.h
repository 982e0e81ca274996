/* What all families share: maps, the container of a task, the actor, attachments, the two lanes and their accounts. */
#pragma once

#include "kernel.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_tracing.h>
#include "record.h"

#define PF_IO_WORKER 0x00000010
#define PF_KTHREAD 0x00200000
#define TS_COMPAT 0x0002 /* arch/x86/include/asm/thread_info.h */
#define AT_FDCWD -100
#define EEXIST 17

/* Three ways to read the kernel's memory, by what the kernel has; the loader takes the first that loads.
 *
 * CAST (6.2): any pointer is read directly, at the cost of a load, once bpf_rdonly_cast() has said what it points to.
 * Neither (5.11): pointers that the verifier knows are read directly (TASK), others by bpf_probe_read_kernel() (READ).
 * PLAIN (5.8): bpf_get_current_task_btf() is not there; each step is a call of bpf_probe_read_kernel().
 *
 * A step through a null or stale pointer reads as zero in all of them. */
#ifdef CAST
extern void *bpf_rdonly_cast(const void *pointer, u32 type) __ksym;
#define KERNEL(pointer) ((typeof(pointer))bpf_rdonly_cast(pointer, bpf_core_type_id_kernel(typeof(*(pointer)))))
#define READ(pointer, ...) ___arrow(KERNEL(pointer), __VA_ARGS__)
#else
#define READ(...) BPF_CORE_READ(__VA_ARGS__)
#endif

#ifdef PLAIN
#define TASK(...) BPF_CORE_READ(__VA_ARGS__)
static __always_inline struct task_struct *current_task(void)
{
	return (struct task_struct *)bpf_get_current_task();
}
#else
#define TASK(...) ___arrow(__VA_ARGS__)
static __always_inline struct task_struct *current_task(void)
{
	return bpf_get_current_task_btf();
}
#endif

/* ---- what the loader sets ---- */

struct settings {
	u32 host_events;  /* tell of processes outside containers as well */
	u32 environment;  /* bytes of the environment that an exec carries */
	u32 budget;       /* rare events a container may send in a second; the rest goes to the bulk lane */
	u32 own_process;  /* the sensor's own, in the initial pid namespace */
	u32 bulk_wakeup;  /* bytes in the bulk lane that wake the reader */
	u32 fold;         /* repeats are folded */
};
const volatile struct settings settings = {};

/* What the host is, found by the first run of the task iterator in its first process. */
struct host {
	u32 mount, pid, user, root_device;
	/* An entry could not be made because a map was full: threads without one are looked up by their namespace. */
	u64 threads_missed;
	u64 containers_missed;
	u64 fold_missed;
	u64 hooks; /* the layer of security hooks is there */
	u64 found; /* the loader has seen what the host is: the iterator tells of tasks from now on */
	u8 wanted[KINDS]; /* bulk kinds that somebody asked for */
};
struct host host SEC(".bss") = {};

/* ---- maps ---- */

struct thread {
	u64 container;
	struct identity seen;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 32768);
	__type(key, u32);
	__type(value, struct thread);
} threads SEC(".maps");

struct container {
	u64 processes;
	u64 parent;
	u64 root_inode;
	u32 root_device;
	u32 mount;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 8192);
	__type(key, u64);
	__type(value, struct container);
} containers SEC(".maps");

/* Inode number of a mount namespace to the container that it belongs to. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 8192);
	__type(key, u32);
	__type(value, u64);
} mount_namespaces SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 8 << 20);
} rare SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 8 << 20);
} bulk SEC(".maps");

/* The programs that system calls are handed to. */
struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, PROGRAMS);
	__type(key, u32);
	__type(value, u32);
} programs SEC(".maps");

/* System calls by number, those of the 32-bit table from COMPAT_SLOT on. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, CALL_SLOTS);
	__type(key, u32);
	__type(value, struct call);
} calls SEC(".maps");

/* Files told of on the rare lane whatever is done to them: control sockets, binaries of the runtime. */
struct watched_file {
	u64 inode;
	u32 device;
	u32 unused;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 4096);
	__type(key, struct watched_file);
	__type(value, u32);
} watched SEC(".maps");

/* Events that found no room, by lane, kind and container, counted up and never reset. */
struct loss_key {
	u64 container;
	u16 kind;
	u16 lane;
	u32 unused;
};

struct loss {
	u64 count;
	u64 first;
	u64 last;
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_HASH);
	__uint(max_entries, 2048);
	__type(key, struct loss_key);
	__type(value, struct loss);
} losses SEC(".maps");

/* Events handed over, by lane and kind. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 2 * KINDS);
	__type(key, u32);
	__type(value, u64);
} sent SEC(".maps");

/* How many rare events a container sent within this second. */
struct budget {
	u64 second;
	u64 used;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 8192);
	__type(key, u64);
	__type(value, struct budget);
} budgets SEC(".maps");

/* Repeats. The first event of a key is sent, the next ones are only counted. At every interval the loader says that
 * the other map is to be used from now on (`fold_turn`), waits until no program can still hold the first, and
 * reads it. The wait is an update of an array of maps, which returns when all programs that ran before it have ended
 * (maybe_wait_bpf_programs(), kernel/bpf/syscall.c), so no count is lost between. */
struct fold_key {
	u64 object;
	u64 way;
	u64 detail;
	u32 process;
	u16 kind;
	u16 number;
};

struct fold {
	u64 count;
	u64 container;
};

struct fold_map {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 8192);
	__type(key, struct fold_key);
	__type(value, struct fold);
};

/* 0: the first map is in use; 1: the second. By itself, since the loader writes it while programs run. */
volatile u64 fold_turn SEC(".data.turn") = 0;

struct fold_map fold_first SEC(".maps");
struct fold_map fold_second SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, 1);
	__type(key, u32);
	__array(values, struct fold_map);
} fold_wait SEC(".maps") = { .values = { &fold_first } };

struct record {
	struct head head;
	/* An attachment begins before RECORD_MAX and may reach beyond it; what reaches beyond is sent all the same. */
	u8 rest[RECORD_MAX + BLOCK_MAX + 512 - sizeof(struct head)];
};

/* One record a processor: tracepoint programs run with preemption off. The second is for those that may run in an
 * interrupt, the third for the iterator, which may be preempted. */
enum {
	RECORD_TASK,
	RECORD_INTERRUPT,
	RECORD_ITERATOR,
	/* Security hooks may be preempted by each other: each takes a free one, see hooks.bpf.c. */
	RECORD_HOOKS,
	RECORDS = RECORD_HOOKS + 4,
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, RECORDS);
	__type(key, u32);
	__type(value, struct record);
} records SEC(".maps");

/* What a security hook saw the kernel resolve in the call that a thread is in: the beginning of a record, whose
 * attachments the call's own record takes over at its exit. */
#define NOTED_MAX 2048

struct noted {
	struct head head;
	u8 rest[NOTED_MAX];
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1024);
	__type(key, u32);
	__type(value, struct noted);
} notes SEC(".maps");

/* ---- tasks ---- */

static __always_inline struct thread *thread_of(u32 tid)
{
	return bpf_map_lookup_elem(&threads, &tid);
}

/* An argument of a tracepoint or hook as a number. Loaded as it stands it would be a pointer that the verifier knows, and
 * those cannot be handed to functions that are verified by themselves (nor can what READ gives with CAST). */
static __always_inline u64 argument_at(u64 *ctx, int position)
{
	u64 number = 0;

	bpf_probe_read_kernel(&number, sizeof(number), ctx + position);
	return number;
}

/* The thread's entry. A worker of io_uring, whose making no tracepoint tells, stands for the first thread of its process
 * (create_io_thread() in kernel/fork.c). */
static __always_inline struct thread *member(struct task_struct *task)
{
	struct thread *thread = thread_of(TASK(task, pid));

	if (!thread && TASK(task, flags) & PF_IO_WORKER)
		thread = thread_of(TASK(task, tgid));
	return thread;
}

/* The container of a mount namespace; for threads that found no room in `threads`. */
static __always_inline u64 container_of_namespace(u32 mount)
{
	u64 *key = bpf_map_lookup_elem(&mount_namespaces, &mount);

	return key ? *key : 0;
}

static __always_inline struct record *record_of(u32 which)
{
	return bpf_map_lookup_elem(&records, &which);
}

/* A task's number in its own pid namespace. `pid` may be any pointer. */
static __always_inline u32 inside_number(struct pid *pid)
{
	struct upid upid = {};
	u64 level;

	if (!pid)
		return 0;
	/* At most 32 (MAX_PID_NS_LEVEL, include/linux/pid_namespace.h); the verifier wants to know. */
	level = READ(pid, level);
	asm volatile("" : "+r"(level));
	level &= 63;
	bpf_probe_read_kernel(&upid.nr, sizeof(upid.nr),
			      (void *)pid + bpf_core_field_offset(struct pid, numbers) +
				      level * (u64)bpf_core_type_size(struct upid) + bpf_core_field_offset(struct upid, nr));
	return upid.nr;
}

static __always_inline u32 pid_namespace_of(struct pid *pid)
{
	struct pid_namespace *ns = NULL;
	u64 level;

	if (!pid)
		return 0;
	/* At most 32 (MAX_PID_NS_LEVEL, include/linux/pid_namespace.h); the verifier wants to know. */
	level = READ(pid, level);
	asm volatile("" : "+r"(level));
	level &= 63;
	bpf_probe_read_kernel(&ns, sizeof(ns),
			      (void *)pid + bpf_core_field_offset(struct pid, numbers) +
				      level * (u64)bpf_core_type_size(struct upid) + bpf_core_field_offset(struct upid, ns));
	return ns ? READ(ns, ns.inum) : 0;
}

static __always_inline u64 capability_set(const struct cred *cred, u32 offset)
{
	u64 set = 0;

	bpf_probe_read_kernel(&set, sizeof(set), (void *)cred + offset);
	return set;
}

static __always_inline void read_cred(struct credentials *to, const struct cred *cred)
{
	u32 first = bpf_core_field_offset(struct cred, uid);
	u32 caps = bpf_core_field_offset(struct cred, cap_inheritable);

	/* Eight identities and five sets stand in a row unless the kernel's structures are shuffled. */
	if (bpf_core_field_offset(struct cred, fsgid) - first == 28) {
		bpf_probe_read_kernel(&to->uid, 32, (void *)cred + first);
	} else {
		to->uid = READ(cred, uid.val);
		to->gid = READ(cred, gid.val);
		to->suid = READ(cred, suid.val);
		to->sgid = READ(cred, sgid.val);
		to->euid = READ(cred, euid.val);
		to->egid = READ(cred, egid.val);
		to->fsuid = READ(cred, fsuid.val);
		to->fsgid = READ(cred, fsgid.val);
	}
	if (bpf_core_field_offset(struct cred, cap_ambient) - caps == 32) {
		bpf_probe_read_kernel(&to->inheritable, 40, (void *)cred + caps);
	} else {
		to->inheritable = capability_set(cred, caps);
		to->permitted = capability_set(cred, bpf_core_field_offset(struct cred, cap_permitted));
		to->effective = capability_set(cred, bpf_core_field_offset(struct cred, cap_effective));
		to->bounding = capability_set(cred, bpf_core_field_offset(struct cred, cap_bset));
		to->ambient = capability_set(cred, bpf_core_field_offset(struct cred, cap_ambient));
	}
	to->user_namespace = READ(cred, user_ns, ns.inum);
	to->unused = 0;
}

/* Credentials of a task: its own, and not those that it may act with for a moment. */
static __always_inline void read_credentials(struct credentials *to, struct task_struct *task)
{
	read_cred(to, TASK(task, real_cred));
	to->no_new_privileges = TASK(task, atomic_flags) & 1; /* PFA_NO_NEW_PRIVS, bit 0 */
	to->seccomp = bpf_core_field_exists(task->seccomp.mode) ? TASK(task, seccomp.mode) : 0;
}

static __always_inline void read_identity(struct identity *to, struct task_struct *task)
{
	read_credentials(&to->credentials, task);
	to->user = to->credentials.user_namespace;
	to->mount = TASK(task, nsproxy, mnt_ns, ns.inum);
	to->network = TASK(task, nsproxy, net_ns, ns.inum);
	to->ipc = TASK(task, nsproxy, ipc_ns, ns.inum);
	to->uts = TASK(task, nsproxy, uts_ns, ns.inum);
	to->cgroup = TASK(task, nsproxy, cgroup_ns, ns.inum);
	to->pid = pid_namespace_of(TASK(task, thread_pid));
	to->unused = 0;
}

/* Fills the head with who did it: `task`, whose identity may be that of another moment. */
static __noinline void fill_actor(struct head *head, struct task_struct *task)
{
	struct task_struct *leader = TASK(task, group_leader);
	struct task_struct *parent = TASK(task, real_parent);
	struct inode *inode;
	u32 flags = TASK(task, flags);

	head->flags = (flags & PF_KTHREAD ? HEAD_KERNEL_THREAD : 0) | (flags & PF_IO_WORKER ? HEAD_IO_WORKER : 0);
	head->process = TASK(task, tgid);
	head->thread = TASK(task, pid);
	head->start = TASK(leader, start_boottime);
	head->parent_process = TASK(parent, tgid);
	head->parent_thread = head->parent_process;
	head->parent_start = TASK(parent, group_leader, start_boottime);
	head->process_inside = inside_number(TASK(leader, thread_pid));
	head->thread_inside = leader == task ? head->process_inside : inside_number(TASK(task, thread_pid));
	head->login = bpf_core_field_exists(task->loginuid) ? TASK(task, loginuid.val) : 0xffffffff;
	head->cgroup = TASK(task, cgroups, dfl_cgrp, kn, id);
	/* A step through a null pointer reads as zero. */
	inode = TASK(task, mm, exe_file, f_inode);
	head->executable_inode = TASK(inode, i_ino);
	head->executable_device = TASK(inode, i_sb, s_dev);
	read_identity(&head->identity, task);
	bpf_probe_read_kernel(head->name, sizeof(head->name), (void *)task + bpf_core_field_offset(struct task_struct, comm));
}

/* ---- attachments ---- */

/* Where the next attachment goes, or a place that is never sent when the record is full. */
static __always_inline struct attachment *next_attachment(struct record *record)
{
	u32 at;

	if (!record)
		return NULL;
	at = record->head.size;
	if (at >= RECORD_MAX) {
		record->head.flags |= HEAD_FULL;
		return NULL;
	}
	asm volatile("" : "+r"(at));
	at &= RECORD_MAX - 1;
	return (void *)record + at;
}

/* `length` bytes follow `attachment`, the last one of the record. */
static __always_inline void close_attachment(struct record *record, struct attachment *attachment, u16 type, u8 index,
					     u8 flags, u32 length)
{
	attachment->type = type;
	attachment->index = index;
	attachment->flags = flags;
	attachment->length = length;
	record->head.size += (sizeof(*attachment) + length + 7) & ~7u;
}

__noinline int attach_user_text(u32 which, u32 index, u64 pointer)
{
	struct record *record = record_of(which);
	struct attachment *attachment = next_attachment(record);
	long length;

	if (!attachment || !pointer)
		return 0;
	length = bpf_probe_read_user_str(attachment + 1, TEXT_MAX, (void *)pointer);
	if (length < 0) {
		close_attachment(record, attachment, ATTACH_TEXT_USER, index, FLAG_FAULT, 0);
		return 0;
	}
	close_attachment(record, attachment, ATTACH_TEXT_USER, index, length >= TEXT_MAX ? FLAG_CUT : 0,
			 (length - 1) & (TEXT_MAX - 1));
	return length > 1 && *(u8 *)(attachment + 1) == '/' ? 2 : 1;
}

__noinline int attach_kernel_text(u32 which, u32 index, u64 pointer)
{
	struct record *record = record_of(which);
	struct attachment *attachment = next_attachment(record);
	long length;

	if (!attachment || !pointer)
		return 0;
	length = bpf_probe_read_kernel_str(attachment + 1, TEXT_MAX, (void *)pointer);
	if (length < 0)
		return 0;
	close_attachment(record, attachment, ATTACH_TEXT_KERNEL, index, length >= TEXT_MAX ? FLAG_CUT : 0,
			 (length - 1) & (TEXT_MAX - 1));
	return 0;
}

/* Up to BLOCK_MAX bytes of user memory. */
__noinline int attach_block(u32 which, u32 index, u64 pointer, u64 length)
{
	struct record *record = record_of(which);
	struct attachment *attachment = next_attachment(record);
	u8 flags = 0;

	if (!attachment || !pointer || !length)
		return 0;
	if (length > BLOCK_MAX - 1) {
		length = BLOCK_MAX - 1;
		flags = FLAG_CUT;
	}
	asm volatile("" : "+r"(length));
	length &= BLOCK_MAX - 1;
	if (bpf_probe_read_user(attachment + 1, length, (void *)pointer)) {
		flags = FLAG_FAULT;
		length = 0;
	}
	close_attachment(record, attachment, ATTACH_BLOCK, index, flags, length);
	return 0;
}

/* Writes the names from `dentry` up to the root of its mount tree after `done` bytes of an attachment that begins at
 * the record's end; gives how many bytes there are then, and above the lowest 16 bits how many of them are within the
 * mount; or -1 where not all names fitted.
 * As d_path() in fs/d_path.c, without its locks: a rename at this very moment can mix old and new names.
 * Every pointer here is a number to the verifier: with types among them it looks at each step of the loop many times. */
__noinline long write_path(u32 which, u32 done, u64 mount_address, u64 dentry_address)
{
	struct vfsmount *vfsmount = (void *)mount_address;
	struct dentry *dentry = (void *)dentry_address;
	struct mount *mount = (void *)vfsmount - bpf_core_field_offset(struct mount, mnt);
	struct dentry *mount_root = BPF_CORE_READ(mount, mnt.mnt_root);
	struct record *record = record_of(which);
	u32 start, at;
	u64 within = 0;
	bool left = false;
	int i;

	if (!record)
		return -1;
	start = record->head.size + sizeof(struct attachment) + done;
	at = start;

	for (i = 0; i < PATH_PARTS; i++) {
		struct {
			struct dentry *parent;
			u64 hash_and_length;
			const unsigned char *name;
		} link = {};
		struct dentry *parent;
		long length;

		if (dentry == mount_root) {
			struct mount *up = BPF_CORE_READ(mount, mnt_parent);

			if (!left)
				within = at - start;
			left = true;
			if (up == mount || !up)
				return (at - start) | within << 16;
			dentry = BPF_CORE_READ(mount, mnt_mountpoint);
			mount = up;
			mount_root = BPF_CORE_READ(mount, mnt.mnt_root);
			continue;
		}
		/* d_parent and d_name stand in a row unless the kernel's structures are shuffled. */
		if (bpf_core_field_offset(struct dentry, d_name) == bpf_core_field_offset(struct dentry, d_parent) + 8) {
			bpf_probe_read_kernel(&link, sizeof(link), (void *)dentry + bpf_core_field_offset(struct dentry, d_parent));
		} else {
			link.parent = BPF_CORE_READ(dentry, d_parent);
			link.name = BPF_CORE_READ(dentry, d_name.name);
		}
		parent = link.parent;
		if (parent == dentry || !parent) {
			/* No directory holds it: a memfd, a pipe, a socket, or a tree that was taken off. */
			if (at != start)
				return (at - start) | (left ? within : at - start) << 16;
		}
		if (at >= RECORD_MAX + 1024)
			return -1;
		asm volatile("" : "+r"(at));
		at &= 16383;
		if (at > RECORD_MAX + 1024)
			return -1;
		length = bpf_probe_read_kernel_str((void *)record + at, 256, link.name);
		if (length < 0)
			return -1;
		at += length & 511;
		if (parent == dentry || !parent)
			return (at - start) | (u64)(at - start) << 16;
		dentry = parent;
	}
	return -1;
}

/* The names from `dentry` up to the root of its file system. */
__noinline int attach_names(u32 which, u32 index, u64 dentry_address)
{
	struct record *record = record_of(which);
	struct attachment *attachment = next_attachment(record);
	struct dentry *dentry = (void *)dentry_address;
	u32 start, at;
	u8 flags = FLAG_CUT;
	int i;

	if (!record || !attachment)
		return 0;
	start = record->head.size + sizeof(struct attachment);
	at = start;
	for (i = 0; i < PATH_PARTS; i++) {
		struct dentry *parent = BPF_CORE_READ(dentry, d_parent);
		long length;

		if (parent == dentry || !parent) {
			flags = 0;
			break;
		}
		if (at >= RECORD_MAX + 1024)
			break;
		asm volatile("" : "+r"(at));
		at &= 16383;
		if (at > RECORD_MAX + 1024)
			break;
		length = bpf_probe_read_kernel_str((void *)record + at, 256, BPF_CORE_READ(dentry, d_name.name));
		if (length < 0)
			break;
		at += length & 511;
		dentry = parent;
	}
	close_attachment(record, attachment, ATTACH_PATH, index, flags, (at - start) & 8191);
	return 0;
}

__noinline int attach_path(u32 which, u32 index, u64 mount, u64 dentry)
{
	struct record *record = record_of(which);
	struct attachment *attachment = next_attachment(record);
	long length;

	if (!attachment || !dentry)
		return 0;
	length = write_path(which, 0, mount, dentry);
	close_attachment(record, attachment, ATTACH_PATH, index, length < 0 ? FLAG_CUT : 0, length < 0 ? 0 : length & 8191);
	return 0;
}

static __always_inline struct file *file_of(struct task_struct *task, u64 descriptor)
{
	struct file **all;
	struct file *file = NULL;

	if (descriptor >= TASK(task, files, fdt, max_fds))
		return NULL;
	all = TASK(task, files, fdt, fd);
	bpf_probe_read_kernel(&file, sizeof(file), all + descriptor);
	return file;
}

/* The same without a call where that is possible. What it gives cannot be handed on to a function. */
static __always_inline struct file *peek_file(struct task_struct *task, u64 descriptor)
{
#ifdef CAST
	struct file **all;

	if (descriptor >= TASK(task, files, fdt, max_fds))
		return NULL;
	all = TASK(task, files, fdt, fd);
	/* A pointer in memory, read as the only field of a type that has one. */
	return (struct file *)READ((struct hlist_head *)(all + descriptor), first);
#else
	return file_of(task, descriptor);
#endif
}

#define OVERLAYFS_MAGIC 0x794c7630
#define MEMFD_MODE 0100000

static __always_inline bool on_upper_layer(struct inode *inode)
{
	struct dentry *upper = NULL;

	/* `__upperdentry` follows the inode inside struct ovl_inode (fs/overlayfs/ovl_entry.h); where overlayfs is a
	 * module its own types are not in the kernel's BTF. */
	bpf_probe_read_kernel(&upper, sizeof(upper), (void *)inode + bpf_core_type_size(struct inode));
	return upper != NULL;
}

/* Inode number of the mount namespace that a mount is in; 0 for mounts inside the kernel, whose namespace is an error
 * value (MNT_NS_INTERNAL), and for those that were taken off. */
static __always_inline u32 mount_namespace_of(struct vfsmount *vfsmount)
{
	struct mount *mount = (void *)vfsmount - bpf_core_field_offset(struct mount, mnt);
	u64 namespace = (u64)READ(mount, mnt_ns);

	if (!namespace || namespace >= (u64)-4095)
		return 0;
	return READ((struct mnt_namespace *)namespace, ns.inum);
}

static __always_inline u32 mount_number(struct vfsmount *vfsmount)
{
	return READ((struct mount *)((void *)vfsmount - bpf_core_field_offset(struct mount, mnt)), mnt_id);
}

static __noinline int fill_file(struct file_part *part, u64 file_address, u32 own_mount_namespace)
{
	struct file *file = (void *)file_address;
	struct inode *inode = READ(file, f_inode);
	struct super_block *super = READ(inode, i_sb);

	part->inode = READ(inode, i_ino);
	part->magic = READ(super, s_magic);
	part->device = READ(super, s_dev);
	part->mode = READ(inode, i_mode);
	part->device_node = READ(inode, i_rdev);
	part->links = READ(inode, i_nlink);
	part->open_flags = READ(file, f_flags);
	part->unused = 0;
	part->within = 0;
	part->flags = 0;
	part->mount = mount_number(READ(file, f_path.mnt));
	part->mount_namespace = mount_namespace_of(READ(file, f_path.mnt));
	if (part->mount_namespace && part->mount_namespace != own_mount_namespace)
		part->flags |= FILE_FOREIGN;
	if (part->magic == OVERLAYFS_MAGIC && on_upper_layer(inode))
		part->flags |= FILE_UPPER;
	if (!part->links)
		part->flags |= FILE_NAMELESS;
	return 0;
}

static __always_inline u64 task_of_pid(struct pid *pid)
{
	struct hlist_node *first = pid ? BPF_CORE_READ(pid, tasks[PIDTYPE_PID].first) : NULL;

	return first ? (u64)first - bpf_core_field_offset(struct task_struct, pid_links) : 0;
}

/* What is told of a task. `address` is a task's, known to the verifier or not. */
static __always_inline int write_task(struct record *record, u32 index, u64 address)
{
	struct attachment *attachment = next_attachment(record);
	struct task_struct *task = (void *)address;
	struct task_part *part;
	struct thread *thread;

	if (!attachment || !task)
		return 0;
	part = (void *)(attachment + 1);
	part->process = READ(task, tgid);
	part->thread = READ(task, pid);
	part->start = READ(task, group_leader, start_boottime);
	part->inside = inside_number(READ(task, thread_pid));
	part->flags = READ(task, flags);
	thread = thread_of(part->thread);
	part->container = thread ? thread->container : 0;
	close_attachment(record, attachment, ATTACH_TASK, index, 0, sizeof(*part));
	return 0;
}

static __noinline int attach_task(struct record *record, u32 index, u64 address)
{
	return write_task(record, index, address);
}

/* The same for who is verified by itself, and so takes no pointer. */
__noinline int attach_found_task(u32 which, u32 index, u64 address)
{
	return write_task(record_of(which), index, address);
}

#define PROC_SUPER_MAGIC 0x9fa0

/* What a path or a file leaves out: its names above the root of its mount, and whose file of /proc it is. */
__noinline int attach_file_origin(u32 which, u32 index, u64 mount_root, u64 inode_address)
{
	struct dentry *root = (void *)mount_root;
	struct inode *inode = (void *)inode_address;
	struct proc_inode *proc;

	if (READ(root, d_parent) != root)
		attach_names(which, INDEX_ABOVE_MOUNT + index, mount_root);
	if (READ(inode, i_sb, s_magic) != PROC_SUPER_MAGIC)
		return 0;
	proc = (void *)inode - bpf_core_field_offset(struct proc_inode, vfs_inode);
	attach_found_task(which, INDEX_PROCESS + index, task_of_pid(BPF_CORE_READ(proc, pid)));
	return 0;
}

__noinline int attach_file(u32 which, u32 index, u64 file_address)
{
	struct record *record = record_of(which);
	struct attachment *attachment = next_attachment(record);
	struct file *file = (void *)file_address;
	struct file_part *part;
	long length;

	if (!attachment || !file_address)
		return 0;
	part = (void *)(attachment + 1);
	fill_file(part, file_address, record->head.identity.mount);
	length = write_path(which, sizeof(struct file_part), (u64)BPF_CORE_READ(file, f_path.mnt),
			    (u64)BPF_CORE_READ(file, f_path.dentry));
	part->within = length < 0 ? 0 : length >> 16;
	close_attachment(record, attachment, ATTACH_FILE, index, length < 0 ? FLAG_CUT : 0,
			 sizeof(struct file_part) + (length < 0 ? 0 : length & 8191));
	attach_file_origin(which, index, (u64)BPF_CORE_READ(file, f_path.mnt, mnt_root),
			   (u64)BPF_CORE_READ(file, f_inode));
	return 0;
}

static __always_inline void attach_identity(struct record *record, u32 index, struct identity *identity)
{
	struct attachment *attachment = next_attachment(record);

	if (!attachment)
		return;
	__builtin_memcpy(attachment + 1, identity, sizeof(*identity));
	close_attachment(record, attachment, ATTACH_CREDENTIALS, index, 0, sizeof(*identity));
}

/* ---- lanes ---- */

__noinline int count_loss(u64 container, u32 kind, u32 lane)
{
	struct loss_key key = { .container = container, .kind = kind, .lane = lane };
	struct loss *loss = bpf_map_lookup_elem(&losses, &key);
	u64 now = bpf_ktime_get_boot_ns();

	if (!loss) {
		struct loss none = {};

		if (bpf_map_update_elem(&losses, &key, &none, BPF_NOEXIST) < 0 || 1)
			loss = bpf_map_lookup_elem(&losses, &key);
		if (!loss) {
			/* The account is full of containers: one without a container takes it. */
			key.container = 0;
			bpf_map_update_elem(&losses, &key, &none, BPF_NOEXIST);
			loss = bpf_map_lookup_elem(&losses, &key);
		}
	}
	if (!loss)
		return 0;
	if (!loss->count)
		loss->first = now;
	loss->last = now;
	loss->count++;
	return 0;
}

/* Whether the container may still send a rare event in this second. Two processors may each see the last one free. */
__noinline int within_budget(u64 container, u64 now)
{
	struct budget *budget = bpf_map_lookup_elem(&budgets, &container);
	u64 second = now >> 30;

	if (!budget) {
		struct budget fresh = { .second = second, .used = 1 };

		bpf_map_update_elem(&budgets, &container, &fresh, BPF_ANY);
		return 1;
	}
	if (budget->second != second) {
		budget->second = second;
		budget->used = 0;
	}
	if (budget->used >= settings.budget)
		return 0;
	budget->used++;
	return 1;
}

__noinline int send(u32 which, u32 lane)
{
	struct record *record = record_of(which);
	u32 size, slot;
	u64 *count;
	long failed;

	if (!record)
		return 0;
	size = record->head.size;
	record->head.time = bpf_ktime_get_boot_ns();
	record->head.cpu = bpf_get_smp_processor_id();
	if (lane == LANE_RARE && !within_budget(record->head.container, record->head.time))
		lane = LANE_BULK;
	record->head.lane = lane;
	if (size > sizeof(*record))
		size = sizeof(*record);
	if (lane == LANE_RARE) {
		failed = bpf_ringbuf_output(&rare, record, size, 0);
	} else {
		u64 waiting = bpf_ringbuf_query(&bulk, BPF_RB_AVAIL_DATA);

		failed = bpf_ringbuf_output(&bulk, record, size,
					    waiting > settings.bulk_wakeup ? BPF_RB_FORCE_WAKEUP : BPF_RB_NO_WAKEUP);
	}
	if (failed) {
		count_loss(record->head.container, record->head.kind, lane);
		return 0;
	}
	slot = (lane == LANE_BULK ? KINDS : 0) + (record->head.kind & (KINDS - 1));
	count = bpf_map_lookup_elem(&sent, &slot);
	if (count)
		*count += 1;
	return 0;
}

static __always_inline struct fold *find_fold(struct fold_key *key)
{
	if (fold_turn)
		return bpf_map_lookup_elem(&fold_second, key);
	return bpf_map_lookup_elem(&fold_first, key);
}

/* Notes that a key was met in this window; the entry of one who was faster, which then counts it, or none.
 * The turn is read once: an entry made in the map that was just taken out is read with the others. */
static __noinline struct fold *note_key(struct fold_key *key, u64 container)
{
	struct fold fresh = { .container = container };
	struct fold *fold;

	if (fold_turn) {
		if (!bpf_map_update_elem(&fold_second, key, &fresh, BPF_NOEXIST))
			return NULL;
		fold = bpf_map_lookup_elem(&fold_second, key);
	} else {
		if (!bpf_map_update_elem(&fold_first, key, &fresh, BPF_NOEXIST))
			return NULL;
		fold = bpf_map_lookup_elem(&fold_first, key);
	}
	if (!fold)
		__sync_fetch_and_add(&host.fold_missed, 1);
	return fold;
}

/* ---- beginning a record ---- */

#define IDENTITY_BEFORE 0

static __always_inline bool had_root(const struct credentials *c)
{
	return !c->uid || !c->euid || !c->suid || !c->fsuid;
}

/* Whether `now` has more than `seen` had: root's identity, a capability, another user or mount namespace. */
static __always_inline bool gained(const struct identity *seen, const struct identity *now)
{
	if (seen->user != now->user || seen->mount != now->mount)
		return true;
	if (had_root(&now->credentials) && !had_root(&seen->credentials))
		return true;
	return ((now->credentials.permitted & ~seen->credentials.permitted) |
		(now->credentials.effective & ~seen->credentials.effective)) != 0;
}

static __always_inline void reset_record(struct record *record, u32 kind, u32 entry, u32 number, s64 result)
{
	record->head.size = sizeof(struct head);
	record->head.kind = kind;
	record->head.entry = entry;
	record->head.number = number;
	record->head.result = result;
	record->head.fold = 0;
	record->head.count = 1;
}

/* Compares what the thread is with what it was last seen to be; tells where it gained and no call explains it. */
static __noinline int compare_identity(struct record *record, struct thread *thread)
{
	u32 kind = record->head.kind;
	u32 entry = record->head.entry;
	u32 size = record->head.size;

	if (gained(&thread->seen, &record->head.identity)) {
		record->head.kind = KIND_UNEXPLAINED_GAIN;
		record->head.entry = ENTRY_KERNEL;
		attach_identity(record, IDENTITY_BEFORE, &thread->seen);
		send(RECORD_TASK, LANE_RARE);
		record->head.kind = kind;
		record->head.entry = entry;
		record->head.size = size;
	}
	thread->seen = record->head.identity;
	return 0;
}

/* A record about the current task, its actor filled. */
static __always_inline void begin_record(struct record *record, struct task_struct *task, struct thread *thread, u32 kind,
					 u32 entry, u32 number, s64 result, bool explains)
{
	reset_record(record, kind, entry, number, result);
	record->head.container = thread ? thread->container : 0;
	fill_actor(&record->head, task);
	if (!thread)
		return;
	if (explains) {
		attach_identity(record, IDENTITY_BEFORE, &thread->seen);
		thread->seen = record->head.identity;
	} else {
		compare_identity(record, thread);
	}
}

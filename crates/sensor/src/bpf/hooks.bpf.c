/* The better layer, where the kernel takes BPF security hooks (CONFIG_BPF_LSM and `bpf` among the active modules) and
 * the trampolines they need: what the kernel resolved, noted in the hook and told with the call's own record at its
 * exit; and what io_uring opens and reaches, which no call tells. An object of its own, which shares the base layer's
 * maps. The hooks only look: they all return 0. */
#include "common.bpf.h"

#define IO_URING_ENTER 426

char LICENSE[] SEC("license") = "Dual BSD/GPL";

/* Which of this processor's records are taken. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, RECORDS);
	__type(key, u32);
	__type(value, u64);
} taken SEC(".maps");

/* A record that no other hook on this processor uses, or 0. Hooks stay on their processor, but may be preempted. */
static __always_inline u32 take_record(void)
{
	u32 which;

	for (which = RECORD_HOOKS; which < RECORDS; which++) {
		u32 slot = which;
		u64 *busy = bpf_map_lookup_elem(&taken, &slot);

		if (busy && !__sync_val_compare_and_swap(busy, 0, 1))
			return which;
	}
	return 0;
}

static __always_inline void give_back(u32 which)
{
	u64 *busy = bpf_map_lookup_elem(&taken, &which);

	if (busy)
		*busy = 0;
}

static __always_inline struct thread *own_thread(struct task_struct *task)
{
	return member(task);
}

/* A record to note into, for members of containers; 0 for others. */
static __always_inline u32 begin_note(struct task_struct *task)
{
	struct record *record;
	u32 which;

	if (!own_thread(task))
		return 0;
	which = take_record();
	if (!which)
		return 0;
	record = record_of(which);
	if (record)
		record->head.size = sizeof(struct head);
	return which;
}

static __always_inline void end_note(struct task_struct *task, u32 which)
{
	struct record *record = record_of(which);
	u32 tid = TASK(task, pid);

	if (record)
		bpf_map_update_elem(&notes, &tid, record, BPF_ANY);
	give_back(which);
}

static __always_inline void note_path(u32 which, u32 index, u64 address)
{
	struct path *path = (void *)address;

	attach_path(which, INDEX_NOTED + index, (u64)BPF_CORE_READ(path, mnt), (u64)BPF_CORE_READ(path, dentry));
}

/* A name in a directory: the mount is the directory's. */
static __always_inline void note_name(u32 which, u32 index, u64 directory_address, u64 dentry)
{
	struct path *directory = (void *)directory_address;

	attach_path(which, INDEX_NOTED + index, (u64)BPF_CORE_READ(directory, mnt), dentry);
}

/* int sb_mount(const char *dev_name, const struct path *path, const char *type, unsigned long flags, void *data) */
SEC("lsm/sb_mount")
int hook_sb_mount(u64 *ctx)
{
	struct task_struct *task = current_task();
	u32 which = begin_note(task);

	if (!which)
		return 0;
	attach_kernel_text(which, INDEX_NOTED, argument_at(ctx, 0));
	note_path(which, 1, argument_at(ctx, 1));
	attach_kernel_text(which, INDEX_NOTED + 2, argument_at(ctx, 2));
	end_note(task, which);
	return 0;
}

/* int sb_umount(struct vfsmount *mnt, int flags) */
SEC("lsm/sb_umount")
int hook_sb_umount(u64 *ctx)
{
	struct task_struct *task = current_task();
	u64 mount = argument_at(ctx, 0);
	u32 which = begin_note(task);

	if (!which)
		return 0;
	attach_path(which, INDEX_NOTED, mount, (u64)BPF_CORE_READ((struct vfsmount *)mount, mnt_root));
	end_note(task, which);
	return 0;
}

/* Notes two paths that are arguments of the hook. */
static __always_inline int note_two(u64 *ctx, u32 first, u32 second)
{
	struct task_struct *task = current_task();
	u32 which = begin_note(task);

	if (!which)
		return 0;
	note_path(which, 0, argument_at(ctx, first));
	note_path(which, 1, argument_at(ctx, second));
	end_note(task, which);
	return 0;
}

/* int move_mount(const struct path *from_path, const struct path *to_path) */
SEC("lsm/move_mount")
int hook_move_mount(u64 *ctx)
{
	return note_two(ctx, 0, 1);
}

/* int sb_pivotroot(const struct path *old_path, const struct path *new_path) */
SEC("lsm/sb_pivotroot")
int hook_sb_pivotroot(u64 *ctx)
{
	return note_two(ctx, 1, 0);
}

/* int path_rename(old_dir, old_dentry, new_dir, new_dentry, …): the hooks on paths need CONFIG_SECURITY_PATH. */
SEC("lsm/path_rename")
int hook_path_rename(u64 *ctx)
{
	struct task_struct *task = current_task();
	u32 which;

	if (!host.wanted[KIND_RENAME])
		return 0;
	which = begin_note(task);
	if (!which)
		return 0;
	note_name(which, 0, argument_at(ctx, 0), argument_at(ctx, 1));
	note_name(which, 1, argument_at(ctx, 2), argument_at(ctx, 3));
	end_note(task, which);
	return 0;
}

/* int path_mknod(const struct path *dir, struct dentry *dentry, umode_t mode, unsigned int dev) */
SEC("lsm/path_mknod")
int hook_path_mknod(u64 *ctx)
{
	struct task_struct *task = current_task();
	u32 mode = argument_at(ctx, 2);
	u32 which;

	/* Of devices only: making a plain file comes here too. */
	if ((mode & 0170000) != 0020000 && (mode & 0170000) != 0060000)
		return 0;
	which = begin_note(task);
	if (!which)
		return 0;
	note_name(which, 0, argument_at(ctx, 0), argument_at(ctx, 1));
	end_note(task, which);
	return 0;
}

/* int path_chroot(const struct path *path) */
SEC("lsm/path_chroot")
int hook_path_chroot(u64 *ctx)
{
	struct task_struct *task = current_task();
	u32 which = begin_note(task);

	if (!which)
		return 0;
	note_path(which, 0, argument_at(ctx, 0));
	end_note(task, which);
	return 0;
}

/* Whether an io_uring request runs: in one of its workers, or inside io_uring_enter(2). */
static __always_inline bool in_io_uring(struct task_struct *task)
{
	struct pt_regs *regs;

	if (task->flags & PF_IO_WORKER)
		return true;
	regs = (struct pt_regs *)bpf_task_pt_regs(task);
	return BPF_CORE_READ(regs, orig_ax) == IO_URING_ENTER;
}

/* int socket_connect(struct socket *sock, struct sockaddr *address, int addrlen): the address is the kernel's copy, which
 * nobody can change any more. */
SEC("lsm/socket_connect")
int hook_socket_connect(u64 *ctx)
{
	struct task_struct *task = current_task();
	struct thread *thread = own_thread(task);
	u64 address = argument_at(ctx, 1);
	u64 length = (u32)argument_at(ctx, 2);
	struct attachment *attachment;
	struct record *record;
	u32 which;

	if (!thread)
		return 0;
	which = take_record();
	if (!which)
		return 0;
	record = record_of(which);
	if (!record)
		return 0;
	record->head.size = sizeof(struct head);
	if (in_io_uring(task)) {
		begin_record(record, task, thread, KIND_CONNECT, ENTRY_IO_URING, 16, 0, false);
	}
	attachment = next_attachment(record);
	if (attachment) {
		if (length > 127)
			length = 127;
		asm volatile("" : "+r"(length));
		length &= 127;
		bpf_probe_read_kernel(attachment + 1, length, (void *)address);
		close_attachment(record, attachment, ATTACH_BLOCK, INDEX_NOTED, 0, length);
	}
	if (in_io_uring(task)) {
		send(which, LANE_RARE);
		give_back(which);
	} else {
		end_note(task, which);
	}
	return 0;
}

/* int file_open(struct file *file): told here only where io_uring opens; calls are told at their exit. */
SEC("lsm/file_open")
int hook_file_open(u64 *ctx)
{
	struct task_struct *task = current_task();
	struct thread *thread;
	struct record *record;
	u32 which;

	if (!in_io_uring(task))
		return 0;
	thread = own_thread(task);
	if (!thread)
		return 0;
	which = take_record();
	if (!which)
		return 0;
	record = record_of(which);
	if (!record)
		return 0;
	begin_record(record, task, thread, KIND_OPEN, ENTRY_IO_URING, 18, 0, false);
	attach_file(which, 0, argument_at(ctx, 0));
	send(which, LANE_RARE);
	give_back(which);
	return 0;
}

/* A commit of credentials that gain something, where the call that the task is in does not explain it. The base layer
 * finds the same at the task's next event; this is the moment itself.
 * int commit_creds(struct cred *new) */
SEC("fentry/commit_creds")
int hook_commit_creds(u64 *ctx)
{
	struct task_struct *task = current_task();
	struct thread *thread = own_thread(task);
	const struct cred *fresh = (void *)argument_at(ctx, 0);
	struct pt_regs *regs;
	struct record *record;
	struct call *call;
	u32 slot, which;

	if (!thread)
		return 0;
	regs = (struct pt_regs *)bpf_task_pt_regs(task);
	slot = BPF_CORE_READ(regs, orig_ax);
	if (slot >= COMPAT_SLOT)
		return 0;
	if (task->thread_info.status & TS_COMPAT) {
		if (slot == 11 || slot == 358) /* execve, execveat */
			return 0;
		slot += COMPAT_SLOT;
	} else if (slot == 59 || slot == 322) {
		return 0;
	}
	call = bpf_map_lookup_elem(&calls, &slot);
	if (!call || call->flags & CALL_EXPLAINS)
		return 0;
	which = take_record();
	if (!which)
		return 0;
	record = record_of(which);
	if (!record)
		return 0;
	reset_record(record, KIND_UNEXPLAINED_GAIN, ENTRY_KERNEL, 0, 0);
	record->head.container = thread->container;
	fill_actor(&record->head, task);
	read_cred(&record->head.identity.credentials, fresh);
	if (gained(&thread->seen, &record->head.identity)) {
		attach_identity(record, IDENTITY_BEFORE, &thread->seen);
		thread->seen = record->head.identity;
		send(which, LANE_RARE);
	}
	give_back(which);
	return 0;
}

/* System calls, at their exit: one program for all of them, driven by the table of calls that the loader writes, and
 * the way to the programs of the families for the calls that need more.
 *
 * Arguments are read from the registers at exit, where the kernel keeps them; memory they point to is read again, so
 * texts are marked as the user's. What a descriptor stands for is read from the kernel's own file. */
#pragma once

#include "common.bpf.h"

struct call_context {
	struct task_struct *task;
	struct thread *thread;
	struct record *record;
	struct call *call;
	u32 slot;
	bool compat;
};

static __always_inline bool is_compat(struct task_struct *task)
{
	return TASK(task, thread_info.status) & TS_COMPAT;
}

static __always_inline u32 slot_of(struct pt_regs *regs, struct task_struct *task)
{
	u64 number = TASK(regs, orig_ax);

	if (number >= COMPAT_SLOT)
		return CALL_SLOTS;
	return is_compat(task) ? number + COMPAT_SLOT : number;
}

static __always_inline u64 argument(struct pt_regs *regs, bool compat, int position)
{
	if (compat) {
		switch (position) {
		case 0: return (u32)TASK(regs, bx);
		case 1: return (u32)TASK(regs, cx);
		case 2: return (u32)TASK(regs, dx);
		case 3: return (u32)TASK(regs, si);
		case 4: return (u32)TASK(regs, di);
		default: return (u32)TASK(regs, bp);
		}
	}
	switch (position) {
	case 0: return TASK(regs, di);
	case 1: return TASK(regs, si);
	case 2: return TASK(regs, dx);
	case 3: return TASK(regs, r10);
	case 4: return TASK(regs, r8);
	default: return TASK(regs, r9);
	}
}

static __always_inline void read_arguments(struct head *head, struct pt_regs *regs, bool compat, s64 result)
{
	head->arguments[0] = argument(regs, compat, 0);
	head->arguments[1] = argument(regs, compat, 1);
	head->arguments[2] = argument(regs, compat, 2);
	head->arguments[3] = argument(regs, compat, 3);
	head->arguments[4] = argument(regs, compat, 4);
	head->arguments[5] = argument(regs, compat, 5);
	head->arguments[6] = result;
	head->arguments[7] = 0;
}

/* Argument at a position from 1 on. */
static __always_inline u64 at_position(struct record *record, u8 position)
{
	return record->head.arguments[(position - 1) & 7];
}

/* Whether the call is watched for this task: members of containers, and others where the call says so. */
static __always_inline bool watched_task(struct thread *thread, struct call *call)
{
	return thread || settings.host_events || call->flags & CALL_HOST;
}

/* The task that a number means in the pid namespace of the current task: what find_vpid() does (kernel/pid.c), with
 * the steps of idr_find() in lib/radix-tree.c and include/linux/xarray.h. */
__noinline u64 find_task(u64 own_pid, u32 number)
{
	struct pid *own = (void *)own_pid;
	struct pid_namespace *ns = NULL;
	struct hlist_node *first;
	struct pid *pid;
	u64 entry;
	u32 level, base;
	int i;

	if (!own)
		return 0;
	level = READ(own, level);
	bpf_probe_read_kernel(&ns, sizeof(ns),
			      (void *)own + bpf_core_field_offset(struct pid, numbers) +
				      level * bpf_core_type_size(struct upid) + bpf_core_field_offset(struct upid, ns));
	if (!ns)
		return 0;
	base = READ(ns, idr.idr_base);
	number -= base;
	entry = (u64)READ(ns, idr.idr_rt.xa_head);
	for (i = 0; i < 6; i++) {
		struct xa_node *node;
		u8 shift;

		/* The lowest bits are 10 for a node (xa_is_node()). */
		if ((entry & 3) != 2 || entry < 4096)
			break;
		node = (void *)(entry - 2);
		shift = READ(node, shift);
		bpf_probe_read_kernel(&entry, sizeof(entry),
				      (void *)node + bpf_core_field_offset(struct xa_node, slots) +
					      ((number >> (shift & 31)) & 63) * sizeof(void *));
	}
	pid = (void *)entry;
	if (!pid || entry & 3)
		return 0;
	/* The slot may be another number's where the tree is lower than the number is long. */
	if (inside_number(pid) != number + base && READ(pid, level) == level)
		return 0;
	first = BPF_CORE_READ(pid, tasks[PIDTYPE_PID].first);
	if (!first)
		return 0;
	return (u64)first - bpf_core_field_offset(struct task_struct, pid_links);
}

#define PID_FS_MAGIC 0x50494446

/* What a pidfd stands for: a file of pidfs since 6.9, an anonymous one before. */
static __always_inline struct pid *pid_of_file(struct file *file)
{
	struct inode *inode = READ(file, f_inode);

	if (READ(inode, i_sb, s_magic) == PID_FS_MAGIC)
		return READ(inode, i_private);
	return READ(file, private_data);
}

/* The directory that a relative text counts from. */
static __always_inline void attach_directory(struct record *record, struct task_struct *task, u32 index, u8 position)
{
	s32 descriptor = position == POSITION_WORKING_DIRECTORY ? AT_FDCWD : (s32)at_position(record, position);
	struct file *file;

	if (descriptor == AT_FDCWD) {
		attach_path(RECORD_TASK, 8 + index, (u64)BPF_CORE_READ(task, fs, pwd.mnt),
			    (u64)BPF_CORE_READ(task, fs, pwd.dentry));
		return;
	}
	file = file_of(task, descriptor);
	if (file)
		attach_path(RECORD_TASK, 8 + index, (u64)BPF_CORE_READ(file, f_path.mnt), (u64)BPF_CORE_READ(file, f_path.dentry));
}

#define O_ACCMODE 3

/* What makes two opens the same: the process, the file, the mount it came through, reading or writing. The inode's
 * number stands there beside its address, which may be another's by and by. */
static __always_inline void open_key(struct fold_key *key, struct task_struct *task, struct file *file, u32 slot)
{
	struct inode *inode = READ(file, f_inode);

	key->object = (u64)inode;
	key->way = (u64)READ(file, f_path.mnt);
	key->detail = READ(inode, i_ino) << 2 | (READ(file, f_flags) & O_ACCMODE);
	key->process = TASK(task, tgid);
	key->kind = KIND_OPEN;
	key->number = slot;
}

/* Whether this open repeats one that was looked at in this window, which was not rare; in bulk it is counted. Keys are
 * those of members of containers only, so a process of the host has no use for looking one up. */
static __always_inline bool repeats_open(struct task_struct *task, u32 slot, s64 result)
{
	struct fold_key key;
	struct fold *fold;
	struct file *file;

	if (!settings.fold || result < 0 || TASK(task, nsproxy, mnt_ns, ns.inum) == host.mount)
		return false;
	file = peek_file(task, result);
	if (!file)
		return false;
	open_key(&key, task, file, slot);
	fold = find_fold(&key);
	if (!fold)
		return false;
	if (host.wanted[KIND_OPEN])
		__sync_fetch_and_add(&fold->count, 1);
	return true;
}

/* The way from a call's number to its program. The numbers of the programs are constants, so that the tail calls become
 * direct jumps. */
SEC("tp_btf/sys_exit")
int call_exit(u64 *ctx)
{
	struct pt_regs *regs = (void *)ctx[0];
	struct task_struct *task = current_task();
	u32 slot = slot_of(regs, task);
	struct call *call = bpf_map_lookup_elem(&calls, &slot);

	if (!call)
		return 0;
	switch (call->program) {
	case PROGRAM_ANY:
		bpf_tail_call_static(ctx, &programs, PROGRAM_ANY);
		break;
	case PROGRAM_OPEN:
		if (!repeats_open(task, slot, ctx[1]))
			bpf_tail_call_static(ctx, &programs, PROGRAM_OPEN);
		break;
	case PROGRAM_SOCKET:
		bpf_tail_call_static(ctx, &programs, PROGRAM_SOCKET);
		break;
	case PROGRAM_RECEIVED:
		bpf_tail_call_static(ctx, &programs, PROGRAM_RECEIVED);
		break;
	}
	return 0;
}

/* The first steps of every program of a call. */
static __always_inline bool find_call(struct call_context *c, struct task_struct *task, struct pt_regs *regs)
{
	c->task = task;
	c->thread = NULL;
	c->slot = slot_of(regs, task);
	c->compat = c->slot >= COMPAT_SLOT;
	c->call = bpf_map_lookup_elem(&calls, &c->slot);
	return c->call != NULL;
}

static __always_inline bool enter_call(struct call_context *c, struct pt_regs *regs)
{
	struct task_struct *task = current_task();

	if (!find_call(c, task, regs))
		return false;
	c->thread = member(task);
	return watched_task(c->thread, c->call);
}

static __always_inline bool begin_call(struct call_context *c, struct pt_regs *regs, s64 result, u32 kind)
{
	c->record = record_of(RECORD_TASK);
	if (!c->record)
		return false;
	begin_record(c->record, c->task, c->thread, kind, c->compat ? ENTRY_COMPAT : ENTRY_CALL,
		     c->compat ? c->slot - COMPAT_SLOT : c->slot, result, c->call->flags & CALL_EXPLAINS);
	read_arguments(&c->record->head, regs, c->compat, result);
	return true;
}

/* Takes over what a security hook noted in this call. */
__noinline int attach_noted(u32 which, u32 thread)
{
	struct record *record = record_of(which);
	struct attachment *to = next_attachment(record);
	struct noted *noted = bpf_map_lookup_elem(&notes, &thread);
	u32 length;

	if (!to || !noted)
		return 0;
	length = noted->head.size - sizeof(struct head);
	if (length < NOTED_MAX) {
		asm volatile("" : "+r"(length));
		length &= NOTED_MAX - 1;
		bpf_probe_read_kernel(to, length, noted->rest);
		record->head.size += length;
	}
	bpf_map_delete_elem(&notes, &thread);
	return 0;
}

static __always_inline bool test_holds(struct call *call, struct pt_regs *regs, bool compat)
{
	u64 value = argument(regs, compat, (call->test_position - 1) & 7);

	switch (call->test) {
	case TEST_BITS:
		return value & call->mask;
	case TEST_NUMBER:
		value = (u32)value;
		return value > 63 || call->mask >> (value & 63) & 1;
	case TEST_BITS_AT: {
		u64 there = 0;

		bpf_probe_read_user(&there, sizeof(there), (void *)value);
		return there & call->mask;
	}
	}
	return true;
}

/* The type of a file system context: the kernel names such a file "[fscontext]" (fs/fsopen.c). */
__noinline int attach_context(u32 which, u64 file_address)
{
	struct file *file = (void *)file_address;
	struct fs_context *context;
	u64 name = 0;

	if (!file)
		return 0;
	bpf_probe_read_kernel(&name, sizeof(name), READ(file, f_path.dentry, d_name.name));
	if (name != 0x65746e6f6373665bull) /* "[fsconte" */
		return 0;
	context = READ(file, private_data);
	attach_kernel_text(which, 2, (u64)BPF_CORE_READ(context, fs_type, name));
	return 0;
}

SEC("tp_btf/sys_exit")
int call_any(u64 *ctx)
{
	struct pt_regs *regs = (void *)ctx[0];
	s64 result = ctx[1];
	struct call_context c;
	struct task_struct *task;
	u32 lane;
	int i;

	if (!enter_call(&c, regs))
		return 0;
	task = c.task;
	lane = c.call->lane;
	if (c.call->flags & CALL_NOT_ZERO && !result)
		return 0;
	if (c.call->test) {
		if (test_holds(c.call, regs, c.compat))
			lane = c.call->flags & CALL_ONLY ? lane : LANE_RARE;
		else if (c.call->flags & CALL_ONLY)
			return 0;
		else
			lane = LANE_BULK;
	}
	if (lane == LANE_BULK && !host.wanted[c.call->kind & (KINDS - 1)])
		return 0;
	if (!begin_call(&c, regs, result, c.call->kind))
		return 0;
	if (c.call->test == TEST_BITS_AT)
		bpf_probe_read_user(&c.record->head.arguments[7], 8, (void *)at_position(c.record, c.call->test_position));
	for (i = 0; i < 4; i++) {
		if (!c.call->text[i])
			continue;
		if (attach_user_text(RECORD_TASK, i, at_position(c.record, c.call->text[i])) == 1 && i < 2 &&
		    c.call->directory[i])
			attach_directory(c.record, task, i, c.call->directory[i]);
	}
	for (i = 0; i < 2; i++) {
		if (c.call->file[i])
			attach_file(RECORD_TASK, i, (u64)file_of(task, (u32)at_position(c.record, c.call->file[i])));
	}
	if (c.call->process) {
		u32 number = at_position(c.record, c.call->process);

		if (c.call->flags & CALL_PIDFD) {
			struct file *file = file_of(task, number);

			if (file)
				attach_task(c.record, 0, task_of_pid(pid_of_file(file)));
		} else if ((s32)number > 0) {
			attach_task(c.record, 0, find_task((u64)BPF_CORE_READ(task, group_leader, thread_pid), number));
		}
	}
	if (c.call->block)
		attach_block(RECORD_TASK, 0, at_position(c.record, c.call->block), c.call->block_size);
	if (c.call->flags & CALL_CONTEXT)
		attach_context(RECORD_TASK, (u64)file_of(task, (u32)at_position(c.record, 1)));
	if (host.hooks && c.call->flags & CALL_NOTED)
		attach_noted(RECORD_TASK, TASK(task, pid));
	if (c.call->after == AFTER_WORKING_DIRECTORY && result >= 0)
		attach_path(RECORD_TASK, 0, (u64)BPF_CORE_READ(task, fs, pwd.mnt), (u64)BPF_CORE_READ(task, fs, pwd.dentry));
	if (c.call->after == AFTER_ROOT && result >= 0)
		attach_path(RECORD_TASK, 0, (u64)BPF_CORE_READ(task, fs, root.mnt), (u64)BPF_CORE_READ(task, fs, root.dentry));
	send(RECORD_TASK, lane);
	return 0;
}

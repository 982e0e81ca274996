/* Processes: fork, exec and exit, from which the sensor knows which container a process belongs to. */

struct exec_scratch {
	struct thread thread;
	struct identity before;
};

/* Values too large for the 512 bytes of a program's stack. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, RECORDS);
	__type(key, u32);
	__type(value, struct exec_scratch);
} exec_scratches SEC(".maps");

static __always_inline struct exec_scratch *exec_scratch(u32 which)
{
	return bpf_map_lookup_elem(&exec_scratches, &which);
}

static __always_inline void count_process(u64 key, s64 change)
{
	struct container *container = bpf_map_lookup_elem(&containers, &key);

	if (container)
		__sync_fetch_and_add(&container->processes, change);
}

static __always_inline struct super_block *root_of(struct task_struct *task)
{
	return READ(task, fs, root.mnt, mnt_sb);
}

/* Names of the task's cgroup, the deepest first: of the version 2 hierarchy, or where the task is at its root, of the
 * first version 1 hierarchy that has a deeper one. */
__noinline int attach_cgroup(u32 which, u32 index, u64 node_address)
{
	struct record *record = record_of(which);
	struct attachment *attachment = next_attachment(record);
	struct kernfs_node *node = (void *)node_address;
	u32 start, at;
	u8 flags = FLAG_CUT;
	int i;

	if (!attachment || !node)
		return 0;
	at = start = record->head.size + sizeof(*attachment);
	for (i = 0; i < 24; i++) {
		struct kernfs_node *parent;
		long length;

		if (bpf_core_field_exists(node->parent))
			parent = BPF_CORE_READ(node, parent);
		else
			parent = BPF_CORE_READ((struct kernfs_node___since_6_15 *)node, __parent);
		if (!parent) {
			flags = 0;
			break;
		}
		if (at >= RECORD_MAX + 1024)
			break;
		asm volatile("" : "+r"(at));
		at &= 16383;
		if (at > RECORD_MAX + 1024)
			break;
		length = bpf_probe_read_kernel_str((void *)record + at, 256, READ(node, name));
		if (length < 0)
			break;
		at += length & 511;
		node = parent;
	}
	close_attachment(record, attachment, ATTACH_CGROUP, index, flags, (at - start) & 8191);
	return 0;
}

static __always_inline bool has_parent(struct kernfs_node *node)
{
	if (!node)
		return false;
	if (bpf_core_field_exists(node->parent))
		return READ(node, parent) != NULL;
	return READ((struct kernfs_node___since_6_15 *)node, __parent) != NULL;
}

static __always_inline struct kernfs_node *controller_node(struct task_struct *task, u32 controller)
{
	struct css_set *set = READ(task, cgroups);
	struct cgroup_subsys_state *state = NULL;

	bpf_probe_read_kernel(&state, sizeof(state),
			      (void *)set + bpf_core_field_offset(struct css_set, subsys) + controller * sizeof(void *));
	return state ? BPF_CORE_READ(state, cgroup, kn) : NULL;
}

static __always_inline struct kernfs_node *cgroup_node(struct task_struct *task)
{
	struct kernfs_node *node = BPF_CORE_READ(task, cgroups, dfl_cgrp, kn);

	if (has_parent(node))
		return node;
	if (bpf_core_enum_value_exists(enum cgroup_subsys_id, devices_cgrp_id)) {
		node = controller_node(task, bpf_core_enum_value(enum cgroup_subsys_id, devices_cgrp_id));
		if (has_parent(node))
			return node;
	}
	if (bpf_core_enum_value_exists(enum cgroup_subsys_id, memory_cgrp_id)) {
		node = controller_node(task, bpf_core_enum_value(enum cgroup_subsys_id, memory_cgrp_id));
		if (has_parent(node))
			return node;
	}
	if (bpf_core_enum_value_exists(enum cgroup_subsys_id, pids_cgrp_id))
		node = controller_node(task, bpf_core_enum_value(enum cgroup_subsys_id, pids_cgrp_id));
	return node;
}

/* The container of a task that executes, or that was found running: kept, entered, made, or none (0).
 * A container comes to be with the first exec in a mount namespace that is not the host's, by a task whose root is on
 * another file system than the host's, or that is in another pid or user namespace. A member that moves on keeps its
 * container, but where that one was made of namespaces alone (its root is the host's, as for rootless engines) a root
 * of another file system makes a new one. */
static __noinline u64 container_for(struct task_struct *task, u64 member_of, bool *entered, bool *made)
{
	u32 mount = TASK(task, nsproxy, mnt_ns, ns.inum);
	u32 user, pid, device;
	struct super_block *root;
	struct container *outer;
	struct container fresh = {};
	u64 key, *known;

	*entered = false;
	*made = false;
	if (mount == host.mount || !host.mount)
		return member_of;
	root = root_of(task);
	device = READ(root, s_dev);
	if (member_of) {
		outer = bpf_map_lookup_elem(&containers, &member_of);
		if (!outer || outer->mount == mount || outer->root_device != host.root_device ||
		    device == host.root_device)
			return member_of;
	}
	known = bpf_map_lookup_elem(&mount_namespaces, &mount);
	if (known) {
		*entered = true;
		return *known;
	}
	user = READ(task, real_cred, user_ns, ns.inum);
	pid = pid_namespace_of(TASK(task, thread_pid));
	if (device == host.root_device && user == host.user && pid == host.pid)
		return member_of;
	/* A number and the millisecond: namespace numbers are given again. */
	key = (u64)mount | (bpf_ktime_get_boot_ns() >> 20) << 32;
	fresh.parent = member_of;
	fresh.root_device = device;
	fresh.root_inode = READ(task, fs, root.dentry, d_inode, i_ino);
	fresh.mount = mount;
	if (bpf_map_update_elem(&mount_namespaces, &mount, &key, BPF_NOEXIST)) {
		known = bpf_map_lookup_elem(&mount_namespaces, &mount);
		if (known)
			return *known;
		__sync_fetch_and_add(&host.containers_missed, 1);
		return member_of;
	}
	if (bpf_map_update_elem(&containers, &key, &fresh, BPF_ANY))
		__sync_fetch_and_add(&host.containers_missed, 1);
	*made = true;
	return key;
}

static __always_inline int attach_root(u32 which, struct task_struct *task)
{
	struct record *record = record_of(which);
	struct attachment *attachment = next_attachment(record);
	struct file_part *part;

	if (!attachment)
		return 0;
	part = (void *)(attachment + 1);
	__builtin_memset(part, 0, sizeof(*part));
	part->inode = READ(task, fs, root.dentry, d_inode, i_ino);
	part->device = READ(task, fs, root.mnt, mnt_sb, s_dev);
	part->magic = READ(task, fs, root.mnt, mnt_sb, s_magic);
	close_attachment(record, attachment, ATTACH_FILE, 0, 0, sizeof(*part));
	return 0;
}

static __always_inline u32 number_of(struct task_struct *task, u32 type)
{
	struct pid *pid = NULL;
	struct signal_struct *signal = TASK(task, signal);

	bpf_probe_read_kernel(&pid, sizeof(pid),
			      (void *)signal + bpf_core_field_offset(struct signal_struct, pids) + type * sizeof(void *));
	return pid ? READ(pid, numbers[0].nr) : 0;
}

/* What an exec and the state at start have in common: session, file, working directory, arguments. */
static __always_inline int attach_execution(u32 which, struct task_struct *task)
{
	struct record *record = record_of(which);
	struct attachment *attachment = next_attachment(record);
	struct tty_struct *terminal = READ(task, signal, tty);
	struct exec_part *part;

	if (!attachment)
		return 0;
	part = (void *)(attachment + 1);
	__builtin_memset(part, 0, sizeof(*part));
	if (terminal) {
		part->terminal_major = READ(terminal, driver, major);
		part->terminal_minor = READ(terminal, driver, minor_start) + READ(terminal, index);
	}
	part->session = number_of(task, PIDTYPE_SID);
	part->group = number_of(task, PIDTYPE_PGID);
	part->directory_mount_namespace = mount_namespace_of(READ(task, fs, pwd.mnt));
	close_attachment(record, attachment, ATTACH_EXEC, 0, 0, sizeof(*part));
	attach_file(which, 0, (u64)BPF_CORE_READ(task, mm, exe_file));
	attach_path(which, 1, (u64)BPF_CORE_READ(task, fs, pwd.mnt), (u64)BPF_CORE_READ(task, fs, pwd.dentry));
	return 0;
}

SEC("tp_btf/sched_process_exec")
int process_exec(u64 *ctx)
{
	struct task_struct *task = (void *)ctx[0];
	u32 old_thread = ctx[1];
	struct linux_binprm *binary = (void *)ctx[2];
	struct record *record = record_of(RECORD_TASK);
	struct exec_scratch *scratch = exec_scratch(RECORD_TASK);
	u32 tid = TASK(task, pid);
	struct thread *thread;
	u64 member_of = 0, container;
	bool entered, made, helper, told;
	u32 flags = 0;

	if (!record || !scratch)
		return 0;
	/* A thread that executes takes the number of its leader. */
	thread = thread_of(old_thread);
	if (thread) {
		member_of = thread->container;
		scratch->before = thread->seen;
	} else {
		flags = HEAD_NOT_BEFORE;
	}
	container = container_for(task, member_of, &entered, &made);
	helper = READ(task, real_parent, flags) & PF_KTHREAD && !thread;
	told = container || settings.host_events || helper;
	if (old_thread != tid)
		bpf_map_delete_elem(&threads, &old_thread);
	if (!told)
		return 0;

	reset_record(record, KIND_EXECVE, ENTRY_KERNEL, 0, 0);
	record->head.container = container;
	fill_actor(&record->head, task);
	if (container) {
		scratch->thread.container = container;
		scratch->thread.seen = record->head.identity;
		if (bpf_map_update_elem(&threads, &tid, &scratch->thread, BPF_ANY))
			__sync_fetch_and_add(&host.threads_missed, 1);
		if (!member_of || member_of != container)
			count_process(container, 1);
		if (member_of && member_of != container)
			count_process(member_of, -1);
	}
	if (made) {
		record->head.kind = KIND_CONTAINER_STARTED;
		attach_root(RECORD_TASK, task);
		attach_cgroup(RECORD_TASK, 0, (u64)cgroup_node(task));
		send(RECORD_TASK, LANE_RARE);
		reset_record(record, KIND_EXECVE, ENTRY_KERNEL, 0, 0);
	}
	if (helper)
		record->head.kind = KIND_USERMODE_HELPER;
	if (entered)
		flags |= HEAD_ENTERED;
	record->head.flags |= flags;
	attach_execution(RECORD_TASK, task);
	attach_kernel_text(RECORD_TASK, 0, (u64)BPF_CORE_READ(binary, filename));
	if (!(flags & HEAD_NOT_BEFORE))
		attach_identity(record, IDENTITY_BEFORE, &scratch->before);
	attach_block(RECORD_TASK, 0, READ(task, mm, arg_start),
		     READ(task, mm, arg_end) - READ(task, mm, arg_start));
	if (settings.environment)
		attach_block(RECORD_TASK, 1, READ(task, mm, env_start),
			     READ(task, mm, env_end) - READ(task, mm, env_start));
	send(RECORD_TASK, LANE_RARE);
	return 0;
}

#define CLONE_VM 0x00000100
#define CLONE_THREAD 0x00010000
#define CLONE_NEWNS 0x00020000
#define CLONE_NEWCGROUP 0x02000000
#define CLONE_NEWUTS 0x04000000
#define CLONE_NEWIPC 0x08000000
#define CLONE_NEWUSER 0x10000000
#define CLONE_NEWPID 0x20000000
#define CLONE_NEWNET 0x40000000

/* The flags of the clone that can be read off its outcome. */
static __always_inline u64 clone_flags(struct task_struct *parent, struct task_struct *child, struct identity *from,
				       struct identity *to)
{
	u64 flags = 0;

	if (TASK(parent, mm) == TASK(child, mm))
		flags |= CLONE_VM;
	if (from->mount != to->mount)
		flags |= CLONE_NEWNS;
	if (from->user != to->user)
		flags |= CLONE_NEWUSER;
	if (from->pid != to->pid)
		flags |= CLONE_NEWPID;
	if (from->network != to->network)
		flags |= CLONE_NEWNET;
	if (from->ipc != to->ipc)
		flags |= CLONE_NEWIPC;
	if (from->uts != to->uts)
		flags |= CLONE_NEWUTS;
	if (from->cgroup != to->cgroup)
		flags |= CLONE_NEWCGROUP;
	return flags;
}

SEC("tp_btf/sched_process_fork")
int process_fork(u64 *ctx)
{
	struct task_struct *parent = (void *)ctx[0];
	struct task_struct *child = (void *)ctx[1];
	u32 tid = TASK(child, pid);
	u32 process = TASK(child, tgid);
	struct thread *thread = thread_of(TASK(parent, pid));
	struct exec_scratch *scratch;
	struct record *record;

	if (!thread && !settings.host_events)
		return 0;
	scratch = exec_scratch(RECORD_TASK);
	record = record_of(RECORD_TASK);
	if (!scratch || !record)
		return 0;
	read_identity(&scratch->thread.seen, child);
	if (thread) {
		scratch->thread.container = thread->container;
		if (bpf_map_update_elem(&threads, &tid, &scratch->thread, BPF_ANY))
			__sync_fetch_and_add(&host.threads_missed, 1);
	}
	if (tid != process)
		return 0;
	if (thread)
		count_process(thread->container, 1);
	begin_record(record, parent, thread, KIND_FORK, ENTRY_KERNEL, 0, process, false);
	record->head.arguments[0] = clone_flags(parent, child, &record->head.identity, &scratch->thread.seen);
	attach_task(record, 0, (u64)child);
	send(RECORD_TASK, LANE_RARE);
	return 0;
}

SEC("tp_btf/sched_process_exit")
int process_exit(u64 *ctx)
{
	struct task_struct *task = (void *)ctx[0];
	u32 tid = TASK(task, pid);
	struct thread *thread = thread_of(tid);
	struct container *container;
	struct record *record;
	u64 key = 0;
	int status;

	if (!thread && !settings.host_events)
		return 0;
	/* The last thread of the process: do_exit() has counted this one off already. */
	if (TASK(task, signal, live.counter)) {
		bpf_map_delete_elem(&threads, &tid);
		return 0;
	}
	record = record_of(RECORD_TASK);
	if (!record)
		return 0;
	begin_record(record, task, thread, KIND_EXIT, ENTRY_KERNEL, 0, 0, false);
	status = TASK(task, signal, group_exit_code);
	if (!status)
		status = TASK(task, exit_code);
	record->head.arguments[0] = status;
	send(RECORD_TASK, LANE_RARE);
	if (!thread)
		return 0;
	key = thread->container;
	bpf_map_delete_elem(&threads, &tid);
	container = bpf_map_lookup_elem(&containers, &key);
	if (!container)
		return 0;
	__sync_fetch_and_add(&container->processes, -1);
	if (container->processes)
		return 0;
	/* Two last processes may both come here: the one that takes the entry out tells. */
	tid = container->mount;
	if (bpf_map_delete_elem(&containers, &key))
		return 0;
	bpf_map_delete_elem(&mount_namespaces, &tid);
	bpf_map_delete_elem(&budgets, &key);
	reset_record(record, KIND_CONTAINER_ENDED, ENTRY_KERNEL, 0, 0);
	send(RECORD_TASK, LANE_RARE);
	return 0;
}

/* What the host is: kernel threads are in its namespaces, and the first process there has its root. The first process
 * of all is not looked for by its number, since some hosts hide it. */
static __always_inline void find_host(struct task_struct *task)
{
	u32 mount = READ(task, nsproxy, mnt_ns, ns.inum);

	if (task->flags & PF_KTHREAD) {
		if (host.mount)
			return;
		host.pid = pid_namespace_of(task->thread_pid);
		host.user = READ(task, real_cred, user_ns, ns.inum);
		host.mount = mount;
		return;
	}
	if (!host.root_device && host.mount && mount == host.mount)
		host.root_device = READ(task, fs, root.mnt, mnt_sb, s_dev);
}

/* The state at start: a first run finds the host, a second one tells of every task. */
SEC("iter/task")
int process_before(struct bpf_iter__task *ctx)
{
	struct task_struct *task = ctx->task;
	struct seq_file *seq = ctx->meta->seq;
	struct exec_scratch *scratch;
	struct record *record;
	u64 container;
	u32 tid, size;
	bool entered, made;

	if (!task)
		return 0;
	tid = task->pid;
	if (!host.found) {
		find_host(task);
		return 0;
	}
	if (task->flags & PF_KTHREAD || !READ(task, nsproxy))
		return 0;
	scratch = exec_scratch(RECORD_ITERATOR);
	record = record_of(RECORD_ITERATOR);
	if (!scratch || !record)
		return 0;
	if (thread_of(tid))
		return 0;
	container = container_for(task, 0, &entered, &made);
	if (!container && !settings.host_events)
		return 0;
	reset_record(record, KIND_EXECVE, ENTRY_BEFORE, 0, 0);
	record->head.container = container;
	fill_actor(&record->head, task);
	if (container) {
		scratch->thread.container = container;
		scratch->thread.seen = record->head.identity;
		if (bpf_map_update_elem(&threads, &tid, &scratch->thread, BPF_NOEXIST))
			return 0;
	}
	if (tid != (u32)task->tgid)
		return 0;
	if (container)
		count_process(container, 1);
	record->head.time = bpf_ktime_get_boot_ns();
	record->head.lane = LANE_RARE;
	record->head.cpu = 0;
	if (made) {
		record->head.kind = KIND_CONTAINER_STARTED;
		attach_root(RECORD_ITERATOR, task);
		attach_cgroup(RECORD_ITERATOR, 0, (u64)cgroup_node(task));
		size = record->head.size;
		if (size > sizeof(*record))
			size = sizeof(*record);
		bpf_seq_write(seq, record, size);
		reset_record(record, KIND_EXECVE, ENTRY_BEFORE, 0, 0);
	}
	record->head.flags |= HEAD_NOT_BEFORE;
	attach_execution(RECORD_ITERATOR, task);
	size = record->head.size;
	if (size > sizeof(*record))
		size = sizeof(*record);
	bpf_seq_write(seq, record, size);
	return 0;
}

/* Opens: what was opened is read from the kernel's own file, by the descriptor that the call returned. */

#define SYSFS_MAGIC 0x62656572
#define CGROUP_SUPER_MAGIC 0x27e0eb
#define CGROUP2_SUPER_MAGIC 0x63677270
#define DEBUGFS_MAGIC 0x64626720
#define TRACEFS_MAGIC 0x74726163
#define SECURITYFS_MAGIC 0x73636673
#define BPF_FS_MAGIC 0xcafe4a11
#define CONFIGFS_MAGIC 0x62656570
#define EFIVARFS_MAGIC 0xde5e81e4
#define BINFMTFS_MAGIC 0x42494e4d
#define NSFS_MAGIC 0x6e736673
#define PSTOREFS_MAGIC 0x6165676c

#define S_IFMT 00170000
#define S_IFCHR 0020000
#define S_IFBLK 0060000
#define O_CREAT 0100
#define O_PATH 010000000
#define MINORBITS 20

/* Interfaces to the kernel: writing there is never bulk. */
static __always_inline bool is_kernel_interface(u64 magic)
{
	switch (magic) {
	case PROC_SUPER_MAGIC:
	case SYSFS_MAGIC:
	case CGROUP_SUPER_MAGIC:
	case CGROUP2_SUPER_MAGIC:
	case DEBUGFS_MAGIC:
	case TRACEFS_MAGIC:
	case SECURITYFS_MAGIC:
	case BPF_FS_MAGIC:
	case CONFIGFS_MAGIC:
	case EFIVARFS_MAGIC:
	case BINFMTFS_MAGIC:
	case PSTOREFS_MAGIC:
		return true;
	}
	return false;
}

/* Devices that every container has and uses: null, zero, full, random, urandom, tty, ptmx, console, terminals. */
static __always_inline bool is_plain_device(u32 device)
{
	u32 major = device >> MINORBITS, minor = device & ((1 << MINORBITS) - 1);

	if (major == 1)
		return minor == 3 || minor == 5 || minor == 7 || minor == 8 || minor == 9;
	if (major == 5)
		return minor <= 2;
	return major >= 136 && major <= 143;
}

#define NAME8(a, b, c, d, e, f, g, h)                                                                                  \
	((u64)(a) | (u64)(b) << 8 | (u64)(c) << 16 | (u64)(d) << 24 | (u64)(e) << 32 | (u64)(f) << 40 | (u64)(g) << 48 | \
	 (u64)(h) << 56)

/* Files of /proc that tell or give something of other processes or of the kernel even when only read. */
static __always_inline bool is_telling_proc_name(struct dentry *dentry)
{
	u64 name = 0;
	const unsigned char *pointer = READ(dentry, d_name.name);
	u32 length = READ(dentry, d_name.len);

	bpf_probe_read_kernel(&name, sizeof(name), pointer);
	if (length < 8)
		name &= (1ull << (length & 7) * 8) - 1;
	switch (name) {
	case NAME8('m', 'e', 'm', 0, 0, 0, 0, 0):
	case NAME8('e', 'n', 'v', 'i', 'r', 'o', 'n', 0):
	case NAME8('k', 'c', 'o', 'r', 'e', 0, 0, 0):
	case NAME8('k', 'm', 's', 'g', 0, 0, 0, 0):
	case NAME8('k', 'e', 'y', 's', 0, 0, 0, 0):
	case NAME8('i', 'o', 'm', 'e', 'm', 0, 0, 0):
	case NAME8('k', 'a', 'l', 'l', 's', 'y', 'm', 's'):
	case NAME8('v', 'm', 'c', 'o', 'r', 'e', 0, 0):
	case NAME8('p', 'a', 'g', 'e', 'm', 'a', 'p', 0):
	case NAME8('s', 'y', 's', 'c', 'a', 'l', 'l', 0):
	case NAME8('s', 'c', 'h', 'e', 'd', '_', 'd', 'e'):
	case NAME8('t', 'i', 'm', 'e', 'r', '_', 'l', 'i'):
	case NAME8('i', 'n', 't', 'e', 'r', 'r', 'u', 'p'):
	case NAME8('s', 'y', 's', 'r', 'q', '-', 't', 'r'):
	case NAME8('c', 'o', 'r', 'e', '_', 'p', 'a', 't'):
		return true;
	}
	return false;
}

/* Whether an open that succeeded goes to the rare lane. */
static __always_inline bool is_rare_open(struct file *file, struct inode *inode, u32 own_mount_namespace)
{
	struct super_block *super = READ(inode, i_sb);
	u32 mount_namespace = mount_namespace_of(READ(file, f_path.mnt));
	u32 flags = READ(file, f_flags);
	u64 magic = READ(super, s_magic);
	u32 type = READ(inode, i_mode) & S_IFMT;
	struct watched_file key = {};

	/* Through a mount of another mount namespace: a descriptor that leaked in, or /proc/PID/root. */
	if (mount_namespace && mount_namespace != own_mount_namespace)
		return true;
	if (magic == NSFS_MAGIC)
		return true;
	if (flags & O_ACCMODE && !(flags & O_PATH) && is_kernel_interface(magic))
		return true;
	if (magic == PROC_SUPER_MAGIC && is_telling_proc_name(READ(file, f_path.dentry)))
		return true;
	if ((type == S_IFCHR || type == S_IFBLK) && !is_plain_device(READ(inode, i_rdev)))
		return true;
	key.inode = READ(inode, i_ino);
	key.device = READ(super, s_dev);
	return bpf_map_lookup_elem(&watched, &key) != NULL;
}

/* Refused for want of a right, and not because there is nothing. */
static __always_inline bool is_refusal(s64 result)
{
	return result == -1 /* EPERM */ || result == -13 /* EACCES */ || result == -30 /* EROFS */ ||
	       result == -6 /* ENXIO */;
}

/* open, openat, openat2, creat, open_by_handle_at. The table says where the name is and which directory it counts
 * from; the block is openat2's `struct open_how`. Repeats do not come here: see repeats_open(). */
SEC("tp_btf/sys_exit")
int files_open(u64 *ctx)
{
	struct pt_regs *regs = (void *)ctx[0];
	s64 result = ctx[1];
	struct call_context c;
	struct task_struct *task;
	struct fold_key key = {};
	struct fold *fold;
	struct file *file = NULL;
	u32 lane;
	bool wanted = host.wanted[KIND_OPEN], folded = false;

	if (!enter_call(&c, regs))
		return 0;
	task = c.task;
	lane = c.call->lane;
	if (result < 0) {
		if (is_refusal(result))
			lane = LANE_RARE;
	} else {
		file = file_of(task, result);
	}
	if (file && lane == LANE_BULK) {
		if (is_rare_open(file, READ(file, f_inode), TASK(task, nsproxy, mnt_ns, ns.inum))) {
			lane = LANE_RARE;
		} else if (settings.fold && c.thread) {
			folded = true;
			open_key(&key, task, file, c.slot);
			fold = note_key(&key, c.thread->container);
			if (fold) {
				if (wanted)
					__sync_fetch_and_add(&fold->count, 1);
				return 0;
			}
		}
	}
	if (lane == LANE_BULK && !wanted)
		return 0;
	if (!begin_call(&c, regs, result, c.call->kind))
		return 0;
	if (folded) {
		c.record->head.fold = key.object;
		c.record->head.fold_way = key.way;
		c.record->head.arguments[7] = key.detail;
	}
	if (file)
		attach_file(RECORD_TASK, 0, (u64)file);
	if (attach_user_text(RECORD_TASK, 0, at_position(c.record, c.call->text[0])) == 1 && !file && c.call->directory[0])
		attach_directory(c.record, task, 0, c.call->directory[0]);
	if (c.call->block)
		attach_block(RECORD_TASK, 0, at_position(c.record, c.call->block), c.call->block_size);
	send(RECORD_TASK, lane);
	return 0;
}

/* Sockets: family, type, addresses and the process at the other end, from the kernel's own socket. */

#define AF_UNIX 1
#define AF_INET 2
#define AF_INET6 10
#define S_IFSOCK 0140000

static __always_inline struct sock *socket_of(struct file *file)
{
	struct inode *inode = READ(file, f_inode);
	struct socket *socket;

	if ((READ(inode, i_mode) & S_IFMT) != S_IFSOCK)
		return NULL;
	socket = READ(file, private_data);
	return BPF_CORE_READ(socket, sk);
}

static __always_inline u16 swapped(u16 value)
{
	return __builtin_bswap16(value);
}

/* The other end of a Unix socket: its name, the file it is bound to, and the process that listens there. */
static __always_inline void fill_unix_peer(struct socket_part *part, struct sock *sock)
{
	struct unix_sock *own = (void *)sock;
	struct sock *peer = READ(own, peer);
	struct unix_sock *other = (void *)peer;
	struct pid *pid = READ(sock, sk_peer_pid);
	struct unix_address *address;
	struct dentry *dentry;
	u64 task;
	u32 length;

	task = task_of_pid(pid);
	if (task) {
		struct task_struct *process = (void *)task;

		part->peer_process = READ(process, tgid);
		part->peer_start = READ(process, group_leader, start_boottime);
	}
	if (!peer)
		return;
	dentry = READ(other, path.dentry);
	if (dentry) {
		part->peer_inode = READ(dentry, d_inode, i_ino);
		part->peer_device = READ(dentry, d_sb, s_dev);
	}
	address = READ(other, addr);
	if (!address)
		return;
	/* The length counts sun_family, two bytes. */
	length = READ(address, len) - 2;
	if (length > 108)
		return;
	asm volatile("" : "+r"(length));
	length &= 127;
	bpf_probe_read_kernel(part + 1, length, (void *)address + bpf_core_field_offset(struct unix_address, name) + 2);
	part->peer_length = length;
}

__noinline int attach_socket(u32 which, u64 sock_address)
{
	struct record *record = record_of(which);
	struct attachment *attachment = next_attachment(record);
	struct sock *sock = (void *)sock_address;
	struct socket_part *part;

	if (!attachment || !sock)
		return 0;
	part = (void *)(attachment + 1);
	__builtin_memset(part, 0, sizeof(*part));
	part->family = READ(sock, __sk_common.skc_family);
	part->type = READ(sock, sk_type);
	part->protocol = READ(sock, sk_protocol);
	if (part->family == AF_INET) {
		*(u32 *)part->remote = READ(sock, __sk_common.skc_daddr);
		*(u32 *)part->local = READ(sock, __sk_common.skc_rcv_saddr);
	} else if (part->family == AF_INET6) {
		BPF_CORE_READ_INTO(&part->remote, sock, __sk_common.skc_v6_daddr);
		BPF_CORE_READ_INTO(&part->local, sock, __sk_common.skc_v6_rcv_saddr);
	}
	if (part->family == AF_INET || part->family == AF_INET6) {
		part->remote_port = swapped(READ(sock, __sk_common.skc_dport));
		part->local_port = READ(sock, __sk_common.skc_num);
	}
	if (part->family == AF_UNIX)
		fill_unix_peer(part, sock);
	close_attachment(record, attachment, ATTACH_SOCKET, 0, 0, sizeof(*part) + (part->peer_length & 127));
	return 0;
}

/* Ports of engines, kubelets, API servers and their store, and the addresses that clouds answer on. */
static __always_inline bool is_control_address(const u8 *address, u64 length)
{
	u16 family = *(u16 *)address;
	u16 port = swapped(*(u16 *)(address + 2));

	if (family == AF_INET && *(u16 *)(address + 4) == 0xfea9) /* 169.254.0.0/16 */
		return true;
	if (family == AF_INET6 && *(u32 *)(address + 8) == 0xc20e00fd) /* fd00:ec2::/32 */
		return true;
	if (family != AF_INET && family != AF_INET6)
		return false;
	switch (port) {
	case 2375:
	case 2376:
	case 2379:
	case 2380:
	case 6443:
	case 10250:
	case 10255:
		return true;
	}
	return false;
}

SEC("tp_btf/sys_exit")
int sockets_call(u64 *ctx)
{
	struct pt_regs *regs = (void *)ctx[0];
	s64 result = ctx[1];
	struct call_context c;
	struct task_struct *task;
	struct file *file;
	struct sock *sock = NULL;
	u8 address[8 * 4] = {};
	u64 pointer = 0, length = 0;
	u32 lane = LANE_BULK;
	u32 descriptor;

	if (!enter_call(&c, regs))
		return 0;
	task = c.task;
	if (c.call->address) {
		pointer = argument(regs, c.compat, (c.call->address - 1) & 7);
		length = argument(regs, c.compat, c.call->address & 7);
	}
	if (length > 128)
		length = 128;
	if (pointer && length >= 2 && c.call->kind == KIND_CONNECT) {
		u16 family;

		bpf_probe_read_user(address, length < sizeof(address) ? length & 31 : sizeof(address), (void *)pointer);
		family = *(u16 *)address;
		/* Few are the connections to Unix sockets and to families other than the Internet's. */
		if ((family != AF_INET && family != AF_INET6) || is_control_address(address, length))
			lane = LANE_RARE;
	}
	if (lane == LANE_BULK && !host.wanted[c.call->kind & (KINDS - 1)])
		return 0;
	if (!begin_call(&c, regs, result, c.call->kind))
		return 0;
	descriptor = at_position(c.record, c.call->socket);
	file = file_of(task, descriptor);
	if (file)
		sock = socket_of(file);
	if (sock)
		attach_socket(RECORD_TASK, (u64)sock);
	if (pointer)
		attach_block(RECORD_TASK, 0, pointer, length);
	if (host.hooks && c.call->flags & CALL_NOTED)
		attach_noted(RECORD_TASK, TASK(task, pid));
	send(RECORD_TASK, lane);
	return 0;
}

#define SOL_SOCKET 1
#define SCM_RIGHTS 1
/* Control messages that are looked at: credentials, a pidfd, a security label and rights at most (unix(7)). */
#define MOST_MESSAGES 4
#define MOST_DESCRIPTORS 30

/* Which of the descriptors of a message is told next. One a processor: nothing else runs there in between. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, u32);
} received SEC(".maps");

/* A word of the process's memory: 8 bytes, or 4 where it is a 32-bit call's. */
static __always_inline u64 user_word(u64 address, bool compat)
{
	u64 word = 0;

	if (compat)
		bpf_probe_read_user(&word, 4, (void *)address);
	else
		bpf_probe_read_user(&word, 8, (void *)address);
	return word;
}

/* Where the descriptors are that came with a message (SCM_RIGHTS), as the kernel wrote them; how many to `count`.
 * struct user_msghdr and struct cmsghdr in include/linux/socket.h. */
static __always_inline u64 received_descriptors(u64 message, bool compat, u32 *count)
{
	u32 word = compat ? 4 : 8;
	u64 control = user_word(message + 4 * word, compat);
	u64 end = control + user_word(message + 5 * word, compat);
	int i;

	for (i = 0; i < MOST_MESSAGES && control && control + word + 8 < end; i++) {
		u64 length = user_word(control, compat);
		u32 kind[2] = {};

		if (length < word + 8)
			return 0;
		bpf_probe_read_user(kind, sizeof(kind), (void *)control + word);
		if (kind[0] == SOL_SOCKET && kind[1] == SCM_RIGHTS) {
			*count = (length - word - 8) / 4;
			return control + word + 8;
		}
		control += (length + word - 1) & ~(u64)(word - 1);
	}
	return 0;
}

/* recvmsg: first each file that came with the message, one a run of this program, then the message itself. */
SEC("tp_btf/sys_exit")
int sockets_received(u64 *ctx)
{
	struct pt_regs *regs = (void *)ctx[0];
	s64 result = ctx[1];
	struct call_context c;
	struct file *file;
	struct sock *sock;
	u32 zero = 0, count = 0, descriptor = 0;
	u32 *next = bpf_map_lookup_elem(&received, &zero);
	u64 descriptors = 0;

	if (!next || !enter_call(&c, regs))
		return 0;
	if (result >= 0)
		descriptors = received_descriptors(argument(regs, c.compat, 1), c.compat, &count);
	if (descriptors && *next < count && *next < MOST_DESCRIPTORS) {
		bpf_probe_read_user(&descriptor, 4, (void *)descriptors + 4 * *next);
		*next += 1;
		if (!begin_call(&c, regs, result, KIND_RECEIVED_FILE))
			return 0;
		c.record->head.arguments[0] = descriptor;
		attach_file(RECORD_TASK, 0, (u64)file_of(c.task, descriptor));
		send(RECORD_TASK, LANE_RARE);
		bpf_tail_call_static(ctx, &programs, PROGRAM_RECEIVED);
	}
	*next = 0;
	if (!host.wanted[c.call->kind & (KINDS - 1)])
		return 0;
	if (!begin_call(&c, regs, result, c.call->kind))
		return 0;
	file = file_of(c.task, at_position(c.record, c.call->socket));
	sock = file ? socket_of(file) : NULL;
	if (sock)
		attach_socket(RECORD_TASK, (u64)sock);
	send(RECORD_TASK, LANE_BULK);
	return 0;
}

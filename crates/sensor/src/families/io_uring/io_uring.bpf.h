/* io_uring: requests as the kernel took them. The tracepoint's first argument is the request since 5.19; its name
 * changed with 6.3. */

/* include/uapi/linux/io_uring.h */
enum {
	IORING_OP_CONNECT = 16,
	IORING_OP_OPENAT = 18,
	IORING_OP_OPENAT2 = 28,
	IORING_OP_RENAMEAT = 35,
	IORING_OP_UNLINKAT = 36,
	IORING_OP_MKDIRAT = 37,
	IORING_OP_SYMLINKAT = 38,
	IORING_OP_LINKAT = 39,
	IORING_OP_SOCKET = 45,
};

/* Requests that only move bytes or wait are bulk: NOP, READV, WRITEV, FSYNC, POLL, TIMEOUT, READ, WRITE and the like. */
static __always_inline bool is_rare_request(u8 opcode)
{
	switch (opcode) {
	case IORING_OP_CONNECT:
	case IORING_OP_OPENAT:
	case IORING_OP_OPENAT2:
	case IORING_OP_RENAMEAT:
	case IORING_OP_UNLINKAT:
	case IORING_OP_MKDIRAT:
	case IORING_OP_SYMLINKAT:
	case IORING_OP_LINKAT:
	case IORING_OP_SOCKET:
	case 30: /* SPLICE */
	case 42: /* SETXATTR */
	case 41: /* FSETXATTR */
	case 46: /* URING_CMD */
	case 54: /* FIXED_FD_INSTALL */
	case 56: /* BIND */
	case 57: /* LISTEN */
		return true;
	}
	return false;
}

static __always_inline u64 name_of(struct filename *filename)
{
	return filename ? (u64)BPF_CORE_READ(filename, name) : 0;
}

static __noinline int request(u64 address)
{
	struct io_kiocb *io = (void *)address;
	struct task_struct *task = current_task();
	struct thread *thread = member(task);
	struct record *record;
	u8 opcode;
	u32 lane;

	if (!thread && !settings.host_events)
		return 0;
	opcode = READ(io, opcode);
	lane = is_rare_request(opcode) ? LANE_RARE : LANE_BULK;
	if (lane == LANE_BULK && !host.wanted[KIND_IO_URING_REQUEST])
		return 0;
	record = record_of(RECORD_TASK);
	if (!record)
		return 0;
	begin_record(record, task, thread, KIND_IO_URING_REQUEST, ENTRY_IO_URING, opcode, 0, false);
	record->head.arguments[0] = 0;
	switch (opcode) {
	case IORING_OP_OPENAT:
	case IORING_OP_OPENAT2:
		if (bpf_core_type_exists(struct io_open)) {
			record->head.arguments[0] = READ((struct io_open *)io, how.flags);
			attach_kernel_text(RECORD_TASK, 0, name_of(BPF_CORE_READ((struct io_open *)io, filename)));
		}
		break;
	case IORING_OP_UNLINKAT:
		if (bpf_core_type_exists(struct io_unlink))
			attach_kernel_text(RECORD_TASK, 0, name_of(BPF_CORE_READ((struct io_unlink *)io, filename)));
		break;
	case IORING_OP_MKDIRAT:
		if (bpf_core_type_exists(struct io_mkdir))
			attach_kernel_text(RECORD_TASK, 0, name_of(BPF_CORE_READ((struct io_mkdir *)io, filename)));
		break;
	case IORING_OP_RENAMEAT:
		if (bpf_core_type_exists(struct io_rename)) {
			attach_kernel_text(RECORD_TASK, 0, name_of(BPF_CORE_READ((struct io_rename *)io, oldpath)));
			attach_kernel_text(RECORD_TASK, 1, name_of(BPF_CORE_READ((struct io_rename *)io, newpath)));
		}
		break;
	case IORING_OP_SYMLINKAT:
	case IORING_OP_LINKAT:
		if (bpf_core_type_exists(struct io_link)) {
			attach_kernel_text(RECORD_TASK, 0, name_of(BPF_CORE_READ((struct io_link *)io, oldpath)));
			attach_kernel_text(RECORD_TASK, 1, name_of(BPF_CORE_READ((struct io_link *)io, newpath)));
		}
		break;
	case IORING_OP_CONNECT:
		if (bpf_core_type_exists(struct io_connect))
			attach_block(RECORD_TASK, 0, (u64)BPF_CORE_READ((struct io_connect *)io, addr),
				     READ((struct io_connect *)io, addr_len) & 127);
		break;
	case IORING_OP_SOCKET:
		if (bpf_core_type_exists(struct io_socket))
			record->head.arguments[0] = (u64)(u32)READ((struct io_socket *)io, domain) << 32 |
						    (u32)READ((struct io_socket *)io, type);
		break;
	}
	send(RECORD_TASK, lane);
	return 0;
}

SEC("tp_btf/io_uring_submit_req")
int io_uring_request(u64 *ctx)
{
	return request(ctx[0]);
}

/* 5.19 to 6.2. */
SEC("tp_btf/io_uring_submit_sqe")
int io_uring_request_sqe(u64 *ctx)
{
	return request(ctx[0]);
}

/* What an open came to: the file of the descriptor that it returned, where no hook told it. One that went into the
 * ring's own table (`file_slot`) has no descriptor. The request is the second argument since 5.19. */
SEC("tp_btf/io_uring_complete")
int io_uring_completed(u64 *ctx)
{
	struct io_kiocb *io = (void *)ctx[1];
	struct task_struct *task = current_task();
	struct thread *thread = member(task);
	struct record *record;
	struct file *file;
	u8 opcode;
	s32 result;

	if (!io || !thread || host.hooks || !bpf_core_type_exists(struct io_open))
		return 0;
	opcode = READ(io, opcode);
	if (opcode != IORING_OP_OPENAT && opcode != IORING_OP_OPENAT2)
		return 0;
	result = READ(io, cqe.res);
	if (result < 0 || READ((struct io_open *)io, file_slot))
		return 0;
	file = file_of(task, result);
	record = record_of(RECORD_TASK);
	if (!file || !record)
		return 0;
	begin_record(record, task, thread, KIND_OPEN, ENTRY_IO_URING, opcode, result, false);
	attach_file(RECORD_TASK, 0, (u64)file);
	send(RECORD_TASK, LANE_RARE);
	return 0;
}

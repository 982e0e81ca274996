/* The kernel itself: modules that are in, cgroups that are made and removed, and who reaches for the sensor. */

SEC("tp_btf/module_load")
int modules_loaded(u64 *ctx)
{
	struct task_struct *task = current_task();
	struct record *record = record_of(RECORD_TASK);

	if (!record)
		return 0;
	begin_record(record, task, member(task), KIND_MODULE_LOADED, ENTRY_KERNEL, 0, 0, false);
	attach_kernel_text(RECORD_TASK, 0, argument_at(ctx, 0) + bpf_core_field_offset(struct module, name));
	send(RECORD_TASK, LANE_RARE);
	return 0;
}

static __noinline int cgroup_event(u64 cgroup_address, u64 path, u32 kind)
{
	struct cgroup *cgroup = (void *)cgroup_address;
	struct task_struct *task = current_task();
	struct record *record;

	if (!host.wanted[kind & (KINDS - 1)])
		return 0;
	record = record_of(RECORD_TASK);
	if (!record)
		return 0;
	begin_record(record, task, member(task), kind, ENTRY_KERNEL, 0, 0, false);
	record->head.arguments[0] = READ(cgroup, kn, id);
	attach_kernel_text(RECORD_TASK, 0, path);
	send(RECORD_TASK, LANE_RARE);
	return 0;
}

SEC("tp_btf/cgroup_mkdir")
int modules_cgroup_made(u64 *ctx)
{
	return cgroup_event(argument_at(ctx, 0), argument_at(ctx, 1), KIND_CGROUP_MADE);
}

SEC("tp_btf/cgroup_rmdir")
int modules_cgroup_removed(u64 *ctx)
{
	return cgroup_event(argument_at(ctx, 0), argument_at(ctx, 1), KIND_CGROUP_REMOVED);
}

/* A signal to the sensor's own process, from another one. It may be sent from an interrupt. */
SEC("tp_btf/signal_generate")
int modules_signal(u64 *ctx)
{
	u32 number = ctx[0];
	struct task_struct *target = (void *)ctx[2];
	struct task_struct *task;
	struct record *record;

	if ((u32)TASK(target, tgid) != settings.own_process)
		return 0;
	task = current_task();
	/* Signal 0 only asks; those of itself and of its children's end are its own affair. */
	if (!number || number == 17 || (u32)TASK(task, tgid) == settings.own_process)
		return 0;
	record = record_of(RECORD_INTERRUPT);
	if (!record)
		return 0;
	reset_record(record, KIND_TAMPERING, ENTRY_KERNEL, 0, 0);
	record->head.container = 0;
	fill_actor(&record->head, task);
	record->head.arguments[0] = number;
	send(RECORD_INTERRUPT, LANE_RARE);
	return 0;
}

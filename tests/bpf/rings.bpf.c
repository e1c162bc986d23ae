// Records for user space, through a ring buffer (Linux 5.8) and through perf buffers.
#include "bpf.h"

struct record {
	u32 pid;
	u32 sequence;
	char comm[16];
};

struct {
	U(type, RINGBUF);
	U(max_entries, 4096);
} ring SEC(".maps");

struct {
	U(type, PERF_EVENT_ARRAY);
	U(key_size, 4);
	U(value_size, 4);
} perf SEC(".maps");

const volatile u32 wanted;
u32 sequence;

// So that the type is in the object's BTF whatever the compiler does.
const struct record *unused_record WEAK;

SEC("tp/syscalls/sys_enter_fallocate") int to_ring(void *context)
{
	struct record *record;
	u32 pid = bpf_get_current_pid_tgid() >> 32;

	if (pid != wanted)
		return 0;
	record = bpf_ringbuf_reserve(&ring, sizeof(*record), 0);
	if (!record)
		return 0;
	record->pid = pid;
	record->sequence = sequence++;
	bpf_get_current_comm(record->comm, sizeof(record->comm));
	bpf_ringbuf_submit(record, 0);
	return 0;
}

SEC("tp/syscalls/sys_exit_fallocate") int to_perf(void *context)
{
	struct record record = {};

	record.pid = bpf_get_current_pid_tgid() >> 32;
	if (record.pid != wanted)
		return 0;
	record.sequence = sequence;
	bpf_perf_event_output(context, &perf, 0xffffffff, &record, sizeof(record));
	return 0;
}

LICENSE("GPL");

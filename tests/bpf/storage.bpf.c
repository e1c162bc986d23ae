// Storage that belongs to a task (Linux 5.11).
#include "bpf.h"

struct {
	U(type, TASK_STORAGE);
	U(map_flags, NO_PREALLOC);
	T(key, int);
	T(value, u64);
} storage SEC(".maps");

SEC("tp_btf/sys_enter") int enter(u64 *context)
{
	u64 *value = bpf_task_storage_get(&storage, bpf_get_current_task_btf(), NULL, 1);

	if (value)
		*value += 1;
	return 0;
}

LICENSE("GPL");

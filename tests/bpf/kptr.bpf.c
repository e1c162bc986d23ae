// A pointer to a kernel object in a map's value (Linux 5.19): a type tag says so.
#include "bpf.h"
#include "core.h"

struct task_struct {
	int pid;
} CORE;

struct holder {
	struct task_struct __attribute__((btf_type_tag("kptr_untrusted"))) *task;
	u64 seen;
};

struct {
	U(type, ARRAY);
	T(key, u32);
	T(value, struct holder);
	U(max_entries, 1);
} holders SEC(".maps");

SEC("tc") int look(struct __sk_buff *context)
{
	u32 zero = 0;
	struct holder *holder = bpf_map_lookup_elem(&holders, &zero);

	if (!holder)
		return 1;
	// (The question is also what has the compiler note the whole struct.)
	holder->seen = (holder->task ? 2 : 1) + 2 * field_exists(((struct task_struct *)NULL)->pid);
	return 0;
}

LICENSE("GPL");

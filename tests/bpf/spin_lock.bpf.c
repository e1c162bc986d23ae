// A lock in a map's value: the kernel finds it through the map's BTF.
#include "bpf.h"

struct locked {
	u64 count;
	struct bpf_spin_lock lock;
};

struct {
	U(type, ARRAY);
	T(key, u32);
	T(value, struct locked);
	U(max_entries, 1);
} locks SEC(".maps");

SEC("tc") int add_locked(struct __sk_buff *context)
{
	u32 zero = 0;
	struct locked *value = bpf_map_lookup_elem(&locks, &zero);

	if (!value)
		return 1;
	bpf_spin_lock(&value->lock);
	value->count += 5;
	bpf_spin_unlock(&value->lock);
	return 0;
}

LICENSE("GPL");

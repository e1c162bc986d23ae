// The map of pinned.bpf.c with another size: the pin contradicts it.
#include "bpf.h"

struct {
	U(type, ARRAY);
	T(key, u32);
	T(value, u64);
	U(max_entries, 2);
	U(pinning, PIN_BY_NAME);
} tracewell_shared SEC(".maps");

SEC("socket") int add_one(struct __sk_buff *context)
{
	u32 zero = 0;
	u64 *value = bpf_map_lookup_elem(&tracewell_shared, &zero);

	if (value)
		*value += 1;
	return 0;
}

LICENSE("GPL");

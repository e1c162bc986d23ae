// A map that is shared by a pin of its name.
#include "bpf.h"

struct {
	U(type, ARRAY);
	T(key, u32);
	T(value, u64);
	U(max_entries, 1);
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

// The first of two files that become one object: it calls a function and uses a map and a variable of the other.
#include "bpf.h"

extern int doubled(int number);
extern u64 shared_variable;

extern struct {
	U(type, ARRAY);
	T(key, u32);
	T(value, u64);
	U(max_entries, 2);
} shared_map SEC(".maps");

static u64 same_name = 1;

SEC("socket") int from_a(struct __sk_buff *context)
{
	u32 zero = 0;
	u64 *value = bpf_map_lookup_elem(&shared_map, &zero);

	if (value)
		*value = doubled(21);
	shared_variable += 5;
	same_name += 1;
	return same_name;
}

LICENSE("GPL");

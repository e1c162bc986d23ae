// An object without BTF: compiled without -g. Maps can only be of the old kind.
#include "bpf.h"

struct bpf_map_def {
	u32 type;
	u32 key_size;
	u32 value_size;
	u32 max_entries;
	u32 map_flags;
};

struct bpf_map_def SEC("maps") plain = { .type = ARRAY, .key_size = 4, .value_size = 8, .max_entries = 1 };
u64 total = 3;

SEC("socket") int count(struct __sk_buff *context)
{
	u32 zero = 0;
	u64 *value = bpf_map_lookup_elem(&plain, &zero);

	total += 4;
	if (value)
		*value = total;
	return 6;
}

LICENSE("GPL");

// The old way to define maps: structs of numbers in the section `maps`, here with one number more than was usual.
#include "bpf.h"

struct bpf_map_def {
	u32 type;
	u32 key_size;
	u32 value_size;
	u32 max_entries;
	u32 map_flags;
	u32 future;
};

struct bpf_map_def SEC("maps") old_hash = { .type = HASH, .key_size = 4, .value_size = 8, .max_entries = 7, .map_flags = NO_PREALLOC };
struct bpf_map_def SEC("maps") old_array = { .type = ARRAY, .key_size = 4, .value_size = 8, .max_entries = 2 };

SEC("socket") int fill(struct __sk_buff *context)
{
	u32 key = 1;
	u64 value = 0x1234;

	bpf_map_update_elem(&old_hash, &key, &value, 0);
	bpf_map_update_elem(&old_array, &key, &value, 0);
	return 5;
}

LICENSE("GPL");

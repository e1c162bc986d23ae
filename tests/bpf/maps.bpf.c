// Maps in .maps, with every field that a definition may have.
#include "bpf.h"

struct key {
	u32 id;
	char name[4];
};

struct value {
	u64 count;
	u32 flags;
};

struct {
	U(type, HASH);
	T(key, struct key);
	T(value, struct value);
	U(max_entries, 16);
	U(map_flags, NO_PREALLOC);
} typed SEC(".maps");

struct {
	U(type, ARRAY);
	U(key_size, 4);
	U(value_size, 24);
	U(max_entries, 3);
	U(map_flags, MMAPABLE);
} sized SEC(".maps");

struct {
	U(type, HASH);
	U(key_size, 8);
	U(value_size, 8);
	U(max_entries, 4);
	U(map_flags, NUMA_NODE);
	U(numa_node, 0);
} on_node SEC(".maps");

struct {
	U(type, BLOOM_FILTER);
	U(value_size, 8);
	U(max_entries, 100);
	U(map_extra, 3);
} bloom SEC(".maps");

struct {
	U(type, PERCPU_ARRAY);
	T(key, u32);
	T(value, u64);
	U(max_entries, 2);
} per_cpu SEC(".maps");

struct {
	U(type, LPM_TRIE);
	U(key_size, 8);
	U(value_size, 4);
	U(max_entries, 4);
	U(map_flags, NO_PREALLOC);
} trie SEC(".maps");

struct {
	U(type, QUEUE);
	T(value, u32);
	U(max_entries, 4);
} queue SEC(".maps");

// As many entries as there are processors.
struct {
	U(type, PERF_EVENT_ARRAY);
	U(key_size, 4);
	U(value_size, 4);
} events SEC(".maps");

// A name that the kernel has no room for.
struct {
	U(type, LRU_HASH);
	T(key, u32);
	T(value, u32);
	U(max_entries, 8);
} a_map_with_a_rather_long_name SEC(".maps");

SEC("socket") int count(struct __sk_buff *context)
{
	struct key key = { .id = context->len, .name = "abc" };
	struct value first = { .count = 1, .flags = 7 };
	struct value *value = bpf_map_lookup_elem(&typed, &key);
	u64 number = 42;
	u32 zero = 0;
	u64 *own = bpf_map_lookup_elem(&per_cpu, &zero);

	if (own)
		*own += 1;
	bpf_map_update_elem(&on_node, &number, &number, 0);
	bpf_map_update_elem(&a_map_with_a_rather_long_name, &zero, &zero, 0);
	bpf_map_push_elem(&queue, &zero, 0);
	if (value)
		value->count += 1;
	else
		bpf_map_update_elem(&typed, &key, &first, 0);
	return 3;
}

LICENSE("GPL");

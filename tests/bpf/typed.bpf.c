// Maps with types of keys and values, that kernels from 5.10 on have.
#include "bpf.h"

enum state { IDLE, BUSY = 4 };

struct key {
	u32 id;
	char name[4];
};

struct value {
	u64 count;
	enum state state;
	u32 low:3, high:5;
	s16 pair[2];
};

struct {
	U(type, HASH);
	T(key, struct key);
	T(value, struct value);
	U(max_entries, 16);
} typed SEC(".maps");

struct {
	U(type, PERCPU_ARRAY);
	T(key, u32);
	T(value, u64);
	U(max_entries, 2);
} per_cpu SEC(".maps");

struct {
	U(type, QUEUE);
	T(value, u32);
	U(max_entries, 4);
} queue SEC(".maps");

SEC("socket") int keep(struct __sk_buff *context)
{
	struct key key = {};
	struct value first = {};
	struct value *value;
	u32 zero = 0;
	u64 *own = bpf_map_lookup_elem(&per_cpu, &zero);

	// Not by initializers: those of constants make an empty section of types, which old kernels refuse.
	key.id = context->len;
	first.count = 1;
	value = bpf_map_lookup_elem(&typed, &key);

	if (own)
		*own += 1;
	bpf_map_push_elem(&queue, &zero, 0);
	if (value)
		value->count += 1;
	else
		bpf_map_update_elem(&typed, &key, &first, 0);
	return context->len;
}

LICENSE("GPL");

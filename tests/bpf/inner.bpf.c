// Maps of maps and of programs, filled from the object.
#include "bpf.h"

struct inner {
	U(type, ARRAY);
	T(key, u32);
	T(value, u64);
	U(max_entries, 1);
} first SEC(".maps"), second SEC(".maps");

struct {
	U(type, ARRAY_OF_MAPS);
	U(max_entries, 4);
	T(key, u32);
	VALUES(values, struct inner);
} outer SEC(".maps") = { .values = { &first, NULL, &second } };

struct {
	U(type, HASH_OF_MAPS);
	U(max_entries, 4);
	T(key, u32);
	VALUES(values, struct inner);
} outer_hash SEC(".maps") = { .values = { [1] = &second } };

struct {
	U(type, ARRAY_OF_MAPS);
	U(max_entries, 1);
	T(key, u32);
	VALUES(values, struct {
		U(type, HASH);
		T(key, u64);
		T(value, u64);
		U(max_entries, 5);
	});
} empty SEC(".maps");

int called(struct __sk_buff *context);
int called_too(struct __sk_buff *context);

struct {
	U(type, PROG_ARRAY);
	U(max_entries, 4);
	U(key_size, 4);
	VALUES(values, int(struct __sk_buff *));
} calls SEC(".maps") = { .values = { [1] = (void *)&called, [3] = (void *)&called_too } };

SEC("socket") int called(struct __sk_buff *context)
{
	return 11;
}

SEC("socket") int called_too(struct __sk_buff *context)
{
	return 33;
}

// mark says which slot is called; 7 when there is nothing in it.
SEC("socket") int tail_call(struct __sk_buff *context)
{
	bpf_tail_call(context, &calls, context->mark);
	return 7;
}

INLINE void write_one(u32 index)
{
	u32 zero = 0;
	void *map = bpf_map_lookup_elem(&outer, &index);
	u64 *value = map ? bpf_map_lookup_elem(map, &zero) : NULL;

	if (value)
		*value = 100 + index;
}

SEC("socket") int write_inner(struct __sk_buff *context)
{
	write_one(0);
	write_one(1);
	write_one(2);
	write_one(3);
	return 0;
}

LICENSE("GPL");

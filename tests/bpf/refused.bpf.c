// Programs that the verifier refuses, each for another reason.
#include "bpf.h"

struct {
	U(type, ARRAY);
	T(key, u32);
	T(value, u32);
	U(max_entries, 1);
} numbers SEC(".maps");

struct {
	U(type, HASH);
	T(key, u32);
	T(value, u32);
	U(max_entries, 1);
} elements SEC(".maps");

SEC("socket") int not_checked_for_null(struct __sk_buff *context)
{
	u32 zero = 0;
	u32 *value = bpf_map_lookup_elem(&elements, &zero);

	return *value;
}

SEC("socket") int beyond_the_value(struct __sk_buff *context)
{
	u32 zero = 0;
	u32 *value = bpf_map_lookup_elem(&numbers, &zero);

	return value ? value[1] : 0;
}

SEC("socket") int helper_not_allowed(struct __sk_buff *context)
{
	u64 value = 0;

	return bpf_copy_from_user(&value, sizeof(value), NULL);
}

SEC("socket") int without_an_end(struct __sk_buff *context)
{
	u32 i = context->len;

	while (i != 0xffffffff) {
		opaque(i);
		i |= 1;
	}
	return i;
}

SEC("socket") int reads_uninitialized(struct __sk_buff *context)
{
	u64 value;

	asm volatile("%0 = r7" : "=r"(value));
	return value;
}

SEC("socket") int writes_the_context(struct __sk_buff *context)
{
	context->len = 1;
	return 0;
}

SEC("socket") int index_not_bounded(struct __sk_buff *context)
{
	char bytes[8] = {};
	u32 i = context->len;

	opaque(i);
	bytes[i] = 1;
	opaque(i);
	return bytes[i & 7];
}

LICENSE("GPL");

// The second of two files that become one object.
#include "bpf.h"

u64 shared_variable = 100;
static u64 same_name = 50;

struct {
	U(type, ARRAY);
	T(key, u32);
	T(value, u64);
	U(max_entries, 2);
} shared_map SEC(".maps");

NOINLINE int doubled(int number)
{
	opaque(number);
	return number * 2;
}

SEC("socket") int from_b(struct __sk_buff *context)
{
	same_name += 1;
	return same_name + doubled(2);
}

LICENSE("GPL");

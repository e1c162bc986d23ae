// Functions whose address is taken: for every element of a map (Linux 5.13), so many times (Linux 5.17).
#include "bpf.h"

struct {
	U(type, ARRAY);
	T(key, u32);
	T(value, u64);
	U(max_entries, 4);
} numbers SEC(".maps");

u64 sum;
u64 turns;

static long add(void *map, u32 *key, u64 *value, void *context)
{
	sum += *value + *key;
	return 0;
}

static long turn(u32 index, u64 *until)
{
	turns += 1;
	return index == *until;
}

SEC("tc") int for_each(struct __sk_buff *context)
{
	return bpf_for_each_map_elem(&numbers, add, NULL, 0);
}

SEC("tc") int loop(struct __sk_buff *context)
{
	u64 until = 6;

	return bpf_loop(100, turn, &until, 0);
}

LICENSE("GPL");

// The other half of linked.o.
#include "common.h"

struct {
	U(type, 1);
	T(key, int);
	T(value, u64);
	U(max_entries, 10);
} both SEC(".maps") WEAK;

static NOINLINE int same_name(int x)
{
	opaque(x);
	return x + 7;
}

WEAK NOINLINE int weak(int x)
{
	opaque(x);
	return x + 2 + same_name(x);
}

NOINLINE int global(int x)
{
	opaque(x);
	return weak(x) + same_name(x);
}

int of_b = 9;
static int local_of_b = 8;

SEC("tc") int program_b(void *context)
{
	int key = 0;

	bpf_map_lookup_elem(&both, &key);
	of_b++;
	local_of_b++;
	return weak(1) + global(2) + same_name(3);
}

SEC("kprobe/do_something") int program_k(void *context)
{
	local_of_b++;
	return same_name(4);
}

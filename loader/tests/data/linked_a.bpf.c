// One half of linked.o: what both define weakly is taken from here.
#include "common.h"

struct {
	U(type, 1);
	T(key, int);
	T(value, u64);
	U(max_entries, 10);
} both SEC(".maps") WEAK;

struct {
	U(type, 1);
	T(key, int);
	T(value, u64);
	U(max_entries, 11);
} first SEC(".maps");

WEAK NOINLINE int weak(int x)
{
	opaque(x);
	return x + 1;
}

extern int global(int x);

static NOINLINE int same_name(int x)
{
	opaque(x);
	return x + 3;
}

int of_a = 3;
static int local_of_a = 4;
extern int of_b;

SEC("tc") int program_a(void *context)
{
	int key = 0;

	bpf_map_lookup_elem(&both, &key);
	bpf_map_lookup_elem(&first, &key);
	of_a++;
	local_of_a++;
	of_b++;
	return weak(1) + global(2) + same_name(3);
}

char license_text[] SEC("license") = "GPL";

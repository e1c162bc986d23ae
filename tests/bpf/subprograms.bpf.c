// Functions that are called: static ones, global ones, one in several programs, one that calls another.
#include "bpf.h"

u64 calls;

static NOINLINE int leaf(int a, int b)
{
	opaque(a);
	calls += 1;
	return a * b;
}

static NOINLINE int middle(int a)
{
	opaque(a);
	return leaf(a, 2) + leaf(a, 3);
}

NOINLINE int global(int a)
{
	opaque(a);
	calls += 100;
	return a + 1;
}

NOINLINE HIDDEN int global_hidden(int a)
{
	opaque(a);
	return a - 1;
}

SEC("socket") int first(struct __sk_buff *context)
{
	return middle(10) + global(4);
}

SEC("socket") int second(struct __sk_buff *context)
{
	return global_hidden(global(20)) + leaf(3, 3);
}

LICENSE("GPL");

// Functions of all kinds, and data sections of all kinds.
#include "common.h"

static NOINLINE int twice(int x)
{
	opaque(x);
	return x * 2;
}

NOINLINE int rethrow(u64 cookie)
{
	return twice(cookie);
}

NOINLINE int caught(u64 cookie)
{
	opaque(cookie);
	return rethrow(cookie);
}

NOINLINE int other(int x)
{
	opaque(x);
	return twice(x) + 1;
}

WEAK NOINLINE int replaceable(int x)
{
	opaque(x);
	return x + 1;
}

HIDDEN NOINLINE int unseen(int x)
{
	opaque(x);
	return replaceable(x) + 1;
}

static long step(u32 index, void *context)
{
	*(int *)context += twice(index);
	return 0;
}

long global_step(u32 index, void *context)
{
	return index;
}

// Callbacks by address, subprograms, one of them twice, an exception callback. Kernels take static callbacks only.
SEC("?tc") __attribute__((btf_decl_tag("exception_callback:caught"))) int everything(void *context)
{
	int sum = 0;

	bpf_loop(3, step, &sum, 0);
	bpf_loop(2, global_step, 0, 0);
	return other(sum) + unseen(sum) + twice(sum);
}

SEC("tc") int two(void *context)
{
	return replaceable(3) + unseen(4);
}

SEC("somewhere/else") int nowhere(void *context)
{
	return 0;
}

static const volatile char constant[] = "abc";
const volatile char text[6] = "hello";
int mine SEC(".data.mine") = 3;
static int local SEC(".data.local") = 4;
HIDDEN int hidden SEC(".data.hidden") = 5;
int zero SEC(".bss.zero");
u64 grows[1] SEC(".bss.grows");
const int seven SEC(".rodata.seven") = 7;

SEC("tc") int variables(void *context)
{
	const char *string;

	mine++;
	local++;
	hidden++;
	zero++;
	grows[0]++;
	asm volatile("%0 = %1 ll" : "=r"(string) : "i"("a string"));
	return *(volatile int *)&seven + constant[1] + text[2] + (string != 0);
}

char license_text[] SEC("license") = "GPL";

// One source for each version of the instruction set: jumps on halves of registers, atomic operations, sign-extending
// loads and moves, signed division, swaps, long jumps.
#include "bpf.h"

u64 out[8];
volatile s32 number = -100;
volatile s8 byte = -5;
volatile u32 swapped = 0x11223344;

SEC("socket") int compute(struct __sk_buff *context)
{
	s32 a = number;
	u32 len = context->len;

	out[0] = len > 5 && len < 2000 ? 1 : 2;
	out[1] = (s64)(byte * 3);
	out[2] = a < -50 ? -a : a;
	out[3] = __builtin_bswap32(swapped);
	__sync_fetch_and_add(&out[4], 7);
	out[5] = (u32)a / 7;
	return 9;
}

LICENSE("GPL");

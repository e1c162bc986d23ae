// CO-RE: a field that two types of the target could be meant by, at different places.
#include "bpf.h"
#include "core.h"

u8 input[64] __attribute__((aligned(8)));
u64 out[16];

struct twice {
	int a;
} CORE;

SEC("socket") int ambiguous(struct __sk_buff *context)
{
	const struct twice *in = (const struct twice *)input;

	out[0] = in->a;
	return 0;
}

LICENSE("GPL");

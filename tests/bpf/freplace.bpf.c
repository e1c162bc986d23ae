// Takes the place of a function of replaced.bpf.c.
#include "bpf.h"

SEC("freplace/replaced") int replacement(struct __sk_buff *context)
{
	return 2;
}

LICENSE("GPL");

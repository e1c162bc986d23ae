// A program with a function that another program may take the place of.
#include "bpf.h"

NOINLINE int replaced(struct __sk_buff *context)
{
	int value = 1;

	opaque(value);
	return value;
}

SEC("tc") int caller(struct __sk_buff *context)
{
	return replaced(context) + 10;
}

LICENSE("GPL");

// A symbol that no kernel has, and that may not be missing.
#include "bpf.h"

extern const void tracewell_no_symbol KSYM;
u64 out;

SEC("socket") int look(struct __sk_buff *context)
{
	out = (u64)&tracewell_no_symbol;
	return 0;
}

LICENSE("GPL");

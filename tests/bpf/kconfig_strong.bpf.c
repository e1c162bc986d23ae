// A value of the configuration that no kernel has, and that may not be missing.
#include "bpf.h"

extern u32 CONFIG_TRACEWELL_STRONG KCONFIG;
u32 out;

SEC("socket") int read(struct __sk_buff *context)
{
	out = CONFIG_TRACEWELL_STRONG;
	return 0;
}

LICENSE("GPL");

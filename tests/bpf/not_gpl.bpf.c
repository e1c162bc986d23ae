// A helper for GPL programs only, called by one that is not.
#include "bpf.h"

static const char format[] = "hello\n";

SEC("raw_tp/sys_enter") int print(void *context)
{
	char text[] = "hello\n";

	bpf_trace_printk(text, sizeof(text));
	return 0;
}

LICENSE("Proprietary");

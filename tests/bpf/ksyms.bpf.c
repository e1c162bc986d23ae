// Variables and addresses of the kernel.
#include "bpf.h"

struct rq {
	u32 nr_running;
};
extern const int bpf_prog_active KSYM;
extern const struct rq runqueues KSYM;
extern const int tracewell_no_variable KSYM WEAK;
extern const void vfs_fallocate KSYM;
extern const void tracewell_no_symbol KSYM WEAK;

u64 out[8];

SEC("raw_tp/sys_enter") int look(void *context)
{
	void *first = bpf_per_cpu_ptr(&runqueues, 0);

	out[1] = first != NULL;
	out[2] = (u64)&vfs_fallocate;
	out[3] = (u64)&tracewell_no_symbol;
	out[4] = &tracewell_no_variable == NULL;
	return 0;
}

// (Kernels that list only their functions do not have the variable's address.)
SEC("?raw_tp/sys_enter") int active(void *context)
{
	int *active = bpf_this_cpu_ptr(&bpf_prog_active);

	out[0] = *active;
	return 0;
}

LICENSE("GPL");

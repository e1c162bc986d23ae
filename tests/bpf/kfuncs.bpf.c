// Functions of the kernel that programs may call (Linux 6.2 has these two), and one that no kernel has.
#include "bpf.h"
#include "core.h"

// (A struct that is only announced would be another kind of type than the kernel's.)
struct task_struct {
	int pid;
} CORE;

extern struct task_struct *bpf_task_acquire(struct task_struct *task) KSYM WEAK;
extern void bpf_task_release(struct task_struct *task) KSYM WEAK;
extern int tracewell_no_function(int number) KSYM WEAK;

u64 out[4];

SEC("tp_btf/task_newtask") int new_task(u64 *context)
{
	struct task_struct *task = (struct task_struct *)context[0];

	out[0] += 1;
	if (bpf_task_acquire && bpf_task_release) {
		struct task_struct *held = bpf_task_acquire(task);

		if (held) {
			out[1] += 1;
			bpf_task_release(held);
		}
	}
	if (tracewell_no_function)
		out[2] = tracewell_no_function(1);
	return 0;
}

LICENSE("GPL");

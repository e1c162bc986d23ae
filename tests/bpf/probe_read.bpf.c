// The CO-RE idiom of every tool: fields of the running kernel's structs, read by helpers that older kernels call by
// another name.
#include "bpf.h"
#include "core.h"

struct task_struct {
	int tgid;
	struct task_struct *group_leader;
	char comm[16];
} CORE;

static void *(*const bpf_get_current_task)(void) = (void *)35;

const volatile u32 wanted;
u32 tgid;
u32 leader_tgid;
char comm[16];

SEC("tp/syscalls/sys_enter_fallocate") int look(void *context)
{
	struct task_struct *task = bpf_get_current_task(), *leader;

	if ((u32)(bpf_get_current_pid_tgid() >> 32) != wanted)
		return 0;
	bpf_probe_read_kernel(&tgid, sizeof(tgid), &task->tgid);
	bpf_probe_read_kernel(&leader, sizeof(leader), &task->group_leader);
	bpf_probe_read_kernel(&leader_tgid, sizeof(leader_tgid), &leader->tgid);
	bpf_probe_read_kernel(comm, sizeof(comm), &task->comm);
	return 0;
}

LICENSE("GPL");

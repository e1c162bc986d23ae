// Programs that count what the workload does: each is attached by its section and filters by the process.
#include "bpf.h"

const volatile u32 wanted;
u64 tracepoint_hits;
u64 raw_hits;
u64 kprobe_hits;
u64 return_hits;
u64 syscall_hits;
u64 fentry_hits;

#define COUNT(name, section, hits)                                                \
	SEC(section) int name(void *context)                                      \
	{                                                                         \
		if ((u32)(bpf_get_current_pid_tgid() >> 32) == wanted)            \
			__sync_fetch_and_add(&hits, 1);                           \
		return 0;                                                         \
	}

COUNT(on_tracepoint, "tp/syscalls/sys_enter_fallocate", tracepoint_hits)
COUNT(on_kprobe, "?kprobe/vfs_fallocate", kprobe_hits)
COUNT(on_return, "?kretprobe/vfs_fallocate", return_hits)
COUNT(on_syscall, "?ksyscall/fallocate", syscall_hits)
COUNT(on_fentry, "?fentry/vfs_fallocate", fentry_hits)

// The number of the system call is the second argument.
SEC("raw_tp/sys_enter") int on_raw_tracepoint(struct bpf_raw_tracepoint_args *context)
{
	if ((u32)(bpf_get_current_pid_tgid() >> 32) == wanted && context->args[1] == 285)
		__sync_fetch_and_add(&raw_hits, 1);
	return 0;
}

LICENSE("GPL");

// A program that may sleep: it reads memory of user space that may have to be fetched first (Linux 5.10).
#include "bpf.h"

u64 out;

SEC("fentry.s/__x64_sys_fallocate") int copy(u64 *context)
{
	u64 registers[15];

	bpf_probe_read_kernel(registers, sizeof(registers), (void *)context[0]);
	out += bpf_copy_from_user(&registers[0], 8, (void *)registers[14]) != 0;
	return 0;
}

LICENSE("GPL");

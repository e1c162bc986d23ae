// Values of the kernel's configuration, and those that loaders make up.
#include "bpf.h"

// The name is what tells loaders that a letter is meant.
enum libbpf_tristate { NO, YES, MODULE };

extern u32 LINUX_KERNEL_VERSION KCONFIG;
extern bool LINUX_HAS_BPF_COOKIE KCONFIG WEAK;
extern bool LINUX_HAS_SYSCALL_WRAPPER KCONFIG WEAK;
extern bool CONFIG_BPF_SYSCALL KCONFIG;
extern enum libbpf_tristate CONFIG_DUMMY KCONFIG WEAK;
extern enum libbpf_tristate CONFIG_BPF_JIT KCONFIG;
extern u32 CONFIG_HZ KCONFIG;
extern char CONFIG_DEFAULT_HOSTNAME[16] KCONFIG WEAK;
extern u64 CONFIG_TRACEWELL_NUMBER KCONFIG WEAK;
extern char CONFIG_TRACEWELL_TEXT[8] KCONFIG WEAK;
extern char CONFIG_TRACEWELL_LETTER KCONFIG WEAK;

u64 out[16];
char text[16];

SEC("socket") int read(struct __sk_buff *context)
{
	out[0] = LINUX_KERNEL_VERSION;
	out[1] = LINUX_HAS_BPF_COOKIE;
	out[2] = LINUX_HAS_SYSCALL_WRAPPER;
	out[3] = CONFIG_BPF_SYSCALL;
	out[4] = CONFIG_DUMMY;
	out[5] = CONFIG_BPF_JIT;
	out[6] = CONFIG_HZ;
	out[7] = CONFIG_TRACEWELL_NUMBER;
	out[8] = CONFIG_TRACEWELL_TEXT[0];
	out[9] = CONFIG_TRACEWELL_LETTER;
	for (int i = 0; i < 16; i++)
		text[i] = CONFIG_DEFAULT_HOSTNAME[i];
	return 0;
}

LICENSE("GPL");

// Counts the system calls of one process, by number. For the example `embedded`, which has the compiled object inside:
//
//     clang -target bpf -mcpu=v3 -O2 -g -fdebug-compilation-dir=. -c syscalls.bpf.c -o syscalls.bpf.o && llvm-strip -g syscalls.bpf.o
//
// No header is needed: what the kernel gives is a pointer and two arguments, and helpers are numbers.

typedef unsigned int u32;
typedef unsigned long long u64;

#define SEC(name) __attribute__((section(name), used))

static u64 (*const bpf_get_current_pid_tgid)(void) = (void *)14;
static void *(*const bpf_map_lookup_elem)(void *map, const void *key) = (void *)1;
static long (*const bpf_map_update_elem)(void *map, const void *key, const void *value, u64 flags) = (void *)2;

// Set before the program is loaded: the verifier then knows the value, and drops what is not needed.
const volatile u32 only_pid = 0;

// Read while it runs.
u64 calls = 0;

struct {
	int (*type)[1];        // BPF_MAP_TYPE_HASH
	int (*max_entries)[1024];
	u32 *key;
	u64 *value;
} counts SEC(".maps");

SEC("raw_tp/sys_enter")
int count_syscalls(u64 *ctx)
{
	u32 number = ctx[1];
	u64 one = 1, *count;

	if (only_pid && bpf_get_current_pid_tgid() >> 32 != only_pid)
		return 0;
	__sync_fetch_and_add(&calls, 1);
	count = bpf_map_lookup_elem(&counts, &number);
	if (count)
		__sync_fetch_and_add(count, 1);
	else
		bpf_map_update_elem(&counts, &number, &one, 0);
	return 0;
}

char LICENSE[] SEC("license") = "GPL";

// What the test programs share: integer types, sections, map fields, helpers by their numbers.
// Everything is from the ABI (bpf(2), bpf-helpers(7)); nothing outside this folder is needed to compile them.
#pragma once

typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;
typedef signed char s8;
typedef short s16;
typedef int s32;
typedef long long s64;

#define SEC(name) __attribute__((section(name), used))
#define WEAK __attribute__((weak))
#define NOINLINE __attribute__((noinline))
#define INLINE static inline __attribute__((always_inline))
#define HIDDEN __attribute__((visibility("hidden")))
#define NULL ((void *)0)
// Programs that call what only GPL programs may need this.
#define LICENSE(name) char license_of_object[] SEC("license") = name
// The compiler may not look through this.
#define opaque(x) asm volatile("" : "+r"(x))

// Fields of maps: the number is the dimension of an array, the type is what a pointer points to.
#define U(name, number) int (*name)[number]
#define T(name, type) typeof(type) *name
#define VALUES(name, type) typeof(type) *name[]

// Externs.
#define KCONFIG __attribute__((section(".kconfig")))
#define KSYM __attribute__((section(".ksyms")))

enum map_type {
	HASH = 1,
	ARRAY = 2,
	PROG_ARRAY = 3,
	PERF_EVENT_ARRAY = 4,
	PERCPU_HASH = 5,
	PERCPU_ARRAY = 6,
	STACK_TRACE = 7,
	LRU_HASH = 9,
	LPM_TRIE = 11,
	ARRAY_OF_MAPS = 12,
	HASH_OF_MAPS = 13,
	QUEUE = 22,
	STACK = 23,
	SK_STORAGE = 24,
	STRUCT_OPS = 26,
	RINGBUF = 27,
	TASK_STORAGE = 29,
	BLOOM_FILTER = 30,
};

enum map_flag { NO_PREALLOC = 1, NUMA_NODE = 4, RDONLY_PROG = 0x80, MMAPABLE = 0x400 };
enum pinning { PIN_NONE, PIN_BY_NAME };

struct bpf_spin_lock {
	u32 val;
};

struct bpf_timer {
	u64 opaque[2];
} __attribute__((aligned(8)));

// How each type of program calls its context. Only what is read is here.
struct __sk_buff {
	u32 len;
	u32 pkt_type;
	u32 mark;
};

struct bpf_raw_tracepoint_args {
	u64 args[0];
};

static void *(*const bpf_map_lookup_elem)(const void *map, const void *key) = (void *)1;
static long (*const bpf_map_update_elem)(const void *map, const void *key, const void *value, u64 flags) = (void *)2;
static long (*const bpf_probe_read)(void *to, u32 size, const void *from) = (void *)4;
static u64 (*const bpf_ktime_get_ns)(void) = (void *)5;
static long (*const bpf_trace_printk)(const char *format, u32 size, ...) = (void *)6;
static u32 (*const bpf_get_smp_processor_id)(void) = (void *)8;
static long (*const bpf_tail_call)(void *context, const void *map, u32 index) = (void *)12;
static u64 (*const bpf_get_current_pid_tgid)(void) = (void *)14;
static long (*const bpf_get_current_comm)(void *to, u32 size) = (void *)16;
static long (*const bpf_perf_event_output)(void *context, const void *map, u64 flags, const void *from, u64 size) = (void *)25;
static long (*const bpf_map_push_elem)(const void *map, const void *value, u64 flags) = (void *)87;
static long (*const bpf_spin_lock)(struct bpf_spin_lock *lock) = (void *)93;
static long (*const bpf_spin_unlock)(struct bpf_spin_lock *lock) = (void *)94;
static long (*const bpf_probe_read_user)(void *to, u32 size, const void *from) = (void *)112;
static long (*const bpf_probe_read_kernel)(void *to, u32 size, const void *from) = (void *)113;
static long (*const bpf_ringbuf_output)(const void *map, const void *from, u64 size, u64 flags) = (void *)130;
static void *(*const bpf_ringbuf_reserve)(const void *map, u64 size, u64 flags) = (void *)131;
static void (*const bpf_ringbuf_submit)(void *record, u64 flags) = (void *)132;
static long (*const bpf_copy_from_user)(void *to, u32 size, const void *from) = (void *)148;
static void *(*const bpf_per_cpu_ptr)(const void *variable, u32 cpu) = (void *)153;
static void *(*const bpf_this_cpu_ptr)(const void *variable) = (void *)154;
static void *(*const bpf_task_storage_get)(const void *map, void *task, void *value, u64 flags) = (void *)156;
static void *(*const bpf_get_current_task_btf)(void) = (void *)158;
static long (*const bpf_for_each_map_elem)(const void *map, void *callback, void *context, u64 flags) = (void *)164;
static long (*const bpf_timer_init)(struct bpf_timer *timer, const void *map, u64 flags) = (void *)169;
static long (*const bpf_timer_set_callback)(struct bpf_timer *timer, void *callback) = (void *)170;
static long (*const bpf_timer_start)(struct bpf_timer *timer, u64 ns, u64 flags) = (void *)171;
static u64 (*const bpf_get_attach_cookie)(void *context) = (void *)174;
static long (*const bpf_loop)(u32 times, void *callback, void *context, u64 flags) = (void *)181;
static void *(*const bpf_kptr_xchg)(void *place, void *pointer) = (void *)194;

// What the objects of this folder share.
#pragma once

typedef unsigned int u32;
typedef unsigned long long u64;

#define SEC(name) __attribute__((section(name), used))
#define NOINLINE __attribute__((noinline))
#define WEAK __attribute__((weak))
#define HIDDEN __attribute__((visibility("hidden")))
#define U(name, number) int (*name)[number]
#define T(name, type) typeof(type) *name
// The compiler may not look through this.
#define opaque(x) asm volatile("" : "+r"(x))

static void *(*const bpf_map_lookup_elem)(const void *map, const void *key) = (void *)1;
static long (*const bpf_loop)(u32 count, void *callback, void *context, u64 flags) = (void *)181;

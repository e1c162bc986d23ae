// Globals of an arena.
#include "common.h"

#define ARENA __attribute__((address_space(1)))

struct {
	U(type, 33);
	U(map_flags, 0x400);
	U(max_entries, 10);
} arena SEC(".maps");

int ARENA counter = 5;
static int ARENA local;
int ARENA numbers[10];

SEC("syscall") int count(void *context)
{
	counter += numbers[3];
	local++;
	return *(volatile int *)&arena != 0;
}

char license_text[] SEC("license") = "GPL";

// Global variables of every kind of section and of all sorts of types.
#include "bpf.h"

enum mode { MODE_OFF, MODE_ON = 5 };

struct pair {
	u32 left;
	u64 right;
};

// Settings, in memory that is read-only once it is loaded.
const volatile u32 limit = 10;
const volatile bool enabled = 0;
const volatile char name[16] = "default";
const volatile enum mode mode = MODE_OFF;
const volatile struct pair pair = { 1, 2 };
const volatile s64 negative = -7;

// Variables that begin as something, and those that begin as zero.
u64 counter = 1000;
s16 small = -3;
static volatile u32 hidden = 17;
u64 sum;
char copied[16];
u32 table[5];
float ratio = 0.5;

// Sections of their own.
u32 extra SEC(".data.extra") = 0xabcd;
const volatile u32 constant SEC(".rodata.constants") = 99;
u64 zeroed SEC(".bss.more");

SEC("socket") int add(struct __sk_buff *context)
{
	counter += limit;
	sum = pair.left + pair.right + negative;
	small -= 1;
	hidden += 1;
	for (int i = 0; i < 16; i++)
		copied[i] = name[i];
	for (u32 i = 0; i < 5; i++)
		table[i] = i * constant;
	extra += mode;
	zeroed = enabled ? 0xeeee : 0xdddd;
	return hidden;
}

LICENSE("GPL");

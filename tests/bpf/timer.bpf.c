// A timer in a map's value (Linux 5.15).
#include "bpf.h"

struct element {
	struct bpf_timer timer;
};

struct {
	U(type, ARRAY);
	T(key, u32);
	T(value, struct element);
	U(max_entries, 1);
} timers SEC(".maps");

u64 fired;

static int fire(void *map, u32 *key, struct element *element)
{
	fired += 1;
	return 0;
}

SEC("tc") int start(struct __sk_buff *context)
{
	u32 zero = 0;
	struct element *element = bpf_map_lookup_elem(&timers, &zero);

	if (!element)
		return 1;
	bpf_timer_init(&element->timer, &timers, 1);
	bpf_timer_set_callback(&element->timer, fire);
	bpf_timer_start(&element->timer, 0, 0);
	return 0;
}

LICENSE("GPL");

// CO-RE: programs that rely on what the target (core_target.c) does not have. The object is read and relocated; the
// programs that get to the place are refused, with the relocation in the error.
#include "bpf.h"
#include "core.h"

u8 input[256] __attribute__((aligned(8)));
u64 out[16];

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)
struct lost {
	int kept;
	int gone;
};
struct only_here {
	int a;
};
struct arrays {
	u32 numbers[9];
};
struct sign {
	s8 small;
};
struct mistyped {
	int became_struct;
};
enum color { NO_COLOR = 4 };
#pragma clang attribute pop

#define CASE(name) SEC("socket") int name(struct __sk_buff *context)

CASE(missing_field)
{
	const struct lost *in = (const struct lost *)input;

	out[0] = in->gone;
	return 0;
}

CASE(missing_type)
{
	const struct only_here *in = (const struct only_here *)input;

	out[0] = in->a;
	return 0;
}

CASE(missing_enumerator)
{
	out[0] = enum_value(enum color, NO_COLOR);
	return 0;
}

// Zero says that there is no such type.
CASE(missing_type_id)
{
	out[0] = type_id_target(struct only_here);
	return 0;
}

CASE(element_out_of_range)
{
	const struct arrays *in = (const struct arrays *)input;

	out[0] = in->numbers[7];
	return 0;
}

// The number is signed and wider in the target: a load of another width would not extend it right.
CASE(signed_resized)
{
	const struct sign *in = (const struct sign *)input;

	out[0] = in->small;
	return 0;
}

CASE(another_kind)
{
	const struct mistyped *in = (const struct mistyped *)input;

	out[0] = in->became_struct;
	return 0;
}

// It is never reached, so the kernel does not mind.
CASE(missing_but_unreachable)
{
	const struct lost *in = (const struct lost *)input;

	out[0] = 1;
	if (field_exists(in->gone))
		out[0] = in->gone;
	return 0;
}

LICENSE("GPL");

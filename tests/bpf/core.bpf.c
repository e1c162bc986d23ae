// CO-RE: what programs were compiled against. The types that they meet are those of core_target.c, and `input` holds a
// variable of the target's: what a program sees goes to `out`.
#include "bpf.h"
#include "core.h"

u8 input[256] __attribute__((aligned(8)));
u64 out[16];

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

struct moved {
	int a;
	u32 b;
	u64 c;
};

struct shrunk {
	u64 first;
	u32 second;
	u16 third;
	u8 fourth;
};

struct stored {
	u32 word;
	u64 wide;
	u16 half;
	u8 byte;
};

struct lost {
	int kept;
	int gone;
};

struct renamed {
	int before;
};

struct renamed___new {
	int after;
};

struct bits {
	u32 a : 3;
	u32 b : 7;
	s32 c : 5;
	u32 plain_then_bits;
	u32 bits_then_plain : 9;
	s16 negative;
};

struct sign {
	u32 was_unsigned;
	s32 was_signed;
	s8 small;
};

struct element {
	u32 x;
	u32 y;
};

struct arrays {
	u32 numbers[4];
	struct element elements[3];
	u32 matrix[2][3];
	u32 tail[];
};

struct nest {
	int a;
	int b;
	struct {
		int c;
	} named;
};

struct pointers {
	void *first;
	struct nest *second;
	int (*function)(int);
	u64 number;
};

union choice {
	u32 word;
	u8 bytes[4];
	struct {
		u16 low;
		u16 high;
	};
};

struct mistyped {
	int number;
	int became_struct;
};

struct only_here {
	int a;
};

struct was_struct {
	int a;
};

struct same {
	int a;
	struct nest *to;
};

struct less {
	int a;
	int more;
};

struct fwd_only;

enum color { RED = 1, GREEN = 2, BLUE = 3, NO_COLOR = 4 };
enum color___flavour { GREEN___second = 2 };
enum big : unsigned long long { BIG_A = 0x100000000, BIG_B = 0xfffffffffffffff0, BIG_GONE = 7 };
enum negative { MINUS = -5 };
enum only_enum { ONLY_ENUM };

#pragma clang attribute pop

typedef struct moved moved_type;
typedef int only_typedef;
typedef u32 (*callback_type)(u32, struct moved *);

// A program that the socket filter hook could run; bpf(BPF_PROG_TEST_RUN) does.
#define CASE(name) SEC("socket") int name(struct __sk_buff *context)
// The input as the compiler must not know it.
#define INPUT(type)                                         \
	({                                                  \
		const type *in = (const type *)input;       \
		in;                                         \
	})

CASE(offset_moved)
{
	const struct moved *in = INPUT(struct moved);

	out[0] = in->a;
	out[1] = in->b;
	out[2] = in->c;
	out[3] = field_info(in->b, FIELD_OFFSET);
	return 0;
}

CASE(size_of_loads)
{
	const struct shrunk *in = INPUT(struct shrunk);

	out[0] = in->first;
	out[1] = in->second;
	out[2] = in->third;
	out[3] = in->fourth;
	out[4] = field_size(in->first);
	out[5] = field_size(in->fourth);
	out[6] = field_size(in->second);
	return 0;
}

// Stores take the target's width, too: nothing beside the field may change.
CASE(size_of_stores)
{
	struct stored *to = (struct stored *)input;
	u64 value = 0x1122334455667788;

	opaque(value);
	to->word = value;
	to->wide = value;
	to->half = 0x99;
	to->byte = 0xaa;
	for (int i = 0; i < 4; i++)
		out[i] = ((u64 *)input)[i];
	return 0;
}

CASE(field_missing)
{
	const struct lost *in = INPUT(struct lost);

	out[0] = field_exists(in->kept);
	out[1] = field_exists(in->gone);
	out[2] = in->kept;
	out[3] = 77;
	if (field_exists(in->gone))
		out[3] = in->gone;
	return 0;
}

CASE(flavour_renamed)
{
	const struct renamed *before = INPUT(struct renamed);
	const struct renamed___new *after = INPUT(struct renamed___new);

	if (field_exists(after->after))
		out[0] = after->after;
	else
		out[0] = before->before + 1000;
	out[1] = field_exists(before->before);
	out[2] = type_exists(struct renamed___new);
	return 0;
}

CASE(bitfields)
{
	const struct bits *in = INPUT(struct bits);

	out[0] = read_field(in, a);
	out[1] = read_field(in, b);
	out[2] = read_field(in, c);
	out[3] = read_field(in, plain_then_bits);
	out[4] = read_field(in, bits_then_plain);
	out[5] = read_field(in, negative);
	out[6] = field_info(in->c, FIELD_LSHIFT);
	out[7] = field_info(in->c, FIELD_RSHIFT);
	return 0;
}

CASE(signedness)
{
	const struct sign *in = INPUT(struct sign);

	out[0] = field_info(in->was_unsigned, FIELD_SIGNED);
	out[1] = field_info(in->was_signed, FIELD_SIGNED);
	out[2] = field_info(in->small, FIELD_SIGNED);
	out[3] = read_field(in, was_unsigned);
	out[4] = read_field(in, was_signed);
	out[5] = read_field(in, small);
	return 0;
}

CASE(array_elements)
{
	const struct arrays *in = INPUT(struct arrays);

	out[0] = in->numbers[0];
	out[1] = in->numbers[3];
	out[2] = in->elements[2].y;
	out[3] = in->matrix[1][2];
	out[4] = in->tail[1];
	out[5] = field_exists(in->numbers[2]);
	out[6] = field_exists(in->elements[2].x);
	out[7] = field_info(in->elements[1].y, FIELD_OFFSET);
	return 0;
}

CASE(nested_anonymous)
{
	const struct nest *in = INPUT(struct nest);

	out[0] = in->a;
	out[1] = in->b;
	out[2] = in->named.c;
	out[3] = field_info(in->b, FIELD_OFFSET);
	return 0;
}

CASE(pointer_fields)
{
	const struct pointers *in = INPUT(struct pointers);

	out[0] = (u64)in->first;
	out[1] = (u64)in->second;
	out[2] = (u64)in->function;
	out[3] = in->number;
	return 0;
}

CASE(unions)
{
	const union choice *in = INPUT(union choice);

	out[0] = in->word;
	out[1] = in->bytes[2];
	out[2] = in->low;
	out[3] = in->high;
	out[4] = type_size(union choice);
	return 0;
}

// Fields of another kind are no candidates: they do not exist.
CASE(field_of_another_kind)
{
	const struct mistyped *in = INPUT(struct mistyped);

	out[0] = field_exists(in->number);
	out[1] = field_exists(in->became_struct);
	out[2] = in->number;
	return 0;
}

CASE(type_existence)
{
	out[0] = type_exists(struct moved);
	out[1] = type_exists(struct only_here);
	out[2] = type_exists(struct was_struct);
	out[3] = type_exists(moved_type);
	out[4] = type_exists(only_typedef);
	out[5] = type_exists(enum color);
	out[6] = type_exists(enum only_enum);
	out[7] = type_exists(union choice);
	out[8] = type_exists(callback_type);
	out[9] = type_exists(enum big);
	return 0;
}

CASE(type_sizes)
{
	out[0] = type_size(struct moved);
	out[1] = type_size(struct only_here);
	out[2] = type_size(struct arrays);
	out[3] = type_size(enum color);
	out[4] = type_size(enum big);
	out[5] = type_size(moved_type);
	return 0;
}

CASE(type_matching)
{
	out[0] = type_matches(struct same);
	out[1] = type_matches(struct less);
	out[2] = type_matches(struct moved);
	out[3] = type_matches(struct shrunk);
	out[4] = type_matches(struct only_here);
	out[5] = type_matches(enum color);
	out[6] = type_matches(enum negative);
	out[7] = type_matches(struct sign);
	out[8] = type_matches(struct nest);
	return 0;
}

CASE(type_ids)
{
	out[0] = type_id_local(struct moved);
	out[1] = type_id_target(struct moved);
	out[2] = type_id_local(struct only_here);
	out[3] = type_id_target(enum color);
	return 0;
}

CASE(enum_values)
{
	out[0] = enum_exists(enum color, GREEN);
	out[1] = enum_value(enum color, GREEN);
	out[2] = enum_exists(enum color, NO_COLOR);
	out[3] = enum_value(enum color, RED);
	out[4] = (s64)enum_value(enum negative, MINUS);
	out[5] = enum_exists(enum only_enum, ONLY_ENUM);
	out[6] = enum_value(enum color___flavour, GREEN___second);
	out[7] = 99;
	if (enum_exists(enum color, NO_COLOR))
		out[7] = enum_value(enum color, NO_COLOR);
	return 0;
}

CASE(enum64_values)
{
	out[0] = enum_value(enum big, BIG_A);
	out[1] = enum_value(enum big, BIG_B);
	out[2] = enum_exists(enum big, BIG_GONE);
	out[3] = enum_exists(enum big, BIG_B);
	return 0;
}

// Read by a helper, with the offset in a register.
CASE(offset_for_a_helper)
{
	const struct moved *in = INPUT(struct moved);
	u32 value = 0;

	bpf_probe_read_kernel(&value, sizeof(value), &in->b);
	out[0] = value;
	return 0;
}

LICENSE("GPL");

// What core.bpf.c meets: the same types, altered. Each variable is what its case reads.
#include "bpf.h"

struct moved {
	u64 c;
	u8 new_one[12];
	u32 b;
	int a;
	u32 added;
};
typedef struct moved moved_type;
moved_type moved = { .c = 0xcccccccccccccccc, .b = 0xbbbbbbbb, .a = 0x0aaaaaaa, .added = 1 };

struct shrunk {
	u8 fourth_is_wider_now;
	u32 first;
	u64 second;
	u8 third;
	u64 fourth;
};
struct shrunk shrunk = {
	.first = 0xfedcba98, .second = 0x123456789abcdef0, .third = 0x7e, .fourth = 0x1020304050607080
};

struct stored {
	u64 word;
	u32 wide;
	u8 half;
	u16 byte;
};
struct stored stored = { .word = ~0ull, .wide = ~0u, .half = 0xff, .byte = 0xffff };

struct lost {
	u64 before;
	int kept;
};
struct lost lost = { .kept = 4711 };

struct renamed {
	u64 added;
	int after;
};
struct renamed renamed = { .after = 55 };

struct bits {
	u64 wide : 33;
	u64 a : 5;
	u64 c : 6;
	u64 plain_then_bits : 20;
	u32 b;
	u32 bits_then_plain;
	s16 gap : 3;
	s16 negative : 7;
};
struct bits bits = { .wide = 0x155555555,
		     .a = 21,
		     .c = 44,
		     .plain_then_bits = 0xabcde,
		     .b = 0x12345678,
		     .bits_then_plain = 0x87654321,
		     .gap = -1,
		     .negative = -42 };

struct sign {
	s32 was_unsigned;
	u32 was_signed;
	s64 small;
};
struct sign sign = { .was_unsigned = -2, .was_signed = 0xfffffffd, .small = -4 };

struct element {
	u64 z;
	u32 y;
	u32 x;
};

struct arrays {
	u64 before;
	u32 numbers[6];
	struct element elements[2 + 1];
	u32 matrix[3][4];
	u32 added;
	u32 tail[2];
};
struct arrays arrays = {
	.numbers = { 100, 101, 102, 103, 104, 105 },
	.elements = { { 1, 2, 3 }, { 4, 5, 6 }, { 7, 8, 9 } },
	.matrix = { { 10, 11, 12, 13 }, { 20, 21, 22, 23 }, { 30, 31, 32, 33 } },
	.tail = { 41, 42 },
};

struct nest {
	struct {
		union {
			u64 other;
			struct {
				u32 first;
				int a;
			};
		};
	};
	union {
		struct {
			u8 filler[5];
			int b;
		};
	};
	struct {
		u64 d;
		int c;
	} named;
};
struct nest nest = { .a = 61, .b = 62, .named = { .c = 63 } };

struct pointers {
	u64 number;
	struct nest *second;
	void *function;
	const char *first;
};
struct pointers pointers = { .first = (void *)0x1111222233334444,
			     .second = (void *)0x5555666677778888,
			     .function = (void *)0x9999aaaabbbbcccc,
			     .number = 5 };

union choice {
	u64 larger;
	struct {
		u16 high;
		u16 low;
	};
	u8 bytes[8];
	u32 word;
};
union choice choice = { .larger = 0x8877665544332211 };

struct mistyped {
	int number;
	struct {
		int inside;
	} became_struct;
};
struct mistyped mistyped = { .number = 12 };

union was_struct {
	int a;
};
union was_struct was_struct;

struct same {
	u64 more;
	int a;
	struct nest *to;
};
struct same same;

struct less {
	int a;
};
struct less less;

enum color { RED = 10, GREEN = 20, BLUE = 30, GREEN___new = 40 };
enum color color;
enum big : unsigned long long { BIG_A = 0x123456789abcdef0, BIG_B = 0x8000000000000001 };
enum big big;
enum negative { MINUS = -500 };
enum negative negative;

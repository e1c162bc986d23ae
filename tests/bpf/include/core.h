// CO-RE: what the compiler is asked to leave to the loader (Documentation/bpf/llvm_reloc.rst).
#pragma once

// Kinds of a field, for __builtin_preserve_field_info.
enum field_info { FIELD_OFFSET, FIELD_SIZE, FIELD_EXISTS, FIELD_SIGNED, FIELD_LSHIFT, FIELD_RSHIFT };
// For __builtin_preserve_type_info and __builtin_btf_type_id.
enum type_info { TYPE_EXISTS, TYPE_SIZE, TYPE_MATCHES };
enum type_id { TYPE_ID_LOCAL, TYPE_ID_TARGET };
// For __builtin_preserve_enum_value.
enum enum_info { ENUMVAL_EXISTS, ENUMVAL_VALUE };

#define field_info(field, kind) __builtin_preserve_field_info(field, kind)
#define field_exists(field) field_info(field, FIELD_EXISTS)
#define field_size(field) field_info(field, FIELD_SIZE)
#define type_exists(type) __builtin_preserve_type_info(*(typeof(type) *)0, TYPE_EXISTS)
#define type_size(type) __builtin_preserve_type_info(*(typeof(type) *)0, TYPE_SIZE)
#define type_matches(type) __builtin_preserve_type_info(*(typeof(type) *)0, TYPE_MATCHES)
#define type_id_local(type) __builtin_btf_type_id(*(typeof(type) *)0, TYPE_ID_LOCAL)
#define type_id_target(type) __builtin_btf_type_id(*(typeof(type) *)0, TYPE_ID_TARGET)
#define enum_exists(type, value) __builtin_preserve_enum_value(*(typeof(type) *)value, ENUMVAL_EXISTS)
#define enum_value(type, value) __builtin_preserve_enum_value(*(typeof(type) *)value, ENUMVAL_VALUE)

#define CORE __attribute__((preserve_access_index))

// A field of up to 64 bits, bitfield or not, wherever the target has it: the bytes that hold it are loaded, then shifted
// left so that its highest bit is the highest, and right again with or without the sign.
#define read_field(base, field)                                                          \
	({                                                                               \
		const void *at = (const void *)(base) + field_info((base)->field, FIELD_OFFSET); \
		u64 value = 0;                                                           \
		opaque(at);                                                              \
		switch (field_info((base)->field, FIELD_SIZE)) {                         \
		case 1: value = *(const u8 *)at; break;                                  \
		case 2: value = *(const u16 *)at; break;                                 \
		case 4: value = *(const u32 *)at; break;                                 \
		case 8: value = *(const u64 *)at; break;                                 \
		}                                                                        \
		value <<= field_info((base)->field, FIELD_LSHIFT);                       \
		if (field_info((base)->field, FIELD_SIGNED))                             \
			value = (s64)value >> field_info((base)->field, FIELD_RSHIFT);   \
		else                                                                     \
			value >>= field_info((base)->field, FIELD_RSHIFT);               \
		value;                                                                   \
	})

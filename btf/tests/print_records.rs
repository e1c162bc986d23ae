//! Types as records, as layouts, and found by pattern: synthetic data with every kind.

mod common;

use btf::*;
use common::*;
use expect_test::expect;

#[test]
fn records() {
    let data = every_kind(Endian::Big);
    let btf = Btf::parse(&data).expect("valid");
    let (mut text, mut json) = (String::new(), String::new());
    raw::dump(&btf, &[], &mut text).expect("memory");
    raw::dump_json(&btf, &[TypeId(1), TypeId(4)], &mut json).expect("memory");
    expect![[r#"
        [1] INT 'int' size=4 bits_offset=0 nr_bits=32 encoding=SIGNED
        [2] INT 'long unsigned int' size=8 bits_offset=0 nr_bits=64 encoding=(none)
        [3] PTR '(anon)' type_id=1
        [4] ARRAY '(anon)' type_id=1 index_type_id=2 nr_elems=3
        [5] ARRAY '(anon)' type_id=4 index_type_id=2 nr_elems=2
        [6] UNION '(anon)' size=8 vlen=2
        	'u_int' type_id=1 bits_offset=0
        	'u_long' type_id=2 bits_offset=0
        [7] STRUCT '(anon)' size=16 vlen=2
        	'(anon)' type_id=6 bits_offset=0
        	'tail' type_id=3 bits_offset=64
        [8] STRUCT 'outer' size=64 vlen=3
        	'first' type_id=1 bits_offset=0
        	'(anon)' type_id=7 bits_offset=64
        	'grid' type_id=5 bits_offset=192
        [9] STRUCT 'bits' size=4 vlen=3
        	'low' type_id=1 bits_offset=0 bitfield_size=3
        	'high' type_id=1 bits_offset=3 bitfield_size=5
        	'whole' type_id=1 bits_offset=32
        [10] ENUM 'unsigned_enum' encoding=UNSIGNED size=4 vlen=2
        	'A' val=1
        	'B' val=4294967295
        [11] ENUM 'signed_enum' encoding=SIGNED size=4 vlen=2
        	'A' val=1
        	'B' val=-1
        [12] ENUM64 'wide_enum' encoding=SIGNED size=8 vlen=2
        	'A' val=8589934593LL
        	'B' val=-1LL
        [13] FWD 'declared' fwd_kind=struct
        [14] FWD 'declared_union' fwd_kind=union
        [15] CONST '(anon)' type_id=1
        [16] VOLATILE '(anon)' type_id=15
        [17] RESTRICT '(anon)' type_id=16
        [18] TYPE_TAG 'rcu' type_id=17
        [19] TYPEDEF 'wrapped_t' type_id=18
        [20] FUNC_PROTO '(anon)' ret_type_id=1 vlen=2
        	'arg' type_id=19
        	'(anon)' type_id=0
        [21] FUNC 'do_it' type_id=20 linkage=global
        [22] VAR 'counter' type_id=19, linkage=global
        [23] DATASEC '.data' size=16 vlen=1
        	type_id=22 offset=8 size=4 (VAR 'counter')
        [24] FLOAT 'double' size=8
        [25] DECL_TAG 'kfunc' type_id=21 component_idx=-1
        {"types":[{"id":1,"kind":"INT","name":"int","size":4,"bits_offset":0,"nr_bits":32,"encoding":"SIGNED"},{"id":4,"kind":"ARRAY","name":"(anon)","type_id":1,"index_type_id":2,"nr_elems":3}]}
    "#]].assert_eq(&(text + &json));
}

#[test]
fn layouts() {
    let (mut w, int) = writer();
    let char = w.int("char", 1, 1);
    let inner = w.composite(STRUCT, "inner", 8, &[("i", int, 0), ("c", char, 32)]);
    let anonymous = w.composite(UNION, "", 8, &[("one", inner, 0), ("two", int, 0)]);
    let pad = w.add("", ARRAY, 0, 0, &[char, int, 60]);
    let bits = |bits: u32, at: u32| (bits << 24) | at;
    let id = w.composite(
        STRUCT | FLAG,
        "outer",
        96,
        &[
            ("c", char, 0),
            ("inner", inner, 32),
            ("", anonymous, 96),
            ("flag", int, bits(3, 160)),
            ("pad", pad, 192),
            ("last", int, bits(2, 704)),
        ],
    );
    let data = w.finish();
    let btf = Btf::parse(&data).expect("valid");
    let layout = layout::layout(&btf, TypeId(id), false).expect("a struct");
    let expanded = layout::layout(&btf, TypeId(id), true).expect("a struct");
    expect![[r#"
        struct outer {
        	char                       c;                    /*     0     1 */

        	/* XXX 3 bytes hole, try to pack */

        	struct inner               inner;                /*     4     8 */

        	/* XXX last struct has 3 bytes of padding */

        	union {
        		struct inner       one;                  /*    12     8 */

        		/* XXX last struct has 3 bytes of padding */

        		int                two;                  /*    12     4 */
        	};                                               /*    12     8 */
        	int                        flag:3;               /*    20: 0  4 */

        	/* XXX 29 bits hole, try to pack */

        	char                       pad[60];              /*    24    60 */

        	/* XXX 4 bytes hole, try to pack */

        	/* --- cacheline 1 boundary (64 bytes) was 24 bytes ago --- */
        	int                        last:2;               /*    88: 0  4 */

        	/* size: 96, cachelines: 2, members: 6 */
        	/* sum members: 77, holes: 2, sum holes: 7 */
        	/* sum bitfield members: 5 bits, bit holes: 1, sum bit holes: 29 bits */
        	/* padding: 4 */
        	/* bit_padding: 30 bits */
        	/* paddings: 1, sum paddings: 3 */
        	/* last cacheline: 32 bytes */
        };
        struct outer {
        	char                       c;                    /*     0     1 */

        	/* XXX 3 bytes hole, try to pack */

        	struct inner {
        		int                i;                    /*     4     4 */
        		char               c;                    /*     8     1 */
        	} inner;                                         /*     4     8 */

        	/* XXX last struct has 3 bytes of padding */

        	union {
        		struct inner {
        			int        i;                    /*    12     4 */
        			char       c;                    /*    16     1 */
        		} one;                                   /*    12     8 */

        		/* XXX last struct has 3 bytes of padding */

        		int                two;                  /*    12     4 */
        	};                                               /*    12     8 */
        	int                        flag:3;               /*    20: 0  4 */

        	/* XXX 29 bits hole, try to pack */

        	char                       pad[60];              /*    24    60 */

        	/* XXX 4 bytes hole, try to pack */

        	/* --- cacheline 1 boundary (64 bytes) was 24 bytes ago --- */
        	int                        last:2;               /*    88: 0  4 */

        	/* size: 96, cachelines: 2, members: 6 */
        	/* sum members: 77, holes: 2, sum holes: 7 */
        	/* sum bitfield members: 5 bits, bit holes: 1, sum bit holes: 29 bits */
        	/* padding: 4 */
        	/* bit_padding: 30 bits */
        	/* paddings: 1, sum paddings: 3 */
        	/* last cacheline: 32 bytes */
        };
    "#]]
    .assert_eq(&format!("{layout}{expanded}"));
}

#[test]
fn found_by_pattern() {
    let data = every_kind(Endian::Little);
    let btf = Btf::parse(&data).expect("valid");
    let mut text = String::new();
    for pattern in ["*", "struct *", "enumerator *", "func *", "nothing"] {
        text += &format!("{pattern}:\n");
        for found in find::find(&btf, &find::Pattern::new(pattern)) {
            text += &format!("  {} {:?} {:?} {}\n", found.id.0, found.size, found.value, found.declaration);
        }
    }
    expect![[r#"
        *:
          1 Some(4) None int
          2 Some(8) None long unsigned int
          8 Some(64) None struct outer
          9 Some(4) None struct bits
          10 Some(4) None enum unsigned_enum
          10 Some(4) Some(1) enum unsigned_enum: A = 1
          10 Some(4) Some(4294967295) enum unsigned_enum: B = 4294967295
          11 Some(4) None enum signed_enum
          11 Some(4) Some(1) enum signed_enum: A = 1
          11 Some(4) Some(-1) enum signed_enum: B = -1
          12 Some(8) None enum wide_enum
          12 Some(8) Some(8589934593) enum wide_enum: A = 8589934593
          12 Some(8) Some(-1) enum wide_enum: B = -1
          13 None None struct declared
          14 None None union declared_union
          18 Some(4) None btf_type_tag("rcu")
          19 Some(4) None typedef const volatile restrict int __attribute__((btf_type_tag("rcu"))) wrapped_t
          21 None None int do_it(wrapped_t arg, ...)
          22 Some(4) None wrapped_t counter
          23 Some(16) None section .data
          24 Some(8) None double
          25 None None btf_decl_tag("kfunc") on type 21 do_it
        struct *:
          8 Some(64) None struct outer
          9 Some(4) None struct bits
          13 None None struct declared
          14 None None union declared_union
        enumerator *:
          10 Some(4) Some(1) enum unsigned_enum: A = 1
          10 Some(4) Some(4294967295) enum unsigned_enum: B = 4294967295
          11 Some(4) Some(1) enum signed_enum: A = 1
          11 Some(4) Some(-1) enum signed_enum: B = -1
          12 Some(8) Some(8589934593) enum wide_enum: A = 8589934593
          12 Some(8) Some(-1) enum wide_enum: B = -1
        func *:
          21 None None int do_it(wrapped_t arg, ...)
        nothing:
    "#]]
    .assert_eq(&text);
}

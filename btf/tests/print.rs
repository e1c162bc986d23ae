//! Types as C, as records, as layouts, and found by pattern: synthetic data with every kind.

mod common;

use btf::c::{COptions, declaration, definition, dump_c};
use btf::*;
use common::*;
use expect_test::{Expect, expect};

/// The part of the header that the types make.
fn c(data: &[u8]) -> String {
    let btf = Btf::parse(data).expect("valid");
    let mut out = String::new();
    let mut options = COptions::default();
    options.sorted = false;
    let summary = dump_c(&btf, &mut out, &options).expect("memory");
    let from = out.find("#ifndef __bpf_fastcall").and_then(|at| Some(at + out.get(at..)?.find("\n\n")? + 2));
    let to = out.rfind("#ifndef BPF_NO_PRESERVE_ACCESS_INDEX").expect("the end");
    let mut text = out[from.expect("the start")..to].trim_end().to_owned() + "\n";
    if summary.skipped > 0 {
        text += &format!("skipped: {}\n", summary.skipped);
    }
    text
}

fn check(w: Writer, expected: Expect) {
    expected.assert_eq(&c(&w.finish()));
}

fn writer() -> (Writer, u32) {
    let mut w = Writer::new(Endian::Little);
    let int = w.int("int", 4, 1);
    (w, int)
}

#[test]
fn declarators() {
    let (mut w, int) = writer();
    let pointer = |w: &mut Writer, to| w.add("", PTR, 0, to, &[]);
    let constant = |w: &mut Writer, of| w.add("", CONST, 0, of, &[]);
    let proto = w.add("", FUNC_PROTO, 2, int, &[0, int, 0, 0]);
    let handler = pointer(&mut w, proto);
    let handlers = w.add("", ARRAY, 0, 0, &[handler, int, 3]);
    let const_handler = constant(&mut w, handler);
    let matrix = w.add("", ARRAY, 0, 0, &[int, int, 4]);
    let matrix = w.add("", ARRAY, 0, 0, &[matrix, int, 2]);
    let const_matrix = constant(&mut w, matrix);
    let to_matrix = pointer(&mut w, matrix);
    let const_int = constant(&mut w, int);
    let text = pointer(&mut w, const_int);
    let const_text = constant(&mut w, text);
    let restricted = w.add("", RESTRICT, 0, text, &[]);
    let volatile = w.add("", VOLATILE, 0, const_int, &[]);
    let user = w.add("user", TYPE_TAG, 0, int, &[]);
    let user = pointer(&mut w, user);
    let returns = w.add("", FUNC_PROTO, 0, handler, &[]);
    let returns = pointer(&mut w, returns);
    w.composite(
        STRUCT,
        "s",
        136,
        &[
            ("handler", handler, 0),
            ("handlers", handlers, 64),
            ("fixed", const_handler, 256),
            ("matrix", const_matrix, 320),
            ("to_matrix", to_matrix, 576),
            ("text", const_text, 640),
            ("restricted", restricted, 704),
            ("both", volatile, 768),
            ("user", user, 832),
            ("returns", returns, 896),
            ("list", matrix, 960),
        ],
    );
    check(
        w,
        expect![[r#"
        struct s {
        	int (*handler)(int, ...);
        	int (*handlers[3])(int, ...);
        	int (* const fixed)(int, ...);
        	const int matrix[2][4];
        	int (*to_matrix)[2][4];
        	const int * const text;
        	const int * restrict restricted;
        	const volatile int both;
        	int __attribute__((btf_type_tag("user"))) *user;
        	int (* (*returns)(void))(int, ...);
        	int list[2][4];
        };
    "#]],
    );
}

#[test]
fn order_and_forward_declarations() {
    let (mut w, int) = writer();
    // 2: struct a { struct b b; struct a *next; node_t *node; }, 3: struct b { struct a *owner; hook hook; }
    let ids: Vec<u32> = (2..9).collect();
    w.composite(STRUCT, "a", 32, &[("b", ids[1], 0), ("next", ids[2], 128), ("node", ids[5], 192)]);
    w.composite(STRUCT, "b", 16, &[("owner", ids[2], 0), ("hook", ids[4], 64)]);
    w.add("", PTR, 0, ids[0], &[]);
    w.add("", FUNC_PROTO, 1, 0, &[0, ids[2]]);
    let hook = w.add("", PTR, 0, ids[3], &[]);
    w.add("", PTR, 0, ids[6], &[]);
    w.add("node_t", TYPEDEF, 0, 9, &[]);
    w.composite(STRUCT, "", 4, &[("value", int, 0)]);
    w.add("elsewhere", FWD | FLAG, 0, 0, &[]);
    assert_eq!(hook, ids[4]);
    check(
        w,
        expect![[r#"
        struct a;

        struct b {
        	struct a *owner;
        	void (*hook)(struct a *);
        };

        typedef struct {
        	int value;
        } node_t;

        struct a {
        	struct b b;
        	struct a *next;
        	node_t *node;
        };

        union elsewhere;
    "#]],
    );
}

#[test]
fn names_that_several_types_share() {
    let (mut w, int) = writer();
    let one = w.composite(STRUCT, "s", 4, &[("a", int, 0)]);
    let two = w.composite(STRUCT, "s", 4, &[("b", int, 0)]);
    w.composite(UNION, "s", 4, &[("c", int, 0)]);
    w.composite(STRUCT, "s___3", 4, &[("native", int, 0)]);
    w.add("s", TYPEDEF, 0, one, &[]);
    w.add("s", TYPEDEF, 0, two, &[]);
    w.add("s", FWD, 0, 0, &[]);
    let red = w.string("RED");
    w.add("", ENUM, 1, 4, &[red, 0]);
    w.add("colour", ENUM, 1, 4, &[red, 7]);
    w.composite(STRUCT, "Option<u8>", 4, &[("0", int, 0)]);
    w.int("u24", 4, 0);
    let odd = w.int("usize", 8, 0);
    w.add("size", TYPEDEF, 0, odd, &[]);
    check(
        w,
        expect![[r#"
        struct s {
        	int a;
        };

        struct s___2 {
        	int b;
        };

        union s___4 {
        	int c;
        };

        struct s___3 {
        	int native;
        };

        typedef struct s s;

        typedef struct s___2 s___2;

        struct s;

        enum {
        	RED = 0,
        };

        enum colour {
        	RED___2 = 7,
        };

        struct Option_u8_ {
        	int _0;
        };

        typedef unsigned long long usize;

        typedef usize size;
    "#]],
    );
}

#[test]
fn layouts_that_need_to_be_said() {
    let (mut w, int) = writer();
    let char = w.int("char", 1, 1);
    let long = w.int("long int", 8, 1);
    w.composite(STRUCT, "packed", 5, &[("c", char, 0), ("i", int, 8)]);
    w.composite(STRUCT, "padded", 24, &[("c", char, 0), ("i", int, 64), ("d", char, 96)]);
    w.composite(STRUCT, "aligned", 64, &[("l", long, 0)]);
    let bits = |bits: u32, at: u32| (bits << 24) | at;
    w.composite(
        STRUCT | FLAG,
        "bits",
        16,
        &[
            ("a", int, bits(3, 0)),
            ("b", int, bits(5, 7)),
            ("c", int, bits(9, 32)),
            ("d", char, 48),
            ("e", long, bits(40, 64)),
        ],
    );
    w.composite(STRUCT | FLAG, "crossing", 5, &[("a", int, bits(20, 0)), ("b", int, bits(20, 20))]);
    w.composite(STRUCT, "opaque", 24, &[]);
    w.composite(STRUCT, "reordered", 8, &[("second", int, 32), ("first", int, 0)]);
    let flexible = w.add("", ARRAY, 0, 0, &[long, int, 0]);
    w.composite(STRUCT, "flexible", 8, &[("len", int, 0), ("list", flexible, 64)]);
    w.add("old", INT, 0, 4, &[(1 << 24) | (2 << 16) | 6]);
    let wide = w.int("__int128", 16, 1);
    w.composite(UNION, "wide", 16, &[("w", wide, 0), ("l", long, 0)]);
    check(
        w,
        expect![[r#"
        struct packed {
        	char c;
        	int i;
        } __attribute__((packed));

        struct padded {
        	char c;
        	long: 0;
        	int i;
        	char d;
        	long: 64;
        };

        struct aligned {
        	long int l;
        	long: 64;
        	long: 64;
        	long: 64;
        	long: 64;
        	long: 64;
        	long: 64;
        	long: 64;
        };

        struct bits {
        	int a: 3;
        	char: 4;
        	int b: 5;
        	int: 20;
        	int c: 9;
        	char d;
        	long: 0;
        	long int e: 40;
        };

        struct crossing {
        	int a: 20;
        	int b: 20;
        } __attribute__((packed));

        struct opaque {
        	long: 64;
        	long: 64;
        	long: 64;
        };

        struct reordered {
        	int first;
        	int second;
        };

        struct flexible {
        	int len;
        	long int list[0];
        };

        union wide {
        	__int128 w;
        	long int l;
        };
    "#]],
    );
}

#[test]
fn enumerations() {
    let (mut w, int) = writer();
    let names: Vec<u32> = ["A", "B", "C", "D", "E", "F"].iter().map(|name| w.string(name)).collect();
    w.add("signed", ENUM | FLAG, 2, 4, &[names[0], u32::MAX, names[1], 5]);
    w.add("small", ENUM, 1, 1, &[names[2], 200]);
    w.add("wide", ENUM64, 1, 8, &[names[3], 1, 1]);
    w.add("forced", ENUM64, 1, 8, &[names[4], 1, 0]);
    w.add("least", ENUM64 | FLAG, 1, 8, &[names[5], 0, 1 << 31]);
    w.add("declared", ENUM, 0, 4, &[]);
    let (no, yes) = (w.string("false"), w.string("true"));
    w.add("", ENUM, 2, 4, &[no, 0, yes, 1]);
    let _ = int;
    check(
        w,
        expect![[r#"
        enum signed {
        	A = -1,
        	B = 5,
        };

        enum small {
        	C = 200,
        } __attribute__((mode(byte)));

        enum wide {
        	D = 4294967297ULL,
        };

        enum forced {
        	E = 1ULL,
        } __attribute__((mode(word)));

        enum least {
        	F = -9223372036854775807LL - 1,
        };

        enum declared;

        #if !defined(__STDC_VERSION__) || __STDC_VERSION__ < 202311L
        enum {
        	false = 0,
        	true = 1,
        };
        #endif
    "#]],
    );
}

#[test]
fn tags_and_kernel_functions() {
    let (mut w, int) = writer();
    let s = w.composite(STRUCT, "s", 4, &[("a", int, 0)]);
    w.add("for \"tests\"", DECL_TAG, 0, s, &[u32::MAX]);
    w.add("first", DECL_TAG, 0, s, &[0]);
    let to = w.add("", PTR, 0, s, &[]);
    let name = w.string("arg");
    let proto = w.add("", FUNC_PROTO, 1, int, &[name, to]);
    let function = w.add("bpf_take", FUNC, 0, proto, &[]);
    w.add("bpf_kfunc", DECL_TAG, 0, function, &[u32::MAX]);
    w.add("bpf_fastcall", DECL_TAG, 0, function, &[u32::MAX]);
    let other = w.add("not_for_programs", FUNC, 0, proto, &[]);
    let _ = other;
    check(
        w,
        expect![[r#"
        struct s {
        	int a __attribute__((btf_decl_tag("first")));
        } __attribute__((btf_decl_tag("for \"tests\"")));


        /* BPF kfuncs */
        #ifndef BPF_NO_KFUNC_PROTOTYPES
        extern __bpf_fastcall int bpf_take(struct s *arg) __weak __ksym;
        #endif
    "#]],
    );
}

#[test]
fn damage_is_named_and_left_out() {
    let (mut w, int) = writer();
    // 2: struct loop { struct loop again; }
    w.composite(STRUCT, "loop", 8, &[("again", 2, 0)]);
    w.composite(STRUCT, "holds_loop", 8, &[("loop", 2, 0)]);
    let to = w.add("", PTR, 0, 2, &[]);
    w.composite(STRUCT, "points_to_loop", 8, &[("loop", to, 0)]);
    w.composite(STRUCT, "missing", 8, &[("nothing", 999, 0)]);
    let endless = w.add("endless", TYPEDEF, 0, to + 3, &[]);
    assert_eq!(endless, to + 3);
    w.composite(STRUCT, "holds_endless", 8, &[("x", endless, 0)]);
    w.composite(STRUCT, "overlap", 8, &[("a", int, 0), ("b", int, 16)]);
    w.composite(STRUCT, "gap", u32::MAX, &[("a", int, 0)]);
    check(
        w,
        expect![[r#"
        struct loop;

        /* type 2, loop, is left out: it contains itself, a type that does not exist, or what C can't put there */

        struct holds_loop;

        /* type 3, holds_loop, is left out: it contains itself, a type that does not exist, or what C can't put there */

        struct points_to_loop {
        	struct loop *loop;
        };

        struct missing;

        /* type 6, missing, is left out: it contains itself, a type that does not exist, or what C can't put there */

        /* type 7, endless, is left out: it contains itself, a type that does not exist, or what C can't put there */

        struct holds_endless;

        /* type 8, holds_endless, is left out: it contains itself, a type that does not exist, or what C can't put there */

        struct overlap {
        	int a;
        	/* b at bit 16 overlaps what stands before it */
        	long: 32;
        } __attribute__((packed));

        struct gap {
        	int a;
        	char __padding_at_4[4294967291];
        } __attribute__((packed));
        skipped: 6
    "#]],
    );
}

/// Each holds two of the one before: written out, 2^40 members.
#[test]
fn exponential_types_end() {
    let (mut w, int) = writer();
    let mut last = int;
    for _ in 0..40 {
        last = w.composite(STRUCT, "", 8, &[("a", last, 0), ("b", last, 32)]);
    }
    w.composite(STRUCT, "outer", 8, &[("all", last, 0)]);
    let mut proto = w.add("", FUNC_PROTO, 0, 0, &[]);
    for _ in 0..40 {
        proto = w.add("", FUNC_PROTO, 2, proto, &[0, proto, 0, proto]);
    }
    let data = w.finish();
    let btf = Btf::parse(&data).expect("valid");
    struct Limited(usize);
    impl std::fmt::Write for Limited {
        fn write_str(&mut self, text: &str) -> std::fmt::Result {
            self.0 += text.len();
            if self.0 > 1 << 31 { Err(std::fmt::Error) } else { Ok(()) }
        }
    }
    let summary = dump_c(&btf, &mut Limited(0), &COptions::default()).expect("an end");
    assert!(summary.skipped > 0);
    assert_eq!(layout::layout(&btf, TypeId(last), false), None);
    assert!(declaration(&btf, TypeId(proto), "f").is_none());
}

#[test]
fn single_declarations() {
    let (mut w, int) = writer();
    let s = w.composite(STRUCT, "s", 4, &[("a", int, 0)]);
    let anonymous = w.composite(UNION, "", 4, &[("a", int, 0)]);
    let to = w.add("", PTR, 0, s, &[]);
    let name = w.string("arg");
    let proto = w.add("", FUNC_PROTO, 1, to, &[name, to]);
    let function = w.add("take", FUNC, 0, proto, &[]);
    let t = w.add("t", TYPEDEF, 0, anonymous, &[]);
    let data = w.finish();
    let btf = Btf::parse(&data).expect("valid");
    let text: Vec<String> =
        [(s, "x"), (anonymous, ""), (to, "p"), (function, ""), (proto, "f"), (t, "v"), (99, "")]
            .into_iter()
            .map(|(id, name)| declaration(&btf, TypeId(id), name).unwrap_or("none".into()))
            .chain([s, t].map(|id| definition(&btf, TypeId(id)).unwrap_or("none".into())))
            .collect();
    expect![[r#"
        struct s x
        union {...}
        struct s *p
        struct s *take(struct s *arg)
        struct s *f(struct s *arg)
        t v
        none
        struct s {
        	int a;
        };
        typedef union {
        	int a;
        } t;
    "#]]
    .assert_eq(&(text.join("\n") + "\n"));
}

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

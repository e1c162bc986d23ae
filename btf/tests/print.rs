//! Types as C: synthetic data with every kind.

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

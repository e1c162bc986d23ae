//! CO-RE: relocations of members against types that differ from the object's, and what becomes of the instruction.
//!
//! The values are those that libbpf 1.7 gives for the same types; where it errs the test says so.

mod core_common;

use asm::Insn;
use btf::ext::CoreReloKind::{self, *};
use btf::{Btf, Endian, Kind};
use core_common::*;
use expect_test::expect;
use loader::core::Relocator;
use loader::{CoreRelo, Target};

#[test]
fn members_move_shrink_and_go() {
    let local = make(|t| {
        t.structure(
            "task___mine",
            24,
            &[("a", I32, 0, 0), ("b", U64, 64, 0), ("c", U32, 128, 0), ("gone", U32, 160, 0)],
        );
    });
    let target = make(|t| {
        let inner = t.structure("", 8, &[("c", U16, 32, 0)]);
        t.structure("task", 40, &[("b", U32, 128, 0), ("", inner, 192, 0), ("a", I32, 8, 0)]);
        t.structure("task_other", 4, &[("gone", U32, 0, 0)]);
    });
    check(
        &local,
        &target,
        &[
            (FieldByteOffset, "task___mine", "0:0"),
            (FieldByteOffset, "task___mine", "0:1"),
            (FieldByteSize, "task___mine", "0:1"),
            (FieldByteOffset, "task___mine", "0:2"),
            (FieldByteSize, "task___mine", "0:2"),
            (FieldByteOffset, "task___mine", "1:2"),
            (FieldExists, "task___mine", "0:2"),
            (FieldExists, "task___mine", "0:3"),
            (FieldByteOffset, "task___mine", "0:3"),
            (TypeExists, "task___mine", "0"),
            (TypeSize, "task___mine", "0"),
            (TypeIdTarget, "task___mine", "0"),
            (TypeIdLocal, "task___mine", "0"),
            (TypeMatches, "task___mine", "0"),
        ],
        expect![[r#"
            FieldByteOffset task___mine 0:0 = 1
            FieldByteOffset task___mine 0:1 = 16
            FieldByteSize task___mine 0:1 = 4
            FieldByteOffset task___mine 0:2 = 28
            FieldByteSize task___mine 0:2 = 2
            FieldByteOffset task___mine 1:2 = 68
            FieldExists task___mine 0:2 = 1
            FieldExists task___mine 0:3 = 0
            FieldByteOffset task___mine 0:3 = poison: struct task___mine.gone (offset 0:3): struct task has no member `gone`
            TypeExists task___mine 0 = 1
            TypeSize task___mine 0 = 40
            TypeIdTarget task___mine 0 = 9
            TypeIdLocal task___mine 0 = 8
            TypeMatches task___mine 0 = 0
        "#]],
    );
}

const BITS: &[(CoreReloKind, &str, &str)] = &[
    (FieldByteOffset, "bits", "0:0"),
    (FieldByteSize, "bits", "0:0"),
    (FieldLshiftU64, "bits", "0:0"),
    (FieldRshiftU64, "bits", "0:0"),
    (FieldSigned, "bits", "0:0"),
    (FieldByteOffset, "bits", "0:1"),
    (FieldByteSize, "bits", "0:1"),
    (FieldLshiftU64, "bits", "0:1"),
    (FieldRshiftU64, "bits", "0:1"),
    (FieldSigned, "bits", "0:1"),
    (FieldByteOffset, "bits", "0:2"),
    (FieldByteSize, "bits", "0:2"),
    (FieldLshiftU64, "bits", "0:2"),
];

fn bits(endian: Endian, moved: bool) -> Vec<u8> {
    make_in(endian, |t| {
        // The second lies across two 32-bit words where it is moved, the third across two 64-bit ones.
        let (a, b, c) = if moved { (3, 29, 120) } else { (0, 7, 96) };
        t.structure("bits", 24, &[("a", U32, a, 7), ("b", I32, b, 9), ("c", U64, c, 20)]);
    })
}

#[test]
fn bit_fields_little_endian() {
    check(
        &bits(Endian::Little, false),
        &bits(Endian::Little, true),
        BITS,
        expect![[r#"
            FieldByteOffset bits 0:0 = 0
            FieldByteSize bits 0:0 = 4
            FieldLshiftU64 bits 0:0 = 54
            FieldRshiftU64 bits 0:0 = 57
            FieldSigned bits 0:0 = 0
            FieldByteOffset bits 0:1 = 0
            FieldByteSize bits 0:1 = 8
            FieldLshiftU64 bits 0:1 = 26
            FieldRshiftU64 bits 0:1 = 55
            FieldSigned bits 0:1 = 1
            FieldByteOffset bits 0:2 = error: struct bits.c (offset 0:2): the bit field lies across two 64-bit words, so that no load has all of it
            FieldByteSize bits 0:2 = error: struct bits.c (size 0:2): the bit field lies across two 64-bit words, so that no load has all of it
            FieldLshiftU64 bits 0:2 = error: struct bits.c (left shift 0:2): the bit field lies across two 64-bit words, so that no load has all of it
        "#]],
    );
}

#[test]
fn bit_fields_big_endian() {
    check(
        &bits(Endian::Big, true),
        &bits(Endian::Big, false),
        &BITS[..10],
        expect![[r#"
            FieldByteOffset bits 0:0 = 0
            FieldByteSize bits 0:0 = 4
            FieldLshiftU64 bits 0:0 = 32
            FieldRshiftU64 bits 0:0 = 57
            FieldSigned bits 0:0 = 0
            FieldByteOffset bits 0:1 = 0
            FieldByteSize bits 0:1 = 4
            FieldLshiftU64 bits 0:1 = 39
            FieldRshiftU64 bits 0:1 = 55
            FieldSigned bits 0:1 = 1
        "#]],
    );
}

#[test]
fn plain_members_and_bit_fields_for_each_other() {
    let local = make(|t| {
        t.structure("s", 16, &[("a", U32, 0, 0), ("b", U32, 32, 5), ("c", S8, 64, 0)]);
    });
    let target = make(|t| {
        t.structure("s", 16, &[("c", I32, 96, 0), ("b", U16, 16, 0), ("a", U32, 35, 9)]);
    });
    let ask = |name| {
        [FieldByteOffset, FieldByteSize, FieldLshiftU64, FieldRshiftU64, FieldSigned].map(|k| (k, "s", name))
    };
    check(
        &local,
        &target,
        &[ask("0:0"), ask("0:1"), ask("0:2")].concat(),
        expect![[r#"
            FieldByteOffset s 0:0 = 4
            FieldByteSize s 0:0 = 4
            FieldLshiftU64 s 0:0 = 52
            FieldRshiftU64 s 0:0 = 55
            FieldSigned s 0:0 = 0
            FieldByteOffset s 0:1 = 2
            FieldByteSize s 0:1 = 2
            FieldLshiftU64 s 0:1 = 48
            FieldRshiftU64 s 0:1 = 48
            FieldSigned s 0:1 = 0
            FieldByteOffset s 0:2 = 12
            FieldByteSize s 0:2 = 4
            FieldLshiftU64 s 0:2 = 32
            FieldRshiftU64 s 0:2 = 32
            FieldSigned s 0:2 = 1
        "#]],
    );
}

#[test]
fn arrays() {
    let local = make(|t| {
        let element = t.structure("element", 8, &[("x", U32, 0, 0), ("y", U32, 32, 0)]);
        let (three, four) = (t.array(element, 3), t.array(U32, 4));
        let (matrix, none, last) = (t.array(four, 2), t.array(U8, 0), t.array(U32, 1));
        t.structure(
            "s",
            80,
            &[("e", three, 0, 0), ("n", four, 192, 0), ("m", matrix, 320, 0), ("tail", none, 576, 0)],
        );
        t.structure("one", 8, &[("a", U32, 0, 0), ("last", last, 32, 0)]);
    });
    let target = make(|t| {
        let element = t.structure("element", 12, &[("y", U32, 32, 0), ("x", U32, 64, 0)]);
        let (two, four) = (t.array(element, 2), t.array(U64, 4));
        let (matrix, tail) = (t.array(four, 2), t.array(U16, 0));
        t.structure(
            "s",
            160,
            &[("n", four, 0, 0), ("e", two, 256, 0), ("m", matrix, 512, 0), ("tail", tail, 1024, 0)],
        );
    });
    check(
        &local,
        &target,
        &[
            (FieldByteOffset, "s", "0:0:1:0"),
            (FieldByteOffset, "s", "0:0:2:1"),
            (FieldExists, "s", "0:0:2:1"),
            (FieldByteOffset, "s", "0:1:3"),
            (FieldByteSize, "s", "0:1:3"),
            (FieldByteSize, "s", "0:1"),
            (FieldByteOffset, "s", "0:2:1:2"),
            (FieldByteOffset, "s", "0:3:7"),
            (FieldByteSize, "s", "0:3:7"),
            (FieldByteOffset, "s", "1:3"),
            (FieldSigned, "s", "0:1:3"),
            (FieldSigned, "s", "0:1"),
            (FieldByteOffset, "s", "0:1:4"),
            (FieldByteOffset, "one", "0:1:1"),
        ],
        expect![[r#"
            FieldByteOffset s 0:0:1:0 = 52
            FieldByteOffset s 0:0:2:1 = poison: struct s.e[2].y (offset 0:0:2:1): the array there has 2 elements, and [2] is asked for
            FieldExists s 0:0:2:1 = 0
            FieldByteOffset s 0:1:3 = 24
            FieldByteSize s 0:1:3 = 8
            FieldByteSize s 0:1 = 32
            FieldByteOffset s 0:2:1:2 = 112
            FieldByteOffset s 0:3:7 = 142
            FieldByteSize s 0:3:7 = 2
            FieldByteOffset s 1:3 = 288
            FieldSigned s 0:1:3 = error: struct s.n[3] (signedness 0:1:3): signedness and shifts can be asked of members only, not of elements of arrays
            FieldSigned s 0:1 = 0
            FieldByteOffset s 0:1:4 = error: struct s (offset 0:1:4): `0:1:4` asks for element 4 of an array of 4; the object is damaged, compile it again
            FieldByteOffset one 0:1:1 = error: struct one (offset 0:1:1): `0:1:1` asks for element 1 of an array of 1; the object is damaged, compile it again
        "#]],
    );
}

#[test]
fn members_of_other_types() {
    let local = make(|t| {
        let inner = t.structure("inner", 4, &[("x", I32, 0, 0)]);
        let to_inner = t.builder.ptr(inner);
        let color = t.enumeration("color___v1", 4, &[("RED", 1)]);
        let float = t.builder.float("double", 8);
        let array = t.array(U32, 2);
        t.structure(
            "s",
            64,
            &[
                ("int_to_pointer", I32, 0, 0),
                ("pointer", to_inner, 64, 0),
                ("record", inner, 128, 0),
                ("color", color, 160, 0),
                ("float", float, 192, 0),
                ("array", array, 256, 0),
                ("int_to_struct", I32, 320, 0),
            ],
        );
    });
    let target = make(|t| {
        let other = t.composite(Kind::Union, "other", 4, &[("x", I32, 0, 0)]);
        let color = t.enumeration("color", 8, &[("RED", 1)]);
        let float = t.builder.float("float", 4);
        let volatile = t.builder.modifier(Kind::Volatile, POINTER);
        let array = t.array(POINTER, 2);
        let alias = t.builder.typedef("other_t", other);
        t.structure(
            "s",
            64,
            &[
                ("int_to_struct", other, 0, 0),
                ("int_to_pointer", POINTER, 64, 0),
                ("pointer", volatile, 128, 0),
                ("record", alias, 192, 0),
                ("color", color, 256, 0),
                ("float", float, 320, 0),
                ("array", array, 352, 0),
            ],
        );
    });
    let members: Vec<String> = (0..7).map(|index| format!("0:{index}")).collect();
    let mut relos: Vec<_> = members.iter().map(|access| (FieldByteOffset, "s", access.as_str())).collect();
    relos.push((FieldByteOffset, "s", "0:2:0"));
    check(
        &local,
        &target,
        &relos,
        expect![[r#"
            FieldByteOffset s 0:0 = poison: struct s.int_to_pointer (offset 0:0): member `int_to_pointer` of struct s is pointer there, which is no `int`
            FieldByteOffset s 0:1 = 16
            FieldByteOffset s 0:2 = 24
            FieldByteOffset s 0:3 = 32
            FieldByteOffset s 0:4 = 40
            FieldByteOffset s 0:5 = poison: struct s.array (offset 0:5): member `array` of struct s is array there, which is no array
            FieldByteOffset s 0:6 = poison: struct s.int_to_struct (offset 0:6): member `int_to_struct` of struct s is `union other` there, which is no `int`
            FieldByteOffset s 0:2:0 = 24
        "#]],
    );
}

#[test]
fn damaged_access_strings() {
    let local = make(|t| {
        t.structure("s", 8, &[("a", U32, 0, 0), ("b", U32, 32, 0)]);
    });
    let deep = vec!["0"; 65].join(":");
    let relos: Vec<_> =
        ["", ":", "0:", ":0", "0:2", "-1", "+1", " 0", "0x1", "99999999999", "0:0:0", "4294967295:1", &deep]
            .iter()
            .map(|access| (FieldExists, "s", *access))
            .chain([(TypeExists, "s", "1"), (TypeExists, "s", "0:0"), (EnumvalExists, "s", "0")])
            .collect();
    let text = {
        let target = Btf::parse(&local).unwrap();
        answers(&local, &Target::described(Some(&target)), &relos)
    };
    expect![[r#"
        FieldExists s  = error: struct s (exists ): the access string `` is not made of numbers and colons; the object is damaged, compile it again
        FieldExists s : = error: struct s (exists :): the access string `:` is not made of numbers and colons; the object is damaged, compile it again
    "#]]
    .assert_eq(&text.lines().take(2).map(|line| format!("{line}\n")).collect::<String>());
    // Far out is an error or no value, but never a wrong one: this one is within what 40 bits can say.
    let good: Vec<&str> = text.lines().filter(|line| !line.contains("error: ")).collect();
    assert_eq!(good, ["FieldExists s 4294967295:1 = 1"]);
}

/// A load, store or arithmetic that is relocated, and what it becomes.
fn patched(insns: &[Insn], kind: CoreReloKind, local: &[u8], target: &[u8], access: &str) -> String {
    let (local, target) = (Btf::parse(local).unwrap(), Btf::parse(target).unwrap());
    let target = Target::described(Some(&target));
    let mut insns = insns.to_vec();
    let relo = CoreRelo { insn: 0, kind, type_id: id(&local, "s"), access: access.to_owned() };
    match Relocator::new(&local, &target).unwrap().apply(&mut insns, &relo) {
        Ok(None) => format!("{insns:?}"),
        Ok(Some(why)) => format!("{insns:?} {why}"),
        Err(what) => what,
    }
}

#[test]
fn instructions() {
    let local = make(|t| {
        let members = [
            ("u", U32, 32, 0),
            ("i", I32, 64, 0),
            ("p", POINTER, 128, 0),
            ("far", U32, 192, 0),
            ("bit", U32, 224, 3),
        ];
        t.structure("s", 32, &members);
    });
    let target = make(|t| {
        let members = [
            ("p", POINTER, 0, 0),
            ("u", U64, 64, 0),
            ("i", U64, 128, 0),
            ("far", U32, 40_000 * 8, 0),
            ("bit", U32, 512, 0),
        ];
        t.structure("s", 40_004, &members);
    });
    let load = |size: u8, off| Insn::new(0x61 & !0x18 | size, 1, 2, off, 0);
    let (word, wide) = (0x00, 0x18);
    let mov = |imm| Insn::new(0xb7, 1, 0, 0, imm);
    let ld = |value: i32| [Insn::new(0x18, 1, 0, 0, value), Insn::new(0, 0, 0, 0, 0)];
    let mut text = String::new();
    let mut case = |insns: &[Insn], kind, access: &str| {
        text.push_str(&patched(insns, kind, &local, &target, access));
        text.push('\n');
    };
    case(&[load(word, 4)], FieldByteOffset, "0:0");
    case(&[Insn::new(0x63, 1, 2, 4, 0)], FieldByteOffset, "0:0");
    case(&[Insn::new(0x62, 1, 0, 4, 77)], FieldByteOffset, "0:0");
    case(&[load(word, 8)], FieldByteOffset, "0:1");
    case(&[load(wide, 16)], FieldByteOffset, "0:2");
    case(&[load(word, 24)], FieldByteOffset, "0:3");
    case(&[mov(24)], FieldByteOffset, "0:3");
    case(&[load(word, 28)], FieldByteOffset, "0:4");
    case(&[load(0x10, 4)], FieldByteOffset, "0:0");
    case(&[load(word, 5)], FieldByteOffset, "0:0");
    case(&[mov(3)], FieldByteOffset, "0:0");
    case(&ld(4), FieldByteOffset, "0:0");
    case(&ld(4)[..1], FieldByteOffset, "0:0");
    case(&[Insn::new(0xbf, 1, 2, 0, 0)], FieldByteOffset, "0:0");
    case(&[Insn::new(0x05, 0, 0, 0, 0)], FieldByteOffset, "0:0");
    case(&[], FieldByteOffset, "0:0");
    expect![[r#"
        [Insn(79 dst=1 src=2 off=8 imm=0x0)]
        [Insn(7b dst=1 src=2 off=8 imm=0x0)]
        [Insn(7a dst=1 src=0 off=8 imm=0x4d)]
        [Insn(85 dst=0 src=0 off=0 imm=0xbad2310)] struct s.i (offset 0:1): a field of 4 bytes is one of 8 bytes (0: a bit field) in the target, and a load of that size would give another value; only pointers and unsigned integers can be resized: read it with BPF_CORE_READ_BITFIELD() or bpf_core_read()
        [Insn(79 dst=1 src=2 off=0 imm=0x0)]
        struct s.far (offset 0:3): the offset 40000 in the target does not fit into the 16 bits of a load or store; take the address first (bpf_core_read())
        [Insn(b7 dst=1 src=0 off=0 imm=0x9c40)]
        [Insn(85 dst=0 src=0 off=0 imm=0xbad2310)] struct s.bit (offset 0:4): a field of 0 bytes is one of 4 bytes (0: a bit field) in the target, and a load of that size would give another value; only pointers and unsigned integers can be resized: read it with BPF_CORE_READ_BITFIELD() or bpf_core_read()
        struct s.u (offset 0:0): the access moves 1 bytes, and the field has 4
        struct s.u (offset 0:0): the offset is 5, and the object's types say 4: the object was changed after it was compiled, or is damaged
        struct s.u (offset 0:0): the immediate value is 3, and the object's types say 4: the object was changed after it was compiled, or is damaged
        [Insn(18 dst=1 src=0 off=0 imm=0x8), Insn(00 dst=0 src=0 off=0 imm=0x0)]
        struct s.u (offset 0:0): only loads of 64-bit values can be relocated, not this form of load
        struct s.u (offset 0:0): arithmetic between registers has no place for a value
        struct s.u (offset 0:0): jumps cannot be relocated
        struct s.u (offset 0:0): there is no instruction 0; the object is damaged, compile it again
    "#]]
    .assert_eq(&text);
    let lost = make(|_| {});
    assert_eq!(
        patched(&ld(4), FieldByteOffset, &local, &lost, "0:0"),
        "[Insn(85 dst=0 src=0 off=0 imm=0xbad2310), Insn(85 dst=0 src=0 off=0 imm=0xbad2310)] struct s.u (offset 0:0): no \
         struct s in the target"
    );
    let _ = S8;
}

mod exercise_core;

proptest::proptest! {
    #![proptest_config(proptest::test_runner::Config { failure_persistence: None, ..Default::default() })]
    #[test]
    fn arbitrary_types(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..600)) {
        exercise_core::bytes(&bytes);
    }
}

//! CO-RE: which types are found, in the kernel and its modules, whether they match, and their enumerators.
//!
//! The values are those that libbpf 1.7 gives for the same types; where it errs the test says so.

mod core_common;

use btf::ext::CoreReloKind::*;
use btf::{Btf, Builder, Kind, TypeId};
use core_common::*;
use expect_test::expect;
use loader::{ModuleBtf, Target};

#[test]
fn types_that_are_not_there() {
    let local = make(|t| {
        t.structure("lost", 4, &[("a", I32, 0, 0)]);
        t.structure("was_struct", 4, &[("a", I32, 0, 0)]);
        t.enumeration("lost_enum", 4, &[("A", 1)]);
        t.builder.typedef("lost_t", I32);
    });
    let target = make(|t| {
        t.composite(Kind::Union, "was_struct", 4, &[("a", I32, 0, 0)]);
        t.builder.fwd("lost", false);
    });
    check(
        &local,
        &target,
        &[
            (TypeExists, "lost", "0"),
            (TypeSize, "lost", "0"),
            (TypeIdTarget, "lost", "0"),
            (TypeMatches, "lost", "0"),
            (FieldExists, "lost", "0:0"),
            (FieldByteOffset, "lost", "0:0"),
            (FieldByteOffset, "was_struct", "0:0"),
            (EnumvalExists, "lost_enum", "0"),
            (EnumvalValue, "lost_enum", "0"),
            (TypeExists, "lost_t", "0"),
        ],
        expect![[r#"
            TypeExists lost 0 = 0
            TypeSize lost 0 = 0
            TypeIdTarget lost 0 = 0
            TypeMatches lost 0 = 0
            FieldExists lost 0:0 = 0
            FieldByteOffset lost 0:0 = poison: struct lost.a (offset 0:0): no struct lost in the target
            FieldByteOffset was_struct 0:0 = poison: struct was_struct.a (offset 0:0): no struct was_struct in the target
            EnumvalExists lost_enum 0 = 0
            EnumvalValue lost_enum 0 = poison: enum lost_enum::A (value of enumerator 0): no enum lost_enum in the target
            TypeExists lost_t 0 = 0
        "#]],
    );
}

#[test]
fn enumerators() {
    let local = make(|t| {
        t.enumeration("color___mine", 4, &[("RED", 1), ("GREEN___old", 2), ("GONE", 3), ("NEGATIVE", -1)]);
        t.enumeration("wide", 8, &[("HUGE", 1 << 40), ("TINY", i64::MIN)]);
        t.enumeration("unsigned", 4, &[("ALL", 0xffff_ffff)]);
    });
    let target = make(|t| {
        t.enumeration("color", 8, &[("GREEN", 20), ("RED", 1 << 33), ("NEGATIVE", -7)]);
        t.enumeration("wide", 4, &[("HUGE", 5)]);
        t.enumeration("unsigned", 4, &[("ALL", 0xffff_ffff)]);
    });
    let color = "color___mine";
    check(
        &local,
        &target,
        &[
            (EnumvalValue, color, "0"),
            (EnumvalValue, color, "1"),
            (EnumvalExists, color, "1"),
            (EnumvalValue, color, "2"),
            (EnumvalExists, color, "2"),
            (EnumvalValue, color, "3"),
            (EnumvalValue, "wide", "0"),
            (EnumvalExists, "wide", "1"),
            // libbpf takes it for -1 and then refuses what the compiler wrote.
            (EnumvalValue, "unsigned", "0"),
            (EnumvalValue, color, "4"),
            (EnumvalValue, color, "0:1"),
        ],
        expect![[r#"
            EnumvalValue color___mine 0 = 8589934592
            EnumvalValue color___mine 1 = 20
            EnumvalExists color___mine 1 = 1
            EnumvalValue color___mine 2 = poison: enum color___mine::GONE (value of enumerator 2): enum color has no enumerator `GONE`
            EnumvalExists color___mine 2 = 0
            EnumvalValue color___mine 3 = -7
            EnumvalValue wide 0 = 5
            EnumvalExists wide 1 = 0
            EnumvalValue unsigned 0 = 4294967295
            EnumvalValue color___mine 4 = error: enum color___mine (value of enumerator 4): `4` is no enumerator of type 8; the object is damaged, compile it again
            EnumvalValue color___mine 0:1 = error: enum color___mine (value of enumerator 0:1): `0:1` is no enumerator of type 8; the object is damaged, compile it again
        "#]],
    );
}

#[test]
fn matching_types() {
    type Members = [(&'static str, TypeId, u32, u8)];
    fn fill(t: &mut Types, target: bool) {
        // A target may have more.
        let with = |members: &Members| {
            let more: &Members = if target { &[("new", U8, 64, 0)] } else { &[] };
            [members, more].concat()
        };
        let flags: &[(&str, i64)] =
            if target { &[("B", 7), ("A", 5), ("C", 9)] } else { &[("A", 0), ("B", 1)] };
        let flags = t.enumeration("flags", 4, flags);
        let deep = if target { U64 } else { U32 };
        let deep = t.structure("deep", 8, &[("d", deep, 0, 0)]);
        let to_deep = t.builder.ptr(deep);
        let callback = t.builder.func_proto(I32, &[("p", to_deep), ("n", U32)]);
        let callback = t.builder.ptr(callback);
        let other = if target { U16 } else { U32 };
        let wrong = t.builder.func_proto(I32, &[("n", other)]);
        let wrong = t.builder.ptr(wrong);
        let array = t.array(U8, if target { 9 } else { 8 });
        t.structure("plain", 16, &with(&[("a", I32, 0, 0)]));
        t.structure("enumerated", 16, &with(&[("f", flags, 0, 0)]));
        t.structure("behind_pointer", 16, &with(&[("p", to_deep, 0, 0)]));
        t.structure("by_value", 16, &with(&[("v", deep, 0, 0)]));
        t.structure("calls", 16, &with(&[("c", callback, 0, 0)]));
        t.structure("calls_wrong", 16, &with(&[("c", wrong, 0, 0)]));
        t.structure("longer", 16, &with(&[("a", array, 0, 0)]));
        t.structure("sign", 16, &with(&[("s", if target { U32 } else { I32 }, 0, 0)]));
        let fwd = if target { t.structure("opaque", 0, &[]) } else { t.builder.fwd("opaque", false) };
        let to_fwd = t.builder.ptr(fwd);
        t.structure("declared", 16, &with(&[("o", to_fwd, 0, 0)]));
        t.builder.typedef("number_t", if target { U32 } else { I32 });
    }
    let (local, target) = (make(|t| fill(t, false)), make(|t| fill(t, true)));
    let names = [
        "plain",
        "flags",
        "enumerated",
        "behind_pointer",
        "by_value",
        "calls",
        "calls_wrong",
        "longer",
        "sign",
        "declared",
        "number_t",
    ];
    let relos: Vec<_> = names.iter().map(|name| (TypeMatches, *name, "0")).collect();
    check(
        &local,
        &target,
        &relos,
        expect![[r#"
            TypeMatches plain 0 = 1
            TypeMatches flags 0 = 1
            TypeMatches enumerated 0 = 1
            TypeMatches behind_pointer 0 = 1
            TypeMatches by_value 0 = 0
            TypeMatches calls 0 = 1
            TypeMatches calls_wrong 0 = 0
            TypeMatches longer 0 = 0
            TypeMatches sign 0 = 0
            TypeMatches declared 0 = 1
            TypeMatches number_t 0 = 0
        "#]],
    );
    // Whether they exist is a weaker question.
    let relos: Vec<_> = names.iter().map(|name| (TypeExists, *name, "0")).collect();
    check(
        &local,
        &target,
        &relos,
        expect![[r#"
            TypeExists plain 0 = 1
            TypeExists flags 0 = 1
            TypeExists enumerated 0 = 1
            TypeExists behind_pointer 0 = 1
            TypeExists by_value 0 = 1
            TypeExists calls 0 = 1
            TypeExists calls_wrong 0 = 1
            TypeExists longer 0 = 1
            TypeExists sign 0 = 1
            TypeExists declared 0 = 1
            TypeExists number_t 0 = 1
        "#]],
    );
}

#[test]
fn several_candidates() {
    let local = make(|t| {
        t.structure("s", 16, &[("same", U32, 0, 0), ("differs", U32, 32, 0), ("once", U32, 64, 0)]);
        t.structure("left", 16, &[("once", U32, 0, 0), ("differs", U32, 32, 0)]);
        t.enumeration("e", 4, &[("V", 1)]);
    });
    let target = make(|t| {
        t.structure("s", 16, &[("same", U32, 64, 0), ("differs", U32, 32, 0)]);
        t.structure("s___new", 24, &[("once", U32, 128, 0), ("differs", U32, 96, 0), ("same", U32, 64, 0)]);
        t.structure("left", 16, &[("differs", U32, 32, 0)]);
        t.structure("left", 24, &[("once", U32, 128, 0), ("differs", U32, 96, 0)]);
        t.enumeration("e", 4, &[("V", 1)]);
        t.enumeration("e___x", 8, &[("V", 2)]);
    });
    check(
        &local,
        &target,
        &[
            (FieldByteOffset, "s", "0:0"),
            (FieldByteOffset, "s", "0:1"),
            (TypeSize, "s", "0"),
            (FieldByteOffset, "s", "0:2"),
            (FieldByteOffset, "left", "0:0"),
            // The relocation before has ruled one out.
            (FieldByteOffset, "left", "0:1"),
            (EnumvalValue, "e", "0"),
            (EnumvalExists, "e", "0"),
        ],
        expect![[r#"
            FieldByteOffset s 0:0 = 8
            FieldByteOffset s 0:1 = error: struct s.differs (offset 0:1): the target has several such types, and they disagree: 4 (bit 32) by type 8 of the kernel, 12 (bit 96) by type 9 of the kernel; ask for something that only one of them has, or give a BTF file in which the type is unambiguous
            TypeSize s 0 = error: struct s (size of type 0): the target has several such types, and they disagree: 16 by type 8 of the kernel, 24 by type 9 of the kernel; ask for something that only one of them has, or give a BTF file in which the type is unambiguous
            FieldByteOffset s 0:2 = 16
            FieldByteOffset left 0:0 = 16
            FieldByteOffset left 0:1 = 12
            EnumvalValue e 0 = error: enum e::V (value of enumerator 0): the target has several such types, and they disagree: 1 by type 12 of the kernel, 2 by type 13 of the kernel; ask for something that only one of them has, or give a BTF file in which the type is unambiguous
            EnumvalExists e 0 = 1
        "#]],
    );
}

#[test]
fn modules_are_searched_where_the_kernel_has_nothing() {
    let local = make(|t| {
        t.structure("both", 4, &[("a", U32, 0, 0)]);
        t.structure("module_only___x", 4, &[("a", U32, 0, 0)]);
        t.structure("nowhere", 4, &[("a", U32, 0, 0)]);
    });
    let kernel = make(|t| {
        t.structure("both", 8, &[("a", U32, 32, 0)]);
    });
    let kernel = Btf::parse(&kernel).unwrap();
    let mut module = Types { builder: Builder::new_split(&kernel) };
    module.structure("both", 16, &[("a", U32, 64, 0)]);
    let in_module = module.structure("module_only", 32, &[("a", U32, 128, 0)]);
    let module = module.builder.finish();
    let module = Btf::parse_split(&module, &kernel).unwrap();
    let modules = vec![ModuleBtf { name: "m".to_owned(), btf: &module }];
    let target = Target::described(Some(&kernel)).modules_are(modules);
    let relos = [
        (FieldByteOffset, "both", "0:0"),
        (FieldByteOffset, "module_only___x", "0:0"),
        (TypeIdTarget, "module_only___x", "0"),
        (TypeExists, "nowhere", "0"),
    ];
    assert_eq!(in_module, TypeId(10));
    expect![[r#"
        FieldByteOffset both 0:0 = 4
        FieldByteOffset module_only___x 0:0 = 16
        TypeIdTarget module_only___x 0 = 10
        TypeExists nowhere 0 = 0
    "#]]
    .assert_eq(&answers(&local, &target, &relos));
}

#[test]
fn targets_without_types() {
    let local = make(|t| {
        t.structure("s", 4, &[("a", U32, 0, 0)]);
        t.structure("", 4, &[("a", U32, 0, 0)]);
    });
    let relos = [(TypeIdLocal, "s", "0"), (FieldExists, "s", "0:0")];
    expect![[r#"
        TypeIdLocal s 0 = 8
        FieldExists s 0:0 = error: struct s.a (exists 0:0): the kernel has no types (no /sys/kernel/btf/vmlinux, and no vmlinux with a .BTF section): it needs CONFIG_DEBUG_INFO_BTF, or give a BTF file made for it (--btf)
    "#]]
    .assert_eq(&answers(&local, &Target::described(None), &relos));
}

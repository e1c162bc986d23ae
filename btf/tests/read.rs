//! Reading synthetic data: every kind, both byte orders, split data, damage.

mod common;

use btf::*;
use common::*;
use expect_test::expect;
use std::fmt::Write;

/// Everything a type tells, in one line.
fn describe(btf: &Btf<'_>) -> String {
    let mut out = String::new();
    for (id, ty) in btf.types() {
        write!(out, "{} {:?} '{}'", id.0, ty.kind(), ty.name()).unwrap();
        if let Some(size) = btf.size_of(id) {
            write!(out, " size={size}").unwrap();
        }
        if let Some(align) = btf.align_of(id) {
            write!(out, " align={align}").unwrap();
        }
        for (component, tag) in btf.decl_tags(id) {
            write!(out, " tag={tag}@{component}").unwrap();
        }
        if let Some(id) = ty.type_id() {
            write!(out, " type={}", id.0).unwrap();
        }
        if let Some(int) = ty.int() {
            write!(out, " bits={} signed={}", int.bits, int.signed).unwrap();
        }
        if let Some(array) = ty.array() {
            write!(out, " of={} index={} len={}", array.element.0, array.index.0, array.len).unwrap();
        }
        if let Some(linkage) = ty.linkage() {
            write!(out, " {linkage:?}").unwrap();
        }
        if let Some(component) = ty.component_index() {
            write!(out, " component={component}").unwrap();
        }
        if ty.is_union_fwd() {
            write!(out, " union").unwrap();
        }
        for m in ty.members() {
            write!(out, " {}:{}@{}{:?}", m.name, m.type_id.0, m.bit_offset, m.bitfield_size).unwrap();
        }
        for e in ty.enumerators() {
            write!(out, " {}={}", e.name, e.value).unwrap();
        }
        for p in ty.params() {
            write!(out, " {}:{}", p.name, p.type_id.0).unwrap();
        }
        for v in ty.section_vars() {
            write!(out, " {}@{}+{}", v.type_id.0, v.offset, v.size).unwrap();
        }
        out.push('\n');
    }
    out
}

#[test]
fn every_kind_in_both_byte_orders() {
    let little = every_kind(Endian::Little);
    let big = every_kind(Endian::Big);
    let text = describe(&Btf::parse(&little).unwrap());
    assert_eq!(text, describe(&Btf::parse(&big).unwrap()));
    assert_eq!(Btf::parse(&big).unwrap().endian(), Endian::Big);
    expect![[r#"
        1 Int 'int' size=4 align=4 bits=32 signed=true
        2 Int 'long unsigned int' size=8 align=8 bits=64 signed=false
        3 Ptr '' size=8 align=8 type=1
        4 Array '' size=12 align=4 of=1 index=2 len=3
        5 Array '' size=24 align=4 of=4 index=2 len=2
        6 Union '' size=8 align=8 u_int:1@0None u_long:2@0None
        7 Struct '' size=16 align=8 :6@0None tail:3@64None
        8 Struct 'outer' size=64 align=8 first:1@0None :7@64None grid:5@192None
        9 Struct 'bits' size=4 align=4 low:1@0Some(3) high:1@3Some(5) whole:1@32None
        10 Enum 'unsigned_enum' size=4 align=4 A=1 B=4294967295
        11 Enum 'signed_enum' size=4 align=4 A=1 B=-1
        12 Enum64 'wide_enum' size=8 align=8 A=8589934593 B=-1
        13 Fwd 'declared'
        14 Fwd 'declared_union' union
        15 Const '' size=4 align=4 type=1
        16 Volatile '' size=4 align=4 type=15
        17 Restrict '' size=4 align=4 type=16
        18 TypeTag 'rcu' size=4 align=4 type=17
        19 Typedef 'wrapped_t' size=4 align=4 type=18
        20 FuncProto '' type=1 arg:19 :0
        21 Func 'do_it' tag=kfunc@-1 type=20 Global
        22 Var 'counter' size=4 align=4 type=19 Global
        23 Datasec '.data' size=16 22@8+4
        24 Float 'double' size=8 align=8
        25 DeclTag 'kfunc' type=21 component=-1
    "#]]
    .assert_eq(&text);
}

#[test]
fn queries() {
    let data = every_kind(Endian::Little);
    let btf = Btf::parse(&data).unwrap();
    let mut out = String::new();
    for path in [
        "first",
        "u_int",
        "u_long",
        "tail",
        "grid",
        "grid[1]",
        "grid[1][2]",
        "grid[2]",
        "grid[0][3]",
        "first.x",
        "",
        "no",
        "grid[",
        "grid[x]",
        "grid[0]junk",
        ".",
    ] {
        writeln!(out, "outer {path:?}: {:?}", btf.member_offset("outer", path)).unwrap();
    }
    for path in ["low", "high", "whole"] {
        writeln!(out, "bits {path:?}: {:?}", btf.member_offset("bits", path)).unwrap();
    }
    for (enumeration, name) in [
        ("unsigned_enum", "B"),
        ("signed_enum", "B"),
        ("wide_enum", "A"),
        ("wide_enum", "B"),
        ("wide_enum", "C"),
        ("int", "A"),
    ] {
        writeln!(out, "{enumeration} {name}: {:?}", btf.enum_value(enumeration, name)).unwrap();
    }
    writeln!(out, "{:?}", btf.func_names().collect::<Vec<_>>()).unwrap();
    writeln!(out, "{:?}", btf.func_proto("do_it")).unwrap();
    writeln!(out, "{:?}", btf.find_enumerator("B")).unwrap();
    expect![[r#"
        outer "first": Some((0, 32))
        outer "u_int": Some((64, 32))
        outer "u_long": Some((64, 64))
        outer "tail": Some((128, 64))
        outer "grid": Some((192, 192))
        outer "grid[1]": Some((288, 96))
        outer "grid[1][2]": Some((352, 32))
        outer "grid[2]": None
        outer "grid[0][3]": None
        outer "first.x": None
        outer "": None
        outer "no": None
        outer "grid[": None
        outer "grid[x]": None
        outer "grid[0]junk": None
        outer ".": None
        bits "low": Some((0, 3))
        bits "high": Some((3, 5))
        bits "whole": Some((32, 32))
        unsigned_enum B: Some(4294967295)
        signed_enum B: Some(-1)
        wide_enum A: Some(8589934593)
        wide_enum B: Some(-1)
        wide_enum C: None
        int A: None
        ["do_it"]
        Some((TypeId(20), FuncProto "" (size or type 1, 2 entries)))
        Some((TypeId(10), Enumerator { name: "B", value: 4294967295 }))
    "#]]
    .assert_eq(&out);
    // Past the first lookups the hash table answers, and it answers the same.
    let all: Vec<_> = btf.types().filter(|(_, ty)| !ty.name().is_empty()).collect();
    for _ in 0..2 {
        for (id, ty) in &all {
            assert_eq!(btf.find(ty.name(), ty.kind()), Some(*id), "{ty:?}");
        }
        assert_eq!(btf.find("nowhere", Kind::Int), None);
        assert_eq!(btf.find("", Kind::Ptr), None);
    }
}

#[test]
fn split_goes_on_after_its_base() {
    let data = every_kind(Endian::Little);
    let base = Btf::parse(&data).unwrap();
    let mut plain = Writer::new(Endian::Little);
    plain.int("int", 4, 1);
    let strings = plain.strings_len();
    let plain_data = plain.finish();
    let small = Btf::parse(&plain_data).unwrap();
    let mut w = Writer::split(Endian::Little, small.next_id(), strings);
    let typedef = w.add("mine_t", TYPEDEF, 0, 1, &[]);
    let split_data = w.finish();
    let split = Btf::parse_split(&split_data, &small).unwrap();
    assert_eq!(split.find("mine_t", Kind::Typedef), Some(TypeId(typedef)));
    assert_eq!(split.find("int", Kind::Int), Some(TypeId(1)));
    assert_eq!(split.size_of(TypeId(typedef)), Some(4));
    assert_eq!((split.types().count(), split.own_types().count()), (2, 1));
    assert_eq!(Btf::parse_split(&split_data, &split).err(), Some(Error::SplitBase));
    let big = Writer::split(Endian::Big, base.next_id(), 1).finish();
    assert_eq!(Btf::parse_split(&big, &base).err(), Some(Error::MixedByteOrder));
}

/// Opened data is shared by reference, and may be used where less long a life is asked for; this compiles or it does not.
#[test]
fn it_can_be_shared() {
    fn shorter<'short>(btf: &'short Btf<'static>) -> &'short Btf<'short> {
        btf
    }
    fn shared<T: Send + Sync>(_: &T) {}
    let data: &'static [u8] = every_kind(Endian::Little).leak();
    let btf: &'static Btf<'static> = Box::leak(Box::new(Btf::parse(data).unwrap()));
    shared(btf);
    let found: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4)
            .map(|_| {
                scope.spawn(|| (0..5).map(|_| shorter(btf).find("outer", Kind::Struct)).collect::<Vec<_>>())
            })
            .collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    assert!(found.len() == 20 && found.iter().all(|id| *id == Some(TypeId(8))));
}

#[test]
fn longer_headers_are_accepted() {
    let mut w = Writer::new(Endian::Big);
    w.header_len = 28;
    w.int("int", 4, 1);
    let data = w.finish();
    assert_eq!(Btf::parse(&data).unwrap().find("int", Kind::Int), Some(TypeId(1)));
}

/// Lengths of all known kinds, and of two more.
fn layout() -> Vec<(u8, u8)> {
    let mut layout = vec![(0, 0); 122];
    for (number, lens) in
        [(1, (4, 0)), (3, (12, 0)), (4, (0, 12)), (5, (0, 12)), (6, (0, 8)), (13, (0, 8)), (14, (4, 0))]
    {
        layout[number] = lens;
    }
    layout[20] = (4, 0);
    layout[121] = (8, 16);
    layout
}

#[test]
fn unknown_kinds_are_skipped_with_a_layout() {
    let mut out = String::new();
    for endian in [Endian::Little, Endian::Big] {
        let build = |header_len, layout: Vec<(u8, u8)>| {
            let mut w = Writer::new(endian);
            w.header_len = header_len;
            w.layout = layout;
            w.add("location", 20, 7, 5, &[6]);
            w.int("int", 4, 1);
            w.add("inlined", 121 | FLAG, 3, 5, &[0; 2 + 3 * 4]);
            w.add("", PTR, 0, 2, &[]);
            w.finish()
        };
        // A longer header is read as far as it is known.
        for header_len in [32, 40] {
            let data = build(header_len, layout());
            let btf = Btf::parse(&data).unwrap();
            out.push_str(&describe(&btf));
            let unknown = btf.type_by_id(TypeId(3)).unwrap();
            assert_eq!((unknown.kind().number(), unknown.len(), unknown.kind_flag()), (121, 3, true));
            assert_eq!((unknown.extra_bytes().len(), unknown.size_or_type()), (8 + 3 * 16, 5));
            assert_eq!(btf.find("inlined", Kind::Unknown(121)), Some(TypeId(3)));
        }
        // A header that ends before the layout's place, and a layout that ends before the kind.
        let mut damaged = build(32, layout());
        let at = if endian == Endian::Little { 28 } else { 31 };
        damaged[at] += 1;
        for data in [build(28, layout()), build(32, layout()[..121].to_vec()), damaged] {
            writeln!(out, "{}", Btf::parse(&data).unwrap_err()).unwrap();
        }
    }
    expect![[r#"
        1 Unknown(20) 'location'
        2 Int 'int' size=4 align=4 bits=32 signed=true
        3 Unknown(121) 'inlined'
        4 Ptr '' size=8 align=8 type=2
        1 Unknown(20) 'location'
        2 Int 'int' size=4 align=4 bits=32 signed=true
        3 Unknown(121) 'inlined'
        4 Ptr '' size=8 align=8 type=2
        BTF type 1 at offset 0: kind 20 is unknown and no layout section says how long it is; a newer reader is needed
        BTF type 3 at offset 32: kind 121 is unknown and no layout section says how long it is; a newer reader is needed
        BTF header: the layout section at 112 of 489 bytes behind the header is not made of aligned entries of 4 bytes; the data is damaged
        1 Unknown(20) 'location'
        2 Int 'int' size=4 align=4 bits=32 signed=true
        3 Unknown(121) 'inlined'
        4 Ptr '' size=8 align=8 type=2
        1 Unknown(20) 'location'
        2 Int 'int' size=4 align=4 bits=32 signed=true
        3 Unknown(121) 'inlined'
        4 Ptr '' size=8 align=8 type=2
        BTF type 1 at offset 0: kind 20 is unknown and no layout section says how long it is; a newer reader is needed
        BTF type 3 at offset 32: kind 121 is unknown and no layout section says how long it is; a newer reader is needed
        BTF header: the layout section at 112 of 489 bytes behind the header is not made of aligned entries of 4 bytes; the data is damaged
    "#]]
    .assert_eq(&out);
}

#[test]
fn alignment() {
    let mut w = Writer::new(Endian::Little);
    let (char, int, long) = (w.int("char", 1, 1), w.int("int", 4, 1), w.int("long unsigned int", 8, 0));
    let wide = w.int("__int128", 16, 1);
    let inner = w.composite(STRUCT, "inner", 8, &[("c", char, 0), ("i", int, 32)]);
    let mut ask = vec![
        w.composite(STRUCT, "packed_size", 5, &[("c", char, 0), ("i", int, 32)]),
        w.composite(STRUCT, "packed_offset", 8, &[("c", char, 0), ("i", int, 8)]),
        w.composite(STRUCT | FLAG, "bits", 4, &[("a", int, (3 << 24) | 1), ("b", int, (9 << 24) | 4)]),
        w.composite(UNION, "both", 16, &[("inner", inner, 0), ("wide", wide, 0)]),
        w.composite(STRUCT, "empty", 0, &[]),
        w.add("forward", FWD, 0, 0, &[]),
    ];
    ask.push(w.add("", ARRAY, 0, 0, &[inner, long, 3]));
    ask.push(w.composite(STRUCT, "holds_forward", 8, &[("f", ask[5], 0)]));
    // Structs that hold the one before twice: 2^60 members to look at.
    let mut last = inner;
    for _ in 0..60 {
        last = w.composite(STRUCT, "twice", 8, &[("a", last, 0), ("b", last, 0)]);
    }
    ask.push(last);
    let data = w.finish();
    let btf = Btf::parse(&data).unwrap();
    let answers: Vec<_> = ask.iter().map(|id| btf.align_of(TypeId(*id))).collect();
    expect!["[Some(1), Some(1), Some(4), Some(16), Some(1), None, Some(4), None, None]"]
        .assert_eq(&format!("{answers:?}"));
}

#[test]
fn counts_have_24_bits() {
    let mut w = Writer::new(Endian::Little);
    w.int("int", 4, 1);
    let names: Vec<u32> = (0..70_000).flat_map(|value| [0, value]).collect();
    w.add("many", ENUM, 70_000, 4, &names);
    w.add("", PTR, 0, 2, &[]);
    let data = w.finish();
    let btf = Btf::parse(&data).unwrap();
    let many = btf.type_by_id(TypeId(2)).unwrap();
    assert_eq!((many.len(), many.enumerators().count(), btf.next_id()), (70_000, 70_000, 4));
    assert_eq!(many.enumerators().last().unwrap().value, 69_999);
}

#[test]
fn cycles_end() {
    let mut w = Writer::new(Endian::Little);
    w.add("a", TYPEDEF, 0, 2, &[]);
    w.add("b", TYPEDEF, 0, 1, &[]);
    w.add("", ARRAY, 0, 0, &[3, 3, u32::MAX]);
    w.composite(STRUCT, "s", 8, &[("", 4, 0), ("", 4, 0), ("", 4, 0), ("", 99, 0), ("x", 1, 0)]);
    let data = w.finish();
    let btf = Btf::parse(&data).unwrap();
    assert!(btf.resolve(TypeId(1)).is_none());
    assert_eq!(btf.size_of(TypeId(2)), None);
    assert_eq!(btf.size_of(TypeId(3)), None);
    assert_eq!(btf.member_offset("s", "nothing"), None);
    assert_eq!(btf.member_offset("s", "x"), None);
}

#[test]
fn damage_is_named() {
    let good = every_kind(Endian::Little);
    let changed = |at: usize, bytes: &[u8]| {
        let mut data = good.clone();
        data[at..at + bytes.len()].copy_from_slice(bytes);
        data
    };
    let mut unterminated = good.clone();
    *unterminated.last_mut().unwrap() = b'x';
    let strings = good.len() - 10;
    let cases = [
        vec![],
        good[..1].to_vec(),
        good[..20].to_vec(),
        changed(0, &[0x7f, b'E']),
        changed(2, &[2]),
        changed(4, &4_u32.to_le_bytes()),
        changed(4, &u32::MAX.to_le_bytes()),
        changed(12, &u32::MAX.to_le_bytes()),
        good[..good.len() - 1].to_vec(),
        unterminated,
        changed(strings, &[0xff]),
        changed(24 + 7, &[20]),
        changed(12, &10_u32.to_le_bytes()),
        changed(24 + 16 + 7, &[4, 0, 0, 0, 0]),
    ];
    let mut out = String::new();
    for data in &cases {
        match Btf::parse(data) {
            Ok(btf) => writeln!(out, "accepted {btf:?}").unwrap(),
            Err(error) => writeln!(out, "{error}").unwrap(),
        }
    }
    expect![[r#"
        BTF header: 0 bytes are too few, 24 are needed; the file was cut short or is no BTF
        BTF header: 1 bytes are too few, 24 are needed; the file was cut short or is no BTF
        BTF header: 20 bytes are too few, 24 are needed; the file was cut short or is no BTF
        BTF header: magic is 0x457f, not 0xeb9f; this is no BTF (an ELF file keeps it in section .BTF)
        BTF header: version 2 is unknown, only 1 exists; a newer reader is needed
        BTF header: a length of 4 bytes, where 24 is the least; the data is damaged
        BTF header: 761 bytes are too few, 4294967295 are needed; the file was cut short or is no BTF
        BTF header: the type section at 24 of 4294967295 bytes does not fit into 761 bytes; cut short?
        BTF header: the string section at 568 of 193 bytes does not fit into 760 bytes; cut short?
        BTF strings: the section must begin (unless split) and end with a zero byte; the data is damaged
        BTF strings: byte 183 is not UTF-8; the data is damaged
        BTF type 1 at offset 0: kind 20 is unknown and no layout section says how long it is; a newer reader is needed
        BTF type 1 at offset 0: a record of 12 bytes goes past the section's 10 bytes
        BTF type 3 at offset 28: kind 0 is unknown and no layout section says how long it is; a newer reader is needed
    "#]]
    .assert_eq(&out);
}

#[test]
fn flavours_are_cut_off() {
    let names = [
        "task_struct",
        "task_struct___old",
        "a___b___c",
        "___x",
        "x___",
        "a____b",
        "a___b",
        "",
        "___",
        "a__b",
    ];
    let out: String = names.map(|name| format!("{name:?} {:?}\n", essential_name(name))).concat();
    expect![[r#"
        "task_struct" "task_struct"
        "task_struct___old" "task_struct"
        "a___b___c" "a___b"
        "___x" "___x"
        "x___" "x___"
        "a____b" "a____b"
        "a___b" "a"
        "" ""
        "___" "___"
        "a__b" "a__b"
    "#]]
    .assert_eq(&out);
}

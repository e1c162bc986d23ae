//! Types for kernels that know less: what becomes of each, in both byte orders.

mod common;

use btf::*;
use common::*;
use expect_test::expect;
use std::fmt::Write;

/// Everything a type tells but its id, in one line.
fn describe(btf: &Btf<'_>, id: TypeId) -> String {
    let ty = btf.type_by_id(id).unwrap();
    let mut out = format!("{ty:?} size={:?}", btf.size_of(id));
    if let Some(int) = ty.int() {
        write!(out, " bits={}{}", int.bits, if int.signed { " signed" } else { "" }).unwrap();
    }
    if let Some(linkage) = ty.linkage() {
        write!(out, " {linkage:?}").unwrap();
    }
    ty.members().for_each(|m| write!(out, " {:?}:{}@{}", m.name, m.type_id.0, m.bit_offset).unwrap());
    ty.enumerators().for_each(|e| write!(out, " {}={}", e.name, e.value).unwrap());
    ty.params().for_each(|p| write!(out, " {:?}:{}", p.name, p.type_id.0).unwrap());
    ty.section_vars().for_each(|v| write!(out, " {}@{}+{}", v.type_id.0, v.offset, v.size).unwrap());
    out
}

/// The types that change, before and after; the rest must be the same.
fn changes(bytes: &[u8], capabilities: &Capabilities) -> String {
    let Some(after) = sanitize(bytes, capabilities).unwrap() else { return "nothing\n".into() };
    assert_eq!(sanitize(&after, capabilities), Ok(None), "what is sanitized needs no more of it");
    let (old, new) = (Btf::parse(bytes).unwrap(), Btf::parse(&after).unwrap());
    let mut out = String::new();
    for (id, ty) in old.types() {
        assert_eq!(old.string(ty.name_offset()), new.string(ty.name_offset()), "strings stay where they are");
        let (before, after) = (describe(&old, id), describe(&new, id));
        if before != after {
            writeln!(out, "{} {before}\n   -> {after}", id.0).unwrap();
        }
    }
    for id in old.next_id()..new.next_id() {
        writeln!(out, "{id} new {}", describe(&new, TypeId(id))).unwrap();
    }
    out
}

#[test]
fn a_kernel_that_takes_all() {
    for endian in [Endian::Little, Endian::Big] {
        assert_eq!(sanitize(&every_kind(endian), &Capabilities::ALL), Ok(None));
    }
    assert!(sanitize(b"no BTF", &Capabilities::ALL).is_err());
}

#[test]
fn the_first_kernel_with_types() {
    let both = [Endian::Little, Endian::Big].map(|endian| changes(&every_kind(endian), &Capabilities::NONE));
    assert_eq!(both[0], both[1]);
    expect![[r#"
        11 Enum "signed_enum" (size or type 4, 2 entries) size=Some(4) A=1 B=-1
           -> Enum "signed_enum" (size or type 4, 2 entries) size=Some(4) A=1 B=4294967295
        12 Enum64 "wide_enum" (size or type 8, 2 entries) size=Some(8) A=8589934593 B=-1
           -> Int "wide_enum" (size or type 8, 0 entries) size=Some(8) bits=64 signed
        18 TypeTag "rcu" (size or type 17, 0 entries) size=Some(4)
           -> Const "" (size or type 17, 0 entries) size=Some(4)
        20 FuncProto "" (size or type 1, 2 entries) size=None "arg":19 "":0
           -> Enum "" (size or type 4, 0 entries) size=Some(4)
        21 Func "do_it" (size or type 20, 1 entries) size=None Global
           -> Typedef "do_it" (size or type 20, 0 entries) size=Some(4)
        22 Var "counter" (size or type 19, 0 entries) size=Some(4) Global
           -> Int "counter" (size or type 1, 0 entries) size=Some(1) bits=8
        23 Datasec ".data" (size or type 16, 1 entries) size=Some(16) 22@8+4
           -> Struct "_data" (size or type 16, 1 entries) size=Some(16) "counter":22@64
        24 Float "double" (size or type 8, 0 entries) size=Some(8)
           -> Struct "" (size or type 8, 0 entries) size=Some(8)
        25 DeclTag "kfunc" (size or type 21, 0 entries) size=None
           -> Int "kfunc" (size or type 1, 0 entries) size=Some(1) bits=8
    "#]]
    .assert_eq(&both[0]);
}

#[test]
fn one_thing_missing() {
    type Take = fn(&mut Capabilities);
    let cases: [(&str, Take); 9] = [
        ("func", |c| c.func = false),
        ("func_global", |c| c.func_global = false),
        ("datasec", |c| c.datasec = false),
        ("float", |c| c.float = false),
        ("decl_tag", |c| c.decl_tag = false),
        ("type_tag", |c| c.type_tag = false),
        ("enum64", |c| c.enum64 = false),
        ("tag_flags", |c| c.tag_flags = false),
        ("section_names", |c| c.section_names = false),
    ];
    let mut out = String::new();
    for (name, change) in cases {
        let mut capabilities = Capabilities::ALL;
        change(&mut capabilities);
        writeln!(out, "without {name}:\n{}", changes(&every_kind(Endian::Little), &capabilities)).unwrap();
    }
    expect![[r#"
        without func:
        20 FuncProto "" (size or type 1, 2 entries) size=None "arg":19 "":0
           -> Enum "" (size or type 4, 0 entries) size=Some(4)
        21 Func "do_it" (size or type 20, 1 entries) size=None Global
           -> Typedef "do_it" (size or type 20, 0 entries) size=Some(4)
        25 DeclTag "kfunc" (size or type 21, 0 entries) size=None
           -> Int "kfunc" (size or type 1, 0 entries) size=Some(1) bits=8

        without func_global:
        21 Func "do_it" (size or type 20, 1 entries) size=None Global
           -> Func "do_it" (size or type 20, 0 entries) size=None Static

        without datasec:
        22 Var "counter" (size or type 19, 0 entries) size=Some(4) Global
           -> Int "counter" (size or type 1, 0 entries) size=Some(1) bits=8
        23 Datasec ".data" (size or type 16, 1 entries) size=Some(16) 22@8+4
           -> Struct "_data" (size or type 16, 1 entries) size=Some(16) "counter":22@64
        25 DeclTag "kfunc" (size or type 21, 0 entries) size=None
           -> Int "kfunc" (size or type 1, 0 entries) size=Some(1) bits=8

        without float:
        24 Float "double" (size or type 8, 0 entries) size=Some(8)
           -> Struct "" (size or type 8, 0 entries) size=Some(8)

        without decl_tag:
        25 DeclTag "kfunc" (size or type 21, 0 entries) size=None
           -> Int "kfunc" (size or type 1, 0 entries) size=Some(1) bits=8

        without type_tag:
        18 TypeTag "rcu" (size or type 17, 0 entries) size=Some(4)
           -> Const "" (size or type 17, 0 entries) size=Some(4)

        without enum64:
        11 Enum "signed_enum" (size or type 4, 2 entries) size=Some(4) A=1 B=-1
           -> Enum "signed_enum" (size or type 4, 2 entries) size=Some(4) A=1 B=4294967295
        12 Enum64 "wide_enum" (size or type 8, 2 entries) size=Some(8) A=8589934593 B=-1
           -> Int "wide_enum" (size or type 8, 0 entries) size=Some(8) bits=64 signed

        without tag_flags:
        nothing

        without section_names:
        nothing

    "#]]
    .assert_eq(&out);
    // What is used is what it fails without.
    let bytes = every_kind(Endian::Little);
    expect!["Capabilities { func: true, func_global: true, datasec: true, empty_datasec: false, float: true, decl_tag: true, type_tag: true, enum64: true, section_names: false, tag_flags: false, layout: false, large_counts: false }"].assert_eq(&format!("{:?}", Capabilities::used_by(&Btf::parse(&bytes).unwrap())));
}

/// What compilers write and no kernel takes.
fn unlinked() -> Vec<u8> {
    let mut w = Writer::new(Endian::Little);
    let char = w.int("char", 1, 1);
    let constant = w.add("", CONST, 0, 0, &[]);
    let symbol = w.add("jiffies", VAR, 0, constant, &[2]);
    let config = w.add("CONFIG_HZ", VAR, 0, char, &[2]);
    let name = w.string("with");
    let proto = w.add("", FUNC_PROTO, 3, char, &[0, char, name, char, 0, 0]);
    let func = w.add("bpf_kfunc", FUNC, 2, proto, &[]);
    w.add(".ksyms", DATASEC, 2, 0, &[symbol, 0, 0, func, 0, 0]);
    w.add(".kconfig", DATASEC, 1, 0, &[config, 0, 1]);
    w.add("Vec<T, 3>", STRUCT, 0, 0, &[]);
    w.add("0", TYPEDEF, 0, char, &[]);
    w.add("?.struct_ops/x", DATASEC, 1, 1, &[config, 0, 1]);
    w.add("counter.0", VAR, 0, char, &[0]);
    let first = w.add("a", VAR, 0, char, &[0]);
    let second = w.add("b", VAR, 0, char, &[0]);
    w.add(".bss", DATASEC, 2, 9, &[second, 8, 1, first, 4, 1]);
    w.finish()
}

#[test]
fn what_a_linker_would_have_done() {
    let bytes = unlinked();
    let mut out = changes(&bytes, &Capabilities::ALL);
    let old = Capabilities { section_names: false, ..Capabilities::ALL };
    writeln!(out, "without section_names:").unwrap();
    let all = out.clone();
    out.extend(
        changes(&bytes, &old).lines().filter(|line| !all.contains(line)).map(|line| format!("{line}\n")),
    );
    expect![[r#"
        3 Var "jiffies" (size or type 2, 0 entries) size=None Extern
           -> Var "jiffies" (size or type 16, 0 entries) size=Some(4) Global
        4 Var "CONFIG_HZ" (size or type 1, 0 entries) size=Some(1) Extern
           -> Var "CONFIG_HZ" (size or type 1, 0 entries) size=Some(1) Global
        5 FuncProto "" (size or type 1, 3 entries) size=None "":1 "with":1 "":0
           -> FuncProto "" (size or type 1, 3 entries) size=None "arg0":1 "with":1 "":0
        6 Func "bpf_kfunc" (size or type 5, 2 entries) size=None Extern
           -> Func "bpf_kfunc" (size or type 5, 1 entries) size=None Global
        7 Datasec ".ksyms" (size or type 0, 2 entries) size=Some(0) 3@0+0 6@0+0
           -> Datasec ".ksyms" (size or type 8, 2 entries) size=Some(8) 3@0+4 17@4+4
        8 Datasec ".kconfig" (size or type 0, 1 entries) size=Some(0) 4@0+1
           -> Datasec ".kconfig" (size or type 1, 1 entries) size=Some(1) 4@0+1
        9 Struct "Vec<T, 3>" (size or type 0, 0 entries) size=Some(0)
           -> Struct "Vec_T__3_" (size or type 0, 0 entries) size=Some(0)
        10 Typedef "0" (size or type 1, 0 entries) size=Some(1)
           -> Typedef "_0" (size or type 1, 0 entries) size=Some(1)
        12 Var "counter.0" (size or type 1, 0 entries) size=Some(1) Static
           -> Var "counter_0" (size or type 1, 0 entries) size=Some(1) Static
        15 Datasec ".bss" (size or type 9, 2 entries) size=Some(9) 14@8+1 13@4+1
           -> Datasec ".bss" (size or type 9, 2 entries) size=Some(9) 13@4+1 14@8+1
        16 new Int "int" (size or type 4, 0 entries) size=Some(4) bits=32
        17 new Var "extern_function" (size or type 16, 0 entries) size=Some(4) Global
        without section_names:
        11 Datasec "?.struct_ops/x" (size or type 1, 1 entries) size=Some(1) 4@0+1
           -> Datasec "_.struct_ops_x" (size or type 1, 1 entries) size=Some(1) 4@0+1
    "#]]
    .assert_eq(&out);
    // Without data sections they are structs of what is left of the variables.
    assert!(changes(&bytes, &Capabilities::NONE).contains("Struct \"_ksyms\""));
}

#[test]
fn tags_that_are_attributes() {
    let mut w = Writer::new(Endian::Little);
    let int = w.int("int", 4, 1);
    let tag = w.add("address_space(1)", TYPE_TAG | FLAG, 0, int, &[]);
    let ptr = w.add("", PTR, 0, tag, &[]);
    let s = w.composite(STRUCT, "s", 8, &[("p", ptr, 0)]);
    w.add("packed", DECL_TAG | FLAG, 0, s, &[u32::MAX]);
    w.add("plain", DECL_TAG, 0, s, &[u32::MAX]);
    let bytes = w.finish();
    expect![[r#"
        2 TypeTag "address_space(1)" (size or type 1, 0 entries) size=Some(4)
           -> Const "" (size or type 1, 0 entries) size=Some(4)
        5 DeclTag "packed" (size or type 4, 0 entries) size=None
           -> Int "packed" (size or type 1, 0 entries) size=Some(1) bits=8
    "#]]
    .assert_eq(&changes(&bytes, &Capabilities { tag_flags: false, ..Capabilities::ALL }));
}

#[test]
fn layouts_counts_and_unknown_kinds() {
    let mut b = Builder::new(Endian::Big);
    let int = IntEncoding { bits: 32, offset: 0, signed: true, char: false, bool: false };
    b.int("int", 4, int);
    let old = Capabilities { layout: false, ..Capabilities::ALL };
    assert_eq!(sanitize(&b.finish_with_layout(), &Capabilities::ALL), Ok(None));
    assert_eq!(sanitize(&b.finish_with_layout(), &old), Ok(Some(b.finish())));
    // Fields of a header that nobody knows.
    let mut w = Writer::new(Endian::Little);
    w.header_len = 28;
    w.int("int", 4, 1);
    let longer = sanitize(&w.finish(), &Capabilities::ALL).unwrap().unwrap();
    w.header_len = 24;
    assert_eq!(longer, w.finish());
    // Something behind the last section.
    let mut more = w.finish();
    more.push(0);
    assert_eq!(sanitize(&more, &Capabilities::ALL), Ok(Some(w.finish())));

    let mut w = Writer::new(Endian::Little);
    (w.header_len, w.layout) = (32, vec![(0, 0); 31]);
    w.add("new", 30, 0, 0, &[]);
    let bytes = w.finish();
    assert_eq!(sanitize(&bytes, &Capabilities::ALL), Ok(None));
    let many: Vec<_> = (0..70_000).map(|value| ("V", value)).collect();
    b.enumeration("many", 4, false, &many);
    assert_eq!(sanitize(&b.finish(), &Capabilities::ALL), Ok(None));
    let errors = [bytes, b.finish()]
        .map(|bytes| sanitize(&bytes, &Capabilities::NONE).unwrap_err().to_string() + "\n");
    expect![[r#"
        BTF type 1: kind 30 is unknown, so ids and names in it can't be changed; compile without what makes it, or use a newer release of this program
        BTF type 2: 70000 members, values, parameters or variables; this kernel takes 65,535 (Linux 7.2 takes 16,777,215)
    "#]]
    .assert_eq(&errors.concat());
}

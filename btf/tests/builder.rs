//! Writing, changing and deduplicating types; what was written is read back.

mod common;

use btf::*;
use common::every_kind;
use expect_test::expect;
use std::fmt::Write;

const INT: IntEncoding = IntEncoding { bits: 32, offset: 0, signed: true, char: false, bool: false };

fn member(name: &str, type_id: TypeId, bit_offset: u32) -> NewMember<'_> {
    NewMember { name, type_id, bit_offset, bitfield_size: None }
}

/// All types of some data by what their records hold.
fn describe(bytes: &[u8]) -> String {
    let btf = Btf::parse(bytes).unwrap();
    let mut out = String::new();
    for (id, ty) in btf.types() {
        write!(out, "{} {ty:?}", id.0).unwrap();
        ty.members().for_each(|m| write!(out, " {}:{}", m.name, m.type_id.0).unwrap());
        ty.params().for_each(|p| write!(out, " {}:{}", p.name, p.type_id.0).unwrap());
        ty.section_vars().for_each(|v| write!(out, " {}@{}", v.type_id.0, v.offset).unwrap());
        out.push('\n');
    }
    out
}

fn ids(ids: &[TypeId]) -> Vec<u32> {
    ids.iter().map(|id| id.0).collect()
}

#[test]
fn every_kind_is_written_as_it_is_read() {
    for endian in [Endian::Little, Endian::Big] {
        let bytes = every_kind(endian);
        let btf = Btf::parse(&bytes).unwrap();
        assert_eq!(Builder::from_btf(&btf).finish(), bytes);
        // Type by type, through the functions of the builder.
        let mut b = Builder::new(endian);
        for (id, ty) in btf.types() {
            let to = ty.type_id().unwrap_or(TypeId(0));
            let (name, size) = (ty.name(), ty.size().unwrap_or(0));
            let made = match ty.kind() {
                Kind::Int => b.int(name, size, ty.int().unwrap()),
                Kind::Ptr => b.ptr(to),
                Kind::Array => {
                    let array = ty.array().unwrap();
                    b.array(array.element, array.index, array.len)
                }
                Kind::Struct | Kind::Union => {
                    b.composite(ty.kind(), name, size, &ty.members().collect::<Vec<_>>())
                }
                Kind::Enum | Kind::Enum64 => {
                    let values: Vec<_> = ty.enumerators().map(|value| (value.name, value.value)).collect();
                    b.enumeration(name, size, ty.is_signed(), &values)
                }
                Kind::Fwd => b.fwd(name, ty.is_union_fwd()),
                Kind::Typedef => b.typedef(name, to),
                Kind::Volatile | Kind::Const | Kind::Restrict => b.modifier(ty.kind(), to),
                Kind::Func => b.func(name, to, ty.linkage().unwrap()),
                Kind::FuncProto => b.func_proto(
                    to,
                    &ty.params().map(|param| (param.name, param.type_id)).collect::<Vec<_>>(),
                ),
                Kind::Var => b.var(name, to, ty.linkage().unwrap()),
                Kind::Datasec => b.datasec(name, size, &ty.section_vars().collect::<Vec<_>>()),
                Kind::Float => b.float(name, size),
                Kind::DeclTag => b.decl_tag(name, to, ty.component_index().unwrap()),
                Kind::TypeTag => b.type_tag(name, to),
                other => panic!("{other:?} in the test's data"),
            };
            assert_eq!(made, id);
        }
        assert_eq!(describe(&b.finish()), describe(&bytes));
        // With a layout section the same types are read, and dumb tools could skip them.
        let layout = b.finish_with_layout();
        assert_eq!(describe(&layout), describe(&bytes));
        assert_eq!(layout.len(), b.finish().len() + 8 + 4 * 20);
    }
}

#[test]
fn strings_are_kept_once() {
    let mut b = Builder::new(Endian::NATIVE);
    let first = b.string("a_name");
    assert_eq!((b.string(""), b.string("a_name"), b.string("a_name\0and more")), (0, first, first));
    let many: Vec<u32> = (0..1000).map(|number| b.string(&format!("name{number}"))).collect();
    let again: Vec<u32> = (0..1000).map(|number| b.string(&format!("name{number}"))).collect();
    assert_eq!(many, again);
    b.int("int", 4, INT);
    let bytes = b.finish();
    let btf = Btf::parse(&bytes).unwrap();
    assert_eq!((btf.string(first), btf.string(many[999])), (Some("a_name"), Some("name999")));
    // What was read has them too.
    let mut copy = Builder::from_btf(&btf);
    assert_eq!(
        (copy.string("a_name"), copy.string("int")),
        (first, btf.type_by_id(TypeId(1)).unwrap().name_offset())
    );
    assert_eq!(copy.finish(), bytes);
}

#[test]
fn types_are_changed() {
    let bytes = every_kind(Endian::Big);
    let btf = Btf::parse(&bytes).unwrap();
    let id = |name, kind| btf.find(name, kind).unwrap();
    let (data, var, func) = (id(".data", Kind::Datasec), id("counter", Kind::Var), id("do_it", Kind::Func));
    let mut b = Builder::from_btf(&btf);
    let section_var = |offset, size| SectionVar { type_id: var, offset, size };
    assert!(b.set_datasec(data, 4096, &[section_var(0, 4), section_var(8, 4), section_var(16, 4)]));
    assert!(b.set_name(var, "renamed") && b.set_linkage(var, Linkage::Static));
    assert!(b.set_linkage(func, Linkage::Static) && b.set_type(var, TypeId(1)));
    assert!(b.replace(id("double", Kind::Float), |b| b.composite(Kind::Struct, "double", 8, &[])));
    // What does not fit is refused and changes nothing.
    let before = b.finish();
    assert!(
        !b.set_datasec(var, 1, &[]) && !b.set_linkage(data, Linkage::Static) && !b.set_type(data, TypeId(1))
    );
    assert!(
        !b.set_name(TypeId(0), "x") && !b.set_name(TypeId(99), "x") && !b.set_type(TypeId(99), TypeId(1))
    );
    assert!(!b.replace(TypeId(99), |b| b.ptr(TypeId(1))) && !b.replace(TypeId(1), |_| TypeId(1)));
    assert_eq!(describe(&b.finish()), describe(&before));
    let diff: Vec<_> = describe(&before)
        .lines()
        .zip(describe(&bytes).lines())
        .filter(|(new, old)| new != old)
        .map(|(new, old)| format!("{old} -> {new}\n"))
        .collect();
    expect![[r#"
        21 Func "do_it" (size or type 20, 1 entries) -> 21 Func "do_it" (size or type 20, 0 entries)
        22 Var "counter" (size or type 19, 0 entries) -> 22 Var "renamed" (size or type 1, 0 entries)
        23 Datasec ".data" (size or type 16, 1 entries) 22@8 -> 23 Datasec ".data" (size or type 4096, 3 entries) 22@0 22@8 22@16
        24 Float "double" (size or type 8, 0 entries) -> 24 Struct "double" (size or type 8, 0 entries)
    "#]]
    .assert_eq(&diff.concat());
}

#[test]
fn split_types_are_added_to_a_base() {
    let mut base = Builder::new(Endian::Little);
    let int = base.int("int", 4, INT);
    let base = base.finish();
    let base = Btf::parse(&base).unwrap();
    let mut b = Builder::new_split(&base);
    let typedef = b.typedef("mine_t", int);
    b.ptr(typedef);
    b.ptr(int);
    b.ptr(typedef);
    b.ptr(int);
    let bytes = b.finish();
    let split = Btf::parse_split(&bytes, &base).unwrap();
    assert_eq!(split.find("mine_t", Kind::Typedef), Some(TypeId(2)));
    assert_eq!(Builder::from_btf(&split).finish(), bytes);
    let map = b.dedup();
    assert_eq!((ids(&map), b.len()), (vec![0, 1, 2, 3, 4, 3, 4], 3));
    let bytes = b.finish();
    assert_eq!(Btf::parse_split(&bytes, &base).unwrap().size_of(TypeId(4)), Some(8));
    // Appended to other split types on the same base.
    let split = Btf::parse_split(&bytes, &base).unwrap();
    assert_eq!((b.append(&split), b.len()), (Ok(3), 6));
    let bytes = b.finish();
    let both = Btf::parse_split(&bytes, &base).unwrap();
    assert_eq!(both.type_by_id(TypeId(6)).unwrap().type_id(), Some(TypeId(5)));
    assert_eq!(both.type_by_id(TypeId(7)).unwrap().type_id(), Some(int));
}

#[test]
fn unknown_kinds_are_kept_and_not_rewritten() {
    let mut w = common::Writer::new(Endian::Little);
    w.header_len = 32;
    w.layout = vec![(0, 0); 30];
    w.layout[29] = (3, 0);
    w.int("int", 4, 1);
    w.add("new", 29, 0, 1, &[]);
    let mut bytes = w.finish();
    // A record of 15 bytes: three more after the last, and all that counts them.
    let strings = bytes.len() - "\0int\0new\0".len();
    let (types, layout) = (16 + 12, 4 * 30);
    assert_eq!(strings, 32 + types + layout);
    bytes.splice(
        32 + types..32 + types + layout,
        [1, 2, 3, 0].into_iter().chain(vec![0; 4 * 29]).chain([3, 0, 0, 0]),
    );
    for (at, value) in [(12, types + 3), (16, types + 4 + layout), (24, types + 4)] {
        bytes[at..at + 4].copy_from_slice(&(value as u32).to_le_bytes());
    }
    let btf = Btf::parse(&bytes).unwrap();
    assert_eq!(btf.type_by_id(TypeId(2)).unwrap().extra_bytes(), [1, 2, 3]);
    let mut b = Builder::from_btf(&btf);
    assert_eq!(ids(&b.dedup()), [0, 1, 2]);
    assert_eq!(describe(&b.finish()), describe(&bytes));
    let error = b.append(&btf).unwrap_err().to_string();
    expect!["BTF type 2: kind 29 is unknown, so ids and names in it can't be changed; compile without what makes it, or use a newer release of this program"].assert_eq(&error);
}

/// A list node: `struct list { struct list *next; int value; }`, as every source file has it.
fn list(b: &mut Builder, value: &str) -> TypeId {
    let int = b.int("int", 4, INT);
    let this = TypeId(b.next_id().0 + 1);
    let ptr = b.ptr(this);
    b.composite(Kind::Struct, "list", 16, &[member("next", ptr, 0), member(value, int, 64)])
}

#[test]
fn cycles_become_one() {
    let mut b = Builder::new(Endian::NATIVE);
    let lists = [list(&mut b, "value"), list(&mut b, "value"), list(&mut b, "other")];
    let map = b.dedup();
    assert_eq!(map[lists[0].0 as usize], map[lists[1].0 as usize]);
    assert_ne!(map[lists[0].0 as usize], map[lists[2].0 as usize]);
    expect![[r#"
        1 Int "int" (size or type 4, 0 entries)
        2 Ptr "" (size or type 3, 0 entries)
        3 Struct "list" (size or type 16, 2 entries) next:2 value:1
        4 Ptr "" (size or type 5, 0 entries)
        5 Struct "list" (size or type 16, 2 entries) next:4 other:1
    "#]]
    .assert_eq(&describe(&b.finish()));
    // There is nothing left to do.
    let before = b.finish();
    assert!(b.dedup().iter().zip(0..).all(|(id, old)| id.0 == old));
    assert_eq!(b.finish(), before);
}

#[test]
fn forward_declarations_become_definitions() {
    let mut b = Builder::new(Endian::NATIVE);
    let int = b.int("int", 4, INT);
    // One file knows `struct inner` by name only, the other all of it.
    let declared = b.fwd("inner", false);
    let to_declared = b.ptr(declared);
    let first = b.composite(Kind::Struct, "outer", 8, &[member("inner", to_declared, 0)]);
    let inner = b.composite(Kind::Struct, "inner", 4, &[member("x", int, 0)]);
    let to_inner = b.ptr(inner);
    let second = b.composite(Kind::Struct, "outer", 8, &[member("inner", to_inner, 0)]);
    // Declared as something else, and defined nowhere.
    let union = b.fwd("inner", true);
    let nowhere = b.fwd("nowhere", false);
    let empty = b.enumeration("color", 4, false, &[]);
    let full = b.enumeration("color", 4, false, &[("RED", 0)]);
    let map = b.dedup();
    let new = |id: TypeId| map[id.0 as usize];
    assert_eq!((new(declared), new(to_declared), new(first)), (new(inner), new(to_inner), new(second)));
    assert_eq!(new(empty), new(full));
    assert_ne!(new(union), new(inner));
    let text = describe(&b.finish());
    assert!(
        text.contains("Fwd \"inner\"") && text.contains("Fwd \"nowhere\"") && new(nowhere).0 != 0,
        "{text}"
    );
    expect![[r#"
        1 Int "int" (size or type 4, 0 entries)
        2 Ptr "" (size or type 4, 0 entries)
        3 Struct "outer" (size or type 8, 1 entries) inner:2
        4 Struct "inner" (size or type 4, 1 entries) x:1
        5 Fwd "inner" (size or type 0, 0 entries)
        6 Fwd "nowhere" (size or type 0, 0 entries)
        7 Enum "color" (size or type 4, 1 entries)
    "#]]
    .assert_eq(&text);
}

#[test]
fn ambiguous_declarations_stay() {
    let mut b = Builder::new(Endian::NATIVE);
    let int = b.int("int", 4, INT);
    // Two files have a `struct private` of their own, a third only hears of one; so its `struct holder` differs too.
    let private = ["x", "y"].map(|name| b.composite(Kind::Struct, "private", 4, &[member(name, int, 0)]));
    let declared = b.fwd("private", false);
    let holders = [private[0], private[1], declared].map(|target| {
        let ptr = b.ptr(target);
        b.composite(Kind::Struct, "holder", 8, &[member("private", ptr, 0)])
    });
    // A declaration of what is ambiguous by reference only.
    let holder = b.fwd("holder", false);
    let map = b.dedup();
    let new: Vec<u32> = [private[0], private[1], declared, holders[0], holders[1], holders[2], holder]
        .map(|id| map[id.0 as usize].0)
        .to_vec();
    assert_eq!(new, [2, 3, 4, 6, 8, 10, 11]);
}

#[test]
fn things_stay_apart() {
    let mut b = Builder::new(Endian::NATIVE);
    let int = b.int("int", 4, INT);
    let vars = [0, 1].map(|_| b.var("counter", int, Linkage::Static));
    let sections = vars.map(|type_id| b.datasec(".bss", 4, &[SectionVar { type_id, offset: 0, size: 4 }]));
    let tags = vars.map(|var| b.decl_tag("tag", var, -1));
    let protos = [int, TypeId(0), int].map(|ty| b.func_proto(ty, &[("a", int)]));
    let funcs = protos.map(|proto| b.func("f", proto, Linkage::Static));
    let map = b.dedup();
    let new = |id: TypeId| map[id.0 as usize].0;
    assert_eq!((vars.map(new), sections.map(new), tags.map(new)), ([2, 3], [4, 5], [6, 7]));
    assert_eq!((protos.map(new), funcs.map(new)), ([8, 9, 8], [10, 11, 10]));
}

/// Shapes that make simple ways of comparing take forever.
#[test]
fn bombs_are_bounded() {
    let start = std::time::Instant::now();
    for twin in [false, true] {
        let mut b = Builder::new(Endian::NATIVE);
        let int = b.int("int", 4, INT);
        for _ in 0..=usize::from(twin) {
            // A chain of pointers, and structs that have all of them as members.
            let mut last = int;
            let chain: Vec<_> = (0..20_000)
                .map(|_| {
                    last = b.ptr(last);
                    member("", last, 0)
                })
                .collect();
            for _ in 0..3 {
                b.composite(Kind::Struct, "all", 8, &chain);
            }
            // A ring of structs, each with the next twice.
            let first = b.next_id().0;
            for at in 0..20_000 {
                let next = TypeId(first + (at + 1) % 20_000);
                b.composite(Kind::Struct, "ring", 8, &[member("a", next, 0), member("b", next, 32)]);
            }
        }
        b.dedup();
        // Every element of the ring is the same as every other.
        assert_eq!(b.len(), 1 + 20_000 + 1 + 1);
    }
    assert!(start.elapsed().as_secs() < 60, "{:?}", start.elapsed());
}

//! Maps, kernel operations and externs that are defined by types: what they come to, and what is wrong with them.

mod elf_bytes;

use asm::Insn;
use btf::{Builder, Endian, IntEncoding, Kind, Linkage, NewMember, SectionVar, TypeId};
use elf_bytes::*;
use expect_test::{Expect, expect};
use loader::{ExternKind, MapSpec, Object, SlotTarget};

const MOV: Insn = Insn { opcode: 0xb7, regs: 0, off: 0, imm: 0 };
const EXIT: Insn = Insn { opcode: 0x95, regs: 0, off: 0, imm: 0 };

/// A file and its types.
struct Source {
    file: File,
    types: Builder,
    int: TypeId,
}

/// A field of a definition.
enum Field {
    /// `__uint(NAME, NUMBER)`
    Number(&'static str, u32),
    /// `__ulong(NAME, NUMBER)`
    Long(&'static str, i64),
    /// `__type(NAME, TYPE)`
    Type(&'static str, TypeId),
    /// The type itself.
    Plain(&'static str, TypeId),
}
use Field::*;

impl Source {
    /// With a program in section 1.
    fn new(section: &'static str) -> Source {
        let mut file = File::default();
        let code = file.code(section, &[MOV, EXIT]);
        file.func("main", code, 0, 2);
        let mut types = Builder::new(Endian::Little);
        let encoding = IntEncoding { bits: 32, offset: 0, signed: true, char: false, bool: false };
        let int = types.int("int", 4, encoding);
        Source { file, types, int }
    }

    fn structure(&mut self, name: &str, fields: &[Field]) -> TypeId {
        let mut members = Vec::new();
        for (nth, field) in fields.iter().enumerate() {
            let (name, type_id) = match field {
                Number(name, number) => {
                    let array = self.types.array(self.int, self.int, *number);
                    (name, self.types.ptr(array))
                }
                Long(name, number) => (name, self.types.enumeration("", 8, false, &[("only", *number)])),
                Type(name, ty) => (name, self.types.ptr(*ty)),
                Plain(name, ty) => (name, *ty),
            };
            members.push(NewMember { name, type_id, bit_offset: nth as u32 * 64, bitfield_size: None });
        }
        self.types.composite(Kind::Struct, name, members.len() as u32 * 8, &members)
    }

    /// `__array(values, TYPE)` of pointers to a type.
    fn values(&mut self, of: TypeId) -> Field {
        let pointer = self.types.ptr(of);
        Plain("values", self.types.array(pointer, self.int, 0))
    }

    /// A section of variables of these types, `size` bytes each.
    fn section(&mut self, name: &'static str, vars: &[(&'static str, TypeId)], size: u32) -> u16 {
        let data = vec![0; vars.len() * size as usize];
        let section = self.file.section(name, PROGBITS, ALLOC | WRITE, data);
        let mut list = Vec::new();
        for (nth, (name, ty)) in vars.iter().enumerate() {
            let offset = nth as u32 * size;
            self.file.symbol(name, section, u64::from(offset), u64::from(size), OBJECT, GLOBAL);
            let type_id = self.types.var(name, *ty, Linkage::Global);
            // The compiler does not know where variables that others see lie.
            list.push(SectionVar { type_id, offset: 0, size });
        }
        self.types.datasec(name, 0, &list);
        section
    }

    fn parse(&mut self) -> loader::Result<Object> {
        let mut file = self.file.clone();
        file.section(".BTF", PROGBITS, 0, self.types.finish());
        Object::parse("definitions", &file.bytes())
    }

    fn fails(&mut self, expected: Expect) {
        match self.parse() {
            Ok(object) => panic!("{object:?}"),
            Err(error) => expected.assert_eq(&error.to_string()),
        }
    }
}

/// The only map, of this definition.
fn map(fields: impl FnOnce(&mut Source) -> Vec<Field>) -> loader::Result<MapSpec> {
    let mut source = Source::new("socket");
    let fields = fields(&mut source);
    let definition = source.structure("", &fields);
    source.section(".maps", &[("m", definition)], 1024);
    source.parse().map(|object| object.maps[0].clone())
}

fn map_fails(fields: impl FnOnce(&mut Source) -> Vec<Field>, expected: Expect) {
    expected.assert_eq(&map(fields).unwrap_err().to_string());
}

#[test]
fn fields_of_definitions() {
    let spec = map(|source| {
        vec![
            Number("type", 1),
            Type("key", source.int),
            Number("key_size", 4),
            Number("value_size", 24),
            Number("max_entries", 7),
            Number("map_flags", 4),
            Number("numa_node", 1),
            Long("map_extra", 1 << 40),
            Number("pinning", 1),
        ]
    })
    .unwrap();
    let numbers = (spec.key_size, spec.value_size, spec.max_entries, spec.flags.bits(), spec.numa_node);
    assert_eq!(numbers, (4, 24, 7, 4, 1));
    assert_eq!((spec.map_extra, spec.pinning), (1 << 40, loader::Pinning::ByName));
    assert_eq!((spec.key_type, spec.value_type), (Some(TypeId(1)), None));
}

#[test]
fn definitions_that_contradict_themselves() {
    map_fails(
        |_| vec![Number("max_entries", 1)],
        expect!["map `m`: the definition does not say of which type; add `__uint(type, BPF_MAP_TYPE_…)`"],
    );
    map_fails(
        |_| vec![Number("type", 1), Number("max_entires", 1)],
        expect![
            "map `m`: the field `max_entires` is unknown; there are type, max_entries, map_flags, map_extra, numa_node, key_size, key, value_size, value, values and pinning"
        ],
    );
    map_fails(
        |source| vec![Number("type", 1), Number("key_size", 8), Type("key", source.int)],
        expect!["map `m`: the key has 8 bytes by one field and 4 by another; leave out one of them"],
    );
    map_fails(
        |source| vec![Plain("type", source.int)],
        expect!["map `m`: `type` is no number; write `__uint(type, NUMBER)`"],
    );
    map_fails(
        |source| vec![Number("type", 1), Plain("key", source.int)],
        expect!["map `m`: `key` is no type; write `__type(key, TYPE)`"],
    );
    map_fails(
        |_| vec![Number("type", 1), Type("key", TypeId(0))],
        expect!["map `m`: the type of `key` has no size, or none that fits 32 bits"],
    );
    map_fails(
        |_| vec![Number("type", 1), Number("pinning", 2)],
        expect!["map `m`: pinning 2 is unknown; LIBBPF_PIN_BY_NAME is 1"],
    );
    map_fails(
        |_| vec![Number("type", 1), Number("", 2)],
        expect!["map `m`: field 1 has no name; the types are damaged"],
    );
    map_fails(
        |source| vec![Number("type", 1), source.values(TypeId(1))],
        expect!["map `m`: `values` is for maps of maps and of programs; put `type` before it"],
    );
    map_fails(
        |source| vec![source.values(TypeId(1)), Number("type", 12)],
        expect!["map `m`: `values` must be the last field of the definition"],
    );
    map_fails(
        |source| vec![Number("type", 12), source.values(TypeId(1))],
        expect!["map `m`: `values` is no array of maps; write `__array(values, struct { … })`"],
    );
    map_fails(
        |source| vec![Number("type", 3), source.values(TypeId(1))],
        expect!["map `m`: `values` is no array of functions; write `__array(values, int (void *))`"],
    );
    map_fails(
        |source| vec![Number("type", 12), source.values(TypeId(1)), Number("key_size", 4)],
        expect!["map `m`: `values` must be the last field of the definition"],
    );
    map_fails(
        |source| vec![Number("type", 12), Number("value_size", 8), source.values(TypeId(1))],
        expect!["map `m`: the value has 8 bytes by one field and 4 by another; leave out one of them"],
    );
    map_fails(
        |source| {
            let inner = source.structure("", &[Number("type", 2), Number("pinning", 1)]);
            vec![Number("type", 12), source.values(inner)]
        },
        expect!["map `m.inner`: the inner map cannot be pinned; leave out `pinning`"],
    );
    map_fails(
        |source| {
            let innermost = source.structure("", &[Number("type", 2)]);
            let values = source.values(innermost);
            let inner = source.structure("", &[Number("type", 12), values]);
            vec![Number("type", 12), source.values(inner)]
        },
        expect!["map `m.inner`: maps of maps of maps are nothing that the kernel has"],
    );
    map_fails(
        |_| (0..65).map(|_| Number("type", 1)).collect(),
        expect!["map `m`: the definition has 65 fields, where there are 64 at most"],
    );

    let mut source = Source::new("socket");
    let int = source.int;
    source.section(".maps", &[("m", int)], 4);
    source.fails(expect![[
        r#"map `m`: a map is defined by a struct: `struct { __uint(type, …); … } name SEC(".maps")`"#
    ]]);
    let mut source = Source::new("socket");
    let definition = source.structure("", &[Number("type", 1)]);
    source.section(".maps", &[("m", definition)], 4);
    source.fails(expect!["map `m`: the variable is smaller than its type; the types are damaged"]);
}

/// A map of maps and an array of programs, and a map to put into them.
fn outer(map_type: u32, key_size: u32) -> (Source, u16) {
    let mut source = Source::new("socket");
    let plain = source.structure("", &[Number("type", 2), Number("key_size", 4)]);
    let values = source.values(plain);
    let outer = source.structure("", &[Number("type", map_type), Number("key_size", key_size), values]);
    let proto = source.types.func_proto(source.int, &[]);
    let values = source.values(proto);
    let programs = source.structure("", &[Number("type", 3), Number("key_size", 4), values]);
    let maps = source.section(".maps", &[("outer", outer), ("programs", programs), ("plain", plain)], 64);
    (source, maps)
}

// Symbols of `outer`: the program, and the three maps.
const MAIN: u32 = 1;
const PLAIN: u32 = 4;

#[test]
fn entries_are_put_into_maps() {
    let (mut source, maps) = outer(12, 4);
    // `values` begins behind two fields.
    source.file.relocations(maps, &[(64 + 16 + 8, MAIN, 2), (16 + 24, PLAIN, 2), (16, PLAIN, 2)]);
    let object = source.parse().unwrap();
    let slots = |map: usize| -> Vec<_> {
        object.maps[map].slots.iter().map(|slot| (slot.index, slot.target)).collect()
    };
    assert_eq!(slots(0), [(0, SlotTarget::Map(2)), (3, SlotTarget::Map(2))]);
    assert_eq!(slots(1), [(1, SlotTarget::Program(0))]);
    let inner = object.maps[0].inner.as_ref().unwrap();
    assert_eq!((inner.name.as_str(), inner.key_size), ("outer.inner", 4));
    assert_eq!((object.maps[0].value_size, object.maps[1].value_size), (4, 4));
}

#[test]
fn entries_that_fit_nowhere() {
    let fails = |map_type, key_size, entry: (u64, u32, u32), expected: Expect| {
        let (mut source, maps) = outer(map_type, key_size);
        source.file.relocations(maps, &[entry]);
        source.fails(expected);
    };
    fails(
        12,
        4,
        (16, MAIN, 2),
        expect![
            "map `outer`: `main` at byte 0x10 of `.maps` is no map of section `.maps`, and only such maps can be put into a map of maps"
        ],
    );
    fails(
        12,
        4,
        (64 + 16, PLAIN, 2),
        expect![
            "map `programs`: `plain` at byte 0x50 of `.maps` is no program: a subprogram cannot be put into an array of programs; give it a `SEC()`"
        ],
    );
    fails(
        12,
        4,
        (128 + 16, PLAIN, 2),
        expect![
            "map `plain`: `plain` at byte 0x90 of `.maps` is put into a map that has no field `values`; add `__array(values, …)`"
        ],
    );
    fails(
        12,
        4,
        (8, PLAIN, 2),
        expect![
            "map `outer`: `plain` at byte 0x8 of `.maps` lies in no entry of `values`; the file is damaged, compile it again"
        ],
    );
    fails(
        12,
        4,
        (20, PLAIN, 2),
        expect![
            "map `outer`: `plain` at byte 0x14 of `.maps` lies in no entry of `values`; the file is damaged, compile it again"
        ],
    );
    fails(
        12,
        4,
        (1000, PLAIN, 2),
        expect!["section .maps+0x3e8: `plain` is put where no map is; the file is damaged"],
    );
    fails(
        13,
        8,
        (16, PLAIN, 2),
        expect![
            "map `outer`: `plain` at byte 0x10 of `.maps` can only be put into a map whose keys have 4 bytes; add it when the map is there"
        ],
    );
}

/// `struct tcp_ops` with a member for a function, as a variable in `.struct_ops`.
fn operations(program: &'static str) -> (Source, u16) {
    let mut source = Source::new(program);
    let proto = source.types.func_proto(source.int, &[]);
    let operations = source.structure("tcp_ops", &[Type("init", proto), Type("release", proto)]);
    let section = source.section(".struct_ops.link", &[("ops", operations)], 16);
    (source, section)
}

#[test]
fn kernel_operations() {
    let (mut source, section) = operations("struct_ops/whatever");
    source.file.relocations(section, &[(8, MAIN, 2)]);
    let object = source.parse().unwrap();
    let ops = object.maps[0].struct_ops.as_ref().unwrap();
    assert_eq!((ops.type_name.as_str(), ops.link, ops.funcs.as_slice()), ("tcp_ops", true, &[(8, 0)][..]));
    let attach = &object.programs[0].attach;
    assert_eq!(*attach, loader::AttachTarget::StructOps { member: "release".to_owned() });

    let (mut source, section) = operations("kprobe/f");
    source.file.relocations(section, &[(8, MAIN, 2)]);
    source.fails(expect!["program `main`: is put into `release` of the kernel operations `ops`, and its section is `kprobe/f`; it must be `struct_ops/release`"]);
    let (mut source, section) = operations("struct_ops");
    source.file.relocations(section, &[(4, MAIN, 2)]);
    source.fails(expect![
        "section .struct_ops.link+0x4: `main` is put where `struct tcp_ops` has no member; compile it again"
    ]);
    let (mut source, section) = operations("struct_ops");
    source.file.relocations(section, &[(0, 2, 2)]);
    source.fails(expect![[r#"section .struct_ops.link+0x0: `ops`, which `init` of `ops` points to, is no program; give it `SEC("struct_ops/init")`"#]]);
    let mut source = Source::new("struct_ops");
    let nameless = source.structure("", &[]);
    source.section("?.struct_ops", &[("ops", nameless)], 8);
    source.fails(expect!["map `ops`: the struct has no name, by which the kernel would know it"]);
}

/// Declares something in a section of externs.
fn declare(source: &mut Source, section: &str, names: &[(&'static str, TypeId, u8)]) {
    let mut vars = Vec::new();
    for (name, ty, bind) in names {
        source.file.symbol(name, 0, 0, 0, NOTYPE, *bind);
        let type_id = source.types.var(name, *ty, Linkage::Extern);
        let size = 4;
        vars.push(SectionVar { type_id, offset: 0, size });
    }
    source.types.datasec(section, 0, &vars);
}

#[test]
fn configuration_lies_where_libbpf_puts_it() {
    let mut source = Source::new("socket");
    let encoding = IntEncoding { bits: 64, offset: 0, signed: false, char: false, bool: false };
    let long = source.types.int("long", 8, encoding);
    let encoding = IntEncoding { bits: 8, offset: 0, signed: false, char: true, bool: false };
    let char = source.types.int("char", 1, encoding);
    let (int, text) = (source.int, source.types.array(char, source.int, 5));
    let names = [
        ("CONFIG_B", char, GLOBAL),
        ("CONFIG_TEXT", text, GLOBAL),
        ("CONFIG_INT", int, WEAK),
        ("CONFIG_A", char, GLOBAL),
        ("CONFIG_LONG", long, GLOBAL),
    ];
    declare(&mut source, ".kconfig", &names);
    let object = source.parse().unwrap();
    let places: Vec<_> = object
        .externs
        .iter()
        .map(|entry| match entry.kind {
            ExternKind::Kconfig { offset, size, .. } => (entry.name.as_str(), offset, size, entry.weak),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(
        places,
        [
            ("CONFIG_LONG", 0, 8, false),
            ("CONFIG_INT", 8, 4, true),
            ("CONFIG_A", 12, 1, false),
            ("CONFIG_B", 13, 1, false),
            ("CONFIG_TEXT", 14, 5, false),
        ]
    );
    assert_eq!(object.maps[0].value_size, 19);
    let btf = object.btf().unwrap();
    let datasec = btf.type_by_id(object.maps[0].value_type.unwrap()).unwrap();
    assert_eq!(datasec.size(), Some(19));
    assert_eq!(datasec.section_vars().map(|var| var.offset).collect::<Vec<_>>(), [0, 8, 12, 13, 14]);
}

#[test]
fn kernel_symbols_are_declared_as_a_kernel_takes_them() {
    let mut source = Source::new("socket");
    let int = source.int;
    let constant = source.types.modifier(Kind::Const, TypeId(0));
    let runqueue = source.structure("rq", &[]);
    let alias = source.types.typedef("rq_t", runqueue);
    declare(&mut source, ".ksyms", &[("runqueues", alias, WEAK), ("init_task", constant, GLOBAL)]);
    let object = source.parse().unwrap();
    let kinds: Vec<_> = object.externs.iter().map(|entry| (entry.name.as_str(), entry.kind)).collect();
    assert_eq!(
        kinds,
        [("init_task", ExternKind::KsymUntyped), ("runqueues", ExternKind::KsymTyped(runqueue)),]
    );
    let btf = object.btf().unwrap();
    let datasec = btf.types().find(|(_, ty)| ty.name() == ".ksyms").unwrap().1;
    assert_eq!(datasec.size(), Some(8));
    for var in datasec.section_vars() {
        let ty = btf.type_by_id(var.type_id).unwrap();
        assert_eq!((ty.type_id(), ty.linkage(), var.size), (Some(int), Some(Linkage::Global), 4));
    }
}

#[test]
fn externs_that_nobody_provides() {
    let mut source = Source::new("socket");
    source.file.symbol("nowhere", 0, 0, 0, NOTYPE, GLOBAL);
    source.fails(expect!["extern `nowhere`: nothing defines it and the types do not declare it; declare it `extern … __ksym` (kernel symbol) or `extern … __kconfig`, or define it"]);
    let mut source = Source::new("socket");
    let int = source.int;
    declare(&mut source, ".other", &[("elsewhere", int, GLOBAL)]);
    source.fails(expect![
        "extern `elsewhere`: is declared in section `.other`; only `.ksyms` and `.kconfig` are known"
    ]);
    let mut source = Source::new("socket");
    declare(&mut source, ".kconfig", &[("CONFIG_VOID", TypeId(0), GLOBAL)]);
    source.fails(expect!["extern `CONFIG_VOID`: its type has no size that a configuration value may have"]);
    let mut source = Source::new("socket");
    declare(&mut source, ".ksyms", &[("bad", TypeId(4711), GLOBAL)]);
    source.fails(expect!["extern `bad`: its type 4711 does not exist; compile it again"]);
    let mut source = Source::new("socket");
    let proto = source.types.func_proto(source.int, &[]);
    source.types.func("other_object", proto, Linkage::Extern);
    source.file.symbol("other_object", 0, 0, 0, NOTYPE, GLOBAL);
    source.fails(expect!["extern `other_object`: nothing defines it; link the object that does (`bpftool gen object`), or declare it `__ksym` if it is the kernel's"]);
}

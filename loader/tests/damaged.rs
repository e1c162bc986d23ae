//! Objects that are damaged, or that ask for what there is not: what is said about them.

mod elf_bytes;
mod exercise;

use asm::Insn;
use elf_bytes::*;
use expect_test::{Expect, expect};
use loader::{MapKind, Object};
use proptest::prelude::*;

const OBJECTS: [&[u8]; 3] =
    [include_bytes!("data/linking.o"), include_bytes!("data/linked.o"), include_bytes!("data/arena.o")];

const MOV: Insn = Insn { opcode: 0xb7, regs: 0, off: 0, imm: 0 };
const EXIT: Insn = Insn { opcode: 0x95, regs: 0, off: 0, imm: 0 };
const LD_IMM64: Insn = Insn { opcode: 0x18, regs: 1, off: 0, imm: 0 };
const SECOND: Insn = Insn { opcode: 0, regs: 0, off: 0, imm: 0 };

fn call(imm: i32) -> Insn {
    Insn::new(0x85, 0, 1, 0, imm)
}

/// A file with a program of these instructions.
fn program(insns: &[Insn]) -> File {
    let mut file = File::default();
    let section = file.code("socket", insns);
    file.func("main", section, 0, insns.len() as u64);
    file
}

fn fails(file: &File, expected: Expect) {
    bytes_fail(&file.bytes(), expected);
}

fn bytes_fail(bytes: &[u8], expected: Expect) {
    match Object::parse("damaged", bytes) {
        Ok(object) => panic!("{object:?}"),
        Err(error) => expected.assert_eq(&error.to_string()),
    }
}

#[test]
fn what_is_no_object() {
    bytes_fail(
        b"",
        expect!["ELF: 0 bytes are too few for a header; the file is damaged or cut short, compile it again"],
    );
    bytes_fail(
        b"\x7fELF",
        expect![
            "ELF: Invalid ELF header size or alignment; the file is damaged or cut short, compile it again"
        ],
    );
    bytes_fail(
        b"#include <linux/bpf.h>",
        expect![
            "ELF: the file does not begin with the ELF magic; give an object that clang made with `-target bpf -c`"
        ],
    );
    fails(
        &File { machine: Some(62), ..program(&[MOV, EXIT]) },
        expect!["ELF: the file is for x86-64, not for BPF; compile it with `clang -target bpf -g -O2`"],
    );
    let mut executable = program(&[MOV, EXIT]).bytes();
    executable[16] = 2;
    bytes_fail(
        &executable,
        expect![
            "ELF: the file is no relocatable object (ET_REL); give what `clang -c` or `bpftool gen object` made"
        ],
    );
    let mut narrow = program(&[MOV, EXIT]).bytes();
    narrow[4] = 1;
    bytes_fail(
        &narrow,
        expect![
            "ELF: a 32-bit file for bpf, where BPF objects have 64 bits; compile with `clang -target bpf`"
        ],
    );
}

#[test]
fn files_that_end_too_early() {
    let whole = program(&[MOV, EXIT]).bytes();
    bytes_fail(
        &whole[..63],
        expect![
            "ELF: Invalid ELF header size or alignment; the file is damaged or cut short, compile it again"
        ],
    );
    bytes_fail(
        &whole[..100],
        expect![
            "ELF: Invalid ELF section header offset/size/alignment; the file is damaged or cut short, compile it again"
        ],
    );
    for bytes in OBJECTS {
        for len in (0..bytes.len()).step_by(7) {
            assert!(Object::parse("short", &bytes[..len]).is_err(), "{len} of {} bytes", bytes.len());
        }
    }
}

#[test]
fn sections_that_lie() {
    let mut file = program(&[MOV, EXIT]);
    file.sections[0].size = Some(1 << 40);
    fails(
        &file,
        expect![
            "section socket+0x0: 1099511627776 bytes at 0x40 of the file do not lie in its 416 bytes; the file is damaged or cut short, compile it again"
        ],
    );
    // Each section on its own would fit.
    let mut file = program(&[MOV, EXIT]);
    for _ in 0..20 {
        file.section(".data.more", PROGBITS, ALLOC | WRITE, vec![]);
        file.sections.last_mut().unwrap().size = Some(200);
    }
    fails(
        &file,
        expect![
            "ELF: section 11 (`.data.more`) overlaps with others; the file is damaged or cut short, compile it again"
        ],
    );
    let mut file = program(&[MOV, EXIT]);
    file.section(".bss", NOBITS, ALLOC | WRITE, vec![]);
    file.sections.last_mut().unwrap().size = Some(1 << 33);
    fails(&file, expect!["section .bss+0x0: 8589934592 bytes of variables; a map takes less than 4 GiB"]);
    // As much as a map takes costs nothing until it is loaded.
    file.sections.last_mut().unwrap().size = Some(0x7fff_0000);
    let object = Object::parse("large", &file.bytes()).unwrap();
    assert_eq!((object.maps[0].kind, object.maps[0].value_size), (MapKind::Bss, 0x7fff_0000));
    assert_eq!(object.maps[0].data, None);
    let mut file = program(&[MOV, EXIT]);
    file.section("version", PROGBITS, ALLOC | WRITE, vec![1, 2, 3]);
    fails(&file, expect!["section version+0x0: the version has 3 bytes instead of 4; take the section away"]);
    let mut file = program(&[MOV, EXIT]);
    file.section("license", PROGBITS, ALLOC | WRITE, b"G\xffL\0".to_vec());
    fails(
        &file,
        expect![[
            r#"section license+0x1: the licence is not UTF-8; write `char LICENSE[] SEC("license") = "GPL"`"#
        ]],
    );
}

#[test]
fn functions_that_lie() {
    let mut file = File::default();
    let section = file.code("socket", &[MOV, EXIT]);
    file.symbol("odd", section, 0, 12, FUNC, GLOBAL);
    fails(
        &file,
        expect![
            "section socket+0x0: the function `odd` has 12 bytes, which are no instructions of 8 bytes each; assembler code needs `.size odd, .-odd`"
        ],
    );
    let mut file = File::default();
    let section = file.code("socket", &[MOV, EXIT]);
    file.func("long", section, 1, 2);
    fails(
        &file,
        expect![
            "section socket+0x8: the function `long` of 16 bytes goes past the section's 16; the file is damaged, compile it again"
        ],
    );
    let mut file = File::default();
    let section = file.code("socket", &[MOV, EXIT]);
    file.symbol("unnamed", section, 0, 16, FUNC, LOCAL);
    fails(
        &file,
        expect![
            "section socket+0x0: the program `unnamed` is static, so that nobody can name it; take the `static` away"
        ],
    );
    fails(
        &program(&[call(5), EXIT]),
        expect![
            "program `main`, instruction 0: `main` needs the function at instruction 6 of its section, where none begins; compile it again"
        ],
    );
    fails(
        &program(&[call(-9), EXIT]),
        expect![
            "program `main`, instruction 0: `main` needs the function at instruction -8 of its section, where none begins; compile it again"
        ],
    );
}

#[test]
fn relocations_to_nothing() {
    let mut file = program(&[LD_IMM64, SECOND, EXIT]);
    file.relocations(1, &[(0, 99, 1)]);
    fails(
        &file,
        expect![
            "section socket+0x0: the relocation names symbol 99, of 2; the file is damaged, compile it again"
        ],
    );
    file.stripped = true;
    fails(
        &file,
        expect!["ELF: there is no symbol table; the file was stripped of it: `llvm-strip -g` leaves it"],
    );

    let relocated = |insns: &[Insn], entry: (u64, u32, u32), symbol: Option<Symbol>| {
        let mut file = program(insns);
        file.section(".notes", PROGBITS, ALLOC, vec![0; 8]);
        file.symbols.extend(symbol);
        file.relocations(1, &[entry]);
        file
    };
    let symbol =
        |section, value| Some(Symbol { name: "thing", section, value, size: 8, kind: OBJECT, bind: GLOBAL });
    let load = [LD_IMM64, SECOND, EXIT];
    // In a section that is none of maps or variables; common; absolute; nowhere.
    fails(
        &relocated(&load, (0, 2, 1), symbol(2, 0)),
        expect![
            "section socket+0x0: in `main`, the relocation against `thing` names something in section `.notes`, which holds neither maps nor variables; put variables into `.data.*`, `.rodata.*` or `.bss.*`"
        ],
    );
    fails(
        &relocated(&load, (0, 2, 1), symbol(0xfff2, 0)),
        expect![
            "section socket+0x0: in `main`, the relocation against `thing` names no section of the file; define the variable or function, or give the variable a value"
        ],
    );
    fails(
        &relocated(&load, (0, 2, 1), symbol(77, 0)),
        expect![
            "section socket+0x0: in `main`, the relocation against `thing` names no section of the file; define the variable or function, or give the variable a value"
        ],
    );
    let missing = Symbol { name: "missing", section: 0, value: 0, size: 0, kind: NOTYPE, bind: GLOBAL };
    fails(
        &relocated(&load, (0, 2, 1), Some(missing)),
        expect![
            "extern `missing`: nothing defines it, and there is no BTF that says what it is; compile with `-g`"
        ],
    );
    // Places that are no instructions, or the wrong ones.
    fails(
        &relocated(&load, (4, 1, 1), None),
        expect![
            "section socket+0x4: the relocation against `main` is at no instruction; the file is damaged, compile it again"
        ],
    );
    fails(
        &relocated(&load, (800, 1, 1), None),
        expect![
            "section socket+0x320: the relocation against `main` is at no instruction; the file is damaged, compile it again"
        ],
    );
    fails(
        &relocated(&[MOV, EXIT], (0, 1, 1), None),
        expect![
            "section socket+0x0: in `main`, the relocation against `main` is at an instruction (opcode 0xb7) that is neither a call nor a 64-bit load; compile it again"
        ],
    );
    fails(
        &relocated(&[LD_IMM64], (0, 1, 1), None),
        expect![
            "section socket+0x0: in `main`, the relocation against `main` is at a 64-bit load without its second half; the file is damaged, compile it again"
        ],
    );
    fails(
        &relocated(&load, (0, 1, 77), None),
        expect![
            "section socket+0x0: in `main`, the relocation against `main` is of type 77, which is unknown; a newer loader is needed"
        ],
    );
    fails(
        &relocated(&[call(-1), EXIT], (0, 2, 10), symbol(2, 0)),
        expect![
            "section socket+0x0: in `main`, the relocation against `thing` calls something that is no function of the object"
        ],
    );
    fails(
        &relocated(&[call(0), EXIT], (0, 1, 10), None),
        expect![
            "program `main`, instruction 0: `main` needs the function at instruction 1 of its section, where none begins; compile it again"
        ],
    );
    let odd = Insn { imm: 3, ..LD_IMM64 };
    fails(
        &relocated(&[odd, SECOND, EXIT], (0, 1, 1), None),
        expect![
            "section socket+0x0: in `main`, the relocation against `main` is 3 bytes behind, where no instruction begins"
        ],
    );
    // The section that is to be relocated is not there.
    let mut file = program(&load);
    file.relocations(55, &[(0, 1, 1)]);
    fails(&file, expect!["section .rel+0x0: relocates section 55, of 5; the file is damaged"]);
    let mut file = program(&load);
    file.relocations(1, &[]);
    file.sections.last_mut().unwrap().kind = RELA;
    fails(
        &file,
        expect![
            "section .rel+0x0: relocations with addends (SHT_RELA) are nothing that BPF compilers make; compile with clang"
        ],
    );
}

fn legacy(symbols: &[(&'static str, u64)], data: Vec<u8>) -> File {
    let mut file = program(&[LD_IMM64, SECOND, EXIT]);
    let section = file.section("maps", PROGBITS, ALLOC | WRITE, data);
    for (name, value) in symbols {
        file.symbol(name, section, *value, 20, OBJECT, GLOBAL);
    }
    file.relocations(1, &[(0, 2, 1)]);
    file
}

#[test]
fn old_map_definitions() {
    let words = |words: &[u32]| words.iter().flat_map(|word| word.to_le_bytes()).collect::<Vec<u8>>();
    let two = words(&[1, 4, 8, 10, 0, 2, 4, 16, 3, 0x400]);
    let object = Object::parse("old", &legacy(&[("b", 20), ("a", 0)], two.clone()).bytes()).unwrap();
    let maps: Vec<_> = object.maps.iter().map(|m| (m.name.as_str(), m.value_size, m.flags.bits())).collect();
    assert_eq!(maps, [("a", 8, 0), ("b", 16, 0x400)]);
    assert_eq!(object.programs[0].relocs[0].kind, loader::RelocKind::Map(1));
    // Longer definitions, as long as what is behind says nothing.
    let long = words(&[1, 4, 8, 10, 0, 0, 0, 2, 4, 16, 3, 0, 0, 0]);
    let object = Object::parse("old", &legacy(&[("a", 28), ("b", 0)], long.clone()).bytes()).unwrap();
    assert_eq!(object.maps.len(), 2);
    let mut more = long;
    more[24] = 1;
    fails(
        &legacy(&[("a", 28), ("b", 0)], more),
        expect![
            "section maps+0x18: the definition of map `b` sets a field that is not known; define the map in section `.maps`"
        ],
    );
    fails(
        &legacy(&[("a", 0)], two[..16].to_vec()),
        expect!["section maps+0x0: the definition of map `a` has 16 bytes, 20 are the least"],
    );
    fails(
        &legacy(&[("a", 4)], two.clone()),
        expect![
            "section maps+0x18: the definition of map `a` sets a field that is not known; define the map in section `.maps`"
        ],
    );
    fails(
        &legacy(&[("a", 400)], two.clone()),
        expect!["section maps+0x190: the map `a` lies outside the section"],
    );
    fails(
        &legacy(&[], two),
        expect!["section maps+0x0: no symbol names a map; strip with `llvm-strip -g`, which keeps symbols"],
    );
}

#[test]
fn maps_and_types_that_are_missing() {
    let mut file = program(&[MOV, EXIT]);
    file.section(".maps", PROGBITS, ALLOC | WRITE, vec![0; 32]);
    fails(
        &file,
        expect![
            "section .maps+0x0: maps are defined by types here, and BTF has none of them; compile with `clang -g`"
        ],
    );
    let mut file = program(&[MOV, EXIT]);
    file.section(".struct_ops", PROGBITS, ALLOC | WRITE, vec![0; 32]);
    fails(
        &file,
        expect![
            "section .struct_ops+0x0: the types do not say what kernel operations these are; compile with `clang -g`"
        ],
    );
    let mut file = program(&[MOV, EXIT]);
    file.section(".addr_space.1", PROGBITS, ALLOC | WRITE, vec![0; 32]);
    fails(
        &file,
        expect!["section .addr_space.1+0x0: globals of an arena; declare the map itself in section `.maps`"],
    );
    let mut file = program(&[MOV, EXIT]);
    file.section(".BTF", PROGBITS, 0, vec![0; 32]);
    fails(
        &file,
        expect![
            ".BTF: BTF header: magic is 0x0000, not 0xeb9f; this is no BTF (an ELF file keeps it in section .BTF)"
        ],
    );
    let types = exercise::kernel();
    let mut file = program(&[MOV, EXIT]);
    file.section(".BTF", PROGBITS, 0, types.clone());
    file.section(".BTF.ext", PROGBITS, 0, vec![0x9f, 0xeb, 1, 0]);
    fails(
        &file,
        expect![
            ".BTF.ext: .BTF.ext header at offset 0: 24 bytes are needed, 4 are there; the data was cut short"
        ],
    );
    // Types in the other byte order.
    let mut file = File { big: true, ..File::default() };
    let section = file.code("socket", &[MOV, EXIT]);
    file.func("main", section, 0, 2);
    assert_eq!(Object::parse("big", &file.bytes()).unwrap().endian, btf::Endian::Big);
    file.section(".BTF", PROGBITS, 0, types);
    fails(
        &file,
        expect![
            "section .BTF+0x0: the types are Little-endian, the file Big-endian; the file is damaged, compile it again"
        ],
    );
}

#[test]
fn both_byte_orders_say_the_same() {
    let build = |big| {
        let mut file = File { big, ..File::default() };
        let section = file.code("socket", &[LD_IMM64, SECOND, call(1), EXIT, MOV, EXIT]);
        let data = file.section(".data", PROGBITS, ALLOC | WRITE, vec![7; 8]);
        file.func("main", section, 0, 4);
        file.func("sub", section, 4, 2);
        let value = file.symbol("value", data, 4, 4, OBJECT, GLOBAL);
        file.relocations(section, &[(0, value, 1)]);
        Object::parse("order", &file.bytes()).unwrap()
    };
    let (little, big) = (build(false), build(true));
    assert_eq!(little.programs, big.programs);
    assert_eq!(little.maps, big.maps);
    assert_eq!(little.maps[0].variables[0].offset, 4);
}

#[test]
fn programs_that_call_everything_are_bounded() {
    // Every function begins at the first instruction and is as long as the section.
    let mut file = File::default();
    let section = file.code("socket", &vec![MOV; 4000]);
    for _ in 0..2000 {
        file.func("f", section, 0, 4000);
    }
    fails(
        &file,
        expect![
            "program `f`: the object's programs have more than 4194304 instructions, lines and relocations in all; split it"
        ],
    );
}

#[test]
fn many_of_everything_take_time_in_proportion() {
    let mut file = File::default();
    // A chain of calls, as deep as it is long.
    const FUNCS: u64 = 10_000;
    let insns: Vec<Insn> =
        (0..FUNCS).flat_map(|nth| [if nth + 1 < FUNCS { call(1) } else { MOV }, EXIT]).collect();
    let main = file.code("socket", &[call(0), EXIT]);
    let text = file.code(".text", &insns);
    file.func("main", main, 0, 2);
    let first = file.func("f", text, 0, 2);
    for nth in 1..FUNCS {
        file.func("f", text, nth * 2, 2);
    }
    file.relocations(main, &[(0, first, 10)]);
    // The call has to go to the first instruction behind the symbol's.
    file.sections[0].data[4..8].copy_from_slice(&(-1_i32).to_le_bytes());
    for _ in 0..5_000 {
        let section = file.section(".data.x", PROGBITS, ALLOC | WRITE, vec![0; 8]);
        for at in [0, 4] {
            file.symbol("v", section, at, 4, OBJECT, GLOBAL);
        }
    }
    let start = std::time::Instant::now();
    let object = Object::parse("many", &file.bytes()).unwrap();
    assert_eq!((object.programs.len(), object.maps.len()), (1, 5_000));
    assert_eq!(object.programs[0].funcs.len() as u64, FUNCS + 1);
    assert_eq!(object.maps[4_999].variables.len(), 2);
    // A hundredth of it when nothing else runs; what is quadratic takes minutes.
    assert!(start.elapsed().as_secs() < 10, "{:?}", start.elapsed());
}

/// Bytes of an object with some of them changed.
fn mutated() -> impl Strategy<Value = Vec<u8>> {
    let change = (any::<prop::sample::Index>(), any::<u64>(), 1..=8_usize);
    (0..OBJECTS.len(), prop::collection::vec(change, 1..8), any::<prop::sample::Index>(), 0..10_u8).prop_map(
        |(object, changes, end, cut)| {
            let mut bytes = OBJECTS[object].to_vec();
            for (at, value, len) in changes {
                let at = at.index(bytes.len());
                for (place, byte) in bytes[at..].iter_mut().zip(value.to_le_bytes()).take(len) {
                    // Small numbers are likelier to mean something.
                    *place = if value & 0x100 == 0 { byte & 7 } else { byte };
                }
            }
            if cut == 0 {
                bytes.truncate(end.index(bytes.len()));
            }
            bytes
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    #[test]
    fn no_object_is_too_damaged(bytes in mutated()) {
        exercise::object(&bytes, &exercise::kernel());
    }
}

#[test]
fn whole_objects_hold_what_they_promise() {
    for bytes in OBJECTS {
        exercise::object(bytes, &exercise::kernel());
    }
}

//! Reads an object and holds it against itself. Shared by the property tests and the fuzz target (`fuzz/`).
#![allow(dead_code)]

use btf::{Builder, IntEncoding, Kind, NewMember};
use loader::{ExternKind, MapKind, Object, RelocKind, SlotTarget, Target};

/// Everything that an object that was read must keep, and relocation of it.
pub fn object(bytes: &[u8], kernel: &[u8]) {
    let object = match Object::parse("fuzzed", bytes) {
        Ok(object) => object,
        Err(error) => {
            assert!(!error.to_string().is_empty());
            return;
        }
    };
    consistent(&object, bytes.len());
    assert!(object.btf.is_none() || object.btf().is_some(), "types that were read can be read again");
    let kernel = btf::Btf::parse(kernel).expect("types of a kernel");
    match object.relocate(&Target::described(Some(&kernel))) {
        Ok(relocated) => consistent(&relocated, bytes.len()),
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}

fn consistent(object: &Object, size: usize) {
    let mut data = 0;
    for map in &object.maps {
        assert!(map.kernel_name.len() <= 15 || map.kind != MapKind::Data, "{}", map.kernel_name);
        if map.kind != MapKind::Kconfig && map.kind != MapKind::StructOps {
            data += map.data.as_ref().map_or(0, Vec::len);
        }
        for slot in &map.slots {
            match slot.target {
                SlotTarget::Map(map) => assert!(map < object.maps.len()),
                SlotTarget::Program(program) => assert!(program < object.programs.len()),
            }
        }
        for (_, program) in map.struct_ops.iter().flat_map(|ops| &ops.funcs) {
            assert!(*program < object.programs.len());
        }
    }
    assert!(data <= size, "{data} bytes of data in a file of {size}");
    for program in &object.programs {
        let len = program.insns.len();
        assert_eq!(program.funcs.first().map(|func| func.insn), Some(0));
        assert!(program.funcs.is_sorted_by(|a, b| a.insn < b.insn), "functions follow one another");
        assert!(program.funcs.iter().all(|func| func.insn < len));
        assert!(program.lines.iter().all(|line| line.insn < len));
        assert!(program.lines.is_sorted_by_key(|line| line.insn));
        assert!(program.core.iter().all(|relo| relo.insn < len));
        assert!(program.core.is_sorted_by_key(|relo| relo.insn));
        assert!(program.relocs.is_sorted_by(|a, b| a.insn < b.insn), "an instruction is relocated once");
        for reloc in &program.relocs {
            assert!(reloc.insn < len);
            match reloc.kind {
                RelocKind::Map(map) => assert!(map < object.maps.len()),
                RelocKind::MapValue { map, .. } => {
                    assert!(map < object.maps.len() && reloc.insn + 1 < len);
                }
                RelocKind::Extern(index) => assert!(index < object.externs.len()),
                _ => {}
            }
        }
    }
    let kconfig = object.maps.iter().find(|map| map.kind == MapKind::Kconfig);
    for entry in &object.externs {
        if let ExternKind::Kconfig { offset, size, .. } = entry.kind {
            assert!(kconfig.is_some_and(|map| offset + size <= map.value_size));
        }
    }
}

/// A small kernel's types.
pub fn kernel() -> Vec<u8> {
    let mut builder = Builder::new(btf::Endian::Little);
    let encoding = IntEncoding { bits: 32, offset: 0, signed: true, char: false, bool: false };
    let int = builder.int("int", 4, encoding);
    let encoding = IntEncoding { bits: 64, offset: 0, signed: false, char: false, bool: false };
    let long = builder.int("long unsigned int", 8, encoding);
    let pointer = builder.ptr(int);
    let member = |name, type_id, bit_offset| NewMember { name, type_id, bit_offset, bitfield_size: None };
    let members = [
        member("flags", long, 0),
        member("pid", int, 64),
        member("tgid", int, 96),
        member("p", pointer, 128),
    ];
    builder.composite(Kind::Struct, "task_struct", 24, &members);
    builder.enumeration("state", 4, false, &[("RUNNING", 0), ("SLEEPING", 1)]);
    builder.finish()
}

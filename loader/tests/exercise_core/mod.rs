//! CO-RE on arbitrary types: no panic, and an end in bounded time. The body of the fuzz target `core` and of a proptest.

use asm::Insn;
use btf::ext::CoreReloKind;
use btf::{Btf, Builder, Endian, IntEncoding, Kind, Linkage, NewMember, TypeId};
use loader::core::Relocator;
use loader::relocate::struct_ops;
use loader::{CoreRelo, MapKind, MapSpec, StructOps, Target};

/// Bytes, from the front; zeros when there are no more.
struct Input<'d>(&'d [u8]);

impl Input<'_> {
    fn byte(&mut self) -> u8 {
        match self.0.split_first() {
            Some((byte, rest)) => {
                self.0 = rest;
                *byte
            }
            None => 0,
        }
    }

    /// Mostly a small number, so that ids meet each other; sometimes any.
    fn number(&mut self) -> u32 {
        match self.byte() {
            255 => u32::from_le_bytes([self.byte(), self.byte(), self.byte(), self.byte()]),
            small => u32::from(small),
        }
    }

    fn name(&mut self) -> &'static str {
        const NAMES: [&str; 12] =
            ["", "a", "b", "c", "a___x", "b___y", "a___", "___", "ops", "bpf_struct_ops_ops", "long", "data"];
        NAMES[usize::from(self.byte()) % NAMES.len()]
    }

    fn id(&mut self) -> TypeId {
        TypeId(self.number())
    }
}

/// Types whose ids may lead anywhere: forward, back to themselves, out of the data.
fn types(input: &mut Input<'_>, count: u8, endian: Endian) -> Vec<u8> {
    let mut builder = Builder::new(endian);
    for _ in 0..count {
        let name = input.name();
        match input.byte() % 16 {
            0 | 1 => {
                let (size, bits) = (1 << (input.byte() % 5), input.byte());
                let (offset, flags) = (input.byte() % 4 / 3, input.byte());
                let bits = if bits > 200 { bits } else { (size * 8) as u8 };
                let encoding =
                    IntEncoding { bits, offset, signed: flags & 1 != 0, char: false, bool: flags & 2 != 0 };
                builder.int(name, size, encoding)
            }
            2 | 3 => builder.ptr(input.id()),
            4 => builder.array(input.id(), TypeId(1), input.number()),
            kind @ 5..=8 => {
                let members: Vec<NewMember<'_>> = (0..input.byte() % 6)
                    .map(|_| {
                        let (name, type_id, bit_offset) =
                            (input.name(), input.id(), input.number() & 0x00ff_ffff);
                        let bitfield_size = input.byte().checked_sub(200).filter(|bits| *bits > 0);
                        NewMember { name, type_id, bit_offset, bitfield_size }
                    })
                    .collect();
                let kind = if kind == 8 { Kind::Union } else { Kind::Struct };
                builder.composite(kind, name, input.number(), &members)
            }
            9 => {
                let values: Vec<(&str, i64)> =
                    (0..input.byte() % 5).map(|_| (input.name(), i64::from(input.number() as i32))).collect();
                let size = 1 << (input.byte() % 4);
                builder.enumeration(name, size, input.byte() & 1 != 0, &values)
            }
            10 => builder.fwd(name, input.byte() & 1 != 0),
            11 => builder.typedef(name, input.id()),
            12 => builder.modifier(Kind::Const, input.id()),
            13 => {
                let params: Vec<(&str, TypeId)> =
                    (0..input.byte() % 4).map(|_| (input.name(), input.id())).collect();
                builder.func_proto(input.id(), &params)
            }
            14 => builder.float(name, 1 << (input.byte() % 4)),
            _ => builder.var(name, input.id(), Linkage::Global),
        };
    }
    builder.finish()
}

fn access(input: &mut Input<'_>) -> String {
    const CHARS: &[u8] = b"0123:::::4567890-+ x";
    let pick = |byte: u8| char::from(CHARS[usize::from(byte) % CHARS.len()]);
    let mut text = String::from("0");
    if input.byte() > 20 {
        for _ in 0..input.byte() % 5 {
            text.push_str(&format!(":{}", input.number()));
        }
        return text;
    }
    text.clear();
    text.extend((0..input.byte()).map(|_| pick(input.byte())));
    text
}

/// Relocates what the bytes describe.
pub fn bytes(data: &[u8]) {
    let mut input = Input(data);
    let flags = input.byte();
    let endian = if flags & 1 != 0 { Endian::Big } else { Endian::Little };
    let (own, kernel) = match flags & 6 {
        // The bytes themselves as BTF.
        0 => {
            let at = usize::from(input.byte()) * 16;
            let (own, kernel) = input.0.split_at(at.min(input.0.len()));
            (own.to_vec(), kernel.to_vec())
        }
        _ => {
            let (one, other) = (input.byte() % 24, input.byte() % 24);
            (types(&mut input, one, endian), types(&mut input, other, endian))
        }
    };
    let (Ok(own), Ok(kernel)) = (Btf::parse(&own), Btf::parse(&kernel)) else { return };
    let target = Target::described(Some(&kernel));
    let Ok(mut relocator) = Relocator::new(&own, &target) else { return };
    for _ in 0..12 {
        let Some(kind) = CoreReloKind::from_number(u32::from(input.byte() % 13)) else { continue };
        let relo = CoreRelo {
            insn: usize::from(input.byte() % 3),
            kind,
            type_id: input.id(),
            access: access(&mut input),
        };
        let first = relocator.resolve(&relo);
        assert_eq!(first, relocator.resolve(&relo), "the same question, another answer");
        let word = |input: &mut Input<'_>| {
            let (opcode, off, imm) = (input.byte(), input.number() as i16, input.number() as i32);
            Insn::new(opcode, 1, 0, off, imm)
        };
        let before = [word(&mut input), word(&mut input)];
        let mut insns = before;
        if relocator.apply(&mut insns, &relo).is_err() {
            assert_eq!(insns, before, "what cannot be relocated stays as it is");
        }
    }
    let mut map = MapSpec::new_data("m", MapKind::StructOps, input.0.to_vec());
    let type_id = input.id();
    let funcs = vec![(u32::from(input.byte()), 0)];
    map.struct_ops = Some(StructOps { type_name: "ops".to_owned(), type_id, funcs, link: false });
    // Whether it can be converted does not matter here.
    let _ = struct_ops::convert(&map, &own, &target);
}

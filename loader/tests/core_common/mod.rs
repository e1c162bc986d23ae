//! What the tests of CO-RE share: types for either side, and the answers to relocations.
#![allow(dead_code, reason = "each test file uses its part")]

use btf::ext::CoreReloKind;
use btf::{Btf, Builder, Endian, IntEncoding, Kind, NewMember, TypeId};
use expect_test::Expect;
use loader::core::{Answer, Relocator};
use loader::{CoreRelo, Target};

/// Types by short declarations, for either side.
pub struct Types {
    pub builder: Builder,
}

fn int(builder: &mut Builder, name: &str, size: u32, signed: bool) -> TypeId {
    let encoding = IntEncoding { bits: (size * 8) as u8, offset: 0, signed, char: false, bool: false };
    builder.int(name, size, encoding)
}

/// Ids of what every side begins with.
pub const I32: TypeId = TypeId(1);
pub const U32: TypeId = TypeId(2);
pub const U64: TypeId = TypeId(3);
pub const U16: TypeId = TypeId(4);
pub const U8: TypeId = TypeId(5);
pub const S8: TypeId = TypeId(6);
pub const POINTER: TypeId = TypeId(7);

impl Types {
    pub fn new(endian: Endian) -> Types {
        let mut builder = Builder::new(endian);
        int(&mut builder, "int", 4, true);
        int(&mut builder, "unsigned int", 4, false);
        int(&mut builder, "unsigned long", 8, false);
        int(&mut builder, "unsigned short", 2, false);
        int(&mut builder, "unsigned char", 1, false);
        int(&mut builder, "signed char", 1, true);
        builder.ptr(TypeId(0));
        Types { builder }
    }

    /// Members: name, type, offset in bits, and width of bit fields (0: none).
    pub fn composite(
        &mut self,
        kind: Kind,
        name: &str,
        size: u32,
        members: &[(&str, TypeId, u32, u8)],
    ) -> TypeId {
        let members: Vec<NewMember<'_>> = members
            .iter()
            .map(|&(name, type_id, bit_offset, bits)| NewMember {
                name,
                type_id,
                bit_offset,
                bitfield_size: (bits != 0).then_some(bits),
            })
            .collect();
        self.builder.composite(kind, name, size, &members)
    }

    pub fn structure(&mut self, name: &str, size: u32, members: &[(&str, TypeId, u32, u8)]) -> TypeId {
        self.composite(Kind::Struct, name, size, members)
    }

    pub fn array(&mut self, element: TypeId, len: u32) -> TypeId {
        self.builder.array(element, U32, len)
    }

    pub fn enumeration(&mut self, name: &str, size: u32, values: &[(&str, i64)]) -> TypeId {
        let signed = values.iter().any(|(_, value)| *value < 0);
        self.builder.enumeration(name, size, signed, values)
    }
}

pub fn make(fill: impl FnOnce(&mut Types)) -> Vec<u8> {
    make_in(Endian::Little, fill)
}

pub fn make_in(endian: Endian, fill: impl FnOnce(&mut Types)) -> Vec<u8> {
    let mut types = Types::new(endian);
    fill(&mut types);
    types.builder.finish()
}

/// The first type of this name.
pub fn id(btf: &Btf<'_>, name: &str) -> TypeId {
    btf.find_where(name, |_, _| true).unwrap_or_else(|| panic!("no type {name}"))
}

pub fn answers(local: &[u8], target: &Target<'_>, relos: &[(CoreReloKind, &str, &str)]) -> String {
    let local = Btf::parse(local).unwrap();
    let mut relocator = Relocator::new(&local, target).unwrap();
    let mut text = String::new();
    for &(kind, name, access) in relos {
        let relo = CoreRelo { insn: 0, kind, type_id: id(&local, name), access: access.to_owned() };
        let answer = match relocator.resolve(&relo) {
            Ok(Answer::Value(value)) => (value as i64).to_string(),
            Ok(Answer::Poison(why)) => format!("poison: {why}"),
            Ok(_) => unreachable!("another answer"),
            Err(what) => format!("error: {what}"),
        };
        text.push_str(&format!("{kind:?} {name} {access} = {answer}\n"));
    }
    text
}

pub fn check(local: &[u8], target: &[u8], relos: &[(CoreReloKind, &str, &str)], expect: Expect) {
    let target = Btf::parse(target).unwrap();
    expect.assert_eq(&answers(local, &Target::described(Some(&target)), relos));
}

//! Bytes read through a type: map keys and values, records of ring buffers, variables.
//!
//! [`decode`] makes a tree of what lies in the bytes; printed, it looks like a C initializer
//! (`{.pid = 17, .comm = "cat", .flags = {1, 0}}`), which [`encode`] turns back into bytes.

mod encode;
mod text;

pub use encode::{EncodeError, encode};

use crate::{Array, Btf, Endian, Kind, Member, Type, TypeId};

/// A value that was read through a type.
#[derive(Clone, PartialEq, Debug)]
#[non_exhaustive]
pub enum Value<'data> {
    /// A signed integer, of up to 128 bits.
    Signed(i128),
    /// An unsigned integer, of up to 128 bits.
    Unsigned(u128),
    /// A boolean; any byte but 0 is true.
    Bool(bool),
    /// A character.
    Char(u8),
    /// A value of an enumeration.
    Enum {
        /// Name of the first enumerator with this value; `None` where there is none.
        name: Option<&'data str>,
        /// The number; unsigned ones above `i64::MAX` wrap.
        value: i64,
    },
    /// A floating-point number of 4 or 8 bytes.
    Float(f64),
    /// An address.
    Pointer(u64),
    /// An array of characters that holds printable text: the bytes before the first zero. What follows the zero is not
    /// kept.
    Text(Vec<u8>),
    /// An array.
    Array {
        /// The elements that were read.
        elements: Vec<Value<'data>>,
        /// How many more the type has: not in the bytes, or beyond what is read of one value ([`MAX_VALUES`]).
        missing: u64,
    },
    /// A struct or a data section.
    Struct(Vec<Entry<'data>>),
    /// A union, read as each of its members.
    Union(Vec<Entry<'data>>),
    /// Bytes of a type that says nothing about them: 80-bit floats, incomplete or damaged types.
    Bytes(Vec<u8>),
    /// The bytes ended before this value, or it lies too deep.
    Missing,
}

/// A member and its value. Anonymous structs and unions have an empty name; their members count as the outer ones'.
#[derive(Clone, PartialEq, Debug)]
pub struct Entry<'data> {
    /// Name.
    pub name: &'data str,
    /// Value.
    pub value: Value<'data>,
}

/// Values read at once, at the most: so many, and so many more for each byte. Beyond it there is [`Value::Missing`]; types
/// that give that much for few bytes are damaged.
pub const MAX_VALUES: (usize, usize) = (1 << 12, 32);

/// Nesting that is followed.
const MAX_DEPTH: u32 = 64;

/// Reads `bytes` as a value of this type, in the byte order of the types.
///
/// Bytes that are too few give [`Value::Missing`] where they end; more bytes than the type has are not looked at.
pub fn decode<'data>(btf: &Btf<'data>, id: TypeId, bytes: &[u8]) -> Value<'data> {
    let left = bytes.len().saturating_mul(MAX_VALUES.1).saturating_add(MAX_VALUES.0);
    let mut reader = Reader { btf, pointer_size: btf.pointer_size() as usize, left };
    reader.value(id, bytes, MAX_DEPTH)
}

impl<'data> Value<'data> {
    /// The value of a member, by name; members of anonymous structs and unions are the outer one's.
    pub fn member(&self, name: &str) -> Option<&Value<'data>> {
        let (Value::Struct(entries) | Value::Union(entries)) = self else { return None };
        entries.iter().find_map(|entry| match entry.name {
            "" => entry.value.member(name),
            own => (own == name).then_some(&entry.value),
        })
    }

    /// An integer, character, boolean, enumeration value or address as a number.
    pub fn as_i128(&self) -> Option<i128> {
        Some(match self {
            Value::Signed(value) => *value,
            Value::Unsigned(value) => i128::try_from(*value).ok()?,
            Value::Bool(value) => i128::from(*value),
            Value::Char(value) => i128::from(*value),
            Value::Enum { value, .. } => i128::from(*value),
            Value::Pointer(value) => i128::from(*value),
            _ => return None,
        })
    }
}

struct Reader<'b, 'data> {
    btf: &'b Btf<'data>,
    pointer_size: usize,
    /// Values that may still be read.
    left: usize,
}

impl<'data> Reader<'_, 'data> {
    fn value(&mut self, id: TypeId, bytes: &[u8], depth: u32) -> Value<'data> {
        let Some(depth) = depth.checked_sub(1) else { return Value::Missing };
        let Some(left) = self.left.checked_sub(1) else { return Value::Missing };
        self.left = left;
        let Some((_, ty)) = target(self.btf, id) else { return Value::Bytes(bytes.to_vec()) };
        if ty.kind() == Kind::Array {
            return ty.array().map_or(Value::Missing, |array| self.array(array, bytes, depth));
        }
        let size = match ty.kind() {
            Kind::Ptr => self.pointer_size,
            _ => match ty.size() {
                Some(size) => size as usize,
                None => return Value::Bytes(bytes.to_vec()),
            },
        };
        match ty.kind() {
            Kind::Struct => return Value::Struct(self.members(ty, bytes, depth)),
            Kind::Union => return Value::Union(self.members(ty, bytes, depth)),
            Kind::Datasec => return Value::Struct(self.variables(ty, bytes, depth)),
            _ => {}
        }
        let Some(bytes) = bytes.get(..size) else { return Value::Missing };
        if ty.kind() == Kind::Float {
            return match (size, float_bits(self.btf.endian(), bytes)) {
                (4, Some(bits)) => Value::Float(f32::from_bits(bits as u32).into()),
                (8, Some(bits)) => Value::Float(f64::from_bits(bits)),
                _ => Value::Bytes(bytes.to_vec()),
            };
        }
        self.number(ty, bytes, 0, size as u64 * 8).unwrap_or_else(|| Value::Bytes(bytes.to_vec()))
    }

    /// `bits` bits from bit `start` on, as what the type says.
    fn number(&self, ty: Type<'data>, bytes: &[u8], start: u64, bits: u64) -> Option<Value<'data>> {
        let (mut start, mut bits) = (start, bits);
        if let Some(int) = ty.int().filter(|int| int.bits != 0 && u64::from(int.bits) < bits) {
            (start, bits) = (start + u64::from(int.offset), int.bits.into());
        }
        let raw = take_bits(self.btf.endian(), bytes, start, bits)?;
        let signed = || sign_extended(raw, bits);
        Some(match ty.kind() {
            Kind::Ptr => Value::Pointer(raw as u64),
            Kind::Int => {
                let int = ty.int()?;
                if int.bool || ty.name() == "_Bool" || ty.name() == "bool" {
                    Value::Bool(raw != 0)
                } else if is_char(ty) && bits == 8 {
                    Value::Char(raw as u8)
                } else if int.signed {
                    Value::Signed(signed())
                } else {
                    Value::Unsigned(raw)
                }
            }
            Kind::Enum | Kind::Enum64 => {
                let value = if ty.is_signed() { signed() as i64 } else { raw as u64 as i64 };
                let mask = if bits >= 64 { u64::MAX } else { (1 << bits) - 1 };
                let same = |other: i64| other as u64 & mask == value as u64 & mask;
                let name =
                    ty.enumerators().find(|one| same(one.value) && !one.name.is_empty()).map(|one| one.name);
                Value::Enum { name, value }
            }
            _ => return None,
        })
    }

    fn members(&mut self, ty: Type<'data>, bytes: &[u8], depth: u32) -> Vec<Entry<'data>> {
        let mut entries = Vec::new();
        for member in ty.members() {
            if self.left == 0 {
                break;
            }
            entries.push(Entry { name: member.name, value: self.one_member(&member, bytes, depth) });
        }
        entries
    }

    fn one_member(&mut self, member: &Member<'data>, bytes: &[u8], depth: u32) -> Value<'data> {
        let start = u64::from(member.bit_offset);
        if let Some(bits) = member.bitfield_size {
            self.left = self.left.saturating_sub(1);
            let ty = self.btf.resolve(member.type_id);
            return ty
                .and_then(|(_, ty)| self.number(ty, bytes, start, bits.into()))
                .unwrap_or(Value::Missing);
        }
        match bytes.get((start / 8) as usize..) {
            Some(rest) => self.value(member.type_id, rest, depth),
            None => Value::Missing,
        }
    }

    fn variables(&mut self, ty: Type<'data>, bytes: &[u8], depth: u32) -> Vec<Entry<'data>> {
        let mut entries = Vec::new();
        for var in ty.section_vars() {
            if self.left == 0 {
                break;
            }
            let name = self.btf.type_by_id(var.type_id).map_or("", |ty| ty.name());
            let value = match bytes.get(var.offset as usize..) {
                Some(rest) => self.value(var.type_id, rest, depth),
                None => Value::Missing,
            };
            entries.push(Entry { name, value });
        }
        entries
    }

    fn array(&mut self, array: Array, bytes: &[u8], depth: u32) -> Value<'data> {
        let len = u64::from(array.len);
        let size = self.btf.size_of(array.element).and_then(|size| usize::try_from(size).ok());
        let Some(size) = size.filter(|size| *size > 0) else {
            return Value::Array { elements: Vec::new(), missing: len };
        };
        let there = (bytes.len() / size).min(array.len as usize);
        let char = target(self.btf, array.element).is_some_and(|(_, ty)| is_char(ty) && ty.size() == Some(1));
        if char
            && there as u64 == len
            && let Some(text) = bytes.get(..there).and_then(printable)
        {
            return Value::Text(text.to_vec());
        }
        let mut elements = Vec::with_capacity(there.min(self.left).min(1 << 12));
        for element in bytes.chunks_exact(size).take(there) {
            if self.left == 0 {
                break;
            }
            elements.push(self.value(array.element, element, depth));
        }
        let missing = len - elements.len() as u64;
        Value::Array { elements, missing }
    }
}

/// Behind typedefs, qualifiers and variables.
fn target<'data>(btf: &Btf<'data>, id: TypeId) -> Option<(TypeId, Type<'data>)> {
    let (id, ty) = btf.resolve(id)?;
    match ty.kind() {
        Kind::Var => btf.resolve(ty.type_id()?),
        _ => Some((id, ty)),
    }
}

/// Compilers set the flag rarely: the name says it.
fn is_char(ty: Type<'_>) -> bool {
    ty.int().is_some_and(|int| int.char) || (ty.kind() == Kind::Int && ty.name() == "char")
}

/// The bytes before the first zero, if they are text.
fn printable(bytes: &[u8]) -> Option<&[u8]> {
    let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    let (text, rest) = bytes.split_at(end);
    // All zero is the empty text; a zero before other bytes may as well be a number.
    let empty_or_text = !text.is_empty() || rest.iter().all(|byte| *byte == 0);
    let good = |c: char| !c.is_control() || matches!(c, '\n' | '\t' | '\r' | '\u{1b}');
    let is_text = std::str::from_utf8(text).is_ok_and(|text| text.chars().all(good));
    (empty_or_text && is_text && !bytes.is_empty()).then_some(text)
}

/// Up to 128 bits; those of little-endian data count from the low end of each byte, the others from the high end.
fn take_bits(endian: Endian, bytes: &[u8], start: u64, bits: u64) -> Option<u128> {
    if bits > 128 || bits == 0 {
        return None;
    }
    let (first, last) = (usize::try_from(start / 8).ok()?, usize::try_from((start + bits - 1) / 8).ok()?);
    let bytes = bytes.get(first..=last)?;
    let shift = start % 8;
    if bits.is_multiple_of(8) && shift == 0 {
        let join = |word: u128, byte: &u8| (word << 8) | u128::from(*byte);
        return Some(match endian {
            Endian::Little => bytes.iter().rev().fold(0, join),
            Endian::Big => bytes.iter().fold(0, join),
        });
    }
    let bit = |at: u64| {
        let byte = bytes.get((at / 8) as usize).copied().unwrap_or(0);
        let place = if endian == Endian::Little { at % 8 } else { 7 - at % 8 };
        u128::from(byte >> place & 1)
    };
    Some((0..bits).fold(0, |word, at| match endian {
        Endian::Little => word | bit(shift + at) << at,
        Endian::Big => word << 1 | bit(shift + at),
    }))
}

fn sign_extended(raw: u128, bits: u64) -> i128 {
    let unused = 128 - bits.min(128) as u32;
    ((raw << unused) as i128) >> unused
}

fn float_bits(endian: Endian, bytes: &[u8]) -> Option<u64> {
    take_bits(endian, bytes, 0, bytes.len() as u64 * 8).and_then(|bits| u64::try_from(bits).ok())
}

//! C initializers as bytes.

use super::{is_char, target};
use crate::{Btf, Endian, Field, Kind, Type, TypeId};
use std::fmt;

/// Why a text is no value of its type.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum EncodeError {
    /// The text says something that does not fit here.
    Text {
        /// Where in the text, in bytes.
        offset: usize,
        /// What is wrong, and what would be right.
        message: String,
    },
    /// Values of this type can't be written.
    Type {
        /// The type.
        id: u32,
        /// Why.
        message: &'static str,
    },
}

impl fmt::Display for EncodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            EncodeError::Text { offset, message } => write!(f, "value at character {offset}: {message}"),
            EncodeError::Type { id, message } => write!(f, "BTF type {id}: {message}"),
        }
    }
}

impl std::error::Error for EncodeError {}

/// Largest value that is built, in bytes; the kernel's maps take less.
const MAX_SIZE: u64 = 1 << 26;

const MAX_DEPTH: u32 = 64;

/// The bytes of a value of this type, from text such as `5`, `-0x10`, `'c'`, `true`, `TCP_LISTEN`, `"text"` or
/// `{.pid = 1, .comm = "x", .addr[1] = 7, .list = {1, 2, [4 ... 7] = 9}}`. Members that are not named are zero.
///
/// # Errors
///
/// [`EncodeError`] says where the text goes wrong, or why the type has no values.
pub fn encode(btf: &Btf<'_>, id: TypeId, text: &str) -> Result<Vec<u8>, EncodeError> {
    let ty = |message| EncodeError::Type { id: id.0, message };
    let size = btf.size_of(id).ok_or(ty("it has no size, or is damaged"))?;
    if size > MAX_SIZE {
        return Err(ty("its values are larger than 64 MiB"));
    }
    let mut bytes = vec![0; size as usize];
    let mut parser = Parser { btf, text, at: 0 };
    parser.value(id, &mut bytes, MAX_DEPTH)?;
    parser.space();
    if parser.at < text.len() {
        return Err(parser.error("the value ends here; what follows is too much"));
    }
    Ok(bytes)
}

struct Parser<'t, 'b, 'data> {
    btf: &'b Btf<'data>,
    text: &'t str,
    at: usize,
}

impl<'t, 'data> Parser<'t, '_, 'data> {
    fn error(&self, message: impl Into<String>) -> EncodeError {
        EncodeError::Text { offset: self.at, message: message.into() }
    }

    fn rest(&self) -> &'t str {
        self.text.get(self.at..).unwrap_or("")
    }

    fn space(&mut self) {
        loop {
            let rest = self.rest();
            self.at += rest.len() - rest.trim_start().len();
            match self.rest().strip_prefix("/*").and_then(|comment| comment.find("*/")) {
                Some(len) => self.at += len + 4,
                None => return,
            }
        }
    }

    /// Takes this if it comes next.
    fn takes(&mut self, token: &str) -> bool {
        self.space();
        let there = self.rest().starts_with(token);
        if there {
            self.at += token.len();
        }
        there
    }

    fn expect(&mut self, token: &str) -> Result<(), EncodeError> {
        match self.takes(token) {
            true => Ok(()),
            false => Err(self.error(format!("`{token}` is expected"))),
        }
    }

    /// A number or name.
    fn word(&mut self) -> &'t str {
        self.space();
        let rest = self.rest();
        let mut last = ' ';
        let inside = |c: char| {
            // The sign of an exponent.
            let sign = matches!(c, '-' | '+') && matches!(last, ' ' | 'e' | 'E');
            let good = c.is_alphanumeric() || c == '_' || c == '$' || c == '.' || sign;
            last = c;
            !good
        };
        let end = rest.find(inside).unwrap_or(rest.len());
        // `...` separates the ends of a range.
        let end = rest.find("...").map_or(end, |range| range.min(end));
        self.at += end;
        rest.get(..end).unwrap_or("")
    }

    fn value(&mut self, id: TypeId, bytes: &mut [u8], depth: u32) -> Result<(), EncodeError> {
        let damaged = |message| EncodeError::Type { id: id.0, message };
        let Some(depth) = depth.checked_sub(1) else { return Err(self.error("this is nested too deep")) };
        let (id, ty) = target(self.btf, id).ok_or(damaged("it does not exist or never ends"))?;
        self.space();
        match ty.kind() {
            Kind::Struct | Kind::Union => self.members(id, ty, bytes, depth),
            Kind::Datasec => self.variables(ty, bytes, depth),
            Kind::Array => {
                let array = ty.array().ok_or(damaged("it is damaged"))?;
                let size = self.btf.size_of(array.element).ok_or(damaged("its elements have no size"))?;
                let char = target(self.btf, array.element).is_some_and(|(_, ty)| is_char(ty));
                if self.rest().starts_with('"') && (char || size == 1) {
                    return self.string(bytes);
                }
                self.elements(array.element, size as usize, array.len, bytes, depth)
            }
            _ => self.scalar(ty, bytes, 0, bytes.len() as u64 * 8),
        }
    }

    /// `{.a = 1, .b.c[2] = 3}`, or values in the order of the members.
    fn members(
        &mut self,
        id: TypeId,
        ty: Type<'data>,
        bytes: &mut [u8],
        depth: u32,
    ) -> Result<(), EncodeError> {
        if !self.takes("{") {
            return Err(self.error(format!(
                "`{{` is expected: {} is a struct or union, as in {{.{} = 1}}",
                or_anonymous(ty.name()),
                ty.members().map(|member| member.name).find(|name| !name.is_empty()).unwrap_or("member")
            )));
        }
        let mut next = 0;
        while !self.takes("}") {
            if self.takes(".") {
                let from = self.at;
                let rest = self.rest();
                let end = rest.find(|c: char| c == '=' || c.is_whitespace()).unwrap_or(rest.len());
                let path = rest.get(..end).unwrap_or("");
                let Some(field) = self.btf.field(id, path) else {
                    self.at = from;
                    let names: Vec<_> =
                        ty.members().map(|m| m.name).filter(|name| !name.is_empty()).take(12).collect();
                    return Err(self.error(format!(
                        "{} has no member {path}; it has {}",
                        or_anonymous(ty.name()),
                        names.join(", ")
                    )));
                };
                self.at += end;
                self.expect("=")?;
                let top = path.split(['.', '[']).next().unwrap_or(path);
                next = ty.members().position(|member| member.name == top).map_or(next, |at| at + 1);
                self.field(field, bytes, depth)?;
            } else {
                let Some(member) = ty.members().nth(next) else {
                    return Err(self.error(format!("{} has no more members", or_anonymous(ty.name()))));
                };
                next += 1;
                let field = Field {
                    type_id: member.type_id,
                    bit_offset: member.bit_offset.into(),
                    bit_size: match member.bitfield_size {
                        Some(bits) => bits.into(),
                        None => self.btf.size_of(member.type_id).unwrap_or(0).saturating_mul(8),
                    },
                    bitfield: member.bitfield_size.is_some(),
                };
                self.field(field, bytes, depth)?;
            }
            self.separator()?;
        }
        Ok(())
    }

    fn separator(&mut self) -> Result<(), EncodeError> {
        self.space();
        if self.takes(",") || self.rest().starts_with('}') {
            return Ok(());
        }
        Err(self.error("`,` or `}` is expected"))
    }

    fn field(&mut self, field: Field, bytes: &mut [u8], depth: u32) -> Result<(), EncodeError> {
        let outside =
            || EncodeError::Type { id: field.type_id.0, message: "the member lies outside of its struct" };
        if field.bitfield {
            let (_, ty) = self.btf.resolve(field.type_id).ok_or_else(outside)?;
            return self.scalar(ty, bytes, field.bit_offset, field.bit_size);
        }
        let (start, len) = ((field.bit_offset / 8) as usize, (field.bit_size / 8) as usize);
        let place = start.checked_add(len).and_then(|end| bytes.get_mut(start..end)).ok_or_else(outside)?;
        self.value(field.type_id, place, depth)
    }

    fn variables(&mut self, ty: Type<'data>, bytes: &mut [u8], depth: u32) -> Result<(), EncodeError> {
        self.expect("{")?;
        while !self.takes("}") {
            self.expect(".")?;
            let name = self.word();
            let var = ty
                .section_vars()
                .find(|var| self.btf.type_by_id(var.type_id).is_some_and(|ty| ty.name() == name))
                .ok_or_else(|| self.error(format!("{} has no variable {name}", ty.name())))?;
            self.expect("=")?;
            let (start, size) = (var.offset as usize, var.size as usize);
            let id = var.type_id;
            let outside = EncodeError::Type { id: id.0, message: "the variable lies outside of its section" };
            let place = start.checked_add(size).and_then(|end| bytes.get_mut(start..end)).ok_or(outside)?;
            self.value(id, place, depth)?;
            self.separator()?;
        }
        Ok(())
    }

    /// `{1, 2, [7] = 3, [8 ... 15] = 4}`
    fn elements(
        &mut self,
        element: TypeId,
        size: usize,
        len: u32,
        bytes: &mut [u8],
        depth: u32,
    ) -> Result<(), EncodeError> {
        if !self.takes("{") {
            return Err(self.error("`{` is expected: this is an array, as in {1, 2, 3}"));
        }
        let mut next = 0_u32;
        while !self.takes("}") {
            let (mut first, mut last) = (next, next);
            if self.takes("[") {
                first = self.index(len)?;
                last = if self.takes("...") { self.index(len)? } else { first };
                self.expect("]")?;
                self.expect("=")?;
            }
            if first > last || last >= len {
                return Err(self.error(format!("the array has {len} elements, from 0")));
            }
            let start = first as usize * size;
            // Damaged types may claim more elements than their bytes hold.
            if (last as usize + 1).saturating_mul(size) > bytes.len() {
                return Err(self.error(format!("{} bytes hold fewer than {len} elements", bytes.len())));
            }
            let Some(place) = bytes.get_mut(start..start.saturating_add(size)) else {
                return Err(self.error(format!("the array has {len} elements, from 0")));
            };
            self.value(element, place, depth)?;
            for copy in first + 1..=last {
                if size > 0 {
                    bytes.copy_within(start..start + size, copy as usize * size);
                }
            }
            next = last.saturating_add(1);
            self.separator()?;
        }
        Ok(())
    }

    fn index(&mut self, len: u32) -> Result<u32, EncodeError> {
        let from = self.at;
        let index = number(self.word()).and_then(|(negative, index)| (!negative).then_some(index));
        match index.and_then(|index| u32::try_from(index).ok()).filter(|index| *index < len) {
            Some(index) => Ok(index),
            None => {
                self.at = from;
                Err(self.error(format!("an index from 0 to {} is expected", len.saturating_sub(1))))
            }
        }
    }

    /// `"text"`, with a zero after it where there is room.
    fn string(&mut self, bytes: &mut [u8]) -> Result<(), EncodeError> {
        let from = self.at;
        let mut out = Vec::new();
        let mut chars = self.rest().char_indices().skip(1);
        let end = loop {
            let Some((at, c)) = chars.next() else { return Err(self.error("the text has no closing quote")) };
            match c {
                '"' => break at,
                '\\' => match chars.next() {
                    Some((_, digit @ '0'..='7')) => {
                        let mut code = u32::from(digit) - u32::from('0');
                        let mut ahead = chars.clone();
                        for _ in 0..2 {
                            match ahead.next() {
                                Some((_, digit @ '0'..='7')) => {
                                    code = code * 8 + u32::from(digit) - u32::from('0');
                                    chars.next();
                                }
                                _ => break,
                            }
                        }
                        out.push(code as u8);
                    }
                    Some((_, c)) => match c {
                        'n' => out.push(b'\n'),
                        't' => out.push(b'\t'),
                        'r' => out.push(b'\r'),
                        c => out.extend(c.encode_utf8(&mut [0; 4]).bytes()),
                    },
                    None => return Err(self.error("the text has no closing quote")),
                },
                c => out.extend(c.encode_utf8(&mut [0; 4]).bytes()),
            }
        };
        let Some(place) = bytes.get_mut(..out.len()) else {
            self.at = from;
            let len = bytes.len();
            return Err(self.error(format!("a text of {} bytes does not fit into {len}", out.len())));
        };
        place.copy_from_slice(&out);
        self.at = from + end + 1;
        Ok(())
    }

    fn scalar(
        &mut self,
        ty: Type<'data>,
        bytes: &mut [u8],
        start: u64,
        bits: u64,
    ) -> Result<(), EncodeError> {
        let from = self.at;
        if self.takes("'") {
            let mut chars = self.rest().chars();
            let c = match chars.next() {
                Some('\\') => chars.next().map(|c| match c {
                    'n' => '\n',
                    't' => '\t',
                    '0' => '\0',
                    c => c,
                }),
                c => c,
            };
            let code = c.and_then(|c| u8::try_from(u32::from(c)).ok());
            let end = self.rest().len() - chars.as_str().len();
            let Some(code) = code.filter(|_| chars.as_str().starts_with('\'')) else {
                return Err(self.error("a character such as 'a' is expected"));
            };
            self.at += end + 1;
            put_bits(self.btf.endian(), bytes, start, bits, code.into());
            return Ok(());
        }
        let word = self.word();
        let (mut start, mut bits) = (start, bits);
        if let Some(int) = ty.int().filter(|int| int.bits != 0 && u64::from(int.bits) < bits) {
            (start, bits) = (start + u64::from(int.offset), int.bits.into());
        }
        let fail = |message: String| EncodeError::Text { offset: from, message };
        let raw = match ty.kind() {
            Kind::Float => {
                let value: f64 = word.parse().map_err(|_| fail("a number such as 1.5 is expected".into()))?;
                match bits {
                    32 => u128::from((value as f32).to_bits()),
                    64 => u128::from(value.to_bits()),
                    _ => return Err(fail("only numbers of 4 and 8 bytes can be written".into())),
                }
            }
            Kind::Enum | Kind::Enum64 if number(word).is_none() => {
                let found = ty.enumerators().find(|one| one.name == word && !word.is_empty());
                let found = found.ok_or_else(|| {
                    let names: Vec<_> = ty.enumerators().map(|one| one.name).take(12).collect();
                    fail(format!("{word:?} is no value of this enumeration; it has {}", names.join(", ")))
                })?;
                found.value as i128 as u128
            }
            Kind::Int | Kind::Ptr | Kind::Enum | Kind::Enum64 => match word {
                "true" => 1,
                "false" => 0,
                "NULL" if ty.kind() == Kind::Ptr => 0,
                _ => {
                    let signed = ty.is_signed();
                    let (negative, magnitude) = number(word)
                        .ok_or_else(|| fail(format!("a whole number is expected, not {word:?}")))?;
                    in_range(negative, magnitude, signed && !is_pattern(word), bits).ok_or_else(|| {
                        let kind = if signed { "signed" } else { "unsigned" };
                        fail(format!("{word} does not fit into {bits} {kind} bits"))
                    })?
                }
            },
            _ => return Err(fail("values of such a type can't be written".into())),
        };
        if bits > 128 || !put_bits(self.btf.endian(), bytes, start, bits, raw) {
            return Err(fail("the type and the size of this member do not go together".into()));
        }
        Ok(())
    }
}

fn or_anonymous(name: &str) -> &str {
    if name.is_empty() { "the anonymous type" } else { name }
}

/// Sign and magnitude of a decimal, `0x`, `0b` or `0o` number.
fn number(word: &str) -> Option<(bool, u128)> {
    let (negative, digits) = match word.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, word.strip_prefix('+').unwrap_or(word)),
    };
    let (radix, digits) = match digits.get(..2) {
        Some("0x" | "0X") => (16, digits.get(2..)?),
        Some("0b" | "0B") => (2, digits.get(2..)?),
        Some("0o") => (8, digits.get(2..)?),
        _ => (10, digits),
    };
    if !digits.starts_with(|c: char| c.is_ascii_alphanumeric()) {
        return None;
    }
    Some((negative, u128::from_str_radix(digits, radix).ok()?))
}

/// Hexadecimal and binary numbers are bit patterns: a signed type takes those with the highest bit too, as C does.
fn is_pattern(word: &str) -> bool {
    !word.starts_with('-') && (word.starts_with("0x") || word.starts_with("0X") || word.starts_with("0b"))
}

/// Two's complement, if it fits.
fn in_range(negative: bool, magnitude: u128, signed: bool, bits: u64) -> Option<u128> {
    let bits = bits.clamp(1, 128) as u32;
    let all = u128::MAX >> (128 - bits);
    if negative {
        let least = 1_u128 << (bits - 1);
        return (signed && magnitude <= least).then(|| magnitude.wrapping_neg() & all);
    }
    (magnitude <= if signed { all >> 1 } else { all }).then_some(magnitude)
}

/// The opposite of reading bits; `false` where they lie outside.
fn put_bits(endian: Endian, bytes: &mut [u8], start: u64, bits: u64, value: u128) -> bool {
    if start.checked_add(bits).is_none_or(|end| end > bytes.len() as u64 * 8) {
        return false;
    }
    for at in 0..bits {
        let (place, weight) = match endian {
            Endian::Little => ((start + at) % 8, at),
            Endian::Big => (7 - (start + at) % 8, bits - 1 - at),
        };
        let bit = if weight < 128 { (value >> weight) as u8 & 1 } else { 0 };
        if let Some(byte) = bytes.get_mut(((start + at) / 8) as usize) {
            *byte = (*byte & !(1 << place)) | bit << place;
        }
    }
    true
}

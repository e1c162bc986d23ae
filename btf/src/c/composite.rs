//! Bodies of structs, unions and enumerations.

use super::Printer;
use super::names::{Space, push_identifier, push_number, push_signed};
use super::pack::{Cursor, Filler};
use crate::{Kind, Member, Type, TypeId};

/// Members and parameters that may be printed even of the smallest data. Anonymous structs that are used by many others
/// are written out at each, which damaged data could do exponentially often.
pub(super) const BUDGET: usize = 1 << 12;

/// Anonymous structs within one another; compilers end at 256.
const MAX_LEVEL: usize = 200;

impl<'data> Printer<'_, 'data> {
    /// Appends `struct name {` … `}` and its attributes.
    pub(super) fn composite_body(&mut self, id: u32, ty: Type<'data>, level: usize) {
        self.keyword_and_name(id, ty);
        self.members(id, ty, level);
    }

    fn members(&mut self, id: u32, ty: Type<'data>, level: usize) {
        let size = u64::from(ty.size().unwrap_or(0)) * 8;
        if level >= MAX_LEVEL {
            self.faults = self.faults.saturating_add(1);
            return self.out.push_str(" { /* nested too deep */ }");
        }
        if ty.is_empty() && size == 0 {
            return self.out.push_str(" {}");
        }
        let shape = self.shape(id, ty);
        self.out.push_str(" {\n");
        let is_struct = ty.kind() == Kind::Struct;
        let mut cursor = Cursor::new(self.pointer_size, shape.packed);
        let ordered = if is_struct { in_order(ty) } else { None };
        let members = ordered.iter().flatten().copied();
        match ordered {
            Some(_) => {
                for (at, member) in members {
                    self.member(id, at, &member, &mut cursor, is_struct, level + 1);
                }
            }
            None => {
                for (at, member) in ty.members().enumerate() {
                    self.member(id, at, &member, &mut cursor, is_struct, level + 1);
                }
            }
        }
        if is_struct {
            self.fill(&mut cursor, size, u64::from(shape.align) * 8, false, level + 1);
        }
        self.indent(level);
        self.out.push('}');
        if shape.packed {
            self.out.push_str(" __attribute__((packed))");
        }
    }

    fn member(
        &mut self,
        id: u32,
        at: usize,
        member: &Member<'data>,
        cursor: &mut Cursor,
        is_struct: bool,
        level: usize,
    ) {
        let Some(rest) = self.budget.checked_sub(1) else {
            self.faults = self.faults.saturating_add(1);
            return;
        };
        self.budget = rest;
        let place = self.place(member);
        if is_struct {
            let fits = self.fill(cursor, place.start, place.align, place.bitfield.is_some(), level);
            if !fits {
                self.indent(level);
                self.out.push_str("/* ");
                push_identifier(&mut self.out, member.name);
                self.out.push_str(" at bit ");
                push_number(&mut self.out, place.start);
                self.out.push_str(" overlaps what stands before it */\n");
                self.faults = self.faults.saturating_add(1);
                return;
            }
            cursor.advance(&place);
        }
        self.indent(level);
        match self.btf.resolve(member.type_id) {
            // A member without a name may have a type with one where the compiler had `-fms-extensions`, as it has for recent
            // kernels. Without that option C takes it for a declaration: its members are written out instead.
            Some((TypeId(inner), ty))
                if member.name.is_empty() && ty.kind().is_composite() && !self.brief =>
            {
                self.out.push_str(if ty.kind() == Kind::Union { "union" } else { "struct" });
                self.members(inner, ty, level);
            }
            _ => self.declare(member.type_id.0, member.name, level),
        }
        if let Some(bits) = place.bitfield {
            self.out.push_str(": ");
            push_number(&mut self.out, bits);
        }
        self.push_tags(id, i32::try_from(at).unwrap_or(i32::MAX));
        self.out.push_str(";\n");
    }

    /// Appends padding up to `to`; `false` if that was passed already.
    fn fill(&mut self, cursor: &mut Cursor, to: u64, align: u64, bitfield: bool, level: usize) -> bool {
        let Some(mut filler) = cursor.fill(to, align, bitfield) else { return false };
        // A gap of gigabytes in a damaged struct is one array instead of millions of lines.
        if let Some((start, bytes)) = filler.array() {
            let Some(mut bits) = cursor.fill(start, 8, true) else { return false };
            self.unnamed(&mut bits, level);
            self.indent(level);
            self.out.push_str("char __padding_at_");
            push_number(&mut self.out, start / 8);
            self.out.push('[');
            push_number(&mut self.out, bytes);
            self.out.push_str("];\n");
            cursor.jump(start + bytes * 8);
            let Some(rest) = cursor.fill(to, 1, true) else { return false };
            filler = rest;
        }
        self.unnamed(&mut filler, level);
        cursor.jump(to);
        true
    }

    fn unnamed(&mut self, filler: &mut Filler, level: usize) {
        while let Some((unit, bits)) = filler.next() {
            let Some(rest) = self.budget.checked_sub(1) else {
                self.faults = self.faults.saturating_add(1);
                return;
            };
            self.budget = rest;
            self.indent(level);
            self.out.push_str(unit);
            self.out.push_str(": ");
            push_number(&mut self.out, bits);
            self.out.push_str(";\n");
        }
    }

    /// Appends `enum name {` … `}` and its attributes.
    pub(super) fn enum_body(&mut self, id: u32, ty: Type<'data>, level: usize) {
        self.keyword_and_name(id, ty);
        let size = ty.size().unwrap_or(4);
        if !ty.is_empty() {
            self.out.push_str(" {\n");
            for value in ty.enumerators() {
                let Some(rest) = self.budget.checked_sub(1) else { break };
                self.budget = rest;
                self.indent(level + 1);
                push_identifier(&mut self.out, value.name);
                if !self.suffix.is_empty() {
                    let given = self.names.give(self.btf, Space::Ordinary, value.name);
                    self.push_suffix(given);
                }
                self.out.push_str(" = ");
                match (ty.kind_flag(), ty.kind()) {
                    (false, Kind::Enum64) => {
                        push_number(&mut self.out, value.value as u64);
                        self.out.push_str("ULL");
                    }
                    (true, Kind::Enum64) => {
                        // The least number has no literal of its own.
                        match value.value {
                            i64::MIN => self.out.push_str("-9223372036854775807LL - 1"),
                            value => {
                                push_signed(&mut self.out, value);
                                self.out.push_str("LL");
                            }
                        }
                    }
                    _ => push_signed(&mut self.out, value.value),
                }
                self.out.push_str(",\n");
            }
            self.indent(level);
            self.out.push('}');
        }
        let mode = match size {
            1 => "byte",
            2 => "HI",
            // The compiler takes eight bytes by itself where a value needs them.
            8 if self.pointer_size == 8 && four_bytes_do(ty) => "word",
            _ => return,
        };
        if !ty.is_empty() {
            self.out.push_str(" __attribute__((mode(");
            self.out.push_str(mode);
            self.out.push_str(")))");
        }
    }

    pub(super) fn indent(&mut self, level: usize) {
        for _ in 0..level {
            self.out.push('\t');
        }
    }
}

/// Whether the compiler would take four bytes for these values.
fn four_bytes_do(ty: Type<'_>) -> bool {
    let unsigned = |value: i64| u32::try_from(value).is_ok();
    let signed = |value: i64| i32::try_from(value).is_ok();
    ty.enumerators().all(|value| unsigned(value.value))
        || (ty.is_signed() && ty.enumerators().all(|value| signed(value.value)))
}

/// Members by offset, with their indices, where the data has them in another order, as compilers of Rust do; `None`
/// where they are in order.
fn in_order<'data>(ty: Type<'data>) -> Option<Vec<(usize, Member<'data>)>> {
    let mut last = 0;
    let ordered = ty.members().all(|member| {
        let in_order = member.bit_offset >= last;
        last = member.bit_offset;
        in_order
    });
    (!ordered).then(|| {
        let mut members: Vec<_> = ty.members().enumerate().collect();
        members.sort_by_key(|(_, member)| member.bit_offset);
        members
    })
}

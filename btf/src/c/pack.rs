//! Where a compiler would put a member, and what has to be said so that it puts it where the data has it.
//!
//! The rules are those of the System V ABI that clang follows for BPF too: a member starts at the next multiple of its
//! alignment, a bit field does not cross a boundary of its type, and unnamed bit fields do not align their struct.

use super::Printer;
use crate::{Kind, Member, Type};

/// Nesting of anonymous structs that is looked into for their alignment.
const MAX_DEPTH: u32 = 256;

/// What [`Printer::layout`] holds when it is known: this, the packed bit, and the alignment's logarithm.
const KNOWN: u8 = 0x80;
const PACKED: u8 = 0x40;

/// What is to be said of a struct as a whole.
#[derive(Clone, Copy)]
pub(super) struct Shape {
    pub(super) packed: bool,
    /// Alignment in bytes that the printed struct has.
    pub(super) align: u32,
}

/// Where a member is and what the compiler makes of it.
pub(super) struct Place {
    /// First bit.
    pub(super) start: u64,
    /// Bits it takes.
    pub(super) bits: u64,
    /// Alignment in bits.
    pub(super) align: u64,
    /// Width of a bit field.
    pub(super) bitfield: Option<u64>,
    /// Bits of its type.
    unit: u64,
}

impl<'data> Printer<'_, 'data> {
    /// Behind typedefs, qualifiers and arrays: the type and how many there are of it.
    fn element(&self, id: u32) -> Option<(u32, Type<'data>, u64)> {
        let (mut id, mut count) = (id, 1_u64);
        for _ in 0..512 {
            let ty = self.ty(id)?;
            id = match ty.kind() {
                Kind::Array => {
                    let array = ty.array()?;
                    count = count.saturating_mul(array.len.into());
                    array.element.0
                }
                kind if kind.is_wrapper() => ty.size_or_type(),
                _ => return Some((id, ty, count)),
            };
        }
        None
    }

    /// Size and alignment in bytes, as printed.
    fn size_and_align(&mut self, id: u32, depth: u32) -> (u64, u32) {
        let Some((id, ty, count)) = self.element(id) else { return (0, 1) };
        let size = u64::from(ty.size().unwrap_or(0));
        let (size, align) = match ty.kind() {
            Kind::Ptr => (self.pointer_size.into(), self.pointer_size),
            Kind::Struct | Kind::Union => (size, self.shape_within(id, ty, depth).align),
            Kind::Int | Kind::Enum | Kind::Enum64 | Kind::Float => (size, self.scalar_align(size)),
            _ => (0, 1),
        };
        (size.saturating_mul(count), align)
    }

    fn scalar_align(&self, size: u64) -> u32 {
        match size {
            16 if self.pointer_size == 8 => 16,
            2 | 4 => size as u32,
            8 => self.pointer_size,
            // `long double` of 32-bit machines.
            _ if size > 8 => self.pointer_size,
            _ => 1,
        }
    }

    pub(super) fn shape(&mut self, id: u32, ty: Type<'data>) -> Shape {
        self.shape_within(id, ty, MAX_DEPTH)
    }

    fn shape_within(&mut self, id: u32, ty: Type<'data>, depth: u32) -> Shape {
        let known = self.layout.get(id as usize).copied().unwrap_or(0);
        if known & KNOWN != 0 {
            return Shape { packed: known & PACKED != 0, align: 1 << (known & 0x0f) };
        }
        let Some(depth) = depth.checked_sub(1) else { return Shape { packed: true, align: 1 } };
        // Until more is known: a damaged type that contains itself asks again.
        if let Some(layout) = self.layout.get_mut(id as usize) {
            *layout = KNOWN | PACKED;
        }
        let (mut packed, mut align) = (false, 1);
        for member in ty.members() {
            let place = self.place_within(&member, depth);
            align = align.max((place.align / 8) as u32);
            packed |= match place.bitfield {
                Some(bits) => place.unit == 0 || place.start % place.unit + bits > place.unit,
                None => !place.start.is_multiple_of(place.align),
            };
        }
        packed |= !u64::from(ty.size().unwrap_or(0)).is_multiple_of(align.into());
        if packed {
            align = 1;
        }
        if let Some(layout) = self.layout.get_mut(id as usize) {
            *layout = KNOWN | if packed { PACKED } else { 0 } | align.trailing_zeros() as u8;
        }
        Shape { packed, align }
    }

    pub(super) fn place(&mut self, member: &Member<'data>) -> Place {
        self.place_within(member, MAX_DEPTH)
    }

    fn place_within(&mut self, member: &Member<'data>, depth: u32) -> Place {
        let (size, align) = self.size_and_align(member.type_id.0, depth);
        let bits = size.saturating_mul(8);
        let mut place = Place {
            start: member.bit_offset.into(),
            bits,
            align: u64::from(align) * 8,
            bitfield: member.bitfield_size.map(u64::from),
            unit: bits,
        };
        if member.bitfield_size.is_none()
            && let Some((_, ty, 1)) = self.element(member.type_id.0)
            && let Some(int) = ty.int()
            && u64::from(int.bits) != bits
            && int.bits != 0
        {
            // Old data keeps the width of a bit field in the integer type.
            place.start += u64::from(int.offset);
            place.bitfield = Some(int.bits.into());
        }
        if let Some(width) = place.bitfield {
            place.bits = width;
        }
        place
    }
}

/// How far a struct's members have come.
pub(super) struct Cursor {
    at: u64,
    /// Behind a bit field.
    in_bitfield: bool,
    packed: bool,
    /// Units of padding, the largest first: name and bits.
    units: &'static [(&'static str, u64)],
}

impl Cursor {
    pub(super) fn new(pointer_size: u32, packed: bool) -> Cursor {
        const UNITS: [(&str, u64); 4] = [("long", 64), ("int", 32), ("short", 16), ("char", 8)];
        let units = if pointer_size == 8 { &UNITS[..] } else { &UNITS[1..] };
        Cursor { at: 0, in_bitfield: false, packed, units }
    }

    pub(super) fn jump(&mut self, to: u64) {
        self.at = to;
    }

    pub(super) fn advance(&mut self, place: &Place) {
        self.at = place.start.saturating_add(place.bits);
        self.in_bitfield = place.bitfield.is_some();
    }

    /// What has to stand between here and a member at `to`, so that the compiler puts it there; `None` where `to` lies
    /// behind.
    pub(super) fn fill(&self, to: u64, align: u64, bitfield: bool) -> Option<Filler> {
        if to < self.at {
            return None;
        }
        let natural = match (bitfield, self.packed) {
            (true, _) => self.at,
            (false, true) => self.at.next_multiple_of(8),
            (false, false) => self.at.checked_next_multiple_of(align.max(8))?,
        };
        let filler = |at| Filler { at, to, explicit: self.in_bitfield || self.packed, units: self.units };
        Some(if natural == to { filler(to) } else { filler(self.at) })
    }
}

/// Unnamed bit fields that fill a gap.
pub(super) struct Filler {
    at: u64,
    to: u64,
    /// No help by natural alignment.
    explicit: bool,
    units: &'static [(&'static str, u64)],
}

impl Filler {
    /// Where whole bytes begin and how many there are, when they are so many that bit fields would be absurd.
    pub(super) fn array(&self) -> Option<(u64, u64)> {
        let start = self.at.next_multiple_of(8);
        let bytes = self.to.checked_sub(start)? / 8;
        (bytes > 1 << 13).then_some((start, bytes))
    }

    /// The next one's type and width.
    pub(super) fn next(&mut self) -> Option<(&'static str, u64)> {
        let left = self.to.checked_sub(self.at).filter(|left| *left > 0)?;
        // The largest unit that has a boundary before the end.
        let (unit, width) = *self
            .units
            .iter()
            .find(|(_, width)| self.at.next_multiple_of(*width) <= self.to)
            .or(self.units.last())?;
        let boundary = self.at.next_multiple_of(width);
        if boundary > self.at && boundary <= self.to {
            let gap = boundary - self.at;
            let rest = self.to - boundary;
            self.at = boundary;
            if self.explicit {
                return Some((unit, gap));
            }
            // A full unit goes to the boundary by itself; the next member, or less than a unit, has to be sent there.
            return if rest >= width { self.next() } else { Some((unit, 0)) };
        }
        let bits = left.min(width);
        // The smallest unit that holds what is left.
        let (unit, _) = self.units.iter().rev().find(|(_, width)| *width >= bits).copied()?;
        self.at += bits;
        Some((unit, bits))
    }
}

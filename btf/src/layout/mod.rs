//! Where the members of a struct lie, and where nothing lies: offsets, sizes, holes, padding, cache lines.
//!
//! Printed, a layout looks as pahole shows it.

mod text;

use crate::c::declaration;
use crate::{Btf, Kind, Member, Type, TypeId};

/// Bytes of a cache line, where nothing else is said.
pub const CACHE_LINE: u64 = 64;

/// Structs within one another that are looked into, and members in all, even of the smallest data: damaged data may nest
/// them exponentially.
const MAX_DEPTH: u32 = 32;
const MAX_MEMBERS: usize = 1 << 12;

/// The layout of a struct or union.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Layout<'data> {
    /// Its type.
    pub id: TypeId,
    /// A union, rather than a struct.
    pub union: bool,
    /// Name; empty for an anonymous one.
    pub name: &'data str,
    /// Size in bytes.
    pub size: u64,
    /// Members, in the order of the data.
    pub slots: Vec<Slot<'data>>,
    /// Bytes at the end that belong to no member.
    pub padding: u64,
    /// Bits at the end of the last bit field's type that belong to no member, in front of `padding`.
    pub bit_padding: u64,
    /// Bytes of a cache line.
    pub cache_line: u64,
}

/// A member.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Slot<'data> {
    /// Name; empty for anonymous structs and unions.
    pub name: &'data str,
    /// Its type.
    pub type_id: TypeId,
    /// What stands before the name in C: `struct list_head`, `void (*`.
    pub type_text: String,
    /// The name and what stands around it: `next`, `(*handler)(int)`, `pid[4]`.
    pub declarator: String,
    /// Bits from the start of the outermost struct.
    pub bit_offset: u64,
    /// Width in bits; for bit fields their own.
    pub bit_size: u64,
    /// Size of its type in bytes.
    pub size: u64,
    /// Whether it is a bit field.
    pub bitfield: bool,
    /// Bits that belong to no member between this one and the end of the bit field's type, or the next member.
    pub bit_hole: u64,
    /// Bytes that belong to no member between that and the next member.
    pub hole: u64,
    /// Padding in bytes at the end of the struct that this member is.
    pub inner_padding: u64,
    /// The layout of an anonymous struct or union, and of every struct where all are to be shown.
    pub inner: Option<Layout<'data>>,
}

/// Totals of one layout, without what lies inside of its members.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub struct Totals {
    /// Cache lines it takes when it begins on one.
    pub cache_lines: u64,
    /// Bytes in members that are no bit fields.
    pub member_bytes: u64,
    /// Bits in bit fields.
    pub bitfield_bits: u64,
    /// Holes, and the bytes in them.
    pub holes: u64,
    /// Bytes in holes.
    pub hole_bytes: u64,
    /// Holes in bit fields' types.
    pub bit_holes: u64,
    /// Bits in these.
    pub bit_hole_bits: u64,
    /// Members that are structs with padding at their end.
    pub paddings: u64,
    /// Bytes of padding in these.
    pub padding_bytes: u64,
}

/// The layout of a struct or union, or of the one behind a typedef; `expand` shows the members of all structs in it, not
/// only of those without a name. `None` for other types, and where a member has no size.
pub fn layout<'data>(btf: &Btf<'data>, id: TypeId, expand: bool) -> Option<Layout<'data>> {
    let (id, ty) = btf.resolve(id)?;
    let mut builder = Builder { btf, expand, left: MAX_MEMBERS + btf.own_bytes().len() };
    ty.kind().is_composite().then(|| builder.composite(id, ty, 0, MAX_DEPTH))?
}

impl Layout<'_> {
    /// Sums over the members.
    pub fn totals(&self) -> Totals {
        let mut totals =
            Totals { cache_lines: self.size.div_ceil(self.cache_line.max(1)), ..Totals::default() };
        for slot in &self.slots {
            match slot.bitfield {
                true => totals.bitfield_bits = totals.bitfield_bits.saturating_add(slot.bit_size),
                false => totals.member_bytes = totals.member_bytes.saturating_add(slot.size),
            }
            totals.holes += u64::from(slot.hole > 0);
            totals.hole_bytes = totals.hole_bytes.saturating_add(slot.hole);
            totals.bit_holes += u64::from(slot.bit_hole > 0);
            totals.bit_hole_bits = totals.bit_hole_bits.saturating_add(slot.bit_hole);
            totals.paddings += u64::from(slot.inner_padding > 0);
            totals.padding_bytes = totals.padding_bytes.saturating_add(slot.inner_padding);
        }
        totals
    }
}

struct Builder<'b, 'data> {
    btf: &'b Btf<'data>,
    expand: bool,
    /// Members that may still be looked at.
    left: usize,
}

impl<'data> Builder<'_, 'data> {
    fn composite(&mut self, id: TypeId, ty: Type<'data>, base: u64, depth: u32) -> Option<Layout<'data>> {
        let depth = depth.checked_sub(1)?;
        let size = u64::from(ty.size()?);
        let union = ty.kind() == Kind::Union;
        let mut slots: Vec<Slot<'data>> = Vec::new();
        for member in ty.members() {
            self.left = self.left.checked_sub(1)?;
            slots.push(self.slot(&member, base, depth)?);
        }
        let (mut padding, mut bit_padding) = (0, 0);
        if !union {
            let last = base.checked_add(size.checked_mul(8)?)?;
            // Where the furthest member ends: damaged or reordered members may overlap.
            let mut end = base;
            for at in 0..slots.len() {
                let next = slots.get(at + 1).map_or(last, |next| next.bit_offset);
                let Some(slot) = slots.get_mut(at) else { break };
                end = end.max(slot.bit_offset.saturating_add(slot.bit_size));
                let (bits, bytes) = gap(slot, end, next);
                if at + 1 < slots.len() {
                    (slots[at].bit_hole, slots[at].hole) = (bits, bytes);
                } else {
                    (bit_padding, padding) = (bits, bytes);
                }
            }
            if slots.is_empty() {
                padding = size;
            }
        }
        let name = ty.name();
        Some(Layout { id, union, name, size, slots, padding, bit_padding, cache_line: CACHE_LINE })
    }

    fn slot(&mut self, member: &Member<'data>, base: u64, depth: u32) -> Option<Slot<'data>> {
        let size = self.btf.size_of(member.type_id)?;
        let bit_offset = base.checked_add(member.bit_offset.into())?;
        let full = size.checked_mul(8)?;
        let (id, ty) = self.btf.resolve(member.type_id)?;
        let old_width = ty.int().filter(|int| int.bits != 0 && u64::from(int.bits) < full);
        let (bit_offset, bit_size, bitfield) = match (member.bitfield_size, old_width) {
            (Some(bits), _) => (bit_offset, u64::from(bits), true),
            (None, Some(int)) => (bit_offset + u64::from(int.offset), u64::from(int.bits), true),
            (None, None) => (bit_offset, full, false),
        };
        let composite = ty.kind().is_composite();
        // An anonymous struct is written out where it stands; a typedef has a name to be known by.
        let written_out = composite && (self.expand || self.is_anonymous(member.type_id));
        let inner = match written_out {
            true => Some(self.composite(id, ty, bit_offset, depth)?),
            false => None,
        };
        let inner_padding = match (&inner, composite) {
            (Some(inner), _) => inner.padding,
            (None, true) => tail(self.btf, ty).unwrap_or(0),
            _ => 0,
        };
        let (type_text, declarator) = split(self.btf, member)?;
        let (name, type_id) = (member.name, member.type_id);
        Some(Slot {
            name,
            type_id,
            type_text,
            declarator,
            bit_offset,
            bit_size,
            size,
            bitfield,
            bit_hole: 0,
            hole: 0,
            inner_padding,
            inner,
        })
    }

    /// Whether the type itself, behind qualifiers alone, has no name.
    fn is_anonymous(&self, id: TypeId) -> bool {
        let mut id = id;
        for _ in 0..64 {
            match self.btf.type_by_id(id) {
                Some(ty) if ty.kind() == Kind::Typedef => return false,
                Some(ty) if ty.kind().is_wrapper() => id = TypeId(ty.size_or_type()),
                Some(ty) => return ty.is_anonymous(),
                None => return false,
            }
        }
        false
    }
}

/// Bits up to the end of the bit field's type, and the whole bytes from there on to `next`.
fn gap(slot: &Slot<'_>, end: u64, next: u64) -> (u64, u64) {
    let Some(gap) = next.checked_sub(end) else { return (0, 0) };
    let unit = slot.size.saturating_mul(8);
    let bits = match slot.bitfield && unit > 0 {
        true => (end.next_multiple_of(unit).min(next) - end).min(gap),
        false => gap % 8,
    };
    (bits, (gap - bits) / 8)
}

/// Padding at the end of a struct, in bytes.
fn tail(btf: &Btf<'_>, ty: Type<'_>) -> Option<u64> {
    if ty.kind() != Kind::Struct {
        return Some(0);
    }
    let size = u64::from(ty.size()?).checked_mul(8)?;
    let mut end = 0;
    for member in ty.members() {
        let start = u64::from(member.bit_offset);
        let full = btf.size_of(member.type_id)?.checked_mul(8)?;
        end = end.max(match member.bitfield_size {
            // The rest of a bit field's type is not padding.
            Some(_) => start.checked_div(full).map_or(start, |unit| (unit + 1).saturating_mul(full)),
            None => start.checked_add(full)?,
        });
    }
    Some(size.saturating_sub(end) / 8)
}

/// A declaration in two: what names the base type, and the declarator.
fn split(btf: &Btf<'_>, member: &Member<'_>) -> Option<(String, String)> {
    // No name can be mistaken for a part of a type's.
    const PLACE: &str = "$";
    let whole = declaration(btf, member.type_id, PLACE)?;
    let place = whole.rfind(PLACE).filter(|_| whole.matches(PLACE).count() == 1);
    let Some(place) = place else {
        return Some((declaration(btf, member.type_id, "")?, member.name.to_string()));
    };
    let before = whole.get(..place)?;
    let cut = before.find('(').filter(|cut| before.get(*cut..).is_some_and(|text| text.starts_with("(*")));
    let cut = cut.unwrap_or(place);
    let declarator = format!("{}{}{}", whole.get(cut..place)?, member.name, whole.get(place + 1..)?);
    Some((whole.get(..cut)?.trim_end().to_string(), declarator))
}

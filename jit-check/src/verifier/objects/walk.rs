//! The way through a struct to what lies at an offset, and whether one struct can stand for another.

use super::super::env::{EACCES, EFAULT, EINVAL, Env, Reject, Res, reject};
use super::super::reg::{BtfIdx, Flags};
use btf::{Btf, Kind, Type, TypeId};

/// What lies at an offset of a struct.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::verifier) enum Step<'a> {
    Scalar,
    /// A struct begins there.
    Struct(u32),
    /// A pointer to a struct, with what its tags say, and the member's name.
    Pointer {
        id: u32,
        flags: Flags,
        member: &'a str,
    },
}

/// A type's size in memory; for arrays also the element and how many of them (all dimensions).
pub(in crate::verifier) struct Sized<'a> {
    pub size: u32,
    /// Type without modifiers; the outermost array for arrays.
    pub ty: Type<'a>,
    pub id: u32,
    pub element: Type<'a>,
    pub element_id: u32,
    pub count: u32,
}

/// Size of a type, `None` where it has none.
pub(in crate::verifier) fn sized<'a>(btf: &Btf<'a>, id: u32) -> Option<Sized<'a>> {
    let (mut at, mut array, mut element_id, mut count) = (id, None, 0, 1_u32);
    for _ in 0..32 {
        let ty = btf.type_by_id(TypeId(at))?;
        let size = match ty.kind() {
            Kind::Ptr => 8,
            Kind::Int | Kind::Struct | Kind::Union | Kind::Enum | Kind::Float | Kind::Enum64 => ty.size()?,
            Kind::Array => {
                let of = ty.array()?;
                array.get_or_insert((ty, at));
                count = count.checked_mul(of.len)?;
                (at, element_id) = (of.element.0, of.element.0);
                continue;
            }
            kind if kind.is_wrapper() => {
                at = ty.type_id()?.0;
                continue;
            }
            _ => return None,
        };
        let size = size.checked_mul(count)?;
        let (outer, outer_id) = array.unwrap_or((ty, at));
        return Some(Sized { size, ty: outer, id: outer_id, element: ty, element_id, count });
    }
    None
}

/// A type's name as the log writes it.
pub(in crate::verifier) fn shown_name<'a>(ty: &Type<'a>) -> &'a str {
    match ty.name() {
        "" => "(anon)",
        name => name,
    }
}

impl<'a> Env<'a> {
    /// What lies at `off` of a struct or union. `flags` collects what unions and tags on the way say; `flexible` lets
    /// an array without length at the end be longer.
    #[allow(clippy::too_many_lines)]
    pub(in crate::verifier) fn walk_struct(
        &mut self,
        btf: BtfIdx,
        id: u32,
        off: i32,
        size: u32,
        flags: &mut Flags,
        flexible: bool,
    ) -> Res<Step<'a>> {
        let types = self.btf(btf);
        let (mut id, mut off) = (id, off);
        'again: loop {
            let Some((_, ty)) = types.resolve(TypeId(id)) else { return Err(Reject(EINVAL)) };
            let name = shown_name(&ty);
            if !ty.kind().is_composite() {
                reject!(self, EINVAL, "Type '{name}' is not a struct");
            }
            let single = ty.len() == 1 && self.since(6, 2);
            if ty.kind() == Kind::Union && !single && self.since(6, 1) {
                *flags |= Flags::UNTRUSTED;
            }
            // As the kernel computes: unsigned.
            let end = (off as u32).wrapping_add(size);
            if end > ty.size().unwrap_or(0) {
                let last = ty.members().last().filter(|_| flexible);
                let tail = last.and_then(|member| {
                    let array = types.resolve(member.type_id)?.1.array()?;
                    let at = (member.bit_offset / 8) as i32;
                    (array.len == 0 && (off as u32) >= at as u32).then_some((array.element, at))
                });
                if let Some((element, at)) = tail
                    && let Some((element, ty)) = types.resolve(element)
                {
                    if ty.kind() == Kind::Int {
                        return Ok(Step::Scalar);
                    }
                    if let Some(len) = ty.size().filter(|len| *len != 0 && ty.kind().is_composite()) {
                        off = ((off - at) as u32 % len) as i32;
                        id = element.0;
                        continue 'again;
                    }
                }
                reject!(self, EACCES, "access beyond struct {name} at off {} size {size}", off as u32);
            }
            for member in ty.members() {
                let mut at = member.bit_offset / 8;
                if end <= at {
                    break;
                }
                if let Some(bits) = member.bitfield_size {
                    let end_bit = member.bit_offset + u32::from(bits);
                    if off as u32 <= at && end_bit.div_ceil(8) <= end {
                        return Ok(Step::Scalar);
                    }
                    continue;
                }
                if (off as u32) < at {
                    break;
                }
                let shown = if member.name.is_empty() { "(anon)" } else { member.name };
                let Some(what) = sized(types, member.type_id.0) else {
                    reject!(self, EFAULT, "field {shown} doesn't have size");
                };
                let true_end = at + what.size;
                if off as u32 >= true_end {
                    continue;
                }
                let (mut of, mut of_id, mut len) = (what.ty, what.id, what.size);
                if of.kind() == Kind::Array {
                    if at == true_end {
                        continue;
                    }
                    len = what.size.checked_div(what.count).unwrap_or(0);
                    at += (off as u32 - at).checked_div(len).unwrap_or(0) * len;
                    (of, of_id) = (what.element, what.element_id);
                }
                if of.kind().is_composite() {
                    if off as u32 == at {
                        return Ok(Step::Struct(of_id));
                    }
                    off -= at as i32;
                    id = of_id;
                    continue 'again;
                }
                if of.kind() == Kind::Ptr {
                    if len != size || off as u32 != at {
                        reject!(
                            self,
                            EACCES,
                            "cannot access ptr member {shown} with moff {at} in struct {name} with off {} size {size}",
                            off as u32
                        );
                    }
                    let to = of.type_id().unwrap_or(TypeId(0));
                    let tag = types.type_by_id(to).filter(|ty| ty.kind() == Kind::TypeTag);
                    let said = match tag.map(|tag| tag.name()) {
                        Some("user") if self.since(5, 18) => Flags::USER,
                        Some("percpu") if self.since(5, 18) => Flags::PERCPU,
                        Some("rcu") if self.since(6, 2) => Flags::RCU,
                        _ => Flags::empty(),
                    };
                    if let Some((pointee, ty)) = types.resolve(to)
                        && ty.kind().is_composite()
                    {
                        *flags |= said;
                        return Ok(Step::Pointer { id: pointee.0, flags: *flags, member: member.name });
                    }
                }
                if end > true_end && !flags.contains(Flags::UNTRUSTED) {
                    reject!(
                        self,
                        EACCES,
                        "access beyond the end of member {shown} (mend:{true_end}) in struct {name} with off {} size {size}",
                        off as u32
                    );
                }
                return Ok(Step::Scalar);
            }
            reject!(self, EINVAL, "struct {name} doesn't have field at offset {}", off as u32);
        }
    }

    /// Whether two ids name the same type: modules see the kernel's types under the same ids.
    pub(in crate::verifier) fn same_type(&self, a: (BtfIdx, u32), b: (BtfIdx, u32)) -> bool {
        if a.1 != b.1 || a.0 == b.0 {
            return a == b;
        }
        let shared = |at: BtfIdx| match at {
            BtfIdx::KERNEL => true,
            BtfIdx::PROGRAM => false,
            module => a.1 < self.btf(module).first_id().0,
        };
        shared(a.0) && shared(b.0)
    }

    /// Whether what lies at `off` of a struct is (or begins with) the struct that is needed. Not `strict`: structs that
    /// begin there are looked into.
    pub(in crate::verifier) fn struct_ids_match(
        &mut self,
        have: (BtfIdx, u32),
        off: i32,
        need: (BtfIdx, u32),
        strict: bool,
        flexible: bool,
    ) -> bool {
        if off == 0 && self.same_type(have, need) {
            return true;
        }
        if strict {
            return false;
        }
        let (mut id, mut off, mut flags) = (have.1, off, Flags::empty());
        for _ in 0..64 {
            let Ok(Step::Struct(inner)) = self.walk_struct(have.0, id, off, 1, &mut flags, flexible) else {
                return false;
            };
            if self.same_type((have.0, inner), need) {
                return true;
            }
            (id, off) = (inner, 0);
        }
        false
    }
}

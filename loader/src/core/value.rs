//! The number that a relocation puts into an instruction.

use super::names::is_enum;
use super::spec::{Spec, member};
use btf::ext::CoreReloKind;
use btf::{Btf, Endian, Kind, TypeId};

/// What one side, the object or the target, makes of a relocation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Side {
    pub value: u64,
    /// Whether the instruction must hold the object's value: not so where compilers and loaders may differ.
    pub checked: bool,
    /// What a load or store of the field moves: size in bytes and type; 0 and none where that plays no part.
    pub access: Option<(u64, TypeId)>,
}

/// A value, or that there is none and the instruction must not be reached.
pub(crate) type Found = Result<Option<Side>, String>;

/// What `kind` asks of `spec`; `None` stands for a target that has nothing of the kind.
pub(crate) fn value(kind: CoreReloKind, spec: Option<&Spec<'_, '_>>) -> Found {
    use CoreReloKind::*;
    let plain = |value, checked| Ok(Some(Side { value, checked, access: None }));
    match kind {
        FieldExists | TypeExists | TypeMatches | EnumvalExists => plain(u64::from(spec.is_some()), true),
        TypeIdLocal => plain(spec.map_or(0, |spec| u64::from(spec.root.0)), false),
        // Type ids change when objects are linked.
        TypeIdTarget => plain(spec.map_or(0, |spec| u64::from(spec.root.0)), spec.is_none()),
        TypeSize => match spec {
            None => plain(0, true),
            Some(spec) => plain(size_of(spec.btf, spec.root)?, true),
        },
        EnumvalValue => match spec {
            None => Ok(None),
            Some(spec) => plain(enumerator(spec)?, true),
        },
        FieldByteOffset | FieldByteSize | FieldSigned | FieldLshiftU64 | FieldRshiftU64 => match spec {
            None => Ok(None),
            Some(spec) => field(kind, spec).map(Some),
        },
    }
}

fn size_of(btf: &Btf<'_>, id: TypeId) -> Result<u64, String> {
    btf.size_of(id).ok_or_else(|| format!("type {} has no size", id.0))
}

fn enumerator(spec: &Spec<'_, '_>) -> Result<u64, String> {
    let step = spec.steps.first().ok_or("no enumerator is asked for")?;
    let ty = spec.btf.type_by_id(step.type_id).ok_or("the enumeration does not exist")?;
    let value = ty.enumerators().nth(step.index as usize).ok_or("the enumerator does not exist")?;
    Ok(value.value as u64)
}

/// The type of an array's elements, however many dimensions it has.
fn element_of(btf: &Btf<'_>, id: TypeId) -> Result<TypeId, String> {
    let mut id = id;
    for _ in 0..64 {
        let (resolved, ty) = btf.resolve(id).ok_or_else(|| format!("type {} does not exist", id.0))?;
        match ty.array() {
            Some(array) => id = array.element,
            None => return Ok(resolved),
        }
    }
    Err(format!("type {} is an array of too many dimensions", id.0))
}

fn field(kind: CoreReloKind, spec: &Spec<'_, '_>) -> Result<Side, String> {
    use CoreReloKind::*;
    let btf = spec.btf;
    let step = spec.steps.last().ok_or("no field is asked for")?;
    if step.name.is_none() {
        let size = size_of(btf, step.type_id)?;
        return match kind {
            FieldByteOffset => {
                Ok(Side { value: spec.bit_offset / 8, checked: true, access: Some((size, step.type_id)) })
            }
            FieldByteSize => Ok(Side { value: size, checked: true, access: None }),
            _ => {
                Err("signedness and shifts can be asked of members only, not of elements of arrays"
                    .to_owned())
            }
        };
    }
    let composite = btf.type_by_id(step.type_id).ok_or("the struct does not exist")?;
    let member = member(&composite, step.index).ok_or("the member does not exist")?;
    let (type_id, ty) =
        btf.resolve(member.type_id).ok_or_else(|| format!("type {} does not exist", member.type_id.0))?;
    let (place, load) = match member.bitfield_size {
        Some(bits) => {
            let bits = (spec.bit_offset, u64::from(bits));
            (bits, bitfield_load(bits, ty.size().map(u64::from).unwrap_or(0))?)
        }
        None => {
            let size = size_of(btf, type_id)?;
            let bits = size.checked_mul(8).ok_or("the field is larger than any can be")?;
            ((spec.bit_offset, bits), (spec.bit_offset / 8, size))
        }
    };
    let (bit_offset, bits) = place;
    let (start, size) = load;
    let bitfield = member.bitfield_size.is_some();
    let mut side = Side { value: 0, checked: !bitfield, access: None };
    match kind {
        FieldByteOffset => {
            side.value = start;
            if !bitfield {
                let element = element_of(btf, type_id)?;
                side.access = Some((size_of(btf, element)?, element));
            }
        }
        FieldByteSize => side.value = size,
        FieldSigned => {
            let signed = match ty.kind() {
                Kind::Int => ty.is_signed(),
                kind => is_enum(kind) && ty.kind_flag(),
            };
            (side.value, side.checked) = (u64::from(signed), true);
        }
        FieldLshiftU64 => {
            // What is loaded lies in the lower bytes of a register, whatever the byte order; the field in the upper bits
            // of it or in the lower ones. For fields of more than 64 bits the number means nothing; it is libbpf's.
            let within = bit_offset.wrapping_sub(start.wrapping_mul(8));
            let shift = match btf.endian() {
                Endian::Little => 64_u64.wrapping_sub(within.wrapping_add(bits)),
                Endian::Big => 8_u64.wrapping_sub(size).wrapping_mul(8).wrapping_add(within),
            };
            side.value = u64::from(shift as u32);
        }
        _ => (side.value, side.checked) = (u64::from(64_u64.wrapping_sub(bits) as u32), true),
    }
    Ok(side)
}

/// Which aligned load has all of a bit field in it: its first byte and its size. It begins with the size of the field's
/// type and doubles as long as the field lies across.
fn bitfield_load((bit_offset, bits): (u64, u64), size: u64) -> Result<(u64, u64), String> {
    if !matches!(size, 1 | 2 | 4 | 8 | 16) {
        return Err(format!("a bit field in a type of {size} bytes"));
    }
    let mut size = size;
    loop {
        let start = bit_offset / 8 / size * size;
        if bit_offset + bits - start * 8 <= size * 8 {
            return Ok((start, size));
        }
        if size >= 8 {
            return Err(
                "the bit field lies across two 64-bit words, so that no load has all of it".to_owned()
            );
        }
        size *= 2;
    }
}

//! What the words of a record are, for those who rewrite types without caring what they mean.

use crate::{Endian, Kind};

/// What a word of a record holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Role {
    /// An offset into the strings.
    Name,
    /// A type's id.
    Type,
    /// A number.
    Number,
}
use Role::{Name, Number, Type};

/// Number of the first word that belongs to the kind: name, info and size or type come before.
const EXTRA: usize = 3;

/// Role of the word at this place of a record, the first being 0; `None` where the kind is not known.
#[inline]
pub(crate) fn role(kind: Kind, place: usize) -> Option<Role> {
    let pattern: &[Role] = match kind {
        Kind::Unknown(_) => return None,
        Kind::Array => &[Type, Type, Number],
        Kind::Struct | Kind::Union => &[Name, Type, Number],
        Kind::Enum => &[Name, Number],
        Kind::Enum64 => &[Name, Number, Number],
        Kind::FuncProto => &[Name, Type],
        Kind::Datasec => &[Type, Number, Number],
        _ => &[Number],
    };
    Some(match place {
        0 => Name,
        1 => Number,
        2 if has_target(kind) => Type,
        2 => Number,
        _ => *pattern.get((place - EXTRA) % pattern.len())?,
    })
}

/// Whether the third word is a type rather than a size.
pub(crate) fn has_target(kind: Kind) -> bool {
    use Kind::*;
    matches!(kind, Ptr | Typedef | Volatile | Const | Restrict | Func | FuncProto | Var | DeclTag | TypeTag)
}

/// The words of a record.
pub(crate) fn words(record: &[u8], endian: Endian) -> impl Iterator<Item = u32> + '_ {
    record.chunks_exact(4).filter_map(move |chunk| endian.u32(chunk, 0))
}

/// Kind of a record by its info word.
#[inline]
pub(crate) fn kind_of(info: u32) -> Kind {
    let number = (info >> 24) as u8 & 0x7f;
    Kind::from_number(number).unwrap_or(Kind::Unknown(number))
}

/// Puts a word over the one at this place of a record.
pub(crate) fn put(record: &mut [u8], place: usize, endian: Endian, value: u32) {
    if let Some(word) = record.get_mut(4 * place..4 * place + 4) {
        word.copy_from_slice(&endian.bytes(value));
    }
}

/// The record with each type and each name exchanged; `None` where its kind is not known.
pub(crate) fn rewritten(
    record: &[u8],
    endian: Endian,
    mut ty: impl FnMut(u32) -> u32,
    mut name: impl FnMut(u32) -> u32,
) -> Option<Vec<u8>> {
    let kind = kind_of(endian.u32(record, 4)?);
    let mut out = Vec::with_capacity(record.len());
    for (place, word) in words(record, endian).enumerate() {
        let word = match role(kind, place)? {
            Name => name(word),
            Type => ty(word),
            Number => word,
        };
        out.extend_from_slice(&endian.bytes(word));
    }
    Some(out)
}

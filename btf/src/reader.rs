//! Opened data: byte order, string sections and the table of type offsets.

use crate::header::{Header, offsets};
use crate::index::NameIndex;
use crate::{Error, Type, TypeId};
use std::sync::OnceLock;

/// Byte order of the data.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Endian {
    /// Least significant byte first.
    Little,
    /// Most significant byte first.
    Big,
}

impl Endian {
    /// The byte order of the machine that this program was compiled for.
    pub const NATIVE: Endian = if cfg!(target_endian = "little") { Endian::Little } else { Endian::Big };

    #[inline]
    pub(crate) fn u32(self, bytes: &[u8], at: usize) -> Option<u32> {
        let bytes = *bytes.get(at..)?.first_chunk::<4>()?;
        Some(match self {
            Endian::Little => u32::from_le_bytes(bytes),
            Endian::Big => u32::from_be_bytes(bytes),
        })
    }

    #[inline]
    pub(crate) fn bytes(self, value: u32) -> [u8; 4] {
        match self {
            Endian::Little => value.to_le_bytes(),
            Endian::Big => value.to_be_bytes(),
        }
    }
}

/// String sections a type's name offset points into: the base's first, then the own one.
#[derive(Clone, Copy)]
pub(crate) struct Strings<'data> {
    base: &'data str,
    own: &'data str,
}

impl<'data> Strings<'data> {
    /// The bytes from `offset` to the end of the section it is in.
    #[inline]
    pub(crate) fn rest(&self, offset: u32) -> Option<&'data [u8]> {
        let offset = offset as usize;
        match offset.checked_sub(self.base.len()) {
            None => self.base.as_bytes().get(offset..),
            Some(own) => self.own.as_bytes().get(own..),
        }
    }

    pub(crate) fn get(&self, offset: u32) -> Option<&'data str> {
        let offset = offset as usize;
        let rest = match offset.checked_sub(self.base.len()) {
            None => self.base.get(offset..)?,
            Some(own) => self.own.get(own..)?,
        };
        rest.get(..zero(rest.as_bytes())?)
    }

    /// Whether the string at `offset` is `name`; looks at no more bytes than it must.
    pub(crate) fn is(&self, offset: u32, name: &str) -> bool {
        let rest = self.rest(offset).and_then(|rest| rest.strip_prefix(name.as_bytes()));
        rest.is_some_and(|rest| rest.first() == Some(&0))
    }

    /// Bytes of both sections: the first offset that is free.
    pub(crate) fn len(&self) -> usize {
        self.base.len() + self.own.len()
    }

    pub(crate) fn own(&self) -> &'data str {
        self.own
    }
}

/// Where the first zero byte is. Names are short: eight bytes at once, without the set-up that long texts are worth.
#[inline]
fn zero(bytes: &[u8]) -> Option<usize> {
    const LOW: u64 = 0x0101_0101_0101_0101;
    let mut at = 0;
    while let Some(chunk) = bytes.get(at..).and_then(|rest| rest.first_chunk::<8>()) {
        let word = u64::from_le_bytes(*chunk);
        // The lowest high bit that is left stands for the first byte that was zero.
        let zeros = word.wrapping_sub(LOW) & !word & (LOW << 7);
        if zeros != 0 {
            return Some(at + (zeros.trailing_zeros() / 8) as usize);
        }
        at += 8;
    }
    bytes.get(at..)?.iter().position(|byte| *byte == 0).map(|more| at + more)
}

/// BTF data, opened: the kernel's (`/sys/kernel/btf/vmlinux`), a module's (split, on the kernel's) or an object file's.
///
/// Borrows the bytes. Opening is one pass over the type section, which checks that every record fits and stores four
/// bytes a type; everything else is read when asked for. Sharing it between threads takes a reference.
pub struct Btf<'data> {
    pub(crate) bytes: &'data [u8],
    pub(crate) types: &'data [u8],
    pub(crate) strings: Strings<'data>,
    pub(crate) layout: &'data [u8],
    pub(crate) endian: Endian,
    pub(crate) base: Option<&'data Btf<'data>>,
    /// Id of the first type of the own section: 1, or one after the base's last.
    pub(crate) first_id: u32,
    /// Offset of each own type in the type section.
    pub(crate) offsets: Vec<u32>,
    pub(crate) index: NameIndex,
    pub(crate) pointer_size: OnceLock<u32>,
    /// Declaration tags of the own section: what they are on, and their ids.
    pub(crate) tags: OnceLock<Vec<(TypeId, TypeId)>>,
}

impl<'data> Btf<'data> {
    /// Opens stand-alone BTF.
    ///
    /// Headers of all lengths are accepted. Of the newer fields the layout section (since Linux 7.1) is used, which says
    /// how long records of kinds are that this crate does not know: they become [`Kind::Unknown`](crate::Kind::Unknown).
    /// Fields behind it are not looked at, whatever they hold; the kernel itself takes them only where they are zero.
    ///
    /// # Errors
    ///
    /// Says which part of the data breaks which rule. Ids and offsets *inside* types are not checked here; a lookup
    /// that meets a bad one gives `None`.
    pub fn parse(data: &'data [u8]) -> Result<Btf<'data>, Error> {
        Btf::open(data, None)
    }

    /// Opens split BTF: type ids and strings go on where the base's end.
    ///
    /// # Errors
    ///
    /// As [`parse`](Btf::parse); [`Error::SplitBase`] when the base is split itself.
    pub fn parse_split(data: &'data [u8], base: &'data Btf<'data>) -> Result<Btf<'data>, Error> {
        if base.base.is_some() {
            return Err(Error::SplitBase);
        }
        Btf::open(data, Some(base))
    }

    fn open(data: &'data [u8], base: Option<&'data Btf<'data>>) -> Result<Btf<'data>, Error> {
        let Header { endian, types, strings: own, layout } = Header::parse(data)?;
        let begins = base.is_some() || own.first() == Some(&0);
        let ends = own.last() == Some(&0) || (base.is_some() && own.is_empty());
        if !begins || !ends {
            return Err(Error::UnterminatedStrings);
        }
        let own = std::str::from_utf8(own).map_err(|error| Error::BadUtf8 { offset: error.valid_up_to() })?;
        if base.is_some_and(|base| base.endian != endian) {
            return Err(Error::MixedByteOrder);
        }
        let first_id = base.map_or(1, |base| base.next_id());
        let offsets = offsets(types, endian, layout, first_id)?;
        let strings = Strings { base: base.map_or("", |base| base.strings.own), own };
        Ok(Btf {
            bytes: data,
            types,
            strings,
            layout,
            endian,
            base,
            first_id,
            offsets,
            index: NameIndex::default(),
            pointer_size: OnceLock::new(),
            tags: OnceLock::new(),
        })
    }

    /// Byte order of the data.
    pub fn endian(&self) -> Endian {
        self.endian
    }

    /// The bytes that were opened, without the base's.
    pub fn own_bytes(&self) -> &'data [u8] {
        self.bytes
    }

    /// The own string section: names, each with a zero byte behind it.
    pub fn own_strings(&self) -> &'data str {
        self.strings.own
    }

    /// Id of the first type that is not the base's; 1 for stand-alone BTF.
    pub fn first_id(&self) -> TypeId {
        TypeId(self.first_id)
    }

    /// Number of types, those of the base included and `void` (id 0) counted: the first id that is free.
    pub fn next_id(&self) -> u32 {
        // `offsets` refuses data in which this sum would overflow.
        self.first_id.saturating_add(self.offsets.len() as u32)
    }

    /// The base of split BTF.
    pub fn base(&self) -> Option<&'data Btf<'data>> {
        self.base
    }

    /// The string at this offset of the string section (base and own section count as one).
    pub fn string(&self, offset: u32) -> Option<&'data str> {
        self.strings.get(offset)
    }

    /// The type with this id; id 0 is `void`.
    #[inline]
    pub fn type_by_id(&self, id: TypeId) -> Option<Type<'data>> {
        if id.0 == 0 {
            return Some(Type::void(self.strings, self.endian));
        }
        if id.0 < self.first_id {
            return self.base?.type_by_id(id);
        }
        self.own((id.0 - self.first_id) as usize)
    }

    /// The own type at this place of the table.
    #[inline]
    pub(crate) fn own(&self, place: usize) -> Option<Type<'data>> {
        Type::read(self.record(place)?, self.strings, self.endian)
    }

    /// The bytes of the own type at this place of the table.
    #[inline]
    pub(crate) fn record(&self, place: usize) -> Option<&'data [u8]> {
        let start = *self.offsets.get(place)? as usize;
        let end = self.offsets.get(place + 1).map_or(self.types.len(), |next| *next as usize);
        self.types.get(start..end)
    }

    /// All types in the order of their ids, the base's first; `void` is left out.
    pub fn types(&self) -> impl Iterator<Item = (TypeId, Type<'data>)> + '_ {
        let base = self.base.into_iter().flat_map(|base| base.own_types());
        base.chain(self.own_types())
    }

    /// The types of this BTF's own section, without the base's.
    pub fn own_types(&self) -> impl Iterator<Item = (TypeId, Type<'data>)> + '_ {
        (0..self.offsets.len())
            .zip(self.first_id..)
            .filter_map(|(place, id)| Some((TypeId(id), self.own(place)?)))
    }
}

impl std::fmt::Debug for Btf<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Btf")
            .field("endian", &self.endian)
            .field("split", &self.base.is_some())
            .field("first_id", &self.first_id)
            .field("types", &self.offsets.len())
            .finish_non_exhaustive()
    }
}

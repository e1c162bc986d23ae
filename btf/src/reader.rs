//! Header, byte order, string sections and the table of type offsets.

use crate::index::NameIndex;
use crate::{Error, Kind, Type, TypeId};
use std::sync::OnceLock;
use std::sync::atomic::AtomicU32;

const MAGIC: u16 = 0xeb9f;
const HEADER_LEN: usize = 24;

/// Byte order of the data.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Endian {
    /// Least significant byte first.
    Little,
    /// Most significant byte first.
    Big,
}

impl Endian {
    pub(crate) fn u32(self, bytes: &[u8], at: usize) -> Option<u32> {
        let bytes = bytes.get(at..at.checked_add(4)?)?.try_into().ok()?;
        Some(match self {
            Endian::Little => u32::from_le_bytes(bytes),
            Endian::Big => u32::from_be_bytes(bytes),
        })
    }
}

/// String sections a type's name offset points into: the base's first, then the own one.
#[derive(Clone, Copy)]
pub(crate) struct Strings<'data> {
    base: &'data str,
    own: &'data str,
}

impl<'data> Strings<'data> {
    pub(crate) fn get(&self, offset: u32) -> Option<&'data str> {
        let offset = offset as usize;
        let rest = match offset.checked_sub(self.base.len()) {
            None => self.base.get(offset..)?,
            Some(own) => self.own.get(own..)?,
        };
        let end = rest.as_bytes().iter().position(|byte| *byte == 0)?;
        rest.get(..end)
    }

    /// Whether the string at `offset` is `name`; looks at no more bytes than it must.
    pub(crate) fn is(&self, offset: u32, name: &str) -> bool {
        let offset = offset as usize;
        let rest = match offset.checked_sub(self.base.len()) {
            None => self.base.as_bytes().get(offset..),
            Some(own) => self.own.as_bytes().get(own..),
        };
        rest.and_then(|rest| rest.strip_prefix(name.as_bytes())).is_some_and(|rest| rest.first() == Some(&0))
    }
}

/// BTF data, opened: the kernel's (`/sys/kernel/btf/vmlinux`), a module's (split, on the kernel's) or an object file's.
///
/// Borrows the bytes. Opening is one pass over the type section, which checks that every record fits and stores four
/// bytes a type; everything else is read when asked for.
pub struct Btf<'data> {
    pub(crate) types: &'data [u8],
    pub(crate) strings: Strings<'data>,
    pub(crate) endian: Endian,
    pub(crate) base: Option<&'data Btf<'data>>,
    /// Id of the first type of the own section: 1, or one after the base's last.
    pub(crate) first_id: u32,
    /// Offset of each own type in the type section.
    pub(crate) offsets: Vec<u32>,
    pub(crate) index: OnceLock<NameIndex>,
    pub(crate) lookups: AtomicU32,
}

impl<'data> Btf<'data> {
    /// Opens stand-alone BTF.
    ///
    /// A header longer than the known 24 bytes is accepted; the additional fields are not looked at.
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
        let short = |need| Error::ShortHeader { have: data.len(), need };
        let magic = data.first_chunk::<2>().ok_or(short(HEADER_LEN))?;
        let endian = match (u16::from_le_bytes(*magic), u16::from_be_bytes(*magic)) {
            (MAGIC, _) => Endian::Little,
            (_, MAGIC) => Endian::Big,
            (found, _) => return Err(Error::BadMagic { found }),
        };
        let version = *data.get(2).ok_or(short(HEADER_LEN))?;
        if version != 1 {
            return Err(Error::BadVersion { version });
        }
        let field = |at| endian.u32(data, at).ok_or(short(HEADER_LEN));
        let header_len = field(4)? as usize;
        let (type_off, type_len, str_off, str_len) = (field(8)?, field(12)?, field(16)?, field(20)?);
        if header_len < HEADER_LEN {
            return Err(Error::BadHeaderLen { len: header_len });
        }
        if header_len > data.len() {
            return Err(short(header_len));
        }
        let section = |section, off: u32, len: u32| {
            let start = header_len as u64 + u64::from(off);
            let range = usize::try_from(start).ok().zip(usize::try_from(start + u64::from(len)).ok());
            let bytes = range.and_then(|(start, end)| data.get(start..end));
            bytes.ok_or(Error::BadSection { section, start, len: u64::from(len), have: data.len() })
        };
        let types = section("type", type_off, type_len)?;
        let own = section("string", str_off, str_len)?;
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
        let offsets = offsets(types, endian, first_id)?;
        let strings = Strings { base: base.map_or("", |base| base.strings.own), own };
        let (index, lookups) = (OnceLock::new(), AtomicU32::new(0));
        Ok(Btf { types, strings, endian, base, first_id, offsets, index, lookups })
    }

    /// Byte order of the data.
    pub fn endian(&self) -> Endian {
        self.endian
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
    pub fn type_by_id(&self, id: TypeId) -> Option<Type<'data>> {
        if id.0 == 0 {
            return Some(Type::void(self.strings, self.endian));
        }
        if id.0 < self.first_id {
            return self.base?.type_by_id(id);
        }
        let offset = *self.offsets.get((id.0 - self.first_id) as usize)? as usize;
        Type::read(self.types.get(offset..)?, self.strings, self.endian)
    }

    /// All types in the order of their ids, the base's first; `void` is left out.
    pub fn types(&self) -> impl Iterator<Item = (TypeId, Type<'data>)> + '_ {
        let base = self.base.into_iter().flat_map(|base| base.own_types());
        base.chain(self.own_types())
    }

    /// The types of this BTF's own section, without the base's.
    pub fn own_types(&self) -> impl Iterator<Item = (TypeId, Type<'data>)> + '_ {
        self.offsets.iter().zip(self.first_id..).filter_map(|(offset, id)| {
            let record = self.types.get(*offset as usize..)?;
            Some((TypeId(id), Type::read(record, self.strings, self.endian)?))
        })
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

fn offsets(types: &[u8], endian: Endian, first_id: u32) -> Result<Vec<u32>, Error> {
    // Records take 12 bytes at least; in the kernel's BTF they take 24 on average.
    let mut offsets = Vec::with_capacity(types.len() / 24);
    let mut at = 0;
    while at < types.len() {
        let count = u32::try_from(offsets.len()).map_err(|_| Error::TooManyTypes)?;
        let id = first_id.checked_add(count).filter(|id| *id < u32::MAX).ok_or(Error::TooManyTypes)?;
        let short = |need| Error::ShortType { id, offset: at, need, len: types.len() };
        let info = endian.u32(types, at + 4).ok_or(short(12))?;
        let number = (info >> 24) as u8 & 0x1f;
        let kind = Kind::from_number(number).ok_or(Error::UnknownKind { id, offset: at, kind: number })?;
        let need = 12 + kind.extra_len((info & 0xffff) as usize);
        if types.len() - at < need {
            return Err(short(need));
        }
        offsets.push(at as u32);
        at += need;
    }
    Ok(offsets)
}

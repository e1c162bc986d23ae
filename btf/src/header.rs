//! The header, where the sections lie, and how long records of each kind are.

use crate::{Endian, Error, Kind};

const MAGIC: u16 = 0xeb9f;

/// Length of the header before it told of a layout section.
pub(crate) const HEADER_LEN: usize = 24;

/// Length of the header that tells of a layout section.
pub(crate) const LAYOUT_HEADER_LEN: usize = 32;

/// Bytes that every type record begins with: name, info, size or type.
pub(crate) const RECORD_LEN: usize = 12;

/// Where what is.
pub(crate) struct Header<'data> {
    pub endian: Endian,
    pub types: &'data [u8],
    pub strings: &'data [u8],
    /// One entry of four bytes a kind; empty where there is no such section.
    pub layout: &'data [u8],
}

/// The byte order that the magic number stands in.
pub(crate) fn endian(data: &[u8]) -> Result<Endian, Error> {
    let magic = data.first_chunk::<2>().ok_or(Error::ShortHeader { have: data.len(), need: HEADER_LEN })?;
    match (u16::from_le_bytes(*magic), u16::from_be_bytes(*magic)) {
        (MAGIC, _) => Ok(Endian::Little),
        (_, MAGIC) => Ok(Endian::Big),
        (found, _) => Err(Error::BadMagic { found }),
    }
}

impl<'data> Header<'data> {
    pub fn parse(data: &'data [u8]) -> Result<Header<'data>, Error> {
        let short = |need| Error::ShortHeader { have: data.len(), need };
        let endian = endian(data)?;
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
        let strings = section("string", str_off, str_len)?;
        let (layout_off, layout_len) =
            if header_len >= LAYOUT_HEADER_LEN { (field(24)?, field(28)?) } else { (0, 0) };
        if layout_off % 4 != 0 || layout_len % 4 != 0 {
            return Err(Error::BadLayout { off: layout_off, len: layout_len });
        }
        let layout = if layout_len == 0 { &[] } else { section("layout", layout_off, layout_len)? };
        Ok(Header { endian, types, strings, layout })
    }
}

/// How long records are, by the number of their kind.
pub(crate) struct RecordLens {
    /// Bytes that each record has; 0 where the kind is not known.
    fixed: [u16; 128],
    /// Bytes for each of the entries that the record counts.
    each: [u8; 128],
}

impl RecordLens {
    /// Lengths of the known kinds, and of others where the layout section (`struct btf_layout`) has them.
    pub fn new(layout: &[u8]) -> RecordLens {
        let mut lens = RecordLens { fixed: [0; 128], each: [0; 128] };
        let kinds = lens.fixed.iter_mut().zip(lens.each.iter_mut()).zip(0_u8..);
        // Number 0 is `void`, which has no record.
        for ((fixed, each), number) in kinds.skip(1) {
            let known = Kind::from_number(number).map(|kind| kind.extra());
            let entry = layout.chunks_exact(4).nth(usize::from(number)).map(|entry| (entry[0], entry[1]));
            if let Some((info, element)) = known.or(entry) {
                *fixed = RECORD_LEN as u16 + u16::from(info);
                *each = element;
            }
        }
        lens
    }

    /// Length in bytes of a record with this info word; `None` where the kind is not known.
    #[inline]
    pub fn of(&self, info: u32) -> Option<usize> {
        let number = (info >> 24) as usize & 0x7f;
        let fixed = *self.fixed.get(number)?;
        if fixed == 0 {
            return None;
        }
        Some(usize::from(fixed) + usize::from(*self.each.get(number)?) * (info & 0x00ff_ffff) as usize)
    }
}

/// Offset of each record in the type section.
pub(crate) fn offsets(types: &[u8], endian: Endian, layout: &[u8], first_id: u32) -> Result<Vec<u32>, Error> {
    // Records take 12 bytes at least; in the kernel's BTF they take 24 on average.
    let mut offsets = Vec::with_capacity(types.len() / 24);
    let lens = RecordLens::new(layout);
    // One loop for each byte order: it takes most of the time of opening.
    let stop = match endian {
        Endian::Little => walk(types, &lens, &mut offsets, u32::from_le_bytes),
        Endian::Big => walk(types, &lens, &mut offsets, u32::from_be_bytes),
    };
    let count = u32::try_from(offsets.len()).map_err(|_| Error::TooManyTypes)?;
    let id = first_id.checked_add(count).filter(|id| *id < u32::MAX).ok_or(Error::TooManyTypes)?;
    match stop {
        Stop::End => Ok(offsets),
        Stop::Short { offset, need } => Err(Error::ShortType { id, offset, need, len: types.len() }),
        Stop::Unknown { offset, kind } => Err(Error::UnknownKind { id, offset, kind }),
    }
}

/// Why the walk over the records ended.
enum Stop {
    End,
    Short { offset: usize, need: usize },
    Unknown { offset: usize, kind: u8 },
}

#[inline]
fn walk(types: &[u8], lens: &RecordLens, offsets: &mut Vec<u32>, read: impl Fn([u8; 4]) -> u32) -> Stop {
    let mut offset = 0;
    let mut rest = types;
    while !rest.is_empty() {
        let Some([_, _, _, _, a, b, c, d, _, _, _, _]) = rest.first_chunk::<RECORD_LEN>() else {
            return Stop::Short { offset, need: RECORD_LEN };
        };
        let info = read([*a, *b, *c, *d]);
        let Some(need) = lens.of(info) else {
            return Stop::Unknown { offset, kind: (info >> 24) as u8 & 0x7f };
        };
        let Some(next) = rest.get(need..) else { return Stop::Short { offset, need } };
        // The section's length is a 32-bit number.
        offsets.push(offset as u32);
        offset += need;
        rest = next;
    }
    Stop::End
}

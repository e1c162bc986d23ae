//! `.BTF.ext`: what a compiler notes about instructions: functions, source lines, CO-RE relocations.
//!
//! Records are read at the size that the data gives them: what a newer compiler put behind the known fields is skipped.
//! The format is `Documentation/bpf/btf.rst`'s, "4.2 .BTF.ext section"; that of relocations `llvm_reloc.rst`'s.

use crate::header::endian;
use crate::reader::Strings;
use crate::{Btf, Endian, Error, ExtProblem, TypeId};
use std::marker::PhantomData;

/// What a CO-RE relocation asks about the target's types (`Documentation/bpf/llvm_reloc.rst`).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[allow(missing_docs)]
pub enum CoreReloKind {
    #[doc(alias = "BPF_CORE_FIELD_BYTE_OFFSET")]
    FieldByteOffset,
    #[doc(alias = "BPF_CORE_FIELD_BYTE_SIZE")]
    FieldByteSize,
    #[doc(alias = "BPF_CORE_FIELD_EXISTS")]
    FieldExists,
    #[doc(alias = "BPF_CORE_FIELD_SIGNED")]
    FieldSigned,
    #[doc(alias = "BPF_CORE_FIELD_LSHIFT_U64")]
    FieldLshiftU64,
    #[doc(alias = "BPF_CORE_FIELD_RSHIFT_U64")]
    FieldRshiftU64,
    #[doc(alias = "BPF_CORE_TYPE_ID_LOCAL")]
    TypeIdLocal,
    #[doc(alias = "BPF_CORE_TYPE_ID_TARGET")]
    TypeIdTarget,
    #[doc(alias = "BPF_CORE_TYPE_EXISTS")]
    TypeExists,
    #[doc(alias = "BPF_CORE_TYPE_SIZE")]
    TypeSize,
    #[doc(alias = "BPF_CORE_ENUMVAL_EXISTS")]
    EnumvalExists,
    #[doc(alias = "BPF_CORE_ENUMVAL_VALUE")]
    EnumvalValue,
    #[doc(alias = "BPF_CORE_TYPE_MATCHES")]
    TypeMatches,
}

const KINDS: [CoreReloKind; 13] = [
    CoreReloKind::FieldByteOffset,
    CoreReloKind::FieldByteSize,
    CoreReloKind::FieldExists,
    CoreReloKind::FieldSigned,
    CoreReloKind::FieldLshiftU64,
    CoreReloKind::FieldRshiftU64,
    CoreReloKind::TypeIdLocal,
    CoreReloKind::TypeIdTarget,
    CoreReloKind::TypeExists,
    CoreReloKind::TypeSize,
    CoreReloKind::EnumvalExists,
    CoreReloKind::EnumvalValue,
    CoreReloKind::TypeMatches,
];

impl CoreReloKind {
    /// The kind with this number (`enum bpf_core_relo_kind`).
    pub fn from_number(number: u32) -> Option<CoreReloKind> {
        KINDS.get(number as usize).copied()
    }
}

/// Where a function begins: `struct bpf_func_info`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[doc(alias = "bpf_func_info")]
pub struct FuncInfo {
    /// Bytes from the start of the ELF section.
    pub insn_off: u32,
    /// Its [`Func`](crate::Kind::Func).
    pub type_id: TypeId,
}

/// Where the instructions of a source line begin: `struct bpf_line_info`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[doc(alias = "bpf_line_info")]
pub struct LineInfo {
    /// Bytes from the start of the ELF section.
    pub insn_off: u32,
    /// Name of the file, as an offset into the strings of the BTF.
    pub file_name_off: u32,
    /// Text of the line, likewise.
    pub line_off: u32,
    /// Line in the upper 22 bits, column in the lower 10.
    pub line_col: u32,
}

impl LineInfo {
    /// Number of the line, from 1.
    pub fn line(&self) -> u32 {
        self.line_col >> 10
    }

    /// Number of the column, from 1; 0 where it is not known.
    pub fn column(&self) -> u32 {
        self.line_col & 0x3ff
    }
}

/// A CO-RE relocation: `struct bpf_core_relo`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[doc(alias = "bpf_core_relo")]
pub struct CoreRelo {
    /// Bytes from the start of the ELF section.
    pub insn_off: u32,
    /// The root type, in the object's BTF.
    pub type_id: TypeId,
    /// The path within it, such as `0:1:3`, as an offset into the strings of the BTF.
    pub access_str_off: u32,
    /// What is asked.
    pub kind: CoreReloKind,
}

mod sealed {
    use crate::Endian;

    /// A record of one of the three parts.
    pub trait Record: Sized {
        /// What errors call the part.
        const PART: &'static str;
        /// Bytes of the known fields.
        const LEN: usize;
        /// Reads the record; the number that it can't be read for otherwise.
        fn read(bytes: &[u8], endian: Endian) -> Result<Self, Option<u32>>;
    }
}
use sealed::Record;

fn words<const N: usize>(bytes: &[u8], endian: Endian) -> Option<[u32; N]> {
    let mut words = [0; N];
    for (place, word) in words.iter_mut().enumerate() {
        *word = endian.u32(bytes, 4 * place)?;
    }
    Some(words)
}

impl Record for FuncInfo {
    const PART: &'static str = "func info";
    const LEN: usize = 8;

    fn read(bytes: &[u8], endian: Endian) -> Result<FuncInfo, Option<u32>> {
        let [insn_off, type_id] = words(bytes, endian).ok_or(None)?;
        Ok(FuncInfo { insn_off, type_id: TypeId(type_id) })
    }
}

impl Record for LineInfo {
    const PART: &'static str = "line info";
    const LEN: usize = 16;

    fn read(bytes: &[u8], endian: Endian) -> Result<LineInfo, Option<u32>> {
        let [insn_off, file_name_off, line_off, line_col] = words(bytes, endian).ok_or(None)?;
        Ok(LineInfo { insn_off, file_name_off, line_off, line_col })
    }
}

impl Record for CoreRelo {
    const PART: &'static str = "CO-RE relocation";
    const LEN: usize = 16;

    fn read(bytes: &[u8], endian: Endian) -> Result<CoreRelo, Option<u32>> {
        let [insn_off, type_id, access_str_off, kind] = words(bytes, endian).ok_or(None)?;
        let kind = CoreReloKind::from_number(kind).ok_or(Some(kind))?;
        Ok(CoreRelo { insn_off, type_id: TypeId(type_id), access_str_off, kind })
    }
}

/// The records of one ELF section.
#[derive(Clone, Debug)]
pub struct Section<'data, R> {
    /// Name of the ELF section.
    pub name: &'data str,
    /// Its records, in the order of the data (compilers write them by rising instruction).
    pub records: Records<'data, R>,
}

/// Iterator over the records of a [`Section`].
#[derive(Clone, Debug)]
pub struct Records<'data, R> {
    bytes: &'data [u8],
    size: usize,
    endian: Endian,
    what: PhantomData<R>,
}

impl<R: Record> Iterator for Records<'_, R> {
    type Item = R;

    fn next(&mut self) -> Option<R> {
        let (record, rest) = self.bytes.split_at_checked(self.size)?;
        self.bytes = rest;
        // All records were read once when the data was opened.
        R::read(record, self.endian).ok()
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let len = self.bytes.len().checked_div(self.size).unwrap_or(0);
        (len, Some(len))
    }
}

impl<R: Record> ExactSizeIterator for Records<'_, R> {}

/// One of the three parts: records of a size, by ELF section.
#[derive(Clone, Copy, Debug)]
struct Part<'data> {
    /// Behind the record size.
    bytes: &'data [u8],
    size: usize,
}

/// `.BTF.ext` data, opened. Borrows the bytes; everything in it was checked.
#[derive(Clone, Copy)]
pub struct BtfExt<'data> {
    endian: Endian,
    strings: Strings<'data>,
    func_info: Part<'data>,
    line_info: Part<'data>,
    core_relos: Part<'data>,
}

impl<'data> BtfExt<'data> {
    /// Opens `.BTF.ext`; names of sections are in the strings of the object's `.BTF`.
    ///
    /// Data without CO-RE relocations (compilers before LLVM 10, or a header that ends before their place) has none.
    ///
    /// # Errors
    ///
    /// [`Error::Ext`] with the part, the offset in the data and the rule that it breaks. Type ids, string offsets and
    /// instruction offsets in records are not checked.
    pub fn parse(data: &'data [u8], btf: &Btf<'data>) -> Result<BtfExt<'data>, Error> {
        let header = |problem| Error::Ext { part: "header", offset: 0, problem };
        let short = |need| header(ExtProblem::CutShort { need, have: data.len() });
        let endian = endian(data).map_err(|error| match error {
            Error::BadMagic { found } => header(ExtProblem::BadMagic { found }),
            _ => short(HEADER_LEN),
        })?;
        let version = *data.get(2).ok_or(short(HEADER_LEN))?;
        if version != 1 {
            return Err(header(ExtProblem::BadVersion { version }));
        }
        let len = endian.u32(data, 4).ok_or(short(HEADER_LEN))? as usize;
        if len < HEADER_LEN {
            return Err(header(ExtProblem::BadHeaderLen { len }));
        }
        let (head, body) = data.split_at_checked(len).ok_or(short(len))?;
        let opened = Opened { endian, strings: btf.strings, head, body };
        Ok(BtfExt {
            endian,
            strings: btf.strings,
            func_info: opened.part::<FuncInfo>(8)?,
            line_info: opened.part::<LineInfo>(16)?,
            core_relos: opened.part::<CoreRelo>(24)?,
        })
    }

    /// Byte order of the data.
    pub fn endian(&self) -> Endian {
        self.endian
    }

    /// Where functions begin.
    pub fn func_info(&self) -> impl Iterator<Item = Section<'data, FuncInfo>> + use<'data> {
        self.sections(self.func_info)
    }

    /// Where source lines begin.
    pub fn line_info(&self) -> impl Iterator<Item = Section<'data, LineInfo>> + use<'data> {
        self.sections(self.line_info)
    }

    /// CO-RE relocations.
    pub fn core_relos(&self) -> impl Iterator<Item = Section<'data, CoreRelo>> + use<'data> {
        self.sections(self.core_relos)
    }

    fn sections<R: Record>(
        &self,
        part: Part<'data>,
    ) -> impl Iterator<Item = Section<'data, R>> + use<'data, R> {
        let (strings, endian) = (self.strings, self.endian);
        let mut rest = part.bytes;
        std::iter::from_fn(move || {
            let [name_off, count] = words(rest, endian)?;
            let len = part.size.checked_mul(count as usize)?;
            let (bytes, behind) = rest.get(8..)?.split_at_checked(len)?;
            rest = behind;
            let records = Records { bytes, size: part.size, endian, what: PhantomData };
            Some(Section { name: strings.get(name_off)?, records })
        })
    }
}

impl std::fmt::Debug for BtfExt<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BtfExt")
            .field("endian", &self.endian)
            .field("func_info", &self.func_info().map(|s| (s.name, s.records.len())).collect::<Vec<_>>())
            .field("line_info", &self.line_info().map(|s| (s.name, s.records.len())).collect::<Vec<_>>())
            .field("core_relos", &self.core_relos().map(|s| (s.name, s.records.len())).collect::<Vec<_>>())
            .finish()
    }
}

/// The header without CO-RE relocations.
const HEADER_LEN: usize = 24;

/// What opening needs at hand.
struct Opened<'data> {
    endian: Endian,
    strings: Strings<'data>,
    head: &'data [u8],
    body: &'data [u8],
}

impl<'data> Opened<'data> {
    /// The part whose offset and length are at this place of the header, checked to the last record.
    fn part<R: Record>(&self, at: usize) -> Result<Part<'data>, Error> {
        const NONE: Part<'static> = Part { bytes: &[], size: 1 };
        let Some([off, len]) = self.head.get(at..).and_then(|rest| words(rest, self.endian)) else {
            return Ok(NONE);
        };
        if len == 0 {
            return Ok(NONE);
        }
        // Offsets in errors count from the start of the data.
        let (start, have) = (self.head.len().saturating_add(off as usize), self.head.len() + self.body.len());
        let error = |offset, problem| Err(Error::Ext { part: R::PART, offset, problem });
        let end = (off as usize).checked_add(len as usize);
        let Some(bytes) = end.and_then(|end| self.body.get(off as usize..end)) else {
            return error(start, ExtProblem::OutOfBounds { len, have });
        };
        let Some([size]) = words(bytes, self.endian) else {
            return error(start, ExtProblem::CutShort { need: 4, have: bytes.len() });
        };
        if (size as usize) < R::LEN || size % 4 != 0 {
            return error(start, ExtProblem::BadRecordSize { size, least: R::LEN });
        }
        let size = size as usize;
        let part = Part { bytes: &bytes[4..], size };
        let mut rest = part.bytes;
        while !rest.is_empty() {
            let offset = start + (len as usize - rest.len());
            let cut = |need| ExtProblem::CutShort { need, have: rest.len() };
            let Some([name_off, count]) = words(rest, self.endian) else { return error(offset, cut(8)) };
            if self.strings.get(name_off).is_none() {
                return error(offset, ExtProblem::NoSectionName { name_off });
            }
            let need = size.saturating_mul(count as usize).saturating_add(8);
            let Some((section, behind)) = rest.split_at_checked(need) else {
                return error(offset, cut(need));
            };
            for (record, bytes) in section[8..].chunks_exact(size).enumerate() {
                if let Err(Some(kind)) = R::read(bytes, self.endian) {
                    return error(offset + 8 + size * record, ExtProblem::UnknownRelocation { kind });
                }
            }
            rest = behind;
        }
        Ok(part)
    }
}

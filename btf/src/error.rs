use std::fmt;

/// Why bytes are not BTF that can be read.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Error {
    /// The bytes end inside the header.
    ShortHeader {
        /// Bytes there are.
        have: usize,
        /// Bytes the header says or has to have.
        need: usize,
    },
    /// The first two bytes are not the BTF magic in either byte order.
    BadMagic {
        /// What the first two bytes are, little-endian.
        found: u16,
    },
    /// The header says that it is shorter than any header is.
    BadHeaderLen {
        /// Length in the header.
        len: usize,
    },
    /// A version that is not known.
    BadVersion {
        /// Version in the header.
        version: u8,
    },
    /// A section lies outside the bytes.
    BadSection {
        /// `type`, `string` or `layout`.
        section: &'static str,
        /// Where it starts, in bytes from the start of the data.
        start: u64,
        /// Its length in bytes.
        len: u64,
        /// Bytes there are.
        have: usize,
    },
    /// The layout section is not made of whole, aligned entries.
    BadLayout {
        /// Where it starts, in bytes from the end of the header.
        off: u32,
        /// Its length in bytes.
        len: u32,
    },
    /// The string section does not end in a zero byte, or a stand-alone one does not begin with one.
    UnterminatedStrings,
    /// The string section holds something else than UTF-8.
    BadUtf8 {
        /// Offset into the section.
        offset: usize,
    },
    /// A type record goes past the end of the type section.
    ShortType {
        /// Id of the type.
        id: u32,
        /// Offset into the type section.
        offset: usize,
        /// Length of the record.
        need: usize,
        /// Length of the section.
        len: usize,
    },
    /// A type of a kind that is neither known nor in the layout section; what follows it can't be found.
    UnknownKind {
        /// Id of the type.
        id: u32,
        /// Offset into the type section.
        offset: usize,
        /// The kind's number.
        kind: u8,
    },
    /// More types than ids can count.
    TooManyTypes,
    /// The base of a split BTF is split itself.
    SplitBase,
    /// A split BTF in the other byte order than its base.
    MixedByteOrder,
    /// A type of an unknown kind, in which ids and names can't be changed.
    KeptKind {
        /// Id of the type.
        id: u32,
        /// The kind's number.
        kind: u8,
    },
    /// A type with more members, values, parameters or variables than the kernel takes.
    TooManyEntries {
        /// Id of the type.
        id: u32,
        /// How many it has.
        count: usize,
    },
    /// `.BTF.ext` is damaged, or newer than this reader.
    Ext {
        /// `header`, `func info`, `line info` or `CO-RE relocation`.
        part: &'static str,
        /// Bytes from the start of `.BTF.ext`.
        offset: usize,
        /// The rule that is broken there.
        problem: ExtProblem,
    },
}

/// What is wrong with `.BTF.ext` at the place that [`Error::Ext`] names.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ExtProblem {
    /// The first two bytes are not the magic in either byte order.
    BadMagic {
        /// What they are, little-endian.
        found: u16,
    },
    /// A version that is not known.
    BadVersion {
        /// Version in the header.
        version: u8,
    },
    /// The header says that it is shorter than any header is.
    BadHeaderLen {
        /// Length in the header.
        len: usize,
    },
    /// The data, or the part, ends too soon.
    CutShort {
        /// Bytes that are needed here.
        need: usize,
        /// Bytes there are.
        have: usize,
    },
    /// The part lies outside the data.
    OutOfBounds {
        /// Its length in bytes.
        len: u32,
        /// Bytes of the data.
        have: usize,
    },
    /// Records are too small for their fields, or not made of whole words.
    BadRecordSize {
        /// Size in the data.
        size: u32,
        /// Size of the known fields.
        least: usize,
    },
    /// The name of an ELF section is not in the strings of the BTF.
    NoSectionName {
        /// Where it should be.
        name_off: u32,
    },
    /// A kind of CO-RE relocation that is not known.
    UnknownRelocation {
        /// The kind's number.
        kind: u32,
    },
}

impl fmt::Display for ExtProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ExtProblem::BadMagic { found } => {
                write!(f, "magic is {found:#06x}, not 0xeb9f; this is no .BTF.ext")
            }
            ExtProblem::BadVersion { version } => {
                write!(f, "version {version} is unknown, only 1 exists; a newer reader is needed")
            }
            ExtProblem::BadHeaderLen { len } => {
                write!(f, "a length of {len} bytes, where 24 is the least; the data is damaged")
            }
            ExtProblem::CutShort { need, have } => {
                write!(f, "{need} bytes are needed, {have} are there; the data was cut short")
            }
            ExtProblem::OutOfBounds { len, have } => {
                write!(f, "{len} bytes do not fit into {have} bytes of data; cut short?")
            }
            ExtProblem::BadRecordSize { size, least } => {
                write!(f, "records of {size} bytes, which must be a multiple of 4 and {least} at least")
            }
            ExtProblem::NoSectionName { name_off } => write!(
                f,
                "the section's name should be at {name_off} of the strings of .BTF, and is not; take both from \
                 the same object"
            ),
            ExtProblem::UnknownRelocation { kind } => {
                write!(f, "relocation kind {kind} is unknown; a newer reader is needed")
            }
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::ShortHeader { have, need } => write!(
                f,
                "BTF header: {have} bytes are too few, {need} are needed; the file was cut short or \
                 is no BTF"
            ),
            Error::BadMagic { found } => write!(
                f,
                "BTF header: magic is {found:#06x}, not 0xeb9f; this is no BTF (an ELF file keeps \
                 it in section .BTF)"
            ),
            Error::BadHeaderLen { len } => {
                write!(f, "BTF header: a length of {len} bytes, where 24 is the least; the data is damaged")
            }
            Error::BadVersion { version } => {
                write!(f, "BTF header: version {version} is unknown, only 1 exists; a newer reader is needed")
            }
            Error::BadSection { section, start, len, have } => write!(
                f,
                "BTF header: the {section} section at {start} of {len} bytes does not fit into \
                 {have} bytes; cut short?"
            ),
            Error::BadLayout { off, len } => write!(
                f,
                "BTF header: the layout section at {off} of {len} bytes behind the header is not made of \
                 aligned entries of 4 bytes; the data is damaged"
            ),
            Error::UnterminatedStrings => f.write_str(
                "BTF strings: the section must begin (unless split) and end with a zero byte; the \
                 data is damaged",
            ),
            Error::BadUtf8 { offset } => {
                write!(f, "BTF strings: byte {offset} is not UTF-8; the data is damaged")
            }
            Error::ShortType { id, offset, need, len } => write!(
                f,
                "BTF type {id} at offset {offset}: a record of {need} bytes goes past the section's \
                 {len} bytes"
            ),
            Error::UnknownKind { id, offset, kind } => write!(
                f,
                "BTF type {id} at offset {offset}: kind {kind} is unknown and no layout section \
                 says how long it is; a newer reader is needed"
            ),
            Error::TooManyTypes => f.write_str("BTF: more types than a 32-bit id can count"),
            Error::SplitBase => {
                f.write_str("split BTF: the base must be a stand-alone BTF (the kernel's), not a split one")
            }
            Error::MixedByteOrder => f.write_str(
                "split BTF: its byte order differs from the base's; take the base of the same kernel",
            ),
            Error::KeptKind { id, kind } => write!(
                f,
                "BTF type {id}: kind {kind} is unknown, so ids and names in it can't be changed; compile without \
                 what makes it, or use a newer release of this program"
            ),
            Error::TooManyEntries { id, count } => write!(
                f,
                "BTF type {id}: {count} members, values, parameters or variables; this kernel takes 65,535 (Linux \
                 7.2 takes 16,777,215)"
            ),
            Error::Ext { part, offset, problem } => {
                write!(f, ".BTF.ext {part} at offset {offset}: {problem}")
            }
        }
    }
}

impl std::error::Error for Error {}

impl std::error::Error for ExtProblem {}

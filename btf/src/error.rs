use thiserror::Error;

/// Why bytes are not BTF that can be read.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Error {
    /// The bytes end inside the header.
    #[error("BTF header: {have} bytes are too few, {need} are needed; the file was cut short or is no BTF")]
    ShortHeader {
        /// Bytes there are.
        have: usize,
        /// Bytes the header says or has to have.
        need: usize,
    },
    /// The first two bytes are not the BTF magic in either byte order.
    #[error(
        "BTF header: magic is {found:#06x}, not 0xeb9f; this is no BTF (an ELF file keeps it in section .BTF)"
    )]
    BadMagic {
        /// What the first two bytes are, little-endian.
        found: u16,
    },
    /// The header says that it is shorter than any header is.
    #[error("BTF header: a length of {len} bytes, where 24 is the least; the data is damaged")]
    BadHeaderLen {
        /// Length in the header.
        len: usize,
    },
    /// A version that is not known.
    #[error("BTF header: version {version} is unknown, only 1 exists; a newer reader is needed")]
    BadVersion {
        /// Version in the header.
        version: u8,
    },
    /// A section lies outside the bytes.
    #[error(
        "BTF header: the {section} section at {start} of {len} bytes does not fit into {have} bytes; cut short?"
    )]
    BadSection {
        /// `type` or `string`.
        section: &'static str,
        /// Where it starts, in bytes from the start of the data.
        start: u64,
        /// Its length in bytes.
        len: u64,
        /// Bytes there are.
        have: usize,
    },
    /// The string section does not end in a zero byte, or a stand-alone one does not begin with one.
    #[error(
        "BTF strings: the section must begin (unless split) and end with a zero byte; the data is damaged"
    )]
    UnterminatedStrings,
    /// The string section holds something else than UTF-8.
    #[error("BTF strings: byte {offset} is not UTF-8; the data is damaged")]
    BadUtf8 {
        /// Offset into the section.
        offset: usize,
    },
    /// A type record goes past the end of the type section.
    #[error("BTF type {id} at offset {offset}: a record of {need} bytes goes past the section's {len} bytes")]
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
    /// A type of a kind that is not known; what follows it can't be found.
    #[error("BTF type {id} at offset {offset}: kind {kind} is unknown; a newer reader is needed")]
    UnknownKind {
        /// Id of the type.
        id: u32,
        /// Offset into the type section.
        offset: usize,
        /// The kind's number.
        kind: u8,
    },
    /// More types than ids can count.
    #[error("BTF: more types than a 32-bit id can count")]
    TooManyTypes,
    /// The base of a split BTF is split itself.
    #[error("split BTF: the base must be a stand-alone BTF (the kernel's), not a split one")]
    SplitBase,
    /// A split BTF in the other byte order than its base.
    #[error("split BTF: its byte order differs from the base's; take the base of the same kernel")]
    MixedByteOrder,
}

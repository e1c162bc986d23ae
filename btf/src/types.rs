//! Type records and what they hold.

use crate::header::RECORD_LEN;
use crate::reader::{Endian, Strings};

/// Number of a type; 0 is `void`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct TypeId(pub u32);

/// Kind of a type (`BTF_KIND_*`, `Documentation/bpf/btf.rst`).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
#[allow(missing_docs)]
pub enum Kind {
    #[doc(alias = "BTF_KIND_UNKN")]
    Void,
    #[doc(alias = "BTF_KIND_INT")]
    Int,
    #[doc(alias = "BTF_KIND_PTR")]
    Ptr,
    #[doc(alias = "BTF_KIND_ARRAY")]
    Array,
    #[doc(alias = "BTF_KIND_STRUCT")]
    Struct,
    #[doc(alias = "BTF_KIND_UNION")]
    Union,
    #[doc(alias = "BTF_KIND_ENUM")]
    Enum,
    #[doc(alias = "BTF_KIND_FWD")]
    Fwd,
    #[doc(alias = "BTF_KIND_TYPEDEF")]
    Typedef,
    #[doc(alias = "BTF_KIND_VOLATILE")]
    Volatile,
    #[doc(alias = "BTF_KIND_CONST")]
    Const,
    #[doc(alias = "BTF_KIND_RESTRICT")]
    Restrict,
    #[doc(alias = "BTF_KIND_FUNC")]
    Func,
    #[doc(alias = "BTF_KIND_FUNC_PROTO")]
    FuncProto,
    #[doc(alias = "BTF_KIND_VAR")]
    Var,
    #[doc(alias = "BTF_KIND_DATASEC")]
    Datasec,
    #[doc(alias = "BTF_KIND_FLOAT")]
    Float,
    #[doc(alias = "BTF_KIND_DECL_TAG")]
    DeclTag,
    #[doc(alias = "BTF_KIND_TYPE_TAG")]
    TypeTag,
    #[doc(alias = "BTF_KIND_ENUM64")]
    Enum64,
    /// A kind with this number that this crate does not know; a layout section told how long its record is.
    Unknown(u8),
}

const KINDS: [Kind; 20] = [
    Kind::Void,
    Kind::Int,
    Kind::Ptr,
    Kind::Array,
    Kind::Struct,
    Kind::Union,
    Kind::Enum,
    Kind::Fwd,
    Kind::Typedef,
    Kind::Volatile,
    Kind::Const,
    Kind::Restrict,
    Kind::Func,
    Kind::FuncProto,
    Kind::Var,
    Kind::Datasec,
    Kind::Float,
    Kind::DeclTag,
    Kind::TypeTag,
    Kind::Enum64,
];

impl Kind {
    /// The kind of a type record with this number; 0 (`void`) has no record.
    pub fn from_number(number: u8) -> Option<Kind> {
        KINDS.get(usize::from(number)).copied().filter(|kind| *kind != Kind::Void)
    }

    /// The kind's number in the data.
    pub fn number(self) -> u8 {
        match self {
            Kind::Unknown(number) => number,
            known => KINDS
                .iter()
                .zip(0..)
                .find_map(|(kind, number)| (*kind == known).then_some(number))
                .unwrap_or(0),
        }
    }

    /// Bytes after the common 12 bytes of the record: once, and for each entry it counts.
    pub(crate) fn extra(self) -> (u8, u8) {
        match self {
            Kind::Int | Kind::Var | Kind::DeclTag => (4, 0),
            Kind::Array => (12, 0),
            Kind::Struct | Kind::Union | Kind::Datasec | Kind::Enum64 => (0, 12),
            Kind::Enum | Kind::FuncProto => (0, 8),
            _ => (0, 0),
        }
    }

    /// Whether the kind only wraps another type: typedef, const, volatile, restrict, type tag.
    pub fn is_wrapper(self) -> bool {
        matches!(self, Kind::Typedef | Kind::Volatile | Kind::Const | Kind::Restrict | Kind::TypeTag)
    }

    /// Whether the kind has members: struct and union.
    pub fn is_composite(self) -> bool {
        matches!(self, Kind::Struct | Kind::Union)
    }
}

/// Member of a struct or union.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Member<'data> {
    /// Name; empty for anonymous structs and unions.
    pub name: &'data str,
    /// Its type.
    pub type_id: TypeId,
    /// Bits from the start of the struct.
    pub bit_offset: u32,
    /// Width in bits of a bit field; `None` for ordinary members.
    pub bitfield_size: Option<u8>,
}

/// One value of an enumeration.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Enumerator<'data> {
    /// Name.
    pub name: &'data str,
    /// Value; unsigned 64-bit values above `i64::MAX` wrap ([`Type::is_signed`] tells).
    pub value: i64,
}

/// Parameter of a function prototype.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Param<'data> {
    /// Name; may be empty.
    pub name: &'data str,
    /// Its type; `void` marks `...`.
    pub type_id: TypeId,
}

/// Element type, index type and length of an array.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Array {
    /// Type of the elements.
    pub element: TypeId,
    /// Type of the index.
    pub index: TypeId,
    /// Number of elements.
    pub len: u32,
}

/// How an integer is to be read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct IntEncoding {
    /// Width in bits.
    pub bits: u8,
    /// Bits from the start of its storage.
    pub offset: u8,
    /// Signed.
    pub signed: bool,
    /// A character.
    pub char: bool,
    /// A boolean.
    pub bool: bool,
}

/// Variable of a data section.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SectionVar {
    /// The [`Kind::Var`] (or function) type.
    pub type_id: TypeId,
    /// Bytes from the start of the section.
    pub offset: u32,
    /// Size in bytes.
    pub size: u32,
}

/// Linkage of a variable or function.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Linkage {
    /// Visible in its file only.
    Static,
    /// Defined here, visible everywhere.
    Global,
    /// Defined elsewhere.
    Extern,
    /// A number without a meaning so far.
    Unknown(u32),
}

impl Linkage {
    /// The number in the data (`BTF_FUNC_*`, `BTF_VAR_*`, which agree).
    pub fn number(self) -> u32 {
        match self {
            Linkage::Static => 0,
            Linkage::Global => 1,
            Linkage::Extern => 2,
            Linkage::Unknown(number) => number,
        }
    }
}

/// A type record. Accessors that do not fit the kind give nothing.
#[derive(Clone, Copy)]
pub struct Type<'data> {
    name_off: u32,
    info: u32,
    word: u32,
    extra: &'data [u8],
    strings: Strings<'data>,
    endian: Endian,
}

impl<'data> Type<'data> {
    pub(crate) fn void(strings: Strings<'data>, endian: Endian) -> Type<'data> {
        Type { name_off: 0, info: 0, word: 0, extra: &[], strings, endian }
    }

    /// The record that is all of `bytes`.
    #[inline]
    pub(crate) fn read(bytes: &'data [u8], strings: Strings<'data>, endian: Endian) -> Option<Type<'data>> {
        let (name_off, info, word) = (endian.u32(bytes, 0)?, endian.u32(bytes, 4)?, endian.u32(bytes, 8)?);
        Some(Type { name_off, info, word, extra: bytes.get(RECORD_LEN..)?, strings, endian })
    }

    /// Kind.
    #[inline]
    pub fn kind(&self) -> Kind {
        let number = (self.info >> 24) as u8 & 0x7f;
        KINDS.get(usize::from(number)).copied().unwrap_or(Kind::Unknown(number))
    }

    /// What follows the first 12 bytes of the record, in the data's byte order: for those who know a kind that this crate
    /// does not.
    pub fn extra_bytes(&self) -> &'data [u8] {
        self.extra
    }

    /// The third word of the record, which is a size or a type, whatever the kind makes of it.
    pub fn size_or_type(&self) -> u32 {
        self.word
    }

    /// Name; empty for anonymous types and where the data holds a bad string offset.
    pub fn name(&self) -> &'data str {
        self.strings.get(self.name_off).unwrap_or("")
    }

    /// Whether the name is empty, without reading it.
    #[inline]
    pub(crate) fn is_anonymous(&self) -> bool {
        self.name_off == 0 || self.strings.rest(self.name_off).is_none_or(|rest| rest.first() == Some(&0))
    }

    /// The `index`th type that a definition of this one mentions: members, element, return type and parameters, or
    /// what is referred to. `None` after the last.
    #[inline]
    pub(crate) fn reference(&self, index: usize) -> Option<u32> {
        let word =
            |index: usize, len: usize| self.endian.u32(self.extra, index.checked_mul(len)?.checked_add(4)?);
        match self.kind() {
            Kind::Struct | Kind::Union if index < self.len() => word(index, 12),
            Kind::FuncProto if index > 0 && index <= self.len() => word(index - 1, 8),
            Kind::Array if index == 0 => self.endian.u32(self.extra, 0),
            kind if index == 0 && (kind.is_wrapper() || matches!(kind, Kind::Ptr | Kind::FuncProto)) => {
                Some(self.word)
            }
            _ => None,
        }
    }

    /// Offset of the name in the string section.
    pub fn name_offset(&self) -> u32 {
        self.name_off
    }

    /// The flag bit: see [`is_signed`](Type::is_signed), [`is_union_fwd`](Type::is_union_fwd), bit fields.
    pub fn kind_flag(&self) -> bool {
        self.info >> 31 != 0
    }

    /// Number of members, values, parameters or variables. Up to 65,535; since Linux 7.2 up to 2^24 - 1.
    pub fn len(&self) -> usize {
        (self.info & 0x00ff_ffff) as usize
    }

    /// Whether it has no members, values, parameters or variables.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Size in bytes where the record itself says it; [`Btf::size_of`](crate::Btf::size_of) follows references too.
    pub fn size(&self) -> Option<u32> {
        use Kind::*;
        matches!(self.kind(), Int | Struct | Union | Enum | Datasec | Float | Enum64).then_some(self.word)
    }

    /// The type this one refers to: target of a pointer, typedef, qualifier or tag, type of a variable, prototype of a
    /// function, return type of a prototype.
    pub fn type_id(&self) -> Option<TypeId> {
        use Kind::*;
        matches!(
            self.kind(),
            Ptr | Typedef | Volatile | Const | Restrict | Func | FuncProto | Var | DeclTag | TypeTag
        )
        .then_some(TypeId(self.word))
    }

    fn records<const LEN: usize>(self, fits: bool) -> impl Iterator<Item = &'data [u8]> + use<'data, LEN> {
        let extra: &'data [u8] = if fits { self.extra } else { &[] };
        extra.chunks_exact(LEN)
    }

    fn text(&self, offset: u32) -> &'data str {
        self.strings.get(offset).unwrap_or("")
    }

    /// Members of a struct or union.
    pub fn members(self) -> impl Iterator<Item = Member<'data>> + use<'data> {
        self.records::<12>(self.kind().is_composite()).filter_map(move |record| {
            let offset = self.endian.u32(record, 8)?;
            let (bit_offset, bitfield_size) = if self.kind_flag() {
                let size = (offset >> 24) as u8;
                (offset & 0x00ff_ffff, (size != 0).then_some(size))
            } else {
                (offset, None)
            };
            Some(Member {
                name: self.text(self.endian.u32(record, 0)?),
                type_id: TypeId(self.endian.u32(record, 4)?),
                bit_offset,
                bitfield_size,
            })
        })
    }

    /// Values of an enumeration of either width.
    pub fn enumerators(self) -> impl Iterator<Item = Enumerator<'data>> + use<'data> {
        let wide = self.kind() == Kind::Enum64;
        let narrow = self.records::<8>(self.kind() == Kind::Enum);
        narrow.chain(self.records::<12>(wide)).filter_map(move |record| {
            let low = self.endian.u32(record, 4)?;
            let value = match (wide, self.kind_flag()) {
                (true, _) => ((u64::from(self.endian.u32(record, 8)?) << 32) | u64::from(low)) as i64,
                (false, true) => i64::from(low as i32),
                (false, false) => i64::from(low),
            };
            Some(Enumerator { name: self.text(self.endian.u32(record, 0)?), value })
        })
    }

    /// Parameters of a function prototype. A last one of type `void` stands for `...`.
    pub fn params(self) -> impl Iterator<Item = Param<'data>> + use<'data> {
        self.records::<8>(self.kind() == Kind::FuncProto).filter_map(move |record| {
            Some(Param {
                name: self.text(self.endian.u32(record, 0)?),
                type_id: TypeId(self.endian.u32(record, 4)?),
            })
        })
    }

    /// Variables of a data section.
    pub fn section_vars(self) -> impl Iterator<Item = SectionVar> + use<'data> {
        self.records::<12>(self.kind() == Kind::Datasec).filter_map(move |record| {
            Some(SectionVar {
                type_id: TypeId(self.endian.u32(record, 0)?),
                offset: self.endian.u32(record, 4)?,
                size: self.endian.u32(record, 8)?,
            })
        })
    }

    /// What an array is made of.
    pub fn array(&self) -> Option<Array> {
        (self.kind() == Kind::Array).then_some(())?;
        Some(Array {
            element: TypeId(self.endian.u32(self.extra, 0)?),
            index: TypeId(self.endian.u32(self.extra, 4)?),
            len: self.endian.u32(self.extra, 8)?,
        })
    }

    /// How to read an integer.
    pub fn int(&self) -> Option<IntEncoding> {
        (self.kind() == Kind::Int).then_some(())?;
        let word = self.endian.u32(self.extra, 0)?;
        let encoding = word >> 24;
        Some(IntEncoding {
            bits: word as u8,
            offset: (word >> 16) as u8,
            signed: encoding & 1 != 0,
            char: encoding & 2 != 0,
            bool: encoding & 4 != 0,
        })
    }

    /// Whether an integer or enumeration is signed; `false` for everything else.
    pub fn is_signed(&self) -> bool {
        match self.kind() {
            Kind::Int => self.int().is_some_and(|int| int.signed),
            Kind::Enum | Kind::Enum64 => self.kind_flag(),
            _ => false,
        }
    }

    /// Whether a forward declaration declares a union rather than a struct.
    pub fn is_union_fwd(&self) -> bool {
        self.kind() == Kind::Fwd && self.kind_flag()
    }

    /// Linkage of a function or variable.
    pub fn linkage(&self) -> Option<Linkage> {
        let number = match self.kind() {
            Kind::Func => self.info & 0x00ff_ffff,
            Kind::Var => self.endian.u32(self.extra, 0)?,
            _ => return None,
        };
        Some(match number {
            0 => Linkage::Static,
            1 => Linkage::Global,
            2 => Linkage::Extern,
            other => Linkage::Unknown(other),
        })
    }

    /// Which member or parameter a declaration tag is on; -1 for the whole declaration.
    pub fn component_index(&self) -> Option<i32> {
        (self.kind() == Kind::DeclTag).then_some(())?;
        Some(self.endian.u32(self.extra, 0)? as i32)
    }
}

impl std::fmt::Debug for Type<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?} {:?} (size or type {}, {} entries)", self.kind(), self.name(), self.word, self.len())
    }
}

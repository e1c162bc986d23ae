//! Writing BTF: types one after the other, changes to what was written, the encoded bytes.

use crate::header::{HEADER_LEN, LAYOUT_HEADER_LEN};
use crate::record::{has_target, kind_of, put, rewritten};
use crate::strings::StringTable;
use crate::{Btf, Endian, Error, IntEncoding, Kind, Linkage, Member, SectionVar, TypeId};

/// A member for [`Builder::composite`].
pub type NewMember<'a> = Member<'a>;

/// Most members, values, parameters or variables that a type can have; before Linux 7.2 kernels take 65,535.
const MAX_ENTRIES: usize = 0x00ff_ffff;

/// BTF that grows: types are added, changed, deduplicated, and in the end written out.
///
/// Ids are given in the order of adding. Types may refer to ids that come later; nothing is checked here (the kernel
/// does). Strings are kept once; what stands behind a zero byte in one is left out.
///
/// ```
/// use btf::{Btf, Builder, Endian, IntEncoding, Kind, NewMember};
///
/// let mut builder = Builder::new(Endian::NATIVE);
/// let int = builder.int("int", 4, IntEncoding { bits: 32, offset: 0, signed: true, char: false, bool: false });
/// let member = |name, bit_offset| NewMember { name, type_id: int, bit_offset, bitfield_size: None };
/// builder.composite(Kind::Struct, "point", 8, &[member("x", 0), member("y", 32)]);
/// let bytes = builder.finish();
/// assert_eq!(Btf::parse(&bytes)?.member_offset("point", "y"), Some((32, 32)));
/// # Ok::<(), btf::Error>(())
/// ```
#[derive(Clone)]
pub struct Builder {
    pub(crate) endian: Endian,
    pub(crate) first_id: u32,
    pub(crate) types: Vec<u8>,
    pub(crate) offsets: Vec<u32>,
    pub(crate) strings: StringTable,
    /// Layout section, where there are kinds that only it makes readable.
    pub(crate) layout: Vec<u8>,
}

impl Builder {
    /// Stand-alone BTF without types.
    pub fn new(endian: Endian) -> Builder {
        let strings = StringTable::new(&[0], 0);
        Builder { endian, first_id: 1, types: vec![], offsets: vec![], strings, layout: vec![] }
    }

    /// Split BTF without types of its own: ids and strings go on where the base's end.
    pub fn new_split(base: &Btf<'_>) -> Builder {
        let strings = StringTable::new(&[], base.strings.len());
        let (endian, first_id) = (base.endian, base.next_id());
        Builder { endian, first_id, types: vec![], offsets: vec![], strings, layout: vec![] }
    }

    /// A copy of all own types and strings; ids and offsets of strings stay what they are. Of split BTF it makes split
    /// BTF on the same base.
    ///
    /// Fields of the header that this crate does not know are left out. Types of unknown kinds are kept as they are, and
    /// so is the layout section that makes them readable.
    pub fn from_btf(btf: &Btf<'_>) -> Builder {
        let own = btf.strings.own();
        let strings = StringTable::new(own.as_bytes(), btf.strings.len() - own.len());
        let unknown = btf.own_types().any(|(_, ty)| matches!(ty.kind(), Kind::Unknown(_)));
        Builder {
            endian: btf.endian,
            first_id: btf.first_id,
            types: btf.types.to_vec(),
            offsets: btf.offsets.clone(),
            strings,
            layout: if unknown { btf.layout.to_vec() } else { vec![] },
        }
    }

    /// Byte order of the data.
    pub fn endian(&self) -> Endian {
        self.endian
    }

    /// Number of own types.
    pub fn len(&self) -> usize {
        self.offsets.len()
    }

    /// Whether there are no own types.
    pub fn is_empty(&self) -> bool {
        self.offsets.is_empty()
    }

    /// The id that the next type gets.
    pub fn next_id(&self) -> TypeId {
        TypeId(self.first_id.saturating_add(self.offsets.len() as u32))
    }

    /// Offset of a string, which is added where the own strings do not have it.
    pub fn string(&mut self, text: &str) -> u32 {
        self.strings.offset(text.as_bytes())
    }

    /// An integer of `size` bytes.
    #[doc(alias = "BTF_KIND_INT")]
    pub fn int(&mut self, name: &str, size: u32, encoding: IntEncoding) -> TypeId {
        let IntEncoding { bits, offset, signed, char, bool } = encoding;
        let flags = u32::from(signed) | u32::from(char) << 1 | u32::from(bool) << 2;
        let word = flags << 24 | u32::from(offset) << 16 | u32::from(bits);
        self.add(name, Kind::Int, false, 0, size, &[word])
    }

    /// A pointer.
    #[doc(alias = "BTF_KIND_PTR")]
    pub fn ptr(&mut self, to: TypeId) -> TypeId {
        self.add("", Kind::Ptr, false, 0, to.0, &[])
    }

    /// An array of `len` elements.
    #[doc(alias = "BTF_KIND_ARRAY")]
    pub fn array(&mut self, element: TypeId, index: TypeId, len: u32) -> TypeId {
        self.add("", Kind::Array, false, 0, 0, &[element.0, index.0, len])
    }

    /// A struct ([`Kind::Struct`]) or union ([`Kind::Union`]) of `size` bytes.
    ///
    /// # Panics
    ///
    /// When `kind` is another one, or there are more than 2^24 - 1 members, or there is a bit field and a member lies
    /// 2^24 bits or more behind the start.
    #[doc(alias = "BTF_KIND_STRUCT")]
    #[doc(alias = "BTF_KIND_UNION")]
    pub fn composite(&mut self, kind: Kind, name: &str, size: u32, members: &[NewMember<'_>]) -> TypeId {
        assert!(kind.is_composite(), "a struct or union, not {kind:?}");
        let bitfields = members.iter().any(|member| member.bitfield_size.is_some());
        let mut words = Vec::with_capacity(3 * members.len());
        for member in members {
            let width = u32::from(member.bitfield_size.unwrap_or(0));
            assert!(
                !bitfields || member.bit_offset < 1 << 24,
                "structs with bit fields are smaller than 2 MiB"
            );
            words.extend([self.string(member.name), member.type_id.0, width << 24 | member.bit_offset]);
        }
        self.add(name, kind, bitfields, members.len(), size, &words)
    }

    /// An enumeration of `size` bytes: a [`Kind::Enum64`] (since Linux 6.0) where that is 8, else a [`Kind::Enum`].
    ///
    /// # Panics
    ///
    /// When there are more than 2^24 - 1 values.
    #[doc(alias = "BTF_KIND_ENUM")]
    #[doc(alias = "BTF_KIND_ENUM64")]
    pub fn enumeration(&mut self, name: &str, size: u32, signed: bool, values: &[(&str, i64)]) -> TypeId {
        let wide = size == 8;
        let mut words = Vec::with_capacity(3 * values.len());
        for (name, value) in values {
            words.extend([self.string(name), *value as u32]);
            if wide {
                words.push((*value >> 32) as u32);
            }
        }
        let kind = if wide { Kind::Enum64 } else { Kind::Enum };
        self.add(name, kind, signed, values.len(), size, &words)
    }

    /// A forward declaration of a struct, or of a union.
    #[doc(alias = "BTF_KIND_FWD")]
    pub fn fwd(&mut self, name: &str, union: bool) -> TypeId {
        self.add(name, Kind::Fwd, union, 0, 0, &[])
    }

    /// A typedef.
    #[doc(alias = "BTF_KIND_TYPEDEF")]
    pub fn typedef(&mut self, name: &str, of: TypeId) -> TypeId {
        self.add(name, Kind::Typedef, false, 0, of.0, &[])
    }

    /// A qualifier: [`Kind::Const`], [`Kind::Volatile`] or [`Kind::Restrict`].
    ///
    /// # Panics
    ///
    /// When `kind` is another one.
    #[doc(alias = "BTF_KIND_CONST")]
    #[doc(alias = "BTF_KIND_VOLATILE")]
    #[doc(alias = "BTF_KIND_RESTRICT")]
    pub fn modifier(&mut self, kind: Kind, of: TypeId) -> TypeId {
        assert!(matches!(kind, Kind::Const | Kind::Volatile | Kind::Restrict), "a qualifier, not {kind:?}");
        self.add("", kind, false, 0, of.0, &[])
    }

    /// A tag on a pointer's target (`btf_type_tag`). Since Linux 5.17.
    #[doc(alias = "BTF_KIND_TYPE_TAG")]
    pub fn type_tag(&mut self, name: &str, of: TypeId) -> TypeId {
        self.add(name, Kind::TypeTag, false, 0, of.0, &[])
    }

    /// A tag on a declaration (`btf_decl_tag`), or with `component` from 0 on one of its members or parameters; -1 for
    /// the whole. Since Linux 5.16.
    #[doc(alias = "BTF_KIND_DECL_TAG")]
    pub fn decl_tag(&mut self, name: &str, on: TypeId, component: i32) -> TypeId {
        self.add(name, Kind::DeclTag, false, 0, on.0, &[component as u32])
    }

    /// A floating point number of `size` bytes. Since Linux 5.13.
    #[doc(alias = "BTF_KIND_FLOAT")]
    pub fn float(&mut self, name: &str, size: u32) -> TypeId {
        self.add(name, Kind::Float, false, 0, size, &[])
    }

    /// A function of this prototype. Since Linux 5.0.
    #[doc(alias = "BTF_KIND_FUNC")]
    pub fn func(&mut self, name: &str, proto: TypeId, linkage: Linkage) -> TypeId {
        self.add(name, Kind::Func, false, linkage.number() as usize & MAX_ENTRIES, proto.0, &[])
    }

    /// A function's prototype; a last parameter without name and of type `void` stands for `...`. Since Linux 5.0.
    ///
    /// # Panics
    ///
    /// When there are more than 2^24 - 1 parameters.
    #[doc(alias = "BTF_KIND_FUNC_PROTO")]
    pub fn func_proto(&mut self, returns: TypeId, params: &[(&str, TypeId)]) -> TypeId {
        let words: Vec<u32> = params.iter().flat_map(|(name, ty)| [self.string(name), ty.0]).collect();
        self.add("", Kind::FuncProto, false, params.len(), returns.0, &words)
    }

    /// A variable. Since Linux 5.2.
    #[doc(alias = "BTF_KIND_VAR")]
    pub fn var(&mut self, name: &str, ty: TypeId, linkage: Linkage) -> TypeId {
        self.add(name, Kind::Var, false, 0, ty.0, &[linkage.number()])
    }

    /// A data section of `size` bytes and its variables. Since Linux 5.2.
    ///
    /// # Panics
    ///
    /// When there are more than 2^24 - 1 variables.
    #[doc(alias = "BTF_KIND_DATASEC")]
    pub fn datasec(&mut self, name: &str, size: u32, vars: &[SectionVar]) -> TypeId {
        let words: Vec<u32> = vars.iter().flat_map(|var| [var.type_id.0, var.offset, var.size]).collect();
        self.add(name, Kind::Datasec, false, vars.len(), size, &words)
    }

    /// Puts size and variables of a data section in place of what it had: compilers leave them to the linker or loader.
    /// `false`, and nothing is changed, where `id` is no own data section.
    ///
    /// # Panics
    ///
    /// When there are more than 2^24 - 1 variables.
    #[must_use]
    pub fn set_datasec(&mut self, id: TypeId, size: u32, vars: &[SectionVar]) -> bool {
        let Some(old) = self.record(id).filter(|record| self.kind(record) == Some(Kind::Datasec)) else {
            return false;
        };
        let name = self.endian.u32(old, 0).unwrap_or(0);
        self.replace(id, |builder| {
            let id = builder.datasec("", size, vars);
            builder.change(id, |record, endian| put(record, 0, endian, name));
            id
        })
    }

    /// Gives a type another name. `false` where `id` is no own type.
    #[must_use]
    pub fn set_name(&mut self, id: TypeId, name: &str) -> bool {
        let name = self.string(name);
        self.change(id, |record, endian| put(record, 0, endian, name))
    }

    /// Has a type refer to another one: the target of a pointer, typedef, qualifier or tag, type of a variable, prototype
    /// of a function, return type of a prototype. `false` where `id` is no own type that refers to one.
    #[must_use]
    pub fn set_type(&mut self, id: TypeId, to: TypeId) -> bool {
        let fits = self.record(id).and_then(|record| self.kind(record)).is_some_and(has_target);
        fits && self.change(id, |record, endian| put(record, 2, endian, to.0))
    }

    /// Changes the linkage of a function or variable. `false` where `id` is no own one.
    #[must_use]
    pub fn set_linkage(&mut self, id: TypeId, linkage: Linkage) -> bool {
        let number = linkage.number();
        match self.record(id).and_then(|record| self.kind(record)) {
            Some(Kind::Func) => self.change(id, |record, endian| {
                let info = endian.u32(record, 4).unwrap_or(0);
                put(record, 1, endian, info & !0x00ff_ffff | number & 0x00ff_ffff);
            }),
            Some(Kind::Var) => self.change(id, |record, endian| put(record, 3, endian, number)),
            _ => false,
        }
    }

    /// Puts a type that `make` adds in the place of another one, so that it has that one's id. `false` where `id` is no
    /// own type, or `make` names another one than it added last; what else it adds stays, at the end.
    #[must_use]
    pub fn replace(&mut self, id: TypeId, make: impl FnOnce(&mut Builder) -> TypeId) -> bool {
        if self.place(id).is_none() {
            return false;
        }
        let made = make(self);
        // Only what was added last can be taken away again.
        let last = self.next_id().0.checked_sub(1);
        let (Some(place), true) = (self.place(id), last == Some(made.0) && id != made) else { return false };
        let Some(end) = self.offsets.pop() else { return false };
        let record = self.types.split_off(end as usize);
        let Some(range) = self.range(place) else { return false };
        let (old, new) = (range.len() as u32, record.len() as u32);
        self.types.splice(range, record);
        for offset in self.offsets.iter_mut().skip(place + 1) {
            *offset = (*offset - old) + new;
        }
        true
    }

    /// Adds all own types of other BTF; what is returned is what their ids grew by. Ids of a base's types stay.
    ///
    /// # Errors
    ///
    /// [`Error::MixedByteOrder`] for the other byte order, [`Error::KeptKind`] for a type of an unknown kind, in which
    /// ids could not be changed. Nothing is added then.
    pub fn append(&mut self, btf: &Btf<'_>) -> Result<u32, Error> {
        if btf.endian != self.endian {
            return Err(Error::MixedByteOrder);
        }
        let unknown = btf.own_types().find(|(_, ty)| matches!(ty.kind(), Kind::Unknown(_)));
        if let Some((id, ty)) = unknown {
            return Err(Error::KeptKind { id: id.0, kind: ty.kind().number() });
        }
        let delta = self.next_id().0.wrapping_sub(btf.first_id);
        for place in 0..btf.offsets.len() {
            let Some(record) = btf.record(place) else { continue };
            let ty = |id: u32| if id < btf.first_id { id } else { id.wrapping_add(delta) };
            let strings = &mut self.strings;
            let own = btf.strings.len() - btf.strings.own().len();
            let name = |offset: u32| match btf.strings.get(offset) {
                _ if (offset as usize) < own => offset,
                Some(text) => strings.offset(text.as_bytes()),
                None => 0,
            };
            if let Some(record) = rewritten(record, self.endian, ty, name) {
                self.offsets.push(self.types.len() as u32);
                self.types.extend(record);
            }
        }
        Ok(delta)
    }

    /// The encoded data, with the header of 24 bytes that all kernels and tools take.
    ///
    /// Only where there are types of kinds that are not known (see [`from_btf`](Builder::from_btf)) the header has 32
    /// bytes and the layout section is written.
    pub fn finish(&self) -> Vec<u8> {
        self.encode(&self.layout)
    }

    /// The encoded data with a layout section, by which readers can skip kinds that they do not know. Taken by kernels
    /// since Linux 7.1.
    pub fn finish_with_layout(&self) -> Vec<u8> {
        if !self.layout.is_empty() {
            return self.encode(&self.layout);
        }
        let lens = (0..=Kind::Enum64.number()).map(|number| match Kind::from_number(number) {
            Some(kind) => kind.extra(),
            None => (0, 0),
        });
        let layout: Vec<u8> = lens.flat_map(|(once, each)| [once, each, 0, 0]).collect();
        self.encode(&layout)
    }

    fn encode(&self, layout: &[u8]) -> Vec<u8> {
        let strings = self.strings.bytes();
        let header_len = if layout.is_empty() { HEADER_LEN } else { LAYOUT_HEADER_LEN };
        let (types_len, strings_len) = (self.types.len() as u32, strings.len() as u32);
        // The layout first: it has to be aligned, which types of unknown kinds may not be.
        let layout_len = layout.len() as u32;
        let mut out = Vec::with_capacity(header_len + layout.len() + self.types.len() + strings.len());
        out.extend(match self.endian {
            Endian::Little => [0x9f, 0xeb, 1, 0],
            Endian::Big => [0xeb, 0x9f, 1, 0],
        });
        let header =
            [header_len as u32, layout_len, types_len, layout_len + types_len, strings_len, 0, layout_len];
        for word in header.iter().take(header_len / 4 - 1) {
            out.extend(self.endian.bytes(*word));
        }
        for part in [layout, &self.types, strings] {
            out.extend_from_slice(part);
        }
        out
    }

    fn add(
        &mut self,
        name: &str,
        kind: Kind,
        flag: bool,
        entries: usize,
        word: u32,
        extra: &[u32],
    ) -> TypeId {
        assert!(entries <= MAX_ENTRIES, "a type can't have {entries} entries");
        let id = self.next_id();
        let name = self.string(name);
        let info = u32::from(flag) << 31 | u32::from(kind.number()) << 24 | entries as u32;
        self.offsets.push(self.types.len() as u32);
        for word in [name, info, word].iter().chain(extra) {
            self.types.extend(self.endian.bytes(*word));
        }
        id
    }

    /// Place of an own type in the table.
    fn place(&self, id: TypeId) -> Option<usize> {
        let place = id.0.checked_sub(self.first_id)? as usize;
        (place < self.offsets.len()).then_some(place)
    }

    pub(crate) fn range(&self, place: usize) -> Option<std::ops::Range<usize>> {
        let start = *self.offsets.get(place)? as usize;
        Some(start..self.offsets.get(place + 1).map_or(self.types.len(), |next| *next as usize))
    }

    fn record(&self, id: TypeId) -> Option<&[u8]> {
        self.types.get(self.range(self.place(id)?)?)
    }

    fn kind(&self, record: &[u8]) -> Option<Kind> {
        Some(kind_of(self.endian.u32(record, 4)?))
    }

    pub(crate) fn change(&mut self, id: TypeId, change: impl FnOnce(&mut [u8], Endian)) -> bool {
        let range = self.place(id).and_then(|place| self.range(place));
        match range.and_then(|range| self.types.get_mut(range)) {
            Some(record) => {
                change(record, self.endian);
                true
            }
            None => false,
        }
    }
}

impl std::fmt::Debug for Builder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Builder")
            .field("endian", &self.endian)
            .field("first_id", &self.first_id)
            .field("types", &self.offsets.len())
            .finish_non_exhaustive()
    }
}

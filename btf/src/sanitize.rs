//! Types of a new compiler for an old kernel: what a kernel does not take is rewritten to what it takes.
//!
//! Ids stay what they are, and so do offsets of strings: maps, functions and lines that refer to the types need no change.
//! What no kernel takes, and compilers write all the same, is mended along the way: external functions and variables
//! whose place only a linker knows, parameters of functions without names, names that are no identifiers of C.

use crate::builder::Builder;
use crate::header::{HEADER_LEN, LAYOUT_HEADER_LEN};
use crate::record::{Role, put, role, words};
use crate::{Btf, Error, IntEncoding, Kind, Linkage, Member, SectionVar, Type, TypeId};
use std::collections::HashSet;

/// What a kernel takes of BTF that is loaded into it.
///
/// Start from [`ALL`](Capabilities::ALL) or [`NONE`](Capabilities::NONE) and set what was found out by trying; there may
/// be more fields one day.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Capabilities {
    /// Functions and their prototypes. Since Linux 5.0.
    pub func: bool,
    /// Linkage of functions other than static. Since Linux 5.6.
    pub func_global: bool,
    /// Variables and data sections. Since Linux 5.2.
    pub datasec: bool,
    /// Data sections without variables. Since Linux 5.12.
    pub empty_datasec: bool,
    /// Floating point numbers. Since Linux 5.13.
    pub float: bool,
    /// Tags on declarations. Since Linux 5.16.
    pub decl_tag: bool,
    /// Tags on pointers' targets. Since Linux 5.17.
    pub type_tag: bool,
    /// 64-bit enumerations, and the flag of signed ones of any width. Since Linux 6.0.
    pub enum64: bool,
    /// Names of data sections of any printable characters, such as `?.struct_ops`, not only letters, digits, `_` and `.`.
    /// Since Linux 6.9.
    pub section_names: bool,
    /// Tags of both kinds with the flag that makes them any attribute. Since Linux 6.15.
    pub tag_flags: bool,
    /// The header of 32 bytes with the layout section. Since Linux 7.1.
    pub layout: bool,
    /// More than 65,535 members, values, parameters or variables. Since Linux 7.2.
    pub large_counts: bool,
}

impl Capabilities {
    /// A kernel that takes all that this crate knows.
    pub const ALL: Capabilities = Capabilities {
        func: true,
        func_global: true,
        datasec: true,
        empty_datasec: true,
        float: true,
        decl_tag: true,
        type_tag: true,
        enum64: true,
        section_names: true,
        tag_flags: true,
        layout: true,
        large_counts: true,
    };

    /// The first kernel with BTF, Linux 4.18.
    pub const NONE: Capabilities = Capabilities {
        func: false,
        func_global: false,
        datasec: false,
        empty_datasec: false,
        float: false,
        decl_tag: false,
        type_tag: false,
        enum64: false,
        section_names: false,
        tag_flags: false,
        layout: false,
        large_counts: false,
    };
}

impl Capabilities {
    /// What of all this some data makes use of: what is not used need not be tried out on the kernel.
    pub fn used_by(btf: &Btf<'_>) -> Capabilities {
        let mut used = Capabilities { layout: !btf.layout.is_empty(), ..Capabilities::NONE };
        for (_, ty) in btf.own_types() {
            let kind = ty.kind();
            used.large_counts |= ty.len() > 0xffff && kind != Kind::Func;
            used.tag_flags |= ty.kind_flag() && matches!(kind, Kind::DeclTag | Kind::TypeTag);
            match kind {
                Kind::Func | Kind::FuncProto => used.func = true,
                Kind::Var | Kind::Datasec => used.datasec = true,
                Kind::Float => used.float = true,
                Kind::DeclTag => used.decl_tag = true,
                Kind::TypeTag => used.type_tag = true,
                Kind::Enum64 => used.enum64 = true,
                Kind::Enum => used.enum64 |= ty.kind_flag(),
                _ => {}
            }
            used.empty_datasec |= kind == Kind::Datasec && ty.is_empty();
            used.func_global |= kind == Kind::Func && ty.linkage() != Some(Linkage::Static);
            used.section_names |= kind == Kind::Datasec && !is_old_section_name(ty.name());
        }
        used
    }
}

/// Whether kernels of all ages take this name of a data section.
fn is_old_section_name(name: &str) -> bool {
    let fits = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '.';
    !name.is_empty() && name.chars().all(fits) && !name.starts_with(|c: char| c.is_ascii_digit())
}

/// The data as a kernel with these capabilities takes it; `None` where it would take it as it is.
///
/// | what | becomes |
/// | --- | --- |
/// | `FLOAT` | an empty struct of its size |
/// | `ENUM64` | an integer of its size and sign; a signed `ENUM` loses the sign |
/// | `DECL_TAG` | an integer of one byte that nothing refers to |
/// | `TYPE_TAG` | `const` |
/// | `FUNC` | static, or a typedef of what becomes of its prototype |
/// | `FUNC_PROTO` | an enumeration without values |
/// | `VAR` | an integer of one byte |
/// | `DATASEC` | a struct of its size |
///
/// # Errors
///
/// What [`Btf::parse`] says; [`Error::KeptKind`] for a type of an unknown kind, and [`Error::TooManyEntries`] for one with
/// more entries than the kernel takes.
pub fn sanitize(bytes: &[u8], capabilities: &Capabilities) -> Result<Option<Vec<u8>>, Error> {
    let btf = Btf::parse(bytes)?;
    let mut out = Builder::from_btf(&btf);
    out.types.clear();
    out.offsets.clear();
    let int =
        btf.own_types().find(|(_, ty)| ty.kind() == Kind::Int && ty.size() == Some(4)).map(|(id, _)| id);
    let named = btf.own_types().filter(|(_, ty)| ty.kind() == Kind::Func).filter_map(|(_, ty)| ty.type_id());
    let mut rewriter = Rewriter {
        btf: &btf,
        caps: *capabilities,
        named: named.collect(),
        int: int.unwrap_or(TypeId(btf.next_id())),
        variable: TypeId(btf.next_id().saturating_add(u32::from(int.is_none()))),
        needs_int: false,
        needs_variable: false,
        out,
    };
    // A tag on what becomes something else would be one on nothing that has tags.
    rewriter.caps.decl_tag &= capabilities.func && capabilities.datasec;
    for (place, (id, ty)) in btf.own_types().enumerate() {
        let record = btf.record(place).unwrap_or_default();
        rewriter.one(id, ty, record)?;
    }
    let Rewriter { int: placeholder, needs_int, needs_variable, mut out, .. } = rewriter;
    if (needs_int || needs_variable) && int.is_none() {
        out.int("int", 4, plain(32));
    }
    if needs_variable {
        out.var("extern_function", placeholder, Linkage::Global);
    }
    if !capabilities.layout {
        out.layout.clear();
    }
    let same = out.types == btf.types && out.strings.bytes() == btf.strings.own().as_bytes();
    Ok((!same || !is_plain(&btf, capabilities)).then(|| out.finish()))
}

/// Whether the kernel takes the header and finds nothing but sections behind it.
fn is_plain(btf: &Btf<'_>, capabilities: &Capabilities) -> bool {
    let Some(header_len) = btf.endian.u32(btf.bytes, 4).map(|len| len as usize) else { return false };
    let extended = header_len > HEADER_LEN;
    let unknown = btf.bytes.get(LAYOUT_HEADER_LEN..header_len).unwrap_or_default();
    let sections = btf.types.len() + btf.strings.own().len() + btf.layout.len();
    btf.bytes.get(3) == Some(&0)
        && header_len + sections == btf.bytes.len()
        && !(extended && (header_len < LAYOUT_HEADER_LEN || !capabilities.layout))
        && unknown.iter().all(|byte| *byte == 0)
}

/// An unsigned integer that fills its storage.
fn plain(bits: u8) -> IntEncoding {
    IntEncoding { bits, offset: 0, signed: false, char: false, bool: false }
}

struct Rewriter<'a, 'data> {
    btf: &'a Btf<'data>,
    caps: Capabilities,
    /// Prototypes of functions, whose parameters need names.
    named: HashSet<TypeId>,
    /// An `int`: the data's, or one that is added at the end.
    int: TypeId,
    /// A variable that is added at the end, to stand for functions in data sections.
    variable: TypeId,
    needs_int: bool,
    needs_variable: bool,
    out: Builder,
}

impl Rewriter<'_, '_> {
    fn one(&mut self, id: TypeId, ty: Type<'_>, record: &[u8]) -> Result<(), Error> {
        let caps = self.caps;
        let flag_refused = ty.kind_flag() && !caps.tag_flags;
        let target = ty.type_id().unwrap_or(TypeId(0));
        let size = ty.size().unwrap_or(0);
        if ty.len() > 0xffff && !caps.large_counts && ty.kind() != Kind::Func {
            return Err(Error::TooManyEntries { id: id.0, count: ty.len() });
        }
        let made = match ty.kind() {
            Kind::Unknown(kind) if !caps.layout => return Err(Error::KeptKind { id: id.0, kind }),
            Kind::Unknown(_) => return self.raw(record),
            Kind::Float if !caps.float => self.out.composite(Kind::Struct, "", size, &[]),
            Kind::Enum64 if !caps.enum64 => {
                let bits = u8::try_from(size.saturating_mul(8)).unwrap_or(64);
                self.out.int(ty.name(), size, IntEncoding { signed: ty.is_signed(), ..plain(bits) })
            }
            Kind::DeclTag if !caps.decl_tag || flag_refused => self.out.int(ty.name(), 1, plain(8)),
            Kind::TypeTag if !caps.type_tag || flag_refused => self.out.modifier(Kind::Const, target),
            Kind::FuncProto if !caps.func => self.out.enumeration("", 4, false, &[]),
            Kind::Func if !caps.func => {
                let name = identifier(ty.name());
                self.out.typedef(&name, target)
            }
            Kind::Var if !caps.datasec => self.out.int(ty.name(), 1, plain(8)),
            Kind::Datasec => {
                let (size, vars) = self.section(&ty);
                if caps.datasec && (caps.empty_datasec || !vars.is_empty()) {
                    let made = self.out.datasec("", size, &vars);
                    let name = self.section_name(&ty);
                    return self.named(made, name);
                }
                self.section_as_struct(&ty, size, &vars)
            }
            _ => return self.mended(id, ty, record),
        };
        debug_assert_eq!(made, id);
        Ok(())
    }

    /// Adds the record as it is.
    fn raw(&mut self, record: &[u8]) -> Result<(), Error> {
        self.out.offsets.push(self.out.types.len() as u32);
        self.out.types.extend_from_slice(record);
        Ok(())
    }

    /// Gives the type that was made last its name, by offset.
    fn named(&mut self, id: TypeId, name: u32) -> Result<(), Error> {
        self.out.change(id, |record, endian| put(record, 0, endian, name));
        Ok(())
    }

    /// Adds the record with what no kernel, or not this one, takes in it changed.
    fn mended(&mut self, id: TypeId, ty: Type<'_>, record: &[u8]) -> Result<(), Error> {
        let kind = ty.kind();
        let (endian, number) = (self.btf.endian, self.out.offsets.len());
        self.raw(record)?;
        let mut changes = vec![];
        for (at, word) in words(record, endian).enumerate() {
            if role(kind, at) == Some(Role::Name) {
                let new = self.name(kind, id, at, word, record);
                if new != word {
                    changes.push((at, new));
                }
            }
        }
        let info = endian.u32(record, 4).unwrap_or(0);
        match (kind, ty.linkage()) {
            (Kind::Enum, _) if !self.caps.enum64 => changes.push((1, info & 0x7fff_ffff)),
            (Kind::Func, Some(Linkage::Global | Linkage::Extern)) => {
                let linkage = if self.caps.func_global { Linkage::Global } else { Linkage::Static };
                changes.push((1, (info & 0xff00_0000) | linkage.number()));
            }
            (Kind::Var, linkage) => {
                if linkage == Some(Linkage::Extern) {
                    changes.push((3, Linkage::Global.number()));
                }
                // An external symbol of which only the address is of interest: `extern const void name`.
                if ty.type_id().and_then(|id| self.btf.size_of(id)).is_none() {
                    self.needs_int = true;
                    changes.push((2, self.int.0));
                }
            }
            _ => {}
        }
        if let Some(record) = self.out.range(number).and_then(|range| self.out.types.get_mut(range)) {
            changes.iter().for_each(|(at, word)| put(record, *at, endian, *word));
        }
        Ok(())
    }

    /// What becomes of a name at this place of a record.
    fn name(&mut self, kind: Kind, id: TypeId, at: usize, offset: u32, record: &[u8]) -> u32 {
        // Where there is no string, none is meant.
        let (text, offset) = match self.btf.string(offset) {
            Some("") | None => ("", 0),
            Some(text) => (text, offset),
        };
        let checked = at >= 3
            || matches!(kind, Kind::Struct | Kind::Union | Kind::Enum | Kind::Enum64)
            || matches!(kind, Kind::Fwd | Kind::Typedef | Kind::Func | Kind::Var);
        if !text.is_empty() {
            let good = if checked { identifier(text) } else { text.into() };
            return if good == text { offset } else { self.out.string(&good) };
        }
        let is_variadic = || self.btf.endian.u32(record, 4 * at + 4) == Some(0);
        match kind {
            Kind::Fwd | Kind::Typedef | Kind::Func | Kind::Var => self.out.string("_"),
            Kind::Enum | Kind::Enum64 if at >= 3 => self.out.string("_"),
            Kind::FuncProto if at >= 3 && self.named.contains(&id) && !is_variadic() => {
                self.out.string(&format!("arg{}", (at - 3) / 2))
            }
            _ => offset,
        }
    }

    /// Size and variables of a section, laid out where the data leaves that to a linker.
    fn section(&mut self, ty: &Type<'_>) -> (u32, Vec<SectionVar>) {
        let mut vars: Vec<SectionVar> = ty.section_vars().collect();
        let mut size = ty.size().unwrap_or(0);
        let mut complete = size > 0;
        for var in &mut vars {
            let target = self.btf.type_by_id(var.type_id);
            let is_func = target.is_some_and(|target| target.kind() == Kind::Func);
            let needs = if is_func { Some(4) } else { self.btf.size_of(var.type_id) };
            let needs = needs.and_then(|size| u32::try_from(size).ok()).unwrap_or(4);
            if is_func && self.caps.datasec {
                self.needs_variable = true;
                var.type_id = self.variable;
            } else if is_func {
                self.needs_int = true;
                var.type_id = self.int;
            }
            complete &= var.size > 0 && var.size >= needs;
            var.size = var.size.max(needs).max(1);
        }
        vars.sort_by_key(|var| var.offset);
        let ends = |var: &SectionVar| var.offset.checked_add(var.size).filter(|end| *end <= size);
        complete &= vars.iter().all(|var| ends(var).is_some());
        complete &= vars.windows(2).all(|pair| ends(&pair[0]).is_some_and(|end| end <= pair[1].offset));
        if !complete {
            size = 0;
            for var in &mut vars {
                var.offset =
                    size.checked_next_multiple_of(var.size.min(8).next_power_of_two()).unwrap_or(size);
                size = var.offset.saturating_add(var.size);
            }
        }
        (size.max(1), vars)
    }

    /// A section for kernels that have none: variables are integers of one byte by then.
    fn section_as_struct(&mut self, ty: &Type<'_>, size: u32, vars: &[SectionVar]) -> TypeId {
        let byte = |var: &SectionVar| {
            let target = self.btf.type_by_id(var.type_id).filter(|target| target.kind() == Kind::Var);
            let name = target.map_or("", |target| target.name());
            (identifier_or_none(name), var.type_id, var.offset.saturating_mul(8))
        };
        let names: Vec<_> = vars.iter().map(byte).collect();
        let members: Vec<_> = names
            .iter()
            .map(|(name, type_id, bit_offset)| Member {
                name,
                type_id: *type_id,
                bit_offset: *bit_offset,
                bitfield_size: None,
            })
            .collect();
        self.out.composite(Kind::Struct, &identifier_or_none(ty.name()), size, &members)
    }

    /// The name of a section, by offset.
    fn section_name(&mut self, ty: &Type<'_>) -> u32 {
        let name = ty.name();
        let printable = !name.is_empty() && name.chars().all(|c| c.is_ascii_graphic() || c == ' ');
        if is_old_section_name(name) || (self.caps.section_names && printable) {
            return ty.name_offset();
        }
        let good: Vec<String> = name.split('.').map(identifier_or_none).collect();
        let good = good.join(".");
        let good = if good.is_empty() || !is_old_section_name(&good) { identifier(name) } else { good };
        self.out.string(&good)
    }
}

/// The text as an identifier of C: what does not fit becomes `_`.
fn identifier(text: &str) -> String {
    let fits = |c: char| if c.is_ascii_alphanumeric() || c == '_' { c } else { '_' };
    let mut good: String = text.chars().map(fits).collect();
    if good.is_empty() || good.starts_with(|c: char| c.is_ascii_digit()) {
        good.insert(0, '_');
    }
    good
}

/// As above, where there need be none.
fn identifier_or_none(text: &str) -> String {
    if text.is_empty() { String::new() } else { identifier(text) }
}

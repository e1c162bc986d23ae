//! The object's BTF and BTF.ext: what the other parts of the reader ask them, and what has to be put right in them.

use super::elf::{Elf, MAX_NAME};
use crate::{Error, Result};
use btf::ext::BtfExt;
use btf::{Btf, Kind, Linkage, SectionVar, TypeId};
use std::collections::HashMap;

/// A data section in the types, with sizes and offsets as the file lays them out.
#[derive(Clone, Debug)]
pub struct Datasec<'d> {
    /// Its id.
    pub id: TypeId,
    /// Name of the section.
    pub name: &'d str,
    /// Variables by rising offset.
    pub vars: Vec<Var<'d>>,
    /// Bytes of the section.
    pub size: u32,
    /// Whether the record in the file says something else.
    pub changed: bool,
}

/// A variable of a data section, or a function of `.ksyms`.
#[derive(Clone, Copy, Debug)]
pub struct Var<'d> {
    /// Name.
    pub name: &'d str,
    /// The `VAR` or `FUNC`.
    pub id: TypeId,
    /// The type it has.
    pub type_id: TypeId,
    /// Whether it is a function.
    pub function: bool,
    /// Linkage, after [`Types::parse`] made what is hidden static.
    pub linkage: Linkage,
    /// Bytes from the start of the section.
    pub offset: u32,
    /// Size in bytes.
    pub size: u32,
}

/// The object's types.
pub struct Types<'d> {
    /// `.BTF`.
    pub btf: Btf<'d>,
    /// The section's bytes.
    pub bytes: &'d [u8],
    /// `.BTF.ext`, where there is one.
    pub ext: Option<BtfExt<'d>>,
    /// Data sections, in the order of their ids.
    pub datasecs: Vec<Datasec<'d>>,
    /// Variables and functions that are defined elsewhere, by name.
    pub externs: HashMap<&'d str, TypeId>,
    /// Functions by name.
    pub functions: HashMap<&'d str, TypeId>,
    /// Texts of declaration tags on whole types.
    pub tags: HashMap<TypeId, Vec<&'d str>>,
    /// Index of the first data section of each name.
    by_name: HashMap<&'d str, usize>,
    /// Linkages that are to be changed in what the kernel gets.
    pub linkages: Vec<(TypeId, Linkage)>,
}

fn parse_error(place: &str) -> impl Fn(btf::Error) -> Error {
    move |source| Error::Btf { place: place.to_owned(), source }
}

impl<'d> Types<'d> {
    /// Reads `.BTF` and `.BTF.ext`, and fills in what the compiler left to whoever knows the layout of the sections.
    pub fn parse(elf: &Elf<'d>) -> Result<Option<Types<'d>>> {
        let Some((_, section)) = elf.section(".BTF") else {
            return Ok(None);
        };
        let bytes = section.data;
        let btf = Btf::parse(bytes).map_err(parse_error(".BTF"))?;
        if btf.endian() != elf.endian {
            let what = format!(
                "the types are {:?}-endian, the file {:?}-endian; the file is damaged, compile it again",
                btf.endian(),
                elf.endian
            );
            return Err(Error::Section { section: ".BTF".to_owned(), offset: 0, what });
        }
        let ext = match elf.section(".BTF.ext") {
            Some((_, section)) => Some(BtfExt::parse(section.data, &btf).map_err(parse_error(".BTF.ext"))?),
            None => None,
        };
        let mut types = Types {
            btf,
            bytes,
            ext,
            datasecs: Vec::new(),
            externs: HashMap::new(),
            functions: HashMap::new(),
            tags: HashMap::new(),
            by_name: HashMap::new(),
            linkages: Vec::new(),
        };
        types.collect()?;
        types.lay_out(elf);
        Ok(Some(types))
    }

    fn collect(&mut self) -> Result<()> {
        let btf = &self.btf;
        for (id, ty) in btf.own_types() {
            match ty.kind() {
                Kind::Var if ty.linkage() == Some(Linkage::Extern) => {
                    self.externs.entry(ty.name()).or_insert(id);
                }
                Kind::Func => {
                    if ty.linkage() == Some(Linkage::Extern) {
                        self.externs.entry(ty.name()).or_insert(id);
                    } else {
                        self.functions.entry(ty.name()).or_insert(id);
                    }
                }
                Kind::DeclTag if ty.component_index() == Some(-1) => {
                    if let Some(on) = ty.type_id() {
                        self.tags.entry(on).or_default().push(ty.name());
                    }
                }
                Kind::Datasec => {
                    let vars: Vec<Var<'_>> =
                        ty.section_vars().filter_map(|var| section_var(btf, var)).collect();
                    if let Some(var) = vars.iter().find(|var| var.name.len() > MAX_NAME) {
                        let what = format!("the name of type {} is longer than {MAX_NAME} bytes", var.id.0);
                        return Err(Error::Section { section: ".BTF".to_owned(), offset: 0, what });
                    }
                    let size = ty.size().unwrap_or(0);
                    self.by_name.entry(ty.name()).or_insert(self.datasecs.len());
                    self.datasecs.push(Datasec { id, name: ty.name(), vars, size, changed: false });
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Compilers leave sizes of sections and offsets of variables to the symbol table; static linkers fill them in.
    fn lay_out(&mut self, elf: &Elf<'d>) {
        let objects: HashMap<&str, usize> = elf
            .symbols
            .iter()
            .enumerate()
            .filter(|(_, symbol)| symbol.kind == object::elf::STT_OBJECT && !symbol.is_local())
            .map(|(index, symbol)| (symbol.name, index))
            .collect();
        for datasec in &mut self.datasecs {
            let Some((index, section)) = elf.section(datasec.name) else {
                continue;
            };
            let fresh = datasec.size == 0;
            if fresh {
                datasec.size = u32::try_from(section.size).unwrap_or(u32::MAX);
                datasec.changed = true;
            }
            for var in &mut datasec.vars {
                // The compiler knows where static variables lie.
                if var.function || var.linkage == Linkage::Static {
                    continue;
                }
                let Some(symbol) = objects.get(var.name).and_then(|index| elf.symbols.get(*index)) else {
                    continue;
                };
                if symbol.section != index {
                    continue;
                }
                if symbol.hidden {
                    var.linkage = Linkage::Static;
                    self.linkages.push((var.id, Linkage::Static));
                }
                if fresh {
                    var.offset = u32::try_from(symbol.value).unwrap_or(u32::MAX);
                }
                if var.size == 0 {
                    var.size = u32::try_from(symbol.size).unwrap_or(0);
                    datasec.changed |= var.size != 0;
                }
            }
            // The kernel wants them in order.
            if !datasec.vars.is_sorted_by_key(|var| var.offset) {
                datasec.vars.sort_by_key(|var| var.offset);
                datasec.changed = true;
            }
        }
    }

    /// The data section of this name.
    pub fn datasec(&self, name: &str) -> Option<&Datasec<'d>> {
        self.datasecs.get(*self.by_name.get(name)?)
    }
}

fn section_var<'d>(btf: &Btf<'d>, var: SectionVar) -> Option<Var<'d>> {
    let ty = btf.type_by_id(var.type_id)?;
    matches!(ty.kind(), Kind::Var | Kind::Func).then_some(())?;
    Some(Var {
        name: ty.name(),
        id: var.type_id,
        type_id: ty.type_id()?,
        function: ty.kind() == Kind::Func,
        linkage: ty.linkage()?,
        offset: var.offset,
        size: var.size,
    })
}

//! Reading ELF files.
//!
//! [`Object::parse`] goes through a file once: tables of the container (`elf`), types (`types`), functions (`programs`),
//! what others are to provide (`externs`), maps (`maps`), and then links each program with the functions it calls
//! (`link`). Nothing of this asks the running system anything.

mod access;
mod elf;
mod ext;
mod externs;
mod fixup;
mod link;
mod maps;
mod programs;
mod relocs;
mod struct_ops;
mod types;

use crate::spec::Object;
use crate::{Error, Result};
use externs::Externs;
use maps::Maps;
use relocs::Resolver;

impl Object {
    /// Reads an object file; `name` is the file's stem, of which names of data maps are made.
    ///
    /// Objects of either byte order are read. Programs in sections whose names say nothing about them have the type
    /// [`UNKNOWN`](crate::sections::UNKNOWN): it is for the caller to set it.
    ///
    /// # Errors
    ///
    /// Names the section, offset or symbol that is wrong.
    pub fn parse(name: &str, bytes: &[u8]) -> Result<Object> {
        let elf = elf::Elf::parse(bytes)?;
        let mut types = types::Types::parse(&elf)?;
        let functions = programs::Functions::find(&elf)?;
        let externs = Externs::collect(&elf, types.as_mut())?;
        let types = types.as_ref();
        let notes = ext::Notes::collect(&elf, types)?;

        let mut maps = Maps::default();
        maps::btf_defined::collect(&mut maps, &elf, types)?;
        maps::legacy::collect(&mut maps, &elf, types)?;
        maps::data::collect(&mut maps, name, &elf, types)?;
        maps.list.extend(externs.map(types, maps::data::kernel_name(name, ".kconfig")));
        struct_ops::collect(&mut maps, &elf, types)?;

        let resolver = Resolver { elf: &elf, maps: &maps, externs: &externs };
        let mut linker = link::Linker::new(&elf, &functions, &notes, types, resolver)?;
        let mut programs = Vec::new();
        for (index, _) in functions.programs() {
            programs.push(linker.link(index)?);
        }
        maps::slots::collect(&mut maps, &elf, &functions, types)?;
        struct_ops::link(&mut maps, &mut programs, &elf, &functions, types)?;

        Ok(Object {
            name: name.to_owned(),
            endian: elf.endian,
            license: license(&elf)?,
            kernel_version: version(&elf)?,
            btf: types.map(|types| fixup::finish(types, &functions)),
            maps: maps.list,
            programs,
            externs: externs.list,
            relocated: false,
        })
    }
}

/// Content of a section of any 64-bit ELF file, whatever machine it is for; `None` where there is no such section, or
/// no such file.
pub fn section<'d>(bytes: &'d [u8], name: &str) -> Option<&'d [u8]> {
    elf::section(bytes, name)
}

/// The licence, which ends at the first zero byte.
fn license(elf: &elf::Elf<'_>) -> Result<String> {
    let Some((_, section)) = elf.section("license") else {
        return Ok(String::new());
    };
    let text = section.data.split(|byte| *byte == 0).next().unwrap_or_default();
    String::from_utf8(text.to_vec()).map_err(|error| Error::Section {
        section: "license".to_owned(),
        offset: error.utf8_error().valid_up_to() as u64,
        what: "the licence is not UTF-8; write `char LICENSE[] SEC(\"license\") = \"GPL\"`".to_owned(),
    })
}

/// The kernel's version that kprobe programs had to name before Linux 5.0.
fn version(elf: &elf::Elf<'_>) -> Result<u32> {
    let Some((_, section)) = elf.section("version") else {
        return Ok(0);
    };
    elf.u32(section.data, 0).filter(|_| section.data.len() == 4).ok_or_else(|| Error::Section {
        section: "version".to_owned(),
        offset: 0,
        what: format!("the version has {} bytes instead of 4; take the section away", section.data.len()),
    })
}

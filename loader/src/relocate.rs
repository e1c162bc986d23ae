//! Relocation of an object against a target.

mod kconfig;
mod ksyms;
pub mod struct_ops;

use crate::core::Relocator;
use crate::spec::{ExternKind, MapKind, Object, Poison, ProgramSpec, Resolution};
use crate::target::Target;
use crate::{Error, Result};
use btf::{Btf, Kind, TypeId};

impl Object {
    /// The object with CO-RE relocations applied and externs resolved against `target`; the object itself stays as it
    /// is. The same object and the same [described](Target::described) target always give the same result.
    ///
    /// A CO-RE relocation that finds nothing poisons its instruction, and so does one with an error in a program that is
    /// not to be loaded; [`ProgramSpec::poisoned`] says which and why.
    ///
    /// # Errors
    ///
    /// [`Error::Program`]: a CO-RE relocation of a program that is to be loaded is damaged, ambiguous, or has a value that
    /// its instruction cannot take; or the target has no types. [`Error::Extern`]: a strong extern is missing, or has
    /// another type than declared. [`Error::Elf`]: the object was relocated before.
    pub fn relocate(&self, target: &Target<'_>) -> Result<Object> {
        if self.relocated {
            return Err(Error::Elf {
                what: format!("`{}` is relocated already; relocate the object as it was parsed", self.name),
            });
        }
        let mut object = self.clone();
        let bytes = self.btf.as_deref();
        let types = bytes
            .map(Btf::parse)
            .transpose()
            .map_err(|source| Error::Btf { place: ".BTF".to_owned(), source })?;
        match &types {
            Some(types) => relocate_programs(&mut object.programs, types, target)?,
            None => {
                if let Some(program) = object.programs.iter().find(|program| !program.core.is_empty()) {
                    return Err(Error::Program {
                        program: program.name.clone(),
                        insn: program.core.first().map(|relo| relo.insn),
                        what: "has CO-RE relocations, but the object has no BTF: compile it with -g, and do not \
                               strip .BTF"
                            .to_owned(),
                    });
                }
            }
        }
        resolve_externs(&mut object, types.as_ref(), target)?;
        object.relocated = true;
        Ok(object)
    }
}

fn relocate_programs(programs: &mut [ProgramSpec], types: &Btf<'_>, target: &Target<'_>) -> Result<()> {
    if programs.iter().all(|program| program.core.is_empty()) {
        return Ok(());
    }
    let mut relocator = Relocator::new(types, target)?;
    // Those that are loaded come first: their relocations decide which candidates are left for the others.
    let (wanted, others): (Vec<_>, Vec<_>) = programs.iter_mut().partition(|program| program.autoload);
    for program in wanted.into_iter().chain(others) {
        let ProgramSpec { insns, core, poisoned, .. } = program;
        for relo in core.iter() {
            let why = match relocator.apply(insns, relo) {
                Ok(None) => continue,
                Ok(Some(why)) => why,
                Err(what) if program.autoload => {
                    let (program, insn) = (program.name.clone(), Some(relo.insn));
                    return Err(Error::Program { program, insn, what: format!("CO-RE: {what}") });
                }
                Err(why) => {
                    crate::core::poison(insns, relo.insn);
                    why
                }
            };
            poisoned.push(Poison { insn: relo.insn, what: why });
        }
        poisoned.sort_by_key(|poison| poison.insn);
    }
    Ok(())
}

fn resolve_externs(object: &mut Object, types: Option<&Btf<'_>>, target: &Target<'_>) -> Result<()> {
    if object.externs.is_empty() {
        return Ok(());
    }
    let untyped: Vec<&str> = object
        .externs
        .iter()
        .filter(|wanted| wanted.kind == ExternKind::KsymUntyped)
        .map(|wanted| wanted.name.as_str())
        .collect();
    let addresses = if untyped.is_empty() { Vec::new() } else { target.addresses(&untyped)? };
    let mut addresses = addresses.into_iter();
    let endian = object.endian;
    let mut found = Vec::with_capacity(object.externs.len());
    for wanted in &object.externs {
        let need_types = || Error::Extern {
            name: wanted.name.clone(),
            what: "the object has no BTF that says what it is: compile it with -g".to_owned(),
        };
        let resolution = match wanted.kind {
            ExternKind::Kconfig { type_id, offset, size } => {
                let types = types.ok_or_else(need_types)?;
                let bytes = kconfig::value(wanted, types, type_id, size, endian, target)?;
                let data = object.maps.iter_mut().find(|map| map.kind == MapKind::Kconfig).and_then(|map| {
                    let start = offset as usize;
                    map.data.as_mut()?.get_mut(start..start.checked_add(bytes.len())?)
                });
                let place = data.ok_or_else(|| Error::Extern {
                    name: wanted.name.clone(),
                    what: format!("its {size} bytes at {offset} are outside of the map `.kconfig`"),
                })?;
                place.copy_from_slice(&bytes);
                Resolution::Value
            }
            ExternKind::KsymUntyped => ksyms::untyped(wanted, addresses.next())?,
            ExternKind::KsymTyped(id) => ksyms::variable(wanted, types.ok_or_else(need_types)?, id, target)?,
            ExternKind::Kfunc(id) => ksyms::function(wanted, types.ok_or_else(need_types)?, id, target)?,
        };
        found.push(resolution);
    }
    for (wanted, resolution) in object.externs.iter_mut().zip(found) {
        wanted.resolution = Some(resolution);
    }
    Ok(())
}

/// A type of the kernel or of a module.
struct Found<'a> {
    btf: &'a Btf<'a>,
    id: TypeId,
    module: Option<String>,
}

/// The first type of this name and kind: the kernel's, or of the first module that has it.
fn find_in_kernel<'a>(target: &Target<'a>, name: &str, kind: Kind) -> Result<Option<Found<'a>>> {
    let Some(kernel) = target.try_btf()? else { return Ok(None) };
    if let Some(id) = kernel.find(name, kind) {
        return Ok(Some(Found { btf: kernel, id, module: None }));
    }
    for module in target.modules()? {
        let own = module.btf.first_id();
        if let Some(id) = module.btf.find_where(name, |id, ty| id >= own && ty.kind() == kind) {
            return Ok(Some(Found { btf: module.btf, id, module: Some(module.name.clone()) }));
        }
    }
    Ok(None)
}

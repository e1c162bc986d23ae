//! Variables of `.struct_ops` and its like: kernel operations that programs implement.

use super::elf::{Elf, Section};
use super::maps::Maps;
use super::programs::Functions;
use super::types::Types;
use crate::spec::{AttachTarget, MapKind, MapSpec, ProgramSpec, StructOps};
use crate::{Error, Result};
use bpf_sys::map::{MapFlags, MapType};
use bpf_sys::prog::ProgType;
use btf::{Kind, TypeId};
use std::collections::HashMap;

/// Name of a struct_ops section: whether its maps are created unless asked otherwise, and whether a link attaches them.
fn section_kind(section: &Section<'_>) -> Option<(bool, bool)> {
    let created = !section.name.starts_with('?');
    let link = match section.name.trim_start_matches('?') {
        ".struct_ops" => false,
        ".struct_ops.link" => true,
        _ => return None,
    };
    section.initialized().then_some((created, link))
}

/// Makes a map of each variable.
pub fn collect(maps: &mut Maps, elf: &Elf<'_>, types: Option<&Types<'_>>) -> Result<()> {
    for (index, section) in elf.sections.iter().enumerate() {
        let Some((created, link)) = section_kind(section).filter(|_| section.size != 0) else {
            continue;
        };
        let Some((types, datasec)) = types.and_then(|types| Some((types, types.datasec(section.name)?)))
        else {
            let what = "the types do not say what kernel operations these are; compile with `clang -g`";
            return Err(Error::Section {
                section: section.name.to_owned(),
                offset: 0,
                what: what.to_owned(),
            });
        };
        let mut end = 0;
        for var in &datasec.vars {
            let bad = |what: &str| Err(Error::Map { map: var.name.to_owned(), what: what.to_owned() });
            let resolved = types.btf.resolve(var.type_id);
            let Some((type_id, ty)) = resolved.filter(|(_, ty)| ty.kind() == Kind::Struct) else {
                return bad("kernel operations are a struct; the variable is none");
            };
            if ty.name().is_empty() {
                return bad("the struct has no name, by which the kernel would know it");
            }
            if var.offset < end {
                return bad("overlaps with another variable; the types are damaged, compile it again");
            }
            end = var.offset.saturating_add(var.size);
            let start = var.offset as usize;
            let Some(data) = section.data.get(start..start.saturating_add(var.size as usize)) else {
                return bad("goes past the end of its section; the file is damaged, compile it again");
            };
            // The value that the kernel wants has a size that only the kernel's types tell.
            let mut map = MapSpec::new(var.name, MapType::StructOps, 4, 0, 1);
            map.kind = MapKind::StructOps;
            map.autocreate = created;
            if link {
                map.flags |= MapFlags::LINK;
            }
            map.data = Some(data.to_vec());
            let type_name = ty.name().to_owned();
            map.struct_ops = Some(StructOps { type_name, type_id, funcs: Vec::new(), link });
            maps.by_place.insert((index, u64::from(var.offset)), maps.list.len());
            maps.list.push(map);
        }
    }
    Ok(())
}

/// Finds the programs that members point to: relocations of the sections.
pub fn link(
    maps: &mut Maps,
    programs: &mut [ProgramSpec],
    elf: &Elf<'_>,
    functions: &Functions<'_>,
    types: Option<&Types<'_>>,
) -> Result<()> {
    let mut members: HashMap<TypeId, HashMap<u32, &str>> = HashMap::new();
    for (section, entry) in elf.sections.iter().enumerate() {
        let Some(types) = types.filter(|_| section_kind(entry).is_some()) else {
            continue;
        };
        let Some(datasec) = types.datasec(entry.name) else { continue };
        for rel in elf.relocations.get(section).into_iter().flatten() {
            let symbol = elf.symbol(section, rel)?;
            let bad = |what: String| {
                Err(Error::Section { section: entry.name.to_owned(), offset: rel.offset, what })
            };
            let index = datasec.vars.partition_point(|var| u64::from(var.offset) <= rel.offset);
            let var = index.checked_sub(1).and_then(|index| datasec.vars.get(index));
            let var = var.filter(|var| rel.offset < u64::from(var.offset) + u64::from(var.size));
            let map = var.and_then(|var| {
                let place = maps.by_place.get(&(section, u64::from(var.offset)))?;
                Some((var, maps.list.get_mut(*place)?))
            });
            let Some((var, map)) = map else {
                return bad(format!("`{}` is put where no variable is; the file is damaged", symbol.label()));
            };
            let offset = u32::try_from(rel.offset - u64::from(var.offset)).unwrap_or(u32::MAX);
            let Some(ops) = &mut map.struct_ops else { continue };
            let members = members.entry(ops.type_id).or_insert_with(|| {
                let ty = types.btf.type_by_id(ops.type_id);
                ty.into_iter().flat_map(|ty| ty.members()).map(|m| (m.bit_offset, m.name)).collect()
            });
            let member = offset.checked_mul(8).and_then(|bits| members.get(&bits)).copied();
            let Some(member) = member else {
                return bad(format!(
                    "`{}` is put where `struct {}` has no member; compile it again",
                    symbol.label(),
                    ops.type_name
                ));
            };
            let insn = usize::try_from(symbol.value / 8).ok().filter(|_| symbol.value.is_multiple_of(8));
            let program = insn.and_then(|insn| functions.program_at(symbol.section, insn));
            let Some((index, program)) = program.and_then(|index| Some((index, programs.get_mut(index)?)))
            else {
                return bad(format!(
                    "`{}`, which `{}` of `{}` points to, is no program; give it `SEC(\"struct_ops/{}\")`",
                    symbol.label(),
                    member,
                    map.name,
                    member
                ));
            };
            if program.prog_type != ProgType::StructOps {
                let what = format!(
                    "is put into `{}` of the kernel operations `{}`, and its section is `{}`; it must be \
                     `struct_ops/{}`",
                    member, map.name, program.section, member
                );
                return Err(Error::Program { program: program.name.clone(), insn: None, what });
            }
            program.attach = AttachTarget::StructOps { member: member.to_owned() };
            ops.funcs.push((offset, index));
        }
    }
    for ops in maps.list.iter_mut().filter_map(|map| map.struct_ops.as_mut()) {
        ops.funcs.sort_unstable();
        ops.funcs.dedup_by_key(|(offset, _)| *offset);
    }
    Ok(())
}

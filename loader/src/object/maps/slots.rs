//! Entries that the file puts into maps of maps and of programs: relocations of section `.maps`.

use super::{Maps, btf_defined::SECTION};
use crate::object::elf::{Elf, Rel, Symbol};
use crate::object::programs::Functions;
use crate::object::types::{Types, Var};
use crate::spec::{MapSpec, Slot, SlotTarget};
use crate::{Error, Result};
use bpf_sys::map::MapType;
use btf::Kind;
use std::collections::HashMap;

/// Bytes of an entry: a pointer of a BPF program.
const POINTER: u32 = 8;

/// Reads the entries of all maps.
pub fn collect(
    maps: &mut Maps,
    elf: &Elf<'_>,
    functions: &Functions<'_>,
    types: Option<&Types<'_>>,
) -> Result<()> {
    let Some((section, _)) = elf.section(SECTION) else {
        return Ok(());
    };
    let Some((types, datasec)) = types.and_then(|types| Some((types, types.datasec(SECTION)?))) else {
        return Ok(());
    };
    let mut arrays = HashMap::new();
    for rel in elf.relocations.get(section).into_iter().flatten() {
        let symbol = elf.symbol(section, rel)?;
        // The variables are in order.
        let index = datasec.vars.partition_point(|var| u64::from(var.offset) <= rel.offset);
        let var = index.checked_sub(1).and_then(|index| datasec.vars.get(index));
        let var = var.filter(|var| rel.offset < u64::from(var.offset) + u64::from(var.size));
        let Some(var) = var else {
            let what = format!("`{}` is put where no map is; the file is damaged", symbol.label());
            return Err(Error::Section { section: SECTION.to_owned(), offset: rel.offset, what });
        };
        let place = maps.by_place.get(&(section, u64::from(var.offset))).copied();
        let Some(map) = place.and_then(|place| maps.list.get(place)) else {
            continue;
        };
        let values = *arrays.entry(var.type_id).or_insert_with(|| values(types, var));
        let index = slot(values, var, map, rel, symbol)?;
        let target = target(maps, section, functions, map, symbol, rel)?;
        if let Some(map) = place.and_then(|place| maps.list.get_mut(place)) {
            map.slots.push(Slot { index, target });
        }
    }
    for map in &mut maps.list {
        map.slots.sort_by_key(|slot| slot.index);
    }
    Ok(())
}

/// Where in a definition the entries are, in bytes: the array `values` is the last member.
fn values(types: &Types<'_>, var: &Var<'_>) -> Option<u32> {
    let (_, ty) = types.btf.resolve(var.type_id).filter(|(_, ty)| ty.kind() == Kind::Struct)?;
    ty.members().last().filter(|member| member.name == "values").map(|member| member.bit_offset / 8)
}

/// Which entry it is.
fn slot(values: Option<u32>, var: &Var<'_>, map: &MapSpec, rel: &Rel, symbol: &Symbol<'_>) -> Result<u32> {
    let bad = |what: &str| {
        let what = format!("`{}` at byte {:#x} of `.maps` {what}", symbol.label(), rel.offset);
        Err(Error::Map { map: map.name.clone(), what })
    };
    let Some(values) = values else {
        return bad("is put into a map that has no field `values`; add `__array(values, …)`");
    };
    // Checked above: the relocation lies behind the variable's start.
    let offset = u32::try_from(rel.offset - u64::from(var.offset)).unwrap_or(u32::MAX);
    match offset.checked_sub(values) {
        Some(offset) if offset % POINTER == 0 => Ok(offset / POINTER),
        _ => bad("lies in no entry of `values`; the file is damaged, compile it again"),
    }
}

fn target(
    maps: &Maps,
    section: usize,
    functions: &Functions<'_>,
    map: &MapSpec,
    symbol: &Symbol<'_>,
    rel: &Rel,
) -> Result<SlotTarget> {
    let bad = |what: &str| {
        let what = format!("`{}` at byte {:#x} of `.maps` {what}", symbol.label(), rel.offset);
        Err(Error::Map { map: map.name.clone(), what })
    };
    match map.map_type {
        MapType::ArrayOfMaps | MapType::HashOfMaps => {
            if map.map_type == MapType::HashOfMaps && map.key_size != 4 {
                return bad(
                    "can only be put into a map whose keys have 4 bytes; add it when the map is there",
                );
            }
            match maps.by_place.get(&(section, symbol.value)) {
                Some(index) if symbol.section == section => Ok(SlotTarget::Map(*index)),
                _ => bad("is no map of section `.maps`, and only such maps can be put into a map of maps"),
            }
        }
        MapType::ProgArray => {
            let insn = usize::try_from(symbol.value / 8).ok().filter(|_| symbol.value.is_multiple_of(8));
            match insn.and_then(|insn| functions.program_at(symbol.section, insn)) {
                Some(program) => Ok(SlotTarget::Program(program)),
                None => bad(
                    "is no program: a subprogram cannot be put into an array of programs; give it a `SEC()`",
                ),
            }
        }
        _ => bad("is put into a map that holds neither maps nor programs"),
    }
}

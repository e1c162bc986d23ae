//! Data sections, which become maps of one value.

use super::Maps;
use crate::object::elf::{Elf, Section, Symbol};
use crate::object::types::Types;
use crate::spec::{MapKind, MapSpec, Variable};
use crate::{Error, Result};
use bpf_sys::map::{MapFlags, MapType};
use btf::Linkage;
use std::collections::HashMap;

/// Globals of an arena.
const ARENA: &str = ".addr_space.1";

/// What a data section holds.
fn kind(section: &Section<'_>) -> Option<MapKind> {
    let is = |name: &str| {
        section.name.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    };
    match (section.initialized(), section.zeroed()) {
        (true, _) if is(".data") => Some(MapKind::Data),
        (true, _) if is(".rodata") => Some(MapKind::Rodata),
        (_, true) if is(".bss") => Some(MapKind::Bss),
        (true, _) if section.name == ARENA => Some(MapKind::Arena),
        _ => None,
    }
}

/// Longest name of an object in the kernel.
const NAME: usize = 15;

/// Name that the kernel is told of a data map: as much of the object's name as leaves room for the section's.
///
/// Sections with a second dot (`.data.mine`) keep their name alone.
pub fn kernel_name(object: &str, section: &str) -> String {
    let object = object.split('.').next().unwrap_or_default();
    let suffix = section.len().clamp(7, NAME);
    let custom = section.char_indices().skip(1).any(|(_, c)| c == '.');
    let prefix = if custom { 0 } else { (NAME - suffix).min(object.len()) };
    let bytes = object.bytes().take(prefix).chain(section.bytes().take(suffix));
    let keep = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b == b'.';
    bytes.map(|b| if keep(b) { char::from(b) } else { '_' }).collect()
}

/// Makes maps of the data sections, in the order of the file.
pub fn collect(maps: &mut Maps, object: &str, elf: &Elf<'_>, types: Option<&Types<'_>>) -> Result<()> {
    let mut symbols: HashMap<usize, Vec<&Symbol<'_>>> = HashMap::new();
    for symbol in elf.symbols.iter().filter(|symbol| symbol.kind == object::elf::STT_OBJECT) {
        symbols.entry(symbol.section).or_default().push(symbol);
    }
    for (index, section) in elf.sections.iter().enumerate() {
        let Some(kind) = kind(section).filter(|_| section.size != 0) else {
            continue;
        };
        let Ok(size) = u32::try_from(section.size) else {
            let what = format!("{} bytes of variables; a map takes less than 4 GiB", section.size);
            return Err(Error::Section { section: section.name.to_owned(), offset: 0, what });
        };
        let symbols = symbols.get(&index).map_or(&[][..], Vec::as_slice);
        let variables = variables(section.name, symbols, types);
        if kind == MapKind::Arena {
            let place = arena(maps, section)?;
            if let Some(map) = maps.list.get_mut(place) {
                map.kind = MapKind::Arena;
                map.data = Some(section.data.to_vec());
                map.variables = variables;
            }
            maps.by_section.insert(index, place);
            continue;
        }
        let datasec = types.and_then(|types| types.datasec(section.name));
        let mut map = MapSpec::new(section.name, MapType::Array, 4, size, 1);
        map.kind = kind;
        map.kernel_name = kernel_name(object, section.name);
        map.value_type = datasec.map(|datasec| datasec.id);
        map.data = (kind != MapKind::Bss).then(|| section.data.to_vec());
        map.variables = variables;
        if kind == MapKind::Rodata {
            map.flags |= MapFlags::RDONLY_PROG;
        }
        // Where all variables are static nobody can ask for them by name.
        if datasec.is_some_and(|datasec| datasec.vars.iter().any(|var| var.linkage != Linkage::Static)) {
            map.flags |= MapFlags::MMAPABLE;
        }
        maps.by_section.insert(index, maps.list.len());
        maps.list.push(map);
    }
    Ok(())
}

/// The map that the arena's globals lie in.
fn arena(maps: &Maps, section: &Section<'_>) -> Result<usize> {
    let mut arenas = maps.list.iter().enumerate().filter(|(_, map)| map.map_type == MapType::Arena);
    let bad = |what: String| Err(Error::Section { section: section.name.to_owned(), offset: 0, what });
    match (arenas.next(), arenas.next()) {
        (Some((index, _)), None) => Ok(index),
        (Some((_, one)), Some((_, other))) => bad(format!(
            "globals of an arena, of which there are two (`{}`, `{}`); an object can have one",
            one.name, other.name
        )),
        (None, _) => bad("globals of an arena; declare the map itself in section `.maps`".to_owned()),
    }
}

/// The variables of a section: from the types, or from the symbols where the types say nothing.
fn variables(section: &str, symbols: &[&Symbol<'_>], types: Option<&Types<'_>>) -> Vec<Variable> {
    if let Some(datasec) = types.and_then(|types| types.datasec(section)) {
        let variables = datasec.vars.iter().filter(|var| !var.function).map(|var| Variable {
            name: var.name.to_owned(),
            offset: var.offset,
            size: var.size,
            type_id: Some(var.type_id),
        });
        return variables.collect();
    }
    let number = |value| u32::try_from(value).unwrap_or(u32::MAX);
    let mut variables: Vec<Variable> = symbols
        .iter()
        .map(|symbol| Variable {
            name: symbol.name.to_owned(),
            offset: number(symbol.value),
            size: number(symbol.size),
            type_id: None,
        })
        .collect();
    variables.sort_by_key(|variable| variable.offset);
    variables
}

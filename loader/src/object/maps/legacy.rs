//! The old section `maps`: an array of `struct bpf_map_def`.

use super::Maps;
use crate::object::elf::{Elf, Section, Symbol};
use crate::object::types::Types;
use crate::spec::{MapKind, MapSpec};
use crate::{Error, Result};
use bpf_sys::map::{MapFlags, MapType};
use btf::Kind;

/// Bytes of type, key size, value size, most entries and flags.
const DEFINITION: usize = 20;

/// Reads the definitions, in the order of the section.
pub fn collect(maps: &mut Maps, elf: &Elf<'_>, types: Option<&Types<'_>>) -> Result<()> {
    let Some((index, section)) = elf.section("maps").filter(|(_, section)| section.initialized()) else {
        return Ok(());
    };
    let mut symbols: Vec<&Symbol<'_>> = elf
        .symbols
        .iter()
        .filter(|symbol| symbol.section == index && !symbol.is_section() && !symbol.name.is_empty())
        .collect();
    symbols.sort_by_key(|symbol| symbol.value);
    let bad = |offset, what: String| Error::Section { section: section.name.to_owned(), offset, what };
    if symbols.is_empty() && section.size != 0 {
        let what = "no symbol names a map; strip with `llvm-strip -g`, which keeps symbols";
        return Err(bad(0, what.to_owned()));
    }
    for (nth, symbol) in symbols.iter().enumerate() {
        let end = symbols.get(nth + 1).map_or(section.data.len() as u64, |next| next.value);
        let bytes = usize::try_from(symbol.value)
            .ok()
            .zip(usize::try_from(end).ok())
            .and_then(|(start, end)| section.data.get(start..end))
            .ok_or_else(|| {
                bad(symbol.value, format!("the map `{}` lies outside the section", symbol.name))
            })?;
        let (Some(known), extra) = (bytes.get(..DEFINITION), bytes.get(DEFINITION..).unwrap_or_default())
        else {
            let what = format!(
                "the definition of map `{}` has {} bytes, {DEFINITION} are the least",
                symbol.name,
                bytes.len()
            );
            return Err(bad(symbol.value, what));
        };
        if let Some(at) = extra.iter().position(|byte| *byte != 0) {
            let what = format!(
                "the definition of map `{}` sets a field that is not known; define the map in section `.maps`",
                symbol.name
            );
            return Err(bad(symbol.value + (DEFINITION + at) as u64, what));
        }
        let word = |at: usize| elf.u32(known, 4 * at).unwrap_or(0);
        let mut map = MapSpec::new(symbol.name, MapType::from_raw(word(0)), word(1), word(2), word(3));
        map.kind = MapKind::Legacy;
        map.flags = MapFlags::from_bits_retain(word(4));
        (map.key_type, map.value_type) = annotated(types, symbol.name);
        maps.by_place.insert((index, symbol.value), maps.list.len());
        maps.list.push(map);
    }
    aligned(section, symbols.first().copied(), bad)
}

/// Bytes before the first definition are one that has no name.
fn aligned(
    section: &Section<'_>,
    first: Option<&Symbol<'_>>,
    bad: impl Fn(u64, String) -> Error,
) -> Result<()> {
    match first {
        Some(first) if first.value != 0 && section.size != 0 => {
            Err(bad(0, "the bytes before the first map belong to none; the file is damaged".to_owned()))
        }
        _ => Ok(()),
    }
}

/// Key and value type as `BPF_ANNOTATE_KV_PAIR` noted them: members of a struct `____btf_map_NAME`.
fn annotated(types: Option<&Types<'_>>, name: &str) -> (Option<btf::TypeId>, Option<btf::TypeId>) {
    let find = |member: &str| {
        let btf = &types?.btf;
        let id = btf.find(&format!("____btf_map_{name}"), Kind::Struct)?;
        btf.type_by_id(id)?.members().find(|m| m.name == member).map(|m| m.type_id)
    };
    (find("key"), find("value"))
}

//! `tracewell map dump`.

use super::elements::for_each;
use super::types::MapTypes;
use crate::objects::select::{self, Which};
use crate::objects::{Options, Words, out};
use crate::output::element::Shape;
use crate::output::jsonw::Json;
use anyhow::Result;
use bpf_sys::map::{Map, MapInfo, MapType};
use btf::Btf;
use clap::ArgMatches;
use std::io::Write;

/// Whether values of this type of map are one for each processor.
pub fn per_cpu(map_type: MapType) -> bool {
    matches!(
        map_type,
        MapType::PercpuHash | MapType::PercpuArray | MapType::LruPercpuHash | MapType::PercpuCgroupStorage
    )
}

/// How the elements of a map look.
pub fn shape<'a>(map: &Map, info: &MapInfo, types: Option<(&'a Btf<'a>, &MapTypes)>) -> Shape<'a> {
    Shape {
        per_cpu: per_cpu(info.map_type),
        inner_maps: matches!(info.map_type, MapType::ArrayOfMaps | MapType::HashOfMaps),
        value_size: map.value_size(),
        types: types.map(|(btf, types)| (btf, types.key, types.value)),
    }
}

/// Prints all elements of the maps that are meant.
pub fn main(m: &ArgMatches, options: Options) -> Result<u8> {
    let mut words = Words::new(m, "words", super::MAP);
    let which = Which::map(&mut words)?;
    words.end()?;
    let maps = select::maps(&which)?;
    let several = maps.len() > 1;
    let mut out = out();
    if options.json && several {
        write!(out, "[")?;
    }
    for (n, map) in maps.iter().enumerate() {
        if options.json && n != 0 {
            write!(out, ",")?;
        }
        one(&mut out, map, options, several, n == 0)?;
    }
    if options.json {
        writeln!(out, "{}", if several { "]" } else { "" })?;
    }
    out.flush()?;
    Ok(0)
}

fn one(out: &mut dyn Write, map: &Map, options: Options, several: bool, first: bool) -> Result<()> {
    let info = map.info()?;
    let types = MapTypes::of(&info)?;
    let btf = types.as_ref().map(MapTypes::open).transpose()?;
    let shape = shape(map, &info, btf.as_ref().zip(types.as_ref()));
    if !options.json && several {
        let blank = if first { "" } else { "\n" };
        writeln!(out, "{blank}{}: {}  name {}", info.id, info.map_type, info.name)?;
    }
    if !options.json && shape.types.is_none() {
        let count = for_each(map, |key, value| Ok(shape.bytes(out, key, value)?))?;
        writeln!(out, "Found {count} element{}", if count == 1 { "" } else { "s" })?;
        return Ok(());
    }
    let mut j = Json::new(out, options.pretty || !options.json);
    if options.json && several {
        j.begin_object()?;
        j.field("id", info.id)?;
        j.field_str("type", &info.map_type.to_string())?;
        j.field_str("name", &info.name)?;
        j.key("elements")?;
    }
    j.begin_array()?;
    for_each(map, |key, value| {
        match options.json {
            true => shape.json(&mut j, key, value)?,
            false => shape.plain(&mut j, key, value)?,
        }
        Ok(())
    })?;
    j.end_array()?;
    if options.json && several {
        j.end_object()?;
    }
    if !options.json {
        j.finish()?;
    }
    Ok(())
}

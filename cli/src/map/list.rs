//! `tracewell map list`.

use crate::objects::pids::Kind;
use crate::objects::select::{self, Which};
use crate::objects::{Options, Words, fdinfo, out};
use crate::output::jsonw::Json;
use crate::output::map::{self, MapRow};
use anyhow::Result;
use bpf_sys::map::Map;
use bpf_sys::prog::ProgType;
use clap::ArgMatches;
use std::io::Write;

/// Prints all maps, or those that are meant.
pub fn main(m: &ArgMatches, options: Options) -> Result<u8> {
    let mut words = Words::new(m, "words", super::MAP);
    let which = if words.is_empty() { None } else { Some(Which::map(&mut words)?) };
    words.end()?;
    let maps = match &which {
        None => select::all_maps()?,
        Some(which) => select::maps(which)?,
    };
    let pinned = options.pins_of(Kind::Map);
    let held = options.holders_of(Kind::Map);
    let single = maps.len() == 1 && which.is_some();
    let (mut out, mut text) = (out(), Vec::new());
    let mut j = Json::new(&mut out, options.pretty);
    if options.json && !single {
        j.begin_array()?;
    }
    for one in &maps {
        let mut row = row(one)?;
        row.pins = pinned.get(&row.id).cloned().unwrap_or_default();
        row.pids = held.get(&row.id).cloned().unwrap_or_default();
        match options.json {
            true => map::json(&mut j, &row)?,
            false => map::text(&mut text, &row)?,
        }
    }
    if options.json {
        if !single {
            j.end_array()?;
        }
        j.finish()?;
    }
    out.write_all(&text)?;
    out.flush()?;
    Ok(0)
}

fn row(map: &Map) -> Result<MapRow> {
    let info = map.info()?;
    let fdinfo = fdinfo::read(map);
    let owner = fdinfo
        .owner_prog_type
        .map(|t| (ProgType::from_raw(t).to_string(), fdinfo.owner_jited.unwrap_or(false)));
    Ok(MapRow {
        id: info.id,
        map_type: info.map_type.to_string(),
        name: info.name,
        flags: info.flags.bits(),
        key: info.key_size,
        value: info.value_size,
        max_entries: info.max_entries,
        memlock: fdinfo.memlock,
        owner,
        btf_id: info.btf_id,
        frozen: fdinfo.frozen,
        ifindex: info.ifindex,
        pins: Vec::new(),
        pids: Vec::new(),
    })
}

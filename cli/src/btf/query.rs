//! `tracewell btf find` and `tracewell btf layout`.

use super::source::{Opened, Source, type_name};
use super::{PATTERN, SOURCE};
use crate::objects::{Options, Words, out};
use crate::output::btf;
use crate::output::jsonw::Json;
use ::btf::find::{Pattern, find as search};
use ::btf::layout::layout as layout_of;
use ::btf::{Btf, Kind, TypeId};
use anyhow::{Result, bail};
use clap::ArgMatches;
use std::io::Write;

/// Prints what a pattern matches.
pub fn find(m: &ArgMatches, options: Options) -> Result<u8> {
    let mut words = Words::new(m, "words", PATTERN);
    let name = type_name(&mut words)?;
    let source = Source::parse_or_kernel(&mut words)?;
    words.end()?;
    let pattern = Pattern::new(&name);
    Opened::open(&source, m)?.with(|types| {
        let mut out = out();
        let mut found = 0_u32;
        if options.json {
            let mut j = Json::new(&mut out, options.pretty);
            j.begin_array()?;
            for one in search(types, &pattern) {
                found += 1;
                btf::found_json(&mut j, &one)?;
            }
            j.end_array()?;
            j.finish()?;
        } else {
            for one in search(types, &pattern) {
                found += 1;
                btf::found_text(&mut out, &one)?;
            }
        }
        out.flush()?;
        if found == 0 {
            bail!("nothing is called {name:?} here; * stands for any characters, as in '*{}*'", bare(&name));
        }
        Ok(0)
    })
}

fn bare(name: &str) -> &str {
    name.rsplit(' ').next().unwrap_or(name).trim_matches('*')
}

/// Prints where the members of structs lie.
pub fn layout(m: &ArgMatches, options: Options) -> Result<u8> {
    let mut words = Words::new(m, "words", SOURCE);
    let name = type_name(&mut words)?;
    let source = Source::parse_or_kernel(&mut words)?;
    words.end()?;
    Opened::open(&source, m)?.with(|types| {
        let ids = composites(types, &name);
        if ids.is_empty() {
            bail!(
                "no struct or union is called {name:?} here; `tracewell btf find '*{}*'` finds similar names",
                bare(&name)
            );
        }
        let mut out = out();
        let mut j = Json::new(&mut out, options.pretty);
        let mut text = Vec::new();
        if options.json {
            j.begin_array()?;
        }
        for (at, id) in ids.iter().enumerate() {
            let Some(layout) = layout_of(types, *id, m.get_flag("expand")) else {
                bail!("type {}: a member has no size, or never ends: the data is damaged", id.0);
            };
            if options.json {
                btf::layout_json(&mut j, &layout)?;
            } else {
                // Several structs can share a name.
                let gap = if at == 0 { "" } else { "\n" };
                write!(text, "{gap}{layout}")?;
            }
        }
        if options.json {
            j.end_array()?;
            j.finish()?;
        }
        out.write_all(&text)?;
        out.flush()?;
        Ok(0)
    })
}

/// The structs and unions of a name, or those that typedefs of the name stand for.
fn composites(types: &Btf<'_>, name: &str) -> Vec<TypeId> {
    let pattern = Pattern::new(name);
    let mut ids: Vec<TypeId> = search(types, &pattern)
        .filter(|found| found.value.is_none() && (found.kind.is_composite() || found.kind == Kind::Typedef))
        .filter_map(|found| types.resolve(found.id))
        .filter(|(_, ty)| ty.kind().is_composite())
        .map(|(id, _)| id)
        .collect();
    ids.sort_unstable();
    ids.dedup();
    ids
}

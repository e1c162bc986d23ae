//! `tracewell btf list`.

use crate::objects::select;
use crate::objects::{Options, Words, out};
use crate::output::btf::{self, BtfRow};
use crate::output::jsonw::Json;
use anyhow::Result;
use bpf_sys::btf_obj::BtfObj;
use bpf_sys::{Errno, ids};
use clap::ArgMatches;
use std::collections::HashMap;
use std::io::Write;

/// Prints all BTF objects, or one.
pub fn main(m: &ArgMatches, options: Options) -> Result<u8> {
    let mut words = Words::new(m, "words", "list [id N]");
    let one = match words.is_empty() {
        true => None,
        false if words.keyword("id") => Some(words.number::<u32>("an id")?),
        false => return words.unexpected("`id`"),
    };
    words.end()?;
    let (progs, maps) = users()?;
    let mut rows = Vec::new();
    match one {
        Some(id) => rows.push(row(&BtfObj::from_id(id)?, &progs, &maps)?),
        None => {
            for id in ids::btfs() {
                match BtfObj::from_id(id?).and_then(|object| row(&object, &progs, &maps)) {
                    Ok(row) => rows.push(row),
                    Err(e) if e.is_errno(Errno::ENOENT) => {}
                    Err(e) => return Err(e.into()),
                }
            }
        }
    }
    let mut out = out();
    if options.json {
        let mut j = Json::new(&mut out, options.pretty);
        j.begin_array()?;
        rows.iter().try_for_each(|row| btf::json(&mut j, row))?;
        j.end_array()?;
        j.finish()?;
    } else {
        rows.iter().try_for_each(|row| btf::text(&mut out, row))?;
    }
    out.flush()?;
    Ok(0)
}

type Users = HashMap<u32, Vec<u32>>;

/// Programs and maps by the BTF objects that they came with.
fn users() -> Result<(Users, Users)> {
    let (mut progs, mut maps) = (Users::new(), Users::new());
    for prog in select::all_progs()? {
        let summary = prog.summary()?;
        progs.entry(summary.btf_id).or_default().push(summary.id);
    }
    for map in select::all_maps()? {
        let info = map.info()?;
        maps.entry(info.btf_id).or_default().push(info.id);
    }
    Ok((progs, maps))
}

fn row(object: &BtfObj, progs: &Users, maps: &Users) -> bpf_sys::Result<BtfRow> {
    let info = object.info()?;
    let of = |users: &Users| users.get(&info.id).cloned().unwrap_or_default();
    Ok(BtfRow {
        id: info.id,
        size: info.size,
        progs: of(progs),
        maps: of(maps),
        kernel: info.kernel_btf,
        name: info.name,
    })
}

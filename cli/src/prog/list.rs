//! `tracewell prog list`.

use crate::clock;
use crate::objects::pids::Kind;
use crate::objects::select::{self, NAME_MAX, Which, tag_text};
use crate::objects::{Options, Words, fdinfo, out};
use crate::output::jsonw::Json;
use crate::output::prog::{self, ProgRow};
use anyhow::Result;
use bpf_sys::btf_obj::BtfObj;
use bpf_sys::prog::Prog;
use clap::ArgMatches;
use nix::time::{ClockId, clock_gettime};
use std::io::Write;
use std::time::Duration;

/// Prints all programs, or those that are meant: one by its id as an object of its own, as bpftool does.
pub fn main(m: &ArgMatches, options: Options) -> Result<u8> {
    let mut words = Words::new(m, "words", super::PROG);
    let which = if words.is_empty() { None } else { Some(Which::prog(&mut words)?) };
    words.end()?;
    let progs = match &which {
        None => select::all_progs()?,
        Some(which) => select::progs(which)?,
    };
    let pinned = options.pins_of(Kind::Prog);
    let held = options.holders_of(Kind::Prog);
    let boot = boot_time();
    let single = progs.len() == 1 && which.is_some();
    let mut out = out();
    let mut j = Json::new(&mut out, options.pretty);
    let mut text = Vec::new();
    if options.json && !single {
        j.begin_array()?;
    }
    for prog in &progs {
        let mut row = row(prog, boot)?;
        row.pins = pinned.get(&row.id).cloned().unwrap_or_default();
        row.pids = held.get(&row.id).cloned().unwrap_or_default();
        if options.json {
            prog::json(&mut j, &row)?;
        } else {
            prog::text(&mut text, &row)?;
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

/// When the machine was started: since 1970.
fn boot_time() -> Option<Duration> {
    let now = |clock| clock_gettime(clock).ok().map(Duration::from);
    now(ClockId::CLOCK_REALTIME)?.checked_sub(now(ClockId::CLOCK_BOOTTIME)?)
}

fn row(prog: &Prog, boot: Option<Duration>) -> Result<ProgRow> {
    let summary = prog.summary()?;
    let name = match summary.name.len() {
        NAME_MAX if summary.btf_id != 0 => full_name(prog).unwrap_or(summary.name),
        _ => summary.name,
    };
    let loaded = boot.map(|boot| (boot + summary.load_time).as_secs());
    Ok(ProgRow {
        id: summary.id,
        prog_type: summary.prog_type.to_string(),
        name,
        tag: tag_text(&summary.tag),
        gpl: summary.gpl_compatible,
        runs: (summary.stats.run_cnt != 0).then_some((summary.stats.run_time_ns, summary.stats.run_cnt)),
        recursion_misses: summary.stats.recursion_misses.unwrap_or(0),
        loaded_at: loaded.map(|unix| (unix, clock::iso_seconds(unix))),
        uid: summary.created_by_uid,
        xlated: summary.xlated_len,
        jited: summary.jited_len,
        memlock: fdinfo::read(prog).memlock,
        map_ids: summary.map_ids,
        btf_id: summary.btf_id,
        pins: Vec::new(),
        pids: Vec::new(),
    })
}

/// The name of a program's first function, of which the kernel itself keeps 15 bytes.
fn full_name(prog: &Prog) -> Option<String> {
    let info = prog.info().ok()?;
    let type_id = u32::from_ne_bytes(info.func_info.get(4..8)?.try_into().ok()?);
    let bytes = BtfObj::from_id(info.btf_id).ok()?.bytes().ok()?;
    let btf = btf::Btf::parse(&bytes).ok()?;
    let name = btf.type_by_id(btf::TypeId(type_id))?.name();
    name.starts_with(&info.name).then(|| name.to_string())
}

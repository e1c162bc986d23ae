//! `tracewell link`: what programs hang on.

use crate::objects::pids::{Holder, Kind, holders};
use crate::objects::select::{self, Which};
use crate::objects::{Options, Words, check_pin_path, options, out, pins::pins};
use crate::output::jsonw::Json;
use crate::output::link::{self, LinkRow, Symbols};
use crate::prog::words;
use anyhow::{Result, bail};
use bpf_sys::link::{Link, LinkDetails, LinkInfo, LinkType};
use bpf_sys::prog::Prog;
use clap::{ArgMatches, Command};
use probes::kernel::kallsyms;
use std::collections::{HashMap, HashSet};
use std::io::Write;
use std::ops::ControlFlow;

/// The definition of the command.
pub fn command() -> Command {
    options::shared(Command::new("link"))
        .about("List, detach and pin BPF links")
        .subcommand(
            Command::new("list")
                .visible_alias("show")
                .about("List the links that there are")
                .arg(words("LINK", "Which one: `id N` or `pinned FILE`")),
        )
        .subcommand(
            Command::new("detach")
                .about("Detach a program from its hook, whoever holds the link")
                .arg(words("LINK", "`id N` or `pinned FILE`")),
        )
        .subcommand(
            Command::new("pin")
                .about("Keep a link by a name in a BPF file system")
                .arg(words("WORDS", "LINK FILE")),
        )
}

/// Runs the command.
pub fn main(matches: &ArgMatches, before: Options) -> Result<u8> {
    let (verb, m) = matches.subcommand().unwrap_or(("list", matches));
    let options = Options::new(m, before);
    match verb {
        "list" => list(m, options),
        "detach" => detach(m, options),
        "pin" => pin(m, options),
        other => unreachable!("clap knows no verb {other}"),
    }
}

fn list(m: &ArgMatches, options: Options) -> Result<u8> {
    let mut words = Words::new(m, "words", "LINK is `id N` or `pinned FILE`");
    let which = if words.is_empty() { None } else { Some(Which::link(&mut words)?) };
    words.end()?;
    let links = match &which {
        None => select::all_links()?,
        Some(which) => vec![select::link(which)?],
    };
    let infos = links.iter().map(Link::info).collect::<bpf_sys::Result<Vec<_>>>()?;
    let symbols = symbols(&infos);
    let devices = devices(&infos);
    let pinned = options.pins_of(Kind::Link);
    let held = options.holders_of(Kind::Link);
    let (mut out, mut text) = (out(), Vec::new());
    let mut j = Json::new(&mut out, options.pretty);
    if options.json && which.is_none() {
        j.begin_array()?;
    }
    for info in &infos {
        let tracing = matches!(info.details, LinkDetails::Tracing { .. });
        let prog_type = || Some(Prog::from_id(info.prog_id).ok()?.summary().ok()?.prog_type.to_string());
        let device = match info.details {
            LinkDetails::Device { ifindex, .. } => devices.get(&ifindex).cloned(),
            _ => None,
        };
        let row = LinkRow {
            id: info.id,
            link_type: info.link_type,
            prog_id: info.prog_id,
            prog_type: if tracing { prog_type() } else { None },
            details: &info.details,
            device,
            pins: pinned.get(&info.id).cloned().unwrap_or_default(),
            pids: held.get(&info.id).cloned().unwrap_or_default(),
        };
        match options.json {
            true => link::json(&mut j, &row, &symbols)?,
            false => link::text(&mut text, &row, &symbols)?,
        }
    }
    if options.json {
        if which.is_none() {
            j.end_array()?;
        }
        j.finish()?;
    }
    out.write_all(&text)?;
    out.flush()?;
    Ok(0)
}

/// Names of the functions of kprobe.multi links; nothing is read where there is no such link.
fn symbols(infos: &[LinkInfo]) -> Symbols {
    let mut wanted: HashSet<u64> = HashSet::new();
    for info in infos {
        if let LinkDetails::KprobeMulti { addrs, .. } = &info.details {
            wanted.extend(addrs);
        }
    }
    let mut symbols = Symbols::new();
    if wanted.is_empty() {
        return symbols;
    }
    // Where the kernel hides its symbols, addresses stay without names.
    let _ = kallsyms::scan(|line| {
        if line.is_text() && wanted.contains(&line.addr) {
            let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            symbols.entry(line.addr).or_insert_with(|| (text(line.name), line.module.map(text)));
        }
        ControlFlow::Continue(())
    });
    symbols
}

/// Names of network devices by their numbers.
fn devices(infos: &[LinkInfo]) -> HashMap<u32, String> {
    if !infos.iter().any(|info| matches!(info.details, LinkDetails::Device { .. })) {
        return HashMap::new();
    }
    let Ok(entries) = std::fs::read_dir("/sys/class/net") else { return HashMap::new() };
    let number = |path: std::path::PathBuf| {
        std::fs::read_to_string(path.join("ifindex")).ok()?.trim().parse::<u32>().ok()
    };
    entries
        .flatten()
        .filter_map(|e| Some((number(e.path())?, e.file_name().to_string_lossy().into_owned())))
        .collect()
}

fn detach(m: &ArgMatches, options: Options) -> Result<u8> {
    let mut words = Words::new(m, "words", "detach LINK, where LINK is `id N` or `pinned FILE`");
    let which = Which::link(&mut words)?;
    words.end()?;
    let link = select::link(&which)?;
    match link.detach() {
        Ok(()) => crate::objects::done(options),
        Err(bpf_sys::Error::Unsupported { .. }) => {
            let info = link.info()?;
            bail!("{}", cannot_detach(info.id, info.link_type))
        }
        Err(e) => Err(e.into()),
    }
}

/// What to do about a link that the kernel detaches only when nobody holds it any more.
fn cannot_detach(id: u32, link_type: LinkType) -> String {
    let pinned = pins(Kind::Link).remove(&id).unwrap_or_default();
    let held: Vec<String> = holders(Kind::Link)
        .remove(&id)
        .unwrap_or_default()
        .iter()
        .map(|Holder { pid, comm }| format!("{comm} ({pid})"))
        .collect();
    let remedy = match (pinned.is_empty(), held.is_empty()) {
        (false, true) => format!("remove {}", pinned.join(" and ")),
        (true, false) => format!("end {}", held.join(" and ")),
        (false, false) => format!("remove {} and end {}", pinned.join(" and "), held.join(" and ")),
        (true, true) => "no pin and no process that holds it can be seen from here".to_string(),
    };
    format!(
        "link {id}: the kernel detaches links of type {link_type} only when the last pin and process lets go of them: \
         {remedy}"
    )
}

fn pin(m: &ArgMatches, options: Options) -> Result<u8> {
    let mut words = Words::new(m, "words", "pin LINK FILE, where LINK is `id N` or `pinned FILE`");
    let which = Which::link(&mut words)?;
    let path = words.path("the file to pin it at")?;
    words.end()?;
    check_pin_path(&path)?;
    select::link(&which)?.pin(&path)?;
    crate::objects::done(options)
}

//! `tracewell prog load`: to pins, for a check, or for as long as the command runs.

use super::object::{self, open, with_target};
use super::{check, stream};
use crate::objects::select::{self, Which};
use crate::objects::{Options, Words, check_pin_path, done, words::usage};
use anyhow::{Context, Result, anyhow, bail};
use bpf_sys::map::Map;
use bpf_sys::prog::{AttachType, ProgType};
use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use loader::sections::section_info;
use loader::{Collection, LoadOptions, Loader, Object};
use probes::object::{AttachOptions, attach_all};
use std::io::{Write, stderr};
use std::path::{Path, PathBuf};

const GRAMMAR: &str =
    "load FILE PATH [type TYPE] [map { idx N | name NAME } MAP] [dev NAME] [pinmaps DIR] [autoattach]";

/// The definition of `prog load` and `prog loadall`.
pub fn command(name: &'static str, about: &'static str) -> Command {
    let command = Command::new(name)
        .about(about)
        .arg(
            Arg::new("file")
                .value_name("FILE")
                .required(true)
                .value_parser(value_parser!(PathBuf))
                .help("An object file"),
        )
        .arg(super::words(
            "WORDS",
            "PATH [type TYPE] [map { idx N | name NAME } MAP] [dev NAME] [pinmaps DIR] [autoattach]",
        ))
        .arg(
            Arg::new("check")
                .long("check")
                .action(ArgAction::SetTrue)
                .conflicts_with("autoattach")
                .help("Try every program, say which load and why others do not, and leave nothing"),
        )
        .arg(
            Arg::new("autoattach")
                .long("autoattach")
                .action(ArgAction::SetTrue)
                .help("Attach the programs and print the records that they send, until Ctrl-C"),
        )
        .arg(
            crate::args::seconds("duration", 'D', "With --autoattach: end after SECS seconds")
                .requires("autoattach"),
        )
        .arg(Arg::new("record").long("record").value_name("MAP=TYPE").action(ArgAction::Append).help(
            "The type of a map's records, such as events='struct event', where the object does not tell",
        ));
    object::options(command)
}

/// What stands behind the file.
#[derive(Debug, Default)]
struct Request {
    path: Option<PathBuf>,
    prog_type: Option<(ProgType, Option<AttachType>)>,
    reuse: Vec<(String, Map)>,
    ifindex: u32,
    pinmaps: Option<PathBuf>,
    autoattach: bool,
}

impl Request {
    fn read(mut words: Words, object: &Object) -> Result<Request> {
        let mut request = Request::default();
        if words.is_empty() {
            return Ok(request);
        }
        request.path = Some(words.path("the file to pin it at")?);
        while !words.is_empty() {
            if words.keyword("type") {
                let text = words.text("a type of programs")?;
                request.prog_type = Some(prog_type(&text)?);
            } else if words.keyword("map") {
                request.reuse.push(reused_map(&mut words, object)?);
            } else if words.keyword("dev") || words.keyword("offload_dev") {
                let name = words.text("a network device")?;
                request.ifindex = crate::objects::device(&name)?;
            } else if words.keyword("pinmaps") {
                request.pinmaps = Some(words.path("a directory")?);
            } else if words.keyword("autoattach") {
                request.autoattach = true;
            } else {
                return words.unexpected("`type`, `map`, `dev`, `pinmaps` or `autoattach`");
            }
        }
        Ok(request)
    }
}

/// A type by its own name, or as the section of such programs is called.
pub(super) fn prog_type(text: &str) -> Result<(ProgType, Option<AttachType>)> {
    if let Some(found) = ProgType::from_name(text) {
        return Ok((found, None));
    }
    let section = section_info(text).or_else(|| section_info(&format!("{text}/")));
    match section {
        Some(info) => Ok((info.prog_type, info.attach_type)),
        None => {
            let all: Vec<String> = ProgType::ALL.iter().map(ProgType::to_string).collect();
            usage(format!("there is no type of programs `{text}`; there are {}", all.join(", ")))
        }
    }
}

fn reused_map(words: &mut Words, object: &Object) -> Result<(String, Map)> {
    let names = || object.maps.iter().map(|map| map.name.as_str()).collect::<Vec<_>>().join(", ");
    let name = if words.keyword("idx") {
        let index: usize = words.number("the map's place in the object")?;
        match object.maps.get(index) {
            Some(map) => map.name.clone(),
            None => bail!("map idx {index}: the object has {} maps: {}", object.maps.len(), names()),
        }
    } else if words.keyword("name") {
        let name = words.text("a map of the object")?;
        if !object.maps.iter().any(|map| map.name == name) {
            bail!("map name {name}: the object has no such map; it has {}", names());
        }
        name
    } else {
        return words.unexpected("`idx` or `name`");
    };
    Ok((name, select::map(&Which::map(words)?)?))
}

/// Runs the command; `all` is `loadall`.
pub fn main(m: &ArgMatches, options: Options, all: bool) -> Result<u8> {
    let file = m.get_one::<PathBuf>("file").context("FILE is required")?;
    let object = open(file, m)?;
    let request = Request::read(Words::new(m, "words", GRAMMAR), &object)?;
    let verbose = m.get_flag("verbose") || options.debug;
    let (checking, streaming) = (m.get_flag("check"), m.get_flag("autoattach"));
    if request.path.is_none() && !checking && !streaming {
        return usage(format!(
            "where to pin it is missing: {GRAMMAR}; --check only tries, --autoattach runs it until Ctrl-C"
        ));
    }
    if checking && request.path.is_some() {
        return usage("--check leaves nothing, so there is nothing to pin: leave PATH out");
    }
    let pin_dir = m.get_one::<PathBuf>("pin-dir").cloned();
    let load = LoadOptions {
        pin_dir,
        reuse: request.reuse,
        log_level: u32::from(verbose),
        prog_type: request.prog_type,
        ifindex: request.ifindex,
        ..LoadOptions::default()
    };
    // Before 5.11 the memory counts as locked; where the limit cannot be raised the kernel says so itself.
    let _ = bpf_sys::memlock::ensure();
    with_target(m, |target| {
        let loader = Loader::new(target, load);
        if checking {
            return check::run(&loader, &object, file, options, verbose);
        }
        let collection = loader
            .load(&object)
            .map_err(|e| explain(e, verbose))
            .with_context(|| file.display().to_string())?;
        if verbose {
            for program in collection.programs() {
                writeln!(stderr(), "{}:\n{}", program.spec.name, program.log.trim_end())?;
            }
        }
        match &request.path {
            Some(path) if !streaming => {
                let attach = request.autoattach;
                pin(&collection, path, all, request.pinmaps.as_deref(), attach)?;
                done(options)
            }
            _ => stream::run(m, options, target, &collection),
        }
    })
}

/// The verifier's whole log in place of what it comes to, with `-v`.
fn explain(error: loader::Error, verbose: bool) -> anyhow::Error {
    match error {
        loader::Error::Verifier(refused) if verbose => {
            anyhow!("{refused}\nthe verifier's log:\n{}", refused.log().trim_end())
        }
        other => other.into(),
    }
}

/// The file name of a pin: the kernel takes no dots.
fn pin_name(name: &str) -> String {
    name.replace('.', "_")
}

/// Pins what was loaded; all of it or nothing.
fn pin(
    collection: &Collection,
    path: &Path,
    all: bool,
    pinmaps: Option<&Path>,
    autoattach: bool,
) -> Result<()> {
    let mut pinned: Vec<PathBuf> = Vec::new();
    let mut made: Vec<&Path> = Vec::new();
    let mut pin_everything = || -> Result<()> {
        let mut directory = |dir| -> Result<()> {
            if !Path::is_dir(dir) {
                std::fs::create_dir_all(dir).map_err(|e| anyhow!("cannot create {}: {e}", dir.display()))?;
                made.push(dir);
            }
            Ok(())
        };
        if all {
            directory(path)?;
        } else {
            check_pin_path(path)?;
        }
        if let Some(dir) = pinmaps {
            directory(dir)?;
        }
        if autoattach {
            let attachments = attach_all(collection, &AttachOptions::default())?;
            for skipped in &attachments.skipped {
                writeln!(
                    stderr(),
                    "tracewell: warning: `{}` is not attached: {}",
                    skipped.name,
                    skipped.why
                )?;
            }
            for one in &attachments.attached {
                let links = one.links();
                if links.is_empty() {
                    bail!(
                        "`{}` is attached without a link ({}), which cannot be pinned on this kernel: run it with \
                         --autoattach instead",
                        one.name(),
                        one.mechanism()
                    );
                }
                for (n, link) in links.iter().enumerate() {
                    let number = if n == 0 { String::new() } else { format!("_{n}") };
                    let at = match all {
                        true => path.join(pin_name(one.name()) + &number),
                        false => path.to_path_buf(),
                    };
                    link.pin(&at)?;
                    pinned.push(at);
                }
                if !all {
                    break;
                }
            }
        }
        // What could not be attached by itself is pinned as a program, as bpftool does.
        let attached = pinned.clone();
        for program in collection.programs() {
            let at = if all { path.join(pin_name(&program.spec.name)) } else { path.to_path_buf() };
            if !attached.contains(&at) {
                program.prog.pin(&at)?;
                pinned.push(at);
            }
            if !all {
                break;
            }
        }
        if let Some(dir) = pinmaps {
            for map in collection.maps() {
                let at = dir.join(pin_name(&map.spec.kernel_name));
                map.map.pin(&at)?;
                pinned.push(at);
            }
        }
        Ok(())
    };
    if collection.programs().is_empty() {
        bail!("the object has no program that is loaded by default, so there is nothing to pin");
    }
    let result = pin_everything();
    if result.is_err() {
        // What cannot be removed now could not have been removed later either.
        pinned.iter().for_each(|path| drop(std::fs::remove_file(path)));
        made.iter().for_each(|dir| drop(std::fs::remove_dir(dir)));
    }
    result
}

//! `tracewell prog verify`: what a kernel's verifier says of programs, without a kernel.

use super::input::{self, Input};
use super::prepared::{Prepared, prepared};
use crate::objects::{Options, out, words::usage};
use crate::output::jsonw::Json;
use anyhow::{Context, Result};
use btf::Btf;
use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use jit_check::kernel::{Kernel, Privileges, Version};
use jit_check::verifier::{self, Statistics};
use loader::{LoadOptions, Loader, Target};
use std::io::Write;
use std::path::PathBuf;

/// The definition of the verb.
pub fn command() -> Command {
    let about = "Say whether a kernel's verifier would take programs, and if not, why; nothing is loaded";
    let flag = |name: &'static str, help| Arg::new(name).long(name).action(ArgAction::SetTrue).help(help);
    input::args(Command::new("verify").about(about))
        .arg(
            Arg::new("kernel")
                .long("kernel")
                .value_name("VERSION")
                .value_parser(value_parser!(Version))
                .help("The kernel to ask, from 5.10 to 7.2 [default: the running one]"),
        )
        .arg(
            Arg::new("btf")
                .long("btf")
                .value_name("FILE")
                .value_parser(value_parser!(PathBuf))
                .help("Its types: an ELF file or raw BTF [default: the running kernel's]"),
        )
        .arg(flag("unprivileged", "As for a loader without any capability"))
        .arg(flag("explain", "Explain refusals in plain words"))
        .arg(
            Arg::new("log")
                .long("log")
                .value_name("LEVEL")
                .value_parser(value_parser!(u32).range(0..=7))
                .help("Print the verifier's log: 1 the way to the fault, 2 everything, 4 statistics"),
        )
        .arg(flag(
            "against-kernel",
            "Load the programs into the running kernel too, and compare what both say",
        ))
}

/// What is asked of all programs.
struct Request<'a, 't> {
    kernel: &'a Kernel<'t>,
    target: &'a Target<'t>,
    options: verifier::Options,
    explain: bool,
    log: Option<u32>,
    against: bool,
    json: bool,
}

/// Runs the verb: 0 where all programs are accepted (and the kernel agrees), 1 where not, 2 where one of several inputs
/// could not be read.
pub fn main(m: &ArgMatches, options: Options) -> Result<u8> {
    let mut all = Input::read_each(m)?;
    if all.len() == 1 {
        all = vec![Ok(all.swap_remove(0)?)];
    }
    let count = all.len();
    let mut inputs = Vec::with_capacity(count);
    for input in all {
        match input {
            Ok(input) => inputs.push(input),
            Err(error) => crate::report(&mut std::io::stderr(), "error", &error)?,
        }
    }
    let status = verify(m, options, &inputs, count)?;
    Ok(if inputs.len() < count { 2 } else { status })
}

fn verify(m: &ArgMatches, options: Options, inputs: &[Input], count: usize) -> Result<u8> {
    let running: Version =
        loader::kernel::release().unwrap_or_default().parse().map_err(anyhow::Error::msg)?;
    let version = m.get_one::<Version>("kernel").copied().unwrap_or(running);
    if !(Version::OLDEST..=Version::NEWEST).contains(&version) {
        return usage(format!(
            "Linux {version} is not simulated; give one from {} to {} with --kernel",
            Version::OLDEST,
            Version::NEWEST
        ));
    }
    let against = m.get_flag("against-kernel");
    let types = m.get_one::<PathBuf>("btf");
    if against && (types.is_some() || version != running) {
        return usage("--against-kernel asks the running kernel: leave out --kernel and --btf");
    }
    let bytes = types.map(|path| input::read(path)).transpose()?;
    let given = match &bytes {
        Some(bytes) => {
            let section = loader::kernel::btf::section_of(bytes).unwrap_or(bytes);
            Some(
                Btf::parse(section)
                    .with_context(|| types.map(|p| p.display().to_string()).unwrap_or_default())?,
            )
        }
        None => None,
    };
    if given.is_none() && version == running {
        // Kernel functions may be of modules.
        let calls = inputs.iter().any(|input| !input.object.externs.is_empty());
        let modules = if calls { loader::kernel::modules()? } else { &[] };
        let modules = modules.iter().filter_map(|module| Some((module.name(), module.btf().ok()??)));
        return ask(m, options, inputs, count, &Target::running()?, version, modules.collect());
    }
    if given.is_none() && !options.json {
        eprintln!(
            "the types are those of the running kernel, {running}; --btf FILE gives those of {version}"
        );
    }
    ask(m, options, inputs, count, &described(given.as_ref(), version)?, version, Vec::new())
}

fn ask<'t>(
    m: &ArgMatches,
    options: Options,
    inputs: &[Input],
    count: usize,
    target: &Target<'t>,
    version: Version,
    modules: Vec<(&'t str, &'t Btf<'t>)>,
) -> Result<u8> {
    let mut kernel = Kernel::new(version, target.btf());
    kernel.modules = modules;
    let mut verifier = verifier::Options::default();
    verifier.privileges = if m.get_flag("unprivileged") { Privileges::None } else { Privileges::Full };
    verifier.log_level = m.get_one::<u32>("log").copied().unwrap_or(4);
    let request = Request {
        kernel: &kernel,
        target,
        options: verifier,
        explain: m.get_flag("explain"),
        log: m.get_one("log").copied(),
        against: m.get_flag("against-kernel"),
        json: options.json,
    };
    let mut good = true;
    for input in inputs {
        good &= one_input(&request, input, count > 1 || input.object.programs.len() > 1)?;
    }
    Ok(u8::from(!good))
}

/// A kernel that is not the running one; configuration and features are taken as they mostly are.
fn described<'a>(types: Option<&'a Btf<'a>>, version: Version) -> Result<Target<'a>> {
    let own = match types {
        Some(types) => Some(types),
        None => loader::kernel::vmlinux()?,
    };
    let mut config = String::new();
    loader::kernel::config::for_each_value(|option, value| config += &format!("{option}={value}\n"));
    Ok(Target::described(own)
        .version_is(u32::from(version.0) << 16 | u32::from(version.1) << 8)
        .features_are(version >= Version(5, 15), true)
        .modules_are(Vec::new())
        .config_is(&config))
}

/// What the running kernel says of a program.
struct Theirs {
    accepted: bool,
    reason: String,
    insns: Option<u64>,
}

fn one_input(request: &Request<'_, '_>, input: &Input, several: bool) -> Result<bool> {
    let mut out = out();
    let mut good = true;
    for one in prepared(input, request.target, request.kernel) {
        let verdict = match &one.program {
            Ok(program) => Ok(verifier::verify(program, request.kernel, &request.options)),
            Err(error) => Err(format!("{error:#}")),
        };
        let theirs = request.against.then(|| kernels(request, input, &one)).transpose()?;
        good &= verdict.as_ref().is_ok_and(|verdict| verdict.accepted);
        if let Some(theirs) = &theirs {
            // Agreement is what was asked for.
            good = verdict.as_ref().is_ok_and(|verdict| verdict.accepted == theirs.accepted);
        }
        if request.json {
            json(&mut out, &one, &verdict, theirs.as_ref())?;
            continue;
        }
        if several {
            let section = if one.section.is_empty() { String::new() } else { format!(" ({})", one.section) };
            write!(out, "{}{section}: ", one.name)?;
        }
        text(&mut out, request, &one, &verdict, theirs.as_ref())?;
    }
    out.flush()?;
    Ok(good)
}

fn text(
    out: &mut dyn Write,
    request: &Request<'_, '_>,
    one: &Prepared,
    verdict: &Result<verifier::Verdict, String>,
    theirs: Option<&Theirs>,
) -> Result<()> {
    let verdict = match verdict {
        Ok(verdict) => verdict,
        Err(error) => return Ok(writeln!(out, "cannot be verified: {error}")?),
    };
    let stats = &verdict.stats;
    if verdict.accepted {
        writeln!(
            out,
            "accepted: {} instructions processed, {} states, {} bytes of stack",
            stats.insns,
            stats.total_states,
            depth(stats)
        )?;
    } else {
        match verdict.insn {
            Some(insn) => {
                writeln!(out, "rejected at instruction {insn}: {}", reason(&verdict.reason, verdict.errno))?
            }
            None => writeln!(out, "rejected: {}", reason(&verdict.reason, verdict.errno))?,
        }
    }
    for what in &verdict.unmodelled {
        writeln!(out, "  a guess: {what} is not modelled")?;
    }
    if request.explain
        && let Ok(program) = &one.program
        && let Some(explanation) = jit_check::explain::explain(program, request.kernel, &request.options)
    {
        write!(out, "{explanation}")?;
    }
    if request.log.is_some() {
        write!(out, "{}", verdict.log)?;
    }
    if let Some(theirs) = theirs {
        let agrees = if theirs.accepted == verdict.accepted { "so does" } else { "NOT SO" };
        let insns = theirs.insns.map_or_else(String::new, |n| format!(", {n} instructions processed"));
        let what = if theirs.accepted { "accepts it" } else { "rejects it" };
        writeln!(out, "  {agrees} the running kernel: {what}{insns}{}", dash(&theirs.reason))?;
    }
    Ok(())
}

fn dash(reason: &str) -> String {
    if reason.is_empty() { String::new() } else { format!(": {reason}") }
}

fn reason(reason: &str, errno: i32) -> String {
    if reason.is_empty() { format!("errno {errno}, without words") } else { reason.to_owned() }
}

/// Bytes of stack of all functions together.
fn depth(stats: &Statistics) -> u32 {
    stats.stack_depth.iter().sum()
}

fn json(
    out: &mut dyn Write,
    one: &Prepared,
    verdict: &Result<verifier::Verdict, String>,
    theirs: Option<&Theirs>,
) -> Result<()> {
    let mut line = Vec::new();
    let mut j = Json::new(&mut line, false);
    let nothing = Statistics::default();
    let (accepted, why, insn, stats) = match verdict {
        Ok(verdict) => (verdict.accepted, verdict.reason.as_str(), verdict.insn, &verdict.stats),
        Err(error) => (false, error.as_str(), None, &nothing),
    };
    j.begin_object()?;
    j.field_str("program", &one.name)?;
    j.field_str("section", &one.section)?;
    j.field_str("verdict", if accepted { "accept" } else { "reject" })?;
    j.field_str("reason", if accepted { "" } else { why })?;
    match insn.filter(|_| !accepted) {
        Some(insn) => j.field("insn", insn)?,
        None => j.field("insn", "null")?,
    }
    j.field("processed_insns", stats.insns)?;
    j.field("total_states", stats.total_states)?;
    j.field("peak_states", stats.peak_states)?;
    j.field("stack_depth", depth(stats))?;
    if let Some(theirs) = theirs {
        j.key("kernel")?;
        j.begin_object()?;
        j.field_str("verdict", if theirs.accepted { "accept" } else { "reject" })?;
        j.field_str("reason", &theirs.reason)?;
        if let Some(insns) = theirs.insns {
            j.field("processed_insns", insns)?;
        }
        j.end_object()?;
    }
    j.end_object()?;
    j.finish()?;
    out.write_all(&line)?;
    // A line for each program, as it comes: who reads them may be waiting.
    Ok(out.flush()?)
}

/// Loads the program alone.
fn kernels(request: &Request<'_, '_>, input: &Input, one: &Prepared) -> Result<Theirs> {
    let only = Some(vec![one.name.clone()]);
    let options = LoadOptions { log_level: 4, only, ..LoadOptions::default() };
    let checked = Loader::new(request.target, options).check(&input.object)?;
    let Some(found) = checked.into_iter().find(|checked| checked.program == one.name) else {
        return Ok(Theirs { accepted: false, reason: "it is not loaded by itself".to_owned(), insns: None });
    };
    let counted = found.log.lines().rev().find_map(|line| line.strip_prefix("processed "));
    let insns = counted.and_then(|rest| rest.split(' ').next()?.parse().ok());
    match &found.result {
        Ok(_) => Ok(Theirs { accepted: true, reason: String::new(), insns }),
        Err(error) if found.log.is_empty() => {
            let text = error.to_string();
            Ok(Theirs { accepted: false, reason: text.lines().next().unwrap_or_default().to_owned(), insns })
        }
        Err(_) => Ok(Theirs { accepted: false, reason: verifier::reason(&found.log).to_owned(), insns }),
    }
}

//! `tracewell prog compare`: the same program in the interpreter and in the running kernel.

use super::input::{self, Input};
use super::prepared::prepared;
use crate::objects::{Options, out};
use anyhow::{Context, Result, bail};
use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use jit_check::kernel::{Kernel, Version};
use jit_check::live::{self, LiveError};
use loader::Target;
use std::io::Write;
use std::path::PathBuf;

/// The definition of the verb.
pub fn command() -> Command {
    let about = "Run a program in the interpreter and in the running kernel, and print the first difference";
    input::args(Command::new("compare").about(about))
        .arg(
            Arg::new("data")
                .long("data")
                .value_name("FILE")
                .action(ArgAction::Append)
                .value_parser(value_parser!(PathBuf))
                .help("A packet for it, from its Ethernet header on; several are run one after the other"),
        )
        .arg(
            Arg::new("ctx")
                .long("ctx")
                .value_name("FILE")
                .value_parser(value_parser!(PathBuf))
                .help("A context for it"),
        )
}

/// Runs the verb: 0 where both agree, 1 where they do not.
pub fn main(m: &ArgMatches, options: Options) -> Result<u8> {
    let input = Input::read_one(m)?;
    if input.translated {
        bail!(
            "{}: instructions that the kernel has rewritten cannot be loaded again; give the object or text it was \
             made of",
            input.name
        );
    }
    let target = Target::running()?;
    let version: Version =
        loader::kernel::release().unwrap_or_default().parse().map_err(anyhow::Error::msg)?;
    let kernel = Kernel::new(version, target.btf());
    let Some(first) = prepared(&input, &target, &kernel).pop() else { bail!("there is no program in it") };
    let program = first.program.with_context(|| first.name.clone())?;
    let mut given = live::Input::default();
    if let Some(path) = m.get_one::<PathBuf>("ctx") {
        given.ctx = input::read(path)?;
    }
    let mut inputs = Vec::new();
    for path in m.get_many::<PathBuf>("data").into_iter().flatten() {
        let mut one = given.clone();
        one.data = input::read(path)?;
        inputs.push(one);
    }
    if inputs.is_empty() {
        inputs.push(given);
    }
    let found = live::compare(&program, &inputs).map_err(|error| match error {
        LiveError::Refused { log, .. } => {
            anyhow::anyhow!("the kernel refuses the program:\n{}", log.trim_end())
        }
        error => error.into(),
    })?;
    let mut out = out();
    match &found {
        None if options.json => writeln!(out, "{{\"same\":true,\"runs\":{}}}", inputs.len())?,
        Some((run, difference)) if options.json => {
            let text = serde_json::Value::from(difference.to_string());
            writeln!(out, "{{\"same\":false,\"run\":{run},\"difference\":{text}}}")?;
        }
        None => {
            let outcome = live::outcome_here(&program, &inputs)?;
            writeln!(out, "the same in {} run(s): r0 = {outcome:#x}", inputs.len())?;
        }
        Some((run, difference)) => writeln!(out, "run {run}: {difference}")?,
    }
    out.flush()?;
    Ok(u8::from(found.is_some()))
}

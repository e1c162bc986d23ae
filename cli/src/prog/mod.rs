//! `tracewell prog`: programs in the kernel, and object files on their way into it.

mod asm;
mod check;
mod compare;
mod disasm;
mod dump;
pub mod input;
mod jit;
mod list;
mod load;
mod object;
mod prepared;
mod run;
mod run_simulated;
mod signature;
mod step;
mod stream;
mod verify;

use crate::objects::{Options, options};
use anyhow::Result;
use clap::builder::ValueParser;
use clap::{Arg, ArgMatches, Command};

/// How a program is named.
const PROG: &str = "PROG is `id N`, `tag TAG`, `name NAME` or `pinned FILE`";

/// The words that follow a verb.
pub fn words(value_name: &'static str, help: &'static str) -> Arg {
    Arg::new("words")
        .value_name(value_name)
        .num_args(0..)
        .allow_negative_numbers(true)
        .value_parser(ValueParser::os_string())
        .help(help)
}

fn verb(name: &'static str, about: &'static str, grammar: &'static str) -> Command {
    Command::new(name).about(about).arg(words("WORDS", grammar)).after_help(PROG)
}

/// The definition of the command.
pub fn command() -> Command {
    options::shared(Command::new("prog"))
        .about("List, dump, run, load and pin BPF programs")
        .subcommand(verb("list", "List the programs that are loaded", "[PROG]").visible_alias("show"))
        .subcommand(verb(
            "dump",
            "Print a program's instructions (xlated) or machine code (jited)",
            "{ xlated | jited } PROG [file FILE | opcodes | linum | visual]; machine code is printed as bytes",
        )
        // bpftool takes the beginning of a verb for the first that has it.
        .alias("d"))
        .subcommand(run_simulated::command(
            "A file that runs in the interpreter; or a loaded program: PROG { data_in FILE | ctx_in FILE } \
             [data_out FILE [data_size_out N]] [ctx_out FILE [ctx_size_out N]] [repeat N]; `-` is standard input or \
             output",
        ))
        .subcommand(load::command(
            "load",
            "Load an object file and pin its first program, or check it, or run it and print what it sends",
        ))
        .subcommand(load::command("loadall", "Load an object file and pin all of its programs in a directory"))
        .subcommand(verb("pin", "Keep a program by a name in a BPF file system", "PROG FILE"))
        .subcommand(asm::command())
        .subcommand(disasm::command())
        .subcommand(verify::command())
        .subcommand(step::command())
        .subcommand(jit::command())
        .subcommand(compare::command())
}

/// Runs the command.
pub fn main(matches: &ArgMatches, before: Options) -> Result<u8> {
    let (verb, m) = matches.subcommand().unwrap_or(("list", matches));
    let options = Options::new(m, before);
    match verb {
        "list" => list::main(m, options),
        "dump" => dump::main(m, options),
        "run" if run_simulated::is_meant(m) => run_simulated::main(m, options),
        "run" => run::run(m, options),
        "load" => load::main(m, options, false),
        "loadall" => load::main(m, options, true),
        "pin" => run::pin(m, options),
        "asm" => asm::main(m, options),
        "disasm" => disasm::main(m, options),
        "verify" => verify::main(m, options),
        "step" => step::main(m, options),
        "jit" => jit::main(m, options),
        "compare" => compare::main(m, options),
        other => unreachable!("clap knows no verb {other}"),
    }
}

//! `tracewell prog`: programs in the kernel, and object files on their way into it.

mod dump;
mod list;
mod signature;

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

/// The definition of the command.
pub fn command() -> Command {
    options::shared(Command::new("prog"))
        .about("List, dump, run, load and pin BPF programs")
        .subcommand(
            Command::new("list")
                .visible_alias("show")
                .about("List the programs that are loaded")
                .arg(words("PROG", "Which ones: `id N`, `tag TAG`, `name NAME` or `pinned FILE`")),
        )
        .subcommand(
            Command::new("dump")
                .about("Print a program's instructions (xlated) or machine code (jited)")
                .arg(words(
                    "WORDS",
                    "{ xlated | jited } PROG [file FILE | opcodes | linum | visual]; machine code is printed as bytes",
                )),
        )
}

/// Runs the command.
pub fn main(matches: &ArgMatches, before: Options) -> Result<u8> {
    let (verb, m) = matches.subcommand().unwrap_or(("list", matches));
    let options = Options::new(m, before);
    match verb {
        "list" => list::main(m, options),
        "dump" => dump::main(m, options),
        other => unreachable!("clap knows no verb {other}"),
    }
}

//! `tracewell map`: maps in the kernel and what is in them.

mod list;

use crate::objects::{Options, options};
use crate::prog::words;
use anyhow::Result;
use clap::{ArgMatches, Command};

/// How a map is named.
const MAP: &str = "MAP is `id N`, `name NAME` or `pinned FILE`";

/// The definition of the command.
pub fn command() -> Command {
    options::shared(Command::new("map")).about("List, dump, read, write, create and pin BPF maps").subcommand(
        Command::new("list")
            .visible_alias("show")
            .about("List the maps that there are")
            .arg(words("MAP", "Which ones: `id N`, `name NAME` or `pinned FILE`")),
    )
}

/// Runs the command.
pub fn main(matches: &ArgMatches, before: Options) -> Result<u8> {
    let (verb, m) = matches.subcommand().unwrap_or(("list", matches));
    let options = Options::new(m, before);
    match verb {
        "list" => list::main(m, options),
        other => unreachable!("clap knows no verb {other}"),
    }
}

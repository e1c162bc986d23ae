//! `tracewell map`: maps in the kernel and what is in them.

mod access;
mod create;
mod data;
mod dump;
mod elements;
mod list;
mod types;

use crate::objects::{Options, options};
use crate::prog::words;
use anyhow::Result;
use clap::{Arg, ArgAction, ArgMatches, Command};

/// How a map is named.
const MAP: &str = "MAP is `id N`, `name NAME` or `pinned FILE`";

fn verb(name: &'static str, about: &'static str, grammar: &'static str) -> Command {
    Command::new(name).about(about).arg(words("WORDS", grammar))
}

/// As [`verb`], for verbs that take keys and values.
fn access(name: &'static str, about: &'static str, grammar: &'static str) -> Command {
    verb(name, about, grammar)
        .arg(
            Arg::new("typed")
                .long("typed")
                .action(ArgAction::SetTrue)
                .help("Keys and values are C values of the map's types, such as 7 or '{.pid = 1}', not bytes"),
        )
        .after_help(
            "DATA is a key's or value's bytes, one a word, decimal or 0x, all of them hexadecimal behind `hex`: \
             `key hex 01 00 00 00`. A word that begins with `{` or `\"` is a C value of the map's type. Of a map of maps \
             or programs the value is a MAP or PROG: `id N`, `name NAME`, `pinned FILE`.",
        )
}

/// The definition of the command.
pub fn command() -> Command {
    options::shared(Command::new("map"))
        .about("List, dump, read, write, create and pin BPF maps")
        .subcommand(verb("list", "List the maps that there are", "[MAP]: `id N`, `name NAME` or `pinned FILE`").visible_alias("show"))
        .subcommand(verb("dump", "Print all elements, by their types where the map has some", "MAP"))
        .subcommand(access("lookup", "Print the element with a key", "MAP [key DATA]"))
        .subcommand(access("update", "Write an element", "MAP [key DATA] [value DATA] [any | exist | noexist]"))
        .subcommand(access("delete", "Delete an element", "MAP key DATA"))
        .subcommand(access("getnext", "Print the key behind a key, or the first one", "MAP [key DATA]"))
        .subcommand(access("peek", "Print what a queue or stack would give next", "MAP"))
        .subcommand(access("push", "Put a value on a stack", "MAP value DATA"))
        .subcommand(access("pop", "Take a value from a stack", "MAP"))
        .subcommand(access("enqueue", "Put a value into a queue", "MAP value DATA"))
        .subcommand(access("dequeue", "Take a value from a queue", "MAP"))
        .subcommand(verb(
            "create",
            "Create a map and pin it",
            "FILE type TYPE key BYTES value BYTES entries N name NAME [flags FLAGS] [inner_map MAP] [dev NAME]",
        ))
        .subcommand(verb("pin", "Keep a map by a name in a BPF file system", "MAP FILE"))
        .subcommand(verb("freeze", "Make a map read-only for user space, for good", "MAP"))
}

/// Runs the command.
pub fn main(matches: &ArgMatches, before: Options) -> Result<u8> {
    let (verb, m) = matches.subcommand().unwrap_or(("list", matches));
    let options = Options::new(m, before);
    match verb {
        "list" => list::main(m, options),
        "dump" => dump::main(m, options),
        "create" => create::create(m, options),
        "pin" => create::pin(m, options),
        "freeze" => create::freeze(m, options),
        verb => access::main(verb, m, options),
    }
}

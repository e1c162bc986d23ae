//! `tracewell btf`: types of the kernel, of programs and maps, of files.

mod dump;
mod list;
mod query;
mod source;

use crate::objects::{Options, options};
use crate::prog::words;
use anyhow::Result;
use clap::builder::PossibleValuesParser;
use clap::{Arg, ArgMatches, Command};
use std::io::{self, Write};
use std::path::PathBuf;

/// How types are named.
const SOURCE: &str = "SOURCE is `file PATH` (BTF, or an ELF file with a .BTF section), `id N`, `prog PROG` or \
                      `map MAP`; PROG is `id N`, `tag TAG`, `name NAME` or `pinned FILE`, MAP the same without `tag`";

/// How `find` reads its pattern.
const PATTERN: &str = "PATTERN is a name in which * and ? stand for other characters, alone or after struct, union, \
                       enum, typedef, func, var, datasec, enumerator, int, float or decl_tag; without SOURCE the \
                       kernel's types are meant";

/// The definition of the command.
pub fn command() -> Command {
    options::shared(Command::new("btf"))
        .about("List, print and search types: as a C header, as records, as layouts")
        .arg(
            Arg::new("base-btf")
                .long("base-btf")
                .short('B')
                .value_name("FILE")
                .global(true)
                .value_parser(clap::value_parser!(PathBuf))
                .help("The types that split (module) BTF goes on from; the running kernel's for its own modules"),
        )
        .subcommand(
            Command::new("list")
                .visible_alias("show")
                .about("List the BTF objects that are loaded, and who uses them")
                .arg(words("OBJECT", "Which one: `id N`")),
        )
        .subcommand(
            Command::new("dump")
                .about("Print types, as records or as a C header that serves as vmlinux.h")
                .arg(words(
                    "WORDS",
                    "SOURCE [key | value | kv | all] [format { raw | c [unsorted] }] [root_id N]...; of a map its key \
                     and value, if nothing else is said",
                ))
                .arg(
                    Arg::new("format")
                        .long("format")
                        .value_name("FORMAT")
                        .value_parser(PossibleValuesParser::new(["raw", "c"]))
                        .help("The same as the words `format raw` and `format c`"),
                )
                .after_help(SOURCE),
        )
        .subcommand(
            Command::new("find")
                .about("Find types, functions and enumerators by name")
                .arg(words("WORDS", "PATTERN [SOURCE]"))
                .after_help(format!("{PATTERN}\n\n{SOURCE}")),
        )
        .subcommand(
            Command::new("layout")
                .about("Show offsets, sizes, holes and cache lines of a struct")
                .arg(words("WORDS", "TYPE [SOURCE], such as 'struct sock'"))
                .arg(
                    Arg::new("expand")
                        .long("expand")
                        .short('E')
                        .action(clap::ArgAction::SetTrue)
                        .help("Show the members of the structs in it as well"),
                )
                .after_help(SOURCE),
        )
}

/// Runs the command.
pub fn main(matches: &ArgMatches, before: Options) -> Result<u8> {
    let (verb, m) = matches.subcommand().unwrap_or(("list", matches));
    let options = Options::new(m, before);
    match verb {
        "list" => list::main(m, options),
        "dump" => dump::main(m, options),
        "find" => query::find(m, options),
        "layout" => query::layout(m, options),
        other => unreachable!("clap knows no verb {other}"),
    }
}

/// What formats write into, on the way to standard output.
struct Pipe<W> {
    out: W,
    /// Why writing failed; `fmt` has no room for it.
    error: Option<io::Error>,
}

impl<W: Write> Pipe<W> {
    fn new(out: W) -> Self {
        Pipe { out, error: None }
    }

    /// The result of a format that wrote here.
    fn done<T>(mut self, result: Result<T, std::fmt::Error>) -> Result<T> {
        match (self.error.take(), result) {
            (Some(error), _) => Err(error.into()),
            (None, Ok(value)) => {
                self.out.flush()?;
                Ok(value)
            }
            (None, Err(error)) => Err(error.into()),
        }
    }
}

impl<W: Write> std::fmt::Write for Pipe<W> {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        self.out.write_all(text.as_bytes()).map_err(|error| {
            self.error = Some(error);
            std::fmt::Error
        })
    }
}

//! The options that bpftool has for all its commands.

use super::pids::{self, Holder, Kind};
use super::pins;
use clap::{Arg, ArgAction, ArgMatches, Command};
use std::collections::HashMap;

/// How to print.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// JSON instead of text.
    pub json: bool,
    /// JSON with line breaks and indentation.
    pub pretty: bool,
    /// Show where objects are pinned.
    pub pins: bool,
    /// Show which processes hold objects.
    pub pids: bool,
    /// Show all there is to tell: the verifier's whole log.
    pub debug: bool,
}

/// The flags, for this command and its subcommands.
pub fn flags() -> impl Iterator<Item = Arg> {
    let flag = |name: &'static str, help| Arg::new(name).long(name).action(ArgAction::SetTrue).help(help);
    [
        flag("json", "Print JSON").short('j'),
        flag("pretty", "Print JSON with line breaks and indentation").short('p'),
        flag("bpffs", "Show where objects are pinned").short('f'),
        flag("pids", "Show the processes that hold objects"),
        flag("debug", "Print the verifier's whole log, also of programs that load").short('d'),
        flag("nomount", "Accepted for bpftool's users; nothing is mounted unasked").short('n').hide(true),
    ]
    .into_iter()
    .map(|arg| arg.global(true))
}

/// Adds the options to a command; its subcommands take them too. Without a subcommand it lists, as bpftool does.
pub fn shared(command: Command) -> Command {
    command.infer_subcommands(true).args(flags())
}

impl Options {
    /// Reads the options of a command and those given before its name.
    pub fn new(matches: &ArgMatches, before: Options) -> Options {
        let has = |name| matches.get_flag(name);
        let pretty = has("pretty") || before.pretty;
        Options {
            json: has("json") || pretty || before.json,
            pretty,
            pins: has("bpffs") || before.pins,
            pids: has("pids") || before.pids,
            debug: has("debug") || before.debug,
        }
    }

    /// The pins of all objects of a kind, by id, where they were asked for.
    pub fn pins_of(self, kind: Kind) -> HashMap<u32, Vec<String>> {
        if self.pins { pins::pins(kind) } else { HashMap::new() }
    }

    /// The holders of all objects of a kind, by id, where they were asked for.
    pub fn holders_of(self, kind: Kind) -> HashMap<u32, Vec<Holder>> {
        if self.pids { pids::holders(kind) } else { HashMap::new() }
    }

    /// Whether any is set.
    pub fn any(self) -> bool {
        self != Options::default()
    }
}

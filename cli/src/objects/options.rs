//! The options that bpftool has for all its commands.

use clap::{Arg, ArgAction, ArgMatches, Command};

/// How to print.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// JSON instead of text.
    pub json: bool,
    /// JSON with line breaks and indentation.
    pub pretty: bool,
    /// Show where objects are pinned.
    pub pins: bool,
    /// Show which processes hold objects.
    pub pids: bool,
}

fn flag(name: &'static str, short: Option<char>, help: &'static str) -> Arg {
    let arg = Arg::new(name).long(name).action(ArgAction::SetTrue).global(true).help(help);
    match short {
        Some(short) => arg.short(short),
        None => arg,
    }
}

/// Adds the options to a command; its subcommands take them too.
pub fn shared(command: Command) -> Command {
    command
        .subcommand_required(true)
        .arg_required_else_help(true)
        .infer_subcommands(true)
        .arg(flag("json", Some('j'), "Print JSON"))
        .arg(flag("pretty", Some('p'), "Print JSON with line breaks and indentation"))
        .arg(flag("bpffs", Some('f'), "Show where objects are pinned"))
        .arg(flag("pids", None, "Show the processes that hold objects"))
}

impl Options {
    /// Reads the options of a command and those given before its name.
    pub fn new(matches: &ArgMatches, before: Options) -> Options {
        let has = |name| matches.get_flag(name);
        let pretty = has("pretty") || before.pretty;
        Options { json: has("json") || pretty || before.json, pretty, pins: has("bpffs"), pids: has("pids") }
    }
}

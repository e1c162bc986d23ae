//! The `tracewell` command: arguments in, text out. What it prints comes from `probes` and `bpf-sys`.
#![forbid(unsafe_code)]

mod args;
mod btf;
mod clock;
mod feature;
mod funccount;
mod gen_docs;
mod launch;
mod link;
mod list;
mod map;
mod names;
mod objects;
mod output;
mod prog;
mod run;
mod setup;
mod stackcount;
mod term;
mod wait;

use anyhow::Result;
use clap::{ArgMatches, Command};
use std::ffi::OsString;
use std::io::{Write, stderr, stdout};
use std::process::ExitCode;
use std::time::{Duration, Instant};

fn main() -> ExitCode {
    let mut argv = std::env::args_os().peekable();
    let name = argv.peek().cloned().unwrap_or_default();
    if name == launch::STARTER {
        argv.next();
        return ExitCode::from(launch::starter(argv));
    }
    match dispatch(&name, argv) {
        Ok(status) => ExitCode::from(status),
        Err(e) if run::is_broken_pipe(&e) => ExitCode::SUCCESS,
        Err(e) if e.is::<objects::Usage>() => {
            let _ = writeln!(
                stderr(),
                "error: {}\n\nFor more information, try '--help'.",
                printable(&e.to_string())
            );
            ExitCode::from(2)
        }
        Err(e) => {
            // Every other error of input and output says of itself what it was about.
            let e = if e.is::<std::io::Error>() { e.context("cannot write to standard output") } else { e };
            let _ = report(&mut stderr(), "error", &e);
            ExitCode::FAILURE
        }
    }
}

fn dispatch(name: &std::ffi::OsStr, argv: impl Iterator<Item = OsString>) -> Result<u8> {
    let mut before = objects::Options::default();
    let (tool, matches) = match args::tool_of_name(name) {
        Some(tool) => {
            let command = if tool == "funccount" {
                args::funccount(args::For::Parsing)
            } else {
                args::stackcount(args::For::Parsing)
            };
            (tool.to_string(), parse(command, argv))
        }
        None => {
            let matches = parse(args::tracewell(args::For::Parsing), argv);
            before = objects::Options::new(&matches, before);
            let (tool, matches) = matches.subcommand().expect("clap refuses a command line without one");
            (tool.to_string(), matches.clone())
        }
    };
    let m = &matches;
    if before.any() && !matches!(tool.as_str(), "prog" | "map" | "link" | "btf") {
        return objects::words::usage(format!(
            "options of `{tool}` stand behind its name; those in front are for prog, map, link and btf"
        ));
    }
    match tool.as_str() {
        "funccount" => return funccount::main(m),
        "stackcount" => return stackcount::main(m),
        "list" => return list::main(m),
        "feature" => return feature::main(m),
        "prog" => return prog::main(m, before),
        "map" => return map::main(m, before),
        "link" => return link::main(m, before),
        "btf" => return btf::main(m, before),
        _ => {}
    }
    let out = &mut stdout().lock();
    match tool.as_str() {
        "completions" => gen_docs::completions(out, m.get_one::<String>("shell").map_or("", |s| s))?,
        "man" => gen_docs::man(out, m.get_one::<std::path::PathBuf>("dir").map(|p| p.as_path()))?,
        other => unreachable!("clap knows no subcommand {other}"),
    }
    Ok(0)
}

/// Usage errors, `--help` and `--version` end here, with clap's text and status 2 or 0.
fn parse(command: Command, argv: impl Iterator<Item = OsString>) -> ArgMatches {
    command.try_get_matches_from(argv).unwrap_or_else(|e| e.exit())
}

/// `tracewell: SEVERITY: what: why: why`, each cause once.
fn report(out: &mut dyn Write, severity: &str, e: &anyhow::Error) -> std::io::Result<()> {
    let mut text = e.to_string();
    for cause in e.chain().skip(1) {
        let cause = cause.to_string();
        // Many errors already print their source as part of themselves.
        if !text.contains(&cause) {
            text = format!("{text}: {cause}");
        }
    }
    writeln!(out, "tracewell: {severity}: {}", printable(&text))
}

/// A message quotes what the user gave: nothing in that may command the terminal or fill the screen.
fn printable(text: &str) -> String {
    const HEAD: usize = 3000;
    const TAIL: usize = 1000;
    let mut out = String::with_capacity(text.len().min(HEAD + TAIL));
    let cut = text.len() > 2 * (HEAD + TAIL);
    for (at, c) in text.char_indices() {
        if cut && (HEAD..text.len() - TAIL).contains(&at) {
            if !out.ends_with(" [...] ") {
                out.push_str(" [...] ");
            }
        } else if c.is_control() && c != '\n' && c != '\t' {
            out.extend(c.escape_default());
        } else {
            out.push(c);
        }
    }
    out
}

/// How long each step took, for `--timings`.
#[derive(Debug, Default)]
pub struct Timings {
    steps: Vec<(&'static str, u128)>,
}

impl Timings {
    /// Runs one step and notes its time.
    pub fn measure<T>(&mut self, step: &'static str, f: impl FnOnce() -> T) -> T {
        let start = Instant::now();
        let result = f();
        self.steps.push((step, start.elapsed().as_micros()));
        result
    }

    /// Notes a step that somebody else measured.
    pub fn push(&mut self, step: &'static str, took: Duration) {
        self.steps.push((step, took.as_micros()));
    }

    /// Prints the steps on standard error.
    pub fn print(&self) {
        let text: Vec<String> = self.steps.iter().map(|(step, us)| format!("{step}_us={us}")).collect();
        let _ = writeln!(stderr(), "timings: {}", text.join(" "));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::Context;

    #[test]
    fn messages_are_short_and_harmless() {
        assert_eq!(printable("a\u{1b}[31mb\tc\n"), "a\\u{1b}[31mb\tc\n");
        let long = printable(&"ä".repeat(50_000));
        assert!(long.len() < 4100 && long.contains("ä [...] ä"), "{}", long.len());
    }

    #[test]
    fn causes_are_printed_once() {
        let io = std::io::Error::other("no space");
        let e = Err::<(), _>(io).context("cannot write x: no space").context("cannot save").unwrap_err();
        let mut out = Vec::new();
        report(&mut out, "error", &e).unwrap();
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "tracewell: error: cannot save: cannot write x: no space\n"
        );
    }
}

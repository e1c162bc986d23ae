//! `tracewell prog run` for what is not loaded: object files, assembly, bytes. They run in the interpreter.

use super::input::{self, Input};
use super::prepared::prepared;
use crate::objects::{Options, out, words::usage};
use crate::output::jsonw::Json;
use ::asm::Insn;
use anyhow::{Context, Result, anyhow, bail};
use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use jit_check::Program;
use jit_check::interp::{Exit, Flow, Hook, Machine, State, Stop, World};
use jit_check::kernel::{Kernel, Version};
use loader::Target;
use std::io::{self, Write};
use std::path::PathBuf;
use std::time::Duration;

/// The definition of the verb, with the words of loaded programs.
pub fn command(words: &'static str) -> Command {
    let about =
        "Run a program on made-up input: loaded programs in the kernel, everything else in the interpreter";
    input::args_with(Command::new("run").about(about), "WORDS", words)
        .arg(
            Arg::new("mem")
                .long("mem")
                .value_name("HEX")
                .help("Memory that r1 points to and r2 measures, instead of a context; r0 is printed"),
        )
        .arg(file("data", "A packet, from its Ethernet header on"))
        .arg(file("ctx", "A context"))
        .arg(
            Arg::new("repeat")
                .long("repeat")
                .value_name("N")
                .value_parser(value_parser!(u32).range(1..))
                .default_value("1")
                .help("Run it so many times; maps keep what was written"),
        )
        .arg(flag(
            "trace",
            "Print each instruction to standard error before it is executed, with its registers",
        ))
        .arg(flag("maps", "Print what is in the maps afterwards"))
        .arg(flag("strict", "Reading stack bytes that were not written is an error"))
        .arg(
            Arg::new("max-insns")
                .long("max-insns")
                .value_name("N")
                .value_parser(value_parser!(u64).range(1..))
                .help("Instructions after which it is ended [default: 4294967296]"),
        )
        .arg(
            Arg::new("max-seconds")
                .long("max-seconds")
                .value_name("N")
                .value_parser(value_parser!(u64).range(1..))
                .help("Seconds after which it is ended"),
        )
}

fn file(name: &'static str, help: &'static str) -> Arg {
    Arg::new(name).long(name).value_name("FILE").value_parser(value_parser!(PathBuf)).help(help)
}

fn flag(name: &'static str, help: &'static str) -> Arg {
    Arg::new(name).long(name).action(ArgAction::SetTrue).help(help)
}

/// Whether the command line is for the interpreter: its first word names no loaded program.
pub fn is_meant(m: &ArgMatches) -> bool {
    const OWN: [&str; 6] = ["text", "hex", "mem", "data", "ctx", "program"];
    if OWN.iter().any(|name| m.contains_id(name))
        || ["trace", "maps", "strict"].iter().any(|name| m.get_flag(name))
    {
        return true;
    }
    let first = m.get_many::<std::ffi::OsString>("words").and_then(|mut words| words.next());
    first.is_some_and(|word| !matches!(word.to_str(), Some("id" | "tag" | "name" | "pinned")))
}

/// Bytes of hexadecimal digits, blanks between them or not.
pub(super) fn hex(text: &str) -> Result<Vec<u8>> {
    let digits: Vec<char> = text.chars().filter(|c| !c.is_ascii_whitespace()).collect();
    let nibble = |c: char| c.to_digit(16).ok_or_else(|| anyhow!("--mem: `{c}` is no hexadecimal digit"));
    if !digits.len().is_multiple_of(2) {
        return usage("--mem: each byte has two hexadecimal digits, and one is missing");
    }
    digits.chunks(2).map(|pair| Ok((nibble(pair[0])? * 16 + nibble(pair[1])?) as u8)).collect()
}

/// Runs the verb.
pub fn main(m: &ArgMatches, options: Options) -> Result<u8> {
    let input = Input::read_one(m)?;
    if input.translated {
        bail!(
            "{}: the kernel has rewritten these instructions for itself; give the object or text they were made of, \
             or run it in the kernel with data_in",
            input.name
        );
    }
    let program = program_of(&input)?;
    let mut machine = program.machine(m)?;
    let mut given = jit_check::interp::Input::default();
    if let Some(text) = m.get_one::<String>("mem") {
        given.mem = Some(hex(text)?);
    }
    if let Some(path) = m.get_one::<PathBuf>("data") {
        given.data = input::read(path)?;
    }
    if let Some(path) = m.get_one::<PathBuf>("ctx") {
        given.ctx = input::read(path)?;
    }
    let repeat = m.get_one::<u32>("repeat").copied().unwrap_or(1);
    let mut last = None;
    for _ in 0..repeat {
        let run = if m.get_flag("trace") {
            let mut tracer = Tracer { names: &program.text, before: [0; 11], frames: 0 };
            match machine.run_hooked(&given, &mut tracer) {
                Ok(Stop::Exit(exit)) => Ok(exit),
                Ok(_) => bail!("it stopped before its end"),
                Err(trap) => Err(trap),
            }
        } else {
            machine.run(&given)
        };
        io::stderr().write_all(&std::mem::take(&mut machine.world.trace))?;
        match run {
            Ok(exit) => last = Some(exit),
            Err(trap) => {
                let place =
                    input.source_of(0, trap.insn).map(|s| format!("\n  {}:{}: {}", s.file, s.line, s.text));
                bail!("{}: {trap}{}", input.name, place.unwrap_or_default());
            }
        }
    }
    let exit = last.ok_or_else(|| anyhow!("it did not run"))?;
    print(&mut machine, &exit, m.get_flag("maps"), options)
}

/// A program, and its text where that is wanted.
pub(super) struct Ready {
    pub(super) program: Program,
    /// By instruction word; `None` for second words.
    pub(super) text: Vec<Option<String>>,
    /// Version and types, where the program needs them.
    pub(super) kernel: Option<(Version, &'static btf::Btf<'static>)>,
}

/// Makes the only program of an input ready to run.
pub(super) fn program_of(input: &Input) -> Result<Ready> {
    let spec = input.program()?;
    // Only calls of kernel functions, addresses of its variables and relocations need the kernel's types.
    let needs_types = !input.object.externs.is_empty()
        || !spec.core.is_empty()
        || spec.insns.iter().any(|insn: &Insn| {
            let src = insn.regs >> 4;
            matches!((insn.opcode, src), (0x85, 2) | (0x18, 3))
        });
    let target = if needs_types { Target::running()? } else { Target::described(None) };
    let types = if needs_types { target.btf() } else { None };
    let version: Version =
        loader::kernel::release().and_then(|release| release.parse().ok()).unwrap_or(Version::NEWEST);
    let kernel = Kernel::new(version, types);
    let Some(first) = prepared(input, &target, &kernel).pop() else { bail!("there is no program in it") };
    let program = first.program.with_context(|| first.name.clone())?;
    let mut text = vec![None; program.insns.len()];
    for (at, line) in ::asm::disassemble(&program.insns) {
        let mut line = line;
        // Maps are known by their places among the program's.
        if let Some((before, rest)) = line.split_once("map[id:")
            && let Some((digits, after)) = rest.split_once(']')
            && let Some(map) = digits.parse::<usize>().ok().and_then(|n| program.maps.get(n))
        {
            line = format!("{before}map[{}]{after}", map.name);
        }
        if let Some(place) = text.get_mut(at) {
            *place = Some(line);
        }
    }
    Ok(Ready { program, text, kernel: types.map(|types| (version, types)) })
}

impl Ready {
    fn machine(&self, m: &ArgMatches) -> Result<Machine> {
        let mut options = jit_check::interp::Options::default();
        options.strict = m.get_flag("strict");
        if let Some(&limit) = m.get_one::<u64>("max-insns") {
            options.max_insns = limit;
        }
        options.max_time = m.get_one::<u64>("max-seconds").map(|&seconds| Duration::from_secs(seconds));
        self.machine_with(options)
    }

    /// A machine with these options.
    pub(super) fn machine_with(&self, options: jit_check::interp::Options) -> Result<Machine> {
        let kernel = self.kernel.map(|(version, types)| Kernel::new(version, Some(types)));
        Ok(Machine::with_world(&self.program, options, World::default(), kernel.as_ref())?)
    }
}

/// Prints instructions, and the registers that changed since the last.
struct Tracer<'a> {
    names: &'a [Option<String>],
    before: [u64; 11],
    frames: usize,
}

impl Hook for Tracer<'_> {
    fn before(&mut self, state: &State<'_>) -> Flow {
        let regs = state.registers();
        let mut line = String::new();
        for (n, (now, then)) in regs.iter().zip(&self.before).enumerate() {
            if now != then {
                line.push_str(&format!(" r{n}={now:#x}"));
            }
        }
        if state.depth() != self.frames {
            line.push_str(&format!(" frame={}", state.depth().saturating_sub(1)));
            self.frames = state.depth();
        }
        self.before = regs;
        let text = self.names.get(state.insn()).and_then(Option::as_deref).unwrap_or("?");
        let line = if line.is_empty() { String::new() } else { format!(" ;{line}") };
        match writeln!(io::stderr(), "{:4}: {text:<40}{line}", state.insn()) {
            Ok(()) => Flow::Continue,
            Err(_) => Flow::Stop,
        }
    }
}

fn digits(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn print(machine: &mut Machine, exit: &Exit, with_maps: bool, options: Options) -> Result<u8> {
    let mut out = out();
    if options.json {
        let mut j = Json::new(&mut out, options.pretty);
        j.begin_object()?;
        j.field_str("r0", &format!("{:#x}", exit.r0))?;
        j.field("insns", exit.insns)?;
        j.field_str("data_out", &digits(&exit.data_out))?;
        j.field_str("ctx_out", &digits(&exit.ctx_out))?;
        j.end_object()?;
        j.finish()?;
    } else {
        writeln!(out, "{:#x}", exit.r0)?;
    }
    if with_maps {
        print_maps(machine, &mut out)?;
    }
    out.flush()?;
    Ok(0)
}

/// Prints what is in the maps. Queues and rings are empty after that.
pub(super) fn print_maps(machine: &mut Machine, out: &mut dyn Write) -> Result<()> {
    for map in 0..machine.maps().len() {
        let mut maps = machine.maps();
        let name = maps.name(map).unwrap_or_default().to_owned();
        let kind = maps.map_type(map).map(|kind| kind.to_string()).unwrap_or_default();
        writeln!(out, "map {name} ({kind})")?;
        for (key, value) in maps.entries(map) {
            // Arrays have all of their elements always; those of zeroes say nothing.
            if value.iter().any(|&byte| byte != 0) {
                writeln!(out, "  {}: {}", digits(&key), digits(&value))?;
            }
        }
        for record in maps.drain(map) {
            writeln!(out, "  record {}", digits(&record))?;
        }
        for record in maps.perf_records(map) {
            writeln!(out, "  record of cpu {}: {}", record.index, digits(&record.data))?;
        }
        while let Some(value) = maps.pop(map) {
            writeln!(out, "  next {}", digits(&value))?;
        }
    }
    Ok(())
}

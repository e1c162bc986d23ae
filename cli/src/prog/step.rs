//! `tracewell prog step`: a walk through a program in the interpreter, with what the verifier knows beside what is.

mod walk;

use super::input::{self, Input};
use super::run_simulated::{Ready, hex, program_of};
use crate::objects::{Options, out, words::usage};
use anyhow::{Result, anyhow, bail};
use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use jit_check::interp::State;
use jit_check::kernel::{Kernel, Version};
use jit_check::verifier::{self, Known, Recording, Value};
use std::collections::{BTreeSet, HashMap};
use std::io::{self, BufRead, IsTerminal, Write};
use std::path::PathBuf;
use walk::{End, Walk};

/// Instructions that the verifier is watched for: what it knew at each takes about a kilobyte.
const WATCHED: u32 = 20_000;

const HELP: &str = "\
  s, step [N]         execute one instruction, or N
  n, next             the same, over a called function
  f, finish           go on until the present function returns
  c, continue         go on to a breakpoint or the end
  e, end              go on to the end, past breakpoints
  back [N]            go back one instruction, or N
  start               go back to the beginning
  b, break [WHERE]    stop before an instruction (its number, or a function's name); alone: list them
  d, delete [INSN]    delete a breakpoint, or all
  r, registers        all registers, and what the verifier knows of them
  stack               the stack of the present function, in words of eight bytes
  x, memory AT [LEN]  bytes at an address: r1, r10-8, 0xff00000100000000
  maps                what is in the maps
  l, list [N]         instructions around this one
  h, help             this
  q, quit             leave
An empty line on a terminal is the last command again. `*` marks what has changed since the last stop.
";

/// The definition of the verb.
pub fn command() -> Command {
    let about = "Walk through a program in the interpreter, forward and back, with the verifier's knowledge";
    let file = |name: &'static str, help| {
        Arg::new(name).long(name).value_name("FILE").value_parser(value_parser!(PathBuf)).help(help)
    };
    input::args(Command::new("step").about(about))
        .arg(
            Arg::new("commands")
                .long("commands")
                .value_name("TEXT")
                .help("Commands, separated by `;`, instead of those on standard input; `help` lists them"),
        )
        .arg(
            Arg::new("mem")
                .long("mem")
                .value_name("HEX")
                .help("Memory that r1 points to and r2 measures, instead of a context"),
        )
        .arg(file("data", "A packet, from its Ethernet header on"))
        .arg(file("ctx", "A context"))
        .arg(
            Arg::new("strict")
                .long("strict")
                .action(ArgAction::SetTrue)
                .help("Reading stack bytes that were not written is an error"),
        )
        .arg(
            Arg::new("max-insns")
                .long("max-insns")
                .value_name("N")
                .value_parser(value_parser!(u64).range(1..))
                .default_value("10000000")
                .help("Instructions after which it is ended"),
        )
}

/// Runs the verb.
pub fn main(m: &ArgMatches, options: Options) -> Result<u8> {
    if options.json {
        return usage("step is for people and has no JSON; `prog run -j` has the result");
    }
    let input = Input::read_one(m)?;
    if input.translated {
        bail!(
            "{}: the kernel has rewritten these instructions for itself; give the object or text they were made of",
            input.name
        );
    }
    let ready = program_of(&input)?;
    let mut settings = jit_check::interp::Options::default();
    settings.strict = m.get_flag("strict");
    settings.max_insns = m.get_one::<u64>("max-insns").copied().unwrap_or(settings.max_insns);
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
    let machine = ready.machine_with(settings)?;
    let walk = Walk::new(machine, &given).map_err(|trap| anyhow!("{}: {trap}", input.name))?;
    let color = io::stdout().is_terminal();
    let mut stepper = Stepper {
        input: &input,
        ready: &ready,
        walk,
        breaks: BTreeSet::new(),
        known: HashMap::new(),
        shown: None,
        color,
    };
    let mut out = out();
    stepper.ask_the_verifier(&mut out)?;
    stepper.registers(&mut out)?;
    match m.get_one::<String>("commands") {
        Some(text) => {
            for line in text.split(';').map(str::trim).filter(|line| !line.is_empty()) {
                writeln!(out, "> {line}")?;
                if !stepper.obey(line, &mut out)? {
                    break;
                }
            }
        }
        None => stepper.converse(&mut out)?,
    }
    out.flush()?;
    Ok(0)
}

/// What was shown at the last stop.
struct Shown {
    /// Which registers had changed there.
    changed: [bool; 11],
    registers: [u64; 11],
    stack: Vec<u8>,
    depth: usize,
}

struct Stepper<'a> {
    input: &'a Input,
    ready: &'a Ready,
    walk: Walk,
    breaks: BTreeSet<usize>,
    /// What the verifier knew before each instruction, once for each path.
    known: HashMap<usize, Vec<Known>>,
    shown: Option<Shown>,
    color: bool,
}

impl Stepper<'_> {
    /// Lets the simulator walk the program first.
    fn ask_the_verifier(&mut self, out: &mut dyn Write) -> Result<()> {
        let (version, types) = match self.ready.kernel {
            Some((version, types)) => (version, Some(types)),
            None => (loader::kernel::release().and_then(|r| r.parse().ok()).unwrap_or(Version::NEWEST), None),
        };
        let kernel = Kernel::new(version, types);
        let mut options = verifier::Options::default();
        options.log_level = 4;
        let verdict = verifier::verify(&self.ready.program, &kernel, &options);
        match verdict.insn {
            _ if verdict.accepted => writeln!(out, "the verifier accepts it")?,
            Some(insn) => writeln!(out, "the verifier rejects it at instruction {insn}: {}", verdict.reason)?,
            None => writeln!(out, "the verifier rejects it: {}", verdict.reason)?,
        }
        (options.record, options.max_insns) = (Recording::Everything, WATCHED);
        for known in verifier::verify(&self.ready.program, &kernel, &options).known {
            if !known.speculative {
                self.known.entry(known.insn).or_default().push(known);
            }
        }
        Ok(())
    }

    /// Reads commands from standard input.
    fn converse(&mut self, out: &mut dyn Write) -> Result<()> {
        let terminal = io::stdin().is_terminal();
        let mut last = String::new();
        let mut lines = io::stdin().lock().lines();
        loop {
            if terminal {
                write!(out, "(step) ")?;
            }
            out.flush()?;
            let Some(line) = lines.next() else { return Ok(()) };
            let line = line?;
            let line = match line.trim() {
                "" if terminal => last.clone(),
                line => line.to_owned(),
            };
            for command in line.split(';').map(str::trim).filter(|command| !command.is_empty()) {
                if !terminal {
                    writeln!(out, "> {command}")?;
                }
                match self.obey(command, out) {
                    Ok(true) => {}
                    Ok(false) => return Ok(()),
                    Err(error) if terminal => writeln!(out, "{error:#}")?,
                    Err(error) => return Err(error),
                }
            }
            last = line;
        }
    }

    /// Does what a command says; `false` where that is to leave.
    fn obey(&mut self, line: &str, out: &mut dyn Write) -> Result<bool> {
        let mut words = line.split_whitespace();
        let (verb, first, second) = (words.next().unwrap_or_default(), words.next(), words.next());
        if words.next().is_some() || (second.is_some() && !matches!(verb, "x" | "memory")) {
            bail!("`{line}` has too many words; `help` lists the commands");
        }
        let count = || match first {
            Some(word) => word.parse::<u64>().map_err(|_| anyhow!("`{verb} {word}`: a number should follow")),
            None => Ok(1),
        };
        match verb {
            "s" | "step" => {
                for _ in 0..count()? {
                    if !self.walk.forward() {
                        break;
                    }
                }
                self.stopped(out)?;
            }
            "n" | "next" => {
                let depth = self.walk.state().depth();
                self.go_on(|depth_now| depth_now <= depth, true);
                self.stopped(out)?;
            }
            "f" | "finish" => {
                let depth = self.walk.state().depth();
                self.go_on(|depth_now| depth_now < depth, true);
                self.stopped(out)?;
            }
            "c" | "continue" => {
                self.go_on(|_| false, true);
                self.stopped(out)?;
            }
            "e" | "end" => {
                self.go_on(|_| false, false);
                self.stopped(out)?;
            }
            "back" => {
                let to = self.walk.steps().saturating_sub(count()?);
                self.walk.go_to(to);
                self.stopped(out)?;
            }
            "start" => {
                self.walk.go_to(0);
                self.stopped(out)?;
            }
            "b" | "break" => self.set_break(first, out)?,
            "d" | "delete" => match first {
                None => self.breaks.clear(),
                Some(_) => {
                    let insn = count()? as usize;
                    if !self.breaks.remove(&insn) {
                        bail!("instruction {insn} has no breakpoint; `b` lists those that have");
                    }
                }
            },
            "r" | "registers" => self.registers(out)?,
            "stack" => self.stack(out)?,
            "x" | "memory" => self.memory(first, second, out)?,
            // Of a copy: what is printed of rings and queues is taken from them.
            "maps" => super::run_simulated::print_maps(&mut self.walk.machine().clone(), out)?,
            "l" | "list" => self.list(first.map_or(Ok(5), |_| count())?, out)?,
            "h" | "help" => out.write_all(HELP.as_bytes())?,
            "q" | "quit" => return Ok(false),
            other => bail!("no command `{other}`; `help` lists them"),
        }
        Ok(true)
    }

    /// Goes on until the depth of calls is right, a breakpoint is reached, or it is over.
    fn go_on(&mut self, enough: impl Fn(usize) -> bool, breaks: bool) {
        while self.walk.forward() {
            let state = self.walk.state();
            if enough(state.depth())
                || (breaks && state.program() == 0 && self.breaks.contains(&state.insn()))
            {
                return;
            }
        }
    }

    fn set_break(&mut self, at: Option<&str>, out: &mut dyn Write) -> Result<()> {
        let Some(word) = at else {
            for insn in &self.breaks {
                writeln!(out, "{}", self.line(*insn, ' '))?;
            }
            return Ok(());
        };
        let function = self.ready.program.funcs.iter().find(|function| function.name == word);
        let insn = match (word.parse::<usize>(), function) {
            (Ok(insn), _) => insn,
            (_, Some(function)) => function.insn,
            _ => bail!("`{word}` is neither an instruction's number nor a function of the program"),
        };
        if self.ready.text.get(insn).is_none_or(Option::is_none) {
            bail!("no instruction begins at {insn}; `list` shows where they do");
        }
        self.breaks.insert(insn);
        Ok(writeln!(out, "{}", self.line(insn, ' '))?)
    }

    /// An instruction with its number.
    fn line(&self, insn: usize, mark: char) -> String {
        let text = self.ready.text.get(insn).and_then(Option::as_deref).unwrap_or("?");
        let stop = if self.breaks.contains(&insn) { 'b' } else { ' ' };
        format!("{mark}{stop}{insn:>4}: {text}")
    }

    fn list(&self, around: u64, out: &mut dyn Write) -> Result<()> {
        let here = self.walk.state().insn();
        let starts: Vec<usize> =
            (0..self.ready.text.len()).filter(|at| self.ready.text[*at].is_some()).collect();
        let at = starts.partition_point(|start| *start < here);
        let around = usize::try_from(around).unwrap_or(usize::MAX);
        for start in starts
            .iter()
            .skip(at.saturating_sub(around))
            .take(at.min(around).saturating_add(around).saturating_add(1))
        {
            writeln!(out, "{}", self.line(*start, if *start == here { '>' } else { ' ' }))?;
        }
        Ok(())
    }

    /// Shows where the run stands, and what has changed since the last stop.
    fn stopped(&mut self, out: &mut dyn Write) -> Result<()> {
        match self.walk.end() {
            Some(End::Exit(exit)) => {
                return Ok(writeln!(
                    out,
                    "it ended after {} instructions: r0 = {:#x}; `back` goes back",
                    exit.insns, exit.r0
                )?);
            }
            Some(End::Trap(trap)) => {
                return Ok(writeln!(out, "it was stopped: {trap}; `back` goes back")?);
            }
            None => {}
        }
        let state = self.walk.state();
        self.place(&state, out)?;
        let registers = state.registers();
        let known = self.knowledge(&state);
        let mut changed = [false; 11];
        for (n, value) in registers.iter().enumerate() {
            changed[n] = self.shown.as_ref().is_some_and(|shown| shown.registers[n] != *value);
            if changed[n] {
                self.register(&state, n, known, true, out)?;
            }
        }
        let frame = state.depth().saturating_sub(1);
        let stack = state.stack(frame).unwrap_or_default();
        if let Some(shown) = &self.shown
            && shown.depth == state.depth()
        {
            for (off, now, then) in slots(stack).zip(slots(&shown.stack)).map(|((o, n), (_, t))| (o, n, t)) {
                if now != then {
                    writeln!(out, "{}", self.marked(true, &format!("fp{off} = {now:#x}")))?;
                }
            }
        }
        let shown = Shown { changed, registers, stack: stack.to_vec(), depth: state.depth() };
        self.shown = Some(shown);
        Ok(())
    }

    /// The instruction that comes next, its function's callers, its source line.
    fn place(&self, state: &State<'_>, out: &mut dyn Write) -> Result<()> {
        let line = self.line(state.insn(), '>');
        let callers: String = state.callers().iter().rev().map(|at| format!(", called at {at}")).collect();
        let line = if self.color { format!("\x1b[1m{line}\x1b[0m") } else { line };
        writeln!(out, "{line}{callers}")?;
        let text = self.ready.text.get(state.insn()).and_then(Option::as_deref).unwrap_or_default();
        let source = self.input.source_of(0, state.insn());
        // Of assembly the line often is the instruction itself.
        if let Some(source) = source.filter(|source| !source.file.is_empty() && source.text.trim() != text) {
            writeln!(out, "        {}:{}: {}", source.file, source.line, source.text.trim())?;
        }
        Ok(())
    }

    /// What the verifier knew here, of a path on which the present values are possible.
    fn knowledge(&self, state: &State<'_>) -> Option<&Known> {
        let registers = state.registers();
        let frame = state.depth().saturating_sub(1);
        let paths = self.known.get(&state.insn())?;
        let fits = |known: &&Known| {
            known.frame == frame
                && known.regs.iter().zip(&registers).all(|(value, now)| possible(value, *now))
        };
        paths.iter().find(fits)
    }

    fn register(
        &self,
        state: &State<'_>,
        n: usize,
        known: Option<&Known>,
        changed: bool,
        out: &mut dyn Write,
    ) -> Result<()> {
        let value = state.registers()[n];
        let place = match state.locate(value) {
            Some(place) => format!(" ({}{:+})", place.what, place.offset),
            None => String::new(),
        };
        let now = format!("r{n:<2} = {value:#x}{place}");
        match known {
            Some(known) => {
                writeln!(out, "{}", self.marked(changed, &format!("{now:<52} {}", known.regs[n])))?
            }
            None => writeln!(out, "{}", self.marked(changed, &now))?,
        }
        Ok(())
    }

    fn marked(&self, changed: bool, text: &str) -> String {
        match (changed, self.color) {
            (true, true) => format!("     * \x1b[1m{text}\x1b[0m"),
            (true, false) => format!("     * {text}"),
            (false, _) => format!("       {text}"),
        }
    }

    /// Where it stands, with all registers.
    fn registers(&mut self, out: &mut dyn Write) -> Result<()> {
        let state = self.walk.state();
        self.place(&state, out)?;
        let known = self.knowledge(&state);
        for n in 0..11 {
            let changed = self.shown.as_ref().is_some_and(|shown| shown.changed[n]);
            self.register(&state, n, known, changed, out)?;
        }
        if known.is_none() {
            writeln!(out, "       the verifier did not come here with such values")?;
        }
        if self.shown.is_none() {
            let stack = state.stack(state.depth().saturating_sub(1)).unwrap_or_default().to_vec();
            let shown =
                Shown { changed: [false; 11], registers: state.registers(), stack, depth: state.depth() };
            self.shown = Some(shown);
        }
        Ok(())
    }

    fn stack(&self, out: &mut dyn Write) -> Result<()> {
        let state = self.walk.state();
        let stack = state.stack(state.depth().saturating_sub(1)).unwrap_or_default();
        let mut empty = true;
        for (off, word) in slots(stack).filter(|(_, word)| *word != 0) {
            empty = false;
            let place = state.locate(word).map(|place| format!(" ({}{:+})", place.what, place.offset));
            writeln!(out, "       fp{off} = {word:#018x}{}", place.unwrap_or_default())?;
        }
        if empty {
            writeln!(out, "       all zero")?;
        }
        Ok(())
    }

    fn memory(&self, at: Option<&str>, len: Option<&str>, out: &mut dyn Write) -> Result<()> {
        let Some(at) = at else { bail!("which memory? As in `x r10-8 8`") };
        let word = len.unwrap_or("16");
        let Some(most) = number(word).filter(|len| (1..=4096).contains(len)) else {
            bail!("`{word}` is no length from 1 to 4096");
        };
        let state = self.walk.state();
        let addr = address(at, &state.registers())
            .ok_or_else(|| anyhow!("`{at}` is no address; write it as r1, r10-8 or 0xff00000100000000"))?;
        // What was not asked for need not be there.
        let least = len.map_or(1, |_| most);
        let Some(bytes) = (least..=most).rev().find_map(|len| state.read(addr, len as usize)) else {
            bail!("there are no {most} bytes at {addr:#x} that the program could read");
        };
        for (n, row) in bytes.chunks(16).enumerate() {
            let digits: Vec<String> = row.iter().map(|byte| format!("{byte:02x}")).collect();
            let text: String = row
                .iter()
                .map(|&b| if b.is_ascii_graphic() || b == b' ' { char::from(b) } else { '.' })
                .collect();
            writeln!(
                out,
                "       {:#x}: {:<47}  {text}",
                addr.wrapping_add(n as u64 * 16),
                digits.join(" ")
            )?;
        }
        Ok(())
    }
}

/// Words of eight bytes of a stack frame, with their distance from the frame pointer.
fn slots(stack: &[u8]) -> impl Iterator<Item = (i64, u64)> + '_ {
    let len = stack.len() as i64;
    let words = stack.as_chunks::<8>().0.iter().map(|word| u64::from_ne_bytes(*word));
    words.enumerate().map(move |(n, word)| (n as i64 * 8 - len, word))
}

/// Whether a register may hold this where the verifier knows that much.
fn possible(value: &Value, now: u64) -> bool {
    match value {
        Value::Nothing => true,
        Value::Number(numbers) => numbers.contains(now),
        Value::Pointer { maybe_null, .. } => now != 0 || *maybe_null,
    }
}

fn number(word: &str) -> Option<u64> {
    match word.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16).ok(),
        None => word.parse().ok(),
    }
}

/// `r1`, `r10-8`, `r2+0x10`, `fp-8` or a number.
fn address(word: &str, registers: &[u64; 11]) -> Option<u64> {
    let end = word.find(['+', '-']).unwrap_or(word.len());
    let (base, rest) = word.split_at(end);
    let base = match base.strip_prefix('r') {
        Some(digits) => *registers.get(digits.parse::<usize>().ok()?)?,
        None if base == "fp" => registers[10],
        None => number(base)?,
    };
    match (rest.strip_prefix('+'), rest.strip_prefix('-')) {
        (Some(off), _) => Some(base.wrapping_add(number(off)?)),
        (_, Some(off)) => Some(base.wrapping_sub(number(off)?)),
        _ => Some(base),
    }
}

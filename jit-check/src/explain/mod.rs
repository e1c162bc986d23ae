//! Refusals in plain words: the instruction, its line, where its operand came from, what was known of it, what to do.

mod cases;
mod chain;
mod words;

use crate::kernel::Kernel;
use crate::program::Program;
use crate::verifier::{Known, Options, Recording, Verdict, verify};
use asm::Insn;
use std::fmt;

/// Why a program is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Explanation {
    /// Instruction at fault and its text; `None` for faults of the program as a whole.
    pub insn: Option<(usize, String)>,
    /// Its source line: `file.c:12: text`.
    pub source: Option<String>,
    /// The verifier's own words.
    pub reason: String,
    /// The same in other words.
    pub meaning: Option<String>,
    /// What was known of the register that it is about.
    pub known: Option<String>,
    /// How that register got its value: instructions, the oldest first, with what was known after each.
    pub chain: Vec<Step>,
    /// What to do.
    pub remedy: Option<String>,
}

/// A step of the way of a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// Index of the instruction word.
    pub insn: usize,
    /// Its text.
    pub text: String,
    /// What it made of the register, in words.
    pub result: String,
}

/// Explains why a program is refused; `None` where it is accepted.
pub fn explain(program: &Program, kernel: &Kernel<'_>, options: &Options) -> Option<Explanation> {
    let mut options = options.clone();
    (options.log_level, options.record) = (1, Recording::Path);
    let verdict = verify(program, kernel, &options);
    (!verdict.accepted).then(|| of_verdict(program, &verdict))
}

fn of_verdict(program: &Program, verdict: &Verdict) -> Explanation {
    let license = if program.gpl { "GPL" } else { "" };
    let advice = loader::verifier::advice(&verdict.log, &program.insns, program.prog_type, license);
    let path = &verdict.known;
    let at = verdict.insn.or_else(|| path.last().map(|known| known.insn));
    let last = path.last().filter(|known| Some(known.insn) == at);
    let regno =
        words::register_meant(&verdict.reason).or_else(|| program.insns.get(at?).and_then(base_register));
    let (mut known, mut chain) = (None, Vec::new());
    if let (Some(last), Some(regno)) = (last, regno.filter(|regno| *regno < 11)) {
        let value = &last.regs[usize::from(regno)];
        // Of what was never written there is nothing to tell.
        if *value != crate::verifier::Value::Nothing {
            known = Some(format!("r{regno} is {}", words::value(value)));
            chain = chain::of(&program.insns, path, regno);
        }
    }
    let better = cases::of(&cases::Case { program, verdict, at, regno });
    if let Some(steps) = better.chain {
        (known, chain) = (None, steps);
    }
    Explanation {
        insn: at
            .filter(|_| last.is_some() || verdict.insn.is_some())
            .map(|at| (at, text(&program.insns, at))),
        source: at.and_then(|at| source(program, at)),
        reason: verdict.reason.clone(),
        meaning: better.meaning.or(advice.meaning),
        known,
        chain,
        remedy: better.remedy.or_else(|| words::remedy(&verdict.reason, last, regno)).or(advice.remedy),
    }
}

fn text(insns: &[Insn], at: usize) -> String {
    insns.get(at..).and_then(|rest| asm::disassemble(rest).next()).map_or_else(String::new, |(_, text)| text)
}

/// The register that a load or store goes through.
fn base_register(insn: &Insn) -> Option<u8> {
    match insn.opcode & 7 {
        1 => Some(insn.regs >> 4),
        2 | 3 => Some(insn.regs & 15),
        _ => None,
    }
}

fn source(program: &Program, insn: usize) -> Option<String> {
    let next = program.lines.partition_point(|line| line.insn <= insn);
    let line = program.lines.get(next.checked_sub(1)?)?;
    let types = btf::Btf::parse(program.btf.as_deref()?).ok()?;
    let file = types.string(line.file_name_off)?;
    let text = types.string(line.line_off).unwrap_or_default();
    Some(format!("{}:{}: {}", file.rsplit('/').next().unwrap_or(file), line.line_col >> 10, text.trim()))
}

/// In words: `a number, from 0 to 15`, `a pointer to the context`.
impl fmt::Display for crate::verifier::Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&words::value(self))
    }
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some((at, text)) = &self.insn {
            writeln!(f, "  instruction {at}: {text}")?;
        }
        if let Some(source) = &self.source {
            writeln!(f, "  from {source}")?;
        }
        if let Some(meaning) = &self.meaning {
            writeln!(f, "  {meaning}")?;
        }
        if let Some(known) = &self.known {
            writeln!(f, "  {known}")?;
        }
        if !self.chain.is_empty() {
            writeln!(f, "  it got there so:")?;
            let width = self.chain.iter().map(|step| step.text.len()).max().unwrap_or(0).min(44);
            for step in &self.chain {
                writeln!(f, "    {:>4}: {:<width$}   {}", step.insn, step.text, step.result)?;
            }
        }
        match &self.remedy {
            Some(remedy) => writeln!(f, "  what to do: {remedy}"),
            None => Ok(()),
        }
    }
}

/// A path's entry.
pub(crate) type Entry = Known;

//! Why the verifier refused a program, in terms of its source.

mod class;
mod helpers;
mod log;
#[cfg(test)]
mod tests;

pub use helpers::helper_since;

use crate::spec::ProgramSpec;
use asm::Insn;
use bpf_sys::prog::ProgType;
use btf::Btf;
use log::Log;
use std::fmt;

/// A program that the verifier refused.
///
/// Its text takes about six lines; the whole log is in [`log`](Self::log).
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct VerifierError {
    /// Name of the program.
    pub program: String,
    /// Name of the section.
    pub section: String,
    /// The function in which the verifier stopped, where it is not the program's own.
    pub function: Option<String>,
    /// The instruction at which the verifier stopped.
    pub insn: Option<usize>,
    /// That instruction, in the verifier's syntax.
    pub insn_text: Option<String>,
    /// File and line of the C source, from line info.
    pub file: Option<(String, u32)>,
    /// Text of that line.
    pub line: Option<String>,
    /// The kernel's last words.
    pub reason: String,
    /// The failing access or call in other words.
    pub meaning: Option<String>,
    /// What could not be filled into the instruction: the CO-RE relocation, map or kernel function that is missing.
    pub poison: Option<String>,
    /// What to do next.
    pub remedy: Option<String>,
    /// The kernel's answer to the load.
    pub errno: bpf_sys::Errno,
    /// The whole log.
    pub log: String,
}

/// What is known about a refused program.
pub(crate) struct Facts<'f> {
    pub program: &'f ProgramSpec,
    /// The instructions as they were handed to the kernel.
    pub words: &'f [u64],
    /// The object's BTF, which holds the source lines.
    pub btf: Option<&'f [u8]>,
    /// Instructions that nothing could be filled into, and what is missing.
    pub poisoned: &'f [(usize, String)],
    /// The kernel's answer.
    pub errno: bpf_sys::Errno,
    /// Everything that it said.
    pub log: &'f str,
    /// The licence that the program was loaded under.
    pub license: &'f str,
    /// What to do where nothing better is found.
    pub remedy: Option<String>,
}

impl VerifierError {
    pub(crate) fn new(facts: &Facts<'_>) -> VerifierError {
        let spec = facts.program;
        let log = Log::read(facts.log);
        let insns: Vec<Insn> = facts.words.iter().map(|word| Insn::from_u64(*word)).collect();
        let insn = log.insn.filter(|at| *at < insns.len());
        let insn_text = insn.and_then(|at| asm::disassemble(insns.get(at..)?).next().map(|(_, text)| text));
        let function = insn
            .and_then(|at| spec.funcs.iter().rev().find(|func| func.insn <= at))
            .filter(|func| func.name != spec.name && func.insn > 0)
            .map(|func| func.name.clone());
        let (file, line) = match insn.and_then(|at| source_line(facts, at)) {
            Some((file, number, text)) => (Some((file, number)), Some(text).filter(|text| !text.is_empty())),
            None => (log.file.clone(), log.line.clone()),
        };
        let poison = insn
            .and_then(|at| facts.poisoned.iter().find(|(poisoned, _)| *poisoned == at || *poisoned + 1 == at))
            .filter(|_| log.reason.contains("func"))
            .map(|(_, what)| what.clone());
        let found = class::classify(&class::Case {
            reason: &log.reason,
            log: &log,
            insns: &insns,
            insn,
            prog_type: spec.prog_type,
            license: facts.license,
        });
        let (meaning, remedy) = match &poison {
            Some(what) => (None, Some(class::poison_remedy(what).to_owned())),
            None => (found.meaning, found.remedy.or_else(|| facts.remedy.clone())),
        };
        VerifierError {
            program: spec.name.clone(),
            section: spec.section.clone(),
            function,
            insn,
            insn_text,
            file,
            line,
            reason: log.reason,
            meaning,
            poison,
            remedy,
            errno: facts.errno,
            log: facts.log.to_owned(),
        }
    }

    /// The whole log, as the kernel wrote it.
    pub fn log(&self) -> &str {
        &self.log
    }
}

/// What a verifier's log means for the program's author.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Advice {
    /// The refusal in other words.
    pub meaning: Option<String>,
    /// What to do about it.
    pub remedy: Option<String>,
}

/// Reads the log of a refused program, of a kernel or of a simulator.
pub fn advice(log: &str, insns: &[Insn], prog_type: ProgType, license: &str) -> Advice {
    let log = Log::read(log);
    let insn = log.insn.filter(|at| *at < insns.len());
    let case = class::Case { reason: &log.reason, log: &log, insns, insn, prog_type, license };
    let class::Finding { meaning, remedy } = class::classify(&case);
    Advice { meaning, remedy }
}

/// File, line and text of an instruction, from the object's line records.
fn source_line(facts: &Facts<'_>, insn: usize) -> Option<(String, u32, String)> {
    let lines = &facts.program.lines;
    let next = lines.partition_point(|line| line.insn <= insn);
    let line = lines.get(next.checked_sub(1)?)?;
    let btf = Btf::parse(facts.btf?).ok()?;
    let file = btf.string(line.file_name_off)?;
    let text = btf.string(line.line_off).unwrap_or_default();
    Some((file.to_owned(), line.line_col >> 10, text.trim().to_owned()))
}

impl fmt::Display for VerifierError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "program `{}`", self.program)?;
        if !self.section.is_empty() {
            write!(f, " (section `{}`)", self.section)?;
        }
        write!(f, " was refused by the verifier: {}", self.errno)?;
        if let Some(insn) = self.insn {
            write!(f, "\n  at instruction {insn}")?;
            if let Some(text) = &self.insn_text {
                write!(f, ": {text}")?;
            }
            if let Some(function) = &self.function {
                write!(f, ", in `{function}`")?;
            }
        }
        match (&self.file, &self.line) {
            (Some((file, number)), Some(line)) => write!(f, "\n  {file}:{number}: {line}")?,
            (Some((file, number)), None) => write!(f, "\n  {file}:{number}")?,
            (None, Some(line)) => write!(f, "\n  source: {line}")?,
            (None, None) => {}
        }
        if !self.reason.is_empty() {
            write!(f, "\n  the kernel says: {}", self.reason)?;
        }
        if let Some(poison) = &self.poison {
            write!(f, "\n  that instruction was poisoned: {poison}")?;
        }
        if let Some(meaning) = &self.meaning {
            write!(f, "\n  that is: {meaning}")?;
        }
        if let Some(remedy) = &self.remedy {
            write!(f, "\n  remedy: {remedy}")?;
        }
        Ok(())
    }
}

impl std::error::Error for VerifierError {}

//! The crate's error type.

use crate::VerifierError;
use std::fmt;

/// What any function of this crate returns.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why an object could not be read, relocated or loaded: where, what, and what to do next.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// The file is no ELF file for BPF, or is damaged as a whole.
    Elf {
        /// What is wrong, and what to do.
        what: String,
    },
    /// Something in a section of the file is wrong.
    Section {
        /// Name of the section.
        section: String,
        /// Bytes from its start.
        offset: u64,
        /// What is wrong, and what to do.
        what: String,
    },
    /// The object's BTF or BTF.ext cannot be read.
    Btf {
        /// `.BTF`, `.BTF.ext`, or the file of the target's types.
        place: String,
        /// What is wrong with it.
        source: btf::Error,
    },
    /// A map's definition is wrong, or the kernel or a pin contradicts it.
    Map {
        /// Name of the map.
        map: String,
        /// What is wrong, and what to do.
        what: String,
    },
    /// A program cannot be relocated, loaded or attached.
    Program {
        /// Name of the program.
        program: String,
        /// Instruction, where one is meant.
        insn: Option<usize>,
        /// What is wrong, and what to do.
        what: String,
    },
    /// Something the object needs from the kernel is not there.
    Extern {
        /// Name of the symbol.
        name: String,
        /// What was looked for where, and what to do.
        what: String,
    },
    /// A variable, map or program that the object does not have, or a value that does not fit.
    Name {
        /// The name asked for.
        name: String,
        /// What is wrong, and which names there are.
        what: String,
    },
    /// The kernel's verifier refused a program.
    Verifier(Box<VerifierError>),
    /// A system call failed.
    Sys {
        /// What it was for.
        context: String,
        /// The kernel's answer.
        source: bpf_sys::Error,
    },
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Elf { what } => write!(f, "ELF: {what}"),
            Error::Section { section, offset, what } => write!(f, "section {section}+{offset:#x}: {what}"),
            Error::Btf { place, source } => write!(f, "{place}: {source}"),
            Error::Map { map, what } => write!(f, "map `{map}`: {what}"),
            Error::Program { program, insn: Some(insn), what } => {
                write!(f, "program `{program}`, instruction {insn}: {what}")
            }
            Error::Program { program, insn: None, what } => write!(f, "program `{program}`: {what}"),
            Error::Extern { name, what } => write!(f, "extern `{name}`: {what}"),
            Error::Name { name, what } => write!(f, "`{name}`: {what}"),
            Error::Verifier(error) => error.fmt(f),
            Error::Sys { context, source } => write!(f, "{context}: {source}"),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Error::Btf { source, .. } => Some(source),
            Error::Sys { source, .. } => Some(source),
            _ => None,
        }
    }
}

//! Why a run ended before its program did.

use std::fmt;

/// Something that a program must not do, or that is not simulated: where and what.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Trap {
    /// Index of the instruction word within its program.
    pub insn: usize,
    /// Which program: 0 is the one that the machine was made of, others came by tail calls.
    pub program: usize,
    /// Instruction words of the calls that led here, outermost first.
    pub callers: Vec<usize>,
    /// What happened.
    pub kind: TrapKind,
}

impl fmt::Display for Trap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "instruction {}: {}", self.insn, self.kind)?;
        if self.program != 0 {
            write!(f, " (in program {}, reached by tail call)", self.program)?;
        }
        if let Some((last, rest)) = self.callers.split_last() {
            write!(f, "; called from instruction {last}")?;
            for caller in rest.iter().rev() {
                write!(f, ", {caller}")?;
            }
        }
        Ok(())
    }
}

impl std::error::Error for Trap {}

/// What memory was used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// It was read.
    Read,
    /// It was written.
    Write,
}

/// Memory that lies closest to an address which is not in any.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Nearest {
    /// What it is, as in `stack of frame 0` or `value of map "counts"`.
    pub what: String,
    /// Bytes from its start to the address; negative before it.
    pub offset: i64,
    /// Its length in bytes.
    pub len: u32,
    /// Whether it was given back already.
    pub freed: bool,
    /// Whether programs may only read it.
    pub read_only: bool,
}

/// What a [`Trap`] is about.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TrapKind {
    /// A read or write outside of memory that the program has, or a write to what it may only read.
    BadAccess {
        /// Address.
        addr: u64,
        /// Bytes.
        size: u64,
        /// Read or write.
        access: Access,
        /// What was probably meant.
        nearest: Option<Box<Nearest>>,
        /// Helper or kernel function that did it on the program's behalf; empty for an instruction.
        helper: String,
    },
    /// Stack bytes that nothing was written to were read ([`Options::strict`](super::Options::strict)).
    Uninitialised {
        /// Address.
        addr: u64,
        /// Bytes.
        size: u64,
        /// Bytes from the frame pointer.
        offset: i64,
    },
    /// A word that is not an instruction.
    BadInstruction(String),
    /// A jump or call to where no instruction begins.
    BadJump {
        /// The instruction word that it names.
        target: i64,
    },
    /// The last instruction was neither a jump nor an exit.
    FellOffTheEnd,
    /// More than eight frames of subprograms and callbacks.
    CallDepth,
    /// [`Options::max_insns`](super::Options::max_insns) were executed.
    InsnLimit {
        /// The limit.
        limit: u64,
    },
    /// [`Options::max_time`](super::Options::max_time) went by.
    TimeLimit,
    /// The stop flag was set.
    Stopped,
    /// A helper, kernel function, map type or context that has no simulation.
    NotSimulated(String),
    /// A helper's argument that the verifier would not have let through.
    BadArgument {
        /// The helper.
        helper: String,
        /// Which argument, from 1.
        arg: u8,
        /// What is wrong with it.
        why: String,
    },
    /// A rule of a helper was broken: a lock taken twice, a record submitted twice.
    Misuse {
        /// The helper.
        helper: String,
        /// What is wrong.
        why: String,
    },
    /// Maps, records and objects need more memory than [`Options::max_memory`](super::Options::max_memory).
    OutOfMemory {
        /// The limit in bytes.
        limit: usize,
    },
}

impl fmt::Display for TrapKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TrapKind::BadAccess { addr, size, access, nearest, helper } => {
                let verb = match access {
                    Access::Read => "reads",
                    Access::Write => "writes",
                };
                let who = if helper.is_empty() { "it" } else { helper.as_str() };
                write!(f, "{who} {verb} {size} bytes at {addr:#x}")?;
                match nearest {
                    None => write!(f, ", where there is no memory"),
                    Some(n) if n.freed => write!(f, ", {}, which was given back before", n.what),
                    Some(n)
                        if n.offset >= 0 && (n.offset as u64).saturating_add(*size) <= u64::from(n.len) =>
                    {
                        if n.read_only {
                            write!(f, ", {}+{}, which is read-only", n.what, n.offset)
                        } else {
                            write!(f, ", {}+{}, which it may not use in this way", n.what, n.offset)
                        }
                    }
                    Some(n) => write!(f, ", {}{:+} of {} bytes", n.what, n.offset, n.len),
                }
            }
            TrapKind::Uninitialised { addr, size, offset } => {
                write!(
                    f,
                    "it reads {size} bytes of the stack at fp{offset:+} ({addr:#x}) that were not written before"
                )
            }
            TrapKind::BadInstruction(why) => write!(f, "{why}"),
            TrapKind::BadJump { target } => {
                write!(f, "it jumps to instruction word {target}, where none begins")
            }
            TrapKind::FellOffTheEnd => f.write_str("the program ends without exit"),
            TrapKind::CallDepth => f.write_str("calls are nested deeper than eight frames"),
            TrapKind::InsnLimit { limit } => {
                write!(f, "{limit} instructions were executed, which is the limit; raise max_insns")
            }
            TrapKind::TimeLimit => f.write_str("the time limit was reached; raise max_time"),
            TrapKind::Stopped => f.write_str("it was stopped"),
            TrapKind::NotSimulated(what) => write!(f, "{what} is not simulated"),
            TrapKind::BadArgument { helper, arg, why } => write!(f, "{helper}, argument {arg}: {why}"),
            TrapKind::Misuse { helper, why } => write!(f, "{helper}: {why}"),
            TrapKind::OutOfMemory { limit } => {
                write!(f, "maps and objects need more than {limit} bytes; raise max_memory")
            }
        }
    }
}

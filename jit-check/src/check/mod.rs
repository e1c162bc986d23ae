//! Is every value that a program computes one that the verifier said it could have?
//!
//! [`against_simulator`] asks it of the simulator, [`against_log`] of a log of level 2, the kernel's own above all: a
//! detector of unsound range tracking, whoever it is that tracks. Programs that a verifier refuses promise nothing and
//! are not to be given.
//!
//! # Why there are no false alarms
//!
//! What a verifier writes down at an instruction is true on the path that led there, not in general: a path that is cut
//! off because an older state covers it ("safe") may go on with values outside of what that state's path wrote down,
//! wherever the exact value did not matter. So the check follows paths:
//!
//! - At the start it stands at the first thing known. With each instruction executed it goes on to what was known next on
//!   the same path, or on the paths that branched off there; the registers must be inside at least one of these, and
//!   there must be one.
//! - Where the path was cut off, and where the program went through a call that is not walked at its place (of a global
//!   function, of a helper that calls back), the check has nothing to go by. It looks, at this instruction and each one
//!   that follows, for any state whose registers *and* stack hold all the present values, and which values are the same
//!   as which: what follows from that state is promised again, for a walk from a state speaks for all that it holds.
//! - Only numbers, and offsets of pointers to context, stack, map values and packets, are looked at. A pointer that
//!   cannot be placed fits everywhere on a path, and nowhere when a state is looked for.
//! - What a log does not print again is as it was last printed: the verifier may know more by then, never less. Calls
//!   end what was known of r0 to r5. Which visit of a branch it was that another path came from, a log does not say: all
//!   of them count.
//!
//! ```
//! use asm::{Builder, R0};
//! use bpf_sys::prog::ProgType;
//! # use tracewell_jit_check as jit_check;
//! use jit_check::Program;
//! use jit_check::check::against_log;
//! use jit_check::interp::Input;
//!
//! let mut b = Builder::new();
//! b.mov_imm(R0, 3).add_imm(R0, 4).exit();
//! let program = Program::new("seven", ProgType::SocketFilter, b.finish()?.insns);
//! let log = "0: R1=ctx() R10=fp0\n0: (b7) r0 = 3 ; R0_w=3\n1: (07) r0 += 4 ; R0_w=8\n2: (95) exit\n\
//!            processed 3 insns (limit 1000000) max_states_per_insn 0 total_states 0 peak_states 0 mark_read 0\n";
//! let violation = against_log(&program, log, &[Input::default()])?.expect("3 + 4 is not 8");
//! assert_eq!(violation.to_string(), "before instruction 2: r0 is 0x7, which was to be 0x8");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod follow;
mod log;
#[cfg(test)]
mod tests;
mod trail;

use crate::interp::{self, Input, Machine};
use crate::kernel::Kernel;
use crate::program::Program;
use crate::verifier::{self, Numbers, Recording, Value};
use std::fmt;
use trail::Trail;

/// A value, or a way, that was promised not to be.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Violation {
    /// Index of the input.
    pub input: usize,
    /// Index of the instruction word before which it was seen.
    pub insn: usize,
    /// Depth of the call: 0 for the program itself.
    pub frame: usize,
    /// What it is.
    pub what: Broken,
}

/// Which promise was broken.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Broken {
    /// A register's value lies outside.
    Register {
        /// 0 to 10.
        number: u8,
        /// The value in the interpreter.
        value: u64,
        /// What was promised. Where there were several paths, what comes nearest to what is in the other registers.
        promised: Value,
    },
    /// The way from the instruction before to this one was not to be taken.
    Way {
        /// The instruction before.
        from: usize,
    },
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.what {
            Broken::Register { number, value, promised } => {
                write!(f, "before instruction {}: r{number} is {value:#x}, which was to be ", self.insn)?;
                match promised {
                    Value::Nothing => f.write_str("anything"),
                    Value::Number(numbers) => write_numbers(f, numbers),
                    Value::Pointer { kind, off, var_off, maybe_null, .. } => {
                        write!(f, "{kind}{off:+} and ")?;
                        write_numbers(f, var_off)?;
                        if *maybe_null { f.write_str(", or NULL") } else { Ok(()) }
                    }
                }
            }
            Broken::Way { from } => {
                write!(
                    f,
                    "instruction {} was reached from {from}, which was said to be impossible",
                    self.insn
                )
            }
        }
    }
}

fn write_numbers(f: &mut fmt::Formatter<'_>, numbers: &Numbers) -> fmt::Result {
    if let Some(only) = numbers.only() {
        return write!(f, "{only:#x}");
    }
    let all = Numbers::ALL;
    let mut parts = Vec::new();
    let (signed, unsigned) = (numbers.signed, numbers.unsigned);
    if signed != all.signed {
        parts.push(format!("{}..={} signed", signed.0, signed.1));
    }
    if unsigned != all.unsigned {
        parts.push(format!("{:#x}..={:#x}", unsigned.0, unsigned.1));
    }
    let (signed, unsigned) = (numbers.signed32, numbers.unsigned32);
    if signed != all.signed32 {
        parts.push(format!("{}..={} signed in the lower half", signed.0, signed.1));
    }
    if unsigned != all.unsigned32 {
        parts.push(format!("{:#x}..={:#x} in the lower half", unsigned.0, unsigned.1));
    }
    if numbers.bits != all.bits {
        parts.push(format!("bits {}", numbers.bits));
    }
    f.write_str(if parts.is_empty() { "any number" } else { "" })?;
    f.write_str(&parts.join(", "))
}

/// Why values cannot be checked.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CheckError {
    /// The interpreter cannot take the program.
    #[error("the program cannot be run: {0}")]
    Machine(#[from] interp::Error),
    /// The simulator refuses it.
    #[error("the simulator refuses the program, so nothing is promised: {reason}")]
    Refused {
        /// Why.
        reason: String,
    },
    /// The log is no complete one of level 2.
    #[error(
        "line {line} of the log: {what}; load the program with log level 2 and a buffer that holds all of it"
    )]
    Log {
        /// Line, from 1.
        line: usize,
        /// What is wrong.
        what: &'static str,
    },
}

/// How much of the runs was checked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Coverage {
    /// Instructions executed.
    pub executed: u64,
    /// Instructions before which every register was compared with what was promised.
    pub checked: u64,
}

/// Runs an accepted program on each of the inputs, the maps going on from one to the next, and gives the first value that
/// the simulator did not foresee. A run ends early where the interpreter traps; [`live::compare`](crate::live::compare)
/// is there for that.
///
/// # Errors
///
/// [`CheckError::Refused`] and [`CheckError::Machine`].
pub fn against_simulator(
    program: &Program,
    kernel: &Kernel<'_>,
    inputs: &[Input],
) -> Result<Option<Violation>, CheckError> {
    covered_against_simulator(program, kernel, inputs).map(|(found, _)| found)
}

/// As [`against_simulator`], with how much of the runs could be checked.
///
/// # Errors
///
/// As [`against_simulator`].
pub fn covered_against_simulator(
    program: &Program,
    kernel: &Kernel<'_>,
    inputs: &[Input],
) -> Result<(Option<Violation>, Coverage), CheckError> {
    let mut options = verifier::Options::default();
    (options.log_level, options.record) = (0, Recording::Everything);
    let verdict = verifier::verify(program, kernel, &options);
    if !verdict.accepted {
        return Err(CheckError::Refused { reason: verdict.reason });
    }
    run(program, &Trail::of_simulator(verdict.known), inputs)
}

/// As [`against_simulator`], with what a log of level 2 promises: that of a kernel that accepted the program.
///
/// # Errors
///
/// [`CheckError::Log`] and [`CheckError::Machine`].
pub fn against_log(program: &Program, log: &str, inputs: &[Input]) -> Result<Option<Violation>, CheckError> {
    covered_against_log(program, log, inputs).map(|(found, _)| found)
}

/// As [`against_log`], with how much of the runs could be checked.
///
/// # Errors
///
/// As [`against_log`].
pub fn covered_against_log(
    program: &Program,
    log: &str,
    inputs: &[Input],
) -> Result<(Option<Violation>, Coverage), CheckError> {
    run(program, &log::parse(log)?, inputs)
}

fn run(
    program: &Program,
    trail: &Trail,
    inputs: &[Input],
) -> Result<(Option<Violation>, Coverage), CheckError> {
    // A program that ends seldom takes more instructions than verifiers walk.
    let options = interp::Options { max_insns: 4_000_000, ..interp::Options::default() };
    let mut machine = Machine::new(program, options)?;
    let mut coverage = Coverage::default();
    for (input, given) in inputs.iter().enumerate() {
        let mut follower = follow::Follower::new(program, trail, input);
        // Traps are another check's.
        let _ = machine.run_hooked(given, &mut follower);
        coverage.executed += follower.coverage.executed;
        coverage.checked += follower.coverage.checked;
        if let Some(found) = follower.found {
            return Ok((Some(found), coverage));
        }
    }
    Ok((None, coverage))
}

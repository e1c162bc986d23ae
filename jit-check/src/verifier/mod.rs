//! The verifier simulator: what the kernel's verifier would say of a program, computed here.
//!
//! [`verify`] walks a program as the kernel does: every path, one instruction at a time, with the same knowledge of each
//! register and stack slot, the same pruning, the same words in the log.

mod env;
mod known;
mod log;
mod op;
mod reg;
mod state;

mod alu;
mod engine;
mod helpers;
mod kfunc;
mod mem;
mod objects;
mod scalar;
mod states;

pub use engine::reason;
pub use env::{Options, Statistics, Verdict};
pub(crate) use known::{Group, Held};
pub use known::{Known, Numbers, Recording, Value};
pub use scalar::Tnum;

use crate::kernel::Kernel;
use crate::program::Program;

/// What this kernel's verifier says of the program.
pub fn verify(program: &Program, kernel: &Kernel<'_>, options: &Options) -> Verdict {
    engine::verify(program, kernel, options)
}

//! What would the kernel say of this program, and what does it do when it runs? Answered in-process, without root.
//!
//! - `verifier` is a simulator of the kernel's verifier: verdict, log, statistics.
//! - `check` runs a program and looks whether each value is one that a verifier, ours or the kernel's, said it could be.
//! - `interp` runs programs on checked memory with simulated maps and helpers.
#![forbid(unsafe_code)]

pub mod check;
pub mod explain;
pub mod generate;
pub mod interp;
pub mod jit;
pub mod kernel;
pub mod live;
mod prepare;
mod program;
mod tables;
pub mod verifier;

pub use prepare::prepare;
pub use program::{BadProgram, Kfuncs, Program};

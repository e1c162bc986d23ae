//! Runs programs: the whole instruction set on checked memory, with simulated maps, helpers and kernel functions.
//!
//! [`Machine::new`] takes a [`Program`](crate::Program) (or several, joined by tail calls, with
//! [`Machine::add_program`]); [`Machine::run`] gives what BPF_PROG_TEST_RUN gives, or a [`Trap`] that says what the program
//! did that no verified program may do. Neither verdicts nor types are needed: every access to memory is checked against
//! what is really there, each piece of memory lies 4 GiB from the next, and what was given back stays recognisable.
//!
//! What helpers tell of (time, processes, random numbers, user and kernel memory) is plain data in [`World`], and so is
//! what they did (printed lines, signals, overridden returns). Maps are read, written and drained through
//! [`Machine::maps`]. [`Machine::step`] goes on by one instruction, [`Machine::resume`] to a breakpoint, a [`Hook`] sees
//! each instruction before it is executed, and [`Machine::snapshot`] keeps a whole machine to come back to.
//!
//! ```
//! use asm::{Builder, Helper, MapRef, Size, R0, R1, R2, R10};
//! use bpf_sys::prog::ProgType;
//! # use tracewell_jit_check as jit_check;
//! use jit_check::Program;
//! use jit_check::interp::{Input, Machine, Options};
//!
//! let mut b = Builder::new();
//! b.load(Size::W, R0, R1, 0).add_imm(R0, 1).exit();
//! let program = Program::new("next", ProgType::Syscall, b.finish()?.insns);
//! let mut machine = Machine::new(&program, Options::default())?;
//! let exit = machine.run(&Input::context(41u32.to_ne_bytes()))?;
//! assert_eq!((exit.r0, exit.insns), (42, 3));
//!
//! // There are no bytes behind the context.
//! let trap = machine.run(&Input::context([1, 2])).unwrap_err();
//! assert_eq!(trap.to_string(), "instruction 0: it reads 4 bytes at 0xff00000c00000000, context+0 of 2 bytes");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod call;
mod ctx;
mod errno;
mod exec;
mod helpers;
mod host;
mod machine;
mod maps;
mod mem;
mod op;
mod predecode;
mod slow;
mod step;
mod trap;
mod world;

pub use ctx::Input;
pub use host::{Maps, PerfRecord};
pub use machine::{Error, Exit, Machine, Options};
pub use step::{Flow, Hook, NoHook, Snapshot, State, Stop, Where};
pub use trap::{Access, Nearest, Trap, TrapKind};
pub use world::{Sparse, World};

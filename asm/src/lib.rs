//! The BPF instruction set (RFC 9669).
#![forbid(unsafe_code)]

mod builder;
mod encode;
mod error;
mod helper;
mod insn;
mod instruction;
mod opcode;
mod program;

pub use builder::{Builder, Isa, Label};
pub use encode::Encoded;
pub use error::{BuildError, DecodeError};
pub use helper::Helper;
pub use insn::{Insn, R0, R1, R2, R3, R4, R5, R6, R7, R8, R9, R10, Reg, Size, Width};
pub use instruction::{AluOp, AtomicOp, CallTarget, Cond, Imm64, Instruction, Operand, Swap};
pub use program::{LineRecord, MapRef, MapUse, Program, SourceLine};

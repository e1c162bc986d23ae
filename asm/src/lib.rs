//! The BPF instruction set ([RFC 9669]): instructions, a builder, a disassembler and an assembler. No OS, no maps, no BTF.
//!
//! - [`Insn`] is a raw word, [`Instruction`] a decoded one; [`decode`] and [`Instruction::encode`] go between them and
//!   cover ISA v1 to v4 and what Linux added since. Decoding allocates nothing and names the rule that a bad word
//!   breaks.
//! - [`Builder`] makes a [`Program`]: labels, long jumps where needed, maps by index ([`MapRef`]), helpers by name
//!   ([`Helper`]), source lines.
//! - [`disassemble`] prints as the kernel's verifier and `bpftool prog dump xlated` do, or mnemonics ([`Syntax`]);
//!   [`Names`] gives names.
//! - [`assemble`] reads both languages ([`text`] describes them), with labels, maps, data and functions; [`Listing`]
//!   prints a whole program so that it assembles to the same again.
//!
//! ```
//! use asm::{Builder, Helper, MapRef, Size, R0, R1, R2, R10};
//!
//! // Count calls in element 0 of an array map.
//! let mut b = Builder::new();
//! let out = b.label();
//! b.store_imm(Size::W, R10, -4, 0)
//!     .mov(R2, R10)
//!     .add_imm(R2, -4)
//!     .ld_map(R1, MapRef(0))
//!     .call(Helper::MAP_LOOKUP_ELEM)
//!     .jeq_imm(R0, 0, out)
//!     .mov_imm(R1, 1)
//!     .atomic_add(Size::DW, R0, 0, R1)
//!     .bind(out)
//!     .mov_imm(R0, 0)
//!     .exit();
//! let program = b.finish()?;
//!
//! let text: Vec<String> = asm::disassemble(&program.insns).map(|(at, text)| format!("{at}: {text}")).collect();
//! assert_eq!(text[4], "5: call bpf_map_lookup_elem#1");
//! assert_eq!(text[5], "6: if r0 == 0x0 goto pc+2");
//!
//! // What bpf(2) wants, with descriptor 7 for map 0.
//! let words: Vec<u64> = program.resolve_maps(&[7])?;
//! assert_eq!(words.len(), 11);
//! # Ok::<(), asm::BuildError>(())
//! ```
//!
//! [RFC 9669]: https://www.rfc-editor.org/rfc/rfc9669.html
#![forbid(unsafe_code)]

mod builder;
mod decode;
mod disasm;
mod encode;
mod error;
mod helper;
mod insn;
mod instruction;
mod opcode;
mod print;
mod program;
pub mod text;

pub use builder::{Builder, Isa, Label};
pub use decode::{decode, decode_translated};
pub use disasm::{DisasmOptions, Disassembly, Names, NoNames, Syntax, disassemble, disassemble_with};
pub use encode::Encoded;
pub use error::{BuildError, DecodeError};
pub use helper::Helper;
pub use insn::{Insn, R0, R1, R2, R3, R4, R5, R6, R7, R8, R9, R10, Reg, Size, Width};
pub use instruction::{AluOp, AtomicOp, CallTarget, Cond, Imm64, Instruction, Operand, Swap};
pub use program::{LineRecord, MapRef, MapUse, Program, SourceLine};
pub use text::{
    AsmError, AsmErrors, AsmFunc, AsmMap, AsmMapKind, AsmOptions, Assembly, KfuncCall, Listing, assemble,
    assemble_with,
};

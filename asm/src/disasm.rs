//! Disassembler: the syntax of the kernel's verifier log and of `bpftool prog dump xlated`, and mnemonics.

use crate::instruction::*;
use crate::{Helper, Insn, decode, decode_translated, print};
use std::borrow::Cow;
use std::fmt;

/// Gives names to what instructions refer to by number. Every method may answer `None`, which prints the number.
pub trait Names {
    /// Name of a helper; by default from the table of the UAPI. In translated dumps the number is an address
    /// relative to the kernel's `__bpf_call_base`.
    fn helper(&self, helper: Helper) -> Option<Cow<'_, str>> {
        helper.name().map(Cow::Borrowed)
    }

    /// Name of a kernel function.
    fn kfunc(&self, btf_id: i32, fd_index: i16) -> Option<Cow<'_, str>> {
        let _ = (btf_id, fd_index);
        None
    }

    /// Name of the subprogram that begins at this instruction word.
    fn subprogram(&self, insn: usize) -> Option<Cow<'_, str>> {
        let _ = insn;
        None
    }

    /// The whole right side of a 64-bit immediate load; by default as bpftool prints it, such as `map[id:3][0]+8`.
    fn imm64(&self, value: Imm64) -> Option<Cow<'_, str>> {
        let _ = value;
        None
    }

    /// As [`imm64`](Names::imm64), for the load at this instruction word.
    fn imm64_at(&self, insn: usize, value: Imm64) -> Option<Cow<'_, str>> {
        let _ = insn;
        self.imm64(value)
    }

    /// What stands for this instruction word as the target of jumps and calls, instead of the distance to it.
    fn label(&self, insn: usize) -> Option<Cow<'_, str>> {
        let _ = insn;
        None
    }
}

/// Names of UAPI helpers only.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoNames;

impl Names for NoNames {}

/// A language of instructions.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum Syntax {
    /// The kernel's: `r0 = *(u64 *)(r1 +8)`.
    #[default]
    Kernel,
    /// Mnemonics with the names of [RFC 9669](https://www.rfc-editor.org/rfc/rfc9669.html): `ldxdw r0, [r1+8]`.
    Mnemonic,
}

/// How to disassemble.
#[derive(Clone, Copy)]
pub struct DisasmOptions<'a> {
    /// Where names come from.
    pub names: &'a dyn Names,
    /// Put the opcode in front, `(85) call ...`, as the verifier log and bpftool do.
    pub opcodes: bool,
    /// Accept what only the kernel makes ([`decode_translated`]).
    pub translated: bool,
    /// Which language.
    pub syntax: Syntax,
}

impl Default for DisasmOptions<'_> {
    fn default() -> Self {
        DisasmOptions { names: &NoNames, opcodes: false, translated: false, syntax: Syntax::Kernel }
    }
}

/// Disassembles a program: index of each instruction's first word, and its text.
///
/// A word that is no instruction gives the text `invalid: ` and the reason, and decoding goes on after it. Everything
/// else [`assemble`](crate::assemble) reads back to the same words.
pub fn disassemble(insns: &[Insn]) -> Disassembly<'_> {
    disassemble_with(insns, DisasmOptions::default())
}

/// As [`disassemble`], with names and the other choices of `options`.
pub fn disassemble_with<'a>(insns: &'a [Insn], options: DisasmOptions<'a>) -> Disassembly<'a> {
    Disassembly { insns, at: 0, options }
}

/// Iterator of [`disassemble`].
pub struct Disassembly<'a> {
    insns: &'a [Insn],
    at: usize,
    options: DisasmOptions<'a>,
}

impl Disassembly<'_> {
    /// Appends the text of the next instruction to `out`, and says the index of its first word; `None` at the end.
    ///
    /// As the iterator, without a string for each instruction.
    pub fn next_into(&mut self, out: &mut String) -> Option<usize> {
        let at = self.at;
        let rest = self.insns.get(at..)?;
        let first = rest.first()?;
        if self.options.opcodes {
            const DIGITS: &[u8; 16] = b"0123456789abcdef";
            let digit = |n: u8| char::from(DIGITS[usize::from(n & 15)]);
            out.extend(['(', digit(first.opcode >> 4), digit(first.opcode), ')', ' ']);
        }
        let decoded = if self.options.translated { decode_translated(rest) } else { decode(rest) };
        // Writing to a String cannot fail.
        match decoded {
            Ok((instruction, slots)) => {
                self.at += slots;
                let _ = instruction.write_to(out, Some(at), &self.options);
            }
            Err(error) => {
                use fmt::Write;
                self.at += 1;
                let _ = write!(out, "invalid: {error}");
            }
        }
        Some(at)
    }
}

impl Iterator for Disassembly<'_> {
    type Item = (usize, String);

    fn next(&mut self) -> Option<(usize, String)> {
        let mut text = String::new();
        let at = self.next_into(&mut text)?;
        Some((at, text))
    }
}

impl fmt::Display for Instruction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write_to(f, None, &DisasmOptions::default())
    }
}

impl Instruction {
    /// The instruction's text with names, as the verifier log has it behind the opcode; `at` is the index of its first
    /// word, by which names of subprograms are found.
    pub fn display<'a>(&'a self, names: &'a dyn Names, at: Option<usize>) -> impl fmt::Display + 'a {
        struct Named<'a>(&'a Instruction, &'a dyn Names, Option<usize>);
        impl fmt::Display for Named<'_> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let options = DisasmOptions { names: self.1, opcodes: true, ..DisasmOptions::default() };
                self.0.write_to(f, self.2, &options)
            }
        }
        Named(self, names, at)
    }

    /// Writes the instruction's text, without an opcode in front and without allocating; `at` is the index of its first
    /// word, by which names of places are found.
    ///
    /// Where [`opcodes`](DisasmOptions::opcodes) is not set, a 64-bit immediate ends with ` ll`: the opcode is what
    /// tells `r1 = 0x5` (two words) from `r1 = 5` in the kernel's output.
    ///
    /// ```
    /// use asm::{DisasmOptions, Instruction, R1, Syntax, Width};
    ///
    /// let mut text = String::new();
    /// let options = DisasmOptions { syntax: Syntax::Mnemonic, ..DisasmOptions::default() };
    /// Instruction::Neg { width: Width::W64, dst: R1 }.write_to(&mut text, None, &options)?;
    /// assert_eq!(text, "neg64 r1");
    /// # Ok::<(), std::fmt::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Those of the writer; a `String` has none.
    #[inline]
    pub fn write_to<W: fmt::Write>(
        &self,
        out: &mut W,
        at: Option<usize>,
        options: &DisasmOptions<'_>,
    ) -> fmt::Result {
        let mut printer = print::Printer { out, at, options };
        match options.syntax {
            Syntax::Kernel => printer.kernel(self),
            Syntax::Mnemonic => printer.mnemonic(self),
        }
    }
}

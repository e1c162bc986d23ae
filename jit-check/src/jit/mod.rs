//! Machine code that the kernel made of a program: decoded, and cut where each BPF instruction's begins.
//!
//! The kernel tells where the code of each *source line* begins. [`crate::live`] loads a program with a line of its own for
//! each instruction, so that the cuts are exact; of a program that somebody else loaded the cuts are those of its lines.
//!
//! Registers on x86-64: `rax` is r0, `rdi rsi rdx rcx r8` are r1 to r5, `rbx r13 r14 r15` are r6 to r9, `rbp` is r10; `r10`,
//! `r11` and `r9` are the compiler's own.

mod labels;
mod x86_64;

use bpf_sys::prog::ProgInfo;
use std::fmt;

/// A program's machine code.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Image {
    /// The program and its subprograms.
    pub functions: Vec<Function>,
}

/// The machine code of one function.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Function {
    /// Its symbol (`bpf_prog_6deef7357e7b4530_name`); empty where nothing tells.
    pub symbol: String,
    /// Its address; 0 where the kernel hides it.
    pub addr: u64,
    /// Bytes of code.
    pub size: usize,
    /// The code in pieces.
    pub pieces: Vec<Piece>,
}

/// Machine code that belongs together.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Piece {
    /// Bytes from the function's begin.
    pub offset: usize,
    /// Bytes of code.
    pub size: usize,
    /// What it is made of.
    pub of: Origin,
    /// The instructions.
    pub ops: Vec<Op>,
}

/// Where machine code comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Origin {
    /// The function's begin, before its first instruction.
    Prologue,
    /// An instruction of the rewritten program (an index into [`ProgInfo::xlated`]), with the line that the loader gave it.
    Insn {
        /// Index of the instruction word.
        xlated: usize,
        /// Line, from 1.
        line: u32,
    },
}

/// One machine instruction.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Op {
    /// Bytes from the function's begin.
    pub offset: usize,
    /// The bytes.
    pub bytes: Vec<u8>,
    /// In Intel's syntax; of other processors than x86-64 the word in hexadecimal.
    pub text: String,
    /// What it is for, where that can be told.
    pub note: Option<String>,
}

/// Gives names to kernel addresses.
pub trait Symbols {
    /// The symbol that begins at this address.
    fn at(&self, addr: u64) -> Option<String>;
}

/// No names.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoSymbols;

impl Symbols for NoSymbols {
    fn at(&self, _: u64) -> Option<String> {
        None
    }
}

impl Image {
    /// Decodes what the kernel tells of a loaded program. `is_x86` is `false` for images of other processors, which are
    /// given as words of four bytes.
    pub fn decode(info: &ProgInfo, symbols: &dyn Symbols, is_x86: bool) -> Image {
        let whole = u32::try_from(info.jited.len()).unwrap_or(u32::MAX);
        let lens = if info.jited_func_lens.is_empty() { &[whole][..] } else { &info.jited_func_lens };
        let starts = starts_of_lines(info);
        let mut functions = Vec::new();
        let mut from = 0;
        for (at, len) in lens.iter().enumerate() {
            let to = from + *len as usize;
            let code = info.jited.get(from..to).unwrap_or_default();
            from = to;
            let addr = info.jited_ksyms.get(at).copied().unwrap_or(0);
            // The lists of lines and functions have the same addresses, or none.
            let cuts = starts.iter().filter_map(|(start, origin)| {
                let offset = usize::try_from(start.checked_sub(addr)?).ok()?;
                (offset < code.len() && addr != 0).then_some((offset, *origin))
            });
            let symbol = symbols.at(addr).filter(|_| addr != 0).unwrap_or_default();
            functions.push(function(symbol, addr, code, cuts.collect(), symbols, is_x86));
        }
        Image { functions }
    }

    /// Bytes of all functions.
    pub fn size(&self) -> usize {
        self.functions.iter().map(|function| function.size).sum()
    }
}

/// Addresses of machine code with the instruction that begins there.
fn starts_of_lines(info: &ProgInfo) -> Vec<(u64, Origin)> {
    let size = (info.line_info_rec_size as usize).max(16);
    let word = |record: &[u8], at: usize| -> u32 {
        record.get(at..at + 4).and_then(|word| word.try_into().ok()).map_or(0, u32::from_ne_bytes)
    };
    let records = info.line_info.chunks_exact(size);
    let origin =
        |record: &[u8]| Origin::Insn { xlated: word(record, 0) as usize, line: word(record, 12) >> 10 };
    info.jited_line_info.iter().copied().zip(records.map(origin)).collect()
}

fn function(
    symbol: String,
    addr: u64,
    code: &[u8],
    mut cuts: Vec<(usize, Origin)>,
    symbols: &dyn Symbols,
    is_x86: bool,
) -> Function {
    cuts.sort_by_key(|(offset, _)| *offset);
    // The first instruction's line begins where the function does, though the prologue comes before it.
    let begin = if is_x86 { labels::end_of_prologue(code) } else { 0 };
    for cut in cuts.iter_mut().filter(|cut| cut.0 < begin) {
        cut.0 = begin;
    }
    let mut pieces = Vec::new();
    let first = cuts.first().map_or(code.len(), |(offset, _)| *offset);
    if first > 0 {
        pieces.push(Piece { offset: 0, size: first, of: Origin::Prologue, ops: Vec::new() });
    }
    for (nth, (offset, of)) in cuts.iter().enumerate() {
        let end = cuts.get(nth + 1).map_or(code.len(), |(next, _)| *next);
        pieces.push(Piece { offset: *offset, size: end - offset, of: *of, ops: Vec::new() });
    }
    for piece in &mut pieces {
        let bytes = code.get(piece.offset..piece.offset + piece.size).unwrap_or_default();
        piece.ops = if is_x86 {
            x86_64::decode(bytes, piece.offset, addr, code.len(), symbols)
        } else {
            words(bytes, piece.offset)
        };
    }
    labels::label(&mut pieces);
    Function { symbol, addr, size: code.len(), pieces }
}

fn words(bytes: &[u8], offset: usize) -> Vec<Op> {
    let word = |(nth, word): (usize, &[u8])| {
        let text = match <[u8; 4]>::try_from(word) {
            Ok(word) => format!("{:08x}", u32::from_le_bytes(word)),
            Err(_) => word.iter().map(|byte| format!("{byte:02x}")).collect(),
        };
        Op { offset: offset + 4 * nth, bytes: word.to_vec(), text, note: None }
    };
    bytes.chunks(4).enumerate().map(word).collect()
}

impl fmt::Display for Op {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes: String = self.bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        write!(f, "{:6x}:  {bytes:<22} {}", self.offset, self.text)?;
        match &self.note {
            Some(note) => write!(f, "  ; {note}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::expect;

    #[test]
    fn a_function_without_lines() {
        // What Linux 6.12 makes of `r0 = 1; exit`.
        let code = [
            0xf3, 0x0f, 0x1e, 0xfa, 0x0f, 0x1f, 0x44, 0x00, 0x00, 0x66, 0x90, 0x55, 0x48, 0x89, 0xe5, 0xf3,
            0x0f, 0x1e, 0xfa, 0xb8, 0x01, 0x00, 0x00, 0x00, 0xc9, 0xc3,
        ];
        let function = function("f".to_owned(), 0x1000, &code, Vec::new(), &NoSymbols, true);
        let text: Vec<String> = function
            .pieces
            .iter()
            .flat_map(|piece| piece.ops.iter().map(|op| op.to_string().trim_start().to_owned()))
            .collect();
        expect![[r#"
            0:  f30f1efa               endbr64
            4:  0f1f440000             nop dword [rax+rax]  ; for ftrace and trampolines
            9:  6690                   xchg ax,ax  ; no tail calls: no counter
            b:  55                     push rbp
            c:  4889e5                 mov rbp,rsp
            f:  f30f1efa               endbr64  ; tail calls come in here
            13:  b801000000             mov eax,1
            18:  c9                     leave
            19:  c3                     ret"#]]
        .assert_eq(&text.join("\n"));
    }

    #[test]
    fn other_processors_are_given_as_words() {
        let function = function(String::new(), 0, &[1, 2, 3, 4, 5, 6], Vec::new(), &NoSymbols, false);
        let texts: Vec<&str> = function.pieces[0].ops.iter().map(|op| op.text.as_str()).collect();
        assert_eq!(texts, ["04030201", "0506"]);
    }
}

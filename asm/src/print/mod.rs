//! Writes instructions. Numbers and registers are put together by hand: `write!` takes several times as long as
//! decoding does.

mod kernel;
mod mnemonic;

use crate::instruction::*;
use crate::{DisasmOptions, Reg, Size, Width};
use std::borrow::Cow;
use std::fmt::{self, Write};

/// An instruction's way to text.
pub(crate) struct Printer<'p, 'n, W> {
    pub out: &'p mut W,
    pub at: Option<usize>,
    pub options: &'p DisasmOptions<'n>,
}

const WHOLE: [&str; 16] =
    ["r0", "r1", "r2", "r3", "r4", "r5", "r6", "r7", "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15"];
const HALF: [&str; 16] =
    ["w0", "w1", "w2", "w3", "w4", "w5", "w6", "w7", "w8", "w9", "w10", "w11", "w12", "w13", "w14", "w15"];

impl<'n, W: Write> Printer<'_, 'n, W> {
    #[inline]
    fn text(&mut self, text: &str) -> fmt::Result {
        self.out.write_str(text)
    }

    #[inline]
    fn reg(&mut self, reg: Reg) -> fmt::Result {
        self.text(WHOLE[usize::from(reg.number() & 15)])
    }

    #[inline]
    fn wide(&mut self, width: Width, reg: Reg) -> fmt::Result {
        let names = if width == Width::W32 { &HALF } else { &WHOLE };
        self.text(names[usize::from(reg.number() & 15)])
    }

    /// Decimal; `plus` for a sign in any case.
    #[inline]
    fn number(&mut self, value: i64, plus: bool) -> fmt::Result {
        let mut digits = [0; 24];
        let mut at = digits.len();
        let mut left = value.unsigned_abs();
        loop {
            at -= 1;
            digits[at] = b'0' + (left % 10) as u8;
            left /= 10;
            if left == 0 {
                break;
            }
        }
        if value < 0 || plus {
            at -= 1;
            digits[at] = if value < 0 { b'-' } else { b'+' };
        }
        self.ascii(&digits[at..])
    }

    /// Hexadecimal with `0x`.
    #[inline]
    fn hex(&mut self, value: u64) -> fmt::Result {
        let mut digits = [0; 18];
        let mut at = digits.len();
        let mut left = value;
        loop {
            at -= 1;
            digits[at] = b"0123456789abcdef"[(left & 15) as usize];
            left >>= 4;
            if left == 0 {
                break;
            }
        }
        at -= 2;
        digits[at] = b'0';
        digits[at + 1] = b'x';
        self.ascii(&digits[at..])
    }

    #[inline]
    fn ascii(&mut self, digits: &[u8]) -> fmt::Result {
        self.text(std::str::from_utf8(digits).unwrap_or_default())
    }

    /// Where a jump goes, in front of a distance `pc` where the kernel writes that.
    fn target(&mut self, off: i64, pc: &str) -> fmt::Result {
        if let Some(label) = self.label(off) {
            return self.text(&label);
        }
        self.text(pc)?;
        self.number(off, true)
    }

    fn label(&self, off: i64) -> Option<Cow<'n, str>> {
        self.options.names.label(self.index(off)?)
    }

    /// The word so far from the next instruction.
    fn index(&self, off: i64) -> Option<usize> {
        self.at?.checked_add(1)?.checked_add_signed(isize::try_from(off).ok()?)
    }

    /// The right side of a 64-bit immediate load.
    fn imm64(&mut self, value: Imm64) -> fmt::Result {
        let names = self.options.names;
        let named = match self.at {
            Some(at) => names.imm64_at(at, value),
            None => names.imm64(value),
        };
        if let Some(text) = named {
            return self.text(&text);
        }
        match value {
            Imm64::Value(value) => self.hex(value),
            // As bpftool prints it; kinds that it leaves a number get the same shape here.
            Imm64::MapFd(id) => write!(self.out, "map[id:{id}]"),
            Imm64::MapValue { fd, offset } => write!(self.out, "map[id:{fd}][0]+{offset}"),
            Imm64::MapIdx(index) => write!(self.out, "map[idx:{index}]"),
            Imm64::MapIdxValue { index, offset } => write!(self.out, "map[idx:{index}]+{offset}"),
            Imm64::Func(off) => {
                self.text("subprog[")?;
                self.target(off.into(), "")?;
                self.text("]")
            }
            Imm64::BtfId { btf_id, obj_fd: 0 } => write!(self.out, "btf[id:{btf_id}]"),
            Imm64::BtfId { btf_id, obj_fd } => write!(self.out, "btf[id:{btf_id}, fd:{obj_fd}]"),
        }
    }

    /// The module's BTF that a kernel function is in, where the kernel's own does not have it. The kernel does not print
    /// it, and translated instructions have an address instead of both.
    fn fd_index(&mut self, fd_index: i16) -> fmt::Result {
        if fd_index == 0 || self.options.translated || self.options.opcodes {
            return Ok(());
        }
        self.text(" fd_array[")?;
        self.number(fd_index.into(), false)?;
        self.text("]")
    }
}

fn bits(size: Size) -> &'static str {
    match size {
        Size::B => "8",
        Size::H => "16",
        Size::W => "32",
        Size::DW => "64",
    }
}

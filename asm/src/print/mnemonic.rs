//! Mnemonics with the names of RFC 9669.

use super::{Printer, bits};
use crate::instruction::*;
use crate::text::mnemonic::{ALU, ATOMICS, JUMPS};
use crate::{Reg, Size, Width};
use std::fmt::{self, Write};

fn letters(size: Size) -> &'static str {
    match size {
        Size::B => "b",
        Size::H => "h",
        Size::W => "w",
        Size::DW => "dw",
    }
}

fn suffix(width: Width) -> &'static str {
    if width == Width::W32 { "32 " } else { "64 " }
}

/// The first name in the table.
fn name<T: PartialEq>(table: &[(&'static str, T)], op: T) -> &'static str {
    table.iter().find(|(_, known)| *known == op).map_or("", |(name, _)| name)
}

impl<W: Write> Printer<'_, '_, W> {
    /// `[r1+8]`
    fn memory(&mut self, reg: Reg, off: i16) -> fmt::Result {
        self.text("[")?;
        self.reg(reg)?;
        self.number(off.into(), true)?;
        self.text("]")
    }

    fn operand(&mut self, operand: Operand) -> fmt::Result {
        match operand {
            Operand::Reg(reg) => self.reg(reg),
            Operand::Imm(imm) => self.number(imm.into(), false),
        }
    }

    fn head(&mut self, name: &str, size: Size, tail: &str) -> fmt::Result {
        self.text(name)?;
        self.text(letters(size))?;
        self.text(tail)
    }

    pub(crate) fn mnemonic(&mut self, instruction: &Instruction) -> fmt::Result {
        match *instruction {
            Instruction::Alu { op, width, dst, src } => {
                self.text(name(ALU, op))?;
                self.text(suffix(width))?;
                self.reg(dst)?;
                self.text(", ")?;
                self.operand(src)
            }
            Instruction::Neg { width, dst } => {
                self.text("neg")?;
                self.text(suffix(width))?;
                self.reg(dst)
            }
            Instruction::MovSx { width, from, dst, src } => {
                self.text("movsx")?;
                self.text(bits(from))?;
                self.text("to")?;
                self.text(suffix(width))?;
                self.reg(dst)?;
                self.text(", ")?;
                self.reg(src)
            }
            Instruction::Swap { order, size, dst } => {
                self.text(match order {
                    Swap::ToLe => "le",
                    Swap::ToBe => "be",
                    Swap::Bswap => "bswap",
                })?;
                self.text(bits(size))?;
                self.text(" ")?;
                self.reg(dst)
            }
            Instruction::Load { size, dst, src, off } => {
                self.head("ldx", size, " ")?;
                self.load(dst, src, off)
            }
            Instruction::LoadSx { size, dst, src, off } => {
                self.head("ldx", size, "sx ")?;
                self.load(dst, src, off)
            }
            Instruction::LoadAcquire { size, dst, src, off } => {
                self.head("ldacq", size, " ")?;
                self.load(dst, src, off)
            }
            Instruction::Store { size, dst, off, src } => {
                self.head(if matches!(src, Operand::Reg(_)) { "stx" } else { "st" }, size, " ")?;
                self.memory(dst, off)?;
                self.text(", ")?;
                self.operand(src)
            }
            Instruction::StoreRelease { size, dst, off, src } => {
                self.head("strel", size, " ")?;
                self.memory(dst, off)?;
                self.text(", ")?;
                self.reg(src)
            }
            Instruction::Atomic { op, size, dst, off, src } => {
                self.text("lock ")?;
                self.text(name(ATOMICS, op))?;
                self.text(if size == Size::DW { "64 " } else { "32 " })?;
                self.memory(dst, off)?;
                self.text(", ")?;
                self.reg(src)
            }
            Instruction::LoadAbs { size, imm } => {
                self.head("ldabs", size, " ")?;
                self.number(imm.into(), false)
            }
            Instruction::LoadInd { size, src, imm } => {
                self.head("ldind", size, " ")?;
                self.reg(src)?;
                self.text(", ")?;
                self.number(imm.into(), false)
            }
            Instruction::LdImm64 { dst, value } => {
                self.text("lddw ")?;
                self.reg(dst)?;
                self.text(", ")?;
                self.imm64(value)
            }
            Instruction::Jump { off } => {
                self.text("ja ")?;
                self.target(off.into(), "")
            }
            Instruction::JumpLong { off } => {
                self.text("ja32 ")?;
                self.target(off.into(), "")
            }
            Instruction::JumpIf { cond, width, dst, src, off } => {
                self.text(name(JUMPS, cond))?;
                self.text(if width == Width::W32 { "32 " } else { " " })?;
                self.reg(dst)?;
                self.text(", ")?;
                self.operand(src)?;
                self.text(", ")?;
                self.target(off.into(), "")
            }
            Instruction::MayGoto { off } => {
                self.text("may_goto ")?;
                self.target(off.into(), "")
            }
            Instruction::Call(target) => self.mnemonic_call(target),
            Instruction::AddrSpaceCast { dst, src, to, from } => {
                write!(self.out, "addr_space_cast {dst}, {src}, {to}, {from}")
            }
            // The rest has one spelling.
            Instruction::JumpReg { .. }
            | Instruction::CallReg { .. }
            | Instruction::Exit
            | Instruction::PercpuAddr { .. }
            | Instruction::NoSpec => self.kernel(instruction),
        }
    }

    fn load(&mut self, dst: Reg, src: Reg, off: i16) -> fmt::Result {
        self.reg(dst)?;
        self.text(", ")?;
        self.memory(src, off)
    }

    fn mnemonic_call(&mut self, target: CallTarget) -> fmt::Result {
        self.text("call ")?;
        match target {
            CallTarget::Helper(helper) => match self.options.names.helper(helper) {
                // A name that stands for another number here is none that could be read back.
                Some(name) if helper.name() == Some(&name) => self.text(&name),
                _ => self.number((helper.0 as i32).into(), false),
            },
            CallTarget::Kfunc { btf_id, fd_index } => {
                self.text("kfunc ")?;
                self.number(btf_id.into(), false)?;
                self.fd_index(fd_index)
            }
            CallTarget::Local(off) => {
                if let Some(label) = self.label(off.into()) {
                    return self.text(&label);
                }
                self.text("local ")?;
                self.number(off.into(), true)
            }
        }
    }
}

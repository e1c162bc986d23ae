//! The kernel's syntax.

use super::{Printer, bits};
use crate::instruction::*;
use crate::{Reg, Size};
use std::borrow::Cow;
use std::fmt::{self, Write};

fn alu(op: AluOp) -> &'static str {
    match op {
        AluOp::Add => " += ",
        AluOp::Sub => " -= ",
        AluOp::Mul => " *= ",
        AluOp::Div => " /= ",
        AluOp::SDiv => " s/= ",
        AluOp::Or => " |= ",
        AluOp::And => " &= ",
        AluOp::Lsh => " <<= ",
        AluOp::Rsh => " >>= ",
        AluOp::Mod => " %= ",
        AluOp::SMod => " s%= ",
        AluOp::Xor => " ^= ",
        AluOp::Mov => " = ",
        AluOp::Arsh => " s>>= ",
    }
}

fn cond(cond: Cond) -> &'static str {
    match cond {
        Cond::Eq => " == ",
        Cond::Ne => " != ",
        Cond::Gt => " > ",
        Cond::Ge => " >= ",
        Cond::Lt => " < ",
        Cond::Le => " <= ",
        Cond::Set => " & ",
        Cond::SGt => " s> ",
        Cond::SGe => " s>= ",
        Cond::SLt => " s< ",
        Cond::SLe => " s<= ",
    }
}

/// What stands in front of a place's register, without and with the star.
fn place_head(size: Size) -> &'static str {
    match size {
        Size::B => "*(u8 *)(",
        Size::H => "*(u16 *)(",
        Size::W => "*(u32 *)(",
        Size::DW => "*(u64 *)(",
    }
}

impl<W: Write> Printer<'_, '_, W> {
    /// `*(u64 *)(r1 +8)`
    #[inline]
    fn deref(&mut self, size: Size, reg: Reg, off: i16) -> fmt::Result {
        self.text(place_head(size))?;
        self.place_tail(reg, off)
    }

    /// `(u64 *)(r1 +8)`
    fn place(&mut self, size: Size, reg: Reg, off: i16) -> fmt::Result {
        self.text(&place_head(size)[1..])?;
        self.place_tail(reg, off)
    }

    #[inline]
    fn place_tail(&mut self, reg: Reg, off: i16) -> fmt::Result {
        self.reg(reg)?;
        self.text(" ")?;
        self.number(off.into(), true)?;
        self.text(")")
    }

    pub(crate) fn kernel(&mut self, instruction: &Instruction) -> fmt::Result {
        match *instruction {
            Instruction::Alu { op, width, dst, src } => {
                self.wide(width, dst)?;
                self.text(alu(op))?;
                match src {
                    Operand::Reg(src) => self.wide(width, src),
                    Operand::Imm(imm) => self.number(imm.into(), false),
                }
            }
            Instruction::Load { size, dst, src, off } => {
                self.reg(dst)?;
                self.text(" = ")?;
                self.deref(size, src, off)
            }
            Instruction::Store { size, dst, off, src } => {
                self.deref(size, dst, off)?;
                self.text(" = ")?;
                match src {
                    Operand::Reg(src) => self.reg(src),
                    Operand::Imm(imm) => self.number(imm.into(), false),
                }
            }
            Instruction::JumpIf { cond: how, width, dst, src, off } => {
                self.text("if ")?;
                self.wide(width, dst)?;
                self.text(cond(how))?;
                match src {
                    Operand::Reg(src) => self.wide(width, src)?,
                    Operand::Imm(imm) => self.hex((imm as u32).into())?,
                }
                self.text(" goto ")?;
                self.target(off.into(), "pc")
            }
            Instruction::Jump { off } => {
                self.text("goto ")?;
                self.target(off.into(), "pc")
            }
            Instruction::Call(target) => self.kernel_call(target),
            Instruction::Exit => self.text("exit"),
            Instruction::LdImm64 { dst, value } => {
                self.reg(dst)?;
                self.text(" = ")?;
                self.imm64(value)?;
                // Without the opcode nothing else tells it from the move of an immediate.
                match value {
                    Imm64::Value(_) if !self.options.opcodes => self.text(" ll"),
                    _ => Ok(()),
                }
            }
            Instruction::Neg { width, dst } => {
                self.wide(width, dst)?;
                self.text(" = -")?;
                self.wide(width, dst)
            }
            Instruction::MovSx { width, from, dst, src } => {
                self.wide(width, dst)?;
                self.text(" = (s")?;
                self.text(bits(from))?;
                self.text(")")?;
                self.wide(width, src)
            }
            Instruction::Swap { order, size, dst } => {
                self.reg(dst)?;
                self.text(match order {
                    Swap::ToLe => " = le",
                    Swap::ToBe => " = be",
                    Swap::Bswap => " = bswap",
                })?;
                self.text(bits(size))?;
                self.text(" ")?;
                self.reg(dst)
            }
            Instruction::LoadSx { size, dst, src, off } => {
                self.reg(dst)?;
                self.text(" = *(s")?;
                self.text(bits(size))?;
                self.text(" *)(")?;
                self.place_tail(src, off)
            }
            Instruction::Atomic { op, size, dst, off, src } => self.kernel_atomic(op, size, dst, off, src),
            Instruction::LoadAcquire { size, dst, src, off } => {
                self.reg(dst)?;
                self.text(" = load_acquire(")?;
                self.place(size, src, off)?;
                self.text(")")
            }
            Instruction::StoreRelease { size, dst, off, src } => {
                self.text("store_release(")?;
                self.place(size, dst, off)?;
                self.text(", ")?;
                self.reg(src)?;
                self.text(")")
            }
            Instruction::JumpLong { off } => {
                self.text("gotol ")?;
                self.target(off.into(), "pc")
            }
            Instruction::MayGoto { off } => {
                self.text("may_goto ")?;
                self.target(off.into(), "pc")
            }
            Instruction::AddrSpaceCast { dst, src, to, from } => {
                write!(self.out, "{dst} = addr_space_cast({src}, {to}, {from})")
            }
            Instruction::PercpuAddr { dst, src } => write!(self.out, "{dst} = &(void __percpu *)({src})"),
            Instruction::LoadAbs { size, imm } => write!(self.out, "r0 = *(u{} *)skb[{imm}]", bits(size)),
            Instruction::LoadInd { size, src, imm } => {
                write!(self.out, "r0 = *(u{} *)skb[{src} + {imm}]", bits(size))
            }
            Instruction::JumpReg { dst } => write!(self.out, "gotox {dst}"),
            Instruction::CallReg { dst } => write!(self.out, "callx {dst}"),
            Instruction::NoSpec => self.text("nospec"),
        }
    }

    fn kernel_atomic(&mut self, op: AtomicOp, size: Size, dst: Reg, off: i16, src: Reg) -> fmt::Result {
        let plain = match op {
            AtomicOp::Add => Some(" += "),
            AtomicOp::Or => Some(" |= "),
            AtomicOp::And => Some(" &= "),
            AtomicOp::Xor => Some(" ^= "),
            _ => None,
        };
        if let Some(symbol) = plain {
            self.text("lock ")?;
            self.deref(size, dst, off)?;
            self.text(symbol)?;
            return self.reg(src);
        }
        self.reg(if op == AtomicOp::CmpXchg { Reg::R0 } else { src })?;
        self.text(if size == Size::DW { " = atomic64_" } else { " = atomic_" })?;
        self.text(match op {
            AtomicOp::FetchAdd => "fetch_add(",
            AtomicOp::FetchOr => "fetch_or(",
            AtomicOp::FetchAnd => "fetch_and(",
            AtomicOp::FetchXor => "fetch_xor(",
            AtomicOp::CmpXchg => "cmpxchg(",
            _ => "xchg(",
        })?;
        self.place(size, dst, off)?;
        self.text(if op == AtomicOp::CmpXchg { ", r0, " } else { ", " })?;
        self.reg(src)?;
        self.text(")")
    }

    fn kernel_call(&mut self, target: CallTarget) -> fmt::Result {
        self.text("call ")?;
        match target {
            CallTarget::Helper(helper) => {
                let name = self.options.names.helper(helper).unwrap_or(Cow::Borrowed("unknown"));
                self.text(&name)?;
                self.text("#")?;
                self.number((helper.0 as i32).into(), false)
            }
            CallTarget::Kfunc { btf_id, fd_index } => {
                let name = self.options.names.kfunc(btf_id, fd_index);
                self.text(&name.unwrap_or(Cow::Borrowed("kernel-function")))?;
                self.text("#")?;
                self.number(btf_id.into(), false)?;
                self.fd_index(fd_index)
            }
            CallTarget::Local(off) => {
                if let Some(label) = self.label(off.into()) {
                    return self.text(&label);
                }
                self.text("pc")?;
                self.number(off.into(), true)?;
                match self.index(off.into()).and_then(|insn| self.options.names.subprogram(insn)) {
                    Some(name) => {
                        self.text("#")?;
                        self.text(&name)
                    }
                    None => Ok(()),
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Width;

    #[test]
    fn widths_of_both_sides_agree() {
        let text =
            Instruction::Alu { op: AluOp::Mov, width: Width::W32, dst: Reg::R1, src: Operand::Reg(Reg::R2) };
        assert_eq!(text.to_string(), "w1 = w2");
    }
}

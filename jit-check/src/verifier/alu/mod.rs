//! Arithmetic on registers, pointers included, and conditional jumps.

mod arith;
mod jump;
mod links;
mod live;
mod null;
mod packet;
mod pointer;
mod sanitize;

use super::env::{EACCES, EINVAL, Env, Res, reject};
use super::op;
use super::reg::{Base, DEF_NOT_SUBREG, Flags, Live, Reg};
use super::states::Use;
use asm::Insn;
use bpf_sys::map::MapType;

/// `off` of a move that changes the address space.
const ADDR_SPACE_CAST: i16 = 1;

impl Env<'_> {
    /// An arithmetic instruction (classes ALU and ALU64).
    pub(super) fn check_alu_op(&mut self, insn: Insn) -> Res {
        let dst = insn.dst().number();
        match insn.opcode & 0xf0 {
            op::NEG | op::END => self.check_unary(insn)?,
            op::MOV => self.check_mov(insn)?,
            code if code > op::END => reject!(self, EINVAL, "invalid BPF_ALU opcode {code:x}"),
            code => self.check_binary(insn, code)?,
        }
        if self.reg(dst).bounds_violation().is_some() {
            let mut reg = *self.reg(dst);
            let checked = self.check_bounds(&mut reg, "alu");
            *self.reg_mut(dst) = reg;
            checked?;
        }
        Ok(())
    }

    /// Whether the register holds a pointer that the loader may not see.
    pub(super) fn is_pointer_value(&self, regno: u8) -> bool {
        !self.allow_ptr_leaks && !self.reg(regno).is_scalar()
    }

    fn check_unary(&mut self, insn: Insn) -> Res {
        let (dst, code) = (insn.dst().number(), insn.opcode & 0xf0);
        let has_x = insn.opcode & op::X != 0;
        let is_64 = insn.opcode & 7 == op::CLASS_ALU64;
        if code == op::NEG {
            if has_x || insn.src().number() != 0 || insn.off != 0 || insn.imm != 0 {
                reject!(self, EINVAL, "BPF_NEG uses reserved fields");
            }
        } else {
            // The unconditional swap of the 64-bit class came with Linux 6.6.
            let class_ok = !is_64 || (self.since(6, 6) && !has_x);
            if insn.src().number() != 0 || insn.off != 0 || !matches!(insn.imm, 16 | 32 | 64) || !class_ok {
                reject!(self, EINVAL, "BPF_END uses reserved fields");
            }
        }
        self.check_reg_arg(dst, Use::Src)?;
        if self.is_pointer_value(dst) {
            reject!(self, EACCES, "R{dst} pointer arithmetic prohibited");
        }
        // Followed since Linux 6.18.
        if self.since(6, 18) && self.reg(dst).is_scalar() {
            self.check_reg_arg(dst, Use::DstNoMark)?;
            if code == op::NEG {
                let src = *self.reg(dst);
                return self.adjust_scalar(insn, dst, &src);
            }
            let version = self.kernel.version;
            self.reg_mut(dst).swap_bytes(is_64 || has_x, insn.imm as u32, version);
            return Ok(());
        }
        self.check_reg_arg(dst, Use::Dst)
    }

    fn check_mov(&mut self, insn: Insn) -> Res {
        let (dst, src) = (insn.dst().number(), insn.src().number());
        let is_64 = insn.opcode & 7 == op::CLASS_ALU64;
        let from_reg = insn.opcode & op::X != 0;
        if from_reg {
            let sign_extension = self.since(6, 6);
            let reserved = match (is_64, insn.off) {
                (_, 0) => insn.imm != 0,
                (_, 8 | 16) | (true, 32) => insn.imm != 0 || !sign_extension,
                (true, ADDR_SPACE_CAST) if self.since(6, 9) => {
                    if insn.imm != 1 && insn.imm != 1 << 16 {
                        reject!(
                            self,
                            EINVAL,
                            "addr_space_cast insn can only convert between address space 1 and 0"
                        );
                    }
                    if !self.has_arena() {
                        reject!(
                            self,
                            EINVAL,
                            "addr_space_cast insn can only be used in a program that has an associated arena"
                        );
                    }
                    false
                }
                _ => true,
            };
            if reserved {
                reject!(self, EINVAL, "BPF_MOV uses reserved fields");
            }
            self.check_reg_arg(src, Use::Src)?;
        } else if src != 0 || insn.off != 0 {
            reject!(self, EINVAL, "BPF_MOV uses reserved fields");
        }
        self.check_reg_arg(dst, Use::DstNoMark)?;
        if !from_reg {
            let value = if is_64 { insn.imm as i64 as u64 } else { u64::from(insn.imm as u32) };
            let precise = !self.bpf_capable;
            let reg = self.reg_mut(dst);
            reg.mark_unknown();
            reg.precise = precise;
            reg.set_value(value);
            return Ok(());
        }
        if is_64 { self.mov_64(insn, dst, src) } else { self.mov_32(insn, dst, src) }
    }

    fn mov_64(&mut self, insn: Insn, dst: u8, src: u8) -> Res {
        let def = self.insn_idx as u32 + 1;
        if insn.imm != 0 {
            // A cast between address spaces: nothing of the pointer is followed.
            self.mark_reg_unknown(dst)?;
            if insn.imm == 1 {
                let reg = self.reg_mut(dst);
                reg.base = Base::Arena;
                reg.subreg_def = def;
            }
        } else if insn.off == 0 {
            self.assign_scalar_id(src);
            self.copy_reg(dst, src, DEF_NOT_SUBREG);
        } else if self.is_pointer_value(src) {
            reject!(self, EACCES, "R{src} sign-extension part of pointer");
        } else if self.reg(src).is_scalar() {
            let keeps_value = self.reg(src).umax < 1 << (insn.off - 1);
            if keeps_value {
                self.assign_scalar_id(src);
            }
            self.copy_reg(dst, src, DEF_NOT_SUBREG);
            let reg = self.reg_mut(dst);
            if !keeps_value {
                reg.clear_scalar_id();
            }
            reg.sign_extend_64(insn.off as u32 >> 3);
        } else {
            self.mark_reg_unknown(dst)?;
        }
        Ok(())
    }

    fn mov_32(&mut self, insn: Insn, dst: u8, src: u8) -> Res {
        let def = self.insn_idx as u32 + 1;
        if self.is_pointer_value(src) {
            reject!(self, EACCES, "R{src} partial copy of pointer");
        }
        if self.reg(src).is_scalar() {
            let keeps_value = if insn.off == 0 {
                self.reg(src).width() <= 32
            } else {
                self.reg(src).umax < 1 << (insn.off - 1)
            };
            // Linux 5.10 and 6.1 know no links through the lower half; they came with Linux 6.5.
            if keeps_value && self.since(6, 5) {
                self.assign_scalar_id(src);
            }
            self.copy_reg(dst, src, def);
            let linked = keeps_value && self.since(6, 5);
            let reg = self.reg_mut(dst);
            if !linked {
                reg.clear_scalar_id();
            }
            if insn.off != 0 {
                reg.sign_extend_32(insn.off as u32 >> 3);
            }
        } else {
            self.mark_reg_unknown(dst)?;
        }
        let version = self.kernel.version;
        let reg = self.reg_mut(dst);
        reg.zero_extend_32();
        reg.bounds_sync(version);
        Ok(())
    }

    /// `dst` becomes what `src` is.
    fn copy_reg(&mut self, dst: u8, src: u8, subreg_def: u32) {
        let from = *self.reg(src);
        let reg = self.reg_mut(dst);
        reg.copy_value(&from);
        reg.live.add(Live::WRITTEN);
        reg.subreg_def = subreg_def;
    }

    fn has_arena(&self) -> bool {
        self.aux.iter().filter_map(|aux| aux.map).any(|map| {
            self.program.maps.get(map as usize).is_some_and(|spec| spec.map_type == MapType::Arena)
        })
    }

    fn check_binary(&mut self, insn: Insn, code: u8) -> Res {
        let (dst, src) = (insn.dst().number(), insn.src().number());
        // Signed division came with Linux 6.6.
        let off_ok =
            insn.off == 0 || (insn.off == 1 && matches!(code, op::MOD | op::DIV) && self.since(6, 6));
        if insn.opcode & op::X != 0 {
            if insn.imm != 0 || !off_ok {
                reject!(self, EINVAL, "BPF_ALU uses reserved fields");
            }
            self.check_reg_arg(src, Use::Src)?;
        } else if src != 0 || !off_ok {
            reject!(self, EINVAL, "BPF_ALU uses reserved fields");
        }
        self.check_reg_arg(dst, Use::Src)?;
        let constant = insn.opcode & op::X == 0;
        if constant && matches!(code, op::MOD | op::DIV) && insn.imm == 0 {
            reject!(self, EINVAL, "div by zero");
        }
        if constant && matches!(code, op::LSH | op::RSH | op::ARSH) {
            let size = if insn.opcode & 7 == op::CLASS_ALU64 { 64 } else { 32 };
            if !(0..size).contains(&insn.imm) {
                reject!(self, EINVAL, "invalid shift {}", insn.imm);
            }
        }
        self.check_reg_arg(dst, Use::DstNoMark)?;
        self.adjust_reg(insn, dst, src)
    }

    /// The operand of an instruction with an immediate.
    fn immediate(insn: Insn) -> Reg {
        Reg { base: Base::Scalar, flags: Flags::empty(), ..Reg::known(insn.imm as i64 as u64) }
    }
}

//! Operations with two operands: which of them are pointers decides what happens.

use super::super::env::{EACCES, Env, Res, reject};
use super::super::op;
use super::super::reg::{ADD_CONST, ADD_CONST32, ADD_CONST64, Base, Reg};
use super::super::scalar::is_computable;
use asm::Insn;

impl Env<'_> {
    /// Any operation with two operands.
    pub(super) fn adjust_reg(&mut self, insn: Insn, dst: u8, src: u8) -> Res {
        let code = insn.opcode & 0xf0;
        let by_reg = insn.opcode & op::X != 0;
        let is_64 = insn.opcode & 7 == op::CLASS_ALU64;
        let left = *self.reg(dst);
        let right = if by_reg { *self.reg(src) } else { Self::immediate(insn) };

        if left.is(Base::Arena) || (by_reg && right.is(Base::Arena)) {
            // Whatever comes out is an address within the arena.
            let def = self.insn_idx as u32 + 1;
            let reg = self.reg_mut(dst);
            if !left.is(Base::Arena) {
                *reg = right;
            }
            reg.subreg_def = def;
            if is_64 {
                self.aux_mut().needs_zext = true;
            }
            return Ok(());
        }

        match (left.is_scalar(), right.is_scalar()) {
            (false, false) => {
                if code == op::SUB && self.allow_ptr_leaks {
                    return self.mark_reg_unknown(dst);
                }
                reject!(self, EACCES, "R{dst} pointer {} pointer prohibited", op::alu_text(code));
            }
            (true, false) => {
                self.mark_chain_precision(dst)?;
                let off = *self.reg(dst);
                return self.adjust_ptr(insn, &right, &off, false);
            }
            (false, true) => {
                if by_reg {
                    self.mark_chain_precision(src)?;
                }
                let off = if by_reg { *self.reg(src) } else { right };
                return self.adjust_ptr(insn, &left, &off, true);
            }
            (true, true) => {
                if by_reg && left.precise {
                    self.mark_chain_precision(src)?;
                }
            }
        }

        let right = if by_reg { *self.reg(src) } else { right };
        self.adjust_scalar(insn, dst, &right)?;
        self.link_sum(insn, dst, &right, left.umax);
        Ok(())
    }

    /// `r1 = r2; r1 += 4` leaves `r1` linked with `r2`, four apart: what a comparison says of one holds for the other.
    /// Since Linux 6.11; differences and sums of 32 bits since 6.18. All other arithmetic ends the link.
    fn link_sum(&mut self, insn: Insn, dst: u8, right: &Reg, umax_before: u64) {
        let code = insn.opcode & 0xf0;
        let is_32 = insn.opcode & 7 != op::CLASS_ALU64;
        let newer = self.since(6, 18);
        let by_itself = insn.opcode & op::X != 0 && insn.src() == insn.dst();
        let kind_ok = if newer { matches!(code, op::ADD | op::SUB) } else { code == op::ADD && !is_32 };
        let may_link = self.bpf_capable
            && self.since(6, 11)
            && kind_ok
            && right.is_const(is_32)
            && !by_itself
            && !(is_32 && umax_before > u64::from(u32::MAX));
        let value = right.const_value(is_32);
        let delta = if !newer {
            i32::try_from(value).ok()
        } else {
            let value = if is_32 { Some(value as u32 as i32) } else { i32::try_from(value as i64).ok() };
            if code == op::SUB { value.and_then(i32::checked_neg) } else { value }
        };
        let reg = self.reg_mut(dst);
        match delta {
            Some(delta) if may_link && reg.id != 0 && reg.id & ADD_CONST == 0 => {
                reg.id |= if is_32 { ADD_CONST32 } else { ADD_CONST64 };
                reg.off = delta;
            }
            _ => reg.clear_scalar_id(),
        }
    }

    /// An operation on two numbers.
    pub(super) fn adjust_scalar(&mut self, insn: Insn, dst: u8, right: &Reg) -> Res {
        let code = insn.opcode & 0xf0;
        let is_32 = insn.opcode & 7 != op::CLASS_ALU64;
        let version = self.kernel.version;
        if !is_computable(code, is_32, right, version) {
            return self.mark_reg_unknown(dst);
        }
        if matches!(code, op::ADD | op::SUB) {
            self.sanitize_scalar(insn, dst)?;
        }
        if matches!(code, op::AND | op::OR) && right.var_off.is_const() {
            self.fork_all_or_nothing(dst)?;
        }
        self.reg_mut(dst).apply(code, insn.off == 1, is_32, right, version);
        Ok(())
    }

    /// A number that is -1 or 0 (a sign that was shifted down) is walked as both: a mask of it is a constant then.
    fn fork_all_or_nothing(&mut self, dst: u8) -> Res {
        let reg = *self.reg(dst);
        let wide = reg.smin == -1 && reg.smax == 0;
        if !wide && (reg.s32_min != -1 || reg.s32_max != 0) {
            return Ok(());
        }
        let at = self.insn_idx;
        let other = self.push_state(at, at, false)?;
        let frame = other.curframe();
        let other = &mut other.frames[frame].regs[usize::from(dst)];
        if wide {
            other.mark_known(0);
            self.reg_mut(dst).mark_known(u64::MAX);
        } else {
            other.set_value32(0);
            self.reg_mut(dst).set_value32(u32::MAX);
        }
        Ok(())
    }
}

//! Conditional jumps.

use super::super::env::{EACCES, EINVAL, Env, Res, reject};
use super::super::op;
use super::super::reg::{Base, Reg};
use super::super::scalar::{branch_on_itself, branch_taken, flip, refine, reverse};
use super::super::state::State;
use super::super::states::{JUMP_DST_IS_STACK, JUMP_SRC_IS_STACK, LinkedRegs, Use};
use super::{links, packet};
use asm::Insn;

/// The four views of what was compared: both sides, where the comparison holds and where it does not. `same`: both
/// sides are one register.
struct Outcome {
    holds: [Reg; 2],
    fails: [Reg; 2],
    second: usize,
}

impl Env<'_> {
    /// A conditional jump: pushes the other way, sets `insn_idx` to where this way goes on.
    pub(in crate::verifier) fn check_cond_jmp(&mut self, insn: Insn, insn_idx: &mut usize) -> Res {
        let code = insn.opcode & 0xf0;
        let newest = if self.since(6, 9) { op::JCOND } else { op::JSLE };
        if code == op::JA || code > newest {
            reject!(self, EINVAL, "invalid BPF_JMP/JMP32 opcode {code:x}");
        }
        let at = *insn_idx;
        let next = at + 1;
        let target = next.wrapping_add_signed(isize::from(insn.off));
        if code == op::JCOND {
            return self.may_goto(insn, at, target, insn_idx);
        }

        let (dst, src) = (insn.dst().number(), insn.src().number());
        let by_reg = insn.opcode & op::X != 0;
        let is_32 = insn.opcode & 7 == op::CLASS_JMP32;
        self.check_operands(insn, dst, src, by_reg)?;
        let (left, right) = self.operands(insn, dst, src, by_reg);

        let same = by_reg && dst == src && self.since(7, 0);
        let decided = if same && left.is_scalar() {
            branch_on_itself(&left, code, is_32)
        } else {
            self.branch_decided(&left, &right, code, is_32)
        };
        if let Some(taken) = decided {
            if left.is_scalar() {
                self.mark_chain_precision(dst)?;
            }
            if by_reg && right.is_scalar() {
                self.mark_chain_precision(src)?;
            }
            let (way, other) = if taken { (target, next) } else { (next, target) };
            if !self.bypass_spec_v1 {
                self.push_speculative(insn, other)?;
            }
            self.log_jump();
            *insn_idx = way;
            return Ok(());
        }

        let linked = self.collect_links(&left, &right, by_reg)?;
        // Collecting may have taken an id away.
        let (left, right) = self.operands(insn, dst, src, by_reg);
        let _ = self.push_state(target, at, false)?;
        let Some(mut there) = self.pending.pop() else { return Ok(()) };
        let walked = self.both_ways(insn, (&left, &right), &linked, &mut there.state);
        self.pending.push(there);
        walked?;
        self.log_jump();
        *insn_idx = next;
        Ok(())
    }

    fn log_jump(&mut self) {
        if self.log.level & 3 != 0 {
            let frame = self.cur.curframe();
            self.print_insn_state(frame);
        }
    }

    fn check_operands(&mut self, insn: Insn, dst: u8, src: u8, by_reg: bool) -> Res {
        // Which side is looked at first changed with Linux 6.8.
        let dst_first = self.since(6, 8);
        if dst_first {
            self.check_reg_arg(dst, Use::Src)?;
        }
        if by_reg {
            if insn.imm != 0 {
                reject!(self, EINVAL, "BPF_JMP/JMP32 uses reserved fields");
            }
            self.check_reg_arg(src, Use::Src)?;
            let packets = dst <= 10 && packet::is_packet(self.reg(dst)) && packet::is_packet(self.reg(src));
            if !packets && self.is_pointer_value(src) {
                reject!(self, EACCES, "R{src} pointer comparison prohibited");
            }
        } else if src != 0 {
            reject!(self, EINVAL, "BPF_JMP/JMP32 uses reserved fields");
        }
        if !dst_first {
            self.check_reg_arg(dst, Use::Src)?;
        }
        let mut flags = 0;
        if by_reg && self.reg(src).is(Base::Stack) {
            flags |= JUMP_SRC_IS_STACK;
        }
        if self.reg(dst).is(Base::Stack) {
            flags |= JUMP_DST_IS_STACK;
        }
        if flags != 0 && self.since(6, 11) {
            self.push_jump(flags, 0)?;
        }
        Ok(())
    }

    fn operands(&self, insn: Insn, dst: u8, src: u8, by_reg: bool) -> (Reg, Reg) {
        let left = *self.reg(dst);
        (left, if by_reg { *self.reg(src) } else { Self::immediate(insn) })
    }

    /// `may_goto`: the way on is walked later, as often as it takes; this way is out of the loop.
    fn may_goto(&mut self, insn: Insn, at: usize, target: usize, insn_idx: &mut usize) -> Res {
        if insn.opcode != op::CLASS_JMP | op::JCOND
            || insn.src().number() != 0
            || insn.dst().number() != 0
            || insn.imm != 0
            || insn.off == 0
        {
            reject!(self, EINVAL, "invalid may_goto off {} imm {}", insn.off, insn.imm);
        }
        let before = self.find_prev_entry_of_parent(at);
        self.push_state(at + 1, at, false)?.may_goto_depth += 1;
        if let Some(before) = before {
            self.widen_pushed(before);
        }
        *insn_idx = target;
        Ok(())
    }

    /// Which way the jump goes, where only one is possible.
    fn branch_decided(&self, left: &Reg, right: &Reg, code: u8, is_32: bool) -> Option<bool> {
        if !is_32 && packet::is_packet(left) && packet::is_packet(right) {
            return packet::branch_taken(left, right, code);
        }
        if left.is_scalar() && right.is_scalar() {
            return branch_taken(left, right, code, is_32, self.kernel.version);
        }
        if is_32 {
            return None;
        }
        // A pointer that is not NULL is not zero.
        let (pointer, constant, code) =
            if right.is_const(false) { (left, right, code) } else { (right, left, flip(code)) };
        if !constant.is_const(false) || !self.is_not_null(pointer) || constant.var_off.value != 0 {
            return None;
        }
        match code {
            op::JEQ => Some(false),
            op::JNE => Some(true),
            _ => None,
        }
    }

    /// Copies of both sides, noted in the history for going back.
    fn collect_links(&mut self, left: &Reg, right: &Reg, by_reg: bool) -> Res<LinkedRegs> {
        let mut linked = LinkedRegs::default();
        if !self.since(6, 11) {
            return Ok(linked);
        }
        let ids = [(by_reg, right), (true, left)];
        let mut ids =
            ids.into_iter().filter(|(asked, reg)| *asked && reg.is_scalar() && reg.id != 0).peekable();
        if ids.peek().is_none() {
            return Ok(linked);
        }
        let live = self.live_by_frame();
        for (_, reg) in ids {
            links::collect(&mut self.cur, reg.id, &live, &mut linked);
        }
        if linked.len() > 1 {
            self.push_jump(0, linked.pack())?;
        }
        Ok(linked)
    }

    /// Both ways are possible: what each of them knows. `there` is where the comparison holds.
    fn both_ways(&mut self, insn: Insn, sides: (&Reg, &Reg), linked: &LinkedRegs, there: &mut State) -> Res {
        let (left, right) = sides;
        let code = insn.opcode & 0xf0;
        let (dst, src) = (insn.dst().number(), insn.src().number());
        let by_reg = insn.opcode & op::X != 0;
        let is_32 = insn.opcode & 7 == op::CLASS_JMP32;
        let innermost = there.curframe();

        let same = by_reg && dst == src;
        if left.is_scalar() && right.is_scalar() && !(same && self.since(7, 0)) {
            let outcome = self.refine_both(left, right, code, is_32, same)?;
            *self.reg_mut(dst) = outcome.fails[0];
            there.frames[innermost].regs[usize::from(dst)] = outcome.holds[0];
            if by_reg {
                *self.reg_mut(src) = outcome.fails[outcome.second];
                there.frames[innermost].regs[usize::from(src)] = outcome.holds[outcome.second];
            }
        }
        for (regno, asked) in [(src, by_reg), (dst, true)] {
            let reg = *self.reg(regno);
            if asked && reg.is_scalar() && reg.id != 0 {
                self.sync_links(regno, linked, there);
            }
        }

        let (left, right) = (*self.reg(dst), if by_reg { *self.reg(src) } else { *right });
        if !is_32 && by_reg {
            self.learn_not_null((dst, &left), (src, &right), code, there);
        }
        if !is_32 && !by_reg && insn.imm == 0 && matches!(code, op::JEQ | op::JNE) && left.may_be_null() {
            let spare = self.keep.spare.pop().unwrap_or_default();
            let mut here = std::mem::replace(&mut self.cur, spare);
            self.mark_ptr_or_null(&mut here, dst, code == op::JNE);
            let spare = std::mem::replace(&mut self.cur, here);
            self.keep.give_back(spare);
            self.mark_ptr_or_null(there, dst, code == op::JEQ);
            return Ok(());
        }
        let matched =
            by_reg && !is_32 && packet::compare(code, (dst, &left), (src, &right), &mut self.cur, there);
        if !matched && self.is_pointer_value(dst) {
            reject!(self, EACCES, "R{dst} pointer comparison prohibited");
        }
        Ok(())
    }

    fn sync_links(&mut self, regno: u8, linked: &LinkedRegs, there: &mut State) {
        let version = self.kernel.version;
        if self.since(6, 11) {
            links::sync(&mut self.cur, regno, linked, version);
            links::sync(there, regno, linked, version);
        } else {
            links::sync_all(&mut self.cur, regno);
            links::sync_all(there, regno);
        }
    }

    /// What both sides, numbers, can be on either way.
    fn refine_both(&mut self, left: &Reg, right: &Reg, code: u8, is_32: bool, same: bool) -> Res<Outcome> {
        let second = usize::from(!same);
        let mut outcome = Outcome { holds: [*left, *right], fails: [*left, *right], second };
        let version = self.kernel.version;
        refine(&mut outcome.fails, 0, second, reverse(code), is_32, version);
        refine(&mut outcome.holds, 0, second, code, is_32, version);
        for side in [&mut outcome.fails, &mut outcome.holds] {
            side[0].bounds_sync(version);
            side[second].bounds_sync(version);
        }
        for (at, place) in ["true_reg1", "true_reg2"].into_iter().enumerate() {
            self.check_bounds(&mut outcome.holds[at.min(second)], place)?;
        }
        for (at, place) in ["false_reg1", "false_reg2"].into_iter().enumerate() {
            self.check_bounds(&mut outcome.fails[at.min(second)], place)?;
        }
        Ok(outcome)
    }

    /// A pointer that equals one that is not NULL is not NULL either. Since Linux 6.2.
    fn learn_not_null(&mut self, dst: (u8, &Reg), src: (u8, &Reg), code: u8, there: &mut State) {
        let pointers = !dst.1.is_scalar() && !src.1.is_scalar();
        let kernel_object = dst.1.base == Base::BtfId || src.1.base == Base::BtfId;
        if !self.since(6, 2) || !pointers || kernel_object || !matches!(code, op::JEQ | op::JNE) {
            return;
        }
        for (known, (regno, unknown)) in [(dst.1, src), (src.1, dst)] {
            if !self.is_not_null(known) || !unknown.may_be_null() {
                continue;
            }
            let mut reg = if code == op::JEQ {
                there.frames[there.curframe()].regs[usize::from(regno)]
            } else {
                *self.reg(regno)
            };
            self.mark_not_null(&mut reg);
            if code == op::JEQ {
                let frame = there.curframe();
                there.frames[frame].regs[usize::from(regno)] = reg;
            } else {
                *self.reg_mut(regno) = reg;
            }
        }
    }
}

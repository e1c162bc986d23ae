//! Pointer arithmetic under speculation: what programs of the unprivileged may not do, and paths that only a misguided
//! processor goes.

use super::super::env::{EACCES, EFAULT, Env, Reject, Res, reject};
use super::super::op;
use super::super::reg::{Base, Reg};
use asm::Insn;

const SANITIZE_SRC: u32 = 1 << 0;
const SANITIZE_DST: u32 = 1 << 1;
const NEGATIVE: u32 = 1 << 2;
const NON_POINTER: u32 = 1 << 3;
const IMMEDIATE: u32 = 1 << 4;

/// Bytes of stack.
const MAX_STACK: u32 = 512;
/// Ends every explanation.
const NOT_ROOT: &str = "pointer arithmetic with it prohibited for !root";

/// How far a pointer may be moved, seen before it is.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Window {
    state: u32,
    limit: u32,
    mask_to_left: bool,
}

/// Why arithmetic cannot be guarded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Why {
    Bounds,
    Type,
    Paths,
    Limit,
    Stack,
}

impl Env<'_> {
    fn needs_no_guard(&self, insn: Insn) -> bool {
        self.bypass_spec_v1
            || insn.opcode & op::X == 0
            || self.aux.get(self.insn_idx).is_some_and(|aux| aux.fenced)
    }

    /// Sums of numbers, where the same instruction elsewhere moves a pointer.
    pub(super) fn sanitize_scalar(&mut self, insn: Insn, dst: u8) -> Res {
        if self.needs_no_guard(insn) {
            return Ok(());
        }
        match self.note_alu_state(NON_POINTER, 0) {
            Ok(()) => Ok(()),
            Err(why) => self.explain(insn, why, false, dst),
        }
    }

    /// One instruction has one guard: paths that need different ones are refused.
    fn note_alu_state(&mut self, state: u32, limit: u32) -> Result<(), Why> {
        let aux = self.aux_mut();
        if aux.alu_state != 0 && (aux.alu_state != state || aux.alu_limit != limit) {
            return Err(Why::Paths);
        }
        (aux.alu_state, aux.alu_limit) = (state, limit);
        Ok(())
    }

    /// Before a pointer is moved: how far it may be; and the path on which it is not moved at all is pushed.
    pub(super) fn sanitize_ptr(
        &mut self,
        insn: Insn,
        ptr: &Reg,
        off: &Reg,
        ptr_is_dst: bool,
        window: &mut Window,
    ) -> Res {
        if self.needs_no_guard(insn) {
            return Ok(());
        }
        let by_constant = off.var_off.is_const();
        if !self.cur.speculative
            && let Err(why) = self.find_window(insn, ptr, off, ptr_is_dst, window)
        {
            return self.explain(insn, why, !ptr_is_dst, insn.dst().number());
        }
        if by_constant {
            return Ok(());
        }
        let at = self.insn_idx;
        let dst = insn.dst().number();
        let mut pushed = *ptr;
        let before = *self.reg(dst);
        (pushed.live, pushed.parent) = (before.live, before.parent);
        let other = self.push_state(at + 1, at, true);
        match other {
            Ok(state) => {
                let frame = state.curframe();
                state.frames[frame].regs[usize::from(dst)] = pushed;
                Ok(())
            }
            Err(_) => self.explain(insn, Why::Stack, !ptr_is_dst, dst),
        }
    }

    fn find_window(
        &mut self,
        insn: Insn,
        ptr: &Reg,
        off: &Reg,
        ptr_is_dst: bool,
        window: &mut Window,
    ) -> Result<(), Why> {
        let by_constant = off.var_off.is_const();
        let negative = off.smin < 0;
        if !by_constant && negative != (off.smax < 0) {
            return Err(Why::Bounds);
        }
        let adds = insn.opcode & 0xf0 == op::ADD;
        window.mask_to_left = adds == negative;
        let limit = self.ptr_limit(ptr, window.mask_to_left)?;
        let state = if negative { NEGATIVE } else { 0 }
            | if by_constant { IMMEDIATE } else { 0 }
            | if ptr_is_dst { SANITIZE_SRC } else { SANITIZE_DST };
        // Different paths may differ in what they mask: states are compared more strictly from now on.
        if !by_constant {
            self.explore_alu_limits = true;
        }
        // The instruction's own guard is noted when the pointer was moved.
        (window.state, window.limit) = (state, limit);
        Ok(())
    }

    /// After the pointer was moved: the guard is as wide as the move.
    pub(super) fn sanitize_ptr_again(&mut self, insn: Insn, new: &Reg, off: &Reg, window: &Window) -> Res {
        let _ = off;
        if self.needs_no_guard(insn) || self.cur.speculative {
            return Ok(());
        }
        let noted = self.ptr_limit(new, window.mask_to_left).and_then(|limit| {
            let moved = (window.limit.wrapping_sub(limit) as i32).wrapping_abs() as u32;
            self.note_alu_state(window.state, moved)
        });
        match noted {
            Ok(()) => Ok(()),
            Err(why) => self.explain(insn, why, false, insn.dst().number()),
        }
    }

    /// How far it is to the end of what the pointer points to.
    fn ptr_limit(&self, ptr: &Reg, mask_to_left: bool) -> Result<u32, Why> {
        let (max, limit) = if ptr.is(Base::Stack) {
            let distance = (ptr.var_off.value).wrapping_add(ptr.off as i64 as u64);
            (MAX_STACK + u32::from(mask_to_left), (distance as u32).wrapping_neg())
        } else if ptr.is(Base::MapValue) {
            let size = self.spec_of(ptr).map_or(0, |spec| spec.value_size);
            let moved = if mask_to_left { ptr.smin as u64 } else { ptr.umax };
            (size, (moved as u32).wrapping_add(ptr.off as u32))
        } else {
            return Err(Why::Type);
        };
        if limit >= max { Err(Why::Limit) } else { Ok(limit) }
    }

    /// `off_is_dst`: the destination held the offset, not the pointer.
    fn explain(&mut self, insn: Insn, why: Why, off_is_dst: bool, dst: u8) -> Res {
        let src = insn.src().number();
        // Newer kernels have moved the pointer into the destination by now, and name registers as if it had been there.
        let swapped = off_is_dst && !(self.since(6, 12));
        let text = if insn.opcode & 0xf0 == op::ADD { "add" } else { "sub" };
        match why {
            Why::Bounds => {
                let regno = if swapped { dst } else { src };
                reject!(self, EACCES, "R{regno} has unknown scalar with mixed signed bounds, {NOT_ROOT}");
            }
            Why::Type => {
                let regno = if swapped { src } else { dst };
                reject!(self, EACCES, "R{regno} has pointer with unsupported alu operation, {NOT_ROOT}");
            }
            Why::Paths => {
                reject!(
                    self,
                    EACCES,
                    "R{dst} tried to {text} from different maps, paths or scalars, {NOT_ROOT}"
                );
            }
            Why::Limit => reject!(self, EACCES, "R{dst} tried to {text} beyond pointer bounds, {NOT_ROOT}"),
            Why::Stack => {
                reject!(self, EACCES, "R{dst} could not be pushed for speculative verification, {NOT_ROOT}");
            }
        }
    }

    /// Moved pointers of the unprivileged stay within what they point to.
    pub(super) fn sanitize_bounds(&mut self, insn: Insn, new: &Reg) -> Res {
        if self.bypass_spec_v1 {
            return Ok(());
        }
        let dst = insn.dst().number();
        if new.is(Base::Stack) {
            let off = new.off.wrapping_add(new.var_off.value as i32);
            if !new.var_off.is_const() {
                reject!(
                    self,
                    EACCES,
                    "R{dst} variable stack access prohibited for !root, var_off={} off={off}",
                    new.var_off
                );
            }
            if !(-(MAX_STACK as i32)..0).contains(&off) {
                reject!(
                    self,
                    EACCES,
                    "R{dst} stack pointer arithmetic goes out of range, prohibited for !root; off={off}"
                );
            }
        } else if new.is(Base::MapValue) && self.check_map_access(dst, new.off, 1, false, true).is_err() {
            reject!(
                self,
                EACCES,
                "R{dst} pointer arithmetic of map value goes out of range, prohibited for !root"
            );
        }
        Ok(())
    }

    /// A path that only a misguided processor goes: the other way of a jump that is decided. What was compared is not
    /// known there.
    pub(super) fn push_speculative(&mut self, insn: Insn, next: usize) -> Res {
        let at = self.insn_idx;
        let precise = !self.bpf_capable;
        let state = self.push_state(next, at, true)?;
        let frame = state.curframe();
        let Some(frame) = state.frames.get_mut(frame) else { return Err(Reject(EFAULT)) };
        let mut forget = |regno: u8| {
            let reg = &mut frame.regs[usize::from(regno)];
            reg.mark_unknown();
            reg.precise = precise;
        };
        forget(insn.dst().number());
        if insn.opcode & op::X != 0 {
            forget(insn.src().number());
        }
        Ok(())
    }
}

//! What can be known of numbers: known bits, and ranges of 64 and 32 bits, signed and unsigned, kept in step.

mod bounds;
mod branch;
mod coerce;
mod division;
mod ops;
#[cfg(test)]
mod tests;
mod tnum;

pub(super) use branch::{branch_on_itself, branch_taken, flip, refine, reverse};
pub(super) use ops::is_computable;
pub use tnum::Tnum;

use super::env::{EFAULT, Env, Reject, Res};
use super::reg::{Base, Extra, Flags, Reg};

impl Reg {
    /// Becomes a number of which nothing is known; base, flags, ids and offset are cleared, liveness and parent stay.
    pub fn mark_unknown(&mut self) {
        let subreg_def = self.subreg_def;
        self.copy_value(&Reg { base: Base::Scalar, subreg_def, ..Reg::NOT_INIT });
    }

    /// The number, or a pointer's variable offset, is this; id, fixed offset and what only some kinds have are cleared.
    /// Base, flags and precision stay.
    pub fn mark_known(&mut self, value: u64) {
        self.off = 0;
        self.extra = Extra::None;
        self.id = 0;
        self.ref_obj_id = 0;
        self.set_value(value);
    }

    /// As [`Reg::mark_known`], with ids, offset and the rest as they are.
    pub fn set_value(&mut self, value: u64) {
        self.var_off = Tnum::constant(value);
        (self.smin, self.smax) = (value as i64, value as i64);
        (self.umin, self.umax) = (value, value);
        self.set_value32_ranges(value as u32);
    }

    fn set_value32_ranges(&mut self, value: u32) {
        (self.s32_min, self.s32_max) = (value as i32, value as i32);
        (self.u32_min, self.u32_max) = (value, value);
    }

    /// The low half is this.
    pub(in crate::verifier) fn set_value32(&mut self, value: u32) {
        self.var_off = self.var_off.with_subreg(Tnum::constant(u64::from(value)));
        self.set_value32_ranges(value);
    }

    /// A number that is known.
    pub fn known(value: u64) -> Reg {
        let mut reg = Reg { base: Base::Scalar, ..Reg::NOT_INIT };
        reg.set_value(value);
        reg
    }

    /// Whether it is a number that is known, as a whole or its low half.
    pub fn is_const(&self, is_32: bool) -> bool {
        self.is_scalar() && if is_32 { self.var_off.is_subreg_const() } else { self.var_off.is_const() }
    }

    /// The known number, where [`Reg::is_const`].
    pub fn const_value(&self, is_32: bool) -> u64 {
        if is_32 { self.var_off.subreg().value } else { self.var_off.value }
    }

    /// The bits that the number takes at most.
    pub fn width(&self) -> u32 {
        64 - self.umax.leading_zeros()
    }

    /// Copies are not the same value any longer.
    pub fn clear_scalar_id(&mut self) {
        self.id = 0;
        self.off = 0;
    }
}

impl Env<'_> {
    /// A number of which nothing is known, precise at once where the loader's privileges are few. Liveness and parent of
    /// `reg` stay.
    pub(super) fn forget(&self, reg: &mut Reg) {
        reg.mark_unknown();
        reg.precise = !self.bpf_capable;
    }

    /// A register of the current frame becomes a number of which nothing is known (precise at once where the loader's
    /// privileges are few).
    pub(super) fn mark_reg_unknown(&mut self, regno: u8) -> Res {
        let precise = !self.bpf_capable;
        let reg = self.reg_mut(regno);
        reg.mark_unknown();
        reg.precise = precise;
        Ok(())
    }

    /// A register of the current frame holds nothing that may be read.
    pub(super) fn mark_reg_not_init(&mut self, regno: u8) {
        let precise = !self.bpf_capable;
        let reg = self.reg_mut(regno);
        reg.mark_unknown();
        reg.base = Base::NotInit;
        reg.flags = Flags::empty();
        reg.precise = precise;
    }

    /// Ids, offset and what only some kinds have are cleared; the variable offset is zero. Base and flags are the
    /// caller's to set.
    pub(super) fn mark_reg_known_zero(&mut self, regno: u8) {
        self.reg_mut(regno).mark_known(0);
    }

    /// All that is known of a number is brought in step.
    pub(super) fn bounds_sync(&self, reg: &mut Reg) {
        reg.bounds_sync(self.kernel.version);
    }

    /// Narrows a number of the current frame to a signed 32-bit range.
    pub(super) fn mark_reg_s32_range(&mut self, regno: u8, min: i32, max: i32) -> Res {
        let mut reg = *self.reg(regno);
        reg.s32_min = reg.s32_min.max(min);
        reg.s32_max = reg.s32_max.min(max);
        reg.smin = reg.smin.max(i64::from(min));
        reg.smax = reg.smax.min(i64::from(max));
        self.bounds_sync(&mut reg);
        let checked = self.check_bounds(&mut reg, "s32_range");
        *self.reg_mut(regno) = reg;
        checked
    }

    /// Ranges that contradict themselves are reported and forgotten (refused where the tests' flag asks for it). Since
    /// Linux 6.8.
    pub(super) fn check_bounds(&mut self, reg: &mut Reg, place: &str) -> Res {
        let Some(what) = reg.bounds_violation() else { return Ok(()) };
        if !self.since(6, 8) {
            return Ok(());
        }
        let bug = if self.since(6, 16) { "verifier bug: " } else { "" };
        self.say(format_args!(
            "{bug}REG INVARIANTS VIOLATION ({place}): {what} u64=[{:#x}, {:#x}] s64=[{:#x}, {:#x}] u32=[{:#x}, {:#x}] \
             s32=[{:#x}, {:#x}] var_off=({:#x}, {:#x})\n",
            reg.umin,
            reg.umax,
            reg.smin,
            reg.smax,
            reg.u32_min,
            reg.u32_max,
            reg.s32_min,
            reg.s32_max,
            reg.var_off.value,
            reg.var_off.mask
        ));
        if self.test_reg_invariants {
            return Err(Reject(EFAULT));
        }
        reg.unbound();
        Ok(())
    }
}

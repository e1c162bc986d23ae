//! Objects that live on the stack: where they are, and slots that hold none any more.

use super::super::env::{EINVAL, Env, Reject, Res, reject};
use super::super::reg::{Base, Flags, Live, Reg};
use super::super::state::{Slot, SlotType};

/// The slots lie beyond what the stack has so far.
pub(super) const ERANGE: i32 = 34;

impl Reg {
    /// Nothing is there any more; liveness and parent stay.
    pub(in crate::verifier) fn set_not_init(&mut self) {
        self.copy_value(&Reg::NOT_INIT);
    }
}

/// A slot whose object is gone: unreadable, and reads of it end here.
pub(super) fn clear_slot(slot: &mut Slot) {
    slot.types = [SlotType::Invalid; 8];
    slot.spilled.set_not_init();
    slot.spilled.live.add(Live::WRITTEN);
}

impl<'a> Env<'a> {
    /// The highest slot of a stack object (`what`) of `count` slots that a register points to; the error is `ERANGE`
    /// where the stack is not that deep yet.
    pub(super) fn stack_object_slot(&mut self, reg: &Reg, what: &str, count: u32) -> Res<usize> {
        if reg.var_off.mask != 0 {
            reject!(self, EINVAL, "{what} has to be at a constant offset");
        }
        let off = reg.off.wrapping_add(reg.var_off.value as i32);
        let slot = (-(i64::from(off)) - 1) / 8;
        if off % 8 != 0 || slot + 1 < i64::from(count) {
            reject!(self, EINVAL, "cannot pass in {what} at an offset={off}");
        }
        let slots = self.cur.frames.get(reg.frameno as usize).map_or(0, |frame| frame.stack.len());
        let slot = slot as usize;
        if slot >= slots {
            return Err(Reject(ERANGE));
        }
        Ok(slot)
    }

    /// Slot by frame and number.
    pub(super) fn slot(&self, frame: usize, slot: usize) -> Option<&Slot> {
        self.cur.frames.get(frame)?.stack.get(slot)
    }

    pub(super) fn slot_mut(&mut self, frame: usize, slot: usize) -> Option<&mut Slot> {
        self.cur.frames.get_mut(frame)?.stack.get_mut(slot)
    }

    /// A register that must not be used any more.
    pub(super) fn invalidate(reg: &mut Reg, allow_ptr_leaks: bool) {
        if allow_ptr_leaks { reg.mark_unknown() } else { reg.set_not_init() }
    }

    /// Slices of a dynptr that is gone.
    pub(in crate::verifier) fn invalidate_dynptr_slices(&mut self, dynptr_id: u32) {
        let allow_ptr_leaks = self.allow_ptr_leaks;
        self.for_each_reg(&mut |reg| {
            let is_slice = reg.base == Base::Mem && (reg.flags - Flags::MAYBE_NULL).is_empty();
            if is_slice
                && matches!(reg.extra, super::super::reg::Extra::Mem { dynptr_id: id, .. } if id == dynptr_id)
            {
                Self::invalidate(reg, allow_ptr_leaks);
            }
        });
    }
}

//! Which registers and slots must be precise, while going back.

use super::LinkedRegs;
use crate::verifier::state::Jump;
use std::fmt;

pub(super) const MOST_FRAMES: usize = 8;

/// Registers and slots of each frame whose precision is asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Backtrack {
    pub(super) frame: usize,
    pub(super) regs: [u16; MOST_FRAMES],
    pub(super) slots: [u64; MOST_FRAMES],
}

impl Backtrack {
    pub(super) fn is_empty(&self) -> bool {
        let frames = ..=self.frame;
        self.regs[frames].iter().all(|&mask| mask == 0) && self.slots[frames].iter().all(|&mask| mask == 0)
    }

    pub fn set_reg_of(&mut self, frame: usize, regno: u8) {
        self.regs[frame] |= 1 << regno;
    }

    pub fn set_slot_of(&mut self, frame: usize, slot: u32) {
        self.slots[frame] |= 1 << (slot & 63);
    }

    pub(super) fn regs(&self) -> u16 {
        self.regs[self.frame]
    }

    pub(super) fn set(&mut self, regno: u8) {
        self.set_reg_of(self.frame, regno);
    }

    pub(super) fn clear(&mut self, regno: u8) {
        self.regs[self.frame] &= !(1 << regno);
    }

    pub(super) fn has(&self, regno: u8) -> bool {
        self.regs() >> regno & 1 != 0
    }

    /// Where one of linked values is asked for, all are.
    pub(super) fn sync_linked(&mut self, jump: Option<&Jump>) {
        let Some(jump) = jump.filter(|jump| jump.linked_regs != 0) else { return };
        let linked = LinkedRegs::unpack(jump.linked_regs);
        let asked = linked.as_slice().iter().any(|one| {
            let (frame, at) = (usize::from(one.frame), one.at);
            if one.is_reg { self.regs[frame] >> at & 1 != 0 } else { self.slots[frame] >> at & 1 != 0 }
        });
        if asked {
            for one in linked.as_slice() {
                let frame = usize::from(one.frame);
                if one.is_reg {
                    self.set_reg_of(frame, one.at);
                } else {
                    self.set_slot_of(frame, u32::from(one.at));
                }
            }
        }
    }
}

/// `r0,r2,r4`
pub(super) struct RegMask(pub u16);

impl fmt::Display for RegMask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut separator = "";
        for regno in bits(u64::from(self.0)) {
            write!(f, "{separator}r{regno}")?;
            separator = ",";
        }
        Ok(())
    }
}

/// `-8,-24`
pub(super) struct SlotMask(pub u64);

impl fmt::Display for SlotMask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut separator = "";
        for slot in bits(self.0) {
            write!(f, "{separator}{}", -8 * (i64::from(slot) + 1))?;
            separator = ",";
        }
        Ok(())
    }
}

/// Numbers of the bits that are set, rising.
pub(super) fn bits(mut mask: u64) -> impl Iterator<Item = u32> {
    std::iter::from_fn(move || {
        let bit = mask.trailing_zeros();
        mask &= mask.wrapping_sub(1);
        (bit < 64).then_some(bit)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verifier::states::Linked;

    #[test]
    fn masks_print_as_lists() {
        assert_eq!(RegMask(0x15).to_string(), "r0,r2,r4");
        assert_eq!(SlotMask(0x15).to_string(), "-8,-24,-40");
        assert_eq!(RegMask(0).to_string() + &SlotMask(0).to_string(), "");
    }

    #[test]
    fn one_linked_value_draws_in_the_others() {
        let mut linked = LinkedRegs::default();
        linked.push(Linked { frame: 0, at: 3, is_reg: true });
        linked.push(Linked { frame: 1, at: 2, is_reg: false });
        let jump = Jump { idx: 0, prev_idx: 0, flags: 0, linked_regs: linked.pack() };
        let mut bt = Backtrack { frame: 1, ..Backtrack::default() };
        bt.set(4);
        bt.sync_linked(Some(&jump));
        assert_eq!((bt.regs[0], bt.slots[1]), (0, 0));
        bt.set_slot_of(1, 2);
        bt.sync_linked(Some(&jump));
        assert_eq!((bt.regs[0], bt.regs[1], bt.slots[1]), (1 << 3, 1 << 4, 1 << 2));
    }
}

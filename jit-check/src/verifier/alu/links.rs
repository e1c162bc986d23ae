//! Numbers of which there are several copies: what a comparison says of one holds for all.

use super::super::env::Env;
use super::super::reg::{ADD_CONST, ADD_CONST32, Reg};
use super::super::state::State;
use super::super::states::{Linked, LinkedRegs};
use crate::kernel::Version;

impl Env<'_> {
    /// Before a move: both get the same id, so that they stay linked.
    pub(in crate::verifier) fn assign_scalar_id(&mut self, regno: u8) {
        let constants_too = !self.since(6, 8);
        let reg = self.reg_mut(regno);
        if !reg.is_scalar() {
            return;
        }
        // Sums of a link and a constant are followed one step only.
        if reg.id & ADD_CONST != 0 {
            reg.clear_scalar_id();
        }
        if reg.id == 0 && (constants_too || !reg.var_off.is_const()) {
            let id = self.new_id();
            self.reg_mut(regno).id = id;
        }
    }

    /// Of each frame of the current state, the registers that are still read.
    pub(super) fn live_by_frame(&mut self) -> [u16; 8] {
        let mut live = [u16::MAX; 8];
        if !self.since(6, 18) {
            return live;
        }
        let mut at = self.insn_idx;
        for frame in (0..self.cur.frames.len().min(live.len())).rev() {
            live[frame] = self.live_before(at);
            at = self.cur.frames[frame].callsite.max(0) as usize;
        }
        live
    }
}

/// Adds to `linked` all registers and spilled registers with this id; where there is no room for more, theirs is taken.
/// `live` says of each frame which registers (a bit each) are still read.
pub(super) fn collect(state: &mut State, id: u32, live: &[u16; 8], linked: &mut LinkedRegs) {
    let id = id & !ADD_CONST;
    let mut note = |reg: &mut Reg, entry: Linked| {
        if reg.is_scalar() && reg.id & !ADD_CONST == id && !linked.push(entry) {
            reg.clear_scalar_id();
        }
    };
    for (frameno, frame) in state.frames.iter_mut().enumerate().rev() {
        let live = live.get(frameno).copied().unwrap_or(u16::MAX);
        let frameno = frameno as u8;
        for (at, reg) in frame.regs[..10].iter_mut().enumerate() {
            if live & (1 << at) == 0 {
                continue;
            }
            note(reg, Linked { frame: frameno, at: at as u8, is_reg: true });
        }
        for (at, slot) in frame.stack.iter_mut().enumerate() {
            if slot.is_spilled_reg() {
                note(&mut slot.spilled, Linked { frame: frameno, at: at as u8, is_reg: false });
            }
        }
    }
}

/// What is known of register `regno` of the innermost frame holds for the others with its id, as far apart as they are.
pub(super) fn sync(state: &mut State, regno: u8, linked: &LinkedRegs, version: Version) {
    let innermost = state.curframe();
    let known = state.frames[innermost].regs[usize::from(regno)];
    for entry in linked.as_slice() {
        let frame = usize::from(entry.frame);
        if entry.is_reg && frame == innermost && entry.at == regno {
            continue;
        }
        let Some(frame) = state.frames.get_mut(frame) else { continue };
        let at = usize::from(entry.at);
        let reg = if entry.is_reg {
            frame.regs.get_mut(at)
        } else {
            frame.stack.get_mut(at).map(|slot| &mut slot.spilled)
        };
        if let Some(reg) = reg {
            sync_one(reg, &known, version);
        }
    }
}

/// As [`sync`] before Linux 6.11, where all copies are found by walking through the whole state.
pub(super) fn sync_all(state: &mut State, regno: u8) {
    let innermost = state.curframe();
    let known = state.frames[innermost].regs[usize::from(regno)];
    state.for_each_reg(&mut |reg| {
        if reg.is_scalar() && reg.id == known.id {
            let subreg_def = reg.subreg_def;
            reg.copy_value(&known);
            reg.subreg_def = subreg_def;
        }
    });
}

fn sync_one(reg: &mut Reg, known: &Reg, version: Version) {
    if !reg.is_scalar() || reg.id & !ADD_CONST != known.id & !ADD_CONST {
        return;
    }
    let before = *reg;
    // Sums of 32 and of 64 bits say nothing of each other.
    if (before.id ^ known.id) & ADD_CONST == ADD_CONST {
        return;
    }
    let linked_sums = before.id & ADD_CONST != 0 || known.id & ADD_CONST != 0;
    reg.copy_value(known);
    reg.subreg_def = before.subreg_def;
    if linked_sums && before.off != known.off {
        (reg.off, reg.id) = (before.off, before.id);
        let delta = i64::from(before.off) - i64::from(known.off);
        reg.add(&Reg::known(delta as u64), version);
        if version >= Version(6, 18) {
            if (before.id | known.id) & ADD_CONST32 != 0 {
                reg.zero_extend_32();
            }
            reg.bounds_sync(version);
        }
    }
}

//! Which registers and slots a state's continuation reads: marks that travel from a reader to the states before it.

use super::equal::live_regs;
use crate::verifier::env::{EFAULT, Env, InsnAux, Reject, Res};
use crate::verifier::reg::{At, DEF_NOT_SUBREG, Live, Place, Reg};
use crate::verifier::state::{SlotType, State, StateId};

impl State {
    /// Register or slot of this state.
    fn at_mut(&mut self, frame: u8, at: At) -> Option<&mut Reg> {
        let frame = self.frames.get_mut(usize::from(frame))?;
        match at {
            At::Reg(regno) => frame.regs.get_mut(usize::from(regno)),
            At::Slot(slot) => Some(&mut frame.stack.get_mut(usize::from(slot))?.spilled),
        }
    }

    /// The marks are final: what was never read is forgotten, so that comparing is easier. `live` tells what registers are
    /// read where that is known without marks.
    fn clean(&mut self, live: Option<&[InsnAux]>) {
        if self.frames[0].regs[0].live.has(Live::DONE) {
            return;
        }
        let forget = |reg: &mut Reg| {
            let (live, parent, subreg_def) = (reg.live, reg.parent, reg.subreg_def);
            *reg = Reg { live, parent, subreg_def, ..Reg::NOT_INIT };
        };
        for at in 0..self.frames.len() {
            let live = live.map(|aux| live_regs(aux, self.insn_of(at)));
            let frame = &mut self.frames[at];
            for (regno, reg) in frame.regs[..10].iter_mut().enumerate() {
                let read = live.map_or(reg.live.has(Live::READ), |live| live >> regno & 1 != 0);
                reg.live.add(Live::DONE);
                if !read {
                    forget(reg);
                }
            }
            for slot in &mut frame.stack {
                let read = slot.live().has(Live::READ);
                slot.spilled.live.add(Live::DONE);
                if !read {
                    forget(&mut slot.spilled);
                    slot.types = [SlotType::Invalid; 8];
                }
            }
        }
    }
}

impl<'a> Env<'a> {
    /// Whether the registers that are read are known from the instructions alone.
    pub(super) fn reads_are_static(&self) -> bool {
        self.since(6, 18)
    }

    /// The slot is read: marks its ancestors (64-bit).
    pub(in crate::verifier) fn mark_slot_read(&mut self, frame: usize, slot: u32) {
        let Some(spilled) = self.cur.frames[frame].stack.get(slot as usize).map(|slot| &slot.spilled) else {
            return;
        };
        let (live, parent) = (spilled.live, spilled.parent);
        if self.mark_read(live, parent, Live::READ64, 0).is_err() {
            self.unmodelled("a slot was read whose marks were final");
        }
    }

    /// A register of any frame is read: marks its ancestors.
    pub(in crate::verifier) fn mark_reg_read_at(&mut self, frame: usize, regno: u8, is_64: bool) -> Res {
        let reg = &self.cur.frames[frame].regs[usize::from(regno)];
        let (live, parent) = (reg.live, reg.parent);
        self.mark_read(live, parent, if is_64 { Live::READ64 } else { Live::READ32 }, 0)
    }

    /// Marks the chain of parents of a place that has these marks itself; `walked` steps of it were made before.
    fn mark_read(&mut self, live: Live, parent: Option<Place>, flag: Live, walked: u32) -> Res {
        let mut live = live;
        let mut next = parent;
        let mut count = walked;
        while let Some(place) = next {
            if live.has(Live::WRITTEN) {
                break;
            }
            let Some(reg) =
                node_mut(&mut self.nodes, place.state).and_then(|state| state.at_mut(place.frame, place.at))
            else {
                break;
            };
            if !add_read(reg, flag)? {
                break;
            }
            live = reg.live;
            next = reg.parent;
            count += 1;
        }
        self.stats.mark_read = self.stats.mark_read.max(count);
        Ok(())
    }

    /// What the continuation of an equal state read is read by the current state's continuation.
    pub(super) fn propagate_liveness(&mut self, old: StateId) -> Res {
        let Some(state) = self.nodes.get(old.0 as usize).and_then(Option::as_deref) else { return Ok(()) };
        let top = state.curframe();
        let frames = state.frames.len().min(self.cur.frames.len());
        for frame in 0..frames {
            let first = if frame < top { 6 } else { 0 };
            for regno in first..10 {
                self.propagate_read(old, frame, At::Reg(regno))?;
            }
            let depth =
                self.nodes[old.0 as usize].as_ref().map_or(0, |state| state.frames[frame].stack.len());
            for slot in 0..depth.min(self.cur.frames[frame].stack.len()) {
                self.propagate_read(old, frame, At::Slot(slot as u16))?;
            }
        }
        Ok(())
    }

    fn propagate_read(&mut self, old: StateId, frame: usize, at: At) -> Res {
        let Some(state) = &self.nodes[old.0 as usize] else { return Ok(()) };
        let (flag, cur) = match at {
            At::Reg(regno) => (
                state.frames[frame].regs[usize::from(regno)].live,
                &mut self.cur.frames[frame].regs[usize::from(regno)],
            ),
            At::Slot(slot) => (
                state.frames[frame].stack[usize::from(slot)].spilled.live,
                &mut self.cur.frames[frame].stack[usize::from(slot)].spilled,
            ),
        };
        let flag = Live(flag.0 & Live::READ.0);
        let mine = Live(cur.live.0 & Live::READ.0);
        if mine == Live::READ64 || flag == Live::NONE || mine == flag {
            return Ok(());
        }
        // A current state has no read marks of its own unless they were put there just now.
        if !add_read(cur, flag)? {
            return Ok(());
        }
        let (live, parent, def) = (cur.live, cur.parent, cur.subreg_def);
        if flag == Live::READ64 && matches!(at, At::Reg(_)) && def != DEF_NOT_SUBREG {
            cur.subreg_def = DEF_NOT_SUBREG;
            self.aux[def as usize - 1].zext_dst = true;
        }
        self.mark_read(live, parent, flag, 1)
    }

    /// States of this bucket at the instruction whose paths all ended, loops around them included: their marks are final.
    pub(super) fn clean_live_states(&mut self, bucket: usize, insn_idx: usize) {
        for at in (0..self.explored[bucket].len()).rev() {
            let id = self.explored[bucket][at].state;
            let Some(state) = &self.nodes[id.0 as usize] else { continue };
            if state.branches != 0 {
                continue;
            }
            if self.loop_entry_of(id).is_some_and(|entry| self.branches_of(entry) != 0) {
                continue;
            }
            let live = self.reads_are_static().then_some(&self.aux[..]);
            let cur = &self.cur;
            let Some(state) = node_mut(&mut self.nodes, id) else { continue };
            if state.insn_idx == insn_idx && state.same_callsites(cur) {
                state.clean(live);
            }
        }
    }
}

/// Adds a read mark; `false` where it was there already.
fn add_read(reg: &mut Reg, flag: Live) -> Res<bool> {
    if reg.live.has(Live::DONE) {
        return Err(Reject(EFAULT));
    }
    if reg.live.has(Live::READ64) || Live(reg.live.0 & Live::READ.0) == flag {
        return Ok(false);
    }
    reg.live.add(flag);
    if flag == Live::READ64 {
        reg.live.0 &= !Live::READ32.0;
    }
    Ok(true)
}

pub(super) fn node_mut(nodes: &mut [Option<Box<State>>], id: StateId) -> Option<&mut State> {
    nodes.get_mut(id.0 as usize)?.as_deref_mut()
}

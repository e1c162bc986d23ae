//! Open-coded iterators: their state on the stack, and the fork at each step.

use super::super::env::{EFAULT, EINVAL, Env, Reject, Res, reject};
use super::super::mem::Access;
use super::super::reg::{Base, BtfIdx, Extra, Flags, IterState, Live};
use super::super::state::SlotType;
use super::IterStep;
use super::slots::{ERANGE, clear_slot};
use btf::TypeId;

const EPROTO: i32 = 71;
const PREFIX: &str = "bpf_iter_";

/// What an iterator argument is asked for.
#[derive(Clone, Copy, Debug)]
pub(in crate::verifier) struct IterArg<'x> {
    pub step: IterStep,
    pub btf: BtfIdx,
    /// The iterator's struct.
    pub id: u32,
    /// Name of the kernel function.
    pub func: &'x str,
    /// Its elements are only there under RCU.
    pub rcu_protected: bool,
}

impl<'a> Env<'a> {
    fn iter_size(&self, btf: BtfIdx, id: u32) -> Option<(&'a str, u32)> {
        let ty = self.btf(btf).type_by_id(TypeId(id))?;
        let name = ty.name().strip_prefix(PREFIX)?;
        Some((name, ty.size()? / 8))
    }

    /// An iterator argument: its frame and slot, and its reference. New ones give none.
    pub(in crate::verifier) fn process_iter(
        &mut self,
        regno: u8,
        insn_idx: usize,
        arg: &IterArg<'_>,
    ) -> Res<Option<(usize, usize, u32)>> {
        let reg = *self.reg(regno);
        if !reg.is(Base::Stack) {
            reject!(
                self,
                EINVAL,
                "{} expected pointer to an iterator on stack",
                self.arg_name(usize::from(regno) - 1, "arg#")
            );
        }
        let Some((name, slots)) = self.iter_size(arg.btf, arg.id) else {
            reject!(
                self,
                EINVAL,
                "expected valid iter pointer as {}",
                self.arg_name(usize::from(regno) - 1, "arg #")
            );
        };
        if arg.step == IterStep::New {
            let fits = match self.stack_object_slot(&reg, "iter", slots) {
                Err(Reject(errno)) => errno == ERANGE,
                Ok(top) => (0..slots as usize).all(|at| {
                    self.slot(reg.frameno as usize, top - at)
                        .is_none_or(|slot| !slot.types.contains(&SlotType::Iter))
                }),
            };
            if !fits {
                reject!(
                    self,
                    EINVAL,
                    "expected uninitialized iter_{name} as {}",
                    self.arg_name(usize::from(regno) - 1, "arg #")
                );
            }
            for at in 0..slots {
                self.check_mem_access(insn_idx, regno, at as i32 * 8, 8, Access::Write, None, false, false)?;
            }
            let top = self.stack_object_slot(&reg, "iter", slots)?;
            let reference = self.acquire_reference(insn_idx);
            let guard = match (arg.rcu_protected, self.in_rcu_cs()) {
                (false, _) => Flags::empty(),
                (true, true) => Flags::RCU,
                (true, false) => Flags::UNTRUSTED,
            };
            for at in 0..slots as usize {
                if let Some(slot) = self.slot_mut(reg.frameno as usize, top - at) {
                    let state = &mut slot.spilled;
                    state.mark_known(0);
                    (state.base, state.flags) = (Base::Stack, guard);
                    state.live.add(Live::WRITTEN);
                    state.ref_obj_id = if at == 0 { reference } else { 0 };
                    state.extra =
                        Extra::Iter { btf: arg.btf, id: arg.id, state: IterState::Active, depth: 0 };
                    slot.types = [SlotType::Iter; 8];
                }
                self.mark_slot_scratched((top - at) as u32);
            }
            return Ok(None);
        }
        let top = match self.is_iter(&reg, arg, slots) {
            Ok(top) => top,
            Err(EPROTO) => reject!(self, EPROTO, "expected an RCU CS when using {}", arg.func),
            Err(_) => reject!(
                self,
                EINVAL,
                "expected an initialized iter_{name} as {}",
                self.arg_name(usize::from(regno) - 1, "arg #")
            ),
        };
        let frame = reg.frameno as usize;
        for at in 0..slots as usize {
            self.mark_slot_read(frame, (top - at) as u32);
            self.mark_slot_scratched((top - at) as u32);
        }
        let reference = self.slot(frame, top).map_or(0, |slot| slot.spilled.ref_obj_id);
        if arg.step == IterStep::Destroy {
            let _ = self.release_reference(reference);
            for at in 0..slots as usize {
                if let Some(slot) = self.slot_mut(frame, top - at) {
                    clear_slot(slot);
                }
                self.mark_slot_scratched((top - at) as u32);
            }
        }
        Ok(Some((frame, top, reference)))
    }

    /// Whether such an iterator is where the register points; its highest slot.
    fn is_iter(&mut self, reg: &super::super::reg::Reg, arg: &IterArg<'_>, slots: u32) -> Result<usize, i32> {
        let top = self.stack_object_slot(reg, "iter", slots).map_err(|_| EINVAL)?;
        for at in 0..slots as usize {
            let Some(slot) = self.slot(reg.frameno as usize, top - at) else { return Err(EINVAL) };
            let state = &slot.spilled;
            if state.flags.contains(Flags::UNTRUSTED) {
                return Err(EPROTO);
            }
            let same = matches!(state.extra, Extra::Iter { btf, id, .. } if (btf, id) == (arg.btf, arg.id));
            if (at == 0) == (state.ref_obj_id == 0) || !same || slot.types != [SlotType::Iter; 8] {
                return Err(EINVAL);
            }
        }
        Ok(top)
    }

    /// An iterator's next: one path gets an element and goes on, this one gets NULL.
    pub(in crate::verifier) fn process_iter_next(
        &mut self,
        insn_idx: usize,
        frame: usize,
        slot: usize,
    ) -> Res {
        let state = self.slot(frame, slot).map(|slot| slot.spilled.extra);
        let Some(Extra::Iter { btf, id, state, depth }) = state else {
            reject!(self, EFAULT, "verifier internal error: unexpected iterator state 0 (<invalid>)");
        };
        if state == IterState::Active {
            let previous = self.find_prev_entry_of_parent(insn_idx);
            let queued = self.push_state(insn_idx + 1, insn_idx, false)?;
            if let Some(slot) = queued.frames.get_mut(frame).and_then(|frame| frame.stack.get_mut(slot)) {
                slot.spilled.extra = Extra::Iter { btf, id, state: IterState::Active, depth: depth + 1 };
            }
            if let Some(top) = queued.frames.last_mut() {
                top.regs[0].flags -= Flags::MAYBE_NULL;
            }
            if let Some(previous) = previous {
                self.widen_pushed(previous);
            }
        }
        if let Some(slot) = self.slot_mut(frame, slot) {
            slot.spilled.extra = Extra::Iter { btf, id, state: IterState::Drained, depth };
        }
        let bpf_capable = self.bpf_capable;
        let r0 = self.reg_mut(0);
        r0.mark_known(0);
        (r0.base, r0.flags) = (Base::Scalar, Flags::empty());
        // Those who may do less have all numbers precise.
        r0.precise = !bpf_capable;
        Ok(())
    }
}

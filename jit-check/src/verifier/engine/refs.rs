//! References that are to be given back, and what else may not be held at certain places.

use super::super::env::{EINVAL, Env, Reject, Res, reject};
use super::super::reg::Reg;
use super::super::state::{Ref, RefKind};
use super::calls::invalidate;

impl<'a> Env<'a> {
    /// A new reference of the current state: its id.
    pub(in crate::verifier) fn acquire_reference(&mut self, insn_idx: usize) -> u32 {
        let id = self.new_id();
        let frame = self.frame();
        let callback_ref = if frame.in_callback { frame.frameno } else { 0 };
        let kind = RefKind::Ptr;
        self.cur.refs.push(Ref { kind, id, insn_idx: insn_idx as u32, callback_ref, owner: 0 });
        id
    }

    /// Gives a reference back; all registers that came from it become invalid.
    pub(in crate::verifier) fn release_reference(&mut self, ref_obj_id: u32) -> Res {
        self.release_reference_state(ref_obj_id)?;
        let (leaks, capable) = (self.allow_ptr_leaks, self.bpf_capable);
        self.for_each_reg(&mut |reg| {
            if reg.ref_obj_id == ref_obj_id {
                invalidate(reg, leaks, capable);
            }
        });
        Ok(())
    }

    /// Gives a reference back and leaves the registers as they are.
    pub(in crate::verifier) fn release_reference_state(&mut self, id: u32) -> Res {
        let held = self.cur.refs.iter().position(|held| held.kind == RefKind::Ptr && held.id == id);
        let Some(at) = held else { return Err(Reject(EINVAL)) };
        let frame = self.frame();
        let foreign = frame.in_callback && self.cur.refs[at].callback_ref != frame.frameno;
        if foreign && !self.since(6, 13) {
            return Err(Reject(EINVAL));
        }
        self.cur.refs.swap_remove(at);
        Ok(())
    }

    /// References that are still held at the end.
    pub(in crate::verifier) fn check_reference_leak(&mut self, exception_exit: bool) -> Res {
        let frame = self.frame();
        let (frameno, in_callback) = (frame.frameno, frame.in_callback);
        let per_callback = !self.since(6, 13);
        if !exception_exit && frameno != 0 && !(in_callback && per_callback) {
            return Ok(());
        }
        let mut leaks = Ok(());
        for at in 0..self.cur.refs.len() {
            let held = self.cur.refs[at];
            let foreign = !exception_exit && in_callback && held.callback_ref != frameno;
            if held.kind != RefKind::Ptr || foreign {
                continue;
            }
            self.say(format_args!("Unreleased reference id={} alloc_insn={}\n", held.id, held.insn_idx));
            leaks = Err(Reject(EINVAL));
        }
        leaks
    }

    /// References, locks, RCU, preemption, interrupts still held where `what` needs none.
    pub(in crate::verifier) fn check_resource_leak(
        &mut self,
        exception_exit: bool,
        check_lock: bool,
        what: &str,
    ) -> Res {
        let lock_first = self.since(6, 13);
        if lock_first && check_lock && self.cur.active_locks != 0 {
            reject!(self, EINVAL, "{what} cannot be used inside bpf_spin_lock-ed region");
        }
        if let Err(refused) = self.check_reference_leak(exception_exit) {
            if what.starts_with("BPF_LD_") && !lock_first {
                self.say(format_args!("{what} cannot be mixed with socket references\n"));
            } else {
                self.say(format_args!("{what} would lead to reference leak\n"));
            }
            return Err(refused);
        }
        if !check_lock {
            return Ok(());
        }
        if self.cur.active_locks != 0 {
            reject!(self, EINVAL, "{what} cannot be used inside bpf_spin_lock-ed region");
        }
        if self.cur.active_irq_id != 0 {
            reject!(self, EINVAL, "{what} cannot be used inside bpf_local_irq_save-ed region");
        }
        if self.cur.active_rcu_lock != 0 {
            reject!(self, EINVAL, "{what} cannot be used inside bpf_rcu_read_lock-ed region");
        }
        if self.cur.active_preempt_locks != 0 {
            reject!(self, EINVAL, "{what} cannot be used inside bpf_preempt_disable-ed region");
        }
        Ok(())
    }

    /// What may not be held when a function ends, or the whole program by an exception.
    pub(super) fn check_exit_resources(&mut self, exception: bool) -> Res {
        let last = exception || self.cur.curframe() == 0;
        if self.since(6, 13) {
            let what = if exception { "bpf_throw" } else { "BPF_EXIT instruction in main prog" };
            return self.check_resource_leak(exception, last, what);
        }
        let last = self.cur.curframe() == 0;
        if last && self.cur.active_locks != 0 {
            reject!(self, EINVAL, "bpf_spin_unlock is missing");
        }
        if last && self.cur.active_rcu_lock != 0 {
            reject!(self, EINVAL, "bpf_rcu_read_unlock is missing");
        }
        let preempt = self.cur.active_preempt_locks;
        if last && preempt != 0 {
            let are = if preempt == 1 { " is" } else { "(s) are" };
            reject!(self, EINVAL, "{preempt} bpf_preempt_enable{are} missing");
        }
        self.check_reference_leak(exception)
    }

    /// Whether RCU protects the current instruction.
    pub(in crate::verifier) fn in_rcu_cs(&self) -> bool {
        self.cur.active_rcu_lock != 0 || self.cur.active_locks != 0 || !self.in_sleepable()
    }

    /// Whether the current instruction may sleep.
    pub(in crate::verifier) fn in_sleepable(&self) -> bool {
        self.program.flags.contains(bpf_sys::prog::ProgFlags::SLEEPABLE) || self.cur.in_sleepable
    }

    /// All registers and spilled registers of the current state (of all frames).
    pub(in crate::verifier) fn for_each_reg(&mut self, f: &mut dyn FnMut(&mut Reg)) {
        for frame in &mut self.cur.frames {
            frame.regs.iter_mut().for_each(&mut *f);
            let spilled = frame.stack.iter_mut().filter(|slot| slot.is_spilled_reg());
            spilled.for_each(|slot| f(&mut slot.spilled));
        }
    }
}

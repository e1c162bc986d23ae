//! The walk itself.

use super::env::{EINVAL, Env, Options, Reject, Res, Verdict};
use super::state::State;
use crate::kernel::Kernel;
use crate::program::Program;

/// What a subprogram's frame is filled with when a helper calls it back.
pub(crate) type SetCallback<'x> = &'x mut dyn FnMut(&mut State, usize, usize) -> Res;

pub(super) fn verify(_program: &Program, _kernel: &Kernel<'_>, options: &Options) -> Verdict {
    Verdict {
        accepted: false,
        errno: 22,
        reason: String::new(),
        insn: None,
        log: String::new(),
        stats: super::env::Statistics::default(),
        unmodelled: vec![format!("{:?}", options.privileges)],
    }
}

impl<'a> Env<'a> {
    /// A function calls a subprogram back: synchronously (a path through it is pushed, another goes on without) or later (asynchronously).
    pub(super) fn push_callback_call(
        &mut self,
        subprog: u32,
        insn_idx: usize,
        is_sync: bool,
        set: SetCallback<'_>,
    ) -> Res {
        let _ = (subprog, insn_idx, is_sync, set);
        self.unmodelled("push_callback_call");
        Err(Reject(EINVAL))
    }

    /// A new reference of the current state: its id.
    pub(super) fn acquire_reference(&mut self, insn_idx: usize) -> u32 {
        let _ = insn_idx;
        0
    }

    /// Gives a reference back; all registers that came from it become invalid.
    pub(super) fn release_reference(&mut self, ref_obj_id: u32) -> Res {
        let _ = ref_obj_id;
        self.unmodelled("release_reference");
        Err(Reject(EINVAL))
    }

    /// References that are still held at the end.
    pub(super) fn check_reference_leak(&mut self, exception_exit: bool) -> Res {
        let _ = exception_exit;
        self.unmodelled("check_reference_leak");
        Err(Reject(EINVAL))
    }

    /// References, locks, RCU, preemption, interrupts still held where `what` needs none.
    pub(super) fn check_resource_leak(&mut self, exception_exit: bool, check_lock: bool, what: &str) -> Res {
        let _ = (exception_exit, check_lock, what);
        self.unmodelled("check_resource_leak");
        Err(Reject(EINVAL))
    }

    /// The value that the program (or a thrown exception) returns lies in the range that its type asks for.
    pub(super) fn check_return_code(&mut self, regno: u8, name: &str) -> Res {
        let _ = (regno, name);
        self.unmodelled("check_return_code");
        Err(Reject(EINVAL))
    }

    /// The subprogram that begins there.
    pub(super) fn find_subprog(&self, insn_idx: usize) -> Option<u32> {
        let _ = insn_idx;
        None
    }

    /// Whether RCU protects the current instruction.
    pub(super) fn in_rcu_cs(&self) -> bool {
        false
    }

    /// Whether the current instruction may sleep.
    pub(super) fn in_sleepable(&self) -> bool {
        false
    }

    /// All registers and spilled registers of the current state (of all frames).
    pub(super) fn for_each_reg(&mut self, f: &mut dyn FnMut(&mut super::reg::Reg)) {
        let _ = f;
    }
}

//! Cached states: pruning, liveness, precision, the paths that wait.

use super::env::{EINVAL, Env, Reject, Res};
use super::state::State;
use asm::Insn;

/// How an instruction uses a register.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Use {
    /// It is read.
    Src,
    /// It is written.
    Dst,
    /// It is written, and keeps what is known of it for now.
    DstNoMark,
}

/// Flags of a `Jump` record: the instruction reads or writes the stack by the frame in bits 0 to 2, the slot in bits 3 to 8.
pub(crate) const JUMP_STACK_ACCESS: u16 = 1 << 9;

impl<'a> Env<'a> {
    /// A register is used by the current instruction: unreadable ones are refused (`R1 !read_ok`), read and write marks are set, 32-bit definitions tracked; `Use::Dst` forgets what was known.
    pub(super) fn check_reg_arg(&mut self, regno: u8, usage: Use) -> Res {
        let _ = (regno, usage);
        self.unmodelled("check_reg_arg");
        Err(Reject(EINVAL))
    }

    /// The register changed: level 2 prints it.
    pub(super) fn mark_reg_scratched(&mut self, regno: u8) {
        let _ = regno;
    }

    /// The slot changed: level 2 prints it.
    pub(super) fn mark_slot_scratched(&mut self, slot: u32) {
        let _ = slot;
    }

    /// A copy of the current state that is to go on at `insn_idx` (too many: `The sequence of N jumps is too complex.`).
    pub(super) fn push_state(
        &mut self,
        insn_idx: usize,
        prev_insn_idx: usize,
        speculative: bool,
    ) -> Res<&mut State> {
        let _ = (insn_idx, prev_insn_idx, speculative);
        self.unmodelled("push_state");
        Err(Reject(EINVAL))
    }

    /// A fresh state for an asynchronous callback.
    pub(super) fn push_async_callback(
        &mut self,
        insn_idx: usize,
        prev_insn_idx: usize,
        subprog: u32,
        is_sleepable: bool,
    ) -> Res<&mut State> {
        let _ = (insn_idx, prev_insn_idx, subprog, is_sleepable);
        self.unmodelled("push_async_callback");
        Err(Reject(EINVAL))
    }

    /// Ends the current path; the next one becomes current: (prev_insn_idx, insn_idx).
    pub(super) fn pop_state(&self, keep_log: bool) -> Option<(usize, usize)> {
        let _ = keep_log;
        None
    }

    /// Whether an equal state was seen here (the path ends then); keeps a new state where that pays.
    pub(super) fn is_state_visited(&mut self, insn_idx: usize) -> Res<bool> {
        let _ = insn_idx;
        self.unmodelled("is_state_visited");
        Err(Reject(EINVAL))
    }

    /// The exact value of the register matters: walks back to where it comes from.
    pub(super) fn mark_chain_precision(&mut self, regno: u8) -> Res {
        let _ = regno;
        self.unmodelled("mark_chain_precision");
        Err(Reject(EINVAL))
    }

    /// All that is marked precise in the current state is traced back (after states were joined).
    pub(super) fn mark_chain_precision_batch(&mut self) -> Res {
        self.unmodelled("mark_chain_precision_batch");
        Err(Reject(EINVAL))
    }

    /// As for a register, for a spilled one.
    pub(super) fn mark_stack_slot_precise(&mut self, frame: usize, slot: u32) -> Res {
        let _ = (frame, slot);
        self.unmodelled("mark_stack_slot_precise");
        Err(Reject(EINVAL))
    }

    /// Notes the current instruction in the history of the current state.
    pub(super) fn push_jump(&mut self, flags: u16, linked_regs: u64) -> Res {
        let _ = (flags, linked_regs);
        self.unmodelled("push_jump");
        Err(Reject(EINVAL))
    }

    /// The slot is read: marks its ancestors (64-bit).
    pub(super) fn mark_slot_read(&mut self, frame: usize, slot: u32) {
        let _ = (frame, slot);
    }

    /// A register of any frame is read: marks its ancestors.
    pub(super) fn mark_reg_read_at(&mut self, frame: usize, regno: u8, is_64: bool) -> Res {
        let _ = (frame, regno, is_64);
        self.unmodelled("mark_reg_read_at");
        Err(Reject(EINVAL))
    }

    /// Whether the instruction uses all 64 bits of the register.
    pub(super) fn is_reg64(&self, insn: Insn, regno: u8, usage: Use) -> bool {
        let _ = (insn, regno, usage);
        false
    }

    /// Prints what is known of a frame (`R0=0 R1=ctx() R10=fp0 fp-8=mmmmmmmm`), all of it or what changed, and a line end.
    pub(super) fn print_state(&mut self, frame: usize, all: bool) {
        let _ = (frame, all);
    }

    /// Level 2: after an instruction, what it changed, on the same line.
    pub(super) fn print_insn_state(&mut self, frame: usize) {
        let _ = frame;
    }
}

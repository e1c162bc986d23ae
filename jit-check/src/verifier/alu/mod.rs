//! Arithmetic on registers, pointers included, and conditional jumps.

use super::env::{EINVAL, Env, Reject, Res};
use super::reg::Reg;
use super::state::Frame;
use asm::Insn;

impl<'a> Env<'a> {
    /// An arithmetic instruction (classes ALU and ALU64).
    pub(super) fn check_alu_op(&mut self, insn: Insn) -> Res {
        let _ = insn;
        self.unmodelled("check_alu_op");
        Err(Reject(EINVAL))
    }

    /// A conditional jump: pushes the other way, sets `insn_idx` to where this way goes on (minus nothing: the next instruction itself).
    pub(super) fn check_cond_jmp(&mut self, insn: Insn, insn_idx: &mut usize) -> Res {
        let _ = (insn, insn_idx);
        self.unmodelled("check_cond_jmp");
        Err(Reject(EINVAL))
    }

    /// Registers that share the id of `known` (a copy of a register of the current state) get its knowledge.
    pub(super) fn sync_linked_regs(&mut self, known: &Reg) {
        let _ = known;
    }

    /// All copies of a pointer that was compared with NULL, in the current state.
    pub(super) fn mark_ptr_or_null_regs(&mut self, regno: u8, is_null: bool) {
        let _ = (regno, is_null);
    }
}

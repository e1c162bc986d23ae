//! Cached states: pruning, liveness, precision, the paths that wait.

mod copy;
mod equal;
mod keep;
mod linked;
mod liveness;
mod loops;
mod masks;
mod precision;
mod prune;

pub(crate) use keep::Keep;
pub(crate) use linked::{Linked, LinkedRegs};

use super::env::{E2BIG, EACCES, EINVAL, Env, Pending, Res, reject};
use super::known::Recording;
use super::reg::{Base, DEF_NOT_SUBREG, Live, Reg};
use super::state::{Frame, Jump, State};
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
/// The compared register (`dst`) points to the stack.
pub(crate) const JUMP_DST_IS_STACK: u16 = 1 << 10;
/// What it is compared with (`src`) points to the stack.
pub(crate) const JUMP_SRC_IS_STACK: u16 = 1 << 11;

/// Most paths that wait (`BPF_COMPLEXITY_LIMIT_JMP_SEQ`).
const MOST_PENDING: usize = 8192;

impl<'a> Env<'a> {
    /// A register is used by the current instruction: unreadable ones are refused (`R1 !read_ok`), read and write marks are set, 32-bit definitions tracked; `Use::Dst` forgets what was known.
    pub(super) fn check_reg_arg(&mut self, regno: u8, usage: Use) -> Res {
        let frame = self.cur.curframe();
        if regno > 10 {
            reject!(self, EINVAL, "R{regno} is invalid");
        }
        self.mark_reg_scratched(regno);
        let insn = self.insns[self.insn_idx];
        let wide = self.is_reg64(insn, regno, usage);
        let at = self.insn_idx;
        let reg = &mut self.cur.frames[frame].regs[usize::from(regno)];
        if usage == Use::Src {
            if reg.base == Base::NotInit {
                reject!(self, EACCES, "R{regno} !read_ok");
            }
            if regno == 10 {
                return Ok(());
            }
            if wide && reg.subreg_def != DEF_NOT_SUBREG {
                let def = reg.subreg_def;
                reg.subreg_def = DEF_NOT_SUBREG;
                self.aux[def as usize - 1].zext_dst = true;
            }
            return self.mark_reg_read_at(frame, regno, wide);
        }
        if regno == 10 {
            reject!(self, EACCES, "frame pointer is read only");
        }
        reg.live.add(Live::WRITTEN);
        let def = if wide { DEF_NOT_SUBREG } else { at as u32 + 1 };
        reg.subreg_def = def;
        if usage == Use::Dst {
            self.mark_reg_unknown(regno)?;
            self.cur.frames[frame].regs[usize::from(regno)].subreg_def = def;
        }
        Ok(())
    }

    /// The register changed: the log prints it.
    pub(super) fn mark_reg_scratched(&mut self, regno: u8) {
        self.scratched_regs |= 1 << regno;
    }

    /// The slot changed: the log prints it.
    pub(super) fn mark_slot_scratched(&mut self, slot: u32) {
        self.scratched_slots |= 1 << (slot & 63);
    }

    /// All changed: a new frame, another path.
    pub(super) fn mark_state_scratched(&mut self) {
        self.scratched_regs = u32::MAX;
        self.scratched_slots = u64::MAX;
    }

    /// Whether something changed since the state was last printed.
    pub(super) fn state_scratched(&self) -> bool {
        self.scratched_regs != 0 || self.scratched_slots != 0
    }

    /// A copy of the current state that is to go on at `insn_idx` (too many: `The sequence of N jumps is too complex.`).
    pub(super) fn push_state(
        &mut self,
        insn_idx: usize,
        prev_insn_idx: usize,
        speculative: bool,
    ) -> Res<&mut State> {
        if self.pending.len() >= MOST_PENDING {
            let count = self.pending.len() + 1;
            reject!(self, E2BIG, "The sequence of {count} jumps is too complex.");
        }
        let mut state = self.keep.copy(&self.cur);
        state.speculative |= speculative;
        if let Some(parent) = state.parent.and_then(|id| liveness::node_mut(&mut self.nodes, id)) {
            parent.branches += 1;
        }
        Ok(self.push_pending(state, insn_idx, prev_insn_idx))
    }

    /// A fresh state for an asynchronous callback.
    pub(super) fn push_async_callback(
        &mut self,
        insn_idx: usize,
        prev_insn_idx: usize,
        subprog: u32,
        is_sleepable: bool,
    ) -> Res<&mut State> {
        if self.pending.len() >= MOST_PENDING {
            let count = self.pending.len() + 1;
            reject!(self, E2BIG, "The sequence of {count} jumps is too complex for async cb.");
        }
        let mut frame = Box::new(Frame { callsite: -1, subprogno: subprog, ..Frame::default() });
        frame.regs[10] = Reg { base: Base::Stack, ..Reg::NOT_INIT };
        frame.regs[10].mark_known(0);
        let state = Box::new(State {
            frames: vec![frame],
            branches: 1,
            in_sleepable: is_sleepable,
            // The way goes on behind the current path's: that one is still needed.
            way_start: self.cur.way_end,
            way_end: self.cur.way_end,
            ..State::default()
        });
        self.mark_state_scratched();
        Ok(self.push_pending(state, insn_idx, prev_insn_idx))
    }

    fn push_pending(&mut self, state: Box<State>, insn_idx: usize, prev_insn_idx: usize) -> &mut State {
        let log_pos = self.log.position();
        let at = self.pending.len();
        let recorded = self.forgotten + self.recorded.len();
        self.pending.push(Pending { state, insn_idx, prev_insn_idx, log_pos, recorded });
        &mut self.pending[at].state
    }

    /// Ends the current path (its states' branches are counted down); the next one becomes current, all of it to be
    /// printed: (prev_insn_idx, insn_idx). Without `keep_log` the log goes back to where that one was pushed.
    pub(super) fn pop_state(&mut self, keep_log: bool) -> Option<(usize, usize)> {
        self.mark_state_scratched();
        self.cur.branches = self.cur.branches.saturating_sub(1);
        if self.cur.branches == 0 {
            if let (Some(parent), Some(entry)) = (self.cur.parent, self.cur.loop_entry) {
                self.join_loop(parent, entry);
            }
            self.path_ended(self.cur.parent);
        }
        let next = self.pending.pop()?;
        let ended = std::mem::replace(&mut self.cur, next.state);
        self.keep.give_back(ended);
        if self.options.record == Recording::Path {
            self.recorded.truncate(next.recorded.saturating_sub(self.forgotten));
        }
        self.recorded_last = next.recorded.checked_sub(self.forgotten + 1);
        if !keep_log {
            self.log.reset(next.log_pos);
        }
        Some((next.prev_insn_idx, next.insn_idx))
    }

    /// All states are gone: before another subprogram is verified.
    pub(super) fn free_states(&mut self) {
        self.pending.clear();
        self.nodes.clear();
        self.free_nodes.clear();
        self.explored.clear();
        self.keep.way.clear();
        self.keep.now = None;
    }

    /// Notes the current instruction in the history of the current state; a second note of the same instruction adds to
    /// the first.
    pub(super) fn push_jump(&mut self, flags: u16, linked_regs: u64) -> Res {
        if let Some((at, count)) = self.keep.now
            && count == self.insn_processed
        {
            if let Some(jump) = self.keep.way.get_mut(at as usize) {
                jump.flags |= flags;
                jump.linked_regs = linked_regs;
            }
            return Ok(());
        }
        let jump =
            Jump { idx: self.insn_idx as u32, prev_idx: self.prev_insn_idx as u32, flags, linked_regs };
        let end = self.cur.way_end;
        // What lies behind belonged to a path that ended.
        match self.keep.way.get_mut(end as usize) {
            Some(entry) => *entry = jump,
            None => self.keep.way.push(jump),
        }
        self.cur.way_end += 1;
        self.keep.now = Some((end, self.insn_processed));
        Ok(())
    }

    /// Whether the instruction uses all 64 bits of the register.
    pub(super) fn is_reg64(&self, insn: Insn, regno: u8, usage: Use) -> bool {
        let _ = regno;
        let (class, op) = (insn.opcode & 7, insn.opcode & 0xf0);
        let src = usage == Use::Src;
        match class {
            JMP if op == EXIT => true,
            JMP if op == CALL => insn.regs >> 4 != PSEUDO_CALL && src,
            ALU64 if op == END && (insn.imm == 16 || insn.imm == 32) => false,
            ALU if op == END && insn.imm == 64 => true,
            ALU64 | JMP => true,
            ALU | JMP32 => false,
            LDX => src || insn.opcode & 0x18 == SIZE_DW || insn.opcode & 0xe0 == MODE_MEMSX,
            STX => {
                let pointer = src && self.frame().regs[usize::from(regno.min(10))].base != Base::Scalar;
                pointer || insn.opcode & 0x18 == SIZE_DW
            }
            LD => src || insn.opcode & 0xe0 == MODE_IMM,
            _ => true,
        }
    }
}

// Parts of opcodes (RFC 9669, section 3).
const LD: u8 = 0;
const LDX: u8 = 1;
const ST: u8 = 2;
const STX: u8 = 3;
const ALU: u8 = 4;
const JMP: u8 = 5;
const JMP32: u8 = 6;
const ALU64: u8 = 7;
const END: u8 = 0xd0;
const NEG: u8 = 0x80;
const MOV: u8 = 0xb0;
const CALL: u8 = 0x80;
const EXIT: u8 = 0x90;
const JCOND: u8 = 0xe0;
const SIZE_DW: u8 = 0x18;
const MODE_IMM: u8 = 0;
const MODE_ABS: u8 = 0x20;
const MODE_IND: u8 = 0x40;
const MODE_MEMSX: u8 = 0x80;
const MODE_ATOMIC: u8 = 0xc0;
const PSEUDO_CALL: u8 = 1;

//! Going back along a path to where a value comes from whose exact value matters.

use super::liveness::node_mut;
use super::masks::{Backtrack, MOST_FRAMES, RegMask, SlotMask, bits};
use super::{
    ALU, ALU64, CALL, END, EXIT, JMP, JMP32, JUMP_DST_IS_STACK, JUMP_SRC_IS_STACK, JUMP_STACK_ACCESS, LD,
    LDX, MODE_ABS, MODE_ATOMIC, MODE_IMM, MODE_IND, MOV, NEG, PSEUDO_CALL, ST, STX,
};
use crate::verifier::env::{EFAULT, Env, Reject, Res, reject};
use crate::verifier::reg::{Base, Live};
use crate::verifier::state::{Jump, SlotType, State, StateId};
use std::fmt::{self, Write};

/// r1 to r5.
const ARGS: u16 = 0x3e;

impl State {
    /// Numbers in registers and spilled ones, with their names for the log.
    fn scalars(&mut self) -> impl Iterator<Item = (usize, Named, &mut crate::verifier::reg::Reg)> {
        self.frames.iter_mut().enumerate().flat_map(|(frame, f)| {
            let regs = f.regs[..10].iter_mut().enumerate().map(move |(at, reg)| (frame, Named::Reg(at), reg));
            let slots = f
                .stack
                .iter_mut()
                .enumerate()
                .filter(|(_, slot)| slot.is_spilled_reg())
                .map(move |(at, slot)| (frame, Named::Slot(at), &mut slot.spilled));
            regs.chain(slots).filter(|(_, _, reg)| reg.is(Base::Scalar))
        })
    }

    /// What was inherited is forgotten: continuations ask anew.
    pub(super) fn forget_precision(&mut self) {
        for (_, _, reg) in self.scalars() {
            reg.precise = false;
        }
    }
}

enum Named {
    Reg(usize),
    Slot(usize),
}

impl fmt::Display for Named {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Named::Reg(at) => write!(f, "r{at}"),
            Named::Slot(at) => write!(f, "fp{}", -8 * (*at as i64 + 1)),
        }
    }
}

/// What one step back found.
enum Step {
    Done,
    /// It cannot be followed: everything becomes precise.
    Lost,
}

impl<'a> Env<'a> {
    /// The exact value of the register matters: walks back to where it comes from.
    pub(in crate::verifier) fn mark_chain_precision(&mut self, regno: u8) -> Res {
        self.backtrack(Some(regno))
    }

    /// The same for a spilled number.
    pub(in crate::verifier) fn mark_slot_precise(&mut self, frame: usize, slot: u32) -> Res {
        self.keep.bt.set_slot_of(frame, slot);
        self.mark_chain_precision_batch()
    }

    /// All that is set in `keep.bt` is traced back (after states were joined).
    pub(in crate::verifier) fn mark_chain_precision_batch(&mut self) -> Res {
        self.backtrack(None)
    }

    /// What was precise and read in an equal state must be so on the current path.
    pub(super) fn propagate_precision(&mut self, old: StateId) -> Res {
        let Some(state) = self.nodes.get(old.0 as usize).and_then(Option::as_deref) else { return Ok(()) };
        let loud = self.level2();
        let unmarked = self.reads_are_static();
        let mut text = std::mem::take(&mut self.keep.text);
        text.clear();
        let bt = &mut self.keep.bt;
        for (number, frame) in state.frames.iter().enumerate().rev() {
            let mut first = true;
            let mut name = |what: Named| {
                if loud {
                    let _ = if first {
                        write!(text, "frame {number}: propagating {what}")
                    } else {
                        write!(text, ",{what}")
                    };
                }
                first = false;
            };
            for (at, reg) in frame.regs[..10].iter().enumerate() {
                if reg.is(Base::Scalar) && reg.precise && (unmarked || reg.live.has(Live::READ)) {
                    name(Named::Reg(at));
                    bt.set_reg_of(number, at as u8);
                }
            }
            for (at, slot) in frame.stack.iter().enumerate() {
                let reg = &slot.spilled;
                if slot.is_spilled_reg() && reg.is(Base::Scalar) && reg.precise && reg.live.has(Live::READ) {
                    name(Named::Slot(at));
                    bt.set_slot_of(number, at as u32);
                }
            }
            // The kernel ends the line at level 1 too.
            if !first {
                text.push('\n');
            }
        }
        if !text.is_empty() {
            self.log.write(format_args!("{text}"));
        }
        self.keep.text = text;
        self.mark_chain_precision_batch()
    }

    fn backtrack(&mut self, regno: Option<u8>) -> Res {
        if !self.bpf_capable {
            return Ok(());
        }
        let mut bt = std::mem::take(&mut self.keep.bt);
        bt.frame = self.cur.curframe();
        if let Some(regno) = regno {
            if !self.cur.frames[bt.frame].regs[usize::from(regno)].is(Base::Scalar) {
                return Err(Reject(EFAULT));
            }
            bt.set(regno);
        }
        if bt.is_empty() {
            return Ok(());
        }
        let mut state: Option<StateId> = None;
        let mut first_idx = self.cur.first_insn_idx as u32 as i32;
        let mut last_idx = self.insn_idx as i32;
        let mut subseq_idx = -1;
        let mut skip_first = true;
        let (mut start, mut end) = (self.cur.way_start, self.cur.way_end);
        loop {
            if self.level2() {
                let frame = bt.frame;
                self.say(format_args!(
                    "mark_precise: frame{frame}: last_idx {last_idx} first_idx {first_idx} subseq_idx {subseq_idx} \n"
                ));
            }
            if last_idx < 0 {
                return self.backtracked_to_entry(state, bt);
            }
            let mut at = last_idx;
            loop {
                let step = if skip_first {
                    skip_first = false;
                    Step::Done
                } else {
                    let jump = self.jump_at(start, end, at);
                    self.backtrack_insn(at as usize, subseq_idx, jump.as_ref(), &mut bt)?
                };
                if matches!(step, Step::Lost) {
                    self.mark_all_precise();
                    return Ok(());
                }
                if bt.is_empty() {
                    return Ok(());
                }
                subseq_idx = at;
                let Some(before) = self.insn_before(first_idx, at, start, &mut end) else { break };
                at = before;
                if at < 0 || at as usize >= self.insns.len() {
                    reject!(self, EFAULT, "BUG backtracking idx {at}");
                }
            }
            let Some(parent) = self.parent_of(state) else { break };
            state = Some(parent);
            self.mark_parent(parent, &mut bt)?;
            if bt.is_empty() {
                return Ok(());
            }
            let Some(node) = self.nodes.get(parent.0 as usize).and_then(Option::as_deref) else { break };
            subseq_idx = first_idx;
            last_idx = node.last_insn_idx as u32 as i32;
            first_idx = node.first_insn_idx as u32 as i32;
            (start, end) = (node.way_start, node.way_end);
        }
        self.mark_all_precise();
        Ok(())
    }

    fn parent_of(&self, state: Option<StateId>) -> Option<StateId> {
        match state {
            None => self.cur.parent,
            Some(id) => self.nodes.get(id.0 as usize)?.as_ref()?.parent,
        }
    }

    /// The way's last entry, where it is of this instruction.
    fn jump_at(&self, start: u32, end: u32, at: i32) -> Option<Jump> {
        if end <= start {
            return None;
        }
        self.keep.way.get(end as usize - 1).filter(|jump| jump.idx as i32 == at).copied()
    }

    /// The instruction before on the way; `None` at the state's beginning.
    fn insn_before(&self, first_idx: i32, at: i32, start: u32, end: &mut u32) -> Option<i32> {
        let count = end.saturating_sub(start);
        if at == first_idx {
            let only = count == 1 && self.jump_at(start, start + 1, at).is_some();
            if count == 0 || only {
                return None;
            }
        }
        match self.jump_at(start, *end, at) {
            Some(jump) => {
                *end -= 1;
                Some(jump.prev_idx as i32)
            }
            None => Some(at - 1),
        }
    }

    /// Before the first instruction there are only a global function's arguments.
    fn backtracked_to_entry(&mut self, state: Option<StateId>, bt: Backtrack) -> Res {
        let entry = match state {
            None => Some(&mut *self.cur),
            Some(id) => node_mut(&mut self.nodes, id),
        };
        let Some(entry) = entry else { return Ok(()) };
        let (regs, slots) = (bt.regs(), bt.slots[bt.frame]);
        let only_frame = entry.frames.len() == 1;
        let frame = &mut entry.frames[0];
        let subprog = frame.subprogno;
        if only_frame && subprog > 0 && frame.callsite == -1 && slots == 0 && regs & !ARGS == 0 {
            for regno in bits(u64::from(regs)) {
                let reg = &mut frame.regs[regno as usize];
                if reg.is(Base::Scalar) {
                    reg.precise = true;
                }
            }
            return Ok(());
        }
        reject!(
            self,
            EFAULT,
            "BUG backtracking func entry subprog {subprog} reg_mask {regs:x} stack_mask {slots:x}"
        );
    }

    /// Marks what is asked for in a cached state; what was marked there before was traced before.
    fn mark_parent(&mut self, parent: StateId, bt: &mut Backtrack) -> Res {
        for frame in (0..=bt.frame).rev() {
            let Some(node) = node_mut(&mut self.nodes, parent) else { return Ok(()) };
            let Some(f) = node.frames.get_mut(frame) else { continue };
            for regno in bits(u64::from(bt.regs[frame])) {
                let reg = &mut f.regs[regno as usize];
                if !reg.is(Base::Scalar) || reg.precise {
                    bt.regs[frame] &= !(1 << regno);
                } else {
                    reg.precise = true;
                }
            }
            let depth = f.stack.len();
            for slot in bits(bt.slots[frame]) {
                let Some(known) = f.stack.get_mut(slot as usize) else {
                    reject!(self, EFAULT, "BUG backtracking (stack slot {slot}, total slots {depth})");
                };
                let is_scalar = known.types[7] == SlotType::Spill && known.spilled.is(Base::Scalar);
                if !is_scalar || known.spilled.precise {
                    bt.slots[frame] &= !(1 << slot);
                } else {
                    known.spilled.precise = true;
                }
            }
            if self.level2() {
                let (regs, slots) = (RegMask(bt.regs[frame]), SlotMask(bt.slots[frame]));
                self.say(format_args!(
                    "mark_precise: frame{frame}: parent state regs={regs} stack={slots}: "
                ));
                self.print_cached_state(parent, frame);
            }
        }
        Ok(())
    }

    /// All numbers in all states on the path.
    fn mark_all_precise(&mut self) {
        let loud = self.level2();
        if loud {
            let frame = self.cur.curframe();
            self.say(format_args!(
                "mark_precise: frame{frame}: falling back to forcing all scalars precise\n"
            ));
        }
        let Env { nodes, log, cur, .. } = self;
        let mut next = cur.parent;
        while let Some(state) = next.and_then(|id| node_mut(nodes, id)) {
            for (frame, name, reg) in state.scalars().filter(|(_, _, reg)| !reg.precise) {
                reg.precise = true;
                if loud {
                    log.write(format_args!("force_precise: frame{frame}: forcing {name} to be precise\n"));
                }
            }
            next = state.parent;
        }
    }

    /// One instruction backwards: what must be precise before it, given what must be precise after it.
    /// `subseq_idx` is the instruction that followed on the way.
    fn backtrack_insn(
        &mut self,
        idx: usize,
        subseq_idx: i32,
        jump: Option<&Jump>,
        bt: &mut Backtrack,
    ) -> Res<Step> {
        let insn = self.insns[idx];
        if insn.opcode == 0 {
            return Ok(Step::Done);
        }
        if self.level2() {
            let (frame, regs, slots) = (bt.frame, RegMask(bt.regs()), SlotMask(bt.slots[bt.frame]));
            let (code, text) = (insn.opcode, self.insn_text(idx, insn));
            self.say(format_args!(
                "mark_precise: frame{frame}: regs={regs} stack={slots} before {idx}: ({code:02x}) {text}\n"
            ));
        }
        bt.sync_linked(jump);
        let (class, op) = (insn.opcode & 7, insn.opcode & 0xf0);
        let (dst, src) = (insn.regs & 0xf, insn.regs >> 4);
        let by_reg = insn.opcode & 8 != 0;
        let atomic_fetch = class == STX && insn.opcode & 0xe0 == MODE_ATOMIC && insn.imm & FETCH != 0;
        let access = jump.filter(|jump| jump.flags & JUMP_STACK_ACCESS != 0);
        match class {
            ALU | ALU64 => {
                if !bt.has(dst) || op == END || op == NEG {
                    return Ok(Step::Done);
                }
                if op == MOV {
                    bt.clear(dst);
                }
                if by_reg && src != 10 {
                    bt.set(src);
                }
            }
            _ if class == LDX || atomic_fetch => {
                let loaded = match (atomic_fetch, insn.imm) {
                    (true, CMPXCHG) => 0,
                    (true, _) => src,
                    (false, _) => dst,
                };
                if !bt.has(loaded) {
                    return Ok(Step::Done);
                }
                bt.clear(loaded);
                let Some(jump) = access else { return Ok(Step::Done) };
                bt.set_slot_of(frame_of(jump), slot_of(jump));
            }
            ST | STX => {
                if bt.has(dst) {
                    // A pointer was made a number by subtraction.
                    return Ok(Step::Lost);
                }
                let Some(jump) = access else { return Ok(Step::Done) };
                let (frame, slot) = (frame_of(jump), slot_of(jump));
                if bt.slots[frame] >> slot & 1 == 0 {
                    return Ok(Step::Done);
                }
                bt.slots[frame] &= !(1 << slot);
                if class == STX {
                    bt.set(src);
                }
            }
            JMP | JMP32 => {
                let is_call = class == JMP && op == CALL;
                if is_call && src == PSEUDO_CALL {
                    return self.backtrack_call(idx, insn.imm, bt);
                }
                if is_call && self.aux[idx].calls_callback && idx as i32 != subseq_idx - 1 {
                    self.no_more_than_args(bt)?;
                    bt.regs[bt.frame] &= !ARGS;
                    return self.leave_frame(bt);
                }
                if op == CALL && class == JMP {
                    if src == PSEUDO_KFUNC_CALL && insn.imm == 0 {
                        return Ok(Step::Lost);
                    }
                    bt.clear(0);
                    if bt.regs() & ARGS != 0 {
                        self.bug_regs(bt)?;
                    }
                } else if op == EXIT && class == JMP {
                    return self.backtrack_exit(subseq_idx, bt);
                } else if by_reg {
                    if !bt.has(dst) && !bt.has(src) {
                        return Ok(Step::Done);
                    }
                    let flags = jump.map_or(0, |jump| jump.flags);
                    if flags & JUMP_SRC_IS_STACK == 0 {
                        bt.set(src);
                    }
                    if flags & JUMP_DST_IS_STACK == 0 {
                        bt.set(dst);
                    }
                }
            }
            LD => match insn.opcode & 0xe0 {
                MODE_IMM => {
                    bt.clear(dst);
                    return Ok(Step::Done);
                }
                MODE_IND | MODE_ABS => {
                    if bt.has(dst) {
                        return Ok(Step::Lost);
                    }
                    // The other way of these is to leave the function.
                    if subseq_idx != idx as i32 + 1 {
                        self.enter_frame(bt)?;
                    }
                    return Ok(Step::Done);
                }
                _ => {}
            },
            _ => {}
        }
        bt.sync_linked(jump);
        Ok(Step::Done)
    }

    /// A subprogram call, backwards: out of a static function to its arguments, or over a global one.
    fn backtrack_call(&mut self, idx: usize, imm: i32, bt: &mut Backtrack) -> Res<Step> {
        let target = idx as i64 + i64::from(imm) + 1;
        let subprog = usize::try_from(target).ok().and_then(|target| self.find_subprog(target));
        let Some(subprog) = subprog else { return Err(Reject(EFAULT)) };
        if self.subprogs[subprog as usize].is_global {
            if bt.regs() & ARGS != 0 {
                self.bug_regs(bt)?;
            }
            bt.clear(0);
            return Ok(Step::Done);
        }
        self.no_more_than_args(bt)?;
        let args = bt.regs() & ARGS;
        bt.regs[bt.frame] &= !ARGS;
        self.leave_frame(bt)?;
        bt.regs[bt.frame] |= args;
        Ok(Step::Done)
    }

    /// The end of a function, backwards: into it.
    fn backtrack_exit(&mut self, subseq_idx: i32, bt: &mut Backtrack) -> Res<Step> {
        let call = usize::try_from(subseq_idx - 1).ok().and_then(|at| self.insns.get(at));
        let from_call = call.is_some_and(|insn| insn.opcode == JMP | CALL && insn.regs >> 4 == PSEUDO_CALL);
        let result = from_call && bt.has(0);
        let after = usize::try_from(subseq_idx).ok().and_then(|at| self.aux.get(at));
        if !self.since(7, 0) && after.is_some_and(|aux| aux.calls_callback) {
            // Whoever calls back sets its arguments: older kernels do not look for where the caller got its own.
            bt.regs[bt.frame] &= !ARGS;
        }
        if (from_call || !self.since(7, 0)) && bt.regs() & ARGS != 0 {
            self.bug_regs(bt)?;
        }
        bt.clear(0);
        self.enter_frame(bt)?;
        if result {
            bt.set(0);
        }
        Ok(Step::Done)
    }

    fn enter_frame(&mut self, bt: &mut Backtrack) -> Res {
        if bt.frame == MOST_FRAMES - 1 {
            reject!(self, EFAULT, "BUG subprog enter from frame {}", bt.frame);
        }
        bt.frame += 1;
        Ok(())
    }

    fn leave_frame(&mut self, bt: &mut Backtrack) -> Res<Step> {
        if bt.frame == 0 {
            reject!(self, EFAULT, "BUG subprog exit from frame 0");
        }
        bt.frame -= 1;
        Ok(Step::Done)
    }

    /// At the beginning of a function nothing but its arguments may be left.
    fn no_more_than_args(&mut self, bt: &Backtrack) -> Res {
        if bt.regs() & !ARGS != 0 {
            self.bug_regs(bt)?;
        }
        let slots = bt.slots[bt.frame];
        if slots != 0 {
            reject!(self, EFAULT, "BUG stack slots {slots:x}");
        }
        Ok(())
    }

    fn bug_regs(&mut self, bt: &Backtrack) -> Res {
        reject!(self, EFAULT, "BUG regs {:x}", bt.regs());
    }
}

/// Immediates of atomic instructions.
const FETCH: i32 = 1;
const CMPXCHG: i32 = 0xf1;
const PSEUDO_KFUNC_CALL: u8 = 2;

fn frame_of(jump: &Jump) -> usize {
    usize::from(jump.flags & 7)
}

fn slot_of(jump: &Jump) -> u32 {
    u32::from(jump.flags >> 3 & 0x3f)
}

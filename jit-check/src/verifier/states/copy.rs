//! Copies of states that allocate only where the copy's own memory is too small.

use crate::verifier::state::{Frame, State};

impl State {
    /// Becomes equal to `other`.
    pub(in crate::verifier) fn copy_from(&mut self, other: &State) {
        // Every field is named, so that none is forgotten.
        let State {
            frames,
            parent,
            branches,
            insn_idx,
            refs,
            active_locks,
            active_lock_id,
            active_lock_owner,
            active_rcu_lock,
            active_preempt_locks,
            active_irq_id,
            speculative,
            in_sleepable,
            used_as_loop_entry,
            first_insn_idx,
            last_insn_idx,
            loop_entry,
            way_start,
            way_end,
            dfs_depth,
            callback_unroll_depth,
            may_goto_depth,
        } = other;
        self.frames.truncate(frames.len());
        for (at, frame) in frames.iter().enumerate() {
            match self.frames.get_mut(at) {
                Some(mine) => mine.copy_from(frame),
                None => self.frames.push(frame.clone()),
            }
        }
        self.refs.clone_from(refs);
        self.parent = *parent;
        self.branches = *branches;
        self.insn_idx = *insn_idx;
        self.active_locks = *active_locks;
        self.active_lock_id = *active_lock_id;
        self.active_lock_owner = *active_lock_owner;
        self.active_rcu_lock = *active_rcu_lock;
        self.active_preempt_locks = *active_preempt_locks;
        self.active_irq_id = *active_irq_id;
        self.speculative = *speculative;
        self.in_sleepable = *in_sleepable;
        self.used_as_loop_entry = *used_as_loop_entry;
        self.first_insn_idx = *first_insn_idx;
        self.last_insn_idx = *last_insn_idx;
        self.loop_entry = *loop_entry;
        self.way_start = *way_start;
        self.way_end = *way_end;
        self.dfs_depth = *dfs_depth;
        self.callback_unroll_depth = *callback_unroll_depth;
        self.may_goto_depth = *may_goto_depth;
    }
}

impl Frame {
    /// Becomes equal to `other`.
    fn copy_from(&mut self, other: &Frame) {
        let Frame {
            regs,
            callsite,
            frameno,
            subprogno,
            async_entry_cnt,
            in_callback,
            in_async_callback,
            in_exception_callback,
            callback_ret_range,
            callback_depth,
            stack,
            held,
        } = other;
        self.regs = *regs;
        self.callsite = *callsite;
        self.frameno = *frameno;
        self.subprogno = *subprogno;
        self.async_entry_cnt = *async_entry_cnt;
        self.in_callback = *in_callback;
        self.in_async_callback = *in_async_callback;
        self.in_exception_callback = *in_exception_callback;
        self.callback_ret_range = *callback_ret_range;
        self.callback_depth = *callback_depth;
        self.stack.clear();
        self.stack.extend_from_slice(stack);
        self.held.clone_from(held);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verifier::reg::Reg;
    use crate::verifier::state::{Ref, RefKind, Slot, StateId};

    #[test]
    fn a_copy_into_used_memory_is_equal() {
        let frame = |callsite, depth| {
            let stack = vec![Slot { spilled: Reg::known(5), ..Slot::default() }; depth];
            Box::new(Frame { callsite, stack, callback_depth: 2, ..Frame::default() })
        };
        let held = Ref { kind: RefKind::Ptr, id: 4, insn_idx: 1, callback_ref: 0, owner: 0 };
        let deep =
            State { frames: vec![frame(-1, 3), frame(7, 64)], refs: vec![held; 3], ..State::default() };
        let flat =
            State { frames: vec![frame(-1, 1)], parent: Some(StateId(3)), branches: 1, ..State::default() };
        let mut copy = deep.clone();
        copy.copy_from(&flat);
        assert_eq!(copy, flat);
        copy.copy_from(&deep);
        assert_eq!(copy, deep);
    }

    /// A million instructions may keep ten thousand states.
    #[test]
    fn registers_are_small() {
        assert!(size_of::<Reg>() <= 136, "{}", size_of::<Reg>());
        assert!(size_of::<Slot>() <= 144, "{}", size_of::<Slot>());
    }
}

//! What the passes after the walk refuse, and what they add to the stack.

use super::super::env::{EINVAL, EOPNOTSUPP, Env, Res, reject};
use super::super::reg::Base;
use super::MAX_STACK;
use super::walk::{Parts, op};
use asm::Helper;

/// What an inlined `bpf_loop` keeps on the stack: three registers.
const LOOP_STACK: u32 = 24;

impl<'a> Env<'a> {
    /// After the walk: the stack, and what rewriting the program would refuse.
    pub(super) fn after_walk(&mut self) -> Res {
        self.drop_fastcall_spills();
        self.check_max_stack_depth()?;
        self.inline_loops();
        self.check_arena_loads()?;
        self.check_tail_call_maps()?;
        self.count_may_goto()?;
        self.check_without_jit()
    }

    /// Calls of `bpf_loop` that are put inline need stack for their counter.
    fn inline_loops(&mut self) {
        for subprog in 0..self.subprogs.len() - 1 {
            let range = self.subprogs[subprog].start..self.subprogs[subprog + 1].start;
            let inlined = range.into_iter().any(|at| {
                let insn = self.insns[at];
                insn.is_helper_call()
                    && insn.imm == Helper::LOOP.0 as i32
                    && self.aux[at].seen
                    && self.aux[at].loop_inline.fit
            });
            if inlined {
                let depth = &mut self.subprogs[subprog].stack_depth;
                *depth = depth.next_multiple_of(8) + LOOP_STACK;
            }
        }
    }

    fn check_arena_loads(&mut self) -> Res {
        for at in 0..self.insns.len() {
            let insn = self.insns[at];
            let extends = insn.class() == op::LDX && insn.mode() == op::MEMSX;
            let arena = self.aux[at].ptr_type.is_some_and(|reg| reg.base == Base::Arena);
            if extends && arena && self.aux[at].seen && !self.since(6, 18) {
                self.fault = Some(at);
                reject!(self, EOPNOTSUPP, "sign extending loads from arena are not supported yet");
            }
        }
        Ok(())
    }

    /// `may_goto` counts on the stack.
    fn count_may_goto(&mut self) -> Res {
        // With a clock beside the counter it takes two slots.
        let extra = if self.since(6, 15) && self.kernel.jit { 16 } else { 8 };
        for subprog in 0..self.subprogs.len() - 1 {
            let range = self.subprogs[subprog].start..self.subprogs[subprog + 1].start;
            if !range.into_iter().any(|at| self.insns[at].is_may_goto() && self.aux[at].seen) {
                continue;
            }
            let sub = &mut self.subprogs[subprog];
            sub.stack_depth += extra;
            sub.stack_extra = extra;
            let depth = sub.stack_depth;
            if depth > MAX_STACK && !self.kernel.jit {
                reject!(self, EINVAL, "stack size {depth}(extra {extra}) is too large");
            }
        }
        Ok(())
    }

    /// What only compiled programs may do.
    fn check_without_jit(&mut self) -> Res {
        if self.kernel.jit {
            return Ok(());
        }
        if self.insns.iter().any(|insn| insn.is_kfunc_call()) {
            reject!(self, EINVAL, "calling kernel functions are not allowed in non-JITed programs");
        }
        if self.insns.iter().any(|insn| insn.is_func_addr()) {
            reject!(self, EINVAL, "callbacks are not allowed in non-JITed programs");
        }
        Ok(())
    }

    /// Bytes of stack of each function, as the last line but one of the log has them: functions that are never reached are
    /// taken out of programs that are accepted, and one may be added that catches exceptions.
    pub(super) fn stack_depths(&self, accepted: bool) -> Vec<u32> {
        let real = &self.subprogs[..self.subprogs.len().saturating_sub(1)];
        let removes = accepted && self.bpf_capable;
        let kept = real.iter().filter(|sub| !removes || self.aux.get(sub.start).is_none_or(|aux| aux.seen));
        let mut depths: Vec<_> = kept.map(|sub| sub.stack_depth).collect();
        if accepted && self.seen_exception && self.exception_callback.is_none() {
            depths.push(0);
        }
        depths
    }
}

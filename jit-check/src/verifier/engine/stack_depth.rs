//! How deep the stack gets over calls.

use super::super::env::{E2BIG, EACCES, EFAULT, EINVAL, Env, Reject, Res, reject};
use super::walk::{Parts, target};
use super::{MAX_CALL_FRAMES, MAX_STACK};
use bpf_sys::prog::{AttachType, ProgType};

/// Stacks smaller than this stay on the kernel's.
const PRIVATE_STACK_MIN: u32 = 64;
const UNKNOWN: u8 = 0;
const SHARED: u8 = 1;
const OWN: u8 = 2;

impl<'a> Env<'a> {
    /// Walks over all calls from the program and from each asynchronous callback.
    pub(super) fn check_max_stack_depth(&mut self) -> Res {
        let count = self.subprogs.len() - 1;
        let tail_calls = self.subprogs[..count].iter().any(|sub| sub.has_tail_call);
        let own_stack = !tail_calls && self.since(6, 12) && self.may_have_private_stack();
        for at in (0..count).rev() {
            if at == 0 || self.subprogs[at].is_async_cb {
                self.check_depth_from(at, at == 0 && own_stack)?;
            }
        }
        Ok(())
    }

    /// Programs that may get a stack of their own for each call, when the processor's compiler can.
    fn may_have_private_stack(&self) -> bool {
        use AttachType as At;
        let attach = self.program.expected_attach_type;
        self.kernel.jit
            && match self.prog_type() {
                ProgType::Kprobe | ProgType::Tracepoint | ProgType::PerfEvent | ProgType::RawTracepoint => {
                    true
                }
                ProgType::Tracing => attach != Some(At::TraceIter),
                ProgType::Lsm => attach != Some(At::LsmCgroup),
                _ => false,
            }
    }

    fn rounded(&self, depth: u32) -> u32 {
        match self.kernel.jit && self.since(6, 8) {
            true => depth.next_multiple_of(16),
            false => depth.max(1).next_multiple_of(32),
        }
    }

    fn check_depth_from(&mut self, start: usize, own_stack: bool) -> Res {
        let mut idx = start;
        let mut depth = 0_u32;
        // Where to go on in which function.
        let mut calls: Vec<(usize, usize)> = Vec::with_capacity(MAX_CALL_FRAMES);
        let mut tail_call_reachable = false;
        let mut at = self.subprogs[idx].start;
        loop {
            self.enter_depth(idx, &mut depth, &calls, own_stack)?;
            let callee = loop {
                if let Some((call, callee)) = self.next_call(at, idx, &calls)? {
                    calls.push((call + 1, idx));
                    break callee;
                }
                if tail_call_reachable {
                    for (_, caller) in &calls {
                        if self.subprogs[*caller].is_exception_cb {
                            reject!(self, EINVAL, "cannot tail call within exception cb");
                        }
                        self.subprogs[*caller].tail_call_reachable = true;
                    }
                }
                let Some((back, caller)) = calls.pop() else { return Ok(()) };
                if self.subprogs[idx].priv_stack_mode != OWN {
                    depth -= self.rounded(self.subprogs[idx].stack_depth);
                }
                (at, idx) = (back, caller);
            };
            idx = callee;
            at = self.subprogs[idx].start;
            tail_call_reachable |= self.subprogs[idx].has_tail_call;
            let frames = self.frames_in_a_row(&calls, idx);
            if frames >= MAX_CALL_FRAMES {
                reject!(self, E2BIG, "the call stack of {frames} frames is too deep !");
            }
        }
    }

    /// How many calls lead here; since Linux 7.1 those before the last global function, which is verified on its own, do
    /// not count.
    fn frames_in_a_row(&self, calls: &[(usize, usize)], idx: usize) -> usize {
        if !self.since(7, 1) {
            return calls.len();
        }
        let chain = calls.iter().skip(1).map(|(_, sub)| *sub).chain([idx]);
        chain.fold(0, |frames, sub| if self.subprogs[sub].is_global { 0 } else { frames + 1 })
    }

    /// The function is entered, its stack comes on top.
    fn enter_depth(&mut self, idx: usize, depth: &mut u32, calls: &[(usize, usize)], own_stack: bool) -> Res {
        let in_callback = calls.iter().any(|(_, sub)| self.subprogs[*sub].is_cb);
        if !own_stack {
            self.subprogs[idx].priv_stack_mode = SHARED;
        }
        let sub = &self.subprogs[idx];
        self.fault = Some(sub.start);
        let (has_ld_abs, is_cb, has_tail_call) = (sub.has_ld_abs, sub.is_cb, sub.has_tail_call);
        if has_ld_abs && (is_cb || in_callback) {
            reject!(self, EINVAL, "cannot use BPF_LD_[ABS|IND] within callback");
        }
        if idx != 0 && has_tail_call && *depth >= 256 {
            reject!(
                self,
                EACCES,
                "tail_calls are not allowed when call stack of previous frames is {depth} bytes. Too large"
            );
        }
        let own_depth = self.rounded(self.subprogs[idx].stack_depth);
        let mode = &mut self.subprogs[idx].priv_stack_mode;
        if own_stack && *mode == UNKNOWN && own_depth >= PRIVATE_STACK_MIN {
            *mode = OWN;
        }
        if *mode == OWN {
            if own_depth > MAX_STACK {
                reject!(self, EACCES, "stack size of subprog {idx} is {own_depth}. Too large");
            }
            return Ok(());
        }
        *depth += own_depth;
        if *depth > MAX_STACK {
            let frames = calls.len() + 1;
            reject!(self, EACCES, "combined stack size of {frames} calls is {depth}. Too large");
        }
        Ok(())
    }

    /// The next call in the function from an instruction on, and the function it calls.
    fn next_call(
        &mut self,
        from: usize,
        idx: usize,
        calls: &[(usize, usize)],
    ) -> Res<Option<(usize, usize)>> {
        for at in from..self.subprogs[idx + 1].start {
            let insn = self.insns[at];
            if insn.is_kfunc_call() && insn.off == 0 {
                let in_callback =
                    self.subprogs[idx].is_cb || calls.iter().any(|(_, sub)| self.subprogs[*sub].is_cb);
                if in_callback && self.is_kfunc(insn, "bpf_throw") {
                    self.fault = Some(at);
                    reject!(
                        self,
                        EINVAL,
                        "bpf_throw kfunc (insn {at}) cannot be called from callback subprog {idx}"
                    );
                }
                continue;
            }
            if !insn.is_local_call() && !insn.is_func_addr() {
                continue;
            }
            let to = target(at, i64::from(insn.imm));
            let Some(callee) = usize::try_from(to).ok().and_then(|to| self.find_subprog(to)) else {
                return Err(Reject(EFAULT));
            };
            let callee = callee as usize;
            let sub = &self.subprogs[callee];
            if sub.is_async_cb {
                let is_exception_cb = sub.is_exception_cb;
                if sub.has_tail_call {
                    reject!(self, EFAULT, "verifier bug. subprog has tail_call and async cb");
                }
                if !insn.is_local_call() {
                    continue;
                }
                if is_exception_cb {
                    self.fault = Some(at);
                    reject!(self, EINVAL, "insn {at} cannot call exception cb directly");
                }
            }
            return Ok(Some((at, callee)));
        }
        Ok(None)
    }
}

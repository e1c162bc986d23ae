//! Calls of subprograms, direct and by functions that call them back, and returns.

use super::super::env::{ArgKind, E2BIG, EACCES, EFAULT, EINVAL, Env, Reject, Res, reject};
use super::super::reg::{Base, DEF_NOT_SUBREG, Flags, Live, Reg};
use super::super::scalar::Tnum;
use super::super::state::State;
use super::walk::{op, target};
use super::{MAX_CALL_FRAMES, SetCallback, fresh_frame};
use asm::Insn;

impl<'a> Env<'a> {
    /// A call of a subprogram: a static one is walked, a global one is taken at its types. `insn_idx` becomes the
    /// instruction before the one to go on with.
    pub(super) fn check_func_call(&mut self, insn: Insn) -> Res {
        let start = target(self.insn_idx, i64::from(insn.imm));
        let subprog = usize::try_from(start).ok().and_then(|start| self.find_subprog(start));
        let Some(subprog) = subprog else {
            reject!(self, EFAULT, "verifier bug. No program starts at insn {start}");
        };
        let args = self.check_subprog_args(subprog);
        if args == Err(Reject(EFAULT)) {
            return args;
        }
        if self.subprogs[subprog as usize].is_global {
            return self.call_global(subprog, args);
        }
        self.new_frame_allowed()?;
        let caller = self.cur.curframe();
        let mut frame = fresh_frame(self.insn_idx as i32, caller as u32 + 1, subprog);
        // Parents come along: a read of an argument is a read of the caller's register.
        frame.regs[1..=5].copy_from_slice(&self.cur.frames[caller].regs[1..=5]);
        if !self.since(6, 14) {
            self.cur.note_held(caller);
        }
        self.cur.frames.push(Box::new(frame));
        self.mark_state_scratched();
        self.clear_caller_saved(caller);
        let start = self.subprogs[subprog as usize].start;
        if self.logs() {
            self.say(format_args!("caller:\n"));
            self.print_state(caller, true);
            self.say(format_args!("callee:\n"));
            self.print_state(caller + 1, true);
        }
        self.insn_idx = start.wrapping_sub(1);
        Ok(())
    }

    fn new_frame_allowed(&mut self) -> Res {
        let frames = self.cur.frames.len();
        if frames >= MAX_CALL_FRAMES {
            reject!(self, E2BIG, "the call stack of {} frames is too deep", frames + 1);
        }
        Ok(())
    }

    fn call_global(&mut self, subprog: u32, args: Res) -> Res {
        let name = self.subprogs[subprog as usize].name.clone();
        if self.cur.active_locks != 0 {
            reject!(
                self,
                EINVAL,
                "global function calls are not allowed while holding a lock,\nuse static function instead"
            );
        }
        let by_sleep = self.since(6, 15);
        if by_sleep && self.subprogs[subprog as usize].might_sleep && self.in_atomic() {
            if !self.since(7, 0) {
                reject!(
                    self,
                    EINVAL,
                    "global functions that may sleep are not allowed in non-sleepable context,\n\
                     i.e., in a RCU/IRQ/preempt-disabled section, or in\na non-sleepable BPF program context"
                );
            }
            let place = self.non_sleepable_context();
            reject!(self, EINVAL, "sleepable global function {name}() called in {place}");
        }
        if !by_sleep && self.cur.active_preempt_locks != 0 {
            reject!(
                self,
                EINVAL,
                "global function calls are not allowed with preemption disabled,\nuse static function instead"
            );
        }
        if let Err(refused) = args {
            self.say(format_args!("Caller passes invalid args into func#{subprog} ('{name}')\n"));
            return Err(refused);
        }
        self.say(format_args!("Func#{subprog} ('{name}') is global and assumed valid.\n"));
        if self.subprogs[subprog as usize].changes_pkt_data {
            self.forget_packet();
        }
        self.subprogs[subprog as usize].called = true;
        let frame = self.cur.curframe();
        self.clear_caller_saved(frame);
        if self.subprogs[subprog as usize].returns_void {
            return Ok(());
        }
        self.mark_reg_unknown(0)?;
        self.reg_mut(0).subreg_def = DEF_NOT_SUBREG;
        Ok(())
    }

    /// Whether the program may not sleep here.
    fn in_atomic(&self) -> bool {
        self.cur.active_rcu_lock != 0
            || self.cur.active_preempt_locks != 0
            || self.cur.active_irq_id != 0
            || self.cur.active_locks != 0
            || !self.in_sleepable()
    }

    /// Why not, in words.
    fn non_sleepable_context(&self) -> &'static str {
        match &self.cur {
            cur if cur.active_rcu_lock != 0 => "RCU critical section",
            cur if cur.active_preempt_locks != 0 => "non-preemptible region",
            cur if cur.active_irq_id != 0 => "IRQ-disabled region",
            cur if cur.active_locks != 0 => "lock region",
            _ => "non-sleepable prog",
        }
    }

    /// After a call r0 to r5 hold nothing.
    pub(in crate::verifier) fn clear_caller_saved(&mut self, frame: usize) {
        let (precise, def) = (!self.bpf_capable, self.insn_idx as u32 + 1);
        for regno in 0..=5 {
            self.mark_reg_scratched(regno);
            let reg = &mut self.cur.frames[frame].regs[usize::from(regno)];
            reg.copy_value(&Reg::NOT_INIT);
            reg.precise = precise;
            reg.live.add(Live::WRITTEN);
            reg.subreg_def = def;
        }
    }

    /// Pointers into the packet, and slices of dynptrs of packets, are gone.
    fn forget_packet(&mut self) {
        let (leaks, capable) = (self.allow_ptr_leaks, self.bpf_capable);
        let slices = Flags::DYNPTR_SKB | Flags::DYNPTR_XDP | Flags::DYNPTR_SKB_META;
        self.for_each_reg(&mut |reg| {
            let slice = reg.base == Base::Mem && reg.flags.intersects(slices);
            if slice || matches!(reg.base, Base::Packet | Base::PacketMeta | Base::PacketEnd) {
                invalidate(reg, leaks, capable);
            }
        });
    }

    /// The caller's registers against the types of a function's parameters.
    fn check_subprog_args(&mut self, subprog: u32) -> Res {
        if !self.has_func_info() || self.subprogs[subprog as usize].unreliable {
            return Err(Reject(EINVAL));
        }
        let matched = self.match_args(subprog);
        if matched.is_err() {
            self.subprogs[subprog as usize].unreliable = true;
        }
        matched
    }

    fn match_args(&mut self, subprog: u32) -> Res {
        self.prepare_func_args(subprog)?;
        for at in 0..self.subprogs[subprog as usize].args.len() {
            let arg = self.subprogs[subprog as usize].args[at];
            let regno = at as u8 + 1;
            let reg = *self.reg(regno);
            match arg.kind {
                ArgKind::Anything => {
                    if reg.base != Base::Scalar {
                        reject!(self, EINVAL, "R{regno} is not a scalar");
                    }
                }
                ArgKind::UntrustedBtf | ArgKind::UntrustedMem => (),
                ArgKind::Ctx => {
                    self.check_func_arg_reg_off(regno, &reg, false, false)?;
                    if !reg.is(Base::Ctx) {
                        reject!(self, EINVAL, "arg#{at} expects pointer to ctx");
                    }
                }
                ArgKind::Mem => {
                    self.check_func_arg_reg_off(regno, &reg, false, false)?;
                    if self.check_mem_reg(regno, arg.mem_size).is_err() {
                        return Err(Reject(EINVAL));
                    }
                    if !arg.may_be_null && reg.may_be_null() {
                        reject!(self, EINVAL, "arg#{at} is expected to be non-NULL");
                    }
                }
                ArgKind::Arena => {
                    if !reg.is(Base::Arena) && !reg.is(Base::Scalar) {
                        reject!(self, EINVAL, "R{regno} is not a pointer to arena or scalar.");
                    }
                }
                ArgKind::Dynptr => {
                    self.check_func_arg_reg_off(regno, &reg, false, true)?;
                    self.process_dynptr(regno, usize::MAX, Flags::RDONLY, 0)?;
                }
                ArgKind::Btf => {
                    let null = reg.is(Base::Scalar) && reg.var_off == (Tnum { value: 0, mask: 0 });
                    if null && arg.may_be_null {
                        continue;
                    }
                    self.check_global_btf_arg(regno, &arg)?;
                    self.check_func_arg_reg_off(regno, &reg, false, false)?;
                }
            }
        }
        Ok(())
    }

    /// A function calls a subprogram back: synchronously (a path through it is pushed, another goes on without) or later
    /// (asynchronously).
    pub(in crate::verifier) fn push_callback_call(
        &mut self,
        subprog: u32,
        insn_idx: usize,
        is_sync: bool,
        set: SetCallback<'_>,
    ) -> Res {
        let insn = self.insns[insn_idx];
        let args = self.check_subprog_args(subprog);
        if args == Err(Reject(EFAULT)) {
            return args;
        }
        self.subprogs[subprog as usize].is_cb = true;
        let start = self.subprogs[subprog as usize].start;
        let caller = self.cur.curframe();
        if !is_sync {
            self.subprogs[subprog as usize].is_async_cb = true;
            let sleepable = insn.opcode == op::CALL_INSN
                && (self.is_kfunc(insn, "bpf_wq_set_callback_impl")
                    || self.is_kfunc(insn, "bpf_wq_set_callback"));
            let calling = self.cur.frames[caller].clone();
            let depth = calling.async_entry_cnt + 1;
            let state = self.push_async_callback(start, insn_idx, subprog, sleepable)?;
            // Who fills the frame sees the caller's beside it, though the new path has no caller.
            let callee = std::mem::take(&mut state.frames[0]);
            let mut both = State { frames: vec![calling, callee], ..State::default() };
            both.frames[1].async_entry_cnt = depth;
            let filled = set(&mut both, 0, 1);
            if let Some(callee) = both.frames.pop() {
                state.frames[0] = callee;
            }
            return filled;
        }
        if self.cur.frames.len() >= MAX_CALL_FRAMES {
            self.push_state(start, insn_idx, false)?;
            return self.new_frame_allowed();
        }
        let lists = !self.since(6, 14);
        let state = self.push_state(start, insn_idx, false)?;
        if lists {
            state.note_held(caller);
        }
        state.frames.push(Box::new(fresh_frame(insn_idx as i32, caller as u32 + 1, subprog)));
        set(state, caller, caller + 1)?;
        state.callback_unroll_depth += 1;
        state.frames[caller].callback_depth += 1;
        self.mark_state_scratched();
        self.cur.frames[caller].callback_depth = 0;
        Ok(())
    }

    /// The end of a subprogram that was called.
    pub(in crate::verifier) fn prepare_func_exit(&mut self) -> Res {
        let at = self.cur.curframe();
        let r0 = *self.reg(0);
        if r0.is(Base::Stack) {
            reject!(self, EINVAL, "cannot return stack pointer to the caller");
        }
        let callee = self.frame();
        let (callsite, in_callback, range) =
            (callee.callsite as usize, callee.in_callback, callee.callback_ret_range);
        if in_callback {
            if !r0.is(Base::Scalar) {
                reject!(self, EACCES, "R0 not a scalar value");
            }
            self.mark_reg_read_at(at, 0, true)?;
            self.mark_chain_precision(0)?;
            let r0 = *self.reg(0);
            if i64::from(range.min) > r0.smin || r0.smax > i64::from(range.max) {
                self.say_invalid_scalar(&r0, range, "At callback return", "R0");
                return Err(Reject(EINVAL));
            }
            if !self.aux[callsite].calls_callback {
                let now = self.insn_idx;
                reject!(self, EFAULT, "BUG: in callback at {now}, callsite {callsite} !calls_callback");
            }
        } else {
            self.cur.frames[at - 1].regs[0] = r0;
        }
        self.insn_idx = if in_callback { callsite } else { callsite + 1 };
        if self.logs() {
            let to = self.insn_idx;
            self.say(format_args!("returning from callee:\n"));
            self.print_state(at, true);
            self.say(format_args!("to caller at {to}:\n"));
        }
        if !self.since(6, 14) {
            if in_callback {
                // The caller's list was not touched.
                self.cur.refs = std::mem::take(&mut self.cur.frames[at - 1].held);
            } else {
                self.cur.frames[at - 1].held.clear();
            }
        }
        self.cur.frames.pop();
        if self.logs() {
            self.print_state(at - 1, true);
        }
        if in_callback && let Some(before) = self.find_prev_entry(callsite) {
            self.widen_current(before);
        }
        Ok(())
    }
}

/// The register holds nothing any more: nothing at all, or some number for those who may see addresses.
pub(in crate::verifier) fn invalidate(reg: &mut Reg, leaks: bool, capable: bool) {
    if leaks {
        reg.mark_unknown();
    } else {
        reg.copy_value(&Reg::NOT_INIT);
    }
    reg.precise = !capable;
}

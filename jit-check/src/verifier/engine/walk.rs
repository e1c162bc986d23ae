//! From instruction to instruction.

use super::super::env::{ArgKind, E2BIG, EACCES, EFAULT, EINVAL, EPERM, Env, Reject, Res, reject};
use super::super::known::Recording;
use super::super::reg::{Base, DynptrKind, Extra, Flags};
use super::super::state::State;
use super::{fresh_frame, pointer};
use asm::{Helper, Insn};
use bpf_sys::prog::ProgType;

/// Whether the walk of the current path goes on.
enum Step {
    /// With the next instruction.
    Next,
    /// `insn_idx` says where.
    There,
    /// The path ends.
    Ends,
}

pub(super) mod op {
    //! Parts of opcodes.
    pub const LD: u8 = 0;
    pub const LDX: u8 = 1;
    pub const ST: u8 = 2;
    pub const STX: u8 = 3;
    pub const ALU: u8 = 4;
    pub const JMP: u8 = 5;
    pub const JMP32: u8 = 6;
    pub const ALU64: u8 = 7;
    pub const IMM: u8 = 0x00;
    pub const ABS: u8 = 0x20;
    pub const IND: u8 = 0x40;
    pub const MEM: u8 = 0x60;
    pub const MEMSX: u8 = 0x80;
    pub const ATOMIC: u8 = 0xc0;
    pub const JA: u8 = 0x00;
    pub const CALL: u8 = 0x80;
    pub const EXIT: u8 = 0x90;
    pub const LD_IMM64: u8 = 0x18;
    pub const CALL_INSN: u8 = 0x85;
    pub const EXIT_INSN: u8 = 0x95;
    pub const JA_INSN: u8 = 0x05;
    pub const JA32_INSN: u8 = 0x06;
    pub const JCOND_INSN: u8 = 0xe5;
    pub const PSEUDO_CALL: u8 = 1;
    pub const PSEUDO_KFUNC_CALL: u8 = 2;
    pub const PSEUDO_MAP_FD: u8 = 1;
    pub const PSEUDO_MAP_VALUE: u8 = 2;
    pub const PSEUDO_BTF_ID: u8 = 3;
    pub const PSEUDO_FUNC: u8 = 4;
    pub const PSEUDO_MAP_IDX: u8 = 5;
    pub const PSEUDO_MAP_IDX_VALUE: u8 = 6;
}

/// Parts of instructions under the names that the format has for them.
pub(in crate::verifier) trait Parts {
    fn class(&self) -> u8;
    fn mode(&self) -> u8;
    fn op(&self) -> u8;
    fn dst_no(&self) -> u8;
    fn src_no(&self) -> u8;
    fn is_reg_form(&self) -> bool;
    /// A call of a helper.
    fn is_helper_call(&self) -> bool;
    /// A call of a subprogram.
    fn is_local_call(&self) -> bool;
    fn is_kfunc_call(&self) -> bool;
    /// The address of a subprogram.
    fn is_func_addr(&self) -> bool;
    fn is_may_goto(&self) -> bool;
}

impl Parts for Insn {
    fn class(&self) -> u8 {
        self.opcode & 7
    }
    fn mode(&self) -> u8 {
        self.opcode & 0xe0
    }
    fn op(&self) -> u8 {
        self.opcode & 0xf0
    }
    fn dst_no(&self) -> u8 {
        self.regs & 0xf
    }
    fn src_no(&self) -> u8 {
        self.regs >> 4
    }
    fn is_reg_form(&self) -> bool {
        self.opcode & 8 != 0
    }
    fn is_helper_call(&self) -> bool {
        self.opcode == op::CALL_INSN && self.src_no() == 0
    }
    fn is_local_call(&self) -> bool {
        self.opcode == op::CALL_INSN && self.src_no() == op::PSEUDO_CALL
    }
    fn is_kfunc_call(&self) -> bool {
        self.opcode == op::CALL_INSN && self.src_no() == op::PSEUDO_KFUNC_CALL
    }
    fn is_func_addr(&self) -> bool {
        self.opcode == op::LD_IMM64 && self.src_no() == op::PSEUDO_FUNC
    }
    fn is_may_goto(&self) -> bool {
        self.opcode == op::JCOND_INSN && self.src_no() == 0
    }
}

/// The instruction word that is `off` words behind the next one.
pub(in crate::verifier) fn target(at: usize, off: i64) -> i64 {
    at as i64 + off + 1
}

impl<'a> Env<'a> {
    /// Walks the program itself.
    pub(super) fn check_main(&mut self) -> Res {
        self.insn_idx = 0;
        self.check_common(0)
    }

    /// Walks every global function that was called, each on its own, with any arguments that its types allow.
    pub(super) fn check_global_subprogs(&mut self) -> Res {
        if !self.has_func_info() {
            return Ok(());
        }
        if let Some(callback) = self.exception_callback {
            self.subprogs[callback as usize].called = true;
        }
        loop {
            let mut found = false;
            for subprog in 1..self.subprogs.len() - 1 {
                let sub = &self.subprogs[subprog];
                if !sub.is_global || !sub.called || sub.verified {
                    continue;
                }
                self.insn_idx = sub.start;
                self.check_common(subprog as u32)?;
                if self.logs() {
                    let name = self.subprogs[subprog].name.clone();
                    self.say(format_args!(
                        "Func#{subprog} ('{name}') is safe for any args that match its prototype\n"
                    ));
                }
                self.subprogs[subprog].verified = true;
                found = true;
            }
            if !found {
                return Ok(());
            }
        }
    }

    /// Walks one function from its first instruction.
    fn check_common(&mut self, subprog: u32) -> Res {
        self.prev_line = None;
        self.recorded_last = None;
        self.subprog_now = subprog;
        let start = self.subprogs[subprog as usize].start;
        *self.cur = State {
            frames: vec![Box::new(fresh_frame(-1, 0, subprog))],
            branches: 1,
            first_insn_idx: start,
            last_insn_idx: usize::MAX,
            ..State::default()
        };
        self.mark_state_scratched();
        let walked = self.enter(subprog).and_then(|()| self.walk());
        self.free_states();
        if walked.is_ok() && !self.level2() {
            self.log.reset(0);
        }
        walked
    }

    /// Fills the argument registers.
    fn enter(&mut self, subprog: u32) -> Res {
        if subprog == 0 && self.prog_type() != ProgType::Ext {
            if self.has_func_info() {
                let ctx = self.prepare_func_args(0).is_ok_and(
                    |()| matches!(&self.subprogs[0].args[..], [only] if only.kind == ArgKind::Ctx),
                );
                if !ctx {
                    self.subprogs[0].unreliable = true;
                }
            }
            *self.reg_mut(1) = pointer(Base::Ctx);
            return Ok(());
        }
        let name = self.subprogs[subprog as usize].name.clone();
        self.say(format_args!("Validating {name}() func#{subprog}...\n"));
        self.prepare_func_args(subprog)?;
        let args = self.subprogs[subprog as usize].args.clone();
        if self.exception_callback == Some(subprog) {
            self.frame_mut().in_exception_callback = true;
            if self.subprogs[subprog as usize].returns_void {
                reject!(self, EINVAL, "exception cb cannot return void");
            }
            if !matches!(&args[..], [only] if only.kind == ArgKind::Anything) {
                reject!(self, EINVAL, "exception cb only supports single integer argument");
            }
        }
        for (at, arg) in args.iter().enumerate() {
            let regno = at as u8 + 1;
            let maybe_null = if arg.may_be_null { Flags::MAYBE_NULL } else { Flags::empty() };
            match arg.kind {
                ArgKind::Ctx => *self.reg_mut(regno) = pointer(Base::Ctx),
                ArgKind::Anything | ArgKind::Arena => self.mark_reg_unknown(regno)?,
                ArgKind::Dynptr => {
                    let id = self.new_id();
                    let mut reg = pointer(Base::ConstDynptr);
                    reg.extra = Extra::Dynptr { kind: DynptrKind::Local, first_slot: true };
                    reg.id = id;
                    *self.reg_mut(regno) = reg;
                }
                ArgKind::Mem | ArgKind::UntrustedMem => {
                    let mut reg = pointer(Base::Mem);
                    reg.flags = maybe_null;
                    if arg.kind == ArgKind::UntrustedMem {
                        reg.flags |= Flags::UNTRUSTED | Flags::RDONLY;
                    }
                    reg.extra = Extra::Mem { size: arg.mem_size, dynptr_id: 0 };
                    reg.id = self.new_id();
                    *self.reg_mut(regno) = reg;
                }
                ArgKind::Btf | ArgKind::UntrustedBtf => {
                    let trust = if arg.kind == ArgKind::Btf { Flags::TRUSTED } else { Flags::UNTRUSTED };
                    let mut reg = pointer(Base::BtfId);
                    reg.flags = maybe_null | trust;
                    if let Some((btf, id)) = arg.btf {
                        reg.extra = Extra::Btf { btf, id };
                    }
                    reg.id = self.new_id();
                    *self.reg_mut(regno) = reg;
                }
            }
        }
        Ok(())
    }

    /// Whether there is a log with more than statistics.
    pub(in crate::verifier) fn logs(&self) -> bool {
        self.options.log_level & 3 != 0
    }

    fn speculation(&self) -> &'static str {
        if self.cur.speculative { " (speculative execution)" } else { "" }
    }

    /// The loop over instructions and paths.
    fn walk(&mut self) -> Res {
        let keep_log = self.level2();
        let logs = self.logs();
        let mut state_is_new = false;
        let mut prev = usize::MAX;
        loop {
            self.prev_insn_idx = prev;
            let at = self.insn_idx;
            self.fault = Some(at);
            let Some(&insn) = self.insns.get(at) else {
                let count = self.insns.len();
                reject!(self, EFAULT, "invalid insn idx {at} insn_cnt {count}");
            };
            self.insn_processed += 1;
            if self.insn_processed > self.options.max_insns {
                let count = self.insn_processed;
                reject!(self, E2BIG, "BPF program is too large. Processed {count} insn");
            }
            self.cur.last_insn_idx = self.prev_insn_idx;
            let mut pruned = false;
            if self.aux[at].prune_point && self.is_state_visited(at)? {
                if logs {
                    if state_is_new {
                        let (from, how) = (self.prev_insn_idx, self.speculation());
                        self.say(format_args!("\nfrom {from} to {at}{how}: safe\n"));
                    } else {
                        self.say(format_args!("{at}: safe\n"));
                    }
                }
                if self.options.record == Recording::Everything {
                    self.record(at, true);
                }
                pruned = true;
            }
            let step = if pruned {
                Step::Ends
            } else {
                if self.aux[at].jmp_point {
                    self.push_jump(0, 0)?;
                }
                if keep_log && state_is_new {
                    let (from, how) = (self.prev_insn_idx, self.speculation());
                    self.say(format_args!("\nfrom {from} to {at}{how}:"));
                    self.print_state(self.cur.curframe(), true);
                    state_is_new = false;
                }
                if logs {
                    self.print_insn_line(insn);
                }
                if self.options.record != Recording::Nothing {
                    self.record(at, false);
                }
                if !self.cur.speculative {
                    self.aux[at].seen = true;
                }
                prev = at;
                self.step_or_fence(insn, at, &mut state_is_new)?
            };
            match step {
                Step::Next => self.insn_idx += 1,
                Step::There => (),
                Step::Ends => {
                    let Some((from, to)) = self.pop_state(keep_log) else { return Ok(()) };
                    prev = from;
                    self.insn_idx = to;
                    state_is_new = true;
                }
            }
        }
    }

    /// One instruction. Since Linux 6.17 what a misguided processor may not do gets a fence before it, and its path ends
    /// there.
    #[inline]
    fn step_or_fence(&mut self, insn: Insn, at: usize, state_is_new: &mut bool) -> Res<Step> {
        if !self.cur.speculative || !self.since(6, 17) {
            return self.step(insn, state_is_new);
        }
        if self.aux[at].fenced {
            return Ok(Step::Ends);
        }
        match self.step(insn, state_is_new) {
            Err(Reject(EPERM | EACCES | EINVAL)) => {
                self.aux[at].fenced = true;
                self.aux[at].alu_state = 0;
                Ok(Step::Ends)
            }
            done => done,
        }
    }

    /// One instruction.
    #[inline]
    fn step(&mut self, insn: Insn, state_is_new: &mut bool) -> Res<Step> {
        match insn.class() {
            op::ALU | op::ALU64 => self.check_alu_op(insn)?,
            op::LDX => self.check_load(insn)?,
            op::STX if insn.mode() == op::ATOMIC => self.check_atomic(insn)?,
            op::STX => {
                if insn.mode() != op::MEM || insn.imm != 0 {
                    reject!(self, EINVAL, "BPF_STX uses reserved fields");
                }
                self.check_store(insn)?;
            }
            op::ST => {
                if insn.mode() != op::MEM || insn.src_no() != 0 {
                    reject!(self, EINVAL, "BPF_ST uses reserved fields");
                }
                self.check_store(insn)?;
            }
            op::JMP | op::JMP32 => {
                self.jmps_processed += 1;
                return self.step_jump(insn, state_is_new);
            }
            _ => match insn.mode() {
                op::ABS | op::IND => self.check_ld_abs(insn)?,
                op::IMM => {
                    self.check_imm64(insn)?;
                    self.insn_idx += 1;
                    if !self.cur.speculative
                        && let Some(aux) = self.aux.get_mut(self.insn_idx)
                    {
                        aux.seen = true;
                    }
                }
                _ => reject!(self, EINVAL, "invalid BPF_LD mode"),
            },
        }
        Ok(Step::Next)
    }

    fn step_jump(&mut self, insn: Insn, state_is_new: &mut bool) -> Res<Step> {
        let is_jmp32 = insn.class() == op::JMP32;
        match insn.op() {
            op::CALL => {
                let (dst, src) = (insn.dst_no(), insn.src_no());
                if insn.is_reg_form()
                    || (src != op::PSEUDO_KFUNC_CALL && insn.off != 0)
                    || src > op::PSEUDO_KFUNC_CALL
                    || dst != 0
                    || is_jmp32
                {
                    reject!(self, EINVAL, "BPF_CALL uses reserved fields");
                }
                if self.cur.active_locks != 0
                    && ((src == 0 && insn.imm != Helper::SPIN_UNLOCK.0 as i32)
                        || (src == op::PSEUDO_KFUNC_CALL && !self.is_kfunc_allowed_under_lock(insn)))
                {
                    reject!(self, EINVAL, "function calls are not allowed while holding a lock");
                }
                let mut idx = self.insn_idx;
                match src {
                    op::PSEUDO_CALL => self.check_func_call(insn)?,
                    op::PSEUDO_KFUNC_CALL => {
                        self.check_kfunc_call(insn, &mut idx)?;
                        if self.is_kfunc(insn, "bpf_throw") {
                            return self.leave(true, state_is_new);
                        }
                    }
                    _ => self.check_helper_call(insn, idx)?,
                }
                self.mark_reg_scratched(0);
                Ok(Step::Next)
            }
            op::JA => {
                if insn.is_reg_form()
                    || insn.regs != 0
                    || (!is_jmp32 && insn.imm != 0)
                    || (is_jmp32 && insn.off != 0)
                {
                    reject!(self, EINVAL, "BPF_JA uses reserved fields");
                }
                let off = if is_jmp32 { insn.imm } else { i32::from(insn.off) };
                self.insn_idx = target(self.insn_idx, i64::from(off)) as usize;
                Ok(Step::There)
            }
            op::EXIT => {
                if insn.is_reg_form() || insn.imm != 0 || insn.regs != 0 || is_jmp32 {
                    reject!(self, EINVAL, "BPF_EXIT uses reserved fields");
                }
                self.leave(false, state_is_new)
            }
            _ => {
                let mut idx = self.insn_idx;
                self.check_cond_jmp(insn, &mut idx)?;
                self.insn_idx = idx;
                Ok(Step::There)
            }
        }
    }

    /// The end of a function, or of the whole program by an exception.
    fn leave(&mut self, exception: bool, state_is_new: &mut bool) -> Res<Step> {
        self.check_exit_resources(exception)?;
        if exception {
            return Ok(Step::Ends);
        }
        if self.cur.curframe() != 0 {
            self.prepare_func_exit()?;
            *state_is_new = true;
            return Ok(Step::There);
        }
        self.check_return_code(0, "R0")?;
        Ok(Step::Ends)
    }
}

//! Control flow: what can be reached, and where states are to be kept.

use super::super::env::{EINVAL, Env, Reject, Res, reject};
use super::super::helpers::{calls_back, calls_back_later, changes_packets};
use super::walk::{Parts, op, target};
use asm::{Helper, Insn};

const DISCOVERED: u8 = 0x10;
const EXPLORED: u8 = 0x20;
/// The edge to the next instruction was taken.
const FALLTHROUGH: u8 = 1;
/// The edge of a jump or call was taken.
const BRANCH: u8 = 2;

/// Depth-first search over instructions.
struct Search {
    state: Vec<u8>,
    stack: Vec<usize>,
}

impl<'a> Env<'a> {
    /// Whether the call calls a subprogram back later.
    pub(in crate::verifier) fn is_async_callback_insn(&self, insn: Insn) -> bool {
        (insn.is_helper_call() && calls_back_later(Helper(insn.imm as u32)))
            || (insn.is_kfunc_call()
                && self.is_callback_calling_kfunc(insn)
                && !self.is_kfunc(insn, "bpf_rbtree_add_impl")
                && !self.is_kfunc(insn, "bpf_rbtree_add"))
    }

    /// Whether the call calls a subprogram back while it runs.
    pub(in crate::verifier) fn is_sync_callback_insn(&self, insn: Insn) -> bool {
        (insn.is_helper_call() && calls_back(Helper(insn.imm as u32)))
            || (insn.is_kfunc_call()
                && self.is_callback_calling_kfunc(insn)
                && !self.is_async_callback_insn(insn))
    }

    /// Whether the call is of a function that may sleep.
    fn may_sleep_in(&self, insn: Insn) -> bool {
        if insn.is_helper_call() {
            return self.helper_proto(Helper(insn.imm as u32)).is_some_and(|proto| proto.might_sleep);
        }
        self.kfunc_may_sleep(insn)
    }

    /// Every instruction is reached; marks where states are kept and compared.
    pub(super) fn check_cfg(&mut self) -> Res {
        let len = self.insns.len();
        let mut search = Search { state: vec![0; len], stack: Vec::new() };
        self.explore(&mut search, 0)?;
        if let Some(callback) = self.exception_callback {
            let start = self.subprogs[callback as usize].start;
            self.explore(&mut search, start)?;
        }
        let mut at = 0;
        while at < len {
            if search.state[at] != EXPLORED {
                self.fault = Some(at);
                reject!(self, EINVAL, "unreachable insn {at}");
            }
            if self.insns[at].opcode == op::LD_IMM64 {
                if search.state.get(at + 1).is_some_and(|state| *state != 0) {
                    self.fault = Some(at);
                    reject!(self, EINVAL, "jump into the middle of ldimm64 insn {at}");
                }
                at += 1;
            }
            at += 1;
        }
        self.changes_pkt_data = self.subprogs[0].changes_pkt_data;
        Ok(())
    }

    fn explore(&mut self, search: &mut Search, start: usize) -> Res {
        search.state[start] = DISCOVERED;
        search.stack.push(start);
        while let Some(&at) = search.stack.last() {
            if !self.visit(search, at)? {
                search.state[at] = EXPLORED;
                search.stack.pop();
            }
        }
        Ok(())
    }

    /// Takes one more edge from the instruction; `false` when there is none left.
    fn visit(&mut self, search: &mut Search, at: usize) -> Res<bool> {
        let insn = self.insns[at];
        if insn.is_func_addr() {
            return self.visit_call(search, at, true);
        }
        if !matches!(insn.class(), op::JMP | op::JMP32) {
            let words = if insn.opcode == op::LD_IMM64 { 2 } else { 1 };
            return self.push_edge(search, at, at as i64 + words, FALLTHROUGH);
        }
        match insn.op() {
            op::EXIT => Ok(false),
            op::CALL => {
                if self.is_async_callback_insn(insn) {
                    self.aux[at].prune_point = true;
                }
                if self.is_sync_callback_insn(insn) {
                    let aux = &mut self.aux[at];
                    (aux.calls_callback, aux.force_checkpoint) = (true, true);
                    (aux.prune_point, aux.jmp_point) = (true, true);
                }
                if insn.is_helper_call() && changes_packets(Helper(insn.imm as u32)) {
                    let subprog = self.containing_subprog(at);
                    self.subprogs[subprog].changes_pkt_data = true;
                }
                if self.may_sleep_in(insn) {
                    let subprog = self.containing_subprog(at);
                    self.subprogs[subprog].might_sleep = true;
                }
                if insn.is_kfunc_call() && self.is_iter_next_kfunc(insn) {
                    let aux = &mut self.aux[at];
                    (aux.is_iter_next, aux.prune_point, aux.force_checkpoint) = (true, true, true);
                }
                self.visit_call(search, at, insn.src_no() == op::PSEUDO_CALL)
            }
            op::JA => {
                if insn.is_reg_form() {
                    self.fault = Some(at);
                    return Err(Reject(EINVAL));
                }
                let off = if insn.class() == op::JMP { i32::from(insn.off) } else { insn.imm };
                let to = target(at, i64::from(off));
                if self.push_edge(search, at, to, FALLTHROUGH)? {
                    return Ok(true);
                }
                self.mark_jump_target(to as usize);
                Ok(false)
            }
            _ => {
                self.aux[at].prune_point = true;
                if insn.is_may_goto() {
                    self.aux[at].force_checkpoint = true;
                }
                if self.push_edge(search, at, at as i64 + 1, FALLTHROUGH)? {
                    return Ok(true);
                }
                self.push_edge(search, at, target(at, i64::from(insn.off)), BRANCH)
            }
        }
    }

    fn visit_call(&mut self, search: &mut Search, at: usize, into: bool) -> Res<bool> {
        let insn = self.insns[at];
        let after = at + if insn.opcode == op::LD_IMM64 { 2 } else { 1 };
        if self.push_edge(search, at, after as i64, FALLTHROUGH)? {
            return Ok(true);
        }
        // Whoever returns comes from elsewhere than the instruction before.
        self.aux[after].prune_point = true;
        self.aux[after].jmp_point = true;
        if !into {
            return Ok(false);
        }
        let to = target(at, i64::from(insn.imm));
        self.aux[at].prune_point = true;
        if let Ok(to) = usize::try_from(to) {
            let (caller, callee) = (self.containing_subprog(at), self.containing_subprog(to));
            self.subprogs[caller].changes_pkt_data |= self.subprogs[callee].changes_pkt_data;
            self.subprogs[caller].might_sleep |= self.subprogs[callee].might_sleep;
        }
        self.push_edge(search, at, to, BRANCH)
    }

    fn mark_jump_target(&mut self, at: usize) {
        let aux = &mut self.aux[at];
        (aux.prune_point, aux.jmp_point, aux.jump_target) = (true, true, true);
    }

    /// Takes an edge; whether it led to an instruction that is to be visited now.
    fn push_edge(&mut self, search: &mut Search, at: usize, to: i64, edge: u8) -> Res<bool> {
        if search.state[at] >= DISCOVERED | edge {
            return Ok(false);
        }
        let Some(to) = usize::try_from(to).ok().filter(|to| *to < self.insns.len()) else {
            self.fault = Some(at);
            self.print_line_info(at, format_args!("{at}: "));
            reject!(self, EINVAL, "jump out of range from insn {at} to {to}");
        };
        if edge == BRANCH {
            self.mark_jump_target(to);
        }
        match search.state[to] {
            0 => {
                search.state[at] = DISCOVERED | edge;
                search.state[to] = DISCOVERED;
                search.stack.push(to);
                Ok(true)
            }
            EXPLORED => {
                search.state[at] = DISCOVERED | edge;
                Ok(false)
            }
            _ if self.bpf_capable => Ok(false),
            _ => {
                self.fault = Some(at);
                self.print_line_info(at, format_args!("{at}: "));
                self.print_line_info(to, format_args!("{to}: "));
                reject!(self, EINVAL, "back-edge from insn {at} to {to}");
            }
        }
    }
}

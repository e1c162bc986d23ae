//! Where functions begin, and that control stays within them.

use super::super::env::{E2BIG, EINVAL, ENOENT, EPERM, Env, Res, SubProg, reject};
use super::walk::{Parts, op, target};
use asm::Helper;
use btf::{Kind, Linkage, TypeId};

/// Most functions.
const MAX_SUBPROGS: usize = 256;

impl<'a> Env<'a> {
    /// Finds the functions; after the last there is one more entry, at the program's end.
    pub(super) fn find_subprogs(&mut self) -> Res {
        let len = self.insns.len();
        let mut starts = vec![0_usize];
        let mut kfuncs = false;
        for at in 0..len {
            let insn = self.insns[at];
            let local = insn.is_func_addr() || insn.is_local_call();
            if !local && !insn.is_kfunc_call() {
                continue;
            }
            self.fault = Some(at);
            if !self.bpf_capable {
                reject!(
                    self,
                    EPERM,
                    "loading/calling other bpf or kernel functions are allowed for CAP_BPF and CAP_SYS_ADMIN"
                );
            }
            kfuncs |= !local;
            if local {
                self.add_subprog(&mut starts, target(at, i64::from(insn.imm)))?;
            }
        }
        self.fault = None;
        if kfuncs {
            self.add_kfunc_calls()?;
        }
        let callback = self.find_exception_callback()?;
        if let Some(callback) = callback {
            self.add_subprog(&mut starts, callback as i64)?;
        }
        self.subprogs = starts.iter().map(|start| SubProg { start: *start, ..SubProg::default() }).collect();
        self.subprogs.push(SubProg { start: len, ..SubProg::default() });
        let subprog = starts.iter().position(|start| Some(*start) == callback).filter(|at| *at != 0);
        if let Some(subprog) = subprog {
            self.exception_callback = Some(subprog as u32);
            let sub = &mut self.subprogs[subprog];
            (sub.is_cb, sub.is_async_cb, sub.is_exception_cb) = (true, true, true);
        }
        if self.level2() {
            for (at, start) in starts.iter().enumerate() {
                self.say(format_args!("func#{at} @{start}\n"));
            }
        }
        Ok(())
    }

    fn add_subprog(&mut self, starts: &mut Vec<usize>, start: i64) -> Res {
        let start = usize::try_from(start).ok().filter(|start| *start < self.insns.len());
        let Some(start) = start else { reject!(self, EINVAL, "call to invalid destination") };
        let Err(place) = starts.binary_search(&start) else { return Ok(()) };
        if starts.len() >= MAX_SUBPROGS {
            reject!(self, E2BIG, "too many subprograms");
        }
        starts.insert(place, start);
        Ok(())
    }

    /// Where the function begins that the program's tag `exception_callback:NAME` names.
    fn find_exception_callback(&mut self) -> Res<Option<usize>> {
        let Some(main) = self.program.funcs.first().and_then(|func| func.type_id) else { return Ok(None) };
        if !self.has_func_info() || !self.since(6, 7) {
            return Ok(None);
        }
        let own = self.btfs[1];
        let tags = own.decl_tags(main).filter(|(component, _)| *component == -1);
        let mut names = tags.filter_map(|(_, tag)| tag.strip_prefix("exception_callback:"));
        let Some(name) = names.next() else { return Ok(None) };
        if names.next().is_some() {
            reject!(self, 17, "multiple exception callback tags for main subprog");
        }
        let Some(id) = own.find(name, Kind::Func) else {
            reject!(self, ENOENT, "exception callback '{name}' could not be found in BTF");
        };
        if own.type_by_id(id).and_then(|func| func.linkage()) != Some(Linkage::Global) {
            reject!(self, EINVAL, "exception callback '{name}' must have global linkage");
        }
        match self.program.funcs.iter().find(|func| func.type_id == Some(id)).map(|func| func.insn) {
            Some(0) => reject!(self, EINVAL, "invalid exception callback insn_off in func_info: 0"),
            Some(insn) => Ok(Some(insn)),
            None => reject!(self, EINVAL, "exception callback type id not found in func_info"),
        }
    }

    /// Whether each function has a type.
    pub(in crate::verifier) fn has_func_info(&self) -> bool {
        let funcs = &self.program.funcs;
        self.own_types
            && !funcs.is_empty()
            && funcs.iter().all(|func| func.type_id.is_some_and(|id| id != TypeId(0)))
    }

    /// Jumps stay in their function, and no function runs into the next.
    pub(super) fn check_subprogs(&mut self) -> Res {
        let mut subprog = 0;
        let mut range = self.subprogs[0].start..self.subprogs[1].start;
        for at in 0..self.insns.len() {
            let insn = self.insns[at];
            if insn.is_helper_call() && insn.imm == Helper::TAIL_CALL.0 as i32 {
                self.subprogs[subprog].has_tail_call = true;
                self.subprogs[subprog].tail_call_reachable = true;
            }
            if insn.class() == op::LD && matches!(insn.mode(), op::ABS | op::IND) {
                self.subprogs[subprog].has_ld_abs = true;
            }
            let is_jump = matches!(insn.class(), op::JMP | op::JMP32);
            if is_jump && !matches!(insn.op(), op::EXIT | op::CALL) {
                let is_long = insn.opcode == op::JA32_INSN && self.since(6, 6);
                let to = target(at, if is_long { i64::from(insn.imm) } else { i64::from(insn.off) });
                if to < range.start as i64 || to >= range.end as i64 {
                    self.fault = Some(at);
                    reject!(self, EINVAL, "jump out of range from insn {at} to {to}");
                }
            }
            if at + 1 == range.end {
                let throws = insn.is_kfunc_call() && self.since(6, 18) && self.is_kfunc(insn, "bpf_throw");
                let ends = matches!(insn.opcode, op::EXIT_INSN | op::JA32_INSN | op::JA_INSN);
                if !ends && !throws {
                    self.fault = Some(at);
                    reject!(self, EINVAL, "last insn is not an exit or jmp");
                }
                subprog += 1;
                if let Some(next) = self.subprogs.get(subprog + 1) {
                    range = range.end..next.start;
                }
            }
        }
        Ok(())
    }

    /// The function that begins there.
    pub(in crate::verifier) fn find_subprog(&self, insn_idx: usize) -> Option<u32> {
        let real = &self.subprogs[..self.subprogs.len().saturating_sub(1)];
        real.binary_search_by_key(&insn_idx, |sub| sub.start).ok().map(|at| at as u32)
    }

    /// The function that the instruction is in.
    pub(in crate::verifier) fn containing_subprog(&self, insn_idx: usize) -> usize {
        let real = &self.subprogs[..self.subprogs.len().saturating_sub(1)];
        real.partition_point(|sub| sub.start <= insn_idx).saturating_sub(1)
    }
}

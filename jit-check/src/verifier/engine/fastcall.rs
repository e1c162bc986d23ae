//! Calls that leave r1 to r5 alone, and the spills around them.
//!
//! Compilers spill live registers around such calls, for kernels that do not know about it; where the spills are for nothing
//! else, the kernel takes them out again, and the stack is that much smaller.

use super::super::env::Env;
use super::super::helpers::proto::{ArgType, RetType};
use super::walk::{Parts, op};
use asm::{Helper, Insn};

const STX_DW: u8 = 0x7b;
const LDX_DW: u8 = 0x79;
/// r0 to r5, a bit each.
const CALLER_SAVED: u16 = 0x3f;

impl<'a> Env<'a> {
    /// Finds spills and fills around calls, of the stack slots that are the lowest of their function. Since Linux 6.12.
    pub(super) fn mark_fastcall_patterns(&mut self) {
        if !self.since(6, 12) {
            return;
        }
        for subprog in 0..self.subprogs.len() - 1 {
            let range = self.subprogs[subprog].start..self.subprogs[subprog + 1].start;
            let spills = self.insns[range.clone()]
                .iter()
                .filter(|insn| insn.opcode == STX_DW && insn.dst_no() == 10)
                .map(|insn| i32::from(insn.off));
            let lowest = spills.min().unwrap_or(0).min(0);
            for at in range {
                if self.insns[at].opcode == op::CALL_INSN {
                    self.mark_pattern(subprog, at, lowest);
                }
            }
        }
    }

    /// Registers that the call leaves unusable, and whether it is put inline so that the others keep what they hold.
    fn clobbers(&self, call: Insn) -> Option<(u16, bool)> {
        if call.is_helper_call() {
            let helper = Helper(call.imm as u32);
            let proto = self.helper_proto(helper)?;
            let result = u16::from(proto.ret != RetType::Void);
            let args = proto.args.iter().zip(1..).filter(|(arg, _)| arg.kind != ArgType::None);
            let mask = args.fold(result, |mask, (_, regno)| mask | 1 << regno);
            return Some((mask, proto.fastcall && self.kernel.jit));
        }
        if call.is_kfunc_call() {
            return self
                .kfunc_clobbers(call)
                .map(|mask| (mask, self.fastcall_kfunc_clobbers(call).is_some()));
        }
        None
    }

    fn mark_pattern(&mut self, subprog: usize, call: usize, lowest: i32) {
        let Some((clobbered, inlined)) = self.clobbers(self.insns[call]) else { return };
        let mut expected = CALLER_SAVED & !clobbered;
        let mut off = lowest;
        let mut pairs = 0;
        for distance in 1..=6 {
            let (Some(before), after) = (call.checked_sub(distance), call + distance) else { break };
            if after >= self.insns.len() || self.aux[before + 1].jump_target || self.aux[after].jump_target {
                break;
            }
            let (spill, fill) = (self.insns[before], self.insns[after]);
            let register = 1_u16 << spill.src_no();
            let fits = spill.opcode == STX_DW
                && fill.opcode == LDX_DW
                && spill.dst_no() == 10
                && fill.src_no() == 10
                && spill.src_no() == fill.dst_no()
                && expected & register != 0
                && i32::from(spill.off) == off
                && i32::from(fill.off) == off;
            if !fits {
                break;
            }
            expected &= !register;
            self.aux[before].fastcall_pattern = true;
            self.aux[after].fastcall_pattern = true;
            pairs += 1;
            off += 8;
        }
        if pairs == 0 {
            return;
        }
        let sub = &mut self.subprogs[subprog];
        sub.fastcall_stack_off = sub.fastcall_stack_off.min(off);
        if inlined {
            self.aux[call].fastcall_spills = pairs;
        } else {
            sub.keep_fastcall_stack = true;
        }
    }

    /// After the walk: the spills are gone, and their stack with them.
    pub(super) fn drop_fastcall_spills(&mut self) {
        for subprog in 0..self.subprogs.len() - 1 {
            let range = self.subprogs[subprog].start..self.subprogs[subprog + 1].start;
            let any = self.aux[range].iter().any(|aux| aux.fastcall_spills > 0);
            let sub = &mut self.subprogs[subprog];
            if any && !sub.keep_fastcall_stack {
                sub.stack_depth = sub.fastcall_stack_off.unsigned_abs();
            }
        }
    }
}

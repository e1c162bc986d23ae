//! Registers that may still be read, by a walk backwards over the control flow: links of others are not worth following.
//! Since Linux 6.18.

use super::super::env::Env;
use super::super::helpers::ArgType;
use super::super::op;
use asm::{Helper, Insn};

const ALL: u16 = 0xffff;
/// r0 to r5, which calls overwrite.
const CALLER_SAVED: u16 = 0x3f;
const R0: u16 = 1;

const CALL: u8 = 0x80;
const EXIT: u8 = 0x90;
const PSEUDO_KFUNC_CALL: u8 = 2;

const FETCH: i32 = 1;
const CMPXCHG: i32 = 0xf1;
const LOAD_ACQUIRE: i32 = 0x100;
const STORE_RELEASE: i32 = 0x110;

impl Env<'_> {
    /// Registers (a bit each) that are read at the instruction or behind it, before they are written.
    pub(in crate::verifier) fn live_before(&mut self, insn_idx: usize) -> u16 {
        if !self.live_known {
            self.find_live_regs();
            self.live_known = true;
        }
        self.aux.get(insn_idx).map_or(ALL, |aux| aux.live_regs_before)
    }

    fn find_live_regs(&mut self) {
        let uses: Vec<(u16, u16)> = self.insns.iter().map(|insn| self.defs_and_uses(*insn)).collect();
        let mut changed = true;
        while changed {
            changed = false;
            for at in (0..self.insns.len()).rev() {
                let after = successors(&self.insns, at)
                    .into_iter()
                    .flatten()
                    .filter_map(|next| self.aux.get(next))
                    .fold(0, |live, aux| live | aux.live_regs_before);
                let (defined, used) = uses[at];
                let before = (after & !defined) | used;
                if before != self.aux[at].live_regs_before {
                    self.aux[at].live_regs_before = before;
                    changed = true;
                }
            }
        }
    }

    /// What an instruction writes, and what it reads.
    fn defs_and_uses(&self, insn: Insn) -> (u16, u16) {
        let (dst, src) = (1 << insn.dst().number(), 1 << insn.src().number());
        let by_reg = if insn.opcode & op::X != 0 { src } else { 0 };
        let mode = insn.opcode & 0xe0;
        match insn.opcode & 7 {
            0 if mode == 0 => (dst, 0),
            1 if matches!(mode, 0x60 | 0x80) => (dst, src),
            2 if mode == 0x60 => (0, dst),
            3 if mode == 0x60 => (0, dst | src),
            3 if mode == 0xc0 => match insn.imm {
                CMPXCHG => (R0, R0 | dst | src),
                LOAD_ACQUIRE => (dst, src),
                STORE_RELEASE => (0, dst | src),
                imm if imm & FETCH != 0 => (src, dst | src),
                _ => (0, dst | src),
            },
            op::CLASS_ALU | op::CLASS_ALU64 => match insn.opcode & 0xf0 {
                op::END => (dst, dst),
                op::MOV => (dst, by_reg),
                _ => (dst, dst | by_reg),
            },
            op::CLASS_JMP | op::CLASS_JMP32 => match insn.opcode & 0xf0 {
                op::JA if by_reg != 0 => (0, dst),
                op::JA | op::JCOND => (0, 0),
                EXIT => (0, R0),
                CALL => (CALLER_SAVED, self.params(insn)),
                _ => (0, dst | by_reg),
            },
            _ => (0, ALL),
        }
    }

    /// The registers that a call reads: r1 to r5, or fewer where its parameters are known.
    fn params(&self, insn: Insn) -> u16 {
        let known = match insn.src().number() {
            0 => self
                .helper_proto(Helper(insn.imm as u32))
                .map(|proto| proto.args.iter().take_while(|arg| arg.kind != ArgType::None).count()),
            PSEUDO_KFUNC_CALL => {
                self.objects.kfuncs.get(&(insn.imm as u32, insn.off)).map(|kfunc| kfunc.params.len())
            }
            _ => None,
        };
        known.map_or(CALLER_SAVED & !R0, |count| ((2 << count.min(5)) - 1) & !R0)
    }
}

/// Where the walk may go on.
fn successors(insns: &[Insn], at: usize) -> [Option<usize>; 2] {
    let insn = insns[at];
    let wide = insn.opcode == 0x18;
    let next = at + if wide { 2 } else { 1 };
    let class = insn.opcode & 7;
    if !matches!(class, op::CLASS_JMP | op::CLASS_JMP32) {
        return [Some(next), None];
    }
    let by = if insn.opcode == op::CLASS_JMP32 { insn.imm as isize } else { isize::from(insn.off) };
    match insn.opcode & 0xf0 {
        EXIT => [None, None],
        CALL => [Some(next), None],
        op::JA => [next.checked_add_signed(by), None],
        _ => [Some(next), next.checked_add_signed(by)],
    }
}

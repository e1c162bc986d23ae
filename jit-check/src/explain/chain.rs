//! The way of a value, backwards along the path that was refused.

use super::{Entry, Step, text, words};
use asm::{CallTarget, Imm64, Insn, Instruction, Operand};

/// More steps say nothing more.
const MOST: usize = 12;

/// What is followed: a register, or a stack slot, of the frame with this depth.
#[derive(Clone, Copy, PartialEq, Debug)]
enum Place {
    Reg(u8),
    /// Bytes from the frame pointer.
    Stack(i32),
}

/// How register `regno` got the value that it has at the end of the path; the oldest step first.
pub(super) fn of(insns: &[Insn], path: &[Entry], regno: u8) -> Vec<Step> {
    let mut steps = Vec::new();
    let Some(last) = path.len().checked_sub(1) else { return steps };
    let (mut place, mut frame) = (Place::Reg(regno), path[last].frame);
    for at in (0..last).rev() {
        let (entry, after) = (&path[at], &path[at + 1]);
        // Calls and returns: arguments come from the caller, r0 from the callee.
        if entry.frame < frame && after.frame == frame {
            match place {
                Place::Reg(1..=5) => frame = entry.frame,
                _ => break,
            }
            continue;
        }
        if after.frame == frame && entry.frame > frame {
            if place == Place::Reg(0) {
                frame = entry.frame;
            }
            continue;
        }
        if entry.frame != frame {
            continue;
        }
        let Some(rest) = insns.get(entry.insn..) else { break };
        let Ok((instruction, _)) = asm::decode(rest) else { break };
        let Some(from) = source(&instruction, place, entry) else { continue };
        if steps.len() == MOST {
            break;
        }
        let result = match place {
            Place::Reg(reg) => {
                format!("r{reg} is {}", words::value(&after.regs[usize::from(reg.min(10))]))
            }
            Place::Stack(off) => format!("kept at fp{off}"),
        };
        steps.push(Step { insn: entry.insn, text: text(insns, entry.insn), result });
        match from {
            From::Place(next) => place = next,
            From::Itself => {}
            From::Nowhere => break,
        }
    }
    steps.reverse();
    steps
}

/// Where an instruction takes what it writes from.
enum From {
    Place(Place),
    /// From what was there before.
    Itself,
    /// It comes from here.
    Nowhere,
}

/// `None` where the instruction does not write the place.
fn source(instruction: &Instruction, place: Place, entry: &Entry) -> Option<From> {
    let writes = |reg: asm::Reg| place == Place::Reg(reg.number());
    let stack_at = |reg: asm::Reg, off: i16| -> Option<i32> {
        let known = entry.regs.get(usize::from(reg.number()))?;
        words::stack_offset(known).map(|base| base + i32::from(off))
    };
    match *instruction {
        Instruction::Alu { op: asm::AluOp::Mov, dst, src, .. } if writes(dst) => Some(match src {
            Operand::Reg(src) => From::Place(Place::Reg(src.number())),
            Operand::Imm(_) => From::Nowhere,
        }),
        Instruction::MovSx { dst, src, .. } | Instruction::AddrSpaceCast { dst, src, .. } if writes(dst) => {
            Some(From::Place(Place::Reg(src.number())))
        }
        Instruction::Alu { dst, .. } | Instruction::Neg { dst, .. } | Instruction::Swap { dst, .. }
            if writes(dst) =>
        {
            Some(From::Itself)
        }
        Instruction::Load { dst, src, off, .. } | Instruction::LoadSx { dst, src, off, .. }
            if writes(dst) =>
        {
            Some(match stack_at(src, off) {
                Some(slot) => From::Place(Place::Stack(slot)),
                None => From::Nowhere,
            })
        }
        Instruction::Store { dst, off, src, .. } => {
            let slot = stack_at(dst, off)?;
            (place == Place::Stack(slot)).then_some(match src {
                Operand::Reg(src) => From::Place(Place::Reg(src.number())),
                Operand::Imm(_) => From::Nowhere,
            })
        }
        Instruction::Atomic { src, .. } if writes(src) => Some(From::Nowhere),
        Instruction::LdImm64 { dst, value: _value @ (Imm64::Value(_) | Imm64::MapFd(_)), .. }
            if writes(dst) =>
        {
            Some(From::Nowhere)
        }
        Instruction::LdImm64 { dst, .. } if writes(dst) => Some(From::Nowhere),
        Instruction::Call(CallTarget::Helper(_) | CallTarget::Kfunc { .. })
            if matches!(place, Place::Reg(0..=5)) =>
        {
            Some(From::Nowhere)
        }
        Instruction::LoadAbs { .. } | Instruction::LoadInd { .. } if matches!(place, Place::Reg(0..=5)) => {
            Some(From::Nowhere)
        }
        // A comparison says more of it.
        Instruction::JumpIf { dst, .. } if writes(dst) => Some(From::Itself),
        _ => None,
    }
}

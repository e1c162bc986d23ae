//! Smaller programs with the same fault.

use crate::program::Program;
use asm::Insn;

/// Takes instructions away for as long as `still` says that what was found is still there, and makes numbers simpler.
///
/// Jumps over what is taken away are mended. The result is no larger than the program, and `still` holds for it.
pub fn shrink(program: &Program, mut still: impl FnMut(&Program) -> bool) -> Program {
    let mut best = program.clone();
    let mut progress = true;
    while progress {
        progress = false;
        let mut count = best.insns.len() / 2;
        while count >= 1 {
            let mut at = 0;
            while at < best.insns.len() {
                match without(&best, at, count).filter(|smaller| still(smaller)) {
                    Some(smaller) => {
                        best = smaller;
                        progress = true;
                    }
                    None => at += 1,
                }
            }
            count /= 2;
        }
        for at in 0..best.insns.len() {
            let insn = best.insns[at];
            for imm in [0, 1, insn.imm / 2] {
                let mut simpler = best.clone();
                simpler.insns[at].imm = imm;
                if imm.unsigned_abs() < insn.imm.unsigned_abs() && !is_special(insn) && still(&simpler) {
                    best = simpler;
                    progress = true;
                    break;
                }
            }
        }
    }
    best
}

/// The program as text that the assembler takes.
pub fn listing(program: &Program) -> String {
    let mut text = String::new();
    for (at, line) in asm::disassemble(&program.insns) {
        text.push_str(&format!("{at}: {line}\n"));
    }
    text
}

/// Calls, jumps and wide loads: their immediates mean something.
fn is_special(insn: Insn) -> bool {
    insn.opcode == 0x18 || insn.opcode == 0x85 || insn.opcode & 7 == 5
}

/// Where a jump or local call goes, if it does.
fn target(insns: &[Insn], at: usize) -> Option<i64> {
    let insn = insns[at];
    let is_jump = matches!(insn.opcode & 7, 5 | 6) && !matches!(insn.opcode, 0x85 | 0x95 | 0x8d);
    let distance = match insn.opcode {
        0x06 => i64::from(insn.imm),
        0x85 if insn.regs >> 4 == 1 => i64::from(insn.imm),
        _ if is_jump => i64::from(insn.off),
        _ => return None,
    };
    Some(at as i64 + 1 + distance)
}

fn without(program: &Program, at: usize, count: usize) -> Option<Program> {
    let end =
        at.checked_add(count).filter(|end| *end <= program.insns.len() && count < program.insns.len())?;
    let wide = |at: usize| program.insns.get(at).is_some_and(|insn| insn.opcode == 0x18);
    // Not half of a wide load.
    if at > 0 && wide(at - 1) || wide(end - 1) {
        return None;
    }
    let moved = |index: i64| -> i64 {
        if index <= at as i64 {
            index
        } else if index < end as i64 {
            at as i64
        } else {
            index - count as i64
        }
    };
    let mut smaller = program.clone();
    smaller.insns.drain(at..end);
    for old in (0..program.insns.len()).filter(|old| !(at..end).contains(old)) {
        let second = old > 0 && wide(old - 1);
        let Some(to) = target(&program.insns, old).filter(|_| !second) else { continue };
        let new = moved(old as i64) as usize;
        let distance = moved(to) - new as i64 - 1;
        let insn = smaller.insns.get_mut(new)?;
        if insn.opcode == 0x06 || insn.opcode == 0x85 {
            insn.imm = distance as i32;
        } else {
            insn.off = i16::try_from(distance).ok()?;
        }
    }
    Some(smaller)
}

#[cfg(test)]
mod tests {
    use super::*;
    use bpf_sys::prog::ProgType;

    #[test]
    fn jumps_are_mended() {
        let insn = |opcode, regs, off, imm| Insn { opcode, regs, off, imm };
        // r0 = 1; r1 = 2; if r0 == 1 goto +2; r2 = 3; r3 = 4; exit
        let insns = vec![
            insn(0xb7, 0, 0, 1),
            insn(0xb7, 1, 0, 2),
            insn(0x15, 0, 2, 1),
            insn(0xb7, 2, 0, 3),
            insn(0xb7, 3, 0, 4),
            insn(0x95, 0, 0, 0),
        ];
        let program = Program::new("p", ProgType::SocketFilter, insns);
        let shrunk = shrink(&program, |p| {
            p.insns.iter().any(|i| i.opcode == 0x15) && p.insns.iter().any(|i| i.opcode == 0x95)
        });
        assert_eq!(listing(&shrunk), "0: if r0 == 0x1 goto pc+0\n1: exit\n");
    }
}

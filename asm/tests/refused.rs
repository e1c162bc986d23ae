//! Words that are no instructions, and the rule each breaks.

use asm::*;
use expect_test::expect;

#[test]
fn encodings_with_a_broken_rule() {
    let zero = Insn::default();
    let words: &[&[Insn]] = &[
        &[],
        &[Insn::new(0xe4, 0, 0, 0, 0)],
        &[Insn::new(0x0f, 11, 0, 0, 0)],
        &[Insn::new(0x0f, 0, 12, 0, 0)],
        &[Insn::new(0x07, 0, 1, 0, 5)],
        &[Insn::new(0x0f, 0, 1, 0, 5)],
        &[Insn::new(0x07, 0, 0, 1, 5)],
        &[Insn::new(0x37, 0, 0, 2, 5)],
        &[Insn::new(0x9f, 0, 1, -1, 0)],
        &[Insn::new(0x87, 0, 0, 0, 1)],
        &[Insn::new(0x8f, 0, 0, 0, 0)],
        &[Insn::new(0xd4, 0, 0, 0, 8)],
        &[Insn::new(0xdf, 0, 0, 0, 16)],
        &[Insn::new(0xd7, 0, 3, 0, 16)],
        &[Insn::new(0xbf, 0, 1, 7, 0)],
        &[Insn::new(0xbc, 0, 1, 32, 0)],
        &[Insn::new(0xbc, 0, 1, 1, 1)],
        &[Insn::new(0xbf, 0, 1, 8, 1)],
        &[Insn::new(0xb7, 0, 0, 8, 1)],
        &[Insn::new(0x05, 1, 0, 1, 0)],
        &[Insn::new(0x05, 0, 0, 1, 2)],
        &[Insn::new(0x06, 0, 0, 1, 2)],
        &[Insn::new(0x0e, 0, 0, 0, 0)],
        &[Insn::new(0x0d, 1, 0, 1, 0)],
        &[Insn::new(0x1d, 1, 2, 1, 9)],
        &[Insn::new(0x15, 1, 2, 1, 9)],
        &[Insn::new(0xf5, 0, 0, 0, 0)],
        &[Insn::new(0xe5, 0, 1, 2, 0)],
        &[Insn::new(0xed, 0, 0, 2, 0)],
        &[Insn::new(0x85, 0, 3, 0, 1)],
        &[Insn::new(0x85, 0, 0, 1, 1)],
        &[Insn::new(0x85, 2, 0, 0, 1)],
        &[Insn::new(0x86, 0, 0, 0, 1)],
        &[Insn::new(0x8d, 1, 0, 0, 1)],
        &[Insn::new(0x95, 0, 0, 0, 1)],
        &[Insn::new(0x9d, 0, 0, 0, 0)],
        &[Insn::new(0x61, 0, 1, 0, 3)],
        &[Insn::new(0x99, 0, 1, 0, 0)],
        &[Insn::new(0x21, 0, 1, 0, 0)],
        &[Insn::new(0x62, 1, 2, 0, 0)],
        &[Insn::new(0xc2, 0, 0, 0, 0)],
        &[Insn::new(0x63, 1, 2, 0, 7)],
        &[Insn::new(0x23, 1, 2, 0, 0)],
        &[Insn::new(0xdb, 1, 2, 0, 0x10)],
        &[Insn::new(0xd3, 1, 2, 0, 0)],
        &[Insn::new(0xcb, 1, 2, 0, 1)],
        &[Insn::new(0x30, 0, 1, 0, 0)],
        &[Insn::new(0x20, 2, 0, 0, 0)],
        &[Insn::new(0x38, 0, 0, 0, 0)],
        &[Insn::new(0x00, 0, 0, 0, 0)],
        &[Insn::new(0x60, 0, 0, 0, 0)],
        &[Insn::new(0x18, 0, 0, 0, 0)],
        &[Insn::new(0x18, 0, 0, 1, 0), zero],
        &[Insn::new(0x18, 0, 7, 0, 0), zero],
        &[Insn::new(0x18, 0, 0, 0, 0), Insn::new(0x95, 0, 0, 0, 0)],
        &[Insn::new(0x18, 0, 0, 0, 0), Insn::new(0, 1, 0, 0, 0)],
        &[Insn::new(0x18, 0, 0, 0, 0), Insn::new(0, 0, 0, 4, 0)],
        &[Insn::new(0x18, 0, 1, 0, 3), Insn::new(0, 0, 0, 0, 1)],
    ];
    let mut out = String::new();
    for words in words {
        match decode(words) {
            Ok((instruction, _)) => out.push_str(&format!("ACCEPTED {instruction}\n")),
            Err(error) => out.push_str(&format!("{error}\n")),
        }
    }
    expect![[r#"
        no instruction word left to decode
        opcode 0xe4 is no instruction: arithmetic operations end at 0xd0
        opcode 0x0f: destination register 11 does not exist, registers are r0 to r10
        opcode 0x0f: source register 12 does not exist, registers are r0 to r10
        opcode 0x07 (arithmetic): the source register field is reserved and must be zero, found 1
        opcode 0x0f (arithmetic): the immediate field is reserved and must be zero, found 5
        opcode 0x07 (arithmetic): the offset field is reserved and must be zero, found 1
        opcode 0x37 (division): 2 is no valid offset; allowed: 0 (unsigned), 1 (signed)
        opcode 0x9f (modulo): -1 is no valid offset; allowed: 0 (unsigned), 1 (signed)
        opcode 0x87 (negation): the immediate field is reserved and must be zero, found 1
        opcode 0x8f is no instruction: negation has no register operand
        opcode 0xd4 (byte swap): 8 is no valid width (immediate); allowed: 16, 32, 64
        opcode 0xdf is no instruction: the unconditional byte swap has no source bit
        opcode 0xd7 (byte swap): the source register field is reserved and must be zero, found 3
        opcode 0xbf (64-bit move): 7 is no valid offset; allowed: 0, 1 (address space cast), 8, 16, 32 (sign extension)
        opcode 0xbc (32-bit move): 32 is no valid offset; allowed: 0, 8, 16 (sign extension)
        opcode 0xbc (32-bit move): 1 is no valid offset; allowed: 0, 8, 16 (sign extension)
        opcode 0xbf (sign-extending move): the immediate field is reserved and must be zero, found 1
        opcode 0xb7 (move of an immediate): the offset field is reserved and must be zero, found 8
        opcode 0x05 (goto): the destination register field is reserved and must be zero, found 1
        opcode 0x05 (goto): the immediate field is reserved and must be zero, found 2
        opcode 0x06 (gotol): the offset field is reserved and must be zero, found 1
        opcode 0x0e is no instruction: gotox exists in the 64-bit jump class only
        opcode 0x0d (gotox): the offset field is reserved and must be zero, found 1
        opcode 0x1d (conditional jump): the immediate field is reserved and must be zero, found 9
        opcode 0x15 (conditional jump): the source register field is reserved and must be zero, found 2
        opcode 0xf5 is no instruction: jump operations end at 0xe0
        opcode 0xe5 (may_goto): 1 is no valid kind (source register); allowed: 0
        opcode 0xed is no instruction: may_goto has no register operand
        opcode 0x85 (call): 3 is no valid kind (source register); allowed: 0 (helper), 1 (local), 2 (kfunc)
        opcode 0x85 (call): the offset field is reserved and must be zero, found 1
        opcode 0x85 (call): the destination register field is reserved and must be zero, found 2
        opcode 0x86 is no instruction: call, exit and may_goto exist in the 64-bit jump class only
        opcode 0x8d (callx): the immediate field is reserved and must be zero, found 1
        opcode 0x95 (exit): the immediate field is reserved and must be zero, found 1
        opcode 0x9d is no instruction: exit has no register operand
        opcode 0x61 (load): the immediate field is reserved and must be zero, found 3
        opcode 0x99 is no instruction: a sign-extending load of 8 bytes would extend nothing
        opcode 0x21 is no instruction: loads have the modes MEM and MEMSX only
        opcode 0x62 (store of an immediate): the source register field is reserved and must be zero, found 2
        opcode 0xc2 is no instruction: stores of immediates have the mode MEM only
        opcode 0x63 (store): the immediate field is reserved and must be zero, found 7
        opcode 0x23 is no instruction: stores have the modes MEM and ATOMIC only
        opcode 0xdb (atomic operation): 16 is no valid operation (immediate); allowed: 0x00, 0x40, 0x50, 0xa0 (add, or, and, xor), those plus 1 (fetch), 0xe1 (xchg), 0xf1 (cmpxchg), 0x100, 0x110
        opcode 0xd3 (atomic operation of 1 or 2 bytes): 0 is no valid operation (immediate); allowed: 0x100 (load_acquire), 0x110 (store_release)
        opcode 0xcb (atomic operation of 1 or 2 bytes): 1 is no valid operation (immediate); allowed: 0x100 (load_acquire), 0x110 (store_release)
        opcode 0x30 (packet load): the source register field is reserved and must be zero, found 1
        opcode 0x20 (packet load): the destination register field is reserved and must be zero, found 2
        opcode 0x38 is no instruction: packet loads exist for 1, 2 and 4 bytes only
        opcode 0x00 is no instruction: immediate loads exist for 8 bytes only
        opcode 0x60 is no instruction: class LD has the modes IMM, ABS and IND only
        opcode 0x18 (64-bit immediate load) is two words long, but its second word is missing
        opcode 0x18 (64-bit immediate load): the offset field is reserved and must be zero, found 1
        opcode 0x18 (64-bit immediate load): 7 is no valid kind (source register); allowed: 0 to 6
        opcode 0x18 (64-bit immediate load): the second word's opcode field must be zero, found 149
        opcode 0x18 (64-bit immediate load): the second word's register field must be zero, found 1
        opcode 0x18 (64-bit immediate load): the second word's offset field must be zero, found 4
        opcode 0x18 (64-bit immediate load): the second word's immediate field must be zero, found 1
    "#]].assert_eq(&out);
}

#[test]
fn sizes_that_do_not_exist() {
    let all = [
        Instruction::Atomic { op: AtomicOp::Add, size: Size::B, dst: R1, off: 0, src: R2 },
        Instruction::LoadSx { size: Size::DW, dst: R1, src: R2, off: 0 },
        Instruction::LoadAbs { size: Size::DW, imm: 0 },
        Instruction::LoadInd { size: Size::DW, src: R1, imm: 0 },
        Instruction::Swap { order: Swap::ToBe, size: Size::B, dst: R1 },
        Instruction::MovSx { width: Width::W32, from: Size::W, dst: R1, src: R2 },
        Instruction::MovSx { width: Width::W64, from: Size::DW, dst: R1, src: R2 },
    ];
    let out: String = all
        .iter()
        .map(|instruction| match instruction.encode() {
            Ok(_) => format!("ACCEPTED {instruction}\n"),
            Err(error) => format!("{error}\n"),
        })
        .collect();
    expect![[r#"
        an atomic operation does not exist for B operands; allowed: W, DW
        a sign-extending load does not exist for DW operands; allowed: B, H, W
        a packet load does not exist for DW operands; allowed: B, H, W
        a packet load does not exist for DW operands; allowed: B, H, W
        a byte swap does not exist for B operands; allowed: H, W, DW
        a sign-extending move does not exist for W operands; allowed: B, H and, in 64-bit moves, W
        a sign-extending move does not exist for DW operands; allowed: B, H and, in 64-bit moves, W
    "#]]
    .assert_eq(&out);
}

//! Properties of encoding and decoding.

mod common;
mod exercise;

use asm::*;
use common::*;
use proptest::prelude::*;

fn reg() -> impl Strategy<Value = Reg> {
    (0_u8..=10).prop_map(|n| Reg::new(n).expect("0 to 10 exist"))
}

fn operand() -> impl Strategy<Value = Operand> {
    prop_oneof![reg().prop_map(Operand::Reg), any::<i32>().prop_map(Operand::Imm)]
}

fn size() -> impl Strategy<Value = Size> {
    prop::sample::select(SIZES.to_vec())
}

fn width() -> impl Strategy<Value = Width> {
    prop::sample::select(WIDTHS.to_vec())
}

fn imm64() -> impl Strategy<Value = Imm64> {
    prop_oneof![
        any::<u64>().prop_map(Imm64::Value),
        any::<i32>().prop_map(Imm64::MapFd),
        any::<(i32, u32)>().prop_map(|(fd, offset)| Imm64::MapValue { fd, offset }),
        any::<(u32, i32)>().prop_map(|(btf_id, obj_fd)| Imm64::BtfId { btf_id, obj_fd }),
        any::<i32>().prop_map(Imm64::Func),
        any::<u32>().prop_map(Imm64::MapIdx),
        any::<(u32, u32)>().prop_map(|(index, offset)| Imm64::MapIdxValue { index, offset }),
    ]
}

/// Every instruction, also in sizes that do not exist.
fn instruction() -> impl Strategy<Value = Instruction> {
    let alu = (prop::sample::select(ALU_OPS.to_vec()), width(), reg(), operand())
        .prop_map(|(op, width, dst, src)| Instruction::Alu { op, width, dst, src });
    let cond = (prop::sample::select(CONDS.to_vec()), width(), reg(), operand(), any::<i16>())
        .prop_map(|(cond, width, dst, src, off)| Instruction::JumpIf { cond, width, dst, src, off });
    let atomic = (prop::sample::select(ATOMICS.to_vec()), size(), reg(), any::<i16>(), reg())
        .prop_map(|(op, size, dst, off, src)| Instruction::Atomic { op, size, dst, off, src });
    let swap = (prop::sample::select(vec![Swap::ToLe, Swap::ToBe, Swap::Bswap]), size(), reg())
        .prop_map(|(order, size, dst)| Instruction::Swap { order, size, dst });
    let memory =
        (0..4, size(), reg(), reg(), any::<i16>()).prop_map(|(kind, size, dst, src, off)| match kind {
            0 => Instruction::Load { size, dst, src, off },
            1 => Instruction::LoadSx { size, dst, src, off },
            2 => Instruction::LoadAcquire { size, dst, src, off },
            _ => Instruction::StoreRelease { size, dst, src, off },
        });
    let store = (size(), reg(), any::<i16>(), operand())
        .prop_map(|(size, dst, off, src)| Instruction::Store { size, dst, off, src });
    let moves = (width(), size(), reg(), reg()).prop_map(|(width, from, dst, src)| Instruction::MovSx {
        width,
        from,
        dst,
        src,
    });
    let cast = (reg(), reg(), any::<u16>(), any::<u16>())
        .prop_map(|(dst, src, to, from)| Instruction::AddrSpaceCast { dst, src, to, from });
    let rest = (0..13, width(), size(), reg(), any::<i32>(), any::<i16>()).prop_map(
        |(kind, width, size, reg, imm, off)| match kind {
            0 => Instruction::Neg { width, dst: reg },
            1 => Instruction::LoadAbs { size, imm },
            2 => Instruction::LoadInd { size, src: reg, imm },
            3 => Instruction::Jump { off },
            4 => Instruction::JumpLong { off: imm },
            5 => Instruction::JumpReg { dst: reg },
            6 => Instruction::MayGoto { off },
            7 => Instruction::Call(CallTarget::Helper(Helper(imm as u32))),
            8 => Instruction::Call(CallTarget::Local(imm)),
            9 => Instruction::Call(CallTarget::Kfunc { btf_id: imm, fd_index: off }),
            10 => Instruction::CallReg { dst: reg },
            _ => Instruction::Exit,
        },
    );
    let load = (reg(), imm64()).prop_map(|(dst, value)| Instruction::LdImm64 { dst, value });
    prop_oneof![alu, cond, atomic, swap, memory, store, moves, cast, rest, load]
}

fn word() -> impl Strategy<Value = Insn> {
    // Small fields are where the rules are; a part of the words is drawn without preference.
    let near = (any::<u8>(), 0_u8..12, 0_u8..12, -2_i16..34, prop_oneof![0..3_i32, 0..0x120_i32])
        .prop_map(|(opcode, dst, src, off, imm)| Insn::new(opcode, dst, src, off, imm));
    let plain =
        (any::<u8>(), 0_u8..12, 0_u8..8).prop_map(|(opcode, dst, src)| Insn::new(opcode, dst, src, 0, 0));
    prop_oneof![any::<[u8; 8]>().prop_map(Insn::from_bytes), near, plain]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4096, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_encodes_decodes_to_the_same(instruction in instruction()) {
        if let Ok(words) = instruction.encode() {
            prop_assert_eq!(decode(&words), Ok((instruction, words.len())));
        }
    }

    #[test]
    fn what_decodes_encodes_to_the_same(words in prop::collection::vec(word(), 0..3)) {
        exercise::round_trip(&words);
        exercise::disassembly(&words);
    }

    #[test]
    fn what_is_printed_is_read_back(words in prop::collection::vec(word(), 0..12)) {
        exercise::reassembly(&words);
        exercise::listing(&words);
    }

    #[test]
    fn every_instruction_is_read_back(instructions in prop::collection::vec(instruction(), 1..12)) {
        let words: Vec<Insn> =
            instructions.iter().filter_map(|i| i.encode().ok()).flat_map(|words| words.to_vec()).collect();
        exercise::reassembly(&words);
        exercise::listing(&words);
    }

    #[test]
    fn any_text_is_read_or_refused(text in "\\PC{0,80}") {
        exercise::text(&text);
    }

    #[test]
    fn any_words_are_read_or_refused(words in prop::collection::vec(prop::sample::select(WORDS.to_vec()), 0..24)) {
        exercise::text(&words.join(" "));
        exercise::text(&words.concat());
    }

    #[test]
    fn byte_orders_are_inverses(bytes in any::<[u8; 8]>()) {
        prop_assert_eq!(Insn::from_bytes(bytes).to_u64().to_ne_bytes(), bytes);
        prop_assert_eq!(Insn::from_bytes_le(bytes).to_bytes_le(), bytes);
        prop_assert_eq!(Insn::from_bytes_be(bytes).to_bytes_be(), bytes);
    }
}

/// Pieces of texts, of which instructions and near misses are put together.
const WORDS: &[&str] = &[
    "r0",
    "r1",
    "r10",
    "r11",
    "w1",
    "%r2",
    "=",
    "+=",
    "s>>=",
    "<<=",
    "-",
    "+",
    "*",
    "(u64 *)",
    "(u32*)",
    "(s8)",
    "(",
    ")",
    "[",
    "]",
    "(r1 +8)",
    "*(u64 *)(r1 +8)",
    "if",
    "goto",
    "gotol",
    "may_goto",
    "pc+1",
    "+1",
    "-1",
    "1f",
    "1b",
    "1:",
    "a:",
    "a",
    "call",
    "bpf_ktime_get_ns",
    "#1",
    "#",
    "local",
    "kfunc",
    "exit",
    "lock",
    "add64",
    "fetch",
    "ldxdw",
    "stw",
    "stxdw",
    "lddw",
    "jeq",
    "ja",
    "be16",
    "ldabsb",
    ",",
    ";",
    "; a comment",
    "//",
    "/*",
    "*/",
    "\n",
    "\n",
    "\t",
    "0",
    "5",
    "0x5",
    "0xffffffff",
    "0x1122334455667788",
    "ll",
    "map[",
    "map[m]",
    "map[id:3]",
    "[0]",
    "&m",
    "m",
    "==",
    "s<",
    "&",
    "(b7)",
    "(18)",
    "0:",
    "12:",
    ".map m type=hash key=4 value=8 entries=1",
    ".data d = ",
    "\"s\"",
    ".func f",
    "call f",
    ".equ",
    ".raw",
    ".byte",
    ".line",
    "none",
    "auto",
    ".file",
    ".type",
    ".section",
    ".license",
    ".kfunc k",
    "call k",
    "type=",
    "inner=m",
    "hex 00",
    "u32",
    ".bss b 8",
    "atomic64_fetch_add",
    "subprog[",
    "btf[id:",
    "\u{e9}",
];

/// Every opcode byte with all other fields zero: what decodes, encodes to the same again.
#[test]
fn every_opcode() {
    let mut valid = 0;
    for opcode in 0..=u8::MAX {
        let words = [Insn::new(opcode, 0, 0, 0, 0), Insn::default()];
        if let Ok((instruction, slots)) = decode(&words) {
            valid += 1;
            assert_eq!(instruction.encode().as_deref(), Ok(&words[..slots]));
        }
    }
    // 12 two-operand operations times 2 widths times 2 operands (a zero immediate is no swap width), 2 negations, 44
    // conditional jumps, 3 gotos, call, callx, exit, may_goto, 4 + 3 loads, 8 stores, 2 atomic adds, 6 packet loads,
    // 1 immediate load.
    assert_eq!(valid, 12 * 4 + 2 + 44 + 3 + 4 + 7 + 8 + 2 + 6 + 1);
}

/// The whole encoding space: every opcode with every pair of registers, and offsets and immediates around those that
/// mean something.
#[test]
fn every_encoding_is_read_back() {
    const OFFS: [i16; 10] = [0, 1, 2, 8, 16, 32, 64, -1, i16::MAX, i16::MIN];
    const IMMS: [i32; 14] = [0, 1, 2, 16, 32, 64, 0x41, 0x51, 0xa1, 0xe1, 0xf1, 0x100, 0x110, i32::MIN];
    let (mut valid, mut refused) = (0, 0);
    for opcode in 0..=u8::MAX {
        let mut words = Vec::new();
        for regs in 0..=u8::MAX {
            for (n, off) in OFFS.into_iter().enumerate() {
                for (m, imm) in IMMS.into_iter().enumerate() {
                    // Where a field does not matter, a few of its values are enough.
                    if n > 1 && m > 1 && (n + m + usize::from(regs)) % 7 != 0 {
                        continue;
                    }
                    let insn = Insn { opcode, regs, off, imm };
                    let second = Insn { imm: imm.wrapping_mul(3), ..Insn::default() };
                    let Ok((_, slots)) = decode(&[insn, second]) else {
                        refused += 1;
                        continue;
                    };
                    valid += 1;
                    words.extend(&[insn, second][..slots]);
                }
            }
        }
        exercise::reassembly(&words);
    }
    assert!(valid > 50_000 && refused > 1_000_000, "{valid} {refused}");
}

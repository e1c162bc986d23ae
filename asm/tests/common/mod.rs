//! Samples of every instruction, shared by the tests.
#![allow(dead_code)]

use asm::*;

pub const ALU_OPS: [AluOp; 14] = [
    AluOp::Add,
    AluOp::Sub,
    AluOp::Mul,
    AluOp::Div,
    AluOp::SDiv,
    AluOp::Or,
    AluOp::And,
    AluOp::Lsh,
    AluOp::Rsh,
    AluOp::Mod,
    AluOp::SMod,
    AluOp::Xor,
    AluOp::Mov,
    AluOp::Arsh,
];

pub const CONDS: [Cond; 11] = [
    Cond::Eq,
    Cond::Ne,
    Cond::Gt,
    Cond::Ge,
    Cond::Lt,
    Cond::Le,
    Cond::Set,
    Cond::SGt,
    Cond::SGe,
    Cond::SLt,
    Cond::SLe,
];

pub const ATOMICS: [AtomicOp; 10] = [
    AtomicOp::Add,
    AtomicOp::Or,
    AtomicOp::And,
    AtomicOp::Xor,
    AtomicOp::FetchAdd,
    AtomicOp::FetchOr,
    AtomicOp::FetchAnd,
    AtomicOp::FetchXor,
    AtomicOp::Xchg,
    AtomicOp::CmpXchg,
];

pub const SIZES: [Size; 4] = [Size::B, Size::H, Size::W, Size::DW];
pub const WIDTHS: [Width; 2] = [Width::W64, Width::W32];

/// One hexadecimal line per word and the text beside the first.
pub fn table(instructions: impl IntoIterator<Item = Instruction>) -> String {
    let mut out = String::new();
    for instruction in instructions {
        let words = instruction.encode().expect("every sample can be encoded");
        let (again, slots) = decode(&words).expect("every sample can be decoded");
        assert_eq!((again, slots), (instruction, words.len()));
        for (index, word) in words.iter().enumerate() {
            for byte in word.to_bytes_le() {
                out.push_str(&format!("{byte:02x} "));
            }
            out.push_str(&if index == 0 { format!(" {instruction}\n") } else { " ...\n".to_owned() });
        }
    }
    out
}

//! Typed instruction to words.

use crate::instruction::*;
use crate::opcode::*;
use crate::{BuildError, Insn, Reg, Size, Width};

/// The one or two words of an instruction.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Encoded {
    words: [Insn; 2],
    len: usize,
}

impl Encoded {
    /// The words.
    pub fn as_slice(&self) -> &[Insn] {
        &self.words[..self.len]
    }
}

impl std::ops::Deref for Encoded {
    type Target = [Insn];
    fn deref(&self) -> &[Insn] {
        self.as_slice()
    }
}

fn alu_class(width: Width) -> u8 {
    match width {
        Width::W32 => ALU,
        Width::W64 => ALU64,
    }
}

fn jump_class(width: Width) -> u8 {
    match width {
        Width::W32 => JMP32,
        Width::W64 => JMP,
    }
}

pub(crate) fn alu_code(op: AluOp) -> (u8, i16) {
    match op {
        AluOp::Add => (ADD, 0),
        AluOp::Sub => (SUB, 0),
        AluOp::Mul => (MUL, 0),
        AluOp::Div => (DIV, 0),
        AluOp::SDiv => (DIV, 1),
        AluOp::Or => (OR, 0),
        AluOp::And => (AND, 0),
        AluOp::Lsh => (LSH, 0),
        AluOp::Rsh => (RSH, 0),
        AluOp::Mod => (MOD, 0),
        AluOp::SMod => (MOD, 1),
        AluOp::Xor => (XOR, 0),
        AluOp::Mov => (MOV, 0),
        AluOp::Arsh => (ARSH, 0),
    }
}

fn cond_code(cond: Cond) -> u8 {
    match cond {
        Cond::Eq => JEQ,
        Cond::Ne => JNE,
        Cond::Gt => JGT,
        Cond::Ge => JGE,
        Cond::Lt => JLT,
        Cond::Le => JLE,
        Cond::Set => JSET,
        Cond::SGt => JSGT,
        Cond::SGe => JSGE,
        Cond::SLt => JSLT,
        Cond::SLe => JSLE,
    }
}

pub(crate) fn atomic_code(op: AtomicOp) -> i32 {
    match op {
        AtomicOp::Add => ADD.into(),
        AtomicOp::Or => OR.into(),
        AtomicOp::And => AND.into(),
        AtomicOp::Xor => XOR.into(),
        AtomicOp::FetchAdd => i32::from(ADD) | FETCH,
        AtomicOp::FetchOr => i32::from(OR) | FETCH,
        AtomicOp::FetchAnd => i32::from(AND) | FETCH,
        AtomicOp::FetchXor => i32::from(XOR) | FETCH,
        AtomicOp::Xchg => XCHG,
        AtomicOp::CmpXchg => CMPXCHG,
    }
}

fn word(opcode: u8, dst: Reg, src: Reg, off: i16, imm: i32) -> Result<Encoded, BuildError> {
    let insn = Insn::new(opcode, dst.number(), src.number(), off, imm);
    Ok(Encoded { words: [insn, Insn::default()], len: 1 })
}

fn with_operand(opcode: u8, dst: Reg, src: Operand, off: i16) -> Result<Encoded, BuildError> {
    match src {
        Operand::Reg(src) => word(opcode | X, dst, src, off, 0),
        Operand::Imm(imm) => word(opcode, dst, Reg::R0, off, imm),
    }
}

fn only(what: &'static str, size: Size, ok: bool, allowed: &'static str) -> Result<(), BuildError> {
    if ok { Ok(()) } else { Err(BuildError::Size { what, size, allowed }) }
}

impl Instruction {
    /// The instruction's words.
    ///
    /// # Errors
    ///
    /// [`BuildError::Size`] when the operation does not exist in the size asked for, for example an atomic add of one
    /// byte.
    pub fn encode(&self) -> Result<Encoded, BuildError> {
        let none = Reg::R0;
        match *self {
            Instruction::Alu { op, width, dst, src } => {
                let (code, off) = alu_code(op);
                with_operand(alu_class(width) | code, dst, src, off)
            }
            Instruction::Neg { width, dst } => word(alu_class(width) | NEG, dst, none, 0, 0),
            Instruction::MovSx { width, from, dst, src } => {
                let ok = match width {
                    Width::W32 => matches!(from, Size::B | Size::H),
                    Width::W64 => from != Size::DW,
                };
                only("a sign-extending move", from, ok, "B, H and, in 64-bit moves, W")?;
                word(alu_class(width) | MOV | X, dst, src, from.bytes() as i16 * 8, 0)
            }
            Instruction::Swap { order, size, dst } => {
                only("a byte swap", size, size != Size::B, "H, W, DW")?;
                let opcode = match order {
                    Swap::ToLe => ALU | END,
                    Swap::ToBe => ALU | END | X,
                    Swap::Bswap => ALU64 | END,
                };
                word(opcode, dst, none, 0, size.bytes() as i32 * 8)
            }
            Instruction::AddrSpaceCast { dst, src, to, from } => {
                let imm = (u32::from(to) << 16) | u32::from(from);
                word(ALU64 | MOV | X, dst, src, 1, imm as i32)
            }
            Instruction::PercpuAddr { dst, src } => word(ALU64 | MOV | X, dst, src, PERCPU_OFF, 0),
            Instruction::Load { size, dst, src, off } => word(LDX | MODE_MEM | size.bits(), dst, src, off, 0),
            Instruction::LoadSx { size, dst, src, off } => {
                only("a sign-extending load", size, size != Size::DW, "B, H, W")?;
                word(LDX | MODE_MEMSX | size.bits(), dst, src, off, 0)
            }
            Instruction::Store { size, dst, off, src: Operand::Reg(src) } => {
                word(STX | MODE_MEM | size.bits(), dst, src, off, 0)
            }
            Instruction::Store { size, dst, off, src: Operand::Imm(imm) } => {
                word(ST | MODE_MEM | size.bits(), dst, none, off, imm)
            }
            Instruction::Atomic { op, size, dst, off, src } => {
                only("an atomic operation", size, matches!(size, Size::W | Size::DW), "W, DW")?;
                word(STX | MODE_ATOMIC | size.bits(), dst, src, off, atomic_code(op))
            }
            Instruction::LoadAcquire { size, dst, src, off } => {
                word(STX | MODE_ATOMIC | size.bits(), dst, src, off, LOAD_ACQ)
            }
            Instruction::StoreRelease { size, dst, off, src } => {
                word(STX | MODE_ATOMIC | size.bits(), dst, src, off, STORE_REL)
            }
            Instruction::LoadAbs { size, imm } => {
                only("a packet load", size, size != Size::DW, "B, H, W")?;
                word(LD | MODE_ABS | size.bits(), none, none, 0, imm)
            }
            Instruction::LoadInd { size, src, imm } => {
                only("a packet load", size, size != Size::DW, "B, H, W")?;
                word(LD | MODE_IND | size.bits(), none, src, 0, imm)
            }
            Instruction::LdImm64 { dst, value } => {
                let (kind, low, high) = imm64_parts(value);
                let first = Insn::new(LD | MODE_IMM | Size::DW.bits(), dst.number(), kind, 0, low);
                Ok(Encoded { words: [first, Insn::new(0, 0, 0, 0, high)], len: 2 })
            }
            Instruction::Jump { off } => word(JMP | JA, none, none, off, 0),
            Instruction::JumpLong { off } => word(JMP32 | JA, none, none, 0, off),
            Instruction::JumpReg { dst } => word(JMP | JA | X, dst, none, 0, 0),
            Instruction::JumpIf { cond, width, dst, src, off } => {
                with_operand(jump_class(width) | cond_code(cond), dst, src, off)
            }
            Instruction::MayGoto { off } => word(JMP | JCOND, none, none, off, 0),
            Instruction::Call(CallTarget::Helper(helper)) => word(JMP | CALL, none, none, 0, helper.0 as i32),
            Instruction::Call(CallTarget::Local(off)) => word(JMP | CALL, none, Reg::R1, 0, off),
            Instruction::Call(CallTarget::Kfunc { btf_id, fd_index }) => {
                word(JMP | CALL, none, Reg::R2, fd_index, btf_id)
            }
            Instruction::CallReg { dst } => word(JMP | CALL | X, dst, none, 0, 0),
            Instruction::Exit => word(JMP | EXIT, none, none, 0, 0),
            Instruction::NoSpec => word(ST | MODE_NOSPEC, none, none, 0, 0),
        }
    }
}

/// Kind (the source register field), low and high word.
fn imm64_parts(value: Imm64) -> (u8, i32, i32) {
    match value {
        Imm64::Value(v) => (0, v as i32, (v >> 32) as i32),
        Imm64::MapFd(fd) => (1, fd, 0),
        Imm64::MapValue { fd, offset } => (2, fd, offset as i32),
        Imm64::BtfId { btf_id, obj_fd } => (3, btf_id as i32, obj_fd),
        Imm64::Func(off) => (4, off, 0),
        Imm64::MapIdx(index) => (5, index as i32, 0),
        Imm64::MapIdxValue { index, offset } => (6, index as i32, offset as i32),
    }
}

//! Instruction words become [`Op`]s.

use super::op::{Code, Op};
use super::trap::TrapKind;
use asm::{AluOp, AtomicOp, CallTarget, Cond, Imm64, Insn, Instruction, Operand, Reg, Size, Swap, Width};

/// What stands in a program that the machine has to look up.
pub(super) trait Names {
    /// Address of a map by its index in the program.
    fn map(&mut self, index: u32) -> Result<u64, String>;
    /// Address in a map's first value.
    fn map_value(&mut self, index: u32, offset: u32) -> Result<u64, String>;
    /// Address of a kernel variable.
    fn variable(&mut self, btf_id: u32) -> Result<u64, String>;
    /// A number for a kernel function, by which it is called later.
    fn kfunc(&mut self, btf_id: i32, module: i16) -> Result<u64, String>;
    /// A number for words that cannot be executed.
    fn trap(&mut self, kind: TrapKind) -> u64;
}

/// A program's ops, and which word each came from.
#[derive(Clone, Debug, Default)]
pub(super) struct Decoded {
    pub ops: Vec<Op>,
    pub words: Vec<u32>,
    /// How many instructions there are; ops behind them only trap.
    pub count: usize,
}

/// Upper half of the addresses of functions.
pub(super) const CODE_BASE: u64 = 0xfe00_0000_0000_0000;

/// Decodes a program; its first op will have the number `base`.
pub(super) fn decode(insns: &[Insn], base: usize, names: &mut dyn Names) -> Decoded {
    let mut out = Decoded::default();
    // Slot of each word; the second half of a 64-bit load has none.
    let mut slots = vec![u32::MAX; insns.len() + 1];
    let mut parsed = Vec::with_capacity(insns.len());
    let mut at = 0;
    while at < insns.len() {
        slots[at] = parsed.len() as u32;
        out.words.push(at as u32);
        // The translated form has all of the plain one and what the kernel makes itself, which is refused below.
        let decoded = asm::decode(&insns[at..]);
        at += decoded.as_ref().map_or(1, |(_, words)| *words);
        parsed.push(decoded.map(|(insn, _)| insn).map_err(|error| error.to_string()));
    }
    out.words.push(insns.len() as u32);
    let count = parsed.len();
    out.count = count;
    // Where jumps go that have no target: ops behind the last, which trap.
    let mut stray = Vec::new();
    for (slot, insn) in parsed.into_iter().enumerate() {
        let mut context = Context { slots: &slots, words: &out.words, slot, base, count, stray: &mut stray };
        let op = match insn {
            Ok(insn) => context.op(insn, names),
            Err(error) => {
                let imm = names.trap(TrapKind::BadInstruction(error));
                Op { imm, ..Op::new(Code::Bad) }
            }
        };
        out.ops.push(op);
    }
    let imm = names.trap(TrapKind::FellOffTheEnd);
    out.ops.push(Op { imm, ..Op::new(Code::Bad) });
    for (slot, imm) in stray {
        out.ops.push(Op { imm, ..Op::new(Code::Bad) });
        out.words.push(out.words[slot]);
    }
    out
}

struct Context<'a> {
    slots: &'a [u32],
    words: &'a [u32],
    slot: usize,
    base: usize,
    count: usize,
    stray: &'a mut Vec<(usize, u64)>,
}

impl Context<'_> {
    /// Slot that lies `off` words behind the next instruction, as a distance from the next slot.
    fn target(&self, off: i64) -> Result<i32, i64> {
        let target = i64::from(self.words[self.slot + 1]) + off;
        let slot = usize::try_from(target).ok().and_then(|t| self.slots.get(t)).copied();
        match slot {
            Some(slot) if slot != u32::MAX => Ok(slot as i32 - self.slot as i32 - 1),
            _ => Err(target),
        }
    }

    fn jump(&mut self, code: Code, dst: u8, src: u8, off: i64, imm: u64, names: &mut dyn Names) -> Op {
        let off = self.target(off).unwrap_or_else(|target| {
            self.stray.push((self.slot, names.trap(TrapKind::BadJump { target })));
            (self.count + self.stray.len()) as i32 - self.slot as i32 - 1
        });
        Op { code, dst, src, width: 0, off, imm }
    }

    fn op(&mut self, insn: Instruction, names: &mut dyn Names) -> Op {
        let writes = match insn {
            Instruction::Alu { dst, .. }
            | Instruction::Neg { dst, .. }
            | Instruction::MovSx { dst, .. }
            | Instruction::Swap { dst, .. }
            | Instruction::AddrSpaceCast { dst, .. }
            | Instruction::Load { dst, .. }
            | Instruction::LoadSx { dst, .. }
            | Instruction::LoadAcquire { dst, .. }
            | Instruction::LdImm64 { dst, .. } => Some(dst),
            Instruction::Atomic { op, src, .. } => {
                let fetches = !matches!(
                    op,
                    AtomicOp::Add | AtomicOp::Or | AtomicOp::And | AtomicOp::Xor | AtomicOp::CmpXchg
                );
                fetches.then_some(src)
            }
            _ => None,
        };
        if writes == Some(Reg::R10) {
            return bad(names, "it writes to r10, which is read-only".to_owned());
        }
        match insn {
            Instruction::Alu { op, width, dst, src } => alu(op, width, dst, src),
            Instruction::Neg { width, dst } => {
                let code = if width == Width::W64 { Code::Neg64 } else { Code::Neg32 };
                Op { dst: dst.number(), ..Op::new(code) }
            }
            Instruction::MovSx { width, from, dst, src } => {
                let code = match (width, from) {
                    (Width::W64, Size::B) => Code::MovSx8To64,
                    (Width::W64, Size::H) => Code::MovSx16To64,
                    (Width::W64, _) => Code::MovSx32To64,
                    (Width::W32, Size::B) => Code::MovSx8To32,
                    (Width::W32, _) => Code::MovSx16To32,
                };
                Op { dst: dst.number(), src: src.number(), ..Op::new(code) }
            }
            Instruction::Swap { order, size, dst } => {
                let swaps = match order {
                    Swap::Bswap => true,
                    Swap::ToBe => cfg!(target_endian = "little"),
                    Swap::ToLe => cfg!(target_endian = "big"),
                };
                let code = match (swaps, size) {
                    (true, Size::H) => Code::Swap16,
                    (true, Size::W) => Code::Swap32,
                    (true, _) => Code::Swap64,
                    (false, Size::H) => Code::Zext16,
                    (false, Size::W) => Code::Zext32,
                    (false, _) => Code::Nop,
                };
                Op { dst: dst.number(), ..Op::new(code) }
            }
            Instruction::AddrSpaceCast { dst, src, to, from } => {
                // To the kernel's view the cast keeps the lower half; user space's adds the arena's start.
                let code = if (to, from) == (0, 1) { Code::Mov32R } else { Code::ToUserSpace };
                Op { dst: dst.number(), src: src.number(), ..Op::new(code) }
            }
            Instruction::Load { size, dst, src, off } | Instruction::LoadAcquire { size, dst, src, off } => {
                let code = match size {
                    Size::B => Code::Load8,
                    Size::H => Code::Load16,
                    Size::W => Code::Load32,
                    Size::DW => Code::Load64,
                };
                Op { dst: dst.number(), src: src.number(), off: off.into(), ..Op::new(code) }
            }
            Instruction::LoadSx { size, dst, src, off } => {
                let code = match size {
                    Size::B => Code::LoadSx8,
                    Size::H => Code::LoadSx16,
                    _ => Code::LoadSx32,
                };
                Op { dst: dst.number(), src: src.number(), off: off.into(), ..Op::new(code) }
            }
            Instruction::Store { size, dst, off, src } => {
                let code = match (size, src) {
                    (Size::B, Operand::Reg(_)) => Code::Store8R,
                    (Size::H, Operand::Reg(_)) => Code::Store16R,
                    (Size::W, Operand::Reg(_)) => Code::Store32R,
                    (Size::DW, Operand::Reg(_)) => Code::Store64R,
                    (Size::B, Operand::Imm(_)) => Code::Store8I,
                    (Size::H, Operand::Imm(_)) => Code::Store16I,
                    (Size::W, Operand::Imm(_)) => Code::Store32I,
                    (Size::DW, Operand::Imm(_)) => Code::Store64I,
                };
                let (src, imm) = parts(src);
                Op { code, dst: dst.number(), src, width: 0, off: off.into(), imm: i64::from(imm) as u64 }
            }
            Instruction::StoreRelease { size, dst, off, src } => {
                let code = match size {
                    Size::B => Code::Store8R,
                    Size::H => Code::Store16R,
                    Size::W => Code::Store32R,
                    Size::DW => Code::Store64R,
                };
                Op { dst: dst.number(), src: src.number(), off: off.into(), ..Op::new(code) }
            }
            Instruction::Atomic { op, size, dst, off, src } => {
                let code = if size == Size::DW { Code::Atomic64 } else { Code::Atomic32 };
                let op = match op {
                    AtomicOp::Add => 0,
                    AtomicOp::Or => 1,
                    AtomicOp::And => 2,
                    AtomicOp::Xor => 3,
                    AtomicOp::FetchAdd => 4,
                    AtomicOp::FetchOr => 5,
                    AtomicOp::FetchAnd => 6,
                    AtomicOp::FetchXor => 7,
                    AtomicOp::Xchg => 8,
                    AtomicOp::CmpXchg => 9,
                };
                Op { code, dst: dst.number(), src: src.number(), width: 0, off: off.into(), imm: op }
            }
            Instruction::LoadAbs { size, imm } => {
                Op { width: size.bytes() as u8, imm: i64::from(imm) as u64, ..Op::new(Code::LoadAbs) }
            }
            Instruction::LoadInd { size, src, imm } => Op {
                src: src.number(),
                width: size.bytes() as u8,
                imm: i64::from(imm) as u64,
                ..Op::new(Code::LoadInd)
            },
            Instruction::LdImm64 { dst, value } => self.imm64(dst, value, names),
            Instruction::Jump { off } => self.jump(Code::Jump, 0, 0, off.into(), 0, names),
            Instruction::JumpLong { off } => self.jump(Code::Jump, 0, 0, off.into(), 0, names),
            Instruction::MayGoto { off } => self.jump(Code::MayGoto, 0, 0, off.into(), 0, names),
            Instruction::JumpIf { cond, width, dst, src, off } => {
                let code = condition(cond, width, matches!(src, Operand::Reg(_)));
                let (src, imm) = parts(src);
                self.jump(code, dst.number(), src, off.into(), i64::from(imm) as u64, names)
            }
            Instruction::Exit => Op::new(Code::Exit),
            Instruction::Call(CallTarget::Local(off)) => {
                self.jump(Code::CallLocal, 0, 0, off.into(), 0, names)
            }
            Instruction::Call(CallTarget::Helper(helper)) => {
                Op { imm: u64::from(helper.id()), ..Op::new(Code::Helper) }
            }
            Instruction::Call(CallTarget::Kfunc { btf_id, fd_index }) => {
                match names.kfunc(btf_id, fd_index) {
                    Ok(imm) => Op { imm, ..Op::new(Code::Kfunc) },
                    Err(why) => trap(names, TrapKind::NotSimulated(why)),
                }
            }
            other => {
                let name = match other {
                    Instruction::JumpReg { .. } => "an indirect jump",
                    Instruction::CallReg { .. } => "a call through a register",
                    _ => "an instruction that only the kernel makes",
                };
                trap(names, TrapKind::NotSimulated(name.to_owned()))
            }
        }
    }

    fn imm64(&self, dst: Reg, value: Imm64, names: &mut dyn Names) -> Op {
        let found = match value {
            Imm64::Value(value) => Ok(value),
            Imm64::MapFd(index) => names.map(index as u32),
            Imm64::MapIdx(index) => names.map(index),
            Imm64::MapValue { fd, offset } => names.map_value(fd as u32, offset),
            Imm64::MapIdxValue { index, offset } => names.map_value(index, offset),
            Imm64::BtfId { btf_id, .. } => names.variable(btf_id),
            Imm64::Func(off) => {
                // The distance counts from the next word, not from the next instruction.
                match self.target(i64::from(off) - 1) {
                    Ok(distance) => {
                        let slot = self.base as i64 + self.slot as i64 + 1 + i64::from(distance);
                        Ok(CODE_BASE | slot as u64)
                    }
                    Err(target) => return trap(names, TrapKind::BadJump { target }),
                }
            }
        };
        match found {
            Ok(imm) => Op { dst: dst.number(), imm, ..Op::new(Code::MovI) },
            Err(why) => bad(names, why),
        }
    }
}

fn trap(names: &mut dyn Names, kind: TrapKind) -> Op {
    Op { imm: names.trap(kind), ..Op::new(Code::Bad) }
}

fn bad(names: &mut dyn Names, why: String) -> Op {
    trap(names, TrapKind::BadInstruction(why))
}

fn parts(operand: Operand) -> (u8, i32) {
    match operand {
        Operand::Reg(reg) => (reg.number(), 0),
        Operand::Imm(imm) => (0, imm),
    }
}

fn alu(op: AluOp, width: Width, dst: Reg, src: Operand) -> Op {
    macro_rules! pick {
        ($($op:ident $r64:ident $i64:ident $r32:ident $i32:ident;)*) => {
            match (op, width, src) {
                $(
                    (AluOp::$op, Width::W64, Operand::Reg(_)) => Code::$r64,
                    (AluOp::$op, Width::W64, Operand::Imm(_)) => Code::$i64,
                    (AluOp::$op, Width::W32, Operand::Reg(_)) => Code::$r32,
                    (AluOp::$op, Width::W32, Operand::Imm(_)) => Code::$i32,
                )*
            }
        };
    }
    let code = pick! {
        Add Add64R Add64I Add32R Add32I;
        Sub Sub64R Sub64I Sub32R Sub32I;
        Mul Mul64R Mul64I Mul32R Mul32I;
        Div Div64R Div64I Div32R Div32I;
        SDiv SDiv64R SDiv64I SDiv32R SDiv32I;
        Mod Mod64R Mod64I Mod32R Mod32I;
        SMod SMod64R SMod64I SMod32R SMod32I;
        Or Or64R Or64I Or32R Or32I;
        And And64R And64I And32R And32I;
        Xor Xor64R Xor64I Xor32R Xor32I;
        Lsh Lsh64R Lsh64I Lsh32R Lsh32I;
        Rsh Rsh64R Rsh64I Rsh32R Rsh32I;
        Arsh Arsh64R Arsh64I Arsh32R Arsh32I;
        Mov Mov64R MovI Mov32R MovI;
    };
    let (src, imm) = parts(src);
    // A 32-bit move of an immediate leaves the upper half zero.
    let imm = if width == Width::W64 { i64::from(imm) as u64 } else { u64::from(imm as u32) };
    Op { code, dst: dst.number(), src, width: 0, off: 0, imm }
}

fn condition(cond: Cond, width: Width, register: bool) -> Code {
    macro_rules! pick {
        ($($cond:ident $r64:ident $i64:ident $r32:ident $i32:ident;)*) => {
            match (cond, width, register) {
                $(
                    (Cond::$cond, Width::W64, true) => Code::$r64,
                    (Cond::$cond, Width::W64, false) => Code::$i64,
                    (Cond::$cond, Width::W32, true) => Code::$r32,
                    (Cond::$cond, Width::W32, false) => Code::$i32,
                )*
            }
        };
    }
    pick! {
        Eq Eq64R Eq64I Eq32R Eq32I;
        Ne Ne64R Ne64I Ne32R Ne32I;
        Gt Gt64R Gt64I Gt32R Gt32I;
        Ge Ge64R Ge64I Ge32R Ge32I;
        Lt Lt64R Lt64I Lt32R Lt32I;
        Le Le64R Le64I Le32R Le32I;
        Set Set64R Set64I Set32R Set32I;
        SGt SGt64R SGt64I SGt32R SGt32I;
        SGe SGe64R SGe64I SGe32R SGe32I;
        SLt SLt64R SLt64I SLt32R SLt32I;
        SLe SLe64R SLe64I SLe32R SLe32I;
    }
}

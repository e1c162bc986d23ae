//! Mnemonics: the names of RFC 9669, as its user-space implementations write them.

use super::error::{Fail, Parsed};
use super::kernel::width;
use super::statement::{Text, Want};
use crate::instruction::*;
use crate::{Reg, Size, Width};

/// What a mnemonic stands for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Op {
    Alu(AluOp, Width),
    Neg(Width),
    Swap(Swap, Size),
    MovSx(Width, Size),
    Load(Size),
    LoadSx(Size),
    StoreImm(Size),
    StoreReg(Size),
    LoadAcquire(Size),
    StoreRelease(Size),
    LoadAbs(Size),
    LoadInd(Size),
    Imm64,
    /// clang's 64-bit immediate load of a kind (`ld_pseudo r1, 1, 3`).
    Pseudo,
    Goto,
    GotoLong,
    Jump(Cond, Width),
    Atomic(AtomicOp, Size),
    Cast,
}

impl Op {
    pub fn is_jump(self) -> bool {
        matches!(self, Op::Goto | Op::GotoLong)
    }
}

pub(crate) const ALU: &[(&str, AluOp)] = &[
    ("add", AluOp::Add),
    ("sub", AluOp::Sub),
    ("mul", AluOp::Mul),
    ("div", AluOp::Div),
    ("sdiv", AluOp::SDiv),
    ("or", AluOp::Or),
    ("and", AluOp::And),
    ("lsh", AluOp::Lsh),
    ("rsh", AluOp::Rsh),
    ("mod", AluOp::Mod),
    ("smod", AluOp::SMod),
    ("xor", AluOp::Xor),
    ("mov", AluOp::Mov),
    ("arsh", AluOp::Arsh),
];

pub(crate) const JUMPS: &[(&str, Cond)] = &[
    ("jeq", Cond::Eq),
    ("jne", Cond::Ne),
    ("jgt", Cond::Gt),
    ("jge", Cond::Ge),
    ("jlt", Cond::Lt),
    ("jle", Cond::Le),
    ("jset", Cond::Set),
    ("jsgt", Cond::SGt),
    ("jsge", Cond::SGe),
    ("jslt", Cond::SLt),
    ("jsle", Cond::SLe),
];

pub(crate) const ATOMICS: &[(&str, AtomicOp)] = &[
    ("add", AtomicOp::Add),
    ("or", AtomicOp::Or),
    ("and", AtomicOp::And),
    ("xor", AtomicOp::Xor),
    ("fetch_add", AtomicOp::FetchAdd),
    ("fetch_or", AtomicOp::FetchOr),
    ("fetch_and", AtomicOp::FetchAnd),
    ("fetch_xor", AtomicOp::FetchXor),
    ("xchg", AtomicOp::Xchg),
    ("cmpxchg", AtomicOp::CmpXchg),
];

/// Mnemonics and words of the language that are near to what might be meant.
const OTHERS: &[&str] = &[
    "exit",
    "call",
    "callx",
    "goto",
    "gotol",
    "gotox",
    "may_goto",
    "if",
    "lock",
    "ja",
    "ja32",
    "neg",
    "neg32",
    "neg64",
    "lddw",
    "ldxb",
    "ldxh",
    "ldxw",
    "ldxdw",
    "ldxbsx",
    "ldxhsx",
    "ldxwsx",
    "stb",
    "sth",
    "stw",
    "stdw",
    "stxb",
    "stxh",
    "stxw",
    "stxdw",
    "ldabsb",
    "ldabsh",
    "ldabsw",
    "ldindb",
    "ldindh",
    "ldindw",
    "be16",
    "be32",
    "be64",
    "le16",
    "le32",
    "le64",
    "bswap16",
    "bswap32",
    "bswap64",
    "xaddw",
    "xadddw",
    "store_release",
    "addr_space_cast",
    "nospec",
];

/// All names, for hints.
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    let jumps = JUMPS.iter().map(|(name, _)| *name);
    OTHERS.iter().copied().chain(ALU.iter().map(|(name, _)| *name)).chain(jumps)
}

fn size(letters: &str) -> Option<Size> {
    match letters {
        "b" => Some(Size::B),
        "h" => Some(Size::H),
        "w" => Some(Size::W),
        "dw" => Some(Size::DW),
        _ => None,
    }
}

/// `be16`, `le64`, `bswap32`
pub(super) fn swap(word: &str) -> Option<(Swap, Size)> {
    let digits = word.trim_start_matches(|c: char| c.is_ascii_alphabetic());
    let order = match word.get(..word.len() - digits.len())? {
        "le" => Swap::ToLe,
        "be" => Swap::ToBe,
        "bswap" | "swap" => Swap::Bswap,
        _ => return None,
    };
    let size = match digits {
        "16" => Size::H,
        "32" => Size::W,
        "64" => Size::DW,
        _ => return None,
    };
    Some((order, size))
}

/// The operation and size of `fetch_add64`, `xchg32`, `add`.
fn atomic(word: &str) -> Option<(AtomicOp, Size)> {
    let word = word.strip_prefix("atomic_").unwrap_or(word);
    let (name, size) = match word {
        _ if word.ends_with("32") => (word.get(..word.len() - 2)?, Size::W),
        _ if word.ends_with("64") => (word.get(..word.len() - 2)?, Size::DW),
        _ => (word, Size::DW),
    };
    Some((ATOMICS.iter().find(|(known, _)| *known == name)?.1, size))
}

/// Whether a word behind `lock` begins an atomic operation.
pub(super) fn is_atomic(word: &str) -> bool {
    word == "fetch" || atomic(word).is_some()
}

/// What a mnemonic stands for.
pub(super) fn find(word: &str) -> Option<Op> {
    let sized = |prefix: &str| word.strip_prefix(prefix).and_then(size);
    match word {
        "lddw" => return Some(Op::Imm64),
        "ld_pseudo" => return Some(Op::Pseudo),
        "ja" | "ja16" | "jmp" => return Some(Op::Goto),
        "ja32" | "jal" => return Some(Op::GotoLong),
        "addr_space_cast" => return Some(Op::Cast),
        "xaddw" | "stxxaddw" | "xadd32" => return Some(Op::Atomic(AtomicOp::Add, Size::W)),
        "xadddw" | "stxxadddw" | "xadd64" | "xadd" => return Some(Op::Atomic(AtomicOp::Add, Size::DW)),
        _ => {}
    }
    if let Some((order, size)) = swap(word) {
        return Some(Op::Swap(order, size));
    }
    if let Some(rest) = word.strip_prefix("movsx") {
        let (from, width) = match rest.split_once("to") {
            None => (rest, Width::W64),
            Some((from, "64")) => (from, Width::W64),
            Some((from, "32")) => (from, Width::W32),
            Some(_) => return None,
        };
        let from = match from {
            "8" => Size::B,
            "16" => Size::H,
            "32" => Size::W,
            _ => return None,
        };
        return Some(Op::MovSx(width, from));
    }
    if word.starts_with("atomic_") {
        return atomic(word).map(|(op, size)| Op::Atomic(op, size));
    }
    if let Some(size) = word.strip_prefix("ldx").and_then(|w| w.strip_suffix("sx")).and_then(size) {
        return Some(Op::LoadSx(size));
    }
    let loads = [
        sized("ldxs").map(Op::LoadSx),
        sized("lds").map(Op::LoadSx),
        sized("ldx").map(Op::Load),
        sized("stx").map(Op::StoreReg),
        sized("st").map(Op::StoreImm),
        sized("ldacq").map(Op::LoadAcquire),
        sized("strel").map(Op::StoreRelease),
        sized("ldabs").map(Op::LoadAbs),
        sized("ldind").map(Op::LoadInd),
    ];
    if let Some(op) = loads.into_iter().flatten().next() {
        return Some(op);
    }
    let (name, width) = match word {
        _ if word.ends_with("32") => (word.get(..word.len() - 2)?, Width::W32),
        _ if word.ends_with("64") => (word.get(..word.len() - 2)?, Width::W64),
        _ => (word, Width::W64),
    };
    if name == "neg" {
        return Some(Op::Neg(width));
    }
    if let Some((_, op)) = ALU.iter().find(|(known, _)| *known == name) {
        return Some(Op::Alu(*op, width));
    }
    JUMPS.iter().find(|(known, _)| *known == name).map(|(_, cond)| Op::Jump(*cond, width))
}

impl<'a> Text<'a> {
    /// An instruction by its mnemonic. `false` where the word is none.
    pub fn mnemonic(&mut self, word: &str, at: usize) -> Parsed<bool> {
        let Some(op) = find(word) else { return Ok(false) };
        let start = at;
        match op {
            Op::Alu(op, width) => {
                let dst = self.of_width(width)?;
                self.comma()?;
                let src = self.operand(width)?;
                self.emit(Instruction::Alu { op, width, dst, src })?;
            }
            Op::Neg(width) => {
                let dst = self.of_width(width)?;
                self.emit(Instruction::Neg { width, dst })?;
            }
            Op::Swap(order, size) => {
                let dst = self.c.whole()?;
                self.emit(Instruction::Swap { order, size, dst })?;
            }
            Op::MovSx(width, from) => {
                let dst = self.c.whole()?;
                self.comma()?;
                let src = self.c.whole()?;
                self.emit(Instruction::MovSx { width, from, dst, src }).map_err(|fail| Fail {
                    at: start,
                    len: word.len(),
                    ..fail
                })?;
            }
            Op::Load(size) | Op::LoadSx(size) | Op::LoadAcquire(size) => {
                let dst = self.c.whole()?;
                self.comma()?;
                let (src, off) = self.memory()?;
                let instruction = match op {
                    Op::Load(_) => Instruction::Load { size, dst, src, off },
                    Op::LoadSx(_) => Instruction::LoadSx { size, dst, src, off },
                    _ => Instruction::LoadAcquire { size, dst, src, off },
                };
                self.emit(instruction).map_err(|fail| Fail { at: start, len: word.len(), ..fail })?;
            }
            Op::StoreImm(size) => {
                let (dst, off) = self.memory()?;
                self.comma()?;
                self.c.blanks();
                let at = self.c.pos;
                if self.c.maybe_register().is_some() {
                    let letters = word.trim_start_matches("st");
                    let fail = Fail::new(at, self.c.pos - at, format!("{word} stores a number"));
                    return Err(fail.hint(format!("registers are stored by stx{letters}")));
                }
                let number = self.number()?;
                let imm = if size == Size::DW { number.signed()? } else { number.bits()? };
                self.emit(Instruction::Store { size, dst, off, src: Operand::Imm(imm) })?;
            }
            Op::StoreReg(size) | Op::StoreRelease(size) => {
                let (dst, off) = self.memory()?;
                self.comma()?;
                if matches!(op, Op::StoreReg(_)) && self.at_number() {
                    let letters = word.trim_start_matches("stx");
                    let fail = self.c.unexpected(format!("{word} stores a register"));
                    return Err(fail.hint(format!("numbers are stored by st{letters}")));
                }
                let src = self.c.whole()?;
                self.emit(match op {
                    Op::StoreReg(_) => Instruction::Store { size, dst, off, src: Operand::Reg(src) },
                    _ => Instruction::StoreRelease { size, dst, off, src },
                })?;
            }
            Op::LoadAbs(size) => {
                let imm = self.number()?.bits()?;
                self.emit(Instruction::LoadAbs { size, imm }).map_err(|fail| Fail {
                    at: start,
                    len: word.len(),
                    ..fail
                })?;
            }
            Op::LoadInd(size) => {
                let src = self.c.whole()?;
                let imm = if self.c.eat(",") { self.number()?.bits()? } else { 0 };
                self.emit(Instruction::LoadInd { size, src, imm }).map_err(|fail| Fail {
                    at: start,
                    len: word.len(),
                    ..fail
                })?;
            }
            Op::Imm64 => {
                let dst = self.c.whole()?;
                self.comma()?;
                self.imm64(dst)?;
            }
            Op::Pseudo => {
                const KIND: &str = "1 to 6";
                let dst = self.c.whole()?;
                self.comma()?;
                let kind = self.number()?;
                self.comma()?;
                let wide = self.number()?.wide()?;
                let (low, high) = (wide as i32, (wide >> 32) as i32);
                let value = match kind.fit("a kind", KIND)? {
                    1_u8 => Imm64::MapFd(low),
                    2 => Imm64::MapValue { fd: low, offset: high as u32 },
                    3 => Imm64::BtfId { btf_id: low as u32, obj_fd: high },
                    4 => Imm64::Func(low),
                    5 => Imm64::MapIdx(low as u32),
                    6 => Imm64::MapIdxValue { index: low as u32, offset: high as u32 },
                    other => return Err(kind.fail(format!("{other} is out of range: a kind is {KIND}"))),
                };
                self.emit(Instruction::LdImm64 { dst, value })?;
            }
            Op::Goto => {
                let (target, at) = self.target()?;
                self.emit_with(Instruction::Jump { off: 0 }, Want::Goto(target), at)?;
            }
            Op::GotoLong => {
                let (target, at) = self.target()?;
                self.emit_with(Instruction::JumpLong { off: 0 }, Want::Long(target), at)?;
            }
            Op::Jump(cond, width) => {
                let dst = self.of_width(width)?;
                self.comma()?;
                let src = self.operand(width)?;
                self.comma()?;
                let (target, at) = self.target()?;
                let instruction = Instruction::JumpIf { cond, width, dst, src, off: 0 };
                self.emit_with(instruction, Want::Near(target), at)?;
            }
            Op::Atomic(op, size) => self.atomic_operands(op, size, start)?,
            Op::Cast => {
                let dst = self.c.whole()?;
                self.comma()?;
                let src = self.c.whole()?;
                self.comma()?;
                let to = self.number()?.fit("an address space", "0 to 65535")?;
                self.comma()?;
                let from = self.number()?.fit("an address space", "0 to 65535")?;
                self.emit(Instruction::AddrSpaceCast { dst, src, to, from })?;
            }
        }
        Ok(true)
    }

    /// A register. The width is in the mnemonic; `w` registers are taken where they agree with it.
    fn of_width(&mut self, op_width: Width) -> Parsed<Reg> {
        self.c.blanks();
        let at = self.c.pos;
        let named = self.c.register()?;
        if named.half && width(named) != op_width {
            let number = named.reg.number();
            let fail = Fail::new(at, self.c.pos - at, format!("w{number} is half a register"));
            return Err(fail.hint(format!("write r{number}, or end the mnemonic with 32")));
        }
        Ok(named.reg)
    }

    /// A register or an immediate.
    fn operand(&mut self, op_width: Width) -> Parsed<Operand> {
        if self.c.clone().maybe_register().is_some() {
            return Ok(Operand::Reg(self.of_width(op_width)?));
        }
        let number = self.number()?;
        Ok(Operand::Imm(if op_width == Width::W32 { number.bits()? } else { number.signed()? }))
    }

    /// `[r1+8]`
    fn memory(&mut self) -> Parsed<(Reg, i16)> {
        const WHOLE: &str = "[r1+8]";
        self.c.expect("[", WHOLE)?;
        let reg = self.c.whole()?;
        let off = self.offset()?;
        self.c.expect("]", WHOLE)?;
        Ok((reg, off))
    }

    /// What stands behind `lock` in this language: `add32 [r1+0], r2`, `fetch add [r1], r2`.
    pub fn lock_mnemonic(&mut self) -> Parsed {
        let (at, mut word) = self.c.word();
        let fetch = word == "fetch";
        if fetch {
            word = self.c.word().1;
        }
        let found = atomic(word).and_then(|(op, size)| match (fetch, op) {
            (false, op) => Some((op, size)),
            (true, AtomicOp::Add) => Some((AtomicOp::FetchAdd, size)),
            (true, AtomicOp::Or) => Some((AtomicOp::FetchOr, size)),
            (true, AtomicOp::And) => Some((AtomicOp::FetchAnd, size)),
            (true, AtomicOp::Xor) => Some((AtomicOp::FetchXor, size)),
            (true, _) => None,
        });
        match found {
            Some((op, size)) => self.atomic_operands(op, size, at),
            None => {
                let fail = Fail::new(at, self.c.pos - at, "an atomic operation is missing");
                Err(fail.hint("write lock *(u64 *)(r1 +0) += r2, or lock add64 [r1+0], r2"))
            }
        }
    }

    fn atomic_operands(&mut self, op: AtomicOp, size: Size, at: usize) -> Parsed {
        let (dst, off) = self.memory()?;
        self.comma()?;
        let src = self.c.whole()?;
        self.atomic(Instruction::Atomic { op, size, dst, off, src }, at)
    }
}

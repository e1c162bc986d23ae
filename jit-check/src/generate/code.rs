//! Steps: what a generated program does.

use super::bytes::Bytes;
use super::model::{Kind, Model, SLOTS};
use super::{Shape, maps};
use asm::{AluOp, Builder, Cond, Helper, Insn, Label, R0, R10, Reg, Size, Swap, Width};
use bpf_sys::prog::ProgType;

/// How deep ifs and loops stand in one another.
const DEPTH: u32 = 3;

/// The register with this number; r0 for one that does not exist.
pub(super) fn reg(number: u8) -> Reg {
    Reg::new(number).unwrap_or(R0)
}

pub(super) struct Writer<'b, 'd> {
    pub bytes: &'b mut Bytes<'d>,
    pub shape: &'b Shape,
    pub prog_type: ProgType,
    pub b: Builder,
    pub model: Model,
    left: u32,
    /// Subprograms that were called, with what they take.
    functions: Vec<(Label, u8)>,
    in_function: bool,
}

pub(super) const NUMBERS: fn(Kind) -> bool = Kind::is_number;

impl<'b, 'd> Writer<'b, 'd> {
    pub fn new(bytes: &'b mut Bytes<'d>, shape: &'b Shape, prog_type: ProgType) -> Writer<'b, 'd> {
        let mut model = Model { regs: [Kind::Nothing; 10], slots: [Kind::Nothing; SLOTS] };
        model.regs[1] = Kind::Ctx;
        let left = shape.steps;
        let b = Builder::new();
        Writer { bytes, shape, prog_type, b, model, left, functions: Vec::new(), in_function: false }
    }

    pub fn write(mut self) -> Vec<Insn> {
        // The context is needed again after calls.
        if self.bytes.chance(200) {
            self.b.mov(reg(6), reg(1));
            self.model.regs[6] = Kind::Ctx;
        }
        self.block(0);
        self.end();
        let mut written = 0;
        while let Some((label, args)) = self.functions.get(written).copied() {
            written += 1;
            self.function(label, args);
        }
        match self.b.finish() {
            Ok(program) => program.insns,
            // Too long for a jump: nothing is lost with it.
            Err(_) => vec![
                Insn { opcode: 0xb7, regs: 0, off: 0, imm: 0 },
                Insn { opcode: 0x95, regs: 0, off: 0, imm: 0 },
            ],
        }
    }

    fn end(&mut self) {
        if !self.model.regs[0].is_number() || self.bytes.chance(64) {
            let number = self.bytes.number();
            match self.any(NUMBERS) {
                Some(reg) if self.bytes.chance(160) => self.b.mov(R0, reg),
                _ => self.b.mov_imm(R0, number),
            };
        }
        // Its range is ruled by some program types.
        if self.prog_type == ProgType::CgroupSkb {
            self.b.and_imm(R0, 1);
        }
        self.b.exit();
    }

    fn function(&mut self, label: Label, args: u8) {
        self.b.bind(label);
        self.in_function = true;
        self.model = Model { regs: [Kind::Nothing; 10], slots: [Kind::Nothing; SLOTS] };
        for arg in 1..=args {
            self.model.regs[usize::from(arg)] = Kind::Number;
        }
        self.left = 8;
        self.block(DEPTH - 1);
        self.end();
    }

    fn block(&mut self, depth: u32) {
        let steps = 1 + self.bytes.below(12);
        for _ in 0..steps {
            if self.left == 0 || self.bytes.is_empty() {
                return;
            }
            self.left -= 1;
            if self.bytes.chance(self.shape.wildness) {
                self.anything();
                continue;
            }
            match self.bytes.below(24) {
                0..6 => self.arithmetic(),
                6..8 => self.constant(),
                8..11 => self.stack(),
                11..13 => self.memory(),
                13 => self.context(),
                14 | 15 => self.look_up(),
                16 => self.change_map(),
                17 | 18 if depth < DEPTH => self.if_else(depth),
                19 if depth < DEPTH => self.repeat(depth),
                20 => self.packet(depth),
                21 => self.call(),
                22 => self.helper(),
                _ => self.narrow(),
            }
        }
    }

    /// A register that holds such a thing.
    pub fn any(&mut self, wanted: impl Fn(Kind) -> bool) -> Option<Reg> {
        let found = self.model.registers_with(wanted);
        if found.is_empty() { None } else { Some(reg(self.bytes.pick(&found))) }
    }

    /// A register to write to: rather one that is not needed.
    pub fn target(&mut self) -> Reg {
        match self.any(|kind| !matches!(kind, Kind::Ctx | Kind::Value(..) | Kind::Busy)) {
            Some(reg) => reg,
            None => R0,
        }
    }

    pub fn set(&mut self, reg: Reg, kind: Kind) {
        if let Some(held) = self.model.regs.get_mut(usize::from(reg.number())) {
            *held = kind;
        }
    }

    pub fn kind(&self, reg: Reg) -> Kind {
        self.model.regs.get(usize::from(reg.number())).copied().unwrap_or_default()
    }

    pub fn width(&mut self) -> Width {
        if self.bytes.chance(96) { Width::W32 } else { Width::W64 }
    }

    pub fn size(&mut self) -> Size {
        self.bytes.pick(&[Size::DW, Size::W, Size::H, Size::B])
    }

    fn arithmetic(&mut self) {
        const OPS: [AluOp; 14] = [
            AluOp::Add,
            AluOp::Sub,
            AluOp::Mul,
            AluOp::Div,
            AluOp::Or,
            AluOp::And,
            AluOp::Lsh,
            AluOp::Rsh,
            AluOp::Mod,
            AluOp::Xor,
            AluOp::Mov,
            AluOp::Arsh,
            AluOp::SDiv,
            AluOp::SMod,
        ];
        let Some(dst) = self.any(NUMBERS) else { return self.constant() };
        let width = self.width();
        let ops = if self.shape.v4 { &OPS[..] } else { &OPS[..12] };
        let op = self.bytes.pick(ops);
        match self.bytes.below(8) {
            0 if self.shape.v4 => {
                let src = self.any(NUMBERS).unwrap_or(dst);
                let sizes: &[Size] =
                    if width == Width::W32 { &[Size::B, Size::H] } else { &[Size::B, Size::H, Size::W] };
                let from = self.bytes.pick(sizes);
                self.b.mov_sx(width, from, dst, src);
            }
            1 => {
                let orders: &[Swap] = if self.shape.v4 {
                    &[Swap::ToBe, Swap::ToLe, Swap::Bswap]
                } else {
                    &[Swap::ToBe, Swap::ToLe]
                };
                let (order, size) = (self.bytes.pick(orders), self.bytes.pick(&[Size::H, Size::W, Size::DW]));
                self.b.swap(order, size, dst);
            }
            2 if width == Width::W32 => {
                self.b.neg32(dst);
            }
            2 => {
                self.b.neg(dst);
            }
            3..6 => {
                let src = self.any(NUMBERS).unwrap_or(dst);
                self.b.alu(op, width, dst, src);
            }
            _ => {
                let imm = self.immediate(op, width);
                self.b.alu(op, width, dst, imm);
            }
        }
        self.set(dst, Kind::Number);
    }

    /// An immediate that this operation may have.
    fn immediate(&mut self, op: AluOp, width: Width) -> i32 {
        let imm = self.bytes.number();
        match op {
            AluOp::Lsh | AluOp::Rsh | AluOp::Arsh => imm & if width == Width::W32 { 31 } else { 63 },
            AluOp::Div | AluOp::Mod | AluOp::SDiv | AluOp::SMod if imm == 0 => 1,
            _ => imm,
        }
    }

    fn constant(&mut self) {
        let (dst, imm) = (self.target(), self.bytes.number());
        match self.bytes.below(3) {
            0 => self.b.ld_imm64(dst, (i64::from(imm) << 29 | i64::from(imm)) as u64),
            1 => self.b.mov_imm(dst, imm),
            _ => self.b.mov32_imm(dst, imm),
        };
        self.set(dst, Kind::Number);
    }

    /// A number becomes small: by a mask, or by a comparison.
    fn narrow(&mut self) {
        let Some(reg) = self.any(NUMBERS) else { return self.constant() };
        let most = self.bytes.pick(&[1, 3, 7, 15, 31, 63]);
        match self.bytes.below(4) {
            0 => {
                self.b.rem_imm(reg, most + 1);
            }
            1 => {
                let small = self.b.label();
                self.b.jle_imm(reg, most, small).mov_imm(reg, most).bind(small);
            }
            2 => {
                self.b.and32_imm(reg, most);
            }
            _ => {
                self.b.and_imm(reg, most);
            }
        }
        self.set(reg, Kind::Below(most as u32 + 1));
    }

    fn if_else(&mut self, depth: u32) {
        const CONDITIONS: [Cond; 11] = [
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
        let Some(dst) = self.any(NUMBERS) else { return self.constant() };
        let (other, end) = (self.b.label(), self.b.label());
        let (cond, width) = (self.bytes.pick(&CONDITIONS), self.width());
        match self.any(NUMBERS) {
            Some(src) if self.bytes.chance(96) => self.b.jcc(cond, width, dst, src, other),
            _ => {
                let imm = self.bytes.number();
                self.b.jcc(cond, width, dst, imm, other)
            }
        };
        let before = self.model.clone();
        self.block(depth + 1);
        let taken = std::mem::replace(&mut self.model, before);
        if self.bytes.chance(128) {
            self.b.jmp(end).bind(other);
            self.block(depth + 1);
            self.b.bind(end);
        } else {
            self.b.bind(other).bind(end);
        }
        self.model = self.model.meet(&taken);
    }

    /// A loop with a counter in a register or on the stack.
    fn repeat(&mut self, depth: u32) {
        let counter = reg(self.bytes.pick(&[7, 8, 9]));
        let times = 1 + self.bytes.below(6) as i32;
        let again = self.b.label();
        if self.kind(counter) == Kind::Busy {
            return self.arithmetic();
        }
        self.b.mov_imm(counter, 0);
        self.set(counter, Kind::Busy);
        let before = self.model.clone();
        self.b.bind(again);
        // What the body leaves in registers is there at its next begin: calls leave least.
        self.model.called(Kind::Nothing);
        self.block(depth.max(DEPTH - 1) + 1);
        let held = self.model.meet(&before);
        self.b.add_imm(counter, 1).jlt_imm(counter, times, again);
        self.model = held;
        self.set(counter, Kind::Below(times as u32 + 1));
    }

    fn call(&mut self) {
        if self.in_function {
            return self.arithmetic();
        }
        let args = 1 + self.bytes.below(3) as u8;
        for arg in 1..=args {
            match self.any(NUMBERS) {
                Some(from) => self.b.mov(reg(arg), from),
                None => self.b.mov_imm(reg(arg), i32::from(arg)),
            };
            self.set(reg(arg), Kind::Number);
        }
        let label = match self.functions.iter().find(|function| function.1 == args) {
            Some((label, _)) if self.bytes.chance(128) => *label,
            _ => {
                let label = self.b.label();
                self.functions.push((label, args));
                label
            }
        };
        self.b.call_local(label);
        self.model.called(Kind::Number);
    }

    fn helper(&mut self) {
        let helpers: &[Helper] = if self.shape.deterministic {
            &[Helper::MAP_LOOKUP_ELEM]
        } else {
            &[Helper::KTIME_GET_NS, Helper::GET_PRANDOM_U32, Helper::GET_SMP_PROCESSOR_ID]
        };
        let helper = self.bytes.pick(helpers);
        if helper == Helper::MAP_LOOKUP_ELEM {
            return self.look_up();
        }
        self.b.call(helper);
        self.model.called(Kind::Number);
    }

    /// An instruction that nobody looked at.
    fn anything(&mut self) {
        let words: [u8; 8] = std::array::from_fn(|_| self.bytes.byte());
        let insn = Insn::from_bytes_le(words);
        let off = insn.off % 8;
        let insn = Insn { off, regs: (insn.regs % 11) | (((insn.regs >> 4) % 11) << 4), ..insn };
        if let Ok((instruction, _)) = asm::decode(&[insn]) {
            self.b.push(instruction);
            if let Some(reg) = self.model.regs.get_mut(usize::from(insn.regs & 15)) {
                *reg = if reg.is_number() { Kind::Number } else { *reg };
            }
        } else {
            // A register that may hold anything is used for what it may not be good for.
            let (dst, src, size) =
                (reg(self.bytes.below(10) as u8), reg(self.bytes.below(11) as u8), self.size());
            let off = self.bytes.pick(&[0, 8, -8, 4, 60, -4]);
            match self.bytes.below(4) {
                0 => self.b.load(size, dst, src, off),
                1 => self.b.store(size, src, off, dst),
                2 => self.b.mov(dst, src),
                _ => self.b.add(dst, if src == R10 { R0 } else { src }),
            };
            self.set(dst, Kind::Number);
        }
    }

    pub fn sizes(&self) -> Vec<(u32, u32)> {
        maps().iter().map(|map| (map.key_size, map.value_size)).collect()
    }

    pub fn nested(&mut self, depth: u32) {
        self.block(depth + 1);
    }
}

//! Words to typed instruction, with the rules of the encoding checked.

use crate::instruction::*;
use crate::opcode::*;
use crate::{DecodeError, Helper, Insn, Reg, Size, Width};

/// Decodes the first instruction of `words`; also says how many words it fills.
///
/// Allocates nothing. Accepts exactly what [`Instruction::encode`] can produce, so an accepted instruction encodes to
/// the same words again.
///
/// # Errors
///
/// [`DecodeError`] names the rule that is broken (RFC 9669 and, for what came later, the kernel's verifier).
pub fn decode(words: &[Insn]) -> Result<(Instruction, usize), DecodeError> {
    decode_with(words, false)
}

/// As [`decode`], but takes the forms that only the kernel makes as well: register `r11`, per-CPU addresses,
/// speculation barriers, resolved function addresses and local calls whose
/// distance stands in the offset. Use it for translated instructions of a loaded program.
///
/// # Errors
///
/// As [`decode`].
pub fn decode_translated(words: &[Insn]) -> Result<(Instruction, usize), DecodeError> {
    decode_with(words, true)
}

fn decode_with(words: &[Insn], translated: bool) -> Result<(Instruction, usize), DecodeError> {
    let (&insn, rest) = words.split_first().ok_or(DecodeError::Empty)?;
    let word = Word { insn, translated };
    let instruction = match insn.opcode & 0x07 {
        ALU => word.alu(Width::W32)?,
        ALU64 => word.alu(Width::W64)?,
        JMP => word.jump(Width::W64)?,
        JMP32 => word.jump(Width::W32)?,
        LD => return word.ld(rest),
        LDX => word.ldx()?,
        ST => word.st()?,
        _ => word.stx()?,
    };
    Ok((instruction, 1))
}

/// One word under examination. The methods named after fields check that they are unused.
#[derive(Clone, Copy)]
struct Word {
    insn: Insn,
    translated: bool,
}

type Decoded<T = Instruction> = Result<T, DecodeError>;

impl Word {
    fn unknown<T>(self, why: &'static str) -> Decoded<T> {
        Err(DecodeError::UnknownOpcode { opcode: self.insn.opcode, why })
    }

    fn register(self, field: &'static str, reg: Reg) -> Decoded<Reg> {
        let number = reg.number();
        if number <= 10 || (self.translated && reg == Reg::AX) {
            return Ok(reg);
        }
        Err(DecodeError::BadRegister { opcode: self.insn.opcode, field, number })
    }

    fn dst(self) -> Decoded<Reg> {
        self.register("destination", self.insn.dst())
    }

    fn src(self) -> Decoded<Reg> {
        self.register("source", self.insn.src())
    }

    fn zero(self, what: &'static str, field: &'static str, value: i64) -> Decoded<()> {
        if value == 0 {
            return Ok(());
        }
        Err(DecodeError::Reserved { opcode: self.insn.opcode, what, field, value })
    }

    fn no_dst(self, what: &'static str) -> Decoded<()> {
        self.zero(what, "destination register", self.insn.dst().number().into())
    }

    fn no_src(self, what: &'static str) -> Decoded<()> {
        self.zero(what, "source register", self.insn.src().number().into())
    }

    fn no_off(self, what: &'static str) -> Decoded<()> {
        self.zero(what, "offset", self.insn.off.into())
    }

    fn no_imm(self, what: &'static str) -> Decoded<()> {
        self.zero(what, "immediate", self.insn.imm.into())
    }

    fn bad<T>(
        self,
        what: &'static str,
        field: &'static str,
        value: i64,
        allowed: &'static str,
    ) -> Decoded<T> {
        Err(DecodeError::BadField { opcode: self.insn.opcode, what, field, value, allowed })
    }

    fn has_x(self) -> bool {
        self.insn.opcode & X != 0
    }

    /// The second operand; the field that does not hold it is reserved.
    fn operand(self, what: &'static str) -> Decoded<Operand> {
        if self.has_x() {
            self.no_imm(what)?;
            Ok(Operand::Reg(self.src()?))
        } else {
            self.no_src(what)?;
            Ok(Operand::Imm(self.insn.imm))
        }
    }

    fn alu(self, width: Width) -> Decoded {
        let op = match self.insn.opcode & 0xf0 {
            ADD => AluOp::Add,
            SUB => AluOp::Sub,
            MUL => AluOp::Mul,
            OR => AluOp::Or,
            AND => AluOp::And,
            LSH => AluOp::Lsh,
            RSH => AluOp::Rsh,
            XOR => AluOp::Xor,
            ARSH => AluOp::Arsh,
            DIV => self.signed("division", AluOp::Div, AluOp::SDiv)?,
            MOD => self.signed("modulo", AluOp::Mod, AluOp::SMod)?,
            MOV => return self.mov(width),
            NEG => return self.neg(width),
            END => return self.swap(width),
            _ => return self.unknown("arithmetic operations end at 0xd0"),
        };
        if !matches!(op, AluOp::SDiv | AluOp::SMod) {
            self.no_off("arithmetic")?;
        }
        Ok(Instruction::Alu { op, width, dst: self.dst()?, src: self.operand("arithmetic")? })
    }

    fn signed(self, what: &'static str, unsigned: AluOp, signed: AluOp) -> Decoded<AluOp> {
        match self.insn.off {
            0 => Ok(unsigned),
            1 => Ok(signed),
            other => self.bad(what, "offset", other.into(), "0 (unsigned), 1 (signed)"),
        }
    }

    fn neg(self, width: Width) -> Decoded {
        const WHAT: &str = "negation";
        if self.has_x() {
            return self.unknown("negation has no register operand");
        }
        self.no_src(WHAT)?;
        self.no_off(WHAT)?;
        self.no_imm(WHAT)?;
        Ok(Instruction::Neg { width, dst: self.dst()? })
    }

    fn swap(self, width: Width) -> Decoded {
        const WHAT: &str = "byte swap";
        let order = match (width, self.has_x()) {
            (Width::W32, false) => Swap::ToLe,
            (Width::W32, true) => Swap::ToBe,
            (Width::W64, false) => Swap::Bswap,
            (Width::W64, true) => return self.unknown("the unconditional byte swap has no source bit"),
        };
        self.no_src(WHAT)?;
        self.no_off(WHAT)?;
        let size = match self.insn.imm {
            16 => Size::H,
            32 => Size::W,
            64 => Size::DW,
            other => return self.bad(WHAT, "width (immediate)", other.into(), "16, 32, 64"),
        };
        Ok(Instruction::Swap { order, size, dst: self.dst()? })
    }

    fn mov(self, width: Width) -> Decoded {
        const WHAT: &str = "move";
        let dst = self.dst()?;
        let plain = |src| Ok(Instruction::Alu { op: AluOp::Mov, width, dst, src });
        if !self.has_x() {
            self.no_off("move of an immediate")?;
            return plain(self.operand(WHAT)?);
        }
        let src = self.src()?;
        let from = match (self.insn.off, width) {
            (0, _) => return plain(self.operand(WHAT)?),
            (8, _) => Size::B,
            (16, _) => Size::H,
            (32, Width::W64) => Size::W,
            (1, Width::W64) => return self.addr_space_cast(dst, src),
            (PERCPU_OFF, Width::W64) if self.translated => {
                self.no_imm("per-CPU address")?;
                return Ok(Instruction::PercpuAddr { dst, src });
            }
            (other, Width::W64) => {
                return self.bad(
                    "64-bit move",
                    "offset",
                    other.into(),
                    "0, 1 (address space cast), 8, 16, 32 (sign extension)",
                );
            }
            (other, Width::W32) => {
                return self.bad("32-bit move", "offset", other.into(), "0, 8, 16 (sign extension)");
            }
        };
        self.no_imm("sign-extending move")?;
        Ok(Instruction::MovSx { width, from, dst, src })
    }

    fn addr_space_cast(self, dst: Reg, src: Reg) -> Decoded {
        let imm = self.insn.imm as u32;
        Ok(Instruction::AddrSpaceCast { dst, src, to: (imm >> 16) as u16, from: imm as u16 })
    }

    fn jump(self, width: Width) -> Decoded {
        let cond = match self.insn.opcode & 0xf0 {
            JA => return self.goto(width),
            CALL | EXIT | JCOND if width == Width::W32 => {
                return self.unknown("call, exit and may_goto exist in the 64-bit jump class only");
            }
            CALL => return self.call(),
            EXIT => return self.exit(),
            JCOND => return self.may_goto(),
            JEQ => Cond::Eq,
            JGT => Cond::Gt,
            JGE => Cond::Ge,
            JSET => Cond::Set,
            JNE => Cond::Ne,
            JSGT => Cond::SGt,
            JSGE => Cond::SGe,
            JLT => Cond::Lt,
            JLE => Cond::Le,
            JSLT => Cond::SLt,
            JSLE => Cond::SLe,
            _ => return self.unknown("jump operations end at 0xe0"),
        };
        let (dst, src) = (self.dst()?, self.operand("conditional jump")?);
        Ok(Instruction::JumpIf { cond, width, dst, src, off: self.insn.off })
    }

    fn goto(self, width: Width) -> Decoded {
        match (width, self.has_x()) {
            (Width::W64, false) => {
                self.no_dst("goto")?;
                self.no_src("goto")?;
                self.no_imm("goto")?;
                Ok(Instruction::Jump { off: self.insn.off })
            }
            (Width::W32, false) => {
                self.no_dst("gotol")?;
                self.no_src("gotol")?;
                self.no_off("gotol")?;
                Ok(Instruction::JumpLong { off: self.insn.imm })
            }
            (Width::W64, true) => {
                self.no_src("gotox")?;
                self.no_off("gotox")?;
                self.no_imm("gotox")?;
                Ok(Instruction::JumpReg { dst: self.dst()? })
            }
            (Width::W32, true) => self.unknown("gotox exists in the 64-bit jump class only"),
        }
    }

    fn may_goto(self) -> Decoded {
        const WHAT: &str = "may_goto";
        if self.has_x() {
            return self.unknown("may_goto has no register operand");
        }
        self.no_dst(WHAT)?;
        self.no_imm(WHAT)?;
        match self.insn.src().number() {
            0 => Ok(Instruction::MayGoto { off: self.insn.off }),
            other => self.bad(WHAT, "kind (source register)", other.into(), "0"),
        }
    }

    fn call(self) -> Decoded {
        const WHAT: &str = "call";
        if self.has_x() {
            self.no_src("callx")?;
            self.no_off("callx")?;
            self.no_imm("callx")?;
            return Ok(Instruction::CallReg { dst: self.dst()? });
        }
        self.no_dst(WHAT)?;
        let (imm, kind) = (self.insn.imm, self.insn.src().number());
        if kind != 2 && !(kind == 1 && self.translated) {
            self.no_off(WHAT)?;
        }
        let target = match kind {
            0 => CallTarget::Helper(Helper(imm as u32)),
            // The kernel keeps the distance in the offset once the immediate is the number of the function.
            1 if self.translated => CallTarget::Local(self.insn.off.into()),
            1 => CallTarget::Local(imm),
            2 => CallTarget::Kfunc { btf_id: imm, fd_index: self.insn.off },
            other => {
                return self.bad(
                    WHAT,
                    "kind (source register)",
                    other.into(),
                    "0 (helper), 1 (local), 2 (kfunc)",
                );
            }
        };
        Ok(Instruction::Call(target))
    }

    fn exit(self) -> Decoded {
        const WHAT: &str = "exit";
        if self.has_x() {
            return self.unknown("exit has no register operand");
        }
        self.no_dst(WHAT)?;
        self.no_src(WHAT)?;
        self.no_off(WHAT)?;
        self.no_imm(WHAT)?;
        Ok(Instruction::Exit)
    }

    fn size(self) -> Size {
        Size::from_opcode(self.insn.opcode)
    }

    fn ldx(self) -> Decoded {
        let (size, off) = (self.size(), self.insn.off);
        match self.insn.opcode & 0xe0 {
            MODE_MEM => {
                self.no_imm("load")?;
                Ok(Instruction::Load { size, dst: self.dst()?, src: self.src()?, off })
            }
            MODE_MEMSX if size == Size::DW => {
                self.unknown("a sign-extending load of 8 bytes would extend nothing")
            }
            MODE_MEMSX => {
                self.no_imm("sign-extending load")?;
                Ok(Instruction::LoadSx { size, dst: self.dst()?, src: self.src()?, off })
            }
            _ => self.unknown("loads have the modes MEM and MEMSX only"),
        }
    }

    fn st(self) -> Decoded {
        match self.insn.opcode & 0xe0 {
            MODE_MEM => {
                self.no_src("store of an immediate")?;
                let src = Operand::Imm(self.insn.imm);
                Ok(Instruction::Store { size: self.size(), dst: self.dst()?, off: self.insn.off, src })
            }
            MODE_NOSPEC if self.translated => Ok(Instruction::NoSpec),
            _ => self.unknown("stores of immediates have the mode MEM only"),
        }
    }

    fn stx(self) -> Decoded {
        let (size, off) = (self.size(), self.insn.off);
        match self.insn.opcode & 0xe0 {
            MODE_MEM => {
                self.no_imm("store")?;
                let (dst, src) = (self.dst()?, Operand::Reg(self.src()?));
                Ok(Instruction::Store { size, dst, off, src })
            }
            MODE_ATOMIC => self.atomic(size, off),
            _ => self.unknown("stores have the modes MEM and ATOMIC only"),
        }
    }

    fn atomic(self, size: Size, off: i16) -> Decoded {
        const ADD_FETCH: i32 = ADD as i32 | FETCH;
        const OR_FETCH: i32 = OR as i32 | FETCH;
        const AND_FETCH: i32 = AND as i32 | FETCH;
        const XOR_FETCH: i32 = XOR as i32 | FETCH;
        const ADD_ONLY: i32 = ADD as i32;
        const OR_ONLY: i32 = OR as i32;
        const AND_ONLY: i32 = AND as i32;
        const XOR_ONLY: i32 = XOR as i32;
        let (dst, src) = (self.dst()?, self.src()?);
        let op = match self.insn.imm {
            LOAD_ACQ => return Ok(Instruction::LoadAcquire { size, dst, src, off }),
            STORE_REL => return Ok(Instruction::StoreRelease { size, dst, off, src }),
            _ if !matches!(size, Size::W | Size::DW) => {
                return self.bad(
                    "atomic operation of 1 or 2 bytes",
                    "operation (immediate)",
                    self.insn.imm.into(),
                    "0x100 (load_acquire), 0x110 (store_release)",
                );
            }
            ADD_ONLY => AtomicOp::Add,
            OR_ONLY => AtomicOp::Or,
            AND_ONLY => AtomicOp::And,
            XOR_ONLY => AtomicOp::Xor,
            ADD_FETCH => AtomicOp::FetchAdd,
            OR_FETCH => AtomicOp::FetchOr,
            AND_FETCH => AtomicOp::FetchAnd,
            XOR_FETCH => AtomicOp::FetchXor,
            XCHG => AtomicOp::Xchg,
            CMPXCHG => AtomicOp::CmpXchg,
            other => {
                return self.bad(
                    "atomic operation",
                    "operation (immediate)",
                    other.into(),
                    "0x00, 0x40, 0x50, 0xa0 (add, or, and, xor), those plus 1 (fetch), 0xe1 (xchg), 0xf1 (cmpxchg), \
                     0x100, 0x110",
                );
            }
        };
        Ok(Instruction::Atomic { op, size, dst, off, src })
    }

    fn ld(self, rest: &[Insn]) -> Decoded<(Instruction, usize)> {
        const WHAT: &str = "packet load";
        let (size, imm) = (self.size(), self.insn.imm);
        match self.insn.opcode & 0xe0 {
            MODE_IMM if size == Size::DW => return Ok((self.imm64(rest)?, 2)),
            MODE_IMM => return self.unknown("immediate loads exist for 8 bytes only"),
            MODE_ABS | MODE_IND if size == Size::DW => {
                return self.unknown("packet loads exist for 1, 2 and 4 bytes only");
            }
            MODE_ABS | MODE_IND => {}
            _ => return self.unknown("class LD has the modes IMM, ABS and IND only"),
        }
        self.no_dst(WHAT)?;
        self.no_off(WHAT)?;
        let instruction = if self.insn.opcode & 0xe0 == MODE_ABS {
            self.no_src(WHAT)?;
            Instruction::LoadAbs { size, imm }
        } else {
            Instruction::LoadInd { size, src: self.src()?, imm }
        };
        Ok((instruction, 1))
    }

    fn imm64(self, rest: &[Insn]) -> Decoded {
        const WHAT: &str = "64-bit immediate load";
        let second = rest.first().ok_or(DecodeError::Truncated)?;
        for (field, value) in [
            ("opcode", i64::from(second.opcode)),
            ("register", i64::from(second.regs)),
            ("offset", i64::from(second.off)),
        ] {
            if value != 0 {
                return Err(DecodeError::BadSecondWord { field, value });
            }
        }
        self.no_off(WHAT)?;
        let dst = self.dst()?;
        let (low, high) = (self.insn.imm, second.imm);
        let kind = self.insn.src().number();
        let high_is_used = matches!(kind, 0 | 2 | 3 | 6) || (kind == 4 && self.translated);
        if !high_is_used && kind < 7 && high != 0 {
            return Err(DecodeError::BadSecondWord { field: "immediate", value: high.into() });
        }
        let value = match kind {
            0 => Imm64::Value(u64::from(low as u32) | (u64::from(high as u32) << 32)),
            1 => Imm64::MapFd(low),
            2 => Imm64::MapValue { fd: low, offset: high as u32 },
            3 => Imm64::BtfId { btf_id: low as u32, obj_fd: high },
            4 => Imm64::Func(low),
            5 => Imm64::MapIdx(low as u32),
            6 => Imm64::MapIdxValue { index: low as u32, offset: high as u32 },
            other => {
                return self.bad(WHAT, "kind (source register)", other.into(), "0 to 6");
            }
        };
        Ok(Instruction::LdImm64 { dst, value })
    }
}

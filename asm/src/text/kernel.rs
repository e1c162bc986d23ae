//! The kernel's syntax, with what clang's assembler and llvm-objdump write differently.

use super::cursor::{Named, in_word};
use super::error::{Fail, Parsed};
use super::statement::{Target, Text, Want};
use crate::instruction::*;
use crate::{Helper, Reg, Size, Width};

/// Operators of assignments; longer ones before their beginnings.
const OPERATORS: &[(&str, AluOp)] = &[
    ("s>>=", AluOp::Arsh),
    ("<<=", AluOp::Lsh),
    (">>=", AluOp::Rsh),
    ("s/=", AluOp::SDiv),
    ("s%=", AluOp::SMod),
    ("+=", AluOp::Add),
    ("-=", AluOp::Sub),
    ("*=", AluOp::Mul),
    ("/=", AluOp::Div),
    ("%=", AluOp::Mod),
    ("|=", AluOp::Or),
    ("&=", AluOp::And),
    ("^=", AluOp::Xor),
    ("=", AluOp::Mov),
];

const CONDITIONS: &[(&str, Cond)] = &[
    ("s>=", Cond::SGe),
    ("s<=", Cond::SLe),
    ("s>", Cond::SGt),
    ("s<", Cond::SLt),
    ("==", Cond::Eq),
    ("!=", Cond::Ne),
    (">=", Cond::Ge),
    ("<=", Cond::Le),
    (">", Cond::Gt),
    ("<", Cond::Lt),
    ("&", Cond::Set),
];

/// What a bitwise operator does atomically.
const ATOMICS: &[(&str, AtomicOp)] =
    &[("+=", AtomicOp::Add), ("|=", AtomicOp::Or), ("&=", AtomicOp::And), ("^=", AtomicOp::Xor)];

pub(super) fn width(named: Named) -> Width {
    if named.half { Width::W32 } else { Width::W64 }
}

/// A place in memory.
struct Place {
    size: Size,
    signed: bool,
    reg: Reg,
    off: i16,
}

impl<'a> Text<'a> {
    /// An instruction that begins with a word of its own. `false` where the word is none.
    pub fn keyword(&mut self, word: &'a str, at: usize) -> Parsed<bool> {
        match word {
            "if" => self.jump_if()?,
            "goto" => {
                let (target, at) = self.target()?;
                self.emit_with(Instruction::Jump { off: 0 }, Want::Goto(target), at)?;
            }
            "gotol" => {
                let (target, at) = self.target()?;
                self.emit_with(Instruction::JumpLong { off: 0 }, Want::Long(target), at)?;
            }
            "may_goto" => {
                let (target, at) = self.target()?;
                self.emit_with(Instruction::MayGoto { off: 0 }, Want::Near(target), at)?;
            }
            "gotox" => {
                let dst = self.c.whole()?;
                self.emit(Instruction::JumpReg { dst })?;
            }
            "callx" => {
                let dst = self.c.whole()?;
                self.emit(Instruction::CallReg { dst })?;
            }
            "call" => self.call()?,
            "exit" => self.emit(Instruction::Exit)?,
            "nospec" if self.options.translated => self.emit(Instruction::NoSpec)?,
            "nospec" => {
                let fail = Fail::new(at, word.len(), "only the kernel puts in speculation barriers");
                return Err(fail.hint("leave the line out"));
            }
            "lock" => self.lock()?,
            "store_release" => self.store_release()?,
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// `if w1 s< 0x5 goto +3`
    fn jump_if(&mut self) -> Parsed {
        let paren = self.c.eat("(");
        let dst = self.c.register()?;
        self.c.blanks();
        let rest = self.c.rest();
        let Some(&(symbol, cond)) = CONDITIONS.iter().find(|(symbol, _)| rest.starts_with(symbol)) else {
            let fail = self.c.unexpected("a comparison is missing");
            return Err(fail.hint("there are == != < <= > >= & and, signed, s< s<= s> s>="));
        };
        self.c.pos += symbol.len();
        self.c.blanks();
        let at = self.c.pos;
        let src = match self.c.maybe_register() {
            Some(src) => Operand::Reg(self.same_width(dst, src, at)?),
            None => {
                let number = self.number()?;
                // The kernel prints the 32 bits in hexadecimal, whatever the sign.
                Operand::Imm(if number.hex || dst.half { number.bits()? } else { number.signed()? })
            }
        };
        if paren {
            self.c.expect(")", "if (r1 == 0) goto ...")?;
        }
        if !self.c.eat_word("goto") {
            return Err(self.c.unexpected("`goto` is missing").hint("write if r1 == 0 goto label"));
        }
        let (target, at) = self.target()?;
        let instruction = Instruction::JumpIf { cond, width: width(dst), dst: dst.reg, src, off: 0 };
        self.emit_with(instruction, Want::Near(target), at)
    }

    /// What stands behind `call`: `name`, `name#1`, `1`, `pc+5`, `local label`, `kfunc 7`.
    fn call(&mut self) -> Parsed {
        self.c.blanks();
        let at = self.c.pos;
        if self.c.maybe_register().is_some() {
            let fail = Fail::new(at, self.c.pos - at, "call takes a name or number");
            return Err(fail.hint("calls through registers are written callx"));
        }
        let local = Instruction::Call(CallTarget::Local(0));
        if self.c.rest().starts_with("pc+") || self.c.rest().starts_with("pc-") {
            let (target, at) = self.target()?;
            // The name of the function there.
            if self.c.peek() == Some(b'#') {
                self.c.pos += 1;
                let rest = self.c.rest();
                self.c.pos += rest.bytes().take_while(|b| in_word(*b)).count();
            }
            return self.emit_with(local, Want::Long(target), at);
        }
        if matches!(self.c.peek(), Some(b'+')) {
            let (target, at) = self.target()?;
            return self.emit_with(local, Want::Long(target), at);
        }
        if self.at_number() {
            let number = self.number()?;
            return self.emit(Instruction::Call(CallTarget::Helper(Helper(number.bits()? as u32))));
        }
        let (at, name) = self.c.word();
        if name.is_empty() {
            return Err(self
                .c
                .unexpected("what to call is missing")
                .hint("write the name of a function or helper"));
        }
        if self.c.peek() == Some(b'#') {
            self.c.pos += 1;
            return self.call_numbered(name);
        }
        if self.c.rest().trim_start().is_empty() || self.c.at_end() {
            return self.emit_with(local, Want::Call(name), at);
        }
        match name {
            "local" => {
                let (target, at) = self.target()?;
                self.emit_with(local, Want::Long(target), at)
            }
            "kfunc" => self.kfunc_number(),
            _ => self.emit_with(local, Want::Call(name), at),
        }
    }

    /// `bpf_map_lookup_elem#1`, `kernel-function#7`: the number counts. A helper's number is that of a helper's name,
    /// or of one that has none.
    fn call_numbered(&mut self, name: &str) -> Parsed {
        if name == "kernel-function" || (name != "unknown" && Helper::by_name(name).is_none()) {
            return self.kfunc_number();
        }
        let number = self.number()?;
        let id = number.bits()? as u32;
        self.emit(Instruction::Call(CallTarget::Helper(Helper(id))))
    }

    /// `7`, `7 fd_array[3]`
    pub fn kfunc_number(&mut self) -> Parsed {
        let btf_id = self.number()?.bits()?;
        let mut fd_index = 0;
        if self.c.eat_word("fd_array") {
            self.c.expect("[", "fd_array[3]")?;
            fd_index = self.number()?.fit("an index", "-32768 to 32767")?;
            self.c.expect("]", "fd_array[3]")?;
        }
        self.emit(Instruction::Call(CallTarget::Kfunc { btf_id, fd_index }))
    }

    /// `(u64 *)(r1 +8)`
    fn place(&mut self) -> Parsed<Place> {
        let (size, signed) = self.size()?;
        self.place_of(size, signed)
    }

    /// `(r1 +8)`
    fn place_of(&mut self, size: Size, signed: bool) -> Parsed<Place> {
        const WHOLE: &str = "*(u64 *)(r1 +8)";
        self.c.expect("(", WHOLE)?;
        let reg = self.c.whole()?;
        let off = self.offset()?;
        self.c.expect(")", WHOLE)?;
        Ok(Place { size, signed, reg, off })
    }

    /// `(u64 *)`
    fn size(&mut self) -> Parsed<(Size, bool)> {
        const WHOLE: &str = "*(u64 *)(r1 +8)";
        self.c.expect("(", WHOLE)?;
        let (at, word) = self.c.word();
        let signed = word.starts_with('s');
        let size = match word.strip_prefix(['u', 's']) {
            Some("8") => Size::B,
            Some("16") => Size::H,
            Some("32") => Size::W,
            Some("64") => Size::DW,
            _ => {
                let fail = Fail::new(at, word.len(), format!("`{word}` is no size"));
                return Err(fail
                    .hint("sizes are u8, u16, u32, u64 and, for loads that extend the sign, s8, s16, s32"));
            }
        };
        self.c.expect("*", WHOLE)?;
        self.c.expect(")", WHOLE)?;
        Ok((size, signed))
    }

    fn unsigned(&mut self, at: usize) -> Parsed<Place> {
        let place = self.place()?;
        if place.signed {
            let fail = Fail::new(at, self.c.pos - at, "only plain loads extend the sign");
            return Err(fail.hint(format!("write u{}", place.size.bytes() * 8)));
        }
        Ok(place)
    }

    /// `*(u32 *)(r10 -4) = 5`
    pub fn store(&mut self) -> Parsed {
        self.c.pos += 1;
        let at = self.c.pos;
        let Place { size, reg: dst, off, .. } = self.unsigned(at)?;
        self.c.blanks();
        if !self.c.eat("=") {
            if ATOMICS.iter().any(|(symbol, _)| self.c.rest().starts_with(symbol)) {
                let fail = self.c.unexpected("memory is changed by atomic operations only");
                return Err(fail.hint("write `lock` in front"));
            }
            return Err(self.c.unexpected("`=` is missing"));
        }
        self.c.blanks();
        let at = self.c.pos;
        let src = match self.c.maybe_register() {
            Some(src) => Operand::Reg(self.stored(src, size, at)?),
            None => {
                let number = self.number()?;
                Operand::Imm(if size == Size::DW { number.signed()? } else { number.bits()? })
            }
        };
        self.emit(Instruction::Store { size, dst, off, src })
    }

    /// A register that is stored or loaded: half of one where no more is moved.
    fn stored(&self, named: Named, size: Size, at: usize) -> Parsed<Reg> {
        if named.half && size == Size::DW {
            let fail = Fail::new(at, 2, "half a register does not hold 64 bits");
            return Err(fail.hint(format!("write r{}", named.reg.number())));
        }
        Ok(named.reg)
    }

    /// `lock *(u32 *)(r1 +0) += r2`, or the mnemonics behind `lock`.
    fn lock(&mut self) -> Parsed {
        self.c.blanks();
        if !self.c.rest().starts_with('*') {
            return self.lock_mnemonic();
        }
        self.c.pos += 1;
        let at = self.c.pos;
        let Place { size, reg: dst, off, .. } = self.unsigned(at)?;
        self.c.blanks();
        let rest = self.c.rest();
        let Some(&(symbol, op)) = ATOMICS.iter().find(|(symbol, _)| rest.starts_with(symbol)) else {
            return Err(self.c.unexpected("an operator is missing").hint("atomic ones are += |= &= ^="));
        };
        self.c.pos += symbol.len();
        self.c.blanks();
        let src_at = self.c.pos;
        let src = self.c.register()?;
        let src = self.stored(src, size, src_at)?;
        self.atomic(Instruction::Atomic { op, size, dst, off, src }, at)
    }

    /// Appends an atomic operation, which may not exist in its size.
    pub fn atomic(&mut self, instruction: Instruction, at: usize) -> Parsed {
        let len = self.c.pos - at;
        self.emit(instruction).map_err(|fail| Fail { at, len, ..fail })
    }

    /// `store_release((u64 *)(r1 +0), r2)`
    fn store_release(&mut self) -> Parsed {
        const WHOLE: &str = "store_release((u64 *)(r1 +0), r2)";
        self.c.expect("(", WHOLE)?;
        let at = self.c.pos;
        let Place { size, reg: dst, off, .. } = self.unsigned(at)?;
        self.comma()?;
        self.c.blanks();
        let src_at = self.c.pos;
        let src = self.c.register()?;
        let src = self.stored(src, size, src_at)?;
        self.c.expect(")", WHOLE)?;
        self.emit(Instruction::StoreRelease { size, dst, off, src })
    }

    /// `r1 = …`, `w2 s>>= 3`
    pub fn assignment(&mut self) -> Parsed {
        let dst = self.c.register()?;
        self.c.blanks();
        let rest = self.c.rest();
        let signs = rest.bytes().take_while(|b| b"+-*/%&|^<>=!~s:".contains(b)).count();
        let found = OPERATORS.iter().find(|(symbol, _)| rest.starts_with(symbol));
        // `r1 =-5` is an operator and a number; `<<<=` is none.
        let Some(&(symbol, op)) = found else {
            let written = rest.get(..signs).unwrap_or("");
            if written.is_empty() {
                return Err(self.c.unexpected("an operator is missing").hint("write r1 = 5"));
            }
            let fail = Fail::new(self.c.pos, signs, format!("no operator `{written}`"));
            return Err(fail.maybe(
                match super::near::nearest(&format!("xxx{written}"), NEAR.iter().copied()) {
                    Some(near) => Some(format!("did you mean `{}`?", &near[3..])),
                    None => Some("operators are = += -= *= /= %= |= &= ^= <<= >>= s>>= s/= s%=".to_owned()),
                },
            ));
        };
        self.c.pos += symbol.len();
        if op == AluOp::Mov {
            return self.value(dst);
        }
        self.c.blanks();
        let at = self.c.pos;
        let src = match self.c.maybe_register() {
            Some(src) => Operand::Reg(self.same_width(dst, src, at)?),
            None => Operand::Imm(self.immediate(dst)?),
        };
        self.emit(Instruction::Alu { op, width: width(dst), dst: dst.reg, src })
    }

    /// The immediate of an operation on this register.
    fn immediate(&mut self, dst: Named) -> Parsed<i32> {
        let number = self.number()?;
        if dst.half { number.bits() } else { number.signed() }
    }

    /// What stands behind `r1 =`.
    fn value(&mut self, dst: Named) -> Parsed {
        self.c.blanks();
        let at = self.c.pos;
        match self.c.peek() {
            Some(b'*') => {
                self.c.pos += 1;
                return self.load(dst);
            }
            Some(b'(') => return self.move_sx(dst),
            Some(b'&') => {
                self.c.pos += 1;
                return self.address(dst);
            }
            Some(b'-') => {
                self.c.pos += 1;
                let at = self.c.pos;
                if let Some(src) = self.c.maybe_register() {
                    if src != dst {
                        let fail = Fail::new(at, self.c.pos - at, "a register can only be negated in place");
                        return Err(fail.hint("move it first"));
                    }
                    return self.emit(Instruction::Neg { width: width(dst), dst: dst.reg });
                }
                self.c.pos = at - 1;
            }
            _ => {}
        }
        if let Some(src) = self.c.maybe_register() {
            let src = Operand::Reg(self.same_width(dst, src, at)?);
            return self.emit(Instruction::Alu { op: AluOp::Mov, width: width(dst), dst: dst.reg, src });
        }
        if self.at_number() {
            return self.constant(dst);
        }
        let (at, word) = self.c.word();
        match word {
            "" => Err(self
                .c
                .unexpected("a value is missing")
                .hint("write a register, a number or *(u64 *)(r1 +8)")),
            "call" => {
                if dst.reg != Reg::R0 {
                    let fail = Fail::new(at, word.len(), "the result of a call is in r0");
                    return Err(fail.hint("write r0 = call ..., and move it then"));
                }
                self.call()
            }
            "addr_space_cast" => self.cast(dst, at),
            "load_acquire" => self.load_acquire(dst),
            _ => {
                if let Some((order, size)) = super::mnemonic::swap(word) {
                    let src_at = self.c.pos;
                    if self.c.register()? != dst {
                        let fail = Fail::new(src_at, self.c.pos - src_at, "bytes are swapped in place");
                        return Err(fail.hint("name the same register on both sides"));
                    }
                    return self.emit(Instruction::Swap { order, size, dst: dst.reg });
                }
                if let Some((op, size)) = fetching(word) {
                    return self.fetch(dst, op, size, at);
                }
                self.c.pos = at;
                let dst = self.destination(dst, at)?;
                self.imm64(dst)
            }
        }
    }

    fn destination(&self, dst: Named, at: usize) -> Parsed<Reg> {
        if dst.half {
            let fail = Fail::new(at, 1, "an address needs a whole register");
            return Err(fail.hint(format!("write r{}", dst.reg.number())));
        }
        Ok(dst.reg)
    }

    /// A number: an immediate, or with `ll` one of 64 bits.
    fn constant(&mut self, dst: Named) -> Parsed {
        let number = self.number()?;
        let long = self.c.eat_word("ll") || self.says_imm64();
        if dst.half {
            if long {
                let fail = number.fail("a 64-bit number needs a whole register");
                return Err(fail.hint(format!("write r{}", dst.reg.number())));
            }
            let src = Operand::Imm(number.bits()?);
            return self.emit(Instruction::Alu { op: AluOp::Mov, width: Width::W32, dst: dst.reg, src });
        }
        match i32::try_from(number.value) {
            Ok(imm) if !long => {
                let src = Operand::Imm(imm);
                self.emit(Instruction::Alu { op: AluOp::Mov, width: Width::W64, dst: dst.reg, src })
            }
            _ => self.emit(Instruction::LdImm64 { dst: dst.reg, value: Imm64::Value(number.wide()?) }),
        }
    }

    /// `(s8)r2`
    fn move_sx(&mut self, dst: Named) -> Parsed {
        self.c.pos += 1;
        let (at, word) = self.c.word();
        let from = match word {
            "s8" => Size::B,
            "s16" => Size::H,
            "s32" => Size::W,
            _ => {
                let fail = Fail::new(at, word.len(), format!("`({word})` is no conversion"));
                return Err(fail.hint("the sign is extended from s8, s16 or s32"));
            }
        };
        self.c.expect(")", "r1 = (s8)r2")?;
        self.c.blanks();
        let src_at = self.c.pos;
        let src = self.c.register()?;
        let src = self.same_width(dst, src, src_at)?;
        let len = word.len();
        self.emit(Instruction::MovSx { width: width(dst), from, dst: dst.reg, src }).map_err(|fail| Fail {
            at,
            len,
            ..fail
        })
    }

    /// What stands behind `r1 = *`.
    fn load(&mut self, dst: Named) -> Parsed {
        let at = self.c.pos;
        let (size, signed) = self.size()?;
        if self.c.eat_word("skb") {
            return self.packet(dst, size, at);
        }
        let place = self.place_of(size, signed)?;
        let dst = self.stored(dst, size, at)?;
        let (src, off, len) = (place.reg, place.off, self.c.pos - at);
        let instruction = match signed {
            true => Instruction::LoadSx { size, dst, src, off },
            false => Instruction::Load { size, dst, src, off },
        };
        self.emit(instruction).map_err(|fail| Fail { at, len, ..fail })
    }

    /// `skb[14]`, `skb[r1 + 14]`
    fn packet(&mut self, dst: Named, size: Size, at: usize) -> Parsed {
        if dst.reg != Reg::R0 {
            let fail = Fail::new(at, self.c.pos - at, "packet loads put their result into r0");
            return Err(fail.hint("write r0 = *(u16 *)skb[14]"));
        }
        const WHOLE: &str = "*(u16 *)skb[14] or *(u16 *)skb[r1 + 14]";
        self.c.expect("[", WHOLE)?;
        let src = self.c.maybe_register();
        let imm = match (src, self.c.eat("+")) {
            (Some(_), false) if !self.at_number() => 0,
            _ => self.number()?.bits()?,
        };
        self.c.expect("]", WHOLE)?;
        let len = self.c.pos - at;
        let instruction = match src {
            Some(src) => Instruction::LoadInd { size, src: src.reg, imm },
            None => Instruction::LoadAbs { size, imm },
        };
        self.emit(instruction).map_err(|fail| Fail { at, len, ..fail })
    }

    /// `(r2, 0, 1)`
    fn cast(&mut self, dst: Named, at: usize) -> Parsed {
        const WHOLE: &str = "addr_space_cast(r2, 0, 1)";
        let dst = self.destination(dst, at)?;
        self.c.expect("(", WHOLE)?;
        let src = self.c.whole()?;
        self.comma()?;
        let to = self.number()?.fit("an address space", "0 to 65535")?;
        self.comma()?;
        let from = self.number()?.fit("an address space", "0 to 65535")?;
        self.c.expect(")", WHOLE)?;
        self.emit(Instruction::AddrSpaceCast { dst, src, to, from })
    }

    /// `((u64 *)(r1 +0))`
    fn load_acquire(&mut self, dst: Named) -> Parsed {
        const WHOLE: &str = "load_acquire((u64 *)(r1 +0))";
        self.c.expect("(", WHOLE)?;
        let at = self.c.pos;
        let Place { size, reg: src, off, .. } = self.unsigned(at)?;
        self.c.expect(")", WHOLE)?;
        let dst = self.stored(dst, size, at)?;
        self.emit(Instruction::LoadAcquire { size, dst, src, off })
    }

    /// `atomic64_fetch_add((u64 *)(r1 +0), r2)`, `xchg_64(r1 + 0, r2)`, with `r0, r2` the comparing ones.
    fn fetch(&mut self, dst: Named, op: AtomicOp, size: Option<Size>, at: usize) -> Parsed {
        const WHOLE: &str = "r2 = atomic64_fetch_add((u64 *)(r1 +0), r2)";
        self.c.expect("(", WHOLE)?;
        self.c.blanks();
        let place = match (size, self.c.rest().starts_with('(')) {
            (_, true) => {
                let place = self.unsigned(self.c.pos)?;
                if size == Some(Size::DW) && place.size != Size::DW {
                    let fail = Fail::new(at, self.c.pos - at, "this operation takes 64 bits");
                    return Err(fail.hint("write u64, or leave the 64 out of the name"));
                }
                place
            }
            (size, false) => {
                let reg = self.c.whole()?;
                let off = self.offset()?;
                Place { size: size.unwrap_or(Size::DW), signed: false, reg, off }
            }
        };
        self.comma()?;
        if op == AtomicOp::CmpXchg {
            let at = self.c.pos;
            if self.c.register()?.reg != Reg::R0 {
                return Err(Fail::new(at, self.c.pos - at, "the value compared with is in r0"));
            }
            self.comma()?;
        }
        let src_at = self.c.pos;
        let src = self.c.register()?.reg;
        self.c.expect(")", WHOLE)?;
        let result = if op == AtomicOp::CmpXchg { Reg::R0 } else { src };
        if dst.reg != result {
            let fail = Fail::new(
                src_at,
                self.c.pos - src_at,
                "the old value comes into the register it is taken from",
            );
            return Err(fail.hint(format!("write r{} = ...", result.number())));
        }
        self.atomic(Instruction::Atomic { op, size: place.size, dst: place.reg, off: place.off, src }, at)
    }

    /// What stands behind `r1 = &`.
    fn address(&mut self, dst: Named) -> Parsed {
        let at = self.c.pos;
        let dst = self.destination(dst, at)?;
        if self.options.translated && self.c.eat("(void __percpu *)(") {
            let src = self.c.whole()?;
            self.c.expect(")", "&(void __percpu *)(r1)")?;
            return self.emit(Instruction::PercpuAddr { dst, src });
        }
        let (_, word) = self.c.word_ahead();
        if word == "map" {
            return self.imm64(dst);
        }
        self.symbol(dst, Some(0))
    }

    /// The right side of a 64-bit immediate load: a map, data, a function, a kernel variable, a number.
    pub fn imm64(&mut self, dst: Reg) -> Parsed {
        if self.at_number() {
            let value = Imm64::Value(self.number()?.wide()?);
            self.c.eat_word("ll");
            return self.emit(Instruction::LdImm64 { dst, value });
        }
        self.c.eat("&");
        let (at, word) = self.c.word_ahead();
        let next = self.c.text.as_bytes().get(at + word.len()).copied();
        match (word, next) {
            ("map", Some(b'[')) => {
                self.c.pos = at + 4;
                self.map(dst)
            }
            ("map", Some(b' ' | b'\t')) => {
                self.c.pos = at + 3;
                let (name_at, name) = self.c.word_ahead();
                if name.is_empty() || name == "ll" {
                    self.c.pos = at;
                    return self.symbol(dst, None);
                }
                self.c.pos = name_at;
                self.symbol(dst, None)
            }
            ("subprog", Some(b'[')) => {
                self.c.pos = at + 8;
                self.c.blanks();
                let (target, at) = self.target()?;
                let value = Imm64::Func(0);
                self.emit_with(Instruction::LdImm64 { dst, value }, Want::Long(target), at)?;
                self.c.expect("]", "subprog[name]")
            }
            ("btf", Some(b'[')) => {
                self.c.pos = at + 4;
                const WHOLE: &str = "btf[id:5] or btf[id:5, fd:3]";
                self.c.expect("id:", WHOLE)?;
                let btf_id = self.number()?.bits()? as u32;
                let mut obj_fd = 0;
                if self.c.eat(",") {
                    self.c.expect("fd:", WHOLE)?;
                    obj_fd = self.number()?.bits()?;
                }
                self.c.expect("]", WHOLE)?;
                self.emit(Instruction::LdImm64 { dst, value: Imm64::BtfId { btf_id, obj_fd } })
            }
            _ => self.symbol(dst, None),
        }
    }

    /// What stands behind `map[`.
    fn map(&mut self, dst: Reg) -> Parsed {
        const WHOLE: &str = "map[name], map[name][0]+8, map[id:3] or map[idx:3]";
        let value = if self.c.eat("idx:") {
            let index = self.number()?.bits()? as u32;
            self.c.expect("]", WHOLE)?;
            match self.c.eat("[0]") | self.c.rest().starts_with('+') {
                true => Imm64::MapIdxValue { index, offset: self.value_offset()? },
                false => Imm64::MapIdx(index),
            }
        } else if self.c.eat("id:") {
            let fd = self.number()?.bits()?;
            self.c.expect("]", WHOLE)?;
            match self.c.eat("[0]") {
                true => Imm64::MapValue { fd, offset: self.value_offset()? },
                false => Imm64::MapFd(fd),
            }
        } else {
            let (at, name) = self.c.word();
            if name.is_empty() {
                return Err(self.c.unexpected("the name of a map is missing").hint(format!("write {WHOLE}")));
            }
            let name_end = self.c.pos;
            self.c.expect("]", WHOLE)?;
            let value = if self.c.eat("[0]") { Some(self.value_offset()?) } else { None };
            let end = std::mem::replace(&mut self.c.pos, name_end);
            let zero = value.map_or(Imm64::MapFd(0), |offset| Imm64::MapValue { fd: 0, offset });
            self.emit_with(Instruction::LdImm64 { dst, value: zero }, Want::Symbol { name, value }, at)?;
            self.c.pos = end;
            self.c.eat_word("ll");
            return Ok(());
        };
        self.c.eat_word("ll");
        self.emit(Instruction::LdImm64 { dst, value })
    }

    /// `+8`, or nothing.
    fn value_offset(&mut self) -> Parsed<u32> {
        if self.c.eat("+") {
            return self.number()?.fit("an offset into a value", "0 to 4294967295");
        }
        Ok(0)
    }

    /// The name of a map, of data or of a function, maybe with an offset and with `ll`.
    fn symbol(&mut self, dst: Reg, value: Option<u32>) -> Parsed {
        let (at, name) = self.c.word_ahead();
        if name.is_empty() {
            return Err(self.c.unexpected("a value is missing"));
        }
        let digits = name.strip_prefix(['r', 'w']).unwrap_or("");
        if !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()) {
            // It is called as if it were one, and the message is about registers.
            self.c.register()?;
        }
        self.c.pos = at + name.len();
        let len_end = self.c.pos;
        self.c.blanks();
        let offset = match self.c.peek() {
            Some(b'+') => Some(self.value_offset()?),
            _ => value,
        };
        let end = std::mem::replace(&mut self.c.pos, len_end);
        let want = Want::Symbol { name, value: offset };
        self.emit_with(Instruction::LdImm64 { dst, value: Imm64::MapFd(0) }, want, at)?;
        self.c.pos = end;
        self.c.eat_word("ll");
        Ok(())
    }
}

/// Operators with three letters in front, so that near ones are found although they are short.
const NEAR: &[&str] = &[
    "xxx=", "xxx+=", "xxx-=", "xxx*=", "xxx/=", "xxx%=", "xxx|=", "xxx&=", "xxx^=", "xxx<<=", "xxx>>=",
    "xxxs>>=", "xxxs/=", "xxxs%=",
];

/// `atomic64_fetch_add`, `atomic_xchg`, `xchg32_32`, `cmpxchg_64`
fn fetching(word: &str) -> Option<(AtomicOp, Option<Size>)> {
    let llvm = |name: &str| match name {
        "_64" => Some(Size::DW),
        "32_32" => Some(Size::W),
        _ => None,
    };
    if let Some(size) = word.strip_prefix("cmpxchg").and_then(llvm) {
        return Some((AtomicOp::CmpXchg, Some(size)));
    }
    if let Some(size) = word.strip_prefix("xchg").and_then(llvm) {
        return Some((AtomicOp::Xchg, Some(size)));
    }
    let (size, name) = match word.strip_prefix("atomic64_") {
        Some(name) => (Some(Size::DW), name),
        None => (None, word.strip_prefix("atomic_")?),
    };
    let op = match name {
        "fetch_add" => AtomicOp::FetchAdd,
        "fetch_or" => AtomicOp::FetchOr,
        "fetch_and" => AtomicOp::FetchAnd,
        "fetch_xor" => AtomicOp::FetchXor,
        "xchg" => AtomicOp::Xchg,
        "cmpxchg" => AtomicOp::CmpXchg,
        _ => return None,
    };
    Some((op, size))
}

impl Target<'_> {
    /// The distance, where it does not depend on labels.
    pub fn off(self) -> Option<i64> {
        match self {
            Target::Off(off) => Some(off),
            _ => None,
        }
    }
}

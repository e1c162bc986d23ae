//! The right sides of assignments to registers.

use super::cursor::Named;
use super::error::{Fail, Parsed};
use super::kernel::{Place, width};
use super::statement::Text;
use crate::instruction::*;
use crate::{Reg, Size, Width};

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

impl<'a> Text<'a> {
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

    pub(super) fn destination(&self, dst: Named, at: usize) -> Parsed<Reg> {
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

//! The kernel's syntax, with what clang's assembler and llvm-objdump write differently.

use super::cursor::{Named, in_word};
use super::error::{Fail, Parsed};
use super::statement::{Text, Want};
use crate::instruction::*;
use crate::{Helper, Reg, Size, Width};

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
pub(super) struct Place {
    pub size: Size,
    pub signed: bool,
    pub reg: Reg,
    pub off: i16,
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
    pub(super) fn call(&mut self) -> Parsed {
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
        // The one name with a hyphen: what the kernel calls functions whose names it does not know.
        if self.c.eat("kernel-function#") {
            return self.kfunc_number();
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
        if name != "unknown" && Helper::by_name(name).is_none() {
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
    pub(super) fn place_of(&mut self, size: Size, signed: bool) -> Parsed<Place> {
        const WHOLE: &str = "*(u64 *)(r1 +8)";
        self.c.expect("(", WHOLE)?;
        let reg = self.c.whole()?;
        let off = self.offset()?;
        self.c.expect(")", WHOLE)?;
        Ok(Place { size, signed, reg, off })
    }

    /// `(u64 *)`
    pub(super) fn size(&mut self) -> Parsed<(Size, bool)> {
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

    pub(super) fn unsigned(&mut self, at: usize) -> Parsed<Place> {
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
    pub(super) fn stored(&self, named: Named, size: Size, at: usize) -> Parsed<Reg> {
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
}

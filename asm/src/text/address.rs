//! Addresses that are known when a program is loaded: maps, data, functions, kernel variables.

use super::cursor::Named;
use super::error::Parsed;
use super::statement::{Text, Want};
use crate::Reg;
use crate::instruction::*;

impl<'a> Text<'a> {
    /// What stands behind `r1 = &`.
    pub(super) fn address(&mut self, dst: Named) -> Parsed {
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

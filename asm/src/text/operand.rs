//! Operands, and what is made of them.

use super::cursor::{Named, Number, in_word, starts_word};
use super::error::{Fail, Parsed};
use super::statement::{Fixup, Text, Want};
use crate::{Instruction, Reg};

/// Where a jump or call goes.
#[derive(Clone, Copy)]
pub(super) enum Target<'a> {
    /// So many words from the next instruction.
    Off(i64),
    /// To a label.
    Label(&'a str),
    /// To the nearest label of this number, further on or further back.
    Number(u32, bool),
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

impl<'a> Text<'a> {
    /// Appends an instruction.
    pub fn emit(&mut self, instruction: Instruction) -> Parsed {
        match instruction.encode() {
            Ok(words) => {
                self.out.program.insns.extend_from_slice(&words);
                Ok(())
            }
            Err(error) => Err(Fail::new(self.c.pos, 0, error.to_string())),
        }
    }

    /// Appends an instruction that lacks something.
    pub fn emit_with(&mut self, instruction: Instruction, want: Want<'a>, at: usize) -> Parsed {
        let insn = self.here();
        self.emit(instruction)?;
        let len = self.c.pos.saturating_sub(at);
        self.fixups.push(Fixup { insn, want, at, len });
        Ok(())
    }

    pub fn number(&mut self) -> Parsed<Number> {
        self.c.number(&self.constants)
    }

    /// Whether a number, or the name of one, is next.
    pub fn at_number(&mut self) -> bool {
        let (_, word) = self.c.word_ahead();
        self.constants.contains_key(word) || self.c.at_number() || {
            let mut ahead = self.c.clone();
            (ahead.eat("-") || ahead.eat("+")) && self.constants.contains_key(ahead.word_ahead().1)
        }
    }

    /// Where a jump goes: `pc+3`, `+3`, a label, `1f`.
    pub fn target(&mut self) -> Parsed<(Target<'a>, usize)> {
        self.c.blanks();
        let at = self.c.pos;
        let target = if matches!(self.c.peek(), Some(b'+' | b'-')) {
            Target::Off(self.number()?.fit("an offset", "at most 32 bits")?)
        } else if self.c.rest().starts_with("pc+") || self.c.rest().starts_with("pc-") {
            self.c.pos += 2;
            Target::Off(self.number()?.fit("an offset", "at most 32 bits")?)
        } else {
            let rest = self.c.rest();
            let len = rest.bytes().take_while(|b| in_word(*b)).count();
            let word = rest.get(..len).unwrap_or("");
            let digits = word.strip_suffix(['b', 'f']).unwrap_or("");
            if !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()) {
                self.c.pos += len;
                let number = digits.parse();
                let fail = |_| Fail::new(at, len, format!("label {digits} does not fit 32 bits"));
                Target::Number(number.map_err(fail)?, word.ends_with('f'))
            } else if word.bytes().next().is_some_and(starts_word) {
                self.c.pos += len;
                Target::Label(word)
            } else if word.is_empty() {
                return Err(self
                    .c
                    .unexpected("the target of the jump is missing")
                    .hint("write a label, or +3"));
            } else {
                let fail = Fail::new(at, len, format!("`{word}` is no target"));
                return Err(fail.hint(format!(
                    "write +{word} to jump over so many words, {word}f or {word}b for a label"
                )));
            }
        };
        // llvm-objdump says where it goes once more.
        if self.c.eat("<") {
            let rest = self.c.rest();
            self.c.pos += rest.find('>').map_or(0, |len| len + 1);
        }
        Ok((target, at))
    }

    /// An offset behind a register: ` +8`, `-4`, nothing.
    pub fn offset(&mut self) -> Parsed<i16> {
        self.c.blanks();
        if matches!(self.c.peek(), Some(b'+' | b'-')) {
            // `+-8` is what some printers make of a negative offset.
            if self.c.rest().starts_with("+-") {
                self.c.pos += 1;
            }
            return self.number()?.fit("an offset", "-32768 to 32767");
        }
        Ok(0)
    }

    /// The comma between operands.
    pub fn comma(&mut self) -> Parsed {
        if self.c.eat(",") { Ok(()) } else { Err(self.c.unexpected("a comma is missing")) }
    }

    /// The two registers of an operation that works on whole ones or on halves.
    pub fn same_width(&self, left: Named, right: Named, at: usize) -> Parsed<Reg> {
        if left.half == right.half {
            return Ok(right.reg);
        }
        let letter = |half| if half { 'w' } else { 'r' };
        let number = right.reg.number();
        let fail =
            Fail::new(at, 2, format!("{}{number} has another width than the left side", letter(right.half)));
        Err(fail.hint(format!("write {}{number}", letter(left.half))))
    }
}

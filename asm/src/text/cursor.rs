//! Reading a text from left to right, one line at a time.

use super::error::{Fail, Parsed};
use crate::Reg;
use std::collections::HashMap;

/// A place in the text; what is read lies between `pos` and `end`, the end of the line.
#[derive(Clone)]
pub(super) struct Cursor<'a> {
    pub text: &'a str,
    pub pos: usize,
    pub end: usize,
    /// Whether `r11` may be named.
    pub translated: bool,
}

/// A register under the letter it was written with.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Named {
    pub reg: Reg,
    /// `w1` instead of `r1`.
    pub half: bool,
}

pub(super) fn starts_word(b: u8) -> bool {
    b.is_ascii_alphabetic() || matches!(b, b'_' | b'.' | b'$')
}

pub(super) fn in_word(b: u8) -> bool {
    starts_word(b) || b.is_ascii_digit()
}

impl<'a> Cursor<'a> {
    pub fn rest(&self) -> &'a str {
        self.text.get(self.pos..self.end).unwrap_or("")
    }

    pub fn peek(&self) -> Option<u8> {
        if self.pos < self.end { self.text.as_bytes().get(self.pos).copied() } else { None }
    }

    pub fn peek_at(&self, ahead: usize) -> Option<u8> {
        let at = self.pos + ahead;
        if at < self.end { self.text.as_bytes().get(at).copied() } else { None }
    }

    /// Leaves out blanks and `/* */` within the line.
    pub fn blanks(&mut self) {
        loop {
            match self.peek() {
                Some(b' ' | b'\t' | b'\r') => self.pos += 1,
                Some(b'/') if self.peek_at(1) == Some(b'*') => {
                    match self.rest().get(2..).and_then(|r| r.find("*/")) {
                        Some(len) => self.pos += len + 4,
                        None => return,
                    }
                }
                _ => return,
            }
        }
    }

    /// Takes these characters if they are next.
    pub fn eat(&mut self, what: &str) -> bool {
        self.blanks();
        let found = self.rest().starts_with(what);
        if found {
            self.pos += what.len();
        }
        found
    }

    /// Takes this word if it is next, and not only the beginning of a longer one.
    pub fn eat_word(&mut self, word: &str) -> bool {
        self.blanks();
        let found = self.rest().strip_prefix(word).is_some_and(|r| !r.bytes().next().is_some_and(in_word));
        if found {
            self.pos += word.len();
        }
        found
    }

    /// Takes these characters, or says that they are missing.
    pub fn expect(&mut self, what: &str, whole: &str) -> Parsed {
        if self.eat(what) {
            return Ok(());
        }
        Err(self.unexpected(format!("`{what}` is missing")).hint(format!("write {whole}")))
    }

    /// The next word without taking it, and where it begins.
    pub fn word_ahead(&mut self) -> (usize, &'a str) {
        self.blanks();
        let rest = self.rest();
        let len = match rest.bytes().next() {
            Some(b) if starts_word(b) => rest.bytes().take_while(|b| in_word(*b)).count(),
            _ => 0,
        };
        (self.pos, rest.get(..len).unwrap_or(""))
    }

    pub fn word(&mut self) -> (usize, &'a str) {
        let (at, word) = self.word_ahead();
        self.pos = at + word.len();
        (at, word)
    }

    /// Something that does not belong here: a word, a number, or a few signs.
    pub fn unexpected(&mut self, message: impl Into<String>) -> Fail {
        self.blanks();
        let rest = self.rest();
        let kind = |b: u8| (in_word(b), b.is_ascii_whitespace());
        let len = match rest.bytes().next() {
            Some(first) => rest.bytes().take_while(|b| kind(*b) == kind(first) && b.is_ascii()).count(),
            None => 0,
        };
        let found = rest.get(..len).unwrap_or("");
        let message = message.into();
        let message = match found {
            "" if rest.is_empty() && message.ends_with("missing") => {
                format!("{message} at the end of the line")
            }
            "" => message,
            _ if message.ends_with("missing") => format!("{message} before `{found}`"),
            _ => format!("{message}: `{found}`"),
        };
        Fail::new(self.pos, len, message)
    }

    /// Whether the statement ends here: end of the line, `;`, or a comment.
    pub fn at_end(&mut self) -> bool {
        self.blanks();
        match self.peek() {
            None | Some(b';' | b'#') => true,
            Some(b'/') => matches!(self.peek_at(1), Some(b'/' | b'*')),
            _ => false,
        }
    }

    /// The register that a word names.
    pub fn register_of(&self, word: &str) -> Option<Named> {
        let bytes = word.as_bytes();
        let (letter, digits) = bytes.split_first()?;
        let half = match letter {
            b'r' => false,
            b'w' => true,
            _ => return None,
        };
        let number = match digits {
            [d] if d.is_ascii_digit() => d - b'0',
            [b'1', b'0'] => 10,
            [b'1', b'1'] if self.translated => return Some(Named { reg: Reg::AX, half }),
            _ => return None,
        };
        Some(Named { reg: Reg::new(number)?, half })
    }

    /// Takes a register if one is next.
    pub fn maybe_register(&mut self) -> Option<Named> {
        let before = self.pos;
        self.blanks();
        if self.peek() == Some(b'%') {
            self.pos += 1;
        }
        let (at, word) = self.word_ahead();
        match self.register_of(word) {
            Some(named) => {
                self.pos = at + word.len();
                Some(named)
            }
            None => {
                self.pos = before;
                None
            }
        }
    }

    pub fn register(&mut self) -> Parsed<Named> {
        if let Some(named) = self.maybe_register() {
            return Ok(named);
        }
        let (at, word) = self.word_ahead();
        let digits = word.strip_prefix(['r', 'w']);
        if digits.is_some_and(|d| !d.is_empty() && d.bytes().all(|b| b.is_ascii_digit())) {
            let fail = Fail::new(at, word.len(), format!("there is no register `{word}`"));
            return Err(fail.hint("registers are r0 to r10, their lower halves w0 to w10"));
        }
        if word == "fp" || word == "sp" {
            return Err(Fail::new(at, word.len(), format!("there is no register `{word}`"))
                .hint("the frame pointer is r10"));
        }
        Err(self.unexpected("a register is missing"))
    }

    /// A whole register, `r`.
    pub fn whole(&mut self) -> Parsed<Reg> {
        self.blanks();
        let at = self.pos;
        let named = self.register()?;
        if named.half {
            let number = named.reg.number();
            return Err(Fail::new(at, self.pos - at, format!("w{number} is half a register"))
                .hint(format!("write r{number} here")));
        }
        Ok(named.reg)
    }

    /// Whether a number could begin here.
    pub fn at_number(&mut self) -> bool {
        self.blanks();
        let sign = usize::from(matches!(self.peek(), Some(b'+' | b'-')));
        self.peek_at(sign).is_some_and(|b| b.is_ascii_digit() || b == b'\'')
            || (sign == 1 && matches!(self.peek_at(1), Some(b' ')) && {
                let mut ahead = self.clone();
                ahead.pos += 1;
                ahead.blanks();
                ahead.peek().is_some_and(|b| b.is_ascii_digit())
            })
    }

    /// A number: decimal, `0x`, `0b`, `'c'`, or a name that `.equ` gave to one; with a sign or without. Also says
    /// whether it stood in hexadecimal.
    pub fn number(&mut self, constants: &HashMap<&str, i64>) -> Parsed<Number> {
        self.blanks();
        let at = self.pos;
        let negative = match self.peek() {
            Some(sign @ (b'+' | b'-')) => {
                self.pos += 1;
                self.blanks();
                sign == b'-'
            }
            _ => false,
        };
        let (value, hex) = self.magnitude(constants)?;
        let value = if negative { -value } else { value };
        Ok(Number { value, hex, at, len: self.pos - at })
    }

    fn magnitude(&mut self, constants: &HashMap<&str, i64>) -> Parsed<(i128, bool)> {
        let (at, word) = self.word_ahead();
        if let Some(value) = constants.get(word) {
            self.pos = at + word.len();
            return Ok(((*value).into(), false));
        }
        if self.peek() == Some(b'\'') {
            let mut chars = self.rest().chars().skip(1);
            if let (Some(c), Some('\'')) = (chars.next(), chars.next()) {
                self.pos += c.len_utf8() + 2;
                return Ok(((c as u32).into(), false));
            }
        }
        let rest = self.rest();
        let len = rest.bytes().take_while(|b| in_word(*b)).count();
        let digits = rest.get(..len).unwrap_or("");
        if !digits.bytes().next().is_some_and(|b| b.is_ascii_digit()) {
            let near = super::near::did_you_mean(word, constants.keys().copied());
            let mut fail = self.unexpected("a number is missing");
            if near.is_some() {
                fail = fail.maybe(near);
            }
            return Err(fail);
        }
        let (radix, figures) = match digits.get(..2) {
            Some("0x" | "0X") => (16, &digits[2..]),
            Some("0b" | "0B") => (2, &digits[2..]),
            _ => (10, digits),
        };
        let mut value: u64 = 0;
        for figure in figures.bytes() {
            if figure == b'_' {
                continue;
            }
            let Some(figure) = char::from(figure).to_digit(radix) else {
                return Err(Fail::new(self.pos, len, format!("`{digits}` is no number")));
            };
            let next = value.checked_mul(radix.into()).and_then(|v| v.checked_add(figure.into()));
            let Some(next) = next else {
                return Err(Fail::new(self.pos, len, format!("{digits} does not fit 64 bits")));
            };
            value = next;
        }
        if figures.is_empty() {
            return Err(Fail::new(self.pos, len, format!("`{digits}` is no number")));
        }
        self.pos += len;
        Ok((value.into(), radix == 16))
    }
}

/// A number and where it stands.
#[derive(Clone, Copy)]
pub(super) struct Number {
    pub value: i128,
    /// Written in hexadecimal.
    pub hex: bool,
    pub at: usize,
    pub len: usize,
}

impl Number {
    pub fn fail(&self, message: impl Into<String>) -> Fail {
        Fail::new(self.at, self.len, message)
    }

    /// As a field of this type.
    pub fn fit<T: TryFrom<i128>>(&self, what: &str, range: &str) -> Parsed<T> {
        T::try_from(self.value)
            .map_err(|_| self.fail(format!("{} is out of range: {what} is {range}", self.value)))
    }

    /// As an immediate that is sign-extended to 64 bits.
    pub fn signed(&self) -> Parsed<i32> {
        i32::try_from(self.value).map_err(|_| {
            let fail = self
                .fail(format!("{} does not fit the 32-bit immediate, which is sign-extended", self.value));
            fail.hint("load it into a register with `= NUMBER ll` first")
        })
    }

    /// As an immediate of which 32 bits count: also unsigned.
    pub fn bits(&self) -> Parsed<i32> {
        let unsigned = u32::try_from(self.value).map(|v| v as i32);
        i32::try_from(self.value)
            .or(unsigned)
            .map_err(|_| self.fail(format!("{} does not fit 32 bits", self.value)))
    }

    /// As 64 bits, signed or unsigned.
    pub fn wide(&self) -> Parsed<u64> {
        let signed = i64::try_from(self.value).map(|v| v as u64);
        u64::try_from(self.value)
            .or(signed)
            .map_err(|_| self.fail(format!("{} does not fit 64 bits", self.value)))
    }
}

//! What stands around instructions in texts that were printed: logs, indexes, opcodes, bytes, comments.

use super::cursor::{Cursor, in_word, starts_word};
use super::error::{Fail, Parsed};
use super::near;
use super::statement::Text;
use crate::Insn;

/// The opcode, and maybe the index, that a statement has in front.
#[derive(Clone, Copy)]
pub(super) struct Prefix {
    opcode: u8,
    at: usize,
    index: Option<(usize, usize)>,
}

/// How lines begin that the verifier prints between instructions.
const LOG: &[&str] = &[
    "mark_precise: frame",
    "verification time ",
    "stack depth ",
    "last_idx ",
    "regs=",
    "parent state regs=",
    "parent didn't have regs",
    "propagating ",
    "old state:",
    "returning from callee",
    "to caller at ",
    "Func#",
    "Validating ",
    "Live regs before insn",
];

impl<'a> Text<'a> {
    /// Whether the line is one that the verifier prints between instructions.
    pub fn is_log(&self) -> bool {
        let rest = self.c.rest();
        let state = |text: &str| {
            let text = text.trim_start();
            let text =
                text.strip_prefix("frame").map_or(text, |t| t.trim_start_matches(|c| c != ' ').trim_start());
            let digits = text.strip_prefix('R').unwrap_or("");
            digits.bytes().next().is_some_and(|b| b.is_ascii_digit())
        };
        let behind_index = rest.split_once(':').filter(|(n, _)| n.bytes().all(|b| b.is_ascii_digit()));
        let digit_follows = |word: &str| {
            rest.strip_prefix(word).is_some_and(|r| r.bytes().next().is_some_and(|b| b.is_ascii_digit()))
        };
        state(rest)
            || behind_index.is_some_and(|(_, r)| state(r))
            || ["from ", "processed ", "func#"].into_iter().any(digit_follows)
            || LOG.iter().any(|word| rest.starts_with(word))
            || rest.trim_end() == "safe"
            || self.is_prototype()
    }

    /// `int f(struct __sk_buff * ctx):`, which bpftool prints above a function.
    pub fn is_prototype(&self) -> bool {
        let rest = self.c.rest().trim_end();
        let (_, word) = self.c.clone().word();
        rest.ends_with("):")
            && !word.is_empty()
            && !word.starts_with('.')
            && !rest.contains('=')
            && self.c.register_of(word).is_none()
            && !super::mnemonic::names().any(|name| name == word)
            && super::mnemonic::find(word).is_none()
            && matches!(rest.as_bytes().get(word.len()), Some(b' ' | b'('))
    }

    /// Whether what follows a `;` is a statement. A comment may say anything, so this looks at more than a word.
    pub fn statement_ahead(&mut self) -> bool {
        let mut ahead = self.c.clone();
        let (at, word) = ahead.word();
        let end = |c: &mut Cursor<'_>| c.at_end();
        let after = |c: &Cursor<'_>| c.text.get(c.pos..c.end).unwrap_or("").trim_start().bytes().next();
        if ahead.register_of(word).is_some() || ahead.peek() == Some(b'%') {
            return after(&ahead).is_some_and(|b| b"=+-*/%&|^<>s".contains(&b));
        }
        let rest = self.c.rest();
        if rest.starts_with("*(") {
            return rest.starts_with("*(u") || rest.starts_with("*(s");
        }
        // A label of letters or digits, with a statement or nothing behind it.
        let label = rest.bytes().take_while(|b| in_word(*b)).count();
        if label > 0 && rest.as_bytes().get(label) == Some(&b':') {
            let numeric = rest.bytes().take(label).all(|b| b.is_ascii_digit());
            if numeric || starts_word(rest.as_bytes()[0]) {
                let mut inner = self.c.clone();
                inner.pos = at + label + 1;
                if end(&mut inner) {
                    return true;
                }
                std::mem::swap(&mut self.c, &mut inner);
                self.c.blanks();
                let found = self.statement_ahead();
                std::mem::swap(&mut self.c, &mut inner);
                return found;
            }
        }
        if let Some(directive) = word.strip_prefix('.') {
            return super::directive::NAMES.contains(&directive);
        }
        match word {
            "" => false,
            "if" => ahead.maybe_register().is_some(),
            "lock" => {
                let (_, word) = ahead.word_ahead();
                ahead.rest().starts_with("*(") || super::mnemonic::is_atomic(word)
            }
            "exit" | "nospec" => end(&mut ahead),
            "goto" | "gotol" | "may_goto" | "call" | "gotox" | "callx" => {
                ahead.blanks();
                let rest = ahead.rest();
                let len = rest.bytes().take_while(|b| in_word(*b) || b"+-#%".contains(b)).count();
                ahead.pos += len;
                len > 0 && end(&mut ahead)
            }
            "store_release" => after(&ahead) == Some(b'('),
            _ if super::mnemonic::find(word).is_some() => {
                ahead.maybe_register().is_some()
                    || matches!(after(&ahead), Some(b'[' | b'+' | b'-'))
                    || ahead.at_number()
                    || (super::mnemonic::find(word).is_some_and(|op| op.is_jump()) && {
                        ahead.word();
                        end(&mut ahead)
                    })
            }
            // One letter is wrong, and the rest looks like operands: a mistake, which the parser will name.
            _ => {
                let typo = near::nearest(word, super::mnemonic::names()).is_some();
                typo && (end(&mut ahead) || ahead.maybe_register().is_some())
            }
        }
    }

    /// The bytes that llvm-objdump prints between index and text: eight or sixteen.
    pub fn skip_bytes(&mut self, indexed: bool) {
        if !indexed {
            return;
        }
        self.c.blanks();
        let is_byte = |b: &[u8]| b.iter().all(u8::is_ascii_hexdigit);
        let mut bytes = 0;
        let mut ahead = self.c.clone();
        while let Some(pair) = ahead.rest().as_bytes().get(..2).filter(|b| is_byte(b)) {
            if !ahead.rest().as_bytes().get(pair.len()).is_none_or(|b| b.is_ascii_whitespace()) {
                break;
            }
            bytes += 1;
            ahead.pos += 2;
            ahead.blanks();
        }
        if bytes == 8 || bytes == 16 {
            self.c.pos = ahead.pos;
        }
    }

    /// `(b7)`
    pub fn take_prefix(&mut self, index: Option<(usize, usize)>) {
        self.c.blanks();
        let &[b'(', a, b, b')', ..] = self.c.rest().as_bytes() else { return };
        let (Some(a), Some(b)) = (char::from(a).to_digit(16), char::from(b).to_digit(16)) else { return };
        self.prefix = Some(Prefix { opcode: (a * 16 + b) as u8, at: self.c.pos, index });
        self.c.pos += 4;
        self.c.blanks();
    }

    /// Whether the statement is said to be a 64-bit immediate load.
    pub fn says_imm64(&self) -> bool {
        self.prefix.is_some_and(|prefix| prefix.opcode == 0x18)
    }

    /// Compares what a pasted line says about itself with what was made of it.
    pub fn check_prefix(&mut self, prefix: Prefix, (insns, fixups, maps): (usize, usize, usize)) -> Parsed {
        let made = self.out.program.insns.get(insns).copied().unwrap_or_default();
        if made.opcode != prefix.opcode && self.here() > insns {
            let message = format!(
                "the opcode in front is {:#04x}, but this instruction has {:#04x}",
                prefix.opcode, made.opcode
            );
            return Err(
                Fail::new(prefix.at, 4, message).hint("leave the opcode out where the text was changed")
            );
        }
        let Some((index, at)) = prefix.index else { return Ok(()) };
        let base = *self.base.get_or_insert(insns as i64 - index as i64);
        let place = index as i64 + base;
        if place == insns as i64 {
            return Ok(());
        }
        // The log of a walk shows what it goes over twice twice.
        let added = self.out.program.insns.get(insns..).unwrap_or_default();
        let known = usize::try_from(place).ok().and_then(|p| self.out.program.insns.get(p..p + added.len()));
        let same = |a: &Insn, b: &Insn| a.opcode == b.opcode && a.regs == b.regs;
        if known.is_some_and(|known| known.iter().zip(added).all(|(a, b)| same(a, b))) && place < insns as i64
        {
            self.out.program.insns.truncate(insns);
            self.fixups.truncate(fixups);
            self.out.program.map_refs.truncate(maps);
            return Ok(());
        }
        let fail = Fail::new(at, index.to_string().len(), {
            let expected = insns as i64 - base;
            format!("this instruction has the index {index}, but the next one is {expected}")
        });
        Err(fail.hint("lines are missing or were added; leave the indexes out where the text was changed"))
    }
}

//! What stands around instructions in texts that were printed: logs, indexes, opcodes, bytes, comments.

use super::cursor::{Cursor, in_word, starts_word};
use super::error::{Fail, Parsed};
use super::near;
use super::statement::Text;
use crate::{Insn, decode};

/// The opcode, and maybe the index, that a statement has in front.
#[derive(Clone, Copy)]
pub(super) struct Prefix {
    opcode: u8,
    at: usize,
    index: Option<(usize, usize)>,
}

/// A line that was printed with index and opcode.
pub(super) struct Pasted {
    /// The index that it shows.
    index: usize,
    /// Where its instruction came to stand, and how many words it has.
    insn: usize,
    len: usize,
    at: usize,
}

/// The bytes in front of an instruction.
pub(super) struct Bytes {
    pub words: Vec<Insn>,
    at: usize,
    len: usize,
}

impl Bytes {
    /// Whether they are one instruction.
    pub fn are_valid(&self) -> bool {
        decode(&self.words).is_ok_and(|(_, slots)| slots == self.words.len())
    }
}

/// Opcode of calls.
const CALL: u8 = 0x85;

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
    "SCC ",
];

impl<'a> Text<'a> {
    /// Whether the line is one that the verifier prints between instructions.
    pub fn is_log(&self) -> bool {
        let rest = self.c.rest();
        // Most lines begin with a register or an access to memory.
        if matches!(rest.as_bytes(), [b'r' | b'w', b'0'..=b'9', ..] | [b'*' | b'%' | b'.', ..]) {
            return false;
        }
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
            || behind_index.is_some_and(|(_, r)| state(r) || r.trim() == "safe")
            || ["from ", "processed ", "func#", "frame "].into_iter().any(digit_follows)
            || LOG.iter().any(|word| rest.starts_with(word))
            || matches!(rest.as_bytes(), [b'(', b'0'..=b'9', b')', b' ', ..])
            || rest.trim_end() == "safe"
            || self.is_prototype()
    }

    /// `int f(struct __sk_buff * ctx):`, which bpftool prints above a function.
    pub fn is_prototype(&self) -> bool {
        let rest = self.c.rest().trim_end();
        if !rest.ends_with("):") {
            return false;
        }
        let (_, word) = self.c.clone().word();
        !word.is_empty()
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
            ahead.maybe_register();
            ahead.blanks();
            let signs = ahead.rest().bytes().take_while(|b| b"=+-*/%&|^<>s".contains(b));
            return signs.into_iter().any(|b| b == b'=');
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

    /// The number of a loop in front of an index, in the list that `Live regs before insn` heads.
    pub fn skip_loop_number(&mut self) {
        if !self.c.peek().is_some_and(|b| b.is_ascii_digit()) {
            return;
        }
        let mut parts = self.c.rest().split_ascii_whitespace();
        let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        if let (Some(number), Some(index)) = (parts.next(), parts.next())
            && digits(number)
            && index.strip_suffix(':').is_some_and(digits)
        {
            self.c.pos += number.len();
        }
    }

    /// A comment with instructions behind it is a mistake that would drop them.
    pub fn check_comment(&mut self) {
        let at = self.c.pos;
        while let Some(len) = self.c.rest().find(';') {
            self.c.pos += len + 1;
            self.c.blanks();
            if self.statement_ahead() {
                self.c.pos = at;
                let (_, word) = self.c.word_ahead();
                let fail = match word {
                    "" => self.c.unexpected("this is no instruction"),
                    word => Fail::new(at, word.len(), format!("no instruction `{word}`")),
                };
                self.fail(fail.hint("or, if this is a comment, begin it with //"));
                return;
            }
        }
        self.c.pos = at;
    }

    /// The bytes that llvm-objdump prints between index and text: eight or sixteen.
    pub fn take_bytes(&mut self, indexed: bool) -> Option<Bytes> {
        if !indexed {
            return None;
        }
        self.c.blanks();
        let at = self.c.pos;
        let mut bytes = Vec::new();
        let mut ahead = self.c.clone();
        while let Some(&[a, b]) = ahead.rest().as_bytes().get(..2) {
            let (Some(a), Some(b)) = (char::from(a).to_digit(16), char::from(b).to_digit(16)) else { break };
            if ahead.peek_at(2).is_some_and(|b| !b.is_ascii_whitespace()) {
                break;
            }
            bytes.push((a * 16 + b) as u8);
            ahead.pos += 2;
            ahead.blanks();
        }
        if bytes.len() != 8 && bytes.len() != 16 {
            return None;
        }
        self.c.pos = ahead.pos;
        let words = bytes.as_chunks().0.iter().copied().map(Insn::from_bytes_le).collect();
        Some(Bytes { words, at, len: bytes.len() * 3 - 1 })
    }

    /// Compares the bytes in front of an instruction with it. Only they tell what kind of function a call calls, and what
    /// a packet load with a register adds to it.
    pub fn check_bytes(&mut self, bytes: &Bytes, (insns, fixups): (usize, usize)) -> Parsed {
        let made = self.out.program.insns.get_mut(insns..).unwrap_or_default();
        if let ([word], [given]) = (&mut *made, &bytes.words[..])
            && word.opcode == given.opcode
            && matches!(word.opcode, CALL | 0x40 | 0x48 | 0x50)
        {
            *word = *given;
            self.fixups.truncate(fixups);
            return Ok(());
        }
        // Distances to labels are not known yet.
        let same = match self.fixups.len() == fixups {
            true => *made == bytes.words[..],
            false => made.iter().zip(&bytes.words).all(|(a, b)| (a.opcode, a.regs) == (b.opcode, b.regs)),
        };
        if same {
            return Ok(());
        }
        let fail =
            Fail::new(bytes.at, bytes.len, "these bytes are another instruction than the text behind them");
        Err(fail.hint("leave the bytes out where the text was changed"))
    }

    /// `(b7)`; also with the registers that are in use in front, `.1.3...... (b7)`, as logs since Linux 6.16 list all
    /// instructions once.
    pub fn take_prefix(&mut self, index: Option<(usize, usize)>) {
        self.c.blanks();
        let live = self.c.rest().as_bytes().get(..10);
        if index.is_some() && live.is_some_and(|live| live.iter().all(|b| b.is_ascii_digit() || *b == b'.')) {
            self.c.pos += 10;
            self.c.blanks();
        }
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
    pub fn check_prefix(&mut self, prefix: Prefix, (insns, fixups): (usize, usize)) -> Parsed {
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
        let added = self.out.program.insns.get(insns..).unwrap_or_default();
        if let Some(known) = self.shown.get(&index).and_then(|n| self.pasted.get(*n)) {
            // The log of a walk shows what it goes over twice twice.
            let before = self.out.program.insns.get(known.insn..).unwrap_or_default();
            let same = |(a, b): (&Insn, &Insn)| a.opcode == b.opcode && a.regs == b.regs;
            if before.iter().zip(added).all(same) {
                self.out.program.insns.truncate(insns);
                self.fixups.truncate(fixups);
                return Ok(());
            }
            let message = format!("there was another instruction with the index {index}");
            let fail = Fail::new(at, index.to_string().len(), message);
            return Err(fail.hint("leave the indexes out where the text was changed"));
        }
        self.shown.insert(index, self.pasted.len());
        self.pasted.push(Pasted { index, insn: insns, len: added.len(), at });
        Ok(())
    }

    /// Brings the lines of a log into the order of their indexes: the walk goes over what is jumped to last.
    pub fn order(&mut self) {
        let rising = |lines: &[Pasted]| lines.is_sorted_by(|a, b| a.index + (b.insn - a.insn) == b.index);
        if rising(&self.pasted) {
            return;
        }
        let mut lines = std::mem::take(&mut self.pasted);
        lines.sort_by_key(|line| line.index);
        let mut gaps = Vec::new();
        for (line, next) in lines.iter().zip(lines.iter().skip(1)) {
            if line.index + line.len != next.index {
                let expected = line.index + line.len;
                let message = format!(
                    "this instruction has the index {}, but the one before makes it {expected}",
                    next.index
                );
                let fail = Fail::new(next.at, next.index.to_string().len(), message);
                gaps.push(fail.hint(
                    "lines are missing or were added; leave the indexes out where the text was changed",
                ));
            }
        }
        let pasted: usize = lines.iter().map(|line| line.len).sum();
        if gaps.is_empty() && pasted != self.here() {
            let at = lines.first().map_or(0, |line| line.at);
            let fail =
                Fail::new(at, 1, "lines that are not in the order of their indexes stand between others");
            gaps.push(fail.hint("leave the indexes out"));
        }
        if !gaps.is_empty() {
            gaps.into_iter().for_each(|fail| self.fail(fail));
            return;
        }
        let old = std::mem::take(&mut self.out.program.insns);
        let mut places = vec![0; old.len() + 1];
        for line in &lines {
            let words = old.get(line.insn..line.insn + line.len).unwrap_or_default();
            for (n, word) in words.iter().enumerate() {
                if let Some(place) = places.get_mut(line.insn + n) {
                    *place = self.out.program.insns.len();
                }
                self.out.program.insns.push(*word);
            }
        }
        if let Some(end) = places.last_mut() {
            *end = old.len();
        }
        let moved = |insn: usize| places.get(insn).copied().unwrap_or(insn);
        self.fixups.iter_mut().for_each(|fixup| fixup.insn = moved(fixup.insn));
        self.fixups.sort_by_key(|fixup| fixup.insn);
        self.labels.values_mut().for_each(|(insn, _)| *insn = moved(*insn));
        self.numbers.values_mut().for_each(|places| {
            places.iter_mut().for_each(|insn| *insn = moved(*insn));
            places.sort_unstable();
        });
        self.out.funcs.iter_mut().for_each(|func| func.insn = moved(func.insn));
        self.out.program.lines.iter_mut().for_each(|line| line.insn = moved(line.insn));
        self.out.program.lines.sort_by_key(|line| line.insn);
    }
}

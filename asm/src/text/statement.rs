//! From lines to statements.

use super::cursor::{Cursor, Named, Number, in_word, starts_word};
use super::error::{AsmError, AsmErrors, Fail, Parsed};
use super::{AsmOptions, Assembly, near};
use crate::{Insn, Instruction, LineRecord, Reg, SourceLine};
use std::collections::HashMap;

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

/// What an instruction still lacks.
#[derive(Clone, Copy)]
pub(super) enum Want<'a> {
    /// A 16-bit offset.
    Near(Target<'a>),
    /// A 16-bit offset, or a 32-bit one in another instruction of the same length.
    Goto(Target<'a>),
    /// A 32-bit distance in the immediate.
    Long(Target<'a>),
    /// A call by name: of a function, a helper or a kernel function.
    Call(&'a str),
    /// The address of a map, a byte of data, or a function. With `value` a byte of a map's first value.
    Symbol { name: &'a str, value: Option<u32> },
}

/// An instruction that lacks something.
pub(super) struct Fixup<'a> {
    pub insn: usize,
    pub want: Want<'a>,
    pub at: usize,
    pub len: usize,
}

/// The opcode, and maybe the index, that a statement has in front.
#[derive(Clone, Copy)]
pub(super) struct Prefix {
    opcode: u8,
    at: usize,
    index: Option<(usize, usize)>,
}

/// A text on its way to a program.
pub(super) struct Text<'a> {
    pub c: Cursor<'a>,
    pub options: &'a AsmOptions,
    pub out: Assembly,
    pub constants: HashMap<&'a str, i64>,
    /// Index and place of each label.
    pub labels: HashMap<&'a str, (usize, usize)>,
    /// Labels that are numbers, in the order of the text.
    pub numbers: HashMap<u32, Vec<usize>>,
    pub fixups: Vec<Fixup<'a>>,
    pub maps: HashMap<&'a str, usize>,
    /// Declared kernel functions.
    pub kfuncs: Vec<&'a str>,
    /// Maps whose `inner` is to be found: map, name, place.
    pub inner: Vec<(usize, &'a str, usize)>,
    fails: Vec<Fail>,
    /// The opcode in front of the statement that is read.
    pub prefix: Option<Prefix>,
    /// What is to be added to the indexes of a pasted text to get ours.
    base: Option<i64>,
    /// Whether each line of instructions makes a record.
    pub auto_lines: bool,
    pub file: String,
    /// The comment that stands for the source of what follows.
    pub source: Option<SourceLine>,
    /// Line of the cursor, from 1, and where it begins.
    line: u32,
    line_start: usize,
}

/// Longer lines are refused: no person and no tool writes them.
const LONGEST_LINE: usize = 1 << 16;

/// With so many mistakes it is no assembly text, and reading on helps nobody.
const MOST_ERRORS: usize = 1000;

/// How many near names are looked for in one text.
const HINTS: usize = 100;

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
    pub fn new(text: &'a str, options: &'a AsmOptions) -> Text<'a> {
        Text {
            c: Cursor { text, pos: 0, end: 0, translated: options.translated },
            options,
            out: Assembly::default(),
            constants: HashMap::new(),
            labels: HashMap::new(),
            numbers: HashMap::new(),
            fixups: Vec::new(),
            maps: HashMap::new(),
            kfuncs: Vec::new(),
            inner: Vec::new(),
            fails: Vec::new(),
            prefix: None,
            base: None,
            auto_lines: true,
            file: options.file.clone(),
            source: None,
            line: 1,
            line_start: 0,
        }
    }

    pub fn assemble(mut self) -> Result<Assembly, AsmErrors> {
        while self.c.pos < self.c.text.len() {
            self.set_end();
            if self.c.end - self.c.pos > LONGEST_LINE {
                let message = format!("this line is longer than {LONGEST_LINE} bytes");
                self.fail(Fail::new(self.c.pos, 1, message));
            } else {
                self.line();
            }
            if self.fails.len() > MOST_ERRORS {
                break;
            }
            self.c.pos = self.c.end + 1;
            self.line += 1;
            self.line_start = self.c.pos;
        }
        if self.fails.len() <= MOST_ERRORS {
            self.link();
        }
        if self.fails.is_empty() {
            return Ok(self.out);
        }
        Err(self.errors())
    }

    /// Finds the end of the line that the cursor is in.
    fn set_end(&mut self) {
        let rest = self.c.text.get(self.c.pos..).unwrap_or("");
        self.c.end = rest.find('\n').map_or(self.c.text.len(), |len| self.c.pos + len);
    }

    pub fn fail(&mut self, fail: Fail) {
        self.fails.push(fail);
    }

    /// A near name, as long as not too many were looked for.
    pub fn near<'n>(&self, wrong: &str, names: impl IntoIterator<Item = &'n str>) -> Option<String> {
        if self.fails.len() < HINTS { near::did_you_mean(wrong, names) } else { None }
    }

    /// The number of instruction words so far.
    pub fn here(&self) -> usize {
        self.out.program.insns.len()
    }

    /// Leaves out blanks and comments that may go over several lines. `false` where a comment never ends.
    fn blanks(&mut self) -> bool {
        loop {
            self.c.blanks();
            if !self.c.rest().starts_with("/*") {
                return true;
            }
            let from = self.c.pos + 2;
            let rest = self.c.text.get(from..).unwrap_or("");
            let Some(len) = rest.find("*/") else {
                self.fail(Fail::new(self.c.pos, 2, "this comment has no end").hint("close it with `*/`"));
                self.c.pos = self.c.text.len();
                self.c.end = self.c.pos;
                return false;
            };
            let skipped = rest.get(..len).unwrap_or("");
            self.c.pos = from + len + 2;
            self.line += u32::try_from(skipped.matches('\n').count()).unwrap_or(u32::MAX);
            if let Some(last) = skipped.rfind('\n') {
                self.line_start = from + last + 1;
            }
            self.set_end();
        }
    }

    /// All statements of one line (of several, where comments join them).
    fn line(&mut self) {
        if !self.blanks() {
            return;
        }
        let rest = self.c.rest();
        if rest.trim().is_empty() {
            self.source = None;
            return;
        }
        if let Some(comment) = rest.strip_prefix(';') {
            self.source = Some(source_comment(comment.trim()));
            return;
        }
        if self.is_log() {
            return;
        }
        let before = self.here();
        let start = (self.line, self.line_start, self.c.pos);
        loop {
            if let Err(fail) = self.statement() {
                self.fail(fail);
                // Goes on behind the next separator.
                let rest = self.c.rest();
                self.c.pos += rest.find(';').unwrap_or(rest.len());
            }
            if !self.blanks() {
                break;
            }
            match self.c.peek() {
                None => break,
                Some(b'#') => break,
                Some(b'/') if self.c.peek_at(1) == Some(b'/') => break,
                Some(b';') => {
                    self.c.pos += 1;
                    if !self.blanks() || !self.statement_ahead() {
                        break;
                    }
                }
                _ => {
                    let fail = self.c.unexpected("this does not belong to the instruction");
                    let message = fail.message.replace(" before `", ": `");
                    self.fail(Fail { message, ..fail });
                    let rest = self.c.rest();
                    self.c.pos += rest.find(';').unwrap_or(rest.len());
                }
            }
        }
        self.record(before, start);
    }

    /// The line record of the instructions from word `before` on.
    fn record(&mut self, before: usize, (line, line_start, from): (u32, usize, usize)) {
        if !self.auto_lines || self.here() == before {
            return;
        }
        let source = match &self.source {
            Some(source) => source.clone(),
            None => SourceLine {
                file: self.file.clone(),
                line,
                column: self.column(line_start, from),
                text: self.c.text.get(from..self.c.end).unwrap_or("").trim_end().to_owned(),
            },
        };
        // One comment stands for all the instructions below it.
        if self.source.is_some() && self.out.program.lines.last().is_some_and(|last| last.source == source) {
            return;
        }
        self.out.program.lines.push(LineRecord { insn: before, source });
    }

    fn column(&self, line_start: usize, at: usize) -> u32 {
        let before = self.c.text.get(line_start..at).unwrap_or("");
        u32::try_from(before.chars().count()).unwrap_or(u32::MAX).saturating_add(1)
    }

    /// Whether the line is one that the verifier prints between instructions.
    fn is_log(&self) -> bool {
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
    fn is_prototype(&self) -> bool {
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
    fn statement_ahead(&mut self) -> bool {
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

    /// One statement, with the labels in front of it.
    fn statement(&mut self) -> Parsed {
        self.prefix = None;
        let mut index = None;
        loop {
            self.c.blanks();
            let rest = self.c.rest();
            let len = rest.bytes().take_while(|b| in_word(*b)).count();
            if len == 0 || rest.as_bytes().get(len) != Some(&b':') {
                break;
            }
            let name = rest.get(..len).unwrap_or("");
            let at = self.c.pos;
            self.c.pos += len + 1;
            if name.bytes().all(|b| b.is_ascii_digit()) {
                let number: u32 = name
                    .parse()
                    .map_err(|_| Fail::new(at, len, format!("label {name} does not fit 32 bits")))?;
                index = Some((number as usize, at));
                let here = self.here();
                self.numbers.entry(number).or_default().push(here);
            } else if starts_word(name.as_bytes()[0]) {
                self.label(name, at)?;
            } else {
                return Err(Fail::new(at, len, format!("`{name}` can be no label"))
                    .hint("labels begin with a letter, or are numbers"));
            }
        }
        self.skip_bytes(index.is_some());
        if self.c.at_end() {
            return Ok(());
        }
        self.take_prefix(index);
        let before = (self.here(), self.fixups.len(), self.out.program.map_refs.len());
        self.instruction()?;
        match self.prefix.take() {
            Some(prefix) => self.check_prefix(prefix, before),
            None => Ok(()),
        }
    }

    pub fn label(&mut self, name: &'a str, at: usize) -> Parsed {
        if self.c.register_of(name).is_some() {
            return Err(Fail::new(at, name.len(), format!("`{name}` is a register")).hint("use another name"));
        }
        let here = self.here();
        if let Some((_, first)) = self.labels.insert(name, (here, at)) {
            let line = self.line_of(first);
            let fail = Fail::new(at, name.len(), format!("`{name}` was already set in line {line}"));
            return Err(fail.hint("give each place a name of its own"));
        }
        Ok(())
    }

    /// The bytes that llvm-objdump prints between index and text: eight or sixteen.
    fn skip_bytes(&mut self, indexed: bool) {
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
    fn take_prefix(&mut self, index: Option<(usize, usize)>) {
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
    fn check_prefix(&mut self, prefix: Prefix, (insns, fixups, maps): (usize, usize, usize)) -> Parsed {
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

    /// The line that a byte is in, from 1.
    fn line_of(&self, at: usize) -> usize {
        let before = self.c.text.as_bytes().get(..at).unwrap_or_default();
        before.iter().filter(|b| **b == b'\n').count() + 1
    }

    fn errors(mut self) -> AsmErrors {
        self.fails.sort_by_key(|fail| fail.at);
        let fails = std::mem::take(&mut self.fails);
        // Lines are counted on from one mistake to the next: a text may be all mistakes.
        let (mut from, mut line_before) = (0, 1);
        let mut errors = Vec::with_capacity(fails.len());
        for fail in fails {
            let mut at = fail.at.min(self.c.text.len());
            while !self.c.text.is_char_boundary(at) {
                at -= 1;
            }
            let passed = self.c.text.get(from..at).unwrap_or("");
            line_before += passed.matches('\n').count();
            from = at;
            let before = self.c.text.get(..at).unwrap_or("");
            let start = before.rfind('\n').map_or(0, |n| n + 1);
            let end = self.c.text.get(at..).and_then(|t| t.find('\n')).map_or(self.c.text.len(), |n| at + n);
            let wrong = self.c.text.get(at..).unwrap_or("");
            let len = wrong.char_indices().take_while(|(n, c)| *n < fail.len && *c != '\n').count();
            // Of a line without end a piece is enough.
            let text: String =
                self.c.text.get(start..end).unwrap_or("").trim_end().chars().take(1000).collect();
            errors.push(AsmError {
                line: u32::try_from(line_before).unwrap_or(u32::MAX),
                column: self.column(start, at),
                len: u32::try_from(len).unwrap_or(u32::MAX),
                message: fail.message,
                hint: fail.hint,
                text,
            });
        }
        AsmErrors { errors }
    }

    /// The instruction or directive that the cursor stands at.
    fn instruction(&mut self) -> Parsed {
        if self.c.rest().starts_with('*') {
            return self.store();
        }
        if self.c.peek() == Some(b'%') {
            return self.assignment();
        }
        let (at, word) = self.c.word_ahead();
        if self.c.register_of(word).is_some() {
            return self.assignment();
        }
        if let Some(directive) = word.strip_prefix('.') {
            self.c.pos = at + word.len();
            self.source = None;
            return self.directive(directive, at);
        }
        if word.is_empty() {
            return Err(self.c.unexpected("an instruction is missing"));
        }
        self.c.pos = at + word.len();
        if self.keyword(word, at)? || self.mnemonic(word, at)? {
            return Ok(());
        }
        // `r12 = 5` is meant to be an assignment.
        self.c.pos = at;
        let mut digits = word.bytes();
        if matches!(digits.next(), Some(b'r' | b'w'))
            && digits.len() > 0
            && digits.all(|b| b.is_ascii_digit())
        {
            self.c.register()?;
        }
        let fail = Fail::new(at, word.len(), format!("no instruction `{word}`"));
        Err(fail.maybe(self.near(word, super::mnemonic::names())))
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

/// `int x = f(); @ file.c:12`
fn source_comment(comment: &str) -> SourceLine {
    let plain = || SourceLine { text: comment.to_owned(), ..SourceLine::default() };
    let Some((text, place)) = comment.rsplit_once(" @ ") else { return plain() };
    let Some((file, line)) = place.rsplit_once(':') else { return plain() };
    match line.parse() {
        Ok(line) => SourceLine { file: file.to_owned(), line, column: 0, text: text.trim_end().to_owned() },
        Err(_) => plain(),
    }
}

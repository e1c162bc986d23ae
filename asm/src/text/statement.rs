//! From lines to statements.

use super::cursor::{Cursor, in_word, starts_word};
use super::error::{AsmError, AsmErrors, Fail, Parsed};
use super::operand::Target;
use super::paste::{Pasted, Prefix};
use super::{AsmOptions, Assembly, near};
use crate::{LineRecord, SourceLine};
use std::collections::HashMap;

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
    /// Lines that were printed with their indexes.
    pub pasted: Vec<Pasted>,
    /// Which of those has an index.
    pub shown: HashMap<usize, usize>,
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
            pasted: Vec::new(),
            shown: HashMap::new(),
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
            self.order();
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
        self.skip_loop_number();
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
                    if !self.blanks() {
                        break;
                    }
                    if !self.statement_ahead() {
                        self.check_comment();
                        break;
                    }
                }
                _ => {
                    let fail = self.c.unexpected("this does not belong to the instruction");
                    self.fail(fail);
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
        let bytes = self.take_bytes(index.is_some());
        if self.c.at_end() && bytes.is_none() {
            return Ok(());
        }
        if let Some(words) = bytes.as_ref().filter(|bytes| !bytes.are_valid()) {
            // There is no text for them but `<unknown>`, or one that leaves out what is wrong.
            self.out.program.insns.extend(&words.words);
            self.c.pos = self.c.end;
            return Ok(());
        }
        self.take_prefix(index);
        let before = (self.here(), self.fixups.len());
        self.instruction()?;
        if let Some(bytes) = bytes {
            self.check_bytes(&bytes, before)?;
        }
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

    /// The line that a byte is in, from 1.
    pub fn line_of(&self, at: usize) -> usize {
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

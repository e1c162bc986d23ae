//! Reads what a log of level 2 says of registers and stack.

use super::CheckError;
use super::trail::{ANY_FRAME, Entry, From, Trail, Whole};
use crate::verifier::{Group, Held, Numbers, Tnum, Value};
use std::collections::BTreeMap;

/// What a log says of one frame.
#[derive(Clone, Debug)]
struct FrameText {
    regs: [Value; 11],
    groups: [Option<Group>; 11],
    /// By distance from the frame pointer.
    stack: BTreeMap<i64, Vec<Held>>,
    /// Whether something was not understood that matters for the whole.
    is_partial: bool,
}

impl Default for FrameText {
    fn default() -> FrameText {
        FrameText {
            regs: [Value::Nothing; 11],
            groups: [None; 11],
            stack: BTreeMap::new(),
            is_partial: false,
        }
    }
}

/// A register or slot as printed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Printed {
    pub value: Value,
    pub group: Option<Group>,
    /// Its link to others is not said fully.
    pub is_linked: bool,
}

#[derive(Debug)]
struct Reader {
    frames: Vec<FrameText>,
    frame: usize,
    entries: Vec<Entry>,
    from: From,
    speculative: bool,
    /// References are held.
    has_refs: bool,
}

/// The promises of a complete log.
pub(super) fn parse(log: &str) -> Result<Trail, CheckError> {
    let mut reader = Reader {
        frames: vec![FrameText::default()],
        frame: 0,
        entries: Vec::new(),
        from: From::Start,
        speculative: false,
        has_refs: false,
    };
    let mut is_complete = false;
    let mut lines = 0;
    for line in log.lines() {
        lines += 1;
        is_complete |= line.starts_with("processed ");
        reader.line(line);
    }
    if !is_complete {
        return Err(CheckError::Log { line: lines, what: "the statistics at the end are missing" });
    }
    if reader.entries.first().is_none_or(|first| first.insn != 0) {
        return Err(CheckError::Log { line: lines, what: "it says nothing of the first instruction" });
    }
    Ok(Trail::new(reader.entries))
}

impl Reader {
    fn line(&mut self, line: &str) {
        if line.starts_with(" R") || line.starts_with(" frame") {
            return self.state(line, true);
        }
        // A function that is walked on its own begins.
        if line.starts_with("Validating ") {
            self.from = From::Start;
            self.restart();
            return;
        }
        if let Some(rest) = line.strip_prefix("from ") {
            return self.path(rest);
        }
        let Some((insn, rest)) = line.split_once(':') else { return };
        let Ok(insn) = insn.parse::<usize>() else { return };
        if rest.trim() == "safe" {
            return self.enter(insn, true);
        }
        let is_code = rest.get(1..2) == Some("(") && rest.get(4..5) == Some(")");
        if !is_code {
            return self.state(rest, false);
        }
        self.enter(insn, false);
        let opcode = rest.get(2..4).and_then(|hex| u8::from_str_radix(hex, 16).ok()).unwrap_or(0);
        // Calls, and loads of packet bytes that are calls.
        if matches!(opcode, 0x85 | 0x8d) || matches!(opcode & 0xe7, 0x20 | 0x40) {
            self.called();
        }
        // A path ends where the program does; another one says where it comes from.
        if let Some((_, state)) = rest.split_once(';') {
            self.state(state, false);
        }
    }

    fn restart(&mut self) {
        (self.frames, self.frame) = (vec![FrameText::default()], 0);
    }

    fn path(&mut self, rest: &str) {
        let Some((way, state)) = rest.split_once(':') else { return };
        let mut words = way.split(' ');
        let from = words.next().and_then(|word| word.parse().ok());
        let to = words.nth(1).and_then(|word| word.parse().ok());
        let (Some(from), Some(to)) = (from, to) else { return };
        self.speculative = way.ends_with("(speculative execution)");
        self.from = From::Insn(from);
        if state.trim() == "safe" {
            self.restart();
            self.enter(to, true);
            if let Some(entry) = self.entries.last_mut() {
                entry.frame = ANY_FRAME;
            }
            return;
        }
        self.state(state, true);
    }

    /// Notes what is known before an instruction.
    fn enter(&mut self, insn: usize, covered: bool) {
        let Some(frame) = self.frames.get(self.frame) else { return };
        let may_be_whole = self.frame == 0 && !frame.is_partial && !self.has_refs && !covered;
        let whole = may_be_whole.then(|| Whole {
            groups: frame.groups,
            stack: frame.stack.values().flatten().copied().collect(),
        });
        // What the instruction before did is not printed before "safe".
        let regs = if covered { [Value::Nothing; 11] } else { frame.regs };
        let from = self.from;
        let entry =
            Entry { insn, frame: self.frame, regs, covered, speculative: self.speculative, from, whole };
        self.from = From::Entry(self.entries.len());
        self.entries.push(entry);
    }

    fn called(&mut self) {
        let Some(frame) = self.frames.get_mut(self.frame) else { return };
        for number in 0..6 {
            (frame.regs[number], frame.groups[number]) = (Value::Nothing, None);
        }
        // Packets may have moved, objects may be gone.
        for value in &mut frame.regs {
            if let Value::Pointer { kind, .. } = value
                && !matches!(*kind, "fp" | "ctx" | "map_value")
            {
                *value = Value::Nothing;
                frame.is_partial = true;
            }
        }
        for value in frame.stack.values_mut().flatten().map(|held| &mut held.value) {
            if let Value::Pointer { kind, .. } = value
                && !matches!(*kind, "fp" | "ctx" | "map_value")
            {
                frame.is_partial = true;
            }
        }
    }

    /// A state: all of a frame, or what changed of it.
    fn state(&mut self, text: &str, all: bool) {
        let mut words = words(text);
        let mut number = 0;
        if let Some(first) = words.first()
            && let Some(at) = first.strip_prefix("frame").and_then(|rest| rest.strip_suffix(':'))
        {
            number = at.parse().unwrap_or(0).min(16);
            words.remove(0);
        }
        if words.is_empty() {
            return;
        }
        self.frame = number;
        if self.frames.len() <= number {
            self.frames.resize_with(number + 1, FrameText::default);
        }
        let frame = &mut self.frames[number];
        if all {
            *frame = FrameText::default();
            self.has_refs = false;
        }
        for word in words {
            let Some((name, value)) = word.split_once('=') else {
                // "cb" and the like: not the program's own frame.
                frame.is_partial = true;
                continue;
            };
            let name = name.split('_').next().unwrap_or(name);
            if name == "refs" {
                self.has_refs = true;
            } else if let Some(number) = name.strip_prefix('R').and_then(|n| n.parse::<usize>().ok()) {
                frame.reg(number, value);
            } else if let Some(offset) = name.strip_prefix("fp").and_then(|n| n.parse::<i64>().ok()) {
                frame.slot(offset, value);
            }
        }
    }
}

impl FrameText {
    fn reg(&mut self, number: usize, text: &str) {
        let (Some(reg), Some(group)) = (self.regs.get_mut(number), self.groups.get_mut(number)) else {
            return;
        };
        match value(text) {
            Some(printed) => {
                (*reg, *group) = (printed.value, printed.group);
                self.is_partial |= printed.is_linked;
            }
            None => {
                (*reg, *group) = (Value::Nothing, None);
                self.is_partial = true;
            }
        }
    }

    fn slot(&mut self, offset: i64, text: &str) {
        let mut held = Vec::new();
        let is_bytes = text.len() == 8 && text.chars().all(|letter| "?m0".contains(letter));
        if is_bytes {
            for (at, _) in text.chars().enumerate().filter(|(_, letter)| *letter == '0') {
                let value = Value::Number(Numbers::constant(0));
                held.push(Held { offset: offset + 7 - at as i64, len: 1, value, group: None });
            }
        } else if let Some(printed) = value(text).filter(|_| !is_narrow(text)) {
            held.push(Held { offset, len: 8, value: printed.value, group: printed.group });
            self.is_partial |= printed.is_linked;
        } else {
            self.is_partial = true;
        }
        self.stack.insert(offset, held);
    }
}

/// Letters of the bytes beside a spill of less than eight bytes stand before its value.
fn is_narrow(text: &str) -> bool {
    text.starts_with(['?', 'm']) && !text.starts_with("map") && !text.starts_with("mem")
        || text.len() > 1 && text.starts_with('0') && !text.starts_with("0x")
}

/// Words of a state: blanks inside of parentheses divide none.
fn words(text: &str) -> Vec<&str> {
    let mut depth = 0_u32;
    text.split(|letter: char| {
        match letter {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            _ => {}
        }
        depth == 0 && letter.is_whitespace()
    })
    .filter(|word| !word.is_empty())
    .collect()
}

/// `5`, `-8`, `0xffffffff80000000`.
fn number(text: &str) -> Option<u64> {
    match text.strip_prefix("0x") {
        Some(hex) => u64::from_str_radix(hex, 16).ok(),
        None => text.parse::<i64>().map(|number| number as u64).or_else(|_| text.parse()).ok(),
    }
}

/// `P5`, `scalar(id=1,smin=umin=4,...)`, `fp-16`, `map_value(map=m,ks=4,vs=8,off=4)`; `None` for what is none of these.
pub(super) fn value(text: &str) -> Option<Printed> {
    let text = text.strip_prefix('P').unwrap_or(text);
    let plain = |value| Printed { value, group: None, is_linked: false };
    if let Some(number) = number(text) {
        return Some(plain(Value::Number(Numbers::constant(number))));
    }
    let kind_end =
        text.find(|letter: char| !(letter.is_ascii_alphanumeric() || letter == '_')).unwrap_or(text.len());
    let (mut name, mut rest) = text.split_at(kind_end);
    if name.is_empty() {
        return None;
    }
    // fp0, fp-8, fp[1]-8
    if let Some(off) = name.strip_prefix("fp") {
        let after_frame = rest.strip_prefix('[').and_then(|rest| rest.split_once(']')).map(|(_, off)| off);
        let digits = after_frame.unwrap_or(if off.is_empty() { rest } else { off });
        if let Some(off) = number(digits) {
            return Some(plain(pointer("fp", off as i64 as i32, Numbers::constant(0), false, None)));
        }
        (name, rest) = ("fp", after_frame.unwrap_or(rest));
    }
    let inner = rest.strip_prefix('(').and_then(|rest| rest.strip_suffix(')'));
    let inner = match inner {
        Some(inner) => inner,
        None if rest.is_empty() => "",
        None => return None,
    };
    let list = Attributes::read(inner)?;
    let group = list.id.map(|id| Group { id, off: 0 });
    if name == "scalar" {
        let numbers = list.numbers.unwrap_or(Numbers::ALL);
        return Some(Printed { value: Value::Number(numbers), group, is_linked: list.is_linked });
    }
    let (base, maybe_null) = match name.strip_suffix("_or_null") {
        Some(base) => (base, true),
        None => (name, false),
    };
    const KINDS: [&str; 6] = ["ctx", "fp", "map_value", "map_ptr", "pkt", "pkt_end"];
    let kind = KINDS.into_iter().find(|kind| *kind == base).unwrap_or("?");
    let size = match kind {
        "map_value" => list.value_size,
        "pkt" => list.range,
        _ => None,
    };
    // Without ranges the variable part is a constant.
    let var_off = list.numbers.unwrap_or(Numbers::constant(list.imm));
    let group = list.id.map(|id| Group { id, off: list.off.into() });
    Some(Printed { value: pointer(kind, list.off, var_off, maybe_null, size), group, is_linked: false })
}

fn pointer(kind: &'static str, off: i32, var_off: Numbers, maybe_null: bool, size: Option<u32>) -> Value {
    Value::Pointer { kind, off, var_off, maybe_null, size }
}

/// What stands in parentheses.
#[derive(Debug, Default)]
struct Attributes {
    id: Option<u32>,
    is_linked: bool,
    off: i32,
    imm: u64,
    range: Option<u32>,
    value_size: Option<u32>,
    numbers: Option<Numbers>,
}

impl Attributes {
    /// `smin=umin=4`: each of the names has the value.
    fn read(text: &str) -> Option<Attributes> {
        let mut list = Attributes::default();
        for item in text.split(',').filter(|item| !item.is_empty()) {
            let mut parts: Vec<&str> = item.split('=').collect();
            let value = parts.pop()?;
            for name in parts {
                list.set(name.trim(), value)?;
            }
        }
        Some(list)
    }

    fn set(&mut self, name: &str, value: &str) -> Option<()> {
        if matches!(
            name,
            "smin" | "smax" | "umin" | "umax" | "smin32" | "smax32" | "umin32" | "umax32" | "var_off"
        ) {
            return self.set_range(name, value);
        }
        match name {
            "id" => {
                let digits = value.split(['+', '-']).next().unwrap_or(value);
                self.is_linked = digits.len() != value.len();
                self.id = digits.parse().ok();
            }
            "off" => self.off = number(value)? as i64 as i32,
            "imm" => self.imm = number(value)?,
            "r" => self.range = number(value).and_then(|range| u32::try_from(range).ok()),
            "vs" => self.value_size = number(value).and_then(|size| u32::try_from(size).ok()),
            _ => {}
        }
        Some(())
    }

    fn set_range(&mut self, name: &str, value: &str) -> Option<()> {
        let numbers = self.numbers.get_or_insert(Numbers::ALL);
        if name == "var_off" {
            let (bits, mask) = value.strip_prefix('(')?.strip_suffix(')')?.split_once(';')?;
            numbers.bits = Tnum { value: number(bits.trim())?, mask: number(mask.trim())? };
            return Some(());
        }
        let number = number(value)?;
        match name {
            "smin" => numbers.signed.0 = number as i64,
            "smax" => numbers.signed.1 = number as i64,
            "umin" => numbers.unsigned.0 = number,
            "umax" => numbers.unsigned.1 = number,
            "smin32" => numbers.signed32.0 = number as i32,
            "smax32" => numbers.signed32.1 = number as i32,
            "umin32" => numbers.unsigned32.0 = number as u32,
            _ => numbers.unsigned32.1 = number as u32,
        }
        Some(())
    }
}

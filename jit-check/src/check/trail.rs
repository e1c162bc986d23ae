//! What was promised, path by path, from whatever source.

use crate::interp::State;
use crate::verifier::{Group, Held, Known, Value};
use std::collections::HashMap;

/// What was known before one instruction on one path.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Entry {
    pub insn: usize,
    /// Depth of the call, or [`ANY_FRAME`].
    pub frame: usize,
    pub regs: [Value; 11],
    /// Nothing follows: an older state covers this one.
    pub covered: bool,
    pub speculative: bool,
    pub from: From,
    /// All else; `None` where it is not known well enough.
    pub whole: Option<Whole>,
}

/// Where a log does not say the depth.
pub(super) const ANY_FRAME: usize = usize::MAX;

/// Groups of r0 to r10, and the stack, of the program's own frame.
#[derive(Clone, Debug, PartialEq, Default)]
pub(super) struct Whole {
    pub groups: [Option<Group>; 11],
    pub stack: Vec<Held>,
}

/// What lies before on the path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum From {
    /// The beginning of the program or of a function that is walked on its own.
    Start,
    /// This entry.
    Entry(usize),
    /// A visit of this instruction, no matter which.
    Insn(usize),
}

/// All that was promised.
#[derive(Debug, Default)]
pub(super) struct Trail {
    pub entries: Vec<Entry>,
    after_entry: HashMap<usize, Vec<usize>>,
    after_insn: HashMap<usize, Vec<usize>>,
    at_insn: HashMap<usize, Vec<usize>>,
}

/// Most states that are looked through for one that holds the present values.
const MOST_CANDIDATES: usize = 64;

impl Trail {
    pub fn new(entries: Vec<Entry>) -> Trail {
        let mut trail = Trail::default();
        for (at, entry) in entries.iter().enumerate() {
            if entry.speculative {
                continue;
            }
            match entry.from {
                From::Start => {}
                From::Entry(before) => trail.after_entry.entry(before).or_default().push(at),
                From::Insn(before) => trail.after_insn.entry(before).or_default().push(at),
            }
            if entry.whole.is_some() && !entry.covered {
                trail.at_insn.entry(entry.insn).or_default().push(at);
            }
        }
        trail.entries = entries;
        trail
    }

    pub fn of_simulator(known: Vec<Known>) -> Trail {
        let entry = |known: Known| Entry {
            insn: known.insn,
            frame: known.frame,
            regs: known.regs,
            covered: known.covered,
            speculative: known.speculative,
            from: known.before.map_or(From::Start, From::Entry),
            whole: known.whole.map(|whole| Whole { groups: whole.groups, stack: whole.stack }),
        };
        Trail::new(known.into_iter().map(entry).collect())
    }

    /// What follows an entry.
    pub fn after(&self, at: usize) -> impl Iterator<Item = usize> + '_ {
        let insn = self.entries.get(at).map_or(usize::MAX, |entry| entry.insn);
        let lists = [self.after_entry.get(&at), self.after_insn.get(&insn)];
        lists.into_iter().flatten().flatten().copied()
    }

    /// A state at the instruction that holds all there is.
    pub fn holding(&self, insn: usize, now: &Now<'_>) -> Option<usize> {
        let candidates = self.at_insn.get(&insn)?;
        candidates.iter().copied().take(MOST_CANDIDATES).find(|&at| now.is_inside(&self.entries[at]))
    }
}

/// A stopped machine.
#[derive(Clone, Copy)]
pub(super) struct Now<'s> {
    pub state: &'s State<'s>,
    pub regs: [u64; 11],
    /// Address of the context.
    pub context: u64,
}

impl Now<'_> {
    /// Whether the value is one of those; `None` where that cannot be said.
    pub fn fits(&self, value: &Value, number: u64) -> Option<bool> {
        let (kind, off, var_off, maybe_null, size) = match value {
            Value::Nothing => return Some(true),
            Value::Number(numbers) => return Some(numbers.contains(number)),
            Value::Pointer { kind, off, var_off, maybe_null, size } => {
                (*kind, *off, var_off, *maybe_null, size)
            }
        };
        if maybe_null && number == 0 {
            return Some(true);
        }
        let is_part = |distance: i64| var_off.contains(distance.wrapping_sub(off.into()) as u64);
        let from = |base: u64| number.wrapping_sub(base) as i64;
        let place = || self.state.locate(number);
        match kind {
            "ctx" => Some(is_part(from(self.context))),
            "fp" => {
                let mut frames = 0..self.state.depth();
                Some(frames.any(|frame| is_part(from(self.state.frame_pointer(frame)))))
            }
            // Just outside of a value there may be another thing.
            "map_value" => {
                let place = place().filter(|place| place.what.starts_with("value of"))?;
                Some(is_part(place.offset) && size.is_none_or(|size| size == place.len))
            }
            "pkt" => {
                let place = place().filter(|place| place.what == "packet")?;
                let end = place.offset - i64::from(off) + i64::from(size.unwrap_or(0));
                Some(is_part(place.offset) && end <= i64::from(place.len))
            }
            _ => None,
        }
    }

    fn is_inside(&self, entry: &Entry) -> bool {
        let Some(whole) = entry.whole.as_ref().filter(|_| entry.frame == 0 && self.state.depth() == 1) else {
            return false;
        };
        let mut groups: HashMap<u32, u64> = HashMap::new();
        let mut is_same = |group: Option<Group>, number: u64| {
            let Some(group) = group else { return true };
            let base = number.wrapping_sub(group.off as u64);
            *groups.entry(group.id).or_insert(base) == base
        };
        let regs = entry.regs.iter().zip(whole.groups).zip(self.regs);
        for ((value, group), number) in regs {
            if self.fits(value, number) != Some(true) || !is_same(group, number) {
                return false;
            }
        }
        whole.stack.iter().all(|held| {
            let at = self.regs[10].wrapping_add(held.offset as u64);
            let Some(bytes) = self.state.read(at, held.len) else { return false };
            let mut number = [0; 8];
            number[..held.len].copy_from_slice(&bytes);
            let number = u64::from_le_bytes(number);
            self.fits(&held.value, number) == Some(true) && is_same(held.group, number)
        })
    }
}

//! The way of a run through what was promised.

use super::trail::{ANY_FRAME, Now, Trail};
use super::{Broken, Coverage, Violation};
use crate::interp::{Flow, Hook, State};
use crate::program::Program;

/// Goes along with a run.
pub(super) struct Follower<'t> {
    program: &'t Program,
    trail: &'t Trail,
    input: usize,
    /// Where the run may be: one of these speaks for it. Empty when it was lost.
    here: Vec<usize>,
    before: Option<usize>,
    context: u64,
    pub found: Option<Violation>,
    pub coverage: Coverage,
}

impl<'t> Follower<'t> {
    pub fn new(program: &'t Program, trail: &'t Trail, input: usize) -> Follower<'t> {
        Follower {
            program,
            trail,
            input,
            here: Vec::new(),
            before: None,
            context: 0,
            found: None,
            coverage: Coverage::default(),
        }
    }

    /// Whether what follows the instruction may be walked elsewhere, or not at all.
    fn may_lose(&self, insn: usize) -> bool {
        self.program.insns.get(insn).is_none_or(|insn| matches!(insn.opcode, 0x85 | 0x8d | 0x95))
    }

    fn step(&mut self, insn: usize, frame: usize, now: &Now<'_>) -> Result<(), Broken> {
        let Some(before) = self.before else {
            self.context = now.regs[1];
            let now = Now { context: self.context, ..*now };
            return self.settle(
                (!self.trail.entries.is_empty()).then_some(0).into_iter().collect(),
                insn,
                &now,
            );
        };
        if self.here.is_empty() {
            self.find(insn, now);
            return Ok(());
        }
        let entries = &self.trail.entries;
        let mut next: Vec<usize> = self
            .here
            .iter()
            .flat_map(|&at| self.trail.after(at))
            .filter(|&at| entries[at].insn == insn && [frame, ANY_FRAME].contains(&entries[at].frame))
            .collect();
        next.sort_unstable();
        next.dedup();
        self.with_forks(&mut next);
        if next.is_empty() && !self.may_lose(before) {
            return Err(Broken::Way { from: before });
        }
        self.settle(next, insn, now)
    }

    /// Looks for a state that speaks for all that there is.
    fn find(&mut self, insn: usize, now: &Now<'_>) {
        self.here = self.trail.holding(insn, now).into_iter().collect();
        let mut here = std::mem::take(&mut self.here);
        self.with_forks(&mut here);
        self.here = here;
    }

    /// Adds paths that begin at the instruction itself, from the same state: it is walked once for each of two values.
    fn with_forks(&self, list: &mut Vec<usize>) {
        let entries = &self.trail.entries;
        let mut at = 0;
        while let Some(&one) = list.get(at) {
            let is_fork = |other: &usize| {
                (entries[*other].insn, entries[*other].frame) == (entries[one].insn, entries[one].frame)
            };
            let forks: Vec<usize> =
                self.trail.after(one).filter(is_fork).filter(|other| !list.contains(other)).collect();
            list.extend(forks);
            at += 1;
        }
    }

    /// Keeps those that hold the registers.
    fn settle(&mut self, next: Vec<usize>, insn: usize, now: &Now<'_>) -> Result<(), Broken> {
        let entries = &self.trail.entries;
        // What is wrong where the least is.
        let mut nearest: Option<(usize, Broken)> = None;
        let mut cut_off = false;
        self.here.clear();
        for at in next.iter().copied() {
            let mut wrong = (0..11)
                .filter(|&number| now.fits(&entries[at].regs[number], now.regs[number]) == Some(false));
            let Some(number) = wrong.next() else {
                cut_off |= entries[at].covered;
                if !entries[at].covered {
                    self.here.push(at);
                }
                continue;
            };
            let count = 1 + wrong.count();
            if nearest.as_ref().is_none_or(|(least, _)| count < *least) {
                let (value, promised) = (now.regs[number], entries[at].regs[number]);
                nearest = Some((count, Broken::Register { number: number as u8, value, promised }));
            }
        }
        if self.here.is_empty()
            && !cut_off
            && let Some((_, broken)) = nearest
        {
            return Err(broken);
        }
        if !next.is_empty() {
            self.coverage.checked += 1;
        }
        // It may be the one that was cut off, and the others say nothing of it.
        if cut_off {
            self.find(insn, now);
        }
        Ok(())
    }
}

impl Hook for Follower<'_> {
    fn before(&mut self, state: &State<'_>) -> Flow {
        self.coverage.executed += 1;
        if state.program() != 0 {
            self.here.clear();
            return Flow::Continue;
        }
        let (insn, frame) = (state.insn(), state.depth() - 1);
        let now = Now { state, regs: state.registers(), context: self.context };
        let broken = self.step(insn, frame, &now).err();
        self.before = Some(insn);
        match broken {
            Some(what) => {
                self.found = Some(Violation { input: self.input, insn, frame, what });
                Flow::Stop
            }
            None => Flow::Continue,
        }
    }
}

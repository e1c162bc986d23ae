//! Loops of states: which state a loop is entered by, where a path went round before, what is forgotten then.

use super::equal::{Compare, Exact};
use super::liveness::node_mut;
use crate::verifier::env::Env;
use crate::verifier::reg::{Base, Extra, IterState, Reg};
use crate::verifier::state::{SlotType, State, StateId};

impl State {
    /// Whether both are at the same depth by the same calls.
    pub(super) fn same_callsites(&self, other: &State) -> bool {
        self.frames.len() == other.frames.len()
            && self.frames.iter().zip(&other.frames).all(|(one, other)| one.callsite == other.callsite)
    }

    /// Whether they may be the same place in a loop: a cheap look before a whole comparison.
    pub(super) fn may_loop_with(&self, cur: &State) -> bool {
        self.frames.len() == cur.frames.len()
            && match (self.frames.last(), cur.frames.last()) {
                (Some(old), Some(cur)) => {
                    old.regs.iter().zip(&cur.regs).all(|(old, cur)| old.same_value_and_ids(cur))
                }
                _ => false,
            }
    }

    /// Whether an active iterator is in another round: no endless loop then.
    pub(super) fn iter_rounds_differ(&self, cur: &State) -> bool {
        self.frames.iter().zip(&cur.frames).any(|(old, cur)| {
            old.stack.iter().zip(&cur.stack).any(|(old, cur)| {
                let Extra::Iter { state: IterState::Active, depth, .. } = old.spilled.extra else {
                    return false;
                };
                let round = match cur.spilled.extra {
                    Extra::Iter { depth, .. } => depth,
                    _ => 0,
                };
                old.types[0] == SlotType::Iter && round != depth
            })
        })
    }
}

impl<'a> Env<'a> {
    pub(super) fn branches_of(&self, id: StateId) -> u32 {
        self.nodes.get(id.0 as usize).and_then(Option::as_ref).map_or(0, |state| state.branches)
    }

    fn entry_field(&self, id: StateId) -> Option<StateId> {
        self.nodes.get(id.0 as usize)?.as_ref()?.loop_entry
    }

    fn depth_of(&self, id: StateId) -> u32 {
        self.nodes.get(id.0 as usize).and_then(Option::as_ref).map_or(0, |state| state.dfs_depth)
    }

    /// The outermost loop's entry that is known for a cached state.
    pub(super) fn loop_entry_of(&mut self, id: StateId) -> Option<StateId> {
        let mut top = self.entry_field(id)?;
        // A chain cannot be longer than there are states.
        for _ in 0..self.nodes.len() {
            match self.entry_field(top) {
                Some(next) if next != top => top = next,
                _ => break,
            }
        }
        self.shorten(Some(id), top);
        Some(top)
    }

    /// As for a cached state, for the current one.
    fn loop_entry_of_cur(&mut self) -> Option<StateId> {
        let first = self.cur.loop_entry?;
        let top = self.loop_entry_of(first).unwrap_or(first);
        self.cur.loop_entry = Some(top);
        self.shorten(Some(first), top);
        Some(top)
    }

    /// All states of the chain name the outermost entry at once.
    fn shorten(&mut self, mut at: Option<StateId>, top: StateId) {
        while let Some(state) = at.and_then(|id| node_mut(&mut self.nodes, id)) {
            if state.loop_entry == Some(top) {
                break;
            }
            at = state.loop_entry;
            state.loop_entry = Some(top);
        }
    }

    /// A cached state's successor is `header` (or belongs to its loop): both are in one loop if that is still walked.
    pub(super) fn join_loop(&mut self, id: StateId, header: StateId) {
        let mine = self.loop_entry_of(id).unwrap_or(id);
        let other = self.loop_entry_of(header).unwrap_or(header);
        if self.branches_of(other) != 0 && self.depth_of(other) <= self.depth_of(mine) {
            if let Some(state) = node_mut(&mut self.nodes, id) {
                state.loop_entry = Some(header);
            }
            self.use_as_entry(header);
        }
    }

    /// As for a cached state, for the current one.
    pub(super) fn join_loop_cur(&mut self, header: StateId) {
        let mine = match self.loop_entry_of_cur() {
            Some(entry) => self.depth_of(entry),
            None => self.cur.dfs_depth,
        };
        let other = self.loop_entry_of(header).unwrap_or(header);
        if self.branches_of(other) != 0 && self.depth_of(other) <= mine {
            self.cur.loop_entry = Some(header);
            self.use_as_entry(header);
        }
    }

    fn use_as_entry(&mut self, header: StateId) {
        if let Some(state) = node_mut(&mut self.nodes, header) {
            state.used_as_loop_entry = true;
        }
    }

    /// One path from a cached state has ended; those that have none left end too.
    pub(super) fn path_ended(&mut self, from: Option<StateId>) {
        let mut next = from;
        while let Some((id, state)) = next.and_then(|id| Some((id, node_mut(&mut self.nodes, id)?))) {
            state.branches = state.branches.saturating_sub(1);
            let (left, parent, entry) = (state.branches, state.parent, state.loop_entry);
            if left != 0 {
                break;
            }
            if let (Some(parent), Some(entry)) = (parent, entry) {
                self.join_loop(parent, entry);
            }
            next = parent;
            debug_assert_ne!(next, Some(id));
        }
    }

    /// The last state at this instruction on the current path, of the same calls as the current state: the round before.
    /// For callbacks.
    pub(in crate::verifier) fn find_prev_entry(&self, insn_idx: usize) -> Option<StateId> {
        self.find_entry_before(&self.cur, insn_idx)
    }

    /// As [`find_prev_entry`](Self::find_prev_entry), where the current state was cached just before this instruction
    /// (iterators' next, `may_goto`): that state itself is not meant.
    pub(in crate::verifier) fn find_prev_entry_of_parent(&self, insn_idx: usize) -> Option<StateId> {
        let parent = self.nodes.get(self.cur.parent?.0 as usize)?.as_deref()?;
        self.find_entry_before(parent, insn_idx)
    }

    fn find_entry_before(&self, state: &State, insn_idx: usize) -> Option<StateId> {
        let bucket = self.explored.get(self.bucket(insn_idx))?;
        bucket.iter().rev().map(|explored| explored.state).find(|id| {
            self.nodes.get(id.0 as usize).and_then(Option::as_deref).is_some_and(|known| {
                known.insn_idx == insn_idx
                    && known.branches != 0
                    && known.same_callsites(state)
                    && known.dfs_depth < state.dfs_depth
            })
        })
    }

    /// Numbers of the current state that changed since the round before, and whose exact value nobody needed, are
    /// forgotten, so that the next round may be equal.
    pub(in crate::verifier) fn widen_current(&mut self, before: StateId) {
        let Env { nodes, cur, keep, id_gen, bpf_capable, .. } = self;
        if let Some(old) = nodes[before.0 as usize].as_deref() {
            widen(old, cur, &mut keep.ids, *id_gen, *bpf_capable);
        }
    }

    /// As [`widen_current`](Self::widen_current) for the state that was pushed last.
    pub(in crate::verifier) fn widen_pushed(&mut self, before: StateId) {
        let Env { nodes, pending, keep, id_gen, bpf_capable, .. } = self;
        if let (Some(old), Some(pushed)) = (nodes[before.0 as usize].as_deref(), pending.last_mut()) {
            widen(old, &mut pushed.state, &mut keep.ids, *id_gen, *bpf_capable);
        }
    }
}

fn widen(old: &State, cur: &mut State, ids: &mut super::equal::IdMap, id_gen: u32, capable: bool) {
    ids.reset(id_gen);
    let mut compare =
        Compare { ids, exact: Exact::Yes, strict_scalars: false, uninit_stack: false, live: None };
    let mut maybe = |old: &Reg, cur: &mut Reg| {
        if !old.is(Base::Scalar)
            || !cur.is(Base::Scalar)
            || old.precise
            || cur.precise
            || compare.regs_exact(old, cur)
        {
            return;
        }
        cur.mark_unknown();
        cur.precise = !capable;
    };
    for (old, cur) in old.frames.iter().zip(&mut cur.frames).rev() {
        for (old, cur) in old.regs.iter().zip(&mut cur.regs) {
            maybe(old, cur);
        }
        for (old, cur) in old.stack.iter().zip(&mut cur.stack) {
            if old.is_spilled_reg() && cur.is_spilled_reg() {
                maybe(&old.spilled, &mut cur.spilled);
            }
        }
    }
}

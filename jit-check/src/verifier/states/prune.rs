//! Whether a state was seen before, and which states are kept.

use super::equal::{Compare, Exact};
use super::liveness::node_mut;
use super::{JCOND, JMP};
use crate::verifier::env::{EINVAL, Env, Explored, Reject, Res};
use crate::verifier::reg::{At, Extra, IterState, Live, Place};
use crate::verifier::state::StateId;

/// Most states at an instruction for loaders without privileges.
const MOST_STATES_UNPRIVILEGED: u32 = 64;

/// What a comparison with one cached state came to.
enum Outcome {
    Hit,
    Miss,
}

impl<'a> Env<'a> {
    /// Where states of this instruction, under the current calls, are kept. As in the kernel others may share the place.
    pub(super) fn bucket(&self, insn_idx: usize) -> usize {
        let callsite = self.frame().callsite as u32;
        (insn_idx as u32 ^ callsite) as usize % self.insns.len().max(1)
    }

    fn equal(&mut self, old: StateId, exact: Exact) -> bool {
        let live = self.reads_are_static();
        let Env { nodes, cur, keep, id_gen, explore_alu_limits, allow_uninit_stack, aux, .. } = self;
        let Some(old) = nodes.get(old.0 as usize).and_then(Option::as_deref) else { return false };
        keep.ids.reset(*id_gen);
        let mut compare = Compare {
            ids: &mut keep.ids,
            exact,
            strict_scalars: *explore_alu_limits,
            uninit_stack: *allow_uninit_stack,
            live: live.then_some(aux),
        };
        compare.states(old, cur)
    }

    /// Whether an equal state was seen here (the path ends then); keeps a new state where that pays.
    pub(in crate::verifier) fn is_state_visited(&mut self, insn_idx: usize) -> Res<bool> {
        if self.explored.len() != self.insns.len() {
            self.explored.resize_with(self.insns.len(), Vec::new);
        }
        if self.reads_are_static() {
            self.live_before(insn_idx);
        }
        self.cur.last_insn_idx = self.prev_insn_idx;
        let force_new = self.test_state_freq
            || self.aux[insn_idx].force_checkpoint
            || self.cur.way_end - self.cur.way_start > 40;
        let mut add_new = force_new
            || self.jmps_processed - self.prev_jmps_processed >= 2
                && self.insn_processed - self.prev_insn_processed >= 8;
        let bucket = self.bucket(insn_idx);
        self.clean_live_states(bucket, insn_idx);

        let mut count = 0;
        let mut at = self.explored[bucket].len();
        while at > 0 {
            at -= 1;
            count += 1;
            let id = self.explored[bucket][at].state;
            let Some(state) = self.nodes.get(id.0 as usize).and_then(Option::as_deref) else { continue };
            if state.insn_idx != insn_idx {
                continue;
            }
            let outcome = if state.branches != 0 {
                self.compare_in_path(id, insn_idx, force_new, &mut add_new)?
            } else {
                self.compare_finished(id)
            };
            if matches!(outcome, Outcome::Hit) {
                self.explored[bucket][at].hits += 1;
                self.propagate_liveness(id)?;
                if self.aux[insn_idx].jmp_point {
                    self.push_jump(0, 0)?;
                }
                self.propagate_precision(id)?;
                return Ok(true);
            }
            self.missed(bucket, at, insn_idx, add_new);
        }
        self.stats.max_states_per_insn = self.stats.max_states_per_insn.max(count);
        if !self.bpf_capable && count > MOST_STATES_UNPRIVILEGED || !add_new {
            return Ok(false);
        }
        self.keep_state(bucket, insn_idx);
        Ok(false)
    }

    /// The cached state is on the current path: a round of a loop, good (iterators, callbacks, `may_goto`) or endless.
    fn compare_in_path(
        &mut self,
        id: StateId,
        insn_idx: usize,
        force_new: bool,
        add_new: &mut bool,
    ) -> Res<Outcome> {
        if !self.other_async_entry(id) {
            if self.aux[insn_idx].is_iter_next {
                if self.equal(id, Exact::RangeWithin) && self.iter_in_r1_is_active() {
                    self.join_loop_cur(id);
                    return Ok(Outcome::Hit);
                }
            } else if self.is_may_goto(insn_idx)
                && self.nodes[id.0 as usize]
                    .as_ref()
                    .is_some_and(|state| state.may_goto_depth != self.cur.may_goto_depth)
                && self.equal(id, Exact::RangeWithin)
            {
                self.join_loop_cur(id);
                return Ok(Outcome::Hit);
            } else if self.aux[insn_idx].calls_callback {
                if self.equal(id, Exact::RangeWithin) {
                    return Ok(Outcome::Hit);
                }
            } else if self.loops_forever(id) {
                self.say_endless(id, insn_idx);
                return Err(Reject(EINVAL));
            }
        }
        // Rounds differ, and states of one seldom help another: few are kept.
        if !force_new
            && self.jmps_processed - self.prev_jmps_processed < 20
            && self.insn_processed - self.prev_insn_processed < 100
        {
            *add_new = false;
        }
        Ok(Outcome::Miss)
    }

    /// All paths from the cached state ended well.
    fn compare_finished(&mut self, id: StateId) -> Outcome {
        let entry = self.loop_entry_of(id).filter(|&entry| self.branches_of(entry) > 0);
        // In a loop that is still walked marks are not final.
        let exact = if entry.is_some() { Exact::RangeWithin } else { Exact::No };
        if !self.equal(id, exact) {
            return Outcome::Miss;
        }
        if let Some(entry) = entry {
            self.join_loop_cur(entry);
        }
        Outcome::Hit
    }

    fn other_async_entry(&self, id: StateId) -> bool {
        let Some(old) = self.nodes[id.0 as usize].as_ref().and_then(|state| state.frames.last()) else {
            return false;
        };
        old.in_async_callback && old.async_entry_cnt != self.frame().async_entry_cnt
    }

    /// The iterator that r1 points to.
    fn iter_in_r1_is_active(&self) -> bool {
        let reg = self.reg(1);
        let off = i64::from(reg.off).wrapping_add(reg.var_off.value as i64);
        let slot = usize::try_from((-off - 1) / 8).unwrap_or(usize::MAX);
        let spilled = self
            .cur
            .frames
            .get(reg.frameno as usize)
            .and_then(|frame| frame.stack.get(slot))
            .map(|s| s.spilled);
        matches!(spilled.map(|reg| reg.extra), Some(Extra::Iter { state: IterState::Active, .. }))
    }

    pub(super) fn is_may_goto(&self, insn_idx: usize) -> bool {
        let insn = self.insns[insn_idx];
        insn.opcode == JMP | JCOND && insn.regs >> 4 == 0
    }

    fn loops_forever(&mut self, id: StateId) -> bool {
        let may = self.nodes[id.0 as usize].as_ref().is_some_and(|state| state.may_loop_with(&self.cur));
        may && self.equal(id, Exact::Yes)
            && self.nodes[id.0 as usize].as_ref().is_some_and(|state| {
                !state.iter_rounds_differ(&self.cur)
                    && state.may_goto_depth == self.cur.may_goto_depth
                    && state.callback_unroll_depth == self.cur.callback_unroll_depth
            })
    }

    fn say_endless(&mut self, id: StateId, insn_idx: usize) {
        self.print_line_info(insn_idx, format_args!("; "));
        self.say(format_args!("infinite loop detected at insn {insn_idx}\n"));
        let frame = self.cur.curframe();
        self.say(format_args!("cur state:"));
        self.print_state(frame, true);
        self.say(format_args!("old state:"));
        self.print_cached_state(id, frame);
    }

    /// The comparison failed; a state that never helps is thrown out.
    fn missed(&mut self, bucket: usize, at: usize, insn_idx: usize, counts: bool) {
        let Explored { state: id, hits, misses } = &mut self.explored[bucket][at];
        if counts {
            *misses += 1;
        }
        let (id, hits, misses) = (*id, *hits, *misses);
        let Some(state) = &self.nodes[id.0 as usize] else { return };
        let patience = if self.aux[insn_idx].force_checkpoint && state.branches > 0 { 64 } else { 3 };
        if misses <= hits * patience + patience {
            return;
        }
        self.explored[bucket].remove(at);
        // States that others still refer to stay until the end.
        if state.frames[0].regs[0].live.has(Live::DONE) && !state.used_as_loop_entry {
            if let Some(state) = self.nodes[id.0 as usize].take() {
                self.keep.give_back(state);
                self.free_nodes.push(id.0);
            }
            self.stats.peak_states = self.stats.peak_states.saturating_sub(1);
        }
    }

    /// The current state is kept, and becomes the parent of what follows.
    fn keep_state(&mut self, bucket: usize, insn_idx: usize) {
        self.stats.total_states += 1;
        self.stats.peak_states += 1;
        self.prev_jmps_processed = self.jmps_processed;
        self.prev_insn_processed = self.insn_processed;
        if self.bpf_capable {
            self.cur.forget_precision();
        }
        let mut state = self.keep.copy(&self.cur);
        state.insn_idx = insn_idx;
        let depth = state.dfs_depth;
        let id = match self.free_nodes.pop() {
            Some(at) => {
                self.nodes[at as usize] = Some(state);
                StateId(at)
            }
            None => {
                self.nodes.push(Some(state));
                StateId(self.nodes.len() as u32 - 1)
            }
        };
        self.explored[bucket].push(Explored { state: id, hits: 0, misses: 0 });

        let cur = &mut self.cur;
        cur.parent = Some(id);
        cur.first_insn_idx = insn_idx;
        cur.way_start = cur.way_end;
        cur.dfs_depth = depth + 1;
        let top = cur.curframe();
        for (number, frame) in cur.frames.iter_mut().enumerate() {
            let place = |at| Some(Place { state: id, frame: number as u8, at });
            // Of callers only r6 to r9 are alive.
            let first = if number < top { 6 } else { 0 };
            for (at, reg) in frame.regs[..10].iter_mut().enumerate() {
                if at >= first {
                    reg.parent = place(At::Reg(at as u8));
                }
                reg.live = Live::NONE;
            }
            for (at, slot) in frame.stack.iter_mut().enumerate() {
                slot.spilled.live = Live::NONE;
                slot.spilled.parent = place(At::Slot(at as u16));
            }
        }
        debug_assert!(node_mut(&mut self.nodes, id).is_some_and(|state| state.branches == 1));
    }
}

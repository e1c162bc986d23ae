//! Whether what was proven from one state holds from another.

use crate::verifier::env::InsnAux;
use crate::verifier::reg::{ADD_CONST, Base, Live, Reg};
use crate::verifier::state::{Frame, Ref, RefKind, Slot, SlotType, State};

/// How alike two states must be.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Exact {
    /// What the old state's continuation never read, or read without needing the exact value, may differ.
    No,
    /// All must be the same.
    Yes,
    /// Ranges may be narrower; everything counts as read and precise, for inside a loop the marks are not final.
    RangeWithin,
}

/// Pairs of ids that stand for the same in two states.
#[derive(Debug, Default)]
pub(crate) struct IdMap {
    pairs: Vec<(u32, u32)>,
    /// Ids for registers of the current state that have none.
    temporary: u32,
}

/// Registers and slots that can exist at once: no two states can have more ids.
const MOST_PAIRS: usize = (11 + 64) * 8;

impl IdMap {
    /// Forgets all pairs; temporary ids begin after `id_gen`.
    pub fn reset(&mut self, id_gen: u32) {
        self.pairs.clear();
        self.temporary = id_gen;
    }

    /// Whether the ids may stand for each other.
    pub fn same(&mut self, old: u32, cur: u32) -> bool {
        if (old == 0) != (cur == 0) {
            return false;
        }
        if old == 0 {
            return true;
        }
        for &(known_old, known_cur) in &self.pairs {
            if known_old == old {
                return known_cur == cur;
            }
            if known_cur == cur {
                return false;
            }
        }
        if self.pairs.len() == MOST_PAIRS {
            return false;
        }
        self.pairs.push((old, cur));
        true
    }

    /// As [`same`](IdMap::same) for numbers: an old one without id asks nothing, a current one without id is alone.
    fn same_scalar(&mut self, old: u32, cur: u32) -> bool {
        if old == 0 {
            return true;
        }
        let cur = if cur != 0 {
            cur
        } else {
            self.temporary += 1;
            self.temporary
        };
        self.same(old, cur) && (old & ADD_CONST == 0 || self.same(old & !ADD_CONST, cur & !ADD_CONST))
    }
}

impl Reg {
    /// Kind, offset and what belongs to the kind.
    fn same_kind(&self, other: &Reg) -> bool {
        self.base == other.base
            && self.flags == other.flags
            && self.off == other.off
            && self.extra == other.extra
    }

    /// Whether all is the same but ids and marks.
    pub(in crate::verifier) fn same_value(&self, other: &Reg) -> bool {
        self.same_kind(other)
            && self.var_off == other.var_off
            && self.smin == other.smin
            && self.smax == other.smax
            && self.umin == other.umin
            && self.umax == other.umax
            && self.s32_min == other.s32_min
            && self.s32_max == other.s32_max
            && self.u32_min == other.u32_min
            && self.u32_max == other.u32_max
    }

    /// Whether all is the same, ids by number included, but marks.
    pub(super) fn same_value_and_ids(&self, other: &Reg) -> bool {
        self.same_value(other) && self.id == other.id && self.ref_obj_id == other.ref_obj_id
    }

    fn holds(&self, cur: &Reg) -> bool {
        self.umin <= cur.umin
            && self.umax >= cur.umax
            && self.smin <= cur.smin
            && self.smax >= cur.smax
            && self.u32_min <= cur.u32_min
            && self.u32_max >= cur.u32_max
            && self.s32_min <= cur.s32_min
            && self.s32_max >= cur.s32_max
            && cur.var_off.mask & !self.var_off.mask == 0
            && cur.var_off.value & !self.var_off.mask == self.var_off.value
    }
}

/// A bit for each register.
const ALL_REGS: u16 = u16::MAX;

/// Registers that are read at an instruction or behind it.
pub(super) fn live_regs(aux: &[InsnAux], insn_idx: usize) -> u16 {
    aux.get(insn_idx).map_or(ALL_REGS, |aux| aux.live_regs_before)
}

impl State {
    /// Where a frame of a cached state is: at the state's instruction, or at the call of the next frame.
    pub(super) fn insn_of(&self, frame: usize) -> usize {
        self.frames.get(frame + 1).map_or(self.insn_idx, |callee| callee.callsite as usize)
    }
}

/// A comparison, with what of the walk it depends on.
pub(super) struct Compare<'i> {
    pub ids: &'i mut IdMap,
    pub exact: Exact,
    /// Numbers must be the same in all (limits of pointer arithmetic are being explored).
    pub strict_scalars: bool,
    /// Reading what was never written is allowed.
    pub uninit_stack: bool,
    /// What each instruction says of the registers that are read from there on, where that decides instead of read marks
    /// (since Linux 6.18).
    pub live: Option<&'i [InsnAux]>,
}

/// Stands for a slot that holds just any bytes.
static ANY_NUMBER: Reg = Reg { base: Base::Scalar, live: Live::READ, ..Reg::NOT_INIT };

impl Compare<'_> {
    pub fn states(&mut self, old: &State, cur: &State) -> bool {
        if old.frames.len() != cur.frames.len()
            || old.speculative && !cur.speculative
            || old.active_lock_owner != cur.active_lock_owner
            || old.active_locks != cur.active_locks
            || !self.ids.same(old.active_lock_id, cur.active_lock_id)
            || old.active_rcu_lock != cur.active_rcu_lock
            || old.active_preempt_locks != cur.active_preempt_locks
            || !self.ids.same(old.active_irq_id, cur.active_irq_id)
            || old.in_sleepable != cur.in_sleepable
        {
            return false;
        }
        old.frames.iter().zip(&cur.frames).enumerate().all(|(at, (frame, cur))| {
            let live = self.live.map_or(ALL_REGS, |aux| live_regs(aux, old.insn_of(at)));
            frame.callsite == cur.callsite && self.frames(frame, cur, live)
        }) && self.refs(&old.refs, &cur.refs)
    }

    fn frames(&mut self, old: &Frame, cur: &Frame, live: u16) -> bool {
        let regs = old.regs.iter().zip(&cur.regs).enumerate().filter(|(at, _)| live >> at & 1 != 0);
        old.callback_depth <= cur.callback_depth
            && { regs }.all(|(_, (old, cur))| self.reg(old, cur))
            && self.stacks(&old.stack, &cur.stack)
            && self.refs(&old.held, &cur.held)
    }

    pub fn regs_exact(&mut self, old: &Reg, cur: &Reg) -> bool {
        old.same_value(cur) && self.ids.same(old.id, cur.id) && self.ids.same(old.ref_obj_id, cur.ref_obj_id)
    }

    fn reg(&mut self, old: &Reg, cur: &Reg) -> bool {
        if self.exact == Exact::Yes {
            return self.regs_exact(old, cur);
        }
        let inexact = self.exact == Exact::No;
        let unread = self.live.is_none() && !old.live.has(Live::READ);
        if inexact && (unread || old.base == Base::NotInit) {
            return true;
        }
        if old.base != cur.base || old.flags != cur.flags {
            return false;
        }
        match old.base {
            Base::NotInit => true,
            Base::Scalar if old.flags.is_empty() => self.scalars(old, cur),
            Base::MapKey | Base::MapValue | Base::Mem | Base::Buf | Base::TpBuffer => {
                old.same_kind(cur)
                    && old.holds(cur)
                    && self.ids.same(old.id, cur.id)
                    && self.ids.same(old.ref_obj_id, cur.ref_obj_id)
            }
            Base::PacketMeta | Base::Packet => {
                let (old_range, cur_range) = (old.range(), cur.range());
                let enough = if old_range < 0 || cur_range < 0 {
                    old_range == cur_range
                } else {
                    old_range <= cur_range
                };
                enough && old.off == cur.off && self.ids.same(old.id, cur.id) && old.holds(cur)
            }
            Base::Stack => self.regs_exact(old, cur) && old.frameno == cur.frameno,
            Base::Arena => true,
            _ => self.regs_exact(old, cur),
        }
    }

    fn scalars(&mut self, old: &Reg, cur: &Reg) -> bool {
        if self.strict_scalars {
            return old.same_value(cur) && self.ids.same_scalar(old.id, cur.id);
        }
        if !old.precise && self.exact == Exact::No {
            return true;
        }
        let (old_distant, cur_distant) = (old.id & ADD_CONST != 0, cur.id & ADD_CONST != 0);
        if old.id != 0 && old_distant != cur_distant || old_distant && old.off != cur.off {
            return false;
        }
        self.ids.same_scalar(old.id, cur.id) && old.holds(cur)
    }

    fn stacks(&mut self, old: &[Slot], cur: &[Slot]) -> bool {
        old.iter().enumerate().all(|(at, old)| self.slots(old, cur.get(at)))
    }

    /// `cur` is `None` where the current stack is not that deep.
    fn slots(&mut self, old: &Slot, cur: Option<&Slot>) -> bool {
        if self.exact == Exact::No {
            if !old.spilled.live.has(Live::READ) {
                return true;
            }
        } else if cur.is_none_or(|cur| cur.types != old.types) {
            return false;
        }
        for byte in 0..8 {
            let kind = old.types[byte];
            if kind == SlotType::Invalid || kind == SlotType::Misc && self.uninit_stack {
                continue;
            }
            let Some(cur) = cur else { return false };
            if let (Some(old), Some(cur)) = (self.number_in(old), self.number_in(cur)) {
                return self.reg(old, cur);
            }
            if kind == SlotType::Misc && cur.types[byte] == SlotType::Zero {
                continue;
            }
            if kind != cur.types[byte] {
                return false;
            }
            if byte == 7 && !self.slot_objects(kind, &old.spilled, &cur.spilled) {
                return false;
            }
        }
        true
    }

    fn slot_objects(&mut self, kind: SlotType, old: &Reg, cur: &Reg) -> bool {
        use crate::verifier::reg::Extra;
        match kind {
            SlotType::Spill => self.reg(old, cur),
            SlotType::Dynptr | SlotType::IrqFlag => {
                old.extra == cur.extra && self.ids.same(old.ref_obj_id, cur.ref_obj_id)
            }
            // How often the iterator went round is not compared: loops would never meet.
            SlotType::Iter => {
                let same = match (old.extra, cur.extra) {
                    (
                        Extra::Iter { btf, id, state, .. },
                        Extra::Iter { btf: cur_btf, id: cur_id, state: cur_state, .. },
                    ) => (btf, id, state) == (cur_btf, cur_id, cur_state),
                    (old, cur) => old == cur,
                };
                same && old.base == cur.base
                    && old.flags == cur.flags
                    && self.ids.same(old.ref_obj_id, cur.ref_obj_id)
            }
            SlotType::Misc | SlotType::Zero | SlotType::Invalid => true,
        }
    }

    /// The number that eight bytes are when they are read at once.
    fn number_in<'s>(&self, slot: &'s Slot) -> Option<&'s Reg> {
        if slot.types[0] == SlotType::Spill && slot.spilled.is(Base::Scalar) {
            return Some(&slot.spilled);
        }
        let any = slot
            .types
            .iter()
            .all(|&kind| kind == SlotType::Misc || kind == SlotType::Invalid && self.uninit_stack);
        any.then_some(&ANY_NUMBER)
    }

    fn refs(&mut self, old: &[Ref], cur: &[Ref]) -> bool {
        old.len() == cur.len()
            && old.iter().zip(cur).all(|(old, cur)| {
                old.kind == cur.kind
                    && (old.kind == RefKind::Ptr || old.owner == cur.owner)
                    && self.ids.same(old.id, cur.id)
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verifier::reg::{Extra, Flags};
    use crate::verifier::scalar::Tnum;

    fn range(min: u64, max: u64) -> Reg {
        Reg {
            base: Base::Scalar,
            live: Live::READ64,
            var_off: Tnum { value: 0, mask: max.next_power_of_two() * 2 - 1 },
            smin: min as i64,
            smax: max as i64,
            umin: min,
            umax: max,
            s32_min: min as i32,
            s32_max: max as i32,
            u32_min: min as u32,
            u32_max: max as u32,
            ..Reg::NOT_INIT
        }
    }

    fn safe(exact: Exact, old: Reg, cur: Reg) -> bool {
        let mut ids = IdMap::default();
        Compare { ids: &mut ids, exact, strict_scalars: false, uninit_stack: true, live: None }
            .reg(&old, &cur)
    }

    #[test]
    fn a_number_counts_as_far_as_it_was_used() {
        let (wide, narrow) = (range(0, 100), range(10, 20));
        assert!(safe(Exact::No, narrow, wide), "nobody needed its exact value");
        let precise = |reg| Reg { precise: true, ..reg };
        assert!(!safe(Exact::No, precise(narrow), wide));
        assert!(safe(Exact::No, precise(wide), narrow));
        assert!(!safe(Exact::RangeWithin, narrow, wide), "in a loop all counts as precise");
        assert!(safe(Exact::RangeWithin, wide, narrow));
        assert!(!safe(Exact::Yes, wide, narrow));
        assert!(safe(Exact::Yes, wide, Reg { live: Live::WRITTEN, ..wide }), "marks do not count");
        assert!(safe(Exact::No, Reg { live: Live::NONE, ..precise(narrow) }, wide), "it was not read");
        assert!(!safe(Exact::No, wide, Reg { base: Base::Ctx, ..Reg::NOT_INIT }));
    }

    #[test]
    fn packet_pointers_need_as_much_range() {
        let pointer = |range| Reg {
            base: Base::Packet,
            live: Live::READ64,
            extra: Extra::Range(range),
            id: 1,
            ..Reg::known(0)
        };
        assert!(safe(Exact::No, pointer(4), pointer(8)));
        assert!(!safe(Exact::No, pointer(8), pointer(4)));
        assert!(!safe(Exact::No, pointer(-1), pointer(8)));
        assert!(safe(Exact::No, pointer(-1), pointer(-1)));
    }

    #[test]
    fn null_or_not_is_another_type() {
        let pointer = Reg { base: Base::MapValue, live: Live::READ64, ..Reg::known(0) };
        let maybe = Reg { flags: Flags::MAYBE_NULL, id: 3, ..pointer };
        assert!(!safe(Exact::No, maybe, pointer));
        assert!(safe(Exact::No, maybe, Reg { id: 9, ..maybe }), "ids are names only");
    }

    #[test]
    fn ids_stand_for_one_another_both_ways() {
        let mut ids = IdMap::default();
        ids.reset(100);
        assert!(ids.same(1, 7));
        assert!(ids.same(1, 7));
        assert!(!ids.same(1, 8));
        assert!(!ids.same(2, 7));
        assert!(!ids.same(0, 7));
        assert!(ids.same(0, 0));
        assert!(ids.same_scalar(0, 5), "an old number without id is linked with nothing");
        assert!(ids.same_scalar(5, 0));
        assert!(!ids.same_scalar(5, 0), "two current numbers without id are not linked");
    }

    #[test]
    fn a_slot_that_was_just_bytes_takes_any_number() {
        let spill = |reg: Reg| Slot { spilled: reg, types: [SlotType::Spill; 8] };
        let bytes = |kind, live| Slot { spilled: Reg { live, ..Reg::NOT_INIT }, types: [kind; 8] };
        let safe = |uninit_stack, old: Slot, cur: Option<Slot>| {
            let mut ids = IdMap::default();
            Compare { ids: &mut ids, exact: Exact::No, strict_scalars: false, uninit_stack, live: None }
                .slots(&old, cur.as_ref())
        };
        let misc = bytes(SlotType::Misc, Live::READ64);
        assert!(safe(false, misc, Some(spill(range(0, 4)))));
        assert!(safe(false, misc, Some(bytes(SlotType::Zero, Live::NONE))));
        assert!(!safe(false, bytes(SlotType::Zero, Live::READ64), Some(misc)));
        assert!(safe(true, misc, None), "what was never written may be read");
        assert!(!safe(false, misc, None));
        let precise = spill(Reg { precise: true, ..range(0, 4) });
        assert!(!safe(false, precise, Some(misc)));
        assert!(safe(false, bytes(SlotType::Zero, Live::NONE), None), "it was not read");
    }
}

//! Dynptrs: made, cloned, sliced, ended.

use super::super::env::{EFAULT, EINVAL, Env, Reject, Res, reject};
use super::super::mem::Access;
use super::super::reg::{Base, DynptrKind, Extra, Flags, Live, Reg};
use super::super::state::{RefKind, SlotType};
use super::slots::{ERANGE, clear_slot};

impl DynptrKind {
    /// The kind that an argument's flags ask for.
    pub fn of_flags(flags: Flags) -> DynptrKind {
        const KINDS: [(Flags, DynptrKind); 6] = [
            (Flags::DYNPTR_LOCAL, DynptrKind::Local),
            (Flags::DYNPTR_RINGBUF, DynptrKind::Ringbuf),
            (Flags::DYNPTR_SKB, DynptrKind::Skb),
            (Flags::DYNPTR_XDP, DynptrKind::Xdp),
            (Flags::DYNPTR_SKB_META, DynptrKind::SkbMeta),
            (Flags::DYNPTR_FILE, DynptrKind::File),
        ];
        KINDS.iter().find(|(flag, _)| flags.contains(*flag)).map_or(DynptrKind::Invalid, |(_, kind)| *kind)
    }

    /// The flag of slices and arguments of that kind.
    pub fn flag(self) -> Flags {
        match self {
            DynptrKind::Invalid => Flags::empty(),
            DynptrKind::Local => Flags::DYNPTR_LOCAL,
            DynptrKind::Ringbuf => Flags::DYNPTR_RINGBUF,
            DynptrKind::Skb => Flags::DYNPTR_SKB,
            DynptrKind::Xdp => Flags::DYNPTR_XDP,
            DynptrKind::SkbMeta => Flags::DYNPTR_SKB_META,
            DynptrKind::File => Flags::DYNPTR_FILE,
        }
    }

    /// Its name in the log.
    pub fn name(self) -> &'static str {
        match self {
            DynptrKind::Invalid => "<invalid>",
            DynptrKind::Local => "local",
            DynptrKind::Ringbuf => "ringbuf",
            DynptrKind::Skb => "skb",
            DynptrKind::Xdp => "xdp",
            DynptrKind::SkbMeta => "skb_meta",
            DynptrKind::File => "file",
        }
    }

    /// Whether it holds a reference that must be given back.
    pub fn is_refcounted(self) -> bool {
        matches!(self, DynptrKind::Ringbuf | DynptrKind::File)
    }
}

impl Reg {
    /// Becomes a dynptr (callback argument, or one of its two slots).
    pub(in crate::verifier) fn set_dynptr(&mut self, kind: DynptrKind, first_slot: bool, id: u32) {
        self.mark_known(0);
        (self.base, self.flags, self.id) = (Base::ConstDynptr, Flags::empty(), id);
        self.extra = Extra::Dynptr { kind, first_slot };
    }
}

impl<'a> Env<'a> {
    fn dynptr_slot(&mut self, reg: &Reg) -> Res<usize> {
        self.stack_object_slot(reg, "dynptr", 2)
    }

    fn dynptr_in(&self, frame: usize, slot: usize) -> Option<(DynptrKind, bool)> {
        match self.slot(frame, slot)?.spilled.extra {
            Extra::Dynptr { kind, first_slot } => Some((kind, first_slot)),
            _ => None,
        }
    }

    /// A dynptr argument. `arg` holds `UNINIT` for one that is to be made (with its kind's flag), `RDONLY` for one that
    /// the function does not change, kind flags for one that must be of that kind.
    pub(in crate::verifier) fn process_dynptr(
        &mut self,
        regno: u8,
        insn_idx: usize,
        arg: Flags,
        clone_ref_obj_id: u32,
    ) -> Res {
        let reg = *self.reg(regno);
        if !reg.is(Base::Stack) && !reg.is(Base::ConstDynptr) {
            if self.since(6, 12) {
                reject!(
                    self,
                    EINVAL,
                    "{} expected pointer to stack or const struct bpf_dynptr",
                    self.arg_name(usize::from(regno) - 1, "arg#")
                );
            }
            reject!(
                self,
                EINVAL,
                "{} expected pointer to stack or dynptr_ptr",
                self.arg_name(usize::from(regno) - 1, "arg#")
            );
        }
        if arg.contains(Flags::UNINIT | Flags::RDONLY) {
            reject!(self, EFAULT, "verifier internal error: misconfigured dynptr helper type flags");
        }
        if arg.contains(Flags::UNINIT) {
            let fits = reg.base != Base::ConstDynptr
                && !matches!(self.dynptr_slot(&reg), Err(Reject(errno)) if errno != ERANGE);
            if !fits {
                reject!(self, EINVAL, "Dynptr has to be an uninitialized dynptr");
            }
            for off in [0, 8] {
                self.check_mem_access(insn_idx, regno, off, 8, Access::Write, None, false, false)?;
            }
            return self.make_dynptr(&reg, insn_idx, DynptrKind::of_flags(arg), clone_ref_obj_id);
        }
        if reg.base == Base::ConstDynptr && !arg.contains(Flags::RDONLY) {
            reject!(self, EINVAL, "cannot pass pointer to const bpf_dynptr, the helper mutates it");
        }
        if !self.is_dynptr(&reg) {
            reject!(self, EINVAL, "Expected an initialized dynptr as {}", self.dynptr_arg_name(regno));
        }
        let wanted = DynptrKind::of_flags(arg);
        if wanted != DynptrKind::Invalid && self.dynptr_kind_of_reg(&reg) != Some(wanted) {
            let name = wanted.name();
            reject!(self, EINVAL, "Expected a dynptr of type {name} as {}", self.dynptr_arg_name(regno));
        }
        if reg.base != Base::ConstDynptr {
            let slot = self.dynptr_slot(&reg)? as u32;
            let frame = reg.frameno as usize;
            self.mark_slot_read(frame, slot);
            self.mark_slot_read(frame, slot - 1);
        }
        Ok(())
    }

    /// Numbers of arguments in the log: from 0; from 1 before Linux 6.9.
    fn dynptr_arg_name(&self, regno: u8) -> String {
        let at = usize::from(regno) - usize::from(self.since(6, 9));
        self.arg_name(at, "arg #")
    }

    fn make_dynptr(&mut self, reg: &Reg, insn_idx: usize, kind: DynptrKind, clone_ref: u32) -> Res {
        let slot = self.dynptr_slot(reg)?;
        let frame = reg.frameno as usize;
        self.destroy_if_dynptr_slot(frame, slot as u32)?;
        self.destroy_if_dynptr_slot(frame, slot as u32 - 1)?;
        for at in [slot, slot - 1] {
            if let Some(slot) = self.slot_mut(frame, at) {
                slot.types = [SlotType::Dynptr; 8];
            }
        }
        if kind == DynptrKind::Invalid {
            return Err(Reject(EINVAL));
        }
        let id = self.new_id();
        let reference = match (kind.is_refcounted(), clone_ref) {
            (false, _) => 0,
            (true, 0) => self.acquire_reference(insn_idx),
            (true, clone) => clone,
        };
        for (at, first) in [(slot, true), (slot - 1, false)] {
            if let Some(slot) = self.slot_mut(frame, at) {
                slot.spilled.set_dynptr(kind, first, id);
                slot.spilled.ref_obj_id = reference;
                slot.spilled.live.add(Live::WRITTEN);
            }
        }
        Ok(())
    }

    /// Whether a dynptr begins where the register points.
    fn is_dynptr(&mut self, reg: &Reg) -> bool {
        if reg.base == Base::ConstDynptr {
            return true;
        }
        let Ok(slot) = self.dynptr_slot(reg) else { return false };
        let frame = reg.frameno as usize;
        let whole = |at| self.slot(frame, at).is_some_and(|slot| slot.types == [SlotType::Dynptr; 8]);
        matches!(self.dynptr_in(frame, slot), Some((_, true))) && whole(slot) && whole(slot - 1)
    }

    /// The dynptr of a release function ends, with its clones and slices.
    pub(in crate::verifier) fn unmark_dynptr(&mut self, reg: &Reg) -> Res {
        let slot = self.dynptr_slot(reg)?;
        let frame = reg.frameno as usize;
        let counted = self.dynptr_in(frame, slot).is_some_and(|(kind, _)| kind.is_refcounted());
        if !counted {
            self.clear_dynptr(frame, slot);
            return Ok(());
        }
        let reference = self.slot(frame, slot).map_or(0, |slot| slot.spilled.ref_obj_id);
        let _ = self.release_reference(reference);
        let slots = self.cur.frames.get(frame).map_or(0, |frame| frame.stack.len());
        for at in 1..slots {
            if self.slot(frame, at).is_none_or(|slot| slot.spilled.ref_obj_id != reference) {
                continue;
            }
            match self.dynptr_in(frame, at) {
                Some((_, true)) => self.clear_dynptr(frame, at),
                Some(_) => {}
                None => reject!(self, EFAULT, "verifier internal error: misconfigured ref_obj_id"),
            }
        }
        Ok(())
    }

    fn clear_dynptr(&mut self, frame: usize, slot: usize) {
        for at in [slot, slot - 1] {
            if let Some(slot) = self.slot_mut(frame, at) {
                clear_slot(slot);
            }
        }
    }

    /// A write hits stack: a dynptr there ends (one with a reference refuses).
    pub(in crate::verifier) fn destroy_if_dynptr_slot(&mut self, frame: usize, slot: u32) -> Res {
        let mut at = slot as usize;
        if self.slot(frame, at).is_none_or(|slot| slot.types[0] != SlotType::Dynptr) {
            return Ok(());
        }
        let Some((mut kind, first)) = self.dynptr_in(frame, at) else { return Ok(()) };
        if !first {
            at += 1;
            kind = self.dynptr_in(frame, at).map_or(kind, |(kind, _)| kind);
        }
        if kind.is_refcounted() && !self.another_clone(frame, at) {
            reject!(self, EINVAL, "cannot overwrite referenced dynptr");
        }
        self.mark_slot_scratched(at as u32);
        self.mark_slot_scratched(at as u32 - 1);
        let id = self.slot(frame, at).map_or(0, |slot| slot.spilled.id);
        for at in [at, at - 1] {
            if let Some(slot) = self.slot_mut(frame, at) {
                slot.types = [SlotType::Invalid; 8];
            }
        }
        self.invalidate_dynptr_slices(id);
        self.clear_dynptr(frame, at);
        Ok(())
    }

    /// Whether another dynptr holds the same reference, so that this one may be overwritten. Since Linux 7.1.
    fn another_clone(&self, frame: usize, slot: usize) -> bool {
        if !self.since(7, 1) {
            return false;
        }
        let Some(this) = self.slot(frame, slot) else { return false };
        let reference = this.spilled.ref_obj_id;
        self.cur.frames.iter().enumerate().any(|(f, state)| {
            state.stack.iter().enumerate().any(|(at, other)| {
                (f, at) != (frame, slot)
                    && other.types[0] == SlotType::Dynptr
                    && matches!(other.spilled.extra, Extra::Dynptr { first_slot: true, .. })
                    && other.spilled.ref_obj_id == reference
            })
        })
    }

    fn dynptr_slot_reg(&mut self, reg: &Reg) -> Option<Reg> {
        if reg.base == Base::ConstDynptr {
            return Some(*reg);
        }
        let slot = self.dynptr_slot(reg).ok()?;
        Some(self.slot(reg.frameno as usize, slot)?.spilled)
    }

    fn dynptr_kind_of_reg(&mut self, reg: &Reg) -> Option<DynptrKind> {
        match self.dynptr_slot_reg(reg)?.extra {
            Extra::Dynptr { kind, .. } => Some(kind),
            _ => None,
        }
    }

    /// Kind of the dynptr that a register points to or is.
    pub(in crate::verifier) fn dynptr_kind_of(&self, regno: u8) -> Option<DynptrKind> {
        match self.dynptr_at(regno)?.extra {
            Extra::Dynptr { kind, .. } => Some(kind),
            _ => None,
        }
    }

    /// Its id.
    pub(in crate::verifier) fn dynptr_id_of(&self, regno: u8) -> Option<u32> {
        Some(self.dynptr_at(regno)?.id)
    }

    /// Its reference.
    pub(in crate::verifier) fn dynptr_ref_obj_id_of(&self, regno: u8) -> Option<u32> {
        Some(self.dynptr_at(regno)?.ref_obj_id)
    }

    /// What is known of the dynptr that a register points to or is.
    fn dynptr_at(&self, regno: u8) -> Option<Reg> {
        let reg = *self.reg(regno);
        if reg.base == Base::ConstDynptr {
            return Some(reg);
        }
        let off = reg.off.wrapping_add(reg.var_off.value as i32);
        let slot = usize::try_from((-i64::from(off) - 1) / 8).ok()?;
        Some(self.slot(reg.frameno as usize, slot)?.spilled)
    }

    /// Whether a reference is a lock, and of which kind.
    pub(super) fn is_lock(kind: RefKind) -> bool {
        matches!(kind, RefKind::Lock | RefKind::ResLock | RefKind::ResLockIrq)
    }
}

//! Locks, timers, work queues and kernel pointers in maps and objects; interrupt flags on the stack.

use super::super::env::{EACCES, EFAULT, EINVAL, Env, Reject, Res, reject};
use super::super::helpers::CallMeta;
use super::super::mem::Access;
use super::super::reg::{Base, BtfIdx, Extra, Flags, Live, Reg};
use super::super::state::{Ref, RefKind, SlotType};
use super::slots::{ERANGE, clear_slot};
use super::{FieldKind, Record};

impl<'a> Env<'a> {
    /// What a lock is part of: a map, or the types of an object.
    pub(in crate::verifier) fn lock_owner(reg: &Reg) -> u64 {
        match (reg.base, reg.extra) {
            (Base::MapValue, Extra::Map { map, inner, .. }) => {
                1 << 40 | u64::from(inner) << 32 | u64::from(map)
            }
            (_, Extra::Btf { btf, .. }) => 1 << 41 | u64::from(btf.0),
            _ => 0,
        }
    }

    /// Name of the map that a register points into.
    pub(in crate::verifier) fn map_name(&self, reg: &Reg) -> &'a str {
        let Extra::Map { map, inner, .. } = reg.extra else { return "" };
        let outer = self.maps.get(map as usize).and_then(|info| info.inner_of);
        let spec = self.program.maps.get(outer.unwrap_or(map) as usize);
        let spec = match spec {
            Some(spec) if inner || outer.is_some() => spec.inner.as_deref().or(Some(spec)),
            spec => spec,
        };
        spec.map_or("", |spec| spec.kernel_name.as_str())
    }

    fn map_has_btf(&self, reg: &Reg) -> bool {
        let Extra::Map { map, inner, .. } = reg.extra else { return false };
        self.map_info(map, inner).is_some_and(|info| info.has_btf)
    }

    /// Taking or giving back a `bpf_spin_lock`.
    pub(in crate::verifier) fn process_spin_lock(&mut self, regno: u8, lock: bool) -> Res {
        self.process_lock(regno, lock, RefKind::Lock)
    }

    /// Taking or giving back a lock.
    pub(in crate::verifier) fn process_lock(&mut self, regno: u8, lock: bool, kind: RefKind) -> Res {
        let reg = *self.reg(regno);
        let resilient = kind != RefKind::Lock;
        let name = if resilient { "bpf_res_spin" } else { "bpf_spin" };
        if reg.var_off.mask != 0 {
            reject!(
                self,
                EINVAL,
                "R{regno} doesn't have constant offset. {name}_lock has to be at the constant offset"
            );
        }
        let in_map = reg.is(Base::MapValue);
        if in_map && !self.map_has_btf(&reg) {
            reject!(
                self,
                EINVAL,
                "map '{}' has to have BTF in order to use {name}_lock",
                self.map_name(&reg)
            );
        }
        let record = self.reg_record(&reg);
        let at = record.and_then(|record| if resilient { record.res_spin_lock } else { record.spin_lock });
        let Some(at) = at else {
            let (what, which) = if in_map { ("map", self.map_name(&reg)) } else { ("local", "kptr") };
            reject!(self, EINVAL, "{what} '{which}' has no valid {name}_lock");
        };
        let off = (reg.var_off.value as i64).wrapping_add(i64::from(reg.off));
        if off != i64::from(at) {
            reject!(self, EINVAL, "off {off} doesn't point to 'struct {name}_lock' that is at {at}");
        }
        let owner = Self::lock_owner(&reg);
        // Locks are references of their own since Linux 6.13.
        let counted = self.since(6, 13);
        if lock {
            let held = |kind: RefKind| self.cur.refs.iter().any(|held| held.kind == kind);
            if !resilient && self.cur.active_locks != 0 {
                reject!(self, EINVAL, "Locking two bpf_spin_locks are not allowed");
            }
            if resilient && held(RefKind::Lock) {
                reject!(self, EINVAL, "Cannot acquire lock while bpf_spin_lock is held");
            }
            if resilient
                && self
                    .cur
                    .refs
                    .iter()
                    .any(|held| Self::is_lock(held.kind) && held.id == reg.id && held.owner == owner)
            {
                reject!(self, EINVAL, "Acquiring the same lock again, AA deadlock detected");
            }
            let insn_idx = self.insn_idx as u32;
            if counted {
                self.cur.refs.push(Ref { kind, id: reg.id, insn_idx, callback_ref: 0, owner });
            }
            self.cur.active_locks += 1;
            (self.cur.active_lock_id, self.cur.active_lock_owner) = (reg.id, owner);
            return Ok(());
        }
        if self.cur.active_locks == 0 {
            reject!(self, EINVAL, "{name}_unlock without taking a lock");
        }
        if counted {
            let at = self
                .cur
                .refs
                .iter()
                .position(|held| held.kind == kind && held.id == reg.id && held.owner == owner);
            let Some(at) = at else {
                reject!(self, EINVAL, "{name}_unlock of different lock");
            };
            if (reg.id, owner) != (self.cur.active_lock_id, self.cur.active_lock_owner) {
                reject!(self, EINVAL, "{name}_unlock cannot be out of order");
            }
            self.cur.refs.swap_remove(at);
        } else if (reg.id, owner) != (self.cur.active_lock_id, self.cur.active_lock_owner) {
            reject!(self, EINVAL, "{name}_unlock of different lock");
        }
        self.cur.active_locks -= 1;
        let before = self.cur.refs.iter().rev().find(|held| Self::is_lock(held.kind));
        (self.cur.active_lock_id, self.cur.active_lock_owner) =
            before.map_or((0, 0), |held| (held.id, held.owner));
        self.invalidate_non_owning_refs();
        Ok(())
    }

    /// Whether an object's list or tree may be used: its own lock is held.
    pub(in crate::verifier) fn is_allocation_locked(&mut self, reg: &Reg) -> bool {
        let known = reg.is(Base::MapValue) || (reg.base == Base::BtfId && reg.flags == Flags::ALLOC);
        if !known {
            self.say(format_args!("verifier internal error: unknown reg type for lock check\n"));
            return false;
        }
        if self.cur.active_locks == 0 {
            return false;
        }
        let owner = Self::lock_owner(reg);
        let held = if self.since(6, 13) {
            let mut locks = self.cur.refs.iter().filter(|held| Self::is_lock(held.kind));
            locks.any(|held| held.id == reg.id && held.owner == owner)
        } else {
            (self.cur.active_lock_id, self.cur.active_lock_owner) == (reg.id, owner)
        };
        if !held {
            self.say(format_args!("held lock and object are not in the same allocation\n"));
        }
        held
    }

    /// A timer argument.
    pub(in crate::verifier) fn process_timer(&mut self, regno: u8, meta: &mut CallMeta) -> Res {
        let reg = *self.reg(regno);
        let name = self.map_name(&reg);
        if reg.var_off.mask != 0 {
            reject!(
                self,
                EINVAL,
                "R{regno} doesn't have constant offset. bpf_timer has to be at the constant offset"
            );
        }
        if !self.map_has_btf(&reg) {
            reject!(self, EINVAL, "map '{name}' has to have BTF in order to use bpf_timer");
        }
        let Some(at) = self.reg_record(&reg).and_then(|record| record.timer) else {
            reject!(self, EINVAL, "map '{name}' has no valid bpf_timer");
        };
        let off = (reg.var_off.value as i64).wrapping_add(i64::from(reg.off));
        if off != i64::from(at) {
            reject!(self, EINVAL, "off {off} doesn't point to 'struct bpf_timer' that is at {at}");
        }
        if meta.map.is_some() {
            reject!(self, EFAULT, "verifier bug. Two map pointers in a timer helper");
        }
        if let Extra::Map { map, inner, uid } = reg.extra {
            meta.map = Some((map, inner, uid));
            meta.map_uid = uid;
        }
        Ok(())
    }

    /// The map value (or object) argument of `bpf_kptr_xchg`.
    pub(in crate::verifier) fn process_kptr(&mut self, regno: u8, meta: &mut CallMeta) -> Res {
        let reg = *self.reg(regno);
        if !reg.is_alloc_object() {
            if !self.map_has_btf(&reg) {
                let name = self.map_name(&reg);
                reject!(self, EINVAL, "map '{name}' has to have BTF in order to use bpf_kptr_xchg");
            }
            if let Extra::Map { map, inner, uid } = reg.extra {
                meta.map = Some((map, inner, uid));
            }
        }
        if reg.var_off.mask != 0 {
            reject!(
                self,
                EINVAL,
                "R{regno} doesn't have constant offset. kptr has to be at the constant offset"
            );
        }
        if !self.value_record(&reg).is_some_and(Record::has_kptr) {
            if self.since(6, 12) || reg.is_alloc_object() {
                reject!(self, EINVAL, "R{regno} has no valid kptr");
            }
            let name = self.map_name(&reg);
            reject!(self, EINVAL, "map '{name}' has no valid kptr");
        }
        let off = (reg.off as u32).wrapping_add(reg.var_off.value as u32);
        let found = self.value_record(&reg).and_then(|record| {
            record.fields.iter().position(|field| field.offset == off && field.kind.is_kptr())
        });
        let Some(at) = found else {
            reject!(self, EACCES, "off={} doesn't point to kptr", off as i32);
        };
        let kind = self.value_record(&reg).and_then(|record| record.fields.get(at)).map(|field| field.kind);
        if !matches!(kind, Some(FieldKind::KptrRef | FieldKind::KptrPercpu)) {
            reject!(self, EACCES, "off={} kptr isn't referenced kptr", off as i32);
        }
        meta.kptr_field = Some(at);
        Ok(())
    }

    /// The record of a map value whatever its flags are, or of an object.
    fn value_record(&self, reg: &Reg) -> Option<&Record> {
        match (reg.base, reg.extra) {
            (Base::MapValue, Extra::Map { map, inner, .. }) => self.map_info(map, inner)?.record.as_ref(),
            _ => self.reg_record(reg),
        }
    }

    /// An interrupt flag on the stack: saved there (`save`), or restored from it. Since Linux 6.14.
    pub(in crate::verifier) fn process_irq_flag(&mut self, regno: u8, save: bool, lock_class: bool) -> Res {
        let reg = *self.reg(regno);
        if !reg.is(Base::Stack) {
            reject!(
                self,
                EINVAL,
                "{} doesn't point to an irq flag on stack",
                self.arg_name(usize::from(regno) - 1, "arg#")
            );
        }
        let insn_idx = self.insn_idx;
        let frame = reg.frameno as usize;
        if save {
            let fits = match self.stack_object_slot(&reg, "irq_flag", 1) {
                Err(Reject(errno)) => errno == ERANGE,
                Ok(at) => self.slot(frame, at).is_none_or(|slot| !slot.types.contains(&SlotType::IrqFlag)),
            };
            if !fits {
                reject!(
                    self,
                    EINVAL,
                    "expected uninitialized irq flag as {}",
                    self.arg_name(usize::from(regno) - 1, "arg#")
                );
            }
            self.check_mem_access(insn_idx, regno, 0, 8, Access::Write, None, false, false)?;
            let at = self.stack_object_slot(&reg, "irq_flag", 1)?;
            let id = self.acquire_reference(insn_idx);
            if let Some(held) =
                self.cur.refs.iter_mut().find(|held| held.id == id && held.kind == RefKind::Ptr)
            {
                held.kind = RefKind::Irq;
            }
            self.cur.active_irq_id = id;
            if let Some(slot) = self.slot_mut(frame, at) {
                let state = &mut slot.spilled;
                state.mark_known(0);
                (state.base, state.flags, state.ref_obj_id) = (Base::Stack, Flags::empty(), id);
                state.extra = Extra::Irq { lock_class };
                state.live.add(Live::WRITTEN);
                slot.types = [SlotType::IrqFlag; 8];
            }
            self.mark_slot_scratched(at as u32);
            return Ok(());
        }
        let at = self.stack_object_slot(&reg, "irq_flag", 1).ok().filter(|at| {
            self.slot(frame, *at)
                .is_some_and(|slot| slot.spilled.ref_obj_id != 0 && slot.types == [SlotType::IrqFlag; 8])
        });
        let Some(at) = at else {
            reject!(
                self,
                EINVAL,
                "expected an initialized irq flag as {}",
                self.arg_name(usize::from(regno) - 1, "arg#")
            );
        };
        self.mark_slot_read(frame, at as u32);
        self.mark_slot_scratched(at as u32);
        let state = self.slot(frame, at).map(|slot| slot.spilled).unwrap_or_default();
        if state.extra != (Extra::Irq { lock_class }) {
            let name = |lock| if lock { "lock" } else { "native" };
            self.say(format_args!(
                "irq flag acquired by {} kfuncs cannot be restored with {} kfuncs\n",
                name(!lock_class),
                name(lock_class)
            ));
            return Err(Reject(EINVAL));
        }
        let id = state.ref_obj_id;
        if id != self.cur.active_irq_id {
            let last = self.cur.refs.iter().find(|held| held.id == self.cur.active_irq_id);
            let taken = last.map_or(0, |held| held.insn_idx);
            let expected = self.cur.active_irq_id;
            self.say(format_args!(
                "cannot restore irq state out of order, expected id={expected} acquired at insn_idx={taken}\n"
            ));
            return Err(Reject(EACCES));
        }
        self.cur.refs.retain(|held| !(held.kind == RefKind::Irq && held.id == id));
        let before = self.cur.refs.iter().rev().find(|held| held.kind == RefKind::Irq);
        self.cur.active_irq_id = before.map_or(0, |held| held.id);
        if let Some(slot) = self.slot_mut(frame, at) {
            clear_slot(slot);
        }
        self.mark_slot_scratched(at as u32);
        Ok(())
    }

    /// The record of what a register points to: map value or allocated object.
    pub(in crate::verifier) fn reg_record(&self, reg: &Reg) -> Option<&Record> {
        match reg.extra {
            Extra::Map { map, inner, .. } if reg.is(Base::MapValue) => {
                self.map_info(map, inner)?.record.as_ref()
            }
            Extra::Btf { btf, id } if reg.is_alloc_object() => self.btf_record(btf, id),
            _ => None,
        }
    }

    /// The record of a struct of the program's BTF.
    pub(in crate::verifier) fn btf_record(&self, btf: BtfIdx, id: u32) -> Option<&Record> {
        self.objects.structs.get(&id).filter(|_| btf == BtfIdx::PROGRAM)
    }

    /// A map's description, of the inner maps of a map of maps where `inner` says so.
    pub(in crate::verifier) fn map_info(&self, map: u32, inner: bool) -> Option<&super::super::env::MapInfo> {
        if inner {
            return self.maps.iter().find(|info| info.inner_of == Some(map));
        }
        self.maps.get(map as usize)
    }

    /// Whether the register may point to what has a lock, so that its id must stay.
    pub(in crate::verifier) fn may_point_to_lock(&self, reg: &Reg) -> bool {
        self.reg_record(reg)
            .is_some_and(|record| record.spin_lock.is_some() || record.res_spin_lock.is_some())
    }

    /// After an unlock: pointers to what lists and trees own are no longer valid.
    pub(in crate::verifier) fn invalidate_non_owning_refs(&mut self) {
        let allow_ptr_leaks = self.allow_ptr_leaks;
        self.for_each_reg(&mut |reg| {
            if reg.is_non_owning() {
                Self::invalidate(reg, allow_ptr_leaks);
            }
        });
    }
}

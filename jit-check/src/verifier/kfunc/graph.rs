//! Lists and trees: their heads, their nodes, and who owns a node.

use super::args::Learned;
use super::flags::Kfunc;
use super::special::Special;
use crate::verifier::env::{EFAULT, EINVAL, Env, Reject, Res, reject};
use crate::verifier::helpers::maps::is_tracing_prog_type;
use crate::verifier::objects::{Field, FieldKind};
use crate::verifier::reg::{Base, BtfIdx, Extra, Flags, Reg};
use bpf_sys::prog::{AttachType, ProgFlags, ProgType};
use btf::TypeId;

impl<'a> Env<'a> {
    /// The head of a list or the root of a tree, with its lock held.
    pub(super) fn check_graph_root(
        &mut self,
        kfunc: &Kfunc<'a>,
        regno: u8,
        reg: &Reg,
        list: bool,
        learned: &mut Learned,
    ) -> Res {
        let kind = if list { FieldKind::ListHead } else { FieldKind::RbRoot };
        let name = kind.name();
        if kfunc.btf != BtfIdx::KERNEL {
            reject!(self, EFAULT, "verifier internal error: unexpected btf mismatch in kfunc call");
        }
        let known = if list { kfunc.special.is_list() } else { kfunc.special.is_rbtree() };
        if !known {
            reject!(self, EFAULT, "verifier internal error: {name} head arg for unknown kfunc");
        }
        if reg.var_off.mask != 0 {
            reject!(
                self,
                EINVAL,
                "R{regno} doesn't have constant offset. {name} has to be at the constant offset"
            );
        }
        let off = (reg.off as u32).wrapping_add(reg.var_off.value as u32);
        let record = self.reg_record(reg);
        let lock = record.and_then(|record| record.spin_lock.or(record.res_spin_lock));
        let Some(field) = record.and_then(|record| record.find(off, |of| of == kind)).copied() else {
            reject!(self, EINVAL, "{name} not found at offset={off}");
        };
        if !self.is_allocation_locked(reg) {
            let at = lock.map_or(-EINVAL, |at| at as i32);
            reject!(self, EINVAL, "bpf_spin_lock at off={at} must be held for {name}");
        }
        let place = if list { &mut learned.list } else { &mut learned.tree };
        if place.is_some() {
            reject!(self, EFAULT, "verifier internal error: repeating {name} arg");
        }
        *place = Some(field);
        Ok(())
    }

    /// An object that the program owns.
    pub(super) fn check_owned(&mut self, at: usize, reg: &Reg) -> Res {
        if reg.base != Base::BtfId || reg.flags != Flags::ALLOC {
            reject!(self, EINVAL, "{} expected pointer to allocated object", self.arg_name(at, "arg#"));
        }
        if reg.ref_obj_id == 0 {
            reject!(self, EINVAL, "allocated object must be referenced");
        }
        Ok(())
    }

    /// Who must own the node of a tree.
    pub(super) fn check_rbtree_node(&mut self, kfunc: &Kfunc<'a>, at: usize, reg: &Reg) -> Res {
        if kfunc.special == Special::RbtreeAdd {
            return self.check_owned(at, reg);
        }
        // Since Linux 6.16 the node may be owned, too.
        let owned_too = self.since(6, 16);
        let name = if owned_too { kfunc.name } else { "rbtree_remove" };
        if owned_too && !reg.is_non_owning() && reg.ref_obj_id == 0 {
            reject!(self, EINVAL, "{name} can only take non-owning or refcounted bpf_rb_node pointer");
        }
        if !owned_too && (!reg.is_non_owning() || reg.ref_obj_id != 0) {
            reject!(self, EINVAL, "{name} node input must be non-owning ref");
        }
        if self.in_rbtree_lock_required_cb() {
            reject!(self, EINVAL, "{name} not allowed in rbtree cb");
        }
        Ok(())
    }

    /// A node that fits the list or tree of the call.
    pub(super) fn check_graph_node(
        &mut self,
        regno: u8,
        reg: &Reg,
        list: bool,
        learned: &mut Learned,
    ) -> Res {
        let (root, node) = if list {
            (FieldKind::ListHead, FieldKind::ListNode)
        } else {
            (FieldKind::RbRoot, FieldKind::RbNode)
        };
        if reg.var_off.mask != 0 {
            reject!(
                self,
                EINVAL,
                "R{regno} doesn't have constant offset. {} has to be at the constant offset",
                node.name()
            );
        }
        let off = (reg.off as u32).wrapping_add(reg.var_off.value as u32);
        let found = self.reg_record(reg).is_some_and(|record| record.find(off, |of| of == node).is_some());
        if !found {
            reject!(self, EINVAL, "{} not found at offset={off}", node.name());
        }
        let held = if list { learned.list } else { learned.tree };
        let (Some(field), Some(have)) = (held, reg.btf()) else { return Err(Reject(EFAULT)) };
        let Some(need) = field.target else { return Err(Reject(EFAULT)) };
        let name =
            |env: &Self, at: (BtfIdx, u32)| env.btf(at.0).type_by_id(TypeId(at.1)).map_or("", |ty| ty.name());
        let (need_name, have_name) = (name(self, need), name(self, have));
        let at = field.node_offset;
        if !self.same_type(have, need) {
            reject!(
                self,
                EINVAL,
                "operation on {} expects arg#1 {} at offset={at} in struct {need_name}, but arg is at offset={off} in struct {have_name}",
                root.name(),
                node.name()
            );
        }
        learned.object = Some(have);
        if off != at {
            reject!(
                self,
                EINVAL,
                "arg#1 offset={off}, but expected {} at offset={at} in struct {need_name}",
                node.name()
            );
        }
        Ok(())
    }

    /// A pointer to a node of a list or tree.
    pub(super) fn graph_node_reg(reg: &mut Reg, field: &Field) {
        reg.mark_known(0);
        (reg.base, reg.flags) = (Base::BtfId, Flags::ALLOC);
        if let Some((btf, id)) = field.target {
            reg.extra = Extra::Btf { btf, id };
        }
        reg.off = field.node_offset as i32;
    }

    /// Flags of a pointer to what a list or tree owns.
    pub(super) fn non_owning_flags(&self, reg: &Reg) -> Flags {
        let counted = self.reg_record(reg).is_some_and(|record| record.refcount.is_some());
        if counted { Flags::NON_OWN_REF | Flags::RCU } else { Flags::NON_OWN_REF }
    }

    /// The pointer is to what a list or tree owns.
    pub(super) fn set_non_owning(&mut self, reg: &mut Reg) -> Res {
        if self.cur.active_locks == 0 {
            reject!(self, EFAULT, "verifier internal error: ref_set_non_owning w/o active lock");
        }
        if reg.flags.contains(Flags::NON_OWN_REF) {
            reject!(self, EFAULT, "verifier internal error: NON_OWN_REF already set");
        }
        reg.flags |= self.non_owning_flags(reg);
        Ok(())
    }

    /// All pointers that own the object only point to it from now on: a list or tree owns it.
    pub(super) fn convert_to_non_owning(&mut self, ref_obj_id: u32) -> Res {
        if ref_obj_id == 0 {
            reject!(
                self,
                EFAULT,
                "verifier internal error: ref_obj_id is zero for owning -> non-owning conversion"
            );
        }
        if !self.cur.refs.iter().any(|held| held.id == ref_obj_id) {
            reject!(self, EFAULT, "verifier internal error: ref state missing for ref_obj_id");
        }
        let mut owning = Vec::new();
        self.for_each_reg(&mut |reg| {
            if reg.ref_obj_id == ref_obj_id {
                owning.push(*reg);
            }
        });
        let flags = owning.first().map_or(Flags::NON_OWN_REF, |reg| self.non_owning_flags(reg));
        self.for_each_reg(&mut |reg| {
            if reg.ref_obj_id == ref_obj_id {
                reg.ref_obj_id = 0;
                reg.flags |= flags;
            }
        });
        Ok(())
    }

    /// Since Linux 7.2 programs that may interrupt anything do not drop objects whose fields cannot be dropped there.
    pub(super) fn check_dropped_fields(&mut self, kfunc: &Kfunc<'a>, learned: &Learned) -> Res {
        use FieldKind as F;
        if !self.since(7, 2) || !matches!(kfunc.special, Special::ObjDrop | Special::PercpuObjDrop) {
            return Ok(());
        }
        let ty = self.prog_type();
        let traces = is_tracing_prog_type(ty)
            || ty == ProgType::Tracing
                && self.program.expected_attach_type != Some(AttachType::TraceIter)
                && !self.program.flags.contains(ProgFlags::SLEEPABLE);
        let record = learned.object.and_then(|(btf, id)| self.btf_record(btf, id));
        let unsafe_there = record.is_some_and(|record| {
            record.fields.iter().any(|field| {
                !matches!(
                    field.kind,
                    F::SpinLock
                        | F::ResSpinLock
                        | F::Timer
                        | F::Workqueue
                        | F::TaskWork
                        | F::KptrUnref
                        | F::Refcount
                )
            })
        });
        if traces && unsafe_there {
            let name = kfunc.name;
            reject!(
                self,
                EINVAL,
                "{name} cannot be used in tracing programs on types with NMI unsafe fields"
            );
        }
        Ok(())
    }
}

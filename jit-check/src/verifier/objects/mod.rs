//! Special objects: dynptrs, iterators, locks, timers, kptrs, lists and trees.

mod maps;
mod record;

use super::env::{EINVAL, Env, Reject, Res};
use super::helpers::CallMeta;
use super::kfunc::Kfunc;
use super::reg::{BtfIdx, DynptrKind, Flags, Reg};
use std::collections::BTreeMap;
use std::rc::Rc;

/// A special field of a map's value or an allocated object.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) enum FieldKind {
    SpinLock,
    ResSpinLock,
    Timer,
    Workqueue,
    TaskWork,
    KptrUnref,
    KptrRef,
    KptrPercpu,
    Uptr,
    ListHead,
    ListNode,
    RbRoot,
    RbNode,
    Refcount,
}

/// Where it is, and what it holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Field {
    pub kind: FieldKind,
    pub offset: u32,
    pub size: u32,
    /// What a kptr points to; what a list's or tree's nodes are.
    pub target: Option<(BtfIdx, u32)>,
    /// Offset of the node in what a list or tree holds.
    pub node_offset: u32,
}

/// Special fields of a map's value or an allocated object, by BTF, by rising offset.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Record {
    pub fields: Vec<Field>,
    pub spin_lock: Option<u32>,
    pub res_spin_lock: Option<u32>,
    pub timer: Option<u32>,
    pub workqueue: Option<u32>,
    pub refcount: Option<u32>,
}

/// What is known of the program's structs and of the kernel functions that it calls.
#[derive(Clone, Debug, Default)]
pub(crate) struct Objects<'a> {
    /// Special fields of structs of the program's BTF.
    pub structs: BTreeMap<u32, Record>,
    /// Kernel functions by BTF id and offset.
    pub kfuncs: BTreeMap<(u32, i16), Rc<Kfunc<'a>>>,
}

/// Step of an iterator.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum IterStep {
    New,
    Next,
    Destroy,
}

impl<'a> Env<'a> {
    /// A dynptr argument.
    pub(super) fn process_dynptr(
        &mut self,
        regno: u8,
        insn_idx: usize,
        arg: Flags,
        clone_ref_obj_id: u32,
    ) -> Res {
        let _ = (regno, insn_idx, arg, clone_ref_obj_id);
        self.unmodelled("process_dynptr");
        Err(Reject(EINVAL))
    }

    /// An iterator argument: its frame-pointer slot.
    pub(super) fn process_iter(
        &mut self,
        regno: u8,
        insn_idx: usize,
        step: IterStep,
        btf: BtfIdx,
        id: u32,
    ) -> Res<usize> {
        let _ = (regno, insn_idx, step, btf, id);
        self.unmodelled("process_iter");
        Err(Reject(EINVAL))
    }

    /// An iterator's next: one path gets NULL, one an element.
    pub(super) fn process_iter_next(&mut self, insn_idx: usize, frame: usize, slot: u32) -> Res {
        let _ = (insn_idx, frame, slot);
        self.unmodelled("process_iter_next");
        Err(Reject(EINVAL))
    }

    /// Taking or giving back a `bpf_spin_lock`.
    pub(super) fn process_spin_lock(&mut self, regno: u8, lock: bool) -> Res {
        let _ = (regno, lock);
        self.unmodelled("process_spin_lock");
        Err(Reject(EINVAL))
    }

    /// A timer argument.
    pub(super) fn process_timer(&mut self, regno: u8, meta: &mut CallMeta) -> Res {
        let _ = (regno, meta);
        self.unmodelled("process_timer");
        Err(Reject(EINVAL))
    }

    /// The map value argument of `bpf_kptr_xchg`.
    pub(super) fn process_kptr(&mut self, regno: u8, meta: &mut CallMeta) -> Res {
        let _ = (regno, meta);
        self.unmodelled("process_kptr");
        Err(Reject(EINVAL))
    }

    /// A write hits stack: a dynptr there ends (one with a reference refuses).
    pub(super) fn destroy_if_dynptr_slot(&mut self, frame: usize, slot: u32) -> Res {
        let _ = (frame, slot);
        self.unmodelled("destroy_if_dynptr_slot");
        Err(Reject(EINVAL))
    }

    /// Whether the slot belongs to a dynptr, an iterator or an interrupt flag.
    pub(super) fn is_special_slot(&self, frame: usize, slot: u32) -> bool {
        let _ = (frame, slot);
        false
    }

    /// Slices of a dynptr that is gone.
    pub(super) fn invalidate_dynptr_slices(&mut self, dynptr_id: u32) {
        let _ = dynptr_id;
    }

    /// Kind of the dynptr that a register points to or is.
    pub(super) fn dynptr_kind_of(&self, regno: u8) -> Option<DynptrKind> {
        let _ = regno;
        None
    }

    /// Its id.
    pub(super) fn dynptr_id_of(&self, regno: u8) -> Option<u32> {
        let _ = regno;
        None
    }

    /// Its reference.
    pub(super) fn dynptr_ref_obj_id_of(&self, regno: u8) -> Option<u32> {
        let _ = regno;
        None
    }

    /// The record of what a register points to: map value or allocated object.
    pub(super) fn reg_record(&self, reg: &Reg) -> Option<&Record> {
        let _ = reg;
        None
    }

    /// The record of a struct of the program's BTF (or of the kernel's).
    pub(super) fn btf_record(&self, btf: BtfIdx, id: u32) -> Option<&Record> {
        let _ = (btf, id);
        None
    }

    /// After an unlock.
    pub(super) fn invalidate_non_owning_refs(&mut self) {}
}

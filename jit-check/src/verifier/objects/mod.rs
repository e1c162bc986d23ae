//! Special objects: dynptrs, iterators, locks, timers, kptrs, lists and trees.

mod dynptr;
mod iter;
mod locks;
mod maps;
mod record;
mod slots;
mod types;
mod walk;

pub(in crate::verifier) use btf::raw::kind_name;
pub(in crate::verifier) use iter::IterArg;
pub(in crate::verifier) use types::is_projection;
pub(in crate::verifier) use walk::{Step, shown_name, sized};

use super::kfunc::Kfunc;
use super::reg::BtfIdx;
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

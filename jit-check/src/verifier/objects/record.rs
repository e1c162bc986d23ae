//! Which special fields a map's value or a struct of the program has, by its types.

use super::super::env::{E2BIG, EINVAL, ENOENT};
use super::super::reg::BtfIdx;
use super::{Field, FieldKind, Record};
use crate::kernel::Version;
use btf::{Btf, Kind, Type, TypeId};

const EEXIST: i32 = 17;
/// How many special fields a value may have.
const FIELDS_MAX: usize = 11;
/// How deep types may lie in each other.
const DEPTH_MAX: u32 = 32;

/// A set of field kinds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Kinds(u32);

impl Kinds {
    pub fn of(kinds: &[FieldKind]) -> Kinds {
        Kinds(kinds.iter().fold(0, |mask, kind| mask | 1 << *kind as u32))
    }

    fn has(self, kind: FieldKind) -> bool {
        self.0 & 1 << kind as u32 != 0
    }
}

impl FieldKind {
    /// Its name in the log.
    pub fn name(self) -> &'static str {
        match self {
            FieldKind::SpinLock => "bpf_spin_lock",
            FieldKind::ResSpinLock => "bpf_res_spin_lock",
            FieldKind::Timer => "bpf_timer",
            FieldKind::Workqueue => "bpf_wq",
            FieldKind::TaskWork => "bpf_task_work",
            FieldKind::KptrUnref | FieldKind::KptrRef => "kptr",
            FieldKind::KptrPercpu => "percpu_kptr",
            FieldKind::Uptr => "uptr",
            FieldKind::ListHead => "bpf_list_head",
            FieldKind::ListNode => "bpf_list_node",
            FieldKind::RbRoot => "bpf_rb_root",
            FieldKind::RbNode => "bpf_rb_node",
            FieldKind::Refcount => "bpf_refcount",
        }
    }

    pub fn is_kptr(self) -> bool {
        matches!(self, FieldKind::KptrUnref | FieldKind::KptrRef | FieldKind::KptrPercpu)
    }

    pub fn is_graph_root(self) -> bool {
        matches!(self, FieldKind::ListHead | FieldKind::RbRoot)
    }

    fn size(self) -> u32 {
        match self {
            FieldKind::SpinLock | FieldKind::ResSpinLock | FieldKind::Refcount => 4,
            FieldKind::Timer | FieldKind::Workqueue | FieldKind::ListHead | FieldKind::RbRoot => 16,
            FieldKind::ListNode => 24,
            FieldKind::RbNode => 32,
            _ => 8,
        }
    }

    fn align(self) -> u32 {
        self.size().min(8)
    }

    /// Kinds that are known by the name of their struct, with the kernel that has them first.
    const BY_NAME: [(FieldKind, Version); 10] = [
        (FieldKind::SpinLock, Version(5, 1)),
        (FieldKind::ResSpinLock, Version(6, 15)),
        (FieldKind::Timer, Version(5, 15)),
        (FieldKind::Workqueue, Version(6, 10)),
        (FieldKind::TaskWork, Version(6, 18)),
        (FieldKind::ListHead, Version(6, 2)),
        (FieldKind::ListNode, Version(6, 2)),
        (FieldKind::RbRoot, Version(6, 3)),
        (FieldKind::RbNode, Version(6, 3)),
        (FieldKind::Refcount, Version(6, 4)),
    ];

    /// A value has one of these at most.
    fn is_single(self) -> bool {
        use FieldKind::*;
        matches!(self, SpinLock | ResSpinLock | Timer | Workqueue | TaskWork | Refcount)
    }
}

/// A field as it is found, before what it refers to is looked up.
#[derive(Clone, Copy)]
struct Found<'a> {
    kind: FieldKind,
    offset: u32,
    /// Type that a kptr points to, or that a list's or tree's nodes have.
    target: u32,
    /// Member of that type which is the node.
    node: &'a str,
}

/// What else the fields depend on: the kernel's types and version.
#[derive(Clone, Copy)]
pub(crate) struct Around<'k, 'a> {
    pub version: Version,
    pub kernel: &'k Btf<'a>,
    /// Modules' types with their index.
    pub modules: &'k [&'k Btf<'a>],
}

struct Search<'k, 'a> {
    btf: &'k Btf<'a>,
    version: Version,
    wanted: Kinds,
    seen: u32,
}

type Errno<T> = Result<T, i32>;

impl<'a> Search<'_, 'a> {
    /// These kernels count what a value has one of at most in each struct on its own, and not reference counts.
    fn counts_apart(&self) -> bool {
        self.version > Version(6, 12) && self.version < Version(7, 1)
    }

    fn ty(&self, id: TypeId) -> Errno<Type<'a>> {
        self.btf.type_by_id(id).ok_or(EINVAL)
    }

    fn kind_of(&mut self, ty: &Type<'_>) -> Errno<Option<FieldKind>> {
        for (kind, since) in FieldKind::BY_NAME {
            if !self.wanted.has(kind) || self.version < since || ty.name() != kind.name() {
                continue;
            }
            if kind.is_single() && !(kind == FieldKind::Refcount && self.counts_apart()) {
                if self.seen & 1 << kind as u32 != 0 {
                    return Err(E2BIG);
                }
                self.seen |= 1 << kind as u32;
            }
            return Ok(Some(kind));
        }
        let kptrs = self.wanted.has(FieldKind::KptrRef) && self.version >= Version(5, 19);
        Ok((kptrs && ty.kind() != Kind::Struct).then_some(FieldKind::KptrRef))
    }

    /// A pointer with one of the tags that make it a kptr.
    fn kptr(&self, ty: Type<'a>, offset: u32) -> Errno<Option<Found<'a>>> {
        let mut ty = ty;
        if ty.kind() == Kind::Volatile {
            ty = self.ty(ty.type_id().ok_or(EINVAL)?)?;
        }
        if ty.kind() != Kind::Ptr {
            return Ok(None);
        }
        let tag = self.ty(ty.type_id().ok_or(EINVAL)?)?;
        if tag.kind() != Kind::TypeTag {
            return Ok(None);
        }
        let under = tag.type_id().ok_or(EINVAL)?;
        if self.ty(under)?.kind() == Kind::TypeTag {
            return Err(EINVAL);
        }
        let kind = match tag.name() {
            "kptr_untrusted" => FieldKind::KptrUnref,
            // Before Linux 6.4 the plain tag was the unreferenced one.
            "kptr" if self.version < Version(6, 4) => FieldKind::KptrUnref,
            "kptr_ref" if self.version < Version(6, 4) => FieldKind::KptrRef,
            "kptr" => FieldKind::KptrRef,
            "percpu_kptr" if self.version >= Version(6, 7) => FieldKind::KptrPercpu,
            "uptr" if self.version >= Version(6, 13) => FieldKind::Uptr,
            _ => return Err(EINVAL),
        };
        // Only maps have pointers to users' memory; structs may say so all the same.
        if kind == FieldKind::Uptr && !self.wanted.has(kind) {
            return Ok(None);
        }
        let (target, pointee) = self.btf.resolve(under).ok_or(EINVAL)?;
        if pointee.kind() != Kind::Struct {
            return Err(EINVAL);
        }
        Ok(Some(Found { kind, offset, target: target.0, node: "" }))
    }

    /// A list's head or a tree's root: the tag `contains:<struct>:<member>` on it says what is in it.
    fn graph_root(&self, on: TypeId, component: i32, kind: FieldKind, offset: u32) -> Errno<Found<'a>> {
        let mut tags = self
            .btf
            .decl_tags(on)
            .filter(|(at, _)| *at == component)
            .filter_map(|(_, tag)| tag.strip_prefix("contains:"));
        let (Some(tag), None) = (tags.next(), tags.next()) else { return Err(EINVAL) };
        let (name, node) = tag.split_once(':').ok_or(EINVAL)?;
        let target = self.btf.find(name, Kind::Struct).ok_or(ENOENT)?;
        if node.is_empty() {
            return Err(EINVAL);
        }
        Ok(Found { kind, offset, target: target.0, node })
    }

    fn repeat(found: &mut Vec<Found<'a>>, room: usize, times: u32, size: u32) -> Errno<()> {
        if found.iter().any(|field| {
            !(field.kind.is_kptr() || field.kind == FieldKind::Uptr || field.kind.is_graph_root())
        }) {
            return Err(EINVAL);
        }
        let total = (found.len() as u64).saturating_mul(u64::from(times));
        if total > room as u64 {
            return Err(E2BIG);
        }
        let first = found.clone();
        for at in 1..times {
            found.extend(
                first.iter().map(|field| Found { offset: field.offset.wrapping_add(at * size), ..*field }),
            );
        }
        Ok(())
    }

    #[allow(clippy::too_many_arguments)]
    fn one(
        &mut self,
        on: TypeId,
        component: i32,
        ty: TypeId,
        offset: u32,
        expected_size: u32,
        room: usize,
        level: u32,
    ) -> Errno<Vec<Found<'a>>> {
        let deep = self.version >= Version(6, 11);
        let (mut ty, mut count, mut steps) = (self.ty(ty)?, 1_u32, 0);
        while let Some(array) = ty.array().filter(|_| deep) {
            if steps == DEPTH_MAX {
                return Err(E2BIG);
            }
            (steps, count) = (steps + 1, count.wrapping_mul(array.len));
            ty = self.ty(array.element)?;
        }
        if count == 0 {
            return Ok(Vec::new());
        }
        let Some(kind) = self.kind_of(&ty)? else {
            if ty.kind() != Kind::Struct || !deep {
                return Ok(Vec::new());
            }
            let size = ty.size().unwrap_or(0);
            if expected_size != 0 && expected_size != size.wrapping_mul(count) {
                return Ok(Vec::new());
            }
            if level + 1 >= DEPTH_MAX {
                return Err(E2BIG);
            }
            let id = self.id_of(&ty, on, component)?;
            let apart = self.counts_apart();
            let seen = self.seen;
            if apart {
                self.seen = 0;
            }
            let mut found = self.members(id, ty, room, level + 1)?;
            if apart {
                self.seen = seen;
            }
            for field in &mut found {
                field.offset = field.offset.wrapping_add(offset);
            }
            if !found.is_empty() && count > 1 {
                Self::repeat(&mut found, room, count, size)?;
            }
            return Ok(found);
        };
        if expected_size != 0 && expected_size != kind.size().wrapping_mul(count) {
            return Ok(Vec::new());
        }
        if !offset.is_multiple_of(kind.align()) {
            return Ok(Vec::new());
        }
        let found = if kind == FieldKind::KptrRef {
            self.kptr(ty, offset)?
        } else if ty.kind() != Kind::Struct || ty.size() != Some(kind.size()) {
            None
        } else if kind.is_graph_root() {
            Some(self.graph_root(on, component, kind, offset)?)
        } else {
            Some(Found { kind, offset, target: 0, node: "" })
        };
        let Some(found) = found else { return Ok(Vec::new()) };
        if room == 0 {
            return Err(E2BIG);
        }
        let mut found = vec![found];
        if count > 1 {
            Self::repeat(&mut found, room, count, kind.size())?;
        }
        Ok(found)
    }

    /// Id of the struct behind a member (through arrays) or a variable: tags on its members hang on that id.
    fn id_of(&self, _ty: &Type<'_>, on: TypeId, component: i32) -> Errno<TypeId> {
        let holder = self.ty(on)?;
        let mut id = match component {
            -1 => holder.type_id().ok_or(EINVAL)?,
            at => holder.members().nth(at as usize).ok_or(EINVAL)?.type_id,
        };
        while let Some(array) = self.ty(id)?.array() {
            id = array.element;
        }
        Ok(id)
    }

    fn members(&mut self, id: TypeId, ty: Type<'a>, room: usize, level: u32) -> Errno<Vec<Found<'a>>> {
        let mut all = Vec::new();
        for (at, member) in ty.members().enumerate() {
            if member.bit_offset % 8 != 0 {
                return Err(EINVAL);
            }
            let left = room - all.len();
            let found = self.one(id, at as i32, member.type_id, member.bit_offset / 8, 0, left, level)?;
            all.extend(found);
        }
        Ok(all)
    }

    fn all(&mut self, id: TypeId, ty: Type<'a>) -> Errno<Vec<Found<'a>>> {
        if ty.kind() == Kind::Struct {
            return self.members(id, ty, FIELDS_MAX, 0);
        }
        if ty.kind() != Kind::Datasec {
            return Err(EINVAL);
        }
        let mut all = Vec::new();
        for var in ty.section_vars() {
            let of = self.ty(var.type_id)?.type_id().ok_or(EINVAL)?;
            let left = FIELDS_MAX - all.len();
            all.extend(self.one(var.type_id, -1, of, var.offset, var.size, left, 0)?);
        }
        Ok(all)
    }
}

/// Kernel objects that may be kept in maps with a reference, and since when: those that the kernel can release itself.
const RELEASABLE: [(&str, Version); 5] = [
    ("task_struct", Version(6, 2)),
    ("cgroup", Version(6, 2)),
    ("bpf_cpumask", Version(6, 3)),
    ("bpf_crypto_ctx", Version(6, 10)),
    ("prog_test_ref_kfunc", Version(5, 19)),
];

impl Record {
    /// The special fields of a type (struct, union or data section) of the program's BTF; `None` where it has none.
    /// An error is the kernel's, as `errno`.
    pub fn of(
        btf: &Btf<'_>,
        id: u32,
        wanted: Kinds,
        size: u32,
        around: &Around<'_, '_>,
    ) -> Errno<Option<Record>> {
        let id = TypeId(id);
        let ty = btf.type_by_id(id).ok_or(EINVAL)?;
        let mut search = Search { btf, version: around.version, wanted, seen: 0 };
        let found = search.all(id, ty)?;
        if found.is_empty() {
            return Ok(None);
        }
        let mut record = Record::default();
        let mut next = 0;
        for found in found {
            let (kind, offset, len) = (found.kind, found.offset, found.kind.size());
            if offset.checked_add(len).is_none_or(|end| end > size) {
                return Err(super::super::env::EFAULT);
            }
            if offset < next {
                return Err(EEXIST);
            }
            next = offset + len;
            let mut field = Field { kind, offset, size: len, target: None, node_offset: 0 };
            match kind {
                FieldKind::SpinLock => record.spin_lock = Some(offset),
                FieldKind::ResSpinLock => record.res_spin_lock = Some(offset),
                FieldKind::Timer => record.timer = Some(offset),
                FieldKind::Workqueue => record.workqueue = Some(offset),
                FieldKind::Refcount => record.refcount = Some(offset),
                FieldKind::KptrUnref | FieldKind::KptrRef | FieldKind::KptrPercpu | FieldKind::Uptr => {
                    field.target = Some(kptr_target(btf, kind, found.target, around)?);
                }
                FieldKind::ListHead | FieldKind::RbRoot => {
                    field.target = Some((BtfIdx::PROGRAM, found.target));
                    field.node_offset = node_offset(btf, kind, &found)?;
                }
                FieldKind::ListNode | FieldKind::RbNode | FieldKind::TaskWork => {}
            }
            record.fields.push(field);
        }
        let has = |kind| record.fields.iter().any(|field| field.kind == kind);
        let locked = record.spin_lock.is_some() || record.res_spin_lock.is_some();
        if record.spin_lock.is_some() && record.res_spin_lock.is_some() {
            return Err(EINVAL);
        }
        if record.fields.iter().any(|field| field.kind.is_graph_root()) && !locked {
            return Err(EINVAL);
        }
        if record.refcount.is_none() && has(FieldKind::ListNode) && has(FieldKind::RbNode) {
            return Err(EINVAL);
        }
        record.fields.sort_by_key(|field| field.offset);
        Ok(Some(record))
    }

    /// The field that begins at this offset, where it is one of these kinds.
    pub fn find(&self, offset: u32, accept: impl Fn(FieldKind) -> bool) -> Option<&Field> {
        self.fields.iter().find(|field| field.offset == offset && accept(field.kind))
    }

    pub fn has(&self, kind: FieldKind) -> bool {
        self.fields.iter().any(|field| field.kind == kind)
    }

    pub fn has_kptr(&self) -> bool {
        self.fields.iter().any(|field| field.kind.is_kptr())
    }
}

/// The type that a kptr points to: the kernel's (or a module's) of that name, the program's own where there is none.
fn kptr_target(btf: &Btf<'_>, kind: FieldKind, target: u32, around: &Around<'_, '_>) -> Errno<(BtfIdx, u32)> {
    let ty = btf.type_by_id(TypeId(target)).ok_or(EINVAL)?;
    if kind == FieldKind::Uptr {
        return Ok((BtfIdx::PROGRAM, target));
    }
    let kernel = around.kernel.find(ty.name(), ty.kind()).map(|id| (BtfIdx::KERNEL, id.0));
    let found = kernel.or_else(|| {
        around.modules.iter().zip(2..).find_map(|(module, at)| {
            let id = module.find(ty.name(), ty.kind())?;
            Some((BtfIdx(at), id.0))
        })
    });
    let Some(found) = found else { return Ok((BtfIdx::PROGRAM, target)) };
    let releasable = |(name, since): &(&str, Version)| *name == ty.name() && around.version >= *since;
    if kind == FieldKind::KptrRef && !RELEASABLE.iter().any(releasable) {
        return Err(ENOENT);
    }
    Ok(found)
}

/// Where the node lies in what a list or tree holds.
fn node_offset(btf: &Btf<'_>, kind: FieldKind, found: &Found<'_>) -> Errno<u32> {
    let node_kind = if kind == FieldKind::ListHead { FieldKind::ListNode } else { FieldKind::RbNode };
    let holder = btf.type_by_id(TypeId(found.target)).ok_or(EINVAL)?;
    let mut members = holder.members().filter(|member| member.name == found.node);
    let (Some(member), second) = (members.next(), members.next()) else { return Err(ENOENT) };
    let ty = btf.type_by_id(member.type_id).ok_or(EINVAL)?;
    let fits = ty.kind() == Kind::Struct && ty.name() == node_kind.name();
    let offset = member.bit_offset / 8;
    if !fits || member.bit_offset % 8 != 0 || !offset.is_multiple_of(node_kind.align()) || second.is_some() {
        return Err(EINVAL);
    }
    Ok(offset)
}

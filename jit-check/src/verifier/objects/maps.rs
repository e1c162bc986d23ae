//! Special fields of all maps and of the program's structs, before the walk.

use super::super::env::{EINVAL, Env, MapInfo, Res};
use super::record::{Around, Kinds};
use super::{FieldKind, Record};
use bpf_sys::map::{MapFlags, MapType};
use btf::{Btf, Kind, TypeId};
use loader::MapSpec;
use std::collections::BTreeMap;

const ELOOP: i32 = 40;
/// How many structs may own each other in a row.
const OWNERSHIP_MAX: u32 = 8;

const IN_STRUCTS: [FieldKind; 10] = [
    FieldKind::SpinLock,
    FieldKind::ResSpinLock,
    FieldKind::ListHead,
    FieldKind::ListNode,
    FieldKind::RbRoot,
    FieldKind::RbNode,
    FieldKind::Refcount,
    FieldKind::KptrUnref,
    FieldKind::KptrRef,
    FieldKind::KptrPercpu,
];

const IN_MAPS: [FieldKind; 12] = [
    FieldKind::SpinLock,
    FieldKind::ResSpinLock,
    FieldKind::Timer,
    FieldKind::Workqueue,
    FieldKind::TaskWork,
    FieldKind::KptrUnref,
    FieldKind::KptrRef,
    FieldKind::KptrPercpu,
    FieldKind::Uptr,
    FieldKind::ListHead,
    FieldKind::RbRoot,
    FieldKind::Refcount,
];

/// Whether maps of this type may hold such fields.
fn may_hold(map_type: MapType, kind: FieldKind) -> bool {
    use FieldKind as F;
    use MapType::*;
    match kind {
        F::SpinLock | F::ResSpinLock => matches!(
            map_type,
            Hash | Array | CgroupStorage | SkStorage | InodeStorage | TaskStorage | CgrpStorage
        ),
        F::Timer | F::Workqueue | F::TaskWork | F::ListHead | F::RbRoot => {
            matches!(map_type, Hash | LruHash | Array)
        }
        F::KptrUnref | F::KptrRef | F::KptrPercpu | F::Refcount => matches!(
            map_type,
            Hash | PercpuHash
                | LruHash
                | LruPercpuHash
                | Array
                | PercpuArray
                | SkStorage
                | InodeStorage
                | TaskStorage
                | CgrpStorage
        ),
        F::Uptr => map_type == TaskStorage,
        F::ListNode | F::RbNode => false,
    }
}

/// Map types that are made without types whatever the object says.
fn goes_without_btf(map_type: MapType) -> bool {
    use MapType::*;
    matches!(
        map_type,
        PerfEventArray
            | CgroupArray
            | StackTrace
            | ArrayOfMaps
            | HashOfMaps
            | Devmap
            | DevmapHash
            | Cpumap
            | Xskmap
            | Sockmap
            | Sockhash
            | Queue
            | Stack
            | Arena
            | ProgArray
            | ReuseportSockarray
    )
}

impl<'a> Env<'a> {
    /// Before the walk: special fields of all maps and of the program's structs. A map that may not have the fields that
    /// its types say is made without types, as loaders do after the kernel's refusal.
    pub(in crate::verifier) fn init_map_records(&mut self) -> Res {
        match self.struct_records() {
            Ok(structs) => self.objects.structs = structs,
            // The kernel takes none of these types; the program goes on without, as loaders do.
            Err(_) => self.own_types = false,
        }
        let specs: Vec<(&'a MapSpec, Option<u32>)> =
            self.program.maps.iter().map(|map| (map, None)).collect();
        let inner =
            self.program.maps.iter().zip(0..).filter_map(|(map, at)| Some((map.inner.as_deref()?, Some(at))));
        self.maps = specs
            .into_iter()
            .chain(inner)
            .map(|(spec, inner_of)| {
                let record = self.map_record(spec);
                let has_btf = matches!(record, Ok(Some(_)) | Ok(None)) && spec.value_type.is_some();
                MapInfo { record: record.ok().flatten(), inner_of, has_btf }
            })
            .collect();
        Ok(())
    }

    fn around<T>(&self, work: impl FnOnce(&Btf<'a>, &Around<'_, 'a>) -> T) -> Option<T> {
        let [kernel, program, modules @ ..] = self.btfs.as_slice() else { return None };
        let around = Around { version: self.kernel.version, kernel, modules };
        Some(work(program, &around))
    }

    fn map_record(&self, spec: &MapSpec) -> Result<Option<Record>, i32> {
        let Some(value) = spec.value_type else { return Ok(None) };
        // Who may not load types has maps without.
        if !self.own_types || goes_without_btf(spec.map_type) {
            return Err(EINVAL);
        }
        let around = self.around(|btf, around| {
            let (id, ty) = btf.resolve(value).ok_or(EINVAL)?;
            if ty.kind() != Kind::Struct && ty.kind() != Kind::Datasec {
                return Ok(None);
            }
            Record::of(btf, id.0, Kinds::of(&IN_MAPS), spec.value_size, around)
        });
        // What is damaged in the types does not keep the map from being made: it has no special fields then.
        let record = around.unwrap_or(Ok(None)).unwrap_or(None);
        if let Some(record) = &record {
            let guarded = MapFlags::RDONLY_PROG | MapFlags::WRONLY_PROG;
            if spec.flags.intersects(guarded)
                || record.fields.iter().any(|field| !may_hold(spec.map_type, field.kind))
            {
                return Err(EINVAL);
            }
        }
        Ok(record)
    }

    /// Records of all structs of the program's BTF that have special fields; an error where the kernel refuses the BTF.
    fn struct_records(&self) -> Result<BTreeMap<u32, Record>, i32> {
        let records = self.around(|btf, around| {
            let mut wanted: Vec<u32> = IN_STRUCTS
                .iter()
                .filter_map(|kind| btf.find(kind.name(), Kind::Struct))
                .map(|id| id.0)
                .collect();
            wanted.extend(btf.types().filter(|(_, ty)| is_kptr(btf, ty)).map(|(id, _)| id.0));
            wanted.sort_unstable();
            let mut records = BTreeMap::new();
            for (id, ty) in btf.types() {
                let has = |member: btf::Member<'_>| wanted.binary_search(&member.type_id.0).is_ok();
                if ty.kind() != Kind::Struct || !ty.members().any(has) {
                    continue;
                }
                let record = Record::of(btf, id.0, Kinds::of(&IN_STRUCTS), ty.size().unwrap_or(0), around)?;
                records.insert(id.0, record.ok_or(EINVAL)?);
            }
            for id in records.keys() {
                if ownership_depth(&records, *id, OWNERSHIP_MAX).is_none() {
                    return Err(ELOOP);
                }
            }
            Ok(records)
        });
        records.unwrap_or_else(|| Ok(BTreeMap::new()))
    }
}

/// A pointer with a tag that makes it a kptr, to a struct.
fn is_kptr(btf: &Btf<'_>, ty: &btf::Type<'_>) -> bool {
    let follow = |ty: &btf::Type<'_>| ty.type_id().and_then(|id| btf.type_by_id(id));
    let mut ty = *ty;
    if ty.kind() == Kind::Volatile {
        let Some(under) = follow(&ty) else { return false };
        ty = under;
    }
    if ty.kind() != Kind::Ptr {
        return false;
    }
    let Some(tag) = follow(&ty).filter(|tag| tag.kind() == Kind::TypeTag) else { return false };
    let known = matches!(tag.name(), "kptr_untrusted" | "kptr" | "percpu_kptr");
    let tagged_twice = follow(&tag).is_some_and(|under| under.kind() == Kind::TypeTag);
    let pointee = tag.type_id().and_then(|id: TypeId| btf.resolve(id));
    known && !tagged_twice && pointee.is_some_and(|(_, ty)| ty.kind() == Kind::Struct)
}

/// How many structs are owned in a row from this one on; `None` where they are too many or go in a circle.
fn ownership_depth(records: &BTreeMap<u32, Record>, id: u32, left: u32) -> Option<u32> {
    let record = records.get(&id)?;
    if left == 0 {
        return None;
    }
    let mut deepest = 0;
    for field in &record.fields {
        let owns =
            field.kind.is_graph_root() || matches!(field.kind, FieldKind::KptrRef | FieldKind::KptrPercpu);
        let Some((super::super::reg::BtfIdx::PROGRAM, target)) = field.target.filter(|_| owns) else {
            continue;
        };
        if !records.contains_key(&target) {
            if field.kind.is_graph_root() {
                return None;
            }
            continue;
        }
        deepest = deepest.max(ownership_depth(records, target, left - 1)?);
    }
    Some(deepest + 1)
}

//! Finding types by name.
//!
//! With the kernel's 126,000 types a linear search takes up to half a millisecond, as it looks at the first bytes of
//! names only; a hash table takes about ten to build (it has to read all names) and answers within a microsecond. So
//! the first lookups are linear, and whoever asks often gets the table.

use crate::{Btf, Kind, Type, TypeId};
use std::sync::atomic::Ordering;

/// Lookups answered by linear search before the table is built.
const LINEAR_LOOKUPS: u32 = 16;

/// Open-addressing hash table of type ids; 0 marks a free place.
pub(crate) struct NameIndex {
    slots: Vec<u32>,
}

fn hash(name: &str) -> usize {
    // FNV-1a: short names, no hostile keys that matter (the worst case is the linear search again).
    let folded = name.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    (folded ^ (folded >> 32)) as usize
}

impl NameIndex {
    fn build(btf: &Btf<'_>) -> NameIndex {
        let len = (btf.offsets.len() * 2).next_power_of_two();
        let mut slots = vec![0_u32; len];
        for (id, ty) in btf.own_types() {
            let name = ty.name();
            if name.is_empty() {
                continue;
            }
            let mut at = hash(name) & (len - 1);
            while slots[at] != 0 {
                at = (at + 1) & (len - 1);
            }
            slots[at] = id.0;
        }
        NameIndex { slots }
    }

    fn find<'data>(
        &self,
        btf: &Btf<'data>,
        name: &str,
        accept: &mut dyn FnMut(TypeId, &Type<'data>) -> bool,
    ) -> Option<TypeId> {
        let mask = self.slots.len().checked_sub(1)?;
        let mut at = hash(name) & mask;
        // Insertion goes by rising id, so the first match met is the one with the lowest id.
        while let Some(id) = self.slots.get(at).copied().filter(|id| *id != 0) {
            let id = TypeId(id);
            if let Some(ty) = btf.type_by_id(id).filter(|ty| ty.name() == name)
                && accept(id, &ty)
            {
                return Some(id);
            }
            at = (at + 1) & mask;
        }
        None
    }
}

impl<'data> Btf<'data> {
    /// The first type of this name and kind, the base's types before the own ones.
    pub fn find(&self, name: &str, kind: Kind) -> Option<TypeId> {
        self.find_where(name, |_, ty| ty.kind() == kind)
    }

    /// The first type of this name that `accept` takes.
    pub fn find_where(
        &self,
        name: &str,
        mut accept: impl FnMut(TypeId, &Type<'data>) -> bool,
    ) -> Option<TypeId> {
        if name.is_empty() {
            return None;
        }
        let accept: &mut dyn FnMut(TypeId, &Type<'data>) -> bool = &mut accept;
        if let Some(base) = self.base
            && let Some(id) = base.find_own(name, accept)
        {
            return Some(id);
        }
        self.find_own(name, accept)
    }

    fn find_own(&self, name: &str, accept: &mut dyn FnMut(TypeId, &Type<'data>) -> bool) -> Option<TypeId> {
        if self.index.get().is_none() && self.lookups.fetch_add(1, Ordering::Relaxed) < LINEAR_LOOKUPS {
            return self.offsets.iter().zip(self.first_id..).find_map(|(offset, id)| {
                let name_off = self.endian.u32(self.types, *offset as usize)?;
                let id = TypeId(id);
                let ty = self.strings.is(name_off, name).then(|| self.type_by_id(id))??;
                accept(id, &ty).then_some(id)
            });
        }
        self.index.get_or_init(|| NameIndex::build(self)).find(self, name, accept)
    }
}

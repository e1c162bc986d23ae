//! Finding types by name.
//!
//! The first lookups search linearly, which takes up to half a millisecond in the kernel's 126,000 types; whoever asks
//! more often gets a hash table, which takes about two such lookups to build and less than a microsecond to ask. It is
//! built of chains, so that no data, however chosen, makes building it slower than one pass. Newer kernels sort their
//! named types; that could replace the table, but checking the order costs what building it does.

use crate::{Btf, Kind, Type, TypeId};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

/// Lookups answered by linear search before the table is built.
const LINEAR_LOOKUPS: u32 = 2;

/// The hash table, once there is one.
#[derive(Default)]
pub(crate) struct NameIndex {
    lookups: AtomicU32,
    table: OnceLock<Table>,
}

/// A type stands here as its place in the table of offsets, plus 1; 0 is none.
struct Table {
    /// First of each chain.
    heads: Vec<u32>,
    /// The one after, for each type. Chains run by rising id.
    next: Vec<u32>,
}

/// Hash of a string that a zero byte ends; eight bytes at a time.
#[inline]
fn hash_until_nul(mut rest: &[u8]) -> u64 {
    let mut hash = 0;
    while let Some(chunk) = rest.first_chunk::<8>() {
        let word = u64::from_le_bytes(*chunk);
        // The lowest bit set belongs to the first zero byte.
        let zeros = word.wrapping_sub(0x0101_0101_0101_0101) & !word & 0x8080_8080_8080_8080;
        if zeros != 0 {
            return mix(hash, word & ((zeros & zeros.wrapping_neg()) >> 7).wrapping_sub(1));
        }
        hash = mix(hash, word);
        rest = &rest[8..];
    }
    let len = rest.iter().position(|byte| *byte == 0).unwrap_or(rest.len());
    hash_tail(hash, &rest[..len])
}

/// Hash of a string that is all of `name`; the same as above.
fn hash(name: &[u8]) -> u64 {
    let chunks = name.chunks_exact(8);
    let tail = chunks.remainder();
    let words = chunks.filter_map(|chunk| chunk.first_chunk::<8>().copied().map(u64::from_le_bytes));
    hash_tail(words.fold(0, mix), tail)
}

fn hash_tail(hash: u64, tail: &[u8]) -> u64 {
    let word = tail.iter().rev().fold(0, |word, byte| (word << 8) | u64::from(*byte));
    mix(hash, word)
}

#[inline]
fn mix(hash: u64, word: u64) -> u64 {
    (hash.rotate_left(23) ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

impl Table {
    fn build(btf: &Btf<'_>) -> Table {
        // Little more than half of the kernel's types have names, so most chains are one long.
        let len = btf.offsets.len().next_power_of_two();
        let mut heads = vec![0_u32; len];
        let mut next = vec![0_u32; btf.offsets.len()];
        // From the last to the first: what is put in front of a chain has a lower id than what is in it.
        for (place, offset) in btf.offsets.iter().enumerate().rev() {
            let name_off = btf.endian.u32(btf.types, *offset as usize).unwrap_or(0);
            if name_off == 0 {
                continue;
            }
            let Some(rest) = btf.strings.rest(name_off) else { continue };
            let slot = Table::slot(hash_until_nul(rest), len);
            if let (Some(head), Some(next)) = (heads.get_mut(slot), next.get_mut(place)) {
                *next = std::mem::replace(head, place as u32 + 1);
            }
        }
        Table { heads, next }
    }

    /// The upper bits are the well-mixed ones.
    #[inline]
    fn slot(hash: u64, len: usize) -> usize {
        (hash >> 32) as usize & (len - 1)
    }

    /// Places of types whose name may be `name`, by rising id.
    fn candidates(&self, name: &str) -> impl Iterator<Item = usize> + '_ {
        let first = self.heads.get(Table::slot(hash(name.as_bytes()), self.heads.len()));
        let place = |entry: u32| (entry as usize).checked_sub(1);
        let first = first.and_then(|first| place(*first));
        std::iter::successors(first, move |at| place(*self.next.get(*at)?))
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

    /// Builds the table of names now rather than at the third lookup: for those who are going to ask often, or who want
    /// every lookup to take the same time.
    pub fn index_names(&self) {
        if let Some(base) = self.base {
            base.index_names();
        }
        self.index.table.get_or_init(|| Table::build(self));
    }

    fn find_own(&self, name: &str, accept: &mut dyn FnMut(TypeId, &Type<'data>) -> bool) -> Option<TypeId> {
        let mut taken = |place: usize| {
            let name_off = self.endian.u32(self.types, *self.offsets.get(place)? as usize)?;
            let ty = self.strings.is(name_off, name).then(|| self.own(place))??;
            let id = TypeId(self.first_id + place as u32);
            accept(id, &ty).then_some(id)
        };
        if self.index.table.get().is_none()
            && self.index.lookups.fetch_add(1, Ordering::Relaxed) < LINEAR_LOOKUPS
        {
            return (0..self.offsets.len()).find_map(taken);
        }
        let table = self.index.table.get_or_init(|| Table::build(self));
        table.candidates(name).find_map(&mut taken)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ways_of_hashing_agree() {
        let text = b"a_rather_long_name_of_a_type_\xc3\xa9\x80\x01\xff\0behind it";
        for len in 0..33 {
            let mut bytes = text[33 - len..33].to_vec();
            let expected = hash(&bytes);
            for behind in [&b"\0"[..], b"\0x", b"\0\x01\x80xxxxxxxxxx", b"\0\0\0\0\0\0\0\0\0\0\0\0"] {
                bytes.truncate(len);
                bytes.extend(behind);
                assert_eq!(hash_until_nul(&bytes), expected, "{len} {behind:?}");
            }
        }
    }
}

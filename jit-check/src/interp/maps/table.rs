//! The table behind the hash maps: keys to regions, in an order that does not depend on chance.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

/// Quick, and the same in every process: nothing hostile is hashed for long, programs have budgets.
#[derive(Default, Clone, Copy)]
pub(in crate::interp) struct Mix(u64);

impl Hasher for Mix {
    #[inline]
    fn write(&mut self, bytes: &[u8]) {
        // The usual lengths, without a copy of a length that is not known.
        if let Ok(word) = bytes.try_into() {
            return self.write_u64(u32::from_ne_bytes(word).into());
        }
        let mut chunks = bytes.chunks_exact(8);
        for chunk in &mut chunks {
            self.write_u64(chunk.try_into().map_or(0, u64::from_ne_bytes));
        }
        let rest = chunks.remainder();
        if !rest.is_empty() {
            let mut last = [0; 8];
            last[..rest.len()].copy_from_slice(rest);
            self.write_u64(u64::from_ne_bytes(last));
        }
    }

    #[inline]
    fn write_u64(&mut self, word: u64) {
        let wide = u128::from(self.0 ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835);
        self.0 = (wide >> 64) as u64 ^ wide as u64;
    }

    #[inline]
    fn write_usize(&mut self, word: usize) {
        self.0 = self.0.wrapping_add(word as u64);
    }

    #[inline]
    fn finish(&self) -> u64 {
        self.0
    }
}

/// One element.
#[derive(Clone, Debug)]
pub(in crate::interp) struct Entry {
    pub key: Box<[u8]>,
    /// Region of the value, of processor 0 where there is one for each.
    pub region: u32,
    /// When it was used last.
    pub used: u64,
}

/// Elements in the order of their slots; a slot that was given up is used again.
#[derive(Clone, Debug, Default)]
pub(in crate::interp) struct Table {
    index: HashMap<Box<[u8]>, u32, BuildHasherDefault<Mix>>,
    slots: Vec<Option<Entry>>,
    free: Vec<u32>,
    clock: u64,
}

impl Table {
    pub fn len(&self) -> usize {
        self.index.len()
    }

    #[inline]
    pub fn get(&self, key: &[u8]) -> Option<u32> {
        let slot = *self.index.get(key)?;
        Some(self.slots.get(slot as usize)?.as_ref()?.region)
    }

    /// As [`get`](Self::get), and it is the one used last from now on.
    pub fn touch(&mut self, key: &[u8]) -> Option<u32> {
        let slot = *self.index.get(key)?;
        let entry = self.slots.get_mut(slot as usize)?.as_mut()?;
        self.clock += 1;
        entry.used = self.clock;
        Some(entry.region)
    }

    /// Puts an element in; returns the region that was there.
    pub fn insert(&mut self, key: &[u8], region: u32) -> Option<u32> {
        self.clock += 1;
        if let Some(&slot) = self.index.get(key) {
            let entry = self.slots.get_mut(slot as usize)?.as_mut()?;
            entry.used = self.clock;
            return Some(std::mem::replace(&mut entry.region, region));
        }
        let entry = Entry { key: key.into(), region, used: self.clock };
        let slot = match self.free.pop() {
            Some(slot) => {
                self.slots[slot as usize] = Some(entry);
                slot
            }
            None => {
                self.slots.push(Some(entry));
                self.slots.len() as u32 - 1
            }
        };
        self.index.insert(key.into(), slot);
        None
    }

    pub fn remove(&mut self, key: &[u8]) -> Option<u32> {
        let slot = self.index.remove(key)?;
        let entry = self.slots.get_mut(slot as usize)?.take()?;
        self.free.push(slot);
        Some(entry.region)
    }

    /// Key of the element that was used longest ago.
    pub fn oldest(&self) -> Option<Box<[u8]>> {
        self.slots.iter().flatten().min_by_key(|e| e.used).map(|e| e.key.clone())
    }

    /// The first element at or behind a slot, with its slot.
    pub fn at_or_after(&self, slot: usize) -> Option<(usize, &Entry)> {
        self.slots.iter().enumerate().skip(slot).find_map(|(n, e)| Some((n, e.as_ref()?)))
    }

    pub fn iter(&self) -> impl Iterator<Item = &Entry> {
        self.slots.iter().flatten()
    }
}

//! The longest matching prefix.

use std::collections::BTreeMap;

/// Masked bits to region and key as it was given.
type Prefixes = BTreeMap<Box<[u8]>, (u32, Box<[u8]>)>;

/// Prefixes by their length and masked bits. Lookups walk down the lengths that are in use.
#[derive(Clone, Debug, Default)]
pub(in crate::interp) struct Lpm {
    by_len: BTreeMap<u32, Prefixes>,
    count: usize,
}

/// Bytes with all behind the prefix cleared.
fn mask(len: u32, data: &[u8]) -> Box<[u8]> {
    let mut out: Box<[u8]> = data.into();
    for (n, byte) in out.iter_mut().enumerate() {
        let from = n as u32 * 8;
        if from >= len {
            *byte = 0;
        } else if len - from < 8 {
            *byte &= !(0xff >> (len - from));
        }
    }
    out
}

fn split(key: &[u8]) -> Option<(u32, &[u8])> {
    let (len, data) = key.split_first_chunk::<4>()?;
    Some((u32::from_ne_bytes(*len), data))
}

impl Lpm {
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether the prefix of a key is no longer than its data.
    pub fn is_valid(key: &[u8]) -> bool {
        split(key).is_some_and(|(len, data)| u64::from(len) <= data.len() as u64 * 8)
    }

    /// The longest prefix of `key` that is in.
    pub fn lookup(&self, key: &[u8]) -> Option<u32> {
        let (len, data) = split(key)?;
        self.by_len.range(..=len).rev().find_map(|(&len, prefixes)| Some(prefixes.get(&mask(len, data))?.0))
    }

    /// Exactly this prefix.
    pub fn get(&self, key: &[u8]) -> Option<u32> {
        let (len, data) = split(key)?;
        Some(self.by_len.get(&len)?.get(&mask(len, data))?.0)
    }

    /// Puts a prefix in; returns the region that was there.
    pub fn insert(&mut self, key: &[u8], region: u32) -> Option<u32> {
        let (len, data) = split(key)?;
        let old = self.by_len.entry(len).or_default().insert(mask(len, data), (region, key.into()));
        if old.is_none() {
            self.count += 1;
        }
        old.map(|(region, _)| region)
    }

    pub fn remove(&mut self, key: &[u8]) -> Option<u32> {
        let (len, data) = split(key)?;
        let (region, _) = self.by_len.get_mut(&len)?.remove(&mask(len, data))?;
        self.count -= 1;
        Some(region)
    }

    /// Keys as they were given, longer prefixes first, with their regions.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], u32)> {
        self.by_len.values().rev().flat_map(|p| p.values().map(|(region, key)| (&**key, *region)))
    }
}

//! A growing string section that holds each string once.

use std::hash::{BuildHasher, RandomState};

/// String section of a [`Builder`](crate::Builder).
#[derive(Clone)]
pub(crate) struct StringTable {
    /// Bytes of the base's strings, which come first in the counting of offsets.
    base: u32,
    bytes: Vec<u8>,
    /// Open-addressing hash table of places in `bytes`, plus 1; 0 is free. Empty until it is needed.
    slots: Vec<u32>,
    used: usize,
    state: RandomState,
}

impl StringTable {
    /// The section as it was read; `base` bytes of strings come before.
    pub fn new(bytes: &[u8], base: usize) -> StringTable {
        let bytes = bytes.to_vec();
        StringTable { base: base as u32, bytes, slots: vec![], used: 0, state: RandomState::new() }
    }

    /// A table of the same kind without strings.
    pub fn emptied(&self) -> StringTable {
        // Stand-alone BTF begins with the empty string.
        let bytes: &[u8] = if self.base == 0 { &[0] } else { &[] };
        StringTable::new(bytes, self.base as usize)
    }

    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The string at this offset; `None` where there is none, and for the base's.
    fn get(&self, offset: u32) -> Option<&str> {
        let rest = self.bytes.get(offset.checked_sub(self.base)? as usize..)?;
        std::str::from_utf8(rest.split(|byte| *byte == 0).next()?).ok()
    }

    /// The offset in `to` of the string at this offset here: the base's stay, and what is none becomes the empty one.
    pub fn moved(&self, offset: u32, to: &mut StringTable) -> u32 {
        match self.get(offset) {
            Some(text) => to.offset(text.as_bytes()),
            None if offset < self.base => offset,
            None => 0,
        }
    }

    /// Offset of the string, which is added where it is not there yet.
    pub fn offset(&mut self, text: &[u8]) -> u32 {
        let text = text.split(|byte| *byte == 0).next().unwrap_or_default();
        if text.is_empty() {
            return 0;
        }
        if self.slots.is_empty() {
            self.index();
        }
        let slot = self.slot(text);
        if let Some(place) = self.slots.get(slot).and_then(|entry| entry.checked_sub(1)) {
            return self.base + place;
        }
        let place = self.bytes.len() as u32;
        self.bytes.extend_from_slice(text);
        self.bytes.push(0);
        self.put(slot, place);
        self.base + place
    }

    /// Offset of a string that exists already, at its place in the table of those that were seen.
    fn put(&mut self, slot: usize, place: u32) {
        if let Some(entry) = self.slots.get_mut(slot) {
            *entry = place + 1;
            self.used += 1;
        }
        if self.used * 2 > self.slots.len() {
            self.index();
        }
    }

    /// Where the string is, or would be, in the hash table.
    fn slot(&self, text: &[u8]) -> usize {
        let mask = self.slots.len().wrapping_sub(1);
        let mut slot = self.state.hash_one(text) as usize & mask;
        // At least half of the places are free.
        while let Some(place) = self.slots.get(slot).and_then(|entry| entry.checked_sub(1)) {
            let there = self.bytes.get(place as usize..).and_then(|rest| rest.strip_prefix(text));
            if there.is_some_and(|rest| rest.first() == Some(&0)) {
                break;
            }
            slot = (slot + 1) & mask;
        }
        slot
    }

    /// Builds the hash table of all strings, with room for as many again.
    fn index(&mut self) {
        let count = self.bytes.iter().filter(|byte| **byte == 0).count();
        self.slots = vec![0; (4 * count + 64).next_power_of_two()];
        self.used = 0;
        let mut place = 0;
        while let Some(rest) = self.bytes.get(place..).filter(|rest| !rest.is_empty()) {
            let len = rest.iter().position(|byte| *byte == 0).unwrap_or(rest.len());
            if len > 0 {
                // The first of several equal strings stays.
                let slot = self.slot(&self.bytes[place..place + len]);
                if let Some(entry) = self.slots.get_mut(slot).filter(|entry| **entry == 0) {
                    *entry = place as u32 + 1;
                    self.used += 1;
                }
            }
            place += len + 1;
        }
    }
}

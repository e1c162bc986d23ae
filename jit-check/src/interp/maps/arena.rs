//! Arenas: sparse pages at 32-bit offsets.

use super::super::mem::{Full, Kind, Memory};
use super::NoMap;
use std::collections::BTreeMap;

/// Bytes of a page.
pub(in crate::interp) const PAGE: u32 = 4096;
/// Where user space has an arena that says no address of its own.
const USER_START: u64 = 0x7f00_0000_0000;

/// Pages by their offset from the start, each a region.
#[derive(Clone, Debug)]
pub(in crate::interp) struct Arena {
    pub user_start: u64,
    pages: BTreeMap<u32, u32>,
    count: u32,
}

impl Arena {
    pub fn new(pages: u32, start: u64) -> Arena {
        let user_start = if start == 0 { USER_START } else { start };
        Arena { user_start, pages: BTreeMap::new(), count: pages }
    }

    /// The page number within the arena that lower address bits name.
    fn number(&self, low: u32) -> u32 {
        low.wrapping_sub(self.user_start as u32) / PAGE
    }

    pub fn fill(&mut self, data: &[u8], mem: &mut Memory) -> Result<(), NoMap> {
        for (n, chunk) in data.chunks(PAGE as usize).enumerate() {
            let region = mem.alloc(Kind::Object, 0, PAGE, false)?;
            mem.bytes_mut(region)[..chunk.len()].copy_from_slice(chunk);
            self.pages.insert(n as u32, region);
        }
        Ok(())
    }

    /// Region of the page that an address is in, by the lower half of the address.
    pub fn page(&self, low: u32) -> Option<u32> {
        self.pages.get(&self.number(low)).copied()
    }

    /// `bpf_arena_alloc_pages`: the user's address of the first, 0 where there is no room.
    pub fn alloc(&mut self, wanted: u64, count: u32, mem: &mut Memory) -> Result<u64, Full> {
        if count == 0 || count > self.count {
            return Ok(0);
        }
        let is_free =
            |pages: &BTreeMap<u32, u32>, from: u32| pages.range(from..from + count).next().is_none();
        let from = if wanted != 0 {
            let from = self.number(wanted as u32);
            if !wanted.is_multiple_of(PAGE.into())
                || from.saturating_add(count) > self.count
                || !is_free(&self.pages, from)
            {
                return Ok(0);
            }
            from
        } else {
            match (0..=self.count - count).find(|&from| is_free(&self.pages, from)) {
                Some(from) => from,
                None => return Ok(0),
            }
        };
        for n in from..from + count {
            let region = mem.alloc(Kind::Object, 0, PAGE, false)?;
            self.pages.insert(n, region);
        }
        Ok(self.user_start + u64::from(from) * u64::from(PAGE))
    }

    /// `bpf_arena_free_pages`.
    pub fn free(&mut self, addr: u64, count: u32, mem: &mut Memory) {
        let from = self.number(addr as u32);
        for n in from..from.saturating_add(count).min(self.count) {
            if let Some(region) = self.pages.remove(&n) {
                mem.free(region);
            }
        }
    }
}

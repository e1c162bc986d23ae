//! Arrays that user space and BPF programs share as memory: counters that are read without a system call.
//!
//! An array map made with `BPF_F_MMAPABLE` (since Linux 5.5) lies in memory as `max_entries` values, each rounded up to
//! 8 bytes. Everything here goes through relaxed atomics, since programs write at any time.

use std::ops::Range;
use std::os::fd::AsFd;
use std::sync::atomic::Ordering::Relaxed;

use crate::map::{Map, MapType};
use crate::mmap::Mmap;
use crate::{Error, Result};

pub use crate::mmap::{Access, page_size};

/// The memory of an array map that was made with `BPF_F_MMAPABLE`. Bounds are checked at every access, against the map's
/// own size as the kernel states it.
#[derive(Debug)]
pub struct MappedArray {
    memory: Mmap,
    /// Bytes that may be reached; the mapping itself is whole pages.
    len: usize,
}

impl MappedArray {
    /// Maps the first `len` bytes of an array. Since Linux 5.5.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`] where the map is no array, was made without `BPF_F_MMAPABLE`, or holds fewer bytes; else
    /// [`Error::Sys`] (EPERM: the map is frozen or was made read-only for user space, and writing was asked for).
    pub fn new(map: &Map, len: usize, access: Access) -> Result<Self> {
        let size = Self::checked_size(map)?;
        if len == 0 || len > size {
            return Err(Error::invalid(format!(
                "map {len} bytes of an array: it holds {size} bytes (values rounded up to 8 bytes, times max_entries)"
            )));
        }
        let pages = len.next_multiple_of(page_size());
        let memory = Mmap::map(map.as_fd(), 0, pages, access, "a BPF array")?;
        Ok(MappedArray { memory, len })
    }

    /// Maps a whole array. Since Linux 5.5.
    ///
    /// # Errors
    ///
    /// As for [`new`](Self::new).
    pub fn whole(map: &Map, access: Access) -> Result<Self> {
        let size = Self::checked_size(map)?;
        Self::new(map, size, access)
    }

    fn checked_size(map: &Map) -> Result<usize> {
        const BPF_F_MMAPABLE: u32 = 1 << 10;
        let info = map.info()?;
        if info.map_type != MapType::Array {
            return Err(Error::invalid(format!(
                "map a {} as memory: only arrays (BPF_MAP_TYPE_ARRAY) can be",
                info.map_type
            )));
        }
        if info.flags.bits() & BPF_F_MMAPABLE == 0 {
            return Err(Error::invalid(
                "map an array as memory: it must be created with BPF_F_MMAPABLE (since Linux 5.5)",
            ));
        }
        let stride = u64::from(info.value_size).next_multiple_of(8);
        stride
            .checked_mul(u64::from(info.max_entries))
            .and_then(|size| usize::try_from(size).ok())
            .filter(|size| *size <= isize::MAX as usize - page_size())
            .ok_or_else(|| Error::invalid("map an array as memory: it is larger than the address space"))
    }

    /// Bytes that can be reached.
    pub fn len_bytes(&self) -> usize {
        self.len
    }

    /// 64-bit words that can be reached.
    pub fn len_u64(&self) -> usize {
        self.len / 8
    }

    /// 32-bit words that can be reached.
    pub fn len_u32(&self) -> usize {
        self.len / 4
    }

    /// Whether values can be stored.
    pub fn is_writable(&self) -> bool {
        self.memory.access() == Access::Writable
    }

    /// The 64-bit word at an index; `None` behind the end.
    pub fn load_u64(&self, index: usize) -> Option<u64> {
        Some(self.words(index..index.checked_add(1)?)?[0].load(Relaxed))
    }

    /// The 32-bit word at an index (two for each 64-bit word); `None` behind the end.
    pub fn load_u32(&self, index: usize) -> Option<u32> {
        (index < self.len_u32()).then(|| self.memory.u32_at(index * 4))?.map(|word| word.load(Relaxed))
    }

    /// Stores a 64-bit word; `false` behind the end or where the memory is read-only.
    pub fn store_u64(&self, index: usize, value: u64) -> bool {
        let range = index..index.saturating_add(1);
        match self.words(range).filter(|_| self.is_writable()) {
            Some([word]) => {
                word.store(value, Relaxed);
                true
            }
            _ => false,
        }
    }

    /// Stores a 32-bit word; `false` behind the end or where the memory is read-only.
    pub fn store_u32(&self, index: usize, value: u32) -> bool {
        if index >= self.len_u32() || !self.is_writable() {
            return false;
        }
        self.memory.u32_at(index * 4).is_some_and(|word| {
            word.store(value, Relaxed);
            true
        })
    }

    /// Adds to a 64-bit word and answers with what it was; `None` behind the end or where the memory is read-only.
    pub fn fetch_add_u64(&self, index: usize, value: u64) -> Option<u64> {
        let range = index..index.checked_add(1)?;
        Some(self.words(range).filter(|_| self.is_writable())?[0].fetch_add(value, Relaxed))
    }

    /// Adds to a 32-bit word and answers with what it was; `None` behind the end or where the memory is read-only.
    pub fn fetch_add_u32(&self, index: usize, value: u32) -> Option<u32> {
        if index >= self.len_u32() || !self.is_writable() {
            return None;
        }
        Some(self.memory.u32_at(index * 4)?.fetch_add(value, Relaxed))
    }

    /// Puts 0 into a 64-bit word and answers with what it was; `None` behind the end or where the memory is read-only.
    /// Nothing that programs add atomically meanwhile is lost.
    pub fn take_u64(&self, index: usize) -> Option<u64> {
        let range = index..index.checked_add(1)?;
        Some(self.words(range).filter(|_| self.is_writable())?[0].swap(0, Relaxed))
    }

    /// Copies 64-bit words out; `false`, with `out` untouched, where the range ends behind the end or has not `out`'s length.
    #[must_use]
    pub fn copy_u64(&self, range: Range<usize>, out: &mut [u64]) -> bool {
        match self.words(range) {
            Some(words) if words.len() == out.len() => {
                for (to, from) in out.iter_mut().zip(words) {
                    *to = from.load(Relaxed);
                }
                true
            }
            _ => false,
        }
    }

    /// Adds up rows: `out[i]` becomes the sum of the words `first + row * stride + i` over `rows` rows, as for counters
    /// that each processor has its own row of. `stride` is in words. `false`, with `out` untouched, where a row ends
    /// behind the end.
    #[must_use]
    pub fn sum_rows(&self, first: usize, stride: usize, rows: usize, out: &mut [u64]) -> bool {
        let end = |row: usize| row.checked_mul(stride)?.checked_add(first)?.checked_add(out.len());
        match rows.checked_sub(1) {
            None => {
                out.fill(0);
                return true;
            }
            // The last row ends last.
            Some(last) if end(last).is_none_or(|end| end > self.len_u64()) => return false,
            Some(_) => {}
        }
        for row in 0..rows {
            let start = first + row * stride;
            let Some(words) = self.words(start..start + out.len()) else { return false };
            // The first row sets, the others add: one pass less over `out`.
            if row == 0 {
                for (to, from) in out.iter_mut().zip(words) {
                    *to = from.load(Relaxed);
                }
            } else {
                for (to, from) in out.iter_mut().zip(words) {
                    *to = to.wrapping_add(from.load(Relaxed));
                }
            }
        }
        true
    }

    /// Puts 0 into a range of 64-bit words; `false` where it ends behind the end or the memory is read-only.
    #[must_use]
    pub fn zero_u64(&self, range: Range<usize>) -> bool {
        match self.words(range).filter(|_| self.is_writable()) {
            Some(words) => {
                words.iter().for_each(|word| word.store(0, Relaxed));
                true
            }
            None => false,
        }
    }

    /// Copies bytes from `offset` on out; `false`, with `out` untouched, where they end behind the end. Aligned words of
    /// eight and four bytes are never seen half written.
    #[must_use]
    pub fn read_bytes(&self, offset: usize, out: &mut [u8]) -> bool {
        self.fits(offset, out.len()) && self.memory.read(offset, out)
    }

    /// Copies bytes in from `offset` on, words as in [`read_bytes`](Self::read_bytes); `false` where they end behind the end
    /// or the memory is read-only.
    #[must_use]
    pub fn write_bytes(&self, offset: usize, bytes: &[u8]) -> bool {
        self.fits(offset, bytes.len()) && self.memory.write(offset, bytes)
    }

    fn fits(&self, offset: usize, len: usize) -> bool {
        offset.checked_add(len).is_some_and(|end| end <= self.len)
    }

    fn words(&self, range: Range<usize>) -> Option<&[std::sync::atomic::AtomicU64]> {
        if range.start > range.end || range.end > self.len_u64() {
            return None;
        }
        self.memory.u64s(range.start * 8, range.end - range.start)
    }
}

/// The memory of an arena (`BPF_MAP_TYPE_ARENA`), which programs and this process share. Pages come into being when they are
/// touched from here, or when a program allocates them.
#[derive(Debug)]
pub struct MappedArena {
    memory: Mmap,
    len: usize,
}

impl MappedArena {
    /// Maps the whole arena, at the address of its `map_extra` where that is not 0. Since Linux 6.9.
    ///
    /// Programs that use the arena can only be loaded once it is mapped somewhere.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`] where the map is none; else [`Error::Sys`] (EEXIST: something else lies at that address).
    pub fn new(map: &Map) -> Result<Self> {
        let info = map.info()?;
        if info.map_type != MapType::Arena {
            return Err(Error::invalid(format!("map a {} as an arena: it is none", info.map_type)));
        }
        let len = (info.max_entries as usize).checked_mul(page_size());
        let address = usize::try_from(info.map_extra).ok();
        let (Some(len), Some(address)) = (len, address) else {
            return Err(Error::invalid("map an arena: it is larger than the address space"));
        };
        let memory = Mmap::map_at(address, map.as_fd(), 0, len, Access::Writable, "an arena")?;
        Ok(MappedArena { memory, len })
    }

    /// Bytes that can be reached.
    pub fn len_bytes(&self) -> usize {
        self.len
    }

    /// Copies bytes from `offset` on out; `false`, with `out` untouched, where they end behind the end.
    ///
    /// Touching a page that no program has allocated allocates it, and kills the process with SIGSEGV where the arena was
    /// made with `BPF_F_SEGV_ON_FAULT`.
    #[must_use]
    pub fn read_bytes(&self, offset: usize, out: &mut [u8]) -> bool {
        self.memory.read(offset, out)
    }

    /// Copies bytes in from `offset` on; `false` where they end behind the end. Pages as for [`read_bytes`](Self::read_bytes).
    #[must_use]
    pub fn write_bytes(&self, offset: usize, bytes: &[u8]) -> bool {
        self.memory.write(offset, bytes)
    }
}

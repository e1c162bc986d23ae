//! Memory that is shared with the kernel: the one wrapper of mmap(2).

use std::os::fd::{AsRawFd, BorrowedFd};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, AtomicUsize};

use std::sync::atomic::Ordering::Relaxed;

use crate::{Errno, Error, Result};

/// What may be done with a mapping.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Access {
    /// Reads only; writing is refused before the processor would.
    ReadOnly,
    /// Reads and writes.
    Writable,
}

/// A mapping of a descriptor, unmapped when dropped. Others (the kernel, BPF programs) write to it at any time, so
/// it is reached through atomics, or as bytes by those who know that nobody writes there now.
#[derive(Debug)]
pub(crate) struct Mmap {
    start: NonNull<u8>,
    len: usize,
    access: Access,
}

// SAFETY: the mapping belongs to the process, not to a thread, and all safe access to it is atomic.
unsafe impl Send for Mmap {}
// SAFETY: as above.
unsafe impl Sync for Mmap {}

impl Mmap {
    /// Maps `len` bytes at `offset` of `fd`; `what` names the thing in errors.
    pub fn map(fd: BorrowedFd<'_>, offset: u64, len: usize, access: Access, what: &str) -> Result<Self> {
        Self::map_at(0, fd, offset, len, access, what)
    }

    /// [`map`](Self::map) at an address where nothing is mapped yet; 0 leaves the choice to the kernel.
    pub fn map_at(
        address: usize,
        fd: BorrowedFd<'_>,
        offset: u64,
        len: usize,
        access: Access,
        what: &str,
    ) -> Result<Self> {
        let flags = libc::MAP_SHARED | if address == 0 { 0 } else { libc::MAP_FIXED_NOREPLACE };
        Self::map_as(flags, address, fd, offset, len, access, what)
    }

    /// Maps the first `len` bytes of `fd` to be read, privately: the kernel lends its own BTF in no other way.
    pub fn map_private(fd: BorrowedFd<'_>, len: usize, what: &str) -> Result<Self> {
        Self::map_as(libc::MAP_PRIVATE, 0, fd, 0, len, Access::ReadOnly, what)
    }

    /// `flags` never hold `MAP_FIXED`, which would replace what is there.
    fn map_as(
        flags: libc::c_int,
        address: usize,
        fd: BorrowedFd<'_>,
        offset: u64,
        len: usize,
        access: Access,
        what: &str,
    ) -> Result<Self> {
        let context = || format!("map {len} bytes at offset {offset} of {what}");
        if len == 0 || len > isize::MAX as usize {
            return Err(Error::invalid(format!(
                "{}: the length must be 1 byte at least and fit memory",
                context()
            )));
        }
        let Ok(offset) = libc::off_t::try_from(offset) else {
            return Err(Error::invalid(format!("{}: the offset is too large", context())));
        };
        let protection = match access {
            Access::ReadOnly => libc::PROT_READ,
            Access::Writable => libc::PROT_READ | libc::PROT_WRITE,
        };
        let place = std::ptr::without_provenance_mut(address);
        // SAFETY: a new mapping at an address of the kernel's choice, or one where the kernel finds nothing mapped, touches
        // no memory that exists already.
        let start = unsafe { libc::mmap(place, len, protection, flags, fd.as_raw_fd(), offset) };
        if start == libc::MAP_FAILED {
            return Err(Error::sys("mmap", context(), Errno::last()));
        }
        match NonNull::new(start.cast::<u8>()) {
            Some(start) => Ok(Mmap { start, len, access }),
            None => Err(Error::sys("mmap", context(), Errno::EFAULT)),
        }
    }

    /// What may be done with it.
    pub fn access(&self) -> Access {
        self.access
    }

    /// The aligned place of a `T` at a byte offset, or `None` where it is not wholly inside.
    fn place<T>(&self, offset: usize) -> Option<NonNull<T>> {
        let end = offset.checked_add(size_of::<T>())?;
        if end > self.len || !offset.is_multiple_of(align_of::<T>()) {
            return None;
        }
        // SAFETY: `offset` is inside of the mapping, which is one allocation.
        Some(unsafe { self.start.add(offset) }.cast())
    }

    /// The byte at an offset. Only to be loaded from where the mapping is [`Access::ReadOnly`].
    pub fn u8_at(&self, offset: usize) -> Option<&AtomicU8> {
        // SAFETY: as for `u64_at`.
        self.place(offset).map(|p| unsafe { p.as_ref() })
    }

    /// Copies bytes out, whole words of eight or four bytes at once where they are aligned; `false`, with nothing copied,
    /// where they are not wholly inside.
    pub fn read(&self, offset: usize, out: &mut [u8]) -> bool {
        if !self.holds(offset, out.len()) {
            return false;
        }
        let mut at = 0;
        while at < out.len() {
            let (place, rest) = (offset + at, &mut out[at..]);
            at += if let (Some(word), Some(to)) = (self.u64_at(place), rest.first_chunk_mut::<8>()) {
                *to = word.load(Relaxed).to_ne_bytes();
                8
            } else if let (Some(word), Some(to)) = (self.u32_at(place), rest.first_chunk_mut::<4>()) {
                *to = word.load(Relaxed).to_ne_bytes();
                4
            } else if let (Some(byte), Some(to)) = (self.u8_at(place), rest.first_mut()) {
                *to = byte.load(Relaxed);
                1
            } else {
                return false;
            };
        }
        true
    }

    /// Copies bytes in, words as in [`read`](Self::read); `false`, with nothing copied, where they are not wholly inside or
    /// the mapping is [`Access::ReadOnly`].
    pub fn write(&self, offset: usize, bytes: &[u8]) -> bool {
        if self.access != Access::Writable || !self.holds(offset, bytes.len()) {
            return false;
        }
        let mut at = 0;
        while at < bytes.len() {
            let (place, rest) = (offset + at, &bytes[at..]);
            at += if let (Some(word), Some(from)) = (self.u64_at(place), rest.first_chunk::<8>()) {
                word.store(u64::from_ne_bytes(*from), Relaxed);
                8
            } else if let (Some(word), Some(from)) = (self.u32_at(place), rest.first_chunk::<4>()) {
                word.store(u32::from_ne_bytes(*from), Relaxed);
                4
            } else if let (Some(byte), Some(from)) = (self.u8_at(place), rest.first()) {
                byte.store(*from, Relaxed);
                1
            } else {
                return false;
            };
        }
        true
    }

    fn holds(&self, offset: usize, len: usize) -> bool {
        offset.checked_add(len).is_some_and(|end| end <= self.len)
    }

    /// The 64-bit word at a byte offset. Only to be loaded from where the mapping is [`Access::ReadOnly`].
    pub fn u64_at(&self, offset: usize) -> Option<&AtomicU64> {
        // SAFETY: inside of the mapping and aligned (mappings start at a page), lives as long as `self`; everyone who
        // writes there from this process goes through atomics. Loads of a word are allowed on read-only memory.
        self.place(offset).map(|p| unsafe { p.as_ref() })
    }

    /// The 32-bit word at a byte offset. Only to be loaded from where the mapping is [`Access::ReadOnly`].
    pub fn u32_at(&self, offset: usize) -> Option<&AtomicU32> {
        // SAFETY: as for `u64_at`.
        self.place(offset).map(|p| unsafe { p.as_ref() })
    }

    /// The `unsigned long` at a byte offset. Only to be loaded from where the mapping is [`Access::ReadOnly`].
    pub fn usize_at(&self, offset: usize) -> Option<&AtomicUsize> {
        // SAFETY: as for `u64_at`.
        self.place(offset).map(|p| unsafe { p.as_ref() })
    }

    /// `count` 64-bit words from a byte offset on.
    pub fn u64s(&self, offset: usize, count: usize) -> Option<&[AtomicU64]> {
        let end = count.checked_mul(8)?.checked_add(offset)?;
        if end > self.len || !offset.is_multiple_of(8) {
            return None;
        }
        // SAFETY: `offset` is inside of the mapping or at its end.
        let start = unsafe { self.start.add(offset) }.cast::<AtomicU64>();
        // SAFETY: as for `u64_at`, for each of the words.
        Some(unsafe { std::slice::from_raw_parts(start.as_ptr(), count) })
    }

    /// Bytes of the mapping, or `None` where they are not wholly inside.
    ///
    /// # Safety
    ///
    /// Nobody, neither the kernel nor this process, may write to these bytes while the slice lives.
    pub unsafe fn bytes(&self, offset: usize, len: usize) -> Option<&[u8]> {
        if offset.checked_add(len)? > self.len {
            return None;
        }
        // SAFETY: inside of the mapping; that nobody writes is the caller's promise.
        Some(unsafe { std::slice::from_raw_parts(self.start.as_ptr().add(offset), len) })
    }
}

impl Drop for Mmap {
    fn drop(&mut self) {
        // SAFETY: exactly what `map` mapped, and no borrow of it outlives `self`.
        unsafe { libc::munmap(self.start.as_ptr().cast(), self.len) };
    }
}

/// The size of a page in bytes.
pub fn page_size() -> usize {
    // SAFETY: sysconf only reads a number.
    let size = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    usize::try_from(size).ok().filter(|s| s.is_power_of_two()).unwrap_or(4096)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsFd;

    #[test]
    fn nothing_outside_of_the_mapping_can_be_reached() {
        let file = std::fs::File::open("/proc/self/exe").unwrap();
        let map = Mmap::map(file.as_fd(), 0, 100, Access::ReadOnly, "the test's file").unwrap();
        assert!(map.u64_at(88).is_some());
        for offset in [96, 93, 100, usize::MAX - 3] {
            assert!(map.u64_at(offset).is_none(), "{offset}");
        }
        assert!(map.u32_at(96).is_some());
        assert!(map.u32_at(98).is_none());
        assert_eq!(map.u64s(0, 12).unwrap().len(), 12);
        assert!(map.u64s(8, 12).is_none());
        assert!(map.u64s(8, usize::MAX).is_none());
        // SAFETY: nobody writes to the program that runs.
        unsafe {
            assert_eq!(map.bytes(0, 4), Some(&b"\x7fELF"[..]));
            assert_eq!(map.bytes(97, 4), None);
            assert_eq!(map.bytes(1, usize::MAX), None);
        }
        let error = Mmap::map(file.as_fd(), 0, 0, Access::ReadOnly, "the test's file").unwrap_err();
        assert!(error.to_string().contains("1 byte at least"), "{error}");
    }
}

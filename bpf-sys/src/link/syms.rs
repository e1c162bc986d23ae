//! A table of many symbol names, without a copy of them.

use std::marker::PhantomData;

use crate::error::{Error, Result};

/// Names for [`kprobe_multi`](super::kprobe_multi): 8 bytes each, pointing into a buffer of NUL-terminated names that the
/// caller keeps.
#[derive(Debug, Clone, Default)]
pub struct SymTable<'a> {
    addrs: Vec<u64>,
    names: PhantomData<&'a [u8]>,
}

impl<'a> SymTable<'a> {
    /// The names that begin at `offsets` of `blob` and end at the next NUL byte.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`] where an offset is not in `blob` or the blob does not end with a NUL byte.
    pub fn new(blob: &'a [u8], offsets: impl IntoIterator<Item = usize>) -> Result<Self> {
        if blob.last().is_some_and(|byte| *byte != 0) {
            return Err(Error::invalid("a blob of symbol names must end with a NUL byte; add one"));
        }
        let base = blob.as_ptr().expose_provenance() as u64;
        let offsets = offsets.into_iter();
        let mut addrs = Vec::with_capacity(offsets.size_hint().0);
        for offset in offsets {
            // The blob's last byte is NUL, so each name that begins in it also ends in it.
            if offset >= blob.len() {
                return Err(Error::invalid(format!(
                    "symbol name at offset {offset} is not in the blob of {} bytes",
                    blob.len()
                )));
            }
            addrs.push(base + offset as u64);
        }
        Ok(SymTable { addrs, names: PhantomData })
    }

    /// All names of `blob`, one after the other.
    pub fn all(blob: &'a [u8]) -> Result<Self> {
        let mut start = 0;
        let offsets = blob.split_inclusive(|byte| *byte == 0).map(|name| {
            let offset = start;
            start += name.len();
            offset
        });
        Self::new(blob, offsets)
    }

    /// How many names.
    pub fn len(&self) -> usize {
        self.addrs.len()
    }

    /// Whether there is no name at all.
    pub fn is_empty(&self) -> bool {
        self.addrs.is_empty()
    }

    /// The addresses of the names, for the kernel.
    pub(super) fn addrs(&self) -> &[u64] {
        &self.addrs
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_point_into_the_blob() {
        let blob = b"vfs_read\0vfs_write\0";
        let all = SymTable::all(blob).unwrap();
        let base = blob.as_ptr() as u64;
        assert_eq!(all.addrs(), [base, base + 9]);
        assert_eq!(SymTable::new(blob, [9]).unwrap().addrs(), [base + 9]);
        assert!(SymTable::all(b"").unwrap().is_empty());
    }

    #[test]
    fn what_would_be_read_past_the_end_is_refused() {
        assert!(SymTable::all(b"vfs_read").is_err());
        assert!(SymTable::new(b"a\0", [2]).is_err());
        assert!(SymTable::new(b"", [0]).is_err());
    }
}

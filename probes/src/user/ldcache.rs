//! `/etc/ld.so.cache`: which file the dynamic loader takes for a library name (ldconfig(8)).
//!
//! The layout is that of glibc's `dl-cache.h`: an optional old table (`ld.so-1.7.0`), then the table
//! `glibc-ld.so.cache1.1` of 24-byte entries sorted by name, a string area, and an extension directory
//! that names the glibc-hwcaps folders.

use std::ops::Range;

const OLD_MAGIC: &[u8] = b"ld.so-1.7.0";
const MAGIC: &[u8] = b"glibc-ld.so.cache1.1";
const HEADER: usize = 48;
const ENTRY: usize = 24;
/// Bit of an entry's hwcap word that makes its low half an index of a glibc-hwcaps folder.
const HWCAP_EXTENSION: u64 = 1 << 62;
const EXTENSION_MAGIC: u32 = 0xeaa4_2174;

/// A loader cache, borrowed from its bytes.
#[derive(Debug, Clone)]
pub struct LdCache<'data> {
    data: &'data [u8],
    big: bool,
    entries: Range<usize>,
    hwcaps: Vec<&'data str>,
}

/// One library of the cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LdEntry<'data> {
    /// Its soname, such as `libc.so.6`.
    pub name: &'data str,
    /// The file, as the file system had it when ldconfig ran.
    pub path: &'data str,
    /// The glibc-hwcaps folder it is in (`x86-64-v3`): only for processors that have all of that.
    pub hwcap: Option<&'data str>,
}

impl<'data> LdCache<'data> {
    /// Reads the header. `Err` says what is wrong, with an offset.
    pub fn parse(file: &'data [u8]) -> Result<LdCache<'data>, String> {
        let mut data = file;
        if file.starts_with(OLD_MAGIC) {
            // 12 bytes of magic, a count, entries of 12 bytes; the new table follows, aligned to 8.
            let count = file.get(12..16).and_then(|b| b.try_into().ok()).map_or(0, u32::from_ne_bytes);
            let at = (count as usize).saturating_mul(12).saturating_add(16 + 7) & !7;
            data = file
                .get(at..)
                .ok_or_else(|| format!("{count} old entries do not fit into {} bytes", file.len()))?;
        }
        if !data.starts_with(MAGIC) {
            return Err("it has no `glibc-ld.so.cache1.1` table".into());
        }
        if data.len() < HEADER {
            return Err(format!("the header ends after {} of {HEADER} bytes", data.len()));
        }
        // Flags: 2 little-endian, 3 big-endian, 0 written by an ldconfig that did not say.
        let big = match data[28] & 3 {
            2 => false,
            3 => true,
            0 => cfg!(target_endian = "big"),
            other => return Err(format!("byte order {other} at offset 0x1c is unknown")),
        };
        let mut cache = LdCache { data, big, entries: 0..0, hwcaps: Vec::new() };
        let count = cache.u32(20).unwrap_or(0) as usize;
        let end =
            count.checked_mul(ENTRY).and_then(|n| n.checked_add(HEADER)).filter(|end| *end <= data.len());
        let end = end.ok_or_else(|| format!("{count} entries do not fit into {} bytes", data.len()))?;
        cache.entries = HEADER..end;
        cache.hwcaps =
            cache.u32(32).filter(|at| *at != 0).and_then(|at| cache.hwcap_names(at)).unwrap_or_default();
        Ok(cache)
    }

    /// The entries, in the file's order (names fall); broken ones are left out.
    pub fn entries(&self) -> impl Iterator<Item = LdEntry<'data>> + '_ {
        self.entries.clone().step_by(ENTRY).filter_map(|at| {
            let (name, path) = (self.text(self.u32(at + 4)?)?, self.text(self.u32(at + 8)?)?);
            let hwcap = u64::from(self.u32(at + 16)?) | u64::from(self.u32(at + 20)?) << 32;
            let hwcap = if self.big { hwcap.rotate_left(32) } else { hwcap };
            let folder = match hwcap {
                0 => None,
                h if h & HWCAP_EXTENSION != 0 => {
                    Some(self.hwcaps.get(h as u32 as usize).copied().unwrap_or("?"))
                }
                // Hardware capabilities of before glibc 2.33, which today's loader ignores.
                _ => Some("legacy"),
            };
            Some(LdEntry { name, path, hwcap: folder })
        })
    }

    /// The directory: magic, count, then sections of tag, flags, offset, size; tag 1 lists string offsets.
    fn hwcap_names(&self, at: u32) -> Option<Vec<&'data str>> {
        let at = at as usize;
        if self.u32(at)? != EXTENSION_MAGIC {
            return None;
        }
        let count = self.u32(at.checked_add(4)?)? as usize;
        let sections = (0..count).map_while(|i| {
            let s = at.checked_add(8)?.checked_add(i.checked_mul(16)?)?;
            Some((self.u32(s)?, self.u32(s + 8)? as usize, self.u32(s + 12)? as usize))
        });
        let (_, offset, size) = { sections }.find(|s| s.0 == 1)?;
        (0..size / 4).map(|i| self.text(self.u32(offset.checked_add(i * 4)?)?)).collect()
    }

    fn u32(&self, at: usize) -> Option<u32> {
        let raw = self.data.get(at..at.checked_add(4)?)?.try_into().ok()?;
        Some(if self.big { u32::from_be_bytes(raw) } else { u32::from_le_bytes(raw) })
    }

    fn text(&self, at: u32) -> Option<&'data str> {
        let tail = self.data.get(at as usize..)?;
        // No path is longer; the bound keeps a broken file from costing quadratic time.
        let end = tail.iter().take(4097).position(|b| *b == 0)?;
        std::str::from_utf8(&tail[..end]).ok()
    }
}

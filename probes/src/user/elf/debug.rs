//! Build-ids, debug links and the separate debug files they lead to.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use super::{Elf, PT_NOTE, SHT_NOBITS};
use crate::user::error::{Hex, Result};
use crate::user::process::Root;

const NT_GNU_BUILD_ID: u32 = 3;
const SHT_NOTE: u32 = 7;
/// Notes larger than this hold something else than a build-id.
const MAX_NOTE: u64 = 1 << 20;

/// The content of a `.gnu_debuglink` section.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DebugLink {
    /// File name, without a folder.
    pub name: String,
    /// CRC-32 (as in zlib) of that file.
    pub crc: u32,
}

impl Elf {
    /// The build-id note, if there is one (`NT_GNU_BUILD_ID`).
    ///
    /// # Errors
    /// `Damaged` when a note lies outside the file.
    pub fn build_id(&self) -> Result<Option<Vec<u8>>> {
        let segments = self.segments().iter().filter(|s| s.kind == PT_NOTE).map(|s| (s.offset, s.file_size));
        let sections = self.sections().iter().filter(|s| s.kind == SHT_NOTE).map(|s| (s.offset, s.size));
        // A debug file's segments point to bytes it does not have; its sections are right. So sections first.
        let mut trouble = None;
        for (offset, size) in sections.chain(segments) {
            if size > MAX_NOTE {
                continue;
            }
            match self.bytes(offset, size, "notes") {
                Ok(notes) => {
                    if let Some(id) = self.build_id_in(&notes) {
                        return Ok(Some(id.to_vec()));
                    }
                }
                Err(e) => trouble = Some(e),
            }
        }
        trouble.map_or(Ok(None), Err)
    }

    fn build_id_in<'n>(&self, mut notes: &'n [u8]) -> Option<&'n [u8]> {
        loop {
            let (name, desc, kind) = (self.u32(notes.get(..12)?, 0), self.u32(notes, 4), self.u32(notes, 8));
            let pad = |n: u32| (n as usize).checked_next_multiple_of(4);
            let desc_at = 12usize.checked_add(pad(name)?)?;
            let next = desc_at.checked_add(pad(desc)?)?;
            if kind == NT_GNU_BUILD_ID && notes.get(12..16) == Some(b"GNU\0") && name == 4 && desc > 1 {
                return notes.get(desc_at..desc_at.checked_add(desc as usize)?);
            }
            notes = notes.get(next..)?;
        }
    }

    /// The debug link, if there is one.
    ///
    /// # Errors
    /// `Damaged` when the section lies outside the file or is cut short.
    pub fn debug_link(&self) -> Result<Option<DebugLink>> {
        let Some((_, section)) = self.section_by_name(".gnu_debuglink").filter(|(_, s)| s.kind != SHT_NOBITS)
        else {
            return Ok(None);
        };
        let raw = self.bytes(section.offset, section.size, ".gnu_debuglink")?;
        let name = raw.split(|b| *b == 0).next().unwrap_or_default();
        let crc_at = (name.len() + 1).next_multiple_of(4);
        let place = || format!(".gnu_debuglink, offset {:#x}", section.offset);
        if name.is_empty() || raw.len() < crc_at + 4 {
            return Err(self.damaged(&place(), "it holds no file name and checksum".into()));
        }
        let name = String::from_utf8_lossy(name).into_owned();
        if name.contains('/') || name == ".." || name == "." {
            return Err(self.damaged(&place(), format!("`{name}` is not a plain file name")));
        }
        Ok(Some(DebugLink { name, crc: self.u32(&raw, crc_at) }))
    }

    /// Whether it has compressed symbols in `.gnu_debugdata` (MiniDebugInfo), which are not read.
    pub fn has_minidebug(&self) -> bool {
        self.section_by_name(".gnu_debugdata").is_some()
    }

    /// Opens the separate debug file of this one: by build-id below `/usr/lib/debug/.build-id`, then by
    /// debug link beside the file, in `.debug/` and below `/usr/lib/debug`. A candidate counts only if its
    /// build-id or checksum agrees; whatever is wrong with one is no error of the file itself.
    ///
    /// `inside` is the file's path as processes below `root` see it.
    pub fn debug_file(&self, root: &Root, inside: &Path) -> Option<Elf> {
        let id = self.build_id().ok().flatten();
        if let Some(id) = id.as_deref().filter(|id| id.len() > 1) {
            let path = format!("/usr/lib/debug/.build-id/{}/{}.debug", Hex(&id[..1]), Hex(&id[1..]));
            let found = root.resolve(Path::new(&path)).and_then(|p| Elf::open(p).ok());
            if let Some(debug) = found.filter(|d| d.build_id().ok().flatten().as_deref() == Some(id)) {
                return Some(debug);
            }
        }
        let link = self.debug_link().ok().flatten()?;
        let inside = root.resolve_inside(inside).unwrap_or_else(|| inside.to_path_buf());
        let dir = inside.parent()?;
        let below = Path::new("/usr/lib/debug").join(dir.strip_prefix("/").unwrap_or(dir));
        let candidates: [PathBuf; 3] =
            [dir.join(&link.name), dir.join(".debug").join(&link.name), below.join(&link.name)];
        candidates.iter().filter(|c| **c != inside).find_map(|candidate| {
            let path = root.resolve(candidate)?;
            let debug = Elf::open(&path).ok()?;
            (debug.machine() == self.machine() && file_crc(&path).ok()? == link.crc).then_some(debug)
        })
    }
}

fn file_crc(path: &Path) -> std::io::Result<u32> {
    let mut file = File::open(path)?;
    let mut buf = vec![0; 64 << 10];
    let mut crc = Crc32::default();
    loop {
        match file.read(&mut buf)? {
            0 => return Ok(crc.finish()),
            n => crc.update(&buf[..n]),
        }
    }
}

/// CRC-32 with the reflected polynomial 0xedb88320, as GDB's manual defines it for debug links.
pub(crate) struct Crc32(u32);

impl Default for Crc32 {
    fn default() -> Self {
        Crc32(u32::MAX)
    }
}

const CRC_TABLE: [u32; 256] = {
    let mut table = [0u32; 256];
    let mut i = 0;
    while i < 256 {
        let mut c = i as u32;
        let mut bit = 0;
        while bit < 8 {
            c = if c & 1 == 1 { 0xedb8_8320 ^ (c >> 1) } else { c >> 1 };
            bit += 1;
        }
        table[i] = c;
        i += 1;
    }
    table
};

impl Crc32 {
    pub(crate) fn update(&mut self, bytes: &[u8]) {
        self.0 = bytes.iter().fold(self.0, |c, b| CRC_TABLE[usize::from((c as u8) ^ b)] ^ (c >> 8));
    }
    pub(crate) fn finish(&self) -> u32 {
        !self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn crc_check_value() {
        let mut crc = Crc32::default();
        crc.update(b"12345");
        crc.update(b"6789");
        assert_eq!(crc.finish(), 0xcbf4_3926);
    }
}

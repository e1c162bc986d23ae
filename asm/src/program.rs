//! A finished program: words, and what is still to be filled in when it is loaded.

use crate::{BuildError, Insn};

/// A map by its place in the caller's list of maps; file descriptors come in at load time.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct MapRef(pub u32);

/// One place in a program that needs a map's file descriptor.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct MapUse {
    /// Index of the first word of the 64-bit immediate load.
    pub insn: usize,
    /// Which map.
    pub map: MapRef,
}

/// A place in the text a program was made from.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub struct SourceLine {
    /// Name of the file; may be empty.
    pub file: String,
    /// Line, from 1.
    pub line: u32,
    /// Column, from 1; 0 when unknown.
    pub column: u32,
    /// The text of the line; may be empty.
    pub text: String,
}

/// From this instruction word on (up to the next record) the program comes from this source line.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct LineRecord {
    /// Index of the first instruction word.
    pub insn: usize,
    /// Where it comes from.
    pub source: SourceLine,
}

/// A finished program.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Program {
    /// The instruction words; map loads still hold the map's index instead of a descriptor.
    pub insns: Vec<Insn>,
    /// Where maps are needed, in the order of the instructions.
    pub map_refs: Vec<MapUse>,
    /// Source lines, in the order of the instructions.
    pub lines: Vec<LineRecord>,
}

impl Program {
    /// The words as the kernel of this machine wants them, with `fds[n]` put in for [`MapRef`]`(n)`.
    ///
    /// # Errors
    ///
    /// [`BuildError::NoSuchMap`] or [`BuildError::BadMapFd`] when the list does not serve every reference.
    pub fn resolve_maps(&self, fds: &[i32]) -> Result<Vec<u64>, BuildError> {
        let mut words: Vec<u64> = self.insns.iter().map(|insn| insn.to_u64()).collect();
        for &MapUse { insn, map } in &self.map_refs {
            let fd = *fds.get(map.0 as usize).ok_or(BuildError::NoSuchMap {
                insn,
                map: map.0,
                given: fds.len(),
            })?;
            if fd < 0 {
                return Err(BuildError::BadMapFd { insn, map: map.0, fd });
            }
            if let (Some(word), Some(raw)) = (words.get_mut(insn), self.insns.get(insn)) {
                *word = Insn { imm: fd, ..*raw }.to_u64();
            }
        }
        Ok(words)
    }

    /// The words of a program that uses no maps, or whose maps are resolved.
    pub fn words(&self) -> Vec<u64> {
        self.insns.iter().map(|insn| insn.to_u64()).collect()
    }

    /// The source line of an instruction word, where one was recorded.
    pub fn source_of(&self, insn: usize) -> Option<&SourceLine> {
        let next = self.lines.partition_point(|record| record.insn <= insn);
        Some(&self.lines.get(next.checked_sub(1)?)?.source)
    }
}

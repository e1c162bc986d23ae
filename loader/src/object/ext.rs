//! What BTF.ext notes about instructions, by section.

use super::elf::Elf;
use super::types::Types;
use crate::{Error, Result};
use btf::ext::{CoreRelo, FuncInfo, LineInfo};

/// Records for the instructions of one section, by rising instruction.
#[derive(Debug, Default)]
pub struct Notes {
    funcs: Vec<FuncInfo>,
    lines: Vec<LineInfo>,
    core: Vec<CoreRelo>,
}

/// Bytes of an instruction.
const INSN: u32 = 8;

impl Notes {
    /// The records of all sections; the index is the section's.
    pub fn collect(elf: &Elf<'_>, types: Option<&Types<'_>>) -> Result<Vec<Notes>> {
        let mut notes: Vec<Notes> = Vec::new();
        notes.resize_with(elf.sections.len(), Notes::default);
        let Some(ext) = types.and_then(|types| types.ext.as_ref()) else {
            return Ok(notes);
        };
        for section in ext.func_info() {
            if let Some(notes) = place(&mut notes, elf, section.name) {
                notes.funcs.extend(section.records);
            }
        }
        for section in ext.line_info() {
            if let Some(notes) = place(&mut notes, elf, section.name) {
                notes.lines.extend(section.records);
            }
        }
        for section in ext.core_relos() {
            if let Some(notes) = place(&mut notes, elf, section.name) {
                notes.core.extend(section.records);
            }
        }
        for (index, notes) in notes.iter().enumerate() {
            let offsets = notes.funcs.iter().map(|record| record.insn_off);
            let offsets = offsets.chain(notes.lines.iter().map(|record| record.insn_off));
            let mut offsets = offsets.chain(notes.core.iter().map(|record| record.insn_off));
            if let Some(offset) = offsets.find(|offset| !offset.is_multiple_of(INSN)) {
                let what = format!(
                    "notes something about byte {offset:#x} of `{}`, where no instruction begins; compile it again",
                    elf.section_name(index)
                );
                return Err(Error::Section { section: ".BTF.ext".to_owned(), offset: 0, what });
            }
        }
        for notes in &mut notes {
            notes.funcs.sort_by_key(|record| record.insn_off);
            notes.lines.sort_by_key(|record| record.insn_off);
            notes.core.sort_by_key(|record| record.insn_off);
        }
        Ok(notes)
    }

    /// Functions that begin within `len` instructions from `start` on.
    pub fn funcs(&self, start: usize, len: usize) -> &[FuncInfo] {
        within(&self.funcs, start, len, |record| record.insn_off)
    }

    /// Lines that begin there.
    pub fn lines(&self, start: usize, len: usize) -> &[LineInfo] {
        within(&self.lines, start, len, |record| record.insn_off)
    }

    /// CO-RE relocations there.
    pub fn core(&self, start: usize, len: usize) -> &[CoreRelo] {
        within(&self.core, start, len, |record| record.insn_off)
    }
}

/// Where records of a section go; nowhere if somebody took the section out of the file.
fn place<'n>(notes: &'n mut [Notes], elf: &Elf<'_>, section: &str) -> Option<&'n mut Notes> {
    let (index, _) = elf.section(section)?;
    notes.get_mut(index)
}

fn within<R>(records: &[R], start: usize, len: usize, offset: impl Fn(&R) -> u32) -> &[R] {
    let insn = |record: &R| (offset(record) / INSN) as usize;
    let from = records.partition_point(|record| insn(record) < start);
    let to = records.partition_point(|record| insn(record) < start.saturating_add(len));
    records.get(from..to).unwrap_or_default()
}

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
        let index_of = |name: &str, mut offsets: &mut dyn Iterator<Item = u32>| {
            let (index, _) = elf.section(name).ok_or_else(|| Error::Section {
                section: ".BTF.ext".to_owned(),
                offset: 0,
                what: format!("notes something about section `{name}`, which is not there; compile it again"),
            })?;
            if let Some(offset) = Iterator::find(&mut offsets, |offset| !offset.is_multiple_of(INSN)) {
                let what = format!(
                    "notes something about byte {offset:#x} of `{name}`, where no instruction begins"
                );
                return Err(Error::Section { section: ".BTF.ext".to_owned(), offset: 0, what });
            }
            Ok(index)
        };
        for section in ext.func_info() {
            let index = index_of(section.name, &mut section.records.clone().map(|record| record.insn_off))?;
            if let Some(notes) = notes.get_mut(index) {
                notes.funcs.extend(section.records);
            }
        }
        for section in ext.line_info() {
            let index = index_of(section.name, &mut section.records.clone().map(|record| record.insn_off))?;
            if let Some(notes) = notes.get_mut(index) {
                notes.lines.extend(section.records);
            }
        }
        for section in ext.core_relos() {
            let index = index_of(section.name, &mut section.records.clone().map(|record| record.insn_off))?;
            if let Some(notes) = notes.get_mut(index) {
                notes.core.extend(section.records);
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

fn within<R>(records: &[R], start: usize, len: usize, offset: impl Fn(&R) -> u32) -> &[R] {
    let insn = |record: &R| (offset(record) / INSN) as usize;
    let from = records.partition_point(|record| insn(record) < start);
    let to = records.partition_point(|record| insn(record) < start.saturating_add(len));
    records.get(from..to).unwrap_or_default()
}

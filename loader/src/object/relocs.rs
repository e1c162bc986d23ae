//! Relocations of instructions: what each one means.

use super::elf::{
    Elf, R_BPF_64_32, R_BPF_64_64, R_BPF_64_ABS32, R_BPF_64_ABS64, R_BPF_64_NODYLD32, Rel, Symbol,
};
use super::externs::Externs;
use super::maps::Maps;
use super::programs::Func;
use crate::spec::RelocKind;
use crate::{Error, Result};
use asm::Insn;

/// `BPF_LD | BPF_IMM | BPF_DW`: a 64-bit immediate load, of two words.
pub const LD_IMM64: u8 = 0x18;
/// `BPF_JMP | BPF_CALL`.
pub const CALL: u8 = 0x85;
/// Source register of a call of a function of the object (`BPF_PSEUDO_CALL`).
pub const PSEUDO_CALL: u8 = 1;
/// Source register of a load of the address of a function of the object (`BPF_PSEUDO_FUNC`).
pub const PSEUDO_FUNC: u8 = 4;

/// What an instruction is to get.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// The function that begins at this instruction of this section.
    Func {
        /// Index of the section.
        section: usize,
        /// Index of the instruction.
        insn: usize,
    },
    /// Something that is known only when the object is loaded.
    Load(RelocKind),
}

/// Relocation entries for the instructions of a section.
#[derive(Debug)]
pub struct SectionRelocs {
    /// Entries by rising offset.
    entries: Vec<Rel>,
}

impl SectionRelocs {
    /// The entries for each section with instructions; the index is the section's.
    pub fn collect(elf: &Elf<'_>) -> Result<Vec<SectionRelocs>> {
        let mut list = Vec::with_capacity(elf.sections.len());
        for (section, content) in elf.sections.iter().enumerate() {
            let mut entries = Vec::new();
            if content.executable() {
                entries.extend_from_slice(elf.relocations.get(section).map_or(&[], Vec::as_slice));
            }
            if let Some(rel) = entries.iter().find(|rel| rel.offset % 8 != 0 || rel.offset >= content.size) {
                let what = format!(
                    "the relocation against `{}` is at no instruction; the file is damaged, compile it again",
                    elf.symbol(section, rel)?.label()
                );
                return Err(Error::Section { section: content.name.to_owned(), offset: rel.offset, what });
            }
            entries.sort_by_key(|rel| rel.offset);
            list.push(SectionRelocs { entries });
        }
        Ok(list)
    }

    /// The entry for an instruction.
    pub fn at(&self, insn: usize) -> Option<&Rel> {
        let offset = insn as u64 * 8;
        let index = self.entries.binary_search_by_key(&offset, |rel| rel.offset).ok()?;
        self.entries.get(index)
    }

    /// The entries from one instruction on to another.
    pub fn within(&self, start: usize, len: usize) -> &[Rel] {
        let from = self.entries.partition_point(|rel| rel.offset < start as u64 * 8);
        let to = self.entries.partition_point(|rel| rel.offset < (start + len) as u64 * 8);
        self.entries.get(from..to).unwrap_or_default()
    }
}

/// What relocations are resolved against.
pub struct Resolver<'a, 'd> {
    /// The file.
    pub elf: &'a Elf<'d>,
    /// Its maps.
    pub maps: &'a Maps,
    /// What it leaves to others.
    pub externs: &'a Externs,
}

impl Resolver<'_, '_> {
    /// What the relocation entry at an instruction of a function means.
    pub fn resolve(&self, func: &Func<'_>, rel: &Rel, insn: Insn, second: Option<Insn>) -> Result<Target> {
        let symbol = self.elf.symbol(func.section, rel)?;
        let section = self.elf.section_name(func.section);
        let bad = |what: String| {
            Err(Error::Section {
                section: section.to_owned(),
                offset: rel.offset,
                what: format!("in `{}`, the relocation against `{}` {what}", func.name, symbol.label()),
            })
        };
        if !matches!(
            rel.kind,
            R_BPF_64_64 | R_BPF_64_32 | R_BPF_64_ABS64 | R_BPF_64_ABS32 | R_BPF_64_NODYLD32
        ) {
            return bad(format!("is of type {}, which is unknown; a newer loader is needed", rel.kind));
        }
        let call = insn.opcode == CALL;
        if !call && insn.opcode != LD_IMM64 {
            return bad(format!(
                "is at an instruction (opcode {:#04x}) that is neither a call nor a 64-bit load; compile it again",
                insn.opcode
            ));
        }
        if !call && second.is_none_or(|second| second.opcode != 0) {
            return bad(
                "is at a 64-bit load without its second half; the file is damaged, compile it again".into()
            );
        }
        if symbol.is_extern() {
            return match self.externs.by_symbol(rel.symbol) {
                Some(index) => Ok(Target::Load(RelocKind::Extern(index))),
                None => bad("names nothing; the file is damaged, compile it again".to_owned()),
            };
        }
        let Some(target) = self.elf.section_at(symbol.section) else {
            return bad(
                "names no section of the file; define the variable or function, or give the variable a value"
                    .into(),
            );
        };
        if call {
            if !target.executable() || insn.src().number() != PSEUDO_CALL {
                return bad("calls something that is no function of the object".to_owned());
            }
            return self.function(func, rel, symbol, i64::from(insn.imm) + 1, true);
        }
        if target.executable() && (symbol.is_function() || symbol.is_section()) {
            if insn.imm % 8 != 0 {
                return bad(format!("is {} bytes behind, where no instruction begins", insn.imm));
            }
            return self.function(func, rel, symbol, i64::from(insn.imm / 8), false);
        }
        if let Some(map) = self.maps.by_place.get(&(symbol.section, symbol.value)) {
            return Ok(Target::Load(RelocKind::Map(*map)));
        }
        if let Some(map) = self.maps.by_section.get(&symbol.section) {
            // The address of a byte behind the symbol's is added in the instruction.
            let offset = u32::try_from(symbol.value).ok().map(|value| value.wrapping_add(insn.imm as u32));
            return match offset {
                Some(offset) => Ok(Target::Load(RelocKind::MapValue { map: *map, offset })),
                None => bad("lies more than 4 GiB into its section".to_owned()),
            };
        }
        if target.name == ".jumptables" {
            return bad(
                "is a jump table, which this loader cannot load; compile with `-fno-jump-tables`".into()
            );
        }
        bad(format!(
            "names something in section `{}`, which holds neither maps nor variables; put variables into `.data.*`, \
             `.rodata.*` or `.bss.*`",
            target.name
        ))
    }

    fn function(
        &self,
        func: &Func<'_>,
        rel: &Rel,
        symbol: &Symbol<'_>,
        distance: i64,
        call: bool,
    ) -> Result<Target> {
        let start = i64::try_from(symbol.value / 8).ok().filter(|_| symbol.value.is_multiple_of(8));
        let insn = start.and_then(|start| usize::try_from(start.checked_add(distance)?).ok());
        match insn {
            Some(insn) => Ok(Target::Func { section: symbol.section, insn }),
            None => Err(Error::Section {
                section: self.elf.section_name(func.section).to_owned(),
                offset: rel.offset,
                what: format!(
                    "in `{}`, {} `{}`{distance:+} instructions goes where none is; compile it again",
                    func.name,
                    if call { "the call of" } else { "the address of" },
                    symbol.label()
                ),
            }),
        }
    }
}

//! Functions: which ones there are, and which of them are programs.

use super::elf::{Elf, Section};
use crate::{Error, Result};
use asm::Insn;
use btf::Endian;

/// A function.
#[derive(Clone, Copy, Debug)]
pub struct Func<'d> {
    /// Name.
    pub name: &'d str,
    /// Index of its section.
    pub section: usize,
    /// Index of its first instruction in the section.
    pub start: usize,
    /// Instruction words.
    pub len: usize,
    /// Whether other objects cannot see it though it is not static.
    pub hidden: bool,
    /// Its instructions.
    pub bytes: &'d [u8],
}

impl Func<'_> {
    /// The instruction words.
    pub fn insns(&self, endian: Endian) -> impl Iterator<Item = Insn> + '_ {
        self.bytes.as_chunks::<8>().0.iter().map(move |bytes| match endian {
            Endian::Little => Insn::from_bytes_le(*bytes),
            Endian::Big => Insn::from_bytes_be(*bytes),
        })
    }
}

/// All functions of an object.
#[derive(Debug)]
pub struct Functions<'d> {
    /// Functions by section and place in it.
    pub list: Vec<Func<'d>>,
    /// Index of `.text`; 0 where there is none.
    text: usize,
}

const INSN: u64 = 8;

impl<'d> Functions<'d> {
    /// Finds the functions of all sections with instructions.
    pub fn find(elf: &Elf<'d>) -> Result<Functions<'d>> {
        // Of several sections of that name the last one counts; only `.text` without flags is something else.
        let text = elf.sections.iter().rposition(|section| section.name == ".text" && section.executable());
        let text = text.unwrap_or(0);
        let mut list = Vec::new();
        for symbol in elf.symbols.iter().filter(|symbol| symbol.is_function()) {
            let Some(section) = elf.section_at(symbol.section).filter(|section| section.executable()) else {
                continue;
            };
            let (start, end) = place(section, symbol.value, symbol.size, symbol.label())?;
            if symbol.section != text && symbol.is_local() {
                let what = format!(
                    "the program `{}` is static, so that nobody can name it; take the `static` away",
                    symbol.label()
                );
                return Err(Error::Section { section: section.name.to_owned(), offset: symbol.value, what });
            }
            list.push(Func {
                name: symbol.name,
                section: symbol.section,
                start: start / INSN as usize,
                len: (end - start) / INSN as usize,
                hidden: symbol.hidden && !symbol.is_local(),
                bytes: section.data.get(start..end).unwrap_or_default(),
            });
        }
        list.sort_by_key(|func| (func.section, func.start));
        Ok(Functions { list, text })
    }

    /// Whether a function is only there to be called.
    ///
    /// An object with a single function in `.text` and none elsewhere has a program without a section of its own.
    pub fn is_subprogram(&self, func: &Func<'_>) -> bool {
        func.section == self.text && self.list.len() > 1
    }

    /// The programs: their indexes in the list, in the file's order.
    pub fn programs(&self) -> impl Iterator<Item = (usize, &Func<'d>)> {
        self.list.iter().enumerate().filter(|(_, func)| !self.is_subprogram(func))
    }

    /// The function that begins at an instruction of a section.
    pub fn starting_at(&self, section: usize, insn: usize) -> Option<usize> {
        self.list.binary_search_by_key(&(section, insn), |func| (func.section, func.start)).ok()
    }

    /// Index of the program that begins at an instruction of a section, among the programs.
    pub fn program_at(&self, section: usize, insn: usize) -> Option<usize> {
        let index = self.starting_at(section, insn)?;
        if self.is_subprogram(self.list.get(index)?) {
            return None;
        }
        // Subprograms are all of one section, so that they stand together.
        let first = self.list.partition_point(|func| func.section < self.text);
        let behind = self.list.partition_point(|func| func.section <= self.text);
        let called = if self.list.len() > 1 { behind - first } else { 0 };
        Some(if index < first { index } else { index - called })
    }
}

/// Where a function begins and ends in its section, in bytes.
fn place(section: &Section<'_>, value: u64, size: u64, name: &str) -> Result<(usize, usize)> {
    let bad = |what: String| Error::Section { section: section.name.to_owned(), offset: value, what };
    if size == 0 || !size.is_multiple_of(INSN) || !value.is_multiple_of(INSN) {
        return Err(bad(format!(
            "the function `{name}` has {size} bytes, which are no instructions of {INSN} bytes each; assembler code \
             needs `.size {name}, .-{name}`"
        )));
    }
    let end = value.checked_add(size).filter(|end| *end <= section.data.len() as u64).ok_or_else(|| {
        bad(format!(
            "the function `{name}` of {size} bytes goes past the section's {}; the file is damaged, compile it again",
            section.data.len()
        ))
    })?;
    // Both lie in a slice, so that they fit.
    Ok((value as usize, end as usize))
}

//! Symbol tables, their names and their versions.

use std::ops::ControlFlow;

use super::{Elf, SHT_NOBITS};
use crate::user::error::Result;

const SHT_SYMTAB: u32 = 2;
const SHT_DYNSYM: u32 = 11;
const SHT_GNU_VERDEF: u32 = 0x6fff_fffd;
const SHT_GNU_VERSYM: u32 = 0x6fff_ffff;
const STT_FUNC: u8 = 2;
const STT_GNU_IFUNC: u8 = 10;
const SHN_UNDEF: u16 = 0;
const SHN_LORESERVE: u16 = 0xff00;
const SHN_XINDEX: u16 = 0xffff;
/// Symbols are read in pieces of about this many bytes.
const CHUNK: usize = 32 << 10;

/// Which of the two symbol tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TableKind {
    /// `.symtab`: everything the linker knew; `strip` removes it.
    Static,
    /// `.dynsym`: what is exported and imported at run time; always there in a dynamic file.
    Dynamic,
}

/// A symbol table of an ELF file: where it and its names lie.
#[derive(Debug, Clone, Copy)]
pub struct SymbolSource {
    /// Static or dynamic.
    pub kind: TableKind,
    /// Number of entries, the empty first one included.
    pub count: u64,
    section: usize,
    offset: u64,
    names_offset: u64,
    names_size: u64,
}

/// A symbol as it stands in the table.
#[derive(Debug, Clone, Copy)]
pub struct RawSymbol {
    /// Offset of its name in the table's string section.
    pub name: u32,
    /// Virtual address.
    pub value: u64,
    /// Size in bytes; 0 where the assembler was not told.
    pub size: u64,
    info: u8,
    section: u16,
}

/// How widely a symbol is known (`STB_*`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Binding {
    Global,
    Weak,
    Local,
}

impl RawSymbol {
    /// A function or indirect function that is defined in this file.
    pub fn is_function(&self) -> bool {
        self.is_function_type()
            && self.section != SHN_UNDEF
            && (self.section < SHN_LORESERVE || self.section == SHN_XINDEX)
    }
    /// A function that some other file has to define.
    pub fn is_import(&self) -> bool {
        self.section == SHN_UNDEF && self.name != 0
    }
    /// A variable (`STT_OBJECT`, `STT_TLS`, `STT_COMMON`) that is defined in this file.
    pub fn is_variable(&self) -> bool {
        const TYPES: [u8; 3] = [1, 5, 6];
        TYPES.contains(&(self.info & 0xf)) && self.section != SHN_UNDEF
    }
    fn is_function_type(&self) -> bool {
        matches!(self.info & 0xf, STT_FUNC | STT_GNU_IFUNC)
    }
    /// `STT_GNU_IFUNC`: its address is that of a resolver.
    pub fn is_indirect(&self) -> bool {
        self.info & 0xf == STT_GNU_IFUNC
    }
    pub(crate) fn binding(&self) -> Binding {
        match self.info >> 4 {
            0 => Binding::Local,
            2 => Binding::Weak,
            _ => Binding::Global,
        }
    }
}

impl Elf {
    /// The symbol table of that kind, if the file has one.
    ///
    /// # Errors
    /// `Damaged` when its header contradicts itself or lies outside the file.
    pub fn symbol_source(&self, kind: TableKind) -> Result<Option<SymbolSource>> {
        let wanted = match kind {
            TableKind::Static => SHT_SYMTAB,
            TableKind::Dynamic => SHT_DYNSYM,
        };
        let Some((index, section)) = self.sections().iter().enumerate().find(|(_, s)| s.kind == wanted)
        else {
            return Ok(None);
        };
        let place = format!("{}, offset {:#x}", self.section_name(index), section.offset);
        if section.size == 0 {
            return Ok(None);
        }
        let entry = self.symbol_size();
        if section.entry_size != entry {
            return Err(self.damaged(&place, format!("symbols of {} bytes, not {entry}", section.entry_size)));
        }
        if section.offset.checked_add(section.size).is_none_or(|end| end > self.file_size()) {
            let what =
                format!("{:#x} bytes do not fit into a file of {:#x} bytes", section.size, self.file_size());
            return Err(self.damaged(&place, what));
        }
        let Some(names) = self.sections().get(section.link as usize).filter(|s| s.kind != SHT_NOBITS) else {
            return Err(
                self.damaged(&place, format!("its names are in section {}, which has none", section.link))
            );
        };
        if names.offset.checked_add(names.size).is_none_or(|end| end > self.file_size()) {
            let place = format!("{}, offset {:#x}", self.section_name(section.link as usize), names.offset);
            let what =
                format!("{:#x} bytes do not fit into a file of {:#x} bytes", names.size, self.file_size());
            return Err(self.damaged(&place, what));
        }
        Ok(Some(SymbolSource {
            kind,
            count: section.size / entry,
            section: index,
            offset: section.offset,
            names_offset: names.offset,
            names_size: names.size,
        }))
    }

    fn symbol_size(&self) -> u64 {
        if self.is64 { 24 } else { 16 }
    }

    /// Calls `each` with the index and content of every symbol, until it breaks.
    ///
    /// # Errors
    /// `Damaged` or `Io` when the table cannot be read, and what `each` returns.
    pub fn each_symbol(
        &self,
        source: &SymbolSource,
        mut each: impl FnMut(u64, RawSymbol) -> Result<ControlFlow<()>>,
    ) -> Result<()> {
        let entry = self.symbol_size() as usize;
        let per_chunk = CHUNK / entry;
        let mut buf = vec![0; per_chunk.min(source.count as usize) * entry];
        let mut index = 0;
        while index < source.count {
            let n = (source.count - index).min(per_chunk as u64) as usize;
            let buf = &mut buf[..n * entry];
            self.read_into(source.offset + index * entry as u64, buf, &self.section_name(source.section))?;
            for raw in buf.chunks_exact(entry) {
                let symbol = self.symbol(raw);
                if each(index, symbol)?.is_break() {
                    return Ok(());
                }
                index += 1;
            }
        }
        Ok(())
    }

    fn symbol(&self, b: &[u8]) -> RawSymbol {
        let mut symbol = if self.is64 {
            RawSymbol {
                name: self.u32(b, 0),
                info: b[4],
                section: self.u16(b, 6),
                value: self.u64(b, 8),
                size: self.u64(b, 16),
            }
        } else {
            RawSymbol {
                name: self.u32(b, 0),
                value: self.u32(b, 4).into(),
                size: self.u32(b, 8).into(),
                info: b[12],
                section: self.u16(b, 14),
            }
        };
        if symbol.is_function_type() {
            symbol.value = self.code_address(symbol.value);
        }
        symbol
    }

    /// A reader of the names of that table.
    pub(crate) fn names(&self, source: &SymbolSource) -> Names {
        Names { offset: source.names_offset, size: source.names_size, windows: Vec::new(), clock: 0 }
    }

    /// The offsets in the string section at which `needle` stands, in rising order; with a NUL at its end, these
    /// are all that a symbol of that name can refer to. Linkers let a name share the tail of a longer one, so
    /// any tail counts.
    pub(super) fn name_offsets(&self, source: &SymbolSource, needle: &[u8]) -> Result<Vec<u32>> {
        let mut found = Vec::new();
        let mut buf = vec![0; (CHUNK + needle.len()).min(source.names_size as usize)];
        let mut at = 0;
        while at + needle.len() as u64 <= source.names_size {
            let n = (source.names_size - at).min(buf.len() as u64) as usize;
            self.read_into(source.names_offset + at, &mut buf[..n], "symbol names")?;
            let hay = &buf[..n];
            let mut from = 0;
            while let Some(hit) = find(&hay[from..], needle) {
                found.extend(u32::try_from(at + (from + hit) as u64));
                from += hit + 1;
            }
            // The next piece starts where a name cut by this one's end could begin.
            at += (n + 1 - needle.len()) as u64;
        }
        Ok(found)
    }

    /// The versions of the dynamic symbols; empty when the file has none.
    pub(crate) fn versions(&self) -> Result<Versions> {
        let mut versions = Versions::default();
        let find = |kind| self.sections().iter().enumerate().find(|(_, s)| s.kind == kind);
        let (Some((i, table)), Some((j, defs))) = (find(SHT_GNU_VERSYM), find(SHT_GNU_VERDEF)) else {
            return Ok(versions);
        };
        if table.kind == SHT_NOBITS || defs.kind == SHT_NOBITS {
            return Ok(versions);
        }
        let raw = self.bytes(table.offset, table.size, &self.section_name(i))?;
        versions.of_symbol = raw.chunks_exact(2).map(|b| self.u16(b, 0)).collect();
        let place = format!("{}, offset {:#x}", self.section_name(j), defs.offset);
        let raw = self.bytes(defs.offset, defs.size, &self.section_name(j))?;
        let Some(strings) = self.sections().get(defs.link as usize).filter(|s| s.kind != SHT_NOBITS) else {
            return Err(
                self.damaged(&place, format!("its names are in section {}, which has none", defs.link))
            );
        };
        let mut names = Names { offset: strings.offset, size: strings.size, windows: Vec::new(), clock: 0 };
        // Elf_Verdef: version, flags, index, count (16 bit each), hash, aux, next; Elf_Verdaux: name, next.
        let mut at = 0usize;
        loop {
            let Some(def) = raw.get(at..at.saturating_add(20)) else {
                return Err(
                    self.damaged(&place, format!("version definition at {at:#x} lies outside the section"))
                );
            };
            let (index, aux, next) =
                (self.u16(def, 4), self.u32(def, 12) as usize, self.u32(def, 16) as usize);
            let Some(aux) = at.checked_add(aux).and_then(|a| raw.get(a..a.checked_add(8)?)) else {
                return Err(
                    self.damaged(&place, format!("the name of version {index} lies outside the section"))
                );
            };
            let name = names.get(self, self.u32(aux, 0))?;
            versions.names.push((index & 0x7fff, String::from_utf8_lossy(name).into()));
            if next == 0 {
                return Ok(versions);
            }
            // Only forward: a chain that turns back would never end.
            at = at.saturating_add(next);
        }
    }
}

/// First position of `needle` (never empty) in `hay`.
fn find(hay: &[u8], needle: &[u8]) -> Option<usize> {
    let (last, head) = needle.split_last()?;
    // The needle's last byte is a NUL or an `@`: rare, so step from one to the next.
    let mut from = head.len();
    loop {
        let at = from + hay.get(from..)?.iter().position(|b| b == last)?;
        if hay[..at].ends_with(head) {
            return Some(at - head.len());
        }
        from = at + 1;
    }
}

/// Version names of the dynamic symbols (`.gnu.version`, `.gnu.version_d`).
#[derive(Debug, Default)]
pub(crate) struct Versions {
    of_symbol: Vec<u16>,
    names: Vec<(u16, Box<str>)>,
}

impl Versions {
    /// The version of dynamic symbol `index`, and whether it is the default one.
    pub(crate) fn of(&self, index: u64) -> Option<(&str, bool)> {
        let raw = *self.of_symbol.get(usize::try_from(index).ok()?)?;
        // 0 is local, 1 is the file's base version: both are "no version".
        let wanted = raw & 0x7fff;
        let name = self.names.iter().find(|(i, _)| *i == wanted && wanted > 1)?;
        Some((&name.1, raw & 0x8000 == 0))
    }
}

/// Reads names out of a string section through a few windows, so that a table of many megabytes is never held.
pub(crate) struct Names {
    offset: u64,
    size: u64,
    windows: Vec<Window>,
    clock: u64,
}

struct Window {
    start: u64,
    used: u64,
    bytes: Vec<u8>,
}

const WINDOW: u64 = 64 << 10;
const WINDOWS: usize = 16;

impl Names {
    /// The bytes of the name at `name`, without its NUL.
    pub(crate) fn get(&mut self, elf: &Elf, name: u32) -> Result<&[u8]> {
        let at = u64::from(name);
        if at >= self.size {
            let what = format!("a name at {at:#x} lies outside the {:#x} bytes of names", self.size);
            return Err(elf.damaged(&format!("symbol names, offset {:#x}", self.offset), what));
        }
        self.clock += 1;
        let known = self.windows.iter().position(|w| {
            at.checked_sub(w.start)
                .and_then(|from| w.bytes.get(from as usize..))
                .is_some_and(|tail| tail.contains(&0))
        });
        let i = match known {
            Some(i) => i,
            None => {
                let aligned = at & !(WINDOW / 16 - 1);
                let mut window = self.load(elf, aligned)?;
                if !window.bytes[(at - aligned) as usize..].contains(&0) {
                    // A long name crosses the window's end: one that starts with it reaches further.
                    window = self.load(elf, at)?;
                    if !window.bytes.contains(&0) {
                        let what = format!("the name at {at:#x} has no end");
                        return Err(elf.damaged(&format!("symbol names, offset {:#x}", self.offset), what));
                    }
                }
                if self.windows.len() < WINDOWS {
                    self.windows.push(window);
                    self.windows.len() - 1
                } else {
                    let oldest = (0..WINDOWS).min_by_key(|i| self.windows[*i].used).unwrap_or(0);
                    self.windows[oldest] = window;
                    oldest
                }
            }
        };
        let window = &mut self.windows[i];
        window.used = self.clock;
        let tail = &window.bytes[(at - window.start) as usize..];
        Ok(tail.split(|b| *b == 0).next().unwrap_or(tail))
    }

    fn load(&self, elf: &Elf, start: u64) -> Result<Window> {
        let size = self.size.saturating_sub(start).min(WINDOW);
        let bytes = match self.offset.checked_add(start) {
            Some(offset) => elf.bytes(offset, size, "symbol names")?,
            None => return Err(elf.damaged("symbol names", "they lie outside the file".into())),
        };
        Ok(Window { start, used: 0, bytes })
    }
}

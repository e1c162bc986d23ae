//! The functions of one file, for looking up addresses.

use std::cell::RefCell;
use std::collections::HashMap;
use std::ops::ControlFlow;
use std::path::Path;

use super::demangle::demangle;
use crate::user::elf::{Elf, Names, SymbolSource, TableKind};
use crate::user::process::Root;
use crate::user::{Result, UserError};

/// Sorted function addresses of an ELF image, 16 bytes each; names stay in the file until they are asked for.
pub struct FileSymbols {
    elf: Elf,
    debug: Option<Elf>,
    entries: Vec<Entry>,
    source: Option<SymbolSource>,
    names: RefCell<Option<Names>>,
    known: RefCell<HashMap<u32, Option<std::rc::Rc<str>>>>,
    /// What kept symbols from being read, if anything.
    trouble: Option<UserError>,
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    addr: u64,
    size: u32,
    name: u32,
}

impl FileSymbols {
    /// Reads the symbol table: `.symtab`, or that of the debug file, or `.dynsym`.
    ///
    /// A damaged table is no error here: the file then has no names, and [`FileSymbols::trouble`] says why.
    pub fn new(elf: Elf, root: &Root, inside: &Path) -> FileSymbols {
        let mut table = FileSymbols {
            elf,
            debug: None,
            entries: Vec::new(),
            source: None,
            names: RefCell::default(),
            known: RefCell::default(),
            trouble: None,
        };
        if let Err(e) = table.load(root, inside) {
            table.entries = Vec::new();
            table.trouble = Some(e);
        }
        table
    }

    fn load(&mut self, root: &Root, inside: &Path) -> Result<()> {
        let mut source = self.elf.symbol_source(TableKind::Static)?;
        if source.is_none() {
            self.debug = self.elf.debug_file(root, inside);
            source = match &self.debug {
                Some(debug) => debug.symbol_source(TableKind::Static)?,
                None => None,
            };
            if source.is_none() {
                self.debug = None;
                source = self.elf.symbol_source(TableKind::Dynamic)?;
            }
        }
        let Some(source) = source else { return Ok(()) };
        let elf = self.debug.as_ref().unwrap_or(&self.elf);
        // Several names at one address: the first global one, and of those the one with fewer underscores,
        // needs names; the preference by binding and size needs none. So: wider binding, then larger, then first.
        let mut entries: Vec<Entry> = Vec::new();
        let mut bindings: Vec<u8> = Vec::new();
        elf.each_symbol(&source, |_, symbol| {
            if symbol.is_function() && symbol.name != 0 {
                entries.push(Entry {
                    addr: symbol.value,
                    size: u32::try_from(symbol.size).unwrap_or(u32::MAX),
                    name: symbol.name,
                });
                bindings.push(symbol.binding() as u8);
            }
            Ok(ControlFlow::Continue(()))
        })?;
        let mut order: Vec<u32> = (0..entries.len() as u32).collect();
        order.sort_unstable_by_key(|&i| {
            let e = &entries[i as usize];
            (e.addr, bindings[i as usize], u32::MAX - e.size, i)
        });
        self.entries = Vec::with_capacity(order.len());
        for i in order {
            let entry = entries[i as usize];
            if self.entries.last().is_none_or(|last| last.addr != entry.addr) {
                self.entries.push(entry);
            }
        }
        self.entries.shrink_to_fit();
        self.names = RefCell::new(Some(elf.names(&source)));
        self.source = Some(source);
        Ok(())
    }

    /// The file.
    pub fn elf(&self) -> &Elf {
        &self.elf
    }

    /// The path of the debug file its names come from, if they do.
    pub fn debug_path(&self) -> Option<&Path> {
        self.debug.as_ref().map(Elf::path)
    }

    /// How many functions it knows.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether it knows none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Whether names come from exported symbols alone, so that static functions show as their neighbours or not at all.
    pub fn only_exported(&self) -> bool {
        self.source.is_none_or(|s| s.kind == TableKind::Dynamic)
    }

    /// Why the table could not be read.
    pub fn trouble(&self) -> Option<&UserError> {
        self.trouble.as_ref()
    }

    /// The function at a virtual address of the file (as linked): its name, demangled, and the offset into it.
    pub fn lookup(&self, addr: u64) -> Option<(std::rc::Rc<str>, u64)> {
        let after = self.entries.partition_point(|e| e.addr <= addr);
        // Functions do not nest except for outlined parts and assembler entry points: a few steps back suffice.
        for (back, entry) in self.entries[..after].iter().rev().take(8).enumerate() {
            let inside = addr - entry.addr;
            let covers = match entry.size {
                // Hand-written assembly without a size reaches to the next symbol or its section's end, within reason.
                0 => {
                    back == 0 && inside < 4096 && self.elf.code_end(entry.addr).is_some_and(|end| addr < end)
                }
                size => inside < u64::from(size),
            };
            if covers {
                return Some((self.name(entry.name)?, inside));
            }
        }
        None
    }

    /// The function at an offset of the file: see [`FileSymbols::lookup`].
    pub fn lookup_offset(&self, offset: u64) -> Option<(std::rc::Rc<str>, u64)> {
        self.lookup(self.elf.address_of_offset(offset)?)
    }

    fn name(&self, offset: u32) -> Option<std::rc::Rc<str>> {
        if let Some(known) = self.known.borrow().get(&offset) {
            return known.clone();
        }
        let elf = self.debug.as_ref().unwrap_or(&self.elf);
        let mut names = self.names.borrow_mut();
        let raw = names.as_mut().and_then(|n| n.get(elf, offset).ok());
        let name = raw.map(|raw| {
            let text = String::from_utf8_lossy(raw);
            // Static tables may hold `name@@VERSION`.
            let base = text.split_once('@').map_or(&*text, |(base, _)| base);
            demangle(if base.is_empty() { &text } else { base }).into()
        });
        self.known.borrow_mut().insert(offset, name.clone());
        name
    }
}

impl std::fmt::Debug for FileSymbols {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FileSymbols")
            .field("file", &self.elf.path())
            .field("functions", &self.len())
            .finish_non_exhaustive()
    }
}

//! An assembler of ELF files, byte by byte, so that each byte can be wrong.
#![allow(dead_code)]

use asm::Insn;

/// A section to be written.
#[derive(Clone)]
pub struct Section {
    pub name: &'static str,
    pub kind: u32,
    pub flags: u64,
    pub data: Vec<u8>,
    /// What the header says instead of the data's length.
    pub size: Option<u64>,
    pub link: u32,
    pub info: u32,
    pub entry: u64,
}

/// A symbol to be written.
#[derive(Clone, Copy)]
pub struct Symbol {
    pub name: &'static str,
    pub section: u16,
    pub value: u64,
    pub size: u64,
    /// `STT_*`.
    pub kind: u8,
    /// `STB_*`.
    pub bind: u8,
}

/// A file to be written. Sections count from 1; the symbol table and the names are written behind them.
#[derive(Clone, Default)]
pub struct File {
    pub sections: Vec<Section>,
    pub symbols: Vec<Symbol>,
    pub big: bool,
    /// Instead of `EM_BPF`.
    pub machine: Option<u16>,
    /// Leave the symbol table out.
    pub stripped: bool,
}

pub const PROGBITS: u32 = 1;
pub const NOBITS: u32 = 8;
pub const REL: u32 = 9;
pub const RELA: u32 = 4;
pub const WRITE: u64 = 1;
pub const ALLOC: u64 = 2;
pub const EXEC: u64 = 4;
pub const NOTYPE: u8 = 0;
pub const OBJECT: u8 = 1;
pub const FUNC: u8 = 2;
pub const SECTION: u8 = 3;
pub const LOCAL: u8 = 0;
pub const GLOBAL: u8 = 1;
pub const WEAK: u8 = 2;

impl File {
    /// Adds a section and gives its index.
    pub fn section(&mut self, name: &'static str, kind: u32, flags: u64, data: Vec<u8>) -> u16 {
        self.sections.push(Section { name, kind, flags, data, size: None, link: 0, info: 0, entry: 0 });
        self.sections.len() as u16
    }

    /// Adds a section of instructions.
    pub fn code(&mut self, name: &'static str, insns: &[Insn]) -> u16 {
        let data =
            insns.iter().flat_map(|insn| if self.big { insn.to_bytes_be() } else { insn.to_bytes_le() });
        let data = data.collect();
        self.section(name, PROGBITS, ALLOC | EXEC, data)
    }

    /// Adds a symbol and gives its index.
    pub fn symbol(
        &mut self,
        name: &'static str,
        section: u16,
        value: u64,
        size: u64,
        kind: u8,
        bind: u8,
    ) -> u32 {
        self.symbols.push(Symbol { name, section, value, size, kind, bind });
        self.symbols.len() as u32
    }

    /// Adds a function.
    pub fn func(&mut self, name: &'static str, section: u16, insn: u64, insns: u64) -> u32 {
        self.symbol(name, section, insn * 8, insns * 8, FUNC, GLOBAL)
    }

    /// Adds relocations of a section: offset, symbol, type.
    pub fn relocations(&mut self, section: u16, entries: &[(u64, u32, u32)]) -> u16 {
        let mut data = Vec::new();
        for (offset, symbol, kind) in entries {
            data.extend(self.u64(*offset));
            data.extend(self.u64(u64::from(*symbol) << 32 | u64::from(*kind)));
        }
        let index = self.section(".rel", REL, 0, data);
        if let Some(this) = self.sections.last_mut() {
            (this.info, this.entry) = (u32::from(section), 16);
        }
        index
    }

    fn u16(&self, value: u16) -> [u8; 2] {
        if self.big { value.to_be_bytes() } else { value.to_le_bytes() }
    }

    fn u32(&self, value: u32) -> [u8; 4] {
        if self.big { value.to_be_bytes() } else { value.to_le_bytes() }
    }

    fn u64(&self, value: u64) -> [u8; 8] {
        if self.big { value.to_be_bytes() } else { value.to_le_bytes() }
    }

    /// The bytes.
    pub fn bytes(&self) -> Vec<u8> {
        let mut names = vec![0];
        let mut name = |text: &str| {
            let at = names.len() as u32;
            names.extend(text.as_bytes());
            names.push(0);
            if text.is_empty() { 0 } else { at }
        };
        let mut symbols = vec![0; 24];
        for symbol in &self.symbols {
            symbols.extend(self.u32(name(symbol.name)));
            symbols.extend([symbol.bind << 4 | symbol.kind, 0]);
            symbols.extend(self.u16(symbol.section));
            symbols.extend(self.u64(symbol.value));
            symbols.extend(self.u64(symbol.size));
        }
        let mut sections = self.sections.clone();
        let strings = sections.len() as u32 + 2;
        let table = |name, kind, data| Section {
            name,
            kind,
            flags: 0,
            data,
            size: None,
            link: strings,
            info: 1,
            entry: if kind == 2 { 24 } else { 0 },
        };
        // A type that is none hides the table.
        sections.push(table(".symtab", if self.stripped { 0x7000_0000 } else { 2 }, symbols));
        let symtab = sections.len() as u32;
        let offsets: Vec<u32> = sections.iter().map(|section| name(section.name)).collect();
        let strtab = name(".strtab");
        sections.push(table(".strtab", 3, names));

        let mut file = vec![0x7f, b'E', b'L', b'F', 2, if self.big { 2 } else { 1 }, 1];
        file.resize(16, 0);
        file.extend(self.u16(1));
        file.extend(self.u16(self.machine.unwrap_or(247)));
        file.extend(self.u32(1));
        file.extend(self.u64(0));
        file.extend(self.u64(0));
        let data_len: usize = sections.iter().map(|section| section.data.len().next_multiple_of(8)).sum();
        file.extend(self.u64(64 + data_len as u64));
        file.extend(self.u32(0));
        for value in [64, 0, 0, 64, sections.len() as u16 + 1, sections.len() as u16] {
            file.extend(self.u16(value));
        }
        let mut headers = vec![0; 64];
        for (index, section) in sections.iter().enumerate() {
            let link = if section.kind == REL { symtab } else { section.link };
            headers.extend(self.u32(offsets.get(index).copied().unwrap_or(strtab)));
            headers.extend(self.u32(section.kind));
            headers.extend(self.u64(section.flags));
            headers.extend(self.u64(0));
            headers.extend(self.u64(file.len() as u64));
            headers.extend(self.u64(section.size.unwrap_or(section.data.len() as u64)));
            headers.extend(self.u32(link));
            headers.extend(self.u32(section.info));
            headers.extend(self.u64(8));
            headers.extend(self.u64(section.entry));
            file.extend(&section.data);
            file.resize(file.len().next_multiple_of(8), 0);
        }
        file.extend(headers);
        file
    }
}

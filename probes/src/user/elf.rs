//! ELF files as far as probing and symbols need them: header, segments, sections, symbols, notes.
//!
//! Written after the System V gABI (chapters 4 and 5), its GNU extensions (symbol versions, build-id
//! notes, `.gnu_debuglink`) and elf(5). Reads 32- and 64-bit files of both byte orders, in small
//! positioned reads: a 100 MB binary costs a few hundred kilobytes of memory. It never panics on any
//! bytes; whatever is wrong becomes [`UserError::Damaged`] with the place.

mod debug;
mod read;
mod search;
mod symbols;

pub use debug::DebugLink;
pub use read::ReadAt;
pub use search::{FunctionMatches, UserFunc, find_function, find_functions, function_at};
pub(crate) use symbols::Names;
pub use symbols::{RawSymbol, SymbolSource, TableKind};

use std::fs::File;
use std::path::{Path, PathBuf};

use super::error::{Result, UserError};
use read::FileSource;

/// `PT_LOAD`, `PT_NOTE`.
const PT_LOAD: u32 = 1;
const PT_NOTE: u32 = 4;
const PF_X: u32 = 1;
const ET_REL: u16 = 1;
const ET_EXEC: u16 = 2;
const ET_DYN: u16 = 3;
const EM_ARM: u16 = 40;
const SHT_NOBITS: u32 = 8;
const SHF_EXECINSTR: u64 = 4;
/// More bytes than any honest section-name or version table has.
const SMALL_TABLE: u64 = 8 << 20;

/// An open ELF image.
pub struct Elf {
    path: PathBuf,
    src: Box<dyn ReadAt>,
    is64: bool,
    big: bool,
    kind: u16,
    machine: u16,
    segments: Vec<Segment>,
    sections: Vec<Section>,
    section_names: Vec<u8>,
}

/// A program header: a part of the file that is mapped, or a note (gABI chapter 5).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Segment {
    kind: u32,
    flags: u32,
    /// Offset in the file, in bytes.
    pub offset: u64,
    /// Virtual address.
    pub vaddr: u64,
    /// Bytes in the file.
    pub file_size: u64,
    /// Bytes in memory.
    pub mem_size: u64,
}

impl Segment {
    /// Whether it is mapped (`PT_LOAD`).
    pub fn is_load(&self) -> bool {
        self.kind == PT_LOAD
    }
    /// Whether it holds code (`PF_X`).
    pub fn is_executable(&self) -> bool {
        self.flags & PF_X != 0
    }
}

/// A section header (gABI chapter 4).
#[derive(Debug, Clone, Copy)]
pub(crate) struct Section {
    name: u32,
    pub(crate) kind: u32,
    flags: u64,
    addr: u64,
    pub(crate) offset: u64,
    pub(crate) size: u64,
    pub(crate) link: u32,
    info: u32,
    entry_size: u64,
}

/// The kinds of machine code an ELF file can hold: what must agree between a program and its libraries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Machine {
    /// `e_machine` (62 x86-64, 183 aarch64, ...).
    pub id: u16,
    /// 64-bit class.
    pub is64: bool,
    /// Big-endian data.
    pub big: bool,
}

impl Machine {
    /// The name of the architecture, or its number.
    pub fn name(&self) -> String {
        let name = match (self.id, self.is64) {
            (3, _) => "i386",
            (62, true) => "x86-64",
            (62, false) => "x32",
            (183, _) => "aarch64",
            (40, _) => "arm",
            (243, _) => "riscv",
            (22, _) => "s390",
            (21, _) => "ppc64",
            (258, _) => "loongarch",
            (8, _) => "mips",
            _ => return format!("machine {} ({}-bit)", self.id, if self.is64 { 64 } else { 32 }),
        };
        name.to_string()
    }
}

impl Elf {
    /// Opens a file.
    ///
    /// # Errors
    /// [`UserError::Io`], [`UserError::NotElf`], [`UserError::Damaged`].
    pub fn open(path: impl AsRef<Path>) -> Result<Elf> {
        let path = path.as_ref();
        let io = |source| UserError::Io { file: path.to_path_buf(), source };
        // A FIFO would block, a folder gives a poor message: look first.
        let meta = std::fs::metadata(path).map_err(io)?;
        if !meta.is_file() {
            let what = if meta.is_dir() { "it is a directory" } else { "it is a device, pipe or socket" };
            return Err(UserError::NotElf { file: path.into(), what: what.into() });
        }
        Elf::from_file(File::open(path).map_err(io)?, path)
    }

    /// Reads from an open file; `path` is what errors call it.
    ///
    /// # Errors
    /// As [`Elf::open`].
    pub fn from_file(file: File, path: impl Into<PathBuf>) -> Result<Elf> {
        let path = path.into();
        match FileSource::new(file) {
            Ok(src) => Elf::from_source(Box::new(src), path),
            Err(source) => Err(UserError::Io { file: path, source }),
        }
    }

    /// Reads an image in memory, such as the vDSO; `path` is what errors call it.
    ///
    /// # Errors
    /// [`UserError::NotElf`], [`UserError::Damaged`].
    pub fn from_bytes(bytes: Vec<u8>, path: impl Into<PathBuf>) -> Result<Elf> {
        Elf::from_source(Box::new(bytes), path.into())
    }

    fn from_source(src: Box<dyn ReadAt>, path: PathBuf) -> Result<Elf> {
        let mut head = [0u8; 64];
        let have = src.size().min(64) as usize;
        src.read_at(&mut head[..have], 0).map_err(|source| UserError::Io { file: path.clone(), source })?;
        if have < 4 || head[..4] != *b"\x7fELF" {
            let what = match &head[..have] {
                [] => "it is empty".to_string(),
                [b'#', b'!', ..] => "it is a script".to_string(),
                b if b.starts_with(b"!<arch>") => "it is a static archive".to_string(),
                b if b.starts_with(b"/* GNU ld script") => "it is a linker script".to_string(),
                b => format!("it starts with bytes {}", super::error::Hex(&b[..b.len().min(4)])),
            };
            return Err(UserError::NotElf { file: path, what });
        }
        let mut elf = Elf {
            path,
            src,
            is64: head[4] == 2,
            big: head[5] == 2,
            kind: 0,
            machine: 0,
            segments: Vec::new(),
            sections: Vec::new(),
            section_names: Vec::new(),
        };
        if !(1..=2).contains(&head[4]) || !(1..=2).contains(&head[5]) {
            return Err(elf.damaged(
                "header, offset 0x4",
                format!("class {} and byte order {} are unknown", head[4], head[5]),
            ));
        }
        let need = if elf.is64 { 64 } else { 52 };
        if have < need {
            return Err(elf.damaged("header", format!("the file ends after {have} of {need} bytes")));
        }
        elf.read_tables(&head)?;
        Ok(elf)
    }

    fn read_tables(&mut self, head: &[u8; 64]) -> Result<()> {
        self.kind = self.u16(head, 16);
        self.machine = self.u16(head, 18);
        let (phoff, shoff, counts) = if self.is64 {
            (self.u64(head, 32), self.u64(head, 40), 54)
        } else {
            (self.u32(head, 28).into(), self.u32(head, 32).into(), 42)
        };
        let phentsize = u64::from(self.u16(head, counts));
        let mut phnum = u64::from(self.u16(head, counts + 2));
        let shentsize = u64::from(self.u16(head, counts + 4));
        let mut shnum = u64::from(self.u16(head, counts + 6));
        let mut shstrndx = u64::from(self.u16(head, counts + 8));
        let (phsize, shsize) = if self.is64 { (56, 64) } else { (32, 40) };

        if shoff != 0 {
            if shentsize != shsize {
                return Err(
                    self.damaged("header", format!("section headers of {shentsize} bytes, not {shsize}"))
                );
            }
            // Counts that do not fit into the header stand in section 0 (gABI, "extended section numbering").
            let first = self.bytes(shoff, shsize, "section header 0")?;
            let first = self.section(&first);
            if shnum == 0 {
                shnum = first.size;
            }
            if shstrndx == 0xffff {
                shstrndx = first.link.into();
            }
            if phnum == 0xffff {
                phnum = first.info.into();
            }
        } else {
            shnum = 0;
        }
        if phnum != 0 && phentsize != phsize {
            return Err(self.damaged("header", format!("program headers of {phentsize} bytes, not {phsize}")));
        }
        let table = self.bytes(phoff, phnum.saturating_mul(phsize), "program headers")?;
        self.segments = table.chunks_exact(phsize as usize).map(|b| self.segment(b)).collect();
        let table = self.bytes(shoff, shnum.saturating_mul(shsize), "section headers")?;
        self.sections = table.chunks_exact(shsize as usize).map(|b| self.section(b)).collect();
        if shnum > 0 && shstrndx != 0 {
            let Some(names) = usize::try_from(shstrndx).ok().and_then(|i| self.sections.get(i)).copied()
            else {
                return Err(self.damaged("header", format!("section names in section {shstrndx} of {shnum}")));
            };
            if names.kind != SHT_NOBITS {
                self.section_names = self.bytes(names.offset, names.size, "section names (.shstrtab)")?;
            }
        }
        Ok(())
    }

    fn segment(&self, b: &[u8]) -> Segment {
        if self.is64 {
            Segment {
                kind: self.u32(b, 0),
                flags: self.u32(b, 4),
                offset: self.u64(b, 8),
                vaddr: self.u64(b, 16),
                file_size: self.u64(b, 32),
                mem_size: self.u64(b, 40),
            }
        } else {
            Segment {
                kind: self.u32(b, 0),
                flags: self.u32(b, 24),
                offset: self.u32(b, 4).into(),
                vaddr: self.u32(b, 8).into(),
                file_size: self.u32(b, 16).into(),
                mem_size: self.u32(b, 20).into(),
            }
        }
    }

    fn section(&self, b: &[u8]) -> Section {
        let word = |i: usize| if self.is64 { self.u64(b, i * 8) } else { u64::from(self.u32(b, i * 4)) };
        // name and type are 4 bytes in both classes; then flags, addr, offset, size are words.
        let at = if self.is64 { [1, 2, 3, 4, 7] } else { [2, 3, 4, 5, 9] };
        let link = if self.is64 { 40 } else { 24 };
        Section {
            name: self.u32(b, 0),
            kind: self.u32(b, 4),
            flags: word(at[0]),
            addr: word(at[1]),
            offset: word(at[2]),
            size: word(at[3]),
            link: self.u32(b, link),
            info: self.u32(b, link + 4),
            entry_size: word(at[4]),
        }
    }

    /// The path given when it was opened.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The machine it is for.
    pub fn machine(&self) -> Machine {
        Machine { id: self.machine, is64: self.is64, big: self.big }
    }

    /// Whether it is loaded at addresses of the loader's choice (`ET_DYN`: PIE and shared libraries).
    pub fn is_position_independent(&self) -> bool {
        self.kind == ET_DYN
    }

    /// All program headers.
    pub fn segments(&self) -> &[Segment] {
        &self.segments
    }

    pub(crate) fn sections(&self) -> &[Section] {
        &self.sections
    }

    /// The name of a section, with its number where the name cannot be read.
    pub(crate) fn section_name(&self, index: usize) -> String {
        let name = self.sections.get(index).and_then(|s| self.section_names.get(s.name as usize..));
        match name.and_then(|n| n.split(|b| *b == 0).next()) {
            Some(n) if !n.is_empty() => String::from_utf8_lossy(n).into_owned(),
            _ => format!("section {index}"),
        }
    }

    pub(crate) fn section_by_name(&self, name: &str) -> Option<(usize, Section)> {
        self.sections.iter().enumerate().find_map(|(i, s)| {
            let n = self.section_names.get(s.name as usize..)?;
            (n.get(..name.len())? == name.as_bytes() && n.get(name.len()) == Some(&0)).then_some((i, *s))
        })
    }

    /// The file offset of a virtual address in an executable segment: what the kernel's uprobes want.
    ///
    /// # Errors
    /// [`UserError::NoCode`] outside executable segments, [`UserError::Unfit`] for object files,
    /// [`UserError::Damaged`] where the file ends before that.
    pub fn file_offset(&self, addr: u64) -> Result<u64> {
        if self.kind == ET_REL {
            return Err(self.unfit("a relocatable object (.o or .ko) is never run as it is: probe the program it was linked into"));
        }
        if self.kind != ET_EXEC && self.kind != ET_DYN {
            return Err(
                self.unfit("neither a program nor a shared library (a core file?): name the file that runs")
            );
        }
        let offset = self
            .segments
            .iter()
            .filter(|s| s.is_load() && s.is_executable())
            .find_map(|s| {
                let inside = addr.checked_sub(s.vaddr)?;
                (inside < s.file_size).then(|| s.offset.checked_add(inside))?
            })
            .ok_or_else(|| UserError::NoCode { file: self.path.clone(), addr })?;
        // A file that was cut short, or a file of debug information alone: the code is not in it.
        if offset >= self.src.size() {
            let what = format!(
                "the code at address {addr:#x} would be at offset {offset:#x} of a file of {:#x} bytes",
                self.src.size()
            );
            return Err(self.damaged("program headers", what));
        }
        Ok(offset)
    }

    /// The virtual address of a file offset: the reverse of [`Elf::file_offset`], over all mapped segments.
    pub fn address_of_offset(&self, offset: u64) -> Option<u64> {
        let find = |exec: bool| {
            self.segments.iter().filter(|s| s.is_load() && s.is_executable() == exec).find_map(|s| {
                let inside = offset.checked_sub(s.offset)?;
                (inside < s.file_size).then(|| s.vaddr.checked_add(inside))?
            })
        };
        // Segments may share a page of the file; code is what stacks point to.
        find(true).or_else(|| find(false))
    }

    /// The end of the executable section or segment that holds `addr`.
    pub(crate) fn code_end(&self, addr: u64) -> Option<u64> {
        let section = self.sections.iter().find_map(|s| {
            let end = s.addr.checked_add(s.size)?;
            (s.flags & SHF_EXECINSTR != 0 && (s.addr..end).contains(&addr)).then_some(end)
        });
        section.or_else(|| {
            self.segments.iter().filter(|s| s.is_load() && s.is_executable()).find_map(|s| {
                let end = s.vaddr.checked_add(s.file_size)?;
                (s.vaddr..end).contains(&addr).then_some(end)
            })
        })
    }

    /// On 32-bit ARM bit 0 of a function's address says Thumb; it is no part of the address.
    fn code_address(&self, value: u64) -> u64 {
        if self.machine == EM_ARM { value & !1 } else { value }
    }

    /// Reads a small table; refused when it is larger than the file or than any honest one.
    pub(crate) fn bytes(&self, offset: u64, size: u64, place: &str) -> Result<Vec<u8>> {
        if size == 0 {
            return Ok(Vec::new());
        }
        let end = offset.checked_add(size);
        if end.is_none_or(|end| end > self.src.size()) {
            let what = format!("{size:#x} bytes do not fit into a file of {:#x} bytes", self.src.size());
            return Err(self.damaged(&format!("{place}, offset {offset:#x}"), what));
        }
        if size > SMALL_TABLE {
            return Err(self.damaged(
                &format!("{place}, offset {offset:#x}"),
                format!("{size:#x} bytes is absurdly large"),
            ));
        }
        let mut buf = vec![0; size as usize];
        self.read_into(offset, &mut buf, place)?;
        Ok(buf)
    }

    pub(crate) fn read_into(&self, offset: u64, buf: &mut [u8], place: &str) -> Result<()> {
        self.src.read_at(buf, offset).map_err(|e| match e.kind() {
            std::io::ErrorKind::UnexpectedEof => {
                self.damaged(&format!("{place}, offset {offset:#x}"), "the file ends before its end".into())
            }
            _ => UserError::Io { file: self.path.clone(), source: e },
        })
    }

    pub(crate) fn file_size(&self) -> u64 {
        self.src.size()
    }

    pub(crate) fn damaged(&self, place: &str, what: String) -> UserError {
        UserError::Damaged { file: self.path.clone(), place: place.to_string(), what }
    }

    fn unfit(&self, why: &str) -> UserError {
        UserError::Unfit { file: self.path.clone(), why: why.to_string() }
    }

    // Callers pass slices they have measured; a short one reads as zero rather than panicking.
    pub(crate) fn u16(&self, b: &[u8], at: usize) -> u16 {
        let raw = b.get(at..at + 2).and_then(|b| b.try_into().ok()).unwrap_or([0; 2]);
        if self.big { u16::from_be_bytes(raw) } else { u16::from_le_bytes(raw) }
    }
    pub(crate) fn u32(&self, b: &[u8], at: usize) -> u32 {
        let raw = b.get(at..at + 4).and_then(|b| b.try_into().ok()).unwrap_or([0; 4]);
        if self.big { u32::from_be_bytes(raw) } else { u32::from_le_bytes(raw) }
    }
    pub(crate) fn u64(&self, b: &[u8], at: usize) -> u64 {
        let raw = b.get(at..at + 8).and_then(|b| b.try_into().ok()).unwrap_or([0; 8]);
        if self.big { u64::from_be_bytes(raw) } else { u64::from_le_bytes(raw) }
    }
}

impl std::fmt::Debug for Elf {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Elf")
            .field("path", &self.path)
            .field("machine", &self.machine())
            .finish_non_exhaustive()
    }
}

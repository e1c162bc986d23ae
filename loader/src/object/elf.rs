//! The ELF container: sections, symbols and relocation entries, borrowed from the file.

use crate::{Error, Result};
use btf::Endian;
use object::elf::{FileHeader32, FileHeader64};
use object::endian::Endianness;
use object::read::elf::{FileHeader, Rel as _, SectionHeader, Sym};
use object::{elf, read};
use std::collections::HashMap;

/// `R_BPF_64_64`: a 64-bit immediate load of an address.
pub const R_BPF_64_64: u32 = 1;
/// `R_BPF_64_ABS64`: an address in 8 bytes of data.
pub const R_BPF_64_ABS64: u32 = 2;
/// `R_BPF_64_ABS32`: an address in 4 bytes of data.
pub const R_BPF_64_ABS32: u32 = 3;
/// `R_BPF_64_NODYLD32`: as `R_BPF_64_ABS32`, in `.BTF` and `.BTF.ext`.
pub const R_BPF_64_NODYLD32: u32 = 4;
/// `R_BPF_64_32`: a call.
pub const R_BPF_64_32: u32 = 10;

/// Indexes from here on (`SHN_LORESERVE`) are no sections.
const SHN_LORESERVE: u32 = 0xff00;

/// A section.
#[derive(Clone, Copy, Debug)]
pub struct Section<'d> {
    /// Name.
    pub name: &'d str,
    /// `SHT_*`.
    pub kind: elf::SectionType,
    /// `SHF_*`.
    pub flags: elf::SectionFlags,
    /// Size; also of sections without bytes in the file (`.bss`).
    pub size: u64,
    /// Content; empty for sections without bytes in the file.
    pub data: &'d [u8],
    /// For relocations, the section they are for.
    pub info: u32,
}

impl Section<'_> {
    /// Whether it holds instructions.
    pub fn executable(&self) -> bool {
        self.kind == elf::SHT_PROGBITS && self.flags.0 & elf::SHF_EXECINSTR.0 != 0
    }

    /// Whether it has bytes in the file that are not instructions.
    pub fn initialized(&self) -> bool {
        self.kind == elf::SHT_PROGBITS && self.flags.0 & elf::SHF_EXECINSTR.0 == 0
    }

    /// Whether it takes memory and has no bytes in the file.
    pub fn zeroed(&self) -> bool {
        self.kind == elf::SHT_NOBITS
    }
}

/// A symbol.
#[derive(Clone, Copy, Debug)]
pub struct Symbol<'d> {
    /// Name; empty for section symbols.
    pub name: &'d str,
    /// Bytes from the start of its section.
    pub value: u64,
    /// Size in bytes; 0 where the compiler does not say.
    pub size: u64,
    /// Index of its section; 0 for what is defined elsewhere.
    pub section: usize,
    /// `STT_*`.
    pub kind: elf::SymbolType,
    /// `STB_*`.
    pub bind: elf::SymbolBind,
    /// Whether other objects cannot see it (`STV_HIDDEN`, `STV_INTERNAL`).
    pub hidden: bool,
}

impl Symbol<'_> {
    /// Whether it is a function.
    pub fn is_function(&self) -> bool {
        self.kind == elf::STT_FUNC
    }

    /// Whether it stands for a whole section.
    pub fn is_section(&self) -> bool {
        self.kind == elf::STT_SECTION
    }

    /// Whether it is seen in its file only.
    pub fn is_local(&self) -> bool {
        self.bind == elf::STB_LOCAL
    }

    /// Whether somebody else is to define it.
    pub fn is_extern(&self) -> bool {
        self.section == 0
            && self.kind == elf::STT_NOTYPE
            && (self.bind == elf::STB_GLOBAL || self.bind == elf::STB_WEAK)
    }

    /// Its name, or what stands for it in messages.
    pub fn label(&self) -> &str {
        match (self.name, self.is_section()) {
            ("", true) => "the section's own symbol",
            ("", false) => "a symbol without a name",
            (name, _) => name,
        }
    }
}

/// A relocation entry.
#[derive(Clone, Copy, Debug)]
pub struct Rel {
    /// Bytes from the start of the section that is relocated.
    pub offset: u64,
    /// Index of the symbol.
    pub symbol: usize,
    /// `R_BPF_*`.
    pub kind: u32,
}

/// An ELF file for BPF.
#[derive(Debug)]
pub struct Elf<'d> {
    /// Byte order.
    pub endian: Endian,
    /// Sections by index; the first one is none.
    pub sections: Vec<Section<'d>>,
    /// Symbols by index; the first one is none.
    pub symbols: Vec<Symbol<'d>>,
    /// Relocation entries by the index of the section they are for, in the file's order.
    pub relocations: Vec<Vec<Rel>>,
    /// Sections by name; of several with one name the first.
    by_name: HashMap<&'d str, usize>,
}

fn damaged(what: impl std::fmt::Display) -> Error {
    Error::Elf { what: format!("{what}; the file is damaged or cut short, compile it again") }
}

/// The header of an ELF file of this machine and class, or why it is none.
fn header(bytes: &[u8]) -> Result<&FileHeader64<Endianness>> {
    let Some(magic) = bytes.first_chunk::<4>() else {
        return Err(damaged(format_args!("{} bytes are too few for a header", bytes.len())));
    };
    if *magic != elf::ELFMAG {
        let what = "the file does not begin with the ELF magic; give an object that clang made with `-target bpf -c`";
        return Err(Error::Elf { what: what.to_owned() });
    }
    if bytes.get(4) == Some(&elf::ELFCLASS32.0) {
        let machine = FileHeader32::<Endianness>::parse(bytes)
            .and_then(|header| Ok(header.e_machine(header.endian()?)))
            .map_or("unknown".to_owned(), machine_name);
        let what = format!(
            "a 32-bit file for {machine}, where BPF objects have 64 bits; compile with `clang -target bpf`"
        );
        return Err(Error::Elf { what });
    }
    FileHeader64::<Endianness>::parse(bytes).map_err(damaged)
}

fn machine_name(machine: elf::Machine) -> String {
    let name = match machine {
        elf::EM_386 => "i386",
        elf::EM_X86_64 => "x86-64",
        elf::EM_ARM => "arm",
        elf::EM_AARCH64 => "aarch64",
        elf::EM_RISCV => "riscv",
        elf::EM_S390 => "s390",
        elf::EM_PPC64 => "ppc64",
        elf::EM_MIPS => "mips",
        elf::EM_LOONGARCH => "loongarch",
        elf::EM_BPF => "bpf",
        elf::EM_NONE => "no machine",
        _ => return format!("machine {}", machine.0),
    };
    name.to_owned()
}

impl<'d> Elf<'d> {
    /// Reads the tables of a file and checks that they lie inside it.
    pub fn parse(bytes: &'d [u8]) -> Result<Elf<'d>> {
        let header = header(bytes)?;
        let endian = header.endian().map_err(damaged)?;
        let machine = header.e_machine(endian);
        // Compilers before LLVM 3.9 had no number for it.
        if machine != elf::EM_BPF && machine != elf::EM_NONE {
            let machine = machine_name(machine);
            let what =
                format!("the file is for {machine}, not for BPF; compile it with `clang -target bpf -g -O2`");
            return Err(Error::Elf { what });
        }
        if header.e_type(endian) != elf::ET_REL {
            let what = "the file is no relocatable object (ET_REL); give what `clang -c` or `bpftool gen object` made";
            return Err(Error::Elf { what: what.to_owned() });
        }
        let table = header.sections(endian, bytes).map_err(damaged)?;
        if table.is_empty() {
            return Err(damaged("there is no table of sections"));
        }
        let names = header.shstrndx(endian, bytes).ok().and_then(|index| {
            let index = read::SectionIndex(index as usize);
            table.section(index).ok()?.data(endian, bytes).ok()
        });
        let mut sections = Vec::with_capacity(table.len());
        let mut left = bytes.len();
        for (index, section) in table.enumerate() {
            let section = read_section(names.unwrap_or_default(), bytes, endian, index.0, section)?;
            // What is copied of the file cannot take more memory than the file.
            left = left.checked_sub(section.data.len()).ok_or_else(|| {
                damaged(format_args!("section {index} (`{}`) overlaps with others", section.name))
            })?;
            sections.push(section);
        }
        let symbols = read_symbols(&table, bytes, endian)?;
        let mut relocations = vec![Vec::new(); sections.len()];
        for (index, section) in table.enumerate() {
            let Some(this) = sections.get(index.0) else { continue };
            let target = this.info as usize;
            if this.kind == elf::SHT_RELA && sections.get(target).is_some_and(Section::executable) {
                let what = "relocations with addends (SHT_RELA) are nothing that BPF compilers make; compile with clang";
                return Err(Error::Section {
                    section: this.name.to_owned(),
                    offset: 0,
                    what: what.to_owned(),
                });
            }
            let Some((entries, _)) =
                section.rel(endian, bytes).map_err(|error| bad_section(this.name, error))?
            else {
                continue;
            };
            let Some(list) = relocations.get_mut(target) else {
                let what = format!("relocates section {target}, of {}; the file is damaged", sections.len());
                return Err(Error::Section { section: this.name.to_owned(), offset: 0, what });
            };
            list.extend(entries.iter().map(|rel| Rel {
                offset: rel.r_offset(endian),
                symbol: rel.r_sym(endian) as usize,
                kind: rel.r_type(endian).0,
            }));
        }
        let mut by_name = HashMap::with_capacity(sections.len());
        for (index, section) in sections.iter().enumerate().skip(1) {
            by_name.entry(section.name).or_insert(index);
        }
        let endian = if endian == Endianness::Big { Endian::Big } else { Endian::Little };
        Ok(Elf { endian, sections, symbols, relocations, by_name })
    }

    /// The section of this name and its index.
    pub fn section(&self, name: &str) -> Option<(usize, &Section<'d>)> {
        let index = *self.by_name.get(name)?;
        Some((index, self.sections.get(index)?))
    }

    /// The section with this index, if there is one that symbols may lie in.
    pub fn section_at(&self, index: usize) -> Option<&Section<'d>> {
        if index == 0 { None } else { self.sections.get(index) }
    }

    /// Name of the section with this index; `?` if there is none.
    pub fn section_name(&self, index: usize) -> &'d str {
        self.sections.get(index).map_or("?", |section| section.name)
    }

    /// The symbol that a relocation entry of a section names.
    pub fn symbol(&self, section: usize, rel: &Rel) -> Result<&Symbol<'d>> {
        self.symbols.get(rel.symbol).filter(|_| rel.symbol != 0).ok_or_else(|| Error::Section {
            section: self.section_name(section).to_owned(),
            offset: rel.offset,
            what: format!(
                "the relocation names symbol {}, of {}; the file is damaged, compile it again",
                rel.symbol,
                self.symbols.len(),
            ),
        })
    }

    /// A `u32` of the file's byte order.
    pub fn u32(&self, bytes: &[u8], at: usize) -> Option<u32> {
        let bytes = bytes.get(at..at.checked_add(4)?)?.try_into().ok()?;
        Some(match self.endian {
            Endian::Little => u32::from_le_bytes(bytes),
            Endian::Big => u32::from_be_bytes(bytes),
        })
    }
}

type Table<'d> = read::elf::SectionTable<'d, FileHeader64<Endianness>>;

fn bad_section(name: &str, error: impl std::fmt::Display) -> Error {
    let what = format!("{error}; the file is damaged or cut short, compile it again");
    Error::Section { section: name.to_owned(), offset: 0, what }
}

/// Longest name in bytes; the kernel's longest has 512, and names that Rust compilers make can be longer.
pub const MAX_NAME: usize = 4096;

/// The name at an offset of a string table.
fn name_at<'d>(strings: &'d [u8], offset: u32, of: &str, index: usize) -> Result<&'d str> {
    if offset == 0 {
        return Ok("");
    }
    let rest = strings.get(offset as usize..).unwrap_or_default();
    let rest = rest.get(..MAX_NAME).unwrap_or(rest);
    let Some(end) = rest.iter().position(|byte| *byte == 0) else {
        let what = format_args!("the name of {of} {index} at {offset:#x} of the names has no end");
        return Err(damaged(what));
    };
    let bytes = rest.get(..end).unwrap_or_default();
    std::str::from_utf8(bytes).map_err(|_| damaged(format_args!("the name of {of} {index} is not UTF-8")))
}

fn read_section<'d>(
    names: &'d [u8],
    bytes: &'d [u8],
    endian: Endianness,
    index: usize,
    section: &'d elf::SectionHeader64<Endianness>,
) -> Result<Section<'d>> {
    let name = name_at(names, section.sh_name(endian), "section", index)?;
    let data = match section.file_range(endian) {
        None => &[],
        Some((offset, size)) => {
            let start = usize::try_from(offset).ok();
            let end = offset.checked_add(size).and_then(|end| usize::try_from(end).ok());
            start.zip(end).and_then(|(start, end)| bytes.get(start..end)).ok_or_else(|| {
                let len = bytes.len();
                let what = format!("{size} bytes at {offset:#x} of the file do not lie in its {len} bytes");
                bad_section(name, what)
            })?
        }
    };
    Ok(Section {
        name,
        kind: section.sh_type(endian),
        flags: section.sh_flags(endian),
        size: section.sh_size(endian),
        data,
        info: section.sh_info(endian),
    })
}

fn read_symbols<'d>(table: &Table<'d>, bytes: &'d [u8], endian: Endianness) -> Result<Vec<Symbol<'d>>> {
    let symbols =
        table.symbols(endian, bytes, elf::SHT_SYMTAB).map_err(|error| bad_section(".symtab", error))?;
    if symbols.is_empty() {
        let what = "there is no symbol table; the file was stripped of it: `llvm-strip -g` leaves it";
        return Err(Error::Elf { what: what.to_owned() });
    }
    let strings = table.section(symbols.string_section()).ok();
    let names = strings.and_then(|section| section.data(endian, bytes).ok()).unwrap_or_default();
    let mut list = Vec::with_capacity(symbols.len());
    for (index, symbol) in symbols.iter().enumerate() {
        let name = name_at(names, symbol.st_name(endian), "symbol", index)?;
        let number = u32::from(symbol.st_shndx(endian).0);
        let section = if number == u32::from(elf::SHN_XINDEX.0) {
            symbols.shndx(endian, read::SymbolIndex(index)).unwrap_or(0) as usize
        } else if number >= SHN_LORESERVE {
            // Absolute and common symbols lie nowhere: no section has this index.
            usize::MAX
        } else {
            number as usize
        };
        list.push(Symbol {
            name,
            value: symbol.st_value(endian),
            size: symbol.st_size(endian),
            section,
            kind: symbol.st_type(),
            bind: symbol.st_bind(),
            hidden: matches!(symbol.st_visibility(), elf::STV_HIDDEN | elf::STV_INTERNAL),
        });
    }
    Ok(list)
}

/// Content of a section of any 64-bit ELF file.
pub fn section<'d>(bytes: &'d [u8], name: &str) -> Option<&'d [u8]> {
    let header = FileHeader64::<Endianness>::parse(bytes).ok()?;
    let endian = header.endian().ok()?;
    let table = header.sections(endian, bytes).ok()?;
    let (_, section) = table.section_by_name(endian, name.as_bytes())?;
    section.data(endian, bytes).ok()
}

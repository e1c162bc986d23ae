//! A small assembler of ELF files, so that tests can make any file, right or wrong.

/// A symbol of the file to make.
#[derive(Clone)]
pub struct Sym {
    pub name: &'static str,
    pub addr: u64,
    pub size: u64,
    /// `STT_*`: 2 function, 10 indirect function, 1 object.
    pub kind: u8,
    /// `STB_*`: 0 local, 1 global, 2 weak.
    pub bind: u8,
    /// Section index; 0 for an import.
    pub section: u16,
    /// Index of its version with bit 15 for "not the default"; only in the dynamic table.
    pub version: u16,
}

pub fn func(name: &'static str, addr: u64, size: u64) -> Sym {
    Sym { name, addr, size, kind: 2, bind: 1, section: 1, version: 1 }
}

#[derive(Clone, Default)]
pub struct ElfSpec {
    pub narrow: bool,
    pub big: bool,
    pub machine: u16,
    pub symtab: Vec<Sym>,
    pub dynsym: Vec<Sym>,
    /// Names of versions 2, 3, ...
    pub versions: Vec<&'static str>,
    pub build_id: Option<Vec<u8>>,
    pub debug_link: Option<(&'static str, u32)>,
}

/// The code segment: 0x1000 bytes at this offset of the file, at this address.
pub const CODE_OFFSET: u64 = 0x1000;
pub const CODE_ADDR: u64 = 0x40_1000;

struct Writer {
    out: Vec<u8>,
    big: bool,
    narrow: bool,
}

impl Writer {
    fn int(&mut self, value: u64, bytes: usize) {
        let le = value.to_le_bytes();
        let mut b = le[..bytes].to_vec();
        if self.big {
            b.reverse();
        }
        self.out.extend(b);
    }
    fn u16(&mut self, v: u16) {
        self.int(v.into(), 2);
    }
    fn u32(&mut self, v: u32) {
        self.int(v.into(), 4);
    }
    fn word(&mut self, v: u64) {
        self.int(v, if self.narrow { 4 } else { 8 });
    }
}

struct Strings(Vec<u8>);

impl Strings {
    fn add(&mut self, text: &str) -> u32 {
        let at = self.0.len() as u32;
        self.0.extend(text.bytes().chain([0]));
        at
    }
}

impl ElfSpec {
    pub fn build(&self) -> Vec<u8> {
        let (head, phsize, shsize, entry) = if self.narrow { (52, 32, 40, 16) } else { (64, 56, 64, 24) };
        let writer = || Writer { out: Vec::new(), big: self.big, narrow: self.narrow };
        // (name, type, flags, addr, content, link, info, entry size)
        type Part = (&'static str, u32, u64, u64, Vec<u8>, u32, u32, u64);
        let mut parts: Vec<Part> =
            vec![("", 0, 0, 0, Vec::new(), 0, 0, 0), (".text", 1, 6, CODE_ADDR, vec![0x90; 0x1000], 0, 0, 0)];
        for (name, kind, symbols) in [(".symtab", 2u32, &self.symtab), (".dynsym", 11, &self.dynsym)] {
            if symbols.is_empty() {
                continue;
            }
            let mut strings = Strings(vec![0]);
            let mut table = writer();
            table.out.resize(entry, 0);
            let mut versym = writer();
            versym.u16(0);
            for s in symbols {
                let name = strings.add(s.name);
                let info = s.bind << 4 | s.kind;
                table.u32(name);
                if self.narrow {
                    table.u32(s.addr as u32);
                    table.u32(s.size as u32);
                    table.out.extend([info, 0]);
                    table.u16(s.section);
                } else {
                    table.out.extend([info, 0]);
                    table.u16(s.section);
                    table.int(s.addr, 8);
                    table.int(s.size, 8);
                }
                versym.u16(s.version);
            }
            let at = parts.len() as u32;
            if kind == 11 && !self.versions.is_empty() {
                let mut defs = writer();
                for (i, version) in self.versions.iter().enumerate() {
                    let name = strings.add(version);
                    let last = i + 1 == self.versions.len();
                    [1, 0, i as u16 + 2, 1].into_iter().for_each(|v| defs.u16(v));
                    [0, 20, if last { 0 } else { 28 }, name, 0].into_iter().for_each(|v| defs.u32(v));
                }
                parts.push((name, kind, 2, 0, table.out, at + 1, 1, entry as u64));
                parts.push((".dynstr", 3, 2, 0, strings.0, 0, 0, 0));
                parts.push((".gnu.version", 0x6fff_ffff, 2, 0, versym.out, at, 0, 2));
                parts.push((
                    ".gnu.version_d",
                    0x6fff_fffd,
                    2,
                    0,
                    defs.out,
                    at + 1,
                    self.versions.len() as u32,
                    0,
                ));
            } else {
                parts.push((name, kind, 2, 0, table.out, at + 1, 1, entry as u64));
                parts.push((if kind == 2 { ".strtab" } else { ".dynstr" }, 3, 2, 0, strings.0, 0, 0, 0));
            }
        }
        if let Some(id) = &self.build_id {
            let mut note = writer();
            [4, id.len() as u32, 3].into_iter().for_each(|v| note.u32(v));
            note.out.extend(b"GNU\0");
            note.out.extend(id);
            note.out.resize(note.out.len().next_multiple_of(4), 0);
            parts.push((".note.gnu.build-id", 7, 2, 0, note.out, 0, 0, 0));
        }
        if let Some((name, crc)) = self.debug_link {
            let mut link = writer();
            link.out.extend(name.bytes().chain([0]));
            link.out.resize(link.out.len().next_multiple_of(4), 0);
            link.u32(crc);
            parts.push((".gnu_debuglink", 1, 0, 0, link.out, 0, 0, 0));
        }
        let mut names = Strings(vec![0]);
        let mut name_offsets: Vec<u32> =
            parts.iter().map(|p| if p.0.is_empty() { 0 } else { names.add(p.0) }).collect();
        name_offsets.push(names.add(".shstrtab"));
        parts.push((".shstrtab", 3, 0, 0, names.0, 0, 0, 0));

        let mut offsets = Vec::new();
        let mut at = CODE_OFFSET;
        for p in &parts {
            offsets.push(if p.1 == 0 { 0 } else { at });
            at = (at + p.4.len() as u64).next_multiple_of(16);
        }
        let shoff = at;
        let machine = if self.machine == 0 { 62 } else { self.machine };
        let mut w = writer();
        w.out.extend([
            0x7f,
            b'E',
            b'L',
            b'F',
            if self.narrow { 1 } else { 2 },
            if self.big { 2 } else { 1 },
            1,
        ]);
        w.out.resize(16, 0);
        w.u16(3);
        w.u16(machine);
        w.u32(1);
        w.word(0);
        w.word(head);
        w.word(shoff);
        w.u32(0);
        for v in [head as u16, phsize, 1, shsize, parts.len() as u16, parts.len() as u16 - 1] {
            w.u16(v);
        }
        w.u32(1);
        if self.narrow {
            for v in [CODE_OFFSET, CODE_ADDR, CODE_ADDR, 0x1000, 0x1000] {
                w.u32(v as u32);
            }
            w.u32(5);
            w.u32(0x1000);
        } else {
            w.u32(5);
            for v in [CODE_OFFSET, CODE_ADDR, CODE_ADDR, 0x1000, 0x1000, 0x1000] {
                w.int(v, 8);
            }
        }
        for (p, offset) in parts.iter().zip(&offsets) {
            if p.1 != 0 {
                w.out.resize(*offset as usize, 0);
                w.out.extend(&p.4);
            }
        }
        w.out.resize(shoff as usize, 0);
        for ((p, offset), name) in parts.iter().zip(&offsets).zip(&name_offsets) {
            w.u32(*name);
            w.u32(p.1);
            for v in [p.2, p.3, *offset, p.4.len() as u64] {
                w.word(v);
            }
            w.u32(p.5);
            w.u32(p.6);
            w.word(1);
            w.word(p.7);
        }
        w.out
    }
}

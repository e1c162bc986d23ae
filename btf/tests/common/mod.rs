//! A small BTF writer for tests.
#![allow(dead_code)]

use btf::Endian;

pub struct Writer {
    endian: Endian,
    types: Vec<u8>,
    strings: Vec<u8>,
    string_base: u32,
    next: u32,
    pub header_len: u32,
    /// Entries of a layout section: bytes once, and for each entry that a record counts.
    pub layout: Vec<(u8, u8)>,
}

pub const INT: u32 = 1;
pub const PTR: u32 = 2;
pub const ARRAY: u32 = 3;
pub const STRUCT: u32 = 4;
pub const UNION: u32 = 5;
pub const ENUM: u32 = 6;
pub const FWD: u32 = 7;
pub const TYPEDEF: u32 = 8;
pub const VOLATILE: u32 = 9;
pub const CONST: u32 = 10;
pub const RESTRICT: u32 = 11;
pub const FUNC: u32 = 12;
pub const FUNC_PROTO: u32 = 13;
pub const VAR: u32 = 14;
pub const DATASEC: u32 = 15;
pub const FLOAT: u32 = 16;
pub const DECL_TAG: u32 = 17;
pub const TYPE_TAG: u32 = 18;
pub const ENUM64: u32 = 19;
/// Added to a kind's number: the flag bit.
pub const FLAG: u32 = 0x80;

impl Writer {
    pub fn new(endian: Endian) -> Writer {
        Writer {
            endian,
            types: vec![],
            strings: vec![0],
            string_base: 0,
            next: 1,
            header_len: 24,
            layout: vec![],
        }
    }

    /// A split one that goes on after `next` types and `strings` bytes of strings.
    pub fn split(endian: Endian, next: u32, strings: u32) -> Writer {
        Writer {
            endian,
            types: vec![],
            strings: vec![],
            string_base: strings,
            next,
            header_len: 24,
            layout: vec![],
        }
    }

    pub fn strings_len(&self) -> u32 {
        self.strings.len() as u32
    }

    pub fn string(&mut self, text: &str) -> u32 {
        if text.is_empty() {
            return 0;
        }
        let at = self.string_base + self.strings.len() as u32;
        self.strings.extend_from_slice(text.as_bytes());
        self.strings.push(0);
        at
    }

    fn put(&self, out: &mut Vec<u8>, value: u32) {
        out.extend_from_slice(&match self.endian {
            Endian::Little => value.to_le_bytes(),
            Endian::Big => value.to_be_bytes(),
        });
    }

    /// Adds a type; `extra` are the words after the common three. Returns its id.
    pub fn add(&mut self, name: &str, kind: u32, count: u32, word: u32, extra: &[u32]) -> u32 {
        let name = self.string(name);
        let info = count | ((kind & 0x7f) << 24) | if kind & FLAG != 0 { 1 << 31 } else { 0 };
        let mut record = vec![];
        for value in [name, info, word].iter().chain(extra) {
            self.put(&mut record, *value);
        }
        self.types.extend(record);
        self.next += 1;
        self.next - 1
    }

    /// Adds a struct or union of `(name, type, raw offset)`.
    pub fn composite(&mut self, kind: u32, name: &str, size: u32, members: &[(&str, u32, u32)]) -> u32 {
        let extra: Vec<u32> =
            members.iter().flat_map(|&(name, ty, offset)| [self.string(name), ty, offset]).collect();
        self.add(name, kind, members.len() as u32, size, &extra)
    }

    pub fn int(&mut self, name: &str, size: u32, encoding: u32) -> u32 {
        self.add(name, INT, 0, size, &[(encoding << 24) | (size * 8)])
    }

    pub fn finish(&self) -> Vec<u8> {
        let mut out = match self.endian {
            Endian::Little => vec![0x9f, 0xeb, 1, 0],
            Endian::Big => vec![0xeb, 0x9f, 1, 0],
        };
        let (types, strings) = (self.types.len() as u32, self.strings.len() as u32);
        let layout: Vec<u8> = self.layout.iter().flat_map(|(once, each)| [*once, *each, 0, 0]).collect();
        // In the order of pahole: the layout between types and strings.
        let (after, layout_len) = (types + layout.len() as u32, layout.len() as u32);
        for value in [self.header_len, 0, types, after, strings, types, layout_len] {
            self.put(&mut out, value);
        }
        out.resize(self.header_len as usize, 0xaa);
        out.extend_from_slice(&self.types);
        out.extend_from_slice(&layout);
        out.extend_from_slice(&self.strings);
        out
    }
}

/// Data with every kind in it.
pub fn every_kind(endian: Endian) -> Vec<u8> {
    let mut w = Writer::new(endian);
    let int = w.int("int", 4, 1);
    let long = w.int("long unsigned int", 8, 0);
    let ptr = w.add("", PTR, 0, int, &[]);
    let array = w.add("", ARRAY, 0, 0, &[int, long, 3]);
    let arrays = w.add("", ARRAY, 0, 0, &[array, long, 2]);
    let inner = w.composite(UNION, "", 8, &[("u_int", int, 0), ("u_long", long, 0)]);
    let anonymous = w.composite(STRUCT, "", 16, &[("", inner, 0), ("tail", ptr, 64)]);
    w.composite(STRUCT, "outer", 64, &[("first", int, 0), ("", anonymous, 64), ("grid", arrays, 192)]);
    let (low, high) = (3 << 24, (5 << 24) | 3);
    w.composite(STRUCT | FLAG, "bits", 4, &[("low", int, low), ("high", int, high), ("whole", int, 32)]);
    let names = ["A", "B"].map(|name| w.string(name));
    w.add("unsigned_enum", ENUM, 2, 4, &[names[0], 1, names[1], u32::MAX]);
    w.add("signed_enum", ENUM | FLAG, 2, 4, &[names[0], 1, names[1], u32::MAX]);
    w.add("wide_enum", ENUM64 | FLAG, 2, 8, &[names[0], 1, 2, names[1], u32::MAX, u32::MAX]);
    w.add("declared", FWD, 0, 0, &[]);
    w.add("declared_union", FWD | FLAG, 0, 0, &[]);
    let constant = w.add("", CONST, 0, int, &[]);
    let volatile = w.add("", VOLATILE, 0, constant, &[]);
    let restrict = w.add("", RESTRICT, 0, volatile, &[]);
    let tag = w.add("rcu", TYPE_TAG, 0, restrict, &[]);
    let typedef = w.add("wrapped_t", TYPEDEF, 0, tag, &[]);
    let param = w.string("arg");
    let proto = w.add("", FUNC_PROTO, 2, int, &[param, typedef, 0, 0]);
    let func = w.add("do_it", FUNC, 1, proto, &[]);
    let var = w.add("counter", VAR, 0, typedef, &[1]);
    w.add(".data", DATASEC, 1, 16, &[var, 8, 4]);
    w.add("double", FLOAT, 0, 8, &[]);
    w.add("kfunc", DECL_TAG, 0, func, &[u32::MAX]);
    w.finish()
}

/// A writer that has `int`, and its id.
pub fn writer() -> (Writer, u32) {
    let mut w = Writer::new(Endian::Little);
    let int = w.int("int", 4, 1);
    (w, int)
}

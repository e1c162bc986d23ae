//! Reading `.BTF.ext`: both byte orders, records of any size, damage.

mod common;

use btf::ext::BtfExt;
use btf::*;
use common::*;
use expect_test::expect;
use std::fmt::Write;

/// Data with two sections in each part; records are `more` bytes longer than known.
fn data(endian: Endian, names: [u32; 2], more: usize, header_len: u32) -> Vec<u8> {
    let part = |fields: usize, records: [&[&[u32]]; 2]| {
        let mut words = vec![(4 * fields + more) as u32];
        for (name, records) in names.iter().zip(records) {
            words.extend([*name, records.len() as u32]);
            for record in records {
                words.extend(record.iter());
                words.extend(vec![u32::MAX; more / 4]);
            }
        }
        words
    };
    let funcs = part(2, [&[&[0, 2], &[24, 3]], &[&[0, 4]]]);
    let lines = part(4, [&[&[0, 1, 1, (7 << 10) | 3]], &[&[8, 1, 1, 12 << 10], &[16, 1, 1, 1]]]);
    let relos = part(4, [&[&[8, 1, 1, 0]], &[&[0, 1, 1, 12]]]);
    let lens = [&funcs, &lines, &relos].map(|part| 4 * part.len() as u32);
    let header = [header_len, 0, lens[0], lens[0], lens[1], lens[0] + lens[1], lens[2]];
    let mut out = match endian {
        Endian::Little => vec![0x9f, 0xeb, 1, 0],
        Endian::Big => vec![0xeb, 0x9f, 1, 0],
    };
    let put = |out: &mut Vec<u8>, words: &[u32]| {
        for word in words {
            out.extend(match endian {
                Endian::Little => word.to_le_bytes(),
                Endian::Big => word.to_be_bytes(),
            });
        }
    };
    put(&mut out, &header);
    out.resize(header_len as usize, 0);
    for part in [&funcs, &lines, &relos] {
        put(&mut out, part);
    }
    out
}

fn describe(ext: &BtfExt<'_>) -> String {
    let mut out = String::new();
    for section in ext.func_info() {
        writeln!(out, "{} {:?}", section.name, section.records.collect::<Vec<_>>()).unwrap();
    }
    for section in ext.line_info() {
        let lines: Vec<_> = section.records.map(|line| (line.insn_off, line.line(), line.column())).collect();
        writeln!(out, "{} {lines:?}", section.name).unwrap();
    }
    for section in ext.core_relos() {
        assert_eq!(section.records.len(), section.records.clone().count());
        writeln!(out, "{} {:?}", section.name, section.records.collect::<Vec<_>>()).unwrap();
    }
    out
}

fn strings() -> (Vec<u8>, [u32; 2]) {
    let mut w = Writer::new(Endian::Little);
    w.int("int", 4, 1);
    let names = ["kprobe/vfs_read", ".text"].map(|name| w.string(name));
    (w.finish(), names)
}

#[test]
fn all_parts_in_both_byte_orders() {
    let (bytes, names) = strings();
    let btf = Btf::parse(&bytes).unwrap();
    let mut seen = vec![];
    for endian in [Endian::Little, Endian::Big] {
        for (more, header_len) in [(0, 32), (4, 32), (64, 48)] {
            let data = data(endian, names, more, header_len);
            let ext = BtfExt::parse(&data, &btf).unwrap();
            assert_eq!(ext.endian(), endian);
            seen.push(describe(&ext));
        }
    }
    seen.dedup();
    expect![[r#"
        kprobe/vfs_read [FuncInfo { insn_off: 0, type_id: TypeId(2) }, FuncInfo { insn_off: 24, type_id: TypeId(3) }]
        .text [FuncInfo { insn_off: 0, type_id: TypeId(4) }]
        kprobe/vfs_read [(0, 7, 3)]
        .text [(8, 12, 0), (16, 0, 1)]
        kprobe/vfs_read [CoreRelo { insn_off: 8, type_id: TypeId(1), access_str_off: 1, kind: FieldByteOffset }]
        .text [CoreRelo { insn_off: 0, type_id: TypeId(1), access_str_off: 1, kind: TypeMatches }]
    "#]]
    .assert_eq(&seen.concat());
    // The header of compilers that had no relocations yet.
    let old = data(Endian::Little, names, 0, 32);
    let mut cut = old.clone();
    cut.drain(24..32);
    cut[4] = 24;
    assert_eq!(BtfExt::parse(&cut, &btf).unwrap().core_relos().count(), 0);
    assert_eq!(BtfExt::parse(&cut, &btf).unwrap().line_info().count(), 2);
}

#[test]
fn damage_is_named() {
    let (bytes, names) = strings();
    let btf = Btf::parse(&bytes).unwrap();
    let good = data(Endian::Little, names, 0, 32);
    let changed = |at: usize, value: u32| {
        let mut data = good.clone();
        data[at..at + 4].copy_from_slice(&value.to_le_bytes());
        data
    };
    let cases = [
        vec![],
        good[..3].to_vec(),
        good[..20].to_vec(),
        changed(0, 0x464c_457f),
        changed(0, 0x0002_eb9f),
        changed(4, 8),
        changed(4, u32::MAX),
        changed(8, u32::MAX),
        changed(12, 3),
        changed(12, 7),
        changed(12, u32::MAX),
        changed(32, 4),
        changed(32, 9),
        changed(32, 0),
        changed(36, 10_000),
        changed(40, 20),
        changed(40, u32::MAX),
        changed(good.len() - 4, 13),
        good[..good.len() - 1].to_vec(),
    ];
    let mut out = String::new();
    for data in &cases {
        writeln!(out, "{}", BtfExt::parse(data, &btf).unwrap_err()).unwrap();
    }
    expect![[r#"
        .BTF.ext header at offset 0: 24 bytes are needed, 0 are there; the data was cut short
        .BTF.ext header at offset 0: 24 bytes are needed, 3 are there; the data was cut short
        .BTF.ext header at offset 0: 32 bytes are needed, 20 are there; the data was cut short
        .BTF.ext header at offset 0: magic is 0x457f, not 0xeb9f; this is no .BTF.ext
        .BTF.ext header at offset 0: version 2 is unknown, only 1 exists; a newer reader is needed
        .BTF.ext header at offset 0: a length of 8 bytes, where 24 is the least; the data is damaged
        .BTF.ext header at offset 0: 4294967295 bytes are needed, 196 are there; the data was cut short
        .BTF.ext func info at offset 4294967327: 44 bytes do not fit into 196 bytes of data; cut short?
        .BTF.ext func info at offset 32: 4 bytes are needed, 3 are there; the data was cut short
        .BTF.ext func info at offset 36: 8 bytes are needed, 3 are there; the data was cut short
        .BTF.ext func info at offset 32: 4294967295 bytes do not fit into 196 bytes of data; cut short?
        .BTF.ext func info at offset 32: records of 4 bytes, which must be a multiple of 4 and 8 at least
        .BTF.ext func info at offset 32: records of 9 bytes, which must be a multiple of 4 and 8 at least
        .BTF.ext func info at offset 32: records of 0 bytes, which must be a multiple of 4 and 8 at least
        .BTF.ext func info at offset 36: the section's name should be at 10000 of the strings of .BTF, and is not; take both from the same object
        .BTF.ext func info at offset 36: 168 bytes are needed, 40 are there; the data was cut short
        .BTF.ext func info at offset 36: 34359738368 bytes are needed, 40 are there; the data was cut short
        .BTF.ext CO-RE relocation at offset 180: relocation kind 13 is unknown; a newer reader is needed
        .BTF.ext CO-RE relocation at offset 144: 52 bytes do not fit into 195 bytes of data; cut short?
    "#]]
    .assert_eq(&out);
}

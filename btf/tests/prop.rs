//! No input makes the reader panic or loop.

mod common;
mod exercise;
mod print_exercise;

use btf::*;
use common::*;
use exercise::{bytes, ext};
use print_exercise::print_bytes;
use proptest::prelude::*;
use std::sync::OnceLock;

/// Records whose ids point anywhere, themselves included.
fn synthetic() -> impl Strategy<Value = Vec<u8>> {
    let record =
        (1_u32..20, 0_u32..4, prop_oneof![0_u32..12, any::<u32>()], prop::collection::vec(0_u32..12, 12));
    prop::collection::vec(record, 0..12).prop_map(|records| {
        let mut w = Writer::new(Endian::Little);
        for (kind, count, word, extra) in records {
            let (per, fixed) = match kind {
                INT | VAR | DECL_TAG => (0, 1),
                ARRAY => (0, 3),
                STRUCT | UNION | DATASEC | ENUM64 => (3, 0),
                ENUM | FUNC_PROTO => (2, 0),
                _ => (0, 0),
            };
            let words = fixed + per * count as usize;
            w.add("n", kind, count, word, &extra[..words]);
        }
        w.finish()
    })
}

/// Header, first types and first strings of the running kernel's BTF, or the synthetic data where there is none.
fn real_prefix() -> &'static [u8] {
    static DATA: OnceLock<Vec<u8>> = OnceLock::new();
    DATA.get_or_init(|| {
        let Ok(full) = std::fs::read("/sys/kernel/btf/vmlinux") else { return every_kind(Endian::Little) };
        let field = |at: usize| u32::from_ne_bytes(full[at..at + 4].try_into().unwrap()) as usize;
        let (header, str_off) = (field(4), field(16));
        let types: Vec<u8> = {
            let btf = Btf::parse(&full).expect("the kernel's BTF is valid");
            // The length of the first thousand records, by cutting until it fits.
            let upto = |len: usize| {
                let mut cut = full[..header + len].to_vec();
                cut[12..16].copy_from_slice(&(len as u32).to_ne_bytes());
                cut[16..20].copy_from_slice(&(len as u32).to_ne_bytes());
                cut[20..24].copy_from_slice(&1_u32.to_ne_bytes());
                cut.push(0);
                Btf::parse(&cut).is_ok().then(|| full[header..header + len].to_vec())
            };
            assert!(btf.next_id() > 1000);
            (20_000..22_000).step_by(4).find_map(upto).expect("a record ends there")
        };
        let end = full[header + str_off..][..40_000].iter().rposition(|byte| *byte == 0).unwrap();
        let strings = &full[header + str_off..][..=end];
        let mut out = full[..24].to_vec();
        out[4..8].copy_from_slice(&24_u32.to_ne_bytes());
        for (at, value) in [(8, 0), (12, types.len()), (16, types.len()), (20, strings.len())] {
            out[at..at + 4].copy_from_slice(&(value as u32).to_ne_bytes());
        }
        out.extend_from_slice(&types);
        out.extend_from_slice(strings);
        Btf::parse(&out).expect("a valid prefix");
        out
    })
}

/// Types and `.BTF.ext` as the body takes them, with `more` bytes in each record than are known.
fn notes(more: u32) -> Vec<u8> {
    let types = every_kind(Endian::Little);
    let mut out = (types.len() as u16).to_le_bytes().to_vec();
    out.extend(types);
    let part = |words: u32| {
        let mut part = vec![4 * words + more];
        for count in [1, 2] {
            part.extend([1, count]);
            part.extend(vec![1; (count * (words + more / 4)) as usize]);
        }
        part
    };
    let parts = [part(2), part(4), part(4)];
    let lens = parts.each_ref().map(|part| 4 * part.len() as u32);
    let header = [0x0001_eb9f, 32, 0, lens[0], lens[0], lens[1], lens[0] + lens[1], lens[2]];
    for word in header.iter().chain(parts.iter().flatten()) {
        out.extend(word.to_le_bytes());
    }
    out
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_graph_of_types(data in synthetic()) {
        Btf::parse(&data).expect("well-formed records");
        bytes(&data);
    }

    #[test]
    fn damaged_real_data(hits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..40)) {
        let mut data = real_prefix().to_vec();
        for (at, byte) in hits {
            let at = at.index(data.len());
            data[at] = byte;
        }
        bytes(&data);
    }

    #[test]
    fn any_graph_of_types_prints(data in synthetic()) {
        print_bytes(&data);
    }

    #[test]
    fn damaged_kinds_print(hits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..20)) {
        let mut data = every_kind(Endian::Big);
        for (at, byte) in hits {
            let at = at.index(data.len());
            data[at] = byte;
        }
        print_bytes(&data);
    }

    #[test]
    fn damaged_headers(head in prop::collection::vec(any::<u8>(), 0..28), cut in any::<prop::sample::Index>()) {
        let mut data = every_kind(Endian::Big);
        for (place, byte) in data.iter_mut().skip(4).zip(head) {
            *place = byte;
        }
        data.truncate(cut.index(data.len() + 1));
        bytes(&data);
    }

    #[test]
    fn damaged_notes(hits in prop::collection::vec((any::<prop::sample::Index>(), 0_u8..40), 0..6), more in 0_u32..3) {
        let mut data = notes(4 * more);
        for (at, byte) in hits {
            let at = at.index(data.len());
            data[at] = byte;
        }
        ext(&data);
    }

    #[test]
    fn any_notes(data in prop::collection::vec(any::<u8>(), 0..200)) {
        ext(&data);
    }
}

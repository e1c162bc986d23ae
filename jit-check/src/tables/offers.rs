//! Which helpers a kernel offers to which programs.

use crate::kernel::Version;
use std::collections::HashMap;
use std::sync::LazyLock;

/// Helpers by program, as bits. A line is `program hex`; the lowest bit is helper 0.
type Table = HashMap<&'static str, [u64; 4]>;

static TABLES: LazyLock<Vec<(Version, Table)>> = LazyLock::new(|| {
    [
        (Version(5, 10), include_str!("helpers/5.10.txt")),
        (Version(6, 1), include_str!("helpers/6.1.txt")),
        (Version(6, 12), include_str!("helpers/6.12.txt")),
        (Version(6, 18), include_str!("helpers/6.18.txt")),
        (Version(7, 2), include_str!("helpers/7.2.txt")),
    ]
    .map(|(version, text)| (version, parse(text)))
    .into()
});

fn parse(text: &'static str) -> Table {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines.filter_map(|line| line.split_once(' ')).map(|(name, hex)| (name, bits(hex))).collect()
}

fn bits(hex: &str) -> [u64; 4] {
    let mut words = [0; 4];
    for (at, digit) in hex.chars().rev().enumerate() {
        if let (Some(word), Some(digit)) = (words.get_mut(at / 16), digit.to_digit(16)) {
            *word |= u64::from(digit) << (at % 16 * 4);
        }
    }
    words
}

/// Highest helper id of a kernel, and one more (`__BPF_FUNC_MAX_ID`).
pub(crate) fn helper_count(version: Version) -> u32 {
    match version {
        v if v >= Version(6, 2) => 212,
        v if v >= Version(6, 1) => 210,
        v if v >= Version(6, 0) => 208,
        v if v >= Version(5, 19) => 204,
        v if v >= Version(5, 18) => 194,
        v if v >= Version(5, 17) => 189,
        v if v >= Version(5, 16) => 180,
        v if v >= Version(5, 15) => 176,
        v if v >= Version(5, 14) => 169,
        v if v >= Version(5, 13) => 166,
        v if v >= Version(5, 12) => 164,
        v if v >= Version(5, 11) => 163,
        _ => 156,
    }
}

/// Whether a program may call the helper. `names` are what the program is called in the tables, the most telling first
/// (`tracing/trace_iter:tcp`, `tracing/trace_iter`, `tracing`).
pub(crate) fn offers_helper(version: Version, names: &[String], helper: u32) -> bool {
    if helper >= helper_count(version) {
        return false;
    }
    // The newest kernel that is not newer, else an older or newer one that knows the program.
    let at = TABLES.iter().rposition(|(known, _)| *known <= version).unwrap_or(0);
    let order = std::iter::once(at).chain((0..at).rev()).chain(at + 1..TABLES.len());
    for table in order {
        if let Some(words) = names.iter().find_map(|name| TABLES[table].1.get(name.as_str())) {
            return words.get(helper as usize / 64).is_some_and(|word| word >> (helper % 64) & 1 != 0);
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_is_a_program_and_its_bits() {
        for (version, table) in TABLES.iter() {
            assert!(!table.is_empty(), "{version}");
            for (name, words) in table {
                assert!(words[0] & 1 == 0, "{version} {name}: there is no helper 0");
                let count = helper_count(*version) as usize;
                let past = (count..256).any(|id| words[id / 64] >> (id % 64) & 1 != 0);
                assert!(!past, "{version} {name}: more helpers than there are");
            }
        }
    }

    #[test]
    fn programs_find_their_line() {
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let xdp = names(&["xdp"]);
        // bpf_map_lookup_elem, bpf_xdp_adjust_head, bpf_skb_load_bytes.
        for version in [Version(5, 10), Version(6, 6), Version(7, 2)] {
            assert!(offers_helper(version, &xdp, 1) && offers_helper(version, &xdp, 44));
            assert!(!offers_helper(version, &xdp, 26));
        }
        assert!(!offers_helper(Version(6, 12), &names(&["no such program"]), 1));
    }
}

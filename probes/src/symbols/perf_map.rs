//! `/tmp/perf-PID.map`: the functions a JIT compiler has generated.
//!
//! Lines of `START SIZE NAME`, the numbers in hexadecimal (`tools/perf/Documentation/jit-interface.txt`). A
//! compiler appends; where ranges overlap, the later line holds.

/// The content of a perf map.
#[derive(Debug, Clone, Default)]
pub struct PerfMap {
    text: String,
    entries: Vec<Entry>,
    bad_lines: usize,
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    start: u64,
    size: u64,
    line: u32,
    name: u32,
    name_len: u32,
}

/// A larger map is read only so far.
const MAX_BYTES: usize = 64 << 20;

impl PerfMap {
    /// Reads the lines; those without the documented form are counted and left out.
    pub fn parse(bytes: &[u8]) -> PerfMap {
        let text = String::from_utf8_lossy(&bytes[..bytes.len().min(MAX_BYTES)]).into_owned();
        let mut map = PerfMap::default();
        let mut at = 0;
        for (number, line) in text.split_inclusive('\n').enumerate() {
            let start_of_line = at;
            at += line.len();
            let trimmed = line.trim_end_matches(['\n', '\r']);
            if trimmed.is_empty() {
                continue;
            }
            let parsed = (|| {
                let (start, rest) = trimmed.split_once(' ')?;
                let (size, name) = rest.split_once(' ')?;
                let name_at = start_of_line + start.len() + size.len() + 2;
                let (start, size) = (hex(start)?, hex(size)?);
                start.checked_add(size)?;
                let (name_at, name_len) = (u32::try_from(name_at).ok()?, u32::try_from(name.len()).ok()?);
                (name_len > 0).then_some(Entry { start, size, line: number as u32, name: name_at, name_len })
            })();
            match parsed {
                Some(entry) => map.entries.push(entry),
                None => map.bad_lines += 1,
            }
        }
        map.entries.sort_unstable_by_key(|e| (e.start, e.line));
        map.text = text;
        map
    }

    /// The function at an address and the offset into it.
    pub fn lookup(&self, addr: u64) -> Option<(&str, u64)> {
        let after = self.entries.partition_point(|e| e.start <= addr);
        // Recompiled code may overlap older code at another start; look back a little, the youngest wins.
        let covering = self.entries[..after].iter().rev().take(64).filter(|e| addr - e.start < e.size.max(1));
        let entry = covering.max_by_key(|e| e.line)?;
        let name = self.text.get(entry.name as usize..(entry.name + entry.name_len) as usize)?;
        Some((name, addr - entry.start))
    }

    /// How many functions it names.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether it names none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Lines that could not be read.
    pub fn bad_lines(&self) -> usize {
        self.bad_lines
    }
}

fn hex(text: &str) -> Option<u64> {
    let digits = text.strip_prefix("0x").unwrap_or(text);
    if digits.starts_with('+') { None } else { u64::from_str_radix(digits, 16).ok() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn later_lines_win() {
        let map = PerfMap::parse(
            b"1000 100 old\n1000 80 Lfoo; with spaces\r\n2000 0 point\nnonsense\n0x3000 10 x\n",
        );
        assert_eq!(map.lookup(0x1010), Some(("Lfoo; with spaces", 0x10)));
        assert_eq!(map.lookup(0x1090), Some(("old", 0x90)));
        assert_eq!(map.lookup(0x2000), Some(("point", 0)));
        assert_eq!(map.lookup(0x2001), None);
        assert_eq!(map.lookup(0x3008), Some(("x", 8)));
        assert_eq!((map.len(), map.bad_lines()), (4, 1));
    }

    proptest! {
        #[test]
        fn any_bytes_are_read(bytes in proptest::collection::vec(any::<u8>(), 0..300), addr: u64) {
            let map = PerfMap::parse(&bytes);
            let _ = map.lookup(addr);
        }

        #[test]
        fn any_lines_are_read(lines in "([0-9a-f]{1,16} [0-9a-f]{1,16} [a-z ]{0,5}\n){0,8}", addr: u64) {
            let map = PerfMap::parse(lines.as_bytes());
            let _ = map.lookup(addr);
        }
    }
}

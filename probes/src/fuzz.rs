//! Bodies of the fuzz targets that need what is private here: each takes bytes that may be anything and holds the
//! readers to what they promise. `fuzz/` runs them under libFuzzer (`--cfg fuzzing`), the tests below under proptest.

use std::ops::ControlFlow;

use crate::kernel::kallsyms::{self, Kallsyms};
use crate::kernel::{blacklist::Blacklist, config, functions, lines, modules};
use crate::spec::{self, Dialect, Pattern, Syntax};
use crate::symbols::demangle::demangle;
use crate::symbols::perf_map::PerfMap;
use crate::tracefs::{DynamicEvent, DynamicKind, Format, parse_error_log};
use crate::user::ldcache::LdCache;
use crate::user::maps::{Backing, Mapping};

/// A body: any bytes in, a panic where a promise is broken.
pub type Body = fn(&[u8]);

const SYNTAXES: [Syntax; 3] = [Syntax::Glob, Syntax::BccWildcard, Syntax::Regex];
const DIALECTS: [Dialect; 3] = [Dialect::Auto, Dialect::Bcc, Dialect::Bpftrace];

fn text(data: &[u8]) -> Option<&str> {
    std::str::from_utf8(data).ok()
}

/// An event spec in every dialect and syntax: the span is the text without blanks, the canonical spelling means the
/// same, an error points into the text.
pub fn event_spec(data: &[u8]) {
    let Some(text) = text(data) else { return };
    for (dialect, syntax) in DIALECTS.iter().flat_map(|d| SYNTAXES.map(|s| (*d, s))) {
        match spec::parse(text, dialect, syntax) {
            Ok(spec) => {
                assert_eq!(text.trim(), &text[spec.span.clone()]);
                let shown = spec.to_string();
                // Brackets are no wildcards for BCC: the canonical spelling is not meant for that reading.
                if syntax != Syntax::BccWildcard && dialect != Dialect::Bcc {
                    let again = spec::parse(&shown, Dialect::Auto, syntax).map(|s| s.kind);
                    assert_eq!(again, Ok(spec.kind), "shown as {shown:?}");
                }
            }
            Err(error) => {
                assert!(text.get(error.span.clone()).is_some(), "{error:?}");
                assert!(!error.problem.is_empty());
                let _ = (error.excerpt(), error.to_string());
            }
        }
    }
}

/// `*` and `?` by dynamic programming: slow, and hardly to be got wrong.
fn textbook(pattern: &[u8], name: &[u8], question: bool) -> bool {
    let mut row = vec![false; name.len() + 1];
    row[0] = true;
    for &p in pattern {
        let before = row.clone();
        row[0] = before[0] && p == b'*';
        for i in 1..=name.len() {
            row[i] = match p {
                b'*' => row[i - 1] || before[i],
                b'?' if question => before[i - 1],
                _ => before[i - 1] && p == name[i - 1],
            };
        }
    }
    row[name.len()]
}

/// A pattern and, behind the first NUL, a name: the textbook agrees, a literal matches itself only.
pub fn pattern(data: &[u8]) {
    let (text, name) = data.split_at(data.iter().position(|b| *b == 0).unwrap_or(data.len()));
    let (Ok(text), name) = (std::str::from_utf8(text), name.get(1..).unwrap_or_default()) else { return };
    if data.len() > 1000 {
        return;
    }
    for syntax in SYNTAXES {
        for made in [Pattern::new(text, syntax), Pattern::new_whole(text, syntax)] {
            let pattern = match made {
                Ok(pattern) => pattern,
                Err(error) => {
                    assert!(text.get(error.span.clone()).is_some(), "{error:?}");
                    assert!(syntax != Syntax::BccWildcard);
                    continue;
                }
            };
            let matches = pattern.matches_bytes(name);
            let plain = syntax == Syntax::BccWildcard || (syntax == Syntax::Glob && !text.contains('['));
            if plain {
                let want = textbook(text.as_bytes(), name, syntax == Syntax::Glob);
                assert_eq!(matches, want, "{text:?} on {name:?}");
            }
            if let Some(literal) = pattern.literal() {
                assert!(pattern.matches(literal));
                assert_eq!(matches, literal.as_bytes() == name);
            }
            assert!(!pattern.is_any() || matches);
        }
    }
}

/// `/proc/kallsyms`: the table and the one pass over sorted addresses give the same names.
pub fn kallsyms(data: &[u8]) {
    let Ok(table) = Kallsyms::from_reader(data) else {
        assert!(kallsyms::resolve_sorted_from(data, &[1]).is_err());
        return;
    };
    let mut wanted = vec![0, 1, u64::MAX];
    let _ = lines::for_each(data, |line| {
        if let Some(line) = kallsyms::parse_line(line) {
            assert!(!line.name.is_empty());
            wanted.extend([line.addr, line.addr.wrapping_sub(1), line.addr.wrapping_add(3)]);
        }
        ControlFlow::Continue(())
    });
    wanted.sort_unstable();
    let found = kallsyms::resolve_sorted_from(data, &wanted).expect("the table could be read");
    assert_eq!(found.len(), wanted.len());
    for (addr, symbol) in wanted.iter().zip(&found) {
        let offset = table.lookup(*addr).map(|(_, offset, _)| offset);
        assert_eq!(offset, symbol.as_ref().map(|s| s.offset), "{addr:#x}");
    }
}

/// `/etc/ld.so.cache`: no entry holds a NUL.
pub fn ld_cache(data: &[u8]) {
    match LdCache::parse(data) {
        Ok(cache) => {
            for entry in cache.entries().take(10_000) {
                assert!(!entry.name.contains('\0') && !entry.path.contains('\0'));
            }
        }
        Err(what) => assert!(!what.is_empty()),
    }
}

/// `/proc/PID/maps`: every line is a mapping or counted as bad.
pub fn maps(data: &[u8]) {
    let (maps, bad) = Mapping::parse_all(data);
    let lines = data.split(|b| *b == b'\n').filter(|line| !line.is_empty()).count();
    assert_eq!(maps.len() + bad, lines);
    for map in &maps {
        assert!(map.contains(map.start) && !map.contains(map.end));
        let named = matches!(map.backing, Backing::File(_) | Backing::Deleted(_));
        assert_eq!(map.path().is_some(), named);
    }
    let _ = Backing::parse(data);
}

/// `/tmp/perf-PID.map`: an address that is named lies inside of a line's range.
pub fn perf_map(data: &[u8]) {
    let map = PerfMap::parse(data);
    let lines = data.split(|b| *b == b'\n').filter(|line| !line.is_empty()).count();
    assert!(map.len() + map.bad_lines() <= lines);
    let text = String::from_utf8_lossy(data);
    let starts = text.lines().filter_map(|line| line.split(' ').next());
    for start in starts.filter_map(|hex| u64::from_str_radix(hex.trim_start_matches("0x"), 16).ok()) {
        for addr in [start, start.wrapping_add(1), start.wrapping_sub(1)] {
            if let Some((name, offset)) = map.lookup(addr) {
                assert!(!name.is_empty() && offset <= addr);
            }
        }
    }
}

/// The line files of the kernel: traceable functions, blacklist, modules, configuration; lines do not depend on how
/// many bytes a read returns.
pub fn kernel_lines(data: &[u8]) {
    struct Slow<'a>(&'a [u8], usize);
    impl std::io::Read for Slow<'_> {
        fn read(&mut self, out: &mut [u8]) -> std::io::Result<usize> {
            let (front, rest) = self.0.split_at(self.1.min(self.0.len()).min(out.len()));
            out[..front.len()].copy_from_slice(front);
            self.0 = rest;
            Ok(front.len())
        }
    }
    let collect = |step: usize| {
        let mut out = Vec::new();
        let read = lines::for_each(Slow(data, step), |line| {
            out.push(line.to_vec());
            ControlFlow::Continue(())
        });
        read.expect("reading from memory does not fail");
        out
    };
    let all = collect(usize::MAX);
    assert_eq!(all, collect(usize::from(data.first().copied().unwrap_or(0)) + 1));
    for line in &all {
        if let Some((name, module)) = functions::available_line(line) {
            assert!(!name.is_empty() && !name.contains(&b' ') && module.is_none_or(|m| !m.is_empty()));
        }
        if let Some(module) = modules::parse_line(line) {
            assert!(modules::same_name(&module.name, &module.name));
        }
        let _ = modules::dep_entry(line, "ext4");
    }
    let blacklist = Blacklist::from_reader(data).expect("reading from memory does not fail");
    let _ = (blacklist.contains(b"do_int3"), blacklist.contains(data));
    let _ = config::setting_in(data, "CONFIG_KPROBES");
}

/// A tracepoint's `format` file: names and types are not empty, a field that is found has the name.
pub fn tracepoint_format(data: &[u8]) {
    let Some(text) = text(data) else { return };
    for text in [text, &format!("name: x\nID: 1\nfield:{text}")] {
        let Some(format) = Format::parse(text) else { continue };
        for field in &format.fields {
            assert!(format.field(&field.name).is_some());
        }
        assert!(format.own_fields().count() <= format.fields.len());
    }
}

/// `kprobe_events`, `uprobe_events` and `error_log`.
pub fn dynamic_events(data: &[u8]) {
    let Some(text) = text(data) else { return };
    for line in text.lines() {
        for kind in [DynamicKind::Kprobe, DynamicKind::Uprobe] {
            if let Some(event) = DynamicEvent::parse(kind, line) {
                assert_eq!(event.kind, kind);
                let _ = event.owner();
            }
        }
    }
    if let Some(logged) = parse_error_log(text) {
        let _ = logged.to_string();
    }
}

/// A symbol's name made readable.
pub fn demangled(data: &[u8]) {
    let Some(name) = text(data) else { return };
    assert_eq!(demangle(name).is_empty(), name.is_empty());
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Each body with a text that it knows well; parts of the texts are put together in any order.
    const BODIES: [(Body, &[&str]); 10] = [
        (
            event_spec,
            &["p:c:read", "tracepoint:sched:sched_*", "uprobe:\"/a:b\":\"f\\\"\"", "+0x10", "[ab]", "r:"],
        ),
        (pattern, &["a*b", "\0", "?", "[a-c]", "[!x]", "ab", "(a|b)+", "\\", "*"]),
        (
            kallsyms,
            &["ffffffff81000000 T _text\n", "ffffffffc0000000 t f\t[m]\n", "1 t a\n", "ffff", " T ", "\n"],
        ),
        (
            ld_cache,
            &["glibc-ld.so.cache1.1", "ld.so-1.7.0\0", "\u{1}\0\0\0", "\0\0\0\0\0\0\0\0", "libc.so.6\0"],
        ),
        (maps, &["1000-2000 r-xp 0 00:00 0 ", "/a\\012b (deleted)", "[heap]", "\n", "ffff-", "/memfd:x"]),
        (perf_map, &["1000 100 f\n", "0x1080 10 g h\r\n", "ffffffffffffffff 1 x\n", " ", "1", "\n"]),
        (
            kernel_lines,
            &["vfs_read [ext4]\n", "0x1-0x2\tdo_int3\n", "m 1 0 - Live 0x0\n", "CONFIG_KPROBES=y\n", "\n"],
        ),
        (
            tracepoint_format,
            &[
                "name: x\n",
                "ID: 3\n",
                "\tfield:char c[4];\toffset:0;\tsize:4;\tsigned:1;\n",
                "__data_loc ",
                "[]",
            ],
        ),
        (
            dynamic_events,
            &[
                "p:g/e f+4 a=$arg1\n",
                "r1:e f\n",
                "[ 1.0] trace_kprobe: error: No\n  Command: p:a b\n   ^\n",
                ":",
                "\n",
            ],
        ),
        (demangled, &["_ZN3foo", "3barEv", "_R", "Nv", "C5crate", "_Z", ".part.0", "17h0123456789abcdefE"]),
    ];

    proptest! {
        #![proptest_config(ProptestConfig { cases: 1024, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn no_bytes_break_a_promise(
            parts in prop::collection::vec((any::<prop::sample::Index>(), prop::option::weighted(0.2, any::<Vec<u8>>())), 0..10),
        ) {
            for (body, known) in BODIES {
                let bytes: Vec<u8> = parts
                    .iter()
                    .flat_map(|(index, any)| any.clone().unwrap_or_else(|| known[index.index(known.len())].into()))
                    .collect();
                body(&bytes);
            }
        }
    }
}

//! ELF files made by hand: names, versions, byte orders, debug files, damage.

#[path = "user_fixtures/exercise.rs"]
mod exercise;
#[path = "user_fixtures/mod.rs"]
mod fixtures;

use std::path::{Path, PathBuf};

use expect_test::{Expect, expect};
use fixtures::{CODE_ADDR, ElfSpec, Sym, func};
use proptest::prelude::*;
use tracewell_probes::spec::{Pattern, Syntax};
use tracewell_probes::symbols::FileSymbols;
use tracewell_probes::user::Root;
use tracewell_probes::user::elf::Elf;

fn sample() -> ElfSpec {
    ElfSpec {
        symtab: vec![
            func("main", CODE_ADDR + 0x100, 0x40),
            Sym { bind: 0, ..func("helper", CODE_ADDR + 0x200, 0x10) },
            Sym { bind: 0, ..func("helper", CODE_ADDR + 0x220, 0x10) },
            func("asm_start", CODE_ADDR + 0x300, 0),
            func("after", CODE_ADDR + 0x320, 8),
            func("nowhere", 0x10, 8),
            Sym { kind: 1, ..func("table", CODE_ADDR + 0x800, 8) },
        ],
        dynsym: vec![
            Sym { version: 2 | 0x8000, ..func("copy", CODE_ADDR + 0x400, 8) },
            Sym { version: 3, ..func("copy", CODE_ADDR + 0x410, 8) },
            Sym { version: 2 | 0x8000, ..func("old", CODE_ADDR + 0x420, 8) },
            Sym { version: 4 | 0x8000, ..func("old", CODE_ADDR + 0x430, 8) },
            func("__read", CODE_ADDR + 0x500, 8),
            Sym { bind: 2, ..func("read", CODE_ADDR + 0x500, 8) },
            Sym { kind: 10, ..func("search", CODE_ADDR + 0x600, 8) },
            func("__search_avx2", CODE_ADDR + 0x610, 8),
            Sym { section: 0, addr: 0, size: 0, ..func("puts", 0, 0) },
        ],
        versions: vec!["V_1", "V_2", "V_3"],
        build_id: Some(vec![0xab; 20]),
        ..ElfSpec::default()
    }
}

fn open(spec: &ElfSpec) -> Elf {
    Elf::from_bytes(spec.build(), "/bin/sample").expect("the fixture is sound")
}

fn find(elf: &Elf, name: &str) -> String {
    match elf.function(name, &Root::ours(), Path::new("/bin/sample")) {
        Ok(f) => format!("{} addr {:#x} offset {:#x} size {:#x}", f.name, f.addr, f.file_offset, f.size),
        Err(e) => e.to_string(),
    }
}

fn check(name: &str, expected: Expect) {
    for (narrow, big) in [(false, false), (false, true), (true, false), (true, true)] {
        let elf = open(&ElfSpec { narrow, big, ..sample() });
        expected.assert_eq(&find(&elf, name));
    }
}

#[test]
fn exact_names() {
    check("main", expect!["main addr 0x401100 offset 0x1100 size 0x40"]);
    check("asm_start", expect!["asm_start addr 0x401300 offset 0x1300 size 0x0"]);
    check("copy", expect!["copy addr 0x401410 offset 0x1410 size 0x8"]);
    check("copy@V_1", expect!["copy addr 0x401400 offset 0x1400 size 0x8"]);
    check("read", expect!["read addr 0x401500 offset 0x1500 size 0x8"]);
}

#[test]
fn names_that_cannot_be_probed() {
    check(
        "old",
        expect![
            "/bin/sample: `old` is ambiguous: old@V_1 at 0x401420, old@V_3 at 0x401430; name one of them with its version (name@VERSION) or by its address"
        ],
    );
    check(
        "helper",
        expect![
            "/bin/sample: `helper` is ambiguous: helper at 0x401200, helper at 0x401220; name one of them with its version (name@VERSION) or by its address"
        ],
    );
    check(
        "search",
        expect![
            "/bin/sample: `search` is an indirect function (STT_GNU_IFUNC): a probe there would see its resolver, not the calls; probe its implementations instead: __search_avx2"
        ],
    );
    check(
        "puts",
        expect![
            "/bin/sample: `puts` is only imported here; probe the library that defines it (`ldd` lists them)"
        ],
    );
    check("mian", expect!["/bin/sample: no function `mian` (not there, or inlined everywhere)"]);
    check(
        "maim",
        expect!["/bin/sample: no function `maim` (not there, or inlined everywhere); did you mean main?"],
    );
    check(
        "copy@V_9",
        expect![
            "/bin/sample: no function `copy@V_9` (not there, or inlined everywhere); did you mean copy@V_1, copy@V_2?"
        ],
    );
    check("table", expect!["/bin/sample: `table` is a variable, not a function"]);
    check(
        "nowhere",
        expect![
            "/bin/sample: address 0x10 is in no executable segment of the file; take one from `nm` or `objdump -d`"
        ],
    );
    check("", expect!["/bin/sample: no function `` (not there, or inlined everywhere)"]);
}

#[test]
fn patterns_drop_duplicates() {
    let elf = open(&sample());
    let all = elf.functions(&Pattern::any(), &Root::ours(), Path::new("/bin/sample")).expect("readable");
    let names: Vec<_> = all.functions.iter().map(|f| format!("{} {:#x}", f.name, f.addr)).collect();
    expect![[r#"
        __search_avx2 0x401610
        after 0x401320
        asm_start 0x401300
        copy 0x401410
        helper 0x401200
        main 0x401100
        old 0x401420
        read 0x401500"#]]
    .assert_eq(&names.join("\n"));
    assert_eq!((all.indirect.as_slice(), all.misplaced), (["search".into()].as_slice(), 1));
    let none = Pattern::new("zz*", Syntax::Glob).expect("a pattern");
    assert!(elf.functions(&none, &Root::ours(), Path::new("/")).expect("readable").functions.is_empty());
}

#[test]
fn length_of_a_function_without_size_ends_at_the_next() {
    let elf = open(&sample());
    let f = elf.function("asm_start", &Root::ours(), Path::new("/x")).expect("there");
    assert_eq!(elf.function_length(&f).expect("readable"), 0x20);
}

#[test]
fn stripped_files() {
    let bare = ElfSpec { symtab: Vec::new(), dynsym: Vec::new(), ..sample() };
    expect!["/bin/sample: stripped: it has no function symbols; install its debug symbols (a -dbg/-dbgsym/-debuginfo package puts them under /usr/lib/debug), build it without `strip` or `-s`, or give an address instead of a name (build-id abababababababababababababababababababab)"]
        .assert_eq(&find(&open(&bare), "main"));
    let exported = ElfSpec { symtab: Vec::new(), ..sample() };
    expect!["/bin/sample: no function `main` (not there, or inlined everywhere); the file is stripped, only exported names were searched: debug symbols would show the rest"]
        .assert_eq(&find(&open(&exported), "main"));
    expect!["copy addr 0x401410 offset 0x1410 size 0x8"].assert_eq(&find(&open(&exported), "copy"));
}

#[test]
fn thumb_bit_is_no_address() {
    let spec = ElfSpec {
        narrow: true,
        machine: 40,
        symtab: vec![func("f", CODE_ADDR + 0x101, 8)],
        ..ElfSpec::default()
    };
    expect!["f addr 0x401100 offset 0x1100 size 0x8"].assert_eq(&find(&open(&spec), "f"));
}

#[test]
fn what_is_no_elf_file() {
    let text =
        |bytes: &[u8]| Elf::from_bytes(bytes.to_vec(), "f").err().map_or("read".into(), |e| e.to_string());
    expect![
        "f: not an ELF file (it is empty); name the program or shared library itself, not a script or archive"
    ]
    .assert_eq(&text(b""));
    expect!["f: not an ELF file (it is a script); name the program or shared library itself, not a script or archive"].assert_eq(&text(b"#!/bin/sh"));
    expect!["f: damaged ELF file: header, offset 0x4: class 0 and byte order 0 are unknown; compare it with `readelf -a`, or install the package again"]
        .assert_eq(&text(b"\x7fELF"));
    expect!["f: damaged ELF file: header: the file ends after 16 of 64 bytes; compare it with `readelf -a`, or install the package again"]
        .assert_eq(&text(b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0"));
}

/// A folder of its own for a test, removed at the end.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Folder {
        let path = std::env::temp_dir().join(format!("tracewell-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).expect("a folder for the test");
        Folder(path)
    }
    fn write(&self, name: &str, bytes: &[u8]) {
        let path = self.0.join(name);
        std::fs::create_dir_all(path.parent().expect("has a folder")).expect("a folder");
        std::fs::write(path, bytes).expect("a file of the test");
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |mut c, b| {
        c ^= u32::from(*b);
        (0..8).for_each(|_| c = if c & 1 == 1 { 0xedb8_8320 ^ (c >> 1) } else { c >> 1 });
        c
    })
}

#[test]
fn debug_files_by_build_id_and_link() {
    let folder = Folder::new("debug");
    let debug = ElfSpec { dynsym: Vec::new(), ..sample() }.build();
    let id = "ab".repeat(19);
    let stripped = ElfSpec { symtab: Vec::new(), ..sample() };
    let root = Root::at(&folder.0);
    let inside = Path::new("/bin/sample");
    folder.write("bin/sample", &stripped.build());
    let look = |spec: &ElfSpec| {
        let elf = open(spec);
        elf.function("main", &root, inside).map(|f| f.file_offset).map_err(|e| e.to_string())
    };
    assert!(look(&stripped).is_err());
    folder.write(&format!("usr/lib/debug/.build-id/ab/{id}.debug"), &debug);
    assert_eq!(look(&stripped), Ok(0x1100));
    // Another build's symbols would be worse than none.
    assert!(look(&ElfSpec { build_id: Some(vec![0xab; 4]), ..stripped.clone() }).is_err());

    let linked =
        |crc| ElfSpec { build_id: None, debug_link: Some(("sample.debug", crc)), ..stripped.clone() };
    for place in ["bin/sample.debug", "bin/.debug/sample.debug", "usr/lib/debug/bin/sample.debug"] {
        assert!(look(&linked(crc32(&debug))).is_err(), "{place}");
        folder.write(place, &debug);
        assert_eq!(look(&linked(crc32(&debug))), Ok(0x1100), "{place}");
        assert!(look(&linked(1)).is_err(), "wrong checksum in {place}");
        std::fs::remove_file(folder.0.join(place)).expect("was written");
    }
}

#[test]
fn addresses_to_names() {
    let table = FileSymbols::new(open(&sample()), &Root::ours(), Path::new("/bin/sample"));
    let at = |addr: u64| table.lookup(addr).map(|(n, o)| format!("{n}+{o:#x}")).unwrap_or_else(|| "-".into());
    let found: Vec<_> =
        [0x100, 0x13f, 0x140, 0x200, 0x228, 0x310, 0x322, 0xfff].iter().map(|a| at(CODE_ADDR + a)).collect();
    expect!["main+0x0 main+0x3f - helper+0x0 helper+0x8 asm_start+0x10 after+0x2 -"]
        .assert_eq(&found.join(" "));
    assert_eq!(table.lookup_offset(0x1100).map(|f| f.1), Some(0));
}

#[test]
fn code_behind_the_end_of_the_file_is_refused() {
    let mut bytes = sample().build();
    // 64-bit program headers of 56 bytes follow the header: type, flags, offset.
    for at in (64..64 + 56 * usize::from(bytes[56])).step_by(56) {
        if bytes[at] == 1 && bytes[at + 4] & 1 != 0 {
            bytes[at + 8 + 5] = 1;
        }
    }
    let elf = Elf::from_bytes(bytes, "/bin/sample").expect("the tables are well formed");
    let error = elf.function("main", &Root::at("/nonexistent"), Path::new("/bin/sample"));
    let text = error.expect_err("the code is not in the file").to_string();
    assert!(text.contains("would be at offset 0x10000001100 of a file of"), "{text}");
    let found = elf.functions(&Pattern::any(), &Root::at("/nonexistent"), Path::new("/bin/sample"));
    assert_eq!(found.map(|f| f.functions.len()).ok(), Some(0));
}

fn specs() -> impl Strategy<Value = Vec<u8>> {
    (any::<bool>(), any::<bool>()).prop_map(|(narrow, big)| {
        let link = Some(("x.debug", 1));
        ElfSpec { narrow, big, debug_link: link, ..sample() }.build()
    })
}

proptest! {
    #[test]
    fn damage_never_panics(bytes in specs(), hits in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>(), any::<bool>()), 1..12), cut in proptest::option::of(any::<prop::sample::Index>())) {
        let mut bytes = bytes;
        for (at, value, in_tables) in hits {
            // The code is most of the file and the least of its meaning.
            let at = if in_tables { 0x2000 + at.index(bytes.len() - 0x2000) } else { at.index(128) };
            bytes[at] = value;
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        exercise::elf(bytes);
    }

    #[test]
    fn any_bytes_never_panic(mut bytes in proptest::collection::vec(any::<u8>(), 0..400), magic: bool) {
        if magic && bytes.len() > 6 {
            bytes[..4].copy_from_slice(b"\x7fELF");
            bytes[4] = bytes[4] % 2 + 1;
            bytes[5] = bytes[5] % 2 + 1;
        }
        exercise::elf(bytes);
    }
}

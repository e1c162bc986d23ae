//! Programs and libraries that are damaged, missing, or something else than they seem.

mod common;

use common::*;
use expect_test::expect;
use std::fmt::Write as _;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::{Command, Stdio};

/// The message for `FILE:main`, without the folder of the test.
fn message(folder: &Path, name: &str) -> String {
    let run = tracewell(&["funccount", &format!("{}:main", folder.join(name).display())]);
    run.fails_with(&[name]);
    let text = run.err.trim_end().replace(&format!("{}/", folder.display()), "");
    text.trim_start_matches("tracewell: error: ").to_string()
}

/// Overwrites bytes of an image.
fn patched(whole: &[u8], at: usize, bytes: &[u8]) -> Vec<u8> {
    let mut image = whole.to_vec();
    image[at..at + bytes.len()].copy_from_slice(bytes);
    image
}

#[test]
fn what_is_no_program() {
    let dir = scratch("no-program");
    let write = |name: &str, bytes: &[u8]| std::fs::write(dir.join(name), bytes).expect("a file");
    write("empty", b"");
    write("script", b"#!/bin/sh\necho hello\n");
    write("text", b"hello, world\n");
    write("archive", b"!<arch>\nsome members");
    write("zeros", &[0; 4096]);
    write("magic", b"\x7fELF");
    std::fs::create_dir(dir.join("folder")).expect("a folder");
    nix::unistd::mkfifo(&dir.join("pipe"), nix::sys::stat::Mode::S_IRWXU).expect("a pipe");
    symlink("nowhere", dir.join("dangling")).expect("a link");
    symlink("loop", dir.join("loop")).expect("a link");
    let mut text = String::new();
    for name in [
        "empty",
        "script",
        "text",
        "archive",
        "zeros",
        "magic",
        "folder",
        "pipe",
        "dangling",
        "loop",
        "not-there",
    ] {
        let _ = writeln!(text, "{}", message(&dir, name));
    }
    expect![[r#"
        empty: not an ELF file (it is empty); name the program or shared library itself, not a script or archive
        script: not an ELF file (it is a script); name the program or shared library itself, not a script or archive
        text: not an ELF file (it starts with bytes 68656c6c); name the program or shared library itself, not a script or archive
        archive: not an ELF file (it is a static archive); name the program or shared library itself, not a script or archive
        zeros: not an ELF file (it starts with bytes 00000000); name the program or shared library itself, not a script or archive
        magic: damaged ELF file: header, offset 0x4: class 0 and byte order 0 are unknown; compare it with `readelf -a`, or install the package again
        folder: not an ELF file (it is a directory); name the program or shared library itself, not a script or archive
        pipe: not an ELF file (it is a device, pipe or socket); name the program or shared library itself, not a script or archive
        unable to find library dangling: it is a symbolic link, and the file it leads to is not there
        unable to find library loop: it is a symbolic link, and the file it leads to is not there; did you mean pipe, text, zeros?
        unable to find library not-there: there is no such file
    "#]].assert_eq(&text);
    tracewell(&["funccount", "/dev/null:main"]).fails_with(&["/dev/null", "device, pipe or socket"]);
}

/// Each field of the header that leads elsewhere, set to what leads astray.
#[test]
fn damaged_headers() {
    let dir = scratch("damaged");
    let whole = std::fs::read(BIN).expect("the binary");
    assert_eq!(whole[4..6], [2, 1], "a 64-bit little-endian file");
    let max = u64::MAX.to_le_bytes();
    let far = (1u64 << 62).to_le_bytes();
    let cases: [(&str, Vec<u8>); 17] = [
        ("class", patched(&whole, 4, &[3])),
        ("byteorder", patched(&whole, 5, &[0])),
        ("bigendian", patched(&whole, 5, &[2])),
        ("object", patched(&whole, 16, &[1, 0])),
        ("core", patched(&whole, 16, &[4, 0])),
        ("machine", patched(&whole, 18, &[8, 0])),
        ("phoff", patched(&whole, 32, &far)),
        ("shoff", patched(&whole, 40, &max)),
        ("shoff3", patched(&whole, 40, &3u64.to_le_bytes())),
        ("phentsize", patched(&whole, 54, &[0, 0])),
        ("phnum", patched(&whole, 56, &[0, 0])),
        ("shentsize", patched(&whole, 58, &[0, 0])),
        ("shnum", patched(&whole, 60, &[0xfe, 0xff])),
        ("shstrndx", patched(&whole, 62, &[0, 0xee])),
        ("header", whole[..63].to_vec()),
        ("half", whole[..whole.len() / 2].to_vec()),
        ("tail", whole[..whole.len() - 1].to_vec()),
    ];
    for (name, bytes) in cases {
        std::fs::write(dir.join(name), bytes).expect("a file");
        let text = message(&dir, name);
        let reasons = [
            "damaged ELF file: ",
            "a relocatable object",
            "neither a program nor a shared library",
            "it is for mips, and this machine runs",
            "in no executable segment",
            // What is at a wrong place may look like a table of sections without symbols.
            "stripped: it has no function symbols",
        ];
        assert!(reasons.iter().any(|r| text.contains(r)), "{name}: {text}");
        if text.contains("damaged ELF file") {
            assert!(text.contains("readelf -a") && text.contains("header"), "{name}: {text}");
        }
        std::fs::remove_file(dir.join(name)).expect("it was there");
    }
}

/// Each field of each section header, set to zero and to the largest value: an answer or an error, and soon.
#[test]
fn damaged_sections() {
    let dir = scratch("sections");
    let whole = std::fs::read(common_library()).expect("the C library");
    let u64_at = |at: usize| u64::from_le_bytes(whole[at..at + 8].try_into().expect("8 bytes"));
    let table = u64_at(40) as usize;
    let count = usize::from(u16::from_le_bytes([whole[60], whole[61]]));
    assert!(count > 10, "{count} sections");
    let path = dir.join("damaged.so");
    let (mut answers, mut errors) = (0, 0);
    for section in 0..count {
        let kind = u32::from_le_bytes(whole[table + section * 64 + 4..][..4].try_into().expect("4 bytes"));
        // Symbols, names, versions, notes.
        if !matches!(kind, 2 | 3 | 7 | 11 | 0x6fff_fffd..=0x6fff_ffff) {
            continue;
        }
        for (field, size) in [(0, 4), (4, 4), (24, 8), (32, 8), (40, 4), (56, 8)] {
            for byte in [0, 0xff] {
                std::fs::write(&path, patched(&whole, table + section * 64 + field, &vec![byte; size]))
                    .expect("a file");
                let run = tracewell(&["list", &format!("{}:malloc", path.display())]);
                match run.status {
                    Some(0) => answers += 1,
                    _ => {
                        run.fails_with(&["damaged.so"]);
                        errors += 1;
                    }
                }
            }
        }
    }
    assert!(answers > 0 && errors > 10, "{answers} answers, {errors} errors");
}

/// The C library as our own list names it.
fn common_library() -> String {
    let run = tracewell(&["list", "c:malloc"]);
    assert_eq!(run.status, Some(0), "{run:?}");
    run.out.trim().trim_start_matches("uprobe:").trim_end_matches(":malloc").to_string()
}

#[test]
fn a_stripped_program_says_so() {
    let dir = scratch("stripped");
    let path = dir.join("stripped");
    let whole = std::fs::read(BIN).expect("the binary");
    // Without section headers there is no symbol table, as after `strip` of a static program.
    let mut image = patched(&whole, 40, &[0; 8]);
    image[60..64].fill(0);
    std::fs::write(&path, image).expect("a file");
    tracewell(&["funccount", &format!("{}:main", path.display())]).fails_with(&[
        "stripped: it has no function symbols",
        "-dbgsym",
        "address instead of a name",
    ]);
    tracewell(&["funccount", &format!("{}:ma*", path.display())]).fails_with(&["stripped"]);
}

#[test]
fn a_file_that_may_not_be_read() {
    let dir = scratch("unreadable");
    let path = dir.join("secret");
    std::fs::copy(BIN, &path).expect("a copy");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o711)).expect("its mode");
    if nix::unistd::geteuid().is_root() {
        let run = unprivileged(&["funccount", &format!("{}:main", path.display())]);
        run.fails_with(&["secret", "Permission denied", "run as root or as a user who may read it"]);
    } else {
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o000)).expect("its mode");
        tracewell(&["funccount", &format!("{}:main", path.display())])
            .fails_with(&["secret", "Permission denied"]);
    }
}

#[test]
fn blanks_and_colons_in_a_files_name() {
    let dir = scratch("blank");
    let path = dir.join("my program: new");
    std::fs::copy(BIN, &path).expect("a copy");
    tracewell(&["list", &format!("{}:main", path.display())]).fails_with(&["unexpected blank", "quote"]);
    let run = tracewell(&["list", &format!("\"{}\":main", path.display())]);
    assert_eq!(run.status, Some(0), "{run:?}");
}

#[test]
fn functions_that_are_not_there() {
    let library = common_library();
    let check = |spec: &str, parts: &[&str]| tracewell(&["funccount", spec]).fails_with(parts);
    check("c:mallocc", &[&library, "no function `mallocc`", "did you mean malloc"]);
    check("c:nosuch*", &["no functions match `nosuch*`"]);
    check("c:malloc@NOPE", &["no function `malloc@NOPE`"]);
    check(
        "c:malloc+0x100000",
        &["malloc+0x100000 lies outside the function, which is 0x", "use an offset below that"],
    );
    check("c:0x12", &["address 0x12 is in no executable segment"]);
    check(
        "nosuchlibrary:f",
        &["unable to find library nosuchlibrary", "ldconfig -p", "no loaded kernel module"],
    );
    check("/no/such/file:f", &["/no/such/file", "there is no such file"]);
    check(&format!("{library}.bak:f"), &["there is no such file; did you mean"]);
    check("sh:nosuchfunction", &["/sh: ", "stripped"]);
}

/// A shared object of our own, so that it has what the C library has only on some systems.
fn compiled(dir: &Path, name: &str, source: &str, args: &[&str]) -> Option<String> {
    let file = dir.join(format!("{name}.c"));
    std::fs::write(&file, source).expect("a file");
    let out = dir.join(name);
    let status = Command::new("cc")
        .args(args)
        .args(["-O0", "-shared", "-fPIC", "-o"])
        .args([&out, &file])
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .status();
    status.is_ok_and(|s| s.success()).then(|| out.display().to_string())
}

#[test]
fn symbols_that_are_no_place_for_a_probe() {
    let test = "symbols_that_are_no_place_for_a_probe";
    let dir = scratch("symbols");
    let source = "\
int a_variable = 3;
static int fast(void) { return 1; }
static void *pick(void) { return (void *)fast; }
int chosen(void) __attribute__((ifunc(\"pick\")));
int chosen_sse2(void) { return 2; }
int outside(int);
int caller(void) { return outside(1) + chosen(); }
__attribute__((section(\".data\"))) int in_data(void) { return 0; }
";
    let Some(file) = compiled(&dir, "odd.so", source, &[]) else {
        return eprintln!("SKIP {test}: no C compiler (cc)");
    };
    let check =
        |name: &str, parts: &[&str]| tracewell(&["funccount", &format!("{file}:{name}")]).fails_with(parts);
    check("a_variable", &["`a_variable` is a variable, not a function"]);
    check(
        "chosen",
        &[
            "`chosen` is an indirect function (STT_GNU_IFUNC)",
            "probe its implementations instead: chosen_sse2",
        ],
    );
    check("outside", &["`outside` is only imported here", "ldd"]);
    check("in_data", &["in no executable segment"]);
}

/// Two functions of one name and two versions of another.
#[test]
fn ambiguous_symbols() {
    let test = "ambiguous_symbols";
    let dir = scratch("ambiguous");
    let source = "\
__asm__(\".symver old_one, versioned@V1\");
__asm__(\".symver older_one, versioned@V0\");
int old_one(void) { return 1; }
int older_one(void) { return 0; }
__asm__(\".pushsection .text\\n.type twin,@function\\ntwin: ret\\n.size twin,1\\n.popsection\");
";
    let map = dir.join("map");
    std::fs::write(&map, "V0 { global: versioned; };\nV1 { global: versioned; local: nothing; } V0;\n")
        .expect("a file");
    let script = format!("-Wl,--version-script={}", map.display());
    let Some(file) = compiled(&dir, "versions.so", source, &[&script]) else {
        return eprintln!("SKIP {test}: no C compiler (cc) that takes version scripts");
    };
    tracewell(&["funccount", &format!("{file}:versioned")]).fails_with(&[
        "`versioned` is ambiguous",
        "versioned@V0 at 0x",
        "versioned@V1 at 0x",
        "name@VERSION",
    ]);
    let one = tracewell(&["list", &format!("{file}:versioned@V1")]);
    assert_eq!(one.status, Some(0), "{one:?}");
}

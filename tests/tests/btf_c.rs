//! The C header of a kernel's types against two compilers: it compiles, and every struct and union has the size, member
//! offsets and bit fields that the types say, and that bpftool's header has.
//!
//! `TRACEWELL_BTF` names other files than the running kernel's types (BTF, or ELF files with a `.BTF` section),
//! separated by spaces: tests/compare-btf runs it over all kernels of the matrix.

use btf::c::{COptions, dump_c};
use btf::{Btf, Kind, Type, TypeId};
use loader::object::section;
use std::collections::{HashMap, HashSet};
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use tracewell_tests::support::skip;

/// Files whose types are printed, with their content.
fn files() -> Vec<(String, Vec<u8>)> {
    let names = std::env::var("TRACEWELL_BTF").unwrap_or_else(|_| "/sys/kernel/btf/vmlinux".into());
    names.split_whitespace().map(|name| (name.to_owned(), std::fs::read(name).expect("a BTF file"))).collect()
}

fn types(bytes: &[u8]) -> &[u8] {
    if bytes.starts_with(b"\x7fELF") { section(bytes, ".BTF").expect("a section .BTF") } else { bytes }
}

/// The first of these programs that is there.
fn program(names: &[&'static str]) -> Option<&'static str> {
    names.iter().copied().find(|name| Command::new(name).arg("--version").output().is_ok())
}

struct Directory(PathBuf);

impl Directory {
    fn new(name: &str) -> Directory {
        let path = std::env::temp_dir().join(format!("tracewell-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).expect("a directory for temporary files");
        Directory(path)
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Runs a compiler over a file; its complaints, or nothing.
fn compile(compiler: &str, args: &[&str], file: &Path) -> String {
    let fixed = ["-w", "-x", "c", "-std=gnu11", "-fno-builtin"];
    let out = Command::new(compiler).args(fixed).args(args).arg(file).output().expect("the compiler");
    let text = String::from_utf8_lossy(&out.stderr).into_owned();
    assert!(out.status.success() || !text.is_empty(), "{compiler} failed and said nothing");
    if out.status.success() { String::new() } else { text }
}

/// All named structs and unions, with the names that the header gives them.
fn composites<'data>(btf: &Btf<'data>, renamed: &[(TypeId, u32)]) -> Vec<(TypeId, Type<'data>, String)> {
    let suffixes: HashMap<TypeId, u32> = renamed.iter().copied().collect();
    let named = btf.types().filter(|(_, ty)| ty.kind().is_composite() && !ty.name().is_empty());
    named
        .map(|(id, ty)| {
            let keyword = if ty.kind() == Kind::Struct { "struct" } else { "union" };
            let suffix = suffixes.get(&id).map_or(String::new(), |number| format!("___{number}"));
            (id, ty, format!("{keyword} {}{suffix}", ty.name()))
        })
        .collect()
}

/// An assertion for the size and for the offset of every member that has one, those of anonymous members included.
fn assertions(btf: &Btf<'_>, list: &[(TypeId, Type<'_>, String)]) -> (String, usize) {
    let (mut text, mut count) = (String::new(), 0);
    for (_, ty, name) in list {
        let size = ty.size().expect("structs and unions have a size");
        writeln!(text, "_Static_assert(sizeof({name}) == {size}, \"{name}\");").expect("memory");
        count += 1;
        offsets(btf, *ty, 0, &mut |member, bits| {
            let place = format!("__builtin_offsetof({name}, {member})");
            writeln!(text, "_Static_assert({place} == {}, \"{name}.{member}\");", bits / 8).expect("memory");
            count += 1;
        });
    }
    (text, count)
}

fn offsets(btf: &Btf<'_>, ty: Type<'_>, base: u64, found: &mut dyn FnMut(&str, u64)) {
    for member in ty.members() {
        let at = base + u64::from(member.bit_offset);
        if !member.name.is_empty() {
            if member.bitfield_size.is_none() {
                found(member.name, at);
            }
        } else if let Some((_, inner)) = btf.resolve(member.type_id) {
            offsets(btf, inner, at, found);
        }
    }
}

fn header(btf: &Btf<'_>, sorted: bool) -> (String, Vec<(TypeId, u32)>) {
    let mut options = COptions::default();
    options.sorted = sorted;
    let mut text = String::new();
    let summary = dump_c(btf, &mut text, &options).expect("memory");
    assert_eq!(summary.skipped, 0, "types of a kernel are not damaged");
    (text, summary.renamed)
}

#[test]
fn header_compiles_with_every_size_and_offset() {
    const NAME: &str = "header_compiles_with_every_size_and_offset";
    let compilers = [program(&["gcc", "cc"]), program(&["clang-19", "clang"])];
    let [Some(gcc), Some(clang)] = compilers else { return skip(NAME, "no gcc or no clang is installed") };
    if !Path::new("/sys/kernel/btf/vmlinux").exists() {
        return skip(NAME, "this kernel shows no types");
    }
    let dir = Directory::new("btf-c");
    for (name, bytes) in files() {
        let btf = Btf::parse(types(&bytes)).expect("valid BTF");
        for sorted in [true, false] {
            let (text, renamed) = header(&btf, sorted);
            let list = composites(&btf, &renamed);
            let (checks, count) = assertions(&btf, &list);
            assert!(
                list.len() > 1000 && count > 10 * list.len() / 2,
                "{name}: {} types, {count}",
                list.len()
            );
            let file = dir.0.join("vmlinux.c");
            std::fs::write(&file, text + &checks).expect("room for a file");
            for (compiler, args) in [
                (gcc, &["-fsyntax-only"][..]),
                (clang, &["-fsyntax-only"][..]),
                (clang, &["-fsyntax-only", "-target", "bpf"][..]),
            ] {
                let said = compile(compiler, args, &file);
                assert!(
                    said.is_empty(),
                    "{name}, sorted: {sorted}: {compiler} {args:?}: {}",
                    first_lines(&said)
                );
            }
            eprintln!("{name}: {} structs and unions, {count} assertions, three compilers", list.len());
        }
    }
}

/// What clang makes of the header, as types again: bit fields have no offset that C could be asked for.
#[test]
fn header_gives_the_same_types_back() {
    const NAME: &str = "header_gives_the_same_types_back";
    let Some(clang) = program(&["clang-19", "clang"]) else { return skip(NAME, "no clang is installed") };
    if !Path::new("/sys/kernel/btf/vmlinux").exists() {
        return skip(NAME, "this kernel shows no types");
    }
    let dir = Directory::new("btf-c-back");
    for (name, bytes) in files() {
        let btf = Btf::parse(types(&bytes)).expect("valid BTF");
        let (mut text, renamed) = header(&btf, true);
        let list = composites(&btf, &renamed);
        // Variables make the compiler note their types in full; arrays of none take no memory.
        for (at, (_, _, name)) in list.iter().enumerate() {
            writeln!(text, "{name} __tracewell_{at}[0];").expect("memory");
        }
        let (file, object) = (dir.0.join("vmlinux.c"), dir.0.join("vmlinux.o"));
        std::fs::write(&file, text).expect("room for a file");
        let output = object.to_str().expect("UTF-8");
        let said = compile(clang, &["-target", "bpf", "-g", "-O2", "-c", "-o", output], &file);
        assert!(said.is_empty(), "{name}: {}", first_lines(&said));
        let object = std::fs::read(&object).expect("an object");
        let back = Btf::parse(section(&object, ".BTF").expect("types")).expect("clang's BTF is valid");
        let found: HashMap<(Kind, &str), Type<'_>> = back
            .types()
            .filter(|(_, ty)| ty.kind().is_composite())
            .map(|(_, ty)| ((ty.kind(), ty.name()), ty))
            .collect();
        let (mut bitfields, mut members) = (0, 0);
        for (_, ty, name) in &list {
            let tag = name.split(' ').next_back().expect("a name");
            let other = found.get(&(ty.kind(), tag)).unwrap_or_else(|| panic!("{name} is not there"));
            assert_eq!(other.size(), ty.size(), "{name}");
            let (mut ours, mut theirs) = (Vec::new(), Vec::new());
            flatten(&btf, *ty, 0, &mut ours);
            flatten(&back, *other, 0, &mut theirs);
            // A compiler may leave out members of no name and no size.
            assert_eq!(ours, theirs, "{name}");
            members += ours.len();
            bitfields += ours.iter().filter(|(.., bits)| bits.is_some()).count();
        }
        assert!(members > 1000 && bitfields > 100, "{name}: {members} members, {bitfields} bit fields");
        eprintln!("{name}: {} types, {members} members, {bitfields} bit fields are the same", list.len());
    }
}

/// Names, bit offsets and bit field widths, anonymous members looked through.
fn flatten<'data>(
    btf: &Btf<'data>,
    ty: Type<'data>,
    base: u64,
    found: &mut Vec<(&'data str, u64, Option<u8>)>,
) {
    for member in ty.members() {
        let at = base + u64::from(member.bit_offset);
        match (member.name, btf.resolve(member.type_id)) {
            ("", Some((_, inner))) => flatten(btf, inner, at, found),
            (name, _) => found.push((name, at, member.bitfield_size)),
        }
    }
}

/// bpftool's header, under the assertions that ours has to fulfil.
#[test]
fn header_agrees_with_bpftools() {
    const NAME: &str = "header_agrees_with_bpftools";
    let Some(clang) = program(&["clang-19", "clang"]) else { return skip(NAME, "no clang is installed") };
    let Some(bpftool) = program(&["bpftool", "/usr/sbin/bpftool"]) else {
        return skip(NAME, "bpftool is not installed");
    };
    if !Path::new("/sys/kernel/btf/vmlinux").exists() {
        return skip(NAME, "this kernel shows no types");
    }
    let dir = Directory::new("btf-c-bpftool");
    for (name, bytes) in files() {
        let raw = dir.0.join("btf");
        std::fs::write(&raw, types(&bytes)).expect("room for a file");
        let out =
            Command::new(bpftool).args(["btf", "dump", "file"]).arg(&raw).args(["format", "c"]).output();
        let out = out.expect("bpftool");
        let theirs = String::from_utf8_lossy(&out.stdout).into_owned();
        if !out.status.success() || theirs.len() < 1 << 20 {
            return skip(NAME, "bpftool is too old for this kernel's BTF");
        }
        let btf = Btf::parse(types(&bytes)).expect("valid BTF");
        // Which of several types of one name gets which suffix is up to each.
        let mut count: HashMap<&str, u32> = HashMap::new();
        let tags = [Kind::Struct, Kind::Union, Kind::Enum, Kind::Enum64];
        btf.types().filter(|(_, ty)| tags.contains(&ty.kind())).for_each(|(_, ty)| {
            *count.entry(ty.name()).or_default() += 1;
        });
        let mut list = composites(&btf, &[]);
        list.retain(|(_, ty, _)| count.get(ty.name()) == Some(&1));
        let (checks, number) = assertions(&btf, &list);
        let file = dir.0.join("bpftool.c");
        std::fs::write(&file, theirs + &checks).expect("room for a file");
        // For this machine: bpftool leaves `va_list` to the compiler, which has another one for BPF.
        // And what has no name but a type with one, to `-fms-extensions`.
        let args = ["-fsyntax-only", "-ferror-limit=0", "-fms-extensions"];
        let said = compile(clang, &args, &file);
        // Before 7.5 bpftool gave four bytes to enumerations of one byte, and so to what they are in.
        let small = small_enumerations(&btf);
        let wrong: HashSet<&str> = said
            .lines()
            .filter(|line| line.contains("error:"))
            .map(|line| {
                line.split(&[':', ' ', '.', '\''][..]).find(|word| small.contains(word)).unwrap_or(line)
            })
            .collect();
        let unexplained: Vec<_> = wrong.iter().filter(|word| !small.contains(*word)).take(10).collect();
        assert!(unexplained.is_empty(), "{name}: bpftool's header differs: {unexplained:#?}");
        eprintln!("{name}: {number} assertions on bpftool's header, {} types of its own making", wrong.len());
    }
}

/// Structs and unions with an enumeration that has not four bytes, or with such structs, in them.
fn small_enumerations<'data>(btf: &Btf<'data>) -> HashSet<&'data str> {
    let mut touched: HashSet<TypeId> = HashSet::new();
    let odd = |ty: &Type<'_>| matches!(ty.kind(), Kind::Enum | Kind::Enum64) && ty.size() != Some(4);
    touched.extend(btf.types().filter(|(_, ty)| odd(ty)).map(|(id, _)| id));
    // Each round goes one struct further out.
    loop {
        let before = touched.len();
        for (id, ty) in btf.types().filter(|(_, ty)| ty.kind().is_composite()) {
            let holds = ty
                .members()
                .any(|member| element(btf, member.type_id).is_some_and(|id| touched.contains(&id)));
            if holds {
                touched.insert(id);
            }
        }
        if touched.len() == before {
            break;
        }
    }
    touched
        .into_iter()
        .filter_map(|id| btf.type_by_id(id))
        .map(|ty| ty.name())
        .filter(|n| !n.is_empty())
        .collect()
}

/// Behind typedefs, qualifiers and arrays.
fn element(btf: &Btf<'_>, id: TypeId) -> Option<TypeId> {
    let mut id = id;
    for _ in 0..64 {
        let (here, ty) = btf.resolve(id)?;
        match ty.array() {
            Some(array) => id = array.element,
            None => return Some(here),
        }
    }
    None
}

fn first_lines(text: &str) -> String {
    text.lines().filter(|line| line.contains("error")).take(10).collect::<Vec<_>>().join("\n")
}

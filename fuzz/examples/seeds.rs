//! Writes seed corpora from the running system: `cargo run --no-default-features --example seeds` in `fuzz/`. Where the system lacks something,
//! that seed is left out and named; every target gets at least one.
#![forbid(unsafe_code)]

use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use tracewell_probes::user::ldcache::LdCache;

/// Seeds are starting points: what is much longer only makes the fuzzer slow.
const LIMIT: u64 = 4096;

struct Corpora {
    root: PathBuf,
    written: usize,
}

impl Corpora {
    fn put(&mut self, target: &str, name: &str, bytes: &[u8]) -> io::Result<()> {
        let folder = self.root.join(target);
        fs::create_dir_all(&folder)?;
        self.written += 1;
        fs::write(folder.join(name), bytes)
    }

    /// The front of a file of the system, cut at a line's end where it has lines.
    fn front(&mut self, target: &str, path: &str) -> io::Result<()> {
        let mut bytes = Vec::new();
        let name = path.trim_start_matches('/').replace('/', "_");
        match fs::File::open(path).and_then(|file| file.take(LIMIT).read_to_end(&mut bytes)) {
            Ok(0) => eprintln!("{target}: {path} is empty"),
            Ok(_) => {
                if let Some(end) = bytes.iter().rposition(|b| *b == b'\n') {
                    bytes.truncate(end + 1);
                }
                self.put(target, &name, &bytes)?;
            }
            Err(error) => eprintln!("{target}: {path}: {error}"),
        }
        Ok(())
    }

    fn texts(&mut self, target: &str, texts: &[&str]) -> io::Result<()> {
        for (number, text) in texts.iter().enumerate() {
            self.put(target, &format!("text-{number}"), text.as_bytes())?;
        }
        Ok(())
    }
}

/// The smallest regular ELF files of the system, whole: their tables are at the end.
fn small_elf_files() -> Vec<PathBuf> {
    let mut files: Vec<(u64, PathBuf)> =
        ["/usr/bin", "/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu", "/lib"]
            .iter()
            .filter_map(|folder| fs::read_dir(folder).ok())
            .flat_map(|entries| entries.filter_map(Result::ok))
            .filter_map(|entry| {
                let meta = entry.metadata().ok().filter(|meta| meta.is_file())?;
                let mut magic = [0; 4];
                fs::File::open(entry.path()).ok()?.read_exact(&mut magic).ok()?;
                (magic == *b"\x7fELF").then(|| (meta.len(), entry.path()))
            })
            .collect();
    files.sort();
    files.into_iter().take(6).map(|(_, path)| path).collect()
}

/// The kernel's BTF cut down to its first records and strings: `records` bytes of types.
fn btf_front(full: &[u8], wanted: usize) -> Option<Vec<u8>> {
    let field = |at: usize| Some(u32::from_ne_bytes(full.get(at..at + 4)?.try_into().ok()?));
    let (header, strings_at) = (field(4)? as usize, field(16)? as usize);
    let strings = full.get(header + strings_at..)?;
    let strings = &strings[..=strings.iter().take(20 * wanted).rposition_of_zero()?];
    (wanted..wanted + 2000).step_by(4).find_map(|len| {
        let mut out = full.get(..24)?.to_vec();
        for (at, word) in [(4, 24), (8, 0), (12, len), (16, len), (20, strings.len())] {
            out[at..at + 4].copy_from_slice(&u32::try_from(word).ok()?.to_ne_bytes());
        }
        out.extend(full.get(header..header + len)?);
        out.extend(strings);
        btf::Btf::parse(&out).is_ok().then_some(out)
    })
}

/// Every kind of type, deduplicated or not, in a byte order.
fn btf_kinds(endian: btf::Endian) -> btf::Builder {
    use btf::{Builder, IntEncoding, Kind, Linkage, NewMember, SectionVar, TypeId};
    let mut b = Builder::new(endian);
    let int = b.int("int", 4, IntEncoding { bits: 32, offset: 0, signed: true, char: false, bool: false });
    for name in ["s", "t", "s"] {
        let this = TypeId(b.next_id().0 + 1);
        let ptr = b.ptr(this);
        let member =
            |name, type_id, bit_offset, bitfield_size| NewMember { name, type_id, bit_offset, bitfield_size };
        b.composite(Kind::Struct, name, 16, &[member("next", ptr, 0, None), member("low", int, 64, Some(3))]);
        let array = b.array(this, int, 3);
        b.composite(Kind::Union, "", 48, &[member("", array, 0, None), member("x", int, 0, None)]);
        b.fwd(name, false);
    }
    b.enumeration("e", 4, true, &[("A", -1), ("B", 1)]);
    b.enumeration("w", 8, false, &[("C", 1 << 40)]);
    b.fwd("u", true);
    let float = b.float("double", 8);
    let tag = b.type_tag("user", float);
    let constant = b.modifier(Kind::Const, tag);
    let restrict = b.modifier(Kind::Restrict, constant);
    let volatile = b.modifier(Kind::Volatile, restrict);
    let typedef = b.typedef("t_t", volatile);
    let proto = b.func_proto(int, &[("a", typedef), ("", int), ("", TypeId(0))]);
    let func = b.func("f", proto, Linkage::Extern);
    let var = b.var("v", typedef, Linkage::Global);
    let place = |type_id| SectionVar { type_id, offset: 0, size: 8 };
    b.datasec(".data", 8, &[place(var)]);
    b.datasec("?.ksyms", 0, &[place(func), place(var)]);
    b.decl_tag("tag", func, 0);
    b
}

/// Types and `.BTF.ext` as its target takes them; records of so many words more than are known.
fn btf_ext(types: &[u8], more: u32) -> Option<Vec<u8>> {
    let mut out = u16::try_from(types.len()).ok()?.to_le_bytes().to_vec();
    out.extend(types);
    let part = |words: u32| {
        let section = |count: u32| [vec![1, count], vec![1; (count * (words + more)) as usize]].concat();
        [vec![4 * (words + more)], section(1), section(2)].concat()
    };
    let parts = [part(2), part(4), part(4)];
    let lens = parts.each_ref().map(|part| 4 * part.len() as u32);
    let header = [0x0001_eb9f, 32, 0, lens[0], lens[0], lens[1], lens[0] + lens[1], lens[2]];
    header.iter().chain(parts.iter().flatten()).for_each(|word| out.extend(word.to_le_bytes()));
    Some(out)
}

trait LastZero {
    fn rposition_of_zero(self) -> Option<usize>;
}

impl<'a, I: Iterator<Item = &'a u8>> LastZero for I {
    fn rposition_of_zero(self) -> Option<usize> {
        self.enumerate().filter(|(_, b)| **b == 0).map(|(at, _)| at).last()
    }
}

/// Every operation, jump, load and store once, in the machine's byte order.
fn instructions() -> Vec<u8> {
    let mut out = Vec::new();
    for opcode in 0..=u8::MAX {
        for (src, off, imm) in [(0, 0, 0), (1, 8, 16), (2, -1, 1), (0, 1, -7)] {
            let words = [asm::Insn::new(opcode, 1, src, off, imm), asm::Insn::default()];
            if let Ok((_, slots)) = asm::decode(&words) {
                words[..slots].iter().for_each(|word| out.extend(word.to_u64().to_ne_bytes()));
            }
        }
    }
    out
}

/// Assembly texts: every instruction in both languages, and every directive.
fn texts(c: &mut Corpora, all: &[u8]) -> io::Result<()> {
    let words: Vec<asm::Insn> = all.as_chunks().0.iter().copied().map(asm::Insn::from_bytes).collect();
    for (name, syntax) in [("kernel", asm::Syntax::Kernel), ("mnemonic", asm::Syntax::Mnemonic)] {
        for opcodes in [false, true] {
            let options = asm::DisasmOptions { syntax, opcodes, ..asm::DisasmOptions::default() };
            let lines: Vec<String> =
                asm::disassemble_with(&words, options).map(|(at, text)| format!("{at}: {text}\n")).collect();
            for (number, part) in lines.chunks(12).enumerate() {
                c.put("asm_text", &format!("{name}-{opcodes}-{number}"), part.concat().as_bytes())?;
            }
        }
    }
    let directives = ".section \"kprobe/vfs_read\"\n.type kprobe\n.license GPL\n.equ N 8\n.file \"a.c\"\n\
        .map m type=hash key=4 value=N entries=1 flags=1 extra=2 inner=n\n.map n type=array key=4 value=8 entries=1\n\
        .rodata d = \"hi\\n\", u16 1, hex 00ff\n.data e = u64 1\n.data e += 2\n.bss b 8\n.kfunc k\n.func f\n\
        r1 = map[m]; r1 = &d+1; r1 = e ll; r1 = map[b][0]+4; r1 = &g; call g; call k; call bpf_ktime_get_ns\n\
        ; int x; @ a.c:7\n1: if r1 == 0 goto 1f; goto 1b; 1: exit\n.line none\n.line 3 4 \"b.c\" \"x\"\n\
        .func g\nl: goto l\n.raw 0x95 // end\n.byte 0x95, 0, 0, 0, 0, 0, 0, 0 # end\n/* end */ exit";
    c.put("asm_text", "directives", directives.as_bytes())
}

/// A record layout for the perf bodies: sample type, flags, branch, registers; 34 bytes.
fn perf_layout(sample_type: u64, all: u8, read: u8) -> Vec<u8> {
    let mut out = sample_type.to_le_bytes().to_vec();
    out.extend([all, read]);
    out.extend([0; 24]);
    out
}

/// A perf record with its header.
fn perf_record(kind: u32, misc: u16, body: &[u8]) -> Vec<u8> {
    let mut out = kind.to_ne_bytes().to_vec();
    out.extend(misc.to_ne_bytes());
    out.extend((8 + body.len() as u16).to_ne_bytes());
    out.extend(body);
    out
}

fn rings(corpora: &mut Corpora) -> io::Result<()> {
    let words = |words: &[u64]| words.iter().flat_map(|w| w.to_ne_bytes()).collect::<Vec<u8>>();
    // Instruction pointer, pid and tid, a call chain of three.
    let sample = words(&[0x1000, 7 | 7 << 32, 3, (-128_i64) as u64, 0xffff_ffff_8100_0000, 0x40_1000]);
    let comm = words(&[7 | 7 << 32, u64::from_ne_bytes(*b"sleep\0\0\0"), 7 | 7 << 32]);
    let mmap2 = words(&[7 | 7 << 32, 0x1000, 0x2000, 0, 8, 99, 0, 5, u64::from_ne_bytes(*b"/bin/x\0\0")]);
    // IP, TID and CALLCHAIN; then the same with what follows other records.
    let layout = perf_layout(1 | 2 | 1 << 5, 1, 0);
    for (name, kind, body) in [("sample", 9_u8, &sample), ("comm", 3, &comm), ("mmap2", 10, &mmap2)] {
        let mut one = layout.clone();
        one.push(kind);
        one.extend([0; 8]);
        one.extend(body.as_slice());
        corpora.put("perf_record", name, &one)?;
    }
    let mut everything = perf_layout((1 << 25) - 1, 1, 31);
    everything.push(9);
    everything.extend([0; 8]);
    everything.extend(words(&[1; 60]));
    corpora.put("perf_record", "everything", &everything)?;

    let records: Vec<u8> =
        [(9, &sample), (3, &comm), (10, &mmap2)].iter().flat_map(|(k, b)| perf_record(*k, 0, b)).collect();
    for (name, start) in [("from-zero", 0_u64), ("wrapped", 0x1000 - 64)] {
        let mut ring = vec![0; 512];
        let bytes = records.iter().enumerate();
        bytes.for_each(|(at, byte)| ring[(start as usize + at) % 512] = *byte);
        let mut out = layout.clone();
        out.push(0);
        out.extend(start.to_le_bytes());
        out.extend((records.len() as u64).to_le_bytes());
        out.extend(&ring);
        corpora.put("perf_ring", name, &out)?;
    }

    // A record, one that was given up, one that is being written.
    for (name, start) in [("from-zero", 0_u64), ("wrapped", 0x1000 - 24)] {
        let (mut ring, mut at) = (vec![0; 256], start as usize);
        for (flags, len) in [(0_u32, 20_u32), (1 << 30, 8), (0, 9), (1 << 31, 16)] {
            let header = (flags | len).to_ne_bytes();
            header.iter().enumerate().for_each(|(i, byte)| ring[(at + i) % 256] = *byte);
            at += (8 + len as usize).next_multiple_of(8);
        }
        let mut out = vec![0];
        out.extend(start.to_le_bytes());
        out.extend((at as u64 - start).to_le_bytes());
        out.extend(&ring);
        corpora.put("bpf_ring", name, &out)?;
    }
    Ok(())
}

/// A library cache of two entries, the first in a folder for newer processors; a real one is longer than a seed may be.
fn ld_cache() -> Vec<u8> {
    let strings = b"libfoo.so.2\0/lib/libfoo.so.2\0b\0/b\0x86-64-v3\0";
    let (header, entry, directory) = (48_u32, 24_u32, 28_u32);
    let extension = header + 2 * entry;
    let text = extension + directory;
    let mut out = b"glibc-ld.so.cache1.1".to_vec();
    let mut word = |word: u32| out.extend(word.to_le_bytes());
    // Counts, a byte order of 2 (little), where the extension is.
    [2, strings.len() as u32, 2, extension, 0, 0, 0].into_iter().for_each(&mut word);
    for (name, path, hwcap) in [(0, 12, 1 << 30), (29, 31, 0)] {
        [3, text + name, text + path, 0, 0, hwcap].into_iter().for_each(&mut word);
    }
    // The extension's directory with one section: the folders' names.
    let names = extension + 24;
    [0xeaa4_2174, 1, 1, 0, names, 4, text + 34].into_iter().for_each(&mut word);
    out.extend(strings);
    out
}

fn main() -> io::Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
    let mut corpora = Corpora { root, written: 0 };
    let c = &mut corpora;

    c.texts(
        "event_spec",
        &[
            "vfs_*",
            "p::vfs_read+0x10",
            "r:c:read",
            "kretprobe:ext4:ext4_[a-f]?*",
            "uprobe:\"/tmp/a:b\":\"f\\\"\"",
            "t:sched:sched_*",
            "usdt:/bin/x:prov:name",
            "u:0xffff",
            "(a|b):[:]",
        ],
    )?;
    c.texts(
        "pattern",
        &["vfs_*\0vfs_read", "a?c*\0abcd", "[!a-c]x\0dx", "^tcp_(v4|v6)_\0tcp_v4_rcv", "[*]\0*"],
    )?;

    let files = small_elf_files();
    if files.is_empty() {
        eprintln!("elf: no ELF file in /usr/bin and /usr/lib");
    }
    for (number, path) in files.iter().enumerate() {
        c.put("elf", &format!("small-{number}"), &fs::read(path)?)?;
    }
    // Its tables lie too far behind for a short seed, but its headers are real.
    let own = fs::read(std::env::current_exe()?)?;
    c.put("elf", "headers", &own[..own.len().min(LIMIT as usize)])?;

    let objects = Path::new(env!("CARGO_MANIFEST_DIR")).join("../loader/tests/data");
    for entry in fs::read_dir(objects)? {
        let path = entry?.path();
        if let Some(name) =
            path.file_name().and_then(|name| name.to_str()).filter(|name| name.ends_with(".o"))
        {
            c.put("object", name, &fs::read(&path)?)?;
        }
    }

    c.front("kallsyms", "/proc/kallsyms")?;
    c.texts("kallsyms", &["ffffffff81000000 T _text\nffffffff81000040 t f\nffffffffc0000000 t g\t[m]\n"])?;
    let cache = ld_cache();
    let read: Vec<_> =
        LdCache::parse(&cache).iter().flat_map(LdCache::entries).map(|e| (e.path, e.hwcap)).collect();
    assert_eq!(read, [("/lib/libfoo.so.2", Some("x86-64-v3")), ("/b", None)]);
    c.put("ld_cache", "small", &cache)?;
    c.texts("ld_cache", &["ld.so-1.7.0\0\0\0\0\0glibc-ld.so.cache1.1"])?;
    c.front("maps", "/proc/self/maps")?;
    c.texts("maps", &["1000-2000 r-xp 00000000 fd:01 42       /a\\012b (deleted)\n"])?;
    c.texts(
        "perf_map",
        &["1000 100 old\n1000 80 Lfoo; with spaces\r\n2000 0 point\nnonsense\n0x3000 10 x\n"],
    )?;
    c.front("kernel_lines", "/sys/kernel/tracing/available_filter_functions")?;
    c.front("kernel_lines", "/sys/kernel/debug/kprobes/blacklist")?;
    c.front("kernel_lines", "/proc/modules")?;
    c.texts("kernel_lines", &["vfs_read [ext4]\nCONFIG_KPROBES=y\n0x1-0x2\tdo_int3\next4 1 0 - Live 0x0\n"])?;
    for event in ["sched/sched_switch", "syscalls/sys_enter_openat", "raw_syscalls/sys_enter"] {
        c.front("tracepoint_format", &format!("/sys/kernel/tracing/events/{event}/format"))?;
    }
    c.texts(
        "tracepoint_format",
        &["name: x\nID: 1\n\tfield:__data_loc char[] n;\toffset:8;\tsize:4;\tsigned:1;\n\tfield:int a[2];\toffset:0;\tsize:8;\tsigned:1;\n"],
    )?;
    c.front("dynamic_events", "/sys/kernel/tracing/error_log")?;
    c.texts(
        "dynamic_events",
        &[
            "p:kprobes/e vfs_read+4 a=$arg1\nr16:tracewell_7/e0 f\np:f /bin/true:0x10\n",
            "[   10.1] trace_kprobe: error: Bad instruction boundary\n  Command: p:a/b vfs_read+1\n             ^\n",
        ],
    )?;
    c.texts(
        "demangled",
        &["_ZN3foo3barEv.part.0", "_RNvC6_123foo3bar", "_ZN4core3fmt9Formatter17h0123456789abcdefE"],
    )?;

    match fs::read("/sys/kernel/btf/vmlinux") {
        Ok(full) => {
            for records in [200, 2000] {
                if let Some(front) = btf_front(&full, records) {
                    c.put("btf", &format!("vmlinux-{records}"), &front)?;
                    c.put("btf_print", &format!("vmlinux-{records}"), &front)?;
                }
            }
        }
        Err(error) => eprintln!("btf: /sys/kernel/btf/vmlinux: {error}"),
    }
    // An int and a struct of one member.
    let types: [u32; 10] = [1, 1 << 24, 4, (1 << 24) | 32, 5, (4 << 24) | 1, 4, 1, 1, 0];
    let mut small = vec![0x9f, 0xeb, 1, 0];
    for word in [24, 0, 40, 40, 7].iter().chain(&types) {
        small.extend(u32::to_le_bytes(*word));
    }
    small.extend(b"\0int\0s\0");
    c.put("btf", "small", &small)?;
    c.put("btf_print", "small", &small)?;
    for (name, endian) in [("little", btf::Endian::Little), ("big", btf::Endian::Big)] {
        let kinds = btf_kinds(endian);
        c.put("btf", &format!("kinds-{name}"), &kinds.finish())?;
        c.put("btf_print", &format!("kinds-{name}"), &kinds.finish())?;
        c.put("btf", &format!("layout-{name}"), &kinds.finish_with_layout())?;
        c.put("btf_print", &format!("layout-{name}"), &kinds.finish_with_layout())?;
        for more in [0, 3] {
            if let Some(ext) = btf_ext(&kinds.finish(), more) {
                c.put("btf_ext", &format!("records-{name}-{more}"), &ext)?;
            }
        }
    }

    let all = instructions();
    for target in ["decode", "disassembler", "asm_roundtrip"] {
        c.put(target, "all", &all)?;
        for (number, words) in all.chunks(8 * 16).enumerate() {
            c.put(target, &format!("part-{number}"), words)?;
        }
    }
    texts(c, &all)?;
    rings(c)?;
    println!("{} seeds in {}", corpora.written, corpora.root.display());
    Ok(())
}

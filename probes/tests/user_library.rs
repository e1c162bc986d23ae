//! The loader's cache, library names, mappings and processes.

use std::path::{Path, PathBuf};
use std::process::Command;

use expect_test::expect;
use proptest::prelude::*;
use tracewell_probes::spec::{Pattern, Syntax};
use tracewell_probes::user::elf::{Elf, find_functions};
use tracewell_probes::user::ldcache::LdCache;
use tracewell_probes::user::maps::{Backing, Mapping};
use tracewell_probes::user::{Process, Root, UserError, process_binary, resolve_library};

/// A cache as ldconfig writes it.
fn cache(entries: &[(&str, &str, u64)], hwcaps: &[&str], old: bool) -> Vec<u8> {
    let mut strings = Vec::new();
    let base = 48 + entries.len() * 24;
    let mut add = |text: &str| {
        let at = base + strings.len();
        strings.extend(text.bytes().chain([0]));
        at as u32
    };
    let mut table = Vec::new();
    for (name, path, hwcap) in entries {
        let (name, path) = (add(name), add(path));
        [0x303, name, path, 0].iter().for_each(|v: &u32| table.extend(v.to_le_bytes()));
        table.extend(hwcap.to_le_bytes());
    }
    let names: Vec<u32> = hwcaps.iter().map(|h| add(h)).collect();
    strings.resize(strings.len().next_multiple_of(4), 0);
    let extension = (base + strings.len()) as u32;
    let mut out = Vec::new();
    if old {
        out.extend(b"ld.so-1.7.0\0");
        out.extend(1u32.to_le_bytes());
        out.resize(32, 0);
    }
    out.extend(b"glibc-ld.so.cache1.1");
    out.extend((entries.len() as u32).to_le_bytes());
    out.extend((strings.len() as u32).to_le_bytes());
    out.extend([2, 0, 0, 0]);
    out.extend(if hwcaps.is_empty() { 0 } else { extension }.to_le_bytes());
    out.extend([0; 12]);
    out.extend(table);
    out.extend(strings);
    if !hwcaps.is_empty() {
        let list = extension + 24;
        [0xeaa4_2174, 1, 1, 0, list, names.len() as u32 * 4]
            .iter()
            .for_each(|v: &u32| out.extend(v.to_le_bytes()));
        names.iter().for_each(|v| out.extend(v.to_le_bytes()));
    }
    out
}

#[test]
fn cache_entries() {
    let entries = [
        ("libfoo.so.2", "/opt/v3/libfoo.so.2", 1 << 62),
        ("libfoo.so.2", "/lib/libfoo.so.2", 0),
        ("libc.so.6", "/lib/libc.so.6", 0),
    ];
    for old in [false, true] {
        let bytes = cache(&entries, &["x86-64-v3"], old);
        let cache = LdCache::parse(&bytes).expect("sound");
        let text: Vec<_> = cache.entries().map(|e| format!("{} {} {:?}", e.name, e.path, e.hwcap)).collect();
        expect![[r#"
            libfoo.so.2 /opt/v3/libfoo.so.2 Some("x86-64-v3")
            libfoo.so.2 /lib/libfoo.so.2 None
            libc.so.6 /lib/libc.so.6 None"#]]
        .assert_eq(&text.join("\n"));
    }
}

#[test]
fn broken_caches_say_where() {
    let sound = cache(&[("a", "/a", 0)], &[], false);
    let error = |bytes: &[u8]| LdCache::parse(bytes).err().unwrap_or_else(|| "none".into());
    assert_eq!(error(b"garbage"), "it has no `glibc-ld.so.cache1.1` table");
    assert_eq!(error(&sound[..30]), "the header ends after 30 of 48 bytes");
    assert_eq!(error(&sound[..60]), "1 entries do not fit into 60 bytes");
    assert_eq!(error(&sound), "none");
}

#[test]
fn mapping_lines() {
    let show = |line: &str| {
        Mapping::parse(line.as_bytes())
            .map(|m| format!("{:x}-{:x} {} {:x} {:?}", m.start, m.end, m.perms.execute, m.offset, m.backing))
    };
    let lines = [
        "00400000-00401000 r-xp 00001000 fe:01 1234                       /usr/bin/a b",
        "7f0000000000-7f0000001000 r--p 00000000 00:00 0",
        "7f0000000000-7f0000001000 r--p 00000000 00:00 0 ",
        "7ffd0000-7ffe0000 rw-p 00000000 00:00 0                          [stack]",
        "7ffd0000-7ffe0000 r-xp 00000000 00:00 0                          [vdso]",
        "00400000-00401000 r-xp 00000000 fe:01 99 /tmp/x (deleted)",
        "00400000-00401000 rwxs 00000000 00:01 99 /memfd:jit (deleted)",
        "00400000-00401000 r-xp 00000000 fe:01 99 /tmp/new\\012line",
        "00400000-00401000 r-xp 00000000 fe:01 99 /tmp/back\\slash",
        "ffffffffff600000-ffffffffff601000 --xp 00000000 00:00 0                  [vsyscall]",
        "00400000-00400000 r-xp 00000000 fe:01 99 /empty",
        "+1-2 r-xp 0 0:0 0",
        "00400000 r-xp",
        "",
    ];
    let text: Vec<_> = lines.iter().map(|l| show(l).unwrap_or_else(|| "-".into())).collect();
    expect![[r#"
        400000-401000 true 1000 File("/usr/bin/a b")
        7f0000000000-7f0000001000 false 0 Anonymous
        7f0000000000-7f0000001000 false 0 Anonymous
        7ffd0000-7ffe0000 false 0 Special("stack")
        7ffd0000-7ffe0000 true 0 Special("vdso")
        400000-401000 true 0 Deleted("/tmp/x")
        400000-401000 true 0 Memory("/memfd:jit (deleted)")
        400000-401000 true 0 File("/tmp/new\nline")
        400000-401000 true 0 File("/tmp/back\\slash")
        ffffffffff600000-ffffffffff601000 true 0 Special("vsyscall")
        -
        -
        -
        -"#]]
    .assert_eq(&text.join("\n"));
    assert_eq!(Backing::parse(b"//anon"), Backing::Anonymous);
    assert_eq!(Mapping::parse_all(b"nonsense\n1000-2000 r-xp 0 0:0 0\n").1, 1);
}

#[test]
fn links_stay_inside_the_other_root() {
    let dir = std::env::temp_dir().join(format!("tracewell-root-{}", std::process::id()));
    std::fs::create_dir_all(dir.join("usr/lib")).expect("a folder");
    std::fs::write(dir.join("usr/lib/f"), b"x").expect("a file");
    let link = |to: &str, at: &str| std::os::unix::fs::symlink(to, dir.join(at)).expect("a link");
    link("/usr/lib", "lib");
    link("../../../../usr/lib/f", "up");
    link("loop", "loop");
    let root = Root::at(&dir);
    assert_eq!(root.resolve_inside(Path::new("/lib/f")), Some(PathBuf::from("/usr/lib/f")));
    assert_eq!(root.resolve(Path::new("/up")), Some(dir.join("usr/lib/f")));
    assert_eq!(root.resolve(Path::new("/loop")), None);
    assert_eq!(root.resolve(Path::new("/etc/hostname")), None);
    std::fs::remove_dir_all(&dir).expect("was made");
}

#[test]
fn processes() {
    let me = Process::open(std::process::id()).expect("we exist");
    assert!(me.is_alive() && me.start_time() > 0);
    assert_eq!(me.exe().expect("readable"), std::env::current_exe().ok());
    assert!(
        me.maps()
            .expect("readable")
            .iter()
            .any(|m| m.perms.execute && m.contains(processes as *const () as u64))
    );
    assert!(me.root().expect("readable").is_ours());
    // No pid is that large (PID_MAX_LIMIT is 4194304).
    assert!(matches!(Process::open(4_194_305), Err(UserError::NoProcess { pid: 4_194_305 })));
    assert_eq!(
        process_binary(&me).expect("we run something").inside,
        me.exe().expect("readable").expect("not a kernel thread")
    );
}

#[test]
fn libraries_that_are_not_there() {
    let message = |name: &str| resolve_library(name, None).expect_err("not there").to_string();
    assert!(
        message("no-such-library")
            .starts_with("unable to find library no-such-library: not in the loader's cache")
    );
    assert!(
        message("/no/such/file").starts_with("unable to find library /no/such/file: there is no such file")
    );
}

#[test]
fn c_is_the_c_library() {
    let (Ok(found), Ok(soname)) = (resolve_library("c", None), resolve_library("libc.so.6", None)) else {
        eprintln!("SKIP c_is_the_c_library: no glibc on this machine");
        return;
    };
    assert_eq!(found, soname);
    let name = found.path.file_name().and_then(|n| n.to_str());
    assert_eq!(name, Some("libc.so.6"));
    let me = Process::open(std::process::id()).expect("we exist");
    let mapped = resolve_library("c", Some(&me));
    if cfg!(target_env = "gnu") {
        let mapped = mapped.expect("we have it mapped");
        assert_eq!(std::fs::canonicalize(mapped.path).ok(), std::fs::canonicalize(found.path).ok());
    }
    let sh = resolve_library("sh", None).expect("there is a shell");
    assert!(sh.inside.is_absolute());
}

/// Every exported function of the C library has the address that `nm -D` prints.
#[test]
fn addresses_agree_with_nm() {
    let Ok(libc) = resolve_library("c", None) else {
        eprintln!("SKIP addresses_agree_with_nm: no C library by that name");
        return;
    };
    let Ok(nm) = Command::new("nm").arg("-D").arg(&libc.path).output() else {
        eprintln!("SKIP addresses_agree_with_nm: nm (binutils) is not installed");
        return;
    };
    let elf = libc.open().expect("readable");
    let (mut same, mut indirect) = (0, 0);
    for line in String::from_utf8_lossy(&nm.stdout).lines() {
        let fields: Vec<_> = line.split_ascii_whitespace().collect();
        let [addr, kind, name] = fields[..] else { continue };
        let name = name.replace("@@", "@");
        match kind {
            "T" | "W" => {
                let Ok(f) = elf.function(&name, &libc.root, &libc.inside) else { continue };
                assert_eq!(Some(f.addr), u64::from_str_radix(addr, 16).ok(), "{name}");
                same += 1;
            }
            "i" => {
                let error = elf.function(&name, &libc.root, &libc.inside);
                assert!(matches!(error, Err(UserError::Ifunc { .. })), "{name}: {error:?}");
                indirect += 1;
            }
            _ => {}
        }
        if same > 300 && indirect > 10 {
            break;
        }
    }
    assert!(same > 100, "only {same} functions could be compared");
    assert!(libc.function("malloc", 0x4).is_ok());
    assert!(matches!(libc.function("malloc", 0x10_0000), Err(UserError::OffsetOutside { .. })));
    let all = find_functions(&libc.path, &Pattern::new("*", Syntax::Glob).expect("a pattern")).expect("some");
    assert!(all.len() > 1000);
    assert!(all.windows(2).all(|w| w[0].name < w[1].name));
}

#[test]
fn our_own_program_cut_and_changed() {
    let bytes = std::fs::read(std::env::current_exe().expect("known")).expect("readable");
    let tables = bytes.len() - 4096;
    for cut in [0, 3, 20, 63, 64, 200, 4096, bytes.len() / 2, tables, bytes.len() - 1] {
        let Ok(elf) = Elf::from_bytes(bytes[..cut].to_vec(), "cut") else { continue };
        let found = elf.function("main", &Root::at("/nonexistent"), Path::new("/cut"));
        assert!(found.is_err(), "cut at {cut}");
    }
    // A stride through the header and the section headers.
    for at in (0..64).chain((tables..bytes.len()).step_by(61)) {
        let mut changed = bytes.clone();
        changed[at] = changed[at].wrapping_add(0x41);
        if let Ok(elf) = Elf::from_bytes(changed, "changed") {
            let _ = elf.function("main", &Root::at("/nonexistent"), Path::new("/changed"));
        }
    }
}

proptest! {
    #[test]
    fn any_cache_bytes(hits in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..8), cut in any::<prop::sample::Index>(), old: bool) {
        let mut bytes = cache(&[("libfoo.so.2", "/lib/libfoo.so.2", 1 << 62), ("b", "/b", 0)], &["x86-64-v3"], old);
        for (at, value) in hits {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        bytes.truncate(cut.index(bytes.len()) + 1);
        if let Ok(cache) = LdCache::parse(&bytes) {
            cache.entries().for_each(drop);
        }
    }

    #[test]
    fn any_mapping_line(line in proptest::collection::vec(any::<u8>(), 0..120), head in "([0-9a-f]{1,8}-[0-9a-f]{1,17} r-xp [0-9a-f]{1,3} [0-9]:[0-9] [0-9]{1,2} )?") {
        let _ = Mapping::parse(&[head.as_bytes(), &line].concat());
    }

    #[test]
    fn written_mappings_are_read(start in 0u64..1 << 47, len in 1u64..1 << 40, offset: u32, inode: u32, path in "/[a-z /]{0,20}[a-z]") {
        let line = format!("{start:x}-{:x} r-xp {offset:08x} fd:01 {inode} {path}", start + len);
        let m = Mapping::parse(line.as_bytes()).expect("well formed");
        prop_assert_eq!((m.start, m.end, m.offset, m.inode), (start, start + len, offset.into(), inode.into()));
    }
}

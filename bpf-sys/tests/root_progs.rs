//! Programs and links on the running kernel.

mod common;

use std::os::fd::{AsFd, AsRawFd};
use std::time::Duration;

use tracewell_bpf_sys::btf_obj::BtfObj;
use tracewell_bpf_sys::link::{self, Link, LinkDetails, LinkType};
use tracewell_bpf_sys::map::{Map, MapCreate, MapType};
use tracewell_bpf_sys::prog::{AttachType, Prog, ProgLoad, ProgType, TestRun};
use tracewell_bpf_sys::{Errno, Error, features, ids, stats};

/// One instruction, little-endian machines only, as all that these tests run on are.
const fn insn(opcode: u64, dst: u64, src: u64, off: i16, imm: i32) -> u64 {
    opcode | dst << 8 | src << 12 | (off as u16 as u64) << 16 | (imm as u32 as u64) << 32
}

const EXIT: u64 = insn(0x95, 0, 0, 0, 0);

fn load(prog_type: ProgType, insns: &[u64]) -> Result<Prog, Error> {
    ProgLoad { prog_type, name: "tw_test", insns, license: "GPL", ..ProgLoad::default() }.load()
}

/// Adds one to the only value of `map` and returns 7.
fn counting(map: &Map) -> Vec<u64> {
    vec![
        insn(0x18, 1, 2, 0, map.as_fd().as_raw_fd()),
        insn(0, 0, 0, 0, 0),
        insn(0xb7, 2, 0, 0, 1),
        insn(0xdb, 1, 2, 0, 0),
        insn(0xb7, 0, 0, 0, 7),
        EXIT,
    ]
}

fn counter() -> Map {
    MapCreate { name: "tw_count", key_size: 4, value_size: 8, max_entries: 1, ..MapCreate::default() }
        .create()
        .unwrap()
}

fn count(map: &Map) -> u64 {
    let mut value = [0; 8];
    assert!(map.lookup(&[0; 4], &mut value).unwrap());
    u64::from_ne_bytes(value)
}

#[test]
fn root_a_test_run_runs_the_program() {
    skip_unless_bpf!("root_a_test_run_runs_the_program");
    let map = counter();
    let prog = load(ProgType::SocketFilter, &counting(&map)).unwrap();
    let data = [0u8; 64];
    let mut out = [1u8; 64];
    let run = TestRun { data: &data, data_out: &mut out, repeat: 100, ..TestRun::default() };
    let result = prog.test_run(run).unwrap();
    assert_eq!(result.retval, 7);
    assert!(!result.truncated);
    assert!(result.duration < Duration::from_millis(100), "{result:?}");
    // A socket filter sees the packet without its 14 bytes of Ethernet header, and all of it comes back.
    assert_eq!(result.data_len, 64);
    assert_eq!(out, data);
    assert_eq!(count(&map), 100);

    let mut short = [0u8; 20];
    let result = prog.test_run(TestRun { data: &data, data_out: &mut short, ..TestRun::default() }).unwrap();
    assert!(result.truncated && result.data_len == 64, "{result:?}");

    let error = prog.test_run(TestRun { data: &[0; 4], ..TestRun::default() }).unwrap_err();
    assert!(error.is_errno(Errno::EINVAL), "{error}");
}

#[test]
fn root_a_raw_tracepoint_runs_on_its_arguments() {
    skip_unless_bpf!("root_a_raw_tracepoint_runs_on_its_arguments");
    // r0 = *(u64 *)(r1 + 8)
    let prog = load(ProgType::RawTracepoint, &[insn(0x79, 0, 1, 8, 0), EXIT]).unwrap();
    let ctx: Vec<u8> = [11u64, 22].iter().flat_map(|n| n.to_ne_bytes()).collect();
    let result = prog.test_run(TestRun { ctx: &ctx, ..TestRun::default() }).unwrap();
    assert_eq!(result.retval, 22);
}

#[test]
fn root_info_tells_what_was_loaded() {
    skip_unless_bpf!("root_info_tells_what_was_loaded");
    let map = counter();
    let insns = counting(&map);
    let prog = load(ProgType::SocketFilter, &insns).unwrap();
    let info = prog.info().unwrap();
    assert_eq!(
        (info.prog_type, info.name.as_str(), info.gpl_compatible),
        (ProgType::SocketFilter, "tw_test", true)
    );
    assert_eq!(info.map_ids, [map.info().unwrap().id]);
    assert_eq!(info.xlated.len(), insns.len());
    assert_eq!(info.xlated.last(), Some(&EXIT));
    assert!(info.load_time > Duration::ZERO);
    if features::has_jit().is_yes() {
        assert!(!info.jited.is_empty());
        assert_eq!(info.jited_func_lens.iter().sum::<u32>() as usize, info.jited.len());
        assert_eq!(info.jited_ksyms.len(), 1);
    }
    assert_eq!(prog.id().unwrap(), info.id);
    assert!(ids::progs().any(|id| id.unwrap() == info.id));
    let same = Prog::from_id(info.id).unwrap();
    assert_eq!(same.info().unwrap().tag, info.tag);
    let brief = same.summary().unwrap();
    assert_eq!((brief.id, &brief.map_ids, brief.tag), (info.id, &info.map_ids, info.tag));
    assert_eq!((brief.name.as_str(), brief.load_time), ("tw_test", info.load_time));
    assert_eq!(
        (brief.xlated_len as usize, brief.jited_len as usize, brief.verified_insns),
        (info.xlated.len() * 8, info.jited.len(), info.verified_insns)
    );
    drop((prog, same));
    common::soon("the program is gone", || Prog::from_id(info.id).is_err_and(|e| e.is_errno(Errno::ENOENT)));
}

#[test]
fn root_runs_are_counted_while_the_guard_lives() {
    skip_unless_bpf!("root_runs_are_counted_while_the_guard_lives");
    let prog = load(ProgType::SocketFilter, &[insn(0xb7, 0, 0, 0, 0), EXIT]).unwrap();
    let guard = stats::enable_runtime().unwrap();
    let _ = prog.test_run(TestRun { data: &[0; 64], repeat: 50, ..TestRun::default() }).unwrap();
    let run = prog.run_stats().unwrap();
    drop(guard);
    assert_eq!(run.run_cnt, 50);
    assert!(run.run_time_ns > 0);
    // The same figures through the longer way.
    assert_eq!(prog.info().unwrap().stats, run);
}

#[test]
fn root_a_refused_program_comes_with_the_verifiers_words() {
    skip_unless_bpf!("root_a_refused_program_comes_with_the_verifiers_words");
    // r0 = *(u64 *)(r1 + 0): of a socket filter's context, no such field.
    let error = load(ProgType::SocketFilter, &[insn(0x79, 0, 1, 0, 0), EXIT]).unwrap_err();
    let text = error.to_string();
    let Error::ProgLoad(refused) = error else { panic!("{text}") };
    assert_eq!(refused.errno, Errno::EACCES);
    assert!(refused.log.contains("invalid bpf_context access"), "{text}");
    assert!(
        text.starts_with("bpf(BPF_PROG_LOAD): load socket_filter program `tw_test` (2 instructions): EACCES"),
        "{text}"
    );

    let no_gpl = ProgLoad {
        prog_type: ProgType::Kprobe,
        insns: &[insn(0x85, 0, 0, 0, 6), EXIT],
        license: "Proprietary",
        ..ProgLoad::default()
    };
    let text = no_gpl.load().unwrap_err().to_string();
    assert!(text.contains("load it under \"GPL\""), "{text}");

    let error = load(ProgType::SocketFilter, &[]).unwrap_err().to_string();
    assert!(error.contains("the program has no instructions") || error.contains("EINVAL"), "{error}");
}

/// A log of many megabytes: the buffer has to grow, and nothing of the text may be lost where it was asked for. Where it was
/// not, its end may do, which says what is wrong, as long as it says that the rest is missing.
#[test]
fn root_a_long_log_comes_in_full() {
    skip_unless_bpf!("root_a_long_log_comes_in_full");
    let mut insns = vec![insn(0xb7, 0, 0, 0, 1); 30_000];
    insns.push(insn(0x79, 0, 1, 0, 0));
    insns.push(EXIT);
    for log_level in [0, 1] {
        let spec = ProgLoad {
            prog_type: ProgType::SocketFilter,
            name: "tw_test",
            insns: &insns,
            license: "GPL",
            log_level,
            ..ProgLoad::default()
        };
        let error = spec.load().unwrap_err();
        let Error::ProgLoad(refused) = error else { panic!("{error}") };
        assert_eq!(refused.errno, Errno::EACCES, "{}", refused.log.len());
        assert!(refused.log.len() > 200 << 10, "{}", refused.log.len());
        let start = refused.log.trim_start();
        let whole = start.starts_with("0: ") || start.contains("\n0: (b7)");
        let says_so = log_level == 0 && start.starts_with("[the log's beginning is left out]\n");
        assert!(whole || says_so, "level {log_level}: {}", &start[..200]);
        assert!(refused.log.contains("invalid bpf_context access"));
    }
}

#[test]
fn root_a_log_that_was_asked_for() {
    skip_unless_bpf!("root_a_log_that_was_asked_for");
    let insns = [insn(0xb7, 0, 0, 0, 0), EXIT];
    let spec = ProgLoad { insns: &insns, license: "GPL", log_level: 2, ..ProgLoad::default() };
    let (_, log) = spec.load_with_log().unwrap();
    assert!(log.contains("(b7) r0 = 0") && log.contains("(95) exit"), "{log}");
    let (_, log) = ProgLoad { log_level: 0, ..spec }.load_with_log().unwrap();
    assert_eq!(log, "");
}

#[test]
fn root_a_raw_tracepoint_link() {
    skip_unless_bpf!("root_a_raw_tracepoint_link");
    // Counts nothing and looks at nothing; it is here to be asked about.
    let prog = load(ProgType::RawTracepoint, &[insn(0xb7, 0, 0, 0, 0), EXIT]).unwrap();
    let link = link::raw_tracepoint_open(&prog, "module_free")
        .or_else(|_| link::raw_tracepoint_open(&prog, "task_rename"));
    let link = link.unwrap();
    let info = link.info().unwrap();
    assert_eq!((info.link_type, info.prog_id), (LinkType::RawTracepoint, prog.id().unwrap()));
    let LinkDetails::RawTracepoint { name, .. } = &info.details else { panic!("{info:?}") };
    assert!(name == "module_free" || name == "task_rename", "{name}");
    assert!(ids::links().any(|id| id.unwrap() == info.id));
    assert_eq!(Link::from_id(info.id).unwrap().info().unwrap(), info);
    assert!(matches!(link.detach().unwrap_err(), Error::Unsupported { .. } | Error::Sys { .. }));
    if let Some(bpffs) = common::bpffs("root_a_raw_tracepoint_link") {
        let path = bpffs.join(format!("tw_link_{}", std::process::id()));
        link.pin(&path).unwrap();
        let pinned = Link::open_pinned(&path);
        std::fs::remove_file(&path).unwrap();
        assert_eq!(pinned.unwrap().info().unwrap().id, info.id);
    }
    let id = info.id;
    drop(link);
    common::soon("the link is gone", || Link::from_id(id).is_err_and(|e| e.is_errno(Errno::ENOENT)));

    let error = link::raw_tracepoint_open(&prog, "no_such_tracepoint").unwrap_err();
    assert!(error.is_errno(Errno::ENOENT), "{error}");
    assert!(error.to_string().contains("\"no_such_tracepoint\", which this kernel does not have"), "{error}");
}

#[test]
fn root_arguments_that_cannot_be_right() {
    skip_unless_bpf!("root_arguments_that_cannot_be_right");
    let insns = [insn(0xb7, 0, 0, 0, 0), EXIT];
    let prog = load(ProgType::Kprobe, &insns).unwrap();
    let invalid = |error: Error| assert!(matches!(error, Error::Invalid { .. }), "{error}");
    invalid(link::kprobe_multi(&prog, &link::KprobeMulti::default()).unwrap_err());
    let functions = link::KprobeMulti { addrs: &[1, 2], cookies: &[1], ..Default::default() };
    invalid(link::kprobe_multi(&prog, &functions).unwrap_err());
    let flags = link::MultiFlags::RETURN | link::MultiFlags::SESSION;
    invalid(
        link::kprobe_multi(&prog, &link::KprobeMulti { addrs: &[1], flags, ..Default::default() })
            .unwrap_err(),
    );
    invalid(ProgLoad { license: "G\0PL", insns: &insns, ..ProgLoad::default() }.load().unwrap_err());
    // A program's descriptor is no map's, link's or BTF object's.
    let fd = || prog.as_fd().try_clone_to_owned().unwrap();
    invalid(Map::from_fd(fd()).unwrap_err());
    invalid(Link::from_fd(fd()).unwrap_err());
    invalid(BtfObj::from_fd(fd()).unwrap_err());
    invalid(Prog::from_fd(std::fs::File::open("/dev/null").unwrap().into()).unwrap_err());
}

#[test]
fn root_uprobe_multi_counts_calls_of_this_process() {
    skip_unless_bpf!("root_uprobe_multi_counts_calls_of_this_process");
    let answer = features::has_uprobe_multi();
    if !answer.is_yes() {
        eprintln!("SKIP root_uprobe_multi_counts_calls_of_this_process: {answer}");
        return;
    }
    let map = counter();
    let insns = counting(&map);
    let prog = ProgLoad {
        prog_type: ProgType::Kprobe,
        insns: &insns,
        license: "GPL",
        expected_attach_type: Some(AttachType::TraceUprobeMulti),
        ..ProgLoad::default()
    };
    let prog = prog.load().unwrap();
    let exe = std::env::current_exe().unwrap();
    let offset = file_offset(called as *const () as usize);
    let functions = link::UprobeMulti {
        path: &exe,
        offsets: &[offset],
        ref_ctr_offsets: &[],
        cookies: &[42],
        pid: std::process::id(),
        flags: link::MultiFlags::empty(),
    };
    let link = link::uprobe_multi(&prog, &functions).unwrap();
    let sum: u64 = (0..100).map(|n| called(std::hint::black_box(n))).sum();
    assert_eq!(sum, 4950 + 100);
    let info = link.info().unwrap();
    assert_eq!(info.link_type, LinkType::UprobeMulti);
    let LinkDetails::UprobeMulti { path, count: probes, offsets, ref_ctr_offsets, cookies, .. } =
        info.details
    else {
        panic!("{info:?}")
    };
    // The details came with 6.8.
    if probes != 0 {
        assert_eq!((path.as_str(), offsets.as_slice()), (exe.to_str().unwrap(), &[offset][..]));
        assert_eq!((ref_ctr_offsets.as_slice(), cookies.as_slice()), (&[0][..], &[42][..]));
    }
    drop(link);
    called(1);
    assert_eq!(count(&map), 100);
}

#[inline(never)]
fn called(n: u64) -> u64 {
    std::hint::black_box(n) + 1
}

/// Where in this executable's file the code at `address` is.
fn file_offset(address: usize) -> u64 {
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
    maps.lines()
        .find_map(|line| {
            let mut fields = line.split_ascii_whitespace();
            let (start, end) = fields.next()?.split_once('-')?;
            let (start, end) = (usize::from_str_radix(start, 16).ok()?, usize::from_str_radix(end, 16).ok()?);
            let offset = u64::from_str_radix(fields.nth(1)?, 16).ok()?;
            (start..end).contains(&address).then(|| (address - start) as u64 + offset)
        })
        .unwrap()
}

#[test]
fn root_the_kernels_btf_is_fetched() {
    skip_unless_bpf!("root_the_kernels_btf_is_fetched");
    let vmlinux = ids::btfs().find_map(|id| {
        let object = BtfObj::from_id(id.unwrap()).unwrap();
        let info = object.info().unwrap();
        (info.name == "vmlinux" || !info.kernel_btf && info.size > 1 << 20).then_some((object, info))
    });
    let Some((object, info)) = vmlinux else {
        eprintln!("SKIP root_the_kernels_btf_is_fetched: no BTF object is the kernel's");
        return;
    };
    let bytes = object.bytes().unwrap();
    assert_eq!(bytes.len(), info.size as usize);
    assert_eq!(bytes[..2], 0xeb9f_u16.to_ne_bytes());
    if let Ok(file) = std::fs::read("/sys/kernel/btf/vmlinux") {
        assert_eq!(file, bytes);
    }
}

#[test]
fn root_bad_btf_is_explained() {
    skip_unless_bpf!("root_bad_btf_is_explained");
    let error = BtfObj::load(&[0; 64]).unwrap_err();
    let text = error.to_string();
    let Error::BtfLoad { len: 64, errno: Errno::EINVAL, log } = error else { panic!("{text}") };
    assert!(log.to_lowercase().contains("magic"), "{text}");
    assert!(
        text.starts_with(
            "bpf(BPF_BTF_LOAD): load 64 bytes of BTF: EINVAL (Invalid argument)\nthe kernel says:"
        ),
        "{text}"
    );
}

#[test]
fn root_a_map_is_bound_to_a_program() {
    skip_unless_bpf!("root_a_map_is_bound_to_a_program");
    let prog = load(ProgType::SocketFilter, &[insn(0xb7, 0, 0, 0, 0), EXIT]).unwrap();
    let map = MapCreate {
        map_type: MapType::Hash,
        ..MapCreate { key_size: 4, value_size: 4, max_entries: 1, ..Default::default() }
    };
    let map = map.create().unwrap();
    prog.bind_map(&map).unwrap();
    assert_eq!(prog.info().unwrap().map_ids, [map.info().unwrap().id]);
}

#[test]
fn root_a_perf_link_gives_the_program_its_cookie() {
    skip_unless_bpf!("root_a_perf_link_gives_the_program_its_cookie");
    use tracewell_bpf_sys::perf::{PerfAttr, PerfEvent};
    for answer in [features::has_cookie(), features::has_perf_uprobe()] {
        if !answer.is_yes() {
            eprintln!("SKIP root_a_perf_link_gives_the_program_its_cookie: {answer}");
            return;
        }
    }
    let map = counter();
    // *value = *value + bpf_get_attach_cookie(ctx)
    let insns = [
        insn(0x85, 0, 0, 0, 174),
        insn(0x18, 1, 2, 0, map.as_fd().as_raw_fd()),
        insn(0, 0, 0, 0, 0),
        insn(0xdb, 1, 0, 0, 0),
        insn(0xb7, 0, 0, 0, 0),
        EXIT,
    ];
    let prog = load(ProgType::Kprobe, &insns).unwrap();
    let exe = std::env::current_exe().unwrap();
    let attr = PerfAttr::uprobe(&exe, file_offset(cookie_target as *const () as usize), false, 0).unwrap();
    // This thread only.
    let event = PerfEvent::open(&attr, 0, -1, None, Default::default()).unwrap();
    let link = link::perf_event(&prog, &event, 1000).unwrap();
    let sum: u64 = (0..10).map(|n| cookie_target(std::hint::black_box(n))).sum();
    assert_eq!(sum, 45 + 20);
    assert_eq!(count(&map), 10_000);
    let info = link.info().unwrap();
    assert_eq!(info.link_type, LinkType::PerfEvent);
    if let LinkDetails::PerfEvent(details) = &info.details
        && !details.name.is_empty()
    {
        assert_eq!(details.name, exe.to_str().unwrap());
    }
    let query = tracewell_bpf_sys::prog::task_fd_query(&event).unwrap().unwrap();
    assert_eq!((query.prog_id, query.name.as_str()), (prog.id().unwrap(), exe.to_str().unwrap()));
    drop((link, event));
    cookie_target(1);
    assert_eq!(count(&map), 10_000);
}

#[inline(never)]
fn cookie_target(n: u64) -> u64 {
    std::hint::black_box(n) + 2
}

/// Two rarely called system calls at once, each with a cookie of its own; nothing else in a guest makes them.
#[test]
fn root_a_kprobe_multi_link_tells_functions_apart() {
    skip_unless_bpf!("root_a_kprobe_multi_link_tells_functions_apart");
    let answer = features::has_multi_cookie();
    if !answer.is_yes() || !cfg!(target_arch = "x86_64") {
        eprintln!("SKIP root_a_kprobe_multi_link_tells_functions_apart: {answer}");
        return;
    }
    let map = counter();
    let insns = [
        insn(0x85, 0, 0, 0, 174),
        insn(0x18, 1, 2, 0, map.as_fd().as_raw_fd()),
        insn(0, 0, 0, 0, 0),
        insn(0xdb, 1, 0, 0, 0),
        insn(0xb7, 0, 0, 0, 0),
        EXIT,
    ];
    let spec = ProgLoad {
        prog_type: ProgType::Kprobe,
        insns: &insns,
        license: "GPL",
        expected_attach_type: Some(AttachType::TraceKprobeMulti),
        ..ProgLoad::default()
    };
    let prog = spec.load().unwrap();
    let table = link::SymTable::all(b"__x64_sys_getpgid\0__x64_sys_getsid\0").unwrap();
    let functions = link::KprobeMulti { syms: Some(&table), cookies: &[1, 1000], ..Default::default() };
    let link = link::kprobe_multi(&prog, &functions).unwrap();
    for n in 0..5 {
        // SAFETY: the calls take numbers only.
        unsafe { libc::syscall(libc::SYS_getpgid, 0) };
        if n < 3 {
            // SAFETY: as above.
            unsafe { libc::syscall(libc::SYS_getsid, 0) };
        }
    }
    assert_eq!(count(&map), 3005);
    assert_eq!(link.missed().unwrap(), 0);
    let info = link.info().unwrap();
    assert_eq!(info.link_type, LinkType::KprobeMulti);
    if let LinkDetails::KprobeMulti { count: probes, addrs, .. } = &info.details
        && *probes != 0
    {
        assert_eq!(*probes, 2);
        assert!(addrs.is_empty() || addrs.len() == 2, "{addrs:?}");
    }
    drop(link);
    // SAFETY: as above.
    unsafe { libc::syscall(libc::SYS_getpgid, 0) };
    assert_eq!(count(&map), 3005);
}

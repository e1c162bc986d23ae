//! Perf events on the running kernel: software events, records of a child, uprobes, and what errors say. Everything is
//! limited to this process and the children it starts.

use std::os::fd::AsFd;
use std::process::Command;

use tracewell_bpf_sys::perf::record::{FileId, Record};
use tracewell_bpf_sys::perf::sample::Context;
use tracewell_bpf_sys::perf::{
    AttrFlags, OpenFlags, PerfAttr, PerfEvent, PerfRing, PmuConfig, ReadFormat, SampleType, Sampling,
    SoftwareEvent, Source, pmu_type,
};
use tracewell_bpf_sys::{Errno, Error};

/// Opens an event for this process, or says why this machine cannot.
fn open(test: &str, attr: &PerfAttr) -> Option<PerfEvent> {
    match PerfEvent::open(attr, 0, -1, None, OpenFlags::empty()) {
        Ok(event) => Some(event),
        Err(e) => {
            let missing = matches!(e, Error::Unsupported { .. })
                || [Errno::EPERM, Errno::EACCES, Errno::ENOSYS].iter().any(|errno| e.is_errno(*errno));
            assert!(missing, "{e}");
            eprintln!("SKIP {test}: {e}");
            None
        }
    }
}

/// Touches new pages: never given back, so that the allocator cannot use them again.
fn fault(pages: usize) {
    std::hint::black_box(vec![1u8; pages * 4096].leak());
}

#[test]
fn root_counts_page_faults() {
    let mut attr = PerfAttr::software(SoftwareEvent::PageFaults);
    attr.flags = AttrFlags::DISABLED;
    let Some(event) = open("root_counts_page_faults", &attr) else { return };
    fault(600);
    assert_eq!(event.read_count().unwrap(), 0, "it was off");
    event.enable().unwrap();
    fault(600);
    event.disable().unwrap();
    let count = event.read_count().unwrap();
    // Not one for each page: the kernel may use large ones.
    assert!(count > 0);
    fault(600);
    assert_eq!(event.read_count().unwrap(), count, "it is off again");
    event.reset().unwrap();
    assert_eq!(event.read_count().unwrap(), 0);
    assert_ne!(event.id().unwrap(), event.try_clone().map(|_| 0).unwrap());
}

#[test]
fn root_reads_groups() {
    let mut attr = PerfAttr::software(SoftwareEvent::TaskClock);
    attr.read_format = ReadFormat::all() - ReadFormat::LOST;
    attr.flags = AttrFlags::DISABLED;
    let Some(leader) = open("root_reads_groups", &attr) else { return };
    let member = PerfAttr {
        flags: AttrFlags::empty(),
        source: Source::Software(SoftwareEvent::PageFaults),
        ..attr.clone()
    };
    let member = PerfEvent::open(&member, 0, -1, Some(leader.as_fd()), OpenFlags::empty()).unwrap();
    leader.enable_group().unwrap();
    fault(600);
    leader.disable_group().unwrap();
    let mut buffer = [0; 256];
    let counts = leader.read_counts(attr.read_format, &mut buffer).unwrap();
    let all: Vec<_> = counts.counters().collect();
    assert_eq!(all.len(), 2);
    assert_eq!((all[0].id, all[1].id), (leader.id().ok(), member.id().ok()));
    assert!(all[0].value > 0 && all[1].value > 0, "{all:?}");
    assert!(counts.time_enabled.unwrap() >= counts.time_running.unwrap());
    let error = leader.read_counts(attr.read_format, &mut [0; 8]).unwrap_err();
    assert!(error.is_errno(Errno::ENOSPC), "{error}");
}

#[test]
fn root_sees_the_records_of_a_child() {
    let test = "root_sees_the_records_of_a_child";
    let mut attr = PerfAttr::software(SoftwareEvent::Dummy);
    attr.flags = AttrFlags::MMAP
        | AttrFlags::MMAP2
        | AttrFlags::COMM
        | AttrFlags::COMM_EXEC
        | AttrFlags::TASK
        | AttrFlags::SAMPLE_ID_ALL
        | AttrFlags::INHERIT
        | AttrFlags::EXCLUDE_KERNEL;
    attr.sample_type = SampleType::TID | SampleType::TIME | SampleType::CPU | SampleType::IDENTIFIER;
    // An inherited event has a ring only for one processor, so that there is one for each.
    let mut rings = Vec::new();
    for cpu in tracewell_bpf_sys::cpus::online().unwrap() {
        match PerfEvent::open(&attr, 0, cpu as i32, None, OpenFlags::empty()) {
            Ok(event) => rings.push(PerfRing::new(event, 16, attr.record_format()).unwrap()),
            Err(e) if e.is_errno(Errno::ENOSYS) || e.is_errno(Errno::EPERM) || e.is_errno(Errno::EACCES) => {
                return eprintln!("SKIP {test}: {e}");
            }
            Err(e) => panic!("{e}"),
        }
    }
    // A child that executes this very program, which every machine has.
    let program = std::env::current_exe().unwrap();
    let mut child = Command::new(&program).arg("--list").stdout(std::process::Stdio::null()).spawn().unwrap();
    let pid = child.id();
    child.wait().unwrap();
    let (mut fork, mut exec, mut mapped, mut exit, mut ids) = (0, 0, 0, 0, 0);
    for ring in &mut rings {
        let id = ring.event().id().unwrap();
        ring.read(|entry| {
            ids += usize::from(entry.id.time.is_some() && entry.id.cpu.is_some() && entry.id.id == Some(id));
            match entry.record {
                Record::Fork(task) if task.pid == pid => {
                    assert_eq!(task.parent_pid, std::process::id());
                    fork += 1;
                }
                Record::Comm { pid: p, name, exec: true, .. } if p == pid => {
                    assert!(program.file_name().unwrap().as_encoded_bytes().starts_with(name));
                    exec += 1;
                }
                Record::Mmap2 { mapping, file, prot, .. }
                    if mapping.pid == pid && mapping.filename == program.as_os_str().as_encoded_bytes() =>
                {
                    assert!(matches!(file, FileId::Inode { inode, .. } if inode != 0));
                    assert!(prot & 4 != 0 && mapping.len > 0, "only executable ones were asked for");
                    mapped += 1;
                }
                Record::Exit(task) if task.pid == pid && task.tid == pid => exit += 1,
                _ => {}
            }
        })
        .unwrap();
        assert_eq!(ring.available(), 0);
    }
    assert_eq!((fork, exec, exit), (1, 1, 1));
    assert!(mapped >= 1);
    assert!(ids >= 4, "every record has its trailer");
}

#[inline(never)]
fn spin() -> u64 {
    let start = std::time::Instant::now();
    let mut n = 0u64;
    while start.elapsed() < std::time::Duration::from_millis(300) {
        n = std::hint::black_box(n.wrapping_mul(31) + 1);
    }
    n
}

#[test]
fn root_samples_call_chains() {
    let mut attr = PerfAttr::cpu_clock(997);
    attr.sample_type = SampleType::IP
        | SampleType::TID
        | SampleType::TIME
        | SampleType::CPU
        | SampleType::PERIOD
        | SampleType::CALLCHAIN
        | SampleType::READ;
    attr.flags = AttrFlags::DISABLED;
    let Some(event) = open("root_samples_call_chains", &attr) else { return };
    // A ring of one page, read rarely, so that records wrap.
    let mut ring = PerfRing::new(event, 1, attr.record_format()).unwrap();
    ring.event().enable().unwrap();
    let (mut samples, mut user, mut last) = (0, 0, 0);
    for _ in 0..4 {
        spin();
        assert!(ring.wait(Some(std::time::Duration::from_secs(5))).unwrap());
        ring.read(|entry| {
            let Record::Sample(sample) = entry.record else { return };
            samples += 1;
            assert_eq!(sample.id.pid, Some(std::process::id()));
            assert!(sample.id.time.unwrap() >= last, "in their order");
            last = sample.id.time.unwrap();
            let chain = sample.callchain.unwrap();
            assert!(chain.iter().all(|(context, _)| context != Context::Unknown));
            user += usize::from(chain.iter().any(|(context, ip)| context == Context::User && ip != 0));
            assert!(sample.read.unwrap().value() > 0);
        })
        .unwrap();
    }
    ring.event().pause_output(true).unwrap();
    assert!(samples > 20 && user > 20, "{samples} samples, {user} with a user part");
}

#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn tracewell_test_probe_me(n: u64) -> u64 {
    std::hint::black_box(n.wrapping_mul(3) + 1)
}

/// The file and the offset in it at which a function of this program lies.
fn file_offset(address: u64) -> (String, u64) {
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
    maps.lines()
        .find_map(|line| {
            let mut fields = line.split_whitespace();
            let (start, end) = fields.next()?.split_once('-')?;
            let number = |text| u64::from_str_radix(text, 16).ok();
            let (start, end, offset) = (number(start)?, number(end)?, number(fields.nth(1)?)?);
            let path = fields.nth(2)?;
            (start..end).contains(&address).then(|| (path.to_owned(), address - start + offset))
        })
        .unwrap()
}

#[test]
fn root_uprobes_count_exactly() {
    let test = "root_uprobes_count_exactly";
    let (path, offset) = file_offset(tracewell_test_probe_me as *const () as u64);
    for ret in [false, true] {
        let attr = match PerfAttr::uprobe(&path, offset, ret, 0) {
            Ok(attr) => attr,
            Err(e @ (Error::Unsupported { .. } | Error::Unexpected { .. })) => {
                return eprintln!("SKIP {test}: {e}");
            }
            Err(e) => panic!("{e}"),
        };
        let Some(event) = open(test, &attr) else { return };
        (0..1000).for_each(|i| {
            tracewell_test_probe_me(i);
        });
        event.disable().unwrap();
        tracewell_test_probe_me(0);
        assert_eq!(event.read_count().unwrap(), 1000, "ret: {ret}");
        assert!(event.query_bpf().unwrap_err().is_errno(Errno::EINVAL), "for tracepoints only");
    }
    let attr = PerfAttr::uprobe("/no/such/file", 0, false, 0).unwrap();
    let error = PerfEvent::open(&attr, 0, -1, None, OpenFlags::empty()).unwrap_err().to_string();
    let want =
        "perf_event_open: open uprobe `/no/such/file` at file offset 0x0 for task 0: no such file: ENOENT";
    assert!(error.starts_with(want), "{error}");
}

#[test]
fn root_errors_say_what_to_do() {
    let test = "root_errors_say_what_to_do";
    if open(test, &PerfAttr::software(SoftwareEvent::Dummy)).is_none() {
        return;
    }
    let fails = |attr: &PerfAttr, pid, cpu| {
        PerfEvent::open(attr, pid, cpu, None, OpenFlags::empty()).unwrap_err().to_string()
    };
    let clock = PerfAttr::software(SoftwareEvent::CpuClock);
    assert!(fails(&clock, -1, -1).contains("a task or a processor must be named"));
    assert!(fails(&clock, i32::MAX, -1).contains("no such process or thread"));
    assert!(
        fails(&clock, -1, 4000)
            .starts_with("perf_event_open: open software event CpuClock for processor 4000")
    );
    assert!(fails(&PerfAttr::tracepoint(u64::from(u32::MAX)), 0, -1).contains("no tracepoint has this id"));
    let too_often = PerfAttr { sampling: Sampling::Frequency(u64::MAX >> 1), ..clock.clone() };
    assert!(fails(&too_often, 0, -1).contains("does not know this combination"));
    assert_eq!(pmu_type("no-such-pmu").unwrap(), None);
    assert_eq!(pmu_type("software").unwrap(), Some(1));
    let event = open(test, &clock).unwrap();
    assert!(PerfRing::new(event, 3, clock.record_format()).unwrap_err().to_string().contains("power of two"));
    let event = open(test, &clock).unwrap();
    let error = event.set_filter(c"pid == 1").unwrap_err();
    assert!(error.to_string().contains("set the filter `pid == 1`"), "{error}");
}

#[test]
fn root_new_fields_on_old_kernels_are_named() {
    let test = "root_new_fields_on_old_kernels_are_named";
    let config = PmuConfig { config: SoftwareEvent::Dummy as u64, config4: 1, ..PmuConfig::default() };
    let attr = PerfAttr::new(Source::Pmu { pmu: 1, config });
    match PerfEvent::open(&attr, 0, -1, None, OpenFlags::empty()) {
        // 6.18 and newer know the field, and the software PMU does not look at it.
        Ok(_) => {}
        Err(Error::Unsupported { since, how, .. }) => {
            assert_eq!(since, "6.18");
            assert!(how.contains("does not hold config4"), "{how}");
        }
        Err(e) => {
            let refused = [Errno::EPERM, Errno::EACCES, Errno::ENOSYS].iter().any(|errno| e.is_errno(*errno));
            assert!(refused, "{e}");
            eprintln!("SKIP {test}: {e}");
        }
    }
}

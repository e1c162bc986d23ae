//! Each kind of section attaches and its program runs, on each kernel that has it, through each mechanism.
//!
//! The programs are made here; they count for one process only, so that they may run on any machine.
#![forbid(unsafe_code)]

mod attach_common;

use std::fs;
use std::io::Read;
use std::os::fd::AsFd;

use attach_common::*;
use bpf_sys::perf::PerfAttr;
use loader::link::Place;
use loader::{AttachTarget, LoadOptions, Loader, Object, ProgramSpec, Target};
use probes::attach::AttachMode;
use probes::object::{self, AttachOptions, Attachment};
use probes::spec::{Pattern, Syntax};
use tracewell_tests::objects::load;
use tracewell_tests::support::{
    Attach, Workload, in_guest, is_root, kernel_has, kernel_version, skip, workload_path,
};

fn me() -> u32 {
    std::process::id()
}

/// System calls that hardly anybody makes.
fn call_getpgid(times: usize) {
    for _ in 0..times {
        nix::unistd::getpgid(None).expect("a process has a group");
    }
}

/// Attaches by the section alone, makes five calls, expects them counted; and none once it is detached.
fn fires(section: &str, verdict: i32, options: &AttachOptions<'_>) -> &'static str {
    let collection = counter(section, me(), Adds::One, verdict);
    let attachment = attach(&collection, options);
    call_getpgid(5);
    assert_eq!(count(&collection), 5, "{section}: {attachment}");
    let mechanism = attachment.mechanism();
    drop(attachment);
    call_getpgid(5);
    assert_eq!(count(&collection), 5, "{section}, detached");
    mechanism
}

fn by(mode: AttachMode) -> AttachOptions<'static> {
    AttachOptions { mode, ..AttachOptions::default() }
}

fn no_kprobes(test: &str) -> bool {
    if let Err(missing) = Attach::KprobePerf.available() {
        skip(test, &missing);
        return true;
    }
    false
}

#[test]
fn root_object_kprobes_by_every_mechanism() {
    let test = "root_object_kprobes_by_every_mechanism";
    if !is_root(test) || no_kprobes(test) {
        return;
    }
    for section in ["ksyscall/getpgid", "kretsyscall/getpgid"] {
        assert_eq!(fires(section, 0, &by(AttachMode::Auto)), "kprobe-perf");
        assert_eq!(fires(section, 0, &by(AttachMode::KprobePerf)), "kprobe-perf");
        assert_eq!(fires(section, 0, &by(AttachMode::KprobeText)), "kprobe-text");
    }
    let function = if cfg!(target_arch = "aarch64") { "__arm64_sys_getpgid" } else { "__x64_sys_getpgid" };
    fires(&format!("kprobe/{function}"), 0, &by(AttachMode::Auto));
    fires(&format!("kretprobe/{function}"), 0, &by(AttachMode::Auto));
    for (section, why) in [
        ("kprobe/vfs_raed", "cannot trace `vfs_raed`: "),
        ("ksyscall/getpgit", "there is no system call of this name"),
        ("kprobe/vfs_read+0x100000", "use an offset below that"),
    ] {
        let collection = counter(section, me(), Adds::One, 0);
        let program = collection.program("prog").unwrap();
        let error = object::attach(program, &AttachOptions::default()).unwrap_err().to_string();
        let start = format!("cannot attach program `prog` (section `{section}`): ");
        assert!(error.starts_with(&start) && error.contains(why), "{error}");
    }
}

#[test]
fn root_object_cookies() {
    let test = "root_object_cookies";
    if !is_root(test) {
        return;
    }
    let answer = bpf_sys::features::has_cookie();
    if !answer.is_yes() {
        return skip(test, &format!("this kernel has no cookies: {answer}"));
    }
    let mut sections = vec!["tp/syscalls/sys_enter_getpgid"];
    if Attach::KprobePerf.available().is_ok() {
        sections.push("ksyscall/getpgid");
    }
    if Attach::KprobeMulti.available().is_ok() {
        sections.push("kprobe.multi/*_sys_getpgid");
    }
    // Tracing programs have cookies since Linux 6.0.
    if in_guest() && kernel_version() >= (6, 0) {
        sections.push("fentry/security_task_getpgid");
    }
    for section in sections {
        let collection = counter(section, me(), Adds::Cookie, 0);
        let options = AttachOptions { cookie: 0x1_0000_0007, ..AttachOptions::default() };
        let _attached = attach(&collection, &options);
        ask_security(3);
        assert_eq!(count(&collection), 3 * 0x1_0000_0007, "{section}");
    }
    // What has none says so.
    let collection = counter("xdp", 0, Adds::One, 2);
    let options = AttachOptions { cookie: 1, ..AttachOptions::default() };
    let error = object::attach(collection.program("prog").unwrap(), &options).unwrap_err();
    assert!(error.to_string().contains("programs of its type have no cookie"), "{error}");
}

#[test]
fn root_object_kprobe_multi_by_pattern() {
    let test = "root_object_kprobe_multi_by_pattern";
    if !is_root(test) {
        return;
    }
    if let Err(missing) = Attach::KprobeMulti.available() {
        // The error says the same.
        if Attach::KprobePerf.available().is_ok()
            && let Ok(collection) = load(&object("kprobe.multi/vfs_read", counting(me(), Adds::One, 0)))
        {
            let program = collection.program("prog").unwrap();
            let error = object::attach(program, &AttachOptions::default()).unwrap_err().to_string();
            assert!(
                error.starts_with(
                    "cannot attach program `prog` (section `kprobe.multi/vfs_read`): kprobe.multi is not available"
                ),
                "{error}"
            );
        }
        return skip(test, &missing);
    }
    assert_eq!(fires("kprobe.multi/*_sys_getpgid", 0, &by(AttachMode::Auto)), "kprobe-multi");
    fires("kretprobe.multi/*_sys_getpgid", 0, &by(AttachMode::Auto));
    let collection = counter("kprobe.multi/*_sys_getp?id", me(), Adds::One, 0);
    let attached = attach(&collection, &AttachOptions::default());
    call_getpgid(2);
    nix::unistd::getpid();
    assert!(count(&collection) >= 2);
    assert_eq!(attached.missed().unwrap(), 0);
    assert_eq!(attached.links().len(), 1);

    let error = {
        let collection = counter("kprobe.multi/no_such_function", me(), Adds::One, 0);
        let program = collection.program("prog").unwrap();
        object::attach(program, &AttachOptions::default()).unwrap_err().to_string()
    };
    assert!(error.contains("section `kprobe.multi/no_such_function`"), "{error}");
    assert!(error.contains("cannot trace `no_such_function`"), "{error}");
}

#[test]
fn root_object_a_session_runs_at_both_ends() {
    let test = "root_object_a_session_runs_at_both_ends";
    if !is_root(test) {
        return;
    }
    let answer = bpf_sys::features::has_kprobe_session();
    if !answer.is_yes() {
        return skip(test, &format!("this kernel has no kprobe sessions: {answer}"));
    }
    let collection = counter("kprobe.session/*_sys_getpgid", me(), Adds::One, 0);
    let _attached = attach(&collection, &AttachOptions::default());
    call_getpgid(4);
    assert_eq!(count(&collection), 8);
}

/// The workload's function that is called in mode `user`: its exact name.
fn user_function() -> String {
    let pattern = Pattern::new("*workload_user_call*", Syntax::Glob).unwrap();
    let found = probes::user::elf::find_functions(workload_path(), &pattern).unwrap();
    found.first().expect("the workload has its function").name.to_string()
}

#[test]
fn root_object_uprobes_by_every_mechanism() {
    let test = "root_object_uprobes_by_every_mechanism";
    if !is_root(test) {
        return;
    }
    if let Err(missing) = Attach::UprobePerf.available() {
        return skip(test, &missing);
    }
    let (path, function) = (workload_path(), user_function());
    let path = path.display();
    let offset = {
        let name = function.as_str();
        probes::user::elf::find_function(workload_path(), name, 0).unwrap().file_offset
    };
    let mut cases = Vec::new();
    for mode in [AttachMode::Auto, AttachMode::UprobePerf, AttachMode::UprobeText] {
        cases.push((format!("uprobe/{path}:{function}"), mode));
        cases.push((format!("uretprobe/{path}:{function}"), mode));
    }
    cases.push((format!("uprobe/{path}:{offset:#x}"), AttachMode::Auto));
    if Attach::UprobeMulti.available().is_ok() {
        cases.push((format!("uprobe.multi/{path}:*workload_user_call*"), AttachMode::Auto));
        cases.push((format!("uretprobe.multi/{path}:{function}"), AttachMode::Auto));
    }
    if bpf_sys::features::has_uprobe_session().is_yes() {
        cases.push((format!("uprobe.session/{path}:{function}"), AttachMode::Auto));
    }
    for (section, mode) in cases {
        let mut workload = Workload::start(&["--mode", "user", "--calls", "50", "--linger"]);
        let collection = counter(&section, workload.pid(), Adds::One, 0);
        let options = AttachOptions { mode, pid: Some(workload.pid()), ..AttachOptions::default() };
        let attached = attach(&collection, &options);
        workload.go();
        let expected = if section.starts_with("uprobe.session") { 100 } else { 50 };
        assert_eq!(count(&collection), expected, "{section}: {attached}");
        drop(attached);
        workload.run_out();
    }
    let collection = counter(&format!("uprobe/{path}:no_such_function"), me(), Adds::One, 0);
    let error = object::attach(collection.program("prog").unwrap(), &AttachOptions::default()).unwrap_err();
    let error = error.to_string();
    assert!(error.contains("no_such_function") && error.contains("cannot attach program `prog`"), "{error}");
}

#[test]
fn root_object_tracepoints() {
    let test = "root_object_tracepoints";
    if !is_root(test) {
        return;
    }
    if let Err(missing) = Attach::Tracepoint.available() {
        return skip(test, &missing);
    }
    assert_eq!(fires("tp/syscalls/sys_enter_getpgid", 0, &by(AttachMode::Auto)), "tracepoint");
    assert_eq!(fires("tracepoint/syscalls/sys_exit_getpgid", 0, &by(AttachMode::Auto)), "tracepoint");
    let collection = counter("tp/syscalls/sys_enter_getpgit", me(), Adds::One, 0);
    let error = object::attach(collection.program("prog").unwrap(), &AttachOptions::default()).unwrap_err();
    assert!(error.to_string().contains("did you mean"), "{error}");
}

#[test]
fn root_object_raw_tracepoints() {
    let test = "root_object_raw_tracepoints";
    if !is_root(test) {
        return;
    }
    for section in ["raw_tp/sys_enter", "raw_tracepoint/sys_exit"] {
        let collection = counter(section, me(), Adds::One, 0);
        let attached = attach(&collection, &AttachOptions::default());
        call_getpgid(5);
        assert!(count(&collection) >= 5, "{section}");
        assert_eq!((attached.mechanism(), attached.links().len()), ("link", 1));
    }
    // The section may leave the name open, and the caller say it.
    let collection = counter("raw_tp", me(), Adds::One, 0);
    let error = object::attach(collection.program("prog").unwrap(), &AttachOptions::default()).unwrap_err();
    assert!(error.to_string().contains("its section does not name what it is attached to"), "{error}");
    let target = Some(AttachTarget::RawTracepoint { name: "sys_enter".into() });
    let _attached = attach(&collection, &AttachOptions { target, ..AttachOptions::default() });
    call_getpgid(1);
    assert!(count(&collection) >= 1);
}

/// Whether programs in such a section load here at all; what runs at functions may be switched off as a whole.
fn no_tracing(test: &str, section: &str) -> bool {
    match load(&object(section, counting(me(), Adds::One, 0))) {
        Ok(_) => false,
        Err(error) => {
            skip(test, &format!("tracing programs do not load on this kernel: {error}"));
            true
        }
    }
}

#[test]
fn root_object_tracing_programs() {
    let test = "root_object_tracing_programs";
    if !is_root(test) || no_tracing(test, "tp_btf/sys_enter") {
        return;
    }
    let collection = counter("tp_btf/sys_enter", me(), Adds::One, 0);
    let _attached = attach(&collection, &AttachOptions::default());
    call_getpgid(5);
    assert!(count(&collection) >= 5);
}

#[test]
fn root_object_functions_by_trampoline() {
    let test = "root_object_functions_by_trampoline";
    if !is_root(test) || no_tracing(test, "fentry/__x64_sys_getpgid") {
        return;
    }
    for section in ["fentry/__x64_sys_getpgid", "fexit/__x64_sys_getpgid"] {
        assert_eq!(fires(section, 0, &by(AttachMode::Auto)), "link");
    }
    let error = load(&object("fentry/no_such_function", counting(me(), Adds::One, 0))).unwrap_err();
    assert!(error.to_string().contains("no_such_function"), "{error}");
}

/// Calls that ask the security modules.
fn ask_security(times: usize) {
    for _ in 0..times {
        // Of another process than the own: of that nobody is asked.
        let _ = nix::unistd::getpgid(Some(nix::unistd::Pid::from_raw(1)));
    }
}

#[test]
fn root_object_security_hooks() {
    let test = "root_object_security_hooks";
    if !is_root(test) || no_tracing(test, "fentry/__x64_sys_getpgid") {
        return;
    }
    if !kernel_has("bpf_lsm_task_getpgid") {
        return skip(test, "this kernel has no BPF security hooks (CONFIG_BPF_LSM)");
    }
    // Zero lets the call through.
    let collection = counter("fmod_ret/security_task_getpgid", me(), Adds::One, 0);
    let _attached = attach(&collection, &AttachOptions::default());
    ask_security(5);
    assert_eq!(count(&collection), 5);
    // The hook attaches everywhere, and is asked where the kernel was started with lsm=...,bpf.
    let collection = counter("lsm/task_getpgid", me(), Adds::One, 0);
    let attached = attach(&collection, &AttachOptions::default());
    assert_eq!(attached.mechanism(), "link");
    ask_security(5);
    let list = "/sys/kernel/security/lsm";
    if in_guest() && !fs::exists(list).unwrap() {
        let mount = ["-t", "securityfs", "nodev", "/sys/kernel/security"];
        assert!(std::process::Command::new("mount").args(mount).status().unwrap().success());
    }
    let active = fs::read_to_string(list).unwrap_or_default();
    let expected = if active.split(',').any(|module| module.trim() == "bpf") { 5 } else { 0 };
    assert_eq!(count(&collection), expected, "{active}");
}

#[test]
fn root_object_iterators() {
    let test = "root_object_iterators";
    if !is_root(test) || no_tracing(test, "tp_btf/sys_enter") {
        return;
    }
    let collection = counter("iter/task", 0, Adds::One, 0);
    let attached = attach(&collection, &AttachOptions::default());
    let mut text = String::new();
    let [link] = attached.links() else { panic!("{attached}") };
    bpf_sys::link::iter_create(link).unwrap().read_to_string(&mut text).unwrap();
    let tasks = fs::read_dir("/proc")
        .unwrap()
        .filter(|entry| entry.as_ref().is_ok_and(|e| e.file_name().to_string_lossy().parse::<u32>().is_ok()))
        .count();
    // And once more at the end, without a task.
    assert!(count(&collection) as usize >= tasks, "{} of {tasks}", count(&collection));

    // The elements of a map.
    let collection = counter("iter/bpf_map_elem", 0, Adds::One, 0);
    let program = collection.program("prog").unwrap();
    let error = object::attach(program, &AttachOptions::default()).unwrap_err();
    assert!(error.to_string().contains("it goes through a map's elements: give the map"), "{error}");
    let map = bpf_sys::map::MapCreate { key_size: 4, value_size: 8, max_entries: 7, ..Default::default() };
    let map = map.create().unwrap();
    let options = AttachOptions { place: Place::Map(map.as_fd()), ..AttachOptions::default() };
    let attached = object::attach(program, &options).unwrap();
    bpf_sys::link::iter_create(&attached.links()[0]).unwrap().read_to_string(&mut text).unwrap();
    // All elements, and the end.
    assert_eq!(count(&collection), 8);
}

#[test]
fn root_object_perf_events() {
    let test = "root_object_perf_events";
    if !is_root(test) {
        return;
    }
    let collection = counter("perf_event", me(), Adds::One, 0);
    let program = collection.program("prog").unwrap();
    let error = object::attach(program, &AttachOptions::default()).unwrap_err();
    assert!(error.to_string().contains("it needs a perf event"), "{error}");
    let clock = PerfAttr::cpu_clock(999);
    // A perf event watches one thread: this one.
    let thread = nix::unistd::gettid().as_raw().cast_unsigned();
    let options = AttachOptions { perf: Some(&clock), pid: Some(thread), ..AttachOptions::default() };
    let _attached = attach(&collection, &options);
    let until = std::time::Instant::now() + std::time::Duration::from_secs(20);
    while count(&collection) < 3 && std::time::Instant::now() < until {
        std::hint::black_box((0..10_000u64).sum::<u64>());
    }
    assert!(count(&collection) >= 3);
}

/// A function of a program that is loaded already.
#[test]
fn root_object_a_function_is_replaced() {
    let test = "root_object_a_function_is_replaced";
    if !is_root(test) {
        return;
    }
    let replaced = Object::parse("replaced", include_bytes!("../bpf/obj/replaced.o")).unwrap();
    let mut target = load(&replaced).unwrap();
    let caller = target.take_program("caller").unwrap().prog;
    let run = || {
        let packet = [0; 64];
        let run = bpf_sys::prog::TestRun { data: &packet, ..Default::default() };
        caller.test_run(run).unwrap().retval
    };
    assert_eq!(run(), 11);
    let object = Object::parse("freplace", include_bytes!("../bpf/obj/freplace.o")).unwrap();
    let options = LoadOptions {
        attach_progs: vec![("replacement".to_owned(), caller.try_clone().unwrap())],
        ..LoadOptions::default()
    };
    let collection = match Loader::new(&Target::running().unwrap(), options).load(&object) {
        Ok(collection) => collection,
        Err(error) => return skip(test, &format!("tracing programs do not load on this kernel: {error}")),
    };
    let all = object::attach_all(&collection, &AttachOptions::default()).unwrap();
    assert_eq!(all.attached[0].mechanism(), "link");
    assert_eq!(run(), 12);
    drop(all);
    assert_eq!(run(), 11);
}

/// Everything of an object that its sections say enough about; the rest with reasons.
#[test]
fn root_object_all_at_once() {
    let test = "root_object_all_at_once";
    if !is_root(test) {
        return;
    }
    let mut whole = object("tp/syscalls/sys_enter_getpgid", counting(me(), Adds::One, 0));
    let mut add = |name: &str, section: &str| {
        let spec = ProgramSpec::in_section(name, section, counting(0, Adds::One, 0)).unwrap();
        whole.programs.push(spec);
    };
    add("raw", "raw_tp/no_such_tracepoint_here");
    add("device", "xdp");
    add("clock", "perf_event");
    add("socket", "socket");
    add("later", "usdt/libc:libc:memory_heap_new");
    whole.programs[1].autoattach = false;
    let collection = load(&whole).unwrap();
    let all = object::attach_all(&collection, &AttachOptions::default()).unwrap();
    let names: Vec<&str> = all.attached.iter().map(Attachment::name).collect();
    assert_eq!(names, ["prog"]);
    let why: Vec<String> = all.skipped.iter().map(|s| format!("{}: {}", s.name, s.why)).collect();
    expect_test::expect![[r#"
        raw: it is switched off: attach it by itself
        device: it needs a network device: give its index
        clock: it needs a perf event: say which, such as the CPU clock at 99 hertz
        socket: it is attached to a socket: setsockopt(2) with SO_ATTACH_BPF (or SO_ATTACH_REUSEPORT_EBPF) and the program's descriptor
        later: USDT probes are not attached yet: trace the function around the probe with a uprobe"#]]
    .assert_eq(&why.join("\n"));
    call_getpgid(2);
    assert_eq!(count(&collection), 2);
    drop(all);
    let later = collection.program("later").unwrap();
    let error = object::attach(later, &AttachOptions::default()).unwrap_err().to_string();
    assert_eq!(
        error,
        "program `later`: cannot be attached (section `usdt/libc:libc:memory_heap_new`): USDT probes are not attached yet: \
         trace the function around the probe with a uprobe"
    );

    // All or nothing: what cannot be attached takes the others along.
    whole.programs[1].autoattach = true;
    let collection = load(&whole).unwrap();
    let error = object::attach_all(&collection, &AttachOptions::default()).unwrap_err().to_string();
    assert!(
        error.contains("attach program `raw` (section `raw_tp/no_such_tracepoint_here`) to raw tracepoint")
            && error.contains("which this kernel does not have"),
        "{error}"
    );
    call_getpgid(2);
    assert_eq!(count(&collection), 0);
}

//! What cannot be traced is refused with the reason and what to do about it, and nothing stays attached.
#![forbid(unsafe_code)]

use std::fs;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use bpf_sys::ids;
use bpf_sys::prog::Prog;
use nix::sys::signal::Signal;
use tracewell_tests::support::{
    Attach, Output, Tracer, Workload, in_guest, is_root, skip, tracewell_path, workload_dynamic_path,
};

/// Whether this is a guest with kprobes, where the whole system is ours; prints the skip line when not.
fn guest(test: &str) -> bool {
    if !in_guest() {
        skip(test, "not in a guest");
    }
    in_guest()
}

/// Runs a shell command to its end.
fn shell(script: &str) -> Output {
    let out = Command::new("sh")
        .args(["-c", script])
        .env("T", tracewell_path())
        .stdin(Stdio::null())
        .output()
        .expect("there is a shell");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Output { stdout: text(&out.stdout), stderr: text(&out.stderr), status: out.status }
}

/// Asserts one message on standard error that contains these parts, and status 1.
#[track_caller]
fn refused(out: &Output, parts: &[&str]) {
    assert_eq!(out.status.code(), Some(1), "{out:?}");
    assert!(out.stderr.starts_with("tracewell: error: "), "{out:?}");
    assert_eq!(out.stderr.matches("error: ").count(), 1, "told twice: {out:?}");
    for part in parts {
        assert!(out.stderr.contains(part), "no {part:?} in {}", out.stderr);
    }
}

/// `tracewell funccount ARGS`, which must be refused.
#[track_caller]
fn funccount(args: &[&str], parts: &[&str]) {
    let all: Vec<&str> = ["funccount", "-d", "1"].iter().chain(args).copied().collect();
    let tracer = Tracer::launch(&all);
    let pid = tracer.pid();
    refused(&tracer.wait(), parts);
    nothing_left(pid);
}

/// Names of the tracer's programs that the kernel holds.
fn programs() -> Vec<String> {
    ids::progs()
        .flatten()
        .filter_map(|id| Prog::from_id(id).ok()?.info().ok())
        .map(|info| info.name)
        .filter(|name| name.starts_with("tw_"))
        .collect()
}

/// Lines of the tracer with this id in the text files.
fn text_events(pid: u32) -> Vec<String> {
    let group = format!(":tracewell_{pid}/");
    ["kprobe_events", "uprobe_events"]
        .iter()
        .filter_map(|file| fs::read_to_string(format!("/sys/kernel/tracing/{file}")).ok())
        .flat_map(|text| text.lines().map(str::to_owned).collect::<Vec<_>>())
        .filter(|line| line.contains(&group))
        .collect()
}

/// The kernel frees what a process held a little after its end. On the running machine others may be tracing, so
/// only what carries the process's id is looked at there.
#[track_caller]
fn nothing_left(pid: u32) {
    assert_eq!(text_events(pid), Vec::<String>::new());
    let until = Instant::now() + Duration::from_secs(20);
    while in_guest() && !programs().is_empty() {
        assert!(Instant::now() < until, "left: {:?}", programs());
        sleep(Duration::from_millis(50));
    }
}

#[test]
fn guest_no_such_kernel_function() {
    if !guest("guest_no_such_kernel_function") {
        return;
    }
    funccount(&["vfs_raed"], &["no function of that name", "inlined", "did you mean vfs_read"]);
    funccount(&["nosuch_*"], &["no kernel function matches `nosuch_*`", "tracewell list 'k:*'"]);
    funccount(&["p:nosuchmod:f"], &["nosuchmod", "no loaded kernel module"]);
    funccount(&["p:dummy:vfs_raed"], &["no kernel function matches `dummy:vfs_raed`"]);
    funccount(&["panic_timeout"], &["that is a variable, not a function"]);
    funccount(&["t:sched:sched_swich"], &["did you mean sched:sched_switch"]);
}

#[test]
fn guest_functions_that_must_not_be_probed() {
    if !guest("guest_functions_that_must_not_be_probed") {
        return;
    }
    funccount(&["start_kernel"], &["only while the kernel starts"]);
    funccount(&["exc_int3"], &["`exc_int3`", "trace one of its callers"]);
    funccount(&["exc_*"], &["functions match and none of them can be traced", "trace one of its callers"]);
    for mode in [Attach::KprobePerf, Attach::KprobeText] {
        funccount(&["--attach-mode", mode.name(), "exc_int3"], &["trace one of its callers"]);
    }
}

/// The kernel takes one of them without a word, or none; that it is one of several is said either way.
#[test]
fn guest_several_functions_of_one_name() {
    if !guest("guest_several_functions_of_one_name") {
        return;
    }
    let list = fs::read_to_string("/sys/kernel/tracing/available_filter_functions").expect("tracefs");
    let mut traceable: Vec<&str> = list.lines().filter(|l| !l.contains(' ')).collect();
    traceable.sort_unstable();
    let symbols = fs::read_to_string("/proc/kallsyms").expect("/proc is mounted");
    let mut places: Vec<(&str, &str)> = symbols
        .lines()
        .filter_map(|line| {
            let mut words = line.split_whitespace();
            let (addr, _, name) = (words.next()?, words.next()?, words.next()?);
            words.next().is_none().then_some((name, addr))
        })
        .collect();
    places.sort_unstable();
    places.dedup();
    let twice = traceable
        .windows(2)
        .map(|w| w[0])
        .find(|name| {
            let first = traceable.partition_point(|n| n < name);
            let place = places.partition_point(|(n, _)| n < name);
            traceable.get(first + 1) == Some(name) && places.get(place + 1).is_some_and(|(n, _)| n == name)
        })
        .expect("a kernel has such names");
    let out = shell(&format!("$T funccount -d 3 {twice}"));
    assert!(out.stderr.contains("functions have th") && out.stderr.contains("kprobe:0xffffffff"), "{out:?}");
    // The address that the message gives can be used as it is.
    let address = out.stderr.split("kprobe:").nth(1).expect("an example").trim().to_owned();
    let out = shell(&format!("$T funccount -q -d 0.1 kprobe:{address}"));
    assert!(out.status.success(), "{out:?}");
}

#[test]
fn guest_places_inside_functions() {
    if !guest("guest_places_inside_functions") {
        return;
    }
    funccount(&["vfs_read+1"], &["vfs_read+0x1", "not at the start of an instruction"]);
    funccount(
        &["vfs_read+0x100000"],
        &["vfs_read+0x100000", "the function is 0x", "use an offset below that"],
    );
    funccount(&["0x1"], &["open kprobe at address 0x1"]);
    funccount(&["r:vfs_read+4"], &["a return probe takes no offset", "at byte 11"]);
    let text = ["--attach-mode", "kprobe-text", "vfs_read+1"];
    // The kernel's own words.
    funccount(&text, &["error_log: trace_kprobe: ", "vfs_read+1"]);
}

#[test]
fn guest_modes_that_this_kernel_lacks() {
    if !guest("guest_modes_that_this_kernel_lacks") {
        return;
    }
    if Attach::KprobeMulti.available().is_err() {
        let parts = ["kprobe.multi is not available", "5.18", "CONFIG_FPROBE", "kprobe-perf"];
        funccount(&["--attach-mode", "kprobe-multi", "vfs_read"], &parts);
    }
    if Attach::UprobeMulti.available().is_err() {
        let pattern = format!("{}:main", workload_dynamic_path().display());
        let parts = ["uprobe.multi is not available", "6.6", "CONFIG_UPROBES", "uprobe-perf"];
        funccount(&["--attach-mode", "uprobe-multi", &pattern], &parts);
    }
}

/// As a user without privileges: what is missing is named, and not some limit that it hides behind.
#[test]
fn root_without_privileges() {
    if !is_root("root_without_privileges") {
        return;
    }
    // The folder of a build may be closed to others.
    let copy = std::env::temp_dir().join(format!("tracewell-{}", std::process::id()));
    fs::copy(tracewell_path(), &copy).expect("a copy");
    let run = |args: &[&str]| {
        let out = Command::new(&copy)
            .args(args)
            .current_dir("/")
            .uid(65534)
            .gid(65534)
            .stdin(Stdio::null())
            .output()
            .expect("the tracer starts");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Output { stdout: text(&out.stdout), stderr: text(&out.stderr), status: out.status }
    };
    let program = format!("{}:main", workload_dynamic_path().display());
    for tool in ["funccount", "stackcount"] {
        refused(&run(&[tool, &program]), &["EPERM", "run as root", "CAP_BPF and CAP_PERFMON"]);
    }
    refused(
        &run(&["funccount", "t:sched:sched_switch"]),
        &["/sys/kernel/tracing", "Permission denied", "run as root"],
    );
    let me = std::process::id().to_string();
    refused(&run(&["funccount", "-p", &me, "c:malloc"]), &["cannot read", "CAP_SYS_PTRACE"]);
    if in_guest() {
        refused(&run(&["funccount", "vfs_read"]), &["run as root"]);
    }
    fs::remove_file(copy).expect("it was there");
}

/// Mounted on the fly where privileges allow, else with the command that does it.
#[test]
fn root_tracefs_is_not_mounted() {
    if !is_root("root_tracefs_is_not_mounted") {
        return;
    }
    let copy = std::env::temp_dir().join(format!("tracewell-nt-{}", std::process::id()));
    fs::copy(tracewell_path(), &copy).expect("a copy");
    let hide =
        "umount -l /sys/kernel/debug/tracing; umount -l /sys/kernel/tracing; umount -l /sys/kernel/debug";
    let unshared = |script: &str| {
        shell(&format!("unshare -m sh -c '{{ {hide}; }} 2>/dev/null; {script}' sh {}", copy.display()))
    };
    let out =
        unshared("ls /sys/kernel/tracing; \"$1\" list t:sched:sched_switch; grep -c tracefs /proc/mounts");
    if out.stderr.contains("unshare") {
        return skip("root_tracefs_is_not_mounted", out.stderr.trim());
    }
    assert_eq!(out.stdout, "tracepoint:sched:sched_switch\n1\n", "{out:?}");
    // A tmpfs that is not to be written to stands for a kernel without the mount point.
    let out = unshared("mount -t tmpfs none /sys/kernel; \"$1\" list t:sched:sched_switch");
    refused(&out, &["no tracefs", "CONFIG_FTRACE=y"]);
    fs::remove_file(copy).expect("it was there");
}

/// Killed in the middle: the kernel cleans up after the process, except for the text file, which the next start cleans.
#[test]
fn guest_killed_in_mid_trace() {
    if !guest("guest_killed_in_mid_trace") {
        return;
    }
    for mode in [Attach::KprobeMulti, Attach::KprobePerf, Attach::KprobeText] {
        if mode.available().is_err() {
            continue;
        }
        let args = ["funccount", "--attach-mode", mode.name(), "vfs_fallocate"];
        let tracer = Tracer::start(&args);
        let pid = tracer.pid();
        assert!(!programs().is_empty(), "{mode:?}: the test sees programs");
        tracer.signal(Signal::SIGKILL);
        assert!(!tracer.wait().status.success());
        if mode == Attach::KprobeText {
            assert_eq!(text_events(pid).len(), 1, "the test sees events");
            Tracer::start(&args).finish().success();
        }
        nothing_left(pid);
    }
}

/// The counts of a process that ends stay, and tracing goes on until it is told to end.
#[test]
fn root_a_process_that_ends_in_mid_trace() {
    let test = "root_a_process_that_ends_in_mid_trace";
    if !is_root(test) {
        return;
    }
    if let Err(reason) = Attach::Tracepoint.available() {
        return skip(test, &reason);
    }
    let workload = Workload::start(&["--mode", "kernel", "--calls", "50"]);
    let pid = workload.pid().to_string();
    let tracer = Tracer::start(&["funccount", "-p", &pid, "t:syscalls:sys_enter_fallocate"]);
    let own = tracer.pid();
    workload.run();
    sleep(Duration::from_millis(300));
    let out = tracer.finish().success();
    out.assert_count("syscalls:sys_enter_fallocate", 50);
    assert_eq!(out.stderr, "");
    nothing_left(own);
}

/// Before 5.11 maps are charged to RLIMIT_MEMLOCK; root's limit is lifted.
#[test]
fn guest_a_small_memlock_limit() {
    if !guest("guest_a_small_memlock_limit") {
        return;
    }
    let out = shell("ulimit -l 1; $T funccount -q -d 0.1 vfs_read");
    assert!(out.status.success(), "{out:?}");
}

/// More descriptors than the system allows one process, whoever asks: nothing is attached.
#[test]
fn guest_too_few_descriptors() {
    if !guest("guest_too_few_descriptors") {
        return;
    }
    let most = "/proc/sys/fs/nr_open";
    let before = fs::read_to_string(most).expect("/proc is mounted");
    fs::write(most, "128").expect("root may");
    let run = |args: &str| shell(&format!("ulimit -n 64; $T funccount -d 1 {args}"));
    let outs = [
        run("--attach-mode tracepoint t:syscalls:*"),
        run("--attach-mode kprobe-perf vfs_*"),
        run("--attach-mode uprobe-perf c:get*"),
    ];
    // A tracer that needs few, with a limit that it may raise, raises it.
    let few = shell("ulimit -S -n 16; $T funccount -q -d 0.1 t:sched:sched_switch");
    fs::write(most, before.trim()).expect("root may");
    for out in outs {
        refused(&out, &["files have to be open at once", "fs.nr_open is 128: raise it"]);
    }
    assert!(few.status.success(), "{few:?}");
    nothing_left(0);
}

/// Functions that match and cannot be attached to are left out, and that is said.
#[test]
fn guest_some_functions_are_left_out() {
    if !guest("guest_some_functions_are_left_out") {
        return;
    }
    // Several statics have the first name; kernels that list no addresses, or hide them, cannot tell them apart.
    let out = shell("$T funccount -d 0.2 --attach-mode kprobe-perf -r '(t_next|vfs_read)$'");
    assert!(out.status.success(), "{out:?}");
    assert!(out.stderr.is_empty() || out.stderr.contains("not traced: "), "{out:?}");
    assert!(!out.stderr.contains("error:"), "{out:?}");
    nothing_left(0);
}

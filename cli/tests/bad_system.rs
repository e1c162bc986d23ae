//! Systems and ends of a run that are not as they should be: limits, privileges, missing files, full disks, signals.

mod common;

use common::*;
use nix::sys::signal::Signal;
use std::process::{Command, Stdio};
use std::time::Duration;

const WRITE: &str = "t:syscalls:sys_enter_write";

/// Runs a shell command in which `$T` is the binary and `$P` a process to trace.
fn shell(script: &str) -> Run {
    let sleeper = Sleeper::new();
    Command::new("sh")
        .args(["-c", script])
        .env("T", BIN)
        .env("P", sleeper.pid())
        .stdin(Stdio::null())
        .output()
        .expect("sh")
        .into()
}

/// Whether a program is there to make the situation.
fn have(test: &str, program: &str) -> bool {
    let found = Command::new(program).arg("--help").stdout(Stdio::null()).stderr(Stdio::null()).status();
    if found.is_err() {
        eprintln!("SKIP {test}: {program} is not installed");
    }
    found.is_ok()
}

#[test]
fn processors_and_groups_that_do_not_exist() {
    let check = |args: &[&str], parts: &[&str]| {
        let all: Vec<&str> = ["funccount"].iter().chain(args).chain(&["c:malloc"]).copied().collect();
        tracewell(&all).fails_with(parts);
    };
    check(&["-p", "99999999"], &["there is no process 99999999", "ps -e"]);
    check(&["--tid", "99999999"], &["there is no thread 99999999", "ps -eL"]);
    check(&["-c", "9999"], &["there is no processor 9999", "the processors online are"]);
    check(&["--cgroup", "/proc"], &["control group"]);
    check(&["--cgroup", ""], &["control group"]);
    check(&["--cgroup", "123456789012345"], &["control group"]);
}

/// Processor 1 is taken from the list of those online, in a mount namespace of its own.
#[test]
fn root_a_processor_that_is_offline() {
    let test = "root_a_processor_that_is_offline";
    if !root(test) || !have(test, "unshare") {
        return;
    }
    let list = scratch("cpus").join("online");
    std::fs::write(&list, "0\n").expect("a file");
    let run = shell(&format!(
        "unshare -m sh -c 'mount --bind {} /sys/devices/system/cpu/online && exec $T funccount -c 1 -p $P c:malloc'",
        list.display()
    ));
    run.fails_with(&["there is no processor 1", "the processors online are 0"]);
}

/// What needs no types of the kernel works without them.
#[test]
fn root_a_kernel_without_btf() {
    let test = "root_a_kernel_without_btf";
    if !tracepoints(test) || !have(test, "unshare") {
        return;
    }
    let hide = "mount -t tmpfs none /sys/kernel/btf";
    let run =
        shell(&format!("unshare -m sh -c '{hide} && exec $T funccount -q -d 0.1 -p $P {WRITE} c:malloc'"));
    assert_eq!((run.status, run.err.as_str()), (Some(0), ""), "{run:?}");
    let run = shell(&format!("unshare -m sh -c '{hide} && exec $T feature'"));
    assert!(run.out.contains("CONFIG_DEBUG_INFO_BTF"), "{run:?}");
}

#[test]
fn root_tracefs_is_not_mounted_and_may_not_be() {
    let test = "root_tracefs_is_not_mounted_and_may_not_be";
    if !tracepoints(test) || !have(test, "unshare") || !have(test, "setpriv") {
        return;
    }
    let hide =
        "umount -l /sys/kernel/debug/tracing; umount -l /sys/kernel/tracing; umount -l /sys/kernel/debug";
    let drop = "setpriv --bounding-set=-sys_admin --inh-caps=-sys_admin";
    let run = shell(&format!(
        "unshare -m sh -c '{{ {hide}; }} 2>/dev/null; exec {drop} $T funccount -d 0.1 -p $P {WRITE}'"
    ));
    run.fails_with(&["no tracefs", "CAP_SYS_ADMIN", "mount -t tracefs tracefs /sys/kernel/tracing"]);
}

/// Each capability that is missing is named, and those that are named are enough.
#[test]
fn root_some_capabilities() {
    let test = "root_some_capabilities";
    if !root(test) || !have(test, "setpriv") {
        return;
    }
    let copy = copy_of_binary("capabilities");
    // Before 5.11 the kernel charges maps to the locked memory, whose limit only root may lift: a matter of its own.
    let with = |caps: &str, what: &str| {
        shell(&format!(
            "ulimit -l unlimited 2>/dev/null; setpriv --reuid 65534 --regid 65534 --clear-groups --inh-caps={caps} --ambient-caps={caps} \
             sh -c 'cd /; sleep 9 & {} funccount -q -d 0.1 -p $! {what}; s=$?; kill $!; exit $s'",
            copy.display()
        ))
    };
    let probe = with("+bpf,+perfmon", "c:malloc");
    if probe.err.contains("setpriv") {
        return eprintln!("SKIP {test}: {}", probe.err.trim());
    }
    let level = std::fs::read_to_string("/proc/sys/kernel/perf_event_paranoid").expect("the sysctl");
    if probe.status == Some(1) && level.trim().parse::<i32>().is_ok_and(|level| level > 2) {
        // Debian's own level 3: its kernels before 6.12 then want CAP_SYS_ADMIN.
        probe.fails_with(&["CAP_SYS_ADMIN", "where kernel.perf_event_paranoid is above 2"]);
    } else {
        assert_eq!((probe.status, probe.err.as_str()), (Some(0), ""), "{probe:?}");
    }
    with("+bpf", "c:malloc").fails_with(&["CAP_PERFMON", "kernel.perf_event_paranoid"]);
    with("+perfmon", "c:malloc").fails_with(&["EPERM", "CAP_BPF"]);
    with("+bpf,+perfmon", "t:sched:sched_switch").fails_with(&["/sys/kernel/tracing", "Permission denied"]);
}

#[test]
fn without_privileges_one_message_says_what_is_missing() {
    for args in [["funccount", "c:malloc"], ["stackcount", "c:malloc"]] {
        let run = unprivileged(&args);
        run.fails_with(&["run as root", "CAP_BPF and CAP_PERFMON"]);
        assert!(!run.err.contains("warning"), "{run:?}");
    }
    unprivileged(&["list", "t:sched:sched_switch"]).fails_with(&["/sys/kernel/tracing", "root"]);
}

#[test]
fn root_too_few_descriptors() {
    let test = "root_too_few_descriptors";
    if !tracepoints(test) || !have(test, "setpriv") {
        return;
    }
    let drop = "setpriv --bounding-set=-sys_resource --inh-caps=-sys_resource";
    for args in
        ["'t:sched:*'", "--attach-mode tracepoint 't:syscalls:*'", "--attach-mode uprobe-perf 'c:get*'"]
    {
        let run = shell(&format!(
            "ulimit -l unlimited 2>/dev/null; ulimit -n 64; exec {drop} $T funccount -d 0.1 -p $P {args}"
        ));
        run.fails_with(&["files have to be open at once", "RLIMIT_NOFILE", "CAP_SYS_RESOURCE", "ulimit -Hn"]);
    }
    // The soft limit is raised without asking.
    let run = shell(&format!("ulimit -S -n 16; exec $T funccount -q -d 0.1 -p $P {WRITE}"));
    assert_eq!((run.status, run.err.as_str()), (Some(0), ""), "{run:?}");
}

#[test]
fn root_a_full_disk() {
    if !tracepoints("root_a_full_disk") {
        return;
    }
    let full = ["cannot write to standard output", "No space left on device"];
    for args in [
        format!("funccount -d 0.1 -p $P {WRITE}"),
        format!("funccount -q -d 0.1 -p $P --format json {WRITE}"),
        format!("list {WRITE}"),
        "feature".into(),
        "completions bash".into(),
        "man".into(),
    ] {
        shell(&format!("exec $T {args} >/dev/full")).fails_with(&full);
    }
    // Where the messages go to is no reason to stop counting.
    let run = shell(&format!("exec $T funccount -d 0.1 -p $P {WRITE} 2>/dev/full"));
    assert_eq!(run.status, Some(0), "{run:?}");
}

#[test]
fn root_closed_descriptors() {
    if !tracepoints("root_closed_descriptors") {
        return;
    }
    for closed in ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"] {
        let run = shell(&format!("exec $T funccount -d 0.1 -p $P {WRITE} {closed}"));
        assert_eq!((run.status, run.err.as_str()), (Some(0), ""), "{closed}: {run:?}");
    }
}

#[test]
fn root_a_reader_that_leaves() {
    if !tracepoints("root_a_reader_that_leaves") {
        return;
    }
    for args in [format!("funccount -i 0.1 -p $P {WRITE}"), "list 't:*:*'".into(), "feature".into()] {
        let run = shell(&format!("{{ $T {args}; echo $? >&2; }} | head -n 1"));
        assert_eq!((run.out.lines().count(), run.err.as_str()), (1, "0\n"), "{args}: {run:?}");
    }
}

#[test]
fn root_commands_that_cannot_run() {
    if !tracepoints("root_commands_that_cannot_run") {
        return;
    }
    let dir = scratch("commands");
    let script = |name: &str, text: &str, mode: u32| {
        use std::os::unix::fs::PermissionsExt;
        let path = dir.join(name);
        std::fs::write(&path, text).expect("a file");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).expect("its mode");
        path.display().to_string()
    };
    let count = |cmd: &str| tracewell(&["funccount", "-q", "--cmd", cmd, WRITE]);
    count("").fails_with(&["--cmd is empty"]);
    count("nosuchprogram -x").fails_with(&["no such command in $PATH: nosuchprogram"]);
    count("/no/such/program").fails_with(&["no such command: /no/such/program"]);
    count("/").fails_with(&["/ is not an executable file"]);
    count(&script("plain", "text", 0o644)).fails_with(&["plain is not an executable file"]);
    count("sh -c 'x").fails_with(&["a ' is not closed"]);
    // Only the kernel finds out that this cannot run.
    let run = count(&script("orphan", "#!/no/such/interpreter\n", 0o755));
    assert_eq!(run.status, Some(127), "{run:?}");
    assert!(run.err.contains("cannot execute") && run.err.contains("orphan"), "{run:?}");
    // One that ends at once is counted to its end.
    assert_eq!(count("true").status, Some(0));
    // An error after the command was prepared leaves no process behind.
    let run = tracewell(&["funccount", "--cmd", "sleep 31.4159", "c:nosuchfunction"]);
    run.fails_with(&["no function `nosuchfunction`"]);
    let still = shell("cat /proc/[0-9]*/cmdline 2>/dev/null | tr '\\0' ' ' | grep -c 'sleep 31[.]4159 '");
    assert_eq!(still.out.trim(), "0", "{still:?}");
}

/// The second Ctrl-C ends it at once, whatever it is doing.
#[test]
fn root_interrupted_twice() {
    if !tracepoints("root_interrupted_twice") {
        return;
    }
    let sleeper = Sleeper::new();
    let mut run = Running::start(&["funccount", "-p", &sleeper.pid(), WRITE]);
    run.wait_for("to end.\n");
    run.signal(Signal::SIGINT);
    run.signal(Signal::SIGINT);
    let pid = run.0.id();
    let run = run.end();
    // Either it was quicker than the second signal, or that one ended it.
    assert!(matches!(run.status, Some(0) | None), "{run:?}");
    assert!(!left(pid), "text events remain");
}

/// Killed: the kernel takes back what a process held by its descriptors.
#[test]
fn root_killed() {
    if !tracepoints("root_killed") {
        return;
    }
    let sleeper = Sleeper::new();
    let symbols = std::fs::read_to_string("/proc/kallsyms").expect("/proc is mounted");
    for mode in ["uprobe-multi", "uprobe-perf", "uprobe-text"] {
        if mode == "uprobe-multi" && !symbols.contains(" bpf_uprobe_multi_link_attach") {
            eprintln!("SKIP root_killed[{mode}]: this kernel has no uprobe.multi links (Linux 6.6)");
            continue;
        }
        let args = ["funccount", "--attach-mode", mode, "-p", &sleeper.pid(), "c:getppid"];
        let mut run = Running::start(&args);
        run.wait_for("to end.\n");
        let pid = run.0.id();
        assert_eq!(left(pid), mode == "uprobe-text", "{mode}: the test sees events");
        run.signal(Signal::SIGKILL);
        assert_eq!(run.end().status, None);
        // The next start sweeps what is left in the text file.
        let mut next =
            Running::start(&["funccount", "--attach-mode", "uprobe-text", "-p", &sleeper.pid(), "c:getppid"]);
        next.wait_for("to end.\n");
        assert!(!left(pid), "{mode}: events of the killed run remain");
        let own = next.0.id();
        next.signal(Signal::SIGTERM);
        assert_eq!(next.end().status, Some(0));
        assert!(!left(own), "{mode}: events remain");
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Whether a text file of tracefs has events of that process.
fn left(pid: u32) -> bool {
    let group = format!(":tracewell_{pid}/");
    ["kprobe_events", "uprobe_events"]
        .iter()
        .filter_map(|file| std::fs::read_to_string(format!("/sys/kernel/tracing/{file}")).ok())
        .any(|text| text.contains(&group))
}

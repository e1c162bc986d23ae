//! Filters take exactly the events that they should: by thread, by processor, by control group, and by process in a
//! pid namespace of its own.
#![forbid(unsafe_code)]

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use tracewell_tests::support::{
    Attach, Output, Tracer, Workload, in_guest, is_root, run_tracewell, skip, tracewell, workload_path,
};

/// Calls of each thread.
const CALLS: u64 = 400;

fn workload(mode: &str, threads: u64) -> Workload {
    let (calls, threads) = (CALLS.to_string(), threads.to_string());
    Workload::start(&["--mode", mode, "--calls", &calls, "--threads", &threads])
}

fn user_function() -> String {
    format!("{}:*workload_user_call*", workload_path().display())
}

/// One event of each kind that is in this kernel: what names it, its row, the workload's mode.
fn events() -> Vec<(String, &'static str, &'static str)> {
    let mut events = Vec::new();
    if Attach::KprobePerf.available().is_ok() {
        events.push(("vfs_fallocate".to_owned(), "vfs_fallocate", "kernel"));
        events.push(("r::vfs_fallocate".to_owned(), "vfs_fallocate", "kernel"));
    }
    if Attach::UprobePerf.available().is_ok() {
        events.push((user_function(), "workload_user_call", "user"));
    }
    if Attach::Tracepoint.available().is_ok() {
        let row = "syscalls:sys_enter_fallocate";
        events.push((format!("t:{row}"), row, "kernel"));
        // Through the raw tracepoint.
        events.push(("t:syscalls:sys_enter_f*".to_owned(), row, "kernel"));
    }
    events
}

/// The sum of all stacks that stackcount printed.
fn stacks(output: &Output) -> u64 {
    output.stdout.lines().filter_map(|l| l.strip_prefix("    ")?.trim().parse::<u64>().ok()).sum()
}

#[test]
fn root_filters_exact_thread() {
    if !is_root("root_filters_exact_thread") {
        return;
    }
    for (pattern, row, mode) in events() {
        let workload = workload(mode, 2);
        let tid = workload.tids()[1].to_string();
        run_tracewell(&["funccount", "--tid", &tid, &pattern], workload).assert_count(row, CALLS);
    }
}

/// A workload all of whose threads run on one processor.
fn pinned(mode: &str, cpu: u32) -> Workload {
    let workload = workload(mode, 2);
    for tid in workload.tids() {
        let mask = format!("{:x}", 1 << cpu);
        let status = Command::new("taskset").args(["-p", &mask, &tid.to_string()]).output();
        assert!(status.expect("taskset is there").status.success(), "taskset -p {mask} {tid}");
    }
    workload
}

#[test]
fn root_filters_exact_processor() {
    let test = "root_filters_exact_processor";
    if !is_root(test) {
        return;
    }
    if fs::read_to_string("/sys/devices/system/cpu/online").is_ok_and(|list| list.trim() == "0") {
        return skip(test, "one processor only");
    }
    for (pattern, row, mode) in events() {
        for (cpu, calls) in [("1", 2 * CALLS), ("0", 0)] {
            let workload = pinned(mode, 1);
            let pid = workload.pid().to_string();
            run_tracewell(&["funccount", "-c", cpu, "-p", &pid, &pattern], workload).assert_count(row, calls);
        }
    }
    // Not at a system call's tracepoint: there, newer kernels preempt a program, and miss (and report) what the other
    // thread does on this processor meanwhile.
    let (pattern, _, mode) = events().swap_remove(0);
    let workload = pinned(mode, 1);
    let pid = workload.pid().to_string();
    let args = ["stackcount", "-U", "-c", "1", "-p", &pid, &pattern];
    let output = run_tracewell(&args, workload);
    assert_eq!(stacks(&output), 2 * CALLS, "{}\n{}", output.stdout, output.stderr);
}

/// A control group that is removed when it is dropped.
struct Cgroup(PathBuf);

impl Cgroup {
    fn new(path: &str) -> Cgroup {
        let path = Path::new("/sys/fs/cgroup").join(path);
        fs::create_dir(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        Cgroup(path)
    }

    fn add(&self, workload: &Workload) {
        fs::write(self.0.join("cgroup.procs"), workload.pid().to_string()).expect("a process can be moved");
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        // Busy if a workload outlives its failed test; the guest goes anyway.
        let _ = fs::remove_dir(&self.0);
    }
}

#[test]
fn guest_filters_exact_control_group() {
    if !in_guest() {
        return skip("guest_filters_exact_control_group", "not in a guest");
    }
    let outer = Cgroup::new("tracewell-test");
    let inner = Cgroup::new("tracewell-test/inner");
    let id = fs::metadata(&outer.0).expect("it is there").ino().to_string();
    let inner_path = inner.0.to_string_lossy().into_owned();
    for (pattern, row, mode) in events() {
        // By a path below the root, by a full path, by its number; a group holds what is below it, too.
        for (name, groups) in [("tracewell-test", 2), (id.as_str(), 2), (inner_path.as_str(), 1)] {
            let (in_outer, in_inner, elsewhere) = (workload(mode, 1), workload(mode, 2), workload(mode, 1));
            outer.add(&in_outer);
            inner.add(&in_inner);
            let tracer = Tracer::start(&["funccount", "--cgroup", name, &pattern]);
            elsewhere.run();
            in_outer.run();
            in_inner.run();
            let calls = if groups == 2 { 3 * CALLS } else { 2 * CALLS };
            tracer.finish().success().assert_count(row, calls);
        }
    }
    let in_inner = workload("kernel", 1);
    inner.add(&in_inner);
    let tracer = Tracer::start(&["stackcount", "-U", "--cgroup", "tracewell-test", "vfs_fallocate"]);
    workload("kernel", 1).run();
    in_inner.run();
    assert_eq!(stacks(&tracer.finish().success()), CALLS);
    let missing = tracewell(&["funccount", "--cgroup", "no-such-group", "vfs_fallocate"]);
    assert!(!missing.status.success(), "{missing:?}");
}

/// What runs as the first process of a pid namespace: $1 is the tool and its options, $2 the pattern, $3 the
/// workload's mode, $4 its calls. Another process makes the same calls, and must not be counted.
const IN_NAMESPACE: &str = r#"
mkfifo /tmp/go /tmp/go-other
workload --mode $3 --calls $4 </tmp/go >/tmp/said &
traced=$!
workload --mode $3 --calls $4 </tmp/go-other >/tmp/said-other &
other=$!
exec 3>/tmp/go 4>/tmp/go-other
until grep -q ready /tmp/said && grep -q ready /tmp/said-other; do usleep 10000; done
tracewell $1 -p $traced "$2" >/tmp/out 2>&1 &
tracer=$!
until grep -q Tracing /tmp/out; do
    kill -0 $tracer || { cat /tmp/out; exit 1; }
    usleep 10000
done
echo go >&4
wait $other
echo go >&3
wait $traced
kill -TERM $tracer
wait $tracer
cat /tmp/out
rm -f /tmp/go /tmp/go-other /tmp/said /tmp/said-other /tmp/out
"#;

fn in_namespace(tool: &str, pattern: &str, mode: &str) -> String {
    let calls = CALLS.to_string();
    let args = ["-m", "-p", "-f", "--mount-proc", "timeout", "60", "sh", "-c", IN_NAMESPACE, "sh"];
    let out = Command::new("unshare").args(args).args([tool, pattern, mode, &calls]).output();
    let out = out.expect("unshare is there");
    let text = String::from_utf8_lossy(&out.stdout).into_owned() + &String::from_utf8_lossy(&out.stderr);
    assert!(out.status.success(), "{tool} {pattern}: {}\n{text}", out.status);
    text
}

#[test]
fn guest_filters_exact_pid_namespace() {
    if !in_guest() {
        return skip("guest_filters_exact_pid_namespace", "not in a guest");
    }
    for (pattern, row, mode) in events() {
        let text = in_namespace("funccount", &pattern, mode);
        let line = text.lines().find(|l| l.contains(row) && !l.contains("Tracing")).unwrap_or_default();
        let count = line.split_whitespace().next_back().and_then(|n| n.parse().ok());
        assert_eq!(count, Some(CALLS), "{pattern}:\n{text}");
    }
    // Processes are numbered as inside in stacks as well, or the names would not be found.
    let text = in_namespace("stackcount -U", "t:syscalls:sys_enter_fallocate", "chain");
    let count = text.lines().find_map(|l| l.strip_prefix("    ")?.trim().parse().ok());
    assert_eq!(count, Some(CALLS), "{text}");
    let frames: Vec<&str> = text.lines().filter(|l| l.contains("workload_")).collect();
    assert!(frames.len() >= 3, "{text}");
}

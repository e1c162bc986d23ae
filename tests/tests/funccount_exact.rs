//! funccount counts exactly as many calls as the workload makes: on each way to attach that the kernel has, with
//! one thread and with two, of everybody and of one process.
#![forbid(unsafe_code)]

use tracewell_tests::support::{
    Attach, Tracer, Workload, in_guest, is_root, run_tracewell, skip, workload_path,
};

/// Calls of each thread.
const CALLS: u64 = 1000;

/// What is counted, and by which workload.
struct Case {
    /// The pattern that names it.
    pattern: String,
    /// What the output's row contains.
    row: &'static str,
    /// The workload's mode.
    mode: &'static str,
    /// Whether the C library's workload makes the calls.
    dynamic: bool,
    /// Whether nobody else in a guest makes such calls.
    private: bool,
}

impl Case {
    fn workload(&self, threads: u64) -> Workload {
        let (calls, threads) = (CALLS.to_string(), threads.to_string());
        let args = ["--mode", self.mode, "--calls", &calls, "--threads", &threads];
        if self.dynamic { Workload::start_dynamic(&args) } else { Workload::start(&args) }
    }
}

/// Counts the case in each way: whatever is not there to be traced is not counted as zero, it fails.
fn check(test: &str, attach: Attach, case: &Case) {
    if !is_root(test) {
        return;
    }
    if let Err(reason) = attach.available() {
        return skip(test, &reason);
    }
    let mode = attach.name();
    for threads in [1, 2] {
        let workload = case.workload(threads);
        let other = case.workload(1);
        let pid = workload.pid().to_string();
        let tracer = Tracer::start(&["funccount", "--attach-mode", mode, "-p", &pid, &case.pattern]);
        other.run();
        workload.run();
        tracer.finish().success().assert_count(case.row, CALLS * threads);
        // Everybody's calls may be counted only where everybody is ours.
        if in_guest() && case.private {
            let workload = case.workload(threads);
            run_tracewell(&["funccount", "--attach-mode", mode, &case.pattern], workload)
                .assert_count(case.row, CALLS * threads);
        }
    }
}

fn kernel() -> Case {
    let pattern = "vfs_fallocate".to_owned();
    Case { pattern, row: "vfs_fallocate", mode: "kernel", dynamic: false, private: true }
}

fn kernel_return() -> Case {
    Case { pattern: "r::vfs_fallocate".to_owned(), ..kernel() }
}

fn module() -> Case {
    let pattern = "p:dummy:dummy_change_carrier".to_owned();
    Case { pattern, row: "dummy_change_carrier", mode: "module", dynamic: false, private: true }
}

fn user(kind: &str) -> Case {
    // The mangled name has the function's name in it, and nothing else has.
    let pattern = format!("{kind}:{}:*workload_user_call*", workload_path().display());
    Case { pattern, row: "workload_user_call", mode: "user", dynamic: false, private: true }
}

fn libc(kind: &str) -> Case {
    let pattern = format!("{kind}:c:getppid");
    Case { pattern, row: "getppid", mode: "libc", dynamic: true, private: false }
}

fn tracepoint(event: &'static str, mode: &'static str, private: bool) -> Case {
    Case { pattern: format!("t:{event}"), row: event, mode, dynamic: false, private }
}

/// One test for each case on each way to attach that it can take.
macro_rules! exact {
    ($($name:ident: $attach:ident, $case:expr;)*) => { $(
        #[test]
        fn $name() {
            check(stringify!($name), Attach::$attach, &$case);
        }
    )* };
}

exact! {
    root_funccount_exact_kprobe_multi: KprobeMulti, kernel();
    root_funccount_exact_kprobe_perf: KprobePerf, kernel();
    root_funccount_exact_kprobe_text: KprobeText, kernel();
    root_funccount_exact_kretprobe_multi: KprobeMulti, kernel_return();
    root_funccount_exact_kretprobe_perf: KprobePerf, kernel_return();
    root_funccount_exact_kretprobe_text: KprobeText, kernel_return();
    guest_funccount_exact_module_multi: KprobeMulti, module();
    guest_funccount_exact_module_perf: KprobePerf, module();
    guest_funccount_exact_module_text: KprobeText, module();
    root_funccount_exact_uprobe_multi: UprobeMulti, user("p");
    root_funccount_exact_uprobe_perf: UprobePerf, user("p");
    root_funccount_exact_uprobe_text: UprobeText, user("p");
    root_funccount_exact_uretprobe_multi: UprobeMulti, user("r");
    root_funccount_exact_uretprobe_perf: UprobePerf, user("r");
    root_funccount_exact_uretprobe_text: UprobeText, user("r");
    root_funccount_exact_libc_multi: UprobeMulti, libc("p");
    root_funccount_exact_libc_perf: UprobePerf, libc("p");
    root_funccount_exact_libc_text: UprobeText, libc("p");
    root_funccount_exact_tracepoint: Tracepoint, tracepoint("task:task_rename", "rename", false);
    root_funccount_exact_syscall_enter: Tracepoint, tracepoint("syscalls:sys_enter_fallocate", "kernel", true);
    root_funccount_exact_syscall_exit: Tracepoint, tracepoint("syscalls:sys_exit_fallocate", "kernel", true);
    root_funccount_exact_raw_syscalls: RawSyscalls, Case {
        pattern: "t:syscalls:sys_enter_*".to_owned(),
        ..tracepoint("syscalls:sys_enter_fallocate", "kernel", true)
    };
    root_funccount_exact_raw_syscalls_exit: RawSyscalls, Case {
        pattern: "t:syscalls:sys_exit_*".to_owned(),
        ..tracepoint("syscalls:sys_exit_fallocate", "kernel", true)
    };
}

/// Without being told how, the tracer finds a way on every kernel that has one.
#[test]
fn root_funccount_exact_by_default() {
    let test = "root_funccount_exact_by_default";
    if !is_root(test) {
        return;
    }
    let mut cases = vec![user("p"), libc("p"), tracepoint("syscalls:sys_enter_fallocate", "kernel", true)];
    if in_guest() {
        cases.extend([kernel(), kernel_return(), module()]);
    }
    for case in cases {
        let workload = case.workload(2);
        let pid = workload.pid().to_string();
        run_tracewell(&["funccount", "-p", &pid, &case.pattern], workload).assert_count(case.row, 2 * CALLS);
    }
}

/// The calls of processes that live shorter than it takes to look at them are counted too.
#[test]
fn guest_funccount_exact_short_lived_children() {
    if !in_guest() {
        return skip("guest_funccount_exact_short_lived_children", "not in a guest");
    }
    let workload = Workload::start(&["--mode", "kernel", "--calls", "50", "--children", "20"]);
    run_tracewell(&["funccount", "vfs_fallocate"], workload).assert_count("vfs_fallocate", 1000);
    let pattern = user("p").pattern;
    let workload = Workload::start(&["--mode", "user", "--calls", "50", "--children", "20"]);
    run_tracewell(&["funccount", &pattern], workload).assert_count("workload_user_call", 1000);
}

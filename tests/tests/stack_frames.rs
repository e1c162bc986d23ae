//! Where stacks begin: at the event, as BCC shows them, with no frame of the tracing itself; and whose names they have
//! when the process is gone.
#![forbid(unsafe_code)]

use tracewell_tests::support::{
    Attach, Output, Tracer, Workload, in_guest, is_root, kernel_version, run_tracewell, skip, workload_path,
};

const CALLS: u64 = 100;

/// The frames of each stack in BCC's format, leaf first, without the line of the process.
fn stacks(output: &Output) -> Vec<Vec<String>> {
    let (mut stacks, mut frames) = (Vec::new(), Vec::new());
    for line in output.stdout.lines() {
        if line.strip_prefix("    ").is_some_and(|l| l.trim().parse::<u64>().is_ok()) {
            stacks.push(std::mem::take(&mut frames));
        } else if line.starts_with("    ") {
            // The process.
        } else if let Some(frame) = line.strip_prefix("  ") {
            frames.push(frame.trim().to_owned());
        }
    }
    stacks
}

/// The one kernel stack of the workload at this event.
#[track_caller]
fn kernel_stack(mode: Option<&str>, pattern: &str) -> Vec<String> {
    let calls = CALLS.to_string();
    let workload = Workload::start(&["--mode", "kernel", "--calls", &calls]);
    let pid = workload.pid().to_string();
    let mut args = vec!["stackcount", "-K", "-p", &pid, pattern];
    args.extend(mode.iter().flat_map(|mode| ["--attach-mode", mode]));
    let output = run_tracewell(&args, workload);
    let mut stacks = stacks(&output);
    assert_eq!(stacks.len(), 1, "{mode:?} {pattern}\n{}\n{}", output.stdout, output.stderr);
    stacks.remove(0)
}

/// The function called itself from the system call: nothing is before it, and its caller is behind it.
fn entry(test: &str, attach: Attach) {
    if !is_root(test) {
        return;
    }
    if let Err(reason) = attach.available() {
        return skip(test, &reason);
    }
    let mode = attach.name();
    let stack = kernel_stack(Some(mode), "vfs_fallocate");
    assert_eq!(stack.first().map(String::as_str), Some("vfs_fallocate"), "{mode}: {stack:#?}");
    let names = ["__x64_sys_fallocate", "do_syscall_64"];
    let mut rest = stack.iter().skip(1);
    assert!(names.iter().all(|n| rest.any(|f| f.contains(n))), "{mode}: {stack:#?}");
    // Once each: none is doubled.
    assert_eq!(stack.iter().filter(|f| *f == "vfs_fallocate").count(), 1, "{mode}: {stack:#?}");
    // At the return the function itself is over.
    let stack = kernel_stack(Some(mode), "r::vfs_fallocate");
    if kernel_version() < (5, 15) {
        // The kernel's unwinder stops at the trampoline there, whoever asks: it learned to go on in Linux 5.15.
        assert_eq!(stack, ["kretprobe_trampoline"], "{mode}, return");
    } else {
        assert!(stack.iter().any(|f| f == "do_syscall_64"), "{mode}, return: {stack:#?}");
    }
}

#[test]
fn root_stack_frames_kprobe_multi() {
    entry("root_stack_frames_kprobe_multi", Attach::KprobeMulti);
}

#[test]
fn root_stack_frames_kprobe_perf() {
    entry("root_stack_frames_kprobe_perf", Attach::KprobePerf);
}

#[test]
fn root_stack_frames_kprobe_text() {
    entry("root_stack_frames_kprobe_text", Attach::KprobeText);
}

/// Kernel stacks at system calls come through the raw tracepoint on every kernel: before Linux 6.12 a program on the
/// perf event of such a tracepoint sees the registers of user space and so no kernel stack.
#[test]
fn root_stack_frames_system_calls() {
    let test = "root_stack_frames_system_calls";
    if !is_root(test) {
        return;
    }
    for pattern in ["t:syscalls:sys_enter_fallocate", "t:syscalls:sys_exit_fallocate"] {
        let stack = kernel_stack(None, pattern);
        assert!(!stack.is_empty(), "{pattern}");
        let own = ["bpf_", "__bpf_", "__traceiter_", "[unknown]"];
        assert!(!own.iter().any(|n| stack[0].starts_with(n)), "{pattern}: {stack:#?}");
        assert!(stack.iter().any(|f| f.contains("entry_SYSCALL_64")), "{pattern}: {stack:#?}");
    }
}

/// Several system calls together: other calls of the process are not among them.
#[test]
fn root_stack_frames_only_of_the_calls_asked_for() {
    let test = "root_stack_frames_only_of_the_calls_asked_for";
    if !is_root(test) {
        return;
    }
    let workload = Workload::start(&["--mode", "chain", "--calls", "100"]);
    let pid = workload.pid().to_string();
    let output = run_tracewell(&["stackcount", "-U", "-p", &pid, "t:syscalls:sys_enter_fa*"], workload);
    let stacks = stacks(&output);
    assert!(stacks.iter().all(|s| s.iter().any(|f| f.contains("workload_outer"))), "{}", output.stdout);
    assert!(!stacks.is_empty(), "{}", output.stdout);
}

/// Each of many children runs the function and ends at once, and all are gone when the stacks are printed.
#[test]
fn guest_stack_frames_of_children_that_are_gone() {
    let test = "guest_stack_frames_of_children_that_are_gone";
    if !in_guest() {
        return skip(test, "not in a guest");
    }
    let function = format!("{}:*workload_user_call*", workload_path().display());
    for pattern in [function.as_str(), "t:syscalls:sys_enter_fallocate"] {
        let mode = if pattern == function { "user" } else { "chain" };
        let workload = Workload::start(&["--mode", mode, "--calls", "7", "--children", "12"]);
        let output = run_tracewell(&["stackcount", "-P", "-U", pattern], workload);
        let stacks = stacks(&output);
        assert_eq!(stacks.len(), 12, "a stack of each child\n{}", output.stdout);
        let leaf = if mode == "user" { "workload_user_call" } else { "fallocate" };
        for stack in &stacks {
            assert!(stack.first().is_some_and(|f| f.contains(leaf)), "{}", output.stdout);
            assert!(!stack[..2].iter().any(|f| f == "[unknown]"), "{}", output.stdout);
        }
    }
}

/// A process that is traced by its id and ends in the middle.
#[test]
fn root_stack_frames_of_a_process_that_exits() {
    let test = "root_stack_frames_of_a_process_that_exits";
    if !is_root(test) {
        return;
    }
    let workload = Workload::start(&["--mode", "user", "--calls", "50"]);
    let pid = workload.pid().to_string();
    let function = format!("{}:*workload_user_call*", workload_path().display());
    let tracer = Tracer::start(&["stackcount", "-U", "-p", &pid, &function]);
    workload.run();
    let output = tracer.finish().success();
    let stacks = stacks(&output);
    assert_eq!(stacks.len(), 1, "{}\n{}", output.stdout, output.stderr);
    assert!(stacks[0].first().is_some_and(|f| f.contains("workload_user_call")), "{}", output.stdout);
}

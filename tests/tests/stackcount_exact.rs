//! stackcount counts exactly as many calls as the workload makes, under the stacks from which it makes them.
#![forbid(unsafe_code)]

use tracewell_tests::support::{Attach, Output, Tracer, Workload, in_guest, is_root, run_tracewell, skip};

/// Calls of the workload.
const CALLS: u64 = 500;

/// The functions of the workload's mode `chain`, innermost first.
const CHAIN: [&str; 3] = ["workload_inner", "workload_middle", "workload_outer"];

/// The stacks in BCC's format: frames indented by two spaces, then the count indented by four.
fn stacks(output: &Output) -> Vec<(Vec<String>, u64)> {
    let mut stacks = Vec::new();
    let mut frames = Vec::new();
    for line in output.stdout.lines() {
        if let Some(count) = line.strip_prefix("    ").and_then(|l| l.trim().parse().ok()) {
            stacks.push((std::mem::take(&mut frames), count));
        } else if let Some(frame) = line.strip_prefix("  ") {
            frames.push(frame.to_owned());
        } else {
            frames.clear();
        }
    }
    stacks
}

/// Where each of `names` is in the frames; in order, with others between them.
fn in_order(frames: &[String], names: &[&str]) -> bool {
    let mut rest = frames.iter();
    names.iter().all(|name| rest.any(|frame| frame.contains(name)))
}

#[track_caller]
fn assert_stack(output: &Output, names: &[&str], calls: u64) {
    let stacks = stacks(output);
    let found: u64 = stacks.iter().filter(|(f, _)| in_order(f, names)).map(|(_, n)| n).sum();
    let all: u64 = stacks.iter().map(|(_, n)| n).sum();
    assert_eq!(
        (found, all),
        (calls, calls),
        "calls under {names:?}, and all calls\n--- stdout\n{}\n--- stderr\n{}",
        output.stdout,
        output.stderr
    );
}

/// Kernel and user stack of a kernel function, by each way to attach.
fn kernel_function(test: &str, attach: Attach) {
    if !is_root(test) {
        return;
    }
    if let Err(reason) = attach.available() {
        return skip(test, &reason);
    }
    let calls = CALLS.to_string();
    let chain = || Workload::start(&["--mode", "chain", "--calls", &calls, "--linger"]);
    let trace = |options: &[&str]| {
        let mut workload = chain();
        let pid = workload.pid().to_string();
        let args = [&["stackcount", "--attach-mode", attach.name(), "-p", &pid], options, &["vfs_fallocate"]];
        let tracer = Tracer::start(&args.concat());
        workload.go();
        let output = tracer.finish().success();
        workload.run_out();
        output
    };
    assert_stack(&trace(&["-U"]), &CHAIN, CALLS);
    // Innermost first: the system call's function called it.
    assert_stack(&trace(&["-K"]), &["__x64_sys_fallocate", "do_syscall_64"], CALLS);
}

#[test]
fn root_stackcount_exact_kprobe_multi() {
    kernel_function("root_stackcount_exact_kprobe_multi", Attach::KprobeMulti);
}

#[test]
fn root_stackcount_exact_kprobe_perf() {
    kernel_function("root_stackcount_exact_kprobe_perf", Attach::KprobePerf);
}

#[test]
fn root_stackcount_exact_kprobe_text() {
    kernel_function("root_stackcount_exact_kprobe_text", Attach::KprobeText);
}

/// The user stack at a tracepoint; the process is gone before the stacks are printed.
#[test]
fn root_stackcount_exact_of_a_process_that_exited() {
    if !is_root("root_stackcount_exact_of_a_process_that_exited") {
        return;
    }
    let calls = CALLS.to_string();
    let workload = Workload::start(&["--mode", "chain", "--calls", &calls]);
    let pid = workload.pid().to_string();
    let output = run_tracewell(&["stackcount", "-U", "-p", &pid, "t:syscalls:sys_enter_fallocate"], workload);
    assert_stack(&output, &CHAIN, CALLS);
}

/// Processes that are started while tracing and end at once.
#[test]
fn guest_stackcount_exact_short_lived_children() {
    if !in_guest() {
        return skip("guest_stackcount_exact_short_lived_children", "not in a guest");
    }
    let workload = Workload::start(&["--mode", "chain", "--calls", "25", "--children", "20"]);
    let output = run_tracewell(&["stackcount", "-U", "vfs_fallocate"], workload);
    assert_stack(&output, &CHAIN, 500);
}

/// A stack that is deeper than the kernel keeps is cut, and nothing is lost for that.
#[test]
fn guest_stackcount_exact_deep() {
    if !in_guest() {
        return skip("guest_stackcount_exact_deep", "not in a guest");
    }
    let workload = Workload::start(&["--mode", "recurse", "--depth", "300", "--calls", "100"]);
    let output = run_tracewell(&["stackcount", "-U", "vfs_fallocate"], workload);
    assert_stack(&output, &["workload_recurse"; 100], 100);
    let workload = Workload::start(&["--mode", "udp", "--calls", "200"]);
    let output = run_tracewell(&["stackcount", "-K", "udp_rcv"], workload);
    assert_stack(&output, &["ip_local_deliver", "__x64_sys_sendto", "do_syscall_64"], 200);
}

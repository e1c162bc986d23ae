//! `funccount '*'`: every traceable function of a kernel at once, and the kernel stays usable and counts exactly.
#![forbid(unsafe_code)]

use std::process::Command;

use tracewell_tests::support::{Attach, Workload, in_guest, is_root, run_tracewell, skip, tracewell_path};

/// Every function of the kernel is system-wide: only in guests.
fn may_run(test: &str) -> bool {
    if !is_root(test) {
        return false;
    }
    if !in_guest() {
        skip(test, "not in a guest");
        return false;
    }
    true
}

#[test]
fn guest_all_functions_through_one_link_count_exactly() {
    let test = "guest_all_functions_through_one_link_count_exactly";
    if !may_run(test) {
        return;
    }
    if let Err(reason) = Attach::KprobeMulti.available() {
        return skip(test, &reason);
    }
    let workload = Workload::start(&["--mode", "kernel", "--calls", "1000", "--threads", "2"]);
    let output = run_tracewell(&["funccount", "--timings", "*"], workload);
    output.assert_count("vfs_fallocate", 2000);
    eprintln!("{}", output.stderr);
    let functions = output.stdout.split_whitespace().nth(1).and_then(|n| n.parse::<u32>().ok());
    assert!(functions.is_some_and(|n| n >= 32_000), "{}", output.stdout.lines().next().unwrap_or_default());
    // All is detached, and the kernel still runs what it is asked to.
    let workload = Workload::start(&["--mode", "kernel", "--calls", "1000"]);
    run_tracewell(&["funccount", "vfs_fallocate"], workload).assert_count("vfs_fallocate", 1000);
}

#[test]
fn guest_all_functions_one_by_one_are_refused_at_once() {
    let test = "guest_all_functions_one_by_one_are_refused_at_once";
    if !may_run(test) {
        return;
    }
    if Attach::KprobeMulti.available().is_ok() {
        // There the other test runs.
        return;
    }
    let output = Command::new(tracewell_path()).args(["funccount", "*"]).output().expect("tracewell starts");
    let message = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{message}");
    for part in ["without kprobe.multi links", "minutes", "narrower pattern"] {
        assert!(message.contains(part), "{message}");
    }
    let left = std::fs::read_to_string("/sys/kernel/tracing/kprobe_events").expect("tracefs is mounted");
    assert_eq!(left, "");
}

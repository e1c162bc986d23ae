//! What every other matrix test takes for granted about the place where it runs.
//!
//! Names say where a test belongs: `root_*` runs here and in the guests, `guest_*` only in the guests, where the
//! whole system may be traced.
#![forbid(unsafe_code)]

use std::fs;
use std::path::Path;

use tracewell_tests::support::{Workload, in_guest, is_root, kernel_release, skip};

#[test]
fn guest_kernel_is_the_one_that_was_booted() {
    if !in_guest() {
        return skip("guest_kernel_is_the_one_that_was_booted", "not in a guest");
    }
    let expected = fs::read_to_string("/etc/kernel-release").expect("the harness wrote it");
    assert_eq!(kernel_release(), expected.trim());
}

#[test]
fn root_file_systems_are_mounted() {
    if !is_root("root_file_systems_are_mounted") {
        return;
    }
    let mounts = fs::read_to_string("/proc/mounts").expect("/proc is mounted");
    let wanted: &[&str] =
        if in_guest() { &["tracefs", "debugfs", "bpf", "cgroup2", "devpts", "tmpfs"] } else { &["tracefs"] };
    for wanted in wanted {
        let found = mounts.lines().any(|line| line.split(' ').nth(2) == Some(wanted));
        assert!(found, "{wanted} is not mounted:\n{mounts}");
    }
    assert!(Path::new("/sys/kernel/tracing/events/syscalls/sys_enter_fallocate/id").exists());
    let btf = fs::metadata("/sys/kernel/btf/vmlinux").expect("the kernel has BTF");
    assert!(btf.len() > 1_000_000, "{} bytes of BTF", btf.len());
}

#[test]
fn guest_what_the_exact_count_tests_trace_is_there() {
    let test = "guest_what_the_exact_count_tests_trace_is_there";
    if !in_guest() {
        return skip(test, "not in a guest");
    }
    let functions = fs::read_to_string("/sys/kernel/tracing/available_filter_functions").expect("tracefs");
    for wanted in ["vfs_fallocate", "__x64_sys_fallocate", "udp_rcv", "dummy_change_carrier [dummy]"] {
        assert!(functions.lines().any(|line| line == wanted), "{wanted} cannot be traced");
    }
}

/// The calls are as many as asked for, by each mode that works without a tracer to see it.
#[test]
fn root_workload_makes_its_calls() {
    let mut modes = vec!["kernel", "user", "libc", "rename", "chain", "recurse", "write"];
    if in_guest() {
        modes.extend(["udp", "module"]);
    }
    for mode in modes {
        let workload = Workload::start(&["--mode", mode, "--calls", "7", "--threads", "2"]);
        assert_eq!(workload.tids().len(), 2, "{mode}");
        assert_eq!(workload.run().0, 14, "{mode}");
    }
    let children = Workload::start(&["--mode", "chain", "--calls", "3", "--children", "4"]);
    assert_eq!(children.run().0, 12);
    let dynamic = Workload::start_dynamic(&["--mode", "libc", "--calls", "5", "--linger"]);
    let maps = fs::read_to_string(format!("/proc/{}/maps", dynamic.pid())).expect("it is there and waits");
    assert!(maps.contains("libc.so.6"), "{maps}");
    assert_eq!(dynamic.run().0, 5);
}

/// `module` really reaches the module: the count of carrier changes that the device keeps goes up.
#[test]
fn guest_module_workload_reaches_the_module() {
    if !in_guest() {
        return skip("guest_module_workload_reaches_the_module", "not in a guest");
    }
    let changes = || -> u64 {
        let text = fs::read_to_string("/sys/class/net/dummy0/carrier_changes").expect("the module is loaded");
        text.trim().parse().expect("a number")
    };
    let before = changes();
    Workload::start(&["--mode", "module", "--calls", "10"]).run();
    assert_eq!(changes() - before, 10);
}

//! Measures tracewell beside bpftrace and BCC, each figure as a ratio taken in one run on one kernel.
//!
//! `bench guest` runs inside a guest (system-wide tracing), `bench host` on the running machine (it traces its own
//! process only), `bench loader` measures the loader beside libbpf there. Tools that are not installed are named as such. `tests/bench` builds what both need and calls them.
//! A figure is never a pass or fail: these are measurements, the tests are elsewhere.
#![forbid(unsafe_code)]

mod cost;
mod figures;
mod peers;
mod report;
mod tool;

use report::Report;
use tool::{Tool, ToolRun};

/// Runs of each tool in turn, of which the median counts.
const RUNS: usize = 5;

fn main() {
    let mut args = std::env::args().skip(1);
    let place = args.next().unwrap_or_default();
    let only: Vec<String> = args.collect();
    if place == "figures" {
        if let Err(message) = figures::print(&only) {
            eprintln!("{message}");
            std::process::exit(1);
        }
        return;
    }
    let wanted = |section: &str| only.is_empty() || only.iter().any(|o| o == section);
    let mut report = Report::new(&kernel_release());
    match place.as_str() {
        "guest" => {
            if wanted("start") {
                start(&mut report);
            }
            if wanted("cost") {
                cost::kernel_function(&mut report);
            }
            if wanted("syscalls") {
                syscalls(&mut report, RUNS);
            }
            if wanted("all") {
                all_functions(&mut report);
            }
        }
        "host" => {
            if wanted("hello") {
                hello(&mut report);
            }
            if wanted("syscalls") {
                syscalls(&mut report, RUNS);
            }
            if wanted("cost") {
                cost::own_syscalls(&mut report);
            }
        }
        "loader" => {
            if wanted("btf") {
                peers::btf(&mut report);
            }
            if wanted("load") {
                peers::load(&mut report);
            }
        }
        _ => {
            eprintln!("usage: bench guest|host|loader [start|cost|syscalls|all|hello|btf|load ...]");
            std::process::exit(2);
        }
    }
}

fn kernel_release() -> String {
    std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default().trim().to_owned()
}

/// From the start of the process to the line that says it is attached, for one kernel function.
fn start(report: &mut Report) {
    let ours = Tool::new(&["tracewell", "funccount", "vfs_read"], "Tracing");
    let rivals = [
        ("bpftrace", Tool::new(&["bpftrace", "-e", "kprobe:vfs_read { @ = count() }"], "Attached")),
        ("BCC", Tool::new(&["funccount-bpfcc", "vfs_read"], "Tracing")),
    ];
    compare(report, "one kernel function", &ours, &rivals, RUNS);
    let ours = Tool::new(&["tracewell", "funccount", "vfs_*"], "Tracing");
    let rivals = [
        ("bpftrace", Tool::new(&["bpftrace", "-e", "kprobe:vfs_* { @[func] = count() }"], "Attached")),
        ("BCC", Tool::new(&["funccount-bpfcc", "vfs_*"], "Tracing")),
    ];
    compare(report, "vfs_*", &ours, &rivals, 3);
    let ours = Tool::new(&["tracewell", "stackcount", "vfs_read"], "Tracing");
    let rivals = [
        ("bpftrace", Tool::new(&["bpftrace", "-e", "kprobe:vfs_read { @[kstack] = count() }"], "Attached")),
        ("BCC", Tool::new(&["stackcount-bpfcc", "vfs_read"], "Tracing")),
    ];
    compare(report, "stacks of one kernel function", &ours, &rivals, 3);
}

/// Attaching and detaching every `syscalls:sys_enter_*` tracepoint.
fn syscalls(report: &mut Report, runs: usize) {
    // On a machine that others use, every tool is held to a process of this bench.
    let own = std::process::id().to_string();
    let ours = Tool::new(&["tracewell", "funccount", "-p", &own, "t:syscalls:sys_enter_*"], "Tracing");
    let rivals = [(
        "bpftrace",
        Tool::new(
            &["bpftrace", "-p", &own, "-e", "tracepoint:syscalls:sys_enter_* { @[probe] = count() }"],
            "Attached",
        ),
    )];
    // bpftrace takes half a minute for one run; one is enough to see the factor.
    let ours = repeat(&ours, runs);
    report.row("t:syscalls:sys_enter_* attached, ms", ours.attach_ms(), &[]);
    report.row("t:syscalls:sys_enter_* detached, ms", ours.detach_ms(), &[]);
    for (name, tool) in &rivals {
        let theirs = repeat(tool, 1);
        report.row("t:syscalls:sys_enter_* attached, ms", ours.attach_ms(), &[(name, theirs.attach_ms())]);
        report.row("t:syscalls:sys_enter_* detached, ms", ours.detach_ms(), &[(name, theirs.detach_ms())]);
    }
}

/// Every traceable function. The tool's own `--timings` line says how much of it was the kernel's link_create.
fn all_functions(report: &mut Report) {
    let tool = Tool::new(&["tracewell", "funccount", "--timings", "*"], "Tracing");
    let runs = repeat(&tool, 3);
    report.row("funccount '*' attached, ms", runs.attach_ms(), &[]);
    report.row("funccount '*' detached, ms", runs.detach_ms(), &[]);
    report.row("funccount '*' peak memory, KiB", runs.peak_kib(), &[]);
    for line in runs.last_output().lines().filter(|l| l.contains("Tracing") || l.contains("timings")) {
        report.note(line);
    }
}

/// What a tool costs that has nothing to trace but this process.
fn hello(report: &mut Report) {
    let own = std::process::id().to_string();
    let ours = Tool::new(&["tracewell", "funccount", "-p", &own, "t:sched:sched_process_exit"], "Tracing");
    let rivals = [(
        "bpftrace",
        Tool::new(
            &["bpftrace", "-p", &own, "-e", "tracepoint:sched:sched_process_exit { @ = count() }"],
            "Attached",
        ),
    )];
    compare(report, "one tracepoint", &ours, &rivals, RUNS);
}

fn compare(report: &mut Report, what: &str, ours: &Tool, rivals: &[(&str, Tool)], runs: usize) {
    let mut all: Vec<Vec<ToolRun>> = vec![Vec::new(); rivals.len() + 1];
    // In turn, so that a change of the machine's speed meets all of them.
    for _ in 0..runs {
        all[0].extend(ours.run(|_| ()).map(|(run, ())| run));
        for (i, (_, tool)) in rivals.iter().enumerate() {
            all[i + 1].extend(tool.run(|_| ()).map(|(run, ())| run));
        }
    }
    let all: Vec<tool::Runs> = all.into_iter().map(tool::Runs).collect();
    type Figure = fn(&tool::Runs) -> Option<f64>;
    let figures: [(&str, Figure); 3] = [
        ("start to attached, ms", tool::Runs::attach_ms),
        ("stop to gone, ms", tool::Runs::detach_ms),
        ("peak memory, KiB", tool::Runs::peak_kib),
    ];
    for (label, figure) in figures {
        let theirs: Vec<(&str, Option<f64>)> =
            rivals.iter().zip(&all[1..]).map(|((name, _), runs)| (*name, figure(runs))).collect();
        report.row(&format!("{what}: {label}"), figure(&all[0]), &theirs);
    }
}

fn repeat(tool: &Tool, runs: usize) -> tool::Runs {
    tool::Runs((0..runs).filter_map(|_| tool.run(|_| ())).map(|(run, ())| run).collect())
}

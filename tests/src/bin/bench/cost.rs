//! What one event costs: the kernel's own run statistics, and the time of a loop that makes the events.

use std::collections::HashSet;
use std::fs::File;
use std::io::Write;
use std::time::Instant;

use bpf_sys::{ids, prog::Prog, stats};

use crate::report::Report;
use crate::tool::{Tool, median};

/// Events in a measured loop.
const EVENTS: u64 = 100_000;
/// Rounds, of which the median counts.
const ROUNDS: usize = 3;

/// Counting `vfs_write`, alone and with its kernel stack; the guest's traffic is all ours.
pub fn kernel_function(report: &mut Report) {
    let ours = Tool::new(&["tracewell", "funccount", "vfs_write"], "Tracing");
    let bpftrace = Tool::new(&["bpftrace", "-e", "kprobe:vfs_write { @ = count() }"], "Attached");
    let bcc = Tool::new(&["funccount-bpfcc", "vfs_write"], "Tracing");
    compare(report, "count a kprobe", &ours, &[("bpftrace", &bpftrace), ("BCC", &bcc)]);
    let ours = Tool::new(&["tracewell", "stackcount", "-K", "vfs_write"], "Tracing");
    let bpftrace = Tool::new(&["bpftrace", "-e", "kprobe:vfs_write { @[kstack] = count() }"], "Attached");
    let bcc = Tool::new(&["stackcount-bpfcc", "-K", "vfs_write"], "Tracing");
    compare(report, "count kernel stacks", &ours, &[("bpftrace", &bpftrace), ("BCC", &bcc)]);
}

/// The same with a tracepoint and a filter on this process, for machines that others use.
pub fn own_syscalls(report: &mut Report) {
    let own = std::process::id().to_string();
    let event = "t:syscalls:sys_enter_write";
    let ours = Tool::new(&["tracewell", "funccount", "-p", &own, event], "Tracing");
    let bpftrace = Tool::new(
        &["bpftrace", "-p", &own, "-e", "tracepoint:syscalls:sys_enter_write { @ = count() }"],
        "Attached",
    );
    compare(report, "count a tracepoint of one process", &ours, &[("bpftrace", &bpftrace)]);
    let ours = Tool::new(&["tracewell", "stackcount", "-K", "-p", &own, event], "Tracing");
    let bpftrace = Tool::new(
        &["bpftrace", "-p", &own, "-e", "tracepoint:syscalls:sys_enter_write { @[kstack] = count() }"],
        "Attached",
    );
    compare(report, "count kernel stacks of one process", &ours, &[("bpftrace", &bpftrace)]);
}

fn compare(report: &mut Report, what: &str, ours: &Tool, rivals: &[(&str, &Tool)]) {
    let mut programs = vec![Vec::new(); rivals.len() + 1];
    let mut loops = vec![Vec::new(); rivals.len() + 1];
    let bare = median((0..ROUNDS).map(|_| write_loop()).collect()).unwrap_or(f64::NAN);
    for _ in 0..ROUNDS {
        let tools = std::iter::once(ours).chain(rivals.iter().map(|(_, tool)| *tool));
        for (i, tool) in tools.enumerate() {
            let Some((program, looped)) = measure(tool) else { continue };
            programs[i].extend(program);
            loops[i].push(looped - bare);
        }
    }
    let median_of =
        |values: &[Vec<f64>]| -> Vec<Option<f64>> { values.iter().cloned().map(median).collect() };
    let (programs, loops) = (median_of(&programs), median_of(&loops));
    let theirs = |figures: &[Option<f64>]| -> Vec<(&str, Option<f64>)> {
        rivals.iter().zip(&figures[1..]).map(|((name, _), figure)| (*name, *figure)).collect()
    };
    report.row(&format!("{what}: program, ns an event"), programs[0], &theirs(&programs));
    report.row(&format!("{what}: added to a 1-byte write, ns"), loops[0], &theirs(&loops));
}

/// One run of a tool: nanoseconds an event spent in its programs, and nanoseconds a turn of the loop.
/// The loop is timed without statistics, because taking them costs more than a counter does.
fn measure(tool: &Tool) -> Option<(Option<f64>, f64)> {
    let before: HashSet<u32> = ids::progs().filter_map(Result::ok).collect();
    let (_, result) = tool.run(|_| {
        let looped = write_loop();
        let program = stats::enable_runtime().ok().and_then(|_guard| {
            let start = totals(&before);
            write_loop();
            let end = totals(&before);
            // The loop's events are nearly all of them; dividing by what ran keeps the others out of the figure.
            (end.1 > start.1).then(|| (end.0 - start.0) as f64 / (end.1 - start.1) as f64)
        });
        (program, looped)
    })?;
    Some(result)
}

/// Run time in nanoseconds and number of runs of all programs that are not in `known`.
fn totals(known: &HashSet<u32>) -> (u64, u64) {
    let mut sum = (0, 0);
    for id in ids::progs().filter_map(Result::ok).filter(|id| !known.contains(id)) {
        if let Ok(info) = Prog::from_id(id).and_then(|p| p.info()) {
            sum.0 += info.stats.run_time_ns;
            sum.1 += info.stats.run_cnt;
        }
    }
    sum
}

/// Nanoseconds a turn of a loop of one-byte writes to `/dev/null`.
fn write_loop() -> f64 {
    let Ok(mut null) = File::options().write(true).open("/dev/null") else { return f64::NAN };
    let begin = Instant::now();
    for _ in 0..EVENTS {
        if null.write(b"x").is_err() {
            return f64::NAN;
        }
    }
    begin.elapsed().as_secs_f64() * 1e9 / EVENTS as f64
}

//! Exact counts on the running kernel: this process's own calls under two threads, on each attach path.

use std::fs::File;
use std::io::{Seek, SeekFrom};
use std::thread;

use tracewell_probes::attach::{AttachMode, ResolveOptions, resolve};
use tracewell_probes::count::{CountOptions, CountSession};
use tracewell_probes::filter::Filter;
use tracewell_probes::spec::{Dialect, Syntax, parse};
use tracewell_probes::stacks::{StackOptions, StackSession};
use tracewell_probes::{Error, Result};

const CALLS: u64 = 500;

/// Seeks that many times in each of two threads. Nothing else of this process does, not even the test harness, except
/// for other tests of this file, so these take turns.
fn work() {
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                let mut null = File::open("/dev/null").expect("/dev/null opens");
                for _ in 0..CALLS {
                    null.seek(SeekFrom::Start(0)).expect("/dev/null can be sought in");
                }
            });
        }
    });
}

static TURN: std::sync::Mutex<()> = std::sync::Mutex::new(());

fn filter() -> Filter {
    Filter { pid: Some(std::process::id()), ..Filter::default() }
}

fn options() -> ResolveOptions {
    ResolveOptions { pid: Some(std::process::id()) }
}

/// Whether this run can do it: prints why not otherwise.
fn skipped<T>(test: &str, result: Result<T>) -> Option<T> {
    match result {
        Ok(value) => Some(value),
        Err(e @ (Error::Unavailable { .. } | Error::NoTracefs { .. })) => {
            eprintln!("SKIP {test}: {e}");
            None
        }
        Err(e @ Error::Sys(_)) if e.to_string().contains("EPERM") || e.to_string().contains("EACCES") => {
            eprintln!("SKIP {test}: {e}");
            None
        }
        Err(e) => panic!("{test}: {e}"),
    }
}

/// Counts the work's calls under each of the names, which must come out as 2 * CALLS for the first.
fn count(test: &str, mode: AttachMode, specs: &[&str]) {
    let _turn = TURN.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    let specs: Vec<_> =
        specs.iter().map(|text| parse(text, Dialect::Auto, Syntax::Glob).expect("a spec")).collect();
    let Some(targets) = skipped(test, resolve(&specs, &options())) else { return };
    let count_options = CountOptions { filter: filter(), mode, ..CountOptions::default() };
    let Some(session) = skipped(test, CountSession::start(targets, &count_options)) else { return };
    let (mut before, mut after) = (Vec::new(), Vec::new());
    session.read(&mut before);
    work();
    session.read(&mut after);
    let index =
        (0..session.len()).find(|&i| session.name(i).is_some_and(|n| n == LSEEK || n.ends_with("_lseek")));
    let index = index.expect("a target for the seeks");
    let (counted, missed) = (after[index] - before[index], session.missed().expect("the kernel tells"));
    assert!(complete(counted, missed, mode), "{test}: {counted}, {missed} missed: {:?}", session.modes());
    session.stop();
}

/// Whether all of the work's calls were counted. Since Linux 7.2 a task may be preempted within a program at a system
/// call, and the kernel then skips the program for others on that processor: those must have been counted as missed.
fn complete(counted: u64, missed: u64, mode: AttachMode) -> bool {
    let at_system_calls = matches!(mode, AttachMode::Auto | AttachMode::Tracepoint);
    let skipped = at_system_calls && missed > 0 && counted < 2 * CALLS && counted + missed >= 2 * CALLS;
    counted == 2 * CALLS && (missed == 0 || at_system_calls) || skipped
}

/// The function that the standard library calls to seek.
const LSEEK: &str = if cfg!(target_env = "musl") { "lseek" } else { "lseek64" };

/// A function of the C library that this test itself runs with: a static binary carries its own.
fn own(function: &str) -> String {
    let function = if function == "lseek" { LSEEK } else { function };
    if cfg!(target_feature = "crt-static") {
        let me = std::env::current_exe().expect("/proc is mounted");
        format!("{}:{function}", me.display())
    } else {
        format!("c:{function}")
    }
}

#[test]
fn root_uprobes_through_multi_links() {
    count("root_uprobes_through_multi_links", AttachMode::UprobeMulti, &[&own("lseek"), &own("open")]);
    count("root_uprobes_through_multi_links", AttachMode::UprobeMulti, &[&format!("r:{}", own("lseek"))]);
}

#[test]
fn root_uprobes_through_perf_events() {
    count("root_uprobes_through_perf_events", AttachMode::UprobePerf, &[&own("lseek"), &own("open")]);
    count("root_uprobes_through_perf_events", AttachMode::UprobePerf, &[&format!("r:{}", own("lseek"))]);
}

#[test]
fn root_uprobes_through_the_text_file() {
    count("root_uprobes_through_the_text_file", AttachMode::UprobeText, &[&own("lseek"), &own("open")]);
    count("root_uprobes_through_the_text_file", AttachMode::UprobeText, &[&format!("r:{}", own("lseek"))]);
    let events = std::fs::read_to_string("/sys/kernel/tracing/uprobe_events").unwrap_or_default();
    let ours = format!("tracewell_{}/", std::process::id());
    assert!(!events.contains(&ours), "left behind: {events}");
}

#[test]
fn root_system_calls_through_tracepoints_and_one_raw_tracepoint() {
    let test = "root_system_calls_through_tracepoints_and_one_raw_tracepoint";
    count(test, AttachMode::Tracepoint, &["t:syscalls:sys_enter_lseek"]);
    count(test, AttachMode::Auto, &["t:syscalls:sys_enter_*"]);
    count(test, AttachMode::Auto, &["t:syscalls:sys_exit_*"]);
}

#[test]
fn root_stacks_sum_up_to_the_calls() {
    let test = "root_stacks_sum_up_to_the_calls";
    let _turn = TURN.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    let spec = parse("t:syscalls:sys_enter_lseek", Dialect::Auto, Syntax::Glob).expect("a spec");
    let Some(targets) = skipped(test, resolve(&[spec], &options())) else { return };
    let stack_options =
        StackOptions { filter: filter(), per_process: true, max_stacks: 256, ..StackOptions::default() };
    let Some(session) = skipped(test, StackSession::start(targets, &stack_options)) else { return };
    work();
    let (mut total, mut user) = (0, 0);
    session
        .read(|stack| {
            assert_eq!(stack.pid, std::process::id());
            total += stack.count;
            user = user.max(stack.user.len());
        })
        .expect("the table can be read");
    let missed = session.missed().expect("the kernel tells");
    assert!(complete(total, missed, AttachMode::Tracepoint), "{total}, {missed} missed");
    assert!(user > 0, "no user frames");
    assert_eq!(session.dropped().expect("the kernel tells"), 0);
}

#[test]
fn root_a_full_table_drops_and_counts() {
    let test = "root_a_full_table_drops_and_counts";
    let _turn = TURN.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    let spec = parse("t:syscalls:sys_enter_*", Dialect::Auto, Syntax::Glob).expect("a spec");
    let Some(targets) = skipped(test, resolve(&[spec], &options())) else { return };
    let stack_options =
        StackOptions { filter: filter(), per_target: true, max_stacks: 1, ..StackOptions::default() };
    let Some(session) = skipped(test, StackSession::start(targets, &stack_options)) else { return };
    work();
    let mut stacks = 0;
    session.read(|_| stacks += 1).expect("the table can be read");
    assert_eq!(stacks, 1);
    assert!(session.dropped().expect("the kernel tells") > 0);
}

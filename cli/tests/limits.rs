//! Files and limits that stand in the way, and runs that end badly.

mod common;

use common::*;
use nix::sys::signal::Signal;
use std::process::Command;

/// The binary without its section headers, which is all that `strip` leaves of the symbol table.
fn stripped() -> std::path::PathBuf {
    let mut bytes = std::fs::read(BIN).expect("the binary");
    // e_shoff, then e_shnum and e_shstrndx, of a 64-bit header.
    bytes[40..48].fill(0);
    bytes[60..64].fill(0);
    let path = scratch("stripped").join("stripped-program");
    std::fs::write(&path, bytes).expect("a file");
    path
}

#[test]
fn stripped_binaries_are_named_as_such() {
    let pattern = format!("{}:main", stripped().display());
    tracewell(&["funccount", &pattern]).fails_with(&["stripped", "debug symbols", "address"]);
}

#[test]
fn indirect_functions_are_refused_with_what_to_trace_instead() {
    let run = tracewell(&["funccount", "--cmd", "true", "c:strlen"]);
    if run.status == Some(0) {
        eprintln!(
            "SKIP indirect_functions_are_refused_with_what_to_trace_instead: strlen is a plain function here"
        );
        return;
    }
    run.fails_with(&["`strlen`", "IFUNC"]);
}

#[test]
fn root_a_low_limit_of_open_files_is_explained() {
    if !tracepoints("root_a_low_limit_of_open_files_is_explained") {
        return;
    }
    let sleeper = Sleeper::new();
    let out = Command::new("sh")
        .args(["-c", "ulimit -n 20; exec \"$0\" funccount -d 0.1 -p $1 't:sched:*'", BIN, &sleeper.pid()])
        .output()
        .expect("sh");
    let run = Run::from(out);
    if run.status == Some(0) {
        eprintln!("SKIP root_a_low_limit_of_open_files_is_explained: CAP_SYS_RESOURCE raises every limit");
        return;
    }
    run.fails_with(&["RLIMIT_NOFILE", "ulimit", "20"]);
}

#[test]
fn root_what_a_killed_run_left_behind_is_removed_by_the_next() {
    if !tracepoints("root_what_a_killed_run_left_behind_is_removed_by_the_next") {
        return;
    }
    let file = ["/sys/kernel/tracing/uprobe_events", "/sys/kernel/debug/tracing/uprobe_events"]
        .into_iter()
        .find(|f| std::path::Path::new(f).exists());
    let Some(file) = file else {
        eprintln!("SKIP root_what_a_killed_run_left_behind_is_removed_by_the_next: no uprobe_events");
        return;
    };
    let sleeper = Sleeper::new();
    let args = ["funccount", "--attach-mode", "uprobe-text", "-p", &sleeper.pid(), "c:malloc"];
    let mut run = Running::start(&args);
    run.wait_for("to end.\n");
    let mark = format!("tracewell_{}/", run.0.id());
    let left = || std::fs::read_to_string(file).expect("the file").contains(&mark);
    assert!(left(), "the event of the running trace");
    run.signal(Signal::SIGKILL);
    run.end();
    let next = tracewell(&[
        "funccount",
        "--attach-mode",
        "uprobe-text",
        "-d",
        "0.05",
        "-p",
        &sleeper.pid(),
        "c:malloc",
    ]);
    assert_eq!(next.status, Some(0), "{next:?}");
    assert!(!left(), "{}", std::fs::read_to_string(file).expect("the file"));
}

#[test]
fn root_a_second_ctrl_c_is_not_needed_and_does_no_harm() {
    if !tracepoints("root_a_second_ctrl_c_is_not_needed_and_does_no_harm") {
        return;
    }
    let sleeper = Sleeper::new();
    let mut run = Running::start(&["funccount", "-p", &sleeper.pid(), "t:sched:*"]);
    run.wait_for("to end.\n");
    run.signal(Signal::SIGINT);
    run.wait_for("Detaching...\n");
    // It may have ended by now; if not, this ends it at once.
    let _ = nix::sys::signal::kill(nix::unistd::Pid::from_raw(run.0.id() as i32), Signal::SIGINT);
    let run = run.end();
    assert!(matches!(run.status, Some(0) | None), "ended by itself or by the signal: {run:?}");
}

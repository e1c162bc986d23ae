//! The tools at work, on processes that the tests start themselves.

mod common;

use common::*;
use nix::sys::signal::Signal;
use std::time::{Duration, Instant};

/// A command that writes exactly so many times.
fn writes(n: u32) -> String {
    format!("dd if=/dev/zero of=/dev/null bs=1 count={n} status=none")
}

const WRITE: &str = "t:syscalls:sys_enter_write";

#[test]
fn root_a_commands_writes_are_counted_exactly() {
    if !tracepoints("root_a_commands_writes_are_counted_exactly") {
        return;
    }
    let run = tracewell(&["funccount", "--cmd", &writes(1000), WRITE]);
    assert_eq!(run.status, Some(0), "{run:?}");
    assert_eq!(
        run.out,
        "Tracing 1 functions for \"t:syscalls:sys_enter_write\"... Hit Ctrl-C to end.\n\n\
         FUNC                                    COUNT\n\
         syscalls:sys_enter_write                 1000\n\
         Detaching...\n"
    );
    assert_eq!(run.err, "");
}

#[test]
fn root_many_system_calls_at_once() {
    if !tracepoints("root_many_system_calls_at_once") {
        return;
    }
    let run =
        tracewell(&["funccount", "--cmd", &writes(1234), "t:syscalls:sys_enter_*", "t:syscalls:sys_exit_*"]);
    assert_eq!(run.count("syscalls:sys_enter_write"), Some(1234), "{run:?}");
    assert_eq!(run.count("syscalls:sys_exit_write"), Some(1234), "{run:?}");
    assert_eq!(run.count("syscalls:sys_enter_execve"), Some(1), "{run:?}");
}

#[test]
fn root_every_format() {
    if !tracepoints("root_every_format") {
        return;
    }
    let format = |name: &str| {
        let run = tracewell(&["funccount", "--format", name, "--cmd", &writes(7), WRITE]);
        assert_eq!((run.status, run.err.as_str()), (Some(0), ""), "{run:?}");
        run.out
    };
    let json: serde_json::Value = serde_json::from_str(&format("json")).expect("JSON");
    assert_eq!(json["counts"][0]["func"], "syscalls:sys_enter_write");
    assert_eq!((&json["counts"][0]["count"], &json["total"]), (&7.into(), &7.into()));
    assert_eq!(json["missed"]["recursion"], 0);
    assert_eq!(format("folded"), "syscalls:sys_enter_write 7\n");
    let csv = format("csv");
    assert!(csv.starts_with("time,func,count\n") && csv.ends_with("Z,syscalls:sys_enter_write,7\n"), "{csv}");
}

#[test]
fn root_top_percent_and_quiet() {
    if !tracepoints("root_top_percent_and_quiet") {
        return;
    }
    let run = tracewell(&[
        "funccount",
        "-q",
        "-n",
        "1",
        "--percent",
        "--cmd",
        &writes(1000),
        WRITE,
        "t:syscalls:sys_enter_read",
    ]);
    let rows: Vec<&str> = run.out.lines().collect();
    assert_eq!(rows[..2], ["", "FUNC                                    COUNT  PERCENT"], "{run:?}");
    assert_eq!(rows.len(), 3, "{run:?}");
    // dd reads as often as it writes, and the loader reads a few times more.
    assert!(rows[2].starts_with("syscalls:sys_enter_read") && rows[2].contains(" 50."), "{run:?}");
}

#[test]
fn root_intervals_start_from_zero() {
    if !tracepoints("root_intervals_start_from_zero") {
        return;
    }
    let start = Instant::now();
    let run = tracewell(&[
        "funccount",
        "-T",
        "-i",
        "0.2",
        "-d",
        "0.5",
        "--cmd",
        "sleep 30",
        "t:syscalls:sys_enter_execve",
    ]);
    assert!(start.elapsed() < Duration::from_secs(5));
    let tables = run.out.matches("FUNC  ").count();
    assert_eq!(tables, 3, "at 0.2, 0.4 and 0.5 seconds: {run:?}");
    assert_eq!(run.out.matches("syscalls:sys_enter_execve  ").count(), 1, "only in the first: {run:?}");
    assert_eq!(run.out.lines().filter(|l| l.len() == 8 && l.matches(':').count() == 2).count(), 3, "{run:?}");
}

#[test]
fn root_the_commands_status_is_passed_on() {
    if !tracepoints("root_the_commands_status_is_passed_on") {
        return;
    }
    let status = |cmd: &str| tracewell(&["funccount", "--cmd", cmd, WRITE]).status;
    assert_eq!(status("sh -c 'exit 3'"), Some(3));
    assert_eq!(status("sh -c 'kill -9 $$'"), Some(137));
    assert_eq!(status("true"), Some(0));
}

#[test]
fn root_signals_print_the_result() {
    if !tracepoints("root_signals_print_the_result") {
        return;
    }
    for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP] {
        let sleeper = Sleeper::new();
        let mut run = Running::start(&["funccount", "-p", &sleeper.pid(), WRITE]);
        run.wait_for("to end.\n");
        run.signal(signal);
        let run = run.end();
        assert_eq!(run.status, Some(0), "{signal}: {run:?}");
        assert_eq!(run.out, "\nFUNC                                    COUNT\nDetaching...\n", "{signal}");
    }
}

#[test]
fn root_nohup_outlives_a_hangup() {
    if !tracepoints("root_nohup_outlives_a_hangup") {
        return;
    }
    let out = std::process::Command::new("sh")
        .args([
            "-c",
            "trap '' HUP; \"$0\" funccount --cmd \"sh -c 'kill -HUP \\$PPID; sleep 0.2; exit 5'\" $1",
            BIN,
            WRITE,
        ])
        .output()
        .expect("sh");
    let run = Run::from(out);
    assert_eq!(run.status, Some(5), "it went on to the command's end: {run:?}");
}

#[test]
fn root_a_closed_pipe_ends_it_quietly() {
    if !tracepoints("root_a_closed_pipe_ends_it_quietly") {
        return;
    }
    let sleeper = Sleeper::new();
    let mut run = Running::start(&["funccount", "-p", &sleeper.pid(), WRITE]);
    run.wait_for("to end.\n");
    // Nothing is written any more: it has to notice by itself.
    drop(run.0.stdout.take());
    let run = run.end();
    assert_eq!((run.status, run.err.as_str()), (Some(0), ""));
}

#[test]
fn root_a_process_that_exits_in_mid_trace_is_no_error() {
    if !tracepoints("root_a_process_that_exits_in_mid_trace_is_no_error") {
        return;
    }
    let sleeper = Sleeper::new();
    let pid = sleeper.pid();
    let mut run = Running::start(&["stackcount", "-p", &pid, "-D", "0.5", "t:syscalls:sys_enter_exit_group"]);
    run.wait_for("to end.\n");
    drop(sleeper);
    let run = run.end();
    assert_eq!((run.status, run.err.as_str()), (Some(0), ""), "{run:?}");
}

#[test]
fn root_user_functions_of_a_command() {
    if !root("root_user_functions_of_a_command") {
        return;
    }
    let run = tracewell(&["funccount", "--cmd", "ls /", "c:opendir", "c:closedir"]);
    if run.err.contains("CONFIG_UPROBES") {
        eprintln!("SKIP root_user_functions_of_a_command: {}", run.err.trim());
        return;
    }
    assert_eq!(run.status, Some(0), "{run:?}");
    assert_eq!(run.count("opendir"), Some(1), "{run:?}");
}

#[test]
fn root_stacks_of_a_command() {
    if !tracepoints("root_stacks_of_a_command") {
        return;
    }
    let run = tracewell(&["stackcount", "-f", "-K", "--cmd", &writes(500), WRITE]);
    assert_eq!((run.status, run.err.as_str()), (Some(0), ""), "{run:?}");
    assert_eq!(run.out.lines().count(), 1, "one kernel stack: {run:?}");
    assert!(run.out.starts_with("dd;") && run.out.ends_with(" 500\n"), "{run:?}");
    let run = tracewell(&["stackcount", "-U", "--cmd", &writes(500), WRITE]);
    assert!(run.out.contains("\n    500\n\n"), "{run:?}");
    assert!(run.out.contains("write\n"), "the C library's function is on the stack: {run:?}");
}

#[test]
fn root_the_program_can_be_shown() {
    if !tracepoints("root_the_program_can_be_shown") {
        return;
    }
    let run = tracewell(&["funccount", "-D", "--cmd", "true", WRITE]);
    assert!(run.out.contains("exit\n"), "{run:?}");
    let before = run.out.find("Tracing 1 functions").expect("the banner");
    assert!(run.out[..before].contains("call bpf_"), "{run:?}");
}

#[test]
fn root_no_match_names_the_nearest() {
    if !tracepoints("root_no_match_names_the_nearest") {
        return;
    }
    tracewell(&["funccount", "t:sched:sched_swich"]).fails_with(&[
        "sched_swich",
        "did you mean",
        "sched_switch",
    ]);
    tracewell(&["funccount", "t:nosuch:*"]).fails_with(&["nosuch"]);
}

#[test]
fn root_a_kernel_without_kprobes_says_so() {
    if !root("root_a_kernel_without_kprobes_says_so") {
        return;
    }
    let sleeper = Sleeper::new();
    let run = tracewell(&["funccount", "-d", "0.1", "-p", &sleeper.pid(), "vfs_read"]);
    if run.status == Some(0) {
        eprintln!("SKIP root_a_kernel_without_kprobes_says_so: this kernel has kprobes");
        return;
    }
    run.fails_with(&["CONFIG_", "KPROBE", "tracepoint", "c:malloc"]);
}

#[test]
fn without_privileges_the_error_says_what_is_missing() {
    let run = unprivileged(&["funccount", "--cmd", "true", "c:malloc"]);
    run.fails_with(&["root", "CAP_"]);
    let run = unprivileged(&["funccount", "--cmd", "true", WRITE]);
    run.fails_with(&["root"]);
}

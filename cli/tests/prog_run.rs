//! `tracewell prog run` of what is not loaded: it runs in the interpreter, without privileges.

mod common;

use common::*;
use std::io::Write;
use std::process::{Command, Stdio};

/// Runs it on this standard input.
fn piped(args: &[&str], input: &[u8]) -> Run {
    let mut child = Command::new(BIN)
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary starts");
    child.stdin.take().expect("a pipe").write_all(input).expect("it reads its input");
    child.wait_with_output().expect("it ends").into()
}

fn gives(args: &[&str], out: &str) {
    let run = tracewell(args);
    assert_eq!((run.status, run.out.as_str(), run.err.as_str()), (Some(0), out, ""), "{args:?}");
}

#[test]
fn bytes_and_memory_come_in_hexadecimal() {
    let run = piped(&["prog", "run", "--hex", "-"], b"b7 00 00 00 2a 00 00 00\n95 00 00 00 00 00 00 00");
    assert_eq!((run.status, run.out.as_str()), (Some(0), "0x2a\n"), "{run:?}");
    // r1 points to the memory, r2 measures it.
    let load = b"6110000000000000 0f20000000000000 9500000000000000";
    let run = piped(&["prog", "run", "--hex", "-", "--mem", "01 02 0304"], load);
    assert_eq!((run.status, run.out.as_str()), (Some(0), "0x4030205\n"), "{run:?}");
    let run = piped(&["prog", "run", "--hex", "-", "--mem", "012"], load);
    assert_eq!(run.status, Some(2), "{run:?}");
}

#[test]
fn texts_run() {
    gives(&["prog", "run", "-e", "r0 = -1; exit"], "0xffffffffffffffff\n");
    gives(&["prog", "run", "-e", "r0 = r2; exit", "--mem", ""], "0x0\n");
    let run = tracewell(&["prog", "run", "--trace", "-e", "r0 = 1; r0 += 2; exit", "--mem", ""]);
    assert_eq!(run.out, "0x3\n");
    assert!(run.err.contains("   2: exit                                     ; r0=0x3"), "{run:?}");
    let run = tracewell(&["--json", "prog", "run", "-e", "r0 = 7; exit", "--mem", "ff"]);
    assert_eq!(run.out.trim(), r#"{"r0":"0x7","insns":2,"data_out":"","ctx_out":"ff"}"#);
}

#[test]
fn traps_name_the_instruction_and_the_line() {
    let run = tracewell(&["prog", "run", "-e", "r0 = 0; r0 = *(u64 *)(r10 +8); exit"]);
    assert_eq!((run.status, run.out.as_str()), (Some(1), ""), "{run:?}");
    assert!(run.err.contains("instruction 1: it reads 8 bytes"), "{run:?}");
    let run = tracewell(&["prog", "run", "--max-insns", "1000", "-e", "again: r0 = 0; goto again"]);
    assert!(run.err.contains("1000 instructions were executed"), "{run:?}");
    let run = tracewell(&["prog", "run", "--strict", "-e", "r0 = *(u64 *)(r10 -8); exit"]);
    assert!(run.err.contains("were not written before"), "{run:?}");
}

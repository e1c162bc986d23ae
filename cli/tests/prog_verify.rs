//! `tracewell prog verify`: verdicts, exit statuses, output for people and for programs, bad input.

#[path = "common/bpf.rs"]
mod bpf;
mod common;

use bpf::*;
use common::*;
use serde_json::Value;
use std::io::Write;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const GOOD: &str = "r0 = 0; exit";
const BAD: &str = "r0 = r6; exit";

/// Runs `prog verify` on this standard input.
fn piped(args: &[&str], input: &[u8]) -> Run {
    let mut child = Command::new(BIN)
        .args(["prog", "verify"])
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary starts");
    child.stdin.take().expect("a pipe").write_all(input).expect("it reads its input");
    child.wait_with_output().expect("it ends").into()
}

fn verify(args: &[&str]) -> Run {
    piped(args, b"")
}

/// Files that are gone with the test.
struct Files(std::path::PathBuf);

impl Files {
    fn new(test: &str) -> Files {
        Files(scratch(test))
    }

    fn write(&self, name: &str, bytes: &[u8]) -> String {
        let path = self.0.join(name);
        std::fs::write(&path, bytes).expect("a file");
        path.display().to_string()
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// The objects of `--json`, one a line.
fn lines(run: &Run) -> Vec<Value> {
    run.out.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"))).collect()
}

#[test]
fn the_status_is_the_verdict() {
    let run = verify(&["-e", GOOD]);
    assert_eq!(run.status, Some(0), "{run:?}");
    assert_eq!(run.out, "accepted: 2 instructions processed, 0 states, 0 bytes of stack\n");
    let run = verify(&["-e", BAD]);
    assert_eq!(run.status, Some(1), "{run:?}");
    assert_eq!(run.out, "rejected at instruction 0: R6 !read_ok\n");
    for usage in [&[][..], &["--kernel", "6.12"], &["-e", GOOD, "--log", "8"], &["--nonsense"], &["id"]] {
        let run = verify(usage);
        assert_eq!((run.status, run.out.as_str()), (Some(2), ""), "{usage:?}: {run:?}");
    }
}

#[test]
fn json_has_the_promised_keys_and_types() {
    let files = Files::new("verify_json");
    let object = files.write("refused.o", REFUSED);
    let run = verify(&["--json", &object]);
    assert_eq!(run.status, Some(1), "{run:?}");
    let found = lines(&run);
    assert_eq!(found.len(), 7, "{run:?}");
    const KEYS: [&str; 9] = [
        "program",
        "section",
        "verdict",
        "reason",
        "insn",
        "processed_insns",
        "total_states",
        "peak_states",
        "stack_depth",
    ];
    for line in &found {
        let mut keys: Vec<&str> = line.as_object().expect("an object").keys().map(String::as_str).collect();
        let mut wanted = KEYS;
        keys.sort_unstable();
        wanted.sort_unstable();
        assert_eq!(keys, wanted);
        assert_eq!((&line["section"], &line["verdict"]), (&Value::from("socket"), &Value::from("reject")));
        assert!(line["program"].is_string() && line["insn"].is_u64(), "{line}");
        assert!(line["reason"].as_str().is_some_and(|reason| !reason.is_empty()), "{line}");
        for number in &KEYS[5..] {
            assert!(line[number].is_u64(), "{number}: {line}");
        }
    }
    let reason = |name: &str| {
        let line = found.iter().find(|line| line["program"] == name).expect("the program");
        line["reason"].as_str().unwrap_or_default().to_owned()
    };
    // Neither the source line behind the words nor the instruction in front of them.
    assert!(reason("writes_the_context").starts_with("invalid bpf_context access"), "{run:?}");
    assert_eq!(reason("without_an_end"), "infinite loop detected at insn 3");

    let object = files.write("subprograms.o", SUBPROGRAMS);
    let run = verify(&["--json", &object]);
    assert_eq!((run.status, lines(&run).len()), (Some(0), 2), "{run:?}");
    for line in lines(&run) {
        assert_eq!((line["verdict"].as_str(), line["reason"].as_str()), (Some("accept"), Some("")), "{line}");
        assert!(line["insn"].is_null() && line["processed_insns"].as_u64() > Some(2), "{line}");
    }
    let run = verify(&["--json", "-e", BAD]);
    let section = &lines(&run)[0]["section"];
    assert_eq!(*section, "", "{run:?}");
}

#[test]
fn a_program_that_cannot_be_made_ready_has_a_line_too() {
    let files = Files::new("verify_no_target");
    let good = files.write("good.s", GOOD.as_bytes());
    let lost = files.write("lost.s", b".section fentry/no_such_function_anywhere\nr0 = 0\nexit");
    let run = verify(&["--json", &lost, &good]);
    let found = lines(&run);
    assert_eq!((run.status, found.len()), (Some(1), 2), "{run:?}");
    assert_eq!((&found[0]["verdict"], &found[0]["insn"]), (&Value::from("reject"), &Value::Null), "{run:?}");
    assert!(found[0]["reason"].as_str().is_some_and(|reason| !reason.is_empty()), "{run:?}");
    assert_eq!(found[1]["verdict"], "accept", "{run:?}");
    let run = verify(&[&lost, &good]);
    assert!(run.out.contains("lost (fentry/no_such_function_anywhere): cannot be verified: "), "{run:?}");
    assert!(run.out.contains("\ngood: accepted: "), "{run:?}");
}

#[test]
fn one_of_several_files_may_be_missing() {
    let files = Files::new("verify_several");
    let good = files.write("good.s", GOOD.as_bytes());
    let wrong = files.write("wrong.s", b"exti");
    let missing = files.0.join("missing.o").display().to_string();
    let run = verify(&[&wrong, &missing, &good]);
    assert_eq!(run.status, Some(2), "{run:?}");
    assert!(run.out.starts_with("good: accepted: "), "{run:?}");
    assert!(run.err.contains("no instruction `exti`; did you mean `exit`?"), "{run:?}");
    assert!(run.err.contains("missing.o: No such file or directory"), "{run:?}");
    let run = verify(&["--json", &missing, &good]);
    assert_eq!((run.status, lines(&run).len()), (Some(2), 1), "{run:?}");
    // One alone is an error like any other.
    verify(&[&missing]).fails_with(&["missing.o", "No such file or directory"]);
}

#[test]
fn kernels_from_5_10_to_7_2_are_asked() {
    for version in ["5.10", "6.1", "6.12", "6.18", "7.2"] {
        let run = verify(&["--json", "--kernel", version, "-e", GOOD]);
        assert_eq!(run.status, Some(0), "{version}: {run:?}");
    }
    for version in ["5.9", "4.19", "7.3", "8.0"] {
        let run = verify(&["--kernel", version, "-e", GOOD]);
        assert_eq!((run.status, run.out.as_str()), (Some(2), ""), "{run:?}");
        assert!(run.err.contains("is not simulated; give one from 5.10 to 7.2 with --kernel"), "{run:?}");
    }
    let run = verify(&["--kernel", "six", "-e", GOOD]);
    assert_eq!(run.status, Some(2), "{run:?}");
    assert!(run.err.contains("is not a kernel version"), "{run:?}");
    // Signed loads came with 6.6.
    let text = "*(u64 *)(r10 -8) = 1; r0 = *(s8 *)(r10 -8); exit";
    let status = |version| verify(&["--json", "--kernel", version, "-e", text]).status;
    assert_eq!((status("6.1"), status("6.12")), (Some(1), Some(0)));
}

#[test]
fn without_privileges_less_is_accepted() {
    let leak = "r0 = r10; exit";
    assert_eq!(verify(&["--kernel", "6.12", "-e", leak]).status, Some(0));
    let run = verify(&["--kernel", "6.12", "--unprivileged", "-e", leak]);
    assert_eq!(
        (run.status, run.out.as_str()),
        (Some(1), "rejected at instruction 1: R0 leaks addr as return value\n")
    );
    let run = verify(&["--kernel", "6.12", "--unprivileged", "--explain", "-e", leak]);
    assert!(run.out.contains("what to do: run as root or with CAP_PERFMON"), "{run:?}");
    let many = format!("{}exit", "r0 = 0\n".repeat(4096));
    let status = |args: &[&str]| piped(&[args, &["-"]].concat(), many.as_bytes()).status;
    assert_eq!((status(&[]), status(&["--unprivileged"])), (Some(0), Some(1)));
}

#[test]
fn logs_are_the_kernels() {
    let args = |level| {
        verify(&[
            "--kernel",
            "6.12",
            "--log",
            level,
            "-e",
            "r1 = 5; if r1 == 5 goto out; r0 = 1; out: r0 = 0; exit",
        ])
    };
    let run = args("2");
    assert_eq!(run.status, Some(0), "{run:?}");
    for line in [
        "0: R1=ctx() R10=fp0\n",
        "\n0: (b7) r1 = 5                        ; R1_w=5\n",
        "\nprocessed 4 insns (limit 1000000) ",
    ] {
        assert!(run.out.contains(line), "{line:?}: {run:?}");
    }
    // Of an accepted program level 1 has only the statistics.
    let run = args("1");
    assert!(run.out.contains("processed 4 insns") && !run.out.contains("(b7)"), "{run:?}");
    let run = verify(&["--kernel", "6.12", "--log", "1", "-e", BAD]);
    assert!(run.out.contains("\n0: (bf) r0 = r6\nR6 !read_ok\nprocessed 1 insns"), "{run:?}");
}

#[test]
fn programs_are_named_in_five_ways() {
    let files = Files::new("verify_names");
    let hex = b"b7 00 00 00 00 00 00 00 95 00 00 00 00 00 00 00";
    let words = [0xb7, 0, 0, 0, 0, 0, 0, 0, 0x95, 0, 0, 0, 0, 0, 0, 0];
    let accepted = |run: Run| assert_eq!((run.status, run.err.as_str()), (Some(0), ""), "{run:?}");
    accepted(verify(&["-e", "r0 = 0", "-e", "exit"]));
    accepted(piped(&["--hex", "-"], hex));
    accepted(verify(&["--hex", &files.write("p.hex", hex)]));
    accepted(piped(&["-"], GOOD.as_bytes()));
    accepted(piped(&["-"], &words));
    accepted(piped(&["-"], SUBPROGRAMS));
    accepted(verify(&[&files.write("p.o", SUBPROGRAMS)]));
    accepted(verify(&[&files.write("p.s", GOOD.as_bytes())]));
    accepted(verify(&[&files.write("p.bin", &words)]));
    let object = files.write("refused.o", REFUSED);
    let run = verify(&["--program", "reads_uninitialized", &object]);
    assert_eq!((run.status, run.out.as_str()), (Some(1), "rejected at instruction 0: R7 !read_ok\n"));
    verify(&["--program", "nobody", &object]).fails_with(&["no program `nobody`", "without_an_end"]);
    // A type is named as the kernel does, or by a section.
    let text = "r0 = *(u32 *)(r1 +16); r0 = 2; exit";
    assert_eq!(verify(&["--type", "xdp", "-e", text]).status, Some(0));
    assert_eq!(verify(&["--type", "socket_filter", "-e", "r0 = *(u32 *)(r1 +76); exit"]).status, Some(1));
}

#[test]
fn bad_input_is_refused_in_words() {
    let files = Files::new("verify_bad");
    verify(&[&files.write("empty", b"")]).fails_with(&["empty", "no instructions"]);
    verify(&[BIN]).fails_with(&["tracewell", "not for BPF"]);
    verify(&[&files.write("odd", b"\x00\x01\x02")]).fails_with(&["with 3 bytes no whole instructions"]);
    verify(&["/"]).fails_with(&["cannot read /"]);
    piped(&["--hex", "-"], b"b7 0").fails_with(&["3 hexadecimal digits"]);
    // Cut anywhere, an object is refused, or what is left of it judged.
    for cut in (0..REFUSED.len()).step_by(REFUSED.len() / 24) {
        let run = piped(&["-"], &REFUSED[..cut]);
        assert!(matches!(run.status, Some(0..=2)), "{cut}: {run:?}");
        assert!(!run.err.contains("panicked"), "{cut}: {run:?}");
    }
    // Bytes without any sense.
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    for round in 0..40 {
        let mut bytes = Vec::new();
        for _ in 0..1 + round * 3 {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            bytes.extend(state.to_le_bytes());
        }
        let run = piped(&["-"], &bytes);
        assert!(run.status == Some(1) && !run.err.contains("panicked"), "{bytes:?}: {run:?}");
    }
}

#[test]
fn a_million_instructions_take_seconds() {
    let mut words = [0xb7_u64.to_le_bytes()].repeat(999_999).concat();
    words.extend(0x95_u64.to_le_bytes());
    let begin = Instant::now();
    let run = piped(&["--json", "-"], &words);
    assert_eq!(run.status, Some(0), "{run:?}");
    assert_eq!(lines(&run)[0]["processed_insns"], 1_000_000);
    words.extend(0x95_u64.to_le_bytes());
    let run = piped(&["-"], &words);
    assert_eq!(run.status, Some(1), "{run:?}");
    // Without optimization, and beside other tests; with it, it is less than one.
    assert!(begin.elapsed() < Duration::from_secs(60), "{:?}", begin.elapsed());
}

#[test]
fn root_verify_against_the_kernel() {
    if !root("root_verify_against_the_kernel") {
        return;
    }
    let run = verify(&["--against-kernel", "-e", GOOD]);
    assert_eq!(run.status, Some(0), "{run:?}");
    assert!(run.out.contains("  so does the running kernel: accepts it"), "{run:?}");
    let run = verify(&["--against-kernel", "-e", BAD]);
    assert_eq!(run.status, Some(0), "both refuse it, and agree: {run:?}");
    assert!(
        run.out.contains("so does the running kernel: rejects it") && run.out.contains(": R6 !read_ok\n"),
        "{run:?}"
    );
    let files = Files::new("verify_against");
    let object = files.write("refused.o", REFUSED);
    let run = verify(&["--against-kernel", "--json", &object]);
    assert_eq!((run.status, lines(&run).len()), (Some(0), 7), "{run:?}");
    for line in lines(&run) {
        assert_eq!(line["kernel"]["verdict"], line["verdict"], "{line}");
        assert!(line["kernel"]["reason"].is_string(), "{line}");
    }
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").expect("a release");
    let other = if release.starts_with("5.10.") { "6.1" } else { "5.10" };
    let run = verify(&["--against-kernel", "--kernel", other, "-e", GOOD]);
    assert_eq!(run.status, Some(2), "{run:?}");
}

//! The examples of the crates do what they say, on each kernel.
#![forbid(unsafe_code)]

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStdout, Command, Stdio};

use bpf_sys::prog::{ProgLoad, ProgType};
use probes::spec::{Pattern, Syntax};
use tracewell_tests::support::{Attach, Workload, example_path, in_guest, is_root, skip, workload_path};

/// An example that has printed its first line, or said on standard error that it is attached.
struct Example {
    name: &'static str,
    child: Child,
    out: BufReader<ChildStdout>,
}

impl Example {
    fn start(name: &'static str, args: &[&str], ready_on_stderr: bool) -> Example {
        let path = example_path(name);
        let mut child = Command::new(&path)
            .args(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        let mut out = BufReader::new(child.stdout.take().unwrap());
        let mut err = BufReader::new(child.stderr.take().unwrap());
        let mut line = String::new();
        if ready_on_stderr { err.read_line(&mut line) } else { out.read_line(&mut line) }.unwrap();
        if line.is_empty() || (ready_on_stderr && !line.starts_with("Attached")) {
            err.read_to_string(&mut line).unwrap();
            panic!("{name}: {line}");
        }
        Example { name, child, out }
    }

    /// The next line that holds this text.
    fn line(&mut self, part: &str) -> String {
        let mut seen = String::new();
        loop {
            let mut line = String::new();
            if self.out.read_line(&mut line).unwrap() == 0 {
                panic!("{}: no line with `{part}`:\n{seen}", self.name);
            }
            if line.contains(part) {
                return line;
            }
            seen += &line;
        }
    }

    /// Lets it end by itself; what it still printed.
    fn finish(mut self) -> String {
        drop(self.child.stdin.take().map(|mut input| input.write_all(b"\n")));
        let mut text = String::new();
        self.out.read_to_string(&mut text).unwrap();
        let status = self.child.wait().unwrap();
        assert!(status.success(), "{} ended with {status}:\n{text}", self.name);
        text
    }
}

impl Drop for Example {
    fn drop(&mut self) {
        // Both fail where it has ended, which is what is wanted.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn fields(line: &str) -> Vec<&str> {
    line.split_whitespace().collect()
}

#[test]
fn root_example_execve() {
    let test = "root_example_execve";
    if !is_root(test) {
        return;
    }
    if let Err(missing) = Attach::KprobePerf.available() {
        return skip(test, &missing);
    }
    let mut example = Example::start("execve", &[], false);
    let child = Command::new("/usr/bin/true").spawn().unwrap();
    let pid = child.id().to_string();
    child.wait_with_output().unwrap();
    // Other programs are started meanwhile; this process has two lines, the second under its new name.
    let (enter, leave) = (example.line(&format!(" {pid}  ")), example.line(&format!(" {pid}  ")));
    assert_eq!((fields(&enter)[0], fields(&enter)[2]), (pid.as_str(), "..."), "{enter}");
    assert_eq!(fields(&leave), [pid.as_str(), "true", "0"], "{leave}");
}

#[test]
fn root_example_bpf_loads() {
    let test = "root_example_bpf_loads";
    if !is_root(test) {
        return;
    }
    if let Err(missing) = Attach::Tracepoint.available() {
        return skip(test, &missing);
    }
    bpf_sys::memlock::ensure().unwrap();
    let me = std::process::id().to_string();
    let mut example = Example::start("bpf_loads", &["1", &me], false);
    // r0 = 0; exit
    let insns = [0xb7, 0x95];
    let load = ProgLoad {
        prog_type: ProgType::SocketFilter,
        name: "tw_example",
        insns: &insns,
        license: "GPL",
        ..ProgLoad::default()
    };
    load.load().unwrap();
    let line = example.line("tw_example");
    let fields = fields(&line);
    assert_eq!((fields[0], &fields[2..]), (me.as_str(), &["socket_filter", "2", "tw_example"][..]), "{line}");
    // One line was asked for.
    assert_eq!(example.finish(), "");
}

#[test]
fn root_example_duration() {
    let test = "root_example_duration";
    if !is_root(test) {
        return;
    }
    if let Err(missing) = Attach::UprobePerf.available() {
        return skip(test, &missing);
    }
    let pattern = Pattern::new("*workload_user_call*", Syntax::Glob).unwrap();
    let found = probes::user::elf::find_functions(workload_path(), &pattern).unwrap();
    let (file, function) = (workload_path().display().to_string(), found[0].name.to_string());
    let mut workload = Workload::start(&["--mode", "user", "--calls", "300", "--linger"]);
    let pid = workload.pid().to_string();
    let example = Example::start("duration", &[&file, &function, "0", &pid], true);
    workload.go();
    let text = example.finish();
    workload.run_out();
    assert!(text.starts_with(&format!("{function} of {file}: 300 calls, ")), "{text}");
    let average: u64 = fields(&text).iter().rev().nth(3).unwrap().parse().unwrap();
    assert!(average > 0, "{text}");
}

#[test]
fn root_example_exits() {
    let test = "root_example_exits";
    if !is_root(test) {
        return;
    }
    if !in_guest() {
        return skip(test, "it would see this machine's processes; guests run it");
    }
    let mut example = Example::start("exits", &[], false);
    let child = Command::new("/usr/bin/true").spawn().unwrap();
    let pid = child.id().to_string();
    child.wait_with_output().unwrap();
    let line = example.line(&format!(" {pid}  "));
    assert_eq!(fields(&line), [pid.as_str(), "true"]);
}

#[test]
fn root_example_embedded() {
    let test = "root_example_embedded";
    if !is_root(test) {
        return;
    }
    // Its own process is the one that the verifier is told: 70 writes, and little else.
    let mut workload = Workload::start(&["--mode", "write", "--calls", "70", "--linger"]);
    let pid = workload.pid().to_string();
    let example = Example::start("embedded", &[&pid, "0"], true);
    workload.go();
    let text = example.finish();
    workload.run_out();
    let first = text.lines().next().unwrap_or_default();
    assert!(first.starts_with(&format!("process {pid} made ")), "{text}");
    let all: u64 = fields(first)[3].parse().unwrap();
    let rows: Vec<(i64, u64)> = text
        .lines()
        .skip(2)
        .map(|line| (fields(line)[0].parse().unwrap(), fields(line)[1].parse().unwrap()))
        .collect();
    // The most frequent call is first: write(2), 1 on x86-64 and 64 on arm64.
    let write = if cfg!(target_arch = "aarch64") { 64 } else { 1 };
    assert_eq!(rows[0].0, write, "{text}");
    assert!((70..80).contains(&rows[0].1), "{text}");
    assert_eq!(rows.iter().map(|(_, calls)| calls).sum::<u64>(), all, "{text}");
}

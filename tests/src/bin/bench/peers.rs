//! The sections `btf` and `load`: our loader beside libbpf, our dump beside bpftool's. Each round starts a process for
//! each side, in turn, and the medians count.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use crate::report::Report;
use crate::tool::median;

const ROUNDS: usize = 15;

/// What one process printed, by name.
type Figures = BTreeMap<String, Vec<f64>>;

/// What the peers need: `BENCH_PEERS` is a folder with `libbpf-bench`, `clock.so`, `bench.o` and, where it could be built,
/// `aya-bench`.
fn peers() -> Option<String> {
    std::env::var("BENCH_PEERS").ok()
}

/// Opening the kernel's types, finding one, printing all.
pub fn btf(report: &mut Report) {
    let Some(folder) = peers() else {
        return report.note("the section btf needs BENCH_PEERS; start tests/bench");
    };
    let (ours, theirs) = rounds(&folder, &["btf"]);
    let aya = repeat(|figures| run(Command::new(format!("{folder}/aya-bench")).arg("btf"), figures));
    for (figure, label) in [
        ("open", "open vmlinux BTF and find the first type, ms"),
        ("memory", "private memory of it, KiB"),
        ("find", "find a type by name, ns"),
    ] {
        let peers = [("libbpf", middle(&theirs, figure)), ("aya-obj", middle(&aya, figure))];
        report.row(label, middle(&ours, figure), &peers);
    }
    let ours = dump("tracewell", &["btf", "dump", "file", "/sys/kernel/btf/vmlinux", "--format", "c"]);
    let theirs = dump("bpftool", &["btf", "dump", "file", "/sys/kernel/btf/vmlinux", "format", "c"]);
    report.row("btf dump of vmlinux as C, ms", ours, &[("bpftool", theirs)]);
}

/// Relocating and loading an object of 20 programs with 100 CO-RE relocations.
pub fn load(report: &mut Report) {
    let Some(folder) = peers() else {
        return report.note("the section load needs BENCH_PEERS; start tests/bench");
    };
    let object = format!("{folder}/bench.o");
    let (ours, theirs) = rounds(&folder, &["relocate", &object]);
    // libbpf creates the maps in the same step: the time in bpf(2) is out of the figure.
    let peer = [("libbpf", without_kernel(&theirs, "relocate"))];
    report.row(
        "parse, open vmlinux, 100 CO-RE relocations, ms without bpf(2)",
        without_kernel(&ours, "relocate"),
        &peer,
    );
    report.row("100 CO-RE relocations alone, types open, ms", middle(&ours, "relocate-again"), &[]);
    let (ours, theirs) = rounds(&folder, &["load", &object]);
    let peer = [("libbpf", without_kernel(&theirs, "load"))];
    report.row("parse, relocate, load 20 programs, ms without bpf(2)", without_kernel(&ours, "load"), &peer);
    report.row("the same with bpf(2), ms", middle(&ours, "load"), &[("libbpf", middle(&theirs, "load"))]);
}

/// Both sides, in turn.
fn rounds(folder: &str, args: &[&str]) -> (Figures, Figures) {
    let (mut ours, mut theirs) = (Figures::new(), Figures::new());
    let me = std::env::current_exe().unwrap_or_default();
    for _ in 0..ROUNDS {
        let clock = Path::new(folder).join("clock.so");
        run(Command::new(&me).arg("figures").args(args).env("LD_PRELOAD", clock), &mut ours);
        run(Command::new(format!("{folder}/libbpf-bench")).args(args), &mut theirs);
    }
    (ours, theirs)
}

fn repeat(mut once: impl FnMut(&mut Figures)) -> Figures {
    let mut figures = Figures::new();
    (0..ROUNDS).for_each(|_| once(&mut figures));
    figures
}

/// Runs a process and keeps its figures; the clock of bpf(2) writes its own to standard error.
fn run(command: &mut Command, figures: &mut Figures) {
    let Ok(out) = command.stdin(Stdio::null()).output() else { return };
    let (text, errors) = (String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
    if !out.status.success() {
        eprintln!("bench: {command:?}: {}\n{errors}", out.status);
        return;
    }
    for line in text.lines() {
        let Some((name, value)) = line.strip_prefix("figure ").and_then(|rest| rest.split_once(' ')) else {
            continue;
        };
        figures.entry(name.to_owned()).or_default().extend(value.parse::<f64>());
    }
    for line in errors.lines().filter_map(|line| line.strip_prefix("in bpf(2), ns: ")) {
        figures.entry("bpf".to_owned()).or_default().extend(line.parse::<f64>().map(|ns| ns / 1e6));
    }
}

fn middle(figures: &Figures, name: &str) -> Option<f64> {
    median(figures.get(name)?.clone())
}

/// A figure of each process less the time that it spent in bpf(2).
fn without_kernel(figures: &Figures, name: &str) -> Option<f64> {
    let (all, kernel) = (figures.get(name)?, figures.get("bpf")?);
    (all.len() == kernel.len())
        .then(|| median(all.iter().zip(kernel).map(|(all, bpf)| all - bpf).collect()))?
}

/// Milliseconds of a process that prints to nowhere.
fn dump(program: &str, args: &[&str]) -> Option<f64> {
    let times = (0..7).filter_map(|_| {
        let start = Instant::now();
        let status = Command::new(program).args(args).stdin(Stdio::null()).stdout(Stdio::null()).status();
        status.is_ok_and(|s| s.success()).then(|| start.elapsed().as_secs_f64() * 1e3)
    });
    median(times.collect())
}

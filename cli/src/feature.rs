//! `tracewell feature`: what this kernel offers to this process, and which way each kind of event will take.

use crate::output::feature::{Answer, Feature, Path, Report, json, text};
use anyhow::Result;
use bpf_sys::features::{self, Capability, has_capability};
use bpf_sys::map::MapType;
use bpf_sys::prog::ProgType;
use clap::ArgMatches;
use probes::kernel::config::{self, Setting};
use probes::tracefs::Tracefs;
use std::io::{BufWriter, Write, stdout};

/// The options that the tools depend on.
const CONFIG: [(&str, &str); 11] = [
    ("CONFIG_BPF_SYSCALL", "BPF at all"),
    ("CONFIG_BPF_JIT", "programs run as machine code"),
    ("CONFIG_BPF_EVENTS", "programs at probes"),
    ("CONFIG_PERF_EVENTS", "perf events, through which most probes are attached"),
    ("CONFIG_KPROBES", "probes in kernel functions"),
    ("CONFIG_KPROBE_EVENTS", "kprobes through perf events and tracefs"),
    ("CONFIG_FPROBE", "kprobe.multi: thousands of kernel functions by one call"),
    ("CONFIG_UPROBES", "probes in user functions"),
    ("CONFIG_UPROBE_EVENTS", "uprobes through perf events and tracefs"),
    ("CONFIG_FTRACE_SYSCALLS", "tracepoints of system calls"),
    ("CONFIG_DEBUG_INFO_BTF", "the kernel's types"),
];

/// Tries everything out and prints it.
pub fn main(matches: &ArgMatches) -> Result<u8> {
    let report = report();
    let out = &mut BufWriter::new(stdout().lock());
    if matches.get_one::<String>("format").is_some_and(|f| f == "json") {
        json(out, &report)?;
    } else {
        text(out, &report)?;
    }
    out.flush()?;
    Ok(0)
}

fn report() -> Report {
    // Before 5.11 the trials would be refused for want of locked memory; where that cannot be raised they say so.
    let _ = bpf_sys::memlock::ensure();
    let release =
        std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default().trim().to_string();
    let features = features::ALL
        .iter()
        .map(|f| Feature {
            name: f.name().into(),
            answer: answer(f.answer().clone()),
            since: f.since(),
            purpose: f.purpose(),
        })
        .collect();
    let row = |name: String, a, since: Option<&'static str>| Feature {
        name,
        answer: answer(a),
        since: since.unwrap_or(""),
        purpose: "",
    };
    Report {
        release,
        machine: std::env::consts::ARCH.into(),
        paths: paths(),
        groups: vec![
            ("Features", features),
            (
                "Capabilities of this process",
                Capability::ALL.iter().map(|c| row(c.name().into(), has_capability(*c), None)).collect(),
            ),
            (
                "Configuration of the kernel",
                CONFIG.iter().map(|(name, purpose)| setting(name, purpose)).collect(),
            ),
            (
                "Program types",
                ProgType::ALL
                    .iter()
                    .map(|t| row(t.to_string(), features::prog_type(*t), t.since()))
                    .collect(),
            ),
            (
                "Map types",
                MapType::ALL.iter().map(|t| row(t.to_string(), features::map_type(*t), t.since())).collect(),
            ),
        ],
    }
}

/// The ways, tried in the order in which the tools try them.
fn paths() -> Vec<Path> {
    let tracefs = Tracefs::locate();
    let has_file = |name: &str| tracefs.as_ref().is_ok_and(|t| t.path(name).exists());
    let first = |ways: &[(&'static str, bool)]| ways.iter().find(|(_, has)| *has).map(|(way, _)| *way);

    let kernel = first(&[
        ("kprobe-multi", features::has_kprobe_multi().is_yes()),
        ("kprobe-perf", features::has_perf_kprobe().is_yes()),
        ("kprobe-text", has_file("kprobe_events")),
    ]);
    let user = first(&[
        ("uprobe-multi", features::has_uprobe_multi().is_yes()),
        ("uprobe-perf", features::has_perf_uprobe().is_yes()),
        ("uprobe-text", has_file("uprobe_events")),
    ]);
    let tracepoint = first(&[("tracepoint", has_file("events"))]);
    let syscalls = first(&[
        ("raw-syscalls", tracepoint.is_some() && features::has_syscall_tracepoints().is_yes()),
        ("tracepoint", has_file("events/syscalls")),
    ]);
    let why = |way: Option<&str>, option: &str, remedy: &str| match way {
        Some(_) => String::new(),
        None => match config::missing(option) {
            Some(phrase) => format!("{phrase}; {remedy}"),
            None => "not allowed or not found, see below".into(),
        },
    };
    let no_tracefs = match &tracefs {
        Ok(_) if tracepoint.is_some() => String::new(),
        Ok(_) => why(None, "CONFIG_FTRACE", "user functions still work"),
        Err(e) => e.to_string(),
    };
    vec![
        Path {
            events: "kernel functions",
            way: kernel,
            note: why(kernel, "CONFIG_KPROBES", "tracepoints and user functions still work"),
        },
        Path {
            events: "user functions",
            way: user,
            note: why(user, "CONFIG_UPROBES", "tracepoints and kernel functions still work"),
        },
        Path { events: "tracepoints", way: tracepoint, note: no_tracefs.clone() },
        Path { events: "many system calls at once", way: syscalls, note: no_tracefs },
    ]
}

fn answer(a: features::Answer) -> Answer {
    match a {
        features::Answer::Yes => Answer::Yes,
        features::Answer::No { why } => Answer::No(why),
        features::Answer::Unknown { why } => Answer::Unknown(why),
    }
}

fn setting(name: &str, purpose: &'static str) -> Feature {
    let answer = match config::setting(name) {
        Setting::Yes | Setting::Module => Answer::Yes,
        Setting::No => Answer::No(format!("not set; {purpose}")),
        Setting::Unknown => Answer::Unknown(format!("no configuration can be read; {purpose}")),
    };
    Feature { name: name.into(), answer, since: "", purpose }
}

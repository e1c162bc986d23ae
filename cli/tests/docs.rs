//! The pages' commands, run as they stand.

#[path = "common/bpf.rs"]
mod bpf;
mod common;

use common::*;
use std::process::Command;

/// The commands of a page's `console` blocks: the lines that begin with `$` and call `tracewell`.
fn commands(page: &str) -> Vec<String> {
    let (mut found, mut inside) = (Vec::new(), false);
    for line in page.lines() {
        match line.strip_prefix("```") {
            Some(info) => inside = info == "console",
            None if inside => {
                found.extend(line.strip_prefix("$ ").filter(|c| c.contains("tracewell ")).map(String::from))
            }
            None => {}
        }
    }
    found
}

#[test]
fn root_documented_commands_run() {
    if !tracepoints("root_documented_commands_run") {
        return;
    }
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace");
    let dir = std::path::Path::new(BIN).parent().expect("its directory");
    let path = format!("{}:{}", dir.display(), std::env::var("PATH").unwrap_or_default());
    // The objects that pages load lie in the directory where their commands run.
    let place = scratch("docs");
    for (name, bytes) in [
        ("rings.o", bpf::RINGS),
        ("refused.o", bpf::REFUSED),
        ("globals.o", bpf::GLOBALS),
        ("typed.o", bpf::TYPED),
        ("count.s", include_bytes!("../../tests/bpf/count.s")),
    ] {
        std::fs::write(place.join(name), bytes).expect("an object file");
    }
    let pages = [
        ("docs/funccount.md", 5),
        ("docs/stackcount.md", 5),
        ("docs/btf.md", 8),
        ("docs/prog.md", 10),
        ("docs/asm.md", 6),
        ("docs/map.md", 6),
    ];
    for (page, least) in pages {
        let text = std::fs::read_to_string(root.join(page)).expect("the page");
        let commands = commands(&text);
        assert!(commands.len() >= least, "{page} has {} commands", commands.len());
        for command in commands {
            let mut shell = Command::new("sh");
            let out =
                shell.args(["-c", &command]).env("PATH", &path).current_dir(&place).output().expect("sh");
            let run = Run::from(out);
            // A command that is traced for less time than it takes is ended by SIGTERM.
            assert_eq!(run.status, Some(0), "{page}: {command}: {run:?}");
            assert!(!run.out.is_empty(), "{page}: {command}: {run:?}");
            assert!(!complaints(&run.err).contains("tracewell:"), "{page}: {command}: {run:?}");
        }
    }
}

/// What was said apart from this one thing, which a busy kernel of 6.13 or later has a right to say: where system
/// calls' tracepoints are preempted, it skips the program for others on that processor, and counts that.
fn complaints(err: &str) -> String {
    err.lines().filter(|line| !line.contains("events were missed by the kernel because")).collect()
}

/// README's first command, without the build.
#[test]
fn root_readme_commands_run() {
    if !tracepoints("root_readme_commands_run") {
        return;
    }
    let text = include_str!("../../README.md");
    let line = text
        .lines()
        .find_map(|l| l.strip_prefix("$ cargo run --release -p tracewell -- "))
        .expect("the command");
    let out = Command::new("sh").args(["-c", &format!("\"$0\" {line}"), BIN]).output().expect("sh");
    let run = Run::from(out);
    assert_eq!((run.status, complaints(&run.err).as_str()), (Some(0), ""), "{run:?}");
    let missed = run.err.contains("missed");
    assert!(missed || run.count("syscalls:sys_enter_execve") == Some(1), "{run:?}");
}

//! The pages' commands, run as they stand.

#[path = "common/bpf.rs"]
mod bpf;
mod common;

use common::*;
use std::process::Command;

/// A `console` block of a page.
#[derive(Debug, Default)]
struct Block {
    /// The lines that begin with `$` and call `tracewell`, each with the lines below that begin with `>`.
    commands: Vec<String>,
    /// The `text` block that follows at once: what the commands print.
    shown: Option<String>,
}

fn blocks(page: &str) -> Vec<Block> {
    let mut found: Vec<Block> = Vec::new();
    let mut inside = "";
    // Whether the block above has just ended, and nothing was said since.
    let mut follows = false;
    for line in page.lines() {
        match line.strip_prefix("```") {
            Some(info) => {
                if info == "console" {
                    found.push(Block::default());
                } else if let (true, "text", Some(block)) = (follows, info, found.last_mut()) {
                    block.shown = Some(String::new());
                }
                follows = inside == "console" || (follows && info == "text");
                inside = info;
            }
            None if inside == "console" => {
                let Some(block) = found.last_mut() else { continue };
                if let Some(command) = line.strip_prefix("$ ") {
                    block.commands.push(command.to_owned());
                } else if let (Some(more), Some(command)) =
                    (line.strip_prefix('>'), block.commands.last_mut())
                {
                    *command += "\n";
                    *command += more.strip_prefix(' ').unwrap_or(more);
                }
            }
            None if inside == "text" && follows => {
                if let Some(shown) = found.last_mut().and_then(|block| block.shown.as_mut()) {
                    *shown += line;
                    *shown += "\n";
                }
            }
            None => follows &= line.is_empty(),
        }
    }
    for block in &mut found {
        block.commands.retain(|command| command.contains("tracewell "));
    }
    found
}

/// All commands of a page.
fn commands(page: &str) -> Vec<String> {
    blocks(page).into_iter().flat_map(|block| block.commands).collect()
}

fn workspace() -> &'static std::path::Path {
    std::path::Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace")
}

/// Runs a command of a page with the binary under test.
fn shell(command: &str, place: &std::path::Path) -> Run {
    let dir = std::path::Path::new(BIN).parent().expect("its directory");
    let path = format!("{}:{}", dir.display(), std::env::var("PATH").unwrap_or_default());
    let mut shell = Command::new("sh");
    shell.args(["-c", command]).env("PATH", &path).current_dir(place).output().expect("sh").into()
}

/// The pages of a folder, the least number of which is known, with their names.
fn course(folder: &str, least: usize) -> Vec<(String, String)> {
    let entries = std::fs::read_dir(workspace().join(folder)).expect("the folder");
    let mut pages: Vec<_> = entries.map(|entry| entry.expect("an entry").path()).collect();
    pages.sort();
    let pages: Vec<_> = pages
        .into_iter()
        .map(|path| (path.display().to_string(), std::fs::read_to_string(&path).expect("the page")))
        .collect();
    assert!(pages.len() >= least, "{folder} has {} pages", pages.len());
    pages
}

/// Programs are judged by simulation: the pages show just what is printed, whatever kernel runs. Status 1 where a
/// program is rejected. With UPDATE_EXPECT=1 the pages are rewritten.
fn the_verifiers_course() {
    let place = scratch("course");
    let (mut ran, mut wrong) = (0, String::new());
    let update = std::env::var_os("UPDATE_EXPECT").is_some_and(|value| value == "1");
    for (page, text) in course("docs/verifier", 11) {
        let mut rewritten = text.clone();
        // How far it is rewritten.
        let mut done = 0;
        let readme = page.ends_with("README.md");
        let blocks = blocks(&text);
        assert!(blocks.len() >= if readme { 1 } else { 4 }, "{page} has {} programs", blocks.len());
        let mut verdicts = Vec::new();
        for Block { commands, shown } in blocks {
            let shown = shown.unwrap_or_else(|| panic!("{page}: {commands:?}: no text shows what it prints"));
            let mut printed = String::new();
            for command in commands {
                let run = shell(&command, &place);
                let rejected = run.out.starts_with("rejected");
                assert_eq!(run.status, Some(i32::from(rejected)), "{page}: {command}: {run:?}");
                assert!(!run.err.contains("tracewell:"), "{page}: {command}: {run:?}");
                verdicts.push(rejected);
                printed += &run.out;
                ran += 1;
            }
            let was = format!("```text\n{shown}```\n");
            let from = rewritten[done..].find(&was).map(|at| at + done).expect("the block");
            let now = format!("```text\n{printed}```\n");
            rewritten.replace_range(from..from + was.len(), &now);
            done = from + now.len();
            if printed != shown && !update {
                wrong += &format!("{page}: shown\n{shown}but printed is\n{printed}");
            }
        }
        if rewritten != text && update {
            std::fs::write(&page, rewritten).expect("the page is written");
        }
        // Wrong ones first, then mended.
        assert!(readme || (verdicts.contains(&true) && verdicts.contains(&false)), "{page}: {verdicts:?}");
    }
    assert!(wrong.is_empty(), "UPDATE_EXPECT=1 rewrites the pages\n{wrong}");
    assert!(ran >= 50, "{ran} commands");
}

#[test]
fn the_verifiers_course_shows_what_is_printed() {
    the_verifiers_course();
}

/// The same on the kernels of the guests, which the commands are run on without `--kernel`.
#[test]
fn guest_the_verifiers_course_shows_what_is_printed() {
    the_verifiers_course();
}

/// Machine code is another one on each kernel and processor: the commands run and print something.
#[test]
fn root_the_course_of_machine_code_runs() {
    if !root("root_the_course_of_machine_code_runs") {
        return;
    }
    let place = scratch("jit-course");
    let mut ran = 0;
    for (page, text) in course("docs/jit", 4) {
        for command in commands(&text) {
            let run = shell(&command, &place);
            assert_eq!(run.status, Some(0), "{page}: {command}: {run:?}");
            assert!(!run.out.is_empty() && !run.err.contains("tracewell:"), "{page}: {command}: {run:?}");
            ran += 1;
        }
    }
    assert!(ran >= 10, "{ran} commands");
}

#[test]
fn root_documented_commands_run() {
    if !tracepoints("root_documented_commands_run") {
        return;
    }
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
        ("docs/step.md", 3),
    ];
    for (page, least) in pages {
        let text = std::fs::read_to_string(workspace().join(page)).expect("the page");
        let commands = commands(&text);
        assert!(commands.len() >= least, "{page} has {} commands", commands.len());
        for command in commands {
            let run = shell(&command, &place);
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

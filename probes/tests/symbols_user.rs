//! Addresses of running, exited, deleted and JIT-compiling programs.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use tracewell_probes::Error;
use tracewell_probes::symbols::{Tracker, UserSymbols};
use tracewell_probes::user::elf::find_function;
use tracewell_probes::user::{Process, resolve_library};

/// Prints the address of a function of its own and of one of the C library, then waits for a line.
const SOURCE: &str = r#"
#include <stdio.h>
#include <stdlib.h>
__attribute__((noinline)) int known_function(int x) { return x * 3 + 1; }
int main(void) {
    char line[64];
    printf("%lx %lx\n", (unsigned long)&known_function, (unsigned long)&qsort);
    fflush(stdout);
    return fgets(line, sizeof line, stdin) ? known_function(0) - 1 : 0;
}
"#;

struct Folder(PathBuf);

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

impl Folder {
    fn new(name: &str) -> Folder {
        let path = std::env::temp_dir().join(format!("tracewell-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).expect("a folder for the test");
        Folder(path)
    }

    /// Compiles the program; `None`, with a line that says so, when there is no C compiler.
    fn compile(&self, test: &str, flags: &[&str]) -> Option<PathBuf> {
        let source = self.0.join("sample.c");
        std::fs::write(&source, SOURCE).expect("a file of the test");
        let program = self.0.join("sample");
        let cc = Command::new("cc").args(flags).arg("-O1").arg("-o").arg(&program).arg(&source).status();
        match cc {
            Ok(status) if status.success() => Some(program),
            Ok(status) => {
                eprintln!("SKIP {test}: cc {flags:?} ended with {status}");
                None
            }
            Err(e) => {
                eprintln!("SKIP {test}: no C compiler (cc): {e}");
                None
            }
        }
    }
}

/// The program with the two addresses that it printed; killed at the end.
struct Running(Child, Vec<u64>);

impl Running {
    fn start(program: &Path) -> Running {
        let command = Command::new(program).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
        let mut running = Running(command.expect("the compiled program runs"), Vec::new());
        let mut line = String::new();
        let out = running.0.stdout.take().expect("piped");
        BufReader::new(out).read_line(&mut line).expect("it prints a line");
        running.1 =
            line.split_whitespace().map(|a| u64::from_str_radix(a, 16).expect("an address")).collect();
        running
    }
    fn pid(&self) -> u32 {
        self.0.id()
    }
    fn finish(&mut self) {
        let _ = self.0.stdin.take().expect("piped").write_all(b"\n");
        let _ = self.0.wait();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn name(symbols: &mut UserSymbols, pid: u32, addr: u64) -> String {
    let frame = symbols.resolve(pid, addr);
    let module = frame.module.as_deref().unwrap_or("-");
    let module = module.rsplit('/').next().unwrap_or(module);
    format!("{}+{:#x} [{module}]", frame.name_or_unknown(), frame.offset)
}

fn check_program(symbols: &mut UserSymbols, running: &Running) {
    let [own, libc] = running.1[..] else { panic!("two addresses") };
    assert!(name(symbols, running.pid(), own + 2).starts_with("known_function+0x2 [sample"));
    let qsort = name(symbols, running.pid(), libc);
    assert!(qsort.starts_with("qsort+0x0 ["), "{qsort}");
    let main = symbols.resolve(running.pid(), 0x10);
    assert_eq!((main.name, main.module), (None, None));
}

#[test]
fn position_independent_and_fixed_programs() {
    for (flags, kind) in [(["-pie", "-fPIE"], "pie"), (["-no-pie", "-fPIC"], "fixed")] {
        let folder = Folder::new(kind);
        let Some(program) = folder.compile("position_independent_and_fixed_programs", &flags) else { return };
        let running = Running::start(&program);
        check_program(&mut UserSymbols::new(), &running);
    }
}

#[test]
fn one_table_for_many_processes() {
    let folder = Folder::new("many");
    let Some(program) = folder.compile("one_table_for_many_processes", &[]) else { return };
    let mut symbols = UserSymbols::new();
    let all: Vec<_> = (0..5).map(|_| Running::start(&program)).collect();
    check_program(&mut symbols, &all[0]);
    let files = symbols.files();
    all.iter().for_each(|r| check_program(&mut symbols, r));
    assert_eq!(symbols.files(), files);
}

#[test]
fn exited_process_that_was_remembered() {
    let folder = Folder::new("exited");
    let Some(program) = folder.compile("exited_process_that_was_remembered", &[]) else { return };
    let mut running = Running::start(&program);
    let mut symbols = UserSymbols::new();
    symbols.remember(running.pid()).expect("our own child");
    running.finish();
    std::fs::remove_file(&program).expect("was compiled");
    check_program(&mut symbols, &running);
}

#[test]
fn unknown_process() {
    let frame = UserSymbols::new().resolve(4_194_305, 0x1000).name_or_unknown().to_string();
    assert_eq!(frame, "[unknown]");
}

/// `/proc/PID/map_files` needs privileges; `/proc/PID/exe` does not.
#[test]
fn deleted_program() {
    let folder = Folder::new("deleted");
    let Some(program) = folder.compile("deleted_program", &[]) else { return };
    let running = Running::start(&program);
    std::fs::remove_file(&program).expect("was compiled");
    check_program(&mut UserSymbols::new(), &running);
}

#[test]
fn names_of_a_stripped_program_come_from_its_debug_file() {
    let test = "names_of_a_stripped_program_come_from_its_debug_file";
    let folder = Folder::new("link");
    let Some(program) = folder.compile(test, &[]) else { return };
    let debug = folder.0.join("sample.debug");
    let run = |tool: &str, args: &[&std::ffi::OsStr]| {
        Command::new(tool).args(args).status().is_ok_and(|s| s.success())
    };
    let link = format!("--add-gnu-debuglink={}", debug.display());
    let done = run("objcopy", &["--only-keep-debug".as_ref(), program.as_ref(), debug.as_ref()])
        && run("strip", &[program.as_ref()])
        && run("objcopy", &[link.as_ref(), program.as_ref()]);
    if !done {
        eprintln!("SKIP {test}: objcopy or strip (binutils) is not installed");
        return;
    }
    assert!(find_function(&program, "known_function", 1).is_ok());
    let running = Running::start(&program);
    check_program(&mut UserSymbols::new(), &running);
    std::fs::remove_file(&debug).expect("was made");
    let error = find_function(&program, "known_function", 0).expect_err("no symbols are left").to_string();
    assert!(error.contains("stripped"), "{error}");
}

#[test]
fn jit_code_by_its_perf_map() {
    let folder = Folder::new("jit");
    let Some(program) = folder.compile("jit_code_by_its_perf_map", &[]) else { return };
    let running = Running::start(&program);
    let map = PathBuf::from(format!("/tmp/perf-{}.map", running.pid()));
    std::fs::write(&map, "100000 40 Lfoo;bar\n").expect("/tmp is writable");
    let mut symbols = UserSymbols::new();
    let found = name(&mut symbols, running.pid(), 0x100010);
    std::fs::remove_file(&map).expect("was written");
    assert_eq!(found, "Lfoo;bar+0x10 [[perf map]]");
}

#[test]
fn the_vdso_has_names() {
    let me = std::process::id();
    let maps = std::fs::read_to_string("/proc/self/maps").expect("readable");
    let Some(line) = maps.lines().find(|l| l.ends_with("[vdso]")) else {
        eprintln!("SKIP the_vdso_has_names: this kernel maps no vDSO");
        return;
    };
    let start = u64::from_str_radix(line.split('-').next().expect("has one"), 16).expect("hexadecimal");
    let mut symbols = UserSymbols::new();
    let names: Vec<String> = (0..0x2000).step_by(8).map(|o| name(&mut symbols, me, start + o)).collect();
    assert!(
        names.iter().any(|n| n.contains("clock_gettime") && n.ends_with("[[vdso]]")),
        "{:?}",
        &names[..4]
    );
}

#[test]
fn our_own_rust_names() {
    let mut symbols = UserSymbols::new();
    let frame = name(&mut symbols, std::process::id(), our_own_rust_names as *const () as u64);
    assert!(frame.starts_with("symbols_user::our_own_rust_names"), "{frame}");
}

/// The child is started after the tracker, and has exited and lost its file before it is asked for.
#[test]
fn root_tracker_remembers_processes_that_exited() {
    let test = "root_tracker_remembers_processes_that_exited";
    let folder = Folder::new("tracker");
    let Some(program) = folder.compile(test, &[]) else { return };
    let mut tracker = match Tracker::start(Some(std::process::id())) {
        Ok(tracker) => tracker,
        Err(Error::Sys(e)) => {
            eprintln!("SKIP {test}: {e}");
            return;
        }
        Err(e) => panic!("{e}"),
    };
    let mut symbols = UserSymbols::new();
    let mut running = Running::start(&program);
    tracker.poll(&mut symbols).expect("sound records");
    running.finish();
    std::fs::remove_file(&program).expect("was compiled");
    tracker.poll(&mut symbols).expect("sound records");
    assert_eq!(tracker.lost(), 0);
    check_program(&mut symbols, &running);

    // And one that lived and died between two polls: found by its path.
    let Some(program) = folder.compile(test, &[]) else { return };
    let mut second = Running::start(&program);
    second.finish();
    tracker.poll(&mut symbols).expect("sound records");
    check_program(&mut symbols, &second);

    // Only so many are remembered, and what was forgotten is counted.
    symbols.set_exited_limit(1);
    // (The compiler's processes exited between the two.)
    assert!(symbols.forgotten() >= 1);
    assert!(symbols.view(running.pid()).is_none() && symbols.view(second.pid()).is_some());
}

/// The program lies on a mount that only its own mount namespace has.
#[test]
fn root_program_in_another_mount_namespace() {
    let test = "root_program_in_another_mount_namespace";
    let folder = Folder::new("mntns");
    let Some(program) = folder.compile(test, &[]) else { return };
    let hidden = folder.0.join("hidden");
    std::fs::create_dir(&hidden).expect("a folder");
    let script = format!(
        "mount -t tmpfs none {0} && cp {1} {0}/inner && exec {0}/inner",
        hidden.display(),
        program.display()
    );
    let child = Command::new("unshare")
        .args(["-m", "sh", "-c", &script])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn();
    let Ok(child) = child else {
        eprintln!("SKIP {test}: unshare (util-linux) is not installed");
        return;
    };
    let mut running = Running(child, Vec::new());
    let mut line = String::new();
    let out = running.0.stdout.take().expect("piped");
    BufReader::new(out).read_line(&mut line).expect("readable");
    running.1 = line.split_whitespace().filter_map(|a| u64::from_str_radix(a, 16).ok()).collect();
    if running.1.len() != 2 {
        eprintln!("SKIP {test}: no privilege to make a mount namespace (CAP_SYS_ADMIN)");
        return;
    }
    let inner = hidden.join("inner");
    assert!(!inner.exists());
    let mut symbols = UserSymbols::new();
    let frame = symbols.resolve(running.pid(), running.1[0]);
    assert_eq!((frame.name_or_unknown(), frame.module.as_deref()), ("known_function", inner.to_str()));

    let process = Process::open(running.pid()).expect("it runs");
    let binary =
        resolve_library(inner.to_str().expect("UTF-8"), Some(&process)).expect("there for the process");
    assert!(binary.path.starts_with(format!("/proc/{}/root", running.pid())));
    assert!(binary.function("known_function", 0).expect("has symbols").size > 0);
    let libc = resolve_library("c", Some(&process)).expect("mapped");
    assert!(libc.open().is_ok());
    assert!(resolve_library(inner.to_str().expect("UTF-8"), None).is_err());
}

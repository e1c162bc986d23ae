//! The own objects of `tests/bpf` through the command: `tracewell prog load FILE --check`, pinning, running, streaming.
#![forbid(unsafe_code)]

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;
use tracewell_tests::object_bytes;
use tracewell_tests::support::{Output, Tracer, Workload, is_root, kernel_version, tracewell};

/// A file that is gone when the test is over.
struct Temporary(PathBuf);

impl Temporary {
    fn new(name: &str, bytes: &[u8]) -> Self {
        let path = std::env::temp_dir().join(format!("tracewell-{}-{name}.o", std::process::id()));
        fs::write(&path, bytes).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        Self(path)
    }

    fn path(&self) -> &str {
        self.0.to_str().expect("names in tests are plain")
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        // Gone already is as well.
        let _ = fs::remove_file(&self.0);
    }
}

fn check(name: &str, bytes: &[u8], more: &[&str]) -> Output {
    let file = Temporary::new(name, bytes);
    let mut args = vec!["prog", "load", file.path(), "--check"];
    args.extend(more);
    tracewell(&args)
}

/// Objects of which every program loads, since when.
const LOAD: &[(&str, &[u8], (u32, u32))] = &[
    ("globals", object_bytes!("globals"), (5, 10)),
    ("subprograms", object_bytes!("subprograms"), (5, 10)),
    ("inner", object_bytes!("inner"), (5, 10)),
    ("legacy", object_bytes!("legacy"), (5, 10)),
    ("nobtf", object_bytes!("nobtf"), (5, 10)),
    ("linked", object_bytes!("linked"), (5, 10)),
    ("spin_lock", object_bytes!("spin_lock"), (5, 10)),
    ("rings", object_bytes!("rings"), (5, 10)),
    ("bench", object_bytes!("bench"), (5, 10)),
    ("callbacks", object_bytes!("callbacks"), (5, 17)),
    ("timer", object_bytes!("timer"), (5, 15)),
    ("cpu_v4", object_bytes!("cpu_v4"), (6, 6)),
];

#[test]
fn root_command_check_loads_everything_and_leaves_nothing() {
    if !is_root("root_command_check_loads_everything_and_leaves_nothing") {
        return;
    }
    for (name, bytes, since) in LOAD {
        let output = check(name, bytes, &["--json"]);
        let loads = kernel_version() >= *since;
        assert_eq!(
            output.status.code(),
            Some(i32::from(!loads)),
            "{name}: {}\n{}",
            output.stdout,
            output.stderr
        );
        let Ok(report) = serde_json::from_str::<Value>(&output.stdout) else {
            assert!(!loads, "{name}: {}", output.stdout);
            continue;
        };
        let all = report["programs"].as_array().map_or(0, Vec::len);
        assert!(all > 0, "{name}: {report}");
        assert_eq!(loads, report["loaded"] == all, "{name}: {report}");
    }
    let left = tracewell(&["prog", "list"]).success();
    assert!(!left.stdout.contains("program_20"), "{}", left.stdout);
}

#[test]
fn root_command_check_says_why_a_program_does_not_load() {
    if !is_root("root_command_check_says_why_a_program_does_not_load") {
        return;
    }
    let output = check("refused", object_bytes!("refused"), &[]);
    assert_eq!(output.status.code(), Some(1), "{}", output.stderr);
    for words in [
        "not_checked_for_null (socket): does not load",
        "refused.bpf.c",
        "return *value",
        "0 of 7 programs load",
    ] {
        assert!(output.stdout.contains(words), "without {words:?}:\n{}", output.stdout);
    }
}

/// Types from a file instead of the kernel's.
#[test]
fn root_command_relocates_against_a_file() {
    if !is_root("root_command_relocates_against_a_file") {
        return;
    }
    let target = Temporary::new("core_target", object_bytes!("core_target"));
    let output = check("core", object_bytes!("core"), &["--btf", target.path()]);
    assert_eq!(output.status.code(), Some(0), "{}\n{}", output.stdout, output.stderr);
    // The kernel has no such types.
    let output = check("core", object_bytes!("core"), &[]);
    assert_eq!(output.status.code(), Some(1), "{}\n{}", output.stdout, output.stderr);
    assert!(output.stdout.contains("struct moved"), "{}", output.stdout);
    let output = check("core_poison", object_bytes!("core_poison"), &["--btf", target.path()]);
    assert_eq!(output.status.code(), Some(1), "{}\n{}", output.stdout, output.stderr);
    assert!(
        output.stdout.contains("gone") && output.stdout.contains("2 of 8 programs load"),
        "{}",
        output.stdout
    );
}

#[test]
fn root_command_pins_shows_and_runs() {
    if !is_root("root_command_pins_shows_and_runs") {
        return;
    }
    let file = Temporary::new("cpu", object_bytes!("cpu"));
    let pin = format!("/sys/fs/bpf/tracewell-cpu-{}", std::process::id());
    tracewell(&["prog", "load", file.path(), &pin]).success();
    let dump = tracewell(&["prog", "dump", "xlated", "pinned", &pin]);
    let packet = Temporary::new("packet", &[0; 64]);
    let run = tracewell(&["prog", "run", "pinned", &pin, "data_in", packet.path()]);
    fs::remove_file(&pin).expect("the command pinned it");
    let dump = dump.success().stdout;
    // C lines stand between the instructions.
    assert!(dump.contains("; ") && dump.contains("number") && dump.contains("exit"), "{dump}");
    let run = run.success().stdout;
    assert!(run.contains("Return value: 9"), "{run}");
    assert!(!Path::new(&pin).exists());
}

#[test]
fn root_command_streams_records() {
    if !is_root("root_command_streams_records") {
        return;
    }
    // The variable is set in the file: the command loads files as they are.
    let mut workload = Workload::start(&["--mode", "chain", "--calls", "10"]);
    let mut bytes = object_bytes!("rings").to_vec();
    set_rodata(&mut bytes, workload.pid());
    let file = Temporary::new("rings", &bytes);
    let tracer =
        Tracer::start(&["prog", "load", file.path(), "--autoattach", "--record", "ring=struct record"]);
    workload.go();
    let output = tracer.finish().success();
    let seen = output.stdout.lines().filter(|l| l.contains("workload") && l.contains("sequence")).count();
    assert!(seen >= 10, "{}\n{}", output.stdout, output.stderr);
    workload.run_out();
}

/// Writes the first variable of `.rodata`, by the table of sections.
fn set_rodata(elf: &mut [u8], value: u32) {
    let word = |elf: &[u8], at: usize| u64::from_le_bytes(elf[at..at + 8].try_into().unwrap()) as usize;
    let (table, count) = (word(elf, 40), usize::from(u16::from_le_bytes([elf[60], elf[61]])));
    let strings = word(elf, table + 64 * usize::from(u16::from_le_bytes([elf[62], elf[63]])) + 24);
    for header in (0..count).map(|i| table + 64 * i) {
        let name = strings + u32::from_le_bytes(elf[header..header + 4].try_into().unwrap()) as usize;
        if elf[name..].starts_with(b".rodata\0") {
            let data = word(elf, header + 24);
            elf[data..data + 4].copy_from_slice(&value.to_le_bytes());
            return;
        }
    }
    panic!("the object has no .rodata");
}

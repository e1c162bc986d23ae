//! Objects, pins and bpftool, for the tests of `prog`, `map` and `link`.

#![allow(dead_code)]
use super::common::{Run, root, scratch, tracewell};
use std::path::PathBuf;
use std::process::{Command, Stdio};

/// `tests/bpf/rings.bpf.c`: records through a ring buffer and a perf event array, of the process `wanted`.
pub const RINGS: &[u8] = include_bytes!("../../../tests/bpf/obj/rings.o");
/// `tests/bpf/typed.bpf.c`: maps with types of keys and values, and a socket filter.
pub const TYPED: &[u8] = include_bytes!("../../../tests/bpf/obj/typed.o");
/// `tests/bpf/subprograms.bpf.c`: two socket filters that call functions.
pub const SUBPROGRAMS: &[u8] = include_bytes!("../../../tests/bpf/obj/subprograms.o");
/// `tests/bpf/globals.bpf.c`: variables in all sections.
pub const GLOBALS: &[u8] = include_bytes!("../../../tests/bpf/obj/globals.o");
/// `tests/bpf/refused.bpf.c`: seven programs that no kernel takes.
pub const REFUSED: &[u8] = include_bytes!("../../../tests/bpf/obj/refused.o");

/// An object as a file, and a directory of a BPF file system, both gone with the test.
pub struct Place {
    dir: PathBuf,
    pins: PathBuf,
}

impl Place {
    /// `None`, with a line on standard error, where this test cannot run: without root or a BPF file system.
    pub fn new(test: &str) -> Option<Place> {
        if !root(test) {
            return None;
        }
        let bpffs = PathBuf::from("/sys/fs/bpf");
        let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap_or_default();
        if !mounts.lines().any(|line| line.contains(" /sys/fs/bpf bpf ")) {
            eprintln!("SKIP {test}: no BPF file system is mounted at /sys/fs/bpf");
            return None;
        }
        let pins = bpffs.join(format!("tw_{test}_{}", std::process::id()));
        std::fs::create_dir_all(&pins).expect("a directory for pins");
        Some(Place { dir: scratch(test), pins })
    }

    /// Writes an object file and gives its path.
    pub fn object(&self, name: &str, bytes: &[u8]) -> String {
        let path = self.dir.join(name);
        std::fs::write(&path, bytes).expect("an object file");
        path.display().to_string()
    }

    /// The path of a pin.
    pub fn pin(&self, name: &str) -> String {
        self.pins.join(name).display().to_string()
    }

    /// The directory of the object files.
    pub fn dir(&self) -> &std::path::Path {
        &self.dir
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.pins);
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}

/// Runs it and asserts that it ends well.
#[track_caller]
pub fn good(args: &[&str]) -> Run {
    let run = tracewell(args);
    assert_eq!(run.status, Some(0), "{args:?}: {run:?}");
    run
}

/// Runs it with JSON and parses that.
#[track_caller]
pub fn json(args: &[&str]) -> serde_json::Value {
    let mut all = vec!["-j"];
    all.extend(args);
    let run = good(&all);
    serde_json::from_str(&run.out).unwrap_or_else(|e| panic!("{args:?}: {e}: {run:?}"))
}

/// What bpftool prints; `None` where there is no bpftool.
pub fn bpftool(args: &[&str]) -> Option<String> {
    let out = Command::new("bpftool").args(args).stdin(Stdio::null()).output().ok()?;
    let run = Run::from(out);
    assert_eq!(run.status, Some(0), "bpftool {args:?}: {run:?}");
    Some(run.out)
}

/// Asserts that bpftool, where there is one, gives the same JSON.
#[track_caller]
pub fn same_json(args: &[&str]) {
    let mut all = vec!["-j"];
    all.extend(args);
    if let Some(theirs) = bpftool(&all) {
        let theirs: serde_json::Value = serde_json::from_str(&theirs).expect("bpftool's JSON");
        assert_eq!(json(args), theirs, "{args:?}");
    }
}

/// Asserts that bpftool, where there is one, gives the same text, but for space at the ends of lines.
#[track_caller]
pub fn same_text(args: &[&str]) {
    let lines = |text: &str| text.lines().map(|l| l.trim_end().to_string()).collect::<Vec<_>>();
    if let Some(theirs) = bpftool(args) {
        assert_eq!(lines(&good(args).out), lines(&theirs), "{args:?}");
    }
}

/// The id of the one object that a command shows.
#[track_caller]
pub fn id(args: &[&str]) -> String {
    json(args)["id"].as_u64().expect("an id").to_string()
}

//! What the tests on a running kernel share.
#![allow(dead_code, reason = "each test file uses its part")]

use std::path::PathBuf;

use tracewell_bpf_sys::map::MapCreate;

/// Why this process cannot use bpf(2); `None` where it can.
pub fn no_bpf() -> Option<String> {
    if let Err(e) = tracewell_bpf_sys::memlock::ensure() {
        return Some(e.to_string());
    }
    let map = MapCreate { key_size: 4, value_size: 4, max_entries: 1, ..MapCreate::default() }.create();
    map.err().map(|e| e.to_string())
}

/// Leaves the test with a line on stderr where bpf(2) is not to be had.
#[macro_export]
macro_rules! skip_unless_bpf {
    ($name:literal) => {
        if let Some(reason) = common::no_bpf() {
            eprintln!("SKIP {}: {reason}", $name);
            return;
        }
    };
}

/// A mounted BPF file system; without one, a line on stderr.
pub fn bpffs(test: &str) -> Option<PathBuf> {
    let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    let found = mounts.lines().find_map(|line| {
        let mut fields = line.split(' ').skip(1);
        let path = fields.next()?;
        (fields.next()? == "bpf").then(|| PathBuf::from(path))
    });
    if found.is_none() {
        eprintln!("SKIP {test}: the part about pins, as no BPF file system is mounted");
    }
    found
}

/// Waits for what the kernel does a little later, at most five seconds.
pub fn soon(what: &str, done: impl Fn() -> bool) {
    for _ in 0..500 {
        if done() {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    panic!("not within five seconds: {what}");
}

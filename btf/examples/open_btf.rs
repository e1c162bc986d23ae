//! What opening a kernel's types costs: `cargo run --release -p tracewell-btf --example open_btf [FILE]`.
//!
//! Prints the time to map or read the file, to open it, to build the table of names and to find a type, and the private
//! memory that all of this took. With `--repeat N` it does so N times over and prints the smallest and the median time.
#![forbid(unsafe_code)]

use std::hint::black_box;
use std::time::{Duration, Instant};

use bpf_sys::btf_obj::BtfFile;
use btf::{Btf, Kind};

/// Memory of this process that nobody shares, in KiB; 0 where the kernel does not tell.
fn private_kib() -> u64 {
    let text = std::fs::read_to_string("/proc/self/smaps_rollup").unwrap_or_default();
    let private = text.lines().filter(|line| line.starts_with("Private_"));
    private.filter_map(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok()).sum()
}

struct Times {
    bytes: Duration,
    open: Duration,
    index: Duration,
    find: Duration,
}

fn once(path: &str) -> Result<(Times, u64, String), Box<dyn std::error::Error>> {
    let before = private_kib();
    let start = Instant::now();
    let file = BtfFile::open(path)?;
    let bytes = start.elapsed();
    let btf = Btf::parse(&file)?;
    let open = start.elapsed() - bytes;
    btf.index_names();
    let index = start.elapsed() - bytes - open;
    let memory = private_kib().saturating_sub(before);
    // Names from all over the table, each asked for with its kind.
    let step = (btf.next_id() as usize / 1000).max(1);
    let names: Vec<(&str, Kind)> = btf
        .types()
        .step_by(step)
        .map(|(_, ty)| (ty.name(), ty.kind()))
        .filter(|(name, _)| !name.is_empty())
        .collect();
    let start = Instant::now();
    for (name, kind) in &names {
        black_box(btf.find(name, *kind)).ok_or("a name was not found")?;
    }
    let find = start.elapsed() / u32::try_from(names.len().max(1))?;
    let what = format!(
        "{} bytes ({}), {} types, {} of them looked up",
        file.len(),
        if file.is_mapped() { "mapped" } else { "read" },
        btf.next_id() - 1,
        names.len()
    );
    Ok((Times { bytes, open, index, find }, memory, what))
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut path = "/sys/kernel/btf/vmlinux".to_owned();
    let mut repeat = 1;
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--repeat" => repeat = args.next().ok_or("--repeat needs a number")?.parse::<usize>()?.max(1),
            _ => path = arg,
        }
    }
    let (first, memory, what) = once(&path)?;
    println!("{path}: {what}; {memory} KiB of private memory");
    let mut all = vec![first];
    for _ in 1..repeat {
        all.push(once(&path)?.0);
    }
    let line = |name: &str, of: fn(&Times) -> Duration| {
        let mut times: Vec<_> = all.iter().map(of).collect();
        times.sort_unstable();
        println!("{name:<28} least {:>10.2?}  median {:>10.2?}", times[0], times[times.len() / 2]);
    };
    line("map or read", |t| t.bytes);
    line("open", |t| t.open);
    line("table of names", |t| t.index);
    line("all three", |t| t.bytes + t.open + t.index);
    line("find by name", |t| t.find);
    Ok(())
}

//! Our side of the benches `btf` and `load`, in a process of its own for each round; `tests/libbpf/bench.c` prints the
//! same figures.

use std::fs;
use std::hint::black_box;
use std::time::Instant;

use bpf_sys::btf_obj::BtfFile;
use btf::{Btf, Kind};
use loader::{LoadOptions, Loader, Object, Target};

/// How often each name is looked for.
const ROUNDS: u32 = 200;

const NAMES: [&str; 10] = [
    "task_struct",
    "file",
    "sock",
    "sk_buff",
    "inode",
    "dentry",
    "mm_struct",
    "super_block",
    "net_device",
    "bpf_prog",
];

/// Prints the figures of one section.
pub fn print(args: &[String]) -> Result<(), String> {
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    match args.as_slice() {
        ["btf"] => types(),
        ["relocate", path] => relocate(path),
        ["load", path] => load(path),
        _ => Err("usage: bench figures btf|relocate OBJECT|load OBJECT".to_owned()),
    }
}

/// Memory that is only this process's, KiB.
fn private_kib() -> f64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:"));
    line.and_then(|l| l.trim().split(' ').next()?.parse().ok()).unwrap_or(f64::NAN)
}

fn types() -> Result<(), String> {
    let before = private_kib();
    let start = Instant::now();
    let file = BtfFile::open("/sys/kernel/btf/vmlinux").map_err(|e| e.to_string())?;
    let types = Btf::parse(&file).map_err(|e| e.to_string())?;
    black_box(types.find(NAMES[0], Kind::Struct));
    let opened = start.elapsed();
    let memory = private_kib() - before;
    let start = Instant::now();
    for _ in 0..ROUNDS {
        for name in NAMES {
            black_box(types.find(black_box(name), Kind::Struct)).ok_or(name)?;
        }
    }
    let each = start.elapsed() / ROUNDS / 10;
    println!("figure open {}", opened.as_secs_f64() * 1e3);
    println!("figure memory {memory}");
    println!("figure find {}", each.as_secs_f64() * 1e9);
    Ok(())
}

/// Reading the object, opening the kernel's types, relocating against them; then relocating once more, alone.
fn relocate(path: &str) -> Result<(), String> {
    let bytes = fs::read(path).map_err(|e| format!("{path}: {e}"))?;
    let start = Instant::now();
    let object = Object::parse("bench", &bytes).map_err(|e| e.to_string())?;
    let target = Target::running().map_err(|e| e.to_string())?;
    let relocated = object.relocate(&target).map_err(|e| e.to_string())?;
    println!("figure relocate {}", start.elapsed().as_secs_f64() * 1e3);
    black_box(relocated);
    let start = Instant::now();
    let relocated = object.relocate(&target).map_err(|e| e.to_string())?;
    println!("figure relocate-again {}", start.elapsed().as_secs_f64() * 1e3);
    black_box(relocated);
    Ok(())
}

fn load(path: &str) -> Result<(), String> {
    let bytes = fs::read(path).map_err(|e| format!("{path}: {e}"))?;
    let start = Instant::now();
    let object = Object::parse("bench", &bytes).map_err(|e| e.to_string())?;
    let target = Target::running().map_err(|e| e.to_string())?;
    let loaded = Loader::new(&target, LoadOptions::default()).load(&object).map_err(|e| e.to_string())?;
    println!("figure load {}", start.elapsed().as_secs_f64() * 1e3);
    black_box(loaded);
    Ok(())
}

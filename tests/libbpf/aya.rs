//! aya-obj's side of the bench `btf`: tests/bench builds this in a crate of its own, in the cache.

use std::time::Instant;

use aya_obj::btf::{Btf, BtfKind};

const NAMES: [&str; 10] = [
    "task_struct", "file", "sock", "sk_buff", "inode", "dentry", "mm_struct", "super_block", "net_device", "bpf_prog",
];

fn private_kib() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).unwrap();
    line.trim().split(' ').next().unwrap().parse().unwrap()
}

fn main() {
    let before = private_kib();
    let start = Instant::now();
    let types = Btf::from_sys_fs().unwrap();
    types.id_by_type_name_kind(NAMES[0], BtfKind::Struct).unwrap();
    println!("figure open {}", start.elapsed().as_secs_f64() * 1e3);
    println!("figure memory {}", private_kib() - before);
    // It looks through all types each time: a few rounds are enough.
    let start = Instant::now();
    for _ in 0..5 {
        for name in NAMES {
            std::hint::black_box(types.id_by_type_name_kind(name, BtfKind::Struct).unwrap());
        }
    }
    println!("figure find {}", start.elapsed().as_secs_f64() * 1e9 / 50.0);
}

//! Deduplicates BTF: `cargo run --release -p tracewell-btf --example dedup_btf [FILE]`.
//!
//! Does so to the file's types, and to the same types put one after the other twice; prints counts and times, and what in
//! the file could be made one. The kernel's types come deduplicated from the tool that makes them.
#![forbid(unsafe_code)]

use std::time::Instant;

use bpf_sys::btf_obj::BtfFile;
use btf::{Btf, Builder};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let path = std::env::args().nth(1).unwrap_or_else(|| "/sys/kernel/btf/vmlinux".to_owned());
    let file = BtfFile::open(&path)?;
    let btf = Btf::parse(&file)?;
    let mut once = Builder::from_btf(&btf);
    let mut twice = Builder::from_btf(&btf);
    twice.append(&btf)?;
    println!("{path}: {} types, {} bytes", once.len(), file.len());
    for (what, builder) in [("once", &mut once), ("twice", &mut twice)] {
        let before = builder.len();
        let start = Instant::now();
        let ids = builder.dedup();
        println!("{what}: {before} -> {} types in {:.0?}", builder.len(), start.elapsed());
        println!("{what}: {} bytes", builder.finish().len());
        if what == "once" {
            let mut seen = vec![None; ids.len()];
            for ((id, ty), new) in btf.types().zip(ids.iter().skip(1)) {
                match seen.get_mut(new.0 as usize) {
                    Some(first @ None) => *first = Some(id),
                    Some(Some(first)) => println!("  {} is {}: {ty:?}", id.0, first.0),
                    None => return Err("an id that is too large".into()),
                }
            }
        }
    }
    Ok(())
}

//! Deduplicates BTF: `cargo run --release -p tracewell-btf --example dedup_btf [FILE...]`.
//!
//! Puts the types of all files one after the other and makes one of those that say the same; of one file alone it prints
//! what was there twice. The kernel's types come deduplicated from the tool that makes them.
#![forbid(unsafe_code)]

use std::io::Write;
use std::time::Instant;

use bpf_sys::btf_obj::BtfFile;
use btf::{Btf, Builder};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut paths: Vec<String> = std::env::args().skip(1).collect();
    if paths.is_empty() {
        paths.push("/sys/kernel/btf/vmlinux".to_owned());
    }
    let mut out = std::io::stdout().lock();
    let mut all: Option<Builder> = None;
    for path in &paths {
        let file = BtfFile::open(path)?;
        let btf = Btf::parse(&file)?;
        writeln!(out, "{path}: {} types, {} bytes", btf.next_id() - 1, file.len())?;
        all.get_or_insert_with(|| Builder::new(btf.endian())).append(&btf)?;
    }
    let Some(mut all) = all else { return Ok(()) };
    let before = all.finish();
    let start = Instant::now();
    let ids = all.dedup();
    let time = start.elapsed();
    let bytes = all.finish().len();
    writeln!(out, "{} types -> {} types, {bytes} bytes, in {time:.0?}", ids.len() - 1, all.len())?;
    if paths.len() == 1 {
        let btf = Btf::parse(&before)?;
        let mut seen = vec![None; ids.len()];
        for ((id, ty), new) in btf.types().zip(ids.iter().skip(1)) {
            match seen.get_mut(new.0 as usize) {
                Some(first @ None) => *first = Some(id),
                Some(Some(first)) => writeln!(out, "  {} is {}: {ty:?}", id.0, first.0)?,
                None => return Err("an id that is too large".into()),
            }
        }
    }
    Ok(())
}

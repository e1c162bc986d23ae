//! How long it takes to read counters that BPF programs keep in a mapped array: 40,000 of them, one row a processor.
//!
//! `cargo run --release -p tracewell-bpf-sys --example read_counters` (needs the right to create maps).

use std::time::Instant;

use tracewell_bpf_sys::cpus;
use tracewell_bpf_sys::map::{MapCreate, MapFlags, MapType};
use tracewell_bpf_sys::mapped::{Access, MappedArray};

const COUNTERS: usize = 40_000;
const READINGS: usize = 101;

fn main() -> tracewell_bpf_sys::Result<()> {
    let rows = cpus::possible()?.limit() as usize;
    let map = MapCreate {
        map_type: MapType::Array,
        key_size: 4,
        value_size: 8,
        max_entries: (rows * COUNTERS) as u32,
        flags: MapFlags::MMAPABLE,
        name: "tw_example",
        ..MapCreate::default()
    }
    .create()?;
    let memory = MappedArray::whole(&map, Access::Writable)?;
    for index in 0..rows * COUNTERS {
        memory.store_u64(index, 1);
    }
    let mut totals = vec![0; COUNTERS];
    let mut times = Vec::with_capacity(READINGS);
    for _ in 0..READINGS {
        totals.fill(0);
        let start = Instant::now();
        assert!(memory.sum_rows(0, COUNTERS, rows, &mut totals));
        times.push(start.elapsed());
    }
    assert!(totals.iter().all(|&total| total == rows as u64));
    times.sort_unstable();
    println!(
        "{COUNTERS} counters of {rows} processors: median {:?}, slowest {:?}",
        times[READINGS / 2],
        times[READINGS - 1]
    );
    Ok(())
}

//! A stream of events through a ring buffer: every process that ends.
//!
//! Only the loader is needed: a raw tracepoint is attached by a link, and its name is in the section's name.
//!
//! ```console
//! # cargo run -p tracewell-loader --example exits
//!     pid  program
//!    4711  ls
//! ```
//!
//! `exits [LINES]` ends after so many lines.

use std::time::Duration;

use asm::{Builder, Helper, MapRef, R0, R1, R2, R3, R6, R7, Size};
use bpf_sys::map::MapType;
use loader::link::{self, Place};
use loader::{LoadOptions, Loader, MapSpec, Object, ProgramSpec, Target};

/// What the program writes for each event: the process and its name.
const RECORD: i32 = 24;

/// Runs in the process that ends, once for each of its threads; the last thing that it does is the leader's.
fn program() -> Result<asm::Program, asm::BuildError> {
    let mut b = Builder::new();
    let out = b.label();
    b.call(Helper::GET_CURRENT_PID_TGID).mov(R6, R0).mov(R1, R0);
    // The upper half is the process, the lower half the thread: other threads than the first end silently.
    b.rsh_imm(R6, 32).lsh_imm(R1, 32).rsh_imm(R1, 32).jne(R1, R6, out);
    b.ld_map(R1, MapRef(0)).mov_imm(R2, RECORD).mov_imm(R3, 0).call(Helper::RINGBUF_RESERVE);
    b.jeq_imm(R0, 0, out).mov(R7, R0).store(Size::DW, R7, 0, R6);
    b.mov(R1, R7).add_imm(R1, 8).mov_imm(R2, 16).call(Helper::GET_CURRENT_COMM);
    b.mov(R1, R7).mov_imm(R2, 0).call(Helper::RINGBUF_SUBMIT);
    b.bind(out).mov_imm(R0, 0).exit();
    b.finish()
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut left: u64 = std::env::args().nth(1).map_or(Ok(u64::MAX), |lines| lines.parse())?;
    let mut object = Object::new("exits");
    object.maps.push(MapSpec::new("events", MapType::Ringbuf, 0, 0, 256 << 10));
    let section = "raw_tp/sched_process_exit";
    object.programs.push(ProgramSpec::in_section("exits", section, program()?).ok_or("an unknown section")?);

    let collection = Loader::new(&Target::running()?, LoadOptions::default()).load(&object)?;
    let mut events = collection.ring_buffer("events")?;
    let program = collection.program("exits").ok_or("the program is missing")?;
    let _link = link::attach(program, &Place::Section, 0)?;
    println!("{:>8}  program", "pid");
    while left > 0 {
        events.poll(Some(Duration::from_secs(1)), |record| {
            let (Some(pid), Some(name)) = (record.first_chunk::<4>(), record.get(8..)) else { return };
            let name = name.split(|byte| *byte == 0).next().unwrap_or_default();
            if left > 0 {
                println!("{:>8}  {}", u32::from_ne_bytes(*pid), String::from_utf8_lossy(name));
                left -= 1;
            }
        })?;
    }
    Ok(())
}

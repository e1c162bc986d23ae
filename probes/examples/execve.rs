//! Who starts programs, and what came of it: a kprobe and a kretprobe on execve(2).
//!
//! ```console
//! # cargo run -p tracewell-probes --example execve
//!     pid  program          execve
//!    4711  bash             ...
//!    4711  ls               0
//! ```
//!
//! Each call gives two lines, with the program's name before and behind it: the second one is that of the new program,
//! and has what execve answered: 0, or an error such as -2 (ENOENT).
//!
//! `execve [LINES]` ends after so many lines.

use std::time::Duration;

use asm::{Builder, Helper, MapRef, R0, R1, R2, R3, R4, R6, R7, Size};
use bpf_sys::map::MapType;
use loader::{LoadOptions, Loader, MapSpec, Object, ProgramSpec, Target};
use tracewell_probes::object::{self, AttachOptions};

/// What the programs write for each event: the process, whether it returns, the result, the name.
const RECORD: i32 = 32;

/// Where a probe's context (`struct pt_regs`) has the result of a function.
const RESULT: i16 = if cfg!(target_arch = "aarch64") { 0 } else { 80 };

/// The program: reserve a record in the ring buffer, fill it in, submit it.
fn program(at_return: bool) -> Result<asm::Program, asm::BuildError> {
    let mut b = Builder::new();
    let out = b.label();
    // The context is in R1, and calls take R1 to R5 away.
    b.mov(R6, R1);
    b.ld_map(R1, MapRef(0)).mov_imm(R2, RECORD).mov_imm(R3, 0).call(Helper::RINGBUF_RESERVE);
    b.jeq_imm(R0, 0, out).mov(R7, R0);
    b.call(Helper::GET_CURRENT_PID_TGID).rsh_imm(R0, 32).store(Size::W, R7, 0, R0);
    b.store_imm(Size::W, R7, 4, at_return.into());
    if at_return {
        b.load(Size::DW, R1, R6, RESULT).store(Size::DW, R7, 8, R1);
    } else {
        b.store_imm(Size::DW, R7, 8, 0);
    }
    b.mov(R1, R7).add_imm(R1, 16).mov_imm(R2, 16).call(Helper::GET_CURRENT_COMM);
    b.mov(R1, R7).mov_imm(R2, 0).mov_imm(R4, 0).call(Helper::RINGBUF_SUBMIT);
    b.bind(out).mov_imm(R0, 0).exit();
    b.finish()
}

fn object() -> Result<Object, Box<dyn std::error::Error>> {
    let mut object = Object::new("execve");
    object.maps.push(MapSpec::new("events", MapType::Ringbuf, 0, 0, 256 << 10));
    for (name, section) in [("enter", "ksyscall/execve"), ("leave", "kretsyscall/execve")] {
        let program = program(name == "leave")?;
        object.programs.push(ProgramSpec::in_section(name, section, program).ok_or("an unknown section")?);
    }
    Ok(object)
}

fn show(record: &[u8]) -> Option<String> {
    let (pid, rest) = record.split_first_chunk::<4>()?;
    let (at_return, rest) = rest.split_first_chunk::<4>()?;
    let (result, name) = rest.split_first_chunk::<8>()?;
    let name = name.split(|byte| *byte == 0).next()?;
    let result = match u32::from_ne_bytes(*at_return) {
        0 => "...".to_owned(),
        _ => i64::from_ne_bytes(*result).to_string(),
    };
    let (pid, name) = (u32::from_ne_bytes(*pid), String::from_utf8_lossy(name));
    Some(format!("{pid:>8}  {name:<16} {result}"))
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut left: u64 = std::env::args().nth(1).map_or(Ok(u64::MAX), |lines| lines.parse())?;
    let collection = Loader::new(&Target::running()?, LoadOptions::default()).load(&object()?)?;
    let mut events = collection.ring_buffer("events")?;
    let _attached = object::attach_all(&collection, &AttachOptions::default())?;
    println!("{:>8}  {:<16} execve", "pid", "program");
    while left > 0 {
        events.poll(Some(Duration::from_secs(1)), |record| {
            if let Some(line) = show(record).filter(|_| left > 0) {
                println!("{line}");
                left -= 1;
            }
        })?;
    }
    Ok(())
}

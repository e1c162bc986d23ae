//! Who loads BPF programs: a tracepoint on bpf(2).
//!
//! Kernels before Linux 4.18 had a tracepoint `bpf:bpf_prog_load`. It is gone, and the kernel's function `bpf_prog_load` is
//! one that compilers rename or inline. What every kernel has is the tracepoint of the system call itself: its arguments
//! are the command (5 loads a program) and the address of the attribute in user space, where the program reads the type,
//! the number of instructions and the name.
//!
//! ```console
//! # cargo run -p tracewell-probes --example bpf_loads
//!     pid  loader           type             insns  name
//!    4711  bpftool          kprobe              12  count_reads
//! ```
//!
//! `bpf_loads [LINES [PID]]` ends after so many lines, and watches one process only.

use std::time::Duration;

use asm::{Builder, Helper, MapRef, R0, R1, R2, R3, R6, R7, R8, Size};
use bpf_sys::map::MapType;
use bpf_sys::prog::ProgType;
use loader::{LoadOptions, Loader, MapSpec, Object, ProgramSpec, Target};
use tracewell_probes::object::{self, AttachOptions};

/// `BPF_PROG_LOAD`
const PROG_LOAD: i32 = 5;
/// Bytes of the attribute that are read: up to the end of the name.
const ATTR: i32 = 64;
/// What the program writes for each event: the process, the loader's name, the start of the attribute.
const RECORD: i32 = 8 + 16 + ATTR;

fn program(only: u32) -> Result<asm::Program, asm::BuildError> {
    let mut b = Builder::new();
    let (out, submit) = (b.label(), b.label());
    b.mov(R6, R1);
    // events/syscalls/sys_enter_bpf/format: the command is at 16, the attribute's address at 24.
    b.load(Size::DW, R2, R6, 16).jne_imm(R2, PROG_LOAD, out);
    b.call(Helper::GET_CURRENT_PID_TGID).rsh_imm(R0, 32).mov(R8, R0);
    if only != 0 {
        b.jne_imm(R8, only.cast_signed(), out);
    }
    b.ld_map(R1, MapRef(0)).mov_imm(R2, RECORD).mov_imm(R3, 0).call(Helper::RINGBUF_RESERVE);
    b.jeq_imm(R0, 0, out).mov(R7, R0).store(Size::DW, R7, 0, R8);
    b.mov(R1, R7).add_imm(R1, 8).mov_imm(R2, 16).call(Helper::GET_CURRENT_COMM);
    b.mov(R1, R7).add_imm(R1, 24).mov_imm(R2, ATTR).load(Size::DW, R3, R6, 24);
    b.call(Helper::PROBE_READ_USER).jmp(submit);
    b.bind(submit).mov(R1, R7).mov_imm(R2, 0).call(Helper::RINGBUF_SUBMIT);
    b.bind(out).mov_imm(R0, 0).exit();
    b.finish()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes.split(|byte| *byte == 0).next().unwrap_or_default()).into_owned()
}

fn show(record: &[u8]) -> Option<String> {
    let word = |at: usize| Some(u32::from_ne_bytes(record.get(at..at + 4)?.try_into().ok()?));
    let (pid, comm, attr) = (word(0)?, text(record.get(8..24)?), 24);
    let (prog_type, insns) = (ProgType::from_raw(word(attr)?), word(attr + 4)?);
    // `prog_name` of bpf(2)'s attribute for BPF_PROG_LOAD.
    let name = text(record.get(attr + 48..attr + 64)?);
    Some(format!("{pid:>8}  {comm:<16} {:<16} {insns:>5}  {name}", prog_type.name()))
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let mut left: u64 = args.next().map_or(Ok(u64::MAX), |lines| lines.parse())?;
    let only: u32 = args.next().map_or(Ok(0), |pid| pid.parse())?;

    let mut object = Object::new("bpf_loads");
    object.maps.push(MapSpec::new("events", MapType::Ringbuf, 0, 0, 256 << 10));
    let section = "tp/syscalls/sys_enter_bpf";
    let program = ProgramSpec::in_section("loads", section, program(only)?).ok_or("an unknown section")?;
    object.programs.push(program);

    let collection = Loader::new(&Target::running()?, LoadOptions::default()).load(&object)?;
    let mut events = collection.ring_buffer("events")?;
    let _attached = object::attach_all(&collection, &AttachOptions::default())?;
    println!("{:>8}  {:<16} {:<16} {:>5}  name", "pid", "loader", "type", "insns");
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

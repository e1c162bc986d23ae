//! How long a function of a program takes: a uprobe and a uretprobe that share a hash map.
//!
//! ```console
//! # cargo run -p tracewell-probes --example duration -- libc fwrite 5
//! fwrite of libc: 1234 calls, 0.41 ms in all, 336 ns on average
//! ```
//!
//! `duration FILE FUNCTION [SECONDS [PID]]`: the file is a path, or the name of a library or program; 0 seconds wait for
//! a line on standard input. The first program notes for its thread when the function was entered, the second one takes the
//! note out when it returns, and adds the difference up.
//!
//! The same works for programs in C, C++, Rust. Of Go programs only entries can be probed: a uretprobe puts the kernel's
//! trampoline in the place of the return address, and Go moves its stacks, finds an address that it does not know, and ends
//! the program. There the returns are to be found as instructions, and each gets a uprobe (`uprobe/FILE:FUNCTION+OFFSET`).

use std::error::Error;
use std::time::Duration;

use asm::{Builder, Helper, MapRef, R0, R1, R2, R3, R4, R6, R7, R10, Size};
use bpf_sys::map::MapType;
use loader::{AttachTarget, LoadOptions, Loader, MapSpec, Object, ProgramSpec, Target};
use tracewell_probes::object::{self, AttachOptions};

/// The thread's entry time.
const STARTS: MapRef = MapRef(0);
/// Calls, and their time in nanoseconds.
const TOTALS: MapRef = MapRef(1);

/// `starts[thread] = now`
fn enter() -> Result<asm::Program, asm::BuildError> {
    let mut b = Builder::new();
    b.call(Helper::GET_CURRENT_PID_TGID).store(Size::DW, R10, -8, R0);
    b.call(Helper::KTIME_GET_NS).store(Size::DW, R10, -16, R0);
    b.ld_map(R1, STARTS).mov(R2, R10).add_imm(R2, -8).mov(R3, R10).add_imm(R3, -16).mov_imm(R4, 0);
    b.call(Helper::MAP_UPDATE_ELEM).mov_imm(R0, 0).exit();
    b.finish()
}

/// `totals += (1, now - starts[thread]); delete starts[thread]`
fn leave() -> Result<asm::Program, asm::BuildError> {
    let mut b = Builder::new();
    let out = b.label();
    b.call(Helper::GET_CURRENT_PID_TGID).store(Size::DW, R10, -8, R0);
    b.ld_map(R1, STARTS).mov(R2, R10).add_imm(R2, -8).call(Helper::MAP_LOOKUP_ELEM);
    // The function was entered before there was a probe.
    b.jeq_imm(R0, 0, out).load(Size::DW, R6, R0, 0);
    b.call(Helper::KTIME_GET_NS).mov(R7, R0).sub(R7, R6);
    b.ld_map_value(R6, TOTALS, 0).mov_imm(R1, 1).atomic_add(Size::DW, R6, 0, R1).atomic_add(
        Size::DW,
        R6,
        8,
        R7,
    );
    b.ld_map(R1, STARTS).mov(R2, R10).add_imm(R2, -8).call(Helper::MAP_DELETE_ELEM);
    b.bind(out).mov_imm(R0, 0).exit();
    b.finish()
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let (Some(file), Some(function)) = (args.next(), args.next()) else {
        return Err("usage: duration FILE FUNCTION [SECONDS [PID]]".into());
    };
    let seconds: u64 = args.next().map_or(Ok(5), |seconds| seconds.parse())?;
    let pid: Option<u32> = args.next().map(|pid| pid.parse()).transpose()?;

    let mut object = Object::new("duration");
    object.maps.push(MapSpec::new("starts", MapType::Hash, 8, 8, 10_240));
    object.maps.push(MapSpec::new("totals", MapType::Array, 4, 16, 1));
    for (name, section, program) in [("enter", "uprobe", enter()?), ("leave", "uretprobe", leave()?)] {
        object.programs.push(ProgramSpec::in_section(name, section, program).ok_or("an unknown section")?);
    }
    let collection = Loader::new(&Target::running()?, LoadOptions::default()).load(&object)?;

    // The sections leave open what is probed: it comes from the command line. Returns first, so that no entry waits for
    // a return that nobody sees.
    let mut attached = Vec::new();
    for (name, ret) in [("leave", true), ("enter", false)] {
        let program = collection.program(name).ok_or("a program is missing")?;
        let target =
            AttachTarget::Uprobe { binary: file.clone(), function: function.clone(), offset: 0, ret };
        let options = AttachOptions { target: Some(target), pid, ..AttachOptions::default() };
        attached.push(object::attach(program, &options)?);
    }
    eprintln!("Attached {} and {}.", attached[1], attached[0]);
    if seconds == 0 {
        std::io::stdin().read_line(&mut String::new())?;
    } else {
        std::thread::sleep(Duration::from_secs(seconds));
    }
    drop(attached);

    let [calls, nanos]: [u64; 2] =
        collection.typed_map::<u32, [u64; 2]>("totals")?.get(&0)?.unwrap_or_default();
    println!(
        "{function} of {file}: {calls} calls, {:.2} ms in all, {} ns on average",
        nanos as f64 / 1e6,
        nanos / calls.max(1)
    );
    Ok(())
}

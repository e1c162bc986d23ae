//! An object file inside of the program: set a variable, load, attach, read a map.
//!
//! The object is compiled from `embedded/syscalls.bpf.c` beside this file, once, by whoever changes it; the program that
//! has it inside needs no compiler, no headers and no library on the machine that it runs on.
//!
//! ```console
//! # cargo run -p tracewell-loader --example embedded -- 4711 5
//! process 4711 made 8214 system calls in 5 seconds
//!   number     calls
//!        0      4100
//! ```
//!
//! `embedded PID [SECONDS]`; 0 seconds wait for a line on standard input.

use std::time::Duration;

use loader::link::{self, Place};
use loader::{LoadOptions, Loader, Object, Target};

/// The object, as the compiler wrote it.
static OBJECT: &[u8] = include_bytes!("embedded/syscalls.bpf.o");

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let pid: u32 = args.next().ok_or("usage: embedded PID [SECONDS]")?.parse()?;
    let seconds: u64 = args.next().map_or(Ok(5), |seconds| seconds.parse())?;

    // Bytes to plain data: no kernel is asked, and the same bytes always give the same.
    let mut object = Object::parse("syscalls", OBJECT)?;
    // `.rodata` can be written until the object is loaded; the type must be that of the C source.
    object.set("only_pid", pid)?;

    // Plain data to maps and programs in the kernel.
    let collection = Loader::new(&Target::running()?, LoadOptions::default()).load(&object)?;
    let program = collection.program("count_syscalls").ok_or("the object has no such program")?;
    let link = link::attach(program, &Place::Section, 0)?;
    eprintln!("Attached.");
    if seconds == 0 {
        std::io::stdin().read_line(&mut String::new())?;
    } else {
        std::thread::sleep(Duration::from_secs(seconds));
    }
    drop(link);

    // `.bss` is memory that the program and this process share.
    let calls: u64 = collection.variable("calls")?.get()?;
    println!("process {pid} made {calls} system calls in {seconds} seconds");
    let counts = collection.typed_map::<u32, u64>("counts")?;
    let mut rows = Vec::new();
    for number in counts.keys()? {
        rows.push((counts.get(&number)?.unwrap_or_default(), number));
    }
    rows.sort_unstable_by(|a, b| b.cmp(a));
    println!("{:>8} {:>9}", "number", "calls");
    for (count, number) in rows {
        println!("{number:>8} {count:>9}");
    }
    Ok(())
}

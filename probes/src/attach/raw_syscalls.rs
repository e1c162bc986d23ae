//! All system calls through one raw tracepoint, with a table from the call's number to the target.

use std::time::Instant;

use bpf_sys::link;
use bpf_sys::map::{Map, MapCreate, MapFlags, MapType, UpdateFlags};

use super::AttachMode;
use super::run::{Attached, Programs};
use crate::program::{Key, Kind, SYSCALLS};
use crate::{Error, Result};

/// Attaches to the system calls with these numbers, which are the targets `first ..`.
pub(crate) fn attach(
    attached: &mut Attached,
    exit: bool,
    first: u32,
    calls: &[u32],
    programs: &dyn Programs,
) -> Result<()> {
    let table = table(first, calls)?;
    let key = Key::Syscall { exit };
    // Not through `Attached::load`: even where targets are not told apart, calls of which none is a target come here.
    let start = Instant::now();
    let prog = programs.load(Kind::RawSyscall, key, Some(&table), None)?;
    attached.load += start.elapsed();
    let name = if exit { "sys_exit" } else { "sys_enter" };
    let link = attached
        .timed(|| link::raw_tracepoint(&prog, name, 0).or_else(|_| link::raw_tracepoint_open(&prog, name)));
    let link = link.map_err(|source| Error::Attach {
        target: format!("{} system calls", calls.len()),
        mode: "raw-syscalls",
        reason: source.to_string(),
    })?;
    attached.links.push(link);
    attached.progs.push(prog);
    attached.keys.push(table);
    attached.note_mode(AttachMode::RawSyscalls);
    Ok(())
}

/// Whether a program on the perf event of a system call's tracepoint can take the kernel's stack: before Linux 6.12 it
/// is given the registers of user space. Where it can, the raw tracepoint is the worse way: since Linux 6.13 it may be
/// preempted inside the program, and what other tasks on the processor do meanwhile is missed.
///
/// The release is asked because the kernel gives no other answer: nothing fails, the stacks are empty.
pub(crate) fn events_have_kernel_stacks() -> bool {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map_while(|n| n.parse::<u32>().ok());
    match (numbers.next(), numbers.next()) {
        (Some(major), Some(minor)) => (major, minor) >= (6, 12),
        _ => true,
    }
}

/// An array whose one value holds the target of each number, and a number that no target has in the holes.
fn table(first: u32, calls: &[u32]) -> Result<Map> {
    let mut slots = vec![u32::MAX; SYSCALLS as usize];
    for (index, &number) in (first..).zip(calls) {
        if let Some(slot) = slots.get_mut(number as usize) {
            *slot = index;
        }
    }
    let map = MapCreate {
        map_type: MapType::Array,
        key_size: 4,
        value_size: SYSCALLS * 4,
        max_entries: 1,
        flags: MapFlags::RDONLY_PROG,
        name: "tw_syscalls",
        ..MapCreate::default()
    }
    .create()?;
    let bytes: Vec<u8> = slots.iter().flat_map(|slot| slot.to_ne_bytes()).collect();
    map.update(&0u32.to_ne_bytes(), &bytes, UpdateFlags::empty())?;
    Ok(map)
}

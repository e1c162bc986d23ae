//! Any bytes through generator, simulator, interpreter and state check: the bodies of the fuzz targets `verifier` and
//! `generated`, and of a proptest.
#![allow(dead_code)]

use asm::Insn;
use bpf_sys::prog::ProgType;
use std::time::{Duration, Instant};
use tracewell_jit_check::Program;
use tracewell_jit_check::check::{CheckError, against_simulator};
use tracewell_jit_check::generate::{Shape, listing, maps, program};
use tracewell_jit_check::interp::{self, Input, Machine, TrapKind};
use tracewell_jit_check::kernel::{Kernel, Privileges, Version};
use tracewell_jit_check::verifier::{Options, Verdict, verify};

const VERSIONS: [Version; 5] = [Version(5, 10), Version(6, 1), Version(6, 12), Version(6, 18), Version(7, 2)];
const TYPES: [ProgType; 8] = [
    ProgType::SocketFilter,
    ProgType::SchedCls,
    ProgType::Xdp,
    ProgType::RawTracepoint,
    ProgType::Kprobe,
    ProgType::Syscall,
    ProgType::CgroupSkb,
    ProgType::PerfEvent,
];
/// Instructions that a walk may take.
const MOST: u32 = 20_000;

fn verified(program: &Program, first: u8, second: u8) -> Verdict {
    let kernel = Kernel::new(VERSIONS[usize::from(first) % VERSIONS.len()], None);
    let mut options = Options::default();
    options.privileges = [Privileges::Full, Privileges::Bpf, Privileges::None][usize::from(second) % 3];
    options.log_level = u32::from(second >> 2) % 3;
    options.max_insns = MOST;
    let start = Instant::now();
    let verdict = verify(program, &kernel, &options);
    assert!(start.elapsed() < Duration::from_secs(5), "it takes too long");
    assert!(verdict.stats.insns <= MOST + 1, "it walks {} instructions", verdict.stats.insns);
    assert!(verdict.accepted || verdict.errno > 0, "a refusal has a number");
    verdict
}

/// Any words as instructions, and the program that the same bytes generate, through the simulator.
pub fn simulator(data: &[u8]) {
    let Some((&[first, second, kind], rest)) = data.split_first_chunk::<3>() else { return };
    let words = rest.as_chunks::<8>().0;
    if kind & 1 == 0 {
        let mut insns: Vec<Insn> = words.iter().map(|word| Insn::from_bytes(*word)).collect();
        insns.push(Insn::new(0x95, 0, 0, 0, 0));
        let mut program = Program::new("any", TYPES[usize::from(kind >> 1) % TYPES.len()], insns);
        program.maps = maps();
        verified(&program, first, second);
        return;
    }
    let mut shape = Shape::default();
    (shape.wildness, shape.types) = (kind & 0xfe, &TYPES);
    verified(&program(rest, &shape), first, second);
}

/// The program that these bytes generate: where the simulator accepts it, it runs without a forbidden access, and every
/// value is one of those that were promised.
pub fn promises(data: &[u8]) {
    let Some((&[first], rest)) = data.split_first_chunk::<1>() else { return };
    let program = program(rest, &Shape::default());
    let kernel = Kernel::new(VERSIONS[usize::from(first) % VERSIONS.len()], None);
    let inputs = [Input::default(), Input::packet(rest.get(..rest.len().min(1500)).unwrap_or_default())];
    match against_simulator(&program, &kernel, &inputs) {
        Ok(None) => {}
        Ok(Some(violation)) => panic!("{violation}\n{}", listing(&program)),
        Err(CheckError::Refused { .. }) => return,
        Err(error) => panic!("{error}\n{}", listing(&program)),
    }
    let mut options = interp::Options::default();
    options.max_insns = 4_000_000;
    let Ok(mut machine) = Machine::new(&program, options) else { return };
    for input in &inputs {
        match machine.run(input) {
            Ok(_) => {}
            Err(trap) if matches!(trap.kind, TrapKind::NotSimulated(_)) => {}
            Err(trap) => panic!("an accepted program is stopped: {trap}\n{}", listing(&program)),
        }
    }
}

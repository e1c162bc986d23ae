//! Generated programs in the interpreter, the verifier simulator and the running kernel: `generated [COUNT] [SEED]`.
//!
//! Prints how many programs the kernel took, in how many cases the simulator says something else, and how many results
//! differ; the first ones of each kind are shrunk and shown. Needs root.

use tracewell_jit_check as jit_check;

use jit_check::generate::{Shape, listing, program, shrink};
use jit_check::kernel::{Kernel, Version};
use jit_check::live::{self, Difference, Input, LiveError, LiveOptions};
use jit_check::{Program, interp, verifier};
use std::process::ExitCode;

/// How many differences of each kind are shown.
const SHOWN: usize = 5;

struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        // xorshift64*
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }
}

fn main() -> ExitCode {
    let mut args = std::env::args().skip(1).map(|arg| arg.parse::<u64>().unwrap_or(0));
    let (count, seed) = (args.next().unwrap_or(10_000), args.next().unwrap_or(1));
    let release = loader::kernel::release().unwrap_or_default();
    let Ok(version) = release.parse::<Version>() else {
        eprintln!("generated: {release:?} is no version");
        return ExitCode::from(2);
    };
    let kernel = Kernel::new(version, None);
    let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    let (mut accepted, mut lax, mut strict, mut results, mut counts) = (0, 0, 0, 0, 0);
    for nth in 0..count {
        let bytes: Vec<u8> = (0..64 + random.next() % 400).map(|_| random.next() as u8).collect();
        let program = program(&bytes, &Shape::default());
        let (theirs, ours) = (kernels_verdict(&program), simulated(&program, &kernel));
        let Some(theirs) = theirs else { return ExitCode::from(2) };
        accepted += u64::from(theirs);
        if theirs != ours.accepted {
            let kind = if ours.accepted { &mut lax } else { &mut strict };
            *kind += 1;
            if *kind <= SHOWN as u64 {
                let same = |p: &Program| {
                    kernels_verdict(p) == Some(theirs) && simulated(p, &kernel).accepted != theirs
                };
                let small = shrink(&program, same);
                println!(
                    "-- program {nth}: the kernel {theirs}, simulated: {}\n{}",
                    simulated(&small, &kernel).reason,
                    listing(&small)
                );
            }
        }
        if theirs {
            counts += u64::from(!same_count(&program, ours.stats.insns));
            if let Some(difference) = result_differs(&program) {
                results += 1;
                if results <= SHOWN as u64 {
                    let small = shrink(&program, |p| result_differs(p).is_some());
                    let difference = result_differs(&small).unwrap_or(difference);
                    println!("-- program {nth}: {difference}\n{}", listing(&small));
                }
            }
        }
    }
    println!(
        "{count} programs: the kernel takes {accepted}; the simulator takes {lax} that the kernel refuses and refuses {strict} that \
         it takes; {counts} have another count of instructions; {results} results differ"
    );
    if results == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn simulated(program: &Program, kernel: &Kernel<'_>) -> verifier::Verdict {
    let mut options = verifier::Options::default();
    options.log_level = 4;
    verifier::verify(program, kernel, &options)
}

fn kernels_verdict(program: &Program) -> Option<bool> {
    let maps = live::make_maps(program).map_err(|error| eprintln!("generated: {error}")).ok()?;
    match live::load(program, &maps, LiveOptions { log_level: 4, ..LiveOptions::default() }) {
        Ok(_) => Some(true),
        Err(LiveError::Refused { .. }) => Some(false),
        Err(error) => {
            eprintln!("generated: {error}");
            None
        }
    }
}

fn same_count(program: &Program, insns: u32) -> bool {
    let Ok(maps) = live::make_maps(program) else { return false };
    let Ok(live) = live::load(program, &maps, LiveOptions { log_level: 4, ..LiveOptions::default() }) else {
        return false;
    };
    live.log.contains(&format!("processed {insns} insns"))
}

fn result_differs(program: &Program) -> Option<Difference> {
    let packet: Vec<u8> = (0..96).map(|at: u8| at.wrapping_mul(37)).collect();
    let inputs = [Input::default(), Input::packet(packet)];
    let _ = interp::Options::default();
    live::compare(program, &inputs).ok().flatten().map(|(_, difference)| difference)
}

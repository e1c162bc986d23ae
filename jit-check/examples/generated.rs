//! Generated programs in the interpreter, the verifier simulator and the running kernel: `generated [COUNT] [SEED]`.
//!
//! Prints how many programs the kernel took, in how many cases the simulator says something else, and how many results
//! differ; the first ones of each kind are shrunk and shown. Each accepted program is also run with an eye on every register:
//! is its value one that the simulator (and, for one program in 16, the kernel's log) said it could be? Needs root.

use tracewell_jit_check as jit_check;

use bpf_sys::map::Map;
use jit_check::check::{self, CheckError, Coverage, Violation};
use jit_check::generate::{Shape, listing, program, shrink};
use jit_check::kernel::{Kernel, Privileges, Version};
use jit_check::live::{self, Difference, Input, Live, LiveError, LiveOptions};
use jit_check::{Program, verifier};
use std::process::ExitCode;

/// How many differences of each kind are shown.
const SHOWN: u64 = 5;

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

/// What there is to know of one program.
struct Looked {
    accepted: bool,
    simulated: verifier::Verdict,
    same_count: bool,
    difference: Option<Difference>,
}

/// Whose promises are checked.
#[derive(Clone, Copy)]
enum Whose {
    Simulator,
    Kernel,
}

/// Everything that is needed for looking at programs; the maps serve all of them.
struct Bench<'k> {
    kernel: Kernel<'k>,
    maps: Vec<Map>,
    inputs: [Input; 2],
}

fn main() -> ExitCode {
    let mut args = std::env::args().skip(1).map(|arg| arg.parse::<u64>().unwrap_or(0));
    let (count, seed) = (args.next().unwrap_or(10_000), args.next().unwrap_or(1));
    match run(count, seed) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("generated: {error}");
            ExitCode::from(2)
        }
    }
}

fn run(count: u64, seed: u64) -> Result<bool, Box<dyn std::error::Error>> {
    let version: Version = loader::kernel::release().unwrap_or_default().parse()?;
    let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    let shape = Shape::default();
    let maps = live::make_maps(&program(&[], &shape))?;
    let packet: Vec<u8> = (0..96).map(|at: u8| at.wrapping_mul(37)).collect();
    let bench =
        Bench { kernel: Kernel::new(version, None), maps, inputs: [Input::default(), Input::packet(packet)] };
    let (mut accepted, mut lax, mut strict, mut results, mut counts) = (0_u64, 0_u64, 0_u64, 0_u64, 0_u64);
    let (mut broken, mut ours, mut theirs) = (0_u64, Coverage::default(), Coverage::default());
    for nth in 0..count {
        let bytes: Vec<u8> = (0..64 + random.next() % 400).map(|_| random.next() as u8).collect();
        let program = program(&bytes, &shape);
        let looked = bench.look(&program)?;
        accepted += u64::from(looked.accepted);
        if looked.accepted != looked.simulated.accepted {
            let kind = if looked.accepted { &mut strict } else { &mut lax };
            *kind += 1;
            if *kind <= SHOWN {
                let small = shrink(&program, |p| {
                    bench
                        .look(p)
                        .is_ok_and(|l| l.accepted == looked.accepted && l.simulated.accepted != l.accepted)
                });
                let reason = bench.look(&small)?.simulated.reason;
                println!(
                    "-- program {nth}: the kernel accepts: {}; simulated: {reason:?}\n{}",
                    looked.accepted,
                    listing(&small)
                );
            }
        } else if looked.accepted && !looked.same_count {
            counts += 1;
            if counts <= SHOWN {
                let small = shrink(&program, |p| {
                    bench.look(p).is_ok_and(|l| l.accepted && l.simulated.accepted && !l.same_count)
                });
                println!(
                    "-- program {nth}: another count than {}\n{}",
                    bench.look(&small)?.simulated.stats.insns,
                    listing(&small)
                );
            }
        }
        for whose in [Whose::Simulator, Whose::Kernel] {
            let (wanted, sum) = match whose {
                Whose::Simulator => (looked.simulated.accepted, &mut ours),
                Whose::Kernel => (looked.accepted && nth % 16 == 0, &mut theirs),
            };
            if !wanted {
                continue;
            }
            let (violation, coverage) = bench.violation(&program, whose)?;
            sum.executed += coverage.executed;
            sum.checked += coverage.checked;
            let Some(violation) = violation else { continue };
            broken += 1;
            if broken <= SHOWN {
                let small =
                    shrink(&program, |p| bench.violation(p, whose).is_ok_and(|(found, _)| found.is_some()));
                let said = match whose {
                    Whose::Simulator => "the simulator",
                    Whose::Kernel => "the kernel's log",
                };
                let violation = bench.violation(&small, whose)?.0.unwrap_or(violation);
                println!("-- program {nth}: {said} is wrong {violation}\n{}", listing(&small));
            }
        }
        if looked.difference.is_some() {
            results += 1;
            if results <= SHOWN {
                let small = shrink(&program, |p| bench.look(p).is_ok_and(|l| l.difference.is_some()));
                let difference = bench.look(&small)?.difference.map_or_else(String::new, |d| d.to_string());
                println!("-- program {nth}: {difference}\n{}", listing(&small));
            }
        }
    }
    println!(
        "{count} programs: the kernel takes {accepted}; the simulator takes {lax} that the kernel refuses and refuses {strict} that \
         it takes; {counts} have another count of instructions; {results} results differ; {broken} break \
         a promise ({} of {} instructions checked against the simulator, {} of {} against the kernel's log)",
        ours.checked, ours.executed, theirs.checked, theirs.executed
    );
    Ok(results == 0 && broken == 0)
}

impl Bench<'_> {
    fn look(&self, program: &Program) -> Result<Looked, LiveError> {
        let mut options = verifier::Options::default();
        options.log_level = 4;
        let simulated = verifier::verify(program, &self.kernel, &options);
        let looked = |accepted, simulated, same_count, difference| Looked {
            accepted,
            simulated,
            same_count,
            difference,
        };
        match live::load(program, &self.maps, LiveOptions { log_level: 4, ..LiveOptions::default() }) {
            Ok(live) => {
                let same = live.log.contains(&format!("processed {} insns", simulated.stats.insns));
                let difference = self.compare(program, &live)?;
                Ok(looked(true, simulated, same, difference))
            }
            Err(LiveError::Refused { .. }) => Ok(looked(false, simulated, false, None)),
            Err(error) => Err(error),
        }
    }

    /// The first value that was promised not to be; none in a program that is refused.
    fn violation(
        &self,
        program: &Program,
        whose: Whose,
    ) -> Result<(Option<Violation>, Coverage), Box<dyn std::error::Error>> {
        let found = match whose {
            Whose::Simulator => check::covered_against_simulator(program, &self.kernel, &self.inputs),
            Whose::Kernel => {
                match live::load(program, &self.maps, LiveOptions { log_level: 2, ..LiveOptions::default() })
                {
                    Ok(live) => check::covered_against_log(program, &live.log, &self.inputs),
                    Err(LiveError::Refused { .. }) => return Ok(Default::default()),
                    Err(error) => return Err(error.into()),
                }
            }
        };
        match found {
            Err(CheckError::Refused { .. }) => Ok(Default::default()),
            found => Ok(found?),
        }
    }

    /// The first difference between interpreter and kernel. Programs whose result depends on addresses or on stack that
    /// nothing was written to are left out: a verifier that lets neither out refuses them.
    fn compare(&self, program: &Program, live: &Live) -> Result<Option<Difference>, LiveError> {
        let mut options = verifier::Options::default();
        options.privileges = Privileges::Bpf;
        options.log_level = 0;
        if !verifier::verify(program, &self.kernel, &options).accepted {
            return Ok(None);
        }
        live::reset_maps(program, &self.maps)?;
        live::compare_loaded(program, live, &self.maps, &self.inputs)
            .map(|found| found.map(|(_, difference)| difference))
    }
}

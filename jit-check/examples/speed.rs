//! How fast the simulator is beside the running kernel's verifier: `speed FILE.o...`, needs root.
//!
//! Each program is loaded alone with statistics and no other log; the kernel's own `verification time` is compared with the
//! simulator's. Programs of few instructions say little and are left out.

use std::error::Error;
use std::time::{Duration, Instant};
use tracewell_jit_check as jit_check;

use jit_check::kernel::{Kernel, Version};
use jit_check::verifier::{Options, verify};
use loader::{LoadOptions, Loader, Object, Target};

/// Fewer instructions than these are left out.
const LEAST: u32 = 10_000;

fn main() -> Result<(), Box<dyn Error>> {
    let target = Target::running()?;
    let version: Version = loader::kernel::release().unwrap_or_default().parse()?;
    let kernel = Kernel::new(version, target.btf());
    println!("{:<44} {:>9} {:>11} {:>11} {:>7}", "program", "insns", "simulator", "kernel", "ratio");
    let (mut here, mut there, mut insns) = (Duration::ZERO, Duration::ZERO, 0_u64);
    for path in std::env::args().skip(1) {
        let name = std::path::Path::new(&path).file_name().unwrap_or_default().to_string_lossy().into_owned();
        let Ok(object) = Object::parse(name.split('.').next().unwrap_or("object"), &std::fs::read(&path)?)
        else {
            continue;
        };
        for index in 0..object.programs.len() {
            let mut alone = object.clone();
            for (other, program) in alone.programs.iter_mut().enumerate() {
                program.autoload = other == index;
            }
            let Ok(relocated) = alone.relocate(&target) else { continue };
            let Ok(program) = jit_check::prepare(&relocated, index, &kernel) else { continue };
            let mut options = Options::default();
            options.log_level = 4;
            let begin = Instant::now();
            let verdict = verify(&program, &kernel, &options);
            let ours = begin.elapsed();
            if verdict.stats.insns < LEAST {
                continue;
            }
            let only = Some(vec![program.name.clone()]);
            let options = LoadOptions { log_level: 4, only, ..LoadOptions::default() };
            let Ok(checked) = Loader::new(&target, options).check(&alone) else { continue };
            let Some(theirs) = checked.iter().find_map(|checked| micros(&checked.log)) else { continue };
            println!(
                "{:<44} {:>9} {:>8.1} ms {:>8.1} ms {:>7.2}",
                format!("{name}/{}", program.name),
                verdict.stats.insns,
                ours.as_secs_f64() * 1e3,
                theirs.as_secs_f64() * 1e3,
                theirs.as_secs_f64() / ours.as_secs_f64()
            );
            here += ours;
            there += theirs;
            insns += u64::from(verdict.stats.insns);
        }
    }
    println!(
        "{insns} instructions: simulator {:.2} million a second, kernel {:.2}, ratio {:.2}",
        insns as f64 / here.as_secs_f64() / 1e6,
        insns as f64 / there.as_secs_f64() / 1e6,
        there.as_secs_f64() / here.as_secs_f64()
    );
    Ok(())
}

/// `verification time 123 usec`
fn micros(log: &str) -> Option<Duration> {
    let line = log.lines().find_map(|line| line.strip_prefix("verification time "))?;
    Some(Duration::from_micros(line.split(' ').next()?.parse().ok()?))
}

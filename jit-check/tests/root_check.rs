//! Generated programs in the interpreter, each register held against the running kernel's own log.

use bpf_sys::prog::{ProgLoad, ProgType};
use tracewell_jit_check::check::{Coverage, covered_against_log};
use tracewell_jit_check::generate::{Shape, listing, program};
use tracewell_jit_check::live::{Input, LiveError, LiveOptions, load, make_maps};

#[test]
fn root_values_are_what_the_kernels_log_promised() {
    const NAME: &str = "root_values_are_what_the_kernels_log_promised";
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    if !release.starts_with("6.") {
        eprintln!("SKIP {NAME}: logs of this kernel are written in another way");
        return;
    }
    let exit = [0xb7, 0x95];
    if let Err(error) =
        (ProgLoad { prog_type: ProgType::SocketFilter, insns: &exit, license: "GPL", ..ProgLoad::default() })
            .load()
    {
        eprintln!("SKIP {NAME}: bpf(2) is not to be had: {error}");
        return;
    }
    // Only what every kernel from 5.10 on takes: no instructions of ISA v4.
    let mut shape = Shape::default();
    shape.v4 = false;
    let maps = make_maps(&program(&[], &shape)).expect("maps");
    let inputs =
        [Input::default(), Input::packet((0..96).map(|at: u8| at.wrapping_mul(37)).collect::<Vec<u8>>())];
    let options = LiveOptions { log_level: 2, ..LiveOptions::default() };
    let mut seed = 0x1234_5678_9abc_def1_u64;
    let mut random = || {
        seed ^= seed >> 12;
        seed ^= seed << 25;
        seed ^= seed >> 27;
        (seed.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 32) as u8
    };
    let (mut accepted, mut sum) = (0, Coverage::default());
    for nth in 0..400 {
        let bytes: Vec<u8> = (0..64 + usize::from(random())).map(|_| random()).collect();
        let program = program(&bytes, &shape);
        let live = match load(&program, &maps, options) {
            Ok(live) => live,
            Err(LiveError::Refused { .. }) => continue,
            Err(error) => panic!("program {nth}: {error}"),
        };
        accepted += 1;
        let (violation, coverage) =
            covered_against_log(&program, &live.log, &inputs).expect("a log that can be read");
        if let Some(violation) = violation {
            panic!("program {nth}: {violation}\n{}\n{}", listing(&program), live.log);
        }
        sum.executed += coverage.executed;
        sum.checked += coverage.checked;
    }
    assert!(accepted > 200, "the kernel takes {accepted} of 400");
    // A check that looks at nothing finds nothing.
    assert!(sum.checked * 10 > sum.executed * 7, "{sum:?}");
}

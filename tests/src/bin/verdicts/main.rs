//! The verifier simulator beside a kernel's verifier: `tests/compare-verifier` lets a guest load each program of a folder of
//! objects alone, and this says what the simulator says of the same programs, where the two differ, and how often.
//!
//! ```text
//! verdicts TRUTH OBJECTS KERNEL BTF [--config FILE] [--symbols FILE] [--only TEXT] [--show WHAT] [--json]
//! ```
//!
//! `TRUTH` has a line of JSON for each program, as `tests/libbpf/truth.c` prints it. `--show` lists single programs:
//! `verdict` (those with another verdict), `count`, `reason`, `panic`, `all`.

mod compare;
mod truth;

use std::process::ExitCode;

fn main() -> ExitCode {
    match compare::run(&std::env::args().skip(1).collect::<Vec<_>>()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("verdicts: {message}");
            ExitCode::from(2)
        }
    }
}

//! Programs of an input, each relocated alone and made ready for the simulator, the interpreter or the kernel.

use super::input::Input;
use anyhow::Result;
use jit_check::Program;
use jit_check::kernel::Kernel;
use loader::Target;

/// A program, or why there is none to be had.
#[derive(Debug)]
pub struct Prepared {
    /// Its name.
    pub name: String,
    /// Its section; empty where it came out of no object file.
    pub section: String,
    /// The program.
    pub program: Result<Program>,
}

/// All programs of an input. One that does not fit this kernel does not keep the others from being looked at.
pub fn prepared(input: &Input, target: &Target<'_>, kernel: &Kernel<'_>) -> Vec<Prepared> {
    let programs = input.object.programs.iter().enumerate();
    programs
        .map(|(index, spec)| {
            let mut alone = input.object.clone();
            for (other, program) in alone.programs.iter_mut().enumerate() {
                program.autoload = other == index;
            }
            let program = alone
                .relocate(target)
                .map_err(anyhow::Error::from)
                .and_then(|object| Ok(jit_check::prepare(&object, index, kernel)?));
            Prepared { name: spec.name.clone(), section: spec.section.clone(), program }
        })
        .collect()
}

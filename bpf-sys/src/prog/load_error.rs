//! Why the kernel refused a program.

use std::fmt;

use crate::errno::Errno;

/// A program that the kernel refused, with everything that it said about it.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ProgLoadError {
    /// The program's name; empty where it has none.
    pub name: String,
    /// The kernel's answer to the load.
    pub errno: Errno,
    /// The verifier's log, in full; empty where the kernel wrote none.
    pub log: String,
}

impl fmt::Display for ProgLoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "bpf(BPF_PROG_LOAD): load program `{}`: {}", self.name, self.errno)?;
        f.write_str(&crate::error::log_block(&self.log))
    }
}

impl std::error::Error for ProgLoadError {}

//! Why the verifier refused a program, in terms of its source.

use std::fmt;

/// A program that the verifier refused.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct VerifierError {
    /// Name of the program.
    pub program: String,
    /// Name of the section.
    pub section: String,
    /// The instruction at which the verifier stopped.
    pub insn: Option<usize>,
    /// That instruction, in the verifier's syntax.
    pub insn_text: Option<String>,
    /// File and line of the C source, from line info.
    pub file: Option<(String, u32)>,
    /// Text of that line.
    pub line: Option<String>,
    /// The kernel's last words.
    pub reason: String,
    /// What to do next.
    pub remedy: Option<String>,
    /// The kernel's answer to the load.
    pub errno: bpf_sys::Errno,
    /// The whole log.
    pub log: String,
}

impl fmt::Display for VerifierError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "program `{}`: {}: {}", self.program, self.errno, self.reason)
    }
}

impl std::error::Error for VerifierError {}

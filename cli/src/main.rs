//! The `tracewell` command.
#![forbid(unsafe_code)]
fn main() {}

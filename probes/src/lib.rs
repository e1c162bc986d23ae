//! Event sources.
//!
//! This crate finds events (kernel functions, user functions, tracepoints, syscalls), attaches to them, filters,
//! counts and collects stacks in the kernel, and turns addresses into names. It never prints.
#![forbid(unsafe_code)]

pub mod attach;
pub mod count;
pub mod error;
pub mod filter;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
pub mod kernel;
pub mod object;
pub(crate) mod program;
pub mod spec;
pub mod stacks;
pub mod symbols;
pub mod tracefs;
pub mod user;

pub use error::{Error, Result};

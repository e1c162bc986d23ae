//! The running kernel: its types, modules, configuration and symbols.

pub mod config;
pub mod kallsyms;
pub mod lines;

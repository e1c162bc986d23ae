//! The running kernel: its types, modules, configuration and symbols.

pub mod btf;
pub mod config;
pub mod kallsyms;
pub mod lines;
mod version;

pub use self::btf::{Module, modules, vmlinux};
pub use version::{release, version};

//! What the running kernel offers: functions, symbols, modules, tracepoints, syscalls, configuration.

pub mod blacklist;
pub use loader::kernel::config;
pub mod functions;
pub mod kallsyms;
pub(crate) mod lines;
pub mod modules;
pub mod suggest;
pub mod syscalls;
pub mod tracepoints;
pub mod why_not;

pub use functions::FunctionTable;

//! Addresses into names: kernel functions, modules and BPF programs; user functions of processes.
//!
//! [`KernelSymbols`] is read once, when it is first asked. [`UserSymbols`] keeps one table a file, however many
//! processes run it. [`Tracker`] remembers what processes had mapped after they have exited.

pub mod demangle;
pub mod file;
pub mod kernel;
pub mod perf_map;
pub mod tracker;
pub mod user;

pub use file::FileSymbols;
pub use kernel::{KernelSymbols, tracing_frames};
pub use tracker::Tracker;
pub use user::{ProcessView, UserSymbols};

use std::borrow::Cow;

/// An address with its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SymbolizedFrame<'a> {
    /// The function, demangled; `None` when no symbol covers the address.
    pub name: Option<Cow<'a, str>>,
    /// Bytes from the function's start; from the module's start (as a file offset or address of its
    /// symbol table) when there is no function.
    pub offset: u64,
    /// Where the code comes from: a path, `[vdso]`, `[perf map]`, a kernel module, `kernel`, `bpf`; `None` when
    /// nothing is known of the address.
    pub module: Option<Cow<'a, str>>,
}

impl SymbolizedFrame<'_> {
    /// The frame of an address of which nothing is known.
    pub fn unknown() -> SymbolizedFrame<'static> {
        SymbolizedFrame { name: None, offset: 0, module: None }
    }

    /// The name, or `[unknown]` as BCC prints it.
    pub fn name_or_unknown(&self) -> &str {
        self.name.as_deref().unwrap_or("[unknown]")
    }
}

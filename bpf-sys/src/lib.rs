//! The raw BPF and perf_event system calls, one typed function per command.
//!
//! This crate is the only one of the workspace with `unsafe` code. It decides no policy: what a caller asks for is
//! what the kernel is asked for, and what the kernel answers comes back with its errno, its words and a remedy.
//! Instructions are `&[u64]` and BTF is bytes, so it needs neither an assembler nor a BTF reader.
//!
//! BPF objects: [`map`] (with [`mapped`], [`percpu`]), [`prog`], [`link`], [`hook`], [`btf_obj`], [`ids`],
//! [`token`], [`stats`]. Events: [`perf`],
//! [`ringbuf`], [`perfbuf`], [`poll`]. What the machine has and allows: [`features`], [`cpus`], [`memlock`], [`nofile`].

pub(crate) mod abi;
mod btf_file;
pub mod btf_obj;
pub mod cpus;
pub mod errno;
pub mod error;
pub mod features;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
pub mod hook;
pub mod host;
pub mod ids;
pub mod link;
pub mod map;
pub mod mapped;
pub mod memlock;
pub(crate) mod mmap;
pub mod nofile;
pub(crate) mod object;
pub mod percpu;
pub mod perf;
pub mod perfbuf;
pub mod poll;
pub mod prog;
pub mod ringbuf;
pub mod stats;
pub(crate) mod syscall;
pub mod token;

pub use errno::Errno;
pub use error::{Error, Result};

//! User space: binaries, libraries and processes as probing and symbols need them.

pub mod elf;
mod error;
pub mod ldcache;
pub mod library;
pub mod maps;
pub(crate) mod nearest;
pub mod process;

pub use error::{Result, UserError};
pub use library::{Binary, process_binary, resolve_library};
pub use process::{Process, Root};

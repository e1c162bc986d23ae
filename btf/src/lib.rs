//! BTF, the BPF type format.
#![forbid(unsafe_code)]

mod error;
mod index;
mod query;
mod reader;
mod types;

pub use error::Error;
pub use query::{Field, essential_name};
pub use reader::{Btf, Endian};
pub use types::{Array, Enumerator, IntEncoding, Kind, Linkage, Member, Param, SectionVar, Type, TypeId};

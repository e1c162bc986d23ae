//! BTF, the BPF type format: a zero-copy reader of the kernel's, a module's or an object file's types, and a writer.
//!
//! Bytes come in, types that borrow them come out; no I/O happens here. No input makes it panic: what is damaged as a
//! whole is refused by [`Btf::parse`] with the place and the rule, and an id or offset that points nowhere gives `None`
//! where it is followed. Both byte orders and all kinds up to `ENUM64` are read (`Documentation/bpf/btf.rst`), and newer
//! kinds are skipped where the data has a layout section, which says how long they are.
//!
//! - [`Btf::parse`], [`Btf::parse_split`] open data; that is one pass that notes where each type begins.
//! - [`Btf::types`], [`Btf::type_by_id`], [`Btf::find`] give types; [`Type`] reads what is in them.
//! - [`Btf::member_offset`], [`Btf::size_of`], [`Btf::align_of`], [`Btf::enum_value`], [`Btf::func_proto`],
//!   [`Btf::decl_tags`] follow references.
//! - [`ext`] reads `.BTF.ext`: functions, source lines, CO-RE relocations.
//! - [`Builder`] writes, changes and deduplicates types; [`sanitize`](fn@sanitize) rewrites them for older kernels.
//!
//! ```no_run
//! let data = std::fs::read("/sys/kernel/btf/vmlinux")?;
//! let btf = btf::Btf::parse(&data)?;
//!
//! // Bits from the start of the struct, and width in bits.
//! let (offset, size) = btf.member_offset("task_struct", "tgid").ok_or("no such member")?;
//! println!("tgid: {} bytes at {}", size / 8, offset / 8);
//!
//! let (_, proto) = btf.func_proto("vfs_read").ok_or("no such function")?;
//! for param in proto.params() {
//!     println!("{}: {:?} bytes", param.name, btf.size_of(param.type_id));
//! }
//! println!("{} functions", btf.func_names().count());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
#![forbid(unsafe_code)]

mod builder;
pub mod c;
mod dedup;
mod error;
pub mod ext;
pub mod find;
mod header;
mod index;
pub mod layout;
mod partition;
mod query;
pub mod raw;
mod reader;
mod record;
mod sanitize;
mod strings;
mod types;
pub mod value;

pub use builder::{Builder, NewMember};
pub use error::{Error, ExtProblem};
pub use query::{Field, essential_name};
pub use reader::{Btf, Endian};
pub use sanitize::{Capabilities, sanitize};
pub use types::{Array, Enumerator, IntEncoding, Kind, Linkage, Member, Param, SectionVar, Type, TypeId};

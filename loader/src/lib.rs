//! BPF object files without libbpf: an ELF file becomes a spec, the spec is relocated against a kernel, and what comes
//! out is loaded.
//!
//! Three stages, of which only the last touches the kernel:
//!
//! 1. [`Object::parse`] turns bytes into plain data: [`ProgramSpec`]s, [`MapSpec`]s, [`Extern`]s. The same bytes give
//!    the same object, whatever machine runs it.
//! 2. [`Object::relocate`] applies CO-RE relocations and resolves externs against a [`Target`] and gives a new object.
//! 3. [`Loader`] makes maps and programs of it: a [`Collection`].
#![forbid(unsafe_code)]

pub mod collection;
pub mod core;
mod error;
pub mod globals;
pub mod kernel;
pub mod link;
pub mod load;
pub mod object;
pub mod records;
pub mod relocate;
pub mod sections;
pub mod spec;
pub mod target;
mod text;
pub mod verifier;

pub use collection::{Collection, Global, LoadedMap, LoadedProgram, TypedMap};
pub use error::{Error, Result};
pub use globals::Pod;
pub use load::{Fallback, LoadOptions, Loader, Verdict};
pub use spec::{
    AttachTarget, CoreRelo, Extern, ExternKind, FuncSpec, LineSpec, MapKind, MapSpec, Object, Pinning,
    Poison, ProgramSpec, Reloc, RelocKind, Resolution, Slot, SlotTarget, StructOps, Variable,
};
pub use target::{ModuleBtf, Target};
pub use verifier::VerifierError;

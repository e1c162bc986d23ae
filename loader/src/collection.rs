//! A running object: its maps and programs in the kernel.

mod pinning;
mod variable;

pub use variable::{Global, TypedMap};

use crate::spec::{MapSpec, Object, ProgramSpec};
use crate::{Error, Result};
use bpf_sys::btf_obj::BtfObj;
use bpf_sys::map::Map;
use bpf_sys::mapped::{MappedArena, MappedArray};
use bpf_sys::perfbuf::PerfBuf;
use bpf_sys::prog::Prog;
use bpf_sys::ringbuf::RingBuf;
use std::sync::OnceLock;

/// A map in the kernel, with what it was made from.
#[derive(Debug)]
pub struct LoadedMap {
    /// What it was made from, with sizes as they were in the end.
    pub spec: MapSpec,
    /// The map.
    pub map: Map,
    /// Whether it was there before: brought by the caller, or pinned.
    pub reused: bool,
    /// Index in [`Object::maps`].
    pub index: usize,
    /// An arena's memory; programs use it as long as this is there.
    pub arena: Option<MappedArena>,
    /// Of struct_ops: the value to register, with the descriptors of its programs. It is put at key 0 by whoever attaches
    /// it.
    pub struct_ops_value: Option<Vec<u8>>,
    pub(crate) memory: OnceLock<Option<MappedArray>>,
}

impl LoadedMap {
    pub(crate) fn new(index: usize, spec: MapSpec, map: Map, reused: bool) -> LoadedMap {
        LoadedMap { spec, map, reused, index, arena: None, struct_ops_value: None, memory: OnceLock::new() }
    }
}

/// A program in the kernel, with what it was made from.
#[derive(Debug)]
pub struct LoadedProgram {
    /// What it was made from, relocated.
    pub spec: ProgramSpec,
    /// The program.
    pub prog: Prog,
    /// The verifier's log, where one was asked for.
    pub log: String,
    /// Index in [`Object::programs`].
    pub index: usize,
}

/// A running object. Dropping it closes its descriptors: what is neither attached nor pinned goes.
#[derive(Debug)]
pub struct Collection {
    pub(crate) object: Object,
    pub(crate) maps: Vec<LoadedMap>,
    pub(crate) programs: Vec<LoadedProgram>,
    /// Keeps the types alive for who asks the kernel for them.
    pub(crate) btf: Option<BtfObj>,
}

impl Collection {
    /// The relocated object it was made from.
    pub fn object(&self) -> &Object {
        &self.object
    }

    /// The object's types in the kernel, where it took them.
    pub fn btf(&self) -> Option<&BtfObj> {
        self.btf.as_ref()
    }

    /// All maps that were created.
    pub fn maps(&self) -> &[LoadedMap] {
        &self.maps
    }

    /// All programs that were loaded.
    pub fn programs(&self) -> &[LoadedProgram] {
        &self.programs
    }

    /// The map of this name; a data map also by its section's name, such as `.bss`.
    pub fn map(&self, name: &str) -> Option<&Map> {
        self.loaded_map(name).map(|map| &map.map)
    }

    /// The map of this name, with what it was made from.
    pub fn loaded_map(&self, name: &str) -> Option<&LoadedMap> {
        self.maps.iter().find(|map| map.spec.name == name || map.spec.kernel_name == name)
    }

    /// The program of this name.
    pub fn program(&self, name: &str) -> Option<&LoadedProgram> {
        self.programs.iter().find(|program| program.spec.name == name)
    }

    /// Takes a map out of the collection, to keep it when the collection is dropped.
    pub fn take_map(&mut self, name: &str) -> Option<LoadedMap> {
        let index = self.maps.iter().position(|map| map.spec.name == name)?;
        Some(self.maps.remove(index))
    }

    /// Takes a program out of the collection.
    pub fn take_program(&mut self, name: &str) -> Option<LoadedProgram> {
        let index = self.programs.iter().position(|program| program.spec.name == name)?;
        Some(self.programs.remove(index))
    }

    fn expect_map(&self, name: &str) -> Result<&LoadedMap> {
        self.loaded_map(name).ok_or_else(|| {
            let names: Vec<&str> = self.maps.iter().map(|map| map.spec.name.as_str()).collect();
            Error::Name {
                name: name.to_owned(),
                what: format!("no such map; there are {}", names.join(", ")),
            }
        })
    }

    /// The reader of a ring buffer. Since Linux 5.8.
    ///
    /// # Errors
    ///
    /// Where there is no such map, or it is none.
    pub fn ring_buffer(&self, name: &str) -> Result<RingBuf> {
        let map = self.expect_map(name)?;
        RingBuf::new(&map.map)
            .map_err(|source| Error::Sys { context: format!("read ring buffer `{name}`"), source })
    }

    /// The reader of a perf event array, with a ring of `pages` (a power of two) for each processor.
    ///
    /// # Errors
    ///
    /// Where there is no such map, or it is none; where perf events are not permitted.
    pub fn perf_buffer(&self, name: &str, pages: usize) -> Result<PerfBuf> {
        let map = self.expect_map(name)?;
        PerfBuf::new(&map.map, pages)
            .map_err(|source| Error::Sys { context: format!("read perf buffer `{name}`"), source })
    }
}

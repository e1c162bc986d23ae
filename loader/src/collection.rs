//! A running object: its maps and programs in the kernel.

use crate::spec::{MapSpec, Object, ProgramSpec};
use bpf_sys::map::Map;
use bpf_sys::prog::Prog;

/// A map in the kernel, with what it was made from.
#[derive(Debug)]
pub struct LoadedMap {
    /// What it was made from.
    pub spec: MapSpec,
    /// The map.
    pub map: Map,
}

/// A program in the kernel, with what it was made from.
#[derive(Debug)]
pub struct LoadedProgram {
    /// What it was made from, relocated.
    pub spec: ProgramSpec,
    /// The program.
    pub prog: Prog,
}

/// A running object. Dropping it closes its descriptors: what is neither attached nor pinned goes.
#[derive(Debug)]
pub struct Collection {
    pub(crate) object: Object,
    pub(crate) maps: Vec<LoadedMap>,
    pub(crate) programs: Vec<LoadedProgram>,
}

impl Collection {
    /// The relocated object it was made from.
    pub fn object(&self) -> &Object {
        &self.object
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
        self.maps.iter().find(|map| map.spec.name == name).map(|map| &map.map)
    }

    /// The program of this name.
    pub fn program(&self, name: &str) -> Option<&LoadedProgram> {
        self.programs.iter().find(|program| program.spec.name == name)
    }
}

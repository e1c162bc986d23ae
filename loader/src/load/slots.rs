//! Initial entries of maps of maps and of programs.

use super::maps::sys;
use super::session::Session;
use crate::collection::{LoadedMap, LoadedProgram};
use crate::spec::SlotTarget;
use crate::{Error, Result};
use bpf_sys::map::{MapType, UpdateFlags};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

impl Session<'_> {
    /// Puts maps into maps of maps.
    pub(super) fn fill_map_slots(&self) -> Result<()> {
        for outer in self.maps.iter().flatten().filter(|map| !map.reused) {
            for slot in &outer.spec.slots {
                let SlotTarget::Map(target) = slot.target else { continue };
                let inner = self.maps.get(target).and_then(Option::as_ref);
                let Some(inner) = inner else {
                    let name = self.object.maps.get(target).map_or("?", |map| map.name.as_str());
                    return Err(missing(outer, slot.index, &format!("map `{name}`, which is not created")));
                };
                put(outer, slot.index, inner.map.as_fd(), &format!("map `{}`", inner.spec.name))?;
            }
        }
        Ok(())
    }

    /// Puts programs into arrays of programs, when all are loaded.
    pub(super) fn fill_prog_arrays(&self, programs: &[(usize, LoadedProgram)]) -> Result<()> {
        for array in self.maps.iter().flatten().filter(|map| map.spec.map_type == MapType::ProgArray) {
            for slot in &array.spec.slots {
                let SlotTarget::Program(target) = slot.target else { continue };
                let Some((_, program)) = programs.iter().find(|(index, _)| *index == target) else {
                    let name = self.object.programs.get(target).map_or("?", |program| program.name.as_str());
                    let what = format!("program `{name}`, which is not loaded: switch it on");
                    return Err(missing(array, slot.index, &what));
                };
                let what = format!("program `{}`", program.spec.name);
                put(array, slot.index, program.prog.as_fd(), &what)?;
            }
        }
        Ok(())
    }
}

fn missing(map: &LoadedMap, index: u32, what: &str) -> Error {
    Error::Map { map: map.spec.name.clone(), what: format!("entry {index} is {what}") }
}

fn put(map: &LoadedMap, index: u32, fd: BorrowedFd<'_>, what: &str) -> Result<()> {
    let value = fd.as_raw_fd().to_ne_bytes();
    map.map.update(&index.to_ne_bytes(), &value, UpdateFlags::ANY).map_err(|source| match source {
        bpf_sys::Error::Sys { .. } => {
            Error::Sys { context: format!("map `{}`: put {what} at {index}", map.spec.name), source }
        }
        source => sys(&map.spec, source),
    })
}

//! struct_ops maps: operations of the kernel that programs implement.

use bpf_sys::Errno;
use bpf_sys::link::{self as sys, Link};
use bpf_sys::map::{Map, MapFlags};

use crate::collection::LoadedMap;
use crate::spec::MapKind;
use crate::{Error, Result};

/// Operations at work. They stop when this is dropped (those that are in use, such as a congestion control, when their last
/// user is gone).
#[derive(Debug)]
#[non_exhaustive]
pub enum Operations {
    /// Through a link, of maps in the section `.struct_ops.link`. Since Linux 6.4.
    Link(Link),
    /// Through the map's only element, of maps in the section `.struct_ops`.
    Element(Registration),
}

/// A struct_ops map whose element is set; dropping deletes the element.
#[derive(Debug)]
pub struct Registration {
    map: Map,
}

impl Registration {
    /// Stops the operations now.
    ///
    /// # Errors
    ///
    /// What the kernel's subsystem says.
    pub fn stop(self) -> Result<()> {
        let map = self.map.try_clone();
        // Dropping deletes as well; then there is nothing left to delete.
        let stopped = map.and_then(|map| map.delete(&[0; 4]));
        stopped.map(|_| ()).map_err(|source| Error::Sys { context: "stop struct_ops".into(), source })
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        // A failure has no one to be told to: `stop` is there for who wants to know.
        let _ = self.map.delete(&[0; 4]);
    }
}

/// Puts the operations of a loaded struct_ops map to work. Since Linux 5.6; through links since 6.4.
///
/// # Errors
///
/// [`Error::Map`] where it is no struct_ops map, and what the kernel's subsystem says: EEXIST where operations of this name
/// are there already.
pub fn attach_struct_ops(map: &LoadedMap) -> Result<Operations> {
    let spec = &map.spec;
    let Some(ops) = spec.struct_ops.as_ref().filter(|_| spec.kind == MapKind::StructOps) else {
        let what = "is no struct_ops map, and only those are attached; attach programs instead".into();
        return Err(Error::Map { map: spec.name.clone(), what });
    };
    let Some(value) = &map.struct_ops_value else {
        let what = "was not loaded as a struct_ops map, and has no value that could be put to work".into();
        return Err(Error::Map { map: spec.name.clone(), what });
    };
    let failed = |source: bpf_sys::Error| {
        let hint = match source.errno() {
            Some(Errno::EEXIST) => " (operations of this name are there already)",
            Some(Errno::EBUSY) => " (it is at work already)",
            Some(Errno::EINVAL) => " (the kernel's subsystem does not take these operations or this name)",
            _ => "",
        };
        let context =
            format!("put struct_ops map `{}` (`struct {}`) to work{hint}", spec.name, ops.type_name);
        Error::Sys { context, source }
    };
    let by_link = map.map.info().map_err(failed)?.flags.contains(MapFlags::LINK);
    match map.map.update(&[0; 4], value, bpf_sys::map::UpdateFlags::ANY) {
        Ok(()) => {}
        // It has its value: of a map with a link that says nothing yet.
        Err(error) if by_link && error.is_errno(Errno::EBUSY) => {}
        Err(error) => return Err(failed(error)),
    }
    if by_link {
        return sys::struct_ops(&map.map).map(Operations::Link).map_err(failed);
    }
    Ok(Operations::Element(Registration { map: map.map.try_clone().map_err(failed)? }))
}

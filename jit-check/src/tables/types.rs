//! Which types of maps and programs a kernel has.

use crate::kernel::{Kernel, Version};
use bpf_sys::map::MapType;
use bpf_sys::prog::ProgType;

impl Kernel<'_> {
    /// Whether kernels of this version make maps of this type.
    pub fn has_map_type(&self, map_type: MapType) -> bool {
        is_since(self.version, map_type.since())
    }

    /// Whether kernels of this version load programs of this type.
    pub fn has_prog_type(&self, prog_type: ProgType) -> bool {
        is_since(self.version, prog_type.since())
    }
}

fn is_since(version: Version, since: Option<&str>) -> bool {
    since.and_then(|since| since.parse::<Version>().ok()).is_some_and(|since| version >= since)
}

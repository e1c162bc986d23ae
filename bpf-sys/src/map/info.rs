//! What the kernel tells about a map.

use std::os::fd::BorrowedFd;

use super::{MapFlags, MapType};
use crate::abi::info;
use crate::abi::util::{fd_field, get_info, text};
use crate::error::{Error, Result};

/// What the kernel tells about a map: `struct bpf_map_info`. Since Linux 4.13.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct MapInfo {
    /// The kind of map.
    pub map_type: MapType,
    /// The id, unique until the map is gone.
    pub id: u32,
    /// Bytes of a key.
    pub key_size: u32,
    /// Bytes of a value; of a per-CPU map, of one processor's.
    pub value_size: u32,
    /// The most elements; of a ring buffer its bytes.
    pub max_entries: u32,
    /// How it was created.
    pub flags: MapFlags,
    /// Its name; empty where it has none.
    pub name: String,
    /// The network device that holds it; 0 for the kernel itself.
    pub ifindex: u32,
    /// The BTF object that describes it; 0 for none.
    pub btf_id: u32,
    /// The key's type in that object; 0 for none.
    pub btf_key_type_id: u32,
    /// The value's type in that object; 0 for none.
    pub btf_value_type_id: u32,
    /// A struct_ops map's type in the BTF object [`btf_vmlinux_id`](Self::btf_vmlinux_id); 0 for none. Since Linux 5.6.
    pub btf_vmlinux_value_type_id: u32,
    /// The kernel's BTF object that holds that type; 0 where the kernel does not say. Since Linux 6.9.
    pub btf_vmlinux_id: u32,
    /// What the map type makes of it. Since Linux 5.16.
    pub map_extra: u64,
}

pub(super) fn read(fd: BorrowedFd<'_>) -> Result<MapInfo> {
    let mut raw = info::MapInfo::default();
    // SAFETY: the structure has no addresses in it, so nothing but itself is written.
    unsafe { get_info(fd, &mut raw) }.map_err(|errno| {
        Error::sys(
            "bpf(BPF_OBJ_GET_INFO_BY_FD)",
            format!("describe the map of descriptor {}", fd_field(fd)),
            errno,
        )
    })?;
    Ok(MapInfo {
        map_type: MapType::from_raw(raw.map_type),
        id: raw.id,
        key_size: raw.key_size,
        value_size: raw.value_size,
        max_entries: raw.max_entries,
        flags: MapFlags::from_bits_retain(raw.map_flags),
        name: text(&raw.name),
        ifindex: raw.ifindex,
        btf_id: raw.btf_id,
        btf_key_type_id: raw.btf_key_type_id,
        btf_value_type_id: raw.btf_value_type_id,
        btf_vmlinux_value_type_id: raw.btf_vmlinux_value_type_id,
        btf_vmlinux_id: raw.btf_vmlinux_id,
        map_extra: raw.map_extra,
    })
}

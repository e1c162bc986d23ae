//! The types of a map's keys and values.

use anyhow::{Context, Result, anyhow};
use bpf_sys::btf_obj::BtfObj;
use bpf_sys::map::MapInfo;
use btf::{Btf, TypeId};

/// BTF bytes and the ids of the types in them.
#[derive(Debug)]
pub struct MapTypes {
    bytes: Vec<u8>,
    /// The key's type; `None` for maps of global variables.
    pub key: Option<TypeId>,
    /// The value's type.
    pub value: TypeId,
}

impl MapTypes {
    /// The types of a map, where it has some.
    pub fn of(info: &MapInfo) -> Result<Option<MapTypes>> {
        if info.btf_vmlinux_value_type_id != 0 {
            const VMLINUX: &str = "/sys/kernel/btf/vmlinux";
            let bytes = std::fs::read(VMLINUX).map_err(|e| anyhow!("cannot read {VMLINUX}: {e}"))?;
            return Ok(Some(MapTypes { bytes, key: None, value: TypeId(info.btf_vmlinux_value_type_id) }));
        }
        if info.btf_id == 0 || info.btf_value_type_id == 0 {
            return Ok(None);
        }
        let bytes = BtfObj::from_id(info.btf_id)?.bytes()?;
        let key = (info.btf_key_type_id != 0).then_some(TypeId(info.btf_key_type_id));
        Ok(Some(MapTypes { bytes, key, value: TypeId(info.btf_value_type_id) }))
    }

    /// Opens the types.
    pub fn open(&self) -> Result<Btf<'_>> {
        Btf::parse(&self.bytes).context("the map's BTF")
    }
}

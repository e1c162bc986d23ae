//! Creating maps.

use super::fallback::{Fallback, refuses_btf_ids};
use super::session::Session;
use super::sizes;
use crate::collection::LoadedMap;
use crate::spec::{MapKind, MapSpec};
use crate::{Error, Result};
use bpf_sys::Errno;
use bpf_sys::features;
use bpf_sys::map::{Map, MapCreate, MapFlags, MapType, UpdateFlags};
use bpf_sys::mapped::MappedArena;
use std::os::fd::{AsFd, BorrowedFd};

/// What a struct_ops map is in the kernel.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct KernelValue<'f> {
    pub type_id: u32,
    pub module: Option<BorrowedFd<'f>>,
}

impl Session<'_> {
    /// Creates all maps, fills those with initial content, and pins those that are shared by name.
    ///
    /// # Errors
    ///
    /// The first map that cannot be had; pins of this load are taken back.
    pub fn create_maps(&mut self) -> Result<()> {
        let done = (0..self.object.maps.len()).try_for_each(|index| self.provide_map(index));
        let done = done.and_then(|()| self.fill_map_slots());
        if done.is_err() {
            self.unpin();
        }
        done
    }

    /// Takes over or creates one map.
    fn provide_map(&mut self, index: usize) -> Result<()> {
        let mut spec = self.object.maps[index].clone();
        if !spec.autocreate {
            return Ok(());
        }
        sizes::adjust(&mut spec).map_err(|source| sys(&spec, source))?;
        if spec.ifindex == 0 && can_be_offloaded(spec.map_type) {
            spec.ifindex = self.options.ifindex;
        }
        if let Some((_, map)) = self.options.reuse.iter().find(|(name, _)| *name == spec.name) {
            let map = map.try_clone().map_err(|source| sys(&spec, source))?;
            self.maps[index] = Some(LoadedMap::new(index, taken_over(spec, &map), map, true));
            return Ok(());
        }
        let pin = self.pin_path(&spec)?;
        if let Some(path) = &pin
            && let Some(map) = super::pins::open(&spec, path)?
        {
            self.maps[index] = Some(LoadedMap::new(index, spec, map, true));
            return Ok(());
        }
        let Some(map) = self.create_map(index, &mut spec)? else { return Ok(()) };
        let mut loaded = LoadedMap::new(index, spec, map, false);
        self.fill(&mut loaded)?;
        if let Some(path) = pin {
            loaded = self.pin(loaded, path)?;
        }
        self.maps[index] = Some(loaded);
        Ok(())
    }

    /// Creates one map with whatever this kernel takes of its definition; `None` for global data where the kernel has none.
    fn create_map(&self, index: usize, spec: &mut MapSpec) -> Result<Option<Map>> {
        let data = is_data(spec.kind);
        if data && self.known_to_lack(Fallback::GlobalData) {
            return Ok(None);
        }
        if self.known_to_lack(Fallback::MmapableArrays) && data {
            spec.flags.remove(MapFlags::MMAPABLE);
        }
        let inner = match &spec.inner {
            Some(inner) => Some(self.create_template(spec, inner)?),
            None => None,
        };
        let module;
        let mut kernel = KernelValue::default();
        if let Some(ops) = self.kernel_struct_ops(index) {
            kernel.type_id = ops.value_type.0;
            spec.value_size = u32::try_from(ops.value.len()).unwrap_or(u32::MAX);
            if let Some(name) = &ops.module {
                module = self.module(name)?;
                kernel.module = Some(module.as_fd());
                spec.flags |= MapFlags::VTYPE_BTF_OBJ_FD;
            }
        }
        let first = match self.try_create(spec, inner.as_ref(), kernel, true) {
            Ok(map) => return Ok(Some(map)),
            Err(error) => error,
        };
        // What of it this kernel does not have, it is asked only now.
        if data && first.is_errno(Errno::EINVAL) {
            if spec.flags.contains(MapFlags::MMAPABLE) && self.lacks(Fallback::MmapableArrays) {
                spec.flags.remove(MapFlags::MMAPABLE);
                if let Ok(map) = self.try_create(spec, inner.as_ref(), kernel, true) {
                    return Ok(Some(map));
                }
            }
            if self.lacks(Fallback::GlobalData) {
                return Ok(None);
            }
        }
        let nameless =
            matches!(first.errno(), Some(Errno::E2BIG | Errno::EINVAL)) && self.lacks(Fallback::Names);
        if nameless && let Ok(map) = self.try_create(spec, inner.as_ref(), kernel, true) {
            return Ok(Some(map));
        }
        if (spec.key_type.is_some() || spec.value_type.is_some())
            && self.btf.is_some()
            && let Ok(map) = self.try_create(spec, inner.as_ref(), kernel, false)
        {
            (spec.key_type, spec.value_type) = (None, None);
            return Ok(Some(map));
        }
        Err(self.refused(spec, first))
    }

    fn try_create(
        &self,
        spec: &MapSpec,
        inner: Option<&Map>,
        kernel: KernelValue<'_>,
        types: bool,
    ) -> bpf_sys::Result<Map> {
        let typed = types && !refuses_btf_ids(spec.map_type);
        let btf = self.btf.as_ref().filter(|_| typed || spec.map_type == MapType::StructOps);
        let key_type = spec.key_type.filter(|_| btf.is_some());
        let value_type = spec.value_type.filter(|_| btf.is_some() && spec.map_type != MapType::StructOps);
        MapCreate {
            map_type: spec.map_type,
            key_size: spec.key_size,
            value_size: spec.value_size,
            max_entries: spec.max_entries,
            flags: spec.flags,
            name: if self.known_to_lack(Fallback::Names) { "" } else { &spec.kernel_name },
            inner_map: inner.map(|map| map.as_fd()),
            numa_node: spec.numa_node,
            ifindex: spec.ifindex,
            btf: btf.map(|btf| btf.as_fd()),
            btf_key_type_id: key_type.map_or(0, |id| id.0),
            btf_value_type_id: value_type.map_or(0, |id| id.0),
            btf_vmlinux_value_type_id: kernel.type_id,
            value_type_btf_obj: kernel.module,
            map_extra: spec.map_extra,
            ..MapCreate::default()
        }
        .create()
    }

    /// A map like those that a map of maps holds. The kernel looks at it while the outer one is created.
    fn create_template(&self, outer: &MapSpec, inner: &MapSpec) -> Result<Map> {
        let template = match &inner.inner {
            Some(below) => Some(self.create_template(inner, below)?),
            None => None,
        };
        let attempt = |types| self.try_create(inner, template.as_ref(), KernelValue::default(), types);
        attempt(true).or_else(|error| attempt(false).map_err(|_| error)).map_err(|source| Error::Sys {
            context: format!("map `{}`: create a map like those that it is to hold", outer.name),
            source: explain_type(inner, source),
        })
    }

    /// Initial content: of data maps, and of arenas, which programs can only use once they are mapped.
    fn fill(&self, loaded: &mut LoadedMap) -> Result<()> {
        let LoadedMap { spec, map, .. } = &*loaded;
        if spec.map_type == MapType::Arena {
            let arena = MappedArena::new(map).map_err(|source| sys(spec, source))?;
            if let Some(data) = &spec.data
                && !arena.write_bytes(0, data)
            {
                return Err(Error::Map {
                    map: spec.name.clone(),
                    what: format!(
                        "its globals take {} bytes, but the arena has {}: raise max_entries, which counts pages",
                        data.len(),
                        arena.len_bytes()
                    ),
                });
            }
            loaded.arena = Some(arena);
            return Ok(());
        }
        if !is_data(spec.kind) {
            return Ok(());
        }
        if let Some(data) = spec.data.as_ref().filter(|data| data.iter().any(|byte| *byte != 0)) {
            if data.len() > map.value_len() {
                return Err(Error::Map {
                    map: spec.name.clone(),
                    what: format!(
                        "its initial value has {} bytes, its definition {}",
                        data.len(),
                        map.value_len()
                    ),
                });
            }
            let mut padded = Vec::new();
            let value = if data.len() == map.value_len() {
                data
            } else {
                padded.extend_from_slice(data);
                padded.resize(map.value_len(), 0);
                &padded
            };
            map.update(&0_u32.to_ne_bytes(), value, UpdateFlags::ANY).map_err(|source| sys(spec, source))?;
        }
        if matches!(spec.kind, MapKind::Rodata | MapKind::Kconfig) {
            map.freeze().map_err(|source| sys(spec, source))?;
        }
        Ok(())
    }

    /// What the kernel minds about a map, as far as trying can tell.
    fn refused(&self, spec: &MapSpec, source: bpf_sys::Error) -> Error {
        let typed = matches!(
            spec.map_type,
            MapType::SkStorage | MapType::InodeStorage | MapType::TaskStorage | MapType::CgrpStorage
        );
        if typed
            && self.btf.is_none()
            && features::map_type(spec.map_type).is_yes()
            && source.is_errno(Errno::EINVAL)
        {
            let why = match &self.btf_refused {
                Some(error) => format!("the kernel refused the object's BTF: {error}"),
                None => "the object has none: compile it with -g".to_owned(),
            };
            return Error::Map {
                map: spec.name.clone(),
                what: format!("a {} map needs BTF of its key and value; {why}", spec.map_type),
            };
        }
        if source.is_errno(Errno::EINVAL) && features::map_type(spec.map_type).is_yes() {
            let unset = [
                ("max_entries", spec.max_entries),
                ("key_size", spec.key_size),
                ("value_size", spec.value_size),
            ]
            .into_iter()
            .find(|(_, value)| *value == 0);
            if let Some((field, _)) =
                unset.filter(|(field, _)| *field == "max_entries" || is_table(spec.map_type))
            {
                return Error::Map {
                    map: spec.name.clone(),
                    what: format!(
                        "its {field} is 0, which a {} map does not take: programs that size their maps when they \
                         start leave it open; set `{field}` of the map's spec before loading",
                        spec.map_type
                    ),
                };
            }
        }
        sys(spec, explain_type(spec, source))
    }
}

/// Types that have keys and values.
fn is_table(map_type: MapType) -> bool {
    use MapType::*;
    matches!(
        map_type,
        Hash | Array | PercpuHash | PercpuArray | StackTrace | LruHash | LruPercpuHash | LpmTrie | Sockhash
    )
}

/// EINVAL may mean that the kernel is too old for the type, which is worth asking before it is said.
fn explain_type(spec: &MapSpec, source: bpf_sys::Error) -> bpf_sys::Error {
    let unknown = matches!(source.errno(), Some(Errno::EINVAL | Errno::ENOTSUPP | Errno::EOPNOTSUPP));
    if unknown && features::map_type(spec.map_type).is_no() {
        return bpf_sys::Error::Unsupported {
            feature: spec.map_type.abi_name().unwrap_or("this map type"),
            since: spec.map_type.since().unwrap_or("a newer one than this loader knows"),
            how: format!("a trial map of type {} was refused", spec.map_type),
        };
    }
    source
}

/// Sections of variables.
pub(super) fn is_data(kind: MapKind) -> bool {
    matches!(kind, MapKind::Data | MapKind::Rodata | MapKind::Bss | MapKind::Kconfig)
}

/// Maps that live with the programs of a network device.
fn can_be_offloaded(map_type: MapType) -> bool {
    matches!(map_type, MapType::Array | MapType::Hash)
}

/// A map that the caller brings is what it is: its definition follows it.
fn taken_over(mut spec: MapSpec, map: &Map) -> MapSpec {
    if let Ok(info) = map.info() {
        spec.map_type = info.map_type;
        (spec.key_size, spec.value_size) = (info.key_size, info.value_size);
        (spec.max_entries, spec.flags) = (info.max_entries, info.flags);
    }
    spec
}

pub(super) fn sys(spec: &MapSpec, source: bpf_sys::Error) -> Error {
    Error::Sys { context: format!("map `{}`", spec.name), source }
}

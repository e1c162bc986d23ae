//! Typed access to what is loaded: global variables, keys and values of maps.

use super::{Collection, LoadedMap};
use crate::globals::{self, Pod};
use crate::spec::Variable;
use crate::{Error, Result};
use bpf_sys::map::{Map, MapFlags, MapType, UpdateFlags};
use bpf_sys::mapped::{Access, MappedArray};
use bpf_sys::percpu;
use std::marker::PhantomData;

/// A global variable of a running program.
///
/// Its section is mapped where the kernel can (since Linux 5.5): reading and writing are no system calls then. A number of
/// four or eight bytes is never seen half written; larger values may be.
#[derive(Debug)]
pub struct Global<'c, T> {
    map: &'c LoadedMap,
    variable: &'c Variable,
    ty: PhantomData<T>,
}

impl<T: Pod> Global<'_, T> {
    /// Reads it.
    ///
    /// # Errors
    ///
    /// What the kernel answers where the section is not mapped.
    pub fn get(&self) -> Result<T> {
        let start = self.variable.offset as usize;
        let mut bytes = vec![0; T::SIZE];
        if let Some(memory) = memory(self.map)
            && memory.read_bytes(start, &mut bytes)
        {
            return Ok(T::from_bytes(&bytes));
        }
        let value = self.section()?;
        value
            .get(start..)
            .and_then(|rest| rest.get(..T::SIZE))
            .map(T::from_bytes)
            .ok_or_else(|| self.outside(value.len()))
    }

    /// Writes it.
    ///
    /// # Errors
    ///
    /// [`Error::Name`] for constants, which are frozen; what the kernel answers where the section is not mapped.
    pub fn set(&self, value: T) -> Result<()> {
        let start = self.variable.offset as usize;
        if self.map.spec.flags.contains(MapFlags::RDONLY_PROG) {
            return Err(Error::Name {
                name: self.variable.name.clone(),
                what: format!(
                    "is constant (in `{}`) and was frozen when it was loaded: set it with `Object::set` before",
                    self.map.spec.name
                ),
            });
        }
        let bytes = value.to_bytes();
        if let Some(memory) = memory(self.map)
            && memory.write_bytes(start, &bytes)
        {
            return Ok(());
        }
        let mut section = self.section()?;
        let len = section.len();
        match section.get_mut(start..).and_then(|rest| rest.get_mut(..bytes.len())) {
            Some(place) => place.copy_from_slice(&bytes),
            None => return Err(self.outside(len)),
        }
        let updated = self.map.map.update(&0_u32.to_ne_bytes(), &section, UpdateFlags::ANY);
        updated.map_err(|source| self.sys("write", source))
    }

    /// The whole section, by a system call.
    fn section(&self) -> Result<Vec<u8>> {
        let mut value = vec![0; self.map.map.value_len()];
        self.map.map.lookup(&0_u32.to_ne_bytes(), &mut value).map_err(|source| self.sys("read", source))?;
        Ok(value)
    }

    fn sys(&self, action: &str, source: bpf_sys::Error) -> Error {
        Error::Sys { context: format!("{action} the variable `{}`", self.variable.name), source }
    }

    fn outside(&self, len: usize) -> Error {
        Error::Name {
            name: self.variable.name.clone(),
            what: format!("lies at {}, behind the {len} bytes of its section", self.variable.offset),
        }
    }
}

/// The section's memory, mapped when it is first asked for.
fn memory(map: &LoadedMap) -> Option<&MappedArray> {
    map.memory
        .get_or_init(|| {
            let spec = &map.spec;
            if spec.map_type != MapType::Array || !spec.flags.contains(MapFlags::MMAPABLE) {
                return None;
            }
            let constant = spec.flags.contains(MapFlags::RDONLY_PROG);
            let access = if constant { Access::ReadOnly } else { Access::Writable };
            // Where it cannot be mapped, system calls do the same.
            MappedArray::whole(&map.map, access).ok()
        })
        .as_ref()
}

/// A map whose keys and values have types.
#[derive(Debug)]
pub struct TypedMap<'c, K, V> {
    map: &'c Map,
    types: PhantomData<(K, V)>,
}

impl<'c, K: Pod, V: Pod> TypedMap<'c, K, V> {
    /// The map with keys `K` and values `V`. Of a per-CPU map `V` is one processor's value.
    ///
    /// # Errors
    ///
    /// [`Error::Map`] where the sizes are not those of the map.
    pub fn new(name: &str, map: &'c Map) -> Result<TypedMap<'c, K, V>> {
        let sizes = [("key", map.key_size(), K::SIZE), ("value", map.value_size(), V::SIZE)];
        for (what, have, given) in sizes {
            if have != given {
                return Err(Error::Map {
                    map: name.to_owned(),
                    what: format!(
                        "a {what} has {have} bytes, the type {given}: use the type that the program declares"
                    ),
                });
            }
        }
        Ok(TypedMap { map, types: PhantomData })
    }

    /// The value of a key; `None` where it is not there. Of a per-CPU map the first processor's.
    ///
    /// # Errors
    ///
    /// What the kernel answers.
    pub fn get(&self, key: &K) -> Result<Option<V>> {
        Ok(self.read(key)?.map(|bytes| V::from_bytes(&bytes)))
    }

    /// The values of all processors; of a map that is not per-CPU the only one. Empty where the key is not there.
    ///
    /// # Errors
    ///
    /// What the kernel answers.
    pub fn get_all(&self, key: &K) -> Result<Vec<V>> {
        let Some(bytes) = self.read(key)? else { return Ok(Vec::new()) };
        if self.map.value_len() == self.map.value_size() {
            return Ok(vec![V::from_bytes(&bytes)]);
        }
        Ok(percpu::split(&bytes, V::SIZE).map(V::from_bytes).collect())
    }

    fn read(&self, key: &K) -> Result<Option<Vec<u8>>> {
        let mut bytes = vec![0; self.map.value_len()];
        let there = self.map.lookup(&key.to_bytes(), &mut bytes).map_err(sys("read"))?;
        Ok(there.then_some(bytes))
    }

    /// Writes the value of a key; of a per-CPU map every processor's.
    ///
    /// # Errors
    ///
    /// What the kernel answers, such as E2BIG where the map is full.
    pub fn set(&self, key: &K, value: &V) -> Result<()> {
        let mut bytes = vec![0; self.map.value_len()];
        if bytes.len() == V::SIZE {
            value.write_bytes(&mut bytes);
        } else {
            for slot in bytes.chunks_exact_mut(percpu::value_stride(V::SIZE).max(1)) {
                value.write_bytes(slot);
            }
        }
        self.map.update(&key.to_bytes(), &bytes, UpdateFlags::ANY).map_err(sys("write"))
    }

    /// Deletes a key; `false` where it was not there.
    ///
    /// # Errors
    ///
    /// What the kernel answers.
    pub fn delete(&self, key: &K) -> Result<bool> {
        self.map.delete(&key.to_bytes()).map_err(sys("delete from"))
    }

    /// All keys that are there now.
    ///
    /// # Errors
    ///
    /// What the kernel answers.
    pub fn keys(&self) -> Result<Vec<K>> {
        let mut keys = Vec::new();
        self.map.for_each_key(|key| keys.push(K::from_bytes(key))).map_err(sys("walk"))?;
        Ok(keys)
    }
}

fn sys(action: &'static str) -> impl Fn(bpf_sys::Error) -> Error {
    move |source| Error::Sys { context: format!("{action} a typed map"), source }
}

impl Collection {
    /// A global variable by its name in C.
    ///
    /// ```no_run
    /// # fn f(collection: loader::Collection) -> loader::Result<()> {
    /// let seen = collection.variable::<u64>("events_seen")?;
    /// println!("{} so far", seen.get()?);
    /// seen.set(0)?;
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::Name`] where there is no such variable or its size is not the type's.
    pub fn variable<T: Pod>(&self, name: &str) -> Result<Global<'_, T>> {
        let (index, variable) = globals::find(&self.object, name)?;
        globals::check_size(variable, T::SIZE)?;
        let map = self.maps.iter().find(|map| map.index == index).ok_or_else(|| Error::Name {
            name: name.to_owned(),
            what: "its section was not created: this kernel has no global data (since Linux 5.2)".to_owned(),
        })?;
        Ok(Global { map, variable, ty: PhantomData })
    }

    /// A map whose keys and values have types.
    ///
    /// ```no_run
    /// # fn f(collection: loader::Collection) -> loader::Result<()> {
    /// let counts = collection.typed_map::<u32, u64>("counts")?;
    /// for pid in counts.keys()? {
    ///     println!("{pid}: {:?}", counts.get(&pid)?);
    /// }
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::Name`] where there is no such map; [`Error::Map`] where its sizes are not those of the types.
    pub fn typed_map<K: Pod, V: Pod>(&self, name: &str) -> Result<TypedMap<'_, K, V>> {
        TypedMap::new(name, &self.expect_map(name)?.map)
    }
}

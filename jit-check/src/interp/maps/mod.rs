//! Simulated maps, with the kernel's semantics and error numbers.

pub(super) mod arena;
pub(super) mod lpm;
pub(super) mod ring;
pub(super) mod table;
mod update;

use super::mem::{Full, Kind, Memory, address};
use arena::Arena;
use bpf_sys::map::{MapFlags, MapType};
use loader::{MapKind, MapSpec, SlotTarget};
use lpm::Lpm;
use ring::Ring;
use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::hash::BuildHasherDefault;
use table::{Mix, Table};

/// Where an array's elements are: none has memory before it is used.
#[derive(Clone, Debug)]
pub(super) enum Cells {
    Dense(Vec<u32>),
    Wide(HashMap<u32, u32, BuildHasherDefault<Mix>>),
}

impl Cells {
    fn new(count: u32) -> Cells {
        if count <= 1 << 20 { Cells::Dense(vec![0; count as usize]) } else { Cells::Wide(HashMap::default()) }
    }

    #[inline]
    fn get(&self, index: u32) -> u32 {
        match self {
            Cells::Dense(cells) => cells.get(index as usize).copied().unwrap_or(0),
            Cells::Wide(cells) => cells.get(&index).copied().unwrap_or(0),
        }
    }

    fn set(&mut self, index: u32, region: u32) {
        match self {
            Cells::Dense(cells) => {
                if let Some(cell) = cells.get_mut(index as usize) {
                    *cell = region;
                }
            }
            Cells::Wide(cells) => {
                cells.insert(index, region);
            }
        }
    }
}

/// What a map holds. Regions of per-CPU maps are indexes into [`Map::groups`].
#[derive(Clone, Debug)]
pub(super) enum Body {
    Array(Cells),
    Hash(Table),
    Lpm(Lpm),
    Queue(VecDeque<Box<[u8]>>),
    Ring(Ring),
    UserRing(VecDeque<Vec<u8>>),
    Perf(Vec<(u32, Vec<u8>)>),
    Progs(BTreeMap<u32, usize>),
    MapArray(BTreeMap<u32, usize>),
    MapHash(BTreeMap<Box<[u8]>, usize>),
    Stacks(BTreeMap<u32, Vec<u64>>),
    Bloom(HashSet<Box<[u8]>>),
    /// Regions by the address of their owner.
    Storage(BTreeMap<u64, u32>),
    Arena(Arena),
    /// Devices, processors, sockets: numbers that the host put there.
    Numbers(BTreeMap<Box<[u8]>, Box<[u8]>>),
}

#[derive(Clone, Debug)]
pub(super) struct Map {
    pub name: String,
    pub map_type: MapType,
    pub key_size: u32,
    pub value_size: u32,
    pub max_entries: u32,
    pub read_only: bool,
    /// Region whose address is the map's.
    pub handle: u32,
    pub body: Body,
    /// Regions of each processor's value.
    pub groups: Vec<Vec<u32>>,
    spare_groups: Vec<u32>,
    /// Values that programs may still look at until they end.
    pub dead: Vec<u32>,
    /// Parts of a value that updates leave alone: locks, timers, kptrs.
    pub special: Vec<(u32, u32)>,
    pub cpus: u32,
    index: u32,
}

/// Why a map cannot be simulated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum NoMap {
    Full,
    Bad(String),
}

impl From<Full> for NoMap {
    fn from(_: Full) -> NoMap {
        NoMap::Full
    }
}

impl Map {
    pub fn new(spec: &MapSpec, index: usize, mem: &mut Memory, cpus: u32) -> Result<Map, NoMap> {
        use MapType as T;
        let bad = |why: &str| NoMap::Bad(why.to_owned());
        let index = index as u32;
        let (keys, values, most) = (spec.key_size, spec.value_size, spec.max_entries);
        let needs_u32 =
            |body: Body| if keys == 4 { Ok(body) } else { Err(bad("its keys must have 4 bytes")) };
        let has_entries = most > 0;
        let body = match spec.map_type {
            T::Array | T::PercpuArray => needs_u32(Body::Array(Cells::new(most)))?,
            T::Hash | T::PercpuHash | T::LruHash | T::LruPercpuHash | T::Rhash => {
                if keys == 0 {
                    return Err(bad("its keys must have a size"));
                }
                Body::Hash(Table::default())
            }
            T::LpmTrie if keys > 4 && keys <= 4 + 256 => Body::Lpm(Lpm::default()),
            T::LpmTrie => return Err(bad("its keys must be a length of 4 bytes and 1 to 256 bytes")),
            T::Queue | T::Stack => Body::Queue(VecDeque::new()),
            T::Ringbuf if most.is_power_of_two() && most.is_multiple_of(4096) => Body::Ring(Ring::new(most)),
            T::Ringbuf => return Err(bad("its size must be a power of two and whole pages")),
            T::UserRingbuf => Body::UserRing(VecDeque::new()),
            T::PerfEventArray => Body::Perf(Vec::new()),
            T::ProgArray => needs_u32(Body::Progs(BTreeMap::new()))?,
            T::ArrayOfMaps => needs_u32(Body::MapArray(BTreeMap::new()))?,
            T::HashOfMaps => Body::MapHash(BTreeMap::new()),
            T::StackTrace => Body::Stacks(BTreeMap::new()),
            T::BloomFilter => Body::Bloom(HashSet::new()),
            T::SkStorage
            | T::InodeStorage
            | T::TaskStorage
            | T::CgrpStorage
            | T::CgroupStorage
            | T::PercpuCgroupStorage => Body::Storage(BTreeMap::new()),
            T::Arena => Body::Arena(Arena::new(most, spec.map_extra)),
            _ => Body::Numbers(BTreeMap::new()),
        };
        if !has_entries && matches!(body, Body::Array(_) | Body::Hash(_) | Body::Lpm(_) | Body::Queue(_)) {
            return Err(bad("it has no entries (max_entries is 0)"));
        }
        let read_only = spec.flags.contains(MapFlags::RDONLY_PROG)
            || matches!(spec.kind, MapKind::Rodata | MapKind::Kconfig);
        let handle = mem.alloc(Kind::Map, index, 0, true)?;
        let mut map = Map {
            name: spec.name.clone(),
            map_type: spec.map_type,
            key_size: keys,
            value_size: values,
            max_entries: most,
            read_only,
            handle,
            body,
            groups: Vec::new(),
            spare_groups: Vec::new(),
            dead: Vec::new(),
            special: Vec::new(),
            cpus: cpus.max(1),
            index,
        };
        if let Some(data) = &spec.data {
            map.fill(data, mem)?;
        }
        for slot in &spec.slots {
            if let (Body::MapArray(slots), SlotTarget::Map(inner)) = (&mut map.body, slot.target) {
                slots.insert(slot.index, inner);
            } else if let (Body::MapHash(slots), SlotTarget::Map(inner)) = (&mut map.body, slot.target) {
                slots.insert(slot.index.to_ne_bytes().into(), inner);
            }
        }
        Ok(map)
    }

    /// Initial value of element 0, or an arena's globals.
    fn fill(&mut self, data: &[u8], mem: &mut Memory) -> Result<(), NoMap> {
        match &mut self.body {
            Body::Array(_) => {
                let region = self.cell(0, 0, mem)?;
                let place = mem.bytes_mut(region);
                let len = place.len().min(data.len());
                place[..len].copy_from_slice(&data[..len]);
            }
            Body::Arena(arena) => arena.fill(data, mem)?,
            _ => {}
        }
        Ok(())
    }

    pub fn is_percpu(&self) -> bool {
        matches!(self.map_type, MapType::PercpuArray | MapType::PercpuHash | MapType::LruPercpuHash)
    }

    pub fn is_lru(&self) -> bool {
        matches!(self.map_type, MapType::LruHash | MapType::LruPercpuHash)
    }

    /// Memory for a value: a region, or a group with one for each processor.
    pub(super) fn make_value(&mut self, mem: &mut Memory) -> Result<u32, Full> {
        let (len, index, read_only) = (self.value_size, self.index, self.read_only);
        if !self.is_percpu() {
            return mem.alloc(Kind::Value, index, len, read_only);
        }
        let group = (0..self.cpus)
            .map(|_| mem.alloc(Kind::Value, index, len, read_only))
            .collect::<Result<Vec<u32>, Full>>()?;
        Ok(match self.spare_groups.pop() {
            Some(free) => {
                self.groups[free as usize] = group;
                free
            }
            None => {
                self.groups.push(group);
                self.groups.len() as u32 - 1
            }
        })
    }

    /// The value is no longer in the map; programs may look at it until they end.
    pub(super) fn retire(&mut self, region: u32) {
        if self.is_percpu() {
            if let Some(group) = self.groups.get_mut(region as usize) {
                self.dead.append(group);
                self.spare_groups.push(region);
            }
        } else {
            self.dead.push(region);
        }
    }

    /// Region of a value on a processor.
    #[inline]
    pub(super) fn on_cpu(&self, region: u32, cpu: u32) -> u32 {
        if !self.is_percpu() {
            return region;
        }
        self.groups.get(region as usize).and_then(|g| g.get(cpu as usize)).copied().unwrap_or(0)
    }

    /// Region of an array's element, whose index is in range. Per-CPU arrays keep group numbers plus one.
    pub(super) fn cell(&mut self, index: u32, cpu: u32, mem: &mut Memory) -> Result<u32, Full> {
        let Body::Array(cells) = &self.body else { return Err(Full) };
        let mut cell = cells.get(index);
        if cell == 0 {
            cell = self.make_value(mem)? + u32::from(self.is_percpu());
            if let Body::Array(cells) = &mut self.body {
                cells.set(index, cell);
            }
        }
        Ok(if self.is_percpu() { self.on_cpu(cell - 1, cpu) } else { cell })
    }

    /// `bpf_map_lookup_elem`: address of the value, 0 where there is none.
    #[inline]
    pub fn lookup(&mut self, key: &[u8], cpu: u32, mem: &mut Memory) -> Result<u64, Full> {
        let region = match &mut self.body {
            Body::Array(cells) => {
                let Ok(index) = key.try_into().map(u32::from_ne_bytes) else { return Ok(0) };
                if index >= self.max_entries {
                    return Ok(0);
                }
                let cell = cells.get(index);
                if cell != 0 && !self.is_percpu() { cell } else { self.cell(index, cpu, mem)? }
            }
            Body::Hash(table) => {
                let lru = matches!(self.map_type, MapType::LruHash | MapType::LruPercpuHash);
                let found = if lru { table.touch(key) } else { table.get(key) };
                match found {
                    Some(region) => self.on_cpu(region, cpu),
                    None => return Ok(0),
                }
            }
            Body::Lpm(lpm) => match lpm.lookup(key) {
                Some(region) if Lpm::is_valid(key) => region,
                _ => return Ok(0),
            },
            _ => return Ok(0),
        };
        Ok(address(region))
    }

    /// Initial entries name maps of the program; from now on maps of the machine.
    pub fn rename_inner(&mut self, maps: &[usize]) {
        let rename = |inner: &mut usize| *inner = maps.get(*inner).copied().unwrap_or(usize::MAX);
        match &mut self.body {
            Body::MapArray(slots) => slots.values_mut().for_each(rename),
            Body::MapHash(slots) => slots.values_mut().for_each(rename),
            _ => {}
        }
    }

    /// A lookup that changes nothing in the map and makes no memory; `None` where it would have to.
    #[inline]
    pub fn quick(&self, key: &[u8]) -> Option<u64> {
        match (&self.body, self.map_type) {
            (Body::Hash(table), MapType::Hash | MapType::Rhash) => Some(table.get(key).map_or(0, address)),
            (Body::Array(cells), MapType::Array) => {
                let index = u32::from_ne_bytes(key.try_into().ok()?);
                Some(cells.get(index)).filter(|&region| region != 0).map(address)
            }
            _ => None,
        }
    }

    /// The map within this map of maps.
    pub fn inner(&self, key: &[u8]) -> Option<usize> {
        match &self.body {
            Body::MapArray(slots) => slots.get(&u32::from_ne_bytes(key.try_into().ok()?)).copied(),
            Body::MapHash(slots) => slots.get(key).copied(),
            _ => None,
        }
    }

    /// The elements that a walk finds at or behind a position, for `bpf_for_each_map_elem`: key, region, next position.
    pub fn element(
        &mut self,
        from: u64,
        cpu: u32,
        mem: &mut Memory,
    ) -> Result<Option<(Vec<u8>, u32, u64)>, Full> {
        match &self.body {
            Body::Array(_) => {
                if from >= u64::from(self.max_entries) {
                    return Ok(None);
                }
                let region = self.cell(from as u32, cpu, mem)?;
                Ok(Some(((from as u32).to_ne_bytes().to_vec(), region, from + 1)))
            }
            Body::Hash(table) => Ok(table
                .at_or_after(from as usize)
                .map(|(slot, entry)| (entry.key.to_vec(), self.on_cpu(entry.region, cpu), slot as u64 + 1))),
            _ => Ok(None),
        }
    }

    /// All keys, in the order in which the host's walk finds them.
    pub fn keys(&self) -> Vec<Vec<u8>> {
        match &self.body {
            Body::Array(_) => (0..self.max_entries).map(|n| n.to_ne_bytes().to_vec()).collect(),
            Body::Hash(table) => table.iter().map(|e| e.key.to_vec()).collect(),
            Body::Lpm(lpm) => lpm.iter().map(|(key, _)| key.to_vec()).collect(),
            Body::Stacks(stacks) => stacks.keys().map(|n| n.to_ne_bytes().to_vec()).collect(),
            Body::Progs(slots) | Body::MapArray(slots) => {
                slots.keys().map(|n| n.to_ne_bytes().to_vec()).collect()
            }
            Body::MapHash(slots) => slots.keys().map(|k| k.to_vec()).collect(),
            Body::Numbers(numbers) => numbers.keys().map(|k| k.to_vec()).collect(),
            Body::Storage(owners) => owners.keys().map(|k| k.to_ne_bytes().to_vec()).collect(),
            _ => Vec::new(),
        }
    }

    /// What the host reads: the value, or every processor's, each padded to 8 bytes.
    pub fn read(&mut self, key: &[u8], mem: &mut Memory) -> Option<Vec<u8>> {
        if let Body::Stacks(stacks) = &self.body {
            let frames = stacks.get(&u32::from_ne_bytes(key.try_into().ok()?))?;
            let mut bytes: Vec<u8> = frames.iter().flat_map(|f| f.to_ne_bytes()).collect();
            bytes.resize(self.value_size as usize, 0);
            return Some(bytes);
        }
        if let Body::Numbers(numbers) = &self.body {
            return numbers.get(key).map(|n| n.to_vec());
        }
        if let Body::Storage(owners) = &self.body {
            let region = *owners.get(&u64::from_ne_bytes(key.try_into().ok()?))?;
            return Some(mem.bytes(region).to_vec());
        }
        if let Body::Progs(slots) | Body::MapArray(slots) = &self.body {
            let id = *slots.get(&u32::from_ne_bytes(key.try_into().ok()?))?;
            return Some((id as u32).to_ne_bytes().to_vec());
        }
        if let Body::Lpm(lpm) = &self.body {
            return lpm.lookup(key).map(|region| mem.bytes(region).to_vec());
        }
        let cpus = if self.is_percpu() { self.cpus } else { 1 };
        let mut out = Vec::new();
        for cpu in 0..cpus {
            let addr = self.lookup(key, cpu, mem).ok().filter(|&addr| addr != 0)?;
            let (region, ..) = mem.locate(addr)?;
            out.extend_from_slice(mem.bytes(region));
            if self.is_percpu() {
                out.resize(out.len().next_multiple_of(8), 0);
            }
        }
        Some(out)
    }
}

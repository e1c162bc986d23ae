//! Maps from outside, as user space sees them.

use super::helpers::timer;
use super::machine::{Exit, Machine};
use super::maps::{Body, Map};
use super::mem::Memory;
use super::trap::Trap;
use bpf_sys::Errno;
use bpf_sys::map::MapType;

/// A record that `bpf_perf_event_output` wrote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PerfRecord {
    /// Index into the map: the processor's number.
    pub index: u32,
    /// What the program sent.
    pub data: Vec<u8>,
}

/// The maps of a machine, by their index or name.
#[derive(Debug)]
pub struct Maps<'m> {
    maps: &'m mut Vec<Map>,
    mem: &'m mut Memory,
}

impl Machine {
    /// The maps, to be read and changed between runs or steps.
    pub fn maps(&mut self) -> Maps<'_> {
        Maps { maps: &mut self.maps, mem: &mut self.mem }
    }

    /// Puts a program into a map of programs, by the number that [`add_program`](Machine::add_program) gave.
    ///
    /// # Errors
    ///
    /// `EINVAL` where the map is none of programs or there is no such program, `E2BIG` behind its end.
    pub fn set_tail_call(&mut self, map: usize, index: u32, program: usize) -> Result<(), Errno> {
        let known = program < self.parts.len();
        match self.maps.get_mut(map) {
            Some(Map { body: Body::Progs(slots), max_entries, .. }) if known => {
                if index >= *max_entries {
                    return Err(Errno::E2BIG);
                }
                slots.insert(index, program);
                Ok(())
            }
            _ => Err(Errno::EINVAL),
        }
    }

    /// Timers that are due now run: their callbacks, in the order of their time. Gives how many there were.
    ///
    /// # Errors
    ///
    /// The [`Trap`] of a callback.
    pub fn fire_timers(&mut self) -> Result<usize, Trap> {
        let mut fired = 0;
        while let Some((slot, args)) = timer::next_due(self) {
            let _: Exit = self.finish_call(slot, args)?;
            fired += 1;
            if fired >= 1 << 16 {
                break;
            }
        }
        Ok(fired)
    }
}

fn done(errno: i64) -> Result<(), Errno> {
    if errno == 0 { Ok(()) } else { Err(Errno::from_raw(-errno as i32)) }
}

impl Maps<'_> {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.maps.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.maps.is_empty()
    }

    /// Index of the map of this name.
    pub fn find(&self, name: &str) -> Option<usize> {
        self.maps.iter().position(|m| m.name == name)
    }

    /// Name of a map.
    pub fn name(&self, map: usize) -> Option<&str> {
        self.maps.get(map).map(|m| m.name.as_str())
    }

    /// Type of a map.
    pub fn map_type(&self, map: usize) -> Option<MapType> {
        self.maps.get(map).map(|m| m.map_type)
    }

    /// The value of a key. Per-CPU maps give every processor's, each padded to 8 bytes; queues and stacks (empty key)
    /// what comes next.
    pub fn lookup(&mut self, map: usize, key: &[u8]) -> Option<Vec<u8>> {
        let map = self.maps.get_mut(map)?;
        if let Body::Queue(_) = map.body {
            return map.next(false).ok().map(Into::into);
        }
        if key.len() != map.key_size as usize && !matches!(map.body, Body::Storage(_)) {
            return None;
        }
        map.read(key, self.mem)
    }

    /// Writes a value, as the system call does. Queues, stacks and bloom filters (empty key) take it as the next one.
    ///
    /// # Errors
    ///
    /// The kernel's: `E2BIG`, `EEXIST`, `ENOENT`, `EINVAL` and so on.
    pub fn update(&mut self, map: usize, key: &[u8], value: &[u8], flags: u64) -> Result<(), Errno> {
        let map = self.maps.get_mut(map).ok_or(Errno::EBADF)?;
        if matches!(map.body, Body::Queue(_) | Body::Bloom(_)) {
            if !key.is_empty() || value.len() != map.value_size as usize {
                return Err(Errno::EINVAL);
            }
            return done(map.push(value, flags).unwrap_or(super::errno::ENOMEM));
        }
        let errno = map.write(key, value, flags, self.mem);
        done(errno)
    }

    /// Puts map `inner` into a map of maps.
    ///
    /// # Errors
    ///
    /// `EINVAL` where `map` is none of maps or `inner` does not exist, `E2BIG` where there is no room.
    pub fn update_inner(&mut self, map: usize, key: &[u8], inner: usize) -> Result<(), Errno> {
        let known = inner < self.maps.len();
        let map = self
            .maps
            .get_mut(map)
            .filter(|m| known && key.len() == m.key_size as usize)
            .ok_or(Errno::EINVAL)?;
        let most = map.max_entries;
        match &mut map.body {
            Body::MapArray(slots) => {
                let index = key.try_into().map(u32::from_ne_bytes).map_err(|_| Errno::EINVAL)?;
                if index >= most {
                    return Err(Errno::E2BIG);
                }
                slots.insert(index, inner);
            }
            Body::MapHash(slots) => {
                if slots.len() >= most as usize && !slots.contains_key(key) {
                    return Err(Errno::E2BIG);
                }
                slots.insert(key.into(), inner);
            }
            _ => return Err(Errno::EINVAL),
        }
        Ok(())
    }

    /// Takes a key out.
    ///
    /// # Errors
    ///
    /// `ENOENT` where it is not in, `EINVAL` for arrays.
    pub fn delete(&mut self, map: usize, key: &[u8]) -> Result<(), Errno> {
        let map = self.maps.get_mut(map).ok_or(Errno::EBADF)?;
        done(map.delete(key))
    }

    /// Takes the next value of a queue or stack.
    pub fn pop(&mut self, map: usize) -> Option<Vec<u8>> {
        self.maps.get_mut(map)?.next(true).ok().map(Into::into)
    }

    /// Keys that are in, in an order that is the same in every run.
    pub fn keys(&self, map: usize) -> Vec<Vec<u8>> {
        self.maps.get(map).map(Map::keys).unwrap_or_default()
    }

    /// Keys and values.
    pub fn entries(&mut self, map: usize) -> Vec<(Vec<u8>, Vec<u8>)> {
        let keys = self.keys(map);
        keys.into_iter().filter_map(|key| Some((self.lookup(map, &key)?, key))).map(|(v, k)| (k, v)).collect()
    }

    /// Records of a ring buffer that were submitted; they are gone from it then.
    pub fn drain(&mut self, map: usize) -> Vec<Vec<u8>> {
        match self.maps.get_mut(map).map(|m| &mut m.body) {
            Some(Body::Ring(ring)) => ring.drain(),
            _ => Vec::new(),
        }
    }

    /// Records that were written to a perf event array; they are gone from it then.
    pub fn perf_records(&mut self, map: usize) -> Vec<PerfRecord> {
        match self.maps.get_mut(map).map(|m| &mut m.body) {
            Some(Body::Perf(records)) => {
                std::mem::take(records).into_iter().map(|(index, data)| PerfRecord { index, data }).collect()
            }
            _ => Vec::new(),
        }
    }

    /// Puts a sample into a user ring buffer.
    ///
    /// # Errors
    ///
    /// `EINVAL` where the map is none.
    pub fn produce(&mut self, map: usize, sample: &[u8]) -> Result<(), Errno> {
        match self.maps.get_mut(map).map(|m| &mut m.body) {
            Some(Body::UserRing(samples)) => {
                samples.push_back(sample.to_vec());
                Ok(())
            }
            _ => Err(Errno::EINVAL),
        }
    }
}

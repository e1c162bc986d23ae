//! Helpers of maps, ring buffers and perf events.

use super::super::call::Next;
use super::super::errno::{E2BIG, EAGAIN, EINVAL, ENOENT};
use super::super::machine::Machine;
use super::super::maps::{Body, Map};
use super::super::mem::{Kind, address};
use super::super::trap::TrapKind;
use super::{Done, bad_argument, misuse, value};

/// `BPF_MAX_LOOPS`
const MAX_LOOPS: u32 = 8 << 20;
/// `BPF_F_CURRENT_CPU`, which is also the mask of the index.
const CURRENT_CPU: u64 = 0xffff_ffff;
/// `BPF_LOCAL_STORAGE_GET_F_CREATE`
const STORAGE_CREATE: u64 = 1;

/// Keys up to this length need no allocation.
const SHORT_KEY: usize = 64;

impl Machine {
    /// Copies a key and hands it to what works on the map.
    fn with_key<T>(
        &mut self,
        name: &str,
        map: usize,
        key: u64,
        work: impl FnOnce(&mut Machine, &[u8]) -> Result<T, TrapKind>,
    ) -> Result<T, TrapKind> {
        let size = self.maps[map].key_size as usize;
        let bytes = self.bytes_in(name, key, size as u64)?;
        let mut short = [0; SHORT_KEY];
        if let Some(place) = short.get_mut(..size) {
            place.copy_from_slice(bytes);
            return work(self, place);
        }
        let long = bytes.to_vec();
        work(self, &long)
    }

    pub(super) fn map_lookup(&mut self, name: &str, map: u64, key: u64, cpu: u32) -> Done {
        let n = self.map_arg(name, 1, map)?;
        self.with_key(name, n, key, |machine, key| {
            let map = &mut machine.maps[n];
            if let Body::MapArray(_) | Body::MapHash(_) = map.body {
                let inner = map.inner(key).and_then(|inner| machine.maps.get(inner));
                return Ok(Next::Value(inner.map_or(0, |m| address(m.handle))));
            }
            let found = map.lookup(key, cpu, &mut machine.mem);
            found.map(Next::Value).map_err(|_| machine.full())
        })
    }

    pub(super) fn map_lookup_percpu(&mut self, name: &str, map: u64, key: u64, cpu: u32) -> Done {
        let n = self.map_arg(name, 1, map)?;
        if !self.maps[n].is_percpu() || cpu >= self.maps[n].cpus {
            return Ok(Next::Value(0));
        }
        self.map_lookup(name, map, key, cpu)
    }

    pub(super) fn map_update(&mut self, name: &str, map: u64, key: u64, from: u64, flags: u64) -> Done {
        let n = self.map_arg(name, 1, map)?;
        let size = u64::from(self.maps[n].value_size);
        let bytes = self.bytes_in(name, from, size)?.to_vec();
        self.with_key(name, n, key, |machine, key| {
            let cpu = machine.world.cpu;
            match machine.maps[n].update(key, &bytes, flags, cpu, &mut machine.mem) {
                Ok(errno) => value(errno),
                Err(_) => Err(machine.full()),
            }
        })
    }

    pub(super) fn map_delete(&mut self, name: &str, map: u64, key: u64) -> Done {
        let n = self.map_arg(name, 1, map)?;
        self.with_key(name, n, key, |machine, key| value(machine.maps[n].delete(key)))
    }

    pub(super) fn map_push(&mut self, name: &str, map: u64, from: u64, flags: u64) -> Done {
        let n = self.map_arg(name, 1, map)?;
        let bytes = self.bytes_in(name, from, self.maps[n].value_size.into())?.to_vec();
        match self.maps[n].push(&bytes, flags) {
            Ok(errno) => value(errno),
            Err(_) => Err(self.full()),
        }
    }

    pub(super) fn map_next(&mut self, name: &str, map: u64, to: u64, remove: bool) -> Done {
        let n = self.map_arg(name, 1, map)?;
        let size = self.maps[n].value_size;
        if let Body::Bloom(values) = &self.maps[n].body {
            let asked = self.mem.read(to, size.into()).map_err(|fault| self.fault(fault, name))?;
            return value(if values.contains(asked) { 0 } else { ENOENT });
        }
        self.check_write(name, to, size.into())?;
        match self.maps[n].next(remove) {
            Ok(bytes) => {
                self.write_out(name, to, &bytes)?;
                value(0)
            }
            Err(errno) => {
                self.write_out(name, to, &vec![0; size as usize])?;
                value(errno)
            }
        }
    }

    pub(super) fn for_each(&mut self, name: &str, map: u64, callback: u64, ctx: u64, flags: u64) -> Done {
        let n = self.map_arg(name, 1, map)?;
        let slot = self.function_arg(name, 2, callback)?;
        if !matches!(self.maps[n].body, Body::Array(_) | Body::Hash(_)) || flags != 0 {
            return value(EINVAL);
        }
        self.next_element(n, 0, 0, slot, ctx)
    }

    pub(super) fn bpf_loop(&mut self, name: &str, count: u32, callback: u64, ctx: u64, flags: u64) -> Done {
        let slot = self.function_arg(name, 2, callback)?;
        if flags != 0 {
            return value(EINVAL);
        }
        if count > MAX_LOOPS {
            return value(E2BIG);
        }
        self.next_turn(0, count.into(), slot, ctx)
    }

    pub(super) fn storage_get(&mut self, name: &str, map: u64, owner: u64, init: u64, flags: u64) -> Done {
        let n = self.map_arg(name, 1, map)?;
        if flags > STORAGE_CREATE || owner == 0 {
            return Ok(Next::Value(0));
        }
        let Map { body: Body::Storage(owners), value_size, .. } = &mut self.maps[n] else {
            return Err(bad_argument(name, 1, "the map is no local storage"));
        };
        let size = *value_size;
        if let Some(&region) = owners.get(&owner) {
            return Ok(Next::Value(address(region)));
        }
        if flags & STORAGE_CREATE == 0 {
            return Ok(Next::Value(0));
        }
        let bytes = if init == 0 { Vec::new() } else { self.bytes_in(name, init, size.into())?.to_vec() };
        let region = self.mem.alloc(Kind::Value, n as u32, size, false).map_err(|_| self.full())?;
        self.mem.bytes_mut(region)[..bytes.len()].copy_from_slice(&bytes);
        if let Body::Storage(owners) = &mut self.maps[n].body {
            owners.insert(owner, region);
        }
        Ok(Next::Value(address(region)))
    }

    pub(super) fn storage_delete(&mut self, name: &str, map: u64, owner: u64) -> Done {
        let n = self.map_arg(name, 1, map)?;
        if owner == 0 {
            return value(EINVAL);
        }
        let map = &mut self.maps[n];
        let Body::Storage(owners) = &mut map.body else {
            return Err(bad_argument(name, 1, "the map is no local storage"));
        };
        match owners.remove(&owner) {
            Some(region) => {
                map.dead.push(region);
                value(0)
            }
            None => value(ENOENT),
        }
    }

    fn ring(&mut self, name: &str, map: usize) -> Result<&mut super::super::maps::ring::Ring, TrapKind> {
        match &mut self.maps[map].body {
            Body::Ring(ring) => Ok(ring),
            _ => Err(bad_argument(name, 1, "the map is no ring buffer")),
        }
    }

    pub(super) fn ring_output(&mut self, name: &str, map: u64, from: u64, size: u64, flags: u64) -> Done {
        let n = self.map_arg(name, 1, map)?;
        // BPF_RB_NO_WAKEUP and BPF_RB_FORCE_WAKEUP are all that there is.
        if flags & !3 != 0 {
            return value(EINVAL);
        }
        if !self.ring(name, n)?.can_reserve(size) {
            return value(EAGAIN);
        }
        let bytes = self.bytes_in(name, from, size)?.to_vec();
        value(if self.ring(name, n)?.output(bytes) { 0 } else { EAGAIN })
    }

    /// Room for a record; `None` where there is none.
    pub(super) fn ring_region(&mut self, name: &str, map: usize, size: u64) -> Result<Option<u32>, TrapKind> {
        if !self.ring(name, map)?.can_reserve(size) {
            return Ok(None);
        }
        let region = self.mem.alloc(Kind::Record, map as u32, size as u32, false).map_err(|_| self.full())?;
        self.ring(name, map)?.reserve(size, region);
        Ok(Some(region))
    }

    pub(super) fn ring_reserve(&mut self, name: &str, map: u64, size: u64, flags: u64) -> Done {
        let n = self.map_arg(name, 1, map)?;
        if flags != 0 {
            return Ok(Next::Value(0));
        }
        let region = self.ring_region(name, n, size)?;
        Ok(Next::Value(region.map_or(0, address)))
    }

    /// Submits or discards the record of a region.
    pub(super) fn ring_end(&mut self, name: &str, record: u64, submit: bool) -> Result<(), TrapKind> {
        let Some((region, Kind::Record, map, 0)) = self.mem.locate(record) else {
            return Err(misuse(name, format!("{record:#x} is no record that waits for it")));
        };
        let bytes = submit.then(|| self.mem.bytes(region).to_vec());
        self.ring(name, map as usize)?.finish(region, bytes);
        self.mem.free(region);
        Ok(())
    }

    pub(super) fn ring_finish(&mut self, name: &str, record: u64, submit: bool) -> Done {
        self.ring_end(name, record, submit)?;
        value(0)
    }

    pub(super) fn ring_query(&mut self, name: &str, map: u64, what: u64) -> Done {
        let n = self.map_arg(name, 1, map)?;
        Ok(Next::Value(self.ring(name, n)?.query(what)))
    }

    pub(super) fn user_ring_drain(
        &mut self,
        name: &str,
        map: u64,
        callback: u64,
        ctx: u64,
        flags: u64,
    ) -> Done {
        let n = self.map_arg(name, 1, map)?;
        let slot = self.function_arg(name, 2, callback)?;
        if flags & !3 != 0 {
            return value(EINVAL);
        }
        self.next_sample(n, 0, slot, ctx)
    }

    /// Index that flags name in a perf event array, or an error number.
    fn perf_index(&self, map: usize, flags: u64) -> Result<u32, i64> {
        let index = flags & CURRENT_CPU;
        let index = if index == CURRENT_CPU { self.world.cpu } else { index as u32 };
        if index >= self.maps[map].max_entries { Err(E2BIG) } else { Ok(index) }
    }

    pub(super) fn perf_output(
        &mut self,
        name: &str,
        ctx: u64,
        map: u64,
        flags: u64,
        from: u64,
        size: u64,
    ) -> Done {
        let n = self.map_arg(name, 2, map)?;
        let mut bytes = self.bytes_in(name, from, size)?.to_vec();
        let of_packet = (flags >> 32 & 0xf_ffff) as usize;
        if flags >> 52 != 0 {
            return value(EINVAL);
        }
        if of_packet > 0 {
            // The beginning of the packet is sent along, for programs that have one.
            let packet = self.context.packet_bytes(&self.mem);
            if self.context.packet == 0 || ctx == 0 {
                return value(EINVAL);
            }
            let Some(part) = packet.get(..of_packet) else { return value(super::super::errno::EFAULT) };
            bytes.extend_from_slice(part);
        }
        let index = match self.perf_index(n, flags) {
            Ok(index) => index,
            Err(errno) => return value(errno),
        };
        match &mut self.maps[n].body {
            Body::Perf(records) => records.push((index, bytes)),
            _ => return Err(bad_argument(name, 2, "the map is no perf event array")),
        }
        value(0)
    }

    pub(super) fn perf_read(&mut self, name: &str, map: u64, flags: u64) -> Done {
        let n = self.map_arg(name, 1, map)?;
        if flags & !CURRENT_CPU != 0 {
            return value(EINVAL);
        }
        match self.perf_index(n, flags) {
            Err(errno) => value(errno),
            Ok(index) => match self.world.perf_counters.get(&index) {
                Some(&(count, ..)) => Ok(Next::Value(count)),
                None => value(ENOENT),
            },
        }
    }

    pub(super) fn perf_read_value(&mut self, name: &str, map: u64, flags: u64, to: u64, size: u64) -> Done {
        let n = self.map_arg(name, 1, map)?;
        self.check_write(name, to, size)?;
        let found = if size != 24 || flags & !CURRENT_CPU != 0 {
            Err(EINVAL)
        } else {
            self.perf_index(n, flags)
                .and_then(|index| self.world.perf_counters.get(&index).copied().ok_or(ENOENT))
        };
        match found {
            Ok((count, enabled, running)) => {
                let bytes: Vec<u8> = [count, enabled, running].iter().flat_map(|n| n.to_ne_bytes()).collect();
                self.write_out(name, to, &bytes)?;
                value(0)
            }
            Err(errno) => {
                self.write_out(name, to, &vec![0; size as usize])?;
                value(errno)
            }
        }
    }
}

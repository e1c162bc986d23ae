//! Changes of maps: update, delete, push, pop.

use super::super::errno::{E2BIG, EEXIST, EINVAL, ENOENT, ENOMEM, EOPNOTSUPP};
use super::super::mem::{Full, Memory};
use super::{Body, Lpm, Map};
use bpf_sys::map::MapType;

const NOEXIST: u64 = 1;
const EXIST: u64 = 2;
const LOCK: u64 = 4;

/// What becomes of an element that is or is not there.
fn allowed(flags: u64, there: bool) -> Result<(), i64> {
    match flags & !LOCK {
        NOEXIST if there => Err(EEXIST),
        EXIST if !there => Err(ENOENT),
        _ => Ok(()),
    }
}

impl Map {
    /// Copies a value over another, but for locks and their like.
    fn copy_value(&self, region: u32, value: &[u8], mem: &mut Memory) {
        let place = mem.bytes_mut(region);
        if self.special.is_empty() {
            let len = place.len().min(value.len());
            place[..len].copy_from_slice(&value[..len]);
            return;
        }
        let kept = |at: usize| self.special.iter().any(|&(off, len)| (off..off + len).contains(&(at as u32)));
        for (at, (to, from)) in place.iter_mut().zip(value).enumerate() {
            if !kept(at) {
                *to = *from;
            }
        }
    }

    fn has_lock(&self) -> bool {
        self.special.iter().any(|&(_, len)| len == 4)
    }

    /// `bpf_map_update_elem` of a program: 0 or a negative error number.
    pub fn update(
        &mut self,
        key: &[u8],
        value: &[u8],
        flags: u64,
        cpu: u32,
        mem: &mut Memory,
    ) -> Result<i64, Full> {
        let percpu = self.is_percpu();
        match &mut self.body {
            Body::Array(_) => {
                if flags & !LOCK > EXIST {
                    return Ok(EINVAL);
                }
                let Ok(index) = key.try_into().map(u32::from_ne_bytes) else { return Ok(EINVAL) };
                if index >= self.max_entries {
                    return Ok(E2BIG);
                }
                if flags & NOEXIST != 0 {
                    return Ok(EEXIST);
                }
                if flags & LOCK != 0 && !self.has_lock() {
                    return Ok(EINVAL);
                }
                let region = self.cell(index, cpu, mem)?;
                self.copy_value(region, value, mem);
                Ok(0)
            }
            Body::Hash(table) => {
                let lockable = !percpu && !matches!(self.map_type, MapType::LruHash);
                if if lockable { flags & !LOCK > EXIST } else { flags > EXIST } {
                    return Ok(EINVAL);
                }
                let old = table.get(key);
                let len = table.len();
                if flags & LOCK != 0 && !self.has_lock() {
                    return Ok(EINVAL);
                }
                if let Err(errno) = allowed(flags, old.is_some()) {
                    return Ok(errno);
                }
                if let Some(region) = old.filter(|_| percpu || flags & LOCK != 0) {
                    let region = self.on_cpu(region, cpu);
                    self.copy_value(region, value, mem);
                    return Ok(0);
                }
                if old.is_none() && len >= self.max_entries as usize {
                    if !self.is_lru() {
                        return Ok(E2BIG);
                    }
                    self.evict();
                }
                let region = self.make_value(mem)?;
                let target = self.on_cpu(region, cpu);
                self.copy_value(target, value, mem);
                self.put(key, region);
                Ok(0)
            }
            Body::Lpm(lpm) => {
                if flags > EXIST || !Lpm::is_valid(key) {
                    return Ok(EINVAL);
                }
                let there = lpm.get(key).is_some();
                let full = lpm.len() >= self.max_entries as usize;
                if there && flags == NOEXIST {
                    return Ok(EEXIST);
                }
                if !there && flags == EXIST {
                    return Ok(ENOENT);
                }
                if !there && full {
                    return Ok(super::super::errno::ENOSPC);
                }
                let region = self.make_value(mem)?;
                self.copy_value(region, value, mem);
                self.put(key, region);
                Ok(0)
            }
            Body::Queue(_) => self.push(value, flags),
            Body::Bloom(_) => {
                if key.is_empty() {
                    self.push(value, flags)
                } else {
                    Ok(EINVAL)
                }
            }
            _ => Ok(EOPNOTSUPP),
        }
    }

    fn evict(&mut self) {
        let Body::Hash(table) = &mut self.body else { return };
        if let Some(region) = table.oldest().and_then(|key| table.remove(&key)) {
            self.retire(region);
        }
    }

    fn put(&mut self, key: &[u8], region: u32) {
        let old = match &mut self.body {
            Body::Hash(table) => table.insert(key, region),
            Body::Lpm(lpm) => lpm.insert(key, region),
            _ => None,
        };
        if let Some(old) = old {
            self.retire(old);
        }
    }

    /// `bpf_map_delete_elem`.
    pub fn delete(&mut self, key: &[u8]) -> i64 {
        let removed = match &mut self.body {
            Body::Array(_) => return EINVAL,
            Body::Hash(table) => table.remove(key),
            Body::Lpm(lpm) => {
                if !Lpm::is_valid(key) {
                    return EINVAL;
                }
                lpm.remove(key)
            }
            Body::Queue(_) => return EINVAL,
            Body::MapHash(slots) => return if slots.remove(key).is_some() { 0 } else { ENOENT },
            Body::Progs(slots) | Body::MapArray(slots) => {
                let index = key.try_into().map(u32::from_ne_bytes).unwrap_or(u32::MAX);
                return if slots.remove(&index).is_some() { 0 } else { ENOENT };
            }
            Body::Stacks(stacks) => {
                let index = key.try_into().map(u32::from_ne_bytes).unwrap_or(u32::MAX);
                return if stacks.remove(&index).is_some() { 0 } else { ENOENT };
            }
            Body::Numbers(numbers) => return if numbers.remove(key).is_some() { 0 } else { ENOENT },
            _ => return EOPNOTSUPP,
        };
        match removed {
            Some(region) => {
                self.retire(region);
                0
            }
            None => ENOENT,
        }
    }

    /// `bpf_map_push_elem`.
    pub fn push(&mut self, value: &[u8], flags: u64) -> Result<i64, Full> {
        let most = self.max_entries as usize;
        Ok(match &mut self.body {
            Body::Queue(values) => {
                if flags & NOEXIST != 0 || flags > EXIST {
                    return Ok(EINVAL);
                }
                if values.len() >= most {
                    if flags & EXIST == 0 {
                        return Ok(E2BIG);
                    }
                    // Both kinds drop what was pushed first.
                    values.pop_front();
                }
                values.push_back(value.into());
                0
            }
            Body::Bloom(values) => {
                if flags != 0 {
                    return Ok(EINVAL);
                }
                values.insert(value.into());
                0
            }
            _ => EOPNOTSUPP,
        })
    }

    /// `bpf_map_pop_elem` and `bpf_map_peek_elem`: the value that comes next.
    pub fn next(&mut self, remove: bool) -> Result<Box<[u8]>, i64> {
        let lifo = self.map_type == MapType::Stack;
        let Body::Queue(values) = &mut self.body else { return Err(EOPNOTSUPP) };
        let value = match (lifo, remove) {
            (true, true) => values.pop_back(),
            (true, false) => values.back().cloned(),
            (false, true) => values.pop_front(),
            (false, false) => values.front().cloned(),
        };
        value.ok_or(ENOENT)
    }

    /// What the host writes: to per-CPU maps every processor's value, each padded to 8 bytes.
    pub fn write(&mut self, key: &[u8], value: &[u8], flags: u64, mem: &mut Memory) -> i64 {
        if key.len() != self.key_size as usize {
            return EINVAL;
        }
        if let Body::Numbers(numbers) = &mut self.body {
            numbers.insert(key.into(), value.into());
            return 0;
        }
        let size = self.value_size as usize;
        let step = size.next_multiple_of(8);
        if self.is_percpu() {
            if value.len() != step * self.cpus as usize {
                return EINVAL;
            }
        } else if value.len() != size {
            return EINVAL;
        }
        let cpus = if self.is_percpu() { self.cpus } else { 1 };
        for cpu in 0..cpus {
            let from = cpu as usize * step;
            // The flags speak of the element, not of each processor's part of it.
            let flags = if cpu == 0 { flags } else { 0 };
            match self.update(key, &value[from..from + size], flags, cpu, mem) {
                Ok(0) => {}
                Ok(errno) => return errno,
                Err(Full) => return ENOMEM,
            }
        }
        0
    }
}

//! Memory that is checked: regions of a virtual address space.
//!
//! An address is the number of a region in its upper half, 4 GiB apart from the next, and an offset in its lower half. So
//! a pointer that leaves its region does not reach another one by accident, and which region was meant is still seen.

use super::trap::{Access, Nearest};
use std::collections::{HashMap, VecDeque};

/// Upper half of the address of region 0, which has no bytes.
const BASE: u32 = 0xff00_0000;
/// Ids that were given back rest so long that a stale pointer is still recognised.
const QUARANTINE: usize = 1 << 16;
/// More regions than this do not fit into the address space.
const MAX_REGIONS: usize = 0x00fe_0000;

/// Region of the stack of frame 0; the others follow.
pub(super) const STACK: u32 = 1;
/// Stack frames: eight, and what an exception needs.
pub(super) const FRAMES: usize = 10;
/// Bytes of a frame.
pub(super) const FRAME_SIZE: u32 = 512;

/// What the fast path asks of a region. A length of 0 sends an access to the slow path.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Region {
    /// Where its bytes are in the heap.
    pub start: u32,
    /// Bytes that can be read.
    pub readable: u32,
    /// Bytes that can be written.
    pub writable: u32,
    /// Its length.
    pub len: u32,
}

/// What a region is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(super) enum Kind {
    #[default]
    Nothing,
    Stack,
    Ctx,
    Packet,
    /// Address of a map; the tag is its index.
    Map,
    /// Value of a map; the tag is the map's index.
    Value,
    /// Record of a ring buffer; the tag is the map's index.
    Record,
    /// Memory that the caller gave.
    Given,
    Task,
    Object,
    PerCpu,
    Kernel,
}

#[derive(Clone, Copy, Debug, Default)]
struct Info {
    kind: Kind,
    tag: u32,
    freed: bool,
    read_only: bool,
}

/// An access outside of memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Fault {
    pub addr: u64,
    pub size: u64,
    pub access: Access,
}

/// There is no more room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Full;

#[derive(Clone, Debug)]
pub(super) struct Memory {
    pub heap: Vec<u8>,
    pub regions: Vec<Region>,
    info: Vec<Info>,
    resting: VecDeque<u32>,
    chunks: HashMap<u32, Vec<u32>>,
    pub limit: usize,
    /// One bit a stack byte: whether it was written. Empty unless reads of others are to be found.
    written: Vec<bool>,
}

/// Address of the first byte of a region.
pub(super) const fn address(id: u32) -> u64 {
    ((BASE.wrapping_add(id)) as u64) << 32
}

/// The region that an address names, whether there is one or not.
#[inline(always)]
pub(super) const fn region_of(addr: u64) -> usize {
    ((addr >> 32) as u32).wrapping_sub(BASE) as usize
}

/// Where in the heap `size` bytes at `addr` may be read.
#[inline(always)]
pub(super) fn readable(regions: &[Region], addr: u64, size: u64) -> Option<usize> {
    let region = regions.get(region_of(addr))?;
    let off = addr as u32;
    (u64::from(off) + size <= u64::from(region.readable)).then(|| region.start as usize + off as usize)
}

/// Where in the heap `size` bytes at `addr` may be written.
#[inline(always)]
pub(super) fn writable(regions: &[Region], addr: u64, size: u64) -> Option<usize> {
    let region = regions.get(region_of(addr))?;
    let off = addr as u32;
    (u64::from(off) + size <= u64::from(region.writable)).then(|| region.start as usize + off as usize)
}

impl Memory {
    pub fn new(limit: usize, strict: bool) -> Memory {
        let mut mem = Memory {
            heap: Vec::new(),
            regions: vec![Region::default()],
            info: vec![Info::default()],
            resting: VecDeque::new(),
            chunks: HashMap::new(),
            limit: limit.min(i32::MAX as usize),
            written: if strict { vec![false; FRAMES * FRAME_SIZE as usize] } else { Vec::new() },
        };
        for frame in 0..FRAMES as u32 {
            // The limit was never meant for the stack: it is always there.
            let start = mem.heap.len() as u32;
            mem.heap.resize(mem.heap.len() + FRAME_SIZE as usize, 0);
            mem.regions.push(Region { start, readable: 0, writable: 0, len: FRAME_SIZE });
            mem.info.push(Info { kind: Kind::Stack, tag: frame, freed: true, read_only: false });
        }
        mem
    }

    pub fn strict(&self) -> bool {
        !self.written.is_empty()
    }

    /// New memory, all zero. Returns the region.
    pub fn alloc(&mut self, kind: Kind, tag: u32, len: u32, read_only: bool) -> Result<u32, Full> {
        let start = self.chunk(len)?;
        let region = Region { start, readable: len, writable: if read_only { 0 } else { len }, len };
        let info = Info { kind, tag, freed: false, read_only };
        if self.resting.len() > QUARANTINE
            && let Some(id) = self.resting.pop_front()
            && let Some(place) = self.regions.get_mut(id as usize)
        {
            *place = region;
            self.info[id as usize] = info;
            return Ok(id);
        }
        if self.regions.len() >= MAX_REGIONS {
            return Err(Full);
        }
        self.regions.push(region);
        self.info.push(info);
        Ok(self.regions.len() as u32 - 1)
    }

    /// As [`alloc`](Self::alloc), filled with these bytes.
    pub fn alloc_bytes(&mut self, kind: Kind, tag: u32, bytes: &[u8], read_only: bool) -> Result<u32, Full> {
        let len = u32::try_from(bytes.len()).map_err(|_| Full)?;
        let id = self.alloc(kind, tag, len, read_only)?;
        self.bytes_mut(id).copy_from_slice(bytes);
        Ok(id)
    }

    fn chunk(&mut self, len: u32) -> Result<u32, Full> {
        let room = len.checked_next_multiple_of(8).ok_or(Full)?;
        if let Some(start) = self.chunks.get_mut(&room).and_then(Vec::pop) {
            self.heap[start as usize..(start + room) as usize].fill(0);
            return Ok(start);
        }
        let start = self.heap.len();
        let end = start.checked_add(room as usize).ok_or(Full)?;
        if end > self.limit {
            return Err(Full);
        }
        self.heap.resize(end, 0);
        Ok(start as u32)
    }

    /// Gives a region back; accesses to it are faults from now on.
    pub fn free(&mut self, id: u32) {
        let (Some(region), Some(info)) = (self.regions.get_mut(id as usize), self.info.get_mut(id as usize))
        else {
            return;
        };
        if info.freed || id <= FRAMES as u32 {
            return;
        }
        info.freed = true;
        (region.readable, region.writable) = (0, 0);
        let room = region.len.next_multiple_of(8);
        if room > 0 {
            self.chunks.entry(room).or_default().push(region.start);
        }
        self.resting.push_back(id);
    }

    /// Whether a region was given back. Calls make stack frames usable without a word to `info`.
    fn is_gone(&self, id: usize) -> bool {
        let freed = self.info.get(id).is_none_or(|info| info.freed);
        freed && self.regions.get(id).is_none_or(|region| region.readable == 0)
    }

    /// What region an address is in, with the offset in it.
    pub fn locate(&self, addr: u64) -> Option<(u32, Kind, u32, u32)> {
        let id = region_of(addr);
        let info = self.info.get(id)?;
        (!self.is_gone(id)).then_some((id as u32, info.kind, info.tag, addr as u32))
    }

    /// The whole of a region, freed or not.
    pub fn bytes(&self, id: u32) -> &[u8] {
        self.regions
            .get(id as usize)
            .and_then(|r| self.heap.get(r.start as usize..r.start as usize + r.len as usize))
            .unwrap_or_default()
    }

    /// The whole of a region, for writing, whatever programs may do with it.
    pub fn bytes_mut(&mut self, id: u32) -> &mut [u8] {
        match self.regions.get(id as usize) {
            Some(r) => {
                self.heap.get_mut(r.start as usize..r.start as usize + r.len as usize).unwrap_or_default()
            }
            None => &mut [],
        }
    }

    /// Sends accesses to a region to the slow path.
    pub fn watch(&mut self, id: u32) {
        if let Some(region) = self.regions.get_mut(id as usize) {
            (region.readable, region.writable) = (0, 0);
        }
    }

    /// Makes a stack frame usable, or not.
    pub fn frame(&mut self, depth: usize, on: bool) {
        let id = STACK as usize + depth.min(FRAMES - 1);
        let len = if on && !self.strict() { FRAME_SIZE } else { 0 };
        (self.regions[id].readable, self.regions[id].writable) = (len, len);
        self.info[id].freed = !on;
        if let Some(bits) =
            self.written.get_mut(depth * FRAME_SIZE as usize..(depth + 1) * FRAME_SIZE as usize)
        {
            bits.fill(false);
        }
    }

    /// All of the stack is zero again.
    pub fn clear_stack(&mut self) {
        self.heap[..FRAMES * FRAME_SIZE as usize].fill(0);
    }

    /// Where `size` bytes are that may be read: the slow path, which knows of frames too.
    pub fn place(&self, addr: u64, size: u64, access: Access) -> Result<usize, Fault> {
        let found = match access {
            Access::Read => readable(&self.regions, addr, size),
            Access::Write => writable(&self.regions, addr, size),
        };
        if let Some(at) = found {
            return Ok(at);
        }
        let id = region_of(addr);
        if let (Some(region), Some(info)) = (self.regions.get(id), self.info.get(id))
            && self.strict()
            && info.kind == Kind::Stack
            && !info.freed
            && u64::from(addr as u32) + size <= u64::from(region.len)
        {
            return Ok(region.start as usize + addr as u32 as usize);
        }
        Err(Fault { addr, size, access })
    }

    /// Whether some of these stack bytes were never written; notes them as written where they are.
    pub fn unwritten(&mut self, addr: u64, size: u64, access: Access) -> bool {
        let id = region_of(addr);
        if self.written.is_empty() || id < STACK as usize || id >= STACK as usize + FRAMES {
            return false;
        }
        let from = (id - STACK as usize) * FRAME_SIZE as usize + addr as u32 as usize;
        let Some(bits) = self.written.get_mut(from..from.saturating_add(size as usize)) else { return false };
        match access {
            Access::Read => bits.contains(&false),
            Access::Write => {
                bits.fill(true);
                false
            }
        }
    }

    /// Bytes for a helper to read.
    pub fn read(&self, addr: u64, size: u64) -> Result<&[u8], Fault> {
        if size == 0 {
            return Ok(&[]);
        }
        let at = self.place(addr, size, Access::Read)?;
        self.heap.get(at..at + size as usize).ok_or(Fault { addr, size, access: Access::Read })
    }

    /// Bytes for a helper to write.
    pub fn write(&mut self, addr: u64, size: u64) -> Result<&mut [u8], Fault> {
        if size == 0 {
            return Ok(&mut []);
        }
        let at = self.place(addr, size, Access::Write)?;
        self.unwritten(addr, size, Access::Write);
        self.heap.get_mut(at..at + size as usize).ok_or(Fault { addr, size, access: Access::Write })
    }

    /// The region that an address is nearest to.
    pub fn nearest(&self, addr: u64, name: impl Fn(Kind, u32) -> String) -> Option<Nearest> {
        let id = region_of(addr);
        // An address shortly before a region has the number of the one before.
        let (id, offset) = if addr as u32 > 0x8000_0000 && self.info.len() > id.wrapping_add(1) {
            (id.wrapping_add(1), i64::from(addr as u32) - (1 << 32))
        } else {
            (id, i64::from(addr as u32))
        };
        let (region, info) = (self.regions.get(id)?, self.info.get(id)?);
        (info.kind != Kind::Nothing).then(|| Nearest {
            what: name(info.kind, info.tag),
            offset,
            len: region.len,
            freed: self.is_gone(id),
            read_only: info.read_only,
        })
    }
}

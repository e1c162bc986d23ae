//! Dynamic pointers: 16 bytes on the stack that say where memory is and how much of it.

use super::super::call::Next;
use super::super::errno::{E2BIG, EINVAL, ERANGE};
use super::super::machine::Machine;
use super::super::mem::{Kind, address};
use super::super::trap::TrapKind;
use super::{Done, bad_argument, value};

/// Layout of the kernel's: the address, then size with type and read-only bit, then offset.
const SIZE_MASK: u32 = 0xff_ffff;
const TYPE_SHIFT: u32 = 28;
const READ_ONLY: u32 = 1 << 31;

pub(super) const LOCAL: u32 = 1;
pub(super) const RING: u32 = 2;
pub(super) const SKB: u32 = 3;
pub(super) const XDP: u32 = 4;

/// A dynptr, read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Dynptr {
    pub data: u64,
    pub size: u32,
    pub offset: u32,
    pub kind: u32,
    pub read_only: bool,
}

impl Dynptr {
    /// Why a part of it is none.
    fn check(&self, offset: u32, len: u32) -> Result<(), i64> {
        if len > self.size || offset > self.size - len { Err(E2BIG) } else { Ok(()) }
    }
}

impl Machine {
    pub(super) fn dynptr_put(&mut self, name: &str, at: u64, ptr: Option<Dynptr>) -> Result<(), TrapKind> {
        let mut bytes = [0; 16];
        if let Some(p) = ptr {
            bytes[..8].copy_from_slice(&p.data.to_ne_bytes());
            let size = p.size & SIZE_MASK | p.kind << TYPE_SHIFT | if p.read_only { READ_ONLY } else { 0 };
            bytes[8..12].copy_from_slice(&size.to_ne_bytes());
            bytes[12..].copy_from_slice(&p.offset.to_ne_bytes());
        }
        self.write_out(name, at, &bytes)
    }

    pub(super) fn dynptr_get(&mut self, name: &str, at: u64) -> Result<Option<Dynptr>, TrapKind> {
        let bytes = self.bytes_in(name, at, 16)?;
        let word = |from: usize| bytes[from..from + 4].try_into().map_or(0, u32::from_ne_bytes);
        let data = bytes[..8].try_into().map_or(0, u64::from_ne_bytes);
        let (size, offset) = (word(8), word(12));
        Ok((data != 0).then_some(Dynptr {
            data,
            size: size & SIZE_MASK,
            offset,
            kind: size >> TYPE_SHIFT & 7,
            read_only: size & READ_ONLY != 0,
        }))
    }

    /// Address of the bytes of a dynptr; those of packets are where the packet is now.
    pub(super) fn dynptr_address(&self, ptr: &Dynptr, offset: u32) -> u64 {
        let base = if matches!(ptr.kind, SKB | XDP) { self.context.data(&self.mem).0 } else { ptr.data };
        base.wrapping_add(u64::from(ptr.offset)).wrapping_add(offset.into())
    }

    pub(super) fn dynptr_from_mem(&mut self, name: &str, data: u64, size: u32, flags: u64, at: u64) -> Done {
        let errno = match () {
            () if size > SIZE_MASK => E2BIG,
            () if flags != 0 => EINVAL,
            () => 0,
        };
        let ptr = Dynptr { data, size, offset: 0, kind: LOCAL, read_only: false };
        self.dynptr_put(name, at, (errno == 0).then_some(ptr))?;
        value(errno)
    }

    pub(super) fn dynptr_read(
        &mut self,
        name: &str,
        to: u64,
        len: u32,
        at: u64,
        offset: u32,
        flags: u64,
    ) -> Done {
        let Some(ptr) = self.dynptr_get(name, at)?.filter(|_| flags == 0) else { return value(EINVAL) };
        if let Err(errno) = ptr.check(offset, len) {
            return value(errno);
        }
        let bytes = self.bytes_in(name, self.dynptr_address(&ptr, offset), len.into())?.to_vec();
        self.write_out(name, to, &bytes)?;
        value(0)
    }

    pub(super) fn dynptr_write(
        &mut self,
        name: &str,
        at: u64,
        offset: u32,
        from: u64,
        len: u32,
        flags: u64,
    ) -> Done {
        let Some(ptr) = self.dynptr_get(name, at)?.filter(|p| !p.read_only) else { return value(EINVAL) };
        if flags != 0 && ptr.kind != SKB {
            return value(EINVAL);
        }
        if let Err(errno) = ptr.check(offset, len) {
            return value(errno);
        }
        let bytes = self.bytes_in(name, from, len.into())?.to_vec();
        self.write_out(name, self.dynptr_address(&ptr, offset), &bytes)?;
        value(0)
    }

    pub(super) fn dynptr_data(&mut self, name: &str, at: u64, offset: u32, len: u32) -> Done {
        let found = self
            .dynptr_get(name, at)?
            .filter(|p| p.check(offset, len).is_ok() && !p.read_only && !matches!(p.kind, SKB | XDP));
        Ok(Next::Value(found.map_or(0, |p| self.dynptr_address(&p, offset))))
    }

    /// `bpf_dynptr_slice`: no copy is ever needed here.
    pub(super) fn dynptr_slice(&mut self, name: &str, at: u64, offset: u32, len: u32, write: bool) -> Done {
        let found =
            self.dynptr_get(name, at)?.filter(|p| p.check(offset, len).is_ok() && !(write && p.read_only));
        Ok(Next::Value(found.map_or(0, |p| self.dynptr_address(&p, offset))))
    }

    pub(super) fn dynptr_adjust(&mut self, name: &str, at: u64, start: u32, end: u32) -> Done {
        let Some(mut ptr) = self.dynptr_get(name, at)?.filter(|_| start <= end) else { return value(EINVAL) };
        if end > ptr.size {
            return value(ERANGE);
        }
        ptr.offset = ptr.offset.wrapping_add(start);
        ptr.size = end - start;
        self.dynptr_put(name, at, Some(ptr))?;
        value(0)
    }

    /// The dynptr over the packet.
    pub(super) fn dynptr_from_packet(&mut self, name: &str, at: u64, flags: u64, kind: u32) -> Done {
        if flags != 0 || self.context.packet == 0 {
            self.dynptr_put(name, at, None)?;
            return value(EINVAL);
        }
        let (data, end) = self.context.data(&self.mem);
        let read_only = kind == SKB && !self.link_header_is_in();
        let ptr = Dynptr { data, size: (end - data) as u32, offset: 0, kind, read_only };
        self.dynptr_put(name, at, Some(ptr))?;
        value(0)
    }

    pub(super) fn ring_reserve_dynptr(
        &mut self,
        name: &str,
        map: u64,
        size: u32,
        flags: u64,
        at: u64,
    ) -> Done {
        let n = self.map_arg(name, 1, map)?;
        self.check_write(name, at, 16)?;
        if flags != 0 || size > SIZE_MASK {
            self.dynptr_put(name, at, None)?;
            return value(if flags != 0 { EINVAL } else { E2BIG });
        }
        match self.ring_region(name, n, size.into())? {
            Some(region) => {
                let ptr = Dynptr { data: address(region), size, offset: 0, kind: RING, read_only: false };
                self.dynptr_put(name, at, Some(ptr))?;
                value(0)
            }
            None => {
                self.dynptr_put(name, at, None)?;
                value(EINVAL)
            }
        }
    }

    pub(super) fn ring_finish_dynptr(&mut self, name: &str, at: u64, submit: bool) -> Done {
        // Where nothing was reserved there is nothing to do.
        if let Some(ptr) = self.dynptr_get(name, at)? {
            if ptr.kind != RING {
                return Err(bad_argument(name, 1, "it is no dynptr of a ring buffer"));
            }
            self.ring_end(name, ptr.data, submit)?;
            self.dynptr_put(name, at, None)?;
        }
        value(0)
    }

    /// A dynptr over a sample of a user ring buffer, in memory of its own.
    pub(in crate::interp) fn new_dynptr_sample(&mut self, bytes: &[u8]) -> Result<u32, TrapKind> {
        const NAME: &str = "bpf_user_ringbuf_drain";
        // The dynptr and the sample share a region: both go when the callback returns.
        let region =
            self.mem.alloc(Kind::Object, 0, 16 + bytes.len() as u32, false).map_err(|_| self.full())?;
        let at = address(region);
        self.mem.bytes_mut(region)[16..].copy_from_slice(bytes);
        let ptr = Dynptr { data: at + 16, size: bytes.len() as u32, offset: 0, kind: LOCAL, read_only: true };
        self.dynptr_put(NAME, at, Some(ptr))?;
        Ok(region)
    }
}

//! Everything that the fast loop leaves: contexts, atomics, packet loads, helpers, faults.

use super::call::Next;
use super::ctx::{Shape, u32_at};
use super::machine::Machine;
use super::maps::Body;
use super::mem::{self, Fault, Kind, address};
use super::op::{Code, Op};
use super::trap::{Access, TrapKind};
use asm::Helper;

/// Offsets of packet loads that count from the network and the link header (`SKF_NET_OFF`, `SKF_LL_OFF`).
const NET_OFF: i64 = -0x10_0000;
const LL_OFF: i64 = -0x20_0000;

impl Machine {
    /// Executes the instruction at hand; gives r0 where the program is over.
    pub(super) fn slow(&mut self) -> Result<Option<u64>, TrapKind> {
        let Some(&op) = self.ops.get(self.cpu.pc) else { return Err(TrapKind::FellOffTheEnd) };
        let address_of =
            |regs: &[u64; 16], reg: u8| regs[(reg & 15) as usize].wrapping_add_signed(op.off.into());
        let reg = |regs: &[u64; 16], reg: u8| regs[(reg & 15) as usize];
        let dst = (op.dst & 15) as usize;
        match op.code {
            Code::Load8 | Code::Load16 | Code::Load32 | Code::Load64 => {
                let size = width(op.code);
                self.cpu.regs[dst] = self.load(address_of(&self.cpu.regs, op.src), size)?;
            }
            Code::LoadSx8 | Code::LoadSx16 | Code::LoadSx32 => {
                let size = width(op.code);
                let value = self.load(address_of(&self.cpu.regs, op.src), size)?;
                let unused = 64 - 8 * size as u32;
                self.cpu.regs[dst] = ((value << unused) as i64 >> unused) as u64;
            }
            Code::Store8R | Code::Store16R | Code::Store32R | Code::Store64R => {
                let value = reg(&self.cpu.regs, op.src);
                self.store(address_of(&self.cpu.regs, op.dst), width(op.code), value)?;
            }
            Code::Store8I | Code::Store16I | Code::Store32I | Code::Store64I => {
                self.store(address_of(&self.cpu.regs, op.dst), width(op.code), op.imm)?;
            }
            Code::Atomic32 | Code::Atomic64 => self.atomic(op)?,
            Code::LoadAbs | Code::LoadInd => return self.packet_load(op),
            Code::ToUserSpace => {
                let low = reg(&self.cpu.regs, op.src) as u32;
                let start = self.arena_start().unwrap_or(0);
                // A null pointer stays one.
                self.cpu.regs[dst] = if low == 0 { 0 } else { start & !0xffff_ffff | u64::from(low) };
            }
            Code::CallLocal => {
                let slot = self.cpu.pc.wrapping_add_signed(op.off as isize + 1);
                self.call_local(slot)?;
                self.look_at_limits()?;
                return Ok(None);
            }
            Code::Exit => {
                self.check_exit()?;
                return self.leave();
            }
            Code::Helper => {
                if op.imm == u64::from(Helper::MAP_LOOKUP_ELEM.id())
                    && let Some(found) = self.quick_lookup()
                {
                    self.cpu.regs[0] = found;
                    self.cpu.pc += 1;
                    return Ok(None);
                }
                let next = self.helper(op.imm as u32)?;
                return Ok(self.after_helper(next));
            }
            Code::Kfunc => {
                let next = self.kfunc(op.imm as usize)?;
                return Ok(self.after_helper(next));
            }
            Code::Bad => {
                let trap = self.traps.get(op.imm as usize).cloned();
                return Err(trap.unwrap_or(TrapKind::FellOffTheEnd));
            }
            // The fast loop does the rest itself.
            _ => return Err(TrapKind::BadInstruction("it cannot be executed".to_owned())),
        }
        self.cpu.pc += 1;
        Ok(None)
    }

    /// The lookup that most programs spend their time in: a hash or an array whose element is there, a key that can be
    /// read. Everything else is `None`, and done with more care.
    #[inline]
    fn quick_lookup(&self) -> Option<u64> {
        let (addr, key) = (self.cpu.regs[1], self.cpu.regs[2]);
        let (_, Kind::Map, map, 0) = self.mem.locate(addr)? else { return None };
        let map = self.maps.get(map as usize)?;
        let at = mem::readable(&self.mem.regions, key, map.key_size.into())?;
        let key = self.mem.heap.get(at..at + map.key_size as usize)?;
        map.quick(key)
    }

    fn look_at_limits(&mut self) -> Result<(), TrapKind> {
        if self.cpu.done >= self.cpu.fuel { self.check_limits() } else { Ok(()) }
    }

    /// What must be in order when a program ends.
    fn check_exit(&self) -> Result<(), TrapKind> {
        if self.cpu.frames.len() > 1 {
            return Ok(());
        }
        if let Some(&lock) = self.locks.last() {
            return Err(TrapKind::Misuse {
                helper: "bpf_spin_lock".to_owned(),
                why: format!("the program ends with the lock at {lock:#x} taken"),
            });
        }
        for map in &self.maps {
            if let Body::Ring(ring) = &map.body
                && ring.open().next().is_some()
            {
                return Err(TrapKind::Misuse {
                    helper: "bpf_ringbuf_reserve".to_owned(),
                    why: format!(
                        "the program ends with a record of map {:?} neither submitted nor discarded",
                        map.name
                    ),
                });
            }
        }
        Ok(())
    }

    fn arena_start(&self) -> Option<u64> {
        self.maps.iter().find_map(|m| match &m.body {
            Body::Arena(arena) => Some(arena.user_start),
            _ => None,
        })
    }

    /// The place in an arena that an address stands for: by its lower half alone, or as user space sees it.
    fn arena_place(&self, addr: u64, size: u64) -> Option<Option<usize>> {
        let arena = self.maps.iter().find_map(|m| match &m.body {
            Body::Arena(arena) => Some(arena),
            _ => None,
        })?;
        if addr >> 32 != 0 && addr >> 32 != arena.user_start >> 32 {
            return None;
        }
        // An access over the edge of a page that is there, too, is an access to what is not.
        let place = arena.page(addr as u32).and_then(|region| {
            let within = addr & u64::from(super::maps::arena::PAGE - 1);
            self.mem.place(address(region) + within, size, Access::Read).ok()
        });
        Some(place)
    }

    pub(super) fn fault(&self, fault: Fault, helper: &str) -> TrapKind {
        let nearest = self.mem.nearest(fault.addr, |kind, tag| self.region_name(kind, tag));
        TrapKind::BadAccess {
            addr: fault.addr,
            size: fault.size,
            access: fault.access,
            nearest: nearest.map(Box::new),
            helper: helper.to_owned(),
        }
    }

    pub(super) fn region_name(&self, kind: Kind, tag: u32) -> String {
        let map = |what: &str| match self.maps.get(tag as usize) {
            Some(map) => format!("{what} map {:?}", map.name),
            None => format!("{what} a map"),
        };
        match kind {
            Kind::Nothing => "nothing".to_owned(),
            Kind::Stack => format!("stack of frame {tag}"),
            Kind::Ctx => "context".to_owned(),
            Kind::Packet => "packet".to_owned(),
            Kind::Map => map("address of"),
            Kind::Value => map("value of"),
            Kind::Record => map("record of"),
            Kind::Given => "memory".to_owned(),
            Kind::Task => "task".to_owned(),
            Kind::Object => "object".to_owned(),
            Kind::PerCpu => "per-CPU object".to_owned(),
            Kind::Kernel => "kernel variable".to_owned(),
        }
    }

    /// Reads `size` bytes, zero-extended.
    pub(super) fn load(&mut self, addr: u64, size: u64) -> Result<u64, TrapKind> {
        if let Some((region, Kind::Ctx, _, off)) = self.mem.locate(addr)
            && self.context.shape != Shape::Plain
            && region == self.context.region
        {
            return self.load_ctx(addr, off as usize, size);
        }
        match self.mem.place(addr, size, Access::Read) {
            Ok(at) => {
                if self.mem.unwritten(addr, size, Access::Read) {
                    let offset = i64::from(addr as u32) - i64::from(mem::FRAME_SIZE);
                    return Err(TrapKind::Uninitialised { addr, size, offset });
                }
                Ok(number(&self.mem.heap[at..at + size as usize]))
            }
            Err(fault) => {
                if let Some(place) = self.arena_place(addr, size) {
                    // A page that is not there reads as zero, as the kernel's fault handler has it.
                    return Ok(place.map_or(0, |at| number(&self.mem.heap[at..at + size as usize])));
                }
                match self.world.kernel.read(addr, size as usize) {
                    Some(bytes) => Ok(number(&bytes)),
                    None => Err(self.fault(fault, "")),
                }
            }
        }
    }

    fn load_ctx(&self, addr: u64, off: usize, size: u64) -> Result<u64, TrapKind> {
        let bytes = self.mem.bytes(self.context.region);
        let Some(field) = bytes.get(off..off.saturating_add(size as usize)) else {
            return Err(self.fault(Fault { addr, size, access: Access::Read }, ""));
        };
        match self.context.pointer_at(off, &self.mem) {
            Some((at, width, pointer)) if at == off && width as u64 == size => Ok(pointer),
            Some(_) => Err(self.fault(Fault { addr, size, access: Access::Read }, "")),
            None => Ok(number(field)),
        }
    }

    /// Writes the lower `size` bytes of a value.
    pub(super) fn store(&mut self, addr: u64, size: u64, value: u64) -> Result<(), TrapKind> {
        let bytes = value.to_le_bytes();
        let bytes = &bytes[..size as usize];
        if let Some((region, Kind::Ctx, _, off)) = self.mem.locate(addr)
            && self.context.shape != Shape::Plain
            && region == self.context.region
        {
            let off = off as usize;
            let touches = (off..off + size as usize).any(|o| self.context.pointer_at(o, &self.mem).is_some());
            let read_only = self.context.shape == Shape::Xdp || touches;
            let place = self.mem.bytes_mut(region).get_mut(off..off + size as usize);
            return match place {
                Some(place) if !read_only => {
                    write_number(place, bytes);
                    Ok(())
                }
                _ => Err(self.fault(Fault { addr, size, access: Access::Write }, "")),
            };
        }
        match self.mem.place(addr, size, Access::Write) {
            Ok(at) => {
                self.mem.unwritten(addr, size, Access::Write);
                write_number(&mut self.mem.heap[at..at + size as usize], bytes);
                Ok(())
            }
            Err(fault) => match self.arena_place(addr, size) {
                // A write to a page that is not there is lost.
                Some(None) => Ok(()),
                Some(Some(at)) => {
                    write_number(&mut self.mem.heap[at..at + size as usize], bytes);
                    Ok(())
                }
                None => Err(self.fault(fault, "")),
            },
        }
    }

    fn atomic(&mut self, op: Op) -> Result<(), TrapKind> {
        let size = if op.code == Code::Atomic64 { 8 } else { 4 };
        let regs = &self.cpu.regs;
        let (src, r0) = (regs[(op.src & 15) as usize], regs[0]);
        let addr = regs[(op.dst & 15) as usize].wrapping_add_signed(op.off.into());
        // What may be written may be read, but for memory that the fast path does not know.
        let old = self.load(addr, size)?;
        let cut = |value: u64| if size == 8 { value } else { u64::from(value as u32) };
        let new = match op.imm {
            0 | 4 => old.wrapping_add(src),
            1 | 5 => old | src,
            2 | 6 => old & src,
            3 | 7 => old ^ src,
            8 => src,
            _ if old == cut(r0) => src,
            _ => old,
        };
        self.store(addr, size, cut(new))?;
        match op.imm {
            0..=3 => {}
            4..=8 => self.cpu.regs[(op.src & 15) as usize] = old,
            _ => self.cpu.regs[0] = old,
        }
        Ok(())
    }

    /// `r0 = skb[...]`; beyond the packet the frame ends with r0 = 0.
    fn packet_load(&mut self, op: Op) -> Result<Option<u64>, TrapKind> {
        let Shape::Skb { .. } = self.context.shape else {
            return Err(TrapKind::BadInstruction(
                "packet loads need a program type with a packet".to_owned(),
            ));
        };
        let mut off = op.imm as i64;
        if op.code == Code::LoadInd {
            // The sum is one of 32 bits.
            off = i64::from((off as i32).wrapping_add(self.cpu.regs[(op.src & 15) as usize] as i32));
        }
        let packet = self.context.packet_bytes(&self.mem);
        let size = usize::from(op.width);
        let found = if off >= 0 {
            usize::try_from(off).ok().and_then(|at| packet.get(at..at.checked_add(size)?)).map(<[u8]>::to_vec)
        } else if off >= NET_OFF {
            let at = (off - NET_OFF) as usize + if self.link_header_is_in() { 14 } else { 0 };
            packet.get(at..at + size).map(<[u8]>::to_vec)
        } else if off >= LL_OFF {
            let at = (off - LL_OFF) as usize;
            let whole: Vec<u8> = if self.link_header_is_in() {
                packet.to_vec()
            } else {
                self.context.before.iter().chain(packet).copied().collect()
            };
            whole.get(at..at + size).map(<[u8]>::to_vec)
        } else {
            None
        };
        match found {
            Some(bytes) => {
                self.cpu.regs[0] = bytes.iter().fold(0, |n, &b| n << 8 | u64::from(b));
                self.cpu.pc += 1;
                Ok(None)
            }
            None => {
                self.cpu.regs[0] = 0;
                self.leave()
            }
        }
    }

    pub(super) fn link_header_is_in(&self) -> bool {
        matches!(self.context.shape, Shape::Skb { l2: true })
    }

    /// `len` of the context of a packet.
    pub(super) fn packet_len(&self) -> usize {
        match self.context.shape {
            Shape::Skb { .. } => u32_at(self.mem.bytes(self.context.region), super::ctx::skb::LEN),
            _ => self.context.packet_bytes(&self.mem).len(),
        }
    }

    pub(super) fn kfunc(&mut self, number: usize) -> Result<Next, TrapKind> {
        let Some((name, run)) = self.kfuncs.get(number) else {
            return Err(TrapKind::NotSimulated("an unknown kernel function".to_owned()));
        };
        let Some(run) = *run else { return Err(TrapKind::NotSimulated(name.clone())) };
        let args = [1, 2, 3, 4, 5].map(|n| self.cpu.regs[n]);
        run(self, args)
    }
}

/// Bytes of memory as a number of this machine.
fn number(bytes: &[u8]) -> u64 {
    let mut wide = [0; 8];
    if cfg!(target_endian = "little") {
        wide[..bytes.len()].copy_from_slice(bytes);
        u64::from_le_bytes(wide)
    } else {
        wide[8 - bytes.len()..].copy_from_slice(bytes);
        u64::from_be_bytes(wide)
    }
}

/// Writes the bytes of a number, of which the lowest is first in `bytes`.
fn write_number(place: &mut [u8], bytes: &[u8]) {
    place.copy_from_slice(bytes);
    if cfg!(target_endian = "big") {
        place.reverse();
    }
}

const fn width(code: Code) -> u64 {
    match code {
        Code::Load8 | Code::LoadSx8 | Code::Store8R | Code::Store8I => 1,
        Code::Load16 | Code::LoadSx16 | Code::Store16R | Code::Store16I => 2,
        Code::Load32 | Code::LoadSx32 | Code::Store32R | Code::Store32I => 4,
        _ => 8,
    }
}

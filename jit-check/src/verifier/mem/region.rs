//! Memory of known extent: map values and keys, packets, records, buffers, sockets.

use super::Access;
use super::ctx::socket;
use super::ctx::table::CtxAccess;
use super::stack::MAX_VAR_OFF;
use crate::verifier::env::{EACCES, EINVAL, Env, Reject, Res, reject};
use crate::verifier::helpers::CallMeta;
use crate::verifier::reg::{Base, Flags, Reg};
use crate::verifier::scalar::Tnum;
use bpf_sys::prog::ProgType;

/// Bytes of `struct bpf_flow_keys`.
const FLOW_KEYS: i64 = 56;

/// Whether the type is that of a packet pointer, whatever its flags.
pub(super) fn is_packet(reg: &Reg) -> bool {
    matches!(reg.base, Base::Packet | Base::PacketMeta)
}

/// Whether the type is that of a socket that is there.
pub(super) fn is_socket(reg: &Reg) -> bool {
    reg.flags.is_empty()
        && matches!(reg.base, Base::Socket | Base::SockCommon | Base::TcpSock | Base::XdpSock)
}

impl Env<'_> {
    /// `size` bytes at `off` lie within a region.
    fn check_within(&mut self, regno: u8, off: i64, size: u32, region: u64, zero_size_allowed: bool) -> Res {
        // The kernel computes with 32 bits.
        let (off, bytes) = (off as i32, size as i32);
        let size_ok = bytes > 0 || bytes == 0 && zero_size_allowed;
        if off >= 0 && size_ok && off as u64 + u64::from(size) <= region {
            return Ok(());
        }
        let reg = *self.reg(regno);
        let region = region as u32;
        match reg.base {
            Base::MapKey if reg.flags.is_empty() => {
                reject!(self, EACCES, "invalid access to map key, key_size={region} off={off} size={bytes}")
            }
            Base::MapValue if reg.flags.is_empty() => reject!(
                self,
                EACCES,
                "invalid access to map value, value_size={region} off={off} size={bytes}"
            ),
            Base::Packet | Base::PacketMeta | Base::PacketEnd if reg.flags.is_empty() => reject!(
                self,
                EACCES,
                "invalid access to packet, off={off} size={bytes}, R{regno}(id={},off={off},r={region})",
                reg.id
            ),
            _ => reject!(self, EACCES, "invalid access to memory, mem_size={region} off={off} size={bytes}"),
        }
    }

    /// Bytes of memory of known size.
    pub(in crate::verifier) fn check_mem_region_access(
        &mut self,
        regno: u8,
        off: i32,
        size: u32,
        mem_size: u32,
        zero_size_allowed: bool,
    ) -> Res {
        let reg = *self.reg(regno);
        let lowest = reg.smin.wrapping_add(i64::from(off));
        if reg.smin < 0 && (reg.smin == i64::MIN || lowest != i64::from(lowest as i32) || lowest < 0) {
            reject!(
                self,
                EACCES,
                "R{regno} min value is negative, either use unsigned index or do a if (index >=0) check."
            );
        }
        let region = u64::from(mem_size);
        if let Err(refusal) = self.check_within(regno, lowest, size, region, zero_size_allowed) {
            self.say(format_args!("R{regno} min value is outside of the allowed memory range\n"));
            return Err(refusal);
        }
        if reg.umax >= MAX_VAR_OFF as u64 {
            reject!(
                self,
                EACCES,
                "R{regno} unbounded memory access, make sure to bounds check any such access"
            );
        }
        let highest = (reg.umax as i64).wrapping_add(i64::from(off));
        if let Err(refusal) = self.check_within(regno, highest, size, region, zero_size_allowed) {
            self.say(format_args!("R{regno} max value is outside of the allowed memory range\n"));
            return Err(refusal);
        }
        Ok(())
    }

    /// Packet bytes lie within the proven range.
    pub(in crate::verifier) fn check_packet_access(
        &mut self,
        regno: u8,
        off: i32,
        size: u32,
        zero_size_allowed: bool,
    ) -> Res {
        let reg = *self.reg(regno);
        if reg.smin < 0 {
            reject!(
                self,
                EACCES,
                "R{regno} min value is negative, either use unsigned index or do a if (index >=0) check."
            );
        }
        let range = reg.range();
        let inside = if range < 0 {
            Err(Reject(EINVAL))
        } else {
            self.check_within(regno, i64::from(off), size, range as u64, zero_size_allowed)
        };
        if let Err(refusal) = inside {
            self.say(format_args!("R{regno} offset is outside of the packet\n"));
            return Err(refusal);
        }
        Ok(())
    }

    /// Whether programs of this type may touch the packet through pointers, or through a helper's argument.
    pub(in crate::verifier) fn may_access_packet(&mut self, meta: Option<&CallMeta>, access: Access) -> bool {
        let writes = access == Access::Write;
        match self.prog_type() {
            ProgType::LwtIn
            | ProgType::LwtOut
            | ProgType::LwtSeg6local
            | ProgType::SkReuseport
            | ProgType::FlowDissector
            | ProgType::CgroupSkb
                if writes =>
            {
                false
            }
            ProgType::LwtIn
            | ProgType::LwtOut
            | ProgType::LwtSeg6local
            | ProgType::SkReuseport
            | ProgType::FlowDissector
            | ProgType::CgroupSkb
            | ProgType::SchedCls
            | ProgType::SchedAct
            | ProgType::Xdp
            | ProgType::LwtXmit
            | ProgType::SkSkb
            | ProgType::SkMsg => match meta {
                Some(meta) => meta.pkt_access,
                None => {
                    self.seen_direct_write = true;
                    true
                }
            },
            ProgType::CgroupSockopt => {
                self.seen_direct_write |= writes;
                true
            }
            _ => false,
        }
    }

    /// The keys that a flow dissector finds.
    pub(super) fn check_flow_keys_access(&mut self, off: i32, size: u32) -> Res {
        if off < 0 || i64::from(off) + i64::from(size) > FLOW_KEYS {
            reject!(self, EACCES, "invalid access to flow keys off={off} size={size}");
        }
        Ok(())
    }

    /// Fields of sockets.
    pub(super) fn check_sock_access(&mut self, regno: u8, off: i32, size: u32) -> Res {
        let reg = *self.reg(regno);
        if reg.smin < 0 {
            reject!(
                self,
                EACCES,
                "R{regno} min value is negative, either use unsigned index or do a if (index >=0) check."
            );
        }
        let table = match reg.base {
            Base::Socket => &socket::SOCK,
            Base::SockCommon => &socket::SOCK_COMMON,
            Base::TcpSock => &socket::TCP_SOCK,
            _ => &socket::XDP_SOCK,
        };
        let asked = CtxAccess {
            off,
            size,
            write: false,
            sign_extends: false,
            version: self.kernel.version,
            attach: None,
            capable: true,
        };
        if table.check(&asked).is_none() {
            let name = reg.type_name();
            reject!(self, EACCES, "R{regno} invalid {name} access off={off} size={size}");
        }
        Ok(())
    }

    /// Buffers whose size is checked when the program is attached.
    pub(super) fn check_buffer_access(&mut self, regno: u8, what: &str, off: i32, size: u32) -> Res {
        let reg = *self.reg(regno);
        if off < 0 {
            reject!(self, EACCES, "R{regno} invalid {what} buffer access: off={off}, size={size}");
        }
        if !reg.var_off.is(0) {
            let bits = reg.var_off;
            reject!(self, EACCES, "R{regno} invalid variable buffer offset: off={off}, var_off={bits}");
        }
        Ok(())
    }

    /// Where the processor (or the loader) wants it, accesses are aligned; on the stack they always are.
    pub(in crate::verifier) fn check_alignment(
        &mut self,
        regno: u8,
        off: i32,
        size: u32,
        strict_once: bool,
    ) -> Res {
        let reg = *self.reg(regno);
        let mut strict = self.strict_alignment || strict_once;
        let plain = reg.flags.is_empty();
        let what = match reg.base {
            Base::Arena if plain => return Ok(()),
            Base::Packet | Base::PacketMeta if plain => {
                // Ethernet headers of 14 bytes are put so that what follows is aligned.
                const IP_ALIGN: i32 = 2;
                let at = reg.off.wrapping_add(off).wrapping_add(IP_ALIGN);
                let place = reg.var_off.add(Tnum::constant(i64::from(at) as u64));
                if strict && size != 1 && !place.is_aligned(u64::from(size)) {
                    let bits = reg.var_off;
                    reject!(
                        self,
                        EACCES,
                        "misaligned packet access off {IP_ALIGN}+{bits}+{}+{off} size {size}",
                        reg.off
                    );
                }
                return Ok(());
            }
            Base::FlowKeys if plain => "flow keys ",
            Base::MapKey if plain => "key ",
            Base::MapValue if plain => "value ",
            Base::Ctx if plain => "context ",
            Base::Stack if plain => {
                strict = true;
                "stack "
            }
            Base::Socket if plain => "sock ",
            Base::SockCommon if plain => "sock_common ",
            Base::TcpSock if plain => "tcp_sock ",
            Base::XdpSock if plain => "xdp_sock ",
            _ => "",
        };
        let at = reg.off.wrapping_add(off);
        let place = reg.var_off.add(Tnum::constant(i64::from(at) as u64));
        if strict && size != 1 && !place.is_aligned(u64::from(size)) {
            let bits = reg.var_off;
            reject!(self, EACCES, "misaligned {what}access off {bits}+{}+{off} size {size}", reg.off);
        }
        Ok(())
    }

    /// A pointer argument without variable offset, and without fixed one unless allowed.
    pub(in crate::verifier) fn check_ptr_off_reg(&mut self, regno: u8, fixed_off_ok: bool) -> Res {
        let reg = *self.reg(regno);
        self.check_ptr_off(&reg, regno, fixed_off_ok)
    }

    /// Offsets that an argument register may have by its type.
    pub(in crate::verifier) fn check_func_arg_reg_off(
        &mut self,
        regno: u8,
        reg: &Reg,
        arg_releases: bool,
        arg_is_dynptr: bool,
    ) -> Res {
        if arg_releases {
            if arg_is_dynptr && reg.is(Base::Stack) {
                return Ok(());
            }
            if reg.off != 0 {
                reject!(
                    self,
                    EINVAL,
                    "R{regno} must have zero offset when passed to release func or trusted arg to kfunc"
                );
            }
            return self.check_ptr_off(reg, regno, false);
        }
        let alloc = Flags::ALLOC;
        match (reg.base, reg.flags) {
            (
                Base::Stack
                | Base::Packet
                | Base::PacketMeta
                | Base::MapKey
                | Base::MapValue
                | Base::Mem
                | Base::Buf
                | Base::Arena
                | Base::Scalar,
                flags,
            ) if flags.is_empty() => Ok(()),
            (Base::Mem, flags) if flags == Flags::RDONLY || flags == Flags::RINGBUF => Ok(()),
            (Base::Buf, flags) if flags == Flags::RDONLY => Ok(()),
            (Base::BtfId, flags)
                if [
                    Flags::empty(),
                    alloc,
                    Flags::TRUSTED,
                    Flags::RCU,
                    alloc | Flags::NON_OWN_REF,
                    alloc | Flags::NON_OWN_REF | Flags::RCU,
                ]
                .contains(&flags) =>
            {
                self.check_ptr_off(reg, regno, true)
            }
            // Since Linux 6.17: memory that may be anything.
            (Base::Mem, flags) if flags == Flags::RDONLY | Flags::UNTRUSTED && self.since(6, 17) => Ok(()),
            _ => self.check_ptr_off(reg, regno, false),
        }
    }
}

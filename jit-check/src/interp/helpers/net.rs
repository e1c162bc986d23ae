//! Packets.

use super::super::call::Next;
use super::super::ctx::Shape;
use super::super::errno::{EFAULT, EINVAL, EOPNOTSUPP};
use super::super::machine::Machine;
use super::super::maps::Body;
use super::super::mem::address;
use super::super::trap::TrapKind;
use super::{Done, value};
use asm::Helper;

/// Bytes of a packet that the link layer cannot do without.
const ETH_HLEN: usize = 14;
/// Bytes at the start of the headroom that XDP programs may not use (`struct xdp_frame`).
const XDP_FRAME: usize = 40;
/// `EACCES`
const EACCES: i64 = -13;
/// Bytes that `bpf_csum_diff` takes in all (`MAX_BPF_STACK`).
const MOST_DIFF: u64 = 512;

/// The Internet checksum's sum over these bytes, folded to 32 bits as the kernel's is.
fn csum_partial(bytes: &[u8], seed: u32) -> u32 {
    let mut sum = u64::from(seed);
    for chunk in bytes.chunks(4) {
        let mut word = [0; 4];
        word[..chunk.len()].copy_from_slice(chunk);
        sum += u64::from(u32::from_ne_bytes(word));
    }
    while sum >> 32 != 0 {
        sum = (sum & 0xffff_ffff) + (sum >> 32);
    }
    sum as u32
}

/// The checksum itself: 16 bits, inverted.
fn fold(sum: u32) -> u16 {
    let sum = (sum & 0xffff) + (sum >> 16);
    !((sum & 0xffff) + (sum >> 16)) as u16
}

/// Takes `from` out of a checksum and puts `to` in (RFC 1624).
fn replace(csum: u16, from: u32, to: u32) -> u16 {
    let add = |a: u32, b: u32| {
        let (sum, carry) = a.overflowing_add(b);
        sum + u32::from(carry)
    };
    let sum = add(add(u32::from(!csum), !from), to);
    fold(sum)
}

impl Machine {
    /// Helpers of packets; `None` where it is none of these.
    pub(super) fn net_helper(
        &mut self,
        helper: Helper,
        name: &str,
        args: [u64; 5],
    ) -> Result<Option<Next>, TrapKind> {
        let [a1, a2, a3, a4, a5] = args;
        if helper == Helper::CSUM_DIFF {
            return self.csum_diff(name, args).map(Some);
        }
        if matches!(helper, Helper::REDIRECT | Helper::REDIRECT_PEER) {
            self.world.redirects.push((a1 as u32, a2));
            // XDP_REDIRECT, TC_ACT_REDIRECT
            let code = if self.context.shape == Shape::Xdp { 4 } else { 7 };
            return value(code).map(Some);
        }
        if helper == Helper::REDIRECT_MAP {
            return self.redirect_map(name, a1, a2, a3).map(Some);
        }
        let packet = self.context.packet_bytes(&self.mem);
        let len = packet.len();
        let result = match (self.context.shape, helper) {
            (Shape::Skb { .. }, Helper::SKB_LOAD_BYTES) | (Shape::Xdp, Helper::XDP_LOAD_BYTES) => {
                self.load_bytes(name, a2 as u32, a3, a4 as u32)
            }
            (Shape::Skb { .. }, Helper::SKB_LOAD_BYTES_RELATIVE) => {
                // From the link header (0) or the network header (1).
                let off = match a5 {
                    0 if self.link_header_is_in() => Some(a2 as u32),
                    1 if self.link_header_is_in() => (a2 as u32).checked_add(ETH_HLEN as u32),
                    1 => Some(a2 as u32),
                    _ => None,
                };
                self.load_bytes(name, off.unwrap_or(u32::MAX), a3, a4 as u32)
            }
            (Shape::Skb { .. }, Helper::SKB_STORE_BYTES) => {
                if a5 & !3 != 0 {
                    return value(EINVAL).map(Some);
                }
                self.store_bytes(name, a2 as u32, a3, a4 as u32)
            }
            (Shape::Xdp, Helper::XDP_STORE_BYTES) => self.store_bytes(name, a2 as u32, a3, a4 as u32),
            (Shape::Skb { .. }, Helper::SKB_PULL_DATA) => {
                // All of it is linear already, but pointers to it are no good any more.
                if a2 as u32 as usize > self.packet_len() {
                    return value(super::super::errno::ENOMEM).map(Some);
                }
                self.renew(0, 0)?;
                value(0)
            }
            (Shape::Skb { .. }, Helper::SKB_CHANGE_TAIL) => {
                if a3 != 0 || a2 as u32 as usize > 65535 || (a2 as u32 as usize) < ETH_HLEN {
                    return value(EINVAL).map(Some);
                }
                self.renew(0, a2 as u32 as i64 - len as i64)?;
                value(0)
            }
            (Shape::Skb { .. }, Helper::SKB_CHANGE_HEAD) => {
                if a3 != 0 || len + a2 as u32 as usize > 65535 {
                    return value(EINVAL).map(Some);
                }
                self.renew(a2 as u32 as i64, 0)?;
                value(0)
            }
            (Shape::Skb { .. }, Helper::L3_CSUM_REPLACE | Helper::L4_CSUM_REPLACE) => {
                self.csum_replace(name, helper == Helper::L4_CSUM_REPLACE, args)
            }
            (Shape::Skb { .. }, Helper::CSUM_UPDATE) => value(EOPNOTSUPP),
            (Shape::Skb { .. }, Helper::GET_HASH_RECALC | Helper::SET_HASH_INVALID) => value(0),
            (Shape::Skb { .. }, Helper::GET_SOCKET_COOKIE) => value(1),
            (Shape::Skb { .. }, Helper::GET_SOCKET_UID) => value(0),
            (Shape::Skb { .. }, Helper::GET_CGROUP_CLASSID | Helper::GET_ROUTE_REALM) => value(0),
            (Shape::Skb { .. }, Helper::SKB_CGROUP_ID) => value(self.world.cgroup_id as i64),
            (_, Helper::SK_FULLSOCK | Helper::TCP_SOCK) => {
                // The only socket is a bare one.
                let is_sock = a1 == address(self.context.sock) && helper == Helper::SK_FULLSOCK;
                Ok(Next::Value(if is_sock { a1 } else { 0 }))
            }
            (_, Helper::SK_LOOKUP_TCP | Helper::SK_LOOKUP_UDP | Helper::SKC_LOOKUP_TCP) => {
                // There are no others.
                self.bytes_in(name, a2, a3 & 0xffff_ffff)?;
                Ok(Next::Value(0))
            }
            (_, Helper::FIB_LOOKUP) => {
                self.check_write(name, a2, a3 & 0xffff_ffff)?;
                // BPF_FIB_LKUP_RET_NOT_FWDED
                value(4)
            }
            (Shape::Xdp, Helper::XDP_GET_BUFF_LEN) => value(len as i64),
            (Shape::Xdp, Helper::XDP_ADJUST_HEAD) => self.adjust_head(a2 as i32),
            (Shape::Xdp, Helper::XDP_ADJUST_META) => self.adjust_meta(a2 as i32),
            (Shape::Xdp, Helper::XDP_ADJUST_TAIL) => self.adjust_tail(a2 as i32),
            _ => return Ok(None),
        };
        result.map(Some)
    }

    fn load_bytes(&mut self, name: &str, off: u32, to: u64, len: u32) -> Done {
        self.check_write(name, to, len.into())?;
        let packet = self.context.packet_bytes(&self.mem);
        let found = (off as usize).checked_add(len as usize).and_then(|end| packet.get(off as usize..end));
        match found.map(<[u8]>::to_vec) {
            Some(bytes) => {
                self.write_out(name, to, &bytes)?;
                value(0)
            }
            None => {
                if let Shape::Skb { .. } = self.context.shape {
                    self.write_out(name, to, &vec![0; len as usize])?;
                    return value(EFAULT);
                }
                value(EINVAL)
            }
        }
    }

    fn store_bytes(&mut self, name: &str, off: u32, from: u64, len: u32) -> Done {
        let bytes = self.bytes_in(name, from, len.into())?.to_vec();
        let meta = self.context.meta;
        let packet = self.mem.bytes_mut(self.context.packet);
        let at = meta + off as usize;
        let errno = match packet.get_mut(at..at + bytes.len()) {
            Some(place) => {
                place.copy_from_slice(&bytes);
                0
            }
            None if self.context.shape == Shape::Xdp => EINVAL,
            None => EFAULT,
        };
        if let (0, Shape::Skb { .. }) = (errno, self.context.shape) {
            // The kernel makes the packet writable, which may move it.
            self.renew(0, 0)?;
        }
        value(errno)
    }

    /// Moves the packet, with more or less bytes at its ends.
    fn renew(&mut self, head: i64, tail: i64) -> Result<(), TrapKind> {
        let mut bytes = vec![0; head.max(0) as usize];
        let old = self.context.packet_bytes(&self.mem);
        bytes.extend_from_slice(&old[(-head).clamp(0, old.len() as i64) as usize..]);
        bytes.resize((bytes.len() as i64 + tail).max(0) as usize, 0);
        let (mut context, full) = (self.context.clone(), self.full());
        context.replace(&bytes, 0, &mut self.mem).map_err(|_| full)?;
        self.context = context;
        Ok(())
    }

    /// Puts metadata and packet in their new extent.
    fn extent(&mut self, bytes: &[u8], meta: usize) -> Done {
        let (mut context, full) = (self.context.clone(), self.full());
        context.replace(bytes, meta, &mut self.mem).map_err(|_| full)?;
        self.context = context;
        value(0)
    }

    fn adjust_head(&mut self, by: i32) -> Done {
        let meta = self.context.meta;
        let whole = self.mem.bytes(self.context.packet).to_vec();
        let (meta_bytes, packet) = whole.split_at(meta);
        let by = i64::from(by);
        let room = self.context.before.len() as i64 - XDP_FRAME as i64;
        if -by > room || by > packet.len() as i64 - ETH_HLEN as i64 {
            return value(EINVAL);
        }
        let before = &mut self.context.before;
        let mut bytes = meta_bytes.to_vec();
        if by >= 0 {
            before.extend_from_slice(&packet[..by as usize]);
            bytes.extend_from_slice(&packet[by as usize..]);
        } else {
            let from = before.len() - (-by) as usize;
            bytes.extend(before.drain(from..));
            bytes.extend_from_slice(packet);
        }
        self.extent(&bytes, meta)
    }

    fn adjust_meta(&mut self, by: i32) -> Done {
        let whole = self.mem.bytes(self.context.packet).to_vec();
        let meta = self.context.meta as i64 - i64::from(by);
        let total_before = self.context.before.len() as i64 + self.context.meta as i64;
        if meta < 0 || total_before - meta < XDP_FRAME as i64 {
            return value(EINVAL);
        }
        if meta % 4 != 0 || meta > 255 {
            return value(EACCES);
        }
        let packet = &whole[self.context.meta..];
        let mut front = self.context.before.clone();
        front.extend_from_slice(&whole[..self.context.meta]);
        let mut bytes = front.split_off(front.len() - meta as usize);
        bytes.extend_from_slice(packet);
        self.context.before = front;
        self.extent(&bytes, meta as usize)
    }

    fn adjust_tail(&mut self, by: i32) -> Done {
        let mut bytes = self.mem.bytes(self.context.packet).to_vec();
        let meta = self.context.meta;
        let len = bytes.len() as i64 + i64::from(by);
        if i64::from(by) > self.context.tailroom as i64 || len < (meta + ETH_HLEN) as i64 {
            return value(EINVAL);
        }
        self.context.tailroom = (self.context.tailroom as i64 - i64::from(by)) as usize;
        bytes.resize(len as usize, 0);
        self.extent(&bytes, meta)
    }

    fn csum_diff(&mut self, name: &str, [from, from_len, to, to_len, seed]: [u64; 5]) -> Done {
        let (from_len, to_len) = (from_len & 0xffff_ffff, to_len & 0xffff_ffff);
        if (from_len | to_len) % 4 != 0 || from_len + to_len > MOST_DIFF {
            return value(EINVAL);
        }
        let mut bytes: Vec<u8> = self.bytes_in(name, from, from_len)?.iter().map(|b| !b).collect();
        bytes.extend_from_slice(self.bytes_in(name, to, to_len)?);
        Ok(Next::Value(csum_partial(&bytes, seed as u32).into()))
    }

    fn csum_replace(&mut self, _name: &str, l4: bool, [_, off, from, to, flags]: [u64; 5]) -> Done {
        let known = if l4 { 0xf | 0x10 | 0x20 | 0x40 | 0x80 } else { 0xf };
        if flags & !known != 0 {
            return value(EINVAL);
        }
        // BPF_F_MARK_MANGLED_0: zero stands for no checksum.
        let mangled = l4 && flags & 0x20 != 0;
        let (meta, off) = (self.context.meta, off as u32 as usize);
        if off & 1 != 0 {
            return value(EFAULT);
        }
        let packet = self.mem.bytes_mut(self.context.packet);
        let Some(place) = packet.get_mut(meta + off..meta + off + 2) else { return value(EFAULT) };
        let csum = u16::from_ne_bytes([place[0], place[1]]);
        if mangled && csum == 0 {
            return value(0);
        }
        let csum = match flags & 0xf {
            0 if from == 0 => replace(csum, 0, to as u32),
            2 => replace(csum, from as u32 & 0xffff, to as u32 & 0xffff),
            4 => replace(csum, from as u32, to as u32),
            _ => return value(EINVAL),
        };
        let csum = if mangled && csum == 0 { 0xffff } else { csum };
        place.copy_from_slice(&csum.to_ne_bytes());
        self.renew(0, 0)?;
        value(0)
    }

    fn redirect_map(&mut self, name: &str, map: u64, index: u64, flags: u64) -> Done {
        let n = self.map_arg(name, 1, map)?;
        let key = (index as u32).to_ne_bytes();
        let there = matches!(&self.maps[n].body, Body::Numbers(numbers) if numbers.contains_key(&key[..]));
        if !there {
            // The lower bits are what it returns then.
            return value((flags & 3) as i64);
        }
        self.world.redirects.push((index as u32, flags));
        value(4)
    }
}

#[cfg(test)]
mod tests {
    use super::{csum_partial, fold, replace};

    #[test]
    fn checksums_are_updated_as_they_are_made() {
        let mut header = [0x45, 0, 0, 0x54, 0x12, 0x34, 0x40, 0, 0x40, 1, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2];
        let before = fold(csum_partial(&header, 0));
        let old = u32::from_ne_bytes([10, 0, 0, 1]);
        let new = u32::from_ne_bytes([192, 168, 7, 9]);
        header[12..16].copy_from_slice(&new.to_ne_bytes());
        assert_eq!(replace(before, old, new), fold(csum_partial(&header, 0)));
    }
}

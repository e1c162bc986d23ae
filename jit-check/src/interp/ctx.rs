//! What a program is started with: its context and packet, laid out as BPF_PROG_TEST_RUN does.

use super::mem::{Full, Kind, Memory, address};
use bpf_sys::prog::ProgType;

/// What a run is given. Everything may be left empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Input {
    /// Context, as BPF_PROG_TEST_RUN takes it (`__sk_buff`, `xdp_md`, arguments of 8 bytes, registers); zeroes are added
    /// to what the program's type has.
    pub ctx: Vec<u8>,
    /// Packet from its Ethernet header on, for networking types; 64 zeroes where it is empty.
    pub data: Vec<u8>,
    /// Memory that r1 points to and r2 measures instead of a context; both are 0 where it is empty.
    pub mem: Option<Vec<u8>>,
}

impl Input {
    /// A run on this packet.
    pub fn packet(data: impl Into<Vec<u8>>) -> Input {
        Input { data: data.into(), ..Input::default() }
    }

    /// A run with this context.
    pub fn context(ctx: impl Into<Vec<u8>>) -> Input {
        Input { ctx: ctx.into(), ..Input::default() }
    }

    /// A run on plain memory: r1 points to it, r2 is its length.
    pub fn memory(mem: impl Into<Vec<u8>>) -> Input {
        Input { mem: Some(mem.into()), ..Input::default() }
    }
}

/// How a context is presented.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    Plain,
    Skb {
        /// Whether the program sees the Ethernet header.
        l2: bool,
    },
    Xdp,
}

pub(super) fn shape(prog_type: ProgType) -> Shape {
    use ProgType as T;
    match prog_type {
        T::SchedCls | T::SchedAct => Shape::Skb { l2: true },
        T::SocketFilter
        | T::CgroupSkb
        | T::LwtIn
        | T::LwtOut
        | T::LwtXmit
        | T::LwtSeg6local
        | T::SkSkb
        | T::FlowDissector => Shape::Skb { l2: false },
        T::Xdp => Shape::Xdp,
        _ => Shape::Plain,
    }
}

/// Bytes of a context that is plain memory.
fn plain_size(prog_type: ProgType) -> usize {
    use ProgType as T;
    match prog_type {
        // Twelve arguments.
        T::RawTracepoint | T::RawTracepointWritable | T::Tracing | T::Lsm | T::StructOps | T::Ext => 96,
        // struct pt_regs of x86-64
        T::Kprobe => 168,
        T::PerfEvent => 168 + 16,
        T::Tracepoint => 2048,
        T::Syscall => 0,
        T::CgroupSock => 80,
        T::CgroupSockAddr => 72,
        T::SockOps => 224,
        T::CgroupDevice => 12,
        T::CgroupSysctl => 8,
        T::CgroupSockopt => 40,
        T::SkMsg => 80,
        T::SkLookup => 72,
        T::SkReuseport => 56,
        T::LircMode2 => 4,
        T::Netfilter => 16,
        _ => 64,
    }
}

/// Offsets in `struct __sk_buff` (include/uapi/linux/bpf.h).
pub(super) mod skb {
    pub const LEN: usize = 0;
    pub const PKT_TYPE: usize = 4;
    pub const MARK: usize = 8;
    pub const PROTOCOL: usize = 16;
    pub const PRIORITY: usize = 32;
    pub const INGRESS_IFINDEX: usize = 36;
    pub const IFINDEX: usize = 40;
    pub const CB: usize = 48;
    pub const DATA: usize = 76;
    pub const DATA_END: usize = 80;
    pub const DATA_META: usize = 140;
    pub const FLOW_KEYS: usize = 144;
    pub const TSTAMP: usize = 152;
    pub const WIRE_LEN: usize = 160;
    pub const GSO_SEGS: usize = 164;
    pub const SK: usize = 168;
    pub const GSO_SIZE: usize = 176;
    pub const HWTSTAMP: usize = 184;
    pub const SIZE: usize = 192;
}

/// Offsets in `struct xdp_md`.
pub(super) mod xdp {
    pub const DATA: usize = 0;
    pub const DATA_END: usize = 4;
    pub const DATA_META: usize = 8;
    pub const INGRESS_IFINDEX: usize = 12;
    pub const SIZE: usize = 24;
}

const ETH_HLEN: usize = 14;
const XDP_HEADROOM: usize = 256;
/// Bytes of a page that are left for an XDP packet and its headroom.
const XDP_ROOM: usize = 4096 - 320;

/// The packet and the context of one run.
#[derive(Clone, Debug)]
pub(super) struct Context {
    pub shape: Shape,
    /// Region of the context; 0 where there is none.
    pub region: u32,
    /// Region of metadata and packet; 0 where there is none.
    pub packet: u32,
    /// Bytes of metadata before the packet.
    pub meta: usize,
    /// What lies before the packet, its last byte next to it: the link header that was taken off, headroom.
    pub before: Vec<u8>,
    /// Room behind the packet that it may grow into.
    pub tailroom: usize,
    /// A socket.
    pub sock: u32,
    /// What was given, for what comes back.
    given: Vec<u8>,
}

impl Context {
    pub fn none() -> Context {
        Context {
            shape: Shape::Plain,
            region: 0,
            packet: 0,
            meta: 0,
            before: Vec::new(),
            tailroom: 0,
            sock: 0,
            given: Vec::new(),
        }
    }

    pub fn new(prog_type: ProgType, input: &Input, mem: &mut Memory) -> Result<Context, Full> {
        let mut context = Context::none();
        context.shape = shape(prog_type);
        if let Some(bytes) = &input.mem {
            context.shape = Shape::Plain;
            if !bytes.is_empty() {
                context.region = mem.alloc_bytes(Kind::Given, 0, bytes, false)?;
            }
            return Ok(context);
        }
        let data = if input.data.is_empty() { vec![0; 64] } else { input.data.clone() };
        match context.shape {
            Shape::Plain => {
                let mut bytes = input.ctx.clone();
                bytes.resize(bytes.len().max(plain_size(prog_type)), 0);
                if !bytes.is_empty() {
                    context.region = mem.alloc_bytes(Kind::Ctx, 0, &bytes, false)?;
                }
            }
            Shape::Skb { l2 } => {
                let at = if l2 { 0 } else { ETH_HLEN.min(data.len()) };
                context.before = data[..at].to_vec();
                context.packet = mem.alloc_bytes(Kind::Packet, 0, &data[at..], false)?;
                context.tailroom = 4096;
                context.sock = mem.alloc(Kind::Object, 0, 80, true)?;
                context.given = input.ctx.clone();
                context.given.resize(skb::SIZE, 0);
                let bytes = fill_skb(&data, data.len() - at, &context.given);
                context.region = mem.alloc_bytes(Kind::Ctx, 0, &bytes, false)?;
                mem.watch(context.region);
            }
            Shape::Xdp => {
                context.given = input.ctx.clone();
                context.given.resize(xdp::SIZE, 0);
                let given = !input.ctx.is_empty();
                let (meta, end) = if given {
                    (u32_at(&context.given, xdp::DATA), u32_at(&context.given, xdp::DATA_END))
                } else {
                    (0, data.len())
                };
                let end = end.min(data.len());
                context.meta = meta.min(end);
                context.packet = mem.alloc_bytes(Kind::Packet, 0, &data[..end], false)?;
                context.before = vec![0; XDP_HEADROOM - context.meta.min(XDP_HEADROOM)];
                context.tailroom = XDP_ROOM.saturating_sub(XDP_HEADROOM + end - context.meta);
                let mut bytes = context.given.clone();
                if u32_at(&bytes, xdp::INGRESS_IFINDEX) == 0 {
                    put_u32(&mut bytes, xdp::INGRESS_IFINDEX, 1);
                }
                context.region = mem.alloc_bytes(Kind::Ctx, 0, &bytes, false)?;
                mem.watch(context.region);
            }
        }
        Ok(context)
    }

    /// What r1 and r2 are at the start.
    pub fn registers(&self, input: &Input) -> (u64, u64) {
        let addr = if self.region == 0 { 0 } else { address(self.region) };
        (addr, input.mem.as_ref().map_or(0, |m| m.len() as u64))
    }

    /// Addresses of the packet's first byte and the one behind its last.
    pub fn data(&self, mem: &Memory) -> (u64, u64) {
        let len = mem.bytes(self.packet).len();
        (address(self.packet) + self.meta as u64, address(self.packet) + len as u64)
    }

    /// The packet, without metadata.
    pub fn packet_bytes<'m>(&self, mem: &'m Memory) -> &'m [u8] {
        mem.bytes(self.packet).get(self.meta..).unwrap_or_default()
    }

    /// Value that a field of the context has instead of what is stored there: offset, size, address.
    pub fn pointer_at(&self, off: usize, mem: &Memory) -> Option<(usize, usize, u64)> {
        let (data, end) = self.data(mem);
        let fields = match self.shape {
            Shape::Plain => return None,
            Shape::Skb { .. } => [
                (skb::DATA, 4, data),
                (skb::DATA_END, 4, end),
                (skb::DATA_META, 4, address(self.packet)),
                (skb::FLOW_KEYS, 8, 0),
                (skb::SK, 8, address(self.sock)),
            ],
            Shape::Xdp => [
                (xdp::DATA, 4, data),
                (xdp::DATA_END, 4, end),
                (xdp::DATA_META, 4, address(self.packet)),
                (usize::MAX - 8, 0, 0),
                (usize::MAX - 8, 0, 0),
            ],
        };
        fields.into_iter().find(|&(at, size, _)| (at..at + size).contains(&off))
    }

    /// Puts another packet in the place of this one; pointers to the old one are no good any more.
    pub fn replace(&mut self, bytes: &[u8], meta: usize, mem: &mut Memory) -> Result<(), Full> {
        let packet = mem.alloc_bytes(Kind::Packet, 0, bytes, false)?;
        mem.free(self.packet);
        (self.packet, self.meta) = (packet, meta);
        if let Shape::Skb { .. } = self.shape {
            put_u32(mem.bytes_mut(self.region), skb::LEN, bytes.len() as u32);
        }
        Ok(())
    }

    /// Packet and context as BPF_PROG_TEST_RUN gives them back.
    pub fn output(&self, mem: &Memory) -> (Vec<u8>, Vec<u8>) {
        let ctx = mem.bytes(self.region);
        match self.shape {
            Shape::Plain => (Vec::new(), ctx.to_vec()),
            Shape::Skb { l2 } => {
                // The link header that was taken off comes back as zeroes.
                let mut data = vec![0; if l2 { 0 } else { ETH_HLEN }];
                data.extend_from_slice(mem.bytes(self.packet));
                let mut out = self.given.clone();
                for (off, len) in [
                    (skb::MARK, 4),
                    (skb::PRIORITY, 4),
                    (skb::INGRESS_IFINDEX, 8),
                    (skb::CB, 20),
                    (skb::TSTAMP, 8),
                    (skb::WIRE_LEN, 4),
                    (skb::GSO_SEGS, 4),
                    (skb::HWTSTAMP, 8),
                ] {
                    if let Some(bytes) = ctx.get(off..off + len) {
                        out[off..off + len].copy_from_slice(bytes);
                    }
                }
                (data, out)
            }
            Shape::Xdp => {
                let data = mem.bytes(self.packet).to_vec();
                let mut out = self.given.clone();
                put_u32(&mut out, xdp::DATA, self.meta as u32);
                put_u32(&mut out, xdp::DATA_END, data.len() as u32);
                (data, out)
            }
        }
    }
}

pub(super) fn u32_at(bytes: &[u8], at: usize) -> usize {
    bytes.get(at..at + 4).and_then(|b| b.try_into().ok()).map_or(0, u32::from_ne_bytes) as usize
}

pub(super) fn put_u32(bytes: &mut [u8], at: usize, value: u32) {
    if let Some(place) = bytes.get_mut(at..at + 4) {
        place.copy_from_slice(&value.to_ne_bytes());
    }
}

/// The `__sk_buff` of a packet that came in on the loopback device.
fn fill_skb(frame: &[u8], len: usize, given: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0; skb::SIZE];
    for (off, len) in [
        (skb::MARK, 4),
        (skb::PRIORITY, 4),
        (skb::INGRESS_IFINDEX, 4),
        (skb::CB, 20),
        (skb::TSTAMP, 8),
        (skb::WIRE_LEN, 4),
        (skb::GSO_SEGS, 4),
        (skb::GSO_SIZE, 4),
        (skb::HWTSTAMP, 8),
    ] {
        bytes[off..off + len].copy_from_slice(&given[off..off + len]);
    }
    put_u32(&mut bytes, skb::LEN, len as u32);
    if u32_at(&bytes, skb::WIRE_LEN) == 0 {
        put_u32(&mut bytes, skb::WIRE_LEN, len as u32);
    }
    put_u32(&mut bytes, skb::IFINDEX, 1);
    let to = frame.get(..6).unwrap_or_default();
    // The loopback device's address is all zero.
    let pkt_type = match to {
        [0xff, 0xff, 0xff, 0xff, 0xff, 0xff] => 1,
        [first, ..] if first & 1 != 0 => 2,
        _ if to.iter().all(|&b| b == 0) => 0,
        _ => 3,
    };
    put_u32(&mut bytes, skb::PKT_TYPE, pkt_type);
    let protocol = match frame.get(12..14).and_then(|b| <[u8; 2]>::try_from(b).ok()) {
        Some(ethertype) if u16::from_be_bytes(ethertype) >= 0x0600 => ethertype,
        Some(_) if frame.get(14..16) == Some(&[0xff, 0xff]) => [0, 1],
        Some(_) => [0, 4],
        None => [0, 0],
    };
    put_u32(&mut bytes, skb::PROTOCOL, u16::from_ne_bytes(protocol).into());
    bytes
}

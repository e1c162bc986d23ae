//! What is known of one register (or of eight bytes of stack that hold a spilled one).

use super::scalar::Tnum;
use super::state::StateId;
use bitflags::bitflags;

/// What kind of value a register holds.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
#[repr(u8)]
pub(crate) enum Base {
    /// Nothing was written there.
    #[default]
    NotInit,
    /// A number.
    Scalar,
    /// The program's context.
    Ctx,
    /// A map itself.
    ConstMap,
    /// A value in a map.
    MapValue,
    /// A key in a map (callbacks).
    MapKey,
    /// The stack: frame pointer plus offset.
    Stack,
    /// `skb->data_meta`.
    PacketMeta,
    /// `skb->data`.
    Packet,
    /// `skb->data_end`.
    PacketEnd,
    /// `struct bpf_flow_keys`.
    FlowKeys,
    /// `struct bpf_sock`.
    Socket,
    /// The part that all sockets have.
    SockCommon,
    /// `struct bpf_tcp_sock`.
    TcpSock,
    /// Writable raw tracepoint buffer.
    TpBuffer,
    /// `struct bpf_xdp_sock`.
    XdpSock,
    /// A kernel object by its BTF type.
    BtfId,
    /// Memory of known size.
    Mem,
    /// Arena.
    Arena,
    /// Buffer of an iterator: bounds are checked at run time.
    Buf,
    /// A subprogram.
    Func,
    /// A dynptr that was handed to a callback or global function.
    ConstDynptr,
}

bitflags! {
    /// What else is known of a pointer (and asked of arguments).
    #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
    pub(crate) struct Flags: u32 {
        const MAYBE_NULL = 1 << 0;
        const RDONLY = 1 << 1;
        const RINGBUF = 1 << 2;
        const USER = 1 << 3;
        const PERCPU = 1 << 4;
        const OBJ_RELEASE = 1 << 5;
        const UNTRUSTED = 1 << 6;
        const UNINIT = 1 << 7;
        const DYNPTR_LOCAL = 1 << 8;
        const DYNPTR_RINGBUF = 1 << 9;
        const FIXED_SIZE = 1 << 10;
        const ALLOC = 1 << 11;
        const TRUSTED = 1 << 12;
        const RCU = 1 << 13;
        const NON_OWN_REF = 1 << 14;
        const DYNPTR_SKB = 1 << 15;
        const DYNPTR_XDP = 1 << 16;
        const ALIGNED = 1 << 17;
        const WRITE = 1 << 18;
        const DYNPTR_SKB_META = 1 << 19;
        const DYNPTR_FILE = 1 << 20;
    }
}

/// Kind of a dynptr.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) enum DynptrKind {
    Invalid,
    Local,
    Ringbuf,
    Skb,
    Xdp,
    SkbMeta,
    File,
}

/// State of an open-coded iterator.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) enum IterState {
    Active,
    Drained,
}

/// Index into `Env::btfs`: 0 is the kernel's, 1 the program's own, modules follow.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub(crate) struct BtfIdx(pub u16);

impl BtfIdx {
    pub const KERNEL: BtfIdx = BtfIdx(0);
    pub const PROGRAM: BtfIdx = BtfIdx(1);
}

/// What only some kinds of values have.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) enum Extra {
    #[default]
    None,
    /// Packet pointers: how many bytes may be accessed. Packet ends use -1 and -2 (beyond, at the end).
    Range(i32),
    /// Map, map value, map key: index into `Env::maps`, and for maps found in maps the id of the look-up.
    /// `inner` says that the map is one found in `map`, a map of maps.
    Map { map: u32, inner: bool, uid: u32 },
    /// Kernel or allocated object.
    Btf { btf: BtfIdx, id: u32 },
    /// Memory: its size, and the dynptr it is a slice of.
    Mem { size: u32, dynptr_id: u32 },
    /// A dynptr's first or second stack slot.
    Dynptr { kind: DynptrKind, first_slot: bool },
    /// An iterator's stack slot.
    Iter { btf: BtfIdx, id: u32, state: IterState, depth: u32 },
    /// A saved interrupt flag; whether it is a lock's.
    Irq { lock_class: bool },
    /// A subprogram.
    Subprog(u32),
}

/// Read and write marks of the liveness analysis.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Live(pub u8);

impl Live {
    pub const NONE: Live = Live(0);
    pub const READ32: Live = Live(1);
    pub const READ64: Live = Live(2);
    pub const READ: Live = Live(3);
    pub const WRITTEN: Live = Live(4);
    pub const DONE: Live = Live(8);

    pub fn has(self, other: Live) -> bool {
        self.0 & other.0 != 0
    }

    pub fn add(&mut self, other: Live) {
        self.0 |= other.0;
    }
}

/// A register or stack slot of a cached state.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Place {
    pub state: StateId,
    pub frame: u8,
    pub at: At,
}

/// Where in a frame.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum At {
    Reg(u8),
    /// Stack slot: bytes `-8 * (n + 1)` to `-8 * n` from the frame pointer.
    Slot(u16),
}

/// Not the result of a 32-bit operation.
pub(crate) const DEF_NOT_SUBREG: u32 = 0;

/// Id flag: the register is its twin plus a constant (`Reg::off`), linked scalars. Bits 31 and 30 of `id`.
pub(crate) const ADD_CONST64: u32 = 1 << 31;
pub(crate) const ADD_CONST32: u32 = 1 << 30;
pub(crate) const ADD_CONST: u32 = ADD_CONST64 | ADD_CONST32;

/// What is known of a register.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) struct Reg {
    pub base: Base,
    pub flags: Flags,
    pub live: Live,
    /// Whether its exact value decides the verdict.
    pub precise: bool,
    /// Fixed part of a pointer's offset; distance from the twin for linked scalars.
    pub off: i32,
    pub extra: Extra,
    /// Who else holds the same value.
    pub id: u32,
    /// Which reference it comes from.
    pub ref_obj_id: u32,
    /// Which bits are known: of a number, or of a pointer's variable offset.
    pub var_off: Tnum,
    pub smin: i64,
    pub smax: i64,
    pub umin: u64,
    pub umax: u64,
    pub s32_min: i32,
    pub s32_max: i32,
    pub u32_min: u32,
    pub u32_max: u32,
    /// Whose stack it points to.
    pub frameno: u32,
    /// Instruction + 1 that wrote its lower half only; 0 where none.
    pub subreg_def: u32,
    /// The same place in the state before, for liveness.
    pub parent: Option<Place>,
}

impl Default for Reg {
    fn default() -> Reg {
        Reg::NOT_INIT
    }
}

impl Reg {
    /// Nothing was written.
    pub const NOT_INIT: Reg = Reg {
        base: Base::NotInit,
        flags: Flags::empty(),
        live: Live::NONE,
        precise: false,
        off: 0,
        extra: Extra::None,
        id: 0,
        ref_obj_id: 0,
        var_off: Tnum::UNKNOWN,
        smin: i64::MIN,
        smax: i64::MAX,
        umin: 0,
        umax: u64::MAX,
        s32_min: i32::MIN,
        s32_max: i32::MAX,
        u32_min: 0,
        u32_max: u32::MAX,
        frameno: 0,
        subreg_def: DEF_NOT_SUBREG,
        parent: None,
    };

    pub fn is_scalar(&self) -> bool {
        self.base == Base::Scalar
    }

    /// Whether its base is this and it has no flags: what the kernel's comparison of whole types means.
    pub fn is(&self, base: Base) -> bool {
        self.base == base && self.flags.is_empty()
    }

    pub fn may_be_null(&self) -> bool {
        self.flags.contains(Flags::MAYBE_NULL)
    }

    /// The kernel type that it points to.
    pub fn btf(&self) -> Option<(BtfIdx, u32)> {
        match self.extra {
            Extra::Btf { btf, id } => Some((btf, id)),
            _ => None,
        }
    }

    /// Packet range.
    pub fn range(&self) -> i32 {
        match self.extra {
            Extra::Range(range) => range,
            _ => 0,
        }
    }

    /// Takes over all that is known of `other`; liveness and parent stay as they are at this place.
    pub fn copy_value(&mut self, other: &Reg) {
        let (live, parent) = (self.live, self.parent);
        *self = *other;
        (self.live, self.parent) = (live, parent);
    }
}

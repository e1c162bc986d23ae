//! Frames, references and whole states.

use super::reg::{Live, Reg};

/// What one byte of stack holds.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
#[repr(u8)]
pub(crate) enum SlotType {
    /// Never written.
    #[default]
    Invalid,
    /// Part of a spilled register.
    Spill,
    /// Some number.
    Misc,
    /// Zero.
    Zero,
    Dynptr,
    Iter,
    IrqFlag,
}

/// Eight bytes of stack.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub(crate) struct Slot {
    pub spilled: Reg,
    /// Its bytes in the order in which the log prints them: `types[n]` is the byte at frame pointer `-8 * slot - 1 - n`.
    pub types: [SlotType; 8],
}

/// What kind of reference is held.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) enum RefKind {
    /// An object to be released.
    Ptr,
    /// A spin lock.
    Lock,
    ResLock,
    ResLockIrq,
    /// A saved interrupt flag.
    Irq,
}

/// A reference that must be given back.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Ref {
    pub kind: RefKind,
    /// Its id (`ref_obj_id` of registers; for locks the register's id).
    pub id: u32,
    /// Where it was taken.
    pub insn_idx: u32,
    /// In which frame (synchronous callbacks may not release their caller's; before Linux 6.13).
    pub callback_ref: u32,
    /// For locks: what the lock is part of: map index or BTF object, so that the unlock is of the same one.
    pub owner: u64,
}

/// Range of return values, `exact` for callbacks that must return just these.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct RetRange {
    pub min: i32,
    pub max: i32,
}

/// One function's registers and stack.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Frame {
    pub regs: [Reg; 11],
    /// Call instruction in the caller; -1 for the outermost.
    pub callsite: i32,
    pub frameno: u32,
    pub subprogno: u32,
    /// How many calls of asynchronous callbacks, so that loops of them end.
    pub async_entry_cnt: u32,
    pub in_callback: bool,
    pub in_async_callback: bool,
    pub in_exception_callback: bool,
    pub callback_ret_range: RetRange,
    pub callback_depth: u32,
    /// Slots by distance from the frame pointer.
    pub stack: Vec<Slot>,
    /// References that were held when this frame called the next: each frame has a list of its own before Linux 6.14.
    pub held: Vec<Ref>,
}

/// Index of a cached state.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) struct StateId(pub u32);

/// One step of the way to a state, for going back when a value must be precise.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Jump {
    pub idx: u32,
    pub prev_idx: u32,
    /// `INSN_F_*`: frame (3 bits), slot (6 bits) << 3, stack access << 9 (and in newer kernels more).
    pub flags: u16,
    /// Registers that shared an id at that point, packed.
    pub linked_regs: u64,
}

/// All that is known at a point of a path.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct State {
    #[allow(clippy::vec_box)]
    pub frames: Vec<Box<Frame>>,
    /// The state this path went through before.
    pub parent: Option<StateId>,
    /// Paths that still go on from here.
    pub branches: u32,
    pub insn_idx: usize,
    pub refs: Vec<Ref>,
    /// Locks held (entries of `refs` that are locks), and the last one taken.
    pub active_locks: u32,
    pub active_lock_id: u32,
    pub active_lock_owner: u64,
    pub active_rcu_lock: u32,
    pub active_preempt_locks: u32,
    pub active_irq_id: u32,
    pub speculative: bool,
    pub in_sleepable: bool,
    pub used_as_loop_entry: bool,
    pub first_insn_idx: usize,
    pub last_insn_idx: usize,
    pub loop_entry: Option<StateId>,
    /// This state's part of the way: entries of `Keep::way`.
    pub way_start: u32,
    pub way_end: u32,
    pub dfs_depth: u32,
    pub callback_unroll_depth: u32,
    pub may_goto_depth: u32,
}

impl State {
    pub fn curframe(&self) -> usize {
        self.frames.len().saturating_sub(1)
    }
}

impl State {
    /// Frame `caller` calls another function: notes what is held.
    pub fn note_held(&mut self, caller: usize) {
        let State { frames, refs, .. } = self;
        frames[caller].held.clone_from(refs);
    }
}

impl Slot {
    pub fn is_spilled_reg(&self) -> bool {
        self.types[7] == SlotType::Spill
    }

    pub fn live(&self) -> Live {
        self.spilled.live
    }
}

//! The program that counts stacks.
//!
//! It writes the stack into a scratch element of this processor, which has the form of a table entry, and looks for an
//! entry under a key made of the frames' hash and what else keeps stacks apart. An entry counts only if its frames are
//! the same, one by one; otherwise the next attempt has another key. What finds no place in a few attempts, or no free
//! entry, is counted as dropped.

use asm::{
    AtomicOp, BuildError, Builder, Helper, Label, Program, R0, R1, R2, R3, R4, R6, R7, R8, R9, R10, Reg, Size,
};

use super::{DATA, DROPPED, Frame, Key, SCRATCH};
use crate::filter::PidNs;

/// How often another key is tried when two stacks have the same hash.
const ATTEMPTS: u64 = 4;
/// Scratch elements on each processor, for tasks that preempt each other inside the program.
pub(crate) const SCRATCH_SLOTS: u32 = 4;
/// Kernel frames that are asked for at first. The helper clears what it does not fill, which takes longer than most
/// stacks do; only one that fills this is taken again in full. User stacks are deeper, and dearer to take twice.
const FIRST_FRAMES: u32 = 32;
/// `BPF_F_USER_STACK`.
const USER_STACK: i32 = 1 << 8;
/// An odd number without pattern, for mixing.
const MIX: u64 = 0x9e37_79b9_7f4a_7c15;

/// Key of the table: hash (8), process (4), target (4).
pub(crate) const KEY_SIZE: u32 = 16;

/// What is taken of a stack, and so how entries of the table look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Layout {
    pub kernel: bool,
    pub user: bool,
    /// Process and name are part of the key and the entry.
    pub process: bool,
    /// The target is part of the key.
    pub target: bool,
    /// Frames of each part.
    pub frames: u32,
    /// The namespace in which processes are numbered.
    pub ns: Option<PidNs>,
}

impl Layout {
    /// Offset of the event count.
    pub const COUNT: usize = 0;
    /// Offset of the number of kernel bytes (4) and user bytes (4).
    pub const LENS: usize = 8;
    /// Offset of the thread's name (16).
    pub const COMM: usize = 16;

    /// Offset of the kernel's frames.
    pub fn kernel_at(&self) -> usize {
        Self::COMM + if self.process { 16 } else { 0 }
    }

    /// Offset of the user frames.
    pub fn user_at(&self) -> usize {
        self.kernel_at() + if self.kernel { self.part() } else { 0 }
    }

    /// Bytes of an entry.
    pub fn value_size(&self) -> usize {
        self.user_at() + if self.user { self.part() } else { 0 }
    }

    /// Bytes of a scratch element: a busy mark, then an entry.
    pub fn scratch_size(&self) -> usize {
        8 + self.value_size()
    }

    fn part(&self) -> usize {
        self.frames as usize * 8
    }

    /// (offset of the length in bytes, offset of the frames, flags for taking them) of each part, in the entry.
    fn parts(&self) -> impl Iterator<Item = (i16, i16, i32)> {
        let kernel = self.kernel.then_some((Self::LENS, self.kernel_at(), 0));
        let user = self.user.then_some((Self::LENS + 4, self.user_at(), USER_STACK));
        kernel.into_iter().chain(user).map(|(len, at, flags)| (len as i16, at as i16, flags))
    }
}

/// Where the pieces of the key are on the program's stack.
const KEY: i16 = -16;
const KEY_PID: i16 = -8;
const KEY_TARGET: i16 = -4;
const SLOT: i16 = -24;
const NS_INFO: i16 = -32;

/// Counts the stack at the event.
pub(crate) fn program(frame: &Frame<'_>, layout: &Layout) -> Result<Program, BuildError> {
    let mut b = frame.builder();
    let b = &mut b;
    let (out, dropped, release) = (b.label(), b.label(), b.label());
    let exclusive = frame.kind.preemptible();
    frame.emit_filter(b, out);
    b.store_imm(Size::DW, R10, KEY_PID, 0);
    // The raw tracepoint shows all system calls: the key also tells whether this one is a target.
    if layout.target || matches!(frame.key, Key::Syscall { .. }) {
        frame.emit_key(b, out);
    }
    if layout.target {
        b.store(Size::W, R10, KEY_TARGET, R7);
    }
    if exclusive {
        take_scratch(frame, b, out, dropped)
    } else {
        first_scratch(b, out)
    }
    // From here r8 is the entry in the scratch element.
    b.add_imm(R8, 8);
    if layout.process {
        process(b, layout);
    }
    b.store_imm(Size::DW, R8, Layout::COUNT as i16, 1).store_imm(Size::DW, R8, Layout::LENS as i16, 0);
    for (len, at, flags) in layout.parts() {
        let (complete, taken) = (b.label(), b.label());
        if flags != USER_STACK && layout.frames > FIRST_FRAMES {
            get_stack(b, at, FIRST_FRAMES, flags);
            b.jne_imm(R0, FIRST_FRAMES.cast_signed() * 8, complete);
        }
        get_stack(b, at, layout.frames, flags);
        // No such part, as of a kernel thread.
        b.bind(complete).jsge_imm(R0, 0, taken).mov_imm(R0, 0).bind(taken).store(Size::W, R8, len, R0);
    }
    hash(b, layout);
    b.store(Size::DW, R10, KEY, R9);
    for attempt in 0..ATTEMPTS {
        let next = b.label();
        if attempt > 0 {
            b.load(Size::DW, R1, R10, KEY).ld_imm64(R2, MIX).add(R1, R2).store(Size::DW, R10, KEY, R1);
        }
        let compare = b.label();
        lookup(b);
        b.jne_imm(R0, 0, compare);
        b.ld_map(R1, DATA).mov(R2, R10).add_imm(R2, KEY.into()).mov(R3, R8).mov_imm(R4, 1);
        b.call(Helper::MAP_UPDATE_ELEM).jeq_imm(R0, 0, release);
        // Either another processor was first, then the entry is there now; or there is no room.
        lookup(b);
        b.jeq_imm(R0, 0, dropped);
        b.bind(compare);
        equal(b, layout, next);
        b.mov_imm(R1, 1).atomic_add(Size::DW, R0, Layout::COUNT as i16, R1).jmp(release);
        b.bind(next);
    }
    b.bind(dropped);
    count_dropped(b, release);
    b.bind(release);
    if exclusive {
        release_scratch(b, out);
    }
    b.bind(out).mov_imm(R0, 0).exit();
    b.finish()
}

/// `r0 = bytes of the stack`, written to that offset of the entry; negative if there is none.
fn get_stack(b: &mut Builder, at: i16, frames: u32, flags: i32) {
    b.mov(R1, R6).mov(R2, R8).add_imm(R2, at.into()).mov_imm(R3, frames.cast_signed() * 8).mov_imm(R4, flags);
    b.call(Helper::GET_STACK);
}

/// `r0 = entry under the key`, or 0.
fn lookup(b: &mut Builder) {
    b.ld_map(R1, DATA).mov(R2, R10).add_imm(R2, KEY.into()).call(Helper::MAP_LOOKUP_ELEM);
}

/// `r8 = the only scratch element needed`: nothing nests.
fn first_scratch(b: &mut Builder, out: Label) {
    b.store_imm(Size::W, R10, SLOT, 0);
    scratch(b);
    b.jeq_imm(R0, 0, out).mov(R8, R0);
}

fn scratch(b: &mut Builder) {
    b.ld_map(R1, SCRATCH).mov(R2, R10).add_imm(R2, SLOT.into()).call(Helper::MAP_LOOKUP_ELEM);
}

/// `r8 = a scratch element that no preempted task uses`.
fn take_scratch(frame: &Frame<'_>, b: &mut Builder, out: Label, dropped: Label) {
    let got = b.label();
    // Where there is no exchange (before Linux 5.12) these programs cannot be preempted either.
    let exchange = frame.exchange;
    for slot in 0..if exchange { SCRATCH_SLOTS } else { 1 } {
        b.store_imm(Size::W, R10, SLOT, slot.cast_signed());
        scratch(b);
        b.jeq_imm(R0, 0, out).mov(R8, R0);
        if exchange {
            b.mov_imm(R1, 1).atomic(AtomicOp::Xchg, Size::DW, R8, 0, R1).jeq_imm(R1, 0, got);
        }
    }
    if exchange {
        b.store_imm(Size::W, R10, SLOT, -1).jmp(dropped);
    }
    b.bind(got);
}

/// Gives the scratch element back, unless none was free.
fn release_scratch(b: &mut Builder, out: Label) {
    scratch(b);
    b.jeq_imm(R0, 0, out).store_imm(Size::DW, R0, 0, 0);
}

/// The process into the key and its name into the entry.
fn process(b: &mut Builder, layout: &Layout) {
    match layout.ns {
        None => {
            b.call(Helper::GET_CURRENT_PID_TGID).rsh_imm(R0, 32).store(Size::W, R10, KEY_PID, R0);
        }
        Some(ns) => {
            let none = b.label();
            b.ld_imm64(R1, ns.dev).ld_imm64(R2, ns.ino);
            b.mov(R3, R10).add_imm(R3, NS_INFO.into()).mov_imm(R4, 8);
            b.call(Helper::GET_NS_CURRENT_PID_TGID).jne_imm(R0, 0, none);
            b.load(Size::W, R1, R10, NS_INFO + 4).store(Size::W, R10, KEY_PID, R1).bind(none);
        }
    }
    b.mov(R1, R8).add_imm(R1, Layout::COMM as i32).mov_imm(R2, 16).call(Helper::GET_CURRENT_COMM);
}

/// Runs `body` for each frame with `r1` = 8 * index and `r2` = entry + `r1`; the length comes from the entry.
fn each_frame(b: &mut Builder, layout: &Layout, len: i16, body: impl FnOnce(&mut Builder)) {
    let (head, done) = (b.label(), b.label());
    // The length is loaded again for every loop: the verifier then forgets what it concluded from earlier ones, and
    // need not follow each length on its own.
    b.load(Size::W, R3, R8, len).jgt_imm(R3, layout.frames.cast_signed() * 8, done).mov_imm(R1, 0);
    b.bind(head).jle(R3, R1, done).mov(R2, R8).add(R2, R1);
    body(b);
    b.add_imm(R1, 8).jmp(head).bind(done);
}

/// `r9 = hash of the frames`.
fn hash(b: &mut Builder, layout: &Layout) {
    b.load(Size::DW, R9, R8, Layout::LENS as i16).ld_imm64(R4, MIX);
    for (len, at, _) in layout.parts() {
        each_frame(b, layout, len, |b| {
            b.load(Size::DW, R2, R2, at).mul(R9, R4).add(R9, R2);
        });
    }
    // The multiplications only carry upwards.
    b.mov(R1, R9).rsh_imm(R1, 32).xor(R9, R1).mul(R9, R4);
}

/// Goes on only if the entry at `r0` holds the same frames as the scratch entry.
fn equal(b: &mut Builder, layout: &Layout, next: Label) {
    let lens = Layout::LENS as i16;
    let (ours, theirs): (Reg, Reg) = (R1, R2);
    b.load(Size::DW, ours, R8, lens).load(Size::DW, theirs, R0, lens).jne(ours, theirs, next);
    for (len, at, _) in layout.parts() {
        each_frame(b, layout, len, |b| {
            b.load(Size::DW, R2, R2, at).mov(R4, R0).add(R4, R1).load(Size::DW, R4, R4, at).jne(R2, R4, next);
        });
    }
}

/// One more dropped stack on this processor; goes to `after` if even that cannot be noted.
fn count_dropped(b: &mut Builder, after: Label) {
    b.store_imm(Size::W, R10, NS_INFO, 0);
    b.ld_map(R1, DROPPED)
        .mov(R2, R10)
        .add_imm(R2, NS_INFO.into())
        .call(Helper::MAP_LOOKUP_ELEM)
        .jeq_imm(R0, 0, after);
    b.mov_imm(R1, 1).atomic_add(Size::DW, R0, 0, R1);
}

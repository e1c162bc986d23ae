//! The loop. What it does not know leaves it as an [`Event`]; the slow path does that and comes back.

use super::mem::{self, FRAME_SIZE, Region};
use super::op::{Code, Op};

/// Frames that a program's calls and callbacks may reach (`MAX_CALL_FRAMES` of the kernel).
pub(super) const MAX_FRAMES: usize = 8;

/// Why the loop was left; `pc` stands at the instruction in question, which has not been executed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Event {
    /// One instruction was executed, as asked.
    Stepped,
    /// `fuel` instructions were executed.
    Fuel,
    /// An instruction for the slow path, or a memory access that the fast one would not do.
    Slow,
}

/// What is to happen when a frame returns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Return {
    /// The caller goes on behind its call.
    Plain,
    /// The machine has to see it: the program's end, or a callback's.
    Machine(u32),
}

/// A frame of the program or of a subprogram.
#[derive(Clone, Copy, Debug)]
pub(super) struct Frame {
    /// Slot behind the call.
    pub back: u32,
    pub then: Return,
    /// The caller's r6 to r9.
    pub saved: [u64; 4],
    /// Turns that `may_goto` still allows.
    pub turns: u32,
}

/// Registers, the place in the program, the frames.
#[derive(Clone, Debug)]
pub(super) struct Cpu {
    pub regs: [u64; 16],
    pub pc: usize,
    /// Instructions executed, less `pc`: a straight line does not change it.
    pub done: i64,
    /// When `done` gets here the loop is left.
    pub fuel: i64,
    pub frames: Vec<Frame>,
    /// Budget of `may_goto` for new frames.
    pub turns: u32,
}

/// Address behind the last byte of a frame's stack.
pub(super) const fn frame_pointer(depth: usize) -> u64 {
    mem::address(mem::STACK + depth as u32) + FRAME_SIZE as u64
}

#[inline(always)]
fn apply<T>(a: T, b: T, operation: impl FnOnce(T, T) -> T) -> T {
    operation(a, b)
}

fn sdiv64(a: u64, b: u64) -> u64 {
    if b == 0 { 0 } else { (a as i64).wrapping_div(b as i64) as u64 }
}

fn smod64(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { (a as i64).wrapping_rem(b as i64) as u64 }
}

fn sdiv32(a: u32, b: u32) -> u32 {
    if b == 0 { 0 } else { (a as i32).wrapping_div(b as i32) as u32 }
}

fn smod32(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { (a as i32).wrapping_rem(b as i32) as u32 }
}

/// Runs until something is not for the fast path, or for one instruction.
///
/// `one` is a constant so that the loop of whole runs has no test for it.
pub(super) fn run<const ONE: bool>(
    cpu: &mut Cpu,
    heap: &mut [u8],
    regions: &mut [Region],
    strict: bool,
    ops: &[Op],
) -> Event {
    let mut pc = cpu.pc;
    let mut done = cpu.done;
    let fuel = cpu.fuel;

    macro_rules! leave {
        ($event:expr) => {{
            (cpu.pc, cpu.done) = (pc, done);
            return $event;
        }};
    }

    loop {
        let Some(op) = ops.get(pc) else { leave!(Event::Slow) };
        macro_rules! r {
            ($reg:expr) => {
                cpu.regs[($reg & 15) as usize]
            };
        }
        macro_rules! alu_r {
            ($f:expr) => {{
                r!(op.dst) = apply(r!(op.dst), r!(op.src), $f);
            }};
        }
        macro_rules! alu_i {
            ($f:expr) => {{
                r!(op.dst) = apply(r!(op.dst), op.imm, $f);
            }};
        }
        macro_rules! alu32_r {
            ($f:expr) => {{
                r!(op.dst) = u64::from(apply(r!(op.dst) as u32, r!(op.src) as u32, $f));
            }};
        }
        macro_rules! alu32_i {
            ($f:expr) => {{
                r!(op.dst) = u64::from(apply(r!(op.dst) as u32, op.imm as u32, $f));
            }};
        }
        // A jump takes away from `done` what it adds to `pc`; behind it `done` tells whether time is up.
        macro_rules! jump {
            ($at:expr, $off:expr) => {{
                let off = $off as isize;
                pc = $at.wrapping_add_signed(off + 1);
                done -= off as i64;
                if ONE {
                    leave!(Event::Stepped);
                }
                if done >= fuel {
                    leave!(Event::Fuel);
                }
                continue;
            }};
        }
        macro_rules! jump_if {
            ($holds:expr) => {{
                if $holds {
                    jump!(pc, op.off);
                }
            }};
        }
        macro_rules! jump64 {
            ($a:ident $b:ident R $cond:expr) => {{
                let ($a, $b) = (r!(op.dst), r!(op.src));
                jump_if!($cond)
            }};
            ($a:ident $b:ident I $cond:expr) => {{
                let ($a, $b) = (r!(op.dst), op.imm);
                jump_if!($cond)
            }};
        }
        macro_rules! jump32 {
            ($a:ident $b:ident R $cond:expr) => {{
                let ($a, $b) = (r!(op.dst) as u32, r!(op.src) as u32);
                jump_if!($cond)
            }};
            ($a:ident $b:ident I $cond:expr) => {{
                let ($a, $b) = (r!(op.dst) as u32, op.imm as u32);
                jump_if!($cond)
            }};
        }
        macro_rules! load_at {
            ($ty:ty, $op:expr) => {{
                let addr = r!($op.src).wrapping_add_signed($op.off.into());
                const SIZE: usize = size_of::<$ty>();
                let bytes = mem::readable(regions, addr, SIZE as u64)
                    .and_then(|at| heap.get(at..at + SIZE))
                    .and_then(|bytes| <[u8; SIZE]>::try_from(bytes).ok());
                match bytes {
                    Some(bytes) => <$ty>::from_ne_bytes(bytes),
                    None => leave!(Event::Slow),
                }
            }};
        }
        macro_rules! load {
            ($ty:ty, $extend:ty) => {{
                let value = load_at!($ty, op);
                r!(op.dst) = value as $extend as u64;
            }};
        }
        macro_rules! store_at {
            ($ty:ty, $op:expr, $value:expr) => {{
                let addr = r!($op.dst).wrapping_add_signed($op.off.into());
                const SIZE: usize = size_of::<$ty>();
                let value = $value as $ty;
                match mem::writable(regions, addr, SIZE as u64).and_then(|at| heap.get_mut(at..at + SIZE)) {
                    Some(bytes) => bytes.copy_from_slice(&value.to_ne_bytes()),
                    None => leave!(Event::Slow),
                }
            }};
        }

        match op.code {
            Code::Add64R => alu_r!(u64::wrapping_add),
            Code::Add64I => alu_i!(u64::wrapping_add),
            Code::Add32R => alu32_r!(u32::wrapping_add),
            Code::Add32I => alu32_i!(u32::wrapping_add),
            Code::Sub64R => alu_r!(u64::wrapping_sub),
            Code::Sub64I => alu_i!(u64::wrapping_sub),
            Code::Sub32R => alu32_r!(u32::wrapping_sub),
            Code::Sub32I => alu32_i!(u32::wrapping_sub),
            Code::Mul64R => alu_r!(u64::wrapping_mul),
            Code::Mul64I => alu_i!(u64::wrapping_mul),
            Code::Mul32R => alu32_r!(u32::wrapping_mul),
            Code::Mul32I => alu32_i!(u32::wrapping_mul),
            Code::Div64R => alu_r!(|a, b| a.checked_div(b).unwrap_or(0)),
            Code::Div64I => alu_i!(|a, b| a.checked_div(b).unwrap_or(0)),
            Code::Div32R => alu32_r!(|a, b| a.checked_div(b).unwrap_or(0)),
            Code::Div32I => alu32_i!(|a, b| a.checked_div(b).unwrap_or(0)),
            Code::SDiv64R => alu_r!(sdiv64),
            Code::SDiv64I => alu_i!(sdiv64),
            Code::SDiv32R => alu32_r!(sdiv32),
            Code::SDiv32I => alu32_i!(sdiv32),
            Code::Mod64R => alu_r!(|a, b| a.checked_rem(b).unwrap_or(a)),
            Code::Mod64I => alu_i!(|a, b| a.checked_rem(b).unwrap_or(a)),
            Code::Mod32R => alu32_r!(|a, b| a.checked_rem(b).unwrap_or(a)),
            Code::Mod32I => alu32_i!(|a, b| a.checked_rem(b).unwrap_or(a)),
            Code::SMod64R => alu_r!(smod64),
            Code::SMod64I => alu_i!(smod64),
            Code::SMod32R => alu32_r!(smod32),
            Code::SMod32I => alu32_i!(smod32),
            Code::Or64R => alu_r!(|a, b| a | b),
            Code::Or64I => alu_i!(|a, b| a | b),
            Code::Or32R => alu32_r!(|a, b| a | b),
            Code::Or32I => alu32_i!(|a, b| a | b),
            Code::And64R => alu_r!(|a, b| a & b),
            Code::And64I => alu_i!(|a, b| a & b),
            Code::And32R => alu32_r!(|a, b| a & b),
            Code::And32I => alu32_i!(|a, b| a & b),
            Code::Xor64R => alu_r!(|a, b| a ^ b),
            Code::Xor64I => alu_i!(|a, b| a ^ b),
            Code::Xor32R => alu32_r!(|a, b| a ^ b),
            Code::Xor32I => alu32_i!(|a, b| a ^ b),
            // The wrapping shifts use the lower six (five) bits of the count.
            Code::Lsh64R => alu_r!(|a, b| a.wrapping_shl(b as u32)),
            Code::Lsh64I => alu_i!(|a, b| a.wrapping_shl(b as u32)),
            Code::Lsh32R => alu32_r!(u32::wrapping_shl),
            Code::Lsh32I => alu32_i!(u32::wrapping_shl),
            Code::Rsh64R => alu_r!(|a, b| a.wrapping_shr(b as u32)),
            Code::Rsh64I => alu_i!(|a, b| a.wrapping_shr(b as u32)),
            Code::Rsh32R => alu32_r!(u32::wrapping_shr),
            Code::Rsh32I => alu32_i!(u32::wrapping_shr),
            Code::Arsh64R => alu_r!(|a, b| (a as i64).wrapping_shr(b as u32) as u64),
            Code::Arsh64I => alu_i!(|a, b| (a as i64).wrapping_shr(b as u32) as u64),
            Code::Arsh32R => alu32_r!(|a, b| (a as i32).wrapping_shr(b) as u32),
            Code::Arsh32I => alu32_i!(|a, b| (a as i32).wrapping_shr(b) as u32),
            Code::Mov64R => r!(op.dst) = r!(op.src),
            Code::Mov32R => r!(op.dst) = u64::from(r!(op.src) as u32),
            Code::MovI => r!(op.dst) = op.imm,
            Code::Neg64 => r!(op.dst) = r!(op.dst).wrapping_neg(),
            Code::Neg32 => r!(op.dst) = u64::from((r!(op.dst) as u32).wrapping_neg()),
            Code::MovSx8To64 => r!(op.dst) = r!(op.src) as i8 as u64,
            Code::MovSx16To64 => r!(op.dst) = r!(op.src) as i16 as u64,
            Code::MovSx32To64 => r!(op.dst) = r!(op.src) as i32 as u64,
            Code::MovSx8To32 => r!(op.dst) = u64::from(r!(op.src) as i8 as u32),
            Code::MovSx16To32 => r!(op.dst) = u64::from(r!(op.src) as i16 as u32),
            Code::Swap16 => r!(op.dst) = u64::from((r!(op.dst) as u16).swap_bytes()),
            Code::Swap32 => r!(op.dst) = u64::from((r!(op.dst) as u32).swap_bytes()),
            Code::Swap64 => r!(op.dst) = r!(op.dst).swap_bytes(),
            Code::Zext16 => r!(op.dst) &= 0xffff,
            Code::Zext32 => r!(op.dst) &= 0xffff_ffff,
            Code::Nop => {}
            Code::Load8 => load!(u8, u64),
            Code::Load16 => load!(u16, u64),
            Code::Load32 => load!(u32, u64),
            Code::Load64 => load!(u64, u64),
            Code::LoadSx8 => load!(i8, i64),
            Code::LoadSx16 => load!(i16, i64),
            Code::LoadSx32 => load!(i32, i64),
            Code::Store8R => store_at!(u8, op, r!(op.src)),
            Code::Store16R => store_at!(u16, op, r!(op.src)),
            Code::Store32R => store_at!(u32, op, r!(op.src)),
            Code::Store64R => store_at!(u64, op, r!(op.src)),
            Code::Store8I => store_at!(u8, op, op.imm),
            Code::Store16I => store_at!(u16, op, op.imm),
            Code::Store32I => store_at!(u32, op, op.imm),
            Code::Store64I => store_at!(u64, op, op.imm),
            Code::Jump => jump!(pc, op.off),
            Code::Eq64R => jump64!(a b R a == b),
            Code::Eq64I => jump64!(a b I a == b),
            Code::Eq32R => jump32!(a b R a == b),
            Code::Eq32I => jump32!(a b I a == b),
            Code::Ne64R => jump64!(a b R a != b),
            Code::Ne64I => jump64!(a b I a != b),
            Code::Ne32R => jump32!(a b R a != b),
            Code::Ne32I => jump32!(a b I a != b),
            Code::Gt64R => jump64!(a b R a > b),
            Code::Gt64I => jump64!(a b I a > b),
            Code::Gt32R => jump32!(a b R a > b),
            Code::Gt32I => jump32!(a b I a > b),
            Code::Ge64R => jump64!(a b R a >= b),
            Code::Ge64I => jump64!(a b I a >= b),
            Code::Ge32R => jump32!(a b R a >= b),
            Code::Ge32I => jump32!(a b I a >= b),
            Code::Lt64R => jump64!(a b R a < b),
            Code::Lt64I => jump64!(a b I a < b),
            Code::Lt32R => jump32!(a b R a < b),
            Code::Lt32I => jump32!(a b I a < b),
            Code::Le64R => jump64!(a b R a <= b),
            Code::Le64I => jump64!(a b I a <= b),
            Code::Le32R => jump32!(a b R a <= b),
            Code::Le32I => jump32!(a b I a <= b),
            Code::Set64R => jump64!(a b R a & b != 0),
            Code::Set64I => jump64!(a b I a & b != 0),
            Code::Set32R => jump32!(a b R a & b != 0),
            Code::Set32I => jump32!(a b I a & b != 0),
            Code::SGt64R => jump64!(a b R (a as i64) > b as i64),
            Code::SGt64I => jump64!(a b I (a as i64) > b as i64),
            Code::SGt32R => jump32!(a b R (a as i32) > b as i32),
            Code::SGt32I => jump32!(a b I (a as i32) > b as i32),
            Code::SGe64R => jump64!(a b R (a as i64) >= b as i64),
            Code::SGe64I => jump64!(a b I (a as i64) >= b as i64),
            Code::SGe32R => jump32!(a b R (a as i32) >= b as i32),
            Code::SGe32I => jump32!(a b I (a as i32) >= b as i32),
            Code::SLt64R => jump64!(a b R (a as i64) < b as i64),
            Code::SLt64I => jump64!(a b I (a as i64) < b as i64),
            Code::SLt32R => jump32!(a b R (a as i32) < b as i32),
            Code::SLt32I => jump32!(a b I (a as i32) < b as i32),
            Code::SLe64R => jump64!(a b R (a as i64) <= b as i64),
            Code::SLe64I => jump64!(a b I (a as i64) <= b as i64),
            Code::SLe32R => jump32!(a b R (a as i32) <= b as i32),
            Code::SLe32I => jump32!(a b I (a as i32) <= b as i32),
            Code::MayGoto => {
                let out_of_turns = match cpu.frames.last_mut() {
                    Some(frame) if frame.turns > 0 => {
                        frame.turns -= 1;
                        false
                    }
                    _ => true,
                };
                jump_if!(out_of_turns)
            }
            Code::CallLocal => {
                let depth = cpu.frames.len();
                if depth >= MAX_FRAMES || strict {
                    leave!(Event::Slow);
                }
                let saved = [cpu.regs[6], cpu.regs[7], cpu.regs[8], cpu.regs[9]];
                cpu.frames.push(Frame { back: pc as u32 + 1, then: Return::Plain, saved, turns: cpu.turns });
                let region = &mut regions[(mem::STACK as usize + depth) % mem::FRAMES];
                (region.readable, region.writable) = (FRAME_SIZE, FRAME_SIZE);
                cpu.regs[10] = frame_pointer(depth);
                jump!(pc, op.off);
            }
            Code::Exit => {
                let Some(&Frame { back, then: Return::Plain, saved, .. }) = cpu.frames.last() else {
                    leave!(Event::Slow)
                };
                if strict {
                    leave!(Event::Slow);
                }
                cpu.frames.pop();
                let depth = cpu.frames.len();
                let region = &mut regions[(mem::STACK as usize + depth) % mem::FRAMES];
                (region.readable, region.writable) = (0, 0);
                cpu.regs[6..10].copy_from_slice(&saved);
                cpu.regs[10] = frame_pointer(depth.saturating_sub(1));
                let off = i64::from(back) - pc as i64 - 1;
                jump!(pc, off);
            }
            _ => leave!(Event::Slow),
        }
        pc += 1;
        if ONE {
            leave!(Event::Stepped);
        }
    }
}

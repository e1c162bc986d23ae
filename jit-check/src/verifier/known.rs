//! What was known of registers along the way, for whoever asks afterwards.

use super::env::Env;
use super::reg::{ADD_CONST, ADD_CONST32, Base, Extra, Reg};
use super::scalar::Tnum;
use super::state::{Slot, SlotType};

/// Instructions of a path that are remembered at least, counted from its end.
const LONGEST_PATH: usize = 10_000;

/// Which knowledge is kept.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Recording {
    /// None.
    #[default]
    Nothing,
    /// That of the path that was walked last, which is the one with the fault; of very long ones the end.
    Path,
    /// All of it. Long programs need much memory then.
    Everything,
}

/// What was known before an instruction, on one path.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Known {
    /// Index of the instruction word.
    pub insn: usize,
    /// Depth of the call: 0 for the program itself.
    pub frame: usize,
    /// r0 to r10.
    pub regs: [Value; 11],
    /// Whether the processor only goes this way when it guesses wrong.
    pub speculative: bool,
    /// What was known before it on the same path, as an index into the same list; `None` where a function begins that is
    /// walked on its own.
    pub before: Option<usize>,
    /// The path ends here: what an older path found out covers it.
    pub covered: bool,
    /// What the values have to do with each other, and the stack.
    pub(crate) whole: Option<Box<Whole>>,
}

/// All else that is known at a place where paths may meet, in the program's own frame.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Whole {
    /// Group of each of r0 to r10.
    pub groups: [Option<Group>; 11],
    pub stack: Vec<Held>,
}

/// Values that are the same but for a known distance: those with the same id, each without its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Group {
    pub id: u32,
    pub off: i64,
}

/// What some bytes of stack hold, as a number from the lowest address on.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Held {
    /// Distance from the frame pointer, below zero.
    pub offset: i64,
    pub len: usize,
    pub value: Value,
    pub group: Option<Group>,
}

/// What is known of a register.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Value {
    /// Nothing was written there.
    Nothing,
    /// A number.
    Number(Numbers),
    /// A pointer, which may be NULL where `maybe_null` says so.
    Pointer {
        /// What it points to, as the log writes it: `ctx`, `fp`, `map_value`, `pkt` ...
        kind: &'static str,
        /// Fixed part of its offset.
        off: i32,
        /// The part that was computed.
        var_off: Numbers,
        /// Whether it may be NULL.
        maybe_null: bool,
        /// Bytes that may be accessed from the pointer's base, where that is known.
        size: Option<u32>,
    },
}

/// Which numbers a value may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Numbers {
    /// Its bits.
    pub bits: Tnum,
    /// Least and greatest, signed.
    pub signed: (i64, i64),
    /// Least and greatest, unsigned.
    pub unsigned: (u64, u64),
    /// Least and greatest of the lower half, signed.
    pub signed32: (i32, i32),
    /// Least and greatest of the lower half, unsigned.
    pub unsigned32: (u32, u32),
}

impl Numbers {
    /// Nothing is known.
    pub const ALL: Numbers = Numbers {
        bits: Tnum::UNKNOWN,
        signed: (i64::MIN, i64::MAX),
        unsigned: (0, u64::MAX),
        signed32: (i32::MIN, i32::MAX),
        unsigned32: (0, u32::MAX),
    };

    /// Just this number.
    pub const fn constant(number: u64) -> Numbers {
        Numbers {
            bits: Tnum::constant(number),
            signed: (number as i64, number as i64),
            unsigned: (number, number),
            signed32: (number as i32, number as i32),
            unsigned32: (number as u32, number as u32),
        }
    }

    /// Whether the number is one of them.
    pub fn contains(&self, number: u64) -> bool {
        let half = number as u32;
        (number & !self.bits.mask) == self.bits.value
            && (self.signed.0..=self.signed.1).contains(&(number as i64))
            && (self.unsigned.0..=self.unsigned.1).contains(&number)
            && (self.signed32.0..=self.signed32.1).contains(&(half as i32))
            && (self.unsigned32.0..=self.unsigned32.1).contains(&half)
    }

    /// The only number that it may be.
    pub fn only(&self) -> Option<u64> {
        (self.bits.mask == 0).then_some(self.bits.value)
    }
}

impl Reg {
    /// `None` where its link cannot be said so.
    fn group(&self) -> Option<Option<Group>> {
        if self.id & ADD_CONST32 != 0 {
            return None;
        }
        let off = if self.is_scalar() && self.id & ADD_CONST == 0 { 0 } else { self.off };
        Some((self.id != 0).then_some(Group { id: self.id & !ADD_CONST, off: i64::from(off) }))
    }

    /// The same in public words; `size` is of what it points to.
    pub(super) fn public_value(&self, size: Option<u32>) -> Value {
        let numbers = Numbers {
            bits: self.var_off,
            signed: (self.smin, self.smax),
            unsigned: (self.umin, self.umax),
            signed32: (self.s32_min, self.s32_max),
            unsigned32: (self.u32_min, self.u32_max),
        };
        match self.base {
            Base::NotInit => Value::Nothing,
            Base::Scalar => Value::Number(numbers),
            base => Value::Pointer {
                kind: super::log::types::base_name(base),
                off: self.off,
                var_off: numbers,
                maybe_null: self.may_be_null(),
                size,
            },
        }
    }
}

impl Env<'_> {
    /// Notes what is known before the instruction.
    pub(super) fn record(&mut self, insn: usize, covered: bool) {
        let regs = self.frame().regs.map(|reg| reg.public_value(self.size_behind(&reg)));
        let (frame, speculative) = (self.cur.curframe(), self.cur.speculative);
        let may_meet = self.options.record == Recording::Everything && self.aux[insn].prune_point;
        let whole = if may_meet && !covered { self.whole().map(Box::new) } else { None };
        if self.options.record == Recording::Path && self.recorded.len() >= 2 * LONGEST_PATH {
            self.recorded.drain(..LONGEST_PATH);
            self.forgotten += LONGEST_PATH;
            for known in &mut self.recorded {
                known.before = known.before.and_then(|at| at.checked_sub(LONGEST_PATH));
            }
            self.recorded_last = self.recorded_last.and_then(|at| at.checked_sub(LONGEST_PATH));
        }
        let before = self.recorded_last;
        self.recorded_last = Some(self.recorded.len());
        self.recorded.push(Known { insn, frame, regs, speculative, before, covered, whole });
    }

    /// `None` where there are other frames, references, objects on the stack, or links that are not simple.
    fn whole(&self) -> Option<Whole> {
        if self.cur.curframe() != 0 || !self.cur.refs.is_empty() {
            return None;
        }
        let frame = self.frame();
        let mut groups = [None; 11];
        for (group, reg) in groups.iter_mut().zip(&frame.regs) {
            *group = reg.group()?;
        }
        let mut stack = Vec::new();
        for (at, slot) in frame.stack.iter().enumerate() {
            self.hold(-8 * (at as i64 + 1), slot, &mut stack)?;
        }
        Some(Whole { groups, stack })
    }

    fn hold(&self, offset: i64, slot: &Slot, stack: &mut Vec<Held>) -> Option<()> {
        if slot.types == [SlotType::Spill; 8] {
            let reg = &slot.spilled;
            let value = reg.public_value(self.size_behind(reg));
            stack.push(Held { offset, len: 8, value, group: reg.group()? });
            return Some(());
        }
        for (at, kind) in slot.types.iter().enumerate() {
            match kind {
                SlotType::Invalid | SlotType::Misc => {}
                SlotType::Zero => stack.push(Held {
                    offset: offset + 7 - at as i64,
                    len: 1,
                    value: Value::Number(Numbers::constant(0)),
                    group: None,
                }),
                _ => return None,
            }
        }
        Some(())
    }

    /// Bytes from a pointer's base on that may be accessed.
    fn size_behind(&self, reg: &Reg) -> Option<u32> {
        match (reg.base, reg.extra) {
            (Base::MapValue, Extra::Map { map, inner, .. }) => {
                let spec = self.program.maps.get(map as usize)?;
                let spec = if inner { spec.inner.as_deref()? } else { spec };
                Some(spec.value_size)
            }
            (Base::Mem, Extra::Mem { size, .. }) => Some(size),
            (Base::Packet | Base::PacketMeta, Extra::Range(range)) => u32::try_from(range).ok(),
            _ => None,
        }
    }
}

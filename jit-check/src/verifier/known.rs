//! What was known of registers along the way, for whoever asks afterwards.

use super::env::Env;
use super::reg::{Base, Extra, Reg};
use super::scalar::Tnum;

/// Which knowledge is kept.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Recording {
    /// None.
    #[default]
    Nothing,
    /// That of the path that was walked last, which is the one with the fault.
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
    pub(super) fn record(&mut self, insn: usize) {
        let regs = self.frame().regs.map(|reg| reg.public_value(self.size_behind(&reg)));
        let (frame, speculative) = (self.cur.curframe(), self.cur.speculative);
        self.recorded.push(Known { insn, frame, regs, speculative });
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

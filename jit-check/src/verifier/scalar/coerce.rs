//! Numbers become narrower or wider.

use super::Tnum;
use crate::kernel::Version;
use crate::verifier::reg::Reg;

impl Reg {
    /// The upper half becomes zero, as 32-bit instructions leave it.
    pub(in crate::verifier) fn zero_extend_32(&mut self) {
        self.var_off = self.var_off.subreg();
        self.assign_32_into_64();
    }

    pub(super) fn assign_32_into_64(&mut self) {
        (self.umin, self.umax) = (u64::from(self.u32_min), u64::from(self.u32_max));
        if self.s32_min >= 0 && self.s32_max >= 0 {
            (self.smin, self.smax) = (i64::from(self.s32_min), i64::from(self.s32_max));
        } else {
            (self.smin, self.smax) = (0, i64::from(u32::MAX));
        }
    }

    /// Only the lowest `size` bytes stay (1, 2 or 4).
    pub(in crate::verifier) fn coerce_to_size(&mut self, size: u32, version: Version) {
        self.var_off = self.var_off.cast(size);
        let keep = (1_u64 << (size * 8)) - 1;
        if self.umin & !keep == self.umax & !keep {
            self.umin &= keep;
            self.umax &= keep;
        } else {
            (self.umin, self.umax) = (0, keep);
        }
        (self.smin, self.smax) = (self.umin as i64, self.umax as i64);
        if version < Version(6, 8) {
            // The 32-bit ranges of a four-byte load are what they were.
            if size < 4 {
                self.combine_64_into_32(version);
            }
            return;
        }
        if size < 4 {
            self.unbound32();
        }
        self.bounds_sync(version);
    }

    /// 32-bit ranges from 64-bit ones that fit into them. Before Linux 6.8.
    pub(super) fn combine_64_into_32(&mut self, version: Version) {
        self.unbound32();
        if i32::try_from(self.smin).is_ok() && i32::try_from(self.smax).is_ok() {
            (self.s32_min, self.s32_max) = (self.smin as i32, self.smax as i32);
        }
        if u32::try_from(self.umin).is_ok() && u32::try_from(self.umax).is_ok() {
            (self.u32_min, self.u32_max) = (self.umin as u32, self.umax as u32);
        }
        self.bounds_sync(version);
    }

    /// 64-bit ranges after a 32-bit comparison. Before Linux 6.8.
    pub(super) fn combine_32_into_64(&mut self, version: Version) {
        if self.var_off.clear_subreg().is(0) {
            self.assign_32_into_64();
        } else {
            self.unbound64();
        }
        self.bounds_sync(version);
    }

    /// The lowest `size` bytes (1, 2 or 4), sign-extended to 64 bits. Since Linux 6.6.
    pub(in crate::verifier) fn sign_extend_64(&mut self, size: u32) {
        let extend = |value: u64| -> i64 {
            match size {
                1 => i64::from(value as i8),
                2 => i64::from(value as i16),
                _ => i64::from(value as i32),
            }
        };
        if self.var_off.is_const() {
            self.set_value(extend(self.var_off.value) as u64);
            return;
        }
        let bits = size * 8;
        if self.smax >> bits == self.smin >> bits {
            let (one, other) = (extend(self.smax as u64), extend(self.smin as u64));
            let (min, max) = (one.min(other), one.max(other));
            if (min >= 0) == (max >= 0) {
                (self.smin, self.smax) = (min, max);
                (self.umin, self.umax) = (min as u64, max as u64);
                (self.s32_min, self.s32_max) = (min as i32, max as i32);
                (self.u32_min, self.u32_max) = (min as u32, max as u32);
                self.var_off = Tnum::range(min as u64, max as u64);
                return;
            }
        }
        let (min, max) = signed_range(size);
        (self.smin, self.smax) = (i64::from(min), i64::from(max));
        (self.s32_min, self.s32_max) = (min, max);
        (self.umin, self.umax) = (0, u64::MAX);
        (self.u32_min, self.u32_max) = (0, u32::MAX);
        self.var_off = Tnum::UNKNOWN;
    }

    /// The lowest `size` bytes (1 or 2), sign-extended to 32 bits; the upper half is the caller's to clear. Since Linux
    /// 6.6.
    pub(in crate::verifier) fn sign_extend_32(&mut self, size: u32) {
        let extend = |value: u32| -> i32 {
            match size {
                1 => i32::from(value as i8),
                _ => i32::from(value as i16),
            }
        };
        if self.var_off.is_const() {
            let value = extend(self.var_off.value as u32);
            self.var_off = Tnum::constant(value as i64 as u64);
            self.set_value32_ranges(value as u32);
            return;
        }
        let bits = size * 8;
        if self.s32_max as u32 >> bits == self.s32_min as u32 >> bits {
            let (one, other) = (extend(self.s32_max as u32), extend(self.s32_min as u32));
            let (min, max) = (one.min(other), one.max(other));
            if (min >= 0) == (max >= 0) {
                (self.s32_min, self.s32_max) = (min, max);
                (self.u32_min, self.u32_max) = (min as u32, max as u32);
                self.var_off = Tnum::range(min as i64 as u64, max as i64 as u64).subreg();
                return;
            }
        }
        (self.s32_min, self.s32_max) = signed_range(size);
        (self.u32_min, self.u32_max) = (0, u32::MAX);
        self.var_off = Tnum::UNKNOWN.subreg();
    }
}

fn signed_range(size: u32) -> (i32, i32) {
    match size {
        1 => (i32::from(i8::MIN), i32::from(i8::MAX)),
        2 => (i32::from(i16::MIN), i32::from(i16::MAX)),
        _ => (i32::MIN, i32::MAX),
    }
}

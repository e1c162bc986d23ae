//! Ranges kept in step: what known bits say of ranges, ranges of each other, and ranges of bits.

use super::Tnum;
use crate::kernel::Version;
use crate::verifier::reg::Reg;

const HIGH: u64 = !(u32::MAX as u64);

impl Reg {
    /// Ranges become what they are without any knowledge; known bits stay.
    pub fn unbound(&mut self) {
        self.unbound64();
        self.unbound32();
    }

    /// As [`Reg::unbound`], of the 64-bit ranges alone.
    pub fn unbound64(&mut self) {
        (self.smin, self.smax, self.umin, self.umax) = (i64::MIN, i64::MAX, 0, u64::MAX);
    }

    /// As [`Reg::unbound`], of the 32-bit ranges alone.
    pub fn unbound32(&mut self) {
        (self.s32_min, self.s32_max, self.u32_min, self.u32_max) = (i32::MIN, i32::MAX, 0, u32::MAX);
    }

    /// What the known bits say of the 32-bit ranges.
    pub(super) fn learn32_from_bits(&mut self) {
        let (value, mask) = (self.var_off.value as u32, self.var_off.mask as u32);
        self.s32_min = self.s32_min.max((value | (mask & (1 << 31))) as i32);
        self.s32_max = self.s32_max.min((value | (mask & (i32::MAX as u32))) as i32);
        self.u32_min = self.u32_min.max(value);
        self.u32_max = self.u32_max.min(value | mask);
    }

    fn learn64_from_bits(&mut self, version: Version) {
        let Tnum { value, mask } = self.var_off;
        self.smin = self.smin.max((value | (mask & (1 << 63))) as i64);
        self.smax = self.smax.min((value | (mask & (i64::MAX as u64))) as i64);
        self.umin = self.umin.max(value);
        self.umax = self.umax.min(value | mask);
        if version >= Version(6, 18) {
            self.learn_only_number();
        }
    }

    /// Of the numbers that fit the bits only one may lie in the range.
    fn learn_only_number(&mut self) {
        let bits = self.var_off;
        let greatest = bits.value | bits.mask;
        let next = bits.next_above(self.umin);
        if bits.contains(self.umin) {
            if next > self.umax {
                self.set_value(self.umin);
            }
        } else if next == greatest {
            self.set_value(greatest);
        } else if next <= self.umax && bits.next_above(next) > self.umax {
            self.set_value(next);
        }
    }

    /// What the known bits say of all ranges.
    pub(super) fn learn_from_bits(&mut self, version: Version) {
        self.learn32_from_bits();
        self.learn64_from_bits(version);
    }

    fn meet_s32(&mut self, min: i32, max: i32) {
        self.s32_min = self.s32_min.max(min);
        self.s32_max = self.s32_max.min(max);
    }

    fn meet_u32(&mut self, min: u32, max: u32) {
        self.u32_min = self.u32_min.max(min);
        self.u32_max = self.u32_max.min(max);
    }

    fn meet_s64(&mut self, min: i64, max: i64) {
        self.smin = self.smin.max(min);
        self.smax = self.smax.min(max);
    }

    fn meet_u64(&mut self, min: u64, max: u64) {
        self.umin = self.umin.max(min);
        self.umax = self.umax.min(max);
    }

    /// 32-bit ranges from the 64-bit ones and from each other.
    fn deduce32(&mut self) {
        // Where the upper halves of a 64-bit range's ends are the same, the lower halves are a range, too.
        let (low, high) = (self.umin as u32, self.umax as u32);
        if self.umin >> 32 == self.umax >> 32 {
            self.meet_u32(low, high);
            if low as i32 <= high as i32 {
                self.meet_s32(low as i32, high as i32);
            }
        }
        let (low, high) = (self.smin as u32, self.smax as u32);
        if self.smin >> 32 == self.smax >> 32 {
            if low <= high {
                self.meet_u32(low, high);
            }
            if low as i32 <= high as i32 {
                self.meet_s32(low as i32, high as i32);
            }
        }
        // The upper halves are neighbours, and the lower ones go through zero: a signed range.
        let neighbours = |low: u64, high: u64| {
            ((low >> 32) as u32).wrapping_add(1) == (high >> 32) as u32
                && (low as i32) < 0
                && high as i32 >= 0
        };
        if neighbours(self.umin, self.umax) {
            self.meet_s32(self.umin as i32, self.umax as i32);
        }
        if neighbours(self.smin as u64, self.smax as u64) {
            self.meet_s32(self.smin as i32, self.smax as i32);
        }
        if self.u32_min as i32 <= self.u32_max as i32 {
            self.meet_s32(self.u32_min as i32, self.u32_max as i32);
        }
        if self.s32_min as u32 <= self.s32_max as u32 {
            self.meet_u32(self.s32_min as u32, self.s32_max as u32);
        } else if self.u32_max < self.s32_min as u32 {
            self.s32_min = self.u32_min as i32;
            self.u32_max = self.u32_max.min(self.s32_max as u32);
        } else if (self.s32_max as u32) < self.u32_min {
            self.s32_max = self.u32_max as i32;
            self.u32_min = self.u32_min.max(self.s32_min as u32);
        }
    }

    /// Signed and unsigned 64-bit ranges from each other; also where the signed one crosses zero but the unsigned one
    /// lies on one side of it.
    fn deduce64(&mut self) {
        if self.umin as i64 <= self.umax as i64 {
            self.meet_s64(self.umin as i64, self.umax as i64);
        }
        if self.smin as u64 <= self.smax as u64 {
            self.meet_u64(self.smin as u64, self.smax as u64);
        } else if self.umax < self.smin as u64 {
            self.smin = self.umin as i64;
            self.umax = self.umax.min(self.smax as u64);
        } else if (self.smax as u64) < self.umin {
            self.smax = self.umax as i64;
            self.umin = self.umin.max(self.smin as u64);
        }
    }

    fn embed(&mut self, low: u32, high: u32) {
        self.meet_u64(self.umin & HIGH | u64::from(low), self.umax & HIGH | u64::from(high));
        self.meet_s64(
            (self.smin as u64 & HIGH | u64::from(low)) as i64,
            (self.smax as u64 & HIGH | u64::from(high)) as i64,
        );
    }

    /// 64-bit ranges from the 32-bit ones: the low halves of their ends may move inwards.
    fn deduce_mixed(&mut self) {
        self.embed(self.u32_min, self.u32_max);
        if self.s32_min as u32 <= self.s32_max as u32 {
            self.embed(self.s32_min as u32, self.s32_max as u32);
        }
        // A sign-extended number whose low half is not negative is that low half.
        if self.s32_min >= 0 && self.smin >= i64::from(i32::MIN) && self.smax <= i64::from(i32::MAX) {
            (self.smin, self.smax) = (i64::from(self.s32_min), i64::from(self.s32_max));
            (self.umin, self.umax) = (self.smin as u64, self.smax as u64);
            self.var_off = self.var_off.intersect(Tnum::range(self.umin, self.umax));
        }
    }

    /// Signed and unsigned ranges from each other, as before Linux 6.8.
    fn deduce_early(&mut self) {
        if self.s32_min >= 0 || self.s32_max < 0 {
            self.u32_min = (self.s32_min as u32).max(self.u32_min);
            self.u32_max = (self.s32_max as u32).min(self.u32_max);
            (self.s32_min, self.s32_max) = (self.u32_min as i32, self.u32_max as i32);
        } else if self.u32_max as i32 >= 0 {
            self.s32_min = self.u32_min as i32;
            self.u32_max = (self.s32_max as u32).min(self.u32_max);
            self.s32_max = self.u32_max as i32;
        } else if (self.u32_min as i32) < 0 {
            self.u32_min = (self.s32_min as u32).max(self.u32_min);
            self.s32_min = self.u32_min as i32;
            self.s32_max = self.u32_max as i32;
        }
        if self.smin >= 0 || self.smax < 0 {
            self.umin = (self.smin as u64).max(self.umin);
            self.umax = (self.smax as u64).min(self.umax);
            (self.smin, self.smax) = (self.umin as i64, self.umax as i64);
        } else if self.umax as i64 >= 0 {
            self.smin = self.umin as i64;
            self.umax = (self.smax as u64).min(self.umax);
            self.smax = self.umax as i64;
        } else if (self.umin as i64) < 0 {
            self.umin = (self.smin as u64).max(self.umin);
            self.smin = self.umin as i64;
            self.smax = self.umax as i64;
        }
    }

    /// Bits from ranges.
    fn learn_bits(&mut self) {
        let all = self.var_off.intersect(Tnum::range(self.umin, self.umax));
        let low = all.subreg().intersect(Tnum::range(u64::from(self.u32_min), u64::from(self.u32_max)));
        self.var_off = all.clear_subreg().or(low);
    }

    /// All that is known of a number is brought in step, as this kernel does it.
    pub fn bounds_sync(&mut self, version: Version) {
        self.learn_from_bits(version);
        if version >= Version(6, 8) {
            for _ in 0..3 {
                self.deduce32();
                self.deduce64();
                self.deduce_mixed();
            }
        } else {
            self.deduce_early();
        }
        self.learn_bits();
        self.learn_from_bits(version);
    }

    /// What is wrong with the ranges, where something is: they came from a path that cannot be, or lost a step.
    pub fn bounds_violation(&self) -> Option<&'static str> {
        if self.umin > self.umax
            || self.smin > self.smax
            || self.u32_min > self.u32_max
            || self.s32_min > self.s32_max
        {
            return Some("range bounds violation");
        }
        let value = self.var_off.value;
        if self.var_off.is_const()
            && (self.umin != value
                || self.umax != value
                || self.smin != value as i64
                || self.smax != value as i64)
        {
            return Some("const tnum out of sync with range bounds");
        }
        let value = value as u32;
        if self.var_off.is_subreg_const()
            && (self.u32_min != value
                || self.u32_max != value
                || self.s32_min != value as i32
                || self.s32_max != value as i32)
        {
            return Some("const subreg tnum out of sync with range bounds");
        }
        None
    }
}

//! What arithmetic makes of what is known: one function per operation and width.

use super::Tnum;
use crate::kernel::Version;
use crate::verifier::op;
use crate::verifier::reg::Reg;

/// Since this version sums that overflow at both ends keep their range, products of negative numbers have one, and
/// negation is tracked.
const BETTER_ARITHMETIC: Version = Version(6, 18);

/// Whether a range can be computed at all: shifts need an amount that is known and smaller than the width, division a
/// constant divisor and Linux 7.0.
pub(in crate::verifier) fn is_computable(op: u8, is_32: bool, src: &Reg, version: Version) -> bool {
    match op {
        op::ADD | op::SUB | op::AND | op::NEG => version >= Version(6, 10) || !contradicts(src, is_32),
        op::XOR | op::OR | op::MUL => {
            version >= Version(6, 10)
                || (if is_32 { src.var_off.is_subreg_const() } else { src.var_off.is_const() }
                    && !contradicts(src, is_32))
        }
        op::LSH | op::RSH | op::ARSH => is_fixed(src, is_32) && src.umax < if is_32 { 32 } else { 64 },
        op::DIV | op::MOD => version >= Version(7, 0) && is_fixed(src, is_32),
        _ => false,
    }
}

/// Whether bits and ranges agree on one number.
fn is_fixed(src: &Reg, is_32: bool) -> bool {
    if is_32 {
        src.var_off.is_subreg_const() && src.s32_min == src.s32_max && src.u32_min == src.u32_max
    } else {
        src.var_off.is_const() && src.smin == src.smax && src.umin == src.umax
    }
}

/// Whether the ranges are of a path that cannot be; kernels before Linux 6.10 ask.
fn contradicts(src: &Reg, is_32: bool) -> bool {
    if is_32 {
        let known = src.var_off.is_subreg_const();
        (known && (src.s32_min != src.s32_max || src.u32_min != src.u32_max))
            || src.s32_min > src.s32_max
            || src.u32_min > src.u32_max
    } else {
        let known = src.var_off.is_const();
        (known && (src.smin != src.smax || src.umin != src.umax))
            || src.smin > src.smax
            || src.umin > src.umax
    }
}

impl Reg {
    /// `self op= src` on numbers, for operations that [`is_computable`] allows. `signed` is of
    /// division. Widened and brought in step.
    pub(in crate::verifier) fn apply(
        &mut self,
        op: u8,
        signed: bool,
        is_32: bool,
        src: &Reg,
        version: Version,
    ) {
        match op {
            op::ADD => self.add(src, version),
            op::SUB => self.sub(src, version),
            op::NEG => {
                let old = *self;
                self.mark_known(0);
                self.sub(&old, version);
            }
            op::MUL => self.mul(src, version),
            op::DIV => self.div(src, is_32, signed),
            op::MOD => self.rem(src, is_32, signed),
            op::AND | op::OR | op::XOR => {
                self.var_off = match op {
                    op::AND => self.var_off.and(src.var_off),
                    op::OR => self.var_off.or(src.var_off),
                    _ => self.var_off.xor(src.var_off),
                };
                self.bitwise32(op, src);
                self.bitwise64(op, src, version);
            }
            op::LSH if is_32 => self.shl32(src),
            op::LSH => self.shl64(src, version),
            op::RSH if is_32 => self.shr32(src),
            op::RSH => self.shr64(src, version),
            op::ARSH if is_32 => self.sar32(src),
            op::ARSH => self.sar64(src, version),
            _ => {}
        }
        if is_32 {
            self.zero_extend_32();
        }
        self.bounds_sync(version);
    }

    /// Ranges and bits of the sum, not yet in step.
    pub(in crate::verifier) fn add(&mut self, src: &Reg, version: Version) {
        let both_may_wrap = version >= BETTER_ARITHMETIC;
        match (self.s32_min.checked_add(src.s32_min), self.s32_max.checked_add(src.s32_max)) {
            (Some(min), Some(max)) => (self.s32_min, self.s32_max) = (min, max),
            _ => (self.s32_min, self.s32_max) = (i32::MIN, i32::MAX),
        }
        match (self.smin.checked_add(src.smin), self.smax.checked_add(src.smax)) {
            (Some(min), Some(max)) => (self.smin, self.smax) = (min, max),
            _ => (self.smin, self.smax) = (i64::MIN, i64::MAX),
        }
        let (min, min_wraps) = self.u32_min.overflowing_add(src.u32_min);
        let (max, max_wraps) = self.u32_max.overflowing_add(src.u32_max);
        (self.u32_min, self.u32_max) =
            if keeps(min_wraps, max_wraps, both_may_wrap) { (min, max) } else { (0, u32::MAX) };
        let (min, min_wraps) = self.umin.overflowing_add(src.umin);
        let (max, max_wraps) = self.umax.overflowing_add(src.umax);
        (self.umin, self.umax) =
            if keeps(min_wraps, max_wraps, both_may_wrap) { (min, max) } else { (0, u64::MAX) };
        self.var_off = self.var_off.add(src.var_off);
    }

    fn sub(&mut self, src: &Reg, version: Version) {
        let both_may_wrap = version >= BETTER_ARITHMETIC;
        match (self.s32_min.checked_sub(src.s32_max), self.s32_max.checked_sub(src.s32_min)) {
            (Some(min), Some(max)) => (self.s32_min, self.s32_max) = (min, max),
            _ => (self.s32_min, self.s32_max) = (i32::MIN, i32::MAX),
        }
        match (self.smin.checked_sub(src.smax), self.smax.checked_sub(src.smin)) {
            (Some(min), Some(max)) => (self.smin, self.smax) = (min, max),
            _ => (self.smin, self.smax) = (i64::MIN, i64::MAX),
        }
        let (min, min_wraps) = self.u32_min.overflowing_sub(src.u32_max);
        let (max, max_wraps) = self.u32_max.overflowing_sub(src.u32_min);
        (self.u32_min, self.u32_max) =
            if keeps(min_wraps, max_wraps, both_may_wrap) { (min, max) } else { (0, u32::MAX) };
        let (min, min_wraps) = self.umin.overflowing_sub(src.umax);
        let (max, max_wraps) = self.umax.overflowing_sub(src.umin);
        (self.umin, self.umax) =
            if keeps(min_wraps, max_wraps, both_may_wrap) { (min, max) } else { (0, u64::MAX) };
        self.var_off = self.var_off.sub(src.var_off);
    }

    fn mul(&mut self, src: &Reg, version: Version) {
        if version >= BETTER_ARITHMETIC {
            self.var_off = self.var_off.mul_joining(src.var_off);
            self.mul32_signed(src);
            self.mul64_signed(src);
        } else {
            self.var_off = self.var_off.mul(src.var_off);
            self.mul32(src);
            self.mul64(src);
        }
    }

    fn mul32_signed(&mut self, src: &Reg) {
        match (self.u32_min.checked_mul(src.u32_min), self.u32_max.checked_mul(src.u32_max)) {
            (Some(min), Some(max)) => (self.u32_min, self.u32_max) = (min, max),
            _ => (self.u32_min, self.u32_max) = (0, u32::MAX),
        }
        let corners = [
            self.s32_min.checked_mul(src.s32_min),
            self.s32_min.checked_mul(src.s32_max),
            self.s32_max.checked_mul(src.s32_min),
            self.s32_max.checked_mul(src.s32_max),
        ];
        (self.s32_min, self.s32_max) = match corners {
            [Some(a), Some(b), Some(c), Some(d)] => (a.min(b).min(c).min(d), a.max(b).max(c).max(d)),
            _ => (i32::MIN, i32::MAX),
        };
    }

    fn mul64_signed(&mut self, src: &Reg) {
        match (self.umin.checked_mul(src.umin), self.umax.checked_mul(src.umax)) {
            (Some(min), Some(max)) => (self.umin, self.umax) = (min, max),
            _ => (self.umin, self.umax) = (0, u64::MAX),
        }
        let corners = [
            self.smin.checked_mul(src.smin),
            self.smin.checked_mul(src.smax),
            self.smax.checked_mul(src.smin),
            self.smax.checked_mul(src.smax),
        ];
        (self.smin, self.smax) = match corners {
            [Some(a), Some(b), Some(c), Some(d)] => (a.min(b).min(c).min(d), a.max(b).max(c).max(d)),
            _ => (i64::MIN, i64::MAX),
        };
    }

    /// Only of numbers that are not negative and fit into half the width.
    fn mul32(&mut self, src: &Reg) {
        let half = u32::from(u16::MAX);
        if src.s32_min < 0 || self.s32_min < 0 || src.u32_max > half || self.u32_max > half {
            self.unbound32();
            return;
        }
        self.u32_min = self.u32_min.wrapping_mul(src.u32_min);
        self.u32_max = self.u32_max.wrapping_mul(src.u32_max);
        (self.s32_min, self.s32_max) = if i32::try_from(self.u32_max).is_err() {
            (i32::MIN, i32::MAX)
        } else {
            (self.u32_min as i32, self.u32_max as i32)
        };
    }

    fn mul64(&mut self, src: &Reg) {
        let half = u64::from(u32::MAX);
        if src.smin < 0 || self.smin < 0 || src.umax > half || self.umax > half {
            self.unbound64();
            return;
        }
        self.umin = self.umin.wrapping_mul(src.umin);
        self.umax = self.umax.wrapping_mul(src.umax);
        (self.smin, self.smax) = if i64::try_from(self.umax).is_err() {
            (i64::MIN, i64::MAX)
        } else {
            (self.umin as i64, self.umax as i64)
        };
    }

    /// Ranges of and, or, xor, whose bits are already in `var_off`.
    fn bitwise32(&mut self, op: u8, src: &Reg) {
        let (value, mask) = (self.var_off.value as u32, self.var_off.mask as u32);
        if src.var_off.is_subreg_const() && mask == 0 {
            self.set_value32(value);
            return;
        }
        (self.u32_min, self.u32_max) = match op {
            op::AND => (value, self.u32_max.min(src.u32_max)),
            op::OR => (self.u32_min.max(src.u32_min), value | mask),
            _ => (value, value | mask),
        };
        (self.s32_min, self.s32_max) = if self.u32_min as i32 <= self.u32_max as i32 {
            (self.u32_min as i32, self.u32_max as i32)
        } else {
            (i32::MIN, i32::MAX)
        };
    }

    fn bitwise64(&mut self, op: u8, src: &Reg, version: Version) {
        let Tnum { value, mask } = self.var_off;
        if src.var_off.is_const() && mask == 0 {
            self.mark_known(value);
            return;
        }
        (self.umin, self.umax) = match op {
            op::AND => (value, self.umax.min(src.umax)),
            op::OR => (self.umin.max(src.umin), value | mask),
            _ => (value, value | mask),
        };
        (self.smin, self.smax) = if self.umin as i64 <= self.umax as i64 {
            (self.umin as i64, self.umax as i64)
        } else {
            (i64::MIN, i64::MAX)
        };
        self.learn_from_bits(version);
    }

    /// 32-bit ranges of a shift to the left, of either width.
    fn shl_ranges32(&mut self, min: u64, max: u64) {
        (self.s32_min, self.s32_max) = (i32::MIN, i32::MAX);
        if max > 31 || u64::from(self.u32_max) > 1 << (31 - max) {
            (self.u32_min, self.u32_max) = (0, u32::MAX);
        } else {
            self.u32_min <<= min;
            self.u32_max <<= max;
        }
    }

    fn shl32(&mut self, src: &Reg) {
        let bits = self.var_off.subreg();
        self.shl_ranges32(u64::from(src.u32_min), u64::from(src.u32_max));
        self.var_off = bits.shl(src.u32_min).subreg();
        self.unbound64();
        self.learn32_from_bits();
    }

    fn shl64(&mut self, src: &Reg, version: Version) {
        let (min, max) = (src.umin, src.umax);
        // Shifts by 32 and back are how compilers extend a sign.
        (self.smin, self.smax) = if min == 32 && max == 32 {
            (i64::from(self.s32_min) << 32, i64::from(self.s32_max) << 32)
        } else {
            (i64::MIN, i64::MAX)
        };
        if self.umax > 1 << (63 - max) {
            (self.umin, self.umax) = (0, u64::MAX);
        } else {
            self.umin <<= min;
            self.umax <<= max;
        }
        self.shl_ranges32(min, max);
        self.var_off = self.var_off.shl(min as u32);
        self.learn_from_bits(version);
    }

    fn shr32(&mut self, src: &Reg) {
        (self.s32_min, self.s32_max) = (i32::MIN, i32::MAX);
        self.var_off = self.var_off.subreg().shr(src.u32_min);
        self.u32_min = self.u32_min.wrapping_shr(src.u32_max);
        self.u32_max = self.u32_max.wrapping_shr(src.u32_min);
        self.unbound64();
        self.learn32_from_bits();
    }

    fn shr64(&mut self, src: &Reg, version: Version) {
        (self.smin, self.smax) = (i64::MIN, i64::MAX);
        self.var_off = self.var_off.shr(src.umin as u32);
        self.umin >>= src.umax;
        self.umax >>= src.umin;
        self.unbound32();
        self.learn_from_bits(version);
    }

    fn sar32(&mut self, src: &Reg) {
        let by = src.u32_min & 31;
        self.s32_min >>= by;
        self.s32_max >>= by;
        self.var_off = self.var_off.subreg().sar(by, true);
        (self.u32_min, self.u32_max) = (0, u32::MAX);
        self.unbound64();
        self.learn32_from_bits();
    }

    fn sar64(&mut self, src: &Reg, version: Version) {
        let by = src.umin;
        self.smin >>= by;
        self.smax >>= by;
        self.var_off = self.var_off.sar(by as u32, false);
        (self.umin, self.umax) = (0, u64::MAX);
        self.unbound32();
        self.learn_from_bits(version);
    }
}

/// Whether the ends of an unsigned range are still a range: neither wrapped, or (newer kernels) both did.
const fn keeps(min_wraps: bool, max_wraps: bool, both_may_wrap: bool) -> bool {
    if both_may_wrap { min_wraps == max_wraps } else { !min_wraps && !max_wraps }
}

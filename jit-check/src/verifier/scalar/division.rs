//! Quotients and remainders by a constant, and bytes in the other order: followed since Linux 7.0.

use super::Tnum;
use crate::kernel::Version;
use crate::verifier::reg::Reg;

impl Reg {
    /// `self / src`, where the constant `src` may be zero (the quotient is zero then). Not yet widened nor in step.
    pub(super) fn div(&mut self, src: &Reg, is_32: bool, signed: bool) {
        if (is_32 && src.u32_min == 0) || (!is_32 && src.umin == 0) {
            self.set_value(0);
            return;
        }
        match (is_32, signed) {
            (true, false) => {
                let by = src.u32_min;
                (self.u32_min, self.u32_max) = (self.u32_min / by, self.u32_max / by);
                self.keep_u32();
            }
            (false, false) => {
                let by = src.umin;
                (self.umin, self.umax) = (self.umin / by, self.umax / by);
                self.keep_u64();
            }
            (true, true) => {
                let (min, max) = div_signed(
                    i64::from(self.s32_min),
                    i64::from(self.s32_max),
                    i64::from(src.s32_min),
                    i64::from(i32::MIN),
                );
                // Only the quotient of the least number by -1 does not fit, and that case gives the whole range.
                (self.s32_min, self.s32_max) = (min as i32, max.min(i64::from(i32::MAX)) as i32);
                self.keep_s32();
            }
            (false, true) => {
                (self.smin, self.smax) = div_signed(self.smin, self.smax, src.smin, i64::MIN);
                self.keep_s64();
            }
        }
    }

    /// `self % src`, where the constant `src` may be zero (the remainder is the number itself then).
    pub(super) fn rem(&mut self, src: &Reg, is_32: bool, signed: bool) {
        if (is_32 && src.u32_min == 0) || (!is_32 && src.umin == 0) {
            return;
        }
        match (is_32, signed) {
            (true, false) => {
                let most = src.u32_min - 1;
                if self.u32_max > most {
                    (self.u32_min, self.u32_max) = (0, most);
                    self.keep_u32();
                }
            }
            (false, false) => {
                let most = src.umin - 1;
                if self.umax > most {
                    (self.umin, self.umax) = (0, most);
                    self.keep_u64();
                }
            }
            (true, true) => {
                let most = i64::from(src.s32_min).unsigned_abs() as i64 - 1;
                if let Some((min, max)) = rem_signed(i64::from(self.s32_min), i64::from(self.s32_max), most) {
                    (self.s32_min, self.s32_max) = (min as i32, max as i32);
                    self.keep_s32();
                }
            }
            (false, true) => {
                let most = (src.smin.unsigned_abs() - 1) as i64;
                if let Some((min, max)) = rem_signed(self.smin, self.smax, most) {
                    (self.smin, self.smax) = (min, max);
                    self.keep_s64();
                }
            }
        }
    }

    /// Byte order of the lowest 16, 32 or 64 bits, as on little-endian machines; in step.
    pub(in crate::verifier) fn swap_bytes(&mut self, swaps: bool, bits: u32, version: Version) {
        if swaps || bits < 64 {
            self.id = 0;
        }
        if swaps {
            self.var_off = self.var_off.swap_bytes(bits);
            self.unbound();
        }
        if bits < 64 {
            self.coerce_to_size(bits / 8, version);
        }
        self.bounds_sync(version);
    }

    fn keep_u32(&mut self) {
        (self.s32_min, self.s32_max) = (i32::MIN, i32::MAX);
        self.forget64();
    }

    fn keep_s32(&mut self) {
        (self.u32_min, self.u32_max) = (0, u32::MAX);
        self.forget64();
    }

    fn keep_u64(&mut self) {
        (self.smin, self.smax) = (i64::MIN, i64::MAX);
        self.forget32();
    }

    fn keep_s64(&mut self) {
        (self.umin, self.umax) = (0, u64::MAX);
        self.forget32();
    }

    fn forget32(&mut self) {
        self.unbound32();
        self.var_off = Tnum::UNKNOWN;
    }

    fn forget64(&mut self) {
        self.unbound64();
        self.var_off = Tnum::UNKNOWN;
    }
}

/// Quotients of a signed range; the least number by -1 is itself, which makes the range whole.
fn div_signed(min: i64, max: i64, by: i64, least: i64) -> (i64, i64) {
    if min == least && by == -1 {
        return if max == least { (least, least) } else { (least, !least) };
    }
    let (one, other) = (min.wrapping_div(by), max.wrapping_div(by));
    (one.min(other), one.max(other))
}

/// Remainders of a signed range, up to `most` on either side; `None` where they are the numbers themselves.
fn rem_signed(min: i64, max: i64, most: i64) -> Option<(i64, i64)> {
    if min >= -most && max <= most {
        None
    } else if min >= 0 {
        Some((0, max.min(most)))
    } else if max <= 0 {
        Some((min.max(-most), 0))
    } else {
        Some((-most, most))
    }
}

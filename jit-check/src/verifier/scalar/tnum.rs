//! Tristate numbers: each bit is 0, 1 or unknown.

use std::fmt;

/// A number of which some bits are known (`Documentation/bpf/verifier.rst`).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Tnum {
    /// The known bits; zero where a bit is unknown.
    pub value: u64,
    /// The unknown bits.
    pub mask: u64,
}

/// As the log prints it: `(0x10; 0xff)`, a number where all bits are known.
impl fmt::Display for Tnum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.mask, self.value) {
            (0, value @ 0..=0xffff) => write!(f, "{value}"),
            (0, value) => write!(f, "{value:#x}"),
            (mask, value) => write!(f, "({value:#x}; {mask:#x})"),
        }
    }
}

impl Tnum {
    /// Nothing is known.
    pub const UNKNOWN: Tnum = Tnum { value: 0, mask: u64::MAX };

    /// All bits are known.
    pub const fn constant(value: u64) -> Tnum {
        Tnum { value, mask: 0 }
    }

    /// What the numbers of an unsigned range have in common: the bits above the highest that differs.
    pub const fn range(min: u64, max: u64) -> Tnum {
        let bits = 64 - (min ^ max).leading_zeros();
        if bits > 63 {
            return Tnum::UNKNOWN;
        }
        let low = (1 << bits) - 1;
        Tnum { value: min & !low, mask: low }
    }

    /// Whether all bits are known.
    pub const fn is_const(self) -> bool {
        self.mask == 0
    }

    /// Whether it is known to be just this.
    pub const fn is(self, value: u64) -> bool {
        self.mask == 0 && self.value == value
    }

    /// Whether the low 32 bits are known.
    pub const fn is_subreg_const(self) -> bool {
        self.mask as u32 == 0
    }

    /// Whether the concrete number is one of those that it stands for.
    pub const fn contains(self, number: u64) -> bool {
        number & !self.mask == self.value
    }

    /// Whether all that `inner` stands for is what it stands for, too.
    pub const fn includes(self, inner: Tnum) -> bool {
        inner.mask & !self.mask == 0 && inner.value & !self.mask == self.value
    }

    /// Whether some number fits both.
    pub const fn overlaps(self, other: Tnum) -> bool {
        let both = !self.mask & !other.mask;
        self.value & both == other.value & both
    }

    /// Whether all numbers are multiples of `size`, a power of two; 0 asks for nothing.
    pub const fn is_aligned(self, size: u64) -> bool {
        size == 0 || (self.value | self.mask) & (size - 1) == 0
    }

    const fn known(value: u64, mask: u64) -> Tnum {
        Tnum { value: value & !mask, mask }
    }

    /// Shifted to the left; 64 and more leave nothing.
    pub const fn shl(self, by: u32) -> Tnum {
        if by > 63 {
            return Tnum::constant(0);
        }
        Tnum { value: self.value << by, mask: self.mask << by }
    }

    /// Shifted to the right, zeroes follow.
    pub const fn shr(self, by: u32) -> Tnum {
        if by > 63 {
            return Tnum::constant(0);
        }
        Tnum { value: self.value >> by, mask: self.mask >> by }
    }

    /// Shifted to the right, the sign bit (known or not) follows; of 64 bits or of the low 32.
    pub const fn sar(self, by: u32, is_32: bool) -> Tnum {
        if is_32 {
            let by = if by > 31 { 31 } else { by };
            Tnum {
                value: (self.value as i32 >> by) as u32 as u64,
                mask: (self.mask as i32 >> by) as u32 as u64,
            }
        } else {
            let by = if by > 63 { 63 } else { by };
            Tnum { value: (self.value as i64 >> by) as u64, mask: (self.mask as i64 >> by) as u64 }
        }
    }

    /// The sum, as exact as tristate numbers can say it.
    #[must_use]
    pub const fn add(self, other: Tnum) -> Tnum {
        let low = self.value.wrapping_add(other.value);
        let high = low.wrapping_add(self.mask.wrapping_add(other.mask));
        Tnum::known(low, (high ^ low) | self.mask | other.mask)
    }

    /// The difference, as exact as tristate numbers can say it.
    #[must_use]
    pub const fn sub(self, other: Tnum) -> Tnum {
        let least = self.value.wrapping_sub(other.value);
        let high = least.wrapping_add(self.mask);
        let low = least.wrapping_sub(other.mask);
        Tnum::known(least, (high ^ low) | self.mask | other.mask)
    }

    /// Zero minus it.
    #[must_use]
    pub const fn neg(self) -> Tnum {
        Tnum::constant(0).sub(self)
    }

    /// Bitwise and.
    #[must_use]
    pub const fn and(self, other: Tnum) -> Tnum {
        let ones = self.value & other.value;
        let may = (self.value | self.mask) & (other.value | other.mask);
        Tnum { value: ones, mask: may & !ones }
    }

    /// Bitwise or.
    #[must_use]
    pub const fn or(self, other: Tnum) -> Tnum {
        let ones = self.value | other.value;
        Tnum { value: ones, mask: (self.mask | other.mask) & !ones }
    }

    /// Bitwise exclusive or.
    #[must_use]
    pub const fn xor(self, other: Tnum) -> Tnum {
        Tnum::known(self.value ^ other.value, self.mask | other.mask)
    }

    /// The product as the kernel computes it before Linux 6.18: the known part is multiplied exactly, what is unknown is
    /// summed up apart.
    #[must_use]
    pub const fn mul(self, other: Tnum) -> Tnum {
        let (mut a, mut b) = (self, other);
        let mut unknown = Tnum::constant(0);
        while a.value | a.mask != 0 {
            if a.value & 1 != 0 {
                unknown = unknown.add(Tnum { value: 0, mask: b.mask });
            } else if a.mask & 1 != 0 {
                unknown = unknown.add(Tnum { value: 0, mask: b.value | b.mask });
            }
            a = a.shr(1);
            b = b.shl(1);
        }
        Tnum::constant(self.value.wrapping_mul(other.value)).add(unknown)
    }

    /// The product as the kernel computes it since Linux 6.18: long multiplication, where an unknown bit joins both ways.
    #[must_use]
    pub const fn mul_joining(self, other: Tnum) -> Tnum {
        let (mut a, mut b) = (self, other);
        let mut product = Tnum::constant(0);
        while a.value | a.mask != 0 {
            if a.value & 1 != 0 {
                product = product.add(b);
            } else if a.mask & 1 != 0 {
                product = product.union(product.add(b));
            }
            a = a.shr(1);
            b = b.shl(1);
        }
        product
    }

    /// What is known of a number that fits one or the other.
    #[must_use]
    pub const fn union(self, other: Tnum) -> Tnum {
        Tnum::known(self.value & other.value, (self.value ^ other.value) | self.mask | other.mask)
    }

    /// What is known of a number that fits both. Bits in which they disagree become 1, so what comes out of a
    /// contradiction is a number, too.
    #[must_use]
    pub const fn intersect(self, other: Tnum) -> Tnum {
        Tnum::known(self.value | other.value, self.mask & other.mask)
    }

    /// The least of its numbers above `number`; its greatest where there is none.
    #[must_use]
    pub const fn next_above(self, number: u64) -> u64 {
        let greatest = self.value | self.mask;
        if number >= greatest {
            return greatest;
        }
        if number < self.value {
            return self.value;
        }
        // Counted up within the unknown bits: known ones are filled, so that a carry runs over them, as it does over all
        // bits beneath the highest that does not fit.
        let over = number - self.value;
        let misfit = 64 - (over & !self.mask).leading_zeros();
        let low = if misfit > 63 { u64::MAX } else { (1 << misfit) - 1 };
        self.value | ((over | low | !self.mask).wrapping_add(1) & self.mask)
    }

    /// The lowest `size` bytes.
    #[must_use]
    pub const fn cast(self, size: u32) -> Tnum {
        if size > 7 {
            return self;
        }
        let keep = (1 << (size * 8)) - 1;
        Tnum { value: self.value & keep, mask: self.mask & keep }
    }

    /// The low 32 bits.
    #[must_use]
    pub const fn subreg(self) -> Tnum {
        self.cast(4)
    }

    /// The low 32 bits become zero.
    #[must_use]
    pub const fn clear_subreg(self) -> Tnum {
        let high = !(u32::MAX as u64);
        Tnum { value: self.value & high, mask: self.mask & high }
    }

    /// The low 32 bits become those of `subreg`.
    #[must_use]
    pub const fn with_subreg(self, subreg: Tnum) -> Tnum {
        self.clear_subreg().or(subreg.subreg())
    }

    /// Bytes in the opposite order, of the lowest 16, 32 or 64 bits; the rest is zero.
    #[must_use]
    pub const fn swap_bytes(self, bits: u32) -> Tnum {
        match bits {
            16 => Tnum {
                value: (self.value as u16).swap_bytes() as u64,
                mask: (self.mask as u16).swap_bytes() as u64,
            },
            32 => Tnum {
                value: (self.value as u32).swap_bytes() as u64,
                mask: (self.mask as u32).swap_bytes() as u64,
            },
            _ => Tnum { value: self.value.swap_bytes(), mask: self.mask.swap_bytes() },
        }
    }
}

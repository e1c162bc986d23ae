//! Tristate numbers: each bit is 0, 1 or unknown.

/// A number of which some bits are known (`Documentation/bpf/verifier.rst`).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Tnum {
    /// The known bits; zero where a bit is unknown.
    pub value: u64,
    /// The unknown bits.
    pub mask: u64,
}

impl Tnum {
    /// Nothing is known.
    pub const UNKNOWN: Tnum = Tnum { value: 0, mask: u64::MAX };
}

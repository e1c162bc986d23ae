//! Registers and slots that hold the same number, as one word of the way's history.

/// A register or stack slot that is linked with others.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Linked {
    pub frame: u8,
    /// Register or slot number.
    pub at: u8,
    pub is_reg: bool,
}

/// Up to six of them: more are not followed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct LinkedRegs {
    len: u8,
    entries: [Linked; LinkedRegs::MAX],
}

const FRAME_BITS: u32 = 3;
const AT_BITS: u32 = 6;
const ENTRY_BITS: u32 = FRAME_BITS + AT_BITS + 1;
const LEN_BITS: u32 = 4;

impl LinkedRegs {
    /// How many are followed.
    pub const MAX: usize = 6;

    /// Adds one; `false` where there is no more room.
    pub fn push(&mut self, linked: Linked) -> bool {
        match self.entries.get_mut(usize::from(self.len)) {
            Some(entry) => {
                *entry = linked;
                self.len += 1;
                true
            }
            None => false,
        }
    }

    pub fn len(&self) -> usize {
        usize::from(self.len)
    }

    pub fn as_slice(&self) -> &[Linked] {
        &self.entries[..self.len()]
    }

    /// As one word: four bits of count, ten of each entry.
    pub fn pack(&self) -> u64 {
        let mut word = 0;
        for linked in self.as_slice() {
            let entry = u64::from(linked.frame)
                | u64::from(linked.at) << FRAME_BITS
                | u64::from(linked.is_reg) << (FRAME_BITS + AT_BITS);
            word = word << ENTRY_BITS | entry;
        }
        word << LEN_BITS | u64::from(self.len)
    }

    /// Back from a word; the order is turned round.
    pub fn unpack(mut word: u64) -> LinkedRegs {
        let mut linked = LinkedRegs::default();
        let len = word & ((1 << LEN_BITS) - 1);
        word >>= LEN_BITS;
        for _ in 0..len {
            linked.push(Linked {
                frame: (word & ((1 << FRAME_BITS) - 1)) as u8,
                at: (word >> FRAME_BITS & ((1 << AT_BITS) - 1)) as u8,
                is_reg: word >> (FRAME_BITS + AT_BITS) & 1 != 0,
            });
            word >>= ENTRY_BITS;
        }
        linked
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn six_fit_a_word_and_a_seventh_does_not() {
        let mut linked = LinkedRegs::default();
        for at in 0..6 {
            assert!(linked.push(Linked { frame: at, at: 63 - at, is_reg: at % 2 == 0 }));
        }
        assert!(!linked.push(Linked::default()));
        let back = LinkedRegs::unpack(linked.pack());
        let mut entries = back.as_slice().to_vec();
        entries.reverse();
        assert_eq!(entries, linked.as_slice());
    }

    #[test]
    fn none_is_zero() {
        assert_eq!(LinkedRegs::default().pack(), 0);
        assert_eq!(LinkedRegs::unpack(0).len(), 0);
    }
}

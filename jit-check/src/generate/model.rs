//! What the generator believes of registers and stack: a much coarser picture than a verifier's, good enough for making
//! most steps valid.

/// What a register or slot holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) enum Kind {
    #[default]
    Nothing,
    Number,
    /// A number from 0 to this.
    Below(u32),
    Ctx,
    /// Result of a look-up that was not compared with NULL.
    MaybeValue(u32),
    /// Map, and how many bytes follow.
    Value(u32, u16),
    /// Packet, and how many bytes are known to be there.
    Packet(u16),
    /// A loop's counter.
    Busy,
}

impl Kind {
    pub fn is_number(self) -> bool {
        matches!(self, Kind::Number | Kind::Below(_))
    }

    /// What is known where two paths meet.
    fn meet(self, other: Kind) -> Kind {
        match (self, other) {
            (a, b) if a == b => a,
            (a, b) if a.is_number() && b.is_number() => Kind::Number,
            (Kind::Value(a, m), Kind::Value(b, n)) if a == b => Kind::Value(a, m.min(n)),
            (Kind::Packet(a), Kind::Packet(b)) => Kind::Packet(a.min(b)),
            _ => Kind::Nothing,
        }
    }
}

/// Slots of eight bytes that are used.
pub(super) const SLOTS: usize = 12;

/// The whole picture.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Model {
    pub regs: [Kind; 10],
    /// Slot `n` is at frame pointer - 8 * (n + 1).
    pub slots: [Kind; SLOTS],
}

impl Model {
    pub fn meet(&self, other: &Model) -> Model {
        let mut met = self.clone();
        for (a, b) in met.regs.iter_mut().zip(other.regs) {
            *a = a.meet(b);
        }
        for (a, b) in met.slots.iter_mut().zip(other.slots) {
            *a = a.meet(b);
        }
        met
    }

    /// A call: r1 to r5 are gone.
    pub fn called(&mut self, result: Kind) {
        self.regs[0] = result;
        self.regs[1..6].fill(Kind::Nothing);
    }

    /// Registers that hold such a thing.
    pub fn registers_with(&self, wanted: impl Fn(Kind) -> bool) -> Vec<u8> {
        (0..10).filter(|reg| wanted(self.regs[usize::from(*reg)])).collect()
    }
}

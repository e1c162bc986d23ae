//! What programs are attached to.

use super::super::env::{Env, Res};
use super::super::state::RetRange;

impl<'a> Env<'a> {
    pub(super) fn check_attach(&mut self) -> Res {
        Ok(())
    }

    /// What the hook may return; `None` where that is anything.
    pub(super) fn lsm_return_range(&self) -> Option<RetRange> {
        None
    }
}

//! Calls that leave r1 to r5 alone, and the spills around them.

use super::super::env::Env;

impl<'a> Env<'a> {
    pub(super) fn mark_fastcall_patterns(&mut self) {}
}

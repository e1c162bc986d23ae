//! What the passes after the walk refuse.

use super::super::env::{Env, Res};

impl<'a> Env<'a> {
    /// After the walk: the stack, and what rewriting the program would refuse.
    pub(super) fn after_walk(&mut self) -> Res {
        self.check_max_stack_depth()?;
        self.check_tail_call_maps()
    }
}

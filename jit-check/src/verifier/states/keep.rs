//! What the keeping of states needs beside the states: the way walked, work space, spare memory.

use super::equal::IdMap;
use super::masks::Backtrack;
use crate::verifier::state::{Jump, State};

/// Most spare states that are kept for the next copy.
const SPARES: usize = 64;

/// Work space of this room.
#[derive(Debug, Default)]
pub(crate) struct Keep {
    /// Jumps and stack accesses of the current path and, beneath, of the paths that wait: each state names its part.
    pub way: Vec<Jump>,
    /// The entry of the current instruction, with the count of instructions at which it was made.
    pub now: Option<(u32, u32)>,
    /// What precision is asked for.
    pub bt: Backtrack,
    /// Ids of two states that are compared.
    pub ids: IdMap,
    /// Memory of states that are gone.
    #[allow(clippy::vec_box)]
    pub spare: Vec<Box<State>>,
    /// Text of a state that is being printed.
    pub text: String,
}

impl Keep {
    /// A copy of a state, in memory that was used before where there is some.
    pub fn copy(&mut self, of: &State) -> Box<State> {
        match self.spare.pop() {
            Some(mut state) => {
                state.copy_from(of);
                state
            }
            None => {
                let mut state = Box::<State>::default();
                state.copy_from(of);
                state
            }
        }
    }

    /// A state is gone; its memory is not.
    pub fn give_back(&mut self, state: Box<State>) {
        if self.spare.len() < SPARES {
            self.spare.push(state);
        }
    }
}

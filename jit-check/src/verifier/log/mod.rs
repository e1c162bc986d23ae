//! The log, in the kernel's words and format.

pub(in crate::verifier) mod types;

mod state;

use std::fmt::{self, Write};

/// The growing log. As in the kernel, text of a path that ended well is taken back at level 1.
#[derive(Debug, Default)]
pub(crate) struct Log {
    /// 0 keeps the last lines only.
    pub level: u32,
    pub text: String,
}

/// Bytes of text that nobody reads.
const KEPT: usize = 4096;

impl Log {
    pub fn write(&mut self, text: fmt::Arguments<'_>) {
        if self.level == 0 && self.text.len() > KEPT && self.text.ends_with('\n') {
            // Nobody reads it; one of the last lines says why a program is refused.
            self.text.clear();
        }
        let _ = self.text.write_fmt(text);
    }

    /// Where the log ends now.
    pub fn position(&self) -> u64 {
        self.text.len() as u64
    }

    /// Takes back what was written since.
    pub fn reset(&mut self, position: u64) {
        self.text.truncate(position as usize);
    }
}

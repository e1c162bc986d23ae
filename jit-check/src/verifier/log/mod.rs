//! The log, in the kernel's words and format.

pub(in crate::verifier) mod types;

mod state;

use std::fmt::{self, Write};

/// The growing log. As in the kernel, text of a path that ended well is taken back at level 1.
#[derive(Debug, Default)]
pub(crate) struct Log {
    /// 0 writes nothing.
    pub level: u32,
    pub text: String,
}

impl Log {
    pub fn write(&mut self, text: fmt::Arguments<'_>) {
        if self.level != 0 {
            let _ = self.text.write_fmt(text);
        }
    }

    /// Writes what every log has, at whatever level.
    pub fn write_always(&mut self, text: fmt::Arguments<'_>) {
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

//! The terminal of `--live`: taken on entry, given back on every way out.

use crate::output::live::Size;
use anyhow::{Result, bail};
use std::io::{IsTerminal, Write, stdout};
use std::os::fd::AsFd;

/// The alternate screen, and no cursor.
const ENTER: &[u8] = b"\x1b[?1049h\x1b[?25l";
/// The cursor, and the screen as it was.
const LEAVE: &[u8] = b"\x1b[?25h\x1b[?1049l";

/// The terminal while it shows a live view.
#[derive(Debug)]
pub struct Terminal {
    taken: bool,
}

impl Terminal {
    /// Checks that standard output is a terminal; takes nothing yet.
    pub fn new() -> Result<Terminal> {
        if !stdout().is_terminal() {
            bail!(
                "--live needs a terminal as standard output; use -i SECS, or --format json, for a file or a pipe"
            );
        }
        // With panic = "abort" no destructor runs.
        let report = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            put(LEAVE);
            report(info);
        }));
        Ok(Terminal { taken: false })
    }

    /// Takes the screen.
    pub fn enter(&mut self) {
        if !self.taken {
            put(ENTER);
            self.taken = true;
        }
    }

    /// Gives the screen back.
    pub fn leave(&mut self) {
        if self.taken {
            put(LEAVE);
            self.taken = false;
        }
    }

    /// The size now; 24 by 80 where the terminal does not say.
    pub fn size(&self) -> Size {
        let (rows, cols) = bpf_sys::host::terminal_size(stdout().as_fd()).unwrap_or((24, 80));
        Size { rows: rows.into(), cols: cols.into() }
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        self.leave();
    }
}

/// A terminal that went away needs nothing any more.
fn put(bytes: &[u8]) {
    let mut out = stdout().lock();
    let _ = out.write_all(bytes).and_then(|()| out.flush());
}

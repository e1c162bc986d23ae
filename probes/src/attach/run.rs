//! Attaching all groups of targets, and holding what is attached.

use std::fmt;
use std::os::fd::BorrowedFd;
use std::time::{Duration, Instant};

use bpf_sys::link::Link;
use bpf_sys::map::Map;
use bpf_sys::perf::PerfEvent;
use bpf_sys::prog::{AttachType, Prog};

use super::text::TextEvents;
use super::{AttachMode, Group, Skipped, Targets, kprobe, raw_syscalls, tracepoint, uprobe};
use crate::program::{Key, Kind};
use crate::{Error, Result};

/// Makes the programs that are attached.
pub(crate) trait Programs {
    /// Loads the program for one way of attaching; `keys` is the table that `key` speaks of.
    fn load(&self, kind: Kind, key: Key, keys: Option<&Map>, attach_type: Option<AttachType>)
    -> Result<Prog>;

    /// Whether the programs ask which target they run for.
    fn tells_targets_apart(&self) -> bool {
        true
    }

    /// Whether the programs take the kernel's part of the stack.
    fn takes_kernel_stacks(&self) -> bool {
        false
    }
}

/// What attachments get beside their place.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct How {
    /// The one cookie of all of them; without it each has its target's index.
    pub cookie: Option<u64>,
    /// One program for entries and returns.
    pub session: bool,
}

impl How {
    /// The cookie of the target with this index.
    pub fn cookie(self, index: u32) -> u64 {
        self.cookie.unwrap_or(index.into())
    }
}

/// Everything that is attached. Dropping it detaches.
#[derive(Default)]
pub(crate) struct Attached {
    pub links: Vec<Link>,
    pub events: Vec<PerfEvent>,
    pub progs: Vec<Prog>,
    pub keys: Vec<Map>,
    // Dropped last: an event in use cannot be removed.
    pub text: Vec<TextEvents>,
    pub modes: Vec<AttachMode>,
    pub skipped: Vec<Skipped>,
    pub load: Duration,
    pub kernel: Duration,
    pub how: How,
}

impl fmt::Debug for Attached {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Attached")
            .field("links", &self.links.len())
            .field("events", &self.events.len())
            .field("progs", &self.progs.len())
            .field("modes", &self.modes)
            .finish_non_exhaustive()
    }
}

impl Attached {
    /// Nothing yet.
    pub fn new(how: How) -> Attached {
        let mut attached = Attached::default();
        attached.how = how;
        attached
    }

    /// Attaches to all targets; on an error nothing remains attached.
    pub fn attach(targets: &Targets, mode: AttachMode, programs: &dyn Programs) -> Result<Attached> {
        Attached::attach_as(targets, mode, programs, How::default())
    }

    /// [`attach`](Self::attach), with what the attachments get.
    pub fn attach_as(
        targets: &Targets,
        mode: AttachMode,
        programs: &dyn Programs,
        how: How,
    ) -> Result<Attached> {
        // Attaching to many functions keeps one processor busy for long; another can read symbols meanwhile.
        std::thread::scope(|scope| {
            let mut pending = Vec::new();
            for group in &targets.groups {
                if let Group::SharedNames { ret, first, table } = group {
                    let addrs = scope.spawn(|| table.entries());
                    pending.push((*ret, *first, table.len(), addrs));
                }
            }
            let mut attached = Attached::attach_groups(targets, mode, programs, how)?;
            for (ret, first, len, addrs) in pending {
                let found = addrs.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
                // Without the kernel's symbols none of them is known; the others are attached all the same.
                let addrs = found.unwrap_or_else(|_| vec![0; len]);
                let count = u32::try_from(addrs.len()).unwrap_or(u32::MAX);
                let group = Group::Kprobes { ret, first, count, addrs };
                kprobe::attach(&mut attached, targets, &group, mode, programs)?;
            }
            Ok(attached)
        })
    }

    fn attach_groups(
        targets: &Targets,
        mode: AttachMode,
        programs: &dyn Programs,
        how: How,
    ) -> Result<Attached> {
        let mut attached = Attached::new(how);
        for group in &targets.groups {
            let before = attached.skipped.len();
            match group {
                Group::SharedNames { .. } => continue,
                Group::Kprobes { .. } | Group::KprobeAt { .. } => {
                    kprobe::attach(&mut attached, targets, group, mode, programs)?;
                }
                Group::Uprobes { .. } => uprobe::attach(&mut attached, targets, group, mode, programs)?,
                Group::Tracepoints { first, ids } => {
                    tracepoint::attach(&mut attached, targets, *first, ids, programs)?;
                }
                Group::Syscalls { exit, first, calls } => {
                    let raw = calls.len() > 2
                        || (programs.takes_kernel_stacks() && !raw_syscalls::events_have_kernel_stacks());
                    if mode != AttachMode::Tracepoint && (raw || mode == AttachMode::RawSyscalls) {
                        raw_syscalls::attach(&mut attached, *exit, *first, calls, programs)?;
                    } else {
                        let ids = tracepoint::ids(targets, group.range())?;
                        tracepoint::attach(&mut attached, targets, *first, &ids, programs)?;
                    }
                }
            }
            // A group of which nothing could be attached is an error, not a skip.
            if attached.skipped.len() - before == group.range().len()
                && let Some(skip) = attached.skipped.get(before)
            {
                // The kernel only says "no"; its files tell why.
                if let (Group::Kprobes { .. }, 1) = (group, group.range().len()) {
                    let why = crate::kernel::why_not::why_not(&skip.name);
                    if why.reason != crate::kernel::why_not::Reason::Nothing {
                        return Err(why.into_error());
                    }
                }
                return Err(Error::Attach {
                    target: format!("`{}`", skip.name),
                    mode: "every mechanism of this kernel was tried",
                    reason: skip.why.clone(),
                });
            }
        }
        Ok(attached)
    }

    pub fn note_mode(&mut self, mode: AttachMode) {
        if !self.modes.contains(&mode) {
            self.modes.push(mode);
        }
    }

    /// Loads the program with the first of the keys that the kernel knows.
    pub fn load(
        &mut self,
        programs: &dyn Programs,
        kind: Kind,
        keys: &[(Key, Option<&Map>)],
        attach_type: Option<AttachType>,
    ) -> Result<(Prog, Key)> {
        let start = Instant::now();
        if !programs.tells_targets_apart() {
            // Then no attachment needs a cookie, and one program serves all.
            let prog = programs.load(kind, Key::Constant(0), None, attach_type)?;
            self.load += start.elapsed();
            return Ok((prog, Key::Constant(0)));
        }
        let mut last = None;
        for &(key, map) in keys {
            match programs.load(kind, key, map, attach_type) {
                Ok(prog) => {
                    self.load += start.elapsed();
                    return Ok((prog, key));
                }
                // The kernel does not know the helper.
                Err(Error::Sys(bpf_sys::Error::ProgLoad(e))) if e.errno == bpf_sys::Errno::EINVAL => {
                    last = Some(Error::Sys(bpf_sys::Error::ProgLoad(e)));
                }
                Err(e) => return Err(e),
            }
        }
        self.load += start.elapsed();
        Err(last.unwrap_or_else(|| Error::Attach {
            target: "the targets".into(),
            mode: "no mechanism",
            reason: "there is no way to tell targets apart".into(),
        }))
    }

    /// Runs a call into the kernel and notes how long it took.
    pub fn timed<T>(&mut self, call: impl FnOnce() -> T) -> T {
        let start = Instant::now();
        let result = call();
        self.kernel += start.elapsed();
        result
    }

    /// Hangs a program on a perf event: by a link, or by the event itself before Linux 5.15.
    pub fn hang(&mut self, prog: BorrowedFd<'_>, event: PerfEvent, key: Key, index: u32) -> Result<()> {
        if key == Key::Cookie || self.how.cookie.is_some() {
            let cookie = self.how.cookie(index);
            match self.timed(|| bpf_sys::link::perf_event(prog, &event, cookie)) {
                Ok(link) => {
                    // The link holds the event; its descriptor is not needed any more.
                    self.links.push(link);
                    return Ok(());
                }
                // Nobody asks for a cookie of 0.
                Err(error) if self.how.cookie == Some(0) && error.is_errno(bpf_sys::Errno::EINVAL) => {}
                Err(error) if self.how.cookie.is_some() && error.is_errno(bpf_sys::Errno::EINVAL) => {
                    return Err(Error::Unavailable {
                        what: "an attachment's cookie".into(),
                        why: "the kernel has no links to perf events (since Linux 5.15)".into(),
                        remedy: "attach without a cookie".into(),
                    });
                }
                Err(error) => return Err(error.into()),
            }
        }
        self.timed(|| event.set_bpf(prog))?;
        self.events.push(event);
        Ok(())
    }

    /// Events that the kernel could not deliver: recursion, and probes hit while another was handled.
    pub fn missed(&self) -> Result<u64> {
        let mut missed = 0;
        for prog in &self.progs {
            missed += prog.run_stats()?.recursion_misses.unwrap_or(0);
        }
        for link in &self.links {
            // Kernels before 6.7 do not tell; then there is nothing to add.
            missed += link.missed().unwrap_or(0);
        }
        for text in &self.text {
            missed += text.missed();
        }
        Ok(missed)
    }

    /// Runs and their time, of all programs.
    pub fn run_stats(&self) -> Result<(u64, Duration)> {
        let mut sum = (0, Duration::ZERO);
        for prog in &self.progs {
            let stats = prog.run_stats()?;
            sum.0 += stats.run_cnt;
            sum.1 += Duration::from_nanos(stats.run_time_ns);
        }
        Ok(sum)
    }

    /// Detaches everything; many descriptors on several threads, since each close waits for the kernel.
    pub fn detach(&mut self) {
        close(std::mem::take(&mut self.links));
        close(std::mem::take(&mut self.events));
        self.text.clear();
        self.progs.clear();
        self.keys.clear();
    }
}

/// Closes descriptors, from several threads where there are many: while one close waits for the kernel's grace period,
/// others can wait for the same one.
fn close<T: Send>(mut descriptors: Vec<T>) {
    const THREADS: usize = 32;
    if descriptors.len() < 4 {
        return;
    }
    let share = descriptors.len().div_ceil(THREADS);
    std::thread::scope(|scope| {
        while descriptors.len() > share {
            let some = descriptors.split_off(descriptors.len() - share);
            // Without a thread the closure is dropped, and what it holds with it.
            let _ = std::thread::Builder::new().stack_size(64 * 1024).spawn_scoped(scope, move || drop(some));
        }
        drop(descriptors);
    });
}

impl Drop for Attached {
    fn drop(&mut self) {
        self.detach();
    }
}

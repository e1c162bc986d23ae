//! Attaching: from event specs to targets, and from targets to programs that run at them.
//!
//! [`resolve`] turns specs into [`Targets`], a compact list in which each target has an index and a display name.
//! The sessions of [`crate::count`] and [`crate::stacks`] attach one program to all of them; which of the kernel's
//! mechanisms is used is decided by what the kernel answers ([`AttachMode::Auto`]) or forced. The index of a target
//! reaches the program as the attachment's cookie, or by the function's address where there are no cookies.
//!
//! Everything is attached or nothing remains attached; what is held is released when the session is dropped. A
//! process that is killed leaves nothing behind either, except for events in the text files of tracefs, which the
//! next start removes.

pub(crate) mod kprobe;
pub(crate) mod raw_syscalls;
mod resolve;
pub(crate) mod run;
pub(crate) mod text;
pub(crate) mod tracepoint;
pub(crate) mod uprobe;

pub use resolve::resolve;

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use crate::kernel::functions::FunctionTable;
use crate::{Error, Result};

/// The kernel's mechanism for attaching.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum AttachMode {
    /// The fastest that the kernel has, for each kind of target.
    #[default]
    Auto,
    /// One `kprobe.multi` link for all functions. Since Linux 5.18 (needs fprobe).
    KprobeMulti,
    /// A perf event of the kprobe PMU for each function. Since Linux 4.17.
    KprobePerf,
    /// Events defined in the text file `kprobe_events` of tracefs.
    KprobeText,
    /// One `uprobe.multi` link for each file. Since Linux 6.6.
    UprobeMulti,
    /// A perf event of the uprobe PMU for each function. Since Linux 4.17.
    UprobePerf,
    /// Events defined in the text file `uprobe_events` of tracefs.
    UprobeText,
    /// A perf event for each tracepoint, also for those of system calls.
    Tracepoint,
    /// One raw tracepoint for all system calls instead of one tracepoint for each.
    RawSyscalls,
}

impl AttachMode {
    /// All modes, for help texts.
    pub const ALL: [AttachMode; 9] = [
        AttachMode::Auto,
        AttachMode::KprobeMulti,
        AttachMode::KprobePerf,
        AttachMode::KprobeText,
        AttachMode::UprobeMulti,
        AttachMode::UprobePerf,
        AttachMode::UprobeText,
        AttachMode::Tracepoint,
        AttachMode::RawSyscalls,
    ];

    /// The name as it is written on a command line.
    pub fn name(self) -> &'static str {
        match self {
            AttachMode::Auto => "auto",
            AttachMode::KprobeMulti => "kprobe-multi",
            AttachMode::KprobePerf => "kprobe-perf",
            AttachMode::KprobeText => "kprobe-text",
            AttachMode::UprobeMulti => "uprobe-multi",
            AttachMode::UprobePerf => "uprobe-perf",
            AttachMode::UprobeText => "uprobe-text",
            AttachMode::Tracepoint => "tracepoint",
            AttachMode::RawSyscalls => "raw-syscalls",
        }
    }
}

impl fmt::Display for AttachMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for AttachMode {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        AttachMode::ALL.into_iter().find(|m| m.name() == text).ok_or_else(|| Error::BadMode {
            text: text.to_owned(),
            modes: AttachMode::ALL.map(AttachMode::name).join(", "),
        })
    }
}

/// What kind of event a target is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TargetKind {
    /// A kernel function's entry (or an instruction in it), or its return.
    Kprobe {
        /// At the return.
        ret: bool,
    },
    /// A user function's entry (or an instruction in it), or its return.
    Uprobe {
        /// At the return.
        ret: bool,
    },
    /// A tracepoint.
    Tracepoint,
    /// A tracepoint `syscalls:sys_enter_*` or `syscalls:sys_exit_*`.
    Syscall {
        /// `sys_exit_*`.
        exit: bool,
    },
}

/// How specs are resolved.
#[derive(Clone, Debug, Default)]
pub struct ResolveOptions {
    /// The process whose libraries and executable are meant, seen from its mount namespace; user probes are attached
    /// for this process only.
    pub pid: Option<u32>,
}

/// A target that was found but left out, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Skipped {
    /// The name.
    pub name: String,
    /// Why it was left out.
    pub why: String,
}

/// How long the parts of a start and an end took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Timings {
    /// Finding the targets.
    pub resolve: Duration,
    /// Creating maps and loading programs.
    pub load: Duration,
    /// Attaching, all of it.
    pub attach: Duration,
    /// The part of `attach` that was spent inside the kernel's attach calls.
    pub kernel: Duration,
}

/// Names, one after the other in one piece of memory, each with a NUL behind it as the kernel wants them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Names {
    text: String,
    starts: Vec<u32>,
}

impl Names {
    pub fn push(&mut self, name: &str) {
        self.starts.push(u32::try_from(self.text.len()).unwrap_or(u32::MAX));
        self.text.push_str(name);
        self.text.push('\0');
    }

    pub fn get(&self, index: usize) -> Option<&str> {
        let start = *self.starts.get(index)? as usize;
        let end = self.starts.get(index + 1).map_or(self.text.len(), |&end| end as usize);
        self.text.get(start..end.checked_sub(1)?)
    }

    pub fn len(&self) -> usize {
        self.starts.len()
    }

    /// All names, and where those of some targets begin.
    pub fn raw(&self, targets: &[u32]) -> (&[u8], impl Iterator<Item = usize>) {
        let starts = targets.iter().filter_map(|&t| self.starts.get(t as usize)).map(|&s| s as usize);
        (self.text.as_bytes(), starts)
    }
}

/// Targets of one kind that are attached in one go; their indices are `first ..`.
#[derive(Clone, Debug)]
pub(crate) enum Group {
    /// Kernel functions, by name; `addrs` has the address of each (0: not known, to be left out), or it is empty.
    Kprobes { ret: bool, first: u32, count: u32, addrs: Vec<u64> },
    /// Kernel functions that share their name with others; their addresses are looked up while others are attached.
    SharedNames { ret: bool, first: u32, table: FunctionTable },
    /// One instruction of the kernel: symbol (or none) plus offset or address.
    KprobeAt { ret: bool, index: u32, symbol: Option<String>, offset: u64 },
    /// Offsets into one file.
    Uprobes { ret: bool, first: u32, path: PathBuf, offsets: Vec<u64> },
    /// Tracepoints by the kernel's id.
    Tracepoints { first: u32, ids: Vec<u64> },
    /// System calls: the number of each.
    Syscalls { exit: bool, first: u32, calls: Vec<u32> },
}

/// What is to be attached to: targets in order, each with an index and a display name.
#[derive(Clone, Debug, Default)]
pub struct Targets {
    pub(crate) names: Names,
    pub(crate) groups: Vec<Group>,
    pub(crate) skipped: Vec<Skipped>,
    pub(crate) pid: Option<u32>,
    pub(crate) resolve_time: Duration,
}

impl Targets {
    /// How many targets there are.
    pub fn len(&self) -> usize {
        self.names.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The display name of a target: a kernel function's or user function's name (with `+0x10` for an instruction
    /// inside it), `category:event` for a tracepoint. `None` if there is no such target.
    pub fn name(&self, index: usize) -> Option<&str> {
        self.names.get(index)
    }

    /// The display names in the order of the targets' indices.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        (0..self.len()).filter_map(|i| self.name(i))
    }

    /// The kind of a target.
    pub fn kind(&self, index: usize) -> Option<TargetKind> {
        let index = u32::try_from(index).ok()?;
        let group = self.groups.iter().find(|g| g.range().contains(&index))?;
        Some(group.kind())
    }

    /// The file of a user function.
    pub fn file(&self, index: usize) -> Option<&Path> {
        let index = u32::try_from(index).ok()?;
        self.groups.iter().find_map(|g| match g {
            Group::Uprobes { path, .. } if g.range().contains(&index) => Some(path.as_path()),
            _ => None,
        })
    }

    /// What matched but was left out when the specs were resolved.
    pub fn skipped(&self) -> &[Skipped] {
        &self.skipped
    }

    /// How long finding them took.
    pub fn resolve_time(&self) -> Duration {
        self.resolve_time
    }
}

impl Group {
    pub fn range(&self) -> std::ops::Range<u32> {
        let (first, count) = match self {
            Group::Kprobes { first, count, .. } => (*first, *count as usize),
            Group::SharedNames { first, table, .. } => (*first, table.len()),
            Group::KprobeAt { index, .. } => (*index, 1),
            Group::Uprobes { first, offsets, .. } => (*first, offsets.len()),
            Group::Tracepoints { first, ids } => (*first, ids.len()),
            Group::Syscalls { first, calls, .. } => (*first, calls.len()),
        };
        first..first.saturating_add(u32::try_from(count).unwrap_or(u32::MAX))
    }

    pub fn kind(&self) -> TargetKind {
        match self {
            Group::Kprobes { ret, .. } | Group::KprobeAt { ret, .. } | Group::SharedNames { ret, .. } => {
                TargetKind::Kprobe { ret: *ret }
            }
            Group::Uprobes { ret, .. } => TargetKind::Uprobe { ret: *ret },
            Group::Tracepoints { .. } => TargetKind::Tracepoint,
            Group::Syscalls { exit, .. } => TargetKind::Syscall { exit: *exit },
        }
    }
}

//! Remembers what processes have mapped while they live, so that stacks of those that exit before they are
//! printed still resolve.
//!
//! The kernel reports every executable mapping, exec, fork and exit in records of a perf event that counts
//! nothing (perf_event_open(2), `PERF_COUNT_SW_DUMMY` with `mmap2`, `comm_exec` and `task`). Their order over the
//! processors is restored by their time.

use std::fs;
use std::os::fd::{AsFd, BorrowedFd};

use bpf_sys::perf::record::{FileId, Record};
use bpf_sys::perf::ring::PerfRing;
use bpf_sys::perf::{AttrFlags, OpenFlags, PerfAttr, PerfEvent, SampleType, SoftwareEvent, Wakeup};
use bpf_sys::poll::Epoll;

use super::user::UserSymbols;
use crate::Result;
use crate::user::maps::{Backing, Mapping, Perms};
use crate::user::{Process, UserError};

/// Pages of a ring; a record of a mapping takes about 120 bytes.
const PAGES: usize = 16;
/// A reader is woken when so many bytes have come: at once for one process, in batches for all.
const WAKE_ONE: u32 = 1;
const WAKE_ALL: u32 = 2048;
const PROT_READ: u32 = 1;
const PROT_WRITE: u32 = 2;
const PROT_EXEC: u32 = 4;
const MAP_SHARED: u32 = 1;

/// Follows the mappings of one process and its children, or of all.
///
/// Since Linux 3.16 (`mmap2`). Other processes than one's own need `CAP_PERFMON` or
/// `kernel.perf_event_paranoid` of 0 or less.
#[derive(Debug)]
pub struct Tracker {
    rings: Vec<PerfRing>,
    /// Events of further threads, which write to the rings.
    events: Vec<PerfEvent>,
    poll: Epoll,
    pending: Vec<Event>,
    lost: u64,
}

#[derive(Debug)]
struct Event {
    time: u64,
    what: What,
}

#[derive(Debug)]
enum What {
    Map(u32, Mapping),
    Exec(u32),
    Fork { parent: u32, child: u32 },
    Exit(u32),
}

impl Tracker {
    /// Starts to follow; with a process, also its threads and children, but no others.
    ///
    /// # Errors
    /// `NoProcess`; no privilege for perf events (the message names the capability and the sysctl).
    pub fn start(pid: Option<u32>) -> Result<Tracker> {
        let mut attr = PerfAttr::software(SoftwareEvent::Dummy);
        attr.flags = AttrFlags::MMAP
            | AttrFlags::MMAP2
            | AttrFlags::COMM
            | AttrFlags::COMM_EXEC
            | AttrFlags::TASK
            | AttrFlags::SAMPLE_ID_ALL
            | AttrFlags::EXCLUDE_KERNEL;
        attr.sample_type = SampleType::TID | SampleType::TIME;
        attr.wakeup = Wakeup::Bytes(if pid.is_some() { WAKE_ONE } else { WAKE_ALL });
        if pid.is_some() {
            attr.flags |= AttrFlags::INHERIT;
        }
        let tasks = match pid {
            Some(pid) => threads(pid)?,
            None => vec![-1],
        };
        let mut tracker = Tracker {
            rings: Vec::new(),
            events: Vec::new(),
            poll: Epoll::new()?,
            pending: Vec::new(),
            lost: 0,
        };
        for cpu in bpf_sys::cpus::online()? {
            let mut ring: Option<PerfRing> = None;
            for &task in &tasks {
                let event = match PerfEvent::open(&attr, task, cpu as i32, None, OpenFlags::empty()) {
                    Ok(event) => event,
                    // A thread may go while we open the events of the others.
                    Err(_) if tasks.len() > 1 && ring.is_some() => continue,
                    Err(e) => return Err(e.into()),
                };
                match &ring {
                    None => {
                        let made = PerfRing::new(event, PAGES, attr.record_format())?;
                        tracker.poll.add(made.event().as_fd(), cpu.into())?;
                        ring = Some(made);
                    }
                    Some(ring) => {
                        event.set_output(Some(ring.event().as_fd()))?;
                        tracker.events.push(event);
                    }
                }
            }
            tracker.rings.extend(ring);
        }
        Ok(tracker)
    }

    /// Reads what has come and tells `symbols`. To be called whenever [`Tracker::as_fd`] is readable, or a few times
    /// a second; the files of a process that is gone by then are found by their paths alone.
    ///
    /// # Errors
    /// A ring that does not hold what the kernel promises.
    pub fn poll(&mut self, symbols: &mut UserSymbols) -> Result<()> {
        let Tracker { rings, pending, lost, .. } = self;
        let lost_before = *lost;
        let mut trouble = None;
        for ring in rings {
            let read = ring.read(|entry| {
                let time = entry.id.time.unwrap_or(0);
                let what = match entry.record {
                    Record::Lost { lost: n, .. } => {
                        *lost += n;
                        None
                    }
                    record => translate(&record),
                };
                pending.extend(what.map(|what| Event { time, what }));
            });
            trouble = trouble.or(read.err());
        }
        // Stable: records of one processor have their order already.
        pending.sort_by_key(|e| e.time);
        for event in pending.drain(..) {
            match event.what {
                What::Map(pid, mapping) => symbols.on_map(pid, mapping),
                What::Exec(pid) => symbols.on_exec(pid),
                What::Fork { parent, child } => symbols.on_fork(parent, child),
                What::Exit(pid) => symbols.on_exit(pid),
            }
        }
        if *lost > lost_before {
            symbols.on_lost();
        }
        trouble.map_or(Ok(()), |e| Err(e.into()))
    }

    /// Records that the kernel could not deliver; processes are looked at again after such a loss.
    pub fn lost(&self) -> u64 {
        self.lost
    }
}

impl AsFd for Tracker {
    /// Readable when there is something to read.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.poll.as_fd()
    }
}

/// The threads of a process.
fn threads(pid: u32) -> Result<Vec<i32>> {
    Process::open(pid)?;
    let dir = fs::read_dir(format!("/proc/{pid}/task")).map_err(|_| UserError::NoProcess { pid })?;
    let mut tasks: Vec<i32> = dir.filter_map(|e| e.ok()?.file_name().to_str()?.parse().ok()).collect();
    tasks.sort_unstable();
    if tasks.is_empty() { Err(UserError::NoProcess { pid }.into()) } else { Ok(tasks) }
}

fn translate(record: &Record<'_>) -> Option<What> {
    match *record {
        Record::Mmap2 { mapping, file, prot, flags } if prot & PROT_EXEC != 0 => {
            let (device, inode) = match file {
                FileId::Inode { major, minor, inode, .. } => ((major, minor), inode),
                FileId::BuildId(_) => ((0, 0), 0),
            };
            let perms = Perms {
                read: prot & PROT_READ != 0,
                write: prot & PROT_WRITE != 0,
                execute: true,
                shared: flags & MAP_SHARED != 0,
            };
            let end = mapping.addr.checked_add(mapping.len).filter(|end| *end > mapping.addr)?;
            let backing = Backing::parse(mapping.filename);
            let map =
                Mapping { start: mapping.addr, end, perms, offset: mapping.pgoff, device, inode, backing };
            Some(What::Map(mapping.pid, map))
        }
        Record::Comm { pid, exec: true, .. } => Some(What::Exec(pid)),
        // A thread has its process's mappings.
        Record::Fork(task) if task.pid != task.parent_pid => {
            Some(What::Fork { parent: task.parent_pid, child: task.pid })
        }
        Record::Exit(task) if task.pid == task.tid => Some(What::Exit(task.pid)),
        _ => None,
    }
}

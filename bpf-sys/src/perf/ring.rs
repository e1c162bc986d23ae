//! The ring that an event writes its records to.

use std::ops::ControlFlow;
use std::os::fd::AsFd;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::time::Duration;

use super::event::PerfEvent;
use super::record::{Entry, RawRecord, RecordFormat};
use super::walk::walk;
use crate::mmap::{Access, Mmap, page_size};
use crate::{Errno, Error, Result, poll};

// Where the first page of the mapping (struct perf_event_mmap_page) holds them.
const DATA_HEAD: usize = 1024;
const DATA_TAIL: usize = 1032;
const DATA_OFFSET: usize = 1040;
const DATA_SIZE: usize = 1048;

/// An event and the ring of its records. Other events may write to the same ring
/// ([`PerfEvent::set_output`]) if their records have the same format.
///
/// Records are lent to the reader where they lie; only one that goes over the ring's end is copied. The place of what was
/// read is given back to the kernel once for each call of [`read`](Self::read).
#[derive(Debug)]
pub struct PerfRing {
    event: PerfEvent,
    memory: Mmap,
    format: RecordFormat,
    offset: usize,
    size: usize,
    scratch: Vec<u8>,
}

/// Gives the kernel the ring's space back when reading ends, also by a panic of the reader.
struct Publish<'a> {
    tail: &'a AtomicU64,
    position: u64,
}

impl Drop for Publish<'_> {
    fn drop(&mut self) {
        // Release: whatever was read of the records was read before the kernel may write there.
        self.tail.store(self.position, Release);
    }
}

impl PerfRing {
    /// Maps the ring of an event: `pages` (a power of two) of the system's page size, and one more.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`] where `pages` is no power of two; [`Error::Sys`] (EPERM: more memory than the sysctl
    /// kernel.perf_event_mlock_kb and RLIMIT_MEMLOCK allow; EINVAL: the event is inherited, which needs one processor).
    pub fn new(event: PerfEvent, pages: usize, format: RecordFormat) -> Result<Self> {
        let page = page_size();
        let size = pages.checked_mul(page).and_then(|size| size.checked_add(page));
        let (true, Some(total)) = (pages.is_power_of_two(), size) else {
            return Err(Error::invalid(format!(
                "a perf ring of {pages} pages: the number must be a power of two"
            )));
        };
        let memory = Mmap::map(event.as_fd(), 0, total, Access::Writable, "a perf ring").map_err(|e| match e {
            Error::Sys { call, context, errno: Errno::EPERM } => Error::Sys {
                call,
                context: format!(
                    "{context}: ask for fewer pages, or raise the sysctl kernel.perf_event_mlock_kb or RLIMIT_MEMLOCK"
                ),
                errno: Errno::EPERM,
            },
            e => e,
        })?;
        let number = |at| memory.u64_at(at).map_or(0, |word| word.load(Relaxed));
        let (offset, size) = match (number(DATA_OFFSET), number(DATA_SIZE)) {
            // Linux before 4.1 does not say.
            (_, 0) => (page as u64, (total - page) as u64),
            known => known,
        };
        let inside = offset.checked_add(size).is_some_and(|end| end <= total as u64);
        if !inside || !size.is_power_of_two() || !offset.is_multiple_of(8) {
            return Err(Error::Unexpected {
                place: "the first page of a perf ring".into(),
                what: format!("{size} bytes of records at offset {offset} of a mapping of {total} bytes"),
            });
        }
        Ok(PerfRing {
            event,
            memory,
            format,
            offset: offset as usize,
            size: size as usize,
            scratch: Vec::new(),
        })
    }

    /// The event.
    pub fn event(&self) -> &PerfEvent {
        &self.event
    }

    /// Bytes that wait to be read.
    pub fn available(&self) -> u64 {
        let number = |at, order| self.memory.u64_at(at).map_or(0, |word| word.load(order));
        number(DATA_HEAD, Acquire).wrapping_sub(number(DATA_TAIL, Relaxed))
    }

    /// Waits until there is something to read; `false` when the time is over (`None`: for ever) or a signal came. The
    /// event's [`Wakeup`](super::Wakeup) decides how much must have come.
    ///
    /// # Errors
    ///
    /// [`Error::Sys`].
    pub fn wait(&self, timeout: Option<Duration>) -> Result<bool> {
        poll::wait_one(self.event.as_fd(), timeout, "wait for a perf ring")
    }

    /// Hands out all records that are there now, and answers with their number.
    ///
    /// # Errors
    ///
    /// [`Error::Unexpected`] for a record that does not fit the format (the next call goes on behind it), or for a ring
    /// whose sizes are impossible (the error says how many bytes were dropped, the next call starts afresh).
    pub fn read(&mut self, mut each: impl FnMut(Entry<'_>)) -> Result<usize> {
        let format = self.format;
        let mut malformed = None;
        let count = self.read_raw(|raw| match format.parse(raw) {
            Ok(entry) => {
                each(entry);
                ControlFlow::Continue(())
            }
            Err(e) => {
                malformed = Some(e);
                ControlFlow::Break(())
            }
        })?;
        match malformed {
            None => Ok(count),
            Some(e) => Err(Error::Unexpected { place: "a perf ring".into(), what: e.to_string() }),
        }
    }

    /// [`read`](Self::read) for those who know the format of each record, or copy records as they are.
    ///
    /// # Errors
    ///
    /// [`Error::Unexpected`] for a ring whose sizes are impossible.
    pub fn read_raw(&mut self, each: impl FnMut(RawRecord<'_>) -> ControlFlow<()>) -> Result<usize> {
        let PerfRing { memory, scratch, offset, size, .. } = self;
        let (Some(head), Some(tail)) = (memory.u64_at(DATA_HEAD), memory.u64_at(DATA_TAIL)) else {
            return Ok(0);
        };
        // Acquire: the records in front of the head are complete before they are read.
        let head = head.load(Acquire);
        let mut publish = Publish { tail, position: tail.load(Relaxed) };
        let bytes = |at: usize, len: usize| {
            if at.checked_add(len)? > *size {
                return None;
            }
            // SAFETY: `walk` asks only for bytes between tail and head. Those belong to the reader until the tail is
            // moved, which happens when `publish` is dropped, after the last use; `&mut self` keeps other readers out.
            unsafe { memory.bytes(*offset + at, len) }
        };
        walk(*size as u64, &mut publish.position, head, bytes, scratch, each).map_err(|corrupt| {
            Error::Unexpected {
                place: format!("a perf ring at position {}", corrupt.position),
                what: format!("{}; {} bytes of records were dropped", corrupt.what, corrupt.dropped),
            }
        })
    }
}

//! The BPF ring buffer's reader (`BPF_MAP_TYPE_RINGBUF`, since Linux 5.8; Documentation/bpf/ringbuf.rst).

use std::ops::ControlFlow;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release, SeqCst};
use std::time::Duration;

use crate::map::{Map, MapType};
use crate::mmap::{Access, Mmap, page_size};
use crate::poll::{self, Epoll, Ready};
use crate::{Errno, Error, Result};

/// The reader of one ring buffer. A ring buffer may have one reader only.
///
/// Records are lent to the reader where they lie: the kernel maps the data twice in a row, so that none is ever in two
/// pieces. The place of what was read is given back to programs once for each batch. The kernel does not count what
/// programs could not write because the ring was full; a program that must know counts by itself.
#[derive(Debug)]
pub struct RingBuf {
    fd: OwnedFd,
    consumer: Mmap,
    producer: Mmap,
    page: usize,
    size: usize,
}

const BUSY: u32 = 1 << 31;
const DISCARDED: u32 = 1 << 30;
const HEADER: usize = 8;

/// What lies at a position of the ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// A program is still writing it; later ones must wait for it.
    Busy,
    /// A program gave it up.
    Skip { whole: usize },
    /// A record of `len` bytes behind its header; `whole` leads to the next.
    Record { len: usize, whole: usize },
    /// No record can be like this.
    Corrupt,
}

/// Reads a record's header; `left` is how much lies between here and the producer's position.
fn step(header: u32, left: usize, size: usize) -> Step {
    if header & BUSY != 0 {
        return Step::Busy;
    }
    let len = (header & !(BUSY | DISCARDED)) as usize;
    let Some(whole) = len.checked_add(HEADER).and_then(|n| n.checked_next_multiple_of(8)) else {
        return Step::Corrupt;
    };
    if whole > left || whole > size {
        return Step::Corrupt;
    }
    if header & DISCARDED != 0 { Step::Skip { whole } } else { Step::Record { len, whole } }
}

/// Why a walk ended early.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Corrupt {
    pub position: usize,
    pub dropped: usize,
}

/// How a walk ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// At the producer's position.
    Empty,
    /// At a record that is being written.
    Busy,
    /// Because the reader said so.
    Stopped,
}

/// Hands out the records from `*position` to `producer`. `header(offset)` loads a header, `bytes(offset, len)` lends data
/// of the doubled ring. `*position` is moved behind a record before that is handed out, and to `producer` where the
/// ring is corrupt.
pub(crate) fn walk<'a>(
    size: usize,
    position: &mut usize,
    producer: usize,
    header: impl Fn(usize) -> Option<u32>,
    bytes: impl Fn(usize, usize) -> Option<&'a [u8]>,
    mut each: impl FnMut(&[u8]) -> ControlFlow<()>,
) -> (usize, Result<End, Corrupt>) {
    let mut count = 0;
    let corrupt = |position: &mut usize| {
        let (at, dropped) = (*position, producer.wrapping_sub(*position).min(size));
        *position = producer;
        Err(Corrupt { position: at, dropped })
    };
    while *position != producer {
        let left = producer.wrapping_sub(*position);
        if left > size || !position.is_multiple_of(HEADER) {
            return (count, corrupt(position));
        }
        let offset = *position & (size - 1);
        match header(offset).map_or(Step::Corrupt, |header| step(header, left, size)) {
            Step::Busy => return (count, Ok(End::Busy)),
            Step::Skip { whole } => *position = position.wrapping_add(whole),
            Step::Record { len, whole } => {
                let Some(record) = bytes(offset + HEADER, len) else { return (count, corrupt(position)) };
                *position = position.wrapping_add(whole);
                count += 1;
                if each(record).is_break() {
                    return (count, Ok(End::Stopped));
                }
            }
            Step::Corrupt => return (count, corrupt(position)),
        }
    }
    (count, Ok(End::Empty))
}

/// Gives the ring's space back to programs when reading ends, also by a panic of the reader.
struct Publish<'a> {
    consumer: &'a AtomicUsize,
    before: usize,
    position: usize,
}

impl Drop for Publish<'_> {
    fn drop(&mut self) {
        if self.position != self.before {
            // Release: whatever was read of the records was read before a program may write there.
            self.consumer.store(self.position, Release);
        }
    }
}

impl RingBuf {
    /// The reader of a ring buffer map. Since Linux 5.8.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`] for a map of another type; [`Error::Sys`] where its memory cannot be mapped.
    pub fn new(map: &Map) -> Result<Self> {
        let info = map.info()?;
        if info.map_type != MapType::Ringbuf {
            return Err(Error::invalid(format!("read a {} as a ring buffer: it is none", info.map_type)));
        }
        let (page, size) = (page_size(), info.max_entries as usize);
        let Some(doubled) = size.checked_mul(2).and_then(|n| n.checked_add(page)) else {
            return Err(Error::invalid(format!(
                "a ring buffer of {size} bytes is larger than half the address space"
            )));
        };
        if !size.is_power_of_two() || !size.is_multiple_of(page) {
            return Err(Error::Unexpected {
                place: "BPF_OBJ_GET_INFO_BY_FD of a ring buffer".into(),
                what: format!("a size of {size} bytes, where a power of two of whole pages was expected"),
            });
        }
        let fd = map.as_fd().try_clone_to_owned().map_err(|e| {
            let errno = Errno::from_raw(e.raw_os_error().unwrap_or(0));
            Error::sys("fcntl(F_DUPFD_CLOEXEC)", "duplicate a ring buffer's descriptor", errno)
        })?;
        let consumer = Mmap::map(fd.as_fd(), 0, page, Access::Writable, "a ring buffer (consumer)")?;
        let producer =
            Mmap::map(fd.as_fd(), page as u64, doubled, Access::ReadOnly, "a ring buffer (producer)")?;
        Ok(RingBuf { fd, consumer, producer, page, size })
    }

    /// The ring's size in bytes.
    pub fn size(&self) -> usize {
        self.size
    }

    /// Bytes between the reader and the writers, with headers and with what is still being written.
    #[doc(alias = "BPF_RB_AVAIL_DATA")]
    pub fn available(&self) -> usize {
        match (self.producer.usize_at(0), self.consumer.usize_at(0)) {
            (Some(p), Some(c)) => p.load(Acquire).wrapping_sub(c.load(Relaxed)),
            _ => 0,
        }
    }

    /// Hands out all records that are complete, and answers with their number. Does not wait.
    ///
    /// # Errors
    ///
    /// [`Error::Unexpected`] where the ring's sizes are impossible; it says how many bytes were dropped, and the next call
    /// starts afresh.
    pub fn consume(&mut self, mut each: impl FnMut(&[u8])) -> Result<usize> {
        self.consume_while(|record| {
            each(record);
            ControlFlow::Continue(())
        })
    }

    /// [`consume`](Self::consume) until the reader says [`ControlFlow::Break`]; the record at which it does counts as read.
    ///
    /// # Errors
    ///
    /// As for [`consume`](Self::consume).
    pub fn consume_while(&mut self, mut each: impl FnMut(&[u8]) -> ControlFlow<()>) -> Result<usize> {
        // Writers wake the reader only with the record at the position that it published. So it looks again after
        // publishing; and it comes to an end even where programs write faster than it reads.
        const PASSES: usize = 4;
        let (Some(producer), Some(consumer)) = (self.producer.usize_at(0), self.consumer.usize_at(0)) else {
            return Ok(0);
        };
        let mut total = 0;
        for _ in 0..PASSES {
            let before = consumer.load(Relaxed);
            // Acquire: the headers in front of the producer's position are written before they are read.
            let until = producer.load(Acquire);
            if until == before {
                break;
            }
            let mut publish = Publish { consumer, before, position: before };
            let header = |at: usize| self.producer.u32_at(self.page + at).map(|word| word.load(Acquire));
            let bytes = |at: usize, len: usize| {
                // SAFETY: a committed record between the two positions: programs do not write to it until the consumer's
                // position is behind it, which happens when `publish` is dropped, after the last use.
                unsafe { self.producer.bytes(self.page + at, len) }
            };
            let (count, end) = walk(self.size, &mut publish.position, until, header, bytes, &mut each);
            total += count;
            let moved = publish.position != before;
            drop(publish);
            // The new position must be visible before the writers' next steps are looked at.
            std::sync::atomic::fence(SeqCst);
            match end {
                Err(Corrupt { position, dropped }) => {
                    return Err(Error::Unexpected {
                        place: format!("a ring buffer at position {position}"),
                        what: format!("no record can look like this; {dropped} bytes were dropped"),
                    });
                }
                Ok(End::Stopped) => break,
                Ok(End::Busy) if !moved => break,
                Ok(End::Busy | End::Empty) => {}
            }
        }
        Ok(total)
    }

    /// Waits until there are records (`None`: for ever) and hands them out; 0 when the time is over or a signal came.
    ///
    /// # Errors
    ///
    /// As for [`consume`](Self::consume), and [`Error::Sys`].
    pub fn poll(&mut self, timeout: Option<Duration>, each: impl FnMut(&[u8])) -> Result<usize> {
        if self.available() == 0 && !poll::wait_one(self.fd.as_fd(), timeout, "wait for a ring buffer")? {
            return Ok(0);
        }
        self.consume(each)
    }
}

impl AsFd for RingBuf {
    /// The map's descriptor; readable for poll(2) and epoll(7) while there are records.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// Several ring buffers, waited for together.
#[derive(Debug)]
pub struct RingBufs {
    epoll: Epoll,
    rings: Vec<RingBuf>,
    ready: Vec<Ready>,
}

impl RingBufs {
    /// No ring yet.
    ///
    /// # Errors
    ///
    /// [`Error::Sys`].
    pub fn new() -> Result<Self> {
        Ok(RingBufs { epoll: Epoll::new()?, rings: Vec::new(), ready: Vec::new() })
    }

    /// Adds a ring, and answers with the index that its records come with.
    ///
    /// # Errors
    ///
    /// As for [`RingBuf::new`].
    pub fn add(&mut self, map: &Map) -> Result<usize> {
        let ring = RingBuf::new(map)?;
        let index = self.rings.len();
        self.epoll.add(ring.as_fd(), index as u64)?;
        self.rings.push(ring);
        Ok(index)
    }

    /// Hands out all records of all rings, each with its ring's index. Does not wait.
    ///
    /// # Errors
    ///
    /// As for [`RingBuf::consume`].
    pub fn consume(&mut self, mut each: impl FnMut(usize, &[u8])) -> Result<usize> {
        let mut total = 0;
        for (index, ring) in self.rings.iter_mut().enumerate() {
            total += ring.consume(|record| each(index, record))?;
        }
        Ok(total)
    }

    /// Waits until a ring has records (`None`: for ever) and hands out those; 0 when the time is over or a signal came.
    ///
    /// # Errors
    ///
    /// As for [`RingBuf::poll`].
    pub fn poll(&mut self, timeout: Option<Duration>, mut each: impl FnMut(usize, &[u8])) -> Result<usize> {
        self.epoll.wait(timeout, &mut self.ready)?;
        let mut total = 0;
        for ready in &self.ready {
            let index = ready.token as usize;
            if let Some(ring) = self.rings.get_mut(index) {
                total += ring.consume(|record| each(index, record))?;
            }
        }
        Ok(total)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SIZE: usize = 256;

    /// A ring of `SIZE` bytes; reads go through the doubled view as in the mapping.
    fn run(ring: &[u8], position: &mut usize, producer: usize) -> (Vec<Vec<u8>>, Result<End, Corrupt>) {
        let doubled = [ring, ring].concat();
        let mut got = Vec::new();
        let header = |at: usize| Some(u32::from_ne_bytes(doubled.get(at..at + 4)?.try_into().ok()?));
        let bytes = |at: usize, len: usize| doubled.get(at..at.checked_add(len)?);
        let (count, end) = walk(SIZE, position, producer, header, bytes, |record| {
            got.push(record.to_vec());
            ControlFlow::Continue(())
        });
        assert_eq!(count, got.len());
        (got, end)
    }

    fn put(ring: &mut [u8], position: usize, header: u32, body: &[u8]) -> usize {
        let mut bytes = header.to_ne_bytes().to_vec();
        bytes.extend([0; 4]);
        bytes.extend(body);
        for (i, byte) in bytes.iter().enumerate() {
            ring[position.wrapping_add(i) % SIZE] = *byte;
        }
        position.wrapping_add(bytes.len().next_multiple_of(8))
    }

    proptest! {
        #[test]
        fn what_was_put_in_comes_out(
            start in any::<usize>(),
            records in prop::collection::vec((0u8..3, 0usize..60), 0..12),
        ) {
            let start = start & !7;
            let (mut ring, mut producer, mut want) = (vec![0xee; SIZE], start, Vec::new());
            let (mut stop, mut end) = (None, End::Empty);
            for (kind, len) in records {
                if producer.wrapping_sub(start) + (HEADER + len).next_multiple_of(8) > SIZE {
                    break;
                }
                let body: Vec<u8> = (0..len).map(|i| (i + want.len()) as u8).collect();
                let flags = [0, DISCARDED, BUSY][usize::from(kind)];
                if kind == 2 && stop.is_none() {
                    (stop, end) = (Some(producer), End::Busy);
                }
                producer = put(&mut ring, producer, flags | len as u32, &body);
                if kind == 0 && stop.is_none() {
                    want.push(body);
                }
            }
            let mut position = start;
            prop_assert_eq!(run(&ring, &mut position, producer), (want, Ok(end)));
            prop_assert_eq!(position, stop.unwrap_or(producer));
        }

        #[test]
        fn hostile_rings_neither_panic_nor_read_outside(
            ring in prop::collection::vec(any::<u8>(), SIZE..=SIZE),
            position in any::<usize>(),
            ahead in prop_oneof![0usize..600, any::<usize>()],
        ) {
            let producer = position.wrapping_add(ahead);
            let mut at = position;
            let (_, end) = run(&ring, &mut at, producer);
            if let Err(corrupt) = end {
                prop_assert!(corrupt.dropped <= SIZE);
            }
            prop_assert!(at == producer || end == Ok(End::Busy));
        }

        #[test]
        fn a_step_never_leads_behind_the_producer(header in any::<u32>(), left in any::<usize>()) {
            match step(header, left, SIZE) {
                Step::Busy | Step::Corrupt => {}
                Step::Skip { whole } => prop_assert!(whole <= left && whole <= SIZE && whole % 8 == 0),
                Step::Record { len, whole } => {
                    prop_assert!(len + HEADER <= whole && whole <= left && whole <= SIZE && whole % 8 == 0);
                }
            }
        }
    }
}

//! The reader of a perf event array (`BPF_MAP_TYPE_PERF_EVENT_ARRAY`): how BPF programs send records before Linux 5.8.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::time::{Duration, Instant};

use crate::map::{Map, MapType, UpdateFlags};
use crate::perf::record::Record;
use crate::perf::{OpenFlags, PerfAttr, PerfEvent, PerfRing};
use crate::poll::{Epoll, Ready};
use crate::{Errno, Error, Result, cpus};

/// One ring for each processor that is online, filled by `bpf_perf_event_output(ctx, map, BPF_F_CURRENT_CPU, ..)`.
///
/// Records of one processor come in their order, those of several do not. A record comes with the bytes that the kernel
/// fills it up with (its length and 4 is a multiple of 8). Processors that come or go are noticed by
/// [`refresh`](Self::refresh), which [`poll`](Self::poll) calls once a second.
#[derive(Debug)]
pub struct PerfBuf {
    map: Map,
    pages: usize,
    epoll: Epoll,
    rings: Vec<(u32, PerfRing)>,
    lost: u64,
    ready: Vec<Ready>,
    looked: Instant,
}

const LOOK_AGAIN: Duration = Duration::from_secs(1);

impl PerfBuf {
    /// Opens a ring of `pages` (a power of two) for each processor and puts its event into the map. Since Linux 4.4.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`] for a map of another type, or one with fewer entries than processors; else as for
    /// [`PerfEvent::open`] and [`PerfRing::new`].
    pub fn new(map: &Map, pages: usize) -> Result<Self> {
        let info = map.info()?;
        if info.map_type != MapType::PerfEventArray {
            return Err(Error::invalid(format!(
                "read a {} as a perf buffer: it is no perf event array",
                info.map_type
            )));
        }
        let online = cpus::online()?;
        if let Some(cpu) = online.iter().find(|cpu| **cpu >= info.max_entries) {
            return Err(Error::invalid(format!(
                "a perf event array of {} entries has none for processor {cpu}: create it with one for each possible \
                 processor",
                info.max_entries
            )));
        }
        let epoll = Epoll::new()?;
        let mut buffer = PerfBuf {
            map: map.try_clone()?,
            pages,
            epoll,
            rings: Vec::with_capacity(online.len()),
            lost: 0,
            ready: Vec::new(),
            looked: Instant::now(),
        };
        for cpu in online {
            buffer.open(cpu)?;
        }
        if buffer.rings.is_empty() {
            return Err(Error::Unexpected {
                place: "/sys/devices/system/cpu/online".into(),
                what: "no processor that is online would take an event".into(),
            });
        }
        Ok(buffer)
    }

    /// Opens a processor's ring; one that went offline meanwhile is left out.
    fn open(&mut self, cpu: u32) -> Result<()> {
        let attr = PerfAttr::bpf_output();
        let number =
            i32::try_from(cpu).map_err(|_| Error::invalid(format!("processor {cpu}: no such number")))?;
        let event = match PerfEvent::open(&attr, -1, number, None, OpenFlags::empty()) {
            Ok(event) => event,
            Err(e) if e.is_errno(Errno::ENODEV) => return Ok(()),
            Err(e) => return Err(e),
        };
        let fd = event.as_fd().as_raw_fd();
        let ring = PerfRing::new(event, self.pages, attr.record_format())?;
        self.epoll.add(ring.event().as_fd(), u64::from(cpu))?;
        self.map.update(&cpu.to_ne_bytes(), &fd.to_ne_bytes(), UpdateFlags::empty())?;
        self.rings.push((cpu, ring));
        Ok(())
    }

    /// The processors that have a ring.
    pub fn cpus(&self) -> impl Iterator<Item = u32> {
        self.rings.iter().map(|(cpu, _)| *cpu)
    }

    /// Records that were lost because a ring was full, as far as the rings were read.
    pub fn lost(&self) -> u64 {
        self.lost
    }

    /// Opens rings for processors that came online, and closes those of processors that went offline after handing out
    /// what they still hold. A program that writes on a processor without a ring gets ENOENT.
    ///
    /// # Errors
    ///
    /// As for [`new`](Self::new) and [`consume`](Self::consume).
    pub fn refresh(&mut self, mut each: impl FnMut(&[u8])) -> Result<usize> {
        self.looked = Instant::now();
        let online = cpus::online()?;
        let mut total = 0;
        let gone: Vec<u32> = self.cpus().filter(|cpu| !online.contains(cpu)).collect();
        for cpu in gone {
            total += self.close(cpu, &mut each)?;
        }
        for cpu in online {
            if self.rings.iter().all(|(known, _)| *known != cpu) && cpu < self.map.max_entries() {
                self.open(cpu)?;
            }
        }
        Ok(total)
    }

    /// Reads a processor's ring to its end and closes it.
    fn close(&mut self, cpu: u32, each: &mut impl FnMut(&[u8])) -> Result<usize> {
        let Some(index) = self.rings.iter().position(|(known, _)| *known == cpu) else { return Ok(0) };
        let (_, mut ring) = self.rings.swap_remove(index);
        // The map may have let go of the event already, when it was closed elsewhere.
        self.map.delete(&cpu.to_ne_bytes())?;
        drain(&mut ring, &mut self.lost, each)
    }

    /// Hands out all records that are there, and answers with their number. Does not wait.
    ///
    /// # Errors
    ///
    /// As for [`PerfRing::read`].
    pub fn consume(&mut self, mut each: impl FnMut(&[u8])) -> Result<usize> {
        let mut total = 0;
        for (_, ring) in &mut self.rings {
            total += drain(ring, &mut self.lost, &mut each)?;
        }
        Ok(total)
    }

    /// Waits until there are records (`None`: for ever) and hands them out; 0 when the time is over or a signal came.
    ///
    /// # Errors
    ///
    /// As for [`consume`](Self::consume) and [`refresh`](Self::refresh).
    pub fn poll(&mut self, timeout: Option<Duration>, mut each: impl FnMut(&[u8])) -> Result<usize> {
        let end = timeout.and_then(|t| Instant::now().checked_add(t));
        loop {
            let mut total = 0;
            if self.looked.elapsed() >= LOOK_AGAIN {
                total += self.refresh(&mut each)?;
            }
            let left = end.map(|end| end.saturating_duration_since(Instant::now()));
            // Not longer than until the next look at the processors.
            let slice = left.map_or(LOOK_AGAIN, |left| left.min(LOOK_AGAIN));
            let slice = if total > 0 { Duration::ZERO } else { slice };
            let started = Instant::now();
            let mut ready = std::mem::take(&mut self.ready);
            let waited = self.epoll.wait(Some(slice), &mut ready);
            let mut step = || -> Result<()> {
                for Ready { token, readable: _, hangup } in &ready {
                    let cpu = *token as u32;
                    if *hangup {
                        total += self.close(cpu, &mut each)?;
                        // A processor that is back gets its ring again at once.
                        if cpus::online()?.contains(&cpu) {
                            self.open(cpu)?;
                        }
                    } else if let Some((_, ring)) = self.rings.iter_mut().find(|(known, _)| *known == cpu) {
                        total += drain(ring, &mut self.lost, &mut each)?;
                    }
                }
                Ok(())
            };
            let done = waited.and_then(|()| step());
            let nothing = ready.is_empty();
            self.ready = ready;
            done?;
            let over = end.is_some_and(|end| Instant::now() >= end);
            // A wait that ended too early with nothing was ended by a signal.
            if total > 0 || over || (nothing && started.elapsed() < slice) {
                return Ok(total);
            }
        }
    }
}

impl AsFd for PerfBuf {
    /// Readable for poll(2) and epoll(7) while there are records.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.epoll.as_fd()
    }
}

fn drain(ring: &mut PerfRing, lost: &mut u64, each: &mut impl FnMut(&[u8])) -> Result<usize> {
    let mut count = 0;
    ring.read(|entry| match entry.record {
        Record::Sample(sample) => {
            if let Some(raw) = sample.raw {
                count += 1;
                each(raw);
            }
        }
        Record::Lost { lost: n, .. } | Record::LostSamples { lost: n } => *lost = lost.saturating_add(n),
        _ => {}
    })?;
    Ok(count)
}

//! Ring buffers, filled by programs and (the user's) by the host.

use std::collections::VecDeque;

/// Bytes before each record.
const HEADER: u64 = 8;

/// A record of a ring buffer, in its room.
#[derive(Clone, Debug)]
struct Pending {
    region: u32,
    room: u64,
    /// `None` while the program still writes; then whether it is for the reader.
    done: Option<Option<Vec<u8>>>,
}

/// The kernel's ring: records come out in the order of their reservation.
#[derive(Clone, Debug, Default)]
pub(in crate::interp) struct Ring {
    size: u64,
    producer: u64,
    consumer: u64,
    pending: VecDeque<Pending>,
    /// Records that were submitted and not read yet, with their room; `None` was discarded.
    ready: VecDeque<(Option<Vec<u8>>, u64)>,
}

impl Ring {
    pub fn new(size: u32) -> Ring {
        Ring { size: size.into(), ..Ring::default() }
    }

    /// Whether a record of this size finds room; what it takes of it.
    fn room(&self, size: u64) -> Option<u64> {
        if size > (u64::from(u32::MAX) / 4) {
            return None;
        }
        let room = (size + HEADER).next_multiple_of(8);
        let fits = room <= self.size && self.producer + room - self.consumer < self.size;
        fits.then_some(room)
    }

    /// Takes room for a record; `false` where there is none.
    pub fn can_reserve(&self, size: u64) -> bool {
        self.room(size).is_some()
    }

    pub fn reserve(&mut self, size: u64, region: u32) -> bool {
        let Some(room) = self.room(size) else { return false };
        self.producer += room;
        self.pending.push_back(Pending { region, room, done: None });
        true
    }

    /// Ends a reservation; `None` for a discarded one.
    pub fn finish(&mut self, region: u32, record: Option<Vec<u8>>) -> bool {
        let Some(found) = self.pending.iter_mut().find(|p| p.region == region && p.done.is_none()) else {
            return false;
        };
        found.done = Some(record);
        while let Some(first) = self.pending.front_mut() {
            let Some(record) = first.done.take() else { break };
            self.ready.push_back((record, first.room));
            self.pending.pop_front();
        }
        true
    }

    /// A record that is complete at once.
    pub fn output(&mut self, record: Vec<u8>) -> bool {
        self.reserve(record.len() as u64, 0) && self.finish(0, Some(record))
    }

    /// What the reader finds.
    pub fn drain(&mut self) -> Vec<Vec<u8>> {
        let mut out = Vec::new();
        while let Some((record, room)) = self.ready.pop_front() {
            self.consumer += room;
            out.extend(record);
        }
        out
    }

    /// What `bpf_ringbuf_query` says.
    pub fn query(&self, what: u64) -> u64 {
        match what {
            0 => self.producer - self.consumer,
            1 => self.size,
            2 => self.consumer,
            3 => self.producer,
            _ => 0,
        }
    }

    /// Regions of records that were neither submitted nor discarded.
    pub fn open(&self) -> impl Iterator<Item = u32> {
        self.pending.iter().filter(|p| p.done.is_none()).map(|p| p.region)
    }
}

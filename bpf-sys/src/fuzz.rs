//! Bodies of the fuzz targets of the ring readers: each takes bytes that may be anything and holds the arithmetic to
//! what it promises. `fuzz/` runs them under libFuzzer (`--cfg fuzzing`), the tests below under proptest.

use std::ops::ControlFlow;

use crate::perf::counts::Counts;
use crate::perf::record::{RawRecord, Record, RecordFormat, Words};
use crate::perf::sample::Registers;
use crate::perf::{BranchSampleType, ReadFormat, SampleType, walk};
use crate::ringbuf;

/// Numbers from the front of the data; zero when it is used up.
struct Take<'a>(&'a [u8]);

impl<'a> Take<'a> {
    fn u64(&mut self) -> u64 {
        let (front, rest) = self.0.split_at(self.0.len().min(8));
        self.0 = rest;
        front.iter().rev().fold(0, |word, byte| word << 8 | u64::from(*byte))
    }

    fn u8(&mut self) -> u8 {
        let Some((&first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        first
    }

    /// A layout of records.
    fn format(&mut self) -> RecordFormat {
        RecordFormat {
            sample_type: SampleType::from_bits_retain(self.u64() & ((1 << 25) - 1)),
            sample_id_all: self.u8() & 1 != 0,
            read_format: ReadFormat::from_bits_retain(u64::from(self.u8() & 31)),
            branch: BranchSampleType::from_bits_retain(self.u64()),
            regs_user: self.u64(),
            regs_intr: self.u64(),
        }
    }

    /// The rest as a ring whose size is a power of two, at least 64 bytes.
    fn ring(&mut self) -> Vec<u8> {
        let mut ring = std::mem::take(&mut self.0).to_vec();
        ring.truncate(1 << 16);
        ring.resize(ring.len().max(64).next_power_of_two(), 0);
        ring
    }

    /// Positions of reader and writer: often possible, sometimes anything.
    fn positions(&mut self) -> (u64, u64) {
        let how = self.u8();
        let (tail, ahead) = (self.u64(), self.u64());
        let tail = if how & 1 != 0 { tail } else { tail & !7 };
        (tail, tail.wrapping_add(if how & 2 != 0 { ahead } else { ahead & 0xff8 }))
    }
}

/// Reads a record in a format; whatever is counted in it lies in its body.
fn record(format: &RecordFormat, raw: RawRecord<'_>) {
    match format.parse(raw) {
        Ok(entry) => {
            let words = raw.body.len() / 8;
            match entry.record {
                Record::Sample(sample) => {
                    assert!(sample.callchain.map_or(0, |c| c.iter().count()) <= words);
                    assert!(sample.branches.map_or(0, |b| b.iter().count()) <= words);
                    assert!(sample.read.map_or(0, |r| r.counters().count()) <= words);
                    let registers = |r: Option<Registers<'_>>| {
                        r.map_or(0, |r| (0..70).filter(|i| r.get(*i).is_some()).count())
                    };
                    assert!(registers(sample.regs_user) + registers(sample.regs_intr) <= words);
                }
                Record::Read { counts, .. } => {
                    let _ = (counts.scaled(), counts.value());
                    assert!(counts.counters().count() <= words);
                }
                Record::DeferredCallchain { chain, .. } => assert!(chain.iter().count() <= words),
                Record::Namespaces { ids, .. } => assert!(ids.iter().count() <= words),
                other => drop(format!("{other:?}")),
            }
        }
        Err(malformed) => drop(malformed.to_string()),
    }
}

/// A record layout, and one record of it.
pub fn perf_record(data: &[u8]) {
    let mut take = Take(data);
    let format = take.format();
    let (kind, misc) = (u32::from(take.u8()), take.u64() as u16);
    record(&format, RawRecord { kind, misc, body: take.0 });
    if let Some((counts, used)) = Counts::parse(format.read_format, take.0) {
        assert!(used <= take.0.len());
        let _ = counts.scaled();
    }
    assert_eq!(Words::new(take.0).iter().count(), Words::new(take.0).len());
}

/// A record layout, two positions and a perf ring: the reader ends at the writer's position, and never hands out more
/// bytes than lie between the two.
pub fn perf_ring(data: &[u8]) {
    let mut take = Take(data);
    let (format, (mut tail, head)) = (take.format(), take.positions());
    let ring = take.ring();
    let size = ring.len() as u64;
    let announced = head.wrapping_sub(tail);
    let (mut handed, mut records) = (0, 0);
    let bytes = |offset: usize, len: usize| ring.get(offset..offset.checked_add(len)?);
    let end = walk::walk(size, &mut tail, head, bytes, &mut Vec::new(), |raw| {
        handed += raw.body.len() as u64 + 8;
        records += 1;
        record(&format, raw);
        ControlFlow::Continue(())
    });
    assert_eq!(tail, head);
    assert!(handed <= announced.min(size));
    match end {
        Ok(count) => assert_eq!((count, handed), (records, announced)),
        Err(corrupt) => assert!(corrupt.dropped <= size),
    }
}

/// Two positions and a BPF ring buffer: the reader ends at the writer's position or at a record that is being written.
pub fn bpf_ring(data: &[u8]) {
    let mut take = Take(data);
    let (tail, head) = take.positions();
    let ring = take.ring();
    let doubled = [&ring[..], &ring[..]].concat();
    let (mut position, producer) = (tail as usize, head as usize);
    let announced = producer.wrapping_sub(position);
    let (mut handed, mut records) = (0, 0);
    let header = |at: usize| Some(u32::from_ne_bytes(doubled.get(at..at + 4)?.try_into().ok()?));
    let bytes = |at: usize, len: usize| doubled.get(at..at.checked_add(len)?);
    let (count, end) = ringbuf::walk(ring.len(), &mut position, producer, header, bytes, |record| {
        handed += record.len() + 8;
        records += 1;
        ControlFlow::Continue(())
    });
    assert_eq!(count, records);
    assert!(handed <= announced.min(ring.len()));
    match end {
        Ok(ringbuf::End::Busy) => assert!(producer.wrapping_sub(position) <= announced),
        Ok(ringbuf::End::Empty) => assert_eq!(position, producer),
        Ok(ringbuf::End::Stopped) => panic!("nobody said stop"),
        Err(corrupt) => assert!(corrupt.dropped <= ring.len() && position == producer),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig { cases: 4096, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn no_bytes_break_a_promise(
            front in prop::collection::vec(any::<u8>(), 0..60),
            words in prop::collection::vec(prop_oneof![3 => 0u64..40, 1 => any::<u64>()], 0..60),
        ) {
            // Behind numbers that may be anything come small ones, so that sizes and counts are often possible.
            let bytes: Vec<u8> = front.into_iter().chain(words.iter().flat_map(|w| w.to_ne_bytes())).collect();
            for body in [perf_record, perf_ring, bpf_ring] {
                body(&bytes);
            }
        }
    }
}

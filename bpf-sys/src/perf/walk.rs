//! The arithmetic of a perf ring: from two positions to the records between them. No memory is touched here that the
//! caller did not hand out.

use std::ops::ControlFlow;

use super::record::RawRecord;

/// Why the bytes between two positions cannot be records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Corrupt {
    pub position: u64,
    pub what: &'static str,
    /// Bytes that were given up because of it.
    pub dropped: u64,
}

const HEADER: u64 = 8;

/// Hands out the records from `*tail` to `head` of a ring of `size` bytes (a power of two). `bytes(offset, length)`
/// lends contiguous bytes of the ring. A record that wraps is put together in `scratch`.
///
/// `*tail` is moved behind each record before that is handed out, and to `head` where the ring is corrupt, so that the
/// reader starts afresh.
pub(crate) fn walk<'a>(
    size: u64,
    tail: &mut u64,
    head: u64,
    bytes: impl Fn(usize, usize) -> Option<&'a [u8]>,
    scratch: &mut Vec<u8>,
    mut each: impl FnMut(RawRecord<'_>) -> ControlFlow<()>,
) -> Result<usize, Corrupt> {
    let mut count = 0;
    let corrupt = |tail: &mut u64, what| {
        let position = *tail;
        let dropped = head.wrapping_sub(position).min(size);
        *tail = head;
        Err(Corrupt { position, what, dropped })
    };
    if !size.is_power_of_two() || size < HEADER || usize::try_from(size).is_err() {
        return corrupt(tail, "the ring's size is no power of two");
    }
    if head.wrapping_sub(*tail) > size {
        return corrupt(tail, "more bytes are announced than the ring holds");
    }
    while *tail != head {
        let left = head.wrapping_sub(*tail);
        if !tail.is_multiple_of(HEADER) || left < HEADER {
            return corrupt(tail, "a record does not start at a multiple of 8 bytes");
        }
        let offset = *tail & (size - 1);
        let Some(header) = bytes(offset as usize, HEADER as usize).and_then(RawRecord::header) else {
            return corrupt(tail, "a record's header cannot be read");
        };
        let length = u64::from(header.2);
        if length < HEADER || length > left || !length.is_multiple_of(HEADER) {
            return corrupt(tail, "a record's size is not possible");
        }
        // Both lengths are at most 64 KiB, and the offset is inside of a ring that fits memory.
        let (start, body) = ((offset + HEADER) as usize, (length - HEADER) as usize);
        let first = (size as usize - start).min(body);
        let parts = (bytes(start, first), bytes(0, body - first));
        let (Some(front), Some(back)) = parts else {
            return corrupt(tail, "a record lies outside of the ring");
        };
        *tail = tail.wrapping_add(length);
        count += 1;
        let body = if back.is_empty() {
            front
        } else {
            scratch.clear();
            scratch.extend_from_slice(front);
            scratch.extend_from_slice(back);
            &scratch[..]
        };
        if each(RawRecord { kind: header.0, misc: header.1, body }).is_break() {
            break;
        }
    }
    Ok(count)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn put(ring: &mut [u8], position: u64, bytes: &[u8]) {
        for (i, byte) in bytes.iter().enumerate() {
            let size = ring.len() as u64;
            ring[(position.wrapping_add(i as u64) % size) as usize] = *byte;
        }
    }

    fn record(kind: u32, misc: u16, body: &[u8]) -> Vec<u8> {
        let mut bytes = kind.to_ne_bytes().to_vec();
        bytes.extend(misc.to_ne_bytes());
        bytes.extend((8 + body.len() as u16).to_ne_bytes());
        bytes.extend(body);
        bytes
    }

    fn run(ring: &[u8], tail: &mut u64, head: u64) -> Result<Vec<(u32, u16, Vec<u8>)>, Corrupt> {
        let mut got = Vec::new();
        let bytes = |offset: usize, len: usize| ring.get(offset..offset.checked_add(len)?);
        let count = walk(ring.len() as u64, tail, head, bytes, &mut Vec::new(), |r| {
            got.push((r.kind, r.misc, r.body.to_vec()));
            ControlFlow::Continue(())
        })?;
        assert_eq!(count, got.len());
        Ok(got)
    }

    proptest! {
        #[test]
        fn what_was_put_in_comes_out(
            start in any::<u64>(),
            bodies in prop::collection::vec((any::<u32>(), any::<u16>(), 0usize..6), 0..12),
        ) {
            // Positions may wrap around 2^64, and records around the ring's end.
            let start = start & !7;
            let mut ring = vec![0xaa; 512];
            let (mut head, mut want) = (start, Vec::new());
            for (kind, misc, words) in bodies {
                let body: Vec<u8> = (0..words * 8).map(|i| (kind as usize + i) as u8).collect();
                let bytes = record(kind, misc, &body);
                if head.wrapping_sub(start) + bytes.len() as u64 > 512 {
                    break;
                }
                put(&mut ring, head, &bytes);
                head = head.wrapping_add(bytes.len() as u64);
                want.push((kind, misc, body));
            }
            let mut tail = start;
            prop_assert_eq!(run(&ring, &mut tail, head).unwrap(), want);
            prop_assert_eq!(tail, head);
        }

        #[test]
        fn hostile_rings_are_errors(
            ring in prop::collection::vec(any::<u8>(), 256..=256),
            tail in any::<u64>(),
            ahead in prop_oneof![0u64..600, any::<u64>()],
        ) {
            let head = tail.wrapping_add(ahead);
            let mut at = tail;
            if let Err(corrupt) = run(&ring, &mut at, head) {
                prop_assert!(corrupt.dropped <= 256);
            }
            prop_assert_eq!(at, head);
        }

        #[test]
        fn impossible_sizes_are_errors(size in prop_oneof![0u64..64, any::<u64>()], ahead in 0u64..600) {
            let none = |_: usize, _: usize| None;
            let mut tail = 0;
            let got = walk(size, &mut tail, ahead, none, &mut Vec::new(), |_| ControlFlow::Continue(()));
            prop_assert!(got.is_err() || ahead == 0);
        }
    }

    #[test]
    fn a_reader_may_stop_and_go_on() {
        let mut ring = vec![0; 64];
        put(&mut ring, 56, &record(1, 0, &[7; 8]));
        put(&mut ring, 72, &record(2, 0, &[]));
        let bytes = |offset: usize, len: usize| ring.get(offset..offset + len);
        let mut tail = 56;
        let got = walk(64, &mut tail, 80, bytes, &mut Vec::new(), |r| {
            assert_eq!((r.kind, r.body), (1, &[7u8; 8][..]));
            ControlFlow::Break(())
        });
        assert_eq!((got, tail), (Ok(1), 72));
        assert_eq!(run(&ring, &mut tail, 80).unwrap(), [(2, 0, vec![])]);
    }
}

//! Counter values, as read(2) on an event and `READ` samples hold them.

use super::record::Words;
use super::types::ReadFormat;

/// One counter's value and what was asked for besides.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counter {
    /// The count.
    pub value: u64,
    /// The event's id, with [`ReadFormat::ID`].
    pub id: Option<u64>,
    /// Samples lost, with [`ReadFormat::LOST`].
    pub lost: Option<u64>,
}

/// The answer to reading a counter or a group of them; borrowed from the buffer it was read into.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counts<'a> {
    format: ReadFormat,
    /// Nanoseconds enabled, with [`ReadFormat::TOTAL_TIME_ENABLED`].
    pub time_enabled: Option<u64>,
    /// Nanoseconds on the hardware, with [`ReadFormat::TOTAL_TIME_RUNNING`].
    pub time_running: Option<u64>,
    values: Words<'a>,
}

impl<'a> Counts<'a> {
    /// Reads `struct read_format` from the start of `bytes`, and says how many bytes it took; `None` where they end too
    /// early. Never panics, whatever the bytes are.
    pub fn parse(format: ReadFormat, bytes: &'a [u8]) -> Option<(Self, usize)> {
        let all = Words::new(bytes);
        let group = format.contains(ReadFormat::GROUP);
        let each =
            1 + usize::from(format.contains(ReadFormat::ID)) + usize::from(format.contains(ReadFormat::LOST));
        let (count, mut at) = if group { (usize::try_from(all.get(0)?).ok()?, 1) } else { (1, 0) };
        // A single counter has its value in front of the times, a group has its values behind them.
        let single = if group { 0 } else { 1 };
        let mut time = |flag| {
            if !format.contains(flag) {
                return Some(None);
            }
            at += 1;
            all.get(at - 1 + single).map(Some)
        };
        let time_enabled = time(ReadFormat::TOTAL_TIME_ENABLED)?;
        let time_running = time(ReadFormat::TOTAL_TIME_RUNNING)?;
        let words = count.checked_mul(each)?;
        let total = at.checked_add(words)?;
        if total > all.len() {
            return None;
        }
        let start = if group { at } else { 0 };
        let values = Words::new(&bytes[start * 8..total * 8]);
        Some((Counts { format, time_enabled, time_running, values }, total * 8))
    }

    /// The counters: one, or all of a group, the leader first.
    pub fn counters(&self) -> impl Iterator<Item = Counter> + use<'a> {
        let Counts { format, values, .. } = *self;
        let (has_id, has_lost) = (format.contains(ReadFormat::ID), format.contains(ReadFormat::LOST));
        let times = if format.contains(ReadFormat::GROUP) {
            0
        } else {
            usize::from(self.time_enabled.is_some()) + usize::from(self.time_running.is_some())
        };
        let each = 1 + usize::from(has_id) + usize::from(has_lost);
        (0..(values.len() - times) / each).filter_map(move |i| {
            let start = i * each;
            let value = values.get(start)?;
            // Behind the value of a single counter come the times, then id and lost.
            let mut at = start + 1 + times;
            let mut next = |wanted: bool| {
                let word = if wanted { values.get(at) } else { None };
                at += usize::from(wanted);
                word
            };
            Some(Counter { value, id: next(has_id), lost: next(has_lost) })
        })
    }

    /// The first counter's value.
    pub fn value(&self) -> u64 {
        self.values.get(0).unwrap_or(0)
    }

    /// The first counter's value, scaled up to the whole time for which it was enabled: an estimate where several events
    /// shared the hardware. The plain value where the times were not asked for; `None` where it never ran.
    pub fn scaled(&self) -> Option<u64> {
        match (self.time_enabled, self.time_running) {
            (Some(enabled), Some(0)) if enabled > 0 => None,
            (Some(enabled), Some(running)) if running > 0 => {
                u64::try_from(u128::from(self.value()) * u128::from(enabled) / u128::from(running)).ok()
            }
            _ => Some(self.value()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn bytes(words: &[u64]) -> Vec<u8> {
        words.iter().flat_map(|w| w.to_ne_bytes()).collect()
    }

    #[test]
    fn a_single_counter_has_its_times_in_the_middle() {
        let format = ReadFormat::all() - ReadFormat::GROUP;
        let data = bytes(&[10, 100, 50, 7, 3, 99]);
        let (counts, used) = Counts::parse(format, &data).unwrap();
        assert_eq!(used, 40);
        assert_eq!(
            (counts.time_enabled, counts.time_running, counts.scaled()),
            (Some(100), Some(50), Some(20))
        );
        let all: Vec<_> = counts.counters().collect();
        assert_eq!(all, [Counter { value: 10, id: Some(7), lost: Some(3) }]);
    }

    #[test]
    fn a_group_has_them_in_front() {
        let data = bytes(&[2, 100, 50, 10, 7, 3, 11, 8, 4]);
        let (counts, used) = Counts::parse(ReadFormat::all(), &data).unwrap();
        assert_eq!((used, counts.value()), (72, 10));
        let all: Vec<_> = counts.counters().collect();
        let second = Counter { value: 11, id: Some(8), lost: Some(4) };
        assert_eq!(all, [Counter { value: 10, id: Some(7), lost: Some(3) }, second]);
        let plain = bytes(&[5]);
        assert_eq!(Counts::parse(ReadFormat::empty(), &plain).unwrap().0.scaled(), Some(5));
        assert_eq!(Counts::parse(ReadFormat::all(), &bytes(&[u64::MAX, 1, 1, 1])), None);
        let idle = bytes(&[5, 10, 0]);
        let times = ReadFormat::TOTAL_TIME_ENABLED | ReadFormat::TOTAL_TIME_RUNNING;
        assert_eq!(Counts::parse(times, &idle).unwrap().0.scaled(), None);
    }

    proptest! {
        #[test]
        fn any_bytes_are_an_answer_or_none(format in 0u64..32, data in prop::collection::vec(any::<u8>(), 0..200)) {
            let format = ReadFormat::from_bits_retain(format);
            if let Some((counts, used)) = Counts::parse(format, &data) {
                prop_assert!(used <= data.len());
                prop_assert!(counts.counters().count() <= data.len() / 8);
                counts.scaled();
            }
        }
    }
}

//! Processors: those that the machine could have and those that run. See `Documentation/admin-guide/cputopology.rst`.

use std::path::Path;
use std::sync::OnceLock;

use crate::error::{Error, Result};

/// A set of processors, as ranges of numbers in rising order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CpuSet {
    ranges: Vec<(u32, u32)>,
}

impl CpuSet {
    /// Parses the kernel's list format: `0-3,8,10-11`. `None` where it is not that.
    pub fn parse(text: &str) -> Option<Self> {
        let mut ranges: Vec<(u32, u32)> = Vec::new();
        for part in text.trim().split(',').filter(|part| !part.is_empty()) {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            let (first, last) = (first.parse().ok()?, last.parse().ok()?);
            if first > last || last == u32::MAX || ranges.last().is_some_and(|(_, before)| *before >= first) {
                return None;
            }
            ranges.push((first, last));
        }
        (!ranges.is_empty()).then_some(CpuSet { ranges })
    }

    /// The numbers, rising.
    pub fn iter(&self) -> impl Iterator<Item = u32> {
        self.ranges.iter().flat_map(|(first, last)| *first..=*last)
    }

    /// How many processors.
    pub fn count(&self) -> u32 {
        self.ranges.iter().map(|(first, last)| last - first + 1).sum()
    }

    /// One more than the largest number: how many slots something indexed by processor needs.
    pub fn limit(&self) -> u32 {
        self.ranges.last().map_or(0, |(_, last)| last + 1)
    }

    /// Whether the processor is in the set.
    pub fn contains(&self, cpu: u32) -> bool {
        self.ranges.iter().any(|(first, last)| (*first..=*last).contains(&cpu))
    }
}

fn read(path: &'static str) -> Result<CpuSet> {
    let text = std::fs::read_to_string(path).map_err(|source| Error::File {
        action: "read",
        path: Path::new(path).to_owned(),
        source,
    })?;
    CpuSet::parse(&text).ok_or_else(|| Error::Unexpected {
        place: path.to_owned(),
        what: format!("`{}` is not a list of processors such as `0-3`; is /sys mounted?", text.trim()),
    })
}

/// The processors that this machine could ever have while it runs; a per-CPU map has a slot for each number below
/// [`CpuSet::limit`]. Read once.
///
/// # Errors
///
/// [`Error::File`] where `/sys` is not mounted.
pub fn possible() -> Result<&'static CpuSet> {
    static POSSIBLE: OnceLock<CpuSet> = OnceLock::new();
    if let Some(set) = POSSIBLE.get() {
        return Ok(set);
    }
    let set = read("/sys/devices/system/cpu/possible")?;
    Ok(POSSIBLE.get_or_init(|| set))
}

/// The processors that run now; read anew each time, as they may come and go.
pub fn online() -> Result<Vec<u32>> {
    Ok(read("/sys/devices/system/cpu/online")?.iter().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_parsed() {
        let set = CpuSet::parse("0-3,8,10-11\n").unwrap();
        assert_eq!(set.iter().collect::<Vec<_>>(), [0, 1, 2, 3, 8, 10, 11]);
        assert_eq!((set.count(), set.limit()), (7, 12));
        assert!(set.contains(8) && !set.contains(9) && !set.contains(12));
        assert_eq!(CpuSet::parse("0").unwrap().count(), 1);
    }

    #[test]
    fn what_is_no_list_is_refused() {
        for text in ["", "\n", "a", "3-1", "0-", "-1", "1,1", "5,2", "0-4294967295", "99999999999"] {
            assert_eq!(CpuSet::parse(text), None, "{text:?}");
        }
    }
}

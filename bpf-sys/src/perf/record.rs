//! The records of a perf ring: what their bytes mean.
//!
//! Everything here works on bytes alone and never panics, whatever they hold. Numbers are in the machine's own byte order.

use super::types::{BranchSampleType, ReadFormat, SampleType};

/// How the records of an event are laid out: the parts of its description that decide it
/// ([`PerfAttr::record_format`](super::PerfAttr::record_format)).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RecordFormat {
    /// The fields of a sample.
    pub sample_type: SampleType,
    /// Whether records that are no samples end with a [`SampleId`].
    pub sample_id_all: bool,
    /// The layout of counter values.
    pub read_format: ReadFormat,
    /// What accompanies branch stacks.
    pub branch: BranchSampleType,
    /// The user registers, one bit for each.
    pub regs_user: u64,
    /// The interrupted context's registers, one bit for each.
    pub regs_intr: u64,
}

/// A run of 64-bit numbers in borrowed bytes, which need not be aligned.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Words<'a>(&'a [u8]);

impl<'a> Words<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Words(&bytes[..bytes.len() / 8 * 8])
    }

    /// How many numbers there are.
    pub fn len(&self) -> usize {
        self.0.len() / 8
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The number at an index.
    pub fn get(&self, index: usize) -> Option<u64> {
        let start = index.checked_mul(8)?;
        let bytes = self.0.get(start..start.checked_add(8)?)?;
        Some(u64::from_ne_bytes(bytes.try_into().ok()?))
    }

    /// The numbers in their order.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = u64> + ExactSizeIterator + use<'a> {
        self.0.chunks_exact(8).map(|c| {
            let mut word = [0; 8];
            word.copy_from_slice(c);
            u64::from_ne_bytes(word)
        })
    }
}

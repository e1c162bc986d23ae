//! Large text files of the kernel, line by line, with this crate's errors.

use std::ops::ControlFlow;
use std::path::Path;

use crate::error::{Error, Result};

pub(crate) use loader::kernel::lines::for_each;

/// [`for_each`] over the file at `path`.
pub(crate) fn for_each_in(path: &Path, each: impl FnMut(&[u8]) -> ControlFlow<()>) -> Result<()> {
    loader::kernel::lines::for_each_in(path, each).map_err(|source| Error::io("read", path, source))
}

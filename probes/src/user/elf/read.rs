//! Where the bytes of an ELF image come from.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

/// Random access to the bytes of an ELF image.
///
/// Positioned reads rather than a mapping: a file that is truncated while it is read gives an error
/// instead of a SIGBUS, and the pages of a large binary do not count as our memory.
pub trait ReadAt: Send + Sync {
    /// The image's length in bytes.
    fn size(&self) -> u64;
    /// Fills `buf` from `offset`; an error where the image ends before.
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()>;
}

/// An open file whose length was taken when it was opened.
pub(crate) struct FileSource {
    file: File,
    size: u64,
}

impl FileSource {
    pub(crate) fn new(file: File) -> io::Result<Self> {
        let size = file.metadata()?.len();
        Ok(FileSource { file, size })
    }
}

impl ReadAt for FileSource {
    fn size(&self) -> u64 {
        self.size
    }
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        self.file.read_exact_at(buf, offset)
    }
}

impl ReadAt for Vec<u8> {
    fn size(&self) -> u64 {
        self.len() as u64
    }
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        let start = usize::try_from(offset).map_err(|_| io::ErrorKind::UnexpectedEof)?;
        let end = start.checked_add(buf.len()).ok_or(io::ErrorKind::UnexpectedEof)?;
        buf.copy_from_slice(self.get(start..end).ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }
}

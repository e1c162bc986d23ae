//! Files that hold BTF, without a copy where the kernel lends its own.

use std::fs::File;
use std::io::Read;
use std::mem::MaybeUninit;
use std::ops::Deref;
use std::os::fd::{AsFd, AsRawFd};
use std::path::Path;

use crate::mmap::Mmap;
use crate::{Error, Result};

/// Where the kernel shows its types and those of modules. Since Linux 5.4.
const KERNEL_BTF: &str = "/sys/kernel/btf";

/// `f_type` of sysfs in statfs(2), from `linux/magic.h`.
const SYSFS_MAGIC: u64 = 0x6265_6572;

/// The bytes of a BTF file, such as `/sys/kernel/btf/vmlinux`.
///
/// Since Linux 6.16 the kernel maps its own types (5.5 MB and more) into the process, where they take none of its memory.
/// Everything else is read: on older kernels, modules' types, and files on disk, which others may change at any time.
#[derive(Debug)]
pub struct BtfFile {
    bytes: Bytes,
}

#[derive(Debug)]
enum Bytes {
    /// The whole mapping is the file.
    Mapped(Mmap, usize),
    Read(Vec<u8>),
}

impl BtfFile {
    /// Opens a file and maps or reads it. What is in it is not looked at.
    ///
    /// # Errors
    ///
    /// [`Error::File`] with the path, where it cannot be opened or read.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let failed = |action| move |source| Error::File { action, path: path.to_owned(), source };
        // Other files of sysfs can be mapped too, the memory of devices for one.
        let real = path.canonicalize().map_err(failed("open"))?;
        let mut file = File::open(&real).map_err(failed("open"))?;
        let kernels = real.parent() == Some(Path::new(KERNEL_BTF)) && is_sysfs(&file);
        let size = file.metadata().map_err(failed("ask for the size of"))?.len();
        let size = usize::try_from(size).ok().filter(|size| *size > 0);
        if let Some(size) = size.filter(|_| kernels)
            && let Ok(memory) = Mmap::map_private(file.as_fd(), size, "a BTF file")
        {
            return Ok(BtfFile { bytes: Bytes::Mapped(memory, size) });
        }
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).map_err(failed("read"))?;
        Ok(BtfFile { bytes: Bytes::Read(bytes) })
    }

    /// Whether the bytes are the kernel's own memory rather than a copy. Since Linux 6.16, of `/sys/kernel/btf/vmlinux`.
    pub fn is_mapped(&self) -> bool {
        matches!(self.bytes, Bytes::Mapped(..))
    }
}

impl Deref for BtfFile {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match &self.bytes {
            // SAFETY: only files of sysfs in /sys/kernel/btf are mapped. What can be mapped there lies in the kernel's
            // read-only data: nobody writes to it, and it never goes away.
            Bytes::Mapped(memory, len) => unsafe { memory.bytes(0, *len) }.unwrap_or_default(),
            Bytes::Read(bytes) => bytes,
        }
    }
}

impl AsRef<[u8]> for BtfFile {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

fn is_sysfs(file: &File) -> bool {
    let mut info = MaybeUninit::<libc::statfs>::zeroed();
    // SAFETY: the descriptor is open and `info` is as large as the kernel writes.
    if unsafe { libc::fstatfs(file.as_raw_fd(), info.as_mut_ptr()) } != 0 {
        return false;
    }
    // SAFETY: all bytes were zero, which is a valid `statfs`, and then written by the kernel.
    let info = unsafe { info.assume_init() };
    info.f_type as u64 == SYSFS_MAGIC
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_on_disk_are_read() {
        let path = std::env::temp_dir().join(format!("tracewell-btf-file-{}", std::process::id()));
        std::fs::write(&path, b"some bytes").unwrap();
        let file = BtfFile::open(&path).unwrap();
        assert_eq!((&*file, file.is_mapped()), (&b"some bytes"[..], false));
        std::fs::remove_file(&path).unwrap();
        let error = BtfFile::open(&path).unwrap_err().to_string();
        assert!(error.contains("cannot open ") && error.contains("tracewell-btf-file-"), "{error}");
    }

    #[test]
    fn root_the_kernels_own_is_mapped_or_read() {
        const PATH: &str = "/sys/kernel/btf/vmlinux";
        let read = match std::fs::read(PATH) {
            Ok(read) => read,
            Err(error) => {
                eprintln!("SKIP root_the_kernels_own_is_mapped_or_read: {PATH}: {error}");
                return;
            }
        };
        let file = BtfFile::open(PATH).unwrap();
        assert!(*file == *read, "mapping and file differ");
        eprintln!("mapped: {}", file.is_mapped());
    }
}

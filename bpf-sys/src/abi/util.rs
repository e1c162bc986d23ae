//! What several commands share: names, strings, addresses.

use std::ffi::CString;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use super::Cmd;
use super::attr::{Info, OBJ_NAME_LEN};
use crate::errno::Errno;
use crate::error::{Error, Result};
use std::os::fd::{AsRawFd, BorrowedFd};

/// The kernel's form of an object's name: 15 bytes of `[A-Za-z0-9_.]`, the rest cut off, other bytes as `_`.
pub(crate) fn name_field(name: &str) -> [u8; OBJ_NAME_LEN] {
    let mut field = [0; OBJ_NAME_LEN];
    for (to, byte) in field.iter_mut().take(OBJ_NAME_LEN - 1).zip(name.bytes()) {
        *to = if byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'.' { byte } else { b'_' };
    }
    field
}

/// A NUL-padded field as text.
pub(crate) fn text(field: &[u8]) -> String {
    let end = field.iter().position(|b| *b == 0).unwrap_or(field.len());
    String::from_utf8_lossy(&field[..end]).into_owned()
}

/// A C string of `text`, which is a `what`.
pub(crate) fn cstring(what: &str, text: &str) -> Result<CString> {
    CString::new(text)
        .map_err(|_| Error::invalid(format!("{what} {text:?} has a NUL byte in it; take it out")))
}

/// A C string of a path.
pub(crate) fn cpath(path: &Path) -> Result<CString> {
    CString::new(path.as_os_str().as_bytes())
        .map_err(|_| Error::invalid(format!("the path {path:?} has a NUL byte in it; take it out")))
}

/// The address of a slice for the kernel to read; 0 for an empty one.
pub(crate) fn addr<T>(slice: &[T]) -> u64 {
    if slice.is_empty() { 0 } else { slice.as_ptr().expose_provenance() as u64 }
}

/// The address of a slice for the kernel to write; 0 for an empty one.
pub(crate) fn addr_mut<T>(slice: &mut [T]) -> u64 {
    if slice.is_empty() { 0 } else { slice.as_mut_ptr().expose_provenance() as u64 }
}

/// A descriptor's number as the ABI's fields carry it.
pub(crate) fn fd_field(fd: BorrowedFd<'_>) -> u32 {
    fd.as_raw_fd() as u32
}

/// `count` as a 32-bit field.
pub(crate) fn count_field(what: &str, count: usize) -> Result<u32> {
    u32::try_from(count)
        .map_err(|_| Error::invalid(format!("{count} {what} are more than the ABI's 32 bits can say")))
}

/// Fills `info` by `BPF_OBJ_GET_INFO_BY_FD` and returns how many bytes of it the kernel knows.
///
/// # Safety
///
/// `I` must be one of this module's info structures, the one for the kind of object behind `fd`, and every address
/// in it must be valid for writing the number of elements that goes with it.
pub(crate) unsafe fn get_info<I>(fd: BorrowedFd<'_>, info: &mut I) -> Result<usize, Errno> {
    let mut attr =
        Info { bpf_fd: fd_field(fd), info_len: size_of::<I>() as u32, info: std::ptr::from_mut(info) as u64 };
    // SAFETY: the kernel writes at most `info_len` bytes to `info`, and follows the addresses in it as the caller promised.
    unsafe { crate::syscall::bpf(Cmd::OBJ_GET_INFO_BY_FD, &mut attr) }?;
    Ok(attr.info_len as usize)
}

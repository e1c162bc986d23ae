//! How much of `union bpf_attr` the kernel knows.

use crate::abi::Cmd;
use crate::errno::Errno;
use crate::error::Error;
use crate::syscall;

/// Whether the kernel's `union bpf_attr` has the byte at `offset`; `None` where it does not say.
///
/// The kernel looks at the bytes behind what it knows before it looks at the command: one that is not zero there is
/// E2BIG, and a command that no kernel has is EINVAL.
pub(crate) fn knows(offset: usize) -> Option<bool> {
    let mut attr = [0u8; 512];
    *attr.get_mut(offset)? = 1;
    // SAFETY: no command has this number, so nothing follows what is in the buffer.
    match unsafe { syscall::bpf(Cmd::NONE, &mut attr) } {
        Err(Errno::E2BIG) => Some(false),
        Err(Errno::EINVAL) => Some(true),
        _ => None,
    }
}

/// The error for a field at `offset` that the kernel does not know.
pub(crate) fn unsupported(feature: &'static str, since: &'static str, offset: usize) -> Error {
    Error::Unsupported {
        feature,
        since,
        how: format!("its bpf(2) attribute is shorter than the {} bytes this takes", offset + 4),
    }
}

//! BPF tokens: a BPF file system's permission to use parts of bpf(2), for processes without the capabilities.

use std::os::fd::{AsFd, OwnedFd};

use crate::abi::Cmd;
use crate::abi::attr;
use crate::abi::util::fd_field;
use crate::errno::Errno;
use crate::error::{Error, Result};
use crate::syscall;

/// A token of the BPF file system whose root is the directory `bpffs`. Since Linux 6.9.
///
/// The file system must have been mounted with `delegate_cmds=`, `delegate_maps=`, `delegate_progs=` or
/// `delegate_attachs=`, and belong to the caller's user namespace, which must not be the first one.
///
/// # Errors
///
/// EINVAL where the directory is no root of a BPF file system, ENOENT where it delegates nothing, EPERM or EOPNOTSUPP where
/// it is another user namespace's or the first one's; [`Error::Unsupported`] before Linux 6.9.
#[doc(alias = "BPF_TOKEN_CREATE")]
pub fn create(bpffs: impl AsFd) -> Result<OwnedFd> {
    let mut attr = attr::TokenCreate { flags: 0, bpffs_fd: fd_field(bpffs.as_fd()) };
    // SAFETY: the command takes a descriptor only and returns one.
    unsafe { syscall::bpf_fd(Cmd::TOKEN_CREATE, &mut attr) }.map_err(|errno| {
        if matches!(errno, Errno::EINVAL) && !known() {
            return Error::Unsupported {
                feature: "BPF tokens",
                since: "6.9",
                how: "bpf(BPF_TOKEN_CREATE) is no command that it knows; use capabilities instead".into(),
            };
        }
        let hint = match errno {
            Errno::EINVAL => "; give the root directory of a BPF file system",
            Errno::ENOENT => "; the file system was mounted without delegate_cmds= and its like",
            Errno::EPERM | Errno::EOPNOTSUPP => {
                "; the file system must belong to the caller's own user namespace, and that not be the first one"
            }
            _ => "",
        };
        Error::sys("bpf(BPF_TOKEN_CREATE)", format!("make a BPF token{hint}"), errno)
    })
}

/// Whether the kernel knows the command: if so, it looks for the descriptor.
fn known() -> bool {
    let mut attr = attr::TokenCreate { flags: 0, bpffs_fd: u32::MAX };
    // SAFETY: the command takes a descriptor only, and this one is none.
    let answer = unsafe { syscall::bpf_fd(Cmd::TOKEN_CREATE, &mut attr) };
    matches!(answer, Err(Errno::EBADF))
}

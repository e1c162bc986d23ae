//! Iterators: programs that are run for every object of a kind and write text. Since Linux 5.8.

use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd};

use super::{LINK_CREATE, Link};
use crate::abi::Cmd;
use crate::abi::attr;
use crate::abi::types::AttachType;
use crate::abi::util::fd_field;
use crate::error::{Error, Result};
use crate::syscall;

/// What an iterator goes through, where its kind of object leaves a choice.
#[derive(Debug, Clone, Copy, Default)]
#[non_exhaustive]
pub enum IterTarget<'a> {
    /// All objects.
    #[default]
    All,
    /// The elements of a map. Since Linux 5.9.
    Map(BorrowedFd<'a>),
    /// One thread. Since Linux 6.1.
    Thread(u32),
    /// The threads of one process. Since Linux 6.1.
    Process(u32),
    /// Cgroups from this one on. Since Linux 6.1.
    Cgroup {
        /// 1 for itself only, 2 for it and what is below, parents first, 3 children first, 4 for it and what is above.
        order: u32,
        /// Its directory.
        cgroup: BorrowedFd<'a>,
    },
}

/// Attaches an iterator program ([`AttachType::TraceIter`]). Since Linux 5.8.
pub fn iter(prog: impl AsFd, target: IterTarget<'_>) -> Result<Link> {
    // `union bpf_iter_link_info`: the kernel takes its length along.
    let info: [u32; 4] = match target {
        IterTarget::All => [0; 4],
        IterTarget::Map(map) => [fd_field(map), 0, 0, 0],
        IterTarget::Thread(tid) => [tid, 0, 0, 0],
        IterTarget::Process(pid) => [0, pid, 0, 0],
        IterTarget::Cgroup { order, cgroup } => [order, fd_field(cgroup), 0, 0],
    };
    let len = match target {
        IterTarget::All => 0,
        IterTarget::Map(_) => 4,
        _ => size_of_val(&info),
    };
    let mut attr = attr::LinkCreateIter {
        base: attr::LinkCreate {
            prog_fd: fd_field(prog.as_fd()),
            target_fd: 0,
            attach_type: AttachType::TraceIter.raw(),
            flags: 0,
        },
        iter_info: if len == 0 { 0 } else { info.as_ptr().expose_provenance() as u64 },
        iter_info_len: len as u32,
        _pad: 0,
    };
    // SAFETY: the information is null or as long as stated, and outlives the call.
    unsafe { syscall::bpf_fd(Cmd::LINK_CREATE, &mut attr) }
        .map(Link::from_owned)
        .map_err(|errno| Error::sys(LINK_CREATE, "attach an iterator", errno))
}

/// A file that runs the iterator when it is read. Since Linux 5.8.
#[doc(alias = "BPF_ITER_CREATE")]
pub fn iter_create(link: &Link) -> Result<File> {
    let mut attr = attr::IterCreate { link_fd: fd_field(link.as_fd()), flags: 0 };
    // SAFETY: the command takes a descriptor only and returns one.
    unsafe { syscall::bpf_fd(Cmd::ITER_CREATE, &mut attr) }
        .map(File::from)
        .map_err(|errno| Error::sys("bpf(BPF_ITER_CREATE)", "open an iterator", errno))
}

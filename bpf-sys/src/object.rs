//! What all kinds of BPF objects share: ids, pins, and knowing one from the other.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::Path;

use crate::abi::Cmd;
use crate::abi::attr;
use crate::abi::util::{addr, cpath, fd_field};
use crate::errno::Errno;
use crate::error::{Error, Result};
use crate::syscall;

/// The kinds of objects that have ids.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Prog,
    Map,
    Link,
    Btf,
}

impl Kind {
    pub fn name(self) -> &'static str {
        match self {
            Kind::Prog => "program",
            Kind::Map => "map",
            Kind::Link => "link",
            Kind::Btf => "BTF object",
        }
    }

    /// The names that descriptors of this kind have had under `/proc/PID/fd`.
    fn inodes(self) -> &'static [&'static str] {
        match self {
            Kind::Prog => &["bpf-prog"],
            Kind::Map => &["bpf-map"],
            Kind::Link => &["bpf_link", "bpf-link", "bpf-raw-tp"],
            Kind::Btf => &["btf"],
        }
    }
}

/// Fails unless `fd` is an object of this kind.
///
/// The kernel writes its answers by the kind of object that it finds, so a mix-up must not get past here.
pub(crate) fn expect(fd: BorrowedFd<'_>, kind: Kind) -> Result<()> {
    let found = match std::fs::read_link(format!("/proc/self/fd/{}", fd.as_raw_fd())) {
        Ok(target) => {
            let target = target.to_string_lossy().into_owned();
            let name = target.strip_prefix("anon_inode:").unwrap_or(&target);
            let name = name.trim_start_matches('[').trim_end_matches(']');
            if kind.inodes().contains(&name) {
                return Ok(());
            }
            target
        }
        // No /proc here: the size of the kernel's answer tells the kinds apart.
        Err(_) => match by_info_size(fd) {
            Ok(found) if found == kind => return Ok(()),
            Ok(found) => format!("a {}", found.name()),
            Err(errno) => format!("no BPF object ({errno})"),
        },
    };
    Err(Error::invalid(format!(
        "descriptor {} is not a BPF {} but {found}; open the right object",
        fd.as_raw_fd(),
        kind.name()
    )))
}

fn by_info_size(fd: BorrowedFd<'_>) -> Result<Kind, Errno> {
    let mut zeroed = [0u64; 64];
    // SAFETY: all addresses and counts in the zeroed structure are zero, whichever kind the kernel takes it for.
    let size = unsafe { crate::abi::util::get_info(fd, &mut zeroed) }?;
    Ok(match size {
        0..=47 => Kind::Btf,
        48..=72 => Kind::Link,
        73..=159 => Kind::Map,
        _ => Kind::Prog,
    })
}

/// A descriptor of the object with this id.
pub(crate) fn by_id(kind: Kind, id: u32) -> Result<OwnedFd> {
    let (cmd, call) = match kind {
        Kind::Prog => (Cmd::PROG_GET_FD_BY_ID, "bpf(BPF_PROG_GET_FD_BY_ID)"),
        Kind::Map => (Cmd::MAP_GET_FD_BY_ID, "bpf(BPF_MAP_GET_FD_BY_ID)"),
        Kind::Link => (Cmd::LINK_GET_FD_BY_ID, "bpf(BPF_LINK_GET_FD_BY_ID)"),
        Kind::Btf => (Cmd::BTF_GET_FD_BY_ID, "bpf(BPF_BTF_GET_FD_BY_ID)"),
    };
    let mut attr = attr::Id { start_id: id, ..Default::default() };
    // SAFETY: the command takes numbers only and returns a descriptor.
    unsafe { syscall::bpf_fd(cmd, &mut attr) }.map_err(|errno| {
        let gone = if errno == Errno::ENOENT { "; there is none with this id (any more)" } else { "" };
        Error::sys(call, format!("open {} {id}{gone}", kind.name()), errno)
    })
}

/// The first id above `after`; `None` at the end.
pub(crate) fn next_id(kind: Kind, after: u32) -> Result<Option<u32>> {
    let (cmd, call) = match kind {
        Kind::Prog => (Cmd::PROG_GET_NEXT_ID, "bpf(BPF_PROG_GET_NEXT_ID)"),
        Kind::Map => (Cmd::MAP_GET_NEXT_ID, "bpf(BPF_MAP_GET_NEXT_ID)"),
        Kind::Link => (Cmd::LINK_GET_NEXT_ID, "bpf(BPF_LINK_GET_NEXT_ID)"),
        Kind::Btf => (Cmd::BTF_GET_NEXT_ID, "bpf(BPF_BTF_GET_NEXT_ID)"),
    };
    let mut attr = attr::Id { start_id: after, ..Default::default() };
    // SAFETY: the command takes numbers only.
    match unsafe { syscall::bpf(cmd, &mut attr) } {
        Ok(_) => Ok(Some(attr.next_id)),
        Err(Errno::ENOENT) => Ok(None),
        Err(errno) => Err(Error::sys(call, format!("walk the ids of all {}s", kind.name()), errno)),
    }
}

/// Pins the object at `path`.
pub(crate) fn pin(fd: BorrowedFd<'_>, path: &Path) -> Result<()> {
    let cpath = cpath(path)?;
    let mut attr =
        attr::Obj { pathname: addr(cpath.as_bytes_with_nul()), bpf_fd: fd_field(fd), ..Default::default() };
    // SAFETY: the path is NUL-terminated and lives until the call is over.
    match unsafe { syscall::bpf(Cmd::OBJ_PIN, &mut attr) } {
        Ok(_) => Ok(()),
        Err(errno) => {
            let hint = match errno {
                Errno::EPERM | Errno::EINVAL => {
                    "; the directory must be in a BPF file system (mount -t bpf bpf /sys/fs/bpf), \
                     and the name must have no dot in it"
                }
                Errno::EEXIST => "; something is there already: remove it or choose another name",
                _ => "",
            };
            Err(Error::sys("bpf(BPF_OBJ_PIN)", format!("pin at {}{hint}", path.display()), errno))
        }
    }
}

/// A descriptor of what is pinned at `path`, whatever its kind.
pub(crate) fn open_pinned(path: &Path) -> Result<OwnedFd> {
    let cpath = cpath(path)?;
    let mut attr = attr::Obj { pathname: addr(cpath.as_bytes_with_nul()), ..Default::default() };
    // SAFETY: the path is NUL-terminated and lives until the call is over; the command returns a descriptor.
    unsafe { syscall::bpf_fd(Cmd::OBJ_GET, &mut attr) }.map_err(|errno| {
        Error::sys("bpf(BPF_OBJ_GET)", format!("open the object pinned at {}", path.display()), errno)
    })
}

/// A second descriptor of the same object.
pub(crate) fn duplicate(fd: &impl AsFd, kind: Kind) -> Result<OwnedFd> {
    fd.as_fd().try_clone_to_owned().map_err(|error| {
        Error::sys(
            "fcntl(F_DUPFD_CLOEXEC)",
            format!("duplicate a {}'s descriptor", kind.name()),
            Errno::from_io(&error),
        )
    })
}

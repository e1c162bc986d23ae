//! Links: programs attached to something, detached when the last descriptor or pin is gone. See bpf(2).

mod hooks;
mod info;
mod iter;
mod multi;
mod syms;

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

pub use hooks::{Netfilter, Position, cgroup, extension, netfilter, netkit, struct_ops, tcx};
pub use info::{LinkDetails, LinkInfo, PerfEventInfo};
pub use iter::{IterTarget, iter, iter_create};
pub use multi::{KprobeMulti, MultiFlags, UprobeMulti, kprobe_multi, uprobe_multi};
pub use syms::SymTable;

use crate::abi::Cmd;
use crate::abi::attr;
use crate::abi::types::AttachType;
pub use crate::abi::types::{LinkType, PerfEventType};
use crate::abi::util::{addr, cstring, fd_field};
use crate::errno::Errno;
use crate::error::{Error, Result};
use crate::object::{self, Kind};
use crate::syscall;

/// A program's attachment.
#[derive(Debug)]
pub struct Link {
    fd: OwnedFd,
}

impl Link {
    pub(crate) fn from_owned(fd: OwnedFd) -> Self {
        Link { fd }
    }

    /// The link behind a descriptor.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`] where the descriptor is no link's.
    pub fn from_fd(fd: OwnedFd) -> Result<Self> {
        object::expect(fd.as_fd(), Kind::Link)?;
        Ok(Link { fd })
    }

    /// The link with this id. Needs CAP_SYS_ADMIN. Since Linux 5.8.
    #[doc(alias = "BPF_LINK_GET_FD_BY_ID")]
    pub fn from_id(id: u32) -> Result<Self> {
        Ok(Link { fd: object::by_id(Kind::Link, id)? })
    }

    /// The link pinned at `path` of a BPF file system.
    #[doc(alias = "BPF_OBJ_GET")]
    pub fn open_pinned(path: impl AsRef<Path>) -> Result<Self> {
        Self::from_fd(object::open_pinned(path.as_ref())?)
    }

    /// Pins the link at `path`, which must be in a BPF file system; the program then stays attached.
    #[doc(alias = "BPF_OBJ_PIN")]
    pub fn pin(&self, path: impl AsRef<Path>) -> Result<()> {
        object::pin(self.as_fd(), path.as_ref())
    }

    /// Detaches the program now, whoever else holds the link. Since Linux 5.9, and only for hooks that can: cgroup,
    /// network namespace, XDP, tcx, struct_ops; the others detach when the link is dropped.
    #[doc(alias = "BPF_LINK_DETACH")]
    pub fn detach(&self) -> Result<()> {
        let mut attr = attr::LinkDetach { link_fd: fd_field(self.as_fd()) };
        // SAFETY: the command takes a descriptor only.
        match unsafe { syscall::bpf(Cmd::LINK_DETACH, &mut attr) } {
            Ok(_) => Ok(()),
            Err(errno @ (Errno::EOPNOTSUPP | Errno::ENOTSUPP)) => Err(Error::Unsupported {
                feature: "detaching this type of link by command",
                since: "5.9 for cgroup, network namespace and XDP links",
                how: format!("bpf(BPF_LINK_DETACH) said {errno}; drop the link instead"),
            }),
            Err(errno) => Err(Error::sys("bpf(BPF_LINK_DETACH)", "detach a link", errno)),
        }
    }

    /// A second handle on the same link.
    pub fn try_clone(&self) -> Result<Self> {
        Ok(Link { fd: object::duplicate(&self.fd, Kind::Link)? })
    }

    /// Puts `new` in the place of the link's program, if that is `old` where it is given. Since Linux 5.7.
    /// Of a struct_ops link, both are maps. Since Linux 6.4.
    ///
    /// # Errors
    ///
    /// EPERM where another program than `old` is attached, EINVAL for hooks that cannot (the tracing ones).
    #[doc(alias = "BPF_LINK_UPDATE")]
    pub fn update(&self, new: impl AsFd, old: Option<BorrowedFd<'_>>) -> Result<()> {
        const REPLACE: u32 = 1 << 2;
        let mut attr = attr::LinkUpdate {
            link_fd: fd_field(self.as_fd()),
            new_prog_fd: fd_field(new.as_fd()),
            flags: if old.is_some() { REPLACE } else { 0 },
            old_prog_fd: old.map_or(0, fd_field),
        };
        // SAFETY: the command takes descriptors only.
        match unsafe { syscall::bpf(Cmd::LINK_UPDATE, &mut attr) } {
            Ok(_) => Ok(()),
            Err(errno) => Err(Error::sys("bpf(BPF_LINK_UPDATE)", "replace a link's program", errno)),
        }
    }
}

impl AsFd for Link {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl From<Link> for OwnedFd {
    fn from(link: Link) -> Self {
        link.fd
    }
}

pub(crate) const LINK_CREATE: &str = "bpf(BPF_LINK_CREATE)";

/// Attaches a program to a perf event: a kprobe, uprobe, tracepoint or counter. Since Linux 5.15.
///
/// The program gets `cookie` from `bpf_get_attach_cookie`. The event need not be kept open.
///
/// # Errors
///
/// EINVAL before Linux 5.15 ([`crate::features::has_perf_link`] tells; `perf::PerfEvent::set_bpf` is the older way),
/// EEXIST where the event has this program already, EBADF where `event` is no perf event.
#[doc(alias = "BPF_PERF_EVENT")]
pub fn perf_event(prog: impl AsFd, event: impl AsFd, cookie: u64) -> Result<Link> {
    let mut attr = attr::LinkCreatePerf {
        base: attr::LinkCreate {
            prog_fd: fd_field(prog.as_fd()),
            target_fd: fd_field(event.as_fd()),
            attach_type: AttachType::PerfEvent.raw(),
            flags: 0,
        },
        bpf_cookie: cookie,
    };
    // SAFETY: the command takes descriptors and a number only.
    unsafe { syscall::bpf_fd(Cmd::LINK_CREATE, &mut attr) }
        .map(Link::from_owned)
        .map_err(|errno| Error::sys(LINK_CREATE, "attach a program to a perf event", errno))
}

/// Where a tracing program is attached.
#[derive(Debug, Clone, Copy, Default)]
pub struct Tracing<'a> {
    /// The program whose function is the target, where it is not the one that the program was loaded for.
    pub target_prog: Option<BorrowedFd<'a>>,
    /// The function's type in that program's BTF.
    pub target_btf_id: u32,
    /// What `bpf_get_attach_cookie` gives to the program. Since Linux 6.0.
    pub cookie: u64,
}

/// Attaches an fentry, fexit, fmod_ret, LSM or extension program, or a BTF-typed raw tracepoint, to what it was loaded
/// for or to `target`. Since Linux 5.18; before, [`raw_tracepoint_open`] without a name does the first.
///
/// `attach_type` is the one that the program was loaded with.
pub fn tracing(prog: impl AsFd, attach_type: AttachType, target: Tracing<'_>) -> Result<Link> {
    let mut attr = attr::LinkCreateTracing {
        base: attr::LinkCreate {
            prog_fd: fd_field(prog.as_fd()),
            target_fd: target.target_prog.map_or(0, fd_field),
            attach_type: attach_type.raw(),
            flags: 0,
        },
        target_btf_id: target.target_btf_id,
        _pad: 0,
        cookie: target.cookie,
    };
    // SAFETY: the command takes descriptors and numbers only.
    unsafe { syscall::bpf_fd(Cmd::LINK_CREATE, &mut attr) }
        .map(Link::from_owned)
        .map_err(|errno| Error::sys(LINK_CREATE, format!("attach a {attach_type} program"), errno))
}

/// Attaches a program to a hook that needs no more than a descriptor: a cgroup (5.7), a network namespace's flow dissector
/// (5.8) or socket lookup (5.9), a sockmap (6.10).
pub fn attach(prog: impl AsFd, target: impl AsFd, attach_type: AttachType, flags: u32) -> Result<Link> {
    create(prog.as_fd(), fd_field(target.as_fd()), attach_type, flags)
}

/// Attaches an XDP program to a network device. Since Linux 5.9.
pub fn xdp(prog: impl AsFd, ifindex: u32, flags: u32) -> Result<Link> {
    create(prog.as_fd(), ifindex, AttachType::Xdp, flags)
}

fn create(prog: BorrowedFd<'_>, target_fd: u32, attach_type: AttachType, flags: u32) -> Result<Link> {
    let mut attr =
        attr::LinkCreate { prog_fd: fd_field(prog), target_fd, attach_type: attach_type.raw(), flags };
    // SAFETY: the command takes descriptors and numbers only.
    unsafe { syscall::bpf_fd(Cmd::LINK_CREATE, &mut attr) }
        .map(Link::from_owned)
        .map_err(|errno| Error::sys(LINK_CREATE, format!("attach a program to {attach_type}"), errno))
}

/// Attaches a raw tracepoint program, with a cookie if it is not 0 (since Linux 6.10).
///
/// The kernel takes the cookie where `union bpf_attr` is long enough and the field known; without a cookie this is
/// [`raw_tracepoint_open`].
pub fn raw_tracepoint(prog: impl AsFd, name: &str, cookie: u64) -> Result<Link> {
    match open_raw(prog.as_fd(), Some(name), cookie) {
        Err(error) if cookie != 0 && error.is_errno(Errno::EINVAL) => Err(Error::Unsupported {
            feature: "cookies of raw tracepoints",
            since: "6.10",
            how: "bpf(BPF_RAW_TRACEPOINT_OPEN) with a cookie said EINVAL; attach without one".into(),
        }),
        answer => answer,
    }
}

/// Attaches a program to the raw tracepoint `name` (as in tracefs, without the category), since Linux 4.17; or, with an
/// empty name, a program of [`AttachType::TraceRawTp`], fentry, fexit or LSM to what it was loaded for, since 5.5.
///
/// # Errors
///
/// ENOENT where there is no such tracepoint.
#[doc(alias = "BPF_RAW_TRACEPOINT_OPEN")]
pub fn raw_tracepoint_open(prog: impl AsFd, name: &str) -> Result<Link> {
    open_raw(prog.as_fd(), (!name.is_empty()).then_some(name), 0)
}

fn open_raw(prog: BorrowedFd<'_>, name: Option<&str>, cookie: u64) -> Result<Link> {
    let name = name.map(|name| cstring("the tracepoint", name)).transpose()?;
    let mut attr = attr::RawTracepoint {
        name: name.as_deref().map_or(0, |name| addr(name.to_bytes_with_nul())),
        prog_fd: fd_field(prog),
        _pad: 0,
        cookie,
    };
    // SAFETY: the name is null or NUL-terminated and lives until the call is over; the command returns a descriptor.
    unsafe { syscall::bpf_fd(Cmd::RAW_TRACEPOINT_OPEN, &mut attr) }.map(Link::from_owned).map_err(|errno| {
        let context = match &name {
            Some(name) if errno == Errno::ENOENT => {
                format!("attach to the raw tracepoint {name:?}, which this kernel does not have")
            }
            Some(name) => format!("attach to the raw tracepoint {name:?}"),
            None => "attach a tracing program".to_owned(),
        };
        Error::sys("bpf(BPF_RAW_TRACEPOINT_OPEN)", context, errno)
    })
}

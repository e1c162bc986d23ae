//! Hooks of the network and of cgroups, struct_ops, and functions of other programs.

use std::os::fd::{AsFd, BorrowedFd};

use super::{LINK_CREATE, Link, Tracing, create, tracing};
use crate::abi::Cmd;
use crate::abi::attr;
use crate::abi::types::AttachType;
use crate::abi::util::fd_field;
use crate::errno::Errno;
use crate::error::{Error, Result};
use crate::hook::AttachFlags;
use crate::syscall;

/// Where a program goes among those that a hook has already.
#[derive(Debug, Clone, Copy, Default)]
#[non_exhaustive]
pub enum Position<'a> {
    /// Behind the last.
    #[default]
    Last,
    /// Before the first.
    First,
    /// Before this program.
    BeforeProg(BorrowedFd<'a>),
    /// Behind this program.
    AfterProg(BorrowedFd<'a>),
    /// Before this link's program.
    BeforeLink(BorrowedFd<'a>),
    /// Behind this link's program.
    AfterLink(BorrowedFd<'a>),
}

impl Position<'_> {
    /// The flags and the descriptor that say so.
    pub(crate) fn fields(self) -> (AttachFlags, u32) {
        let (flags, fd) = match self {
            Position::Last => (AttachFlags::empty(), None),
            Position::First => (AttachFlags::BEFORE, None),
            Position::BeforeProg(fd) => (AttachFlags::BEFORE, Some(fd)),
            Position::AfterProg(fd) => (AttachFlags::AFTER, Some(fd)),
            Position::BeforeLink(fd) => (AttachFlags::BEFORE | AttachFlags::LINK, Some(fd)),
            Position::AfterLink(fd) => (AttachFlags::AFTER | AttachFlags::LINK, Some(fd)),
        };
        (flags, fd.map_or(0, fd_field))
    }
}

/// Attaches a [`SchedCls`](crate::prog::ProgType::SchedCls) program to a network device's traffic control hook, without a
/// qdisc. Since Linux 6.6.
///
/// `attach_type` is [`AttachType::TcxIngress`] or [`AttachType::TcxEgress`], and the program must have been loaded for it
/// or for none. `revision` is what [`crate::hook::query`] gave as such, or 0: another one by now is ESTALE.
///
/// # Errors
///
/// [`Error::Unsupported`] before Linux 6.6, ENODEV where there is no such device, EEXIST where it is attached there.
#[doc(alias = "BPF_TCX_INGRESS")]
#[doc(alias = "BPF_TCX_EGRESS")]
pub fn tcx(
    prog: impl AsFd,
    ifindex: u32,
    attach_type: AttachType,
    position: Position<'_>,
    revision: u64,
) -> Result<Link> {
    let place = format!("attach to {attach_type} of network device {ifindex}");
    ordered(prog.as_fd(), ifindex, attach_type, AttachFlags::empty(), position, revision).map_err(|errno| {
        match errno {
            Errno::EINVAL | Errno::E2BIG if !ordered_known() => unsupported("tcx links", "6.6"),
            Errno::ENODEV => Error::sys(LINK_CREATE, format!("{place}; there is no such device"), errno),
            errno => Error::sys(LINK_CREATE, place, errno),
        }
    })
}

/// Attaches a program to a netkit device; [`AttachType::NetkitPrimary`] or [`AttachType::NetkitPeer`], `ifindex` is the
/// primary's in both cases. Since Linux 6.7. `revision` is as for [`tcx`].
///
/// # Errors
///
/// [`Error::Unsupported`] before Linux 6.6; EINVAL before 6.7 or where the device is no netkit device.
#[doc(alias = "BPF_NETKIT_PRIMARY")]
#[doc(alias = "BPF_NETKIT_PEER")]
pub fn netkit(
    prog: impl AsFd,
    ifindex: u32,
    attach_type: AttachType,
    position: Position<'_>,
    revision: u64,
) -> Result<Link> {
    ordered(prog.as_fd(), ifindex, attach_type, AttachFlags::empty(), position, revision).map_err(|errno| {
        match errno {
            Errno::EINVAL | Errno::E2BIG if !ordered_known() => unsupported("netkit links", "6.7"),
            Errno::EINVAL => {
                let context = format!(
                    "attach to {attach_type} of network device {ifindex}; it must be a netkit device's primary side, and \
                     the kernel be Linux 6.7 or newer with CONFIG_NETKIT"
                );
                Error::sys(LINK_CREATE, context, errno)
            }
            errno => {
                Error::sys(LINK_CREATE, format!("attach to {attach_type} of network device {ifindex}"), errno)
            }
        }
    })
}

/// Attaches a program to a hook of a cgroup (v2), given by its directory. Since Linux 5.7.
///
/// A link always stands beside others ([`AttachFlags::ALLOW_MULTI`] is implied). A position other than the last, a
/// `revision` other than 0 and [`AttachFlags::PREORDER`] are known since Linux 6.17 (6.15 for the flag).
///
/// # Errors
///
/// EBADF where the directory is in no cgroup v2 file system, EPERM where a cgroup above allows no other program there,
/// EINVAL where the kernel knows no order of links.
#[doc(alias = "BPF_F_PREORDER")]
pub fn cgroup(
    prog: impl AsFd,
    dir: impl AsFd,
    attach_type: AttachType,
    flags: AttachFlags,
    position: Position<'_>,
    revision: u64,
) -> Result<Link> {
    let target = fd_field(dir.as_fd());
    ordered(prog.as_fd(), target, attach_type, flags, position, revision).map_err(|errno| {
        let hint = match errno {
            Errno::EBADF => "; the directory must be one of a cgroup v2 file system (mount -t cgroup2)",
            Errno::EPERM => "; a cgroup above may have a program there that allows no other",
            Errno::EINVAL if !matches!(position, Position::Last) || revision != 0 => {
                "; the order of links at a cgroup can be chosen since Linux 6.17"
            }
            _ => "",
        };
        Error::sys(LINK_CREATE, format!("attach to {attach_type} of a cgroup{hint}"), errno)
    })
}

/// Where a netfilter program is attached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Netfilter {
    /// The protocol family: `NFPROTO_IPV4` (2) or `NFPROTO_IPV6` (10).
    pub pf: u32,
    /// The hook: `NF_INET_PRE_ROUTING` (0), `LOCAL_IN` (1), `FORWARD` (2), `LOCAL_OUT` (3), `POST_ROUTING` (4).
    pub hooknum: u32,
    /// Its place among the others: from low to high. The lowest and the highest number are taken.
    pub priority: i32,
    /// Whether fragments are put together first. Since Linux 6.6.
    #[doc(alias = "BPF_F_NETFILTER_IP_DEFRAG")]
    pub defrag: bool,
}

/// Attaches a netfilter program in the caller's network namespace. Since Linux 6.4 (with CONFIG_NETFILTER_BPF_LINK).
///
/// # Errors
///
/// EINVAL where the kernel has no netfilter links, EAFNOSUPPORT for other families, ERANGE for a priority
/// that is taken, EPROTO for a hook that there is not.
pub fn netfilter(prog: impl AsFd, hook: Netfilter) -> Result<Link> {
    let attach_type = AttachType::Netfilter;
    let mut attr = attr::LinkCreateNetfilter {
        base: attr::LinkCreate {
            prog_fd: fd_field(prog.as_fd()),
            target_fd: 0,
            attach_type: attach_type.raw(),
            flags: 0,
        },
        pf: hook.pf,
        hooknum: hook.hooknum,
        priority: hook.priority,
        flags: hook.defrag.into(),
    };
    // SAFETY: the command takes descriptors and numbers only.
    unsafe { syscall::bpf_fd(Cmd::LINK_CREATE, &mut attr) }.map(Link::from_owned).map_err(|errno| {
        let hint = match errno {
            Errno::ERANGE => "; choose a priority that is neither the lowest nor the highest number",
            Errno::EINVAL | Errno::EPROTO => {
                "; IPv4 is family 2 and IPv6 is 10, hooks are 0 (pre-routing) to 4 (post-routing)"
            }
            Errno::EAFNOSUPPORT => "; give family 2 (IPv4) or 10 (IPv6)",
            _ => "",
        };
        let Netfilter { pf, hooknum, priority, .. } = hook;
        Error::sys(
            LINK_CREATE,
            format!("attach to netfilter hook {hooknum} of family {pf} with priority {priority}{hint}"),
            errno,
        )
    })
}

/// Puts a struct_ops map's operations to work, through a link. Since Linux 6.4.
///
/// The map must have been created with [`MapFlags::LINK`](crate::map::MapFlags::LINK) and filled at key 0; without that
/// flag filling it has put it to work already, until its only element is deleted.
///
/// # Errors
///
/// EINVAL where the map is none of struct_ops, has not that flag, or is empty; what else the kernel's subsystem says.
#[doc(alias = "BPF_STRUCT_OPS")]
pub fn struct_ops(map: impl AsFd) -> Result<Link> {
    create(map.as_fd(), 0, AttachType::StructOps, 0).map_err(|error| match error.errno() {
        Some(errno @ Errno::EINVAL) => Error::sys(
            LINK_CREATE,
            "attach a struct_ops map; it must have the flag BPF_F_LINK and its value, and the kernel be Linux 6.4 or newer",
            errno,
        ),
        _ => error,
    })
}

/// Puts an extension ([`ProgType::Ext`](crate::prog::ProgType::Ext)) in the place of a global function: of the program that
/// it was loaded for where `target` is none, otherwise of that program's function with this type id. Since Linux 5.6 (with
/// another target 5.10).
///
/// # Errors
///
/// EINVAL where the functions' types differ, EBUSY where another extension is there already.
#[doc(alias = "BPF_PROG_TYPE_EXT")]
pub fn extension(prog: impl AsFd, target: Option<(BorrowedFd<'_>, u32)>) -> Result<Link> {
    let Some((target_prog, target_btf_id)) = target else {
        return super::raw_tracepoint_open(prog, "");
    };
    // The attach type of extensions is the one with the number 0.
    let target = Tracing { target_prog: Some(target_prog), target_btf_id, cookie: 0 };
    tracing(prog, AttachType::from_raw(0), target).map_err(|error| match error.errno() {
        Some(errno) => Error::sys(
            LINK_CREATE,
            "replace a function of another program; it must be a global function with the same arguments",
            errno,
        ),
        None => error,
    })
}

fn ordered(
    prog: BorrowedFd<'_>,
    target_fd: u32,
    attach_type: AttachType,
    flags: AttachFlags,
    position: Position<'_>,
    expected_revision: u64,
) -> Result<Link, Errno> {
    let (order, relative_fd) = position.fields();
    let mut attr = attr::LinkCreateOrdered {
        base: attr::LinkCreate {
            prog_fd: fd_field(prog),
            target_fd,
            attach_type: attach_type.raw(),
            flags: (flags | order).bits(),
        },
        relative_fd,
        _pad: 0,
        expected_revision,
    };
    // SAFETY: the command takes descriptors and numbers only.
    unsafe { syscall::bpf_fd(Cmd::LINK_CREATE, &mut attr) }.map(Link::from_owned)
}

/// Whether the kernel knows hooks with an order on network devices (6.6): it does not say EINVAL to a question about them.
fn ordered_known() -> bool {
    !matches!(crate::hook::query_raw(1, AttachType::TcxIngress), Err(Errno::EINVAL))
}

fn unsupported(feature: &'static str, since: &'static str) -> Error {
    Error::Unsupported {
        feature,
        since,
        how:
            "bpf(BPF_PROG_QUERY) knows no such hook; attach through a clsact qdisc (tc) or use a newer kernel"
                .into(),
    }
}

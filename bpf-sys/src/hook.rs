//! Programs at hooks, without links: attach, detach, and ask what is attached. See bpf(2).
//!
//! What is attached this way stays when its owner is gone. [`crate::link`] is the better way where the kernel has it.

use std::os::fd::{AsFd, BorrowedFd};

use crate::abi::Cmd;
use crate::abi::attr;
use crate::abi::types::AttachType;
use crate::abi::util::{addr_mut, fd_field};
use crate::errno::Errno;
use crate::error::{Error, Result};
use crate::link::Position;
use crate::syscall;

bitflags::bitflags! {
    /// How a program is attached to a hook: `attach_flags`.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
    pub struct AttachFlags: u32 {
        /// A cgroup below may put another program in its place. Since Linux 4.10.
        #[doc(alias = "BPF_F_ALLOW_OVERRIDE")]
        const ALLOW_OVERRIDE = 1 << 0;
        /// The cgroup's program runs beside others, its own and those below. Since Linux 4.15.
        #[doc(alias = "BPF_F_ALLOW_MULTI")]
        const ALLOW_MULTI = 1 << 1;
        /// In the place of another program. Since Linux 5.6.
        #[doc(alias = "BPF_F_REPLACE")]
        const REPLACE = 1 << 2;
        /// Before another program, or before all. Since Linux 6.6.
        #[doc(alias = "BPF_F_BEFORE")]
        const BEFORE = 1 << 3;
        /// Behind another program, or behind all. Since Linux 6.6.
        #[doc(alias = "BPF_F_AFTER")]
        const AFTER = 1 << 4;
        /// The other program is given by id instead of descriptor. Since Linux 6.6.
        #[doc(alias = "BPF_F_ID")]
        const ID = 1 << 5;
        /// The cgroup's program runs before those of cgroups below. Since Linux 6.15.
        #[doc(alias = "BPF_F_PREORDER")]
        const PREORDER = 1 << 6;
        /// The other program is given by its link. Since Linux 6.6.
        #[doc(alias = "BPF_F_LINK")]
        const LINK = 1 << 13;
        /// Flags that newer kernels bring.
        const _ = !0;
    }
}

/// Where a program is attached.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub enum HookTarget<'a> {
    /// A cgroup's directory, a sockmap, a network namespace or an infrared device.
    Fd(BorrowedFd<'a>),
    /// A network device, by its index.
    Device(u32),
    /// The caller's network namespace: of a flow dissector.
    Own,
}

impl HookTarget<'_> {
    fn field(self) -> u32 {
        match self {
            HookTarget::Fd(fd) => fd_field(fd),
            HookTarget::Device(ifindex) => ifindex,
            HookTarget::Own => 0,
        }
    }
}

const ATTACH: &str = "bpf(BPF_PROG_ATTACH)";
const DETACH: &str = "bpf(BPF_PROG_DETACH)";
const QUERY: &str = "bpf(BPF_PROG_QUERY)";

/// Attaches a program to a hook until somebody detaches it: cgroups since Linux 4.10, sockmaps since 4.14, flow dissectors
/// since 4.20, tcx since 6.6, netkit since 6.7.
///
/// `replace` is the program whose place it takes (cgroups since Linux 5.6, with [`AttachFlags::ALLOW_MULTI`]; tcx and netkit).
///
/// # Errors
///
/// EPERM where a cgroup's program allows no other, EEXIST where it is attached there already, EINVAL where the kernel
/// does not know the hook or the flags.
#[doc(alias = "BPF_PROG_ATTACH")]
pub fn attach(
    prog: impl AsFd,
    target: HookTarget<'_>,
    attach_type: AttachType,
    flags: AttachFlags,
    position: Position<'_>,
    replace: Option<BorrowedFd<'_>>,
) -> Result<()> {
    let (order, relative_fd) = position.fields();
    let replace_flag = if replace.is_some() { AttachFlags::REPLACE } else { AttachFlags::empty() };
    let mut attr = attr::ProgAttach {
        target_fd: target.field(),
        attach_bpf_fd: fd_field(prog.as_fd()),
        attach_type: attach_type.raw(),
        attach_flags: (flags | order | replace_flag).bits(),
        replace_bpf_fd: replace.map_or(0, fd_field),
        relative_fd,
        expected_revision: 0,
    };
    // SAFETY: the command takes descriptors and numbers only.
    match unsafe { syscall::bpf(Cmd::PROG_ATTACH, &mut attr) } {
        Ok(_) => Ok(()),
        Err(errno) => Err(Error::sys(ATTACH, format!("attach a program to {attach_type}"), errno)),
    }
}

/// Detaches a program from a hook; `None` for whatever is there, where a hook takes only one.
///
/// # Errors
///
/// ENOENT where it is not attached there, EINVAL where the kernel does not know the hook.
#[doc(alias = "BPF_PROG_DETACH")]
pub fn detach(prog: Option<BorrowedFd<'_>>, target: HookTarget<'_>, attach_type: AttachType) -> Result<()> {
    let mut attr = attr::ProgAttach {
        target_fd: target.field(),
        attach_bpf_fd: prog.map_or(0, fd_field),
        attach_type: attach_type.raw(),
        ..Default::default()
    };
    // SAFETY: the command takes descriptors and numbers only.
    match unsafe { syscall::bpf(Cmd::PROG_DETACH, &mut attr) } {
        Ok(_) => Ok(()),
        Err(errno) => Err(Error::sys(DETACH, format!("detach a program from {attach_type}"), errno)),
    }
}

/// What is attached to a hook.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Attached {
    /// The flags of the whole hook; of a cgroup's effective programs always none.
    pub flags: AttachFlags,
    /// Counts the changes of the hook. Of tcx and netkit since Linux 6.6, of cgroups since 6.17; 0 for others.
    pub revision: u64,
    /// The programs in their order.
    pub progs: Vec<AttachedProg>,
}

/// One program at a hook.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct AttachedProg {
    /// Its id.
    pub prog_id: u32,
    /// Its own flags. Of cgroups since Linux 6.1, of others since 6.6; none before.
    pub flags: AttachFlags,
    /// The link that attached it; 0 where none did, or before Linux 6.6.
    pub link_id: u32,
}

/// How the programs of a cgroup are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Scope {
    /// Those that are attached right there.
    #[default]
    Attached,
    /// Those that run for it, with what cgroups above have.
    #[doc(alias = "BPF_F_QUERY_EFFECTIVE")]
    Effective,
}

/// What is attached to a hook. Cgroups since Linux 4.15, flow dissectors since 5.2, socket lookup since 5.9, sockmaps since
/// 5.16, tcx since 6.6, netkit since 6.7.
///
/// # Errors
///
/// EINVAL where the kernel does not know the hook or cannot tell.
#[doc(alias = "BPF_PROG_QUERY")]
pub fn query(target: HookTarget<'_>, attach_type: AttachType, scope: Scope) -> Result<Attached> {
    let fail = |errno| Error::sys(QUERY, format!("ask what is attached to {attach_type}"), errno);
    let question = attr::ProgQuery {
        target_fd: target.field(),
        attach_type: attach_type.raw(),
        query_flags: (scope == Scope::Effective).into(),
        ..Default::default()
    };
    let ordered = matches!(
        attach_type,
        AttachType::TcxIngress | AttachType::TcxEgress | AttachType::NetkitPrimary | AttachType::NetkitPeer
    );
    let mut with_flags = scope == Scope::Attached;
    loop {
        let mut head = question;
        // SAFETY: without lists the command writes to its attribute only.
        unsafe { ask(&mut head) }.map_err(fail)?;
        let count = head.prog_cnt as usize;
        let flags = AttachFlags::from_bits_retain(head.attach_flags);
        if count == 0 {
            return Ok(Attached { flags, revision: head.revision, progs: Vec::new() });
        }
        let mut ids = vec![0u32; count];
        let mut prog_flags = vec![0u32; count];
        let mut link_ids = vec![0u32; count];
        let mut lists = attr::ProgQuery { prog_ids: addr_mut(&mut ids), prog_cnt: count as u32, ..question };
        if with_flags {
            lists.prog_attach_flags = addr_mut(&mut prog_flags);
        }
        if ordered {
            lists.link_ids = addr_mut(&mut link_ids);
        }
        // SAFETY: the lists have `prog_cnt` elements each, or are null.
        match unsafe { ask(&mut lists) } {
            Ok(()) => {}
            // One more came in between.
            Err(Errno::ENOSPC) => continue,
            // A kernel that does not know the list of flags for this hook.
            Err(Errno::EINVAL) if with_flags => {
                with_flags = false;
                continue;
            }
            Err(errno) => return Err(fail(errno)),
        }
        let found = (lists.prog_cnt as usize).min(count);
        let progs = ids.iter().zip(&prog_flags).zip(&link_ids).take(found);
        let progs = progs
            .map(|((id, flags), link)| AttachedProg {
                prog_id: *id,
                flags: AttachFlags::from_bits_retain(*flags),
                link_id: *link,
            })
            .collect();
        return Ok(Attached { flags, revision: lists.revision, progs });
    }
}

/// Asks with room for everything that newer kernels answer.
///
/// # Safety
///
/// As for [`syscall::bpf`].
unsafe fn ask(attr: &mut attr::ProgQuery) -> Result<(), Errno> {
    // SAFETY: the caller's promise.
    unsafe { syscall::bpf_sized(Cmd::PROG_QUERY, attr, size_of::<attr::ProgQuery>()) }.map(|_| ())
}

/// The bare answer to the question what a network device's hook has.
pub(crate) fn query_raw(ifindex: u32, attach_type: AttachType) -> Result<u32, Errno> {
    let mut attr =
        attr::ProgQuery { target_fd: ifindex, attach_type: attach_type.raw(), ..Default::default() };
    // SAFETY: without lists the command writes to its attribute only.
    unsafe { syscall::bpf(Cmd::PROG_QUERY, &mut attr) }.map(|_| attr.prog_cnt)
}

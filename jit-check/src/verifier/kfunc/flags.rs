//! What is known of kernel functions beside their types.

use super::special::Special;
use crate::kernel::Version;
use crate::verifier::reg::BtfIdx;
use bitflags::bitflags;
use bpf_sys::prog::{AttachType, ProgType};
use btf::{Param, TypeId};

bitflags! {
    /// What a kernel function does with references, and where it may be called.
    #[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
    pub(crate) struct Flag: u32 {
        const ACQUIRE = 1 << 0;
        const RELEASE = 1 << 1;
        const RET_NULL = 1 << 2;
        const TRUSTED = 1 << 4;
        const SLEEPABLE = 1 << 5;
        const DESTRUCTIVE = 1 << 6;
        const RCU = 1 << 7;
        const NEW = 1 << 8;
        const NEXT = 1 << 9;
        const DESTROY = 1 << 10;
        const RCU_PROTECTED = 1 << 11;
    }
}

/// Families of program types that sets of kernel functions are open to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Hook {
    Common,
    Xdp,
    Tc,
    StructOps,
    Tracing,
    Syscall,
    Cgroup,
    SchedAct,
    SkSkb,
    SocketFilter,
    Lwt,
    Netfilter,
    Kprobe,
}

impl Hook {
    /// The family of a program type.
    pub fn of(prog_type: ProgType, version: Version) -> Option<Hook> {
        use ProgType as P;
        let since = |major, minor| version >= Version(major, minor);
        Some(match prog_type {
            P::Xdp => Hook::Xdp,
            P::SchedCls => Hook::Tc,
            P::StructOps => Hook::StructOps,
            P::Tracing => Hook::Tracing,
            P::Lsm if since(6, 1) => Hook::Tracing,
            P::Tracepoint | P::PerfEvent if since(6, 12) => Hook::Tracing,
            P::RawTracepoint | P::RawTracepointWritable if since(7, 1) => Hook::Tracing,
            P::Syscall => Hook::Syscall,
            P::CgroupSkb if since(6, 4) => Hook::Cgroup,
            P::CgroupSock | P::CgroupDevice | P::CgroupSockAddr | P::CgroupSockopt | P::CgroupSysctl
                if since(6, 7) =>
            {
                Hook::Cgroup
            }
            P::SockOps if since(6, 15) => Hook::Cgroup,
            P::SchedAct => Hook::SchedAct,
            P::SkSkb => Hook::SkSkb,
            P::SocketFilter => Hook::SocketFilter,
            P::LwtIn | P::LwtOut | P::LwtXmit | P::LwtSeg6local => Hook::Lwt,
            P::Netfilter => Hook::Netfilter,
            P::Kprobe if since(6, 10) => Hook::Kprobe,
            _ => return None,
        })
    }
}

/// Which programs of the family may call a set.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Filter {
    None,
    /// Security modules' hooks only.
    Lsm,
    /// Iterators only.
    Iter,
    /// Sessions of kprobes and uprobes only.
    Session,
    /// Programs bound to a device only; checked where calls are collected.
    Device,
}

impl Filter {
    pub fn lets(self, prog_type: ProgType, attach: Option<AttachType>) -> bool {
        match self {
            Filter::None | Filter::Device => true,
            Filter::Lsm => prog_type == ProgType::Lsm,
            Filter::Iter => attach == Some(AttachType::TraceIter),
            Filter::Session => {
                matches!(attach, Some(AttachType::TraceKprobeSession | AttachType::TraceUprobeSession))
            }
        }
    }
}

/// Functions that are open to the same programs.
pub(super) struct Set {
    /// Families that may call them, and since when.
    pub hooks: &'static [(Hook, Version)],
    pub filter: Filter,
    pub funcs: &'static [(&'static str, Flag)],
}

/// The flags of a function where such a program may call it.
pub(super) fn lookup(
    name: &str,
    prog_type: ProgType,
    attach: Option<AttachType>,
    version: Version,
) -> Option<Flag> {
    let hook = Hook::of(prog_type, version);
    let find = |hook: Hook| {
        super::table::SETS
            .iter()
            .filter(|set| set.hooks.iter().any(|(of, since)| *of == hook && version >= *since))
            .filter(|set| set.filter.lets(prog_type, attach))
            .find_map(|set| set.funcs.iter().find(|(func, _)| *func == name))
    };
    let (_, flags) = find(Hook::Common).or_else(|| find(hook?))?;
    let mut flags = *flags;
    if version >= Version(7, 0) {
        // Arguments are trusted ones by default.
        flags |= Flag::TRUSTED;
        if name.starts_with("bpf_arena_") {
            flags -= Flag::SLEEPABLE;
        }
    }
    Some(flags)
}

/// Whether the function needs a program that is bound to a device.
pub(super) fn is_device_bound(name: &str) -> bool {
    let mut sets = super::table::SETS.iter().filter(|set| set.filter == Filter::Device);
    sets.any(|set| set.funcs.iter().any(|(func, _)| *func == name))
}

/// A kernel function that the program calls.
#[derive(Clone, Debug)]
pub(crate) struct Kfunc<'a> {
    pub name: &'a str,
    /// Where its types are: the kernel's or a module's.
    pub btf: BtfIdx,
    pub id: u32,
    pub params: Vec<Param<'a>>,
    pub result: TypeId,
    /// `None` where this program may not call it.
    pub flags: Option<Flag>,
    pub special: Special,
}

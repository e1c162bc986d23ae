//! Attaching what needs no more than a BPF link: tracing programs, raw tracepoints, iterators, the hooks of the network
//! and of cgroups, extensions, struct_ops.
//!
//! Programs for kprobes, uprobes, tracepoints and perf events need events that somebody finds and opens first; the crate
//! `tracewell-probes` does, and attaches every kind of program.
//!
//! ```no_run
//! use loader::link::{self, Place};
//! # fn run(collection: &loader::Collection) -> loader::Result<()> {
//! if let Some(program) = collection.program("count_packets") {
//!     let link = link::attach(program, &Place::Device { ifindex: 1, hook: None }, 0)?;
//!     // Attached until the link is dropped.
//!     # drop(link);
//! }
//! # Ok(())
//! # }
//! ```

mod need;
mod ops;

use std::os::fd::BorrowedFd;

pub use bpf_sys::hook::AttachFlags;
pub use bpf_sys::link::{IterTarget, Link, Netfilter, Position, Tracing};
pub use need::{Need, need};
pub use ops::{Operations, attach_struct_ops};

use bpf_sys::Errno;
use bpf_sys::link as sys;
use bpf_sys::prog::{AttachType, ProgType};

use crate::collection::LoadedProgram;
use crate::spec::{AttachTarget, ProgramSpec};
use crate::{Error, Result};

/// What a program is attached to, beyond what its section's name says.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub enum Place<'a> {
    /// What the section's name says.
    #[default]
    Section,
    /// A network device: of XDP, tcx and netkit programs.
    Device {
        /// Its index, as `ip link` and if_nametoindex(3) give it.
        ifindex: u32,
        /// Where a `tc` program goes: [`AttachType::TcxIngress`], [`AttachType::TcxEgress`], or netkit's; `None` for what
        /// its section says.
        hook: Option<AttachType>,
    },
    /// A cgroup's directory (v2): of all `cgroup/`, `sockops` and `lsm_cgroup/` programs.
    Cgroup(BorrowedFd<'a>),
    /// A network namespace, such as `/proc/self/ns/net`: of `sk_lookup` and `flow_dissector` programs.
    Namespace(BorrowedFd<'a>),
    /// A map: a sockmap of `sk_skb` and `sk_msg` programs (a link since Linux 6.10), or whose elements an iterator goes
    /// through.
    Map(BorrowedFd<'a>),
    /// What an iterator goes through, where not everything.
    Iter(IterTarget<'a>),
    /// A netfilter hook.
    Netfilter(Netfilter),
    /// The function with this type id of another program: of `freplace/` programs.
    Program {
        /// The program.
        prog: BorrowedFd<'a>,
        /// The function's type in that program's BTF.
        btf_id: u32,
    },
}

/// Attaches a program by a link.
///
/// `cookie` is what `bpf_get_attach_cookie` gives to tracing programs (since Linux 6.0) and raw tracepoints (6.10); 0 for
/// none, and other kinds of programs have none.
///
/// # Errors
///
/// [`Error::Program`] where the section's name does not say enough and `place` does not say the rest (see [`need`]), or where
/// programs of this type are not attached by a link alone; [`Error::Sys`] with the kernel's answer.
pub fn attach(program: &LoadedProgram, place: &Place<'_>, cookie: u64) -> Result<Link> {
    attach_to(program, &program.spec.attach, place, cookie)
}

/// [`attach`], with another target than the section's name says: a raw tracepoint's name where that leaves it open.
///
/// # Errors
///
/// As for [`attach`].
pub fn attach_to(
    program: &LoadedProgram,
    target: &AttachTarget,
    place: &Place<'_>,
    cookie: u64,
) -> Result<Link> {
    let (spec, prog) = (&program.spec, &program.prog);
    if cookie != 0 && !takes_cookie(spec) {
        return Err(refuse(spec, "programs of its type have no cookie; attach it without one"));
    }
    let link = match (spec.prog_type, target, place) {
        (ProgType::Tracing, AttachTarget::Iter { .. }, _) => sys::iter(prog, iterated(spec, place)?),
        (ProgType::Tracing, _, Place::Section) => tracing(program, cookie),
        (ProgType::Lsm, AttachTarget::Lsm { cgroup: true, .. }, Place::Cgroup(dir)) => {
            sys::cgroup(prog, *dir, AttachType::LsmCgroup, AttachFlags::empty(), Position::Last, 0)
        }
        (ProgType::Lsm, AttachTarget::Lsm { cgroup: false, .. } | AttachTarget::None, Place::Section) => {
            tracing(program, cookie)
        }
        (
            ProgType::RawTracepoint | ProgType::RawTracepointWritable,
            AttachTarget::RawTracepoint { name },
            Place::Section,
        ) if !name.is_empty() => sys::raw_tracepoint(prog, name, cookie),
        (ProgType::Ext, _, Place::Section) => sys::extension(prog, None),
        (ProgType::Ext, _, Place::Program { prog: target, btf_id }) => {
            sys::extension(prog, Some((*target, *btf_id)))
        }
        (ProgType::Xdp, _, Place::Device { ifindex, .. }) => sys::xdp(prog, *ifindex, 0),
        (ProgType::SchedCls, _, Place::Device { ifindex, hook }) => {
            let hook = hook.or(spec.expected_attach_type.filter(|hook| is_device_hook(*hook)));
            match hook {
                Some(hook @ (AttachType::NetkitPrimary | AttachType::NetkitPeer)) => {
                    sys::netkit(prog, *ifindex, hook, Position::Last, 0)
                }
                Some(hook) => sys::tcx(prog, *ifindex, hook, Position::Last, 0),
                None => return Err(refuse(spec, "say on which way: `hook` TcxIngress or TcxEgress")),
            }
        }
        (ProgType::SkLookup, _, Place::Namespace(fd)) => sys::attach(prog, *fd, AttachType::SkLookup, 0),
        (ProgType::FlowDissector, _, Place::Namespace(fd)) => {
            sys::attach(prog, *fd, AttachType::FlowDissector, 0)
        }
        (ProgType::SkSkb | ProgType::SkMsg, _, Place::Map(fd)) => match spec.expected_attach_type {
            Some(hook) => sys::attach(prog, *fd, hook, 0),
            None => {
                return Err(refuse(spec, "its section does not say which of a sockmap's hooks it is for"));
            }
        },
        (ProgType::Netfilter, _, Place::Netfilter(hook)) => sys::netfilter(prog, *hook),
        (kind, _, Place::Cgroup(dir)) if is_cgroup(kind) => match spec.expected_attach_type {
            Some(hook) => sys::cgroup(prog, *dir, hook, AttachFlags::empty(), Position::Last, 0),
            None => return Err(refuse(spec, "its section does not say which of a cgroup's hooks it is for")),
        },
        (_, _, place) => return Err(mismatch(spec, place)),
    };
    link.map_err(|source| failed(spec, target, place, source))
}

/// Through `BPF_LINK_CREATE` where there is a cookie, else the way that every kernel has.
fn tracing(program: &LoadedProgram, cookie: u64) -> bpf_sys::Result<Link> {
    let (spec, prog) = (&program.spec, &program.prog);
    match spec.expected_attach_type {
        Some(hook) if cookie != 0 => sys::tracing(prog, hook, Tracing { cookie, ..Tracing::default() }),
        _ => sys::raw_tracepoint_open(prog, ""),
    }
}

fn iterated<'a>(spec: &ProgramSpec, place: &Place<'a>) -> Result<IterTarget<'a>> {
    let of_map = matches!(
        &spec.attach,
        AttachTarget::Iter { target } if matches!(target.as_str(), "bpf_map_elem" | "bpf_sk_storage_map" | "sockmap")
    );
    match place {
        Place::Map(fd) => Ok(IterTarget::Map(*fd)),
        Place::Iter(target) => Ok(*target),
        Place::Section if of_map => Err(refuse(spec, need(spec).to_string())),
        Place::Section => Ok(IterTarget::All),
        place => Err(mismatch(spec, place)),
    }
}

fn is_device_hook(hook: AttachType) -> bool {
    matches!(
        hook,
        AttachType::TcxIngress | AttachType::TcxEgress | AttachType::NetkitPrimary | AttachType::NetkitPeer
    )
}

/// Whether programs of this type are attached to cgroups.
fn is_cgroup(kind: ProgType) -> bool {
    matches!(
        kind,
        ProgType::CgroupSkb
            | ProgType::CgroupSock
            | ProgType::CgroupSockAddr
            | ProgType::CgroupDevice
            | ProgType::CgroupSysctl
            | ProgType::CgroupSockopt
            | ProgType::SockOps
    )
}

/// Whether programs attached by a link alone can have a cookie.
pub fn takes_cookie(spec: &ProgramSpec) -> bool {
    match spec.prog_type {
        ProgType::RawTracepoint | ProgType::RawTracepointWritable => true,
        ProgType::Tracing => !matches!(spec.attach, AttachTarget::Iter { .. }),
        ProgType::Lsm => !matches!(spec.attach, AttachTarget::Lsm { cgroup: true, .. }),
        _ => false,
    }
}

/// `program` cannot be attached, for a reason that no system call gave.
fn refuse(spec: &ProgramSpec, what: impl Into<String>) -> Error {
    let what = format!("cannot be attached (section `{}`): {}", spec.section, what.into());
    Error::Program { program: spec.name.clone(), insn: None, what }
}

/// The place given is none for this program.
fn mismatch(spec: &ProgramSpec, place: &Place<'_>) -> Error {
    match (place, need(spec)) {
        (Place::Section, need) => refuse(spec, need.to_string()),
        (place, Need::Nothing) => {
            let place = place_name(place);
            refuse(
                spec,
                format!("it is not attached to {place}; its section says all, so give `Place::Section`"),
            )
        }
        (place, need) => refuse(spec, format!("it is not attached to {}; {need}", place_name(place))),
    }
}

fn place_name(place: &Place<'_>) -> String {
    match place {
        Place::Section => "what its section says".into(),
        Place::Device { ifindex, hook: None } => format!("network device {ifindex}"),
        Place::Device { ifindex, hook: Some(hook) } => format!("{hook} of network device {ifindex}"),
        Place::Cgroup(_) => "a cgroup".into(),
        Place::Namespace(_) => "a network namespace".into(),
        Place::Map(_) => "a map".into(),
        Place::Iter(_) => "an iterator".into(),
        Place::Netfilter(Netfilter { pf, hooknum, .. }) => format!("netfilter hook {hooknum} of family {pf}"),
        Place::Program { btf_id, .. } => format!("function {btf_id} of another program"),
    }
}

/// The kernel's refusal, with the program, its section, the target and what may help.
fn failed(spec: &ProgramSpec, target: &AttachTarget, place: &Place<'_>, source: bpf_sys::Error) -> Error {
    let target = match (target, place) {
        (AttachTarget::RawTracepoint { name }, _) => format!("raw tracepoint `{name}`"),
        (AttachTarget::TracepointBtf { name }, _) => format!("tracepoint `{name}`"),
        (AttachTarget::Tracing { function, .. }, _) => format!("function `{function}`"),
        (AttachTarget::Lsm { hook, .. }, _) => format!("LSM hook `{hook}`"),
        (AttachTarget::Iter { target }, _) => format!("iterator `{target}`"),
        (AttachTarget::Freplace { function }, Place::Section) => format!("function `{function}`"),
        (_, place) => place_name(place),
    };
    let remedy = match (source.errno(), spec.prog_type, place) {
        (Some(Errno::ENOTSUPP | Errno::EOPNOTSUPP), ProgType::Tracing | ProgType::Lsm, _) => {
            " (this kernel was built without what lets BPF programs run at function entries; CONFIG_FUNCTION_TRACER and \
             CONFIG_DYNAMIC_FTRACE_WITH_DIRECT_CALLS would have it)"
        }
        (Some(Errno::EBUSY), ProgType::Xdp, _) => {
            " (the device has an XDP program already: `ip link show` names it)"
        }
        (Some(Errno::EINVAL), ProgType::SkSkb | ProgType::SkMsg, _) => {
            " (links to sockmaps came with Linux 6.10; before, `bpf_sys::hook::attach` attaches without one)"
        }
        _ => "",
    };
    Error::Sys {
        context: format!("attach program `{}` (section `{}`) to {target}{remedy}", spec.name, spec.section),
        source,
    }
}

#[cfg(test)]
mod tests;

//! What the name of a program's section says: program type, expected attach type, flags, and what to attach to.
//!
//! The names are those of libbpf 1.7 (`Documentation/bpf/libbpf/program_types.rst`). A name is either a whole one
//! (`xdp`) or one that may be followed by `/` and what to attach to (`kprobe/vfs_read`).

use crate::spec::AttachTarget;
use bpf_sys::prog::{AttachType, ProgFlags, ProgType};

/// What the name of a section says about the programs in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SectionInfo {
    /// The name of the section up to what to attach to, such as `kprobe`.
    pub name: &'static str,
    /// Program type.
    pub prog_type: ProgType,
    /// Expected attach type.
    pub attach_type: Option<AttachType>,
    /// Whether the kernel takes the program without the expected attach type too.
    pub attach_type_optional: bool,
    /// Sleepable, XDP fragments.
    pub flags: ProgFlags,
    /// What to attach to.
    pub attach: AttachTarget,
}

/// The program type of a section whose name says nothing; the kernel refuses it (`BPF_PROG_TYPE_UNSPEC`).
pub const UNKNOWN: ProgType = ProgType::Other(0);

/// One name.
struct Def {
    name: &'static str,
    /// Whether `/` and something to attach to may follow.
    open: bool,
    prog_type: ProgType,
    attach_type: Option<AttachType>,
    optional: bool,
    flags: ProgFlags,
    target: Option<fn(&str) -> AttachTarget>,
}

const fn plain(name: &'static str, prog_type: ProgType) -> Def {
    let flags = ProgFlags::empty();
    Def { name, open: false, prog_type, attach_type: None, optional: false, flags, target: None }
}

const fn at(name: &'static str, prog_type: ProgType, attach_type: AttachType) -> Def {
    Def { attach_type: Some(attach_type), ..plain(name, prog_type) }
}

/// As [`at`], where the kernel took the program before it knew expected attach types.
const fn maybe(name: &'static str, prog_type: ProgType, attach_type: AttachType) -> Def {
    Def { optional: true, ..at(name, prog_type, attach_type) }
}

const fn open(
    name: &'static str,
    prog_type: ProgType,
    attach_type: Option<AttachType>,
    target: fn(&str) -> AttachTarget,
) -> Def {
    Def { open: true, attach_type, target: Some(target), ..plain(name, prog_type) }
}

const fn sleepable(def: Def) -> Def {
    Def { flags: ProgFlags::SLEEPABLE, ..def }
}

const fn frags(def: Def) -> Def {
    Def { flags: ProgFlags::XDP_HAS_FRAGS, ..def }
}

use AttachType as A;
use ProgType as P;

static TABLE: &[Def] = &[
    plain("socket", P::SocketFilter),
    at("sk_reuseport/migrate", P::SkReuseport, A::SkReuseportSelectOrMigrate),
    at("sk_reuseport", P::SkReuseport, A::SkReuseportSelect),
    open("kprobe", P::Kprobe, None, |rest| kprobe(rest, false)),
    open("kretprobe", P::Kprobe, None, |rest| kprobe(rest, true)),
    open("uprobe", P::Kprobe, None, |rest| uprobe(rest, false)),
    open("uretprobe", P::Kprobe, None, |rest| uprobe(rest, true)),
    sleepable(open("uprobe.s", P::Kprobe, None, |rest| uprobe(rest, false))),
    sleepable(open("uretprobe.s", P::Kprobe, None, |rest| uprobe(rest, true))),
    open("kprobe.multi", P::Kprobe, Some(A::TraceKprobeMulti), |rest| kprobe_multi(rest, false, false)),
    open("kretprobe.multi", P::Kprobe, Some(A::TraceKprobeMulti), |rest| kprobe_multi(rest, true, false)),
    open("kprobe.session", P::Kprobe, Some(A::TraceKprobeSession), |rest| kprobe_multi(rest, false, true)),
    open("uprobe.multi", P::Kprobe, Some(A::TraceUprobeMulti), |rest| uprobe_multi(rest, false, false)),
    open("uretprobe.multi", P::Kprobe, Some(A::TraceUprobeMulti), |rest| uprobe_multi(rest, true, false)),
    open("uprobe.session", P::Kprobe, Some(A::TraceUprobeSession), |rest| uprobe_multi(rest, false, true)),
    sleepable(open("uprobe.multi.s", P::Kprobe, Some(A::TraceUprobeMulti), |rest| {
        uprobe_multi(rest, false, false)
    })),
    sleepable(open("uretprobe.multi.s", P::Kprobe, Some(A::TraceUprobeMulti), |rest| {
        uprobe_multi(rest, true, false)
    })),
    sleepable(open("uprobe.session.s", P::Kprobe, Some(A::TraceUprobeSession), |rest| {
        uprobe_multi(rest, false, true)
    })),
    open("ksyscall", P::Kprobe, None, |rest| AttachTarget::Ksyscall { name: rest.to_owned(), ret: false }),
    open("kretsyscall", P::Kprobe, None, |rest| AttachTarget::Ksyscall { name: rest.to_owned(), ret: true }),
    open("usdt", P::Kprobe, None, usdt),
    sleepable(open("usdt.s", P::Kprobe, None, usdt)),
    at("tc/ingress", P::SchedCls, A::TcxIngress),
    at("tc/egress", P::SchedCls, A::TcxEgress),
    at("tcx/ingress", P::SchedCls, A::TcxIngress),
    at("tcx/egress", P::SchedCls, A::TcxEgress),
    plain("tc", P::SchedCls),
    plain("classifier", P::SchedCls),
    plain("action", P::SchedAct),
    at("netkit/primary", P::SchedCls, A::NetkitPrimary),
    at("netkit/peer", P::SchedCls, A::NetkitPeer),
    open("tracepoint", P::Tracepoint, None, tracepoint),
    open("tp", P::Tracepoint, None, tracepoint),
    open("raw_tracepoint", P::RawTracepoint, None, raw_tracepoint),
    open("raw_tp", P::RawTracepoint, None, raw_tracepoint),
    open("raw_tracepoint.w", P::RawTracepointWritable, None, raw_tracepoint),
    open("raw_tp.w", P::RawTracepointWritable, None, raw_tracepoint),
    open("tp_btf", P::Tracing, Some(A::TraceRawTp), |rest| AttachTarget::TracepointBtf {
        name: rest.to_owned(),
    }),
    open("fentry", P::Tracing, Some(A::TraceFentry), tracing),
    open("fmod_ret", P::Tracing, Some(A::ModifyReturn), tracing),
    open("fexit", P::Tracing, Some(A::TraceFexit), tracing),
    open("fsession", P::Tracing, Some(A::TraceFsession), tracing),
    sleepable(open("fentry.s", P::Tracing, Some(A::TraceFentry), tracing)),
    sleepable(open("fmod_ret.s", P::Tracing, Some(A::ModifyReturn), tracing)),
    sleepable(open("fexit.s", P::Tracing, Some(A::TraceFexit), tracing)),
    sleepable(open("fsession.s", P::Tracing, Some(A::TraceFsession), tracing)),
    open("freplace", P::Ext, None, |rest| AttachTarget::Freplace { function: rest.to_owned() }),
    open("lsm", P::Lsm, Some(A::LsmMac), |rest| lsm(rest, false)),
    sleepable(open("lsm.s", P::Lsm, Some(A::LsmMac), |rest| lsm(rest, false))),
    open("lsm_cgroup", P::Lsm, Some(A::LsmCgroup), |rest| lsm(rest, true)),
    open("iter", P::Tracing, Some(A::TraceIter), |rest| AttachTarget::Iter { target: rest.to_owned() }),
    sleepable(open("iter.s", P::Tracing, Some(A::TraceIter), |rest| AttachTarget::Iter {
        target: rest.to_owned(),
    })),
    sleepable(plain("syscall", P::Syscall)),
    frags(at("xdp.frags/devmap", P::Xdp, A::XdpDevmap)),
    at("xdp/devmap", P::Xdp, A::XdpDevmap),
    frags(at("xdp.frags/cpumap", P::Xdp, A::XdpCpumap)),
    at("xdp/cpumap", P::Xdp, A::XdpCpumap),
    frags(at("xdp.frags", P::Xdp, A::Xdp)),
    maybe("xdp", P::Xdp, A::Xdp),
    plain("perf_event", P::PerfEvent),
    plain("lwt_in", P::LwtIn),
    plain("lwt_out", P::LwtOut),
    plain("lwt_xmit", P::LwtXmit),
    plain("lwt_seg6local", P::LwtSeg6local),
    maybe("sockops", P::SockOps, A::CgroupSockOps),
    maybe("sk_skb/stream_parser", P::SkSkb, A::SkSkbStreamParser),
    maybe("sk_skb/stream_verdict", P::SkSkb, A::SkSkbStreamVerdict),
    maybe("sk_skb/verdict", P::SkSkb, A::SkSkbVerdict),
    plain("sk_skb", P::SkSkb),
    maybe("sk_msg", P::SkMsg, A::SkMsgVerdict),
    maybe("lirc_mode2", P::LircMode2, A::LircMode2),
    maybe("flow_dissector", P::FlowDissector, A::FlowDissector),
    maybe("cgroup_skb/ingress", P::CgroupSkb, A::CgroupInetIngress),
    maybe("cgroup_skb/egress", P::CgroupSkb, A::CgroupInetEgress),
    plain("cgroup/skb", P::CgroupSkb),
    at("cgroup/sock_create", P::CgroupSock, A::CgroupInetSockCreate),
    at("cgroup/sock_release", P::CgroupSock, A::CgroupInetSockRelease),
    maybe("cgroup/sock", P::CgroupSock, A::CgroupInetSockCreate),
    at("cgroup/post_bind4", P::CgroupSock, A::CgroupInet4PostBind),
    at("cgroup/post_bind6", P::CgroupSock, A::CgroupInet6PostBind),
    at("cgroup/bind4", P::CgroupSockAddr, A::CgroupInet4Bind),
    at("cgroup/bind6", P::CgroupSockAddr, A::CgroupInet6Bind),
    at("cgroup/connect4", P::CgroupSockAddr, A::CgroupInet4Connect),
    at("cgroup/connect6", P::CgroupSockAddr, A::CgroupInet6Connect),
    at("cgroup/connect_unix", P::CgroupSockAddr, A::CgroupUnixConnect),
    at("cgroup/sendmsg4", P::CgroupSockAddr, A::CgroupUdp4Sendmsg),
    at("cgroup/sendmsg6", P::CgroupSockAddr, A::CgroupUdp6Sendmsg),
    at("cgroup/sendmsg_unix", P::CgroupSockAddr, A::CgroupUnixSendmsg),
    at("cgroup/recvmsg4", P::CgroupSockAddr, A::CgroupUdp4Recvmsg),
    at("cgroup/recvmsg6", P::CgroupSockAddr, A::CgroupUdp6Recvmsg),
    at("cgroup/recvmsg_unix", P::CgroupSockAddr, A::CgroupUnixRecvmsg),
    at("cgroup/getpeername4", P::CgroupSockAddr, A::CgroupInet4Getpeername),
    at("cgroup/getpeername6", P::CgroupSockAddr, A::CgroupInet6Getpeername),
    at("cgroup/getpeername_unix", P::CgroupSockAddr, A::CgroupUnixGetpeername),
    at("cgroup/getsockname4", P::CgroupSockAddr, A::CgroupInet4Getsockname),
    at("cgroup/getsockname6", P::CgroupSockAddr, A::CgroupInet6Getsockname),
    at("cgroup/getsockname_unix", P::CgroupSockAddr, A::CgroupUnixGetsockname),
    at("cgroup/sysctl", P::CgroupSysctl, A::CgroupSysctl),
    at("cgroup/getsockopt", P::CgroupSockopt, A::CgroupGetsockopt),
    at("cgroup/setsockopt", P::CgroupSockopt, A::CgroupSetsockopt),
    maybe("cgroup/dev", P::CgroupDevice, A::CgroupDevice),
    open("struct_ops", P::StructOps, None, struct_ops),
    sleepable(open("struct_ops.s", P::StructOps, None, struct_ops)),
    at("sk_lookup", P::SkLookup, A::SkLookup),
    at("netfilter", P::Netfilter, A::Netfilter),
];

/// What the name of a section says about its programs. `None` for names that say nothing.
///
/// A leading `?`, which marks programs that are not loaded unless asked for, is passed over.
pub fn section_info(section: &str) -> Option<SectionInfo> {
    let section = section.strip_prefix('?').unwrap_or(section);
    let (def, rest) = TABLE.iter().find_map(|def| {
        let rest = section.strip_prefix(def.name)?;
        let rest = match rest.strip_prefix('/') {
            Some(rest) if def.open => rest,
            None if rest.is_empty() => "",
            _ => return None,
        };
        Some((def, rest))
    })?;
    Some(SectionInfo {
        name: def.name,
        prog_type: def.prog_type,
        attach_type: def.attach_type,
        attach_type_optional: def.optional,
        flags: def.flags,
        attach: def.target.map_or(AttachTarget::None, |target| target(rest)),
    })
}

/// All names of sections, with `+` behind those that may be followed by `/` and what to attach to.
pub fn section_names() -> impl Iterator<Item = (&'static str, bool)> {
    TABLE.iter().map(|def| (def.name, def.open))
}

/// `vfs_read`, `vfs_read+0x10`; what is no number after `+` belongs to the name.
fn function_and_offset(text: &str) -> (String, u64) {
    let parsed =
        text.rsplit_once('+').and_then(|(function, offset)| Some((function, number(offset.trim())?)));
    match parsed {
        Some((function, offset)) => (function.trim_end().to_owned(), offset),
        None => (text.to_owned(), 0),
    }
}

/// A number as `strtol` reads it: decimal, `0x` hexadecimal, or octal with a leading 0.
fn number(text: &str) -> Option<u64> {
    if let Some(hex) = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        return u64::from_str_radix(hex, 16).ok();
    }
    match text.strip_prefix('0') {
        Some(octal) if !octal.is_empty() => u64::from_str_radix(octal, 8).ok(),
        _ => text.parse().ok(),
    }
}

fn kprobe(rest: &str, ret: bool) -> AttachTarget {
    let (function, offset) = function_and_offset(rest);
    AttachTarget::Kprobe { function, offset, ret }
}

fn kprobe_multi(rest: &str, ret: bool, session: bool) -> AttachTarget {
    AttachTarget::KprobeMulti { pattern: rest.to_owned(), ret, session }
}

/// `/usr/bin/bash:readline`: the path may not hold a colon.
fn binary_and_rest(rest: &str) -> (String, &str) {
    let (binary, rest) = rest.split_once(':').unwrap_or((rest, ""));
    (binary.to_owned(), rest)
}

fn uprobe(rest: &str, ret: bool) -> AttachTarget {
    let (binary, rest) = binary_and_rest(rest);
    let (function, offset) = function_and_offset(rest);
    AttachTarget::Uprobe { binary, function, offset, ret }
}

fn uprobe_multi(rest: &str, ret: bool, session: bool) -> AttachTarget {
    let (binary, pattern) = binary_and_rest(rest);
    AttachTarget::UprobeMulti { binary, pattern: pattern.to_owned(), ret, session }
}

fn usdt(rest: &str) -> AttachTarget {
    let (binary, rest) = binary_and_rest(rest);
    let (provider, name) = rest.split_once(':').unwrap_or((rest, ""));
    AttachTarget::Usdt { binary, provider: provider.to_owned(), name: name.to_owned() }
}

fn tracepoint(rest: &str) -> AttachTarget {
    let (category, name) = rest.split_once('/').unwrap_or((rest, ""));
    AttachTarget::Tracepoint { category: category.to_owned(), name: name.to_owned() }
}

fn raw_tracepoint(rest: &str) -> AttachTarget {
    AttachTarget::RawTracepoint { name: rest.to_owned() }
}

fn tracing(rest: &str) -> AttachTarget {
    let (module, function) = match rest.split_once(':') {
        // `vmlinux` is how one says that no module is meant.
        Some(("vmlinux", function)) => (None, function),
        Some((module, function)) => (Some(module.to_owned()), function),
        None => (None, rest),
    };
    AttachTarget::Tracing { module, function: function.to_owned() }
}

fn lsm(rest: &str, cgroup: bool) -> AttachTarget {
    AttachTarget::Lsm { hook: rest.to_owned(), cgroup }
}

fn struct_ops(rest: &str) -> AttachTarget {
    AttachTarget::StructOps { member: rest.to_owned() }
}

//! What a program needs beyond its section's name before it can be attached.

use std::fmt;

use super::{Place, is_cgroup, is_device_hook};
use crate::spec::{AttachTarget, ProgramSpec};
use bpf_sys::prog::ProgType;

/// What the caller has to say before a program can be attached. Its text says what to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Need {
    /// Nothing: the section's name says all.
    Nothing,
    /// Nothing, but an event has to be opened first, which the crate `tracewell-probes` does: kprobes, uprobes, tracepoints.
    Event,
    /// The section's name ends before the target: a function, a tracepoint, a file.
    Target,
    /// A perf event: which, on which processors, how often.
    PerfEvent,
    /// A network device.
    Device,
    /// A network device, and whether the program sees what comes in or what goes out.
    DeviceHook,
    /// A cgroup.
    Cgroup,
    /// A network namespace.
    Namespace,
    /// A sockmap or sockhash.
    Sockmap,
    /// A map whose elements are gone through.
    Elements,
    /// A netfilter hook and a priority.
    Netfilter,
    /// The program whose function is replaced; it must be known when the object is loaded.
    Program,
    /// The struct_ops map that the program is a member of is what is attached.
    StructOps,
    /// A socket: setsockopt(2) attaches it.
    Socket,
    /// A route of the kernel: `ip route` attaches it.
    Route,
    /// Somebody who runs it: the program is attached to nothing.
    Run,
    /// Another program that calls it, through a map: it is a tail call's target or runs per element of a map.
    Caller,
    /// USDT probes, which are not attached yet.
    Usdt,
    /// Something that this crate does not know.
    Unknown,
}

impl Need {
    /// Whether a program can be attached without being told more.
    pub fn is_nothing(self) -> bool {
        matches!(self, Need::Nothing | Need::Event)
    }

    /// Whether a place is what is needed.
    pub fn is_met_by(self, place: &Place<'_>) -> bool {
        matches!(
            (self, place),
            (Need::Device, Place::Device { .. })
                | (Need::DeviceHook, Place::Device { hook: Some(_), .. })
                | (Need::Cgroup, Place::Cgroup(_))
                | (Need::Namespace, Place::Namespace(_))
                | (Need::Sockmap | Need::Elements, Place::Map(_))
                | (Need::Netfilter, Place::Netfilter(_))
                | (Need::Program, Place::Program { .. })
        )
    }
}

impl fmt::Display for Need {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Need::Nothing => "it needs nothing more",
            Need::Event => "it runs at an event: attach it with `probes::object::attach`",
            Need::Target => {
                "its section does not name what it is attached to: name it there, or say it when attaching"
            }
            Need::PerfEvent => "it needs a perf event: say which, such as the CPU clock at 99 hertz",
            Need::Device => "it needs a network device: give its index",
            Need::DeviceHook => {
                "it needs a network device and a way: give the device's index, and TcxIngress or TcxEgress"
            }
            Need::Cgroup => "it needs a cgroup: give its directory, such as /sys/fs/cgroup",
            Need::Namespace => "it needs a network namespace: give one, such as /proc/self/ns/net",
            Need::Sockmap => "it needs a sockmap or sockhash: give the map",
            Need::Elements => "it goes through a map's elements: give the map",
            Need::Netfilter => "it needs a netfilter hook: give family, hook number and priority",
            Need::Program => {
                "it replaces a function of another program: give that program when loading, or it and the function's \
                 type id when attaching"
            }
            Need::StructOps => "it is a member of a struct_ops map: attach the map",
            Need::Socket => "it is attached to a socket: setsockopt(2) with SO_ATTACH_BPF (or \
                 SO_ATTACH_REUSEPORT_EBPF) and the program's descriptor",
            Need::Route => "it is attached to a route: pin it and use `ip route ... encap bpf`",
            Need::Run => "it is attached to nothing: run it with BPF_PROG_TEST_RUN",
            Need::Caller => "it is attached to nothing: put it into the map that leads to it",
            Need::Usdt => "USDT probes are not attached yet: trace the function around the probe with a uprobe",
            Need::Unknown => "this version does not know how programs of its type are attached",
        })
    }
}

/// What `spec` needs beyond its section's name before it can be attached.
pub fn need(spec: &ProgramSpec) -> Need {
    let named = |name: &str| if name.is_empty() { Need::Target } else { Need::Nothing };
    let event = |name: &str| if name.is_empty() { Need::Target } else { Need::Event };
    match &spec.attach {
        AttachTarget::Kprobe { function, .. } => event(function),
        AttachTarget::KprobeMulti { pattern, .. } => event(pattern),
        AttachTarget::Ksyscall { name, .. } => event(name),
        AttachTarget::Uprobe { binary, function, .. } => {
            if binary.is_empty() {
                Need::Target
            } else {
                event(function)
            }
        }
        AttachTarget::UprobeMulti { binary, pattern, .. } => {
            if binary.is_empty() {
                Need::Target
            } else {
                event(pattern)
            }
        }
        AttachTarget::Usdt { .. } => Need::Usdt,
        AttachTarget::Tracepoint { name, .. } => event(name),
        AttachTarget::RawTracepoint { name } | AttachTarget::TracepointBtf { name } => named(name),
        AttachTarget::Tracing { function, .. } => named(function),
        AttachTarget::Lsm { cgroup: true, .. } => Need::Cgroup,
        AttachTarget::Lsm { hook, .. } => named(hook),
        AttachTarget::Iter { target } => match target.as_str() {
            "bpf_map_elem" | "bpf_sk_storage_map" | "sockmap" => Need::Elements,
            target => named(target),
        },
        AttachTarget::Freplace { function } if function.is_empty() => Need::Program,
        AttachTarget::Freplace { .. } => Need::Nothing,
        AttachTarget::StructOps { .. } => Need::StructOps,
        AttachTarget::None => of_type(spec),
    }
}

fn of_type(spec: &ProgramSpec) -> Need {
    use bpf_sys::prog::AttachType::{XdpCpumap, XdpDevmap};
    match spec.prog_type {
        ProgType::PerfEvent => Need::PerfEvent,
        ProgType::Xdp => match spec.expected_attach_type {
            // They run for the elements of a cpumap or devmap.
            Some(XdpCpumap | XdpDevmap) => Need::Caller,
            _ => Need::Device,
        },
        ProgType::SchedCls => match spec.expected_attach_type {
            Some(hook) if is_device_hook(hook) => Need::Device,
            _ => Need::DeviceHook,
        },
        ProgType::SchedAct => Need::DeviceHook,
        kind if is_cgroup(kind) => Need::Cgroup,
        ProgType::SkLookup | ProgType::FlowDissector => Need::Namespace,
        ProgType::SkSkb | ProgType::SkMsg => Need::Sockmap,
        ProgType::Netfilter => Need::Netfilter,
        ProgType::Ext => Need::Program,
        ProgType::StructOps => Need::StructOps,
        ProgType::SocketFilter | ProgType::SkReuseport => Need::Socket,
        ProgType::LwtIn | ProgType::LwtOut | ProgType::LwtXmit | ProgType::LwtSeg6local => Need::Route,
        ProgType::Syscall => Need::Run,
        ProgType::Kprobe
        | ProgType::Tracepoint
        | ProgType::RawTracepoint
        | ProgType::Tracing
        | ProgType::Lsm => Need::Target,
        _ => Need::Unknown,
    }
}
